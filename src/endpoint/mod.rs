//! Wire, crypto, swim and serf as one machine: datagrams and stream bytes in, [`Output`] values out.
//!
//! Opens and decodes what arrives, routes it to the layer it belongs to, packs and seals what the layers want to say, and
//! paces gossip. No I/O, no clock: the same code runs under tokio in the agent, under virtual time in a simulation and
//! under a fuzzer.
//!
//! A driver feeds one of the `handle_*` methods or a verb, then calls [`Endpoint::poll_output`] until it is empty, then
//! waits until [`Endpoint::poll_timeout`] for the next input.

mod drops;
mod envelope;
mod exchange;
mod gossip;
mod heard;
mod join;
mod keys;
mod leave;
mod names;
mod options;
mod output;
mod packet;
mod peers;
mod reach;
mod removed;
mod second_witness;
mod strangers;
mod stream;
#[cfg(test)]
mod tests;
mod verbs;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tracing::{debug, trace};

use crate::crypto::session::{Content, Entropy};
use crate::crypto::{KeyId, Keyring};
use crate::serf::{self, Serf};
use crate::swim::{self, Origin, Swim};
use crate::time::Instant;
use crate::wire::message::{Incarnation, Message, Ping, Versions};
use crate::wire::serf::{encode_tags, kind};
use crate::wire::{NodeName, packet as wire_packet};

use self::envelope::{Envelope, Opened, told_session};
use self::gossip::Pace;
use self::heard::Heard;
use self::join::{Exchange, Joins};
use self::leave::Leaving;
use self::names::NameTroubles;
use self::peers::Peers;
use self::reach::Reaching;
use self::removed::RemovedKeys;
use self::second_witness::SecondWitnesses;
use self::strangers::Strangers;
use self::stream::Streams;

pub use self::drops::{Drop, Drops};
pub use self::envelope::Seal;
pub use self::join::{Cause, JoinFailure, JoinId, JoinKind, JoinTarget, StreamError};
pub use self::keys::{Asker, KeyChangeId, MAX_KEY_CHANGES, Stored};
pub use self::names::{KnownNameTrouble, MAX_NAME_TROUBLES, NameTrouble};
pub use self::options::Options;
pub use self::output::{Joined, Output, StoreKeyring};
pub use self::peers::Knowledge;
pub use self::reach::MAX_OUTSTANDING;
pub use self::removed::{MAX_REMOVED, RemovedKey};
pub use self::second_witness::MAX_SECOND_WITNESSES;
pub use self::strangers::{MAX_STRANGERS, Stranger};
pub use self::stream::{MAX_BUFFERED_BYTES, MAX_STREAM_BYTES, MAX_STREAMS, MAX_STREAMS_PER_SOURCE, StreamId};

/// Cost of a message in a compound, beyond its own bytes.
const COMPOUND_ENTRY: usize = 2;
/// Type byte of a user message.
const USER: u8 = 8;
/// CRC header, for packets that are not sealed.
const CRC_BYTES: usize = 5;
/// Most parts of a compound.
const MAX_PARTS: usize = 255;
/// Pings of one packet that are answered or passed on. Real packets hold one; hundreds, compressed, would make a small packet
/// from a forged address cause hundreds of large ones.
const MAX_PINGS: usize = 4;
/// Packets below this are not worth compressing: LZW starts with nine bits a byte.
const MIN_COMPRESSED_BYTES: usize = 128;
/// Extra exchanges that are due at once are spread over this time.
const EXTRA_EXCHANGE_SPREAD: Duration = Duration::from_millis(700);
/// Lowest memberlist protocol that understands a CRC header.
const CRC_PROTOCOL: u8 = 5;

/// What an earlier run left behind.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Our last incarnation; zero if there was no earlier run.
    pub incarnation: Incarnation,
    /// The Serf layer's part.
    pub serf: serf::Restored,
    /// What each key has sealed in memberlist's envelope.
    pub sealed: BTreeMap<KeyId, u64>,
    /// Keys that were removed from the ring, the latest last, and how long ago.
    pub removed: Vec<(RemovedKey, Duration)>,
}

/// Traffic since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Datagrams taken.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Exchanges of full state that ended well, both directions.
    pub exchanges: u64,
}

