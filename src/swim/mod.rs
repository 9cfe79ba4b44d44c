//! SWIM with Lifeguard as memberlist speaks it: who is alive.
//!
//! Owns the member table, probing, suspicion, refutation and the queue of membership broadcasts (`memberlist §4`). A state
//! machine without I/O: messages and time go in through `handle_*`, and [`Swim::poll_output`] says what to send and what
//! changed. Sealing, packing, the pace of gossip and streams belong to [`crate::endpoint`]; what a departure means to
//! [`crate::serf`].

mod awareness;
pub mod broadcast;
mod member;
mod options;
mod probe;
mod push_pull;
mod suspicion;
mod table;
#[cfg(test)]
mod tests;
mod update;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use tracing::{debug, trace};

use crate::crypto::Sealed;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::{Incarnation, Message, Ping, SeqNo, Source, Versions};

use self::awareness::Awareness;
use self::broadcast::Queue;
use self::probe::{Prober, Relays};
use self::table::Members;

pub use self::member::{Member, State, SuspicionState};
pub use self::options::{Options, Profile};

/// What a member says of itself: everything but its state. Shared between the layers and, in a simulation, between nodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: NodeName,
    /// Where it listens, UDP and TCP.
    pub addr: SocketAddr,
    /// Metadata; Serf's encoded tags.
    pub meta: Bytes,
    /// Protocol versions it speaks.
    pub versions: Versions,
}

/// A change that the layer above must know of, in the order it happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Became alive after it was unknown, dead or left.
    Joined(Arc<Node>),
    /// Alive; metadata, versions or address changed.
    Updated(Arc<Node>),
    /// Suspected; Serf knows no such state, upstreams do. [`Self::Cleared`] or [`Self::Gone`] ends it.
    Suspected {
        /// Who.
        name: NodeName,
        /// Who got no answer from it.
        by: NodeName,
    },
    /// No longer suspected: it refuted.
    Cleared(NodeName),
    /// Dead, or left by its own word (`left`).
    Gone {
        /// Who.
        node: Arc<Node>,
        /// By its own word.
        left: bool,
    },
    /// Forgotten: a dead or left record was purged.
    Purged(NodeName),
    /// `other` claims a name that is held at another address.
    Conflict {
        /// The name.
        name: NodeName,
        /// Who else claims it.
        other: SocketAddr,
    },
}

/// Where a packet came from, and how it was sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Its source address.
    pub addr: SocketAddr,
    /// `None`: plain text. A sealed packet comes from somebody who holds a key of ours.
    pub sealed: Option<Sealed>,
}

impl Origin {
    fn is_trusted(&self) -> bool {
        self.sealed.is_some()
    }
}

/// What a packet is for, as far as it decides about its envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The first ping of a probe, or a ping on somebody's behalf: its ack tells how the member can be reached.
    Ping,
    /// An answer: goes out as what it answers came in.
    Answer(Option<Sealed>),
    /// Anything else.
    Other,
}

/// What the machine asks of its driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// One packet holding `messages`, filled up with broadcasts. `node` is the member it goes to, if known.
    Send {
        /// Destination.
        to: SocketAddr,
        /// The member there, as far as the message says.
        node: Option<NodeName>,
        /// What is in it, first of all.
        messages: Vec<Message>,
        /// How it is sealed.
        purpose: Purpose,
    },
    /// Acknowledge a ping that was for us: like `Send`, with the upper layer's ack payload.
    Ack {
        /// Destination.
        to: SocketAddr,
        /// Who asked, by its own word.
        node: Option<NodeName>,
        /// The ping's.
        seq_no: SeqNo,
        /// How the ping was sealed.
        sealed: Option<Sealed>,
        /// Whether it told a session, and so understands one.
        told: bool,
    },
    /// The ack of a probe is late. Others are asked now; try the fallback envelopes, too.
    ProbeLate {
        /// Who is silent.
        target: Arc<Node>,
        /// The probe's.
        seq_no: SeqNo,
    },
    /// Ping by stream and report the answer to [`Swim::handle_stream_ack`] before `deadline`.
    StreamPing {
        /// Whom.
        to: Arc<Node>,
        /// The ping.
        ping: Ping,
        /// End of the probe.
        deadline: Instant,
    },
    /// Exchange full state with this member.
    PushPull(Arc<Node>),
    /// A direct ack arrived: round trip time and the peer's payload.
    RoundTrip {
        /// Who answered.
        node: NodeName,
        /// From ping to ack.
        rtt: std::time::Duration,
        /// The upper layer's.
        payload: Bytes,
    },
    /// An ack for a ping that this layer did not send.
    OtherAck {
        /// The ping's.
        seq_no: SeqNo,
    },
    /// A member's incarnation rose and nothing else of it changed: it refuted, or was restarted.
    Renewed(NodeName),
    /// A member changed.
    Event(Event),
}

