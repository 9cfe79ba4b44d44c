//! Reading the snapshots of the reference (`serf §9`). They are never written.

use std::net::SocketAddr;

use super::record::{Record, UnixTime};
use super::state::State;
use crate::serf::{LamportTime, SeenClocks};
use crate::wire::NodeName;

/// A snapshot of the reference, as far as it can be read.
#[derive(Debug, Default)]
pub(super) struct SerfFile {
    pub(super) state: State,
    /// Lines that say something.
    pub(super) lines: usize,
    /// Lines that could not be read.
    pub(super) skipped: usize,
}

impl SerfFile {
    /// Reads a file from top to bottom. Without `rejoin_after_leave` a leave forgets all that came before it. A last line
    /// without its end is ignored, as the reference does.
    pub(super) fn read(bytes: &[u8], rejoin_after_leave: bool) -> Self {
        let mut file = Self::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { break };
            match std::str::from_utf8(line).ok().and_then(parse) {
                Some(Line::Ignored) => {}
                Some(Line::Leave) if rejoin_after_leave => file.lines += 1,
                Some(Line::Leave) => {
                    file.lines += 1;
                    file.state = State::default();
                }
                Some(Line::Record(record)) => {
                    file.lines += 1;
                    file.state.apply(record);
                }
                None => file.skipped += 1,
            }
        }
        // Who is not alive may only have failed.
        file.state.forget_gone();
        file
    }
}

enum Line {
    Record(Record),
    Leave,
    /// A comment, or coordinates of old versions.
    Ignored,
}

fn parse(line: &str) -> Option<Line> {
    if line == "leave" {
        return Some(Line::Leave);
    }
    if line.starts_with('#') || line.starts_with("coordinate: ") {
        return Some(Line::Ignored);
    }
    let (kind, rest) = line.split_once(": ")?;
    let clocks = |set: fn(&mut SeenClocks, LamportTime)| {
        let mut clocks = SeenClocks::default();
        set(&mut clocks, LamportTime(rest.parse().ok()?));
        Some(Record::Clocks(clocks))
    };
    let record = match kind {
        "alive" => {
            // The name may hold blanks.
            let (name, addr) = rest.rsplit_once(' ')?;
            let addr: SocketAddr = addr.parse().ok()?;
            Record::Alive { name: NodeName::new(name)?, addr, at: UnixTime(0) }
        }
        "not-alive" => Record::Gone { name: NodeName::new(rest)? },
        "clock" => clocks(|clocks, time| clocks.member = time)?,
        "event-clock" => clocks(|clocks, time| clocks.event = time)?,
        "query-clock" => clocks(|clocks, time| clocks.query = time)?,
        _ => return None,
    };
    Some(Line::Record(record))
}
