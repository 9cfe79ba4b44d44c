//! A cluster whose key comes in each of the three ways, at the most talkative log level, through commands, rotations and
//! mistakes. Then everything that anybody could read is searched.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use weir::crypto::Key;
use weir::rotate::document::Import;
use weir::rpc::client::{Address, Client};
use weir::rpc::weir::KeysStatus;

use super::forms::Secret;
use crate::support::{Process, address, until, weir_binary};

const FIRST: &str = "3q2+7/rO8LQeHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU=";
const SECOND: &str = "+v79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";
const THIRD: &str = "/wABAgMEBQYHCAkKCwwNDg==";
/// Somebody else's, who tries to join.
const STRANGE: &str = "oaKjpKWmp6ipqqusra6vsLGys7S1tre4ubq7vL2+v8A=";
const TOKEN: &str = "tok-9f2c-Wq7~not-for-anybody";
const WRONG_TOKEN: &str = "tok-wrong-but-perhaps-of-another-agent";
const NO_BASE64: &str = "bm90LWEta2V5LWJ1dC1hbG1vc3Q-";
const SHORT: &str = "c2hvcnQta2V5LWluZGU=";

struct Host {
    name: &'static str,
    rpc: SocketAddr,
    gossip: SocketAddr,
    process: Option<Process>,
}

struct Stage {
    dir: TempDir,
    /// What commands printed, and which they were.
    printed: Vec<(String, Vec<u8>)>,
}

impl Stage {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn private(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn config(&self, host: &Host, keyring: &str, join: &str) -> PathBuf {
        let (dir, Host { name, rpc, gossip, .. }) = (self.dir.path().display(), host);
        let text = format!(
            "node.name = \"{name}\"\ngossip.bind = \"{gossip}\"\ngossip.profile = \"local\"\ngossip.join = [{join}]\n\
             encryption.keyring = \"{keyring}\"\nsnapshot.path = \"{dir}/{name}.snapshot\"\nrpc.socket = \"{dir}/{name}.sock\"\n\
             rpc.listen = \"{rpc}\"\nrpc.token_file = \"{dir}/token\"\nlog.level = \"trace\"\n"
        );
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        path
    }

    fn host(&self, name: &'static str) -> Host {
        Host { name, rpc: address(), gossip: address(), process: None }
    }

    fn start(&self, host: &mut Host, command: Command) {
        let log = self.path(&format!("{}.log", host.name));
        let process = Process::start(command, log);
        process.await_log(" ready ");
        host.process = Some(process);
    }

    /// Runs a command and keeps what it prints.
    fn run(&mut self, mut command: Command, input: &str) -> Output {
        let what = format!("{command:?}").split("weir\"").last().unwrap_or_default().to_owned();
        let mut child = command
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading.
        let _not_wanted = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        self.printed.push((what, [&output.stdout[..], &output.stderr].concat()));
        output
    }

    /// A command of the agent `host`, in both formats.
    fn ask(&mut self, host: &Host, args: &[&str], input: &str) -> Option<i32> {
        let mut code = None;
        for format in ["text", "json"] {
            let mut command = weir(args);
            command.args(["--format", format]).arg(format!("--rpc-addr={}", host.rpc));
            command.arg("--rpc-token-file").arg(self.path("token"));
            code = self.run(command, input).status.code();
        }
        code
    }

    /// A start or command that has to fail.
    fn refused(&mut self, command: Command, input: &str) {
        let output = self.run(command, input);
        assert!(!output.status.success(), "{:?}", self.printed.last());
    }
}

fn weir(args: &[&str]) -> Command {
    let mut command = Command::new(weir_binary());
    command.args(args).env_remove("JOURNAL_STREAM").env("RUST_BACKTRACE", "full");
    command
}

#[test]
fn no_output_log_or_readable_file_shows_a_key_or_a_token() {
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), printed: Vec::new() };
    stage.private("token", TOKEN);
    let mut hosts = start_all(&stage);
    every_command(&mut stage, &hosts);
    every_rpc_call(&mut stage, &hosts[0]);
    rotations(&mut stage, &hosts);
    mistakes(&mut stage, &hosts);
    let fresh = fs::read_to_string(stage.path("ring.json")).unwrap();
    let fresh: Vec<String> = serde_json::from_str(&fresh).unwrap();
    assert!(!fresh.contains(&FIRST.to_owned()), "it was rotated away");
    assert_eq!(stage.ask(&hosts[0], &["leave"], ""), Some(3), "the second finds nobody");
    for host in &mut hosts {
        let process = host.process.as_mut().unwrap();
        process.signal(nix::sys::signal::Signal::SIGTERM);
        process.exit_code();
    }

    let mut secrets = vec![
        Secret::key("the first key", FIRST),
        Secret::key("the second key", SECOND),
        Secret::key("the third key", THIRD),
        Secret::key("a strange key", STRANGE),
        Secret::key("a short key", SHORT),
        Secret::text("what is no base64", NO_BASE64),
        Secret::new("the token", TOKEN.as_bytes()),
        Secret::new("the wrong token", WRONG_TOKEN.as_bytes()),
    ];
    secrets.extend(fresh.iter().map(|key| Secret::key("a fresh key", key)));
    let mut found = Vec::new();
    let places = readable_files(&stage).into_iter().chain(std::mem::take(&mut stage.printed));
    let mut searched = 0;
    for (place, bytes) in places {
        searched += bytes.len();
        found
            .extend(secrets.iter().flat_map(|secret| secret.found_in(&bytes)).map(|found| format!("{place}: {found}")));
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(searched > 100_000, "{searched} bytes are not much to search");
}

