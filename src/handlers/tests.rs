//! Against dumps of the reference implementation (`tests/golden/serf/handlers`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::serf::{Event, Member, MemberEventKind, QueryEvent, QueryKey, Status};
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::Versions;
use crate::wire::serf::{LamportTime, Tags, UserEvent, encode_tags};

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/serf/handlers").join(name);
    #[expect(clippy::disallowed_methods, reason = "tests read their golden files")]
    std::fs::read(path).unwrap()
}

fn tags(list: &[(&str, &str)]) -> Tags {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn member(name: &str, addr: &str, list: &[(&str, &str)]) -> Member {
    let node = Node {
        name: NodeName::new(name).unwrap(),
        addr: SocketAddr::new(addr.parse().unwrap(), 7946),
        meta: encode_tags(&tags(list)),
        versions: Versions::OURS,
    };
    Member { node: Arc::new(node), status: Status::Alive, status_ltime: LamportTime(0), since: Instant::ZERO }
}

fn user(name: &str, ltime: u64, payload: &[u8]) -> Event {
    let payload = Bytes::copy_from_slice(payload);
    Event::User(UserEvent { ltime: LamportTime(ltime), name: name.to_owned(), payload, coalesce: false })
}

fn query(name: &str, ltime: u64, payload: &[u8]) -> Event {
    Event::Query(QueryEvent {
        key: QueryKey { ltime: LamportTime(ltime), id: 7 },
        name: name.to_owned(),
        payload: Bytes::copy_from_slice(payload),
        source: "lb-1".to_owned(),
        deadline: Instant::ZERO,
    })
}

/// The reference's variables alone, as `env` prints them.
fn serf_environment(event: &Event) -> String {
    let name = NodeName::new("lb-1").unwrap();
    let tags = tags(&[("role", "lb"), ("my-tag.x", "1"), ("Zone", "a b,c=d"), ("1st", "n")]);
    let all = environment(event, Local { name: &name, tags: &tags });
    all.iter().filter(|(name, _)| name.starts_with("SERF_")).map(|(name, value)| format!("{name}={value}\n")).collect()
}

#[test]
fn environment_is_the_references() {
    let join = Event::Member { kind: MemberEventKind::Join, members: vec![] };
    for (file, event) in [
        ("02-member-join.env", join),
        ("03-user-deploy.env", user("deploy", 1, b"")),
        ("04-user-nopayload.env", user("nopayload", 2, b"")),
        ("06-user-co.env", user("co", 6, b"")),
        ("07-query-uptime.env", query("uptime", 1, b"")),
    ] {
        assert_eq!(serf_environment(&event), String::from_utf8(golden(file)).unwrap(), "{file}");
    }
}

#[test]
fn our_names_carry_the_same_values() {
    let name = NodeName::new("a").unwrap();
    let all = environment(&user("deploy", 3, b""), Local { name: &name, tags: &tags(&[("role", "web")]) });
    let values = |prefix: &str| -> Vec<(String, String)> {
        all.iter().filter_map(|(n, v)| Some((n.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
    };
    assert_eq!(values("SERF_"), values("WEIR_"));
    assert_eq!(all.len(), values("SERF_").len() * 2);
}

#[test]
fn colliding_tags_always_resolve_the_same_way() {
    let name = NodeName::new("a").unwrap();
    let all = environment(&user("e", 1, b""), Local { name: &name, tags: &tags(&[("a-b", "1"), ("a.b", "2")]) });
    let values: Vec<_> =
        all.iter().filter(|(name, _)| name == "SERF_TAG_A_B").map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["2"]);
}

/// Tags in the dump are in random order; its columns are compared with the tags sorted.
fn sorted_tags(stdin: &[u8]) -> Vec<String> {
    let text = String::from_utf8(stdin.to_vec()).unwrap();
    let sort = |line: &str| {
        let (columns, tags) = line.rsplit_once('\t').unwrap();
        let mut tags: Vec<_> = tags.split(',').collect();
        tags.sort_unstable();
        format!("{columns}\t{}", tags.join(","))
    };
    let mut lines: Vec<_> = text.lines().map(sort).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn member_lines_are_the_references() {
    let members = vec![
        member("web-1", "127.0.0.32", &[("role", "web"), ("note", "tab\tand=eq")]),
        member("bare", "127.0.0.34", &[]),
        member("odd name", "127.0.0.33", &[("role", "we\tb"), ("multi", "l1\nl2")]),
    ];
    let ours = input(&Event::Member { kind: MemberEventKind::Join, members });
    assert_eq!(sorted_tags(&ours), sorted_tags(&golden("02-member-join.stdin")));
}

#[test]
fn payload_ends_in_one_line_feed_unless_empty() {
    for (payload, wanted) in [(&b""[..], &b""[..]), (b"x", b"x\n"), (b"x\n", b"x\n"), (b"\0\xff", b"\0\xff\n")] {
        assert_eq!(input(&user("e", 1, payload)), wanted);
        assert_eq!(input(&query("q", 1, payload)), wanted);
    }
}

#[test]
fn tail_keeps_the_last_bytes() {
    let mut tail = Tail::new(4);
    for part in [&b"ab"[..], b"", b"cdefgh", b"i"] {
        tail.push(part);
    }
    assert_eq!((tail.parts(), tail.lost()), ([&b""[..], &b"fghi"[..]], 5));
}

#[test]
fn a_tail_with_a_head_loses_its_middle() {
    let mut tail = Tail::with_head(3, 2);
    for (part, parts, lost) in [
        (&b"a"[..], ["a", ""], 0),
        (b"bcd", ["abc", "d"], 0),
        (b"e", ["abc", "de"], 0),
        (b"fghi", ["abc", "hi"], 4),
        (b"j", ["abc", "ij"], 5),
    ] {
        tail.push(part);
        assert_eq!((tail.parts(), tail.lost()), (parts.map(str::as_bytes), lost));
    }
}
