//! `weir check`: what this node looks at to know how well it is, and a word about what it cannot see by itself.

use std::time::Duration;

use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use super::session::Session;
use super::table::{Layout, Table};
use super::time;
use super::watch::Watch;
use crate::escape::escape;
use crate::health::State;
use crate::known::Known;
use crate::rpc::weir::{CheckSet, NodeStatus};
use crate::status::node;

/// List the checks of this node, and say how one is that has a ttl.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Check {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(List),
    /// Say that a ttl check passes, for as long as its ttl
    Pass(Word),
    /// Say that a ttl check has something to warn of, for as long as its ttl
    Warn(Word),
    /// Say that a ttl check is critical, at once
    Fail(Word),
}

/// List the checks of this node, each with its last result.
#[derive(Debug, clap::Args)]
struct List {
    /// Show it again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = parse::duration)]
    watch: Option<Duration>,
    /// Do not cut long lines on a terminal
    #[arg(long)]
    wide: bool,
    /// Name the columns also in a pipe
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

#[derive(Debug, clap::Args)]
struct Word {
    /// Which check; not needed where only one has a ttl
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Why, for whoever looks
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    output: String,
    #[command(flatten)]
    agent: AgentArgs,
}

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct Checks {
    health: Known<State>,
    checks: Vec<node::Check>,
}

impl Check {
    /// Whether only an interrupt ends it.
    pub(crate) const fn is_endless(&self) -> bool {
        matches!(&self.action, Action::List(list) if list.watch.is_some())
    }

    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.action {
            Action::List(list) => list.run(output).await,
            Action::Pass(word) => word.say(State::Passing, output).await,
            Action::Warn(word) => word.say(State::Warning, output).await,
            Action::Fail(word) => word.say(State::Critical, output).await,
        }
    }
}

impl List {
    async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let view = |checks: &Checks| render(checks, output.layout(self.header, self.wide), output);
        let Some(interval) = self.watch else {
            let checks = fetch(&mut session).await?;
            if output.is_json() {
                output.json(&checks)?;
            } else if checks.checks.is_empty() {
                output.notice(NONE);
            } else {
                output.text(&view(&checks))?;
            }
            return Ok(Exit::Done);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = fetch(&mut session).await;
            if let Some(checks) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &checks, || view(&checks))?;
            }
            watch.pause().await;
        }
    }
}

impl Word {
    async fn say(&self, state: State, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let request = CheckSet { name: self.name.clone(), state: state.into(), output: self.output.clone() };
        let check = session.weir(&request).await?;
        if output.is_json() {
            output.json(&check)?;
        } else {
            output.text(&format!("{} is {}\n", escape(&check.name), check.state))?;
        }
        Ok(Exit::Done)
    }
}

/// Where there is none.
const NONE: &str = "no checks are configured";

async fn fetch(session: &mut Session) -> Result<Checks, Failure> {
    let node::Document { health, checks, .. } = session.weir(&NodeStatus { members: false }).await?;
    Ok(Checks { health: health.own, checks })
}

fn render(checks: &Checks, layout: Layout, output: &Output) -> String {
    if checks.checks.is_empty() {
        return format!("{NONE}\n");
    }
    let mut table = Table::new(&["NAME", "KIND", "STATE", "FOR", "LAST(ms)", "OUTPUT"]);
    checks.checks.iter().for_each(|check| table.row(cells(check)));
    table.render(layout, |column, text| if column == 2 { output.paint_state(text) } else { text.to_owned() })
}

fn cells(check: &node::Check) -> [String; 6] {
    [
        check.name.clone(),
        check.kind.to_string(),
        check.state.to_string(),
        time::span(check.for_s),
        check.took_ms.map_or_else(|| "-".to_owned(), |took| took.to_string()),
        said(check),
    ]
}

/// `connection refused, 3 times in a row`
fn said(check: &node::Check) -> String {
    let is_well = check.result.as_ref().is_none_or(|result| result.is(&State::Passing));
    let repeated = check.in_a_row > 1 && !is_well;
    let times = if repeated { format!("{} times in a row", check.in_a_row) } else { String::new() };
    [check.output.as_str(), &times].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Color, Format};

    #[test]
    fn each_check_is_a_row_with_what_it_said_last() {
        let check = |name: &str, kind: node::CheckKind, state: State, in_a_row, output: &str| node::Check {
            name: name.to_owned(),
            kind: kind.into(),
            state: state.into(),
            for_s: 7440,
            result: (in_a_row > 0).then(|| state.into()),
            in_a_row,
            took_ms: (kind == node::CheckKind::Exec).then_some(12),
            output: output.to_owned(),
            ..node::Check::default()
        };
        let checks = vec![
            check("disk", node::CheckKind::Exec, State::Critical, 3, "exit 2: full\nof logs"),
            check("job", node::CheckKind::Ttl, State::Wait, 0, ""),
            check("nginx", node::CheckKind::Systemd, State::Passing, 9, "active (running)"),
            check("sync", node::CheckKind::Exec, State::Warning, 2, ""),
        ];
        let output = Output::new(Format::Text, Color::Never, false);
        let layout = Layout { header: true, width: None };
        let text = render(&Checks { health: State::Critical.into(), checks }, layout, &output);
        let wanted = "\
NAME   KIND     STATE     FOR         LAST(ms)  OUTPUT
disk   exec     critical  2 h 04 min  12        exit 2: full\\nof logs, 3 times in a row
job    ttl      wait      2 h 04 min  -
nginx  systemd  passing   2 h 04 min  -         active (running)
sync   exec     warning   2 h 04 min  12        2 times in a row
";
        assert_eq!(text, wanted);
    }
}
