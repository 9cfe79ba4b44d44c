//! Leaving, making others leave, and forgetting them at once (`serf §4.4, §4.9, §4.10`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Serf;
use super::drops::Drop;
use super::intent::{Intent, IntentKind};
use super::member::{Member, Status};
use super::output::Output;
use crate::error::Explain;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{LeaveIntent, SerfMessage};

/// Our own state towards the cluster.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    #[default]
    Alive,
    Leaving,
    Left,
}

/// Why a leave was not begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeaveError {
    #[error("this node is already leaving the cluster")]
    Leaving,
    #[error("this node has left the cluster")]
    Left,
}

/// Why a member was not made to leave, or not everybody may know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ForceLeaveError {
    #[error("a member's name has {rule}, this one has {0}", rule = NodeName::RULE)]
    Name(usize),
    /// Nothing was sent. The reference obeys, and the member stays, invisible to the others.
    #[error("member {0} is alive")]
    PruneAlive(NodeName),
    #[error("this node leaves by `leave`, not by force-leave")]
    Ourselves,
    /// The intent is applied here and still queued.
    #[error("timed out: not every member may have heard that {0} was made to leave")]
    Timeout(NodeName),
}

impl Explain for ForceLeaveError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::PruneAlive(_) => Some("prune forgets members that left or failed, so stop the member first".into()),
            Self::Name(_) | Self::Ourselves | Self::Timeout(_) => None,
        }
    }
}

/// What of leaving and force-leaving is under way.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    /// Our own leave: its message, and until when its broadcast is waited for.
    own: Option<(Bytes, Option<Instant>)>,
    /// Force-leaves by token.
    forced: BTreeMap<u64, (NodeName, Instant)>,
    tokens: u64,
    /// When members are to be forgotten.
    pub(super) prunes: BTreeMap<NodeName, Instant>,
}

/// A member that leaves is gone by then: announcing it and dying take some ten seconds.
pub const LEAVE_DOUBTED_AFTER: Duration = Duration::from_secs(30);

/// Members told directly of a force-leave.
const MAX_TOLD: usize = 64;

/// The token of our own leave; those of force-leaves count from one.
const OWN: u64 = 0;

impl Departure {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let own = self.own.iter().filter_map(|(_, until)| *until);
        own.chain(self.forced.values().map(|(_, until)| *until)).chain(self.prunes.values().copied()).min()
    }
}

impl Serf {
    /// Announces our leave (`serf §4.9`, steps 1, 3 and 4). [`Output::LeaveBroadcastDone`] tells when `swim` may leave.
    ///
    /// # Errors
    ///
    /// If we are leaving already, or have left; nothing changes then.
    pub fn begin_leave(&mut self, now: Instant) -> Result<(), LeaveError> {
        match self.state {
            State::Leaving => return Err(LeaveError::Leaving),
            State::Left => return Err(LeaveError::Left),
            State::Alive => self.state = State::Leaving,
        }
        let name = self.local.name.clone();
        let message = self.apply_leave(now, &name, false);
        let until = self.has_audience().then_some(now + self.options.broadcast_timeout);
        self.departure.own = Some((message.clone(), until));
        if until.is_some() {
            self.broadcast_intent(message, Some(OWN));
        } else {
            self.outputs.push_back(Output::LeaveBroadcastDone);
        }
        Ok(())
    }

    /// The leave intent about ourselves, while and after we leave, for sending it to members directly.
    pub fn leave_message(&self) -> Option<Bytes> {
        self.departure.own.as_ref().map(|(message, _)| message.clone())
    }

    /// `swim` has left: only shutting down remains.
    pub fn left(&mut self) {
        self.state = State::Left;
    }

    /// Our own state towards the cluster.
    pub fn state(&self) -> State {
        self.state
    }

    /// Makes a member leave: a failed one becomes left everywhere, a living one refutes. With `prune` it is forgotten too.
    /// The end comes as [`Output::ForceLeaveDone`].
    ///
    /// A prune is stamped some way ahead of our clock: every member begins a push/pull an interval, each may raise the time of
    /// a tombstone by one (`serf §4.7`), and to members of the reference a prune below that time is old.
    ///
    /// # Errors
    ///
    /// If the member may not be pruned or is ourselves; nothing was done then.
    pub fn force_leave(&mut self, now: Instant, name: &str, prune: bool) -> Result<(), ForceLeaveError> {
        let name = NodeName::new(name).ok_or(ForceLeaveError::Name(name.len()))?;
        if name == self.local.name {
            return Err(ForceLeaveError::Ourselves);
        }
        if prune && self.members.get(name.as_str()).is_some_and(|member| member.status == Status::Alive) {
            return Err(ForceLeaveError::PruneAlive(name));
        }
        let audience = self.has_audience();
        let message = self.apply_leave(now, &name, prune);
        if audience {
            self.tell_some(&message);
            self.departure.tokens += 1;
            let token = self.departure.tokens;
            self.departure.forced.insert(token, (name, now + self.options.broadcast_timeout));
            self.broadcast_intent(message, Some(token));
        } else {
            self.outputs.push_back(Output::ForceLeaveDone { name, result: Ok(()) });
        }
        Ok(())
    }

