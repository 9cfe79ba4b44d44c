//! One client: bytes in, whole requests out, and the end of it (`rpc §1, §7`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::counters::count;
use super::session::Session;
use super::{MAX_CONNECTIONS, REQUEST_TIMEOUT, Shared, stopped, writer};
use crate::rpc::proto::{Body, Command, FrameError, Frames, Header, Response, ResponseHeader};

/// Bytes asked for in one read.
const READ_BYTES: usize = 8 * 1024;

/// After the answer to a leave, the client has so long to close the connection itself.
const LINGER: Duration = Duration::from_secs(1);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// For the log: `127.0.0.1:34174`, or `pid 812 uid 1000`.
    pub(super) name: Arc<str>,
    /// Opened the Unix socket, which its mode and group allow.
    pub(super) is_local: bool,
}

impl Peer {
    pub(super) fn local(stream: &UnixStream) -> Self {
        let name = match stream.peer_cred() {
            Ok(cred) => format!("pid {} uid {} gid {}", cred.pid().unwrap_or(0), cred.uid(), cred.gid()),
            Err(_) => "unknown".to_owned(),
        };
        Self { name: name.into(), is_local: true }
    }

    pub(super) fn remote(from: SocketAddr) -> Self {
        Self { name: from.to_string().into(), is_local: false }
    }
}

/// Whether there is room for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    Admitted,
    /// It is told so in answer to its first request.
    TurnedAway,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum End {
    #[error("client closed the connection")]
    Closed,
    #[error("client closed the connection inside a request")]
    Truncated,
    #[error("request not understood")]
    Malformed,
    #[error("request too large")]
    TooLarge,
    #[error("request took too long")]
    TooSlow,
    /// The answer said so.
    #[error("client broke the order rules")]
    Refused,
    #[error("agent is stopping")]
    Stopping,
    #[error("client does not read")]
    Stuck,
}

/// Serves a client to its end.
pub(super) async fn serve<R, W>(reader: R, socket: W, peer: Peer, admission: Admission, shared: Shared)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let counters = shared.counters.clone();
    let (outbox, messages) = mpsc::channel(writer::OUTBOX_LEN);
    let writer = tokio::spawn(writer::write_all(socket, messages, peer.name.clone(), counters.clone()));
    let mut input = Input::new(reader, shared.shutdown.clone());
    let end = if admission == Admission::TurnedAway {
        turn_away(&mut input, &outbox).await
    } else {
        count(&counters.accepted);
        counters.clients.fetch_add(1, Ordering::Relaxed);
        debug!(client = %peer.name, "accepted rpc client");
        let mut session = Session::new(&peer, &shared, outbox.clone());
        let end = tokio::select! {
            end = session.run(&mut input) => end,
            () = outbox.closed() => End::Stuck,
        };
        if end == End::Stopping && session.has_left() {
            input.linger().await;
        }
        counters.clients.fetch_sub(1, Ordering::Relaxed);
        end
    };
    match end {
        End::Malformed | End::Truncated => count(&counters.malformed),
        End::TooLarge => count(&counters.too_large),
        End::TooSlow => count(&counters.too_slow),
        End::Closed | End::Refused | End::Stopping | End::Stuck => {}
    }
    debug!(client = %peer.name, reason = %end, "rpc client gone");
    drop(outbox);
    // The session's streams are gone; replies to what the client has asked still go out.
    let _ = writer.await;
}

/// Tells a client that there are too many, in answer to its first request: no client reads an answer that it did not ask for.
async fn turn_away<R: AsyncRead + Unpin>(input: &mut Input<R>, outbox: &mpsc::Sender<Vec<u8>>) -> End {
    let header = match input.header(MAX_TURNED_AWAY_BYTES).await {
        Ok(header) => header,
        Err(end) => return end,
    };
    let body = Command::from_name(&header.command).map_or(Body::Empty, |command| Body::blank(&command));
    let error = format!("too many RPC clients, the limit is {MAX_CONNECTIONS}");
    let header = ResponseHeader { seq: header.seq, error, ours: None };
    // The writer lives as long as it can write.
    let _ = outbox.send(Response { header, body }.encode()).await;
    End::Refused
}

/// A handshake has 30 bytes.
const MAX_TURNED_AWAY_BYTES: usize = 1024;

/// The client's bytes as values.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    frames: Frames,
    shutdown: watch::Receiver<bool>,
    /// When the request being read must be whole. The first one has one from the start, later ones from their first byte; until
    /// a client has shown all that it has to, all of them have the first one's.
    deadline: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Input<R> {
    fn new(reader: R, shutdown: watch::Receiver<bool>) -> Self {
        Self { reader, frames: Frames::default(), shutdown, deadline: Some(Instant::now() + REQUEST_TIMEOUT) }
    }

    /// The next request's header. Between requests the client may be silent for as long as it likes.
    pub(super) async fn header(&mut self, limit: usize) -> Result<Header, End> {
        self.fill(limit).await?;
        let header = Header::decode(self.frames.take()).map_err(|_| End::Malformed)?;
        self.deadline.get_or_insert_with(|| Instant::now() + REQUEST_TIMEOUT);
        Ok(header)
    }

    /// The body that belongs to the header just read.
    pub(super) async fn body(&mut self, limit: usize) -> Result<&[u8], End> {
        self.fill(limit).await.map_err(|end| if end == End::Closed { End::Truncated } else { end })?;
        Ok(self.frames.take())
    }

    /// A request is whole: the next one has its own time.
    pub(super) fn finish_request(&mut self) {
        self.deadline = None;
    }

    /// Lets the client hang up first. Go's client throws an answer away if the connection's end comes right behind it.
    async fn linger(&mut self) {
        let mut scratch = [0; 256];
        let until_closed = async { while matches!(self.reader.read(&mut scratch).await, Ok(1..)) {} };
        // Long enough for a client that has its answer; whoever stays longer is hung up on.
        let _ = timeout(LINGER, until_closed).await;
    }

    /// Reads until a whole value is there.
    async fn fill(&mut self, limit: usize) -> Result<(), End> {
        loop {
            match self.frames.is_ready(limit) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(FrameError::Malformed) => return Err(End::Malformed),
                Err(FrameError::TooLarge(_)) => return Err(End::TooLarge),
            }
            let partial = self.frames.is_partial();
            if partial {
                self.deadline.get_or_insert_with(|| Instant::now() + REQUEST_TIMEOUT);
            }
            if self.read().await? == 0 {
                return Err(if partial { End::Truncated } else { End::Closed });
            }
        }
    }

    /// Waits for bytes; 0 at the end.
    async fn read(&mut self) -> Result<usize, End> {
        let deadline = self.deadline;
        let overdue = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let buffer = self.frames.buffer();
        buffer.reserve(READ_BYTES);
        tokio::select! {
            biased;
            () = stopped(&mut self.shutdown) => Err(End::Stopping),
            read = self.reader.read_buf(buffer) => read.map_err(|_| End::Closed),
            () = overdue => Err(End::TooSlow),
        }
    }
}
