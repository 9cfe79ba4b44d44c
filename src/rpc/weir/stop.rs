//! What `ExecStop=` asks before systemd stops the agent (`protocols A.6`).

use serde::{Deserialize, Serialize};

/// The unit of the agent is about to be stopped.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct OnStop {
    /// It is started again at once: the signal that follows is no leave, whatever `leave.on_stop` says.
    pub restart: bool,
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Stopping {
    /// It is to leave first, by `leave.on_stop`.
    pub leaves: bool,
    /// How long that may take: `leave.timeout`. An older agent does not say.
    pub timeout_ms: Option<u64>,
}
