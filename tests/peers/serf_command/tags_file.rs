//! The file in which `-tags-file` keeps tags, as the reference's agent keeps it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::stage::Program;
use crate::support::{Process, address, parse_members, same, serf, until, weir_binary};

struct Host {
    program: PathBuf,
    dir: TempDir,
    gossip: SocketAddr,
    rpc: SocketAddr,
}

impl Host {
    fn new(program: Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("serf");
        symlink(weir_binary(), &link).unwrap();
        let program = match program {
            Program::Serf => "serf".into(),
            Program::Weir => link,
        };
        // A directory is no file of configuration, whatever its name.
        fs::create_dir_all(dir.path().join("conf/x.json")).unwrap();
        let named = serde_json::json!({ "tags_file": dir.path().join("tags.json"), "profile": "local" });
        fs::write(dir.path().join("conf/a.json"), named.to_string()).unwrap();
        Self { program, dir, gossip: address(), rpc: address() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("tags.json")
    }

    fn kept(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    fn start(&self) -> Process {
        let mut command = Command::new(&self.program);
        command.args(["agent", "-node=n", "-log-level=info"]).args([
            format!("-bind={}", self.gossip),
            format!("-rpc-addr={}", self.rpc),
            format!("-config-dir={}", self.dir.path().join("conf").display()),
        ]);
        let log = self.dir.path().join("log");
        let _no_log_yet = fs::remove_file(&log);
        Process::start(command, log)
    }

    fn tags(&self) -> Result<String, String> {
        let output = serf(self.rpc, &["members", "-format=json"]);
        let members = parse_members(&String::from_utf8_lossy(&output.stdout))?;
        members.first().map(|member| format!("{:?}", member.tags)).ok_or_else(|| "nobody".to_owned())
    }
}

/// What both are to agree on, and what is left of the tags and the file after SIGHUP.
fn story(program: Program) -> (Vec<String>, [String; 2]) {
    let host = Host::new(program);
    let mut seen = Vec::new();
    let agent = host.start();
    until("it answers", || host.tags());
    seen.push(format!("before the first change: {}", host.file().exists()));
    for change in [
        &["tags", "-set=role=web", "-set=note=<a>&\"b\"ü\u{2028}"][..],
        &["tags", "-set=role=db", "-set=x=1"],
        &["tags", "-delete=note", "-delete=x"],
        &["tags"],
    ] {
        let output = serf(host.rpc, change);
        seen.push(format!("{change:?}: {:?} {}", output.status.code(), String::from_utf8_lossy(&output.stdout)));
        seen.push(host.kept());
    }
    seen.push(format!("{:o}", fs::metadata(host.file()).unwrap().permissions().mode()));
    drop(agent);

    let agent = host.start();
    let tags = until("it answers again", || host.tags());
    seen.push(tags);
    let restored = format!("[INFO] agent: Restored 1 tag(s) from {}", host.file().display());
    agent.await_log(&restored);
    agent.await_log("[INFO] agent: Serf agent starting");
    let log = agent.log();
    seen.push(format!("in order: {}", log.find(&restored) < log.find("Serf agent starting")));

    agent.signal(Signal::SIGHUP);
    agent.await_log("==> Reloading configuration...");
    let kept = match program {
        Program::Serf => until("the file is emptied", || same(&host.kept().as_str(), &"{}").map(|()| host.kept())),
        Program::Weir => {
            agent.await_log("reloaded changes=0");
            host.kept()
        }
    };
    let left = [host.tags().unwrap(), kept];
    drop(agent);

    fs::write(host.file(), "{").unwrap();
    let mut refused = host.start();
    seen.push(format!("a damaged file: {:?}", refused.exit_code()));
    let begins = "==> Failed to setup the Serf agent: Failed to decode tags file: ";
    seen.push(format!("{}", refused.log().lines().any(|line| line.starts_with(begins))));
    (seen, left)
}

#[test]
fn tags_are_kept_in_the_file_as_the_reference_keeps_them_and_a_reload_does_not_empty_it() {
    let (reference, serfs) = story(Program::Serf);
    let (ours, left) = story(Program::Weir);
    assert_eq!(ours, reference);
    assert_eq!(serfs, ["{}", "{}"]);
    assert_eq!(left, ["{\"role\": \"db\"}", "{\n  \"role\": \"db\"\n}"]);
}
