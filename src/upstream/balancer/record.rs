//! What one upstream remembers of each member from one decision to the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::time::Instant;
use crate::upstream::{
    Candidate, Damping, Decision, Drain, Gossip, Intent, Judged, Mode, Options, Pings, Previous, Probe,
};
use crate::wire::NodeName;

/// What there is to remember. Who is not in it is as if never heard of.
#[derive(Debug, Default)]
pub(super) struct Records {
    of: BTreeMap<NodeName, Record>,
    /// Nobody of the upstream answers: it may be our own network.
    is_blind: bool,
}

/// Of one member.
#[derive(Debug, Default)]
struct Record {
    /// What this balancer's probe says, and of the service where; `None` if nothing was said yet.
    probe: Option<(Probe, SocketAddr)>,
    damping: Damping,
    /// `None` before its first success, and of who died since.
    start: Option<Start>,
}

/// How far a server is with its slow start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    /// It has had its first success then.
    Since(Instant),
    /// It gets all: it was in before anybody looked, or started beside too many others.
    Over,
}

impl Records {
    /// Takes what the probe of `member` says now. Whether that is news.
    pub(super) fn handle_probe(&mut self, member: &NodeName, addr: SocketAddr, probe: Probe) -> bool {
        let said = Some((probe, addr));
        std::mem::replace(&mut self.of.entry(member.clone()).or_default().probe, said) != said
    }

    /// Takes whether nobody answers. Whether that is news.
    pub(super) fn handle_blindness(&mut self, is_blind: bool) -> bool {
        std::mem::replace(&mut self.is_blind, is_blind) != is_blind
    }

    pub(super) fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// Nothing is known by probes any more: others are configured, or none. Who was held down for what they said is not any more.
    pub(super) fn forget_probes(&mut self) {
        for record in self.of.values_mut() {
            record.probe = None;
            record.damping.forget_probe();
        }
        self.is_blind = false;
    }

    /// Forgets everybody whom `is_known` does not know.
    pub(super) fn retain(&mut self, is_known: impl Fn(&NodeName) -> bool) {
        self.of.retain(|name, _| is_known(name));
    }

    /// `member` with what is remembered of it.
    pub(super) fn about(&self, now: Instant, member: Candidate, options: &Options) -> Candidate {
        let Some(record) = self.of.get(&member.name) else { return Candidate { probe: options.unprobed(), ..member } };
        // Of a server that is to be probed the end of an earlier probe says nothing.
        let said = record.probe.filter(|(probe, _)| *probe != Probe::None);
        let probe = said.map_or_else(|| options.unprobed(), |(probe, _)| probe);
        let is_unseen = self.is_blind && matches!(probe, Probe::Down | Probe::Wait);
        let pings = if is_unseen { Pings::Unanswered } else { member.pings };
        // Where nobody configured a probe two connections that were lost shut nobody out whose agent answers.
        let is_hasty = !options.probed && member.gossip == Gossip::Suspect && pings == Pings::Answered;
        Candidate {
            pings,
            probe: if is_hasty && probe == Probe::Down { Probe::None } else { probe },
            probed: said.map(|(_, addr)| addr),
            flapping: record.damping.until(now).is_some(),
            ramp: record.started().and_then(|at| options.slow_start.percent(now.since(at))),
            ..member
        }
    }

    /// Takes note of what was decided. Whether the same evidence would be decided about otherwise now.
    pub(super) fn observe(&mut self, now: Instant, decision: &Decision, options: &Options) -> bool {
        let mut differs = false;
        for judged in &decision.members {
            let record = self.of.entry(judged.name.clone()).or_default();
            // What speaks against all at once may be our own network, which is no change of theirs; and who drains is about to stop.
            if decision.mode != Mode::Last && judged.drain == Drain::No {
                let by_probe = judged.witness.is_against_by_probe();
                record.damping.observe(now, judged.words, by_probe, &options.policy.flap);
            }
            differs |= record.damping.until(now).is_some() != judged.flapping;
            let start = record.start_after(now, judged, decision.ramps_at_once);
            let ramp = |start: Option<Start>| match start {
                Some(Start::Since(at)) => options.slow_start.percent(now.since(at)),
                Some(Start::Over) | None => None,
            };
            differs |= !decision.ramps_at_once && ramp(start) != ramp(record.start);
            record.start = start;
        }
        differs
    }

    /// When it will be decided otherwise although nothing happens: a hold ends, or a server gets more.
    pub(super) fn due(&self, now: Instant, decision: &Decision, options: &Options) -> Option<Instant> {
        let records = decision.members.iter().filter_map(|judged| self.of.get(&judged.name));
        let due = |record: &Record| {
            let step = record.started().and_then(|at| Some(at + options.slow_start.next_step(now.since(at))?));
            [record.damping.until(now), step]
        };
        records.flat_map(due).flatten().min()
    }

    /// Until when a member is held down for changing too often, if it is.
    pub(super) fn held_down_until(&self, now: Instant, member: &NodeName) -> Option<Instant> {
        self.of.get(member)?.damping.until(now)
    }
}

impl Record {
    fn started(&self) -> Option<Instant> {
        match self.start {
            Some(Start::Since(at)) => Some(at),
            Some(Start::Over) | None => None,
        }
    }

    fn start_after(&self, now: Instant, judged: &Judged, all_are_new: bool) -> Option<Start> {
        match (judged.intent, self.start) {
            // Whoever comes back from the dead starts anew; one that was ill for a while is warm.
            (Intent::Dead | Intent::Gone, _) => None,
            (_, Some(Start::Since(_))) if all_are_new => Some(Start::Over),
            (_, Some(start)) => Some(start),
            (_, None) if judged.previous == Previous::In => Some(Start::Over),
            (Intent::In | Intent::Half | Intent::Lost, None) => Some(Start::Since(now)),
            (Intent::Stay | Intent::Warm | Intent::Sick, None) => None,
        }
    }
}
