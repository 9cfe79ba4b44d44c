//! What the fuzzer runs, and `tests/pure/fuzz.rs` too, over the kept corpus and over drawn inputs: any bytes, and afterwards the
//! endpoint still answers, holds itself alive, and holds no more than its bounds allow.

#![allow(dead_code, reason = "each fuzz binary uses one target")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::apply;
use weir::crypto::session::{Opening, Sessions, StreamHead};
use weir::crypto::{Key, Keyring};
use weir::endpoint::{Drop, Endpoint, MAX_STREAMS, Options, Output, Restored};
use weir::nginx::{Block, Ours, generation_of, parse_log, parse_test_output};
use weir::rpc::proto::{
    Body, Command, EventRecord, FrameError, Frames, Header, LogRecord, MAX_REQUEST_BYTES, MAX_STRANGER_BYTES,
    QueryRecord, Request, ResponseHeader,
};
use weir::serf::QueryParams;
use weir::snapshot::{Log, Replay, Rules, UnixTime, Write};
use weir::time::Instant;
use weir::upstream::UpstreamName;
use weir::upstream::desired::Desired;
use weir::wire::NodeName;
use weir::wire::message::{Alive, Incarnation, Message, StreamMessage, Versions};
use weir::wire::packet;
use weir::wire::serf::{PushPullState, SerfMessage, decode_tags, encode_tags};

const NOW: Instant = Instant::from_nanos(3_600_000_000_000);

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], 7946))
}

fn keyring() -> Keyring {
    Keyring::new(Key::new(&[7; 32]).expect("32 bytes"), [])
}

fn endpoint(keyring: Option<Keyring>) -> Endpoint {
    let name = NodeName::new("us").expect("short");
    let options = Options::new(name, SocketAddr::from(([127, 0, 0, 1], 7946)));
    Endpoint::new(options, keyring, Restored::default(), StdRng::seed_from_u64(1), Box::new(|bytes| bytes.fill(9)), NOW)
}

/// Takes all outputs; what is said to others must not harm them.
fn drain(endpoint: &mut Endpoint) -> usize {
    let mut count = 0;
    while let Some(output) = endpoint.poll_output() {
        count += 1;
        assert!(count < 100_000, "one input caused outputs without end");
        if let Output::Datagram { payload, .. } = output {
            let ring = endpoint.keyring();
            let opened = ring.and_then(|ring| ring.open_packet(b"", &payload).ok()).map(|opened| opened.plain);
            match (ring, opened) {
                (None, _) => harms_nobody(&payload),
                (Some(_), Some(plain)) => harms_nobody(&plain),
                // In a session, or under a key that a fuzzer had us use.
                (Some(_), None) => {}
            }
        }
    }
    count
}

/// Real agents can read it, and none of what is known to kill or wedge them is in it.
fn harms_nobody(plain: &[u8]) {
    let decoded = packet::decode(plain);
    assert_eq!(decoded.errors, [], "what we send can be read");
    for message in decoded.messages {
        match message {
            Message::Alive(alive) => {
                let [pmin, pmax, ..] = alive.versions.0;
                assert!(0 < pmin && pmin <= pmax, "{alive:?}");
            }
            Message::User(user) => {
                if let SerfMessage::Query(query) = SerfMessage::decode(&user).expect("only what we understand is sent")
                {
                    let changes_keys = ["_serf_install-key", "_serf_use-key", "_serf_remove-key"];
                    let empty = query.payload.is_empty() && changes_keys.contains(&query.name.as_str());
                    assert!(!query.has_empty_filter() && !empty, "{query:?}");
                }
            }
            Message::Ping(_)
            | Message::IndirectPing(_)
            | Message::Ack(_)
            | Message::Nack(_)
            | Message::Suspect(_)
            | Message::Dead(_) => {}
        }
    }
}

