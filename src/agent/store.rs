//! The snapshot's file: read at start, then written by the blocking pool, one job at a time and in order.
//!
//! What is recorded, when it is synced and when the file is written anew is [`crate::snapshot`]'s decision; here are the
//! system calls and what happens when they fail: the agent goes on, says so once, and tries again.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::clock::Calendar;
use super::{clock, file, tags};
use crate::config::Config;
use crate::drain::{Kept, NotKept};
use crate::endpoint::{self, Endpoint, JoinTarget};
use crate::error::{Trouble, system_words, where_to_free_space};
use crate::serf::{self, MemberEvent};
use crate::snapshot::{Format, Log, MAX_BYTES, Replay, Rules, UnixTime, Write};
use crate::status::node::{Failing, Snapshot};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::Tags;

/// Bytes that may wait for a disk that does not answer; beyond them the file is written anew later.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// The disk's time for the record of a drain. Somebody waits for it, and it goes on without.
const DRAIN_RECORD: Duration = Duration::from_secs(2);
/// The disk's time at the agent's end.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// What an earlier run left behind.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) endpoint: endpoint::Restored,
    /// Whom to dial, the most promising first.
    pub(super) members: Vec<JoinTarget>,
    /// Tags that were set at run time.
    pub(super) tags: Tags,
    /// Configured ones that were deleted at run time.
    pub(super) deleted_tags: BTreeSet<String>,
    /// There was no run of ours before that we know of.
    pub(super) is_first: bool,
    /// The drain that was not undone.
    pub(super) drain: Option<Kept>,
    /// What was advertised.
    pub(super) advertised: Option<IpAddr>,
    /// Who left or was forgotten, and had not come back when the earlier run ended.
    pub(super) gone: Vec<NodeName>,
}

/// The running snapshot; without a path it does nothing.
#[derive(Debug)]
pub(super) struct Store {
    open: Option<Open>,
    drain: DrainRecord,
}

/// How far the record of our drain is on its way to the disk.
#[derive(Debug, Default)]
enum DrainRecord {
    /// Nobody waits for one.
    #[default]
    Told,
    Waiting {
        until: Instant,
    },
    /// It is in the job that runs.
    Writing {
        until: Instant,
    },
    Ended(Result<(), NotKept>),
}

impl DrainRecord {
    /// When nobody waits for it any more.
    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } | Self::Writing { until } => Some(*until),
            Self::Told | Self::Ended(_) => None,
        }
    }

    /// It is in no job that will end well soon.
    fn failed(&mut self, why: impl Into<String>) {
        if self.poll_timeout().is_some() {
            *self = Self::Ended(Err(NotKept::Failed(why.into())));
        }
    }
}

#[derive(Debug)]
struct Open {
    log: Log,
    path: PathBuf,
    /// Here while no job runs.
    file: Option<File>,
    waiting: VecDeque<Write>,
    running: Option<JoinHandle<Done>>,
    /// Since when it cannot be written, and why.
    failing: Option<(Instant, Trouble)>,
    /// When nothing was missing in the file for the last time.
    synced: Instant,
}

/// A job's end: the file it was given, or the one it made.
#[derive(Debug)]
pub(super) struct Done {
    file: Option<File>,
    result: io::Result<()>,
}

