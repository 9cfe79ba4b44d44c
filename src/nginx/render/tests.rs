use std::collections::BTreeSet;

use super::*;
use crate::nginx::Context;
use crate::upstream::{HashKey, Servers, UpstreamName};
use crate::wire::NodeName;

fn server(number: u16) -> Server {
    let addr = format!("10.77.{}.{}:80", number / 250, number % 250 + 1).parse().unwrap();
    let member = NodeName::new(&format!("web{number:03}")).unwrap();
    Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
}

fn target(servers: impl IntoIterator<Item = Server>) -> Target {
    Target::Servers(Servers::new(servers.into_iter().collect()).unwrap())
}

fn block() -> Block {
    Block::new(UpstreamName::new("web").unwrap())
}

fn addresses(block: &Block, target: &Target, order: u64, generation: u64) -> Vec<String> {
    render(block, target, Turn { order, generation: Generation(generation) }, Host::USUAL)
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("server ")?.trim_end_matches(';').to_owned()))
        .collect()
}

#[test]
fn equal_input_gives_equal_bytes() {
    let turn = Turn { order: 7, generation: Generation(3) };
    let (some, reversed) = (target((0..9).map(server)), target((0..9).rev().map(server)));
    let rendered = |target| render(&block(), target, turn, Host::USUAL);
    assert_eq!(rendered(&some), rendered(&reversed));
}

#[test]
fn each_generation_begins_with_the_next_server() {
    let servers = target((0..5).map(server));
    let first: BTreeSet<String> =
        (0..5).map(|generation| addresses(&block(), &servers, 7, generation)[0].clone()).collect();
    assert_eq!(first.len(), 5, "every server is first once in five generations");
    assert_eq!(addresses(&block(), &servers, 7, 0), addresses(&block(), &servers, 7, 5));
    let (now, next) = (addresses(&block(), &servers, 7, 0), addresses(&block(), &servers, 7, 1));
    assert_eq!([&now[1..], &now[..1]].concat(), next);
}

#[test]
fn balancers_do_not_agree_on_the_first_server() {
    let servers = target((0..8).map(server));
    let first: BTreeSet<String> = (0..32).map(|order| addresses(&block(), &servers, order, 1)[0].clone()).collect();
    assert!(first.len() >= 6, "32 balancers begin with only {} of 8 servers", first.len());
}

#[test]
fn positional_methods_keep_the_order_by_name_whatever_the_generation() {
    let mut servers: Vec<Server> = (0..4).map(server).collect();
    servers[1].down = true;
    let servers = target(servers);
    for method in [Method::IpHash, Method::Hash { key: HashKey::new("$request_uri").unwrap(), consistent: false }] {
        let block = Block { method, ..block() };
        let expected = ["10.77.0.1:80", "10.77.0.2:80 down", "10.77.0.3:80", "10.77.0.4:80"];
        assert_eq!(addresses(&block, &servers, 7, 1), expected);
        assert_eq!(addresses(&block, &servers, 8, 2), expected);
    }
}

#[test]
fn backups_and_servers_that_are_down_come_last_and_are_not_turned_to_the_front() {
    let mut servers: Vec<Server> = (0..4).map(server).collect();
    servers[0].backup = true;
    servers[1].down = true;
    let servers = target(servers);
    for generation in 0..4 {
        let lines = addresses(&block(), &servers, 7, generation);
        assert_eq!(&lines[2..], ["10.77.0.1:80 backup", "10.77.0.2:80 down"]);
    }
}

#[test]
fn backups_alone_get_the_placeholder_in_front() {
    let servers = target([Server { backup: true, ..server(0) }]);
    assert_eq!(addresses(&block(), &servers, 0, 1), ["127.0.0.1:1 down", "10.77.0.1:80 max_fails=0 backup"]);
}

#[test]
fn a_method_without_backups_never_gets_the_word() {
    let servers = target([Server { backup: true, ..server(0) }]);
    let block = Block { method: Method::RandomTwo, ..block() };
    assert!(!render(&block, &servers, Turn { order: 0, generation: Generation(1) }, Host::USUAL).contains("backup"));
}

