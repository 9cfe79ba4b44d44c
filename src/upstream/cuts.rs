//! Whose requests are set free: which servers are dead beyond doubt, and when NGINX's connections to them are ended (`protocols D.4`).
//!
//! A driver calls [`Cuts::handle_decisions`] after each decision and takes [`Cuts::poll_cut`] until it is empty, at the latest at
//! [`Cuts::poll_timeout`]; of each cut it reports the end with [`Cuts::handle_cut`]. A job for `apply` carries [`Cuts::dead`], and
//! what it cut comes back by [`Cuts::handle_recorded`]. Ending connections is `apply`'s, and whether another server answers is
//! known to whoever probes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::balancer::{Balancer, Upstream};
use super::{
    Decision, Drain, Judged, Mode, OnDead, Options, Pings, Placed, Server, Servers, UpstreamName, VerdictReason,
    Witness,
};
use crate::time::Instant;
use crate::wire::NodeName;

/// From one pass to the next, as long as NGINX may still send requests there.
const INTERVAL: Duration = Duration::from_millis(500);
/// After one that has ended connections. Until its worker has seen the first of them end, NGINX does not know that the server has
/// failed, and begins others; `apply` looks at a server no more often than this.
const AGAIN: Duration = Duration::from_millis(300);
/// For how long older workers are looked after that may yet begin a request: those they accepted before they were told to end, and
/// that were not read by then.
const OLDER_WORKERS: Duration = Duration::from_secs(60);
/// From one look at older workers to the next at most, if nothing was found.
const MAX_INTERVAL: Duration = Duration::from_secs(2);

/// A server of an upstream.
pub type Place = (UpstreamName, NodeName);

/// Every server that is dead beyond doubt.
#[derive(Debug, Default)]
pub struct Cuts {
    deaths: BTreeMap<Place, Death>,
}

#[derive(Debug)]
struct Death {
    /// Which of NGINX's workers have it.
    held_by: HeldBy,
    /// When its connections are ended next.
    pass: Pass,
    /// Not before that, whatever is news.
    free_at: Instant,
    /// Another server answered a probe that was begun after this one's first failure: it is not our own network.
    is_vouched: bool,
    /// Connections that were ended and are not recorded yet.
    cut: u32,
    /// Of them, those that the job under way records.
    carried: u32,
    /// The operator has heard of it.
    is_told: bool,
}

/// Workers that may send requests to a dead server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HeldBy {
    /// All: what is to do without it is not in place.
    All,
    /// Only those of an earlier generation, if there are any.
    Older {
        until: Instant,
        /// To the next look, unless this one finds something.
        interval: Duration,
    },
    None,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pass {
    At(Instant),
    UnderWay,
    /// It cannot be done here, and trying again changes nothing.
    Never,
}

/// How a pass has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Passed {
    /// So many connections are gone.
    Cut(u32),
    /// None could be ended this time.
    Failed,
    /// No worker of NGINX has it any more.
    Over,
    /// None can be ended here.
    Impossible,
}

impl Cuts {
    /// Takes note of who is dead by the last decisions, who is not any more, and whom NGINX has still.
    pub fn handle_decisions(&mut self, now: Instant, balancer: &Balancer) {
        let upstreams = balancer.upstreams();
        let mut before = std::mem::take(&mut self.deaths);
        let spared: BTreeSet<SocketAddr> = upstreams.iter().flat_map(in_use).collect();
        // Of those that are not seen nobody can tell who is dead.
        let is_seen = |upstream: &&Upstream| !balancer.is_isolated() && !upstream.is_blind();
        for upstream in upstreams.iter().filter(is_seen) {
            let Some(decision) = upstream.decision() else { continue };
            for judged in decision.members.iter().filter(|judged| is_dead(judged, decision, upstream.options())) {
                if addrs(upstream, judged).any(|addr| spared.contains(&addr)) {
                    continue;
                }
                let place = (upstream.name().clone(), judged.name.clone());
                let mut death = before.remove(&place).unwrap_or_else(|| Death::new(now));
                death.is_served(now, upstream.live().is_some_and(|live| serves(live, &judged.name)));
                self.deaths.insert(place, death);
            }
        }
    }

