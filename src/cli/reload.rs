//! `weir reload`: the agent reads its configuration again, as on SIGHUP, and says what changed.

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use super::table::{Layout, Table};
use crate::escape::escape;
use crate::rpc::weir::{self, Reloaded};

/// Make the agent read its configuration again.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Name the columns also in a pipe
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Reload {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let request = weir::Reload { dry_run: self.dry_run };
        let reloaded = session.weir(&request).await.map_err(|error| refused(error, output))?;
        if output.is_json() {
            output.json(&reloaded)?;
        } else if reloaded.changes.is_empty() {
            output.notice(if self.dry_run { "no setting would change" } else { NOTHING });
        } else {
            output.text(&render(&reloaded, output.layout(self.header, false)))?;
        }
        Ok(Exit::Done)
    }
}

/// Templates, certificates and what NGINX reads may be others all the same.
const NOTHING: &str = "no setting changed; the files that they name are looked at again";

/// A bad file changes nothing; its mistakes come as lines before the error.
fn refused(error: SessionError, output: &Output) -> Failure {
    match error {
        SessionError::Unsupported(_) => {
            Failure::new(Exit::Failed, "this agent does not reload on request").with_remedy("send it SIGHUP")
        }
        SessionError::Refused(refusal) => {
            refusal.details.iter().for_each(|line| output.detail(&escape(line)));
            refusal.into()
        }
        SessionError::Lost(failure) => failure,
    }
}

/// The table of changes.
fn render(reloaded: &Reloaded, layout: Layout) -> String {
    let mut table = Table::new(&["KEY", "BEFORE", "AFTER", "WHEN"]);
    for change in &reloaded.changes {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([change.key.clone(), value(&change.before), value(&change.after), change.when.to_string()]);
    }
    table.render(layout, |_, text| text.to_owned())
}
