//! After the storm: all views agree, and what is sent then reaches everybody.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use weir::endpoint::{Endpoint, Knowledge};
use weir::serf::{KeyOp, Status};
use weir::sim::{Network, NodeId};
use weir::wire::serf::encode_tags;

use super::cluster::{Cluster, Phase};
use super::invariants::index_of;

/// Virtual time within which all views must agree again.
const AGREEMENT: Duration = Duration::from_secs(30 * 60);

/// Queries asked until everybody has answered one: gossip misses somebody now and then, and nothing repairs a query. With the
/// local profile each of six members passes it on to two others, which leaves out one in ten.
const TRIES: usize = 8;

impl Cluster {
    /// Ends all faults and looks at what the cluster makes of it.
    pub(crate) fn calm_down(&mut self) -> Result<(), String> {
        self.tell("calm");
        self.sim.set_network(Network::default());
        self.heal();
        for node in self.sim.nodes() {
            if self.sim.is_paused(node) {
                self.sim.resume(node);
                self.settle(node)?;
            }
        }
        if self.nodes(Phase::Running).is_empty() {
            self.start(NodeId(0), None);
        }
        self.calm_since = Some(self.sim.now());
        self.agree()?;
        self.events_reach_everybody()?;
        self.queries_are_answered_by_everybody()?;
        if self.plan.encrypted {
            self.rotate_keys()?;
        }
        Ok(())
    }

    fn agree(&mut self) -> Result<(), String> {
        let start = self.sim.now();
        let step = Duration::from_secs(if self.plan.is_large() { 5 } else { 1 });
        self.join_islands()?;
        while let Some(what) = self.disagreement() {
            if self.sim.now().since(start) > AGREEMENT {
                let views = self.views();
                return Err(format!("views still differ after {} s of calm: {what}\n{views}", AGREEMENT.as_secs()));
            }
            self.advance(step)?;
        }
        let took = self.sim.now().since(start);
        self.tell(format!("all agree after {} s", took.as_secs()));
        self.coverage.count_many("seconds until views agreed", took.as_secs());
        Ok(())
    }

    /// What everybody holds, of a cluster small enough to be read.
    fn views(&self) -> String {
        let mut text = String::new();
        for node in self.nodes(Phase::Running).iter().take(10) {
            let Some(endpoint) = self.sim.endpoint(*node) else { continue };
            let _ = write!(text, "node-{} at {}:", node.0, self.sim.addr(*node));
            for member in endpoint.swim().members().take(10) {
                let status = endpoint.member(member.node.name.as_str()).map(|known| known.status);
                let envelope = endpoint.envelope_of(&member.node.name);
                let _ = write!(
                    text,
                    "\n  {} at {} {:?} {}, {status:?}, {envelope:?}",
                    member.node.name, member.node.addr, member.state, member.incarnation
                );
            }
            let drops = endpoint.drops().iter().filter(|(_, count)| *count > 0);
            let drops: Vec<_> = drops.map(|(reason, count)| format!("{count} {}", reason.as_str())).collect();
            let _ = writeln!(text, "\n  drops: {}; {:?}", drops.join(", "), endpoint.swim().stats());
        }
        text
    }

    /// Does what an operator must where nobody holds on to anybody of the other side: who left is not dialled, who moved is
    /// not found, and whom the last that knew it held dead is not told to newcomers.
    fn join_islands(&mut self) -> Result<(), String> {
        self.restart_the_forlorn()?;
        let running = self.nodes(Phase::Running);
        let mut reached = vec![running[0]];
        let mut others: Vec<NodeId> = running[1..].to_vec();
        loop {
            let (near, far): (Vec<_>, Vec<_>) =
                others.iter().partition(|other| reached.iter().any(|node| self.hold_on(*node, **other)));
            others = far;
            reached.extend(&near);
            match (near.is_empty(), others.first().copied()) {
                (_, None) => return Ok(()),
                (true, Some(other)) => {
                    self.tell(format!("{:?} is joined by hand to {:?}", other.0, reached[0].0));
                    self.coverage.count("islands joined by hand");
                    self.sim.join(other, &reached[..1]);
                    self.settle(other)?;
                    reached.push(other);
                    others.remove(0);
                }
                (false, _) => {}
            }
        }
    }

    /// Who lost the vote about its name asks those it knew then whether the name is free. Where none of them is left an
    /// operator has to start it anew.
    fn restart_the_forlorn(&mut self) -> Result<(), String> {
        let running = self.nodes(Phase::Running);
        let mut forlorn = running.clone();
        forlorn.retain(|node| {
            let silent = self.sim.endpoint(*node).is_some_and(Endpoint::is_silent);
            silent && !running.iter().any(|other| other != node && self.holds(*node, *other))
        });
        for node in forlorn {
            self.tell(format!("node-{} is silent, and nobody it knew is left", node.0));
            self.coverage.count("silent nodes restarted by hand");
            self.kill(node);
            self.start(node, None);
            self.settle(node)?;
        }
        Ok(())
    }

