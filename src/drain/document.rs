//! What a client asks of its agent about drains and leaves, and the story that it is told line by line. Names and texts may be
//! peers' own: escape them before a terminal sees them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::known::Known;

/// Drain this node or another one, or take that back; answered with [`Started`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Start {
    /// `None` for the agent's own node.
    pub member: Option<String>,
    /// Take it back.
    pub undo: bool,
    /// Stay draining although a balancer has no other server.
    pub force: bool,
    /// The guard unit of an application asks. Its drain is not taken back as long as an operator or another guard drains as well,
    /// and what those asked for is not taken back by it.
    pub guard: bool,
    /// Which application's, by its unit; a guard from before they were told apart does not say.
    pub unit: Option<String>,
    /// Why, for status and log.
    pub reason: Option<String>,
}

/// Leave the cluster and stop; answered with [`Started`]. What is `None` is as configured.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Depart {
    pub drain_time_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    /// The service is stopped: a drain that an operator asked for goes on when it is started again.
    pub on_stop: bool,
}

/// A story of this agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Started {
    pub story: u64,
}

/// Answered with [`Lines`] as soon as there are more than `after`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Follow {
    pub story: u64,
    pub after: usize,
}

/// News of a drain or a leave.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Lines {
    pub lines: Vec<Line>,
    /// Nothing follows.
    pub ended: bool,
}

