mod withheld;

use nix::errno::Errno;

use super::*;
use crate::health::second_witness::Word;

const SECOND: Duration = Duration::from_secs(1);
const PLAN: Plan = Plan { interval: Duration::from_millis(500), rise: 2, fall: 2, vouches: true, port: None };
/// Long after the origin.
const T0: Instant = Instant::from_nanos(1_000_000_000_000);

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn member(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, host], 80))
}

fn well() -> Result<(), Failure> {
    Ok(())
}

fn refused() -> Result<(), Failure> {
    Err(Failure::Connect(Errno::ECONNREFUSED))
}

/// A prober with its servers, and a network that answers at once.
struct World {
    prober: Prober,
    now: Instant,
    servers: Vec<(UpstreamName, NodeName, SocketAddr)>,
    doubts: BTreeMap<NodeName, Doubt>,
    /// Somebody else is heard all the time.
    hears: bool,
}

impl World {
    fn new(plans: &[(&str, Plan)], servers: &[(&str, &str, u8)]) -> Self {
        let mut prober = Prober::default();
        prober.handle_configuration(T0, Self::plans(plans), BTreeSet::new(), &BTreeSet::new());
        let servers = servers.iter().map(|(up, name, host)| (upstream(up), member(name), addr(*host))).collect();
        let mut world = Self { prober, now: T0, servers, doubts: BTreeMap::new(), hears: true };
        world.targets();
        world
    }

    fn plans(plans: &[(&str, Plan)]) -> BTreeMap<UpstreamName, Plan> {
        plans.iter().map(|(name, plan)| (upstream(name), *plan)).collect()
    }

    fn targets(&mut self) {
        let servers = self.servers.iter().map(|(upstream, member, addr)| (upstream, member, *addr));
        self.prober.handle_doubts(self.now, self.doubts.clone());
        self.prober.handle_targets(self.now, servers);
    }

    fn doubt(&mut self, name: &str, doubt: Option<Doubt>) {
        match doubt {
            Some(doubt) => drop(self.doubts.insert(member(name), doubt)),
            None => drop(self.doubts.remove(&member(name))),
        }
        self.targets();
    }

    fn starts(&mut self) -> Vec<Start> {
        std::iter::from_fn(|| self.prober.poll_start(self.now)).collect()
    }

    /// Goes on until the next probe is due, and begins what is.
    fn next(&mut self) -> Vec<Start> {
        self.now = self.now.max(self.prober.poll_timeout().expect("a probe is due"));
        self.starts()
    }

    fn end(&mut self, start: &Start, result: Result<(), Failure>) {
        let took = Duration::from_millis(1);
        self.prober.handle_outcome(self.now, start.target, Outcome { took, result });
        let heard = self.hears.then_some(self.now);
        self.prober.release(self.now, |_| Word::Silent, |_| heard);
    }

    /// The next probe alone, with its result.
    fn probe(&mut self, result: Result<(), Failure>) {
        let starts = self.next();
        assert_eq!(starts.len(), 1, "{starts:?}");
        self.end(&starts[0], result);
    }

    /// What they say now of the only server.
    fn says(&self) -> Probe {
        let (upstream, member, _) = &self.servers[0];
        self.prober.standing(upstream, member).map_or(Probe::None, |standing| standing.probe)
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.prober.poll_event()).collect()
    }

    fn heard(&mut self) -> Vec<(String, Probe)> {
        let heard = |event| match event {
            Event::Says { member, probe, .. } => Some((member.as_str().to_owned(), probe)),
            Event::Failed { .. } | Event::Blind { .. } => None,
        };
        self.events().into_iter().filter_map(heard).collect()
    }
}

