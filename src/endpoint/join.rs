//! Joining: exchanges of full state with addresses that somebody named.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::crypto::KeyId;
use crate::error::Explain;
use crate::wire::NodeName;
use crate::wire::message::PushNode;

/// Exchanges of one join under way at once.
const MAX_PARALLEL: usize = 8;

/// Identifies a join until its [`super::Output::Joined`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JoinId(pub(super) u64);

/// An address to join.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinTarget {
    /// What the operator wrote, for messages.
    pub label: String,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a join is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JoinKind {
    /// An operator's or configuration's: followed by a join intent. With `ignore_old`, user events from before the join
    /// are not delivered.
    Join {
        /// Skip old events.
        ignore_old: bool,
    },
    /// Back to members known from a snapshot, whose clocks say which events are old. Followed by a join intent as well: after a
    /// leave that was cut short we are leaving for everybody who had not found us dead.
    Rejoin,
    /// To a failed member: no join intent.
    Reconnect,
    /// By somebody who is no member, and is none afterwards: nothing of ours is told, and nothing is merged (`protocols D.6`).
    Survey,
}

impl JoinKind {
    /// Whether a join intent follows.
    pub(super) const fn is_announced(self) -> bool {
        match self {
            Self::Join { .. } | Self::Rejoin => true,
            Self::Reconnect | Self::Survey => false,
        }
    }
}

/// Why a stream was not opened, or broke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamError {
    pub cause: Cause,
    /// In the reference implementation's words, since its clients print them.
    pub text: String,
}

/// What of an error of a stream makes a difference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The host is there, and nothing listens.
    Refused,
    /// Nothing came in this time.
    Silent {
        after: Duration,
    },
    /// The host is not there, or a firewall turns us away, which was known after this time.
    NoHost {
        after: Duration,
    },
    /// This host knows no way there.
    NoRoute,
    /// We are bound to this address, from which no way leads there.
    Bound(IpAddr),
    Other,
}

impl From<String> for StreamError {
    fn from(text: String) -> Self {
        Self { cause: Cause::Other, text }
    }
}

impl From<&str> for StreamError {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Why one address could not be joined. The text is for operators.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinFailure {
    /// As the driver reported it.
    #[error("{0}")]
    Connect(StreamError),
    /// Closed, most likely because it could not read us.
    #[error("{}", hung_up(.key.as_ref()))]
    HungUp {
        /// Our primary key, if any.
        key: Option<KeyId>,
    },
    /// It answered in plain text.
    #[error("speaks without encryption and this node requires it")]
    Plaintext,
    /// It answered, and in no words of gossip.
    #[error("does not speak gossip")]
    NotGossip,
    /// It answered encrypted, and we have no key at all.
    #[error("requires encryption and this node has no key")]
    Encrypted,
    /// It refuses our key and told its own, which we lack.
    #[error("seals with key {theirs}, this keyring has only {}", list(.ring))]
    KeyMissing {
        /// Its primary key.
        theirs: KeyId,
        /// Ours, primary first.
        ring: Vec<KeyId>,
    },
    /// It lacks our primary key and told its own, which we have as well.
    #[error("seals with key {theirs} and lacks our primary key {ours}")]
    LacksOurKey {
        /// Its primary key.
        theirs: KeyId,
        /// Our primary key.
        ours: KeyId,
    },
    /// Its answer is sealed under a key that we lack.
    #[error("seals with a key that this keyring lacks (it has {})", list(.ring))]
    UnknownKey {
        /// Ours, primary first.
        ring: Vec<KeyId>,
    },
    /// The clusters carry different labels.
    #[error("uses another gossip.label")]
    Label,
    /// It says why it refused us.
    #[error("refused us: {0}")]
    Remote(String),
    /// Its answer made no sense.
    #[error("answered something that is no push/pull: {0}")]
    Malformed(String),
    /// No member in its list speaks a protocol version that we understand.
    #[error("speaks a protocol version that this node does not understand")]
    Versions,
    /// Nothing within the stream timeout, before or after the connection was made.
    #[error("does not answer")]
    Timeout { connected: bool, after: Duration },
}

fn list(ring: &[KeyId]) -> String {
    if ring.is_empty() { "none".to_owned() } else { ring.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ") }
}

fn hung_up(key: Option<&KeyId>) -> impl fmt::Display {
    match key {
        Some(key) => format!("hung up without an answer: it probably lacks our key {key}"),
        None => "hung up without an answer: it probably requires encryption".to_owned(),
    }
}

impl Explain for JoinFailure {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        let way_out = match self {
            Self::HungUp { key: None } => "'weir keys import' here",
            Self::Plaintext => "give it the cluster key (serf: -keyring-file)",
            Self::NotGossip => "wrong port?",
            Self::Encrypted => "'weir keys import' here, or encryption.keyring",
            Self::Timeout { connected: false, .. } => "open the gossip port there, TCP and UDP",
            Self::Timeout { connected: true, .. } => "see whether its agent hangs, or correct the port",
            // Who has to import whose key depends on where the other members are.
            Self::HungUp { key: Some(_) }
            | Self::KeyMissing { .. }
            | Self::UnknownKey { .. }
            | Self::LacksOurKey { .. } => return None,
            Self::Connect(_) | Self::Label | Self::Remote(_) | Self::Malformed(_) | Self::Versions => return None,
        };
        Some(way_out.into())
    }
}

/// A join under way.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) kind: JoinKind,
    waiting: VecDeque<JoinTarget>,
    running: usize,
    pub(super) contacted: usize,
    pub(super) listed: Vec<PushNode>,
    pub(super) failures: Vec<(JoinTarget, JoinFailure)>,
}

