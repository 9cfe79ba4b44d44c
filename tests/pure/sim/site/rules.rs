//! What must hold of a site, and how it is told apart from what need not.
//!
//! | rule | holds |
//! |---|---|
//! | `RoutesToConfirmed` | no request begun after a balancer's word reaches the node that it was given to, as long as that drain lasts |
//! | `DrainedGetsNew` | who says that it is drained, or leaves with everybody's word, is in no configuration that takes connections |
//! | `Nobody` | never nobody while somebody answers |
//! | `ReloadWithoutChange` | NGINX is signalled for something |
//! | `AskedForNothing` | and `apply` is asked for something, and for one thing at a time |
//! | `Frozen` | into a held upstream nobody comes, and who goes out of it drains or is not there |
//! | `RemoteUntrue` | what a node answers to another one's word to drain, or to serve, is so |
//! | `Budget` | and not more often than the operator wants |
//! | `CutOff` | where the network of a balancer is down, or just back, nobody takes anybody out |
//! | `CutForbidden` | connections are ended only as `protocols D.4` allows |
//! | `Lost`, `TriedTwice`, `Waited` | what each kind of trouble may cost a client |
//! | `NotConverged` | who is well is in, and who is gone is out, within [`CONVERGENCE`] |
//! | `Progress` | no machine has a deadline that does not pass |

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use weir::drain::{Departure, DrainId, Promises, RemoteDrain};
use weir::serf::Status;
use weir::sim::NodeId;
use weir::time::Instant;
use weir::upstream::cuts::Place as Server;
use weir::upstream::desired::Desired;
use weir::upstream::{Drain, Intent, OnEmpty, Options, UpstreamName, Want};
use weir::wire::NodeName;

use super::balancer::Agent;
use super::host::Service;
use super::plan::Kind;
use super::world::{Request, World, serving};

/// A decision, a budget, a slow job and a failed probe or two take no longer.
const CONVERGENCE: Duration = Duration::from_secs(75);
/// A dead server costs a request no more, beside what its service takes.
const DEATH: Duration = Duration::from_millis(1200);
/// What a healthy way through NGINX takes beside the service.
const OVERHEAD: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    RoutesToConfirmed,
    DrainedGetsNew,
    Nobody,
    ReloadWithoutChange,
    AskedForNothing,
    Frozen,
    RemoteUntrue,
    Budget,
    CutOff,
    CutForbidden,
    Lost,
    TriedTwice,
    Waited,
    NotConverged,
    Progress,
}

#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    text: String,
}

impl Broken {
    pub(crate) fn new(rule: Rule, text: String) -> Self {
        Self { rule, text }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What was promised to whom, in truth.
pub(crate) struct Rules {
    kind: Kind,
    /// Balancer and node: each drain that was confirmed, and when first.
    confirmed: BTreeMap<(usize, NodeName), BTreeMap<DrainId, Instant>>,
}

impl Rules {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, confirmed: BTreeMap::new() }
    }

    pub(crate) fn confirmed(&mut self, front: usize, node: &NodeName, id: DrainId, now: Instant) {
        self.confirmed.entry((front, node.clone())).or_default().entry(id).or_insert(now);
    }

    /// It has left, or the drain is undone: whoever keeps a promise to it has done so, and it asks again if it comes back in that
    /// drain, which a disk that does not take the undo makes of it.
    pub(crate) fn over(&mut self, node: &NodeName) {
        self.confirmed.retain(|(_, confirmed), _| confirmed != node);
    }

    fn since(&self, front: usize, node: &NodeName, id: Option<&DrainId>) -> Option<Instant> {
        self.confirmed.get(&(front, node.clone()))?.get(id?).copied()
    }
}

