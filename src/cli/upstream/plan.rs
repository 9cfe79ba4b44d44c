//! `weir upstream plan`: what would happen if.

use std::collections::BTreeMap;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::AgentArgs;
use crate::error::Trouble;
use crate::escape::escape;
use crate::rpc::weir::{Joiner, PlannedIn, PlannedServer, UpstreamPlan};
use crate::upstream::{PlainName, VerdictReason};

/// Tell what would happen to every upstream if all of this came together: 0 if nothing would, 8 if something would.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// A member that gossip has lost and whose service answers nobody
    #[arg(long, value_name = "MEMBER")]
    fail: Vec<String>,
    /// A member that wants no new requests
    #[arg(long, value_name = "MEMBER")]
    drain: Vec<String>,
    /// A member whose checks are critical
    #[arg(long, value_name = "MEMBER")]
    critical: Vec<String>,
    /// A member that joins and is well, with what matters of its tags: web3,port=8080,weight=2; addr=10.77.0.14 says where it is
    #[arg(long, value_name = "MEMBER[,TAG=VALUE]…", value_parser = joiner)]
    join: Vec<Joiner>,
    #[command(flatten)]
    agent: AgentArgs,
}

fn joiner(text: &str) -> Result<Joiner, Trouble> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Trouble::new("a member has a name", "write web3,port=8080"));
    }
    if PlainName::new(&name).is_none() {
        let rule = format!("1 to {} of A-Z a-z 0-9 . _ - are accepted", PlainName::MAX_BYTES);
        return Err(Trouble::new(format!("'{name}' is no name of a member"), rule));
    }
    let (mut addr, mut tags) = (None, BTreeMap::new());
    for part in parts {
        match part.split_once('=') {
            Some(("addr", value)) => {
                let wrong = || Trouble::new(format!("'{value}' is no address"), "write addr=10.77.0.14");
                addr = Some(value.parse().map_err(|_| wrong())?);
            }
            Some((tag, value)) if !tag.is_empty() => drop(tags.insert(tag.to_owned(), value.to_owned())),
            Some(_) | None => {
                return Err(Trouble::new(format!("'{part}' is no tag with a value"), "write port=8080"));
            }
        }
    }
    Ok(Joiner { name, addr, tags })
}

impl Plan {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let (fail, drain, critical, join) =
            (self.fail.clone(), self.drain.clone(), self.critical.clone(), self.join.clone());
        if fail.is_empty() && drain.is_empty() && critical.is_empty() && join.is_empty() {
            return Err(Failure::new(Exit::Usage, "nothing is supposed")
                .with_remedy("say what with --fail, --drain, --critical or --join"));
        }
        let mut session = Session::open(&self.agent, output).await?;
        let planned = session.weir(&UpstreamPlan { fail, drain, critical, join }).await?;
        if output.is_json() {
            output.json(&planned)?;
        } else {
            output.text(&planned.upstreams.iter().map(render).collect::<String>())?;
        }
        Ok(if planned.upstreams.iter().any(PlannedIn::differs) { Exit::Attention } else { Exit::Done })
    }
}

