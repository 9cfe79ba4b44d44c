//! `weir members`: who is in the cluster, as the agent sees it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use regex::Regex;
use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use super::session::Session;
use super::table::{Layout, Table};
use super::watch::Watch;
use crate::health::query::Check;
use crate::rpc::proto::{self, MemberFilter, MembersQuery};
use crate::rpc::weir::{HealthStatus, NodeStatus};
use crate::serf::Status;

/// List the members of the cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Members {
    /// Only members whose name matches (a full match)
    #[arg(long, value_name = "REGEX")]
    pub(crate) name: Option<String>,
    /// Only members whose status matches: alive, leaving, left, failed
    #[arg(long, value_name = "REGEX")]
    pub(crate) status: Option<String>,
    /// Only members whose tag matches; repeatable, all must match
    #[arg(long = "tag", value_name = "KEY=REGEX", value_parser = parse::tag)]
    pub(crate) tags: Vec<(String, String)>,
    /// Only members whose tag `role` matches
    #[arg(long, value_name = "REGEX")]
    pub(crate) role: Option<String>,
    /// Only members whose health matches: passing, warning, critical, silent, wait, none
    #[arg(long, value_name = "REGEX")]
    pub(crate) health: Option<String>,
    /// Show protocol versions, too
    #[arg(long)]
    pub(crate) detailed: bool,
    /// Do not cut long lines on a terminal
    #[arg(long)]
    pub(crate) wide: bool,
    /// Name the columns also in a pipe
    #[arg(long)]
    pub(crate) header: bool,
    /// Show the list again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = parse::duration)]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    pub(crate) agent: AgentArgs,
}

/// One member as JSON shows it: Serf's fields, and ours after them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Address and port.
    pub(crate) addr: String,
    pub(crate) port: u16,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) status: String,
    pub(crate) protocol: Protocol,
    /// What a balancer makes of its answers, else what the member says about its checks; `None` if that is nothing, and of who is
    /// not there any more, whatever it said last.
    pub(crate) health: Option<String>,
    /// Whether it asked for no new requests.
    pub(crate) draining: bool,
    /// Since when it has this status, in RFC 3339; `None` if the agent does not say.
    pub(crate) since: Option<String>,
}

impl From<proto::Member> for Member {
    fn from(member: proto::Member) -> Self {
        let [_, _, _, min, max, version] = member.versions.0;
        let tag = |name| member.tags.get(name).filter(|value| !value.is_empty());
        let is_there = !matches!(member.status, proto::Status::Failed | proto::Status::Left);
        Self {
            addr: SocketAddr::new(member.addr, member.port).to_string(),
            port: member.port,
            status: member.status.to_string(),
            protocol: Protocol { max, min, version },
            health: tag("weir_health").filter(|_| is_there).cloned(),
            draining: tag("weir_drain").is_some(),
            since: None,
            name: member.name,
            tags: member.tags,
        }
    }
}

/// The versions of the Serf protocol that a member speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Protocol {
    pub(crate) max: u8,
    pub(crate) min: u8,
    pub(crate) version: u8,
}

impl Members {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let wanted = self.wanted()?;
        let mut session = Session::open(&self.agent, output).await?;
        let Some(interval) = self.watch else {
            let members = fetch(&wanted, &mut session, output).await?;
            return self.show(&members, output);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = fetch(&wanted, &mut session, output).await;
            if let Some(members) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &List::new(&members), || self.view(&members, output))?;
            }
            watch.pause().await;
        }
    }

    /// What the agent is asked, with expressions that it understands: Serf's hangs up on others.
    fn wanted(&self) -> Result<Wanted, Failure> {
        let role = self.role.iter().map(|role| ("role".to_owned(), role.clone()));
        let query = MembersQuery {
            tags: parse::tag_filters(self.tags.iter().cloned().chain(role))?.into_iter().collect(),
            status: self.status.clone().unwrap_or_default(),
            name: self.name.clone().unwrap_or_default(),
        };
        validate(&query)?;
        if let Some(status) = &self.status {
            parse::one_of("status", status, &Status::ALL.map(Status::as_str))?;
        }
        let health = self.health.as_deref().map(|health| parse::one_of("health", health, &HEALTH)).transpose()?;
        Ok(Wanted { query, health, asks_health: Cell::new(true), agent: self.agent.clone() })
    }

    fn show(&self, members: &[Member], output: &Output) -> Result<Exit, Failure> {
        if output.is_json() {
            output.json(&List::new(members))?;
        } else if members.is_empty() {
            output.notice(NOBODY);
        } else {
            output.text(&self.view(members, output))?;
        }
        Ok(Exit::Done)
    }

    /// The table; a view that is shown again must say so where it would be empty.
    fn view(&self, members: &[Member], output: &Output) -> String {
        match members {
            [] => format!("{NOBODY}\n"),
            members => render(members, self.detailed, output.layout(self.header, self.wide), output),
        }
    }
}

