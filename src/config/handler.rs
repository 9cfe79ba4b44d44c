//! `[handler.NAME]`: programs that events start (`handlers §1`).

use std::time::Duration;

use serde_json::json;

use super::reader::Section;
use super::value::Text;
use crate::error::Trouble;
use crate::handlers::filter::{EventFilter, EventKind};

/// One handler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handler {
    /// The table's name.
    pub name: String,
    /// Events that start it: *, member-join, member-leave, member-failed, member-update, member-reap, user, user:NAME, query, query:NAME.
    pub on: Vec<EventFilter>,
    /// What is run.
    pub command: Command,
    /// Longest run; then SIGTERM, 2 s later SIGKILL, to the process group.
    pub timeout: Duration,
    /// Waiting events that are kept; more are dropped and counted.
    pub queue: usize,
}

/// What a handler runs; exactly one of the two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Program and arguments, without a shell.
    Argv(Vec<String>),
    /// A line for /bin/sh -c.
    Shell(String),
}

impl Text for EventFilter {
    const WANTED: &'static str = "an event, \"member-join\" or \"user:deploy\"";

    /// Serf takes a colon without a name for any name; in a file it is more likely a mistake.
    fn parse(text: &str) -> Result<Self, Trouble> {
        Self::parse(text).ok().filter(|_| !matches!(text, "user:" | "query:")).ok_or_else(|| {
            let words = || std::iter::once("*").chain(EventKind::ALL.map(EventKind::as_str));
            match super::mistake::nearest(text, words()) {
                Some(near) => Trouble::new("is not an event", format!("did you mean \"{near}\"?")),
                None => {
                    let words: Vec<_> = words().collect();
                    let way_out = format!("one of {}, user:NAME, query:NAME is accepted", words.join(", "));
                    Trouble::new("is not an event", way_out)
                }
            }
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Handler {
    /// `None` if what it runs is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let on = section
            .key("on")
            .check(|on: &Vec<EventFilter>| {
                on.is_empty().then(|| Trouble::new("names no event", "write [\"*\"] for all"))
            })
            .or(vec![EventFilter::All]);
        let run = section.key::<Vec<String>>("run").check(|argv| argv_mistake(argv)).optional();
        let shell = section
            .key::<String>("shell")
            .check(|line| line.is_empty().then(|| Trouble::new("is empty", "write a command")))
            .optional();
        let timeout = section
            .key("timeout")
            .within(Duration::from_millis(100), Duration::from_secs(24 * 3600))
            .or(Duration::from_secs(30));
        let queue = section.key("queue").within(1, 100_000).or(64);
        section.rule("oneOf", json!([{ "required": ["run"] }, { "required": ["shell"] }]));
        let path = section.path_of("run");
        match (section.is_set("run"), section.is_set("shell")) {
            (true, true) => {
                let what = format!("{} cannot be used with {path}", section.path_of("shell"));
                section.conflict("shell", Trouble::new(what, "remove one"));
            }
            (false, false) => {
                let way_out = "write run = [\"PROGRAM\"], or shell = \"COMMAND\"";
                section.conflict("run", Trouble::new(format!("{path} is missing"), way_out));
            }
            (true, false) | (false, true) => {}
        }
        let command = run.map(Command::Argv).or(shell.map(Command::Shell))?;
        Some(Self { name: name.to_owned(), on, command, timeout, queue })
    }
}

/// What is wrong with a program and its arguments.
pub(super) fn argv_mistake(argv: &[String]) -> Option<Trouble> {
    if argv.first().is_none_or(String::is_empty) {
        return Some(Trouble::new("names no program", "write [\"PROGRAM\", \"ARGUMENT\"]"));
    }
    if let [line] = argv
        && !line.starts_with('/')
        && line.contains(' ')
    {
        return Some(Trouble::new("is a whole line", "write each word on its own, [\"PROGRAM\", \"ARGUMENT\"]"));
    }
    argv.iter().any(|argument| argument.contains('\0')).then(|| Trouble::new("holds a NUL byte", "remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_serfs() {
        let parse = <EventFilter as Text>::parse;
        for text in ["*", "member-join", "member-reap", "user", "user:deploy", "user:a:b", "query", "query:up time"] {
            assert_eq!(parse(text).unwrap().text(), text);
        }
        for (text, wrong) in [
            ("member-jion", "is not an event; did you mean \"member-join\"?"),
            ("user:", "is not an event; did you mean \"user\"?"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), wrong);
        }
        assert!(parse("Member-Join ").is_err() && parse("").is_err());
    }
}
