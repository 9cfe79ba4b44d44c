//! From the bytes of a file to the state it holds.

use std::time::Duration;

use super::record::{Record, UnixTime};
use super::serf::SerfFile;
use super::state::State;

/// Lines in which the first good record of a file of ours is looked for.
const HEADER_LINES: usize = 3;

/// How a file is to be understood.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether members of before a leave are dialled again.
    pub rejoin_after_leave: bool,
    /// Members that failed longer ago are forgotten.
    pub failed_for: Duration,
    pub now: UnixTime,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// No bytes at all.
    Empty,
    Weir,
    /// The reference's; it is to be replaced by ours.
    Serf,
    /// Not one line of it can be read.
    Unknown,
}

/// What could not be read. One warning is due for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Where it begins.
    pub offset: usize,
    /// How many bytes from there on were not taken.
    pub bytes: usize,
}

/// The outcome of reading a file. Reading never fails: the worst file is one that says nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replay {
    pub state: State,
    pub format: Format,
    pub damage: Option<Damage>,
    /// Lines of a Serf snapshot that could not be read; such a file is not cut.
    pub skipped_lines: usize,
}

impl Replay {
    /// Reads a whole file, ours or the reference's.
    pub fn read(bytes: &[u8], rules: Rules) -> Self {
        let mut replay = Self::detect(bytes, rules.rejoin_after_leave);
        if replay.state.left && !rules.rejoin_after_leave {
            replay.state.forget_peers();
        }
        let is_fresh = |peer: &super::Peer| peer.failed.is_none() || rules.now.since(peer.at) < rules.failed_for;
        replay.state.retain(is_fresh);
        replay
    }

    /// Whether the file is as we would have written it, so that it may be appended to.
    pub fn is_sound(&self) -> bool {
        self.format == Format::Weir && self.damage.is_none()
    }

    fn detect(bytes: &[u8], rejoin_after_leave: bool) -> Self {
        if bytes.is_empty() {
            return Self { state: State::default(), format: Format::Empty, damage: None, skipped_lines: 0 };
        }
        // A damaged first line, which says only what the file is, must not cost the rest. The damage may have split it.
        let starts = lines(bytes).scan(0, |at, line| Some((std::mem::replace(at, *at + line.len()), line)));
        if let Some((start, _)) = starts.take(HEADER_LINES).find(|(_, line)| record(line).is_some()) {
            let header = (start > 0).then_some(Damage { offset: 0, bytes: start });
            let replay = Self::ours(bytes, start);
            return Self { damage: header.or(replay.damage), ..replay };
        }
        let file = SerfFile::read(bytes, rejoin_after_leave);
        if file.lines == 0 {
            let damage = Some(Damage { offset: 0, bytes: bytes.len() });
            return Self { state: State::default(), format: Format::Unknown, damage, skipped_lines: 0 };
        }
        Self { state: file.state, format: Format::Serf, damage: None, skipped_lines: file.skipped }
    }

    /// Reads records up to the first that does not agree with its checksum or lacks its end.
    fn ours(bytes: &[u8], from: usize) -> Self {
        let mut state = State::default();
        let mut offset = from;
        for line in lines(&bytes[from..]) {
            let Some(record) = record(line) else { break };
            state.apply(record);
            offset += line.len();
        }
        let damage = (offset < bytes.len()).then(|| Damage { offset, bytes: bytes.len() - offset });
        Self { state, format: Format::Weir, damage, skipped_lines: 0 }
    }
}

/// Lines with their ends; the last may lack it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

fn record(line: &[u8]) -> Option<Record> {
    Record::read(line.strip_suffix(b"\n")?)
}

#[cfg(test)]
mod tests;
