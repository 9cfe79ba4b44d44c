//! First table: what the witnesses say about one server (`protocols D.1`).

use std::fmt;

use super::{AgentLost, Check, Gossip, Policy, Previous, Probe, Warning};

/// What should become of a server by the evidence about it alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Intent {
    /// In.
    In,
    /// In at half its weight.
    Half,
    /// In, and marked `agent-lost`.
    Lost,
    /// As it was: no evidence.
    Stay,
    /// Out until its first success.
    Warm,
    /// Out, unless too few would be left.
    Sick,
    /// Out.
    Dead,
    /// Out, and no member of the group any more.
    Gone,
}

/// The rule of the table that applied. It decides the intent, and `explain` prints it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    Passing,
    Warning,
    Critical,
    ServiceDown,
    SilentButAnswers,
    Silent,
    FirstResultPending,
    FirstSuccessPending,
    Answers,
    NoCheck,
    SuspectDown,
    SuspectCritical,
    SuspectAnswers,
    Suspect,
    FailedDown,
    FailedCritical,
    FailedAnswers,
    FailedNeverIn,
    FailedOpen,
    FailedWait,
    Failed,
    UnknownNeverIn,
    UnknownAnswers,
    UnknownDown,
    Unknown,
    Leaving,
    Left,
}

/// What gossip, the member's own word and our probe add up to, given what the server was in the last good set.
pub fn witness(gossip: Gossip, check: Check, probe: Probe, previous: Previous) -> Witness {
    match gossip {
        Gossip::Alive => alive(check, probe, previous),
        Gossip::Suspect => suspect(check, probe, previous),
        Gossip::Failed => failed(check, probe, previous),
        Gossip::Unknown => unknown(probe, previous),
        Gossip::Leaving => Witness::Leaving,
        Gossip::Left => Witness::Left,
    }
}

fn alive(check: Check, probe: Probe, previous: Previous) -> Witness {
    match (check, probe) {
        (Check::Critical, _) => Witness::Critical,
        (_, Probe::Down) => Witness::ServiceDown,
        (Check::Silent, Probe::Up) => Witness::SilentButAnswers,
        (Check::Silent, _) => Witness::Silent,
        (Check::Wait, _) | (_, Probe::Wait) if previous == Previous::In => Witness::FirstResultPending,
        (Check::Wait, _) | (_, Probe::Wait) => Witness::FirstSuccessPending,
        (Check::Passing, _) => Witness::Passing,
        (Check::Warning, _) => Witness::Warning,
        (Check::None, Probe::Up | Probe::Open) => Witness::Answers,
        (Check::None, Probe::None) => Witness::NoCheck,
    }
}

/// A suspect's check is stale; only `critical` as its last word counts.
fn suspect(check: Check, probe: Probe, previous: Previous) -> Witness {
    match (probe, check) {
        (Probe::Down, _) => Witness::SuspectDown,
        (_, Check::Critical) => Witness::SuspectCritical,
        (Probe::Up, _) if previous == Previous::In => Witness::SuspectAnswers,
        (Probe::Up | Probe::Open | Probe::Wait | Probe::None, _) => Witness::Suspect,
    }
}

/// An open port alone retains nobody: a stopped host still completes TCP handshakes in the kernel.
fn failed(check: Check, probe: Probe, previous: Previous) -> Witness {
    match (probe, check) {
        (Probe::Down, _) => Witness::FailedDown,
        (_, Check::Critical) => Witness::FailedCritical,
        (Probe::Up, _) if previous == Previous::New => Witness::FailedNeverIn,
        (Probe::Up, _) => Witness::FailedAnswers,
        (Probe::Open, _) => Witness::FailedOpen,
        (Probe::Wait, _) => Witness::FailedWait,
        (Probe::None, _) => Witness::Failed,
    }
}

fn unknown(probe: Probe, previous: Previous) -> Witness {
    match (previous, probe) {
        (Previous::Out | Previous::New, _) => Witness::UnknownNeverIn,
        (Previous::In, Probe::Up) => Witness::UnknownAnswers,
        (Previous::In, Probe::Down) => Witness::UnknownDown,
        (Previous::In, Probe::Open | Probe::Wait | Probe::None) => Witness::Unknown,
    }
}

