//! Packets: checksum, compression, compound, and the bodies of messages.

use bytes::Bytes;
use weir::endpoint::Drop;
use weir::swim;
use weir::wire::message::{Ack, IndirectPing, MAX_META_BYTES, Message, Ping, SeqNo, Source};
use weir::wire::msgpack::Writer;
use weir::wire::{compound, crc, lzw, packet};

use super::victim::{Victim, alive, attacker, friend, name, ping};

const COMPOUND: u8 = 7;
const COMPRESS: u8 = 9;

/// A compressed message of these compressed bytes.
pub(crate) fn compressed(algorithm: u8, bytes: &[u8]) -> Vec<u8> {
    let mut w = Writer::message(COMPRESS);
    w.map_header(2).str("Algo").uint(algorithm).str("Buf").bin(bytes);
    w.into_vec()
}

/// What decompresses to `plain`.
pub(crate) fn deflated(plain: &[u8]) -> Vec<u8> {
    compressed(0, &lzw::encode(plain))
}

fn bytes(parts: &[&[u8]]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

/// Each of these is a malformed message, alone in its packet.
pub(crate) fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let long_map = [&[0, 0xdf, 0xff, 0xff, 0xff, 0xff][..], &[0xa1, b'x', 0xc0].repeat(10)].concat();
    let deep = [&[0, 0x81, 0xa1, b'x'][..], &[0x91; 20], &[0xc0]].concat();
    let odd_addr = {
        let mut w = Writer::message(0);
        w.map_header(2).str("SeqNo").uint(1_u8).str("SourceAddr").bin(&[127, 0, 0, 1, 9]);
        w.into_vec()
    };
    let long_name = {
        let mut w = Writer::message(0);
        w.map_header(1).str("Node").str(&"n".repeat(513));
        w.into_vec()
    };
    let nameless = |kind| {
        let mut w = Writer::message(kind);
        w.map_header(2).str("Incarnation").uint(1_u8).str("From").str("x");
        w.into_vec()
    };
    vec![
        ("nothing", vec![]),
        ("a checksum of nothing", vec![12]),
        ("a wrong checksum", [&[12, 0, 0, 0, 0], &ping(1)[..]].concat()),
        ("a type alone", vec![4]),
        ("no type that exists", vec![14, 0x80]),
        ("a type of streams", vec![6, 0x80]),
        ("no map", vec![0, 0xc1]),
        ("a map that promises more", vec![0, 0x8f]),
        ("a map that promises four billion", long_map),
        ("a string that promises four billion", vec![0, 0x81, 0xdb, 0xff, 0xff, 0xff, 0xff]),
        ("a value nested too deeply", deep),
        ("a negative number", vec![0, 0x81, 0xa5, b'S', b'e', b'q', b'N', b'o', 0xff]),
        ("an address of five bytes", odd_addr),
        ("a name of 513 bytes", long_name),
        ("a suspect message about nobody", nameless(3)),
        ("a dead message about nobody", nameless(5)),
        ("an indirect ping for nobody", vec![1, 0x80]),
        ("a compound without its count", vec![COMPOUND]),
        ("a compound whose lengths are cut off", vec![COMPOUND, 2, 0, 1]),
        // In 8 bits the table of these would be empty, or of two bytes.
        ("a compound of 128 that holds none", vec![COMPOUND, 128, 0, 1]),
        ("a compound of 129 that holds one", [&[COMPOUND, 129, 0, 3][..], &ping(1)].concat()),
        ("compressed, without a body", vec![COMPRESS]),
        ("compressed, with an unknown algorithm", compressed(1, &lzw::encode(&ping(1)))),
        ("compressed, broken", compressed(0, &[0xff; 40])),
        ("compressed, without an end", compressed(0, &lzw::encode(&ping(1))[..4])),
        ("compressed, to nothing", deflated(b"")),
        ("compressed twice", deflated(&deflated(&ping(1)))),
    ]
}

#[test]
fn a_malformed_packet_costs_one_count_and_nothing_else() {
    for mut victim in Victim::both() {
        for (what, packet) in malformed() {
            // Sealed, an empty packet is another case.
            if packet.is_empty() && victim.endpoint.keyring().is_some() {
                continue;
            }
            let before = victim.drops(Drop::Malformed);
            victim.packet(&packet);
            assert_eq!(victim.drops(Drop::Malformed), before + 1, "{what}");
            assert!(victim.sent.is_empty(), "{what} is not answered");
        }
        victim.assert_unharmed();
    }
}

