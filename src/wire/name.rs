//! The name of a member.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::escape::escape;

/// A member's name: UTF-8, 1 to 255 bytes. A peer's may hold blanks and control characters; output escapes them.
///
/// Cheap to clone: names key every table and queue.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// `None` if `name` is empty or longer than [`Self::MAX_BYTES`].
    pub fn new(name: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&name.len()).then(|| Self(name.into()))
    }

    /// The name as text, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
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
