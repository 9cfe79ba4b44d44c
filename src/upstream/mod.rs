//! From members to servers: who is in an upstream, at which weight, and why.
//!
//! Owns the choice of servers ([`select`](mod@select)), the decision tables and the group rule ([`decide`](mod@decide), `protocols D`), the debounce
//! ([`settle`]), the machine that brings them together for all upstreams of a node ([`balancer`]) and the document that crosses
//! to `apply` ([`desired`]). Everything is a pure function of members, options and what was decided before. NGINX's syntax is
//! [`crate::nginx`], touching the system is [`crate::apply`].

mod address;
pub mod balancer;
mod candidate;
mod cause;
pub mod cuts;
mod damping;
mod decide;
pub mod desired;
mod difference;
pub mod explain;
mod history;
mod hold;
mod members;
mod options;
pub mod plan;
mod select;
mod server;
pub mod settle;
mod slow_start;
#[cfg(test)]
mod vectors;
mod verdict;
mod witness;

pub use crate::health::probe::Probe;
pub use crate::health::query::Check;
pub use crate::upstream_name::UpstreamName;
pub use address::{Allow, Network, NetworkError, Refusal};
pub use candidate::{Candidate, Drain, Gossip, Pings, Rank, Standing};
pub use cause::{Cause, Causes, MemberEvent};
pub use damping::{Damping, Flap};
pub use decide::{Circumstances, Decision, HoldReason, Judged, Want, decide};
pub use difference::{Change, Difference, differences};
pub use history::History;
pub use hold::{Hold, Holds, NotAReason, Reason};
pub use members::{Member, MemberStatus, Members, MembersError, PlainName};
pub use options::{
    AgentLost, HashKey, Method, MinHealthy, OnDead, OnEmpty, Options, Policy, PortRule, Rule, TagPattern, Warning,
    WeightRule,
};
pub use select::{Draft, LeftOut, Note, select};
pub use server::{Generation, Server, Servers, ServersError, Weight};
pub use slow_start::SlowStart;
pub use verdict::{Absence, Mode, Placed, Previous, Verdict, VerdictReason, verdict};
pub use witness::{Intent, Witness, witness};
