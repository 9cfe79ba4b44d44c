//! A simulated cluster with one balancer in it, and what must hold of every step of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::endpoint::{Output as Told, Restored};
use weir::serf::Member;
use weir::sim::{Network, NodeId, Sim};
use weir::time::Instant;
use weir::upstream::balancer::{Balancer, Group, Notice, Output};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::{self, Applied};
use weir::upstream::{Candidate, Gossip, Hold, Holds, Options, Servers, TagPattern, UpstreamName, select};
use weir::wire::serf::Tags;

use super::super::cluster::remember;
use super::super::coverage::Coverage;
use super::nginx::Nginx;

/// The node whose agent is the balancer.
pub(crate) const BALANCER: NodeId = NodeId(0);

/// Times of the debounce, as by default.
pub(crate) const SETTLE: settle::Options = settle::Options {
    quiet: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    min_reload_interval: Duration::from_secs(1),
    jitter: Duration::from_millis(23),
    retry: Duration::from_secs(60),
    max_retry: Duration::from_secs(600),
};

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) rng: StdRng,
    pub(crate) nginx: Nginx,
    /// What is in the snapshots of nodes that are down.
    kept: BTreeMap<NodeId, Restored>,
    /// `None` while its agent is down.
    pub(crate) balancer: Option<Balancer>,
    /// What it is configured for.
    pub(crate) upstreams: Vec<Options>,
    pub(crate) settle: settle::Options,
    pub(crate) coverage: Coverage,
    pub(crate) notices: Vec<Notice>,
    /// Applies asked for so far.
    pub(crate) asked: u64,
    /// How the last apply of this life of its agent ended.
    last: Option<Applied>,
    /// Gossip told the balancer's agent of a change.
    members_changed: bool,
    /// Upstreams of which the agent cannot know what is in place: it is in a new life, or has another configuration.
    unknown: BTreeSet<UpstreamName>,
    /// Files of upstreams that are configured no more were there: an apply takes them away.
    left_over: bool,
    /// Those of the apply under way.
    applying: Vec<UpstreamName>,
    /// What operators hold, as the last job carried it.
    holds: Holds,
    /// An operator's word, which the next job carries whatever else there is.
    ordered: bool,
}

pub(crate) fn upstream(role: &str) -> Options {
    let select = vec![("role".to_owned(), TagPattern::new(role).unwrap())];
    Options::new(UpstreamName::new(role).unwrap(), select)
}

impl World {
    /// Backends by role; the balancer has the upstreams `web` and `api`. Nobody runs yet.
    pub(crate) fn new(seed: u64, backends: usize) -> Self {
        let mut sim = Sim::new(seed, Network::default());
        for _ in 0..=backends {
            sim.add();
        }
        Self {
            sim,
            rng: StdRng::seed_from_u64(seed ^ 0xba1a),
            nginx: Nginx::new(),
            kept: BTreeMap::new(),
            balancer: None,
            upstreams: vec![upstream("web"), upstream("api")],
            settle: SETTLE,
            coverage: Coverage::default(),
            notices: Vec::new(),
            asked: 0,
            last: None,
            members_changed: false,
            unknown: BTreeSet::new(),
            left_over: false,
            applying: Vec::new(),
            holds: Holds::default(),
            ordered: false,
        }
    }

    /// Starts a node with a role and lets it join everybody else who runs.
    pub(crate) fn start(&mut self, node: NodeId, role: &str) {
        let others: Vec<NodeId> =
            self.sim.nodes().filter(|other| *other != node && self.sim.endpoint(*other).is_some()).collect();
        let kept = self.kept.remove(&node).unwrap_or_default();
        self.sim.start(node, None, kept, |options| {
            options.tags = Tags::from([("role".to_owned(), role.to_owned())]);
            options.serf.reconnect_interval = Duration::from_secs(5);
        });
        if node == BALANCER {
            self.members_changed = true;
            self.know_nothing();
            self.last = None;
            // Of earlier reloads a new life knows nothing.
            self.nginx.reloaded_at = None;
            let (live, now) = (self.nginx.record(), self.sim.now());
            self.balancer = Some(Balancer::new(self.upstreams.clone(), self.settle, 1, live, self.holds.clone(), now));
            self.ordered = false;
        }
        if !others.is_empty() {
            self.sim.join(node, &others);
        }
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, node: NodeId) {
        if node == BALANCER && self.balancer.take().is_some() && self.nginx.agent_died(self.sim.now(), &mut self.rng) {
            self.coverage.count("agents killed within an apply");
        }
        if let Some(endpoint) = self.sim.endpoint(node) {
            self.kept.insert(node, remember(endpoint).restored);
        }
        self.sim.kill(node);
    }

    /// Lets a node leave; it ends when it has left.
    pub(crate) fn leave(&mut self, node: NodeId) {
        if node == BALANCER
            && let Some(balancer) = &mut self.balancer
        {
            balancer.leave();
        }
        self.sim.with(node, |endpoint, now| endpoint.leave(now));
    }

