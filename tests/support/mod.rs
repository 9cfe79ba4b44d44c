//! Real processes for integration tests: agents of both kinds on loopback addresses of their own, awaited by condition.
//!
//! Everything a test starts is ended when it ends, whichever way. Nothing here sleeps for a result: [`until`] looks again
//! and again until a deadline.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::disallowed_methods, reason = "integration tests start processes and read clocks")]

pub mod network;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before a test fails. Generous: two cores are shared by many processes, and a refused apply is
/// tried again after a minute.
pub const DEADLINE: Duration = Duration::from_secs(150);

/// A loopback address that no other test uses, with a port that is free for UDP and TCP.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(host < 60_000, "addresses of one test process are used up");
    let process = std::process::id();
    // 127.0.0.0/16 is left to others, and so are all third numbers above 239.
    with_free_port(Ipv4Addr::new(127, 1 + (process % 250) as u8, (host / 250) as u8, 1 + (host % 250) as u8))
}

/// `ip` with a port that is free for UDP and TCP.
pub fn with_free_port(ip: Ipv4Addr) -> SocketAddr {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).expect("loopback addresses can be bound");
        let addr = tcp.local_addr().expect("a bound socket has an address");
        if UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no port of {ip} is free for both UDP and TCP");
}

/// Waits until `probe` yields something, looking every few milliseconds.
///
/// # Panics
///
/// At the deadline, with the last reason that `probe` gave.
pub fn until<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    until_within(DEADLINE, what, probe)
}

/// As [`until`], for what takes its time.
///
/// # Panics
///
/// At the limit, with the last reason that `probe` gave.
pub fn until_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match probe() {
            Ok(value) => return value,
            Err(reason) if start.elapsed() > limit => panic!("{what}: not within {limit:?}: {reason}"),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A condition as [`until`] takes it.
pub fn holds(condition: bool) -> Result<(), String> {
    if condition { Ok(()) } else { Err("it does not hold".to_owned()) }
}

/// Says that this test proves nothing here, and why. By the stream itself: the harness keeps what a passing test prints by
/// macros.
pub fn skipped(why: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").expect("standard error is open");
}

/// Held by a test that loads an agent with all the machine has, so that no two do at once.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns a comparison into a reason.
pub fn same<T: PartialEq + Debug>(left: &T, right: &T) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{left:#?}\n  is not\n{right:#?}")) }
}

/// A child process that is killed when dropped. Its output goes to a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("log file can be opened");
        let errors = file.try_clone().expect("file handles can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, log }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("the process is ours");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit code, once it has ended. `None` for a signal.
    pub fn exit_code(&mut self) -> Option<i32> {
        until("process ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status.code()),
            Ok(None) => Err(format!("still running:\n{}", self.log())),
            Err(error) => Err(error.to_string()),
        })
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn await_log(&self, text: &str) {
        until(&format!("log line {text:?}"), || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// One member as either command line tells it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    pub name: String,
    pub addr: String,
    pub status: String,
    pub tags: BTreeMap<String, String>,
}

/// Reads `members -format=json` of either kind, sorted by name.
pub fn parse_members(json: &str) -> Result<Vec<Member>, String> {
    let value: serde_json::Value = serde_json::from_str(json).map_err(|error| format!("{error}: {json}"))?;
    let empty = Vec::new();
    let mut members: Vec<_> = value["members"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .map(|member| Member {
            name: member["name"].as_str().unwrap_or_default().to_owned(),
            addr: member["addr"].as_str().unwrap_or_default().to_owned(),
            status: member["status"].as_str().unwrap_or_default().to_owned(),
            tags: member["tags"]
                .as_object()
                .map(|tags| tags.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect())
                .unwrap_or_default(),
        })
        .collect();
    members.sort();
    Ok(members)
}

/// Which program an agent is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Serf,
    Weir,
}

/// An agent of either kind, with its own directory and addresses.
pub struct Agent {
    pub kind: Kind,
    pub name: String,
    pub gossip: SocketAddr,
    /// Serf's RPC over TCP; both kinds listen there.
    pub rpc: SocketAddr,
    pub dir: TempDir,
    options: Settings,
    process: Option<Process>,
}

/// What an agent is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Base64; plain text if empty.
    pub key: Option<String>,
    pub tags: Vec<(String, String)>,
    pub join: Vec<SocketAddr>,
    /// Further lines of weir's TOML.
    pub toml: String,
    /// `encryption.seal`, where it is not the default.
    pub seal: Option<&'static str>,
    /// Further lines of its section `gossip`.
    pub gossip: String,
    /// Further arguments of serf.
    pub serf_args: Vec<String>,
    /// The timings; lan if not set.
    pub profile: Option<&'static str>,
    /// Debug if not set.
    pub log_level: Option<&'static str>,
    /// See [`without_file_rights`].
    pub no_file_rights: bool,
    /// The network namespace to live in, by its name in `ip netns`; the test's own if not set.
    pub namespace: Option<String>,
}

impl Settings {
    pub fn key(key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::default() }
    }

    /// As [`Self::key`], for measuring: agents log next to nothing.
    pub fn quiet(key: &str) -> Self {
        Self { log_level: Some("warn"), ..Self::key(key) }
    }

    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = Some(level);
        self
    }

    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn join(mut self, addr: SocketAddr) -> Self {
        self.join.push(addr);
        self
    }

    pub fn toml(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self
    }

    /// File modes hold for this agent although the tests may run as root.
    pub fn without_file_rights(mut self) -> Self {
        self.no_file_rights = true;
        self
    }
}

