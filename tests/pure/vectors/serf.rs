//! Serf's messages, metadata, coordinates and push/pull state.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use weir::wire::message::{Message, Versions};
use weir::wire::msgpack::Writer;
use weir::wire::serf::{
    ConflictMember, Coordinate, Filter, JoinIntent, KeyRequest, KeyResponse, LamportTime, LeaveIntent, PushPullState,
    Query, QueryResponse, RecentEvents, Relay, SerfMessage, UserEvent, decode_tags, encode_role, encode_tags,
};

use super::support::{addr, blob, cases, flag, hex_of, load, number, text};

/// Everything that is held here: messages first.
pub(crate) const FILES: [&str; 14] = [
    "serf-conflict-response.json",
    "serf-internal-query.json",
    "serf-join-intent.json",
    "serf-key-response.json",
    "serf-leave-intent.json",
    "serf-query-ack.json",
    "serf-query-response.json",
    "serf-query.json",
    "serf-user-event.json",
    "serf-coordinate-ack.json",
    "serf-node-meta.json",
    "serf-peer-behaviour.json",
    "serf-push-pull.json",
    "serf-relay.json",
];

const MESSAGE_FILES: usize = 9;

#[test]
fn every_message_holds_both_ways() {
    for file in &FILES[..MESSAGE_FILES] {
        for case in cases(&load(file), "vectors") {
            let bytes = hex_of(case, "hex");
            if let Some(length) = case.get("length") {
                assert_eq!(bytes.len() as u64, length.as_u64().unwrap());
            }
            let wanted = expected(case);
            assert_eq!(SerfMessage::decode(&bytes).as_ref(), Ok(&wanted), "{file}");
            assert_eq!(wanted.encode(), bytes, "{file}");
            if let Some(payload) = case.get("payload_decoded") {
                assert_payload(&blob(&case["fields"]["Payload"]), payload);
            }
        }
    }
}

#[test]
fn every_relayed_message_holds_both_ways() {
    for case in cases(&load("serf-relay.json"), "vectors") {
        let (bytes, header) = (hex_of(case, "hex"), &case["header"]);
        assert_eq!(bytes[1..], [hex_of(case, "header_hex"), hex_of(case, "inner_hex")].concat());
        let wanted = Relay {
            dest: addr(&header["DestAddr"], "IP", "Port"),
            dest_name: text(header, "DestName").to_owned(),
            inner: hex_of(case, "inner_hex").into(),
        };
        assert_eq!(SerfMessage::decode(&bytes), Ok(SerfMessage::Relay(wanted.clone())));
        assert_eq!(SerfMessage::decode(&wanted.inner), Ok(expected(&case["inner"])));
        assert_eq!(SerfMessage::Relay(wanted).encode(), bytes);
    }
}

fn ltime(fields: &Value, field: &str) -> LamportTime {
    LamportTime(number(fields, field))
}

fn string(fields: &Value, field: &str) -> String {
    text(fields, field).to_owned()
}