    /// Whether one of two holds the other to be there, or dials it because it failed: where it is now.
    fn hold_on(&self, one: NodeId, other: NodeId) -> bool {
        self.holds(one, other) || self.holds(other, one)
    }

    fn holds(&self, holder: NodeId, held: NodeId) -> bool {
        let name = self.sim.name(held).as_str();
        let member = self.sim.endpoint(holder).and_then(|endpoint| endpoint.member(name));
        member.is_some_and(|member| member.status != Status::Left && member.node.addr == self.sim.addr(held))
    }

    /// Something in which two views, or a view and the truth, differ.
    ///
    /// Whoever runs is known to everybody, alive and with its tags. Who is gone need not be known to those who came later,
    /// but who knows it knows how it went.
    fn disagreement(&mut self) -> Option<String> {
        if let Some(node) = self.nodes(Phase::Leaving).first() {
            return Some(format!("node-{} is still leaving", node.0));
        }
        let tags: Vec<Bytes> = self.lives.iter().map(|life| encode_tags(&life.tags)).collect();
        let running = self.nodes(Phase::Running);
        let mut departed: BTreeMap<usize, (Status, NodeId)> = BTreeMap::new();
        let mut agreed = 0;
        for observer in &running {
            let endpoint = self.sim.endpoint(*observer).expect("running nodes have an endpoint");
            if endpoint.is_silent() {
                return Some(format!("node-{} is silent after a lost name", observer.0));
            }
            let mut met = HashSet::with_capacity(running.len());
            for member in endpoint.members() {
                let (name, status) = (&member.node.name, member.status);
                let subject = index_of(name.as_str()).expect("nobody else was started");
                if self.lives[subject].phase == Phase::Running {
                    met.insert(subject);
                    if status != Status::Alive {
                        return Some(format!(
                            "node-{} holds {name} {status} since {:?}, and it runs",
                            observer.0, member.status_ltime
                        ));
                    }
                    if member.node.addr != self.sim.addr(NodeId(subject)) {
                        return Some(format!("node-{} holds {name} at {}", observer.0, member.node.addr));
                    }
                    if member.node.meta != tags[subject] {
                        return Some(format!("node-{} holds {name} with {:?}", observer.0, member.tags()));
                    }
                    continue;
                }
                if status.is_present() {
                    return Some(format!("node-{} holds {name} {status}, and it is down", observer.0));
                }
                let (other, who) = departed.entry(subject).or_insert((status, *observer));
                if *other != status {
                    return Some(format!("node-{} holds {name} {status}, node-{} holds it {other}", observer.0, who.0));
                }
                agreed += 1;
            }
            if let Some(missing) = running.iter().find(|node| !met.contains(&node.0)) {
                return Some(format!("node-{} does not know node-{}", observer.0, missing.0));
            }
        }
        self.coverage.count_many("departed members agreed on", agreed);
        self.clocks_apart(&running).or_else(|| self.ignorance_of_sessions(&running))
    }

    /// Clocks of which one lags. Who sends by it is not heard by a node that was restarted and remembers a later time.
    fn clocks_apart(&self, running: &[NodeId]) -> Option<String> {
        let clocks = running.iter().filter_map(|node| self.sim.endpoint(*node)).map(|endpoint| {
            let stats = endpoint.serf().stats();
            (stats.event_time, stats.query_time)
        });
        let clocks: HashSet<_> = clocks.collect();
        (clocks.len() > 1).then(|| format!("event and query clocks are {clocks:?}"))
    }

    /// Whose session somebody does not know: what it is sent may not reach it. Probes teach that, one member at a time.
    fn ignorance_of_sessions(&self, running: &[NodeId]) -> Option<String> {
        for observer in running {
            let endpoint = self.sim.endpoint(*observer).expect("running nodes have an endpoint");
            if endpoint.session().is_none() {
                continue;
            }
            for subject in running.iter().filter(|subject| *subject != observer) {
                let truth = self.sim.endpoint(*subject).and_then(Endpoint::session);
                let known = endpoint.envelope_of(self.sim.name(*subject));
                let right = match (known, truth) {
                    (Some(Knowledge::Session(known)), truth) => truth == Some(known),
                    (Some(Knowledge::Unknown | Knowledge::Old) | None, truth) => truth.is_none(),
                };
                if !right {
                    return Some(format!(
                        "node-{} knows {known:?} of node-{}, which has {truth:?}",
                        observer.0, subject.0
                    ));
                }
            }
        }
        None
    }

