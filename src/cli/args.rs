//! The one clap definition: commands, help, man pages and completions all come from it.

use std::ffi::OsString;

use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::exit::Exit;
use super::output::{Color, Format};

/// Encrypted, self-configuring load-balancer cluster: gossip members, keep NGINX's upstreams in step with them.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    disable_version_flag = true,
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

/// Where help lists what every command understands.
const EVERYWHERE: &str = "Options of every command";

/// What every command understands.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Global {
    /// How to write answers: text or json
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = EVERYWHERE,
        hide_possible_values = true)]
    pub(crate) format: Format,
    /// When to colour answers: auto (on a terminal, unless NO_COLOR is set or TERM is dumb), always or never
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = EVERYWHERE,
        hide_possible_values = true)]
    pub(crate) color: Color,
    /// No notices and no progress
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Access(super::access::Access),
    Agent(super::agent::Agent),
    Apply(super::apply::Apply),
    #[command(flatten)]
    Client(Client),
    Config(super::config::Config),
    Demo(super::demo::Demo),
    Doctor(super::doctor::Doctor),
    Init(Box<super::init::Init>),
    /// Simulate thousands of nodes in virtual time
    Sim(super::sim::Sim),
    Keygen(super::keygen::Keygen),
    Version(super::version::Version),
    Completions(super::completions::Completions),
    Man(super::man::Man),
}

/// What to ask a running agent for.
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    Status(super::status::Status),
    Upstream(super::upstream::Upstream),
    Explain(super::upstream::explain::Explain),
    Check(super::check::Check),
    Members(super::members::Members),
    Health(super::health::Health),
    Join(super::join::Join),
    Drain(super::drain::Drain),
    Leave(super::leave::Leave),
    ForceLeave(super::force_leave::ForceLeave),
    Event(super::event::Event),
    Query(super::query::Query),
    Tags(super::tags::Tags),
    Keys(Box<super::keys::Keys>),
    Info(super::info::Info),
    Monitor(super::monitor::Monitor),
    Reachability(super::reachability::Reachability),
    Rtt(super::rtt::Rtt),
    Reload(super::reload::Reload),
}

impl Client {
    /// Whether only an interrupt ends it.
    pub(crate) const fn is_endless(&self) -> bool {
        match self {
            Self::Monitor(_) => true,
            Self::Members(members) => members.watch.is_some(),
            Self::Health(health) => health.watch.is_some(),
            Self::Status(status) => status.watch.is_some(),
            Self::Upstream(upstream) => upstream.is_endless(),
            Self::Check(check) => check.is_endless(),
            Self::Keys(keys) => keys.is_endless(),
            Self::Join(_)
            | Self::Drain(_)
            | Self::Leave(_)
            | Self::ForceLeave(_)
            | Self::Event(_)
            | Self::Query(_)
            | Self::Tags(_)
            | Self::Explain(_)
            | Self::Info(_)
            | Self::Reachability(_)
            | Self::Rtt(_)
            | Self::Reload(_) => false,
        }
    }
}

/// The whole definition, as clap sees it.
pub(crate) fn definition() -> clap::Command {
    counted_once(Cli::command())
}

/// Reads what was typed, the program's name first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&definition().try_get_matches_from(args)?)
}

/// Of a flag that is given twice, and of an option that every command understands, the last one counts. Any other option that
/// takes one value would lose the first without a word, so that is a mistake.
fn counted_once(command: clap::Command) -> clap::Command {
    let repeatable = |arg: &Arg| arg.is_global_set() || matches!(arg.get_action(), ArgAction::SetTrue);
    let last_counts = |arg: Arg| if repeatable(&arg) { arg.clone().overrides_with(arg.get_id()) } else { arg };
    command.mut_args(last_counts).mut_subcommands(counted_once)
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
