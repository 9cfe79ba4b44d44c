//! One server as it is probed: what its probes have said so far.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Doubt, Event, Plan, Probe, Standing};
use crate::health::answer::{Failure, Outcome};
use crate::time::Instant;
use crate::upstream_name::UpstreamName;
use crate::wire::NodeName;

/// Beside two intervals: the second witness takes 300 ms.
const PATIENCE: Duration = Duration::from_millis(500);

/// One server of one upstream at one address.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) upstream: UpstreamName,
    pub(super) member: NodeName,
    /// Where it serves.
    server: SocketAddr,
    /// Where it is asked.
    pub(super) addr: SocketAddr,
    pub(super) plan: Plan,
    /// Its upstream has no probe.
    pub(super) bare: bool,
    pub(super) probe: Probe,
    since: Instant,
    /// What its probes have come to say, and nobody was told yet.
    pub(super) turn: Option<Turn>,
    pub(super) doubt: Option<Doubt>,
    /// When it is asked next; `None` if a probe that is under way has to end first, or it is not asked again.
    pub(super) due: Option<Instant>,
    /// From the first probe to the second, where that is not an interval.
    pub(super) second_after: Option<Duration>,
    /// When the newest probe began.
    pub(super) begun: Option<Instant>,
    is_under_way: bool,
    /// When the newest probe that succeeded began.
    pub(super) answered: Option<Instant>,
    took: Option<Duration>,
    failure: Option<Failure>,
    successes: u32,
    failures: u32,
    pub(super) first_failure: Option<Instant>,
    /// When the first of the successes in a row ended; `None` while it fails. Our own network may have come back within it.
    answers_since: Option<Instant>,
    /// When the newest probe that failed began.
    failed: Option<Instant>,
    /// When another member than this one could be reached, after the first failure.
    others_heard: Option<Instant>,
}

/// From what was told of a server to something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) says: Probe,
    at: Instant,
}

impl Target {
    pub(super) fn new(
        upstream: &UpstreamName,
        member: &NodeName,
        (server, addr): (SocketAddr, SocketAddr),
        plan: Plan,
        bare: bool,
        now: Instant,
    ) -> Self {
        Self {
            upstream: upstream.clone(),
            member: member.clone(),
            server,
            addr,
            plan,
            bare,
            // A first result of a bare probe is nothing that anybody waits for.
            probe: if bare { Probe::None } else { Probe::Wait },
            since: now,
            turn: None,
            doubt: None,
            due: None,
            second_after: None,
            begun: None,
            is_under_way: false,
            answered: None,
            took: None,
            failure: None,
            successes: 0,
            failures: 0,
            first_failure: None,
            answers_since: None,
            failed: None,
            others_heard: None,
        }
    }

    /// It serves elsewhere now, and is asked where it was: that vouches for it as before.
    pub(super) fn serves_at(&mut self, server: SocketAddr) -> Option<Event> {
        let before = std::mem::replace(&mut self.server, server);
        self.says().filter(|_| before != server)
    }

