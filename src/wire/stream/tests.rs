use super::*;
use crate::wire::NodeName;
use crate::wire::message::{Alive, Incarnation, Versions};

fn node(at: u32) -> PushNode {
    let alive = Alive {
        incarnation: Incarnation::new(at),
        node: NodeName::new(&format!("node-{at}")).unwrap(),
        addr: "10.0.0.1:7946".parse().unwrap(),
        meta: Bytes::from_static(b"\xff\x80"),
        versions: Versions::OURS,
    };
    PushNode { alive, state: NodeState::Alive }
}

fn push_pull(nodes: u32) -> PushPull {
    let nodes = (0..nodes).map(node).collect();
    PushPull { join: true, nodes, user_state: Bytes::from_static(b"\x02state"), ..PushPull::default() }
}

/// A header that promises what may not come.
fn header(nodes: i64, user_state: i64) -> Vec<u8> {
    let mut w = Writer::message(kind::PUSH_PULL);
    w.map_header(2).str("Nodes").int(nodes).str("UserStateLen").int(user_state);
    w.into_vec()
}

#[test]
fn a_message_is_complete_with_its_last_byte() {
    let message = StreamMessage::PushPull(push_pull(20));
    for compress in [false, true] {
        let bytes = message.encode(compress);
        let (last, before) = bytes.split_last().unwrap();
        let mut reader = StreamReader::default();
        assert!(reader.is_empty());
        for byte in before {
            assert_eq!(reader.push(&[*byte]), Ok(None));
        }
        assert_eq!(reader.push(&[*last, 0xff]), Ok(Some(message.clone())));
    }
}

#[test]
fn one_bad_entry_does_not_spoil_the_exchange() {
    let mut bytes = header(4, 0);
    let mut w = Writer::message(0x80);
    node(1).write(&mut w);
    w.map_header(2).str("Name").str("no address").str("State").int(-1);
    w.map_header(3).str("Name").str(&"x".repeat(600)).str("Addr").bin(&[10, 0, 0, 2]).str("Port").uint(7946u16);
    node(2).write(&mut w);
    bytes.extend_from_slice(&w.into_vec()[1..]);
    let Ok(Some(StreamMessage::PushPull(read))) = StreamMessage::decode(&bytes) else { panic!("not read") };
    assert_eq!((read.nodes, read.skipped), (vec![node(1), node(2)], 2));
    assert_eq!(read.long_name, Some(("10.0.0.2:7946".parse().unwrap(), 600)));
}

#[test]
fn lengths_are_refused_before_anything_is_read_for_them() {
    for (nodes, user_state) in [(-1, 0), (0, -1), (MAX_NODES as i64 + 1, 0), (0, MAX_USER_STATE as i64 + 1)] {
        let error = StreamMessage::decode(&header(nodes, user_state)).unwrap_err();
        assert!(matches!(error.problem, Problem::Range | Problem::TooLong), "{error}");
    }
    assert_eq!(StreamMessage::decode(&header(MAX_NODES as i64, MAX_USER_STATE as i64)), Ok(None));
}

#[test]
fn an_endless_record_is_refused_soon() {
    let endless = [&[kind::PING, 0x81, 0xa1, b'x', 0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0; MAX_RECORD_BYTES]].concat();
    assert_eq!(StreamMessage::decode(&endless[..MAX_RECORD_BYTES]), Ok(None));
    assert_eq!(StreamMessage::decode(&endless).unwrap_err().problem, Problem::TooLong);

    let mut reader = StreamReader::default();
    let mut first = Writer::message(0);
    node(1).write(&mut first);
    let head = [header(2, 0), first.into_vec()[1..].to_vec()].concat();
    assert_eq!(reader.push(&head), Ok(None));
    assert_eq!(reader.push(&endless[1..MAX_RECORD_BYTES]), Ok(None));
    assert_eq!(reader.push(&[0; 100]).unwrap_err().problem, Problem::TooLong);
}

#[test]
fn a_stream_ends_at_40_mib() {
    let mut reader = StreamReader::default();
    let mut w = Writer::message(kind::COMPRESS);
    w.map_header(1).str("Buf").verbatim(&[0xdb, 0xff, 0xff, 0xff, 0xff]);
    let start = w.into_vec();
    assert_eq!(reader.push(&start), Ok(None));
    assert_eq!(reader.push(&vec![0; MAX_STREAM - start.len()]), Ok(None));
    assert_eq!(reader.push(&[0]).unwrap_err().problem, Problem::TooLong);
}

#[test]
fn a_bomb_decompresses_to_no_more_than_its_share() {
    // An unknown field of zeros, so that only decompression can refuse it.
    let bomb = compress::deflate(&vec![0; 1 << 20]);
    assert!(bomb.len() < 4096);
    assert_eq!(StreamMessage::decode(&bomb).unwrap_err().problem, Problem::TooLong);
}

#[test]
fn layers_that_belong_to_packets_are_refused() {
    let message = StreamMessage::Error("no".into()).encode(false);
    for bytes in
        [compress::deflate(&compress::deflate(&message)), crate::wire::crc::prepend(&message), vec![kind::ALIVE]]
    {
        assert!(matches!(StreamMessage::decode(&bytes).unwrap_err().problem, Problem::MessageType(_)));
    }
}
