//! Why the agent does not do what it was asked.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{self, Explain};

/// What happened, and apart from it the way out. Serf's clients read both as one sentence, ours as values.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Refusal {
    pub kind: Kind,
    /// Lower case, without a final stop.
    pub what: String,
    pub remedy: Option<String>,
    /// What there is to say in detail, a line each: the mistakes of a configuration.
    pub details: Vec<String>,
}

/// What a refusal means to whoever asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It failed, or the answer is no.
    #[default]
    Failed,
    /// The configuration is wrong.
    Configuration,
    /// It would do harm, unless somebody insists.
    Harmful,
    /// What was to be sent has more bytes than this, or more of them in its encoded form.
    TooLarge { limit: usize, encoded: bool },
}

impl Refusal {
    /// A failure.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Of an error of ours.
    pub fn of(error: &impl Explain) -> Self {
        let remedy = error.remedy().map(Cow::into_owned);
        Self { remedy, ..Self::new(error::what(error)) }
    }

    /// With a way out.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Of another kind than a failure.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// `WHAT; WAY OUT`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::new(what)
    }
}

impl From<&str> for Refusal {
    fn from(what: &str) -> Self {
        Self::new(what)
    }
}
