//! Leaving nodes and balancers around the real machines. A message that was sent once can be delivered at any time and as often
//! as one likes, or never; what `apply` was asked it does in order, whoever asked it being dead or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::super::*;
use crate::serf::QueryKey;
use crate::time::Instant;
use crate::upstream::{Drain, Generation};
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;

/// An idea that fails (`protocols A.7`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    AnswerFromIntent,
    NoId,
    PromiseInMemory,
    AnswerOutsideLock,
    BalancersFixed,
    NothingBeforeRouting,
    NoYielding,
    /// One that was built anew under its name, its promises lost, counts as it did.
    RebuiltCounts,
}

pub(super) const TIMES: Times = Times { confirm: Duration::from_secs(14), drain: Duration::from_secs(5) };

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A web server with its agent.
#[derive(Debug)]
pub(super) struct Node {
    name: NodeName,
    incarnation: u32,
    /// `None` while the process does not run.
    pub(super) machine: Option<Departure>,
    kept: Option<Kept>,
    /// Queries of this process.
    asked: BTreeSet<QueryKey>,
    /// Balancers when the drain began.
    fixed: Option<BTreeSet<NodeName>>,
    /// It went with every balancer's word: nobody may send requests there.
    pub(super) left: bool,
    pub(super) lines: Vec<document::Line>,
}

#[derive(Clone, Debug)]
enum Request {
    Job { routed: BTreeSet<NodeName>, promises: Promises },
    Keep { promises: Promises, life: u32 },
}

/// A balancer's host.
#[derive(Debug)]
pub(super) struct Balancer {
    name: NodeName,
    /// `None` while the agent does not run.
    ledger: Option<Ledger>,
    life: u32,
    table: BTreeMap<NodeName, (Fact, bool)>,
    /// What `apply` has to do, of this agent and of one that died.
    requests: VecDeque<Request>,
    // On disk.
    pub(super) live: BTreeSet<NodeName>,
    promises: Promises,
    generation: u64,
}

#[derive(Clone, Debug)]
enum Message {
    Gossip { to: usize, node: NodeName, fact: Fact, gone: bool },
    Question { to: usize, from: usize, query: QueryKey, question: Question },
    Answer { to: usize, from: usize, query: QueryKey, reply: Reply },
}

