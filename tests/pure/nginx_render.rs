//! Golden files of rendered configuration; the tests of `apply` put each before the real `nginx -t`.
//!
//! `WEIR_BLESS=1 cargo test --test pure nginx_render` rewrites them; review the difference as code.

use std::path::PathBuf;

use weir::nginx::{Block, Context, Form, Host, Turn, Zone, render};
use weir::upstream::desired::Target;
use weir::upstream::{Generation, HashKey, Method, Server, Servers, UpstreamName, Weight};
use weir::wire::NodeName;

fn server(member: &str, addr: &str) -> Server {
    let (member, addr) = (NodeName::new(member).unwrap(), addr.parse().unwrap());
    Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
}

fn weighted(weight: u16, server: Server) -> Server {
    Server { weight: Weight::new(weight).unwrap(), ..server }
}

/// One of each kind, and a member's name that would be an attack if it were ever rendered.
fn servers() -> Target {
    let evil = "web1;} server { listen 6666; root /; autoindex on; } #\n";
    let servers = vec![
        server(evil, "10.77.0.12:80"),
        weighted(2, server("web2", "10.77.0.13:8080")),
        Server { max_conns: 100, ..server("web3", "[2001:db8::3]:80") },
        Server { backup: true, ..server("web4", "10.77.0.15:80") },
        Server { down: true, ..weighted(4, server("web5", "10.77.0.16:80")) },
    ];
    Target::Servers(Servers::new(servers).unwrap())
}

fn block() -> Block {
    Block::new(UpstreamName::new("web").unwrap())
}

fn cases() -> Vec<(&'static str, Block, Target, u64)> {
    let hash = |consistent| Method::Hash { key: HashKey::new("$request_uri").unwrap(), consistent };
    let backup =
        Target::Servers(Servers::new(vec![Server { backup: true, ..server("web4", "10.77.0.15:80") }]).unwrap());
    let passive = Block { max_fails: 3, fail_timeout: 30, ..block() };
    let bare = Block { zone: None, keepalive: 0, ..block() };
    let large = Block { zone: Zone::from_kib(1024), method: Method::LeastConn, ..block() };
    vec![
        ("block.conf", block(), servers(), 7),
        ("block-next-generation.conf", block(), servers(), 8),
        ("servers.conf", Block { form: Form::Servers, ..block() }, servers(), 7),
        ("fixed-zone.conf", Block { zone: Zone::from_kib(64), ..block() }, servers(), 7),
        ("placeholder.conf", block(), Target::Placeholder, 1),
        ("placeholder-servers.conf", Block { form: Form::Servers, ..block() }, Target::Placeholder, 1),
        ("backup-only.conf", block(), backup, 3),
        ("passive-check.conf", passive, servers(), 7),
        ("bare.conf", bare, servers(), 7),
        ("least-conn.conf", large, servers(), 7),
        ("random-two-least-conn.conf", Block { method: Method::RandomTwoLeastConn, ..block() }, servers(), 7),
        ("random-two.conf", Block { method: Method::RandomTwo, ..block() }, servers(), 7),
        ("ip-hash.conf", Block { method: Method::IpHash, ..block() }, servers(), 7),
        ("hash.conf", Block { method: hash(false), ..block() }, servers(), 7),
        ("hash-consistent.conf", Block { method: hash(true), ..block() }, servers(), 7),
        ("servers-ip-hash.conf", Block { form: Form::Servers, method: Method::IpHash, ..block() }, servers(), 7),
        ("servers-hash.conf", Block { form: Form::Servers, method: hash(true), ..block() }, servers(), 7),
        ("servers-random.conf", Block { form: Form::Servers, method: Method::RandomTwo, ..block() }, servers(), 7),
        ("servers-passive-check.conf", Block { form: Form::Servers, max_fails: 0, ..block() }, servers(), 7),
    ]
    .into_iter()
    .chain(streams())
    .collect()
}

/// Names that begin with `stream` are tested in `stream { }`.
fn streams() -> Vec<(&'static str, Block, Target, u64)> {
    let block = || Block { context: Context::Stream, ..block() };
    let hash = |consistent| Method::Hash { key: HashKey::new("$remote_addr").unwrap(), consistent };
    let passive = Block { max_fails: 3, fail_timeout: 30, zone: Zone::from_kib(64), ..block() };
    vec![
        ("stream.conf", block(), servers(), 7),
        ("stream-servers.conf", Block { form: Form::Servers, ..block() }, servers(), 7),
        ("stream-placeholder.conf", block(), Target::Placeholder, 1),
        ("stream-passive-check.conf", passive, servers(), 7),
        ("stream-bare.conf", Block { zone: None, ..block() }, servers(), 7),
        ("stream-least-conn.conf", Block { method: Method::LeastConn, ..block() }, servers(), 7),
        ("stream-random-two.conf", Block { method: Method::RandomTwo, ..block() }, servers(), 7),
        ("stream-random-two-least-conn.conf", Block { method: Method::RandomTwoLeastConn, ..block() }, servers(), 7),
        ("stream-hash.conf", Block { method: hash(false), ..block() }, servers(), 7),
        ("stream-hash-consistent.conf", Block { method: hash(true), ..block() }, servers(), 7),
    ]
}

/// Either is there only from some version on (`nginx §3`); `down` serves instead, and names are never rendered.
#[test]
fn no_file_has_what_older_nginx_refuses() {
    for case in cases() {
        let text = text(&case);
        for word in ["drain", "resolve", "slow_start", "keepalive_min_timeout", "keepalive 0"] {
            assert!(!text.contains(word), "{}: {word}", case.0);
        }
    }
}

fn text((_, block, target, generation): &(&str, Block, Target, u64)) -> String {
    render(block, target, Turn { order: 42, generation: Generation(*generation) }, Host::USUAL)
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nginx").join(name)
}

#[test]
fn rendered_files_are_as_reviewed() {
    for case in cases() {
        let (path, text) = (golden(case.0), text(&case));
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{}", case.0);
    }
}

#[test]
fn no_golden_file_is_left_over() {
    let names: Vec<&str> = cases().iter().map(|case| case.0).collect();
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn no_byte_of_a_members_name_reaches_a_file() {
    for case in cases() {
        let text = text(&case);
        assert!(!text.contains("web1") && !text.contains("6666") && !text.contains("autoindex"), "{}: {text}", case.0);
        assert!(
            text.lines().all(|line| line.is_ascii() && line.matches(';').count() <= 1 || line.starts_with('#')),
            "{text}"
        );
    }
}
