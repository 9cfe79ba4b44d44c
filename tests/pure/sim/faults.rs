//! One deed after the other: what the network, the machines and their operators may do.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use weir::serf::{KeyOp, KeyParams, QueryParams, Status};
use weir::sim::{Network, NodeId, Uplink};
use weir::wire::serf::Tags;

use super::cluster::{Cluster, Phase};

impl Cluster {
    /// Draws a deed and does it, if it is possible now.
    pub(crate) fn do_something(&mut self) -> Result<(), String> {
        let deed = self.rng.random_range(0..100);
        let Some(node) = self.pick(&self.nodes(Phase::Running)) else { return self.restart() };
        match deed {
            0..=14 => self.change_network(),
            15..=21 => self.partition(),
            22..=29 => self.heal(),
            30..=35 => self.pause(node),
            36..=41 => self.resume(),
            42..=45 => self.break_uplink(node),
            46..=52 => self.kill_some(node),
            53..=62 => return self.restart(),
            63..=66 => self.leave(node),
            67..=71 => self.force_leave(node),
            72..=79 => self.change_tags(node),
            80..=89 => {
                self.send_event(node);
            }
            90..=94 => {
                self.ask(node);
            }
            95..=96 => self.replay(),
            _ => self.ask_for_keys(node),
        }
        self.settle(node)
    }

    fn change_network(&mut self) {
        let rng = &mut self.rng;
        let bad = rng.random_bool(0.7);
        let network = Network {
            delay: Duration::from_micros(rng.random_range(50..if bad { 60_000 } else { 2_000 })),
            jitter: Duration::from_micros(rng.random_range(0..if bad { 100_000 } else { 1_000 })),
            loss: if bad { rng.random_range(0.0..0.4) } else { 0.0 },
            duplication: if bad { rng.random_range(0.0..0.2) } else { 0.0 },
        };
        self.tell(format!("network is now {network:?}"));
        self.coverage.count("deed network");
        self.sim.set_network(network);
    }

    fn partition(&mut self) {
        let groups = self.rng.random_range(2..=3);
        let mut parts = vec![Vec::new(); groups];
        for node in self.sim.nodes() {
            let group = self.rng.random_range(0..groups);
            self.sim.set_group(node, group as u32);
            parts[group].push(node.0);
        }
        self.coverage.count("deed partition");
        self.tell(format!("partition {parts:?}"));
    }

    pub(crate) fn heal(&mut self) {
        for node in self.sim.nodes() {
            self.sim.set_group(node, 0);
            self.sim.set_uplink(node, Uplink::Sound);
        }
        self.coverage.count("deed heal");
        self.tell("heal");
    }

    fn pause(&mut self, node: NodeId) {
        self.sim.pause(node);
        self.coverage.count("deed pause");
        self.tell(format!("pause node-{}", node.0));
    }

    fn resume(&mut self) {
        let paused: Vec<_> = self.sim.nodes().filter(|node| self.sim.is_paused(*node)).collect();
        if let Some(node) = self.pick(&paused) {
            self.tell(format!("resume node-{}", node.0));
            self.coverage.count("deed resume");
            self.sim.resume(node);
        }
    }

    fn break_uplink(&mut self, node: NodeId) {
        let uplink = *[Uplink::Mute, Uplink::Deaf, Uplink::NoDatagrams].choose(&mut self.rng).expect("not empty");
        self.sim.set_uplink(node, uplink);
        self.coverage.count("deed uplink");
        self.tell(format!("uplink of node-{} is now {uplink:?}", node.0));
    }

    fn kill_some(&mut self, node: NodeId) {
        let mut victims = vec![node];
        if self.rng.random_bool(0.2) {
            let mut running = self.nodes(Phase::Running);
            running.shuffle(&mut self.rng);
            victims.extend(running.into_iter().take(self.plan.nodes / 4));
        }
        for victim in victims {
            if self.sim.endpoint(victim).is_some() {
                self.tell(format!("kill node-{}", victim.0));
                self.coverage.count("deed kill");
                self.kill(victim);
            }
        }
    }

    fn restart(&mut self) -> Result<(), String> {
        let down = self.nodes(Phase::Down);
        let Some(node) = self.pick(&down) else { return Ok(()) };
        let life = &mut self.lives[node.0];
        let kept = if self.rng.random_bool(0.6) { life.kept.take() } else { None };
        if self.rng.random_bool(0.3) {
            life.tags.insert("life".to_owned(), self.rng.random_range(0..100_u32).to_string());
        }
        if self.plan.encrypted && !self.plan.is_large() && self.rng.random_bool(0.2) {
            self.set_up_anew(node);
        }
        if self.plan.moves && self.rng.random_bool(0.4) {
            self.move_away(node);
        }
        let how = if kept.is_some() { "remembering" } else { "forgetting" };
        self.tell(format!("restart node-{} {how}", node.0));
        self.coverage.count(&format!("deed restart {how}"));
        self.start(node, kept);
        self.settle(node)
    }

    /// A host goes back to Serf, or comes from there, or takes nothing but sessions from now on.
    fn set_up_anew(&mut self, node: NodeId) {
        let before = self.lives[node.0].seal;
        let seal = *self.plan.alternatives().choose(&mut self.rng).expect("not empty");
        self.lives[node.0].seal = seal;
        if seal != before {
            self.tell(format!("node-{} will seal by {seal:?}", node.0));
            self.coverage.count(&format!("deed change from {before:?} to {seal:?}"));
        }
    }

