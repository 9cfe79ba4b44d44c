//! What a leaving node asks its balancers, and their answers (`protocols A.2`): one line of text each, so that a shell script can answer for a
//! plain Serf agent.

use std::fmt;
use std::net::SocketAddr;

use super::DrainId;
use crate::escape::escape;
use crate::upstream::Generation;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;

/// What a leaving node asks its balancers: whether they are done with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    pub id: DrainId,
    pub incarnation: Incarnation,
    /// Who leaves.
    pub node: NodeName,
}

impl Question {
    /// The query's name.
    pub const NAME: &str = "weir-drained";

    /// `None` if it is not `ID INCARNATION NODE`.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(payload).ok()?.splitn(3, ' ');
        let id = DrainId::new(fields.next()?)?;
        let incarnation = number(fields.next()?).and_then(|number| u32::try_from(number).ok())?;
        Some(Self { id, incarnation: Incarnation::new(incarnation), node: NodeName::new(fields.next()?)? })
    }
}

/// As it is sent.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.incarnation, self.node.as_str())
    }
}

/// What a balancer answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The drain that was asked about.
    pub id: DrainId,
    /// What is live there.
    pub generation: Generation,
    pub word: Word,
}

/// What is so at a balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Word {
    /// What is live there has no place for the node, and that stays so. Requests may be on their way still.
    Out {
        /// Where they go.
        servers: Vec<SocketAddr>,
    },
    /// The same, and none can be on its way.
    Idle,
    /// No upstream there selects the node, and that stays so.
    None,
    /// Not live yet.
    Wait {
        /// Its own words.
        text: String,
    },
    /// Too few would be left.
    Floor {
        /// Who drains and has asked earlier.
        earlier: Vec<NodeName>,
        /// By which setting, in its own words; empty of one that does not say.
        rule: String,
    },
    /// It cannot be brought in place.
    Apply {
        /// Its own words.
        error: String,
    },
}

impl Word {
    /// Whether the node may count on it.
    pub fn counts(&self) -> bool {
        match self {
            Self::Out { .. } | Self::Idle | Self::None => true,
            Self::Wait { .. } | Self::Floor { .. } | Self::Apply { .. } => false,
        }
    }
}

impl Reply {
    /// Longest answer, in bytes.
    pub const MAX_BYTES: usize = 512;
    /// Servers and names that are read of one.
    const MAX_NAMED: usize = 32;

    /// `None` if it is none: whoever sent that has not answered.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= Self::MAX_BYTES)?;
        let mut lines = text.lines();
        let line = lines.next()?.trim_end();
        let mut fields = line.splitn(4, ' ');
        let word = fields.next()?;
        let id = DrainId::new(fields.next()?)?;
        let generation = Generation(number(fields.next()?)?);
        let mut word = Word::read(word, fields.next().unwrap_or_default())?;
        if let (Word::Floor { rule, .. }, Some(more)) = (&mut word, lines.next()) {
            *rule = escape(more.trim_end()).into_owned();
        }
        Some(Self { id, generation, word })
    }
}

impl Word {
    fn read(word: &str, text: &str) -> Option<Self> {
        let shown = || escape(text).into_owned();
        Some(match word {
            "out" => {
                let named: Vec<_> = text.split_ascii_whitespace().collect();
                // Of which some are left out nothing could be measured.
                let servers = named.iter().filter(|_| named.len() <= Reply::MAX_NAMED);
                Self::Out { servers: servers.filter_map(|server| server.parse().ok()).collect() }
            }
            "idle" => Self::Idle,
            "none" => Self::None,
            "wait" => Self::Wait { text: shown() },
            "no" => match text.split_once(' ').unwrap_or((text, "")) {
                ("floor", names) => {
                    let names = names.split_ascii_whitespace().filter_map(NodeName::new);
                    Self::Floor { earlier: names.take(Reply::MAX_NAMED).collect(), rule: String::new() }
                }
                ("apply", error) => Self::Apply { error: escape(error).into_owned() },
                _ => Self::Apply { error: shown() },
            },
            _ => return None,
        })
    }
}

