//! Why a client did not get its answer.

use std::io;
use std::net::SocketAddr;

use super::address::Address;
use crate::error::system_words;
use crate::rpc::proto::{ResponseHeader, text};
use crate::rpc::refusal::Refusal;

/// Why a command failed. [`Display`](std::fmt::Display) is for weir's own output, [`ClientError::serf_text`] for Serf's.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Host and port were wanted.
    #[error("RPC address '{0}' has no port; write HOST:PORT or unix:PATH")]
    NoPort(String),
    #[error("cannot find host '{host}'")]
    Resolve { host: String, source: io::Error },
    /// Nobody listens, it takes too long, or the socket may not be opened: see the source's kind.
    #[error("cannot reach an agent at {address}")]
    Connect { address: Address, at: Option<SocketAddr>, source: io::Error },
    /// Somebody listens and says nothing.
    #[error("{address} does not answer; is it an agent's RPC address?")]
    Silent { address: Address },
    #[error("the agent wants a token")]
    TokenRequired,
    #[error("the agent does not accept this token")]
    TokenRefused,
    /// The agent's own words.
    #[error("{0}")]
    Refused(Refusal),
    /// The agent does not know such a command.
    #[error("the agent does not understand this")]
    Unsupported,
    #[error("the agent closed the connection")]
    Closed,
    #[error("the answer is not that of an agent")]
    Protocol,
}

impl ClientError {
    /// What Serf's command line prints after its prefix.
    pub fn serf_text(&self) -> String {
        match self {
            Self::NoPort(address) => format!("dial tcp: address {address}: missing port in address"),
            Self::Resolve { host, .. } => format!("dial tcp: lookup {host}: no such host"),
            Self::Connect { address, at, source } => {
                let network = match address {
                    Address::Unix(_) => "unix",
                    Address::Tcp(_) => "tcp",
                };
                let at = at.map_or_else(|| address.to_string(), |at| at.to_string());
                match source.kind() {
                    io::ErrorKind::TimedOut => format!("dial {network} {at}: i/o timeout"),
                    _ => format!("dial {network} {at}: connect: {}", system_words(source)),
                }
            }
            Self::Silent { .. } => "i/o timeout".to_owned(),
            Self::TokenRequired => text::AUTH_REQUIRED.to_owned(),
            Self::TokenRefused => text::INVALID_TOKEN.to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Unsupported => text::UNSUPPORTED_COMMAND.to_owned(),
            Self::Closed | Self::Protocol => "client closed".to_owned(),
        }
    }

    /// Whether there is no agent to talk to.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::NoPort(_) | Self::Resolve { .. } | Self::Silent { .. } => true,
            Self::TokenRequired
            | Self::TokenRefused
            | Self::Refused(_)
            | Self::Unsupported
            | Self::Closed
            | Self::Protocol => false,
        }
    }

    /// Whether the agent, or its socket's file, does not let this user in.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::TokenRequired | Self::TokenRefused => true,
            Self::NoPort(_)
            | Self::Resolve { .. }
            | Self::Silent { .. }
            | Self::Refused(_)
            | Self::Unsupported
            | Self::Closed
            | Self::Protocol => false,
        }
    }

    /// The error of a response's header (`rpc §8`); `None` for success.
    pub(super) fn from_header(header: ResponseHeader) -> Option<Self> {
        Some(match header.error.as_str() {
            "" => return None,
            text::AUTH_REQUIRED => Self::TokenRequired,
            text::INVALID_TOKEN => Self::TokenRefused,
            text::UNSUPPORTED_COMMAND => Self::Unsupported,
            _ => Self::Refused(header.ours.and_then(|ours| ours.refusal).unwrap_or_else(|| header.error.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_serf() {
        let connect = |address: &str, at: Option<&str>, source: io::Error| ClientError::Connect {
            address: address.parse().unwrap(),
            at: at.map(|at| at.parse().unwrap()),
            source,
        };
        let refused = || io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        let rows = [
            (
                connect("127.0.0.29:7373", Some("127.0.0.29:7373"), refused()),
                "dial tcp 127.0.0.29:7373: connect: connection refused",
            ),
            (
                connect("localhost:7373", Some("127.0.0.1:7373"), io::ErrorKind::TimedOut.into()),
                "dial tcp 127.0.0.1:7373: i/o timeout",
            ),
            (
                connect("/run/x.sock", None, io::Error::from_raw_os_error(nix::libc::ENOENT)),
                "dial unix /run/x.sock: connect: no such file or directory",
            ),
            (ClientError::NoPort("nonsense".to_owned()), "dial tcp: address nonsense: missing port in address"),
            (ClientError::TokenRefused, "Invalid authentication token"),
            (ClientError::Closed, "client closed"),
        ];
        for (error, text) in rows {
            assert_eq!(error.serf_text(), text);
        }
    }

    #[test]
    fn permission_is_told_from_absence() {
        let connect = |kind: io::ErrorKind| ClientError::Connect {
            address: Address::Unix("/run/x.sock".into()),
            at: None,
            source: kind.into(),
        };
        // error                                     unreachable, forbidden
        let rows = [
            (connect(io::ErrorKind::NotFound), true, false),
            (connect(io::ErrorKind::ConnectionRefused), true, false),
            (connect(io::ErrorKind::PermissionDenied), false, true),
            (ClientError::TokenRequired, false, true),
            (ClientError::Refused("x".into()), false, false),
        ];
        for (error, unreachable, forbidden) in rows {
            assert_eq!((error.is_unreachable(), error.is_forbidden()), (unreachable, forbidden), "{error:?}");
        }
    }
}
