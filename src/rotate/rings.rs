//! What members list of their rings. Keys are compared, never shown.

use std::collections::BTreeMap;

use crate::crypto::{Key, KeyId};
use crate::serf::KeyNode;
use crate::wire::NodeName;

/// Most keys in a ring that a rotation begins with; a real agent's answer to list-keys crashes it from about 18.
pub const MAX_TIDY_KEYS: usize = 6;

/// One member's ring, as far as its answer held it.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    keys: Vec<Key>,
    primary: Option<Key>,
    truncated: bool,
}

impl Ring {
    /// Reads an answer to list-keys. What is no key is left out.
    pub(super) fn parse(answer: &KeyNode) -> Self {
        let key = |text: &String| Key::from_base64(text).ok();
        Self {
            keys: answer.keys.iter().filter_map(key).collect(),
            primary: answer.primary.as_ref().and_then(key),
            // A text beside a good result has this one meaning.
            truncated: !answer.message.is_empty(),
        }
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    pub(super) fn primary(&self) -> Option<&Key> {
        self.primary.as_ref()
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// The rings listed so far.
#[derive(Debug, Default)]
pub(super) struct Rings(BTreeMap<NodeName, Ring>);

impl Rings {
    pub(super) fn insert(&mut self, name: NodeName, ring: Ring) {
        self.0.insert(name, ring);
    }

    pub(super) fn get(&self, name: &NodeName) -> Option<&Ring> {
        self.0.get(name)
    }

    /// Every key in any ring, once.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for key in self.0.values().flat_map(Ring::keys) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// Keys that no ring listed has first.
    pub(super) fn nobodys_primary(&self) -> Vec<Key> {
        let is_primary = |key: &Key| self.0.values().any(|ring| ring.primary() == Some(key));
        self.keys().into_iter().filter(|key| !is_primary(key)).collect()
    }

    /// The keys that seal, the most used first.
    pub(super) fn primaries(&self) -> Vec<KeyId> {
        let mut counts: BTreeMap<KeyId, usize> = BTreeMap::new();
        for primary in self.0.values().filter_map(Ring::primary) {
            *counts.entry(primary.id()).or_default() += 1;
        }
        let mut ids: Vec<_> = counts.into_iter().collect();
        ids.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        ids.into_iter().map(|(id, _)| id).collect()
    }

    /// Whether some ring has more than its one key: an earlier run may not have ended.
    pub(super) fn have_extra(&self) -> bool {
        self.0.values().any(|ring| ring.keys.len() > 1 || ring.truncated)
    }

    /// Whether some ring should be cleaned up before it gets another key.
    pub(super) fn are_crowded(&self) -> bool {
        self.0.values().any(|ring| ring.keys.len() > MAX_TIDY_KEYS || ring.truncated)
    }

    /// Whose answers did not hold the whole ring.
    pub(super) fn truncated(&self) -> impl Iterator<Item = &NodeName> {
        self.0.iter().filter(|(_, ring)| ring.truncated).map(|(name, _)| name)
    }
}
