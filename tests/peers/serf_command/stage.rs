//! Three agents of one cluster: the one that is asked, and two real Serf agents beside it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::record::{Order, Record, Run, without_measures};
use crate::support::{Process, parse_members, same, until, weir_binary, with_free_port, write_keyring};

/// Go asks the C library for names and ports where nsswitch.conf has a service that it does not know (Debian's package
/// systemd-container adds one), and then words its errors otherwise.
const GO_RESOLVER: (&str, &str) = ("GODEBUG", "netdns=go");

/// Whose a client or an agent is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    /// Debian's `serf`.
    Serf,
    /// `weir agent`, and as a client a link to weir named `serf`.
    Weir,
}

/// Who asks and who answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) client: Program,
    pub(crate) agent: Program,
}

/// One agent.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) gossip: SocketAddr,
    pub(crate) rpc: SocketAddr,
    pub(crate) process: Process,
}

/// A cluster, and what was seen of it.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) dir: TempDir,
    pub(crate) nodes: Vec<Node>,
    pub(crate) record: Record,
    /// Where nobody listens.
    pub(crate) nowhere: SocketAddr,
    token: Option<&'static str>,
}

/// An address whose text is as long as that of all others, so that tables are as wide: every number has three digits, the port
/// five.
fn even_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    assert!(host < 1500, "addresses of one test process are used up");
    let ip = Ipv4Addr::new(127, 100 + (process % 150) as u8, 240 + (host / 150) as u8, 100 + (host % 150) as u8);
    std::iter::repeat_with(|| with_free_port(ip)).find(|address| address.port() > 9999).unwrap()
}

impl Stage {
    /// Starts nobody yet.
    pub(crate) fn new(pair: Pair, token: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(weir_binary(), dir.path().join("serf")).unwrap();
        Self { pair, dir, nodes: Vec::new(), record: Record::default(), nowhere: even_address(), token }
    }

    /// Starts an agent, the first by the program in question, and waits until all know it.
    pub(crate) fn start(&mut self, name: &'static str, arguments: &[&str]) {
        self.launch(name, arguments);
        for index in 0..self.nodes.len() {
            self.await_members(index, |members| same(&members.matches("alive").count(), &self.nodes.len()));
        }
    }

    /// As [`Self::start`], and waits for nobody.
    pub(crate) fn launch(&mut self, name: &'static str, arguments: &[&str]) {
        let program = if self.nodes.is_empty() { self.pair.agent } else { Program::Serf };
        let (gossip, rpc) = (even_address(), even_address());
        let log = self.dir.path().join(format!("{}.log", self.nodes.len()));
        let mut command = match program {
            Program::Serf => Command::new("serf"),
            Program::Weir => Command::new(weir_binary()),
        };
        command.env(GO_RESOLVER.0, GO_RESOLVER.1).args(["agent", "-profile=local"]).args([
            format!("-node={name}"),
            format!("-bind={gossip}"),
            format!("-rpc-addr={rpc}"),
        ]);
        command.args(arguments);
        if let Some(first) = self.nodes.first() {
            command.arg(format!("-retry-join={}", first.gossip));
        }
        let process = Process::start(command, log);
        self.nodes.push(Node { name, gossip, rpc, process });
    }

    /// A file in the stage's directory, for nobody else to read.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A keyring of its own for one agent.
    pub(crate) fn keyring(&self, name: &str, key: &str) -> String {
        let path = self.dir.path().join(format!("{name}.keyring"));
        write_keyring(&path, key);
        path.display().to_string()
    }

    /// Waits until the members are as they should be, as one of the agents tells: `NAME STATUS` each.
    pub(crate) fn await_members(&self, index: usize, is_fine: impl Fn(&str) -> Result<(), String>) {
        let node = &self.nodes[index];
        until(&format!("{} knows the members", node.name), || {
            let output = self.at(Program::Serf, node.rpc, &["members", "-format=json"]).output().unwrap();
            let members = parse_members(&String::from_utf8_lossy(&output.stdout))?;
            let members: Vec<_> = members.iter().map(|member| format!("{} {}", member.name, member.status)).collect();
            is_fine(&members.join(", "))
        });
    }

    /// Waits until all agents that run see a member so.
    pub(crate) fn await_status(&self, indices: &[usize], name: &str, status: &str) {
        for index in indices {
            let wanted = format!("{name} {status}");
            self.await_members(
                *index,
                |members| {
                    if members.contains(&wanted) { Ok(()) } else { Err(members.to_owned()) }
                },
            );
        }
    }

    /// Runs a command at the first agent and records what it says. `@NAME`, `@nowhere` in arguments are addresses.
    pub(crate) fn run(&mut self, order: Order, arguments: &[&str]) {
        let run = self.ask(self.pair.client, self.nodes[0].rpc, arguments);
        self.note(order, arguments, &run);
    }

    /// As [`Self::run`], for a request to all members that changes nothing the second time. The reference's gossip goes to members drawn at
    /// random and now and then passes one by: what was answered twice alike counts.
    pub(crate) fn run_settled(&mut self, order: Order, arguments: &[&str]) {
        let mut seen = Vec::new();
        for _ in 0..5 {
            let run = normal(order, &self.ask(self.pair.client, self.nodes[0].rpc, arguments));
            if seen.contains(&run) {
                return self.record.push(&title(arguments), run);
            }
            seen.push(run);
        }
        panic!("{arguments:?} is answered otherwise each time: {seen:?}");
    }

