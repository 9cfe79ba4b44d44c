//! Values of flags that several commands share.

use regex::Regex;

use crate::serf::filter;

/// `KEY=VALUE`; the value may hold further equals signs.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("a tag is KEY=VALUE, {text:?} has no '='")),
    }
}

/// A regular expression that must match from start to end.
pub(crate) fn full_match(text: &str) -> Result<Regex, String> {
    filter::compile_whole(text).map_err(|error| format!("{text:?} is no regular expression: {error}"))
}
