//! The agent as a process: signals, exit codes, the service manager, and starts that fail.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Process, address, until, weir_binary, without_file_rights, write_keyring};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";

/// One agent's directory and configuration.
struct Lab {
    name: &'static str,
    dir: TempDir,
    gossip: SocketAddr,
}

impl Lab {
    fn new() -> Self {
        Self::at(address())
    }

    fn at(gossip: SocketAddr) -> Self {
        Self { name: "a", dir: tempfile::tempdir().expect("temporary directories can be made"), gossip }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// An agent's command line, with `more` in its configuration.
    fn command(&self, more: &str) -> Command {
        write_keyring(&self.path("keyring.json"), KEY);
        let dir = self.dir.path().display();
        let text = format!(
            "node.name = \"{}\"\ngossip.bind = \"{}\"\nencryption.keyring = \"{dir}/keyring.json\"\n\
             snapshot.path = \"{dir}/snapshot\"\nrpc.socket = \"{dir}/rpc.sock\"\n{more}\n",
            self.name, self.gossip
        );
        std::fs::write(self.path("weir.toml"), text).expect("the directory is ours");
        let mut command = Command::new(weir_binary());
        command.args(["agent", "--config-file"]).arg(self.path("weir.toml"));
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        command
    }

    fn start(&self, more: &str) -> Process {
        let process = Process::start(self.command(more), self.path("log"));
        process.await_log(" ready ");
        process
    }

    /// A start that fails.
    fn refused(&self, more: &str) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(more).output().expect("weir runs");
        let last = String::from_utf8_lossy(&stderr).lines().last().unwrap_or_default().to_owned();
        (status.code(), last)
    }
}

#[test]
fn terminate_and_interrupt_leave_and_end_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let lab = Lab::new();
        let mut agent = lab.start("");
        agent.signal(signal);
        assert_eq!(agent.exit_code(), Some(0), "{}", agent.log());
        assert!(agent.log().contains(" left members=1 "), "{}", agent.log());
        assert!(std::fs::read_to_string(lab.path("snapshot")).unwrap().contains(" leave\n"));
    }
}

#[test]
fn without_leave_on_stop_the_agent_stops_like_a_crash() {
    let lab = Lab::new();
    let mut agent = lab.start("leave.on_stop = false");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0), "{}", agent.log());
    assert!(agent.log().contains("stopping without a leave"), "{}", agent.log());
    assert!(!std::fs::read_to_string(lab.path("snapshot")).unwrap().contains(" leave\n"));
}

#[test]
fn second_signal_cuts_a_leave_short() {
    let one = Lab::new();
    let two = Lab { name: "b", ..Lab::new() };
    let first = one.start("");
    let mut second = two.start(&format!("gossip.join = [\"{}\"]", one.gossip));
    second.await_log(" joined contacted=1 ");
    // A peer that does not answer keeps the leave waiting.
    first.signal(Signal::SIGSTOP);
    second.signal(Signal::SIGTERM);
    second.await_log(" leaving ");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), Some(130), "{}", second.log());
    first.signal(Signal::SIGCONT);
}

#[test]
fn hangup_reloads_and_a_broken_file_changes_nothing() {
    let lab = Lab::new();
    let agent = lab.start("");
    lab.command("log.level = \"debug\"");
    agent.signal(Signal::SIGHUP);
    agent.await_log("configuration changes key=log.level");
    agent.await_log(" reloaded changes=1");
    lab.command("log.level = \"info,swim=loud\"");
    agent.signal(Signal::SIGHUP);
    agent.await_log("configuration is wrong, the running one stays");
    let said = "weir.toml:6:13: log.level = \\\"info,swim=loud\\\" names no level";
    assert!(agent.log().contains(said), "{}", agent.log());
}

