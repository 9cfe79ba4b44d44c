//! The operator's side of a key rotation (`protocols B`); a member's own side is [`crate::serf::keys`].
//!
//! [`Rotation`] is a state machine without I/O and without a clock. Its driver starts it with the members as it sees them,
//! then carries out [`Rotation::poll_output`] until there is none, and reports back what it was told to do, each time with the
//! members as they are by then:
//!
//! | output | report |
//! |---|---|
//! | [`Output::Ask`] | [`Rotation::handle_outcome`], or [`Rotation::handle_unsent`] |
//! | [`Output::Wait`] | [`Rotation::handle_waited`] |
//! | [`Output::Progress`] | nothing |
//! | [`Output::End`] | nothing; nothing follows |
//!
//! Every run draws a fresh key, which is new beyond doubt, and makes everything else old. Nothing is kept for a later run: what
//! an interrupted one leaves is an extra key, and the next run, by anybody, removes it (`protocols B.1`).

pub mod document;
mod peer;
mod progress;
mod rings;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tracing::debug;

use crate::crypto::{Key, KeyId};
use crate::serf::{Ballot, KeyNode, KeyOutcome, KeyParams, QueryError};
use crate::wire::NodeName;

use self::rings::{Ring, Rings};
use self::task::{Ledger, Task};

pub use self::peer::{Peer, RECENT_LEAVE};
pub use self::progress::{Action, End, MemberRing, Plan, Progress, Step, Stopped, Why};
pub use self::rings::MAX_TIDY_KEYS;

/// How often a step asks a member before it gives up on it.
pub const REPEATS: u32 = 5;

/// How long an undelivered request of an aborted run may still reach a member that obeys no ballot.
pub const AFTERMATH: Duration = Duration::from_secs(30);

/// Pause before a request that could not be sent is tried again.
const CONGESTION: Duration = Duration::from_secs(1);

/// What the operator decided.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Install and use go on without these; remove waits for them all the same.
    pub absent: BTreeSet<NodeName>,
    /// Nothing waits for these: they are locked out.
    pub force: BTreeSet<NodeName>,
    /// Look, and change nothing.
    pub dry_run: bool,
}

/// What the driver is to do or to pass on.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this key request.
    Ask(KeyParams),
    /// Let this time pass.
    Wait(Duration),
    Progress(Progress),
    End(End),
}

/// One run.
#[derive(Debug)]
pub struct Rotation {
    options: Options,
    key: Key,
    ballot: Ballot,
    /// What is under way; `None` once the run has ended.
    step: Option<Step>,
    /// The members as last reported.
    peers: Vec<Peer>,
    ledger: Ledger,
    /// What the lists of this step say.
    rings: Rings,
    /// Keys that had been removed when the lists were last taken.
    removals_listed: usize,
    /// What each member last said against a request.
    refusals: BTreeMap<NodeName, Why>,
    /// The request under way.
    asking: Option<Task>,
    /// Node filters of this cluster's names do not fit into a query.
    unfiltered: bool,
    /// The aftermath of an earlier run has been waited for.
    waited: bool,
    /// Keys of the first check: those that seal, which this run makes old,
    old: Vec<KeyId>,
    /// and those that nobody seals with.
    extra: Vec<KeyId>,
    /// Who has said in this run that it keeps ballots.
    keeps_ballots: BTreeSet<NodeName>,
    outputs: VecDeque<Output>,
}

impl Rotation {
    /// Starts a run that brings `key`, which must be fresh, under `ballot`, which must be new.
    pub fn start(options: Options, key: Key, ballot: Ballot, peers: Vec<Peer>) -> Self {
        let mut rotation = Self {
            options,
            key,
            ballot,
            step: Some(Step::Check),
            peers,
            ledger: Ledger::default(),
            rings: Rings::default(),
            removals_listed: 0,
            refusals: BTreeMap::new(),
            asking: None,
            unfiltered: false,
            waited: false,
            old: Vec::new(),
            extra: Vec::new(),
            keeps_ballots: BTreeSet::new(),
            outputs: VecDeque::new(),
        };
        let unknown = rotation.unknown_names();
        if unknown.is_empty() {
            rotation.advance();
        } else {
            rotation.stop(Step::Check, unknown);
        }
        rotation
    }

    /// The next thing to do or to pass on.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The name of the key that this run brings.
    pub fn key(&self) -> KeyId {
        self.key.id()
    }

