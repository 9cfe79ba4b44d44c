//! The script by which a plain Serf agent answers `weir-drained` (`protocols A.2`), with a Serf and an NGINX that say what the test wants.

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{same, until};

const BEFORE: &str = "    server 10.0.0.1:80;\n    server 10.0.0.2:80 weight=3;\n";
const QUESTION: &str = "5d3e01aa 7 web2";

struct Stage(TempDir);

impl Stage {
    /// Serf prints `members`, NGINX ends with 0 as long as nothing is in `trouble`.
    fn new(members: &str) -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        std::fs::write(stage.path("file"), BEFORE).unwrap();
        std::fs::write(stage.path("trouble"), "").unwrap();
        stage.members(members);
        let dir = stage.0.path().display();
        stage.program("serf", &format!("cat {dir}/members"));
        stage.program("nginx", &format!("echo \"$*\" >>{dir}/signals; cat {dir}/trouble; [ ! -s {dir}/trouble ]"));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        std::fs::write(self.path(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn members(&self, text: &str) {
        std::fs::write(self.path("members"), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn says(&self, question: &str) -> String {
        let mut script = Command::new("etc/drained.sh");
        script.arg(self.path("file")).env("SERF", self.path("serf")).env("NGINX", self.path("nginx"));
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        script.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn with(tag: &str) -> String {
    format!("web1  10.0.0.1:7946  alive  role=web\nweb2  10.0.0.2:7946  alive  role=web{tag}\n")
}

#[test]
fn the_shipped_script_says_out_once_its_agent_knows_of_the_drain_and_nginx_has_had_a_second() {
    let stage = Stage::new(&with(""));
    for members in [with(""), with(",weir_drain=00000000 12"), with("").replace("web2", "web22")] {
        stage.members(&members);
        assert_eq!(stage.says(QUESTION), "wait 5d3e01aa 0\n", "whoever wrote the file next would put it back");
        assert_eq!((stage.read("file"), stage.read("signals")), (BEFORE.to_owned(), String::new()));
    }
    stage.members(&with(",weir_drain=5d3e01aa 12"));
    let begin = Instant::now();
    assert_eq!(stage.says(QUESTION), "wait 5d3e01aa 0\n", "old workers still take requests");
    assert_eq!(
        (stage.read("file").as_str(), stage.read("signals").as_str()),
        ("    server 10.0.0.1:80;\n", "-t\n-s reload\n")
    );
    until("it is out", || same(&stage.says(QUESTION).as_str(), &"out 5d3e01aa 0\n"));
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(stage.read("signals"), "-t\n-s reload\n", "once");
    assert_eq!(stage.says(""), "none - 0\n");
}

#[test]
fn the_shipped_script_puts_the_file_back_that_nginx_does_not_take() {
    let stage = Stage::new(&with(",weir_drain=5d3e01aa 12"));
    std::fs::write(stage.path("trouble"), "unknown directive\n").unwrap();
    assert_eq!(stage.says(QUESTION), "no 5d3e01aa 0 apply unknown directive\n");
    assert_eq!((stage.read("file").as_str(), stage.read("signals").as_str()), (BEFORE, "-t\n"));
}
