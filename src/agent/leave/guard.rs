//! Whether the drain of an application's guard has outlived its reason (`protocols A.6`).
//!
//! A guard that finds no agent has nothing to do. Who is started once the application has come back, with a drain that was kept for
//! guards alone, would drain for ever: so systemd is asked which guards are there, for that says that their applications are.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::command;
use crate::drain::{Guard, Guards, Kept};

/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// The look at a start.
#[derive(Debug, Default)]
pub(super) struct Look {
    looking: Option<JoinHandle<Vec<Guard>>>,
}

impl Look {
    /// Of an agent that goes on with this drain.
    pub(super) fn of(kept: Option<&Kept>) -> Self {
        let guards = kept.filter(|kept| !kept.guards.is_empty() && !kept.operator).map(|kept| kept.guards.clone());
        Self { looking: guards.map(|guards| tokio::task::spawn_blocking(move || look(&guards))) }
    }

    /// Somebody asks for a drain, and knows better.
    pub(super) fn asked(&mut self) {
        self.looking = None;
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
    let mut list = command::clean(Path::new("systemctl"));
    list.args([
        "list-units",
        "--full",
        "--state=active",
        "--plain",
        "--no-legend",
        "--no-pager",
        "weir-guard@*.service",
    ]);
    match command::run(list, PATIENCE, "") {
        Ok(ran) if ran.success => over(guards, &ran.stdout),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The guards that a line `UNIT LOAD active SUB …` tells of; one that has no name is any of them.
fn over(guards: &Guards, units: &str) -> Vec<Guard> {
    let words = units.lines().map(|line| line.split_ascii_whitespace());
    let active = words.filter(|words| words.clone().nth(2) == Some("active")).filter_map(|mut words| words.next());
    let active: BTreeSet<&str> = active.collect();
    let is_active = |guard: &&Guard| match guard.as_str() {
        "" => !active.is_empty(),
        unit => active.contains(format!("weir-guard@{}.service", unit.trim_end_matches(".service")).as_str()),
    };
    guards.iter().filter(is_active).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::DrainId;
    use crate::wire::serf::LamportTime;

    fn guards(units: &[&str]) -> Guards {
        units.iter().map(|unit| Guard::new(unit).unwrap_or_default()).collect()
    }

    #[test]
    fn a_guard_is_there_while_it_is_active() {
        let www = "weir-guard@www.service loaded active exited weir drains this node while www is away\n";
        let api = "weir-guard@api.service loaded active exited weir drains\n";
        let stopping = "weir-guard@www.service loaded deactivating stop-sigterm weir drains\n";
        let both = format!("{www}{api}");
        // who wants it drained, what systemd tells, who is back
        for (kept, units, back) in [
            (&["www.service"][..], www, &["www.service"][..]),
            (&["www.service", "api.service"], api, &["api.service"]),
            (&["www.service", "api.service"], &both, &["www.service", "api.service"]),
            (&["api.service"], www, &[]),
            (&["www.service"], stopping, &[]),
            (&["www.service"], "", &[]),
            (&[""], www, &[""]),
            (&[""], stopping, &[]),
        ] {
            assert_eq!(over(&guards(kept), units).into_iter().collect::<Guards>(), guards(back), "{kept:?} {units}");
        }
    }

    #[tokio::test]
    async fn only_a_drain_that_guards_alone_asked_for_may_be_over() {
        for (operator, units, looks) in
            [(true, &[][..], false), (true, &["a.service"], false), (false, &["a.service"], true)]
        {
            let guards = guards(units);
            let kept = Kept { id: DrainId::drawn(7), since: LamportTime(3), operator, guards, reason: None };
            let mut of = Look::of(Some(&kept));
            assert_eq!(of.looking.is_some(), looks, "{operator} {units:?}");
            of.asked();
            assert!(of.looking.is_none());
        }
        assert!(Look::of(None).looking.is_none());
    }
}
