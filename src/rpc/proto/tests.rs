//! The protocol against bytes of the real command line and agent, against what other clients send, and against anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::handlers::filter::EventKind;
use crate::rpc::refusal::{Kind, Refusal};
use crate::serf::{MemberEventKind, QueryParams};
use crate::wire::message::Versions;
use crate::wire::msgpack::{Dialect, Writer};
use crate::wire::serf::{Coordinate, Tags};

const EXCHANGES: &str = include_str!("../../../tests/golden/serf/rpc/cli-exchanges.txt");
const RECORDS: &str = include_str!("../../../tests/golden/serf/rpc/stream-records.txt");

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The values in `bytes`, which hold nothing else.
fn values(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Frames::default();
    frames.buffer().extend_from_slice(bytes);
    let mut values = Vec::new();
    while frames.is_ready(MAX_RESPONSE_BYTES).unwrap() {
        values.push(frames.take().to_vec());
    }
    assert!(!frames.is_partial());
    values
}

/// A request in its bytes.
fn decode(bytes: &[u8]) -> (u64, Result<Request, RequestError>) {
    let values = values(bytes);
    let header = Header::decode(&values[0]).unwrap();
    let command = Command::from_name(&header.command).unwrap();
    assert_eq!(values.len(), 1 + usize::from(command.has_body()));
    (header.seq, Request::decode(command, values.get(1).map_or(&[], Vec::as_slice)))
}

#[test]
fn requests_of_the_real_command_line_are_understood_and_written_alike() {
    let mut seen = BTreeMap::<String, usize>::new();
    for line in EXCHANGES.lines() {
        let Some((_, hex)) = line.split_once("> ").filter(|_| !line.starts_with('#')) else { continue };
        let bytes = unhex(hex);
        let (seq, request) = decode(&bytes);
        let request = request.unwrap();
        let again = request.encode(seq);
        if matches!(&request, Request::Query(query) if query.name == "_serf_ping") {
            // Here the real one writes a map that nobody made: nil instead of empty.
            assert_eq!(again.len(), bytes.len());
        } else {
            assert_eq!(again, bytes, "{request:?}");
        }
        *seen.entry(request.command().name().to_owned()).or_default() += 1;
    }
    let seen: Vec<_> = seen.into_keys().collect();
    assert_eq!(
        seen,
        [
            "event",
            "force-leave",
            "get-coordinate",
            "handshake",
            "install-key",
            "join",
            "list-keys",
            "members",
            "members-filtered",
            "query",
            "stats",
            "tags"
        ]
    );
}

#[test]
fn answers_of_the_real_agent_are_understood_and_written_alike() {
    // By connection: commands asked under each sequence number.
    let mut asked = BTreeMap::<(String, u64), Command>::new();
    let (mut equal, mut same_but_for_order) = (0, 0);
    for line in EXCHANGES.lines().filter(|line| !line.starts_with('#')) {
        let (head, hex) = line.split_once(' ').unwrap();
        let (connection, direction) = head.split_at(head.len() - 1);
        let bytes = unhex(hex);
        let values = values(&bytes);
        if direction == ">" {
            let header = Header::decode(&values[0]).unwrap();
            asked.insert((connection.to_owned(), header.seq), Command::from_name(&header.command).unwrap());
            continue;
        }
        let header = ResponseHeader::decode(&values[0]).unwrap();
        let command = &asked[&(connection.to_owned(), header.seq)];
        let again = if *command == Command::Query && values.len() == 2 {
            QueryRecord::decode(&values[1]).unwrap().encode(header.seq)
        } else {
            assert_eq!(values.len() == 2, Body::follows(command, &header.error), "{command:?}");
            let body = values.get(1).map_or(Ok(Body::Empty), |body| Body::decode(command, body)).unwrap();
            let response = Response { header: header.clone(), body };
            let again = response.encode();
            let reread = self::values(&again);
            let body = reread.get(1).map_or(Ok(Body::Empty), |body| Body::decode(command, body)).unwrap();
            assert_eq!(body, response.body);
            again
        };
        // Maps of the real agent come in random order.
        assert_eq!(again.len(), bytes.len(), "{command:?}");
        if again == bytes { equal += 1 } else { same_but_for_order += 1 }
    }
    assert!(equal >= 38 && same_but_for_order > 0, "{equal} equal, {same_but_for_order} not");
}

