//! From members to servers: who is in an upstream, at which weight, and why.
//!
//! Owns the choice of servers ([`select`](mod@select)), the decision tables and the group rule ([`decide`](mod@decide), `protocols D`), the debounce
//! ([`settle`]) and the document that crosses to `apply` ([`desired`]). Everything is a pure function of members, options and
//! what was decided before. NGINX's syntax is [`crate::nginx`], touching the system is [`crate::apply`].
//!
//! A driver keeps one [`Previous`] per upstream and one [`settle::Settle`] for all of them: on a change of members it calls
//! [`decide()`], compares with [`Previous::is_live`], tells `settle`, and when that is due hands a [`desired::Desired`] of all
//! upstreams to `apply`. It calls [`Previous::decided`] after each decision and [`Previous::applied`] once a decision is live.

mod address;
mod candidate;
mod decide;
pub mod desired;
mod options;
mod previous;
mod select;
mod server;
pub mod settle;
#[cfg(test)]
mod vectors;
mod verdict;
mod witness;

pub use address::{Allow, Network, NetworkError, Refusal};
pub use candidate::{Candidate, Check, Drain, Gossip, Probe, Rank};
pub use decide::{Circumstances, Decision, HoldReason, Judged, Want, decide};
pub use options::{
    AgentLost, HashKey, Method, MinHealthy, OnEmpty, Options, Policy, PortRule, Rule, TagPattern, UpstreamName,
    Warning, WeightRule,
};
pub use previous::Previous;
pub use select::{Draft, LeftOut, Note, select};
pub use server::{Generation, Server, Servers, ServersError, Weight};
pub use verdict::{Mode, Placed, Verdict, VerdictReason, Was, verdict};
pub use witness::{Wish, Witness, witness};
