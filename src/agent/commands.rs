//! temporary
use super::AgentError;
use super::driver::Agent;
use super::join::Unresolved;
use super::log::Log;
use crate::config::Rpc;
use crate::endpoint::{JoinFailure, JoinTarget};
use crate::serf::{Event, KeyOutcome, QueryKey, QueryOutput};
use crate::time::Instant;
use crate::wire::NodeName;
use std::net::SocketAddr;
use std::time::Duration;
#[derive(Debug)]
pub(super) struct Commands;
#[derive(Debug, Default)]
pub(super) struct Pending;
#[derive(Debug)]
pub(super) struct JoinReply;
#[derive(Debug)]
pub(super) struct Call;
impl JoinReply {
    pub(super) fn replay(&self) -> bool {
        false
    }
    pub(super) fn done(self, _contacted: usize, _unresolved: &[Unresolved], _failures: &[(JoinTarget, JoinFailure)]) {}
}
impl Pending {
    pub(super) fn query_answer(&mut self, _answer: QueryOutput) {}
    pub(super) fn keys_done(&mut self, _query: &QueryKey, _outcome: KeyOutcome) {}
    pub(super) fn force_left(&mut self, _member: &NodeName, _result: &Result<(), String>) {}
    pub(super) fn left(&mut self) {}
}
impl Commands {
    pub(super) async fn listen(_rpc: &Rpc, _log: Log) -> Result<Self, AgentError> {
        Ok(Self)
    }
    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        None
    }
    pub(super) async fn recv(&mut self) -> Call {
        std::future::pending().await
    }
    pub(super) fn publish(&mut self, _event: &Event, _now: Instant) {}
    pub(super) async fn finish(&mut self, _within: Duration) {}
}
impl Agent {
    pub(super) fn handle_call(&mut self, _call: Call) {}
}
