use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::message::{SeqNo, Source};

const fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn key(fill: u8) -> Key {
    Key::new(&[fill; 32]).unwrap()
}

fn ring() -> Keyring {
    Keyring::new(key(1), [key(2)])
}

/// A generator that never gives the same bytes twice.
fn entropy(start: u8) -> Entropy {
    let mut next = u128::from(start) << 120;
    Box::new(move |out| {
        next += 1;
        out.copy_from_slice(&next.to_be_bytes()[..out.len()]);
    })
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn sessions(start: u8) -> Sessions {
    Sessions::new(node("bravo"), b"", entropy(start))
}

fn sealed(from: &mut Sessions, to: SessionId, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    from.seal(at(0), &key(1), to, 7, plain, &mut out);
    out
}

fn hello(from: &mut Sessions, to: &str) -> Vec<u8> {
    let ping = Ping { seq_no: SeqNo::new(1), node: NodeName::new(to), source: Source::default(), weir: None };
    let mut out = Vec::new();
    from.seal_hello(at(0), &key(1), 7, &Message::Ping(ping).encode(), &mut out);
    out
}

fn header(packet: &[u8]) -> Header {
    Header::parse(packet).unwrap().0
}

fn outcome(receiver: &mut Sessions, now: Instant, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    receiver.open(now, &ring(), packet).map(|received| match received.content {
        Content::Packet(plain) => plain,
        Content::Hello(_) => b"hello".to_vec(),
    })
}

#[test]
fn a_counter_is_used_once_by_packets_and_hellos_alike() {
    let (mut alpha, bravo) = (sessions(1), sessions(2));
    let mut counters = BTreeSet::new();
    for packet in
        [sealed(&mut alpha, bravo.id(), b"x"), hello(&mut alpha, "bravo"), sealed(&mut alpha, SessionId([9; 16]), b"x")]
    {
        let header = header(&packet);
        assert_eq!(header.sender, alpha.id());
        counters.insert(header.counter);
    }
    assert_eq!(counters, [0, 1, 2].into());
}

#[test]
fn the_last_counter_is_used_and_then_the_session_is_drawn_anew_without_waiting() {
    let (mut alpha, bravo) = (sessions(1), sessions(2));
    let first = alpha.id();
    for round in 1..=2 {
        alpha.counter = u32::MAX.into();
        let before = alpha.id();
        let last = header(&sealed(&mut alpha, bravo.id(), b"x"));
        assert_eq!((last.counter, last.sender), (u32::MAX, before));
        let next = header(&sealed(&mut alpha, bravo.id(), b"x"));
        assert_eq!((next.counter, next.sender), (0, alpha.id()));
        assert_ne!(alpha.id(), before);
        assert_eq!(alpha.redraws(), round, "the limit of one a minute does not hold for the counter");
    }
    assert_ne!(alpha.id(), first);
}

#[test]
fn a_new_session_counts_from_zero() {
    let mut alpha = sessions(1);
    sealed(&mut alpha, SessionId([9; 16]), b"x");
    (0..3).for_each(|_| alpha.handle_probe_undecipherable(at(0)));
    assert_eq!(header(&sealed(&mut alpha, SessionId([9; 16]), b"x")).counter, 0);
}

#[test]
fn what_was_recorded_is_worth_nothing_to_a_process_that_started_since() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let packet = sealed(&mut alpha, bravo.id(), b"x");
    assert_eq!(outcome(&mut bravo, at(0), &packet), Ok(b"x".to_vec()));
    assert_eq!(outcome(&mut bravo, at(0), &packet), Err(DropReason::Replayed));
    assert_eq!(outcome(&mut sessions(3), at(0), &packet), Err(DropReason::NotOpened));
    assert_eq!(outcome(&mut alpha, at(0), &packet), Err(DropReason::Own));
}

#[test]
fn grace_ends_after_a_minute_and_not_before() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let old = bravo.id();
    let packets: Vec<_> = (0..3).map(|_| sealed(&mut alpha, old, b"x")).collect();
    bravo.redraw(at(100));
    assert_eq!(bravo.poll_timeout(), Some(at(160)));
    let just_before = Instant::from_nanos(at(160).as_nanos() - 1);
    assert_eq!(outcome(&mut bravo, just_before, &packets[0]), Ok(b"x".to_vec()));
    assert_eq!(outcome(&mut bravo, at(160), &packets[1]), Err(DropReason::NotOpened));
    assert_eq!(bravo.poll_timeout(), None);
    let after = sealed(&mut alpha, bravo.id(), b"y");
    assert_eq!(outcome(&mut bravo, at(160), &after), Ok(b"y".to_vec()));
}

