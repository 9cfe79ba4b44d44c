//! Slow start, damping and warming up, over time.

use super::*;
use crate::upstream::{Check, Drain, Flap, MinHealthy, Policy, Probe, SlowStart};

fn web() -> UpstreamName {
    UpstreamName::new("web").unwrap()
}

fn name(number: u8) -> NodeName {
    NodeName::new(&format!("web{number}")).unwrap()
}

fn alive(numbers: &[u8]) -> Vec<Candidate> {
    members(&numbers.iter().map(|number| (*number, Gossip::Alive)).collect::<Vec<_>>())
}

fn with(options: Options) -> Balancer {
    Balancer::new(vec![options], SETTLE, 7, None, Holds::default(), at(0))
}

/// Who serves then, and at which weight, `2x10`.
fn serving(balancer: &mut Balancer, until: u64) -> Vec<String> {
    run(balancer, until);
    let servers = balancer.upstreams()[0].live().into_iter().flat_map(Servers::serving);
    servers.map(|server| format!("{}x{}", octet(server.addr.ip()), server.weight.get())).collect()
}

/// Carries out whatever is asked for until then.
fn run(balancer: &mut Balancer, until: u64) {
    let mut rounds = 0;
    loop {
        let now = balancer.poll_timeout().map_or(at(until), |due| due.min(at(until)));
        balancer.handle_timeout(now);
        while let Some(output) = balancer.poll_output() {
            if matches!(output, Output::Apply { .. }) {
                balancer.handle_applied(now, LIVE, &[]);
            }
        }
        rounds += 1;
        assert!(rounds < 1000, "it does not come to rest");
        if now == at(until) && balancer.poll_timeout().is_none_or(|due| due > at(until)) {
            break;
        }
    }
}

fn slow() -> Options {
    Options { slow_start: SlowStart { over: Duration::from_secs(40), steps: 4, aggression: 1.0 }, ..options("web") }
}

#[test]
fn a_new_server_gets_more_from_step_to_step() {
    let mut balancer = with(slow());
    balancer.handle_members(at(0), alive(&[1, 2]));
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1", "2x1"], "all are new, so none starts slowly");
    run(&mut balancer, 100_000);
    balancer.handle_members(at(100_000), alive(&[1, 2, 3]));
    for (millis, wanted) in [
        (101_000, ["1x10", "2x10", "3x1"]),
        (109_900, ["1x10", "2x10", "3x1"]),
        (111_500, ["1x4", "2x4", "3x1"]),
        (121_500, ["1x2", "2x2", "3x1"]),
        (131_500, ["1x4", "2x4", "3x3"]),
        (141_500, ["1x1", "2x1", "3x1"]),
    ] {
        assert_eq!(serving(&mut balancer, millis), wanted, "{millis}");
    }
}

#[test]
fn a_slow_start_begins_with_the_first_success_and_is_not_begun_again_by_an_illness() {
    let mut balancer = with(Options { probed: true, ..slow() });
    balancer.handle_members(at(0), alive(&[1, 2, 3]));
    balancer.handle_first_view(at(0));
    balancer.handle_probe(at(0), &web(), &name(1), addr(1), Probe::Up);
    balancer.handle_probe(at(0), &web(), &name(2), addr(2), Probe::Up);
    assert_eq!(serving(&mut balancer, 50_000), ["1x1", "2x1"]);
    run(&mut balancer, 60_000);
    balancer.handle_probe(at(60_000), &web(), &name(3), addr(3), Probe::Up);
    assert_eq!(serving(&mut balancer, 61_000), ["1x10", "2x10", "3x1"], "the first success, not the join");
    run(&mut balancer, 101_000);
    balancer.handle_probe(at(101_000), &web(), &name(3), addr(3), Probe::Down);
    assert_eq!(serving(&mut balancer, 102_000), ["1x1", "2x1"]);
    run(&mut balancer, 103_000);
    balancer.handle_probe(at(103_000), &web(), &name(3), addr(3), Probe::Up);
    assert_eq!(serving(&mut balancer, 105_000), ["1x1", "2x1", "3x1"]);
    // It dies, and comes back: another process, with nothing in its caches.
    run(&mut balancer, 300_000);
    balancer.handle_probe(at(300_000), &web(), &name(3), addr(3), Probe::Down);
    run(&mut balancer, 300_000);
    balancer.handle_members(at(300_000), members(&[(1, Gossip::Alive), (2, Gossip::Alive), (3, Gossip::Failed)]));
    assert_eq!(serving(&mut balancer, 302_000), ["1x1", "2x1"]);
    run(&mut balancer, 310_000);
    balancer.handle_probe(at(310_000), &web(), &name(3), addr(3), Probe::Up);
    run(&mut balancer, 310_000);
    balancer.handle_members(at(310_000), alive(&[1, 2, 3]));
    assert_eq!(serving(&mut balancer, 312_000), ["1x10", "2x10", "3x1"]);
}

