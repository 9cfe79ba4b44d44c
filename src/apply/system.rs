//! The NGINX installation: its program, its configuration, its master.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::confirm::{self, LogMark, Verdict};
use super::error::Error;
use super::fault::{self, Fault};
use super::find::Marks;
use super::master::{Master, Patience, Unready};
use super::namespace::{self, Candidate, Hindrance, Within};
use super::plan::Plan;
use super::proc;
use super::program::{self, Program};
use super::tree::{read_tree, unnamed};
use crate::command::{self, Ran};
use crate::config::{self, Reload};
use crate::error::system_words;
use crate::file;
use crate::nginx::{self, Build, Form, Ours, Problem, StreamModule, dumped_file, parse_test_output};
use crate::upstream::UpstreamName;

/// `nginx -t` takes milliseconds; host names in somebody's site can make it wait for DNS.
const TEST_LIMIT: Duration = Duration::from_secs(30);
/// For a reload command, and for systemd's answer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

const MAX_PID: usize = 64;

/// How the lines begin that name a file, in what `nginx -T` prints.
const DUMPED: &str = "# configuration file ";

/// What a test before the exchange has come to.
#[derive(Debug)]
pub(super) enum Validation {
    /// The whole configuration passes with the candidates, and this long is a master that reads the same to be waited for.
    Passed(Patience),
    /// Nothing was tested: that needs the candidates on the live path, and why (`protocols C.4`, `untested`).
    NeedsPlacing(Hindrance),
}

/// An installation that is there.
#[derive(Debug)]
pub(super) struct Nginx<'a> {
    options: &'a config::Nginx,
    program: PathBuf,
    build: Build,
    pid_file: PathBuf,
    error_logs: Vec<PathBuf>,
    /// Where its configuration has it listen.
    ports: BTreeSet<u16>,
    /// What it looks up when it reads its configuration, with places.
    names: BTreeMap<String, String>,
    test_limit: Duration,
}

