//! What this balancer's own probes say of a server.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::status::{Known, Trouble};
use crate::upstream;

/// The probes of one server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Probe {
    pub state: Known<ProbeState>,
    /// What it is asked, `GET http://10.77.0.12:80/`.
    #[serde(default)]
    pub question: String,
    /// How long the newest one took, in milliseconds with a fraction; `None` before the first has ended.
    #[serde(default)]
    pub took_ms: Option<f64>,
    /// Why the newest one failed, in words; `None` if it did not.
    #[serde(default)]
    pub error: Option<String>,
    /// The same as the fault of a service: `its service refuses connections`.
    #[serde(default)]
    pub fault: Option<String>,
    /// That this host could not ask, which says nothing of the service, and the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Trouble>,
    /// Since when they say that.
    #[serde(default)]
    pub since: Option<String>,
    /// When the first of the failures was seen since which it is not well; `None` while it is.
    #[serde(default)]
    pub first_failure: Option<String>,
    /// In a row, the newest included.
    #[serde(default)]
    pub successes: u32,
    #[serde(default)]
    pub failures: u32,
    /// How many in a row bring it up and down.
    #[serde(default)]
    pub rise: u32,
    #[serde(default)]
    pub fall: u32,
}

/// What they say.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeState {
    /// The service itself answers.
    Up,
    /// The port takes connections.
    Open,
    /// It does not answer as it should.
    Down,
    /// No verdict yet.
    Wait,
    /// Its upstream has no probe, and a doubt of gossip's has come to nothing so far.
    None,
}

impl From<upstream::Probe> for ProbeState {
    fn from(probe: upstream::Probe) -> Self {
        match probe {
            upstream::Probe::Up => Self::Up,
            upstream::Probe::Open => Self::Open,
            upstream::Probe::Down => Self::Down,
            upstream::Probe::Wait => Self::Wait,
            upstream::Probe::None => Self::None,
        }
    }
}

impl fmt::Display for ProbeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Open => "open",
            Self::Down => "down",
            Self::Wait => "wait",
            Self::None => "none",
        })
    }
}

/// `probe 1.2 ms`, `probe down: connection refused`.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.took_ms) {
            (Some(error), _) => write!(f, "probe {}: {error}", self.state),
            (None, Some(took_ms)) if self.state.is(&ProbeState::Up) => write!(f, "probe {took_ms:.1} ms"),
            (None, Some(took_ms)) => write!(f, "probe {}, {took_ms:.1} ms", self.state),
            (None, None) => write!(f, "probe {}", self.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_told_in_few_words() {
        let told = |state: ProbeState, took_ms, error: Option<&str>| {
            let probe = Probe {
                state: state.into(),
                question: String::new(),
                took_ms,
                error: error.map(str::to_owned),
                fault: None,
                unasked: None,
                since: None,
                first_failure: None,
                successes: 0,
                failures: 0,
                rise: 2,
                fall: 2,
            };
            probe.to_string()
        };
        for (state, took_ms, error, words) in [
            (ProbeState::Up, Some(1.234), None, "probe 1.2 ms"),
            (ProbeState::Open, Some(0.04), None, "probe open, 0.0 ms"),
            (ProbeState::Up, Some(500.0), Some("status 503"), "probe up: status 503"),
            (ProbeState::Down, Some(0.1), Some("connection refused"), "probe down: connection refused"),
            (ProbeState::Down, Some(1.0), None, "probe down, 1.0 ms"),
            (ProbeState::Wait, None, None, "probe wait"),
        ] {
            assert_eq!(told(state, took_ms, error), words);
        }
    }
}
