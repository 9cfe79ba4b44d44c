//! Why a template makes no file, in words for whoever wrote it.

use std::fmt;

use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::escape::escape;

/// Marks a refusal of the formatter.
pub(super) const NOT_PRINTABLE: &str = "weir prints no such value";

/// Most of the source that is quoted, in characters.
const MAX_QUOTED: usize = 80;

/// What is wrong with a template.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// Where in its source, from 1, if that is known.
    pub line: Option<u32>,
    /// What it is.
    pub why: Why,
}

/// Kinds of mistakes. Texts are quoted from the source: short and without control characters.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is nothing of that name.
    Undefined(String),
    /// This prints something else than weir's own words and numbers.
    NotPrintable(String),
    /// It does not end, or not soon enough.
    Endless,
    /// The result is longer than [`MAX_BYTES`](super::MAX_BYTES).
    TooLong,
    /// The source is longer than [`MAX_SOURCE_BYTES`](super::MAX_SOURCE_BYTES).
    SourceTooLong,
    /// The source is no UTF-8 text.
    Encoding,
    /// In the words of the template engine, with what it is about.
    Other(String),
}

impl Mistake {
    pub(super) fn of(error: &Error, source: &str) -> Self {
        let quoted = || error.range().and_then(|range| source.get(range)).map(quote).filter(|text| !text.is_empty());
        let detail = error.detail().unwrap_or_default();
        let why = match error.kind() {
            ErrorKind::UndefinedError => Why::Undefined(undefined(detail).or_else(quoted).unwrap_or_default()),
            ErrorKind::OutOfFuel => Why::Endless,
            ErrorKind::InvalidOperation if detail == NOT_PRINTABLE => Why::NotPrintable(quoted().unwrap_or_default()),
            kind => {
                let words = if detail.is_empty() { kind.to_string() } else { quote(detail) };
                let near = quoted().filter(|near| !words.contains(near.as_str()));
                Why::Other(near.map_or_else(|| words.clone(), |near| format!("{words} at '{near}'")))
            }
        };
        let line = error.line().and_then(|line| u32::try_from(line).ok());
        Self { line, why }
    }

    /// The way out, where it is not plain from what happened.
    pub fn remedy(&self) -> Option<&'static str> {
        match self.why {
            Why::NotPrintable(_) => Some("write text of your own outside of {{ }}"),
            Why::Undefined(_) | Why::Endless | Why::TooLong | Why::SourceTooLong | Why::Encoding | Why::Other(_) => {
                None
            }
        }
    }
}

/// The name in "`servrs` is undefined".
fn undefined(detail: &str) -> Option<String> {
    let name = detail.strip_prefix('`')?.split('`').next()?;
    Some(quote(name)).filter(|name| !name.is_empty())
}

fn quote(text: &str) -> String {
    let short: String = text.trim().chars().take(MAX_QUOTED).collect();
    let cut = if text.trim().chars().nth(MAX_QUOTED).is_some() { "…" } else { "" };
    format!("{}{cut}", escape(&short))
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined(name) => write!(f, "undefined variable '{name}'"),
            Self::NotPrintable(text) => write!(f, "'{text}' prints something that is not weir's"),
            Self::Endless => f.write_str("it does not end"),
            Self::TooLong => write!(f, "it makes more than {} bytes", super::MAX_BYTES),
            Self::SourceTooLong => write!(f, "more than {} bytes", super::MAX_SOURCE_BYTES),
            Self::Encoding => f.write_str("text that is not UTF-8"),
            Self::Other(words) => f.write_str(words),
        }
    }
}