impl<'a> Nginx<'a> {
    /// Finds the program, and by its own word and its configuration what else there is to know.
    ///
    /// Where there is none, `upstreams` wait for it.
    pub(super) fn find<'u>(
        options: &'a config::Nginx,
        upstreams: impl IntoIterator<Item = &'u UpstreamName>,
    ) -> Result<Self, Error> {
        let Program { path: program, build, .. } = Program::find(&options.binary, upstreams)?;
        if let Reload::Argv(argv) = &options.reload {
            // Not only once the new files are in place. One that is missing is told when it is needed.
            argv.first().map(Path::new).map_or(Ok(None), program::trusted)?;
        }
        // What is missing or cannot be read is reported by the test, in NGINX's words.
        let (tree, _unread) = read_tree(&options.config);
        let pid_file = options.pid_file.path().map_or_else(|| build.pid_file(&tree), Path::to_owned);
        let (error_logs, ports, names) = (build.error_logs(&tree), nginx::ports(&tree), nginx::host_names(&tree));
        Ok(Self { options, program, build, pid_file, error_logs, ports, names, test_limit: TEST_LIMIT })
    }

    /// The full test of the whole configuration, and how long to wait for a master that reads the same. A file that NGINX has
    /// not read before must also be part of it.
    pub(super) fn test(&self, plan: &Plan, ours: &[Ours<'_>]) -> Result<Patience, Error> {
        let (created, started): (Vec<&Path>, _) = (plan.created().collect(), Instant::now());
        self.test_with(&created, ours)?;
        Ok(Patience::after(started.elapsed(), self.options.confirm_timeout))
    }

    /// As [`Self::test`]: `created` must be part of it, complaints about `ours` are marked as such.
    pub(super) fn test_with(&self, created: &[&Path], ours: &[Ours<'_>]) -> Result<(), Error> {
        let mut command = command::clean(&self.program);
        command.args(self.test_arguments(created));
        let ran = command::run(command, self.test_limit, DUMPED).map_err(|error| self.untested(error))?;
        self.judge(&ran, created, ours)
    }

    fn test_arguments(&self, created: &[&Path]) -> [&OsStr; 4] {
        let flag = if created.is_empty() { "-t" } else { "-T" };
        [OsStr::new("-q"), OsStr::new(flag), OsStr::new("-c"), self.options.config.as_os_str()]
    }

    fn judge(&self, ran: &Ran, created: &[&Path], ours: &[Ours<'_>]) -> Result<(), Error> {
        if !ran.success {
            return Err(self.refused(problem(ran, ours), created, ours));
        }
        let read: Vec<PathBuf> = ran.stdout.lines().filter_map(dumped_file).map(real).collect();
        match created.iter().find(|path| !read.contains(&real(path))) {
            Some(target) => Err(self.not_included(target, ours)),
            None => Ok(()),
        }
    }

    fn not_included(&self, target: &Path, ours: &[Ours<'_>]) -> Error {
        let block = ours.iter().find(|ours| ours.path == target).map(|ours| ours.block);
        let lines = block.is_some_and(|block| block.form == Form::Servers);
        let context = block.map(|block| block.context).unwrap_or_default();
        Error::NotIncluded { config: self.options.config.clone(), target: target.to_owned(), lines, context }
    }

    /// As [`Self::test_with`], with each candidate in its place for this test alone: nothing that anybody else sees is touched.
    pub(super) fn validate(
        &self,
        weir: &Path,
        candidates: &[Candidate<'_>],
        created: &[&Path],
        ours: &[Ours<'_>],
    ) -> Result<Validation, Error> {
        let started = Instant::now();
        let arguments = self.test_arguments(created);
        let within = namespace::run(weir, candidates, &self.program, arguments, self.test_limit, DUMPED);
        match within.map_err(|error| self.untested(error))? {
            Within::Hindered(hindrance) => Ok(Validation::NeedsPlacing(hindrance)),
            Within::Ran(ran) => {
                self.judge(&ran, created, ours)?;
                Ok(Validation::Passed(Patience::after(started.elapsed(), self.options.confirm_timeout)))
            }
        }
    }

    /// What the test says, or what that comes down to.
    fn refused(&self, problem: Problem, created: &[&Path], ours: &[Ours<'_>]) -> Error {
        if let Some(twice) = self.defined_twice(&problem, ours) {
            return twice;
        }
        // A site that misses an upstream is not to blame if nothing includes that upstream's file.
        let unread = if problem.ours { None } else { unnamed(&self.options.config, created) };
        unread.map_or(Error::Test { problem }, |target| self.not_included(target, ours))
    }

    /// Of two upstreams of one name the test names the one that it reads last.
    fn defined_twice(&self, problem: &Problem, ours: &[Ours<'_>]) -> Option<Error> {
        let name = problem.duplicate()?;
        let defines = |ours: &&Ours<'_>| ours.block.form == Form::Block && ours.block.name.as_str() == name;
        let Ours { path: mine, block } = ours.iter().find(defines)?;
        let named = problem.file.as_deref().filter(|file| file != mine).map(|file| (file, problem.line));
        let (tree, _unread) = read_tree(&self.options.config);
        let mut places = nginx::upstream_places(&tree, block.context, name).into_iter();
        let another = || places.find(|(file, _)| file != mine).map(|(file, line)| (file, Some(line)));
        let (other, line) = named.or_else(another)?;
        // A name that is no UTF-8 could not be told.
        let other = PathBuf::from(self.shortened(other).to_string_lossy().into_owned());
        let ours = self.shortened(mine);
        Some(Error::DefinedTwice { upstream: name.to_owned(), ours, other, line })
    }

    /// As somebody calls it who works on this configuration.
    fn shortened(&self, path: &Path) -> PathBuf {
        let base = self.options.config.parent();
        base.and_then(|base| path.strip_prefix(base).ok()).unwrap_or(path).to_owned()
    }

    fn untested(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::TimedOut => Error::TestTooSlow { waited: self.test_limit, names: self.names.clone() },
            _ => Error::Command { program: self.program.clone(), source: error.into() },
        }
    }

    /// Refuses if there can be no `stream { }`, where `upstreams` belong. What of the configuration could not be read may load the
    /// module; the test knows.
    pub(super) fn need_stream(&self, upstreams: Vec<UpstreamName>) -> Result<(), Error> {
        if upstreams.is_empty() {
            return Ok(());
        }
        let (tree, unread) = read_tree(&self.options.config);
        if self.build.has_stream(&tree) || !unread.is_empty() {
            return Ok(());
        }
        let there = match &self.build.stream {
            StreamModule::Loadable(module) => Some(module).filter(|module| module.exists()).cloned(),
            StreamModule::BuiltIn | StreamModule::Absent => None,
        };
        Err(Error::NoStreamModule { upstreams, config: self.options.config.clone(), there })
    }

    /// What it calls itself, `1.22.1`.
    pub(super) fn version(&self) -> Option<&str> {
        self.build.version.as_deref()
    }

    /// The running master; `None` if NGINX is not running.
    pub(super) fn master(&self) -> Result<Option<Master>, Error> {
        match self.find_master()? {
            Some(_) if self.is_upgrading() => Err(Error::Upgrading { pid_file: self.pid_file.clone() }),
            master => Ok(master),
        }
    }

    /// An old master lives on under its number in another file. A crash may have left that file alone.
    fn is_upgrading(&self) -> bool {
        let old = written_pid(&PathBuf::from(format!("{}.oldbin", self.pid_file.display())));
        old.is_some_and(|pid| !matches!(Master::verify(pid), Ok(None)))
    }

    /// That nobody serves, and what would start it. Without systemd nothing can be started by a unit's name.
    pub(super) fn not_running(&self) -> Error {
        Error::NotRunning { unit: self.options.unit().filter(|_| has_systemd()).map(ToOwned::to_owned) }
    }

    /// By whoever names one that is a master; what was odd about the others is told only if there is none.
    pub(super) fn find_master(&self) -> Result<Option<Master>, Error> {
        let sources: [&dyn Fn() -> Option<u32>; 3] =
            [&|| self.master_in_unit(), &|| self.main_pid(), &|| written_pid(&self.pid_file)];
        let mut odd = None;
        for pid in sources.into_iter().filter_map(|source| source()) {
            match Master::verify(pid) {
                Ok(Some(master)) => return Ok(Some(master)),
                Ok(None) => {}
                Err(error) => odd = Some(error),
            }
        }
        let marks = Marks {
            build: &self.build,
            config: &self.options.config,
            unit: self.options.unit(),
            error_logs: &self.error_logs,
            ports: &self.ports,
        };
        match (marks.look_around()?, odd) {
            (None, Some(odd)) => Err(odd),
            (master, _) => Ok(master),
        }
    }

    /// The unit, where systemd runs it and no pid file is set instead.
    fn unit(&self) -> Option<&str> {
        self.options.unit().filter(|_| self.options.pid_file.path().is_none() && has_systemd())
    }

    /// The one master among the unit's processes: what systemd would say, where nobody needs to be asked, and no bus is.
    fn master_in_unit(&self) -> Option<u32> {
        let masters = proc::unit_processes(self.unit()?).into_iter();
        let mut masters = masters.filter(|pid| matches!(Master::verify(*pid), Ok(Some(_))));
        masters.next().filter(|_| masters.next().is_none())
    }

    /// By systemd's word.
    fn main_pid(&self) -> Option<u32> {
        let arguments = ["show", "--property=MainPID", self.unit()?].map(OsStr::new);
        // One that is not to be had, or not to be trusted, tells nothing; there are other ways to the master.
        let mut command = command::clean(&program::trusted(Path::new("systemctl")).ok()??);
        command.args(arguments);
        let ran = command::run(command, COMMAND_LIMIT, "MainPID=").ok()?;
        ran.stdout.lines().next()?.strip_prefix("MainPID=")?.parse().ok().filter(|pid| *pid != 0)
    }

    /// Reloads and confirms.
    pub(super) fn reload(&self, master: &Master, patience: Patience, ours: &[Ours<'_>]) -> Result<(), Error> {
        master.wait_idle(patience).map_err(|unready| match unready {
            Unready::Gone => Error::MasterGone,
            Unready::Busy { waited } => self.busy(master, waited),
        })?;
        let noted = master.workers().serving;
        let mark = LogMark::note(self.error_logs[0].clone());
        match &self.options.reload {
            Reload::Signal => master.signal_reload()?,
            // As `nginx -s reload` does, it may read the configuration itself before it signals.
            Reload::Argv(argv) => reload_by(argv, COMMAND_LIMIT.max(patience.reading))?,
        }
        fault::point(Fault::Signalled);
        confirm::new_workers(master, &noted, patience).map_err(|verdict| {
            let (problem, log) = (mark.complaint(master, ours), mark.path().to_owned());
            match verdict {
                Verdict::Gone => Error::MasterGone,
                Verdict::NotLoaded => Error::NotLoaded { problem, log },
                Verdict::StillReading => self.busy(master, patience.reading),
                Verdict::TimedOut if master.is_stopped() => Error::MasterStopped { pid: master.pid() },
                Verdict::TimedOut => Error::NotConfirmed { waited: patience.confirm, problem, log },
            }
        })
    }

    fn busy(&self, master: &Master, waited: Duration) -> Error {
        if master.is_stopped() {
            return Error::MasterStopped { pid: master.pid() };
        }
        Error::MasterBusy { pid: master.pid(), waited, names: self.names.clone() }
    }
}

/// The configuration may name a directory or a file otherwise, through a link. A file that is there for the test alone has no real
/// path out here, but its directory has.
fn real(path: &Path) -> PathBuf {
    let resolved = || {
        let link = path.read_link().ok().and_then(|to| Some(path.parent()?.join(to)));
        let path = link.as_deref().unwrap_or(path);
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(resolved).unwrap_or_else(|| path.to_owned())
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// By a pid file. `nginx -t` leaves an empty one when NGINX is not running.
fn written_pid(path: &Path) -> Option<u32> {
    let bytes = file::read(path, MAX_PID).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

fn reload_by(argv: &[String], limit: Duration) -> Result<(), Error> {
    let failed = |what: String| Error::ReloadCommand { program: argv.join(" "), what };
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
    let found = program::trusted(Path::new(program))?.ok_or_else(|| failed("there is no such program".to_owned()))?;
    let mut command = command::clean(&found);
    command.args(arguments);
    let ran = command::run(command, limit, "").map_err(|error| failed(system_words(&error)))?;
    let words =
        || ran.stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it gave no reason").to_owned();
    if ran.success { Ok(()) } else { Err(failed(words())) }
}

fn problem(ran: &Ran, ours: &[Ours<'_>]) -> Problem {
    let killed = |signal| format!("its test was killed by signal {signal}, for want of memory perhaps");
    let message = || ran.signal.map_or_else(|| "it gave no reason".to_owned(), killed);
    parse_test_output(&ran.stderr, ours).unwrap_or_else(|| Problem {
        message: message(),
        file: None,
        line: None,
        ours: false,
        upstream: None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Automatic, Config};

    #[test]
    fn a_test_that_is_killed_says_so_and_one_that_is_silent_does_not_invent() {
        for (ends, words) in [
            ("kill -KILL $$", "its test was killed by signal 9, for want of memory perhaps"),
            ("exit 1", "it gave no reason"),
        ] {
            let ran = command::run(shell(ends), TEST_LIMIT, "").unwrap();
            assert_eq!(problem(&ran, &[]).message, words);
        }
    }

    fn shell(script: &str) -> std::process::Command {
        let mut command = command::clean(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_test_that_does_not_end_is_ended_and_tells_what_it_looks_up() {
        const LIMIT: Duration = Duration::from_millis(50);
        let dir = tempfile::tempdir().unwrap();
        let (program, config) = (dir.path().join("nginx"), dir.path().join("nginx.conf"));
        // It says what it is, and tests for ever.
        std::fs::write(&program, "#!/bin/sh\n[ \"$1\" = -V ] || exec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let place = config.display();
        for (text, way_out) in [
            (
                "http { upstream api { server api.example:80; } }",
                format!("write an address for the name that it looks up: api.example ({place}:1)"),
            ),
            ("events { }", "run 'nginx -t': something that it reads does not answer, such as a dead mount".to_owned()),
        ] {
            std::fs::write(&config, text).unwrap();
            let options = config::Nginx {
                binary: Automatic::Path(program.clone()),
                config: config.clone(),
                ..Config::default().nginx
            };
            let nginx = Nginx::find(&options, []).unwrap();
            assert_eq!(nginx.test_limit, Duration::from_secs(30));
            let error = Nginx { test_limit: LIMIT, ..nginx }.test_with(&[], &[]).unwrap_err();
            let Error::TestTooSlow { waited, names } = error else { panic!("{error:?}") };
            assert_eq!(waited, LIMIT);
            let said = Error::TestTooSlow { waited: TEST_LIMIT, names }.to_string();
            assert_eq!(said, format!("'nginx -t' did not end within 30 s; {way_out}"));
        }
    }
}
