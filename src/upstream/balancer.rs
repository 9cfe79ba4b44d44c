//! The machine that owns all upstreams of a balancer: what is decided, what is asked of `apply`, and what is in place.
//!
//! A driver tells it what it learned with the `handle_*` calls, each of which only takes note; then it calls
//! [`Balancer::handle_timeout`], which decides once about everything that came, and takes [`Balancer::poll_output`] until it is
//! empty. It does so again with the next input, at the latest at [`Balancer::poll_timeout`]. Of an [`Output::Apply`] it reports
//! the end with [`Balancer::handle_applied`]; there is never a second one under way. Each job carries [`Balancer::holds`], the full
//! set. An operator's rollback is a job of the driver's own, between [`Balancer::suspend`] and [`Balancer::handle_rolled_back`].
//!
//! Gossip's view comes whole, with [`Balancer::handle_members`]; other evidence comes member by member and stays until the next
//! word about it or until the member is forgotten. Whom to probe is [`Balancer::targets`]. Putting files in place is `apply`'s,
//! the words of a [`Notice`] are the driver's.

mod evidence;
mod questions;
mod record;
mod roster;
mod upstream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tracing::debug;

use super::desired::{Desired, Target};
use super::settle::{self, Applied, Settle};
use super::{
    Candidate, Cause, Causes, Circumstances, Decision, Hold, Holds, LeftOut, Members, Options, UpstreamName, Want,
};
use crate::time::Instant;
use crate::wire::NodeName;

use evidence::{Hearing, Testimonies};
pub use questions::Explanation;
use roster::Roster;
use upstream::Ask;
pub use upstream::Upstream;

/// After a restart, who is missing may only not be back yet (`protocols D.3`).
const REJOIN_GRACE: Duration = Duration::from_secs(30);
/// The first join may take this long before what is known counts as complete.
const FIRST_VIEW: Duration = Duration::from_secs(5);

/// All upstreams of a balancer.
#[derive(Debug)]
pub struct Balancer {
    upstreams: Vec<Upstream>,
    /// What is in place of upstreams that are not configured now; they may come back.
    unconfigured: BTreeMap<UpstreamName, Target>,
    /// Everybody there is, as gossip knows them.
    members: Vec<Candidate>,
    /// What else is known of them.
    testimonies: Testimonies,
    /// Whether anybody is heard.
    hearing: Hearing,
    /// The members as templates see them; `None` without templates.
    roster: Option<Roster>,
    settle: Settle,
    /// Upstreams that an operator froze; some of them may not be configured now.
    holds: Holds,
    /// An operator's word may change servers, and no job for that has succeeded yet.
    operator: bool,
    /// The driver has a job of its own: nothing is asked meanwhile.
    suspended: bool,
    /// Chooses the order of lines, different on each balancer.
    order: u64,
    grace_until: Instant,
    /// When what is known counts as complete; `None` once it does.
    complete_at: Option<Instant>,
    /// When to decide next; `None` as long as nothing changes.
    decide_at: Option<Instant>,
    /// How often it was decided.
    decisions: u64,
    applying: Option<Applying>,
    /// This node leaves: it is no judge of the others any more.
    left: bool,
    outputs: VecDeque<Output>,
}

/// The apply that is under way.
#[derive(Debug)]
struct Applying {
    /// What its document was made from.
    decisions: Vec<(UpstreamName, Decision)>,
    /// The members in it.
    members: Members,
    /// The configuration changed meanwhile: the same servers may make another file, or the same file in another place.
    outdated: bool,
    /// An operator's word is among its causes.
    operator: bool,
}

impl Applying {
    fn want(&self, upstream: &UpstreamName) -> Option<&Want> {
        self.decisions.iter().find(|(name, _)| name == upstream).map(|(_, decision)| &decision.want)
    }
}

/// What a driver has to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Bring this in place, and report with [`Balancer::handle_applied`].
    Apply {
        desired: Desired,
        /// Why it differs from what is in place.
        causes: Causes,
    },
    /// Tell the operator.
    Tell(Notice),
}

