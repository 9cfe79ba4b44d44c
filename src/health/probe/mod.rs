//! When a balancer probes which server, and what the answers add up to (`design §6`, `protocols D.1`).
//!
//! One machine for all servers of all upstreams. A driver tells it what is configured ([`Prober::handle_configuration`]) and whom
//! to probe ([`Prober::handle_doubts`], [`Prober::handle_targets`]); then it takes [`Prober::poll_start`] until it is empty, begins each probe, and reports its
//! end with [`Prober::handle_outcome`]. It does so again at the latest at [`Prober::poll_timeout`]. What the probes say comes out of
//! [`Prober::poll_event`].
//!
//! A server of an upstream with a probe is asked on and on, never twice at a time. One without is asked only while gossip doubts
//! its member, whether its port is open: that can speed up its removal, and never keeps it in. Not even that where the service may
//! speak UDP: no TCP port is open there, however well it is.

mod target;
mod withheld;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::answer::{Failure, Outcome};
use crate::time::Instant;
use crate::upstream_name::UpstreamName;
use crate::wire::NodeName;

pub use withheld::reached;

use target::Target;

/// Probes that are due within this time of each other are begun together, which spares their driver most of its wake-ups.
const TICK: Duration = Duration::from_millis(5);
/// Servers that are new together are first asked over this time, or an interval if that is shorter.
const FIRST_ROUND: Duration = Duration::from_secs(1);
/// However often gossip changes its mind, a server is not asked more often.
const MIN_GAP: Duration = Duration::from_millis(100);

/// What this balancer's probe of a service says (`protocols D.1`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Probe {
    /// The service itself answered.
    Up,
    /// The port accepts connections, which a stopped process's does too.
    Open,
    /// Refused, silent or wrong.
    Down,
    /// No verdict yet.
    Wait,
    /// No probe.
    #[default]
    None,
}

/// How the servers of an upstream are probed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// From the beginning of one probe to that of the next.
    pub interval: Duration,
    /// Successes in a row after which a server that was down is well; the first success of all counts at once.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
    /// A success is the service's own answer, and not just an open port.
    pub vouches: bool,
    /// `None`: each server's own.
    pub port: Option<u16>,
}

impl Plan {
    /// Of an upstream without a probe: whether the port is open.
    pub const BARE: Self = Self { interval: Duration::from_millis(500), rise: 2, fall: 2, vouches: false, port: None };

    fn well(&self) -> Probe {
        if self.vouches { Probe::Up } else { Probe::Open }
    }
}

/// What gossip has against a member that is not alive and well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doubt {
    Suspected,
    Failed,
}

/// One server of one upstream at one address; never used again for another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TargetId(u64);

/// A probe to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Start {
    pub target: TargetId,
    pub upstream: UpstreamName,
    pub addr: SocketAddr,
    /// The upstream has no probe: see whether the port is open.
    pub bare: bool,
}

/// What the probes say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// From now on they say this of a server, which serves at `addr`.
    Says { upstream: UpstreamName, member: NodeName, addr: SocketAddr, probe: Probe },
    /// A server that is not down did not answer, for the `in_a_row`th time; or one that is down still does not.
    Failed { upstream: UpstreamName, member: NodeName, in_a_row: u32 },
    /// From now on no server of the upstream answers, nor any agent beside one: it may be our own network, and nothing that is heard
    /// of one tells it from the others. Or that is over.
    Blind { upstream: UpstreamName, is_blind: bool },
}

/// What is known of one server.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub probe: Probe,
    /// Since when the probes say that.
    pub since: Instant,
    /// By what it is probed.
    pub plan: &'a Plan,
    /// Where.
    pub addr: SocketAddr,
    /// How long the newest probe took; `None` before the first one has ended.
    pub took: Option<Duration>,
    /// Why the newest probe failed, if it did.
    pub failure: Option<&'a Failure>,
    /// Successes or failures in a row, the newest included; one of the two is 0.
    pub successes: u32,
    pub failures: u32,
    /// When the first of the failures was seen since which the server is not well; `None` while it is.
    pub first_failure: Option<Instant>,
}

/// All probes of a balancer.
#[derive(Debug, Default)]
pub struct Prober {
    plans: BTreeMap<UpstreamName, Plan>,
    /// Upstreams without a probe, of which a port that is shut to TCP says nothing.
    never_bare: BTreeSet<UpstreamName>,
    targets: BTreeMap<TargetId, Target>,
    ids: BTreeMap<UpstreamName, BTreeMap<NodeName, TargetId>>,
    /// Members that are not alive and well.
    doubts: BTreeMap<NodeName, Doubt>,
    next_id: u64,
    /// When to probe whom next; an entry is void whose target is gone or due at another time.
    due: BinaryHeap<Reverse<(Instant, TargetId)>>,
    /// Those of which something else is known than was told, and bare ones that have begun to fail.
    withheld: BTreeSet<TargetId>,
    /// Upstreams of which nobody answers, and since when the second witness has an answer from one of them again.
    blind: BTreeMap<UpstreamName, Option<Instant>>,
    events: VecDeque<Event>,
}

