//! The configuration that is in use.

use serde::{Deserialize, Serialize};

/// It.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Configuration {
    /// The last reload: what is in use is older than the files.
    pub refused: Option<Refused>,
}

/// A configuration that was read and not taken.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Refused {
    /// Each with its place and its way out, at least one.
    pub mistakes: Vec<String>,
    /// When the first of the reloads in a row was that ended so.
    pub since: Option<String>,
}
