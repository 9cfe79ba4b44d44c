//! The three queues of what is to be gossiped (`serf §8`).
//!
//! Intents go before queries and queries before events, so that a stream of events cannot hold up news of members.

use bytes::Bytes;

use super::Serf;
use super::drops::Drop;
use crate::swim::broadcast::{Queue, transmit_limit};

/// Queued broadcasts of each kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueDepths {
    pub intents: usize,
    pub queries: usize,
    pub events: usize,
}

impl QueueDepths {
    /// Of all kinds.
    pub const fn total(self) -> usize {
        self.intents + self.queries + self.events
    }
}

/// The queues.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    pub(crate) intents: Queue,
    pub(crate) queries: Queue,
    pub(crate) events: Queue,
}

impl Serf {
    /// Moves broadcasts into `out` until nothing more fits into `budget` bytes; each costs its length plus `overhead`.
    /// Returns what is left of the budget. The messages are without memberlist's leading `08`.
    pub fn take_broadcasts(&mut self, mut budget: usize, overhead: usize, out: &mut Vec<Bytes>) -> usize {
        let limit = transmit_limit(self.options.retransmit_mult, self.members.len());
        let Broadcasts { intents, queries, events } = &mut self.broadcasts;
        for queue in [intents, queries, events] {
            budget = queue.take(budget, overhead, limit, out);
        }
        self.note_finished_intents();
        budget
    }

    /// Queued broadcasts.
    pub fn broadcasts_pending(&self) -> usize {
        self.queue_depths().total()
    }

    /// How often the least transmitted broadcast was transmitted; `None` if nothing is queued.
    pub fn lowest_tier(&self) -> Option<u32> {
        let Broadcasts { intents, queries, events } = &self.broadcasts;
        [intents, queries, events].iter().filter_map(|queue| queue.lowest_tier()).min()
    }

    /// Bytes of the queued broadcasts.
    pub fn queued_bytes(&self) -> usize {
        let Broadcasts { intents, queries, events } = &self.broadcasts;
        intents.bytes() + queries.bytes() + events.bytes()
    }

    /// Queued broadcasts of each kind.
    pub fn queue_depths(&self) -> QueueDepths {
        let Broadcasts { intents, queries, events } = &self.broadcasts;
        QueueDepths { intents: intents.len(), queries: queries.len(), events: events.len() }
    }

    /// `token` is for intents of our own, which fit always.
    pub(super) fn broadcast_intent(&mut self, message: Bytes, token: Option<u64>) {
        if !self.fits_a_packet(&message) {
            return;
        }
        self.broadcasts.intents.push(None, message, token);
        self.prune_queue(|broadcasts| &mut broadcasts.intents);
        self.note_finished_intents();
    }

    pub(super) fn broadcast_query(&mut self, message: Bytes) {
        if self.fits_a_packet(&message) {
            self.broadcasts.queries.push(None, message, None);
            self.prune_queue(|broadcasts| &mut broadcasts.queries);
        }
    }

    pub(super) fn broadcast_event(&mut self, message: Bytes) {
        if self.fits_a_packet(&message) {
            self.broadcasts.events.push(None, message, None);
            self.prune_queue(|broadcasts| &mut broadcasts.events);
        }
    }

    fn fits_a_packet(&mut self, message: &Bytes) -> bool {
        let fits = message.len() <= self.options.max_broadcast_bytes;
        if !fits {
            self.drops.count(Drop::Oversize);
        }
        fits
    }

    /// Keeps a queue within its bound at once; the reference looks every 30 s.
    fn prune_queue(&mut self, queue: impl FnOnce(&mut Broadcasts) -> &mut Queue) {
        let limit = self.options.queue_depth_limit(self.members.len()).max(1);
        let pruned = queue(&mut self.broadcasts).prune(limit);
        self.drops.add(Drop::QueueFull, pruned as u64);
    }
}
