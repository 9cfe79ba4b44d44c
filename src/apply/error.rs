//! What can go wrong, in the words of `ux §4`.
//!
//! All of it is data that can cross from the process that applies to the one that asked: what the operating system said is
//! kept as a kind and a text.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Unanswered, Writer};
use crate::error::{Trouble, system_words};
use crate::nginx::{Context, Problem};
use crate::status::USE_THE_HELPER;
use crate::template::{self, TemplateName};
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, Refusal, UpstreamName};

/// What the helper's unit may write, by its `ReadWritePaths=`: a file there that is read-only is so for everybody.
const UNIT_WRITES: [&str; 8] = [
    "/etc/nginx",
    "/usr/local/nginx",
    "/etc/haproxy",
    "/var/lib/weir-apply",
    "/var/log/nginx",
    "/var/lib/nginx",
    "/var/cache/nginx",
    "/run",
];

/// What makes the state directory of the helper's unit, which cannot make it itself once it runs.
const RESTART: &str = "'systemctl restart weir-apply' makes it";

/// Why something could not be applied. [`Report`](super::Report) says what state that leaves.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// Another apply held the lock all the time: that process, if it can be seen.
    Busy { lock: PathBuf, holder: Option<u32>, waited: Duration },
    /// A file of ours, or beside a target, could not be written.
    Write { path: PathBuf, source: SystemError },
    /// The state directory is not there, and could not be made.
    NoState { state: PathBuf, source: SystemError },
    /// A file could not be read.
    Read { path: PathBuf, source: SystemError },
    /// A record in the state directory is damaged.
    Record { path: PathBuf, what: String },
    /// A newer version wrote that.
    Newer { path: PathBuf },
    /// That generation has no such file, and a site needs it.
    StillNeeded { generation: Generation, path: PathBuf, upstream: UpstreamName },
    /// The records say that this generation is in place, and it cannot be read.
    Lost { generation: Generation, state: PathBuf, why: Box<Error> },
    /// That generation is not kept, or never was.
    NotKept { generation: Generation },
    /// A generation has nothing of the upstreams that are configured.
    NothingOf { generation: Generation },
    /// The program is not there; where it should be, if the configuration says so.
    NotInstalled { upstreams: Vec<UpstreamName>, binary: Option<PathBuf> },
    /// Nothing of what is configured is a file of NGINX's.
    NoFile,
    /// No master is there. What systemd would start it by.
    NotRunning { unit: Option<String> },
    /// The program could not be run, or did not end.
    Command { program: PathBuf, source: SystemError },
    /// The test did not end. The host names that it has to look up, each with its place.
    TestTooSlow { waited: Duration, names: BTreeMap<String, String> },
    /// The document is larger than [`Desired::MAX_BYTES`].
    TooLarge { bytes: usize },
    /// An upstream of the document has no target here.
    NotConfigured { upstream: UpstreamName },
    /// A server of the document is outside the target's limits.
    Address { upstream: UpstreamName, addr: std::net::SocketAddr, why: Refusal },
    /// A server's port is outside the target's limits.
    Port { upstream: UpstreamName, addr: std::net::SocketAddr, min: u16, max: u16 },
    /// A target is a directory, a link or something stranger.
    NotAFile { upstream: UpstreamName, path: PathBuf, link: bool },
    /// Somebody who is not root could replace what root puts there, or runs.
    Writable { path: PathBuf, by: Writer },
    /// As [`Self::Writable`], of what root itself keeps there.
    StateWritable { state: PathBuf, path: PathBuf, by: Writer },
    /// The directory of a target is a link, which somebody may point elsewhere at any time.
    LinkedDirectory { path: PathBuf },
    /// Somebody else changed a target and the policy is to hold.
    ForeignEdit { path: PathBuf },
    /// A template makes no file.
    Template { template: TemplateName, source: PathBuf, mistake: template::Mistake },
    /// A template's file is to belong to somebody who is not there.
    UnknownOwner { template: TemplateName, name: String },
    /// The program that checks a template's file refuses it.
    TemplateCheck { template: TemplateName, program: String, what: String },
    /// The program that has a template's file taken over failed.
    TemplateReload { template: TemplateName, program: String, what: String },
    /// NGINX refuses the configuration.
    Test { problem: Problem },
    /// The configuration has an upstream of that name besides ours.
    DefinedTwice { upstream: String, ours: PathBuf, other: PathBuf, line: Option<u32> },
    /// The configuration passes and does not read our file, which belongs into an upstream's block if it is only `lines`, and into
    /// that context.
    NotIncluded {
        config: PathBuf,
        target: PathBuf,
        lines: bool,
        #[serde(default)]
        context: Context,
    },
    /// NGINX knows no `stream { }`, where these belong. The module's file, where it is there and was not loaded.
    NoStreamModule { upstreams: Vec<UpstreamName>, config: PathBuf, there: Option<PathBuf> },
    /// The pid file or systemd names a process that is not a master of ours.
    NotAMaster { pid: u32, why: Mismatch },
    /// A master with this configuration runs, and nothing shows that it is the one that is meant.
    WhichMaster { pid: u32, config: PathBuf },
    /// A binary upgrade is under way: a reload would not re-read the configuration.
    Upgrading { pid_file: PathBuf },
    /// The master ended before it could be signalled.
    MasterGone,
    /// The master did not become idle, so nobody could tell what its workers read. `names` as of [`Self::TestTooSlow`].
    MasterBusy { pid: u32, waited: Duration, names: BTreeMap<String, String> },
    /// Somebody has stopped the master, as SIGSTOP does, so that it reads nothing.
    MasterStopped { pid: u32 },
    /// The reload command failed.
    ReloadCommand { program: String, what: String },
    /// The master is idle again and no new worker serves. Its own words, if its log has any.
    NotLoaded { problem: Option<Problem>, log: PathBuf },
    /// No new workers, or old ones that go on, until the timeout.
    NotConfirmed { waited: Duration, problem: Option<Problem>, log: PathBuf },
    /// A target changed while NGINX was loading it.
    Overwritten { path: PathBuf },
    /// A run died before it was done.
    Interrupted,
    /// The files had not changed, so there is nothing older to go back to.
    NothingToRestore,
    /// The side that applies did nothing of what it was asked for.
    NotDone(super::Refusal),
    /// It has not answered, so these wait.
    Unanswered { upstreams: Vec<UpstreamName>, socket: PathBuf, why: Unanswered },
}

