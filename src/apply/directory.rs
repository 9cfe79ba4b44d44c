//! A directory that holds targets, opened once: whoever moves it or puts a link in its place from then on changes nothing.
//!
//! Files in it are changed so that a reader sees all of the old or all of the new, and so that nobody's bytes are lost. A file
//! that takes another's place takes its mode, owner, access list and security label, too. Our names in
//! it are those of `protocols C.1`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, XattrFlags, fchmod, fgetxattr, fremovexattr, fsetxattr, fsync, linkat,
    mkdirat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Error;
use super::error::is_root;
use super::trust::trust;

/// Longer than any file of ours: 4096 servers in each of 256 upstreams.
pub(super) const MAX_FILE: usize = 256 * 1024 * 1024;

/// Mode of a file that was not there before.
const NEW_MODE: u32 = 0o644;

/// Mode of a directory that was not there before.
const NEW_DIRECTORY_MODE: u32 = 0o755;

/// What SELinux goes by.
const LABEL: &str = "security.selinux";
/// What access lists are kept as.
pub(super) const ACCESS_LIST: &str = "system.posix_acl_access";
/// Longer than either gets.
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    /// What it was opened by, for words.
    path: PathBuf,
}

/// What is found under a name.
#[derive(Debug)]
pub(super) enum Entry {
    Missing,
    File(Found),
    /// A directory, a link or something stranger.
    Odd {
        link: bool,
    },
}

/// A regular file as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Attributes,
}

/// What a file has besides its bytes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: (u32, u32),
    /// Of SELinux, where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<Vec<u8>>,
    /// The kernel's form of an access list, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access_list: Option<Vec<u8>>,
}

