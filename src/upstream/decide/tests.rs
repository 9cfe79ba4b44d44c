mod groups;

use std::net::IpAddr;

use super::*;
use crate::upstream::settle::News;
use crate::upstream::{
    AgentLost, Check, Generation, HashKey, LeftOut, Method, MinHealthy, Note, Policy, Probe, Rank, Rule, TagPattern,
    UpstreamName, VerdictReason, Warning,
};
use crate::wire::serf::{LamportTime, Tags};

fn options() -> Options {
    let select = vec![("role".to_owned(), TagPattern::new("web").unwrap())];
    Options::new(UpstreamName::new("web").unwrap(), select)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect()
}

/// `web3` is at 10.77.0.3; more tags as given.
fn web(number: u8, gossip: Gossip, more: &[(&str, &str)]) -> Candidate {
    let mut tags = tags(more);
    tags.entry("role".to_owned()).or_insert_with(|| "web".to_owned());
    Candidate::new(name(&format!("web{number}")), IpAddr::from([10, 77, 0, number]), tags, gossip)
}

fn alive(numbers: impl IntoIterator<Item = u8>) -> Vec<Candidate> {
    numbers.into_iter().map(|number| web(number, Gossip::Alive, &[])).collect()
}

/// The same members with `check` as the evidence about those whose number is in `numbers`.
fn with_check(mut members: Vec<Candidate>, numbers: &[u8], check: Check) -> Vec<Candidate> {
    for number in numbers {
        let name = name(&format!("web{number}"));
        members.iter_mut().filter(|member| member.name == name).for_each(|member| member.check = check);
    }
    members
}

fn after(decisions: &[&[Candidate]], options: &Options) -> History {
    let mut history = History::default();
    for members in decisions {
        let decision = decide(members, options, &history, &Circumstances::default());
        history.decided(&decision);
        history.applied(&decision);
    }
    history
}

/// `10.77.0.1:80 w2 down backup`, a line each.
fn lines(decision: &Decision) -> Vec<String> {
    let Want::Servers(servers) = &decision.want else { return Vec::new() };
    let line = |server: &Server| {
        let weight = if server.weight == Weight::ONE { String::new() } else { format!(" w{}", server.weight.get()) };
        let words = [(server.down, " down"), (server.backup, " backup")];
        let words: String = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        format!("{}{weight}{words}", server.addr)
    };
    servers.as_slice().iter().map(line).collect()
}

fn ins(decision: &Decision) -> Vec<&str> {
    decision.members.iter().filter(|judged| judged.verdict.placed.is_in()).map(|judged| judged.name.as_str()).collect()
}

fn first(members: &[Candidate], options: &Options) -> Decision {
    decide(members, options, &History::default(), &Circumstances::default())
}

#[test]
fn members_become_servers_by_tag_port_and_weight() {
    let members = [
        web(1, Gossip::Alive, &[]),
        web(2, Gossip::Alive, &[("port", "8080"), ("weight", "2")]),
        web(3, Gossip::Alive, &[("role", "webx")]),
        web(4, Gossip::Alive, &[("backup", "true"), ("weight", "0")]),
    ];
    let decision = first(&members, &options());
    assert_eq!(lines(&decision), ["10.77.0.1:80", "10.77.0.2:8080 w2", "10.77.0.4:80 down backup"]);
    assert_eq!((decision.base, decision.floor, decision.mode), (2, 1, Mode::Normal));
}

#[test]
fn the_order_of_members_does_not_matter() {
    let mut members = alive(1..=9);
    let forward = first(&members, &options());
    members.reverse();
    assert_eq!(first(&members, &options()).want, forward.want);
}

#[test]
fn a_tag_that_is_no_port_leaves_the_member_out_and_one_that_is_no_weight_does_not() {
    let select = |pairs: &[(&str, &str)]| select(&web(1, Gossip::Alive, pairs), &options());
    for (port, left_out) in [
        ("80;", true),
        ("+80", true),
        ("", true),
        ("0", true),
        ("65536", true),
        ("99999999999999999999999", true),
        ("0x50", true),
        (" 80", true),
        ("65535", false),
        ("1", false),
        ("0080", false),
    ] {
        assert_eq!(select(&[("port", port)]).is_err(), left_out, "{port:?}");
    }
    for (weight, used, notes) in [
        ("two", 1, 1),
        ("2.5", 1, 1),
        ("-1", 1, 1),
        ("", 1, 1),
        ("0", 0, 0),
        ("256", 256, 0),
        ("257", 256, 1),
        ("99999999999999999999999", 256, 1),
    ] {
        let draft = select(&[("weight", weight)]).unwrap();
        assert_eq!((draft.weight, draft.notes.len()), (used, notes), "{weight:?}");
    }
}

