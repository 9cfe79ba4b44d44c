//! Files that matter: written whole, synced, renamed, and their directory synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Owner only: everything the agent writes holds keys or tells who is where.
const MODE: u32 = 0o600;

/// Replaces `path` by `contents`. After a crash at any point the old or the new file is there, complete.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = begin(path)?;
    let written = write_synced(&new, contents).and_then(|_file| commit(&new, path));
    if written.is_err() {
        // What is left of a failed try is only litter.
        drop(fs::remove_file(&new));
    }
    written
}

/// The name beside `path` under which its successor is written; litter of an earlier crash is removed.
pub(super) fn begin(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let new = path.with_file_name(hidden);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(new),
    }
}

/// Creates `new` with `contents`, synced. The file stays open for appending.
pub(super) fn write_synced(new: &Path, contents: &[u8]) -> io::Result<File> {
    // `create_new` follows no link that somebody put there.
    let mut file = OpenOptions::new().append(true).create_new(true).mode(MODE).open(new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(file)
}

/// Puts `new` in the place of `path`.
pub(super) fn commit(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    sync_directory(path)
}

/// Opens `path` for appending, creating it if it is not there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
    sync_directory(path)?;
    Ok(file)
}

/// A name is as durable as its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaced_file_is_whole_private_and_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json");
        fs::write(&path, "old").unwrap();
        fs::write(directory.path().join(".keyring.json.new"), "litter of a crash").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_replacement_keeps_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("target");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "x").unwrap();
        assert!(replace(&path, b"new").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
