//! What operators ask about the decisions of a balancer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::status::Known;
use crate::status::node::{ServerState, Upstream};
use crate::upstream::VerdictReason;
use crate::upstream::explain::Asked;

/// Asks why a member is where it is, in every upstream.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamExplain {
    pub member: String,
}

/// Why.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Explained {
    pub upstreams: Vec<ExplainedIn>,
}

/// In one upstream.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ExplainedIn {
    /// The upstream with that member alone.
    #[serde(flatten)]
    pub upstream: Upstream,
    /// Every rule that was asked.
    pub rules: Vec<Asked>,
    /// What would put it in.
    pub back_when: Option<String>,
}

/// Asks what would happen if all of this came together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamPlan {
    /// Gossip has lost them, and their services answer nobody.
    pub fail: Vec<String>,
    /// They ask for no new requests.
    pub drain: Vec<String>,
    /// Their checks are critical.
    pub critical: Vec<String>,
    pub join: Vec<Joiner>,
}

/// A member that may join.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Joiner {
    pub name: String,
    /// `None` where it does not matter.
    pub addr: Option<IpAddr>,
    /// What it selects by is as it has to be, unless it stands here.
    pub tags: BTreeMap<String, String>,
}

/// What would happen.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Planned {
    pub upstreams: Vec<PlannedIn>,
}

/// To one upstream.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PlannedIn {
    pub name: String,
    /// How many would get requests.
    pub serving: usize,
    /// Of how many.
    pub base: usize,
    /// As it is configured, `50 %`.
    pub min_healthy: String,
    /// Too few would be well.
    pub panic: bool,
    /// Too few are well now.
    pub panic_before: bool,
    /// How often NGINX would be reloaded for it.
    pub reloads: u32,
    pub servers: Vec<PlannedServer>,
}

/// To one server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PlannedServer {
    pub member: String,
    /// `None` of one that could not be a server.
    #[serde(default)]
    pub addr: Option<SocketAddr>,
    /// `None` of one that is not there yet.
    #[serde(default)]
    pub before: Option<Known<ServerState>>,
    /// `None` of one that is not there any more.
    #[serde(default)]
    pub after: Option<Known<ServerState>>,
    #[serde(default)]
    pub share_before: f64,
    #[serde(default)]
    pub share_after: f64,
    /// Why it would be there.
    #[serde(default)]
    pub why: String,
    /// The same as a value; `None` of one that would be no server.
    #[serde(default)]
    pub reason: Option<Known<VerdictReason>>,
    /// Tags of it that would not be taken as they are.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Nobody has said where it would be, and this is a free address.
    #[serde(default)]
    pub addr_supposed: bool,
}

impl PlannedIn {
    /// Whether anything would be different.
    pub fn differs(&self) -> bool {
        self.reloads > 0
            || self.panic != self.panic_before
            || self.servers.iter().any(|server| server.before != server.after)
    }
}
