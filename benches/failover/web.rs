//! A web server with an agent of each kind beside it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::balancer::{self, SERF_PORT, WEIR_PORT};
use crate::support::network::{self, Network};
use crate::support::{Agent, Kind, Process, Settings};

/// The first argument that makes this program a web server.
pub(crate) const COMMAND: &str = "web-server";
/// Of the service.
pub(crate) const PORT: u16 = 8080;
/// For checks alone, so that they are not taken for requests.
pub(crate) const CHECK_PORT: u16 = 8081;

/// More than all balancers open in one run.
const BACKLOG: i32 = 4096;

/// Everything that one host runs.
pub(crate) struct Web {
    server: Process,
    agents: [Agent; 2],
    _logs: tempfile::TempDir,
}

impl Web {
    /// The host's name is what the server answers.
    pub(crate) fn start(network: &Network, host: usize) -> Self {
        let (name, addr, logs) = (name(host), network::address(host), tempfile::tempdir().unwrap());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network.hosts[host]]).arg(std::env::current_exe().unwrap());
        command.args([COMMAND, &name, &addr]);
        let server = Process::start(command, logs.path().join("log"));
        let agent = |kind, port| {
            let settings = Settings::quiet(balancer::KEY).tag("role", "web");
            let mut agent = balancer::agent(network, host, kind, port, &name, settings);
            agent.run();
            agent
        };
        Self { server, agents: [agent(Kind::Weir, WEIR_PORT), agent(Kind::Serf, SERF_PORT)], _logs: logs }
    }

    /// All at once, as far as that goes.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    /// As [`Self::kill`], and the kernel goes on to accept connections.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    fn signal(&mut self, signal: Signal) {
        self.server.signal(signal);
        for agent in &mut self.agents {
            agent.process().signal(signal);
        }
    }
}

/// Of a host, in all clusters.
pub(crate) fn name(host: usize) -> String {
    format!("web{host}")
}

/// Answers with its name, one request for each connection, until it is ended.
pub(crate) fn serve(name: &str, ip: IpAddr) {
    let checks = TcpListener::bind(SocketAddr::new(ip, CHECK_PORT)).unwrap();
    let requests = TcpListener::bind(SocketAddr::new(ip, PORT)).unwrap();
    // While it is stopped its kernel accepts for all balancers together, as it would for each alone.
    rustix::net::listen(&requests, BACKLOG).unwrap();
    let of = |listener: TcpListener, name: String| {
        move || {
            for stream in listener.incoming().flatten() {
                let name = name.clone();
                std::thread::spawn(move || answer(stream, &name));
            }
        }
    };
    std::thread::spawn(of(checks, name.to_owned()));
    of(requests, name.to_owned())();
}

fn answer(mut stream: TcpStream, name: &str) {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(len) => head.extend_from_slice(&piece[..len]),
        }
    }
    // Whoever has gone meanwhile misses nothing.
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{name}", name.len());
}
