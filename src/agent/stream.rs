//! TCP streams: a task per stream moves bytes, the loop alone decides what they mean.
//!
//! Everything is bounded: bytes on their way to the loop, writes on their way out, the time to connect, to write, and to
//! wait for a peer that was told goodbye. How many streams there may be is the endpoint's decision.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::udp::canonical;
use crate::endpoint::{Cause, Endpoint, StreamError, StreamId};
use crate::error::system_words;
use crate::outage::Outage;
use crate::time;

/// memberlist's TCP timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may still talk after we have closed: closing a socket with unread bytes would destroy what we wrote.
const GOODBYE: Duration = Duration::from_secs(2);

const READ_BYTES: usize = 16 * 1024;
/// Inputs of all streams together that wait for the loop.
const INPUT_QUEUE: usize = 32;
/// Writes of one stream that wait for the socket.
const WRITE_QUEUE: usize = 64;

const ACCEPT_BACKOFF_FIRST: Duration = Duration::from_millis(5);
const ACCEPT_BACKOFF_LAST: Duration = Duration::from_secs(1);

/// Accepts gossip streams; survives what makes `accept` fail, such as a full table of files.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    port: u16,
    backoff: Option<(Duration, Instant)>,
    outage: Outage,
}

impl Listener {
    /// Takes a listening, non-blocking socket; must be called inside the runtime.
    pub(super) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        let listener = TcpListener::from_std(socket)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port, backoff: None, outage: Outage::default() })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next connection. Cancel-safe: a pause after an error goes on where it was.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some((_, until)) = self.backoff {
                sleep_until(until).await;
            }
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    self.backoff = None;
                    if let Some(failures) = self.outage.worked(Instant::now().into_std()) {
                        info!(failures, "gossip streams are accepted again");
                    }
                    return (stream, canonical(from));
                }
                Err(error) => self.back_off(&error),
            }
        }
    }

    fn back_off(&mut self, error: &io::Error) {
        if self.outage.failed(Instant::now().into_std()) {
            warn!(%error, "cannot accept gossip streams for the moment");
        }
        let pause = next_backoff(self.backoff.map(|(pause, _)| pause));
        self.backoff = Some((pause, Instant::now() + pause));
    }
}

fn next_backoff(last: Option<Duration>) -> Duration {
    last.map_or(ACCEPT_BACKOFF_FIRST, |last| (last * 2).min(ACCEPT_BACKOFF_LAST))
}

/// What a stream's task reports.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Input {
    Connected,
    Data(Vec<u8>),
    /// No more data; the text says why if it was not the peer's orderly end.
    End(Option<StreamError>),
}

impl Input {
    /// Tells the endpoint whose stream it is.
    pub(super) fn hand_to(self, endpoint: &mut Endpoint, now: time::Instant, id: StreamId) {
        match self {
            Self::Connected => endpoint.handle_connected(now, id),
            Self::Data(data) => endpoint.handle_stream_data(now, id, &data),
            Self::End(error) => endpoint.handle_stream_end(now, id, error),
        }
    }
}

/// What a task tells.
#[derive(Debug)]
enum Told {
    Input(Input),
    /// The peer has stopped talking, not necessarily listening; [`Input::End`] follows when the last write is out.
    Silent,
}

#[derive(Debug)]
enum Write {
    Data(Vec<u8>),
    Close,
}

#[derive(Debug)]
struct Handle {
    writes: mpsc::Sender<Write>,
    /// The last write is queued.
    closing: bool,
    task: AbortHandle,
}

/// All streams of the agent, by the endpoint's identifiers.
#[derive(Debug)]
pub(super) struct Streams {
    handles: HashMap<StreamId, Handle>,
    sender: mpsc::Sender<(StreamId, Told)>,
    receiver: mpsc::Receiver<(StreamId, Told)>,
    /// Outgoing streams come from the address the agent is bound to, if that is one.
    source: Option<IpAddr>,
}

impl Streams {
    pub(super) fn new(bound: IpAddr) -> Self {
        let (sender, receiver) = mpsc::channel(INPUT_QUEUE);
        Self { handles: HashMap::new(), sender, receiver, source: (!bound.is_unspecified()).then_some(bound) }
    }

    /// Where outgoing streams come from, if that is settled.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Starts to serve a stream that the endpoint took.
    pub(super) fn accepted(&mut self, id: StreamId, stream: TcpStream) {
        let inputs = self.sender.clone();
        self.spawn(id, |writes| async move { serve(id, stream, inputs, writes).await });
    }

    /// Opens a stream; [`Input::Connected`] or [`Input::End`] follows.
    pub(super) fn connect(&mut self, id: StreamId, to: SocketAddr) {
        let (inputs, source) = (self.sender.clone(), self.source);
        self.spawn(id, move |writes| async move {
            match open(to, source).await {
                Ok(stream) => {
                    if inputs.send((id, Told::Input(Input::Connected))).await.is_ok() {
                        serve(id, stream, inputs, writes).await;
                    }
                }
                Err(error) => report(id, &inputs, Some(error)).await,
            }
        });
    }

    /// Queues bytes. `false`: the stream is gone, or its peer does not read and it is gone now.
    ///
    /// With `close` the stream says goodbye after the bytes; its [`Input::End`] follows when they are out.
    pub(super) fn write(&mut self, id: StreamId, data: Vec<u8>, close: bool) -> bool {
        let Some(handle) = self.handles.get_mut(&id) else { return false };
        handle.closing = close;
        let queued = handle.writes.try_send(Write::Data(data)).is_ok()
            && (!close || handle.writes.try_send(Write::Close).is_ok());
        if !queued {
            self.close(id);
        }
        queued
    }

