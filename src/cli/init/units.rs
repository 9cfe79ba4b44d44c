//! The units of the package: what systemd makes of them, and their start.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::command;

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// A leave takes up to 30 s, and systemd ends it after 40.
const LEAVE: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(200);

/// What makes a server run at boot.
pub(super) const UNITS: [&str; 3] = ["weir.service", "weir-apply.socket", "weir-apply-recover.service"];
/// What runs.
pub(super) const RUNNING: [&str; 2] = ["weir.service", "weir-apply.socket"];

/// What systemd makes of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Units {
    /// It is what started this host.
    pub(super) systemd: bool,
    /// By name.
    pub(super) known: BTreeMap<String, Unit>,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Unit {
    pub(super) loaded: bool,
    pub(super) masked: bool,
    pub(super) active: bool,
    pub(super) enabled: bool,
}

impl Units {
    pub(super) fn look() -> Self {
        if !Path::new("/run/systemd/system").exists() {
            return Self::default();
        }
        let mut show = command::clean(Path::new("systemctl"));
        show.args(["show", "--property=Id,LoadState,ActiveState,UnitFileState"]).args(UNITS);
        let said = command::run(show, PATIENCE, "").map(|ran| ran.stdout).unwrap_or_default();
        Self { systemd: true, known: parse(&said) }
    }

    fn unit(&self, name: &str) -> Unit {
        self.known.get(name).copied().unwrap_or_default()
    }

    /// Those that the package would have brought and that are not there.
    pub(super) fn missing(&self) -> Option<&'static str> {
        RUNNING.into_iter().find(|name| !self.unit(name).loaded && !self.unit(name).masked)
    }

    pub(super) fn masked(&self) -> Option<&'static str> {
        UNITS.into_iter().find(|name| self.unit(name).masked)
    }

    pub(super) fn agent_runs(&self) -> bool {
        self.unit("weir.service").active
    }

    pub(super) fn all_run(&self) -> bool {
        RUNNING.into_iter().all(|name| self.unit(name).active)
    }

    pub(super) fn all_enabled(&self) -> bool {
        UNITS.into_iter().all(|name| self.unit(name).enabled)
    }
}

/// Waits while systemd stops, starts or restarts the agent, for as long as a leave takes: what follows finds its ports free, or it
/// there. Blocks.
pub(super) fn wait_for_job(mut tell: impl FnMut()) {
    let until = Instant::now() + LEAVE;
    while is_changing() && Instant::now() < until {
        tell();
        std::thread::sleep(PAUSE);
    }
}

/// Whether an agent that was seen not to run does now, or systemd is about to change that. Blocks.
pub(super) fn is_agent_back() -> bool {
    is_changing() || Units::look().agent_runs()
}

fn is_changing() -> bool {
    let mut show = command::clean(Path::new("systemctl"));
    show.args(["show", "--property=ActiveState,Job", "--", RUNNING[0]]);
    command::run(show, PATIENCE, "").is_ok_and(|ran| changes(&ran.stdout))
}

/// A unit that is stopped by its own end has no job.
fn changes(properties: &str) -> bool {
    properties.lines().any(|line| match line.split_once('=') {
        Some(("ActiveState", state)) => state == "deactivating",
        Some(("Job", number)) => !matches!(number, "" | "0"),
        _ => false,
    })
}

/// Blocks of `KEY=VALUE`, a blank line between.
fn parse(text: &str) -> BTreeMap<String, Unit> {
    let one = |block: &str| {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let unit = Unit {
            loaded: value("LoadState") == Some("loaded"),
            masked: value("LoadState") == Some("masked"),
            active: matches!(value("ActiveState"), Some("active" | "reloading")),
            enabled: matches!(value("UnitFileState"), Some("enabled")),
        };
        Some((value("Id")?.to_owned(), unit))
    };
    text.split("\n\n").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_is_stopped_or_started_is_waited_for() {
        for changing in
            ["ActiveState=deactivating\n", "Job=812\nActiveState=activating\n", "ActiveState=inactive\nJob=7\n"]
        {
            assert!(changes(changing), "{changing}");
        }
        // One that failed and is to be started anew in some seconds is activating, too.
        for still in ["ActiveState=active\nJob=0\n", "ActiveState=activating\n", "ActiveState=failed\nJob=\n", ""] {
            assert!(!changes(still), "{still}");
        }
    }
}
