//! One event as a line: phrase first, then `key=value`, nothing in it that could move a cursor.

use std::fmt;

use jiff::Timestamp;
use tracing::callsite::{Callsite, Identifier};
use tracing::field::{Field, FieldSet, Visit};
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata};

use super::level;
use crate::escape;

/// An event, taken apart once.
#[derive(Clone, Debug)]
pub struct Line {
    at: Timestamp,
    meta: &'static Metadata<'static>,
    phrase: String,
    fields: Vec<(Field, String)>,
}

impl Line {
    pub(super) fn from_event(event: &Event<'_>) -> Self {
        let mut line = Self { at: Timestamp::now(), meta: event.metadata(), phrase: String::new(), fields: Vec::new() };
        event.record(&mut line);
        line
    }

    /// In place of lines that nobody can read any more.
    pub(super) fn dropped(lines: u64) -> Self {
        let phrase = "log lines were dropped, their reader was too slow".to_owned();
        let fields = DROPPED.fields().field("lines").map(|field| (field, lines.to_string())).into_iter().collect();
        Self { at: Timestamp::now(), meta: &DROPPED, phrase, fields }
    }

    /// `phrase key=value key="two words"`: what journald shows as the message.
    pub(crate) fn message(&self) -> String {
        let mut text = escape::escape(&self.phrase).into_owned();
        for (field, value) in &self.fields {
            text.push(' ');
            text.push_str(field.name());
            text.push('=');
            push_value(&mut text, value);
        }
        text
    }

    /// The fields alone. What would move a cursor is escaped but for line ends: the journal can tell where a value ends.
    pub(super) fn values(&self) -> Vec<(Field, String)> {
        let line_by_line = |value: &str| value.split('\n').map(escape::escape).collect::<Vec<_>>().join("\n");
        self.fields.iter().map(|(field, value)| (field.clone(), line_by_line(value))).collect()
    }

    /// Serf's shape: `2026/11/23 00:29:22 [INFO] agent: phrase key=value`, in UTC.
    pub(crate) fn serf(&self) -> String {
        serf_line(self.at, self.level(), self.part(), &self.message())
    }

    /// What happened where.
    pub(super) fn meta(&self) -> &'static Metadata<'static> {
        self.meta
    }

    /// How much it matters.
    pub(super) fn level(&self) -> Level {
        *self.meta.level()
    }

    /// The part of the program that says it.
    pub(super) fn part(&self) -> &'static str {
        level::part(self.meta.target())
    }

    /// About what it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| size_of::<(Field, String)>() + value.len());
        size_of::<Self>() + self.phrase.len() + fields.sum::<usize>()
    }

    /// For standard error, with the line's end.
    pub(super) fn text(&self, colour: bool) -> String {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        let level = self.level();
        let (on, off) = if colour { (level_colour(level), "\x1b[0m") } else { ("", "") };
        format!("{at} {on}{level:5}{off} {}: {}\n", self.part(), self.message())
    }

    /// One JSON object, with the line's end.
    pub(super) fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        object.insert("time".to_owned(), at.into());
        object.insert("level".to_owned(), self.level().as_str().to_ascii_lowercase().into());
        object.insert("part".to_owned(), self.part().into());
        object.insert("message".to_owned(), self.phrase.as_str().into());
        for (field, value) in &self.fields {
            object.insert(field.name().to_owned(), value.as_str().into());
        }
        format!("{}\n", serde_json::Value::Object(object))
    }

    fn record(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.phrase = value,
            _ => self.fields.push((field.clone(), value)),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record(field, chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }
}

/// Where [`Line::dropped`] comes from: no event, which would have to pass through the queue that it is about.
struct DroppedSite;

static DROPPED: Metadata<'static> = Metadata::new(
    "log lines were dropped",
    "weir::agent::log",
    Level::WARN,
    Some(file!()),
    Some(line!()),
    Some(module_path!()),
    FieldSet::new(&["message", "lines"], Identifier(&DroppedSite)),
    Kind::EVENT,
);

impl Callsite for DroppedSite {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &DROPPED
    }
}

/// A line of Serf's log: `2026/11/23 00:29:22 [INFO] part: text`, in UTC.
pub fn serf_line(at: Timestamp, level: Level, part: &str, text: &str) -> String {
    format!("{} [{}] {part}: {text}", at.strftime("%Y/%m/%d %H:%M:%S"), serf_level(level))
}

/// An error and what caused it, joined by colons.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
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
pub(in crate::agent) mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Subscriber, error, info, warn};
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::super::no_spans::NoSpans;
    use super::*;

    #[derive(Clone, Default)]
    struct Capture(Arc<Mutex<Option<Line>>>);

    impl<S: Subscriber> Layer<S> for Capture {
        fn max_level_hint(&self) -> Option<LevelFilter> {
            Some(LevelFilter::TRACE)
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().unwrap() = Some(Line { at: Timestamp::UNIX_EPOCH, ..Line::from_event(event) });
        }
    }

    /// The line of the one event that `log` makes, as if at the epoch.
    pub(in crate::agent) fn captured(log: impl FnOnce()) -> Line {
        let capture = Capture::default();
        tracing::subscriber::with_default(NoSpans.with(capture.clone()), log);
        let line = capture.0.lock().unwrap().take();
        line.expect("it logs")
    }

    #[test]
    fn message_holds_phrase_and_fields() {
        let line = captured(|| info!(contacted = 1, members = %2, "joined"));
        assert_eq!(line.message(), "joined contacted=1 members=2");
        assert_eq!(line.serf(), "1970/01/01 00:00:00 [INFO] agent: joined contacted=1 members=2");
        assert_eq!(line.text(false), "1970-01-01T00:00:00.000Z INFO  agent: joined contacted=1 members=2\n");
    }

    #[test]
    fn values_from_peers_cannot_break_the_line() {
        let line = captured(|| warn!(member = "a b", error = "x\n\x1b[2J\"q\"", empty = "", "odd"));
        assert_eq!(line.message(), "odd member=\"a b\" error=\"x\\n\\x1b[2J\\\"q\\\"\" empty=\"\"");
        let values: Vec<_> = line.values().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["a b", "x\n\\x1b[2J\"q\"", ""]);
    }

    #[test]
    fn json_is_one_object_per_line() {
        let line = captured(|| error!(upstream = "web", "apply failed"));
        assert_eq!(
            line.json(),
            "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"part\":\"agent\",\"message\":\"apply failed\",\
             \"upstream\":\"web\"}\n"
        );
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let error = std::io::Error::other("inner");
        let error = crate::agent::AgentError::System(error);
        let line = captured(|| error!(error = &error as &dyn std::error::Error, "odd"));
        assert_eq!(line.message(), "odd error=\"cannot start: inner\"");
    }

    #[test]
    fn the_count_of_dropped_lines_is_a_warning_of_the_agents() {
        let line = Line::dropped(7);
        assert!(line.serf().ends_with("[WARN] agent: log lines were dropped, their reader was too slow lines=7"));
    }
}