impl Directory {
    /// The directory of a target, opened, and the target's name in it. If we are root, nobody else may be able to put another in
    /// its place, or something in the place of what is in it.
    pub(super) fn of(target: &Path) -> Result<(Self, &OsStr), Error> {
        let (Some(path), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::write(target)(io::ErrorKind::IsADirectory.into()));
        };
        trust(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|error| not_opened(path, target, error))?;
        Ok((Self { fd, path: path.to_owned() }, name))
    }

    /// Makes a directory that is not there yet, for everybody to read, in one that is. Root's rules are those of [`Self::of`].
    pub(super) fn make(path: &Path) -> Result<(), Error> {
        let (above, name) = Self::of(path)?;
        let made = || {
            mkdirat(&above.fd, name, Mode::from_raw_mode(NEW_DIRECTORY_MODE))?;
            // Whatever mask this process has.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(&above.fd, name, flags, Mode::empty())?;
            fchmod(&fd, Mode::from_raw_mode(NEW_DIRECTORY_MODE))?;
            fsync(&above.fd)
        };
        match made() {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(above.unwritten(name)(error.into())),
        }
    }

    /// All of a file, as one opening of it shows it.
    pub(super) fn read(&self, name: &OsStr) -> Result<Entry, Error> {
        // A pipe is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(Entry::Missing),
            Err(Errno::LOOP) => return Ok(Entry::Odd { link: true }),
            Err(Errno::NXIO) => return Ok(Entry::Odd { link: false }), // a socket
            Err(error) => return Err(self.unread(name)(error.into())),
        };
        if !file.metadata().map_err(self.unread(name))?.is_file() {
            return Ok(Entry::Odd { link: false });
        }
        let found = || Ok(Found { attributes: Attributes::of(&file)?, bytes: bounded(&file)? });
        found().map(Entry::File).map_err(self.unread(name))
    }

    /// Writes and syncs a whole new file, in place of one of that name that an earlier run has left. `like` is the file whose
    /// place it is to take, if there is one. On failure nothing of it is left.
    pub(super) fn write_candidate(&self, name: &OsStr, bytes: &[u8], like: Option<&Attributes>) -> Result<(), Error> {
        self.remove(name)?;
        let written = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(bytes)?;
            match like {
                Some(like) => like.give(&file)?,
                None => file.set_permissions(Permissions::from_mode(NEW_MODE))?,
            }
            file.sync_all()
        };
        written().map_err(|error| {
            // The first error is the one to report; a file that could not be created is not there to remove.
            let _ = unlinkat(&self.fd, name, AtFlags::empty());
            self.unwritten(name)(error)
        })
    }

    /// Swaps two existing files in one step.
    ///
    /// Where the kernel or the file system cannot, the target is linked aside first: an edit by rename between the two is
    /// lost then, but a reader still sees one whole file at every moment.
    pub(super) fn exchange(&self, dot: &OsStr, target: &OsStr) -> Result<(), Error> {
        match renameat_with(&self.fd, dot, &self.fd, target, RenameFlags::EXCHANGE) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => self.exchange_by_link(dot, target),
            other => other.map_err(|error| self.unwritten(target)(error.into())),
        }
    }

    fn exchange_by_link(&self, dot: &OsStr, target: &OsStr) -> Result<(), Error> {
        let aside = aside_name(target);
        self.remove(&aside)?;
        let placed = linkat(&self.fd, target, &self.fd, &aside, AtFlags::empty())
            .and_then(|()| renameat(&self.fd, dot, &self.fd, target));
        let swapped = placed.and_then(|()| {
            renameat(&self.fd, &aside, &self.fd, dot).inspect_err(|_| {
                // The first error is the one to tell. Whether this has worked is asked before anybody says so.
                let _ = renameat(&self.fd, &aside, &self.fd, target);
            })
        });
        swapped.map_err(|error| self.unwritten(target)(error.into()))
    }

    /// Refuses if an [`Self::exchange`] has stopped half-way: the newer file is in place, and the older one under neither name.
    pub(super) fn refuse_half_exchanged(&self, dot: &OsStr, target: &OsStr) -> Result<(), Error> {
        match (self.is_there(&aside_name(target))?, self.is_there(dot)?) {
            (true, false) => Err(self.unwritten(target)(io::Error::other("it was exchanged half-way"))),
            (true, true) | (false, _) => Ok(()),
        }
    }

    /// Ends an [`Self::exchange`] without the kernel's help whose process died half-way.
    pub(super) fn finish_exchange(&self, dot: &OsStr, target: &OsStr) -> Result<(), Error> {
        let aside = aside_name(target);
        match (self.is_there(&aside)?, self.is_there(dot)?) {
            (false, _) => Ok(()),
            (true, true) => self.remove(&aside),
            (true, false) => {
                renameat(&self.fd, &aside, &self.fd, dot).map_err(|error| self.unwritten(target)(error.into()))
            }
        }
    }

    /// Gives a new file its name; refuses if somebody took it meanwhile.
    pub(super) fn place_new(&self, dot: &OsStr, target: &OsStr) -> Result<(), Error> {
        self.move_to_free_name(dot, target).map_err(|error| self.unwritten(target)(error.into()))
    }

    /// Takes a file away under its dot name, which must be free.
    pub(super) fn take_away(&self, target: &OsStr, dot: &OsStr) -> Result<(), Error> {
        self.move_to_free_name(target, dot).map_err(|error| self.unwritten(target)(error.into()))
    }

    fn move_to_free_name(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        match renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                unlinkat(&self.fd, from, AtFlags::empty())
            }
            other => other,
        }
    }

    /// Removes a file that may not be there. Looks first: on a read-only file system even the removal of nothing fails.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), Error> {
        if !self.is_there(name)? {
            return Ok(());
        }
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.unwritten(name)(error.into())),
        }
    }

    /// Makes the bytes of a file survive a power loss.
    pub(super) fn sync_file(&self, name: &OsStr) -> Result<(), Error> {
        let synced =
            openat(&self.fd, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).and_then(fsync);
        synced.map_err(|error| self.unwritten(name)(error.into()))
    }

    /// Makes the names in it survive a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        fsync(&self.fd).map_err(|error| Error::write(&self.path)(error.into()))
    }

    fn is_there(&self, name: &OsStr) -> Result<bool, Error> {
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.unread(name)(error.into())),
        }
    }

    fn unread(&self, name: &OsStr) -> impl Fn(io::Error) -> Error {
        let path = self.path.join(name);
        move |error| Error::read(&path)(error)
    }

    fn unwritten(&self, name: &OsStr) -> impl Fn(io::Error) -> Error {
        let path = self.path.join(name);
        move |error| Error::write(&path)(error)
    }
}

impl Attributes {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            label: attribute(file, LABEL)?,
            access_list: attribute(file, ACCESS_LIST)?,
        })
    }

    /// Gives a new file the same, as far as this user may.
    fn give(&self, file: &File) -> io::Result<()> {
        let now = Self::of(file)?;
        if now.owner != self.owner {
            let (uid, gid) = self.owner;
            allowed(std::os::unix::fs::fchown(file, Some(uid), Some(gid)))?;
        }
        // An access list may come with the directory, and decides what of the mode counts.
        match (&self.access_list, &now.access_list) {
            (Some(list), _) => allowed(set(file, ACCESS_LIST, list))?,
            (None, Some(_)) => allowed(fremovexattr(file, ACCESS_LIST).map_err(io::Error::from))?,
            (None, None) => {}
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
        match &self.label {
            Some(label) if now.label.as_ref() != Some(label) => allowed(set(file, LABEL, label)),
            Some(_) | None => Ok(()),
        }
    }
}

