//! Keys of gossip, by identifier.

use serde::{Deserialize, Serialize};

use super::Failing;

/// Beyond this share of a key's safe use it is time for another (`session §7`).
pub const WORN: f64 = 0.25;

/// The ring of this node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Keys {
    /// The first one seals; empty without encryption.
    pub keys: Vec<Key>,
    /// Keys that were in the ring and are no more, the latest last.
    pub removed: Vec<RemovedKey>,
    /// No member is known to seal with the first one: others hear this node by an older key.
    pub alone: bool,
    /// The ring in use, or how much it has sealed, is not on disk.
    pub failing: Option<Failing>,
}

/// A key that was in the ring.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct RemovedKey {
    pub id: String,
    /// Members that were there when it was removed, this one included.
    pub members: usize,
}

/// A key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Key {
    pub id: String,
    /// By this node, in memberlist's envelope.
    pub sealed_packets: u64,
    /// Share of what is safe, supposing that every member seals as much.
    pub worn: f64,
    /// Since when that is beyond [`WORN`].
    pub worn_since: Option<String>,
}

impl Keys {
    /// Identifiers, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }
}
