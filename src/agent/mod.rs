//! The tokio driver: sockets, clock, signals, systemd, and the one loop that owns the endpoint.
//!
//! | file | owns |
//! |---|---|
//! | `driver` | the loop and its state; no other file knows it |
//! | `commands` | what RPC clients ask for, and what they wait for |
//! | `joins`, `join`, `join_reply`, `reach`, `survey`, `rejoin`, `discover` | finding others |
//! | `upstreams`, `applier`, `serving` | members to NGINX, off the loop; what a server is told of that |
//! | `reload`, `tags`, `tags_file` | reading a changed configuration, what it makes of our tags, and Serf's file of them |
//! | `udp`, `stream`, `bind`, `holder`, `address`, `check` | sockets |
//! | `clock`, `timer` | time |
//! | `random` | what is drawn |
//! | `store`, `keyring`, `key_state`, `key_writer`, `hand`, `file` | what is on disk |
//! | `rotate`, `doctor`, `status` | what RPC asks for about keys, and for `weir doctor` and `weir info` |
//! | `exec`, `checks`, `process` | handler scripts, checks, and the programs that both run |
//! | `request` | one request to a service, over HTTP, TLS or plain TCP |
//! | `leave` | this node's own drain and safe leave |
//! | [`log`], [`notice`] | what the operator is told |
//! | `signal`, `stop`, `systemd` | the host |
//!
//! Runs on one thread, and logs by another. Slow work (names, disks, NGINX, scripts) goes to tasks or the blocking pool and comes back as a
//! report, so nothing ever holds up gossip.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent is the shell: it owns clock, sockets, files, tasks and processes"
)]

mod address;
mod applier;
pub(crate) mod authorities;
mod bind;
pub(crate) mod check;
mod checks;
mod clock;
mod commands;
mod discover;
mod doctor;
mod driver;
mod exec;
pub(crate) mod file;
pub(crate) mod hand;
mod health;
pub(crate) mod holder;
mod join;
mod join_reply;
mod joins;
mod key_state;
mod key_writer;
mod keyring;
mod leave;
pub mod log;
pub mod notice;
mod process;
mod random;
pub(crate) mod reach;
mod rejoin;
mod reload;
mod request;
mod rotate;
mod serving;
mod signal;
mod status;
mod stop;
mod store;
mod stream;
pub(crate) mod survey;
mod systemd;
mod tags;
mod tags_file;
mod timer;
mod udp;
mod upstreams;

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use crate::config::{Loaded, Sources};
use crate::error::Explain;

pub use self::log::Log;

/// Threads for names, disks, NGINX and the start of scripts; they start when needed and leave when idle. More than can hang at
/// once, on a resolver or a disk that does not answer.
const BLOCKING_THREADS: usize = 64;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(2);
const BLOCKING_STACK_BYTES: usize = 256 * 1024;

/// What an agent is started with.
#[derive(Debug)]
pub struct Start {
    /// The configuration and the files it came from.
    pub loaded: Loaded,
    /// Read again for a reload.
    pub sources: Sources,
    /// Writes the log instead of what the configuration says.
    pub console: Option<log::Console>,
}

/// How an agent ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It left the cluster.
    Left,
    /// A signal that does not leave, as configured.
    Stopped,
    /// A second signal cut a leave short.
    Interrupted,
    /// `gossip.join_retry_max` tries to join have failed.
    JoinGaveUp,
}

/// Why an agent did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The runtime, the timer or the signals: the system is out of something.
    #[error("cannot start")]
    System(#[source] io::Error),
    /// journald was demanded and is not there.
    #[error("cannot reach journald")]
    Log(#[source] io::Error),
    /// No usable keyring, or a token that cannot be read.
    #[error(transparent)]
    Secret(SecretError),
    /// Serf's tags file is there and is of no use.
    #[error(transparent)]
    Tags(TagsFileError),
    /// No address to bind or advertise.
    #[error(transparent)]
    Address(AddressError),
    /// The gossip port is not to be had.
    #[error(transparent)]
    Bind(BindError),
    /// The control socket or port is not to be had.
    #[error(transparent)]
    Rpc(ListenError),
    /// mDNS was demanded and does not work here.
    #[error("cannot use mDNS: {0}")]
    Discover(String),
}

impl Explain for AgentError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::System(_) => None,
            Self::Log(_) => Some("set log.format = \"text\"".into()),
            Self::Secret(error) => error.remedy(),
            Self::Tags(error) => error.remedy(),
            Self::Address(error) => error.remedy(),
            Self::Bind(error) => error.remedy(),
            Self::Rpc(error) => error.remedy(),
            Self::Discover(_) => Some("change or remove gossip.discover".into()),
        }
    }
}

pub use self::address::AddressError;
pub use self::bind::{BindError, Setting, Transport};
pub use self::keyring::LoadError as SecretError;
pub use self::tags_file::TagsFileError;
pub use crate::rpc::server::ListenError;

/// Runs an agent until it leaves or is stopped. Blocks the calling thread, which becomes the agent's.
pub fn run(mut start: Start) -> Result<Exit, AgentError> {
    signal::unblock().map_err(AgentError::System)?;
    let options = &start.loaded.config.log;
    let log = match start.console.take() {
        Some(console) => Log::to_console(options, console)?,
        None => Log::open(options)?,
    };
    log.install();
    // Its end gets the last lines out, after a panic, too.
    let log = LastLines(log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_stack_size(BLOCKING_STACK_BYTES)
        .build()
        .map_err(AgentError::System)?;
    let exit = runtime.block_on(async { Ok(driver::start(start, log.0.clone()).await?.run().await) });
    // A disk or resolver that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    exit
}

struct LastLines(Log);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.end();
    }
}
