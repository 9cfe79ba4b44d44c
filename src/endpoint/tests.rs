//! One endpoint against bytes; clusters of them are tested in `sim` and `tests/pure/sim`.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::crypto::Key;
use crate::wire::message::{PushPull, SeqNo, StreamMessage};

const NOW: Instant = Instant::from_nanos(3_600_000_000_000);

fn endpoint(key: Option<u8>) -> Endpoint {
    named("us", key)
}

fn named(name: &str, key: Option<u8>) -> Endpoint {
    let name = NodeName::new(name).unwrap();
    let options = Options::new(name, SocketAddr::from(([127, 0, 0, 1], 7946)));
    let keyring = key.map(|fill| Keyring::new(Key::new(&[fill; 32]).unwrap(), []));
    Endpoint::new(options, keyring, Restored::default(), StdRng::seed_from_u64(1), Box::new(|bytes| bytes.fill(9)), NOW)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], 7946))
}

fn drain(endpoint: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

fn ping(seq_no: u32) -> Bytes {
    use crate::wire::message::{Ping, Source};
    let source = Source { addr: Some(peer()), node: None };
    Message::Ping(Ping { seq_no: SeqNo::new(seq_no), node: None, source, weir: None }).encode()
}

fn answers(endpoint: &mut Endpoint) -> usize {
    drain(endpoint).iter().filter(|output| matches!(output, Output::Datagram { .. })).count()
}

#[test]
fn with_a_keyring_plain_packets_are_refused_and_counted() {
    let mut us = endpoint(Some(1));
    us.handle_datagram(NOW, peer(), &wire_packet::encode(&[ping(1)], false, false));
    assert_eq!(answers(&mut us), 0);
    assert_eq!(us.drops().iter().map(|(_, count)| count).sum::<u64>(), 1);
}

#[test]
fn sealed_ping_is_answered_sealed() {
    let mut us = endpoint(Some(1));
    let ring = Keyring::new(Key::new(&[1; 32]).unwrap(), []);
    let plain = wire_packet::encode(&[ping(9)], false, false);
    us.handle_datagram(NOW, peer(), &ring.seal_packet([0; 12], b"", &plain));
    let sealed = drain(&mut us).into_iter().find_map(|output| match output {
        Output::Datagram { to, payload } => Some((to, payload)),
        _ => None,
    });
    let (to, payload) = sealed.expect("an ack");
    assert_eq!(to, peer());
    let opened = ring.open_packet(b"", &payload).expect("sealed under the same key");
    let acks = wire_packet::decode(&opened.plain).messages;
    assert!(acks.iter().any(|message| matches!(message, Message::Ack(ack) if ack.seq_no == SeqNo::new(9))), "{acks:?}");
}

#[test]
fn packet_under_another_key_is_dropped() {
    let mut us = endpoint(Some(1));
    let ring = Keyring::new(Key::new(&[2; 32]).unwrap(), []);
    let plain = wire_packet::encode(&[ping(9)], false, false);
    us.handle_datagram(NOW, peer(), &ring.seal_packet([0; 12], b"", &plain));
    assert_eq!(answers(&mut us), 0);
    assert_eq!(us.drops().get(Drop::NotOpened), 1);
}

#[test]
fn who_has_not_heard_of_our_restart_is_no_stranger() {
    use crate::crypto::session::{SessionId, Sessions};
    let mut us = endpoint(Some(1));
    for (fill, strangers) in [(1, 0), (2, 1)] {
        let name = NodeName::new("peer").unwrap();
        let mut peer_sessions = Sessions::new(name, b"", Box::new(|bytes: &mut [u8]| bytes.fill(7)));
        let mut packet = Vec::new();
        peer_sessions.seal(NOW, &Key::new(&[fill; 32]).unwrap(), SessionId([3; 16]), 7, b"x", &mut packet);
        us.handle_datagram(NOW, peer(), &packet);
        assert_eq!(us.strangers().count(), strangers, "key {fill}");
    }
    assert_eq!((us.drops().get(Drop::OtherSession), us.drops().get(Drop::KeyUnknown)), (1, 1));
}

#[test]
fn encrypted_emptiness_kills_nobody() {
    let mut us = endpoint(Some(1));
    let key = Key::new(&[1; 32]).unwrap();
    let ring = Keyring::new(key.clone(), []);
    let mut sealed = Vec::new();
    crate::crypto::envelope::seal(&key, crate::crypto::envelope::Version::V1, [0; 12], &[b""], b"", &mut sealed);
    us.handle_datagram(NOW, peer(), &sealed);
    assert_eq!(us.drops().get(Drop::EmptyPlaintext), 1);

    let stream = us.handle_accepted(NOW, peer()).expect("there is room");
    let frame = ring.seal_frame(key.id(), [1; 12], b"", b"");
    us.handle_stream_data(NOW, stream, &frame);
    assert_eq!(us.drops().get(Drop::EmptyPlaintext), 2);
    assert_eq!(answers(&mut us), 0);
}

#[test]
fn arbitrary_bytes_never_panic_and_never_stay() {
    use rand::Rng;
    let mut rng = StdRng::seed_from_u64(99);
    for key in [None, Some(1)] {
        let mut us = endpoint(key);
        for round in 0..2000_u64 {
            let mut bytes = vec![0; rng.random_range(0..200)];
            rng.fill_bytes(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first %= 14;
            }
            us.handle_datagram(NOW, peer(), &bytes);
            if let Some(stream) = us.handle_accepted(NOW, peer()) {
                us.handle_stream_data(NOW, stream, &bytes);
                us.handle_stream_end(NOW, stream, None);
            }
            drain(&mut us);
            if round % 100 == 0 {
                us.handle_timeout(NOW + Duration::from_secs(round));
                drain(&mut us);
            }
        }
        assert!(us.open_streams() <= MAX_STREAMS, "{}", us.open_streams());
    }
}

#[test]
fn a_slow_stream_ends_at_its_deadline() {
    let mut us = endpoint(Some(1));
    let stream = us.handle_accepted(NOW, peer()).expect("there is room");
    us.handle_stream_data(NOW, stream, &[10, 0, 0, 1, 0]);
    let deadline = NOW + us.options().swim.tcp_timeout;
    us.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(us.open_streams(), 1);
    us.handle_timeout(deadline);
    assert_eq!(us.open_streams(), 0);
    assert_eq!(us.drops().get(Drop::StreamTimeout), 1);
    assert!(drain(&mut us).iter().any(|output| matches!(output, Output::Close { .. })));
}

#[test]
fn peer_that_resets_a_join_is_tried_once_more_in_a_session_and_one_that_refuses_to_connect_is_not() {
    let connect = |outputs: Vec<Output>| {
        outputs.into_iter().find_map(|output| match output {
            Output::Connect { stream, .. } => Some(stream),
            _ => None,
        })
    };
    let mut us = endpoint(Some(1));
    let target = JoinTarget { label: "them".to_owned(), addr: peer() };
    us.join(NOW, JoinKind::Join { ignore_old: false }, vec![target.clone()]);
    let first = connect(drain(&mut us)).expect("a join dials");
    us.handle_connected(NOW, first);
    us.handle_stream_end(NOW, first, Some("connection reset by peer".into()));
    let second = connect(drain(&mut us)).expect("again, as a session");
    us.handle_connected(NOW, second);
    let head = drain(&mut us).into_iter().find_map(|output| match output {
        Output::Write { data, .. } => data.first().copied(),
        _ => None,
    });
    assert_eq!(head, Some(0xe3));
    us.handle_stream_end(NOW, second, Some("connection reset by peer".into()));
    assert!(connect(drain(&mut us)).is_none());

    us.join(NOW, JoinKind::Join { ignore_old: false }, vec![target]);
    let only = connect(drain(&mut us)).expect("a join dials");
    us.handle_stream_end(NOW, only, Some("connection refused".into()));
    assert!(connect(drain(&mut us)).is_none());
}

#[test]
fn a_survey_is_told_who_is_a_member_and_leaves_no_trace() {
    let node = |name: &str, host: u8| {
        let (name, addr) = (NodeName::new(name).unwrap(), SocketAddr::from(([127, 0, 0, host], 7946)));
        Arc::new(swim::Node { name, addr, meta: Bytes::new(), versions: Versions::OURS })
    };
    for key in [None, Some(1)] {
        let (mut us, mut them) = (endpoint(key), named("them", key));
        // Somebody else has our name.
        them.preload(NOW, &[node("us", 9), node("web", 3)]);
        drain(&mut us);
        drain(&mut them);
        let before = format!("{:?}", them.members().collect::<Vec<_>>());
        us.join(NOW, JoinKind::Survey, vec![JoinTarget { label: "them".to_owned(), addr: peer() }]);
        let Some(Output::Connect { stream, .. }) = us.poll_output() else { panic!("it dials") };
        us.handle_connected(NOW, stream);
        let Some(Output::Write { data: question, .. }) = us.poll_output() else { panic!("it asks") };
        let empty = StreamMessage::PushPull(PushPull::default());
        if key.is_none() {
            assert_eq!(question, empty.encode(true), "nothing is told, and it is no join");
        }
        let accepted = them.handle_accepted(NOW, peer()).expect("there is room");
        them.handle_stream_data(NOW, accepted, &question);
        let [Output::Write { data: answer, close: true, .. }] = &drain(&mut them)[..] else {
            panic!("an answer, and nothing else")
        };
        us.handle_stream_data(NOW, stream, answer);
        let [Output::Close { .. }, Output::Joined(joined)] = &drain(&mut us)[..] else {
            panic!("a list, and nothing else")
        };
        let mut listed: Vec<_> = joined.listed.iter().map(|node| node.alive.node.as_str()).collect();
        listed.sort_unstable();
        assert_eq!((&listed[..], joined.contacted), (&["them", "us", "web"][..], 1));
        assert_eq!(format!("{:?}", them.members().collect::<Vec<_>>()), before);
        assert_eq!(us.members().count(), 1);
        // Nor is anything said later.
        for endpoint in [&mut us, &mut them] {
            assert_eq!(endpoint.drops(), &Drops::default());
        }
        us.handle_timeout(us.poll_timeout());
        assert!(drain(&mut us).is_empty());
    }
}

#[test]
fn leaving_alone_takes_no_time() {
    let mut us = endpoint(None);
    us.leave(NOW);
    us.handle_timeout(NOW);
    assert!(drain(&mut us).iter().any(|output| matches!(output, Output::Left { .. })));
}

/// An endpoint with a key that knows `friend` at [`peer`] and has news to gossip.
fn with_friend() -> (Endpoint, Keyring) {
    let mut us = endpoint(Some(1));
    let ring = Keyring::new(Key::new(&[1; 32]).unwrap(), []);
    let alive = crate::wire::message::Alive {
        incarnation: Incarnation::FIRST,
        node: NodeName::new("friend").unwrap(),
        addr: peer(),
        meta: Bytes::new(),
        versions: Versions::OURS,
    };
    let plain = wire_packet::encode(&[Message::Alive(alive).encode()], false, false);
    us.handle_datagram(NOW, peer(), &ring.seal_packet([1; 12], b"", &plain));
    drain(&mut us);
    (us, ring)
}

/// Everything that would leave this host until `end`.
fn said(us: &mut Endpoint, end: Instant) -> Vec<Output> {
    let mut outputs = drain(us);
    while us.poll_timeout() <= end {
        let due = us.poll_timeout();
        us.handle_timeout(due);
        outputs.append(&mut drain(us));
    }
    outputs.retain(|output| matches!(output, Output::Datagram { .. } | Output::Connect { .. } | Output::Write { .. }));
    outputs
}

const LOST: serf::ConflictOutcome = serf::ConflictOutcome::Lost { responses: 2, matching: 0 };

#[test]
fn whoever_lost_its_name_says_nothing_under_it() {
    let source = crate::wire::message::Source { addr: Some(peer()), node: NodeName::new("stranger") };
    let node = NodeName::new("us");
    let ping = Message::Ping(Ping { seq_no: SeqNo::new(7), node, source, weir: None }).encode();
    let query = crate::wire::serf::Query {
        ltime: serf::LamportTime(3),
        id: 1,
        addr: peer(),
        source_node: "friend".to_owned(),
        filters: Vec::new(),
        ack: true,
        no_broadcast: false,
        relay_factor: 0,
        timeout: Duration::from_secs(5),
        name: "who".to_owned(),
        payload: Bytes::new(),
    };
    let query = user_message(&crate::wire::serf::SerfMessage::Query(query).encode());

    let (mut us, ring) = with_friend();
    us.handle_conflict(NOW, LOST);
    us.handle_datagram(
        NOW,
        peer(),
        &ring.seal_packet([2; 12], b"", &wire_packet::encode(std::slice::from_ref(&ping), false, false)),
    );
    us.handle_datagram(NOW, peer(), &ring.seal_packet([3; 12], b"", &wire_packet::encode(&[query], false, false)));
    let mut other =
        crate::crypto::session::Sessions::new(NodeName::new("x").unwrap(), b"", Box::new(|bytes| bytes.fill(3)));
    let mut hello = Vec::new();
    other.seal_hello(NOW, ring.primary(), 0, &ping, &mut hello);
    us.handle_datagram(NOW, peer(), &hello);
    assert_eq!(us.drops().iter().map(|(_, count)| count).sum::<u64>(), 0, "all of it arrived");
    let said = said(&mut us, NOW + Duration::from_secs(30));
    assert!(said.is_empty(), "{said:?}");
}

/// The others would take it for a word of the member that has the name, and that one for gone.
#[test]
fn whoever_lost_its_name_leaves_without_a_word() {
    let (mut us, _) = with_friend();
    us.handle_conflict(NOW, LOST);
    us.leave(NOW);
    let mut outputs = Vec::new();
    while us.poll_timeout() <= NOW + Duration::from_secs(15) {
        let due = us.poll_timeout();
        us.handle_timeout(due);
        outputs.append(&mut drain(&mut us));
    }
    assert!(!outputs.iter().any(|output| matches!(output, Output::Datagram { .. })), "{outputs:?}");
    assert!(outputs.iter().any(|output| matches!(output, Output::Left { unconfirmed } if unconfirmed.is_empty())));
}

#[test]
fn whoever_has_left_does_not_come_back_by_new_tags() {
    let (mut us, _) = with_friend();
    us.leave(NOW);
    while us.poll_timeout() <= NOW + Duration::from_secs(15) {
        let due = us.poll_timeout();
        us.handle_timeout(due);
    }
    let tags = crate::wire::serf::Tags::from([("role".to_owned(), "web".to_owned())]);
    us.set_tags(NOW + Duration::from_secs(15), &tags).unwrap();
    assert!(us.swim().member(&us.options().name).unwrap().state.is_gone());
}

#[test]
fn a_session_stream_that_makes_no_sense_is_closed_without_a_word() {
    let (mut us, ring) = with_friend();
    let name = NodeName::new("x").unwrap();
    let mut other = crate::crypto::session::Sessions::new(name, b"", Box::new(|bytes| bytes.fill(3)));
    let opening = other.open_stream(ring.primary());
    let stream = us.handle_accepted(NOW, peer()).unwrap();
    us.handle_stream_data(NOW, stream, opening.head().as_bytes());
    let head = drain(&mut us).into_iter().find_map(|output| match output {
        Output::Write { data, .. } => Some(data),
        _ => None,
    });
    let (head, _) = crate::crypto::session::StreamHead::parse(&head.unwrap()).unwrap().unwrap();
    let frames = opening.accepted(&head).unwrap().seal(&[99]).unwrap();
    us.handle_stream_data(NOW, stream, &frames);
    let outputs = drain(&mut us);
    assert_eq!((us.drops().get(Drop::Malformed), us.open_streams()), (1, 0));
    assert!(matches!(outputs[..], [Output::Close { stream: closed }] if closed == stream), "{outputs:?}");
}

#[test]
fn a_ping_by_stream_names_its_member_also_where_another_had_the_address() {
    let mut us = endpoint(None);
    for name in ["before", "after"] {
        let name = NodeName::new(name).unwrap();
        let node = swim::Node { name: name.clone(), addr: peer(), meta: Bytes::new(), versions: Versions::OURS };
        us.preload(NOW, &[Arc::new(node.clone())]);
        let ping = us.swim.ping_to(&name);
        us.open_ping(&Arc::new(node), ping, NOW + Duration::from_secs(1));
        let stream = drain(&mut us).into_iter().find_map(|output| match output {
            Output::Connect { stream, .. } => Some(stream),
            _ => None,
        });
        us.handle_connected(NOW, stream.unwrap());
        let written = drain(&mut us).into_iter().find_map(|output| match output {
            Output::Write { data, .. } => crate::wire::message::StreamMessage::decode(&data).unwrap(),
            _ => None,
        });
        let Some(crate::wire::message::StreamMessage::Ping(ping)) = written else { panic!("{written:?}") };
        assert_eq!(ping.node, Some(name));
    }
}

fn hear_of(endpoint: &mut Endpoint, name: &str, addr: SocketAddr) {
    let (node, versions) = (NodeName::new(name).unwrap(), Versions::OURS);
    let alive =
        crate::wire::message::Alive { incarnation: Incarnation::FIRST, node, addr, meta: Bytes::new(), versions };
    let packet = wire_packet::encode(&[Message::Alive(alive).encode()], false, false);
    endpoint.handle_datagram(NOW, peer(), &packet);
}

/// A packet that says that `name` is dead.
fn death_of(name: &str) -> Vec<u8> {
    let (node, from) = (NodeName::new(name).unwrap(), NodeName::new("stranger").unwrap());
    let dead = crate::wire::message::Dead { incarnation: Incarnation::FIRST, node, from };
    wire_packet::encode(&[Message::Dead(dead).encode()], false, false)
}

/// In a cluster of two nobody else can tell it, and until a reconnect the one would be without the other.
#[test]
fn the_last_other_member_is_told_of_its_death_as_long_as_gossip_goes_to_the_dead() {
    let mut us = endpoint(None);
    hear_of(&mut us, "friend", peer());
    said(&mut us, NOW + Duration::from_millis(600));
    let died = NOW + Duration::from_secs(1);
    us.handle_datagram(died, peer(), &death_of("friend"));
    assert_eq!(us.swim().present(), 1);
    let accusation = &death_of("friend")[..];
    let told = |outputs: &[Output]| {
        let tells = |output: &&Output| {
            matches!(output, Output::Datagram { to, payload }
                if *to == peer() && payload.windows(accusation.len()).any(|part| part == accusation))
        };
        outputs.iter().filter(tells).count()
    };
    let limit = crate::swim::broadcast::transmit_limit(us.options().swim.retransmit_mult, us.swim().len());
    assert_eq!(told(&said(&mut us, died + Duration::from_secs(2))), limit as usize);

    let forgotten = died + us.options().swim.gossip_to_the_dead + Duration::from_nanos(1);
    said(&mut us, forgotten);
    us.user_event(forgotten, "deploy", Bytes::new(), false).unwrap();
    let quiet = us.poll_timeout();
    assert!(said(&mut us, forgotten + Duration::from_secs(5)).is_empty(), "nobody is left to be told");
    assert!(quiet > forgotten, "and what waits needs no timer");
}

fn troubles(endpoint: &mut Endpoint) -> Vec<NameTrouble> {
    let trouble = |output| match output {
        Output::NameTrouble(trouble) => Some(trouble),
        _ => None,
    };
    drain(endpoint).into_iter().filter_map(trouble).collect()
}

#[test]
fn a_name_that_cannot_be_taken_is_told_by_the_address_of_its_host() {
    let mut us = endpoint(None);
    let mut long = crate::wire::msgpack::Writer::message(crate::wire::message::kind::ALIVE);
    long.map_header(4).str("Node").str(&"x".repeat(600)).str("Addr").bin(&[127, 0, 0, 9]).str("Port").uint(7946u16);
    long.str("Vsn").bin(&Versions::OURS.0);
    us.handle_datagram(NOW, peer(), &long.into_vec());
    let addr = SocketAddr::from(([127, 0, 0, 9], 7946));
    assert_eq!(troubles(&mut us), [NameTrouble::TooLong { addr, bytes: 600 }]);
    assert_eq!(us.name_troubles().count(), 1);
    // Renamed, it is a member as others are.
    hear_of(&mut us, "x", addr);
    assert_eq!((us.members().count(), us.name_troubles().count()), (2, 0));
}

#[test]
fn a_claim_to_the_name_of_a_member_is_told_as_long_as_that_is_there() {
    let mut us = endpoint(None);
    let [holder, other, third] = [2, 3, 4].map(|host| SocketAddr::from(([127, 0, 0, host], 7946)));
    hear_of(&mut us, "web", holder);
    hear_of(&mut us, "web", holder);
    assert_eq!(troubles(&mut us), []);
    hear_of(&mut us, "web", other);
    let name = NodeName::new("web").unwrap();
    assert_eq!(troubles(&mut us), [NameTrouble::Claimed { name: name.clone(), holder, other }]);
    // It fails: whoever claims its name may be itself, at another address.
    let by = us.options().name.clone();
    let dead = crate::wire::message::Dead { incarnation: Incarnation::FIRST, node: name, from: by };
    us.handle_datagram(NOW, peer(), &wire_packet::encode(&[Message::Dead(dead).encode()], false, false));
    hear_of(&mut us, "web", third);
    assert_eq!((us.name_troubles().count(), troubles(&mut us)), (0, vec![]));
}

#[test]
fn who_has_not_pinged_since_a_stranger_was_heard_may_be_with_it() {
    use crate::wire::message::{Ping, Source};
    let unheard = |us: &Endpoint| us.strangers().map(|stranger| us.unheard_since(stranger)).collect::<Vec<_>>();
    let secs = Duration::from_secs;
    let stranger = |us: &mut Endpoint, now| {
        let ring = Keyring::new(Key::new(&[2; 32]).unwrap(), []);
        let plain = wire_packet::encode(&[ping(9)], false, false);
        us.handle_datagram(now, SocketAddr::from(([127, 0, 0, 9], 7946)), &ring.seal_packet([0; 12], b"", &plain));
    };
    let (mut us, ring) = with_friend();
    stranger(&mut us, NOW);
    assert_eq!(unheard(&us), [1]);
    let source = Source { addr: Some(peer()), node: Some(NodeName::new("friend").unwrap()) };
    let ping = Message::Ping(Ping { seq_no: SeqNo::new(3), node: None, source, weir: None }).encode();
    let plain = wire_packet::encode(&[ping], false, false);
    us.handle_datagram(NOW + secs(1), peer(), &ring.seal_packet([2; 12], b"", &plain));
    assert_eq!(unheard(&us), [0]);
    // Whoever does not answer is found dead in that time.
    let (mut us, _) = with_friend();
    stranger(&mut us, NOW);
    stranger(&mut us, NOW + secs(29));
    assert_eq!(unheard(&us), [1]);
    stranger(&mut us, NOW + secs(30));
    assert_eq!(unheard(&us), [0]);
}

#[test]
fn heard_is_who_was_understood() {
    let mut us = endpoint(Some(1));
    us.handle_datagram(NOW, peer(), &wire_packet::encode(&[ping(1)], false, false));
    assert_eq!(us.heard(), None, "it holds no key of ours");
    let ring = Keyring::new(Key::new(&[1; 32]).unwrap(), []);
    us.handle_datagram(NOW, peer(), &ring.seal_packet([0; 12], b"", b"\xff"));
    assert_eq!(us.heard(), None, "it says nothing");
    let name = |name| NodeName::new(name).unwrap();
    let node = swim::Node { name: name("peer"), addr: peer(), meta: Bytes::new(), versions: Versions::OURS };
    let other = swim::Node { name: name("other"), addr: SocketAddr::from(([127, 0, 0, 3], 7946)), ..node.clone() };
    us.preload(NOW, &[Arc::new(node), Arc::new(other)]);
    let later = NOW + Duration::from_secs(1);
    let plain = wire_packet::encode(&[ping(2)], false, false);
    us.handle_datagram(later, peer(), &ring.seal_packet([1; 12], b"", &plain));
    assert_eq!((us.heard(), us.heard_beside(&name("peer"))), (Some(later), None));
    assert_eq!(us.heard_beside(&name("other")), Some(later));
    assert_eq!(us.heard_beside(&name("nobody")), None);
}