impl Agent {
    /// Starts an agent and waits until its RPC answers.
    pub fn start(kind: Kind, name: &str, options: Settings) -> Self {
        let mut agent = Self::prepare(kind, name, options);
        agent.run();
        agent
    }

    /// An agent that is not started yet.
    pub fn prepare(kind: Kind, name: &str, options: Settings) -> Self {
        Self::prepare_at(kind, name, options, address(), address())
    }

    /// As [`Self::prepare`], with addresses of the namespace in its settings.
    pub fn prepare_at(kind: Kind, name: &str, options: Settings, gossip: SocketAddr, rpc: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        Self { kind, name: name.to_owned(), gossip, rpc, dir, options, process: None }
    }

    /// Starts it (again) and waits until its RPC answers.
    pub fn run(&mut self) {
        self.spawn();
        self.await_rpc();
    }

    /// Starts it (again).
    pub fn spawn(&mut self) {
        let command = match self.kind {
            Kind::Serf => self.serf_command(),
            Kind::Weir => self.weir_command(),
        };
        self.process = Some(Process::start(command, self.dir.path().join("log")));
    }

    pub fn await_rpc(&mut self) {
        let log = self.dir.path().join("log");
        let name = self.name.clone();
        until(&format!("{name} answers"), || {
            let running = self.process.as_mut().is_some_and(Process::is_running);
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(running, "{name} ended:\n{}", log());
            self.members().map_err(|reason| format!("{reason}\n{}", log()))
        });
    }

