//! The endpoint under attack, and what can be seen of it from outside.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::crypto::envelope::{self, Version};
use weir::crypto::{Key, Keyring};
use weir::endpoint::{Drop, Endpoint, JoinKind, JoinTarget, Options, Output, Restored, StreamId};
use weir::time::Instant;
use weir::wire::NodeName;
use weir::wire::message::{Ack, Alive, Incarnation, Message, Ping, PushPull, SeqNo, Source, StreamMessage, Versions};
use weir::wire::packet;
use weir::wire::serf::SerfMessage;
use weir::{serf, swim};

/// When every attack begins.
pub(crate) const START: Instant = Instant::from_nanos(3_600_000_000_000);

pub(crate) fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Where packets come from; nobody that the victim knows.
pub(crate) fn attacker() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 66], 6666))
}

/// The address of the member `friend`.
pub(crate) fn friend() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], 7946))
}

pub(crate) fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

/// An alive message that nothing is wrong with.
pub(crate) fn alive(who: &str, addr: SocketAddr, incarnation: u32) -> Alive {
    Alive {
        incarnation: Incarnation::new(incarnation),
        node: name(who),
        addr,
        meta: Bytes::new(),
        versions: Versions::OURS,
    }
}

pub(crate) fn ping(seq_no: u32) -> Bytes {
    let source = Source { addr: None, node: None };
    Message::Ping(Ping { seq_no: SeqNo::new(seq_no), node: None, source, weir: None }).encode()
}

/// One endpoint called `us` that knows one other member, `friend`.
pub(crate) struct Victim {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    ring: Option<Keyring>,
    nonce: u64,
    /// Every message that left in a packet, with its destination.
    pub(crate) sent: Vec<(SocketAddr, Message)>,
    /// Everything written to streams, opened if it was sealed.
    pub(crate) written: Vec<(StreamId, Vec<u8>)>,
    /// Streams that the driver was asked to close or to shut down.
    pub(crate) closed: Vec<StreamId>,
    /// Where the driver was asked to open a stream to. Refused, unless there is an answer to be given.
    pub(crate) dialled: Vec<SocketAddr>,
    /// What whoever is dialled answers.
    answer: Option<Vec<u8>>,
    /// Why each target of a join failed.
    failures: Option<Vec<String>>,
    /// Whether `friend` answers pings.
    pub(crate) friend_answers: bool,
    /// What the application was told.
    pub(crate) events: Vec<serf::Event>,
}

impl Victim {
    /// Without a key: everybody on the network is an attacker.
    pub(crate) fn plain() -> Self {
        Self::new(None, |_| {})
    }

    /// With a key, which the attacker holds as well.
    pub(crate) fn sealed() -> Self {
        Self::new(Some(Keyring::new(key(), [])), |_| {})
    }

    /// Both of them.
    pub(crate) fn both() -> [Self; 2] {
        [Self::plain(), Self::sealed()]
    }

    pub(crate) fn new(ring: Option<Keyring>, adjust: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(name("us"), SocketAddr::from(([127, 0, 0, 1], 7946)));
        options.serf.member_coalescing = None;
        options.serf.user_coalescing = None;
        adjust(&mut options);
        let rng = StdRng::seed_from_u64(1);
        let entropy = Box::new(|bytes: &mut [u8]| bytes.fill(9));
        let endpoint = Endpoint::new(options, ring.clone(), Restored::default(), rng, entropy, START);
        let mut victim = Self {
            endpoint,
            now: START,
            ring,
            nonce: 0,
            sent: Vec::new(),
            written: Vec::new(),
            closed: Vec::new(),
            dialled: Vec::new(),
            answer: None,
            failures: None,
            friend_answers: true,
            events: Vec::new(),
        };
        victim.message(&Message::Alive(alive("friend", friend(), 1)));
        // Until the news of it was gossiped often enough.
        victim.pass(Duration::from_secs(5));
        victim.forget();
        victim
    }

    /// One packet that holds exactly this, sealed if there is a key.
    pub(crate) fn packet(&mut self, plain: &[u8]) {
        let datagram = self.in_datagram(plain);
        self.datagram(&datagram);
    }

    /// One datagram as it is.
    pub(crate) fn datagram(&mut self, datagram: &[u8]) {
        self.endpoint.handle_datagram(self.now, attacker(), datagram);
        self.take_outputs();
    }

