//! The real agent, started and asked by the real command line, under both names.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Run, piped, run, serf, weir};

/// An agent with its own directory. It is killed when dropped.
#[derive(Debug)]
struct Agent {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Agent {
    fn start(mut command: Command, args: &[&str]) -> Self {
        let mut child = command
            .arg("agent")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        Self { child, stdout, stderr }
    }

    /// The next line of the log that contains `part`.
    fn logged(&mut self, part: &str) -> String {
        self.stderr.by_ref().map_while(Result::ok).find(|line| line.contains(part)).expect("the log says it")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process number"));
        kill(pid, signal).expect("it runs");
    }

    fn code(&mut self) -> Option<i32> {
        // A full pipe would keep it from ending.
        self.stderr.by_ref().map_while(Result::ok).for_each(drop);
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already unless its test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(dir: &Path, name: &str, more: &str) -> String {
    let path = dir.join(format!("{name}.toml"));
    let socket = dir.join(format!("{name}.sock"));
    let text = format!(
        "node.name = \"{name}\"\nnode.tags.role = \"web\"\ngossip.bind = \"127.0.0.1:0\"\nencryption.seal = \"off\"\n\
         snapshot.path = \"\"\nrpc.socket = \"{}\"\n{more}",
        socket.display()
    );
    std::fs::write(&path, text).expect("the directory is ours");
    path.display().to_string()
}

/// An agent that is ready, and a way to ask it.
fn ready(dir: &Path, name: &str) -> (Agent, impl Fn(&[&str]) -> Run + use<>) {
    let mut agent = Agent::start(weir(), &["--config-file", &write_config(dir, name, "")]);
    agent.logged("ready");
    let socket = dir.join(format!("{name}.sock"));
    let ask = move |args: &[&str]| {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &socket);
        run(command, args)
    };
    (agent, ask)
}

#[test]
fn real_agent_answers_every_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut agent, ask) = ready(dir.path(), "n1");
    for args in [
        &["members", "--format", "json"][..],
        &["info"],
        &["event", "deploy", "v1"],
        &["query", "uptime", "--timeout", "200ms"],
        &["tags", "--set", "color=blue"],
        &["reachability"],
        &["rtt", "n1"],
        &["join"],
        &["tags", "--set", "weir_lb=0"],
        &["tags", "--delete", "weir_lb"],
        &["reload"],
    ] {
        let ran = ask(args);
        let is_ours = args.iter().any(|arg| arg.starts_with("weir_"));
        let wanted = if args == ["join"] { 2 } else { i32::from(is_ours) };
        assert_eq!(ran.code, Some(wanted), "{args:?}: {ran:?}");
        let refused = "error: weir_lb is one of weir's own tags; choose a name that does not start with weir_\n";
        assert!(!is_ours || ran.stderr == refused, "{ran:?}");
    }
    let members: serde_json::Value = serde_json::from_str(&ask(&["members", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(members["members"][0]["name"], "n1");
    assert_eq!(members["members"][0]["tags"]["color"], "blue");
    let since = members["members"][0]["since"].as_str().expect("our agent tells");
    assert!(since.parse::<jiff::Timestamp>().expect("a time") <= jiff::Timestamp::now(), "{since}");
    assert_eq!(ask(&["force-leave", "--prune", "n1"]).code, Some(6));
    assert_eq!(ask(&["force-leave", "n2"]).stderr, "error: no member 'n2'; did you mean 'n1'?\n");
    assert_eq!(ask(&["members", "--name", "("]).code, Some(2));
    assert_eq!(ask(&["keys", "list"]).code, Some(1));
    let left = ask(&["leave"]);
    assert_eq!((left.stdout.as_str(), left.code), ("Graceful leave complete\n", Some(0)));
    assert_eq!(agent.code(), Some(0));
    assert_eq!(ask(&["members"]).code, Some(3));
}

#[test]
fn real_agent_tells_how_a_handler_ended_and_that_nobody_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let handler = "[handler.fails]\non = [\"user:deploy\"]\nshell = \"exit 3\"\n";
    let mut agent = Agent::start(weir(), &["--config-file", &write_config(dir.path(), "n1", handler)]);
    agent.logged("ready");
    let ask = |args: &[&str]| {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", dir.path().join("n1.sock"));
        run(command, args)
    };
    let nobody = ask(&["query", "uptime", "--tag", "role=lb", "--timeout", "100ms"]);
    assert_eq!(nobody.code, Some(7), "{nobody:?}");
    assert_eq!(ask(&["force-leave", "nobody"]).code, Some(1));
    assert_eq!(ask(&["event", "deploy"]).code, Some(0));
    let start = std::time::Instant::now();
    let told = "fails = 1 runs, 1 failed, 0 dropped, last exit 3 in ";
    loop {
        let info = ask(&["info"]).stdout;
        if info.contains(told) {
            // What was refused is counted beside it.
            assert!(info.contains("\trefused = 0\n") && info.contains("\trequests = "), "{info}");
            break;
        }
        assert!(start.elapsed().as_secs() < 150, "{info}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn reload_says_what_changes_and_a_bad_file_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (agent, ask) = ready(dir.path(), "n1");
    write_config(dir.path(), "n1", "log.level = \"debug\"\ngossip.label = \"x\"\n");
    let dry = ask(&["reload", "--dry-run"]);
    assert_eq!(
        (dry.stdout.as_str(), dry.code),
        ("gossip.label  \"\"      \"x\"      restart\nlog.level     \"info\"  \"debug\"  live\n", Some(0)),
        "{dry:?}"
    );
    assert_eq!(ask(&["reload"]).stdout, dry.stdout, "a dry run changes nothing");
    // What needs a restart is said until there is one, or until it is taken back.
    assert_eq!(ask(&["reload"]).stdout, "gossip.label  \"\"  \"x\"  restart\n");
    write_config(dir.path(), "n1", "log.level = \"debug\"\n");
    assert_eq!(ask(&["reload"]).stderr, "no setting changed; the files that they name are looked at again\n");
    write_config(dir.path(), "n1", "log.levle = \"debug\"\n");
    let bad = ask(&["reload"]);
    assert_eq!(bad.code, Some(5));
    assert!(bad.stderr.contains("did you mean 'level'"), "{bad:?}");
    assert!(bad.stderr.ends_with("error: 1 mistake in 1 file; the running agent keeps its configuration\n"), "{bad:?}");
    drop(agent);
}

#[test]
fn agent_that_cannot_start_says_why_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let wrong = write_config(dir.path(), "wrong", "gossip.profil = \"lan\"\n");
    let ran = run(weir(), &["agent", "--config-file", &wrong]);
    assert_eq!(ran.code, Some(5));
    assert!(ran.stderr.ends_with("error: 1 mistake in 1 file\n"), "{ran:?}");
    assert_eq!(run(weir(), &["agent", "--check", "--config-file", &wrong]).code, Some(5));

    let keyless = write_config(dir.path(), "keyless", "encryption.keyring = \"/nowhere/keyring.json\"\n");
    let text = std::fs::read_to_string(&keyless).expect("it was written").replace("encryption.seal = \"off\"\n", "");
    std::fs::write(&keyless, text).expect("the directory is ours");
    let ran = run(weir(), &["agent", "--config-file", &keyless]);
    assert_eq!(ran.code, Some(5));
    let line = ran.stderr.lines().last().expect("a line");
    assert!(
        line.starts_with("error: no keyring at /nowhere/keyring.json; run 'weir init' or 'weir keys import'"),
        "{ran:?}"
    );
}

#[test]
fn serf_mode_starts_and_stops_as_serf_does() {
    let dir = tempfile::tempdir().expect("a directory");
    for (signal, code) in [(Signal::SIGINT, 0), (Signal::SIGTERM, 1)] {
        let args = ["-node=n1", "-bind=127.0.0.1:0", "-rpc-addr=127.0.0.1:0", "-tag", "role=web", "extra"];
        let mut agent = Agent::start(serf(dir.path()), &args);
        let banner: Vec<String> =
            agent.stdout.by_ref().map_while(Result::ok).take_while(|line| !line.contains("Log data")).collect();
        let shape = banner.iter().map(|line| line.split("'127").next().unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(
            shape[shape.len() - 11..],
            [
                "==> Starting Serf agent...",
                "==> Starting Serf agent RPC...",
                "==> Serf agent running!",
                "                      Node name: 'n1'",
                "                      Bind addr: ",
                "                       RPC addr: ",
                "                      Encrypted: false",
                "                       Snapshot: false",
                "                        Profile: lan",
                "    Message Compression Enabled: true",
                "",
            ],
            "{banner:?}"
        );
        let address = |line: &str| line.split('\'').nth(1).expect("it is quoted").to_owned();
        let line = |what: &str| banner.iter().find(|line| line.contains(what)).expect("it is there");
        let (gossip, rpc) = (address(line("Bind addr")), address(line("RPC addr")));
        let members = run(serf(dir.path()), &["members", "-rpc-addr", &rpc]);
        assert_eq!(members.stdout, format!("n1  {gossip}  alive  role=web\n"), "{members:?}");
        agent.signal(signal);
        assert_eq!(agent.code(), Some(code), "{signal}");
    }
}

/// In a namespace of mounts, with an `/etc` of its own.
#[test]
#[ignore = "needs root"]
fn a_start_without_a_file_says_that_the_packages_is_not_read() {
    const NOTICE: &str = "notice: /etc/weir/weir.toml is not read; name it with --config-file, as the unit does\n";
    let start = |is_there: bool, args: &[&str]| {
        let write = if is_there { "mkdir /etc/weir && : > /etc/weir/weir.toml && " } else { "" };
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("mount -t tmpfs none /etc && {write}exec \"$@\""), "sh"]);
        command.arg(weir().get_program()).arg("agent").args(args);
        // It ends there, and tells all that it has to tell before.
        command.env("WEIR_KEYRING", "/nowhere/keyring.json").env_remove("WEIR_CONFIG");
        run(command, &[])
    };
    for (is_there, args, told) in
        [(true, &[][..], true), (false, &[], false), (true, &["--config-file", "/etc/weir/weir.toml"], false)]
    {
        let ran = start(is_there, args);
        assert!(ran.code == Some(5) && ran.stderr.contains("no keyring at /nowhere/keyring.json"), "{ran:?}");
        assert_eq!(ran.stderr.starts_with(NOTICE), told, "{args:?}: {ran:?}");
    }
}

#[test]
fn who_asks_a_handler_that_is_behind_hears_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    // Until the test ends, however it does.
    let wait = format!("while [ -d {} ]; do sleep 0.02; done", dir.path().display());
    let handler = format!("[handler.slow]\non = [\"query:load\"]\nshell = \"{wait}\"\nqueue = 1\n");
    let mut agent = Agent::start(weir(), &["--config-file", &write_config(dir.path(), "n1", &handler)]);
    agent.logged("ready");
    let ask = || {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", dir.path().join("n1.sock"));
        run(command, &["query", "load", "--no-ack", "--timeout", "500ms"])
    };
    // One is at work, one waits.
    for _ in 0..2 {
        assert_eq!(ask().code, Some(7));
    }
    let ran = ask();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let heard = "Response from 'n1': error: handler slow is behind, its queue of 1 is full\n";
    assert!(ran.stdout.contains(heard), "{ran:?}");
    agent.logged("handler is behind, events are dropped handler=slow event=query:load queue=1");
}

#[test]
fn a_key_for_an_agent_that_runs_without_encryption_waits_for_its_next_start() {
    const KEY: &str = "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs=";
    let dir = tempfile::tempdir().expect("a directory");
    let ring = dir.path().join("keyring.json");
    let keyring = format!("encryption.keyring = \"{}\"\n", ring.display());
    let config = write_config(dir.path(), "n1", &keyring);
    let mut agent = Agent::start(weir(), &["--config-file", &config]);
    agent.logged("ready");
    let import = || {
        let mut command = weir();
        command.env("WEIR_CONFIG", &config);
        piped(command, &["keys", "import"], KEY)
    };
    let refused = import();
    let at = |text: &str| text.lines().position(|line| line == "encryption.seal = \"off\"").expect("a line") + 1;
    let text = std::fs::read_to_string(&config).expect("it was written");
    let way_out = format!("remove encryption.seal = \"off\" ({config}:{}:12), then again", at(&text));
    assert_eq!(refused.stderr, format!("error: encryption is off here, there is no keyring; {way_out}\n"));
    assert_eq!((refused.code, ring.exists()), (Some(5), false));

    std::fs::write(&config, text.replace("encryption.seal = \"off\"\n", "")).expect("the directory is ours");
    let imported = import();
    assert_eq!(
        (imported.stdout.as_str(), imported.code),
        ("b6e3e6b4 seals on this host (for its next start)\n", Some(0))
    );
    let notice = "notice: the agent goes on without encryption until 'systemctl restart weir'\n";
    assert_eq!(imported.stderr, notice);
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.code(), Some(0));
    let mut agent = Agent::start(weir(), &["--config-file", &config]);
    assert!(agent.logged("gossip listening").contains("encrypted=true primary=b6e3e6b4"));
}
