//! `--watch`: the same answer again, whenever it changes (`ux §2.1`).

use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::output::{Output, to_json_line};

/// Draws again on a terminal, and prints only what is new to a program: a JSON line or a block of text per change.
#[derive(Debug)]
pub(crate) struct Watch {
    interval: Duration,
    last: Option<String>,
}

impl Watch {
    /// Looks every `interval`, but not more often than ten times a second.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_millis(100)), last: None }
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

    /// Waits until it is time to look again.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(self.interval).await;
    }
}
