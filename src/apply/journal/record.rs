//! One line of the journal: a checksum, a space, what happened as JSON, a line end (`protocols C.1`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{CutOff, Error, Step};
use crate::digest::Digest;
use crate::upstream::{Causes, Difference, Generation, UpstreamName};

/// Hexadecimal digits and a space.
const CHECKSUM_BYTES: usize = 9;

/// What happened, and when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Record {
    /// Unix time in milliseconds.
    pub(in crate::apply) at: u64,
    pub(in crate::apply) event: Event,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::apply) enum Event {
    /// What there was before the first record: the first of a journal that was compacted, or that follows an older version's.
    Base(Base),
    /// From now on files are touched.
    Begin(Begin),
    /// It is in place. Nobody has been seen to serve it.
    Stored { generation: Generation },
    /// Workers serve it.
    Live(Live),
    /// It cannot be loaded, or was not tested: the files of another one are put in place.
    Back { failed: Generation, to: Generation, cause: Error },
    /// It is not in place: what was there before is.
    Abort(Abort),
    /// Somebody else's bytes were in the way. They are kept here.
    Foreign { file: PathBuf, hash: Digest, copy: PathBuf },
    /// The same files were loaded anew, since what they name had changed.
    Reload { generation: Generation, confirm_ms: u64, watched: Option<Digest> },
    /// Connections to servers that it does without were ended.
    Cut { generation: Generation, cut: Vec<CutOff> },
}

/// All that is still known of the records before.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Base {
    pub(in crate::apply) newest: Generation,
    pub(in crate::apply) confirmed: Generation,
    #[serde(default, skip_serializing_if = "is_origin")]
    pub(in crate::apply) before: Generation,
    pub(in crate::apply) in_place: Generation,
    pub(in crate::apply) settled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) watched: Option<Digest>,
}

/// A generation whose files are saved and tested, unless it is `untested`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Begin {
    pub(in crate::apply) generation: Generation,
    /// What it replaces.
    pub(in crate::apply) prev: Generation,
    /// The test needs it on the live path, where it is from now on until that has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::apply) untested: bool,
    /// Those that change.
    pub(in crate::apply) files: Vec<FileChange>,
    pub(in crate::apply) work: Work,
}

/// From which bytes to which.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct FileChange {
    pub(in crate::apply) path: PathBuf,
    /// `None`: it goes away.
    pub(in crate::apply) hash: Option<Digest>,
    /// `None`: there was none.
    pub(in crate::apply) prev: Option<Digest>,
}

/// What a generation was to change, for history.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Work {
    /// By upstream whose file changes; at most [`Work::MAX_CHANGES`] of servers in all.
    pub(in crate::apply) upstreams: BTreeMap<UpstreamName, Vec<Difference>>,
    /// Further changes of servers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::apply) more: u32,
    /// Why they change.
    pub(in crate::apply) causes: Causes,
    /// The generation that an operator went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) rollback_to: Option<Generation>,
}

impl Work {
    /// Of servers that one record names.
    pub(in crate::apply) const MAX_CHANGES: usize = 64;
}

/// How long it took, as far as it was seen.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Live {
    pub(in crate::apply) generation: Generation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) validate_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) confirm_ms: Option<u64>,
    /// The watched files that were read with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) watched: Option<Digest>,
}

/// Why a generation is not in place.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::apply) struct Abort {
    pub(in crate::apply) generation: Generation,
    pub(in crate::apply) step: Step,
    pub(in crate::apply) cause: Error,
    /// Of one that had not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::apply) work: Option<Work>,
    /// It was in place for a while, and somebody else may have had NGINX load it: what that serves has to be seen again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::apply) may_be_served: bool,
}

fn is_origin(generation: &Generation) -> bool {
    *generation == Generation(0)
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::apply) enum Unreadable {
    /// It is not what was written.
    Damaged,
    /// It is whole, and this version does not know what it says.
    Newer,
}

impl Record {
    /// The line with its end.
    pub(in crate::apply) fn line(&self) -> Vec<u8> {
        let body = serde_json::to_string(self).expect("names, numbers, paths and errors of ours have a JSON form");
        format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes()
    }

    /// A line without its end.
    pub(in crate::apply) fn read(line: &[u8]) -> Result<Self, Unreadable> {
        let (checksum, body) = line.split_at_checked(CHECKSUM_BYTES).ok_or(Unreadable::Damaged)?;
        if checksum != format!("{:08x} ", crc32fast::hash(body)).as_bytes() {
            return Err(Unreadable::Damaged);
        }
        serde_json::from_slice(body).map_err(|_| Unreadable::Newer)
    }
}

