//! Event handlers.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::known::unknown;

/// One handler. What it prints is nobody else's.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Handler {
    pub name: String,
    /// Its filters, as Serf writes them: `user:deploy`, `*:`.
    pub on: Vec<String>,
    /// What is run.
    pub command: String,
    pub runs: u64,
    pub failures: u64,
    /// Events that came while its queue was full.
    pub dropped: u64,
    /// When the last of those came.
    pub last_drop: Option<Moment>,
    pub last: Option<LastRun>,
}

/// How its last run went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastRun {
    #[serde(flatten)]
    pub run: Run,
    pub elapsed_ms: u64,
    #[serde(default)]
    pub at: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Run {
    Exited {
        status: i32,
    },
    Killed {
        signal: i32,
    },
    /// It took longer than its limit.
    TimedOut,
    NotStarted {
        error: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
    },
    /// Only a newer program knows how.
    #[serde(untagged)]
    Newer {
        result: String,
    },
}

impl Run {
    /// Whether it did its work.
    pub fn is_well(&self) -> bool {
        match self {
            Self::Exited { status } => *status == 0,
            Self::Killed { .. } | Self::TimedOut | Self::NotStarted { .. } => false,
            Self::Newer { .. } => true,
        }
    }
}

impl Run {
    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::NotStarted { remedy, .. } => remedy.as_deref(),
            Self::Exited { .. } | Self::Killed { .. } | Self::TimedOut | Self::Newer { .. } => None,
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited { status } => write!(f, "exit {status}"),
            Self::Killed { signal } => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotStarted { error, .. } => write!(f, "cannot start {error}"),
            Self::Newer { result } => unknown(f, result),
        }
    }
}
