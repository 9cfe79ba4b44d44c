//! The process within: makes the namespace, puts the candidates in place there, and becomes the program that tests them.
//!
//! Where all targets of a directory exist, each candidate is mounted over its target. A target that does not exist has nothing to
//! mount over, and must not be made to exist for others; one that is to be away cannot be mounted away. Such a directory is
//! covered by a small one in memory, which shows its entries but for these.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat, symlinkat};
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::{COMMAND, Hindrance, Obstacle, PUT, RUN, WITHOUT, Word};

/// Each costs a mount; NGINX itself would read no more.
const MAX_ENTRIES: usize = 4_000;

/// What is asked for on the command line.
#[derive(Debug, Default, Eq, PartialEq)]
struct Order {
    /// By directory, parents first: names and what is to be seen there, `None` for nothing.
    directories: BTreeMap<PathBuf, BTreeMap<OsString, Option<PathBuf>>>,
    program: OsString,
    arguments: Vec<OsString>,
}

/// Whether these arguments, without the program's name, ask for it.
pub(crate) fn is_wanted(args: &[OsString]) -> bool {
    args.first().is_some_and(|first| first == COMMAND)
}

/// Becomes the program. Returns only if that failed.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let Some(order) = Order::read(args.iter().skip(1).cloned()) else {
        eprintln!("error: '{COMMAND}' is run by weir itself");
        return ExitCode::from(2);
    };
    if let Err(error) = become_program(&order) {
        eprintln!("error: {error}");
    }
    ExitCode::FAILURE
}

fn become_program(order: &Order) -> io::Result<()> {
    let mut teller = take_teller()?;
    let mut tell = |word: &Word| writeln!(teller, "{}", serde_json::to_string(word)?);
    // Nobody waits for the test any more if our parent is gone.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if let Err(hindrance) = order.prepare() {
        return tell(&Word::Hindered(hindrance));
    }
    tell(&Word::Ready)?;
    let error = Command::new(&order.program).args(&order.arguments).exec();
    tell(&Word::NotRun(error.into()))
}

/// What is said through it must not be heard by the program, whose input is empty.
fn take_teller() -> io::Result<File> {
    let teller = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(File::from(teller))
}

impl Order {
    fn read(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let (mut order, mut args) = (Self::default(), args.into_iter());
        loop {
            let word = args.next()?;
            let file = word == PUT;
            if word == RUN {
                order.program = args.next()?;
                order.arguments = args.collect();
                return Some(order);
            } else if !file && word != WITHOUT {
                return None;
            }
            let target = PathBuf::from(args.next()?);
            let seen = if file { Some(PathBuf::from(args.next()?)) } else { None };
            let (directory, name) = (target.parent()?.to_owned(), target.file_name()?.to_owned());
            order.directories.entry(directory).or_default().insert(name, seen);
        }
    }

    /// Everything up to the program's start.
    fn prepare(&self) -> Result<(), Hindrance> {
        leave_namespace().map_err(hindrance(Obstacle::Unshare, None))?;
        make_private().map_err(hindrance(Obstacle::MakePrivate, None))?;
        // Before any directory is covered, since candidates lie there; and what was opened before the namespace was made would
        // belong to the other one.
        let opened: Result<Vec<Covered<'_>>, _> =
            self.directories.iter().map(|(path, names)| Covered::open(path, names)).collect();
        opened?.iter().try_for_each(Covered::cover)
    }
}

/// One directory and the candidates for it, opened.
struct Covered<'a> {
    path: &'a Path,
    names: BTreeMap<&'a OsStr, Option<OwnedFd>>,
}

/// A candidate and the target that it is mounted over.
struct Over<'a> {
    name: &'a OsStr,
    file: &'a OwnedFd,
    target: OwnedFd,
}

impl<'a> Covered<'a> {
    fn open(path: &'a Path, names: &'a BTreeMap<OsString, Option<PathBuf>>) -> Result<Self, Hindrance> {
        let open = |(name, file): (&'a OsString, &Option<PathBuf>)| {
            let opened = file.as_ref().map(|file| open_file(CWD, file).map_err(hindrance(Obstacle::Look, Some(file))));
            Ok((name.as_os_str(), opened.transpose()?))
        };
        Ok(Self { path, names: names.iter().map(open).collect::<Result<_, Hindrance>>()? })
    }

    fn cover(&self) -> Result<(), Hindrance> {
        let directory = open_directory(self.path).map_err(hindrance(Obstacle::Look, Some(self.path)))?;
        match self.targets(directory.as_fd())? {
            Some(targets) => targets.iter().try_for_each(|Over { name, file, target }| {
                bind(file.as_fd(), target.as_fd()).map_err(hindrance(Obstacle::Mount, Some(&self.path.join(name))))
            }),
            None => self.replace(&directory),
        }
    }

