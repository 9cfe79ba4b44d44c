//! Packets and streams of the memberlist layer, through label, encryption, checksum, compression and compound.

use bytes::Bytes;
use serde_json::Value;
use weir::crypto::envelope::{self, Version};
use weir::crypto::{Key, KeyId, Keyring};
use weir::wire::message::{
    Ack, Alive, Dead, Incarnation, IndirectPing, Message, NodeState, Ping, PushNode, PushPull, SeqNo, Source,
    StreamMessage, Suspect, Versions,
};
use weir::wire::{compound, label, lzw, packet};

use super::support::{addr, blob, cases, flag, hex, hex_of, load, name, number, text};

pub(crate) const FILES: [&str; 5] = [
    "memberlist-packets.json",
    "memberlist-packets-encrypted.json",
    "memberlist-streams.json",
    "memberlist-streams-encrypted.json",
    "memberlist-built.json",
];

#[test]
fn every_packet_and_stream_holds_both_ways() {
    for file in FILES {
        for case in cases(&load(file), "vectors") {
            eprintln!("{file}: {}", case["name"]);
            match (text(case, "kind"), case.get("expect_error")) {
                ("packet", Some(_)) => assert_refused(case),
                ("packet", None) => assert_packet(case),
                ("stream", None) => assert_stream(case),
                other => panic!("no test for {other:?}"),
            }
        }
    }
}

fn label_of(case: &Value) -> &[u8] {
    case.get("label").map_or(b"", |label| label.as_str().unwrap().as_bytes())
}

fn keyring(case: &Value) -> Option<Keyring> {
    let mut keys =
        case.get("keys")?.as_array().unwrap().iter().map(|key| Key::new(&hex(key.as_str().unwrap())).unwrap());
    Some(Keyring::new(keys.next().unwrap(), keys))
}

/// Captured bytes and ours are canonical; peers made by hand wrote their fields in any order.
fn is_canonical(case: &Value) -> bool {
    let by_hand = text(case, "origin") == "built, accepted by the real agent";
    !by_hand && text(case, "name") != "push_pull_signed_int_tag"
}

fn assert_refused(case: &Value) {
    let packet = hex_of(case, "hex");
    if let Ok(plain) = label::strip(&packet, label_of(case)) {
        let decoded = packet::decode(plain);
        assert_eq!((decoded.messages.len(), decoded.errors.len()), (0, 1));
    }
}

