//! What the demo starts: directories, keys, configuration, NGINX and agents; and how all of it ends.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::apply;
use crate::crypto::{Key, Keyring};
use crate::upstream::Generation;
use crate::upstream::desired::{Desired, Target};

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::traffic::{self, RequestError};

/// What a part may need to come up.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What an agent may need to leave: its own bound, and some.
const LEAVE_LIMIT: Duration = Duration::from_secs(45);

/// A node of the demo.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Balancer,
    Web1,
    Web2,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Balancer => "lb1",
            Self::Web1 => "web1",
            Self::Web2 => "web2",
        }
    }

    const fn ip(self, network: u8) -> Ipv4Addr {
        match self {
            Self::Balancer => Ipv4Addr::new(127, 77, network, 11),
            Self::Web1 => Ipv4Addr::new(127, 77, network, 12),
            Self::Web2 => Ipv4Addr::new(127, 77, network, 13),
        }
    }
}

/// One node: its addresses and, while it runs, its processes.
#[derive(Debug)]
struct Host {
    role: Role,
    gossip: SocketAddr,
    http: SocketAddr,
    agent: Option<Child>,
    nginx: Option<Child>,
}

/// What the balancer serves by its own record.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub(super) generation: u64,
    /// Name, address, weight; servers that are down have weight 0.
    pub(super) servers: Vec<(String, SocketAddr, u16)>,
}

impl Live {
    /// Whether exactly these servers get requests, with these weights.
    pub(super) fn serves(&self, expected: &[(&str, u16)]) -> bool {
        let mut serving: Vec<_> = self.servers.iter().filter(|(_, _, weight)| *weight > 0).collect();
        serving.sort();
        serving.len() == expected.len()
            && serving.iter().zip(expected).all(|((name, _, weight), wanted)| (name.as_str(), *weight) == *wanted)
    }
}

/// Everything that the demo started. Dropping it ends the processes and removes the directory.
#[derive(Debug)]
pub(super) struct Stage {
    dir: tempfile::TempDir,
    program: PathBuf,
    nginx: PathBuf,
    hosts: [Host; 3],
    /// Held until the end.
    _network: UnixListener,
}

