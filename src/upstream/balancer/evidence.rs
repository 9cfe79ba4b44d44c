//! What is known of members beyond gossip, and how a balancer hears of it.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Balancer, Notice, Output, REJOIN_GRACE};
use crate::time::Instant;
use crate::upstream::{Candidate, Check, Drain, Gossip, Pings, Probe, UpstreamName};
use crate::wire::NodeName;

/// Whom gossip doubts so soon after a time in which nobody was heard it has asked in that time.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Whether this balancer hears anybody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Hearing {
    #[default]
    Sound,
    /// Nobody, since then.
    Isolated(Instant),
    /// It has heard nobody until then.
    Since(Instant),
}

impl Hearing {
    /// Whether that a member is doubted now says more of us than of it.
    fn is_dubious(self, now: Instant) -> bool {
        match self {
            Self::Sound => false,
            Self::Isolated(_) => true,
            Self::Since(end) => now < end + AFTERMATH,
        }
    }

    pub(super) fn is_isolated(self) -> bool {
        matches!(self, Self::Isolated(_))
    }

    /// By when whoever is there has been heard again.
    pub(super) fn grace_ends(self) -> Option<Instant> {
        match self {
            Self::Sound | Self::Isolated(_) => None,
            Self::Since(end) => Some(end + REJOIN_GRACE),
        }
    }
}

/// What is known of each member, the same for every upstream. Who is not here has never been spoken of.
#[derive(Debug, Default)]
pub(super) struct Testimonies(BTreeMap<NodeName, Testimony>);

/// What is known of one member.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Testimony {
    check: Check,
    drain: Drain,
    pings: Pings,
    /// It was a member, and gossip has let go of it: an operator did, or nobody heard of it for a day.
    forgotten: bool,
    /// Gossip began to doubt it when nobody was heard: once that gives it up as little is known of it as after a restart.
    unheard: bool,
    /// That gossip has given it up does not count yet: it answers this balancer itself, or was not asked.
    disputed: bool,
}

impl Testimonies {
    /// `member` with what is known of it.
    pub(super) fn about(&self, member: Candidate) -> Candidate {
        let Testimony { check, drain, pings, forgotten, unheard, disputed } =
            self.0.get(&member.name).copied().unwrap_or_default();
        let gossip = match member.gossip {
            _ if forgotten => Gossip::Left,
            Gossip::Failed if unheard => Gossip::Unknown,
            Gossip::Failed if disputed => Gossip::Suspect,
            gossip => gossip,
        };
        Candidate { gossip, check, drain, pings, ..member }
    }

    /// Whoever failed while nobody was heard has failed.
    pub(super) fn count_unheard(&mut self) {
        self.0.values_mut().for_each(|known| known.unheard = false);
        self.0.retain(|_, known| *known != Testimony::default());
    }

    /// Whether `change` changes anything.
    fn change(&mut self, member: &NodeName, change: impl FnOnce(&mut Testimony)) -> bool {
        let before = self.0.get(member).copied().unwrap_or_default();
        let mut after = before;
        change(&mut after);
        if after == Testimony::default() {
            self.0.remove(member);
        } else {
            self.0.insert(member.clone(), after);
        }
        after != before
    }
}

impl Balancer {
    /// What a member says of its own health now.
    pub fn handle_check(&mut self, now: Instant, member: &NodeName, check: Check) {
        if self.testimonies.change(member, |known| known.check = check) {
            self.decide_by(now);
        }
    }

    /// What this balancer's probe of a member that serves at `addr` says now, for one upstream; of the same member elsewhere it
    /// says nothing. Where probes are configured who was never spoken of counts as [`Probe::Wait`], elsewhere as [`Probe::None`].
    pub fn handle_probe(
        &mut self,
        now: Instant,
        upstream: &UpstreamName,
        member: &NodeName,
        addr: SocketAddr,
        probe: Probe,
    ) {
        let upstream = self.upstreams.iter_mut().find(|each| each.name() == upstream);
        if upstream.is_some_and(|upstream| upstream.handle_probe(member, addr, probe)) {
            self.decide_by(now);
        }
    }

    /// Whether nobody of an upstream answers, so that it may be our own network: then what gossip says of one of those who are down
    /// does not tell it from the others, and all count as dead (`protocols D.3`).
    pub fn handle_blindness(&mut self, now: Instant, upstream: &UpstreamName, is_blind: bool) {
        let upstream = self.upstreams.iter_mut().find(|each| each.name() == upstream);
        if upstream.is_some_and(|upstream| upstream.handle_blindness(is_blind)) {
            self.decide_by(now);
        }
    }

    /// Whether this balancer hears nobody at all ([`crate::health::isolation`]). Whom gossip doubts then, or right after that, is
    /// `unknown` once it has failed, for as long and for 30 s more, unless gossip says something else of it (`protocols D.3`).
    pub fn handle_isolation(&mut self, now: Instant, is_isolated: bool) {
        if is_isolated != self.is_isolated() {
            self.hearing = if is_isolated { Hearing::Isolated(now) } else { Hearing::Since(now) };
            self.outputs.push_back(Output::Tell(Notice::Isolation { is_isolated }));
            for member in self.members.iter().filter(|member| member.gossip == Gossip::Suspect) {
                self.testimonies.change(&member.name, |known| known.unheard = true);
            }
            self.decide_by(now);
        }
    }

