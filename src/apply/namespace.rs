//! A test that sees new files where they are to go, while everybody else sees the old ones (`protocols C.2`).
//!
//! We start ourselves with a hidden first argument, [`COMMAND`]. That process leaves our mount namespace for one of its own,
//! puts each candidate over its target there and becomes the test ([`inside`]). The namespace ends with it, and nothing of it
//! was ever to be seen outside. Whether it came that far it tells through the pipe that is its standard input, so the test's
//! own outcome and words are never taken for it.

pub(super) mod inside;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SystemError;
use crate::command::{self, Ran};

/// The first argument that makes weir the process within. No command for people.
pub(super) const COMMAND: &str = "in-mount-namespace";

/// Before a target and the candidate for it.
const PUT: &str = "--put";
/// Before a target that is to be away.
const WITHOUT: &str = "--without";
/// Before the program and its arguments.
const RUN: &str = "--";

/// The most that is read of what the process within tells.
const MAX_WORDS: u64 = 64 * 1024;

/// What is to be seen at one target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// The path where it is to be seen. Its directory exists.
    pub(super) target: &'a Path,
    /// The file that holds what is to be there; `None`: nothing is to be there.
    pub(super) file: Option<&'a Path>,
}

/// How it went.
#[derive(Debug)]
pub(super) enum Within {
    /// The program was run and has ended.
    Ran(Ran),
    /// There was no namespace to run it in.
    Hindered(Hindrance),
}

/// Why a program could not be run among the candidates: containers and older kernels may not permit it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hindrance {
    obstacle: Obstacle,
    /// What it was about, if it was a file.
    path: Option<PathBuf>,
    source: SystemError,
}

/// What could not be done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Obstacle {
    /// Start the process within.
    Start,
    /// Make a mount namespace.
    Unshare,
    /// Keep its mounts from being seen outside.
    MakePrivate,
    /// Look at a file or a directory.
    Look,
    /// Put something in its place.
    Mount,
}

/// What the process within tells, one in a line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// It becomes the program next.
    Ready,
    Hindered(Hindrance),
    /// The program could not be run.
    NotRun(SystemError),
}

/// Runs `program` where each candidate is at its target. Limit and `keep` as of [`command::run`].
///
/// `weir` is our own program.
///
/// # Errors
/// The program could not be run, or did not end (`TimedOut`).
pub(super) fn run<'x>(
    weir: &Path,
    candidates: &[Candidate<'_>],
    program: &Path,
    arguments: impl IntoIterator<Item = &'x OsStr>,
    limit: Duration,
    keep: &'static str,
) -> io::Result<Within> {
    let mut command = command::clean(weir);
    command.arg(COMMAND);
    for Candidate { target, file } in candidates {
        match file {
            Some(file) => command.arg(PUT).arg(target).arg(file),
            None => command.arg(WITHOUT).arg(target),
        };
    }
    command.arg(RUN).arg(program).args(arguments);
    let (told, teller) = io::pipe()?;
    match command::run_with(command, Stdio::from(teller), limit, keep) {
        Ok(ran) => match heard(told)? {
            Some(Word::Ready) => Ok(Within::Ran(ran)),
            Some(Word::Hindered(hindrance)) => Ok(Within::Hindered(hindrance)),
            Some(Word::NotRun(source)) => Err(io::Error::other(source.text)),
            None => Ok(Within::Hindered(silent(&ran))),
        },
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
        Err(error) => Ok(Within::Hindered(Hindrance::new(Obstacle::Start, Some(weir), error))),
    }
}

/// The last word of the process within. It has ended, or become a program that has none of our pipe.
fn heard(told: io::PipeReader) -> io::Result<Option<Word>> {
    let mut words = String::new();
    told.take(MAX_WORDS).read_to_string(&mut words)?;
    words.lines().last().map(serde_json::from_str).transpose().map_err(io::Error::from)
}

/// It was no weir, or was ended by the kernel.
fn silent(ran: &Ran) -> Hindrance {
    let said = ran.stderr.lines().map(str::trim).find(|line| !line.is_empty());
    let error = io::Error::other(said.unwrap_or("it ended without a word").to_owned());
    Hindrance::new(Obstacle::Start, None, error)
}

impl Hindrance {
    fn new(obstacle: Obstacle, path: Option<&Path>, source: impl Into<SystemError>) -> Self {
        Self { obstacle, path: path.map(Path::to_owned), source: source.into() }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.obstacle {
            Obstacle::Start => "cannot start a process for the test",
            Obstacle::Unshare => "cannot make a mount namespace",
            Obstacle::MakePrivate => "cannot make its mounts private",
            Obstacle::Look => "cannot open",
            Obstacle::Mount => "cannot mount over",
        })?;
        if let Some(path) = self.path.as_ref().filter(|_| self.obstacle != Obstacle::Start) {
            write!(f, " {}", path.display())?;
        }
        write!(f, ": {}", self.source.text)
    }
}
