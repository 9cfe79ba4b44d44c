//! The NGINX installation: its program, its configuration, its master.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Error;
use super::confirm::{self, LogMark};
use super::master::Master;
use super::plan::Plan;
use crate::command::{self, Ran};
use crate::config::{self, Reload};
use crate::file;
use crate::nginx::{Build, Ours, Problem, dumped_file, parse_test_output};
use crate::upstream::desired::Desired;

/// `nginx -t` takes milliseconds; host names in somebody's site can make it wait for DNS.
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// For a reload command, and for systemd's answer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Longer than any main configuration that a person or program writes.
const MAX_CONFIG: usize = 64 * 1024 * 1024;
const MAX_PID: usize = 64;

/// An installation that is there.
#[derive(Debug)]
pub(super) struct Nginx<'a> {
    options: &'a config::Nginx,
    program: PathBuf,
    pid_file: PathBuf,
    error_log: PathBuf,
    version: Option<String>,
}

impl<'a> Nginx<'a> {
    /// Finds the program, and by its own word and the main configuration its pid file and log.
    pub(super) fn find(options: &'a config::Nginx, desired: &Desired) -> Result<Self, Error> {
        let waiting = || desired.upstreams.keys().cloned().collect();
        let program = program(options.binary.path().unwrap_or(Path::new("nginx")))
            .ok_or_else(|| Error::NotInstalled { upstreams: waiting() })?;
        let ran = run(&program, [OsStr::new("-V")], COMMAND_LIMIT, "")?;
        let build = Build::parse(&ran.stderr);
        // A missing or unreadable configuration is reported by the test, in NGINX's words.
        let config = file::read(&options.config, MAX_CONFIG).unwrap_or_default();
        let config = String::from_utf8_lossy(&config);
        let pid_file = options.pid_file.path().map_or_else(|| build.pid_file(&config), Path::to_owned);
        let error_log = build.error_log_file(&config);
        Ok(Self { options, program, pid_file, error_log, version: build.version })
    }

    /// The full test of the whole configuration. A file that NGINX has not read before must also be part of it.
    pub(super) fn test(&self, plan: &Plan, ours: &[Ours<'_>]) -> Result<(), Error> {
        let created: Vec<&Path> = plan.created().collect();
        self.test_with(&created, ours)
    }

    /// As [`Self::test`]: `created` must be part of it, complaints about `ours` are marked as such.
    pub(super) fn test_with(&self, created: &[&Path], ours: &[Ours<'_>]) -> Result<(), Error> {
        let flag = if created.is_empty() { "-t" } else { "-T" };
        let arguments = [OsStr::new("-q"), OsStr::new(flag), OsStr::new("-c"), self.options.config.as_os_str()];
        let ran = run(&self.program, arguments, TEST_LIMIT, "# configuration file ")?;
        if !ran.success {
            return Err(Error::Test { problem: problem(&ran, ours) });
        }
        // The configuration may name a directory otherwise, through a link.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let read: Vec<PathBuf> = ran.stdout.lines().filter_map(dumped_file).map(real).collect();
        match created.iter().find(|path| !read.contains(&real(path))) {
            Some(target) => {
                Err(Error::NotIncluded { config: self.options.config.clone(), target: (*target).to_owned() })
            }
            None => Ok(()),
        }
    }

    /// What it calls itself, `1.22.1`.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The running master; `None` if NGINX is not running.
    pub(super) fn master(&self) -> Result<Option<Master>, Error> {
        let upgrading = PathBuf::from(format!("{}.oldbin", self.pid_file.display()));
        let Some(pid) = self.main_pid().or_else(|| self.written_pid()) else { return Ok(None) };
        let master = Master::verify(pid)?;
        if master.is_some() && upgrading.exists() {
            return Err(Error::Upgrading { pid_file: self.pid_file.clone() });
        }
        Ok(master)
    }

    /// By systemd's word, where it runs and the unit does.
    fn main_pid(&self) -> Option<u32> {
        let unit = self.options.unit().filter(|_| self.options.pid_file.path().is_none())?;
        if !Path::new("/run/systemd/system").exists() {
            return None;
        }
        let arguments = ["show", "--property=MainPID", unit].map(OsStr::new);
        let ran = run(Path::new("systemctl"), arguments, COMMAND_LIMIT, "MainPID=").ok()?;
        ran.stdout.lines().next()?.strip_prefix("MainPID=")?.parse().ok().filter(|pid| *pid != 0)
    }

    /// By the pid file. `nginx -t` leaves an empty one when NGINX is not running.
    fn written_pid(&self) -> Option<u32> {
        let bytes = file::read(&self.pid_file, MAX_PID).ok()?;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    /// Reloads and confirms.
    pub(super) fn reload(&self, master: &Master, ours: &[Ours<'_>]) -> Result<(), Error> {
        master.wait_idle()?;
        let noted = master.workers().serving;
        let mark = LogMark::note(self.error_log.clone());
        match &self.options.reload {
            Reload::Signal => master.signal_reload()?,
            Reload::Argv(argv) => reload_by(argv)?,
        }
        let timeout = self.options.confirm_timeout;
        confirm::new_workers(master, &noted, timeout).map_err(|verdict| mark.explain(verdict, master, ours, timeout))
    }
}

fn reload_by(argv: &[String]) -> Result<(), Error> {
    let failed = |what: String| Error::ReloadCommand { program: argv.join(" "), what };
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let ran = command::run(command, COMMAND_LIMIT, "").map_err(|error| failed(error.to_string()))?;
    let words =
        || ran.stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gave no reason").to_owned();
    if ran.success { Ok(()) } else { Err(failed(words())) }
}

fn problem(ran: &Ran, ours: &[Ours<'_>]) -> Problem {
    parse_test_output(&ran.stderr, ours).unwrap_or(Problem {
        message: "it gave no reason".to_owned(),
        file: None,
        line: None,
        ours: false,
    })
}

fn run<'x>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'x OsStr>,
    limit: Duration,
    keep: &'static str,
) -> Result<Ran, Error> {
    let mut command = Command::new(program);
    command.args(arguments);
    command::run(command, limit, keep)
        .map_err(|error| Error::Command { program: program.to_owned(), what: error.to_string() })
}

/// The program's path. Units and containers often have no `sbin` in PATH.
fn program(binary: &Path) -> Option<PathBuf> {
    if binary.components().count() > 1 {
        return binary.is_file().then(|| binary.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|directory| directory.join(binary)).find(|path| path.is_file())
}