#[test]
fn service_manager_hears_of_every_stage_and_of_the_turning_loop() {
    let lab = Lab::new();
    let socket = UnixDatagram::bind(lab.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let next = || {
        let mut buffer = [0; 4096];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let await_line =
        |line: &str| until(line, || if next().lines().any(|l| l == line) { Ok(()) } else { Err(String::new()) });
    let mut command = lab.command("");
    command.env("NOTIFY_SOCKET", lab.path("notify")).env("WATCHDOG_USEC", "100000");
    let mut agent = Process::start(command, lab.path("log"));
    let first =
        until("READY", || Ok(next()).and_then(|text| if text.contains("READY=1") { Ok(text) } else { Err(text) }));
    assert!(first.contains("STATUS=a: 1 of 1 members alive"), "{first}");
    await_line("WATCHDOG=1");
    await_line("WATCHDOG=1");
    agent.signal(Signal::SIGHUP);
    await_line("RELOADING=1");
    await_line("READY=1");
    agent.signal(Signal::SIGTERM);
    await_line("STOPPING=1");
    assert_eq!(agent.exit_code(), Some(0));
}

#[test]
fn starts_that_cannot_work_say_why_and_what_to_do() {
    let lab = Lab::new();
    let agent = lab.start("");
    let taken = Lab::at(lab.gossip);
    let (code, text) = taken.refused("");
    assert_eq!(code, Some(1), "{text}");
    let holder = format!("error: cannot bind {}/tcp: in use by weir (pid {})", lab.gossip, agent.pid());
    assert!(text.starts_with(&holder) && text.ends_with("or set gossip.bind"), "{text}");

    let free = Lab::new();
    write_keyring(&free.path("keyring.json"), "AAEC");
    let (code, text) = free.refused("");
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("key must be 16, 24 or 32 bytes in base64, this one has 3"), "{text}");

    let (code, text) = Lab::new().refused("rpc.group = \"no-such-group\"");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no group 'no-such-group'"), "{text}");

    let (code, text) = Lab::at("192.0.2.1:7946".parse().unwrap()).refused("");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cannot bind 192.0.2.1:7946: this host has no such address"), "{text}");
}

#[test]
fn keyrings_and_configurations_that_cannot_be_used_get_one_line_and_code_5() {
    type Spoil = fn(&std::path::Path);
    fn write(path: &std::path::Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let intact: Spoil = |_| ();
    let rows: [(Spoil, &str, &str); 10] = [
        (
            |path| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap(),
            "",
            "error: DIR/keyring.json can be read by others (mode 0644); chmod 600 it and run 'weir keys rotate'",
        ),
        (
            |path| std::fs::remove_file(path).unwrap(),
            "",
            "error: no keyring at DIR/keyring.json; run 'weir init' or 'weir keys import'",
        ),
        (
            |path| write(path, "[]", 0o600),
            "",
            "error: cannot use keyring DIR/keyring.json: its list holds no key; WAY_OUT",
        ),
        (
            |path| write(path, "{", 0o600),
            "",
            "error: cannot use keyring DIR/keyring.json: it is not a JSON list of base64 strings (line 1, column 0); WAY_OUT",
        ),
        (
            |path| write(path, "[\"AAECAwQFBgcI", 0o600),
            "",
            "error: cannot use keyring DIR/keyring.json: its JSON list is cut off (line 1, column 14); WAY_OUT",
        ),
        (|path| write(path, "", 0o600), "", "error: cannot use keyring DIR/keyring.json: the file is empty; WAY_OUT"),
        (
            |path| write(path, "[\"no base64!\"]", 0o600),
            "",
            "error: cannot use keyring DIR/keyring.json: key 1 of the keyring cannot be used: key is not base64 (standard \
             alphabet, padded); WAY_OUT",
        ),
        (intact, "gossip.jion = [\"10.0.0.1\"]", "DIR/weir.toml:6:8: unknown key 'gossip.jion'; did you mean 'join'?"),
        (
            intact,
            "gossip.profile = \"lam\"",
            "DIR/weir.toml:6:18: gossip.profile = \"lam\" is not one of lan, wan, local; did you mean \"lan\"?",
        ),
        (intact, "log.level = ", "DIR/weir.toml:6:13: not TOML: string values must be quoted, expected literal string"),
    ];
    for (spoil, more, line) in rows {
        let lab = Lab::new();
        let mut command = lab.command(more);
        spoil(&lab.path("keyring.json"));
        let Output { status, stderr, stdout } = command.output().expect("weir runs");
        let text = String::from_utf8(stderr).unwrap().replace(&lab.dir.path().display().to_string(), "DIR");
        assert_eq!((status.code(), stdout.len()), (Some(5), 0), "{text}");
        let told: Vec<_> =
            text.lines().filter(|line| !line.contains(" INFO ") && !line.contains("1 mistake in")).collect();
        let way_out = "move it away, then 'weir keys import' the key that 'weir keys export' shows on another host";
        assert_eq!(told, [line.replace("WAY_OUT", way_out)]);
    }
}

/// As an agent that is not root sees it.
#[test]
fn keyring_that_may_not_be_read_is_named() {
    let lab = Lab::new();
    let command = lab.command("");
    std::fs::set_permissions(lab.path("keyring.json"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = without_file_rights(&command);
    let Output { status, stderr, .. } = command.output().expect("weir runs");
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(5), "{text}");
    let path = lab.path("keyring.json").display().to_string();
    let line = format!(
        "error: cannot read {path}: permission denied; 'chown weir: {path}' where the packaged unit runs the \
         agent, otherwise use sudo"
    );
    assert_eq!(text.lines().last(), Some(line.as_str()));
}
