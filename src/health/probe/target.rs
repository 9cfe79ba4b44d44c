//! One server as it is probed: what its probes have said so far.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Doubt, Event, Plan, Probe, Standing};
use crate::health::answer::{Failure, Outcome};
use crate::time::Instant;
use crate::upstream_name::UpstreamName;
use crate::wire::NodeName;

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
    first_failure: Option<Instant>,
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
                self.successes = self.successes.saturating_add(1);
                let is_well = self.probe != Probe::Down || self.successes >= self.plan.rise;
                if is_well { self.plan.well() } else { self.probe }
            }
            // Nobody could ask, so nothing is known.
            Some(failure) if failure.is_ours() => self.probe,
            Some(_) => {
                self.first_failure.get_or_insert(now);
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
            self.first_failure = None;
        }
        if says != self.probe {
            (self.probe, self.since) = (says, now);
            events.extend(self.says());
        }
        events
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
