//! The transmit-limited broadcast queue (`memberlist §4.10`), used for membership and, three times, by the Serf layer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use bytes::Bytes;

use crate::wire::NodeName;

/// How often a message is transmitted before it is done: `mult * ceil(log10(n + 1))`, and for three to nine members as for ten.
///
/// The logarithm is the number of decimal digits of `n`, computed with integers so that it never falls one short. Each of `n`
/// members sends to random others, so a member hears a message `limit` times on average and never with a chance of about
/// `e^-limit`: with the four of the reference's small clusters that is 1.8 % of all members for each message, and nothing but
/// a push/pull, where it tells the news at all, makes up for it.
pub fn transmit_limit(mult: u32, n: usize) -> u32 {
    let digits = match n {
        0 => 0,
        1..=2 => 1,
        _ => (n.ilog10() + 1).max(2),
    };
    mult.saturating_mul(digits)
}

/// Sorts fewest transmissions first, then longest, then newest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    transmits: u32,
    size: Reverse<usize>,
    id: Reverse<u64>,
}

struct Entry {
    message: Bytes,
    key: Option<NodeName>,
    token: Option<u64>,
}

/// Without the message, which may carry a key.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} bytes, {:?}, {:?})", self.message.len(), self.key, self.token)
    }
}

/// Messages waiting to be gossiped, each a limited number of times.
///
/// A message pushed under a key replaces the one queued under it, so a queue of membership messages is bounded by the
/// number of members. Messages without a key never replace each other.
#[derive(Debug, Default)]
pub struct Queue {
    next_id: u64,
    entries: BTreeMap<Rank, Entry>,
    by_key: HashMap<NodeName, Rank>,
    finished: VecDeque<u64>,
    bytes: usize,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues `message`. `token`, if any, comes out of [`Self::next_finished`] once the message was transmitted its full
    /// number of times, replaced or pruned.
    pub fn push(&mut self, key: Option<NodeName>, message: Bytes, token: Option<u64>) {
        if let Some(replaced) = key.as_ref().and_then(|key| self.by_key.remove(key)) {
            let entry = self.detach(replaced).expect("by_key holds ranks of queued entries only");
            self.finished.extend(entry.token);
        }
        self.next_id += 1;
        let rank = Rank { transmits: 0, size: Reverse(message.len()), id: Reverse(self.next_id) };
        self.insert(rank, Entry { message, key, token });
    }

    /// Moves messages into `out` until nothing more fits into `budget` bytes, and returns what is left of it.
    ///
    /// Each costs its length plus `overhead`, and none is taken twice in one call. A message that has now been taken
    /// `limit` times is done.
    pub fn take(&mut self, mut budget: usize, overhead: usize, limit: u32, out: &mut Vec<Bytes>) -> usize {
        let mut taken = Vec::new();
        let mut tier = self.entries.first_key_value().map(|(rank, _)| rank.transmits);
        while let Some(transmits) = tier {
            while let Some(rank) = budget.checked_sub(overhead).and_then(|room| self.largest_fitting(transmits, room)) {
                let entry = self.detach(rank).expect("rank was just found");
                budget -= rank.size.0 + overhead;
                out.push(entry.message.clone());
                taken.push((rank, entry));
            }
            tier = self.next_tier(transmits);
        }
        for (rank, entry) in taken {
            if rank.transmits + 1 >= limit {
                self.finish(entry);
            } else {
                self.insert(Rank { transmits: rank.transmits + 1, ..rank }, entry);
            }
        }
        budget
    }

    /// Drops the most transmitted, then shortest, then oldest messages beyond `max`; returns how many.
    pub fn prune(&mut self, max: usize) -> usize {
        let mut pruned = 0;
        while self.entries.len() > max {
            let last = *self.entries.last_key_value().expect("the queue is longer than max").0;
            let entry = self.detach(last).expect("the last entry was just seen");
            self.finish(entry);
            pruned += 1;
        }
        pruned
    }

    /// Drops the message queued under `key`, if any.
    pub fn remove(&mut self, key: &NodeName) {
        if let Some(entry) = self.by_key.get(key).copied().and_then(|rank| self.detach(rank)) {
            self.finish(entry);
        }
    }

    /// The next token whose message is done.
    pub fn next_finished(&mut self) -> Option<u64> {
        self.finished.pop_front()
    }