/// What the operator should hear of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A selected member cannot be a server from now on, or for another reason than before.
    LeftOut { upstream: UpstreamName, member: NodeName, reason: LeftOut },
    /// The servers together do better or worse than before; `None` at the first decision.
    Group { upstream: UpstreamName, before: Option<Group>, now: Group, strength: Strength },
    /// From now on this balancer hears nobody, or that is over.
    Isolation { is_isolated: bool },
}

/// How the servers of an upstream do together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Enough of them are well.
    Well,
    /// Too few are: those that are ill stay in.
    Floor,
    /// None is: the last good ones stay in.
    Last,
    /// All have left: the file keeps the last ones.
    AllLeft,
    /// They are held before any was put in place.
    Unrecorded,
    /// There is none to keep, and requests are answered 502.
    Empty,
}

/// How many servers there are, and who is not well.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Strength {
    /// Those that get requests.
    pub serving: usize,
    /// Those that would be in whatever the others are.
    pub well: usize,
    /// Those that are wanted to: selected members that have not left.
    pub base: usize,
    /// Fewest that must be well.
    pub floor: usize,
    pub ill: Vec<NodeName>,
}

impl Balancer {
    /// A balancer with this seed of order ([`Desired::order_of`]). `live` is what an earlier run left in place, `holds` what it held.
    ///
    /// Nothing is asked before the first view of the cluster is complete ([`Self::handle_first_view`], or 5 s from `now`).
    pub fn new(
        upstreams: Vec<Options>,
        settle: settle::Options,
        order: u64,
        live: Option<Desired>,
        holds: Holds,
        now: Instant,
    ) -> Self {
        let mut live = live.map(|live| live.upstreams).unwrap_or_default();
        let upstream = |options: Options| {
            let live = live.remove(&options.name);
            Upstream::new(options, live)
        };
        let upstreams = upstreams.into_iter().map(upstream).collect();
        let mut settle = Settle::new(settle);
        if !live.is_empty() {
            settle.again(now);
        }
        Self {
            upstreams,
            unconfigured: live,
            members: Vec::new(),
            testimonies: Testimonies::default(),
            hearing: Hearing::default(),
            roster: None,
            settle,
            holds,
            operator: false,
            suspended: false,
            order,
            grace_until: now + REJOIN_GRACE,
            complete_at: Some(now + FIRST_VIEW),
            decide_at: None,
            decisions: 0,
            applying: None,
            left: false,
            outputs: VecDeque::new(),
        }
    }

    /// Everybody there is now, the departed whom gossip still knows included. What else is known of a member outlives this as
    /// long as it is one, or a server.
    pub fn handle_members(&mut self, now: Instant, members: Vec<Candidate>) {
        self.replace_members(now, members);
        self.decide_by(now);
    }

    /// The first join has ended: what is known is the cluster. Later calls change nothing.
    pub fn handle_first_view(&mut self, now: Instant) {
        if let Some(at) = &mut self.complete_at {
            *at = now.min(*at);
            self.decide_by(now);
        }
    }

    /// Takes a new configuration. Upstreams that keep their name keep their memory.
    pub fn handle_configuration(&mut self, now: Instant, upstreams: Vec<Options>, settle: settle::Options) {
        let mut before = std::mem::take(&mut self.upstreams);
        for options in upstreams {
            let known = before.iter().position(|known| *known.name() == options.name);
            self.upstreams.push(match known {
                Some(index) => before.swap_remove(index).reconfigured(options),
                None => {
                    let live = self.unconfigured.remove(&options.name);
                    Upstream::new(options, live)
                }
            });
        }
        let removed: Vec<_> = before.into_iter().filter_map(Upstream::into_live).collect();
        if !removed.is_empty() {
            // Their files go, unless a site needs them; whoever applies knows.
            self.settle.again(now);
        }
        self.unconfigured.extend(removed);
        if let Some(applying) = &mut self.applying {
            applying.outdated = true;
        }
        self.settle.set_options(settle);
        self.decide_by(now);
    }

    /// Whether there are templates, which list the members. Called again whenever their configuration may have changed: the
    /// same members may make another file then.
    pub fn handle_templates(&mut self, now: Instant, are_there: bool) {
        self.roster = are_there.then(Roster::default);
        self.decide_by(now);
    }