    /// A reload of the balancer's configuration.
    pub(crate) fn reconfigure(&mut self) {
        self.know_nothing();
        if let Some(balancer) = &mut self.balancer {
            balancer.handle_configuration(self.sim.now(), self.upstreams.clone(), self.settle);
        }
    }

    /// An operator freezes an upstream.
    pub(crate) fn hold(&mut self, role: &str) {
        let Some(balancer) = &mut self.balancer else { return };
        let name = UpstreamName::new(role).unwrap();
        self.ordered |= balancer.holds().get(&name).is_none();
        balancer.handle_hold(self.sim.now(), &BTreeSet::from([name]), &Hold { since: 0, reason: None });
    }

    /// And thaws all.
    pub(crate) fn release(&mut self) {
        let Some(balancer) = &mut self.balancer else { return };
        let held = balancer.holds().iter().map(|(name, _)| name.clone()).collect();
        self.ordered |= !balancer.holds().is_empty();
        balancer.handle_release(self.sim.now(), &held);
    }

    fn know_nothing(&mut self) {
        self.unknown = self.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let is_configured = |name: &UpstreamName| self.upstreams.iter().any(|upstream| upstream.name == *name);
        let files = self.nginx.record().map(|record| record.upstreams).unwrap_or_default();
        self.left_over |= !files.keys().all(is_configured);
        self.applying.clear();
    }

    /// Advances time, with the balancer's part of it.
    pub(crate) fn advance(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.sim.now() + duration;
        loop {
            self.turn()?;
            let due = self.balancer.as_ref().and_then(Balancer::poll_timeout);
            if due.is_some_and(|due| due <= self.sim.now()) {
                return Err("the balancer has a deadline that does not pass".to_owned());
            }
            let next = [Some(end), due, self.nginx.ends_at()].into_iter().flatten().min().unwrap_or(end);
            if self.sim.step_until(next).is_none() && self.sim.now() >= end {
                return self.turn();
            }
        }
    }

    /// Everything that follows from what has happened, as in a round of the agent's loop.
    fn turn(&mut self) -> Result<(), String> {
        let now = self.sim.now();
        for note in self.sim.take_notes() {
            self.take_note(now, note.node, &note.output);
        }
        let Some(balancer) = &mut self.balancer else { return Ok(()) };
        if let Some((word, applied)) = self.nginx.end(now) {
            self.coverage.count(word);
            if applied.is_in_place() {
                self.unknown.retain(|name| !self.applying.contains(name));
            }
            self.last = Some(applied);
            balancer.handle_applied(now, applied, &[]);
        }
        if let Some(endpoint) = self.sim.endpoint(BALANCER)
            && std::mem::take(&mut self.members_changed)
        {
            let candidate = |member| Candidate::of(member, endpoint.swim());
            balancer.handle_members(now, endpoint.members().map(candidate).collect());
        }
        balancer.handle_timeout(now);
        while let Some(output) = self.balancer.as_mut().and_then(Balancer::poll_output) {
            match output {
                Output::Apply { desired, .. } => self.apply(now, desired)?,
                Output::Tell(notice) => self.hear(notice),
            }
        }
        Ok(())
    }

