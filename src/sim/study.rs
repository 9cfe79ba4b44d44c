//! A measured run: a cluster of any size, a newcomer, and members that die (`weir sim`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::endpoint::{Options, Output, Restored};
use crate::serf::MemberEventKind;
use crate::swim::{self, Profile};
use crate::time::Instant;
use crate::wire::NodeName;

use super::{Network, NodeId, Sim};

/// How closely moments are told.
const RESOLUTION: Duration = Duration::from_millis(10);
/// The cluster is left alone for this long before anything happens to it.
const CALM: Duration = Duration::from_secs(5);
/// Between the newcomer and the deaths.
const BETWEEN: Duration = Duration::from_secs(5);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nodes at the start, all of which know each other. At least two.
    pub nodes: usize,
    /// Their timings.
    pub profile: Profile,
    /// The network between them.
    pub network: Network,
    /// How many of them are killed at once.
    pub kill: usize,
    /// Virtual length of the run.
    pub length: Duration,
    /// Decides everything that is drawn.
    pub seed: u64,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Second {
    /// Packets that each node sent, on average.
    pub packets: f64,
    /// Bytes that each node sent, on average.
    pub bytes: f64,
    /// Share of (survivor, killed member) pairs in which the death is known, 0 to 1.
    pub deaths_known: f64,
}

/// What came of it. Times in seconds.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Nodes at the start.
    pub nodes: usize,
    /// Members killed.
    pub killed: usize,
    /// The seed: the same plan and seed give the same report.
    pub seed: u64,
    /// Virtual length of the run.
    pub seconds: f64,
    /// From a newcomer's start until everybody knows it; null if that did not happen.
    pub join_known_by_all_s: Option<f64>,
    /// From the deaths until the first survivor held one of them failed.
    pub first_detection_s: Option<f64>,
    /// From the deaths until every survivor held all of them failed.
    pub last_detection_s: Option<f64>,
    /// Times that a survivor held a living member failed.
    pub false_positives: usize,
    /// Times that a survivor suspected a living member.
    pub false_suspicions: usize,
    /// Packets that each node sent per second, on average.
    pub packets_per_node_second: f64,
    /// Bytes that each node sent in packets per second, on average.
    pub bytes_per_node_second: f64,
    /// Bytes that each node sent in streams per second, on average: exchanges of full state, and pings that UDP lost.
    pub stream_bytes_per_node_second: f64,
    /// The run, second by second.
    pub timeline: Vec<Second>,
}

/// Runs `plan`. `passed` is told about each virtual second that is over.
pub fn study(plan: &Plan, passed: &mut dyn FnMut(usize)) -> Report {
    let mut sim = Sim::new(plan.seed, plan.network.clone());
    start_converged(&mut sim, plan);
    let mut watch = Watch::new(plan, sim.now());
    let start = sim.now();
    watch.advance(&mut sim, start + CALM, passed);

    let newcomer = sim.add();
    sim.start(newcomer, None, Restored::default(), |options| configure(options, plan.profile));
    sim.join(newcomer, &[NodeId(0)]);
    watch.newcomer = Some((sim.name(newcomer).clone(), sim.now()));
    watch.advance(&mut sim, start + CALM + BETWEEN, passed);

    let killed: Vec<NodeId> = (1..=plan.kill).map(NodeId).collect();
    for node in &killed {
        sim.kill(*node);
    }
    watch.killed = killed.iter().map(|node| sim.name(*node).clone()).collect();
    watch.killed_at = sim.now();
    watch.advance(&mut sim, start + plan.length, passed);
    watch.report(plan, &sim)
}

fn start_converged(sim: &mut Sim, plan: &Plan) {
    for _ in 0..plan.nodes {
        let node = sim.add();
        sim.start(node, None, Restored::default(), |options| configure(options, plan.profile));
    }
    sim.converge();
    sim.take_notes();
}

fn configure(options: &mut Options, profile: Profile) {
    options.swim = swim::Options::profile(profile);
    options.serf.gossip_interval = options.swim.gossip_interval;
    options.serf.retransmit_mult = options.swim.retransmit_mult;
    // Nobody listens to the coalesced events, and every buffer counts a thousandfold.
    options.serf.member_coalescing = None;
    options.serf.user_coalescing = None;
}

/// Listens to what the nodes tell.
struct Watch {
    nodes: usize,
    newcomer: Option<(NodeName, Instant)>,
    newcomer_known: HashSet<NodeId>,
    join_known: Option<Duration>,
    killed: HashSet<NodeName>,
    killed_at: Instant,
    /// Deaths known, by survivor.
    known: HashMap<NodeId, HashSet<NodeName>>,
    pairs: usize,
    first: Option<Duration>,
    last: Option<Duration>,
    false_positives: usize,
    false_suspicions: usize,
    timeline: Vec<Second>,
    second: Instant,
    sent: (u64, u64),
}

