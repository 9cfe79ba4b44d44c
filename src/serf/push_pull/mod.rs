//! The user state of a push/pull: what we tell, and what we take from it (`serf §3.2, §4.7`).

use bytes::Bytes;

use super::Serf;
use super::clock::LamportTime;
use super::drops::Drop;
use super::member::Status;
use crate::time::Instant;
use crate::wire::serf::{PushPullState, RecentEvents, UserEvent};

/// Bytes of user events told in one push/pull, the newest first. Rarely reached: it is a thousand events of the largest
/// usual size.
pub const MAX_STATE_EVENT_BYTES: usize = 512 * 1024;

/// A push/pull that belongs to a join.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JoinKind {
    /// We started it.
    pub ours: bool,
    /// Do not replay the user events of before the join.
    pub ignore_old: bool,
}

impl Serf {
    /// Our own state, encoded.
    pub fn local_state(&self) -> Bytes {
        let member_time = |member: &super::Member| (member.node.name.as_str().to_owned(), member.status_ltime);
        let left = self.members.departed().filter(|member| member.status == Status::Left);
        PushPullState {
            ltime: self.member_clock.time(),
            status_ltimes: self.members.iter().map(member_time).collect(),
            left_members: left.map(|member| member.node.name.as_str().to_owned()).collect(),
            event_ltime: self.event_clock.time(),
            events: self.recent_events(),
            query_ltime: self.query_clock.time(),
        }
        .encode()
    }

    /// The newest user events that fit, oldest first, so that they are taken in the order they were sent.
    fn recent_events(&self) -> Vec<RecentEvents> {
        let mut bytes = 0;
        let slots = self.events.newest_first().into_iter().take_while(|slot| {
            bytes += slot.bytes();
            bytes <= MAX_STATE_EVENT_BYTES
        });
        let mut events: Vec<_> =
            slots.map(|slot| RecentEvents { ltime: slot.ltime, events: slot.items.clone() }).collect();
        events.reverse();
        events
    }

    /// Takes another's state. `swim` has taken the node list before, so the members exist by now. Nothing is passed on.
    pub fn merge_state(&mut self, now: Instant, state: &[u8], join: Option<JoinKind>) {
        let Ok(state) = PushPullState::decode(state) else {
            return self.drops.count(if state.is_empty() { Drop::Empty } else { Drop::Undecodable });
        };
        self.witness_clocks(&state);
        self.merge_members(now, &state);
        if join.is_some_and(|join| join.ours && join.ignore_old) && state.event_ltime.is_plausible() {
            self.event_min = self.event_min.max(state.event_ltime);
        }
        for slot in state.events {
            for (name, payload) in slot.events {
                // Whether it may be coalesced is not told in a push/pull.
                let taken = self.take_event(now, UserEvent { ltime: slot.ltime, name, payload, coalesce: false });
                self.note_merged(taken);
            }
        }
    }

    /// The clocks hold the next time to use, so one less was seen.
    fn witness_clocks(&mut self, state: &PushPullState) {
        let mut implausible = 0;
        for (clock, time) in [
            (&mut self.member_clock, state.ltime),
            (&mut self.event_clock, state.event_ltime),
            (&mut self.query_clock, state.query_ltime),
        ] {
            if time > LamportTime::ZERO && !(time.is_plausible() && clock.witness(time.previous())) {
                implausible += 1;
            }
        }
        self.drops.add(Drop::ImplausibleTime, implausible);
    }

    fn merge_members(&mut self, now: Instant, state: &PushPullState) {
        for node in &state.left_members {
            if self.is_back(node) {
                continue;
            }
            // The time of the leave is not told; it must be newer than the status to count.
            let known = state.status_ltimes.get(node).copied().unwrap_or_default();
            let ltime = if known.is_plausible() { known.next() } else { known };
            let taken = self.take_leave_intent(now, node, ltime, false);
            self.note_merged(taken.map(drop));
        }
        let left: std::collections::BTreeSet<&String> = state.left_members.iter().collect();
        for (node, ltime) in state.status_ltimes.iter().filter(|(node, _)| !left.contains(node)) {
            let taken = self.take_join_intent(now, node, *ltime);
            self.note_merged(taken.map(drop));
        }
    }

    /// Whether a member that another holds to have left is there. `swim` has merged the node list before and still sees it,
    /// so it came back, and the other has not heard yet. To the reference such a member is leaving, by a time that it may
    /// never contradict.
    fn is_back(&self, name: &str) -> bool {
        name != self.local.name.as_str() && self.members.get(name).is_some_and(|member| member.status == Status::Alive)
    }

    /// Most of a push/pull is known already; only the rest of what is not taken counts.
    fn note_merged(&mut self, taken: Result<(), Drop>) {
        match taken {
            Ok(()) | Err(Drop::SeenIntent | Drop::Duplicate | Drop::BeforeStart | Drop::TooOld) => {}
            Err(reason) => self.drops.count(reason),
        }
    }
}

#[cfg(test)]
mod tests;
