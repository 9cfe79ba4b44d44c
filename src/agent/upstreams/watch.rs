//! NGINX as it was seen last: who the master is, or why there is none.
//!
//! An apply tells it in passing; between two of them nobody would notice that NGINX has stopped or was started anew, so its master
//! is looked at every few seconds. Whether somebody has touched a file costs more, and is asked less often.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::ended;
use crate::agent::applier::Applier;
use crate::agent::clock::Calendar;
use crate::apply::{Error, Process, Report, State, Step};
use crate::digest::Digest;
use crate::status::node::{Nginx, NginxState};
use crate::time::Instant;

/// How soon it is noticed that another master runs, or none.
const LOOK: Duration = Duration::from_secs(3);
/// How seldom the rest is looked at, and the master while there is none: that takes a program or two, and wakes the privileged
/// side.
const SELDOM: Duration = Duration::from_secs(30);

/// What a look has found.
pub(super) type Look = Result<State, Error>;

/// What is news about it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct News {
    /// Another master runs: nobody has seen what that one serves.
    pub(super) another_master: bool,
    /// Somebody has touched a file that matters since the last look.
    pub(super) touched: bool,
    /// What is in place is not what was put there, or not what NGINX has read.
    pub(super) drifted: bool,
}

/// Looks every few seconds, but not while an apply is under way, which sees more.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Seen,
    since: Option<Instant>,
    look_at: Option<Instant>,
    /// Until the next look; grows while there is no master.
    interval: Duration,
    /// When more than the master is looked at.
    ask_at: Instant,
    /// Of the files that matter, at the last look.
    fingerprint: Option<Digest>,
    looking: Option<JoinHandle<Look>>,
}

#[derive(Clone, Debug)]
enum Seen {
    /// Nobody has looked, or what was seen says nothing of it.
    Unknown,
    Running(Process),
    /// Nothing that is configured is NGINX's.
    Unneeded,
    Absent(Error),
}

impl Watch {
    /// The first apply comes first, as a rule.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: Seen::Unknown,
            since: None,
            look_at: Some(now + LOOK),
            interval: LOOK,
            ask_at: now,
            fingerprint: None,
            looking: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, applier: &Arc<Applier>) {
        if self.look_at.is_some_and(|at| at <= now) {
            if self.ask_at > now && self.seen.master().is_some_and(Process::is_there) {
                self.look_at = Some(now + LOOK);
                return;
            }
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
        self.ask_at = now;
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

    /// Tells what is different.
    pub(super) fn handle_look(&mut self, now: Instant, look: Option<Look>) -> News {
        let mut news = News::default();
        let master = look.map(|look| {
            let state = look?;
            news.touched = self.fingerprint.replace(state.fingerprint) != Some(state.fingerprint);
            news.drifted = state.drifted;
            state.master
        });
        self.interval = match &master {
            // Whom nobody listens to costs nothing.
            Some(Err(error)) if !error.is_unanswered() => (self.interval * 2).min(SELDOM),
            Some(Ok(_) | Err(_)) | None => LOOK,
        };
        (self.look_at, self.ask_at) = (Some(now + self.interval), now + SELDOM);
        let Some(master) = master else { return news };
        let seen = match master {
            Ok(master) => Seen::Running(master),
            Err(Error::NoFile) => Seen::Unneeded,
            Err(error) => Seen::Absent(error),
        };
        news.another_master = self.seen.tell_change(&seen);
        self.see(now, seen);
        news
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
            Seen::Unknown | Seen::Running(_) | Seen::Unneeded => None,
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
            Self::Unknown | Self::Unneeded | Self::Absent(_) => None,
        }
    }

    fn state(&self) -> NginxState {
        match self {
            Self::Running(_) => NginxState::Running,
            Self::Absent(Error::NotRunning { .. }) => NginxState::Stopped,
            Self::Absent(Error::NotInstalled { .. }) => NginxState::NotInstalled,
            Self::Unknown | Self::Unneeded | Self::Absent(_) => NginxState::Unknown,
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
            (Self::Unknown | Self::Unneeded, Self::Absent(error)) => {
                warn!(%error, "nginx is not seen running");
                false
            }
            (_, Self::Unknown | Self::Unneeded | Self::Running(_)) | (Self::Absent(_), Self::Absent(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Notes, Timings, Unanswered};
    use crate::drain::Promises;
    use crate::upstream::{Generation, Holds};

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn state(master: Result<Process, Error>, files: &[u8]) -> Look {
        Ok(State {
            live: None,
            open: false,
            master,
            old_workers: 0,
            holds: Holds::default(),
            promises: Promises::default(),
            drifted: false,
            fingerprint: Digest::of(files),
        })
    }

    fn master(pid: u32, started: u64) -> Look {
        state(Ok(Process { pid, started }), b"")
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
            let seen = (watch.handle_look(at(millis), look).another_master, watch.seen.state(), watch.since);
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
        let (notes, timings) = (Notes::default(), Timings::default());
        let live = |pid| {
            let (master, notes) = (Process { pid, started: 1 }, notes.clone());
            Report::Live { generation, took: LOOK, timings, upstreams: Vec::new(), master, notes }
        };
        let mut watch = Watch::new(at(0));
        watch.applied(at(1), Some(&Report::Unchanged { generation, notes: Notes::default() }));
        assert_eq!(watch.seen.state(), NginxState::Unknown, "it has looked at files alone");
        watch.applied(at(2), Some(&live(8)));
        assert_eq!(watch.seen.state(), NginxState::Running);
        assert!(!watch.handle_look(at(3), Some(master(8, 1))).another_master, "that one serves it");
        watch.applied(at(4), Some(&Report::Stored { generation, why: stopped(), notes: notes.clone() }));
        watch.applied(at(5), None);
        assert_eq!((watch.seen.state(), watch.since), (NginxState::Stopped, Some(at(4))));
        assert!(watch.handle_look(at(6), Some(master(9, 2))).another_master);
        watch.pause();
        assert_eq!(watch.poll_timeout(), None);
        watch.reconfigured(at(7));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, None), "an apply is under way");
        watch.applied(at(8), Some(&live(9)));
        watch.reconfigured(at(9));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, Some(at(9))));
    }

    #[test]
    fn a_touched_file_is_news_once_and_asked_for_each_half_minute() {
        let mut watch = Watch::new(at(0));
        let drifted = |files| state(Err(stopped()), files).map(|state| State { drifted: true, ..state });
        // What a look finds, whether somebody has touched a file, and whether what is in place has drifted.
        for (look, touched, is_drifted) in [
            (state(Err(stopped()), b"one"), true, false),
            (state(Err(stopped()), b"one"), false, false),
            (drifted(b"two"), true, true),
            (drifted(b"two"), false, true),
            (Err(Error::MasterGone), false, false),
            (state(Err(stopped()), b"two"), false, false),
        ] {
            let news = watch.handle_look(at(1), Some(look));
            assert_eq!((news.touched, news.drifted), (touched, is_drifted));
        }
        assert_eq!((watch.look_at, watch.ask_at), (Some(at(1) + watch.interval), at(1) + SELDOM));
        watch.reconfigured(at(2));
        assert_eq!((watch.look_at, watch.ask_at), (Some(at(2)), at(2)));
    }
}