/// The key from a file, from a systemd credential, and from the command line.
fn start_all(stage: &Stage) -> [Host; 3] {
    let ring = format!("[\"{FIRST}\"]");
    let file = stage.private("ring.json", &ring);
    stage.private("credentials/ring", &ring);
    let [mut a, mut b, mut c] = [stage.host("a"), stage.host("b"), stage.host("c")];
    let start = |config: PathBuf| {
        let mut command = weir(&["agent", "--config-file"]);
        command.arg(config).env("CREDENTIALS_DIRECTORY", stage.path("credentials"));
        command
    };
    let config = stage.config(&a, &file.display().to_string(), "");
    stage.start(&mut a, start(config));
    let join = format!("\"{}\"", a.gossip);
    let config = stage.config(&b, "credential:ring", &join);
    stage.start(&mut b, start(config));
    let flags = [
        "agent".to_owned(),
        "--node=c".to_owned(),
        format!("--bind={}", c.gossip),
        format!("--rpc-addr={}", c.rpc),
        format!("--encrypt={FIRST}"),
        format!("--rpc-auth={TOKEN}"),
        "--log-level=trace".to_owned(),
        "--profile=local".to_owned(),
        format!("--join={}", a.gossip),
    ];
    stage.start(&mut c, weir(&flags.each_ref().map(String::as_str)));
    until("they have met", || {
        let log = fs::read_to_string(stage.path("a.log")).unwrap();
        let met = ["b", "c"].iter().all(|name| log.contains(&format!("member joined member={name}")));
        if met { Ok(()) } else { Err(log) }
    });
    [a, b, c]
}

fn every_command(stage: &mut Stage, hosts: &[Host; 3]) {
    let monitor = {
        let mut command = weir(&["monitor", "--log-level=trace"]);
        command.arg(format!("--rpc-addr={}", hosts[0].rpc)).arg("--rpc-token-file").arg(stage.path("token"));
        Process::start(command, stage.path("monitor.log"))
    };
    monitor.await_log("a");
    for host in hosts {
        let commands: [&[&str]; 12] = [
            &["info"],
            &["members", "--detailed"],
            &["keys"],
            &["keys", "list"],
            &["keys", "status"],
            &["keys", "rotate", "--dry-run"],
            &["event", "deploy", "v1"],
            &["query", "--timeout=300ms", "uptime"],
            &["tags", "--set", "x=1"],
            &["reachability"],
            &["rtt", "a", "b"],
            &["reload"],
        ];
        for args in commands {
            stage.ask(host, args, "");
        }
    }
    for args in [["config", "show", "--origin"], ["config", "show", "--format=json"], ["config", "check", "--quiet"]] {
        for host in ["a", "b"] {
            let mut command = weir(&args);
            command.arg("--config-file").arg(stage.path(&format!("{host}.toml")));
            command.env("CREDENTIALS_DIRECTORY", stage.path("credentials"));
            stage.run(command, "");
        }
    }
    let json = stage.path("serf.json");
    let text = format!("{{\"encrypt_key\": \"{FIRST}\", \"rpc_auth\": \"{TOKEN}\", \"node_name\": \"d\"}}");
    stage.private("serf.json", &text);
    for args in [&["config", "show"][..], &["config", "show", "--origin"], &["config", "check"]] {
        let mut command = weir(args);
        command.arg("--config-file").arg(&json);
        stage.run(command, "");
    }
}

/// The core ones; Serf's list of keys shows them by contract.
fn every_rpc_call(stage: &mut Stage, host: &Host) {
    let address = Address::Tcp(host.rpc.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async {
        let mut client = Client::connect(&address, Some(TOKEN)).await.unwrap();
        let stats = client.stats().await.unwrap();
        let members = client.members(None).await.unwrap();
        let installed = client.install_key(THIRD).await.unwrap();
        let used = client.use_key(STRANGE).await.unwrap();
        let removed = client.remove_key(THIRD).await.unwrap();
        let status = client.weir(&KeysStatus {}).await;
        let refused = client.weir(&Import { key: SHORT.to_owned(), add: false }).await;
        let wrong = Client::connect(&address, Some(WRONG_TOKEN)).await.err();
        format!("{stats:?} {members:?} {installed:?} {used:?} {removed:?} {status:?} {refused:?} {wrong:?}")
    });
    stage.printed.push(("RPC answers".to_owned(), answers.into_bytes()));
}