#[test]
fn what_is_said_about_tags_names_tag_value_and_what_is_used() {
    let draft = select(&web(1, Gossip::Alive, &[("weight", "two"), ("backup", "perhaps")]), &options()).unwrap();
    let notes: Vec<String> = draft.notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "tag weight=\"two\" is not a number, 1 is used",
            "tag backup=\"perhaps\" is neither true nor false, false is used"
        ]
    );
    let error = select(&web(1, Gossip::Alive, &[("port", "80;")]), &options()).unwrap_err();
    assert_eq!(error.to_string(), "tag port=\"80;\" is not a port, it is left out");
    let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web1").unwrap());
    assert_eq!(error.remedy(&upstream, &member), "'weir tags --set port=80' on web1, or what its port is");
    let escaped = select(&web(1, Gossip::Alive, &[("port", "8\u{1b}[2J")]), &options()).unwrap_err();
    assert!(!escaped.to_string().contains('\u{1b}'));
}

#[test]
fn a_default_outside_the_limits_is_caught_too() {
    let options =
        Options { port: crate::upstream::PortRule { rule: Rule::Fixed(80), min: 8000, max: 9000 }, ..options() };
    assert_eq!(
        select(&web(1, Gossip::Alive, &[]), &options),
        Err(LeftOut::PortOutside { port: 80, min: 8000, max: 9000 })
    );
}

#[test]
fn nobody_selects_everybody_by_omission() {
    let decision = first(&alive(1..=3), &Options { select: Vec::new(), ..options() });
    assert!(decision.members.is_empty());
    assert_eq!(decision.want, Want::Placeholder);
}

#[test]
fn addresses_that_nginx_must_not_ask_are_left_out_with_the_reason() {
    let mut members = alive(1..=2);
    members[1].addr = IpAddr::from([127, 0, 0, 1]);
    let decision = first(&members, &options());
    assert_eq!(lines(&decision), ["10.77.0.1:80"]);
    assert_eq!(decision.left_out[0].1.to_string(), "127.0.0.1 is a loopback address, it is left out");
    let mut options = options();
    options.allow.loopback = true;
    assert_eq!(lines(&first(&members, &options)).len(), 2);
}

#[test]
fn weights_are_reduced_by_their_common_divisor_and_clamped() {
    let weights = |weights: &[&str], max: u32| {
        let members: Vec<Candidate> =
            (1..).zip(weights).map(|(number, weight)| web(number, Gossip::Alive, &[("weight", weight)])).collect();
        let mut options = options();
        options.weight.max = max;
        let Want::Servers(servers) = first(&members, &options).want else { panic!("servers are wanted") };
        servers.as_slice().iter().map(|server| server.weight.get()).collect::<Vec<_>>()
    };
    assert_eq!(weights(&["10", "20", "30"], 256), [1, 2, 3]);
    assert_eq!(weights(&["7"], 256), [1]);
    assert_eq!(weights(&["1000", "3000"], 10_000), [1, 3]);
    assert_eq!(weights(&["1", "9999"], 10_000), [1, 256]);
    assert_eq!(weights(&["300", "600", "601"], 10_000), [127, 255, 256], "in proportion");
    assert_eq!(weights(&["4", "0", "6"], 256), [2, 1, 3], "one that is down has no say");
}

#[test]
fn weights_that_are_too_much_together_shrink_in_proportion() {
    let reduced = |heavy: usize, light: usize| {
        let line = |weight| {
            let draft =
                Draft { addr: "10.0.0.1:80".parse().unwrap(), weight, backup: false, max_conns: 0, notes: vec![] };
            Line {
                name: name("web1"),
                share: Share { weight, half: false, ramp: None },
                draft,
                down: false,
                is_promised: false,
            }
        };
        let lines: Vec<Line> =
            [256, 1].into_iter().zip([heavy, light]).flat_map(|(w, n)| (0..n).map(move |_| w)).map(line).collect();
        let weights: Vec<u32> = weights(&lines, false).into_iter().map(|weight| weight.get().into()).collect();
        (weights[0], weights[heavy], weights.iter().sum::<u32>())
    };
    assert_eq!(Servers::MAX_WEIGHT, 64 * 256);
    // So many of weight 256 and of weight 1: the first of each, and all together.
    for (heavy, light, wanted) in [
        (63, 256, (256, 1, 16_384)),
        (63, 257, (250, 1, 16_007)),
        (64, 1, (254, 1, 16_257)),
        (1000, 3000, (12, 1, 15_000)),
        (4095, 1, (3, 1, 12_286)),
    ] {
        assert_eq!(reduced(heavy, light), wanted, "{heavy} {light}");
    }
}