    /// Ends a stream at once.
    pub(super) fn close(&mut self, id: StreamId) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.task.abort();
        }
    }

    /// The next report of a stream that is still known. Cancel-safe.
    pub(super) async fn recv(&mut self) -> (StreamId, Input) {
        loop {
            let Some((id, told)) = self.receiver.recv().await else {
                return std::future::pending().await; // never: we hold a sender
            };
            let Some(handle) = self.handles.get(&id) else {
                continue; // closed while this was on its way
            };
            let input = match told {
                Told::Input(input) => input,
                // A stream counts until its answer is out. Else a peer could open any number, ask and hang up half-way, and
                // all answers would wait here.
                Told::Silent if handle.closing => continue,
                Told::Silent => Input::End(None),
            };
            if let Input::End(_) = input {
                // What is queued for writing still goes out: dropping the sender only ends the queue.
                self.handles.remove(&id);
            }
            return (id, input);
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        id: StreamId,
        task: impl FnOnce(mpsc::Receiver<Write>) -> F,
    ) {
        let (sender, receiver) = mpsc::channel(WRITE_QUEUE);
        let task = tokio::spawn(task(receiver)).abort_handle();
        self.handles.insert(id, Handle { writes: sender, closing: false, task });
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.handles.values().for_each(|handle| handle.task.abort());
    }
}

/// A connection within the time that a member has for it; it comes from `source`.
pub(super) async fn open(to: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, StreamError> {
    let begun = Instant::now();
    match timeout(CONNECT_TIMEOUT, dial(to, source)).await {
        Ok(dialled) => dialled.map_err(|error| dial_error(to, source, &error, begun.elapsed())),
        Err(_elapsed) => {
            let cause = Cause::Silent { after: CONNECT_TIMEOUT };
            Err(StreamError { cause, text: format!("dial tcp {to}: i/o timeout") })
        }
    }
}

async fn dial(to: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.filter(|source| source.is_ipv4() == to.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(to).await
}

fn dial_error(to: SocketAddr, source: Option<IpAddr>, error: &io::Error, after: Duration) -> StreamError {
    let cause = match (error.kind(), source) {
        (io::ErrorKind::ConnectionRefused, _) => Cause::Refused,
        (_, Some(source)) if source.is_loopback() && !to.ip().is_loopback() => Cause::Bound(source),
        (io::ErrorKind::HostUnreachable, _) => Cause::NoHost { after },
        (io::ErrorKind::NetworkUnreachable, _) => Cause::NoRoute,
        (io::ErrorKind::TimedOut, _) => Cause::Silent { after },
        _ => Cause::Other,
    };
    StreamError { cause, text: format!("dial tcp {to}: connect: {}", system_words(error)) }
}

/// Both directions until the peer ends and nothing is left to write, or until one of them fails.
async fn serve(id: StreamId, stream: TcpStream, inputs: mpsc::Sender<(StreamId, Told)>, writes: mpsc::Receiver<Write>) {
    // Small requests and answers should not wait for each other; where that cannot be set they are merely slower.
    drop(stream.set_nodelay(true));
    let (mut reader, writer) = stream.into_split();
    let mut writing = std::pin::pin!(write_all(writer, writes));
    let end = tokio::select! {
        end = read_all(id, &mut reader, &inputs) => {
            if end.is_none() {
                // Nobody takes it only if the agent has ended.
                drop(inputs.send((id, Told::Silent)).await);
                let written = writing.await;
                return report(id, &inputs, written.err()).await;
            }
            end
        }
        written = &mut writing => {
            if written.is_ok() {
                // Whether the peer ends in time or not: what we had to say is said.
                drop(timeout(GOODBYE, discard(&mut reader)).await);
            }
            written.err()
        }
    };
    report(id, &inputs, end).await;
}

async fn report(id: StreamId, inputs: &mpsc::Sender<(StreamId, Told)>, end: Option<StreamError>) {
    // A report that nobody takes any more is no loss: the agent is gone.
    drop(inputs.send((id, Told::Input(Input::End(end)))).await);
}

/// Hands over what arrives. Returns the reason of an end that was not orderly.
async fn read_all(
    id: StreamId,
    reader: &mut OwnedReadHalf,
    inputs: &mpsc::Sender<(StreamId, Told)>,
) -> Option<StreamError> {
    loop {
        let mut chunk = Vec::with_capacity(READ_BYTES);
        match reader.read_buf(&mut chunk).await {
            Ok(0) => return None,
            Ok(_) => {
                chunk.shrink_to_fit();
                if inputs.send((id, Told::Input(Input::Data(chunk)))).await.is_err() {
                    return Some("agent stopped".into());
                }
            }
            Err(error) => return Some(format!("read: {}", system_words(&error)).into()),
        }
    }
}

/// Writes until told to close, or until nobody can tell any more.
async fn write_all(mut writer: OwnedWriteHalf, mut writes: mpsc::Receiver<Write>) -> Result<(), StreamError> {
    while let Some(Write::Data(data)) = writes.recv().await {
        match timeout(WRITE_TIMEOUT, writer.write_all(&data)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("write: {}", system_words(&error)).into()),
            Err(_elapsed) => return Err("write: i/o timeout".into()),
        }
    }
    writer.shutdown().await.map_err(|error| format!("close: {}", system_words(&error)).into())
}

async fn discard(reader: &mut OwnedReadHalf) {
    let mut sink = [0; 1024];
    while reader.read(&mut sink).await.is_ok_and(|len| len > 0) {}
}

#[cfg(test)]
mod tests;
