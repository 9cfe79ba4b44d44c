//! The exit codes of every command (`ux §2.3`), in one place.

use std::process::ExitCode;

/// How a command ended, as the shell sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done; all well.
    Done = 0,
    /// Failed, or the answer is no.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// No agent there.
    NoAgent = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// The configuration is wrong.
    Configuration = 5,
    /// Refused to protect the caller.
    Refused = 6,
    /// Not complete in time, stopped in a safe state.
    Incomplete = 7,
    /// Works, but something needs attention, or differs.
    Attention = 8,
    /// Interrupted before the end.
    Interrupted = 130,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub(crate) const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoAgent,
        Self::NotPermitted,
        Self::Configuration,
        Self::Refused,
        Self::Incomplete,
        Self::Attention,
        Self::Interrupted,
    ];

    /// The number a shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word for it in JSON errors (`error.kind`).
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NoAgent => "no_agent",
            Self::NotPermitted => "not_permitted",
            Self::Configuration => "configuration",
            Self::Refused => "refused",
            Self::Incomplete => "incomplete",
            Self::Attention => "attention",
            Self::Interrupted => "interrupted",
        }
    }

    /// What the man page says about it.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; all well",
            Self::Failed => "failed, or the answer is no",
            Self::Usage => "wrong usage",
            Self::NoAgent => "no agent there",
            Self::NotPermitted => "not permitted",
            Self::Configuration => "the configuration is wrong",
            Self::Refused => "refused to protect you; --force where it is offered",
            Self::Incomplete => "not complete in time: unconfirmed, unanswered, or stopped half-way in a safe state",
            Self::Attention => "works, but something needs attention, or differs",
            Self::Interrupted => "interrupted by you before the end (endless views end with 0)",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