#[test]
fn rise_and_fall_decide_but_the_first_success_counts_at_once() {
    let cases: [(&str, &[bool], &[Probe]); 7] = [
        ("first success", &[true], &[Probe::Up]),
        ("first failures", &[false, false], &[Probe::Wait, Probe::Down]),
        ("one failure is none", &[true, false, true, false], &[Probe::Up, Probe::Up, Probe::Up, Probe::Up]),
        ("two are", &[true, false, false], &[Probe::Up, Probe::Up, Probe::Down]),
        ("rise", &[false, false, true, true], &[Probe::Wait, Probe::Down, Probe::Down, Probe::Up]),
        (
            "not in a row",
            &[false, false, true, false, true, true],
            &[Probe::Wait, Probe::Down, Probe::Down, Probe::Down, Probe::Down, Probe::Up],
        ),
        ("late first success", &[false, true], &[Probe::Wait, Probe::Up]),
    ];
    for (case, results, says) in cases {
        let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
        for (index, (result, says)) in results.iter().zip(says).enumerate() {
            world.probe(if *result { well() } else { refused() });
            assert_eq!(world.says(), *says, "{case}, probe {index}");
        }
    }
}

#[test]
fn an_open_port_is_told_from_an_answer() {
    let mut world = World::new(&[("web", Plan { vouches: false, ..PLAN })], &[("web", "web1", 12)]);
    world.probe(well());
    assert_eq!(world.heard(), [("web1".to_owned(), Probe::Wait), ("web1".to_owned(), Probe::Open)]);
}

#[test]
fn a_probe_that_this_host_could_not_make_says_nothing() {
    let ours = || Err(Failure::Own(Errno::EMFILE));
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
    for _ in 0..5 {
        world.probe(ours());
    }
    assert_eq!(world.says(), Probe::Wait);
    world.probe(well());
    world.probe(refused());
    world.probe(ours());
    world.probe(ours());
    assert_eq!(world.says(), Probe::Up);
    // Nor does it break a row.
    world.probe(refused());
    assert_eq!(world.says(), Probe::Down);
}

#[test]
fn each_failure_is_told_with_its_place_in_the_row() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
    let row = |world: &mut World| {
        let count = |event| match event {
            Event::Failed { in_a_row, .. } => Some(in_a_row),
            Event::Says { .. } | Event::Blind { .. } => None,
        };
        world.events().into_iter().filter_map(count).collect::<Vec<_>>()
    };
    for result in [well(), refused(), well(), refused(), refused(), refused()] {
        world.probe(result);
    }
    assert_eq!(row(&mut world), [1, 1, 2, 3]);
}

#[test]
fn the_first_round_is_over_once_every_server_has_answered_or_failed_to() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12), ("web", "web2", 13), ("bare", "web3", 14)]);
    world.probe(well());
    assert!(world.prober.has_unprobed());
    let last = world.next();
    assert!(world.prober.has_unprobed(), "one is still under way");
    world.end(&last[0], refused());
    world.doubt("web3", Some(Doubt::Suspected));
    assert!(!world.prober.has_unprobed(), "nobody waits for a bare one");
}

#[test]
fn a_probe_is_due_each_interval_however_long_it_takes() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
    let mut begun = Vec::new();
    for took in [0, 100, 499, 500, 500, 20] {
        let starts = world.next();
        begun.push(world.now.since(T0));
        assert_eq!(world.starts(), [], "never twice at a time");
        world.now += Duration::from_millis(took);
        assert_eq!(world.starts(), [], "it is still under way");
        world.end(&starts[0], well());
    }
    assert_eq!(begun, [0, 500, 1000, 1500, 2000, 2500].map(Duration::from_millis));
}

