//! Where an agent's RPC is, and getting there.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::error::ClientError;

/// Longest wait for a connection, as in Serf.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an agent's RPC listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    Unix(PathBuf),
    /// Host and port; the host may be a name.
    Tcp(String),
}

/// `unix:PATH` and anything with a slash at its start is a socket, all else host and port. What is wrong with those shows when
/// they are dialled, as in Serf.
impl FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None if text.starts_with('/') => Self::Unix(text.into()),
            None => Self::Tcp(text.to_owned()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// A connection of either kind.
pub(super) trait Socket: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl Socket for UnixStream {}
impl Socket for TcpStream {}

impl Address {
    pub(super) async fn dial(&self) -> Result<Box<dyn Socket>, ClientError> {
        match self {
            Self::Unix(path) => {
                let stream = within(UnixStream::connect(path)).await;
                stream.map(boxed).map_err(|source| ClientError::Connect { address: self.clone(), at: None, source })
            }
            Self::Tcp(address) => self.dial_tcp(address).await,
        }
    }

    async fn dial_tcp(&self, address: &str) -> Result<Box<dyn Socket>, ClientError> {
        let (host, port) = address.rsplit_once(':').ok_or_else(|| ClientError::NoPort(address.to_owned()))?;
        let port: u16 = port.parse().map_err(|_| ClientError::NoPort(address.to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Go dials this host for an address without one.
        let host = if host.is_empty() { "localhost" } else { host };
        let unknown = |source| ClientError::Resolve { host: host.to_owned(), source };
        let mut failed = unknown(io::Error::other("no address"));
        for at in within(lookup_host((host, port))).await.map_err(unknown)? {
            match within(TcpStream::connect(at)).await {
                Ok(stream) => {
                    // Only delays small requests where it fails.
                    let _ = stream.set_nodelay(true);
                    return Ok(boxed(stream));
                }
                Err(source) => failed = self.failed_at(at, source),
            }
        }
        Err(failed)
    }

    fn failed_at(&self, at: SocketAddr, source: io::Error) -> ClientError {
        ClientError::Connect { address: self.clone(), at: Some(at), source }
    }
}

async fn within<T>(dialling: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DIAL_TIMEOUT, dialling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn boxed(socket: impl Socket + 'static) -> Box<dyn Socket> {
    Box::new(socket)
}
