//! `weir leave`: drain, leave the cluster, stop the agent.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::config::DEFAULT;
use super::connect::{AgentArgs, Environment, SOCKET};
use super::exit::Exit;
use super::failure::Failure;
use super::job;
use super::output::Output;
use super::parse;
use super::session::{Session, SessionError};
use super::story::{Story, failure, list};
use crate::config::{self, Overrides, Source, Sources};
use crate::drain::document::Depart;
use crate::rpc::weir::{OnStop, Stopping};
use crate::time::millis;

/// For the agent to say whether it leaves.
const ASK: Duration = Duration::from_secs(10);
/// What a leave may take beside `leave.timeout`. systemd kills what is not done within `TimeoutStopSec=`, which is that and 10 s at
/// least.
const BESIDE: Duration = Duration::from_secs(12);

/// Make the agent leave the cluster and stop, once no balancer sends it requests.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "6 = an undo took the leave back, and the node goes on to serve; 7 = it has left, and not every balancer \
                        had confirmed in time."
)]
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
        if let Some(failed) = failure(&story, None, false) {
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
        match self.leave_unless_restarted(&quiet).await {
            Ok(()) => {}
            // It has ended by itself.
            Err(failure) if failure.exit() == Exit::NoAgent => {}
            Err(failure) => output.notice(&failure.to_text()),
        }
    }

    async fn leave_unless_restarted(&self, output: &Output) -> Result<(), Failure> {
        let begun = Instant::now();
        let Some((mut session, stopping)) = within(ASK, "said whether it leaves", self.ask(output)).await? else {
            return Ok(());
        };
        if !stopping.leaves {
            return Ok(());
        }
        let depart = Depart { on_stop: true, ..Depart::default() };
        let left = async { Ok(leave(&mut session, &depart, &mut Story::new(""), output).await?) };
        within(patience(stopping).saturating_sub(begun.elapsed()), "left", left).await
    }

    /// What the agent makes of the end to come; `None` of an older one, just before the first restart under this unit, which does
    /// what the signal says.
    async fn ask(&self, output: &Output) -> Result<Option<(Session, Stopping)>, Failure> {
        let restart = tokio::task::spawn_blocking(job::is_restart).await.unwrap_or(false);
        let mut session = Session::open(&self.agent_of_unit(), output).await?;
        match session.weir(&OnStop { restart }).await {
            Ok(stopping) => Ok(Some((session, stopping))),
            Err(SessionError::Unsupported(_)) => Ok(None),
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

/// How long a leave is waited for.
fn patience(Stopping { timeout_ms, .. }: Stopping) -> Duration {
    timeout_ms.map_or(config::Leave::TIMEOUT, Duration::from_millis).saturating_add(BESIDE)
}

/// What `work` comes to, unless it takes longer than that.
async fn within<T>(limit: Duration, done: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || Failure::new(Exit::Incomplete, format!("the agent has not {done} within {} s", limit.as_secs()));
    timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leave_on_a_stop_is_waited_for_as_long_as_it_is_given() {
        for (timeout_ms, seconds) in [(None, 42), (Some(30_000), 42), (Some(120_000), 132), (Some(15_500), 27)] {
            assert_eq!(patience(Stopping { leaves: true, timeout_ms }).as_secs(), seconds, "{timeout_ms:?}");
        }
        assert!(patience(Stopping { leaves: true, timeout_ms: Some(u64::MAX) }) > BESIDE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_does_not_end_is_named_and_not_waited_for() {
        let never = within(Duration::from_secs(42), "left", std::future::pending::<Result<(), Failure>>()).await;
        assert!(never.unwrap_err().to_text().contains("the agent has not left within 42 s"));
    }
}
