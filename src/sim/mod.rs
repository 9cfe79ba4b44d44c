//! Many endpoints, a virtual clock, and a network that loses, delays, duplicates, reorders and partitions.
//!
//! Everything is drawn from one seed: the same seed gives the same run, event for event. The endpoints are those of the
//! agent; only sockets and the clock are replaced. `weir sim` measures with this, and `tests/sim` hunts with it.

mod network;
pub mod study;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::crypto::Keyring;
use crate::crypto::session::Entropy;
use crate::endpoint::{Endpoint, JoinKind, JoinTarget, Options, Output, Restored, Stored, StreamId};
use crate::time::Instant;
use crate::wire::NodeName;

pub use self::network::Network;

/// Datagrams that a paused node's socket holds before the rest is lost.
const SOCKET_BUFFER: usize = 512;

/// Identifies a node of the simulation; its place in the order of [`Sim::add`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub usize);

/// What the network did so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Datagrams sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams lost by chance.
    pub lost: u64,
    /// Datagrams that arrived twice.
    pub duplicated: u64,
    /// Datagrams and stream segments that a partition swallowed.
    pub partitioned: u64,
    /// Datagrams to a node that was not running, or whose buffer was full.
    pub undelivered: u64,
    /// Streams opened.
    pub streams: u64,
}

/// Something that a node told its application, at a moment.
#[derive(Debug)]
pub struct Note {
    /// When.
    pub at: Instant,
    /// Which node.
    pub node: NodeId,
    /// What.
    pub output: Output,
}

#[derive(Debug)]
struct Host {
    addr: SocketAddr,
    name: NodeName,
    endpoint: Option<Endpoint>,
    /// The moment of its newest timer event; older ones are void.
    timer: Option<Instant>,
    paused: bool,
    /// What arrived during a pause.
    held: VecDeque<Arrival>,
    /// Nodes of different groups cannot reach each other.
    group: u32,
    streams: HashMap<StreamId, ConnectionId>,
    /// How often it was started; connections of an earlier life are void.
    life: u32,
}

type ConnectionId = u64;

#[derive(Debug)]
struct Connection {
    opener: (NodeId, u32, StreamId),
    acceptor: (NodeId, u32, Option<StreamId>),
    /// When the last segment of each direction arrives, so that a stream stays in order.
    opener_last: Instant,
    acceptor_last: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Opener,
    Acceptor,
}

#[derive(Debug)]
enum Arrival {
    Datagram { from: SocketAddr, payload: Vec<u8> },
    Connect(ConnectionId),
    Connected(ConnectionId),
    Data { connection: ConnectionId, to: End, bytes: Vec<u8> },
    Ended { connection: ConnectionId, to: End, error: Option<String> },
}

#[derive(Debug)]
enum Happening {
    Timer(NodeId),
    Arrival(NodeId, Arrival),
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    order: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A simulation. Add nodes, let them join, advance time with [`Self::step`] or [`Self::run_until`].
#[derive(Debug)]
pub struct Sim {
    now: Instant,
    rng: StdRng,
    network: Network,
    hosts: Vec<Host>,
    by_addr: HashMap<SocketAddr, NodeId>,
    schedule: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    counts: Counts,
    notes: VecDeque<Note>,
    recording: Option<Vec<Recorded>>,
    /// Datagrams that do not pass are swallowed.
    filter: Option<fn(&[u8]) -> bool>,
}

/// A datagram as somebody on the network saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its source address.
    pub from: SocketAddr,
    /// The node it went to.
    pub to: NodeId,
    /// The whole packet.
    pub payload: Vec<u8>,
}

