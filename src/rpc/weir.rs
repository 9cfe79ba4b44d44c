//! weir's own commands: one request type each, with its name and its typed answer, used by client and server.
//!
//! A request and its answer travel as JSON documents, each in the one field `Document` of its body. Fields are only ever
//! added, and so are words: unknown fields of a newer peer are ignored, unknown words are kept
//! ([`Known`](crate::known::Known)), and missing fields have their defaults. Serf's agents hang up on what they do not know, so a
//! client asks only whom it knows from the handshake to be ours.

mod check;
mod questions;
mod stop;
mod upstream;

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::call::Reply;
use super::refusal::Refusal;
use crate::config::reload::Change;
use crate::drain::document as drain;
use crate::rotate::document::{Follow, Import, Imported, Lines, Start, Started, Status};
use crate::status::health::MembersHealth;
use crate::status::node::{Check, Document};
use crate::status::probe::{Probe, Probed};

pub use check::CheckSet;
pub use questions::{Explained, ExplainedIn, Joiner, Planned, PlannedIn, PlannedServer, UpstreamExplain, UpstreamPlan};
pub use stop::{OnStop, Stopping};
pub use upstream::{
    Cut, Differences, Generations, HeldBack, HoldChanged, Past, PastResult, RolledBack, UpstreamDiff, UpstreamHistory,
    UpstreamHold, UpstreamRelease, UpstreamRollback, UpstreamWanted, Wanted, no_upstream,
};

/// A request that only weir's agents understand.
pub trait Request: DeserializeOwned + Serialize {
    /// Its command, `weir-…`.
    const NAME: &'static str;
    /// What it is answered with.
    type Answer: DeserializeOwned + Serialize;
}

/// Each command once: `Variant = "name": its request => its answer`.
macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $request:ty => $answer:ty;)+) => {
        $(impl Request for $request {
            const NAME: &'static str = $name;
            type Answer = $answer;
        })+

        /// A request that has come, and where its answer goes.
        #[derive(Debug)]
        pub enum Asked {
            $($(#[$doc])* $variant($request, Answer<$request>),)+
        }

        impl Asked {
            /// Reads the document of the command `name`; `None` if there is no such command.
            pub(super) fn decode(name: &str, document: &str, reply: DocumentReply) -> Option<Result<Self, Refusal>> {
                match name {
                    $($name => Some(decode(document).map(|request| Self::$variant(request, Answer::new(reply)))),)+
                    _ => None,
                }
            }
        }
    };
}

commands! {
    /// Read the configuration again.
    Reload = "weir-reload": Reload => Reloaded;
    /// Join through addresses.
    Join = "weir-join": Join => Joined;
    /// systemd is about to stop the agent.
    OnStop = "weir-on-stop": OnStop => Stopping;
    /// What the agent knows of its node and of the others.
    Status = "weir-status": NodeStatus => Document;
    /// Say the word about a ttl check; answered with what it is then.
    CheckSet = "weir-check-set": CheckSet => Check;
    /// How members are, as far as the agent was told.
    Health = "weir-health": HealthStatus => MembersHealth;
    /// Ping members by UDP; answered within two seconds.
    Probe = "weir-probe": Probe => Probed;
    /// Who holds which key.
    KeysStatus = "weir-keys-status": KeysStatus => Status;
    /// Start a rotation.
    KeysRotate = "weir-keys-rotate": Start => Started;
    /// Hear how a rotation goes on; answered as soon as there is news.
    KeysProgress = "weir-keys-progress": Follow => Lines;
    /// Put a key into this host's ring.
    KeysImport = "weir-keys-import": Import => Imported;
    /// What generations there were.
    UpstreamHistory = "weir-upstream-history": UpstreamHistory => Generations;
    /// What differs between two of them, or is wanted.
    UpstreamDiff = "weir-upstream-diff": UpstreamDiff => Differences;
    /// Freeze; answered when that is on disk.
    UpstreamHold = "weir-upstream-hold": UpstreamHold => HoldChanged;
    /// Thaw; answered when that is on disk.
    UpstreamRelease = "weir-upstream-release": UpstreamRelease => HoldChanged;
    /// Go back; answered when it has ended.
    UpstreamRollback = "weir-upstream-rollback": UpstreamRollback => RolledBack;
    /// What is wanted of `apply`.
    UpstreamWanted = "weir-upstream-wanted": UpstreamWanted => Wanted;
    /// Drain this node or another one, or take that back.
    Drain = "weir-drain": drain::Start => drain::Started;
    /// Leave the cluster and stop.
    Leave = "weir-leave": drain::Depart => drain::Started;
    /// Hear how a drain or a leave goes on; answered as soon as there is news.
    LeaveProgress = "weir-leave-progress": drain::Follow => drain::Lines;
    /// Why a member is where it is.
    UpstreamExplain = "weir-upstream-explain": UpstreamExplain => Explained;
    /// What would happen if.
    UpstreamPlan = "weir-upstream-plan": UpstreamPlan => Planned;
}

/// Read the configuration again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Reload {
    /// Only tell what would change.
    pub dry_run: bool,
}

