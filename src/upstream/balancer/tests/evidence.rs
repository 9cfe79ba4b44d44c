//! Evidence that comes member by member.

use super::*;
use crate::upstream::{Check, Drain, Probe, Rank, VerdictReason};

fn web() -> UpstreamName {
    UpstreamName::new("web").unwrap()
}

fn name(number: u8) -> NodeName {
    NodeName::new(&format!("web{number}")).unwrap()
}

fn alive(numbers: &[u8]) -> Vec<Candidate> {
    members(&numbers.iter().map(|number| (*number, Gossip::Alive)).collect::<Vec<_>>())
}

/// Members 1 to 3 are alive and in place since 1 s.
fn three() -> Balancer {
    let mut balancer = fresh();
    balancer.handle_members(at(0), alive(&[1, 2, 3]));
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(vec![1, 2, 3]));
    balancer.handle_applied(at(1000), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 1000), None);
    balancer
}

fn reason(balancer: &mut Balancer, millis: u64, number: u8) -> VerdictReason {
    balancer.handle_timeout(at(millis));
    let decision = balancer.upstreams()[0].decision().unwrap();
    decision.members.iter().find(|judged| judged.name == name(number)).unwrap().verdict.reason
}

fn probed() -> Balancer {
    Balancer::new(vec![Options { probed: true, ..options("web") }], SETTLE, 7, None, Holds::default(), at(0))
}

#[test]
fn evidence_decides_at_once_and_outlives_the_next_view_of_the_members() {
    let changes: [fn(&mut Balancer); 4] = [
        |balancer| balancer.handle_check(at(3000), &name(2), Check::Critical),
        |balancer| balancer.handle_probe(at(3000), &web(), &name(2), addr(2), Probe::Down),
        |balancer| balancer.handle_drain(at(3000), &name(2), Drain::Promised),
        |balancer| {
            balancer.handle_second_witness(at(3000), &name(2), true);
            balancer.handle_probe(at(3000), &web(), &name(2), addr(2), Probe::Down);
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut balancer = three();
        change(&mut balancer);
        assert_eq!(due(&balancer), Some(3000), "{index}");
        balancer.handle_members(at(3100), alive(&[1, 2, 3]));
        // Bad news at once, a departure after the quiet time.
        let asked = asked(&mut balancer, 3100).or_else(|| asked(&mut balancer, 3300));
        assert_eq!(asked, Some(vec![1, 3]), "{index}");
    }
}

#[test]
fn what_was_said_already_decides_nothing() {
    let mut balancer = three();
    balancer.handle_timeout(at(31_000));
    balancer.handle_check(at(32_000), &name(2), Check::None);
    balancer.handle_drain(at(32_000), &name(2), Drain::No);
    balancer.handle_second_witness(at(32_000), &name(2), false);
    balancer.handle_probe(at(32_000), &UpstreamName::new("api").unwrap(), &name(2), addr(2), Probe::Down);
    assert_eq!(due(&balancer), None);
}

#[test]
fn evidence_is_forgotten_with_the_member() {
    let mut balancer = three();
    balancer.handle_check(at(3000), &name(2), Check::Critical);
    balancer.handle_probe(at(3000), &web(), &name(2), addr(2), Probe::Down);
    assert_eq!(asked(&mut balancer, 3000), Some(vec![1, 3]));
    balancer.handle_applied(at(3000), LIVE, &[]);
    balancer.handle_members(at(40_000), alive(&[1, 3]));
    assert_eq!(asked(&mut balancer, 40_000), None);
    balancer.handle_members(at(50_000), alive(&[1, 2, 3]));
    assert_eq!(reason(&mut balancer, 50_000, 2), VerdictReason::In);
}

#[test]
fn the_second_witness_makes_a_suspect_until_it_is_taken_back_or_gossip_has_given_it_up() {
    let swim = |gossip| members(&[(1, Gossip::Alive), (2, gossip), (3, Gossip::Alive)]);
    let mut balancer = three();
    balancer.handle_second_witness(at(3000), &name(2), true);
    assert_eq!(reason(&mut balancer, 3000, 2), VerdictReason::NoNewEvidence);
    // SWIM suspects it as well, and somebody else hears it refute that.
    for (millis, gossip) in [(3100, Gossip::Suspect), (3200, Gossip::Alive)] {
        balancer.handle_members(at(millis), swim(gossip));
        assert_eq!(reason(&mut balancer, millis, 2), VerdictReason::NoNewEvidence, "{gossip:?}");
    }
    balancer.handle_second_witness(at(3300), &name(2), false);
    assert_eq!(reason(&mut balancer, 3300, 2), VerdictReason::In);
    balancer.handle_second_witness(at(3400), &name(2), true);
    balancer.handle_members(at(3500), swim(Gossip::Failed));
    balancer.handle_members(at(3600), alive(&[1, 2, 3]));
    assert_eq!(reason(&mut balancer, 3600, 2), VerdictReason::In);
}

#[test]
fn where_no_probe_is_configured_a_port_that_does_not_open_counts_once_its_own_pings_are_silent_too() {
    let suspected = |silent| {
        let mut balancer = three();
        balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Suspect), (3, Gossip::Alive)]));
        balancer.handle_probe(at(3000), &web(), &name(2), addr(2), Probe::Down);
        balancer.handle_second_witness(at(3000), &name(2), silent);
        reason(&mut balancer, 3000, 2)
    };
    assert_eq!(suspected(false), VerdictReason::NoNewEvidence, "its agent answers: frames may get lost");
    assert_eq!(suspected(true), VerdictReason::Dead);
    let mut balancer = three();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Failed), (3, Gossip::Alive)]));
    balancer.handle_probe(at(3000), &web(), &name(2), addr(2), Probe::Down);
    assert_eq!(reason(&mut balancer, 3000, 2), VerdictReason::Dead, "gossip has decided");
}

