//! The member table: who is there, who was, and since when (`serf §4.2 to §4.5`).
//!
//! Pure decisions: each function is one table of the specification. What to send and to whom is `membership`'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::clock::LamportTime;
use super::intent::{Intent, IntentKind};
use super::output::{MemberEvent, MemberEventKind};
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{Tags, decode_tags};

mod by_name;
mod difference;

use by_name::ByName;
pub use difference::Difference;
pub(crate) use difference::is_changed;

/// Serf's states of a member. `swim` has others; the two sets are never mixed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Alive = 1,
    /// It announced its leave, or was told to leave, and `swim` still sees it.
    Leaving = 2,
    Left = 3,
    Failed = 4,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Leaving, Self::Left, Self::Failed];

    /// The status as Serf prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }

    /// Whether `swim` holds such a member to be there.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Leaving)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member as this node sees it. Small on purpose: a simulation holds a hundred million of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    pub node: Arc<Node>,
    pub status: Status,
    /// Time of the newest intent applied to it; intents must be newer to count.
    pub status_ltime: LamportTime,
    /// When it got its status.
    pub since: Instant,
}

impl Member {
    /// Its tags, decoded from its metadata on each call.
    pub fn tags(&self) -> Tags {
        decode_tags(&self.node.meta)
    }

    fn become_status(&mut self, status: Status, now: Instant) {
        if self.status != status {
            self.status = status;
            self.since = now;
        }
    }

    fn event(&self, kind: MemberEventKind, before: Option<Self>) -> MemberEvent {
        MemberEvent { kind, member: self.clone(), before }
    }
}

/// What a leave intent does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LeaveVerdict {
    /// No such member: a matter for the intent buffer.
    Unknown,
    /// Not newer than the member's status.
    Stale,
    /// It is about us and we are not leaving: contradict it.
    Refute,
    Applied {
        event: Option<MemberEvent>,
        status: Status,
    },
}

/// What a join intent does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum JoinVerdict {
    Unknown,
    Stale,
    Applied,
}

/// Every member known, the local one included.
#[derive(Debug, Default)]
pub(crate) struct Table {
    members: ByName,
    /// The failed and the left, so that looking after them costs nothing while there are none.
    departed: BTreeMap<NodeName, Farewell>,
    /// The same, longest gone first: who forges departures must not make us look at all of them for each.
    by_age: BTreeSet<(Instant, NodeName)>,
}