#[test]
fn empty_and_broken_parts_of_a_compound_are_dropped_one_by_one() {
    for mut victim in Victim::both() {
        let mut parts: Vec<Vec<u8>> = malformed().into_iter().map(|(_, packet)| packet).collect();
        // A checksum inside, and a compound inside, are no message there; one that decompresses is one too many.
        parts.retain(|part| part.first() != Some(&COMPRESS));
        let bad = parts.len() as u64;
        parts.insert(3, ping(77).to_vec());
        parts.push(ping(78).to_vec());
        let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
        victim.packet(&compound::encode(&parts));
        assert_eq!(victim.drops(Drop::Malformed), bad);
        assert_eq!(victim.acked(), [77, 78]);
        victim.assert_unharmed();
    }
}

#[test]
fn a_compound_of_255_is_read_whole() {
    let mut victim = Victim::plain();
    let suspects = (0..255).map(|i| Message::Alive(alive(&format!("m{i}"), friend(), 1)).encode());
    victim.packet(&compound::encode(&suspects.collect::<Vec<_>>()));
    assert_eq!(victim.endpoint.swim().len(), 2 + 255);
    assert_eq!(victim.drops(Drop::Malformed), 0);
}

#[test]
fn a_bomb_in_a_packet_is_not_inflated() {
    for mut victim in Victim::both() {
        // 256 KiB are allowed, and one more is not; LZW packs a megabyte of zeros into 2 KiB.
        for (what, bomb) in [
            ("one byte too many", deflated(&vec![COMPOUND; (256 << 10) + 1])),
            ("a megabyte", deflated(&vec![0; 1 << 20])),
            ("40 megabytes", deflated(&vec![0; 40 << 20])),
        ] {
            assert!(bomb.len() < 100_000, "{what}: {}", bomb.len());
            let before = victim.drops(Drop::Malformed);
            victim.packet(&bomb);
            assert_eq!(victim.drops(Drop::Malformed), before + 1, "{what}");
        }
        victim.assert_unharmed();
    }
}

#[test]
fn bombs_side_by_side_or_inside_each_other_inflate_once_in_a_packet() {
    let innocent = deflated(&compound::encode(&bytes(&[&ping(1)])));
    let bomb = deflated(&vec![0; 200 << 10]);
    for mut victim in Victim::both() {
        // Each alone would be allowed.
        let side_by_side = vec![Bytes::from(bomb.clone()); 60];
        victim.packet(&compound::encode(&side_by_side));
        assert_eq!(victim.drops(Drop::Malformed), 60);

        let nested = (0..4).fold(bomb.clone(), |inner, _| deflated(&inner));
        victim.packet(&nested);
        assert_eq!(victim.drops(Drop::Malformed), 61);

        let alternating = deflated(&compound::encode(&bytes(&[&deflated(&compound::encode(&bytes(&[&innocent])))])));
        victim.packet(&alternating);
        assert_eq!(victim.drops(Drop::Malformed), 62);
        assert!(victim.sent.is_empty());
        victim.assert_unharmed();
    }
}

#[test]
fn a_body_of_more_than_64_kib_is_refused() {
    let mut victim = Victim::plain();
    let mut large = ping(1).to_vec();
    large.resize(66_000, 0);
    victim.packet(&deflated(&large));
    assert_eq!((victim.drops(Drop::Malformed), victim.sent.len()), (1, 0));
}

#[test]
fn metadata_is_taken_up_to_4_kib_and_what_is_too_long_to_gossip_stays_here() {
    for (len, known) in [(512, true), (MAX_META_BYTES, true), (MAX_META_BYTES + 1, false)] {
        let mut victim = Victim::plain();
        let mut large = alive("large", friend(), 1);
        large.meta = vec![0; len].into();
        victim.message(&Message::Alive(large));
        assert_eq!(victim.knows("large"), known, "{len}");
        assert_eq!(victim.drops(Drop::Malformed), u64::from(!known), "{len}");
    }
}

#[test]
fn a_forged_ack_or_nack_is_counted_and_changes_nothing() {
    for mut victim in Victim::both() {
        let before = *victim.endpoint.swim().stats();
        for seq_no in (0..1000).map(SeqNo::new) {
            victim.message(&Message::Ack(Ack { seq_no, payload: Bytes::new(), weir: None }));
            victim.message(&Message::Nack(seq_no));
        }
        assert_eq!(victim.swim_drops(swim::Drop::UnknownAck), 1000);
        assert_eq!(victim.endpoint.swim().stats().probes_acked, before.probes_acked);
        victim.assert_unharmed();
    }
}

