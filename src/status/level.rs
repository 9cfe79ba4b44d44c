//! How bad something is.

use serde::{Deserialize, Serialize};

/// How bad it is. The order is that of the report.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something does not work, or is not safe.
    Error,
    /// It works, and will cause trouble.
    Warn,
    /// Worth knowing; nothing has to be done.
    Info,
    /// It could not be checked.
    Skip,
}

impl Level {
    /// The word for it, as JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Skip => "skip",
        }
    }
}
