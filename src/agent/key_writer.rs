//! Ring and state on their way to the disk, one write at a time and in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::clock::Calendar;
use super::key_state::{self, KeyState};
use super::keyring;
use crate::crypto::{Key, KeyId, Keyring};
use crate::endpoint::{Asker, Endpoint, StoreKeyring, Stored};
use crate::error::Trouble;
use crate::status::node::Failing;
use crate::time::Instant;

/// The disk's time at the agent's end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Where ring and state belong, and what waits.
#[derive(Debug)]
pub(super) struct KeyWriter {
    place: keyring::Place,
    /// Nowhere for a key of the command line.
    state_path: Option<PathBuf>,
    state: KeyState,
    /// The write under way.
    running: Option<JoinHandle<Written>>,
    /// Since when nothing can be written, and why.
    failing: Option<(Instant, Trouble)>,
    /// When each worn key was first seen to be.
    worn: BTreeMap<KeyId, Instant>,
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
        Self {
            place,
            state_path,
            state,
            running: None,
            failing: None,
            worn: BTreeMap::new(),
            state_due: false,
            change: None,
        }
    }

    /// Gives back what was reserved and not sealed. The state on disk is ahead already if the disk does not answer.
    pub(super) async fn finish(&mut self, sealed: &BTreeMap<KeyId, u64>) {
        let Some(path) = self.state_path.clone().filter(|_| self.running.is_none() && !sealed.is_empty()) else {
            return;
        };
        self.state.settle(sealed);
        let state = self.state.clone();
        let write = tokio::task::spawn_blocking(move || key_state::store(&path, &state));
        if !matches!(timeout(LAST_WRITE, write).await, Ok(Ok(Ok(())))) {
            warn!("the state of the keyring cannot be written at the end, its counts stay ahead");
        }
    }

    /// Since when ring or state cannot be written, and why.
    pub(super) fn failing(&self, calendar: &Calendar) -> Option<Failing> {
        let (since, Trouble { what, way_out }) = self.failing.as_ref()?;
        let remedy = Some(way_out.clone()).filter(|way_out| !way_out.is_empty());
        Some(Failing { error: what.clone(), remedy, since: Some(calendar.date(*since)) })
    }

    /// When a key was first seen to be worn; `None` if it is not.
    pub(super) fn worn_since(&self, key: KeyId) -> Option<Instant> {
        self.worn.get(&key).copied()
    }

    /// On disk before it takes effect, and the disk may be slow.
    pub(super) fn store(&mut self, change: StoreKeyring, endpoint: &Endpoint) {
        if let Some(ballot) = change.ballot {
            self.state.obey(ballot, &change.from, SystemTime::now());
            self.state_due = true;
        }
        if let Some(before) = endpoint.keyring().filter(|_| change.refused.is_none()) {
            let members = endpoint.swim().present();
            self.state_due |= self.state.replace_ring(before, &change.keyring, members, SystemTime::now());
        }
        self.change = Some(change);
        self.write(endpoint);
    }

    /// Looks how much the keys have sealed, and writes ahead of it.
    pub(super) fn count_sealed(&mut self, now: Instant, endpoint: &Endpoint) {
        // Members that join wear a key as well as packets do.
        let members = endpoint.swim().present() as u64;
        for (key, sealed) in self.state.newly_worn(endpoint.sealed(), members) {
            warn!(%key, sealed, members, "key has sealed a quarter of what it safely can; run 'weir keys rotate'");
            self.worn.insert(key, now);
        }
        if self.state.reserve(endpoint.sealed()) {
            self.state_due = true;
            self.write(endpoint);
        }
    }

    /// Starts the next write if none runs.
    fn write(&mut self, endpoint: &Endpoint) {
        if self.running.is_some() || self.change.is_none() && !self.state_due {
            return;
        }
        let state = std::mem::take(&mut self.state_due).then(|| (self.state_path.clone(), self.state.clone()));
        let (change, place) = (self.change.take(), self.place.clone());
        let unchanged = change.as_ref().is_some_and(|change| endpoint.keyring() == Some(&change.keyring));
        self.running = Some(tokio::task::spawn_blocking(move || {
            let stored = write(&place, state, change.as_ref(), unchanged);
            Written { change, stored }
        }));
    }

    /// The end of the write that runs; never without one. Cancel-safe.
    pub(super) async fn written(&mut self) -> Written {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let written = running.await;
        self.running = None;
        written.unwrap_or_else(|error| Written {
            change: None,
            stored: Stored::Failed(Trouble::new(error.to_string(), "")),
        })
    }

    /// The ring takes effect, or the one in use stays.
    pub(super) fn handle_written(&mut self, now: Instant, endpoint: &mut Endpoint, written: Written) {
        let changed = written.change.as_ref().map(|change| tell(change, &written.stored, endpoint));
        match &written.stored {
            Stored::Failed(error) => {
                // Tried again with the next change or count.
                warn!(
                    changed,
                    error = error.to_string(),
                    "keyring or its state cannot be written, the ring in use stays"
                );
                let since = self.failing.take().map_or(now, |(since, _)| since);
                self.failing = Some((since, error.clone()));
            }
            Stored::Kept | Stored::NotKept(_) => self.failing = None,
        }
        if let Some(change) = written.change {
            endpoint.handle_keyring_stored(now, change, written.stored);
        }
        self.write(endpoint);
    }
}

