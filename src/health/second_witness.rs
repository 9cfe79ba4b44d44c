//! When a balancer asks the second witness about a member, and what it makes of the rounds (`protocols D.4`).
//!
//! The first failed probe of a member that gossip has not given up begins a round, and so does every further failure, though none
//! within [`PAUSE`] of an answer. Silence counts until the member answers, its probes do, or gossip decides. Where frames get
//! lost, which two answers to later pings than the first show, one round of silence shows nothing more, and it takes several in a
//! row.
//!
//! Whom gossip gives up another member may have given up for a reason of its own: it was cut off, and has a network again. So a server
//! that was not silent is asked then, too, and as long as it answers, for [`DISPUTE`] at most, that gossip has given it up is disputed
//! (`protocols D.3`). Pinging is [`crate::endpoint`]'s: a driver asks it what [`SecondWitnesses::poll_output`] says, and tells what was heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::time::Instant;
use crate::wire::NodeName;

/// From the end of a round to the next.
const PAUSE: Duration = Duration::from_millis(250);
/// Rounds of silence in a row that count where frames get lost: with 30 of 100 lost on either way one round of ten pings is silent
/// once in a thousand, and there are four in a second.
const ROUNDS_IN_LOSS: u32 = 3;
/// Within this time two late answers count as loss, and for so long after the last one.
const LOSS_MEMORY: Duration = Duration::from_secs(60);
/// A round takes 300 ms. The end of one that takes so much longer will not be told any more: the member was forgotten meanwhile,
/// or this node is to keep silent.
const ROUND_LIMIT: Duration = Duration::from_secs(3);

/// Who answers refutes what others say of it long before that. After that gossip's word counts.
const DISPUTE: Duration = Duration::from_secs(30);

/// What came of a round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// No answer to any of its pings.
    Nothing,
    /// An answer, though not to its first ping, or after it had ended in silence.
    Late,
    /// An answer to its first ping.
    Prompt,
}

/// What follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Begin a round.
    Ask(NodeName),
    /// From now on the member is silent, or is not any more.
    Says { member: NodeName, silent: bool },
    /// From now on that gossip has given the member up does not count, since it was not asked yet, or answers; or it does.
    Disputes { member: NodeName, disputed: bool },
}

/// What it says of a member whose probe fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Word {
    /// A first round is under way.
    Asked,
    /// Its agent answers, since then.
    Answers(Instant),
    /// It does not, or gossip has given it up; or nobody could be asked.
    Silent,
}

