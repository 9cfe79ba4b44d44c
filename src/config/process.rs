//! `[snapshot]`, `[rpc]`, `[log]` and `[leave]`: what concerns this process alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Trouble;

use super::address::Listen;
use super::encryption::Encryption;
use super::mistake::{Mistake, nearest};
use super::reader::Section;
use super::secret::{HIDDEN, Secret, SecretRef, SecretSource};
use super::serf::Extras;
use super::value::{Text, word, words};

/// The rejoin log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// File of the rejoin log; empty: none.
    pub path: Option<PathBuf>,
    /// At most this much is lost to a power cut; 0s: every record is synced.
    pub sync_interval: Duration,
    /// Rejoin at start also after a leave.
    pub rejoin_after_leave: bool,
}

impl Snapshot {
    pub(crate) fn read(section: &Section<'_>, encryption: &Encryption) -> Self {
        let path = section.by_mode("/var/lib/weir/snapshot", "");
        let path = some_path(section.key("path").restart().or(PathBuf::from(path)));
        path.iter().for_each(|path| section.expect_absolute("path", path));
        if let (Some(path), Some(SecretSource::File(ring))) = (&path, &encryption.keyring)
            && path == ring
        {
            section.conflict("path", Trouble::new("snapshot.path is the keyring's as well", "name another file"));
        }
        Self {
            path,
            sync_interval: section
                .key("sync_interval")
                .within(Duration::ZERO, Duration::from_secs(3600))
                .or(Duration::from_millis(500)),
            rejoin_after_leave: section.key("rejoin_after_leave").or(section.by_mode(true, false)),
        }
    }
}

/// The control socket and port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rpc {
    /// Unix socket, mode 0660; empty: none.
    pub socket: Option<PathBuf>,
    /// Group of the socket; its members administer the cluster, keys included.
    pub group: String,
    /// TCP address for Serf's clients, "127.0.0.1:7373"; empty: none. Off loopback only with token_file.
    pub listen: Option<SocketAddr>,
    /// File or "credential:NAME" with the token that TCP clients must present; empty: none.
    pub token: Option<SecretSource<Secret>>,
}

impl Rpc {
    pub(crate) fn read(section: &Section<'_>, extras: &Extras) -> Self {
        let port = SocketAddr::from(([127, 0, 0, 1], 7373));
        let Listen(listen) = section.key("listen").restart().or(Listen(section.by_mode(None, Some(port))));
        let named = section.key("token_file").restart().or(SecretRef::Nowhere).source();
        let token = match &extras.rpc_auth {
            Some((_, at)) if named.is_some() => {
                let trouble = Trouble::new("a token in the clear cannot be used with rpc.token_file", "remove one");
                section.mistake(Mistake::across(at, "rpc.token_file", trouble));
                named
            }
            Some((token, at)) => {
                section.amend("token_file", HIDDEN.into(), at.clone());
                Some(SecretSource::Inline(token.clone()))
            }
            None => named,
        };
        if let Some(SecretSource::File(path)) = &token {
            section.expect_absolute("token_file", path);
        }
        if let Some(address) = listen.filter(|address| !address.ip().is_loopback() && token.is_none()) {
            let what = format!("rpc.listen = \"{address}\" can be reached from elsewhere");
            section.conflict("listen", Trouble::new(what, "set rpc.token_file, or listen on 127.0.0.1"));
        }
        let socket = section.by_mode("/run/weir/rpc.sock", "");
        let socket = some_path(section.key("socket").restart().or(PathBuf::from(socket)));
        socket.iter().for_each(|path| section.expect_absolute("socket", path));
        Self { socket, group: section.key("group").restart().or("weir".to_owned()), listen, token }
    }
}

/// An empty path is none.
fn some_path(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// An operator must act.
    Error,
    /// Odd but healing itself.
    Warn,
    /// The operator's timeline.
    Info,
    /// Protocol decisions.
    Debug,
    /// Every packet.
    Trace,
}

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

impl Level {
    /// The level's word.
    pub fn as_str(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("info", |(word, _)| word)
    }
}

/// `log.level`: one level, and others for single parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFilter {
    /// The level of all parts that are not named.
    pub level: Level,
    /// Parts with a level of their own, `("swim", Debug)`.
    pub parts: Vec<(String, Level)>,
}

