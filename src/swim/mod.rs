//! SWIM with Lifeguard as memberlist speaks it: who is alive.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::wire::NodeName;
use crate::wire::message::Versions;

/// What a member says of itself: everything but its state. Shared between the layers and, in a simulation, between nodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    pub name: NodeName,
    pub addr: SocketAddr,
    pub meta: Bytes,
    pub versions: Versions,
}

/// A change that the layer above must know of, in the order it happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Became alive after it was unknown, dead or left.
    Joined(std::sync::Arc<Node>),
    /// Alive; metadata or versions or address changed.
    Updated(std::sync::Arc<Node>),
    /// Suspected, or cleared of a suspicion; Serf knows no such state, upstreams do.
    Suspected(NodeName),
    Cleared(NodeName),
    /// Dead, or left by its own word (`left`).
    Gone {
        node: std::sync::Arc<Node>,
        left: bool,
    },
    /// Forgotten: a dead or left record was purged.
    Purged(NodeName),
    /// `other` claims a name that is held at another address.
    Conflict {
        name: NodeName,
        other: SocketAddr,
    },
}