#[test]
fn a_redraw_within_grace_ends_that_grace() {
    let (mut alpha, mut bravo, mut charlie) = (sessions(1), sessions(2), sessions(3));
    let first = bravo.id();
    let packet = sealed(&mut charlie, first, b"x");
    assert!(outcome(&mut bravo, at(0), &packet).is_ok());
    bravo.redraw(at(0));
    let second = bravo.id();
    assert_eq!(bravo.senders(), 1);
    bravo.redraw(at(1));
    assert_eq!(bravo.senders(), 0, "silent since the first redraw");
    for (receiver, result) in
        [(first, Err(DropReason::NotOpened)), (second, Ok(b"x".to_vec())), (bravo.id(), Ok(b"x".to_vec()))]
    {
        let packet = sealed(&mut alpha, receiver, b"x");
        assert_eq!(outcome(&mut bravo, at(2), &packet), result);
    }
}

/// With a mark "last accepted under", the late packet would cost the sender its window at the end of grace.
#[test]
fn a_late_packet_for_the_previous_session_does_not_open_a_way_for_replays() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let late = sealed(&mut alpha, bravo.id(), b"late");
    bravo.redraw(at(0));
    let packet = sealed(&mut alpha, bravo.id(), b"x");
    assert!(outcome(&mut bravo, at(1), &packet).is_ok());
    assert!(outcome(&mut bravo, at(2), &late).is_ok());
    bravo.handle_timeout(at(60));
    assert_eq!(bravo.senders(), 1);
    assert_eq!(outcome(&mut bravo, at(61), &packet), Err(DropReason::Replayed));
}

#[test]
fn only_senders_silent_since_the_redraw_are_forgotten_and_only_at_the_end_of_grace() {
    let (mut alpha, mut charlie, mut bravo) = (sessions(1), sessions(3), sessions(2));
    for sender in [&mut alpha, &mut charlie] {
        let packet = sealed(sender, bravo.id(), b"x");
        assert!(outcome(&mut bravo, at(0), &packet).is_ok());
    }
    bravo.redraw(at(10));
    let packet = sealed(&mut alpha, bravo.id(), b"x");
    assert!(outcome(&mut bravo, at(11), &packet).is_ok());
    bravo.handle_timeout(at(69));
    assert_eq!(bravo.senders(), 2);
    bravo.handle_timeout(at(70));
    assert_eq!(bravo.senders(), 1);
    assert_eq!(outcome(&mut bravo, at(70), &packet), Err(DropReason::Replayed));
}

#[test]
fn a_full_table_forgets_nobody_until_the_redraw_it_causes_has_had_its_grace() {
    let mut bravo = Sessions::with_limit(node("bravo"), b"", entropy(2), 1);
    let (mut alpha, mut charlie) = (sessions(1), sessions(3));
    let id = bravo.id();
    let heard = sealed(&mut alpha, id, b"x");
    assert!(outcome(&mut bravo, at(100), &heard).is_ok());
    let unheard = sealed(&mut charlie, id, b"x");
    assert_eq!(outcome(&mut bravo, at(100), &unheard), Err(DropReason::TableFull));
    assert_ne!(bravo.id(), id);
    assert_eq!(bravo.redraws(), 1);
    assert_eq!(outcome(&mut bravo, at(101), &heard), Err(DropReason::Replayed));
    let now_bound = sealed(&mut charlie, bravo.id(), b"x");
    assert_eq!(outcome(&mut bravo, at(159), &now_bound), Err(DropReason::TableFull));
    assert_eq!(bravo.redraws(), 1, "one redraw a minute");
    let later = sealed(&mut charlie, bravo.id(), b"x");
    assert!(outcome(&mut bravo, at(160), &later).is_ok());
    assert_eq!(outcome(&mut bravo, at(160), &heard), Err(DropReason::NotOpened));
}