    /// A node that is down gets another address: a fresh one, or that of another node that is down.
    pub(crate) fn move_away(&mut self, node: NodeId) {
        let mut free = self.nodes(Phase::Down);
        free.retain(|other| *other != node && self.sim.node_at(self.sim.addr(*other)) == Some(*other));
        let addr = match self.pick(&free) {
            Some(other) if self.rng.random_bool(0.5) => {
                self.coverage.count("deed address reused");
                self.sim.addr(other)
            }
            _ => self.sim.fresh_addr(),
        };
        self.sim.move_to(node, addr);
        self.lives[node.0].moved = true;
        self.tell(format!("node-{} moves to {addr}", node.0));
        self.coverage.count("deed move");
    }

    /// Somebody on the network sends session packets again that went by, to whomever.
    fn replay(&mut self) {
        let caught = self.invariants.caught().to_vec();
        let running = self.nodes(Phase::Running);
        for sent in &caught {
            let to = if self.rng.random_bool(0.5) { Some(sent.to) } else { self.pick(&running) };
            if let Some(to) = to {
                self.sim.inject(sent.from, to, sent.payload.clone());
            }
        }
        self.coverage.count_many("packets replayed", caught.len() as u64);
        self.tell(format!("{} session packets are replayed", caught.len()));
    }

    fn leave(&mut self, node: NodeId) {
        if self.sim.is_paused(node) || self.nodes(Phase::Running).len() <= 2 {
            return;
        }
        self.lives[node.0].phase = Phase::Leaving;
        self.tell(format!("leave node-{}", node.0));
        self.coverage.count("deed leave");
        self.sim.with(node, |endpoint, now| endpoint.leave(now));
    }

    /// An operator declares a member gone: mostly one that is.
    fn force_leave(&mut self, node: NodeId) {
        let living = self.rng.random_bool(0.2) && !self.is_divided();
        let targets: Vec<_> = if living {
            self.names(node, Status::Alive).into_iter().filter(|other| *other != node).collect()
        } else {
            let failed = self.names(node, Status::Failed).into_iter();
            failed.filter(|other| self.lives[other.0].phase == Phase::Down).collect()
        };
        let Some(target) = self.pick(&targets) else { return };
        let prune = !living && self.rng.random_bool(0.4);
        let name = self.sim.name(target).to_string();
        let result = self.sim.with(node, |endpoint, now| endpoint.force_leave(now, &name, prune));
        let deed = match (living, prune) {
            (true, _) => "force-leave of a living member",
            (false, true) => "prune",
            (false, false) => "force-leave",
        };
        self.coverage.count(&format!("deed {deed}"));
        self.tell(format!("{deed} {name} by node-{}: {result:?}", node.0));
    }

    /// Whether anybody may be missing from another's view through no fault of its own.
    fn is_divided(&self) -> bool {
        self.sim
            .nodes()
            .any(|node| self.sim.group(node) != 0 || self.sim.uplink(node) != Uplink::Sound || self.sim.is_paused(node))
    }

    fn change_tags(&mut self, node: NodeId) {
        let life = &mut self.lives[node.0];
        let value = self.rng.random_range(0..1000_u32).to_string();
        if self.rng.random_bool(0.1) {
            life.tags = Tags::new();
        }
        life.tags.insert("version".to_owned(), value);
        let tags = life.tags.clone();
        let result = self.sim.with(node, |endpoint, now| endpoint.set_tags(now, &tags));
        self.coverage.count("deed tags");
        self.tell(format!("tags of node-{} are now {tags:?}: {result:?}", node.0));
    }

    /// Sends a user event; its payload is its number. `None` if it was refused.
    pub(crate) fn send_event(&mut self, node: NodeId) -> Option<u64> {
        self.events_sent += 1;
        let id = self.events_sent;
        let coalesce = self.calm_since.is_none() && self.rng.random_bool(0.3);
        let payload = Bytes::copy_from_slice(&id.to_be_bytes());
        let result = self.sim.with(node, |endpoint, now| endpoint.user_event(now, "deploy", payload, coalesce));
        self.coverage.count("deed event");
        self.tell(format!("event {id} by node-{}: {result:?}", node.0));
        result.is_some_and(|sent| sent.is_ok()).then_some(id)
    }

    /// Asks everybody for an ack, and an answer.
    pub(crate) fn ask(&mut self, node: NodeId) -> Option<weir::serf::QueryKey> {
        let relay_factor = self.rng.random_range(0..3);
        let params = QueryParams {
            name: "who".to_owned(),
            payload: Bytes::from_static(if self.calm_since.is_some() || self.rng.random_bool(0.8) {
                b"!"
            } else {
                b""
            }),
            ack: self.calm_since.is_some() || self.rng.random_bool(0.5),
            relay_factor,
            ..QueryParams::default()
        };
        let key = self.sim.with(node, |endpoint, now| endpoint.query(now, params));
        self.coverage.count("deed query");
        self.tell(format!("query by node-{}: {key:?}", node.0));
        let key = key.and_then(Result::ok)?;
        self.queries.entry((node, key)).or_default();
        Some(key)
    }

    /// What may be asked of keyrings at any time without locking anybody out.
    fn ask_for_keys(&mut self, node: NodeId) {
        let op = if self.rng.random_bool(0.5) { KeyOp::List } else { KeyOp::Install(vec![9; 32].into()) };
        let result = self.key_request(node, op);
        self.coverage.count("deed key request");
        self.tell(format!("key request by node-{}: {result:?}", node.0));
    }

    pub(crate) fn key_request(&mut self, node: NodeId, op: KeyOp) -> Option<weir::serf::QueryKey> {
        let params = KeyParams { op, only: Vec::new(), ballot: None };
        self.sim.with(node, |endpoint, now| endpoint.key_request(now, params)).and_then(Result::ok)
    }
}