#[test]
fn without_a_first_result_nobody_new_is_put_in_where_probes_are_configured() {
    let mut balancer = probed();
    balancer.handle_members(at(0), alive(&[1, 2]));
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(Vec::new()), "the placeholder");
    balancer.handle_applied(at(1000), LIVE, &[]);
    balancer.handle_probe(at(3000), &web(), &name(1), addr(1), Probe::Up);
    assert_eq!(asked(&mut balancer, 3000), None);
    assert_eq!(asked(&mut balancer, 3200), Some(vec![1]));
}

#[test]
fn whom_to_probe_is_who_is_selected_and_not_gone() {
    let mut balancer = three();
    let targets = |balancer: &Balancer| -> Vec<String> {
        balancer.targets().map(|(upstream, member, addr)| format!("{upstream} {member} {addr}")).collect()
    };
    balancer.handle_members(
        at(3000),
        vec![
            member(1, Gossip::Failed, &[("role", "web")]),
            member(2, Gossip::Left, &[("role", "web")]),
            member(3, Gossip::Alive, &[("role", "db")]),
            member(4, Gossip::Alive, &[("role", "web"), ("port", "8080")]),
            member(5, Gossip::Alive, &[("role", "web"), ("port", "no")]),
        ],
    );
    balancer.handle_timeout(at(3000));
    assert_eq!(targets(&balancer), ["web web1 10.77.0.1:80", "web web4 10.77.0.4:8080"]);
}

#[test]
fn who_is_missing_after_a_restart_is_probed_and_what_is_known_of_it_counts() {
    let mut first = three();
    first.handle_configuration(at(2000), vec![options("web")], SETTLE);
    first.handle_timeout(at(2000));
    first.handle_timeout(at(2200));
    let apply = |output| match output {
        Output::Apply { desired, .. } => Some(desired),
        Output::Tell(_) => None,
    };
    let live = std::iter::from_fn(|| first.poll_output()).find_map(apply).unwrap();
    let restarted = || {
        let mut balancer = Balancer::new(vec![options("web")], SETTLE, 7, Some(live.clone()), Holds::default(), at(0));
        balancer.handle_members(at(0), alive(&[1]));
        balancer.handle_first_view(at(0));
        balancer.handle_timeout(at(0));
        assert_eq!(balancer.targets().count(), 3);
        balancer
    };
    let mut balancer = restarted();
    balancer.handle_probe(at(10), &web(), &name(2), addr(2), Probe::Down);
    assert_eq!(reason(&mut balancer, 10, 2), VerdictReason::Dead);
    assert_eq!(reason(&mut balancer, 10, 3), VerdictReason::NoNewEvidence);
    balancer.handle_drain(at(20), &name(3), Drain::Promised);
    assert_eq!(reason(&mut balancer, 20, 3), VerdictReason::DrainPromised);
}

