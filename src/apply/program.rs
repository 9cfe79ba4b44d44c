//! NGINX's program: where it is, whether root may run it, and what it says of itself.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Error;
use super::trust::trust;
use crate::command;
use crate::config::Automatic;
use crate::nginx::Build;
use crate::upstream::UpstreamName;

/// `nginx -V` prints a few lines.
const LIMIT: Duration = Duration::from_secs(10);

/// Besides the places of [`command::PATH`]: where NGINX's own sources install it.
const OWN_PLACE: &str = "/usr/local/nginx/sbin";

/// What a program of this state said of itself: it is asked once, not at each apply.
type Asked = Mutex<Option<(State, Build)>>;

/// Of this process.
static ASKED: Asked = Mutex::new(None);

/// Another one, and the file is another or was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct State {
    path: PathBuf,
    dev: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A program that is there.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) build: Build,
    pub(super) state: State,
}

impl Program {
    /// Finds it and asks it. Where there is none, `upstreams` wait for it.
    pub(super) fn find<'u>(
        binary: &Automatic,
        upstreams: impl IntoIterator<Item = &'u UpstreamName>,
    ) -> Result<Self, Error> {
        let path = trusted(binary.path().unwrap_or(Path::new("nginx")))?.ok_or_else(|| Error::NotInstalled {
            upstreams: upstreams.into_iter().cloned().collect(),
            binary: binary.path().map(ToOwned::to_owned),
        })?;
        let meta = fs::metadata(&path).map_err(Error::read(&path))?;
        let state = State::of(&path, &meta);
        let build = ask(&ASKED, &path, state.clone())?;
        Ok(Self { path, build, state })
    }
}

impl State {
    fn of(path: &Path, meta: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            dev: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// As [`find`], of one that may be run: if we are root, nobody else can exchange it for another.
pub(super) fn trusted(binary: &Path) -> Result<Option<PathBuf>, Error> {
    let found = find(binary);
    found.as_deref().map_or(Ok(()), trust)?;
    Ok(found)
}

fn ask(asked: &Asked, path: &Path, state: State) -> Result<Build, Error> {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, build)) = asked.as_ref().filter(|(known, _)| *known == state) {
        return Ok(build.clone());
    }
    let mut version = command::clean(path);
    version.arg(OsStr::new("-V"));
    let ran = command::run(version, LIMIT, "");
    let ran = ran.map_err(|error| Error::Command { program: path.to_owned(), source: error.into() })?;
    let build = Build::parse(&ran.stderr);
    // What has failed may do better next time.
    *asked = ran.success.then(|| (state, build.clone()));
    Ok(build)
}

/// By a path, or by a name where programs of the system are.
fn find(binary: &Path) -> Option<PathBuf> {
    if binary.components().count() > 1 {
        let path = std::path::absolute(binary).ok()?;
        return path.is_file().then_some(path);
    }
    let places = command::PATH.split(':').chain([OWN_PLACE]);
    places.map(|place| Path::new(place).join(binary)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::super::error::is_root;
    use super::*;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("nginx");
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn version(path: &Path) -> Result<Option<String>, Error> {
        Program::find(&Automatic::Path(path.to_owned()), []).map(|program| program.build.version)
    }

    #[test]
    fn it_is_asked_once_and_again_when_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let asks = dir.path().join("asks");
        let text = |version| format!("echo x >> {}\necho nginx version: nginx/{version} >&2\n", asks.display());
        let path = script(dir.path(), &text("1.22.1"));
        let asked = Asked::default();
        let version = || ask(&asked, &path, State::of(&path, &fs::metadata(&path).unwrap())).unwrap().version;
        for _ in 0..3 {
            assert_eq!(version().as_deref(), Some("1.22.1"));
        }
        script(dir.path(), &text("1.30.10"));
        assert_eq!(version().as_deref(), Some("1.30.10"));
        assert_eq!(fs::read_to_string(asks).unwrap(), "x\nx\n");
    }

    #[test]
    fn root_runs_no_program_that_others_could_exchange() {
        if !is_root() {
            return println!("SKIPPED: what root trusts is asked of root alone");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = script(dir.path(), "echo nginx version: nginx/1.22.1 >&2\n");
        assert!(version(&path).is_ok());
        chown(dir.path(), Some(33), None).unwrap();
        assert!(matches!(version(&path), Err(Error::Writable { path, .. }) if path == dir.path()));
        chown(dir.path(), Some(0), None).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let said = version(&path).unwrap_err().to_string();
        let shown = path.display();
        assert_eq!(said, format!("{shown} is writable by anyone; apply trusts only root: 'chmod go-w {shown}'"));
    }
}
