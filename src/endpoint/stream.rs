//! Stream exchanges: push/pull, ping and user messages over TCP (`memberlist §3`).
//!
//! One exchange per connection. The driver owns the sockets; here is what was received, for how long, and how much of it
//! one source and all of them together may make us hold.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::crypto::session;
use crate::time::Instant;
use crate::wire::DecodeError;
use crate::wire::message::{Ping, StreamMessage};
use crate::wire::stream::StreamReader;

use super::join::Exchange;

/// Streams served at once.
pub const MAX_STREAMS: usize = 128;
/// Streams that one source address may hold open.
pub const MAX_STREAMS_PER_SOURCE: usize = 16;
/// Bytes held for all streams together that are not complete yet.
pub const MAX_BUFFERED_BYTES: usize = 64 << 20;
/// Bytes of one stream: an encrypted frame of 20 MiB, or as much again in plain text.
pub const MAX_STREAM_BYTES: usize = 40 << 20;
/// Plain streams have no outer length, so each try to decode one looks at its last record again. This bounds how often a
/// trickle is tried.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Identifies a stream between the endpoint and its driver.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(u64);

#[cfg(test)]
impl StreamId {
    /// For tests of drivers, which have no endpoint to number their streams.
    pub(crate) const fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// What a stream is for.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// A peer opened it; its request is not complete.
    Accepted,
    /// Our last bytes are on their way; the driver reports the end.
    Finishing,
    /// We opened it for an exchange of full state.
    Exchange(Exchange),
    /// We opened it to ping a member that is silent over UDP.
    Ping(Ping),
}

/// How far a stream in the session envelope has come.
#[derive(Debug)]
pub(super) enum Session {
    /// Our head is on its way.
    Opening(Box<session::Opening>),
    /// Both heads are known: frames follow.
    Frames(Box<session::Exchange>),
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) peer: SocketAddr,
    pub(super) role: Role,
    pub(super) session: Option<Session>,
    /// Once it is known to be in plain text: what was read of it.
    plain: Option<StreamReader>,
    /// Received and not yet taken.
    received: Vec<u8>,
    /// Bytes received in all: they count until the stream ends, in whatever form they are held.
    held: usize,
    /// How much had been received at the last try to decode it.
    tried: usize,
    retry_at: Option<Instant>,
    connected: bool,
    deadline: Instant,
}

impl Stream {
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Whether an exchange of ours got as far as its request.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether something has arrived that is not the whole of anything.
    pub(super) fn is_partial(&self) -> bool {
        self.held > 0
    }
}

/// All open streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    next: u64,
    open: BTreeMap<StreamId, Stream>,
    accepted: HashMap<IpAddr, usize>,
    buffered: usize,
}

/// Why a stream was not accepted, or not read further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    All,
    FromSource,
    Length,
}

impl Streams {
    pub(super) fn accept(&mut self, peer: SocketAddr, deadline: Instant) -> Result<StreamId, Refused> {
        let from_source = self.accepted.get(&peer.ip()).copied().unwrap_or_default();
        if from_source >= MAX_STREAMS_PER_SOURCE {
            return Err(Refused::FromSource);
        }
        if self.accepted.values().sum::<usize>() >= MAX_STREAMS {
            return Err(Refused::All);
        }
        self.accepted.insert(peer.ip(), from_source + 1);
        Ok(self.insert(peer, Role::Accepted, deadline))
    }

    pub(super) fn open(&mut self, peer: SocketAddr, role: Role, deadline: Instant) -> StreamId {
        self.insert(peer, role, deadline)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.open.get(&id)
    }

    /// Appends what arrived. True if it is worth trying to decode what is there.
    pub(super) fn receive(&mut self, id: StreamId, bytes: &[u8], now: Instant) -> Result<bool, Refused> {
        let Some(stream) = self.open.get_mut(&id) else { return Ok(false) };
        if matches!(stream.role, Role::Finishing) {
            return Ok(false);
        }
        if stream.held + bytes.len() > MAX_STREAM_BYTES || self.buffered + bytes.len() > MAX_BUFFERED_BYTES {
            return Err(Refused::Length);
        }
        self.buffered += bytes.len();
        stream.held += bytes.len();
        stream.received.extend_from_slice(bytes);
        let len = stream.held;
        if stream.session.is_some() {
            return Ok(true);
        }
        if stream.tried == 0 || len >= stream.tried + stream.tried / 8 {
            stream.tried = len;
            stream.retry_at = None;
            return Ok(true);
        }
        stream.retry_at.get_or_insert(now + RETRY_PAUSE);
        Ok(false)
    }

    /// The state of a stream in the session envelope, to be put back or replaced, and what has arrived since.
    pub(super) fn take_session(&mut self, id: StreamId) -> Option<(Session, Vec<u8>)> {
        let stream = self.open.get_mut(&id)?;
        let session = stream.session.take()?;
        Some((session, std::mem::take(&mut stream.received)))
    }

    /// What has arrived since the last time of a stream that is in plain text; `None` if it is not, or not known to be.
    pub(super) fn take_plain(&mut self, id: StreamId) -> Option<Vec<u8>> {
        let stream = self.open.get_mut(&id)?;
        stream.plain.as_ref()?;
        Some(std::mem::take(&mut stream.received))
    }

