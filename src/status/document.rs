//! What the agent tells `weir doctor`, as JSON documents. Names are peers' own: escape them before a terminal sees them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A query that weir agents answer by themselves, with the milliseconds of their clock since 1970.
pub const CLOCK_QUERY: &str = "weir-clock";

/// What the agent sees. Fields are only ever added.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AgentView {
    pub version: String,
    pub name: String,
    /// Where it listens for gossip.
    pub bind: Option<SocketAddr>,
    /// What it tells others.
    pub addr: Option<SocketAddr>,
    /// Zero if it does not say.
    pub pid: u32,
    /// Identifiers, primary first; empty without encryption.
    pub keys: Vec<String>,
    /// Another member has its name.
    pub silenced: bool,
    pub members: Vec<MemberView>,
    /// Who is not understood, the latest last.
    pub strangers: Vec<StrangerView>,
    /// Why nobody of `gossip.join` could be joined.
    pub join_failures: Vec<String>,
}

/// A member as the agent sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MemberView {
    pub name: String,
    pub addr: SocketAddr,
    /// `alive`, `leaving`, `left` or `failed`.
    pub status: String,
    /// `session`, `memberlist`, or empty while it is not known.
    pub envelope: String,
    /// It is the agent's own node.
    pub own: bool,
}

/// Somebody whose packets or streams are refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StrangerView {
    pub addr: SocketAddr,
    /// The typed reason, `key_unknown`.
    pub reason: String,
    /// The key that it seals with, where the envelope tells.
    pub key: Option<String>,
    /// Seconds since it was last heard.
    pub ago_s: u64,
}

/// Ping these members by UDP; answered with [`Probed`] within two seconds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Probe {
    pub members: Vec<String>,
}

/// Who answered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Probed {
    /// With the milliseconds it took.
    pub reached: BTreeMap<String, u64>,
    /// Who was pinged and did not. Who stands in neither list could not be pinged.
    pub silent: Vec<String>,
}
