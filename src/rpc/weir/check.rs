//! What is asked about the checks of a node. How they are is in the node document.

use serde::{Deserialize, Serialize};

use crate::health::State;
use crate::known::Known;

/// Say the word about a check that has a ttl.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CheckSet {
    /// Not needed where there is only one.
    pub name: Option<String>,
    /// Passing, warning or critical.
    pub state: Known<State>,
    /// Why, for whoever looks; 4 KiB of it are kept.
    pub output: String,
}
