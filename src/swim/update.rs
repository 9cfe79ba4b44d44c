//! What alive, suspect and dead messages do to the table (`memberlist §4.2 to §4.5`).
//!
//! At the same incarnation alive < suspect < dead; only alive needs a strictly newer one.

use std::sync::Arc;

use tracing::{debug, trace};

use crate::time::{Instant, millis};
use crate::wire::NodeName;
use crate::wire::message::{Alive, Dead, Incarnation, Message, Suspect};

use super::member::{Member, State, SuspicionState};
use super::suspicion::Suspicion;
use super::{Drop, Event, Node, Swim};

/// Incarnations may run this far ahead of the one we hold. They count refutations and tag changes of one process after the
/// other, so more is a forgery or a fault, and one near the end of the range could never be refuted.
pub(super) const MAX_INCARNATION_STEP: u32 = 1 << 24;

impl Swim {
    /// Applies our own alive message without the refutation logic (the reference's bootstrap flag).
    pub(super) fn announce(&mut self, now: Instant, node: Node) {
        let alive = Alive {
            incarnation: self.incarnation,
            node: node.name.clone(),
            addr: node.addr,
            meta: node.meta.clone(),
            versions: node.versions,
        };
        if self.members.get(&node.name).is_none() {
            self.insert(now, &alive);
        }
        self.accept_alive(&alive);
    }

    /// `memberlist §4.2`. Rows 2 and 3 (versions) are the decoder's: it refuses fewer than six.
    pub(super) fn handle_alive(&mut self, now: Instant, alive: Alive) {
        let [pmin, pmax, ..] = alive.versions.0;
        if pmin == 0 || pmax == 0 || pmin > pmax {
            return self.count_drop(Drop::Versions);
        }
        if alive.node == self.local {
            return self.handle_alive_about_us(now, alive);
        }
        let Some(member) = self.members.get(&alive.node) else {
            // An incarnation of zero would leave a record behind that never becomes alive.
            if alive.incarnation == Incarnation::ZERO || self.members.len() >= self.options.max_members {
                return self.count_drop(Drop::NotAdmitted);
            }
            if alive.incarnation.steps_left() < MAX_INCARNATION_STEP {
                return self.count_drop(Drop::Incarnation);
            }
            self.insert(now, &alive);
            return self.accept_alive(&alive);
        };
        let moved = member.node.addr != alive.addr;
        let reclaimed = moved && self.may_be_reclaimed(member, now);
        if moved && !reclaimed {
            return self.emit(Event::Conflict { name: alive.node, other: alive.addr });
        }
        if alive.incarnation.steps_above(member.incarnation) > MAX_INCARNATION_STEP {
            return self.count_drop(Drop::Incarnation);
        }
        if reclaimed || alive.incarnation > member.incarnation {
            self.accept_alive(&alive);
        } else {
            trace!(member = %alive.node, incarnation = %alive.incarnation, held = %member.incarnation, "alive is no news");
        }
    }

