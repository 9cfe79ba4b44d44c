//! `[handler.NAME]`: programs that events start (`Event handlers §1`).

use std::time::Duration;

use schemars::JsonSchema;

use super::reader::Section;
use super::schema::DurationText;
use super::value::Text;

/// One handler.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(deny_unknown_fields)]
pub struct Handler {
    /// The table's name.
    #[schemars(skip)]
    pub name: String,
    /// Events that start it: *, member-join, member-leave, member-failed, member-update, member-reap, user, user:NAME, query, query:NAME.
    #[schemars(with = "Vec<String>")]
    pub on: Vec<Filter>,
    /// What is run.
    #[schemars(flatten)]
    pub command: Command,
    /// Longest run; then SIGTERM, 2 s later SIGKILL, to the process group.
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// Waiting events that are kept; more are dropped and counted.
    pub queue: usize,
}

/// What a handler runs; exactly one of the two.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq)]
pub enum Command {
    /// Program and arguments, without a shell.
    #[schemars(rename = "run")]
    Argv(Vec<String>),
    /// A line for /bin/sh -c.
    #[schemars(rename = "shell")]
    Shell(String),
}

/// Which events start a handler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    /// Every event.
    Any,
    /// Member events of one kind.
    Member(MemberEvent),
    /// User events, of this name alone if there is one.
    User(Option<String>),
    /// Queries, of this name alone if there is one.
    Query(Option<String>),
}

/// The kinds of member events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberEvent {
    /// Joined.
    Join,
    /// Left by its own word.
    Leave,
    /// Failed.
    Failed,
    /// Changed its tags.
    Update,
    /// Was forgotten.
    Reap,
}

const WORDS: [(&str, Filter); 8] = [
    ("*", Filter::Any),
    ("member-join", Filter::Member(MemberEvent::Join)),
    ("member-leave", Filter::Member(MemberEvent::Leave)),
    ("member-failed", Filter::Member(MemberEvent::Failed)),
    ("member-update", Filter::Member(MemberEvent::Update)),
    ("member-reap", Filter::Member(MemberEvent::Reap)),
    ("user", Filter::User(None)),
    ("query", Filter::Query(None)),
];

impl Text for Filter {
    const WANTED: &'static str = "an event, \"member-join\" or \"user:deploy\"";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, filter)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(filter.clone());
        }
        match text.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(Some(name.to_owned()))),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(Some(name.to_owned()))),
            Some(_) | None => {
                let words = WORDS.map(|(word, _)| word);
                Err(match super::mistake::nearest(text, words) {
                    Some(near) => format!("is not an event; did you mean \"{near}\"?"),
                    None => format!("is not an event; one of {}, user:NAME, query:NAME is accepted", words.join(", ")),
                })
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::User(Some(name)) => format!("user:{name}"),
            Self::Query(Some(name)) => format!("query:{name}"),
            Self::Any | Self::Member(_) | Self::User(None) | Self::Query(None) => {
                WORDS.iter().find(|(_, filter)| filter == self).map_or("*", |(word, _)| word).to_owned()
            }
        }
    }
}

impl Handler {
    /// `None` if what it runs is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let on = section
            .key("on")
            .check(|on: &Vec<Filter>| on.is_empty().then(|| "names no event; write [\"*\"] for all".to_owned()))
            .or(vec![Filter::Any]);
        let run = section
            .key::<Vec<String>>("run")
            .check(|argv| {
                argv.first()
                    .is_none_or(String::is_empty)
                    .then(|| "names no program; write [\"PROGRAM\", \"ARGUMENT\"]".to_owned())
            })
            .optional();
        let shell = section
            .key::<String>("shell")
            .check(|line| line.is_empty().then(|| "is empty; write a command".to_owned()))
            .optional();
        let timeout = section
            .key("timeout")
            .within(Duration::from_millis(100), Duration::from_secs(24 * 3600))
            .or(Duration::from_secs(30));
        let queue = section.key("queue").within(1, 100_000).or(64);
        let path = section.path_of("run");
        match (section.is_set("run"), section.is_set("shell")) {
            (true, true) => section
                .conflict("shell", format!("{} cannot be used with {path}; remove one", section.path_of("shell"))),
            (false, false) => {
                section.conflict("run", format!("{path} is missing; write run = [\"PROGRAM\"], or shell = \"COMMAND\""))
            }
            (true, false) | (false, true) => {}
        }
        let command = run.map(Command::Argv).or(shell.map(Command::Shell))?;
        Some(Self { name: name.to_owned(), on, command, timeout, queue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_serfs() {
        for text in ["*", "member-join", "member-reap", "user", "user:deploy", "user:a:b", "query", "query:up time"] {
            assert_eq!(Filter::parse(text).unwrap().text(), text);
        }
        for (text, wrong) in [
            ("member-jion", "is not an event; did you mean \"member-join\"?"),
            ("user:", "is not an event; did you mean \"user\"?"),
        ] {
            assert_eq!(Filter::parse(text).unwrap_err(), wrong);
        }
        assert!(Filter::parse("Member-Join ").is_err() && Filter::parse("").is_err());
    }
}
