//! One apply at a time per NGINX instance.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, proc};

/// An apply takes a few seconds at worst; two of them can be ahead of us.
const PATIENCE: Duration = Duration::from_secs(30);

/// Held until dropped, and released by the kernel if we die.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Creates `state` if only its last part is missing, and waits for whoever is ahead.
    pub(super) fn take(state: &Path) -> Result<Self, Error> {
        let path = state.join("lock");
        match DirBuilder::new().mode(0o755).create(state) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::write(&path)(error)),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(Error::write(&path))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let holder = file.metadata().ok().and_then(|meta| proc::lock_holder(meta.ino()));
                    return Err(Error::Busy { lock: path, holder, waited: PATIENCE });
                }
                Err(error) => return Err(Error::write(&path)(error.into())),
            }
        }
    }
}
