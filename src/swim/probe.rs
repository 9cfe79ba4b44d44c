//! Probing: direct, indirect and by stream (`memberlist §4.7`), and doing so for others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use tracing::{debug, trace};

use crate::crypto::Sealed;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::{Ack, IndirectPing, Message, Ping, SeqNo, Suspect};

use super::{Drop, Node, Origin, Output, Purpose, Swim};

/// Lowest memberlist protocol that answers a missed relay with a nack.
const NACK_PROTOCOL: u8 = 4;
/// Lowest memberlist protocol that answers pings by stream.
const STREAM_PING_PROTOCOL: u8 = 3;

/// Walks the table, one probe at a time.
#[derive(Debug)]
pub(super) struct Prober {
    /// Where in the table the next candidate stands.
    index: usize,
    /// When the next probe begins, if none is running by then.
    next_at: Instant,
    current: Option<Probe>,
}

#[derive(Debug)]
struct Probe {
    target: Arc<Node>,
    seq_no: SeqNo,
    started: Instant,
    /// When the direct ack is late.
    timeout_at: Instant,
    /// When the probe has failed.
    deadline: Instant,
    /// Once others were asked: nacks that an honest network would bring.
    indirect: Option<Indirect>,
}

#[derive(Debug)]
struct Indirect {
    expected_nacks: u32,
    nacks: u32,
}

impl Prober {
    pub(super) fn new(now: Instant) -> Self {
        Self { index: 0, next_at: now, current: None }
    }

    pub(super) fn handle_nack(&mut self, seq_no: SeqNo) {
        if let Some(Probe { seq_no: current, indirect: Some(indirect), .. }) = &mut self.current
            && *current == seq_no
        {
            indirect.nacks += 1;
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        match &self.current {
            Some(Probe { indirect: None, timeout_at, .. }) => *timeout_at,
            Some(Probe { deadline, .. }) => *deadline,
            None => self.next_at,
        }
    }
}

/// Pings sent on behalf of others, by our sequence number.
#[derive(Debug, Default)]
pub(super) struct Relays(HashMap<SeqNo, Relay>);

#[derive(Debug)]
struct Relay {
    seq_no: SeqNo,
    reply_to: SocketAddr,
    requester: Option<NodeName>,
    nack: bool,
    deadline: Instant,
    /// How the request was sealed.
    sealed: Option<Sealed>,
}

impl Relays {
    /// Most pings under way for others.
    pub(super) const MAX: usize = 1024;

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().map(|relay| relay.deadline).min()
    }
}

impl Swim {
    /// Spreads the first probe and push/pull over their intervals, so that agents started together do not move in step.
    pub(super) fn stagger(&mut self, now: Instant) {
        self.prober.next_at = now + self.random_part(self.options.probe_interval);
        let push_pull = self.options.push_pull_interval;
        self.push_pull_at = now + push_pull + self.random_part(push_pull);
    }

    /// A sequence number that nobody can guess: acks are matched by it alone.
    pub(super) fn draw_seq_no(&mut self) -> SeqNo {
        SeqNo::new(self.rng.next_u32())
    }

    /// Moves the running probe on, or starts the next.
    pub(super) fn advance_probe(&mut self, now: Instant) {
        if let Some(probe) = &self.prober.current {
            if probe.deadline <= now {
                self.fail_probe(now);
            } else if probe.indirect.is_none() && probe.timeout_at <= now {
                self.ask_others();
            }
        }
        if self.prober.current.is_none() && self.prober.next_at <= now {
            let interval = self.options.probe_interval;
            // At most one tick is made up for: a probe that took longer than its interval delays, it does not pile up.
            self.prober.next_at = (self.prober.next_at + interval).max(now + interval / 10);
            if let Some(target) = self.next_target(now) {
                self.start_probe(now, target);
            }
        }
    }

    pub(super) fn handle_ping(&mut self, from: Origin, ping: Ping) {
        if ping.node.as_ref().is_some_and(|node| *node != self.local) {
            return self.count_drop(Drop::NotForUs);
        }
        let to = self.answer_to(from, &ping.source.addr, ping.source.node.as_ref());
        let (sealed, told) = (from.sealed, ping.weir.is_some());
        self.outputs.push_back(Output::Ack { to, node: ping.source.node, seq_no: ping.seq_no, sealed, told });
    }