/// All joins under way.
#[derive(Debug, Default)]
pub(super) struct Joins {
    next: u64,
    joins: BTreeMap<JoinId, Join>,
}

impl Joins {
    pub(super) fn start(&mut self, kind: JoinKind, targets: Vec<JoinTarget>) -> JoinId {
        self.next += 1;
        let id = JoinId(self.next);
        let (listed, failures) = (Vec::new(), Vec::new());
        let join = Join { kind, waiting: targets.into(), running: 0, contacted: 0, listed, failures };
        self.joins.insert(id, join);
        id
    }

    pub(super) fn kind(&self, id: JoinId) -> Option<JoinKind> {
        self.joins.get(&id).map(|join| join.kind)
    }

    /// The next address to dial, if the bound on parallel exchanges allows one.
    pub(super) fn next_target(&mut self, id: JoinId) -> Option<JoinTarget> {
        let join = self.joins.get_mut(&id)?;
        if join.running >= MAX_PARALLEL {
            return None;
        }
        let target = join.waiting.pop_front()?;
        join.running += 1;
        Some(target)
    }

    /// Whom a survey was told of.
    pub(super) fn listed(&mut self, id: JoinId, nodes: Vec<PushNode>) {
        if let Some(join) = self.joins.get_mut(&id) {
            join.listed.extend(nodes);
        }
    }

    pub(super) fn ended(&mut self, id: JoinId, target: JoinTarget, result: Result<(), JoinFailure>) {
        let Some(join) = self.joins.get_mut(&id) else { return };
        join.running -= 1;
        match result {
            Ok(()) => join.contacted += 1,
            Err(failure) => join.failures.push((target, failure)),
        }
    }

    /// Takes the join out if nothing of it is waiting or running.
    pub(super) fn take_finished(&mut self, id: JoinId) -> Option<Join> {
        let finished = self.joins.get(&id).is_some_and(|join| join.running == 0 && join.waiting.is_empty());
        if finished { self.joins.remove(&id) } else { None }
    }
}

/// An exchange of full state that we opened.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// The member, unless it is an address that nobody has recorded yet.
    pub(super) node: Option<NodeName>,
    /// The join it belongs to.
    pub(super) join: Option<(JoinId, JoinTarget)>,
    /// In the session envelope, as a second try: how memberlist's failed.
    pub(super) retry_of: Option<JoinFailure>,
}
