//! The member table: found by name, drawn at random, walked in an order that probing shuffles.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::wire::NodeName;

use super::Node;
use super::member::Member;

/// All members including ourselves.
///
/// A map from names would hold each name twice, and its hash besides. Here the list holds the members, and the index their
/// places in it. The hasher is seeded by the system, since peers choose the names; the order never depends on it.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Member>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Member> {
        self.place(name).map(|place| &self.list[place])
    }

    pub(super) fn get_mut(&mut self, name: &NodeName) -> Option<&mut Member> {
        self.place(name).map(|place| &mut self.list[place])
    }

    pub(super) fn at(&self, place: usize) -> Option<&Member> {
        self.list.get(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter()
    }

    /// Adds a member that is not in the table at a random place, so that members that join together are not probed in the
    /// same order everywhere.
    pub(super) fn insert(&mut self, member: Member, rng: &mut StdRng) {
        let last = self.list.len();
        let place = rng.random_range(0..=last);
        if last == self.list.capacity() {
            self.make_room(1);
        }
        self.list.push(member);
        self.list.swap(place, last);
        self.move_index(place, last);
        let hash = self.hash(place);
        let Self { list, index, hasher } = self;
        index.insert_unique(hash, to_index(place), |place| hasher.hash_one(&list[*place as usize].node.name));
    }

    /// Adds members that are not in the table, and shuffles it.
    pub(super) fn extend(&mut self, members: impl ExactSizeIterator<Item = Member>, rng: &mut StdRng) {
        self.make_room(members.len());
        self.list.extend(members);
        self.shuffle(rng);
    }

    /// Removes the records that `purge` names and returns their names.
    pub(super) fn remove_if(&mut self, purge: impl Fn(&Member) -> bool) -> Vec<NodeName> {
        let names: Vec<_> = self.iter().filter(|member| purge(member)).map(|member| member.node.name.clone()).collect();
        for name in &names {
            self.remove(name);
        }
        names
    }

    pub(super) fn shuffle(&mut self, rng: &mut StdRng) {
        for place in (1..self.list.len()).rev() {
            self.list.swap(place, rng.random_range(0..=place));
        }
        let Self { list, index, hasher } = self;
        let hash = |place: usize| hasher.hash_one(&list[place].node.name);
        index.clear();
        index.reserve(list.len(), |place| hash(*place as usize));
        for place in 0..list.len() {
            index.insert_unique(hash(place), to_index(place), |place| hash(*place as usize));
        }
    }

    /// Up to `count` distinct members that `accept` admits, drawn at random (`memberlist §4.8`).
    ///
    /// Small tables are shuffled whole: random draws miss members of a cluster of three to five too often.
    pub(super) fn random(&self, count: usize, rng: &mut StdRng, accept: impl Fn(&Member) -> bool) -> Vec<Arc<Node>> {
        let len = self.list.len();
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        if len < 3 * count {
            let mut order: Vec<usize> = (0..len).filter(|place| accept(&self.list[*place])).collect();
            for place in 0..count.min(order.len()) {
                let other = rng.random_range(place..order.len());
                order.swap(place, other);
                chosen.push(order[place]);
            }
        } else {
            for _ in 0..3 * len {
                let place = (rng.next_u64() % len as u64) as usize;
                if !chosen.contains(&place) && accept(&self.list[place]) {
                    chosen.push(place);
                    if chosen.len() == count {
                        break;
                    }
                }
            }
        }
        chosen.into_iter().map(|place| Arc::clone(&self.list[place].node)).collect()
    }

    /// Room for `more` and for an eighth of all; doubling would leave half of a large table empty.
    fn make_room(&mut self, more: usize) {
        let spare = (self.list.len() + more) / 8 + 3;
        self.list.reserve_exact(more + spare);
    }

    fn place(&self, name: &NodeName) -> Option<usize> {
        let found = self.index.find(self.hasher.hash_one(name), |place| self.list[*place as usize].node.name == *name);
        found.map(|place| *place as usize)
    }

    fn remove(&mut self, name: &NodeName) {
        let hash = self.hasher.hash_one(name);
        let list = &self.list;
        let Ok(entry) = self.index.find_entry(hash, |place| list[*place as usize].node.name == *name) else { return };
        let (place, _) = entry.remove();
        let place = place as usize;
        self.list.swap_remove(place);
        if place < self.list.len() {
            self.move_index(self.list.len(), place);
        }
    }

    /// The member that now stands at `to` is indexed at `from` still, if at all.
    fn move_index(&mut self, from: usize, to: usize) {
        let hash = self.hash(to);
        if let Some(place) = self.index.find_mut(hash, |place| *place as usize == from) {
            *place = to_index(to);
        }
    }

    fn hash(&self, place: usize) -> u64 {
        self.hasher.hash_one(&self.list[place].node.name)
    }
}

fn to_index(place: usize) -> u32 {
    u32::try_from(place).expect("a table of four thousand million members fits no memory")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::super::member::State;
    use super::*;
    use crate::wire::message::{Incarnation, Versions};

    fn name(number: u32) -> NodeName {
        NodeName::new(&format!("n{number}")).unwrap()
    }

    fn member(number: u32) -> Member {
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 7946));
        let node = Node { name: name(number), addr, meta: bytes::Bytes::new(), versions: Versions::OURS };
        Member { node: Arc::new(node), incarnation: Incarnation::new(number), state: State::Alive }
    }

    /// Every member is found by its name, and nobody else is.
    fn check(table: &Members, numbers: impl IntoIterator<Item = u32>) {
        let numbers: std::collections::BTreeSet<u32> = numbers.into_iter().collect();
        assert_eq!(table.len(), numbers.len());
        for number in 0..300 {
            let found = table.get(&name(number)).map(|member| member.incarnation.get());
            assert_eq!(found, numbers.contains(&number).then_some(number));
        }
    }

    #[test]
    fn members_are_found_whatever_the_order_became() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut table = Members::default();
        for number in 0..100 {
            table.insert(member(number), &mut rng);
        }
        check(&table, 0..100);
        table.shuffle(&mut rng);
        check(&table, 0..100);
        table.extend((100..200).map(member), &mut rng);
        check(&table, 0..200);
        assert_eq!(table.remove_if(|member| member.incarnation.get() % 3 == 0).len(), 67);
        check(&table, (0..200).filter(|number| number % 3 != 0));
        assert!(table.remove_if(|member| member.incarnation.get() % 3 == 0).is_empty());
        table.insert(member(0), &mut rng);
        check(&table, (0..200).filter(|number| number % 3 != 0).chain([0]));
        table.remove_if(|_| true);
        check(&table, []);
    }

    #[test]
    fn a_record_is_four_words() {
        assert_eq!(size_of::<Member>(), 32);
    }
}
