use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::upstream::balancer::Balancer;
use crate::upstream::desired::{Desired, Target};
use crate::upstream::settle::{self, Applied};
use crate::upstream::{
    Candidate, Check, Circumstances, Gossip, History, Hold, Holds, Pings, Probe, Rank, TagPattern, Weight, decide,
};

const SETTLE: settle::Options = settle::Options {
    quiet: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    min_reload_interval: Duration::from_secs(10),
    jitter: Duration::ZERO,
    retry: Duration::from_secs(60),
    max_retry: Duration::from_secs(600),
};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn name(number: u8) -> NodeName {
    NodeName::new(&format!("web{number}")).unwrap()
}

fn web() -> UpstreamName {
    UpstreamName::new("web").unwrap()
}

fn place(number: u8) -> Place {
    (web(), name(number))
}

fn options() -> Options {
    Options::new(web(), vec![("role".to_owned(), TagPattern::new("web").unwrap())])
}

fn member(number: u8, gossip: Gossip, probe: Probe) -> Candidate {
    let tags = [("role", "web")].into_iter().map(|(tag, value)| (tag.to_owned(), value.to_owned())).collect();
    let member = Candidate::new(name(number), IpAddr::from([10, 77, 0, number]), tags, gossip);
    let pings = if gossip == Gossip::Suspect { Pings::Unanswered } else { Pings::Answered };
    Candidate { probe, pings, ..member }
}

fn well(number: u8) -> Candidate {
    member(number, Gossip::Alive, Probe::Up)
}

fn dead(number: u8) -> Candidate {
    member(number, Gossip::Suspect, Probe::Down)
}

/// NGINX has web1 to web3.
fn live() -> Servers {
    let server = |number| Server {
        member: name(number),
        addr: (IpAddr::from([10, 77, 0, number]), 80).into(),
        weight: Weight::ONE,
        down: false,
        backup: false,
        max_conns: 0,
    };
    Servers::new((1..=3).map(server).collect()).unwrap()
}

fn balancer(options: Options, holds: Holds) -> Balancer {
    let mut desired = Desired::new(7);
    desired.upstreams.insert(web(), Target::Servers(live()));
    let mut balancer = Balancer::new(vec![options], SETTLE, 7, Some(desired), holds, at(0));
    balancer.handle_first_view(at(0));
    balancer
}

fn decided(balancer: &mut Balancer, cuts: &mut Cuts, millis: u64, members: Vec<Candidate>) {
    balancer.handle_members(at(millis), members.clone());
    for Candidate { name, addr, tags, pings, check, probe, drain, .. } in members {
        let port = tags.get("port").map_or(80, |port| port.parse().unwrap());
        balancer.handle_check(at(millis), &name, check);
        balancer.handle_probe(at(millis), &web(), &name, (addr, port).into(), probe);
        balancer.handle_drain(at(millis), &name, drain);
        balancer.handle_second_witness(at(millis), &name, pings == Pings::Unanswered);
    }
    balancer.handle_timeout(at(millis));
    while balancer.poll_output().is_some() {}
    cuts.handle_decisions(at(millis), balancer);
}

fn poll(cuts: &mut Cuts, millis: u64) -> Option<Place> {
    cuts.poll_cut(at(millis), |_, _| true).map(|(place, _)| place)
}

/// Who is cut at once, of web1 to web3 as they are.
fn cut(options: Options, holds: Holds, members: Vec<Candidate>) -> Vec<u8> {
    let (mut balancer, mut cuts) = (balancer(options, holds), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, members);
    let cut = std::iter::from_fn(|| poll(&mut cuts, 100));
    cut.map(|(_, member)| member.as_str().trim_start_matches("web").parse().unwrap()).collect()
}

fn cut_web2(web2: Candidate) -> bool {
    cut(options(), Holds::default(), vec![well(1), web2, well(3)]) == [2]
}

