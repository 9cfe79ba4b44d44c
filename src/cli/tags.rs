//! `weir tags`: show or change the tags of the agent's node.

use std::collections::BTreeMap;

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use super::session::{Session, SessionError};
use crate::escape::escape;
use crate::rpc::proto::MembersQuery;
use crate::rpc::refusal::{Kind, Refusal};

/// Show the tags of this node, or change them.
#[derive(Debug, clap::Args)]
pub(crate) struct Tags {
    /// Set a tag; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::tag)]
    set: Vec<(String, String)>,
    /// Remove a tag if it is there; repeatable
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Tags {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let set = self.to_set()?;
        let mut session = Session::open(&self.agent, output).await?;
        if set.is_empty() && self.delete.is_empty() {
            return show(&own(&mut session).await?, output);
        }
        session.set_tags(&set, &self.delete).await.map_err(|error| self.explain(error))?;
        if output.is_json() {
            output.json(&json!({ "set": set, "deleted": self.delete }))?;
        } else {
            output.text("Successfully updated agent tags\n")?;
        }
        Ok(Exit::Done)
    }

    fn to_set(&self) -> Result<BTreeMap<String, String>, Failure> {
        let set = parse::tags(self.set.iter().cloned(), |tag, _, _| format!("give one '--set {tag}=VALUE'"))?;
        match self.delete.iter().find(|tag| set.contains_key(*tag)) {
            None => Ok(set),
            Some(tag) => Err(Failure::usage(format!("tag '{tag}' is to be set and deleted"))
                .with_remedy(format!("give '--set {tag}=VALUE' or '--delete {tag}'"))),
        }
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

/// The tags of the agent's own node, which every agent tells as those of a member.
async fn own(session: &mut Session) -> Result<BTreeMap<String, String>, Failure> {
    let name = session.own_name().await?;
    let query = MembersQuery { name: regex::escape(&name), ..MembersQuery::default() };
    let own = session.members(&query).await?.into_iter().find(|member| member.name == name);
    Ok(own.map(|member| member.tags).unwrap_or_default())
}

/// A line each, as `--set` takes it.
fn show(tags: &BTreeMap<String, String>, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(&json!({ "tags": tags }))?;
    } else if tags.is_empty() {
        output.notice("this node has no tags");
    } else {
        output.text(
            &tags.iter().map(|(tag, value)| format!("{}={}\n", escape(tag), escape(value))).collect::<String>(),
        )?;
    }
    Ok(Exit::Done)
}