    /// Freezes these upstreams, but for those that are held already. A job that makes it last is due at once.
    pub fn handle_hold(&mut self, now: Instant, upstreams: &BTreeSet<UpstreamName>, hold: &Hold) {
        let holds = &mut self.holds;
        let reason = hold.reason.as_ref();
        let changed =
            upstreams.iter().filter(|name| holds.hold((*name).clone(), hold.clone()) || holds.explain(name, reason));
        if changed.count() > 0 {
            self.holds_changed(now);
        }
    }

    /// Those of them that are held are so for this reason, and that is recorded already.
    pub fn handle_explained(&mut self, explained: &Holds) {
        for (name, hold) in explained.iter() {
            self.holds.explain(name, hold.reason.as_ref());
        }
    }

    /// Thaws these upstreams.
    pub fn handle_release(&mut self, now: Instant, upstreams: &BTreeSet<UpstreamName>) {
        if upstreams.iter().filter(|name| self.holds.release(name).is_some()).count() > 0 {
            self.operator = true;
            self.holds_changed(now);
        }
    }

    /// Nothing is asked until [`Self::handle_rolled_back`]. An apply that is under way has to end first.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Whatever the driver had to do first is done, and has changed no file.
    pub fn resume(&mut self, now: Instant) {
        self.suspended = false;
        self.decide_by(now);
    }

    /// What an earlier run held is known by now, and nothing was asked before: the driver had suspended this.
    pub fn handle_known(&mut self, now: Instant, holds: &Holds) {
        for (name, hold) in holds.iter() {
            self.holds.hold(name.clone(), hold.clone());
        }
        self.resume(now);
    }

    /// The driver's own job has ended. `applied` says how; `live` is what is in place now, if that is known, and `held` what that
    /// job holds. What operators held or released meanwhile stays as it is.
    pub fn handle_rolled_back(&mut self, now: Instant, applied: Applied, live: Option<Desired>, held: &Holds) {
        self.suspended = false;
        self.settle.intervened(now, applied);
        for (name, hold) in held.iter() {
            self.holds.hold(name.clone(), hold.clone());
        }
        for (name, target) in live.map(|live| live.upstreams).into_iter().flatten() {
            match self.upstreams.iter_mut().find(|upstream| *upstream.name() == name) {
                Some(upstream) => upstream.restored(target),
                None => drop(self.unconfigured.insert(name, target)),
            }
        }
        self.decide_by(now);
    }

    /// The apply that was asked for has ended. Those of `waiting` are not in what is in place; it is tried again for them.
    pub fn handle_applied(&mut self, now: Instant, applied: Applied, waiting: &[UpstreamName]) {
        let Some(Applying { decisions, members, outdated, operator }) = self.applying.take() else { return };
        self.settle.applied(now, applied);
        self.operator |= operator && !applied.is_in_place();
        if applied.is_in_place() {
            for (name, decision) in decisions.into_iter().filter(|(name, _)| !waiting.contains(name)) {
                match self.upstreams.iter_mut().find(|upstream| *upstream.name() == name) {
                    Some(upstream) => upstream.put_in_place(decision, outdated),
                    // A new configuration has taken it away meanwhile, maybe before it had a file that would go.
                    None => {
                        self.unconfigured.extend(decision.target().map(|target| (name, target)));
                        self.settle.again(now);
                    }
                }
            }
            if let Some(roster) = self.roster.as_mut().filter(|_| !outdated) {
                roster.put_in_place(members);
            }
        }
        self.decide_by(now);
    }

    /// NGINX has started anew: what waited for it is tried at once, and what is in place is looked at. It has read that, unless
    /// somebody has changed the files.
    pub fn handle_nginx(&mut self, now: Instant) {
        self.settle.again(now);
    }