    /// Number of queued messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the queued messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How often the least transmitted message was transmitted; `None` if nothing is queued.
    pub fn lowest_tier(&self) -> Option<u32> {
        self.entries.first_key_value().map(|(rank, _)| rank.transmits)
    }

    fn detach(&mut self, rank: Rank) -> Option<Entry> {
        let entry = self.entries.remove(&rank)?;
        self.bytes -= entry.message.len();
        Some(entry)
    }

    fn insert(&mut self, rank: Rank, entry: Entry) {
        self.bytes += entry.message.len();
        if let Some(key) = &entry.key {
            self.by_key.insert(key.clone(), rank);
        }
        self.entries.insert(rank, entry);
    }

    fn finish(&mut self, entry: Entry) {
        if let Some(key) = &entry.key {
            self.by_key.remove(key);
        }
        self.finished.extend(entry.token);
    }

    fn largest_fitting(&self, transmits: u32, room: usize) -> Option<Rank> {
        let from = Rank { transmits, size: Reverse(room), id: Reverse(u64::MAX) };
        let to = Rank { transmits, size: Reverse(0), id: Reverse(0) };
        self.entries.range(from..=to).next().map(|(rank, _)| *rank)
    }

    fn next_tier(&self, transmits: u32) -> Option<u32> {
        let from = Rank { transmits: transmits.checked_add(1)?, size: Reverse(usize::MAX), id: Reverse(u64::MAX) };
        self.entries.range(from..).next().map(|(rank, _)| rank.transmits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn take(queue: &mut Queue, budget: usize, limit: u32) -> Vec<Bytes> {
        let mut out = Vec::new();
        queue.take(budget, 2, limit, &mut out);
        out
    }

    #[test]
    fn transmit_limit_counts_decimal_digits_and_is_not_stingy_with_few() {
        for (n, limit) in [(0, 0), (1, 4), (2, 4), (3, 8), (9, 8), (10, 8), (99, 8), (100, 12), (999, 12), (1000, 16)] {
            assert_eq!(transmit_limit(4, n), limit, "n = {n}");
        }
    }

    #[test]
    fn newer_message_about_a_member_replaces_the_queued_one() {
        let mut queue = Queue::new();
        queue.push(Some(name("a")), Bytes::from_static(b"old"), Some(1));
        queue.push(Some(name("a")), Bytes::from_static(b"new"), Some(2));
        assert_eq!(queue.next_finished(), Some(1));
        assert_eq!(take(&mut queue, 100, 4), [Bytes::from_static(b"new")]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn largest_that_fits_goes_first_and_none_twice_in_a_packet() {
        let mut queue = Queue::new();
        for message in [&b"1"[..], b"4444", b"22", b"88888888"] {
            queue.push(None, Bytes::copy_from_slice(message), None);
        }
        // 8+2 does not fit beside 4+2 in 12; 4+2, then 2+2, then nothing for 1+2 in the remaining 2.
        assert_eq!(take(&mut queue, 12, 4), [&b"88888888"[..]]);
        assert_eq!(take(&mut queue, 13, 4), [&b"4444"[..], b"22", b"1"]);
    }

    #[test]
    fn less_transmitted_tiers_go_first() {
        let mut queue = Queue::new();
        queue.push(None, Bytes::from_static(b"a"), None);
        assert_eq!(take(&mut queue, 100, 4), [&b"a"[..]]);
        queue.push(None, Bytes::from_static(b"b"), None);
        assert_eq!(take(&mut queue, 3, 4), [&b"b"[..]]);
    }

    #[test]
    fn message_is_done_after_its_limit() {
        let mut queue = Queue::new();
        queue.push(None, Bytes::from_static(b"a"), Some(7));
        assert_eq!(take(&mut queue, 100, 2).len(), 1);
        assert_eq!(queue.next_finished(), None);
        assert_eq!(take(&mut queue, 100, 2).len(), 1);
        assert_eq!(queue.next_finished(), Some(7));
        assert!(queue.is_empty());
    }

    #[test]
    fn pruning_drops_the_most_transmitted_first() {
        let mut queue = Queue::new();
        queue.push(None, Bytes::from_static(b"old"), Some(1));
        take(&mut queue, 100, 4);
        queue.push(None, Bytes::from_static(b"new"), Some(2));
        assert_eq!(queue.prune(1), 1);
        assert_eq!(queue.next_finished(), Some(1));
        assert_eq!(queue.lowest_tier(), Some(0));
    }
}