/// What the operating system said.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SystemError {
    /// As far as the way out depends on it.
    pub kind: SystemErrorKind,
    /// Its words, without its number and in lower case like all messages.
    pub text: String,
}

/// Errors of files that have a way out of their own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemErrorKind {
    /// No space, or none for this user.
    Full,
    /// The file system is mounted read-only, for who tried.
    ReadOnly,
    /// Who tried may not.
    Denied,
    /// There is no such file or directory.
    Missing,
    /// It took too long.
    TimedOut,
    /// Something else.
    Other,
}

/// Who puts files in place, tests and signals. What kept that one from something, and the way out, depend on it; so this is said
/// where an error is shown, not where it happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunBy {
    /// `weir apply`: root, and most of the host is read-only for its unit.
    Helper,
    /// Root, in process.
    Root,
    /// Another user, in process.
    User,
}

impl RunBy {
    /// This process, which does it itself.
    pub fn this_process() -> Self {
        if is_root() { Self::Root } else { Self::User }
    }
}

/// Why a process is not the master that is meant.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// Neither root's nor ours.
    #[error("it runs as another user")]
    OtherUser,
    /// Its parent is an NGINX.
    #[error("it is a worker, or an upgrade is under way")]
    Child,
    /// The kernel refuses.
    #[error("it may not be signalled by this user")]
    NotPermitted,
}

