//! Labels, encryption and sessions: what is thrown away before anything is decoded.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::crypto::envelope::{self, Version};
use weir::crypto::{Key, Keyring, MAX_FRAME};
use weir::endpoint::{Drop, Endpoint, JoinKind, JoinTarget, Knowledge, Options, Output, Restored, Seal};

use super::victim::{START, Victim, attacker, key, name, ping, sealed_padded, sealed_padded_frame};

/// The 16 bytes that version 0 needs at least, ending in `pad`.
fn block(pad: u8) -> Vec<u8> {
    let mut block = ping(1).to_vec();
    block.resize(16, pad);
    block
}

#[test]
fn an_encrypted_packet_with_nothing_in_it_kills_nobody() {
    let mut victim = Victim::sealed();
    let mut sealed = Vec::new();
    envelope::seal(&key(), Version::V1, [0; 12], &[b""], b"", &mut sealed);
    victim.datagram(&sealed);
    assert_eq!(victim.drops(Drop::EmptyPlaintext), 1);
    victim.datagram(&sealed_padded(&[16; 16]));
    assert_eq!(victim.drops(Drop::EmptyPlaintext), 2, "nothing but padding is nothing");
    victim.assert_unharmed();
}

#[test]
fn an_encrypted_stream_with_nothing_in_it_kills_nobody() {
    let mut victim = Victim::sealed();
    for frame in [envelope::seal_frame(&key(), Version::V1, [0; 12], b"", b""), sealed_padded_frame(&[16; 16])] {
        let stream = victim.open_stream();
        victim.stream_bytes(stream, &frame);
        assert!(victim.closed.contains(&stream));
        victim.end_stream(stream);
    }
    assert_eq!(victim.drops(Drop::EmptyPlaintext), 2);
    victim.assert_unharmed();

    let mut victim = Victim::sealed();
    let failure = victim.join_answered(&envelope::seal_frame(&key(), Version::V1, [0; 12], b"", b""));
    assert!(failure.is_some());
    assert_eq!(victim.drops(Drop::EmptyPlaintext), 1, "an empty answer is no better than an empty request");
    victim.assert_unharmed();
}

#[test]
fn version_0_padding_that_is_longer_than_the_text_or_none_is_refused() {
    for pad in [0, 17, 18, 64, 255] {
        let mut victim = Victim::sealed();
        victim.datagram(&sealed_padded(&block(pad)));
        assert_eq!(victim.drops(Drop::Envelope), 1, "{pad}");
        let stream = victim.open_stream();
        victim.stream_bytes(stream, &sealed_padded_frame(&block(pad)));
        victim.end_stream(stream);
        assert_eq!(victim.drops(Drop::Envelope), 2, "{pad}");
        victim.assert_unharmed();
    }
    let mut victim = Victim::sealed();
    let mut good = ping(1).to_vec();
    let pad = 16 - good.len() % 16;
    good.resize(good.len() + pad, pad as u8);
    victim.datagram(&sealed_padded(&good));
    assert_eq!((victim.drops(Drop::Envelope), victim.sent.len()), (0, 1), "good padding is read");
}

#[test]
fn envelopes_that_are_cut_short_or_of_no_known_version_are_refused() {
    let mut victim = Victim::sealed();
    let mut sealed = Vec::new();
    envelope::seal(&key(), Version::V1, [0; 12], &[b""], &ping(1), &mut sealed);
    let mut expected = 0;
    for len in [0, 1, 12, 13, 28] {
        victim.datagram(&sealed[..len]);
        expected += 1;
        assert_eq!(victim.drops(Drop::Envelope), expected, "{len} bytes");
    }
    for version in [2, 3, 244 - 1, 255] {
        victim.datagram(&[&[version], &sealed[1..]].concat());
        expected += 1;
        assert_eq!(victim.drops(Drop::Envelope), expected, "version {version}");
    }
    victim.datagram(&sealed[..sealed.len() - 1]);
    assert_eq!(victim.drops(Drop::NotOpened), 1);
    victim.assert_unharmed();
}

