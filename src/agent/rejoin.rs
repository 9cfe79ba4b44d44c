//! Back to the members that the snapshot knows (`design §5`).
//!
//! The first try is made at start. Whoever does not answer it and was not heard of since is tried again with growing pauses:
//! after a power cut the hosts may be up before their network is, and then nobody else would ever make the first step.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::join::{self, Next, Retry};
use super::notice::some_of;
use crate::config::Gossip;
use crate::endpoint::{Endpoint, JoinTarget};
use crate::serf::Status;
use crate::status::Trouble;
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

/// What follows from a timeout.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Step {
    Nothing,
    /// Contact these; [`Rejoin::ended`] is to be called after it.
    Try(Vec<JoinTarget>),
    /// These never answered; nobody looks for them any more.
    Forget(Vec<String>),
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

    /// Whoever is missing.
    pub(super) fn missing(&self) -> &[JoinTarget] {
        &self.missing
    }

    /// Tries those who are missing from `now` on.
    pub(super) fn again(&mut self, now: Instant) {
        if self.is_needed() {
            self.retry.again(now);
        }
    }

    /// Whether anybody is missing.
    pub(super) fn is_needed(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Whom to try now, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Instant, endpoint: &Endpoint) -> Step {
        if !self.retry.is_due(now) {
            return Step::Nothing;
        }
        self.strike_found(endpoint);
        if self.missing.is_empty() {
            self.stop();
            Step::Nothing
        } else if self.is_over(now) {
            self.forget_missing(endpoint)
        } else {
            Step::Try(self.missing.clone())
        }
    }

    /// A try has ended. What did not answer is told once; later tries are nobody's news.
    pub(super) fn ended(&mut self, now: Instant, endpoint: &Endpoint, failures: &[Trouble]) {
        if self.retry.tries() == 1 {
            join::tell_unanswered(failures);
        } else {
            failures.iter().for_each(|failure| debug!(error = failure.to_string(), "join address did not answer"));
        }
        self.strike_found(endpoint);
        if self.missing.is_empty() {
            return self.stop();
        }
        let missing = some_of(self.missing.iter().map(|target| target.label.as_str()));
        match self.retry.failed(now) {
            Next::After(pause) => debug!(missing, pause_s = pause.as_secs(), "members of the snapshot are missing"),
            Next::GiveUp => warn!(missing, "giving up to find members of the snapshot"),
            Next::Nothing => {}
        }
    }

    fn strike_found(&mut self, endpoint: &Endpoint) {
        let alone = is_alone(endpoint);
        self.missing.retain(|target| !is_found(endpoint, target, alone));
    }

    fn forget_missing(&mut self, endpoint: &Endpoint) -> Step {
        let members = some_of(self.missing.iter().map(|target| target.label.as_str()));
        info!(members, "members of the snapshot never answered, they are forgotten");
        let names = self.missing.iter().map(|target| target.label.clone());
        let unheard = names.filter(|name| endpoint.member(name).is_none()).collect();
        self.stop();
        Step::Forget(unheard)
    }
}

/// Whether nobody else is present.
pub(super) fn is_alone(endpoint: &Endpoint) -> bool {
    let own = &endpoint.local().name;
    !endpoint.members().any(|member| member.status.is_present() && member.node.name != *own)
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
