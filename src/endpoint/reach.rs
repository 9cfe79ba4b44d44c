//! Pings that an operator asked for, beside the regular probes: does a member answer by UDP?

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Instant;
use crate::wire::NodeName;

use super::{Endpoint, Output};

/// An ack that comes later answers nothing.
const MEMORY: Duration = Duration::from_secs(10);
/// Pings that may be outstanding at once.
const MAX_OUTSTANDING: usize = 1024;

/// Pings under way, by the number their ack will carry.
#[derive(Debug, Default)]
pub(super) struct Reaching(HashMap<u32, (NodeName, Instant)>);

impl Reaching {
    /// Remembers a ping. False if there are too many already.
    fn sent(&mut self, seq_no: u32, name: &NodeName, now: Instant) -> bool {
        if self.0.len() >= MAX_OUTSTANDING {
            self.0.retain(|_, (_, at)| now.since(*at) < MEMORY);
        }
        let room = self.0.len() < MAX_OUTSTANDING;
        if room {
            self.0.insert(seq_no, (name.clone(), now));
        }
        room
    }

    /// The last ping to `name` that is unanswered.
    fn unanswered(&self, name: &NodeName) -> Option<u32> {
        let to = self.0.iter().filter(|(_, (to, _))| to == name);
        to.max_by_key(|(_, (_, at))| *at).map(|(seq_no, _)| *seq_no)
    }

    /// Whose ping an ack answers, and after how long.
    pub(super) fn acked(&mut self, seq_no: u32, now: Instant) -> Option<(NodeName, Duration)> {
        let (name, at) = self.0.remove(&seq_no)?;
        let took = now.since(at);
        (took < MEMORY).then_some((name, took))
    }
}

impl Endpoint {
    /// Pings a member of the table, whatever its state; [`Output::Reached`] tells of its ack, and nothing follows from
    /// silence. Again while the last ping is unanswered, it goes in every envelope that the member may open. False if there is
    /// no such member.
    pub fn reach(&mut self, now: Instant, name: &NodeName) -> bool {
        let Some(addr) = self.swim.member(name).map(|member| member.node.addr) else { return false };
        let late = self.reaching.unanswered(name);
        let ping = self.swim.ping_to(name);
        if !self.reaching.sent(ping.seq_no, name, now) {
            return false;
        }
        self.send_ping(now, addr, name, ping, Vec::new(), false);
        if let Some(late) = late {
            // As for a late probe: what is known of its envelope may be of an earlier process.
            self.send_fallbacks(now, addr, name, late);
        }
        self.settle(now);
        true
    }

    /// An ack that no probe waits for. Whether it answers a ping of [`Self::reach`].
    pub(super) fn reached(&mut self, seq_no: u32, now: Instant) -> bool {
        let Some((member, took)) = self.reaching.acked(seq_no, now) else { return false };
        self.outputs.push_back(Output::Reached { member, took });
        true
    }
}
