//! What a node knows of the health of others: the answer to `weir health`.

use serde::{Deserialize, Serialize};

use super::Known;
use crate::health::State;
use crate::health::query::{Check, Source};
use crate::serf::Status;

/// Everybody who has not left.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MembersHealth {
    /// By name.
    pub members: Vec<MemberHealth>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MemberHealth {
    pub name: String,
    /// By gossip; of one that is not alive, its health is its last word.
    pub status: Option<Known<Status>>,
    pub health: Known<Check>,
    /// From what that is known.
    pub source: Known<Source>,
    /// Since when its health is what it is; `None` where it is not watched.
    pub since: Option<String>,
    /// What it said last, of no single check.
    pub output: String,
    /// Those that it told of.
    pub checks: Vec<CheckHealth>,
}

/// One check.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CheckHealth {
    pub name: String,
    /// What it checks by; `None` of another node's.
    pub kind: Option<String>,
    pub state: Known<State>,
    /// Of this node's: since when it is in that state.
    pub since: Option<String>,
    pub output: String,
}