#[test]
fn three_undecipherable_probes_in_a_row_redraw_once_a_minute() {
    let mut alpha = sessions(1);
    alpha.handle_probe_undecipherable(at(0));
    alpha.handle_probe_undecipherable(at(0));
    alpha.handle_probe_opened();
    alpha.handle_probe_undecipherable(at(0));
    alpha.handle_probe_undecipherable(at(0));
    assert_eq!(alpha.redraws(), 0);
    alpha.handle_probe_undecipherable(at(0));
    assert_eq!(alpha.redraws(), 1);
    (0..10).for_each(|_| alpha.handle_probe_undecipherable(at(59)));
    assert_eq!(alpha.redraws(), 1);
    alpha.handle_probe_undecipherable(at(60));
    assert_eq!(alpha.redraws(), 2);
}

#[test]
fn hellos_are_answered_fifty_a_second_a_hundred_at_once() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let mut answered = |now| {
        (0..200)
            .filter(|_| outcome(&mut bravo, now, &hello(&mut alpha, "bravo")) != Err(DropReason::HelloLimited))
            .count()
    };
    assert_eq!(answered(at(100)), 100);
    assert_eq!(answered(at(100)), 0);
    assert_eq!(answered(at(101)), 50);
    assert_eq!(answered(at(1000)), 100);
}

#[test]
fn a_hello_leaves_no_trace() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let packet = hello(&mut alpha, "bravo");
    for _ in 0..3 {
        assert_eq!(outcome(&mut bravo, at(0), &packet), Ok(b"hello".to_vec()));
    }
    assert_eq!(bravo.senders(), 0);
    assert_eq!(outcome(&mut bravo, at(0), &hello(&mut alpha, "charlie")), Err(DropReason::HelloNotPing));
}

#[test]
fn answers_know_key_and_session_of_the_request() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let mut packet = Vec::new();
    alpha.seal(at(0), &key(2), bravo.id(), 7, b"x", &mut packet);
    let received = bravo.open(at(0), &ring(), &packet).unwrap();
    assert_eq!((received.key, received.sender), (key(2).id(), alpha.id()));
}

#[test]
fn a_removed_key_opens_nothing_although_its_cipher_was_cached() {
    let (mut alpha, mut bravo) = (sessions(1), sessions(2));
    let mut seal = |to| {
        let mut packet = Vec::new();
        alpha.seal(at(0), &key(2), to, 7, b"x", &mut packet);
        packet
    };
    let packet = seal(bravo.id());
    assert!(outcome(&mut bravo, at(0), &packet).is_ok());
    let mut ring = ring();
    ring.remove(&key(2)).unwrap();
    bravo.keyring_changed(&ring);
    let packet = seal(bravo.id());
    assert_eq!(bravo.open(at(0), &ring, &packet), Err(DropReason::KeyUnknown(key(2).id())));
    assert!(bravo.ciphers.get(&key(2), alpha.id()).is_none());
}

#[test]
fn a_session_id_travels_in_a_field_that_may_grow() {
    let id = SessionId([7; 16]);
    assert_eq!(SessionId::from_field(&id.to_field()), Some(id));
    assert_eq!(SessionId::from_field(&[&id.to_field()[..], &[1]].concat()), Some(id));
    assert_eq!(SessionId::from_field(&id.to_field()[..16]), None);
    assert_eq!(SessionId::from_field(&[2; 17]), None);
    assert_eq!(SessionId::from_field(&[]), None);
    assert_eq!(id.to_string(), "07070707");
}

/// An exchange between two rings, both directions, in pieces.
fn exchange(opener_key: &Key, acceptor_ring: &Keyring, label: &[u8], plain: &[u8]) -> Result<(), DropReason> {
    let mut alpha = Sessions::new(node("alpha"), label, entropy(1));
    let mut bravo = Sessions::new(node("bravo"), label, entropy(2));
    let opening = alpha.open_stream(opener_key);
    let (opener_head, rest) = StreamHead::parse(opening.head().as_bytes()).unwrap().unwrap();
    assert!(rest.is_empty());
    let (acceptor_head, accepted) = bravo.accept_stream(acceptor_ring, &opener_head);
    let opened = opening.accepted(&acceptor_head);
    let (mut at_alpha, mut at_bravo) = match (opened, accepted) {
        (Ok(at_alpha), Ok(at_bravo)) => (at_alpha, at_bravo),
        (Err(refused), Err(DropReason::KeyUnknown(unknown))) => {
            assert_eq!(unknown, opener_key.id());
            return Err(refused);
        }
        other => panic!("{other:?}"),
    };
    transfer(&at_alpha.seal(plain)?, &mut at_bravo, plain);
    transfer(&at_bravo.seal(plain)?, &mut at_alpha, plain);
    Ok(())
}

