//! What happens on streams: exchanges of full state, pings and user messages.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::crypto::KeyId;
use crate::crypto::session::{DropReason, StreamHead};
use crate::serf;
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::DecodeError;
use crate::wire::message::{Ack, Ping, PushNode, PushPull, StreamMessage, kind};
use tracing::debug;

use super::envelope::{Seal, StreamContent, is_gossip};
use super::join::{Exchange, Join, JoinFailure, JoinId, JoinKind, StreamError};
use super::peers::Knowledge;
use super::stream::{Refused, Role, Session, Stream, StreamId};
use super::{Drop, Endpoint, Joined, Output};

impl Endpoint {
    /// A peer opened a stream. `None`: too many are open, close it.
    pub fn handle_accepted(&mut self, now: Instant, from: SocketAddr) -> Option<StreamId> {
        if self.is_silent() {
            return None;
        }
        match self.streams.accept(from, now + self.options.swim.tcp_timeout) {
            Ok(id) => Some(id),
            Err(refused) => {
                self.drops.count(refused.into());
                None
            }
        }
    }

    /// A stream of an [`Output::Connect`] is open.
    pub fn handle_connected(&mut self, now: Instant, stream: StreamId) {
        let Some(open) = self.streams.get(stream) else { return };
        let Some(request) = self.request(open.role.clone()) else { return };
        if matches!(request, StreamMessage::PushPull(_)) {
            self.streams.connected(stream, now + self.options.swim.tcp_timeout);
        }
        if self.opens_in_session(stream)
            && let (Some(primary), Some(sessions)) = (self.envelope.primary().cloned(), self.envelope.sessions_mut())
        {
            let opening = sessions.open_stream(&primary);
            let data = self.envelope.labelled(opening.head().as_bytes().to_vec());
            self.streams.set_session(stream, Session::Opening(Box::new(opening)), Vec::new());
            self.outputs.push_back(Output::Write { stream, data, close: false });
        } else {
            let data = self.encode_stream(&request, None, true, now);
            self.outputs.push_back(Output::Write { stream, data, close: false });
        }
        self.settle(now);
    }

    /// Bytes arrived on a stream.
    pub fn handle_stream_data(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        match self.streams.receive(stream, bytes, now) {
            Ok(true) => self.read_stream(now, stream),
            Ok(false) => {}
            Err(refused) => {
                self.drops.count(refused.into());
                self.end_stream(now, stream, JoinFailure::Malformed("more than an exchange holds".to_owned()));
                self.outputs.push_back(Output::Close { stream });
            }
        }
        self.settle(now);
    }

    /// A stream ended: by the peer's hand, or with an error.
    pub fn handle_stream_end(&mut self, now: Instant, stream: StreamId, error: Option<StreamError>) {
        // The last bytes may have been held back by the pace of tries.
        if error.is_none() && self.streams.get(stream).is_some_and(|open| !open.received().is_empty()) {
            self.read_stream(now, stream);
        }
        if let Some(open) = self.streams.get(stream) {
            let unfinished = !matches!(open.role, Role::Finishing);
            if unfinished && open.is_partial() {
                self.drops.count(Drop::StreamTruncated);
            }
            let hung_up = JoinFailure::HungUp { key: self.envelope.keyring().map(|ring| ring.primary().id()) };
            self.end_stream(now, stream, error.map_or(hung_up, JoinFailure::Connect));
        }
        self.settle(now);
    }

    /// Opens a stream for an exchange of full state.
    pub(super) fn open_exchange(&mut self, now: Instant, to: SocketAddr, exchange: Exchange) {
        let (join, again) = (exchange.join.is_some(), exchange.retry_of.is_some());
        debug!(addr = %to, join, again, "stream is opened to exchange state");
        let stream = self.streams.open(to, Role::Exchange(exchange), now + self.options.swim.tcp_timeout);
        self.outputs.push_back(Output::Connect { stream, to });
    }

    /// Opens a stream to ping a member that is silent over UDP.
    pub(super) fn open_ping(&mut self, to: &Arc<Node>, ping: Ping, deadline: Instant) {
        let stream = self.streams.open(to.addr, Role::Ping(ping), deadline);
        self.outputs.push_back(Output::Connect { stream, to: to.addr });
    }

