//! What is wrong with a configuration: every mistake at once, each with place, key, value and the way out (`ux §3.5`).

use std::collections::BTreeSet;
use std::fmt;

use crate::error::Trouble;

use super::tree::Origin;

/// One mistake. It prints as `PLACE: WHAT; WAY OUT`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mistake {
    /// Where it was written.
    pub at: Origin,
    /// The full key, `upstream.web.server.port`; empty for a file that cannot be read at all.
    pub key: String,
    /// What is wrong, and the way out.
    pub trouble: Trouble,
    /// It needs more than one value to be seen, so it means nothing while a file could not be read.
    pub(crate) across: bool,
    /// A file that this user may not read, which is not wrong in itself.
    pub(crate) denied: bool,
}

impl Mistake {
    /// A mistake in one value.
    pub(crate) fn new(at: &Origin, key: &str, trouble: Trouble) -> Self {
        Self { at: at.clone(), key: key.to_owned(), trouble, across: false, denied: false }
    }

    /// A mistake that lies between values: a conflict, or a key that is missing.
    pub(crate) fn across(at: &Origin, key: &str, trouble: Trouble) -> Self {
        Self { across: true, ..Self::new(at, key, trouble) }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        placed(f, &self.at, &self.trouble)
    }
}

/// `PLACE: WHAT; WAY OUT`, without the place where nothing was written.
pub(crate) fn placed(f: &mut fmt::Formatter<'_>, at: &Origin, trouble: &Trouble) -> fmt::Result {
    match at {
        Origin::Default => write!(f, "{trouble}"),
        Origin::File { .. } | Origin::Environment(_) | Origin::Flag(_) => write!(f, "{at}: {trouble}"),
    }
}

/// All mistakes of a configuration, in reading order. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors(Vec<Mistake>);

impl ConfigErrors {
    /// `None` if there are none.
    pub(crate) fn new(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    /// Every mistake, at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }

    /// The first file that this user may not read: who may sees more.
    pub fn denied(&self) -> Option<&str> {
        self.0.iter().filter(|mistake| mistake.denied).find_map(|mistake| match &mistake.at {
            Origin::File { path, .. } => Some(path.as_ref()),
            Origin::Environment(_) | Origin::Flag(_) | Origin::Default => None,
        })
    }

    /// `3 mistakes in 2 files`, for the last line.
    pub fn summary(&self) -> String {
        let mut places = BTreeSet::new();
        for mistake in &self.0 {
            places.insert(match &mistake.at {
                Origin::File { path, .. } => (0, path.as_ref()),
                Origin::Environment(_) => (1, "the environment"),
                Origin::Flag(_) => (2, "the command line"),
                Origin::Default => (3, "the defaults"),
            });
        }
        let files = places.iter().filter(|(kind, _)| *kind == 0).count();
        let mut parts: Vec<String> = if files == 0 { vec![] } else { vec![count(files, "file", "files")] };
        parts.extend(places.iter().filter(|(kind, _)| *kind != 0).map(|(_, name)| (*name).to_owned()));
        format!("{} in {}", count(self.0.len(), "mistake", "mistakes"), parts.join(" and "))
    }
}

/// The mistakes, a line each, then the summary, without a final newline.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        write!(f, "error: {}", self.summary())
    }
}

impl std::error::Error for ConfigErrors {}

/// `1 file`, `2 files`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The candidate that `word` was probably meant to be.
///
/// One edit in a short word, two in a longer one, a swap of neighbours counting as one; else the only candidate of which
/// the word is a part (`retry_interval` for `join_retry_interval`), or the other way round (`disable_compression`).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let allowed = if word.chars().count() <= 4 { 1 } else { 2 };
    let by_edits = candidates
        .clone()
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min();
    if let Some((_, candidate)) = by_edits {
        return Some(candidate);
    }
    let part = |short: &str, long: &str| short.len() > 5 && long.contains(short);
    let mut related = candidates.into_iter().filter(|candidate| part(word, candidate) || part(candidate, word));
    related.next().filter(|_| related.next().is_none())
}
