//! `serf agent` through a link: the reference's transcripts of starts and ends, with addresses and times of our own.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;

use super::serf::{Transcript, transcript};
use super::support::serf;

const DEADLINE: Duration = Duration::from_secs(150);

/// A run through the link in a directory of its own.
struct Agent {
    dir: tempfile::TempDir,
    /// What stands for the addresses of the transcripts.
    hosts: Vec<(&'static str, String)>,
    /// Ended when this is dropped.
    children: Vec<std::process::Child>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _already_gone = child.kill();
            let _already_gone = child.wait();
        }
    }
}

impl Agent {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in [
            ("bogus.json", "{\"bogus_key\": 1}"),
            ("bogus2.json", "{\"node_name\": 5}"),
            ("bogus3.json", "{"),
            ("bogus4.json", "{\"reconnect_interval\": \"5x\"}"),
            ("kr.json", "[]"),
        ] {
            std::fs::write(dir.path().join(name), text).expect("the directory is ours");
        }
        private(&dir.path().join("kr.json"));
        let hosts = ["127.0.0.36:7946", "127.0.0.36:7373", "127.0.0.39:7946", "127.0.0.22:7946", "127.0.0.21:7946"];
        let hosts = hosts.into_iter().map(|host| (host, free(host))).collect();
        Self { dir, hosts, children: Vec::new() }
    }

    /// A transcript's text with addresses of our own.
    fn moved(&self, text: &str) -> String {
        self.hosts.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    fn spawn(&mut self, args: &[String], log: &str) {
        let file = |name: &str| std::fs::File::create(self.dir.path().join(name)).expect("the directory is ours");
        let mut command = serf(self.dir.path());
        command.current_dir(self.dir.path()).args(args.iter().map(|arg| self.moved(arg)));
        command.stdout(file(log)).stderr(file(&format!("{log}.err"))).stdin(Stdio::null());
        self.children.push(command.spawn().expect("the program was built"));
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("it was made")
    }

    fn await_text(&self, name: &str, part: &str) {
        let start = Instant::now();
        while !self.text(name).contains(part) {
            assert!(start.elapsed() < DEADLINE, "{part} is not in\n{}{}", self.text(name), self.text("out.err"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.children.last().expect("one runs").id();
        kill(Pid::from_raw(id as i32), signal).expect("it is ours");
    }

    fn code(&mut self) -> Option<i32> {
        self.children.last_mut().expect("one runs").wait().expect("it is ours").code()
    }

    /// Runs a transcript's command, with a signal once `until` is printed.
    fn replay(&mut self, recorded: &Transcript, until: Option<(&str, Signal)>) -> (String, String, Option<i32>) {
        self.spawn(&recorded.args, "out");
        if let Some((text, signal)) = until {
            self.await_text("out", text);
            self.signal(signal);
        }
        let code = self.code();
        (self.text("out"), self.text("out.err"), code)
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A free address on a host that belongs to this test process.
fn free(theirs: &str) -> String {
    let last = theirs.split(['.', ':']).nth(3).expect("an address");
    let host = format!("127.{}.{last}.{}", 1 + std::process::id() % 250, if theirs.ends_with("7373") { 2 } else { 1 });
    let listener = std::net::TcpListener::bind((host.as_str(), 0)).expect("loopback addresses can be bound");
    listener.local_addr().expect("it is bound").to_string()
}

/// Lines without their times.
fn timeless(text: &str) -> String {
    Regex::new(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d").expect("it is one").replace_all(text, "TIME").into_owned()
}

#[test]
fn start_that_fails_prints_what_the_reference_prints() {
    for name in [
        "agent_badcfgkey",
        "agent_badcfgtype",
        "agent_baddur",
        "agent_badhandler",
        "agent_badjson",
        "agent_badkey",
        "agent_badlog",
        "agent_badprofile",
        "agent_badtag",
        "agent_joinfail",
        "agent_keyring_empty",
        "agent_keyring_missing",
        "agent_nocfg",
        "agent_shortkey",
        "agent_tagsfile",
    ] {
        let (mut agent, recorded) = (Agent::new(), transcript(name));
        let (stdout, stderr, code) = agent.replay(&recorded, None);
        // The transcript shows the host that was contacted without its port.
        let joined = agent.hosts[2].1.clone();
        let host = joined.split(':').next().expect("a host");
        let expected = agent.moved(&recorded.stdout).replace("127.0.0.39:", &format!("{host}:"));
        assert_eq!((stdout, code), (expected, Some(recorded.code)), "{name}: {stderr}");
    }
}

#[test]
fn address_in_use_is_told_as_the_reference_does() {
    for (name, place) in [("agent_rpcinuse", "127.0.0.21:7373"), ("agent_bindinuse", "127.0.0.21:7946")] {
        let (mut agent, recorded) = (Agent::new(), transcript(name));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port 0 is free");
        let own = taken.local_addr().expect("it is bound");
        agent.hosts.retain(|(theirs, _)| *theirs != place);
        agent.hosts.push((place, own.to_string()));
        let (stdout, stderr, code) = agent.replay(&recorded, None);
        let expected = agent
            .moved(&recorded.stdout)
            .replace("\"127.0.0.21\" port 7946", &format!("\"127.0.0.1\" port {}", own.port()));
        assert_eq!((stdout, code), (expected, Some(1)), "{name}: {stderr}");
    }
}

#[test]
fn start_and_end_print_what_the_reference_prints() {
    let received = "Received event: member-join";
    for (name, signal, ends_with) in [
        ("agent_start_int", Signal::SIGINT, 0),
        ("agent_start_term", Signal::SIGTERM, 1),
        ("agent_positional", Signal::SIGTERM, 1),
        ("agent_role", Signal::SIGINT, 0),
    ] {
        let (mut agent, recorded) = (Agent::new(), transcript(name));
        let (stdout, stderr, code) = agent.replay(&recorded, Some((received, signal)));
        let mut expected = timeless(&agent.moved(&recorded.stdout)).replace("127.0.0.36", host(&agent));
        if name == "agent_role" {
            // Two lines of a race between the leave and the end of its process.
            expected = expected.replace("    TIME [WARN] serf: Shutdown without a Leave\n", "");
            expected = expected.replace("    TIME [WARN] agent: Serf shutdown detected, quitting\n", "");
        }
        assert_eq!(timeless(&stdout), expected, "{name}: {stderr}");
        // A key that is missing is warned about, where scripts do not read.
        assert!(stderr.starts_with("warning: gossip is not encrypted;"), "{stderr}");
        assert_eq!(code, Some(ends_with), "{name}");
    }
}

fn host(agent: &Agent) -> &str {
    agent.hosts[0].1.split(':').next().expect("a host")
}

#[test]
fn tries_to_join_are_told_until_they_are_given_up() {
    let (mut agent, recorded) = (Agent::new(), transcript("agent_retrymax"));
    let (stdout, _, code) = agent.replay(&recorded, None);
    let dead = agent.hosts[2].1.split(':').next().expect("a host").to_owned();
    let lines = |text: &str| {
        // It falls between two others by chance.
        let text = timeless(text).replace("    TIME [INFO] agent: Received event: member-join\n", "");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = agent.moved(&recorded.stdout).replace("127.0.0.36", host(&agent));
    let expected = expected.replace("127.0.0.39:", &format!("{dead}:"));
    assert_eq!((lines(&stdout), code), (lines(&expected), Some(1)));
}

#[test]
fn name_that_is_taken_is_told_after_the_join() {
    let (mut agent, recorded) = (Agent::new(), transcript("agent_dup"));
    let theirs =
        ["agent", "-node=web1", "-bind=127.0.0.22:7946", "-rpc-addr=127.0.0.1:0", "-retry-join=127.0.0.21:7946"];
    let other = ["agent", "-node=lb1", "-bind=127.0.0.21:7946", "-rpc-addr=127.0.0.1:0"];
    for (args, log) in [(&other[..], "other"), (&theirs, "theirs")] {
        agent.spawn(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), log);
    }
    agent.await_text("theirs", "agent: joined: 1 nodes");
    let (stdout, _, code) = agent.replay(&recorded, Some(("Received event: member-join", Signal::SIGTERM)));
    let expected = agent.hosts.iter().fold(agent.moved(&recorded.stdout), |text, (theirs, ours)| {
        let host = |address: &str| address.split(':').next().unwrap_or_default().to_owned();
        text.replace(&format!("{}\n", host(theirs)), &format!("{}\n", host(ours)))
    });
    let told = timeless(&stdout);
    // web2 is only in the reference's cluster.
    for line in timeless(&expected).lines().filter(|line| !line.contains("EventMemberJoin: web2")) {
        assert!(told.lines().any(|each| each == line), "{line}\nis not in\n{told}");
    }
    assert_eq!(code, Some(1));
}

#[test]
fn reload_is_told_and_a_broken_file_too() {
    let mut agent = Agent::new();
    let file = agent.dir.path().join("agent.json");
    std::fs::write(&file, "{}").expect("the directory is ours");
    let args = ["agent", "-node=n1", "-bind=127.0.0.36:7946", "-rpc-addr=127.0.0.36:7373", "-config-file=agent.json"];
    agent.spawn(&args.map(str::to_owned), "out");
    agent.await_text("out", "EventMemberJoin: n1");
    agent.signal(Signal::SIGHUP);
    agent.await_text("out", "\n==> Caught signal: hangup\n==> Reloading configuration...\n");
    std::fs::write(&file, "{").expect("the directory is ours");
    agent.signal(Signal::SIGHUP);
    agent.await_text("out", "\n==> Failed to reload configs\n");
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.code(), Some(0));
}
