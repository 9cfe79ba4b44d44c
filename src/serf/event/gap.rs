//! User events that went past us.
//!
//! Whoever fires an event uses the next Lamport time it knows of, so a time that is skipped and stays out belongs to an event
//! that gossip did not bring. A push/pull holds the recent ones: the reference waits for its next regular one, by which
//! time a busy cluster has forgotten them. Here an exchange is asked for as soon as a gap has had time to close by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::serf::clock::LamportTime;
use crate::time::Instant;

/// Gossip may still bring what is this late. An exchange brings all that its partner has, so neither is there a second one
/// earlier: a cluster that loses many events would be busy with nothing else.
const PATIENCE: Duration = Duration::from_millis(300);
/// Exchanges asked for on account of one time: its event may be lost to everybody.
const TRIES: u32 = 3;
/// Times remembered. A longer gap is a clock that jumped.
const MAX_MISSING: usize = 256;

/// Lamport times whose events are missing.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    missing: BTreeMap<LamportTime, Missing>,
    /// No exchange is asked for before this.
    not_before: Instant,
}

#[derive(Debug)]
struct Missing {
    due: Instant,
    tries: u32,
}

impl Gaps {
    /// An event of `ltime` came while `expected` was the next time due.
    pub(crate) fn arrived(&mut self, now: Instant, expected: LamportTime, ltime: LamportTime) {
        if ltime > expected && ltime.0 - expected.0 <= MAX_MISSING as u64 && expected > LamportTime(1) {
            for skipped in expected.0..ltime.0 {
                self.missing.insert(LamportTime(skipped), Missing { due: now + PATIENCE, tries: 0 });
            }
        }
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// An event of `ltime` was taken, by whatever way.
    pub(crate) fn filled(&mut self, ltime: LamportTime) {
        self.missing.remove(&ltime);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.due).min().map(|due| due.max(self.not_before))
    }

    /// Whether an exchange is wanted now.
    pub(crate) fn overdue(&mut self, now: Instant) -> bool {
        if now < self.not_before {
            return false;
        }
        let mut overdue = false;
        self.missing.retain(|_, missing| {
            if missing.due <= now {
                overdue = true;
                missing.tries += 1;
                missing.due = now + PATIENCE * (1 << missing.tries);
            }
            missing.tries < TRIES
        });
        if overdue {
            self.not_before = now + PATIENCE;
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    fn arrived(gaps: &mut Gaps, expected: u64, ltime: u64) {
        gaps.arrived(NOW, LamportTime(expected), LamportTime(ltime));
    }

    #[test]
    fn skipped_times_are_missed_until_they_come() {
        let mut gaps = Gaps::default();
        arrived(&mut gaps, 5, 5);
        assert_eq!(gaps.poll_timeout(), None);
        arrived(&mut gaps, 6, 8);
        assert!(!gaps.overdue(NOW), "gossip has its time");
        gaps.filled(LamportTime(6));
        assert!(gaps.overdue(NOW + PATIENCE), "7 is still out");
        gaps.filled(LamportTime(7));
        assert_eq!(gaps.poll_timeout(), None);
    }

    #[test]
    fn what_nobody_has_is_given_up() {
        let mut gaps = Gaps::default();
        arrived(&mut gaps, 5, 6);
        let mut asked = 0;
        let mut now = NOW;
        while let Some(due) = gaps.poll_timeout() {
            now = now.max(due);
            asked += u32::from(gaps.overdue(now));
        }
        assert_eq!(asked, TRIES);
    }

    #[test]
    fn a_first_event_and_a_clock_that_jumped_are_no_gap() {
        let mut gaps = Gaps::default();
        arrived(&mut gaps, 1, 400);
        arrived(&mut gaps, 401, 10_000);
        assert_eq!(gaps.poll_timeout(), None);
    }

    #[test]
    fn many_gaps_in_a_row_ask_no_more_often_than_gossip_has_time() {
        let mut gaps = Gaps::default();
        let mut asked = 0;
        for step in 0..100 {
            let now = NOW + PATIENCE / 30 * step;
            gaps.arrived(now, LamportTime(5 + 2 * u64::from(step)), LamportTime(6 + 2 * u64::from(step)));
            asked += u32::from(gaps.overdue(now));
            let due = gaps.poll_timeout().expect("times are missing");
            assert!(due > now, "what is put off is not due");
        }
        assert!((1..=3).contains(&asked), "{asked} in three times as long");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut gaps = Gaps::default();
        for round in 0..10 {
            arrived(&mut gaps, 2 + round * 300, 2 + round * 300 + 200);
        }
        assert!(gaps.missing.len() <= MAX_MISSING);
    }
}
