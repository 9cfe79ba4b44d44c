//! The cluster as one node sees it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::serf::Status;
use crate::status::{Known, Trouble};

/// Counts, clocks and what is in the way of others.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Cluster {
    /// All of them.
    pub members: usize,
    pub alive: usize,
    pub leaving: usize,
    pub left: usize,
    pub failed: usize,
    /// The other whose status changed last.
    pub last_change: Option<LastChange>,
    pub clocks: Clocks,
    pub queues: Queues,
    /// Absent where coordinates are off.
    pub coordinate_resets: Option<u64>,
    /// Why nobody of `gossip.join` could be joined, and who of the snapshot answers and is not understood.
    pub join_failures: Vec<Trouble>,
    /// One of them is that this node and whoever it tried do not have the same key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lacks_key: bool,
    /// Who of them that is, and whoever else `gossip.join` names and has another key though others were joined.
    pub refused: Vec<Apart>,
    /// Since when a balancer hears nobody, so that it believes nothing of what its gossip finds out; `None` while it hears somebody.
    pub isolated_since: Option<String>,
    /// Members of an earlier run that were not heard of since the start.
    pub unfound: Vec<Unfound>,
    /// Who is not understood, the latest last.
    pub strangers: Vec<Stranger>,
    /// Who claims a name that is another member's, the latest last.
    pub name_claims: Vec<NameClaim>,
    /// Who has a name that this node does not take, the latest last.
    pub long_names: Vec<LongName>,
}

impl Cluster {
    /// Whether nobody else is there.
    pub fn hears_nobody(&self) -> bool {
        self.alive + self.leaving <= 1
    }

    /// Who has another key while others are there: two parts of one cluster, or somebody who was left behind.
    pub fn apart(&self) -> &[Apart] {
        if self.hears_nobody() { &[] } else { &self.refused }
    }

    /// Whether somebody at that address is among them.
    pub(in crate::status) fn is_apart(&self, ip: IpAddr) -> bool {
        self.apart().iter().any(|refused| refused.addr.ip() == ip)
    }

    /// Whether no other member is known that has not left.
    pub(super) fn is_alone(&self) -> bool {
        self.alive + self.leaving + self.failed <= 1
    }
}

/// A member whose status changed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastChange {
    pub member: String,
    /// What it is since then.
    pub status: Known<Status>,
    #[serde(default)]
    pub at: Option<String>,
}

/// Serf's Lamport times.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Clocks {
    pub member: u64,
    pub event: u64,
    pub query: u64,
}

/// Broadcasts that wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Queues {
    pub intents: usize,
    pub events: usize,
    pub queries: usize,
}

/// A member.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Member {
    pub name: String,
    pub addr: SocketAddr,
    pub status: Known<Status>,
    /// Since when it has this status.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// `session` or `memberlist`; `None` while it is not known.
    #[serde(default)]
    pub envelope: Option<String>,
    /// It is this node.
    #[serde(default)]
    pub own: bool,
}

/// A member that the snapshot knows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unfound {
    pub name: String,
    pub addr: SocketAddr,
}

/// Somebody who answers where a member should be, and does not have the same key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Apart {
    pub addr: SocketAddr,
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// Somebody whose packets or streams are refused. The address may be forged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stranger {
    pub addr: SocketAddr,
    /// The typed reason of the drop, `key_unknown`.
    pub reason: String,
    /// The key that it seals with, where the envelope tells.
    #[serde(default)]
    pub key: Option<String>,
    /// Since it was last heard.
    pub ago_s: u64,
    /// Members that may turn out to seal as it does: they have not pinged this node since it was heard, which was a moment ago.
    #[serde(default)]
    pub unheard: usize,
    /// A member is or was at its address.
    #[serde(default)]
    pub member: bool,
    /// What that means; an older agent does not say.
    #[serde(flatten)]
    pub trouble: Option<Trouble>,
}

/// A host that claims another member's name. Addresses may be forged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NameClaim {
    pub name: String,
    /// The member's.
    pub holder: SocketAddr,
    /// Who else claims it.
    pub other: SocketAddr,
    /// Since that last showed.
    pub ago_s: u64,
}

/// A host whose name is too long for it to be a member here. Its address may be forged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LongName {
    pub addr: SocketAddr,
    pub bytes: usize,
    /// Since it was last heard of.
    pub ago_s: u64,
}

/// Gossip in numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Traffic {
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Push/pulls that came to an end.
    pub exchanges: u64,
    /// Streams that are open.
    pub streams: usize,
    pub udp_send_errors: u64,
    pub udp_receive_errors: u64,
}
