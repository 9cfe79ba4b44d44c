//! The snapshots that agents leave behind.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use weir::snapshot::{Replay, Rules, State, UnixTime};

use crate::support::{Agent, until};

pub(crate) fn path(agent: &Agent) -> PathBuf {
    agent.dir.path().join("snapshot")
}

pub(crate) fn read(bytes: &[u8]) -> Replay {
    let failed_for = Duration::from_secs(24 * 3600);
    Replay::read(bytes, Rules { rejoin_after_leave: true, failed_for, now: UnixTime(0) })
}

/// Empty before there is a file.
pub(crate) fn state(agent: &Agent) -> State {
    fs::read(path(agent)).map(|bytes| read(&bytes).state).unwrap_or_default()
}

/// Waits until the members called `names` are written down as alive: that is done when they join, but not before we can see it.
pub(crate) fn await_alive(agent: &Agent, names: &[&str]) {
    until(&format!("{names:?} are on disk as alive"), || {
        let state = state(agent);
        let missing: Vec<_> = names.iter().filter(|name| !is_alive(&state, name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are missing of {state:?}")) }
    });
}

fn is_alive(state: &State, name: &str) -> bool {
    state.peers().any(|peer| peer.name.as_str() == name && peer.failed.is_none())
}
