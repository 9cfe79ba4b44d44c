//! `weir force-leave`: a failed member that never comes back becomes one that left.
//!
//! The reference prints nothing and ends with 0 for any name, and with `-prune` makes a live member invisible. Here the
//! name must exist, a live member is not pruned, and the command waits until the agent shows the new state.

use std::time::{Duration, Instant};

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::{Failure, no_member};
use super::members::Member;
use super::output::Output;
use super::session::Session;
use crate::escape::escape;

/// How long to wait for the new state: longer than the agent's own bound on the broadcast.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// A member that only leaves is back when its host starts again.
const STOP_THERE: &str = "stop it there with 'systemctl disable --now weir' ('weir leave' where no unit starts it)";

/// Turn a failed member into one that left.
#[derive(Debug, clap::Args)]
pub(crate) struct ForceLeave {
    /// The member
    member: String,
    /// Also forget it at once
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

/// What the member's row says about the command's success.
#[derive(Debug, Eq, PartialEq)]
enum Progress {
    Done,
    Waiting,
}

impl ForceLeave {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let members = session.members(&Default::default()).await?;
        self.check(&members)?;
        session.force_leave(&self.member, self.prune).await?;
        let start = Instant::now();
        loop {
            let members = session.members(&Default::default()).await?;
            if self.progress(&members) == Progress::Done {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err(self.refuted(&members));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.report(output)
    }

    /// Refuses names that nobody has, and pruning what is alive.
    fn check(&self, members: &[Member]) -> Result<(), Failure> {
        let Some(member) = members.iter().find(|member| member.name == self.member) else {
            return Err(no_member(&self.member, members.iter().map(|member| member.name.as_str())));
        };
        if self.prune && matches!(member.status.as_str(), "alive" | "leaving") {
            return Err(Failure::new(
                Exit::Refused,
                format!("'{}' is {}; pruned, it would go on unseen", self.member, member.status),
            )
            .with_remedy(format!("{STOP_THERE}, or wait until it is failed")));
        }
        Ok(())
    }

    fn progress(&self, members: &[Member]) -> Progress {
        let status = members.iter().find(|member| member.name == self.member).map(|member| member.status.as_str());
        match (status, self.prune) {
            (None, _) | (Some("left"), false) => Progress::Done,
            (Some(_), _) => Progress::Waiting,
        }
    }

    fn refuted(&self, members: &[Member]) -> Failure {
        let status = members.iter().find(|member| member.name == self.member).map_or("gone", |m| m.status.as_str());
        let failure = Failure::new(
            Exit::Incomplete,
            format!("'{}' is still {status} after {} s", self.member, PATIENCE.as_secs()),
        );
        if status == "alive" {
            failure.with_remedy(format!("it lives and refutes this; {STOP_THERE}"))
        } else {
            failure.with_remedy("run it again")
        }
    }

    fn report(&self, output: &Output) -> Result<Exit, Failure> {
        let state = if self.prune { "forgotten" } else { "left" };
        if output.is_json() {
            output.json(&json!({ "member": self.member, "state": state }))?;
        } else {
            output.text(&format!("{} {state}\n", escape(&self.member)))?;
        }
        Ok(Exit::Done)
    }
}
