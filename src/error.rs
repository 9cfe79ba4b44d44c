//! What is wrong and what to do about it, as two values.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An error whose `Display` says what happened, and which knows the way out apart from that. Only the outermost caller makes a
/// sentence of both.
pub trait Explain: Error {
    /// The way out, where there is one.
    fn remedy(&self) -> Option<Cow<'_, str>>;

    /// `WHAT: SOURCE; WAY OUT`, for a log and for clients that know sentences only.
    fn sentence(&self) -> String
    where
        Self: Sized,
    {
        Trouble::of(self).to_string()
    }
}

/// What happened, with its reasons.
pub fn what(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    text
}

/// A sentence in its two parts. They become one only where somebody reads them.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
        Self::new(what(error), error.remedy().unwrap_or_default())
    }
}

/// `WHAT; WAY OUT`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {0}")]
    struct Unread(&'static str, #[source] io::Error);

    impl Explain for Unread {
        fn remedy(&self) -> Option<Cow<'_, str>> {
            (self.0 == "a").then(|| "chmod it".into())
        }
    }

    #[test]
    fn the_way_out_follows_the_reasons() {
        let unread = |path| Unread(path, io::Error::other("no")).sentence();
        assert_eq!((unread("a"), unread("b")), ("cannot read a: no; chmod it".into(), "cannot read b: no".into()));
    }
}
