//! Packets on their way out: what goes into them, and in which envelope (`session §6`).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use crate::crypto::session::SessionId;
use crate::crypto::{KeyId, Sealed};
use crate::swim::{Node, Purpose};
use crate::time::Instant;
use crate::wire::message::{Ack, Message, Ping, SeqNo};
use crate::wire::{NodeName, packet};

use super::envelope::Seal;
use super::peers::{Form, Knowledge, Verdict};
use super::{
    COMPOUND_ENTRY, CRC_BYTES, CRC_PROTOCOL, Drop, Endpoint, MAX_PARTS, MIN_COMPRESSED_BYTES, Output, user_message,
};

impl Endpoint {
    /// Sends what `swim` asks for.
    pub(super) fn send_messages(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<NodeName>,
        mut messages: Vec<Message>,
        purpose: Purpose,
    ) {
        match (purpose, messages.first_mut(), &node) {
            (Purpose::Ping, Some(Message::Ping(_)), Some(name)) => {
                let Message::Ping(ping) = messages.remove(0) else { return };
                let more = messages.iter().map(Message::encode).collect();
                self.send_ping(now, to, name, ping, more, true);
            }
            (Purpose::Answer(sealed), ..) => {
                let parts = messages.iter().map(Message::encode).collect();
                self.answer(now, to, node.as_ref(), parts, sealed);
            }
            (Purpose::Ping | Purpose::Other, ..) => {
                let parts = messages.iter().map(Message::encode).collect();
                self.send(now, to, node.as_ref(), parts, true);
            }
        }
    }

    /// Sends a ping to a member in the best envelope that it is known to open, and remembers it: its ack will teach.
    pub(super) fn send_ping(
        &mut self,
        now: Instant,
        to: SocketAddr,
        name: &NodeName,
        mut ping: Ping,
        more: Vec<Bytes>,
        piggyback: bool,
    ) {
        let seq_no = ping.seq_no;
        let form = match (self.session_mode(), self.peers.knowledge(name)) {
            (None, _) => Form::Old { told: false },
            (Some(_), Knowledge::Session(id)) => Form::Session(id),
            (Some(Seal::Session), _) => Form::Hello,
            (Some(_), Knowledge::Unknown | Knowledge::Old) => {
                ping.weir = self.envelope.session_field();
                Form::Old { told: true }
            }
        };
        if let (Some(_), Some(primary)) = (self.session_mode(), self.envelope.primary().map(crate::crypto::Key::id)) {
            let order = self.peers.next_order();
            self.peers.sent(seq_no, seq_no, name, order, form, primary, now);
        }
        let ping = Message::Ping(ping).encode();
        match form {
            Form::Hello => self.pack(now, to, None, vec![ping], false, form, None),
            Form::Old { .. } | Form::Session(_) => {
                let parts = std::iter::once(ping).chain(more).collect();
                self.pack(now, to, Some(name), parts, piggyback, form, None);
            }
        }
        if matches!(form, Form::Session(_)) && self.peers.is_doubtful(name) {
            self.send_fallbacks(now, to, name, seq_no);
        }
    }

