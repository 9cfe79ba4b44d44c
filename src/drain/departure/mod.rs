//! The leaving node's side (`protocols A.3`): from the operator's word to the last request.
//!
//! A driver gives it the members with [`Departure::handle_members`] whenever they may have changed, then calls
//! [`Departure::handle_timeout`], at the latest at [`Departure::poll_timeout`], and takes [`Departure::poll_output`] until it is
//! empty. Of an [`Output::Keep`] it reports the end with [`Departure::handle_kept`], within a bound; of every answer to an [`Output::Ask`] with
//! [`Departure::handle_answer`].

mod guards;
mod roster;
mod run;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

pub use guards::{Guard, Guards};
pub use roster::{BALANCER, Peer, Presence};

use super::document::{Done, Line};
use super::{DrainId, DrainTag, Question};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;
use roster::Roster;
use run::{Counted, Goal, Run};

/// How long a node that comes back drained looks for its cluster, at most: as long as a balancer does.
const VIEW_WAIT: Duration = Duration::from_secs(30);

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
    /// and so did the guard units of these applications, or they alone.
    pub guards: Guards,
    pub reason: Option<String>,
}

/// Why a node drains: what is asked of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DrainRequest {
    /// Although a balancer has no other server.
    pub force: bool,
    /// The guard unit of an application asks.
    pub guard: Option<Guard>,
    pub reason: Option<String>,
    /// Whoever asks follows the story of the drain that is under way: what it has told is not told again.
    pub follows: bool,
}

/// Why a node leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// Somebody wants that, and may take it back as long as it drains.
    Asked,
    /// Its process is about to be stopped, whatever becomes of its drain.
    Stop,
}

