//! Many endpoints, a virtual clock, and a network that loses, delays, duplicates, reorders and partitions.
//!
//! Everything is drawn from one seed: the same seed gives the same run, event for event. The endpoints are those of the
//! agent; only sockets and the clock are replaced. `weir sim` measures with this, and `tests/pure/sim` hunts with it.

mod host;
mod network;
mod schedule;
mod stream;
pub mod study;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::crypto::Keyring;
use crate::crypto::session::Entropy;
use crate::endpoint::{Endpoint, JoinKind, JoinTarget, Options, Output, Restored, Stored};
use crate::time::Instant;
use crate::wire::NodeName;

use self::host::Host;
use self::schedule::{Arrival, Happening, Schedule};
use self::stream::{Connection, ConnectionId};

pub use self::host::Uplink;
pub use self::network::Network;

/// Before the addresses of nodes that moved: 10.128.0.0, far above those of [`Sim::identity`].
const MOVED_TO: u32 = 0x0a80_0000;

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
    /// Datagrams that will arrive before one sent earlier to the same node.
    pub reordered: u64,
    /// Datagrams and stream segments that a partition or a broken uplink swallowed.
    pub partitioned: u64,
    /// Datagrams to a node that was not running, or whose buffer was full.
    pub undelivered: u64,
    /// Streams opened.
    pub streams: u64,
    /// Bytes written to streams.
    pub stream_bytes: u64,
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

/// Something that a node put on the wire, as somebody on the network saw it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its source address.
    pub from: SocketAddr,
    /// The node it went to.
    pub to: NodeId,
    /// Written to a stream; else a datagram.
    pub stream: bool,
    /// The whole packet, or all of one write.
    pub payload: Vec<u8>,
}

/// A datagram that a node opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Who.
    pub by: NodeId,
    /// The whole packet.
    pub payload: Vec<u8>,
}

