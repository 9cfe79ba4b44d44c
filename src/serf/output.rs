//! What the Serf layer tells its driver and the application.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::clock::LamportTime;
use super::conflict::ConflictOutcome;
use super::keys::{Ballot, KeyOp};
use super::leave::ForceLeaveError;
use super::member::{Difference, Member};
use super::tally::KeyOutcome;
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::UserEvent;

/// Something to be done or known outside, in the order it happened.
#[derive(Clone, Debug)]
pub enum Output {
    /// One user message in one datagram; the message is without memberlist's leading `08`. Never to our own address.
    SendUser { to: SocketAddr, node: Option<NodeName>, message: Bytes },
    /// A change of the member table, as it happens.
    Member(MemberEvent),
    /// A member announced its leave, or took that back. Serf has no event for it.
    Leaving { member: NodeName, leaving: bool },
    /// What the application subscribes to, after coalescing.
    Event(Event),
    /// An answer to a query of ours, or its end.
    Query(QueryOutput),
    /// Dial this failed member: a push/pull without a join intent afterwards.
    Reconnect(Arc<Node>),
    /// User events went past us: exchange state with somebody soon, who may have them.
    MissedEvents,
    /// The leave intent was sent its full number of times, or the wait is over, or nobody is there to hear it.
    LeaveBroadcastDone,
    /// The same for a force-leave.
    ForceLeaveDone { name: NodeName, result: Result<(), ForceLeaveError> },
    /// Apply `op` to the keyring, keep `ballot` if there is one, both synced to disk, then call
    /// [`Serf::keyring_answer`](super::Serf::keyring_answer).
    Keyring { query: QueryKey, op: KeyOp, ballot: Option<Ballot>, from: String },
    /// A key request of ours has ended.
    Keys { query: QueryKey, outcome: KeyOutcome },
    /// News of the vote about our name.
    Conflict(ConflictOutcome),
    /// Whoever is at `other` claims the name of another member.
    NameClaimed { name: NodeName, other: SocketAddr },
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MemberEventKind {
    Join,
    /// It said so, or was force-left.
    Leave,
    Failed,
    /// Tags, address or versions changed.
    Update,
    /// Forgotten, by its timeout or pruned.
    Reap,
}

impl MemberEventKind {
    /// The event's name in Serf's interfaces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "member-join",
            Self::Leave => "member-leave",
            Self::Failed => "member-failed",
            Self::Update => "member-update",
            Self::Reap => "member-reap",
        }
    }
}

/// One member's change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberEvent {
    pub kind: MemberEventKind,
    /// The member after the change; for a reap, as it last was.
    pub member: Member,
    /// The member before the change; `None` of a newcomer, and for a reap.
    pub before: Option<Member>,
}

impl MemberEvent {
    /// What the member says of itself and did not say before; nothing of a newcomer.
    pub fn differences(&self) -> Vec<Difference> {
        let before = self.before.as_ref();
        before.map(|before| Difference::between(&before.node, &self.member.node)).unwrap_or_default()
    }
}

/// An event as applications, handlers and streams see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// One kind of change, of one or more members, in the order of their names.
    Member {
        kind: MemberEventKind,
        members: Vec<Member>,
    },
    User(UserEvent),
    Query(QueryEvent),
}

/// A query that passed its filters and waits for an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueryEvent {
    pub key: QueryKey,
    pub name: String,
    pub payload: Bytes,
    /// Who asks; empty from older senders.
    pub source: String,
    /// Answers after this are refused.
    pub deadline: Instant,
}

/// What tells queries apart: two may bear the same time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueryKey {
    pub ltime: LamportTime,
    pub id: u32,
}

/// News of a query of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueryOutput {
    pub key: QueryKey,
    pub answer: Answer,
}

/// One answer to a query, at most one ack and one response of each member, or the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    Ack {
        from: String,
    },
    Response {
        from: String,
        payload: Bytes,
    },
    /// The timeout has passed; nothing follows.
    Done {
        acks: usize,
        responses: usize,
    },
}
