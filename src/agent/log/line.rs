//! One event as a line: phrase first, then `key=value`, nothing in it that could move a cursor.

use std::fmt;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::level;
use crate::escape;

/// Longer phrases and values are cut; a ring of 512 lines then stays under a megabyte.
const MAX_VALUE_BYTES: usize = 1024;

/// An event, taken apart once.
#[derive(Clone, Debug)]
pub struct Line {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) part: String,
    pub(super) phrase: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Line {
    pub(super) fn from_event(event: &Event<'_>) -> Self {
        let mut line = Self {
            at: Timestamp::now(),
            level: *event.metadata().level(),
            part: level::part(event.metadata().target()).to_owned(),
            phrase: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line
    }

    /// `phrase key=value key="two words"`: what journald shows as the message.
    pub(crate) fn message(&self) -> String {
        let mut text = self.phrase.clone();
        for (key, value) in &self.fields {
            text.push(' ');
            text.push_str(key);
            text.push('=');
            push_value(&mut text, value);
        }
        text
    }

    /// Serf's shape: `2026/11/23 00:29:22 [INFO] agent: phrase key=value`, in UTC.
    pub(super) fn serf(&self) -> String {
        self.serf_as(self.level, &self.part, &self.message())
    }

    /// As [`Self::serf`], with other words for the same.
    pub(crate) fn serf_as(&self, level: Level, part: &str, text: &str) -> String {
        let at = self.at.strftime("%Y/%m/%d %H:%M:%S");
        format!("{at} [{}] {part}: {text}", serf_level(level))
    }

    /// What happened.
    pub(crate) fn phrase(&self) -> &str {
        &self.phrase
    }

    /// How much it matters.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// The part of the program that says it.
    pub(crate) fn part(&self) -> &str {
        &self.part
    }

    /// A field as it is, unescaped; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// For standard error, with the line's end.
    pub(super) fn text(&self, colour: bool) -> String {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        let (on, off) = if colour { (level_colour(self.level), "\x1b[0m") } else { ("", "") };
        format!("{at} {on}{:5}{off} {}: {}\n", self.level, self.part, self.message())
    }

    /// One JSON object, with the line's end.
    pub(super) fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        object.insert("time".to_owned(), at.into());
        object.insert("level".to_owned(), self.level.as_str().to_ascii_lowercase().into());
        object.insert("part".to_owned(), self.part.as_str().into());
        object.insert("message".to_owned(), self.phrase.as_str().into());
        for (key, value) in &self.fields {
            object.insert((*key).to_owned(), value.as_str().into());
        }
        format!("{}\n", serde_json::Value::Object(object))
    }

    fn record(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.phrase = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, clip(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record(field, clip(chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, clip(format!("{value:?}")));
    }
}

/// An error and what caused it, joined by colons.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn clip(mut value: String) -> String {
    if value.len() > MAX_VALUE_BYTES {
        let end = (0..=MAX_VALUE_BYTES).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
        value.push('…');
    }
    value
}

/// Plain where it can be read back as one word, else quoted; control characters are escaped either way.
fn push_value(text: &mut String, value: &str) {
    let plain =
        !value.is_empty() && !value.chars().any(|c| c.is_whitespace() || escape::is_unsafe(c) || c == '"' || c == '=');
    if plain {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c => escape::push(text, c),
        }
    }
    text.push('"');
}

fn serf_level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

#[cfg(test)]
pub(super) fn example(level: Level, phrase: &str, fields: &[(&'static str, &str)]) -> Line {
    Line {
        at: Timestamp::UNIX_EPOCH,
        level,
        part: "agent".to_owned(),
        phrase: phrase.to_owned(),
        fields: fields.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_holds_phrase_and_fields() {
        let line = example(Level::INFO, "joined", &[("contacted", "1"), ("members", "2")]);
        assert_eq!(line.message(), "joined contacted=1 members=2");
        assert_eq!(line.serf(), "1970/01/01 00:00:00 [INFO] agent: joined contacted=1 members=2");
        assert_eq!(line.text(false), "1970-01-01T00:00:00.000Z INFO  agent: joined contacted=1 members=2\n");
    }

    #[test]
    fn values_from_peers_cannot_break_the_line() {
        let line = example(Level::WARN, "odd", &[("member", "a b"), ("error", "x\n\x1b[2J\"q\""), ("empty", "")]);
        assert_eq!(line.message(), "odd member=\"a b\" error=\"x\\n\\x1b[2J\\\"q\\\"\" empty=\"\"");
    }

    #[test]
    fn json_is_one_object_per_line() {
        let line = example(Level::ERROR, "apply failed", &[("upstream", "web")]);
        assert_eq!(
            line.json(),
            "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"part\":\"agent\",\"message\":\"apply failed\",\
             \"upstream\":\"web\"}\n"
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let cut = clip("ä".repeat(2000));
        assert_eq!(cut.chars().count(), MAX_VALUE_BYTES / 2 + 1);
        assert!(cut.ends_with('…'));
    }
}