impl Error {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Write { path: path.to_owned(), source: error.into() }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Read { path: path.to_owned(), source: error.into() }
    }

    /// Whether nobody has looked, for the side that applies has not answered.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }

    /// Whether weir's own files are to blame.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Test { problem } => problem.ours,
            Self::NotLoaded { problem, .. } | Self::NotConfirmed { problem, .. } => {
                problem.as_ref().is_some_and(|problem| problem.ours)
            }
            _ => false,
        }
    }

    /// What happened and the way out, in words for who runs weir so.
    pub fn told(&self, by: RunBy) -> Trouble {
        Trouble::new(self.what_by(by), self.remedy_by(by).unwrap_or_default())
    }

    pub(super) fn what_by(&self, by: RunBy) -> String {
        match (by, self.outside_unit()) {
            (RunBy::Helper, Some((path, true))) => {
                format!("nginx -t cannot open {}: read-only for weir-apply", path.display())
            }
            (RunBy::Helper, Some((path, false))) => {
                format!("cannot write {}: read-only for weir-apply", path.display())
            }
            (RunBy::Helper | RunBy::Root | RunBy::User, _) => self.what(),
        }
    }

    pub(super) fn remedy_by(&self, by: RunBy) -> Option<String> {
        match by {
            RunBy::Helper => {
                if let Self::NoState { state, source } = self
                    && source.kind == SystemErrorKind::ReadOnly
                {
                    return Some(if is_in_unit(state) { RESTART.to_owned() } else { to_make(state) });
                }
                let directory = self.outside_unit().map(|(path, _)| path.parent().unwrap_or(path).display());
                let edit = |directory| format!("'systemctl edit weir-apply' and add ReadWritePaths={directory}");
                directory.map(edit).or_else(|| self.remedy())
            }
            RunBy::User if self.is_denied() => Some(USE_THE_HELPER.to_owned()),
            RunBy::Root | RunBy::User => self.remedy(),
        }
    }

    /// The file that could not be written though its file system can be, for the helper's unit shows most of the host read-only,
    /// and whether it was NGINX's test that tried.
    fn outside_unit(&self) -> Option<(&Path, bool)> {
        let (path, is_test) = match self {
            Self::Write { path, source } if source.kind == SystemErrorKind::ReadOnly => (path.as_path(), false),
            Self::Test { problem } => (problem.read_only()?, true),
            _ => return None,
        };
        (!is_in_unit(path)).then_some((path, is_test))
    }

    /// Whether that is something only root may do.
    pub(crate) fn is_denied(&self) -> bool {
        match self {
            Self::Write { source, .. } | Self::NoState { source, .. } | Self::Read { source, .. } => {
                matches!(source.kind, SystemErrorKind::Denied | SystemErrorKind::ReadOnly)
            }
            Self::Test { problem } => problem.is_denied(),
            Self::NotAMaster { why, .. } => *why == Mismatch::NotPermitted,
            _ => false,
        }
    }

    /// What happened, without the way out.
    pub fn what(&self) -> String {
        match self {
            Self::Busy { lock, holder, waited } => {
                let holder = holder.map_or_else(|| "another apply".to_owned(), |pid| format!("process {pid}"));
                format!("{holder} holds {} for over {} s", lock.display(), waited.as_secs())
            }
            Self::Write { path, source } => format!("cannot write {}: {}", path.display(), source.text),
            Self::NoState { state, source } => {
                format!("{} is not there and cannot be made: {}", state.display(), source.text)
            }
            Self::Read { path, source } => format!("cannot read {}: {}", path.display(), source.text),
            Self::Record { path, what } => format!("{} is damaged: {what}", path.display()),
            Self::Newer { path } => format!("{} was written by a newer weir", path.display()),
            Self::Lost { generation, why, .. } => {
                format!("generation {generation} is recorded as in place and cannot be read: {}", why.what())
            }
            Self::NotKept { generation } => format!("generation {generation} is not kept"),
            Self::StillNeeded { generation, path, .. } => {
                format!("generation {generation} is without {}, which a site needs", path.display())
            }
            Self::NothingOf { generation } => {
                format!("generation {generation} has nothing of the upstreams that are configured")
            }
            Self::NotInstalled { upstreams, binary: None } => {
                format!("nginx is not installed, {}", waiting(upstreams))
            }
            Self::NotInstalled { upstreams, binary: Some(binary) } => {
                format!("there is no {}, {}", binary.display(), waiting(upstreams))
            }
            Self::NoFile => "no upstream here has a file of nginx's".to_owned(),
            Self::NotRunning { unit } => format!("{} is not running", unit.as_deref().unwrap_or("nginx")),
            Self::Command { program, source } => format!("cannot run {}: {}", program.display(), source.text),
            Self::TestTooSlow { waited, .. } => format!("'nginx -t' did not end within {} s", waited.as_secs()),
            Self::TooLarge { bytes } => {
                format!("upstreams and members of {bytes} bytes are too much, the limit is {}", Desired::MAX_BYTES)
            }
            Self::NotConfigured { upstream } => format!("upstream {upstream} is wanted and not configured here"),
            Self::Address { upstream, addr, why } => format!("upstream {upstream}: {addr} {why}"),
            Self::Port { upstream, addr, min, max } => {
                format!("upstream {upstream}: port of {addr} is outside {min}..{max}")
            }
            Self::NotAFile { path, link: true, .. } => format!("{} is a symbolic link", path.display()),
            Self::NotAFile { path, link: false, .. } => format!("{} is not a regular file", path.display()),
            Self::Writable { path, by } | Self::StateWritable { path, by, .. } => {
                format!("{} is writable by {by}", path.display())
            }
            Self::LinkedDirectory { path } => format!("{} is a symbolic link", path.display()),
            Self::ForeignEdit { path } => format!("{} was changed by somebody else and is held", path.display()),
            Self::Template { template, source, mistake: template::Mistake { line, why } } => {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("template {template}: {why} in {}{line}", source.display())
            }
            Self::UnknownOwner { template, name } => format!("template {template}: there is no user or group '{name}'"),
            Self::TemplateCheck { template, program, what } => {
                format!("template {template}: {program} refuses the new file: {}", what.trim_end_matches('.'))
            }
            Self::TemplateReload { template, program, what } => {
                format!("template {template}: {program} failed: {}", what.trim_end_matches('.'))
            }
            Self::Test { problem } => format!("nginx refuses its configuration: {problem}"),
            Self::DefinedTwice { upstream, ours, other, line } => {
                let line = line.map_or_else(String::new, |line| format!(":{line}"));
                format!("upstream \"{upstream}\" is defined twice: {} and {}{line}", ours.display(), other.display())
            }
            Self::NotIncluded { config, target, .. } => {
                format!("nothing in {} includes {}", config.display(), target.display())
            }
            Self::NoStreamModule { upstreams, .. } => {
                format!("this nginx has no stream module, {}", waiting(upstreams))
            }
            Self::NotAMaster { pid, why } => format!("process {pid} is not nginx's master: {why}"),
            Self::WhichMaster { pid, config } => {
                format!(
                    "nginx runs as process {pid}, and nothing tells that it is the one that reads {}",
                    config.display()
                )
            }
            Self::Upgrading { pid_file } => format!("nginx is being upgraded ({}.oldbin exists)", pid_file.display()),
            Self::MasterGone => "nginx ended".to_owned(),
            Self::MasterBusy { pid, waited, .. } => {
                format!("nginx's master {pid} was still reading its configuration after {} s", waited.as_secs())
            }
            Self::MasterStopped { pid } => {
                format!("nginx's master {pid} is stopped, as SIGSTOP does, and reads nothing")
            }
            Self::ReloadCommand { program, what } => format!("{program} failed: {what}"),
            Self::NotLoaded { problem: Some(problem), .. } | Self::NotConfirmed { problem: Some(problem), .. } => {
                problem.to_string()
            }
            Self::NotLoaded { problem: None, .. } => "it started no new workers".to_owned(),
            Self::NotConfirmed { problem: None, waited, .. } => {
                format!("its new workers did not take over within {} s", waited.as_secs())
            }
            Self::Overwritten { path } => format!("{} was changed by somebody else meanwhile", path.display()),
            Self::Interrupted => "the run ended before it was done".to_owned(),
            Self::NothingToRestore => "no file had changed, so there is nothing older".to_owned(),
            Self::NotDone(refusal) => refusal.what(),
            Self::Unanswered { upstreams, socket, why } => {
                format!("{}: {}", waiting(upstreams), why.what(socket))
            }
        }
    }

    /// The way out, where there is one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("end it if it hangs; weir tries again".to_owned()),
            Self::Write { path, source } => Some(way_to(path.parent().unwrap_or(path), source.kind)),
            Self::NoState { state, source } if source.kind == SystemErrorKind::Missing => Some(to_make(state)),
            Self::NoState { state, source } => Some(way_to(state.parent().unwrap_or(state), source.kind)),
            Self::Read { path, source } => Some(way_to(path, source.kind)),
            Self::Record { path, .. } => Some(format!("move {} away; the next apply writes it anew", path.display())),
            Self::Newer { path } => Some(format!("install that version again, or move {} away", path.display())),
            Self::Lost { state, .. } => Some(format!("'mv {0} {0}.old', the next apply begins anew", state.display())),
            Self::NotKept { .. } | Self::NothingOf { .. } => Some("'weir upstream history' lists them".to_owned()),
            Self::StillNeeded { upstream, .. } => {
                Some(format!("take {upstream} out of that site first, or name another generation"))
            }
            Self::NotInstalled { binary: None, .. } => Some("'apt install nginx' or 'dnf install nginx'".to_owned()),
            Self::NotInstalled { binary: Some(_), .. } => Some("correct nginx.binary".to_owned()),
            Self::NotRunning { unit: None } => Some("start nginx".to_owned()),
            Self::NotRunning { unit: Some(unit) } => {
                Some(format!("'systemctl start {}'", unit.trim_end_matches(".service")))
            }
            Self::Command { source, .. } if source.kind == SystemErrorKind::TimedOut => {
                Some("run 'nginx -V' and see what keeps it".to_owned())
            }
            Self::Command { .. } => Some("correct nginx.binary".to_owned()),
            Self::TooLarge { .. } => Some("have the 'select' of upstreams match fewer members".to_owned()),
            Self::NotConfigured { .. } => Some("'weir reload'".to_owned()),
            Self::Address { upstream, why, .. } => Some(why.remedy(upstream)),
            Self::Port { upstream, .. } => Some(format!("correct upstream.{upstream}.server.port")),
            Self::NotAFile { upstream, link: true, .. } => {
                Some(format!("set upstream.{upstream}.nginx.output to the file it names"))
            }
            Self::NotAFile { upstream, .. } => Some(format!("correct upstream.{upstream}.nginx.output")),
            Self::Writable { path, by } => Some(format!("apply trusts only root: {}", by.remedy(path))),
            Self::StateWritable { state, by, .. } => {
                Some(format!("apply trusts only root: {}", by.remedy_below(state)))
            }
            Self::LinkedDirectory { .. } => Some("name the directory that it points to in 'output'".to_owned()),
            Self::ForeignEdit { .. } => Some("remove the change, or set apply.foreign_edit = \"restore\"".to_owned()),
            Self::Template { mistake, .. } => Some(match mistake.remedy() {
                Some(remedy) => format!("{remedy}; the old file stays"),
                None => "the old file stays".to_owned(),
            }),
            Self::UnknownOwner { template, .. } => Some(format!("correct template.{template}.owner")),
            Self::TemplateCheck { .. } => Some("the old file stays".to_owned()),
            Self::TemplateReload { template, .. } => {
                Some(format!("see to that, or correct template.{template}.reload"))
            }
            Self::Test { problem } => Some(match problem.read_only() {
                Some(path) => way_to(path.parent().unwrap_or(path), SystemErrorKind::ReadOnly),
                None => problem.remedy().unwrap_or_else(|| mend(problem)),
            }),
            Self::DefinedTwice { .. } => Some("remove yours, or use form = \"servers\" inside it".to_owned()),
            Self::NotIncluded { target, lines: true, .. } => {
                Some(format!("add 'include {};' inside your upstream block", target.display()))
            }
            Self::NotIncluded { target, lines: false, context: Context::Http, .. } => {
                Some(format!("add 'include {};' inside http {{ }}", include_for(target)))
            }
            // Few configurations have such a block, and none may have two.
            Self::NotIncluded { config, target, lines: false, context: Context::Stream } => {
                Some(format!("have 'stream {{ include {}; }}' in {}", include_for(target), config.display()))
            }
            Self::NoStreamModule { there: Some(module), config, .. } => {
                Some(format!("add 'load_module {};' at the top of {}", module.display(), config.display()))
            }
            Self::NoStreamModule { there: None, .. } => {
                Some("'apt install libnginx-mod-stream' or 'dnf install nginx-mod-stream'".to_owned())
            }
            Self::NotAMaster { why: Mismatch::NotPermitted, pid } => {
                Some(format!("see with 'dmesg' what keeps root from process {pid}"))
            }
            Self::NotAMaster { .. } => Some("correct nginx.pid_file, or start nginx".to_owned()),
            Self::TestTooSlow { names, .. } => {
                let other = "run 'nginx -t': something that it reads does not answer, such as a dead mount";
                Some(slow_names(names).unwrap_or_else(|| other.to_owned()))
            }
            Self::WhichMaster { .. } => {
                Some("set nginx.pid_file to the file that holds its number, or nginx.unit to its unit".to_owned())
            }
            Self::Upgrading { pid_file } => {
                Some(format!("'kill -QUIT $(cat {}.oldbin)' finishes that; weir tries again", pid_file.display()))
            }
            Self::NotLoaded { problem, log } | Self::NotConfirmed { problem, log, .. } => {
                let known = problem.as_ref().and_then(Problem::remedy);
                Some(known.unwrap_or_else(|| format!("see {}", log.display())))
            }
            Self::MasterStopped { pid } => Some(format!("'kill -CONT {pid}'; weir tries again")),
            Self::ReloadCommand { .. } => Some("correct nginx.reload".to_owned()),
            Self::MasterBusy { names, .. } => {
                let raise = "set nginx.confirm_timeout higher";
                Some(slow_names(names).map_or_else(|| raise.to_owned(), |mend| format!("{mend}, or {raise}")))
            }
            Self::Overwritten { .. } => Some("keep others from writing it; weir tries again".to_owned()),
            Self::NotDone(refusal) => refusal.remedy(),
            Self::Unanswered { why, .. } => why.remedy(),
            Self::NoFile | Self::MasterGone | Self::Interrupted | Self::NothingToRestore => None,
        }
    }
}

