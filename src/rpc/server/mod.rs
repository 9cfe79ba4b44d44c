#![expect(clippy::disallowed_methods, reason = "the server owns sockets, tasks and timeouts")]
//! The agent's end of the RPC (`rpc §1, §3, §5, §7`): listeners, connections, order rules and limits.
//!
//! Each connection reads and executes one request after the other, in a task of its own; one more task writes. What streams,
//! monitors and queries push passes through queues that drop when full, so neither a stuck client nor a large answer ever
//! reaches the agent. The server asks the agent by [`Call`]s and knows nothing of its state.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::call::Call;
use crate::error::Explain;
use crate::outage::Outage;
use crate::status::shell::argument;
use connection::{Admission, Peer};
use counters::count;
use socket::Socket;
pub(crate) use socket::local_group;

mod connection;
mod counters;
mod key;
mod pending;
mod pump;
mod session;
mod socket;
mod token;
mod writer;

pub use counters::{Counters, Counts};
pub(crate) use key::decode as go_base64;
pub use token::Token;

/// Connections at one time; more are told so and closed.
pub const MAX_CONNECTIONS: usize = 256;

/// Connections that are being told so at one time; more are closed without a word.
const MAX_TURNED_AWAY: usize = 32;

/// Streams, monitors and running queries of one connection.
pub const MAX_STREAMS: usize = 64;

/// A request must be whole this long after its first byte, the first one, and a token, this long after connecting.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that takes no byte for so long is closed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// After the shutdown signal, what was answered has so long to reach its client.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Pause after a failed accept: descriptors may become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen, and for whom.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Unix socket, mode 0660; whoever may open it needs no token.
    pub socket: Option<PathBuf>,
    /// Group of the socket's file.
    pub group: Option<String>,
    /// TCP address.
    pub listen: Option<SocketAddr>,
    /// What TCP clients must present; required off loopback.
    pub token: Option<Token>,
}

/// Why the server could not start. Nothing is left listening.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{} is in use by another agent", path.display())]
    InUse { path: PathBuf },
    #[error("{} is in the way and is not a socket", path.display())]
    NotASocket { path: PathBuf },
    /// Only the service manager makes the directory.
    #[error("cannot listen on {}: no directory {}", path.display(), directory.display())]
    NoDirectory { path: PathBuf, directory: PathBuf },
    #[error("cannot listen on {}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("no group '{group}' for the RPC socket")]
    NoGroup { group: String },
    #[error("cannot give the RPC socket to group '{group}'")]
    Group { group: String, source: io::Error },
    #[error("cannot listen on {addr}/tcp for RPC")]
    Tcp { addr: SocketAddr, source: io::Error },
    /// Anybody there could administer the cluster.
    #[error("RPC address {addr} can be reached from elsewhere")]
    TokenRequired { addr: SocketAddr },
}

impl Explain for ListenError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::InUse { .. } => "stop that one, or set another rpc.socket".into(),
            Self::NotASocket { .. } => "remove it, or set another rpc.socket".into(),
            Self::NoDirectory { directory, .. } => {
                format!("'install -d -m 0750 {}', or set rpc.socket", argument(&directory.display().to_string())).into()
            }
            Self::NoGroup { .. } => "create it, or set rpc.group".into(),
            Self::TokenRequired { .. } => "set rpc.token_file, or listen on 127.0.0.1".into(),
            Self::Socket { .. } | Self::Group { .. } | Self::Tcp { .. } => return None,
        })
    }
}

/// Bound listeners, not yet serving.
#[derive(Debug)]
pub struct Server {
    socket: Option<Socket>,
    tcp: Option<TcpListener>,
    token: Option<Token>,
    counters: Arc<Counters>,
}

/// What every connection has in common.
#[derive(Clone, Debug)]
struct Shared {
    calls: mpsc::Sender<Call>,
    token: Option<Token>,
    counters: Arc<Counters>,
    shutdown: watch::Receiver<bool>,
}

