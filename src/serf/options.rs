//! What the Serf layer is told at its start, and the bounds it keeps (`serf §13`).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::clock::LamportTime;
use super::coalesce::Window;
use super::keys::KeptBallot;
use crate::swim::Node;

/// Largest encoded tags, the leading `ff` included: memberlist's limit for metadata.
pub const MAX_TAGS_BYTES: usize = 512;

/// Largest user event that any setting allows.
pub const MAX_EVENT_BYTES: usize = 9216;

/// Broadcasts a queue holds. Beyond it the most transmitted is discarded, and our own user events are refused.
pub const MAX_QUEUE_DEPTH: usize = 4096;

/// Queue depth from which on the cluster is not keeping up.
pub const QUEUE_DEPTH_WARNING: usize = 128;

/// Settings of the Serf layer. The defaults are those of `serf agent` on a LAN.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interval of `swim`'s gossip; the default query timeout is a multiple of it.
    pub gossip_interval: Duration,
    /// How often a broadcast is sent, times the decimal digits of the member count.
    pub retransmit_mult: u32,
    /// Recent Lamport times remembered for user events.
    pub event_buffer: NonZeroUsize,
    /// Recent Lamport times remembered for queries.
    pub query_buffer: NonZeroUsize,
    /// How often departed members and old intents are looked through.
    pub reap_interval: Duration,
    /// How often one failed member is dialled.
    pub reconnect_interval: Duration,
    /// How long a failed member is kept and dialled.
    pub reconnect_timeout: Duration,
    /// How long a member that left is kept.
    pub tombstone_timeout: Duration,
    /// How long an intent about an unknown member is remembered.
    pub recent_intent_timeout: Duration,
    /// Longest wait for a leave or force-leave to be sent its full number of times.
    pub broadcast_timeout: Duration,
    /// How long news of a leave may take to reach everyone.
    pub leave_propagate_delay: Duration,
    /// Largest queue, unless `min_queue_depth` is above zero.
    pub max_queue_depth: usize,
    /// If above zero, queues hold this many or twice the members, whichever is more.
    pub min_queue_depth: usize,
    /// The default query timeout in gossip intervals, per decimal digit of the member count.
    pub query_timeout_mult: u32,
    /// Largest encoded query.
    pub query_size_limit: usize,
    /// Largest encoded answer to a query.
    pub query_response_size_limit: usize,
    /// Largest user event, before and after encoding; never more than [`MAX_EVENT_BYTES`].
    pub user_event_size_limit: usize,
    /// Largest message that a gossip packet can carry. A larger one would stay in its queue for ever.
    pub max_broadcast_bytes: usize,
    /// Whether network coordinates are computed and told.
    pub coordinates: bool,
    /// Whether a clash over our name is put to the vote.
    pub name_conflict_resolution: bool,
    /// How member events are gathered before the application sees them; `None` passes them at once.
    pub member_coalescing: Option<Window>,
    /// The same for user events that allow it.
    pub user_coalescing: Option<Window>,
}

impl Default for Options {
    fn default() -> Self {
        let ring = NonZeroUsize::new(512).expect("512 is not zero");
        let window = Window { period: Duration::from_secs(3), quiescence: Duration::from_secs(1) };
        Self {
            gossip_interval: Duration::from_millis(200),
            retransmit_mult: 4,
            event_buffer: ring,
            query_buffer: ring,
            reap_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(30),
            reconnect_timeout: Duration::from_secs(24 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            recent_intent_timeout: Duration::from_secs(5 * 60),
            broadcast_timeout: Duration::from_secs(5),
            leave_propagate_delay: Duration::from_secs(1),
            max_queue_depth: MAX_QUEUE_DEPTH,
            min_queue_depth: 0,
            query_timeout_mult: 16,
            query_size_limit: 1024,
            query_response_size_limit: 1024,
            user_event_size_limit: 512,
            max_broadcast_bytes: 1350,
            coordinates: true,
            name_conflict_resolution: true,
            member_coalescing: Some(window),
            user_coalescing: Some(window),
        }
    }
}

impl Options {
    /// Broadcasts that a queue may hold in a cluster of `members`.
    pub(crate) fn queue_depth_limit(&self, members: usize) -> usize {
        match self.min_queue_depth {
            0 => self.max_queue_depth,
            min => min.max(2 * members),
        }
    }
}

/// What an earlier run left behind.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Last times seen; zero if there was no earlier run.
    pub clocks: SeenClocks,
    /// Members that had failed: kept until their timeout and dialled until then.
    pub failed: Vec<RestoredMember>,
    /// The highest rotation ballot this member ever obeyed.
    pub ballot: Option<KeptBallot>,
}

/// The three clocks as a snapshot keeps them: the last times seen, not the next to use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SeenClocks {
    pub member: LamportTime,
    pub event: LamportTime,
    pub query: LamportTime,
}

/// A failed member out of a snapshot.
#[derive(Clone, Debug)]
pub struct RestoredMember {
    pub node: Arc<Node>,
    /// Time since it failed.
    pub age: Duration,
}