    /// Whether this balancer hears nobody at all.
    pub fn is_isolated(&self) -> bool {
        self.hearing.is_isolated()
    }

    /// Since when this balancer is known to hear nobody at all; `None` while it hears somebody.
    pub fn isolated_since(&self) -> Option<Instant> {
        match self.hearing {
            Hearing::Isolated(since) => Some(since),
            Hearing::Sound | Hearing::Since(_) => None,
        }
    }

    /// When somebody was heard again after a time in which nobody was, a short while ago.
    pub fn heard_again(&self) -> Option<Instant> {
        match self.hearing {
            Hearing::Since(end) => Some(end),
            Hearing::Sound | Hearing::Isolated(_) => None,
        }
    }

    /// Whether gossip began to doubt that member when nobody was heard, which does not count yet.
    pub fn is_unheard(&self, member: &NodeName) -> bool {
        self.testimonies.0.get(member).is_some_and(|known| known.unheard)
    }

    /// Whether a member wants to leave.
    pub fn handle_drain(&mut self, now: Instant, member: &NodeName, drain: Drain) {
        if self.testimonies.change(member, |known| known.drain = drain) {
            self.decide_by(now);
        }
    }

    /// What the second witness says: `silent`, and the member counts as suspect even if gossip holds it alive, until this is
    /// taken back or gossip has given it up (`protocols D.4`).
    pub fn handle_second_witness(&mut self, now: Instant, member: &NodeName, silent: bool) {
        let pings = if silent { Pings::Unanswered } else { Pings::Answered };
        if self.testimonies.change(member, |known| known.pings = pings) {
            self.decide_by(now);
        }
    }

    /// Whether it is disputed that gossip has given up a member: then it counts as suspect (`protocols D.3`).
    pub fn handle_dispute(&mut self, now: Instant, member: &NodeName, disputed: bool) {
        if self.testimonies.change(member, |known| known.disputed = disputed) {
            self.decide_by(now);
        }
    }

    /// Whether it is disputed that gossip has given up that member.
    pub fn is_disputed(&self, member: &NodeName) -> bool {
        self.testimonies.0.get(member).is_some_and(|known| known.disputed)
    }

    /// Whether any upstream has a server of that name.
    pub fn has_server(&self, member: &NodeName) -> bool {
        self.upstreams.iter().any(|upstream| upstream.has_server(member))
    }

    /// After a restart, before anybody is decided about: whom gossip had let go of when the earlier run ended. A server of theirs is in
    /// what is in place because no job without it has succeeded.
    pub fn handle_gone(&mut self, now: Instant, gone: &[NodeName]) {
        for member in gone.iter().filter(|member| self.upstreams.iter().any(|each| each.has_server(member))) {
            self.testimonies.change(member, |known| known.forgotten = true);
        }
        self.decide_by(now);
    }

    /// Whom to probe, and where: of each upstream every selected member that is not gone, and those of its servers that are no
    /// members. By the last decision, in the order of the configuration and then by name.
    pub fn targets(&self) -> impl Iterator<Item = (&UpstreamName, &NodeName, SocketAddr)> {
        self.upstreams
            .iter()
            .flat_map(|upstream| upstream.targets().map(|(member, addr)| (upstream.name(), member, addr)))
    }

    /// Takes who is there now. Whoever was and is no member any more has gone for good: only a balancer that has been started anew
    /// waits for the members of before, of whom [`Self::handle_gone`] says nothing.
    pub(super) fn replace_members(&mut self, now: Instant, members: Vec<Candidate>) {
        let before = std::mem::replace(&mut self.members, members);
        self.note_unheard(now, &before);
        let known: HashSet<&NodeName> = self.members.iter().map(|member| &member.name).collect();
        for member in before.iter().filter(|member| !known.contains(&member.name)) {
            self.testimonies.change(&member.name, |known| known.forgotten = true);
        }
        for member in &self.members {
            self.testimonies.change(&member.name, |known| known.forgotten = false);
        }
        self.forget_strangers();
    }

    /// Takes note of whom gossip doubts since `before` for no reason of theirs, and of whom it doubts no more.
    fn note_unheard(&mut self, now: Instant, before: &[Candidate]) {
        let is_dubious = self.hearing.is_dubious(now);
        let had_not_failed = before.iter().filter(|member| is_dubious && member.gossip != Gossip::Failed);
        let had_not_failed: HashSet<&NodeName> = had_not_failed.map(|member| &member.name).collect();
        for member in &self.members {
            let is_doubted = matches!(member.gossip, Gossip::Suspect | Gossip::Failed);
            let is_news = is_doubted && had_not_failed.contains(&member.name);
            self.testimonies.change(&member.name, |known| known.unheard = is_doubted && (known.unheard || is_news));
        }
    }

    /// Forgets what is known of those who are neither members nor servers, and what gossip has decided itself.
    fn forget_strangers(&mut self) {
        let known: HashSet<&NodeName> = self.members.iter().map(|member| &member.name).collect();
        for upstream in &mut self.upstreams {
            upstream.retain(&known);
        }
        let upstreams = &self.upstreams;
        self.testimonies.0.retain(|name, _| known.contains(name) || upstreams.iter().any(|each| each.has_server(name)));
        let is_decided = |member: &&Candidate| !matches!(member.gossip, Gossip::Alive | Gossip::Suspect);
        for member in self.members.iter().filter(is_decided) {
            self.testimonies.change(&member.name, |known| known.pings = Pings::Answered);
        }
    }
}
