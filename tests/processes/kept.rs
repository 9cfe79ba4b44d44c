//! What reloads cost clients that keep their connection and never ask again (`nginx §10`), at the site that is shipped.
//!
//! By the NGINX that is installed, or by `WEIR_NGINX=PROGRAM`. `make kept` runs it by a newer Debian's.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir::apply::{Apply, Report};
use weir::config::Automatic;
use weir::nginx::{Build, Feature, Version};
use weir::upstream::{Server, Weight};

use crate::nginx::{Nginx, server, web};
use crate::support::{address, alone, holds, skipped, until, until_within};

const CLIENTS: usize = 8;
/// Requests in which none may be lost.
const REQUESTS: usize = 1_000_000;
/// As long as the slowest machine takes for so many.
const LIMIT: Duration = Duration::from_secs(1200);
/// From one reload to the next.
const RELOAD: Duration = Duration::from_secs(1);

fn program() -> PathBuf {
    std::env::var_os("WEIR_NGINX").unwrap_or_else(|| OsString::from("nginx")).into()
}

/// Two servers behind the shipped site, with these lines of `http { }` besides.
struct Site {
    front: Nginx,
    apply: Apply,
    servers: [Server; 2],
    _back: Nginx,
}

impl Site {
    fn start(lines: &str) -> Self {
        let mut back = Nginx::stopped();
        let addrs = [address(), address()];
        let block = |addr: &SocketAddr| format!("server {{ listen {addr}; location / {{ return 200 kept; }} }}\n");
        std::fs::write(back.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
        std::fs::write(back.path("conf.d/back.conf"), addrs.iter().map(block).collect::<String>()).unwrap();
        back.run_as(&program(), "daemon off;");

        let mut front = Nginx::stopped();
        let site = std::fs::read_to_string("etc/site.conf").unwrap();
        std::fs::write(
            front.path("conf.d/shop.conf"),
            site.replace("listen 80;", &format!("listen {};", front.listen)),
        )
        .unwrap();
        std::fs::write(front.path("conf.d/more.conf"), lines).unwrap();
        let mut options = front.options();
        options.nginx.binary = Automatic::Path(which(&program()));
        let apply = Apply::new(options);
        let servers = ["web1", "web2"].map(|name| server(name, addrs[usize::from(name == "web2")]));
        assert!(matches!(apply.apply(&web(servers.clone())), Report::Stored { .. }));
        front.run_as(&program(), "daemon off;");
        assert!(matches!(apply.apply(&web(servers.clone())), Report::Live { .. }), "{}", front.log());
        Self { front, apply, servers, _back: back }
    }

    /// The same servers with other shares: NGINX is reloaded, and its new workers are waited for.
    fn reload(&self, turn: u16) {
        let [first, second] = self.servers.clone();
        let first = Server { weight: Weight::new(2 + turn % 2).unwrap(), ..first };
        let report = self.apply.apply(&web([first, second]));
        assert!(matches!(report, Report::Live { .. }), "{report:?}\n{}", self.front.log());
    }
}

/// An absolute path: it is looked for as a shell would.
fn which(program: &std::path::Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin".into(), "/usr/local/sbin".into()];
    let mut found = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(program));
    found.find(|path| path.is_file()).unwrap()
}

/// What clients saw so far.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    /// A connection that ended without an answer to what had been sent on it, and without a word before that.
    lost: AtomicUsize,
    stop: AtomicBool,
}

/// Clients that send one request after the other, each on one connection as long as NGINX lets it.
struct Clients {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(front: SocketAddr) -> Self {
        let seen = Arc::<Seen>::default();
        let client = |_| {
            let seen = seen.clone();
            std::thread::spawn(move || {
                while !seen.stop.load(Ordering::Relaxed) {
                    if let Err(error) = keep_asking(front, &seen) {
                        let is_lost = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                        assert!(is_lost.contains(&error.kind()), "{error}");
                        seen.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { seen, threads }
    }

    fn answered(&self) -> usize {
        self.seen.answered.load(Ordering::Relaxed)
    }

    fn lost(&self) -> usize {
        self.seen.lost.load(Ordering::Relaxed)
    }

    fn finish(self) -> (usize, usize) {
        self.seen.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.seen.answered.load(Ordering::Relaxed), self.seen.lost.load(Ordering::Relaxed))
    }
}

/// Until NGINX says that the connection ends.
fn keep_asking(front: SocketAddr, seen: &Seen) -> Result<(), Error> {
    let mut stream = TcpStream::connect(front)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while !seen.stop.load(Ordering::Relaxed) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")?;
        let (mut length, mut ends, mut status) = (0, false, String::new());
        loop {
            line.clear();
            if answers.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(("Connection", value)) => ends = value == "close",
                None if status.is_empty() => status.clone_from(&line),
                None => break,
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        answers.read_exact(&mut body)?;
        assert!(status.starts_with("HTTP/1.1 200 ") && body == b"kept", "{status}");
        seen.answered.fetch_add(1, Ordering::Relaxed);
        if ends {
            return Ok(());
        }
    }
    Ok(())
}

/// And so the other test would notice.
#[test]
#[ignore = "needs nginx"]
fn a_reload_costs_kept_connections_requests_where_nothing_is_set() {
    let _alone = alone();
    let site = Site::start("");
    let clients = Clients::start(site.front.listen);
    let mut turn = 0;
    until("a request is lost", || {
        turn += 1;
        site.reload(turn);
        holds(clients.lost() > 0)
    });
    let (answered, lost) = clients.finish();
    println!("{lost} of {answered} requests over kept connections lost in {turn} reloads");
}

#[test]
#[ignore = "slow: a million requests, needs nginx 1.27.4 or newer"]
fn a_million_requests_over_kept_connections_lose_none_in_a_reload_each_second() {
    let said = Command::new(program()).arg("-V").output().unwrap().stderr;
    let version = Build::parse(&String::from_utf8_lossy(&said)).version.unwrap_or_default();
    let since = Feature::KeepaliveMinTimeout.since();
    if Version::parse(&version).is_none_or(|version| version < since) {
        return skipped(format!(
            "nginx {version} has no keepalive_min_timeout, which came with 1.27.4; run 'make kept' as root"
        ));
    }
    let _alone = alone();
    let site = Site::start("keepalive_min_timeout 1s;\n");
    let clients = Clients::start(site.front.listen);
    let (begin, mut reloads) = (Instant::now(), 0);
    until_within(LIMIT, "a million answers", || {
        if begin.elapsed() >= RELOAD * u32::from(reloads) {
            reloads += 1;
            site.reload(reloads);
        }
        holds(clients.answered() >= REQUESTS || clients.lost() > 0)
    });
    let (answered, lost) = clients.finish();
    println!("nginx {version}: {lost} of {answered} requests over kept connections lost in {reloads} reloads");
    assert_eq!(lost, 0, "of {answered} in {reloads} reloads");
}