/// Unprivileged, a file becomes ours as far as it must; NGINX's master reads it all the same. Root is denied nothing lightly.
fn allowed(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => Ok(()),
        done => done,
    }
}

/// `None` where a file has no such attribute, or its file system none at all.
fn attribute(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; MAX_ATTRIBUTE];
    match fgetxattr(file, name, &mut bytes[..]) {
        Ok(len) => {
            bytes.truncate(len);
            bytes.shrink_to_fit();
            Ok(Some(bytes))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set(file: &File, name: &str, value: &[u8]) -> io::Result<()> {
    fsetxattr(file, name, value, XattrFlags::empty()).map_err(io::Error::from)
}

fn bounded(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} MiB", MAX_FILE / 1024 / 1024)));
    }
    Ok(bytes)
}

/// Where an exchange without the kernel's help keeps the second name of the older file.
fn aside_name(target: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(target);
    name.push(".weir-old");
    name
}

/// A link in place of a directory is told apart from what is no directory at all by another look: only words depend on it.
fn not_opened(path: &Path, target: &Path, error: Errno) -> Error {
    let is_link = || path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    match error {
        Errno::LOOP | Errno::NOTDIR if is_link() => Error::LinkedDirectory { path: path.to_owned() },
        error => Error::write(target)(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stage {
        dir: tempfile::TempDir,
        directory: Directory,
    }

    impl Stage {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let directory = Directory::of(&dir.path().join("web.conf")).unwrap().0;
            Self { dir, directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn put(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap()
        }

        fn found(&self, name: &str) -> Found {
            match self.directory.read(name.as_ref()).unwrap() {
                Entry::File(found) => found,
                other => panic!("{other:?}"),
            }
        }

        fn count(&self) -> usize {
            std::fs::read_dir(self.dir.path()).unwrap().count()
        }
    }

    const TARGET: &str = "web.conf";
    const DOT: &str = ".web.conf.weir-new";
    const ASIDE: &str = ".web.conf.weir-old";

    fn name(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    #[test]
    fn a_directory_is_made_once_for_everybody_to_read_and_only_below_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream.d");
        for _ in 0..2 {
            Directory::make(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, NEW_DIRECTORY_MODE);
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Directory::make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700, "it was somebody's already");
        assert!(matches!(Directory::make(&dir.path().join("none/stream.d")), Err(Error::Write { .. })));
    }

    #[test]
    fn both_ways_of_exchange_keep_both_files_and_leave_nothing_else() {
        for exchange in [Directory::exchange, Directory::exchange_by_link] {
            let stage = Stage::new();
            stage.put(TARGET, "old");
            std::fs::set_permissions(stage.path(TARGET), Permissions::from_mode(0o640)).unwrap();
            let like = stage.found(TARGET).attributes;
            stage.directory.write_candidate(name(DOT), b"new", Some(&like)).unwrap();
            exchange(&stage.directory, name(DOT), name(TARGET)).unwrap();
            assert_eq!((stage.text(TARGET), stage.text(DOT)), ("new".to_owned(), "old".to_owned()));
            assert_eq!((stage.count(), stage.found(TARGET).attributes), (2, like));
        }
    }

    #[test]
    fn an_exchange_by_link_that_died_between_any_two_steps_is_ended() {
        // The names that are there, and what the target and the dot file hold in the end.
        for (left, ended) in [
            (&[(TARGET, "old"), (ASIDE, "old"), (DOT, "new")][..], ["old", "new"]),
            (&[(TARGET, "new"), (ASIDE, "old")], ["new", "old"]),
            (&[(TARGET, "new"), (DOT, "old")], ["new", "old"]),
        ] {
            let stage = Stage::new();
            left.iter().for_each(|(name, text)| stage.put(name, text));
            let is_half = left.len() == 2 && left[1].0 == ASIDE;
            let refused = stage.directory.refuse_half_exchanged(name(DOT), name(TARGET));
            assert_eq!(refused.is_err(), is_half, "{left:?}");
            stage.directory.finish_exchange(name(DOT), name(TARGET)).unwrap();
            assert_eq!(([TARGET, DOT].map(|name| stage.text(name)), stage.count()), (ended.map(str::to_owned), 2));
        }
    }

    #[test]
    fn a_name_that_somebody_took_meanwhile_is_theirs() {
        let stage = Stage::new();
        stage.directory.write_candidate(name(DOT), b"new", None).unwrap();
        assert_eq!(stage.found(DOT).attributes.mode, NEW_MODE);
        stage.put(TARGET, "somebody's");
        assert!(stage.directory.place_new(name(DOT), name(TARGET)).is_err());
        assert!(stage.directory.take_away(name(TARGET), name(DOT)).is_err());
        assert_eq!(stage.text(TARGET), "somebody's");
        stage.directory.remove(name(DOT)).unwrap();
        stage.directory.take_away(name(TARGET), name(DOT)).unwrap();
        assert!(matches!(stage.directory.read(name(TARGET)), Ok(Entry::Missing)));
        stage.directory.place_new(name(DOT), name(TARGET)).unwrap();
        assert_eq!((stage.text(TARGET), stage.count()), ("somebody's".to_owned(), 1));
    }

    #[test]
    fn what_is_no_regular_file_is_neither_waited_for_nor_read() {
        let stage = Stage::new();
        nix::unistd::mkfifo(&stage.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(stage.path("socket")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", stage.path("link")).unwrap();
        std::fs::create_dir(stage.path("directory")).unwrap();
        for (name, is_link) in [("pipe", false), ("socket", false), ("directory", false), ("link", true)] {
            let entry = stage.directory.read(name.as_ref()).unwrap();
            assert!(matches!(entry, Entry::Odd { link } if link == is_link), "{name}: {entry:?}");
        }
    }

    #[test]
    fn a_link_at_the_dot_name_is_replaced_and_not_followed() {
        let stage = Stage::new();
        stage.put("victim", "theirs");
        std::os::unix::fs::symlink("victim", stage.path(DOT)).unwrap();
        stage.directory.write_candidate(name(DOT), b"new", None).unwrap();
        assert_eq!((stage.text("victim"), stage.text(DOT)), ("theirs".to_owned(), "new".to_owned()));
    }

    #[test]
    fn a_directory_that_moves_away_is_the_one_that_was_opened() {
        let stage = Stage::new();
        let (before, after) = (stage.path("conf.d"), stage.path("moved"));
        std::fs::create_dir(&before).unwrap();
        let target = before.join(TARGET);
        let (directory, target_name) = Directory::of(&target).unwrap();
        std::fs::rename(&before, &after).unwrap();
        std::os::unix::fs::symlink("/etc", &before).unwrap();
        directory.write_candidate(target_name, b"new", None).unwrap();
        assert_eq!(std::fs::read(after.join(TARGET)).unwrap(), b"new");
        assert!(matches!(Directory::of(&target), Err(Error::LinkedDirectory { .. })));
    }

    #[test]
    fn owner_access_list_and_label_go_with_the_place() {
        if !is_root() {
            return println!("SKIPPED: only root may give files away");
        }
        let stage = Stage::new();
        stage.put(TARGET, "old");
        std::os::unix::fs::chown(stage.path(TARGET), Some(33), Some(34)).unwrap();
        std::fs::set_permissions(stage.path(TARGET), Permissions::from_mode(0o640)).unwrap();
        let file = File::open(stage.path(TARGET)).unwrap();
        // Version 2; owner rw-, user 35 r--, group r--, mask r--, others ---.
        let entries: [(u16, u16, u32); 5] =
            [(1, 6, u32::MAX), (2, 4, 35), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend([tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat());
        }
        // Where the file system has no access lists or labels, there are none to keep.
        let _unless_unsupported = set(&file, ACCESS_LIST, &list);
        let _unless_unsupported = set(&file, LABEL, b"system_u:object_r:httpd_config_t:s0\0");
        let like = stage.found(TARGET).attributes;
        assert_eq!((like.owner, like.mode), ((33, 34), 0o640));
        stage.directory.write_candidate(name(DOT), b"new", Some(&like)).unwrap();
        assert_eq!(stage.found(DOT).attributes, like);
        if like.label.is_none() || like.access_list.is_none() {
            println!("SKIPPED in part: this file system has no labels or no access lists");
        }
    }

    #[test]
    fn root_puts_nothing_where_somebody_else_could_replace_it() {
        if !is_root() {
            return println!("SKIPPED: what root trusts is asked of root alone");
        }
        let stage = Stage::new();
        let open = || Directory::of(&stage.path("web.conf")).map(drop);
        for (mode, owner, by) in
            [(0o755, 0, None), (0o1777, 0, None), (0o777, 0, Some("anyone")), (0o700, 33, Some("user "))]
        {
            std::fs::set_permissions(stage.dir.path(), Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(stage.dir.path(), Some(owner), None).unwrap();
            match (open(), by) {
                (Ok(()), None) => {}
                (Err(Error::Writable { by, .. }), Some(wanted)) => assert!(by.to_string().starts_with(wanted), "{by}"),
                other => panic!("{mode:o} {owner}: {other:?}"),
            }
        }
    }
}
