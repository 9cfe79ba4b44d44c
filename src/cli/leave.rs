//! `weir leave`: drain, leave the cluster, stop the agent.

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::Session;

/// Make the agent leave the cluster and stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    #[command(flatten)]
    agent: AgentArgs,
}

impl Leave {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        session.leave().await?;
        if output.is_json() {
            output.json(&json!({ "left": true }))?;
        } else {
            output.text("Graceful leave complete\n")?;
        }
        Ok(Exit::Done)
    }
}