#[test]
fn a_server_that_moves_is_put_in_when_its_new_address_answers_and_not_before() {
    let mut balancer = probed();
    let at_port = |port: &str| {
        let tags: [&[(&str, &str)]; 2] = [&[("role", "web")], &[("role", "web"), ("port", port)]];
        vec![member(1, Gossip::Alive, tags[0]), member(2, Gossip::Alive, tags[1])]
    };
    balancer.handle_members(at(0), at_port("80"));
    balancer.handle_probe(at(0), &web(), &name(1), addr(1), Probe::Up);
    balancer.handle_probe(at(0), &web(), &name(2), addr(2), Probe::Up);
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(vec![1, 2]));
    balancer.handle_applied(at(1000), LIVE, &[]);
    balancer.handle_members(at(40_000), at_port("8080"));
    assert_eq!(reason(&mut balancer, 40_000, 2), VerdictReason::NotProven, "the old address vouches for nothing");
    let moved = SocketAddr::from(([10, 77, 0, 2], 8080));
    assert!(balancer.targets().any(|(_, _, addr)| addr == moved), "it is asked there");
    balancer.handle_probe(at(40_010), &web(), &name(2), addr(2), Probe::Up);
    assert_eq!(reason(&mut balancer, 40_010, 2), VerdictReason::NotProven, "a late word about the old one");
    balancer.handle_probe(at(40_020), &web(), &name(2), moved, Probe::Up);
    assert_eq!(reason(&mut balancer, 40_020, 2), VerdictReason::In);
}

#[test]
fn a_host_that_came_back_under_another_name_is_no_newcomer() {
    let mut balancer = three();
    let app = Candidate { name: NodeName::new("app3").unwrap(), ..alive(&[3]).remove(0) };
    let with = |gossip, lost| {
        let app = Candidate { gossip, ..app.clone() };
        let mut all = members(&[(1, Gossip::Alive), (2, Gossip::Alive), (3, lost)]);
        all.push(app);
        all
    };
    balancer.handle_members(at(3000), with(Gossip::Alive, Gossip::Failed));
    assert_eq!(asked(&mut balancer, 3000), None, "NGINX does not know names");
    // A suspicion without evidence leaves everything as it was.
    balancer.handle_members(at(9000), with(Gossip::Suspect, Gossip::Failed));
    assert_eq!(asked(&mut balancer, 9000), None);
    assert_eq!(asked(&mut balancer, 12_000), None);
    let decision = balancer.upstreams()[0].decision().unwrap();
    let judged = decision.members.iter().find(|judged| judged.name == app.name).unwrap();
    assert!(judged.verdict.placed.is_in(), "{judged:?}");
}

fn gossip(numbers: [Gossip; 3]) -> Vec<Candidate> {
    members(&(1..).zip(numbers).collect::<Vec<_>>())
}

const ALIVE: [Gossip; 3] = [Gossip::Alive; 3];
const FAILED: [Gossip; 3] = [Gossip::Failed; 3];

