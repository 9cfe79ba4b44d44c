//! memberlist's messages (`memberlist §2`): type byte and one msgpack map each.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use super::NodeName;

mod decode;
mod encode;

pub(in crate::wire) use decode::AliveFields;
pub use decode::MAX_META_BYTES;

/// The type bytes, of layers too.
pub(crate) mod kind {
    pub(crate) const PING: u8 = 0;
    pub(crate) const INDIRECT_PING: u8 = 1;
    pub(crate) const ACK: u8 = 2;
    pub(crate) const SUSPECT: u8 = 3;
    pub(crate) const ALIVE: u8 = 4;
    pub(crate) const DEAD: u8 = 5;
    pub(crate) const PUSH_PULL: u8 = 6;
    pub(crate) const COMPOUND: u8 = 7;
    pub(crate) const USER: u8 = 8;
    pub(crate) const COMPRESS: u8 = 9;
    pub(crate) const ENCRYPT: u8 = 10;
    pub(crate) const NACK: u8 = 11;
    pub(crate) const CRC: u8 = 12;
    pub(crate) const ERROR: u8 = 13;
    pub(crate) const LABEL: u8 = 244;
}

/// The six protocol version bytes of a member, `[pmin, pmax, pcur, dmin, dmax, dcur]`: memberlist's, then Serf's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Versions(pub [u8; 6]);

impl Versions {
    /// What weir announces: memberlist 1..=5 speaking 2, Serf 2..=5 speaking 5.
    pub const OURS: Self = Self([1, 5, 2, 2, 5, 5]);
    /// Of somebody who did not say.
    pub const UNKNOWN: Self = Self([0; 6]);

    /// Highest memberlist protocol understood.
    pub const fn protocol_max(self) -> u8 {
        self.0[1]
    }
}

/// The number of a ping, under which its ack or nack comes back. Drawn at random: it has no order that means anything.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SeqNo(u32);

impl SeqNo {
    /// As drawn, or as it stands on the wire.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// For the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The version of what is said of a member. Only the member raises its own, to refute or to announce new metadata
/// (`SWIM §4.2`).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Incarnation(u32);

impl Incarnation {
    /// Below every one that a member announces.
    pub const ZERO: Self = Self(0);
    /// That of a member without an earlier run.
    pub const FIRST: Self = Self(1);

    /// As it stands on the wire or in a snapshot.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// For the wire, snapshots and logs.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The one above; the highest stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How far this is above `held`; 0 if it is not.
    pub const fn steps_above(self, held: Self) -> u32 {
        self.0.saturating_sub(held.0)
    }

    /// How often it can be raised.
    pub const fn steps_left(self) -> u32 {
        u32::MAX - self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who asks, as written into a ping: the address that the answer should go to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Source {
    /// Present if both `SourceAddr` and `SourcePort` were; its port is not 0.
    pub addr: Option<SocketAddr>,
    /// `SourceNode`.
    pub node: Option<NodeName>,
}

/// Type 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ping {
    pub seq_no: SeqNo,
    /// Intended receiver; `None` if empty.
    pub node: Option<NodeName>,
    pub source: Source,
    /// The extra map field `Weir` of `session §6`, as received; unknown to real agents, which skip it.
    pub weir: Option<Bytes>,
}

/// Type 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IndirectPing {
    pub seq_no: SeqNo,
    /// Port 0 means the receiver's own bind port.
    pub target: SocketAddr,
    pub node: NodeName,
    pub nack: bool,
    pub source: Source,
}

/// Type 2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ack {
    pub seq_no: SeqNo,
    /// Serf's coordinate; empty if none.
    pub payload: Bytes,
    /// See [`Ping::weir`].
    pub weir: Option<Bytes>,
}

/// Type 3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suspect {
    pub incarnation: Incarnation,
    pub node: NodeName,
    pub from: NodeName,
}

/// Type 4, and an alive entry of a push/pull.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alive {
    pub incarnation: Incarnation,
    pub node: NodeName,
    /// IPv4-mapped IPv6 is normalised to IPv4. Port 0 is kept; the endpoint replaces it by its own bind port.
    pub addr: SocketAddr,
    pub meta: Bytes,
    pub versions: Versions,
}

/// Type 5.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dead {
    pub incarnation: Incarnation,
    pub node: NodeName,
    pub from: NodeName,
}

/// One message of a packet, after label, encryption, CRC, compression and compound have been taken off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    Ping(Ping),
    IndirectPing(IndirectPing),
    Ack(Ack),
    /// Type 11; the requester's sequence number.
    Nack(SeqNo),
    Suspect(Suspect),
    Alive(Alive),
    Dead(Dead),
    /// Type 8: everything after the type byte.
    User(Bytes),
}

/// State of a push/pull entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NodeState {
    Alive = 0,
    Suspect = 1,
    Dead = 2,
    Left = 3,
}

/// One entry of a push/pull's node list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PushNode {
    pub alive: Alive,
    pub state: NodeState,
}

/// Type 6, a stream: node list and the upper layer's user state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PushPull {
    pub join: bool,
    pub nodes: Vec<PushNode>,
    /// Entries that were skipped because they had no usable name, address, versions or state.
    pub skipped: usize,
    /// Where a member is whose name is too long, and its bytes; of several the last.
    pub long_name: Option<(SocketAddr, usize)>,
    pub user_state: Bytes,
}

/// One whole exchange direction of a stream, after label, encryption and compression have been taken off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamMessage {
    Ping(Ping),
    Ack(Ack),
    PushPull(PushPull),
    User(Bytes),
    /// Type 13: why the other side could not read us.
    Error(String),
}
