//! Members come, change, announce their leave and go (`Serf wire format §4.3 to §4.5`): the verdicts of the member table,
//! carried out.

use bytes::Bytes;

use super::Serf;
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
            swim::Event::Gone { node, .. } => {
                if let Some(event) = self.members.gone(now, &node.name) {
                    self.emit(now, event);
                    self.keep_departed_bounded(now);
                }
            }
            swim::Event::Conflict { name, other } => self.handle_conflict(now, name, *other),
            // Serf has no suspects, and keeps its own dead: they are shown and dialled for a day.
            swim::Event::Suspected(_) | swim::Event::Cleared(_) | swim::Event::Purged(_) => {}
        }
    }

    /// A leave intent arrives by gossip.
    pub(super) fn handle_leave_intent(&mut self, now: Instant, leave: &LeaveIntent, message: &Bytes) {
        if self.take_leave_intent(now, leave) {
            self.broadcast_intent(message.clone(), None);
        }
    }

    /// A join intent arrives by gossip.
    pub(super) fn handle_join_intent(&mut self, now: Instant, join: &JoinIntent, message: &Bytes) {
        if self.take_join_intent(now, join) {
            self.broadcast_intent(message.clone(), None);
        }
    }

    /// Takes a leave intent from anywhere. Returns whether it is to be passed on.
    pub(super) fn take_leave_intent(&mut self, now: Instant, leave: &LeaveIntent) -> bool {
        let Some(name) = self.witness_intent(&leave.node, leave.ltime) else { return false };
        let refutable = name == self.local.name && self.state == State::Alive;
        match self.members.leave_intent(now, name.as_str(), leave.ltime, refutable) {
            LeaveVerdict::Unknown => self.remember_intent(now, &name, IntentKind::Leave, leave.ltime),
            LeaveVerdict::Stale => {
                self.drops.count(Drop::SeenIntent);
                false
            }
            LeaveVerdict::Refute => {
                self.announce_join(now);
                false
            }
            LeaveVerdict::Applied { event, status } => {
                if let Some(event) = event {
                    self.emit(now, event);
                }
                if leave.prune {
                    self.prune(now, name, status);
                }
                true
            }
        }
    }

    /// Takes a join intent from anywhere. Returns whether it is to be passed on.
    pub(super) fn take_join_intent(&mut self, now: Instant, join: &JoinIntent) -> bool {
        let Some(name) = self.witness_intent(&join.node, join.ltime) else { return false };
        match self.members.join_intent(now, name.as_str(), join.ltime) {
            JoinVerdict::Unknown => self.remember_intent(now, &name, IntentKind::Join, join.ltime),
            JoinVerdict::Stale => {
                self.drops.count(Drop::SeenIntent);
                false
            }
            JoinVerdict::Applied => true,
        }
    }

    /// Gives our presence a time above every leave heard of: after a join, and to contradict a leave that is not true.
    pub(super) fn announce_join(&mut self, now: Instant) {
        let join = JoinIntent { ltime: self.member_clock.time(), node: self.local.name.as_str().to_owned() };
        let message = SerfMessage::Join(join.clone()).encode();
        self.take_join_intent(now, &join);
        self.broadcast_intent(message, None);
    }

    fn witness_intent(&mut self, name: &str, ltime: super::LamportTime) -> Option<NodeName> {
        let Some(name) = NodeName::new(name) else {
            self.drops.count(Drop::Name);
            return None;
        };
        if !self.member_clock.witness(ltime) {
            self.drops.count(Drop::ImplausibleTime);
            return None;
        }
        Some(name)
    }

    fn remember_intent(&mut self, now: Instant, name: &NodeName, kind: IntentKind, ltime: super::LamportTime) -> bool {
        match self.intents.upsert(name, Intent { kind, ltime, heard: now }) {
            Stored::Seen => {
                self.drops.count(Drop::SeenIntent);
                false
            }
            Stored::New => true,
            Stored::Evicting => {
                self.drops.count(Drop::IntentsFull);
                true
            }
        }
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
            self.emit(now, event);
        }
    }

    /// Whether anybody else is alive to hear a broadcast.
    pub(super) fn has_audience(&self) -> bool {
        self.members.iter().any(|member| member.status == Status::Alive && member.node.name != self.local.name)
    }
}
