//! `weir tags`: change the tags of the agent's node.

use std::collections::BTreeMap;

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::rpc::refusal::{Kind, Refusal};

/// Change the tags of this node.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").args(["set", "delete"]).required(true).multiple(true)))]
pub(crate) struct Tags {
    /// Set a tag; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::parse::tag)]
    set: Vec<(String, String)>,
    /// Remove a tag if it is there; repeatable
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Tags {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let set: BTreeMap<String, String> = self.set.iter().cloned().collect();
        session.set_tags(&set, &self.delete).await.map_err(|error| self.explain(error))?;
        if output.is_json() {
            output.json(&json!({ "set": set, "deleted": self.delete }))?;
        } else {
            output.text("Successfully updated agent tags\n")?;
        }
        Ok(Exit::Done)
    }

    /// Too many bytes: the longest of the new tags is the one to shorten.
    fn explain(&self, error: SessionError) -> Failure {
        let is_too_long = matches!(&error, SessionError::Refused(Refusal { kind: Kind::TooLarge { .. }, .. }));
        let failure = Failure::from(error);
        match self.set.iter().max_by_key(|(key, value)| key.len() + value.len()) {
            Some((key, value)) if is_too_long => {
                failure.with_remedy(format!("shorten '{key}' ({} bytes)", key.len() + value.len()))
            }
            _ => failure,
        }
    }
}