#[test]
fn only_two_witnesses_set_requests_free() {
    use Gossip::{Alive, Failed, Leaving, Left, Suspect};
    use Probe::{Down, Open, Up, Wait};
    for (gossip, probe, is_cut, why) in [
        (Suspect, Down, true, "hung, or its host is gone"),
        (Failed, Down, true, "dead"),
        (Alive, Down, false, "alive to gossip: overloaded, or its application hangs"),
        (Suspect, Open, false, "its port is open"),
        (Suspect, Wait, false, "not proven yet"),
        (Suspect, Probe::None, false, "nobody probes it"),
        (Failed, Probe::None, false, "one witness alone"),
        (Failed, Open, false, "a crashed agent, perhaps"),
        (Failed, Up, false, "a crashed agent beside a healthy service"),
        (Suspect, Up, false, "the service answers"),
        (Leaving, Down, false, "it leaves"),
        (Left, Down, false, "it left"),
        (Alive, Up, false, "it is well"),
    ] {
        assert_eq!(cut_web2(member(2, gossip, probe)), is_cut, "{gossip:?} {probe:?}: {why}");
    }
    for (gossip, pings, is_cut, why) in [
        (Suspect, Pings::Answered, false, "frames get lost: its agent answers this balancer"),
        (Alive, Pings::Unanswered, true, "hung, and gossip has not found out"),
    ] {
        let web2 = Candidate { pings, ..member(2, gossip, Down) };
        let probed = || Options { probed: true, ..options() };
        let cut = cut(probed(), Holds::default(), vec![well(1), web2, well(3)]);
        assert_eq!(cut == [2], is_cut, "{gossip:?} {pings:?}: {why}");
    }
    // In the last generation, and no member since the agent's restart.
    assert!(cut(options(), Holds::default(), vec![well(1), well(3)]).is_empty());
}

#[test]
fn where_nobody_is_seen_nobody_is_cut() {
    for (is_blind, wanted) in [(false, Some(place(2))), (true, None)] {
        let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
        balancer.handle_blindness(at(50), &web(), is_blind);
        decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
        assert_eq!(poll(&mut cuts, 100), wanted);
    }
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    balancer.handle_isolation(at(100), true);
    decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 100), None, "nor where nobody is heard");
}

#[test]
fn what_is_out_for_something_else_keeps_its_requests() {
    let rank = Rank::Last;
    assert!(!cut_web2(Candidate { drain: Drain::Asked(rank), ..dead(2) }), "it drains");
    assert!(!cut_web2(Candidate { drain: Drain::Promised, ..dead(2) }), "it has drained");
    let weightless = |mut member: Candidate| {
        let tags = [("role", "web"), ("weight", "0")].into_iter();
        member.tags = std::sync::Arc::new(tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).collect());
        member
    };
    assert!(!cut_web2(weightless(dead(2))), "it is out by weight");
    let ill = |check| Candidate { check, ..well(2) };
    assert!(!cut_web2(ill(Check::Critical)), "it is ill");
    let flapping = |member| {
        let members = [well(1), Candidate { flapping: true, ..member }, well(3)];
        let decision =
            decide(&members, &options(), &History::restored(Target::Servers(live())), &Circumstances::default());
        is_dead(&decision.members[1], &decision, &options())
    };
    assert!(!flapping(well(2)), "it flaps");
    assert!(flapping(dead(2)), "it flapped, and is dead now");
    let mut holds = Holds::default();
    holds.hold(web(), Hold { since: 0, reason: None });
    assert!(cut(options(), holds, vec![well(1), dead(2), well(3)]).is_empty(), "it is held");
    let mut wait = options();
    wait.policy.on_dead = OnDead::Wait;
    assert!(cut(wait, Holds::default(), vec![well(1), dead(2), well(3)]).is_empty(), "the policy is to wait");
}

#[test]
fn below_the_floor_the_dead_are_cut_and_with_nobody_left_none_is() {
    assert_eq!(cut(options(), Holds::default(), vec![well(1), dead(2), dead(3)]), [2, 3], "mode floor");
    assert!(cut(options(), Holds::default(), vec![dead(1), dead(2), dead(3)]).is_empty(), "mode last");
    let mut error = options();
    error.policy.on_empty = crate::upstream::OnEmpty::Error;
    assert!(cut(error, Holds::default(), vec![dead(1), dead(2), dead(3)]).is_empty(), "mode last, with an error");
}

