//! Values of flags that several commands share.

use std::time::Duration;

use regex::Regex;

use crate::config::duration as written;
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

/// `300ms`, `1m30s`, as files have it. A number without a unit is refused: nobody can know what it counts.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write a number with its unit, \"300ms\" or \"1m30s\"");
    written::parse(text).ok_or_else(wrong)
}
