//! Rounds of gossip, and their pace.
//!
//! The reference gossips on a fixed tick. One node may decide alone to do better, and no peer needs to know: a new broadcast
//! goes out at once, and while the queue holds messages that few were told, ticks come faster, within a budget of bytes.
//! The later transmissions of each message keep the tick, so that a short disturbance cannot swallow all of them.

use std::time::Duration;

use super::Endpoint;
use crate::swim::broadcast;
use crate::time::Instant;

/// Shortest pause between two rounds.
const MIN_PAUSE: Duration = Duration::from_millis(5);
/// Rounds per gossip interval while the queue is young.
const FAST: u32 = 8;
/// Gossip bytes per second beyond which rounds keep the tick.
const BYTES_PER_SECOND: u64 = 2 << 20;
/// Bytes that may be sent at once after a calm.
const BURST_BYTES: u64 = 512 << 10;

/// What is queued, as far as the pace depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pressure {
    /// Nothing.
    None,
    /// Every message is past half of its transmissions.
    Late,
    /// Some are in the first half.
    Young,
    /// More than fits into one round.
    Deep,
}

/// When the next round of gossip is due.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    last: Instant,
    next: Option<Instant>,
    /// Token bucket of bytes.
    tokens: u64,
    refilled: Instant,
}

impl Pace {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, last: now, next: None, tokens: BURST_BYTES, refilled: now }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Called whenever something may have been queued: a new message does not wait for the tick.
    pub(super) fn wake(&mut self, pressure: Pressure, now: Instant) {
        if let Some(pause) = self.pause(pressure, now) {
            let soon = (self.last + pause).max(now);
            self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        }
    }

    /// Called after a round that sent `bytes`.
    pub(super) fn ran(&mut self, pressure: Pressure, bytes: usize, now: Instant) {
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(bytes as u64);
        self.last = now;
        self.next = self.pause(pressure, now).map(|pause| now + pause);
    }

    fn pause(&mut self, pressure: Pressure, now: Instant) -> Option<Duration> {
        self.refill(now);
        let affordable = self.tokens > 0;
        match pressure {
            Pressure::None => None,
            Pressure::Deep if affordable => Some(MIN_PAUSE),
            Pressure::Young if affordable => Some((self.interval / FAST).max(MIN_PAUSE)),
            Pressure::Late | Pressure::Young | Pressure::Deep => Some(self.interval),
        }
    }

    fn refill(&mut self, now: Instant) {
        let earned = now.since(self.refilled).as_nanos() * u128::from(BYTES_PER_SECOND) / 1_000_000_000;
        if earned > 0 {
            self.tokens = BURST_BYTES.min(self.tokens.saturating_add(u64::try_from(earned).unwrap_or(u64::MAX)));
            self.refilled = now;
        }
    }
}

impl Endpoint {
    pub(super) fn gossip(&mut self, now: Instant) {
        if self.is_silent() {
            return self.pace.ran(Pressure::None, 0, now);
        }
        let mut bytes = 0;
        for node in self.swim.gossip_targets(now, self.options.swim.gossip_nodes) {
            let sent = self.send_gossip(now, &node);
            if sent == 0 {
                break;
            }
            bytes += sent;
        }
        let pressure = self.pressure(now);
        self.pace.ran(pressure, bytes, now);
    }

    /// What waits to be told. Where nobody is to be told anything it waits without a timer; the last one that we declared
    /// dead is still told so.
    pub(super) fn pressure(&self, now: Instant) -> Pressure {
        if self.is_silent() || !self.swim.has_gossip_targets(now) {
            return Pressure::None;
        }
        let limit = broadcast::transmit_limit(self.options.swim.retransmit_mult, self.swim.len());
        let lowest = [self.swim.queue().lowest_tier(), self.serf.lowest_tier()].into_iter().flatten().min();
        let queued = self.swim.queue().bytes() + self.serf.queued_bytes();
        match lowest {
            None => Pressure::None,
            Some(tier) if 2 * tier >= limit => Pressure::Late,
            Some(_) if queued > self.envelope.packet_budget() => Pressure::Deep,
            Some(_) => Pressure::Young,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(200);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn new_broadcast_does_not_wait_for_the_tick() {
        let mut pace = Pace::new(TICK, at(0));
        assert_eq!(pace.poll_timeout(), None);
        pace.wake(Pressure::Young, at(1000));
        assert_eq!(pace.poll_timeout(), Some(at(1000)));
    }

    #[test]
    fn an_empty_queue_needs_no_timer() {
        let mut pace = Pace::new(TICK, at(0));
        pace.wake(Pressure::Young, at(1000));
        pace.ran(Pressure::None, 100, at(1000));
        assert_eq!(pace.poll_timeout(), None);
    }

    #[test]
    fn later_transmissions_keep_the_tick() {
        let mut pace = Pace::new(TICK, at(0));
        pace.ran(Pressure::Late, 100, at(1000));
        assert_eq!(pace.poll_timeout(), Some(at(1200)));
        pace.ran(Pressure::Young, 100, at(1200));
        assert_eq!(pace.poll_timeout(), Some(at(1225)));
    }

    #[test]
    fn beyond_the_byte_budget_a_deep_queue_keeps_the_tick() {
        let mut pace = Pace::new(TICK, at(0));
        pace.ran(Pressure::Deep, BURST_BYTES as usize, at(1000));
        assert_eq!(pace.poll_timeout(), Some(at(1200)));
        pace.ran(Pressure::Deep, 1400, at(1200));
        assert_eq!(pace.poll_timeout(), Some(at(1205)), "the budget refills");
    }

    #[test]
    fn rounds_never_follow_each_other_at_once() {
        let mut pace = Pace::new(TICK, at(0));
        pace.ran(Pressure::None, 100, at(1000));
        pace.wake(Pressure::Young, at(1001));
        assert_eq!(pace.poll_timeout(), Some(at(1025)));
        pace.wake(Pressure::Deep, at(1002));
        assert_eq!(pace.poll_timeout(), Some(at(1005)));
    }
}
