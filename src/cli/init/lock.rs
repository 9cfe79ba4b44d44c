//! One run at a time: a second one would decide by what the first is about to change.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::super::exit::Exit;
use super::super::failure::Failure;

/// Where root alone writes, and which a reboot empties.
pub(super) const PLACE: &str = "/run/weir-init.lock";
/// Who was killed just now may not have ended yet.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than any number of a process.
const MAX_PID: u64 = 16;

/// Held until dropped, and released by the kernel if we die.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Blocks for a moment where another has it.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::of_file("write", path, &error);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        let mut file = options.open(path).map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(busy(&file)),
                Err(error) => return Err(failed(error.into())),
            }
        }
        // For whoever comes meanwhile.
        let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn busy(file: &File) -> Failure {
    let mut text = String::new();
    let holder = file.take(MAX_PID).read_to_string(&mut text).ok().and_then(|_| text.parse::<u32>().ok());
    let holder = holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    Failure::new(Exit::Failed, format!("another 'weir init' runs on this server{holder}"))
        .with_remedy("wait until it has ended, then again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_of_the_first_and_no_other_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "4194304 of one that was killed").unwrap();
        let first = Lock::take(&path).unwrap();
        let failure = Lock::take(&path).unwrap_err();
        let own = std::process::id();
        let told = format!("another 'weir init' runs on this server (pid {own}); wait until it has ended, then again");
        assert_eq!((failure.sentence(), failure.exit()), (told, Exit::Failed));
        drop(first);
        assert!(Lock::take(&path).is_ok());
    }
}
