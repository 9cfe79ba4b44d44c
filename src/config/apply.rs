//! `[apply]` and `[nginx]`: when files are put in place, and which NGINX reads them.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::error::Trouble;

use super::handler::argv_mistake;
use super::reader::Section;
use super::tree::{Item, Value};
use super::value::{Text, Written, Wrong, words};

/// Who puts files in place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApplyMode {
    /// The privileged side, over its socket.
    Helper,
    /// This process.
    Direct,
}

words!(ApplyMode, "\"helper\" or \"direct\"", ("helper", Helper), ("direct", Direct));

/// What to do about a file that somebody else changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForeignEdit {
    /// A copy of it is kept and ours put back.
    Restore,
    /// It is left alone and reported.
    Hold,
}

words!(ForeignEdit, "\"restore\" or \"hold\"", ("restore", Restore), ("hold", Hold));

/// When changes are put in place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Apply {
    /// helper: weir-apply.socket's service writes, tests and reloads; direct: the agent itself does, in containers and as root.
    pub mode: ApplyMode,
    /// Where the helper listens.
    pub socket: PathBuf,
    /// Directory for the record of what is live and for copies of what was replaced.
    pub state: PathBuf,
    /// Wait until nothing changed for this long.
    pub quiet: Duration,
    /// But no longer than this. The first complete state and bad news do not wait.
    pub max_delay: Duration,
    /// At most one reload in this time, over all upstreams.
    pub min_reload_interval: Duration,
    /// A file that somebody else changed. restore: keep a copy and put ours back; hold: leave it and report.
    pub foreign_edit: ForeignEdit,
    /// Files and directories whose change makes NGINX read its configuration again, such as those of certificates.
    pub watch: Vec<PathBuf>,
}

impl Apply {
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let (ms, hour) = (Duration::from_millis, Duration::from_secs(3600));
        let apply = Self {
            mode: section.key("mode").restart().or(ApplyMode::Helper),
            socket: section
                .key("socket")
                .restart()
                .check(|path: &PathBuf| absolute(path))
                .or(PathBuf::from("/run/weir-apply.sock")),
            state: section
                .key("state")
                .restart()
                .check(|path: &PathBuf| absolute(path))
                .or(PathBuf::from("/var/lib/weir-apply")),
            quiet: section.key("quiet").within(Duration::ZERO, hour).or(ms(200)),
            max_delay: section.key("max_delay").within(Duration::ZERO, hour).or(ms(2_000)),
            min_reload_interval: section.key("min_reload_interval").within(Duration::ZERO, hour).or(ms(1_000)),
            foreign_edit: section.key("foreign_edit").or(ForeignEdit::Restore),
            watch: section
                .key("watch")
                .check(|paths: &Vec<PathBuf>| paths.iter().find_map(|path| absolute(path)))
                .or(Vec::new()),
        };
        if apply.quiet > apply.max_delay {
            let name = if section.is_set("quiet") { "quiet" } else { "max_delay" };
            section.conflict(name, Trouble::new("apply.quiet must be at most apply.max_delay", "change one"));
        }
        apply
    }
}

/// The NGINX that is fed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nginx {
    /// NGINX's program; auto: nginx where systems have it (/usr/sbin and the like).
    pub binary: Automatic,
    /// NGINX's main configuration file.
    pub config: PathBuf,
    /// NGINX's systemd unit.
    pub unit: String,
    /// NGINX's pid file, used without systemd; auto: where its configuration says.
    pub pid_file: Automatic,
    /// "signal": SIGHUP to the verified master process; or a command as a list, run without a shell.
    pub reload: Reload,
    /// New worker processes must run by then, else the file that was there before comes back.
    pub confirm_timeout: Duration,
}

/// A path, or found by the program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Automatic {
    /// Looked for.
    Auto,
    /// This one.
    Path(PathBuf),
}

/// How NGINX is told to reload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reload {
    /// SIGHUP to its master process.
    Signal,
    /// This command.
    Argv(Vec<String>),
}

impl Automatic {
    /// The path, unless it is to be found.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Auto => None,
            Self::Path(path) => Some(path),
        }
    }
}

impl Text for Automatic {
    const WANTED: &'static str = "a path, or \"auto\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        match text {
            "auto" => Ok(Self::Auto),
            "" => Err(Trouble::new("is empty", format!("write {}", Self::WANTED))),
            _ => PathBuf::parse(text).map(Self::Path),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Path(path) => path.text(),
        }
    }
}

impl Written for Reload {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let wanted = "\"signal\", or a command, [\"systemctl\", \"reload\", \"nginx\"]";
        match &item.value {
            Value::Text(text) if text == "signal" => Ok(Self::Signal),
            Value::List(list) if !list.is_empty() => {
                let argv: Vec<String> = Vec::read(item)?;
                argv_mistake(&argv).map_or(Ok(Self::Argv(argv)), |trouble| Err(item.wrong(trouble)))
            }
            Value::Text(_) | Value::List(_) => {
                Err(item.wrong(Trouble::new("is not accepted", format!("write {wanted}"))))
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::Table(_) => {
                Err(item.not(wanted))
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "const": "signal" }, Vec::<String>::schema()] })
    }

    fn write(&self) -> Json {
        match self {
            Self::Signal => "signal".into(),
            Self::Argv(argv) => argv.write(),
        }
    }
}

impl Nginx {
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let seconds = Duration::from_secs;
        Self {
            binary: section.key("binary").restart().or(Automatic::Auto),
            config: section
                .key("config")
                .check(|path: &PathBuf| absolute(path))
                .or(PathBuf::from("/etc/nginx/nginx.conf")),
            unit: section.key("unit").or("nginx.service".to_owned()),
            pid_file: section.key("pid_file").or(Automatic::Auto),
            reload: section.key("reload").or(Reload::Signal),
            confirm_timeout: section.key("confirm_timeout").within(seconds(3), seconds(60)).or(seconds(5)),
        }
    }

    /// The unit, if it has one.
    pub(crate) fn unit(&self) -> Option<&str> {
        Some(self.unit.as_str()).filter(|unit| !unit.is_empty())
    }
}

/// For paths that another process opens as well.
pub(crate) fn absolute(path: &Path) -> Option<Trouble> {
    (!path.is_absolute()).then(|| Trouble::new("is not an absolute path", "write one that starts with /"))
}

impl Section<'_> {
    /// Notes that the path of this key depends on where the agent is started, which no unit and no other command shares. Serf
    /// takes such paths.
    pub(super) fn expect_absolute(&self, name: &str, path: &Path) {
        if self.serf() {
            return;
        }
        if let Some(Trouble { what, way_out }) = absolute(path) {
            let what = format!("{} = \"{}\" {what}", self.path_of(name), path.display());
            self.conflict(name, Trouble::new(what, way_out));
        }
    }
}

/// Of an output that must be another file.
pub(crate) const NGINX_OWN: &str = "which is nginx.config";

/// A file that weir writes: two ways to write one path would make two of it.
pub(crate) fn file_path(path: &Path) -> Option<Trouble> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Some(Trouble::new("has '..' in it", "write the path without"));
    }
    let is_directory = path.as_os_str().as_bytes().ends_with(b"/");
    absolute(path).or_else(|| is_directory.then(|| Trouble::new("is a directory", "name a file in it")))
}
