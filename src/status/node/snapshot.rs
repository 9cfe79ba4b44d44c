//! What outlives a restart.

use serde::{Deserialize, Serialize};

use super::Moment;

/// The snapshot's file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Snapshot {
    pub path: String,
    /// What it has, and what is on its way there.
    pub bytes: u64,
    /// Until when nothing is missing in it.
    pub synced: Moment,
    /// It cannot be written.
    pub failing: Option<Failing>,
}

/// A file that cannot be written.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Failing {
    /// What the system says.
    pub error: String,
    /// The way out, where there is a better one than to look at its directory.
    pub remedy: Option<String>,
    pub since: Option<String>,
}
