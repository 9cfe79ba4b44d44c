//! `weir demo` does what it says, and leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, until, weir_binary};

/// The demo's only directory is below this one, and what it starts runs in it.
struct Lab {
    _dir: TempDir,
    path: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // NGINX's workers give up their rights and must get through.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Self { path: dir.path().canonicalize().unwrap(), _dir: dir }
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(weir_binary());
        command.arg("demo").args(arguments).env("TMPDIR", &self.path).current_dir(&self.path);
        command
    }

    /// Names in the directory.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name != "log").collect()
    }
}

/// Processes that run in `directory`, by name.
fn processes(directory: &Path) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let here = all.filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == directory));
    here.filter_map(|process| std::fs::read_to_string(process.path().join("comm")).ok()).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
#[ignore = "needs nginx"]
fn tour_keeps_its_promises_and_accounts_for_every_request() {
    let lab = Lab::new();
    let output = lab.demo(&["--for", "20s", "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut names = keys(&report);
    names.sort_unstable();
    assert_eq!(names, ["failed", "front", "ok", "reloads", "requests", "seconds", "steps"]);
    assert_eq!(report["ok"], true);
    assert!(report["seconds"].as_f64().unwrap() >= 20.0, "{report:#}");

    let steps = report["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["join_web1", "join_web2", "weight", "kill", "return", "leave"]);
    let (mut requests, mut failed, mut generation) = (0, 0, 0);
    for step in steps {
        let mut names: Vec<_> = keys(step).into_iter().filter(|name| *name != "failures").collect();
        names.sort_unstable();
        let all =
            ["answered_by", "failed", "generation", "live_after_s", "ok", "requests", "slowest_ms", "step", "title"];
        assert_eq!(names, all);
        assert!(step["ok"] == true && step["live_after_s"].as_f64().unwrap() > 0.0, "{step:#}");
        assert!(step["generation"].as_u64().unwrap() > generation, "{report:#}");
        generation = step["generation"].as_u64().unwrap();
        assert!(step["step"] == "kill" || step["failed"] == 0, "{step:#}");
        let answered: u64 =
            step["answered_by"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let (asked, lost) = (step["requests"].as_u64().unwrap(), step["failed"].as_u64().unwrap());
        assert!(asked > 0 && asked == answered + lost, "{step:#}");
        requests += asked;
        failed += lost;
    }
    assert_eq!((report["requests"].as_u64(), report["failed"].as_u64()), (Some(requests), Some(failed)));
    // One before NGINX was there, and one per step.
    assert_eq!(report["reloads"].as_u64(), Some(generation - 1));
    // Even shares until the new weight is live, then three to one.
    let by = |server: &str| steps[2]["answered_by"][server].as_u64().unwrap_or(0);
    assert!(by("web1") > 0 && by("web2") > by("web1"), "{report:#}");
    assert_eq!((lab.left(), processes(&lab.path)), (vec![], vec![]));
}

#[test]
#[ignore = "needs nginx"]
fn interrupt_at_any_time_leaves_no_process_and_no_directory() {
    for (moment, at_least) in [("step 1 of 6", 1), ("step 3 of 6", 6), ("step 6 of 6", 4)] {
        let lab = Lab::new();
        let mut demo = Process::start(lab.demo(&["--for", "20s"]), lab.path.join("log"));
        demo.await_log(moment);
        let running = processes(&lab.path);
        assert!(running.len() >= at_least && lab.left().len() == 1, "{running:?} {:?}", lab.left());
        demo.signal(Signal::SIGINT);
        assert_eq!(demo.exit_code(), Some(130), "{}", demo.log());
        // Workers that got their SIGKILL may still be on their way out.
        until("nothing runs any more", || match processes(&lab.path) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        });
        assert_eq!(lab.left(), [""; 0]);
    }
}
