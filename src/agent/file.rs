//! Files that matter: written whole, synced, renamed, and their directory synced.
//!
//! Where a path is a symbolic link, the link stays and the file that it names is replaced. The successor takes over owner and
//! mode; a new file has the owner of its directory, so that root leaves nothing behind that the agent's own user may not touch.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tracing::warn;

use crate::status::shell::argument;

/// Owner only: everything the agent writes holds keys or tells who is where.
const MODE: u32 = 0o600;
/// Symbolic links that are followed one after another, as many as the kernel follows.
const MAX_LINKS: usize = 40;
/// What the name of a file ends in that was put aside.
const ASIDE: &str = ".unreadable";

/// Replaces `path` by `contents`. After a crash at any point the old or the new file is there, complete. The new one is given
/// back, open for appending.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<File> {
    replace_as(path, contents, 0o777)
}

/// As [`replace`]; nobody but the owner can read the new file, whoever could read the old one.
pub(super) fn replace_secret(path: &Path, contents: &[u8]) -> io::Result<File> {
    replace_as(path, contents, 0o700)
}

fn replace_as(path: &Path, contents: &[u8], modes: u32) -> io::Result<File> {
    let target = target(path)?;
    refuse_device(&target)?;
    let new = name_of_successor(&target)?;
    let written = write_synced(&new, contents, &target, modes).and_then(|file| {
        fs::rename(&new, &target).map_err(|error| mounted(&target, error))?;
        sync_directory(&target)?;
        Ok(file)
    });
    if written.is_err() {
        // What is left of a failed try is only litter.
        drop(fs::remove_file(&new));
    }
    written
}

/// As [`replace`], of a file of root's that this group may read, whoever could read the old one.
pub(crate) fn write_readable(path: &Path, contents: &[u8], group: &str) -> io::Result<()> {
    let_group_read(&replace(path, contents)?, group)
}

/// Makes a file that is there such a one.
pub(crate) fn make_readable(path: &Path, group: &str) -> io::Result<()> {
    let_group_read(&OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?, group)
}

/// Makes a file that is there this user's, where there is one. Only root can.
pub(crate) fn give_to(path: &Path, user: &str) -> io::Result<()> {
    let user = nix::unistd::User::from_name(user)?.filter(|_| rustix::process::geteuid().is_root());
    let Some(user) = user else { return Ok(()) };
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(target(path)?)?;
    fchown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
}

fn let_group_read(file: &File, group: &str) -> io::Result<()> {
    let group = nix::unistd::Group::from_name(group)?.ok_or_else(|| io::Error::other(format!("no group {group}")))?;
    fchown(file, Some(0), Some(group.gid.as_raw()))?;
    file.set_permissions(Permissions::from_mode(0o640))
}

/// Opens `path` for appending, creating it if it is not there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    let target = target(path)?;
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(&target)?;
    sync_directory(&target)?;
    Ok(file)
}

/// Moves what is at `path` and is of no use out of the way, and says where it is now. A directory that holds anything stays: the
/// path is a mistake, and the directory somebody's; so does a device.
pub(super) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let target = target(path)?;
    refuse_device(&target)?;
    if target.is_dir() && fs::read_dir(&target)?.next().is_some() {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    let mut aside = target.clone().into_os_string();
    aside.push(ASIDE);
    fs::rename(&target, &aside).map_err(|error| mounted(&target, error))?;
    Ok(aside.into())
}

/// As [`put_aside`], for the log: where it is, or nothing, and then that has been said.
pub(super) fn kept_aside(path: &Path) -> String {
    match put_aside(path) {
        Ok(aside) => aside.display().to_string(),
        Err(error) => {
            warn!(path = %path.display(), %error, "what cannot be used is in the way and cannot be put aside; move it away");
            String::new()
        }
    }
}

