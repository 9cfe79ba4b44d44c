//! The Serf layer through its public interface: nodes that gossip with each other in memory, and the captured messages and
//! behaviour of real agents (`tests/vectors`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use weir::serf::{
    Answer, ConflictOutcome, Drop, Event, JoinKind, KeyOp, KeyParams, KeyringAnswer, LamportTime, MemberEventKind,
    Options, Output, QueryParams, Restored, Serf, Status,
};
use weir::swim::{self, Node};
use weir::time::Instant;
use weir::wire::NodeName;
use weir::wire::message::Versions;
use weir::wire::serf::{
    Coordinate, KeyRequest, KeyResponse, Query, QueryResponse, Relay, SerfMessage, Tags, UserEvent, encode_tags,
};

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn node(name: &str, i: u8) -> Arc<Node> {
    let meta = encode_tags(&Tags::from([("role".into(), if i == 1 { "lb" } else { "web" }.into())]));
    let name = NodeName::new(name).unwrap();
    Arc::new(Node { name, addr: SocketAddr::from(([127, 0, 77, i], 7946)), meta, versions: Versions::OURS })
}

fn name(i: u8) -> String {
    format!("n{i}")
}

fn start(own: u8, nodes: u8) -> Serf {
    let options = Options { member_coalescing: None, user_coalescing: None, ..Options::default() };
    let rng = StdRng::seed_from_u64(u64::from(own));
    let mut serf = Serf::new(options, node(&name(own), own), Restored::default(), rng, at(0));
    for i in std::iter::once(own).chain((1..=nodes).filter(|i| *i != own)) {
        serf.handle_swim(at(0), &swim::Event::Joined(node(&name(i), i)));
    }
    while serf.poll_output().is_some() {}
    serf
}

/// Nodes that hear each other's broadcasts and datagrams at once.
struct Net {
    now: Instant,
    nodes: BTreeMap<SocketAddr, Serf>,
    outputs: BTreeMap<String, Vec<Output>>,
}

impl Net {
    fn new(nodes: u8) -> Self {
        let nodes = (1..=nodes).map(|i| (node(&name(i), i).addr, start(i, nodes))).collect();
        Self { now: at(1), nodes, outputs: BTreeMap::new() }
    }

    fn node(&mut self, i: u8) -> &mut Serf {
        self.nodes.get_mut(&node(&name(i), i).addr).unwrap()
    }

    /// Runs until nobody has anything to say. What is not a datagram is kept for the test; key changes are granted.
    fn run(&mut self) {
        while self.gossip() | self.carry_out() {}
    }

    fn gossip(&mut self) -> bool {
        let mut spoke = false;
        let addresses: Vec<SocketAddr> = self.nodes.keys().copied().collect();
        for from in addresses {
            let mut packet = Vec::new();
            self.nodes.get_mut(&from).unwrap().take_broadcasts(1400, 3, &mut packet);
            spoke |= !packet.is_empty();
            for (_, other) in self.nodes.iter_mut().filter(|(addr, _)| **addr != from) {
                packet.iter().for_each(|message| other.handle_message(self.now, from, message));
            }
        }
        spoke
    }

    fn carry_out(&mut self) -> bool {
        let mut datagrams = Vec::new();
        for (addr, serf) in &mut self.nodes {
            while let Some(output) = serf.poll_output() {
                match output {
                    Output::SendUser { to, message, .. } => datagrams.push((*addr, to, message)),
                    Output::Keyring { query, .. } => {
                        serf.keyring_answer(self.now, &query, KeyringAnswer::Done).unwrap()
                    }
                    other => self.outputs.entry(serf.local().name.as_str().to_owned()).or_default().push(other),
                }
            }
        }
        let spoke = !datagrams.is_empty();
        for (from, to, message) in datagrams {
            assert_ne!(from, to, "nothing is sent to oneself");
            if let Some(serf) = self.nodes.get_mut(&to) {
                serf.handle_message(self.now, from, &message);
            }
        }
        spoke
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.nodes.values_mut().for_each(|serf| serf.handle_timeout(self.now));
        self.run();
    }

