//! Members come, change, announce their leave and go (`serf §4.3 to §4.5`): the verdicts of the member table,
//! carried out.

use bytes::Bytes;
use tracing::{debug, trace};

use super::Serf;
use super::clock::LamportTime;
use super::drops::Drop;
use super::intent::{Intent, IntentKind, Stored};
use super::leave::State;
use super::member::{JoinVerdict, LeaveVerdict, Status};
use super::output::{MemberEvent, MemberEventKind, Output};
use crate::swim;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{JoinIntent, LeaveIntent, SerfMessage};

impl Serf {
    /// Takes a change that `swim` reports, in the order it happened.
    pub fn handle_swim(&mut self, now: Instant, event: &swim::Event) {
        match event {
            swim::Event::Joined(node) => {
                if node.name == self.local.name {
                    self.local = node.clone();
                } else {
                    self.handle_other_name(node.addr);
                }
                let intent = self.intents.get(&node.name);
                let event = self.members.joined(now, node.clone(), intent);
                self.emit(now, event);
            }
            swim::Event::Updated(node) => {
                if node.name == self.local.name {
                    self.local = node.clone();
                }
                if let Some(event) = self.members.updated(node.clone()) {
                    self.emit(now, event);
                }
            }
            swim::Event::Gone { node, left } => {
                if let Some(event) = self.members.gone(now, &node.name, *left) {
                    self.emit(now, event);
                    self.keep_departed_bounded(now);
                }
            }
            swim::Event::Conflict { name, other } => self.handle_conflict(now, name, *other),
            // Serf has no suspects, and keeps its own dead: they are shown and dialled for a day.
            swim::Event::Suspected { .. } | swim::Event::Cleared(_) | swim::Event::Purged(_) => {}
        }
    }

    /// A leave intent arrives by gossip.
    pub(super) fn handle_leave_intent(&mut self, now: Instant, leave: &LeaveIntent, message: &Bytes) {
        let taken = self.take_leave_intent(now, &leave.node, leave.ltime, leave.prune);
        self.pass_on_intent(taken, message);
    }

    /// A join intent arrives by gossip.
    pub(super) fn handle_join_intent(&mut self, now: Instant, join: &JoinIntent, message: &Bytes) {
        let taken = self.take_join_intent(now, &join.node, join.ltime);
        self.pass_on_intent(taken, message);
    }

    fn pass_on_intent(&mut self, taken: Result<bool, Drop>, message: &Bytes) {
        match taken {
            Ok(true) => self.broadcast_intent(message.clone(), None),
            Ok(false) => {}
            Err(reason) => self.drops.count(reason),
        }
    }

    /// Takes a leave intent from anywhere. Returns whether it is to be passed on.
    pub(super) fn take_leave_intent(
        &mut self,
        now: Instant,
        node: &str,
        ltime: LamportTime,
        prune: bool,
    ) -> Result<bool, Drop> {
        self.witness_intent(node, ltime)?;
        let refutable = node == self.local.name.as_str() && self.state == State::Alive;
        match self.members.leave_intent(now, node, ltime, refutable) {
            LeaveVerdict::Unknown => self.remember_intent(now, node, IntentKind::Leave, ltime),
            LeaveVerdict::Stale => self.take_stale_leave(now, node, prune),
            LeaveVerdict::Refute => {
                debug!(ltime = ltime.get(), "leave of ourselves is refuted");
                self.announce_join(now);
                Ok(false)
            }
            LeaveVerdict::Applied { event, status } => {
                debug!(member = node, ltime = ltime.get(), prune, "leave intent is accepted");
                if let Some(event) = event {
                    self.emit(now, event);
                } else if status == Status::Leaving {
                    self.tell_leaving(node, true);
                }
                if let Some(name) = NodeName::new(node).filter(|_| prune) {
                    self.prune(now, name, status);
                }
                Ok(true)
            }
        }
    }

