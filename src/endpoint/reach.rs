//! Pings that an operator asked for, beside the regular probes: does a member answer by UDP?

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::SeqNo;

use super::{Endpoint, Output};

/// An ack that comes later answers nothing.
const MEMORY: Duration = Duration::from_secs(10);
/// Pings that may be outstanding at once.
pub const MAX_OUTSTANDING: usize = 4096;

/// Pings under way.
#[derive(Debug, Default)]
pub(super) struct Reaching {
    /// By the number their ack will carry.
    sent: HashMap<SeqNo, (NodeName, Instant)>,
    /// The last of each member.
    last: HashMap<NodeName, SeqNo>,
}

impl Reaching {
    /// Remembers a ping. False if there are too many already.
    fn sent(&mut self, seq_no: SeqNo, name: &NodeName, now: Instant) -> bool {
        if self.sent.len() >= MAX_OUTSTANDING {
            self.sent.retain(|_, (_, at)| now.since(*at) < MEMORY);
            self.last.retain(|_, seq_no| self.sent.contains_key(seq_no));
        }
        let room = self.sent.len() < MAX_OUTSTANDING;
        if room {
            self.sent.insert(seq_no, (name.clone(), now));
            self.last.insert(name.clone(), seq_no);
        }
        room
    }

    /// The last ping to `name` that is unanswered.
    fn unanswered(&self, name: &NodeName) -> Option<SeqNo> {
        self.last.get(name).copied()
    }

    /// Whose ping an ack answers, and after how long.
    pub(super) fn acked(&mut self, seq_no: SeqNo, now: Instant) -> Option<(NodeName, Duration)> {
        let (name, at) = self.sent.remove(&seq_no)?;
        if self.last.get(&name) == Some(&seq_no) {
            self.last.remove(&name);
        }
        let took = now.since(at);
        (took < MEMORY).then_some((name, took))
    }
}

impl Endpoint {
    /// Pings a member of the table, whatever its state; [`Output::Reached`] tells of its ack, and nothing follows from
    /// silence. Again while the last ping is unanswered, it goes in every envelope that the member may open. False if
    /// nothing was sent: there is no such member, or [`MAX_OUTSTANDING`] pings are unanswered.
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
    pub(super) fn reached(&mut self, seq_no: SeqNo, now: Instant) -> bool {
        let Some((member, took)) = self.reaching.acked(seq_no, now) else { return false };
        self.outputs.push_back(Output::Reached { member, took });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_beyond_the_bound_are_not_sent_until_old_ones_are_forgotten() {
        let name = |index: u32| NodeName::new(&format!("m{index}")).unwrap();
        let now = Instant::from_nanos(1);
        let mut reaching = Reaching::default();
        let all = u32::try_from(MAX_OUTSTANDING).unwrap();
        assert!((0..all).all(|seq_no| reaching.sent(SeqNo::new(seq_no), &name(seq_no % 256), now)));
        assert!(!reaching.sent(SeqNo::new(all), &name(7), now));
        assert_eq!(reaching.unanswered(&name(7)), Some(SeqNo::new(all - 256 + 7)));
        assert_eq!(reaching.acked(SeqNo::new(all - 256 + 7), now), Some((name(7), Duration::ZERO)));
        assert_eq!(reaching.unanswered(&name(7)), None);
        assert!(reaching.sent(SeqNo::new(all), &name(300), now));
        assert!(!reaching.sent(SeqNo::new(all + 1), &name(301), now));
        assert!(reaching.sent(SeqNo::new(all + 1), &name(301), now + MEMORY));
        assert_eq!((reaching.sent.len(), reaching.last.len()), (1, 1));
    }
}