    /// Dials the next addresses of a join, or reports its end.
    pub(super) fn advance_join(&mut self, now: Instant, id: JoinId) {
        while let Some(target) = self.joins.next_target(id) {
            let (addr, exchange) = (target.addr, Exchange { node: None, join: Some((id, target)), retry_of: None });
            self.open_exchange(now, addr, exchange);
        }
        if let Some(join) = self.joins.take_finished(id) {
            if join.contacted > 0 && join.kind.is_announced() {
                self.serf.joined(now);
            }
            let Join { contacted, listed, failures, .. } = join;
            let joined = Joined { id, contacted, listed, failures };
            self.outputs.push_back(Output::Joined(joined));
        }
    }

    /// Ends what was not complete in time and tries what arrived in a trickle.
    pub(super) fn expire_streams(&mut self, now: Instant) {
        while let Some(stream) = self.streams.retry(now) {
            self.read_stream(now, stream);
        }
        while let Some(stream) = self.streams.expired(now) {
            self.drops.count(Drop::StreamTimeout);
            let connected = self.streams.get(stream).is_some_and(Stream::is_connected);
            let after = self.options.swim.tcp_timeout;
            self.end_stream(now, stream, JoinFailure::Timeout { connected, after });
            self.outputs.push_back(Output::Close { stream });
        }
    }

    /// What we say first on a stream that we opened.
    fn request(&self, role: Role) -> Option<StreamMessage> {
        match role {
            Role::Exchange(exchange) => Some(StreamMessage::PushPull(match self.join_kind(&exchange) {
                Some(JoinKind::Survey) => PushPull::default(),
                join => self.push_pull(join.is_some()),
            })),
            Role::Ping(ping) => Some(StreamMessage::Ping(ping)),
            Role::Accepted | Role::Finishing => None,
        }
    }

    /// What the join is for that an exchange belongs to, if it belongs to one.
    fn join_kind(&self, exchange: &Exchange) -> Option<JoinKind> {
        exchange.join.as_ref().and_then(|(id, _)| self.joins.kind(*id))
    }

    /// Whether a stream of ours goes in the session envelope (`session §6`).
    fn opens_in_session(&self, stream: StreamId) -> bool {
        let Some(mode) = self.session_mode() else { return false };
        let Some(open) = self.streams.get(stream) else { return false };
        let known = |name: Option<&crate::wire::NodeName>| {
            let name = name.or_else(|| self.peers.at(open.peer));
            name.is_some_and(|name| matches!(self.peers.knowledge(name), Knowledge::Session(_)))
        };
        mode == Seal::Session
            || match &open.role {
                Role::Exchange(exchange) => exchange.retry_of.is_some() || known(exchange.node.as_ref()),
                Role::Ping(ping) => known(ping.node.as_ref()),
                Role::Accepted | Role::Finishing => false,
            }
    }

    /// Reads on: frames of a session, or whatever the first bytes say it is.
    fn read_stream(&mut self, now: Instant, stream: StreamId) {
        if let Some(bytes) = self.streams.take_plain(stream) {
            return self.read_plain(now, stream, &bytes);
        }
        match self.streams.take_session(stream) {
            None => self.try_stream(now, stream),
            Some((Session::Opening(opening), bytes)) => match StreamHead::parse(&bytes) {
                Ok(Some((head, rest))) => {
                    let rest = rest.to_vec();
                    match opening.accepted(&head) {
                        Ok(exchange) => {
                            self.streams.set_session(stream, Session::Frames(Box::new(exchange)), rest);
                            self.send_request(now, stream);
                            self.read_stream(now, stream);
                        }
                        Err(reason) => self.refuse_session(now, stream, reason),
                    }
                }
                Ok(None) => self.streams.set_session(stream, Session::Opening(opening), bytes),
                // It does not understand sessions.
                Err(reason) => self.refuse_head(now, stream, reason, bytes.first().copied()),
            },
            Some((Session::Frames(mut exchange), bytes)) => match exchange.push(&bytes) {
                Ok(Some(plain)) => {
                    let key = exchange.key();
                    self.streams.set_session(stream, Session::Frames(exchange), Vec::new());
                    self.act(now, stream, &plain, Some(key));
                }
                Ok(None) => self.streams.set_session(stream, Session::Frames(exchange), Vec::new()),
                Err(reason) => self.refuse_session(now, stream, reason),
            },
        }
    }