#[test]
fn answer_with_a_long_error_and_a_body_is_that_of_the_real_agent() {
    let error =
        "1 error occurred:\n\t* Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused\n\n";
    let response =
        Response { header: ResponseHeader { seq: 2, error: error.to_owned(), ours: None }, body: Body::Join(0) }
            .encode();
    let hex: String = response.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(EXCHANGES.lines().any(|line| line == format!("9< {hex}")));
}

#[test]
fn records_of_the_real_agent_are_understood_and_written_alike() {
    let lines: Vec<Vec<u8>> = RECORDS.lines().filter(|line| !line.starts_with('#')).map(unhex).collect();
    let pairs: Vec<(&Vec<u8>, &Vec<u8>)> = lines.iter().zip(lines.iter().skip(1)).step_by(2).collect();
    let written = |header: &[u8], body: &[u8]| [header, body].concat();

    let (header, body) = pairs[0];
    let line = LogRecord::decode(body).unwrap();
    assert_eq!(line.0, "2026/11/23 00:15:02 [INFO] agent: Serf agent starting");
    assert_eq!(LogRecord::encode(3, &line.0), written(header, body));

    let (header, body) = pairs[1];
    let EventRecord::User { ltime, name, payload, coalesce } = EventRecord::decode(body).unwrap() else { panic!() };
    assert_eq!((ltime, name.as_str(), &payload[..], coalesce), (6, "mon", &b"pay load"[..], false));
    assert_eq!(record::encode_user(2, ltime, &name, &payload, coalesce), written(header, body));

    let (header, body) = pairs[2];
    let EventRecord::Query { id, ltime, name, payload } = EventRecord::decode(body).unwrap() else { panic!() };
    assert_eq!((id, ltime, name.as_str(), &payload[..]), (1, 19, "monq", &b"qq"[..]));
    assert_eq!(record::encode_query(2, id, ltime, &name, &payload), written(header, body));

    let (header, body) = pairs[3];
    let EventRecord::Member { kind, members } = EventRecord::decode(body).unwrap() else { panic!() };
    assert_eq!((kind, members[0].name.as_str(), members[0].tags.len()), (MemberEventKind::Update, "lb1", 5));
    assert_eq!(members[0].versions, Versions::OURS);
    assert_eq!(record::encode_members(2, kind, &members).len(), written(header, body).len());
}

/// A request as some client may write it.
fn raw(header: impl FnOnce(&mut Writer) -> &mut Writer, body: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer::new(Dialect::Ext);
    header(&mut writer);
    body(&mut writer);
    writer.into_vec()
}

#[test]
fn unusual_shapes_that_real_agents_take_are_taken() {
    let stream = |filter: &str| Request::Stream { filter: filter.to_owned() };
    let tags = |delete: &[&str]| Request::Tags {
        set: Tags::new(),
        delete: delete.iter().map(|&tag| tag.to_owned()).collect(),
    };
    let event = Request::Event { name: "e".to_owned(), payload: Bytes::from_static(b"p"), coalesce: false };
    fn header(command: &'static str) -> impl FnOnce(&mut Writer) -> &mut Writer {
        move |w| w.map_header(2).str("Command").str(command).str("Seq").uint(7_u8)
    }
    let rows: Vec<(&str, Vec<u8>, Request)> = vec![
        (
            "records as arrays in declaration order",
            raw(|w| w.array_header(2).str("handshake").uint(7_u8), |w| w.array_header(1).uint(1_u8)),
            Request::Handshake { version: 1, weir: false },
        ),
        (
            "strings and keys as bin",
            raw(
                |w| w.map_header(2).bin(b"Command").bin(b"stream").bin(b"Seq").uint(7_u8),
                |w| w.map_header(1).bin(b"Type").bin(b"user"),
            ),
            stream("user"),
        ),
        ("bytes as str", raw(header("event"), |w| w.map_header(2).str("Name").str("e").str("Payload").str("p")), event),
        ("nil for a body", raw(header("stream"), |w| w.nil()), stream("")),
        (
            "unknown keys, nested ones too",
            raw(header("stream"), |w| {
                w.map_header(2).str("type").array_header(1).map_header(1).str("a").nil().str("Type").str("*")
            }),
            stream("*"),
        ),
        (
            "a map for a list",
            raw(header("tags"), |w| w.map_header(1).str("DeleteTags").map_header(1).str("a").str("b")),
            tags(&["a", "b"]),
        ),
        ("nil for a list", raw(header("tags"), |w| w.map_header(1).str("DeleteTags").nil()), tags(&[])),
        (
            "blanks around a command",
            raw(header(" get-coordinate"), |w| w.map_header(1).str("Node").str("lb1")),
            Request::GetCoordinate { node: "lb1".to_owned() },
        ),
        (
            "an integer wider than needed",
            raw(header("stop"), |w| w.map_header(1).str("Stop").verbatim(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 9])),
            Request::Stop { seq: 9 },
        ),
        (
            "a force-leave of before prune existed",
            raw(header("force-leave"), |w| w.map_header(1).str("Node").str("x")),
            Request::ForceLeave { node: "x".to_owned(), prune: false },
        ),
    ];
    for (what, bytes, request) in rows {
        assert_eq!(decode(&bytes), (7, Ok(request)), "{what}");
    }
}