#[test]
fn a_warning_halves_the_weight_even_where_that_is_one() {
    let members = [
        web(1, Gossip::Alive, &[("weight", "4")]),
        web(2, Gossip::Alive, &[("weight", "4")]),
        web(3, Gossip::Alive, &[]),
    ];
    let members = with_check(members.to_vec(), &[2, 3], Check::Warning);
    assert_eq!(lines(&first(&members, &options())), ["10.77.0.1:80 w8", "10.77.0.2:80 w4", "10.77.0.3:80"]);
    let policy = |warning| Options { policy: Policy { warning, ..Policy::default() }, ..options() };
    assert_eq!(lines(&first(&members, &policy(Warning::In))), ["10.77.0.1:80 w4", "10.77.0.2:80 w4", "10.77.0.3:80"]);
    // Two of three would be out: too few, and nobody was in before.
    let down = with_check(members, &[3], Check::Passing);
    assert_eq!(lines(&first(&down, &policy(Warning::Down)))[1], "10.77.0.2:80 w4 down");
}

#[test]
fn two_members_with_one_address_are_one_line_and_the_one_that_is_in_has_it() {
    let mut members = alive([1, 2]);
    members.push(Candidate { name: name("a-new-name"), ..web(1, Gossip::Leaving, &[]) });
    let decision = first(&members, &options());
    assert_eq!(lines(&decision), ["10.77.0.1:80", "10.77.0.2:80"]);
    assert_eq!(decision.left_out, [(name("a-new-name"), LeftOut::Duplicate { of: "web1".to_owned() })]);
}

#[test]
fn gossip_alone_decides_while_there_is_no_other_evidence() {
    let options = options();
    let history = after(&[&alive(1..=4)], &options);
    let members = [
        web(1, Gossip::Alive, &[]),
        web(2, Gossip::Suspect, &[]),
        web(3, Gossip::Failed, &[]),
        web(4, Gossip::Leaving, &[]),
    ];
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!(lines(&decision), ["10.77.0.1:80", "10.77.0.2:80", "10.77.0.4:80 down"]);
    let reasons: Vec<String> = decision.members.iter().map(|judged| judged.witness.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "alive, no check configured",
            "suspect, nothing against it but silence",
            "failed, nothing vouches for it",
            "announced its leave"
        ]
    );
}

#[test]
fn a_new_suspect_is_not_taken_in() {
    let members = [web(1, Gossip::Alive, &[]), web(2, Gossip::Suspect, &[])];
    assert_eq!(ins(&first(&members, &options())), ["web1"]);
}

#[test]
fn nobody_ever_is_the_placeholder_and_nobody_any_more_is_the_last_servers() {
    let options = options();
    assert_eq!(first(&[], &options).want, Want::Placeholder);
    let failed: Vec<Candidate> = (1..=2).map(|number| web(number, Gossip::Failed, &[])).collect();
    let before = alive(1..=2);
    let decision = decide(&failed, &options, &after(&[&before], &options), &Circumstances::default());
    assert_eq!(
        (decision.mode, lines(&decision)),
        (Mode::Last, vec!["10.77.0.1:80".to_owned(), "10.77.0.2:80".to_owned()])
    );
    let error = Options { policy: Policy { on_empty: OnEmpty::Error, ..Policy::default() }, ..options.clone() };
    let decision = decide(&failed, &error, &after(&[&before], &error), &Circumstances::default());
    assert_eq!(decision.want, Want::Placeholder);
}

#[test]
fn the_last_good_set_is_kept_and_not_the_one_noticed_last() {
    let options = options();
    let one_left = [web(1, Gossip::Failed, &[]), web(2, Gossip::Failed, &[]), web(3, Gossip::Alive, &[])];
    let none_left: Vec<Candidate> = (1..=3).map(|number| web(number, Gossip::Failed, &[])).collect();
    let history = after(&[&alive(1..=3), &one_left], &options);
    let decision = decide(&none_left, &options, &history, &Circumstances::default());
    assert_eq!(ins(&decision), ["web1", "web2", "web3"], "the generation with one of three was made in mode floor");
}

#[test]
fn everybody_left_holds_the_file_unless_a_promise_forbids() {
    let options = options();
    let history = after(&[&alive(1..=2)], &options);
    let mut members: Vec<Candidate> = (1..=2).map(|number| web(number, Gossip::Left, &[])).collect();
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!(decision.want, Want::Hold(HoldReason::AllLeft));
    assert!(history.is_live(&decision));
    members[0].drain = Drain::Promised;
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!(lines(&decision), ["10.77.0.1:80 down"], "a promised server is down even if nobody is left");
    assert!(!history.is_live(&decision));
}

#[test]
fn every_check_critical_at_once_keeps_all_that_were_in() {
    let options = options();
    let history = after(&[&alive(1..=4)], &options);
    let members = with_check(alive(1..=5), &[1, 2, 3, 4], Check::Critical);
    let members = with_check(members, &[5], Check::Wait);
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Floor, vec!["web1", "web2", "web3", "web4"]));
    assert_eq!(decision.members[0].verdict.reason, VerdictReason::KeptByFloor);
}