/// Which members are asked for.
#[derive(Debug)]
struct Wanted {
    query: MembersQuery,
    /// Agents do not filter by it.
    health: Option<Regex>,
    /// Whether the agent may know more of the members' health than their tags.
    asks_health: Cell<bool>,
    /// Where it is.
    agent: AgentArgs,
}

/// Where nobody does.
const NOBODY: &str = "no members match";

/// What a member may say of its checks, and `none` if it says nothing.
const HEALTH: [&str; 6] = ["passing", "warning", "critical", "silent", "wait", "none"];

async fn fetch(wanted: &Wanted, session: &mut Session, output: &Output) -> Result<Vec<Member>, Failure> {
    let mut members = session.members(&wanted.query).await?;
    add_answers(&mut members, wanted, session).await;
    // Only an agent of ours knows.
    if output.is_json()
        && let Ok(document) = session.weir(&NodeStatus { members: true }).await
    {
        let mut since: BTreeMap<_, _> =
            document.members.into_iter().map(|member| (member.name, member.since)).collect();
        for member in &mut members {
            member.since = since.remove(&member.name).flatten();
        }
    }
    if let Some(health) = &wanted.health {
        members.retain(|member| health.is_match(member.health.as_deref().unwrap_or("none")));
    }
    Ok(members)
}

/// What the agent knows of their health: a balancer asks its servers, Serf's agents among them, and an answer counts before a tag.
async fn add_answers(members: &mut [Member], wanted: &Wanted, session: &mut Session) {
    let is_alive = |member: &&mut Member| member.status == Status::Alive.as_str();
    if !wanted.asks_health.get() || !members.iter_mut().any(|member| is_alive(&member)) {
        return;
    }
    match session.weir(&HealthStatus {}).await {
        Ok(known) => {
            for member in members.iter_mut().filter(is_alive) {
                let known = known.members.iter().find(|known| known.name == member.name);
                if let Some(known) = known.filter(|known| !known.health.is(&Check::None)) {
                    member.health = Some(known.health.to_string());
                }
            }
        }
        // Serf's agent, which hangs up on what it does not know, or one that is older: neither knows it the next time.
        Err(_) => {
            wanted.asks_health.set(false);
            drop(session.reopen(&wanted.agent).await);
        }
    }
}

/// The document of `--format json`.
#[derive(Debug, Serialize)]
pub(crate) struct List<'a> {
    members: &'a [Member],
}

impl<'a> List<'a> {
    /// The document for members in the order of their names.
    pub(crate) const fn new(members: &'a [Member]) -> Self {
        Self { members }
    }
}

/// Refuses expressions that an agent would not understand; Serf's hangs up on them without a word.
pub(crate) fn validate(query: &MembersQuery) -> Result<(), Failure> {
    MemberFilter::compile(query).map(drop).map_err(Failure::usage)
}

/// The tags that have a column of their own.
const SHOWN_ELSEWHERE: [&str; 3] = ["role", "weir_health", "weir_drain"];

/// The table of `weir members`.
pub(crate) fn render(members: &[Member], detailed: bool, layout: Layout, output: &Output) -> String {
    let mut titles = vec!["NAME", "ADDRESS", "STATUS", "ROLE", "HEALTH"];
    if detailed {
        titles.extend(["PROTOCOL", "RANGE"]);
    }
    titles.push("TAGS");
    let mut table = Table::new(&titles);
    for member in members {
        let mut row = vec![member.name.clone(), member.addr.clone(), member.status.clone()];
        row.push(or_dash(member.tags.get("role").map(String::as_str)));
        row.push(health_word(member));
        if detailed {
            let Protocol { max, min, version } = member.protocol;
            row.extend([version.to_string(), format!("{min}-{max}")]);
        }
        row.push(tag_list(&member.tags));
        table.row(row);
    }
    table
        .render(layout, |column, text| if matches!(column, 2 | 4) { output.paint_state(text) } else { text.to_owned() })
}

/// `draining` before all else, then what the checks say; `-` without checks, of who is not there any more, and of a plain Serf
/// agent that no balancer asks.
fn health_word(member: &Member) -> String {
    if member.draining {
        return "draining".to_owned();
    }
    or_dash(member.health.as_deref().filter(|health| *health != "none"))
}

fn tag_list(tags: &BTreeMap<String, String>) -> String {
    let shown = tags.iter().filter(|(key, _)| !SHOWN_ELSEWHERE.contains(&key.as_str()));
    shown.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}