fn expected(case: &Value) -> SerfMessage {
    let fields = &case["fields"];
    match text(case, "kind") {
        "leave" => SerfMessage::Leave(LeaveIntent {
            ltime: ltime(fields, "LTime"),
            node: string(fields, "Node"),
            prune: flag(fields, "Prune"),
        }),
        "join" => SerfMessage::Join(JoinIntent { ltime: ltime(fields, "LTime"), node: string(fields, "Node") }),
        "user-event" => SerfMessage::UserEvent(UserEvent {
            ltime: ltime(fields, "LTime"),
            name: string(fields, "Name"),
            payload: blob(&fields["Payload"]),
            coalesce: flag(fields, "CC"),
        }),
        "query" => SerfMessage::Query(Query {
            ltime: ltime(fields, "LTime"),
            id: number(fields, "ID"),
            addr: addr(fields, "Addr", "Port"),
            source_node: string(fields, "SourceNode"),
            filters: case["filters"].as_array().unwrap().iter().map(filter).collect(),
            ack: number::<u32>(fields, "Flags") & 1 != 0,
            no_broadcast: number::<u32>(fields, "Flags") & 2 != 0,
            relay_factor: number(fields, "RelayFactor"),
            timeout: Duration::from_nanos(number(fields, "Timeout")),
            name: string(fields, "Name"),
            payload: blob(&fields["Payload"]),
        }),
        "query-response" => SerfMessage::QueryResponse(QueryResponse {
            ltime: ltime(fields, "LTime"),
            id: number(fields, "ID"),
            from: string(fields, "From"),
            ack: number::<u32>(fields, "Flags") & 1 != 0,
            payload: blob(&fields["Payload"]),
        }),
        other => panic!("no test for {other}"),
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn filter(filter: &Value) -> Filter {
    let value = &filter["value"];
    match text(filter, "type") {
        "node" => Filter::Nodes(strings(value)),
        "tag" => Filter::Tag { tag: string(value, "Tag"), expr: string(value, "Expr") },
        other => panic!("no test for {other}"),
    }
}

fn tags(value: &Value) -> BTreeMap<String, String> {
    value.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn assert_payload(payload: &[u8], decoded: &Value) {
    let fields = &decoded["fields"];
    match text(decoded, "kind") {
        "conflict-response" if fields.is_null() => {
            assert_eq!(ConflictMember::decode(payload), Ok(None));
            assert_eq!(ConflictMember::encode_unknown(), payload);
        }
        "conflict-response" => {
            let versions = ["ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur"];
            let wanted = ConflictMember {
                name: string(fields, "Name"),
                addr: addr(fields, "Addr", "Port"),
                tags: tags(&fields["Tags"]),
                status: number(fields, "Status"),
                versions: Versions(versions.map(|field| number(fields, field))),
            };
            assert_eq!(ConflictMember::decode(payload), Ok(Some(wanted.clone())));
            assert_eq!(wanted.encode(), payload);
        }
        "key-request" => {
            let wanted = KeyRequest { key: blob(&fields["Key"]).to_vec().into(), rot: None };
            assert_eq!(KeyRequest::decode(payload).as_ref(), Ok(&wanted));
            assert_eq!(wanted.encode(), payload);
        }
        "key-response" => {
            let wanted = KeyResponse {
                result: flag(fields, "Result"),
                message: string(fields, "Message"),
                keys: strings(&fields["Keys"]),
                primary_key: string(fields, "PrimaryKey"),
                rot: None,
            };
            assert_eq!(KeyResponse::decode(payload).as_ref(), Ok(&wanted));
            assert_eq!(wanted.encode(), payload);
        }
        other => panic!("no test for {other}"),
    }
}

#[test]
fn every_metadata_holds_both_ways() {
    for case in cases(&load("serf-node-meta.json"), "vectors") {
        let (meta, decoded) = (hex_of(case, "meta_hex"), &case["decoded"]);
        match text(decoded, "form") {
            "tags" => {
                let wanted = tags(&decoded["tags"]);
                assert_eq!(decode_tags(&meta), wanted);
                assert_eq!(encode_tags(&wanted), meta);
            }
            "role" => {
                let role = text(decoded, "role");
                assert_eq!(decode_tags(&meta), BTreeMap::from([("role".to_owned(), role.to_owned())]));
                assert_eq!(encode_role(role), meta);
            }
            other => panic!("no test for {other}"),
        }
        let versions: Vec<u64> = cases(case, "vsn").iter().map(|version| version.as_u64().unwrap()).collect();
        let vsn = hex_of(case, "vsn_hex");
        assert_eq!(vsn.iter().map(|&version| u64::from(version)).collect::<Vec<_>>(), versions);
        let speaks_five = vsn[5] == 5;
        assert_eq!(vsn == Versions::OURS.0, speaks_five);
    }
}

#[test]
fn every_coordinate_holds_both_ways() {
    for case in cases(&load("serf-coordinate-ack.json"), "vectors") {
        let (ack, payload) = (hex_of(case, "ack_hex"), hex_of(case, "payload_hex"));
        assert_eq!(payload.len(), number::<usize>(case, "length"));
        assert_eq!(number::<u8>(case, "version"), payload[0]);
        let Message::Ack(read) = Message::decode(&ack).unwrap() else { panic!("no ack") };
        assert_eq!(read.payload, payload);
        assert_eq!(Message::Ack(read).encode(), ack);
        let read = Coordinate::decode_payload(&payload).unwrap();
        let wanted = &case["coordinate"];
        assert_eq!(read.vec.len(), cases(wanted, "Vec").len());
        read.vec.iter().zip(cases(wanted, "Vec")).for_each(|(read, wanted)| assert_near(*read, wanted));
        assert_near(read.error, &wanted["Error"]);
        assert_near(read.adjustment, &wanted["Adjustment"]);
        assert_near(read.height, &wanted["Height"]);
        assert_eq!(read.encode_payload(), payload);
    }
}

/// Equal but for what reading decimals may lose; the bytes are compared as well.
fn assert_near(read: f64, wanted: &Value) {
    let wanted = wanted.as_f64().unwrap();
    assert!((read - wanted).abs() <= 4.0 * f64::EPSILON * wanted.abs(), "{read} is not {wanted}");
}

/// A push/pull state as real agents write it: all slots, in the map order of the capture.
fn encode_as_captured(case: &Value, state: &PushPullState) -> Bytes {
    let fields = &case["fields"];
    let slots: usize = number(&fields["Events"], "slots");
    let mut w = Writer::message(2);
    w.map_header(6).str("EventLTime").uint(state.event_ltime.0).str("Events").array_header(slots);
    for index in 0..slots {
        match state.events.iter().find(|slot| slot.ltime.0 as usize % slots == index) {
            None => w.nil(),
            Some(slot) => {
                w.map_header(2).str("Events").array_header(slot.events.len());
                for (name, payload) in &slot.events {
                    w.map_header(2).str("Name").str(name).str("Payload").bin_or_nil(payload);
                }
                w.str("LTime").uint(slot.ltime.0)
            }
        };
    }
    w.str("LTime").uint(state.ltime.0).str("LeftMembers").array_header(state.left_members.len());
    for member in &state.left_members {
        w.str(member);
    }
    w.str("QueryLTime").uint(state.query_ltime.0);
    let times = fields["StatusLTimes"].as_object().unwrap();
    w.str("StatusLTimes").map_header(times.len());
    for (name, time) in times {
        w.str(name).uint(time.as_u64().unwrap());
    }
    w.into_bytes()
}

#[test]
fn every_push_pull_state_holds_both_ways() {
    for case in cases(&load("serf-push-pull.json"), "vectors") {
        let (bytes, fields) = (hex_of(case, "hex"), &case["fields"]);
        assert_eq!(bytes.len(), number::<usize>(case, "length"));
        let times = fields["StatusLTimes"].as_object().unwrap();
        let used = fields["Events"]["used"].as_object().unwrap();
        let wanted = PushPullState {
            ltime: ltime(fields, "LTime"),
            status_ltimes: times
                .iter()
                .map(|(name, time)| (name.clone(), LamportTime(time.as_u64().unwrap())))
                .collect(),
            left_members: strings(&fields["LeftMembers"]),
            event_ltime: ltime(fields, "EventLTime"),
            events: used.values().map(recent).collect(),
            query_ltime: ltime(fields, "QueryLTime"),
        };
        assert_eq!(PushPullState::decode(&bytes).as_ref(), Ok(&wanted));
        assert_eq!(encode_as_captured(case, &wanted), bytes);
        let ours = wanted.encode();
        assert_eq!(PushPullState::decode(&ours), Ok(wanted));
        assert_eq!(ours.len() + number::<usize>(&fields["Events"], "slots") - used.len() + 2, bytes.len(), "dense");
    }
}

fn recent(slot: &Value) -> RecentEvents {
    let event = |event: &Value| (string(event, "Name"), blob(&event["Payload"]));
    RecentEvents { ltime: ltime(slot, "LTime"), events: cases(slot, "Events").iter().map(event).collect() }
}

/// The rows that concern encodings; the others are the state machine's.
#[test]
fn odd_encodings_are_read_as_the_real_agent_reads_them() {
    let mut asserted = 0;
    for case in cases(&load("serf-peer-behaviour.json"), "vectors") {
        let result = text(case, "result");
        let read = match text(case, "case") {
            "map keys unsorted, str8/bin8, int64 signed integers" => {
                let mut w = Writer::message(3);
                w.map_header(3).str("Payload").verbatim(&[0xc4, 1, b'p']);
                w.verbatim(&[0xd9, 4])
                    .verbatim(b"Name")
                    .str("deploy")
                    .str("LTime")
                    .verbatim(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]);
                let wanted = UserEvent {
                    ltime: LamportTime(7),
                    name: "deploy".into(),
                    payload: Bytes::from_static(b"p"),
                    coalesce: false,
                };
                SerfMessage::decode(&w.into_bytes()) == Ok(SerfMessage::UserEvent(wanted))
            }
            "missing Payload, Filters, RelayFactor, SourceNode; unknown key Extra" => {
                let mut w = Writer::message(4);
                w.map_header(3).str("Addr").bin(&[127, 0, 0, 1]).str("Name").str("load").str("Extra").nil();
                matches!(SerfMessage::decode(&w.into_bytes()), Ok(SerfMessage::Query(query)) if query.name == "load")
            }
            "_serf_install-key, payload type byte ff instead of 07" => {
                KeyRequest::decode(b"\xff\x81\xa3Key\xa1k").is_ok()
            }
            "_serf_install-key, body c1" => KeyRequest::decode(b"\x07\xc1").is_err(),
            "_serf_install-key with nil payload" => KeyRequest::decode(b"").is_err(),
            "query with one zero-length filter" => {
                let mut w = Writer::message(4);
                w.map_header(2).str("Addr").bin(&[127, 0, 0, 1]).str("Filters").array_header(1).bin(b"");
                matches!(SerfMessage::decode(&w.into_bytes()), Ok(SerfMessage::Query(query)) if query.has_empty_filter())
            }
            _ => continue,
        };
        assert!(read, "{case}: {result}");
        asserted += 1;
    }
    assert_eq!(asserted, 6);
}
