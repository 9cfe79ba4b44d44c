//! Who besides root can change what root relies on.
//!
//! Root reads, writes and runs what a path leads to, so every step of it must be root's: the directories it goes through, by its own
//! name and by every link in it, the links themselves, and what it ends at. Whatever nobody else can change when it is judged,
//! nobody else can change from then on; so the path may be opened or run by its name afterwards. Not covered: who opened a file for
//! writing while they still could, a step that is missing in a sticky directory, where anybody may make it, and what a program reads or runs of its own, such as its arguments and NGINX's configuration.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, geteuid};
use rustix::fs::lgetxattr;
use rustix::io::Errno;

use super::Error;
use super::directory::ACCESS_LIST;
use super::error::is_root;
use super::refusal::Writer;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Links in one path, as the kernel counts them.
const MAX_LINKS: usize = 40;

/// Where Debian's group `staff` may write, which so is as good as root.
const STAFFS: &str = "/usr/local";

/// If we are root, refuses a path that somebody else could make lead elsewhere, or to other bytes. What of it is missing is for
/// whoever opens it to tell.
pub(super) fn trust(path: &Path) -> Result<(), Error> {
    if !is_root() {
        return Ok(());
    }
    let found = foreign_writer(path).map_err(Error::read(path))?;
    found.map_or(Ok(()), |(path, by)| Err(Error::Writable { path, by }))
}

/// As [`trust`], of the state directory and all that is in it under these names.
pub(super) fn trust_state(state: &Path, names: &[&str]) -> Result<(), Error> {
    if !is_root() {
        return Ok(());
    }
    if let Some((path, by)) = foreign_writer_of_all(state, names).map_err(Error::read(state))? {
        let is_within = path.starts_with(state);
        let state = state.to_owned();
        return Err(if is_within { Error::StateWritable { state, path, by } } else { Error::Writable { path, by } });
    }
    Ok(())
}

