//! Groups of servers with every kind of evidence, fed back until they are still (`protocols D.3`).

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// What makes a member's intent this one, whatever it was before, as far as that is possible.
const KINDS: [fn(&mut Candidate); 8] = [
    |_| {},
    |member| member.check = Check::Warning,
    |member| (member.gossip, member.probe) = (Gossip::Suspect, Probe::Up),
    |member| member.gossip = Gossip::Suspect,
    |member| member.check = Check::Wait,
    |member| member.check = Check::Critical,
    |member| member.gossip = Gossip::Failed,
    |member| member.gossip = Gossip::Left,
];
const DRAINS: [Drain; 3] = [Drain::No, Drain::Asked(Rank::Since(LamportTime(1))), Drain::Promised];
const PREVIOUS: [Previous; 3] = [Previous::In, Previous::Out, Previous::New];
/// Every kind of member.
const MEMBERS: usize = KINDS.len() * DRAINS.len() * 2 * PREVIOUS.len();

/// One member of the group: what is known of it, and what it was.
fn member(number: u8, kind: usize) -> (Candidate, Previous) {
    let (kind, previous) = (kind / PREVIOUS.len(), PREVIOUS[kind % PREVIOUS.len()]);
    let (kind, flapping) = (kind / 2, kind.is_multiple_of(2));
    let mut member = web(number, Gossip::Alive, &[]);
    KINDS[kind / DRAINS.len()](&mut member);
    (Candidate { drain: DRAINS[kind % DRAINS.len()], flapping, ..member }, previous)
}

/// What was decided before about such a group: first all those who were ever in, then those alone who are.
fn memory(group: &[(Candidate, Previous)], options: &Options) -> History {
    let those = |wanted: &[Previous]| -> Vec<Candidate> {
        let numbers = (1..).zip(group).filter(|(_, (_, previous))| wanted.contains(previous));
        numbers.map(|(number, _)| web(number, Gossip::Alive, &[])).collect()
    };
    let outside = |mut all: Vec<Candidate>, inside: &[Candidate]| {
        let is_out = |member: &&mut Candidate| !inside.iter().any(|other| other.name == member.name);
        all.iter_mut().filter(is_out).for_each(|member| member.check = Check::Critical);
        all
    };
    let (ever, now) = (those(&[Previous::In, Previous::Out]), those(&[Previous::In]));
    after(&[&ever, &outside(ever.clone(), &now)], options)
}

fn check(kinds: &[usize]) {
    let options = Options { policy: Policy { min_healthy: MinHealthy::Percent(0), ..Policy::default() }, ..options() };
    let halves =
        Options { policy: Policy { min_healthy: MinHealthy::Percent(50), ..Policy::default() }, ..options.clone() };
    let group: Vec<(Candidate, Previous)> = (1..).zip(kinds).map(|(number, kind)| member(number, *kind)).collect();
    let was = |previous| group.iter().any(|(_, was)| *was == previous);
    if was(Previous::Out) && !was(Previous::In) {
        return; // the last good set is never without anybody
    }
    let members: Vec<Candidate> = group.iter().map(|(member, _)| member.clone()).collect();
    let mut history = memory(&group, &options);
    let remains = group.iter().any(|(member, previous)| {
        *previous == Previous::In && member.gossip != Gossip::Left && member.drain != Drain::Promised
    });
    let mut is_live = Vec::new();
    // Twice at once, and twice when mode floor may have been left.
    for seconds in [1, 1, 12, 12, 30] {
        let now = Instant::ZERO + Duration::from_secs(seconds);
        let decision = decide(&members, &halves, &history, &Circumstances { now, ..Circumstances::default() });
        is_live.push(history.is_live(&decision));
        history.decided(&decision);
        history.applied(&decision);
        let empty = !matches!(&decision.want, Want::Servers(servers) if servers.serving().next().is_some());
        assert!(!(remains && empty), "empty though somebody who was in remains: {kinds:?} {members:#?}");
        let is_well = |judged: &Judged| {
            judged.drain == Drain::No && matches!(judged.intent, Intent::In | Intent::Half | Intent::Lost)
        };
        let has_well = decision.members.iter().any(is_well);
        assert!(
            !(has_well && decision.mode == Mode::Last),
            "nobody in though somebody is well: {kinds:?} {members:#?}"
        );
        for judged in decision.members.iter().filter(|judged| judged.drain == Drain::Promised) {
            assert!(!judged.verdict.placed.is_in(), "a promise is kept: {kinds:?}");
        }
    }
    assert!(is_live[1], "a change of its own making: {kinds:?} {members:#?}");
    assert!(is_live[3] && is_live[4], "no end of changes: {kinds:?} {members:#?}");
}

#[test]
fn every_pair_comes_to_rest_and_is_never_empty_while_somebody_remains() {
    for one in 0..MEMBERS {
        check(&[one]);
        for other in one..MEMBERS {
            check(&[one, other]);
        }
    }
}

#[test]
fn larger_groups_come_to_rest_too() {
    let mut rng = StdRng::seed_from_u64(12);
    for _ in 0..2500 {
        let count = rng.random_range(3..=4);
        let kinds: Vec<usize> = (0..count).map(|_| rng.random_range(0..MEMBERS)).collect();
        check(&kinds);
    }
}

#[test]
#[ignore = "slow: half a million groups"]
fn every_group_of_three_comes_to_rest_and_is_never_empty_while_somebody_remains() {
    for one in 0..MEMBERS {
        for two in one..MEMBERS {
            (two..MEMBERS).for_each(|three| check(&[one, two, three]));
        }
    }
}
