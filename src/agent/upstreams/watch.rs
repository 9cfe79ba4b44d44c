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
use crate::apply::{Error, Process, Report, RunBy, State, Step};
use crate::digest::Digest;
use crate::status::node::{Nginx, NginxState, Unseen};
use crate::time::Instant;

/// How soon it is noticed that another master runs, or none.
const LOOK: Duration = Duration::from_secs(3);
/// How seldom the rest is looked at, and the master while there is none: that takes a program or two, and wakes the privileged
/// side.
const SELDOM: Duration = Duration::from_secs(30);

/// What a look has found, or why nobody could look.
pub(super) type Look = Result<State, Error>;

/// What is news about it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct News {
    /// Another master runs: nobody has seen what that one serves.
    pub(super) another_master: bool,
    /// Somebody has touched a file that matters since the last look.
    pub(super) touched: bool,
    /// What is in place is not what was put there, or not what NGINX has read; at the last look it was.
    pub(super) drifted: bool,
    /// Nobody could look the last time.
    pub(super) looks_again: bool,
}

/// Looks every few seconds, but not while an apply is under way, which sees more.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Seen,
    since: Option<Instant>,
    /// What was installed when this master was looked at first.
    version: Option<(Process, String)>,
    /// Why nobody can look now, and since when. What was seen last stays.
    unseen: Option<(Error, Instant)>,
    look_at: Option<Instant>,
    /// Until the next look; grows while there is no master.
    interval: Duration,
    /// When more than the master is looked at.
    ask_at: Instant,
    /// Of the files that matter, at the last look.
    fingerprint: Option<Digest>,
    /// What is in place had drifted at the last look, and nothing was put in place since.
    pub(super) has_drifted: bool,
    looking: Option<JoinHandle<(Look, Option<String>)>>,
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
            version: None,
            unseen: None,
            look_at: Some(now + LOOK),
            interval: LOOK,
            ask_at: now,
            fingerprint: None,
            has_drifted: false,
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
            self.looking = Some(tokio::task::spawn_blocking(move || (applier.look(known), applier.nginx_version())));
        }
    }

    /// Who was seen last.
    pub(super) fn master(&self) -> Option<Process> {
        self.seen.master()
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
    pub(super) fn applied(&mut self, now: Instant, report: Option<&Report>, by: RunBy) {
        self.look_at = Some(now + LOOK);
        let Some(report) = report else { return };
        if let Report::Refused { error, .. } = report
            && error.is_unanswered()
        {
            // Once somebody answers, it is tried again.
            (self.interval, self.ask_at) = (LOOK, now);
            return self.sees_nothing(now, error.clone(), by);
        }
        self.fingerprint = report.notes().fingerprint.or(self.fingerprint);
        self.has_drifted &= !matches!(report, Report::Live { .. } | Report::Stored { .. });
        if report.was_begun() {
            self.sees_again();
        }
        let seen = match report {
            Report::Live { master, .. } | Report::RolledBack { master, .. } => Seen::Running(*master),
            Report::Stored { why, .. } => Seen::Absent(why.clone()),
            Report::Refused { error: Error::Upgrading { .. }, .. } => return,
            Report::Refused { step: Step::Locate, error, .. } => Seen::Absent(error.clone()),
            // That it is in place already says nothing of who serves it.
            Report::Unchanged { .. } => {
                if matches!(self.seen, Seen::Unknown) {
                    self.look_at = Some(now);
                }
                return;
            }
            Report::Refused { .. } => return,
            Report::Failed { .. } => Seen::Unknown,
        };
        self.see(now, seen);
    }

    /// What a look has found; `None` if it broke off. Cancel-safe.
    pub(super) async fn looked(&mut self) -> Option<Look> {
        let (look, version) = ended(&mut self.looking).await?;
        self.note_version(&look, version);
        Some(look)
    }

    /// An upgrade exchanges the program under a master that goes on: the first word counts.
    fn note_version(&mut self, look: &Look, installed: Option<String>) {
        let Ok(State { master: Ok(master), .. }) = look else { return };
        if self.version.as_ref().is_none_or(|(of, _)| of != master) {
            self.version = installed.map(|version| (*master, version));
        }
    }

    /// Tells what is different, in the words for who looks.
    pub(super) fn handle_look(&mut self, now: Instant, look: Option<Look>, by: RunBy) -> News {
        self.interval = match &look {
            // Whom nobody listens to costs nothing.
            Some(Err(error)) if !error.is_unanswered() => (self.interval * 2).min(SELDOM),
            Some(Ok(State { master: Err(_), .. })) => (self.interval * 2).min(SELDOM),
            Some(Ok(_) | Err(_)) | None => LOOK,
        };
        let seldom = if let Some(Err(_)) = look { self.interval } else { SELDOM };
        (self.look_at, self.ask_at) = (Some(now + self.interval), now + seldom);
        match look {
            None => News::default(),
            Some(Err(error)) => {
                self.sees_nothing(now, error, by);
                News::default()
            }
            Some(Ok(state)) => {
                let seen = match state.master {
                    Ok(master) => Seen::Running(master),
                    Err(Error::NoFile) => Seen::Unneeded,
                    Err(error) => Seen::Absent(error),
                };
                let news = News {
                    looks_again: self.sees_again(),
                    another_master: self.seen.tell_change(&seen, by),
                    touched: self.fingerprint.replace(state.fingerprint) != Some(state.fingerprint),
                    drifted: !std::mem::replace(&mut self.has_drifted, state.drifted) && state.drifted,
                };
                self.see(now, seen);
                news
            }
        }
    }

    /// Says nothing of NGINX. Told once.
    fn sees_nothing(&mut self, now: Instant, error: Error, by: RunBy) {
        let since = match &self.unseen {
            Some((_, since)) => *since,
            None => {
                warn!(error = %error.told(by), "nginx cannot be looked after");
                now
            }
        };
        self.unseen = Some((error, since));
    }

    /// Whether nobody could look before.
    fn sees_again(&mut self) -> bool {
        let again = self.unseen.take().is_some();
        if again {
            info!("nginx is looked after again");
        }
        again
    }

    fn see(&mut self, now: Instant, seen: Seen) {
        if self.seen.state() != seen.state() {
            self.since = Some(now);
        }
        self.seen = seen;
    }

    /// What there is to tell, in the words for who looks.
    pub(super) fn status(&self, calendar: &Calendar, by: RunBy) -> Nginx {
        let told = match &self.seen {
            Seen::Absent(error) => Some(error.told(by)),
            Seen::Unknown | Seen::Running(_) | Seen::Unneeded => None,
        };
        let unseen = self.unseen.as_ref().map(|(error, since)| Unseen {
            helper_missing: error.is_unanswered(),
            since: Some(calendar.date(*since)),
            trouble: error.told(by),
        });
        // Who ends while nobody can look is still seen to be gone.
        let is_gone = unseen.is_some() && self.seen.master().is_some_and(|master| !master.is_there());
        let version = self.version.as_ref().filter(|(of, _)| self.seen.master() == Some(*of));
        let nginx = Nginx {
            state: self.seen.state().into(),
            version: version.map(|(_, version)| version.clone()),
            pid: self.seen.master().map(|master| master.pid),
            since: self.since.map(|since| calendar.date(since)),
            remedy: told.as_ref().map(|told| told.way_out.clone()).filter(|way_out| !way_out.is_empty()),
            message: told.map(|told| told.what),
            unseen,
        };
        if is_gone { Nginx { state: NginxState::Unknown.into(), pid: None, since: None, ..nginx } } else { nginx }
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
    fn tell_change(&self, next: &Self, by: RunBy) -> bool {
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
                warn!(pid = master.pid, error = %error.told(by), "nginx stopped");
                false
            }
            (Self::Unknown | Self::Unneeded, Self::Absent(error)) => {
                warn!(error = %error.told(by), "nginx is not seen running");
                false
            }
            (_, Self::Unknown | Self::Unneeded | Self::Running(_)) | (Self::Absent(_), Self::Absent(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Notes, Refusal, Timings, Unanswered};
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

    fn without(error: Error) -> Look {
        state(Err(error), b"")
    }

    fn unheard() -> Error {
        Error::Unanswered { upstreams: Vec::new(), socket: "/s".into(), why: Unanswered::Missing }
    }

    fn this_process() -> Process {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let started = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap();
        Process { pid: std::process::id(), started: started.parse().unwrap() }
    }

    #[test]
    fn where_nobody_can_look_what_was_seen_stays_and_no_master_is_new() {
        let calendar = Calendar::read();
        let this = this_process();
        let mut watch = Watch::new(at(0));
        let found = |news: News, watch: &Watch| {
            let told = watch.status(&calendar, RunBy::Helper);
            let helper_missing = told.unseen.as_ref().map(|unseen| unseen.helper_missing);
            (news.another_master, news.looks_again, told.state.word().copied(), told.message, helper_missing)
        };
        let up = || state(Ok(this), b"");
        let running = Some(NginxState::Running);
        // What a look finds; whether that is another master, whether it is the first for a while, and what is told.
        for (millis, look, wanted) in [
            (1, up(), (false, false, running, None, None)),
            (2, Err(unheard()), (false, false, running, None, Some(true))),
            (3, Err(Error::NotDone(Refusal::Busy)), (false, false, running, None, Some(false))),
            (4, up(), (false, true, running, None, None)),
            (5, up(), (false, false, running, None, None)),
        ] {
            let news = watch.handle_look(at(millis), Some(look), RunBy::Helper);
            assert_eq!(found(news, &watch), wanted, "{millis}");
            assert_eq!(watch.since, Some(at(1)));
        }
        watch.handle_look(at(6), Some(master(u32::MAX, 1)), RunBy::Helper);
        let news = watch.handle_look(at(7), Some(Err(unheard())), RunBy::Helper);
        assert_eq!(found(news, &watch), (false, false, Some(NginxState::Unknown), None, Some(true)), "it is gone");
        watch.handle_look(at(8), Some(Err(unheard())), RunBy::Helper);
        assert_eq!(watch.unseen.as_ref().map(|(_, since)| *since), Some(at(7)), "told once");
        let generation = Generation(3);
        watch.applied(at(9), Some(&Report::Unchanged { generation, notes: Notes::default() }), RunBy::Helper);
        assert_eq!(watch.unseen, None, "whoever applies can look");

        // An apply that nobody answers says so before the next look, whenever that would have been.
        watch.handle_look(at(10), Some(up()), RunBy::Helper);
        assert_eq!(watch.ask_at, at(10) + SELDOM);
        let unheard = unheard();
        let notes = Notes::default();
        let refused = Report::Refused { generation: None, step: Step::Ask, error: unheard, ours: false, notes };
        watch.applied(at(11), Some(&refused), RunBy::Helper);
        assert_eq!(watch.unseen.as_ref().map(|(_, since)| *since), Some(at(11)));
        assert_eq!((watch.look_at, watch.ask_at), (Some(at(11) + LOOK), at(11)));
        assert!(watch.handle_look(at(12), Some(up()), RunBy::Helper).looks_again, "and it is tried again");
    }

    #[test]
    fn after_a_restart_that_changes_nothing_nginx_is_looked_for_at_once() {
        let mut watch = Watch::new(at(0));
        let unchanged = || Report::Unchanged { generation: Generation(3), notes: Notes::default() };
        watch.applied(at(100), Some(&unchanged()), RunBy::Helper);
        assert_eq!(watch.poll_timeout(), Some(at(100)));
        watch.handle_look(at(150), Some(master(8, 1)), RunBy::Helper);
        watch.applied(at(200), Some(&unchanged()), RunBy::Helper);
        assert_eq!(watch.poll_timeout(), Some(at(200) + LOOK), "it is known by then");
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
            (6, Some(without(stopped())), false, NginxState::Stopped, Some(6)),
            (7, Some(without(missing())), false, NginxState::NotInstalled, Some(7)),
            (8, Some(master(9, 3)), true, NginxState::Running, Some(8)),
            (9, Some(without(Error::MasterGone)), false, NginxState::Unknown, Some(9)),
            (10, Some(master(9, 4)), true, NginxState::Running, Some(10)),
        ] {
            let seen =
                (watch.handle_look(at(millis), look, RunBy::Helper).another_master, watch.seen.state(), watch.since);
            assert_eq!(seen, (is_another, state, since.map(at)), "{millis}");
            assert_eq!(watch.poll_timeout(), Some(at(millis) + watch.interval));
        }
    }

    #[test]
    fn a_master_that_stays_away_is_looked_for_ever_less_often() {
        let mut watch = Watch::new(at(0));
        let mut next = |look| {
            watch.handle_look(at(0), Some(look), RunBy::Helper);
            watch.poll_timeout().unwrap().since(at(0)).as_secs()
        };
        for wanted in [6, 12, 24, 30, 30] {
            assert_eq!(next(without(stopped())), wanted);
        }
        assert_eq!(next(master(8, 1)), 3);
        assert_eq!(next(without(stopped())), 6);
        assert_eq!((next(Err(unheard())), next(Err(unheard()))), (3, 3), "it costs nothing to ask nobody");
        let refused = || Error::NotDone(Refusal::Busy);
        assert_eq!((next(Err(refused())), next(Err(refused()))), (6, 12));
    }

    #[test]
    fn a_master_keeps_the_version_that_was_installed_when_it_was_seen_first() {
        let mut watch = Watch::new(at(0));
        // What a look finds, what is installed, and what is told.
        for (look, installed, told) in [
            (without(stopped()), Some("1.22.0"), None),
            (master(8, 1), None, None),
            (master(8, 1), Some("1.22.1"), Some("1.22.1")),
            (master(8, 1), Some("1.24.0"), Some("1.22.1")),
            (master(9, 2), Some("1.24.0"), Some("1.24.0")),
            (without(stopped()), Some("1.24.0"), None),
        ] {
            watch.note_version(&look, installed.map(str::to_owned));
            watch.handle_look(at(1), Some(look), RunBy::Helper);
            assert_eq!(watch.status(&Calendar::read(), RunBy::Helper).version.as_deref(), told);
        }
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
        watch.applied(at(1), Some(&Report::Unchanged { generation, notes: Notes::default() }), RunBy::Helper);
        assert_eq!(watch.seen.state(), NginxState::Unknown, "it has looked at files alone");
        watch.applied(at(2), Some(&live(8)), RunBy::Helper);
        assert_eq!(watch.seen.state(), NginxState::Running);
        assert!(!watch.handle_look(at(3), Some(master(8, 1)), RunBy::Helper).another_master, "that one serves it");
        watch.applied(at(4), Some(&Report::Stored { generation, why: stopped(), notes: notes.clone() }), RunBy::Helper);
        watch.applied(at(5), None, RunBy::Helper);
        assert_eq!((watch.seen.state(), watch.since), (NginxState::Stopped, Some(at(4))));
        assert!(watch.handle_look(at(6), Some(master(9, 2)), RunBy::Helper).another_master);
        watch.pause();
        assert_eq!(watch.poll_timeout(), None);
        watch.reconfigured(at(7));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, None), "an apply is under way");
        watch.applied(at(8), Some(&live(9)), RunBy::Helper);
        watch.reconfigured(at(9));
        assert_eq!((watch.seen.state(), watch.poll_timeout()), (NginxState::Unknown, Some(at(9))));
    }

    #[test]
    fn a_touched_file_is_news_once_and_asked_for_each_half_minute() {
        let mut watch = Watch::new(at(0));
        let drifted = |files| state(Err(stopped()), files).map(|state| State { drifted: true, ..state });
        // What a look finds, whether somebody has touched a file, and whether what is in place has drifted since.
        for (look, touched, is_drifted) in [
            (state(Err(stopped()), b"one"), true, false),
            (state(Err(stopped()), b"one"), false, false),
            (drifted(b"two"), true, true),
            (drifted(b"two"), false, false),
            (state(Err(stopped()), b"two"), false, false),
            (drifted(b"two"), false, true),
            (Err(Error::MasterGone), false, false),
            (state(Err(stopped()), b"two"), false, false),
        ] {
            let news = watch.handle_look(at(1), Some(look), RunBy::Helper);
            assert_eq!((news.touched, news.drifted), (touched, is_drifted));
        }
        // What an apply failed of was mended before anybody looked again.
        let (error, ours, step) = (Error::MasterGone, false, Step::Validate);
        let notes = Notes { fingerprint: Some(Digest::of(b"broken")), ..Notes::default() };
        watch.applied(at(1), Some(&Report::Refused { generation: None, step, error, ours, notes }), RunBy::Helper);
        for touched in [true, false] {
            let news = watch.handle_look(at(1), Some(state(Err(stopped()), b"two")), RunBy::Helper);
            assert_eq!(news.touched, touched);
        }
        // The same edit right after it was put back is another one; what could not be put back is not.
        let (why, notes) = (stopped(), Notes::default());
        let unchanged = Report::Unchanged { generation: Generation(4), notes: notes.clone() };
        let stored = Report::Stored { generation: Generation(4), why, notes };
        watch.handle_look(at(1), Some(drifted(b"two")), RunBy::Root);
        for (report, is_news) in [(unchanged, false), (stored, true)] {
            watch.applied(at(1), Some(&report), RunBy::Helper);
            assert_eq!(watch.handle_look(at(1), Some(drifted(b"two")), RunBy::Root).drifted, is_news);
        }
        assert_eq!((watch.look_at, watch.ask_at), (Some(at(1) + watch.interval), at(1) + SELDOM));
        watch.reconfigured(at(2));
        assert_eq!((watch.look_at, watch.ask_at), (Some(at(2)), at(2)));
    }
}