fn foreign_writer_of_all(state: &Path, names: &[&str]) -> io::Result<Option<(PathBuf, Writer)>> {
    if let Some(found) = foreign_writer(state)? {
        return Ok(Some(found));
    }
    for name in names {
        if let Some(found) = foreign_writer_below(&state.join(name))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Of what is at a path whose directories were judged, and of all that is below it.
fn foreign_writer_below(path: &Path) -> io::Result<Option<(PathBuf, Writer)>> {
    let Some(meta) = if_there(fs::symlink_metadata(path))? else { return Ok(None) };
    if meta.is_symlink() {
        return foreign_writer(path);
    }
    if let Some(by) = Writer::at(path, &meta) {
        return Ok(Some((told(path), by)));
    }
    let entries = if meta.is_dir() { if_there(fs::read_dir(path))? } else { None };
    for entry in entries.into_iter().flatten() {
        if let Some(found) = foreign_writer_below(&entry?.path())? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first step of a path that is not root's alone, as far as the path exists, and whose it is.
pub(super) fn foreign_writer(path: &Path) -> io::Result<Option<(PathBuf, Writer)>> {
    let path = std::path::absolute(path)?;
    // The next step is the last of these. What is behind us is free of links.
    let (mut behind, mut ahead, mut links) = (PathBuf::new(), steps(&path), 0);
    while let Some(step) = ahead.pop() {
        if step == ".." {
            behind.pop();
            continue;
        }
        let next = behind.join(step);
        let Some(meta) = if_there(fs::symlink_metadata(&next))? else { return Ok(None) };
        if let Some(by) = Writer::at(&next, &meta) {
            return Ok(Some((told(&next), by)));
        }
        if meta.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP.into());
            }
            ahead.extend(steps(&fs::read_link(&next)?)); // an absolute one begins with the root, which replaces what is behind
        } else {
            behind = next;
        }
    }
    Ok(None)
}

/// The last comes first.
fn steps(path: &Path) -> Vec<OsString> {
    let is_step = |component: &Component<'_>| *component != Component::CurDir;
    path.components().rev().filter(is_step).map(|component| component.as_os_str().to_owned()).collect()
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A name that is no UTF-8 could not be told to another process.
fn told(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

impl Writer {
    /// Who besides root can replace the bytes of what is there, or what is in such a directory.
    fn at(path: &Path, meta: &Metadata) -> Option<Self> {
        Self::of(meta.mode(), meta.uid(), meta.gid())
            .filter(|by| !matches!(by, Self::Group(_)) || !is_as_good_as_root(path, meta.gid()))
    }

    /// By mode and owner alone. In a sticky directory nobody can replace what is not theirs. Whoever runs this counts as root.
    fn of(mode: u32, uid: u32, gid: u32) -> Option<Self> {
        if uid != 0 && uid != geteuid().as_raw() {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            return Some(Self::User(user.map_or_else(|| uid.to_string(), |user| user.name)));
        }
        if mode & TYPE == LINK || mode & TYPE == DIRECTORY && mode & STICKY != 0 {
            return None;
        }
        if mode & WRITABLE_BY_ALL != 0 {
            return Some(Self::Anyone);
        }
        (mode & WRITABLE_BY_GROUP != 0).then(|| Self::Group(group_name(gid).unwrap_or_else(|| gid.to_string())))
    }

    /// What takes that from them. A link is changed itself.
    pub(super) fn remedy(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::User(_) => format!("'chown -h root {path}'"),
            Self::Group(_) => format!("'chmod g-w {path}'"),
            Self::Anyone => format!("'chmod go-w {path}'"),
        }
    }

    /// What takes all from them that is in a directory.
    pub(super) fn remedy_below(&self, directory: &Path) -> String {
        let directory = directory.display();
        match self {
            Self::User(_) => format!("'chown -hR root {directory}'"),
            Self::Group(_) => format!("'chmod -R g-w {directory}'"),
            Self::Anyone => format!("'chmod -R go-w {directory}'"),
        }
    }
}

/// Whether the members of a group that may write there are as good as root: root's own, and Debian's of all local programs. With an
/// access list the mode's bits of the group stand for others as well.
fn is_as_good_as_root(path: &Path, gid: u32) -> bool {
    let is_staffs = || path.starts_with(STAFFS) && group_name(gid).is_some_and(|name| name == "staff");
    (gid == 0 || is_staffs()) && !has_access_list(path)
}

fn has_access_list(path: &Path) -> bool {
    // Of no length: only whether it is there.
    let no_room: &mut [u8] = &mut [];
    !matches!(lgetxattr(path, ACCESS_LIST, no_room), Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS))
}

fn group_name(gid: u32) -> Option<String> {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    const STRANGER: u32 = 4_294_967_000;

    #[test]
    fn root_trusts_what_nobody_else_can_replace() {
        let (file, directory) = (0o100_000, DIRECTORY);
        let nobody = || Some(Writer::User("4294967000".to_owned()));
        let group = || Some(Writer::Group("4294967000".to_owned()));
        for (mode, uid, gid, writer) in [
            (directory | 0o755, 0, 0, None),
            (directory | 0o755, 0, STRANGER, None),
            (directory | 0o775, 0, 0, Some(Writer::Group("root".to_owned()))),
            (directory | 0o775, 0, STRANGER, group()),
            (directory | 0o777, 0, 0, Some(Writer::Anyone)),
            (directory | 0o1777, 0, 0, None),
            (directory | 0o1775, 0, STRANGER, None),
            (directory | 0o700, STRANGER, 0, nobody()),
            (directory | 0o1700, STRANGER, 0, nobody()),
            (file | 0o755, 0, 0, None),
            (file | 0o1757, 0, 0, Some(Writer::Anyone)),
            (file | 0o664, 0, STRANGER, group()),
            (LINK | 0o777, 0, STRANGER, None),
            (LINK | 0o777, STRANGER, 0, nobody()),
        ] {
            assert_eq!(Writer::of(mode, uid, gid), writer, "{mode:o} {uid} {gid}");
        }
    }

    #[test]
    fn a_group_is_as_good_as_root_only_where_it_is_everywhere() {
        let staff = Group::from_name("staff").ok().flatten().map_or(STRANGER, |group| group.gid.as_raw());
        let has_staff = staff != STRANGER;
        for (path, gid, trusted) in [
            ("/usr/local", 0, true),
            ("/etc", 0, true),
            ("/usr/local/sbin", staff, has_staff),
            ("/usr/local/none/yet", staff, false), // whose access list cannot be asked for
            ("/usr/localized", staff, false),
            ("/etc", staff, false),
            ("/usr/local", STRANGER, false),
        ] {
            assert_eq!(is_as_good_as_root(Path::new(path), gid), trusted, "{path} {gid}");
        }
    }

    struct Stage(tempfile::TempDir);

    impl Stage {
        /// `a/b/file`, `link` to `a/b`, `up` to `elsewhere/../a`, and `far` to the absolute path of `link`.
        fn new() -> Self {
            let stage = Self(tempfile::tempdir().unwrap());
            for name in ["a", "a/b", "elsewhere"] {
                fs::create_dir(stage.path(name)).unwrap();
                fs::set_permissions(stage.path(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
            fs::write(stage.path("a/b/file"), "").unwrap();
            fs::set_permissions(stage.path("a/b/file"), fs::Permissions::from_mode(0o644)).unwrap();
            symlink("a/b", stage.path("link")).unwrap();
            symlink("elsewhere/../a", stage.path("up")).unwrap();
            symlink(stage.path("link"), stage.path("far")).unwrap();
            symlink("loop", stage.path("loop")).unwrap();
            stage
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    /// A directory far above is enough: whoever may write in it can move away what is below it and put their own in its place.
    #[test]
    fn every_step_of_a_path_and_of_its_links_is_judged() {
        if !is_root() {
            return println!("SKIPPED: what root trusts is asked of root alone");
        }
        let stage = Stage::new();
        let all = ["a/b/file", "link/file", "up/b/file", "far/file"];
        for (whose, by_these) in [
            ("a", &all[..]),
            ("a/b", &all),
            ("a/b/file", &all),
            ("link", &["link/file", "far/file"]),
            ("far", &["far/file"]),
            ("elsewhere", &["up/b/file"]),
        ] {
            std::os::unix::fs::lchown(stage.path(whose), Some(STRANGER), None).unwrap();
            for way in all {
                let wanted = by_these.contains(&way).then(|| stage.path(whose));
                let found = foreign_writer(&stage.path(way)).unwrap().map(|(path, _)| path);
                assert_eq!(found, wanted, "{whose} {way}");
                assert_eq!(trust(&stage.path(way)).is_err(), wanted.is_some(), "{whose} {way}");
            }
            std::os::unix::fs::lchown(stage.path(whose), Some(0), None).unwrap();
        }
        for (mode, is_trusted) in [(0o1777, true), (0o777, false), (0o775, true), (0o755, true)] {
            fs::set_permissions(stage.path("a"), fs::Permissions::from_mode(mode)).unwrap();
            chown(stage.path("a"), Some(0), Some(0)).unwrap();
            assert_eq!(trust(&stage.path("link/file")).is_ok(), is_trusted, "{mode:o}");
        }
    }

    #[test]
    fn what_is_missing_is_left_to_whoever_opens_it_and_a_ring_is_not_followed() {
        let stage = Stage::new();
        for missing in ["none", "none/none", "a/none/../b"] {
            assert_eq!(foreign_writer(&stage.path(missing)).unwrap(), None, "{missing}");
        }
        assert!(foreign_writer(&stage.path("loop")).is_err());
    }

    /// As distributions have them: `/bin` and `/sbin` as links, alternatives, a sticky `/tmp`.
    #[test]
    fn root_trusts_this_host() {
        if !is_root() {
            return println!("SKIPPED: what root trusts is asked of root alone");
        }
        for path in
            ["/bin/sh", "/usr/bin/env", "/sbin/ldconfig", "/etc/passwd", "/etc/alternatives/awk", "/tmp", "/run"]
        {
            let found = foreign_writer(Path::new(path)).unwrap();
            assert_eq!(found, None, "{path}");
        }
    }
}
