//! What must hold after every step, whatever the network does.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use weir::endpoint::{Endpoint, MAX_STREAMS};
use weir::serf::{MAX_QUEUE_DEPTH, Status};
use weir::sim::{NodeId, Opened, Recorded, Sim};
use weir::swim;
use weir::time::Instant;
use weir::wire::message::Incarnation;

use super::cluster::{Life, Phase};
use super::plan::Plan;

/// Steps of a node between two looks at its whole table, if nothing was told meanwhile.
const LOOK_EVERY: u32 = 16;
/// The same in a large cluster, whatever was told.
const LOOK_RARELY: u32 = 64;

/// Session packets that somebody on the network keeps.
const CAUGHT: usize = 64;

/// What an observer held of a member at the last look.
#[derive(Clone, Copy)]
struct Seen {
    incarnation: Incarnation,
    addr: SocketAddr,
    /// Since when it was dead or left.
    gone: Option<Instant>,
}

/// What is remembered of one observer.
#[derive(Default)]
struct View {
    members: Vec<Option<Seen>>,
    incarnation: Incarnation,
    steps: u32,
    /// Cheap figures that move when the table does.
    fingerprint: (usize, usize, u64),
}

pub(crate) struct Invariants {
    views: Vec<View>,
    remember_dead: Duration,
    large: bool,
    label: usize,
    nonces: HashSet<Nonce>,
    /// Session packets that some process opened.
    opened: HashSet<Nonce>,
    /// Every sixteenth session packet, the last of them.
    caught: Vec<Recorded>,
    session_packets: usize,
    /// Returns from the dead that were in order.
    pub(crate) returns: u64,
}

