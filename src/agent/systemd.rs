//! What the service manager is told: ready, status, reloading, stopping, and that the loop still turns.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

use crate::service_manager;
use crate::time::Instant;

/// Speaks to systemd's notify socket; silent where there is none.
///
/// The watchdog is fed from the loop itself and by nothing else: a loop that hangs must be restarted.
#[derive(Debug)]
pub(super) struct Systemd {
    /// Half the time systemd waits for a sign of life.
    feed_every: Option<Duration>,
    next_feed: Option<Instant>,
    status: String,
    /// What it says may be so no more.
    is_old: bool,
}

impl Systemd {
    /// Reads `WATCHDOG_USEC`; the first sign of life is due at once.
    pub(super) fn from_environment(now: Instant) -> Self {
        Self::new(sd_notify::watchdog_enabled(), now)
    }

    fn new(watchdog: Option<Duration>, now: Instant) -> Self {
        let feed_every = watchdog.map(|period| period / 2);
        Self { feed_every, next_feed: feed_every.map(|_| now), status: String::new(), is_old: false }
    }

    /// Sockets are bound and the snapshot is read.
    pub(super) fn ready(&mut self, status: String) {
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        self.status = status;
    }

    /// Something is different that the status tells of. To make it takes all members, so it is made once for all that happens
    /// in one turn of the loop.
    pub(super) fn status_is_old(&mut self) {
        self.is_old = true;
    }

    /// Whether a new status is wanted; asked once, the next is up to [`Self::status_is_old`].
    pub(super) fn wants_status(&mut self) -> bool {
        std::mem::take(&mut self.is_old)
    }

    /// Plain words for `systemctl status`; sent only when they differ from the last.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            offer(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// A reload begins; [`Self::ready`] ends it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(stamp) => tell(&[NotifyState::Reloading, stamp]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// The agent leaves or stops.
    pub(super) fn stopping(&self, status: &str) {
        offer(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// When [`Self::feed`] wants to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_feed
    }

    /// Sends the sign of life if it is due.
    pub(super) fn feed(&mut self, now: Instant) {
        if let (Some(every), Some(due)) = (self.feed_every, self.next_feed)
            && due <= now
        {
            offer(&[NotifyState::Watchdog]);
            self.next_feed = Some(now + every);
        }
    }
}

/// What must arrive: the service manager waits for it.
fn tell(states: &[NotifyState<'_>]) {
    log_unreachable(sd_notify::notify(states));
}

/// What may be lost.
fn offer(states: &[NotifyState<'_>]) {
    log_unreachable(service_manager::offer(states));
}

/// A service manager that cannot be reached changes nothing about what the agent does.
fn log_unreachable(sent: io::Result<()>) {
    if let Err(error) = sent {
        debug!(%error, "service manager not reachable");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_is_fed_at_half_its_period() {
        let start = Instant::from_nanos(1_000);
        let mut systemd = Systemd::new(Some(Duration::from_secs(10)), start);
        assert_eq!(systemd.poll_timeout(), Some(start));
        systemd.feed(start);
        assert_eq!(systemd.poll_timeout(), Some(start + Duration::from_secs(5)));
        systemd.feed(start + Duration::from_secs(1));
        assert_eq!(systemd.poll_timeout(), Some(start + Duration::from_secs(5)));
    }

    #[test]
    fn a_status_is_made_once_for_all_that_makes_it_old() {
        let mut systemd = Systemd::new(None, Instant::ZERO);
        assert!(!systemd.wants_status());
        (0..1000).for_each(|_| systemd.status_is_old());
        assert_eq!([systemd.wants_status(), systemd.wants_status()], [true, false]);
    }

    #[test]
    fn without_a_watchdog_nothing_is_due() {
        let mut systemd = Systemd::new(None, Instant::ZERO);
        systemd.feed(Instant::ZERO);
        assert_eq!(systemd.poll_timeout(), None);
    }
}