/// A simulation. Add nodes, let them join, advance time with [`Self::step`] or [`Self::run_until`].
#[derive(Debug)]
pub struct Sim {
    now: Instant,
    rng: StdRng,
    network: Network,
    hosts: Vec<Host>,
    by_addr: HashMap<SocketAddr, NodeId>,
    schedule: Schedule,
    next_connection: ConnectionId,
    moves: u32,
    connections: BTreeMap<ConnectionId, Connection>,
    counts: Counts,
    notes: VecDeque<Note>,
    recording: Option<Vec<Recorded>>,
    /// What was read of what is recorded.
    opened: Vec<Opened>,
    /// Datagrams that do not pass are swallowed.
    filter: Option<fn(&[u8]) -> bool>,
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
            schedule: Schedule::default(),
            next_connection: 0,
            moves: 0,
            connections: BTreeMap::new(),
            counts: Counts::default(),
            notes: VecDeque::new(),
            recording: None,
            opened: Vec::new(),
            filter: None,
        }
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
        self.hosts.push(Host::new(name, addr));
        id
    }

    /// An address that nobody ever had.
    pub fn fresh_addr(&mut self) -> SocketAddr {
        self.moves += 1;
        SocketAddr::from((Ipv4Addr::from(MOVED_TO + self.moves), 7946))
    }

    /// Gives `node` another address, as a lease that ran out does. It must not be running, nor who had that address before.
    pub fn move_to(&mut self, node: NodeId, addr: SocketAddr) {
        let old = std::mem::replace(&mut self.hosts[node.0].addr, addr);
        if self.by_addr.get(&old) == Some(&node) {
            self.by_addr.remove(&old);
        }
        self.by_addr.insert(addr, node);
    }

    /// Who got what is sent to `addr`, if anybody ever did.
    pub fn node_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.by_addr.get(&addr).copied()
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
        self.reset_streams(node);
        let host = &mut self.hosts[node.0];
        host.endpoint = None;
        host.timer = None;
        host.paused = false;
        host.release();
    }

    /// Stops `node` as SIGSTOP does: its socket buffers fill, nothing is answered.
    pub fn pause(&mut self, node: NodeId) {
        self.hosts[node.0].paused = true;
    }

    /// Lets a paused node go on, with everything that arrived meanwhile.
    pub fn resume(&mut self, node: NodeId) {
        self.hosts[node.0].paused = false;
        for arrival in self.hosts[node.0].release() {
            self.deliver(node, arrival);
        }
        self.reschedule(node);
    }

    /// Puts `node` into a partition; nodes of different groups cannot reach each other. All start in group 0.
    pub fn set_group(&mut self, node: NodeId, group: u32) {
        self.hosts[node.0].group = group;
    }

    /// Breaks or mends the connection of `node` to the network.
    pub fn set_uplink(&mut self, node: NodeId, uplink: Uplink) {
        self.hosts[node.0].uplink = uplink;
    }

    /// Records everything that is sent from now on.
    pub fn record(&mut self) {
        self.recording = Some(Vec::new());
    }

    /// What was recorded since the last call; recording goes on.
    pub fn drain_recording(&mut self) -> Vec<Recorded> {
        self.recording.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Datagrams that were opened since the last call, while recording.
    pub fn drain_opened(&mut self) -> Vec<Opened> {
        std::mem::take(&mut self.opened)
    }

    /// Ends recording and returns what was sent meanwhile.
    pub fn take_recording(&mut self) -> Vec<Recorded> {
        self.opened.clear();
        self.recording.take().unwrap_or_default()
    }

    /// Swallows the datagrams that `passes` refuses, as somebody on the network can.
    pub fn set_filter(&mut self, passes: Option<fn(&[u8]) -> bool>) {
        self.filter = passes;
    }

    /// Delivers a datagram to `to` at once, as somebody on the network can.
    pub fn inject(&mut self, from: SocketAddr, to: NodeId, payload: Vec<u8>) {
        self.deliver(to, Arrival::Datagram { from, payload });
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

    /// Lets all nodes that run know each other, as after hours of calm. They share one record of each.
    pub fn converge(&mut self) {
        let mut records: Vec<_> =
            self.hosts.iter().filter_map(|host| host.endpoint.as_ref()).map(|node| Arc::clone(node.local())).collect();
        records.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        for node in self.nodes() {
            self.with(node, |endpoint, now| endpoint.preload(now, &records));
        }
    }

    /// Calls a verb of `node`'s endpoint and carries out what it asks for. `None` if the node is not running.
    pub fn with<T>(&mut self, node: NodeId, verb: impl FnOnce(&mut Endpoint, Instant) -> T) -> Option<T> {
        let now = self.now;
        let result = self.hosts[node.0].endpoint.as_mut().map(|endpoint| verb(endpoint, now));
        self.perform(node);
        result
    }

    /// Lets the next thing happen, and says to whom. `None` if nothing is left to happen.
    pub fn step(&mut self) -> Option<NodeId> {
        let (at, what) = self.schedule.pop()?;
        self.now = at;
        match what {
            Happening::Timer(node) => {
                self.tick(node, at);
                Some(node)
            }
            Happening::Arrival(node, arrival) => {
                self.deliver(node, arrival);
                Some(node)
            }
        }
    }

    /// Like [`Self::step`], if there is something to happen until `end`; else the clock is set there.
    pub fn step_until(&mut self, end: Instant) -> Option<NodeId> {
        if self.schedule.next_at().is_some_and(|at| at <= end) {
            return self.step();
        }
        self.now = end;
        None
    }

    /// Steps until the clock would pass `end`, then sets it there.
    pub fn run_until(&mut self, end: Instant) {
        while self.step_until(end).is_some() {}
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
            self.step_until(end)?;
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

    /// The address of `node`.
    pub fn addr(&self, node: NodeId) -> SocketAddr {
        self.hosts[node.0].addr
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

    /// What works of the connection of `node` to the network.
    pub fn uplink(&self, node: NodeId) -> Uplink {
        self.hosts[node.0].uplink
    }

    /// What the network did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What nodes told their applications since the last call, in order.
    pub fn take_notes(&mut self) -> VecDeque<Note> {
        std::mem::take(&mut self.notes)
    }

    fn tick(&mut self, node: NodeId, at: Instant) {
        let host = &mut self.hosts[node.0];
        if host.timer != Some(at) || host.paused {
            return;
        }
        host.timer = None;
        if let Some(endpoint) = &mut host.endpoint {
            endpoint.handle_timeout(self.now);
        }
        self.perform(node);
    }

    fn deliver(&mut self, node: NodeId, arrival: Arrival) {
        let host = &mut self.hosts[node.0];
        if host.paused {
            self.counts.undelivered += u64::from(!host.hold(arrival));
            return;
        }
        match arrival {
            Arrival::Datagram { from, payload } => match &mut host.endpoint {
                Some(endpoint) => {
                    let before = self.recording.as_ref().map(|_| unopened(endpoint));
                    endpoint.handle_datagram(self.now, from, &payload);
                    if before.is_some_and(|before| unopened(endpoint) == before) {
                        self.opened.push(Opened { by: node, payload });
                    }
                }
                None => self.counts.undelivered += 1,
            },
            segment => self.deliver_segment(node, segment),
        }
        self.perform(node);
    }

    /// Carries out what `node`'s endpoint asks for.
    fn perform(&mut self, node: NodeId) {
        while let Some(output) = self.hosts[node.0].endpoint.as_mut().and_then(Endpoint::poll_output) {
            match output {
                Output::Datagram { to, payload } => self.send_datagram(node, to, payload),
                Output::Connect { stream, to } => self.connect(node, stream, to),
                Output::Write { stream, data, close } => self.write(node, stream, data, close),
                Output::Close { stream } => self.close(node, stream),
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
            self.schedule.push(at, Happening::Timer(node));
        }
    }

    fn send_datagram(&mut self, node: NodeId, to: SocketAddr, payload: Vec<u8>) {
        self.counts.packets += 1;
        self.counts.bytes += payload.len() as u64;
        let Some(&target) = self.by_addr.get(&to) else {
            self.counts.undelivered += 1;
            return;
        };
        self.keep_record(node, target, false, &payload);
        let swallowed = self.filter.is_some_and(|passes| !passes(&payload));
        if swallowed || !self.reaches(node, target, true) {
            self.counts.partitioned += 1;
            return;
        }
        match self.network.datagram(&mut self.rng) {
            (None, _) => self.counts.lost += 1,
            (Some(delay), None) => self.schedule_datagram(node, target, delay, payload),
            (Some(delay), Some(again)) => {
                self.counts.duplicated += 1;
                self.schedule_datagram(node, target, again, payload.clone());
                self.schedule_datagram(node, target, delay, payload);
            }
        }
    }

    fn schedule_datagram(&mut self, from: NodeId, to: NodeId, delay: Duration, payload: Vec<u8>) {
        let at = self.now + delay;
        let from = self.hosts[from.0].addr;
        let last = &mut self.hosts[to.0].last_arrival;
        self.counts.reordered += u64::from(at < *last);
        *last = at.max(*last);
        self.schedule.push(at, Happening::Arrival(to, Arrival::Datagram { from, payload }));
    }

    fn reaches(&self, from: NodeId, to: NodeId, datagram: bool) -> bool {
        let (from, to) = (&self.hosts[from.0], &self.hosts[to.0]);
        from.group == to.group && from.uplink.sends(datagram) && to.uplink.hears(datagram)
    }

    fn keep_record(&mut self, from: NodeId, to: NodeId, stream: bool, bytes: &[u8]) {
        let from = self.hosts[from.0].addr;
        if let Some(recording) = &mut self.recording {
            recording.push(Recorded { from, to, stream, payload: bytes.to_vec() });
        }
    }
}

/// How many datagrams did not get as far as being read.
fn unopened(endpoint: &Endpoint) -> u64 {
    endpoint.drops().iter().filter(|(reason, _)| reason.is_before_opening()).map(|(_, count)| count).sum()
}