impl Prober {
    /// Takes what is configured. Servers of upstreams in `anew`, of which something else is asked now, start over; others go on.
    /// Those of `never_bare` are not asked whether their port is open. To be followed by [`Self::handle_targets`].
    pub fn handle_configuration(
        &mut self,
        now: Instant,
        plans: BTreeMap<UpstreamName, Plan>,
        never_bare: BTreeSet<UpstreamName>,
        anew: &BTreeSet<UpstreamName>,
    ) {
        self.never_bare = never_bare;
        for (upstream, before) in std::mem::replace(&mut self.plans, plans) {
            let goes_on = |now: &&Plan| now.vouches == before.vouches && now.port == before.port;
            match self.plans.get(&upstream).copied().filter(|plan| goes_on(&plan)).filter(|_| !anew.contains(&upstream))
            {
                Some(plan) => self.go_on(now, &upstream, plan),
                None => self.forget(&upstream),
            }
            if !self.plans.contains_key(&upstream) {
                self.sees_again(&upstream);
            }
        }
    }

    /// Takes whom gossip doubts now. A server of theirs is asked at once; what only a doubt has led to ends with it.
    pub fn handle_doubts(&mut self, now: Instant, doubts: BTreeMap<NodeName, Doubt>) {
        self.doubts = doubts;
        let all: Vec<TargetId> = self.targets.keys().copied().collect();
        for id in all {
            let Some(target) = self.targets.get(&id) else { continue };
            if target.is_wanted_in(self.doubts.get(&target.member).copied()) {
                self.doubted(now, id);
            } else {
                self.remove(id);
            }
        }
    }

    /// Takes whom to probe: every server there could be, and where it is.
    pub fn handle_targets<'a>(
        &mut self,
        now: Instant,
        servers: impl IntoIterator<Item = (&'a UpstreamName, &'a NodeName, SocketAddr)>,
    ) {
        let mut before = std::mem::take(&mut self.ids);
        let mut new: BTreeMap<&UpstreamName, Vec<TargetId>> = BTreeMap::new();
        for (upstream, member, addr) in servers {
            let known = before.get_mut(upstream).and_then(|members| members.remove(member));
            let configured = self.plans.get(upstream).copied();
            let plan = configured.unwrap_or(Plan::BARE);
            let server = addr;
            let addr = SocketAddr::new(addr.ip(), plan.port.unwrap_or(addr.port()));
            let is_barred = configured.is_none() && self.never_bare.contains(upstream);
            let is_same = |target: &Target| target.addr == addr && target.bare == configured.is_none() && !is_barred;
            let same = known.filter(|id| self.targets.get(id).is_some_and(is_same));
            if let (Some(id), None) = (known, same) {
                self.remove(id);
            }
            if let Some(target) = same.and_then(|id| self.targets.get_mut(&id)) {
                self.events.extend(target.serves_at(server));
            }
            let is_doubted = self.doubts.get(member) == Some(&Doubt::Suspected);
            let is_wanted = configured.is_some() || is_doubted && !is_barred;
            let id = match same {
                Some(id) => id,
                None if is_wanted => {
                    let id = TargetId(self.next_id);
                    self.next_id += 1;
                    let target = Target::new(upstream, member, (server, addr), plan, configured.is_none(), now);
                    self.events.extend(target.says());
                    self.targets.insert(id, target);
                    new.entry(upstream).or_default().push(id);
                    id
                }
                None => continue,
            };
            self.ids.entry(upstream.clone()).or_default().insert(member.clone(), id);
        }
        for id in before.into_values().flat_map(BTreeMap::into_values) {
            self.remove(id);
        }
        for ids in new.into_values() {
            self.spread(now, &ids);
        }
    }

    /// What was found of a member says nothing of what serves there now. To be followed by [`Self::handle_targets`], which has it
    /// asked anew and at once.
    pub fn start_over(&mut self, member: &NodeName) {
        let known = self.ids.values().filter_map(|members| members.get(member));
        let probed = known.filter(|id| self.targets.get(id).is_some_and(|target| !target.bare));
        for id in probed.copied().collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    /// A probe has ended. Of one whose target is gone, or at another address by now, nothing is learnt. To be followed by
    /// [`Self::release`].
    pub fn handle_outcome(&mut self, now: Instant, id: TargetId, outcome: Outcome) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        self.events.extend(target.ended(now, outcome));
        match target.is_withheld() {
            true => drop(self.withheld.insert(id)),
            false => drop(self.withheld.remove(&id)),
        }
        if target.due.is_none() && target.is_asked_again() {
            self.ask_at(id, now);
        }
    }

    /// When [`Self::poll_start`] has something to begin.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// A probe that is due.
    pub fn poll_start(&mut self, now: Instant) -> Option<Start> {
        while let Some(Reverse((at, id))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            if let Some(target) = self.targets.get_mut(&id).filter(|target| target.due == Some(at)) {
                target.due = None;
                // The end of what is under way begins the next.
                if !target.is_under_way() && target.is_asked_again() {
                    let next = target.begin(now, at);
                    let start =
                        Start { target: id, upstream: target.upstream.clone(), addr: target.addr, bare: target.bare };
                    self.ask_at(id, next);
                    return Some(start);
                }
            }
            self.skip_void();
        }
        None
    }

    /// What the probes say since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is known of one server; `None` if it is not probed.
    pub fn standing(&self, upstream: &UpstreamName, member: &NodeName) -> Option<Standing<'_>> {
        let id = self.ids.get(upstream)?.get(member)?;
        self.targets.get(id).map(Target::standing)
    }

    /// Whether the newest probe of a server of `member` has failed.
    pub fn is_failing(&self, member: &NodeName) -> bool {
        let mut targets = self.ids.values().filter_map(|members| self.targets.get(members.get(member)?));
        targets.any(|target| target.standing().failures > 0)
    }

    /// Whether a server of an upstream with a probe is there whose first probe has not ended.
    pub fn has_unprobed(&self) -> bool {
        self.targets.values().any(Target::is_unprobed)
    }

    /// Whether another server of the upstream than `member` has answered a probe that was begun after `member`'s first failure: what
    /// keeps `member` silent is then not our own network (`protocols D.4`).
    pub fn others_answer(&self, upstream: &UpstreamName, member: &NodeName) -> bool {
        let Some(first_failure) = self.standing(upstream, member).and_then(|standing| standing.first_failure) else {
            return false;
        };
        let others = self.ids.get(upstream).into_iter().flatten().filter(|(other, _)| *other != member);
        let mut answered = others.filter_map(|(_, id)| self.targets.get(id)?.answered);
        answered.any(|begun| begun > first_failure)
    }
}

