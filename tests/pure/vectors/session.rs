//! The session envelope against an independent implementation.

use std::collections::VecDeque;

use aes_gcm::aead::KeyInit;
use hkdf::Hkdf;
use serde_json::Value;
use sha2::{Digest, Sha256};
use weir::crypto::envelope::{self, Version};
use weir::crypto::session::packet::{self, Form, Header};
use weir::crypto::session::stream::{Exchange, FrameReader, StreamHead, StreamKey};
use weir::crypto::session::{Content, DropReason, Entropy, SessionId, Sessions};
use weir::crypto::{Key, Keyring};
use weir::time::Instant;
use weir::wire::message::Message;

use super::support::{cases, hex, hex_of, load, name, number, text};

const FILE: &str = "session.json";

fn id(case: &Value, field: &str) -> SessionId {
    SessionId(hex_of(case, field).try_into().unwrap())
}

fn key(case: &Value) -> Key {
    Key::new(&hex_of(case, "key")).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The operating system's generator gives these, in this order.
fn entropy(draws: impl IntoIterator<Item = Vec<u8>>) -> Entropy {
    let mut draws: VecDeque<Vec<u8>> = draws.into_iter().collect();
    // What is drawn beyond them differs from draw to draw.
    let mut beyond = 0xff;
    Box::new(move |out| match draws.pop_front() {
        Some(draw) => out.copy_from_slice(&draw),
        None => {
            out.fill(beyond);
            beyond -= 1;
        }
    })
}

#[test]
fn hkdf_gives_the_known_answers() {
    for case in cases(&load(FILE), "hkdf_sha256") {
        let (prk, expander) = Hkdf::<Sha256>::extract(Some(&hex_of(case, "salt")), &hex_of(case, "ikm"));
        assert_eq!(prk[..], hex_of(case, "prk"), "{}", case["name"]);
        let mut okm = vec![0; number(case, "length")];
        expander.expand(&hex_of(case, "info"), &mut okm).unwrap();
        assert_eq!(okm, hex_of(case, "okm"), "{}", case["name"]);
    }
}

#[test]
fn aes_gcm_gives_the_known_answers() {
    for case in cases(&load(FILE), "aes_gcm") {
        let (aad, nonce) = (hex_of(case, "aad"), <[u8; 12]>::try_from(hex_of(case, "nonce")).unwrap());
        let mut sealed = Vec::new();
        envelope::seal(&key(case), Version::V1, nonce, &[&aad], &hex_of(case, "plain"), &mut sealed);
        let wanted = [&[1], &nonce[..], &hex_of(case, "cipher"), &hex_of(case, "tag")].concat();
        assert_eq!(sealed, wanted, "{}", case["name"]);
        match envelope::open(&[key(case)], &aad, &wanted) {
            Ok(opened) => assert_eq!(opened.plain, hex_of(case, "plain")),
            Err(error) => assert_eq!((error, text(case, "plain")), (envelope::OpenError::Empty, "")),
        }
    }
}

#[test]
fn every_key_derives_as_documented() {
    for case in cases(&load(FILE), "derive") {
        let (prk, expander) = Hkdf::<Sha256>::extract(Some(b"weir session v1"), &hex_of(case, "key"));
        assert_eq!(prk[..], hex_of(case, "prk"));
        assert_eq!(key(case).id().to_string(), text(case, "key_id"));
        let mut packet_key = [0; 32];
        expander.expand_multi_info(&[b"packet", &hex_of(case, "session")], &mut packet_key).unwrap();
        assert_eq!(packet_key[..], hex_of(case, "packet_key"));
        assert!(aes_gcm::Aes256Gcm::new_from_slice(&packet_key).is_ok());
    }
}

fn form(case: &Value) -> Form {
    if text(case, "name").starts_with("hello") { Form::Hello } else { Form::Packet }
}

#[test]
fn every_packet_holds_both_ways() {
    for case in cases(&load(FILE), "packets") {
        let (key, label) = (key(case), hex_of(case, "label"));
        let header = Header {
            form: form(case),
            key: key.id(),
            sender: id(case, "session"),
            stir: number(case, "stir"),
            counter: number(case, "counter"),
        };
        let (plain, datagram) = (hex_of(case, "plain"), hex_of(case, "datagram"));
        let mut sealed = Vec::new();
        packet::seal(&key, &header, id(case, "receiver"), &label, &plain, &mut sealed);
        assert_eq!(sealed, datagram, "{}", case["name"]);

        let ours = if header.form == Form::Hello { vec![7; 16] } else { hex_of(case, "receiver") };
        let mut receiver = Sessions::new(name("bravo"), &label, entropy([ours]));
        let received = receiver.open(Instant::ZERO, &Keyring::new(key.clone(), []), &datagram).unwrap();
        assert_eq!((received.key, received.sender), (header.key, header.sender));
        match received.content {
            Content::Packet(read) => assert_eq!(read, plain),
            Content::Hello(ping) => assert_eq!(Message::Ping(*ping).encode(), plain),
        }
        if header.counter < 2 && header.form == Form::Packet {
            assert_sealed_alike(case, &key, &header, &plain, &datagram);
        }
    }
}

/// A sender that counts by itself gives the same bytes; its clock stands still, so that the stir is the random number.
fn assert_sealed_alike(case: &Value, key: &Key, header: &Header, plain: &[u8], datagram: &[u8]) {
    let mut sender = Sessions::new(name("alpha"), &hex_of(case, "label"), entropy([hex_of(case, "session")]));
    let mut out = Vec::new();
    for _ in 0..=header.counter {
        out.clear();
        sender.seal(Instant::ZERO, key, id(case, "receiver"), header.stir, plain, &mut out);
    }
    assert_eq!(out, datagram);
}

#[test]
fn every_sequence_ends_as_documented() {
    for sequence in cases(&load(FILE), "sequences") {
        let mut keys = cases(sequence, "keys").iter().map(|key| Key::new(&hex(key.as_str().unwrap())).unwrap());
        let ring = Keyring::new(keys.next().unwrap(), keys);
        let previous = sequence["previous"].as_str().map(hex);
        let in_grace = previous.is_some();
        let draws = previous.into_iter().chain([hex_of(sequence, "current")]);
        let (node, label) = (name(text(sequence, "node")), hex_of(sequence, "label"));
        let mut receiver = Sessions::with_limit(node, &label, entropy(draws), number(sequence, "table_max"));
        if in_grace {
            (0..3).for_each(|_| receiver.handle_probe_undecipherable(Instant::ZERO));
        }
        assert_eq!(receiver.id(), id(sequence, "current"));
        for step in cases(sequence, "steps") {
            let outcome = receiver.open(Instant::ZERO, &ring, &hex_of(step, "datagram"));
            let context = format!("{}: {}", sequence["name"], step["what"]);
            match outcome {
                Ok(received) => {
                    assert_eq!(text(step, "result"), "ok", "{context}");
                    let plain = match received.content {
                        Content::Packet(plain) => plain,
                        Content::Hello(ping) => Message::Ping(*ping).encode().to_vec(),
                    };
                    assert_eq!(plain, hex_of(step, "plain"), "{context}");
                }
                Err(reason) => {
                    assert_eq!(text(step, "result"), reason.name(), "{context}");
                    assert!(step["plain"].is_null());
                }
            }
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (7 * i + (i >> 8)) as u8).collect()
}

fn assert_bytes(case: &Value, field: &str, bytes: &[u8]) {
    assert_eq!(sha256(bytes), text(case, &format!("{field}_sha256")), "{}: {field}", case["name"]);
    if case.get(field).is_some() {
        assert_eq!(bytes, hex_of(case, field), "{}: {field}", case["name"]);
    }
}

#[test]
fn every_stream_holds_both_ways() {
    let streams = load(FILE)["streams"].take();
    for case in cases(&streams, "cases") {
        let (key, label) = (key(case), hex_of(case, "label"));
        let heads = ["opener_head", "acceptor_head"].map(|head| hex_of(case, head));
        let plain = pattern(number(case, "plain_length"));
        assert_bytes(case, "plain", &plain);

        let session = |head: &[u8]| Sessions::new(name("alpha"), &label, entropy([vec![7; 16], head[5..].to_vec()]));
        let opening = session(&heads[0]).open_stream(&key);
        assert_eq!(opening.head().as_bytes()[..], heads[0]);
        let (acceptor_head, accepted) = session(&heads[1]).accept_stream(&Keyring::new(key, []), opening.head());
        assert_eq!(acceptor_head.as_bytes()[..], heads[1]);
        let (parsed, _) = StreamHead::parse(&heads[1]).unwrap().unwrap();
        let mut acceptor = accepted.unwrap();
        let mut opener = opening.accepted(&parsed).unwrap();

        assert_direction(case, "opener", &opener, &mut acceptor, &label, &plain);
        assert_direction(case, "acceptor", &acceptor, &mut opener, &label, &plain);
    }
}

fn assert_direction(case: &Value, side: &str, from: &Exchange, to: &mut Exchange, label: &[u8], plain: &[u8]) {
    let frames = from.seal(plain).unwrap();
    assert_bytes(case, &format!("{side}_frames"), &frames);
    let derived = StreamKey::new(&hex_of(case, &format!("{side}_key")).try_into().unwrap());
    assert_eq!(derived.seal(label, plain).unwrap(), frames);
    assert_eq!(to.push(&frames), Ok(Some(plain.to_vec())));
    assert_eq!(to.end(), Ok(()));
}

/// The frames of a case; those too long to be listed are made as it says.
fn frames(case: &Value, stream_key: &StreamKey) -> Vec<u8> {
    let Some(made) = case.get("made") else { return hex_of(case, "frames") };
    let (how, parts) = made.as_str().unwrap().split_once(": ").unwrap();
    assert_eq!(how, "65536 zero bytes and 'tail' sealed as two frames");
    let plain = [&[0; 65_536][..], b"tail"].concat();
    let both = stream_key.seal(b"", &plain).unwrap();
    let (first, second) = both.split_at(4 + 65_536 + 16);
    match parts {
        "both" => [first, second].concat(),
        "first" => first.to_vec(),
        "second" => second.to_vec(),
        "swap" => [second, first].concat(),
        "twice" => [first, first, second].concat(),
        other => panic!("no frames for {other}"),
    }
}

#[test]
fn every_damaged_stream_fails_as_documented() {
    let streams = load(FILE)["streams"].take();
    for case in cases(&streams, "must_fail") {
        let stream_key = || StreamKey::new(&hex_of(case, "frame_key").try_into().unwrap());
        let frames = frames(case, &stream_key());
        if let Some(sum) = case.get("frames_sha256") {
            assert_eq!(sha256(&frames), sum.as_str().unwrap(), "{}", case["name"]);
        }
        // In one piece, and byte by byte: what was complete before the damage is of no use either way.
        for piece in [frames.len().max(1), 1] {
            let mut reader = FrameReader::new(vec![stream_key()], &hex_of(case, "label"));
            let outcome = frames.chunks(piece).try_for_each(|piece| reader.push(piece).map(drop));
            let result = outcome.and_then(|()| reader.end()).map_or_else(DropReason::name, |()| "ok");
            assert_eq!(result, text(case, "result"), "{}", case["name"]);
        }
    }
}
