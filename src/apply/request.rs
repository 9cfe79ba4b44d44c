//! What is asked of who applies: the document that crosses to the privileged side.
//!
//! The asking side faces the network and this one may be root, so nothing in the document is trusted: size, version, unknown and
//! repeated fields, names, counts and texts are checked while it is read. There is no path, no command and no text for NGINX in
//! it.

use serde::{Deserialize, Serialize};

use super::document;
use super::{Cut, Deaths, Process, Refusal};
use crate::config::ConfigHash;
use crate::drain::Promises;
use crate::upstream::desired::Desired;
use crate::upstream::{Causes, Generation, Holds, Reason};

/// One request, of which each connection carries one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`Self::VERSION`].
    version: u32,
    /// What the asking side runs with.
    pub configuration: ConfigHash,
    /// What is wanted.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Bring this in place.
    Apply(Job),
    /// How things are. Changes nothing.
    Report {
        /// The master that was seen last: as long as it is there, nobody else is looked for.
        known: Option<Process>,
    },
    /// Go back to an earlier generation.
    Rollback(Rollback),
    /// Keep these promises as far as they are true, and say how things are.
    Promise {
        /// All that hold, not only new ones.
        promises: Promises,
        /// As of a report.
        known: Option<Process>,
    },
    /// End what a run that died left half done.
    Recover,
    /// Test what is there. Changes nothing.
    Check,
    /// End NGINX's connections to servers that are dead. Waits for no lock.
    Cut(Cut),
}

/// What should be in place, and what must be kept in mind with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The servers of each upstream.
    pub desired: Desired,
    /// Why they are others than before.
    pub causes: Causes,
    /// All that hold, not only new ones.
    pub promises: Promises,
    /// All that hold, not only new ones.
    pub holds: Holds,
    /// Servers that are dead: once those that are to do without them are confirmed, connections that older workers have to them are
    /// ended.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub dead: Deaths,
}

fn is_empty(dead: &Deaths) -> bool {
    dead.iter().next().is_none()
}

impl Job {
    /// One that promises nothing, holds nothing and tells of nobody dead.
    pub fn new(desired: Desired) -> Self {
        Self {
            desired,
            causes: Causes::default(),
            promises: Promises::default(),
            holds: Holds::default(),
            dead: Deaths::default(),
        }
    }
}

/// Which generation to go back to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// That one.
    pub to: Generation,
    /// Why, in the operator's words.
    pub reason: Option<Reason>,
    /// All that hold: nobody who was told that it may stop comes back.
    pub promises: Promises,
}

impl Request {
    /// The version written and understood.
    pub const VERSION: u32 = 1;
    /// Largest document, in bytes: the servers, and room for what goes with them.
    pub const MAX_BYTES: usize = Desired::MAX_BYTES + 2 * 1024 * 1024;

    /// From a side that runs with this configuration.
    pub fn new(configuration: ConfigHash, ask: Ask) -> Self {
        Self { version: Self::VERSION, configuration, ask }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers always have a JSON form")
    }

    /// Checks and reads.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Refusal> {
        document::read(bytes, Self::MAX_BYTES, Self::VERSION).map_err(|unread| match unread {
            document::Unread::TooLarge => Refusal::TooLarge { limit: Self::MAX_BYTES },
            document::Unread::Version(theirs) => Refusal::Version { theirs, ours: Self::VERSION },
            document::Unread::Malformed(what) => Refusal::Malformed { what },
        })
    }
}

impl Ask {
    /// The word for logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Apply(_) => "apply",
            Self::Report { .. } => "report",
            Self::Rollback(_) => "rollback",
            Self::Promise { .. } => "promise",
            Self::Recover => "recover",
            Self::Check => "check",
            Self::Cut(_) => "cut",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::Dead;
    use crate::config::Config;
    use crate::drain::{DrainId, Promise};
    use crate::upstream::desired::Target;
    use crate::upstream::{Cause, Hold, MemberEvent, UpstreamName};
    use crate::wire::NodeName;
    use crate::wire::message::Incarnation;

    fn reason() -> Option<Reason> {
        Reason::try_from("the probe misjudges".to_owned()).ok()
    }

    fn promises() -> Promises {
        let node = NodeName::new("web1").unwrap();
        let promise = Promise { node, incarnation: Incarnation::FIRST, id: DrainId::new("5d3e01aa").unwrap() };
        Promises::try_from(vec![promise]).unwrap()
    }

    fn job() -> Job {
        let web = UpstreamName::new("web").unwrap();
        let mut desired = Desired::new(7);
        desired.upstreams.insert(web.clone(), Target::Placeholder);
        let mut holds = Holds::default();
        holds.hold(web, Hold { since: 1_764_425_403_000, reason: reason() });
        let causes = [Cause::Member { member: NodeName::new("web2").unwrap(), event: MemberEvent::Joined }];
        let dead = Deaths::new([Dead {
            upstream: UpstreamName::new("web").unwrap(),
            member: NodeName::new("web3").unwrap(),
            cut: 41,
        }]);
        Job { desired, causes: causes.into_iter().collect(), promises: promises(), holds, dead }
    }