    pub fn options_mut(&mut self) -> &mut Settings {
        &mut self.options
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("started")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn pause(&mut self) {
        self.process().signal(Signal::SIGSTOP);
    }

    pub fn resume(&mut self) {
        self.process().signal(Signal::SIGCONT);
    }

    /// Leaves by its own command line and waits for its end.
    pub fn leave(&mut self) {
        let output = self.cli(&["leave"]);
        // 7: a balancer that has no other server does not let it go, and it goes all the same.
        assert!(matches!(output.status.code(), Some(0 | 7)), "{} leave: {output:?}\n{}", self.name, self.log());
        assert_eq!(self.process().exit_code(), Some(0), "{}", self.log());
        self.process = None;
    }

    /// The member list that this agent's own command line prints.
    pub fn members(&self) -> Result<Vec<Member>, String> {
        let output = self.cli(&["members", "--format=json"]);
        if !output.status.success() {
            return Err(format!("{output:?}"));
        }
        parse_members(&String::from_utf8_lossy(&output.stdout))
    }

    /// Runs this agent's own command line against it.
    pub fn cli(&self, args: &[&str]) -> Output {
        let (command, rest) = args.split_first().expect("a command");
        let rpc = match self.kind {
            Kind::Serf => format!("-rpc-addr={}", self.rpc),
            Kind::Weir => format!("--rpc-addr={}", self.rpc),
        };
        let mut program = self.program();
        program.arg(command).arg(rpc).args(rest).env_remove("SERF_RPC_ADDR");
        program.output().unwrap_or_else(|error| panic!("cannot run {program:?}: {error}"))
    }

    /// Its own program, in its own namespace.
    fn program(&self) -> Command {
        let program = match self.kind {
            Kind::Serf => "serf",
            Kind::Weir => weir_binary(),
        };
        let Some(namespace) = &self.options.namespace else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    pub fn join_to(&self, other: SocketAddr) {
        let output = self.cli(&["join", &other.to_string()]);
        assert!(output.status.success(), "join: {output:?}\n{}", self.log());
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("weir.toml")
    }

    fn serf_command(&self) -> Command {
        let mut command = self.program();
        command.arg("agent").args([
            format!("-node={}", self.name),
            format!("-bind={}", self.gossip),
            format!("-rpc-addr={}", self.rpc),
            format!("-profile={}", self.options.profile.unwrap_or("lan")),
            format!("-log-level={}", self.options.log_level.unwrap_or("debug")),
        ]);
        if let Some(key) = &self.options.key {
            let keyring = self.dir.path().join("keyring.json");
            if !keyring.exists() {
                std::fs::write(&keyring, format!("[\"{key}\"]")).expect("the directory is ours");
            }
            command.arg(format!("-keyring-file={}", keyring.display()));
        }
        command.args(self.options.tags.iter().map(|(name, value)| format!("-tag={name}={value}")));
        command.args(self.options.join.iter().map(|addr| format!("-retry-join={addr}")));
        command.args(&self.options.serf_args);
        command
    }

    fn weir_command(&self) -> Command {
        self.write_config();
        let mut command = self.program();
        command.args(["agent", "--config-file"]).arg(self.config_file());
        if self.options.no_file_rights {
            command = without_file_rights(&command);
        }
        command.env("RUST_BACKTRACE", "1");
        command
    }

    /// Writes weir's configuration as the settings say.
    pub fn write_config(&self) {
        let dir = self.dir.path().display();
        let quoted =
            |addrs: &[SocketAddr]| addrs.iter().map(|addr| format!("\"{addr}\"")).collect::<Vec<_>>().join(", ");
        let encryption = match &self.options.key {
            Some(key) => {
                write_keyring(&self.dir.path().join("keyring.json"), key);
                let seal = self.options.seal.map(|seal| format!("seal = \"{seal}\"\n")).unwrap_or_default();
                format!("[encryption]\nkeyring = \"{dir}/keyring.json\"\n{seal}")
            }
            None => "[encryption]\nseal = \"off\"\n".to_owned(),
        };
        let tags: String = self
            .options
            .tags
            .iter()
            .map(|(name, value)| format!("{name} = {}\n", toml::Value::from(value.as_str())))
            .collect();
        // Most tests are about something else, and a leave without a balancer takes its time.
        let leave = if self.options.toml.contains("[leave]") { "" } else { "[leave]\ndrain_time = \"0s\"\n" };
        let text = format!(
            "[node]\nname = \"{}\"\n[node.tags]\n{tags}[gossip]\nbind = \"{}\"\nprofile = \"{}\"\njoin = [{}]\n{}{encryption}\
             [snapshot]\npath = \"{dir}/snapshot\"\n[rpc]\nsocket = \"{dir}/rpc.sock\"\nlisten = \"{}\"\n\
             [log]\nlevel = \"{}\"\n{leave}{}",
            self.name,
            self.gossip,
            self.options.profile.unwrap_or("lan"),
            quoted(&self.options.join),
            self.options.gossip,
            self.rpc,
            self.options.log_level.unwrap_or("debug"),
            self.options.toml,
        );
        std::fs::write(self.config_file(), text).expect("the directory is ours");
    }
}

/// Writes a keyring file as it has to be: readable by its owner only.
pub fn write_keyring(path: &Path, key: &str) {
    use std::os::unix::fs::PermissionsExt;
    if !path.exists() {
        std::fs::write(path, format!("[\"{key}\"]")).expect("the directory is ours");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }
}

/// The same command, for which file modes hold although the tests may run as root. Its environment is the tests'.
pub fn without_file_rights(command: &Command) -> Command {
    let rights = "-dac_override,-dac_read_search";
    let mut words = vec![];
    if nix::unistd::geteuid().is_root() {
        words.extend(["setpriv", "--bounding-set", rights, "--inh-caps", rights].map(std::ffi::OsStr::new));
    }
    words.push(command.get_program());
    words.extend(command.get_args());
    let mut through = Command::new(words[0]);
    through.args(&words[1..]);
    through
}

pub fn weir_binary() -> &'static str {
    env!("CARGO_BIN_EXE_weir")
}

/// Runs the real `serf` command against an RPC address.
pub fn serf(rpc: SocketAddr, args: &[&str]) -> Output {
    let (command, rest) = args.split_first().expect("a command");
    Command::new("serf")
        .arg(command)
        .arg(format!("-rpc-addr={rpc}"))
        .args(rest)
        .env_remove("SERF_RPC_ADDR")
        .output()
        .expect("Debian's package serf is installed")
}

/// Runs weir's command line against an RPC address.
pub fn weir(rpc: SocketAddr, args: &[&str]) -> Output {
    let (command, rest) = args.split_first().expect("a command");
    Command::new(weir_binary()).arg(command).arg(format!("--rpc-addr={rpc}")).args(rest).output().expect("weir runs")
}

/// Waits until every running agent of `agents` tells the same members with the same statuses, `expected` of them by name.
pub fn await_agreement(agents: &[&Agent], expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, status)| ((*name).to_owned(), (*status).to_owned())).collect();
    until(&format!("all agree on {expected:?}"), || {
        let first = agents[0].members()?;
        let statuses: BTreeMap<_, _> = first.iter().map(|m| (m.name.clone(), m.status.clone())).collect();
        same(&statuses, &expected).map_err(|reason| format!("{}: {reason}", agents[0].name))?;
        for agent in &agents[1..] {
            same(&agent.members()?, &first)
                .map_err(|reason| format!("{} against {}: {reason}", agent.name, agents[0].name))?;
        }
        Ok(())
    });
}
