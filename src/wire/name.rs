//! The name of a member.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::escape::escape;

/// A member's name: UTF-8, 1 to 512 bytes. A peer's may hold blanks and control characters; output escapes them.
///
/// The reference has no limit. A message of gossip names two members at most, and two names of this length fit in a packet
/// whatever else it says of them (`memberlist §7.2`).
///
/// Cheap to clone: names key every table and queue.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// What a name must be, for whoever gave another.
    pub const RULE: &str = "1 to 512 bytes";

    /// `None` if `name` is empty or longer than [`Self::MAX_BYTES`].
    pub fn new(name: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&name.len()).then(|| Self(name.into()))
    }

    /// As much of `name` as a name may have: of one that only says who accuses, and is never looked up. `None` if it is empty.
    pub(super) fn cut(name: &str) -> Option<Self> {
        let end = (0..=name.len().min(Self::MAX_BYTES)).rev().find(|end| name.is_char_boundary(*end))?;
        Self::new(&name[..end])
    }

    /// The name as text, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| format!("a member's name has {}", Self::RULE))
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.as_str().to_owned()
    }
}

impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Control characters are escaped, so a name is safe in a log or on a terminal.
impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}