/// One member of a cluster. See the module documentation for how to drive it.
#[derive(Debug)]
pub struct Endpoint {
    options: Options,
    envelope: Envelope,
    swim: Swim,
    serf: Serf,
    streams: Streams,
    joins: Joins,
    peers: Peers,
    pace: Pace,
    leaving: Option<Leaving>,
    /// The vote about our name was lost.
    silent_since: Option<Instant>,
    /// When an exchange beyond the regular ones is due, and with whom, if that matters.
    extra_exchange: Option<(Instant, Option<SocketAddr>)>,
    /// Who was not understood of late.
    strangers: Strangers,
    /// Names that keep others from being members.
    names: NameTroubles,
    removed: RemovedKeys,
    /// When the key that seals last became another.
    resealed: Option<Instant>,
    /// Pings that an operator asked for.
    reaching: Reaching,
    /// Pings about members whose service does not answer.
    second_witnesses: SecondWitnesses,
    key_changes: keys::Changes,
    /// When others were.
    heard: Heard,
    rng: StdRng,
    outputs: VecDeque<Output>,
    drops: Drops,
    traffic: Traffic,
}

impl Endpoint {
    /// An endpoint that knows nobody yet. No `keyring` means plain text; `rng` must be cryptographic in production: it
    /// draws nonces. `entropy` is the operating system's generator: session ids must not come from a buffered one, which a
    /// machine that is rolled back to a memory image would repeat.
    pub fn new(
        options: Options,
        keyring: Option<Keyring>,
        restored: Restored,
        mut rng: StdRng,
        entropy: Entropy,
        now: Instant,
    ) -> Self {
        let local = swim::Node {
            name: options.name.clone(),
            addr: options.advertise,
            meta: encode_tags(&options.tags),
            versions: Versions::OURS,
        };
        let (label, name) = (options.label.clone(), options.name.clone());
        let envelope = Envelope::new(label, keyring, options.seal, name, entropy, restored.sealed);
        // A broadcast that no packet can hold would stay queued for ever.
        let max_broadcast_bytes = envelope.packet_budget() - CRC_BYTES - 2 * COMPOUND_ENTRY - 1;
        let serf_options = serf::Options { max_broadcast_bytes, ..options.serf.clone() };
        let swim_rng = StdRng::from_seed(rng.random());
        let serf_rng = StdRng::from_seed(rng.random());
        let swim_options = swim::Options { max_broadcast_bytes, ..options.swim.clone() };
        let swim = Swim::new(swim_options, local, restored.incarnation.next(), now, swim_rng);
        let serf = Serf::new(serf_options, Arc::clone(swim.local_node()), restored.serf, serf_rng, now);
        let mut endpoint = Self {
            envelope,
            pace: Pace::new(options.swim.gossip_interval, now),
            streams: Streams::default(),
            joins: Joins::default(),
            peers: Peers::default(),
            strangers: Strangers::default(),
            names: NameTroubles::default(),
            removed: RemovedKeys::restored(restored.removed, now),
            resealed: None,
            reaching: Reaching::default(),
            second_witnesses: SecondWitnesses::default(),
            key_changes: keys::Changes::default(),
            heard: Heard::default(),
            leaving: None,
            silent_since: None,
            extra_exchange: None,
            outputs: VecDeque::new(),
            drops: Drops::default(),
            traffic: Traffic::default(),
            rng,
            swim,
            serf,
            options,
        };
        endpoint.settle(now);
        endpoint
    }

    /// Starts converged: `nodes` are known to be alive. For simulations.
    pub fn preload(&mut self, now: Instant, nodes: &[Arc<swim::Node>]) {
        self.swim.preload(now, nodes);
        self.serf.preload(now, nodes);
        self.settle(now);
    }

