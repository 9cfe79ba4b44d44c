//! The leaving node's side (`protocols A.3`): from the operator's word to the last request.
//!
//! A driver gives it the members with [`Departure::handle_members`] whenever they may have changed, then calls
//! [`Departure::handle_timeout`], at the latest at [`Departure::poll_timeout`], and takes [`Departure::poll_output`] until it is
//! empty. Of an [`Output::Keep`] it reports the end with [`Departure::handle_kept`], within a bound; of every answer to an [`Output::Ask`] with
//! [`Departure::handle_answer`].

mod roster;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

pub use roster::{BALANCER, Peer, Presence};

use super::document::{Done, Line};
use super::{DrainId, DrainTag, Question, Word};
use crate::time::{Instant, millis};
use crate::upstream::Generation;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;
use roster::Roster;

/// How long things may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// For the balancers to confirm.
    pub confirm: Duration,
    /// For requests on their way after that.
    pub drain: Duration,
}

/// A drain that outlives a restart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    pub id: DrainId,
    /// When it was asked for first.
    pub since: LamportTime,
    /// An operator asked for it,
    pub operator: bool,
    /// and so did the guard unit of an application, or it alone.
    pub guard: bool,
    pub reason: Option<String>,
}

/// Why a node drains: what is asked of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DrainRequest {
    /// Although a balancer has no other server.
    pub force: bool,
    /// The guard unit of an application asks.
    pub guard: bool,
    pub reason: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Have this on disk, or nothing there, then report [`Departure::handle_kept`]; the last one counts.
    Keep(Option<Kept>),
    /// The tag's value from now on. The incarnation goes up.
    Publish(Option<DrainTag>),
    /// Ask these balancers.
    Ask { question: Question, of: Vec<NodeName> },
    /// The operator's story goes on.
    Tell(Line),
    /// Begin Serf's leave; the process goes on for so long after it.
    Leave { stay: Duration },
}

/// What measurements say of requests at this node's servers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Flight {
    /// Nothing was measured, or nothing that says anything.
    #[default]
    Unknown,
    /// Some are on their way.
    Busy,
    /// There were some, and none is on its way any more.
    NoneLeft,
}

/// Where a node stands.
#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    Serving,
    /// What is asked for goes to disk before anybody hears of it.
    Keeping(After),
    Draining,
    Yielded {
        until: Instant,
        /// Somebody was seen who asked earlier.
        seen: bool,
    },
    Linger {
        since: Instant,
    },
    Drained,
    /// Serf's leave; there is no way back.
    Leaving,
}

/// What follows once that is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
enum After {
    Publish,
    Withdraw,
    /// These go first; the next try has another id.
    Yield {
        to: Vec<NodeName>,
        next: DrainId,
    },
}

/// Why what is asked for does not outlive this process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotKept {
    /// Nothing ever does, for this reason; so nothing of an earlier drain can come back either.
    Never(String),
    /// The disk does not take it. What it has of this node may be older.
    Failed(String),
}

/// What all this is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    Drain { force: bool },
    Leave,
}

/// A balancer that is done.
#[derive(Clone, Debug)]
struct Counted {
    done: Done,
    generation: Generation,
    /// Its own count when it said so.
    incarnation: Incarnation,
    /// Whether it has said where requests go that may be on their way.
    named: bool,
}

/// One drain, from the operator's word on.
#[derive(Debug)]
struct Run {
    goal: Goal,
    times: Times,
    /// Of this drain, or of the next one while yielding.
    id: DrainId,
    since: LamportTime,
    begun: Instant,
    counted: BTreeMap<NodeName, Counted>,
    /// Who was done when the drain was over, by their count: what was on its way from there has had its time.
    settled: BTreeMap<NodeName, Incarnation>,
    /// Their last word, of those who have not counted.
    refusing: BTreeMap<NodeName, Word>,
    /// Who had too few other servers when this node let others go first.
    floors: BTreeSet<NodeName>,
    /// Where balancers send requests.
    servers: BTreeSet<SocketAddr>,
    /// Who is not waited for any more though nobody knows that it is done.
    forced: BTreeSet<NodeName>,
    told_unreachable: BTreeSet<NodeName>,
    /// The time to confirm was over, and that was told.
    overdue: bool,
    ask_at: Instant,
    /// Not before that others are let go first, after a try that the disk did not take.
    yield_at: Instant,
    pause: Duration,
    flight: Flight,
}

impl Run {
    fn new(now: Instant, goal: Goal, times: Times, id: DrainId, since: LamportTime) -> Self {
        Self {
            goal,
            times,
            id,
            since,
            begun: now,
            counted: BTreeMap::new(),
            settled: BTreeMap::new(),
            refusing: BTreeMap::new(),
            floors: BTreeSet::new(),
            servers: BTreeSet::new(),
            forced: BTreeSet::new(),
            told_unreachable: BTreeSet::new(),
            overdue: false,
            ask_at: now,
            yield_at: now,
            pause: step::YIELD,
            flight: Flight::Unknown,
        }
    }