    /// The request of [`Output::Ask`] has ended.
    pub fn handle_outcome(&mut self, peers: Vec<Peer>, outcome: &KeyOutcome) {
        self.peers = peers;
        let (Some(task), Some(step)) = (self.asking.take(), self.step) else { return };
        for (name, answer) in &outcome.nodes {
            self.take_answer(&task, name, answer);
        }
        if let Some((name, why)) = self.superseded(outcome) {
            return self.stop(step, vec![(name, why)]);
        }
        self.tell_count(step, &task);
        self.advance();
    }

    /// The request of [`Output::Ask`] was not sent.
    pub fn handle_unsent(&mut self, peers: Vec<Peer>, error: &QueryError) {
        self.peers = peers;
        let Some(task) = self.asking.take() else { return };
        match error {
            QueryError::TooLarge { .. } if !self.unfiltered => {
                self.unfiltered = true;
                self.ask(task);
            }
            QueryError::TooLarge { .. } | QueryError::Internal | QueryError::TooMany | QueryError::QueueFull { .. } => {
                self.outputs.push_back(Output::Wait(CONGESTION));
            }
        }
    }

    /// The time of [`Output::Wait`] has passed.
    pub fn handle_waited(&mut self, peers: Vec<Peer>) {
        self.peers = peers;
        if self.step.is_some() && self.asking.is_none() {
            self.advance();
        }
    }

    /// Asks what is next to ask, or goes a step on, or stops.
    fn advance(&mut self) {
        while let Some(step) = self.step {
            let Some(task) = self.tasks(step).into_iter().find(|task| self.lacking(step, task).next().is_some()) else {
                if self.pass(step) {
                    continue;
                }
                return;
            };
            let exhausted = |peer: &Peer| self.ledger.tries(&task, &peer.name) >= REPEATS;
            let named = |peer: &Peer| self.options.absent.contains(&peer.name);
            if step == Step::Remove
                && self.lacking(step, &task).all(|peer| named(peer) && (exhausted(peer) || !peer.status.is_present()))
            {
                let absent = self.lacking(step, &task).map(|peer| (peer.name.clone(), self.why(peer))).collect();
                return self.end_rotated(absent);
            }
            if self.lacking(step, &task).all(exhausted) {
                let who = self.lacking(step, &task).map(|peer| (peer.name.clone(), self.why(peer))).collect();
                return self.stop(step, who);
            }
            return self.ask(task);
        }
    }

    /// What a step needs, in this order: all that went before, too, from whoever came since.
    fn tasks(&self, step: Step) -> Vec<Task> {
        let install = || Task::Install(self.key.clone());
        let seal = || Task::Use(self.key.clone());
        match step {
            Step::Check => vec![Task::List],
            Step::CleanUp => std::iter::once(Task::List).chain(self.removals(step)).collect(),
            Step::Install => vec![install()],
            Step::Use => vec![install(), seal()],
            Step::Remove => [install(), seal(), Task::List].into_iter().chain(self.removals(step)).collect(),
        }
    }

    /// The keys to be removed, once every list that the step needs is there.
    fn removals(&self, step: Step) -> Vec<Task> {
        if self.lacking(step, &Task::List).next().is_some() {
            return Vec::new();
        }
        let keys = match step {
            Step::CleanUp => self.rings.nobodys_primary(),
            Step::Remove => self.rings.keys().into_iter().filter(|key| *key != self.key).collect(),
            Step::Check | Step::Install | Step::Use => Vec::new(),
        };
        keys.into_iter().map(Task::Remove).collect()
    }

    /// Members that `step` waits for and that have not confirmed `task`.
    fn lacking<'a>(&'a self, step: Step, task: &'a Task) -> impl Iterator<Item = &'a Peer> {
        self.peers.iter().filter(move |peer| self.waits_for(step, peer) && !self.ledger.has_confirmed(task, &peer.name))
    }

    fn waits_for(&self, step: Step, peer: &Peer) -> bool {
        let forced = self.options.force.contains(&peer.name);
        let absent = forced || self.options.absent.contains(&peer.name);
        match step {
            // Whoever is away cannot be listed, and nothing changes here.
            Step::Check => peer.status.is_present() && !absent,
            Step::Install | Step::Use => peer.counts() && !absent,
            Step::CleanUp | Step::Remove => peer.counts() && !forced,
        }
    }

