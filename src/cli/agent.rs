//! `weir agent`: flags to a configuration, and the agent's end to an exit code.
//!
//! The flags are Serf's (`cli §3`) and a few of ours. Their values are checked with all others, so that one run lists
//! every mistake.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::agent::{self, AgentError, ListenError};
use crate::config::{self, ConfigErrors, FLAGS, Flag, Mode, Origin, Overrides, Source, Sources, Takes};
use crate::escape::escape;

/// Run the agent until it is told to stop.
// Serf's flags: the last one counts.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Agent {
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    flags: Flags,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
}

/// What may be said on the command line instead of in a file.
#[derive(Debug)]
struct Flags(Overrides);

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(FLAGS.iter().map(argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn argument(flag: &'static Flag) -> Arg {
    // All that is given is kept: of two values one is lost, and that is to be told.
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value)
        .help(flag.help)
        .hide(flag.hidden)
        .action(ArgAction::Append)
        .value_parser(|text: &str| flag.read(text).map(drop));
    match flag.takes {
        Takes::Text | Takes::Number | Takes::Texts => arg,
        Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Overrides::default();
        for flag in &FLAGS {
            for text in matches.get_raw(flag.name).into_iter().flatten() {
                let given = overrides.give(flag.name, &text.to_string_lossy());
                given.map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error))?;
            }
        }
        Ok(Self(overrides))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `--config-file` and `--config-dir`, in the order they were given: later ones win.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(pub(crate) Vec<Source>);

/// A flag that names configuration.
pub(crate) struct PathFlag {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) source: fn(PathBuf) -> Source,
}

pub(crate) const PATHS: [PathFlag; 2] = [
    PathFlag {
        name: "config-file",
        value: "FILE",
        help: "Configuration: TOML, or Serf's JSON; repeatable [env: WEIR_CONFIG]",
        source: Source::File,
    },
    PathFlag {
        name: "config-dir",
        value: "DIR",
        help: "Directory of .toml and .json files, read by name; repeatable",
        source: Source::Dir,
    },
];