/// The endpoint still works.
fn still_works(endpoint: &mut Endpoint) {
    for minute in 1..4 {
        endpoint.handle_timeout(NOW + Duration::from_secs(60 * minute));
        drain(endpoint);
    }
    let us = endpoint.local().name.clone();
    assert!(!endpoint.swim().is_gone(&us), "a running node never holds itself dead");
    assert!(endpoint.open_streams() <= MAX_STREAMS);
}

/// A datagram in plain text, and the same bytes sealed by a key holder.
pub(crate) fn packet(data: &[u8]) {
    let mut plain = endpoint(None);
    plain.handle_datagram(NOW, peer(), data);
    drain(&mut plain);
    still_works(&mut plain);

    let ring = keyring();
    let mut sealed = endpoint(Some(ring.clone()));
    sealed.handle_datagram(NOW, peer(), data);
    sealed.handle_datagram(NOW, peer(), &ring.seal_packet([3; 12], b"", data));
    drain(&mut sealed);
    still_works(&mut sealed);

    for message in packet::decode(data).messages {
        let again = Message::decode(&message.encode()).expect("what we encode we decode");
        assert_eq!(again, message);
    }
}

/// A stream in plain text, split in two at a place that the input chooses, and the same bytes in an encrypted frame.
pub(crate) fn stream(data: &[u8]) {
    let (at, bytes) = data.split_first().map_or((0, data), |(at, bytes)| (usize::from(*at), bytes));
    let (first, second) = bytes.split_at(at.min(bytes.len()));
    for ring in [None, Some(keyring())] {
        let sealed = ring.as_ref().map(|ring| ring.seal_frame(ring.primary().id(), [5; 12], b"", bytes));
        let mut endpoint = endpoint(ring);
        for parts in [vec![first, second], sealed.iter().map(Vec::as_slice).collect()] {
            let Some(stream) = endpoint.handle_accepted(NOW, peer()) else { return };
            for part in parts {
                endpoint.handle_stream_data(NOW, stream, part);
                drain(&mut endpoint);
            }
            endpoint.handle_stream_end(NOW, stream, None);
            drain(&mut endpoint);
        }
        still_works(&mut endpoint);
    }
}

/// What a holder of the key says in the session envelope: any content of a packet, a hello and a stream. A packet is read once,
/// and not at all if a bit of it was changed. The same bytes behind the first bytes of the envelope, as they are.
pub(crate) fn session(data: &[u8]) {
    let ring = keyring();
    let mut endpoint = endpoint(Some(ring.clone()));
    drain(&mut endpoint);
    let receiver = endpoint.session().expect("who has a key has a session");
    let name = NodeName::new("peer").expect("short");
    let mut sender = Sessions::new(name, b"", Box::new(|bytes| bytes.fill(3)));

    let mut packet = Vec::new();
    sender.seal(NOW, ring.primary(), receiver, 1, data, &mut packet);
    let mut altered = packet.clone();
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % altered.len();
    altered[at] ^= 1 << (data.len() % 8);
    let dropped = |endpoint: &Endpoint| endpoint.drops().iter().map(|(_, count)| count).sum::<u64>();
    let before = dropped(&endpoint);
    endpoint.handle_datagram(NOW, peer(), &altered);
    assert_eq!((dropped(&endpoint), drain(&mut endpoint)), (before + 1, 0), "what was altered is not read");
    endpoint.handle_datagram(NOW, peer(), &packet);
    drain(&mut endpoint);
    let before = endpoint.drops().get(Drop::Replayed);
    endpoint.handle_datagram(NOW, peer(), &packet);
    assert_eq!(
        (endpoint.drops().get(Drop::Replayed), drain(&mut endpoint)),
        (before + 1, 0),
        "nor what was read already"
    );

    let mut hello = Vec::new();
    sender.seal_hello(NOW, ring.primary(), 2, data, &mut hello);
    endpoint.handle_datagram(NOW, peer(), &hello);
    for first in [0xe1, 0xe2] {
        endpoint.handle_datagram(NOW, peer(), &[&[first], data].concat());
    }
    drain(&mut endpoint);
    session_stream(&mut endpoint, sender.open_stream(ring.primary()), data);
    if let Some(stream) = endpoint.handle_accepted(NOW, peer()) {
        endpoint.handle_stream_data(NOW, stream, &[&[0xe3], data].concat());
        endpoint.handle_stream_end(NOW, stream, None);
    }
    drain(&mut endpoint);
    still_works(&mut endpoint);
}