    /// Reads on in a stream that is in plain text. Nothing is looked at twice, a record that is cut off aside.
    pub(super) fn read_plain(&mut self, id: StreamId, plain: &[u8]) -> Result<Option<StreamMessage>, DecodeError> {
        let Some(stream) = self.open.get_mut(&id) else { return Ok(None) };
        stream.received = Vec::new();
        stream.plain.get_or_insert_default().push(plain)
    }

    /// From now on, or still, in the session envelope; `rest` is what followed the head.
    pub(super) fn set_session(&mut self, id: StreamId, session: Session, rest: Vec<u8>) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.session = Some(session);
            stream.received = rest;
            stream.retry_at = None;
        }
    }

    /// Switches to sending the last bytes, with a deadline of their own.
    pub(super) fn finish(&mut self, id: StreamId, deadline: Instant) {
        if let Some(stream) = self.open.get_mut(&id) {
            self.buffered -= stream.held;
            stream.held = 0;
            stream.received = Vec::new();
            stream.session = None;
            stream.plain = None;
            stream.retry_at = None;
            stream.role = Role::Finishing;
            stream.deadline = deadline;
        }
    }

    /// An exchange of ours is connected: from now on it has until `deadline`.
    pub(super) fn connected(&mut self, id: StreamId, deadline: Instant) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.connected = true;
            stream.deadline = deadline;
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.buffered -= stream.held;
        if matches!(stream.role, Role::Accepted | Role::Finishing)
            && let Some(count) = self.accepted.get_mut(&stream.peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                self.accepted.remove(&stream.peer.ip());
            }
        }
        Some(stream)
    }

    /// A stream whose deadline has passed.
    pub(super) fn expired(&self, now: Instant) -> Option<StreamId> {
        self.open.iter().find(|(_, stream)| stream.deadline <= now).map(|(id, _)| *id)
    }

    /// A stream that should be tried again, because it grew little by little.
    pub(super) fn retry(&mut self, now: Instant) -> Option<StreamId> {
        let (id, stream) = self.open.iter_mut().find(|(_, s)| s.retry_at.is_some_and(|at| at <= now))?;
        stream.retry_at = None;
        stream.tried = stream.held;
        Some(*id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().flat_map(|stream| [Some(stream.deadline), stream.retry_at]).flatten().min()
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn insert(&mut self, peer: SocketAddr, role: Role, deadline: Instant) -> StreamId {
        self.next += 1;
        let id = StreamId(self.next);
        let received = Vec::new();
        let (session, plain) = (None, None);
        let (retry_at, connected) = (None, false);
        let stream = Stream { peer, role, session, plain, received, held: 0, tried: 0, retry_at, connected, deadline };
        self.open.insert(id, stream);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], port))
    }

    const LATER: Instant = Instant::from_nanos(u64::MAX);

    #[test]
    fn one_source_cannot_take_all_streams() {
        let mut streams = Streams::default();
        let ids: Vec<_> =
            (0..MAX_STREAMS_PER_SOURCE).map(|i| streams.accept(source(1, i as u16), LATER).unwrap()).collect();
        assert_eq!(streams.accept(source(1, 999), LATER), Err(Refused::FromSource));
        assert!(streams.accept(source(2, 1), LATER).is_ok());
        streams.finish(ids[0], LATER);
        assert_eq!(streams.accept(source(1, 999), LATER), Err(Refused::FromSource), "still sending");
        streams.remove(ids[0]);
        assert!(streams.accept(source(1, 999), LATER).is_ok());
    }

    #[test]
    fn all_sources_together_are_bounded() {
        let mut streams = Streams::default();
        for i in 0..MAX_STREAMS {
            streams.accept(source((i / 8) as u8 + 1, i as u16), LATER).unwrap();
        }
        assert_eq!(streams.accept(source(200, 1), LATER), Err(Refused::All));
    }

    #[test]
    fn a_trickle_is_tried_rarely_and_at_last() {
        let mut streams = Streams::default();
        let id = streams.accept(source(1, 1), LATER).unwrap();
        assert_eq!(streams.receive(id, &[0; 1000], Instant::ZERO), Ok(true));
        assert_eq!(streams.receive(id, &[0; 10], Instant::ZERO), Ok(false));
        assert_eq!(streams.retry(Instant::ZERO), None);
        assert_eq!(streams.retry(Instant::ZERO + RETRY_PAUSE), Some(id));
        assert_eq!(streams.retry(Instant::ZERO + RETRY_PAUSE), None);
    }

    #[test]
    fn what_all_streams_hold_is_bounded() {
        let mut streams = Streams::default();
        let chunk = vec![0; 8 << 20];
        let mut held = 0;
        for i in 0..MAX_STREAMS_PER_SOURCE {
            let id = streams.accept(source(1, i as u16), LATER).unwrap();
            if streams.receive(id, &chunk, Instant::ZERO).is_ok() {
                held += chunk.len();
            }
        }
        assert_eq!(held, MAX_BUFFERED_BYTES);
    }
}
