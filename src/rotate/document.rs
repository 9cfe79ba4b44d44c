//! What a client asks about keys, and what it is told, as documents. Names are peers' own: escape them before a terminal
//! sees them.

use serde::{Deserialize, Serialize};
use zeroize::ZeroizeOnDrop;

use super::progress::{Action, End, MemberRing, Plan, Progress, Step, Stopped, Why};
use crate::crypto::KeyId;
use crate::known::Known;
use crate::wire::NodeName;

/// Start a run; answered with [`Started`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Start {
    pub absent: Vec<String>,
    pub force: Vec<String>,
    pub dry_run: bool,
}

/// A run of this agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Started {
    pub rotation: u64,
}

/// Answered with [`Lines`] as soon as there are more than `after`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Follow {
    pub rotation: u64,
    pub after: usize,
}

/// News of a run. The last line of all is [`Line::Rotated`] or [`Line::Stopped`]; of a dry run, which only looks, the plan.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Lines {
    pub lines: Vec<Line>,
    /// Nothing follows.
    pub ended: bool,
}

/// Put a key into this host's ring.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize, ZeroizeOnDrop)]
pub struct Import {
    /// Base64.
    #[serde(default)]
    pub key: String,
    /// Only hold it; without, it also seals from now on.
    #[serde(default)]
    #[zeroize(skip)]
    pub add: bool,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("add", &self.add).finish_non_exhaustive()
    }
}

/// The key that an import has put there.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Imported {
    pub id: String,
    /// The other keys of the ring.
    pub others: Vec<String>,
}

/// One line of a run's story.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The check is done.
    Planned {
        /// Keys that seal now, the most used first.
        #[serde(default)]
        old: Vec<String>,
        /// The fresh key.
        #[serde(default)]
        new: String,
        /// Keys that are nobody's primary.
        #[serde(default)]
        extra: Vec<String>,
        #[serde(default)]
        members: Vec<Member>,
        #[serde(default)]
        tombstones: Vec<String>,
        #[serde(default)]
        clean_up: bool,
        /// A pause for what may still be on its way to plain Serf members.
        #[serde(default)]
        wait_s: Option<u64>,
    },
    /// A request has ended.
    Confirmed {
        #[serde(default)]
        step: Known<Step>,
        #[serde(default)]
        action: Known<Action>,
        #[serde(default)]
        key: Option<String>,
        #[serde(default)]
        confirmed: usize,
        #[serde(default)]
        of: usize,
        #[serde(default)]
        complete: bool,
        /// Since the start of the run.
        #[serde(default)]
        elapsed_ms: u64,
    },
    Rotated {
        #[serde(default)]
        old: Vec<String>,
        #[serde(default)]
        new: String,
        /// Those who have followed.
        #[serde(default)]
        members: usize,
        #[serde(default)]
        locked_out: Vec<String>,
        /// Those named by `--absent` that have not,
        #[serde(default)]
        absent: Vec<Unconfirmed>,
        /// and the keys that stay for their sake.
        #[serde(default)]
        left_over: Vec<String>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    Stopped {
        #[serde(default)]
        step: Known<Step>,
        #[serde(default)]
        old: Vec<String>,
        #[serde(default)]
        new: String,
        /// Somebody holds the new key,
        #[serde(default)]
        taken: bool,
        /// and seals with it.
        #[serde(default)]
        sealing: bool,
        /// Other keys that rings may hold.
        #[serde(default)]
        left_over: Vec<String>,
        #[serde(default)]
        members: usize,
        #[serde(default)]
        who: Vec<Unconfirmed>,
        #[serde(default)]
        elapsed_ms: u64,
    },
    /// Only a newer program knows it.
    #[serde(untagged)]
    Newer { kind: String },
}

/// A member that is not left, at the check.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Member {
    pub name: String,
    pub status: String,
    /// When it got that status, RFC 3339.
    pub since: String,
    /// `None` if its ring is not known.
    pub holds: Option<Vec<String>>,
    pub seals_with: Option<String>,
    /// It is known to be weir.
    pub weir: bool,
}

/// A member that a run stopped at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unconfirmed {
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    pub why: Reason,
}

/// [`Why`], for programs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Reason {
    Away {
        #[serde(default)]
        status: String,
        #[serde(default)]
        since: String,
    },
    Silent,
    Refused {
        #[serde(default)]
        text: String,
    },
    NotKept {
        #[serde(default)]
        text: String,
    },
    Superseded {
        #[serde(default)]
        text: String,
    },
    Truncated,
    Unknown,
    /// Only a newer program knows it.
    #[serde(untagged)]
    Newer {
        why: String,
    },
}

