//! Which members a query is for (`serf §6.2`), and regular expressions as Go writes them.

use regex::{Regex, RegexBuilder};

use crate::wire::NodeName;
use crate::wire::serf::{Filter, Tags};

mod go;

/// Longest expression compiled.
pub const MAX_EXPRESSION_BYTES: usize = 1024;

/// Largest compiled expression, in bytes of memory.
const MAX_COMPILED_BYTES: usize = 256 * 1024;

/// Filters of one query that are looked at; a query with more passes none.
pub const MAX_FILTERS: usize = 64;

/// Why an expression was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpressionError {
    /// Longer than [`MAX_EXPRESSION_BYTES`].
    #[error("regular expression has {0} bytes, the limit is {MAX_EXPRESSION_BYTES}")]
    Length(usize),
    /// Not an expression, or one that would take too much memory. One line, without the place.
    #[error("{0}")]
    Syntax(String),
}

/// Compiles an expression in Go's syntax (RE2), within bounds of length, depth and memory: it may come from the network.
///
/// Matching takes linear time. What differs from Go is translated: `\Q...\E`, ASCII-only `\d \w \s \b`, a `[` inside a class,
/// a literal `{`. `(?-u:\B)` has no counterpart; `\B` is Unicode's.
pub fn compile(expression: &str) -> Result<Regex, ExpressionError> {
    build(&translated(expression)?)
}

/// As [`compile`]; the expression has to match all of a text, alternatives included.
pub fn compile_whole(expression: &str) -> Result<Regex, ExpressionError> {
    let translated = translated(expression)?;
    // Alone first: "a)|(b" must not become valid by what is put around it.
    build(&translated)?;
    build(&format!("^(?:{translated})$"))
}

fn translated(expression: &str) -> Result<String, ExpressionError> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(ExpressionError::Length(expression.len()));
    }
    Ok(go::translate(expression))
}

fn build(translated: &str) -> Result<Regex, ExpressionError> {
    RegexBuilder::new(translated)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(100)
        .octal(true)
        .build()
        .map_err(|error| {
            // Above the last line the place is drawn.
            let text = error.to_string();
            let last = text.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
            ExpressionError::Syntax(last.to_owned())
        })
}

/// Whether a query is for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Match {
    Yes,
    No,
    /// A filter is empty, of unknown type, or holds an expression that does not compile. It counts as failed.
    Invalid,
}

/// Applies every filter to a member; all must pass.
pub(crate) fn passes(filters: &[Filter], name: &NodeName, tags: impl FnOnce() -> Tags) -> Match {
    if filters.is_empty() {
        return Match::Yes;
    }
    if filters.len() > MAX_FILTERS {
        return Match::Invalid;
    }
    let tags = tags();
    for filter in filters {
        match pass(filter, name, &tags) {
            Match::Yes => {}
            failed => return failed,
        }
    }
    Match::Yes
}

fn pass(filter: &Filter, name: &NodeName, tags: &Tags) -> Match {
    match Check::new(filter) {
        None => Match::Invalid,
        Some(check) if check.passes(name, tags) => Match::Yes,
        Some(_) => Match::No,
    }
}

/// The filters of a query of ours, compiled once and applied to many members.
#[derive(Debug)]
pub(crate) struct Filters<'a>(Vec<Check<'a>>);

impl<'a> Filters<'a> {
    /// `None` if no member passes them, as one is bad or there are too many.
    pub(crate) fn new(filters: &'a [Filter]) -> Option<Self> {
        if filters.len() > MAX_FILTERS {
            return None;
        }
        filters.iter().map(Check::new).collect::<Option<_>>().map(Self)
    }

    /// Whether a member passes every one.
    pub(crate) fn pass(&self, name: &NodeName, tags: impl FnOnce() -> Tags) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let tags = tags();
        self.0.iter().all(|check| check.passes(name, &tags))
    }
}

/// One filter, compiled.
#[derive(Debug)]
enum Check<'a> {
    Nodes(&'a [String]),
    Tag { tag: &'a str, regex: Regex },
}

impl<'a> Check<'a> {
    fn new(filter: &'a Filter) -> Option<Self> {
        match filter {
            Filter::Nodes(names) => Some(Self::Nodes(names)),
            Filter::Tag { tag, expr } => compile(expr).ok().map(|regex| Self::Tag { tag, regex }),
            Filter::Unknown(_) => None,
        }
    }

    fn passes(&self, name: &NodeName, tags: &Tags) -> bool {
        match self {
            Self::Nodes(names) => names.iter().any(|wanted| wanted == name.as_str()),
            Self::Tag { tag, regex } => regex.is_match(tags.get(*tag).map_or("", String::as_str)),
        }
    }
}

#[cfg(test)]
mod tests;
