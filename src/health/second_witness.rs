//! When a balancer asks the second witness about a member, and what it makes of the rounds (`protocols D.4`).
//!
//! The first failed probe of a member that gossip holds alive begins a round, and so does every further failure, though none
//! within [`PAUSE`] of the end of the round before. Silence counts until the member answers, its probes do, or gossip doubts it
//! itself. Pinging is [`crate::endpoint`]'s: a driver asks it what [`SecondWitnesses::poll_output`] says, and tells the
//! outcome.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::time::Instant;
use crate::wire::NodeName;

/// From the end of a round to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// A round takes 300 ms. The end of one that takes so much longer will not be told any more: the member was forgotten meanwhile,
/// or this node is to keep silent.
const ROUND_LIMIT: Duration = Duration::from_secs(3);

/// What follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Begin a round.
    Ask(NodeName),
    /// From now on the member is silent, or is not any more.
    Says { member: NodeName, silent: bool },
}

/// What it says of a member whose probe fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// A first round is under way.
    Asked,
    /// Its agent answers.
    Answers,
    /// It does not, or gossip says already that it does not; or nobody could be asked.
    Silent,
}

/// All members whose probes fail.
#[derive(Debug, Default)]
pub struct SecondWitnesses {
    cases: BTreeMap<NodeName, Case>,
    /// Gossip says something itself about these.
    doubted: BTreeSet<NodeName>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Case {
    silent: bool,
    /// A round about it has ended.
    is_heard: bool,
    round: Round,
}

#[derive(Clone, Copy, Debug)]
enum Round {
    /// Under way; given up then.
    Until(Instant),
    /// The next one begins then.
    At(Instant),
}

impl SecondWitnesses {
    /// Whom gossip does not hold alive: nobody needs to be asked about them.
    pub fn handle_doubted(&mut self, doubted: BTreeSet<NodeName>) {
        self.cases.retain(|member, _| !doubted.contains(member));
        self.doubted = doubted;
    }

    /// A probe of a member has failed.
    pub fn handle_failure(&mut self, now: Instant, member: &NodeName) {
        if !self.doubted.contains(member) && !self.cases.contains_key(member) {
            let round = Round::Until(now + ROUND_LIMIT);
            self.cases.insert(member.clone(), Case { silent: false, is_heard: false, round });
            self.outputs.push_back(Output::Ask(member.clone()));
        }
    }

    /// A round has ended, or one that had ended in silence was answered after all.
    pub fn handle_outcome(&mut self, now: Instant, member: &NodeName, silent: bool) {
        let Some(case) = self.cases.get_mut(member) else { return };
        (case.round, case.is_heard) = (Round::At(now + PAUSE), true);
        if std::mem::replace(&mut case.silent, silent) != silent {
            self.outputs.push_back(Output::Says { member: member.clone(), silent });
        }
    }

    /// What is known about a member whose probe fails.
    pub fn word(&self, member: &NodeName) -> Word {
        match self.cases.get(member) {
            Some(Case { is_heard: false, .. }) => Word::Asked,
            Some(Case { silent: false, .. }) => Word::Answers,
            Some(Case { silent: true, .. }) | None => Word::Silent,
        }
    }

    /// Nobody could be asked.
    pub fn handle_not_asked(&mut self, member: &NodeName) {
        self.close(member);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.cases.values().map(|case| case.round.due()).min()
    }

