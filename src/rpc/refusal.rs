//! Why the agent does not do what it was asked.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{self, Explain};

/// What happened, and apart from it the way out. Serf's clients read both as one sentence, ours as values.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Refusal {
    #[serde(deserialize_with = "known_kind")]
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
    /// It cannot be asked for in this way.
    Usage,
    /// The configuration is wrong.
    Configuration,
    /// It would do harm, unless somebody insists.
    Harmful,
    /// Somebody else's word counts: a stop of the process, an undo of the leave.
    Overruled,
    /// This agent has no keyring that a key could go into.
    Unencrypted,
    /// What was to be sent has more bytes than this, or more of them in its encoded form.
    TooLarge { limit: usize, encoded: bool },
}

/// One that only a newer agent knows is a failure like any other.
fn known_kind<'de, D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read {
        Known(Kind),
        Newer(IgnoredAny),
    }
    Ok(match Read::deserialize(from)? {
        Read::Known(kind) => kind,
        Read::Newer(_) => Kind::Failed,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_newer_agent_leaves_the_rest() {
        let way_out = || Refusal::new("no").with_remedy("go");
        for kind in ["\"of_a_newer_agent\"", "{\"of_a_newer_agent\": {\"a\": 1}}"] {
            let text = format!("{{\"kind\": {kind}, \"what\": \"no\", \"remedy\": \"go\", \"more\": [1]}}");
            assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), way_out());
        }
        for kind in [
            Kind::Usage,
            Kind::Harmful,
            Kind::Overruled,
            Kind::Unencrypted,
            Kind::TooLarge { limit: 512, encoded: true },
        ] {
            let text = serde_json::to_string(&way_out().of_kind(kind)).unwrap();
            assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap().kind, kind);
        }
    }
}
