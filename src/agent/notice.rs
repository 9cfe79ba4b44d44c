//! What the agent tells in more words than its own: a line of the log, and whatever a console makes of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::config::Profile;
use crate::crypto::KeyId;
use crate::serf::MemberEventKind;
use crate::time::millis;
use crate::wire::NodeName;

/// Marks the events of [`Notice::log`].
pub(super) const TARGET: &str = module_path!();
/// About what a notice takes while it waits.
pub(super) const BYTES: usize = 512;

/// One thing that happened to the agent.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The configuration is read.
    Starting {
        /// Its files.
        config: String,
    },
    /// The sockets for gossip are bound.
    GossipListening {
        /// Where.
        addr: SocketAddr,
        /// The named set of timings.
        profile: Profile,
        /// The primary key and the number of keys; `None` without encryption.
        keys: Option<(KeyId, usize)>,
    },
    /// Gossip is plain text.
    NotEncrypted,
    /// The control socket is bound.
    RpcSocketListening {
        /// Where.
        socket: PathBuf,
    },
    /// RPC is served on TCP.
    RpcListening {
        /// Where.
        addr: SocketAddr,
        /// Whether clients need one.
        token: bool,
    },
    /// The agent is what it will be.
    Ready(Ready),
    /// A member's status or tags changed.
    Member {
        /// How.
        kind: MemberEventKind,
        /// Whose.
        name: NodeName,
        /// Its address.
        addr: SocketAddr,
    },
    /// An event reached the handlers. Told in Serf's mode only, whose log has a line for it.
    EventReceived {
        /// As Serf's log names it.
        event: String,
    },
    /// A try to join begins. Told in Serf's mode only.
    Joining {
        /// Whom, separated by blanks.
        addresses: String,
        /// Whether events before the join are delivered.
        replay: bool,
        /// Not for a client.
        configured: bool,
    },
    /// Somebody was joined.
    Joined {
        /// Members that answered.
        contacted: usize,
        /// Members known by now.
        members: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// Nobody answered.
    CannotJoin {
        /// Why.
        error: String,
        /// Until the next try, if there is one.
        pause: Option<Duration>,
    },
    /// There is no further try.
    JoinGivenUp {
        /// How many there were.
        tries: u32,
    },
    /// Another member has our name; the others are asked.
    NameConflict {
        /// Our name.
        member: NodeName,
        /// Where the other is.
        other: SocketAddr,
    },
    /// A leave begins.
    Leaving {
        /// The signal that asked for it; `None` for a client.
        signal: Option<&'static str>,
    },
    /// The cluster was left.
    Left {
        /// Members known.
        members: usize,
        /// How long it took.
        elapsed: Duration,
        /// Who did not confirm it.
        unconfirmed: Vec<NodeName>,
    },
    /// The agent ends at once.
    Stopping {
        /// What asked for it.
        signal: &'static str,
    },
    /// The configuration is read again.
    Reloading {
        /// What asked for it.
        signal: &'static str,
    },
    /// It was wrong.
    ReloadFailed {
        /// A summary of its mistakes.
        error: String,
    },
}

/// What an agent turned out to be, once its sockets are bound and its snapshot is read.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its name.
    pub name: String,
    /// The gossip address it is bound to, with the real port.
    pub bind: SocketAddr,
    /// The address it tells others.
    pub advertise: SocketAddr,
    /// Where RPC listens on TCP, with the real port.
    pub rpc: Option<SocketAddr>,
    /// Whether gossip is sealed.
    pub encrypted: bool,
    /// Other members known.
    pub members: usize,
    /// Members that the snapshot knew.
    pub from_snapshot: usize,
}

impl Notice {
    /// Our own words for it.
    pub(super) fn log(&self) {
        match self {
            Self::Starting { config } => info!(version = env!("CARGO_PKG_VERSION"), config, "starting"),
            Self::GossipListening { addr, profile, keys: Some((primary, keys)) } => {
                let profile = profile.as_str();
                info!(%addr, encrypted = true, %primary, keys, profile, "gossip listening");
            }
            Self::GossipListening { addr, profile, keys: None } => {
                info!(%addr, encrypted = false, profile = profile.as_str(), "gossip listening");
            }
            Self::NotEncrypted => warn!("gossip is not encrypted; give the cluster a key ('weir keygen')"),
            Self::RpcSocketListening { socket } => info!(socket = %socket.display(), "rpc listening"),
            Self::RpcListening { addr, token } => info!(%addr, token, "rpc listening"),
            Self::Ready(Ready { members, from_snapshot, .. }) => info!(members, from_snapshot, "ready"),
            Self::Member { kind, name, addr } => log_member(*kind, name, *addr),
            Self::EventReceived { event } => info!(event, "event received"),
            Self::Joining { addresses, replay, configured } => info!(addresses, replay, configured, "joining"),
            Self::Joined { contacted, members, elapsed } => {
                info!(contacted, members, elapsed_ms = millis(*elapsed), "joined");
            }
            Self::CannotJoin { error, pause: Some(pause) } => {
                warn!(error, pause_s = pause.as_secs(), "cannot join, trying again");
            }
            Self::CannotJoin { error, pause: None } => error!(error, "cannot join"),
            Self::JoinGivenUp { tries } => error!(tries, "giving up to join"),
            Self::NameConflict { member, other } => {
                warn!(%member, addr = %other, "another member uses our name, asking the others");
            }
            Self::Leaving { signal: Some(signal) } => info!(signal, "leaving"),
            Self::Leaving { signal: None } => info!(reason = "rpc", "leaving"),
            Self::Left { members, elapsed, unconfirmed } => log_left(*members, *elapsed, unconfirmed),
            Self::Stopping { signal } => info!(signal, "stopping without a leave"),
            Self::Reloading { signal } => info!(signal, "reloading"),
            Self::ReloadFailed { error } => error!(error, "configuration is wrong, the running one stays"),
        }
    }
}

fn log_member(kind: MemberEventKind, member: &NodeName, addr: SocketAddr) {
    match kind {
        MemberEventKind::Join => info!(%member, %addr, "member joined"),
        MemberEventKind::Leave => info!(%member, %addr, "member left"),
        MemberEventKind::Failed => info!(%member, %addr, "member failed"),
        MemberEventKind::Update => info!(%member, %addr, "member updated"),
        MemberEventKind::Reap => info!(%member, %addr, "member forgotten"),
    }
}

fn log_left(members: usize, elapsed: Duration, unconfirmed: &[NodeName]) {
    let elapsed_ms = millis(elapsed);
    if unconfirmed.is_empty() {
        info!(members, elapsed_ms, "left");
    } else {
        let unconfirmed = unconfirmed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        warn!(members, elapsed_ms, unconfirmed, "left, some members did not confirm it");
    }
}
