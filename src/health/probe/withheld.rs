//! Whether it is the servers or we: when what the probes have come to say of a server is told (`protocols D.3`).
//!
//! Where our own network goes down every probe fails, those of one server first. Whoever believed that at once would throw out this
//! one, then the next, and keep the one that was noticed last. So of servers with a probe *down* is told
//!
//! * once another server of the upstream has answered a probe that was begun after this one's first failure: it is not us. One
//!   that had failed meanwhile, too, shows only that the network is back, so that this one is asked once more; or
//! * of all of them together, once all are down and the second witness has spoken of each; where an agent answers, which may show that
//!   the network is back, once all have failed a probe that was begun after that. If it has no answer of anybody, nothing is seen of
//!   the upstream at all: what gossip finds out of one after the other then tells none of them from the others; or
//! * after two intervals and half a second, which is longer than either takes.
//!
//! Where no probe is configured a server is asked alone, once gossip doubts its member. Of such a one *down* is told once another
//! *member* was heard after the first failure, and a probe failed that was begun after that, or [`REPEATED`] later where nobody had
//! been heard before. Where nobody else is heard it never is.
//!
//! When the network is back they answer one after the other again, and the first must not be taken for the only one: where none was
//! well, that some are is told once every other has failed a probe that was begun after the first one's answer. Likewise what
//! gossip says counts again once all have failed a probe that was begun after the first agent's answer. Where nobody was seen these
//! are probes that were begun [`REPEATED`] later.

use std::collections::BTreeSet;
use std::time::Duration;

use super::target::Target;
use super::{Event, Prober, TargetId};
use crate::health::probe::Probe;
use crate::health::second_witness::Word;
use crate::time::Instant;
use crate::upstream_name::UpstreamName;
use crate::wire::NodeName;

/// A neighbour whose address the kernel asked for when the network was down is asked again a second after that (`retrans_time_ms`),
/// and only then can be reached: each at another moment.
const REPEATED: Duration = Duration::from_millis(1100);
/// The first word after a time in which nobody was heard is noticed at once, within this.
const NOTICED: Duration = Duration::from_secs(1);

/// From when on others can be reached of whom one was `heard` last, where nobody was until it was noticed at `back` that somebody is.
pub fn reached(heard: Instant, back: Instant) -> Instant {
    if heard + NOTICED > back { heard.max(back + REPEATED) } else { heard }
}

/// What there is to tell of an upstream.
struct Release {
    told: Vec<TargetId>,
    /// They were told because none of them answers, and nobody else does.
    is_blind: bool,
}

impl Prober {
    /// Lets what can be told by now be told. `word` says what the second witness knows of a member whose probe fails, `others` since
    /// when, at the latest, anybody but a member can be reached ([`reached`]); `None` where nobody is heard.
    pub fn release(
        &mut self,
        now: Instant,
        word: impl Fn(&NodeName) -> Word,
        others: impl Fn(&NodeName) -> Option<Instant>,
    ) {
        self.release_bare(now, others);
        let withheld = self.withheld.iter().filter_map(|id| self.targets.get(id)).filter(|target| !target.bare);
        let withheld = withheld.map(|target| &target.upstream);
        let upstreams: BTreeSet<UpstreamName> = withheld.chain(self.blind.keys()).cloned().collect();
        for upstream in upstreams {
            if self.blind.contains_key(&upstream) {
                self.look_again(now, &upstream, &word);
            }
            let Release { told, is_blind } = self.released(now, &upstream, &word);
            if is_blind && !self.blind.contains_key(&upstream) {
                self.events.push_back(Event::Blind { upstream: upstream.clone(), is_blind });
                self.blind.insert(upstream.clone(), None);
            }
            for id in told {
                self.withheld.remove(&id);
                let Some(target) = self.targets.get_mut(&id) else { continue };
                self.events.extend(target.tell(now));
                if target.probe != Probe::Down {
                    self.sees_again(&upstream);
                }
            }
        }
    }

    /// When [`Self::release`] is due, if nothing comes before.
    pub fn release_at(&self) -> Option<Instant> {
        let withheld = self.withheld.iter().filter_map(|id| self.targets.get(id)).filter(|target| !target.bare);
        let turns = withheld.filter_map(|target| Some(target.turns_at()? + self.repeats(&target.upstream)));
        let looks = self.blind.iter().filter_map(|(upstream, answered)| {
            let reachable = (*answered)? + REPEATED;
            self.group(upstream).map(|(_, target)| target.patience_ends(reachable)).max()
        });
        turns.chain(looks).min()
    }

