//! What a node answers to the query `health`: one line, `WORD drain=ID|- TEXT` of ours, `WORD TEXT` of a handler script
//! (`protocols A.2`, `protocols D.1`).

use std::fmt;

use super::super::State;

/// Name of the query.
pub const QUERY: &str = "health";
/// Longest text that is sent or kept, in bytes.
pub const MAX_TEXT_BYTES: usize = 400;
/// Longest name of a check, and longest id of a drain, that is read.
const MAX_NAME_BYTES: usize = 64;
/// What a node says that has no checks; it is as good as one that passes them.
const NO_CHECKS: &str = "no checks";

/// A node's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// How it is. [`State::None`] is told as `passing`.
    pub state: State,
    /// What it says of leaving; handler scripts say nothing.
    pub drain: Option<Drain>,
    /// The check that the text is of; only our agents name one.
    pub check: Option<String>,
    /// One line, possibly empty.
    pub text: String,
}

/// Whether the node asks for no more requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Drain {
    No,
    /// By this id.
    Asked(String),
}

impl Answer {
    /// The answer of a node with these checks, each with its state and what it printed last: the first of the worst speaks.
    pub fn of<'a>(checks: impl IntoIterator<Item = (&'a str, State, &'a str)>, drain: Drain) -> Self {
        let checks: Vec<_> = checks.into_iter().collect();
        let state = State::worst(checks.iter().map(|(_, state, _)| *state));
        let worst = checks.iter().find(|(_, of, _)| *of == state);
        let (check, text) = match (state, worst) {
            (State::None, _) | (_, None) => (None, NO_CHECKS.to_owned()),
            (State::Passing, Some(_)) if checks.len() > 1 => (None, format!("{} checks", checks.len())),
            (_, Some((name, _, output))) => (Some((*name).to_owned()), one_line(output)),
        };
        Self { state, drain: Some(drain), check, text }
    }

    /// The same without words, for where no more is allowed.
    pub fn in_short(self) -> Self {
        Self { check: None, text: String::new(), ..self }
    }

    /// Reads what somebody answered; `None` if its first word is none of ours.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(payload);
        let line = text.trim_start().lines().next().unwrap_or_default();
        let (word, rest) = first_word(line);
        let state = State::named(word)?;
        let (second, after) = first_word(rest);
        let Some(id) = second.strip_prefix("drain=").filter(|id| id.len() <= MAX_NAME_BYTES) else {
            return Some(Self { state, drain: None, check: None, text: one_line(rest) });
        };
        let drain = if id == "-" { Drain::No } else { Drain::Asked(id.to_owned()) };
        let named = after.split_once(':').filter(|(name, _)| is_name(name));
        let (check, text) = match named {
            Some((name, text)) => (Some(name.to_owned()), text),
            None => (None, after),
        };
        let state = if state == State::Passing && after == NO_CHECKS { State::None } else { state };
        Some(Self { state, drain: Some(drain), check, text: one_line(text) })
    }
}