#[test]
fn who_fails_while_nobody_is_heard_or_right_after_stays_until_the_grace_is_over() {
    let mut balancer = three();
    balancer.handle_isolation(at(40_000), true);
    balancer.handle_members(at(42_000), gossip([Gossip::Failed, Gossip::Suspect, Gossip::Alive]));
    assert_eq!(asked(&mut balancer, 42_000), None);
    assert!(balancer.is_isolated() && balancer.is_unheard(&name(1)) && !balancer.is_unheard(&name(3)));
    balancer.handle_members(at(44_000), gossip([Gossip::Failed, Gossip::Failed, Gossip::Alive]));
    assert_eq!(asked(&mut balancer, 44_000), None);
    balancer.handle_timeout(at(500_000));
    assert_eq!(due(&balancer), None, "for as long as nobody is");
    balancer.handle_isolation(at(500_000), false);
    balancer.handle_members(at(504_999), gossip(FAILED));
    assert_eq!(asked(&mut balancer, 504_999), None);
    assert_eq!(reason(&mut balancer, 504_999, 3), VerdictReason::NoNewEvidence);
    // Two are heard of again, and the third is not there in truth.
    balancer.handle_members(at(506_000), gossip([Gossip::Alive, Gossip::Alive, Gossip::Failed]));
    assert_eq!((asked(&mut balancer, 506_000), due(&balancer)), (None, Some(530_000)));
    assert_eq!(asked(&mut balancer, 530_000), Some(vec![1, 2]));
}

#[test]
fn who_was_suspected_before_somebody_was_heard_again_may_take_its_time_to_fail() {
    let one = |gossip_of| gossip([gossip_of, Gossip::Alive, Gossip::Alive]);
    for (suspected, stays) in [(39_000, true), (45_000, true), (54_999, true), (55_000, false)] {
        let mut balancer = three();
        let mut steps = vec![(40_000, Some(true)), (50_000, Some(false)), (suspected, None)];
        steps.sort_unstable();
        for (millis, is_isolated) in steps {
            match is_isolated {
                Some(is_isolated) => balancer.handle_isolation(at(millis), is_isolated),
                None => balancer.handle_members(at(millis), one(Gossip::Suspect)),
            }
            assert_eq!(asked(&mut balancer, millis), None);
        }
        balancer.handle_members(at(70_000), one(Gossip::Failed));
        assert_eq!(asked(&mut balancer, 70_000).is_none(), stays, "{suspected}");
    }
}

#[test]
fn who_failed_before_or_fails_again_has_failed() {
    let mut balancer = three();
    let without_1 = [Gossip::Failed, Gossip::Alive, Gossip::Alive];
    balancer.handle_members(at(40_000), gossip(without_1));
    assert_eq!(asked(&mut balancer, 40_000), Some(vec![2, 3]));
    balancer.handle_applied(at(40_000), LIVE, &[]);
    balancer.handle_isolation(at(50_000), true);
    balancer.handle_members(at(51_000), gossip(FAILED));
    assert_eq!(asked(&mut balancer, 51_000), None);
    assert_eq!(reason(&mut balancer, 51_000, 1), VerdictReason::Dead, "it is not the isolation that says so");
    balancer.handle_isolation(at(60_000), false);
    balancer.handle_members(at(61_000), gossip(without_1));
    assert_eq!(asked(&mut balancer, 61_000), None);
    balancer.handle_members(at(66_000), gossip([Gossip::Failed, Gossip::Failed, Gossip::Alive]));
    assert_eq!(asked(&mut balancer, 66_000), Some(vec![3]), "it has been heard since");
}

#[test]
fn while_nobody_is_heard_a_configured_probe_decides_and_no_change_is_counted() {
    let mut balancer = probed();
    balancer.handle_members(at(0), gossip(ALIVE));
    (1..=3).for_each(|number| balancer.handle_probe(at(0), &web(), &name(number), addr(number), Probe::Up));
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(vec![1, 2, 3]));
    balancer.handle_applied(at(1000), LIVE, &[]);
    balancer.handle_isolation(at(40_000), true);
    balancer.handle_members(at(41_000), gossip(FAILED));
    assert_eq!(asked(&mut balancer, 41_000), None, "its service answers");
    balancer.handle_probe(at(42_000), &web(), &name(3), addr(3), Probe::Down);
    assert_eq!(asked(&mut balancer, 42_000), Some(vec![1, 2]));

    let mut balancer = three();
    for round in 0..4 {
        let start = 40_000 + round * 10_000;
        balancer.handle_isolation(at(start), true);
        balancer.handle_members(at(start + 1000), gossip(FAILED));
        assert_eq!(asked(&mut balancer, start + 1000), None);
        balancer.handle_isolation(at(start + 2000), false);
        balancer.handle_members(at(start + 3000), gossip(ALIVE));
        assert_eq!(asked(&mut balancer, start + 3000), None);
        assert_eq!(balancer.upstreams()[0].held_down_until(at(start + 3000), &name(1)), None);
    }
}

