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

/// Whether that names no job.
fn has_none(number: &str) -> bool {
    matches!(number.trim(), "" | "0")
}

/// The service in whose control group a process is; of one within another, the inner one.
fn unit_of(groups: &str) -> Option<&str> {
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.split('/')).rfind(|part| part.ends_with(".service"))
}

/// Whether a line `JOB UNIT TYPE STATE` says so.
fn restarts(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next() == Some(unit) && words.next() == Some("restart")
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