/// Why a message was dropped although it could be decoded. Counted, never answered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Drop {
    /// A ping that names another receiver.
    NotForUs,
    /// An incarnation implausibly far ahead of the one we hold.
    Incarnation,
    /// An alive about an unknown member with incarnation zero, or one for which the table has no room.
    NotAdmitted,
    /// More indirect pings under way than [`Relays::MAX`], or one to a stranger's address without a key.
    Relay,
    /// A push/pull entry whose protocol versions fit nobody.
    Versions,
    /// An ack of no ping that is under way.
    UnknownAck,
    /// News of a member that no gossip packet can hold; taken, but not passed on.
    Oversize,
}

impl Drop {
    /// All reasons, in the order of [`Stats::drops`].
    pub const ALL: [Self; 7] = [
        Self::NotForUs,
        Self::Incarnation,
        Self::NotAdmitted,
        Self::Relay,
        Self::Versions,
        Self::UnknownAck,
        Self::Oversize,
    ];

    /// The reason as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotForUs => "not_for_us",
            Self::Incarnation => "incarnation",
            Self::NotAdmitted => "not_admitted",
            Self::Relay => "relay",
            Self::Versions => "versions",
            Self::UnknownAck => "unknown_ack",
            Self::Oversize => "oversize",
        }
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Suspicions that this node started or learned of.
    pub suspicions: u64,
    /// Accusations of ourselves that we refuted.
    pub refutations: u64,
    /// Probes that were answered, by whatever way.
    pub probes_acked: u64,
    /// Probes that were not.
    pub probes_failed: u64,
    /// Dropped messages, indexed by [`Drop::ALL`].
    pub drops: [u64; Drop::ALL.len()],
}

impl Stats {
    /// Every reason with its count, zeros included.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.into_iter().zip(self.drops)
    }
}

/// The membership machine. See the module documentation.
///
/// Drivers call a `handle_*` method or a verb, then [`Self::poll_output`] until it is empty, then wait until
/// [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Swim {
    options: Options,
    local: NodeName,
    members: Members,
    /// Our own incarnation counter; the table holds the one last announced.
    incarnation: Incarnation,
    leaving: bool,
    awareness: Awareness,
    queue: Queue,
    suspicions: BTreeSet<(Instant, NodeName)>,
    prober: Prober,
    relays: Relays,
    push_pull_at: Instant,
    rng: StdRng,
    outputs: VecDeque<Output>,
    stats: Stats,
    /// Members in state alive or suspect, ourselves included.
    present: usize,
}

impl Swim {
    /// A machine whose only member is `local`, announced with `incarnation` (at least 1; a snapshot's plus one after a
    /// restart, so that peers accept us at once).
    pub fn new(options: Options, local: Node, incarnation: Incarnation, now: Instant, rng: StdRng) -> Self {
        let mut swim = Self {
            awareness: Awareness::new(options.awareness_max_multiplier),
            local: local.name.clone(),
            members: Members::default(),
            incarnation: incarnation.max(Incarnation::FIRST),
            leaving: false,
            queue: Queue::new(),
            suspicions: BTreeSet::new(),
            prober: Prober::new(now),
            relays: Relays::default(),
            push_pull_at: now,
            rng,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            present: 0,
            options,
        };
        swim.announce(now, local);
        swim.stagger(now);
        swim
    }

    /// Fills the table with members that are alive, as after hours of calm: nothing is left to tell, and exchanges of full
    /// state are spread over the interval of so large a cluster. For simulations of clusters too large to join one by one;
    /// the records are shared.
    pub fn preload(&mut self, now: Instant, nodes: &[Arc<Node>]) {
        let others: Vec<_> = nodes.iter().filter(|node| node.name != self.local).collect();
        self.present += others.len();
        let alive =
            |node: &Arc<Node>| Member { node: Arc::clone(node), incarnation: Incarnation::FIRST, state: State::Alive };
        self.members.extend(others.into_iter().map(alive), &mut self.rng);
        self.queue = Queue::new();
        self.push_pull_at = now + self.random_part(self.options.push_pull_interval_for(self.members.len()));
    }