    /// Sends an answer as what it answers came in.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<&NodeName>,
        parts: Vec<Bytes>,
        sealed: Option<Sealed>,
    ) {
        let form = match sealed.and_then(|sealed| sealed.session) {
            Some(id) => Form::Session(id),
            None => Form::Old { told: false },
        };
        self.pack(now, to, node, parts, true, form, sealed.map(|sealed| sealed.key));
    }

    /// Answers a ping that was for us.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<&NodeName>,
        seq_no: SeqNo,
        sealed: Option<Sealed>,
        told: bool,
    ) {
        let in_old = sealed.is_some_and(|sealed| sealed.session.is_none());
        let weir = if told && in_old { self.envelope.session_field() } else { None };
        let ack = Message::Ack(Ack { seq_no, payload: self.serf.ack_payload(), weir });
        self.answer(now, to, node, vec![ack.encode()], sealed);
    }

    /// Sends to a member, or to an address, in the envelope it is known to open.
    pub(super) fn send(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<&NodeName>,
        parts: Vec<Bytes>,
        piggyback: bool,
    ) {
        let Some(mode) = self.session_mode() else {
            return self.pack(now, to, node, parts, piggyback, Form::Old { told: false }, None);
        };
        // What is known of a name holds at its recorded address: who asks under another's name opens no session of that one.
        let named = node.filter(|name| self.peers.is_at(name, to));
        let node = named.or_else(|| self.peers.at(to)).cloned();
        let known = node.as_ref().map(|name| self.peers.knowledge(name)).unwrap_or_default();
        let key = node.as_ref().and_then(|name| self.peers.key(name));
        match (known, mode) {
            (Knowledge::Session(id), _) => self.pack(now, to, node.as_ref(), parts, piggyback, Form::Session(id), key),
            (Knowledge::Unknown | Knowledge::Old, Seal::Auto | Seal::Memberlist) => {
                self.pack(now, to, node.as_ref(), parts, piggyback, Form::Old { told: false }, key);
            }
            (Knowledge::Unknown | Knowledge::Old, Seal::Session) => match node {
                Some(name) if self.peers.wait(&name, parts, now) => self.ask(now, to, &name),
                _ => self.drops.count(Drop::NoSession),
            },
        }
    }

    /// One packet of a round of gossip; the bytes it took.
    pub(super) fn send_gossip(&mut self, now: Instant, node: &Node) -> usize {
        let before = self.traffic.bytes_out;
        if let Some(mode) = self.session_mode() {
            let unknown = self.peers.knowledge(&node.name) == Knowledge::Unknown;
            let no_session =
                mode == Seal::Session && !matches!(self.peers.knowledge(&node.name), Knowledge::Session(_));
            if unknown || no_session || self.peers.is_doubtful(&node.name) {
                self.ask(now, node.addr, &node.name);
            }
            if no_session {
                return (self.traffic.bytes_out - before) as usize;
            }
        }
        self.send(now, node.addr, Some(&node.name), Vec::new(), true);
        (self.traffic.bytes_out - before) as usize
    }

    /// Pings a member outside of the regular probes, within a limit, to learn what it opens.
    fn ask(&mut self, now: Instant, to: SocketAddr, name: &NodeName) {
        if self.peers.may_ping(name, now) {
            let ping = self.swim.ping_to(name);
            self.send_ping(now, to, name, ping, Vec::new(), false);
        }
    }

    /// The ack of a probe is late: if it went out in a session, perhaps that is why.
    pub(super) fn probe_late(&mut self, now: Instant, target: &Arc<Node>, probe: SeqNo) {
        if let Some((_, Form::Session(_))) = self.peers.relayed(probe) {
            self.send_fallbacks(now, target.addr, &target.name, probe);
        }
    }

    /// The probe once more, in every other envelope and under every key that the member may open.
    pub(super) fn send_fallbacks(&mut self, now: Instant, to: SocketAddr, name: &NodeName, probe: SeqNo) {
        let Some(mode) = self.session_mode() else { return };
        let Some(primary) = self.envelope.primary().map(crate::crypto::Key::id) else { return };
        let other = self.peers.key(name).filter(|key| *key != primary && self.holds(*key));
        let order = self.peers.next_order();
        for key in std::iter::once(primary).chain(other) {
            self.send_fallback(now, to, name, probe, order, Form::Hello, key);
            if mode == Seal::Auto {
                self.send_fallback(now, to, name, probe, order, Form::Old { told: true }, key);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a ping with its place in a probe")]
    fn send_fallback(
        &mut self,
        now: Instant,
        to: SocketAddr,
        name: &NodeName,
        probe: SeqNo,
        order: u64,
        form: Form,
        key: KeyId,
    ) {
        let mut ping = self.swim.ping_to(name);
        if matches!(form, Form::Old { .. }) {
            ping.weir = self.envelope.session_field();
        }
        self.peers.sent(ping.seq_no, probe, name, order, form, key, now);
        let parts = vec![Message::Ping(ping).encode()];
        self.pack(now, to, None, parts, false, form, Some(key));
    }

    /// A ping of a member was accepted: it shows which key the member seals with, and may hint at a session.
    pub(super) fn note_ping(&mut self, now: Instant, ping: &Ping, sealed: Option<Sealed>, told: Option<SessionId>) {
        let (Some(sealed), Some(name), Some(addr)) = (sealed, &ping.source.node, ping.source.addr) else { return };
        if self.session_mode().is_none() {
            return;
        }
        let hint = sealed.session.or(told);
        if self.peers.pinged_by(name, addr, sealed.key, hint, now)
            && let Some(id) = hint
        {
            let (ping, order) = (self.swim.ping_to(name), self.peers.next_order());
            self.peers.sent(ping.seq_no, ping.seq_no, name, order, Form::Session(id), sealed.key, now);
            let parts = vec![Message::Ping(ping).encode()];
            self.pack(now, addr, None, parts, false, Form::Session(id), Some(sealed.key));
        }
    }

    /// A bare ping of somebody whose session we need not know: one bare ack, bound to its session, and no other effect
    /// than a hint.
    pub(super) fn answer_hello(&mut self, now: Instant, from: SocketAddr, ping: &Ping, sealed: Sealed) {
        self.note_ping(now, ping, Some(sealed), None);
        let Some(id) = sealed.session else { return };
        let ack = Message::Ack(Ack { seq_no: ping.seq_no, payload: self.serf.ack_payload(), weir: None });
        let to = ping.source.addr.unwrap_or(from);
        self.pack(now, to, None, vec![ack.encode()], false, Form::Session(id), Some(sealed.key));
    }

    /// Learns from an ack and returns it under the number that `swim` knows the probe by.
    pub(super) fn learn(&mut self, now: Instant, mut ack: Ack, sealed: Option<Sealed>) -> Ack {
        if self.session_mode().is_none() {
            return ack;
        }
        let seq_no = ack.seq_no;
        let field = ack.weir.as_deref().and_then(SessionId::from_field);
        let (probe, verdict) = self.peers.acked(seq_no, sealed, field, now);
        if let Some(sessions) = self.envelope.sessions_mut() {
            match verdict {
                Verdict::Opened => sessions.handle_probe_opened(),
                Verdict::Undecipherable => {
                    debug!("a member opens our probe, but not in our session");
                    sessions.handle_probe_undecipherable(now);
                }
                Verdict::Inconclusive => {}
            }
        }
        if let Some((name, addr, waiting)) = self.peers.take_waiting(seq_no, now) {
            for packet in waiting {
                self.send(now, addr, Some(&name), packet.parts, false);
            }
        }
        ack.seq_no = probe;
        ack
    }

    /// The mode, if sessions are in use at all.
    pub(super) fn session_mode(&self) -> Option<Seal> {
        self.envelope.sessions().map(|_| self.envelope.seal_mode())
    }

    fn holds(&self, key: KeyId) -> bool {
        self.envelope.keyring().is_some_and(|ring| ring.key(key).is_some())
    }

    /// Packs `parts`, filled up with broadcasts if `piggyback`, seals them and sends one datagram.
    #[expect(clippy::too_many_arguments, reason = "what a packet is made of")]
    fn pack(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<&NodeName>,
        mut parts: Vec<Bytes>,
        piggyback: bool,
        form: Form,
        key: Option<KeyId>,
    ) {
        let crc = self.wants_crc(node);
        let mut budget = self.envelope.packet_budget() - COMPOUND_ENTRY - if crc { CRC_BYTES } else { 0 };
        budget = budget.saturating_sub(parts.iter().map(|part| part.len() + COMPOUND_ENTRY).sum());
        if piggyback {
            self.take_broadcasts(budget, &mut parts);
        }
        parts.truncate(MAX_PARTS);
        if parts.is_empty() {
            return;
        }
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        let compress = self.options.compression && bytes >= MIN_COMPRESSED_BYTES && form != Form::Hello;
        let plain = packet::encode(&parts, compress, crc);
        let payload = self.envelope.seal_packet(plain, form, key, now, &mut self.rng);
        self.traffic.packets_out += 1;
        self.traffic.bytes_out += payload.len() as u64;
        self.outputs.push_back(Output::Datagram { to, payload });
    }

    /// Membership first, then Serf's queues, as far as `budget` goes.
    fn take_broadcasts(&mut self, budget: usize, parts: &mut Vec<Bytes>) {
        let room = MAX_PARTS - parts.len().min(MAX_PARTS);
        let mut taken = Vec::new();
        let left = self.swim.take_broadcasts(budget, COMPOUND_ENTRY, &mut taken);
        let mut user = Vec::new();
        self.serf.take_broadcasts(left, COMPOUND_ENTRY + 1, &mut user);
        taken.extend(user.iter().map(user_message));
        // The smallest broadcast has some twenty bytes, so a packet's budget holds far fewer than the parts it may have.
        taken.truncate(room);
        parts.append(&mut taken);
    }

    /// A CRC guards packets that are not sealed, for peers that understand it.
    fn wants_crc(&self, node: Option<&NodeName>) -> bool {
        self.envelope.keyring().is_none()
            && node
                .and_then(|node| self.swim.member(node))
                .is_some_and(|member| member.node.versions.protocol_max() >= CRC_PROTOCOL)
    }
}