    /// Asks everybody who counts and lacks it, whether waited for or not: an absent one may be back.
    fn ask(&mut self, task: Task) {
        let counted = || self.peers.iter().filter(|peer| peer.counts());
        let lacking: Vec<NodeName> = counted()
            .filter(|peer| !self.ledger.has_confirmed(&task, &peer.name))
            .map(|peer| peer.name.clone())
            .collect();
        let first = lacking.iter().all(|name| self.ledger.tries(&task, name) == 0);
        let everybody = first && lacking.len() == counted().count();
        let only = if everybody || self.unfiltered { Vec::new() } else { lacking.clone() };
        for name in lacking {
            self.ledger.asked(&task, name);
        }
        // A list changes nothing, so no ballot guards it.
        let ballot = (task != Task::List).then_some(self.ballot);
        self.outputs.push_back(Output::Ask(KeyParams { op: task.op(), only, ballot }));
        self.asking = Some(task);
    }

    fn take_answer(&mut self, task: &Task, name: &NodeName, answer: &KeyNode) {
        if answer.keeps_ballots {
            self.keeps_ballots.insert(name.clone());
        }
        if !answer.ok {
            let why = if answer.is_not_kept() { Why::NotKept } else { Why::Refused };
            debug!(member = %name, error = answer.message, "member refuses a key request");
            self.refusals.insert(name.clone(), why(answer.message.clone()));
            return;
        }
        self.refusals.remove(name);
        self.ledger.confirm(task, name.clone());
        if *task == Task::List {
            let ring = Ring::parse(answer);
            self.void_what_contradicts(name, &ring);
            self.rings.insert(name.clone(), ring);
        }
    }

    /// Confirmations that a ring contradicts are void: somebody changed it by hand, or it was not kept. `remove` would take
    /// away the key that its member seals with.
    fn void_what_contradicts(&mut self, name: &NodeName, ring: &Ring) {
        if !ring.is_truncated() && !ring.holds(&self.key) {
            self.ledger.void(&Task::Install(self.key.clone()), name);
        }
        if ring.primary() != Some(&self.key) {
            self.ledger.void(&Task::Use(self.key.clone()), name);
        }
        for key in ring.keys() {
            self.ledger.void(&Task::Remove(key.clone()), name);
        }
    }

    fn superseded(&self, outcome: &KeyOutcome) -> Option<(NodeName, Why)> {
        let mut nodes = outcome.nodes.iter();
        let (name, answer) = nodes.find(|(_, answer)| !answer.ok && answer.superseded_by.is_some())?;
        Some((name.clone(), Why::Superseded(answer.message.clone())))
    }

    fn tell_count(&mut self, step: Step, task: &Task) {
        let counted = || self.peers.iter().filter(|peer| peer.counts());
        let (of, confirmed) =
            (counted().count(), counted().filter(|peer| self.ledger.has_confirmed(task, &peer.name)).count());
        let complete = self.lacking(step, task).next().is_none();
        self.outputs.push_back(Output::Progress(Progress::Confirmed {
            step,
            action: task.action(),
            key: task.key(),
            confirmed,
            of,
            complete,
        }));
    }

    /// `step` has all it waits for. Returns whether to go on at once.
    fn pass(&mut self, step: Step) -> bool {
        match step {
            Step::Check => return self.pass_check(),
            Step::CleanUp if self.rings.are_crowded() && self.list_again() => {}
            Step::CleanUp => self.enter(Step::Install),
            Step::Install => self.enter(Step::Use),
            Step::Use => self.enter(Step::Remove),
            Step::Remove if self.rings.truncated().next().is_none() => {
                self.end_rotated(Vec::new());
                return true;
            }
            Step::Remove if self.list_again() => {}
            Step::Remove => {
                let who = self.rings.truncated().map(|name| (name.clone(), Why::Truncated)).collect();
                self.stop(step, who);
            }
        }
        true
    }

    /// The check is complete: what an earlier run may have left decides how to begin.
    fn pass_check(&mut self) -> bool {
        self.old = self.rings.primaries();
        self.extra = self.rings.nobodys_primary().iter().map(Key::id).collect();
        let old_style = self.peers.iter().any(|peer| peer.counts() && !self.obeys_ballots(peer));
        let wait = (old_style && self.rings.have_extra() && !self.waited).then_some(AFTERMATH);
        self.outputs.push_back(Output::Progress(Progress::Planned(self.plan(wait))));
        if self.options.dry_run {
            self.end(End::Planned);
        } else if let Some(wait) = wait {
            // What was listed may change meanwhile.
            self.waited = true;
            self.enter(Step::Check);
            self.outputs.push_back(Output::Wait(wait));
            return false;
        } else if self.rings.are_crowded() {
            self.enter(Step::CleanUp);
        } else {
            self.enter(Step::Install);
        }
        true
    }

