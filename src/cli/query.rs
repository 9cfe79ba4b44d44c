//! `weir query`: ask members and show their answers.
//!
//! The reference always waits the whole timeout. Here the wait ends as soon as every live member that was asked has
//! answered, since nothing more can come; and silence is not success.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex::Regex;
use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::{Failure, no_member};
use super::members::Member;
use super::output::Output;
use super::parse;
use super::session::Session;
use crate::escape::{escape, escape_bytes};
use crate::rpc::proto::{MembersQuery, QueryRecord};
use crate::serf::{QueryParams, Status, filter};

/// Ask members a question and show their answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Query {
    /// The query's name; handlers filter by it
    name: String,
    /// What it carries
    payload: Option<String>,
    /// Only ask this member; repeatable
    #[arg(long = "node", value_name = "MEMBER")]
    nodes: Vec<String>,
    /// Only ask members whose tag matches; repeatable, all must match
    #[arg(long = "tag", value_name = "KEY=REGEX", value_parser = parse::tag)]
    tags: Vec<(String, String)>,
    /// How long to wait; the agent's default depends on the size of the cluster
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// Do not ask for acknowledgements
    #[arg(long)]
    no_ack: bool,
    /// How many other members relay each answer, against loss
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    relay_factor: u8,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Who answered what, as JSON shows it: Serf's names, and no nulls.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Answers {
    #[serde(rename = "Acks")]
    acks: BTreeSet<String>,
    #[serde(rename = "Responses")]
    responses: BTreeMap<String, String>,
}

impl Query {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let tags = parse::tag_filters(self.tags.iter().cloned())?;
        let patterns = compiled(&tags)?;
        let mut session = Session::open(&self.agent, output).await?;
        let expected = self.expected(&patterns, &mut session).await?;
        session.query(self.question(tags)).await?;
        if !output.is_json() {
            output.text(&format!("Query '{}' dispatched\n", escape(&self.name)))?;
        }
        let mut answers = Answers::default();
        loop {
            let answer = session.answer().await?;
            if !output.is_json() {
                output.text(&line(&answer))?;
            }
            match answer {
                QueryRecord::Ack { from } => drop(answers.acks.insert(from)),
                QueryRecord::Response { from, payload } => drop(answers.responses.insert(from, text(&payload))),
                QueryRecord::Done => break,
            }
            if expected.iter().all(|name| answers.responses.contains_key(name)) && !expected.is_empty() {
                break;
            }
        }
        self.report(&answers, output)
    }

    fn question(&self, tags: BTreeMap<String, String>) -> QueryParams {
        QueryParams {
            name: self.name.clone(),
            payload: self.payload.clone().unwrap_or_default().into(),
            nodes: self.nodes.clone(),
            tags: tags.into_iter().collect(),
            timeout: self.timeout,
            ack: !self.no_ack,
            relay_factor: self.relay_factor,
        }
    }

    /// The live members that are asked.
    async fn expected(&self, tags: &[(&str, Regex)], session: &mut Session) -> Result<BTreeSet<String>, Failure> {
        if !self.nodes.is_empty() {
            let members = session.members(&MembersQuery::default()).await?;
            let names = || members.iter().map(|member| member.name.as_str());
            if let Some(unknown) = self.nodes.iter().find(|node| !names().any(|name| name == *node)) {
                return Err(no_member(unknown, names()));
            }
        }
        let query = MembersQuery { status: Status::Alive.as_str().to_owned(), ..MembersQuery::default() };
        let is_asked = |member: &Member| {
            (self.nodes.is_empty() || self.nodes.contains(&member.name))
                && tags.iter().all(|(tag, regex)| regex.is_match(member.tags.get(*tag).map_or("", String::as_str)))
        };
        let alive = session.members(&query).await?;
        Ok(alive.into_iter().filter(is_asked).map(|member| member.name).collect())
    }

    fn report(&self, answers: &Answers, output: &Output) -> Result<Exit, Failure> {
        if !output.is_json() {
            output.text(&totals(answers, !self.no_ack))?;
        }
        if answers.acks.is_empty() && answers.responses.is_empty() {
            return Err(Failure::new(Exit::Incomplete, format!("nobody answered the query '{}' in time", self.name))
                .with_remedy("see 'weir members' for who could"));
        }
        if output.is_json() {
            output.json(answers)?;
        }
        Ok(Exit::Done)
    }
}

/// Patterns as members apply them to a query's tags: unlike those of `members`, they match anywhere.
fn compiled(tags: &BTreeMap<String, String>) -> Result<Vec<(&str, Regex)>, Failure> {
    let mut compiled = Vec::with_capacity(tags.len());
    for (tag, pattern) in tags {
        let invalid = |error| Failure::usage(format!("invalid expression for tag '{tag}': {error}"));
        compiled.push((tag.as_str(), filter::compile(pattern).map_err(invalid)?));
    }
    Ok(compiled)
}

/// An answer as text, in the order of arrival; a last line end does not count.
pub(crate) fn line(answer: &QueryRecord) -> String {
    match answer {
        QueryRecord::Ack { from } => format!("Ack from '{}'\n", escape(from)),
        QueryRecord::Response { from, payload } => {
            let payload = payload.strip_suffix(b"\n").unwrap_or(payload);
            format!("Response from '{}': {}\n", escape(from), escape_bytes(payload))
        }
        QueryRecord::Done => String::new(),
    }
}

/// The last lines of the text.
pub(crate) fn totals(answers: &Answers, with_acks: bool) -> String {
    let mut out = String::new();
    if with_acks {
        out.push_str(&format!("Total Acks: {}\n", answers.acks.len()));
    }
    out + &format!("Total Responses: {}\n", answers.responses.len())
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}
