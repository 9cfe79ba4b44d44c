//! Whether the drain of an application's guard has outlived its reason (`protocols A.6`).
//!
//! A guard takes its drain back itself, when its application has started. Where it finds no agent then, or one that does not
//! answer, or is not there any more itself, the node would drain for ever: so as long as guards alone want it drained, systemd is
//! asked now and then whether their applications run and nothing is to become of them.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::command;
use crate::drain::{Guard, Guards, Kept};
use crate::time::Instant;

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);
/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(5);

/// The looks.
#[derive(Debug)]
pub(super) struct Look {
    looking: Option<JoinHandle<Vec<Guard>>>,
    /// When the next one is due; `None` while there is no reason.
    due: Option<Instant>,
}

impl Look {
    /// Of an agent that has just started: what it goes on with is looked at at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { looking: None, due: Some(now) }
    }

    /// Somebody asks for a drain, and knows better.
    pub(super) fn asked(&mut self) {
        (self.looking, self.due) = (None, None);
    }

    /// When [`Self::advance`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.looking.is_none())
    }

    /// Looks if that is due, as long as guards alone want the node drained.
    pub(super) fn advance(&mut self, now: Instant, kept: Option<&Kept>) {
        let Some(kept) = kept.filter(|kept| !kept.guards.is_empty() && !kept.operator) else { return self.asked() };
        let due = *self.due.get_or_insert(now + INTERVAL);
        if due <= now && self.looking.is_none() {
            let guards = kept.guards.clone();
            self.looking = Some(tokio::task::spawn_blocking(move || look(&guards)));
            self.due = Some(now + INTERVAL);
        }
    }

    /// Those whose applications are there again. Never without a look. Cancel-safe.
    pub(super) async fn looked(&mut self) -> Vec<Guard> {
        let Some(looking) = &mut self.looking else { return std::future::pending().await };
        let over = looking.await.unwrap_or_default();
        self.looking = None;
        over
    }
}

/// Where the bus cannot say, none is. Blocks.
fn look(guards: &Guards) -> Vec<Guard> {
    let named = guards.iter().filter(|guard| !guard.as_str().is_empty());
    let mut over: Vec<Guard> = named.filter(|guard| is_over(&shown(guard.as_str()))).cloned().collect();
    if guards.iter().any(|guard| guard.as_str().is_empty()) && is_any_active() {
        over.push(Guard::unnamed());
    }
    over
}

/// What systemd says of an application's unit and of its guard's.
fn shown(unit: &str) -> String {
    let guard = format!("weir-guard@{}.service", unit.trim_end_matches(".service"));
    asked(&["show", "--property=ActiveState,Job", "--", unit, &guard])
}

/// A guard that does not say whose it is may be any of them.
fn is_any_active() -> bool {
    let list = ["list-units", "--state=active", "--plain", "--no-legend", "--no-pager", "weir-guard@*.service"];
    !asked(&list).trim().is_empty()
}

fn asked(args: &[&str]) -> String {
    let mut systemctl = command::clean(Path::new("systemctl"));
    systemctl.args(args);
    command::run(systemctl, PATIENCE, "").ok().filter(|ran| ran.success).map(|ran| ran.stdout).unwrap_or_default()
}

/// Whether an application runs, of which `shown` tells, and no job is queued for it or for its guard: while one is, what it
/// does to the drain is still to come.
fn is_over(shown: &str) -> bool {
    let blocks: Vec<&str> = shown.trim().split("\n\n").collect();
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim().to_owned()
    };
    let is_idle = |block: &&str| matches!(value(block, "Job").as_str(), "" | "0");
    let [application, _guard] = blocks[..] else { return false };
    matches!(value(application, "ActiveState").as_str(), "active" | "reloading") && blocks.iter().all(is_idle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::DrainId;
    use crate::wire::serf::LamportTime;

    #[test]
    fn a_drain_is_over_where_the_application_runs_and_nothing_is_to_become_of_it() {
        // Of the application and of its guard: state, and the job that is queued.
        for (application, guard, over, why) in [
            (("active", ""), ("active", ""), true, "it was not heard"),
            (("active", "0"), ("inactive", "0"), true, "it was disabled meanwhile"),
            (("active", ""), ("failed", ""), true, "its undo has failed"),
            (("reloading", ""), ("active", ""), true, ""),
            (("active", "12"), ("inactive", ""), false, "it is drained and about to stop"),
            (("active", ""), ("activating", "13"), false, "it takes that back itself"),
            (("active", "12"), ("deactivating", "13"), false, "it drains"),
            (("inactive", ""), ("inactive", ""), false, "it is down"),
            (("failed", ""), ("active", ""), false, "it is down"),
            (("activating", "12"), ("inactive", "13"), false, "it is not there yet"),
        ] {
            let block = |(state, job): (&str, &str)| {
                let job = if job.is_empty() { String::new() } else { format!("Job={job}\n") };
                format!("{job}ActiveState={state}\n")
            };
            assert_eq!(is_over(&format!("{}\n{}", block(application), block(guard))), over, "{application:?} {why}");
        }
        assert!(!is_over(""), "the bus says nothing");
        assert!(!is_over("ActiveState=active\n"), "it says half");
    }

    #[tokio::test]
    async fn looks_go_on_while_guards_alone_ask() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        for (operator, units, looks) in
            [(true, &[][..], false), (true, &["a.service"], false), (false, &["a.service"], true)]
        {
            let guards: Guards = units.iter().map(|unit| Guard::new(unit).unwrap()).collect();
            let kept = Kept { id: DrainId::drawn(7), since: LamportTime(3), operator, guards, reason: None };
            let mut look = Look::new(at(0));
            look.advance(at(0), Some(&kept));
            assert_eq!(look.looking.is_some(), looks, "{operator} {units:?}");
            look.asked();
            look.advance(at(1), Some(&kept));
            assert_eq!((look.looking.is_some(), look.poll_timeout()), (false, looks.then_some(at(6))));
            look.advance(at(6), Some(&kept));
            assert_eq!(look.looking.is_some(), looks);
            look.advance(at(7), None);
            assert_eq!((look.looking.is_some(), look.poll_timeout()), (false, None), "it serves again");
        }
    }
}