    pub(super) fn is_unprobed(&self) -> bool {
        !self.bare && self.took.is_none()
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Whether there is a reason to keep it; what was found against a member while it was suspected goes on counting once it has
    /// failed.
    pub(super) fn is_wanted_in(&self, doubt: Option<Doubt>) -> bool {
        !self.bare
            || match doubt {
                Some(Doubt::Suspected) => true,
                Some(Doubt::Failed) => self.probe == Probe::Down,
                None => false,
            }
    }

    /// A bare probe of a member that has failed has said what it can.
    pub(super) fn is_asked_again(&self) -> bool {
        !self.bare || self.doubt == Some(Doubt::Suspected)
    }

    /// Begins the probe that was due at `due`. Returns when the next one is.
    pub(super) fn begin(&mut self, now: Instant, due: Instant) -> Instant {
        self.begun = Some(now);
        self.is_under_way = true;
        let next = due + self.second_after.take().unwrap_or(self.plan.interval);
        if next > now { next } else { now + self.plan.interval }
    }

    /// The probe that is under way has ended.
    pub(super) fn ended(&mut self, now: Instant, Outcome { took, result }: Outcome) -> Vec<Event> {
        let Some(begun) = self.begun.filter(|_| std::mem::take(&mut self.is_under_way)) else { return Vec::new() };
        self.took = Some(took);
        self.failure = result.err();
        let mut events = Vec::new();
        let says = match &self.failure {
            None => {
                self.answered = Some(begun);
                self.failures = 0;
                self.answers_since.get_or_insert(now);
                self.successes = self.successes.saturating_add(1);
                let is_well = self.probe != Probe::Down || self.successes >= self.plan.rise;
                if is_well { self.plan.well() } else { self.probe }
            }
            // Nobody could ask, so nothing more is known.
            Some(failure) if failure.is_ours() => self.turn.map_or(self.probe, |turn| turn.says),
            Some(_) => {
                self.first_failure.get_or_insert(now);
                (self.failed, self.answers_since) = (Some(begun), None);
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                events.push(Event::Failed {
                    upstream: self.upstream.clone(),
                    member: self.member.clone(),
                    in_a_row: self.failures,
                });
                if self.failures >= self.plan.fall { Probe::Down } else { self.probe }
            }
        };
        if says != Probe::Down && self.failures == 0 {
            (self.first_failure, self.others_heard) = (None, None);
        }
        let turn = Turn { says, at: self.turn.filter(|turn| turn.says == says).map_or(now, |turn| turn.at) };
        self.turn = (says != self.probe).then_some(turn);
        if self.bare && says != Probe::Down {
            events.extend(self.tell(now));
        }
        events
    }

    /// What its probes have come to say is told now.
    pub(super) fn tell(&mut self, now: Instant) -> Option<Event> {
        let turn = self.turn.take()?;
        (self.probe, self.since) = (turn.says, now);
        self.says()
    }

    /// Whether something of it may have to be told although none of its probes ends.
    pub(super) fn is_withheld(&self) -> bool {
        self.turn.is_some() || self.bare && self.failures > 0 && self.probe != Probe::Down
    }

    /// Takes since when another member can be reached. Whether that was after the first failure, and this one did not answer when it was
    /// asked once more after that.
    pub(super) fn is_silent_beside(&mut self, heard: Option<Instant>) -> bool {
        if self.others_heard.is_none() && self.first_failure.is_some() {
            self.others_heard = heard.filter(|at| Some(*at) > self.first_failure);
        }
        self.others_heard.is_some_and(|at| self.fails_since(at))
    }

    /// When that is told, whatever is known of others.
    pub(super) fn turns_at(&self) -> Option<Instant> {
        self.turn.map(|turn| self.patience_ends(turn.at))
    }

    /// By then it has been asked again, and the second witness about it.
    pub(super) fn patience_ends(&self, since: Instant) -> Instant {
        since + self.plan.interval * 2 + PATIENCE
    }

    /// Whether its probes have failed as often as it takes.
    pub(super) fn is_down(&self) -> bool {
        self.turn.map_or(self.probe, |turn| turn.says) == Probe::Down
    }

    /// Since when it answers, if it is well now and nobody was told.
    pub(super) fn is_back_since(&self) -> Option<Instant> {
        self.answers_since.filter(|_| self.turn.is_some_and(|turn| turn.says != Probe::Down))
    }

    /// Whether `other` has answered since this one failed first, while this one did not.
    pub(super) fn is_outlived_by(&self, other: &Self) -> bool {
        let has_answered = other.answered > self.first_failure;
        has_answered
            && other.answers_since.is_some_and(|since| Some(since) <= self.first_failure || self.fails_since(since))
    }

    /// Whether it has failed a probe that was begun after `since`, and answered none after that.
    pub(super) fn fails_since(&self, since: Instant) -> bool {
        self.successes == 0 && self.failed.is_some_and(|begun| begun > since)
    }

    /// What its probes say, for whoever has not heard.
    pub(super) fn says(&self) -> Option<Event> {
        (self.probe != Probe::None).then(|| self.event(self.probe))
    }

    /// It is not probed any more.
    pub(super) fn gone(self) -> Option<Event> {
        (self.probe != Probe::None).then(|| self.event(Probe::None))
    }

    fn event(&self, probe: Probe) -> Event {
        Event::Says { upstream: self.upstream.clone(), member: self.member.clone(), addr: self.server, probe }
    }

    pub(super) fn standing(&self) -> Standing<'_> {
        Standing {
            probe: self.probe,
            since: self.since,
            plan: &self.plan,
            addr: self.addr,
            took: self.took,
            failure: self.failure.as_ref(),
            successes: self.successes,
            failures: self.failures,
            first_failure: self.first_failure,
        }
    }
}