impl Store {
    /// Reads the file, if there is one. What is of no use is put aside: a cache keeps no agent from starting.
    pub(super) fn open(config: &Config, now: Instant) -> (Self, Restored) {
        let Some(path) = config.snapshot.path.clone().filter(|path| can_hold(path)) else {
            return (Self { open: None, drain: DrainRecord::Told }, Restored { is_first: true, ..Restored::default() });
        };
        let bytes = read(&path);
        let rules = Rules {
            rejoin_after_leave: config.snapshot.rejoin_after_leave,
            failed_for: config.gossip.reconnect_timeout,
            now: wall(),
        };
        let replay = Replay::read(&bytes, rules);
        report(&path, &replay);
        let name = &config.node.name;
        let state = &replay.state;
        let target = |peer: &crate::snapshot::Peer| JoinTarget { label: peer.name.to_string(), addr: peer.addr };
        let serf = serf::Restored { clocks: state.clocks(), failed: state.failed_members(rules.now), ballot: None };
        let restored = Restored {
            endpoint: endpoint::Restored { incarnation: state.incarnation(), serf, ..endpoint::Restored::default() },
            members: state.dial_order(name).into_iter().map(target).collect(),
            tags: state.tags().cloned().unwrap_or_default(),
            deleted_tags: state.deleted_tags().clone(),
            is_first: replay.format != Format::Weir,
            drain: state.drain().cloned(),
            advertised: state.own_address(name).map(|addr| addr.ip()),
            gone: state.gone().cloned().collect(),
        };
        let mut log = Log::new(name.clone(), replay, bytes.len(), now);
        log.set_sync_interval(config.snapshot.sync_interval);
        let open = Open { log, path, file: None, waiting: VecDeque::new(), running: None, failing: None, synced: now };
        (Self { open: Some(open), drain: DrainRecord::Told }, restored)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let written = self.open.as_ref().and_then(|open| open.log.poll_timeout());
        [written, self.drain.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn set_sync_interval(&mut self, interval: Duration) {
        if let Some(open) = &mut self.open {
            open.log.set_sync_interval(interval);
        }
    }

    /// What there is to tell; `None` without a path.
    pub(super) fn status(&self, calendar: &Calendar) -> Option<Snapshot> {
        let open = self.open.as_ref()?;
        let failing = open.failing.as_ref().map(|(since, Trouble { what, way_out })| Failing {
            error: what.clone(),
            remedy: Some(way_out.clone()),
            since: Some(calendar.date(*since)),
        });
        let synced = calendar.moment(if open.is_synced() { clock::now() } else { open.synced });
        let bytes = open.log.size().try_into().unwrap_or(u64::MAX);
        Some(Snapshot { path: open.path.display().to_string(), bytes, synced, failing })
    }

    /// Records where clocks and incarnation are, and writes what is due.
    pub(super) fn record(&mut self, now: Instant, endpoint: &Endpoint) {
        if let Some(open) = &mut self.open {
            open.log.clocks(now, endpoint.serf().seen_clocks());
            open.log.incarnation(endpoint.swim().incarnation());
            self.advance(now);
        }
    }

    /// Records what became of a member.
    pub(super) fn member(&mut self, event: &MemberEvent) {
        if let Some(open) = &mut self.open {
            open.log.member(wall(), event);
        }
    }

    /// Records the tags that differ from those of the configuration, and which of those are not there: both outlive a restart,
    /// and a configured tag that is changed in the file holds.
    pub(super) fn tags(&mut self, configured: &Tags, own: Tags) {
        let Some(open) = &mut self.open else { return };
        let mut tags = tags::without_reserved(own);
        let deleted = tags::without_reserved(configured.clone()).into_keys().filter(|name| !tags.contains_key(name));
        open.log.deleted_tags(&deleted.collect());
        tags.retain(|name, value| configured.get(name) != Some(value));
        open.log.tags(Some(&tags).filter(|tags| !tags.is_empty()));
    }

    /// Records our drain, or its end; [`Self::poll_drain`] tells once it is on disk.
    pub(super) fn drain(&mut self, now: Instant, drain: Option<&Kept>) {
        match &mut self.open {
            Some(open) => {
                open.log.drain(drain);
                self.drain = DrainRecord::Waiting { until: now + DRAIN_RECORD };
                if let Some((_, trouble)) = &open.failing {
                    // It will be in the file that is written anew, later.
                    self.drain.failed(unwritten(&open.path, trouble));
                }
                self.advance(now);
            }
            None => {
                let never = NotKept::Never("there is no snapshot (snapshot.path)".to_owned());
                self.drain = DrainRecord::Ended(Err(never));
            }
        }
    }

    /// The last drain that was recorded is on disk, or why it is not. Once.
    pub(super) fn poll_drain(&mut self, now: Instant) -> Option<Result<(), NotKept>> {
        if self.drain.poll_timeout().is_some_and(|until| until <= now) {
            let seconds = DRAIN_RECORD.as_secs();
            self.drain.failed(format!("the snapshot cannot be written: no answer within {seconds} s"));
        }
        match std::mem::take(&mut self.drain) {
            DrainRecord::Ended(result) => Some(result),
            waiting @ (DrainRecord::Told | DrainRecord::Waiting { .. } | DrainRecord::Writing { .. }) => {
                self.drain = waiting;
                None
            }
        }
    }

    /// Records that we left.
    pub(super) fn left(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.log.leave(now);
        }
    }

    /// A member that was never heard of again is not to be dialled any more.
    pub(super) fn forget(&mut self, name: &str) {
        if let (Some(open), Some(name)) = (&mut self.open, NodeName::new(name)) {
            open.log.forget(name);
        }
    }

    /// The end of the job that runs; never without one. Cancel-safe.
    pub(super) async fn done(&mut self) -> Done {
        let running = self.open.as_mut().and_then(|open| open.running.as_mut());
        let Some(running) = running else { return std::future::pending().await };
        let done = running.await.unwrap_or_else(|error| Done { file: None, result: Err(io::Error::other(error)) });
        if let Some(open) = &mut self.open {
            open.running = None;
        }
        done
    }

    /// Writes and syncs what is left, within a bound.
    pub(super) async fn finish(&mut self) {
        let all = async {
            if let Some(open) = &mut self.open {
                open.log.stop(clock::now());
            }
            loop {
                self.advance(clock::now());
                if self.open.as_ref().is_none_or(|open| open.running.is_none()) {
                    break;
                }
                let done = self.done().await;
                self.handle_done(clock::now(), done);
            }
        };
        if timeout(LAST_WRITE, all).await.is_err() {
            warn!("the snapshot's disk does not answer, the last records may be lost");
        }
    }

    /// Starts the next job if none runs.
    fn advance(&mut self, now: Instant) {
        let Some(open) = &mut self.open else { return };
        open.log.handle_timeout(now);
        while let Some(write) = open.log.poll_write(now) {
            if !open.queue(now, write) {
                self.drain.failed("the snapshot cannot be written: its disk does not keep up");
            }
        }
        if open.running.is_none() && !open.waiting.is_empty() {
            let (path, file, jobs) = (open.path.clone(), open.file.take(), std::mem::take(&mut open.waiting));
            open.running = Some(tokio::task::spawn_blocking(move || carry_out(&path, file, jobs)));
            if let DrainRecord::Waiting { until } = self.drain {
                self.drain = DrainRecord::Writing { until };
            }
        }
        if open.is_synced() {
            open.synced = now;
        }
    }

    /// A job has ended.
    pub(super) fn handle_done(&mut self, now: Instant, done: Done) {
        let Some(open) = &mut self.open else { return };
        open.file = done.file;
        let result = done.result.map_err(|error| trouble(&open.path, &error));
        match (&self.drain, &result) {
            (DrainRecord::Writing { .. }, Ok(())) => self.drain = DrainRecord::Ended(Ok(())),
            // Also of one that was to be in the next job, as there is none soon.
            (_, Err(trouble)) => self.drain.failed(unwritten(&open.path, trouble)),
            (_, Ok(())) => {}
        }
        match result {
            Ok(()) if open.failing.take().is_some() => {
                info!(path = %open.path.display(), "snapshot is written again");
            }
            Ok(()) => {}
            Err(trouble) => {
                open.waiting.clear();
                open.log.write_failed(now);
                let known = open.failing.take();
                if known.is_none() {
                    let (path, Trouble { what, way_out }) = (open.path.display(), &trouble);
                    warn!(
                        error = what,
                        "cannot write {path}; the agent goes on, but a restart now needs gossip.join; {way_out}"
                    );
                }
                open.failing = Some((known.map_or(now, |(since, _)| since), trouble));
            }
        }
    }
}

/// What the system says, and the way out.
fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let way_out = where_to_free_space(path, error.kind()).unwrap_or_else(|| "see to its directory".to_owned());
    Trouble::new(system_words(error), way_out)
}

