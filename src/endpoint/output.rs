//! What an endpoint asks of its driver and tells its application.

use std::net::SocketAddr;
use std::time::Duration;

use crate::crypto::Keyring;
use crate::health::second_witness::Heard;
use crate::serf;
use crate::wire::NodeName;
use crate::wire::message::PushNode;

use super::join::{JoinFailure, JoinId, JoinTarget};
use super::keys::{Asker, KeyChangeId};
use super::names::NameTrouble;
use super::stream::StreamId;

/// Something to do or to know, in the order it came about.
#[derive(Debug)]
pub enum Output {
    /// Send one datagram.
    Datagram {
        /// Destination.
        to: SocketAddr,
        /// The whole packet.
        payload: Vec<u8>,
    },
    /// Open a stream, then report [`super::Endpoint::handle_connected`] or [`super::Endpoint::handle_stream_end`].
    Connect {
        /// Its identity from now on.
        stream: StreamId,
        /// Destination.
        to: SocketAddr,
    },
    /// Write to a stream; with `close`, shut it down once all is written, and report its end.
    Write {
        /// Which stream.
        stream: StreamId,
        /// Bytes.
        data: Vec<u8>,
        /// Nothing follows.
        close: bool,
    },
    /// Close a stream at once. The endpoint has forgotten it; nothing needs to be reported.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// A member changed in the Serf layer's table, uncoalesced.
    Member(serf::MemberEvent),
    /// A member is suspected, or no longer because it refuted; one that is gone is told as [`Output::Member`] alone. Serf knows
    /// no such status; upstreams ask the second witness.
    Suspicion {
        /// Who.
        member: NodeName,
        /// Who got no answer from it; `None` once it is no longer suspected.
        by: Option<NodeName>,
    },
    /// A member announced its leave, or took that back. Serf has no event for it; upstreams let it go at once.
    Leaving {
        /// Who.
        member: NodeName,
        /// Whether it leaves now.
        leaving: bool,
    },
    /// What applications subscribe to, coalesced.
    Event(serf::Event),
    /// An answer to a query of ours, or its end.
    Query(serf::QueryOutput),
    /// A key request of ours has ended.
    Keys {
        /// The request.
        query: serf::QueryKey,
        /// What the members said.
        outcome: serf::KeyOutcome,
    },
    /// Write this keyring (and ballot) to disk, then call [`super::Endpoint::handle_keyring_stored`].
    StoreKeyring(StoreKeyring),
    /// A change of this host's ring alone has ended; [`KeyringAnswer::Refused`](serf::KeyringAnswer::Refused) also of one that
    /// takes effect and is not kept.
    KeyringChanged {
        /// The change.
        id: KeyChangeId,
        /// What became of it.
        answer: serf::KeyringAnswer,
    },
    /// A join has ended.
    Joined(Joined),
    /// A leave we asked for has ended: the driver may stop.
    Left {
        /// Members that did not confirm the leave in time.
        unconfirmed: Vec<NodeName>,
    },
    /// A force-leave has ended.
    ForceLeft {
        /// Who was force-left.
        member: NodeName,
        /// Whether it was told to the cluster in time.
        result: Result<(), serf::ForceLeaveError>,
    },
    /// A member answered a ping of [`super::Endpoint::reach`].
    Reached {
        /// Who.
        member: NodeName,
        /// From the ping to its ack.
        took: Duration,
    },
    /// What a round of [`super::Endpoint::ask_second_witness`] came to. It accuses nobody.
    SecondWitness {
        /// Who was asked.
        member: NodeName,
        /// With the first ack an answer, also after it had been silent.
        heard: Heard,
    },
    /// News of a clash over our own name.
    Conflict(serf::ConflictOutcome),
    /// Another member's name is in its way.
    NameTrouble(NameTrouble),
}

/// A change of the keyring that must be on disk before it takes effect.
#[derive(Debug)]
pub struct StoreKeyring {
    /// Who waits for it.
    pub asker: Asker,
    /// What was asked.
    pub ops: Vec<serf::KeyOp>,
    /// The member that asked.
    pub from: String,
    /// The ring as it will be, perhaps as it is.
    pub keyring: Keyring,
    /// The rotation ballot to keep, before the ring.
    pub ballot: Option<serf::Ballot>,
    /// The request was refused, for this reason: only its ballot is to be kept.
    pub refused: Option<String>,
}

/// How a join ended.
#[derive(Debug)]
pub struct Joined {
    /// Which.
    pub id: JoinId,
    /// Addresses that state was exchanged with.
    pub contacted: usize,
    /// Of a survey: every entry of their lists, as they have it.
    pub listed: Vec<PushNode>,
    /// The others.
    pub failures: Vec<(JoinTarget, JoinFailure)>,
}
