//! The member table.

use std::sync::Arc;

use indexmap::IndexMap;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::time::Instant;
use crate::wire::NodeName;

use super::Node;
use super::suspicion::Suspicion;

/// What we hold of a member.
#[derive(Clone, Debug)]
pub enum State {
    /// Answers, as far as anybody knows.
    Alive,
    /// Somebody got no answer; refutes in time or is declared dead.
    Suspect(Box<SuspicionState>),
    /// Declared dead by others.
    Dead,
    /// Said itself that it leaves.
    Left,
}

/// The running suspicion inside [`State::Suspect`]; opaque.
#[derive(Clone, Debug)]
pub struct SuspicionState(pub(super) Suspicion);

impl State {
    /// Dead or left.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Dead | Self::Left)
    }

    /// Alive, not even suspected.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Alive)
    }

    /// Suspected.
    pub fn is_suspect(&self) -> bool {
        matches!(self, Self::Suspect(_))
    }
}

/// One record of the table.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it says of itself.
    pub node: Arc<Node>,
    /// The version of that, and of the state.
    pub incarnation: u32,
    /// Whether it is there.
    pub state: State,
    /// When the state changed last.
    pub changed: Instant,
}

/// All members including ourselves, in an order that probing walks and shuffles.
#[derive(Debug, Default)]
pub(super) struct Members(IndexMap<NodeName, Member>);

impl Members {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Member> {
        self.0.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &NodeName) -> Option<&mut Member> {
        self.0.get_mut(name)
    }

    pub(super) fn at(&self, index: usize) -> Option<&Member> {
        self.0.get_index(index).map(|(_, member)| member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    /// Adds `member` at a random place, so that members that join together are not probed in the same order everywhere.
    pub(super) fn insert(&mut self, member: Member, rng: &mut StdRng) {
        let (index, _) = self.0.insert_full(member.node.name.clone(), member);
        self.0.swap_indices(index, rng.random_range(0..=index));
    }

    /// Adds `member` at the end, for a table that is shuffled afterwards.
    pub(super) fn append(&mut self, member: Member) {
        self.0.insert(member.node.name.clone(), member);
    }

    /// Removes the records that `purge` names and returns their names.
    pub(super) fn remove_if(&mut self, purge: impl Fn(&Member) -> bool) -> Vec<NodeName> {
        let names: Vec<_> = self.iter().filter(|member| purge(member)).map(|member| member.node.name.clone()).collect();
        for name in &names {
            self.0.swap_remove(name);
        }
        names
    }

    pub(super) fn shuffle(&mut self, rng: &mut StdRng) {
        for index in (1..self.0.len()).rev() {
            self.0.swap_indices(index, rng.random_range(0..=index));
        }
    }

    /// Up to `count` distinct members that `accept` admits, drawn at random (`memberlist §4.8`).
    ///
    /// Small tables are shuffled whole: random draws miss members of a cluster of three to five too often.
    pub(super) fn random(&self, count: usize, rng: &mut StdRng, accept: impl Fn(&Member) -> bool) -> Vec<Arc<Node>> {
        let len = self.0.len();
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        if len < 3 * count {
            let mut order: Vec<usize> = (0..len).filter(|index| accept(&self.0[*index])).collect();
            for index in 0..count.min(order.len()) {
                let other = rng.random_range(index..order.len());
                order.swap(index, other);
                chosen.push(order[index]);
            }
        } else {
            for _ in 0..3 * len {
                let index = (rng.next_u64() % len as u64) as usize;
                if !chosen.contains(&index) && accept(&self.0[index]) {
                    chosen.push(index);
                    if chosen.len() == count {
                        break;
                    }
                }
            }
        }
        chosen.into_iter().map(|index| Arc::clone(&self.0[index].node)).collect()
    }
}
