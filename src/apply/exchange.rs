//! Files changed so that a reader sees all of the old or all of the new, and so that nobody's bytes are lost.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::Error;
use crate::file;

/// Longer than any file of ours: 4096 servers in each of 256 upstreams.
const MAX_FILE: usize = 256 * 1024 * 1024;

/// `.NAME.weir-new` beside the target: no `*.conf` glob loads it, and SELinux context and file system fit (`protocols C.1`).
pub(super) fn dot_name(target: &Path) -> PathBuf {
    beside(target, ".weir-new")
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(suffix);
    target.with_file_name(name)
}

/// Writes and syncs a whole new file. On failure nothing of it is left.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<(), Error> {
    // What an earlier run left under this name has been recovered by now.
    remove_if_there(path)?;
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        if let Some((uid, gid)) =
            owner.filter(|owner| file.metadata().is_ok_and(|meta| (meta.uid(), meta.gid()) != *owner))
        {
            match std::os::unix::fs::fchown(&file, Some(uid), Some(gid)) {
                // Unprivileged, the file becomes ours; NGINX's master reads it all the same.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                other => other?,
            }
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()
    };
    written().map_err(|error| {
        // The first error is the one to report; a file that could not be created is not there to remove.
        let _ = std::fs::remove_file(path);
        Error::write(path)(error)
    })
}

/// Makes the names in the directory of `path` survive a power loss.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|file| file.sync_all()).map_err(Error::write(directory))
}

/// A file of our own, replaced as a whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_FILE {
        return Err(Error::write(path)(io::ErrorKind::FileTooLarge.into()));
    }
    let dot = dot_name(path);
    write_new(&dot, bytes, 0o644, None)?;
    std::fs::rename(&dot, path).map_err(Error::write(path))?;
    sync_directory(path)
}

/// All of a regular file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, MAX_FILE).map_err(Error::read(path))
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match file::read(path, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::read(path)),
    }
}

/// Swaps two existing files in one step.
///
/// Where the kernel or the file system cannot, the target is linked aside first: an edit by rename between the two is
/// lost then, but a reader still sees one whole file at every moment.
pub(super) fn swap(dot: &Path, target: &Path) -> Result<(), Error> {
    match renameat_with(CWD, dot, CWD, target, RenameFlags::EXCHANGE) {
        Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => swap_by_link(dot, target),
        Err(error) => Err(Error::write(target)(error.into())),
        Ok(()) => Ok(()),
    }
}

pub(super) fn swap_by_link(dot: &Path, target: &Path) -> Result<(), Error> {
    let aside = beside(target, ".weir-old");
    remove_if_there(&aside)?;
    let swapped = || {
        std::fs::hard_link(target, &aside)?;
        std::fs::rename(dot, target)?;
        std::fs::rename(&aside, dot)
    };
    swapped().map_err(Error::write(target))
}

/// Ends a [`swap_by_link`] whose process died half-way.
pub(super) fn finish_swap(dot: &Path, target: &Path) -> Result<(), Error> {
    let aside = beside(target, ".weir-old");
    match std::fs::symlink_metadata(&aside) {
        Ok(_) if dot.exists() => remove_if_there(&aside),
        Ok(_) => std::fs::rename(&aside, dot).map_err(Error::write(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::read(&aside)(error)),
    }
}

/// Gives a new file its name; refuses if somebody took it meanwhile.
pub(super) fn move_new(dot: &Path, target: &Path) -> Result<(), Error> {
    match renameat_with(CWD, dot, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
            std::fs::hard_link(dot, target).map_err(Error::write(target))?;
            std::fs::remove_file(dot).map_err(Error::write(dot))
        }
        other => other.map_err(|error| Error::write(target)(error.into())),
    }
}

/// Looks first: on a read-only file system even the removal of what is not there fails.
pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::symlink_metadata(path).and_then(|_| std::fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_swapping_keep_both_files_and_leave_nothing_else() {
        for swap in [swap, swap_by_link] {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("web.conf");
            std::fs::write(&target, "old").unwrap();
            write_new(&dot_name(&target), b"new", 0o640, None).unwrap();
            swap(&dot_name(&target), &target).unwrap();
            assert_eq!(std::fs::read(&target).unwrap(), b"new");
            assert_eq!(std::fs::read(dot_name(&target)).unwrap(), b"old");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
            assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
        }
    }

    #[test]
    fn a_swap_by_link_that_died_between_any_two_steps_is_ended() {
        // The names that are there, and what the target and the dot file hold in the end.
        for (left, ended) in [
            (&[("web.conf", "old"), (".web.conf.weir-old", "old"), (".web.conf.weir-new", "new")][..], ["old", "new"]),
            (&[("web.conf", "new"), (".web.conf.weir-old", "old")], ["new", "old"]),
            (&[("web.conf", "new"), (".web.conf.weir-new", "old")], ["new", "old"]),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for (name, bytes) in left {
                std::fs::write(directory.path().join(name), bytes).unwrap();
            }
            let target = directory.path().join("web.conf");
            let dot = dot_name(&target);
            finish_swap(&dot, &target).unwrap();
            assert_eq!([&target, &dot].map(|path| std::fs::read_to_string(path).unwrap()), ended);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn a_new_file_does_not_replace_one_that_appeared_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("web.conf");
        write_new(&dot_name(&target), b"new", 0o644, None).unwrap();
        std::fs::write(&target, "somebody's").unwrap();
        assert!(move_new(&dot_name(&target), &target).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"somebody's");
    }
}
