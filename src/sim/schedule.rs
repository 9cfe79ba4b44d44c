//! What will happen, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use crate::endpoint::StreamError;
use crate::time::Instant;

use super::NodeId;
use super::stream::{ConnectionId, End};

/// Something that reaches a host.
#[derive(Debug)]
pub(super) enum Arrival {
    Datagram { from: SocketAddr, payload: Vec<u8> },
    Connect(ConnectionId),
    Connected(ConnectionId),
    Data { connection: ConnectionId, to: End, bytes: Vec<u8> },
    Ended { connection: ConnectionId, to: End, error: Option<StreamError> },
}

#[derive(Debug)]
pub(super) enum Happening {
    Timer(NodeId),
    Arrival(NodeId, Arrival),
}

/// The future. What was scheduled first for a moment happens first.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    order: u64,
    heap: BinaryHeap<Reverse<Scheduled>>,
}

impl Schedule {
    pub(super) fn push(&mut self, at: Instant, what: Happening) {
        self.order += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.order, what }));
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Happening)> {
        self.heap.pop().map(|Reverse(next)| (next.at, next.what))
    }
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    order: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