impl Invariants {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            views: (0..plan.nodes).map(|_| View::default()).collect(),
            remember_dead: plan.swim().gossip_to_the_dead,
            large: plan.is_large(),
            label: if plan.label.is_empty() { 0 } else { 2 + plan.label.len() },
            nonces: HashSet::new(),
            opened: HashSet::new(),
            caught: Vec::new(),
            session_packets: 0,
            returns: 0,
        }
    }

    pub(crate) fn nonces(&self) -> usize {
        self.nonces.len()
    }

    pub(crate) fn opened(&self) -> usize {
        self.opened.len()
    }

    /// What somebody on the network could send again.
    pub(crate) fn caught(&self) -> &[Recorded] {
        &self.caught
    }

    /// A node forgets with its process.
    pub(crate) fn started(&mut self, node: NodeId) {
        self.views[node.0] = View::default();
    }

    /// After a step of `node`. `changed` if somebody told of a changed member.
    pub(crate) fn check(&mut self, sim: &mut Sim, lives: &[Life], node: NodeId, changed: bool) -> Result<(), String> {
        for sent in sim.drain_recording() {
            self.check_nonce(&sent)?;
            self.catch(sent);
        }
        for opened in sim.drain_opened() {
            self.check_opened(&opened)?;
        }
        let Some(endpoint) = sim.endpoint(node) else { return Ok(()) };
        check_self(endpoint, &lives[node.0]).map_err(|error| format!("node-{}: {error}", node.0))?;
        check_bounds(endpoint).map_err(|error| format!("node-{}: {error}", node.0))?;
        let view = &mut self.views[node.0];
        let swim = endpoint.swim();
        if swim.incarnation() < view.incarnation {
            return Err(format!("node-{}: own incarnation fell from {}", node.0, view.incarnation));
        }
        view.incarnation = swim.incarnation();
        view.steps += 1;
        let fingerprint = (swim.len(), swim.present(), swim.stats().suspicions);
        let news = !self.large && (changed || fingerprint != view.fingerprint);
        if news || view.steps.is_multiple_of(if self.large { LOOK_RARELY } else { LOOK_EVERY }) {
            view.fingerprint = fingerprint;
            self.look(sim, node)?;
        }
        Ok(())
    }

    /// Everything about everybody.
    pub(crate) fn check_all(&mut self, sim: &Sim, lives: &[Life]) -> Result<(), String> {
        for node in sim.nodes() {
            let Some(endpoint) = sim.endpoint(node) else { continue };
            self.look(sim, node)?;
            let named = |error: String| format!("node-{}: {error}", node.0);
            check_self(endpoint, &lives[node.0]).map_err(named)?;
            check_layers(endpoint).map_err(named)?;
        }
        Ok(())
    }

    /// Compares the whole table with the last look: nobody returns from the dead without a newer incarnation.
    fn look(&mut self, sim: &Sim, node: NodeId) -> Result<(), String> {
        let Some(endpoint) = sim.endpoint(node) else { return Ok(()) };
        let view = &mut self.views[node.0];
        view.members.resize(sim.len(), None);
        let mut met = 0;
        for member in endpoint.swim().members() {
            let index = index_of(member.node.name.as_str()).ok_or("a member that nobody started")?;
            let gone = member.state.gone_since();
            let now = Seen { incarnation: member.incarnation, addr: member.node.addr, gone };
            met += 1;
            let Some(before) = view.members[index].replace(now) else { continue };
            let moved = before.addr != now.addr;
            // A record as old as this may have been purged, and the name learned anew.
            let forgotten = before.gone.is_some_and(|gone| sim.now().since(gone) > self.remember_dead);
            if now.incarnation < before.incarnation && !moved && !forgotten {
                return Err(format!(
                    "node-{}: node-{index} fell back from incarnation {} to {}",
                    node.0, before.incarnation, now.incarnation
                ));
            }
            if before.gone.is_some() && now.gone.is_none() {
                if now.incarnation <= before.incarnation && !moved && !forgotten {
                    return Err(format!(
                        "node-{}: node-{index} returned from the dead with incarnation {}",
                        node.0, now.incarnation
                    ));
                }
                self.returns += 1;
            }
        }
        if met < view.members.iter().flatten().count() {
            for (index, seen) in view.members.iter_mut().enumerate() {
                let (name, _) = Sim::identity(index);
                if seen.is_some() && endpoint.swim().member(&name).is_none() {
                    *seen = None;
                }
            }
        }
        Ok(())
    }

    /// No nonce twice under one key. Random nonces of memberlist's envelope must differ under whatever key, and counters
    /// of a session are never reused, whatever the key.
    fn check_nonce(&mut self, sent: &Recorded) -> Result<(), String> {
        let body = self.body(&sent.payload);
        let nonce = if sent.stream { stream_nonce(body) } else { packet_nonce(body) };
        match nonce {
            Some(Nonce::None) => Ok(()),
            Some(nonce) if self.nonces.insert(nonce) => Ok(()),
            Some(nonce) => Err(format!("{} used {nonce:02x?} a second time", sent.from)),
            None => Err(format!("{} sent something that is not sealed: {:02x?}", sent.from, sent.payload)),
        }
    }

    /// A session packet is read once, by one process. Hellos are for whomever they reach.
    fn check_opened(&mut self, opened: &Opened) -> Result<(), String> {
        let body = self.body(&opened.payload);
        match packet_nonce(body) {
            Some(nonce @ Nonce::Session(..)) if body[0] == SESSION_PACKET && !self.opened.insert(nonce) => {
                Err(format!("node-{} opened a packet that was opened before: {nonce:02x?}", opened.by.0))
            }
            _ => Ok(()),
        }
    }

    fn catch(&mut self, sent: Recorded) {
        if sent.stream || !matches!(packet_nonce(self.body(&sent.payload)), Some(Nonce::Session(..))) {
            return;
        }
        self.session_packets += 1;
        let place = self.session_packets / 16 % CAUGHT;
        if self.caught.len() < CAUGHT {
            self.caught.push(sent);
        } else if self.session_packets.is_multiple_of(16) {
            self.caught[place] = sent;
        }
    }

    /// What follows the label.
    fn body<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        match payload.first() {
            Some(&LABEL) => payload.get(self.label..).unwrap_or_default(),
            _ => payload,
        }
    }
}

