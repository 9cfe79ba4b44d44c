//! What a balancer promises to a node that leaves (`protocols A.1`).
//!
//! Promises are kept by `apply` beside its journal, so that recovery and a roll back know them while the agent is down: none of
//! them ever routes to a node that was told that it may stop.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::escape::is_unsafe;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;

/// One drain of one node: a second one after an undo has another. Ours has 8 hexadecimal digits; that of a plain Serf agent is
/// whatever its operator wrote into the tag.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct DrainId(Arc<str>);

impl DrainId {
    /// Longest, in bytes: tags have no more room.
    pub const MAX_BYTES: usize = 512;
    /// Of one that weir draws, hexadecimal.
    pub const DIGITS: usize = 8;

    /// Of this number, which is drawn at random.
    pub fn drawn(number: u32) -> Self {
        Self(format!("{number:08x}").into())
    }

    /// `None` if `text` is empty, longer than [`Self::MAX_BYTES`], or would do more to a terminal than be read.
    pub fn new(text: &str) -> Option<Self> {
        let is_id = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(is_unsafe);
        is_id.then(|| Self(text.into()))
    }

    /// As it stands in the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DrainId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
            .ok_or_else(|| format!("a drain's id has 1 to {} bytes and no control characters", Self::MAX_BYTES))
    }
}

impl From<DrainId> for String {
    fn from(id: DrainId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for DrainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That no generation from now on routes to `node`, until it is known by a newer fact without this drain.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Who leaves.
    pub node: NodeName,
    /// Of the fact that told of the drain.
    pub incarnation: Incarnation,
    /// Which drain.
    pub id: DrainId,
}

/// Every promise that holds, sorted, at most [`Self::MAX`] of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Promise>", into = "Vec<Promise>")]
pub struct Promises(BTreeSet<Promise>);

/// Why something is no set of promises.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PromisesError {
    /// There is no room for one more; nothing was added.
    #[error("more than {} promises", Promises::MAX)]
    TooMany,
    /// A list named one twice.
    #[error("the promise to {0} is listed twice")]
    Twice(NodeName),
}

impl Promises {
    /// Most promises at a time.
    pub const MAX: usize = 1024;

    /// Adds one; it may be there already.
    pub fn insert(&mut self, promise: Promise) -> Result<(), PromisesError> {
        if self.0.len() >= Self::MAX && !self.0.contains(&promise) {
            return Err(PromisesError::TooMany);
        }
        self.0.insert(promise);
        Ok(())
    }

    /// Whether this very one was given.
    pub fn contains(&self, promise: &Promise) -> bool {
        self.0.contains(promise)
    }

    /// Forgets all that `keep` does not want.
    pub fn retain(&mut self, keep: impl FnMut(&Promise) -> bool) {
        self.0.retain(keep);
    }

    /// Whether any promise was given to `node`.
    pub fn is_promised(&self, node: &NodeName) -> bool {
        self.0.iter().any(|promise| promise.node == *node)
    }

    /// Whether one was given to `node` for this drain, whatever its incarnation was.
    pub fn has_drain(&self, node: &NodeName, id: &DrainId) -> bool {
        self.0.iter().any(|promise| promise.node == *node && promise.id == *id)
    }

    /// By node.
    pub fn iter(&self) -> impl Iterator<Item = &Promise> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Promise>> for Promises {
    type Error = PromisesError;

    fn try_from(list: Vec<Promise>) -> Result<Self, PromisesError> {
        let mut promises = Self::default();
        for promise in list {
            if promises.contains(&promise) {
                return Err(PromisesError::Twice(promise.node));
            }
            promises.insert(promise)?;
        }
        Ok(promises)
    }
}

impl From<Promises> for Vec<Promise> {
    fn from(promises: Promises) -> Self {
        promises.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(node: &str, id: &str) -> Promise {
        Promise { node: NodeName::new(node).unwrap(), incarnation: Incarnation::new(7), id: DrainId::new(id).unwrap() }
    }

    #[test]
    fn promises_read_back_sorted_and_each_once() {
        let mut promises = Promises::default();
        promises.insert(promise("web2", "5d3e01aa")).unwrap();
        promises.insert(promise("web1", "1")).unwrap();
        promises.insert(promise("web1", "1")).unwrap();
        let json = r#"[{"node":"web1","incarnation":7,"id":"1"},{"node":"web2","incarnation":7,"id":"5d3e01aa"}]"#;
        assert_eq!(serde_json::to_string(&promises).unwrap(), json);
        assert_eq!(serde_json::from_str::<Promises>(json).unwrap(), promises);
        let web2 = NodeName::new("web2").unwrap();
        assert!(promises.is_promised(&web2));
        promises.retain(|promise| promise.node != web2);
        assert!(!promises.is_promised(&web2) && !promises.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_and_not_one_more() {
        let mut promises = Promises::default();
        let numbered = |number: usize| promise("web1", &number.to_string());
        for number in 0..Promises::MAX {
            promises.insert(numbered(number)).unwrap();
        }
        assert_eq!(promises.insert(numbered(Promises::MAX)), Err(PromisesError::TooMany));
        promises.insert(numbered(0)).unwrap();
        let list: Vec<Promise> = (0..=Promises::MAX).map(numbered).collect();
        assert_eq!(Promises::try_from(list), Err(PromisesError::TooMany));
        let twice = vec![numbered(0), numbered(0)];
        assert_eq!(Promises::try_from(twice).unwrap_err().to_string(), "the promise to web1 is listed twice");
    }

    #[test]
    fn an_id_is_what_a_tag_can_hold() {
        let long = "x".repeat(DrainId::MAX_BYTES + 1);
        for (text, id) in [
            ("5d3e01aa", true),
            ("1", true),
            ("maintenance until noon", true),
            ("grüße", true),
            ("", false),
            (&long, false),
            ("a\nb", false),
            ("\u{1b}[2J", false),
            ("\u{202e}1", false),
        ] {
            assert_eq!(DrainId::new(text).is_some(), id, "{text}");
        }
    }
}
