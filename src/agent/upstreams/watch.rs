//! NGINX as it was seen last: who the master is, or why there is none.
//!
//! An apply tells it in passing; between two of them nobody would notice that NGINX has stopped or was started anew, so it is
//! looked at every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::ended;
use crate::agent::applier::Applier;
use crate::agent::clock::Calendar;
use crate::apply::{Error, Process, Report, Step};
use crate::status::node::{Nginx, NginxState};
use crate::time::Instant;

/// How soon it is noticed that another master runs, or none.
const LOOK: Duration = Duration::from_secs(3);
/// How seldom it is looked at while there is none: to find one takes a program or two, and wakes the privileged side.
const SELDOM: Duration = Duration::from_secs(30);

/// What a look has found.
pub(super) type Look = Result<Process, Error>;

/// Looks every few seconds, but not while an apply is under way, which sees more.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Seen,
    since: Option<Instant>,
    look_at: Option<Instant>,
    /// Until the next look; grows while there is no master.
    interval: Duration,
    looking: Option<JoinHandle<Look>>,
}

#[derive(Clone, Debug)]
enum Seen {
    /// Nobody has looked, or what was seen says nothing of it.
    Unknown,
    Running(Process),
    Absent(Error),
}

impl Watch {
    /// The first apply comes first, as a rule.
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: Seen::Unknown, since: None, look_at: Some(now + LOOK), interval: LOOK, looking: None }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, applier: &Arc<Applier>) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            let (applier, known) = (Arc::clone(applier), self.seen.master());
            self.looking = Some(tokio::task::spawn_blocking(move || applier.look(known)));
        }
    }

    /// No look is begun any more, and one that is under way does not count.
    pub(super) fn pause(&mut self) {
        (self.look_at, self.looking) = (None, None);
    }

    /// With another configuration another process may be the master.
    pub(super) fn reconfigured(&mut self, now: Instant) {
        if self.seen.master().is_some() {
            self.see(now, Seen::Unknown);
        }
        if self.looking.take().is_some() || self.look_at.is_some() {
            self.look_at = Some(now);
        }
    }

    /// An apply has ended: takes what it has seen, unless it broke off, and goes on.
    pub(super) fn applied(&mut self, now: Instant, report: Option<&Report>) {
        self.look_at = Some(now + LOOK);
        let Some(report) = report else { return };
        let seen = match report {
            Report::Live { master, .. } | Report::RolledBack { master, .. } => Seen::Running(*master),
            Report::Stored { why, .. } => Seen::Absent(why.clone()),
            Report::Refused { error: Error::Upgrading { .. }, .. } => return,
            Report::Refused { step: Step::Locate, error, .. } => Seen::Absent(error.clone()),
            // That it is in place already says nothing of who serves it.
            Report::Unchanged { .. } | Report::Refused { .. } => return,
            Report::Failed { .. } => Seen::Unknown,
        };
        self.see(now, seen);
    }

    /// What a look has found; `None` if it broke off. Cancel-safe.
    pub(super) async fn looked(&mut self) -> Option<Look> {
        ended(&mut self.looking).await
    }

    /// Tells what is different. Whether another master runs from now on: nobody has seen what that one serves.
    pub(super) fn handle_look(&mut self, now: Instant, look: Option<Look>) -> bool {
        self.interval = match &look {
            // Whom nobody listens to costs nothing.
            Some(Err(error)) if !error.is_unanswered() => (self.interval * 2).min(SELDOM),
            Some(Ok(_) | Err(_)) | None => LOOK,
        };
        self.look_at = Some(now + self.interval);
        let Some(look) = look else { return false };
        let seen = look.map_or_else(Seen::Absent, Seen::Running);
        let is_another = self.seen.tell_change(&seen);
        self.see(now, seen);
        is_another
    }

    fn see(&mut self, now: Instant, seen: Seen) {
        if self.seen.state() != seen.state() {
            self.since = Some(now);
        }
        self.seen = seen;
    }

    /// What there is to tell.
    pub(super) fn status(&self, calendar: &Calendar) -> Nginx {
        let error = match &self.seen {
            Seen::Absent(error) => Some(error),
            Seen::Unknown | Seen::Running(_) => None,
        };
        Nginx {
            state: self.seen.state().into(),
            pid: self.seen.master().map(|master| master.pid),
            since: self.since.map(|since| calendar.date(since)),
            message: error.map(Error::what),
            remedy: error.and_then(Error::remedy),
        }
    }
}

impl Seen {
    fn master(&self) -> Option<Process> {
        match self {
            Self::Running(master) => Some(*master),
            Self::Unknown | Self::Absent(_) => None,
        }
    }