#[test]
fn servers_that_are_new_together_are_not_asked_together() {
    for (interval, count) in [(100, 10), (500, 100), (1000, 3), (10_000, 50), (3_600_000, 20)] {
        let interval = Duration::from_millis(interval);
        let names: Vec<String> = (0..count).map(|index| format!("web{index}")).collect();
        let servers: Vec<_> = (0..count).map(|index| ("web", names[usize::from(index)].as_str(), index)).collect();
        let mut world = World::new(&[("web", Plan { interval, ..PLAN })], &servers);
        let mut begun: BTreeMap<TargetId, Vec<Duration>> = BTreeMap::new();
        while begun.len() < usize::from(count) || begun.values().any(|times| times.len() < 3) {
            for start in world.next() {
                begun.entry(start.target).or_default().push(world.now.since(T0));
                world.end(&start, well());
            }
        }
        let within = interval.min(SECOND) + TICK;
        assert!(begun.values().all(|times| times[0] < within), "the first round is over soon: {begun:?}");
        for round in [0, 2] {
            let in_round = |times: &Vec<Duration>| times[round].as_nanos() % interval.as_nanos();
            let mut times: Vec<u128> = begun.values().map(in_round).collect();
            times.sort();
            let expected = if round == 0 { interval.min(SECOND) } else { interval } / u32::from(count);
            let least = expected.saturating_sub(TICK * 2);
            let apart = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
            assert!(apart >= least.as_nanos(), "{interval:?}, {count} servers, round {round}: {apart:?} apart");
        }
    }
}

#[test]
fn a_server_that_joins_is_asked_at_once() {
    let mut world = World::new(&[("web", Plan { interval: SECOND * 60, ..PLAN })], &[("web", "web1", 12)]);
    world.probe(well());
    world.now += SECOND;
    world.servers.push((upstream("web"), member("web2"), addr(13)));
    world.targets();
    let starts = world.starts();
    assert_eq!(starts.iter().map(|start| start.addr).collect::<Vec<_>>(), [addr(13)]);
}

#[test]
fn what_comes_late_from_another_address_is_ignored() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
    world.probe(well());
    let late = world.next();
    world.servers[0].2 = addr(99);
    world.targets();
    assert_eq!(world.says(), Probe::Wait, "nothing is known of it there");
    world.end(&late[0], well());
    assert_eq!(world.says(), Probe::Wait);
    let starts = world.next();
    assert_eq!((starts.len(), starts[0].addr), (1, addr(99)));
}

#[test]
fn a_server_that_goes_is_forgotten() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12)]);
    world.probe(well());
    let under_way = world.next();
    let web1 = world.servers.remove(0);
    world.targets();
    world.end(&under_way[0], refused());
    assert_eq!(world.heard().last(), Some(&("web1".to_owned(), Probe::None)));
    assert_eq!(world.prober.targets.len(), 0);
    world.servers.push(web1);
    world.targets();
    assert_eq!(world.says(), Probe::Wait);
}

#[test]
fn another_port_of_the_configuration_is_asked() {
    let plan = Plan { port: Some(8081), ..PLAN };
    let mut world = World::new(&[("web", plan)], &[("web", "web1", 12)]);
    assert_eq!(world.next()[0].addr, SocketAddr::from(([10, 77, 0, 12], 8081)));
}

#[test]
fn suspicion_makes_the_probe_at_once() {
    let mut world = World::new(&[("web", Plan { interval: SECOND * 10, ..PLAN })], &[("web", "web1", 12)]);
    world.probe(well());
    world.now += SECOND;
    world.doubt("web1", Some(Doubt::Suspected));
    world.probe(refused());
    assert_eq!(world.now, T0 + SECOND);
    // However often it is said.
    world.doubt("web1", None);
    world.doubt("web1", Some(Doubt::Suspected));
    assert_eq!(world.starts(), []);
    world.probe(refused());
    assert_eq!((world.now, world.says()), (T0 + SECOND + MIN_GAP, Probe::Down));
    // Nor once for each time that the same is heard.
    world.targets();
    world.probe(well());
    assert!(world.now > T0 + SECOND * 5);
}

#[test]
fn an_upstream_without_a_probe_is_asked_only_in_doubt() {
    let mut world = World::new(&[], &[("web", "web1", 12)]);
    assert_eq!((world.prober.poll_timeout(), world.says()), (None, Probe::None));
    world.doubt("web1", Some(Doubt::Suspected));
    assert_eq!(world.says(), Probe::None, "nobody waits for its first result");
    let starts = world.next();
    assert!(starts[0].bare && world.now == T0);
    world.end(&starts[0], well());
    assert_eq!(world.says(), Probe::Open);
    world.doubt("web1", None);
    assert_eq!(world.heard(), [("web1".to_owned(), Probe::Open), ("web1".to_owned(), Probe::None)]);
    world.now += SECOND * 60;
    assert_eq!(world.starts(), []);
}

