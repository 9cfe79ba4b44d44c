use std::net::IpAddr;

use super::*;
use crate::upstream::{Circumstances, History, Rank, TagPattern, UpstreamName, decide};
use crate::wire::NodeName;
use crate::wire::serf::Tags;

fn options() -> Options {
    let select = vec![("role".to_owned(), TagPattern::new("web").unwrap())];
    Options::new(UpstreamName::new("web").unwrap(), select)
}

fn web(number: u8, tags: &[(&str, &str)]) -> Candidate {
    let mut tags: Tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    tags.entry("role".to_owned()).or_insert_with(|| "web".to_owned());
    let name = NodeName::new(&format!("web{number}")).unwrap();
    Candidate::new(name, IpAddr::from([10, 77, 0, number]), tags, Gossip::Alive)
}

/// What is told of `web2` beside two that are well, a line each, and what would put it in.
fn told(options: &Options, web2: Candidate, details: &Details) -> (Vec<String>, Option<String>) {
    let members = [web(1, &[]), web2, web(3, &[])];
    let mut history = History::default();
    let well = decide(&[web(1, &[]), web(2, &[]), web(3, &[])], options, &history, &Circumstances::default());
    history.decided(&well);
    history.applied(&well);
    let decision = decide(&members, options, &history, &Circumstances::default());
    let line = |asked: Asked| {
        let decides = if asked.decides { " <-" } else { "" };
        format!("{} {} {}{decides}", asked.rule, asked.result, asked.input)
    };
    let lines = explain(&members[1], options, &decision, details).into_iter().map(line).collect();
    let judged = decision.members.iter().find(|judged| judged.name == members[1].name);
    (lines, judged.and_then(|judged| back_when(&members[1], options, &decision, judged, details)))
}

#[test]
fn every_rule_says_what_it_rests_on_and_which_one_decides() {
    let options = Options { probed: true, ..options() };
    let web2 = Candidate { check: Check::Passing, probe: Probe::Down, ..web(2, &[("weight", "2")]) };
    let details = Details {
        gossip: "since 13:31:07".to_owned(),
        probe: "GET http://10.77.0.2:80/: connection refused, 2 of fall 2".to_owned(),
        rise: Some(2),
        ..Details::default()
    };
    let (lines, back_when) = told(&options, web2, &details);
    assert_eq!(
        lines,
        [
            "selected yes role=web matches ^(?:web)$",
            "address ok 10.77.0.2, allow = any;  port 80: no tag port, default;  weight 2: tag weight=2, limits 0..256",
            "gossip alive since 13:31:07",
            "checks passing ",
            "probe down GET http://10.77.0.2:80/: connection refused, 2 of fall 2 <-",
            "panic no 2 of 3 in, min_healthy 50 %",
        ]
    );
    assert_eq!(back_when.as_deref(), Some("2 probes in a row succeed (rise 2)"));
}

#[test]
fn who_is_out_is_told_by_the_rule_that_keeps_it_out() {
    let options = options();
    let decides = |web2: Candidate| {
        let (lines, back_when) = told(&options, web2, &Details::default());
        let decides: Vec<String> =
            lines.iter().filter_map(|line| line.strip_suffix(" <-")).map(str::to_owned).collect();
        assert_eq!(decides.len(), 1, "{lines:?}");
        (decides.concat(), back_when.unwrap_or_default())
    };
    for (web2, rule, back_when) in [
        (web(2, &[("role", "db")]), "selected no role=db does not match ^(?:web)$", ""),
        (
            Candidate { standing: Standing::Itself, ..web(2, &[]) },
            "selected no role=web matches ^(?:web)$, but it is",
            "",
        ),
        (web(2, &[("port", "80;")]), "address no 10.77.0.2, allow = any;  tag port=\"80;\" is not a port", ""),
        (web(2, &[("weight", "0")]), "address down 10.77.0.2", "it has a weight above 0"),
        (Candidate { gossip: Gossip::Failed, ..web(2, &[]) }, "gossip failed", "its agent is back"),
        (Candidate { gossip: Gossip::Left, ..web(2, &[]) }, "gossip left", "it joins again"),
        (Candidate { check: Check::Critical, ..web(2, &[]) }, "checks critical", "its checks pass"),
        (Candidate { drain: Drain::Asked(Rank::Last), ..web(2, &[]) }, "drain asked", "it drains no more"),
        (
            Candidate { flapping: true, ..web(2, &[]) },
            "flapping yes 3 changes in 60 s are too many",
            "its flap hold is over; its witnesses count again then",
        ),
        (web(2, &[]), "gossip alive", ""),
        (Candidate { probe: Probe::Up, ..web(2, &[]) }, "probe up", ""),
    ] {
        let found = decides(web2.clone());
        assert!(found.0.starts_with(rule), "{found:?} {rule}");
        assert_eq!(found.1, back_when, "{rule}");
    }
}