    pub(super) fn handle_indirect_ping(&mut self, now: Instant, from: Origin, ping: IndirectPing) {
        let known = self.members.get(&ping.node).is_some_and(|member| member.node.addr == ping.target);
        if self.relays.0.len() >= Relays::MAX || !(known || from.is_trusted()) {
            return self.count_drop(Drop::Relay);
        }
        let seq_no = self.draw_seq_no();
        let reply_to = self.answer_to(from, &ping.source.addr, ping.source.node.as_ref());
        let deadline = now + self.options.probe_timeout;
        let requester = ping.source.node;
        let relay = Relay { seq_no: ping.seq_no, reply_to, requester, nack: ping.nack, deadline, sealed: from.sealed };
        self.relays.0.insert(seq_no, relay);
        let relayed = Ping { seq_no, node: Some(ping.node.clone()), source: self.source(), weir: None };
        self.send(ping.target, Some(ping.node), vec![Message::Ping(relayed)], Purpose::Ping);
    }

    pub(super) fn handle_ack(&mut self, now: Instant, ack: Ack) {
        if self.prober.current.as_ref().is_some_and(|probe| probe.seq_no == ack.seq_no) {
            let probe = self.prober.current.take().expect("just matched");
            if probe.indirect.is_none() {
                let (node, rtt) = (probe.target.name.clone(), now.since(probe.started));
                self.outputs.push_back(Output::RoundTrip { node, rtt, payload: ack.payload });
            }
            self.probe_succeeded(now);
        } else if let Some(relay) = self.relays.0.remove(&ack.seq_no) {
            let answer = Ack { seq_no: relay.seq_no, payload: bytes::Bytes::new(), weir: None };
            self.send(relay.reply_to, relay.requester, vec![Message::Ack(answer)], Purpose::Answer(relay.sealed));
        } else {
            self.outputs.push_back(Output::OtherAck { seq_no: ack.seq_no });
        }
    }

    /// The target of a [`Output::StreamPing`] answered: it lives, and UDP to it is broken.
    pub fn handle_stream_ack(&mut self, now: Instant, seq_no: SeqNo) {
        if let Some(probe) = self.prober.current.take_if(|probe| probe.seq_no == seq_no) {
            debug!(member = %probe.target.name, "member answers by stream, not by datagram");
            self.probe_succeeded(now);
        }
    }

    /// Counts an ack that matched nothing at all.
    pub fn count_unknown_ack(&mut self) {
        self.count_drop(Drop::UnknownAck);
    }

    /// Tells requesters about relayed pings that stayed unanswered.
    pub(super) fn expire_relays(&mut self, now: Instant) {
        if self.relays.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        let mut late: Vec<_> = self.relays.0.extract_if(|_, relay| relay.deadline <= now).collect();
        late.sort_unstable_by_key(|(seq_no, _)| *seq_no);
        for (_, relay) in late {
            if relay.nack {
                let purpose = Purpose::Answer(relay.sealed);
                self.send(relay.reply_to, relay.requester, vec![Message::Nack(relay.seq_no)], purpose);
            }
        }
    }

    fn start_probe(&mut self, now: Instant, target: Arc<Node>) {
        let interval = self.awareness.stretch(self.options.probe_interval);
        let seq_no = self.draw_seq_no();
        let ping = Ping { seq_no, node: Some(target.name.clone()), source: self.source(), weir: None };
        let mut messages = vec![Message::Ping(ping)];
        let member = self.members.get(&target.name).expect("targets come from the table");
        if member.state.is_suspect() {
            // Tell it what it is accused of, so that it can refute.
            messages.push(Message::Suspect(Suspect {
                incarnation: member.incarnation,
                node: target.name.clone(),
                from: self.local.clone(),
            }));
        }
        trace!(member = %target.name, "probing");
        self.send(target.addr, Some(target.name.clone()), messages, Purpose::Ping);
        let deadline = now + interval;
        let timeout_at = (now + self.options.probe_timeout).min(deadline);
        self.prober.current = Some(Probe { target, seq_no, started: now, timeout_at, deadline, indirect: None });
    }

