//! The last good set: who comes back if nobody is left, and who needs no first success.

use super::*;
use crate::upstream::{Check, Method, MinHealthy, Mode, Policy, Probe, VerdictReason};

fn web() -> UpstreamName {
    UpstreamName::new("web").unwrap()
}

fn name(number: u8) -> NodeName {
    NodeName::new(&format!("web{number}")).unwrap()
}

fn probes(balancer: &mut Balancer, millis: u64, probe: Probe, numbers: &[u8]) {
    for number in numbers {
        balancer.handle_probe(at(millis), &web(), &name(*number), addr(*number), probe);
    }
}

fn started(live: Option<Desired>, now: u64) -> Balancer {
    let probed = Options { probed: true, ..options("web") };
    Balancer::new(vec![probed], SETTLE, 7, live, Holds::default(), at(now))
}

/// Puts in place what is due until then, and says who serves.
fn run(balancer: &mut Balancer, until: u64) -> Vec<u8> {
    for round in 0.. {
        assert!(round < 1000, "it does not come to rest");
        let Some(now) = due(balancer).filter(|due| *due <= until) else { break };
        if asked(balancer, now).is_some() {
            balancer.handle_applied(at(now), LIVE, &[]);
        }
    }
    balancer.handle_timeout(at(until));
    let live = balancer.upstreams()[0].live();
    live.into_iter().flat_map(Servers::serving).map(|server| octet(server.addr.ip())).collect()
}

fn mode(balancer: &Balancer) -> Mode {
    balancer.upstreams()[0].decision().unwrap().mode
}

fn reason(balancer: &Balancer, number: u8) -> VerdictReason {
    let decision = balancer.upstreams()[0].decision().unwrap();
    decision.members.iter().find(|judged| judged.name == name(number)).unwrap().verdict.reason
}

const ALL: [(u8, Gossip); 3] = [(1, Gossip::Alive), (2, Gossip::Alive), (3, Gossip::Alive)];
const WITHOUT_3: [(u8, Gossip); 3] = [(1, Gossip::Alive), (2, Gossip::Alive), (3, Gossip::Failed)];

/// Member 3 dies and 2 is ill in the same moment, so that the floor keeps 2; then 2 is well again, and nothing in the file changes.
fn regained() -> Balancer {
    let mut balancer = started(None, 0);
    balancer.handle_members(at(0), members(&ALL));
    probes(&mut balancer, 0, Probe::Up, &[1, 2, 3]);
    balancer.handle_first_view(at(0));
    assert_eq!(run(&mut balancer, 40_000), [1, 2, 3]);
    balancer.handle_check(at(40_000), &name(2), Check::Critical);
    balancer.handle_members(at(40_000), members(&WITHOUT_3));
    probes(&mut balancer, 40_000, Probe::Down, &[3]);
    assert_eq!((run(&mut balancer, 45_000), mode(&balancer)), (vec![1, 2], Mode::Floor));
    balancer.handle_check(at(50_000), &name(2), Check::Passing);
    let before = balancer.decisions();
    assert_eq!((run(&mut balancer, 70_000), mode(&balancer)), (vec![1, 2], Mode::Normal));
    assert!(balancer.decisions() > before && !balancer.is_applying());
    balancer
}

#[test]
fn mode_normal_regained_without_a_change_is_the_last_good_set() {
    // Nobody is left: who was thrown out meanwhile does not come back by that.
    let mut balancer = regained();
    let none = ALL.map(|(number, _)| (number, Gossip::Failed));
    balancer.handle_members(at(80_000), members(&none));
    probes(&mut balancer, 80_000, Probe::Down, &[1, 2]);
    assert_eq!((run(&mut balancer, 90_000), mode(&balancer)), (vec![1, 2], Mode::Last));
    // Nor does it before its first success, when it is back.
    let mut balancer = regained();
    balancer.handle_members(at(80_000), members(&ALL));
    probes(&mut balancer, 80_000, Probe::Wait, &[3]);
    assert_eq!((run(&mut balancer, 90_000), reason(&balancer, 3)), (vec![1, 2], VerdictReason::NotProven));
    probes(&mut balancer, 90_000, Probe::Up, &[3]);
    assert_eq!(run(&mut balancer, 95_000), [1, 2, 3]);
}

