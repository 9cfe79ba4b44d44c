//! What holds for all values and all bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::message::{
    Ack, Alive, Dead, Incarnation, IndirectPing, Message, NodeState, Ping, PushNode, PushPull, SeqNo, Source,
    StreamMessage, Suspect, Versions,
};
use super::serf::{
    ConflictMember, Coordinate, Filter, JoinIntent, KeyRequest, KeyResponse, LamportTime, LeaveIntent, PushPullState,
    Query, QueryResponse, RecentEvents, Relay, SerfMessage, Tags, UserEvent, decode_tags, encode_tags,
};
use super::stream::StreamReader;
use super::{NodeName, lzw, packet};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,8}", ".{0,80}"]
}

fn name() -> impl Strategy<Value = NodeName> {
    prop_oneof!["[a-z]{1,8}", ".{1,63}", "x{512}"].prop_map(|name| NodeName::new(&name).unwrap())
}

fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..600)].prop_map(Bytes::from)
}

/// Canonical: IPv4-mapped IPv6 comes back as IPv4.
fn ip() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_map(|ip| ip.to_canonical())
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>()).prop_map(SocketAddr::from)
}

fn source() -> impl Strategy<Value = Source> {
    (option::of((ip(), 1u16..).prop_map(SocketAddr::from)), option::of(name()))
        .prop_map(|(addr, node)| Source { addr, node })
}

fn weir() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 1..=64).prop_map(Bytes::from))
}

fn seq_no() -> impl Strategy<Value = SeqNo> {
    any::<u32>().prop_map(SeqNo::new)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    any::<u32>().prop_map(Incarnation::new)
}

fn ping() -> impl Strategy<Value = Ping> {
    (seq_no(), option::of(name()), source(), weir()).prop_map(|(seq_no, node, source, weir)| Ping {
        seq_no,
        node,
        source,
        weir,
    })
}

fn ack() -> impl Strategy<Value = Ack> {
    (seq_no(), blob(), weir()).prop_map(|(seq_no, payload, weir)| Ack { seq_no, payload, weir })
}