#[test]
fn wrong_kinds_are_malformed_and_bad_values_are_refused() {
    let body = |command: &str, body: &dyn Fn(&mut Writer) -> &mut Writer| {
        let mut writer = Writer::new(Dialect::Ext);
        body(&mut writer);
        Request::decode(Command::from_name(command).unwrap(), &writer.into_vec())
    };
    let malformed = |result: Result<Request, RequestError>| matches!(result, Err(RequestError::Malformed(_)));
    assert!(malformed(body("handshake", &|w| w.map_header(1).str("Version").str("1"))));
    assert!(malformed(body("handshake", &|w| w.map_header(1).str("Version").f64(1.0))));
    assert!(malformed(body("handshake", &|w| w.map_header(1).str("Version").uint(1_u64 << 31))));
    assert!(malformed(body("event", &|w| w.map_header(1).str("Payload").uint(1_u8))));
    assert!(malformed(body("stop", &|w| w.map_header(1).str("Stop").int(-1))));
    assert!(malformed(body("query", &|w| w.map_header(1).str("RelayFactor").uint(256_u16))));
    assert!(malformed(body("stream", &|w| w.str("user"))));

    let negative = body("query", &|w| w.map_header(1).str("Timeout").int(-1));
    assert_eq!(negative, Err(RequestError::Refused("query timeout must not be negative".to_owned())));
    let binary = body("get-coordinate", &|w| w.map_header(1).str("Node").bin(b"\xff"));
    assert_eq!(binary, Err(RequestError::Refused("Node: not UTF-8, at byte 6".to_owned())));
}

#[test]
fn headers_start_from_nothing() {
    let header = |bytes: &[u8]| Header::decode(bytes);
    assert_eq!(header(b"\xc0"), Ok(Header::default()));
    assert_eq!(header(b"\x80"), Ok(Header::default()));
    assert_eq!(header(b"\x81\xa3Seq\xcf\xff\xff\xff\xff\xff\xff\xff\xff").unwrap().seq, u64::MAX);
    assert!(header(b"\x81\xa3Seq\xff").is_err(), "negative");
    assert!(header(b"G").is_err(), "the first byte of an HTTP request is a number");
    assert_eq!(Command::from_name(""), None);
    assert_eq!(Command::from_name("weir-"), None);
    assert_eq!(Command::from_name("Members"), None);
}

#[test]
fn every_body_is_there_with_an_error_too() {
    let names = [
        "handshake",
        "auth",
        "event",
        "force-leave",
        "join",
        "members",
        "members-filtered",
        "tags",
        "stream",
        "monitor",
        "stop",
        "leave",
        "query",
        "respond",
        "install-key",
        "use-key",
        "remove-key",
        "list-keys",
        "stats",
        "get-coordinate",
        "weir-info",
    ];
    let follows = |error| names.iter().filter(move |name| Body::follows(&Command::from_name(name).unwrap(), error));
    let with_body: Vec<_> = follows("some error").copied().collect();
    assert_eq!(
        with_body,
        [
            "join",
            "members",
            "members-filtered",
            "install-key",
            "use-key",
            "remove-key",
            "list-keys",
            "stats",
            "get-coordinate",
            "weir-info"
        ]
    );
    assert_eq!(follows(text::AUTH_REQUIRED).count(), 0);
    for name in names {
        assert_eq!(Command::from_name(name).unwrap().name(), name);
    }
}