/// What a run exercised; one that exercised nothing proves nothing.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) left: usize,
    pub(super) forced: usize,
    pub(super) drained: usize,
    pub(super) yielded: usize,
    pub(super) refused: usize,
    pub(super) crashes: usize,
    pub(super) rebuilt: usize,
    pub(super) promises_read_back: usize,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    pub(super) fault: Fault,
    pub(super) floor: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) balancers: Vec<Balancer>,
    mail: Vec<Message>,
    /// Nodes and balancers that do not hear of each other for now.
    cut: BTreeSet<(usize, usize)>,
    queries: u32,
    ltime: u64,
    pub(super) count: Count,
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault, nodes: usize, balancers: usize, floor: usize) -> Self {
        let mut world = Self {
            now: Instant::ZERO + Duration::from_secs(100),
            rng: StdRng::seed_from_u64(seed),
            fault,
            floor,
            nodes: Vec::new(),
            balancers: Vec::new(),
            mail: Vec::new(),
            cut: BTreeSet::new(),
            queries: 0,
            ltime: 1,
            count: Count::default(),
        };
        for number in 0..nodes {
            world.nodes.push(Node {
                name: name(&format!("w{number}")),
                incarnation: 1,
                machine: None,
                kept: None,
                asked: BTreeSet::new(),
                fixed: None,
                left: false,
                lines: Vec::new(),
            });
            world.start_node(number);
        }
        for _ in 0..balancers {
            world.add_balancer();
        }
        // All know each other, and everybody is routed to.
        for to in 0..balancers {
            for node in 0..nodes {
                world.hear(to, node);
            }
            world.settle(to);
        }
        world
    }

    pub(super) fn add_balancer(&mut self) -> usize {
        self.balancers.push(Balancer {
            name: name(&format!("b{}", self.balancers.len())),
            ledger: Some(Ledger::new(self.now, Promises::default())),
            life: 0,
            table: BTreeMap::new(),
            requests: VecDeque::new(),
            live: BTreeSet::new(),
            promises: Promises::default(),
            generation: 0,
        });
        self.balancers.len() - 1
    }

    // The nodes.

    pub(super) fn start_node(&mut self, at: usize) {
        let rng = StdRng::seed_from_u64(self.rng.random());
        let now = self.now;
        let node = &mut self.nodes[at];
        node.incarnation += 1;
        node.asked.clear();
        let machine = Departure::new(node.name.clone(), rng);
        node.machine = Some(match node.kept.clone() {
            Some(kept) => machine.restored(now, kept, TIMES),
            None => machine,
        });
        // Its members are always the truth here.
        self.see_members(at, false);
        self.nodes[at].machine.iter_mut().for_each(|machine| machine.handle_view(now));
        let node = &mut self.nodes[at];
        if node.kept.is_none() {
            node.left = false;
        }
        self.gossip(at, false);
    }

    pub(super) fn crash_node(&mut self, at: usize) {
        self.nodes[at].machine = None;
        self.count.crashes += 1;
    }

    pub(super) fn drain(&mut self, at: usize, force: bool) {
        self.ltime += 1;
        let time = LamportTime(self.ltime);
        self.see_members(at, true);
        let now = self.now;
        if let Some(machine) = &mut self.nodes[at].machine {
            machine.drain(now, time, DrainRequest { force, ..DrainRequest::default() }, TIMES);
        }
        self.advance_node(at);
    }

    pub(super) fn undo(&mut self, at: usize) {
        if let Some(machine) = &mut self.nodes[at].machine {
            let _too_late = machine.undo();
        }
        self.advance_node(at);
    }

    pub(super) fn leave(&mut self, at: usize) {
        self.ltime += 1;
        let time = LamportTime(self.ltime);
        self.see_members(at, true);
        let now = self.now;
        if let Some(machine) = &mut self.nodes[at].machine {
            machine.leave(now, time, Cause::Asked, TIMES);
        }
        self.advance_node(at);
    }

    /// What gossip tells it of others, which is the truth: joins are known within the two seconds that a linger has at least.
    fn see_members(&mut self, at: usize, begins: bool) {
        let running = |node: &Node| if node.machine.is_some() { Presence::Alive } else { Presence::Gone };
        let mut peers: Vec<Peer> = Vec::new();
        for node in &self.nodes {
            let drain = node.machine.as_ref().and_then(|machine| machine.tag().cloned());
            let (name, incarnation) = (node.name.clone(), Incarnation::new(node.incarnation));
            peers.push(Peer { name, presence: running(node), incarnation, is_balancer: false, drain });
        }
        let balancers: BTreeSet<NodeName> = self.balancers.iter().map(|balancer| balancer.name.clone()).collect();
        let node = &mut self.nodes[at];
        if begins {
            node.fixed = Some(balancers.clone());
        }
        let fixed = node.fixed.clone().filter(|_| self.fault == Fault::BalancersFixed);
        for name in fixed.unwrap_or(balancers) {
            // An agent that has died is not seen to have failed yet.
            let life = self.balancers.iter().find(|balancer| balancer.name == name).map_or(0, |balancer| balancer.life);
            let incarnation = Incarnation::new(if self.fault == Fault::RebuiltCounts { 0 } else { life });
            peers.push(Peer { name, presence: Presence::Alive, incarnation, is_balancer: true, drain: None });
        }
        if let Some(machine) = &mut node.machine {
            machine.handle_members(peers);
            machine.handle_incarnation(Incarnation::new(node.incarnation));
        }
    }

    pub(super) fn advance_node(&mut self, at: usize) {
        self.see_members(at, false);
        let now = self.now;
        if let Some(machine) = &mut self.nodes[at].machine {
            machine.handle_timeout(now);
        }
        while let Some(output) = self.nodes[at].machine.as_mut().and_then(Departure::poll_output) {
            self.perform(at, output);
        }
    }

    fn perform(&mut self, at: usize, output: Output) {
        let now = self.now;
        let node = &mut self.nodes[at];
        match output {
            Output::Keep(kept) => {
                node.kept = kept;
                if let Some(machine) = &mut node.machine {
                    machine.handle_kept(now, Ok(()));
                }
            }
            Output::Publish(_) => {
                node.incarnation += 1;
                self.gossip(at, false);
            }
            Output::Ask { question, of } => {
                let question = Question { incarnation: Incarnation::new(node.incarnation), ..question };
                for (to, _) in self.balancers.iter().enumerate().filter(|(_, balancer)| of.contains(&balancer.name)) {
                    self.queries += 1;
                    let query = QueryKey { ltime: LamportTime(1), id: self.queries };
                    node.asked.insert(query);
                    self.mail.push(Message::Question { to, from: at, query, question: question.clone() });
                }
            }
            Output::Tell(line) => {
                match &line {
                    document::Line::Yielded { .. } => self.count.yielded += 1,
                    document::Line::Refused { .. } => self.count.refused += 1,
                    document::Line::Drained { .. } => self.count.drained += 1,
                    document::Line::Leaving { unconfirmed, unreachable, .. } => {
                        node.left = unconfirmed.is_empty() && unreachable.is_empty();
                        self.count.left += usize::from(node.left);
                        self.count.forced += usize::from(!node.left);
                    }
                    _ => {}
                }
                node.lines.push(line);
            }
            Output::Leave { .. } => {
                self.gossip(at, true);
                self.nodes[at].machine = None;
            }
        }
    }

    fn gossip(&mut self, at: usize, gone: bool) {
        let node = &self.nodes[at];
        let tag = node.machine.as_ref().and_then(|machine| machine.tag().cloned());
        let fact = Fact::told(Incarnation::new(node.incarnation), tag);
        // Later balancers hear it, too: from peers that know no better.
        for to in 0..8 {
            self.mail.push(Message::Gossip { to, node: node.name.clone(), fact: fact.clone(), gone });
        }
    }

    // The balancers.

    pub(super) fn crash_balancer(&mut self, at: usize) {
        let promises = self.balancers[at].promises.clone();
        let balancer = &mut self.balancers[at];
        // What nobody waits for is not begun.
        balancer.requests.truncate(1);
        balancer.table.clear();
        balancer.life += 1;
        let promises = if self.fault == Fault::PromiseInMemory { Promises::default() } else { promises };
        self.count.promises_read_back += promises.iter().count();
        balancer.ledger = Some(Ledger::new(self.now, promises));
        self.count.crashes += 1;
    }

    /// Its host is built anew: it has the same name and nothing else.
    pub(super) fn rebuild_balancer(&mut self, at: usize) {
        let balancer = &mut self.balancers[at];
        balancer.requests.clear();
        (balancer.promises, balancer.live) = (Promises::default(), BTreeSet::new());
        self.crash_balancer(at);
        self.count.rebuilt += 1;
    }

    fn hear(&mut self, to: usize, node: usize) {
        let node = &self.nodes[node];
        let tag = node.machine.as_ref().and_then(|machine| machine.tag().cloned());
        let fact = Fact::told(Incarnation::new(node.incarnation), tag);
        let (name, gone) = (node.name.clone(), node.machine.is_none());
        self.deliver(Message::Gossip { to, node: name, fact, gone });
    }

    /// What it decides: who is to get requests.
    fn decide(&self, at: usize) -> BTreeSet<NodeName> {
        let balancer = &self.balancers[at];
        let Some(ledger) = &balancer.ledger else { return balancer.live.clone() };
        let answers = |node: &NodeName| self.nodes.iter().any(|each| each.name == *node && each.machine.is_some());
        let (mut wanted, mut asked) = (BTreeSet::new(), Vec::new());
        for node in self.nodes.iter().map(|node| node.name.clone()) {
            let was = balancer.live.contains(&node);
            let proven = was || answers(&node) || self.fault == Fault::NothingBeforeRouting;
            match (balancer.table.get(&node), ledger.drain_of(&node)) {
                (Some((_, true)), _) | (_, Drain::Promised) => {}
                (None, Drain::No | Drain::Asked(_)) => drop(was.then(|| wanted.insert(node))),
                (Some(_), Drain::No) => drop(proven.then(|| wanted.insert(node))),
                (Some(_), Drain::Asked(rank)) if was => asked.push((rank, node)),
                (Some(_), Drain::Asked(_)) => {}
            }
        }
        asked.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut left = wanted.len() + asked.len();
        for (_, node) in asked {
            if left > self.floor {
                left -= 1;
            } else {
                wanted.insert(node);
            }
        }
        wanted
    }

    fn place(&self, at: usize, wanted: &BTreeSet<NodeName>, node: &NodeName) -> Place {
        let balancer = &self.balancers[at];
        let drain = |node: &NodeName| balancer.ledger.as_ref().map_or(Drain::No, |ledger| ledger.drain_of(node));
        let is_known = self.nodes.iter().any(|each| each.name == *node) && balancer.table.contains_key(node);
        let is_live = balancer.live.contains(node) && self.fault != Fault::AnswerFromIntent;
        match (wanted.contains(node), drain(node)) {
            (true, Drain::Asked(_)) => {
                let others = self.nodes.iter().map(|each| each.name.clone());
                let is_out = |other: &NodeName| drain(other) != Drain::No && !wanted.contains(other);
                let beside = others.filter(|other| other != node && is_out(other)).collect();
                Place::Refused { beside, rule: String::new() }
            }
            (true, Drain::No | Drain::Promised) => Place::Going,
            (false, _) if is_live => Place::Going,
            (false, _) if is_known => Place::Out { servers: Vec::new() },
            (false, _) => Place::Elsewhere,
        }
    }

    /// Decides, asks `apply`, answers.
    pub(super) fn advance_balancer(&mut self, at: usize) {
        let (now, wanted) = (self.now, self.decide(at));
        let life = self.balancers[at].life;
        if self.balancers[at].requests.is_empty() && wanted != self.balancers[at].live {
            let promises = self.balancers[at].ledger.as_ref().map(|ledger| ledger.promises().clone());
            let job = Request::Job { routed: wanted.clone(), promises: promises.unwrap_or_default() };
            self.balancers[at].requests.push_back(job);
        }
        let is_free = match self.fault {
            Fault::AnswerFromIntent | Fault::AnswerOutsideLock => true,
            _ => self.balancers[at].requests.is_empty(),
        };
        let places: BTreeMap<NodeName, Place> =
            self.nodes.iter().map(|node| (node.name.clone(), self.place(at, &wanted, &node.name))).collect();
        let Some(ledger) = &mut self.balancers[at].ledger else { return };
        ledger.advance(now, is_free.then_some(|node: &NodeName| places.get(node).cloned().unwrap_or(Place::Elsewhere)));
        let mut outputs = Vec::new();
        outputs.extend(std::iter::from_fn(|| ledger.poll_output()));
        for output in outputs {
            match output {
                super::super::Request::Keep(promises) => {
                    let keep = Request::Keep { promises, life };
                    match self.fault {
                        Fault::AnswerOutsideLock | Fault::AnswerFromIntent => self.carry_out(at, keep),
                        _ => self.balancers[at].requests.push_back(keep),
                    }
                }
                super::super::Request::Answer { query, mut reply } => {
                    if let (Word::Floor { earlier, .. }, Fault::NoYielding) = (&mut reply.word, self.fault) {
                        earlier.clear();
                    }
                    let from = self.nodes.iter().position(|node| node.asked.contains(&query));
                    if let Some(to) = from {
                        self.mail.push(Message::Answer { to, from: at, query, reply });
                    }
                }
            }
        }
    }

    /// `apply` does the next thing it was asked, well or not.
    pub(super) fn apply(&mut self, at: usize, well: bool) {
        match self.balancers[at].requests.pop_front() {
            Some(Request::Job { promises, .. }) if !well => self.balancers[at].promises = promises,
            Some(request) => self.carry_out(at, request),
            None => {}
        }
        self.advance_balancer(at);
    }

    fn carry_out(&mut self, at: usize, request: Request) {
        let old_workers = self.rng.random_range(0..2);
        let checks = self.fault != Fault::AnswerFromIntent;
        let balancer = &mut self.balancers[at];
        match request {
            Request::Job { routed, promises } => {
                (balancer.live, balancer.promises) = (routed, promises);
                balancer.generation += 1;
            }
            Request::Keep { mut promises, life } => {
                let (before, live) = (&balancer.promises, &balancer.live);
                promises.retain(|promise| {
                    before.has_drain(&promise.node, &promise.id) || !checks || !live.contains(&promise.node)
                });
                balancer.promises = promises.clone();
                let live = Generation(balancer.generation);
                if let Some(ledger) = balancer.ledger.as_mut().filter(|_| balancer.life == life) {
                    ledger.handle_kept(self.now, Ok(Standing { live, old_workers, promises }));
                }
            }
        }
    }

    // Messages.

    fn deliver(&mut self, message: Message) {
        let now = self.now;
        match message {
            Message::Gossip { to, node, fact, gone } => {
                let Some(balancer) = self.balancers.get_mut(to) else { return };
                let held = balancer.table.get(&node).map(|(held, gone)| (held.incarnation, *gone));
                let is_newer = held.is_none_or(|(held, was_gone)| {
                    fact.incarnation > held || fact.incarnation == held && gone && !was_gone
                });
                if !is_newer {
                    return;
                }
                balancer.table.insert(node.clone(), (fact, gone));
                if let Some(ledger) = &mut balancer.ledger {
                    let told = balancer.table.iter().map(|(node, (fact, gone))| Told {
                        node: node.clone(),
                        fact: fact.clone(),
                        is_gone: *gone,
                    });
                    ledger.handle_members(now, told);
                }
                self.advance_balancer(to);
            }
            Message::Question { to, query, question, .. } => {
                let balancer = &mut self.balancers[to];
                let told = balancer.table.get(&question.node).map(|(fact, _)| fact.clone());
                if let Some(ledger) = &mut balancer.ledger {
                    ledger.handle_question(now, query, question, told);
                }
                self.advance_balancer(to);
            }
            Message::Answer { to, from, query, mut reply } => {
                let from = self.balancers[from].name.clone();
                let node = &mut self.nodes[to];
                if !node.asked.contains(&query) {
                    return;
                }
                if let Some(machine) = &mut node.machine {
                    if let (Fault::NoId, Some(tag)) = (self.fault, machine.tag()) {
                        reply.id = tag.id.clone();
                    }
                    machine.handle_answer(now, &from, reply);
                }
                self.advance_node(to);
            }
        }
    }

    /// Any message that was ever sent.
    pub(super) fn deliver_any(&mut self) {
        if let Some(message) = self.mail.choose(&mut self.rng).cloned() {
            self.deliver(message);
        }
    }

    /// One of the last that were sent.
    pub(super) fn deliver_recent(&mut self) {
        let recent = &self.mail[self.mail.len().saturating_sub(12)..];
        if let Some(message) = recent.choose(&mut self.rng).cloned() {
            self.deliver(message);
        }
    }

    pub(super) fn tick(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        (0..self.nodes.len()).for_each(|at| self.advance_node(at));
        (0..self.balancers.len()).for_each(|at| self.advance_balancer(at));
    }

    pub(super) fn cut(&mut self, links: &[(usize, usize)]) {
        self.cut = links.iter().copied().collect();
    }

    /// Everything that is under way arrives, in order, and `apply` succeeds.
    pub(super) fn calm(&mut self) {
        let number = |name: &NodeName| self.nodes.iter().position(|node| node.name == *name);
        let is_kept = |message: &Message| match message {
            Message::Gossip { to, node, .. } => number(node).is_some_and(|from| self.cut.contains(&(from, *to))),
            Message::Question { to, from, .. } => self.cut.contains(&(*from, *to)),
            Message::Answer { to, from, .. } => self.cut.contains(&(*to, *from)),
        };
        let (kept, sent) = self.mail.iter().cloned().partition(is_kept);
        self.mail = kept;
        Vec::from_iter::<Vec<_>>(sent).into_iter().for_each(|message| self.deliver(message));
        (0..self.balancers.len()).for_each(|at| self.settle(at));
    }

    fn settle(&mut self, at: usize) {
        self.advance_balancer(at);
        for _ in 0..4 {
            self.apply(at, true);
        }
    }

    /// The bad state: somebody who went with every balancer's word gets requests.
    pub(super) fn is_bad(&self) -> bool {
        self.nodes.iter().any(|node| {
            node.left && node.machine.is_none() && self.balancers.iter().any(|each| each.live.contains(&node.name))
        })
    }

    /// Whether some balancer has nobody although somebody serves, drains or not, that it may use.
    pub(super) fn is_empty_anywhere(&self) -> bool {
        self.balancers.iter().any(|balancer| balancer.live.is_empty())
    }
}