    /// Takes a leave intent no newer than the member's status.
    ///
    /// Whoever left is forgotten all the same: each push/pull between two that hold its tombstone raises the time of that
    /// (`serf §4.7`), and who asks for the prune need not have heard. The reference ignores the prune then and keeps the tombstone.
    fn take_stale_leave(&mut self, now: Instant, node: &str, prune: bool) -> Result<bool, Drop> {
        let left = self.members.get(node).filter(|member| prune && member.status == Status::Left);
        let Some(name) = left.map(|member| member.node.name.clone()) else {
            return Err(Drop::SeenIntent);
        };
        self.prune(now, name, Status::Left);
        Ok(true)
    }

    /// Takes a join intent from anywhere. Returns whether it is to be passed on.
    pub(super) fn take_join_intent(&mut self, now: Instant, node: &str, ltime: LamportTime) -> Result<bool, Drop> {
        self.witness_intent(node, ltime)?;
        let leaving = self.members.get(node).is_some_and(|member| member.status == Status::Leaving);
        match self.members.join_intent(now, node, ltime) {
            JoinVerdict::Unknown => self.remember_intent(now, node, IntentKind::Join, ltime),
            JoinVerdict::Stale => Err(Drop::SeenIntent),
            JoinVerdict::Applied => {
                debug!(member = node, ltime = ltime.get(), "join intent is accepted");
                if leaving {
                    self.tell_leaving(node, false);
                }
                Ok(true)
            }
        }
    }

    fn tell_leaving(&mut self, node: &str, leaving: bool) {
        self.outputs.extend(NodeName::new(node).map(|member| Output::Leaving { member, leaving }));
    }

    /// Gives our presence a time above every leave heard of: after a join, and to contradict a leave that is not true.
    pub(super) fn announce_join(&mut self, now: Instant) {
        let join = JoinIntent { ltime: self.member_clock.time(), node: self.local.name.as_str().to_owned() };
        // Told to the others whatever our own table makes of it: with a clock at its very end it is not news to us.
        let _ours = self.take_join_intent(now, &join.node, join.ltime);
        self.broadcast_intent(SerfMessage::Join(join).encode(), None);
    }

    fn witness_intent(&mut self, node: &str, ltime: LamportTime) -> Result<(), Drop> {
        if !(1..=NodeName::MAX_BYTES).contains(&node.len()) {
            return Err(Drop::Name);
        }
        if !self.member_clock.witness(ltime) {
            return Err(Drop::ImplausibleTime);
        }
        Ok(())
    }

    fn remember_intent(
        &mut self,
        now: Instant,
        node: &str,
        kind: IntentKind,
        ltime: LamportTime,
    ) -> Result<bool, Drop> {
        let name = NodeName::new(node).ok_or(Drop::Name)?;
        match self.intents.upsert(&name, Intent { kind, ltime, heard: now }) {
            Stored::Seen => return Err(Drop::SeenIntent),
            Stored::New => trace!(member = node, ltime = ltime.get(), ?kind, "intent of a stranger is remembered"),
            Stored::Evicting => self.drops.count(Drop::IntentsFull),
        }
        Ok(true)
    }

    /// Tells of a change, at once to those who keep a log and coalesced to the application.
    pub(super) fn emit(&mut self, now: Instant, event: MemberEvent) {
        if event.kind == MemberEventKind::Reap
            && let Some(coordinates) = &mut self.coordinates
        {
            coordinates.forget(event.member.node.name.as_str());
        }
        self.outputs.push_back(Output::Member(event.clone()));
        self.coalesce(|coalescer, events| coalescer.member(now, event, events));
    }

    /// Forgets a member.
    pub(super) fn forget(&mut self, now: Instant, name: &NodeName) {
        self.departure.prunes.remove(name);
        if let Some(event) = self.members.remove(name.as_str()) {
            debug!(member = %name, status = ?event.member.status, "member is forgotten");
            self.emit(now, event);
        }
    }

    /// Whether anybody else is alive to hear a broadcast.
    pub(super) fn has_audience(&self) -> bool {
        self.members.iter().any(|member| member.status == Status::Alive && member.node.name != self.local.name)
    }
}