    /// Both heads are known: our request follows.
    fn send_request(&mut self, now: Instant, stream: StreamId) {
        let Some(open) = self.streams.get(stream) else { return };
        let Some(request) = self.request(open.role.clone()) else { return };
        let plain = request.encode(self.options.compression);
        match self.seal_frames(stream, &plain) {
            Some(data) => self.outputs.push_back(Output::Write { stream, data, close: false }),
            None => self.refuse_session(now, stream, DropReason::FrameSize),
        }
    }

    fn seal_frames(&self, stream: StreamId, plain: &[u8]) -> Option<Vec<u8>> {
        match &self.streams.get(stream)?.session {
            Some(Session::Frames(exchange)) => exchange.seal(plain).ok(),
            Some(Session::Opening(_)) | None => None,
        }
    }

    /// What came is no head: a plain text, memberlist's envelope, or no gossip at all.
    fn refuse_head(&mut self, now: Instant, stream: StreamId, reason: DropReason, first: Option<u8>) {
        match first {
            Some(kind::ENCRYPT) | None => self.refuse_session(now, stream, reason),
            Some(first) if is_gossip(first) => self.refuse_stream(now, stream, Drop::Plaintext),
            Some(_) => self.refuse_stream(now, stream, Drop::NotGossip),
        }
    }

    /// A session stream went wrong. Nothing is said to the other side: it is closed.
    fn refuse_session(&mut self, now: Instant, stream: StreamId, reason: DropReason) {
        self.drops.count(reason.into());
        let failure = match reason {
            DropReason::KeyRefused(key) => self.key_refused(key),
            other => JoinFailure::Malformed(other.to_string()),
        };
        self.end_stream(now, stream, failure);
        self.outputs.push_back(Output::Close { stream });
    }

    /// The acceptor does not use our primary key and told its own: which of the two is to blame shows in our ring.
    fn key_refused(&self, theirs: KeyId) -> JoinFailure {
        let ring = self.ring_ids();
        match ring.first() {
            Some(ours) if ring.contains(&theirs) => JoinFailure::LacksOurKey { theirs, ours: *ours },
            _ => JoinFailure::KeyMissing { theirs, ring },
        }
    }

    fn ring_ids(&self) -> Vec<KeyId> {
        self.envelope.keyring().into_iter().flat_map(|ring| ring.keys()).map(crate::crypto::Key::id).collect()
    }

    /// Looks at what has arrived of a stream that is not a session's so far.
    fn try_stream(&mut self, now: Instant, stream: StreamId) {
        let Some(open) = self.streams.get(stream) else { return };
        let accepted = matches!(open.role, Role::Accepted);
        match self.envelope.open_stream(open.received(), accepted) {
            Ok(StreamContent::Partial) => {}
            Ok(StreamContent::Plain { plain, key: None }) => self.read_plain(now, stream, &plain),
            Ok(StreamContent::Plain { plain, key }) => self.act(now, stream, &plain, key),
            Ok(StreamContent::Session(head)) if accepted => self.accept_session(now, stream, &head),
            Ok(StreamContent::Session(_)) => self.refuse_stream(now, stream, Drop::Form),
            Err(reason) => self.refuse_stream(now, stream, reason),
        }
    }

