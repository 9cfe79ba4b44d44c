//! `weir version`: ours, and the protocol's.

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Newest version of the Serf protocol that we speak.
const PROTOCOL_MAX: u8 = 5;
/// Oldest version of the Serf protocol that we understand.
const PROTOCOL_MIN: u8 = 2;

/// Print the version.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let version = env!("CARGO_PKG_VERSION");
        if output.is_json() {
            output.json(&json!({
                "version": version,
                "protocol": { "max": PROTOCOL_MAX, "min": PROTOCOL_MIN, "version": PROTOCOL_MAX },
            }))?;
        } else {
            output.text(&format!("weir {version}\n{}", protocol()))?;
        }
        Ok(Exit::Done)
    }
}

/// The line about the protocol, which is Serf's.
pub(crate) fn protocol() -> String {
    format!("Agent Protocol: {PROTOCOL_MAX} (Understands back to: {PROTOCOL_MIN})\n")
}
