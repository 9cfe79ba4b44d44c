//! `weir upstream`: the servers of a balancer, what changed them, and an operator's say in it.

mod change;
pub(super) mod explain;
mod history;
mod plan;
mod render;
pub(super) mod show;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Look at the servers of a balancer, go back, freeze and thaw.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Upstream {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(show::Show),
    Explain(explain::Explain),
    Plan(plan::Plan),
    History(history::History),
    Diff(history::Diff),
    Rollback(change::Rollback),
    Hold(change::Hold),
    Release(change::Release),
    Render(render::Render),
}

impl Upstream {
    /// Whether only an interrupt ends it.
    pub(crate) const fn is_endless(&self) -> bool {
        matches!(&self.action, Action::Show(show) if show.watch.is_some())
    }

    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.action {
            Action::Show(show) => show.run(output).await,
            Action::Explain(explain) => explain.run(output).await,
            Action::Plan(plan) => plan.run(output).await,
            Action::History(history) => history.run(output).await,
            Action::Diff(diff) => diff.run(output).await,
            Action::Rollback(rollback) => rollback.run(output).await,
            Action::Hold(hold) => hold.run(output).await,
            Action::Release(release) => release.run(output).await,
            Action::Render(render) => render.run(output).await,
        }
    }
}

/// `api, web are`.
fn are(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}