/// Logs what became of a change, before it takes effect; returns what was to change.
fn tell(change: &StoreKeyring, stored: &Stored, endpoint: &Endpoint) -> String {
    let changed = endpoint.keyring().map(|before| differences(before, &change.keyring)).unwrap_or_default();
    match (&change.refused, change.asker, stored) {
        (Some(error), ..) => info!(from = change.from, error, "change of the keyring is refused"),
        // A warning tells it.
        (None, _, Stored::Failed(_)) => {}
        (None, ..) if changed.is_empty() => debug!(from = change.from, "keyring is already so"),
        (None, Asker::Member(_), _) => info!(from = change.from, changed, "keyring changes"),
        (None, Asker::Operator(_), _) => info!(changed, "keyring changes by hand"),
    }
    changed
}

/// `+ b07e4410, seals 3fa9c1d2 -> b07e4410, - 3fa9c1d2`.
fn differences(before: &Keyring, after: &Keyring) -> String {
    let lacks = |ring: &Keyring, key: KeyId| ring.keys().iter().all(|held| held.id() != key);
    let only = |ring: &Keyring, other: &Keyring, sign: &str| -> Vec<String> {
        let ids = ring.keys().iter().map(Key::id);
        ids.filter(|id| lacks(other, *id)).map(|id| format!("{sign} {id}")).collect()
    };
    let (was, is) = (before.primary().id(), after.primary().id());
    let primary = (was != is).then(|| format!("seals {was} -> {is}"));
    [only(after, before, "+"), primary.into_iter().collect(), only(before, after, "-")].concat().join(", ")
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
        return Stored::Failed(keyring::unwritten(&path, &error));
    }
    let on_disk = unchanged && matches!(place, keyring::Place::File(_));
    match change.filter(|change| change.refused.is_none() && !on_disk) {
        Some(change) => keyring::store(place, change),
        None => Stored::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_ring_names_the_keys_that_come_and_go() {
        let [a, b] = [1, 2].map(|byte| Key::new(&[byte; 16]).unwrap());
        let ring =
            |primary: &Key, others: &[&Key]| Keyring::new(primary.clone(), others.iter().map(|key| (*key).clone()));
        let (of_a, of_b) = (a.id(), b.id());
        for (before, after, changed) in [
            (ring(&a, &[]), ring(&a, &[&b]), format!("+ {of_b}")),
            (ring(&a, &[&b]), ring(&b, &[&a]), format!("seals {of_a} -> {of_b}")),
            (ring(&b, &[&a]), ring(&b, &[]), format!("- {of_a}")),
            (ring(&a, &[]), ring(&b, &[]), format!("+ {of_b}, seals {of_a} -> {of_b}, - {of_a}")),
            (ring(&a, &[&b]), ring(&a, &[&b]), String::new()),
        ] {
            assert_eq!(differences(&before, &after), changed);
        }
    }
}
