//! `weir agent`: flags to a configuration, and the agent's end to an exit code.
//!
//! The flags are Serf's (`cli §3`) and a few of ours. Their values are checked with all others, so that one run lists
//! every mistake.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::agent::{self, AgentError};
use crate::config::{self, ConfigErrors, FLAGS, Flag, Mode, Overrides, Source, Sources, Takes};

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
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value)
        .help(flag.help)
        .hide(flag.hidden)
        .value_parser(|text: &str| flag.read(text).map(drop));
    match flag.takes {
        Takes::Text | Takes::Number => arg,
        Takes::Texts => arg.action(ArgAction::Append),
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
        let loaded = config::load(&sources).map_err(|errors| configuration(&errors, output))?;
        let mode = loaded.config.mode;
        let exit = agent::run(agent::Start { loaded, sources, console: None }).map_err(|error| failure(&error))?;
        Ok(exit_code(exit, mode))
    }
}

/// All mistakes, a line each; the failure is their sum.
pub(crate) fn configuration(errors: &ConfigErrors, output: &Output) -> Failure {
    for mistake in errors.mistakes() {
        output.detail(&crate::escape::escape(&mistake.to_string()));
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
        AgentError::Secret(_)
        | AgentError::Tags(_)
        | AgentError::Address(_)
        | AgentError::Discover(_)
        | AgentError::Log(_) => Exit::Configuration,
        AgentError::System(_) | AgentError::Bind(_) | AgentError::Rpc { .. } => Exit::Failed,
    };
    Failure::of_error(exit, error)
}