#[test]
fn probes_that_start_over_find_the_same_before_and_after_a_restart() {
    let mut before = regained();
    let live = before.desired();
    let mut after = started(Some(live), 80_000);
    after.handle_members(at(80_000), members(&WITHOUT_3));
    after.handle_first_view(at(80_000));
    for balancer in [&mut before, &mut after] {
        probes(balancer, 80_000, Probe::Wait, &[1, 2, 3]);
        balancer.handle_members(at(80_000), members(&ALL));
        assert_eq!(run(balancer, 85_000), [1, 2]);
        let reasons = [1, 2, 3].map(|number| reason(balancer, number));
        let stays = VerdictReason::NoNewEvidence;
        assert_eq!(reasons, [stays, stays, VerdictReason::NotProven]);
    }
}

/// Our own network is down: gossip finds that out of one after the other, and so it is when it is back.
#[test]
fn where_nobody_is_seen_nobody_is_told_from_the_others() {
    let mut balancer = started(None, 0);
    balancer.handle_members(at(0), members(&ALL));
    probes(&mut balancer, 0, Probe::Up, &[1, 2, 3]);
    balancer.handle_first_view(at(0));
    assert_eq!(run(&mut balancer, 40_000), [1, 2, 3]);
    let decided = |balancer: &mut Balancer, millis| {
        balancer.handle_timeout(at(millis));
        let asks = std::iter::from_fn(|| balancer.poll_output()).any(|output| matches!(output, Output::Apply { .. }));
        (asks, mode(balancer))
    };
    balancer.handle_blindness(at(40_000), &web(), true);
    probes(&mut balancer, 40_000, Probe::Down, &[1, 2, 3]);
    assert_eq!(decided(&mut balancer, 40_000), (false, Mode::Last));
    for (now, third) in [(41_000, Gossip::Suspect), (45_000, Gossip::Failed), (70_000, Gossip::Alive)] {
        balancer.handle_members(at(now), members(&[(1, Gossip::Alive), (2, Gossip::Failed), (3, third)]));
        balancer.handle_second_witness(at(now), &name(1), now < 70_000);
        assert_eq!(decided(&mut balancer, now), (false, Mode::Last), "{now}");
    }
    // It is over, and two of them answer.
    balancer.handle_blindness(at(71_000), &web(), false);
    probes(&mut balancer, 71_000, Probe::Up, &[1, 3]);
    assert_eq!((run(&mut balancer, 75_000), mode(&balancer)), (vec![1, 3], Mode::Normal));
}

/// What is asked of them changes meanwhile, so that nothing is known of anybody.
#[test]
fn where_nobody_is_seen_nobody_is_told_from_the_others_by_a_health_query_before_the_first_result() {
    let mut balancer = started(None, 0);
    balancer.handle_members(at(0), members(&ALL));
    probes(&mut balancer, 0, Probe::Up, &[1, 2, 3]);
    balancer.handle_first_view(at(0));
    assert_eq!(run(&mut balancer, 40_000), [1, 2, 3]);
    balancer.handle_blindness(at(40_000), &web(), true);
    probes(&mut balancer, 40_000, Probe::Down, &[1, 2, 3]);
    // Gossip has not missed the first one yet, and the query has.
    balancer.handle_check(at(60_000), &name(1), Check::Silent);
    balancer.handle_members(at(60_000), members(&[(1, Gossip::Alive), (2, Gossip::Suspect), (3, Gossip::Failed)]));
    assert_eq!((run(&mut balancer, 65_000), mode(&balancer)), (vec![1, 2, 3], Mode::Last));
    for probe in [Probe::None, Probe::Wait] {
        probes(&mut balancer, 65_000, probe, &[1, 2, 3]);
        assert_eq!(run(&mut balancer, 70_000), [1, 2, 3]);
    }
    let reasons = [1, 2, 3].map(|number| reason(&balancer, number));
    assert_eq!(reasons, [VerdictReason::NoNewEvidence; 3]);
    probes(&mut balancer, 70_000, Probe::Down, &[1, 2, 3]);
    assert_eq!((run(&mut balancer, 75_000), mode(&balancer)), (vec![1, 2, 3], Mode::Last));
}