#[test]
fn of_one_that_is_not_selected_nothing_else_is_asked() {
    let (lines, back_when) = told(&options(), web(2, &[("role", "db")]), &Details::default());
    assert_eq!((lines.len(), back_when), (1, None));
}

#[test]
fn a_first_result_that_is_missing_is_laid_to_whom_it_is_missing_of() {
    let probed = Options { probed: true, ..options() };
    let newcomer = |check, probe| Candidate { check, probe, ..web(4, &[]) };
    let decides = |candidate: Candidate| {
        let decision =
            decide(&[web(1, &[]), candidate.clone()], &probed, &History::default(), &Circumstances::default());
        let details = Details { rise: Some(2), ..Details::default() };
        let asked = explain(&candidate, &probed, &decision, &details);
        let judged = decision.members.iter().find(|judged| judged.name == candidate.name).unwrap();
        let rule = asked.iter().find(|asked| asked.decides).unwrap().rule.to_string();
        (rule, back_when(&candidate, &probed, &decision, judged, &details).unwrap_or_default())
    };
    for (check, probe, rule, back_when) in [
        (Check::Wait, Probe::Up, "checks", "its checks pass and it answers the query health"),
        (Check::Passing, Probe::Wait, "probe", "its first probe succeeds"),
        (Check::Critical, Probe::Up, "checks", "its checks pass"),
        (Check::Critical, Probe::Down, "checks", "2 probes in a row succeed (rise 2) and checks pass"),
    ] {
        assert_eq!(decides(newcomer(check, probe)), (rule.to_owned(), back_when.to_owned()));
    }
}

#[test]
fn one_that_moved_is_explained_by_what_is_known_of_its_new_address() {
    let probed = Options { probed: true, ..options() };
    let old = std::net::SocketAddr::from(([10, 77, 0, 2], 80));
    let web2 = Candidate { probe: Probe::Up, probed: Some(old), ..web(2, &[("port", "8080")]) };
    let up = |number| Candidate { probe: Probe::Up, ..web(number, &[]) };
    let mut history = History::default();
    let well = decide(&[up(2)], &probed, &history, &Circumstances::default());
    history.decided(&well);
    history.applied(&well);
    let decision = decide(std::slice::from_ref(&web2), &probed, &history, &Circumstances::default());
    let asked = explain(&web2, &probed, &decision, &Details::default());
    let told = |rule: &str| asked.iter().find(|asked| asked.rule.to_string() == rule).unwrap().clone();
    assert_eq!(told("probe").result, "wait");
    assert_eq!(
        told("address").input,
        "10.77.0.2, allow = any;  port 8080: tag port=8080;  weight 1: no tag weight, default, limits 0..256;  until \
         something vouches for that its line is 10.77.0.2:80"
    );
    assert!(told("panic").decides && told("panic").result == "yes");
}

