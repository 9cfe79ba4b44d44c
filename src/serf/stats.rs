//! Figures for `stats`, `info` and metrics.

use super::broadcast::QueueDepths;
use super::clock::LamportTime;
use super::drops::Drops;
use super::{SeenClocks, Serf, Status};

/// The state of the Serf layer in numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Members known, of every status.
    pub members: usize,
    pub failed: usize,
    pub left: usize,
    pub member_time: LamportTime,
    pub event_time: LamportTime,
    pub query_time: LamportTime,
    pub queues: QueueDepths,
    /// `None` if coordinates are disabled.
    pub coordinate_resets: Option<u64>,
    pub drops: Drops,
}

impl Serf {
    /// The state of the Serf layer in numbers.
    pub fn stats(&self) -> Stats {
        let count = |status| self.members.departed().filter(|member| member.status == status).count();
        Stats {
            members: self.members.len(),
            failed: count(Status::Failed),
            left: count(Status::Left),
            member_time: self.member_clock.time(),
            event_time: self.event_clock.time(),
            query_time: self.query_clock.time(),
            queues: self.queue_depths(),
            coordinate_resets: self.coordinates.as_ref().map(super::coordinate::Client::resets),
            drops: self.drops.clone(),
        }
    }

    /// How often remote input was dropped, by reason.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// What a snapshot keeps of the clocks: the last times seen, delivered and passed by filters.
    pub fn seen_clocks(&self) -> SeenClocks {
        SeenClocks { member: self.member_clock.time().previous(), event: self.seen_event, query: self.seen_query }
    }
}
