//! `weir reload`: the agent reads its configuration again, as on SIGHUP, and says what changed.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use super::table::{Layout, Table};

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

/// The agent's answer to `weir-reload`, and the document of `--format json`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Reloaded {
    #[serde(default)]
    changes: Vec<Change>,
}

/// A key whose value differs; values are TOML.
#[derive(Debug, Deserialize, Serialize)]
struct Change {
    key: String,
    before: Option<String>,
    after: Option<String>,
    /// `live` or `restart`.
    when: String,
}

impl Reload {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let document = json!({ "dry_run": self.dry_run });
        let answer = session.weir("weir-reload", &document).await.map_err(|error| refused(error, output))?;
        let reloaded: Reloaded = serde_json::from_value(answer)
            .map_err(|error| Failure::new(Exit::Failed, format!("the agent's answer is not understood: {error}")))?;
        if output.is_json() {
            output.json(&reloaded)?;
        } else if reloaded.changes.is_empty() {
            output.notice("nothing changed");
        } else {
            output.text(&render(&reloaded, output.layout(self.header, false)))?;
        }
        Ok(Exit::Done)
    }
}

/// A bad file changes nothing; its mistakes come as lines before the error.
fn refused(error: SessionError, output: &Output) -> Failure {
    match error {
        SessionError::Refused(text) if text == crate::rpc::proto::text::UNSUPPORTED_COMMAND => {
            Failure::new(Exit::Failed, "this agent does not reload on request").with_remedy("send it SIGHUP")
        }
        SessionError::Refused(text) => {
            let mut lines: Vec<&str> = text.lines().collect();
            let last = lines.pop().unwrap_or_default().trim_start_matches("error: ").to_owned();
            lines.iter().for_each(|line| output.detail(&super::escape::escape(line)));
            Failure::new(Exit::Configuration, last).with_remedy("the running agent keeps its configuration")
        }
        error @ SessionError::Lost(_) => error.into(),
    }
}

/// The table of changes.
fn render(reloaded: &Reloaded, layout: Layout) -> String {
    let mut table = Table::new(&["KEY", "BEFORE", "AFTER", "WHEN"]);
    for change in &reloaded.changes {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([change.key.clone(), value(&change.before), value(&change.after), change.when.clone()]);
    }
    table.render(layout, |_, text| text.to_owned())
}
