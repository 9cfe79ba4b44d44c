//! The agent's one clock: the operating system's monotonic one, in nanoseconds.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::status::node::Moment;
use crate::time::Instant;

/// Which clock [`now`] reads; the timer must arm on the same one.
pub(super) const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// The present moment. It never goes back, and stands still while the machine is suspended.
pub(super) fn now() -> Instant {
    let time = clock_gettime(CLOCK).expect("the monotonic clock exists on every Linux");
    let seconds = u64::try_from(time.tv_sec()).expect("the monotonic clock is never negative");
    let nanos = u32::try_from(time.tv_nsec()).expect("nanoseconds of a second fit in u32");
    Instant::ZERO + Duration::new(seconds, nanos)
}

/// The monotonic clock and the time of day at one moment, to tell when something was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    now: Instant,
    wall: SystemTime,
}

impl Calendar {
    /// Reads both.
    pub(super) fn read() -> Self {
        Self { now: now(), wall: SystemTime::now() }
    }

    /// How long ago `then` was.
    pub(super) fn age(&self, then: Instant) -> Duration {
        self.now.since(then)
    }

    /// `then` as RFC 3339; it may be yet to come.
    pub(super) fn date(&self, then: Instant) -> String {
        let ahead = Self { wall: self.wall.checked_add(then.since(self.now)).unwrap_or(self.wall), ..*self };
        ahead.before(self.age(then))
    }

    /// The time so long ago, as RFC 3339.
    pub(super) fn before(&self, age: Duration) -> String {
        let then = self.wall.checked_sub(age).and_then(|then| Timestamp::try_from(then).ok());
        format!("{:.0}", then.unwrap_or_default())
    }

    /// A time of day as RFC 3339, in milliseconds of Unix time.
    pub(super) fn unix(millis: u64) -> String {
        let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        format!("{:.0}", time.unwrap_or_default())
    }

    /// The time of day in milliseconds of Unix time.
    pub(super) fn unix_now() -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        crate::time::millis(since)
    }

    /// `then` both ways.
    pub(super) fn moment(&self, then: Instant) -> Moment {
        Moment { at: Some(self.date(then)), ago_s: self.age(then).as_secs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_reading_is_not_earlier() {
        let first = now();
        assert!(now() >= first);
    }

    #[test]
    fn a_moment_is_told_in_the_time_of_day() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_345_731);
        let calendar = Calendar { now: Instant::ZERO + Duration::from_secs(100), wall };
        let moment = calendar.moment(Instant::ZERO + Duration::from_secs(97));
        assert_eq!(moment, Moment { at: Some("2025-11-28T16:02:08Z".to_owned()), ago_s: 3 });
        let later = Moment { at: Some("2025-11-28T16:02:12Z".to_owned()), ago_s: 0 };
        assert_eq!(calendar.moment(Instant::ZERO + Duration::from_secs(101)), later);
    }
}