    fn cut(known: Option<Process>) -> Cut {
        let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web3").unwrap());
        Cut { dead: Deaths::new([Dead { upstream, member, cut: 7 }]), known }
    }

    fn asks() -> Vec<Ask> {
        vec![
            Ask::Apply(job()),
            Ask::Apply(Job::new(Desired::new(0))),
            Ask::Report { known: None },
            Ask::Report { known: Some(Process { pid: 812, started: 4711 }) },
            Ask::Rollback(Rollback { to: Generation(7), reason: reason(), promises: promises() }),
            Ask::Rollback(Rollback { to: Generation(0), reason: None, promises: Promises::default() }),
            Ask::Promise { promises: promises(), known: None },
            Ask::Recover,
            Ask::Check,
            Ask::Cut(cut(None)),
            Ask::Cut(cut(Some(Process { pid: 812, started: 4711 }))),
        ]
    }

    fn request(ask: Ask) -> Request {
        Request::new(Config::default().hash(), ask)
    }

    #[test]
    fn a_request_comes_over_as_it_was() {
        for ask in asks() {
            let request = request(ask);
            assert_eq!(Request::from_json(&request.to_json()), Ok(request));
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_or_reach_a_file_is_refused() {
        let whole = String::from_utf8(request(Ask::Apply(job())).to_json()).unwrap();
        let hash = Config::default().hash().to_string();
        for (part, instead, words) in [
            ("\"ask\"", "\"path\":\"/etc/shadow\",\"ask\"", "unknown field `path`"),
            ("\"ask\"", "\"ask\":\"check\",\"ask\"", "duplicate field `ask`"),
            ("\"apply\"", "\"exec\"", "unknown variant `exec`"),
            ("\"desired\"", "\"more\":1,\"desired\"", "unknown field `more`"),
            (
                "\"desired\":{\"version\":1",
                "\"desired\":{\"version\":2",
                "desired document version 2 is not understood",
            ),
            ("\"web\":\"placeholder\"", "\"../web\":\"placeholder\"", "is no upstream name"),
            ("\"web\":{\"since\"", "\"web;\":{\"since\"", "is no upstream name"),
            ("\"event\":\"joined\"", "\"event\":\"told me so\"", "unknown variant `told me so`"),
            ("\"member\":\"web2\"", "\"member\":\"\"", "a member's name has 1 to 512 bytes"),
            ("\"id\":\"5d3e01aa\"", "\"id\":\"\"", "a drain's id has 1 to 512 bytes and no control characters"),
            (
                "\"id\":\"5d3e01aa\"",
                "\"id\":\"5d\\u001b[2J\"",
                "a drain's id has 1 to 512 bytes and no control characters",
            ),
            ("\"incarnation\":1", "\"incarnation\":-1", "invalid value"),
            ("the probe misjudges", "two\\nlines", "a reason has 1 to 256 bytes and no control characters"),
            ("\"since\":", "\"since\":1,\"since\":", "duplicate field `since`"),
            (hash.as_str(), "abc", "a digest has 64 hexadecimal digits"),
        ] {
            assert!(whole.contains(part), "{part}");
            match Request::from_json(whole.replacen(part, instead, 1).as_bytes()) {
                Err(Refusal::Malformed { what }) => assert!(what.contains(words), "{instead}: {what}"),
                other => panic!("{instead}: {other:?}"),
            }
        }
        for damaged in ["", "[]", "null", "{}", "\"check\"", &whole[..whole.len() - 1], &format!("{whole}x")] {
            assert!(matches!(Request::from_json(damaged.as_bytes()), Err(Refusal::Malformed { .. })), "{damaged}");
        }
        assert!(matches!(Request::from_json(b"\xff"), Err(Refusal::Malformed { .. })));
        let nested = format!("{{\"version\":1,\"ask\":{}", "[".repeat(200_000));
        assert!(matches!(Request::from_json(nested.as_bytes()), Err(Refusal::Malformed { .. })));
    }

    #[test]
    fn a_newer_document_is_told_from_a_damaged_one() {
        let newer = br#"{"version":2,"ask":{"fly":{}},"more":[]}"#;
        assert_eq!(Request::from_json(newer), Err(Refusal::Version { theirs: 2, ours: 1 }));
        assert!(matches!(Request::from_json(br#"{"version":"2"}"#), Err(Refusal::Malformed { .. })));
    }

    #[test]
    fn size_is_limited_and_what_a_refusal_quotes_is_short_and_harmless() {
        let large = vec![b' '; Request::MAX_BYTES + 1];
        assert_eq!(Request::from_json(&large), Err(Refusal::TooLarge { limit: Request::MAX_BYTES }));
        let field = format!("{{\"version\":1,\"\\u001b[2J{}\":1}}", "x".repeat(10_000));
        match Request::from_json(field.as_bytes()) {
            Err(Refusal::Malformed { what }) => assert!(what.len() < 200 && !what.contains('\x1b'), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Request::from_json(&bytes);
        }
    }
}
