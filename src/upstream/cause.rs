//! Why a generation was made, for history: what happened to the members whose servers it changes.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Change, Decision, Difference, History, Judged, Previous, Verdict, VerdictReason, Want, Witness, differences,
};
use crate::wire::NodeName;

/// One reason why servers change.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Cause {
    /// An operator held, released or rolled back.
    Operator,
    /// The configuration is another one.
    Configuration,
    /// Members that templates list came, went or changed.
    Members,
    /// Somebody else had changed the file.
    FileEdited,
    /// Somebody else had taken the file away.
    FileRemoved,
    /// Something happened to a member whose server it is.
    Member {
        /// Whom.
        member: NodeName,
        /// What.
        event: MemberEvent,
    },
}

/// What happened to a member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEvent {
    /// It is a server for the first time.
    Joined,
    /// It was out, and is well again.
    Recovered,
    /// It left, or is about to.
    Left,
    /// Gossip lost it.
    Failed,
    /// Its service does not answer this balancer.
    ProbeDown,
    /// It says itself that it is critical.
    Critical,
    /// It does not answer health queries any more.
    Silent,
    /// It says itself that it is not quite well, or that this is over.
    Warning,
    /// It asked for no new requests.
    Draining,
    /// It changed too often.
    Flapping,
    /// It starts slowly, and gets more than before.
    SlowStart,
    /// It serves elsewhere.
    Moved,
    /// Its tags, or what they mean, changed.
    Tags,
    /// It is not selected any more.
    NotSelected,
    /// It cannot be a server.
    LeftOut,
    /// It stays for want of others, or no longer has to.
    Needed,
}

impl Cause {
    fn of(member: &NodeName, event: MemberEvent) -> Self {
        Self::Member { member: member.clone(), event }
    }
}

/// The first causes of a generation, at most [`Self::MAX`] of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Cause>", into = "Vec<Cause>")]
pub struct Causes(Vec<Cause>);

impl Causes {
    /// More than anybody reads.
    pub const MAX: usize = 64;
    /// How many are told where there is one line for them.
    const TOLD: usize = 3;

    /// One after the other.
    pub fn as_slice(&self) -> &[Cause] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Leaves out what is beyond [`Self::MAX`].
impl FromIterator<Cause> for Causes {
    fn from_iter<T: IntoIterator<Item = Cause>>(causes: T) -> Self {
        Self(causes.into_iter().take(Self::MAX).collect())
    }
}

impl TryFrom<Vec<Cause>> for Causes {
    type Error = String;

