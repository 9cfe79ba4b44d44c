//! The snapshot on disk (to come).

use super::AgentError;
use super::driver::Agent;
use crate::config::Config;
use crate::endpoint::{self, JoinTarget};
use crate::serf::MemberEvent;
use crate::time::Instant;
use crate::wire::serf::Tags;

#[derive(Debug)]
pub(super) struct Store;

#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) endpoint: endpoint::Restored,
    pub(super) members: Vec<JoinTarget>,
    pub(super) tags: Option<Tags>,
}

#[derive(Debug)]
pub(super) struct Report;

impl Store {
    pub(super) async fn open(_config: &Config) -> Result<(Self, Restored), AgentError> {
        Ok((Self, Restored::default()))
    }
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub(super) async fn finish(&mut self) {}
}
impl Agent {
    pub(super) fn flush_snapshot(&mut self, _now: Instant) {}
    pub(super) fn snapshot_member(&mut self, _event: &MemberEvent) {}
    pub(super) fn snapshot_left(&mut self) {}
    pub(super) fn handle_snapshot_report(&mut self, _now: Instant, _report: Report) {}
}
