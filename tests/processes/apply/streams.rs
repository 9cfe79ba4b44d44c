//! Upstreams in `stream { }`: for TCP and UDP, in a directory that weir makes, and only where NGINX knows them.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::time::Duration;

use weir::apply::{Apply, Options, Report, RunBy, Tried};
use weir::nginx::{Block, Context, Form, StreamModule, Zone};
use weir::upstream::desired::Desired;
use weir::upstream::settle::Applied;
use weir::upstream::{HashKey, Method, Server, UpstreamName, Weight};

use crate::nginx::{Nginx, and, backend, file, load_stream, server, stream_module, web};
use crate::support::{address, holds, until};

/// Another [`Nginx`] that has a server in `stream { }` for upstream `db`, too.
struct Stage {
    nginx: Nginx,
    tcp: SocketAddr,
    udp: SocketAddr,
}

impl Stage {
    fn stopped() -> Self {
        let (nginx, tcp, udp) = (Nginx::stopped(), address(), address());
        let root = nginx.dir.path().display();
        let stream = format!(
            "stream {{\n    include {root}/stream.d/*.conf;\n    proxy_connect_timeout 500ms;\n\
             \x20   server {{ listen {tcp}; proxy_pass db; }}\n\
             \x20   server {{ listen {udp} udp; proxy_pass db; proxy_responses 1; proxy_timeout 2s; }}\n}}\n"
        );
        let config = std::fs::read_to_string(nginx.config()).unwrap();
        std::fs::write(nginx.config(), format!("{}{config}{stream}", load_stream())).unwrap();
        Self { nginx, tcp, udp }
    }

    /// With `web` in `http { }` and `db` in `stream { }`.
    fn options(&self) -> Options {
        let mut options = self.nginx.options();
        let mut db = self.nginx.upstream("db", "stream.d/weir-db.conf", Form::Block);
        let block = &mut db.file.as_mut().unwrap().block;
        *block = Block { context: Context::Stream, ..block.clone() };
        options.upstreams.push(db);
        options
    }

    fn apply(&self) -> Apply {
        Apply::new(self.options())
    }

    /// Both upstreams are there before NGINX is, as at a boot.
    fn start(servers: impl IntoIterator<Item = Server>) -> Self {
        let mut stage = Self::stopped();
        let outcome = stage.apply().apply(&both(servers));
        assert!(matches!(outcome, Report::Stored { .. }), "{outcome}");
        stage.nginx.run();
        stage
    }

