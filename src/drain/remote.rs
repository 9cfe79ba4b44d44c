//! The drain of another node, as it is asked for and told of in queries (`protocols A.3`).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::Line;
use super::{DrainId, Reply};
use crate::escape::escape;

/// What is asked of a node from elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RemoteDrain {
    /// To drain,
    On,
    /// to serve again,
    Off,
    /// and to tell how that goes on, from a line on. By the id that was its answer.
    Follow { id: DrainId, after: usize },
}

impl RemoteDrain {
    /// The query's name.
    pub const NAME: &str = "weir-drain";

    /// `None` if it is none of `on`, `off` and `follow ID AFTER`.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        match payload {
            b"on" => Some(Self::On),
            b"off" => Some(Self::Off),
            _ => {
                let (id, after) = std::str::from_utf8(payload).ok()?.strip_prefix("follow ")?.rsplit_once(' ')?;
                let is_number = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit());
                Some(Self::Follow { id: DrainId::new(id)?, after: after.parse().ok().filter(|_| is_number)? })
            }
        }
    }
}

/// As it is sent.
impl fmt::Display for RemoteDrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::Follow { id, after } => write!(f, "follow {id} {after}"),
        }
    }
}

/// What the node says to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RemoteAnswer {
    /// It does so; the drain's id, or the one that ended.
    Ok(DrainId),
    /// It does not; its own words.
    No(String),
    /// How it goes on.
    Story(Told),
}

/// Lines of a node's own story, as many as an answer has room for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Told {
    /// Which of its stories; another one has taken the place of what was asked for.
    pub story: u64,
    pub lines: Vec<Line>,
    /// Nothing follows.
    pub ended: bool,
}

impl Told {
    /// Short texts: a word of ours, a time. They are never cut.
    const SHORT: usize = 16;

    /// The first of `lines`, as many as fit in [`Reply::MAX_BYTES`], one at least if there are any: of one that is longer, names
    /// and texts are cut.
    pub fn fitting(story: u64, lines: &[Line], ended: bool) -> Self {
        let mut told = Self { story, lines: Vec::new(), ended: false };
        for line in lines {
            told.lines.push(line.clone());
            if told.bytes() <= Reply::MAX_BYTES {
                continue;
            }
            let line = told.lines.pop().filter(|_| told.lines.is_empty());
            let room = Reply::MAX_BYTES.saturating_sub(told.bytes());
            told.lines.extend(line.map(|line| shortened(line, room)));
            break;
        }
        told.ended = ended && told.lines.len() == lines.len();
        told
    }

    fn bytes(&self) -> usize {
        serde_json::to_string(&Self { ended: false, ..self.clone() }).map_or(usize::MAX, |text| text.len())
    }
}

fn shortened(line: Line, room: usize) -> Line {
    let Ok(mut value) = serde_json::to_value(&line) else { return line };
    while value.to_string().len() > room && shorten(&mut value) {}
    serde_json::from_value(value).unwrap_or(line)
}

/// Halves the longest list, or else the longest text. False if there is none that says anything beyond its first word.
fn shorten(value: &mut Value) -> bool {
    let fields = value.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut);
    let longest = fields.max_by_key(|field| match field {
        Value::Array(list) if list.len() > 1 => usize::MAX,
        Value::Array(list) => list.first().and_then(Value::as_str).map_or(0, str::len),
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => 0,
    });
    match longest {
        Some(Value::Array(list)) if list.len() > 1 => {
            list.truncate(list.len() / 2);
            true
        }
        Some(Value::Array(list)) => match list.first_mut() {
            Some(Value::String(text)) => halve(text),
            Some(_) | None => false,
        },
        Some(Value::String(text)) => halve(text),
        Some(_) | None => false,
    }
}

fn halve(text: &mut String) -> bool {
    let is_long = text.len() > Told::SHORT;
    if is_long {
        text.truncate((0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default());
    }
    is_long
}

impl RemoteAnswer {
    /// `None` if it is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= Reply::MAX_BYTES)?.trim_end();
        if text.starts_with('{') {
            return serde_json::from_str(text).ok().map(Self::Story);
        }
        let (word, rest) = text.split_once(' ')?;
        match word {
            "ok" => DrainId::new(rest).map(Self::Ok),
            "no" => Some(Self::No(escape(rest).into_owned())),
            _ => None,
        }
    }
}

