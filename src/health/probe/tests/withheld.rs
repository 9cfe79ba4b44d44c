//! Whether it is the servers or we.

use super::*;

/// As most sites have it.
const OFTEN: Plan = Plan { interval: Duration::from_millis(250), ..PLAN };
/// After the first round, in which all were well.
const START: u64 = 5000;

/// A network, and what is told of the servers behind it, in milliseconds.
struct Site {
    world: World,
    told: Vec<(u64, String, Probe)>,
    /// When it was told that nobody is seen, or that this is over.
    blind: Vec<(u64, bool)>,
}

impl Site {
    /// So many servers, all well.
    fn new(plan: Plan, count: u8) -> Self {
        let names: Vec<String> = (1..=count).map(|number| format!("web{number}")).collect();
        let servers: Vec<_> = names.iter().zip(1..).map(|(name, host)| ("web", name.as_str(), host)).collect();
        let mut site = Self { world: World::new(&[("web", plan)], &servers), told: Vec::new(), blind: Vec::new() };
        site.run(START, |_| well());
        site.told.clear();
        site
    }

    fn run(&mut self, until: u64, ask: impl Fn(u8) -> Result<(), Failure>) {
        self.run_with(until, ask, |_, _| Word::Silent);
    }

    /// Until then each server answers as `ask` says, and the second witness says that `word` then.
    fn run_with(&mut self, until: u64, ask: impl Fn(u8) -> Result<(), Failure>, word: impl Fn(u64, &str) -> Word) {
        let prober = &mut self.world.prober;
        let until = T0 + Duration::from_millis(until);
        loop {
            let next = prober.poll_timeout().into_iter().chain(prober.release_at()).min();
            let Some(now) = next.filter(|at| *at <= until) else { break };
            self.world.now = now;
            while let Some(start) = prober.poll_start(now) {
                let host = (1..=u8::MAX).find(|host| addr(*host) == start.addr).unwrap();
                let outcome = Outcome { took: Duration::ZERO, result: ask(host) };
                prober.handle_outcome(now, start.target, outcome);
            }
            let millis = u64::try_from(now.since(T0).as_millis()).unwrap();
            prober.release(now, |member| word(millis, member.as_str()), |_| None);
            while let Some(event) = prober.poll_event() {
                match event {
                    Event::Says { member, probe, .. } => self.told.push((millis, member.as_str().to_owned(), probe)),
                    Event::Blind { is_blind, .. } => self.blind.push((millis, is_blind)),
                    Event::Failed { .. } => {}
                }
            }
        }
    }

    /// When what was told of whom, and that it was the same of all.
    fn together(&mut self, probe: Probe) -> (u64, Vec<String>) {
        let told = std::mem::take(&mut self.told);
        let at = told.first().expect("something is told").0;
        assert!(told.iter().all(|(when, _, said)| (*when, *said) == (at, probe)), "{told:?}");
        (at, told.into_iter().map(|(_, member, _)| member).collect())
    }
}

#[test]
fn one_server_that_dies_waits_for_nobody_who_answers() {
    for number in 1..=3 {
        let mut site = Site::new(OFTEN, 3);
        site.run(START + 2000, |host| if host == number { refused() } else { well() });
        let (at, who) = site.together(Probe::Down);
        // The second failure, before which the others have answered.
        assert!(at <= START + 500 && who == [format!("web{number}")], "{at} {who:?}");
    }
    // One failure is enough: then the next answer of another one is.
    let mut site = Site::new(Plan { fall: 1, ..OFTEN }, 2);
    site.run(START + 2000, |host| if host == 1 { refused() } else { well() });
    let (at, who) = site.together(Probe::Down);
    assert!(at <= START + 250 + 125 + 10 && who == ["web1"], "{at} {who:?}");
}

#[test]
fn where_all_fail_nobody_is_down_before_the_others() {
    for fall in [1, 2, 3] {
        let mut site = Site::new(Plan { fall, ..OFTEN }, 4);
        site.run(START + 3000, |_| refused());
        let (at, who) = site.together(Probe::Down);
        assert!(at <= START + u64::from(fall) * 250 + 250, "fall {fall}: {at}");
        assert_eq!(who, ["web1", "web2", "web3", "web4"], "fall {fall}");
    }
    // A server that is down already says nothing for those that fail now.
    let mut site = Site::new(OFTEN, 3);
    site.run(START + 1000, |host| if host == 1 { refused() } else { well() });
    assert_eq!(site.together(Probe::Down).1, ["web1"]);
    site.run(START + 3000, |_| refused());
    assert_eq!(site.together(Probe::Down).1, ["web2", "web3"]);
}

#[test]
fn where_all_fail_the_second_witness_is_heard_about_each() {
    let mut site = Site::new(OFTEN, 2);
    let heard_at = START + 900;
    let word = |now, member: &str| if now < heard_at && member == "web2" { Word::Asked } else { Word::Silent };
    site.run_with(START + 2000, |_| refused(), word);
    let (at, who) = site.together(Probe::Down);
    assert!(at >= heard_at && at < heard_at + 250 && who == ["web1", "web2"], "{at} {who:?}");
    // Where another one answers nobody waits for that.
    let mut site = Site::new(OFTEN, 2);
    let ask = |host| if host == 1 { refused() } else { well() };
    site.run_with(START + 600, ask, |_, _| Word::Asked);
    assert_eq!(site.together(Probe::Down).1, ["web1"]);
}

