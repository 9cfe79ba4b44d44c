//! `weir health`: what this node was told of the health of others.

use std::time::Duration;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use super::table::Table;
use super::time;
use super::watch::Watch;
use crate::health::query::{Check, Source};
use crate::rpc::weir::{HealthStatus, NodeStatus};
use crate::serf::Status;
use crate::status::health::{CheckHealth, MemberHealth, MembersHealth};
use crate::status::node::Document;

/// Show how members are, by what they told this node.
#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    /// This node alone, with each of its checks
    #[arg(long = "self")]
    own: bool,
    /// Show it again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = super::parse::duration)]
    pub(crate) watch: Option<Duration>,
    /// Do not cut long lines on a terminal
    #[arg(long)]
    wide: bool,
    /// Name the columns also in a pipe
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Health {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let Some(interval) = self.watch else {
            let told = self.fetch(&mut session).await?;
            if output.is_json() {
                output.json(&told)?;
            } else {
                output.text(&self.view(&told, output))?;
            }
            return Ok(Exit::Done);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = self.fetch(&mut session).await;
            if let Some(told) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &told, || self.view(&told, output))?;
            }
            watch.pause().await;
        }
    }

    async fn fetch(&self, session: &mut Session) -> Result<MembersHealth, Failure> {
        if self.own {
            let document = session.weir(&NodeStatus { members: false }).await?;
            return Ok(MembersHealth { members: vec![own(document)] });
        }
        Ok(session.weir(&HealthStatus {}).await?)
    }

    fn view(&self, told: &MembersHealth, output: &Output) -> String {
        let mut table = Table::new(&["NAME", "HEALTH", "CHECK", "SINCE", "OUTPUT"]);
        for member in &told.members {
            match &member.checks[..] {
                [] => table.row(cells(member, None)),
                checks => checks.iter().for_each(|check| table.row(cells(member, Some(check)))),
            }
        }
        let layout = output.layout(self.header, self.wide);
        table.render(layout, |column, text| if column == 1 { output.paint_state(text) } else { text.to_owned() })
    }
}

/// This node, with all of its checks.
fn own(document: Document) -> MemberHealth {
    let checks = document.checks.into_iter().map(|check| CheckHealth {
        name: check.name,
        kind: Some(check.kind.to_string()),
        state: check.state,
        since: check.since,
        output: check.output,
    });
    let health = document.health.own.word().copied().unwrap_or_default();
    MemberHealth {
        name: document.node.name,
        status: Some(Status::Alive.into()),
        health: Check::from(health).into(),
        source: Source::Tag.into(),
        checks: checks.collect(),
        ..MemberHealth::default()
    }
}

/// Of one that is not alive, what it said last is no news: its status stands for it.
fn cells(member: &MemberHealth, check: Option<&CheckHealth>) -> [String; 5] {
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let away = member.status.as_ref().filter(|status| !status.is(&Status::Alive));
    let of_its_own = check.filter(|check| check.kind.is_some());
    let health = match (away, of_its_own) {
        (Some(status), _) => status.to_string(),
        (None, Some(check)) => check.state.to_string(),
        (None, None) if member.health.is(&Check::None) => "-".to_owned(),
        (None, None) => member.health.to_string(),
    };
    let since = of_its_own.map_or(&member.since, |check| &check.since);
    [
        member.name.clone(),
        health,
        or_dash(check.map(|check| check.name.clone())),
        or_dash(since.as_deref().map(time::of_day)),
        check.map_or(&member.output, |check| &check.output).clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Color, Format};
    use crate::health::State;
    use crate::status::node;

    #[test]
    fn a_line_shows_the_check_that_speaks_and_escapes_what_peers_say() {
        let member = |name: &str, status: Status, health: Check, output: &str| MemberHealth {
            name: name.to_owned(),
            status: Some(status.into()),
            health: health.into(),
            since: Some("2020-01-02T03:04:05Z".to_owned()),
            output: output.to_owned(),
            ..MemberHealth::default()
        };
        let site =
            CheckHealth { name: "site".to_owned(), output: "connection refused".to_owned(), ..CheckHealth::default() };
        let told = MembersHealth {
            members: vec![
                MemberHealth { since: None, ..member("db1", Status::Alive, Check::None, "") },
                member("serf1", Status::Alive, Check::Warning, "disk\u{1b}[31m"),
                MemberHealth { checks: vec![site], ..member("web1", Status::Alive, Check::Critical, "") },
                member("web2", Status::Failed, Check::Passing, "2 checks"),
            ],
        };
        let output = Output::new(Format::Text, Color::Never, false);
        let health = Health { own: false, watch: None, wide: false, header: true, agent: AgentArgs::default() };
        let expected = "\
NAME   HEALTH    CHECK  SINCE                 OUTPUT
db1    -         -      -
serf1  warning   -      2020-01-02T03:04:05Z  disk\\x1b[31m
web1   critical  site   2020-01-02T03:04:05Z  connection refused
web2   failed    -      2020-01-02T03:04:05Z  2 checks
";
        assert_eq!(health.view(&told, &output), expected);
    }

    #[test]
    fn of_this_node_each_check_is_a_line() {
        let check = |name: &str, state: State, output: &str| node::Check {
            name: name.to_owned(),
            kind: node::CheckKind::Ttl.into(),
            state: state.into(),
            since: Some("2020-01-02T03:04:05Z".to_owned()),
            output: output.to_owned(),
            ..node::Check::default()
        };
        let mut document = Document::default();
        document.node.name = "web1".to_owned();
        let output = Output::new(Format::Text, Color::Never, false);
        let health = Health { own: true, watch: None, wide: false, header: false, agent: AgentArgs::default() };
        let view = |document: &Document| health.view(&MembersHealth { members: vec![own(document.clone())] }, &output);
        assert_eq!(view(&document), "web1  -  -  -\n");
        document.checks = vec![check("disk", State::Warning, "91 %"), check("job", State::Passing, "")];
        document.health.own = State::Warning.into();
        let expected = "\
web1  warning  disk  2020-01-02T03:04:05Z  91 %
web1  passing  job   2020-01-02T03:04:05Z
";
        assert_eq!(view(&document), expected);
    }
}