#[test]
fn a_slow_start_beside_too_many_others_is_over_for_good() {
    let mut balancer = with(slow());
    balancer.handle_members(at(0), alive(&[1]));
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1"]);
    run(&mut balancer, 100_000);
    balancer.handle_members(at(100_000), alive(&[1, 2]));
    assert_eq!(serving(&mut balancer, 101_000), ["1x10", "2x1"], "half is not more than half");
    run(&mut balancer, 105_000);
    balancer.handle_members(at(105_000), alive(&[1, 2, 3]));
    for millis in [106_000, 112_000, 130_000, 160_000] {
        assert_eq!(serving(&mut balancer, millis), ["1x1", "2x1", "3x1"], "{millis}");
    }
}

#[test]
fn a_restart_of_this_agent_starts_nobody_slowly() {
    let mut first = with(slow());
    first.handle_members(at(0), alive(&[1, 2]));
    first.handle_first_view(at(0));
    assert_eq!(serving(&mut first, 1000), ["1x1", "2x1"]);
    let live = first.desired();
    let mut balancer = Balancer::new(vec![slow()], SETTLE, 7, Some(live), Holds::default(), at(0));
    balancer.handle_members(at(0), alive(&[1, 2]));
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1", "2x1"]);
}

#[test]
fn after_a_restart_one_that_is_missing_keeps_its_share() {
    let weighted = |number, weight| member(number, Gossip::Alive, &[("role", "web"), ("weight", weight)]);
    let all = || vec![weighted(1, "10"), weighted(2, "20"), weighted(3, "20")];
    let mut first = with(options("web"));
    first.handle_members(at(0), all());
    first.handle_first_view(at(0));
    assert_eq!(serving(&mut first, 1000), ["1x1", "2x2", "3x2"]);
    let live = first.desired();
    let mut balancer = Balancer::new(vec![options("web")], SETTLE, 7, Some(live), Holds::default(), at(0));
    balancer.handle_members(at(0), all()[1..].to_vec());
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1", "2x2", "3x2"]);
}

/// The probe of member 2 goes down and up so often, a second apart.
fn flap(balancer: &mut Balancer, from: u64, times: u64) {
    for time in 0..times {
        let now = from + time * 1000;
        let probe = if time % 2 == 0 { Probe::Down } else { Probe::Up };
        run(balancer, now);
        balancer.handle_probe(at(now), &web(), &name(2), addr(2), probe);
    }
}

fn probed(policy: Policy) -> Balancer {
    let mut balancer = with(Options { probed: true, policy, ..options("web") });
    balancer.handle_members(at(0), alive(&[1, 2, 3]));
    for number in 1..=3 {
        balancer.handle_probe(at(0), &web(), &name(number), addr(number), Probe::Up);
    }
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1", "2x1", "3x1"]);
    balancer
}

#[test]
fn who_changes_too_often_is_held_down_for_a_minute_and_comes_back_by_itself() {
    let mut balancer = probed(Policy::default());
    flap(&mut balancer, 100_000, 4);
    assert_eq!(serving(&mut balancer, 110_000), ["1x1", "3x1"], "up, and held down");
    assert_eq!(balancer.upstreams()[0].held_down_until(at(110_000), &name(2)), Some(at(162_000)));
    assert_eq!(serving(&mut balancer, 161_900), ["1x1", "3x1"]);
    assert_eq!(serving(&mut balancer, 163_300), ["1x1", "2x1", "3x1"]);
    flap(&mut balancer, 170_000, 4);
    assert_eq!(serving(&mut balancer, 291_900), ["1x1", "3x1"], "for twice as long");
    assert_eq!(serving(&mut balancer, 293_300), ["1x1", "2x1", "3x1"]);
}

