//! Telling everybody that we leave.
//!
//! The reference transmits its leave to as many random members as the retransmit limit says and hopes. Here each member that
//! answers is told: a ping travels in one packet with the news, so its ack confirms that the news arrived, and who has not
//! acknowledged is told again until the bound ends. To the peer it is a ping like any other with something piggybacked.
//!
//! First the intent, then, once everybody has it, the death notice: a member that learns of the death before the intent
//! takes the departure for a failure (`serf §4.3`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;

use super::{Endpoint, Output, user_message};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::SeqNo;

/// Pause before telling a silent member again.
const RETRY: Duration = Duration::from_millis(250);
/// Packets per round, so that a large cluster is told in waves.
const WAVE: usize = 64;
/// Pause between waves, and between the two halves: peers queue what they are told before they act on it.
const WAVE_PAUSE: Duration = Duration::from_millis(50);
/// Times that a suspect is told before we go on without it.
const SUSPECT_TRIES: u32 = 4;

/// Where a leave stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Spreading the leave intent.
    Intent,
    /// Spreading our own death notice.
    Death,
    /// Everybody knows; still answering.
    Linger,
}

/// A member to tell.
#[derive(Debug)]
struct Pending {
    due: Instant,
    tries: u32,
}

/// A leave under way.
#[derive(Debug)]
pub(super) struct Leaving {
    phase: Phase,
    /// What this half spreads: one bare memberlist message.
    news: Bytes,
    pending: BTreeMap<NodeName, Pending>,
    /// Outstanding pings.
    sent: HashMap<SeqNo, NodeName>,
    /// End of this phase, whoever has not answered.
    deadline: Instant,
    next_wave: Instant,
    given_up: Vec<NodeName>,
}

impl Leaving {
    fn new(phase: Phase, news: Bytes, members: Vec<NodeName>, now: Instant, deadline: Instant) -> Self {
        let pending = members.into_iter().map(|name| (name, Pending { due: now, tries: 0 })).collect();
        Self { phase, news, pending, sent: HashMap::new(), deadline, next_wave: now, given_up: Vec::new() }
    }

    /// Members to tell now, at most a wave of them. `gone` and `suspect` say what the table holds by now.
    fn due(
        &mut self,
        now: Instant,
        gone: impl Fn(&NodeName) -> bool,
        suspect: impl Fn(&NodeName) -> bool,
    ) -> Vec<NodeName> {
        self.pending.retain(|name, pending| !(gone(name) || suspect(name) && pending.tries >= SUSPECT_TRIES));
        if now < self.next_wave {
            return Vec::new();
        }
        let due: Vec<_> =
            self.pending.iter().filter(|(_, p)| p.due <= now).map(|(name, _)| name.clone()).take(WAVE).collect();
        for name in &due {
            let pending = self.pending.get_mut(name).expect("names come from the map");
            pending.tries += 1;
            pending.due = now + RETRY;
        }
        self.next_wave = now + WAVE_PAUSE;
        due
    }

    /// Remembers that the ping `seq_no` carried the news to `name`.
    fn sent(&mut self, seq_no: SeqNo, name: NodeName) {
        self.sent.insert(seq_no, name);
    }

    /// An ack arrived: whoever it is from has the news. False if it was not one of ours.
    pub(super) fn acked(&mut self, seq_no: SeqNo) -> bool {
        let name = self.sent.remove(&seq_no);
        if let Some(name) = &name {
            self.pending.remove(name);
        }
        name.is_some()
    }

    /// Whether this phase is over.
    fn is_done(&self, now: Instant) -> bool {
        self.deadline <= now || self.phase != Phase::Linger && self.pending.is_empty()
    }

    /// Lists members that an earlier phase could not tell; they are not told again.
    fn give_up_on(&mut self, members: Vec<NodeName>) {
        self.given_up = members;
    }

    /// Who has not confirmed.
    fn unconfirmed(&self) -> impl Iterator<Item = &NodeName> {
        self.pending.keys().chain(&self.given_up)
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        let due = self.pending.values().map(|pending| pending.due).min();
        due.map_or(self.deadline, |due| due.max(self.next_wave).min(self.deadline))
    }
}

impl Endpoint {
    /// Leaves the cluster; [`Output::Left`] tells when the driver may stop. A second call changes nothing.
    ///
    /// While it is not settled whose our name is, or it is another's, nobody is told: the news would be of the other's leave.
    pub fn leave(&mut self, now: Instant) {
        if self.serf.is_disputed() {
            self.silent_since.get_or_insert(now);
        }
        if self.serf.begin_leave(now).is_err() {
            return;
        }
        let news = self.serf.leave_message().map(|message| user_message(&message)).unwrap_or_default();
        let others = self.present_others();
        self.leaving = Some(Leaving::new(Phase::Intent, news, others, now, now + self.options.broadcast_timeout));
        self.advance_leave(now);
        self.settle(now);
    }

