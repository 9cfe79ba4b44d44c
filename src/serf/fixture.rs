//! A node and its neighbours for tests: `me` at 127.0.0.100, `n1`, `n2`, ... at 127.0.0.1, 127.0.0.2, ...

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::swim::{self, Node};
use crate::wire::message::Versions;
use crate::wire::serf::{JoinIntent, LeaveIntent, Query, SerfMessage, UserEvent};

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(super) fn addr(i: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, i], 7946))
}

pub(super) fn node(node: &str, i: u8) -> Arc<Node> {
    let meta = encode_tags(&Tags::from([("role".into(), "web".into())]));
    Arc::new(Node { name: name(node), addr: addr(i), meta, versions: Versions::OURS })
}

/// A source of messages whose address does not matter.
pub(super) fn peer() -> SocketAddr {
    addr(1)
}

/// Without coalescing, so that events are seen at once.
pub(super) fn options() -> Options {
    Options { member_coalescing: None, user_coalescing: None, ..Options::default() }
}

/// `me` alone, restored from `restored`.
pub(super) fn restored(options: Options, restored: Restored) -> Serf {
    let mut serf = Serf::new(options, node("me", 100), restored, StdRng::seed_from_u64(7), at(0));
    serf.handle_swim(at(0), &swim::Event::Joined(node("me", 100)));
    drain(&mut serf);
    serf
}

/// `me` and `n1` to `n<others>`, all alive.
pub(super) fn cluster_with(options: Options, others: u8) -> Serf {
    let mut serf = restored(options, Restored::default());
    for i in 1..=others {
        serf.handle_swim(at(0), &swim::Event::Joined(node(&format!("n{i}"), i)));
    }
    drain(&mut serf);
    serf
}

pub(super) fn cluster(others: u8) -> Serf {
    cluster_with(options(), others)
}

pub(super) fn gone(serf: &mut Serf, now: Instant, member: &str) {
    let node = serf.member(member).unwrap().node.clone();
    serf.handle_swim(now, &swim::Event::Gone { node, left: false });
}

pub(super) fn drain(serf: &mut Serf) -> Vec<Output> {
    std::iter::from_fn(|| serf.poll_output()).collect()
}

/// Uncoalesced member events, as kind and name.
pub(super) fn member_events(outputs: &[Output]) -> Vec<(MemberEventKind, String)> {
    let event = |output: &Output| match output {
        Output::Member(event) => Some((event.kind, event.member.node.name.as_str().to_owned())),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

/// What goes out directly, decoded.
pub(super) fn sent(outputs: &[Output]) -> Vec<(SocketAddr, SerfMessage)> {
    let message = |output: &Output| match output {
        Output::SendUser { to, message, .. } => Some((*to, SerfMessage::decode(message).unwrap())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

/// Everything queued, decoded, each once.
pub(super) fn broadcasts(serf: &mut Serf) -> Vec<SerfMessage> {
    let mut out = Vec::new();
    serf.take_broadcasts(usize::MAX / 2, 3, &mut out);
    out.iter().map(|message| SerfMessage::decode(message).unwrap()).collect()
}

pub(super) fn deliver(serf: &mut Serf, now: Instant, message: &SerfMessage) {
    serf.handle_message(now, peer(), &message.encode());
}

pub(super) fn join(node: &str, ltime: u64) -> SerfMessage {
    SerfMessage::Join(JoinIntent { ltime: LamportTime(ltime), node: node.into() })
}

pub(super) fn leave(node: &str, ltime: u64, prune: bool) -> SerfMessage {
    SerfMessage::Leave(LeaveIntent { ltime: LamportTime(ltime), node: node.into(), prune })
}

pub(super) fn user_event(name: &str, ltime: u64, payload: &'static str) -> SerfMessage {
    let payload = Bytes::from_static(payload.as_bytes());
    SerfMessage::UserEvent(UserEvent { ltime: LamportTime(ltime), name: name.into(), payload, coalesce: false })
}

/// A query of `n1`, waiting for ten seconds.
pub(super) fn query(name: &str, ltime: u64, id: u32) -> Query {
    Query {
        ltime: LamportTime(ltime),
        id,
        addr: addr(1),
        source_node: "n1".into(),
        filters: Vec::new(),
        ack: false,
        no_broadcast: false,
        relay_factor: 0,
        timeout: Duration::from_secs(10),
        name: name.into(),
        payload: Bytes::new(),
    }
}

/// Statuses of all members but `me`.
pub(super) fn statuses(serf: &Serf) -> Vec<(String, Status)> {
    let others = serf.members().filter(|member| member.node.name.as_str() != "me");
    others.map(|member| (member.node.name.as_str().to_owned(), member.status)).collect()
}