impl Watch {
    fn new(plan: &Plan, now: Instant) -> Self {
        Self {
            nodes: plan.nodes,
            newcomer: None,
            newcomer_known: HashSet::new(),
            join_known: None,
            killed: HashSet::new(),
            killed_at: now,
            known: HashMap::new(),
            pairs: 0,
            first: None,
            last: None,
            false_positives: 0,
            false_suspicions: 0,
            timeline: Vec::new(),
            second: now + Duration::from_secs(1),
            sent: (0, 0),
        }
    }

    fn advance(&mut self, sim: &mut Sim, end: Instant, passed: &mut dyn FnMut(usize)) {
        while sim.now() < end {
            sim.run_for(RESOLUTION);
            for note in sim.take_notes() {
                self.note(note.at, note.node, &note.output);
            }
            if sim.now() >= self.second {
                self.end_second(sim);
                passed(self.timeline.len());
            }
        }
    }

    fn note(&mut self, at: Instant, node: NodeId, output: &Output) {
        match output {
            Output::Member(event) => match event.kind {
                MemberEventKind::Join => self.joined(at, node, &event.member.node.name),
                MemberEventKind::Failed => self.failed(at, node, &event.member.node.name),
                MemberEventKind::Leave | MemberEventKind::Update | MemberEventKind::Reap => {}
            },
            Output::Suspicion { member, by: Some(_) } if !self.killed.contains(member) => {
                self.false_suspicions += 1;
            }
            _ => {}
        }
    }

    fn joined(&mut self, at: Instant, node: NodeId, name: &NodeName) {
        let Some((newcomer, started)) = &self.newcomer else { return };
        if name == newcomer && self.newcomer_known.insert(node) && self.newcomer_known.len() > self.nodes {
            self.join_known.get_or_insert(at.since(*started));
        }
    }

    fn failed(&mut self, at: Instant, node: NodeId, name: &NodeName) {
        if !self.killed.contains(name) {
            self.false_positives += 1;
            return;
        }
        let took = at.since(self.killed_at);
        self.first.get_or_insert(took);
        if self.known.entry(node).or_default().insert(name.clone()) {
            self.pairs += 1;
            if self.pairs == self.all_pairs() {
                self.last = Some(took);
            }
        }
    }

    /// The newcomer is a survivor, too.
    fn all_pairs(&self) -> usize {
        (self.nodes + 1 - self.killed.len()) * self.killed.len()
    }

    fn end_second(&mut self, sim: &Sim) {
        let counts = sim.counts();
        let (packets, bytes) = (counts.packets - self.sent.0, counts.bytes - self.sent.1);
        let nodes = self.nodes as f64;
        let deaths_known = self.pairs as f64 / self.all_pairs().max(1) as f64;
        self.timeline.push(Second { packets: packets as f64 / nodes, bytes: bytes as f64 / nodes, deaths_known });
        self.sent = (counts.packets, counts.bytes);
        self.second += Duration::from_secs(1);
    }

    fn report(self, plan: &Plan, sim: &Sim) -> Report {
        let per = plan.nodes as f64 * plan.length.as_secs_f64();
        let seconds = |duration: Duration| duration.as_secs_f64();
        Report {
            nodes: plan.nodes,
            killed: plan.kill,
            seed: plan.seed,
            seconds: seconds(plan.length),
            join_known_by_all_s: self.join_known.map(seconds),
            first_detection_s: self.first.map(seconds),
            last_detection_s: self.last.map(seconds),
            false_positives: self.false_positives,
            false_suspicions: self.false_suspicions,
            packets_per_node_second: sim.counts().packets as f64 / per,
            bytes_per_node_second: sim.counts().bytes as f64 / per,
            stream_bytes_per_node_second: sim.counts().stream_bytes as f64 / per,
            timeline: self.timeline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            nodes: 60,
            profile: Profile::Lan,
            network: Network::default(),
            kill: 3,
            length: Duration::from_secs(60),
            seed: 7,
        }
    }

    #[test]
    fn a_study_sees_the_newcomer_and_every_death_and_invents_none() {
        let mut seconds = Vec::new();
        let report = study(&plan(), &mut |second| seconds.push(second));
        assert!(seconds.into_iter().eq(1..=60));
        assert!(report.join_known_by_all_s.is_some_and(|took| took < 2.0), "{report:?}");
        let (first, last) = (report.first_detection_s.unwrap(), report.last_detection_s.unwrap());
        assert!(first <= last && (1.0..40.0).contains(&last), "{first} {last}");
        assert_eq!((report.false_positives, report.timeline.len()), (0, 60));
        assert!((1.5..6.0).contains(&report.packets_per_node_second), "{}", report.packets_per_node_second);
    }

    #[test]
    fn the_same_seed_gives_the_same_report() {
        let json = |plan: &Plan| serde_json::to_string(&study(plan, &mut |_| {})).unwrap();
        assert_eq!(json(&plan()), json(&plan()));
        assert_ne!(json(&plan()), json(&Plan { seed: 8, ..plan() }));
    }
}
