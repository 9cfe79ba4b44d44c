//! Passing on answers for others, and through others (`serf §6.6`).
//!
//! The reference forwards anything to anywhere. Here only query responses are passed on, only to members, and only so many.

use std::net::SocketAddr;

use rand::seq::IteratorRandom;

use super::drops::Drop;
use super::output::Output;
use super::query::RespondError;
use super::{Serf, Status};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{QueryResponse, Relay, SerfMessage};

/// Relays forwarded per second for others.
pub const RELAYS_PER_SECOND: u64 = 256;

/// Answers per second to queries whose origin is no member.
pub const STRANGER_REPLIES_PER_SECOND: u64 = 16;

/// memberlist protocol from which on the reference takes a member for one that relays; Serf's protocol 5 is meant.
const RELAYING_PROTOCOL: u8 = 5;

/// A budget that refills evenly and holds what one second brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    interval: u64,
    capacity: u64,
    /// Refilled up to here.
    level_at: Instant,
    level: u64,
}

impl Bucket {
    pub(crate) fn per_second(rate: u64) -> Self {
        Self { interval: 1_000_000_000 / rate.max(1), capacity: rate, level_at: Instant::ZERO, level: rate }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let refills = now.as_nanos().saturating_sub(self.level_at.as_nanos()) / self.interval;
        self.level = self.level.saturating_add(refills).min(self.capacity);
        self.level_at = Instant::from_nanos(self.level_at.as_nanos() + refills * self.interval);
        let there = self.level > 0;
        self.level = self.level.saturating_sub(1);
        there
    }
}

impl Serf {
    /// A member asks us to pass something on.
    pub(super) fn handle_relay(&mut self, now: Instant, relay: &Relay) {
        if relay.inner.len() > self.options.query_response_size_limit {
            return self.drops.count(Drop::RelayContent);
        }
        let Ok(SerfMessage::QueryResponse(response)) = SerfMessage::decode(&relay.inner) else {
            return self.drops.count(Drop::RelayContent);
        };
        if relay.dest == self.local.addr {
            return self.handle_response(now, response);
        }
        if self.members.by_addr(relay.dest).is_none_or(|member| !member.status.is_present()) {
            return self.drops.count(Drop::RelayTarget);
        }
        if !self.relays.take(now) {
            return self.drops.count(Drop::RelayRate);
        }
        let node = NodeName::new(&relay.dest_name);
        self.outputs.push_back(Output::SendUser { to: relay.dest, node, message: relay.inner.clone() });
    }

    /// Sends an ack or response to who asked: directly, and through `relay_factor` others.
    pub(super) fn send_answer(
        &mut self,
        now: Instant,
        to: &Origin,
        response: QueryResponse,
    ) -> Result<(), RespondError> {
        let message = SerfMessage::QueryResponse(response.clone()).encode();
        let limit = self.options.query_response_size_limit;
        if message.len() > limit {
            return Err(RespondError::TooLarge { limit });
        }
        if to.addr == self.local.addr {
            self.handle_response(now, response);
        } else if self.members.by_addr(to.addr).is_some() || self.stranger_replies.take(now) {
            let node = NodeName::new(&to.name);
            self.outputs.push_back(Output::SendUser { to: to.addr, node, message: message.clone() });
            self.send_relays(to, message);
        } else {
            self.drops.count(Drop::ReplyRate);
        }
        Ok(())
    }

    fn send_relays(&mut self, to: &Origin, inner: bytes::Bytes) {
        let count = usize::from(to.relay_factor);
        if count == 0 || self.members.len() <= count {
            return;
        }
        let wrapped = SerfMessage::Relay(Relay { dest: to.addr, dest_name: to.name.clone(), inner }).encode();
        if wrapped.len() > self.options.query_response_size_limit {
            return self.drops.count(Drop::RelaySize);
        }
        let relays = self.members.iter().filter(|member| {
            member.status == Status::Alive
                && member.node.versions.protocol_max() >= RELAYING_PROTOCOL
                && member.node.name != self.local.name
        });
        for member in relays.sample(&mut self.rng, count) {
            let node = Some(member.node.name.clone());
            self.outputs.push_back(Output::SendUser { to: member.node.addr, node, message: wrapped.clone() });
        }
    }
}

/// Where the answers to a query go.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    /// Empty from older senders.
    pub(crate) name: String,
    pub(crate) relay_factor: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_a_second_of_burst() {
        let mut bucket = Bucket::per_second(4);
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        // time in ms, there
        for (now, there) in
            [(0, true), (0, true), (0, true), (0, true), (0, false), (249, false), (250, true), (250, false)]
        {
            assert_eq!(bucket.take(at(now)), there, "at {now}");
        }
        assert!((0..4).all(|_| bucket.take(at(60_000))), "full again");
        assert!(!bucket.take(at(60_000)), "and not more than full");
        assert!(!bucket.take(at(0)), "a clock that runs back gives nothing");
    }
}