/// A line for the upstream and one for each server.
fn render(planned: &PlannedIn) -> String {
    let PlannedIn { name, serving, base, min_healthy, panic, reloads, .. } = planned;
    let panic = if *panic { "panic" } else { "no panic" };
    let reloads = match reloads {
        0 => "no reload".to_owned(),
        1 => "1 reload".to_owned(),
        more => format!("{more} reloads"),
    };
    let mut text =
        format!("{}   {serving} of {base} would be in (min_healthy {min_healthy}: {panic}), {reloads}\n", escape(name));
    let lines: Vec<[String; 5]> = planned.servers.iter().map(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    text
}

fn cells(server: &PlannedServer) -> [String; 5] {
    let word = |state: &Option<_>| state.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let (before, after) = (word(&server.before), word(&server.after));
    // Why one stays in is news where it is not for its own sake: a drain that would be refused, a server that is kept.
    let is_in_by_itself = server.reason.as_ref().is_none_or(|reason| reason.is(&VerdictReason::In));
    let why = if before == after && after == "in" && is_in_by_itself { "" } else { server.why.as_str() };
    let supposed = if server.addr_supposed { " (supposed)" } else { "" };
    let notes = server.notes.iter().filter(|_| server.before.is_none()).map(String::as_str);
    let why = Some(why).filter(|why| !why.is_empty()).into_iter().chain(notes).collect::<Vec<_>>().join("; ");
    [
        escape(&server.member).into_owned(),
        server.addr.map_or_else(|| "-".to_owned(), |addr| format!("{addr}{supposed}")),
        format!("{before} -> {after}"),
        format!("{:.0} % -> {:.0} %", server.share_before * 100.0, server.share_after * 100.0),
        escape(&why).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::node::ServerState;

    fn server(before: Option<ServerState>, after: ServerState, reason: VerdictReason, why: &str) -> PlannedServer {
        PlannedServer {
            member: "web1".to_owned(),
            addr: "10.77.0.12:80".parse().ok(),
            before: before.map(Into::into),
            after: Some(after.into()),
            share_before: 0.5,
            share_after: 0.5,
            why: why.to_owned(),
            reason: Some(reason.into()),
            notes: Vec::new(),
            addr_supposed: false,
        }
    }

    #[test]
    fn why_a_server_stays_in_is_told_where_it_is_not_for_its_own_sake() {
        use ServerState::In;
        let refused = "draining refused: too few would be left";
        for (reason, why, told) in [(VerdictReason::In, "passing", ""), (VerdictReason::DrainRefused, refused, refused)]
        {
            assert_eq!(cells(&server(Some(In), In, reason, why))[4], told);
        }
        let mut joiner = server(None, In, VerdictReason::In, "passing");
        assert_eq!(cells(&joiner)[1], "10.77.0.12:80");
        joiner.addr_supposed = true;
        assert_eq!(cells(&joiner)[1], "10.77.0.12:80 (supposed)", "nobody has said where it is");
        joiner.notes.push("tag weight=\"abc\" is not a number, 1 is used".to_owned());
        let [_, _, states, _, why] = cells(&joiner);
        assert_eq!(states, "- -> in");
        assert_eq!(why, "passing; tag weight=\"abc\" is not a number, 1 is used");
    }

    #[test]
    fn only_what_would_be_another_than_now_differs() {
        use ServerState::{Down, In, LeftOut};
        let of = |servers: Vec<PlannedServer>| PlannedIn { servers, ..PlannedIn::default() };
        let same = |state| server(Some(state), state, VerdictReason::In, "");
        assert!(!of(vec![same(In), same(LeftOut), same(Down)]).differs());
        assert!(of(vec![server(Some(In), Down, VerdictReason::Ill, "")]).differs());
        assert!(PlannedIn { panic: true, ..of(vec![same(In)]) }.differs());
        assert!(!PlannedIn { panic: true, panic_before: true, ..of(vec![same(In)]) }.differs());
        assert!(PlannedIn { reloads: 1, ..of(vec![same(In)]) }.differs());
    }

    #[test]
    fn a_joiner_is_a_name_with_tags_and_perhaps_an_address() {
        let read = joiner("web3,port=8080,weight=2,addr=10.77.0.14").unwrap();
        assert_eq!((read.name.as_str(), read.addr), ("web3", "10.77.0.14".parse().ok()));
        let tags: Vec<_> = read.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        assert_eq!(tags, ["port=8080", "weight=2"]);
        for wrong in ["", ",port=80", "web3,port", "web3,=80", "web3,addr=here", "web 3", "web3;"] {
            assert!(joiner(wrong).is_err(), "{wrong}");
        }
    }
}