#[test]
fn nobody_is_cut_while_it_may_be_our_own_network() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
    assert_eq!(cuts.poll_cut(at(100), |_, _| false), None, "no other server has answered since");
    assert_eq!(cuts.poll_timeout(), None, "a probe tells when");
    assert_eq!(cuts.dead(|_, _| false).count(), 0, "nor by the job");
    assert_eq!(cuts.poll_cut(at(160), |_, member| *member == name(2)), Some((place(2), 0)));
    cuts.handle_cut(at(170), &place(2), Passed::Cut(0));
    assert_eq!(cuts.poll_timeout(), Some(at(670)));
    assert_eq!(cuts.poll_cut(at(670), |_, _| false), None, "only while it is so");
    assert_eq!(cuts.poll_timeout(), None);
}

#[test]
fn a_dead_server_is_cut_at_once_and_again_until_nginx_does_without_it() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    let members = || vec![well(1), dead(2), well(3)];
    decided(&mut balancer, &mut cuts, 100, members());
    assert_eq!(poll(&mut cuts, 100), Some(place(2)));
    assert_eq!(poll(&mut cuts, 100), None, "it is under way");
    assert_eq!(cuts.poll_timeout(), None);
    assert_eq!(cuts.handle_cut(at(110), &place(2), Passed::Cut(0)), None, "nothing to tell");
    // The next one is due half a second later, or sooner where connections were found.
    for (millis, passed, told) in [
        (610, Passed::Failed, None),
        (1110, Passed::Over, None),
        (1610, Passed::Cut(41), Some(41)),
        (1910, Passed::Cut(2), None),
        (2210, Passed::Cut(1), None),
        (2510, Passed::Cut(0), None),
    ] {
        assert_eq!(cuts.poll_timeout(), Some(at(millis)));
        assert_eq!(poll(&mut cuts, millis - 1), None);
        assert_eq!(poll(&mut cuts, millis), Some(place(2)));
        assert_eq!(cuts.handle_cut(at(millis), &place(2), passed), told, "{millis}");
        // NGINX refuses the generation without it, or it waits for the budget.
        decided(&mut balancer, &mut cuts, millis, members());
    }
    assert_eq!(
        cuts.dead(|_, _| true).map(|(_, member, cut)| (member.clone(), cut)).collect::<Vec<_>>(),
        [(name(2), 44)]
    );
    // The job's own pass took five more, and one of ours two in that time.
    cuts.handle_cut(at(2600), &place(2), Passed::Cut(2));
    assert_eq!(cuts.handle_recorded(&place(2), 49), None, "told already");
    confirmed(&mut balancer, &mut cuts, 2700, members());
    assert_eq!(poll(&mut cuts, 2899), None, "one has just ended");
    assert_eq!(poll(&mut cuts, 2900), Some(place(2)), "older workers may have it");
    assert_eq!(cuts.handle_cut(at(2900), &place(2), Passed::Over), None);
    assert_eq!(cuts.poll_timeout(), None, "there are none, or they have finished");
    assert_eq!(poll(&mut cuts, 60_000), None);
}

/// A job that does without the dead is in place.
fn confirmed(balancer: &mut Balancer, cuts: &mut Cuts, millis: u64, members: Vec<Candidate>) {
    balancer.handle_applied(at(millis), Applied::Done { reloaded: true }, &[]);
    decided(balancer, cuts, millis, members);
}

/// The probe speaks before the second witness does: the job that takes the server out knows of nobody dead.
#[test]
fn older_workers_are_looked_at_at_once_when_the_job_began_before_the_death() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, vec![well(1), member(2, Gossip::Alive, Probe::Down), well(3)]);
    assert_eq!((cuts.dead(|_, _| true).count(), cuts.poll_timeout()), (0, None), "one witness alone");
    decided(&mut balancer, &mut cuts, 200, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 200), Some(place(2)));
    cuts.handle_cut(at(210), &place(2), Passed::Cut(0));
    confirmed(&mut balancer, &mut cuts, 520, vec![well(1), dead(2), well(3)]);
    assert_eq!((cuts.poll_timeout(), poll(&mut cuts, 520)), (Some(at(520)), Some(place(2))), "not only at 710");
}

/// What waits there would wait for the site's timeout, though NGINX sends it nothing new.
#[test]
fn one_that_was_out_before_it_died_is_cut_from_older_workers() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    let ill = || vec![well(1), Candidate { check: Check::Critical, ..well(2) }, well(3)];
    decided(&mut balancer, &mut cuts, 100, ill());
    confirmed(&mut balancer, &mut cuts, 300, ill());
    decided(&mut balancer, &mut cuts, 900, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 900), Some(place(2)));
}