#[test]
fn a_huge_frame_is_refused_at_its_header_and_a_large_one_is_not_believed() {
    let mut victim = Victim::sealed();
    for len in [MAX_FRAME as u32 + 1, u32::MAX, 1 << 31] {
        let before = victim.drops(Drop::Envelope);
        let stream = victim.open_stream();
        victim.stream_bytes(stream, &[&[10], &len.to_be_bytes()[..]].concat());
        assert_eq!(victim.drops(Drop::Envelope), before + 1, "{len}");
        victim.end_stream(stream);
    }
    let stream = victim.open_stream();
    victim.stream_bytes(stream, &[&[10], &(MAX_FRAME as u32).to_be_bytes()[..]].concat());
    victim.end_stream(stream);
    assert_eq!(victim.drops(Drop::StreamTruncated), 1);
    victim.assert_unharmed();
}

#[test]
fn with_a_key_nothing_in_plain_text_has_an_effect() {
    let mut victim = Victim::sealed();
    let alive = weir::wire::message::Message::Alive(super::victim::alive("x", attacker(), 1));
    victim.datagram(&alive.encode());
    assert!(!victim.knows("x"));
    assert_eq!(victim.drops(Drop::Envelope), 1, "its type is taken for a version");
    let stream = victim.open_stream();
    victim.stream_bytes(stream, &[6, 0x83]);
    victim.end_stream(stream);
    assert_eq!(victim.drops(Drop::Plaintext), 1);
    victim.assert_unharmed();
}

#[test]
fn without_a_key_nothing_sealed_has_an_effect() {
    let mut victim = Victim::plain();
    let ring = Keyring::new(key(), []);
    victim.datagram(&ring.seal_packet([1; 12], b"", &ping(1)));
    assert_eq!(victim.drops(Drop::Malformed), 1);
    let stream = victim.open_stream();
    victim.stream_bytes(stream, &ring.seal_frame(key().id(), [1; 12], b"", &ping(1)));
    victim.end_stream(stream);
    assert_eq!(victim.drops(Drop::Encrypted), 1);
    victim.assert_unharmed();
}

#[test]
fn labels_of_others_broken_and_missing_ones_are_refused_everywhere() {
    let headers: [&[u8]; 6] =
        [b"", b"\xf4", b"\xf4\x00", b"\xf4\x04blu", b"\xf4\x05green", b"\xf4\x04blue\xf4\x04blue"];
    for header in headers {
        let mut victim = Victim::new(None, |options| options.label = "blue".into());
        // The friend of every victim was announced without the label.
        let before = victim.drops(Drop::Label);
        victim.datagram(&[header, &ping(1)].concat());
        if header.len() < 10 {
            assert_eq!(victim.drops(Drop::Label), before + 1, "{header:?}");
        } else {
            assert_eq!(victim.drops(Drop::Malformed), 1, "{header:?}");
        }
        assert!(victim.sent.is_empty(), "{header:?}");
        let stream = victim.open_stream();
        victim.stream_bytes(stream, &[header, &ping(1)].concat());
        victim.end_stream(stream);
        victim.pass(Duration::from_secs(11));
        assert_eq!(victim.endpoint.open_streams(), 0, "{header:?}");
        let refused =
            [Drop::Label, Drop::NotGossip, Drop::Malformed, Drop::StreamTruncated].map(|reason| victim.drops(reason));
        assert!(refused.iter().sum::<u64>() > before + 1, "{header:?} {refused:?}");
    }
    let mut victim = Victim::plain();
    victim.datagram(&[b"\xf4\x04blue", &ping(1)[..]].concat());
    assert_eq!(victim.drops(Drop::Label), 1, "nor does one without a label take a labelled packet");
}

#[test]
fn a_packet_under_a_strangers_key_costs_nothing_but_a_count() {
    let mut victim = Victim::sealed();
    let other = Keyring::new(Key::new(&[8; 16]).unwrap(), []);
    for _ in 0..10_000 {
        victim.datagram(&other.seal_packet([1; 12], b"", &ping(1)));
    }
    assert_eq!(victim.drops(Drop::NotOpened), 10_000);
    assert!(victim.sent.is_empty());
    victim.assert_unharmed();
}

/// Two endpoints that speak sessions, and what went from one to the other.
struct Pair {
    ends: [Endpoint; 2],
    recorded: Vec<(usize, Vec<u8>)>,
}

const ADDRS: [([u8; 4], u16); 2] = [([127, 0, 0, 1], 7946), ([127, 0, 0, 2], 7946)];