    /// `memberlist §4.3`.
    pub(super) fn handle_suspect(&mut self, now: Instant, suspect: Suspect) {
        let members = self.members.len();
        let Some(member) = self.members.get_mut(&suspect.node) else { return };
        if suspect.incarnation < member.incarnation {
            return trace!(member = %suspect.node, incarnation = %suspect.incarnation, held = %member.incarnation, "suspect is stale");
        }
        if suspect.incarnation.steps_above(member.incarnation) > MAX_INCARNATION_STEP {
            return self.count_drop(Drop::Incarnation);
        }
        match &mut member.state {
            State::Suspect(running) => {
                let before = running.0.deadline();
                if running.0.confirm(&suspect.from) {
                    let after = running.0.deadline();
                    let left_ms = millis(after.since(now));
                    debug!(member = %suspect.node, from = %suspect.from, left_ms, "suspicion is confirmed");
                    self.suspicions.remove(&(before, suspect.node.clone()));
                    self.suspicions.insert((after, suspect.node.clone()));
                    self.broadcast(suspect.node.clone(), &Message::Suspect(suspect));
                }
            }
            State::Dead(_) | State::Left(_) => trace!(member = %suspect.node, "suspect is of the departed"),
            State::Alive if suspect.node == self.local => self.refute(now, suspect.incarnation),
            State::Alive => {
                let suspicion = Suspicion::new(&self.options, members, suspect.from.clone(), now);
                self.suspicions.insert((suspicion.deadline(), suspect.node.clone()));
                let left_ms = millis(suspicion.deadline().since(now));
                debug!(member = %suspect.node, incarnation = %suspect.incarnation, from = %suspect.from, left_ms, "suspicion starts");
                member.incarnation = suspect.incarnation;
                member.state = State::Suspect(Box::new(SuspicionState(suspicion)));
                self.stats.suspicions += 1;
                self.emit(Event::Suspected { name: suspect.node.clone(), by: suspect.from.clone() });
                self.broadcast(suspect.node.clone(), &Message::Suspect(suspect));
            }
        }
    }

    /// `memberlist §4.4`.
    pub(super) fn handle_dead(&mut self, now: Instant, dead: Dead) {
        let Some(member) = self.members.get(&dead.node) else { return };
        if dead.incarnation < member.incarnation || member.state.is_gone() {
            return trace!(member = %dead.node, incarnation = %dead.incarnation, held = %member.incarnation, "dead is no news");
        }
        if dead.incarnation.steps_above(member.incarnation) > MAX_INCARNATION_STEP {
            return self.count_drop(Drop::Incarnation);
        }
        if dead.node == self.local && !self.leaving {
            return self.refute(now, dead.incarnation);
        }
        self.declare_gone(now, dead, None);
    }

    /// Declares ourselves gone, in our own words.
    pub(super) fn leave_self(&mut self, now: Instant, token: Option<u64>) {
        let dead = Dead { incarnation: self.incarnation, node: self.local.clone(), from: self.local.clone() };
        self.declare_gone(now, dead, token);
    }

    /// The message of [`Swim::leave`].
    pub fn death_notice(&self) -> bytes::Bytes {
        let dead = Dead { incarnation: self.incarnation, node: self.local.clone(), from: self.local.clone() };
        Message::Dead(dead).encode()
    }

    /// Declares dead whose suspicion ran out.
    pub(super) fn expire_suspicions(&mut self, now: Instant) {
        while let Some((deadline, name)) = self.suspicions.first().cloned() {
            if deadline > now {
                break;
            }
            let member = self.members.get(&name).expect("a suspicion is dropped before its member");
            debug!(member = %name, "suspicion ran out");
            let dead = Dead { incarnation: member.incarnation, node: name, from: self.local.clone() };
            self.declare_gone(now, dead, None);
        }
    }

    /// `memberlist §4.5`: claims an incarnation above the accusing one. The accusation shows that we answer too slowly, so
    /// it also lowers our trust in ourselves.
    fn refute(&mut self, now: Instant, accused: Incarnation) {
        self.incarnation = self.incarnation.max(accused).next();
        debug!(%accused, incarnation = %self.incarnation, "accusation of ourselves is refuted");
        self.add_awareness(1);
        self.stats.refutations += 1;
        let node = Node::clone(self.local_node());
        self.announce(now, node);
    }

    fn handle_alive_about_us(&mut self, now: Instant, alive: Alive) {
        if self.leaving {
            return;
        }
        let member = self.members.get(&self.local).expect("the table always holds ourselves");
        if member.node.addr != alive.addr {
            return self.emit(Event::Conflict { name: alive.node, other: alive.addr });
        }
        if alive.incarnation < member.incarnation {
            return;
        }
        if alive.incarnation.steps_above(member.incarnation) > MAX_INCARNATION_STEP {
            return self.count_drop(Drop::Incarnation);
        }
        let ours = alive.incarnation == member.incarnation
            && alive.meta == member.node.meta
            && alive.versions == member.node.versions;
        if !ours {
            self.refute(now, alive.incarnation);
        }
    }