    /// Who answers a connection; nothing if nobody does.
    fn connect(&self) -> String {
        let mut stream = TcpStream::connect(self.tcp).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answer = String::new();
        // Whoever is refused sees a reset as well as an end.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// Who answers a datagram.
    fn ask(&self) -> String {
        let socket = UdpSocket::bind((self.udp.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.send_to(b"?", self.udp).unwrap();
        let mut answer = [0; 64];
        let len = socket.recv(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..len]).into_owned()
    }

    fn who(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        ((0..12).map(|_| self.connect()).collect(), (0..12).map(|_| self.ask()).collect())
    }
}

fn both(servers: impl IntoIterator<Item = Server>) -> Desired {
    and(web([server("web", backend("web"))]), "db", servers)
}

/// Says its name to whoever connects, and to whoever sends a datagram, on one port.
fn service(name: &'static str) -> SocketAddr {
    let (addr, tcp, udp) = until("a port is free for both", || {
        let addr = address();
        let both = TcpListener::bind(addr).and_then(|tcp| Ok((addr, tcp, UdpSocket::bind(addr)?)));
        both.map_err(|error| error.to_string())
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, name.as_bytes());
        }
    });
    std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut question) {
            let _ = udp.send_to(name.as_bytes(), from);
        }
    });
    addr
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn connections_and_datagrams_go_to_the_servers_that_are_wanted() {
    let (one, two, three) = (service("one"), service("two"), service("three"));
    let stage = Stage::start([server("one", one), server("two", two)]);
    let directory = stage.nginx.path("stream.d");
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(stage.who(), (names(&["one", "two"]), names(&["one", "two"])));

    let backup = Server { backup: true, ..server("three", three) };
    let down = Server { down: true, ..server("two", two) };
    let outcome = stage.apply().apply(&both([server("one", one), down.clone(), backup.clone()]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    assert_eq!(stage.who(), (names(&["one"]), names(&["one"])));

    let outcome = stage.apply().apply(&both([down, backup]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    assert_eq!(stage.who(), (names(&["three"]), names(&["three"])));
    assert_eq!(stage.nginx.get(), "web", "what is in http is as before");
    assert!(!stage.nginx.log().contains("[emerg]"), "{}", stage.nginx.log());
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn nginx_accepts_every_method_of_streams_with_every_kind_of_server() {
    let up = server("up", service("up"));
    let stage = Stage::start([up.clone()]);
    let hash = |consistent| Method::Hash { key: HashKey::new("$remote_addr").unwrap(), consistent };
    let six = Server {
        weight: Weight::new(256).unwrap(),
        max_conns: 7,
        ..server("six", "[2001:db8::7]:8080".parse().unwrap())
    };
    let down = Server { down: true, ..server("down", "10.77.0.1:80".parse().unwrap()) };
    let backup = Server { backup: true, ..server("backup", "10.77.0.2:80".parse().unwrap()) };
    let methods = [Method::RoundRobin, Method::LeastConn, Method::RandomTwo, Method::RandomTwoLeastConn];
    for method in methods.into_iter().chain([hash(false), hash(true)]) {
        let (max_fails, fail_timeout, zone) = (3, 30, Zone::from_kib(64));
        let mut options = stage.options();
        let db = &mut options.upstreams[1].file.as_mut().unwrap().block;
        *db = Block { method: method.clone(), max_fails, fail_timeout, zone, ..db.clone() };
        for servers in [vec![up.clone(), six.clone(), down.clone(), backup.clone()], vec![backup.clone()]] {
            let outcome = Apply::new(options.clone()).apply(&both(servers.clone()));
            assert!(Applied::from(&outcome).is_done(), "{method:?} {servers:?}: {outcome}");
        }
    }
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn an_upstream_of_http_may_have_the_same_name_elsewhere_and_is_told_from_ours() {
    let stage = Stage::start([server("one", service("one"))]);
    // Not ours, and no clash: each context has names of its own.
    std::fs::write(stage.nginx.path("conf.d/theirs.conf"), "upstream db { zone db 64k; server 127.0.0.1:1; }").unwrap();
    let outcome = stage.apply().apply(&both([server("two", service("two"))]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    std::fs::write(stage.nginx.path("stream.d/theirs.conf"), "upstream db { server 127.0.0.1:1; }").unwrap();
    let outcome = stage.apply().apply(&both([server("three", service("three"))])).to_string();
    assert!(
        outcome.starts_with("upstream \"db\" is defined twice: stream.d/weir-db.conf and stream.d/theirs.conf:1"),
        "{outcome}"
    );
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn a_stream_that_nothing_includes_waits_and_the_block_that_would_is_named() {
    let nginx = Nginx::start();
    let config = std::fs::read_to_string(nginx.config()).unwrap();
    std::fs::write(nginx.config(), format!("{}{config}", load_stream())).unwrap();
    let stage = Stage { tcp: address(), udp: address(), nginx };
    let first = stage.apply().apply(&both([server("one", service("one"))]));
    let root = stage.nginx.dir.path().display();
    let text = format!(
        "nothing in {root}/nginx.conf includes {root}/stream.d/weir-db.conf; \
         have 'stream {{ include {root}/stream.d/*.conf; }}' in {root}/nginx.conf"
    );
    let waits = first.notes().waits.as_ref().unwrap();
    assert_eq!(waits.error.told(RunBy::Root).to_string(), text);
    until("the site's server answers", || holds(stage.nginx.get() == "web"));
    // In the place of the backend of before: then nothing is left for the others to do.
    let Some(servers) = stage.apply().live().unwrap().and_then(|(_, live)| live.upstreams.into_values().next()) else {
        panic!("the site has servers")
    };
    let mut desired = both([server("one", service("one"))]);
    desired.upstreams.insert(UpstreamName::new("web").unwrap(), servers);
    assert_eq!(stage.apply().apply(&desired).to_string(), text);
}

/// Without the module nobody could read the file, so none is written; the sites' upstreams go on.
#[test]
#[ignore = "needs nginx and its stream module"]
fn without_the_module_a_stream_waits_and_the_way_to_it_is_named() {
    let StreamModule::Loadable(module) = stream_module() else {
        return crate::support::skipped("this nginx has the module built in");
    };
    let stage = Stage { nginx: Nginx::start(), tcp: address(), udp: address() };
    let desired = both([server("one", service("one"))]);
    let first = stage.apply().apply(&desired);
    assert!(matches!(&first, Report::Live { upstreams, .. } if upstreams.len() == 1), "{first}");
    assert!(matches!(Applied::from(&first), Applied::Partly { .. }), "{first:?}");
    until("the site's server answers", || holds(stage.nginx.get() == "web"));
    let waits = first.notes().waits.as_ref().unwrap();
    assert_eq!(waits.upstreams, [UpstreamName::new("db").unwrap()]);
    let outcome = stage.apply().apply(&desired);
    let config = stage.nginx.config();
    let text = format!(
        "this nginx has no stream module, upstream db waits; add 'load_module {};' at the top of {}",
        module.display(),
        config.display()
    );
    assert_eq!(outcome.to_string(), text, "nothing is left for the others to do");
    assert_eq!(waits.error.told(RunBy::Root).to_string(), text);
    assert!(!stage.nginx.path("stream.d").exists());
    let tried = stage.apply().try_out(&desired);
    assert!(!matches!(tried, Ok(Tried::Passed)), "{tried:?}");
}

#[test]
#[ignore = "needs nginx, its stream module and root"]
fn root_makes_no_directory_where_others_could_put_another_in_its_place() {
    let stage = Stage::stopped();
    let root = stage.nginx.dir.path();
    chown(root, Some(4_294_967), None).unwrap();
    let outcome = stage.apply().apply(&both([server("one", service("one"))])).to_string();
    assert!(outcome.contains("is writable by user 4294967; apply trusts only root"), "{outcome}");
    assert!(!stage.nginx.path("stream.d").exists());
}

/// The file of `db` keeps its place in history like any other: taken away by hand it comes back, with its directory.
#[test]
#[ignore = "needs nginx and its stream module"]
fn a_directory_that_was_removed_is_made_again() {
    let one = server("one", service("one"));
    let stage = Stage::start([one.clone()]);
    std::fs::remove_dir_all(stage.nginx.path("stream.d")).unwrap();
    let outcome = stage.apply().apply(&both([one]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    until("the server answers", || holds(stage.connect() == "one"));
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn an_upstream_that_moves_to_the_other_context_moves_its_file() {
    let stage = Stage::start([server("one", service("one"))]);
    let mut options = stage.options();
    file(&mut options).block.keepalive = 0;
    let api = stage.nginx.upstream("api", "conf.d/weir-api.conf", Form::Block);
    options.upstreams.push(api);
    let desired = and(both([server("one", service("one"))]), "api", [server("api", service("api"))]);
    let outcome = Apply::new(options.clone()).apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    let api = options.upstreams[2].file.as_mut().unwrap();
    (api.block.context, api.output) = (Context::Stream, stage.nginx.path("stream.d/weir-api.conf"));
    let outcome = Apply::new(options).apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    assert!(!stage.nginx.path("conf.d/weir-api.conf").exists() && stage.nginx.path("stream.d/weir-api.conf").exists());
}