    /// The same drain for another end, which begins now.
    fn aimed(self, now: Instant, goal: Goal, times: Times) -> Self {
        Self { goal, times, begun: now, overdue: false, ask_at: now, told_unreachable: BTreeSet::new(), ..self }
    }

    fn tag(&self) -> DrainTag {
        DrainTag::new(self.id.clone(), self.since)
    }

    fn elapsed(&self, now: Instant) -> u64 {
        millis(now.since(self.begun))
    }

    fn deadline(&self) -> Instant {
        self.begun + self.times.confirm
    }

    fn is_idle(&self, name: &NodeName) -> bool {
        self.counted.get(name).is_some_and(|counted| counted.done != Done::Out)
    }
}

/// The machine.
#[derive(Debug)]
pub struct Departure {
    own: NodeName,
    rng: StdRng,
    state: State,
    run: Option<Run>,
    kept: Option<Kept>,
    /// What others read in our tag.
    published: Option<DrainTag>,
    incarnation: Incarnation,
    roster: Roster,
    outputs: VecDeque<Output>,
}

impl Departure {
    /// Of a node that serves. Ids are drawn from `rng`.
    pub fn new(own: NodeName, rng: StdRng) -> Self {
        Self {
            own,
            rng,
            state: State::Serving,
            run: None,
            kept: None,
            published: None,
            incarnation: Incarnation::ZERO,
            roster: Roster::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Of a node that drained when its last run ended; its first word to others has the tag already. Nobody waits for this.
    #[must_use]
    pub fn restored(mut self, now: Instant, kept: Kept, times: Times) -> Self {
        let run = Run::new(now, Goal::Drain { force: true }, times, kept.id.clone(), kept.since);
        self.published = Some(run.tag());
        self.run = Some(run);
        self.kept = Some(kept);
        self.state = State::Draining;
        self
    }

    /// What others are to read in our tag.
    pub fn tag(&self) -> Option<&DrainTag> {
        self.published.as_ref()
    }

    /// What outlives a restart.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Whether this node is on its way out of the cluster.
    pub fn is_leaving(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.goal == Goal::Leave)
    }

    /// Whether this node drains or leaves, also while it lets others go first.
    pub fn is_under_way(&self) -> bool {
        self.run.is_some()
    }

    /// Whether Serf's leave has begun: there is no way back.
    pub fn has_left(&self) -> bool {
        self.state == State::Leaving
    }

    /// Whether requests on their way are waited for.
    #[cfg(test)]
    fn is_lingering(&self) -> bool {
        matches!(self.state, State::Linger { .. })
    }

    /// Where balancers sent requests, while it matters whether some are on their way. None if one of them has not said where:
    /// then nothing can be measured.
    pub fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        let is_open = matches!(self.state, State::Draining | State::Linger { .. });
        let is_known = |run: &&Run| run.counted.values().all(|counted| counted.done != Done::Out || counted.named);
        self.run.iter().filter(move |_| is_open).filter(is_known).flat_map(|run| run.servers.iter().copied())
    }

    /// Everybody there is that balances or drains.
    pub fn handle_members(&mut self, peers: Vec<Peer>) {
        self.roster = Roster::new(peers);
        if let Some(run) = &mut self.run {
            // Whoever comes back has to say it again.
            run.counted.retain(|name, _| self.roster.is_there(name));
        }
    }

