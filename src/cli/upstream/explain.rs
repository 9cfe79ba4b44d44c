//! `weir upstream explain` and `weir explain`: why a member is where it is.

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::super::time;
use super::AgentArgs;
use crate::escape::escape;
use crate::rpc::weir::{ExplainedIn, UpstreamExplain};
use crate::status::node::ServerState;
use crate::upstream::{VerdictReason, Witness};

/// Tell why a member is in or out of every upstream: each rule that was asked, and which of them decides.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The member's name
    #[arg(value_name = "MEMBER")]
    member: String,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Explain {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let explained = session.weir(&UpstreamExplain { member: self.member.clone() }).await?;
        if output.is_json() {
            output.json(&explained)?;
        } else {
            let blocks: Vec<String> = explained.upstreams.iter().map(|each| render(&self.member, each)).collect();
            output.text(&blocks.join("\n"))?;
        }
        Ok(Exit::Done)
    }
}

fn render(member: &str, explained: &ExplainedIn) -> String {
    let mut text = format!("{}\n", escape(&heading(member, explained)));
    let width = explained.rules.iter().map(|asked| asked.result.chars().count()).max().unwrap_or_default();
    for asked in &explained.rules {
        let rule = asked.rule.to_string();
        let decides = if asked.decides { "       <- decides" } else { "" };
        let line = format!("  {rule:<9}  {:<width$}  {}", asked.result, of_day(&asked.input));
        text.push_str(&format!("{}{decides}\n", escape(line.trim_end())));
    }
    if let Some(when) = &explained.back_when {
        text.push_str(&format!("  back when  {}\n", escape(&of_day(when))));
    }
    text
}

/// `site: connection refused, since 2026-11-28T15:10:14Z` as of that day.
fn of_day(text: &str) -> String {
    let word = |word: &str| {
        let (date, rest) = word.split_at(word.find([',', ' ', ')', ';']).unwrap_or(word.len()));
        format!("{}{rest}", time::of_day(date))
    };
    let mut told = String::with_capacity(text.len());
    let mut before = "";
    for part in text.split_inclusive(' ') {
        let is_date = matches!(before, "since " | "until ");
        told.push_str(&if is_date { word(part) } else { part.to_owned() });
        before = part;
    }
    told
}

/// `web2 is down in upstream web since 15:10:03Z (generation 8): its service does not answer this balancer`
fn heading(member: &str, ExplainedIn { upstream, rules, .. }: &ExplainedIn) -> String {
    let name = &upstream.name;
    if let Some(left_out) = upstream.left_out.first() {
        let remedy = left_out.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        return format!("{member} is no server of upstream {name}: {}{remedy}", left_out.why);
    }
    let Some(server) = upstream.servers.first() else {
        let why = rules.first().map(|asked| format!(": {}", asked.input)).unwrap_or_default();
        return format!("{member} is not selected by upstream {name}{why}");
    };
    let where_ = match server.state.word() {
        Some(ServerState::In) => format!("is in upstream {name}"),
        Some(_) | None => format!("is {} in upstream {name}", server.state),
    };
    let since = server.since.as_deref().map(|since| format!(" since {}", time::of_day(since))).unwrap_or_default();
    let generation = upstream.generation.map(|generation| format!(" (generation {generation})")).unwrap_or_default();
    let waiting = upstream.waiting.iter().map(|change| format!("; waits: {change} (see 'weir status')"));
    // What the probe found says more than that it is down.
    let is_down = server.witness.as_ref().is_some_and(|witness| witness.is(&Witness::ServiceDown));
    let is_out = server.reason.is(&VerdictReason::Ill);
    let fault = server.probe.as_ref().and_then(|probe| probe.fault.as_ref()).filter(|_| is_down && is_out);
    let why = fault.unwrap_or(&server.why);
    let check = server.check.as_ref().map(|check| format!(" ({check})")).unwrap_or_default();
    format!("{member} {where_}{since}{generation}: {why}{check}{}", waiting.collect::<String>())
}