    /// Whether an address other than the recorded one may take the name.
    fn may_be_reclaimed(&self, member: &Member, now: Instant) -> bool {
        let reclaim = self.options.dead_node_reclaim;
        match member.state {
            State::Left(_) => true,
            State::Dead(since) => !reclaim.is_zero() && now.since(since) > reclaim,
            State::Alive | State::Suspect(_) => false,
        }
    }

    /// Adds a record that is dead until [`Self::accept_alive`] fills it.
    fn insert(&mut self, now: Instant, alive: &Alive) {
        let node = Arc::new(Node {
            name: alive.node.clone(),
            addr: alive.addr,
            meta: alive.meta.clone(),
            versions: alive.versions,
        });
        let member = Member { node, incarnation: Incarnation::ZERO, state: State::Dead(now) };
        self.members.insert(member, &mut self.rng);
    }

    /// Row 10c: the message wins. The member must be in the table.
    fn accept_alive(&mut self, alive: &Alive) {
        self.drop_suspicion(&alive.node);
        let member = self.members.get_mut(&alive.node).expect("caller looked it up or inserted it");
        let (was_gone, was_suspect) = (member.state.is_gone(), member.state.is_suspect());
        let changed =
            member.node.addr != alive.addr || member.node.meta != alive.meta || member.node.versions != alive.versions;
        if changed {
            member.node = Arc::new(Node {
                name: member.node.name.clone(),
                addr: alive.addr,
                meta: alive.meta.clone(),
                versions: alive.versions,
            });
        }
        let rose = alive.incarnation > member.incarnation;
        member.incarnation = alive.incarnation;
        member.state = State::Alive;
        let node = Arc::clone(&member.node);
        let (name, addr, incarnation) = (&node.name, node.addr, alive.incarnation);
        debug!(member = %name, %addr, %incarnation, was_gone, was_suspect, changed, "alive is accepted");
        self.present += usize::from(was_gone);
        self.broadcast(alive.node.clone(), &Message::Alive(alive.clone()));
        if was_gone {
            self.emit(Event::Joined(node));
        } else {
            if was_suspect {
                self.emit(Event::Cleared(alive.node.clone()));
            }
            if changed {
                self.emit(Event::Updated(node));
            } else if rose {
                self.outputs.push_back(super::Output::Renewed(alive.node.clone()));
            }
        }
    }

    /// Makes a present member dead or left.
    fn declare_gone(&mut self, now: Instant, dead: Dead, token: Option<u64>) {
        self.drop_suspicion(&dead.node);
        let Some(member) = self.members.get_mut(&dead.node) else { return };
        let left = dead.node == dead.from;
        self.present -= usize::from(!member.state.is_gone());
        member.incarnation = dead.incarnation;
        member.state = if left { State::Left(now) } else { State::Dead(now) };
        let node = Arc::clone(&member.node);
        debug!(member = %dead.node, incarnation = %dead.incarnation, from = %dead.from, left, "dead is accepted");
        self.queue.push(Some(dead.node.clone()), Message::Dead(dead).encode(), token);
        self.emit(Event::Gone { node, left });
    }

    fn drop_suspicion(&mut self, name: &NodeName) {
        if let Some(State::Suspect(running)) = self.members.get(name).map(|member| &member.state) {
            self.suspicions.remove(&(running.0.deadline(), name.clone()));
        }
    }

    /// Replaces what was queued about a member, also if the message is one that no packet holds: the metadata that a peer
    /// announces is not bounded by ours.
    fn broadcast(&mut self, about: NodeName, message: &Message) {
        let message = message.encode();
        if message.len() > self.options.max_broadcast_bytes {
            self.queue.remove(&about);
            return self.count_drop(Drop::Oversize);
        }
        self.queue.push(Some(about), message, None);
    }
}