    /// Tells living members directly, all of them unless they are many. Gossip passes by a few, and no push/pull tells of a prune.
    fn tell_some(&mut self, message: &Bytes) {
        let others = self.members.iter().filter(|m| m.status == Status::Alive && m.node.name != self.local.name);
        let told = others.take(MAX_TOLD).map(|member| Output::SendUser {
            to: member.node.addr,
            node: Some(member.node.name.clone()),
            message: message.clone(),
        });
        self.outputs.extend(told);
    }

    fn apply_leave(&mut self, now: Instant, name: &NodeName, prune: bool) -> Bytes {
        if prune {
            self.member_clock.advance(self.members.len() as u64);
        }
        let leave = LeaveIntent { ltime: self.member_clock.stamp(), node: name.as_str().to_owned(), prune };
        // Told to the others whatever our own table makes of it: they may know the member by another time.
        let _ours = self.take_leave_intent(now, &leave.node, leave.ltime, prune);
        SerfMessage::Leave(leave).encode()
    }

    /// Notes which intents were sent their full number of times.
    pub(super) fn note_finished_intents(&mut self) {
        while let Some(token) = self.broadcasts.intents.next_finished() {
            if token == OWN {
                self.own_leave_sent();
            } else if let Some((name, _)) = self.departure.forced.remove(&token) {
                self.outputs.push_back(Output::ForceLeaveDone { name, result: Ok(()) });
            }
        }
    }

    fn own_leave_sent(&mut self) {
        if let Some((_, until)) = &mut self.departure.own
            && until.take().is_some()
        {
            self.outputs.push_back(Output::LeaveBroadcastDone);
        }
    }

    /// Ends waits that took too long.
    pub(super) fn end_due_departures(&mut self, now: Instant) {
        if self.departure.own.as_ref().and_then(|(_, until)| *until).is_some_and(|until| until <= now) {
            self.own_leave_sent();
        }
        while let Some(token) =
            self.departure.forced.iter().find(|(_, (_, until))| *until <= now).map(|(token, _)| *token)
        {
            if let Some((name, _)) = self.departure.forced.remove(&token) {
                let result = Err(ForceLeaveError::Timeout(name.clone()));
                self.outputs.push_back(Output::ForceLeaveDone { name, result });
            }
        }
        while let Some(name) = self.departure.prunes.iter().find(|(_, at)| **at <= now).map(|(name, _)| name.clone()) {
            self.departure.prunes.remove(&name);
            self.prune_when_gone(now, name);
        }
    }

    /// Asks members that have been leaving for too long whether they are, by telling them what they are said to do: those who
    /// are not announce that they stay.
    ///
    /// A leave of somebody who came back, or was made to leave, can pass its contradiction on the way, or bear the same time.
    /// Nothing else would ever end that: the reference shows such a member as leaving for as long as it lives.
    pub(super) fn ask_the_leaving(&mut self, now: Instant) {
        let doubted = |member: &&Member| {
            member.status == Status::Leaving
                && now.since(member.since) > LEAVE_DOUBTED_AFTER
                && member.node.name != self.local.name
        };
        let question = |member: &Member| {
            let (node, ltime) = (member.node.name.as_str().to_owned(), member.status_ltime.next());
            let message = SerfMessage::Leave(LeaveIntent { ltime, node, prune: false }).encode();
            Output::SendUser { to: member.node.addr, node: Some(member.node.name.clone()), message }
        };
        let questions: Vec<_> = self.members.iter().filter(doubted).map(question).collect();
        self.outputs.extend(questions);
    }

    /// Forgets a member by request. A leaving one may still refute, so it is given time to; the reference sleeps meanwhile,
    /// with everything locked.
    pub(super) fn prune(&mut self, now: Instant, name: NodeName, status: Status) {
        match status {
            Status::Left | Status::Failed => self.forget_pruned(now, &name),
            Status::Alive => self.drops.count(Drop::PruneAlive),
            Status::Leaving => {
                let grace = self.options.broadcast_timeout + self.options.leave_propagate_delay;
                self.departure.prunes.insert(name, now + grace);
            }
        }
    }

    /// Forgets a member, but not the leave that did it: another copy of that would be news about somebody unknown.
    fn forget_pruned(&mut self, now: Instant, name: &NodeName) {
        if let Some(ltime) = self.members.get(name.as_str()).map(|member| member.status_ltime) {
            self.intents.upsert(name, Intent { kind: IntentKind::Leave, ltime, heard: now });
        }
        self.forget(now, name);
    }

    fn prune_when_gone(&mut self, now: Instant, name: NodeName) {
        if name == self.local.name {
            return self.drops.count(Drop::PruneAlive);
        }
        if let Some(status) = self.members.get(name.as_str()).map(|member| member.status) {
            self.prune(now, name, status);
        }
    }
}

#[cfg(test)]
mod tests;