/// What a reload has changed, or would.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Reloaded {
    pub changes: Vec<Change>,
}

/// Join through addresses; unlike Serf's `join`, each that fails is told.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Join {
    /// Host or host:port.
    pub addresses: Vec<String>,
    /// Take old user events from those contacted.
    pub replay: bool,
}

/// What came of each address.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Joined {
    pub contacted: u32,
    pub failed: Vec<Missed>,
}

/// An address that could not be joined.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Missed {
    /// As it was typed.
    pub address: String,
    pub error: String,
    pub remedy: Option<String>,
}

/// Asks for the node [`Document`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct NodeStatus {
    /// With all members; there may be many.
    pub members: bool,
}

/// Asks how members are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct HealthStatus {}

/// Asks for the [`Status`] of keys.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct KeysStatus {}

/// Where the document goes that answers a command of ours.
pub(super) type DocumentReply = Reply<Result<String, Refusal>>;

/// Where the answer to an `R` goes. Dropping it tells the client that the agent is stopping.
pub struct Answer<R> {
    reply: DocumentReply,
    request: PhantomData<fn(R)>,
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl<R: Request> Answer<R> {
    fn new(reply: DocumentReply) -> Self {
        Self { reply, request: PhantomData }
    }

    /// An answer for whoever holds the other end.
    pub fn channel() -> (Self, Awaited<R>) {
        let (reply, document) = oneshot::channel();
        (Self::new(reply), Awaited { document, request: PhantomData })
    }

    /// Answers. A client that has gone needs none.
    pub fn send(self, answer: Result<R::Answer, Refusal>) {
        let _gone = self.reply.send(answer.map(|answer| encode(&answer)));
    }

    /// Whether the client has gone.
    pub fn is_closed(&self) -> bool {
        self.reply.is_closed()
    }
}

/// The other end of [`Answer::channel`].
#[derive(Debug)]
pub struct Awaited<R> {
    document: oneshot::Receiver<Result<String, Refusal>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Awaited<R> {
    /// The answer, if it has come.
    pub fn try_recv(&mut self) -> Option<Result<R::Answer, Refusal>> {
        let told = self.document.try_recv().ok()?;
        Some(told.and_then(|document| decode(&document)))
    }
}

/// A document as the type that it is to be; an empty one holds defaults alone.
pub(super) fn decode<T: DeserializeOwned>(document: &str) -> Result<T, Refusal> {
    // serde's own message may quote the text, and that may hold a key.
    serde_json::from_str(if document.is_empty() { "{}" } else { document })
        .map_err(|error| format!("not understood (line {}, column {})", error.line(), error.column()).into())
}

/// A document of ours.
pub(super) fn encode(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("our documents are maps with text keys, which JSON can always hold")
}

#[cfg(test)]
mod tests;