#[test]
fn what_a_bare_probe_found_outlives_the_suspicion_only_against_the_server() {
    for (result, kept) in [(refused(), Probe::Down), (well(), Probe::None)] {
        let mut world = World::new(&[], &[("web", "web1", 12)]);
        world.doubt("web1", Some(Doubt::Suspected));
        (0..3).for_each(|_| world.probe(result.clone()));
        world.doubt("web1", Some(Doubt::Failed));
        assert_eq!(world.says(), kept);
        world.now += SECOND * 60;
        assert_eq!(world.starts(), [], "whoever has failed is not asked for ever");
        world.doubt("web1", None);
        assert_eq!(world.says(), Probe::None);
    }
}

#[test]
fn without_a_probe_down_is_told_once_another_member_was_heard_and_it_was_asked_once_more() {
    let mut world = World::new(&[], &[("web", "web1", 12)]);
    world.hears = false;
    world.doubt("web1", Some(Doubt::Suspected));
    (0..20).for_each(|_| world.probe(refused()));
    assert_eq!((world.says(), world.prober.release_at()), (Probe::None, None), "nobody is heard: it may be us");
    world.hears = true;
    world.prober.release(world.now, |_| Word::Silent, |_| Some(world.now));
    assert_eq!(world.says(), Probe::None, "what failed before that says nothing");
    world.probe(refused());
    assert_eq!(world.says(), Probe::Down);
    world.probe(well());
    world.probe(well());
    assert_eq!(world.says(), Probe::Open, "that it is well is told at once");
    // Our own network was away, and is back.
    world.hears = false;
    (0..5).for_each(|_| world.probe(refused()));
    world.hears = true;
    world.prober.release(world.now, |_| Word::Silent, |_| Some(world.now));
    world.probe(well());
    assert_eq!(world.says(), Probe::Open);
    assert_eq!(world.heard(), [Probe::Down, Probe::Open].map(|probe| ("web1".to_owned(), probe)));
}

#[test]
fn without_a_probe_a_neighbour_is_given_a_second_when_our_own_network_is_back() {
    let mut world = World::new(&[], &[("web", "web1", 12)]);
    world.hears = false;
    world.doubt("web1", Some(Doubt::Suspected));
    (0..5).for_each(|_| world.probe(refused()));
    let back = world.now;
    let heard = back + Duration::from_millis(2);
    let release = |world: &mut World| world.prober.release(world.now, |_| Word::Silent, |_| Some(reached(heard, back)));
    let mut asked = 0;
    while world.now <= back + Duration::from_millis(1100) {
        release(&mut world);
        assert_eq!(world.says(), Probe::None, "its address may not be known again");
        world.probe(refused());
        asked += 1;
    }
    assert!(asked >= 2, "{asked}");
    release(&mut world);
    assert_eq!(world.says(), Probe::Down, "and now it is");
}

#[test]
fn the_word_that_ends_the_silence_is_told_from_those_before_it() {
    let at = |millis| T0 + Duration::from_millis(millis);
    for (heard, back, wanted) in [
        (5000, 9000, 5000),
        (8000, 9000, 8000),
        (8990, 9000, 10_100),
        (9000, 9000, 10_100),
        (10_000, 9000, 10_100),
        (11_000, 9000, 11_000),
    ] {
        assert_eq!(reached(at(heard), at(back)), at(wanted), "{heard}");
    }
}

#[test]
fn who_was_heard_before_the_first_failure_says_nothing_of_it() {
    let mut world = World::new(&[], &[("web", "web1", 12)]);
    world.doubt("web1", Some(Doubt::Suspected));
    let before = world.now;
    world.hears = false;
    world.now += Duration::from_millis(1);
    for _ in 0..5 {
        world.probe(refused());
        world.prober.release(world.now, |_| Word::Silent, |_| Some(before));
    }
    assert_eq!(world.says(), Probe::None);
}

