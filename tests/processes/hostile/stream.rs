//! Streams: lengths and counts that lie, bombs, trickles, and peers that open too many.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use weir::crypto::{Key, Keyring};
use weir::endpoint::{Drop, MAX_BUFFERED_BYTES, MAX_STREAM_BYTES, MAX_STREAMS, MAX_STREAMS_PER_SOURCE};
use weir::serf;
use weir::wire::message::{NodeState, PushNode, PushPull, StreamMessage};
use weir::wire::msgpack::Writer;
use weir::wire::serf::{LamportTime, PushPullState, RecentEvents};
use weir::wire::stream::{MAX_NODES, MAX_USER_STATE};

use super::packet::deflated;
use super::victim::{Victim, alive, attacker, friend, ping};

const PUSH_PULL: u8 = 6;
const USER: u8 = 8;

fn header(nodes: i64, user_state: i64) -> Vec<u8> {
    let mut w = Writer::message(PUSH_PULL);
    w.map_header(3).str("Join").bool(true).str("Nodes").int(nodes).str("UserStateLen").int(user_state);
    w.into_vec()
}

fn user_header(len: i64) -> Vec<u8> {
    let mut w = Writer::message(USER);
    w.map_header(1).str("UserMsgLen").int(len);
    w.into_vec()
}

fn push_pull(nodes: Vec<PushNode>, user_state: Bytes) -> PushPull {
    PushPull { join: true, nodes, skipped: 0, long_name: None, user_state }
}

fn node(who: &str, at: u32) -> PushNode {
    let addr = SocketAddr::from(([127, 9, (at >> 8) as u8, at as u8], 7946));
    PushNode { alive: alive(who, addr, 1), state: NodeState::Alive }
}

/// Each of these is refused as soon as it is there.
pub(crate) fn senseless() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a type of packets", vec![4, 0x80]),
        ("no type that exists", vec![99]),
        ("no map", vec![PUSH_PULL, 0xc1]),
        ("a negative count", header(-1, 0)),
        ("the lowest count there is", header(i64::MIN, 0)),
        ("a count too many", header(MAX_NODES as i64 + 1, 0)),
        ("the highest count there is", header(i64::MAX, 0)),
        ("a negative length of state", header(0, -1)),
        ("too much state", header(0, MAX_USER_STATE as i64 + 1)),
        ("a negative length of a message", user_header(-1)),
        ("too long a message", user_header(MAX_USER_STATE as i64 + 1)),
        ("the longest message there is", user_header(i64::MAX)),
        ("compressed, to nothing", deflated(b"")),
        ("compressed twice", deflated(&deflated(&ping(1)))),
        ("a bomb", deflated(&vec![0; 50 << 20])),
    ]
}

#[test]
fn a_stream_that_makes_no_sense_is_refused_and_its_sender_told() {
    for mut victim in Victim::both() {
        for (what, plain) in senseless() {
            let refused = |victim: &Victim| victim.drops(Drop::Malformed) + victim.drops(Drop::NotGossip);
            let before = refused(&victim);
            let answer = victim.stream(&plain);
            assert!(matches!(answer, Some(StreamMessage::Error(_))), "{what}: {answer:?}");
            assert_eq!(refused(&victim), before + 1, "{what}");
            assert_eq!(victim.endpoint.open_streams(), 0, "{what}");
        }
        victim.assert_unharmed();
    }
}

#[test]
fn counts_that_promise_what_never_comes_cost_nothing() {
    let mut victim = Victim::plain();
    for promise in [header(MAX_NODES as i64, MAX_USER_STATE as i64), user_header(MAX_USER_STATE as i64)] {
        let before = victim.drops(Drop::StreamTruncated);
        assert_eq!(victim.stream(&promise), None);
        assert_eq!(victim.drops(Drop::StreamTruncated), before + 1);
    }
    let mut victim = Victim::sealed();
    assert!(matches!(victim.stream(&header(1, 0)), Some(StreamMessage::Error(_))));
    assert_eq!(victim.drops(Drop::Malformed), 1, "inside a frame everything is there already");
    victim.assert_unharmed();
}

#[test]
fn a_bomb_on_a_stream_inflates_to_its_share_and_no_further() {
    for mut victim in Victim::both() {
        // A million members of no bytes at all: what is allowed is read to its end.
        let nodes = [header(MAX_NODES as i64, 0), vec![0x80; MAX_NODES]].concat();
        let before = victim.drops(Drop::Malformed);
        victim.stream(&deflated(&nodes));
        assert_eq!(victim.drops(Drop::Malformed), before + 1, "a ratio of more than 256 is a bomb");
        victim.assert_unharmed();
    }
}

#[test]
fn every_entry_of_a_huge_push_pull_that_is_no_member_is_skipped() {
    let mut victim = Victim::plain();
    let entries = [header(100_001, 0), vec![0x80; 100_000]].concat();
    let good = StreamMessage::PushPull(push_pull(vec![node("good", 1)], Bytes::new())).encode(false);
    let entry = &good[header(1, 0).len()..];
    let answer = victim.stream(&[&entries, entry].concat());
    assert!(matches!(answer, Some(StreamMessage::PushPull(_))));
    assert!(victim.knows("good"));
    assert_eq!(victim.endpoint.swim().len(), 3);
    victim.assert_unharmed();
}