    /// Each candidate with its target, if every target exists and none is to be away.
    fn targets(&self, directory: BorrowedFd<'_>) -> Result<Option<Vec<Over<'_>>>, Hindrance> {
        let mut targets = Vec::with_capacity(self.names.len());
        for (name, file) in &self.names {
            let Some(file) = file else { return Ok(None) };
            match open_file(directory, Path::new(name)) {
                Ok(target) => targets.push(Over { name, file, target }),
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(hindrance(Obstacle::Look, Some(&self.path.join(name)))(error)),
            }
        }
        Ok(Some(targets))
    }

    /// Covers the directory by one in memory that shows the same, but for our names.
    fn replace(&self, directory: &OwnedFd) -> Result<(), Hindrance> {
        let refused = hindrance(Obstacle::Mount, Some(self.path));
        let cover = cover(directory, self.path).map_err(&refused)?;
        for name in entries(directory).map_err(&refused)? {
            if !self.names.contains_key(name.as_os_str()) {
                let shown = show(directory.as_fd(), cover.as_fd(), &name);
                shown.map_err(hindrance(Obstacle::Mount, Some(&self.path.join(&name))))?;
            }
        }
        let files = self.names.iter().filter_map(|(name, file)| Some((name, file.as_ref()?)));
        for (name, file) in files {
            let put = mount_point(cover.as_fd(), Path::new(name)).and_then(|at| bind(file.as_fd(), at.as_fd()));
            put.map_err(hindrance(Obstacle::Mount, Some(&self.path.join(name))))?;
        }
        Ok(())
    }
}

/// From here on mounts are this process's own. Some sandboxes take the call and do nothing; what is mounted next would then be
/// mounted for everybody.
fn leave_namespace() -> Result<(), Errno> {
    let namespace = || readlinkat(CWD, "/proc/self/ns/mnt", Vec::new());
    let before = namespace()?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(errno)?;
    if namespace()? == before { Err(Errno::NOSYS) } else { Ok(()) }
}

/// Nothing that is mounted from now on is seen outside.
fn make_private() -> Result<(), Errno> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(errno)
}

/// An empty directory in memory over `path`. `directory` stays the way to what is below it.
fn cover(directory: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let stat = fstat(directory)?;
    let like = format!("mode={:o},uid={},gid={},size=1m", stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &through(directory.as_fd()), Some("tmpfs"), flags, Some(like.as_str())).map_err(errno)?;
    open_directory(path)
}

fn entries(directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let listed = openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(listed)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
        if names.len() > MAX_ENTRIES {
            return Err(Errno::TOOBIG);
        }
    }
    Ok(names)
}

/// An entry of `directory`, shown in `cover`. Links are relative to where they are, so they are made anew.
fn show(directory: BorrowedFd<'_>, cover: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()), // it has gone meanwhile
        stat => stat?,
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => symlinkat(readlinkat(directory, name, Vec::new())?, cover, name),
        FileType::Directory => {
            mkdirat(cover, name, Mode::RWXU)?;
            bind(open_entry(directory, name)?.as_fd(), open_entry(cover, name)?.as_fd())
        }
        _ => bind(open_entry(directory, name)?.as_fd(), mount_point(cover, Path::new(name))?.as_fd()),
    }
}

/// An empty file to mount over.
fn mount_point(cover: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    openat(cover, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
}

/// Shows `what` at `place`, with all that is mounted below it.
fn bind(what: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(&through(what)), &through(place), None::<&str>, flags, None::<&str>).map_err(errno)
}

/// A path that leads to what was opened, whatever has its name by now.
fn through(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn open_entry(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// A regular file, without reading it.
fn open_file(directory: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let file = open_entry(directory, path.as_os_str())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::INVAL),
    }
}

fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(error as i32)
}

fn hindrance(obstacle: Obstacle, path: Option<&Path>) -> impl Fn(Errno) -> Hindrance {
    move |error| Hindrance::new(obstacle, path, io::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<Order> {
        Order::read(words.iter().map(OsString::from))
    }

    #[test]
    fn an_order_is_read_by_directory_with_parents_first() {
        let order =
            read(&["--put", "/n/c.d/b", "/n/c.d/.b", "--without", "/n/c.d/a", "--put", "/n/x", "/y", "--", "t", "-q"]);
        let order = order.unwrap();
        let directories: Vec<_> = order.directories.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(directories, ["/n", "/n/c.d"]);
        let names = &order.directories[Path::new("/n/c.d")];
        assert_eq!(names.get(OsStr::new("a")), Some(&None));
        assert_eq!(names.get(OsStr::new("b")), Some(&Some(PathBuf::from("/n/c.d/.b"))));
        assert_eq!((order.program.to_str(), order.arguments.len()), (Some("t"), 1));
    }

    #[test]
    fn what_is_no_order_is_not_obeyed() {
        for words in [
            &[][..],
            &["--"],
            &["nginx"],
            &["--put", "/a/b", "--"],
            &["--without", "/", "--", "nginx"],
            &["--without", "/a/b"],
        ] {
            assert_eq!(read(words), None, "{words:?}");
        }
    }
}
