//! What the agent tells in more words than its own: a line of the log, and whatever a console makes of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::field::display;
use tracing::{error, info, warn};

use crate::config::Profile;
use crate::crypto::KeyId;
use crate::endpoint::NameTrouble;
use crate::serf::{MemberEvent, MemberEventKind, Status};
use crate::time::millis;
use crate::wire::NodeName;

/// Marks the events of [`Notice::log`].
pub(super) const TARGET: &str = module_path!();
/// Members that one line names.
const MAX_NAMED: usize = 8;
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
    /// Serf's tags file was read.
    TagsRestored {
        /// How many it holds.
        tags: usize,
        /// Its path.
        file: String,
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
    Member(MemberEvent),
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
    /// Another host has our name and asks the others about it.
    NameClaimed {
        /// Our name.
        member: NodeName,
        /// Where the other is.
        other: SocketAddr,
    },
    /// Another member's name is in its way.
    NameTrouble(NameTrouble),
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
    /// A signal behind a leave changes nothing about it.
    LeaveGoesOn {
        /// Which.
        signal: &'static str,
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
        /// Each with its place and its way out.
        mistakes: Vec<String>,
        /// How many, and where.
        summary: String,
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
            Self::TagsRestored { tags, file } => info!(tags, file, "tags of Serf's file restored"),
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
            Self::Member(event) => log_member(event),
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
            Self::NameClaimed { member, other } => {
                warn!(%member, addr = %other, "another host uses our name, which we hold; set a different node.name there");
            }
            Self::NameTrouble(NameTrouble::Claimed { name, holder, other }) => {
                warn!(member = %name, addr = %holder, %other, "two hosts claim one name, the first keeps it; set a different node.name on one of them");
            }
            Self::NameTrouble(NameTrouble::TooLong { addr, bytes }) => {
                let limit = NodeName::MAX_BYTES;
                warn!(%addr, bytes, limit, "a host's name is too long for it to be a member here; set a shorter one there");
            }
            Self::Leaving { signal: Some(signal) } => info!(signal, "leaving"),
            Self::Leaving { signal: None } => info!(reason = "rpc", "leaving"),
            Self::Left { members, elapsed, unconfirmed } => log_left(*members, *elapsed, unconfirmed),
            Self::LeaveGoesOn { signal } => info!(signal, "leaving already, a second signal ends the wait"),
            Self::Stopping { signal } => info!(signal, "stopping without a leave"),
            Self::Reloading { signal } => info!(signal, "reloading"),
            Self::ReloadFailed { mistakes, summary } => {
                mistakes.iter().for_each(|mistake| error!(mistake, "configuration is wrong"));
                error!(error = summary, "configuration is wrong, the running one stays");
            }
        }
    }
}

/// `was` is told where the word of the event leaves it open.
fn log_member(event: &MemberEvent) {
    let (member, addr, status) = (&event.member.node.name, event.member.node.addr, event.member.status);
    let was = event.before.as_ref().map(|before| before.status);
    let (returned, forced) = (was.map(display), was.filter(|was| *was == Status::Failed).map(display));
    let changed = event.differences().iter().map(ToString::to_string).reduce(|list, next| list + ", " + &next);
    match event.kind {
        MemberEventKind::Join => info!(%member, %addr, was = returned, changed, "member joined"),
        MemberEventKind::Leave => info!(%member, %addr, was = forced, "member left"),
        MemberEventKind::Failed => info!(%member, %addr, "member failed"),
        // Serf tells of an update also where nothing is different.
        MemberEventKind::Update => {
            info!(%member, %addr, changed = changed.as_deref().unwrap_or("nothing"), "member updated");
        }
        MemberEventKind::Reap => info!(%member, %addr, was = %status, "member forgotten"),
    }
}

/// Names in one field: the first of them, and how many more there are.
pub(super) fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let named = names.take(MAX_NAMED).collect::<Vec<_>>().join(",");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn log_left(members: usize, elapsed: Duration, unconfirmed: &[NodeName]) {
    let elapsed_ms = millis(elapsed);
    if unconfirmed.is_empty() {
        info!(members, elapsed_ms, "left");
    } else {
        let unconfirmed = some_of(unconfirmed.iter().map(NodeName::as_str));
        warn!(members, elapsed_ms, unconfirmed, "left, some members did not confirm it");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::agent::log::captured;
    use crate::serf::{LamportTime, Member};
    use crate::swim::Node;
    use crate::time::Instant;
    use crate::wire::message::Versions;
    use crate::wire::serf::{Tags, encode_tags};

    fn member(status: Status, host: u8, tags: &[(&str, &str)]) -> Member {
        let tags: Tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let (name, addr) = (NodeName::new("web1").unwrap(), SocketAddr::from(([10, 77, 0, host], 7946)));
        let node = Node { name, addr, meta: encode_tags(&tags), versions: Versions::OURS };
        Member { node: Arc::new(node), status, status_ltime: LamportTime(0), since: Instant::ZERO }
    }

    #[test]
    fn a_line_about_a_member_says_what_changed_and_from_what() {
        use MemberEventKind::{Failed, Join, Leave, Reap, Update};
        let old = |status| Some(member(status, 12, &[("port", "80"), ("zone", "a b")]));
        let new = |status| member(status, 12, &[("port", "81"), ("weight", "2")]);
        let changed = r#"changed="port 80 -> 81, + weight 2, - zone a b""#;
        let moved = member(Status::Alive, 13, &[("port", "80"), ("zone", "a b")]);
        for (kind, member, before, said) in [
            (Join, new(Status::Alive), None, "joined member=web1 addr=10.77.0.12:7946".to_owned()),
            (
                Join,
                old(Status::Alive).unwrap(),
                old(Status::Left),
                "joined member=web1 addr=10.77.0.12:7946 was=left".into(),
            ),
            (
                Join,
                new(Status::Alive),
                old(Status::Failed),
                format!("joined member=web1 addr=10.77.0.12:7946 was=failed {changed}"),
            ),
            (
                Update,
                new(Status::Alive),
                old(Status::Alive),
                format!("updated member=web1 addr=10.77.0.12:7946 {changed}"),
            ),
            (
                Update,
                moved,
                old(Status::Alive),
                "updated member=web1 addr=10.77.0.13:7946 changed=\"address 10.77.0.12:7946 -> 10.77.0.13:7946\""
                    .into(),
            ),
            (
                Update,
                new(Status::Alive),
                Some(new(Status::Alive)),
                "updated member=web1 addr=10.77.0.12:7946 changed=nothing".into(),
            ),
            (Failed, new(Status::Failed), Some(new(Status::Alive)), "failed member=web1 addr=10.77.0.12:7946".into()),
            (Leave, new(Status::Left), Some(new(Status::Leaving)), "left member=web1 addr=10.77.0.12:7946".into()),
            (
                Leave,
                new(Status::Left),
                Some(new(Status::Failed)),
                "left member=web1 addr=10.77.0.12:7946 was=failed".into(),
            ),
            (Reap, new(Status::Left), None, "forgotten member=web1 addr=10.77.0.12:7946 was=left".into()),
        ] {
            let line = captured(|| Notice::Member(MemberEvent { kind, member, before }).log());
            assert_eq!(line.message(), format!("member {said}"));
        }
    }

    #[test]
    fn many_names_are_some_and_a_number() {
        let some = |count: usize| some_of((0..count).map(|_| "a"));
        assert_eq!([some(0), some(2), some(8), some(10)], ["", "a,a", "a,a,a,a,a,a,a,a", "a,a,a,a,a,a,a,a and 2 more"]);
    }
}