#[test]
fn older_workers_are_looked_at_ever_more_seldom_for_a_minute_at_most() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    let members = || vec![well(1), dead(2), well(3)];
    decided(&mut balancer, &mut cuts, 0, members());
    let _begun = cuts.dead(|_, _| true).count();
    confirmed(&mut balancer, &mut cuts, 1_000, members());
    let (mut looks, mut now) = (Vec::new(), 1_000);
    let look = |cuts: &mut Cuts, now: u64, passed| {
        assert_eq!(poll(cuts, now), Some(place(2)), "{now}");
        cuts.handle_cut(at(now), &place(2), passed);
        cuts.poll_timeout().map(|at| at.since(Instant::ZERO).as_millis() as u64)
    };
    for passed in [Passed::Cut(0), Passed::Failed, Passed::Cut(0), Passed::Cut(3), Passed::Cut(0)] {
        looks.push(now);
        now = look(&mut cuts, now, passed).unwrap();
    }
    assert_eq!(looks, [1_000, 1_500, 2_500, 4_500, 4_800], "what was found is looked for again soon");
    assert_eq!(now, 5_300);
    let mut count = 0;
    while let Some(next) = look(&mut cuts, now, Passed::Cut(0)) {
        assert!(next - now <= 2_000);
        (now, count) = (next, count + 1);
    }
    assert!(now > 60_000 && now <= 63_000 && count < 32, "{now} {count}");
    // It is put back, as by an operator, and is dead.
    balancer.handle_rolled_back(
        at(70_000),
        Applied::Done { reloaded: true },
        Some({
            let mut desired = Desired::new(7);
            desired.upstreams.insert(web(), Target::Servers(live()));
            desired
        }),
        &Holds::default(),
    );
    decided(&mut balancer, &mut cuts, 70_000, members());
    assert_eq!(poll(&mut cuts, 70_000), Some(place(2)), "NGINX has it again");
}

#[test]
fn what_the_job_alone_cut_is_told_and_a_second_death_is_told_anew() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
    assert_eq!(cuts.dead(|_, _| true).count(), 1);
    assert_eq!(cuts.handle_recorded(&place(2), 7), Some(7));
    assert_eq!(cuts.dead(|_, _| true).map(|(_, _, cut)| cut).sum::<u32>(), 0, "it is recorded");
    decided(&mut balancer, &mut cuts, 200, vec![well(1), well(2), well(3)]);
    assert_eq!(cuts.dead(|_, _| true).count(), 0);
    assert_eq!(cuts.handle_cut(at(210), &place(2), Passed::Cut(1)), None, "it came back meanwhile");
    decided(&mut balancer, &mut cuts, 300, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 300), Some(place(2)));
    assert_eq!(cuts.handle_cut(at(310), &place(2), Passed::Cut(1)), Some(1));
}

/// What a pass ends while the job runs that carries the count before is in neither, and the next pass has it recorded.
#[test]
fn what_no_job_records_is_for_the_next_pass_to_record() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    let members = || vec![well(1), dead(2), well(3)];
    let due = |cuts: &mut Cuts, millis| cuts.poll_cut(at(millis), |_, _| true);
    decided(&mut balancer, &mut cuts, 100, members());
    assert_eq!(due(&mut cuts, 100), Some((place(2), 0)));
    cuts.handle_cut(at(110), &place(2), Passed::Cut(5));
    assert_eq!(cuts.dead(|_, _| true).map(|(_, _, cut)| cut).sum::<u32>(), 5, "a job begins");
    assert_eq!(due(&mut cuts, 410), Some((place(2), 0)), "those are the job's");
    cuts.handle_cut(at(420), &place(2), Passed::Cut(3));
    assert_eq!(due(&mut cuts, 720), Some((place(2), 3)));
    cuts.handle_cut(at(730), &place(2), Passed::Cut(0));
    // It ended two more, and recorded seven.
    cuts.handle_recorded(&place(2), 7);
    cuts.handle_job_ended();
    confirmed(&mut balancer, &mut cuts, 1_100, members());
    assert_eq!(due(&mut cuts, 1_100), Some((place(2), 3)));
    cuts.handle_cut(at(1_110), &place(2), Passed::Cut(1));
    cuts.handle_written(&place(2), 4);
    assert_eq!(due(&mut cuts, 1_410), Some((place(2), 0)));
}