/// Why a drain or a leave cannot be taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TooLate {
    /// Serf's leave has begun.
    Leaving,
    /// The process is about to be stopped.
    Stopping,
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
    /// With it ends what these guards asked for and have not taken back.
    Withdraw {
        ended_guards: Vec<String>,
    },
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
    /// Until then others may be there that are not known yet: this process has found nobody of the last one's cluster so far.
    blind_until: Option<Instant>,
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
            blind_until: None,
            outputs: VecDeque::new(),
        }
    }

    /// Of a node that drained when its last run ended; its first word to others has the tag already. Nobody waits for this. It is
    /// not over before [`Self::handle_view`], or [`VIEW_WAIT`] without.
    #[must_use]
    pub fn restored(mut self, now: Instant, kept: Kept, times: Times) -> Self {
        let run = Run::new(now, Goal::Drain { force: true }, times, kept.id.clone(), kept.since);
        self.published = Some(run.tag());
        self.run = Some(run);
        self.kept = Some(kept);
        self.blind_until = Some(now + VIEW_WAIT);
        self.state = State::Draining;
        self
    }

    /// Whom we know is the cluster: a first join has brought its members, or there is nobody to join.
    pub fn handle_view(&mut self, now: Instant) {
        self.blind_until = None;
        self.handle_timeout(now);
    }

    /// What others are to read in our tag.
    pub fn tag(&self) -> Option<&DrainTag> {
        self.published.as_ref()
    }

    /// What outlives a restart.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Balancers of which it is known that they send this node nothing new, and those of which it is not. Who comes once it has
    /// drained has heard of that before it could send anything.
    pub fn told(&self, now: Instant) -> (Vec<&NodeName>, Vec<&NodeName>) {
        let Some(run) = &self.run else { return (Vec::new(), Vec::new()) };
        let is_over = self.state == State::Drained;
        let (confirmed, mut open): (Vec<_>, Vec<_>) =
            self.roster.awaited(now, run.begun).partition(|name| run.counted.contains_key(*name));
        open.retain(|_| !is_over);
        open.extend(self.unheard(now, run).filter(|name| !is_over || run.told_unreachable.contains(*name)));
        open.extend(self.gone(run));
        (confirmed, open)
    }

    /// Whether this node is on its way out of the cluster.
    pub fn is_leaving(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.goal.leaves())
    }

    /// Whether this node drains or leaves, also while it lets others go first.
    pub fn is_under_way(&self) -> bool {
        self.run.is_some()
    }

    /// Whether a drain is on its way to its end, so that whoever asks for one can hear how this one ends.
    pub fn is_draining(&self) -> bool {
        let is_on_its_way = match self.state {
            State::Keeping(After::Publish | After::Yield { .. })
            | State::Draining
            | State::Yielded { .. }
            | State::Linger { .. } => true,
            State::Serving | State::Keeping(After::Withdraw { .. }) | State::Drained | State::Leaving => false,
        };
        is_on_its_way && self.is_under_way() && !self.is_leaving()
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

    /// Drains, until it is undone. `time` is the member clock's. Returns whether it does; not while this node leaves, of which a
    /// guard's word is kept for the next start: its application may not be there then.
    pub fn drain(&mut self, now: Instant, time: LamportTime, request: DrainRequest, times: Times) -> bool {
        if self.is_leaving() {
            self.keep_for(request.guard);
            return false;
        }
        let DrainRequest { force, guard, reason, follows } = request;
        let before = self.kept.take();
        let mut guards = before.as_ref().map(|kept| kept.guards.clone()).unwrap_or_default();
        let operator = guard.is_none() || before.as_ref().is_some_and(|kept| kept.operator);
        guards.extend(guard);
        // Whose application stops is no server, whatever balancers say: it can only wait for them.
        let goal = Goal::Drain { force: force || !guards.is_empty() };
        let (run, is_known) = self.take_run(now, time, goal, times);
        let reason = reason.or_else(|| before.and_then(|kept| kept.reason));
        let kept = Kept { id: run.id.clone(), since: run.since, operator, guards, reason };
        self.run = Some(run);
        self.keep(Some(kept));
        match (&self.state, is_known) {
            (State::Serving | State::Keeping(_), _) | (_, false) => self.state = State::Keeping(After::Publish),
            (State::Drained, true) => {
                self.count_again(now);
                self.tell_again(now);
            }
            (State::Draining | State::Yielded { .. } | State::Linger { .. } | State::Leaving, true) if !follows => {
                self.tell_again(now);
            }
            (State::Draining | State::Yielded { .. } | State::Linger { .. } | State::Leaving, true) => {}
        }
        true
    }

    /// Why [`Self::undo`] would not do anything, if that is so.
    pub fn too_late(&self) -> Option<TooLate> {
        let stops = || self.run.as_ref().is_some_and(|run| run.goal == Goal::Leave(Cause::Stop));
        if self.has_left() { Some(TooLate::Leaving) } else { stops().then_some(TooLate::Stopping) }
    }

    /// Serves again, also if it was about to leave, and whatever guards want: it is the way out for an application that is gone.
    /// Whose word ends with that is told.
    pub fn undo(&mut self) -> Result<(), TooLate> {
        self.too_late().map_or(Ok(()), Err)?;
        let ended_guards = match (&self.kept, &self.state) {
            (Some(kept), _) => kept.guards.to_strings(),
            // The undo before this one has not come to its end, and nobody hears that now.
            (None, State::Keeping(After::Withdraw { ended_guards })) => ended_guards.clone(),
            (None, _) => Vec::new(),
        };
        self.take_back(ended_guards);
        Ok(())
    }

    /// The guard of an application takes back what it asked for; the node serves again if nobody else did. Otherwise the drain
    /// goes on, and so does its story: returned is what the guard is told. A leave goes on as well.
    pub fn undo_guard(&mut self, guard: &Guard) -> Option<Line> {
        if self.is_leaving() {
            return Some(Line::Undone {
                id: None,
                stays: true,
                operator: true,
                guards: Vec::new(),
                ended_guards: Vec::new(),
            });
        }
        let mut left = self.kept.clone();
        let had_any = left.as_mut().is_some_and(|kept| kept.guards.remove(guard));
        let operator = left.as_ref().is_some_and(|kept| kept.operator);
        let guards = left.as_ref().map(|kept| kept.guards.to_strings()).unwrap_or_default();
        if !operator && guards.is_empty() {
            self.take_back(Vec::new());
            return None;
        }
        if had_any {
            self.keep(left);
        }
        let id = self.run.as_ref().map(|run| run.id.to_string());
        Some(Line::Undone { id, stays: true, operator, guards, ended_guards: Vec::new() })
    }

    fn take_back(&mut self, ended_guards: Vec<String>) {
        if self.kept.is_some() {
            // On disk first: a drain that came back with its old id could be confirmed by answers to the old one.
            self.keep(None);
            self.state = State::Keeping(After::Withdraw { ended_guards });
        } else {
            self.withdraw(ended_guards);
        }
    }

    /// Leaves the cluster. Where the process is stopped, a drain that an operator asked for stays for the next start, and in any case
    /// one that guards asked for.
    pub fn leave(&mut self, now: Instant, time: LamportTime, cause: Cause, times: Times) {
        if let Some(run) = self.run.as_mut().filter(|run| run.goal.leaves()) {
            if cause == Cause::Stop {
                run.goal = Goal::Leave(Cause::Stop);
            }
            return;
        }
        if cause == Cause::Asked
            && let Some(kept) = self.kept.take()
        {
            // What an operator said is over with this; an application that is down is down.
            self.keep(Some(Kept { operator: false, reason: None, ..kept }).filter(|kept| !kept.guards.is_empty()));
        }
        let (run, is_known) = self.take_run(now, time, Goal::Leave(cause), times);
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

    /// What is under way for this end instead, or else a new run. Who is seen to drain asked earlier, whatever the clock says
    /// that only joins and leaves move.
    fn take_run(&mut self, now: Instant, time: LamportTime, goal: Goal, times: Times) -> (Run, bool) {
        match self.run.take() {
            Some(run) => (run.aimed(now, goal, times), true),
            None => (Run::new(now, goal, times, self.draw(), self.roster.after_others(&self.own, time)), false),
        }
    }

    fn draw(&mut self) -> DrainId {
        DrainId::drawn(self.rng.random())
    }

    fn keep_for(&mut self, guard: Option<Guard>) {
        let (Some(run), Some(guard)) = (&self.run, guard) else { return };
        let mut kept = self.kept.clone().unwrap_or_else(|| Kept {
            id: run.id.clone(),
            since: run.since,
            operator: false,
            guards: Guards::default(),
            reason: None,
        });
        kept.guards.extend([guard]);
        self.keep(Some(kept));
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

    fn withdraw(&mut self, ended_guards: Vec<String>) {
        let id = self.run.take().map(|run| run.id.to_string());
        self.state = State::Serving;
        self.show(None);
        self.tell(Line::Undone { id, stays: false, operator: false, guards: Vec::new(), ended_guards });
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
            gone: self.gone(run).map(ToString::to_string).collect(),
            elapsed_ms: run.elapsed(now),
        };
        self.state = State::Leaving;
        self.tell(line);
        self.outputs.push_back(Output::Leave { stay });
    }
}
