//! The client libraries of the Python index, each in an environment of its own (`rpc §9`): they do against our server what they
//! do against a real agent, and fail where they fail there.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;

use super::stage::{Stage, TOKEN};
use crate::support::skipped;

/// An environment with `packages`; `None`, with a word why, where the index cannot be reached.
async fn environment(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = dir.join("bin/python");
    let ready = dir.join("ready");
    if !ready.exists() {
        let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir)).await;
        assert!(made.status.success(), "{}", text(&made));
        let mut pip = Command::new(&python);
        let installed =
            run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages)).await;
        if !installed.status.success() {
            let output = text(&installed);
            let unreachable = ["Could not find a version", "Failed to establish", "Temporary failure", "timed out"];
            assert!(unreachable.iter().any(|sign| output.contains(sign)), "{output}");
            skipped(format_args!("pip cannot reach an index: {output}"));
            return None;
        }
        std::fs::write(&ready, "").unwrap();
    }
    Some(python)
}

async fn run(command: &mut Command) -> Output {
    command.kill_on_drop(true).output().await.expect("python3 is installed")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a script against an agent without a token, then its beginning against one with.
async fn check(name: &str, packages: &[&str], script: &str) {
    let Some(python) = environment(name, packages).await else { return };
    let (open, closed) = (Stage::open(), Stage::with_token());
    let port = |stage: &Stage| stage.tcp.rsplit_once(':').unwrap().1.to_owned();
    let ran = run(Command::new(python).args(["-c", script, &port(&open), &port(&closed), TOKEN])).await;
    assert!(ran.status.success(), "{}", text(&ran));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "all done\n", "{}", text(&ran));
}

#[tokio::test]
#[ignore = "needs python3 and a package index"]
async fn serfclient_does_all_it_can() {
    check("serfclient", &["serfclient"], include_str!("python/use_serfclient.py")).await;
}

#[tokio::test]
#[ignore = "needs python3 and a package index"]
async fn serfio_does_all_it_can() {
    check("serfio", &["serfio"], include_str!("python/use_serfio.py")).await;
}

#[tokio::test]
#[ignore = "needs python3 and a package index"]
async fn trio_serf_does_all_it_can() {
    check("trio-serf", &["trio-serf", "msgpack==0.6.2"], include_str!("python/use_trio_serf.py")).await;
}
