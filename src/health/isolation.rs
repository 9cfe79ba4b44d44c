//! Whether a balancer hears nobody at all, so that what its gossip finds out says nothing of others (`protocols D.3`).
//!
//! On a sound network somebody is heard in each interval of gossip's probes: whoever is probed, or probes. Three intervals without a
//! word are sooner over than gossip gives anybody up. With only one other member there is nobody to compare it with.

use std::time::Duration;

use crate::time::Instant;

/// Intervals of gossip's probes without a word.
const INTERVALS: u32 = 3;
/// Others that must be held alive, so that it is rather us than all of them.
const OTHERS: usize = 2;

/// Whether anybody is heard.
#[derive(Debug)]
pub struct Isolation {
    /// When anybody was heard last.
    heard: Instant,
    is_isolated: bool,
    due: Option<Instant>,
}

impl Isolation {
    /// From the start on.
    pub fn new(now: Instant) -> Self {
        Self { heard: now, is_isolated: false, due: None }
    }

    /// Takes when anybody was heard last, where gossip probes each `interval`, and the others whom it holds alive. Whether nobody is
    /// heard.
    pub fn observe<T>(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        interval: Duration,
        alive: impl Iterator<Item = T>,
    ) -> bool {
        if let Some(heard) = heard.filter(|heard| *heard > self.heard) {
            (self.heard, self.is_isolated) = (heard, false);
        }
        let at = self.heard + interval * INTERVALS;
        self.is_isolated |= at <= now && alive.take(OTHERS).count() == OTHERS;
        self.due = Some(at).filter(|at| *at > now);
        self.is_isolated
    }

    /// Whether anybody was heard after that: of what was asked of others then silence says something.
    pub fn has_heard_since(&self, at: Instant) -> bool {
        self.heard > at
    }

    /// When [`Self::observe`] is due, if nothing is heard before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn three_intervals_without_a_word_of_two_who_are_held_alive_are_isolation_until_somebody_is_heard() {
        let mut isolation = Isolation::new(at(0));
        let heard = Some(at(500));
        assert!(!isolation.observe(at(500), heard, INTERVAL, 0..2));
        assert!(isolation.has_heard_since(at(499)) && !isolation.has_heard_since(at(500)));
        assert_eq!(isolation.poll_timeout(), Some(at(3500)));
        assert!(!isolation.observe(at(3499), heard, INTERVAL, 0..2));
        assert!(isolation.observe(at(3500), heard, INTERVAL, 0..2));
        assert_eq!(isolation.poll_timeout(), None);
        assert!(isolation.observe(at(60_000), heard, INTERVAL, 0..0), "also once gossip has given them up");
        assert!(!isolation.observe(at(61_000), Some(at(61_000)), INTERVAL, 0..0));
        assert_eq!(isolation.poll_timeout(), Some(at(64_000)));
    }

    #[test]
    fn who_expects_one_other_or_none_is_not_isolated() {
        let mut isolation = Isolation::new(at(0));
        assert!(!isolation.observe(at(3000), None, INTERVAL, 0..1));
        assert_eq!(isolation.poll_timeout(), None);
        assert!(isolation.observe(at(3001), None, INTERVAL, 0..2));
    }
}
