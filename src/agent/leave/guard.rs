//! Whether the drain of an application's guard has outlived its reason (`protocols A.6`).
//!
//! A guard that finds no agent has nothing to do. Who is started once the application has come back, with a drain that was kept for
//! its guard alone, would drain for ever: so systemd is asked whether a guard is there, for that says that its application is.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::command;
use crate::drain::Kept;

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// The look at a start.
#[derive(Debug, Default)]
pub(super) struct Guard {
    looking: Option<JoinHandle<bool>>,
}

impl Guard {
    /// Of an agent that goes on with this drain.
    pub(super) fn of(kept: Option<&Kept>) -> Self {
        let is_guards = kept.is_some_and(|kept| kept.guard && !kept.operator);
        Self { looking: is_guards.then(|| tokio::task::spawn_blocking(is_there)) }
    }

    /// Somebody asks for a drain, and knows better.
    pub(super) fn asked(&mut self) {
        self.looking = None;
    }

    /// Whether its reason is over. Never without a look. Cancel-safe.
    pub(super) async fn looked(&mut self) -> bool {
        let Some(looking) = &mut self.looking else { return std::future::pending().await };
        let over = looking.await.unwrap_or(false);
        self.looking = None;
        over
    }
}

/// Where the bus cannot say, it is not. Blocks.
fn is_there() -> bool {
    let mut list = command::clean(Path::new("systemctl"));
    list.args(["list-units", "--state=active", "--plain", "--no-legend", "--no-pager", "weir-guard@*.service"]);
    command::run(list, PATIENCE, "").is_ok_and(|ran| ran.success && has_active(&ran.stdout))
}

/// Whether a line `UNIT LOAD active SUB …` says so.
fn has_active(units: &str) -> bool {
    units.lines().any(|line| line.split_ascii_whitespace().nth(2) == Some("active"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::DrainId;
    use crate::wire::serf::LamportTime;

    #[test]
    fn a_guard_is_there_while_it_is_active() {
        for (units, active) in [
            ("weir-guard@www.service loaded active exited weir drains this node while www is away\n", true),
            ("weir-guard@www.service loaded deactivating stop-sigterm weir drains\n", false),
            ("", false),
        ] {
            assert_eq!(has_active(units), active, "{units}");
        }
    }

    #[tokio::test]
    async fn only_a_drain_that_a_guard_alone_asked_for_may_be_over() {
        for (operator, guard, looks) in [(true, false, false), (true, true, false), (false, true, true)] {
            let kept = Kept { id: DrainId::drawn(7), since: LamportTime(3), operator, guard, reason: None };
            let mut of = Guard::of(Some(&kept));
            assert_eq!(of.looking.is_some(), looks, "{operator} {guard}");
            of.asked();
            assert!(of.looking.is_none());
        }
        assert!(Guard::of(None).looking.is_none());
    }
}