    /// Our own incarnation. It goes up when the tag is published, and whenever we refute.
    pub fn handle_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
    }

    /// Drains, until it is undone. `time` is the member clock's. Returns whether it does; not while this node leaves.
    pub fn drain(&mut self, now: Instant, time: LamportTime, request: DrainRequest, times: Times) -> bool {
        if self.is_leaving() {
            return false;
        }
        let DrainRequest { force, guard, reason } = request;
        let goal = Goal::Drain { force };
        let (run, is_known) = match self.run.take() {
            Some(run) => (run.aimed(now, goal, times), true),
            None => (Run::new(now, goal, times, self.draw(), time), false),
        };
        let before = self.kept.take();
        let was = |by: fn(&Kept) -> bool| before.as_ref().is_some_and(by);
        let kept = Kept {
            id: run.id.clone(),
            since: run.since,
            operator: !guard || was(|kept| kept.operator),
            guard: guard || was(|kept| kept.guard),
            reason: reason.or_else(|| before.as_ref().and_then(|kept| kept.reason.clone())),
        };
        self.run = Some(run);
        self.keep(Some(kept));
        match (&self.state, is_known) {
            (State::Serving | State::Keeping(_), _) | (_, false) => self.state = State::Keeping(After::Publish),
            (State::Drained, true) => {
                self.count_again(now);
                self.tell_again(now);
            }
            (State::Draining | State::Yielded { .. } | State::Linger { .. } | State::Leaving, true) => {
                self.tell_again(now);
            }
        }
        true
    }

    /// Serves again. A guard takes back only what it alone asked for. Returns whether that was possible; it is not once Serf's
    /// leave is under way.
    pub fn undo(&mut self, guard: bool) -> bool {
        if self.has_left() {
            return false;
        }
        let is_operators = self.kept.as_ref().is_some_and(|kept| kept.operator) || self.is_leaving();
        if guard && is_operators {
            if let Some(kept) = self.kept.clone().filter(|kept| kept.guard) {
                self.keep(Some(Kept { guard: false, ..kept }));
            }
            let id = self.run.as_ref().map(|run| run.id.to_string());
            self.tell(Line::Undone { id, stays: true });
        } else if self.kept.is_some() {
            // On disk first: a drain that came back with its old id could be confirmed by answers to the old one.
            self.keep(None);
            self.state = State::Keeping(After::Withdraw);
        } else {
            self.withdraw();
        }
        true
    }

    /// Leaves the cluster. On a stop of the service a drain that an operator asked for stays for the next start.
    pub fn leave(&mut self, now: Instant, time: LamportTime, on_stop: bool, times: Times) {
        if self.is_leaving() {
            return;
        }
        if !on_stop && self.kept.is_some() {
            self.keep(None);
        }
        let (run, is_known) = match self.run.take() {
            Some(run) => (run.aimed(now, Goal::Leave, times), true),
            None => (Run::new(now, Goal::Leave, times, self.draw(), time), false),
        };
        self.run = Some(run);
        if times.drain.is_zero() {
            return self.leave_serf(now, Duration::ZERO);
        }
        if self.roster.awaited(now, now).next().is_none() {
            // Scripts of others act on the leave itself, and their balancers send requests until then.
            return self.leave_serf(now, times.drain);
        }
        match self.state {
            State::Serving | State::Keeping(_) => self.publish(now),
            State::Draining | State::Yielded { .. } | State::Linger { .. } | State::Drained | State::Leaving => {}
        }
        if self.state == State::Drained {
            self.count_again(now);
        }
        if is_known {
            self.tell_again(now);
        }
    }

    /// Goes straight to Serf's leave, whoever has not confirmed.
    pub fn hurry(&mut self, now: Instant) {
        if self.is_leaving() && !self.has_left() {
            self.leave_serf(now, Duration::ZERO);
        }
    }

    /// What is to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn draw(&mut self) -> DrainId {
        DrainId::drawn(self.rng.random())
    }

    fn keep(&mut self, kept: Option<Kept>) {
        self.kept.clone_from(&kept);
        self.outputs.push_back(Output::Keep(kept));
    }

    fn tell(&mut self, line: Line) {
        self.outputs.push_back(Output::Tell(line));
    }

    /// Tells others that this node drains, and begins to ask.
    fn publish(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        run.ask_at = now;
        let (tag, id, begun) = (run.tag(), run.id.to_string(), run.begun);
        self.state = State::Draining;
        self.show(Some(tag));
        let balancers = self.roster.awaited(now, begun).map(ToString::to_string).collect();
        self.tell(Line::Draining { id, balancers });
    }

    fn show(&mut self, tag: Option<DrainTag>) {
        if self.published != tag {
            self.published.clone_from(&tag);
            self.outputs.push_back(Output::Publish(tag));
        }
    }

    /// A drain may have ended days ago: whoever was done says again that it is.
    fn count_again(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        let counted = std::mem::take(&mut run.counted);
        run.settled = counted.into_iter().map(|(name, counted)| (name, counted.incarnation)).collect();
        run.ask_at = now;
        self.state = State::Draining;
    }

    fn withdraw(&mut self) {
        let id = self.run.take().map(|run| run.id.to_string());
        self.state = State::Serving;
        self.show(None);
        self.tell(Line::Undone { id, stays: false });
    }

    fn leave_serf(&mut self, now: Instant, stay: Duration) {
        let Some(run) = &self.run else { return };
        let counted = |name: &&NodeName| !run.counted.contains_key(*name);
        let missing = self.roster.awaited(now, run.begun).filter(counted).chain(&run.forced);
        let unconfirmed: BTreeSet<&NodeName> = missing.collect();
        let unconfirmed = if run.times.drain.is_zero() { BTreeSet::new() } else { unconfirmed };
        let unreachable = self.roster.unreachable(now, run.begun).map(|(name, _)| name).chain(&run.told_unreachable);
        let unreachable: BTreeSet<&NodeName> = unreachable.filter(|name| !run.counted.contains_key(*name)).collect();
        let line = Line::Leaving {
            unconfirmed: unconfirmed.into_iter().map(ToString::to_string).collect(),
            unreachable: unreachable.into_iter().map(ToString::to_string).collect(),
            elapsed_ms: run.elapsed(now),
        };
        self.state = State::Leaving;
        self.tell(line);
        self.outputs.push_back(Output::Leave { stay });
    }
}
