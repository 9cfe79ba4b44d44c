//! Streams between hosts: ordered, late instead of lost, and reset when an end dies.

use std::time::Duration;

use crate::endpoint::{StreamError, StreamId};
use crate::time::Instant;

use super::schedule::{Arrival, Happening};
use super::{NodeId, Sim};

pub(super) type ConnectionId = u64;

#[derive(Debug)]
pub(super) struct Connection {
    opener: (NodeId, u32, StreamId),
    acceptor: (NodeId, u32, Option<StreamId>),
    /// When the last segment of each direction arrives, so that a stream stays in order.
    opener_last: Instant,
    acceptor_last: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Opener,
    Acceptor,
}

impl Sim {
    pub(super) fn connect(&mut self, node: NodeId, stream: StreamId, to: std::net::SocketAddr) {
        self.counts.streams += 1;
        let Some(&target) = self.by_addr.get(&to) else {
            let now = self.now;
            if let Some(endpoint) = &mut self.hosts[node.0].endpoint {
                endpoint.handle_stream_end(now, stream, Some("no route to host".into()));
            }
            return;
        };
        self.next_connection += 1;
        let id = self.next_connection;
        let connection = Connection {
            opener: (node, self.hosts[node.0].life, stream),
            acceptor: (target, self.hosts[target.0].life, None),
            opener_last: self.now,
            acceptor_last: self.now,
        };
        self.connections.insert(id, connection);
        self.hosts[node.0].streams.insert(stream, id);
        self.send_segment(id, End::Acceptor, |connection, _| Arrival::Connect(connection));
    }

    pub(super) fn accept(&mut self, node: NodeId, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let opener = connection.opener.0;
        let from = self.hosts[opener.0].addr;
        let now = self.now;
        let host = &mut self.hosts[node.0];
        let accepted = host.endpoint.as_mut().map(|endpoint| endpoint.handle_accepted(now, from));
        match accepted {
            Some(Some(stream)) => {
                host.streams.insert(stream, id);
                let life = host.life;
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.acceptor = (node, life, Some(stream));
                }
                self.send_segment(id, End::Opener, |connection, _| Arrival::Connected(connection));
            }
            refused => {
                let text = if refused.is_none() { "connection refused" } else { "connection reset by peer" };
                self.send_segment(id, End::Opener, |connection, to| Arrival::Ended {
                    connection,
                    to,
                    error: Some(text.into()),
                });
            }
        }
    }

    pub(super) fn write(&mut self, node: NodeId, stream: StreamId, bytes: Vec<u8>, close: bool) {
        let Some(&id) = self.hosts[node.0].streams.get(&stream) else { return };
        self.counts.stream_bytes += bytes.len() as u64;
        let to = self.other_end(id, node);
        if let Some(connection) = self.connections.get(&id) {
            let (opener, acceptor) = (connection.opener.0, connection.acceptor.0);
            self.keep_record(node, if to == End::Opener { opener } else { acceptor }, true, &bytes);
        }
        self.send_segment(id, to, |connection, to| Arrival::Data { connection, to, bytes });
        if close {
            self.end_connection(id, node, None);
            self.hosts[node.0].streams.remove(&stream);
            let now = self.now;
            if let Some(endpoint) = &mut self.hosts[node.0].endpoint {
                endpoint.handle_stream_end(now, stream, None);
            }
        }
    }

    /// Something of a stream arrives at `node`.
    pub(super) fn deliver_segment(&mut self, node: NodeId, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Datagram { .. } => {}
            Arrival::Connect(connection) => self.accept(node, connection),
            Arrival::Connected(connection) => {
                if let Some((_, stream)) = self.side(connection, End::Opener)
                    && let Some(endpoint) = &mut self.hosts[node.0].endpoint
                {
                    endpoint.handle_connected(now, stream);
                }
            }
            Arrival::Data { connection, to, bytes } => {
                if let Some((_, stream)) = self.side(connection, to)
                    && let Some(endpoint) = &mut self.hosts[node.0].endpoint
                {
                    endpoint.handle_stream_data(now, stream, &bytes);
                }
            }
            Arrival::Ended { connection, to, error } => {
                if let Some((_, stream)) = self.side(connection, to) {
                    let host = &mut self.hosts[node.0];
                    host.streams.remove(&stream);
                    if let Some(endpoint) = &mut host.endpoint {
                        endpoint.handle_stream_end(now, stream, error);
                    }
                    self.forget_if_over(connection);
                }
            }
        }
    }

    /// Closes `node`'s end of a stream.
    pub(super) fn close(&mut self, node: NodeId, stream: StreamId) {
        if let Some(connection) = self.hosts[node.0].streams.remove(&stream) {
            self.end_connection(connection, node, None);
        }
    }

    /// Resets every stream of `node`, as the kernel of a process that dies does.
    pub(super) fn reset_streams(&mut self, node: NodeId) {
        let mut connections: Vec<_> = std::mem::take(&mut self.hosts[node.0].streams).into_values().collect();
        connections.sort_unstable();
        for connection in connections {
            self.end_connection(connection, node, Some("connection reset by peer".into()));
        }
    }

    /// Tells the other end that `node` closed.
    fn end_connection(&mut self, id: ConnectionId, node: NodeId, error: Option<StreamError>) {
        if self.connections.contains_key(&id) {
            let to = self.other_end(id, node);
            self.send_segment(id, to, |connection, to| Arrival::Ended { connection, to, error });
        }
    }

    fn send_segment(&mut self, id: ConnectionId, to: End, arrival: impl FnOnce(ConnectionId, End) -> Arrival) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (opener, acceptor) = (connection.opener.0, connection.acceptor.0);
        let (sender, receiver) = match to {
            End::Opener => (acceptor, opener),
            End::Acceptor => (opener, acceptor),
        };
        if !self.reaches(sender, receiver, false) {
            // Nothing arrives and nobody is told: the endpoint's own deadline ends the wait.
            self.counts.partitioned += 1;
            return;
        }
        let delay = self.network.segment(&mut self.rng);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let last = match to {
            End::Opener => &mut connection.opener_last,
            End::Acceptor => &mut connection.acceptor_last,
        };
        *last = (self.now + delay).max(*last + Duration::from_nanos(1));
        let at = *last;
        self.schedule.push(at, Happening::Arrival(receiver, arrival(id, to)));
    }

    /// The live node and stream at one end of a connection.
    fn side(&self, id: ConnectionId, end: End) -> Option<(NodeId, StreamId)> {
        let connection = self.connections.get(&id)?;
        let (node, life, stream) = match end {
            End::Opener => (connection.opener.0, connection.opener.1, Some(connection.opener.2)),
            End::Acceptor => connection.acceptor,
        };
        let stream = stream?;
        let host = &self.hosts[node.0];
        (host.life == life && host.streams.contains_key(&stream)).then_some((node, stream))
    }

    fn other_end(&self, id: ConnectionId, node: NodeId) -> End {
        match self.connections.get(&id) {
            Some(connection) if connection.opener.0 == node => End::Acceptor,
            _ => End::Opener,
        }
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.side(id, End::Opener).is_none() && self.side(id, End::Acceptor).is_none() {
            self.connections.remove(&id);
        }
    }
}