    /// Answers the head of a session stream; frames follow.
    fn accept_session(&mut self, now: Instant, stream: StreamId, opener: &StreamHead) {
        let Some(ring) = self.envelope.keyring().cloned() else { return };
        let Some(sessions) = self.envelope.sessions_mut() else { return };
        let (head, accepted) = sessions.accept_stream(&ring, opener);
        let data = head.as_bytes().to_vec();
        match accepted {
            Ok(exchange) => {
                let received = self.streams.get(stream).map(|open| open.received().to_vec()).unwrap_or_default();
                let after_label = self.envelope.without_label(&received, true).ok().flatten().unwrap_or_default();
                let rest = after_label.get(head.as_bytes().len()..).unwrap_or_default().to_vec();
                self.streams.set_session(stream, Session::Frames(Box::new(exchange)), rest);
                self.outputs.push_back(Output::Write { stream, data, close: false });
                self.read_stream(now, stream);
            }
            Err(reason) => {
                self.drops.count(reason.into());
                self.note_stream(now, stream, reason.into(), Some(opener.key()));
                self.streams.finish(stream, now + self.options.swim.tcp_timeout);
                self.outputs.push_back(Output::Write { stream, data, close: true });
            }
        }
    }

    /// Decodes what was opened of a sealed stream, and acts on it.
    fn act(&mut self, now: Instant, stream: StreamId, plain: &[u8], key: Option<KeyId>) {
        self.act_on(now, stream, StreamMessage::decode(plain), key);
    }

    /// Reads on in a plain text, and acts on it once it is complete.
    fn read_plain(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        let message = self.streams.read_plain(stream, bytes);
        self.act_on(now, stream, message, None);
    }

    fn act_on(
        &mut self,
        now: Instant,
        stream: StreamId,
        message: Result<Option<StreamMessage>, DecodeError>,
        key: Option<KeyId>,
    ) {
        let accepted = self.streams.get(stream).is_some_and(|open| matches!(open.role, Role::Accepted));
        if matches!(message, Ok(Some(_))) {
            self.heard.by_stream(now);
        }
        match message {
            Ok(Some(message)) if accepted => self.serve(now, stream, message, key),
            Ok(Some(message)) => self.complete(now, stream, message),
            // Inside a frame everything is there already.
            Ok(None) if key.is_some() => self.refuse_stream(now, stream, Drop::Malformed),
            Ok(None) => {}
            Err(_) => self.refuse_stream(now, stream, Drop::Malformed),
        }
    }

    /// Acts on a complete request.
    fn serve(&mut self, now: Instant, stream: StreamId, request: StreamMessage, key: Option<KeyId>) {
        let answer = match request {
            StreamMessage::PushPull(theirs) => {
                let answer = StreamMessage::PushPull(self.push_pull(theirs.join));
                let data = self.encode_answer(stream, &answer, key, now);
                self.merge(now, theirs, None);
                data
            }
            StreamMessage::Ping(ping) if ping.node.as_ref().is_none_or(|node| *node == self.options.name) => {
                let ack = Ack { seq_no: ping.seq_no, payload: bytes::Bytes::new(), weir: None };
                self.encode_answer(stream, &StreamMessage::Ack(ack), key, now)
            }
            StreamMessage::User(payload) => {
                if let Some(from) = self.streams.get(stream).map(|open| open.peer) {
                    self.serf.handle_message(now, from, &payload);
                }
                None
            }
            StreamMessage::Ping(_) => None,
            StreamMessage::Ack(_) | StreamMessage::Error(_) => {
                self.drops.count(Drop::MessageType);
                None
            }
        };
        match answer {
            Some(data) => {
                self.streams.finish(stream, now + self.options.swim.tcp_timeout);
                self.outputs.push_back(Output::Write { stream, data, close: true });
            }
            None => {
                self.streams.remove(stream);
                self.outputs.push_back(Output::Close { stream });
            }
        }
    }

