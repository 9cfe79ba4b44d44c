//! Serf's logical clocks (`serf §4.1`).
//!
//! A peer's word moves our clock, so a peer could push it to the end of its range and wrap it. Times above
//! [`LamportTime::MAX`] are therefore refused, and our own clock stops there: whatever we stamp is acceptable to others.

use std::num::NonZeroUsize;

pub use crate::wire::serf::LamportTime;

impl LamportTime {
    /// Before anything happened.
    pub const ZERO: Self = Self(0);

    /// Latest time accepted from a peer or reached by our own clock, 2^63. A cluster that counted a million events a second
    /// since its birth would get there in 290 000 years; earlier it is an attack or a defect.
    pub const MAX: Self = Self(1 << 63);

    /// The count itself, for output.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The time after this one; [`Self::MAX`] stays.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1)).min(Self::MAX)
    }

    /// The time before this one; zero stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether an honest cluster can have reached this time.
    pub fn is_plausible(self) -> bool {
        self <= Self::MAX
    }

    /// Whether a ring of `len` recent times has already turned past `self`.
    pub(crate) fn is_older_than_ring(self, now: Self, len: NonZeroUsize) -> bool {
        now.0.saturating_sub(self.0) > len.get() as u64
    }

    /// The slot that belongs to this time in a ring of `len` slots.
    pub(crate) fn slot(self, len: NonZeroUsize) -> usize {
        usize::try_from(self.0 % len.get() as u64).expect("a remainder is smaller than its divisor, a usize")
    }
}

/// One clock. It holds the next time to use, so a message is stamped with [`Clock::time`] before the clock moves on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(LamportTime);

impl Clock {
    /// A clock at 1, then moved past `saved`, the last time seen by an earlier run.
    pub(crate) fn restored(saved: LamportTime) -> Self {
        let mut clock = Self(LamportTime(1));
        if saved > LamportTime::ZERO {
            clock.witness(saved);
        }
        clock
    }

    /// The next time to use.
    pub(crate) fn time(self) -> LamportTime {
        self.0
    }

    /// Uses up the current time and returns it.
    pub(crate) fn stamp(&mut self) -> LamportTime {
        let time = self.0;
        self.0 = time.next();
        time
    }

    /// Leaves out `times` times.
    pub(crate) fn advance(&mut self, times: u64) {
        self.0 = LamportTime(self.0.0.saturating_add(times)).min(LamportTime::MAX);
    }

    /// Moves past `seen`. Returns false and stays if `seen` is implausible.
    pub(crate) fn witness(&mut self, seen: LamportTime) -> bool {
        if !seen.is_plausible() {
            return false;
        }
        if seen >= self.0 {
            self.0 = seen.next();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn witnessing_moves_past_what_was_seen_and_never_back() {
        // clock, seen, clock after
        for (clock, seen, after) in [(1, 0, 1), (1, 1, 2), (7, 6, 7), (7, 7, 8), (7, 8, 9), (7, 1 << 40, (1 << 40) + 1)]
        {
            let mut it = Clock(LamportTime(clock));
            assert!(it.witness(LamportTime(seen)));
            assert_eq!(it.time(), LamportTime(after), "clock {clock} saw {seen}");
        }
    }

    #[test]
    fn implausible_times_are_refused_and_do_not_move_the_clock() {
        for seen in [(1 << 63) + 1, u64::MAX - 1, u64::MAX] {
            let mut clock = Clock(LamportTime(5));
            assert!(!clock.witness(LamportTime(seen)));
            assert_eq!(clock.time(), LamportTime(5));
        }
    }

    #[test]
    fn a_clock_at_its_end_stays_there_and_its_stamps_remain_acceptable() {
        let mut clock = Clock(LamportTime(3));
        assert!(clock.witness(LamportTime::MAX));
        assert_eq!(clock.time(), LamportTime::MAX);
        assert!(clock.stamp().is_plausible());
        assert_eq!(clock.time(), LamportTime::MAX);
    }

    #[test]
    fn a_fresh_clock_starts_at_one_and_a_restored_one_after_what_it_saw() {
        assert_eq!(Clock::restored(LamportTime::ZERO).time(), LamportTime(1));
        assert_eq!(Clock::restored(LamportTime(1)).time(), LamportTime(2));
        assert_eq!(Clock::restored(LamportTime(18)).time(), LamportTime(19));
        assert_eq!(Clock::restored(LamportTime(u64::MAX)).time(), LamportTime(1), "a damaged snapshot poisons nothing");
    }

    #[test]
    fn a_time_is_older_than_the_ring_only_beyond_its_length() {
        let len = NonZeroUsize::new(512).unwrap();
        // As the reference did with its clock at 2001: 1489 accepted, 1488 refused.
        for (time, now, older) in
            [(1489, 2001, false), (1488, 2001, true), (0, 512, false), (0, 513, true), (9, 3, false)]
        {
            assert_eq!(LamportTime(time).is_older_than_ring(LamportTime(now), len), older, "{time} at {now}");
        }
    }
}