#[test]
fn a_hold_ends_with_the_probe_that_led_to_it() {
    let mut balancer = probed(Policy::default());
    flap(&mut balancer, 100_000, 4);
    assert_eq!(serving(&mut balancer, 110_000), ["1x1", "3x1"], "up, and held down");
    balancer.handle_configuration(at(110_000), vec![Options { probed: true, ..options("web") }], SETTLE);
    assert_eq!(serving(&mut balancer, 112_000), ["1x1", "3x1"], "it is asked as before");
    balancer.handle_configuration(at(112_000), vec![options("web")], SETTLE);
    assert_eq!(serving(&mut balancer, 114_000), ["1x1", "2x1", "3x1"]);
    assert_eq!(balancer.upstreams()[0].held_down_until(at(114_000), &name(2)), None);
}

#[test]
fn a_hold_for_what_a_member_says_itself_outlives_the_probe() {
    let mut balancer = probed(Policy::default());
    for (index, check) in [Check::Critical, Check::Passing, Check::Critical, Check::Passing].into_iter().enumerate() {
        let now = 100_000 + 1000 * index as u64;
        run(&mut balancer, now);
        balancer.handle_check(at(now), &name(2), check);
    }
    assert_eq!(serving(&mut balancer, 110_000), ["1x1", "3x1"], "well, and held down");
    balancer.handle_configuration(at(110_000), vec![options("web")], SETTLE);
    assert_eq!(serving(&mut balancer, 114_000), ["1x1", "3x1"]);
}

#[test]
fn damping_gives_way_to_the_floor() {
    let policy = Policy { min_healthy: MinHealthy::Count(2), ..Policy::default() };
    let mut balancer = probed(policy);
    flap(&mut balancer, 100_000, 4);
    assert_eq!(serving(&mut balancer, 110_000), ["1x1", "3x1"]);
    run(&mut balancer, 110_000);
    balancer.handle_probe(at(110_000), &web(), &name(3), addr(3), Probe::Down);
    assert_eq!(serving(&mut balancer, 112_000), ["1x1", "2x1"], "who flaps, before anybody who is ill");
    balancer.handle_probe(at(112_000), &web(), &name(1), addr(1), Probe::Down);
    assert_eq!(serving(&mut balancer, 114_000), ["1x1", "2x1"], "who was in and is ill, and who flaps");
}

#[test]
fn while_nobody_is_heard_time_alone_takes_nobody_out() {
    let policy = Policy { min_healthy: MinHealthy::Count(2), ..Policy::default() };
    for (isolation, wanted) in [
        (None, ["1x1", "3x1"].as_slice()),
        (Some((115_000, 135_000)), &["1x1", "2x1", "3x1"]),
        // Enough have been well for long enough only after that.
        (Some((115_000, 125_000)), &["1x1", "2x1", "3x1"]),
        (Some((115_000, 121_000)), &["1x1", "3x1"]),
    ] {
        let mut balancer = with(Options { policy: policy.clone(), ..options("web") });
        balancer.handle_members(at(0), alive(&[1, 2, 3]));
        balancer.handle_first_view(at(0));
        let says = |balancer: &mut Balancer, millis: u64, number: u8, check: Check| {
            run(balancer, millis);
            balancer.handle_check(at(millis), &name(number), check);
        };
        // It changes too often, and is in because both others are ill, and then well again.
        for (index, check) in [Check::Critical, Check::Passing, Check::Critical, Check::Passing].into_iter().enumerate()
        {
            says(&mut balancer, 100_000 + 1000 * index as u64, 2, check);
        }
        for (millis, check) in [(109_000, Check::Critical), (111_000, Check::Passing)] {
            [1, 3].into_iter().for_each(|number| says(&mut balancer, millis, number, check));
        }
        assert_eq!(serving(&mut balancer, 114_000), ["1x1", "2x1", "3x1"]);
        for (millis, is_isolated) in isolation.into_iter().flat_map(|(from, to)| [(from, true), (to, false)]) {
            if millis < 134_000 {
                run(&mut balancer, millis);
                balancer.handle_isolation(at(millis), is_isolated);
            }
        }
        assert_eq!(serving(&mut balancer, 134_000), wanted, "{isolation:?}");
    }
}