#[test]
fn a_push_pull_of_more_members_than_the_ceiling_fills_the_table_and_no_more() {
    for ring in [None, Some(Keyring::new(Key::new(&[7; 32]).unwrap(), []))] {
        let mut victim = Victim::new(ring, |options| options.swim.max_members = 1000);
        let nodes = (0..5000).map(|at| node(&format!("m{at}"), at)).collect();
        victim.push_pull(push_pull(nodes, Bytes::new())).expect("it is answered");
        assert_eq!(victim.endpoint.swim().len(), 1000);
        assert_eq!(victim.endpoint.serf().member_count(), 1000);
        assert_eq!(victim.swim_drops(weir::swim::Drop::NotAdmitted), 5000 - 998);
        let queue = victim.endpoint.swim().queue().len();
        assert!(queue <= 1000, "{queue} broadcasts for 1000 members");
        victim.assert_unharmed();
    }
}

#[test]
fn a_push_pull_full_of_intents_about_nobody_is_bounded() {
    for mut victim in Victim::both() {
        // Each evicts another; looking at all of them for that would take minutes.
        let status_ltimes = (0..300_000).map(|i| (format!("invent-{i:07}"), LamportTime(i + 1))).collect();
        let state = PushPullState { status_ltimes, ..PushPullState::default() }.encode();
        assert!(state.len() < MAX_USER_STATE);
        victim.push_pull(push_pull(vec![node("x", 1)], state)).expect("it is answered");
        assert_eq!(victim.serf_drops(serf::Drop::IntentsFull), 300_000 - serf::MAX_INTENTS as u64);
        victim.assert_unharmed();
        assert!(!victim.passes_on("invent-0"));
    }
}

#[test]
fn a_push_pull_full_of_events_is_bounded() {
    let mut victim = Victim::plain();
    let slot = |ltime| {
        let events = (0..2000).map(|i| (format!("e{i}"), Bytes::from_static(&[0; 100]))).collect();
        RecentEvents { ltime: LamportTime(ltime), events }
    };
    let state = PushPullState { events: (1..=70).map(slot).collect(), ..PushPullState::default() };
    victim.push_pull(push_pull(vec![node("x", 1)], state.encode())).expect("it is answered");
    assert_eq!(victim.serf_drops(serf::Drop::SlotFull), 70 * (2000 - serf::MAX_SLOT_ITEMS as u64));
    let told = PushPullState::decode(&victim.state().unwrap().user_state).unwrap();
    let bytes: usize =
        told.events.iter().flat_map(|slot| &slot.events).map(|(name, payload)| name.len() + payload.len()).sum();
    assert!(bytes <= serf::MAX_STATE_EVENT_BYTES, "{bytes}");
    victim.assert_unharmed();
}

#[test]
fn a_user_message_of_20_megabytes_is_neither_read_nor_passed_on() {
    let mut victim = Victim::plain();
    let event = weir::wire::serf::UserEvent {
        ltime: LamportTime(1),
        name: "huge".into(),
        payload: vec![b'h'; 20_000_000].into(),
        coalesce: false,
    };
    victim.stream(&StreamMessage::User(weir::wire::serf::SerfMessage::UserEvent(event).encode()).encode(false));
    assert_eq!(victim.serf_drops(serf::Drop::Undecodable), 1);
    assert!(victim.events.is_empty() && !victim.passes_on("hhhhhhhh"));
    victim.assert_unharmed();
}

#[test]
fn a_stream_ends_at_40_megabytes() {
    let mut victim = Victim::plain();
    let stream = victim.open_stream();
    victim.stream_bytes(stream, &header(MAX_NODES as i64, 0));
    let entry = [&[0xda, 0xff, 0xff][..], &[0; 0xffff]].concat();
    let mut sent = 0;
    while victim.drops(Drop::StreamLength) == 0 && sent <= MAX_STREAM_BYTES {
        victim.stream_bytes(stream, &entry);
        sent += entry.len();
    }
    assert_eq!(victim.drops(Drop::StreamLength), 1);
    assert!(victim.closed.contains(&stream));
    victim.assert_unharmed();
}

#[test]
fn all_streams_together_hold_a_bounded_number_of_bytes() {
    let mut victim = Victim::sealed();
    let frame = [&[10][..], &(20_u32 << 20).to_be_bytes(), &vec![1; 10 << 20]].concat();
    for _ in 0..MAX_STREAMS_PER_SOURCE {
        let stream = victim.open_stream();
        victim.stream_bytes(stream, &frame);
    }
    let taken = MAX_BUFFERED_BYTES / frame.len();
    assert_eq!(victim.drops(Drop::StreamLength), (MAX_STREAMS_PER_SOURCE - taken) as u64);
    assert_eq!(victim.endpoint.open_streams(), taken);
    victim.pass(Duration::from_secs(11));
    assert_eq!(victim.drops(Drop::StreamTimeout), taken as u64);
    victim.assert_unharmed();
}