    fn try_from(causes: Vec<Cause>) -> Result<Self, String> {
        if causes.len() > Self::MAX {
            return Err(format!("{} causes are too many, the limit is {}", causes.len(), Self::MAX));
        }
        Ok(Self(causes))
    }
}

impl From<Causes> for Vec<Cause> {
    fn from(causes: Causes) -> Self {
        causes.0
    }
}

/// `web2 probe down, web3 joined and 4 more`.
impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().take(Self::TOLD).map(ToString::to_string).collect();
        f.write_str(&told.join(", "))?;
        match self.0.len().saturating_sub(Self::TOLD) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why `decision` differs for NGINX from what `history` has live, sorted.
pub(super) fn causes(history: &History, decision: &Decision) -> BTreeSet<Cause> {
    let wanted = match &decision.want {
        Want::Servers(servers) => Some(servers),
        Want::Placeholder => None,
        Want::Hold(_) => return BTreeSet::new(),
    };
    let changes = differences(history.live(), wanted);
    // Weights are reduced by their divisor: whoever comes or goes may change everybody's number.
    let (weights, others): (Vec<&Difference>, Vec<&Difference>) =
        changes.iter().partition(|difference| matches!(difference.change, Change::Weight { .. }));
    let mut causes: BTreeSet<Cause> = others.into_iter().map(|difference| cause(difference, decision)).collect();
    if history.shares().is_empty() && causes.is_empty() {
        causes.extend(weights.into_iter().map(|difference| cause(difference, decision)));
    }
    causes.extend(decision.shares().filter_map(|(member, share)| {
        let before = history.shares().get(member).filter(|before| **before != share)?;
        let event = match before {
            before if before.half != share.half => MemberEvent::Warning,
            before if before.ramp != share.ramp => MemberEvent::SlowStart,
            _ => MemberEvent::Tags,
        };
        Some(Cause::of(member, event))
    }));
    causes
}

fn cause(Difference { member, change }: &Difference, decision: &Decision) -> Cause {
    let judged = decision.members.iter().find(|judged| judged.name == *member);
    match (change, judged) {
        (_, Some(Judged { verdict: Verdict { reason: VerdictReason::Held, .. }, .. })) => Cause::Operator,
        (Change::In { .. }, Some(judged)) => Cause::of(member, came(judged)),
        (Change::In { .. }, None) => Cause::of(member, MemberEvent::Needed),
        (Change::Out { .. }, Some(judged)) => Cause::of(member, went(judged, decision)),
        (Change::Out { .. }, None) if decision.leaves_out(member) => Cause::of(member, MemberEvent::LeftOut),
        (Change::Out { .. }, None) => Cause::of(member, MemberEvent::NotSelected),
        (Change::Moved { .. }, _) => Cause::of(member, MemberEvent::Moved),
        (Change::Weight { .. } | Change::Backup { .. } | Change::MaxConns { .. }, _) => {
            Cause::of(member, MemberEvent::Tags)
        }
    }
}

/// Of one that gets requests now.
fn came(judged: &Judged) -> MemberEvent {
    use VerdictReason::{DrainRefused, KeptByFloor, LastGoodSet};
    match (judged.verdict.reason, judged.previous) {
        (LastGoodSet | KeptByFloor | DrainRefused, _) => MemberEvent::Needed,
        (_, Previous::New) => MemberEvent::Joined,
        (_, Previous::In | Previous::Out) => MemberEvent::Recovered,
    }
}

/// Of one that gets none any more.
fn went(judged: &Judged, decision: &Decision) -> MemberEvent {
    match judged.verdict.reason {
        VerdictReason::DrainPromised | VerdictReason::Draining => return MemberEvent::Draining,
        VerdictReason::Flapping => return MemberEvent::Flapping,
        _ if judged.draft.weight == 0 => return MemberEvent::Tags,
        _ if decision.leaves_out(&judged.name) => return MemberEvent::LeftOut,
        _ => {}
    }
    match judged.witness {
        Witness::Leaving | Witness::Left => MemberEvent::Left,
        Witness::ServiceDown | Witness::SuspectDown | Witness::FailedDown | Witness::UnknownDown => {
            MemberEvent::ProbeDown
        }
        Witness::Critical | Witness::SuspectCritical | Witness::FailedCritical => MemberEvent::Critical,
        Witness::Silent => MemberEvent::Silent,
        Witness::Warning => MemberEvent::Warning,
        Witness::Suspect
        | Witness::SuspectAnswers
        | Witness::FailedAnswers
        | Witness::FailedNeverIn
        | Witness::FailedOpen
        | Witness::FailedWait
        | Witness::Failed
        | Witness::UnknownNeverIn
        | Witness::UnknownAnswers
        | Witness::Unknown => MemberEvent::Failed,
        Witness::Passing
        | Witness::SilentButAnswers
        | Witness::FirstResultPending
        | Witness::FirstSuccessPending
        | Witness::Answers
        | Witness::NoCheck => MemberEvent::Needed,
    }
}

impl fmt::Display for MemberEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joined => "joined",
            Self::Recovered => "is back",
            Self::Left => "left",
            Self::Failed => "failed",
            Self::ProbeDown => "probe down",
            Self::Critical => "critical",
            Self::Silent => "silent",
            Self::Warning => "warning",
            Self::Draining => "draining",
            Self::Flapping => "flapping",
            Self::SlowStart => "slow start",
            Self::Moved => "moved",
            Self::Tags => "tags changed",
            Self::NotSelected => "not selected",
            Self::LeftOut => "left out",
            Self::Needed => "needed",
        })
    }
}

/// `web2 probe down`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { member, event } => write!(f, "{member} {event}"),
            Self::Operator => f.write_str("operator"),
            Self::Configuration => f.write_str("configuration"),
            Self::Members => f.write_str("members"),
            Self::FileEdited => f.write_str("file edited"),
            Self::FileRemoved => f.write_str("file removed"),
        }
    }
}

#[cfg(test)]
mod tests;
