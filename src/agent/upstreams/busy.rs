//! How long whoever applies has been at what is under way: what takes far longer than it should is told.

use std::time::Duration;

use tracing::{info, warn};

use crate::agent::clock::Calendar;
use crate::apply::RunBy;
use crate::error::Trouble;
use crate::status::node::Slow;
use crate::time::{Instant, millis};

/// A test of NGINX may take 30 s, and everything else a fraction of a second.
const SLOW: Duration = Duration::from_secs(60);

/// What is under way; there is never more than one.
#[derive(Debug, Default)]
pub(super) struct Busy {
    since: Option<Instant>,
    /// The operator has heard that it is slow.
    is_told: bool,
}

impl Busy {
    /// Something is under way, or nothing.
    pub(super) fn observe(&mut self, now: Instant, is_busy: bool) {
        if is_busy {
            self.since.get_or_insert(now);
        } else {
            self.ended(now);
        }
    }

    /// What was under way has ended, whatever follows.
    pub(super) fn ended(&mut self, now: Instant) {
        if let Some(since) = self.since.take().filter(|_| std::mem::take(&mut self.is_told)) {
            info!(elapsed_ms = millis(now.since(since)), "the slow apply has ended");
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.since.filter(|_| !self.is_told).map(|since| since + SLOW)
    }

    /// Tells what is slow, once.
    pub(super) fn handle_timeout(&mut self, now: Instant, by: RunBy) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.is_told = true;
            warn!(error = %trouble(by), "apply is slow");
        }
    }

    /// What is slow, if anything is.
    pub(super) fn status(&self, by: RunBy, calendar: &Calendar) -> Option<Slow> {
        let since = self.since.filter(|since| calendar.age(*since) >= SLOW)?;
        Some(Slow { since: Some(calendar.date(since)), trouble: trouble(by) })
    }
}

fn trouble(by: RunBy) -> Trouble {
    let seconds = SLOW.as_secs();
    match by {
        RunBy::Helper => Trouble::new(
            format!("'weir apply' has been at one change for more than {seconds} s"),
            "see 'journalctl -u weir-apply'; if it hangs, 'systemctl restart weir-apply'",
        ),
        RunBy::Root | RunBy::User => Trouble::new(
            format!("one change has been under way for more than {seconds} s"),
            "see what 'nginx -t' waits for, and 'journalctl -u weir'",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn what_lasts_is_told_once_and_over_when_it_ends() {
        let mut busy = Busy::default();
        busy.observe(at(0), false);
        assert_eq!(busy.poll_timeout(), None);
        for began in [10, 200] {
            busy.observe(at(began), true);
            busy.observe(at(began + 20), true);
            assert_eq!(busy.poll_timeout(), Some(at(began + 60)));
            busy.handle_timeout(at(began + 59), RunBy::Helper);
            assert!(!busy.is_told);
            busy.handle_timeout(at(began + 60), RunBy::Helper);
            assert!(busy.is_told && busy.poll_timeout().is_none());
            busy.observe(at(began + 80), false);
            assert!(!busy.is_told && busy.since.is_none());
        }
    }

    #[test]
    fn one_after_the_other_is_not_one_that_lasts() {
        let mut busy = Busy::default();
        for began in [0, 50, 100] {
            busy.observe(at(began), true);
            assert_eq!(busy.poll_timeout(), Some(at(began + 60)));
            busy.ended(at(began + 50));
        }
    }

    #[test]
    fn it_is_shown_as_long_as_it_lasts() {
        let calendar = Calendar::read();
        let now = crate::agent::clock::now();
        let mut busy = Busy::default();
        busy.observe(now, true);
        assert_eq!(busy.status(RunBy::Helper, &calendar), None);
        let long_ago = Instant::from_nanos(now.as_nanos().saturating_sub(61_000_000_000));
        let mut busy = Busy { since: Some(long_ago), is_told: false };
        let slow = busy.status(RunBy::Helper, &calendar).unwrap();
        assert_eq!(slow.since, Some(calendar.date(long_ago)));
        assert_eq!(
            slow.trouble.to_string(),
            "'weir apply' has been at one change for more than 60 s; see 'journalctl -u weir-apply'; if it hangs, 'systemctl \
             restart weir-apply'"
        );
        busy.ended(now);
        assert_eq!(busy.status(RunBy::Helper, &calendar), None);
    }
}
