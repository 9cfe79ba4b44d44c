//! The agent's one clock: the operating system's monotonic one, in nanoseconds.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_reading_is_not_earlier() {
        let first = now();
        assert!(now() >= first);
    }
}
