//! Serf's messages (`serf §3`): type byte and one msgpack map each, carried as memberlist user messages.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

mod coordinate;
mod keys;
mod message;
mod state;
mod tags;

pub use keys::NOT_KEPT;
pub use tags::{decode_tags, encode_role, encode_tags};

/// The type bytes.
pub(crate) mod kind {
    pub(crate) const LEAVE: u8 = 0;
    pub(crate) const JOIN: u8 = 1;
    pub(crate) const PUSH_PULL: u8 = 2;
    pub(crate) const USER_EVENT: u8 = 3;
    pub(crate) const QUERY: u8 = 4;
    pub(crate) const QUERY_RESPONSE: u8 = 5;
    pub(crate) const CONFLICT: u8 = 6;
    pub(crate) const KEY_REQUEST: u8 = 7;
    pub(crate) const KEY_RESPONSE: u8 = 8;
    pub(crate) const RELAY: u8 = 9;
}

/// A member's tags, decoded from its metadata (`serf §2.1`).
pub type Tags = BTreeMap<String, String>;

/// A moment on a Serf logical clock. Counts events, not seconds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LamportTime(pub u64);

/// Type 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaveIntent {
    pub ltime: LamportTime,
    pub node: String,
    pub prune: bool,
}

/// Type 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinIntent {
    pub ltime: LamportTime,
    pub node: String,
}

/// Type 2, the user state of a push/pull.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PushPullState {
    pub ltime: LamportTime,
    pub status_ltimes: BTreeMap<String, LamportTime>,
    pub left_members: Vec<String>,
    pub event_ltime: LamportTime,
    /// Non-nil slots only; weir sends them dense.
    pub events: Vec<RecentEvents>,
    pub query_ltime: LamportTime,
}

/// The user events of one Lamport time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecentEvents {
    pub ltime: LamportTime,
    /// Name and payload.
    pub events: Vec<(String, Bytes)>,
}

/// Type 3.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserEvent {
    pub ltime: LamportTime,
    pub name: String,
    pub payload: Bytes,
    pub coalesce: bool,
}

/// One filter of a query (`serf §6.2`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    Nodes(Vec<String>),
    Tag {
        tag: String,
        expr: String,
    },
    /// Empty, undecodable or of an unknown type: fails. The bytes are kept so that the message is passed on unchanged, but
    /// a query with an empty filter is never passed on at all: it crashes real agents.
    Unknown(Bytes),
}

/// Type 4. Its `Debug` does not show the payload, which may be a key.
#[derive(Clone, Eq, PartialEq)]
pub struct Query {
    pub ltime: LamportTime,
    pub id: u32,
    /// Where answers go.
    pub addr: SocketAddr,
    /// Empty from older senders.
    pub source_node: String,
    pub filters: Vec<Filter>,
    /// Bit 0: an ack is wanted.
    pub ack: bool,
    /// Bit 1: do not pass on.
    pub no_broadcast: bool,
    pub relay_factor: u8,
    pub timeout: Duration,
    pub name: String,
    pub payload: Bytes,
}

/// Type 5. Its `Debug` does not show the payload, which may be a list of keys.
#[derive(Clone, Eq, PartialEq)]
pub struct QueryResponse {
    pub ltime: LamportTime,
    pub id: u32,
    pub from: String,
    /// An ack; else a response.
    pub ack: bool,
    pub payload: Bytes,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("ltime", &self.ltime)
            .field("id", &self.id)
            .field("addr", &self.addr)
            .field("source_node", &self.source_node)
            .field("name", &self.name)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for QueryResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryResponse")
            .field("ltime", &self.ltime)
            .field("id", &self.id)
            .field("from", &self.from)
            .field("ack", &self.ack)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Type 9: header, then the complete inner message, which `Debug` does not show.
#[derive(Clone, Eq, PartialEq)]
pub struct Relay {
    pub dest: SocketAddr,
    pub dest_name: String,
    pub inner: Bytes,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dest, dest_name, inner } = self;
        write!(f, "Relay({dest}, {dest_name:?}, {} bytes)", inner.len())
    }
}

/// A Serf message that travels as a memberlist user message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SerfMessage {
    Leave(LeaveIntent),
    Join(JoinIntent),
    UserEvent(UserEvent),
    Query(Query),
    QueryResponse(QueryResponse),
    Relay(Relay),
}

/// A network coordinate (`serf §10`). Components in seconds; `error` has no unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinate {
    pub vec: Vec<f64>,
    pub error: f64,
    pub adjustment: f64,
    pub height: f64,
}

/// Type 6's record of a disputed member; inside a query response's payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConflictMember {
    pub name: String,
    pub addr: SocketAddr,
    pub tags: Tags,
    /// 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
    pub versions: super::message::Versions,
}

/// Type 7, the payload of a key query. Its `Debug` does not show the key.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KeyRequest {
    /// Raw key bytes; empty for list-keys.
    pub key: zeroize::Zeroizing<Vec<u8>>,
    /// The rotation ballot of `protocols B.2`; unknown to real agents, which skip it.
    pub rot: Option<[u8; 12]>,
}

/// Type 8, the answer to a key query. Its `Debug` shows no key.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KeyResponse {
    pub result: bool,
    pub message: String,
    /// Base64; list-keys only.
    pub keys: Vec<String>,
    /// Base64; list-keys only, missing from older senders.
    pub primary_key: String,
    pub rot: Option<[u8; 12]>,
}