    /// The next one whose connections are to be ended now, if `vouches` says that another server of its upstream answered a probe
    /// that was begun after its own first failure; with it how many were ended before, are not recorded, and are no job's to
    /// record. Reported with [`Self::handle_cut`].
    pub fn poll_cut(
        &mut self,
        now: Instant,
        vouches: impl Fn(&UpstreamName, &NodeName) -> bool,
    ) -> Option<(Place, u32)> {
        for ((upstream, member), death) in &mut self.deaths {
            let is_due = death.due().is_some_and(|at| at <= now);
            // Only while it is so.
            death.is_vouched = if is_due { vouches(upstream, member) } else { death.is_vouched };
            if is_due && death.is_vouched {
                death.pass = Pass::UnderWay;
                return Some(((upstream.clone(), member.clone()), death.cut.saturating_sub(death.carried)));
            }
        }
        None
    }

    /// A pass has ended. How many connections that were if the operator is to hear of it: once for each death.
    pub fn handle_cut(&mut self, now: Instant, place: &Place, passed: Passed) -> Option<u32> {
        // It may have come back meanwhile.
        let death = self.deaths.get_mut(place)?;
        death.passed(now, passed);
        match passed {
            Passed::Cut(connections) => death.count(connections),
            Passed::Failed | Passed::Over | Passed::Impossible => None,
        }
    }

    /// So many of what was ended are recorded by who ended them.
    pub fn handle_written(&mut self, place: &Place, connections: u32) {
        if let Some(death) = self.deaths.get_mut(place) {
            death.cut = death.cut.saturating_sub(connections);
        }
    }

    /// The job has ended: what it did not record is for another one, or for who ends connections next.
    pub fn handle_job_ended(&mut self) {
        self.deaths.values_mut().for_each(|death| death.carried = 0);
    }

    /// A job has ended connections of older workers, and recorded them with those from before: so many.
    pub fn handle_recorded(&mut self, place: &Place, connections: u32) -> Option<u32> {
        let death = self.deaths.get_mut(place)?;
        let told = death.count(connections.saturating_sub(death.carried));
        death.cut = death.cut.saturating_sub(connections);
        death.carried = 0;
        told
    }

    /// Those whose connections a job ends once it is in place, and how many of each are not recorded yet.
    pub fn dead(
        &mut self,
        vouches: impl Fn(&UpstreamName, &NodeName) -> bool,
    ) -> impl Iterator<Item = (&UpstreamName, &NodeName, u32)> {
        let dead = self.deaths.iter_mut().filter(move |((upstream, member), _)| vouches(upstream, member));
        dead.map(|((upstream, member), death)| {
            death.carried = death.cut;
            (upstream, member, death.cut)
        })
    }

    /// When to call [`Self::poll_cut`], if nothing comes before. Nobody waits for a probe by this.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deaths.values().filter(|death| death.is_vouched).filter_map(Death::due).min()
    }
}

impl Death {
    fn new(now: Instant) -> Self {
        Self {
            // It may have been out before it died.
            held_by: HeldBy::older(now),
            pass: Pass::At(now),
            free_at: now,
            is_vouched: false,
            cut: 0,
            carried: 0,
            is_told: false,
        }
    }

    /// Whether NGINX is to send requests there, by what is in place.
    fn is_served(&mut self, now: Instant, is_served: bool) {
        let held_by = match (is_served, self.held_by) {
            (true, _) => HeldBy::All,
            (false, HeldBy::All) => HeldBy::older(now),
            (false, HeldBy::Older { .. } | HeldBy::None) => return,
        };
        if std::mem::replace(&mut self.held_by, held_by) != held_by
            && let Pass::At(at) = &mut self.pass
        {
            // The job may have begun before it was dead, and have ended nothing.
            *at = self.free_at.max(now);
        }
    }

    /// A pass has ended.
    fn passed(&mut self, now: Instant, passed: Passed) {
        self.free_at = now + AGAIN;
        let found = matches!(passed, Passed::Cut(1..));
        let wait = match &mut self.held_by {
            _ if found => AGAIN,
            HeldBy::All | HeldBy::None => INTERVAL,
            HeldBy::Older { interval, .. } => std::mem::replace(interval, (*interval * 2).min(MAX_INTERVAL)),
        };
        self.pass = if passed == Passed::Impossible { Pass::Never } else { Pass::At(now + wait) };
        if let HeldBy::Older { until, interval } = &mut self.held_by {
            *interval = if found { INTERVAL } else { *interval };
            if passed == Passed::Over || *until <= now {
                self.held_by = HeldBy::None;
            }
        }
    }