fn session_stream(endpoint: &mut Endpoint, opening: Opening, data: &[u8]) {
    let Some(stream) = endpoint.handle_accepted(NOW, peer()) else { return };
    endpoint.handle_stream_data(NOW, stream, opening.head().as_bytes());
    let head = std::iter::from_fn(|| endpoint.poll_output()).find_map(|output| match output {
        Output::Write { data, .. } => Some(data),
        _ => None,
    });
    let head = head.expect("a head is answered");
    let (head, _) = StreamHead::parse(&head).expect("by a head").expect("that is complete");
    let exchange = opening.accepted(&head).expect("under the same key");
    if let Ok(frames) = exchange.seal(data) {
        let (first, second) = frames.split_at(data.len().min(frames.len()) / 2);
        endpoint.handle_stream_data(NOW, stream, first);
        endpoint.handle_stream_data(NOW, stream, second);
    }
    endpoint.handle_stream_end(NOW, stream, None);
    drain(endpoint);
}

/// An answer to a push/pull of ours, and the user state alone.
pub(crate) fn push_pull(data: &[u8]) {
    let mut endpoint = endpoint(None);
    let target = weir::endpoint::JoinTarget { label: "peer".to_owned(), addr: peer() };
    endpoint.join(NOW, weir::endpoint::JoinKind::Join { ignore_old: false }, vec![target]);
    let stream = std::iter::from_fn(|| endpoint.poll_output()).find_map(|output| match output {
        Output::Connect { stream, .. } => Some(stream),
        _ => None,
    });
    if let Some(stream) = stream {
        endpoint.handle_connected(NOW, stream);
        endpoint.handle_stream_data(NOW, stream, data);
        endpoint.handle_stream_end(NOW, stream, None);
    }
    drain(&mut endpoint);
    still_works(&mut endpoint);
    if let Ok(Some(message)) = StreamMessage::decode(data) {
        let again = StreamMessage::decode(&message.encode(true)).expect("what we encode we decode");
        if !matches!(message, StreamMessage::PushPull(_)) {
            assert_eq!(again, Some(message));
        }
    }
    if let Ok(state) = PushPullState::decode(data) {
        let again = PushPullState::decode(&state.encode()).expect("what we encode we decode");
        assert_eq!(again, state);
    }
}

/// Metadata of a member.
pub(crate) fn tags(data: &[u8]) {
    let tags = decode_tags(data);
    assert_eq!(decode_tags(&encode_tags(&tags)), tags);
}

/// A Serf message, as a user message of a packet.
pub(crate) fn serf_message(data: &[u8]) {
    let mut user = vec![8];
    user.extend_from_slice(data);
    packet(&user);
    if let Ok(message) = SerfMessage::decode(&Bytes::copy_from_slice(data)) {
        let again = SerfMessage::decode(&message.encode()).expect("what we encode we decode");
        assert_eq!(again, message);
    }
}

/// A snapshot file, ours or the reference's: what is read from it is written anew as a sound file that says the same.
pub(crate) fn snapshot(data: &[u8]) {
    let rules = Rules { rejoin_after_leave: true, failed_for: Duration::MAX, now: UnixTime(1_000_000) };
    let replay = Replay::read(data, rules);
    let own = NodeName::new("us").expect("short");
    let mut log = Log::new(own.clone(), replay, data.len(), NOW);
    log.leave(NOW);
    while let Some(write) = log.poll_write(NOW) {
        if let Write::Replace(bytes) = write {
            let again = Replay::read(&bytes, rules);
            assert!(again.is_sound(), "what we write we read");
            assert_eq!(again.state.dial_order(&own).len(), log.state().dial_order(&own).len());
        }
    }
}

