//! First table: what the witnesses say about one server (`protocols D.1`).

use std::fmt;

use super::{AgentLost, Check, Gossip, Policy, Probe, Warning, Was};

/// What should become of a server by the evidence about it alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
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

/// The rule of the table that applied. It decides the wish, and `explain` prints it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
pub fn witness(gossip: Gossip, check: Check, probe: Probe, was: Was) -> Witness {
    match gossip {
        Gossip::Alive => alive(check, probe, was),
        Gossip::Suspect => suspect(check, probe, was),
        Gossip::Failed => failed(check, probe, was),
        Gossip::Unknown => unknown(probe, was),
        Gossip::Leaving => Witness::Leaving,
        Gossip::Left => Witness::Left,
    }
}

fn alive(check: Check, probe: Probe, was: Was) -> Witness {
    match (check, probe) {
        (Check::Critical, _) => Witness::Critical,
        (_, Probe::Down) => Witness::ServiceDown,
        (Check::Silent, Probe::Up) => Witness::SilentButAnswers,
        (Check::Silent, _) => Witness::Silent,
        (Check::Wait, _) | (_, Probe::Wait) if was == Was::In => Witness::FirstResultPending,
        (Check::Wait, _) | (_, Probe::Wait) => Witness::FirstSuccessPending,
        (Check::Passing, _) => Witness::Passing,
        (Check::Warning, _) => Witness::Warning,
        (Check::None, Probe::Up | Probe::Open) => Witness::Answers,
        (Check::None, Probe::None) => Witness::NoCheck,
    }
}

/// A suspect's check is stale; only `critical` as its last word counts.
fn suspect(check: Check, probe: Probe, was: Was) -> Witness {
    match (probe, check) {
        (Probe::Down, _) => Witness::SuspectDown,
        (_, Check::Critical) => Witness::SuspectCritical,
        (Probe::Up, _) if was == Was::In => Witness::SuspectAnswers,
        (Probe::Up | Probe::Open | Probe::Wait | Probe::None, _) => Witness::Suspect,
    }
}

/// An open port alone retains nobody: a stopped host still completes TCP handshakes in the kernel.
fn failed(check: Check, probe: Probe, was: Was) -> Witness {
    match (probe, check) {
        (Probe::Down, _) => Witness::FailedDown,
        (_, Check::Critical) => Witness::FailedCritical,
        (Probe::Up, _) if was == Was::New => Witness::FailedNeverIn,
        (Probe::Up, _) => Witness::FailedAnswers,
        (Probe::Open, _) => Witness::FailedOpen,
        (Probe::Wait, _) => Witness::FailedWait,
        (Probe::None, _) => Witness::Failed,
    }
}

fn unknown(probe: Probe, was: Was) -> Witness {
    match (was, probe) {
        (Was::Out | Was::New, _) => Witness::UnknownNeverIn,
        (Was::In, Probe::Up) => Witness::UnknownAnswers,
        (Was::In, Probe::Down) => Witness::UnknownDown,
        (Was::In, Probe::Open | Probe::Wait | Probe::None) => Witness::Unknown,
    }
}

impl Witness {
    /// The wish by the table.
    pub fn wish(self) -> Wish {
        match self {
            Self::Passing | Self::SilentButAnswers | Self::Answers | Self::NoCheck => Wish::In,
            Self::Warning => Wish::Half,
            Self::SuspectAnswers | Self::FailedAnswers | Self::UnknownAnswers => Wish::Lost,
            Self::FirstResultPending | Self::Suspect | Self::FailedWait | Self::Unknown => Wish::Stay,
            Self::FirstSuccessPending | Self::FailedNeverIn | Self::UnknownNeverIn => Wish::Warm,
            Self::Critical | Self::ServiceDown | Self::Silent | Self::SuspectCritical | Self::FailedCritical => {
                Wish::Sick
            }
            Self::SuspectDown | Self::FailedDown | Self::FailedOpen | Self::Failed | Self::UnknownDown => Wish::Dead,
            Self::Leaving | Self::Left => Wish::Gone,
        }
    }

    /// The wish by the table as the operator's policy bends it.
    pub fn wish_under(self, policy: &Policy) -> Wish {
        match (self, policy.warning, policy.agent_lost) {
            (Self::Warning, Warning::In, _) => Wish::In,
            (Self::Warning, Warning::Down, _) => Wish::Sick,
            (Self::FailedAnswers, _, AgentLost::Gone) => Wish::Dead,
            (Self::FirstSuccessPending, _, _) if policy.no_warm_up => Wish::In,
            _ => self.wish(),
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