impl clap::Args for Paths {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(PATHS.iter().map(|path| {
            Arg::new(path.name)
                .long(path.name)
                .value_name(path.value)
                .help(path.help)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Paths {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all = Vec::new();
        for PathFlag { name, source, .. } in &PATHS {
            let places = matches.indices_of(name).into_iter().flatten();
            let paths = matches.get_many::<PathBuf>(name).into_iter().flatten().cloned();
            all.extend(places.zip(paths.map(source)));
        }
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
        let sources = Sources::here(self.paths.0, self.flags.0, false);
        if self.check {
            return super::config::check(&sources, output);
        }
        if sources.paths.is_empty() && Path::new(super::config::DEFAULT).exists() {
            output.notice(UNREAD);
        }
        let loaded = config::load(&sources).map_err(|errors| configuration(&errors, output))?;
        for notice in loaded.notices.iter().filter(|notice| notice.at != Origin::Default) {
            output.notice(&format!("notice: {}", escape(&notice.to_string())));
        }
        let mode = loaded.config.mode;
        let exit = agent::run(agent::Start { loaded, sources, console: None }).map_err(|error| failure(&error))?;
        Ok(exit_code(exit, mode))
    }
}

/// What a start by hand may not know (`ux §1.1`).
const UNREAD: &str = "notice: /etc/weir/weir.toml is not read; name it with --config-file, as the unit does";

/// All mistakes, a line each; the failure is their sum.
pub(crate) fn configuration(errors: &ConfigErrors, output: &Output) -> Failure {
    for mistake in errors.mistakes() {
        output.detail(&escape(&mistake.to_string()));
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

/// Why the agent did not start. Only what is wrong in its files has the code for which systemd does not try again: what the
/// host lacks now it may have in a moment.
pub(crate) fn failure(error: &AgentError) -> Failure {
    let exit = match error {
        AgentError::Secret(error) if error.is_in_file() => Exit::Configuration,
        AgentError::Rpc(ListenError::TokenRequired { .. }) => Exit::Configuration,
        AgentError::Tags(_) => Exit::Configuration,
        AgentError::Secret(_)
        | AgentError::Rpc(_)
        | AgentError::System(_)
        | AgentError::Address(_)
        | AgentError::Bind(_)
        | AgentError::Discover(_)
        | AgentError::Log(_) => Exit::Failed,
    };
    Failure::of_error(exit, error)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::agent::{AddressError, BindError, SecretError};
    use crate::crypto::KeyringError;

    /// Every way in which a start can fail. The unit tries again after 1 and gives up after 5.
    #[test]
    fn what_time_can_cure_is_tried_again() {
        let path = || PathBuf::from("/x");
        let addr = || "10.0.0.1:7946".parse().unwrap();
        let system = |kind: io::ErrorKind| kind.into();
        let read = |kind| AgentError::Secret(SecretError::Read { path: path(), source: system(kind) });
        let (name, group, has) = (|| "wg0".to_owned(), || "weir".to_owned(), || "10.0.0.2".to_owned());
        let (transport, setting) = (agent::Transport::Udp, agent::Setting::GossipBind);
        for (error, exit) in [
            (AgentError::Address(AddressError::Unaddressed { name: name() }), Exit::Failed),
            (AgentError::Address(AddressError::NoInterface { name: name(), has: vec![] }), Exit::Failed),
            (AgentError::Address(AddressError::NoPrivate(vec![])), Exit::Failed),
            (AgentError::Address(AddressError::NoIpv4(vec![])), Exit::Failed),
            (AgentError::Address(AddressError::Ambiguous(vec![])), Exit::Failed),
            (AgentError::Bind(BindError::NoSuchAddress { addr: addr(), setting, has: has() }), Exit::Failed),
            (AgentError::Bind(BindError::InUse { addr: addr(), transport, setting }), Exit::Failed),
            (
                AgentError::Bind(BindError::InUseBy {
                    addr: addr(),
                    transport,
                    setting,
                    name: name(),
                    pid: 1,
                    service: true,
                }),
                Exit::Failed,
            ),
            (
                AgentError::Bind(BindError::Other {
                    addr: addr(),
                    transport,
                    source: system(io::ErrorKind::PermissionDenied),
                }),
                Exit::Failed,
            ),
            (AgentError::Rpc(ListenError::InUse { path: path() }), Exit::Failed),
            (AgentError::Rpc(ListenError::NotASocket { path: path() }), Exit::Failed),
            (AgentError::Rpc(ListenError::NoDirectory { path: path(), directory: path() }), Exit::Failed),
            (AgentError::Rpc(ListenError::NoGroup { group: group() }), Exit::Failed),
            (
                AgentError::Rpc(ListenError::Tcp { addr: addr(), source: system(io::ErrorKind::AddrNotAvailable) }),
                Exit::Failed,
            ),
            (AgentError::Rpc(ListenError::TokenRequired { addr: addr() }), Exit::Configuration),
            (AgentError::Secret(SecretError::Missing(path())), Exit::Configuration),
            (AgentError::Secret(SecretError::Readable { path: path(), mode: 0o644 }), Exit::Configuration),
            (AgentError::Secret(SecretError::Length { path: path(), length: 3 }), Exit::Configuration),
            (
                AgentError::Secret(SecretError::Invalid { path: path(), source: KeyringError::Empty }),
                Exit::Configuration,
            ),
            (AgentError::Secret(SecretError::NoCredential(name())), Exit::Configuration),
            (AgentError::Secret(SecretError::EmptyToken), Exit::Configuration),
            (read(io::ErrorKind::PermissionDenied), Exit::Configuration),
            (read(io::ErrorKind::IsADirectory), Exit::Configuration),
            (read(io::ErrorKind::NotFound), Exit::Configuration),
            (read(io::ErrorKind::StaleNetworkFileHandle), Exit::Failed),
            (read(io::ErrorKind::TimedOut), Exit::Failed),
            (AgentError::Discover("no multicast".to_owned()), Exit::Failed),
            (AgentError::Log(system(io::ErrorKind::NotFound)), Exit::Failed),
            (AgentError::System(system(io::ErrorKind::OutOfMemory)), Exit::Failed),
        ] {
            assert_eq!(failure(&error).exit(), exit, "{error:?}");
        }
    }
}
