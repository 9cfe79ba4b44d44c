//! Ring and state on their way to the disk, one write at a time and in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tracing::{info, warn};

use super::driver::{Agent, Report};
use super::key_state::{self, KeyState};
use super::{clock, keyring};
use crate::crypto::KeyId;
use crate::endpoint::{Asker, StoreKeyring, Stored};

/// The disk's time at the agent's end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Where ring and state belong, and what waits.
#[derive(Debug)]
pub(super) struct KeyWriter {
    place: keyring::Place,
    /// Nowhere for a key of the command line.
    state_path: Option<PathBuf>,
    state: KeyState,
    /// A write is under way.
    running: bool,
    /// The state on disk is older than ours.
    state_due: bool,
    /// The ring that is next; the endpoint asks for one at a time.
    change: Option<StoreKeyring>,
}

/// A write that has ended.
#[derive(Debug)]
pub(super) struct Written {
    change: Option<StoreKeyring>,
    stored: Stored,
}

impl KeyWriter {
    pub(super) fn new(place: keyring::Place, state_path: Option<PathBuf>, state: KeyState) -> Self {
        Self { place, state_path, state, running: false, state_due: false, change: None }
    }

    /// Gives back what was reserved and not sealed. The state on disk is ahead already if the disk does not answer.
    pub(super) async fn finish(&mut self, sealed: &BTreeMap<KeyId, u64>) {
        let Some(path) = self.state_path.clone().filter(|_| !self.running && !sealed.is_empty()) else { return };
        self.state.settle(sealed);
        let state = self.state.clone();
        let write = tokio::task::spawn_blocking(move || key_state::store(&path, &state));
        if !matches!(timeout(LAST_WRITE, write).await, Ok(Ok(Ok(())))) {
            warn!("the state of the keyring cannot be written at the end, its counts stay ahead");
        }
    }
}

impl Agent {
    /// On disk before it takes effect, and the disk may be slow.
    pub(super) fn store_keyring(&mut self, change: StoreKeyring) {
        match (&change.refused, change.asker) {
            (None, Asker::Member(_)) => {
                let (from, primary, keys) = (&change.from, change.keyring.primary().id(), change.keyring.keys().len());
                info!(from, %primary, keys, "keyring changes");
            }
            (None, Asker::Operator(_)) => {
                info!(primary = %change.keyring.primary().id(), keys = change.keyring.keys().len(), "keyring changes by hand");
            }
            (Some(error), _) => info!(from = change.from, error, "change of the keyring is refused"),
        }
        if let Some(ballot) = change.ballot {
            self.keys.state.obey(ballot, &change.from, SystemTime::now());
            self.keys.state_due = true;
        }
        self.keys.change = Some(change);
        self.write_keys();
    }

    /// Looks how much the keys have sealed, and writes ahead of it.
    pub(super) fn count_sealed(&mut self) {
        // Members that join wear a key as well as packets do.
        let members = self.endpoint.swim().present() as u64;
        for (key, sealed) in self.keys.state.newly_worn(self.endpoint.sealed(), members) {
            warn!(%key, sealed, members, "key has sealed a quarter of what it safely can; run 'weir keys rotate'");
        }
        if self.keys.state.reserve(self.endpoint.sealed()) {
            self.keys.state_due = true;
            self.write_keys();
        }
    }

    fn write_keys(&mut self) {
        let keys = &mut self.keys;
        if keys.running || keys.change.is_none() && !keys.state_due {
            return;
        }
        keys.running = true;
        let state = std::mem::take(&mut keys.state_due).then(|| (keys.state_path.clone(), keys.state.clone()));
        let change = keys.change.take();
        let (place, report) = (keys.place.clone(), self.report.clone());
        let unchanged = change.as_ref().is_some_and(|change| self.endpoint.keyring() == Some(&change.keyring));
        tokio::task::spawn_blocking(move || {
            let stored = write(&place, state, change.as_ref(), unchanged);
            // Nobody takes it only if the agent has ended.
            drop(report.blocking_send(Report::KeysWritten(Box::new(Written { change, stored }))));
        });
    }

    pub(super) fn handle_keys_written(&mut self, written: Written) {
        self.keys.running = false;
        if let Stored::Failed(error) = &written.stored {
            // Tried again with the next change or count.
            warn!(error, "keyring or its state cannot be written, the ring in use stays");
        }
        if let Some(change) = written.change {
            self.endpoint.handle_keyring_stored(clock::now(), change, written.stored);
        }
        self.write_keys();
    }
}

/// The state first: a ring that a rotation made must not be found without its ballot.
fn write(
    place: &keyring::Place,
    state: Option<(Option<PathBuf>, KeyState)>,
    change: Option<&StoreKeyring>,
    unchanged: bool,
) -> Stored {
    if let Some((Some(path), state)) = state
        && let Err(error) = key_state::store(&path, &state)
    {
        return Stored::Failed(format!("cannot write {}: {error}", path.display()));
    }
    let on_disk = unchanged && matches!(place, keyring::Place::File(_));
    match change.filter(|change| change.refused.is_none() && !on_disk) {
        Some(change) => keyring::store(place, change),
        None => Stored::Kept,
    }
}
