//! An NGINX of a test's own, and backends that say who they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use weir::apply::{Apply, Options};
use weir::config::{self, Config, Upstream, UpstreamFile};
use weir::nginx::{Block, Build, Form, StreamModule};
use weir::upstream::desired::{self, Desired};
use weir::upstream::{self, Allow, Server, Servers, UpstreamName, Weight};
use weir::wire::NodeName;

use crate::support::{address, holds, until, weir_binary};

/// Everything in one directory; NGINX runs until it is dropped.
pub(crate) struct Nginx {
    pub(crate) dir: TempDir,
    pub(crate) listen: SocketAddr,
    master: Option<Child>,
}

impl Nginx {
    /// Configured with a site that asks upstream `web`, which `conf.d/weir-web.conf` defines; running.
    pub(crate) fn start() -> Self {
        let mut nginx = Self::stopped();
        std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
        nginx.run();
        nginx
    }

    pub(crate) fn stopped() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nginx = Self { listen: address(), dir, master: None };
        std::fs::create_dir(nginx.path("conf.d")).unwrap();
        let root = nginx.dir.path().display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
            .concat();
        let config = format!(
            "worker_processes 2;\npid {root}/nginx.pid;\nerror_log {root}/error.log notice;\n\
             events {{ worker_connections 64; }}\nhttp {{\n    access_log off;\n{temp}    include {root}/conf.d/*.conf;\n\
             \x20   server {{\n        listen {};\n        location / {{ proxy_pass http://web; }}\n    }}\n}}\n",
            nginx.listen
        );
        std::fs::write(nginx.config(), config).unwrap();
        nginx
    }

    /// Starts it and waits until it has workers: before that a SIGHUP would end it, though its port is open already.
    pub(crate) fn run(&mut self) {
        self.run_as(Path::new("nginx"), "daemon off;");
    }

    /// As [`Self::run`], by this program and with these directives.
    pub(crate) fn run_as(&mut self, program: &Path, directives: &str) {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.config()).arg("-e").arg(self.path("error.log")).args(["-g", directives]);
        self.master = Some(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("nginx answers", || holds(TcpStream::connect(self.listen).is_ok() && self.workers().len() == 2));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("nginx.conf")
    }

    pub(crate) fn web(&self) -> PathBuf {
        self.path("conf.d/weir-web.conf")
    }

    /// Options with one upstream in form block.
    pub(crate) fn options(&self) -> Options {
        let Config { apply, nginx, .. } = Config::default();
        Options {
            upstreams: vec![self.upstream("web", "conf.d/weir-web.conf", Form::Block)],
            nginx: config::Nginx {
                config: self.config(),
                unit: String::new(),
                confirm_timeout: Duration::from_secs(10),
                ..nginx
            },
            apply: config::Apply { state: self.path("state"), ..apply },
            templates: Vec::new(),
            weir: weir_binary().into(),
        }
    }

    pub(crate) fn upstream(&self, name: &str, output: &str, form: Form) -> Upstream {
        let name = UpstreamName::new(name).unwrap();
        let mut options = upstream::Options::new(name.clone(), Vec::new());
        options.allow = Allow { networks: Vec::new(), loopback: true };
        let block = Block { form, ..Block::new(name) };
        Upstream { options, file: Some(UpstreamFile { block, output: self.path(output) }), probe: None }
    }

    pub(crate) fn apply(&self) -> Apply {
        Apply::new(self.options())
    }

    /// The body of one answer, or its status if it is not 200.
    pub(crate) fn get(&self) -> String {
        let mut stream = TcpStream::connect(self.listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap();
        if status == "200" { body.to_owned() } else { status.to_owned() }
    }

    /// Everybody who answers in `count` requests.
    pub(crate) fn answers(&self, count: usize) -> std::collections::BTreeSet<String> {
        (0..count).map(|_| self.get()).collect()
    }

    pub(crate) fn master_pid(&self) -> u32 {
        self.master.as_ref().unwrap().id()
    }

    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.master_pid())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }

    /// How often it has read its configuration anew.
    pub(crate) fn reloads(&self) -> usize {
        self.log().lines().filter(|line| line.ends_with(": reconfiguring")).count()
    }

    /// SIGKILL to the master and, as systemd does for a whole unit, to its workers. The pid file stays.
    pub(crate) fn kill(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let workers = children(master.id());
        master.kill().unwrap();
        master.wait().unwrap();
        for worker in workers {
            // It may have followed its master by now.
            let _ = kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::KILL);
        }
        let listen = self.listen;
        until("nginx is gone", || holds(TcpStream::connect(listen).is_err()));
    }

    /// Until its master has ended by itself.
    pub(crate) fn wait(&mut self) {
        if let Some(mut master) = self.master.take() {
            master.wait().unwrap();
        }
    }

    /// Names in `conf.d`, dot files included.
    pub(crate) fn listing(&self) -> Vec<String> {
        names(&self.path("conf.d"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a configuration with `stream { }` begins with, where the module is no part of the program.
pub(crate) fn load_stream() -> String {
    let module = match stream_module() {
        StreamModule::BuiltIn => return String::new(),
        StreamModule::Loadable(module) => module,
        StreamModule::Absent => panic!("this nginx was built without the stream module"),
    };
    format!("load_module {};\n", module.display())
}

/// Where it is.
pub(crate) fn stream_module() -> StreamModule {
    let said = Command::new("nginx").arg("-V").output().unwrap().stderr;
    Build::parse(&String::from_utf8_lossy(&said)).stream
}

/// The file of the first upstream.
pub(crate) fn file(options: &mut Options) -> &mut UpstreamFile {
    options.upstreams[0].file.as_mut().unwrap()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn children(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Answers every request with its name until the process ends.
pub(crate) fn backend(name: &'static str) -> SocketAddr {
    listen_as(name, TcpListener::bind((address().ip(), 0)).unwrap())
}

/// As [`backend`], where somebody listens already.
pub(crate) fn listen_as(name: &'static str, listener: TcpListener) -> SocketAddr {
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        }
    });
    addr
}

pub(crate) fn server(member: &str, addr: SocketAddr) -> Server {
    let member = NodeName::new(member).unwrap();
    Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
}

/// A document with these servers for upstream `web`.
pub(crate) fn web(servers: impl IntoIterator<Item = Server>) -> Desired {
    let mut desired = Desired::new(1);
    let servers = Servers::new(servers.into_iter().collect()).unwrap();
    desired.upstreams.insert(UpstreamName::new("web").unwrap(), desired::Target::Servers(servers));
    desired
}

/// The same for several upstreams.
pub(crate) fn and(mut desired: Desired, name: &str, servers: impl IntoIterator<Item = Server>) -> Desired {
    let servers = Servers::new(servers.into_iter().collect()).unwrap();
    desired.upstreams.insert(UpstreamName::new(name).unwrap(), desired::Target::Servers(servers));
    desired
}