#[test]
fn weight_0_of_the_last_server_is_no_reason_why_it_is_out_for_it_is_in() {
    let options = options();
    let mut history = History::default();
    let well = decide(&[web(1, &[])], &options, &history, &Circumstances::default());
    history.decided(&well);
    history.applied(&well);
    let web1 = web(1, &[("weight", "0")]);
    let decision = decide(std::slice::from_ref(&web1), &options, &history, &Circumstances::default());
    let asked = explain(&web1, &options, &decision, &Details::default());
    let decides: Vec<String> = asked.iter().filter(|asked| asked.decides).map(|asked| asked.rule.to_string()).collect();
    assert_eq!(decides, ["panic"]);
    let judged = &decision.members[0];
    assert_eq!(back_when(&web1, &options, &decision, judged, &Details::default()), None);
}

#[test]
fn of_a_server_that_is_no_member_its_last_line_is_told_and_no_tag() {
    let options = options();
    let mut history = History::default();
    let well = decide(&[web(1, &[]), web(2, &[("port", "8080")])], &options, &history, &Circumstances::default());
    history.decided(&well);
    history.applied(&well);
    let circumstances = Circumstances { rejoining: true, ..Circumstances::default() };
    let missing = Candidate::missing(NodeName::new("web2").unwrap(), IpAddr::from([10, 77, 0, 2]), true);
    let decision = decide(&[web(1, &[]), missing.clone()], &options, &history, &circumstances);
    let asked = explain(&missing, &options, &decision, &Details::default());
    assert_eq!(asked[1].input, "10.77.0.2, allow = any;  port 8080 and weight 1: its line when it was a member");
}

#[test]
fn while_a_member_flaps_the_end_of_its_hold_is_told_with_whatever_else_keeps_it_out() {
    let options = Options { probed: true, ..options() };
    let until = "2026-11-28T15:12:03Z";
    let details = Details { rise: Some(2), flapping: Some(until.to_owned()), ..Details::default() };
    let back_when = |web2: Candidate| told(&options, Candidate { flapping: true, ..web2 }, &details).1.unwrap();
    let over = format!("its flap hold is over (held down until {until})");
    let well = Candidate { check: Check::Passing, probe: Probe::Up, ..web(2, &[]) };
    assert_eq!(back_when(well.clone()), format!("{over}; its witnesses count again then"));
    let ill = Candidate { check: Check::Critical, ..well.clone() };
    assert_eq!(back_when(ill), format!("its checks pass, and {over}"));
    let down = Candidate { probe: Probe::Down, ..well.clone() };
    assert_eq!(back_when(down), format!("2 probes in a row succeed (rise 2), and {over}"));
    let draining = Candidate { drain: Drain::Asked(Rank::Last), ..well };
    assert_eq!(back_when(draining), format!("it drains no more, and {over}"));
}

#[test]
fn one_that_was_out_before_too_few_were_well_is_out_for_what_is_said_of_it() {
    let options = options();
    let ill = |number| Candidate { check: Check::Critical, ..web(number, &[]) };
    let mut history = History::default();
    let well = decide(&[web(1, &[]), web(2, &[]), ill(3)], &options, &history, &Circumstances::default());
    history.decided(&well);
    history.applied(&well);
    let decision = decide(&[1, 2, 3].map(ill), &options, &history, &Circumstances::default());
    let of = |number: u8| {
        let asked = explain(&ill(number), &options, &decision, &Details::default());
        let rule = asked.iter().find(|asked| asked.decides).unwrap().rule.to_string();
        let judged = &decision.members[usize::from(number) - 1];
        (rule, back_when(&ill(number), &options, &decision, judged, &Details::default()))
    };
    assert_eq!(of(2), ("panic".to_owned(), None), "it is in");
    assert_eq!(of(3), ("checks".to_owned(), Some("its checks pass".to_owned())));
}

#[test]
fn a_backup_says_which_tag_makes_it_one() {
    let address = |tags: &[(&str, &str)]| told(&options(), web(2, tags), &Details::default()).0[1].clone();
    assert!(address(&[("backup", "yes")]).ends_with("limits 0..256;  backup: tag backup=yes"));
    assert!(address(&[("backup", "no")]).ends_with("limits 0..256"));
    assert!(address(&[("backup", "on")]).ends_with("tag backup=\"on\" is neither true nor false, false is used"));
}
