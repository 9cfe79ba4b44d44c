//! `weir upstream history` and `diff`: what was put in place, when and why.

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::super::table::Table;
use super::super::time;
use super::AgentArgs;
use crate::escape::escape;
use crate::rpc::weir::{Differences, HeldBack, Past, UpstreamDiff, UpstreamHistory};
use crate::status::node::Change;
use crate::upstream::Generation;

/// Changes that one line names.
const MAX_CHANGES: usize = 4;

/// List the last generations, when each was made, why, and what it changed.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Most of them; 0 for all that are kept
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 20)]
    count: usize,
    /// Do not cut long lines on a terminal
    #[arg(long)]
    wide: bool,
    /// Name the columns also in a pipe
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl History {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let history = session.weir(&UpstreamHistory { count: self.count }).await?;
        if output.is_json() {
            output.json(&history)?;
        } else if history.generations.is_empty() {
            output.notice("nothing was put in place yet");
        } else {
            let mut table = Table::new(&["GEN", "TIME", "RESULT", "TOOK", "CAUSE", "CHANGE"]);
            let several = history.upstreams.len() > 1;
            history.generations.iter().for_each(|past| table.row(cells(past, several)));
            output.text(&table.render(output.layout(self.header, self.wide), |_, text| text.to_owned()))?;
        }
        Ok(Exit::Done)
    }
}

/// `several`: there is more than one upstream.
fn cells(past: &Past, several: bool) -> [String; 6] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let took = match (past.validate_ms, past.confirm_ms) {
        (None, None) => "-".to_owned(),
        (validate, confirm) => format!("{} ms", validate.unwrap_or_default() + confirm.unwrap_or_default()),
    };
    [
        past.generation.to_string(),
        past.at.as_deref().map_or_else(|| "-".to_owned(), time::of_day),
        past.result.to_string(),
        took,
        or_dash(past.cause.clone()),
        or_dash(change(past, several)),
    ]
}

/// `web: + web2 10.77.0.13:80, web1 weight 2 -> 1 and 3 more`, why it was not accepted, and what was cut of the dead.
fn change(past: &Past, several: bool) -> String {
    let several = several || past.upstreams.len() > 1;
    let told = |change: &Change| if several { format!("{}: {change}", change.upstream) } else { change.to_string() };
    let mut text = past.changes.iter().take(MAX_CHANGES).map(told).collect::<Vec<_>>().join(", ");
    let more = past.changes.len().saturating_sub(MAX_CHANGES) + usize::try_from(past.more).unwrap_or(usize::MAX);
    match more {
        0 => {}
        more if text.is_empty() => text = format!("{more} changes"),
        more => text.push_str(&format!(" and {more} more")),
    }
    let said = past.error.iter().cloned().chain(cut(past)).collect::<Vec<_>>().join(", ");
    match said {
        said if said.is_empty() => text,
        said if text.is_empty() => said,
        said => format!("{text} ({said})"),
    }
}

/// `41 connections cut`.
fn cut(past: &Past) -> Option<String> {
    match past.cut.iter().fold(0_u32, |all, cut| all.saturating_add(cut.connections)) {
        0 => None,
        1 => Some("1 connection cut".to_owned()),
        all => Some(format!("{all} connections cut")),
    }
}

/// Tell what differs: 0 if nothing does, 8 if something does.
///
/// Without numbers: from what is in place to what is wanted. With one: what that generation changed. With two: from one
/// generation to the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The generation, or the one to start from
    #[arg(value_name = "N")]
    from: Option<u64>,
    /// The generation to arrive at
    #[arg(value_name = "M")]
    to: Option<u64>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Diff {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let request = UpstreamDiff { from: self.from.map(Generation), to: self.to.map(Generation) };
        let differences = session.weir(&request).await?;
        if output.is_json() {
            output.json(&differences)?;
        } else {
            output.text(&render(&differences))?;
        }
        Ok(if differences.is_empty() { Exit::Done } else { Exit::Attention })
    }
}

/// `7 -> 8  web2 probe down at 15:10:02Z`, and a line for each change; then what is held.
fn render(differences: &Differences) -> String {
    let from = differences.from.unwrap_or_default();
    let to = differences.to.map_or_else(|| "wanted".to_owned(), |to| to.to_string());
    let at = differences.at.as_deref().map(|at| format!(" at {}", time::of_day(at))).unwrap_or_default();
    let cause = match &differences.cause {
        Some(cause) => format!("  {cause}{at}"),
        None if differences.is_empty() => "  nothing differs".to_owned(),
        None if differences.changes.is_empty() => "  nothing differs but what is held back".to_owned(),
        None => String::new(),
    };
    let mut text = format!("{from} -> {to}{}\n", escape(&cause));
    for change in &differences.changes {
        text.push_str(&format!("{}  {change}\n", escape(&change.upstream)));
    }
    differences.held.iter().for_each(|held| text.push_str(&held_back(held)));
    text
}

/// `web  held since 15:12:40Z (a look first): waits for 'weir upstream release web'`, and a line for each change that does.
fn held_back(HeldBack { upstream, since, reason, changes }: &HeldBack) -> String {
    let since = since.as_deref().map(|since| format!(" since {}", time::of_day(since))).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let waits = if changes.is_empty() {
        "nothing waits".to_owned()
    } else {
        format!("waits until 'weir upstream release {upstream}'")
    };
    let lines = changes.iter().map(ToString::to_string);
    let lines = std::iter::once(format!("held{since}{reason}: {waits}")).chain(lines);
    lines.map(|line| format!("{}  {}\n", escape(upstream), escape(&line))).collect()
}