impl Sim {
    /// A simulation without nodes. Its clock starts at one hour, so that ages can be subtracted.
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            now: Instant::ZERO + Duration::from_secs(3600),
            rng: StdRng::seed_from_u64(seed),
            network,
            hosts: Vec::new(),
            by_addr: HashMap::new(),
            schedule: BinaryHeap::new(),
            order: 0,
            connections: BTreeMap::new(),
            counts: Counts::default(),
            notes: VecDeque::new(),
            recording: None,
            filter: None,
        }
    }

    /// Records every datagram that is sent from now on.
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// Swallows the datagrams that `passes` refuses, as somebody on the network can.
    pub fn set_filter(&mut self, passes: Option<fn(&[u8]) -> bool>) {
        self.filter = passes;
    }

    /// Ends recording and returns what was sent meanwhile.
    pub fn take_recording(&mut self) -> Vec<Recorded> {
        self.recording.take().unwrap_or_default()
    }

    /// Delivers a datagram to `to` at once, as somebody on the network can.
    pub fn inject(&mut self, from: SocketAddr, to: NodeId, payload: Vec<u8>) {
        self.deliver(to, Arrival::Datagram { from, payload });
    }

    /// The address and name that the `index`th node gets.
    pub fn identity(index: usize) -> (NodeName, SocketAddr) {
        let index = u32::try_from(index).expect("fewer nodes than IPv4 addresses");
        let name = NodeName::new(&format!("node-{index}")).expect("short and not empty");
        (name, SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + index), 7946)))
    }

    /// Adds a node that is not running yet.
    pub fn add(&mut self) -> NodeId {
        let id = NodeId(self.hosts.len());
        let (name, addr) = Self::identity(id.0);
        self.by_addr.insert(addr, id);
        self.hosts.push(Host {
            addr,
            name,
            endpoint: None,
            timer: None,
            paused: false,
            held: VecDeque::new(),
            group: 0,
            streams: HashMap::new(),
            life: 0,
        });
        id
    }

    /// Starts `node`, or starts it anew, as options `configure` makes of the defaults.
    pub fn start(
        &mut self,
        node: NodeId,
        keyring: Option<Keyring>,
        restored: Restored,
        configure: impl FnOnce(&mut Options),
    ) {
        let host = &self.hosts[node.0];
        let mut options = Options::new(host.name.clone(), host.addr);
        configure(&mut options);
        let rng = StdRng::from_seed(self.rng.random());
        let entropy = self.draw_entropy();
        self.install(node, Endpoint::new(options, keyring, restored, rng, entropy, self.now));
    }

    /// Runs an endpoint that the caller made for `node`.
    pub fn install(&mut self, node: NodeId, endpoint: Endpoint) {
        self.kill(node);
        let host = &mut self.hosts[node.0];
        host.endpoint = Some(endpoint);
        host.life += 1;
        self.perform(node);
    }

    /// A generator drawn from the seed, for endpoints that the caller makes.
    pub fn draw_rng(&mut self) -> StdRng {
        StdRng::from_seed(self.rng.random())
    }

    /// What stands for the operating system's generator, drawn from the seed.
    pub fn draw_entropy(&mut self) -> Entropy {
        let mut rng = self.draw_rng();
        Box::new(move |bytes| rng.fill_bytes(bytes))
    }

    /// Ends `node` at once, as SIGKILL does: its host refuses connections from now on.
    pub fn kill(&mut self, node: NodeId) {
        let streams = std::mem::take(&mut self.hosts[node.0].streams);
        for connection in sorted(streams.into_values()) {
            self.end_connection(connection, node, Some("connection reset by peer".to_owned()));
        }
        let host = &mut self.hosts[node.0];
        host.endpoint = None;
        host.timer = None;
        host.paused = false;
        host.held.clear();
    }

    /// Stops `node` as SIGSTOP does: its socket buffers fill, nothing is answered.
    pub fn pause(&mut self, node: NodeId) {
        self.hosts[node.0].paused = true;
    }

    /// Lets a paused node go on, with everything that arrived meanwhile.
    pub fn resume(&mut self, node: NodeId) {
        self.hosts[node.0].paused = false;
        let held = std::mem::take(&mut self.hosts[node.0].held);
        for arrival in held {
            self.deliver(node, arrival);
        }
        self.reschedule(node);
    }

    /// Puts `node` into a partition; nodes of different groups cannot reach each other. All start in group 0.
    pub fn set_group(&mut self, node: NodeId, group: u32) {
        self.hosts[node.0].group = group;
    }

    /// Replaces the network's properties.
    pub fn set_network(&mut self, network: Network) {
        self.network = network;
    }

    /// Lets `node` join through `seeds`.
    pub fn join(&mut self, node: NodeId, seeds: &[NodeId]) {
        let targets = seeds.iter().map(|seed| {
            let host = &self.hosts[seed.0];
            JoinTarget { label: host.name.to_string(), addr: host.addr }
        });
        let targets = targets.collect();
        self.with(node, |endpoint, now| endpoint.join(now, JoinKind::Join { ignore_old: false }, targets));
    }

    /// Calls a verb of `node`'s endpoint and carries out what it asks for. `None` if the node is not running.
    pub fn with<T>(&mut self, node: NodeId, verb: impl FnOnce(&mut Endpoint, Instant) -> T) -> Option<T> {
        let now = self.now;
        let result = self.hosts[node.0].endpoint.as_mut().map(|endpoint| verb(endpoint, now));
        self.perform(node);
        result
    }

    /// Lets the next thing happen. False if nothing is left to happen.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(next)) = self.schedule.pop() else { return false };
        self.now = next.at;
        match next.what {
            Happening::Timer(node) => {
                let host = &mut self.hosts[node.0];
                if host.timer != Some(next.at) || host.paused {
                    return true;
                }
                host.timer = None;
                if let Some(endpoint) = &mut host.endpoint {
                    endpoint.handle_timeout(self.now);
                }
                self.perform(node);
            }
            Happening::Arrival(node, arrival) => self.deliver(node, arrival),
        }
        true
    }

    /// Steps until the clock would pass `end`, then sets it there.
    pub fn run_until(&mut self, end: Instant) {
        while self.schedule.peek().is_some_and(|Reverse(next)| next.at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Steps for `duration`.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Steps until `done`, looked at after each step, or until `limit` has passed. The time it took, if it came true.
    pub fn run_until_true(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        let end = start + limit;
        loop {
            if done(self) {
                return Some(self.now.since(start));
            }
            if self.schedule.peek().is_none_or(|Reverse(next)| next.at > end) {
                return None;
            }
            self.step();
        }
    }

    /// The clock.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Number of nodes, running or not.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.hosts.len()).map(NodeId)
    }

    /// The endpoint of `node`, if it is running.
    pub fn endpoint(&self, node: NodeId) -> Option<&Endpoint> {
        self.hosts[node.0].endpoint.as_ref()
    }

    /// The name of `node`.
    pub fn name(&self, node: NodeId) -> &NodeName {
        &self.hosts[node.0].name
    }

    /// Whether `node` is paused.
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.hosts[node.0].paused
    }

    /// The group of `node`.
    pub fn group(&self, node: NodeId) -> u32 {
        self.hosts[node.0].group
    }

    /// What the network did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What nodes told their applications since the last call, in order.
    pub fn take_notes(&mut self) -> VecDeque<Note> {
        std::mem::take(&mut self.notes)
    }

    fn deliver(&mut self, node: NodeId, arrival: Arrival) {
        let now = self.now;
        let host = &mut self.hosts[node.0];
        if host.paused {
            let full =
                host.held.iter().filter(|held| matches!(held, Arrival::Datagram { .. })).count() >= SOCKET_BUFFER;
            if full && matches!(arrival, Arrival::Datagram { .. }) {
                self.counts.undelivered += 1;
            } else {
                host.held.push_back(arrival);
            }
            return;
        }
        match arrival {
            Arrival::Datagram { from, payload } => match &mut host.endpoint {
                Some(endpoint) => endpoint.handle_datagram(now, from, &payload),
                None => self.counts.undelivered += 1,
            },
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
        self.perform(node);
    }

    fn accept(&mut self, node: NodeId, id: ConnectionId) {
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
                    error: Some(text.to_owned()),
                });
            }
        }
    }

    /// Carries out what `node`'s endpoint asks for.
    fn perform(&mut self, node: NodeId) {
        loop {
            let Some(output) = self.hosts[node.0].endpoint.as_mut().and_then(Endpoint::poll_output) else { break };
            match output {
                Output::Datagram { to, payload } => self.send_datagram(node, to, payload),
                Output::Connect { stream, to } => self.connect(node, stream, to),
                Output::Write { stream, data, close } => self.write(node, stream, data, close),
                Output::Close { stream } => {
                    if let Some(connection) = self.hosts[node.0].streams.remove(&stream) {
                        self.end_connection(connection, node, None);
                    }
                }
                Output::StoreKeyring(store) => {
                    let now = self.now;
                    if let Some(endpoint) = &mut self.hosts[node.0].endpoint {
                        endpoint.handle_keyring_stored(now, store, Stored::Kept);
                    }
                }
                output => self.notes.push_back(Note { at: self.now, node, output }),
            }
        }
        self.reschedule(node);
    }

    fn reschedule(&mut self, node: NodeId) {
        let host = &mut self.hosts[node.0];
        let Some(endpoint) = &host.endpoint else { return };
        let at = endpoint.poll_timeout().max(self.now);
        if host.timer.is_none_or(|timer| timer != at) {
            host.timer = Some(at);
            self.schedule_at(at, Happening::Timer(node));
        }
    }

    fn send_datagram(&mut self, node: NodeId, to: SocketAddr, payload: Vec<u8>) {
        self.counts.packets += 1;
        self.counts.bytes += payload.len() as u64;
        let Some(&target) = self.by_addr.get(&to) else {
            self.counts.undelivered += 1;
            return;
        };
        let from = self.hosts[node.0].addr;
        if let Some(recording) = &mut self.recording {
            recording.push(Recorded { from, to: target, payload: payload.clone() });
        }
        let swallowed = self.filter.is_some_and(|passes| !passes(&payload));
        if swallowed || self.hosts[node.0].group != self.hosts[target.0].group {
            self.counts.partitioned += 1;
            return;
        }
        let delays: Vec<_> = self.network.datagram(&mut self.rng).collect();
        match delays.len() {
            0 => self.counts.lost += 1,
            2 => self.counts.duplicated += 1,
            _ => {}
        }
        for delay in delays {
            let arrival = Arrival::Datagram { from, payload: payload.clone() };
            self.schedule_at(self.now + delay, Happening::Arrival(target, arrival));
        }
    }

    fn connect(&mut self, node: NodeId, stream: StreamId, to: SocketAddr) {
        self.counts.streams += 1;
        let Some(&target) = self.by_addr.get(&to) else {
            let now = self.now;
            if let Some(endpoint) = &mut self.hosts[node.0].endpoint {
                endpoint.handle_stream_end(now, stream, Some("no route to host".to_owned()));
            }
            return;
        };
        self.order += 1;
        let id = self.order;
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

    fn write(&mut self, node: NodeId, stream: StreamId, bytes: Vec<u8>, close: bool) {
        let Some(&id) = self.hosts[node.0].streams.get(&stream) else { return };
        let to = self.other_end(id, node);
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

    /// Tells the other end that `node` closed.
    fn end_connection(&mut self, id: ConnectionId, node: NodeId, error: Option<String>) {
        if self.connections.contains_key(&id) {
            let to = self.other_end(id, node);
            self.send_segment(id, to, |connection, to| Arrival::Ended { connection, to, error });
        }
    }

    fn send_segment(&mut self, id: ConnectionId, to: End, arrival: impl FnOnce(ConnectionId, End) -> Arrival) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (opener, acceptor) = (connection.opener.0, connection.acceptor.0);
        if self.hosts[opener.0].group != self.hosts[acceptor.0].group {
            // Nothing arrives and nobody is told: the endpoint's own deadline ends the wait.
            self.counts.partitioned += 1;
            return;
        }
        let delay = self.network.segment(&mut self.rng);
        let (node, last) = match to {
            End::Opener => (opener, &mut connection.opener_last),
            End::Acceptor => (acceptor, &mut connection.acceptor_last),
        };
        *last = (self.now + delay).max(*last + Duration::from_nanos(1));
        let at = *last;
        self.schedule_at(at, Happening::Arrival(node, arrival(id, to)));
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

    fn schedule_at(&mut self, at: Instant, what: Happening) {
        self.order += 1;
        self.schedule.push(Reverse(Scheduled { at, order: self.order, what }));
    }
}

fn sorted(ids: impl Iterator<Item = ConnectionId>) -> Vec<ConnectionId> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests;