/// The envelope sealed again with the nonce, version and key that the case names.
fn reseal(
    case: &Value,
    ring: &Keyring,
    plain: &[u8],
    seal: impl Fn(&Key, Version, [u8; 12], &[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let encryption = &case["decoded"]["encryption"];
    let version = if number::<u8>(encryption, "version") == 0 { Version::V0 } else { Version::V1 };
    let key = &ring.keys()[number::<usize>(encryption, "key")];
    seal(key, version, hex_of(encryption, "nonce").try_into().unwrap(), plain)
}

fn key_of(case: &Value, ring: &Keyring) -> KeyId {
    ring.keys()[number::<usize>(&case["decoded"]["encryption"], "key")].id()
}

fn assert_packet(case: &Value) {
    let (datagram, decoded, label) = (hex_of(case, "hex"), &case["decoded"], label_of(case));
    assert_eq!(datagram.len(), number::<usize>(decoded, "length"));
    let sealed = label::strip(&datagram, label).unwrap();
    let ring = keyring(case);
    let plain = match &ring {
        Some(ring) => {
            let opened = ring.open_packet(label, sealed).unwrap();
            assert_eq!(opened.key, key_of(case, ring));
            opened.plain
        }
        None => sealed.to_vec(),
    };

    let (compressed, message) = match &decoded["message"] {
        outer if text(outer, "type") == "compress" => (true, &outer["inner"]),
        message => (false, message),
    };
    let parts =
        if text(message, "type") == "compound" { cases(message, "parts") } else { std::slice::from_ref(message) };
    let wanted: Vec<Option<Message>> = parts.iter().map(expected).collect();
    let read = packet::decode(&plain);
    assert_eq!(read.messages, wanted.iter().flatten().cloned().collect::<Vec<_>>());
    assert_eq!(read.errors.len(), wanted.iter().filter(|wanted| wanted.is_none()).count());

    let parts = raw_parts(decoded, &plain, parts, &wanted, is_canonical(case));
    let encoded = packet::encode(&parts, compressed, decoded.get("crc").is_some());
    assert_eq!(encoded, plain);

    let mut rebuilt = Vec::new();
    label::prepend(label, &mut rebuilt);
    match &ring {
        Some(ring) => rebuilt.extend(reseal(case, ring, &encoded, |key, version, nonce, plain| {
            let mut out = Vec::new();
            envelope::seal(key, version, nonce, &[label], plain, &mut out);
            out
        })),
        None => rebuilt.extend(encoded),
    }
    assert_eq!(rebuilt, datagram);
}

/// The bytes of each part, after comparing them with what we would write.
fn raw_parts(case: &Value, plain: &[u8], parts: &[Value], wanted: &[Option<Message>], canonical: bool) -> Vec<Bytes> {
    let mut body = if case.get("crc").is_some() { plain[5..].to_vec() } else { plain.to_vec() };
    if body[0] == 9 {
        let compressed = body.len() - number::<usize>(&case["message"], "compressed_len");
        body = lzw::decode(&body[compressed..], 1 << 16).unwrap();
    }
    let raw: Vec<Bytes> = if body[0] == 7 {
        compound::parts(&body[1..]).unwrap().map(|part| Bytes::copy_from_slice(part.unwrap())).collect()
    } else {
        vec![body.into()]
    };
    assert_eq!(raw.len(), parts.len());
    for ((raw, part), wanted) in raw.iter().zip(parts).zip(wanted) {
        let Some(message) = wanted else { continue };
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
        if canonical && !is_odd(part) {
            assert_eq!(message.encode(), raw, "{part}");
        }
    }
    raw
}

/// An alive message of a test peer, with an address or versions in a form that nobody else sends.
fn is_odd(part: &Value) -> bool {
    let fields = &part["fields"];
    let node = fields["Node"].as_str().unwrap_or_default();
    fields["Addr"].is_object() || node == "n-vsn-arr" || fields["Vsn"].as_array().is_some_and(|vsn| vsn.len() != 6)
}

fn source(fields: &Value) -> Source {
    Source {
        addr: fields.get("SourceAddr").map(|_| addr(fields, "SourceAddr", "SourcePort")),
        node: fields.get("SourceNode").map(|node| name(node.as_str().unwrap())),
    }
}

fn ping(fields: &Value) -> Ping {
    Ping {
        seq_no: SeqNo::new(number(fields, "SeqNo")),
        node: Some(name(text(fields, "Node"))),
        source: source(fields),
        weir: None,
    }
}

fn ack(fields: &Value) -> Ack {
    Ack { seq_no: SeqNo::new(number(fields, "SeqNo")), payload: blob(&fields["Payload"]), weir: None }
}

/// `None` for one that we refuse: without name or versions, or with a name that is not UTF-8.
fn alive(fields: &Value, node: &str) -> Option<Alive> {
    let node = text(fields, node);
    let versions = fields["Vsn"].as_array()?.iter().map(|version| version.as_u64().unwrap() as u8);
    if node.is_empty() || node.contains("\\x") {
        return None;
    }
    Some(Alive {
        incarnation: Incarnation::new(number(fields, "Incarnation")),
        node: name(node),
        addr: addr(fields, "Addr", "Port"),
        meta: blob(&fields["Meta"]),
        versions: Versions(versions.take(6).collect::<Vec<_>>().try_into().ok()?),
    })
}

fn expected(message: &Value) -> Option<Message> {
    let fields = &message["fields"];
    let accusation = || Suspect {
        incarnation: Incarnation::new(number(fields, "Incarnation")),
        node: name(text(fields, "Node")),
        from: name(text(fields, "From")),
    };
    Some(match text(message, "type") {
        "ping" => Message::Ping(ping(fields)),
        "indirectPing" => Message::IndirectPing(IndirectPing {
            seq_no: SeqNo::new(number(fields, "SeqNo")),
            target: addr(fields, "Target", "Port"),
            node: name(text(fields, "Node")),
            nack: flag(fields, "Nack"),
            source: source(fields),
        }),
        "ackResp" => Message::Ack(ack(fields)),
        "nackResp" => Message::Nack(SeqNo::new(number(fields, "SeqNo"))),
        "suspect" => Message::Suspect(accusation()),
        "dead" => {
            let Suspect { incarnation, node, from } = accusation();
            Message::Dead(Dead { incarnation, node, from })
        }
        "alive" => Message::Alive(alive(fields, "Node")?),
        "user" => Message::User(hex_of(message, "payload").into()),
        other => panic!("no test for {other}"),
    })
}

fn expected_stream(decoded: &Value) -> StreamMessage {
    let fields = &decoded["fields"];
    match text(decoded, "type") {
        "ping" => StreamMessage::Ping(ping(fields)),
        "ackResp" => StreamMessage::Ack(ack(fields)),
        "err" => StreamMessage::Error(text(fields, "Error").to_owned()),
        "user" => StreamMessage::User(hex_of(decoded, "payload").into()),
        "pushPull" => {
            let nodes: Vec<PushNode> = cases(decoded, "nodes").iter().map(push_node).collect();
            assert_eq!(nodes.len(), number::<usize>(&decoded["header"], "Nodes"));
            let user_state: Bytes = hex_of(decoded, "user_state").into();
            assert_eq!(user_state.len(), number::<usize>(&decoded["header"], "UserStateLen"));
            StreamMessage::PushPull(PushPull {
                join: flag(&decoded["header"], "Join"),
                nodes,
                skipped: 0,
                long_name: None,
                user_state,
            })
        }
        other => panic!("no test for {other}"),
    }
}

fn push_node(node: &Value) -> PushNode {
    let state = match number::<u8>(node, "State") {
        0 => NodeState::Alive,
        1 => NodeState::Suspect,
        2 => NodeState::Dead,
        3 => NodeState::Left,
        other => panic!("no state: {other}"),
    };
    PushNode { alive: alive(node, "Name").unwrap(), state }
}

fn assert_stream(case: &Value) {
    let (stream, decoded, label) = (hex_of(case, "hex"), &case["decoded"], label_of(case));
    assert_eq!(stream.len(), number::<usize>(decoded, "length"));
    let framed = label::strip(&stream, label).unwrap();
    let ring = keyring(case);
    let plain = match &ring {
        Some(ring) => {
            let opened = ring.open_frame(label, framed).unwrap();
            assert_eq!(opened.key, key_of(case, ring));
            opened.plain
        }
        None => framed.to_vec(),
    };
    let wanted = expected_stream(decoded);
    assert_eq!(StreamMessage::decode(&plain), Ok(Some(wanted.clone())));
    for cut in 0..plain.len() {
        assert_eq!(StreamMessage::decode(&plain[..cut]), Ok(None), "cut at {cut}");
    }

    let compressed = decoded.get("compress").is_some();
    let encoded = wanted.encode(compressed);
    assert_eq!(StreamMessage::decode(&encoded), Ok(Some(wanted)));
    if is_canonical(case) {
        assert_eq!(encoded, plain);
    }
    let mut rebuilt = Vec::new();
    label::prepend(label, &mut rebuilt);
    match &ring {
        Some(ring) => rebuilt.extend(reseal(case, ring, &plain, |key, version, nonce, plain| {
            envelope::seal_frame(key, version, nonce, label, plain)
        })),
        None => rebuilt.extend(plain),
    }
    assert_eq!(rebuilt, stream);
}