/// Tells an age as a time of day; only the driver has a calendar.
pub type Since<'a> = &'a dyn Fn(std::time::Duration) -> String;

impl Line {
    /// `progress`, `elapsed_ms` after the start of the run.
    pub fn of_progress(progress: &Progress, elapsed_ms: u64, since: Since<'_>) -> Self {
        match progress {
            Progress::Planned(plan) => Self::of_plan(plan, since),
            Progress::Confirmed { step, action, key, confirmed, of, complete } => Self::Confirmed {
                step: (*step).into(),
                action: (*action).into(),
                key: key.map(|key| key.to_string()),
                confirmed: *confirmed,
                of: *of,
                complete: *complete,
                elapsed_ms,
            },
        }
    }

    /// `end`, unless the plan has said it all.
    pub fn of_end(end: &End, elapsed_ms: u64, since: Since<'_>) -> Option<Self> {
        match end {
            End::Planned => None,
            End::Rotated { old, new, members, locked_out, absent, left_over } => Some(Self::Rotated {
                old: ids(old),
                new: new.to_string(),
                members: *members,
                locked_out: names(locked_out),
                absent: unconfirmed(absent, since),
                left_over: ids(left_over),
                elapsed_ms,
            }),
            End::Stopped(Stopped { step, old, new, taken, sealing, left_over, members, who }) => Some(Self::Stopped {
                step: (*step).into(),
                old: ids(old),
                new: new.to_string(),
                taken: *taken,
                sealing: *sealing,
                left_over: ids(left_over),
                members: *members,
                who: unconfirmed(who, since),
                elapsed_ms,
            }),
        }
    }

    fn of_plan(plan: &Plan, since: Since<'_>) -> Self {
        let member = |MemberRing { peer, holds, seals_with }: &MemberRing| Member {
            name: text(&peer.name),
            status: peer.status.to_string(),
            since: since(peer.age),
            holds: holds.as_deref().map(ids),
            seals_with: seals_with.map(|key| key.to_string()),
            weir: peer.obeys_ballots,
        };
        Self::Planned {
            old: ids(&plan.old),
            new: plan.new.to_string(),
            extra: ids(&plan.extra),
            members: plan.members.iter().map(member).collect(),
            tombstones: names(&plan.tombstones),
            clean_up: plan.clean_up,
            wait_s: plan.wait.map(|wait| wait.as_secs()),
        }
    }
}

fn unconfirmed(who: &[(NodeName, Why)], since: Since<'_>) -> Vec<Unconfirmed> {
    who.iter().map(|(name, why)| Unconfirmed { name: text(name), why: reason(why, since) }).collect()
}

fn reason(why: &Why, since: Since<'_>) -> Reason {
    match why {
        Why::Away { status, age } => Reason::Away { status: status.to_string(), since: since(*age) },
        Why::Silent => Reason::Silent,
        Why::Refused(text) => Reason::Refused { text: text.clone() },
        Why::NotKept(text) => Reason::NotKept { text: text.clone() },
        Why::Superseded(text) => Reason::Superseded { text: text.clone() },
        Why::Truncated => Reason::Truncated,
        Why::Unknown => Reason::Unknown,
    }
}

fn ids(keys: &[KeyId]) -> Vec<String> {
    keys.iter().map(KeyId::to_string).collect()
}

fn names(names: &[NodeName]) -> Vec<String> {
    names.iter().map(text).collect()
}

fn text(name: &NodeName) -> String {
    name.as_str().to_owned()
}

/// Who holds which key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Status {
    pub keys: Vec<KeyStatus>,
    pub members: Vec<MemberStatus>,
}

/// One key, by what members present say.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct KeyStatus {
    pub id: String,
    /// Members that seal with it,
    pub primary_on: usize,
    /// and that hold it,
    pub held_by: usize,
    /// of those who are not left.
    pub members: usize,
    /// Packets and streams that this host has sealed with it in memberlist's envelope.
    pub sealed_packets: u64,
    /// Share of what it bears over the whole cluster, if all members seal as much: 0 to 1 and beyond.
    pub worn: f64,
}

/// One member.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MemberStatus {
    pub name: String,
    pub status: String,
    /// `None` if it did not say.
    pub holds: Option<Vec<String>>,
    pub seals_with: Option<String>,
    /// `session`, `memberlist`, or empty if it is not known.
    pub envelope: String,
    /// `None` while it is there; RFC 3339.
    pub last_seen: Option<String>,
    /// Why its ring is not known, or not whole.
    pub message: Option<String>,
}
