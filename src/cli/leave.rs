//! `weir leave`: drain, leave the cluster, stop the agent.

mod job;

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::config::DEFAULT;
use super::connect::{AgentArgs, Environment, SOCKET};
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::config::{self, Overrides, Source, Sources};
use crate::rpc::weir::{OnStop, Stopping};

/// systemd kills what is not done within `TimeoutStopSec=45`; the agent's own bound is shorter than both.
const ON_STOP: Duration = Duration::from_secs(42);

/// Make the agent leave the cluster and stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    /// For the unit's ExecStop=: leave if the unit is stopped and leave.on_stop says so, not if it is restarted; ends with 0
    #[arg(long, hide = true)]
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
        session.leave().await?;
        if output.is_json() {
            output.json(&json!({ "left": true }))?;
        } else {
            output.text("Graceful leave complete\n")?;
        }
        Ok(Exit::Done)
    }

    /// Whatever goes wrong here, the signal that follows still stops the agent; the journal is told.
    async fn stop_unit(&self, output: &Output) {
        let failed = match timeout(ON_STOP, self.leave_unless_restarted(output)).await {
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
            Ok(Stopping { leaves: true }) => Ok(session.leave().await?),
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
