//! Where the lines of a run go: each as it comes for people, and all in one object at the end for programs.

use serde::Serialize;

use super::super::failure::Failure;
use super::super::output::Output;

/// What was told so far.
#[derive(Debug)]
pub(super) struct Story<'a> {
    output: &'a Output,
    told: Told,
}

/// The whole of it.
#[derive(Debug, Default, Serialize)]
struct Told {
    /// `lb` or `web`.
    kind: String,
    dry_run: bool,
    steps: Vec<Line>,
    /// Commands that do what was left undone.
    left: Vec<String>,
    /// The command for the next server.
    next: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// Its first word: `wrote`, `kept`, `started`, …
    state: String,
    text: String,
}

impl<'a> Story<'a> {
    pub(super) fn new(kind: &str, dry_run: bool, output: &'a Output) -> Self {
        Self { output, told: Told { kind: kind.to_owned(), dry_run, ..Told::default() } }
    }

    /// A line of two columns.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let trimmed = line.trim();
        let (state, text) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        self.told.steps.push(Line { state: state.to_owned(), text: text.trim_start().to_owned() });
        self.text(line)
    }

    /// What is for people alone.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        if self.output.is_json() { Ok(()) } else { self.output.text(text) }
    }

    pub(super) fn left(&mut self, commands: &[String]) {
        self.told.left.extend_from_slice(commands);
    }

    pub(super) fn next(&mut self, command: String) {
        self.told.next = Some(command);
    }

    /// Ends it.
    pub(super) fn end(&self) -> Result<(), Failure> {
        if self.output.is_json() { self.output.json(&self.told) } else { Ok(()) }
    }
}
