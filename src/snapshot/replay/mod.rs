//! From the bytes of a file to the state it holds.

use std::time::Duration;

use super::record::{Record, UnixTime};
use super::serf::SerfFile;
use super::state::State;

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
    /// How many bytes were not taken, there and behind it.
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
        let is_fresh = |peer: &super::Peer| peer.failed.is_none() || rules.now.since(peer.at) < rules.failed_for;
        replay.state.retain(is_fresh);
        if replay.state.left && !rules.rejoin_after_leave {
            replay.state.forget_peers();
        }
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
        if let Some(ours) = Self::ours(bytes) {
            return ours;
        }
        let file = SerfFile::read(bytes, rejoin_after_leave);
        if file.lines == 0 {
            let damage = Some(Damage { offset: 0, bytes: bytes.len() });
            return Self { state: State::default(), format: Format::Unknown, damage, skipped_lines: 0 };
        }
        Self { state: file.state, format: Format::Serf, damage: None, skipped_lines: file.skipped }
    }

    /// Reads every record that agrees with its checksum; `None` without any.
    fn ours(bytes: &[u8]) -> Option<Self> {
        let mut state = State::default();
        let (mut offset, mut records) = (0, 0);
        let mut damage: Option<Damage> = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let taken = match whole(line) {
                Some((record, len)) => {
                    state.apply(record);
                    records += 1;
                    len
                }
                None => 0,
            };
            let lost = line.len() - taken;
            if lost > 0 {
                damage.get_or_insert(Damage { offset, bytes: 0 }).bytes += lost;
            }
            offset += line.len();
        }
        (records > 0).then_some(Self { state, format: Format::Weir, damage, skipped_lines: 0 })
    }
}

/// The record of a line, and its length: all of the line, or what is behind the zeros that a power cut may leave in place of
/// the lines before it.
fn whole(line: &[u8]) -> Option<(Record, usize)> {
    let read = |line: &[u8]| Some((Record::read(line.strip_suffix(b"\n")?)?, line.len()));
    let behind = || line.iter().rposition(|byte| *byte == 0).map(|zero| &line[zero + 1..]);
    read(line).or_else(|| read(behind()?))
}

#[cfg(test)]
mod tests;