#[test]
fn the_generation_is_read_back_from_our_files_only() {
    let text = render(&block(), &Target::Placeholder, Turn { order: 0, generation: Generation(u64::MAX) }, Host::USUAL);
    assert_eq!(generation_of(text.as_bytes()), Some(Generation(u64::MAX)));
    assert_eq!(generation_of(b"# Written by weir, generation 12.x"), Some(Generation(12)));
    for foreign in [
        &b""[..],
        b"upstream web {}",
        b"# Written by weir, generation ",
        b" # Written by weir, generation 1",
        b"# Written by weir, generation 99999999999999999999",
    ] {
        assert_eq!(generation_of(foreign), None);
    }
}

#[test]
fn a_stream_has_no_kept_connections_and_a_zone_of_its_own_name() {
    let stream = Block { context: Context::Stream, keepalive: 32, ..block() };
    let text = render(&stream, &target([server(0)]), Turn { order: 0, generation: Generation(1) }, Host::USUAL);
    assert!(text.contains("upstream web {\n    zone web_stream 128k;\n"), "{text}");
    assert!(!text.contains("keepalive"), "{text}");
    assert_eq!(stream.zone_name().as_deref(), Some("web_stream"));
    assert_eq!(Block { form: Form::Servers, ..stream.clone() }.zone_name(), None);
    assert_eq!(Block { zone: None, ..stream }.zone_name(), None);
}

#[test]
fn every_method_but_that_of_clients_addresses_is_there_for_streams() {
    let hash = Method::Hash { key: HashKey::new("$remote_addr").unwrap(), consistent: true };
    for method in [Method::RoundRobin, Method::LeastConn, Method::RandomTwo, Method::RandomTwoLeastConn, hash] {
        assert!(Context::Http.allows(&method) && Context::Stream.allows(&method), "{method:?}");
    }
    assert!(Context::Http.allows(&Method::IpHash) && !Context::Stream.allows(&Method::IpHash));
}

#[test]
fn to_keep_nothing_is_said_where_nginx_keeps_connections_unless_it_is() {
    let off = Host { keepalive_off: true, ..Host::USUAL };
    let bare = Block { keepalive: 0, ..block() };
    let stream = Block { context: Context::Stream, ..bare.clone() };
    let servers = Block { form: Form::Servers, ..bare.clone() };
    for (block, host, said) in [
        (&bare, Host::USUAL, None),
        (&bare, off, Some("keepalive 0;")),
        (&block(), Host::USUAL, Some("keepalive 32;")),
        (&block(), off, Some("keepalive 32;")),
        (&stream, off, None),
        (&servers, off, None),
    ] {
        let text = render(block, &target([server(0)]), Turn { order: 0, generation: Generation(1) }, host);
        assert_eq!(text.lines().map(str::trim).find(|line| line.starts_with("keepalive")), said, "{block:?} {host:?}");
    }
}

/// NGINX would avoid it as soon as there is a second line, and answer 502 to everybody.
#[test]
fn whoever_serves_alone_is_never_avoided() {
    let (down, backup) = (|n| Server { down: true, ..server(n) }, |n| Server { backup: true, ..server(n) });
    let addresses = |servers: Vec<Server>| addresses(&block(), &target(servers), 7, 3);
    assert_eq!(addresses(vec![server(0), down(1)]), ["10.77.0.1:80 max_fails=0", "10.77.0.2:80 down"]);
    assert_eq!(addresses(vec![backup(0), down(1)]), ["10.77.0.1:80 max_fails=0 backup", "10.77.0.2:80 down"]);
    assert_eq!(addresses(vec![backup(0)]), ["127.0.0.1:1 down", "10.77.0.1:80 max_fails=0 backup"]);
    assert_eq!(addresses(vec![server(0)]), ["10.77.0.1:80"], "NGINX sees to a line alone");
    assert_eq!(addresses(vec![server(0), backup(1)]), ["10.77.0.1:80", "10.77.0.2:80 backup"]);
    assert!(addresses(vec![server(0), server(1), down(2)]).iter().all(|line| !line.contains("max_fails")));
}