fn alive() -> impl Strategy<Value = Alive> {
    (incarnation(), name(), addr(), blob(), any::<[u8; 6]>()).prop_map(|(incarnation, node, addr, meta, versions)| {
        Alive { incarnation, node, addr, meta, versions: Versions(versions) }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let accusation = || (incarnation(), name(), name());
    prop_oneof![
        ping().prop_map(Message::Ping),
        (seq_no(), addr(), name(), any::<bool>(), source()).prop_map(|(seq_no, target, node, nack, source)| {
            Message::IndirectPing(IndirectPing { seq_no, target, node, nack, source })
        }),
        ack().prop_map(Message::Ack),
        seq_no().prop_map(Message::Nack),
        accusation().prop_map(|(incarnation, node, from)| Message::Suspect(Suspect { incarnation, node, from })),
        accusation().prop_map(|(incarnation, node, from)| Message::Dead(Dead { incarnation, node, from })),
        alive().prop_map(Message::Alive),
        blob().prop_map(Message::User),
    ]
}

fn stream_message() -> impl Strategy<Value = StreamMessage> {
    let state =
        prop_oneof![Just(NodeState::Alive), Just(NodeState::Suspect), Just(NodeState::Dead), Just(NodeState::Left)];
    let nodes = vec((alive(), state).prop_map(|(alive, state)| PushNode { alive, state }), 0..10);
    prop_oneof![
        ping().prop_map(StreamMessage::Ping),
        ack().prop_map(StreamMessage::Ack),
        (any::<bool>(), nodes, blob()).prop_map(|(join, nodes, user_state)| {
            StreamMessage::PushPull(PushPull { join, nodes, user_state, ..PushPull::default() })
        }),
        blob().prop_map(StreamMessage::User),
        text().prop_map(StreamMessage::Error),
    ]
}

fn ltime() -> impl Strategy<Value = LamportTime> {
    any::<u64>().prop_map(LamportTime)
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        vec(text(), 0..5).prop_map(Filter::Nodes),
        (text(), text()).prop_map(|(tag, expr)| Filter::Tag { tag, expr }),
        vec(2u8.., 0..5).prop_map(|bytes| Filter::Unknown(bytes.into())),
    ]
}

prop_compose! {
    fn query()(
        (ltime, id, addr, source_node) in (ltime(), any::<u32>(), addr(), text()),
        (filters, ack, no_broadcast, relay_factor) in (vec(filter(), 0..4), any::<bool>(), any::<bool>(), any::<u8>()),
        (timeout, name, payload) in (0..=i64::MAX as u64, text(), blob()),
    ) -> Query {
        let timeout = Duration::from_nanos(timeout);
        Query { ltime, id, addr, source_node, filters, ack, no_broadcast, relay_factor, timeout, name, payload }
    }
}

fn serf_message() -> impl Strategy<Value = SerfMessage> {
    prop_oneof![
        (ltime(), text(), any::<bool>()).prop_map(|(ltime, node, prune)| SerfMessage::Leave(LeaveIntent {
            ltime,
            node,
            prune
        })),
        (ltime(), text()).prop_map(|(ltime, node)| SerfMessage::Join(JoinIntent { ltime, node })),
        (ltime(), text(), blob(), any::<bool>()).prop_map(|(ltime, name, payload, coalesce)| {
            SerfMessage::UserEvent(UserEvent { ltime, name, payload, coalesce })
        }),
        query().prop_map(SerfMessage::Query),
        (ltime(), any::<u32>(), text(), any::<bool>(), blob()).prop_map(|(ltime, id, from, ack, payload)| {
            SerfMessage::QueryResponse(QueryResponse { ltime, id, from, ack, payload })
        }),
        (addr(), text(), blob()).prop_map(|(dest, dest_name, inner)| SerfMessage::Relay(Relay {
            dest,
            dest_name,
            inner
        })),
    ]
}

fn tags() -> impl Strategy<Value = Tags> {
    btree_map(text(), text(), 0..20)
}

prop_compose! {
    fn push_pull_state()(
        (ltime, event_ltime, query_ltime) in (ltime(), ltime(), ltime()),
        status_ltimes in btree_map(text(), ltime(), 0..20),
        left_members in vec(text(), 0..20),
        events in vec((ltime(), vec((text(), blob()), 0..3)), 0..20),
    ) -> PushPullState {
        let events = events.into_iter().map(|(ltime, events)| RecentEvents { ltime, events }).collect();
        PushPullState { ltime, status_ltimes, left_members, event_ltime, events, query_ltime }
    }
}

fn ballot() -> impl Strategy<Value = Option<[u8; 12]>> {
    option::of(any::<[u8; 12]>())
}

proptest! {
    #[test]
    fn messages_are_read_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn packets_are_read_back(messages in vec(message(), 1..20), compress: bool, crc: bool) {
        let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
        let decoded = packet::decode(&packet::encode(&parts, compress, crc));
        prop_assert_eq!(decoded, packet::Decoded { messages, errors: vec![] });
    }

    #[test]
    fn streams_are_read_back_in_any_pieces(message in stream_message(), compress: bool, piece in 1usize..200) {
        let mut reader = StreamReader::default();
        let bytes = message.encode(compress);
        let mut pieces = bytes.chunks(piece).peekable();
        while let Some(piece) = pieces.next() {
            let wanted = pieces.peek().is_none().then(|| message.clone());
            prop_assert_eq!(reader.push(piece), Ok(wanted));
        }
    }

    #[test]
    fn serf_messages_are_read_back(message in serf_message()) {
        prop_assert_eq!(SerfMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn push_pull_states_are_read_back(state in push_pull_state()) {
        prop_assert_eq!(PushPullState::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn tags_are_read_back(tags in tags()) {
        prop_assert_eq!(decode_tags(&encode_tags(&tags)), tags);
    }

    #[test]
    fn conflict_answers_are_read_back(
        name in text(), addr in addr(), tags in tags(), status: u8, versions: [u8; 6],
    ) {
        let member = ConflictMember { name, addr, tags, status, versions: Versions(versions) };
        prop_assert_eq!(ConflictMember::decode(&member.encode()), Ok(Some(member)));
    }

    #[test]
    fn key_messages_are_read_back(
        key in blob(), rot in ballot(), result: bool, message in text(), keys in vec(text(), 0..20), primary_key in text(),
    ) {
        let request = KeyRequest { key: key.to_vec().into(), rot };
        prop_assert_eq!(KeyRequest::decode(&request.encode()), Ok(request));
        let response = KeyResponse { result, message, keys, primary_key, rot };
        prop_assert_eq!(KeyResponse::decode(&response.encode()), Ok(response));
    }

    #[test]
    fn coordinates_are_read_back_to_the_bit(bits in vec(any::<u64>(), 3..20)) {
        let float = |at: usize| f64::from_bits(bits[at]);
        let vec = (3..bits.len()).map(float).collect();
        let coordinate = Coordinate { vec, error: float(0), adjustment: float(1), height: float(2) };
        let read = Coordinate::decode_payload(&coordinate.encode_payload()).unwrap();
        let bits_of = |c: &Coordinate| -> Vec<u64> {
            c.vec.iter().chain([&c.error, &c.adjustment, &c.height]).map(|float| float.to_bits()).collect()
        };
        prop_assert_eq!(bits_of(&read), bits_of(&coordinate));
    }

    #[test]
    fn compressed_bytes_are_read_back(plain in prop_oneof![vec(any::<u8>(), 0..20_000), vec(0u8..3, 0..60_000)]) {
        let compressed = lzw::encode(&plain);
        if let Some(less) = plain.len().checked_sub(1) {
            prop_assert_eq!(lzw::decode(&compressed, less), Err(lzw::LzwError::TooLong));
        }
        prop_assert_eq!(lzw::decode(&compressed, plain.len()), Ok(plain));
    }

    #[test]
    fn any_bytes_are_a_packet_within_limits(kind in 0u8..14, bytes in vec(any::<u8>(), 0..2000)) {
        let packet = [&[kind][..], &bytes].concat();
        let decoded = packet::decode(&packet);
        prop_assert!(decoded.messages.len() + decoded.errors.len() <= 509 + 1);
    }

    /// Bytes that almost are a packet reach further than noise.
    #[test]
    fn a_damaged_packet_is_read_within_limits(
        messages in vec(message(), 1..20), compress: bool, at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
        let mut packet = packet::encode(&parts, compress, false);
        let at = at.index(packet.len());
        packet[at] = byte;
        packet.truncate(cut.index(packet.len()) + 1);
        let decoded = packet::decode(&packet);
        let held: usize = decoded.messages.iter().map(|message| message.encode().len()).sum();
        prop_assert!(held <= 256 << 10);
    }

    #[test]
    fn any_bytes_are_a_stream_or_an_error(kind in prop_oneof![0u8..14, Just(0x80)], bytes in vec(any::<u8>(), 0..2000)) {
        let _ = StreamMessage::decode(&[&[kind][..], &bytes].concat());
    }

    #[test]
    fn a_damaged_stream_is_a_stream_or_an_error(
        message in stream_message(), compress: bool, at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = message.encode(compress);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(error) = StreamMessage::decode(&bytes) {
            prop_assert!(!error.field.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_a_serf_value_or_an_error(kind in 0u8..11, bytes in vec(any::<u8>(), 0..500)) {
        let bytes = [&[kind][..], &bytes].concat();
        let _ = SerfMessage::decode(&bytes);
        let _ = PushPullState::decode(&bytes);
        let _ = ConflictMember::decode(&bytes);
        let _ = KeyRequest::decode(&bytes);
        let _ = KeyResponse::decode(&bytes);
        let _ = Coordinate::decode_payload(&bytes);
        let _: BTreeMap<_, _> = decode_tags(&bytes);
    }

    #[test]
    fn a_damaged_serf_message_is_a_value_or_an_error(message in serf_message(), at: prop::sample::Index, byte: u8) {
        let mut bytes = message.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(error) = SerfMessage::decode(&bytes) {
            prop_assert!(!error.field.is_empty());
        }
    }
}