    /// Asks again about those whose probes still fail; of others there is nothing more to know.
    pub fn handle_timeout(&mut self, now: Instant, is_failing: impl Fn(&NodeName) -> bool) {
        let due = self.cases.iter().filter(|(_, case)| case.round.due() <= now);
        let due: Vec<_> = due.map(|(member, case)| (member.clone(), case.round)).collect();
        for (member, round) in due {
            match round {
                Round::At(_) if is_failing(&member) => {
                    if let Some(case) = self.cases.get_mut(&member) {
                        case.round = Round::Until(now + ROUND_LIMIT);
                    }
                    self.outputs.push_back(Output::Ask(member));
                }
                Round::At(_) | Round::Until(_) => self.close(&member),
            }
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn close(&mut self, member: &NodeName) {
        if self.cases.remove(member).is_some_and(|case| case.silent) {
            self.outputs.push_back(Output::Says { member: member.clone(), silent: false });
        }
    }
}

impl Round {
    const fn due(self) -> Instant {
        match self {
            Self::Until(at) | Self::At(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn web() -> NodeName {
        NodeName::new("web1").unwrap()
    }

    fn ask() -> Output {
        Output::Ask(web())
    }

    fn says(silent: bool) -> Output {
        Output::Says { member: web(), silent }
    }

    fn outputs(witnesses: &mut SecondWitnesses) -> Vec<Output> {
        std::iter::from_fn(|| witnesses.poll_output()).collect()
    }

    /// One whose probe failed and who is silent.
    fn silent() -> SecondWitnesses {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_failure(at(0), &web());
        witnesses.handle_outcome(at(300), &web(), true);
        assert_eq!(outputs(&mut witnesses), [ask(), says(true)]);
        witnesses
    }

    #[test]
    fn a_round_whose_end_nobody_tells_is_given_up_and_the_next_failure_asks_again() {
        let mut witnesses = silent();
        witnesses.handle_timeout(at(550), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![ask()], Some(at(3550))));
        witnesses.handle_timeout(at(3549), |_| true);
        assert_eq!(outputs(&mut witnesses), []);
        witnesses.handle_timeout(at(3550), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![says(false)], None));
        witnesses.handle_failure(at(3600), &web());
        assert_eq!(outputs(&mut witnesses), [ask()]);
    }

    #[test]
    fn the_first_failure_asks_and_further_ones_wait_for_the_round() {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_failure(at(0), &web());
        witnesses.handle_failure(at(1), &web());
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![ask()], Some(at(3000))));
        assert_eq!(witnesses.word(&web()), Word::Asked);
        witnesses.handle_outcome(at(2), &web(), false);
        assert_eq!(witnesses.word(&web()), Word::Answers);
        witnesses.handle_failure(at(3), &web());
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], Some(at(252))));
        witnesses.handle_timeout(at(252), |_| true);
        assert_eq!(outputs(&mut witnesses), [ask()], "its agent may be gone by now");
        assert_eq!(witnesses.word(&web()), Word::Answers, "what it said last holds until then");
    }

    #[test]
    fn rounds_go_on_while_its_probe_fails_and_silence_is_told_once() {
        let mut witnesses = silent();
        witnesses.handle_timeout(at(550), |_| true);
        assert_eq!(witnesses.word(&web()), Word::Silent);
        witnesses.handle_outcome(at(850), &web(), true);
        assert_eq!(outputs(&mut witnesses), [ask()]);
    }

    #[test]
    fn silence_ends_with_an_answer_of_the_member_or_of_its_service() {
        let mut witnesses = silent();
        witnesses.handle_outcome(at(400), &web(), false);
        assert_eq!(outputs(&mut witnesses), [says(false)]);
        let mut witnesses = silent();
        witnesses.handle_timeout(at(549), |_| false);
        assert_eq!(outputs(&mut witnesses), []);
        witnesses.handle_timeout(at(550), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![says(false)], None));
    }

    #[test]
    fn once_gossip_doubts_it_the_second_witness_has_nothing_to_say() {
        let mut witnesses = silent();
        witnesses.handle_doubted([web()].into());
        witnesses.handle_outcome(at(600), &web(), false);
        witnesses.handle_failure(at(700), &web());
        assert_eq!(witnesses.word(&web()), Word::Silent);
        witnesses.handle_timeout(at(2000), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], None));
        witnesses.handle_doubted(BTreeSet::new());
        witnesses.handle_failure(at(2000), &web());
        assert_eq!(outputs(&mut witnesses), [ask()], "it refuted, and its service still fails");
    }

    #[test]
    fn who_cannot_be_asked_is_not_silent() {
        let mut witnesses = silent();
        witnesses.handle_timeout(at(550), |_| true);
        witnesses.handle_not_asked(&web());
        assert_eq!(outputs(&mut witnesses), [ask(), says(false)]);
        witnesses.handle_outcome(at(900), &web(), true);
        assert_eq!(outputs(&mut witnesses), []);
    }
}