    /// Where no probe is configured: of those that fail while others are heard.
    fn release_bare(&mut self, now: Instant, others: impl Fn(&NodeName) -> Option<Instant>) {
        let is_bare = |id: &TargetId| self.targets.get(id).is_some_and(|target| target.bare);
        for id in self.withheld.iter().copied().filter(is_bare).collect::<Vec<_>>() {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            let others = others(&target.member);
            if target.is_silent_beside(others)
                && let Some(event) = target.tell(now)
            {
                self.events.push_back(event);
                self.withheld.remove(&id);
            }
        }
    }

    /// What gossip says of an upstream's servers counts again.
    pub(super) fn sees_again(&mut self, upstream: &UpstreamName) {
        if self.blind.remove(upstream).is_some() {
            self.events.push_back(Event::Blind { upstream: upstream.clone(), is_blind: false });
        }
    }

    /// How long after the first answer of anybody the others can be reached, too.
    fn repeats(&self, upstream: &UpstreamName) -> Duration {
        if self.blind.contains_key(upstream) { REPEATED } else { Duration::ZERO }
    }

    fn group(&self, upstream: &UpstreamName) -> impl Iterator<Item = (TargetId, &Target)> {
        let ids = self.ids.get(upstream).into_iter().flatten().map(|(_, id)| *id);
        ids.filter_map(|id| Some((id, self.targets.get(&id)?)))
    }

    /// An agent that answers again shows that the network is back; whoever fails a probe after that does so for itself.
    fn look_again(&mut self, now: Instant, upstream: &UpstreamName, word: impl Fn(&NodeName) -> Word) {
        let answers = self.group(upstream).any(|(_, target)| matches!(word(&target.member), Word::Answers(_)));
        let Some(answered) = self.blind.get_mut(upstream) else { return };
        let answered = match *answered {
            Some(since) => since,
            None if answers => *answered.insert(now),
            None => return,
        };
        let reachable = answered + REPEATED;
        let fails = |target: &Target| target.fails_since(reachable) || target.patience_ends(reachable) <= now;
        let all_fail = self.group(upstream).all(|(_, target)| fails(target));
        if all_fail {
            self.sees_again(upstream);
        }
    }

    fn released(&self, now: Instant, upstream: &UpstreamName, word: impl Fn(&NodeName) -> Word) -> Release {
        let targets: Vec<(TargetId, &Target)> = self.group(upstream).collect();
        let all = || targets.iter().map(|(_, target)| *target);
        let words = || all().map(|target| word(&target.member));
        let repeats = self.repeats(upstream);
        let is_overdue = all().filter_map(Target::turns_at).any(|at| at + repeats <= now);
        let first_answer =
            words().filter_map(|word| if let Word::Answers(since) = word { Some(since) } else { None }).min();
        let have_failed_since = first_answer.is_none_or(|since| all().all(|target| target.fails_since(since)));
        let all_have_words = words().all(|word| word != Word::Asked);
        let all_are_down = all().all(Target::is_down) && (is_overdue || all_have_words && have_failed_since);
        // Nobody, where it is us: then nobody has to be compared with everybody.
        let earliest = all().filter(|target| target.turn.is_some()).filter_map(|target| target.first_failure).min();
        let answering: Vec<&Target> = all().filter(|target| target.answered > earliest).collect();
        let was_well = !self.blind.contains_key(upstream) && all().any(|target| target.probe != Probe::Down);
        let reachable = all().filter_map(Target::is_back_since).min().map(|since| since + repeats);
        let is_compared = reachable
            .is_none_or(|since| all().all(|target| target.is_back_since().is_some() || target.fails_since(since)));
        let is_told = |target: &Target| match target.turn.map(|turn| turn.says) {
            None => false,
            Some(_) if is_overdue => true,
            Some(Probe::Down) => all_are_down || answering.iter().any(|other| target.is_outlived_by(other)),
            Some(_) => was_well || is_compared,
        };
        let told: Vec<TargetId> = targets.iter().filter(|(_, target)| is_told(target)).map(|(id, _)| *id).collect();
        let is_blind = all_are_down && !told.is_empty() && first_answer.is_none();
        Release { told, is_blind }
    }
}
