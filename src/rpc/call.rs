//! What the server asks of the agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::feed::{Feed, Subscription};
use super::proto::{KeyResponse, LogLevel, Member, MemberFilter, QueryRecord, Stats};
use super::refusal::Refusal;
use super::weir::Asked;
use crate::handlers::filter::EventKind;
use crate::serf::{self, KeyOp, MemberEventKind, QueryKey, QueryParams, RespondError};
use crate::time::Instant;
use crate::wire::serf::{Coordinate, Tags};

/// Where an answer goes. Dropping it unanswered tells the client that the agent is stopping; a send that fails means that the
/// client has gone, which is no concern of the agent's.
pub type Reply<T> = oneshot::Sender<T>;

/// One request to the agent.
///
/// Calls of one connection come one after another: the next one is sent when the one before was answered.
#[derive(Debug)]
pub enum Call {
    /// The members that `filter` matches, the local one included, ordered by name.
    Members { filter: MemberFilter, reply: Reply<Vec<Member>> },
    /// Join by contacting `addresses` (host or host:port). Answered with the number contacted; the error is for none at all.
    /// No addresses: 0 and no error. `replay`: take old user events from those contacted.
    Join { addresses: Vec<String>, replay: bool, reply: Reply<Result<u32, Refusal>> },
    /// Leave gracefully, answer, then stop the agent. Await the server after its shutdown signal, or the answer may be lost.
    Leave { reply: Reply<Result<(), Refusal>> },
    /// Have a failed member count as left; with `prune`, forget it at once. An unknown name is no error, pruning a member that
    /// is alive is one.
    ForceLeave { node: String, prune: bool, reply: Reply<Result<(), Refusal>> },
    /// New tags: the current ones without `delete`, then `set`.
    Tags { set: Tags, delete: Vec<String>, reply: Reply<Result<(), Refusal>> },
    /// Send a user event. Answered when it is queued.
    UserEvent { name: String, payload: Bytes, coalesce: bool, reply: Reply<Result<(), Refusal>> },
    /// Ask the cluster. Answered when the query is on its way; then answers go into `records`, [`QueryRecord::Done`] last. Use
    /// `try_send`: a client that reads too slowly loses records, and one that has gone closes the channel.
    Query { params: QueryParams, records: mpsc::Sender<QueryRecord>, reply: Reply<Result<(), Refusal>> },
    /// Answer a query that came out of a subscription.
    Respond { query: QueryKey, payload: Bytes, reply: Reply<Result<(), RespondError>> },
    /// Change or list the keys of every member.
    Keys { op: KeyOp, reply: Reply<KeyReply> },
    /// The groups of `stats` (`rpc §4`). The server adds one of its own if clients missed something or misbehaved.
    Stats { reply: Reply<Stats> },
    /// A member's coordinate; `None` if there is none.
    Coordinate { node: String, reply: Reply<Option<Coordinate>> },
    /// Keep the subscription and [`offer`](Subscription::offer) it every event from now on, until that returns `false`.
    Subscribe { subscription: Subscription },
    /// Offer `lines` the last 512 log lines of at least `level`, oldest first, then those that come. Lines have Serf's shape and
    /// no line end.
    Monitor { level: LogLevel, lines: Feed<Arc<str>> },
    /// A command of weir's own.
    Weir(Asked),
}

/// How a key command went: the response's error and its body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyReply {
    /// `None` for success.
    pub refusal: Option<Refusal>,
    pub response: KeyResponse,
}

impl From<KeyResponse> for KeyReply {
    fn from(response: KeyResponse) -> Self {
        Self { refusal: response.refusal(), response }
    }
}

/// An event for subscriptions; shared, as many streams may want it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamEvent {
    Member {
        kind: MemberEventKind,
        members: Vec<Member>,
    },
    User {
        ltime: u64,
        name: String,
        payload: Bytes,
        coalesce: bool,
    },
    Query {
        key: QueryKey,
        name: String,
        payload: Bytes,
        /// How long answers are taken.
        remaining: Duration,
    },
}

impl StreamEvent {
    /// What Serf's event is to subscribers.
    pub fn new(now: Instant, event: &serf::Event) -> Self {
        match event {
            serf::Event::Member { kind, members } => {
                Self::Member { kind: *kind, members: members.iter().map(Member::from).collect() }
            }
            serf::Event::User(event) => Self::User {
                ltime: event.ltime.get(),
                name: event.name.clone(),
                payload: event.payload.clone(),
                coalesce: event.coalesce,
            },
            serf::Event::Query(query) => Self::Query {
                key: query.key,
                name: query.name.clone(),
                payload: query.payload.clone(),
                remaining: query.deadline.since(now),
            },
        }
    }

    /// Its kind, as filters know it.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Member { kind, .. } => EventKind::Member(*kind),
            Self::User { .. } => EventKind::User,
            Self::Query { .. } => EventKind::Query,
        }
    }

    /// The name that filters compare; `""` of a member event.
    pub fn name(&self) -> &str {
        match self {
            Self::Member { .. } => "",
            Self::User { name, .. } | Self::Query { name, .. } => name,
        }
    }
}
