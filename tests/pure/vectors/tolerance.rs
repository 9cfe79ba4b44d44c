//! What a real agent answered and what it did not, beside what we accept.

use serde_json::Value;
use weir::wire::message::{Message, Ping, PushPull, SeqNo, StreamMessage};
use weir::wire::msgpack::{Dialect, Writer};
use weir::wire::{DecodeError, label, lzw, packet};

use super::support::{cases, hex_of, load, name, number, text};

/// How we differ from the real agent, and why.
const DIFFERENCES: [(&str, bool, &str); 6] = [
    ("compound(compound)", false, "one compound on either side of compression"),
    ("compressed(compressed)", false, "one compression per packet"),
    ("unknown field nested 50 deep", false, "eight deep"),
    ("bin8 value", true, "newer agents accept it"),
    ("bin16 value", true, "newer agents accept it"),
    ("bin8 key", true, "newer agents accept it"),
];

#[test]
fn we_read_what_a_real_agent_answers_and_nothing_else() {
    let mut differences = 0;
    for case in cases(&load("tolerance-memberlist.json"), "cases") {
        let title = text(case, "case");
        eprintln!("{title}");
        if let Some(stream) = title.strip_prefix("stream: ") {
            assert_stream(stream, text(case, "reply"));
            continue;
        }
        let difference = DIFFERENCES.iter().find(|(name, ..)| *name == title);
        differences += usize::from(difference.is_some());
        let wanted = difference.map_or(case["acked"].as_bool().unwrap(), |(_, wanted, _)| *wanted);
        let datagram = match &case["hex"] {
            Value::Null => large(title, number(case, "length")),
            _ => hex_of(case, "hex"),
        };
        assert_eq!(datagram.len(), number::<usize>(case, "length"));
        let messages = label::strip(&datagram, b"").map(|plain| packet::decode(plain).messages).unwrap_or_default();
        match (title, &messages[..]) {
            // Answered, but not to where the test listened.
            ("SourceAddr elsewhere", [Message::Ping(ping)]) => {
                assert_eq!(ping.source.addr, Some("127.0.91.55:17946".parse().unwrap()));
            }
            // Answered with SeqNo 0, which was not the one sent.
            ("lowercase keys", [Message::Ping(ping)]) => assert_eq!((ping.seq_no.get(), &ping.node), (0, &None)),
            (_, [Message::Ping(ping)]) if wanted => assert_ping(title, ping),
            (_, []) => assert!(!wanted, "not read"),
            (_, other) => panic!("read {other:?}"),
        }
    }
    assert_eq!(differences, DIFFERENCES.len());
}

fn assert_ping(title: &str, ping: &Ping) {
    let nodeless = ["no Node field", "nil Node"].contains(&title);
    assert_eq!(ping.node, (!nodeless).then(|| name("alpha")));
    assert_eq!(ping.seq_no.get() == 0, title == "nil SeqNo (acked with SeqNo 0)");
    if title.starts_with("SourceAddr") {
        assert_eq!(ping.source.addr, Some("127.0.91.10:17946".parse().unwrap()));
    }
}

/// Packets too long to be listed, made again.
fn large(title: &str, length: usize) -> Vec<u8> {
    let ping = |filler: usize| {
        let mut w = Writer::message(0);
        w.map_header(3).str("Node").str("alpha").str("SeqNo").uint(7u8).str("Zzz").bin(&noise(filler));
        w.into_vec()
    };
    if title == "65000 byte lzw payload" {
        let compressed = |filler| {
            let mut w = Writer::message(9);
            w.map_header(2).str("Algo").uint(0u8).str("Buf").bin(&lzw::encode(&ping(filler)));
            w.into_vec()
        };
        let mut packet = compressed(31_000);
        // What follows the end code is ignored.
        assert!(packet.len() < length);
        packet.resize(length, 0);
        return packet;
    }
    assert_eq!(title, "big packet 60000B uncompressed");
    let overhead = ping(60_000).len() - 60_000;
    ping(length - overhead)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

fn header(kind: u8, nodes: u8, state: usize, join: bool) -> Vec<u8> {
    let mut w = Writer::message(kind);
    w.map_header(3).str("Nodes").uint(nodes).str("UserStateLen").uint(state as u64).str("Join").bool(join);
    w.into_vec()
}

/// The file does not list the bytes of streams; its titles say what they were.
fn assert_stream(title: &str, reply: &str) {
    let ping = StreamMessage::Ping(Ping { seq_no: SeqNo::new(5), node: None, source: Default::default(), weir: None });
    let empty = |join| PushPull { join, nodes: vec![], skipped: 0, long_name: None, user_state: Default::default() };
    let compressed = |algo: u8, buf: &[u8]| {
        let mut w = Writer::message(9);
        w.map_header(2).str("Algo").uint(algo).str("Buf").bin(buf);
        w.into_vec()
    };
    let decode = |bytes: &[u8]| -> Result<Option<StreamMessage>, DecodeError> { StreamMessage::decode(bytes) };
    let answered = match title {
        "encrypted frame to plain node" => decode(&[10, 0, 0, 0, 1, 1]).is_ok(),
        "type 99" => decode(&[99, 0x80]).is_ok(),
        "compressed ping" => decode(&ping.encode(true)) == Ok(Some(ping)),
        "ping no Node" => decode(&ping.encode(false)) == Ok(Some(ping)),
        "compressed with bad algo" => decode(&compressed(1, b"x")).is_ok(),
        "empty then close" => decode(&[]) != Ok(None),
        "compressed type then close" => decode(&[9]) != Ok(None),
        "compressed empty buf" => {
            decode(&compressed(0, &[])).is_ok() || decode(&compressed(0, &lzw::encode(&[]))).is_ok()
        }
        "pushpull bad vsn" => {
            let mut stream = header(6, 1, 0, true);
            let mut node = Writer::new(Dialect::Raw);
            node.map_header(3).str("Name").str("x").str("Addr").bin(&[127, 0, 0, 1]).str("Vsn").bin(&[1, 5, 2]);
            stream.extend(node.into_vec());
            let wanted = PushPull { skipped: 1, ..empty(true) };
            decode(&stream) == Ok(Some(StreamMessage::PushPull(wanted)))
        }
        "pushpull empty" => decode(&header(6, 0, 0, false)) == Ok(Some(StreamMessage::PushPull(empty(false)))),
        "pushpull 0 nodes join" => decode(&header(6, 0, 0, true)) == Ok(Some(StreamMessage::PushPull(empty(true)))),
        "user msg (serf event)" => {
            let message = StreamMessage::User(b"\x03\x80"[..].into());
            assert_eq!(decode(&message.encode(false)), Ok(Some(message)));
            false
        }
        other => panic!("no test for {other}"),
    };
    assert_eq!(answered, ["ackResp", "pushPull"].contains(&reply), "{title}: {reply}");
}