/// First byte of a label header.
const LABEL: u8 = 244;
/// First byte of a session packet that is no hello.
const SESSION_PACKET: u8 = 0xe1;

/// What must be unique of something sealed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Nonce {
    /// Random, of memberlist's envelope.
    Memberlist([u8; 12]),
    /// Session id and counter of a packet.
    Session([u8; 16], [u8; 4]),
    /// The random part of a stream head, of which the keys of the stream are made.
    Head([u8; 16]),
    /// Frames of a stream whose head came before: numbered from zero under its own keys.
    None,
}

fn packet_nonce(body: &[u8]) -> Option<Nonce> {
    match body.first()? {
        0 | 1 => bytes(body, 1).map(Nonce::Memberlist),
        0xe1 | 0xe2 => Some(Nonce::Session(bytes(body, 5)?, bytes(body, 25)?)),
        _ => None,
    }
}

fn stream_nonce(body: &[u8]) -> Option<Nonce> {
    match body {
        [10, ..] => packet_nonce(body.get(5..)?),
        [0xe3, ..] => bytes(body, 5).map(Nonce::Head),
        // The last frame has the highest bit set, the others hold 65536 bytes.
        [0x80..=0xff, ..] | [0, 1, 0, 0, ..] => Some(Nonce::None),
        _ => None,
    }
}

fn bytes<const N: usize>(body: &[u8], at: usize) -> Option<[u8; N]> {
    body.get(at..at + N)?.try_into().ok()
}

/// A running node is alive to itself.
fn check_self(endpoint: &Endpoint, life: &Life) -> Result<(), String> {
    if life.phase != Phase::Running {
        return Ok(());
    }
    let own = endpoint.swim().member(&endpoint.options().name).ok_or("it does not know itself")?;
    if !own.state.is_alive() {
        return Err(format!("it holds itself {:?}", own.state));
    }
    match endpoint.member(endpoint.options().name.as_str()).map(|member| member.status) {
        Some(Status::Alive) => Ok(()),
        other => Err(format!("its Serf layer holds itself {other:?}")),
    }
}

/// Whatever arrives, what is kept of it stays bounded.
fn check_bounds(endpoint: &Endpoint) -> Result<(), String> {
    let swim = endpoint.swim();
    let depths = endpoint.serf().queue_depths();
    for (what, len, bound) in [
        ("membership broadcasts", swim.queue().len(), swim.len()),
        ("intents", depths.intents, MAX_QUEUE_DEPTH),
        ("queries", depths.queries, MAX_QUEUE_DEPTH),
        ("events", depths.events, MAX_QUEUE_DEPTH),
        ("streams", endpoint.open_streams(), MAX_STREAMS),
    ] {
        if len > bound {
            return Err(format!("{len} {what}, more than {bound}"));
        }
    }
    Ok(())
}

/// The two layers tell the same story: whoever is there for one is there for the other.
fn check_layers(endpoint: &Endpoint) -> Result<(), String> {
    let swim = endpoint.swim();
    let present = swim.members().filter(|member| !member.state.is_gone()).count();
    if present != swim.present() {
        return Err(format!("{} members counted as present, {present} are", swim.present()));
    }
    for member in swim.members().filter(|member| !member.state.is_gone()) {
        let name = member.node.name.as_str();
        match endpoint.member(name) {
            Some(known) if known.status.is_present() && known.node == member.node => {}
            other => return Err(format!("{name} is {:?} to swim and {other:?} to serf", member.state)),
        }
    }
    let there = |member: &swim::Member| !member.state.is_gone();
    for known in endpoint.members().filter(|member| member.status.is_present()) {
        if !swim.member(&known.node.name).is_some_and(there) {
            return Err(format!("{} is {} to serf and not there to swim", known.node.name, known.status));
        }
    }
    Ok(())
}

/// The number in a name that [`Sim::identity`] gave.
pub(crate) fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