/// As it is sent.
impl fmt::Display for RemoteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(id) => write!(f, "ok {id}"),
            Self::No(why) => write!(f, "no {}", escape(why)),
            Self::Story(told) => f.write_str(&serde_json::to_string(told).map_err(|_| fmt::Error)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> DrainId {
        DrainId::new("5d3e01aa").unwrap()
    }

    #[test]
    fn another_nodes_drain_is_asked_and_answered_by_a_word() {
        for (drain, text) in [
            (RemoteDrain::On, "on"),
            (RemoteDrain::Off, "off"),
            (RemoteDrain::Follow { id: id(), after: 7 }, "follow 5d3e01aa 7"),
            (RemoteDrain::Follow { id: DrainId::new("until noon").unwrap(), after: 0 }, "follow until noon 0"),
        ] {
            assert_eq!(drain.to_string(), text);
            assert_eq!(RemoteDrain::parse(text.as_bytes()), Some(drain));
        }
        for text in ["On", "", "follow", "follow 5d3e01aa", "follow 5d3e01aa -1", "follow 5d3e01aa ", "follow  7"] {
            assert_eq!(RemoteDrain::parse(text.as_bytes()), None, "{text}");
        }
        let told = Told { story: 3, lines: vec![Line::Superseded], ended: true };
        for answer in [
            RemoteAnswer::Ok(id()),
            RemoteAnswer::No("leave.remote_drain is false".to_owned()),
            RemoteAnswer::Story(told),
        ] {
            assert_eq!(RemoteAnswer::parse(answer.to_string().as_bytes()), Some(answer));
        }
        assert_eq!(RemoteAnswer::parse(b"maybe"), None);
        assert_eq!(RemoteAnswer::parse(b"{]"), None);
        let newer = br#"{"story":3,"lines":[{"kind":"paused","for_s":3}],"more":1}"#;
        let read = RemoteAnswer::parse(newer);
        assert!(
            matches!(&read, Some(RemoteAnswer::Story(told)) if matches!(&told.lines[..], [Line::Newer { .. }])),
            "{read:?}"
        );
    }

    /// All that a client hears who goes on asking.
    fn read(lines: &[Line]) -> Vec<Line> {
        let mut heard = Vec::new();
        for _ in 0..=lines.len() {
            let told = Told::fitting(3, &lines[heard.len()..], true);
            let text = RemoteAnswer::Story(told.clone()).to_string();
            assert!(text.len() <= Reply::MAX_BYTES, "{}: {text}", text.len());
            assert_eq!(RemoteAnswer::parse(text.as_bytes()), Some(RemoteAnswer::Story(told.clone())));
            heard.extend(told.lines);
            if told.ended {
                break;
            }
        }
        heard
    }

    #[test]
    fn a_story_is_told_in_as_many_answers_as_it_needs() {
        let line = |n: u64| Line::Lingering { drain_time_ms: n, elapsed_ms: u64::MAX };
        let lines: Vec<Line> = (0..40).map(line).chain([Line::Superseded]).collect();
        assert_eq!(read(&lines), lines);
        assert!(Told::fitting(3, &lines, true).lines.len() > 3);
        assert_eq!(Told::fitting(3, &[], false), Told { story: 3, ..Told::default() });
    }

    #[test]
    fn of_a_line_that_is_longer_names_are_left_out_but_one() {
        let names = |count: usize| (0..count).map(|n| format!("{n}{}", "\u{1}".repeat(200))).collect::<Vec<_>>();
        let unreachable = Line::Drained { unreachable: names(9), gone: names(3), unheard: false, elapsed_ms: 1 };
        let error = "\"".repeat(5000);
        let lines = [
            Line::Draining { id: "5d3e01aa".to_owned(), balancers: names(1000) },
            Line::NotKept { reason: error },
            unreachable,
        ];
        let heard = read(&lines);
        assert!(matches!(&heard[0], Line::Draining { id, balancers } if id == "5d3e01aa" && !balancers.is_empty()));
        assert!(matches!(&heard[1], Line::NotKept { reason } if !reason.is_empty()));
        assert!(
            matches!(&heard[2], Line::Drained { unreachable, gone, .. } if !unreachable.is_empty() && !gone.is_empty()),
            "{heard:?}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in ".{0,80}") {
            for payload in [&bytes[..], text.as_bytes(), format!("follow {text}").as_bytes(), format!("{{{text}").as_bytes()] {
                let _ = (RemoteDrain::parse(payload), RemoteAnswer::parse(payload));
            }
        }
    }
}
