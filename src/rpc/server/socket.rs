//! The Unix socket's file: published with its final mode and group, a stale one replaced, a live one left alone.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Group, chown};
use tokio::net::UnixListener;

use super::ListenError;

const MODE: Mode = Mode::from_bits_truncate(0o660);

/// A listening socket and its file, which goes when this goes.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what to remove is ours only while it is this file.
    id: (u64, u64),
}

impl Socket {
    /// Listens at `path`, mode 0660, for members of `group` if one is named.
    ///
    /// The socket gets mode and group under another name first, so nobody can connect who may not.
    pub(super) fn bind(path: &Path, group: Option<&str>) -> Result<Self, ListenError> {
        if let Some(directory) =
            path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
        {
            return Err(ListenError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() });
        }
        remove_stale(path)?;
        let draft = draft(path);
        let failed = |source| ListenError::Socket { path: path.to_owned(), source };
        // One that a killed predecessor of the same process number left behind.
        let _ = std::fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft).map_err(failed)?;
        let published = restrict(&draft, group).and_then(|()| {
            // Unlike a rename, a link does not push out a socket that another agent has put there meanwhile.
            std::fs::hard_link(&draft, path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => ListenError::InUse { path: path.to_owned() },
                _ => failed(source),
            })
        });
        // What went wrong before matters more.
        let _ = std::fs::remove_file(&draft);
        published?;
        let id = file_id(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), id })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if file_id(&self.path).is_ok_and(|id| id == self.id) {
            // A file left behind is taken for stale at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The number of a group of this host's own file.
///
/// Asked before the system's databases, whose modules would stay in memory for this one question.
pub(crate) fn local_group(name: &str) -> Option<Gid> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':'));
    let number = fields.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)).flatten())?;
    number.parse().ok().map(Gid::from_raw)
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The name in the same directory under which the socket is prepared.
fn draft(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

/// Removes a socket nobody listens on. Anything else in the way is an error.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Socket { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.file_type().is_socket() => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(failed(error)),
        // Connected, or its queue is full.
        Ok(_) | Err(_) => Err(ListenError::InUse { path: path.to_owned() }),
    }
}

fn restrict(path: &Path, group: Option<&str>) -> Result<(), ListenError> {
    let failed = |source: nix::Error| ListenError::Socket { path: path.to_owned(), source: source.into() };
    if let Some(name) = group {
        let unknown = || ListenError::NoGroup { group: name.to_owned() };
        let system = || Group::from_name(name).ok().flatten().map(|group| group.gid);
        let group = local_group(name).or_else(system).ok_or_else(unknown)?;
        // A sandbox may forbid even what changes nothing.
        let has_it = std::fs::symlink_metadata(path).is_ok_and(|file| file.gid() == group.as_raw());
        if !has_it {
            chown(path, None, Some(group))
                .map_err(|source| ListenError::Group { group: name.to_owned(), source: source.into() })?;
        }
    }
    fchmodat(nix::fcntl::AT_FDCWD, path, MODE, FchmodatFlags::FollowSymlink).map_err(failed)
}
