//! `weir keygen`: a new key from the system's randomness.

use rand::TryRng as _;
use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::crypto::Key;

/// Make a new cluster key: 32 bytes in base64.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {}

impl Keygen {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let key = generate()?;
        if output.is_json() {
            output.json(&json!({ "key": key.to_base64().as_str(), "id": key.id().to_string() }))?;
        } else {
            output.text(&format!("{}\n", key.to_base64().as_str()))?;
        }
        Ok(Exit::Done)
    }
}

/// A key that nobody can guess.
pub(crate) fn generate() -> Result<Key, Failure> {
    let mut problem = None;
    let key = Key::generate(&mut |bytes| problem = rand::rngs::SysRng.try_fill_bytes(bytes).err());
    match problem {
        None => Ok(key),
        Some(error) => Err(Failure::new(Exit::Failed, format!("the system gives no randomness: {error}"))),
    }
}