    /// Acts on the complete answer to a request of ours.
    fn complete(&mut self, now: Instant, stream: StreamId, answer: StreamMessage) {
        let Some(open) = self.streams.remove(stream) else { return };
        self.outputs.push_back(Output::Close { stream });
        match (open.role, answer) {
            (Role::Exchange(exchange), StreamMessage::PushPull(theirs)) => {
                let result = match (self.join_kind(&exchange), &exchange.join) {
                    (Some(JoinKind::Survey), Some((id, _))) => {
                        self.joins.listed(*id, self.with_ports(theirs.nodes));
                        Ok(())
                    }
                    (kind, _) if self.merge(now, theirs, kind) => Ok(()),
                    _ => Err(JoinFailure::Versions),
                };
                self.end_exchange(now, exchange, result);
            }
            (Role::Exchange(exchange), StreamMessage::Error(text)) => {
                self.end_exchange(now, exchange, Err(JoinFailure::Remote(text)));
            }
            (Role::Exchange(exchange), _) => {
                self.drops.count(Drop::MessageType);
                self.end_exchange(now, exchange, Err(JoinFailure::Malformed("another message".to_owned())));
            }
            (Role::Ping(ping), StreamMessage::Ack(ack)) if ack.seq_no == ping.seq_no => {
                self.swim.handle_stream_ack(now, ping.seq_no);
            }
            (Role::Ping(_) | Role::Accepted | Role::Finishing, _) => self.drops.count(Drop::MessageType),
        }
    }

    /// Refuses a stream that cannot be read, and tells an opener why, as the reference does. In a session nothing is told
    /// (`session §5`), and who sends nothing but sessions hangs up: that makes an opener try once more in one.
    fn refuse_stream(&mut self, now: Instant, stream: StreamId, reason: Drop) {
        self.drops.count(reason);
        let accepted = self.streams.get(stream).is_some_and(|open| matches!(open.role, Role::Accepted));
        if accepted {
            self.note_stream(now, stream, reason, None);
        }
        let in_session = self.streams.get(stream).is_some_and(|open| open.session.is_some());
        if accepted && !in_session && self.session_mode() != Some(Seal::Session) {
            let text = match reason {
                Drop::Encrypted => "remote state is encrypted and encryption is not configured",
                Drop::Plaintext => "encryption is configured but remote state is not encrypted",
                _ => "remote state cannot be read",
            };
            let data = self.encode_stream(&StreamMessage::Error(text.to_owned()), None, false, now);
            self.streams.finish(stream, now + self.options.swim.tcp_timeout);
            return self.outputs.push_back(Output::Write { stream, data, close: true });
        }
        let failure = match reason {
            Drop::Plaintext => JoinFailure::Plaintext,
            Drop::NotGossip => JoinFailure::NotGossip,
            Drop::Encrypted => JoinFailure::Encrypted,
            Drop::NotOpened => JoinFailure::UnknownKey { ring: self.ring_ids() },
            Drop::Label => JoinFailure::Label,
            other => JoinFailure::Malformed(other.as_str().replace('_', " ")),
        };
        self.end_stream(now, stream, failure);
        self.outputs.push_back(Output::Close { stream });
    }

    fn note_stream(&mut self, now: Instant, stream: StreamId, reason: Drop, key: Option<KeyId>) {
        if let Some(addr) = self.streams.get(stream).map(|open| open.peer) {
            self.note_stranger(now, addr, reason, key);
        }
    }

    /// Forgets a stream that did not complete, and what it was for.
    fn end_stream(&mut self, now: Instant, stream: StreamId, failure: JoinFailure) {
        let Some(open) = self.streams.remove(stream) else { return };
        let in_session = open.session.is_some();
        let connected = open.is_connected();
        if let Role::Exchange(exchange) = open.role {
            debug!(addr = %open.peer, in_session, error = %failure, "exchange of state failed");
            if !in_session && self.tries_session(&exchange, &failure, connected) {
                let retry = Exchange { retry_of: Some(failure), ..exchange };
                return self.open_exchange(now, open.peer, retry);
            }
            self.session_stream_failed(now, open.peer, &exchange, in_session);
            // A second try that got no further says less than the first, unless it names the peer's key.
            let failure = match (&exchange.retry_of, failure) {
                (
                    _,
                    named @ (JoinFailure::KeyMissing { .. } | JoinFailure::LacksOurKey { .. } | JoinFailure::NotGossip),
                ) => named,
                (Some(first), _) => first.clone(),
                (None, failure) => failure,
            };
            if let JoinFailure::KeyMissing { theirs, .. } = failure {
                self.note_stranger(now, open.peer, Drop::KeyUnknown, Some(theirs));
            }
            self.end_exchange(now, exchange, Err(failure));
        }
    }

