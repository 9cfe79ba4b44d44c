//! The balancer's side (`protocols A.2, A.4`): what it knows of drains, what it has promised, and what it answers.
//!
//! A driver tells it of the members and of questions, then calls [`Ledger::advance`] and takes [`Ledger::poll_output`] until it
//! is empty. Of an [`Output::Keep`] it reports the end with [`Ledger::handle_kept`]; there is never a second one under way, and no
//! job of `apply` meanwhile. Every job carries [`Ledger::promises`], the full set.
//!
//! A promise is asked of `apply` once the servers that are decided are in place without the node. It looks at what is live while
//! it holds its lock, and keeps none that is not true: so nothing that ran earlier can still put the node back.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DrainTag, Fact, Facts, Place, Promise, Promises, Question, Reply, Word};
use crate::serf::{Member, QueryKey, Status};
use crate::swim::Swim;
use crate::time::Instant;
use crate::upstream::{Drain, Generation, Rank};
use crate::wire::NodeName;
use crate::wire::message::Incarnation;

/// How long an answer may be held back to be a better one.
const HOLD: Duration = Duration::from_millis(750);
/// How long a node that no member is called counts as one that is not known yet. As long as members are remembered that failed.
const FORGET: Duration = Duration::from_secs(24 * 3600);
/// From one try to have a promise kept to the next, where it was not.
const PAUSE: Duration = Duration::from_millis(250);
/// The same for promises that have ended, doubled with each failure.
const TIDY_PAUSE: Duration = Duration::from_secs(1);
const MAX_TIDY_PAUSE: Duration = Duration::from_secs(60);
/// Questions that wait for an answer.
const MAX_QUESTIONS: usize = 256;

/// A member's own word, as gossip has it.
#[derive(Clone, Debug)]
pub struct Told {
    pub node: NodeName,
    pub fact: Fact,
    /// It has left.
    pub is_gone: bool,
}

impl Told {
    /// A member's, as gossip knows it.
    pub fn of(member: &Member, swim: &Swim) -> Self {
        let incarnation = swim.member(&member.node.name).map_or(Incarnation::ZERO, |known| known.incarnation);
        let fact = Fact::told(incarnation, DrainTag::of(&member.tags()));
        Self { node: member.node.name.clone(), fact, is_gone: member.status == Status::Left }
    }
}

/// How things are with `apply`, as it says while it holds its lock.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The generation that is live; 0 before the first.
    pub live: Generation,
    /// Workers that finish requests of an earlier one.
    pub old_workers: u32,
    /// Promises that are on disk and true.
    pub promises: Promises,
}

/// What a driver has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Have `apply` keep these.
    Keep(Promises),
    Answer {
        query: QueryKey,
        reply: Reply,
    },
}

#[derive(Debug)]
struct Open {
    query: QueryKey,
    question: Question,
    asked: Instant,
}

/// A node that something is promised to, or about to be.
#[derive(Debug)]
struct Given {
    /// When it was, or was read back; the node's own word counts only if it was asked for later.
    at: Instant,
    /// Where it got requests; `None` if it never got any.
    servers: Option<Vec<SocketAddr>>,
}