#[test]
fn nobody_is_waited_for_for_ever() {
    for (ask, word) in [
        // This host cannot ask the other one.
        (Err(Failure::Own(Errno::EMFILE)), Word::Silent),
        (refused(), Word::Asked),
    ] {
        let mut site = Site::new(OFTEN, 2);
        let others = |host| if host == 1 { refused() } else { ask.clone() };
        site.run_with(START + 1200, others, |_, _| word);
        assert_eq!(site.told, [], "{ask:?}");
        site.run_with(START + 1800, others, |_, _| word);
        let (at, who) = site.together(Probe::Down);
        assert!(at <= START + 1500 && who[0] == "web1", "{at} {who:?}");
    }
}

#[test]
fn where_none_was_well_the_first_that_answers_is_not_the_only_one() {
    for rise in [1, 2, 3] {
        let mut site = Site::new(Plan { rise, ..OFTEN }, 4);
        site.run(START + 2000, |_| refused());
        assert_eq!(site.together(Probe::Down).1.len(), 4);
        site.run(START + 5000, |_| well());
        let (at, who) = site.together(Probe::Up);
        assert!(at <= START + 2000 + u64::from(rise) * 250 + 250, "rise {rise}: {at}");
        assert_eq!(who, ["web1", "web2", "web3", "web4"], "rise {rise}");
    }
    // Those that stay down are asked once more, and then told from those that do not. Where their agents answered, at once.
    for (word, within) in [(Word::Answers(T0), 750), (Word::Silent, 750 + 1100)] {
        let mut site = Site::new(OFTEN, 3);
        site.run_with(START + 2000, |_| refused(), |_, _| word);
        assert_eq!(site.together(Probe::Down).1.len(), 3);
        site.run_with(START + 5000, |host| if host == 1 { refused() } else { well() }, |_, _| word);
        let (at, who) = site.together(Probe::Up);
        assert!(at <= START + 2000 + within && who == ["web2", "web3"], "{at} {who:?}");
    }
}

#[test]
fn where_nobody_was_seen_one_that_is_reached_a_second_later_is_none_the_less_told_together() {
    for (plan, late) in [(OFTEN, 1), (OFTEN, 900), (Plan { rise: 2, ..OFTEN }, 900)] {
        let mut site = Site::new(plan, 3);
        let back = START + 2000;
        site.run(back, |_| refused());
        assert_eq!(site.together(Probe::Down).1.len(), 3);
        site.run(back + late, |host| if host == 2 { well() } else { refused() });
        site.run(back + 5000, |_| well());
        let (at, who) = site.together(Probe::Up);
        assert!(at <= back + 1900 && who == ["web1", "web2", "web3"], "{late}: {at} {who:?}");
    }
}

#[test]
fn nobody_is_seen_where_neither_servers_nor_agents_answer() {
    let mut site = Site::new(OFTEN, 3);
    site.run(START + 2000, |_| refused());
    let at = site.together(Probe::Down).0;
    assert_eq!(site.blind, [(at, true)]);
    // It is over with the first that answer.
    site.run(START + 4000, |host| if host == 1 { well() } else { refused() });
    let back = site.together(Probe::Up).0;
    assert_eq!(site.blind, [(at, true), (back, false)]);
    // Where one agent answers it is not us.
    let mut site = Site::new(OFTEN, 3);
    let word = |_, member: &str| if member == "web2" { Word::Answers(T0) } else { Word::Silent };
    site.run_with(START + 2000, |_| refused(), word);
    assert_eq!((site.together(Probe::Down).1.len(), site.blind), (3, vec![]));
    // Nor where another server does, or did just now.
    let mut site = Site::new(OFTEN, 2);
    site.run(START + 2000, |host| if host == 1 { refused() } else { well() });
    assert_eq!(site.blind, []);
}

#[test]
fn where_all_fail_an_agent_that_answers_may_show_that_the_network_is_back() {
    // As the last of them fails for the second time: those that answer what is asked after that are well.
    let back = START + 490;
    let word =
        |_, member: &str| if member == "web2" { Word::Answers(T0 + Duration::from_millis(back)) } else { Word::Silent };
    let mut site = Site::new(OFTEN, 3);
    site.run_with(back, |_| refused(), |_, _| Word::Asked);
    assert_eq!(site.told, []);
    site.run_with(START + 3000, |_| well(), word);
    assert_eq!((&site.told[..], &site.blind[..]), (&[][..], &[][..]));
    // Those that do not have failed: that is told together, after one more round.
    let mut site = Site::new(OFTEN, 3);
    site.run_with(back, |_| refused(), |_, _| Word::Asked);
    site.run_with(START + 3000, |_| refused(), word);
    let (at, who) = site.together(Probe::Down);
    assert!(at > back && at <= back + 260 && who.len() == 3 && site.blind.is_empty(), "{at} {who:?}");
}