    /// Takes a decoded message that arrived from `from`.
    pub fn handle_message(&mut self, now: Instant, from: Origin, message: Message) {
        match message {
            Message::Ping(ping) => self.handle_ping(from, ping),
            Message::IndirectPing(ping) => self.handle_indirect_ping(now, from, ping),
            Message::Ack(ack) => self.handle_ack(now, ack),
            Message::Nack(seq_no) => self.prober.handle_nack(seq_no),
            Message::Suspect(suspect) => self.handle_suspect(now, suspect),
            Message::Alive(alive) => self.handle_alive(now, alive),
            Message::Dead(dead) => self.handle_dead(now, dead),
            // The upper layer's; the endpoint routes it there.
            Message::User(_) => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_suspicions(now);
        self.expire_relays(now);
        self.advance_probe(now);
        if self.push_pull_at <= now {
            self.push_pull_at = now + self.options.push_pull_interval_for(self.members.len());
            let partner = self.members.random(1, &mut self.rng, |m| m.state.is_alive() && m.node.name != self.local);
            self.outputs.extend(partner.into_iter().map(Output::PushPull));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Instant {
        let suspicion = self.suspicions.first().map(|(deadline, _)| *deadline);
        let relay = self.relays.poll_timeout();
        [suspicion, relay].into_iter().flatten().fold(self.push_pull_at.min(self.prober.poll_timeout()), Instant::min)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The queue of membership broadcasts.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Takes membership broadcasts for one packet; returns what is left of `budget`.
    pub fn take_broadcasts(&mut self, budget: usize, overhead: usize, out: &mut Vec<Bytes>) -> usize {
        let limit = broadcast::transmit_limit(self.options.retransmit_mult, self.members.len());
        self.queue.take(budget, overhead, limit, out)
    }

    /// The next broadcast token that is done ([`Queue::next_finished`]).
    pub fn next_finished(&mut self) -> Option<u64> {
        self.queue.next_finished()
    }

    /// Up to `count` random members to gossip to: alive, suspect, and those that died a short while ago.
    pub fn gossip_targets(&mut self, now: Instant, count: usize) -> Vec<Arc<Node>> {
        let Self { members, rng, local, options, .. } = self;
        members.random(count, rng, |member| hears_gossip(member, local, options, now))
    }

    /// Whether [`Self::gossip_targets`] has anybody to choose from.
    pub fn has_gossip_targets(&self, now: Instant) -> bool {
        self.members.iter().any(|member| hears_gossip(member, &self.local, &self.options, now))
    }

    /// A random alive member other than ourselves.
    pub fn random_alive(&mut self) -> Option<Arc<Node>> {
        let local = self.local.clone();
        self.members.random(1, &mut self.rng, |m| m.state.is_alive() && m.node.name != local).pop()
    }

    /// Announces new metadata under a new incarnation. Does nothing once we leave: it would bring us back.
    pub fn set_meta(&mut self, now: Instant, meta: Bytes) {
        if self.leaving {
            return;
        }
        self.incarnation = self.incarnation.next();
        let node = Node { meta, ..Node::clone(self.local_node()) };
        self.announce(now, node);
    }

    /// Announces that we leave; `token` comes out of [`Self::next_finished`] when the queue has done what it does for it.
    /// From now on accusations are no longer refuted. Pings are still answered.
    pub fn leave(&mut self, now: Instant, token: Option<u64>) {
        self.leaving = true;
        self.leave_self(now, token);
    }

    /// Forgets a member that is dead or left, so that push/pulls no longer spread it. False if it is neither.
    pub fn forget(&mut self, name: &NodeName) -> bool {
        let gone = self.members.get(name).is_some_and(|member| member.state.is_gone());
        if gone {
            self.members.remove_if(|member| member.node.name == *name);
            self.queue.remove(name);
        }
        gone
    }

    /// A ping to `node` under a fresh sequence number.
    pub fn ping_to(&mut self, node: &NodeName) -> Ping {
        let seq_no = self.draw_seq_no();
        Ping { seq_no, node: Some(node.clone()), source: self.source(), weir: None }
    }

    /// Our own record.
    pub fn local_node(&self) -> &Arc<Node> {
        &self.members.get(&self.local).expect("the table always holds ourselves").node
    }

    /// Our own incarnation, as last announced.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// All members, dead and left ones included, in no particular order.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The record of `name`.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// Number of members including ourselves, dead and left ones.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: the table holds ourselves.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Number of members that are alive or suspect, ourselves included.
    pub fn present(&self) -> usize {
        self.present
    }

    /// The awareness score: 0 is healthy.
    pub fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The options in force.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn source(&self) -> Source {
        let local = self.local_node();
        Source { addr: Some(local.addr), node: Some(local.name.clone()) }
    }

    fn add_awareness(&mut self, delta: i32) {
        let before = self.awareness.score();
        self.awareness.add(delta);
        let score = self.awareness.score();
        if score != before {
            debug!(before, score, "awareness of our own health changes");
        }
    }

    fn count_drop(&mut self, reason: Drop) {
        trace!(reason = reason.as_str(), "dropped");
        let index = Drop::ALL.iter().position(|other| *other == reason).expect("ALL lists every reason");
        self.stats.drops[index] += 1;
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Whether gossip goes to `member` (`memberlist §4.8`). To whom we declared dead, too: who lives hears of it and refutes.
fn hears_gossip(member: &Member, local: &NodeName, options: &Options, now: Instant) -> bool {
    member.node.name != *local
        && match member.state {
            State::Alive | State::Suspect(_) => true,
            State::Dead(since) => now.since(since) <= options.gossip_to_the_dead,
            State::Left(_) => false,
        }
}