/// What an RPC client sends, cut in two at a place that the input chooses: whole requests decode to something that survives the
/// wire, and a server's buffer holds no more than came. The same bytes as an agent's answers.
pub(crate) fn rpc(data: &[u8]) {
    let (at, bytes) = data.split_first().map_or((0, data), |(at, bytes)| (usize::from(*at), bytes));
    let (first, second) = bytes.split_at(at.min(bytes.len()));
    for limit in [MAX_STRANGER_BYTES, MAX_REQUEST_BYTES] {
        let whole = served(&[bytes], limit);
        assert_eq!(served(&[first, second], limit), whole, "it does not matter how a request arrives");
        if bytes.len() <= 256 {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(served(&single, limit), whole, "it does not matter how a request arrives");
        }
    }
}

/// The requests that a connection takes as the server does it, and why it ends: values within `limit`, a header, and the body
/// that its command has.
fn served(parts: &[&[u8]], limit: usize) -> (usize, Option<FrameError>) {
    let mut frames = Frames::default();
    let (mut command, mut requests, mut received) = (None, 0, 0);
    for part in parts {
        frames.buffer().extend_from_slice(part);
        received += part.len();
        loop {
            match frames.is_ready(limit) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return (requests, Some(error)),
            }
            let value = frames.take();
            assert!(value.len() <= limit);
            requests += 1;
            match command.take() {
                None => {
                    let header = Header::decode(value).ok().and_then(|header| Command::from_name(&header.command));
                    command = header.filter(Command::has_body);
                }
                Some(asked) => request(asked, value),
            }
            answers(value);
        }
        assert!(frames.buffer().capacity() <= 2 * (received + 64));
    }
    (requests, None)
}

fn request(command: Command, body: &[u8]) {
    let _ = Body::decode(&command, body);
    let has_body = command.has_body();
    let Ok(request) = Request::decode(command.clone(), body) else { return };
    if matches!(request, Request::Auth { .. }) {
        return; // A token need not be text.
    }
    let mut frames = Frames::default();
    frames.buffer().extend_from_slice(&request.encode(7));
    assert_eq!(frames.is_ready(usize::MAX), Ok(true));
    frames.take();
    if has_body {
        assert_eq!(frames.is_ready(usize::MAX), Ok(true));
    }
    assert_eq!(Request::decode(command, frames.take()), Ok(request));
    assert!(!frames.is_partial());
}

fn answers(value: &[u8]) {
    let _ = ResponseHeader::decode(value);
    let _ = EventRecord::decode(value);
    let _ = QueryRecord::decode(value);
    let _ = LogRecord::decode(value);
}

/// The document that crosses to the privileged side: what is taken is written back the same.
pub(crate) fn desired(data: &[u8]) {
    let Ok(document) = Desired::from_json(data) else { return };
    assert!(document.upstreams.len() <= Desired::MAX_UPSTREAMS);
    assert_eq!(Desired::from_json(&document.to_json()).expect("what we write we read"), document);
}

/// What is asked of the privileged side: what is taken is written back the same, and what is not is refused in harmless words.
pub(crate) fn apply_request(data: &[u8]) {
    match apply::Request::from_json(data) {
        Ok(request) => {
            assert_eq!(apply::Request::from_json(&request.to_json()), Ok(request));
        }
        Err(refusal) => {
            let shown = refusal.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.len() < 1024, "{shown:?}");
        }
    }
}

