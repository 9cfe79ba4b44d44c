//! What comes back to who asked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::document;
use super::{Error, Looked, Process, Refusal, Report, Uncut};
use crate::digest::Digest;
use crate::drain::{Promises, Standing};
use crate::upstream::{Generation, Holds};

/// The answer to one [`Request`](super::Request).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`Self::VERSION`].
    version: u32,
    /// What came of it.
    pub body: Body,
}

/// What came of a request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// How an apply or a recovery ended.
    Applied(Report),
    /// How going back ended, and what is held because of it.
    Restored {
        /// The generation that it made.
        report: Report,
        /// All that hold now.
        holds: Holds,
    },
    /// No run had died.
    NothingToRecover,
    /// How things are, or why that cannot be said.
    State(Result<State, Error>),
    /// Which promises are kept, and how things are.
    Promised(Result<Standing, Error>),
    /// What the test of what is there says.
    Checked(Result<(), Error>),
    /// What came of each server that is dead; or why connections to them go on.
    Cut(Result<Vec<Looked>, Uncut>),
    /// Nothing was done.
    Refused(Refusal),
}

/// How things are.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The generation put in place last; `None` before the first.
    pub live: Option<Generation>,
    /// Whether a run has begun and is not known to have ended: nobody has confirmed what is in place.
    pub open: bool,
    /// NGINX's master, or why there is none.
    pub master: Result<Process, Error>,
    /// Workers that finish requests of an earlier generation.
    pub old_workers: u32,
    /// Upstreams that are held.
    pub holds: Holds,
    /// Promises to nodes that leave.
    pub promises: Promises,
    /// Whether a target is not as it was put there, or a watched file not as NGINX read it.
    pub drifted: bool,
    /// Another one, and somebody has touched a file that matters.
    pub fingerprint: Digest,
}

impl Answer {
    /// The version written and understood.
    pub const VERSION: u32 = 1;
    /// Largest document, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// With this content.
    pub fn new(body: Body) -> Self {
        Self { version: Self::VERSION, body }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names, numbers and paths of ours have a JSON form")
    }

    /// Checks and reads.
    pub fn from_json(bytes: &[u8]) -> Result<Self, AnswerError> {
        document::read(bytes, Self::MAX_BYTES, Self::VERSION).map_err(|unread| match unread {
            document::Unread::TooLarge => AnswerError::TooLarge,
            document::Unread::Version(version) => AnswerError::Version(version),
            document::Unread::Malformed(what) => AnswerError::Malformed(what),
        })
    }
}

/// Why an answer could not be understood.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerError {
    /// Larger than [`Answer::MAX_BYTES`].
    TooLarge,
    /// Written by another version of weir.
    Version(u32),
    /// Damaged, or cut short.
    Malformed(String),
    /// Sound, and the answer to something else.
    Other,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "it is larger than {} bytes", Answer::MAX_BYTES),
            Self::Version(version) => {
                write!(f, "it has version {version}, this weir understands version {}", Answer::VERSION)
            }
            Self::Malformed(what) => f.write_str(what),
            Self::Other => f.write_str("it answers something else"),
        }
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Notes, Step};
    use crate::upstream::{Hold, UpstreamName};
    use crate::wire::NodeName;

    fn looked(ended: Option<u32>) -> Looked {
        let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web2").unwrap());
        Looked { upstream, member, ended, recorded: 7 }
    }

    fn bodies() -> Vec<Body> {
        let mut holds = Holds::default();
        holds.hold(UpstreamName::new("web").unwrap(), Hold { since: 7, reason: None });
        let report = Report::Unchanged { generation: Generation(9), notes: Notes::default() };
        let stopped = || Error::NotRunning { unit: Some("nginx.service".to_owned()) };
        let state = State {
            live: Some(Generation(9)),
            open: false,
            master: Err(stopped()),
            old_workers: 4,
            holds: holds.clone(),
            promises: Promises::default(),
            drifted: true,
            fingerprint: Digest::of(b"x"),
        };
        vec![
            Body::Applied(report.clone()),
            Body::Applied(Report::refused(None, Step::Lock, Error::MasterGone)),
            Body::Restored { report, holds },
            Body::NothingToRecover,
            Body::State(Ok(State { live: None, master: Ok(Process { pid: 1, started: 2 }), ..state.clone() })),
            Body::State(Ok(state)),
            Body::State(Err(Error::MasterGone)),
            Body::Promised(Ok(Standing { live: Generation(9), old_workers: 4, promises: Promises::default() })),
            Body::Promised(Err(stopped())),
            Body::Checked(Ok(())),
            Body::Checked(Err(stopped())),
            Body::Cut(Ok(vec![looked(Some(41)), looked(None)])),
            Body::Cut(Err(Uncut::Unsupported)),
            Body::Cut(Err(Uncut::NotDone(stopped()))),
            Body::Refused(Refusal::ConfigurationChanged { path: "/etc/weir/weir.toml".into() }),
        ]
    }

    #[test]
    fn an_answer_comes_over_as_it_was() {
        for body in bodies() {
            let answer = Answer::new(body);
            assert_eq!(Answer::from_json(&answer.to_json()), Ok(answer));
        }
    }

    #[test]
    fn an_answer_that_is_none_says_why() {
        let large = vec![b' '; Answer::MAX_BYTES + 1];
        for (bytes, words) in [
            (&br#"{"version":3,"sphere":1}"#[..], "it has version 3, this weir understands version 1"),
            (b"", "EOF while parsing a value at line 1 column 0"),
            (br#"{"version":1,"body":"nothing_to_recover","more":1}"#, "unknown field `more`"),
            (&large, "it is larger than 4194304 bytes"),
        ] {
            let error = Answer::from_json(bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
