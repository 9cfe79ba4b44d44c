//! What was done, in order: enough to end a run that died, and to tell what became of every generation (`protocols C.1`).

mod history;
mod record;
mod state;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::history::{Outcome, Past};
pub(super) use self::record::{Abort, Base, Begin, Event, FileChange, Live, Work};
use self::record::{Record, Unreadable, read_all};
pub(super) use self::state::{Run, State};
use super::{Error, disk};
use crate::digest::Digest;
use crate::upstream::Generation;

/// Far more than compaction lets it become.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Longer than that it is compacted.
const ROOM_BYTES: usize = 1024 * 1024;
/// Records of so many generations are kept, as many as the generations themselves.
const KEPT: usize = super::store::KEPT;

/// `journal` in the state directory.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    records: Vec<Record>,
    state: State,
    /// Bytes of whole records.
    len: usize,
}

impl Journal {
    /// Reads it; an empty one if there is none. Changes nothing.
    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("journal");
        let bytes = disk::read_if_there(&path, MAX_BYTES)?.unwrap_or_default();
        let records = read_all(&bytes).map_err(|(line, why)| match why {
            Unreadable::Damaged => {
                Error::Record { path: path.clone(), what: format!("line {line} is not as it was written") }
            }
            Unreadable::Newer => Error::Newer { path: path.clone() },
        })?;
        let state = State::of(&records.all);
        Ok(Self { path, records: records.all, state, len: records.len })
    }

    /// Whether nothing was ever recorded.
    pub(super) fn is_new(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Every generation that there are records of, oldest first.
    pub(super) fn history(&self) -> Vec<Past> {
        history::of(&self.records)
    }

    /// How many records tell of connections that were ended for it.
    pub(super) fn cuts_of(&self, wanted: Generation) -> usize {
        let is_one = |event: &Event| matches!(event, Event::Cut { generation, .. } if *generation == wanted);
        self.records.iter().filter(|record| is_one(&record.event)).count()
    }

    /// Adds a record. It is on disk when this returns.
    ///
    /// One at a time: of two whose bytes are synced at once a power loss may leave the second alone, which is damage.
    pub(super) fn write(&mut self, event: Event) -> Result<(), Error> {
        if self.is_new() {
            return self.begin_with([event]);
        }
        let record = Record { at: now(), event };
        let line = record.line();
        disk::append(&self.path, u64::try_from(self.len).unwrap_or(u64::MAX), &line)?;
        self.add(record, line.len());
        Ok(())
    }

    /// The first records of all: on disk are all of them or none, also before this returns.
    pub(super) fn begin_with(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), Error> {
        let records: Vec<Record> = events.into_iter().map(|event| Record { at: now(), event }).collect();
        let lines: Vec<Vec<u8>> = records.iter().map(Record::line).collect();
        disk::replace(&self.path, &lines.concat())?;
        records.into_iter().zip(lines).for_each(|(record, line)| self.add(record, line.len()));
        Ok(())
    }

    fn add(&mut self, record: Record, len: usize) {
        self.state.handle(&record.event);
        self.records.push(record);
        self.len += len;
    }

    /// As [`Self::write`], unless the last attempt came to the same end: what is tried again and again must not fill the disk, nor
    /// drive out the generations that one can go back to. Returns the number under which it is recorded.
    pub(super) fn write_abort(&mut self, abort: Abort) -> Result<Generation, Error> {
        let mut but_copies = self.records.iter().rev().filter(|record| !matches!(record.event, Event::Foreign { .. }));
        if let Some(Record { event: Event::Abort(last), .. }) = but_copies.next()
            && (last.step, &last.cause, &last.work) == (abort.step, &abort.cause, &abort.work)
            && self.state.run.is_none()
        {
            return Ok(last.generation);
        }
        let generation = abort.generation;
        self.write(Event::Abort(abort)).map(|()| generation)
    }

    /// As [`Self::write`], of somebody else's bytes, unless it is recorded since the last attempt began: what cannot be ended meets
    /// them each time.
    pub(super) fn write_foreign(&mut self, file: &Path, hash: Digest, copy: &Path) -> Result<(), Error> {
        let event = Event::Foreign { file: file.to_owned(), hash, copy: copy.to_owned() };
        let mut since = self.records.iter().rev().take_while(|record| !is_start(record));
        if since.any(|record| record.event == event) { Ok(()) } else { self.write(event) }
    }

    /// Drops what nobody asks for any more, if that is much.
    pub(super) fn compact(&mut self) -> Result<(), Error> {
        if self.len <= ROOM_BYTES {
            return Ok(());
        }
        let Some((base, kept)) = compacted(&self.records) else { return Ok(()) };
        if kept.len() + 1 >= self.records.len() {
            return Ok(()); // it is long for want of nothing that could go
        }
        let base = Record { at: now(), event: Event::Base(base) };
        let records: Vec<Record> = std::iter::once(base).chain(kept).collect();
        let bytes: Vec<u8> = records.iter().flat_map(Record::line).collect();
        disk::replace(&self.path, &bytes)?;
        (self.records, self.len) = (records, bytes.len());
        Ok(())
    }
}

/// What the older records add up to, and the records of the newest generations without those that go by themselves; `None` if a run
/// that has not ended is among the older ones.
fn compacted(records: &[Record]) -> Option<(Base, Vec<Record>)> {
    let starts = records.iter().enumerate().filter(|(_, record)| is_start(record)).map(|(index, _)| index);
    let starts: Vec<usize> = starts.collect();
    let from = starts.len().checked_sub(KEPT).map_or(0, |first| starts[first]);
    let before = State::of(&records[..from]);
    let kept = without_most(&without_most(&records[from..], KEPT, is_foreign), 1, is_reload);
    before.run.is_none().then(|| (before.base(), kept))
}

/// Without those of a kind that are not among its `newest`.
fn without_most(records: &[Record], newest: usize, is_of: impl Fn(&Record) -> bool) -> Vec<Record> {
    let older = records.iter().filter(|record| is_of(record)).count().saturating_sub(newest);
    let mut seen = 0;
    let is_kept = |record: &&Record| {
        seen += usize::from(is_of(record));
        !is_of(record) || seen > older
    };
    records.iter().filter(is_kept).cloned().collect()
}

/// Whether an attempt at a generation begins with it.
fn is_start(record: &Record) -> bool {
    match &record.event {
        Event::Begin(_) => true,
        Event::Abort(abort) => abort.work.is_some(),
        Event::Base(_)
        | Event::Stored { .. }
        | Event::Live(_)
        | Event::Back { .. }
        | Event::Foreign { .. }
        | Event::Reload { .. }
        | Event::Cut { .. } => false,
    }
}

/// Nothing follows from it, and it tells an operator where to look.
fn is_foreign(record: &Record) -> bool {
    matches!(record.event, Event::Foreign { .. })
}

/// What the newest says counts.
fn is_reload(record: &Record) -> bool {
    matches!(record.event, Event::Reload { .. })
}

/// Unix time in milliseconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, crate::time::millis)
}

#[cfg(test)]
mod tests;