    /// As [`Self::run`] while the agent `silent` is stopped, which it stays. An answer that names `present`, who is not, counts only
    /// if it comes each time.
    pub(crate) fn run_beside_silence(&mut self, silent: usize, present: &str, order: Order, arguments: &[&str]) {
        let name = format!("web{silent}");
        for tries_left in (0..5).rev() {
            self.nodes[silent].process.signal(Signal::SIGSTOP);
            let run = normal(order, &self.ask(self.pair.client, self.nodes[0].rpc, arguments));
            if tries_left == 0 || !format!("{run:?}").contains(present) {
                return self.record.push(&title(arguments), run);
            }
            eprintln!("{arguments:?} names {present}, too; asked again");
            self.nodes[silent].process.signal(Signal::SIGCONT);
            self.await_status(&[0, 1, 2], &name, "alive");
        }
    }

    /// As [`Self::run`] once a command of the reference succeeds, since some answers are not there at once.
    pub(crate) fn run_when_ready(&mut self, order: Order, arguments: &[&str]) {
        let run = until(&format!("{arguments:?}"), || {
            let run = self.ask(self.pair.client, self.nodes[0].rpc, arguments);
            if run.code == Some(0) { Ok(run) } else { Err(format!("{run:?}")) }
        });
        self.note(order, arguments, &run);
    }

    /// Runs a command that needs no agent, or one somewhere else: nothing is added to its arguments.
    pub(crate) fn run_alone(&mut self, order: Order, environment: &[(&str, &str)], arguments: &[&str]) {
        let mut command = self.command(self.pair.client, arguments);
        command.envs(environment.iter().map(|(name, value)| (name, self.filled(value))));
        let run = self.finish(command);
        self.note(order, arguments, &run);
    }

    fn note(&mut self, order: Order, arguments: &[&str], run: &Run) {
        self.record.push(&title(arguments), normal(order, run));
    }

    /// Runs a command at an agent.
    pub(crate) fn ask(&self, client: Program, rpc: SocketAddr, arguments: &[&str]) -> Run {
        self.finish(self.at(client, rpc, arguments))
    }

    fn at(&self, client: Program, rpc: SocketAddr, arguments: &[&str]) -> Command {
        let (name, rest) = arguments.split_first().unwrap();
        let rpc = format!("-rpc-addr={rpc}");
        let token = self.token.map(|token| format!("-rpc-auth={token}"));
        let mut all = vec![*name, &rpc];
        all.extend(token.as_deref());
        all.extend(rest);
        self.command(client, &all)
    }

    pub(crate) fn command(&self, client: Program, arguments: &[&str]) -> Command {
        let mut command = match client {
            Program::Serf => Command::new("serf"),
            Program::Weir => Command::new(self.dir.path().join("serf")),
        };
        command.args(arguments.iter().map(|argument| self.filled(argument)));
        command.env(GO_RESOLVER.0, GO_RESOLVER.1).env_remove("SERF_RPC_ADDR").env_remove("SERF_RPC_AUTH");
        command.stdin(std::process::Stdio::null());
        command
    }

    fn finish(&self, mut command: Command) -> Run {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| self.named(&without_usage(&String::from_utf8_lossy(bytes)));
        Run { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() }
    }

    /// `text` with addresses for their names.
    fn filled(&self, text: &str) -> String {
        self.addresses().iter().fold(text.to_owned(), |text, (name, address)| text.replace(name, &address.to_string()))
    }

    /// `text` with names for addresses, padded to their length. Whole addresses go first, all of them: two may have one port.
    pub(crate) fn named(&self, text: &str) -> String {
        let addresses = self.addresses();
        let whole = addresses
            .iter()
            .fold(text.to_owned(), |text, (name, address)| text.replace(&address.to_string(), &format!("{name:-<17}")));
        addresses.iter().fold(whole, |text, (name, address)| {
            text.replace(&address.ip().to_string(), name).replace(&address.port().to_string(), "PORT")
        })
    }

    /// `@NAME`, `@NAME.rpc` and `@nowhere`, longest first.
    fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let rpc = self.nodes.iter().map(|node| (format!("@{}.rpc", node.name), node.rpc));
        let gossip = self.nodes.iter().map(|node| (format!("@{}", node.name), node.gossip));
        rpc.chain(gossip).chain([("@nowhere".to_owned(), self.nowhere)]).collect()
    }
}

/// The usage text of a command is in its own words.
fn without_usage(text: &str) -> String {
    match text.find("Usage: serf") {
        Some(start) => format!("{}<usage>\n", &text[..start]),
        None => text.to_owned(),
    }
}

fn title(arguments: &[&str]) -> String {
    arguments.join(" ").chars().take(80).collect()
}

/// Without what differs from run to run.
fn normal(order: Order, run: &Run) -> Run {
    let normal = |text: &str| order.apply(&without_measures(text));
    Run { stdout: normal(&run.stdout), stderr: normal(&run.stderr), code: run.code }
}