#[test]
fn a_member_that_has_failed_without_suspicion_is_not_asked_without_a_probe() {
    let mut world = World::new(&[("api", PLAN)], &[("web", "web1", 12), ("api", "web1", 12)]);
    world.doubt("web1", Some(Doubt::Failed));
    let starts = world.next();
    assert_eq!((starts.len(), starts[0].bare), (1, false), "an upstream's own probe goes on");
}

#[test]
fn a_new_configuration_starts_over_only_where_something_else_is_asked() {
    let faster = Plan { interval: SECOND, rise: 1, fall: 1, ..PLAN };
    // what changes                                        still says
    let cases: [(Option<Plan>, &[&str], Probe); 6] = [
        (Some(PLAN), &[], Probe::Up),
        (Some(faster), &[], Probe::Up),
        (Some(PLAN), &["web"], Probe::Wait),
        (Some(Plan { port: Some(81), ..PLAN }), &[], Probe::Wait),
        (Some(Plan { vouches: false, ..PLAN }), &[], Probe::Wait),
        (None, &[], Probe::None),
    ];
    for (plan, anew, says) in cases {
        let mut world = World::new(&[("web", Plan { interval: SECOND * 60, ..PLAN })], &[("web", "web1", 12)]);
        world.probe(well());
        let plans: Vec<_> = plan.map(|plan| ("web", plan)).into_iter().collect();
        let anew = anew.iter().map(|name| upstream(name)).collect();
        world.prober.handle_configuration(world.now, World::plans(&plans), BTreeSet::new(), &anew);
        world.targets();
        assert_eq!(world.says(), says, "{plan:?}");
        if let Some(plan) = plan {
            let at = world.now;
            let starts = world.next();
            assert!(
                starts.len() == 1 && world.now.since(at) <= plan.interval,
                "not when the old one would have been due"
            );
        }
    }
}

#[test]
fn a_probe_that_is_configured_takes_over_from_a_bare_one() {
    let mut world = World::new(&[], &[("web", "web1", 12)]);
    world.doubt("web1", Some(Doubt::Suspected));
    world.probe(well());
    world.prober.handle_configuration(world.now, World::plans(&[("web", PLAN)]), BTreeSet::new(), &BTreeSet::new());
    world.targets();
    assert_eq!(world.says(), Probe::Wait);
    assert!(!world.next()[0].bare);
}

#[test]
fn that_it_is_not_us_is_shown_by_another_server_of_the_upstream_after_the_first_failure() {
    let servers = [("web", "web1", 12), ("web", "web2", 13), ("api", "web3", 14)];
    let mut world = World::new(&[("web", PLAN), ("api", PLAN)], &servers);
    let (web, web1) = (upstream("web"), member("web1"));
    let others_answer = |world: &World| world.prober.others_answer(&web, &web1);
    let round = |world: &mut World, web2: Option<Result<(), Failure>>| {
        let until = world.now + PLAN.interval + TICK;
        let mut late = Vec::new();
        while world.prober.poll_timeout().is_some_and(|at| at < until) {
            for start in world.next() {
                match (start.addr, &web2) {
                    (at, _) if at == addr(12) => world.end(&start, refused()),
                    (at, Some(result)) if at == addr(13) => world.end(&start, result.clone()),
                    (at, None) if at == addr(13) => late.push(start),
                    _ => world.end(&start, well()),
                }
            }
        }
        late
    };
    assert!(!others_answer(&world), "nobody has failed");
    let late = round(&mut world, None);
    assert!(!others_answer(&world), "another upstream's server says nothing");
    world.end(&late[0], refused());
    assert!(!others_answer(&world), "a failure is no answer");
    // web1's next, then web2's.
    round(&mut world, Some(well()));
    assert!(others_answer(&world));
    let standing = world.prober.standing(&web, &web1).unwrap();
    assert_eq!((standing.first_failure, standing.probe), (Some(T0), Probe::Down));
}

