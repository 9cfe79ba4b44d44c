//! Timings and limits of the SWIM layer (`memberlist §5`).

use std::time::Duration;

/// A named set of timings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// One data centre.
    #[default]
    Lan,
    /// Between data centres.
    Wan,
    /// One machine.
    Local,
}

impl Profile {
    /// As configuration and Serf call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Local => "local",
        }
    }
}

/// Timings and limits. All members of a cluster should use the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// One member is probed in each of these.
    pub probe_interval: Duration,
    /// How long a direct ack may take before others are asked to ping.
    pub probe_timeout: Duration,
    /// Pause between two rounds of gossip.
    pub gossip_interval: Duration,
    /// Members that a round of gossip goes to.
    pub gossip_nodes: usize,
    /// Scales the time that a suspected member has to refute.
    pub suspicion_mult: u32,
    /// The longest suspicion as a multiple of the shortest.
    pub suspicion_max_timeout_mult: u32,
    /// Scales how often a broadcast is transmitted.
    pub retransmit_mult: u32,
    /// Pause between two exchanges of full state; stretched in clusters of more than 32.
    pub push_pull_interval: Duration,
    /// Members asked to ping a silent one.
    pub indirect_checks: usize,
    /// One more than the highest awareness score.
    pub awareness_max_multiplier: u32,
    /// How long the dead are still gossiped to, and remembered.
    pub gossip_to_the_dead: Duration,
    /// Bound on connecting, and on each half of a stream exchange.
    pub tcp_timeout: Duration,
    /// Whether a silent member is also pinged by stream.
    pub tcp_pings: bool,
    /// After this time a dead member's name may be taken by another address; zero is never.
    pub dead_node_reclaim: Duration,
    /// Members beyond this are not admitted.
    pub max_members: usize,
    /// Largest message that a gossip packet can carry. A larger one would stay in its queue for ever.
    pub max_broadcast_bytes: usize,
}

impl Options {
    /// The timings of `profile`, as the reference has them.
    pub fn profile(profile: Profile) -> Self {
        let lan = Self {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            suspicion_mult: 4,
            suspicion_max_timeout_mult: 6,
            retransmit_mult: 4,
            push_pull_interval: Duration::from_secs(30),
            indirect_checks: 3,
            awareness_max_multiplier: 8,
            gossip_to_the_dead: Duration::from_secs(30),
            tcp_timeout: Duration::from_secs(10),
            tcp_pings: true,
            dead_node_reclaim: Duration::ZERO,
            max_members: 65_536,
            max_broadcast_bytes: 1350,
        };
        match profile {
            Profile::Lan => lan,
            Profile::Wan => Self {
                probe_interval: Duration::from_secs(5),
                probe_timeout: Duration::from_secs(3),
                gossip_interval: Duration::from_millis(500),
                gossip_nodes: 4,
                suspicion_mult: 6,
                push_pull_interval: Duration::from_secs(60),
                gossip_to_the_dead: Duration::from_secs(60),
                tcp_timeout: Duration::from_secs(30),
                ..lan
            },
            Profile::Local => Self {
                probe_timeout: Duration::from_millis(200),
                gossip_interval: Duration::from_millis(100),
                suspicion_mult: 3,
                retransmit_mult: 2,
                push_pull_interval: Duration::from_secs(15),
                indirect_checks: 1,
                gossip_to_the_dead: Duration::from_secs(15),
                tcp_timeout: Duration::from_secs(1),
                ..lan
            },
        }
    }

    /// Time between two push/pulls with `members` in the table (`memberlist §4.8`).
    pub(crate) fn push_pull_interval_for(&self, members: usize) -> Duration {
        const THRESHOLD: usize = 32;
        if members <= THRESHOLD {
            return self.push_pull_interval;
        }
        // ceil(log2(n) - log2(32)) + 1, with integers.
        let factor = (members - 1).ilog2() + 1 - THRESHOLD.ilog2() + 1;
        self.push_pull_interval * factor
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::profile(Profile::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_pull_slows_down_in_large_clusters() {
        let options = Options::default();
        for (members, factor) in [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4)] {
            assert_eq!(options.push_pull_interval_for(members), options.push_pull_interval * factor, "{members}");
        }
    }
}
