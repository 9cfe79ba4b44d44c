//! A machine of the simulation: an endpoint, if it is running, and what its kernel holds for it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use crate::endpoint::{Endpoint, StreamId};
use crate::time::Instant;
use crate::wire::NodeName;

use super::schedule::Arrival;
use super::stream::ConnectionId;

/// Datagrams that a paused node's socket holds before the rest is lost.
const SOCKET_BUFFER: usize = 512;

/// What works of a node's own connection to the network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Uplink {
    /// Everything.
    #[default]
    Sound,
    /// Nothing that it sends arrives.
    Mute,
    /// Nothing arrives at it.
    Deaf,
    /// Streams work, datagrams do not: a half-open firewall.
    NoDatagrams,
}

impl Uplink {
    /// Whether what it sends leaves its machine.
    pub(super) fn sends(self, datagram: bool) -> bool {
        match self {
            Self::Sound | Self::Deaf => true,
            Self::Mute => false,
            Self::NoDatagrams => !datagram,
        }
    }

    /// Whether what is sent to it gets there.
    pub(super) fn hears(self, datagram: bool) -> bool {
        match self {
            Self::Sound | Self::Mute => true,
            Self::Deaf => false,
            Self::NoDatagrams => !datagram,
        }
    }
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) addr: SocketAddr,
    pub(super) name: NodeName,
    pub(super) endpoint: Option<Endpoint>,
    /// The moment of its newest timer event; older ones are void.
    pub(super) timer: Option<Instant>,
    pub(super) paused: bool,
    /// What arrived during a pause.
    pub(super) held: VecDeque<Arrival>,
    held_datagrams: usize,
    /// Nodes of different groups cannot reach each other.
    pub(super) group: u32,
    pub(super) uplink: Uplink,
    /// When the last of the datagrams sent to it arrives.
    pub(super) last_arrival: Instant,
    pub(super) streams: HashMap<StreamId, ConnectionId>,
    /// How often it was started; connections of an earlier life are void.
    pub(super) life: u32,
}

impl Host {
    pub(super) fn new(name: NodeName, addr: SocketAddr) -> Self {
        Self {
            addr,
            name,
            endpoint: None,
            timer: None,
            paused: false,
            held: VecDeque::new(),
            held_datagrams: 0,
            group: 0,
            uplink: Uplink::Sound,
            last_arrival: Instant::ZERO,
            streams: HashMap::new(),
            life: 0,
        }
    }

    /// Keeps what arrives during a pause. False if the buffer is full and it is lost.
    pub(super) fn hold(&mut self, arrival: Arrival) -> bool {
        let datagram = matches!(arrival, Arrival::Datagram { .. });
        if datagram && self.held_datagrams >= SOCKET_BUFFER {
            return false;
        }
        self.held_datagrams += usize::from(datagram);
        self.held.push_back(arrival);
        true
    }

    /// What was held.
    pub(super) fn release(&mut self) -> VecDeque<Arrival> {
        self.held_datagrams = 0;
        std::mem::take(&mut self.held)
    }
}