/// As it is sent: one line, and of a refusal a second one that says why, in at most [`Reply::MAX_BYTES`]. Words of a balancer's own are cut at its end; of names the first are
/// there, and of servers all or none.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, generation, word } = self;
        let name = match word {
            Word::Out { .. } => "out",
            Word::Idle => "idle",
            Word::None => "none",
            Word::Wait { .. } => "wait",
            Word::Floor { .. } | Word::Apply { .. } => "no",
        };
        let head = format!("{name} {id} {generation}");
        let room = Self::MAX_BYTES.saturating_sub(head.len());
        let text = match word {
            Word::Out { servers } => {
                let all: String = servers.iter().map(|server| format!(" {server}")).collect();
                if all.len() <= room { all } else { String::new() }
            }
            Word::Idle | Word::None => String::new(),
            Word::Wait { text } if text.is_empty() => String::new(),
            Word::Wait { text } => format!(" {}", escape(text)),
            Word::Floor { earlier, rule } => {
                let mut words = earlier.iter().map(one_word);
                // Without any it would be another answer.
                let mut text = words.next().map_or_else(|| " floor".to_owned(), |first| format!(" floor {first}"));
                for word in words {
                    if text.len() + 1 + word.len() > room {
                        break;
                    }
                    text = text + " " + &word;
                }
                // Whoever does not know of it reads the first line alone.
                let rule = escape(rule);
                if !rule.is_empty() && text.len() + 1 + rule.len() <= room {
                    text = text + "\n" + &rule;
                }
                text
            }
            Word::Apply { error } => format!(" apply {}", escape(error)),
        };
        write!(f, "{head}{}", cut(&text, room))
    }
}

/// A name as it stands among others in a line: blanks and what would do more to a terminal than be read are escaped. No longer
/// than a name is.
fn one_word(name: &NodeName) -> String {
    let escaped = |c: char| if c.is_whitespace() { c.escape_unicode().to_string() } else { c.to_string() };
    let word: String = escape(name.as_str()).chars().map(escaped).collect();
    cut(&word, NodeName::MAX_BYTES).to_owned()
}