/// The machine.
#[derive(Debug)]
pub struct Ledger {
    facts: Facts,
    /// As they are on disk, without those that have ended.
    promises: Promises,
    /// Some have ended that may still be on disk.
    outdated: bool,
    given: BTreeMap<NodeName, Given>,
    /// When each node that matters was a member for the last time.
    seen: BTreeMap<NodeName, Instant>,
    questions: Vec<Open>,
    /// When `apply` was asked and for what, as long as it has not answered.
    keeping: Option<(Instant, Promises)>,
    /// When `apply` may be asked again for those who wait, and for promises that have ended.
    again_at: Instant,
    tidy_at: Instant,
    tidy_pause: Duration,
    /// When [`Self::advance`] was called last.
    advanced: Instant,
    /// Nodes whose promises ended meanwhile; what it keeps of them is not wanted any more.
    ended: Vec<NodeName>,
    live: Generation,
    /// When the next job begins, if one is to.
    next_job: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Ledger {
    /// With what an earlier run has promised.
    pub fn new(now: Instant, promises: Promises) -> Self {
        let nodes = || promises.iter().map(|promise| promise.node.clone());
        let given = nodes().map(|node| (node, Given { at: now, servers: Some(Vec::new()) })).collect();
        Self {
            facts: Facts::default(),
            seen: nodes().map(|node| (node, now)).collect(),
            promises,
            outdated: false,
            given,
            questions: Vec::new(),
            keeping: None,
            again_at: now,
            tidy_at: now,
            tidy_pause: TIDY_PAUSE,
            advanced: now,
            ended: Vec::new(),
            live: Generation(0),
            next_job: None,
            outputs: VecDeque::new(),
        }
    }

    /// What an earlier run has promised is known by now, and nothing was promised since.
    pub fn handle_known(&mut self, now: Instant, promises: &Promises) {
        let Self { promises: held, given, seen, .. } = Self::new(now, promises.clone());
        self.promises = held;
        self.given.extend(given);
        for (node, at) in seen {
            self.seen.entry(node).or_insert(at);
        }
        self.end_promises();
    }

    /// All that hold.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Whether that node wants to leave, for the decision.
    pub fn drain_of(&self, node: &NodeName) -> Drain {
        if self.promises.is_promised(node) {
            return Drain::Promised;
        }
        match self.facts.get(node).and_then(|fact| fact.drain.as_ref()) {
            Some(drain) => Drain::Asked(drain.rank.unwrap_or(Rank::Last)),
            None => Drain::No,
        }
    }

    /// Everybody who drains or is promised to.
    pub fn concerned(&self) -> impl Iterator<Item = &NodeName> {
        let draining = self.facts.iter().filter(|(_, fact)| fact.drain.is_some()).map(|(node, _)| node);
        draining.chain(self.promises.iter().map(|promise| &promise.node))
    }

    /// Everybody there is.
    pub fn handle_members(&mut self, now: Instant, members: impl IntoIterator<Item = Told>) {
        let mut gone = Vec::new();
        for Told { node, fact, is_gone } in members {
            let matters = fact.drain.is_some() || self.facts.get(&node).is_some() || self.given.contains_key(&node);
            if is_gone {
                gone.push(node);
            } else if matters {
                self.facts.merge(&node, fact);
                self.seen.insert(node, now);
            }
        }
        for node in gone {
            self.forget(&node);
        }
        let lost: Vec<NodeName> =
            self.seen.iter().filter(|(_, seen)| now.since(**seen) > FORGET).map(|(node, _)| node.clone()).collect();
        lost.iter().for_each(|node| self.forget(node));
        self.end_promises();
        // Who serves and was promised nothing is in the table of members with all that is known of it.
        let Self { facts, given, seen, .. } = self;
        facts.retain(|node, fact| fact.drain.is_some() || given.contains_key(node));
        seen.retain(|node, _| facts.get(node).is_some() || given.contains_key(node));
    }

    /// A leaving node asks. `told` is what gossip has of it, if it is a member.
    pub fn handle_question(&mut self, now: Instant, query: QueryKey, question: Question, told: Option<Fact>) {
        if let Some(told) = told {
            self.facts.merge(&question.node, told);
        }
        self.facts.merge(&question.node, Fact::asked(question.incarnation, question.id.clone()));
        self.seen.entry(question.node.clone()).or_insert(now);
        self.end_promises();
        let is_current = self.facts.get(&question.node).and_then(Fact::id) == Some(&question.id);
        if !is_current {
            return;
        }
        self.questions.retain(|open| open.question.node != question.node);
        if self.questions.len() < MAX_QUESTIONS {
            self.questions.push(Open { query, question, asked: now });
        }
    }

    /// The node itself says in an answer that was asked for then that it does not drain: it may have lost its count of
    /// incarnations.
    pub fn handle_serving(&mut self, node: &NodeName, asked: Instant) {
        if self.given.get(node).is_some_and(|given| given.at < asked) {
            self.forget(node);
        }
    }

    /// What `apply` says to the last [`Output::Keep`].
    pub fn handle_kept(&mut self, now: Instant, result: Result<Standing, String>) {
        let Some((begun, wanted)) = self.keeping.take() else { return };
        let ended = std::mem::take(&mut self.ended);
        self.again_at = now + PAUSE;
        match result {
            Err(error) => {
                self.tidy_at = now + self.tidy_pause;
                self.tidy_pause = (self.tidy_pause * 2).min(MAX_TIDY_PAUSE);
                for open in self.questions.extract_if(.., |open| open.asked <= begun).collect::<Vec<_>>() {
                    self.answer(open, Word::Apply { error: error.clone() });
                }
            }
            Ok(Standing { live, old_workers, promises }) => {
                self.live = live;
                if wanted.iter().all(|promise| promises.contains(promise)) {
                    self.again_at = now;
                }
                (self.tidy_at, self.tidy_pause) = (now, TIDY_PAUSE);
                self.outdated = !ended.is_empty();
                self.promises = promises;
                self.promises.retain(|promise| !ended.contains(&promise.node));
                self.end_promises();
                let Self { promises, questions, .. } = self;
                let kept = questions.extract_if(.., |open| open.asked <= begun && has(promises, &open.question));
                for open in kept.collect::<Vec<_>>() {
                    let servers = self.given.get(&open.question.node).and_then(|given| given.servers.clone());
                    let word = match servers {
                        None => Word::None,
                        Some(_) if old_workers == 0 => Word::Idle,
                        Some(servers) => Word::Out { servers },
                    };
                    self.answer(open, word);
                }
            }
        }
    }

    /// When what is decided is handed to `apply`, as far as that is known: those who have to wait are told.
    pub fn handle_next_job(&mut self, at: Option<Instant>) {
        self.next_job = at;
    }

    /// When [`Self::advance`] is due, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answer = self.questions.iter().map(|open| open.asked + HOLD).min();
        let again = (!self.questions.is_empty()).then_some(self.again_at);
        let tidy = self.outdated.then_some(self.tidy_at);
        // What was due then waits for something else than the time.
        let is_ahead = |at: &Instant| *at > self.advanced;
        [answer, again.filter(is_ahead), tidy.filter(is_ahead)].into_iter().flatten().min()
    }

