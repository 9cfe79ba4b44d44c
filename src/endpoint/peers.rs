//! Who opens which envelope (`session §6`).
//!
//! Knowledge belongs to a member, by name and recorded address, never to a packet's source. Only an ack to a ping of ours
//! changes it; a ping of somebody else may be a recording, so it is a hint that makes us ask.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use crate::crypto::session::SessionId;
use crate::crypto::{KeyId, Sealed};
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::SeqNo;

/// Pings caused by hints and gossip: one per member in this time,
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// and this many in all of it.
const PINGS_PER_INTERVAL: u32 = 20;
/// Packets that wait for a member's session, and for how long.
const MAX_WAITING: usize = 8;
pub(super) const WAIT: Duration = Duration::from_secs(1);
/// How long the ack of a ping still teaches.
const MEMORY: Duration = Duration::from_secs(60);
/// Outstanding pings beyond which old ones are looked for; later at twice what was left, or a flood of relayed pings would make
/// each of them look at all.
const SWEEP: usize = 256;

/// What a member is known to open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Knowledge {
    /// Not asked yet, or everything is open again.
    #[default]
    Unknown,
    /// It said so by an ack without a session.
    Old,
    /// Packets bound to this process of it.
    Session(SessionId),
}

/// One form of sealing a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// memberlist's envelope. `told`: the ping carries our session.
    Old { told: bool },
    /// Bound to one process.
    Session(SessionId),
    /// A bare ping for whomever it reaches.
    Hello,
}

/// A ping of ours that may still be acknowledged.
#[derive(Clone, Debug)]
struct Outstanding {
    member: NodeName,
    /// Pings teach in the order they were sent; those of one fallback count as sent together.
    order: u64,
    /// The sequence number that `swim` knows the probe by.
    probe: SeqNo,
    form: Form,
    key: KeyId,
    /// Its number stood in an indirect ping: its ack may be somebody else's word.
    relayed: bool,
    expires: Instant,
}

#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    knowledge: Knowledge,
    /// It may be another process by now.
    doubtful: bool,
    /// Order of the ping that taught last.
    taught: u64,
    /// The key of its last accepted ping, and when that came.
    key: Option<(KeyId, Instant)>,
    pinged: Option<Instant>,
    waiting: Vec<Waiting>,
}

/// A packet that waits until its receiver's session is known.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) parts: Vec<Bytes>,
    pub(super) until: Instant,
}

/// What an ack says of the packets that our session seals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// A session-sealed ping was answered as such.
    Opened,
    /// Only a fallback was answered, by the process we hold, under the same key.
    Undecipherable,
    /// Nothing.
    Inconclusive,
}

/// All members' envelopes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: HashMap<NodeName, Peer>,
    /// Whoever was last known to be weir, also if it has left.
    weir: BTreeSet<NodeName>,
    outstanding: HashMap<SeqNo, Outstanding>,
    /// How many there may be before old ones are looked for; at least [`SWEEP`].
    sweep_at: usize,
    /// Probes whose session-sealed ping was answered, or for which that was judged already.
    judged: HashMap<SeqNo, Instant>,
    order: u64,
    window: Option<(Instant, u32)>,
}

impl Peers {
    /// `node` is in the table at this address. A new or moved member starts unknown.
    pub(super) fn recorded(&mut self, node: &Node) {
        match self.peers.get_mut(&node.name) {
            Some(peer) if peer.addr == node.addr => {}
            _ => {
                let peer = Peer {
                    addr: node.addr,
                    knowledge: Knowledge::Unknown,
                    doubtful: false,
                    taught: self.order,
                    key: None,
                    pinged: None,
                    waiting: Vec::new(),
                };
                self.peers.insert(node.name.clone(), peer);
            }
        }
    }

    /// It refuted, restarted or died: a session is in doubt until the next ack that teaches; anything else is open again.
    pub(super) fn mark_doubtful(&mut self, name: &NodeName) {
        if let Some(peer) = self.peers.get_mut(name) {
            match peer.knowledge {
                Knowledge::Session(session) => {
                    debug!(member = %name, %session, "session is in doubt");
                    peer.doubtful = true;
                }
                Knowledge::Old | Knowledge::Unknown => peer.knowledge = Knowledge::Unknown,
            }
        }
    }