fn mend(problem: &Problem) -> String {
    match problem {
        Problem { upstream: Some(upstream), .. } => {
            format!("correct upstream.{upstream}.nginx: this nginx does not take all of it")
        }
        // As an older version recorded it.
        Problem { ours: true, .. } => "correct upstream.NAME.nginx: this nginx does not take all of it".to_owned(),
        Problem { file: Some(_), .. } => "mend that file".to_owned(),
        Problem { file: None, .. } => "see 'nginx -t'".to_owned(),
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn waiting(upstreams: &[UpstreamName]) -> String {
    let names: Vec<&str> = upstreams.iter().map(UpstreamName::as_str).collect();
    match names.len() {
        0 => "upstream waits".to_owned(),
        1 => format!("upstream {} waits", names[0]),
        _ => format!("upstreams {} wait", names.join(", ")),
    }
}

/// What makes NGINX slow to read its configuration, if anything does: it looks up names one after the other.
fn slow_names(names: &BTreeMap<String, String>) -> Option<String> {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|(name, place)| format!("{name} ({place})")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let which = if names.len() == 1 { "an address for the name" } else { "addresses for the names" };
    (!shown.is_empty()).then(|| format!("write {which} that it looks up: {}{more}", shown.join(", ")))
}

/// What an `include` may say so that the file is read.
fn include_for(target: &Path) -> String {
    let directory = target.parent().filter(|_| target.extension().is_some_and(|extension| extension == "conf"));
    directory.map_or_else(|| target.display().to_string(), |directory| format!("{}/*.conf", directory.display()))
}

impl From<io::Error> for SystemError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SystemErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => SystemErrorKind::ReadOnly,
            io::ErrorKind::PermissionDenied => SystemErrorKind::Denied,
            io::ErrorKind::NotFound => SystemErrorKind::Missing,
            io::ErrorKind::TimedOut => SystemErrorKind::TimedOut,
            _ => SystemErrorKind::Other,
        };
        Self { kind, text: system_words(&error) }
    }
}