#[test]
fn expressions_match_the_whole_text() {
    let filter = |tag: Option<(&str, &str)>, status: &str, name: &str| {
        let tags = tag.into_iter().map(|(tag, expression)| (tag.to_owned(), expression.to_owned())).collect();
        MemberFilter::compile(&MembersQuery { tags, status: status.to_owned(), name: name.to_owned() })
    };
    let web1 = |filter: Result<MemberFilter, String>| {
        let tags = Tags::from([("role".to_owned(), "web".to_owned())]);
        filter.unwrap().matches("web1", Status::Failed, &tags)
    };
    // tag                       status          name     matches
    assert!(web1(filter(None, "", "")));
    assert!(web1(filter(Some(("role", "web")), "failed", "web1")));
    assert!(!web1(filter(Some(("role", "we")), "", "")));
    assert!(!web1(filter(None, "", "eb1")));
    assert!(web1(filter(None, "alive|failed", "")), "alternatives are one group");
    assert!(!web1(filter(None, "alive|fail", "")));
    assert!(web1(filter(Some(("missing", "")), "", "")), "a missing tag is empty");
    assert!(web1(filter(Some(("missing", ".*")), "", "")));
    assert!(!web1(filter(Some(("missing", ".+")), "", "")));
    assert!(web1(filter(Some(("role", r"\Qweb\E")), "", "")), "Go's quotes");
    for broken in ["(", "a)(b", "["] {
        let error = filter(Some(("role", broken)), "", "").unwrap_err();
        assert!(error.starts_with("invalid expression for tag 'role': "), "{error}");
    }
}