/// How a member went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Farewell {
    /// It announced it, to `swim` or by an intent.
    Announced,
    /// Without a word.
    Silent,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// All members in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The failed and the left, in the order of their names.
    pub(crate) fn departed(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.departed.keys().map(|name| self.members.get(name.as_str()).expect("departed holds names of members only"))
    }

    /// The departed member whose status is the oldest.
    pub(crate) fn longest_gone(&self) -> Option<&NodeName> {
        self.by_age.first().map(|(_, name)| name)
    }

    /// Whether a member is left only because somebody said so (`force-leave`) after it had died: nobody expects it back.
    pub(crate) fn was_forced_out(&self, name: &str) -> bool {
        self.departed.get(name) == Some(&Farewell::Silent)
            && self.members.get(name).is_some_and(|member| member.status == Status::Left)
    }

    /// Members that `swim` holds to be there, the local one included.
    pub(crate) fn present(&self) -> usize {
        self.members.len() - self.departed.len()
    }

    /// The member at `addr`.
    pub(crate) fn by_addr(&self, addr: SocketAddr) -> Option<&Member> {
        self.iter().find(|member| member.node.addr == addr)
    }

    /// Takes over members that are alive, in the order of their names.
    pub(crate) fn preload(&mut self, now: Instant, nodes: &[Arc<Node>]) {
        let known = std::mem::take(&mut self.members);
        self.members = nodes.iter().map(|node| Self::newcomer(now, Arc::clone(node), None)).collect();
        known.iter().cloned().for_each(|member| self.members.insert(member));
    }

    /// `swim` reports a member alive that was unknown, dead or left to it.
    pub(crate) fn joined(&mut self, now: Instant, node: Arc<Node>, intent: Option<Intent>) -> MemberEvent {
        self.no_longer_departed(node.name.as_str());
        let before = self.members.remove(node.name.as_str());
        let member = match before.clone() {
            Some(mut known) => {
                known.node = node;
                known.become_status(Status::Alive, now);
                known
            }
            None => Self::newcomer(now, node, intent),
        };
        let event = member.event(MemberEventKind::Join, before);
        self.members.insert(member);
        event
    }

    fn newcomer(now: Instant, node: Arc<Node>, intent: Option<Intent>) -> Member {
        let (status, status_ltime) = match intent {
            None => (Status::Alive, LamportTime::ZERO),
            Some(Intent { kind: IntentKind::Join, ltime, .. }) => (Status::Alive, ltime),
            Some(Intent { kind: IntentKind::Leave, ltime, .. }) => (Status::Leaving, ltime),
        };
        Member { node, status, status_ltime, since: now }
    }

    /// `swim` reports a member dead, or left by its own word if it `announced` that; the status depends on the intent alone.
    pub(crate) fn gone(&mut self, now: Instant, name: &NodeName, announced: bool) -> Option<MemberEvent> {
        let (status, kind) = match self.get(name.as_str())?.status {
            Status::Alive => (Status::Failed, MemberEventKind::Failed),
            Status::Leaving => (Status::Left, MemberEventKind::Leave),
            Status::Left | Status::Failed => return None,
        };
        let silent = status == Status::Failed && !announced;
        self.by_age.insert((now, name.clone()));
        self.departed.insert(name.clone(), if silent { Farewell::Silent } else { Farewell::Announced });
        self.members.change(name.as_str(), |member| {
            let before = member.clone();
            member.become_status(status, now);
            member.event(kind, Some(before))
        })
    }

    /// `swim` reports new metadata, address or versions. Equal tags in another byte order are no update: a map has no
    /// order in the reference.
    pub(crate) fn updated(&mut self, node: Arc<Node>) -> Option<MemberEvent> {
        let name = node.name.clone();
        let updated = self.members.change(name.as_str(), |member| {
            let before = member.clone();
            member.node = node;
            is_changed(&before.node, &member.node).then(|| member.event(MemberEventKind::Update, Some(before)))
        });
        updated.flatten()
    }

    /// A leave intent about `name`; `refutable` if it is ours and we are not leaving.
    pub(crate) fn leave_intent(
        &mut self,
        now: Instant,
        name: &str,
        ltime: LamportTime,
        refutable: bool,
    ) -> LeaveVerdict {
        match self.get(name) {
            None => return LeaveVerdict::Unknown,
            Some(member) if ltime <= member.status_ltime => return LeaveVerdict::Stale,
            Some(_) if refutable => return LeaveVerdict::Refute,
            Some(_) => {}
        }
        let Self { members, by_age, .. } = self;
        let applied = members.change(name, |member| {
            // In every case, or copies would go round for ever.
            member.status_ltime = ltime;
            let event = match member.status {
                Status::Alive => {
                    member.become_status(Status::Leaving, now);
                    None
                }
                Status::Failed => {
                    let (before, name) = (member.clone(), member.node.name.clone());
                    by_age.remove(&(member.since, name.clone()));
                    by_age.insert((now, name));
                    member.become_status(Status::Left, now);
                    Some(member.event(MemberEventKind::Leave, Some(before)))
                }
                Status::Leaving | Status::Left => None,
            };
            LeaveVerdict::Applied { event, status: member.status }
        });
        applied.unwrap_or(LeaveVerdict::Unknown)
    }

    /// A join intent about `name`. It calls off a leave; only `swim` brings back the failed and the left.
    pub(crate) fn join_intent(&mut self, now: Instant, name: &str, ltime: LamportTime) -> JoinVerdict {
        match self.get(name) {
            None => return JoinVerdict::Unknown,
            Some(member) if ltime <= member.status_ltime => return JoinVerdict::Stale,
            Some(_) => {}
        }
        self.members.change(name, |member| {
            member.status_ltime = ltime;
            match member.status {
                Status::Leaving => member.become_status(Status::Alive, now),
                Status::Alive | Status::Left | Status::Failed => {}
            }
        });
        JoinVerdict::Applied
    }

    /// Takes over a failed member of an earlier run, unless it is known.
    pub(crate) fn restore_failed(&mut self, node: Arc<Node>, since: Instant) {
        let name = node.name.clone();
        if self.get(name.as_str()).is_some() {
            return;
        }
        self.members.insert(Member { node, status: Status::Failed, status_ltime: LamportTime::ZERO, since });
        self.by_age.insert((since, name.clone()));
        self.departed.insert(name, Farewell::Silent);
    }

    /// Forgets a member.
    pub(crate) fn remove(&mut self, name: &str) -> Option<MemberEvent> {
        self.no_longer_departed(name);
        self.members.remove(name).map(|member| MemberEvent { kind: MemberEventKind::Reap, member, before: None })
    }

    /// Called while the member still has the status it departed with.
    fn no_longer_departed(&mut self, name: &str) {
        if let (Some((name, _)), Some(member)) = (self.departed.remove_entry(name), self.members.get(name)) {
            self.by_age.remove(&(member.since, name));
        }
    }
}

#[cfg(test)]
mod tests;