/// `cannot write /var/lib/weir/snapshot: no space left on device; free space in /var/lib/weir`.
fn unwritten(path: &Path, Trouble { what, way_out }: &Trouble) -> String {
    Trouble::new(format!("cannot write {}: {what}", path.display()), way_out).to_string()
}

impl Open {
    fn is_synced(&self) -> bool {
        self.log.is_synced() && self.waiting.is_empty() && self.running.is_none() && self.failing.is_none()
    }

    /// `false` if all that waits was given up: it will be in the file that is written anew.
    fn queue(&mut self, now: Instant, write: Write) -> bool {
        if let Write::Replace(_) = write {
            // The new file holds all that waits.
            self.waiting.clear();
        }
        self.waiting.push_back(write);
        let waiting: usize = self.waiting.iter().map(bytes_of).sum();
        let is_too_much = waiting > MAX_WAITING_BYTES && self.waiting.len() > 1;
        if is_too_much {
            self.waiting.clear();
            self.log.write_failed(now);
        }
        !is_too_much
    }
}

fn bytes_of(write: &Write) -> usize {
    match write {
        Write::Append(bytes) | Write::Replace(bytes) => bytes.len(),
        Write::Sync => 0,
    }
}

/// On a thread of the pool. After an error the rest is not tried: it belongs behind what failed.
fn carry_out(path: &Path, mut file: Option<File>, jobs: VecDeque<Write>) -> Done {
    let mut all = || -> io::Result<()> {
        for job in &jobs {
            match job {
                Write::Append(bytes) => opened(path, &mut file)?.write_all(bytes)?,
                Write::Sync => opened(path, &mut file)?.sync_data()?,
                Write::Replace(bytes) => {
                    file = None;
                    file = Some(file::replace(path, bytes)?);
                }
            }
        }
        Ok(())
    };
    let result = all();
    Done { file: file.filter(|_| result.is_ok()), result }
}

