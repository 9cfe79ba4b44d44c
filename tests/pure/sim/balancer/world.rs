//! A simulated cluster with one balancer in it.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::endpoint::{Output as Told, Restored};
use weir::sim::{Network, NodeId, Sim};
use weir::time::Instant;
use weir::upstream::balancer::{Balancer, Notice, Output};
use weir::upstream::desired::Target;
use weir::upstream::settle;
use weir::upstream::{Candidate, Holds, Options, Servers, TagPattern, UpstreamName};
use weir::wire::serf::Tags;

use super::super::cluster::remember;
use super::nginx::Nginx;

/// The node whose agent is the balancer.
pub(crate) const BALANCER: NodeId = NodeId(0);

/// Times of the debounce, as by default.
const SETTLE: settle::Options = settle::Options {
    quiet: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    min_reload_interval: Duration::from_secs(1),
    jitter: Duration::from_millis(23),
    retry: Duration::from_secs(60),
    max_retry: Duration::from_secs(600),
};

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) nginx: Nginx,
    /// What is in the snapshots of nodes that are down.
    kept: BTreeMap<NodeId, Restored>,
    /// `None` while its agent is down.
    balancer: Option<Balancer>,
    /// What it is configured for.
    pub(crate) upstreams: Vec<Options>,
    pub(crate) notices: Vec<Notice>,
    /// Applies asked for so far.
    pub(crate) asked: u64,
    /// Gossip told the balancer's agent of a change.
    members_changed: bool,
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
            nginx: Nginx::new(),
            kept: BTreeMap::new(),
            balancer: None,
            upstreams: vec![upstream("web"), upstream("api")],
            notices: Vec::new(),
            asked: 0,
            members_changed: false,
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
            let (live, now) = (self.nginx.record(), self.sim.now());
            self.balancer = Some(Balancer::new(self.upstreams.clone(), SETTLE, 1, live, Holds::default(), now));
        }
        if !others.is_empty() {
            self.sim.join(node, &others);
        }
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, node: NodeId) {
        if node == BALANCER {
            self.balancer = None;
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
        if let Some(balancer) = &mut self.balancer {
            balancer.handle_configuration(self.sim.now(), self.upstreams.clone(), SETTLE);
        }
    }

    /// Advances time, with the balancer's part of it.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.sim.now() + duration;
        loop {
            self.turn();
            let due = self.balancer.as_ref().and_then(Balancer::poll_timeout);
            assert!(due.is_none_or(|due| due > self.sim.now()), "the balancer has a deadline that does not pass");
            let next = [Some(end), due, self.nginx.ends_at()].into_iter().flatten().min().unwrap_or(end);
            if self.sim.step_until(next).is_none() && self.sim.now() >= end {
                return self.turn();
            }
        }
    }

    /// Everything that follows from what has happened, as in a round of the agent's loop.
    fn turn(&mut self) {
        let now = self.sim.now();
        for note in self.sim.take_notes() {
            self.take_note(now, note.node, &note.output);
        }
        let Some(balancer) = &mut self.balancer else { return };
        if let Some(applied) = self.nginx.end(now) {
            balancer.handle_applied(now, applied, &[]);
        }
        if let Some(endpoint) = self.sim.endpoint(BALANCER)
            && std::mem::take(&mut self.members_changed)
        {
            let candidate = |member| Candidate::of(member, endpoint.swim());
            balancer.handle_members(now, endpoint.members().map(candidate).collect());
        }
        balancer.handle_timeout(now);
        while let Some(output) = balancer.poll_output() {
            match output {
                Output::Apply { desired, .. } => {
                    self.asked += 1;
                    self.nginx.begin(now, desired);
                }
                Output::Tell(notice) => self.notices.push(notice),
            }
        }
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

    /// The numbers of the nodes that get requests by the file in place.
    pub(crate) fn in_place(&self, role: &str) -> Vec<usize> {
        let file = self.nginx.file(&UpstreamName::new(role).unwrap()).and_then(Target::servers);
        let serving = file.into_iter().flat_map(Servers::serving);
        serving.map(|server| server.member.as_str().strip_prefix("node-").unwrap().parse().unwrap()).collect()
    }
}