#[test]
fn who_changes_too_often_is_let_in_before_anybody_who_is_ill_is_kept() {
    let options = options();
    let history = after(&[&alive(1..=2)], &options);
    let mut members = with_check(alive(1..=2), &[2], Check::Critical);
    members[0].flapping = true;
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Normal, vec!["web1"]));
    assert_eq!(decision.members[0].verdict.reason, VerdictReason::NeededThoughFlapping);
    assert_eq!(decision.members[1].verdict.reason, VerdictReason::Ill);

    // It does not go away: nobody else is there.
    members[0].drain = Drain::Asked(Rank::Last);
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert!(ins(&decision).contains(&"web1"), "{:?}", ins(&decision));
    members[0].drain = Drain::No;

    // Both are needed where one is not enough.
    let (two, history) = (alive(1..=4), after(&[&alive(1..=4)], &options));
    let mut members = with_check(two, &[2, 3, 4], Check::Critical);
    members[0].flapping = true;
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Floor, vec!["web1", "web2", "web3", "web4"]));

    // And once another one is well again, it is held down as before.
    let mut members = alive(1..=2);
    members[0].flapping = true;
    let decision = decide(&members, &options, &after(&[&alive(1..=2)], &options), &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Normal, vec!["web2"]));
}

/// It was never in mode normal: too few were well at first, and then there had not been enough for long enough.
#[test]
fn every_check_critical_soon_after_a_first_start_keeps_all_that_were_in() {
    let (options, mut history) = (options(), History::default());
    let mut at = |seconds: u64, first: Check, others: Check| {
        let members = with_check(with_check(alive(1..=3), &[1], first), &[2, 3], others);
        let now = Instant::ZERO + Duration::from_secs(seconds);
        let decision = decide(&members, &options, &history, &Circumstances { now, ..Circumstances::default() });
        history.decided(&decision);
        history.applied(&decision);
        (decision.mode, ins(&decision).len())
    };
    assert_eq!(at(0, Check::Passing, Check::Wait), (Mode::Floor, 1));
    assert_eq!(at(1, Check::Passing, Check::Passing), (Mode::Floor, 3));
    assert_eq!(at(2, Check::Critical, Check::Critical), (Mode::Floor, 3));
    assert_eq!(at(3, Check::Critical, Check::Critical), (Mode::Floor, 3));
}

#[test]
fn a_server_that_joins_while_others_are_ill_is_kept_like_them_once_it_is_ill() {
    let options = options();
    let others_ill = with_check(alive(1..=3), &[1, 2], Check::Critical);
    let all_ill = with_check(alive(1..=3), &[1, 2, 3], Check::Critical);
    let history = after(&[&alive(1..=2), &others_ill], &options);
    let decision = decide(&all_ill, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Floor, vec!["web1", "web2", "web3"]));
    // Whom nobody ever saw well is not.
    let never_well = after(&[&alive(1..=2), &all_ill], &options);
    assert_eq!(ins(&decide(&all_ill, &options, &never_well, &Circumstances::default())), ["web1", "web2"]);
}

#[test]
fn servers_falling_ill_one_after_another_meet_the_floor_and_do_not_drag_it_along() {
    let options = options();
    let mut history = after(&[&alive(1..=4)], &options);
    let mut counts = Vec::new();
    for ill in 1..=4_u8 {
        let members = with_check(alive(1..=4), &(1..=ill).collect::<Vec<_>>(), Check::Critical);
        for _ in 0..3 {
            let decision = decide(&members, &options, &history, &Circumstances::default());
            history.decided(&decision);
            history.applied(&decision);
            counts.push(ins(&decision).len());
        }
    }
    // Ill: one, two (still two of four), then too few: those of the last generation in mode normal.
    assert_eq!(counts, [3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
}

#[test]
fn servers_beyond_a_partition_are_out_even_below_the_floor() {
    let options = options();
    let history = after(&[&alive(1..=4)], &options);
    let mut members = alive(1..=4);
    members[1..].iter_mut().for_each(|member| {
        member.gossip = Gossip::Failed;
        member.probe = Probe::Down;
    });
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, ins(&decision)), (Mode::Floor, vec!["web1"]));
}

#[test]
fn a_balancer_cut_off_by_gossip_only_changes_nothing_in_the_file() {
    let options = options();
    let history = after(&[&alive(1..=3)], &options);
    let mut members = alive(1..=3);
    members.iter_mut().for_each(|member| {
        member.gossip = Gossip::Failed;
        member.probe = Probe::Up;
    });
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert!(history.is_live(&decision));
    assert!(decision.members.iter().all(|judged| judged.intent == Intent::Lost));
    let gone = Options { policy: Policy { agent_lost: AgentLost::Gone, ..Policy::default() }, ..options.clone() };
    members[0].gossip = Gossip::Alive;
    assert_eq!(ins(&decide(&members, &gone, &history, &Circumstances::default())), ["web1"]);
}