    /// Whether an exchange that memberlist's envelope was refused for is tried once more as a session.
    /// A peer that closes before it has read everything resets the connection.
    fn tries_session(&self, exchange: &Exchange, failure: &JoinFailure, connected: bool) -> bool {
        let refused = match failure {
            JoinFailure::HungUp { .. }
            | JoinFailure::UnknownKey { .. }
            | JoinFailure::Malformed(_)
            | JoinFailure::Encrypted => true,
            JoinFailure::Connect(_) => connected,
            _ => false,
        };
        let old = exchange.node.as_ref().is_some_and(|name| self.peers.knowledge(name) == Knowledge::Old);
        refused && exchange.retry_of.is_none() && !old && self.session_mode() == Some(Seal::Auto)
    }

    /// A session stream to a dead member failed: perhaps it is another process by now.
    fn session_stream_failed(&mut self, now: Instant, peer: SocketAddr, exchange: &Exchange, in_session: bool) {
        let name = exchange.node.clone().or_else(|| self.peers.at(peer).cloned());
        if let Some(name) = name.filter(|name| in_session && self.swim.is_gone(name)) {
            let probe = self.swim.ping_to(&name).seq_no;
            self.send_fallbacks(now, peer, &name, probe);
        }
    }

    fn end_exchange(&mut self, now: Instant, exchange: Exchange, result: Result<(), JoinFailure>) {
        if let Some((id, target)) = exchange.join {
            self.joins.ended(id, target, result);
            self.advance_join(now, id);
        }
    }

    /// Merges the other side's state. False if none of its members speaks a version that we understand.
    fn merge(&mut self, now: Instant, theirs: PushPull, join: Option<JoinKind>) -> bool {
        let (entries, nodes) = (theirs.nodes.len() + theirs.skipped, self.with_ports(theirs.nodes));
        self.note_long_name(now, theirs.long_name);
        let used = self.swim.merge(now, nodes);
        if used == 0 && entries > 0 {
            return false;
        }
        // Members must exist in the Serf layer before the state about them arrives.
        self.settle(now);
        if !theirs.user_state.is_empty() {
            let ignore_old = matches!(join, Some(JoinKind::Join { ignore_old: true }));
            let kind = serf::JoinKind { ours: join.is_some(), ignore_old };
            self.serf.merge_state(now, &theirs.user_state, theirs.join.then_some(kind));
        }
        self.traffic.exchanges += 1;
        true
    }

    /// Port 0 in an entry means the receiver's own.
    fn with_ports(&self, mut nodes: Vec<PushNode>) -> Vec<PushNode> {
        for node in nodes.iter_mut().filter(|node| node.alive.addr.port() == 0) {
            node.alive.addr.set_port(self.options.advertise.port());
        }
        nodes
    }

    fn push_pull(&self, join: bool) -> PushPull {
        let (nodes, user_state) = (self.swim.local_state(), self.serf.local_state());
        PushPull { join, nodes, user_state, ..PushPull::default() }
    }

    /// An answer goes in the envelope that the request came in. `None` if it is too large for it.
    fn encode_answer(
        &mut self,
        stream: StreamId,
        answer: &StreamMessage,
        key: Option<KeyId>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        if self.streams.get(stream).is_some_and(|open| open.session.is_some()) {
            self.seal_frames(stream, &answer.encode(self.options.compression))
        } else {
            Some(self.encode_stream(answer, key, false, now))
        }
    }

    fn encode_stream(
        &mut self,
        message: &StreamMessage,
        answer_to: Option<KeyId>,
        opener: bool,
        now: Instant,
    ) -> Vec<u8> {
        let plain = message.encode(self.options.compression);
        self.envelope.seal_stream(plain, answer_to, opener, now, &mut self.rng)
    }
}

impl From<Refused> for Drop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::All => Self::StreamLimit,
            Refused::FromSource => Self::StreamSource,
            Refused::Length => Self::StreamLength,
        }
    }
}