    /// This node leaves: what is in place stays, and nothing more is decided or asked.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// When to call [`Self::handle_timeout`], if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settled = self.settle.poll_timeout().filter(|_| !self.suspended);
        let due = [self.decide_at, self.complete_at, settled];
        due.into_iter().flatten().min().filter(|_| !self.left)
    }

    /// When the next job is asked for, if one is wanted and none is under way.
    pub fn next_job(&self) -> Option<Instant> {
        self.settle.poll_timeout().filter(|_| !self.left && !self.suspended)
    }

    /// Decides about what came since the last call, if anything did, and asks for an apply if one is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.left {
            return;
        }
        if self.decide_at.is_some_and(|at| at <= now) {
            self.decide(now);
        }
        if self.complete_at.is_some_and(|at| at <= now) {
            self.complete_at = None;
            // After the first decision, which is then due at once.
            self.settle.complete();
        }
        if !self.suspended && self.settle.handle_timeout(now) {
            self.ask();
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Every upstream, in the order of the configuration.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// How often it was decided: whoever looks at the decisions need not do so again as long as this is the same.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Every hold.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Whether an apply is under way.
    pub fn is_applying(&self) -> bool {
        self.applying.is_some()
    }

    fn holds_changed(&mut self, now: Instant) {
        self.settle.at_once(now);
        self.decide_by(now);
    }

    fn decide_by(&mut self, at: Instant) {
        self.decide_at = Some(self.decide_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Decides for every upstream and tells the debounce what that means.
    fn decide(&mut self, now: Instant) {
        self.decisions = self.decisions.wrapping_add(1);
        if self.hearing.grace_ends().is_some_and(|end| end <= now) {
            self.hearing = Hearing::Sound;
            self.testimonies.count_unheard();
        }
        let rejoining = now < self.grace_until;
        let grace_until = rejoining.then_some(self.grace_until);
        self.decide_at = grace_until.into_iter().chain(self.hearing.grace_ends()).min();
        let mut differs = false;
        let mut again_at = None;
        for upstream in &mut self.upstreams {
            let under_way = self.applying.as_ref().and_then(|applying| applying.want(upstream.name()));
            let held = self.holds.get(upstream.name()).is_some();
            let at = Circumstances { now, held, rejoining, isolated: self.hearing.is_isolated() };
            let decision = upstream.decide(&self.members, &self.testimonies, &at, under_way, &mut self.outputs);
            again_at = again_at.into_iter().chain(decision.again_at).min();
            match upstream.ask(at.held) {
                Ask::Nothing => {}
                Ask::Again => differs = true,
                Ask::New(news) => {
                    let name = upstream.name();
                    debug!(upstream = %name, ?news, "other servers are wanted");
                    differs = true;
                    self.settle.wanted(now, news);
                }
            }
        }
        if let Some(roster) = &mut self.roster {
            let ask = roster.decide(&self.members);
            differs |= ask != Ask::Nothing;
            if let Ask::New(news) = ask {
                self.settle.wanted(now, news);
            }
        }
        if let Some(again_at) = again_at {
            self.decide_by(again_at);
        }
        if !differs {
            self.settle.unwanted();
        }
    }

    fn ask(&mut self) {
        let desired = self.desired();
        let operator = std::mem::take(&mut self.operator);
        let mut causes: BTreeSet<Cause> = operator.then_some(Cause::Operator).into_iter().collect();
        causes.extend(self.roster.as_ref().is_some_and(Roster::is_news).then_some(Cause::Members));
        let mut decisions = Vec::with_capacity(desired.upstreams.len());
        for upstream in self.upstreams.iter().filter(|upstream| desired.upstreams.contains_key(upstream.name())) {
            causes.extend(upstream.causes());
            decisions.extend(upstream.decision().map(|decision| (upstream.name().clone(), decision.clone())));
        }
        debug!(upstreams = decisions.len(), "apply is asked for");
        self.applying = Some(Applying { decisions, members: desired.members.clone(), outdated: false, operator });
        self.outputs.push_back(Output::Apply { desired, causes: causes.into_iter().collect() });
    }

    /// What every upstream should look like by its last decision.
    pub fn desired(&self) -> Desired {
        let mut desired = Desired::new(self.order);
        let target = |upstream: &Upstream| Some((upstream.name().clone(), upstream.decision()?.target()?));
        desired.upstreams = self.upstreams.iter().filter_map(target).collect();
        if let Some(roster) = &self.roster {
            desired.members = roster.members().clone();
        }
        desired
    }
}

#[cfg(test)]
mod tests;