/// How what is `kept` aside is used again, where nothing but a right was missing.
pub(super) fn way_back(kept: &str, error: &io::Error) -> Option<String> {
    let path = kept.strip_suffix(ASIDE).filter(|_| error.kind() == io::ErrorKind::PermissionDenied)?;
    let home = directory_of(Path::new(path)).display().to_string();
    let [kept, path, home] = [kept, path, &home].map(argument);
    Some(format!(
        "stop the agent, 'mv {kept} {path}', 'chown --reference={home} {path}', 'chmod 600 {path}', then start it again"
    ))
}

/// The file that `path` names, through symbolic links. It need not be there.
///
/// # Errors
/// A link is one too many, or is nobody's that root may trust: it would have root write over any file of this host.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let link = match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => metadata,
            Ok(_) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(target),
            Err(error) => return Err(error),
        };
        let next = directory_of(&target).join(fs::read_link(&target)?);
        if rustix::process::geteuid().is_root() && !is_trusted(&link, &next) {
            let what = format!("the link {} belongs to user {}, what it names does not", target.display(), link.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        target = next;
    }
    Err(Errno::LOOP.into())
}

/// A link is root's own, or its owner's way to something that is the owner's as well.
fn is_trusted(link: &Metadata, next: &Path) -> bool {
    let named = fs::symlink_metadata(next).or_else(|_| fs::metadata(directory_of(next)));
    link.uid() == 0 || named.is_ok_and(|named| named.uid() == link.uid())
}

/// Whether `path` is a device, through symbolic links.
pub(super) fn is_device(path: &Path) -> bool {
    let kind = fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
}

/// Root that is given `/dev/null` must not take it from everybody else.
fn refuse_device(path: &Path) -> io::Result<()> {
    if is_device(path) { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a device")) } else { Ok(()) }
}

/// Whether `path` is a mount of its own, as containers have single files: nothing can take its place.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    // What cannot be told is told when it is written.
    let Ok(path) = fs::canonicalize(path) else { return false };
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    mounts.split(|byte| *byte == b'\n').filter_map(mount_point).any(|point| point == path)
}

/// The fifth field of a line, in which blanks and backslashes are octal.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let mut rest = line.split(|byte| *byte == b' ').nth(4)?;
    let mut point = Vec::with_capacity(rest.len());
    while let [byte, tail @ ..] = rest {
        let escaped = tail.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => {
                point.push(code);
                rest = &tail[3..];
            }
            None => {
                point.push(*byte);
                rest = tail;
            }
        }
    }
    Some(OsString::from_vec(point).into())
}

/// A rename onto a mount is refused as busy, which says nothing of the way out.
fn mounted(target: &Path, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::ResourceBusy {
        return error;
    }
    let what = format!("{} is a mount of its own and cannot be replaced; mount the directory", target.display());
    io::Error::new(error.kind(), what)
}

/// The name beside `target` under which its successor is written; litter of an earlier crash is removed.
fn name_of_successor(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    let new = target.with_file_name(hidden);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(new),
    }
}

/// Creates `new` with `contents` as a successor of `target`, synced.
fn write_synced(new: &Path, contents: &[u8], target: &Path, modes: u32) -> io::Result<File> {
    // `create_new` follows no link that somebody put there.
    let mut file = OpenOptions::new().append(true).create_new(true).mode(MODE).open(new)?;
    file.write_all(contents)?;
    let before = fs::metadata(target).ok();
    give(&file, before.as_ref().map_or_else(|| fs::metadata(directory_of(target)), |before| Ok(before.clone()))?)?;
    if let Some(before) = before.filter(Metadata::is_file) {
        file.set_permissions(Permissions::from_mode(before.mode() & modes))?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Makes `file` belong to whom `owner` belongs. Only root can; for anybody else it stays their own.
fn give(file: &File, owner: Metadata) -> io::Result<()> {
    let is = file.metadata()?;
    if !rustix::process::geteuid().is_root() || (is.uid(), is.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// A name is as durable as its directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