#[test]
fn floor_is_left_after_ten_seconds_of_enough_and_not_before() {
    let options = options();
    let mut history = after(&[&alive(1..=2)], &options);
    let ill = with_check(alive(1..=2), &[1, 2], Check::Critical);
    let one_ill = with_check(alive(1..=2), &[1], Check::Critical);
    let mut at = |seconds: u64, members: &[Candidate]| {
        let now = Instant::ZERO + Duration::from_secs(seconds);
        let decision = decide(members, &options, &history, &Circumstances { now, ..Circumstances::default() });
        history.decided(&decision);
        (decision.mode, decision.again_at.map(|at| at.since(Instant::ZERO).as_secs()))
    };
    assert_eq!(at(1, &ill), (Mode::Floor, None));
    assert_eq!(at(2, &one_ill), (Mode::Floor, Some(12)));
    assert_eq!(at(11, &one_ill), (Mode::Floor, Some(12)));
    assert_eq!(at(11, &ill), (Mode::Floor, None));
    assert_eq!(at(11, &one_ill), (Mode::Floor, Some(21)), "the ten seconds begin anew");
    assert_eq!(at(21, &one_ill), (Mode::Normal, None));
}

#[test]
fn drains_are_admitted_by_rank_down_to_the_floor() {
    let options = Options { policy: Policy { min_healthy: MinHealthy::Count(2), ..Policy::default() }, ..options() };
    let history = after(&[&alive(1..=4)], &options);
    let mut members = alive(1..=4);
    for (index, rank) in
        [Rank::Last, Rank::Since(LamportTime(9)), Rank::Since(LamportTime(3)), Rank::Since(LamportTime(9))]
            .into_iter()
            .enumerate()
    {
        members[index].drain = Drain::Asked(rank);
    }
    let decision = decide(&members, &options, &history, &Circumstances::default());
    // web3 asked first; of web2 and web4 the name decides; an operator's tag without a time comes last.
    assert_eq!(ins(&decision), ["web1", "web4"]);
    assert_eq!(decision.members[0].verdict.reason, VerdictReason::DrainRefused);
    assert_eq!(decision.members[2].verdict.reason, VerdictReason::Draining);
    assert_eq!(lines(&decision), ["10.77.0.1:80", "10.77.0.2:80 down", "10.77.0.3:80 down", "10.77.0.4:80"]);
}

#[test]
fn one_that_is_out_anyway_may_drain_whatever_the_floor() {
    let options = options();
    let history = after(&[&alive(1..=2)], &options);
    let mut members = with_check(alive(1..=2), &[1], Check::Critical);
    members[0].drain = Drain::Asked(Rank::Last);
    let decision = decide(&members, &options, &history, &Circumstances::default());
    assert_eq!(decision.members[0].verdict.reason, VerdictReason::Draining);
}

#[test]
fn who_was_out_and_drains_is_no_reason_to_let_others_go_or_hold_them_down() {
    let policy = Policy { on_empty: OnEmpty::Error, ..Policy::default() };
    let options = Options { policy, ..options() };
    let history = after(&[&alive(1..=1)], &options);
    let decision = |change: fn(&mut Candidate)| {
        let mut members = alive(1..=2);
        members[1].drain = Drain::Asked(Rank::Last);
        change(&mut members[0]);
        decide(&members, &options, &history, &Circumstances::default())
    };
    let asks_first = decision(|member| member.drain = Drain::Asked(Rank::Since(LamportTime(1))));
    assert_eq!((asks_first.mode, ins(&asks_first)), (Mode::Normal, vec!["web1"]));
    assert_eq!(asks_first.members[0].verdict.reason, VerdictReason::DrainRefused);
    assert_eq!(asks_first.members[1].verdict.reason, VerdictReason::Draining);
    let flaps = decision(|member| member.flapping = true);
    assert_eq!((flaps.mode, ins(&flaps)), (Mode::Normal, vec!["web1"]));
    assert_eq!(flaps.members[0].verdict.reason, VerdictReason::NeededThoughFlapping);
    let is_ill = decision(|member| member.check = Check::Critical);
    assert_eq!((is_ill.mode, ins(&is_ill)), (Mode::Floor, vec!["web1"]));
}

#[test]
fn a_held_upstream_stays_as_it_was_but_lets_leavers_go() {
    let options = options();
    let history = after(&[&alive(1..=4)], &options);
    let mut members = alive(1..=5);
    members[0].gossip = Gossip::Left;
    members[1].drain = Drain::Asked(Rank::Last);
    members[2].gossip = Gossip::Failed;
    let held = Circumstances { held: true, ..Circumstances::default() };
    assert_eq!(ins(&decide(&members, &options, &history, &held)), ["web3", "web4"]);
}

