//! `weir agent`: flags to a configuration, and the agent's end to an exit code.
//!
//! The flags are Serf's (`cli.md` §3) and a few of ours. Their values are checked with all others, so that one run lists
//! every mistake.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::agent::{self, AgentError};
use crate::config::{self, ConfigErrors, Mode, Overrides, Secret, Source, Sources};

/// Run the agent until it is told to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    flags: Box<Flags>,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
}

/// What may be said on the command line instead of in a file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Name of this node, unique in the cluster [node.name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Tag of this node; repeatable [node.tags]
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) tag: Vec<String>,
    /// Serf's tag `role`; --tag role=ROLE says the same
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Serf's file of tags, imported once
    #[arg(long, value_name = "FILE")]
    pub(crate) tags_file: Option<String>,
    /// Address or interface to listen on for gossip [gossip.bind]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<String>,
    /// Interface to listen on for gossip, if not named in --bind
    #[arg(long, value_name = "NAME")]
    pub(crate) iface: Option<String>,
    /// Address that others use [gossip.advertise]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) advertise: Option<String>,
    /// Join this member, or stop if none answers; repeatable
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) join: Vec<String>,
    /// Join this member, trying until it answers; repeatable [gossip.join]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) retry_join: Vec<String>,
    /// Time between two tries [gossip.join_retry_interval]
    #[arg(long, value_name = "DURATION")]
    pub(crate) retry_interval: Option<String>,
    /// Most tries; 0 is no limit [gossip.join_retry_max]
    #[arg(long, value_name = "COUNT")]
    pub(crate) retry_max: Option<i64>,
    /// Deliver user events older than our join [gossip.replay_on_join]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) replay: Option<bool>,
    /// Find and join peers of this name by mDNS [gossip.discover]
    #[arg(long, value_name = "NAME")]
    pub(crate) discover: Option<String>,
    /// Serf's; the interface comes from --bind
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) mdns_iface: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) mdns_disable_ipv4: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) mdns_disable_ipv6: Option<bool>,
    /// Timing: lan, wan or local [gossip.profile]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// Version of the Serf protocol, 2 to 5
    #[arg(long, value_name = "VERSION")]
    pub(crate) protocol: Option<i64>,
    /// memberlist label, the same on every node [gossip.label]
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// Send messages uncompressed [gossip.compression]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) disable_compression: Option<bool>,
    /// Longest wait for a leave to be heard [gossip.broadcast_timeout]
    #[arg(long, value_name = "DURATION")]
    pub(crate) broadcast_timeout: Option<String>,
    /// File with the keys for gossip [encryption.keyring]
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring_file: Option<String>,
    /// Key for gossip; others can see it in the process list
    #[arg(long, value_name = "KEY")]
    pub(crate) encrypt: Option<String>,
    /// Envelope: auto, session, memberlist or off [encryption.seal]
    #[arg(long, value_name = "SEAL")]
    pub(crate) seal: Option<String>,
    /// File to rejoin from after a restart [snapshot.path]
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<String>,
    /// Rejoin also after a leave [snapshot.rejoin_after_leave]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) rejoin: Option<bool>,
    /// Script for events, [FILTER=]COMMAND; repeatable [handler.*]
    #[arg(long, value_name = "HANDLER")]
    pub(crate) event_handler: Vec<String>,
    /// Address to listen on for RPC [rpc.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) rpc_addr: Option<String>,
    /// Unix socket to listen on for RPC [rpc.socket]
    #[arg(long, value_name = "PATH")]
    pub(crate) rpc_socket: Option<String>,
    /// File with the token of RPC clients [rpc.token_file]
    #[arg(long, value_name = "FILE")]
    pub(crate) rpc_token_file: Option<String>,
    /// Token of RPC clients; others can see it in the process list
    #[arg(long, value_name = "TOKEN")]
    pub(crate) rpc_auth: Option<String>,
    /// Least level of log lines, or per part [log.level]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Where and how to log: auto, journald, text or json [log.format]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Serf's; logs go to the journal
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::parse::boolean)]
    pub(crate) syslog: Option<bool>,
}