/// Members 1 to 3, of which the third one's agent has died while its service answers on: it is in as lost.
fn with_one_lost(options: Options) -> Balancer {
    let mut balancer = Balancer::new(vec![options], SETTLE, 7, None, Holds::default(), at(0));
    balancer.handle_members(at(0), members(&ALL));
    probes(&mut balancer, 0, Probe::Up, &[1, 2, 3]);
    balancer.handle_first_view(at(0));
    assert_eq!(run(&mut balancer, 40_000), [1, 2, 3]);
    balancer.handle_members(at(40_000), members(&WITHOUT_3));
    assert_eq!(run(&mut balancer, 50_000), [1, 2, 3]);
    balancer
}

/// A balancer that goes on from `live`; members 1 and 2 are there, and the service of the third one answers, too.
fn restarted(options: Options, live: Desired, gone: &[u8]) -> Balancer {
    let mut balancer = Balancer::new(vec![options], SETTLE, 7, Some(live), Holds::default(), at(0));
    balancer.handle_gone(at(0), &gone.iter().map(|number| name(*number)).collect::<Vec<_>>());
    balancer.handle_members(at(0), members(&ALL[..2]));
    probes(&mut balancer, 0, Probe::Up, &[1, 2, 3]);
    balancer.handle_first_view(at(0));
    balancer
}

fn probed() -> Options {
    Options { probed: true, ..options("web") }
}

#[test]
fn whoever_gossip_has_let_go_of_is_not_in_what_is_in_place_so_that_no_restart_brings_it_back() {
    let positional = || Options { method: Method::IpHash, ..probed() };
    let floor = || Options { policy: Policy { min_healthy: MinHealthy::Count(3), ..Policy::default() }, ..probed() };
    for options in [probed, positional, floor] {
        let mut first = with_one_lost(options());
        first.handle_members(at(50_000), members(&ALL[..2]));
        assert_eq!(run(&mut first, 55_000), [1, 2]);
        for gone in [&[][..], &[3]] {
            let mut balancer = restarted(options(), first.desired(), gone);
            for until in [5000, 29_000, 60_000] {
                assert_eq!(run(&mut balancer, until), [1, 2]);
            }
        }
    }
}

#[test]
fn whoever_gossip_had_let_go_of_is_out_after_a_restart_although_it_still_was_in_the_file() {
    // The last job was refused, or none has begun.
    let live = with_one_lost(probed()).desired();
    let mut balancer = restarted(probed(), live.clone(), &[3, 4]);
    for until in [5000, 29_000, 60_000] {
        assert_eq!(run(&mut balancer, until), [1, 2]);
    }
    // It is heard of again.
    balancer.handle_members(at(60_000), members(&ALL));
    assert_eq!(run(&mut balancer, 65_000), [1, 2, 3]);
    // Whoever had failed stays.
    let mut balancer = restarted(probed(), live, &[4]);
    assert_eq!(run(&mut balancer, 5000), [1, 2, 3]);
    assert_eq!(run(&mut balancer, 60_000), [1, 2, 3]);
}

#[test]
fn the_last_one_that_gossip_had_let_go_of_stays_until_another_one_is_there() {
    let mut first = started(None, 0);
    first.handle_members(at(0), members(&ALL[2..]));
    probes(&mut first, 0, Probe::Up, &[3]);
    first.handle_first_view(at(0));
    assert_eq!(run(&mut first, 40_000), [3]);
    let live = first.desired();
    let mut second = Balancer::new(vec![probed()], SETTLE, 7, Some(live), Holds::default(), at(0));
    second.handle_gone(at(0), &[name(3)]);
    second.handle_first_view(at(0));
    probes(&mut second, 0, Probe::Up, &[3]);
    run(&mut second, 30_000);
    first.handle_members(at(50_000), Vec::new());
    for balancer in [&mut first, &mut second] {
        assert_eq!(run(balancer, 60_000), [3], "nobody else is there");
        balancer.handle_members(at(60_000), members(&ALL[..1]));
        probes(balancer, 60_000, Probe::Up, &[1, 3]);
        assert_eq!(run(balancer, 65_000), [1]);
    }
}