    pub(super) fn advance_leave(&mut self, now: Instant) {
        loop {
            let Some(leaving) = &mut self.leaving else { return };
            let swim = &self.swim;
            let suspect = |name: &NodeName| swim.member(name).is_some_and(|member| member.state.is_suspect());
            let due = leaving.due(now, |name| swim.is_gone(name), suspect);
            let news = leaving.news.clone();
            for name in due {
                let Some(addr) = self.swim.member(&name).map(|member| member.node.addr) else { continue };
                let ping = self.swim.ping_to(&name);
                if let Some(leaving) = &mut self.leaving {
                    leaving.sent(ping.seq_no, name.clone());
                }
                self.send_ping(now, addr, &name, ping, vec![news.clone()], false);
            }
            let Some(leaving) = &self.leaving else { return };
            if !leaving.is_done(now) {
                return;
            }
            let unconfirmed: Vec<_> = leaving.unconfirmed().cloned().collect();
            match leaving.phase {
                Phase::Intent => self.announce_death(now),
                Phase::Death => {
                    let delay = if self.swim.present() > 0 && !self.is_silent() {
                        self.options.leave_propagate_delay
                    } else {
                        Duration::ZERO
                    };
                    let mut linger = Leaving::new(Phase::Linger, Bytes::new(), Vec::new(), now, now + delay);
                    linger.give_up_on(unconfirmed);
                    self.leaving = Some(linger);
                }
                Phase::Linger => {
                    self.leaving = None;
                    self.serf.left();
                    // Handlers hear of our own leave, too, if the process lives long enough to run them.
                    self.serf.flush();
                    while let Some(output) = self.serf.poll_output() {
                        self.route_serf(now, output);
                    }
                    self.outputs.push_back(Output::Left { unconfirmed });
                    return;
                }
            }
        }
    }

    fn announce_death(&mut self, now: Instant) {
        let others = self.present_others();
        self.swim.leave(now, None);
        let news = self.swim.death_notice();
        let start = if others.is_empty() { now } else { now + WAVE_PAUSE };
        let deadline = start + self.options.broadcast_timeout;
        self.leaving = Some(Leaving::new(Phase::Death, news, others, start, deadline));
    }

    /// Members other than ourselves that are alive or suspect; nobody if our name is, or may be, another's, who would be taken
    /// for gone.
    fn present_others(&self) -> Vec<NodeName> {
        if self.is_silent() {
            return Vec::new();
        }
        let others = self.swim.members().filter(|member| !member.state.is_gone()).map(|member| &member.node.name);
        others.filter(|name| **name != self.options.name).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> NodeName {
        NodeName::new(&format!("n{number:03}")).unwrap()
    }

    fn leaving(members: usize) -> Leaving {
        let deadline = Instant::ZERO + Duration::from_secs(5);
        Leaving::new(Phase::Intent, Bytes::new(), (0..members).map(name).collect(), Instant::ZERO, deadline)
    }

    #[test]
    fn silent_members_are_told_again_and_acknowledged_ones_are_not() {
        let mut leaving = leaving(2);
        let never = |_: &NodeName| false;
        assert_eq!(leaving.due(Instant::ZERO, never, never), [name(0), name(1)]);
        leaving.sent(SeqNo::new(7), name(0));
        assert!(leaving.acked(SeqNo::new(7)));
        assert!(!leaving.acked(SeqNo::new(7)));
        let later = Instant::ZERO + RETRY;
        assert_eq!(leaving.due(later, never, never), [name(1)]);
        assert!(!leaving.is_done(later));
        leaving.sent(SeqNo::new(8), name(1));
        leaving.acked(SeqNo::new(8));
        assert!(leaving.is_done(later));
    }

    #[test]
    fn a_large_cluster_is_told_in_waves() {
        let mut leaving = leaving(WAVE + 1);
        let never = |_: &NodeName| false;
        assert_eq!(leaving.due(Instant::ZERO, never, never).len(), WAVE);
        assert_eq!(leaving.due(Instant::ZERO, never, never).len(), 0);
        assert_eq!(leaving.due(Instant::ZERO + WAVE_PAUSE, never, never).len(), 1);
    }

    #[test]
    fn the_bound_ends_the_wait_and_suspects_are_given_up_early() {
        let mut leaving = leaving(1);
        let never = |_: &NodeName| false;
        for round in 0..SUSPECT_TRIES {
            leaving.due(Instant::ZERO + RETRY * round, never, |_| true);
        }
        let after = Instant::ZERO + RETRY * SUSPECT_TRIES;
        leaving.due(after, never, |_| true);
        assert!(leaving.is_done(after));

        let leaving = self::leaving(1);
        assert!(!leaving.is_done(after));
        assert!(leaving.is_done(leaving.deadline));
        assert_eq!(leaving.unconfirmed().count(), 1);
    }
}
