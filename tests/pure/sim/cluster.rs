//! The cluster under test: the simulation, and the truth about it that no endpoint knows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir::endpoint::{Endpoint, JoinKind, JoinTarget, Output, Restored, Seal};
use weir::serf::{Answer, ConflictOutcome, Event, KeyOutcome, MemberEventKind, QueryKey, RestoredMember, Status};
use weir::sim::{Network, NodeId, Note, Sim};
use weir::time::Instant;
use weir::wire::serf::Tags;

use super::coverage::Coverage;
use super::invariants::{Invariants, index_of};
use super::plan::Plan;

/// Deeds kept for the report of a failure.
const STORY_LEN: usize = 15;

/// Calm after which the last echo of a fault is over: from then on nobody who runs may be taken for dead.
const SETTLED: Duration = Duration::from_secs(600);

/// Between two looks at everything about everybody; twenty times as long in a large cluster.
const FULL_CHECK: Duration = Duration::from_secs(2);

/// Where a run stands, for reports from outside of it.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<At>>);

struct At {
    step: u64,
    now: Duration,
    verbose: bool,
    story: Vec<String>,
}

impl Progress {
    pub(crate) fn new(verbose: bool) -> Self {
        Self(Arc::new(Mutex::new(At { step: 0, now: Duration::ZERO, verbose, story: Vec::new() })))
    }

    pub(crate) fn story(&self) -> String {
        let at = self.0.lock().unwrap();
        at.story[at.story.len().saturating_sub(STORY_LEN)..].join("\n")
    }

    fn stepped(&self, now: Duration) {
        let mut at = self.0.lock().unwrap();
        at.step += 1;
        at.now = now;
    }

    fn tell(&self, line: String) {
        let mut at = self.0.lock().unwrap();
        let line = format!("  {:>10.3} s  {line}", at.now.as_secs_f64());
        if at.verbose {
            println!("{line}");
        }
        at.story.push(line);
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.lock().unwrap();
        write!(f, "step {} at {:.3} s", at.step, at.now.as_secs_f64())
    }
}

/// Where a node stands in truth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Down,
    Running,
    /// Was told to leave.
    Leaving,
}

/// The truth about a node.
pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) tags: Tags,
    pub(crate) seal: Seal,
    /// Has exchanged state with the cluster in this life.
    pub(crate) joined: bool,
    /// A join is under way.
    joining: bool,
    retry_at: Instant,
    /// What its snapshot would hold; `None` if there is none.
    pub(crate) kept: Option<Kept>,
    /// Whether the last life ended by a leave, or in the middle of one.
    pub(crate) left: bool,
    /// Has ever come back at another address: its name may be disputed.
    pub(crate) moved: bool,
    /// Lives that share their memory of events.
    pub(crate) lineage: u32,
}

/// What is left of an earlier life.
pub(crate) struct Kept {
    pub(crate) restored: Restored,
    /// Members that were alive, to be joined again.
    pub(crate) alive: Vec<NodeId>,
}

/// A query of some node, and who has answered.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) acks: HashSet<String>,
    pub(crate) responses: HashSet<String>,
    pub(crate) done: bool,
}

pub(crate) struct Cluster {
    pub(crate) plan: Plan,
    pub(crate) sim: Sim,
    pub(crate) rng: StdRng,
    pub(crate) lives: Vec<Life>,
    pub(crate) invariants: Invariants,
    pub(crate) coverage: Coverage,
    pub(crate) start: Instant,
    /// Receivers of each user event: node and lineage.
    pub(crate) delivered: HashMap<u64, HashSet<(NodeId, u32)>>,
    pub(crate) events_sent: u64,
    /// Queries of the running lives.
    pub(crate) queries: BTreeMap<(NodeId, QueryKey), Asked>,
    /// Key requests that have ended.
    pub(crate) key_outcomes: BTreeMap<(NodeId, QueryKey), KeyOutcome>,
    /// Since when all faults are over.
    pub(crate) calm_since: Option<Instant>,
    full_check_at: Instant,
    progress: Progress,
}