    fn take(&mut self, i: u8) -> Vec<Output> {
        self.outputs.remove(&name(i)).unwrap_or_default()
    }
}

fn user_events(outputs: &[Output]) -> Vec<String> {
    let event = |output: &Output| match output {
        Output::Event(Event::User(event)) => Some(event.name.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

fn member_events(outputs: &[Output]) -> Vec<(MemberEventKind, String)> {
    let event = |output: &Output| match output {
        Output::Member(event) => Some((event.kind, event.member.node.name.as_str().to_owned())),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

fn answers(outputs: &[Output]) -> (BTreeSet<String>, BTreeSet<String>, usize) {
    let (mut acks, mut responses, mut done) = (BTreeSet::new(), BTreeSet::new(), 0);
    for output in outputs {
        match output {
            Output::Query(query) => match &query.answer {
                Answer::Ack { from } => assert!(acks.insert(from.clone()), "one ack each"),
                Answer::Response { from, .. } => assert!(responses.insert(from.clone()), "one response each"),
                Answer::Done { .. } => done += 1,
            },
            _ => continue,
        }
    }
    (acks, responses, done)
}

#[test]
fn every_event_reaches_every_node_once() {
    let mut net = Net::new(5);
    let mut fired = Vec::new();
    for round in 0..20 {
        for i in 1..=5 {
            fired.push(format!("{round}-{i}"));
            let event = fired.last().unwrap().clone();
            let now = net.now;
            net.node(i).user_event(now, &event, Bytes::from_static(b"x"), false).unwrap();
        }
    }
    net.run();
    fired.sort();
    for i in 1..=5 {
        let mut seen = user_events(&net.take(i));
        seen.sort();
        assert_eq!(seen, fired, "node {i}");
    }
}

#[test]
fn a_query_gathers_one_ack_and_one_response_of_every_node_relays_included() {
    let mut net = Net::new(5);
    let now = net.now;
    let params = QueryParams { name: "load".into(), ack: true, relay_factor: 2, ..QueryParams::default() };
    let key = net.node(2).query(now, params).unwrap();
    net.run();
    for i in 1..=5 {
        net.node(i).respond(now, &key, Bytes::from(format!("load of {i}"))).unwrap();
    }
    net.run();
    let all: BTreeSet<String> = (1..=5).map(name).collect();
    assert_eq!(answers(&net.take(2)), (all.clone(), all, 0));
    net.pass(Duration::from_millis(3200));
    assert_eq!(answers(&net.take(2)), (BTreeSet::new(), BTreeSet::new(), 1));
}

#[test]
fn filters_choose_who_answers() {
    let mut net = Net::new(4);
    let now = net.now;
    let params = QueryParams {
        name: "load".into(),
        ack: true,
        nodes: vec![name(1), name(2), name(3)],
        tags: [("role".into(), r"^\Qweb\E$".into())].into(),
        ..QueryParams::default()
    };
    net.node(4).query(now, params).unwrap();
    net.run();
    assert_eq!(answers(&net.take(4)).0, [name(2), name(3)].into());
}

#[test]
fn a_leave_is_known_everywhere_before_the_node_is_gone() {
    let mut net = Net::new(4);
    let now = net.now;
    net.node(3).begin_leave(now).unwrap();
    net.run();
    assert!(net.take(3).iter().any(|output| matches!(output, Output::LeaveBroadcastDone)));
    for i in [1, 2, 4] {
        let gone = swim::Event::Gone { node: node(&name(3), 3), left: true };
        net.node(i).handle_swim(now, &gone);
        net.run();
        assert_eq!(member_events(&net.take(i)), [(MemberEventKind::Leave, name(3))]);
    }
}

#[test]
fn a_forced_leave_of_the_living_is_contradicted_and_of_the_failed_agreed() {
    let mut net = Net::new(4);
    let now = net.now;
    net.node(1).force_leave(now, "n2", false).unwrap();
    net.run();
    for i in 1..=4 {
        assert_eq!(net.node(i).member("n2").unwrap().status, Status::Alive, "seen by {i}");
    }
    for i in [1, 2, 4] {
        net.node(i).handle_swim(now, &swim::Event::Gone { node: node(&name(3), 3), left: false });
    }
    let silent = node(&name(3), 3).addr;
    net.nodes.remove(&silent);
    net.node(1).force_leave(now, "n3", false).unwrap();
    net.run();
    for i in [1, 2, 4] {
        assert_eq!(net.node(i).member("n3").unwrap().status, Status::Left, "seen by {i}");
    }
}

#[test]
fn a_key_request_is_tallied_over_all_nodes() {
    let mut net = Net::new(4);
    let now = net.now;
    let params = KeyParams { op: KeyOp::Install(vec![7; 32].into()), only: vec![], ballot: None };
    net.node(2).key_request(now, params).unwrap();
    net.run();
    let outputs = net.take(2);
    let [Output::Keys { outcome, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((outcome.nodes.len(), outcome.errors(), outcome.missing.len()), (4, 0, 0));
}

#[test]
fn a_second_rotation_supersedes_the_first_everywhere() {
    let mut net = Net::new(3);
    let now = net.now;
    let first = net.node(1).new_ballot();
    let use_key = |ballot| KeyParams { op: KeyOp::Use(vec![7; 32].into()), only: vec![], ballot: Some(ballot) };
    net.node(1).key_request(now, use_key(first)).unwrap();
    net.run();
    net.take(1);
    let second = net.node(2).new_ballot();
    assert!(second > first, "it has heard of the first");
    net.node(2).key_request(now, use_key(second)).unwrap();
    net.run();
    net.node(1).key_request(now, use_key(first)).unwrap();
    net.run();
    let outputs = net.take(1);
    let Some(Output::Keys { outcome, .. }) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!(outcome.errors(), 3);
    assert!(outcome.nodes.values().all(|node| node.superseded_by == Some(second)));
    assert!(outcome.nodes.values().all(|node| node.message == "superseded by a rotation from n2"));
}

// --- Captured messages ---

fn vectors(file: &str) -> Vec<Value> {
    let text = match file {
        "push-pull" => include_str!("../vectors/serf-push-pull.json"),
        "query" => include_str!("../vectors/serf-query.json"),
        "relay" => include_str!("../vectors/serf-relay.json"),
        "internal-query" => include_str!("../vectors/serf-internal-query.json"),
        "coordinate-ack" => include_str!("../vectors/serf-coordinate-ack.json"),
        "user-event" => include_str!("../vectors/serf-user-event.json"),
        "leave-intent" => include_str!("../vectors/serf-leave-intent.json"),
        "join-intent" => include_str!("../vectors/serf-join-intent.json"),
        "peer-behaviour" => include_str!("../vectors/serf-peer-behaviour.json"),
        other => panic!("no file {other}"),
    };
    serde_json::from_str::<Value>(text).unwrap()["vectors"].as_array().unwrap().clone()
}

fn hex(vector: &Value, key: &str) -> Bytes {
    let digits = vector[key].as_str().unwrap();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect::<Vec<_>>().into()
}

fn outputs(serf: &mut Serf) -> Vec<Output> {
    std::iter::from_fn(|| serf.poll_output()).collect()
}

fn broadcasts(serf: &mut Serf) -> Vec<Bytes> {
    let mut out = Vec::new();
    serf.take_broadcasts(usize::MAX / 2, 3, &mut out);
    out
}

#[test]
fn captured_gossip_is_taken_and_passed_on_unchanged() {
    for file in ["user-event", "leave-intent", "join-intent", "query", "internal-query"] {
        for vector in vectors(file).iter().filter(|vector| vector["hex"].is_string()) {
            let message = hex(vector, "hex");
            let mut serf = start(2, 4);
            // A member that is known by its leave only once it has failed.
            serf.handle_swim(at(0), &swim::Event::Gone { node: node("n3", 3), left: false });
            serf.handle_message(at(1), node("n1", 1).addr, &message);
            assert!(broadcasts(&mut serf).contains(&message), "{file}: {vector}");
            serf.handle_message(at(2), node("n1", 1).addr, &message);
            let repeated = serf.drops().get(Drop::Duplicate) + serf.drops().get(Drop::SeenIntent);
            assert_eq!(repeated, 1, "{file}: {vector}");
        }
    }
}

#[test]
fn captured_push_pulls_bring_members_and_events_up_to_date() {
    for vector in vectors("push-pull") {
        let state = hex(&vector, "hex");
        let told = weir::wire::serf::PushPullState::decode(&state).unwrap();
        let mut serf = start(9, 9);
        for name in &told.left_members {
            let node = serf.member(name).unwrap().node.clone();
            serf.handle_swim(at(0), &swim::Event::Gone { node, left: true });
        }
        outputs(&mut serf);
        serf.merge_state(at(1), &state, Some(JoinKind { ours: true, ignore_old: false }));
        for (name, time) in &told.status_ltimes {
            let member = serf.member(name).unwrap();
            let left = told.left_members.contains(name);
            assert_eq!(member.status_ltime.get(), time.get() + u64::from(left), "{name}");
            assert_eq!(member.status == Status::Left, left, "{name}");
        }
        let delivered = user_events(&outputs(&mut serf));
        let told_events: Vec<_> =
            told.events.iter().flat_map(|slot| slot.events.iter().map(|(name, _)| name.clone())).collect();
        assert_eq!(delivered, told_events);
        let stats = serf.stats();
        assert_eq!((stats.event_time, stats.query_time), (told.event_ltime, told.query_ltime));
    }
}

#[test]
fn captured_relays_are_forwarded_to_members_byte_for_byte() {
    for vector in vectors("relay") {
        let message = hex(&vector, "hex");
        let SerfMessage::Relay(Relay { dest, inner, .. }) = SerfMessage::decode(&message).unwrap() else { panic!() };
        let mut serf = start(2, 4);
        serf.handle_message(at(1), node("n3", 3).addr, &message);
        let outputs = outputs(&mut serf);
        let [Output::SendUser { to, message, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((*to, message), (dest, &inner));
    }
}

#[test]
fn captured_coordinates_are_taken_and_ours_begins_as_theirs() {
    let vectors = vectors("coordinate-ack");
    let mut serf = start(2, 4);
    assert_eq!(serf.ack_payload(), hex(&vectors[0], "payload_hex"), "fresh");
    let n1 = NodeName::new("n1").unwrap();
    for vector in &vectors {
        let payload = hex(vector, "payload_hex");
        serf.handle_rtt(&n1, Duration::from_micros(400), &payload);
        assert_eq!(serf.coordinate("n1"), Some(&Coordinate::decode_payload(&payload).unwrap()));
    }
    assert_eq!(serf.drops().get(Drop::Coordinate), 0);
    assert_eq!(serf.ack_payload().len(), 130);
    assert_ne!(serf.ack_payload(), hex(&vectors[0], "payload_hex"), "and has moved");
}

// --- How the real agent reacted, case by case ---

fn crafted(name: &str, id: u32) -> Query {
    Query {
        ltime: LamportTime(7),
        id,
        addr: node("n1", 1).addr,
        source_node: "n1".into(),
        filters: Vec::new(),
        ack: false,
        no_broadcast: true,
        relay_factor: 0,
        timeout: Duration::from_secs(5),
        name: name.into(),
        payload: Bytes::new(),
    }
}

fn send(serf: &mut Serf, message: SerfMessage) -> Vec<Output> {
    serf.handle_message(at(1), node("n1", 1).addr, &message.encode());
    outputs(serf)
}

fn responses(outputs: &[Output]) -> Vec<QueryResponse> {
    let response = |output: &Output| match output {
        Output::SendUser { message, .. } => match SerfMessage::decode(message).unwrap() {
            SerfMessage::QueryResponse(response) => Some(response),
            _ => None,
        },
        _ => None,
    };
    outputs.iter().filter_map(response).collect()
}

fn event(ltime: u64, name: &str) -> SerfMessage {
    let event = UserEvent { ltime: LamportTime(ltime), name: name.into(), payload: Bytes::new(), coalesce: false };
    SerfMessage::UserEvent(event)
}

fn member_time(serf: &Serf) -> u64 {
    serf.stats().member_time.get()
}

/// Raw bytes of a query in an odd form: keys unsorted, str8 and bin8, integers signed and of full width.
fn odd_query() -> Bytes {
    let mut bytes = vec![4, 0x86];
    let mut field = |key: &str, value: &[u8]| {
        bytes.extend([0xd9, key.len() as u8]);
        bytes.extend(key.as_bytes());
        bytes.extend(value);
    };
    field("Name", b"\xd9\x04load");
    field("LTime", &[&[0xd3][..], &7i64.to_be_bytes()].concat());
    field("Extra", &[0x92, 1, 0xc0]);
    field("Addr", &[0xc4, 4, 127, 0, 77, 1]);
    field("ID", &[&[0xd3][..], &5i64.to_be_bytes()].concat());
    field("Port", &[&[0xd3][..], &7946i64.to_be_bytes()].concat());
    bytes.into()
}

/// What we do in a case of `serf-peer-behaviour.json`. Where it says "differs", `serf §14` asks for it.
fn behave(case: &str, serf: &mut Serf) {
    match case {
        "query, Flags 3" => {
            let seen = send(serf, SerfMessage::Query(Query { ack: true, ..crafted("load", 1) }));
            assert!(responses(&seen)[0].ack);
            let key = weir::serf::QueryKey { ltime: LamportTime(7), id: 1 };
            serf.respond(at(2), &key, Bytes::from_static(b"1")).unwrap();
            assert_eq!(responses(&outputs(serf)).len(), 1);
            assert_eq!(serf.broadcasts_pending(), 0);
        }
        "same LTime and ID again" => {
            send(serf, SerfMessage::Query(crafted("load", 1)));
            assert!(send(serf, SerfMessage::Query(crafted("load", 1))).is_empty());
        }
        "same LTime, other ID" => {
            send(serf, SerfMessage::Query(crafted("load", 1)));
            assert_eq!(send(serf, SerfMessage::Query(crafted("load", 2))).len(), 1);
        }
        "map keys unsorted, str8/bin8, int64 signed integers"
        | "missing Payload, Filters, RelayFactor, SourceNode; unknown key Extra" => {
            serf.handle_message(at(1), node("n1", 1).addr, &odd_query());
            assert!(matches!(&outputs(serf)[..], [Output::Event(Event::Query(query))] if query.name == "load"));
        }
        "_serf_conflict about an unknown name" => {
            let payload = Bytes::from_static(b"nobody");
            let seen = send(serf, SerfMessage::Query(Query { payload, ..crafted("_serf_conflict", 1) }));
            assert_eq!(&responses(&seen)[0].payload[..], b"\x06\xc0");
        }
        "_serf_conflict about the receiver" => {
            let payload = Bytes::from_static(b"n2");
            let seen = send(serf, SerfMessage::Query(Query { payload, ..crafted("_serf_conflict", 1) }));
            assert!(matches!(&seen[..], [Output::Conflict(ConflictOutcome::Claimed { .. })]), "{seen:?}");
        }
        "_serf_ unknown name, Flags 1" => {
            let seen = send(serf, SerfMessage::Query(Query { ack: true, ..crafted("_serf_new", 1) }));
            assert!(matches!(&responses(&seen)[..], [ack] if ack.ack) && seen.len() == 1);
        }
        "_serf_install-key, payload type byte ff instead of 07" => {
            let request = KeyRequest { key: vec![7; 32].into(), rot: None }.encode();
            let payload = [&[0xff], &request[1..]].concat().into();
            let seen = send(serf, SerfMessage::Query(Query { payload, ..crafted("_serf_install-key", 1) }));
            assert!(matches!(&seen[..], [Output::Keyring { op: KeyOp::Install(_), .. }]));
        }
        "_serf_install-key, body c1" => {
            let payload = Bytes::from_static(b"\x07\xc1");
            let seen = send(serf, SerfMessage::Query(Query { payload, ..crafted("_serf_install-key", 1) }));
            let answer = KeyResponse::decode(&responses(&seen)[0].payload).unwrap();
            assert_eq!((answer.result, answer.message.as_str()), (false, ""));
        }
        // Differs: no panic, and not passed on.
        "_serf_install-key with nil payload" => {
            let query = Query { no_broadcast: false, ..crafted("_serf_install-key", 1) };
            let seen = send(serf, SerfMessage::Query(query));
            assert!(!KeyResponse::decode(&responses(&seen)[0].payload).unwrap().result);
            assert_eq!(serf.broadcasts_pending(), 0);
        }
        // Differs: no panic, and not passed on.
        "query with one zero-length filter" => {
            let filters = vec![weir::wire::serf::Filter::Unknown(Bytes::new())];
            let query = Query { no_broadcast: false, filters, ..crafted("load", 1) };
            assert!(send(serf, SerfMessage::Query(query)).is_empty());
            assert_eq!(serf.broadcasts_pending(), 0);
        }
        // Differs: not forwarded.
        "relay (type 9) from a non-member to a non-member" => {
            let inner = SerfMessage::QueryResponse(QueryResponse {
                ltime: LamportTime(1),
                id: 1,
                from: "x".into(),
                ack: true,
                payload: Bytes::new(),
            })
            .encode();
            let dest = SocketAddr::from(([127, 0, 77, 200], 7946));
            assert!(send(serf, SerfMessage::Relay(Relay { dest, dest_name: "x".into(), inner })).is_empty());
        }
        "join intent LTime 50 for an unknown node" => {
            send(serf, join("stranger", 50));
            assert_eq!(member_time(serf), 51);
        }
        "leave intent LTime 60 about the receiver" => {
            let leave = weir::wire::serf::LeaveIntent { ltime: LamportTime(60), node: "n2".into(), prune: false };
            send(serf, SerfMessage::Leave(leave));
            assert_eq!(broadcasts(serf), [join("n2", 61).encode()]);
            assert_eq!(member_time(serf), 62);
        }
        "user event LTime 2000, then 1489, then 1488" => {
            assert_eq!(send(serf, event(2000, "a")).len(), 1);
            assert_eq!(serf.stats().event_time.get(), 2001);
            assert_eq!(send(serf, event(1489, "b")).len(), 1);
            assert!(send(serf, event(1488, "c")).is_empty());
        }
        "push/pull naming a member in LeftMembers whose time equals the receiver's (200)" => {
            send(serf, join("n3", 200));
            serf.handle_swim(at(1), &swim::Event::Gone { node: node("n3", 3), left: true });
            let mut told = weir::wire::serf::PushPullState { left_members: vec!["n3".into()], ..Default::default() };
            told.status_ltimes.insert("n3".into(), LamportTime(200));
            serf.merge_state(at(2), &told.encode(), None);
            assert_eq!(serf.member("n3").unwrap().status_ltime.get(), 201);
        }
        // Differs: the clock does not wrap.
        "join intent LTime 2^64-1" => {
            send(serf, join("n3", u64::MAX));
            assert_eq!((member_time(serf), serf.drops().get(Drop::ImplausibleTime)), (1, 1));
        }
        other => panic!("no rule for the case {other:?}"),
    }
}

fn join(node: &str, ltime: u64) -> SerfMessage {
    SerfMessage::Join(weir::wire::serf::JoinIntent { ltime: LamportTime(ltime), node: node.into() })
}

#[test]
fn crafted_messages_are_answered_as_the_reference_does_or_better() {
    for vector in vectors("peer-behaviour") {
        behave(vector["case"].as_str().unwrap(), &mut start(2, 4));
    }
}