/// Whether the helper's unit may write there.
fn is_in_unit(path: &Path) -> bool {
    UNIT_WRITES.iter().any(|directory| path.starts_with(directory))
}

fn to_make(path: &Path) -> String {
    format!("'install -d -m 0750 {}'", path.display())
}

/// What lets a file be read, or written to a directory.
fn way_to(path: &Path, kind: SystemErrorKind) -> String {
    let path = path.display();
    match kind {
        SystemErrorKind::Full => format!("free space in {path}"),
        SystemErrorKind::ReadOnly => format!("make {path} writable, it is mounted read-only"),
        SystemErrorKind::Denied => format!("see with 'dmesg' what keeps root from {path}"),
        SystemErrorKind::Missing => format!("create {path}"),
        SystemErrorKind::TimedOut | SystemErrorKind::Other => format!("look at {path}"),
    }
}

/// As for root, in process: who is hindered least.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_upstream_waits_and_several_wait() {
        for (names, wanted) in [
            (&[][..], "nginx is not installed, upstream waits"),
            (&["web"], "nginx is not installed, upstream web waits"),
            (&["web", "app2"], "nginx is not installed, upstreams web, app2 wait"),
        ] {
            let upstreams = names.iter().map(|name| UpstreamName::new(name).unwrap()).collect();
            assert_eq!(Error::NotInstalled { upstreams, binary: None }.what(), wanted);
        }
    }

    #[test]
    fn what_a_message_takes_for_writable_both_units_have_so() {
        for unit in
            [include_str!("../../systemd/weir-apply.service"), include_str!("../../systemd/weir-apply-recover.service")]
        {
            let line = unit.lines().find_map(|line| line.strip_prefix("ReadWriteDirectories=")).unwrap();
            let listed: Vec<&str> = line.split(' ').map(|path| path.trim_start_matches('-')).collect();
            assert_eq!(listed, UNIT_WRITES);
        }
    }
}