impl Prober {
    /// The servers are asked the same, at another pace.
    fn go_on(&mut self, now: Instant, upstream: &UpstreamName, plan: Plan) {
        let ids: Vec<TargetId> = self.ids.get(upstream).into_iter().flat_map(BTreeMap::values).copied().collect();
        for id in ids {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            target.plan = plan;
            let latest = now + plan.interval;
            if target.due.is_some_and(|due| due > latest) {
                self.ask_at(id, latest);
            }
        }
    }

    /// Nothing is known of the servers any more. Where nobody was seen that stays so until somebody is, whatever is asked.
    fn forget(&mut self, upstream: &UpstreamName) {
        for id in self.ids.remove(upstream).into_iter().flat_map(BTreeMap::into_values) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: TargetId) {
        let Some(target) = self.targets.remove(&id) else { return };
        self.withheld.remove(&id);
        if let Some(members) = self.ids.get_mut(&target.upstream)
            && members.get(&target.member) == Some(&id)
        {
            members.remove(&target.member);
        }
        self.events.extend(target.gone());
        self.skip_void();
    }

    /// Asks at once whom gossip doubts since now; after that the upstream's probe goes on in its own time.
    fn doubted(&mut self, now: Instant, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let doubt = self.doubts.get(&target.member).copied();
        let is_news = std::mem::replace(&mut target.doubt, doubt) != doubt;
        let at = target.begun.map_or(now, |begun| now.max(begun + MIN_GAP));
        let is_late = target.due.is_some_and(|due| due > at);
        if is_news && doubt.is_some() && is_late && !target.is_under_way() {
            self.ask_at(id, at);
        }
    }

    /// Gives servers that are new together their first turn, one alone at once.
    fn spread(&mut self, now: Instant, ids: &[TargetId]) {
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX).max(1);
        for (index, id) in (0..).zip(ids) {
            let Some(target) = self.targets.get_mut(id) else { continue };
            target.doubt = self.doubts.get(&target.member).copied();
            let interval = target.plan.interval;
            let round = interval.min(FIRST_ROUND);
            // Their second turn is spread over the whole interval, as all further ones then are.
            target.second_after = Some(round + (interval - round) / count * (index + 1));
            let at = now + round / count * index;
            self.ask_at(*id, at);
        }
    }

    fn ask_at(&mut self, id: TargetId, at: Instant) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let tick = u64::try_from(TICK.as_nanos()).expect("a few milliseconds");
        let at = Instant::from_nanos(at.as_nanos().div_ceil(tick).saturating_mul(tick));
        target.due = Some(at);
        self.due.push(Reverse((at, id)));
        self.skip_void();
    }

    /// Takes away what would come first and is void.
    fn skip_void(&mut self) {
        while let Some(Reverse((at, id))) = self.due.peek()
            && self.targets.get(id).is_none_or(|target| target.due != Some(*at))
        {
            self.due.pop();
        }
    }
}

#[cfg(test)]
mod tests;