    /// When its connections are ended next.
    fn due(&self) -> Option<Instant> {
        match (self.held_by, self.pass) {
            (HeldBy::All | HeldBy::Older { .. }, Pass::At(at)) => Some(at),
            (HeldBy::None, _) | (_, Pass::UnderWay | Pass::Never) => None,
        }
    }

    fn count(&mut self, connections: u32) -> Option<u32> {
        self.cut = self.cut.saturating_add(connections);
        let is_news = connections > 0 && !self.is_told;
        self.is_told |= is_news;
        is_news.then_some(connections)
    }
}

impl HeldBy {
    fn older(now: Instant) -> Self {
        Self::Older { until: now + OLDER_WORKERS, interval: INTERVAL }
    }
}

/// Whether a server is dead beyond doubt: our probe and gossip both say so, and it is out for that and for nothing else.
fn is_dead(judged: &Judged, decision: &Decision, options: &Options) -> bool {
    let has_two_witnesses = match judged.witness {
        // Frames that get lost make a suspect, too.
        Witness::SuspectDown => judged.pings == Pings::Unanswered,
        Witness::FailedDown => true,
        Witness::Passing
        | Witness::Warning
        | Witness::Critical
        | Witness::ServiceDown
        | Witness::SilentButAnswers
        | Witness::Silent
        | Witness::FirstResultPending
        | Witness::FirstSuccessPending
        | Witness::Answers
        | Witness::NoCheck
        | Witness::SuspectCritical
        | Witness::SuspectAnswers
        | Witness::Suspect
        | Witness::FailedCritical
        | Witness::FailedAnswers
        | Witness::FailedNeverIn
        | Witness::FailedOpen
        | Witness::FailedWait
        | Witness::Failed
        | Witness::UnknownNeverIn
        | Witness::UnknownAnswers
        | Witness::UnknownDown
        | Witness::Unknown
        | Witness::Leaving
        | Witness::Left => false,
    };
    // In mode last nobody else is there to retry on. Weight 0 is the operator's word that it is no server now.
    has_two_witnesses
        && judged.verdict.reason == VerdictReason::Dead
        && judged.drain == Drain::No
        && judged.draft.weight > 0
        // What speaks against it is of another address than NGINX has.
        && !judged.moved
        && decision.mode != Mode::Last
        && options.policy.on_dead == OnDead::Retry
}

/// Where a dead member serves, or did as far as NGINX knows.
fn addrs(upstream: &Upstream, judged: &Judged) -> impl Iterator<Item = SocketAddr> {
    let line = upstream.live().and_then(|live| live.as_slice().iter().find(|server| server.member == judged.name));
    line.map(|server| server.addr).into_iter().chain([judged.draft.addr])
}

/// Where connections are not ended, since requests of this upstream have to go on there: nobody can tell whose one is. Another
/// upstream may be content with a server that this one holds dead, and a host may have come back under another name.
fn in_use(upstream: &Upstream) -> BTreeSet<SocketAddr> {
    let Some(decision) = upstream.decision() else { return BTreeSet::new() };
    let is_dead = |name: &NodeName| {
        decision.members.iter().any(|judged| judged.name == *name && is_dead(judged, decision, upstream.options()))
    };
    let live = upstream.live().into_iter().flat_map(Servers::serving).map(|server| (&server.member, server.addr));
    let wanted = decision
        .members
        .iter()
        .filter(|judged| judged.verdict.placed != Placed::Out || upstream.options().policy.on_dead == OnDead::Wait);
    let wanted = wanted.map(|judged| (&judged.name, judged.draft.addr));
    live.chain(wanted).filter(|(name, _)| !is_dead(name)).map(|(_, addr)| addr).collect()
}

fn serves(live: &Servers, member: &NodeName) -> bool {
    live.serving().any(|server: &Server| server.member == *member)
}

#[cfg(test)]
mod tests;
