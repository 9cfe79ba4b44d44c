//! The packaged unit, as far as a command wants to know why no agent answers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command;
use crate::config::duration;

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// What systemd makes of `weir.service`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// There is no such unit, or no systemd.
    Absent,
    /// Not started, or systemd does not say.
    Stopped,
    /// It ended with an error; perhaps it is about to be started again.
    Failed,
    Running,
}

impl State {
    pub(super) fn ask() -> Self {
        if !Path::new("/run/systemd/system").exists() {
            return Self::Absent;
        }
        let mut show = Command::new("systemctl");
        show.args(["show", "--property=LoadState,ActiveState,SubState", "weir.service"]);
        command::run(show, PATIENCE, "").map_or(Self::Stopped, |ran| Self::parse(&ran.stdout))
    }

    /// Lines of `KEY=VALUE`.
    fn parse(text: &str) -> Self {
        let has = |line: &str| text.lines().any(|each| each == line);
        if has("LoadState=not-found") {
            Self::Absent
        } else if has("ActiveState=failed") || has("SubState=auto-restart") {
            Self::Failed
        } else if has("ActiveState=active") || has("ActiveState=reloading") {
            Self::Running
        } else {
            Self::Stopped
        }
    }
}

/// How long systemd waits for `weir.service` to stop; `None` where it does not say, or waits for ever.
pub(super) fn stop_timeout() -> Option<Duration> {
    if !Path::new("/run/systemd/system").exists() {
        return None;
    }
    let mut show = command::clean(Path::new("systemctl"));
    show.args(["show", "--property=LoadState,TimeoutStopUSec", "weir.service"]);
    command::run(show, PATIENCE, "").ok().and_then(|ran| timeout_in(&ran.stdout))
}

fn timeout_in(text: &str) -> Option<Duration> {
    let is_there = text.lines().any(|line| line == "LoadState=loaded");
    let value = text.lines().find_map(|line| line.strip_prefix("TimeoutStopUSec="))?;
    is_there.then(|| duration::parse(value)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_stop_is_read_as_systemctl_shows_it() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        for (text, timeout) in [
            ("LoadState=loaded\nTimeoutStopUSec=45s\n", secs(45)),
            ("LoadState=loaded\nTimeoutStopUSec=1min 30s\n", secs(90)),
            ("LoadState=loaded\nTimeoutStopUSec=infinity\n", None),
            ("LoadState=not-found\nTimeoutStopUSec=1min 30s\n", None),
            ("", None),
        ] {
            assert_eq!(timeout_in(text), timeout, "{text}");
        }
    }

    #[test]
    fn a_unit_that_fails_is_told_from_one_that_is_stopped_or_not_there() {
        for (text, state) in [
            ("LoadState=not-found\nActiveState=inactive\nSubState=dead\n", State::Absent),
            ("LoadState=loaded\nActiveState=failed\nSubState=failed\n", State::Failed),
            ("ActiveState=activating\nSubState=auto-restart\n", State::Failed),
            ("ActiveState=activating\nSubState=start\n", State::Stopped),
            ("ActiveState=inactive\nSubState=dead\n", State::Stopped),
            ("ActiveState=active\nSubState=running\n", State::Running),
            ("", State::Stopped),
        ] {
            assert_eq!(State::parse(text), state, "{text}");
        }
    }
}
