//! What systemd has in mind: the queued jobs of units (`protocols A.6`).

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::command;

/// The packaged unit.
const UNIT: &str = "weir.service";
/// systemd answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the unit that this process belongs to is to start again at once. Where the bus cannot say, it is a stop. Blocks.
pub(super) fn is_restart() -> bool {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut list = command::clean(Path::new("systemctl"));
    list.args(["list-jobs", "--full", "--no-legend", "--no-pager"]);
    command::run(list, PATIENCE, "")
        .is_ok_and(|ran| ran.success && restarts(&ran.stdout, unit_of(&groups).unwrap_or(UNIT)))
}

/// Whether nothing is to become of `unit`, which may be called otherwise there: no job of it is queued. Where the bus cannot say,
/// something is. Blocks.
pub(super) fn is_left_alone(unit: &str) -> bool {
    let mut show = command::clean(Path::new("systemctl"));
    show.args(["show", "--property=Job", "--value", "--", unit]);
    command::run(show, PATIENCE, "").is_ok_and(|ran| ran.success && has_none(&ran.stdout))
}

/// Whether the packaged agent's unit is about to run, or runs: it is started, or started anew after an end of its own. Where the bus
/// cannot say, it is not. Blocks.
pub(super) fn is_agent_to_come() -> bool {
    let asked = |args: &[&str]| {
        let mut systemctl = command::clean(Path::new("systemctl"));
        systemctl.args(args);
        command::run(systemctl, PATIENCE, "").ok().filter(|ran| ran.success).map(|ran| ran.stdout)
    };
    // In this order: a start that is done in between is seen by what has become of the unit.
    asked(&["list-jobs", "--full", "--no-legend", "--no-pager"]).is_some_and(|jobs| starts(&jobs, UNIT))
        || asked(&["show", "--property=ActiveState", "--value", "--", UNIT])
            .is_some_and(|state| matches!(state.trim(), "active" | "reloading" | "activating"))
}

/// Whether that names no job.
fn has_none(number: &str) -> bool {
    matches!(number.trim(), "" | "0")
}

/// The service that a process of this host belongs to.
pub(super) fn unit_of_process(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    unit_of(&groups).map(ToOwned::to_owned)
}

/// The service in whose control group a process is; of one within another, the inner one.
fn unit_of(groups: &str) -> Option<&str> {
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.split('/')).rfind(|part| part.ends_with(".service"))
}

/// Whether that unit is to start again at once.
fn restarts(jobs: &str, unit: &str) -> bool {
    has(jobs, unit, &["restart"])
}

/// Once it has stopped, what is left of a restart is a start.
fn starts(jobs: &str, unit: &str) -> bool {
    has(jobs, unit, &["restart", "start"])
}

/// Whether a line `JOB UNIT TYPE STATE` is of that unit, and of one of the types.
fn has(jobs: &str, unit: &str, types: &[&str]) -> bool {
    jobs.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next() == Some(unit) && words.next().is_some_and(|kind| types.contains(&kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restart_job_of_this_unit_is_a_restart() {
        for (jobs, restart) in [
            ("  87 weir.service restart running\n", true),
            ("86 nginx.service restart running\n87 weir.service restart running\n", true),
            ("87 weir.service stop running\n", false),
            ("87 weir.service start waiting\n", false),
            ("87 weir-apply.service restart running\n", false),
            ("87 shutdown.target start waiting\n88 weir.service stop running\n", false),
            ("No jobs running.\n", false),
            ("", false),
        ] {
            assert_eq!(restarts(jobs, "weir.service"), restart, "{jobs}");
        }
    }

    #[test]
    fn an_agent_is_to_come_while_it_is_started_or_restarted() {
        for (jobs, to_come) in [
            ("87 weir.service restart running\n", true),
            ("86 www.service restart running\n87 weir.service start waiting\n", true),
            ("87 weir.service stop running\n", false),
            ("87 weir-apply.service start running\n", false),
            ("", false),
        ] {
            assert_eq!(starts(jobs, "weir.service"), to_come, "{jobs}");
        }
    }

    #[test]
    fn a_number_is_a_job() {
        for (number, none) in [("", true), ("\n", true), ("0\n", true), ("4711\n", false)] {
            assert_eq!(has_none(number), none, "{number:?}");
        }
    }

    #[test]
    fn the_unit_is_the_one_that_the_process_runs_in() {
        for (groups, unit) in [
            ("0::/system.slice/weir.service\n", Some("weir.service")),
            ("0::/system.slice/system-weir.slice/weir@blue.service/control\n", Some("weir@blue.service")),
            ("12:pids:/system.slice/weir.service\n1:name=systemd:/system.slice/weir.service\n", Some("weir.service")),
            ("0::/user.slice/user@1000.service/app.slice/weir.service\n", Some("weir.service")),
            ("0::/user.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(unit_of(groups), unit, "{groups}");
        }
    }
}