    fn plan(&self, wait: Option<Duration>) -> Plan {
        let member = |peer: &Peer| MemberRing {
            peer: Peer { obeys_ballots: self.obeys_ballots(peer), ..peer.clone() },
            holds: self.rings.get(&peer.name).map(|ring| ring.keys().iter().map(Key::id).collect()),
            seals_with: self.rings.get(&peer.name).and_then(Ring::primary).map(Key::id),
        };
        Plan {
            old: self.old.clone(),
            new: self.key.id(),
            extra: self.extra.clone(),
            members: self.peers.iter().filter(|peer| peer.counts()).map(member).collect(),
            tombstones: self.peers.iter().filter(|peer| !peer.counts()).map(|peer| peer.name.clone()).collect(),
            clean_up: self.rings.are_crowded(),
            wait,
        }
    }

    /// Takes the lists again if keys were removed since. Returns whether it does.
    fn list_again(&mut self) -> bool {
        let removals = self.ledger.removals();
        let again = removals > self.removals_listed;
        if again {
            self.forget_lists();
        }
        again
    }

    /// Goes on with `step`; everybody may be asked as often again, and lists are taken anew.
    fn enter(&mut self, step: Step) {
        debug!(key = %self.key.id(), ?step, members = self.peers.len(), "step of the rotation begins");
        self.step = Some(step);
        self.ledger.forget_tries();
        self.forget_lists();
    }

    fn forget_lists(&mut self) {
        self.rings = Rings::default();
        self.ledger.forget(&Task::List);
        self.removals_listed = self.ledger.removals();
    }

    fn stop(&mut self, step: Step, who: Vec<(NodeName, Why)>) {
        let of = self.peers.iter().filter(|peer| peer.counts()).count();
        let (install, seal) = (Task::Install(self.key.clone()), Task::Use(self.key.clone()));
        self.end(End::Stopped(Stopped {
            step,
            old: self.old.clone(),
            new: self.key.id(),
            taken: self.ledger.is_confirmed(&install),
            sealing: self.ledger.is_confirmed(&seal),
            left_over: self.left_over(),
            members: of,
            who,
        }));
    }

    /// Keys beside ours that some ring may still hold.
    fn left_over(&self) -> Vec<KeyId> {
        let is_gone = |key: &KeyId| {
            let mut counted = self.peers.iter().filter(|peer| self.waits_for(Step::Remove, peer));
            counted.all(|peer| self.ledger.has_removed(*key, &peer.name))
        };
        self.old.iter().chain(&self.extra).filter(|key| !is_gone(key)).copied().collect()
    }

    /// The new key seals everywhere but on `absent`, for whose sake the old ones stay.
    fn end_rotated(&mut self, absent: Vec<(NodeName, Why)>) {
        let waited_for = self.peers.iter().filter(|peer| self.waits_for(Step::Remove, peer));
        let members = waited_for.count() - absent.len();
        // Whoever was named and is there after all has followed.
        let seal = Task::Use(self.key.clone());
        let lost = self.options.force.iter().filter(|name| !self.ledger.has_confirmed(&seal, name));
        let locked_out = lost.cloned().collect();
        let left_over = self.left_over();
        let old = [&self.old[..], &self.extra].concat();
        self.end(End::Rotated { old, new: self.key.id(), members, locked_out, absent, left_over });
    }

    /// By its own word in this run, or by what is known of it.
    fn obeys_ballots(&self, peer: &Peer) -> bool {
        peer.obeys_ballots || self.keeps_ballots.contains(&peer.name)
    }

    fn end(&mut self, end: End) {
        self.step = None;
        self.asking = None;
        self.outputs.push_back(Output::End(end));
    }

    /// Why a member has not confirmed.
    fn why(&self, peer: &Peer) -> Why {
        match self.refusals.get(&peer.name) {
            Some(refusal) => refusal.clone(),
            None if !peer.status.is_present() => Why::Away { status: peer.status, age: peer.age },
            None => Why::Silent,
        }
    }

    fn unknown_names(&self) -> Vec<(NodeName, Why)> {
        let named = self.options.absent.union(&self.options.force);
        named
            .filter(|name| !self.peers.iter().any(|peer| peer.name == **name))
            .map(|name| (name.clone(), Why::Unknown))
            .collect()
    }
}