#[test]
fn an_application_that_is_restarted_behind_a_drain_does_not_flap() {
    let mut balancer = probed(Policy::default());
    for round in 0..4 {
        let now = 100_000 + round * 10_000;
        balancer.handle_drain(at(now), &name(2), Drain::Promised);
        assert_eq!(serving(&mut balancer, now + 2000), ["1x1", "3x1"]);
        balancer.handle_probe(at(now + 2000), &web(), &name(2), addr(2), Probe::Down);
        run(&mut balancer, now + 4000);
        balancer.handle_probe(at(now + 4000), &web(), &name(2), addr(2), Probe::Wait);
        balancer.handle_drain(at(now + 4000), &name(2), Drain::No);
        run(&mut balancer, now + 5000);
        balancer.handle_probe(at(now + 5000), &web(), &name(2), addr(2), Probe::Up);
        assert_eq!(serving(&mut balancer, now + 9000), ["1x1", "2x1", "3x1"], "{round}");
    }
}

#[test]
fn changes_of_our_own_output_are_no_flaps() {
    let mut balancer = probed(Policy { min_healthy: MinHealthy::Percent(100), ..Policy::default() });
    // In and out of mode floor again and again, because of member 3 alone.
    for round in 0..6 {
        let now = 100_000 + round * 15_000;
        run(&mut balancer, now);
        balancer.handle_check(at(now), &name(3), Check::Critical);
        run(&mut balancer, now + 2000);
        balancer.handle_check(at(now + 2000), &name(3), Check::Passing);
    }
    for number in [1, 2] {
        assert_eq!(balancer.upstreams()[0].held_down_until(at(190_000), &name(number)), None);
    }
}

#[test]
fn the_second_witness_is_no_flap() {
    let mut balancer = probed(Policy { flap: Flap { changes: 1, ..Flap::default() }, ..Policy::default() });
    for round in 0..5 {
        let now = 100_000 + round * 1000;
        run(&mut balancer, now);
        balancer.handle_second_witness(at(now), &name(2), round % 2 == 0);
    }
    assert_eq!(balancer.upstreams()[0].held_down_until(at(105_000), &name(2)), None);
}

#[test]
fn what_speaks_against_all_at_once_is_no_flap() {
    let mut balancer = probed(Policy { flap: Flap { changes: 2, ..Flap::default() }, ..Policy::default() });
    let gossip = |gossip| members(&[(1, gossip), (2, gossip), (3, gossip)]);
    for (now, seen, probe) in [
        (100_000, Gossip::Suspect, Probe::Down),
        (110_000, Gossip::Alive, Probe::Up),
        (120_000, Gossip::Failed, Probe::Down),
        (130_000, Gossip::Alive, Probe::Up),
    ] {
        run(&mut balancer, now);
        balancer.handle_members(at(now), gossip(seen));
        for number in 1..=3 {
            balancer.handle_probe(at(now), &web(), &name(number), addr(number), probe);
        }
    }
    assert_eq!(serving(&mut balancer, 140_000), ["1x1", "2x1", "3x1"]);
    for number in 1..=3 {
        assert_eq!(balancer.upstreams()[0].held_down_until(at(140_000), &name(number)), None);
    }
}

#[test]
fn without_warming_up_a_new_server_is_in_before_its_first_success() {
    let policy = Policy { no_warm_up: true, ..Policy::default() };
    let mut balancer = with(Options { probed: true, policy, ..options("web") });
    balancer.handle_members(at(0), alive(&[1]));
    balancer.handle_first_view(at(0));
    assert_eq!(serving(&mut balancer, 1000), ["1x1"]);
}

#[test]
fn a_lost_member_that_gossip_lets_go_of_is_gone_although_its_service_answers() {
    let mut balancer = probed(Policy::default());
    let both = [(1, Gossip::Alive), (2, Gossip::Alive)];
    let lost = [(1, Gossip::Alive), (2, Gossip::Failed)];
    for (now, seen, wanted) in [
        (100_000, &both[..], &["1x1", "2x1"][..]),
        (110_000, &lost, &["1x1", "2x1"]),
        (120_000, &lost[..1], &["1x1"]),
        (130_000, &both, &["1x1", "2x1"]),
    ] {
        balancer.handle_members(at(now), members(seen));
        for number in [1, 2] {
            balancer.handle_probe(at(now), &web(), &name(number), addr(number), Probe::Up);
        }
        assert_eq!(serving(&mut balancer, now + 1000), wanted, "{now}");
    }
}
