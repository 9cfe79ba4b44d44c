//! `weir info`: counters and settings of the agent, in groups.

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::escape::escape;
use crate::rpc::proto::Stats;
use crate::rpc::weir::NodeStatus;
use crate::status::groups::groups;

/// Show counters and settings of the agent.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    #[command(flatten)]
    agent: AgentArgs,
}

impl Info {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let stats = match session.weir(&NodeStatus::default()).await {
            Ok(document) => groups(&document),
            // Serf's agent, or an older one of ours, has nothing but text.
            Err(SessionError::Unsupported(_)) => session.stats().await?,
            Err(error) => return Err(error.into()),
        };
        if output.is_json() {
            output.json(&stats)?;
        } else {
            output.text(&render(&stats))?;
        }
        Ok(Exit::Done)
    }
}

/// Groups and keys in order, a tab before each value's name.
pub(crate) fn render(stats: &Stats) -> String {
    let mut out = String::new();
    for (group, values) in stats {
        out.push_str(&format!("{}:\n", escape(group)));
        for (key, value) in values {
            out.push_str(&format!("\t{} = {}\n", escape(key), escape(value)));
        }
    }
    out
}
