//! `weir rtt`: an estimate from network coordinates (`serf §10.4`).

use std::time::Duration;

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::{Failure, no_member};
use super::output::Output;
use super::session::Session;
use crate::escape::escape;
use crate::serf::coordinate::estimate;
use crate::wire::serf::Coordinate;

/// Estimate the round trip time between two members.
#[derive(Debug, clap::Args)]
pub(crate) struct Rtt {
    /// One member
    #[arg(value_name = "MEMBER")]
    one: String,
    /// The other; the agent's own node if left out
    #[arg(value_name = "MEMBER")]
    other: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Rtt {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let other = match &self.other {
            Some(name) => name.clone(),
            None => session.own_name().await?,
        };
        let from = coordinate(&mut session, &self.one).await?;
        let to = coordinate(&mut session, &other).await?;
        let rtt = estimate(&from, &to).ok_or_else(|| {
            Failure::new(Exit::Failed, format!("the coordinates of '{}' and '{other}' do not fit together", self.one))
        })?;
        if output.is_json() {
            output.json(&json!({ "from": self.one, "to": other, "rtt_ms": rtt.as_nanos() as f64 / 1e6 }))?;
        } else {
            output.text(&render(&escape(&self.one), &escape(&other), rtt))?;
        }
        Ok(Exit::Done)
    }
}

async fn coordinate(session: &mut Session, name: &str) -> Result<Coordinate, Failure> {
    if let Some(coordinate) = session.coordinate(name).await? {
        return Ok(coordinate);
    }
    let members = session.members(&Default::default()).await?;
    if members.iter().any(|member| member.name == name) {
        return Err(Failure::new(Exit::Failed, format!("'{name}' has no coordinate yet"))
            .with_remedy("it needs some probes first, and gossip.coordinates = true there"));
    }
    Err(no_member(name, members.iter().map(|member| member.name.as_str())))
}

/// Serf's words, with three decimals.
pub(crate) fn render(one: &str, other: &str, rtt: Duration) -> String {
    format!("Estimated {one} <-> {other} rtt: {:.3} ms\n", rtt.as_secs_f64() * 1e3)
}