impl LogFilter {
    /// Parts of the program whose level may differ: its modules that log.
    pub const PARTS: [&'static str; 10] =
        ["agent", "apply", "crypto", "endpoint", "rotate", "rpc", "serf", "snapshot", "swim", "upstream"];

    /// The filter in the form that `tracing_subscriber::EnvFilter` takes.
    pub fn directives(&self) -> String {
        let mut text = self.level.as_str().to_owned();
        for (part, level) in &self.parts {
            text.push_str(&format!(",weir::{part}={}", level.as_str()));
        }
        text
    }
}

impl Text for LogFilter {
    const WANTED: &'static str = "a level, \"info\" or \"info,swim=debug\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let mut filter = Self { level: Level::Info, parts: Vec::new() };
        for (index, item) in text.split(',').map(str::trim).enumerate() {
            match item.split_once('=') {
                None if index == 0 => filter.level = level(item, text)?,
                None => {
                    let way_out = "write the general one first, \"info,swim=debug\"";
                    return Err(Trouble::new("has a second level", way_out));
                }
                Some((part, level)) if Self::PARTS.contains(&part) => {
                    filter.parts.push((part.to_owned(), self::level(level, text)?));
                }
                Some((part, _)) => {
                    let way_out = match nearest(part, Self::PARTS) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("one of {} is accepted", Self::PARTS.join(", ")),
                    };
                    return Err(Trouble::new(format!("names no part of weir, {part:?}"), way_out));
                }
            }
        }
        Ok(filter)
    }

    fn text(&self) -> String {
        self.directives().replace("weir::", "")
    }
}

/// The level called `name`, one of several in `text`, of which the wrong one is named.
fn level(name: &str, text: &str) -> Result<Level, Trouble> {
    word(name, &LEVELS).map_err(|trouble| match name == text {
        true => trouble,
        false => Trouble::new(format!("names no level, {name:?}"), trouble.way_out),
    })
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// journald under systemd, else text.
    Auto,
    /// journald's own protocol.
    Journald,
    /// Lines of text on stderr.
    Text,
    /// Lines of JSON on stderr.
    Json,
}

words!(LogFormat, "a format, \"auto\"", ("auto", Auto), ("journald", Journald), ("text", Text), ("json", Json));

/// The log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// error, warn, info, debug or trace; or per part of the program: "info,swim=debug".
    pub level: LogFilter,
    /// auto: journald under systemd, else text.
    pub format: LogFormat,
}

impl Log {
    pub(crate) fn read(section: &Section<'_>) -> Self {
        Self {
            level: section.key("level").or(LogFilter { level: Level::Info, parts: Vec::new() }),
            format: section.key("format").restart().or(LogFormat::Auto),
        }
    }
}

/// What the agent does when it is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leave {
    /// SIGINT leaves the cluster; otherwise it stops like a crash.
    pub on_interrupt: bool,
    /// SIGTERM leaves the cluster; otherwise it stops like a crash.
    pub on_terminate: bool,
    /// Longest wait for requests on their way, after every balancer confirmed; 0s: no drain, Serf's leave.
    pub drain_time: Duration,
    /// For all of a leave; then it goes on, naming who did not confirm. At least drain_time + 13s.
    pub timeout: Duration,
    /// Obey 'weir drain NAME' from other members.
    pub remote_drain: bool,
}

impl Leave {
    /// Longest that Serf's own leave takes: two broadcasts and the pause after them (`protocols A.5`).
    pub const SERF: Duration = Duration::from_secs(11);
    /// For all of it, unless something else is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// With the shortest time for the balancers to confirm.
    pub const MIN_BESIDE_DRAIN: Duration = Duration::from_secs(13);

    /// `on_stop` is both signals; Serf's files have a switch for each.
    pub(crate) fn read(section: &Section<'_>, extras: &Extras) -> Self {
        let on_stop = section.key("on_stop").or(section.by_mode(true, false));
        let hour = Duration::from_secs(3600);
        let drain_time = section
            .key("drain_time")
            .within(Duration::ZERO, hour)
            .or(section.by_mode(Duration::from_secs(5), Duration::ZERO));
        let timeout = section.key("timeout").within(Duration::from_secs(13), 2 * hour).or(Self::TIMEOUT);
        let least = drain_time + Self::MIN_BESIDE_DRAIN;
        if !drain_time.is_zero() && timeout < least {
            let name = if section.is_set("timeout") { "timeout" } else { "drain_time" };
            let text = |value| super::duration::text(value);
            let (timeout, drain_time, least) = (text(timeout), text(drain_time), text(least));
            let what = format!(
                "leave.timeout = \"{timeout}\" leaves the balancers no time beside drain_time = \"{drain_time}\""
            );
            section.conflict(name, Trouble::new(what, format!("at least {least} are needed")));
        }
        Self {
            on_interrupt: !extras.skip_leave_on_interrupt && section.by_mode(on_stop, true),
            on_terminate: extras.leave_on_terminate || on_stop,
            drain_time,
            timeout,
            remote_drain: section.key("remote_drain").or(false),
        }
    }
}
