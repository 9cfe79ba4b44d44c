//! `--watch`: the same answer again, whenever it changes (`ux §2.1`).

use std::time::Duration;

use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, to_json_line};
use super::session::Session;
use crate::config::duration;

/// Draws again on a terminal, and prints only what is new to a program: a JSON line or a block of text per change.
#[derive(Debug)]
pub(crate) struct Watch {
    interval: Duration,
    last: Option<String>,
    /// What kind of failure keeps the agent from answering; it has been told.
    lost: Option<Exit>,
}

impl Watch {
    /// Looks every `interval`, but not more often than ten times a second.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_millis(100)), last: None, lost: None }
    }

    /// Shows an answer if it differs from the one before.
    pub(crate) fn show(
        &mut self,
        output: &Output,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let (shown, end) = if output.is_json() { (to_json_line(value), "\n") } else { (text(), "") };
        if self.last.as_ref() == Some(&shown) {
            return Ok(());
        }
        let between = if self.last.is_some() && !output.is_json() && !output.is_terminal() { "\n" } else { "" };
        if !output.is_json() {
            output.clear()?;
        }
        output.text(&format!("{between}{shown}{end}"))?;
        self.last = Some(shown);
        Ok(())
    }

    /// What the agent answered; `None` while it does not, as when it is started anew. That is told once, and so is its return.
    ///
    /// # Errors
    ///
    /// It never answered.
    pub(crate) async fn answered<T>(
        &mut self,
        fetched: Result<T, Failure>,
        session: &mut Session,
        agent: &AgentArgs,
        output: &Output,
    ) -> Result<Option<T>, Failure> {
        match fetched {
            Ok(answer) => {
                if self.lost.take().is_some() {
                    output.notice("the agent answers again");
                }
                Ok(Some(answer))
            }
            Err(failure) if self.last.is_none() => Err(failure),
            Err(failure) => {
                if self.lost.replace(failure.exit()) != Some(failure.exit()) {
                    output.failure(&failure);
                    output.notice(&format!("looking again every {}", duration::text(self.interval)));
                }
                // Whether that helps shows at the next look.
                drop(session.reopen(agent).await);
                Ok(None)
            }
        }
    }

    /// Waits until it is time to look again.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(self.interval).await;
    }
}