    pub(crate) fn message(&mut self, message: &Message) {
        self.packet(&message.encode());
    }

    /// A Serf message, in the only way it travels.
    pub(crate) fn serf(&mut self, message: &SerfMessage) {
        self.user(&message.encode());
    }

    /// Bytes as a user message.
    pub(crate) fn user(&mut self, bytes: &[u8]) {
        self.packet(&[&[8], bytes].concat());
    }

    /// A whole stream with this in it, sealed if there is a key; what was answered.
    pub(crate) fn stream(&mut self, plain: &[u8]) -> Option<StreamMessage> {
        let bytes = match &self.ring {
            Some(ring) => ring.seal_frame(ring.primary().id(), [3; 12], b"", plain),
            None => plain.to_vec(),
        };
        let stream = self.open_stream();
        self.stream_bytes(stream, &bytes);
        self.end_stream(stream);
        let mut written = self.written.iter().rev();
        written.find(|(of, _)| *of == stream).and_then(|(_, bytes)| StreamMessage::decode(bytes).unwrap())
    }

    /// A push/pull of the attacker's; the answer.
    pub(crate) fn push_pull(&mut self, theirs: PushPull) -> Option<PushPull> {
        match self.stream(&StreamMessage::PushPull(theirs).encode(false)) {
            Some(StreamMessage::PushPull(ours)) => Some(ours),
            _ => None,
        }
    }

    /// The victim joins the attacker, which answers with this; why that failed, if it did.
    pub(crate) fn join_answered(&mut self, answer: &[u8]) -> Option<String> {
        let target = JoinTarget { label: "attacker".to_owned(), addr: attacker() };
        self.answer = Some(answer.to_vec());
        self.endpoint.join(self.now, JoinKind::Join { ignore_old: false }, vec![target]);
        self.take_outputs();
        self.answer = None;
        self.failures.take().expect("a join ends").pop()
    }

    pub(crate) fn open_stream(&mut self) -> StreamId {
        self.endpoint.handle_accepted(self.now, attacker()).expect("there is room for a stream")
    }