    fn take_note(&mut self, now: Instant, node: NodeId, told: &Told) {
        match told {
            Told::Left { .. } => self.kill(node),
            Told::Member(_) | Told::Leaving { .. } | Told::Suspicion { .. } if node == BALANCER => {
                self.members_changed = true;
            }
            Told::Joined(joined) if node == BALANCER && joined.contacted > 0 => {
                if let Some(balancer) = &mut self.balancer {
                    balancer.handle_first_view(now);
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, notice: Notice) {
        match &notice {
            Notice::LeftOut { .. } => self.coverage.count("members left out"),
            Notice::Group { now: Group::Empty, .. } => self.coverage.count("placeholders"),
            Notice::Group { now: Group::Well, .. } => self.coverage.count("modes back to normal"),
            Notice::Group { now: Group::Floor, .. } => self.coverage.count("modes floor"),
            Notice::Group { now: Group::Unrecorded, .. } => self.coverage.count("held unrecorded"),
            Notice::Group { now: Group::Last | Group::AllLeft, .. } => self.coverage.count("modes last"),
        }
        self.notices.push(notice);
    }

    fn apply(&mut self, now: Instant, desired: Desired) -> Result<(), String> {
        if self.nginx.is_running() {
            return Err("an apply is asked for while one is under way".to_owned());
        }
        let ordered = std::mem::take(&mut self.ordered);
        let since = self.nginx.reloaded_at.map(|at| now.since(at)).filter(|_| !ordered);
        if since.is_some_and(|since| since < self.settle.min_reload_interval) {
            return Err(format!("an apply is asked for {since:?} after a reload"));
        }
        let changes = |(name, target): (&UpstreamName, &Target)| !routes_alike(self.nginx.file(name), target);
        let known = desired.upstreams.keys().all(|name| !self.unknown.contains(name));
        let left_over = std::mem::take(&mut self.left_over);
        let retries = ordered || left_over || self.last.is_some_and(|last| !last.is_done());
        if !desired.upstreams.iter().any(changes) && known && !retries {
            return Err(format!("an apply is asked for that changes nothing: {desired:?}"));
        }
        for (name, target) in &desired.upstreams {
            self.check_not_empty(name, target)?;
            self.check_frozen(name, target)?;
        }
        self.holds = self.balancer.as_ref().map(|balancer| balancer.holds().clone()).unwrap_or_default();
        self.asked += 1;
        self.applying = desired.upstreams.keys().cloned().collect();
        self.nginx.begin(now, desired, &mut self.rng);
        Ok(())
    }

    /// Never nobody while somebody who was in is alive.
    fn check_not_empty(&self, name: &UpstreamName, target: &Target) -> Result<(), String> {
        if serving(Some(target)).next().is_some() {
            return Ok(());
        }
        let there = self.alive_in_view(name);
        match serving(self.nginx.file(name)).find(|number| there.contains(number)) {
            Some(number) => Err(format!("nobody is in {name}, and node-{number}, who was, is alive")),
            None => Ok(()),
        }
    }

    /// Nobody comes into a held upstream, and who goes out of it has left or is lost from sight.
    fn check_frozen(&mut self, name: &UpstreamName, target: &Target) -> Result<(), String> {
        let is_held = self.balancer.as_ref().is_some_and(|balancer| balancer.holds().get(name).is_some());
        let Some(file) = self.nginx.file(name).filter(|_| is_held) else { return Ok(()) };
        let (before, after): (Vec<usize>, Vec<usize>) =
            (serving(Some(file)).collect(), serving(Some(target)).collect());
        self.coverage.count("applies of held upstreams");
        if let Some(number) = after.iter().find(|number| !before.contains(number)) {
            return Err(format!("{name} is held, and node-{number} comes in"));
        }
        let there = self.alive_in_view(name);
        match before.iter().find(|number| !after.contains(number) && there.contains(number)) {
            Some(number) => Err(format!("{name} is held, and node-{number} goes out, which is alive")),
            None => Ok(()),
        }
    }

    /// Members that are alive to the balancer, and not suspected, and servers by their tags.
    fn alive_in_view(&self, name: &UpstreamName) -> Vec<usize> {
        let Some(endpoint) = self.sim.endpoint(BALANCER) else { return Vec::new() };
        let Some(options) = self.upstreams.iter().find(|upstream| upstream.name == *name) else { return Vec::new() };
        let serves = |member: &&Member| {
            let candidate = Candidate::of(member, endpoint.swim());
            candidate.gossip == Gossip::Alive && select(&candidate, options).is_ok_and(|draft| draft.weight > 0)
        };
        endpoint.members().filter(serves).filter_map(|member| index_of(member.node.name.as_str())).collect()
    }

    /// Nodes of a role that run and that the balancer could reach, in truth.
    pub(crate) fn truly_there(&self, role: &str) -> Vec<usize> {
        let runs = |node: &NodeId| {
            let tags = self.sim.endpoint(*node).map(|endpoint| endpoint.tags());
            tags.is_some_and(|tags| tags.get("role").is_some_and(|value| value == role))
        };
        self.sim.nodes().filter(runs).map(|node| node.0).collect()
    }

    /// Who is in by the file in place.
    pub(crate) fn in_place(&self, role: &str) -> Vec<usize> {
        serving(self.nginx.file(&UpstreamName::new(role).unwrap())).collect()
    }

    /// What differs between the decision and what is in place, or between the decision and the truth.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let balancer = self.balancer.as_ref()?;
        if balancer.is_applying() || self.nginx.is_running() {
            return Some("an apply is under way".to_owned());
        }
        if self.last.is_some_and(|last| !last.is_done()) {
            return Some("the last apply is to be tried again".to_owned());
        }
        balancer.upstreams().iter().find_map(|upstream| {
            let name = upstream.name();
            let Some(decision) = upstream.decision() else { return Some(format!("{name} is undecided")) };
            let file = self.nginx.file(name);
            if let Some(target) = decision.target()
                && !(upstream.is_in_place() && routes_alike(file, &target))
            {
                return Some(format!("{name} should be {target:?} and is {file:?}"));
            }
            let (there, placed) = (self.truly_there(name.as_str()), self.in_place(name.as_str()));
            // With nobody there the last servers are kept.
            let agrees = there.is_empty() || there == placed;
            (!agrees).then(|| format!("{name} has {placed:?}, and {there:?} are there"))
        })
    }
}

fn routes_alike(file: Option<&Target>, target: &Target) -> bool {
    match (file, target) {
        (Some(Target::Servers(file)), Target::Servers(target)) => file.routes_like(target, false),
        (Some(Target::Placeholder), Target::Placeholder) => true,
        (_, Target::Servers(_) | Target::Placeholder) => false,
    }
}

/// The numbers of the nodes that get requests.
fn serving(target: Option<&Target>) -> impl Iterator<Item = usize> {
    let servers = target.and_then(Target::servers).into_iter().flat_map(Servers::serving);
    servers.filter_map(|server| index_of(server.member.as_str()))
}

fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
