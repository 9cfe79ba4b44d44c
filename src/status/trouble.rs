//! What is wrong and what to do about it, as two values; and how bad it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{self, Explain};

/// A sentence in its two parts. They become one only where somebody reads them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trouble {
    /// Lower case, without a final stop.
    #[serde(rename = "message")]
    pub what: String,
    /// Empty if there is none.
    #[serde(rename = "remedy", default, skip_serializing_if = "String::is_empty")]
    pub way_out: String,
}

impl Trouble {
    pub fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { what: what.into(), way_out: way_out.into() }
    }

    /// What an error says.
    pub fn of(error: &impl Explain) -> Self {
        Self::new(error::what(error), error.remedy().unwrap_or_default())
    }
}

/// `WHAT; WAY OUT`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

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