#[test]
fn a_held_upstream_of_which_nothing_is_recorded_is_left_alone_whatever_is_known() {
    let mut options = options();
    for on_empty in [OnEmpty::Keep, OnEmpty::Error] {
        options.policy.on_empty = on_empty;
        for (members, released) in [(alive([]), &[][..]), (alive(1..=2), &["web1", "web2"])] {
            let (history, free) = (History::default(), Circumstances::default());
            let held = Circumstances { held: true, ..free };
            let decision = decide(&members, &options, &history, &held);
            assert_eq!((&decision.want, decision.target()), (&Want::Hold(HoldReason::Unrecorded), None));
            assert_eq!(ins(&decide(&members, &options, &history, &free)), released);
            // The placeholder is a record, too.
            let nobody = History::restored(Target::Placeholder);
            assert_eq!(decide(&members, &options, &nobody, &held).want, Want::Placeholder);
        }
    }
}

#[test]
fn after_our_own_restart_the_missing_are_kept_until_the_grace_ends() {
    let options = options();
    let before = decide(&alive(1..=3), &options, &History::default(), &Circumstances::default());
    let Want::Servers(servers) = before.want else { panic!("servers are wanted") };
    let history = History::restored(Target::Servers(servers));
    let rejoining = Circumstances { rejoining: true, ..Circumstances::default() };
    for seen in [&[][..], &[2]] {
        let decision = decide(&alive(seen.iter().copied()), &options, &history, &rejoining);
        assert_eq!(ins(&decision), ["web1", "web2", "web3"]);
        assert!(history.is_live(&decision), "nothing is reloaded because of a restart");
    }
    let decision = decide(&alive([2]), &options, &history, &Circumstances::default());
    assert_eq!(ins(&decision), ["web2"]);
}

#[test]
fn the_placeholder_is_live_once_applied() {
    let options = options();
    let mut history = History::default();
    let nobody = decide(&[], &options, &history, &Circumstances::default());
    assert!(!history.is_live(&nobody));
    history.applied(&nobody);
    assert!(history.is_live(&nobody));
    assert!(History::restored(Target::Placeholder).is_live(&nobody));
    assert!(!history.is_live(&decide(&alive([1]), &options, &history, &Circumstances::default())));
}

#[test]
fn bad_news_is_a_serving_server_that_turns_ill_or_dies_and_no_departure() {
    let options = options();
    let history = after(&[&alive(1..=4)], &options);
    let news = |change: fn(&mut Candidate)| {
        let mut members = alive(1..=4);
        change(&mut members[1]);
        history.news(&decide(&members, &options, &history, &Circumstances::default()))
    };
    assert_eq!(news(|member| member.gossip = Gossip::Failed), News::Bad);
    assert_eq!(news(|member| member.probe = Probe::Down), News::Bad);
    assert_eq!(news(|_| {}), News::Ordinary);
    assert_eq!(news(|member| member.gossip = Gossip::Leaving), News::Ordinary);
    assert_eq!(news(|member| member.drain = Drain::Asked(Rank::Last)), News::Ordinary);
    let with_a_dead_newcomer: Vec<Candidate> = alive(1..=4).into_iter().chain([web(5, Gossip::Failed, &[])]).collect();
    let decision = decide(&with_a_dead_newcomer, &options, &history, &Circumstances::default());
    assert_eq!(history.news(&decision), News::Ordinary);
}

#[test]
fn a_member_that_no_longer_matches_is_gone_at_once() {
    let options = options();
    let history = after(&[&alive(1..=2)], &options);
    let members = [web(1, Gossip::Alive, &[]), web(2, Gossip::Alive, &[("role", "db")])];
    let decision = decide(&members, &options, &history, &Circumstances { rejoining: true, ..Circumstances::default() });
    assert_eq!(lines(&decision), ["10.77.0.1:80"]);
}

#[test]
fn positional_methods_keep_removed_slots_until_they_outnumber_the_rest() {
    let mut options = options();
    options.method = Method::IpHash;
    let mut history = after(&[&alive(1..=4)], &options);
    let mut apply = |numbers: &[u8]| {
        let decision = decide(&alive(numbers.iter().copied()), &options, &history, &Circumstances::default());
        history.applied(&decision);
        lines(&decision)
    };
    assert_eq!(apply(&[1, 3, 4]), ["10.77.0.1:80", "10.77.0.2:80 down", "10.77.0.3:80", "10.77.0.4:80"]);
    assert_eq!(apply(&[1, 4]), ["10.77.0.1:80", "10.77.0.2:80 down", "10.77.0.3:80 down", "10.77.0.4:80"]);
    assert_eq!(apply(&[1, 2, 4]), ["10.77.0.1:80", "10.77.0.2:80", "10.77.0.3:80 down", "10.77.0.4:80"]);
}