/// As it is sent, without the end of the line.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.state == State::None { State::Passing } else { self.state };
        f.write_str(word.as_str())?;
        match &self.drain {
            Some(Drain::No) => f.write_str(" drain=-")?,
            Some(Drain::Asked(id)) => write!(f, " drain={id}")?,
            None => {}
        }
        if let Some(check) = &self.check {
            write!(f, " {check}:")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// `text` as one line of at most [`MAX_TEXT_BYTES`].
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        line.extend((!line.is_empty()).then_some(' '));
        line.push_str(word);
        if line.len() > MAX_TEXT_BYTES {
            let room = MAX_TEXT_BYTES - "…".len();
            let fits = line.char_indices().take_while(|(at, char)| at + char.len_utf8() <= room);
            return fits.map(|(_, char)| char).chain(['…']).collect();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(state: State, drain: Option<Drain>, check: Option<&str>, text: &str) -> Answer {
        Answer { state, drain, check: check.map(str::to_owned), text: text.to_owned() }
    }

    #[test]
    fn answers_of_agents_and_scripts_are_read_and_others_are_none() {
        use State::{Critical, None as NoState, Passing, Wait, Warning};
        let no = || Some(Drain::No);
        let asked = || Some(Drain::Asked("9f3a01bc".to_owned()));
        for (payload, answer) in [
            ("passing drain=- no checks", Some(named(NoState, no(), None, "no checks"))),
            ("passing drain=- 3 checks", Some(named(Passing, no(), None, "3 checks"))),
            ("warning drain=9f3a01bc disk: 91 %", Some(named(Warning, asked(), Some("disk"), "91 %"))),
            ("wait drain=- site:", Some(named(Wait, no(), Some("site"), ""))),
            ("passing drain=-", Some(named(Passing, no(), None, ""))),
            ("critical\n", Some(named(Critical, None, None, ""))),
            ("critical disk: full\nmore", Some(named(Critical, None, None, "disk: full"))),
            ("  passing\tall  well \r\n", Some(named(Passing, None, None, "all well"))),
            ("passing no checks", Some(named(Passing, None, None, "no checks"))),
            (
                "critical drain=- 10:20 is no name of a check",
                Some(named(Critical, no(), Some("10"), "20 is no name of a check")),
            ),
            ("", None),
            ("\n\n", None),
            ("ok", None),
            ("PASSING", None),
            ("error: handler health failed: exited with 1", None),
        ] {
            assert_eq!(Answer::parse(payload.as_bytes()), answer, "{payload:?}");
        }
        assert_eq!(Answer::parse(b"\xff\xfe"), None);
        assert_eq!(Answer::parse(b"critical \xff").unwrap().text, "\u{fffd}");
    }

    #[test]
    fn the_first_of_the_worst_checks_speaks_and_is_read_back() {
        use State::{Critical, None as NoState, Passing, Wait, Warning};
        type Checks = &'static [(&'static str, State, &'static str)];
        let table: [(Checks, State, &str); 6] = [
            (&[], NoState, "passing drain=- no checks"),
            (&[("site", Passing, "200 in 1 ms")], Passing, "passing drain=- site: 200 in 1 ms"),
            (&[("a", Passing, "x"), ("b", Passing, "y")], Passing, "passing drain=- 2 checks"),
            (&[("a", Passing, ""), ("b", Warning, "w"), ("c", Warning, "v")], Warning, "warning drain=- b: w"),
            (&[("a", Critical, "two\nlines "), ("b", Warning, "w")], Critical, "critical drain=- a: two lines"),
            (&[("a", Wait, "")], Wait, "wait drain=- a:"),
        ];
        for (checks, state, line) in table {
            let answer = Answer::of(checks.iter().copied(), Drain::No);
            assert_eq!((answer.state, answer.to_string().as_str()), (state, line));
            assert_eq!(Answer::parse(line.as_bytes()), Some(answer));
        }
    }

    #[test]
    fn an_answer_in_short_says_how_the_node_is_and_whether_it_drains() {
        let checks = [("a-check-with-a-name", State::Critical, "many words"), ("b", State::Warning, "")];
        let answer = Answer::of(checks, Drain::Asked("9f3a01bc".to_owned())).in_short();
        assert_eq!(answer.to_string(), "critical drain=9f3a01bc");
        let read = Answer::parse(answer.to_string().as_bytes()).unwrap();
        assert_eq!((read.state, read.drain), (State::Critical, Some(Drain::Asked("9f3a01bc".to_owned()))));
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_marked() {
        for text in ["ä".repeat(600), "ä ".repeat(600), format!("{} b", "a".repeat(MAX_TEXT_BYTES - 1))] {
            let line = one_line(&text);
            assert!(line.len() <= MAX_TEXT_BYTES && line.ends_with('…'), "{} bytes", line.len());
        }
        assert_eq!(one_line(&"a".repeat(MAX_TEXT_BYTES)).len(), MAX_TEXT_BYTES);
    }
}