/// One line of the story. `elapsed_ms` counts from its beginning.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The tag is out, and the balancers are asked.
    Draining {
        #[serde(default)]
        id: String,
        /// Who is waited for.
        #[serde(default)]
        balancers: Vec<String>,
    },
    /// It does not outlive this process, for this reason.
    NotKept {
        #[serde(default)]
        reason: String,
    },
    /// The drain is taken back, and a restart of the agent may bring it back, for this reason.
    StillKept {
        #[serde(default)]
        reason: String,
    },
    /// A balancer is done with this node.
    Confirmed {
        #[serde(default)]
        balancer: String,
        #[serde(default)]
        word: Known<Done>,
        /// What is live there.
        #[serde(default)]
        generation: u64,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// A balancer is not done, or will not be, and says something else than before.
    Waiting {
        #[serde(default)]
        balancer: String,
        #[serde(default)]
        why: Known<Why>,
        /// Its own words.
        #[serde(default)]
        text: String,
        /// Who drains and asked earlier.
        #[serde(default)]
        earlier: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// A balancer has failed and is not waited for.
    Unreachable {
        #[serde(default)]
        balancer: String,
        /// For how long it has.
        #[serde(default)]
        failed_for_ms: u64,
    },
    /// A balancer has left the cluster, and its last word was that it is not done.
    Gone {
        #[serde(default)]
        balancer: String,
    },
    /// This node lets others go first, and tries again.
    Yielded {
        #[serde(default)]
        to: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// Every balancer is done; requests on their way have so long at most.
    Lingering {
        #[serde(default)]
        drain_time_ms: u64,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// That is over.
    Lingered {
        #[serde(default)]
        by: Known<LingerEnd>,
        /// Since [`Self::Lingering`].
        #[serde(default)]
        took_ms: u64,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// The end: this node gets no new requests until that is taken back.
    Drained {
        /// Balancers that have failed without having said that they are done, and that may send some all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unreachable: Vec<String>,
        /// No balancer has said that it is done: none was there.
        #[serde(default)]
        unheard: bool,
        /// Balancers that have left the cluster, and were not done before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// The end: the balancers have no other server, and the tag is off again.
    Refused {
        #[serde(default)]
        balancers: Vec<String>,
    },
    /// The end of waiting, in time: these did not confirm. The node stays draining.
    Unconfirmed {
        #[serde(default)]
        balancers: Vec<String>,
    },
    /// The end: it serves again, or did already.
    Undone {
        /// The drain that ended, if there was one.
        #[serde(default)]
        id: Option<String>,
        /// Others asked for it too, and it goes on.
        #[serde(default)]
        stays: bool,
        /// An operator did.
        #[serde(default)]
        operator: bool,
        /// The guards of these applications did; an empty name is that of one from before they were told apart.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        guards: Vec<String>,
        /// Guards of these applications wanted it drained still, and an operator's undo ended that, too; names as in `guards`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ended_guards: Vec<String>,
    },
    /// The end of a leave: it was taken back, and the agent goes on.
    Cancelled,
    /// The end: somebody asked for something else meanwhile.
    Superseded,
    /// The leave itself begins.
    Leaving {
        /// Balancers that did not confirm in time.
        #[serde(default)]
        unconfirmed: Vec<String>,
        /// Balancers that have failed.
        #[serde(default)]
        unreachable: Vec<String>,
        /// Balancers that have left, and were not done before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// The end: the cluster knows, and the agent stops.
    Left {
        /// Members that did not acknowledge it.
        #[serde(default)]
        unconfirmed: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// Another node does what it was asked for. Its own story follows.
    Remote {
        #[serde(default)]
        member: String,
        /// Its drain.
        #[serde(default)]
        id: String,
    },
    /// The end: another node does not, in its own words.
    RemoteRefused {
        #[serde(default)]
        member: String,
        #[serde(default)]
        text: String,
    },
    /// The end: another node has not answered.
    RemoteSilent {
        #[serde(default)]
        member: String,
    },
    /// The end: another node does what it was asked for, and how that ends is not known.
    RemoteLost {
        #[serde(default)]
        member: String,
        /// Its drain.
        #[serde(default)]
        id: String,
        /// In its own words; empty if it does not answer any more.
        #[serde(default)]
        text: String,
    },
    /// Only a newer program knows it.
    #[serde(untagged)]
    Newer { kind: String },
}

impl Line {
    /// Whether nothing follows it.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Drained { .. }
            | Self::Refused { .. }
            | Self::Unconfirmed { .. }
            | Self::Undone { .. }
            | Self::Cancelled
            | Self::Superseded
            | Self::Left { .. }
            | Self::RemoteRefused { .. }
            | Self::RemoteSilent { .. }
            | Self::RemoteLost { .. } => true,
            Self::Draining { .. }
            | Self::NotKept { .. }
            | Self::StillKept { .. }
            | Self::Confirmed { .. }
            | Self::Waiting { .. }
            | Self::Unreachable { .. }
            | Self::Gone { .. }
            | Self::Yielded { .. }
            | Self::Lingering { .. }
            | Self::Lingered { .. }
            | Self::Leaving { .. }
            | Self::Remote { .. }
            | Self::Newer { .. } => false,
        }
    }

    /// Whether it tells what another node said to an order.
    pub fn is_of_another(&self) -> bool {
        matches!(
            self,
            Self::Remote { .. } | Self::RemoteRefused { .. } | Self::RemoteSilent { .. } | Self::RemoteLost { .. }
        )
    }
}

/// How a balancer is done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It sends no new requests.
    #[default]
    Out,
    /// And none of its own is on its way.
    Idle,
    /// It never sent any.
    None,
}

/// Why a balancer is not done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Not live yet.
    #[default]
    Wait,
    /// Too few servers would be left.
    Floor,
    /// It cannot be brought in place.
    Apply,
}

/// What ended the wait for requests on their way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LingerEnd {
    /// No balancer has workers that could still send.
    Idle,
    /// None was seen here any more.
    NoneLeft,
    /// The time was over.
    #[default]
    DrainTime,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "out",
            Self::Idle => "idle",
            Self::None => "none",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "wait",
            Self::Floor => "floor",
            Self::Apply => "apply",
        })
    }
}

impl fmt::Display for LingerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::NoneLeft => "none_left",
            Self::DrainTime => "drain_time",
        })
    }
}