    /// Answers what can be answered, and has promises kept. `place` is what the last decision makes of a node; without it nothing
    /// can be asked of `apply` now.
    pub fn advance(&mut self, now: Instant, place: Option<impl Fn(&NodeName) -> Place>) {
        self.advanced = now;
        let mut wanted = self.promises.clone();
        let mut asks = false;
        for open in std::mem::take(&mut self.questions) {
            let found = place.as_ref().map(|place| place(&open.question.node));
            let is_promised = has(&self.promises, &open.question);
            match found.clone() {
                Some(Place::Refused { beside, rule }) if !is_promised && self.rank(&open.question.node).is_some() => {
                    let earlier = self.earlier(&open.question.node, beside);
                    self.answer(open, Word::Floor { earlier, rule });
                    continue;
                }
                Some(Place::Stuck { error }) if !is_promised => {
                    self.answer(open, Word::Apply { error });
                    continue;
                }
                // How things are now, and thereby whether old workers are left.
                Some(_) if is_promised && self.keeping.is_none() => asks = true,
                Some(Place::Elsewhere) if self.keeping.is_none() => {
                    if let Err(error) = self.promise(now, &mut wanted, &open.question, None) {
                        self.answer(open, Word::Apply { error });
                        continue;
                    }
                    asks = true;
                }
                Some(Place::Out { servers }) if self.keeping.is_none() => {
                    if let Err(error) = self.promise(now, &mut wanted, &open.question, Some(servers)) {
                        self.answer(open, Word::Apply { error });
                        continue;
                    }
                    asks = true;
                }
                Some(
                    Place::Elsewhere | Place::Out { .. } | Place::Going | Place::Stuck { .. } | Place::Refused { .. },
                )
                | None => {}
            }
            if open.asked + HOLD <= now {
                let text = if let Some(Place::Going) = found { self.expected(now) } else { String::new() };
                self.answer(open, Word::Wait { text });
            } else {
                self.questions.push(open);
            }
        }
        let is_due = asks && self.again_at <= now || self.outdated && self.tidy_at <= now;
        if place.is_some() && self.keeping.is_none() && is_due {
            self.keeping = Some((now, wanted.clone()));
            self.outputs.push_back(Output::Keep(wanted));
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn promise(
        &mut self,
        now: Instant,
        wanted: &mut Promises,
        question: &Question,
        servers: Option<Vec<SocketAddr>>,
    ) -> Result<(), String> {
        let Question { id, incarnation, node } = question.clone();
        wanted.insert(Promise { node: node.clone(), incarnation, id }).map_err(|error| error.to_string())?;
        self.given.insert(node, Given { at: now, servers });
        Ok(())
    }

    /// Until the next job, if that is not soon.
    fn expected(&self, now: Instant) -> String {
        let left = self.next_job.map(|at| at.since(now)).filter(|left| *left >= HOLD);
        left.map(|left| format!("in {} s", left.as_millis().div_ceil(1000))).unwrap_or_default()
    }

    fn rank(&self, node: &NodeName) -> Option<Rank> {
        self.facts.get(node)?.drain.as_ref()?.rank
    }

    /// Those of `beside` who asked before `node` did.
    fn earlier(&self, node: &NodeName, beside: Vec<NodeName>) -> Vec<NodeName> {
        let own = (self.rank(node).unwrap_or(Rank::Last), node);
        let is_earlier = |other: &NodeName| self.rank(other).is_some_and(|rank| (rank, other) < own);
        beside.into_iter().filter(|other| is_earlier(other)).collect()
    }

    fn answer(&mut self, open: Open, word: Word) {
        let reply = Reply { id: open.question.id, generation: self.live, word };
        self.outputs.push_back(Output::Answer { query: open.query, reply });
    }

    /// Forgets what a newer word has ended.
    fn end_promises(&mut self) {
        let Self { facts, promises, given, .. } = self;
        let before = promises.iter().count();
        promises.retain(|promise| {
            !facts
                .get(&promise.node)
                .is_some_and(|fact| fact.incarnation > promise.incarnation && fact.id() != Some(&promise.id))
        });
        self.outdated |= promises.iter().count() != before;
        // Of a drain that is over nobody counts an answer.
        self.questions.retain(|open| facts.get(&open.question.node).and_then(Fact::id) == Some(&open.question.id));
        // What is known of a node decides about a promise that is only on its way to the disk, too.
        let (questions, keeping) = (&self.questions, &self.keeping);
        let is_kept = |node: &NodeName| keeping.as_ref().is_some_and(|(_, wanted)| wanted.is_promised(node));
        let is_asked = |node: &NodeName| questions.iter().any(|open| open.question.node == *node);
        given.retain(|node, _| promises.is_promised(node) || is_kept(node) || is_asked(node));
    }

    fn forget(&mut self, node: &NodeName) {
        let was = self.promises.is_promised(node);
        if self.keeping.is_some() {
            self.ended.push(node.clone());
        }
        self.promises.retain(|promise| promise.node != *node);
        self.outdated |= was;
        self.facts.retain(|other, _| other != node);
        self.given.remove(node);
        self.seen.remove(node);
    }
}

fn has(promises: &Promises, question: &Question) -> bool {
    promises.has_drain(&question.node, &question.id)
}

#[cfg(test)]
mod tests;