    pub(crate) fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8]) {
        self.endpoint.handle_stream_data(self.now, stream, bytes);
        self.take_outputs();
    }

    pub(crate) fn end_stream(&mut self, stream: StreamId) {
        self.endpoint.handle_stream_end(self.now, stream, None);
        self.take_outputs();
    }

    /// Lets time pass, doing what is due when it is due. Nobody answers.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.endpoint.poll_timeout();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.take_outputs();
        }
        self.now = end;
    }

    /// Forgets what was seen so far, not what the victim knows.
    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.written.clear();
        self.events.clear();
        self.dialled.clear();
    }

    /// Whether `text` occurs in anything that the victim tells others: two seconds of gossip, and its side of a push/pull.
    pub(crate) fn passes_on(&mut self, text: &str) -> bool {
        self.sent.clear();
        self.pass(Duration::from_secs(2));
        assert!(!self.sent.is_empty(), "it still probes and gossips");
        let mut told: Vec<Vec<u8>> = self.sent.iter().map(|(_, message)| message.encode().to_vec()).collect();
        told.extend(self.state().map(|state| StreamMessage::PushPull(state).encode(false)));
        told.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// The victim's side of a push/pull.
    pub(crate) fn state(&mut self) -> Option<PushPull> {
        let nothing =
            PushPull { join: false, nodes: Vec::new(), skipped: 0, long_name: None, user_state: Bytes::new() };
        self.push_pull(nothing)
    }

    /// The pings that were answered since the last [`Self::forget`], by their numbers.
    pub(crate) fn acked(&self) -> Vec<u32> {
        let acks = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Ack(ack) => Some(ack.seq_no.get()),
            _ => None,
        });
        acks.collect()
    }

    pub(crate) fn drops(&self, reason: Drop) -> u64 {
        self.endpoint.drops().get(reason)
    }

    pub(crate) fn swim_drops(&self, reason: swim::Drop) -> u64 {
        let mut drops = self.endpoint.swim().stats().drops();
        drops.find(|(other, _)| *other == reason).map(|(_, count)| count).unwrap()
    }

    pub(crate) fn serf_drops(&self, reason: serf::Drop) -> u64 {
        self.endpoint.serf().drops().get(reason)
    }

    pub(crate) fn knows(&self, who: &str) -> bool {
        self.endpoint.swim().member(&name(who)).is_some() || self.endpoint.member(who).is_some()
    }

    /// It answers pings and push/pulls, holds itself and its friend alive, and no stream of the attacker's is left.
    pub(crate) fn assert_unharmed(&mut self) {
        for who in ["us", "friend"] {
            let member = self.endpoint.swim().member(&name(who)).unwrap_or_else(|| panic!("{who} is gone"));
            assert!(!member.state.is_gone(), "{who} is {:?}", member.state);
            assert_eq!(self.endpoint.member(who).map(|member| member.status), Some(serf::Status::Alive), "{who}");
        }
        self.sent.clear();
        self.packet(&ping(4711));
        assert_eq!(self.acked(), [4711], "it answers pings");
        let state = self.state().expect("it answers push/pulls");
        assert!(state.nodes.iter().any(|node| node.alive.node == name("friend")));
        assert_eq!(self.endpoint.open_streams(), 0, "no stream is left");
    }

    fn take_outputs(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.endpoint.poll_output() {
            outputs += 1;
            assert!(outputs < 200_000, "one input causes outputs without end");
            match output {
                Output::Datagram { to, payload } => self.take_datagram(to, &payload),
                Output::Write { stream, data, close } => {
                    let plain = self.opened_frame(&data);
                    self.written.push((stream, plain));
                    if close {
                        self.closed.push(stream);
                    }
                }
                Output::Close { stream } => self.closed.push(stream),
                Output::Connect { stream, to } => self.dialled_to(stream, to),
                Output::Event(event) => self.events.push(event),
                Output::Joined(joined) => {
                    let failures = joined.failures.iter().map(|(_, failure)| failure.to_string());
                    self.failures = Some(failures.collect());
                }
                _ => {}
            }
        }
    }

    fn take_datagram(&mut self, to: SocketAddr, payload: &[u8]) {
        let decoded = packet::decode(&self.opened(payload));
        assert_eq!(decoded.errors, [], "what it sends can be read");
        for message in decoded.messages {
            if let Message::Ping(ping) = &message
                && to == friend()
                && self.friend_answers
            {
                let ack = Message::Ack(Ack { seq_no: ping.seq_no, payload: Bytes::new(), weir: None });
                let datagram = self.in_datagram(&ack.encode());
                self.endpoint.handle_datagram(self.now, friend(), &datagram);
            }
            self.sent.push((to, message));
        }
    }

    fn dialled_to(&mut self, stream: StreamId, to: SocketAddr) {
        self.dialled.push(to);
        match self.answer.clone() {
            Some(answer) => {
                self.endpoint.handle_connected(self.now, stream);
                self.endpoint.handle_stream_data(self.now, stream, &answer);
                self.endpoint.handle_stream_end(self.now, stream, None);
            }
            None => self.endpoint.handle_stream_end(self.now, stream, Some("connection refused".into())),
        }
    }

    fn in_datagram(&mut self, plain: &[u8]) -> Vec<u8> {
        let Some(ring) = &self.ring else { return plain.to_vec() };
        self.nonce += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.nonce.to_be_bytes());
        ring.seal_packet(nonce, b"", plain)
    }

    fn opened(&self, payload: &[u8]) -> Vec<u8> {
        match &self.ring {
            Some(ring) => ring.open_packet(b"", payload).expect("sealed under the key, in the old envelope").plain,
            None => payload.to_vec(),
        }
    }

    fn opened_frame(&self, data: &[u8]) -> Vec<u8> {
        match &self.ring {
            Some(ring) => ring.open_frame(b"", data).map(|opened| opened.plain).unwrap_or_else(|_| data.to_vec()),
            None => data.to_vec(),
        }
    }
}

/// A packet in memberlist's envelope whose plain text is exactly this, padding of version 0 included.
pub(crate) fn sealed_padded(padded: &[u8]) -> Vec<u8> {
    // What version 1 seals, relabelled: the version is not authenticated.
    let mut out = Vec::new();
    envelope::seal(&key(), Version::V1, [5; 12], &[b""], padded, &mut out);
    out[0] = 0;
    out
}

/// The same as the frame of a stream.
pub(crate) fn sealed_padded_frame(padded: &[u8]) -> Vec<u8> {
    let mut out = envelope::seal_frame(&key(), Version::V1, [5; 12], b"", padded);
    out[5] = 0;
    out
}