/// As much of it as has room.
fn cut(text: &str, room: usize) -> &str {
    let end = (0..=text.len().min(room)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> DrainId {
        DrainId::new("5d3e01aa").unwrap()
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn floor(earlier: Vec<NodeName>) -> Word {
        Word::Floor { earlier, rule: String::new() }
    }

    #[test]
    fn why_a_node_is_refused_stands_in_a_second_line_if_there_is_room() {
        let rule = "min_healthy = 50 of upstream web";
        let said = |rule: &str, names: usize| {
            let earlier = (0..names).map(|at| name(&format!("{at:0120}"))).collect();
            let word = Word::Floor { earlier, rule: rule.to_owned() };
            Reply { id: id(), generation: Generation(16), word }.to_string()
        };
        assert_eq!(said(rule, 0), format!("no 5d3e01aa 16 floor\n{rule}"));
        let read = Reply::parse(said(rule, 0).as_bytes()).unwrap().word;
        assert_eq!(read, Word::Floor { earlier: Vec::new(), rule: rule.to_owned() });
        assert_eq!(said("a\nb", 0).lines().count(), 2, "it is one line");
        assert_eq!(said(rule, 40).lines().count(), 1, "names come first");
        assert!(said(rule, 40).len() <= Reply::MAX_BYTES);
    }

    #[test]
    fn a_question_names_the_node_with_the_rest_of_the_line() {
        for node in ["web1", "web 1", "größe", "-"] {
            let question = Question { id: id(), incarnation: Incarnation::new(7), node: name(node) };
            assert_eq!(question.to_string(), format!("5d3e01aa 7 {node}"));
            assert_eq!(Question::parse(question.to_string().as_bytes()), Some(question));
        }
        for text in ["", "5d3e01aa", "5d3e01aa 7", "5d3e01aa 7 ", "5d3e01aa x web1", " 7 web1", "5d3e01aa 4294967296 w"]
        {
            assert_eq!(Question::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Question::parse(b"\xff 7 web1"), None);
    }

    #[test]
    fn an_answer_of_a_script_is_read_like_one_of_ours() {
        let servers = vec!["10.0.0.1:80".parse().unwrap(), "[fd00::1]:8080".parse().unwrap()];
        // line, word
        for (line, word) in [
            ("out 5d3e01aa 16 10.0.0.1:80 [fd00::1]:8080", Word::Out { servers }),
            ("out 5d3e01aa 16", Word::Out { servers: Vec::new() }),
            ("idle 5d3e01aa 16", Word::Idle),
            ("none 5d3e01aa 16", Word::None),
            ("wait 5d3e01aa 16", Word::Wait { text: String::new() }),
            ("wait 5d3e01aa 16 in 2 s", Word::Wait { text: "in 2 s".to_owned() }),
            ("no 5d3e01aa 16 floor", floor(Vec::new())),
            ("no 5d3e01aa 16 floor web1 web2", floor(vec![name("web1"), name("web2")])),
            ("no 5d3e01aa 16 apply disk full", Word::Apply { error: "disk full".to_owned() }),
        ] {
            let reply = Reply { id: id(), generation: Generation(16), word };
            assert_eq!(reply.to_string(), line);
            assert_eq!(Reply::parse(line.as_bytes()), Some(reply.clone()));
            assert_eq!(Reply::parse(format!("{line}\n").as_bytes()), Some(reply), "as echo writes it");
        }
        let odd = Reply::parse(b"out 5d3e01aa 0 10.0.0.1 x 10.0.0.1:80").unwrap();
        assert_eq!(odd.word, Word::Out { servers: vec!["10.0.0.1:80".parse().unwrap()] });
        for text in ["", "out", "out 5d3e01aa", "out 5d3e01aa x", "yes 5d3e01aa 16", "out  16", "out 5d3e01aa -1"] {
            assert_eq!(Reply::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Reply::parse(&[b'x'; Reply::MAX_BYTES + 1]), None);
    }

    #[test]
    fn an_answer_is_one_short_line_whatever_is_in_it() {
        let long = Word::Apply { error: format!("two\nlines {}", "ü".repeat(400)) };
        let line = Reply { id: id(), generation: Generation(u64::MAX), word: long }.to_string();
        assert!(line.len() <= Reply::MAX_BYTES && !line.contains('\n'), "{line}");
        assert!(Reply::parse(line.as_bytes()).is_some());
        let earlier = vec![name("web 1"), name("web\t2"), name("web3")];
        let line = Reply { id: id(), generation: Generation(1), word: floor(earlier) }.to_string();
        assert_eq!(line, r"no 5d3e01aa 1 floor web\u{20}1 web\t2 web3");
        let Some(Reply { word: Word::Floor { earlier, .. }, .. }) = Reply::parse(line.as_bytes()) else {
            panic!("{line}")
        };
        assert_eq!(earlier.len(), 3);
    }

    #[test]
    fn of_servers_all_are_named_or_none_and_of_names_whole_ones() {
        let reply = |word| Reply { id: id(), generation: Generation(16), word };
        let servers = |count: u16| (0..count).map(|port| SocketAddr::from(([192, 168, 100, 100], 10_000 + port)));
        for (count, named) in [(1, 1), (22, 22), (23, 0), (40, 0)] {
            let line = reply(Word::Out { servers: servers(count).collect() }).to_string();
            let read = Reply::parse(line.as_bytes()).unwrap().word;
            assert_eq!(read, Word::Out { servers: servers(named).collect() }, "{count}: {line}");
        }
        let many = vec!["1.1.1.1:1"; Reply::MAX_NAMED + 1].join(" ");
        let read = Reply::parse(format!("out 5d3e01aa 1 {many}").as_bytes()).unwrap().word;
        assert_eq!(read, Word::Out { servers: Vec::new() }, "some would be left out");

        let names = |count: usize, len: usize| (0..count).map(move |at| name(&format!("{at:0len$}")));
        for (count, len, whole) in [(3, 8, 3), (100, 9, 32), (3, 200, 2), (2, 255, 1)] {
            let line = reply(floor(names(count, len).collect())).to_string();
            assert!(line.len() <= Reply::MAX_BYTES);
            let read = Reply::parse(line.as_bytes()).unwrap().word;
            assert_eq!(read, floor(names(whole, len).collect()), "{count} {len}: {line}");
        }
        // One that does not fit is still somebody.
        let line = reply(floor(vec![name(&"\u{1}".repeat(250)), name("web2")])).to_string();
        let read = Reply::parse(line.as_bytes()).unwrap().word;
        assert!(matches!(&read, Word::Floor { earlier, .. } if earlier.len() == 1), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in ".{0,80}") {
            for payload in [&bytes[..], text.as_bytes(), format!("out 5d3e01aa 7 {text}").as_bytes()] {
                let _ = Question::parse(payload);
                if let Some(reply) = Reply::parse(payload) {
                    proptest::prop_assert!(reply.to_string().len() <= Reply::MAX_BYTES);
                }
            }
        }
    }
}
