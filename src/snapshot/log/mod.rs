//! From events to what is to be written, and when the file is to be written anew.
//!
//! The driver reports what happens, then carries out [`Log::poll_write`] until there is none, and calls
//! [`Log::handle_timeout`] when [`Log::poll_timeout`] is due. Nothing is held back in memory but clock readings: a record is
//! written when it is made, so that a killed agent knows its members.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::debug;

use super::record::{Record, UnixTime};
use super::replay::Replay;
use super::state::State;
use crate::drain::Kept;
use crate::serf::{MemberEvent, MemberEventKind, SeenClocks};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::Tags;

/// Clocks are written, and the file synced, at most this often, if nothing else is said.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// A smaller file is not worth writing anew.
pub const COMPACT_BYTES: usize = 128 * 1024;

/// A file that could not be written is tried again after this time.
pub const REPAIR_INTERVAL: Duration = Duration::from_secs(30);

/// Twice the bytes of a usual record: a file is written anew when most of it is history.
const BYTES_PER_PEER: usize = 256;

/// What the driver is to do with the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Append and go on; syncing follows in its own time.
    Append(Vec<u8>),
    /// Make what was appended last.
    Sync,
    /// Write a new file beside the old one, sync it, rename it over the old one, sync the directory.
    Replace(Vec<u8>),
}

/// The state of the file, and what of it is not written yet.
#[derive(Debug)]
pub struct Log {
    own: NodeName,
    state: State,
    /// Bytes in the file, pending ones included.
    size: usize,
    pending: Vec<u8>,
    /// The file is to be written anew, not before the time given.
    replace: Option<Instant>,
    sync_interval: Duration,
    sync_now: bool,
    sync_at: Option<Instant>,
    clocks: SeenClocks,
    clocks_at: Option<Instant>,
}

impl Log {
    /// Goes on with what was read, of which `bytes` are in the file. A file that is not ours, damaged, or ends with a leave is
    /// written anew at once. Of `own` the address alone is kept: it is advertised again.
    pub fn new(own: NodeName, replay: Replay, bytes: usize, now: Instant) -> Self {
        let anew = !replay.is_sound() || replay.state.left;
        let mut state = replay.state;
        state.left = false;
        Self {
            own,
            clocks: state.clocks,
            state,
            size: bytes,
            pending: Vec::new(),
            replace: anew.then_some(now),
            sync_interval: SYNC_INTERVAL,
            sync_now: false,
            sync_at: None,
            clocks_at: None,
        }
    }

    /// From the next record on, at most so much is lost to a power cut; zero syncs each.
    pub fn set_sync_interval(&mut self, interval: Duration) {
        self.sync_interval = interval;
    }

    /// What the file says once everything is written.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Bytes in the file once everything is written.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the last [`Write`]s, once they are done, leave nothing that a power cut would take.
    pub fn is_synced(&self) -> bool {
        self.pending.is_empty() && self.replace.is_none() && self.sync_at.is_none() && self.clocks_at.is_none()
    }

    /// A member changed. After [`Self::leave`] nothing more is recorded: who stays behind is to be dialled.
    pub fn member(&mut self, wall: UnixTime, event: &MemberEvent) {
        let node = &event.member.node;
        let is_ended = !matches!(event.kind, MemberEventKind::Join | MemberEventKind::Update);
        if node.name == self.own && (is_ended || self.state.peer(&node.name).is_some_and(|own| own.addr == node.addr)) {
            return;
        }
        let (name, addr, at) = (node.name.clone(), node.addr, wall);
        let known = self.state.peer(&name);
        let record = match event.kind {
            MemberEventKind::Join => Record::Alive { name, addr, at },
            // Only a new address matters for dialling.
            MemberEventKind::Update if known.is_some_and(|peer| peer.addr == addr) => return,
            MemberEventKind::Update => Record::Alive { name, addr, at },
            MemberEventKind::Failed => Record::Failed { name, addr, at, meta: node.meta.clone() },
            MemberEventKind::Leave | MemberEventKind::Reap if known.is_none() => return,
            MemberEventKind::Leave | MemberEventKind::Reap => Record::Gone { name },
        };
        self.append(record);
    }