impl Stage {
    /// Finds NGINX and free ports and writes keys; starts nothing yet.
    pub(super) fn build() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| fail(format!("cannot find this program: {error}")))?;
        let nginx = find_nginx()?;
        let dir = tempfile::Builder::new()
            .prefix("weir-demo-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .map_err(|error| fail(format!("cannot make a temporary directory: {error}")))?;
        let (network, claim) = claim_network()?;
        let host = |role: Role| -> Result<Host, Failure> {
            let ip = role.ip(network);
            let (gossip, http) = (free_port(ip, 7946)?, free_port(ip, 8080)?);
            Ok(Host { role, gossip, http, agent: None, nginx: None })
        };
        let hosts = [host(Role::Balancer)?, host(Role::Web1)?, host(Role::Web2)?];
        let stage = Self { dir, program, nginx, hosts, _network: claim };
        stage.write_key()?;
        Ok(stage)
    }

    /// The address that requests go to.
    pub(super) fn front(&self) -> SocketAddr {
        self.hosts[0].http
    }

    /// One line about each node.
    pub(super) fn describe(&self) -> Vec<String> {
        let line = |host: &Host| format!("{:5} gossip {}  http {}", host.role.name(), host.gossip, host.http);
        self.hosts.iter().map(line).collect()
    }

    /// Starts the balancer: the agent first, which writes the upstream that NGINX's configuration names.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        self.write_balancer()?;
        self.start_agent(Role::Balancer).await?;
        let upstream = self.upstream_file();
        self.until("the balancer's agent writes its upstream", || upstream.exists()).await?;
        self.start_nginx(Role::Balancer).await
    }

    /// Starts a web server and its agent, or starts them again.
    pub(super) async fn start(&mut self, role: Role, weight: u16) -> Result<(), Failure> {
        self.write_web(role, weight)?;
        self.start_nginx(role).await?;
        self.start_agent(role).await
    }

    /// Ends agent and web server at once.
    pub(super) fn kill(&mut self, role: Role) {
        let host = self.host_mut(role);
        for child in [host.agent.take(), host.nginx.take()].into_iter().flatten() {
            end(child, nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Changes the tag `weight` of a running agent, as an operator does.
    pub(super) async fn set_weight(&mut self, role: Role, weight: u16) -> Result<(), Failure> {
        self.command(role, &["tags", "--set", &format!("weight={weight}")]).await
    }

    /// Leaves, then stops the web server.
    pub(super) async fn leave(&mut self, role: Role) -> Result<(), Failure> {
        self.command(role, &["leave"]).await?;
        if let Some(mut agent) = self.host_mut(role).agent.take() {
            match tokio::time::timeout(LEAVE_LIMIT, agent.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                other => {
                    return Err(fail(format!("{}'s agent did not end well after its leave: {other:?}", role.name())));
                }
            }
        }
        // The application stops only now, when the balancer no longer sends it anything.
        let gone = {
            let started = Instant::now();
            loop {
                let in_use = self.live()?.servers.iter().any(|(name, _, weight)| name == role.name() && *weight > 0);
                if !in_use || started.elapsed() > START_LIMIT {
                    break !in_use;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if !gone {
            return Err(fail(format!("{} is still in the upstream after its leave", role.name())));
        }
        if let Some(nginx) = self.host_mut(role).nginx.take() {
            end(nginx, nix::sys::signal::Signal::SIGQUIT);
        }
        Ok(())
    }

    /// What the balancer's apply record says is live.
    pub(super) fn live(&self) -> Result<Live, Failure> {
        let record = apply::live(&self.path("apply")).map_err(|error| fail(error.what()))?;
        Ok(record.map(|(generation, desired)| live(generation, &desired)).unwrap_or_default())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn upstream_file(&self) -> PathBuf {
        self.path("conf.d/weir-web.conf")
    }

    fn host(&self, role: Role) -> &Host {
        &self.hosts[role as usize]
    }

    fn host_mut(&mut self, role: Role) -> &mut Host {
        &mut self.hosts[role as usize]
    }

    fn write_key(&self) -> Result<(), Failure> {
        let mut entropy = |bytes: &mut [u8]| {
            use rand::TryRng as _;
            rand::rngs::SysRng.try_fill_bytes(bytes).expect("the operating system has a generator");
        };
        let keyring = Keyring::new(Key::generate(&mut entropy), []);
        write(&self.path("keyring.json"), &keyring.to_json(), 0o600)
    }

    fn write_balancer(&self) -> Result<(), Failure> {
        let host = self.host(Role::Balancer);
        std::fs::create_dir_all(self.path("conf.d"))
            .map_err(|error| fail(format!("cannot make a directory: {error}")))?;
        let dir = self.dir.path().display();
        let site = format!(
            "worker_processes 2;\n{}\nhttp {{\n{}    include {dir}/conf.d/*.conf;\n    server {{\n        listen {};\n        \
             location / {{\n            proxy_pass http://web;\n            proxy_connect_timeout 500ms;\n            \
             proxy_read_timeout 2s;\n            proxy_next_upstream error timeout;\n        }}\n    }}\n}}\n",
            self.nginx_head(Role::Balancer),
            self.nginx_paths(Role::Balancer),
            host.http,
        );
        write(&self.nginx_config(Role::Balancer), &site, 0o644)?;
        let upstream = format!(
            "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n[upstream.web.server]\n\
             port = {{ tag = \"port\", default = 80 }}\n[upstream.web.probe]\nhttp = \"/\"\ninterval = \"250ms\"\n\
             [upstream.web.nginx]\noutput = \"{}\"\n\
             [apply]\nmode = \"direct\"\nstate = \"{dir}/apply\"\n[nginx]\nbinary = \"{}\"\nconfig = \"{}\"\npid_file = \"{dir}/lb1.pid\"\n",
            self.upstream_file().display(),
            self.nginx.display(),
            self.nginx_config(Role::Balancer).display(),
        );
        self.write_agent(Role::Balancer, "role = \"lb\"\n", &upstream)
    }

    fn write_web(&self, role: Role, weight: u16) -> Result<(), Failure> {
        let host = self.host(role);
        let site = format!(
            "worker_processes 1;\n{}\nhttp {{\n{}    server {{\n        listen {};\n        location / {{\n            \
             default_type text/plain;\n            return 200 \"{}\\n\";\n        }}\n    }}\n}}\n",
            self.nginx_head(role),
            self.nginx_paths(role),
            host.http,
            role.name(),
        );
        write(&self.nginx_config(role), &site, 0o644)?;
        let tags = format!("role = \"web\"\nport = \"{}\"\nweight = \"{weight}\"\n", host.http.port());
        self.write_agent(role, &tags, "")
    }

    fn write_agent(&self, role: Role, tags: &str, more: &str) -> Result<(), Failure> {
        let dir = self.dir.path().display();
        let name = role.name();
        let join = match role {
            Role::Balancer => String::new(),
            Role::Web1 | Role::Web2 => format!("join = [\"{}\"]\n", self.host(Role::Balancer).gossip),
        };
        let text = format!(
            "[node]\nname = \"{name}\"\n[node.tags]\n{tags}[gossip]\nbind = \"{}\"\n{join}[encryption]\n\
             keyring = \"{dir}/keyring.json\"\n[snapshot]\npath = \"{dir}/{name}.snapshot\"\n[rpc]\n\
             socket = \"{dir}/{name}.sock\"\n{more}",
            self.host(role).gossip,
        );
        write(&self.agent_config(role), &text, 0o600)
    }

    fn socket(&self, role: Role) -> PathBuf {
        self.path(&format!("{}.sock", role.name()))
    }

    fn agent_config(&self, role: Role) -> PathBuf {
        self.path(&format!("{}.toml", role.name()))
    }

    fn nginx_config(&self, role: Role) -> PathBuf {
        self.path(&format!("{}.nginx.conf", role.name()))
    }

    fn nginx_head(&self, role: Role) -> String {
        let (dir, name) = (self.dir.path().display(), role.name());
        format!("pid {dir}/{name}.pid;\nerror_log {dir}/{name}.error.log;\nevents {{ }}")
    }

    fn nginx_paths(&self, role: Role) -> String {
        let (dir, name) = (self.dir.path().display(), role.name());
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = kinds.iter().map(|kind| format!("    {kind}_temp_path {dir}/{name}.{kind};\n")).collect();
        format!("    access_log off;\n{paths}")
    }

    async fn start_nginx(&mut self, role: Role) -> Result<(), Failure> {
        let log = self.path(&format!("{}.error.log", role.name()));
        let mut command = Command::new(&self.nginx);
        command.arg("-e").arg(&log).arg("-c").arg(self.nginx_config(role)).args(["-g", "daemon off;"]);
        let child = spawn(&mut command, &log)?;
        self.host_mut(role).nginx = Some(child);
        let http = self.host(role).http;
        let started = Instant::now();
        // Any answer will do: the balancer has no server yet and says so with a 502.
        while let Err(why) = traffic::request(http).await {
            if matches!(why, RequestError::Status(_)) {
                break;
            }
            if started.elapsed() > START_LIMIT {
                return Err(fail(format!(
                    "NGINX of {} does not answer: {why}; its log ends: {}",
                    role.name(),
                    last_line(&log)
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn start_agent(&mut self, role: Role) -> Result<(), Failure> {
        let log = self.path(&format!("{}.log", role.name()));
        let socket = self.socket(role);
        let mut command = Command::new(&self.program);
        command.args(["agent", "--config-file"]).arg(self.agent_config(role));
        let child = spawn(&mut command, &log)?;
        let agent = self.host_mut(role).agent.insert(child);
        let started = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            let ended = agent.try_wait().ok().flatten();
            if ended.is_some() || started.elapsed() > START_LIMIT {
                let how = ended.map_or("does not answer".to_owned(), |status| format!("ended: {status}"));
                return Err(fail(format!("the agent of {} {how}; its log ends: {}", role.name(), last_line(&log))));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Runs a command of this program against `role`'s agent, as soon as that answers.
    async fn command(&self, role: Role, args: &[&str]) -> Result<(), Failure> {
        let socket = format!("unix:{}", self.socket(role).display());
        let mut command = Command::new(&self.program);
        command.args(args).args(["--rpc-addr", &socket]).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| fail(format!("cannot run weir: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.trim();
        let log = last_line(&self.path(&format!("{}.log", role.name())));
        Err(fail(format!("weir {} failed on {}: {why}; the agent's log ends: {log}", args.join(" "), role.name())))
    }

    async fn until(&self, what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
        let started = Instant::now();
        while !done() {
            if started.elapsed() > START_LIMIT {
                let log = last_line(&self.path("lb1.log"));
                return Err(fail(format!("{what}: not within {} s; lb1's log ends: {log}", START_LIMIT.as_secs())));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            for child in [host.agent.take(), host.nginx.take()].into_iter().flatten() {
                // NGINX's master takes its workers along on SIGTERM; SIGKILL would orphan them.
                end(child, nix::sys::signal::Signal::SIGTERM);
            }
        }
    }
}

/// Ends a process: by `signal`, and by SIGKILL if that takes longer than a moment.
fn end(mut child: Child, signal: nix::sys::signal::Signal) {
    let Some(pid) = child.id() else { return };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("process ids are positive i32"));
    let workers = if signal == nix::sys::signal::Signal::SIGKILL { children(pid) } else { Vec::new() };
    // The process may have ended by itself; then there is nothing to do.
    let _ended = nix::sys::signal::kill(pid, signal);
    for worker in workers {
        let _ended = nix::sys::signal::kill(worker, signal);
    }
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if started.elapsed() > Duration::from_secs(3) {
            let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes whose parent is `pid`: the workers of a master that is about to be killed.
fn children(pid: nix::unistd::Pid) -> Vec<nix::unistd::Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
        parent == Some(pid.as_raw())
    };
    numbers.filter(is_child).map(nix::unistd::Pid::from_raw).collect()
}

fn live(generation: Generation, desired: &Desired) -> Live {
    let servers = desired.upstreams.values().flat_map(|target| match target {
        Target::Servers(servers) => servers.as_slice(),
        Target::Placeholder => &[],
    });
    let line = |server: &crate::upstream::Server| {
        let weight = if server.down { 0 } else { server.weight.get() };
        (server.member.to_string(), server.addr, weight)
    };
    Live { generation: generation.0, servers: servers.map(line).collect() }
}

fn find_nginx() -> Result<PathBuf, Failure> {
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"]);
    places.map(|place| Path::new(place).join("nginx")).find(|nginx| nginx.is_file()).ok_or_else(|| {
        fail("nginx is not installed")
            .with_remedy("'apt install nginx' or 'dnf install nginx', or 'make demo', which does it")
    })
}

/// A network of this demo's own in 127.77.0.0/16, which no other demo on this machine uses while the claim is held. Ports are
/// bound long after they were found free, and bound again when a server comes back.
fn claim_network() -> Result<(u8, UnixListener), Failure> {
    let claim = |network: u8| {
        let name = UnixAddr::from_abstract_name(format!("weir-demo-127.77.{network}.0")).ok()?;
        Some((network, UnixListener::bind_addr(&name).ok()?))
    };
    (0..=u8::MAX).find_map(claim).ok_or_else(|| fail("256 demos run on this machine").with_remedy("end one of them"))
}

/// `wanted` on `ip` if nobody listens there, else any port that is free for TCP and UDP.
fn free_port(ip: Ipv4Addr, wanted: u16) -> Result<SocketAddr, Failure> {
    for port in std::iter::once(wanted).chain(std::iter::repeat_n(0, 50)) {
        let Ok(listener) = TcpListener::bind((ip, port)) else { continue };
        if let Ok(addr) = listener.local_addr()
            && UdpSocket::bind(addr).is_ok()
        {
            return Ok(addr);
        }
    }
    Err(fail(format!("no port is free on {ip}")).with_remedy("give this machine its loopback network 127.0.0.0/8"))
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let file = file.map_err(|error| fail(format!("cannot write {}: {error}", log.display())))?;
    let errors = file.try_clone().map_err(|error| fail(format!("cannot write {}: {error}", log.display())))?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors).kill_on_drop(true);
    // A group of its own, or the Ctrl-C that ends the demo would reach it first.
    command.process_group(0);
    command.spawn().map_err(|error| fail(format!("cannot start {:?}: {error}", command.as_std().get_program())))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| fail(format!("cannot write {}: {error}", path.display())))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What a process said last: an error is one line.
fn last_line(log: &Path) -> String {
    read(log).lines().rfind(|line| !line.trim().is_empty()).unwrap_or("(empty)").trim().to_owned()
}

fn fail(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, message)
}
