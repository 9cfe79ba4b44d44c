//! What a story has seen, without what is different each time.

use std::sync::LazyLock;

use regex::Regex;

use super::stage::{Pair, Program};

/// One command's result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// A difference that is meant.
#[derive(Clone, Debug)]
struct Meant {
    /// Whose doing it is: a run is expected to differ where weir has this part.
    by: By,
    stdout: String,
    code: i32,
}

/// The part that makes a difference.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// weir as the agent, whoever asks.
    Agent,
    /// weir as the agent, seen by a client that prints what it is told.
    AgentToSerf,
}

impl By {
    fn concerns(self, pair: Pair) -> bool {
        pair.agent == Program::Weir && (self == Self::Agent || pair.client == Program::Serf)
    }
}

/// Everything a story did, in order.
#[derive(Debug, Default)]
pub(crate) struct Record {
    steps: Vec<(String, Run, Option<Meant>)>,
}

impl Record {
    pub(crate) fn push(&mut self, what: &str, run: Run) {
        self.steps.push((what.to_owned(), run, None));
    }

    /// The step just recorded is meant to end with `stdout` and `code` where weir has the part `by`.
    pub(crate) fn differs(&mut self, by: By, stdout: &str, code: i32) {
        let (_, _, meant) = self.steps.last_mut().unwrap();
        *meant = Some(Meant { by, stdout: stdout.to_owned(), code });
    }

    /// Where this is not what it should be.
    pub(crate) fn differences(&self, reference: &Self, pair: Pair) -> Vec<String> {
        assert_eq!(self.steps.len(), reference.steps.len());
        let steps = self.steps.iter().zip(&reference.steps);
        steps.filter_map(|(own, theirs)| difference(own, theirs, pair)).collect()
    }
}

fn difference(own: &(String, Run, Option<Meant>), theirs: &(String, Run, Option<Meant>), pair: Pair) -> Option<String> {
    let (what, run, meant) = own;
    let (_, reference, _) = theirs;
    let expected = match meant.as_ref().filter(|meant| meant.by.concerns(pair)) {
        Some(meant) if meant.stdout == reference.stdout => {
            return Some(format!("{what}: serf does the same, so it is no difference"));
        }
        Some(meant) => Run { stdout: meant.stdout.clone(), stderr: String::new(), code: Some(meant.code) },
        None => reference.clone(),
    };
    (*run != expected).then(|| format!("{pair:?} {what}\n{}--- instead of\n{}", shown(run), shown(&expected)))
}

fn shown(run: &Run) -> String {
    format!("{}--- stderr\n{}--- exit {:?}\n", run.stdout, run.stderr, run.code)
}

/// How the lines of an answer may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// As they are.
    Kept,
    /// Lines in any order, and the parts of lists within them.
    Lines,
    /// Go's maps, whose parts are random within a line.
    Characters,
}

impl Order {
    pub(crate) fn apply(self, text: &str) -> String {
        if self == Self::Kept {
            return text.to_owned();
        }
        let mut lines: Vec<String> = text.split('\n').map(|line| self.line(line)).collect();
        lines.sort();
        lines.join("\n")
    }

    fn line(self, line: &str) -> String {
        if self == Self::Characters {
            let mut characters: Vec<char> = line.chars().collect();
            characters.sort_unstable();
            return characters.into_iter().collect();
        }
        // Blanks at the end and a comma there depend on which line is the last.
        let line = line.trim_end().trim_end_matches(',');
        let tags = |cell: &regex::Captures<'_>| {
            let mut tags: Vec<&str> = cell[0].split(',').collect();
            tags.sort_unstable();
            tags.join(",")
        };
        TAGS.replace_all(line, tags).into_owned()
    }
}

/// A table's cell that lists tags.
static TAGS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[^ =,]+=[^ ,]*(?: [^ ,]+)*(,[^ ,]+(?: [^ ,]+)*)+").unwrap());

/// `text` with `#` for every number that has a decimal point, as times and distances have.
pub(crate) fn without_measures(text: &str) -> String {
    let number = Regex::new(r"\d+\.\d+( sec| ms)").unwrap();
    number.replace_all(text, "#$1").into_owned()
}