fn opened<'a>(path: &Path, file: &'a mut Option<File>) -> io::Result<&'a mut File> {
    match file {
        Some(file) => Ok(file),
        None => Ok(file.insert(file::append(path)?)),
    }
}

/// Whether a snapshot can be at `path`: not where somebody names `/dev/null` to have none.
fn can_hold(path: &Path) -> bool {
    let is_device = file::is_device(path);
    if is_device {
        warn!(path = %path.display(), "a device holds no snapshot, there is none; set snapshot.path = \"\" to have none");
    }
    !is_device
}

/// What the file holds; nothing if there is none, or none that can be read.
fn read(path: &Path) -> Vec<u8> {
    match crate::file::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let (path, kept) = (path.display(), file::kept_aside(path));
            let way_back = file::way_back(&kept, &error);
            warn!(%path, %error, kept, way_back, "snapshot cannot be read, starting without it; members are found by gossip.join");
            Vec::new()
        }
    }
}

/// Tells how the file was. One in which nothing is a snapshot's is kept: perhaps the path is a mistake, and the file is
/// somebody else's.
fn report(path: &Path, replay: &Replay) {
    let shown = path.display();
    match (replay.format, replay.damage) {
        (Format::Unknown, _) => {
            let kept = file::kept_aside(path);
            warn!(path = %shown, kept, "file is no snapshot, starting without it; members are found by gossip.join; if it is something else's, set snapshot.path, restart the agent and move it back");
        }
        (_, Some(damage)) => {
            let (offset, lost_bytes) = (damage.offset, damage.bytes);
            warn!(path = %shown, offset, lost_bytes, "snapshot is damaged, what is whole of it is taken");
        }
        (Format::Serf, None) => {
            info!(path = %shown, skipped_lines = replay.skipped_lines, "snapshot of Serf taken over")
        }
        (Format::Empty | Format::Weir, None) => {}
    }
}

fn wall() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 knows nothing better than zero.
    UnixTime(since.map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests;
