//! The settings as the modules below want them.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::upstream::settle;
use crate::{endpoint, serf, swim};

use super::{Apply, Config, Gossip, Seal};

impl Config {
    /// The endpoint's options. Others reach us at `advertise`, which the driver chose by `gossip.advertise`.
    pub fn endpoint(&self, advertise: SocketAddr) -> endpoint::Options {
        let gossip = &self.gossip;
        endpoint::Options {
            tags: self.node.tags.clone(),
            seal: match self.encryption.seal {
                Seal::Auto => endpoint::Seal::Auto,
                Seal::Session => endpoint::Seal::Session,
                // Without a keyring nothing is sealed, whatever this says.
                Seal::Memberlist | Seal::Off => endpoint::Seal::Memberlist,
            },
            label: Bytes::copy_from_slice(gossip.label.as_bytes()),
            compression: gossip.compression,
            broadcast_timeout: gossip.broadcast_timeout,
            swim: gossip.swim(),
            serf: gossip.serf(),
            ..endpoint::Options::new(self.node.name.clone(), advertise)
        }
    }
}

impl Gossip {
    fn swim(&self) -> swim::Options {
        swim::Options {
            probe_interval: self.probe_interval,
            probe_timeout: self.probe_timeout,
            gossip_interval: self.gossip_interval,
            gossip_nodes: self.gossip_nodes,
            suspicion_mult: self.suspicion_mult,
            retransmit_mult: self.retransmit_mult,
            push_pull_interval: self.push_pull_interval,
            max_members: self.max_members,
            ..swim::Options::profile(self.profile)
        }
    }

    fn serf(&self) -> serf::Options {
        serf::Options {
            gossip_interval: self.gossip_interval,
            retransmit_mult: self.retransmit_mult,
            reconnect_interval: self.reconnect_interval,
            reconnect_timeout: self.reconnect_timeout,
            tombstone_timeout: self.tombstone_timeout,
            broadcast_timeout: self.broadcast_timeout,
            query_size_limit: self.query_size_limit,
            query_response_size_limit: self.query_response_size_limit,
            user_event_size_limit: self.event_size_limit,
            coordinates: self.coordinates,
            ..serf::Options::default()
        }
    }
}

impl Apply {
    /// The debounce's options. `jitter` differs on each balancer, so that they never all reload in the same instant.
    pub fn settle(&self, jitter: std::time::Duration) -> settle::Options {
        settle::Options {
            quiet: self.quiet,
            max_delay: self.max_delay,
            min_reload_interval: self.min_reload_interval,
            jitter,
            ..settle::Options::default()
        }
    }
}