impl Server {
    /// Binds everything in `options`. Needs a tokio runtime around it.
    pub fn bind(options: Options) -> Result<Self, ListenError> {
        let tcp = options.listen.map(|addr| bind_tcp(addr, options.token.is_some())).transpose()?;
        let socket = options.socket.map(|path| Socket::bind(&path, options.group.as_deref())).transpose()?;
        Ok(Self { socket, tcp, token: options.token, counters: Arc::default() })
    }

    /// Where TCP clients connect; the real port if port 0 was asked for.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where local clients connect.
    pub fn socket_path(&self) -> Option<&Path> {
        self.socket.as_ref().map(Socket::path)
    }

    /// The counts, to be read at any time.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Serves until `shutdown` is true or its sender is gone. Then the listeners close, answers that are ready go out, and all
    /// clients are hung up on, which takes two seconds at most.
    pub async fn run(self, calls: mpsc::Sender<Call>, mut shutdown: watch::Receiver<bool>) {
        let shared =
            Shared { calls, token: self.token.clone(), counters: self.counters.clone(), shutdown: shutdown.clone() };
        let mut connections = JoinSet::new();
        let mut outage = Outage::default();
        loop {
            tokio::select! {
                () = stopped(&mut shutdown) => break,
                Some(_) = connections.join_next() => {}
                accepted = self.accept() => match accepted {
                    Ok(accepted) => {
                        if let Some(failures) = outage.worked(Instant::now()) {
                            info!(failures, "rpc clients are accepted again");
                        }
                        accepted.serve(&shared, &mut connections);
                    }
                    Err(error) => {
                        if outage.failed(Instant::now()) {
                            warn!(%error, "cannot accept rpc clients for the moment");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop((self.socket, self.tcp));
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all_gone).await.is_err() {
            debug!(clients = connections.len(), "rpc clients were cut off");
        }
    }

    /// The next client on either listener; forever pending without any.
    async fn accept(&self) -> io::Result<Accepted> {
        let local = async {
            match &self.socket {
                Some(socket) => socket.listener.accept().await.map(|(stream, _)| Accepted::Local(stream)),
                None => std::future::pending().await,
            }
        };
        let remote = async {
            match &self.tcp {
                Some(listener) => listener.accept().await.map(|(stream, from)| Accepted::Remote(stream, from)),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = local => accepted,
            accepted = remote => accepted,
        }
    }
}

fn bind_tcp(addr: SocketAddr, has_token: bool) -> Result<TcpListener, ListenError> {
    if !addr.ip().is_loopback() && !has_token {
        return Err(ListenError::TokenRequired { addr });
    }
    std::net::TcpListener::bind(addr)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .and_then(TcpListener::from_std)
        .map_err(|source| ListenError::Tcp { addr, source })
}

/// Returns when the agent wants the server to end, or is gone.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the signal's sender is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// A client that has just connected.
enum Accepted {
    Local(tokio::net::UnixStream),
    Remote(tokio::net::TcpStream, SocketAddr),
}

impl Accepted {
    fn serve(self, shared: &Shared, connections: &mut JoinSet<()>) {
        let admission = match connections.len() {
            0..MAX_CONNECTIONS => Admission::Admitted,
            open => {
                count(&shared.counters.turned_away);
                if open >= MAX_CONNECTIONS + MAX_TURNED_AWAY {
                    return;
                }
                Admission::TurnedAway
            }
        };
        let shared = shared.clone();
        match self {
            Self::Local(stream) => {
                let peer = Peer::local(&stream);
                let (reader, writer) = stream.into_split();
                connections.spawn(connection::serve(reader, writer, peer, admission, shared));
            }
            Self::Remote(stream, from) => {
                prepare(&stream);
                let (reader, writer) = stream.into_split();
                connections.spawn(connection::serve(reader, writer, Peer::remote(from), admission, shared));
            }
        }
    }
}

/// Small answers are not held back, and a client that vanished without a word frees its place in the end.
fn prepare(stream: &tokio::net::TcpStream) {
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    // Neither is needed for correctness.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
