//! The one clap definition: commands, help, man pages and completions all come from it.

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

use super::exit::Exit;
use super::output::{Color, Format};

/// Encrypted, self-configuring load-balancer cluster: gossip members, keep NGINX's upstreams in step with them.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    disable_version_flag = true,
    args_override_self = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = exit_codes()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Global {
    /// How to write answers
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// When to colour answers
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    /// No notices and no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Agent(super::agent::Agent),
    Config(super::config::Config),
    Demo(super::demo::Demo),
    Keygen(super::keygen::Keygen),
    Version(super::version::Version),
    Completions(super::completions::Completions),
    Man(super::man::Man),
}

/// The whole definition, as clap sees it.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// The exit codes, for help and the man page.
fn exit_codes() -> String {
    let mut out = "Exit codes:\n".to_owned();
    for exit in Exit::ALL {
        out.push_str(&format!("  {:<5}{}\n", exit.code(), exit.meaning()));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_sound() {
        super::definition().debug_assert();
    }
}