impl Cluster {
    pub(crate) fn new(plan: Plan, progress: Progress) -> Self {
        let mut sim = Sim::new(plan.seed, Network::default());
        if plan.encrypted {
            sim.record();
        }
        let start = sim.now();
        let mut cluster = Self {
            rng: StdRng::seed_from_u64(plan.seed.wrapping_add(0x5eed << 32)),
            lives: Vec::new(),
            invariants: Invariants::new(&plan),
            coverage: Coverage::default(),
            start,
            delivered: HashMap::new(),
            events_sent: 0,
            queries: BTreeMap::new(),
            key_outcomes: BTreeMap::new(),
            calm_since: None,
            full_check_at: start,
            progress,
            sim,
            plan,
        };
        for index in 0..cluster.plan.nodes {
            let node = cluster.sim.add();
            let tags = Tags::from([("role".to_owned(), format!("role-{}", index % 3))]);
            cluster.lives.push(Life {
                phase: Phase::Down,
                tags,
                seal: cluster.plan.seals[index % cluster.plan.seals.len()],
                joined: false,
                joining: false,
                retry_at: start,
                kept: None,
                left: false,
                moved: false,
                lineage: 0,
            });
            debug_assert_eq!(node.0, index);
        }
        cluster
    }

    /// The whole run: birth, faults, calm.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.count_plan();
        self.form()?;
        for _ in 0..self.plan.deeds {
            self.do_something()?;
            let pause = Duration::from_millis(self.rng.random_range(0..3000));
            self.advance(pause * self.pace())?;
        }
        self.calm_down()?;
        self.count_totals();
        Ok(())
    }

    /// How much longer everything takes than on a LAN.
    pub(crate) fn pace(&self) -> u32 {
        let interval = self.plan.swim().probe_interval.as_secs();
        u32::try_from(interval.max(1)).unwrap_or(1)
    }

    pub(crate) fn tell(&self, line: impl Into<String>) {
        self.progress.tell(line.into());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.now().since(self.start)
    }

    /// Nodes in a phase.
    pub(crate) fn nodes(&self, phase: Phase) -> Vec<NodeId> {
        self.sim.nodes().filter(|node| self.lives[node.0].phase == phase).collect()
    }

    pub(crate) fn pick(&mut self, from: &[NodeId]) -> Option<NodeId> {
        from.choose(&mut self.rng).copied()
    }

    fn form(&mut self) -> Result<(), String> {
        if self.plan.is_large() {
            // Thousands of exchanges of a thousand members each would be all that this run shows.
            for node in self.sim.nodes() {
                self.boot(node, None);
                self.lives[node.0].joined = true;
            }
            self.sim.converge();
            return self.advance(Duration::from_secs(2));
        }
        for node in self.sim.nodes() {
            self.start(node, None);
            if !self.plan.burst {
                let pause = Duration::from_millis(self.rng.random_range(0..20));
                self.advance(pause)?;
            }
        }
        self.advance(Duration::from_secs(2))
    }

    /// Starts a node, with what an earlier life left behind if `kept`.
    ///
    /// A node that remembers goes back to the members it remembers, unless it left; any other, and one that finds none of
    /// them, joins by its configuration.
    pub(crate) fn start(&mut self, node: NodeId, kept: Option<Kept>) {
        if self.sim.node_at(self.sim.addr(node)) != Some(node) {
            self.move_away(node);
        }
        let rejoins = !self.lives[node.0].left;
        let (restored, alive) = kept.map_or((None, Vec::new()), |kept| (Some(kept.restored), kept.alive));
        self.boot(node, restored);
        if rejoins && !alive.is_empty() {
            self.coverage.count("rejoins");
            self.join(node, JoinKind::Rejoin, &alive);
        } else {
            self.join_if_due(node);
        }
    }

    fn boot(&mut self, node: NodeId, kept: Option<Restored>) {
        let life = &mut self.lives[node.0];
        life.lineage += u32::from(kept.is_none());
        life.phase = Phase::Running;
        life.joined = false;
        life.joining = false;
        life.left = false;
        life.retry_at = self.sim.now();
        let (tags, seal, plan) = (life.tags.clone(), life.seal, &self.plan);
        self.invariants.started(node);
        self.sim.start(node, plan.keyring(), kept.unwrap_or_default(), |options| {
            plan.configure(options);
            options.tags = tags;
            options.seal = seal;
        });
    }

    /// Ends a node at once, and keeps what its snapshot would hold.
    pub(crate) fn kill(&mut self, node: NodeId) {
        let life = &mut self.lives[node.0];
        if let Some(endpoint) = self.sim.endpoint(node) {
            life.kept = Some(remember(endpoint));
            self.coverage.count_many("refutations", endpoint.swim().stats().refutations);
            self.coverage.count_many("probes failed", endpoint.swim().stats().probes_failed);
        }
        life.left |= life.phase == Phase::Leaving;
        life.phase = Phase::Down;
        self.queries.retain(|(asker, _), _| *asker != node);
        self.sim.kill(node);
    }

    /// Advances time, checking after each step.
    pub(crate) fn advance(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.sim.now() + duration;
        while let Some(node) = self.sim.step_until(end) {
            self.settle(node)?;
        }
        for node in self.sim.nodes() {
            self.join_if_due(node);
        }
        self.settle_notes()?;
        let pause = if self.plan.is_large() { 20 * FULL_CHECK } else { FULL_CHECK };
        if self.sim.now() >= self.full_check_at {
            self.full_check_at = self.sim.now() + pause;
            self.invariants.check_all(&self.sim, &self.lives)?;
        }
        Ok(())
    }

    /// After something happened to `node`.
    pub(crate) fn settle(&mut self, node: NodeId) -> Result<(), String> {
        self.progress.stepped(self.elapsed());
        let changed = self.settle_notes()?;
        self.invariants.check(&mut self.sim, &self.lives, node, changed)
    }

    /// Takes note of what endpoints told. True if a view changed.
    fn settle_notes(&mut self) -> Result<bool, String> {
        let mut changed = false;
        for note in self.sim.take_notes() {
            changed |= matches!(note.output, Output::Member(_) | Output::Leaving { .. } | Output::Suspicion { .. });
            self.take_note(note)?;
        }
        Ok(changed)
    }

    fn take_note(&mut self, Note { node, output, .. }: Note) -> Result<(), String> {
        match output {
            Output::Member(event) => self.note_member(node, event.kind, event.member.node.name.as_str())?,
            Output::Suspicion { by, .. } => {
                self.coverage.count(if by.is_some() { "suspicions" } else { "suspicions cleared" });
            }
            Output::Leaving { leaving, .. } => {
                self.coverage.count(if leaving { "leaves announced" } else { "leaves called off" })
            }
            Output::Event(Event::User(event)) => self.note_event(node, &event.payload)?,
            Output::Event(Event::Query(query)) => self.answer(node, query.key, &query.payload),
            Output::Event(Event::Member { .. }) => {}
            Output::Query(answer) => self.note_answer(node, answer.key, answer.answer)?,
            Output::Keys { query, outcome } => {
                self.key_outcomes.insert((node, query), outcome);
            }
            Output::Joined(joined) => {
                let life = &mut self.lives[node.0];
                life.joined |= joined.contacted > 0;
                life.joining = false;
                life.retry_at = self.sim.now() + Duration::from_secs(3);
                self.coverage.count_many("joins failed", joined.failures.len() as u64);
                if joined.contacted == 0 {
                    self.tell(format!("join of node-{} failed: {:?}", node.0, joined.failures));
                }
            }
            Output::Left { unconfirmed } => {
                self.coverage.count_many("leaves unconfirmed", unconfirmed.len() as u64);
                if self.lives[node.0].phase == Phase::Leaving {
                    self.kill(node);
                    self.tell(format!("{} has left", self.sim.name(node)));
                }
            }
            Output::ForceLeft { .. } => {}
            Output::NameTrouble(_) => self.coverage.count("names contested, for a third party"),
            Output::Conflict(outcome) => {
                if !self.lives[node.0].moved {
                    return Err(format!("node-{} is told of a conflict over its name: {outcome:?}", node.0));
                }
                self.tell(format!("name of node-{} disputed: {outcome:?}", node.0));
                self.coverage.count(match outcome {
                    ConflictOutcome::Lost { .. } => "names lost",
                    ConflictOutcome::Freed => "names freed",
                    ConflictOutcome::Asked { .. }
                    | ConflictOutcome::Claimed { .. }
                    | ConflictOutcome::Won { .. }
                    | ConflictOutcome::Unanswered => "names disputed",
                });
            }
            Output::StoreKeyring(_)
            | Output::Reached { .. }
            | Output::SecondWitness { .. }
            | Output::KeyringChanged { .. }
            | Output::Datagram { .. }
            | Output::Connect { .. }
            | Output::Write { .. }
            | Output::Close { .. } => {
                unreachable!("the simulation carries these out itself, and nobody changes a ring locally")
            }
        }
        Ok(())
    }

    fn note_member(&mut self, observer: NodeId, kind: MemberEventKind, name: &str) -> Result<(), String> {
        match kind {
            MemberEventKind::Join | MemberEventKind::Update => {}
            MemberEventKind::Leave => self.coverage.count("members left"),
            MemberEventKind::Reap => self.coverage.count("members reaped"),
            MemberEventKind::Failed => {
                self.coverage.count("members failed");
                let truth = index_of(name).map(|index| self.lives[index].phase);
                if truth == Some(Phase::Running) {
                    self.coverage.count("false failures");
                    if self.calm_for() > SETTLED {
                        return Err(format!("node-{} takes {name} for dead in the middle of calm", observer.0));
                    }
                }
            }
        }
        Ok(())
    }

    fn calm_for(&self) -> Duration {
        self.calm_since.map_or(Duration::ZERO, |since| self.sim.now().since(since))
    }

    fn note_event(&mut self, node: NodeId, payload: &[u8]) -> Result<(), String> {
        let id = u64::from_be_bytes(payload.try_into().map_err(|_| "an event changed on its way".to_owned())?);
        let lineage = self.lives[node.0].lineage;
        if !self.delivered.entry(id).or_default().insert((node, lineage)) {
            return Err(format!("user event {id} was delivered to node-{} twice", node.0));
        }
        self.coverage.count("events delivered");
        Ok(())
    }

    fn answer(&mut self, node: NodeId, key: QueryKey, payload: &Bytes) {
        let name = self.sim.name(node).clone();
        let answer = Bytes::copy_from_slice(name.as_str().as_bytes());
        // Whether it wants an answer is in the query. A refusal means that the answer came too late.
        if payload.first() == Some(&b'!') {
            self.sim.with(node, |endpoint, now| endpoint.respond(now, &key, answer));
        }
    }

    fn note_answer(&mut self, node: NodeId, key: QueryKey, answer: Answer) -> Result<(), String> {
        let Some(asked) = self.queries.get_mut(&(node, key)) else {
            // An answer of the same step as the question.
            self.queries.entry((node, key)).or_default();
            return self.note_answer(node, key, answer);
        };
        if asked.done {
            return Err(format!("query {key:?} of node-{} goes on after its end", node.0));
        }
        let news = match &answer {
            Answer::Ack { from } => asked.acks.insert(from.clone()),
            Answer::Response { from, payload } => {
                if payload.as_ref() != from.as_bytes() {
                    return Err(format!("{from} answered {payload:?}"));
                }
                self.coverage.count("queries answered");
                asked.responses.insert(from.clone())
            }
            Answer::Done { acks, responses } => {
                if (*acks, *responses) != (asked.acks.len(), asked.responses.len()) {
                    return Err(format!("query {key:?} ended with {answer:?}, which is not what was passed on"));
                }
                asked.done = true;
                true
            }
        };
        if news { Ok(()) } else { Err(format!("query {key:?} of node-{} got {answer:?} twice", node.0)) }
    }

    /// Lets a node that has not met the cluster in this life try again.
    fn join_if_due(&mut self, node: NodeId) {
        let life = &self.lives[node.0];
        if life.phase != Phase::Running || life.joined || life.joining || self.sim.now() < life.retry_at {
            return;
        }
        let running = self.nodes(Phase::Running);
        let known: Vec<_> = running.iter().copied().filter(|other| self.lives[other.0].joined).collect();
        if known.is_empty() {
            // Nobody is there to be joined: this is where the cluster begins, anew or at first.
            self.lives[node.0].joined = true;
            return;
        }
        let count = self.rng.random_range(1..=3.min(known.len()));
        let seeds: Vec<_> = known.sample(&mut self.rng, count).copied().collect();
        self.join(node, JoinKind::Join { ignore_old: false }, &seeds);
    }

    /// Lets `node` exchange state with `seeds`, wherever they are now.
    pub(crate) fn join(&mut self, node: NodeId, kind: JoinKind, seeds: &[NodeId]) {
        let target = |seed: &NodeId| JoinTarget { label: self.sim.name(*seed).to_string(), addr: self.sim.addr(*seed) };
        let targets = seeds.iter().map(target).collect();
        self.lives[node.0].joining = true;
        self.sim.with(node, |endpoint, now| endpoint.join(now, kind, targets));
    }

    /// Members that `node` holds in `status`.
    pub(crate) fn names(&self, node: NodeId, status: Status) -> Vec<NodeId> {
        let Some(endpoint) = self.sim.endpoint(node) else { return Vec::new() };
        let names = endpoint.members().filter(|member| member.status == status).map(|member| member.node.name.as_str());
        names.filter_map(index_of).map(NodeId).collect()
    }

    fn count_plan(&mut self) {
        self.coverage.count(if self.plan.encrypted { "runs encrypted" } else { "runs in plain text" });
        self.coverage.count(&format!("runs sealed by {:?}", self.plan.seals));
        self.coverage.count(&format!("runs of profile {:?}", self.plan.profile));
        if self.plan.nodes >= 25 {
            self.coverage.count("runs of 25 nodes and more");
        }
        if self.plan.is_large() {
            self.coverage.count("runs of 200 nodes and more");
        }
    }

    fn count_totals(&mut self) {
        let counts = self.sim.counts();
        for (what, times) in [
            ("packets", counts.packets),
            ("packets lost", counts.lost),
            ("packets duplicated", counts.duplicated),
            ("packets reordered", counts.reordered),
            ("packets partitioned", counts.partitioned),
            ("packets undelivered", counts.undelivered),
            ("streams", counts.streams),
            ("nonces", self.invariants.nonces() as u64),
            ("session packets opened", self.invariants.opened() as u64),
            ("members back from the dead", self.invariants.returns),
            ("virtual seconds", self.elapsed().as_secs()),
        ] {
            self.coverage.count_many(what, times);
        }
        for node in self.nodes(Phase::Running) {
            self.kill(node);
        }
    }
}

/// What a snapshot holds of a node at this moment.
pub(crate) fn remember(endpoint: &Endpoint) -> Kept {
    let own = endpoint.options().name.as_str();
    let (mut failed, mut alive) = (Vec::new(), Vec::new());
    for member in endpoint.members().filter(|member| member.node.name.as_str() != own) {
        match member.status {
            Status::Failed => failed.push(RestoredMember { node: member.node.clone(), age: Duration::ZERO }),
            Status::Alive => alive.extend(index_of(member.node.name.as_str()).map(NodeId)),
            Status::Leaving | Status::Left => {}
        }
    }
    let serf = weir::serf::Restored { clocks: endpoint.serf().seen_clocks(), failed, ballot: None };
    let restored = Restored { incarnation: endpoint.swim().incarnation(), serf, ..Default::default() };
    Kept { restored, alive }
}
