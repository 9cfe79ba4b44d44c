//! `weir event`: a user event for all members.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::rpc::refusal::{Kind, Refusal};

/// Send a user event to all members.
#[derive(Debug, clap::Args)]
pub(crate) struct Event {
    /// The event's name; handlers filter by it
    name: String,
    /// What it carries
    #[arg(conflicts_with = "payload_file")]
    payload: Option<String>,
    /// Read the payload from a file, or from standard input with -
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// Whether receivers may keep only the newest event of a name
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = crate::config::boolean, action = clap::ArgAction::Set)]
    coalesce: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Event {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let payload = self.payload()?;
        let mut session = Session::open(&self.agent, output).await?;
        let bytes = self.name.len() + payload.len();
        session.event(&self.name, payload.into(), self.coalesce).await.map_err(|error| explain(error, bytes))?;
        if output.is_json() {
            output.json(&json!({ "event": self.name, "coalesce": self.coalesce, "dispatched": true }))?;
        } else {
            output.text(&render(&self.name, self.coalesce))?;
        }
        Ok(Exit::Done)
    }

    fn payload(&self) -> Result<Vec<u8>, Failure> {
        match &self.payload_file {
            Some(path) => read(path),
            None => Ok(self.payload.clone().unwrap_or_default().into_bytes()),
        }
    }
}

/// Too many bytes: gossip is no way to send files.
fn explain(error: SessionError, bytes: usize) -> Failure {
    let SessionError::Refused(Refusal { kind: Kind::TooLarge { limit, encoded }, .. }) = error else {
        return error.into();
    };
    let encoded = if encoded { " before encoding" } else { "" };
    Failure::new(Exit::Failed, format!("user event is {bytes} bytes{encoded}, the limit is {limit}"))
        .with_remedy("send a reference and let handlers fetch the rest")
}

/// Serf's words, which scripts know.
pub(crate) fn render(name: &str, coalesce: bool) -> String {
    format!("Event '{}' dispatched! Coalescing enabled: {coalesce}\n", crate::escape::escape(name))
}

/// More than any event can carry; a device that never ends must not fill memory.
const MAX_PAYLOAD: usize = 64 << 10;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    crate::file::read_argument(path, MAX_PAYLOAD).map_err(|error| Failure::of_file("read", path, &error))
}
