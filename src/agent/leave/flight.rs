//! Looks at this host's TCP connections while a drain waits for requests on their way; what they mean is [`drain::flight`]'s.
//!
//! [`drain::flight`]: crate::drain::flight

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::info;

use crate::drain::Flight;
use crate::drain::flight::{Connection, Traffic};
use crate::sock_diag::{Activity, Filter, SockDiag, SockDiagError, TcpSocket, TcpState};
use crate::time::Instant;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// What one look has shown; `None` of a thread that broke off.
#[derive(Debug)]
pub(in crate::agent) struct Looked(Option<Result<Vec<Connection>, SockDiagError>>);

/// The looks of one drain.
#[derive(Debug, Default)]
pub(super) struct Flights {
    traffic: Traffic,
    /// To which balancers sent requests.
    ports: BTreeSet<u16>,
    due: Option<Instant>,
    looking: Option<JoinHandle<Result<Vec<Connection>, SockDiagError>>>,
    /// This host does not let us look, and that was told.
    closed: bool,
}

impl Flights {
    /// When [`Self::advance`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.looking.is_none())
    }

    /// Begins the next look if it is time. `servers` are those to which balancers sent requests; without one there is nothing to
    /// look at, and what was seen of an earlier drain is forgotten.
    pub(super) fn advance(&mut self, now: Instant, servers: impl Iterator<Item = SocketAddr>) {
        self.ports = servers.map(|server| server.port()).collect();
        if self.ports.is_empty() || self.closed {
            (self.due, self.traffic) = (None, Traffic::default());
        } else if self.looking.is_none() && self.due.is_none_or(|due| due <= now) {
            self.due = Some(now + INTERVAL);
            let ports: Vec<u16> = self.ports.iter().copied().collect();
            self.looking = Some(tokio::task::spawn_blocking(move || look(&ports)));
        }
    }

    /// The look that has ended. Never without one. Cancel-safe.
    pub(super) async fn looked(&mut self) -> Looked {
        let Some(looking) = &mut self.looking else { return std::future::pending().await };
        let result = looking.await;
        self.looking = None;
        Looked(result.ok())
    }

    /// What it says of requests on their way.
    pub(super) fn handle_looked(&mut self, looked: Looked) -> Flight {
        match looked.0 {
            Some(Ok(connections)) => self.traffic.judge(&self.ports, &connections),
            Some(Err(error)) => {
                let ends = matches!(error, SockDiagError::Unsupported | SockDiagError::NotPermitted);
                if ends && !self.closed {
                    info!(%error, "requests on their way cannot be seen, leave.drain_time decides");
                }
                self.closed |= ends;
                Flight::Unknown
            }
            None => Flight::Unknown,
        }
    }
}

/// All connections to these ports. Blocks for some milliseconds.
fn look(ports: &[u16]) -> Result<Vec<Connection>, SockDiagError> {
    let mut kernel = SockDiag::open()?;
    let mut connections = Vec::new();
    for port in ports {
        let filter = Filter { states: &[TcpState::Established], local_port: Some(*port), remote: None };
        kernel.list(&filter, |socket| connections.push(connection(&socket)))?;
    }
    Ok(connections)
}

/// Of which nothing is known is busy.
fn connection(socket: &TcpSocket) -> Connection {
    let unknown = Activity { sent_ago: Duration::ZERO, received_ago: Duration::ZERO };
    let Activity { sent_ago, received_ago } = socket.activity.unwrap_or(unknown);
    let TcpSocket { local, remote, send_queue, .. } = *socket;
    Connection { local, remote, unacknowledged: send_queue, sent_ago, received_ago }
}
