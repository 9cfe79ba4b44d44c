//! What outlives a restart.

use serde::{Deserialize, Serialize};

/// The snapshot's file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Snapshot {
    pub path: String,
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