    /// It left.
    pub(super) fn gone(&mut self, name: &NodeName) {
        self.peers.remove(name);
    }

    /// It is no member any more.
    pub(super) fn forgotten(&mut self, name: &NodeName) {
        self.peers.remove(name);
        self.weir.remove(name);
    }

    /// Whether it is, or was before it left, known to be weir.
    pub(super) fn is_weir(&self, name: &NodeName) -> bool {
        self.weir.contains(name)
    }

    pub(super) fn knowledge(&self, name: &NodeName) -> Knowledge {
        self.peers.get(name).map(|peer| peer.knowledge).unwrap_or_default()
    }

    pub(super) fn is_doubtful(&self, name: &NodeName) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.doubtful)
    }

    /// The key that the member's last accepted ping was sealed with.
    pub(super) fn key(&self, name: &NodeName) -> Option<KeyId> {
        self.peers.get(name)?.key.map(|(key, _)| key)
    }

    /// When the member's last accepted ping came.
    pub(super) fn last_ping(&self, name: &NodeName) -> Option<Instant> {
        self.peers.get(name)?.key.map(|(_, at)| at)
    }

    /// Whether `name` is recorded at this address.
    pub(super) fn is_at(&self, name: &NodeName, addr: SocketAddr) -> bool {
        self.peers.get(name).is_some_and(|peer| peer.addr == addr)
    }

    /// The member whose record has this address. For the few packets that name none. Where an address changed hands, the
    /// record of who had it before is in doubt.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<&NodeName> {
        let there = self.peers.iter().filter(|(_, peer)| peer.addr == addr);
        there.min_by_key(|(name, peer)| (peer.doubtful, *name)).map(|(name, _)| name)
    }

    /// A ping of `name` was accepted. Returns true if it hints at a session that we do not hold and one may ask.
    pub(super) fn pinged_by(
        &mut self,
        name: &NodeName,
        addr: SocketAddr,
        key: KeyId,
        hint: Option<SessionId>,
        now: Instant,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(name) else { return false };
        if peer.addr != addr {
            return false;
        }
        peer.key = Some((key, now));
        let news = hint.is_some_and(|id| peer.knowledge != Knowledge::Session(id));
        news && self.may_ping(name, now)
    }

    /// Whether a ping beyond the regular probes may go to `name` now; if so, it is counted.
    pub(super) fn may_ping(&mut self, name: &NodeName, now: Instant) -> bool {
        let (start, count) = match self.window {
            Some((start, count)) if now.since(start) < PING_INTERVAL => (start, count),
            _ => (now, 0),
        };
        let Some(peer) = self.peers.get_mut(name) else { return false };
        let recently = peer.pinged.is_some_and(|at| now.since(at) < PING_INTERVAL);
        if recently || count >= PINGS_PER_INTERVAL {
            return false;
        }
        peer.pinged = Some(now);
        self.window = Some((start, count + 1));
        true
    }

    /// Draws the place of the next ping, or of pings that count as sent together.
    pub(super) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Remembers a ping under `seq_no`, part of the probe that `swim` knows as `probe`.
    #[expect(clippy::too_many_arguments, reason = "what there is to know of a ping")]
    pub(super) fn sent(
        &mut self,
        seq_no: SeqNo,
        probe: SeqNo,
        member: &NodeName,
        order: u64,
        form: Form,
        key: KeyId,
        now: Instant,
    ) {
        if self.outstanding.len() >= self.sweep_at.max(SWEEP) {
            self.outstanding.retain(|_, ping| ping.expires > now);
            self.judged.retain(|_, expires| *expires > now);
            self.sweep_at = 2 * self.outstanding.len();
        }
        let ping =
            Outstanding { member: member.clone(), order, probe, form, key, relayed: false, expires: now + MEMORY };
        self.outstanding.insert(seq_no, ping);
    }

    /// The probe's number now stands in indirect pings. Returns the form of its first ping and its member.
    pub(super) fn relayed(&mut self, probe: SeqNo) -> Option<(NodeName, Form)> {
        let ping = self.outstanding.get_mut(&probe)?;
        ping.relayed = true;
        Some((ping.member.clone(), ping.form))
    }

    /// An ack arrived by UDP. Learns from it, and returns the probe it counts for.
    pub(super) fn acked(
        &mut self,
        seq_no: SeqNo,
        sealed: Option<Sealed>,
        field: Option<SessionId>,
        now: Instant,
    ) -> (SeqNo, Verdict) {
        let Some(ping) = self.outstanding.get(&seq_no).cloned() else { return (seq_no, Verdict::Inconclusive) };
        if ping.expires <= now {
            return (ping.probe, Verdict::Inconclusive);
        }
        let session = sealed.and_then(|sealed| sealed.session);
        let lesson = match (session, field, ping.form) {
            // A relay seals what it passes on by its own session.
            (Some(id), _, _) => (!ping.relayed).then_some(Knowledge::Session(id)),
            (None, Some(id), _) => Some(Knowledge::Session(id)),
            (None, None, Form::Old { told: true }) => (!ping.relayed).then_some(Knowledge::Old),
            (None, None, _) => None,
        };
        let verdict = self.judge(&ping, session, field, now);
        if let (Some(lesson), Some(peer)) = (lesson, self.peers.get_mut(&ping.member))
            && ping.order > peer.taught
        {
            peer.taught = ping.order;
            if peer.knowledge != lesson {
                debug!(member = %ping.member, before = ?peer.knowledge, now = ?lesson, "member opens another envelope");
            }
            peer.knowledge = lesson;
            peer.doubtful = false;
            match lesson {
                Knowledge::Session(_) => drop(self.weir.insert(ping.member)),
                Knowledge::Old | Knowledge::Unknown => drop(self.weir.remove(&ping.member)),
            }
        }
        (ping.probe, verdict)
    }

    /// Whether the ping `seq_no` is one of ours.
    pub(super) fn knows(&self, seq_no: SeqNo) -> bool {
        self.outstanding.contains_key(&seq_no)
    }

    /// Lets a packet wait for the session of `name`. False if there is no room.
    pub(super) fn wait(&mut self, name: &NodeName, parts: Vec<Bytes>, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(name) else { return false };
        peer.waiting.retain(|waiting| waiting.until > now);
        let room = peer.waiting.len() < MAX_WAITING;
        if room {
            peer.waiting.push(Waiting { parts, until: now + WAIT });
        }
        room
    }

    /// What waited for the session of the member that the ping `seq_no` went to, now that it is known.
    pub(super) fn take_waiting(&mut self, seq_no: SeqNo, now: Instant) -> Option<(NodeName, SocketAddr, Vec<Waiting>)> {
        let member = self.outstanding.get(&seq_no)?.member.clone();
        let peer = self.peers.get_mut(&member)?;
        if peer.waiting.is_empty() || !matches!(peer.knowledge, Knowledge::Session(_)) {
            return None;
        }
        let mut waiting = std::mem::take(&mut peer.waiting);
        waiting.retain(|waiting| waiting.until > now);
        Some((member, peer.addr, waiting))
    }

    /// Whether a probe's answer says that our session can be opened, or that everybody drops it.
    fn judge(
        &mut self,
        ping: &Outstanding,
        session: Option<SessionId>,
        field: Option<SessionId>,
        now: Instant,
    ) -> Verdict {
        if self.judged.contains_key(&ping.probe) {
            return Verdict::Inconclusive;
        }
        let verdict = match ping.form {
            Form::Session(_) if session.is_some() && !ping.relayed => Verdict::Opened,
            Form::Session(_) => Verdict::Inconclusive,
            Form::Old { .. } | Form::Hello => match self.outstanding.get(&ping.probe) {
                Some(Outstanding { form: Form::Session(held), key, .. })
                    if *key == ping.key && session.or(field) == Some(*held) =>
                {
                    Verdict::Undecipherable
                }
                _ => Verdict::Inconclusive,
            },
        };
        if verdict != Verdict::Inconclusive {
            self.judged.insert(ping.probe, now + MEMORY);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Versions;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);
    const KEY: KeyId = KeyId([1; 4]);
    const OTHER_KEY: KeyId = KeyId([2; 4]);
    const THEM: SessionId = SessionId([7; 16]);
    const RESTARTED: SessionId = SessionId([8; 16]);

    fn no(number: u32) -> SeqNo {
        SeqNo::new(number)
    }

    fn node(port: u16) -> Node {
        Node {
            name: NodeName::new("them").unwrap(),
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            meta: Bytes::new(),
            versions: Versions::OURS,
        }
    }

    fn peers() -> (Peers, NodeName) {
        let mut peers = Peers::default();
        peers.recorded(&node(1));
        (peers, node(1).name)
    }

    fn sealed(session: Option<SessionId>) -> Option<Sealed> {
        Some(Sealed { key: KEY, session })
    }

    fn ping(peers: &mut Peers, seq_no: u32, form: Form) {
        let (name, order) = (node(1).name, peers.next_order());
        peers.sent(no(seq_no), no(seq_no), &name, order, form, KEY, NOW);
    }

    /// `them` known as a session.
    fn learned() -> (Peers, NodeName) {
        let (mut peers, name) = peers();
        ping(&mut peers, 1, Form::Old { told: true });
        peers.acked(no(1), sealed(None), Some(THEM), NOW);
        assert_eq!(peers.knowledge(&name), Knowledge::Session(THEM));
        (peers, name)
    }

    #[test]
    fn what_an_ack_teaches() {
        let told = Form::Old { told: true };
        // form of the ping, relayed, session of the ack, field of the ack, knowledge
        let rows = [
            (Form::Session(THEM), false, Some(RESTARTED), None, Knowledge::Session(RESTARTED)),
            (Form::Hello, false, Some(RESTARTED), None, Knowledge::Session(RESTARTED)),
            (told, false, Some(RESTARTED), None, Knowledge::Session(RESTARTED)),
            (told, false, None, Some(RESTARTED), Knowledge::Session(RESTARTED)),
            (told, false, None, None, Knowledge::Old),
            (Form::Old { told: false }, false, None, None, Knowledge::Session(THEM)),
            (Form::Session(THEM), true, Some(RESTARTED), None, Knowledge::Session(THEM)),
            (told, true, None, None, Knowledge::Session(THEM)),
        ];
        for (form, relayed, session, field, expected) in rows {
            let (mut peers, name) = learned();
            ping(&mut peers, 2, form);
            if relayed {
                peers.relayed(no(2));
            }
            peers.acked(no(2), sealed(session), field, NOW);
            assert_eq!(peers.knowledge(&name), expected, "{form:?} relayed {relayed} {session:?} {field:?}");
        }
    }

    #[test]
    fn id_of_a_relayed_session_ack_is_the_relays() {
        let (mut peers, name) = learned();
        ping(&mut peers, 2, Form::Session(THEM));
        peers.relayed(no(2));
        peers.acked(no(2), sealed(Some(RESTARTED)), None, NOW);
        assert_eq!(peers.knowledge(&name), Knowledge::Session(THEM));
    }

    #[test]
    fn an_ack_withheld_while_the_host_was_replaced_undoes_nothing() {
        let (mut peers, name) = peers();
        ping(&mut peers, 1, Form::Old { told: true });
        ping(&mut peers, 2, Form::Old { told: true });
        peers.acked(no(2), sealed(None), Some(THEM), NOW);
        let (probe, _) = peers.acked(no(1), sealed(None), None, NOW);
        assert_eq!((probe, peers.knowledge(&name)), (no(1), Knowledge::Session(THEM)));
    }

    #[test]
    fn refutation_or_death_puts_a_session_in_doubt_and_forgets_the_old_envelope() {
        let (mut peers, name) = learned();
        peers.mark_doubtful(&name);
        assert_eq!(peers.knowledge(&name), Knowledge::Session(THEM));
        assert!(peers.is_doubtful(&name));
        ping(&mut peers, 2, Form::Session(THEM));
        peers.acked(no(2), sealed(Some(THEM)), None, NOW);
        assert!(!peers.is_doubtful(&name));

        ping(&mut peers, 3, Form::Old { told: true });
        peers.acked(no(3), sealed(None), None, NOW);
        assert_eq!(peers.knowledge(&name), Knowledge::Old);
        peers.mark_doubtful(&name);
        assert_eq!(peers.knowledge(&name), Knowledge::Unknown);
    }

    #[test]
    fn another_address_is_another_host() {
        let (mut peers, name) = learned();
        peers.recorded(&node(1));
        assert_eq!(peers.knowledge(&name), Knowledge::Session(THEM));
        peers.recorded(&node(2));
        assert_eq!(peers.knowledge(&name), Knowledge::Unknown);
    }

    #[test]
    fn a_hint_makes_us_ask_once_a_second() {
        let (mut peers, name) = learned();
        let addr = node(1).addr;
        assert!(!peers.pinged_by(&name, addr, KEY, Some(THEM), NOW), "no news");
        assert!(peers.pinged_by(&name, addr, KEY, Some(RESTARTED), NOW));
        assert!(!peers.pinged_by(&name, addr, KEY, Some(RESTARTED), NOW));
        assert!(peers.pinged_by(&name, addr, KEY, Some(RESTARTED), NOW + PING_INTERVAL));
        assert!(
            !peers.pinged_by(&name, node(2).addr, KEY, Some(RESTARTED), NOW + PING_INTERVAL * 2),
            "not its address"
        );
        assert_eq!(peers.knowledge(&name), Knowledge::Session(THEM), "a hint teaches nothing");
    }

    #[test]
    fn fallback_under_the_same_key_by_the_same_process_shows_that_our_session_cannot_be_opened() {
        // key of the fallback, session in its ack, verdict
        let rows = [
            (KEY, THEM, Verdict::Undecipherable),
            (OTHER_KEY, THEM, Verdict::Inconclusive),
            (KEY, RESTARTED, Verdict::Inconclusive),
        ];
        for (key, id, expected) in rows {
            let (mut peers, name) = learned();
            ping(&mut peers, 2, Form::Session(THEM));
            peers.relayed(no(2));
            let order = peers.next_order();
            peers.sent(no(3), no(2), &name, order, Form::Hello, key, NOW);
            assert_eq!(peers.acked(no(3), sealed(Some(id)), None, NOW), (no(2), expected), "{key} {id}");
        }
        let (mut peers, _) = learned();
        ping(&mut peers, 2, Form::Session(THEM));
        assert_eq!(peers.acked(no(2), sealed(Some(THEM)), None, NOW), (no(2), Verdict::Opened));
    }

    #[test]
    fn a_flood_of_pings_is_looked_through_rarely_and_forgotten_in_time() {
        let (mut peers, name) = peers();
        let mut sent = |seq_no: u32, now: Instant| {
            let (before, order) = (peers.outstanding.len(), peers.next_order());
            peers.sent(no(seq_no), no(seq_no), &name, order, Form::Hello, KEY, now);
            assert!(peers.sweep_at.max(SWEEP) >= peers.outstanding.len());
            (peers.outstanding.len() <= before, peers.sweep_at)
        };
        let sweeps: std::collections::BTreeSet<usize> = (0..20_000).map(|seq_no| sent(seq_no, NOW).1).collect();
        assert!(sweeps.len() < 10, "{sweeps:?}");
        assert!((20_000..80_000).any(|seq_no| sent(seq_no, NOW + MEMORY).0), "old ones go");
    }

    #[test]
    fn few_packets_wait_for_a_session_and_not_for_long() {
        let (mut peers, name) = peers();
        for _ in 0..MAX_WAITING {
            assert!(peers.wait(&name, Vec::new(), NOW));
        }
        assert!(!peers.wait(&name, Vec::new(), NOW));
        ping(&mut peers, 1, Form::Hello);
        assert!(peers.take_waiting(no(1), NOW).is_none(), "not known yet");
        peers.acked(no(1), sealed(Some(THEM)), None, NOW);
        let (_, _, waiting) = peers.take_waiting(no(1), NOW).expect("known now");
        assert_eq!(waiting.len(), MAX_WAITING);
    }
}