/// All members whose probes fail.
#[derive(Debug, Default)]
pub struct SecondWitnesses {
    cases: BTreeMap<NodeName, Case>,
    /// Members that gossip does not ask about any more itself.
    given_up: BTreeSet<NodeName>,
    /// Who answered late: when last, and whether that was the second time.
    late: BTreeMap<NodeName, (Instant, bool)>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Case {
    silent: bool,
    /// What is known of it is known by a round.
    is_heard: bool,
    /// It answers, since the first of the rounds in a row in which it did.
    answers_since: Option<Instant>,
    /// Rounds of silence in a row.
    in_a_row: u32,
    round: Round,
    /// Gossip has given it up, which does not count until then.
    disputed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Round {
    /// Under way; given up then.
    Until(Instant),
    /// The next one begins then.
    At(Instant),
}

impl SecondWitnesses {
    /// Whom gossip has given up, or who leaves: nobody needs to be asked about them, but for those of whom `is_hearsay` says that
    /// others may have given them up for no reason of theirs.
    pub fn handle_given_up(
        &mut self,
        now: Instant,
        given_up: BTreeSet<NodeName>,
        is_hearsay: impl Fn(&NodeName) -> bool,
    ) {
        for member in given_up.difference(&self.given_up).filter(|member| is_hearsay(member)) {
            let case = self.cases.entry(member.clone()).or_insert_with(|| {
                self.outputs.push_back(Output::Ask(member.clone()));
                Case::new(now)
            });
            if !case.silent {
                case.disputed = Some(now + DISPUTE);
                case.round = case.round.at_once(now);
                self.outputs.push_back(Output::Disputes { member: member.clone(), disputed: true });
            }
        }
        for (member, case) in &mut self.cases {
            let is_over = !given_up.contains(member) || !is_hearsay(member);
            if is_over && case.disputed.take().is_some() {
                self.outputs.push_back(Output::Disputes { member: member.clone(), disputed: false });
            }
        }
        self.cases.retain(|member, case| !given_up.contains(member) || case.disputed.is_some());
        self.given_up = given_up;
    }

    /// A probe of a member has failed.
    pub fn handle_failure(&mut self, now: Instant, member: &NodeName) {
        if !self.given_up.contains(member) && !self.cases.contains_key(member) {
            self.cases.insert(member.clone(), Case::new(now));
            self.outputs.push_back(Output::Ask(member.clone()));
        }
    }

    /// A round has ended, or one that had ended in silence was answered after all.
    pub fn handle_heard(&mut self, now: Instant, member: &NodeName, heard: Heard) {
        let Some(case) = self.cases.get_mut(member) else { return };
        self.late.retain(|_, (at, _)| now.since(*at) < LOSS_MEMORY);
        // Who was silent is back, which is late by itself.
        if heard == Heard::Late && !case.silent {
            let is_second = self.late.contains_key(member);
            self.late.insert(member.clone(), (now, is_second));
        }
        let is_lossy = self.late.get(member).is_some_and(|(_, is_second)| *is_second);
        let enough = if is_lossy { ROUNDS_IN_LOSS } else { 1 };
        case.in_a_row = if heard == Heard::Nothing { case.in_a_row.saturating_add(1) } else { 0 };
        let is_open = heard == Heard::Nothing && !case.silent && case.in_a_row < enough;
        case.round = Round::At(if is_open { now } else { now + PAUSE });
        if is_open {
            return;
        }
        let silent = heard == Heard::Nothing;
        case.is_heard = true;
        case.answers_since = if silent { None } else { Some(case.answers_since.unwrap_or(now)) };
        if silent && case.disputed.is_some() {
            return self.close(member);
        }
        if std::mem::replace(&mut case.silent, silent) != silent {
            self.outputs.push_back(Output::Says { member: member.clone(), silent });
        }
    }

    /// What is known about a member whose probe fails.
    pub fn word(&self, member: &NodeName) -> Word {
        match self.cases.get(member) {
            Some(Case { is_heard: false, .. }) => Word::Asked,
            Some(Case { answers_since: Some(since), .. }) => Word::Answers(*since),
            Some(Case { answers_since: None, .. }) | None => Word::Silent,
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

    /// Asks again about those whose probes still fail, and whom others have given up; of others there is nothing more to know.
    pub fn handle_timeout(&mut self, now: Instant, is_failing: impl Fn(&NodeName) -> bool) {
        let due = self.cases.iter().filter(|(_, case)| case.round.due() <= now);
        let due: Vec<_> = due.map(|(member, case)| (member.clone(), case.round, case.disputed)).collect();
        for (member, round, disputed) in due {
            let goes_on = disputed.map_or_else(|| is_failing(&member), |until| now < until);
            match round {
                Round::At(_) if goes_on => {
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
        let Some(case) = self.cases.remove(member) else { return };
        if case.silent {
            self.outputs.push_back(Output::Says { member: member.clone(), silent: false });
        }
        if case.disputed.is_some() {
            self.outputs.push_back(Output::Disputes { member: member.clone(), disputed: false });
        }
    }
}

impl Case {
    /// Its first round begins.
    fn new(now: Instant) -> Self {
        let round = Round::Until(now + ROUND_LIMIT);
        Self { silent: false, is_heard: false, answers_since: None, in_a_row: 0, round, disputed: None }
    }
}

impl Round {
    /// The next one, if none is under way, begins now.
    fn at_once(self, now: Instant) -> Self {
        match self {
            Self::Until(_) => self,
            Self::At(at) => Self::At(at.min(now)),
        }
    }

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
        witnesses.handle_heard(at(300), &web(), Heard::Nothing);
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
        witnesses.handle_heard(at(2), &web(), Heard::Prompt);
        assert_eq!(witnesses.word(&web()), Word::Answers(at(2)));
        witnesses.handle_failure(at(3), &web());
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], Some(at(252))));
        witnesses.handle_timeout(at(252), |_| true);
        assert_eq!(outputs(&mut witnesses), [ask()], "its agent may be gone by now");
        assert_eq!(witnesses.word(&web()), Word::Answers(at(2)), "what it said last holds until then");
        witnesses.handle_heard(at(260), &web(), Heard::Prompt);
        assert_eq!(witnesses.word(&web()), Word::Answers(at(2)), "since the first");
    }

    #[test]
    fn rounds_go_on_while_its_probe_fails_and_silence_is_told_once() {
        let mut witnesses = silent();
        witnesses.handle_timeout(at(550), |_| true);
        assert_eq!(witnesses.word(&web()), Word::Silent);
        witnesses.handle_heard(at(850), &web(), Heard::Nothing);
        assert_eq!(outputs(&mut witnesses), [ask()]);
    }

    #[test]
    fn silence_ends_with_an_answer_of_the_member_or_of_its_service() {
        let mut witnesses = silent();
        witnesses.handle_heard(at(400), &web(), Heard::Prompt);
        assert_eq!(outputs(&mut witnesses), [says(false)]);
        let mut witnesses = silent();
        witnesses.handle_timeout(at(549), |_| false);
        assert_eq!(outputs(&mut witnesses), []);
        witnesses.handle_timeout(at(550), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![says(false)], None));
    }

    #[test]
    fn once_gossip_has_given_it_up_the_second_witness_has_nothing_to_say() {
        let mut witnesses = silent();
        witnesses.handle_given_up(at(550), [web()].into(), |_| true);
        witnesses.handle_heard(at(600), &web(), Heard::Prompt);
        witnesses.handle_failure(at(700), &web());
        assert_eq!(witnesses.word(&web()), Word::Silent);
        witnesses.handle_timeout(at(2000), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], None));
        witnesses.handle_given_up(at(2000), BTreeSet::new(), |_| true);
        witnesses.handle_failure(at(2000), &web());
        assert_eq!(outputs(&mut witnesses), [ask()], "it is back, and its service still fails");
    }

