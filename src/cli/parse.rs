//! Values of flags that several commands share.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use super::failure::Failure;
use crate::config::duration as written;
use crate::error::Trouble;
use crate::serf::filter;
use crate::upstream::Reason;

/// `KEY=VALUE`; the value may hold further equals signs.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) => Err(format!("a tag is KEY=VALUE, {text:?} has no key")),
        None => Err(format!("a tag is KEY=VALUE, {text:?} has no '='")),
    }
}

/// Tags of several options by their names, each of which may be given once: of two values one would be lost.
pub(crate) fn tags(
    given: impl IntoIterator<Item = (String, String)>,
    way_out: fn(&str, &str, &str) -> String,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for (tag, value) in given {
        if let Some(before) = tags.insert(tag.clone(), value.clone()) {
            let remedy = way_out(&tag, &before, &value);
            return Err(Failure::usage(format!("tag '{tag}' is given twice")).with_remedy(remedy));
        }
    }
    Ok(tags)
}

/// As [`tags`], of filters; all of them must match.
pub(crate) fn tag_filters(
    given: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, Failure> {
    tags(given, |tag, a, b| format!("write one pattern for both, --tag '{tag}={a}|{b}'"))
}

/// A pattern that one of `words` matches; a typing error would look like an answer of nobody.
pub(crate) fn one_of(what: &str, pattern: &str, words: &[&str]) -> Result<Regex, Failure> {
    let regex = full_match(pattern).map_err(Failure::usage)?;
    if words.iter().any(|word| regex.is_match(word)) {
        return Ok(regex);
    }
    let known = words.join(", ");
    Err(Failure::usage(format!("no {what} matches '{pattern}'")).with_remedy(format!("it is one of {known}")))
}

/// A regular expression that must match from start to end.
fn full_match(text: &str) -> Result<Regex, String> {
    filter::compile_whole(text).map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

/// `300ms`, `1m30s`, as files have it. A number without a unit is refused: nobody can know what it counts.
pub(crate) fn duration(text: &str) -> Result<Duration, Trouble> {
    let wrong =
        || Trouble::new(format!("{text:?} is no duration"), "write a number with its unit, \"300ms\" or \"1m30s\"");
    written::parse(text).ok_or_else(wrong)
}

/// Why, for whoever finds a hold or a drain.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    Reason::try_from(text.to_owned()).map(String::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tag_lacks_is_named() {
        assert_eq!(tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(tag("a"), Err("a tag is KEY=VALUE, \"a\" has no '='".to_owned()));
        assert_eq!(tag("=1"), Err("a tag is KEY=VALUE, \"=1\" has no key".to_owned()));
    }
}