#[test]
fn the_operator_hears_once_that_nobody_is_heard_and_once_that_this_is_over() {
    let mut balancer = three();
    let steps = [(40_000, true), (41_000, true), (42_000, false), (43_000, false)];
    for ((millis, is_isolated), since) in steps.into_iter().zip([Some(at(40_000)), Some(at(40_000)), None, None]) {
        balancer.handle_isolation(at(millis), is_isolated);
        assert_eq!(balancer.isolated_since(), since);
    }
    let told = [true, false].map(|is_isolated| Notice::Isolation { is_isolated });
    assert_eq!(notices(&mut balancer, 43_000), told);
}

#[test]
fn whom_gossip_gives_up_is_a_suspect_as_long_as_that_is_disputed() {
    let failed = || gossip([Gossip::Alive, Gossip::Failed, Gossip::Alive]);
    let mut balancer = three();
    assert!(balancer.has_server(&name(2)) && !balancer.has_server(&name(4)));
    // Told together with what gossip says, and decided about at once.
    balancer.handle_members(at(40_000), failed());
    balancer.handle_dispute(at(40_000), &name(2), true);
    assert_eq!(asked(&mut balancer, 40_000), None);
    assert!(balancer.is_disputed(&name(2)));
    assert_eq!(reason(&mut balancer, 40_000, 2), VerdictReason::NoNewEvidence);
    balancer.handle_members(at(40_200), failed());
    assert_eq!(asked(&mut balancer, 40_200), None, "it lasts");
    balancer.handle_dispute(at(40_300), &name(2), false);
    assert_eq!(asked(&mut balancer, 40_300), Some(vec![1, 3]), "and its end needs nothing else");

    let mut balancer = three();
    for round in 0..4 {
        let now = 40_000 + round * 2000;
        balancer.handle_members(at(now), failed());
        balancer.handle_dispute(at(now), &name(2), true);
        assert_eq!(asked(&mut balancer, now), None);
        balancer.handle_members(at(now + 1000), gossip(ALIVE));
        balancer.handle_dispute(at(now + 1000), &name(2), false);
        assert_eq!(asked(&mut balancer, now + 1000), None);
    }
    assert_eq!(balancer.upstreams()[0].held_down_until(at(50_000), &name(2)), None, "no change was counted");
}

#[test]
fn since_is_of_the_state_and_not_of_the_reason() {
    let since = |balancer: &mut Balancer, millis| {
        balancer.handle_timeout(at(millis));
        balancer.upstreams()[0].standing_since(&name(2))
    };
    let one = |gossip_of| gossip([Gossip::Alive, gossip_of, Gossip::Alive]);
    let mut balancer = three();
    let start = since(&mut balancer, 40_000);
    balancer.handle_members(at(40_000), one(Gossip::Suspect));
    assert_eq!((since(&mut balancer, 40_000), start), (start, Some(at(1000))), "in, for another reason");
    balancer.handle_members(at(41_000), one(Gossip::Failed));
    assert_eq!(since(&mut balancer, 41_000), Some(at(41_000)));
    balancer.handle_members(at(42_000), one(Gossip::Left));
    assert_eq!(since(&mut balancer, 42_000), Some(at(41_000)), "gone, for another reason");
    balancer.handle_members(at(43_000), one(Gossip::Alive));
    assert_eq!(since(&mut balancer, 43_000), Some(at(43_000)));
    balancer.handle_drain(at(44_000), &name(2), Drain::Asked(Rank::Last));
    balancer.handle_timeout(at(44_000));
    balancer.handle_drain(at(45_000), &name(2), Drain::Promised);
    assert_eq!(since(&mut balancer, 45_000), Some(at(44_000)), "draining, and then promised");
}
