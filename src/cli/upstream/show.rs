//! `weir upstream show`: every server, its state and why.

use std::time::Duration;

use serde::Serialize;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::super::table::Table;
use super::super::time;
use super::super::watch::Watch;
use super::AgentArgs;
use crate::escape::escape;
use crate::rpc::weir::{NodeStatus, no_upstream};
use crate::status::node::{Held, Probe, ProbeState, Server, Upstream, Want};

/// Show the servers, their state, weight and share of requests, since when and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Only this upstream
    #[arg(value_name = "NAME")]
    upstream: Option<String>,
    /// Show it again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = crate::cli::parse::duration)]
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

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct List {
    upstreams: Vec<Upstream>,
}

impl Show {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let Some(interval) = self.watch else {
            let list = self.fetch(&mut session).await?;
            if output.is_json() {
                output.json(&list)?;
            } else if list.upstreams.is_empty() {
                output.notice(NONE);
            } else {
                output.text(&self.view(&list, output))?;
            }
            return Ok(Exit::Done);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = self.fetch(&mut session).await;
            if let Some(list) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &list, || self.view(&list, output))?;
            }
            watch.pause().await;
        }
    }

    async fn fetch(&self, session: &mut Session) -> Result<List, Failure> {
        let mut upstreams = session.weir(&NodeStatus { members: false }).await?.upstreams;
        if let Some(name) = &self.upstream {
            if !upstreams.iter().any(|upstream| upstream.name == *name) {
                return Err(no_upstream(name, upstreams.iter().map(|upstream| upstream.name.as_str())).into());
            }
            upstreams.retain(|upstream| upstream.name == *name);
        }
        Ok(List { upstreams })
    }

    fn view(&self, list: &List, output: &Output) -> String {
        match &list.upstreams[..] {
            [] => format!("{NONE}\n"),
            all => all.iter().map(|upstream| self.render(upstream, output)).collect::<Vec<_>>().join("\n"),
        }
    }

    fn render(&self, upstream: &Upstream, output: &Output) -> String {
        let mut text = format!("{}\n", escape(&heading(upstream)));
        for line in notes(upstream) {
            text.push_str(&format!("  {}\n", escape(&line)));
        }
        let mut table = Table::new(&["SERVER", "ADDRESS", "STATE", "WEIGHT", "SHARE", "SINCE", "WHY"]);
        upstream.servers.iter().for_each(|server| table.row(cells(server)));
        for left_out in &upstream.left_out {
            let blank = || "-".to_owned();
            let state = "left_out".to_owned();
            table.row([left_out.member.clone(), blank(), state, blank(), blank(), blank(), left_out.why.clone()]);
        }
        let paint = |column, cell: &str| if column == 2 { output.paint_state(cell) } else { cell.to_owned() };
        text.push_str(&table.render(output.layout(self.header, self.wide), paint));
        text
    }
}

/// Where there is none.
const NONE: &str = "no upstream is configured";

/// `web   generation 8 live since 15:10:03Z   1 of 2 in   /etc/nginx/conf.d/weir-web.conf`
fn heading(upstream: &Upstream) -> String {
    let mut parts = vec![upstream.name.clone()];
    parts.extend(upstream.generation.map(|generation| {
        let since = upstream.live_since.as_deref().map(|since| format!(" since {}", time::of_day(since)));
        format!("generation {generation} live{}", since.unwrap_or_default())
    }));
    let panic = if upstream.panic { ", panic" } else { "" };
    parts.push(format!("{}{panic}", strength(upstream)));
    parts.extend(upstream.output.clone());
    parts.join("   ")
}

/// `2 of 3 in`, or `2 of 3 in, 1 held in` where a hold keeps one that is down.
pub(in crate::cli) fn strength(upstream: &Upstream) -> String {
    let (held, all) = (upstream.held_in(), upstream.servers.len());
    let held_in = if held > 0 { format!(", {held} held in") } else { String::new() };
    format!("{} of {all} in{held_in}", upstream.serving() - held)
}

fn notes(upstream: &Upstream) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(upstream.held.as_ref().map(|held| told(held, &upstream.name)));
    if upstream.want.as_ref().is_some_and(|want| want.is(&Want::Placeholder)) {
        let unserved = upstream.unserved().map(|unserved| format!(": {unserved}")).unwrap_or_default();
        notes.push(format!("no server{unserved}"));
    }
    notes.extend(upstream.kept.as_ref().map(ToString::to_string));
    if !upstream.waiting.is_empty() {
        let changes: Vec<String> = upstream.waiting.iter().map(ToString::to_string).collect();
        notes.push(format!("waits: {}", changes.join(", ")));
    }
    notes
}

fn told(held: &Held, name: &str) -> String {
    let since = held.since.as_deref().map(|since| format!(" since {}", time::of_day(since))).unwrap_or_default();
    let reason = held.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("held{since}{reason}: changes wait until 'weir upstream release {name}'")
}

/// Why it is where it is, with what its check and the probe say.
pub(in crate::cli) fn why(server: &Server) -> String {
    let first = |probe: &Probe| {
        let at = probe.first_failure.as_deref().filter(|_| probe.state.is(&ProbeState::Down))?;
        Some(format!(" (first at {})", time::of_day(at)))
    };
    let probe = server.probe.as_ref().map(|probe| format!(", {probe}{}", first(probe).unwrap_or_default()));
    let probe = probe.unwrap_or_default();
    let check = server.check.as_ref().map(|check| format!(" ({check})")).unwrap_or_default();
    format!("{}{check}{probe}", server.why)
}

fn cells(server: &Server) -> [String; 7] {
    let backup = if server.backup { ", backup" } else { "" };
    let notes: String = server.notes.iter().map(|note| format!("; {note}")).collect();
    [
        server.member.clone(),
        server.addr.to_string(),
        server.state.to_string(),
        server.weight.to_string(),
        format!("{:>3.0} %", server.share * 100.0),
        server.since.as_deref().map_or_else(|| "-".to_owned(), time::of_day),
        format!("{}{backup}{notes}", why(server)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::node::tests::full;
    use crate::upstream::{VerdictReason, Witness};

    #[test]
    fn without_a_server_a_stream_closes_connections() {
        let mut web = full().upstreams.remove(0);
        (web.want, web.waiting) = (Some(Want::Placeholder.into()), Vec::new());
        web.held = None;
        assert_eq!(notes(&web), ["no server: requests are answered 502"]);
        web.stream = true;
        assert_eq!(notes(&web), ["no server: connections are closed"]);
    }

    #[test]
    fn who_is_in_for_a_hold_alone_is_counted_apart() {
        let mut web = full().upstreams.remove(0);
        let all = web.servers.len();
        assert_eq!((strength(&web), web.serving()), (format!("{all} of {all} in"), all));
        (web.servers[0].reason, web.servers[0].witness) =
            (VerdictReason::Held.into(), Some(Witness::FailedDown.into()));
        assert_eq!(strength(&web), format!("{} of {all} in, 1 held in", all - 1));
        web.servers[0].witness = Some(Witness::Passing.into());
        assert_eq!(strength(&web), format!("{all} of {all} in"), "nothing speaks against it");
    }
}