fn rotations(stage: &mut Stage, hosts: &[Host; 3]) {
    let id = |key: &str| Key::from_base64(key).unwrap().id().to_string();
    let [a, ..] = hosts;
    // Each command runs in both formats: done the second time, nothing is to do.
    stage.ask(a, &["keys", "install", "--file", "-"], SECOND);
    stage.ask(a, &["keys", "use", &id(SECOND)], "");
    stage.ask(a, &["keys", "status"], "");
    stage.ask(a, &["keys", "remove", "--force", "b,c", &id(FIRST)], "");
    stage.ask(a, &["keys", "rotate", "--absent", "b", "--absent", "c"], "");
    stage.ask(a, &["keys", "rotate"], "");
    stage.ask(a, &["keys", "rotate", "--force", "b", "--force", "c"], "");
    until("only a fresh key is left", || {
        let ring = fs::read_to_string(stage.path("ring.json")).unwrap();
        if ring.contains(FIRST) || ring.contains(SECOND) { Err("not yet".to_owned()) } else { Ok(()) }
    });
}

fn mistakes(stage: &mut Stage, hosts: &[Host; 3]) {
    let [a, ..] = hosts;
    for (input, file) in [(NO_BASE64, "keyring"), (SHORT, "keyring"), ("[1]", "keyring")] {
        stage.ask(a, &["keys", "install", "--file", "-"], input);
        stage.ask(a, &["keys", "import", "--file", "-"], input);
        for text in [format!("[\"{input}\"]"), format!("[\"{FIRST}\", \"{input}\"]"), input.to_owned()] {
            stage.private(file, &text);
            stage.refused(lone(stage, &stage.path(file)), "");
        }
    }
    fs::set_permissions(stage.private("open", &format!("[\"{FIRST}\"]")), fs::Permissions::from_mode(0o640)).unwrap();
    stage.refused(lone(stage, &stage.path("open")), "");
    for args in [
        vec![format!("--encrypt={NO_BASE64}")],
        vec![format!("--encrypt={SHORT}")],
        vec![format!("--encrypt={FIRST}"), format!("--keyring-file={}", stage.path("open").display())],
        vec![format!("--encrypt={FIRST}"), "--seal=off".to_owned()],
        vec![format!("--rpc-auth={TOKEN}"), format!("--rpc-token-file={}", stage.path("token").display())],
    ] {
        let mut command = weir(&["agent", "--node=e", "--bind=127.0.0.1:1"]);
        command.args(args);
        stage.refused(command, "");
    }
    // Secrets of the wrong type, to both of our names.
    let json = stage
        .private("wrong.json", &format!("{{\"encrypt_key\": [\"{FIRST}\"], \"RPC_Auth\": {{\"a\": \"{TOKEN}\"}}}}"));
    for name in ["weir", "serf"] {
        let mut command = weir(&["agent"]);
        command.arg0(name).arg(format!("-config-file={}", json.display()));
        stage.refused(command, "");
    }
    let mut command = weir(&["info"]);
    command.arg(format!("--rpc-addr={}", a.rpc)).arg(format!("--rpc-auth={WRONG_TOKEN}"));
    stage.refused(command, "");
    // Another cluster's key, whose packets and streams both sides refuse.
    stage.private("strange", &format!("[\"{STRANGE}\"]"));
    let mut stranger = stage.host("stranger");
    let (ring, join) = (stage.path("strange").display().to_string(), format!("\"{}\"", a.gossip));
    let mut command = weir(&["agent", "--config-file"]);
    command.arg(stage.config(&stranger, &ring, &join));
    stage.start(&mut stranger, command);
    stranger.process.as_ref().unwrap().await_log("cannot join");
    stage.ask(&stranger, &["info"], "");
    stage.ask(&stranger, &["join", &a.gossip.to_string()], "");
}

fn lone(stage: &Stage, ring: &Path) -> Command {
    let host = stage.host("lone");
    let mut command = weir(&["agent", "--config-file"]);
    command.arg(stage.config(&host, &ring.display().to_string(), ""));
    command
}

/// All files but those that hold secrets by their purpose, which must be nobody else's to read; the logs are among them.
fn readable_files(stage: &Stage) -> Vec<(String, Vec<u8>)> {
    let secret = ["token", "ring.json", "ring", "keyring", "open", "strange", "serf.json", "wrong.json"];
    let mut files = Vec::new();
    let mut directories = vec![stage.dir.path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                directories.push(path);
            } else if secret.contains(&name.as_str()) {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert!(mode == 0o600 || name == "open", "{name} {mode:o}");
            } else if kind.is_file() {
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        ["a.snapshot", "ring.json.state", "c.log", "monitor.log"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    files
}