#[test]
fn an_agent_that_answers_again_counts_once_all_servers_were_asked_after_that() {
    let mut site = Site::new(OFTEN, 3);
    site.run(START + 2000, |_| refused());
    site.blind.clear();
    let word = |_, member: &str| if member == "web2" { Word::Answers(T0) } else { Word::Silent };
    site.run_with(START + 4000, |_| refused(), word);
    let [(at, false)] = site.blind[..] else { panic!("{:?}", site.blind) };
    assert!(at > START + 2000 + 1100 && at <= START + 2000 + 1100 + 500, "{at}");
    // Their services come with it: then those are told first, and together.
    let mut site = Site::new(OFTEN, 3);
    site.run(START + 2000, |_| refused());
    (site.told, site.blind) = (Vec::new(), Vec::new());
    site.run_with(START + 4000, |_| well(), word);
    let (at, who) = site.together(Probe::Up);
    assert_eq!((who.len(), site.blind), (3, vec![(at, false)]));
}

/// Three servers of which nobody is seen, and of which something else is asked from then on.
fn asked_anew(plan: Plan) -> Site {
    let mut site = Site::new(OFTEN, 3);
    site.run(START + 2000, |_| refused());
    (site.told, site.blind) = (Vec::new(), Vec::new());
    let world = &mut site.world;
    let plans = World::plans(&[("web", plan)]);
    world.prober.handle_configuration(world.now, plans, BTreeSet::new(), &[upstream("web")].into());
    world.targets();
    let unknown = |name: &str| [(name.to_owned(), Probe::None), (name.to_owned(), Probe::Wait)];
    let mut heard = world.heard();
    heard.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(heard, ["web1", "web2", "web3"].map(unknown).concat());
    site
}

#[test]
fn where_nobody_is_seen_that_stays_so_whatever_is_asked() {
    let slow = Plan { interval: Duration::from_secs(5), ..PLAN };
    for plan in [OFTEN, Plan { fall: 1, ..OFTEN }, slow] {
        let mut site = asked_anew(plan);
        let changed = START + 2000;
        site.run(changed + 20_000, |_| refused());
        assert_eq!((site.together(Probe::Down).1.len(), &site.blind[..]), (3, &[][..]), "{plan:?}");
        // It is over with the first that answer, and those are told together.
        site.run(changed + 60_000, |host| if host == 1 { refused() } else { well() });
        let (back, who) = site.together(Probe::Up);
        assert_eq!(
            (who, &site.blind[..]),
            (vec!["web2".to_owned(), "web3".to_owned()], &[(back, false)][..]),
            "{plan:?}"
        );
    }
    // They may answer what is asked now.
    let mut site = asked_anew(OFTEN);
    site.run(START + 4000, |_| well());
    let (back, who) = site.together(Probe::Up);
    assert_eq!((who.len(), &site.blind[..]), (3, &[(back, false)][..]));
    // An agent shows that the network is back.
    let mut site = asked_anew(OFTEN);
    site.run_with(START + 4000, |_| refused(), |_, _| Word::Answers(T0));
    assert_eq!((site.together(Probe::Down).1.len(), site.blind.len()), (3, 1));
}

#[test]
fn whose_servers_are_not_asked_any_more_is_not_unseen() {
    let mut site = Site::new(OFTEN, 2);
    site.run(START + 2000, |_| refused());
    let world = &mut site.world;
    world.prober.handle_configuration(world.now, BTreeMap::new(), BTreeSet::new(), &BTreeSet::new());
    let over = Event::Blind { upstream: upstream("web"), is_blind: false };
    assert!(world.events().contains(&over));
    assert_eq!(world.prober.release_at(), None);
}

#[test]
fn who_answers_again_shows_that_the_network_is_back_and_no_more() {
    // Both have failed as often as it takes; nobody knows more, for the second witness has not spoken.
    let mut site = Site::new(OFTEN, 2);
    site.run_with(START + 600, |_| refused(), |_, _| Word::Asked);
    assert_eq!(site.told, []);
    // One of them goes on to fail when the other does not.
    site.run_with(START + 1100, |host| if host == 1 { refused() } else { well() }, |_, _| Word::Asked);
    assert_eq!(site.together(Probe::Down).1, ["web1"]);
}

#[test]
fn what_was_not_told_is_forgotten_when_it_is_over() {
    let mut site = Site::new(OFTEN, 2);
    site.run_with(START + 600, |_| refused(), |_, _| Word::Asked);
    site.run_with(START + 3000, |_| well(), |_, _| Word::Asked);
    assert_eq!((&site.told[..], site.world.prober.release_at()), (&[][..], None));
    // As that of a server that is no target any more.
    site.run_with(START + 3600, |_| refused(), |_, _| Word::Asked);
    assert!(site.world.prober.release_at().is_some());
    site.world.servers.clear();
    site.world.targets();
    assert_eq!(site.world.prober.release_at(), None);
}