fn transfer(frames: &[u8], to: &mut Exchange, plain: &[u8]) {
    let mut pieces = frames.chunks(50_000).peekable();
    while let Some(piece) = pieces.next() {
        assert_eq!(to.end(), Err(DropReason::Truncated));
        let wanted = pieces.peek().is_none().then(|| plain.to_vec());
        assert_eq!(to.push(piece), Ok(wanted));
    }
    assert_eq!(to.end(), Ok(()));
    assert_eq!(to.push(&[]), Ok(None));
    assert_eq!(to.push(&[0]), Err(DropReason::AfterLast));
}

#[test]
fn a_stream_carries_what_it_is_given_each_way() {
    for (len, result) in [
        (0, Err(DropReason::FrameSize)),
        (1, Ok(())),
        (65_536, Ok(())),
        (65_537, Ok(())),
        (stream::MAX_PLAIN + 1, Err(DropReason::FrameSize)),
    ] {
        assert_eq!(exchange(&key(1), &ring(), b"blue", &vec![7; len]), result, "{len}");
    }
}

#[test]
fn an_acceptor_without_the_key_names_its_own() {
    assert_eq!(exchange(&key(3), &ring(), b"", b"x"), Err(DropReason::KeyRefused(key(1).id())));
    assert_eq!(exchange(&key(2), &ring(), b"", b"x"), Ok(()));
}

#[test]
fn a_head_is_known_by_its_first_byte_and_length() {
    assert_eq!(StreamHead::parse(b"\x0a"), Err(DropReason::Form));
    assert_eq!(StreamHead::parse(&[]), Ok(None));
    assert_eq!(StreamHead::parse(&[0xe3; 20]), Ok(None));
    assert!(StreamHead::parse(&[0xe3; 22]).unwrap().is_some_and(|(_, rest)| rest == [0xe3]));
}

#[test]
fn keys_that_share_an_identifier_are_told_apart_by_the_tag() {
    // No two such keys are known, so the reader gets its candidates directly.
    let [wrong, right] = [[1; 32], [2; 32]].map(|key| stream::StreamKey::new(&key));
    let frames = right.seal(b"", &vec![7; 70_000]).unwrap();
    let mut reader = stream::FrameReader::new(vec![wrong, right], b"");
    assert_eq!(reader.push(&frames), Ok(Some(vec![7; 70_000])));
}

proptest! {
    #[test]
    fn packets_are_opened_by_their_receiver_once_and_only_whole(
        plain in vec(any::<u8>(), 1..200), random: u32, bit: prop::sample::Index,
    ) {
        let (mut alpha, mut bravo) = (sessions(1), sessions(2));
        let mut packet = Vec::new();
        alpha.seal(at(5), &key(2), bravo.id(), random, &plain, &mut packet);
        prop_assert_eq!(packet.len(), plain.len() + OVERHEAD);
        let mut flipped = packet.clone();
        let bit = bit.index(8 * packet.len());
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(outcome(&mut bravo, at(5), &flipped).is_err());
        prop_assert_eq!(outcome(&mut bravo, at(5), &packet), Ok(plain));
        prop_assert_eq!(outcome(&mut bravo, at(5), &packet), Err(DropReason::Replayed));
    }

    #[test]
    fn any_bytes_are_dropped(form in 0xe0u8..=0xe3, known: bool, bytes in vec(any::<u8>(), 0..200)) {
        let mut packet = [&[form][..], &bytes].concat();
        if let (true, Some(id)) = (known, packet.get_mut(1..5)) {
            id.copy_from_slice(&key(1).id().0);
        }
        let mut bravo = sessions(2);
        prop_assert!(outcome(&mut bravo, at(0), &packet).is_err());
        prop_assert_eq!(bravo.senders(), 0);
        let mut reader = stream::FrameReader::new(vec![stream::StreamKey::new(&[7; 32])], b"");
        prop_assert!(!matches!(reader.push(&bytes), Ok(Some(_))));
    }
}