/// What the privileged side answers.
pub(crate) fn apply_answer(data: &[u8]) {
    match apply::Answer::from_json(data) {
        Ok(answer) => {
            assert_eq!(apply::Answer::from_json(&answer.to_json()), Ok(answer));
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}

/// What `nginx -t` or an error log says.
pub(crate) fn nginx_output(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let block = Block::new(UpstreamName::new("web").expect("it is a name"));
    let ours = Ours { path: Path::new("/etc/nginx/conf.d/weir-web.conf"), block: &block };
    for problem in [parse_test_output(&text, &[ours]), parse_log(&text, 812, &[ours])].into_iter().flatten() {
        let shown = format!("{problem} {}", problem.remedy().unwrap_or_default());
        assert!(!shown.chars().any(char::is_control), "a terminal may see it: {problem:?}");
    }
    let _number = generation_of(data);
}

/// A whole story: packets, pieces of streams, time and verbs of our own in whatever order, to an endpoint that has a friend to
/// pass things on to. Each step is a byte that says what, one that says how long, and so many bytes.
pub(crate) fn story(data: &[u8]) {
    let (sealed, mut rest) = data.split_first().map_or((false, data), |(first, rest)| (first & 1 == 1, rest));
    let ring = sealed.then(keyring);
    let mut endpoint = endpoint(ring.clone());
    let (mut now, mut streams, mut nonce) = (NOW, std::collections::VecDeque::new(), 0_u64);
    let mut packet = |endpoint: &mut Endpoint, now, plain: &[u8]| {
        nonce += 1;
        let nonce = [&[0; 4], &nonce.to_be_bytes()[..]].concat().try_into().expect("12 bytes");
        let datagram = ring.as_ref().map_or_else(|| plain.to_vec(), |ring| ring.seal_packet(nonce, b"", plain));
        endpoint.handle_datagram(now, peer(), &datagram);
    };
    let friend = Alive {
        incarnation: Incarnation::FIRST,
        node: NodeName::new("n1").expect("short"),
        addr: peer(),
        meta: Bytes::new(),
        versions: Versions::OURS,
    };
    packet(&mut endpoint, now, &Message::Alive(friend).encode());
    let mut steps = 0;
    while let [what, len, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        steps += 1;
        if steps > 64 {
            break;
        }
        match what % 12 {
            0 | 1 => packet(&mut endpoint, now, bytes),
            2 | 3 => packet(&mut endpoint, now, &[&[8], bytes].concat()),
            4 => packet(&mut endpoint, now, &packet::encode(&[Bytes::copy_from_slice(bytes)], true, false)),
            5 => streams.extend(endpoint.handle_accepted(now, peer())),
            6 => {
                if let Some(stream) = streams.back() {
                    endpoint.handle_stream_data(now, *stream, bytes);
                }
            }
            7 => {
                if let Some(stream) = streams.pop_front() {
                    endpoint.handle_stream_end(now, stream, None);
                }
            }
            8 => {
                now += Duration::from_millis(50 * u64::from(*len));
                endpoint.handle_timeout(now);
            }
            9 => {
                let _refused = endpoint.user_event(now, "e", Bytes::copy_from_slice(bytes), false);
            }
            10 => {
                let params = QueryParams { name: "q".into(), ack: true, ..QueryParams::default() };
                let _refused = endpoint.query(now, params);
            }
            _ => {
                if let Some(frame) = ring.as_ref().map(|ring| ring.seal_frame(ring.primary().id(), [5; 12], b"", bytes))
                    && let Some(stream) = streams.back()
                {
                    endpoint.handle_stream_data(now, *stream, &frame);
                }
            }
        }
        drain(&mut endpoint);
    }
    for second in 1..4 {
        endpoint.handle_timeout(now + Duration::from_secs(second));
        drain(&mut endpoint);
    }
    let us = endpoint.local().name.clone();
    assert!(!endpoint.swim().is_gone(&us), "a running node never holds itself dead");
    assert!(endpoint.open_streams() <= MAX_STREAMS);
    assert_eq!(endpoint.member("us").map(|member| member.status), Some(weir::serf::Status::Alive));
}