#[test]
fn addresses_come_in_three_lengths() {
    let addr = |octets: &[u8]| {
        let mut writer = Writer::new(Dialect::Ext);
        writer.map_header(1).str("Members").array_header(1).map_header(1).str("Addr").bin(octets);
        match Body::decode(&Command::Members, &writer.into_vec()) {
            Ok(Body::Members(members)) => Some(members[0].addr),
            _ => None,
        }
    };
    let v4 = Ipv4Addr::new(127, 0, 0, 21);
    assert_eq!(addr(&v4.octets()), Some(IpAddr::V4(v4)));
    assert_eq!(addr(&v4.to_ipv6_mapped().octets()), Some(IpAddr::V4(v4)));
    assert_eq!(addr(&Ipv6Addr::LOCALHOST.octets()), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!(addr(&[]), Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    assert_eq!(addr(&[1, 2, 3]), None);
}

#[test]
fn unknown_node_has_zeros_and_no_vector() {
    let response =
        Response { header: ResponseHeader { seq: 3, ..Default::default() }, body: Body::Coordinate(None) }.encode();
    let hex: String = response.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(EXCHANGES.lines().any(|line| line == format!("12< {hex}")));
}

#[test]
fn values_beyond_the_limit_are_refused_before_they_arrive() {
    let ready = |bytes: &[u8], limit| {
        let mut frames = Frames::default();
        frames.buffer().extend_from_slice(bytes);
        frames.is_ready(limit)
    };
    let too_large = Err(FrameError::TooLarge(100));
    // 4 GiB announced, in all forms that can
    assert_eq!(ready(b"\xdb\xff\xff\xff\xff", 100), too_large);
    assert_eq!(ready(b"\xc6\xff\xff\xff\xff", 100), too_large);
    assert_eq!(ready(b"\xc9\xff\xff\xff\xff\x01", 100), too_large);
    assert_eq!(ready(b"\xdd\xff\xff\xff\xff", 100), too_large);
    assert_eq!(ready(b"\xdf\xff\xff\xff\xff", 100), too_large);
    // the edge
    assert_eq!(ready(&[&[0xc4, 98][..], &[0; 98]].concat(), 100), Ok(true));
    assert_eq!(ready(&[&[0xc4, 99][..], &[0; 99]].concat(), 100), too_large);
    assert_eq!(ready(&[0x91; 17], 100), Err(FrameError::Malformed), "seventeen deep");
    assert_eq!(ready(&[&[0x91; 16][..], &[0xc0]].concat(), 100), Ok(true));
    assert_eq!(ready(b"\xc1", 100), Err(FrameError::Malformed));
    assert_eq!(ready(b"", 100), Ok(false));

    let mut frames = Frames::default();
    frames.buffer().extend_from_slice(&[0x91; 40]);
    assert_eq!(frames.is_ready(100), Err(FrameError::Malformed));
    frames.buffer().extend_from_slice(&[0xc0; 40]);
    assert_eq!(frames.is_ready(100), Err(FrameError::Malformed), "it stays so whatever comes");
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(text(), text(), 0..4)
}

fn payload() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Zeroizing<String>> {
    text().prop_map(Zeroizing::new)
}

fn query() -> impl Strategy<Value = QueryParams> {
    let who = (proptest::collection::vec(text(), 0..3), map());
    (who, any::<bool>(), any::<u8>(), 0..=i64::MAX as u64, text(), payload()).prop_map(
        |((nodes, tags), ack, relay_factor, nanos, name, payload)| QueryParams {
            nodes,
            tags,
            ack,
            relay_factor,
            timeout: (nanos > 0).then(|| Duration::from_nanos(nanos)),
            name,
            payload,
        },
    )
}

fn ours() -> impl Strategy<Value = Option<Ours>> {
    let kind = prop_oneof![
        Just(Kind::Failed),
        Just(Kind::Configuration),
        Just(Kind::Usage),
        Just(Kind::Harmful),
        Just(Kind::Overruled),
        (any::<usize>(), any::<bool>()).prop_map(|(limit, encoded)| Kind::TooLarge { limit, encoded }),
    ];
    let refusal = (kind, text(), proptest::option::of(text()), proptest::collection::vec(text(), 0..3));
    let refusal = refusal.prop_map(|(kind, what, remedy, details)| Refusal { kind, what, remedy, details });
    proptest::option::of(proptest::option::of(refusal).prop_map(|refusal| Ours { refusal }))
}

fn request() -> impl Strategy<Value = Request> {
    let strings = || proptest::collection::vec(text(), 0..20);
    prop_oneof![
        (any::<i32>(), any::<bool>()).prop_map(|(version, weir)| Request::Handshake { version, weir }),
        text().prop_map(|key| Request::Auth { key: Zeroizing::new(key.into_bytes()) }),
        (text(), payload(), any::<bool>()).prop_map(|(name, payload, coalesce)| Request::Event {
            name,
            payload,
            coalesce
        }),
        (text(), any::<bool>()).prop_map(|(node, prune)| Request::ForceLeave { node, prune }),
        (strings(), any::<bool>()).prop_map(|(existing, replay)| Request::Join { existing, replay }),
        Just(Request::Members),
        (map(), text(), text()).prop_map(|(tags, status, name)| Request::MembersFiltered(MembersQuery {
            tags,
            status,
            name
        })),
        (map(), strings()).prop_map(|(set, delete)| Request::Tags { set, delete }),
        text().prop_map(|filter| Request::Stream { filter }),
        text().prop_map(|level| Request::Monitor { level }),
        any::<u64>().prop_map(|seq| Request::Stop { seq }),
        Just(Request::Leave),
        query().prop_map(Request::Query),
        (any::<u64>(), payload()).prop_map(|(id, payload)| Request::Respond { id, payload }),
        key().prop_map(|key| Request::InstallKey { key }),
        key().prop_map(|key| Request::UseKey { key }),
        key().prop_map(|key| Request::RemoveKey { key }),
        Just(Request::ListKeys),
        Just(Request::Stats),
        text().prop_map(|node| Request::GetCoordinate { node }),
        text().prop_map(|document| Request::Weir { command: "weir-status".to_owned(), document: document.into() }),
    ]
}

fn member() -> impl Strategy<Value = Member> {
    let status = prop_oneof![Just(Status::Alive), Just(Status::Leaving), Just(Status::Left), Just(Status::Failed)];
    // An IPv4 address in IPv6 clothes is read as IPv4.
    let addr = any::<IpAddr>().prop_map(|addr| addr.to_canonical());
    (text(), addr, any::<u16>(), map(), status, any::<[u8; 6]>()).prop_map(
        |(name, addr, port, tags, status, versions)| Member {
            name,
            addr,
            port,
            tags,
            status,
            versions: Versions(versions),
        },
    )
}

fn body() -> impl Strategy<Value = (&'static str, Body)> {
    let counts = proptest::option::of(proptest::collection::btree_map(text(), any::<u64>(), 0..3));
    let keys = (map(), counts, any::<[u32; 3]>()).prop_map(|(messages, keys, [nodes, errors, responses])| {
        KeyResponse { messages, keys, nodes, errors, responses }
    });
    let float = || -1e9..1e9;
    let coordinate = (proptest::collection::vec(float(), 8), float(), float(), float())
        .prop_map(|(vec, error, adjustment, height)| Coordinate { vec, error, adjustment, height });
    prop_oneof![
        Just(("leave", Body::Empty)),
        any::<u32>().prop_map(|contacted| ("join", Body::Join(contacted))),
        proptest::collection::vec(member(), 0..20).prop_map(|members| ("members", Body::Members(members))),
        keys.prop_map(|keys| ("list-keys", Body::Keys(keys))),
        proptest::collection::btree_map(text(), map(), 0..4).prop_map(|stats| ("stats", Body::Stats(stats))),
        proptest::option::of(coordinate).prop_map(|known| ("get-coordinate", Body::Coordinate(known))),
        text().prop_map(|document| ("weir-status", Body::Document(document))),
    ]
}

proptest! {
    #[test]
    fn every_request_survives_the_wire(request in request(), seq in any::<u64>()) {
        let bytes = request.encode(seq);
        prop_assert_eq!(decode(&bytes), (seq, Ok(request)));
    }

    #[test]
    fn every_response_survives_the_wire((name, body) in body(), seq in any::<u64>(), error in text(), ours in ours()) {
        let response = Response { header: ResponseHeader { seq, error, ours }, body };
        let values = values(&response.encode());
        prop_assert_eq!(ResponseHeader::decode(&values[0]).unwrap(), response.header);
        let body = values.get(1).map_or(Ok(Body::Empty), |body| Body::decode(&Command::from_name(name).unwrap(), body));
        prop_assert_eq!(body, Ok(response.body));
    }

    #[test]
    fn every_record_survives_the_wire(
        kind in 0..5_usize,
        members in proptest::collection::vec(member(), 0..3),
        (name, payload) in (text(), payload()),
        (seq, id, ltime) in any::<(u64, u64, u64)>(),
        coalesce in any::<bool>(),
    ) {
        let EventKind::Member(kind) = EventKind::ALL[kind] else { unreachable!("the first five are about members") };
        let read = |bytes: &[u8]| EventRecord::decode(&values(bytes)[1]).unwrap();
        let bytes = record::encode_members(seq, kind, &members);
        prop_assert_eq!(read(&bytes), EventRecord::Member { kind, members });
        let bytes = record::encode_user(seq, ltime, &name, &payload, coalesce);
        prop_assert_eq!(read(&bytes), EventRecord::User { ltime, name: name.clone(), payload: payload.clone(), coalesce });
        let bytes = record::encode_query(seq, id, ltime, &name, &payload);
        prop_assert_eq!(read(&bytes), EventRecord::Query { id, ltime, name, payload });
        prop_assert_eq!(read(&record::encode_missed(seq, id)), EventRecord::Missed { events: id });
    }

    #[test]
    fn values_are_the_same_however_they_arrive(requests in proptest::collection::vec(request(), 1..6), step in 1..200_usize) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| request.encode(1)).collect();
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for chunk in bytes.chunks(step) {
            frames.buffer().extend_from_slice(chunk);
            while frames.is_ready(MAX_REQUEST_BYTES).unwrap() {
                found.push(frames.take().to_vec());
            }
        }
        prop_assert!(!frames.is_partial());
        prop_assert_eq!(found, values(&bytes));
    }

    #[test]
    fn any_bytes_are_values_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1..50_usize) {
        let mut frames = Frames::default();
        for chunk in bytes.chunks(step) {
            frames.buffer().extend_from_slice(chunk);
            while let Ok(true) = frames.is_ready(1000) {
                prop_assert!(!frames.take().is_empty());
            }
        }
    }

    #[test]
    fn any_bytes_as_a_body_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "[a-z-]{0,16}") {
        let commands = ["handshake", "auth", "event", "force-leave", "join", "members-filtered", "tags", "query", "respond",
            "install-key", "list-keys", "stats", "get-coordinate", "weir-x", &name];
        for command in commands.into_iter().filter_map(Command::from_name) {
            let _ = Request::decode(command.clone(), &bytes);
            let _ = Body::decode(&command, &bytes);
        }
        let _ = Header::decode(&bytes);
        let _ = ResponseHeader::decode(&bytes);
        let _ = EventRecord::decode(&bytes);
        let _ = QueryRecord::decode(&bytes);
        let _ = LogRecord::decode(&bytes);
    }
}
