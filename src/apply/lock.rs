//! One apply at a time per NGINX instance.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
use nix::unistd::Group;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::is_root;
use super::trust::trust_state;
use super::{Error, disk, proc};

/// An apply takes a few seconds at worst; two of them can be ahead of us.
const PATIENCE: Duration = Duration::from_secs(30);

const STATE_MODE: u32 = 0o750;

/// Whose members may read the state directory: the agent runs as one.
const READERS: &str = "weir";

/// What in it root acts by.
const NAMES: [&str; 9] =
    ["config.toml", "foreign", "gen", "holds", "journal", "lock", "promises", "record.json", "templates"];

/// Held until dropped, and released by the kernel if we die.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Creates `state` if only its last part is missing, and waits for whoever is ahead. If we are root, nobody else may be able to
    /// write there what we act by.
    pub(super) fn take(state: &Path) -> Result<Self, Error> {
        Self::take_within(state, PATIENCE)
    }

    /// As [`Self::take`], if nobody is ahead.
    pub(super) fn take_if_free(state: &Path) -> Result<Self, Error> {
        Self::take_within(state, Duration::ZERO)
    }

    fn take_within(state: &Path, patience: Duration) -> Result<Self, Error> {
        let path = state.join("lock");
        trust_state(state, &NAMES)?;
        match DirBuilder::new().mode(STATE_MODE).create(state) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::NoState { state: state.to_owned(), source: error.into() });
            }
            Err(_) => {}
            Ok(()) => disk::sync_parent(state)?,
        }
        if is_root() {
            show_readers(state)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(O_NOFOLLOW);
        let file = options.open(&path);
        let file = file.map_err(Error::write(&path))?;
        let deadline = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    let holder = file.metadata().ok().and_then(|meta| proc::lock_holder(meta.ino()));
                    return Err(Error::Busy { lock: path, holder, waited: patience });
                }
                Err(error) => return Err(Error::write(&path)(error.into())),
            }
        }
    }
}

/// The agent may read what is in it.
fn show_readers(state: &Path) -> Result<(), Error> {
    let failed = |error| Error::write(state)(error);
    let directory = OpenOptions::new().read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW).open(state).map_err(failed)?;
    let meta = directory.metadata().map_err(failed)?;
    // Where there is no such group, as in a container, nobody else reads it.
    let readers = Group::from_name(READERS).ok().flatten().map(|group| group.gid.as_raw());
    if let Some(gid) = readers.filter(|gid| *gid != meta.gid()) {
        fchown(&directory, None, Some(gid)).map_err(failed)?;
        directory.set_permissions(Permissions::from_mode(STATE_MODE)).map_err(failed)?;
    }
    Ok(())
}
