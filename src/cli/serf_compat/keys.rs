//! `serf keys`: one operation on every member's keyring.

use super::super::keys::Change;
use super::client::{Outcome, Stop, connect, line, prefixed};
use super::flags::Parsed;
use super::{commands, print, text};
use crate::rpc::client::{Client, ClientError};
use crate::rpc::proto::KeyResponse;

/// `serf keys`.
pub(super) async fn run(parsed: &Parsed) -> Outcome {
    let given = |name| parsed.text(name).filter(|key| !key.is_empty());
    let changes = [("install", Change::Install), ("use", Change::Use), ("remove", Change::Remove)];
    let changes: Vec<(Change, &str)> =
        changes.into_iter().filter_map(|(name, change)| Some((change, given(name)?))).collect();
    let is_list = parsed.bool("list", false);
    match (is_list, changes.as_slice()) {
        (false, []) => {
            print(&commands::usage("keys"));
            Err(Stop::Said)
        }
        (true, []) => list_keys(&mut connect(parsed).await?).await,
        (false, [(change, key)]) => change_key(&mut connect(parsed).await?, *change, key).await,
        _ => line("Only one of -install, -use, -remove, or -list allowed"),
    }
}

async fn list_keys(client: &mut Client) -> Outcome {
    let prefix = "Failed to gather member keys";
    print("==> Asking all members for installed keys...\n");
    let keys = key_outcome(client.list_keys().await, prefix)?;
    print("==> Keys gathered, listing cluster keys...\n\n");
    print(&text::key_list(&keys.keys.unwrap_or_default(), keys.nodes));
    Ok(())
}

async fn change_key(client: &mut Client, change: Change, key: &str) -> Outcome {
    let (doing, prefix, done) = match change {
        Change::Install => ("Installing key", "Error installing key", "Successfully installed key!"),
        Change::Use => ("Changing primary key", "Error changing primary key", "Successfully changed primary key!"),
        Change::Remove => ("Removing key", "Error removing key", "Successfully removed key!"),
    };
    print(&format!("==> {doing} on all members...\n"));
    let result = match change {
        Change::Install => client.install_key(key).await,
        Change::Use => client.use_key(key).await,
        Change::Remove => client.remove_key(key).await,
    };
    key_outcome(result, prefix)?;
    print(&format!("==> {done}\n"));
    Ok(())
}

/// What the members said, and the error if there was one.
fn key_outcome(
    result: Result<(KeyResponse, Option<ClientError>), ClientError>,
    prefix: &'static str,
) -> Result<KeyResponse, Stop> {
    let (keys, error) = result.unwrap_or_else(|error| (KeyResponse::default(), Some(error)));
    match error {
        None => Ok(keys),
        Some(error) => {
            print(&text::key_failures(&keys.messages));
            Err(prefixed(prefix)(error))
        }
    }
}