    fn disputes(disputed: bool) -> Output {
        Output::Disputes { member: web(), disputed }
    }

    /// One whom gossip has just given up, though its probes say nothing.
    fn given_up() -> SecondWitnesses {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_given_up(at(0), [web()].into(), |_| true);
        assert_eq!(outputs(&mut witnesses), [ask(), disputes(true)]);
        witnesses
    }

    #[test]
    fn whom_gossip_gives_up_is_asked_and_one_silent_round_ends_the_dispute() {
        let mut witnesses = given_up();
        witnesses.handle_given_up(at(100), [web()].into(), |_| true);
        assert_eq!(outputs(&mut witnesses), [], "that is no news");
        witnesses.handle_heard(at(300), &web(), Heard::Nothing);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![disputes(false)], None));
        witnesses.handle_given_up(at(400), [web()].into(), |_| true);
        assert_eq!(outputs(&mut witnesses), [], "it has had its turn");
    }

    #[test]
    fn a_dispute_lasts_as_long_as_the_member_answers_and_half_a_minute_at_most() {
        let mut witnesses = given_up();
        witnesses.handle_heard(at(1), &web(), Heard::Prompt);
        let (mut rounds, mut last) = (0, at(0));
        while let Some(due) = witnesses.poll_timeout() {
            witnesses.handle_timeout(due, |_| false);
            last = due;
            match &outputs(&mut witnesses)[..] {
                [Output::Ask(_)] => rounds += 1,
                told => assert_eq!(told, [disputes(false)]),
            }
            witnesses.handle_heard(due + Duration::from_millis(1), &web(), Heard::Prompt);
        }
        assert!(last >= at(30_000) && last < at(30_300), "{last:?}");
        assert!((115..=120).contains(&rounds), "{rounds}");
        assert_eq!(outputs(&mut witnesses), []);
    }

    #[test]
    fn a_dispute_ends_when_gossip_holds_the_member_alive_or_it_leaves() {
        let mut witnesses = given_up();
        witnesses.handle_heard(at(1), &web(), Heard::Prompt);
        witnesses.handle_given_up(at(100), BTreeSet::new(), |_| false);
        assert_eq!(outputs(&mut witnesses), [disputes(false)]);
        witnesses.handle_timeout(at(251), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], None));
        let mut witnesses = given_up();
        witnesses.handle_given_up(at(100), [web()].into(), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![disputes(false)], None));
    }

    #[test]
    fn nobody_is_asked_of_whom_nothing_is_disputed_who_is_silent_already_or_who_cannot_be() {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_given_up(at(0), [web()].into(), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], None));
        let mut witnesses = silent();
        witnesses.handle_given_up(at(400), [web()].into(), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![], None));
        let mut witnesses = given_up();
        witnesses.handle_not_asked(&web());
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![disputes(false)], None));
    }

    #[test]
    fn who_answered_a_moment_ago_is_asked_again_at_once_when_gossip_gives_it_up() {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_failure(at(0), &web());
        witnesses.handle_heard(at(1), &web(), Heard::Prompt);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![ask()], Some(at(251))));
        witnesses.handle_given_up(at(50), [web()].into(), |_| true);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![disputes(true)], Some(at(50))));
        witnesses.handle_timeout(at(50), |_| false);
        assert_eq!(outputs(&mut witnesses), [ask()]);
    }

    /// Rounds of a member whose probes go on failing: what is told, and its word in the end.
    fn rounds(witnesses: &mut SecondWitnesses, heards: &[Heard]) -> (Vec<Output>, Word) {
        let mut told = Vec::new();
        for heard in heards {
            let due = witnesses.poll_timeout().unwrap();
            witnesses.handle_timeout(due, |_| true);
            witnesses.handle_heard(due + Duration::from_millis(300), &web(), *heard);
            told.extend(outputs(witnesses).into_iter().filter(|output| *output != ask()));
        }
        (told, witnesses.word(&web()))
    }

    /// Whether it answers, since whenever.
    fn answers((told, word): (Vec<Output>, Word)) -> (Vec<Output>, bool) {
        (told, matches!(word, Word::Answers(_)))
    }

    #[test]
    fn where_frames_get_lost_silence_counts_once_three_rounds_in_a_row_were_silent() {
        use Heard::{Late, Nothing, Prompt};
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_failure(at(0), &web());
        witnesses.handle_heard(at(60), &web(), Late);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![ask()], Some(at(310))));
        let mut rounds = |heards: &[Heard]| rounds(&mut witnesses, heards);
        assert_eq!(answers(rounds(&[Late, Nothing, Nothing, Prompt, Nothing, Nothing])), (vec![], true));
        assert_eq!(rounds(&[Nothing]), (vec![says(true)], Word::Silent));
        assert_eq!(rounds(&[Nothing]), (vec![], Word::Silent), "it stays silent");
        assert_eq!(answers(rounds(&[Prompt])), (vec![says(false)], true));
    }

    #[test]
    fn a_member_that_comes_back_late_has_lost_nothing() {
        use Heard::{Late, Nothing};
        let mut witnesses = silent();
        let told = vec![says(false), says(true), says(false), says(true)];
        assert_eq!(rounds(&mut witnesses, &[Late, Nothing, Late, Nothing]), (told, Word::Silent));
    }

    #[test]
    fn silent_rounds_in_loss_follow_at_once_and_loss_is_remembered_for_a_minute_of_whoever_is_asked_again() {
        let mut witnesses = SecondWitnesses::default();
        witnesses.handle_failure(at(0), &web());
        for millis in [50, 400] {
            witnesses.handle_heard(at(millis), &web(), Heard::Late);
        }
        witnesses.handle_timeout(at(650), |_| false);
        assert_eq!((outputs(&mut witnesses), witnesses.poll_timeout()), (vec![ask()], None));
        witnesses.handle_failure(at(60_000), &web());
        witnesses.handle_heard(at(60_300), &web(), Heard::Nothing);
        assert_eq!((witnesses.word(&web()), witnesses.poll_timeout()), (Word::Asked, Some(at(60_300))));
        witnesses.handle_timeout(at(60_300), |_| true);
        witnesses.handle_heard(at(60_600), &web(), Heard::Nothing);
        assert_eq!(outputs(&mut witnesses), [ask(), ask(), says(true)], "by now that is a minute ago");
    }

    #[test]
    fn who_cannot_be_asked_is_not_silent() {
        let mut witnesses = silent();
        witnesses.handle_timeout(at(550), |_| true);
        witnesses.handle_not_asked(&web());
        assert_eq!(outputs(&mut witnesses), [ask(), says(false)]);
        witnesses.handle_heard(at(900), &web(), Heard::Nothing);
        assert_eq!(outputs(&mut witnesses), []);
    }
}