#[test]
fn a_peer_that_opens_a_thousand_streams_gets_sixteen_and_leaves_the_others_theirs() {
    for mut victim in Victim::both() {
        let opened: Vec<_> = (0..1000)
            .filter_map(|port| victim.endpoint.handle_accepted(victim.now, (attacker().ip(), port).into()))
            .collect();
        assert_eq!(opened.len(), MAX_STREAMS_PER_SOURCE);
        assert_eq!(victim.drops(Drop::StreamSource), 1000 - MAX_STREAMS_PER_SOURCE as u64);
        let honest = victim.endpoint.handle_accepted(victim.now, friend()).expect("another source has its own share");
        victim.end_stream(honest);
        victim.pass(Duration::from_secs(11));
        assert_eq!(victim.drops(Drop::StreamTimeout), MAX_STREAMS_PER_SOURCE as u64);
        victim.assert_unharmed();
    }
}

#[test]
fn a_thousand_sources_get_128_streams_together() {
    let mut victim = Victim::plain();
    let source = |i: u16| SocketAddr::from(([127, 7, (i >> 8) as u8, i as u8], 1));
    let opened = (0..1000).filter(|i| victim.endpoint.handle_accepted(victim.now, source(*i)).is_some()).count();
    assert_eq!(opened, MAX_STREAMS);
    assert_eq!(victim.drops(Drop::StreamLimit), 1000 - MAX_STREAMS as u64);
    victim.pass(Duration::from_secs(11));
    victim.assert_unharmed();
}

#[test]
fn a_slow_loris_is_cut_off_at_the_deadline_however_lively_it_is() {
    for mut victim in Victim::both() {
        let whole = StreamMessage::PushPull(push_pull(vec![node("x", 1)], Bytes::from(vec![0; 4000]))).encode(false);
        let stream = victim.open_stream();
        let frame = match victim.endpoint.keyring() {
            Some(ring) => ring.seal_frame(ring.primary().id(), [4; 12], b"", &whole),
            None => whole,
        };
        for byte in &frame[..990] {
            victim.stream_bytes(stream, &[*byte]);
            victim.pass(Duration::from_millis(10));
        }
        assert!(!victim.closed.contains(&stream), "9.9 s are not too long");
        victim.pass(Duration::from_millis(100));
        assert!(victim.closed.contains(&stream), "10 s are");
        assert_eq!(victim.drops(Drop::StreamTimeout), 1);
        victim.stream_bytes(stream, &frame[990..]);
        assert!(!victim.knows("x"), "what comes after is nobody's");
    }
}

#[test]
fn a_trickle_behind_much_data_does_not_make_us_read_it_all_again_and_again() {
    let mut victim = Victim::plain();
    let nodes: Vec<_> = (0..60_000).map(|at| node(&format!("m{at}"), at)).collect();
    let whole = StreamMessage::PushPull(push_pull(nodes, Bytes::from(vec![0; 1 << 20]))).encode(false);
    let (start, trickle) = whole.split_at(whole.len() - 3000);
    let stream = victim.open_stream();
    for chunk in start.chunks(16 << 10) {
        victim.stream_bytes(stream, chunk);
    }
    // Thousands of times four megabytes of members would take minutes.
    for byte in trickle {
        victim.stream_bytes(stream, &[*byte]);
        victim.pass(Duration::from_millis(3));
    }
    victim.pass(Duration::from_millis(50));
    assert!(victim.knows("m59999"));
    assert!(victim.closed.contains(&stream), "it was answered");
}

#[test]
fn streams_that_say_nothing_or_say_it_twice_leave_nothing_behind() {
    for mut victim in Victim::both() {
        for _ in 0..1000 {
            let stream = victim.open_stream();
            victim.end_stream(stream);
            victim.end_stream(stream);
            victim.stream_bytes(stream, b"too late");
        }
        let [truncated, timed_out] = [Drop::StreamTruncated, Drop::StreamTimeout].map(|reason| victim.drops(reason));
        assert_eq!((truncated, timed_out), (0, 0), "closed in peace");
        victim.assert_unharmed();
    }
}

#[test]
fn an_answer_to_our_join_may_be_as_hostile_as_a_request() {
    for (what, answer) in [
        ("nothing", vec![]),
        ("a request", ping(1).to_vec()),
        ("no message", vec![99]),
        ("a bomb", deflated(&vec![0; 50 << 20])),
        ("a negative count", header(-1, 0)),
        ("a count that lies", header(MAX_NODES as i64, 0)),
        ("an error without an end", vec![13, 0x81, 0xa5, b'E', b'r', b'r', b'o', b'r', 0xda, 0xff, 0xff]),
        ("members that speak nothing we know", {
            let mut odd = node("x", 1);
            odd.alive.versions.0 = [9, 9, 9, 9, 9, 9];
            StreamMessage::PushPull(push_pull(vec![odd], Bytes::new())).encode(false)
        }),
    ] {
        let mut victim = Victim::plain();
        let failure = victim.join_answered(&answer);
        assert!(failure.is_some(), "{what}");
        assert_eq!(victim.endpoint.swim().len(), 2, "{what}");
        victim.assert_unharmed();
    }
}
