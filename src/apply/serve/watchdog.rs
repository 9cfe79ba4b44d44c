//! That the helper is at work, for systemd's watchdog.
//!
//! The loop tells it and nothing else, so a process that was stopped, or that stands still in the kernel, is silent. So is one with
//! a job that takes longer than any can: a test of NGINX, a reload and whatever else is waited for have limits of their own, within
//! which a job is at work however little it seems to do.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing::{debug, error};

use crate::apply::SLOWEST;
use crate::service_manager;

/// When to give the next sign of life.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// Half the time that systemd waits for one; `None` if it waits for none.
    every: Option<Duration>,
    due: Instant,
    is_stuck: bool,
}

impl Watchdog {
    /// Reads `WATCHDOG_USEC`; the first sign of life is due at once.
    pub(super) fn from_environment() -> Self {
        Self::new(sd_notify::watchdog_enabled(), Instant::now())
    }

    fn new(period: Option<Duration>, now: Instant) -> Self {
        Self { every: period.map(|period| period / 2), due: now, is_stuck: false }
    }

    /// When [`Self::feed`] wants to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.due)
    }

    /// Gives the sign of life that is due, if all jobs under way began lately enough; these are their beginnings.
    pub(super) fn feed(&mut self, now: Instant, jobs: impl IntoIterator<Item = Instant>) {
        if self.is_due(now, jobs)
            && let Err(error) = service_manager::offer(&[NotifyState::Watchdog])
        {
            debug!(%error, "service manager not reachable");
        }
    }

    fn is_due(&mut self, now: Instant, jobs: impl IntoIterator<Item = Instant>) -> bool {
        let Some(every) = self.every.filter(|_| self.due <= now) else { return false };
        self.due = now + every;
        let is_stuck = jobs.into_iter().any(|began| now.duration_since(began) > SLOWEST);
        if is_stuck && !self.is_stuck {
            error!(seconds = SLOWEST.as_secs(), "a job takes longer than any can, systemd is to end this process");
        }
        self.is_stuck = is_stuck;
        !is_stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_within_its_time_is_at_work_and_one_beyond_it_is_stuck() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(30)), start);
        for (seconds, jobs, is_due) in [
            (0, vec![], true),
            (14, vec![], false),
            (15, vec![at(15)], true),
            (299, vec![at(15), at(298)], true),
            (315, vec![at(15)], true),
            (330, vec![at(15), at(329)], false),
            (345, vec![at(15)], false),
            (360, vec![], true),
        ] {
            assert_eq!(watchdog.is_due(at(seconds), jobs), is_due, "{seconds} s");
        }
        assert_eq!(watchdog.due(), Some(at(375)));
    }

    #[test]
    fn without_a_watchdog_nothing_is_due() {
        let now = Instant::now();
        let mut watchdog = Watchdog::new(None, now);
        assert!(watchdog.due().is_none() && !watchdog.is_due(now, []));
    }
}