#[test]
fn sameness_is_judged_on_what_is_routed() {
    let mut options = options();
    let history = after(&[&alive(1..=3)], &options);
    let mut leaving = alive(1..=3);
    leaving[2].gossip = Gossip::Leaving;
    let left = alive(1..=2);
    let now = Circumstances::default();
    assert!(!history.is_live(&decide(&leaving, &options, &history, &now)));
    let without = after(&[&alive(1..=3), &leaving], &options);
    assert!(without.is_live(&decide(&left, &options, &without, &now)), "down and absent are the same to round robin");
    let mut renamed = alive(1..=3);
    renamed[0].name = name("webz");
    assert!(history.is_live(&decide(&renamed, &options, &history, &now)), "NGINX does not know names");
    options.method = Method::Hash { key: HashKey::new("$request_uri").unwrap(), consistent: false };
    let history = after(&[&alive(1..=3)], &options);
    assert!(!history.is_live(&decide(&renamed, &options, &history, &now)), "places go by name");
}

#[test]
fn backups_are_ordinary_servers_where_the_method_has_none() {
    let mut options = options();
    options.method = Method::RandomTwo;
    let decision = first(&[web(1, Gossip::Alive, &[("backup", "yes")])], &options);
    assert_eq!(lines(&decision), ["10.77.0.1:80"]);
    assert_eq!(decision.members[0].draft.notes, [Note::NoBackup]);
}

#[test]
fn more_servers_than_fit_are_left_out_and_those_that_are_down_first() {
    let member = |number: usize, gossip| {
        let addr = IpAddr::from([
            10,
            u8::try_from(number / 65536).unwrap(),
            u8::try_from(number / 256 % 256).unwrap(),
            u8::try_from(number % 256).unwrap(),
        ]);
        Candidate::new(name(&format!("w{number:05}")), addr, tags(&[("role", "web")]), gossip)
    };
    let mut members: Vec<Candidate> = (1..=Servers::MAX + 2).map(|number| member(number, Gossip::Alive)).collect();
    members[0].gossip = Gossip::Leaving;
    let decision = first(&members, &options());
    let Want::Servers(servers) = &decision.want else { panic!("servers are wanted") };
    assert_eq!(servers.as_slice().len(), Servers::MAX);
    let out: Vec<&str> = decision.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(out, ["w00001", "w04098"]);
}

#[test]
fn generations_count_on_and_do_not_wrap() {
    assert_eq!(Generation(7).next(), Generation(8));
    assert_eq!(Generation(u64::MAX).next(), Generation(u64::MAX));
}

/// What is different about a member.
type Change = fn(&mut Candidate);

/// A host that came back as `app1`, at the address of `web1`, which gossip has lost since; `web2` is beside them.
fn renamed(app1: impl FnOnce(&mut Candidate)) -> [Candidate; 3] {
    let mut app = Candidate { name: name("app1"), probe: Probe::Up, ..web(1, Gossip::Alive, &[]) };
    app1(&mut app);
    let lost = Candidate { probe: Probe::Up, ..web(1, Gossip::Failed, &[]) };
    [app, lost, Candidate { probe: Probe::Up, ..web(2, Gossip::Alive, &[]) }]
}

#[test]
fn a_lost_member_takes_no_address_from_one_that_is_there_drained_ill_or_well() {
    let options = Options { probed: true, ..options() };
    let history = after(&[&with_probe(alive(1..=2))], &options);
    let changes: [(Change, &[&str]); 6] = [
        (|_| {}, &["10.77.0.1:80", "10.77.0.2:80"]),
        (|app| app.drain = Drain::Promised, &["10.77.0.1:80 down", "10.77.0.2:80"]),
        (|app| app.drain = Drain::Asked(Rank::Last), &["10.77.0.1:80 down", "10.77.0.2:80"]),
        (|app| app.check = Check::Critical, &["10.77.0.1:80 down", "10.77.0.2:80"]),
        (|app| app.flapping = true, &["10.77.0.1:80 down", "10.77.0.2:80"]),
        // Before its first success the service is the lost one's still.
        (|app| app.probe = Probe::Wait, &["10.77.0.1:80", "10.77.0.2:80"]),
    ];
    for (index, (change, wanted)) in changes.into_iter().enumerate() {
        let decision = decide(&renamed(change), &options, &history, &Circumstances::default());
        assert_eq!(lines(&decision), wanted, "{index}");
        assert_eq!(decision.base, if index == 5 { 3 } else { 2 }, "a host counts once: {index}");
    }
    let decision = decide(&renamed(|_| {}), &options, &history, &Circumstances::default());
    assert_eq!(decision.left_out, [(name("web1"), LeftOut::Replaced { by: "app1".to_owned() })]);
    let (upstream, member) = (UpstreamName::new("web").unwrap(), name("web1"));
    let told = &decision.left_out[0].1;
    assert_eq!(told.to_string(), "is lost, and \"app1\" has its address and port now, it is left out");
    assert_eq!(told.remedy(&upstream, &member), "'weir force-leave web1' if it will not come back under that name");
}