impl Witness {
    /// The intent by the table.
    pub fn intent(self) -> Intent {
        match self {
            Self::Passing | Self::SilentButAnswers | Self::Answers | Self::NoCheck => Intent::In,
            Self::Warning => Intent::Half,
            Self::SuspectAnswers | Self::FailedAnswers | Self::UnknownAnswers => Intent::Lost,
            Self::FirstResultPending | Self::Suspect | Self::FailedWait | Self::Unknown => Intent::Stay,
            Self::FirstSuccessPending | Self::FailedNeverIn | Self::UnknownNeverIn => Intent::Warm,
            Self::Critical | Self::ServiceDown | Self::Silent | Self::SuspectCritical | Self::FailedCritical => {
                Intent::Sick
            }
            Self::SuspectDown | Self::FailedDown | Self::FailedOpen | Self::Failed | Self::UnknownDown => Intent::Dead,
            Self::Leaving | Self::Left => Intent::Gone,
        }
    }

    /// Whether it is this balancer's probe that speaks against the member.
    pub(super) fn is_against_by_probe(self) -> bool {
        match self {
            Self::ServiceDown | Self::SuspectDown | Self::FailedDown | Self::UnknownDown => true,
            Self::Passing
            | Self::Warning
            | Self::Critical
            | Self::SilentButAnswers
            | Self::Silent
            | Self::FirstResultPending
            | Self::FirstSuccessPending
            | Self::Answers
            | Self::NoCheck
            | Self::SuspectCritical
            | Self::SuspectAnswers
            | Self::Suspect
            | Self::FailedCritical
            | Self::FailedAnswers
            | Self::FailedNeverIn
            | Self::FailedOpen
            | Self::FailedWait
            | Self::Failed
            | Self::UnknownNeverIn
            | Self::UnknownAnswers
            | Self::Unknown
            | Self::Leaving
            | Self::Left => false,
        }
    }

    /// The intent by the table as the operator's policy bends it.
    pub fn intent_under(self, policy: &Policy) -> Intent {
        match (self, policy.warning, policy.agent_lost) {
            (Self::Warning, Warning::In, _) => Intent::In,
            (Self::Warning, Warning::Down, _) => Intent::Sick,
            (Self::FailedAnswers, _, AgentLost::Gone) => Intent::Dead,
            (Self::FirstSuccessPending, _, _) if policy.no_warm_up => Intent::In,
            _ => self.intent(),
        }
    }
}

/// The reason in words, as in the table.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "says itself that it is critical",
            Self::ServiceDown => "its service does not answer this balancer",
            Self::SilentButAnswers => "health query unanswered, its service answers",
            Self::Silent => "health query unanswered, nothing vouches for it",
            Self::FirstResultPending => "no first result yet, was in before",
            Self::FirstSuccessPending => "no first success yet",
            Self::Answers => "its service answers",
            Self::NoCheck => "alive, no check configured",
            Self::SuspectDown => "suspect, and its service does not answer",
            Self::SuspectCritical => "suspect, and its last word was critical",
            Self::SuspectAnswers => "suspect, its service answers",
            Self::Suspect => "suspect, nothing against it but silence",
            Self::FailedDown => "failed, and its service does not answer",
            Self::FailedCritical => "failed, and its last word was critical",
            Self::FailedAnswers => "agent lost, its service answers",
            Self::FailedNeverIn => "failed before it was ever in",
            Self::FailedOpen => "failed, an open port alone vouches for nothing",
            Self::FailedWait => "failed, the probe has no verdict yet",
            Self::Failed => "failed, nothing vouches for it",
            Self::UnknownNeverIn => "not a member and never in",
            Self::UnknownAnswers => "not a member yet, its service answers",
            Self::UnknownDown => "not a member, its service does not answer",
            Self::Unknown => "not a member yet, no evidence (until rejoin_grace ends, then as failed)",
            Self::Leaving => "announced its leave",
            Self::Left => "left the cluster",
        })
    }
}
