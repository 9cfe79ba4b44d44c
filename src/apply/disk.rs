//! The files in the state directory: written so that a crash or a power loss leaves the old or the new.
//!
//! root's records are readable by the group of the directory that they are in, which is the agent's (`protocols C.1`); the bytes of
//! files are root's alone, for somebody else's may be secret.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use super::fault::{Write, trace};
use super::{Error, place};
use crate::file;

const RECORD_MODE: u32 = 0o640;
const BYTES_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o750;

/// A directory in the state directory, unless it is there. Its name is on disk when this returns.
pub(super) fn directory(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(Error::write(path)(error)),
        Ok(()) => trace(Write::Directory(path)),
    }
    let shared = || share(&File::open(path)?, path, DIRECTORY_MODE);
    shared().map_err(Error::write(path))?;
    // What is synced in it is lost with its name.
    sync_parent(path)
}

/// Writes and syncs a whole new record. On failure nothing of it is left.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_new(path, bytes, RECORD_MODE)
}

/// As [`create`], of what a file has or had.
pub(super) fn create_copy(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_new(path, bytes, BYTES_MODE)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(BYTES_MODE).open(path)?;
        file.write_all(bytes)?;
        share(&file, path, mode)?;
        trace(Write::File(path, bytes));
        file.sync_all()
    };
    written().map_err(|error| {
        // The first error is the one to report; a file that could not be created is not there to remove.
        let _ = fs::remove_file(path);
        Error::write(path)(error)
    })?;
    trace(Write::Sync(path));
    Ok(())
}

/// A whole record in place of another, or of none.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_over(path, bytes, RECORD_MODE)
}

/// As [`replace`], of what a file has or had.
pub(super) fn replace_copy(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_over(path, bytes, BYTES_MODE)
}

fn write_over(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let dot = path.with_file_name(place::dot_name(path.file_name().unwrap_or_default()));
    remove(&dot)?;
    write_new(&dot, bytes, mode)?;
    rename(&dot, path)?;
    sync_parent(path)
}

/// Bytes after the first `len` of a file, synced; whatever followed those is gone. On failure as much as possible is as before.
pub(super) fn append(path: &Path, len: u64, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().append(true).open(path).map_err(Error::write(path))?;
    let written = || {
        if file.metadata()?.len() != len {
            file.set_len(len)?;
            trace(Write::Cut(path, len));
        }
        (&file).write_all(bytes)?;
        trace(Write::Append(path, bytes));
        file.sync_all()
    };
    written().map_err(|error| {
        // What cannot be taken back is a torn tail for whoever reads it next.
        let _ = file.set_len(len);
        Error::write(path)(error)
    })?;
    trace(Write::Sync(path));
    Ok(())
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::write(to))?;
    trace(Write::Rename(from, to));
    Ok(())
}

/// A second name for a file whose bytes are on disk.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), Error> {
    fs::hard_link(from, to).map_err(Error::write(to))?;
    trace(Write::Link(from, to));
    Ok(())
}

/// A file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        Err(_) => Ok(()),
        Ok(()) => {
            trace(Write::Remove(path));
            Ok(())
        }
    }
}

/// A directory that may not be there, with all that is in it.
pub(super) fn remove_all(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        Err(_) => Ok(()),
        Ok(()) => {
            trace(Write::RemoveAll(path));
            Ok(())
        }
    }
}

/// Makes the names in a directory survive a power loss.
pub(super) fn sync(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::write(directory))?;
    trace(Write::SyncDirectory(directory));
    Ok(())
}

pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    sync(path.parent().unwrap_or(path))
}

/// Refuses to write to `path` what could not be read back, of which nobody would be rid again.
pub(super) fn within(path: &Path, bytes: &[u8], max: usize) -> Result<(), Error> {
    if bytes.len() <= max { Ok(()) } else { Err(Error::write(path)(io::ErrorKind::FileTooLarge.into())) }
}

/// At most `max` bytes of a file that may not be there.
pub(super) fn read_if_there(path: &Path, max: usize) -> Result<Option<Vec<u8>>, Error> {
    match file::read(path, max) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::read(path)),
    }
}

/// Gives it its mode, whatever the umask, and the group of its directory.
fn share(file: &File, path: &Path, mode: u32) -> io::Result<()> {
    let parent = path.parent().map(fs::metadata).transpose()?;
    if let Some(gid) =
        parent.map(|parent| parent.gid()).filter(|gid| file.metadata().is_ok_and(|meta| meta.gid() != *gid))
    {
        match fchown(file, None, Some(gid)) {
            // Unprivileged, and nobody else is to read it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}