#[test]
fn a_host_under_a_new_name_drains_even_where_the_old_one_is_of_the_last_good_set() {
    let options = Options { probed: true, ..options() };
    let history = after(&[&with_probe(alive([1]))], &options);
    let mut all = renamed(|app| app.drain = Drain::Promised);
    all[2].gossip = Gossip::Left;
    let decision = decide(&all, &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, lines(&decision)), (Mode::Last, vec!["10.77.0.1:80 down".to_owned()]));
    // Its tags say another port by now, and the file has the old one.
    all[1].tags = tags(&[("role", "web"), ("port", "8080")]).into();
    all[1].probe = Probe::Down;
    let decision = decide(&all, &options, &history, &Circumstances::default());
    assert_eq!(lines(&decision), ["10.77.0.1:80 down"]);
}

#[test]
fn under_a_hold_the_old_name_keeps_the_line_until_the_new_one_drains() {
    let options = Options { probed: true, ..options() };
    let history = after(&[&with_probe(alive(1..=2))], &options);
    let held = Circumstances { held: true, ..Circumstances::default() };
    let decision = decide(&renamed(|_| {}), &options, &history, &held);
    assert_eq!(lines(&decision), ["10.77.0.1:80", "10.77.0.2:80"]);
    let decision = decide(&renamed(|app| app.drain = Drain::Promised), &options, &history, &held);
    assert_eq!(lines(&decision), ["10.77.0.1:80 down", "10.77.0.2:80"]);
}

fn with_probe(members: Vec<Candidate>) -> Vec<Candidate> {
    members.into_iter().map(|member| Candidate { probe: Probe::Up, ..member }).collect()
}

/// `web1` at port 8080 where it was at 80, as far as gossip tells; nobody has asked there yet.
fn moved(change: impl FnOnce(&mut Candidate)) -> Candidate {
    let probed = Some(SocketAddr::from(([10, 77, 0, 1], 80)));
    let mut member = Candidate { probe: Probe::Up, probed, ..web(1, Gossip::Alive, &[("port", "8080")]) };
    change(&mut member);
    member
}

#[test]
fn what_vouched_for_one_address_does_not_vouch_for_another() {
    let options = Options { probed: true, ..options() };
    let history = after(&[&with_probe(alive(1..=2))], &options);
    let there = Some(SocketAddr::from(([10, 77, 0, 1], 8080)));
    let changes: [(Change, &str); 6] = [
        (|_| {}, "no first success yet"),
        (|web1| web1.probe = Probe::Down, "no first success yet"),
        (|web1| web1.check = Check::Wait, "no first success yet"),
        (|web1| web1.gossip = Gossip::Suspect, "suspect, nothing against it but silence"),
        (|web1| web1.gossip = Gossip::Failed, "failed, the probe has no verdict yet"),
        (|web1| web1.check = Check::Critical, "says itself that it is critical"),
    ];
    for (change, reason) in changes {
        let mut members = with_probe(alive(1..=2));
        members[0] = moved(change);
        let decision = decide(&members, &options, &history, &Circumstances::default());
        assert_eq!((ins(&decision), decision.members[0].witness.to_string()), (vec!["web2"], reason.to_owned()));
        members[0] = moved(|web1| web1.probed = there);
        let decision = decide(&members, &options, &history, &Circumstances::default());
        assert_eq!(lines(&decision), ["10.77.0.1:8080", "10.77.0.2:80"], "{reason}");
    }
}

#[test]
fn whoever_moves_alone_keeps_its_old_line_until_something_vouches_for_the_new_one() {
    let options = Options { probed: true, ..options() };
    let history = after(&[&with_probe(alive([1]))], &options);
    let decision = decide(&[moved(|_| {})], &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, lines(&decision)), (Mode::Last, vec!["10.77.0.1:80".to_owned()]));
    assert_eq!(decision.members[0].draft.addr.port(), 8080, "there it is probed");
}

#[test]
fn weight_0_of_the_last_server_keeps_its_line() {
    let options = options();
    let history = after(&[&alive([1])], &options);
    let decision = decide(&[web(1, Gossip::Alive, &[("weight", "0")])], &options, &history, &Circumstances::default());
    assert_eq!((decision.mode, lines(&decision)), (Mode::Last, vec!["10.77.0.1:80".to_owned()]));
    assert!(decision.line(&name("web1")).is_some_and(|line| !line.down));
}