impl Flags {
    /// The same for `config`, which checks them.
    pub(crate) fn into_overrides(self) -> Overrides {
        Overrides {
            node: self.node,
            role: self.role,
            tag: self.tag,
            tags_file: self.tags_file,
            bind: self.bind,
            iface: self.iface,
            advertise: self.advertise,
            encrypt: self.encrypt.map(Secret::new),
            keyring_file: self.keyring_file,
            log_level: self.log_level,
            rpc_addr: self.rpc_addr,
            protocol: self.protocol,
            replay: self.replay,
            join: self.join,
            retry_join: self.retry_join,
            retry_max: self.retry_max,
            retry_interval: self.retry_interval,
            event_handler: self.event_handler,
            profile: self.profile,
            snapshot: self.snapshot,
            rejoin: self.rejoin,
            discover: self.discover,
            mdns_iface: self.mdns_iface,
            mdns_disable_ipv4: self.mdns_disable_ipv4,
            mdns_disable_ipv6: self.mdns_disable_ipv6,
            syslog: self.syslog,
            broadcast_timeout: self.broadcast_timeout,
            disable_compression: self.disable_compression,
            rpc_auth: self.rpc_auth.map(Secret::new),
            rpc_token_file: self.rpc_token_file,
            rpc_socket: self.rpc_socket,
            seal: self.seal,
            label: self.label,
            log_format: self.log_format,
        }
    }
}

/// `--config-file` and `--config-dir`, in the order they were given: later ones win.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(pub(crate) Vec<Source>);

const FILE: &str = "config-file";
const DIR: &str = "config-dir";

impl clap::Args for Paths {
    fn augment_args(command: clap::Command) -> clap::Command {
        let path = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
        };
        command.arg(path(FILE, "FILE", "Configuration: TOML, or Serf's JSON; repeatable [env: WEIR_CONFIG]")).arg(path(
            DIR,
            "DIR",
            "Directory of .toml and .json files, read by name; repeatable",
        ))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Paths {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let collect = |name: &str, source: fn(PathBuf) -> Source| {
            let places = matches.indices_of(name).into_iter().flatten();
            let paths = matches.get_many::<PathBuf>(name).into_iter().flatten();
            places.zip(paths).map(|(place, path)| (place, source(path.clone()))).collect::<Vec<_>>()
        };
        let mut all = [collect(FILE, Source::File), collect(DIR, Source::Dir)].concat();
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, source)| source).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Agent {
    /// Runs the agent in this process. It has its own runtime.
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let sources = Sources::here(self.paths.0, self.flags.into_overrides(), false);
        if self.check {
            return super::config::check(&sources, output);
        }
        let loaded = config::load(&sources).map_err(|errors| configuration(&errors, output))?;
        let mode = loaded.config.mode;
        let exit = agent::run(agent::Start { loaded, sources, on_ready: None, console: None })
            .map_err(|error| failure(&error))?;
        Ok(exit_code(exit, mode))
    }
}

/// All mistakes, a line each; the failure is their sum.
pub(crate) fn configuration(errors: &ConfigErrors, output: &Output) -> Failure {
    for mistake in errors.mistakes() {
        output.detail(&super::escape::escape(&mistake.to_string()));
    }
    Failure::new(Exit::Configuration, errors.summary())
}

/// What a shell sees of the agent's end. Serf ends with 1 where the cluster was not told.
pub(crate) const fn exit_code(exit: agent::Exit, mode: Mode) -> Exit {
    match (exit, mode) {
        (agent::Exit::Left, _) | (agent::Exit::Stopped, Mode::Weir) => Exit::Done,
        (agent::Exit::Interrupted, Mode::Weir) => Exit::Interrupted,
        (agent::Exit::Stopped | agent::Exit::Interrupted, Mode::Serf) | (agent::Exit::JoinGaveUp, _) => Exit::Failed,
    }
}

/// Why the agent did not start. What only another configuration can cure has its own code, so that systemd does not try
/// again and again.
pub(crate) fn failure(error: &AgentError) -> Failure {
    let exit = match error {
        AgentError::Secret(_) | AgentError::Address(_) | AgentError::Discover(_) | AgentError::Log(_) => {
            Exit::Configuration
        }
        AgentError::System(_) | AgentError::Bind(_) | AgentError::Rpc { .. } | AgentError::Snapshot { .. } => {
            Exit::Failed
        }
    };
    Failure::of_error(exit, error)
}
