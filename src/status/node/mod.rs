//! The node document: everything that one node knows of itself and of its cluster, typed.
//!
//! The agent fills it in one place; `info`, `doctor`, Serf's `stats` and what else is shown of a node are views of it. It is
//! also what crosses the RPC border, so its names and units are those of `ux §2.1`: times are RFC 3339, durations end in
//! `_ms` or `_s`, shares run from 0 to 1. Fields are only ever added; whoever reads ignores those it does not know and takes
//! a missing one at its default. Keys are named by identifier. Names and tags of peers are as they sent them: escape them
//! before a terminal sees them.

mod apply;
mod attention;
mod change;
mod check;
mod cluster;
mod config;
mod handler;
mod keys;
mod probe;
mod snapshot;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Known, Trouble};
use crate::serf::Claim;

pub use apply::{
    Apply, ApplyResult, ForeignEdit, HeldUnconfigured, LastApply, Miss, Nginx, NginxState, Reload, Slow, Unseen,
};
pub use attention::{Attention, CLAIM_S, HEARD_S, Kind, attention};
pub(super) use attention::{to_start, too_many_wanted};
pub use change::{Change, Field, Value};
pub use check::{Check, CheckKind, Health};
pub use cluster::{
    Apart, Clocks, Cluster, LastChange, LongName, Member, NameClaim, Queues, Stranger, Traffic, Unfound,
};
pub use config::{Configuration, Refused};
pub use handler::{Handler, LastRun, Run};
pub use keys::{Key, Keys, RemovedKey, WORN};
pub use probe::{Probe, ProbeState};
pub use snapshot::{Failing, Snapshot};
pub use upstream::{Held, Kept, LeftOut, LeftOutReason, Server, ServerState, Upstream, Want};

/// The document.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Document {
    pub node: Node,
    pub config: Configuration,
    pub cluster: Cluster,
    pub health: Health,
    pub keys: Keys,
    /// `None` without a snapshot.
    pub snapshot: Option<Snapshot>,
    pub upstreams: Vec<Upstream>,
    /// `None` where nothing is balanced.
    pub nginx: Option<Nginx>,
    /// `None` where nothing is balanced.
    pub apply: Option<Apply>,
    /// Of this node, by name.
    pub checks: Vec<Check>,
    pub handlers: Vec<Handler>,
    /// What was sent and received.
    pub traffic: Traffic,
    /// Remote input that was refused, by reason, where there was any.
    pub drops: BTreeMap<String, u64>,
    /// What happened at the RPC border, by kind.
    pub rpc: BTreeMap<String, u64>,
    /// What an operator should look at, the worst first.
    pub attention: Vec<Attention>,
    /// Everybody, ourselves included; only for whoever asks for them.
    pub members: Vec<Member>,
}

/// This node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub version: String,
    /// It stands in for Serf's agent.
    pub serf_mode: bool,
    /// Zero if it does not say.
    pub pid: u32,
    pub started: Option<String>,
    pub uptime_s: u64,
    /// Where it listens for gossip.
    pub bind: Option<SocketAddr>,
    /// What it tells others.
    pub addr: Option<SocketAddr>,
    pub tags: BTreeMap<String, String>,
    pub incarnation: u32,
    /// How late it is with its own probes; 0 is well (Lifeguard's awareness).
    pub awareness: u32,
    /// That its host has not the address where others look for it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_gone: Option<Trouble>,
    /// Another member has its name, and the majority sides with that one.
    pub silenced: bool,
    pub silenced_since: Option<String>,
    /// Another host that uses its name.
    pub namesake: Option<Namesake>,
    /// Balancers are to send it no new requests; `None` while it serves, and while it leaves without having been drained.
    pub drain: Option<Drain>,
    pub runtime: Runtime,
}

/// Another host of the same name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Namesake {
    pub addr: SocketAddr,
    /// Since it last showed.
    pub ago_s: u64,
    /// Whose the name is.
    pub claim: Known<Claim>,
}

/// Who took a node out of the balancers, over restarts as well.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Drain {
    /// An operator asked for it.
    pub operator: bool,
    /// The guard unit of an application that is down asked for it.
    pub guard: bool,
    /// Which applications' units, where the guards have said.
    pub guards: Vec<String>,
    /// In the operator's words.
    pub reason: Option<String>,
    /// Balancers that have said that they send it nothing new.
    pub confirmed: Vec<String>,
    /// Balancers that may still: they have not confirmed, or failed or left before they did.
    pub open: Vec<String>,
}

/// What the program runs on.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Runtime {
    pub os: String,
    pub arch: String,
    pub cpus: usize,
    /// Tasks that are alive.
    pub tasks: usize,
}

/// What a balancer has to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Balancing {
    pub upstreams: Vec<Upstream>,
    pub nginx: Nginx,
    pub apply: Apply,
    /// As the cluster's.
    pub isolated_since: Option<String>,
}

/// When something happened.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Moment {
    pub at: Option<String>,
    pub ago_s: u64,
}

#[cfg(test)]
pub(crate) mod tests;
