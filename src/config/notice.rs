//! What an operator should know about a configuration although it is right.

use std::fmt;

use crate::error::Trouble;

use super::mistake::placed;
use super::tree::Origin;

/// Something an operator should know that is no mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub at: Origin,
    /// The notice.
    pub trouble: Trouble,
    /// The one of Serf's that it stands for.
    pub serfs: Option<SerfNotice>,
}

/// What Serf's agent says in its own words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SerfNotice {
    /// `role` became a tag.
    Role,
    /// It was too low and is raised.
    RetryInterval,
    /// It was too low and is raised.
    BroadcastTimeout,
}

impl Notice {
    /// A notice of ours alone.
    pub(crate) fn new(at: Origin, trouble: Trouble) -> Self {
        Self { at, trouble, serfs: None }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        placed(f, &self.at, &self.trouble)
    }
}
