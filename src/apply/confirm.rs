//! Did the reload work? Neither the signal nor `nginx -s reload` nor systemd says (`nginx §1`).

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::master::{Master, Patience};
use super::proc::Process;
use crate::file;
use crate::nginx::{Ours, Problem, parse_log};

/// An idle master without new workers has failed to load; seen twice this far apart, it is not between two steps.
const SURE: Duration = Duration::from_millis(60);

/// Most that is read of what NGINX logged meanwhile.
const MAX_LOG: u64 = 256 * 1024;

/// Waits until a worker that is not in `noted` serves and every noted one is gone or shutting down. A master that reads has its
/// time, and the usual one from then on.
pub(super) fn new_workers(master: &Master, noted: &[Process], patience: Patience) -> Result<(), Verdict> {
    let noted: HashSet<Process> = noted.iter().copied().collect();
    let started = Instant::now();
    let mut has_read = started;
    let mut idle_since = None;
    loop {
        let serving = master.workers().serving;
        let (old, new) = (serving.iter().any(|w| noted.contains(w)), serving.iter().any(|w| !noted.contains(w)));
        let now = Instant::now();
        if new && !old {
            return Ok(());
        }
        if !master.is_there() {
            return Err(Verdict::Gone);
        }
        if new || !master.is_idle() {
            idle_since = None;
        } else if now.duration_since(*idle_since.get_or_insert(now)) >= SURE {
            return Err(Verdict::NotLoaded);
        }
        if !master.waits() {
            has_read = now;
            if now.duration_since(started) >= patience.reading {
                return Err(Verdict::StillReading);
            }
        } else if now.duration_since(has_read) >= patience.confirm {
            return Err(Verdict::TimedOut);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Why a reload is not confirmed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The master is idle again and still has its old workers.
    NotLoaded,
    /// Neither came to pass in time.
    TimedOut,
    /// The master reads for far longer than the test did.
    StillReading,
    /// The master is gone.
    Gone,
}

/// The end of NGINX's error log, noted before a reload so that what comes after it can be told from what was there.
#[derive(Debug)]
pub(super) struct LogMark {
    path: PathBuf,
    length: u64,
}

impl LogMark {
    pub(super) fn note(path: PathBuf) -> Self {
        let length = log(&path).map_or(0, |(_, length)| length);
        Self { path, length }
    }

    /// The first fatal complaint of `master` since the mark, if it says something.
    pub(super) fn complaint(&self, master: &Master, ours: &[Ours<'_>]) -> Option<Problem> {
        parse_log(&self.since()?, master.pid(), ours)
    }

    fn since(&self) -> Option<String> {
        let (mut file, length) = log(&self.path)?;
        // A log that was rotated meanwhile is new from its start.
        let from = if length < self.length { 0 } else { self.length };
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_LOG).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The log and its length, if it is a file: NGINX also logs to pipes and terminals, and its configuration may name anything.
fn log(path: &Path) -> Option<(File, u64)> {
    let file = file::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    Some((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_says_since_the_mark_is_read_and_what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        std::fs::write(&path, "before\n").unwrap();
        let mark = LogMark::note(path.clone());
        std::fs::write(&path, "before\nafter\n").unwrap();
        assert_eq!(mark.since().as_deref(), Some("after\n"));
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(mark.since().as_deref(), Some("new\n"), "it was rotated");

        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(LogMark::note(path.clone()).length, 0);
        assert_eq!(mark.since(), None);
        assert_eq!(LogMark::note("/dev/zero".into()).since(), None);
    }
}
