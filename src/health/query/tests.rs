use super::*;

const START: Instant = Instant::from_nanos(3_600_000_000_000);
const OPTIONS: Options =
    Options { interval: Some(Duration::from_secs(5)), timeout: Duration::from_secs(2), unresponsive_after: 3 };

fn at(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn selector(role: &str) -> Selector {
    [("role".to_owned(), format!("^(?:{role})$"))].into()
}

fn seen(text: &str, tag: Option<State>) -> Seen {
    Seen { name: name(text), tag, is_alive: true, selected_by: vec![0], serves: BTreeSet::new() }
}

/// A driver that forgets nothing.
struct World {
    queries: Queries,
    checks: BTreeMap<NodeName, Check>,
    asked: Vec<(QuestionId, Target)>,
    serving: Vec<(NodeName, Instant)>,
}

impl World {
    fn new(options: Options) -> Self {
        let queries = Queries::new(START, options, vec![selector("web")]);
        Self { queries, checks: BTreeMap::new(), asked: Vec::new(), serving: Vec::new() }
    }

    fn members(&mut self, millis: u64, members: &[Seen]) {
        self.queries.handle_members(at(millis), members.iter().cloned());
        self.turn(millis);
    }

    /// Goes on at that moment; returns what is asked.
    fn turn(&mut self, millis: u64) -> Vec<Target> {
        self.queries.handle_timeout(at(millis));
        let mut asked = Vec::new();
        while let Some(output) = self.queries.poll_output() {
            match output {
                Output::Ask { id, target, .. } => {
                    asked.push(target.clone());
                    self.asked.push((id, target));
                }
                Output::Check { member, check } => drop(self.checks.insert(member, check)),
                Output::Serving { member, asked } => self.serving.push((member, asked)),
            }
        }
        asked
    }

    fn last(&self) -> QuestionId {
        self.asked.last().expect("something was asked").0
    }

    fn answer(&mut self, millis: u64, from: &str, payload: &str) {
        let id = self.last();
        self.queries.handle_answer(at(millis), id, from, payload.as_bytes());
        self.turn(millis);
    }

    fn end(&mut self, millis: u64, end: End) {
        let id = self.last();
        self.queries.handle_end(at(millis), id, end);
        self.turn(millis);
    }

    fn check(&self, text: &str) -> Check {
        self.checks[&name(text)]
    }
}

/// What befalls a member, in this order.
#[derive(Clone, Copy)]
enum Fate {
    Tag(Option<State>),
    Answers(&'static str),
    Silent,
    NotAsked,
    Lost,
}

#[test]
fn the_newer_of_tag_and_answer_counts_and_silence_only_of_who_has_answered() {
    use Fate::{Answers, Lost, NotAsked, Silent, Tag};
    use State::{Critical, None as NoState, Passing, Wait};
    let table: &[(&[Fate], Check, &str)] = &[
        (&[Tag(Some(Passing))], Check::Wait, "a tag alone does not say that it would answer us"),
        (&[Tag(Some(NoState))], Check::Wait, "nor one that says it has no checks"),
        (&[Tag(None)], Check::None, "a plain Serf agent has no check until it answers"),
        (&[Tag(None), Silent, Silent, Silent, Silent], Check::None, "nor when it never does"),
        (&[Tag(None), Answers("critical disk full")], Check::Critical, "then it is what it says"),
        (&[Tag(None), Answers("warning"), Answers("passing")], Check::Passing, "last"),
        (&[Tag(None), Answers("what?")], Check::None, "what is no answer is none"),
        (&[Tag(Some(Passing)), Answers("warning drain=- disk: 91 %")], Check::Warning, "the answer is newer"),
        (&[Answers("passing drain=- site: 200"), Tag(Some(Critical))], Check::Critical, "the tag is newer"),
        (&[Tag(Some(Critical)), Answers("passing drain=-"), Tag(Some(Critical))], Check::Passing, "it is no new tag"),
        (&[Tag(Some(NoState)), Answers("passing drain=- no checks")], Check::None, "it has no checks, and is there"),
        (&[Tag(Some(Wait)), Answers("wait drain=- site:")], Check::Wait, "it waits for its first result"),
        (&[Tag(Some(Passing)), Answers("passing drain=-"), Tag(None)], Check::Passing, "its word outlives its tag"),
        (&[Tag(Some(Passing)), Answers("passing drain=-"), Silent, Silent], Check::Passing, "one less"),
        (&[Tag(Some(Passing)), Answers("passing drain=-"), Silent, Silent, Silent], Check::Silent, "enough"),
        (
            &[Tag(None), Answers("passing"), Silent, Silent, Answers("what?"), Silent],
            Check::Silent,
            "a script that says nothing useful is silent",
        ),
        (
            &[Tag(Some(Passing)), Answers("passing drain=-"), Silent, Silent, Answers("passing drain=-"), Silent],
            Check::Passing,
            "not in a row",
        ),
        (
            &[Answers("passing drain=-"), Silent, Silent, Silent, Tag(Some(Passing))],
            Check::Silent,
            "a tag is no answer",
        ),
        (
            &[Answers("passing drain=-"), Silent, Silent, Silent, Tag(Some(Critical))],
            Check::Critical,
            "who says so itself is no better for its silence",
        ),
        (
            &[Answers("passing drain=-"), Silent, Silent, NotAsked, NotAsked],
            Check::Passing,
            "who was not asked was not silent",
        ),
        (
            &[Answers("critical drain=-"), Lost, Silent, Silent, Silent],
            Check::Critical,
            "of one that gossip does not hold alive, silence is no news",
        ),
    ];
    for (fates, check, why) in table {
        let mut world = World::new(OPTIONS);
        let mut member = seen("web1", None);
        world.members(0, std::slice::from_ref(&member));
        let mut millis = 0;
        for fate in *fates {
            millis += 5000;
            match fate {
                Tag(tag) => member.tag = *tag,
                Lost => member.is_alive = false,
                Answers(_) | Silent | NotAsked => {}
            }
            world.members(millis, std::slice::from_ref(&member));
            match fate {
                Answers(payload) => world.answer(millis + 1, "web1", payload),
                Tag(_) | Silent | NotAsked | Lost => {}
            }
            match fate {
                Answers(payload) if Answer::parse(payload.as_bytes()).is_none() => world.end(millis + 2000, End::Over),
                Silent => world.end(millis + 2000, End::Over),
                Answers(_) | NotAsked | Tag(_) | Lost => world.end(millis + 2000, End::NotAsked),
            }
        }
        assert_eq!(world.check("web1"), *check, "{why}");
    }
}

#[test]
fn without_questions_the_tag_alone_counts() {
    let mut world = World::new(Options { interval: None, ..OPTIONS });
    for (tag, check) in [
        (None, Check::None),
        (Some(State::Passing), Check::Passing),
        (Some(State::Wait), Check::Wait),
        (Some(State::None), Check::None),
    ] {
        world.members(0, &[seen("web1", tag)]);
        assert_eq!(world.check("web1"), check);
    }
    assert_eq!((world.asked.len(), world.queries.poll_timeout()), (0, None));
}

#[test]
fn whoever_is_new_is_asked_at_once_by_name_and_all_new_ones_together() {
    let mut world = World::new(OPTIONS);
    world.members(100, &[seen("web1", Some(State::Passing))]);
    assert_eq!(world.asked.last().unwrap().1, Target::Named(vec![name("web1")]));
    let all = [seen("web1", Some(State::Passing)), seen("web2", None), seen("web3", None)];
    world.members(300, &all);
    assert_eq!(world.asked.len(), 1, "one such question a second");
    assert_eq!(world.queries.poll_timeout(), Some(at(1100)));
    assert_eq!(world.turn(1100), [Target::Named(vec![name("web2"), name("web3")])], "web1 is being asked still");
    assert_eq!(world.queries.poll_timeout(), Some(at(5000)), "then in turn");
    assert_eq!(world.turn(5000), [Target::Selected(selector("web"))]);
    assert_eq!(world.queries.poll_timeout(), Some(at(10_000)));
}

#[test]
fn one_that_should_answer_is_asked_again_soon_and_a_bounded_number_of_times() {
    for (tag, questions) in [(Some(State::Passing), 3), (None, 1)] {
        let mut world = World::new(Options { interval: Some(Duration::from_secs(3600)), ..OPTIONS });
        world.members(0, &[seen("web1", tag)]);
        for second in 1..20 {
            world.end(second * 1000, End::Over);
            world.turn(second * 1000 + 1);
        }
        assert_eq!(world.asked.len(), questions, "{tag:?}");
    }
}

#[test]
fn one_that_is_back_is_asked_at_once_again() {
    let mut world = World::new(OPTIONS);
    let mut member = seen("web1", Some(State::Passing));
    world.members(0, std::slice::from_ref(&member));
    world.answer(1, "web1", "passing drain=-");
    world.end(10, End::Over);
    member.is_alive = false;
    world.members(1500, std::slice::from_ref(&member));
    assert_eq!(world.queries.poll_timeout(), None, "nobody is there");
    member.is_alive = true;
    world.members(3000, std::slice::from_ref(&member));
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn many_new_ones_are_asked_by_the_selector() {
    let mut world = World::new(OPTIONS);
    let many: Vec<_> = (0..500).map(|index| seen(&format!("web{index}"), None)).collect();
    world.members(0, &many);
    assert_eq!(world.asked.len(), 1);
    assert_eq!(world.asked[0].1, Target::Selected(selector("web")));
}

#[test]
fn a_selector_that_no_query_can_hold_is_asked_by_names_in_parts() {
    let mut world = World::new(OPTIONS);
    world.queries.reconfigure(START, OPTIONS, vec![selector(&"x".repeat(900))]);
    let many: Vec<_> = (0..100).map(|index| seen(&format!("web{index}"), None)).collect();
    world.members(0, &many);
    let names = |target: &Target| match target {
        Target::Named(names) => names.len(),
        Target::Selected(_) => 0,
    };
    assert!(world.asked.len() > 1);
    assert_eq!(world.asked.iter().map(|(_, target)| names(target)).sum::<usize>(), 100);
    let bytes = |target: &Target| match target {
        Target::Named(names) => names.iter().map(|name| name.as_str().len() + FILTER_BYTES).sum(),
        Target::Selected(_) => usize::MAX,
    };
    assert!(world.asked.iter().all(|(_, target)| bytes(target) <= MAX_NAME_BYTES));
}

#[test]
fn each_selector_is_a_question_and_an_empty_one_is_none() {
    let mut world = World::new(OPTIONS);
    let selectors = vec![selector("web"), selector("api"), selector("db")];
    world.queries.reconfigure(START, OPTIONS, selectors);
    let both = Seen { selected_by: vec![0, 1], ..seen("both", None) };
    let stranger = Seen { selected_by: vec![], ..seen("other", None) };
    world.members(0, &[both, stranger]);
    assert_eq!(world.asked.last().unwrap().1, Target::Named(vec![name("both")]));
    assert_eq!(world.turn(5000), [Target::Selected(selector("web")), Target::Selected(selector("api"))]);
    assert_eq!(world.queries.known.len(), 1);
}

#[test]
fn answers_after_the_end_from_strangers_or_of_garbage_change_nothing() {
    let mut world = World::new(OPTIONS);
    world.members(0, &[seen("web1", None)]);
    world.answer(1, "web9", "critical");
    world.answer(1, "", "critical");
    world.answer(1, "web1", "\u{0}\u{ffff}");
    assert_eq!(world.check("web1"), Check::None);
    let id = world.last();
    world.end(2000, End::Over);
    world.queries.handle_answer(at(2001), id, "web1", b"critical");
    world.queries.handle_end(at(2002), id, End::Over);
    world.turn(2002);
    assert_eq!(world.check("web1"), Check::None);
    assert_eq!(world.queries.known[&name("web1")].silences, 1);
}

#[test]
fn a_word_about_a_drain_counts_from_when_it_was_asked_for() {
    let mut world = World::new(OPTIONS);
    world.members(7, &[seen("web1", None)]);
    for payload in ["passing", "passing drain=9f3a01bc 2 checks", "critical drain=- site: refused"] {
        world.answer(900, "web1", payload);
    }
    assert_eq!(world.serving, [(name("web1"), at(7))], "a script says nothing of a drain");
}

#[test]
fn who_left_is_forgotten_with_all_that_it_said() {
    let mut world = World::new(OPTIONS);
    world.members(0, &[seen("web1", None)]);
    world.answer(1, "web1", "critical");
    world.members(2, &[]);
    assert_eq!(world.queries.known.len(), 0);
    world.members(3000, &[seen("web1", None)]);
    assert_eq!(world.check("web1"), Check::None);
}

#[test]
fn a_judgement_says_since_when_and_on_what_it_rests() {
    let mut world = World::new(OPTIONS);
    world.members(0, &[seen("web1", Some(State::Passing))]);
    world.answer(40, "web1", "critical drain=- site: refused");
    world.members(50, &[seen("web1", Some(State::Critical))]);
    let known = world.queries.of(&name("web1")).unwrap();
    assert_eq!((known.check(), known.since(), known.source(&OPTIONS)), (Check::Critical, at(40), Source::Tag));
    assert_eq!(known.answer().unwrap().check.as_deref(), Some("site"));
}

#[test]
fn an_answer_is_as_old_as_its_question() {
    let mut world = World::new(OPTIONS);
    world.members(0, &[seen("web1", Some(State::Passing))]);
    world.turn(0);
    // Asked before its tag changed, and answered after that.
    world.members(300, &[seen("web1", Some(State::Critical))]);
    world.answer(400, "web1", "passing drain=- site: 200");
    assert_eq!(world.check("web1"), Check::Critical);
    world.turn(5_000);
    world.answer(5_100, "web1", "passing drain=- site: 200");
    assert_eq!(world.check("web1"), Check::Passing);
}

#[test]
fn what_a_member_said_of_itself_at_another_address_does_not_count_until_it_says_so_again() {
    let at_port = |port: u16| Seen { serves: [([10, 77, 0, 1], port).into()].into(), ..seen("web1", None) };
    for word in ["passing", "critical"] {
        let mut world = World::new(OPTIONS);
        world.members(0, &[at_port(80)]);
        world.turn(0);
        world.answer(100, "web1", word);
        world.members(200, &[at_port(80)]);
        assert_ne!(world.check("web1"), Check::Wait);
        world.members(2_000, &[at_port(8080)]);
        assert_eq!(world.check("web1"), Check::Wait);
        let asked = world.asked.len();
        world.turn(2_000);
        assert_eq!(world.asked.len(), asked, "it was asked as soon as that was known");
        assert_eq!(world.asked.last().unwrap().1, Target::Named(vec![name("web1")]));
        world.answer(2_100, "web1", "passing");
        assert_eq!(world.check("web1"), Check::Passing);
    }
    // The tag is published together with the port, and alone it is all that there is.
    let mut world = World::new(Options { interval: None, ..OPTIONS });
    world.members(0, &[Seen { tag: Some(State::Passing), ..at_port(80) }]);
    world.members(1_000, &[Seen { tag: Some(State::Passing), ..at_port(8080) }]);
    assert_eq!(world.check("web1"), Check::Passing);
}

#[test]
fn the_words_of_an_answer_are_told_only_beside_the_state_that_they_are_of() {
    let mut world = World::new(OPTIONS);
    let web1 = name("web1");
    let words = |world: &World| {
        let known = world.queries.of(&web1).unwrap();
        (known.source(world.queries.options()), known.words(world.queries.options()).map(|answer| answer.text.clone()))
    };
    world.members(0, &[seen("web1", Some(State::Passing))]);
    assert_eq!(words(&world), (Source::Nothing, None));
    world.answer(100, "web1", "passing drain=- site: status 200");
    assert_eq!(words(&world), (Source::Answer, Some("status 200".to_owned())));
    world.members(200, &[seen("web1", Some(State::Critical))]);
    assert_eq!(words(&world), (Source::Tag, None), "that was of the state before");
    world.end(2000, End::Over);
    world.turn(6000);
    world.answer(6100, "web1", "critical drain=- site: status 500");
    assert_eq!(words(&world), (Source::Answer, Some("status 500".to_owned())));
}