#[test]
fn a_ping_makes_nobody_but_its_sender_hear_from_us() {
    let victim_of_reflection = "192.0.2.1:53".parse().unwrap();
    let reflecting = |who: &str, addr| {
        let source = Source { addr: Some(addr), node: Some(name(who)) };
        Message::Ping(Ping { seq_no: SeqNo::new(9), node: None, source, weir: None })
    };
    // who the ping says it is from, and where the answer goes
    for (who, named, to) in [
        ("x", victim_of_reflection, attacker()),
        // Another port of the same host is where it says it listens.
        ("x", (attacker().ip(), 7946).into(), (attacker().ip(), 7946).into()),
        // A member is answered at its address whatever a router made of the source.
        ("friend", friend(), friend()),
        ("friend", victim_of_reflection, attacker()),
        ("x", friend(), attacker()),
    ] {
        let mut victim = Victim::plain();
        victim.message(&reflecting(who, named));
        assert_eq!(victim.sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [to], "{who} {named}");
        victim.pass(std::time::Duration::from_secs(2));
        assert!(victim.dialled.iter().all(|to| to.ip() == attacker().ip()), "{:?}", victim.dialled);
    }
    let mut keyed = Victim::sealed();
    keyed.message(&reflecting("x", victim_of_reflection));
    assert_eq!(keyed.sent[0].0, victim_of_reflection, "a key holder is believed, as by real agents");
}

#[test]
fn a_ping_for_another_member_is_not_answered() {
    for mut victim in Victim::both() {
        let source = Source { addr: None, node: None };
        victim.message(&Message::Ping(Ping { seq_no: SeqNo::new(1), node: Some(name("other")), source, weir: None }));
        assert!(victim.sent.is_empty());
        assert_eq!(victim.swim_drops(swim::Drop::NotForUs), 1);
    }
}

fn indirect(seq_no: u32, who: &str, target: std::net::SocketAddr) -> Message {
    let source = Source { addr: None, node: None };
    Message::IndirectPing(IndirectPing { seq_no: SeqNo::new(seq_no), target, node: name(who), nack: false, source })
}

#[test]
fn an_indirect_ping_reaches_members_only_unless_a_key_holder_asks() {
    for (who, target) in [("x", "192.0.2.1:53".parse().unwrap()), ("friend", attacker()), ("x", friend())] {
        let mut victim = Victim::plain();
        victim.message(&indirect(1, who, target));
        assert!(victim.sent.is_empty(), "{who} {target}");
        assert_eq!(victim.swim_drops(swim::Drop::Relay), 1);
    }
    let mut victim = Victim::plain();
    victim.friend_answers = false;
    victim.message(&indirect(1, "friend", friend()));
    assert_eq!(victim.sent.len(), 1);
}

#[test]
fn indirect_pings_under_way_have_a_ceiling() {
    for mut victim in Victim::both() {
        victim.friend_answers = false;
        for seq_no in 0..3000 {
            victim.message(&indirect(seq_no, "friend", friend()));
        }
        assert_eq!(victim.swim_drops(swim::Drop::Relay), 3000 - 1024);
        victim.assert_unharmed();
        victim.pass(std::time::Duration::from_secs(1));
        victim.message(&indirect(1, "friend", friend()));
        assert_eq!(victim.swim_drops(swim::Drop::Relay), 3000 - 1024, "and room again when they are over");
    }
}

#[test]
fn one_packet_of_pings_is_answered_by_a_few_packets() {
    for mut victim in Victim::both() {
        let pings: Vec<_> = (0..255).map(ping).collect();
        let inner = deflated(&compound::encode(&pings));
        let mut parts: Vec<Bytes> = pings[1..].to_vec();
        parts.push(inner.into());
        victim.packet(&compound::encode(&parts));
        assert!((1..=4).contains(&victim.sent.len()), "one datagram is answered by {}", victim.sent.len());
        assert_eq!(victim.drops(Drop::PingLimit), 255 + 254 - victim.sent.len() as u64);
        victim.assert_unharmed();
    }
}

#[test]
fn a_checksum_guards_a_whole_packet_and_nothing_inside() {
    let mut victim = Victim::plain();
    let mut guarded = crc::prepend(&packet::encode(&[ping(1)], false, false));
    victim.packet(&guarded);
    assert_eq!(victim.acked(), [1]);
    let last = guarded.len() - 1;
    guarded[last] ^= 1;
    victim.packet(&guarded);
    assert_eq!(victim.drops(Drop::Malformed), 1);
    victim.packet(&compound::encode(&[crc::prepend(&ping(2)).into()]));
    assert_eq!((victim.drops(Drop::Malformed), victim.acked()), (2, vec![1]));
}