#[test]
fn a_job_that_recorded_nothing_leaves_its_count_to_the_next() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 100), Some(place(2)));
    cuts.handle_cut(at(110), &place(2), Passed::Cut(5));
    let carried = |cuts: &mut Cuts| cuts.dead(|_, _| true).map(|(_, _, cut)| cut).sum::<u32>();
    assert_eq!(carried(&mut cuts), 5);
    cuts.handle_job_ended();
    assert_eq!(cuts.poll_cut(at(410), |_, _| true), Some((place(2), 5)));
    assert_eq!(carried(&mut cuts), 5);
}

/// Who is cut of `web`, beside another upstream with these options whose probe says that of the same servers.
fn cut_beside(other: Options, probe: Probe) -> Vec<u8> {
    let name = other.name.clone();
    let mut desired = Desired::new(7);
    for upstream in [web(), name.clone()] {
        desired.upstreams.insert(upstream, Target::Servers(live()));
    }
    let mut balancer = Balancer::new(vec![options(), other], SETTLE, 7, Some(desired), Holds::default(), at(0));
    balancer.handle_first_view(at(0));
    let members = vec![well(1), dead(2), well(3)];
    balancer.handle_members(at(100), members.clone());
    for member in members {
        balancer.handle_check(at(100), &member.name, member.check);
        balancer.handle_second_witness(at(100), &member.name, member.pings == Pings::Unanswered);
        balancer.handle_probe(at(100), &web(), &member.name, (member.addr, 80).into(), member.probe);
        let of_other = if member.probe == Probe::Down { probe } else { member.probe };
        balancer.handle_probe(at(100), &name, &member.name, (member.addr, 80).into(), of_other);
    }
    balancer.handle_timeout(at(100));
    let mut cuts = Cuts::default();
    cuts.handle_decisions(at(100), &balancer);
    let cut = std::iter::from_fn(|| poll(&mut cuts, 100)).filter(|(upstream, _)| *upstream == web());
    cut.map(|(_, member)| member.as_str().trim_start_matches("web").parse().unwrap()).collect()
}

#[test]
fn an_address_that_another_upstream_uses_is_cut_only_when_it_is_dead_to_both() {
    let api = |on_dead| {
        let mut api = options();
        api.name = UpstreamName::new("api").unwrap();
        api.policy.on_dead = on_dead;
        api
    };
    for (other, probe, cut, why) in [
        (api(OnDead::Retry), Probe::Down, vec![2], "dead to both"),
        (api(OnDead::Retry), Probe::Up, vec![], "it answers the other's probe"),
        (api(OnDead::Retry), Probe::None, vec![], "the other has no probe"),
        (api(OnDead::Wait), Probe::Down, vec![], "the other waits"),
    ] {
        assert_eq!(cut_beside(other, probe), cut, "{why}");
    }
}

#[test]
fn what_cannot_be_done_is_tried_once_for_each_death() {
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 100, vec![well(1), dead(2), well(3)]);
    assert_eq!(poll(&mut cuts, 100), Some(place(2)));
    assert_eq!(cuts.handle_cut(at(110), &place(2), Passed::Impossible), None);
    assert_eq!(cuts.poll_timeout(), None);
    decided(&mut balancer, &mut cuts, 1000, vec![well(1), dead(2), dead(3)]);
    assert_eq!(poll(&mut cuts, 1000), Some(place(3)), "another one");
    assert_eq!(poll(&mut cuts, 1000), None);
}

#[test]
fn what_speaks_against_a_new_address_cuts_nobody_from_the_old_one() {
    let moved = Candidate { tags: Arc::new(port(8080)), ..dead(2) };
    let (mut balancer, mut cuts) = (balancer(options(), Holds::default()), Cuts::default());
    decided(&mut balancer, &mut cuts, 0, vec![well(1), moved, well(3)]);
    assert_eq!(cuts.poll_cut(at(0), |_, _| true), None);
}

fn port(port: u16) -> crate::wire::serf::Tags {
    [("role".to_owned(), "web".to_owned()), ("port".to_owned(), port.to_string())].into()
}