    fn events_reach_everybody(&mut self) -> Result<(), String> {
        let mut sent = Vec::new();
        for _ in 0..3 {
            let node = self.pick_running();
            sent.push(self.send_event(node).ok_or("an event was refused in calm")?);
            self.settle(node)?;
            self.advance(Duration::from_millis(100))?;
        }
        self.advance(Duration::from_secs(3) * self.pace())?;
        // Gossip reaches nearly everybody, the regular exchanges of full state reach the rest.
        let interval = self.plan.swim().push_pull_interval;
        let slack = u32::try_from(self.plan.nodes / 32).unwrap_or(0) + 3;
        for id in sent {
            let mut missing = self.missing(id);
            self.coverage.count_many("events delivered in calm", self.nodes(Phase::Running).len() as u64);
            self.coverage.count_many("events that gossip did not bring", missing.len() as u64);
            for _ in 0..slack {
                if missing.is_empty() {
                    break;
                }
                self.advance(interval)?;
                missing = self.missing(id);
            }
            if !missing.is_empty() {
                return Err(format!("event {id}, sent in calm, did not reach {missing:?}"));
            }
        }
        Ok(())
    }

    /// Running nodes that a user event has not reached.
    fn missing(&self, id: u64) -> Vec<NodeId> {
        let delivered = self.delivered.get(&id);
        let mut missing = self.nodes(Phase::Running);
        missing.retain(|node| !delivered.is_some_and(|nodes| nodes.contains(&(*node, self.lives[node.0].lineage))));
        missing
    }

    fn queries_are_answered_by_everybody(&mut self) -> Result<(), String> {
        let running = self.nodes(Phase::Running).len();
        let node = self.pick_running();
        let (mut acks, mut responses) = (HashSet::new(), HashSet::new());
        for _ in 0..TRIES {
            let key = self.ask(node).ok_or("a query was refused in calm")?;
            self.settle(node)?;
            self.wait_for_answers(node)?;
            let asked = self.queries.remove(&(node, key)).expect("was asked just now");
            if !asked.done || asked.acks != asked.responses {
                let (acks, responses) = (&asked.acks - &asked.responses, &asked.responses - &asked.acks);
                return Err(format!(
                    "a query in calm, ended: {}, was acknowledged only by {acks:?} and answered only by {responses:?}",
                    asked.done
                ));
            }
            self.coverage.count("queries in calm");
            self.coverage.count_many("queries answered in calm", asked.responses.len() as u64);
            self.coverage.count_many("queries that gossip did not bring", (running - asked.acks.len()) as u64);
            acks.extend(asked.acks);
            responses.extend(asked.responses);
            if acks.len() == running && responses.len() == running {
                return Ok(());
            }
        }
        Err(format!("of {running} members only {acks:?} acknowledged one of {TRIES} queries in calm"))
    }

    /// Installs a key everywhere, makes it primary, removes the old one: each repeated until everybody has confirmed.
    fn rotate_keys(&mut self) -> Result<(), String> {
        let node = self.pick_running();
        for op in
            [KeyOp::Install(vec![8; 32].into()), KeyOp::Use(vec![8; 32].into()), KeyOp::Remove(vec![7; 32].into())]
        {
            self.confirm_by_everybody(node, &op)?;
        }
        self.coverage.count("keys rotated in calm");
        self.agree().map_err(|failure| format!("after a key rotation {failure}"))
    }

    fn confirm_by_everybody(&mut self, node: NodeId, op: &KeyOp) -> Result<(), String> {
        let running = self.nodes(Phase::Running).len();
        let mut confirmed = HashSet::new();
        for _ in 0..TRIES {
            let key = self.key_request(node, op.clone()).ok_or("a key request was refused in calm")?;
            self.settle(node)?;
            self.wait_for_answers(node)?;
            let Some(outcome) = self.key_outcomes.remove(&(node, key)) else {
                return Err(format!("{} in calm did not end", op.query_name()));
            };
            if outcome.errors() > 0 {
                return Err(format!("{} was refused in calm: {outcome:?}", op.query_name()));
            }
            confirmed.extend(outcome.nodes.into_keys());
            if confirmed.len() == running {
                return Ok(());
            }
            self.coverage.count("key requests repeated in calm");
        }
        Err(format!("{} was confirmed by {confirmed:?} only, in {TRIES} tries", op.query_name()))
    }

    fn wait_for_answers(&mut self, node: NodeId) -> Result<(), String> {
        let timeout = self.sim.endpoint(node).expect("running").serf().default_query_timeout();
        self.advance(timeout + Duration::from_secs(1))
    }

    fn pick_running(&mut self) -> NodeId {
        self.pick(&self.nodes(Phase::Running)).expect("somebody runs")
    }
}
