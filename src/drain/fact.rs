//! What is known of drains (`protocols A.1`): by gossip, by push/pull and by the question that a leaving node asks. All are
//! merged by one rule, so that order and repetition do not matter.

use std::collections::BTreeMap;

use super::{DrainId, DrainTag};
use crate::upstream::Rank;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;

/// A node's word about its drain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fact {
    /// When it said so, in its own count.
    pub incarnation: Incarnation,
    /// Its drain, if it drains.
    pub drain: Option<Drain>,
}

/// A drain as far as it is known: a question tells its id alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drain {
    pub id: DrainId,
    /// `None` until the tag is seen.
    pub rank: Option<Rank>,
}

impl Fact {
    /// Of a member's tag.
    pub fn told(incarnation: Incarnation, tag: Option<DrainTag>) -> Self {
        Self { incarnation, drain: tag.map(|DrainTag { id, rank }| Drain { id, rank: Some(rank) }) }
    }

    /// Of a question.
    pub fn asked(incarnation: Incarnation, id: DrainId) -> Self {
        Self { incarnation, drain: Some(Drain { id, rank: None }) }
    }

    /// Which drain it tells of.
    pub fn id(&self) -> Option<&DrainId> {
        self.drain.as_ref().map(|drain| &drain.id)
    }

    /// Takes `other` if it is newer; of the same age it may know the rank. Whether anything changed.
    fn merge(&mut self, other: Self) -> bool {
        if other.incarnation > self.incarnation {
            *self = other;
            return true;
        }
        match (&mut self.drain, other.drain) {
            (Some(Drain { id, rank: rank @ None }), Some(Drain { id: same, rank: Some(told) }))
                if other.incarnation == self.incarnation && *id == same =>
            {
                *rank = Some(told);
                true
            }
            _ => false,
        }
    }
}

/// The newest word of each node, at most [`Self::MAX`].
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<NodeName, Fact>);

impl Facts {
    /// Most nodes that are remembered; more than a cluster may have, as some are only asked about.
    pub const MAX: usize = 2 * 65_536;

    /// Takes what is newer. Whether anything changed; one too many changes nothing.
    pub fn merge(&mut self, node: &NodeName, fact: Fact) -> bool {
        let is_full = self.0.len() >= Self::MAX;
        match self.0.get_mut(node) {
            Some(held) => held.merge(fact),
            None => !is_full && self.0.insert(node.clone(), fact).is_none(),
        }
    }

    pub fn get(&self, node: &NodeName) -> Option<&Fact> {
        self.0.get(node)
    }

    /// By node.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Fact)> {
        self.0.iter()
    }

    /// Forgets whoever `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&NodeName, &Fact) -> bool) {
        self.0.retain(|node, fact| keep(node, fact));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::serf::LamportTime;

    fn told(incarnation: u32, drain: Option<(&str, u64)>) -> Fact {
        let tag = drain.map(|(id, time)| DrainTag::new(DrainId::new(id).unwrap(), LamportTime(time)));
        Fact::told(Incarnation::new(incarnation), tag)
    }

    fn asked(incarnation: u32, id: &str) -> Fact {
        Fact::asked(Incarnation::new(incarnation), DrainId::new(id).unwrap())
    }

    #[test]
    fn the_newer_word_counts_whatever_it_says_and_however_it_came() {
        // held, arrives, whether that changes anything
        for (held, arrives, changes) in [
            (told(7, None), told(8, Some(("a", 1))), true),
            (told(7, None), told(7, Some(("a", 1))), false),
            (told(7, None), told(6, Some(("a", 1))), false),
            (told(7, None), asked(8, "a"), true),
            (told(7, None), asked(7, "a"), false),
            (told(7, Some(("a", 1))), told(8, None), true),
            (told(7, Some(("a", 1))), told(7, None), false),
            (told(7, Some(("a", 1))), asked(7, "a"), false),
            (told(7, Some(("a", 1))), told(8, Some(("b", 1))), true),
            (asked(7, "a"), told(7, Some(("a", 1))), true),
            (asked(7, "a"), told(7, Some(("b", 1))), false),
            (asked(7, "a"), told(6, Some(("a", 1))), false),
        ] {
            let mut merged = held.clone();
            assert_eq!(merged.merge(arrives.clone()), changes, "{held:?} {arrives:?}");
            let newer = if arrives.incarnation >= held.incarnation && changes { &arrives } else { &held };
            assert_eq!(merged, *newer);
            assert!(!merged.merge(arrives), "once more changes nothing");
        }
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let words = [told(7, None), asked(8, "a"), told(8, Some(("a", 3))), told(9, None), told(10, Some(("b", 4)))];
        let node = NodeName::new("web1").unwrap();
        for start in 0..words.len() {
            for step in [1, 2, 3, 4] {
                let mut facts = Facts::default();
                for index in (0..2 * words.len()).map(|n| (start + n * step) % words.len()) {
                    facts.merge(&node, words[index].clone());
                }
                assert_eq!(facts.get(&node), Some(&words[4]));
            }
        }
    }
}