impl Pair {
    fn joined() -> Self {
        let end = |at: usize| {
            let mut options = Options::new(name(["a", "b"][at]), SocketAddr::from(ADDRS[at]));
            options.seal = Seal::Session;
            let entropy = Box::new(move |bytes: &mut [u8]| bytes.fill(at as u8 + 1));
            let ring = Some(Keyring::new(key(), []));
            Endpoint::new(options, ring, Restored::default(), StdRng::seed_from_u64(at as u64), entropy, START)
        };
        let mut pair = Self { ends: [end(0), end(1)], recorded: Vec::new() };
        let target = JoinTarget { label: "b".to_owned(), addr: SocketAddr::from(ADDRS[1]) };
        pair.ends[0].join(START, JoinKind::Join { ignore_old: false }, vec![target]);
        for step in 0..200 {
            let now = START + Duration::from_millis(50 * step);
            pair.ends.iter_mut().for_each(|end| end.handle_timeout(now));
            pair.exchange(now);
        }
        assert!(matches!(pair.ends[0].envelope_of(&name("b")), Some(Knowledge::Session(_))));
        pair
    }

    /// Carries what both say until they are silent. Streams: each side's is number 1 of the other's.
    fn exchange(&mut self, now: weir::time::Instant) {
        let mut queue: VecDeque<(usize, Output)> = VecDeque::new();
        let mut streams = Vec::new();
        loop {
            for at in 0..2 {
                while let Some(output) = self.ends[at].poll_output() {
                    queue.push_back((at, output));
                }
            }
            let Some((at, output)) = queue.pop_front() else { break };
            let other = 1 - at;
            match output {
                Output::Datagram { payload, .. } => {
                    self.recorded.push((at, payload.clone()));
                    self.ends[other].handle_datagram(now, SocketAddr::from(ADDRS[at]), &payload);
                }
                Output::Connect { stream, .. } => {
                    let theirs = self.ends[other].handle_accepted(now, SocketAddr::from(ADDRS[at])).unwrap();
                    streams.push([(at, stream), (other, theirs)]);
                    self.ends[at].handle_connected(now, stream);
                }
                Output::Write { stream, data, close } => {
                    let ends = streams.iter().find(|ends| ends.contains(&(at, stream))).unwrap();
                    let peer = ends.iter().find(|(end, _)| *end == other).unwrap().1;
                    self.ends[other].handle_stream_data(now, peer, &data);
                    if close {
                        self.ends[other].handle_stream_end(now, peer, None);
                        self.ends[at].handle_stream_end(now, stream, None);
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_recorded_session_packet_has_no_effect_a_second_time_nor_on_its_sender() {
    let mut pair = Pair::joined();
    let now = START + Duration::from_secs(11);
    let last = pair.recorded.iter().rev().find(|(from, _)| *from == 0).unwrap().1.clone();
    let before: Vec<_> = [0, 1].map(|at| pair.ends[at].drops().clone()).to_vec();
    for _ in 0..100 {
        pair.ends[1].handle_datagram(now, attacker(), &last);
    }
    assert!(pair.ends[1].poll_output().is_none(), "a replay is not answered");
    assert_eq!(pair.ends[1].drops().get(Drop::Replayed), before[1].get(Drop::Replayed) + 100);
    for _ in 0..100 {
        pair.ends[0].handle_datagram(now, attacker(), &last);
    }
    assert!(pair.ends[0].poll_output().is_none(), "nor is a reflected one");
    assert_eq!(pair.ends[0].drops().get(Drop::Own), before[0].get(Drop::Own) + 100);
    const HELLO: u8 = 0xe2;
    for (from, packet) in pair.recorded.clone().into_iter().filter(|(_, packet)| packet[0] != HELLO) {
        pair.ends[1 - from].handle_datagram(now, attacker(), &packet);
    }
    assert!(pair.ends[1].poll_output().is_none(), "nor is everything that was ever sent, hellos aside");
}

#[test]
fn with_sessions_alone_memberlists_envelope_is_refused() {
    let mut victim = Victim::new(Some(Keyring::new(key(), [])), |options| options.seal = Seal::Session);
    let before = victim.drops(Drop::Form);
    victim.packet(&ping(1));
    assert_eq!((victim.drops(Drop::Form), victim.sent.len()), (before + 1, 0));
    let mut victim = Victim::new(Some(Keyring::new(key(), [])), |options| options.seal = Seal::Memberlist);
    victim.datagram(&[0xe3; 100]);
    assert_eq!(victim.drops(Drop::Form), 0, "and without sessions theirs is of no known version");
    assert_eq!(victim.drops(Drop::Envelope), 1);
}