    fn state(&self) -> NginxState {
        match self {
            Self::Running(_) => NginxState::Running,
            Self::Absent(Error::NotRunning { .. }) => NginxState::Stopped,
            Self::Absent(Error::NotInstalled { .. }) => NginxState::NotInstalled,
            Self::Unknown | Self::Absent(_) => NginxState::Unknown,
        }
    }

    /// Tells with one line of the operator's timeline if `next` is news. Whether it is another master.
    fn tell_change(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Running(before), Self::Running(after)) if before != after => {
                info!(before = before.pid, after = after.pid, "nginx has another master");
                true
            }
            (Self::Absent(_), Self::Running(master)) => {
                info!(pid = master.pid, "nginx has come up");
                true
            }
            (Self::Running(master), Self::Absent(error)) => {
                warn!(pid = master.pid, %error, "nginx stopped");
                false
            }
            (Self::Unknown, Self::Absent(error)) => {
                warn!(%error, "nginx is not seen running");
                false
            }
            (_, Self::Unknown | Self::Running(_)) | (Self::Absent(_), Self::Absent(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::Unanswered;
    use crate::upstream::Generation;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn master(pid: u32, started: u64) -> Look {
        Ok(Process { pid, started })
    }

    fn stopped() -> Error {
        Error::NotRunning { unit: Some("nginx.service".to_owned()) }
    }

    #[test]
    fn another_master_is_one_that_nobody_has_seen_to_serve() {
        let missing = || Error::NotInstalled { upstreams: Vec::new(), binary: None };
        let mut watch = Watch::new(at(0));
        // What a look finds, whether that is another master, and the state since when.
        for (millis, look, is_another, state, since) in [
            (1, None, false, NginxState::Unknown, None),
            (2, Some(master(8, 1)), false, NginxState::Running, Some(2)),
            (3, Some(master(8, 1)), false, NginxState::Running, Some(2)),
            (4, Some(master(9, 2)), true, NginxState::Running, Some(2)),
            (5, Some(master(9, 3)), true, NginxState::Running, Some(2)),
            (6, Some(Err(stopped())), false, NginxState::Stopped, Some(6)),
            (7, Some(Err(missing())), false, NginxState::NotInstalled, Some(7)),
            (8, Some(master(9, 3)), true, NginxState::Running, Some(8)),
            (9, Some(Err(Error::MasterGone)), false, NginxState::Unknown, Some(9)),
            (10, Some(master(9, 4)), true, NginxState::Running, Some(10)),
        ] {
            let seen = (watch.handle_look(at(millis), look), watch.seen.state(), watch.since);
            assert_eq!(seen, (is_another, state, since.map(at)), "{millis}");
            assert_eq!(watch.poll_timeout(), Some(at(millis) + watch.interval));
        }
    }

    #[test]
    fn a_master_that_stays_away_is_looked_for_ever_less_often() {
        let mut watch = Watch::new(at(0));
        let mut next = |look| {
            watch.handle_look(at(0), Some(look));
            watch.poll_timeout().unwrap().since(at(0)).as_secs()
        };
        for wanted in [6, 12, 24, 30, 30] {
            assert_eq!(next(Err(stopped())), wanted);
        }
        assert_eq!(next(master(8, 1)), 3);
        assert_eq!(next(Err(stopped())), 6);
        let missing = || Error::Unanswered { upstreams: Vec::new(), socket: "/s".into(), why: Unanswered::Missing };
        assert_eq!((next(Err(missing())), next(Err(missing()))), (3, 3), "it costs nothing to ask nobody");
    }

    #[test]
    fn what_an_apply_has_seen_is_not_news_for_the_next_look() {
        let generation = Generation(3);
        let live =
            |pid| Report::Live { generation, took: LOOK, upstreams: Vec::new(), master: Process { pid, started: 1 } };
        let mut watch = Watch::new(at(0));
        watch.applied(at(1), Some(&Report::Unchanged { generation }));
        assert_eq!(watch.seen.state(), NginxState::Unknown, "it has looked at files alone");
        watch.applied(at(2), Some(&live(8)));
        assert_eq!(watch.seen.state(), NginxState::Running);
        assert!(!watch.handle_look(at(3), Some(master(8, 1))), "that one serves it");
        watch.applied(at(4), Some(&Report::Stored { generation, why: stopped() }));
        watch.applied(at(5), None);
        assert_eq!((watch.seen.state(), watch.since), (NginxState::Stopped, Some(at(4))));
        assert!(watch.handle_look(at(6), Some(master(9, 2))));
        watch.pause();
        assert_eq!(watch.poll_timeout(), None);
        watch.reconfigured(at(7));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, None), "an apply is under way");
        watch.applied(at(8), Some(&live(9)));
        watch.reconfigured(at(9));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, Some(at(9))));
    }
}