    /// Takes a datagram that arrived from `from`.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.traffic.packets_in += 1;
        self.traffic.bytes_in += datagram.len() as u64;
        let Opened { content, sealed } = match self.envelope.open_packet(datagram, now) {
            Ok(opened) => opened,
            Err(reason) => return self.drop_packet(now, reason, from, datagram),
        };
        match (content, sealed) {
            (Content::Packet(plain), _) => self.handle_packet(now, Origin { addr: from, sealed }, &plain),
            (Content::Hello(ping), sealed) => {
                self.heard.by_datagram(now, from);
                if let Some(sealed) = sealed.filter(|_| !self.is_silent()) {
                    self.answer_hello(now, from, &ping, sealed);
                }
            }
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.is_silent() {
            self.swim.handle_timeout(now);
        }
        self.serf.handle_timeout(now);
        self.expire_streams(now);
        if let Some((_, partner)) = self.extra_exchange.take_if(|(at, _)| *at <= now)
            && !self.is_silent()
            && let Some(addr) = partner.or_else(|| self.swim.random_alive().map(|node| node.addr))
        {
            self.open_exchange(now, addr, Exchange { node: None, join: None, retry_of: None });
        }
        self.advance_leave(now);
        self.advance_second_witnesses(now);
        self.settle(now);
        if self.pace.is_due(now) {
            self.gossip(now);
            self.settle(now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Instant {
        let optional = [
            self.serf.poll_timeout(),
            self.streams.poll_timeout(),
            self.pace.poll_timeout(),
            self.extra_exchange.as_ref().map(|(at, _)| *at),
            self.leaving.as_ref().map(Leaving::poll_timeout),
            self.second_witnesses.poll_timeout(),
        ];
        let swim = if self.is_silent() {
            self.serf.poll_timeout().unwrap_or(Instant::from_nanos(u64::MAX))
        } else {
            self.swim.poll_timeout()
        };
        optional.into_iter().flatten().fold(swim, Instant::min)
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Routes what a packet holds.
    fn handle_packet(&mut self, now: Instant, from: Origin, plain: &[u8]) {
        let decoded = wire_packet::decode(plain);
        if !decoded.messages.is_empty() {
            self.heard.by_datagram(now, from.addr);
        }
        for error in &decoded.errors {
            self.drops.count(Drop::Malformed);
            self.note_long_name(now, error.long_name());
        }
        let mut pings = 0;
        for message in decoded.messages {
            if matches!(message, Message::Ping(_) | Message::IndirectPing(_)) {
                pings += 1;
                if pings > MAX_PINGS {
                    self.drops.count(Drop::PingLimit);
                    continue;
                }
            }
            match message {
                Message::User(payload) => self.serf.handle_message(now, from.addr, &payload),
                Message::Ping(ping) => {
                    self.handle_ping(now, from, &ping);
                    self.swim.handle_message(now, from, Message::Ping(ping));
                }
                Message::Ack(ack) => {
                    let ack = self.learn(now, ack, from.sealed);
                    self.swim.handle_message(now, from, Message::Ack(ack));
                }
                other => self.swim.handle_message(now, from, self.with_port(other)),
            }
        }
    }

    fn handle_ping(&mut self, now: Instant, from: Origin, ping: &Ping) {
        if self.is_silent() {
            return;
        }
        if let (Some(name), Some(addr)) = (&ping.source.node, ping.source.addr) {
            self.notice_newcomer(now, name, addr, from.sealed.is_some() || addr.ip() == from.addr.ip());
        }
        if ping.node.as_ref().is_none_or(|node| *node == self.options.name) {
            self.note_ping(now, ping, from.sealed, told_session(ping));
        }
    }

    fn drop_packet(&mut self, now: Instant, reason: Drop, from: SocketAddr, datagram: &[u8]) {
        self.drops.count(reason);
        trace!(addr = %from, reason = reason.as_str(), bytes = datagram.len(), "packet is not opened");
        let key = if reason == Drop::KeyUnknown { self.envelope.key_id_of(datagram) } else { None };
        self.note_stranger(now, from, reason, key);
    }

    /// Remembers somebody who was not understood, unless that is as it should be.
    fn note_stranger(&mut self, now: Instant, addr: SocketAddr, reason: Drop, key: Option<KeyId>) {
        if !self.removed.explains(reason, key, now) || self.is_failed_at(addr.ip()) {
            self.strangers.note(Stranger { addr, reason, key, first: now, last: now });
        }
    }

    /// Whether a member there has failed: then it did not just miss the last word of a rotation.
    fn is_failed_at(&self, ip: IpAddr) -> bool {
        self.members().any(|member| member.status == serf::Status::Failed && member.node.addr.ip() == ip)
    }

    /// Moves what the layers produced between them and out, until nothing is left to move, then sets the pace of gossip.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.swim.poll_output() {
                self.route_swim(now, output);
            } else if let Some(output) = self.serf.poll_output() {
                self.route_serf(now, output);
            } else {
                break;
            }
        }
        let pressure = self.pressure(now);
        self.pace.wake(pressure, now);
    }

    fn route_swim(&mut self, now: Instant, output: swim::Output) {
        if self.is_silent() && !matches!(output, swim::Output::Event(_) | swim::Output::Renewed(_)) {
            return;
        }
        match output {
            swim::Output::Send { to, node, messages, purpose } => self.send_messages(now, to, node, messages, purpose),
            swim::Output::Ack { to, node, seq_no, sealed, told } => {
                self.acknowledge(now, to, node.as_ref(), seq_no, sealed, told);
            }
            swim::Output::ProbeLate { target, seq_no } => self.probe_late(now, &target, seq_no),
            swim::Output::Renewed(name) => self.peers.mark_doubtful(&name),
            swim::Output::StreamPing { to, ping, deadline } => self.open_ping(&to, ping, deadline),
            swim::Output::PushPull(node) => {
                let exchange = Exchange { node: Some(node.name.clone()), join: None, retry_of: None };
                self.open_exchange(now, node.addr, exchange);
            }
            swim::Output::RoundTrip { node, rtt, payload } => self.serf.handle_rtt(&node, rtt, &payload),
            swim::Output::OtherAck { seq_no } => {
                let ours = self.leaving.as_mut().is_some_and(|leaving| leaving.acked(seq_no));
                let waited_for = ours || self.reached(seq_no, now) || self.second_witness_acked(now, seq_no);
                if !waited_for && !self.peers.knows(seq_no) {
                    self.swim.count_unknown_ack();
                }
                self.advance_leave(now);
            }
            swim::Output::Event(event) => {
                self.note_member(&event);
                match &event {
                    swim::Event::Suspected { name, by } => {
                        self.outputs.push_back(Output::Suspicion { member: name.clone(), by: Some(by.clone()) });
                    }
                    swim::Event::Cleared(name) => {
                        self.outputs.push_back(Output::Suspicion { member: name.clone(), by: None });
                    }
                    swim::Event::Joined(node) if node.name != self.options.name => self.exchange_after_join(now),
                    _ => {}
                }
                self.serf.handle_swim(now, &event);
            }
        }
    }

    fn route_serf(&mut self, now: Instant, output: serf::Output) {
        match output {
            serf::Output::SendUser { message, .. } if self.is_silent() && message.first() != Some(&kind::QUERY) => {}
            serf::Output::Reconnect(_) | serf::Output::MissedEvents if self.is_silent() => {}
            serf::Output::SendUser { to, node, message } => {
                let parts = vec![user_message(&message)];
                self.send(now, to, node.as_ref(), parts, false);
            }
            serf::Output::Member(event) => self.outputs.push_back(Output::Member(event)),
            serf::Output::Leaving { member, leaving } => self.outputs.push_back(Output::Leaving { member, leaving }),
            serf::Output::Event(event) => self.outputs.push_back(Output::Event(event)),
            serf::Output::Query(answer) => self.outputs.push_back(Output::Query(answer)),
            serf::Output::Reconnect(node) => {
                let target = JoinTarget { label: node.name.to_string(), addr: node.addr };
                let id = self.joins.start(JoinKind::Reconnect, vec![target]);
                self.advance_join(now, id);
            }
            serf::Output::MissedEvents => {
                if self.extra_exchange.is_none() {
                    self.extra_exchange = Some((now, None));
                }
            }
            // Our own leave is confirmed member by member, see `leave`.
            serf::Output::LeaveBroadcastDone => {}
            serf::Output::ForceLeaveDone { name, result } => {
                self.outputs.push_back(Output::ForceLeft { member: name, result });
            }
            serf::Output::Keyring { query, op, ballot, from } => self.handle_key_request(now, query, op, ballot, from),
            serf::Output::Keys { query, outcome } => self.outputs.push_back(Output::Keys { query, outcome }),
            serf::Output::Conflict(outcome) => self.handle_conflict(now, outcome),
            serf::Output::NameClaimed { name, other } => self.note_claim(now, name, other),
        }
    }

    /// A lost vote about our name silences us: nothing is sent, nothing served and nobody judged, until the name is free.
    /// Only the question whether it is goes on, as direct messages.
    fn handle_conflict(&mut self, now: Instant, outcome: serf::ConflictOutcome) {
        match outcome {
            serf::ConflictOutcome::Lost { .. } => {
                self.silent_since.get_or_insert(now);
            }
            serf::ConflictOutcome::Freed | serf::ConflictOutcome::Won { .. } if self.is_silent() => {
                self.silent_since = None;
                let meta = self.local().meta.clone();
                self.swim.set_meta(now, meta);
            }
            serf::ConflictOutcome::Asked { .. }
            | serf::ConflictOutcome::Claimed { .. }
            | serf::ConflictOutcome::Won { .. }
            | serf::ConflictOutcome::Unanswered
            | serf::ConflictOutcome::Freed => {}
        }
        self.outputs.push_back(Output::Conflict(outcome));
    }

    /// Whoever is at `other` claims another member's name. Of one that has just gone this is no news: it may have moved.
    fn note_claim(&mut self, now: Instant, name: NodeName, other: SocketAddr) {
        let holder = self.swim.member(&name).filter(|member| !member.state.is_gone()).map(|member| member.node.addr);
        if let Some(holder) = holder.filter(|holder| *holder != other) {
            self.note_name(now, NameTrouble::Claimed { name, holder, other });
        }
    }

    fn note_long_name(&mut self, now: Instant, member: Option<(SocketAddr, usize)>) {
        if let Some((addr, bytes)) = member {
            self.note_name(now, NameTrouble::TooLong { addr, bytes });
        }
    }

    fn note_name(&mut self, now: Instant, trouble: NameTrouble) {
        if self.names.note(&trouble, now) {
            self.outputs.push_back(Output::NameTrouble(trouble));
        }
    }

    /// Keeps what is known of envelopes and names in step with the member table.
    fn note_member(&mut self, event: &swim::Event) {
        self.names.handle_event(event);
        if let swim::Event::Gone { node, left: true } = event {
            self.second_witnesses.forget(&node.name);
        }
        if let swim::Event::Purged(name) = event {
            self.second_witnesses.forget(name);
        }
        if let swim::Event::Joined(node) = event {
            self.strangers.forget(node.addr.ip());
        }
        if self.envelope.sessions().is_none() {
            return;
        }
        match event {
            swim::Event::Joined(node) | swim::Event::Updated(node) if node.name != self.options.name => {
                self.peers.recorded(node);
            }
            swim::Event::Gone { node, left: true } => self.peers.gone(&node.name),
            swim::Event::Gone { node, left: false } => self.peers.mark_doubtful(&node.name),
            swim::Event::Purged(name) => self.peers.forgotten(name),
            swim::Event::Joined(_)
            | swim::Event::Updated(_)
            | swim::Event::Suspected { .. }
            | swim::Event::Cleared(_)
            | swim::Event::Conflict { .. } => {}
        }
    }

    /// Port 0 in an alive or indirect ping means the receiver's own bind port.
    fn with_port(&self, mut message: Message) -> Message {
        let port = self.options.advertise.port();
        match &mut message {
            Message::Alive(alive) if alive.addr.port() == 0 => alive.addr.set_port(port),
            Message::IndirectPing(ping) if ping.target.port() == 0 => ping.target.set_port(port),
            _ => {}
        }
        message
    }

    /// Somebody who is in nobody's list here pings us, so it knows us and we do not know it: exchange state with it. In
    /// bursts of joins this closes gaps that would stay until the next regular exchange.
    fn notice_newcomer(&mut self, now: Instant, name: &NodeName, addr: SocketAddr, plausible: bool) {
        let newcomer = plausible
            && *name != self.options.name
            && self.swim.member(name).is_none()
            && self.extra_exchange.as_ref().is_none_or(|(_, partner)| partner.is_none())
            && !self.is_leaving();
        if newcomer {
            debug!(member = %name, %addr, "unknown member pings us, state will be exchanged");
            let at = now + EXTRA_EXCHANGE_SPREAD.mul_f64(self.rng.random::<f64>() / 4.0);
            self.extra_exchange = Some((at, Some(addr)));
        }
    }

    /// A member joined: with a probability that keeps the cluster's total small, exchange state soon.
    fn exchange_after_join(&mut self, now: Instant) {
        let wanted = self.rng.random_range(0..self.swim.present().max(1)) < 3;
        if wanted && self.extra_exchange.is_none() {
            let spread = EXTRA_EXCHANGE_SPREAD.mul_f64(self.rng.random::<f64>());
            self.extra_exchange = Some((now + EXTRA_EXCHANGE_SPREAD / 2 + spread, None));
        }
    }
}

/// A Serf message as a memberlist user message.
fn user_message(message: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(1 + message.len());
    out.push(USER);
    out.extend_from_slice(message);
    out.into()
}
