//! What a rotation tells: how far it is, and how it ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Peer;
use crate::crypto::KeyId;
use crate::serf::Status;
use crate::wire::NodeName;

/// The steps, in their order. Each has what all before it have, from whoever came since, too.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Every member present lists its ring. Nothing changes.
    #[default]
    Check,
    /// Rings are nearly full: keys that are nobody's primary are removed first.
    CleanUp,
    Install,
    Use,
    Remove,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::CleanUp => "clean-up",
            Self::Install => "install",
            Self::Use => "use",
            Self::Remove => "remove",
        })
    }
}

/// What a request does to a ring.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    #[default]
    List,
    Install,
    Use,
    Remove,
}

/// News of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The check is done.
    Planned(Plan),
    /// A request has ended.
    Confirmed {
        step: Step,
        action: Action,
        /// The key that it was about.
        key: Option<KeyId>,
        /// Members that have confirmed, in this request or before,
        confirmed: usize,
        /// of those who are not left.
        of: usize,
        /// Nobody is waited for any more.
        complete: bool,
    },
}

/// What the check found, and what follows from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Keys that seal now, the most used first. More than one after an interrupted run.
    pub old: Vec<KeyId>,
    /// The key that this run brings.
    pub new: KeyId,
    /// Keys that are nobody's primary.
    pub extra: Vec<KeyId>,
    /// Everybody who is not left.
    pub members: Vec<MemberRing>,
    /// Members that left long ago or were made to leave: coming back, they need `weir keys import`.
    pub tombstones: Vec<NodeName>,
    /// Whether rings are cleaned up before anything else.
    pub clean_up: bool,
    /// A request of an aborted run may still reach a plain Serf member: this time passes first.
    pub wait: Option<Duration>,
}

/// What is known of one member's ring.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberRing {
    pub peer: Peer,
    /// `None` if it was not listed.
    pub holds: Option<Vec<KeyId>>,
    pub seals_with: Option<KeyId>,
}

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// A dry run: the plan is all.
    Planned,
    /// The new key seals on every member, and the old ones are gone; or, with members that were named absent, on all but
    /// those, for whose sake the keys `left_over` stay.
    Rotated {
        /// All others, those that sealed first.
        old: Vec<KeyId>,
        new: KeyId,
        /// Those who have followed.
        members: usize,
        locked_out: Vec<NodeName>,
        absent: Vec<(NodeName, Why)>,
        left_over: Vec<KeyId>,
    },
    /// Everybody who could talk before still can; another run finishes.
    Stopped(Stopped),
}

/// Where a run stopped, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stopped {
    pub step: Step,
    /// Keys that sealed at the check.
    pub old: Vec<KeyId>,
    pub new: KeyId,
    /// Somebody has said that it holds the new key,
    pub taken: bool,
    /// and that it seals with it.
    pub sealing: bool,
    /// Other keys that rings may hold, those that sealed at the check first.
    pub left_over: Vec<KeyId>,
    /// Members that are not left.
    pub members: usize,
    pub who: Vec<(NodeName, Why)>,
}

/// Why a member stopped a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// It is not there.
    Away { status: Status, age: Duration },
    /// It did not answer.
    Silent,
    /// It answered with a failure; the text is its own.
    Refused(String),
    /// It obeys in memory alone, and forgets with its next restart; the text is its own.
    NotKept(String),
    /// It obeys another rotation; the text is its own.
    Superseded(String),
    /// It has more keys than its answers hold, and none of those shown may be removed.
    Truncated,
    /// No member is called so.
    Unknown,
}