#[test]
fn an_answer_to_a_probe_from_before_the_first_failure_shows_nothing() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 12), ("web", "web2", 13)]);
    let (first, second) = (world.next(), world.next());
    // web2's probe is under way as web1's fails.
    world.now += Duration::from_millis(10);
    world.end(&first[0], refused());
    world.end(&second[0], well());
    assert!(!world.prober.others_answer(&upstream("web"), &member("web1")));
    assert!(!world.prober.others_answer(&upstream("web"), &member("web2")), "it has not failed");
}

#[test]
fn where_udp_may_be_spoken_a_doubt_asks_no_port_and_a_probe_that_is_configured_goes_on() {
    let mut world = World::new(&[], &[("dns", "ns1", 1), ("web", "web1", 2)]);
    world.prober.handle_configuration(T0, BTreeMap::new(), [upstream("dns")].into(), &BTreeSet::new());
    world.doubt("ns1", Some(Doubt::Suspected));
    assert_eq!(world.starts(), [], "a port that is shut to TCP says nothing against it");
    world.doubt("web1", Some(Doubt::Suspected));
    assert_eq!(world.next().len(), 1);
    // One that was being asked is not any more once the site is known to be another.
    world.prober.handle_configuration(
        world.now,
        BTreeMap::new(),
        [upstream("dns"), upstream("web")].into(),
        &BTreeSet::new(),
    );
    world.targets();
    assert!(world.prober.standing(&upstream("web"), &member("web1")).is_none());
    let plans = World::plans(&[("dns", PLAN)]);
    let both = [upstream("dns"), upstream("web")].into();
    world.prober.handle_configuration(world.now, plans, both, &BTreeSet::new());
    world.targets();
    assert_eq!(world.next().len(), 1, "the operator says that it is TCP");
}

#[test]
fn what_a_probe_says_is_of_the_address_where_the_server_is() {
    let said = |world: &mut World| {
        let said = |event| match event {
            Event::Says { addr, probe, .. } => Some((addr, probe)),
            Event::Failed { .. } | Event::Blind { .. } => None,
        };
        world.events().into_iter().filter_map(said).collect::<Vec<_>>()
    };
    let elsewhere = SocketAddr::from(([10, 77, 0, 1], 8080));
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 1)]);
    world.probe(well());
    assert_eq!(said(&mut world), [(addr(1), Probe::Wait), (addr(1), Probe::Up)]);
    world.servers[0].2 = elsewhere;
    world.targets();
    assert_eq!(said(&mut world), [(addr(1), Probe::None), (elsewhere, Probe::Wait)], "it starts over");
    // A port of its own for the probe vouches for the server wherever it is on that host.
    let mut world = World::new(&[("web", Plan { port: Some(9000), ..PLAN })], &[("web", "web1", 1)]);
    world.probe(well());
    assert_eq!(said(&mut world), [(addr(1), Probe::Wait), (addr(1), Probe::Up)]);
    world.servers[0].2 = elsewhere;
    world.targets();
    assert_eq!(said(&mut world), [(elsewhere, Probe::Up)]);
}

#[test]
fn who_starts_over_is_asked_at_once_and_what_was_under_way_does_not_count() {
    let mut world = World::new(&[("web", PLAN)], &[("web", "web1", 1), ("web", "web2", 2)]);
    world.prober.poll_start(T0).unwrap();
    let old = world.prober.poll_start(T0 + SECOND);
    world.prober.start_over(&member("web1"));
    world.prober.start_over(&member("web2"));
    world.now = T0 + SECOND;
    world.targets();
    if let Some(start) = old {
        world.prober.handle_outcome(world.now, start.target, Outcome { took: SECOND, result: well() });
    }
    for name in ["web1", "web2"] {
        assert_eq!(world.prober.standing(&upstream("web"), &member(name)).unwrap().probe, Probe::Wait);
    }
    let next = world.prober.poll_start(world.now).unwrap();
    world.prober.handle_outcome(world.now, next.target, Outcome { took: SECOND, result: well() });
    assert!(world.prober.has_unprobed(), "the other one");
}
