//! A question to the agent, which others may restart meanwhile, as an upgrade of the package does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::job;
use super::super::output::Output;
use super::super::session::Session;

/// A restart takes a second or two; a host that is busy with an upgrade, some more.
const RESTART: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

/// Asks `question`, over again from its beginning where the agent went away and is to come back.
pub(super) async fn asked<T>(
    agent: &AgentArgs,
    output: &Output,
    mut question: impl AsyncFnMut(&mut Session) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let is_to_come = async || tokio::task::spawn_blocking(job::is_agent_to_come).await.unwrap_or(false);
    patiently(async || question(&mut Session::open(agent, output).await?).await, is_to_come, output).await
}

async fn patiently<T>(
    mut ask: impl AsyncFnMut() -> Result<T, Failure>,
    is_to_come: impl AsyncFn() -> bool,
    output: &Output,
) -> Result<T, Failure> {
    let until = Instant::now() + RESTART;
    loop {
        match ask().await {
            Err(failure) if failure.exit() == Exit::NoAgent && Instant::now() < until && is_to_come().await => {
                output.progress("waiting for weir.service, which is restarted");
                sleep(PAUSE).await;
            }
            answered => return answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a question ends whose first `failures` fail with `exit`, and how often it is asked.
    async fn ends(exit: Exit, failures: u32, is_to_come: bool) -> (Result<u32, Exit>, u32) {
        let output = Output::new(Default::default(), Default::default(), true);
        let mut asked = 0;
        let ask = async || {
            asked += 1;
            if asked > failures { Ok(asked) } else { Err(Failure::new(exit, "no agent")) }
        };
        let ended = patiently(ask, async || is_to_come, &output).await;
        (ended.map_err(|failure| failure.exit()), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_restarted_is_waited_for() {
        assert_eq!(ends(Exit::NoAgent, 3, true).await, (Ok(4), 4));
        assert_eq!(ends(Exit::NoAgent, 3, false).await, (Err(Exit::NoAgent), 1), "it stays away");
        assert_eq!(ends(Exit::Incomplete, 3, true).await, (Err(Exit::Incomplete), 1), "it has answered");
        let begun = Instant::now();
        assert_eq!(ends(Exit::NoAgent, u32::MAX, true).await.0, Err(Exit::NoAgent));
        assert_eq!(begun.elapsed(), RESTART, "not for ever");
    }
}