    /// The direct ack is late: others ping too, and we try a stream.
    fn ask_others(&mut self) {
        let Some(probe) = &self.prober.current else { return };
        let (target, seq_no, deadline) = (Arc::clone(&probe.target), probe.seq_no, probe.deadline);
        self.outputs.push_back(Output::ProbeLate { target: Arc::clone(&target), seq_no });
        let local = self.local.clone();
        let helpers = self.members.random(self.options.indirect_checks, &mut self.rng, |member| {
            member.state.is_alive() && member.node.name != local && member.node.name != target.name
        });
        debug!(member = %target.name, helpers = helpers.len(), "ack is late, others are asked");
        let mut expected_nacks = 0;
        for helper in helpers {
            let nack = helper.versions.protocol_max() >= NACK_PROTOCOL;
            expected_nacks += u32::from(nack);
            let ping =
                IndirectPing { seq_no, target: target.addr, node: target.name.clone(), nack, source: self.source() };
            self.send(helper.addr, Some(helper.name.clone()), vec![Message::IndirectPing(ping)], Purpose::Other);
        }
        if self.options.tcp_pings && target.versions.protocol_max() >= STREAM_PING_PROTOCOL {
            let ping = Ping { seq_no, node: Some(target.name.clone()), source: self.source(), weir: None };
            self.outputs.push_back(Output::StreamPing { to: target, ping, deadline });
        }
        if let Some(probe) = &mut self.prober.current {
            probe.indirect = Some(Indirect { expected_nacks, nacks: 0 });
        }
    }

    fn fail_probe(&mut self, now: Instant) {
        let Some(probe) = self.prober.current.take() else { return };
        self.stats.probes_failed += 1;
        // Missing nacks mean that the helpers did not hear us either: the fault is more likely ours.
        let blame = match probe.indirect {
            Some(Indirect { expected_nacks, nacks }) if expected_nacks > 0 => expected_nacks.saturating_sub(nacks),
            _ => 1,
        };
        debug!(member = %probe.target.name, blame, "probe failed");
        self.add_awareness(i32::try_from(blame).unwrap_or(i32::MAX));
        if let Some(member) = self.members.get(&probe.target.name) {
            let (incarnation, node) = (member.incarnation, probe.target.name.clone());
            self.handle_suspect(now, Suspect { incarnation, node, from: self.local.clone() });
        }
    }

    fn probe_succeeded(&mut self, now: Instant) {
        self.stats.probes_acked += 1;
        self.add_awareness(-1);
        self.advance_probe(now);
    }

    /// The next member to probe; at the end of the table it is purged and shuffled.
    fn next_target(&mut self, now: Instant) -> Option<Arc<Node>> {
        for _ in 0..=self.members.len() {
            let Some(member) = self.members.at(self.prober.index) else {
                self.prober.index = 0;
                self.purge(now);
                self.members.shuffle(&mut self.rng);
                continue;
            };
            self.prober.index += 1;
            if member.node.name != self.local && !member.state.is_gone() {
                return Some(Arc::clone(&member.node));
            }
        }
        None
    }

    fn purge(&mut self, now: Instant) {
        let (local, keep) = (self.local.clone(), self.options.gossip_to_the_dead);
        let purged = self.members.remove_if(|member| {
            member.node.name != local && member.state.gone_since().is_some_and(|since| now.since(since) > keep)
        });
        for name in purged {
            debug!(member = %name, "record of the departed is purged");
            self.queue.remove(&name);
            self.emit(super::Event::Purged(name));
        }
    }

    /// Where an answer goes: to the address that the asker names if that is plausibly its own, else back where the packet
    /// came from. A ping must not make us send to a stranger.
    fn answer_to(&self, from: Origin, named: &Option<SocketAddr>, node: Option<&NodeName>) -> SocketAddr {
        let Some(named) = *named else { return from.addr };
        let recorded = || node.and_then(|node| self.members.get(node)).is_some_and(|member| member.node.addr == named);
        if from.is_trusted() || named.ip() == from.addr.ip() || recorded() { named } else { from.addr }
    }

    pub(super) fn random_part(&mut self, interval: Duration) -> Duration {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(if nanos == 0 { 0 } else { self.rng.random_range(0..nanos) })
    }

    fn send(&mut self, to: SocketAddr, node: Option<NodeName>, messages: Vec<Message>, purpose: Purpose) {
        self.outputs.push_back(Output::Send { to, node, messages, purpose });
    }

    /// Whether `name` is dead or left.
    pub fn is_gone(&self, name: &NodeName) -> bool {
        self.members.get(name).is_some_and(|member| member.state.is_gone())
    }
}