/// The records of a journal.
#[derive(Debug, Default, Eq, PartialEq)]
pub(in crate::apply) struct Records {
    pub(in crate::apply) all: Vec<Record>,
    /// Bytes up to the end of the last one. What follows was being written when the power went.
    pub(in crate::apply) len: usize,
}

/// Reads a whole journal. Whatever follows the last whole record is a torn tail; a line that cannot be read before that is not.
///
/// # Errors
/// With the number of the line.
pub(in crate::apply) fn read_all(bytes: &[u8]) -> Result<Records, (usize, Unreadable)> {
    let (mut records, mut broken, mut from) = (Records::default(), None, 0);
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        from += line.len();
        let record = line.strip_suffix(b"\n").ok_or(Unreadable::Damaged).and_then(Record::read);
        match (record, broken) {
            (Err(Unreadable::Damaged), None) => broken = Some(index + 1),
            (Err(Unreadable::Damaged), Some(_)) => {}
            (Err(Unreadable::Newer), None) => return Err((index + 1, Unreadable::Newer)),
            (Ok(_) | Err(Unreadable::Newer), Some(line)) => return Err((line, Unreadable::Damaged)),
            (Ok(record), None) => {
                records.all.push(record);
                records.len = from;
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NodeName;

    fn stored(generation: u64) -> Record {
        Record { at: 7, event: Event::Stored { generation: Generation(generation) } }
    }

    fn cut_off() -> CutOff {
        let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web2").unwrap());
        CutOff { upstream, member, connections: 41 }
    }

    fn lines(count: u64) -> Vec<u8> {
        (1..=count).flat_map(|generation| stored(generation).line()).collect()
    }

    #[test]
    fn whatever_a_power_loss_leaves_of_the_last_line_is_a_torn_tail() {
        let whole = lines(2);
        for len in 0..=stored(3).line().len() {
            let line = stored(3).line();
            // Cut short, or with the length and not the bytes.
            for tail in [line[..len].to_vec(), [&line[..len], &vec![0; line.len() - len]].concat()] {
                let records = read_all(&[whole.clone(), tail].concat()).unwrap();
                let complete = len == line.len();
                assert_eq!(records.all.len(), if complete { 3 } else { 2 }, "{len}");
                assert_eq!(records.len, if complete { whole.len() + line.len() } else { whole.len() });
            }
        }
        assert_eq!(read_all(b""), Ok(Records::default()));
    }

    #[test]
    fn damage_before_the_last_record_and_a_newer_record_are_told_apart() {
        let mut damaged = lines(3);
        let at = stored(1).line().len() + 20;
        damaged[at] ^= 1;
        assert_eq!(read_all(&damaged), Err((2, Unreadable::Damaged)));
        for body in [
            r#"{"at":1,"event":{"fly":{"member":"web1"}}}"#,
            r#"{"at":1,"event":{"stored":{"generation":1}},"more":1}"#,
        ] {
            let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes();
            assert_eq!(read_all(&[lines(1), line.clone()].concat()), Err((2, Unreadable::Newer)));
            assert_eq!(read_all(&[lines(1), line, lines(1)].concat()), Err((2, Unreadable::Newer)));
        }
    }

    #[test]
    fn every_record_comes_back_as_it_was() {
        let generation = Generation(4);
        let hash = Digest::of(b"x");
        let files = vec![FileChange { path: "/a".into(), hash: Some(hash), prev: None }];
        let begin = Begin { generation, prev: Generation(3), untested: true, files, work: Work::default() };
        let cause = Error::MasterGone;
        for event in [
            Event::Base(Base { newest: generation, ..Base::default() }),
            Event::Begin(begin),
            Event::Stored { generation },
            Event::Live(Live { generation, confirm_ms: Some(40), ..Live::default() }),
            Event::Back { failed: generation, to: Generation(3), cause: cause.clone() },
            Event::Abort(Abort {
                generation,
                step: Step::Validate,
                cause,
                work: Some(Work::default()),
                may_be_served: true,
            }),
            Event::Foreign { file: "/a".into(), hash, copy: "/b".into() },
            Event::Reload { generation, confirm_ms: 1, watched: Some(hash) },
            Event::Cut { generation, cut: vec![cut_off()] },
        ] {
            let record = Record { at: u64::MAX, event };
            let line = record.line();
            assert_eq!(Record::read(line.strip_suffix(b"\n").unwrap()), Ok(record));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read_all(&bytes);
        }
    }
}
