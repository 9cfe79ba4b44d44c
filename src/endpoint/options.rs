//! What an endpoint is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::NodeName;
use crate::wire::serf::Tags;
use crate::{serf, swim};

use super::Seal;

/// Identity, timings and limits of one endpoint.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our name.
    pub name: NodeName,
    /// The address that others reach us at.
    pub advertise: SocketAddr,
    /// Our tags.
    pub tags: Tags,
    /// The memberlist label, at most 255 bytes; empty for none. Not secret, but authenticated with the key.
    pub label: Bytes,
    /// Which envelopes are sent and accepted while there is a keyring.
    pub seal: Seal,
    /// Whether what we send is compressed. Both forms are always read.
    pub compression: bool,
    /// Bound on each half of a leave and on a force-leave.
    pub broadcast_timeout: Duration,
    /// How long we keep answering after the last word of a leave.
    pub leave_propagate_delay: Duration,
    /// The SWIM layer's.
    pub swim: swim::Options,
    /// The Serf layer's.
    pub serf: serf::Options,
}

impl Options {
    /// Defaults of the LAN profile for a node `name` at `advertise`.
    pub fn new(name: NodeName, advertise: SocketAddr) -> Self {
        Self {
            name,
            advertise,
            tags: Tags::new(),
            label: Bytes::new(),
            seal: Seal::default(),
            compression: true,
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(1),
            swim: swim::Options::default(),
            serf: serf::Options::default(),
        }
    }
}