impl World {
    /// A request goes to a server.
    pub(crate) fn check_try(&self, front: usize, member: &NodeName, begun: Instant) -> Result<(), Broken> {
        let Some(web) = self.index_of(member) else { return Ok(()) };
        match self.rules.since(front, member, self.hosts[web].drain.as_ref()) {
            Some(at) if at < begun => {
                let text = format!(
                    "node-{front} confirmed to {member} {:?} ago, and sends it a request",
                    self.now().since(at)
                );
                Err(Broken::new(Rule::RoutesToConfirmed, text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What NGINX has, and would have after a start.
    pub(crate) fn check_live(&self, front: usize) -> Result<(), Broken> {
        let own = self.front(front);
        for web in self.webs() {
            let host = &self.hosts[web];
            if self.rules.since(front, &host.name, host.drain.as_ref()).is_none() {
                continue;
            }
            let is_live = own.nginx.accepting().any(|workers| workers.routes_to(&host.name));
            let file = own.on_path();
            let is_on_path = file.upstreams.keys().any(|name| serving(file, name).any(|member| *member == host.name));
            if is_live || is_on_path {
                let text =
                    format!("node-{front} has {} again, which drains (live {is_live}, file {is_on_path})", host.name);
                return Err(Broken::new(Rule::RoutesToConfirmed, text));
            }
        }
        Ok(())
    }

    /// A node has everybody's word.
    pub(crate) fn check_drained(&mut self, at: usize) -> Result<(), Broken> {
        let Some(endpoint) = self.sim.endpoint(NodeId(at)) else { return Ok(()) };
        let own = &self.hosts[at].name;
        for front in self.fronts().filter(|front| *front != at) {
            let is_listed =
                endpoint.member(self.hosts[front].name.as_str()).is_some_and(|known| known.status == Status::Alive);
            if is_listed && self.front(front).nginx.accepting().any(|workers| workers.routes_to(own)) {
                let text = format!("{own} has everybody's word, and node-{front} has it still");
                return Err(Broken::new(Rule::DrainedGetsNew, text));
            }
        }
        Ok(())
    }

    /// A document goes to `apply`.
    pub(crate) fn check_order(&mut self, at: usize, desired: &Desired, promises: &Promises) -> Result<(), Broken> {
        let now = self.now();
        let budget = self.plan.settle.min_reload_interval;
        let front = self.front_mut(at);
        let is_ordered = std::mem::take(&mut front.is_ordered);
        front.asked = desired.upstreams.keys().cloned().collect();
        let since = front.reloaded_at.map(|at| now.since(at)).filter(|_| !is_ordered);
        if since.is_some_and(|since| since < budget) {
            return Err(Broken::new(
                Rule::Budget,
                format!("node-{at} asks for a job {since:?} after a reload, and has {budget:?}"),
            ));
        }
        self.check_asked(at, desired, is_ordered)?;
        for name in desired.upstreams.keys() {
            self.check_frozen(at, desired, name)?;
            if desired.upstreams[name].servers().is_some_and(|servers| servers.serving().all(|line| line.backup)) {
                self.coverage.count("backups alone");
            }
            let own = self.front(at);
            let kept =
                own.cut_off.as_ref().or(own.misled.as_ref()).into_iter().flat_map(|before| serving(before, name));
            let mut out = kept.filter(|member| serving(desired, name).all(|other| other != *member));
            if let Some(member) = out.next() {
                let who = if own.cut_off.is_some() { "it" } else { "another one" };
                let text =
                    format!("node-{at} takes {member} out of {name}, and {who} has no network, or had none just now");
                return Err(Broken::new(Rule::CutOff, text));
            }
            if let Some(member) = serving(desired, name).find(|member| promises.is_promised(member)) {
                let text = format!("node-{at} wants {member} in {name}, and has promised not to");
                return Err(Broken::new(Rule::RoutesToConfirmed, text));
            }
            if serving(desired, name).next().is_some() {
                continue;
            }
            let file = self.front(at).helper.in_place();
            let before: Vec<_> = file.into_iter().flat_map(|file| serving(file, name)).collect();
            let options = self.plan.upstreams.iter().find(|options| options.name == *name);
            // By `on_empty = "error"` what the evidence says counts, and that may lag behind the truth.
            let keeps = |options: &&Options| options.policy.on_empty == OnEmpty::Keep;
            let options = options.filter(keeps);
            let is_selected = |web: &usize| options.is_some_and(|options| self.selects(options, *web));
            let is_there = |web: &usize| self.is_well_for(at, *web) && before.contains(&&self.hosts[*web].name);
            let is_there = |web: &usize| is_selected(web) && is_there(web);
            if let Some(web) = self.webs().find(is_there) {
                let text = format!("node-{at} wants nobody in {name}, and node-{web}, who is in, answers");
                return Err(Broken::new(Rule::Nobody, text));
            }
        }
        Ok(())
    }

    /// Something is to change, or cannot be known, or was not done, or an operator wants it.
    fn check_asked(&self, at: usize, desired: &Desired, is_ordered: bool) -> Result<(), Broken> {
        let front = self.front(at);
        let is_to_do = is_ordered || front.last.is_some_and(|last| !last.is_done());
        let changes = |(name, target)| front.unknown.contains(name) || !front.has_in_place(name, target);
        // Before anything is decided an NGINX that has started is looked at, and nothing is asked of the files.
        if is_to_do || desired.upstreams.is_empty() || desired.upstreams.iter().any(changes) {
            return Ok(());
        }
        Err(Broken::new(Rule::AskedForNothing, format!("node-{at} asks for what is in place: {desired:?}")))
    }

    /// Of an upstream that an operator holds.
    fn check_frozen(&mut self, at: usize, desired: &Desired, name: &UpstreamName) -> Result<(), Broken> {
        let front = self.front(at);
        let Some(agent) = front.agent.as_ref().filter(|agent| agent.balancer.holds().get(name).is_some()) else {
            return Ok(());
        };
        let Some(file) = front.helper.in_place().filter(|file| file.upstreams.contains_key(name)) else {
            return Ok(());
        };
        let (before, after): (Vec<_>, Vec<_>) = (serving(file, name).collect(), serving(desired, name).collect());
        if let Some(member) = after.iter().find(|member| !before.contains(member)) {
            return Err(Broken::new(Rule::Frozen, format!("{name} of node-{at} is held, and {member} comes in")));
        }
        let mut gone = before.iter().filter(|member| !after.contains(member)).peekable();
        let has_gone = gone.peek().is_some();
        let options = self.plan.upstreams.iter().find(|options| options.name == *name);
        let is_there = |member: &&&&NodeName| {
            let web = self.index_of(member).filter(|web| self.sees_alive(at, *web));
            let is_selected = |web: usize| options.is_some_and(|options| self.selects(options, web));
            web.is_some_and(|web| is_selected(web) && self.hosts[web].tags.is_empty())
                && agent.ledger.drain_of(member) == Drain::No
        };
        if let Some(member) = gone.find(|member| is_there(&member)) {
            let text = format!("{name} of node-{at} is held, and {member} goes out, which is alive");
            return Err(Broken::new(Rule::Frozen, text));
        }
        if has_gone {
            self.coverage.count("departure under a hold");
        }
        Ok(())
    }

    /// Of what a node answered to another one, some time after that.
    pub(crate) fn check_told(&self, at: usize, drain: &RemoteDrain, id: &DrainId) -> Result<(), Broken> {
        let host = &self.hosts[at];
        let kept = host.departure.as_ref().and_then(Departure::kept);
        let is_so = match drain {
            RemoteDrain::On => host.drains.contains(id),
            RemoteDrain::Off => kept.is_none(),
            RemoteDrain::Follow { .. } => true,
        };
        let text = || format!("node-{at} said ok {id} to {drain}, and has kept {kept:?}");
        if is_so { Ok(()) } else { Err(Broken::new(Rule::RemoteUntrue, text())) }
    }

    /// An agent has decided, or had nothing to decide.
    pub(crate) fn check_decisions(&mut self, at: usize, agent: &Agent) -> Result<(), Broken> {
        for upstream in agent.balancer.upstreams() {
            let Some(decision) = upstream.decision() else { continue };
            let is_held = agent.balancer.holds().get(upstream.name()).is_some();
            let serves = match &decision.want {
                Want::Servers(servers) => servers.serving().next().is_some(),
                Want::Placeholder => false,
                Want::Hold(_) => true,
            };
            let is_well = |intent| matches!(intent, Intent::In | Intent::Half | Intent::Lost);
            let well = decision
                .members
                .iter()
                .find(|judged| is_well(judged.intent) && judged.draft.weight > 0 && judged.drain == Drain::No);
            if let Some(judged) = well.filter(|_| !serves && !is_held) {
                let text = format!("node-{at} decides for nobody in {}, and {} is well", upstream.name(), judged.name);
                return Err(Broken::new(Rule::Nobody, text));
            }
            for judged in &decision.members {
                let word = match judged.intent {
                    Intent::Lost if judged.gossip == weir::upstream::Gossip::Failed => "agent lost",
                    _ if judged.flapping && !judged.verdict.placed.is_in() => "flap held",
                    Intent::Stay => "stays without evidence",
                    _ => continue,
                };
                self.coverage.count(word);
            }
        }
        Ok(())
    }

    pub(crate) fn check_cut(&mut self, at: usize, place: &Server, may: Result<(), &'static str>) -> Result<(), Broken> {
        let (upstream, member) = place;
        let broken =
            |why: &str| Broken::new(Rule::CutForbidden, format!("node-{at} cuts {member} of {upstream}: {why}"));
        may.map_err(broken)?;
        let Some(web) = self.index_of(member) else { return Ok(()) };
        // On a sound network whoever is cut is dead in truth.
        if self.rules.kind != Kind::Rough && self.is_well_for(at, web) {
            return Err(broken("it is well"));
        }
        Ok(())
    }

    pub(crate) fn check_answered(&mut self, request: &Request, took: Duration) -> Result<(), Broken> {
        let text = || format!("{request:?} took {took:?}");
        match self.rules.kind {
            _ if request.met_forced => Ok(()),
            Kind::Rough => Ok(()),
            Kind::Deploy if request.attempts > 1 => Err(Broken::new(Rule::TriedTwice, text())),
            Kind::Deploy if took > request.work + OVERHEAD => Err(Broken::new(Rule::Waited, text())),
            Kind::Deploy => Ok(()),
            Kind::Deaths if took > request.work * request.attempts + DEATH => Err(Broken::new(Rule::Waited, text())),
            Kind::Deaths => Ok(()),
        }
    }

    pub(crate) fn check_failed(&mut self, request: &Request) -> Result<(), Broken> {
        match self.rules.kind {
            _ if request.met_forced => Ok(()),
            Kind::Rough => Ok(()),
            // Before the first server was in.
            Kind::Deploy | Kind::Deaths if request.attempts == 1 && !self.serves_strictly => Ok(()),
            Kind::Deploy | Kind::Deaths => Err(Broken::new(Rule::Lost, format!("{request:?} fails"))),
        }
    }

    pub(crate) fn selects(&self, options: &Options, web: usize) -> bool {
        options.select.iter().all(|(_, pattern)| pattern.matches(self.hosts[web].role))
    }

    /// Whether a web server answers a balancer, and by its agent's word there as well.
    pub(crate) fn is_well_for(&self, front: usize, web: usize) -> bool {
        let host = &self.hosts[web];
        let serves = host.has_power && host.service == Service::Up && !self.sim.is_paused(NodeId(web));
        let agent_runs = host.departure.as_ref().is_some_and(|own| own.tag().is_none() && !own.is_leaving());
        let is_plain = host.tags.is_empty() && host.has_joined;
        serves && agent_runs && is_plain && self.reaches(front, web) && self.sees_alive(front, web)
    }

    /// Nobody answers there any more, and the balancer's agent has noticed.
    fn is_gone_for(&self, front: usize, web: usize) -> bool {
        let host = &self.hosts[web];
        let endpoint = self.sim.endpoint(NodeId(front));
        let status = endpoint.and_then(|endpoint| endpoint.member(host.name.as_str())).map(|known| known.status);
        host.departure.is_none()
            && host.service == Service::Down
            && matches!(status, Some(Status::Failed | Status::Left))
    }

    /// Looks at whether balancers have come to what is true.
    pub(crate) fn patrol(&mut self) -> Result<(), Broken> {
        let now = self.now();
        for front in self.fronts() {
            for (place, options) in self.plan.upstreams.clone().iter().enumerate() {
                let should: Vec<_> = self.webs().map(|web| (web, self.should(front, web, place))).collect();
                let has_well = should.iter().any(|(web, should)| {
                    let since = self.front(front).should.get(&(place, self.hosts[*web].name.clone()));
                    *should == Some(true)
                        && since.is_some_and(|(is_in, since)| *is_in && now.since(*since) > CONVERGENCE / 2)
                });
                for (web, should) in should {
                    let name = self.hosts[web].name.clone();
                    let should = should.filter(|should| *should || has_well);
                    let own = self.front_mut(front);
                    let Some(should) = should else {
                        own.should.remove(&(place, name));
                        continue;
                    };
                    let entry = own.should.entry((place, name.clone())).or_insert((should, now));
                    if entry.0 != should {
                        *entry = (should, now);
                    }
                    let since = now.since(entry.1);
                    let is_in = own.nginx.accepting().any(|workers| workers.serves(&options.name, &name));
                    if since > CONVERGENCE && is_in != should {
                        let text = format!(
                            "for {since:?} {name} should be in {} of node-{front}: {should}, and it is {is_in}",
                            options.name
                        );
                        return Err(Broken::new(Rule::NotConverged, text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a balancer should have a web server in an upstream; `None` where nothing can be said.
    fn should(&self, front: usize, web: usize, place: usize) -> Option<bool> {
        let options = &self.plan.upstreams[place];
        let own = self.front(front);
        let agent = own.agent.as_ref().filter(|agent| agent.is_settled())?;
        let is_sound = own.nginx.is_running()
            && own.helper.mood == super::apply::Mood::Fine
            && !self.sim.is_paused(NodeId(front))
            && self.loss == 0.0
            && agent.balancer.holds().get(&options.name).is_none()
            && !agent.is_leaving();
        let upstream = agent.balancer.upstreams().iter().find(|each| each.name() == &options.name)?;
        let is_held = upstream.held_down_until(self.now(), &self.hosts[web].name).is_some();
        if !is_sound || is_held {
            return None;
        }
        let selected = self.selects(options, web);
        if self.is_gone_for(front, web) {
            Some(false)
        } else {
            (selected && self.is_well_for(front, web)).then_some(true)
        }
    }
}