    /// A member of an earlier run was not found again.
    pub fn forget(&mut self, name: NodeName) {
        if self.state.peer(&name).is_some() {
            self.append(Record::Gone { name });
        }
    }

    /// Where the clocks are; written at most every sync interval.
    pub fn clocks(&mut self, now: Instant, clocks: SeenClocks) {
        self.clocks = clocks;
        if clocks != self.state.clocks {
            self.clocks_at.get_or_insert(now + self.sync_interval);
        }
    }

    /// Our incarnation went up. Synced at once: a lower one after a restart would be refuted by our own past.
    pub fn incarnation(&mut self, incarnation: Incarnation) {
        if incarnation > self.state.incarnation {
            self.append(Record::Incarnation(incarnation));
            self.sync_now = true;
        }
    }

    /// Tags were set at run time, or the configured ones hold again.
    pub fn tags(&mut self, tags: Option<&Tags>) {
        if tags != self.state.tags.as_ref() {
            self.append(Record::Tags(tags.cloned()));
        }
    }

    /// Which configured tags are deleted at run time.
    pub fn deleted_tags(&mut self, names: &BTreeSet<String>) {
        if names != self.state.deleted_tags() {
            self.append(Record::TagsDeleted(names.clone()));
        }
    }

    /// Our drain, or that there is none any more. Synced at once: nobody hears of it before.
    pub fn drain(&mut self, drain: Option<&Kept>) {
        self.append(Record::Drain(drain.cloned()));
        self.sync_now = true;
    }

    /// We leave on purpose.
    pub fn leave(&mut self, now: Instant) {
        self.append(Record::Leave);
        self.stop(now);
    }

    /// The agent stops: write and sync what is left, a file that could not be written included.
    pub fn stop(&mut self, now: Instant) {
        self.write_clocks();
        self.sync_now = true;
        self.replace = self.replace.map(|_| now);
    }

    /// The last [`Write`] failed. Whatever it left in the file, the whole is written anew after [`REPAIR_INTERVAL`]; until
    /// then nothing is appended, for behind a torn record it would be lost.
    pub fn write_failed(&mut self, now: Instant) {
        self.replace = Some(now + REPAIR_INTERVAL);
        self.pending.clear();
        self.sync_now = false;
        self.sync_at = None;
    }

    /// The next thing to do with the file.
    pub fn poll_write(&mut self, now: Instant) -> Option<Write> {
        if let Some(at) = self.replace {
            return (at <= now).then(|| self.rewrite());
        }
        if !self.pending.is_empty() {
            if self.size > COMPACT_BYTES.max(self.state.len() * BYTES_PER_PEER) {
                return Some(self.rewrite());
            }
            self.sync_at.get_or_insert(now + self.sync_interval);
            return Some(Write::Append(std::mem::take(&mut self.pending)));
        }
        if self.sync_now || self.sync_at.is_some_and(|at| at <= now) {
            self.sync_now = false;
            return self.sync_at.take().map(|_| Write::Sync);
        }
        None
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sync = self.sync_at.filter(|_| self.replace.is_none());
        [self.replace, sync, self.clocks_at].into_iter().flatten().min()
    }

    /// Does what is due; then see [`Self::poll_write`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.clocks_at.is_some_and(|at| at <= now) {
            self.write_clocks();
        }
    }

    fn write_clocks(&mut self) {
        self.clocks_at = None;
        if self.clocks != self.state.clocks {
            self.append(Record::Clocks(self.clocks));
        }
    }

    fn append(&mut self, record: Record) {
        let is_member = matches!(record, Record::Alive { .. } | Record::Failed { .. } | Record::Gone { .. });
        if self.state.left && is_member {
            return;
        }
        let before = self.pending.len();
        record.write(&mut self.pending);
        self.size += self.pending.len() - before;
        self.state.apply(record);
    }

    fn rewrite(&mut self) -> Write {
        self.pending.clear();
        self.replace = None;
        self.sync_now = false;
        self.sync_at = None;
        let mut bytes = Vec::new();
        self.state.records().iter().for_each(|record| record.write(&mut bytes));
        debug!(before = self.size, bytes = bytes.len(), members = self.state.len(), "snapshot is written anew");
        self.size = bytes.len();
        Write::Replace(bytes)
    }
}

#[cfg(test)]
mod tests;
