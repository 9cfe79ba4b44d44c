//! `weir leave`: drain, leave the cluster, stop the agent.

mod job;

use std::time::Duration;

use tokio::time::timeout;

use super::config::DEFAULT;
use super::connect::{AgentArgs, Environment, SOCKET};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use super::session::{Session, SessionError};
use super::story::{Story, failure, list};
use crate::config::{self, Overrides, Source, Sources};
use crate::drain::document::Depart;
use crate::rpc::weir::{OnStop, Stopping};
use crate::time::millis;

/// systemd kills what is not done within `TimeoutStopSec=`, which is leave.timeout and 10 s at least.
const ON_STOP: Duration = Duration::from_secs(42);

/// Make the agent leave the cluster and stop, once no balancer sends it requests.
#[derive(Debug, clap::Args)]
#[command(after_help = "7 = it has left, and not every balancer had confirmed in time.")]
pub(crate) struct Leave {
    /// Longest wait for requests on their way [leave.drain_time]; 0s: no drain
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    drain_time: Option<Duration>,
    /// For all of it [leave.timeout]; then it leaves anyway, naming who did not confirm
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    timeout: Option<Duration>,
    /// For the unit's ExecStop=: leave if the unit is stopped and leave.on_stop says so, not if it is restarted; ends with 0
    #[arg(long, hide = true, conflicts_with_all = ["drain_time", "timeout"])]
    on_stop: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Leave {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if self.on_stop {
            self.stop_unit(output).await;
            return Ok(Exit::Done);
        }
        let mut session = Session::open(&self.agent, output).await?;
        let mut story = Story::new(&session.own_name().await?);
        let depart =
            Depart { drain_time_ms: self.drain_time.map(millis), timeout_ms: self.timeout.map(millis), on_stop: false };
        match leave(&mut session, &depart, &mut story, output).await {
            Ok(()) => {}
            // Serf's agent knows its own.
            Err(SessionError::Unsupported(_)) if depart == Depart::default() => {
                session.leave().await?;
                story.left();
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(failed) = failure(&story, None) {
            return Err(failed);
        }
        let unconfirmed = story.unconfirmed();
        if output.is_json() {
            output.json(story.outcome())?;
        } else {
            output.text("Graceful leave complete\n")?;
        }
        if unconfirmed.is_empty() {
            return Ok(Exit::Done);
        }
        output.notice(&format!("notice: {} did not confirm, and may send requests here still", list(&unconfirmed)));
        Ok(Exit::Incomplete)
    }

    /// Whatever goes wrong here, the signal that follows still stops the agent; the journal is told.
    async fn stop_unit(&self, output: &Output) {
        // The agent's log tells the story.
        let quiet = output.silent();
        let failed = match timeout(ON_STOP, self.leave_unless_restarted(&quiet)).await {
            Ok(Ok(())) => return,
            // It has ended by itself.
            Ok(Err(failure)) if failure.exit() == Exit::NoAgent => return,
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(Exit::Incomplete, format!("the agent has not left within {} s", ON_STOP.as_secs())),
        };
        output.notice(&failed.to_text());
    }

    async fn leave_unless_restarted(&self, output: &Output) -> Result<(), Failure> {
        let restart = tokio::task::spawn_blocking(job::is_restart).await.unwrap_or(false);
        let mut session = Session::open(&self.agent_of_unit(), output).await?;
        match session.weir(&OnStop { restart }).await {
            Ok(Stopping { leaves: true }) => {
                let depart = Depart { on_stop: true, ..Depart::default() };
                Ok(leave(&mut session, &depart, &mut Story::new(""), output).await?)
            }
            // An older agent, just before the first restart under this unit, does what the signal says.
            Ok(Stopping { leaves: false }) | Err(SessionError::Unsupported(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the unit's agent listens, and no other that may be on this host.
    fn agent_of_unit(&self) -> AgentArgs {
        let sources = Sources::here(vec![Source::File(DEFAULT.into())], Overrides::default(), false);
        let mut args = self.agent.or_as_configured(config::load(&sources).ok().as_ref());
        let environment = Environment::read();
        if environment.weir_rpc_addr.is_none() && environment.serf_rpc_addr.is_none() {
            args.rpc_addr.get_or_insert_with(|| format!("unix:{SOCKET}"));
        }
        args
    }
}

/// Has the agent leave, and tells of it until it is done.
async fn leave(session: &mut Session, depart: &Depart, story: &mut Story, output: &Output) -> Result<(), SessionError> {
    let started = session.weir(depart).await?;
    story.follow(session, started, output, |_| false).await
}
