//! Back to the members that the snapshot knows (`design §5`).
//!
//! The first try is made at start. Whoever does not answer it and was not heard of since is tried again with growing pauses:
//! after a power cut the hosts may be up before their network is, and then nobody else would ever make the first step.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::driver::{Agent, Purpose};
use super::join::{Next, Resolved, Retry};
use crate::config::Gossip;
use crate::endpoint::{Endpoint, JoinTarget};
use crate::serf::Status;
use crate::time::Instant;

/// Members of an earlier run that are not found yet.
#[derive(Debug)]
pub(super) struct Rejoin {
    /// The most promising first, each labelled with its name.
    missing: Vec<JoinTarget>,
    retry: Retry,
    begun: Instant,
    /// Whoever is missing for longer is forgotten, as a failed member would be.
    patience: Duration,
}

impl Rejoin {
    /// The first try is due at `now`.
    pub(super) fn new(missing: Vec<JoinTarget>, gossip: &Gossip, now: Instant) -> Self {
        let retry = Retry::new(!missing.is_empty(), gossip.join_retry_interval, gossip.join_retry_max, now);
        Self { missing, retry, begun: now, patience: gossip.reconnect_timeout }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry.poll_timeout()
    }

    /// Takes new limits; they hold from the next try and failure on.
    pub(super) fn set_limits(&mut self, gossip: &Gossip) {
        self.patience = gossip.reconnect_timeout;
        self.retry.set_limits(gossip.join_retry_interval, gossip.join_retry_max);
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.begun + self.patience
    }

    /// No further try.
    pub(super) fn stop(&mut self) {
        self.missing.clear();
        self.retry.stop();
    }
}

impl Agent {
    /// Goes back to the members of the snapshot. With nobody to join or to discover, what we know is the cluster.
    pub(super) fn begin_rejoin(&mut self, now: Instant) {
        if !self.rejoin.missing.is_empty() {
            self.continue_rejoin(now);
        } else if self.config.gossip.join.is_empty() && self.discovery.is_none() {
            self.first_view_complete();
        }
    }

    /// Tries whoever is missing, if it is time.
    pub(super) fn continue_rejoin(&mut self, now: Instant) {
        if !self.rejoin.retry.is_due(now) {
            return;
        }
        self.strike_found();
        if self.rejoin.missing.is_empty() {
            self.rejoin.stop();
        } else if self.rejoin.is_over(now) {
            self.forget_missing();
        } else {
            let resolved = Resolved { targets: self.rejoin.missing.clone(), unresolved: Vec::new() };
            self.start_join(Purpose::Rejoin, resolved);
        }
    }

    /// A try has ended. What did not answer is told once; later tries are nobody's news.
    pub(super) fn rejoin_ended(&mut self, now: Instant, failures: &[String]) {
        for error in failures {
            if self.rejoin.retry.tries() == 1 {
                info!(error, "join address did not answer");
            } else {
                debug!(error, "join address did not answer");
            }
        }
        self.strike_found();
        if self.rejoin.missing.is_empty() || self.is_leaving() {
            return self.rejoin.stop();
        }
        let missing = self.rejoin.missing.len();
        match self.rejoin.retry.failed(now) {
            Next::After(pause) => debug!(missing, pause_s = pause.as_secs(), "members of the snapshot are missing"),
            Next::GiveUp => warn!(missing, "giving up to find members of the snapshot"),
            Next::Nothing => {}
        }
    }

    fn strike_found(&mut self) {
        let (endpoint, alone) = (&self.endpoint, self.is_alone());
        self.rejoin.missing.retain(|target| !is_found(endpoint, target, alone));
    }

    fn forget_missing(&mut self) {
        for target in &self.rejoin.missing {
            if self.endpoint.member(&target.label).is_none() {
                self.store.forget(&target.label);
            }
        }
        info!(members = self.rejoin.missing.len(), "members of the snapshot never answered, they are forgotten");
        self.rejoin.stop();
    }
}

/// Whether somebody told of the member. Failed ones are looked for by the Serf layer, slowly; as long as nobody else is there
/// either, they are our only way back.
fn is_found(endpoint: &Endpoint, target: &JoinTarget, alone: bool) -> bool {
    match endpoint.member(&target.label).map(|member| member.status) {
        None => false,
        Some(Status::Failed) => !alone,
        Some(Status::Alive | Status::Leaving | Status::Left) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn patience_counts_from_the_start_also_when_it_changes() {
        let start = Instant::from_nanos(5_000_000_000);
        let gossip = |seconds| Gossip { reconnect_timeout: Duration::from_secs(seconds), ..Config::default().gossip };
        let mut rejoin = Rejoin::new(Vec::new(), &gossip(100), start);
        let is_over = |rejoin: &Rejoin, seconds| rejoin.is_over(start + Duration::from_secs(seconds));
        assert!(!is_over(&rejoin, 99) && is_over(&rejoin, 100));
        rejoin.set_limits(&gossip(10));
        assert!(!is_over(&rejoin, 9) && is_over(&rejoin, 10));
    }
}
