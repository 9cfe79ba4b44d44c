use std::net::IpAddr;

use super::*;
use crate::upstream::{
    Candidate, Check, Circumstances, Drain, Gossip, Options, Probe, Rank, TagPattern, UpstreamName, decide,
};
use crate::wire::serf::Tags;

fn options() -> Options {
    let select = vec![("role".to_owned(), TagPattern::new("web").unwrap())];
    Options::new(UpstreamName::new("web").unwrap(), select)
}

/// `web3` is at 10.77.0.3.
fn web(number: u8, gossip: Gossip, tags: &[(&str, &str)]) -> Candidate {
    let mut tags: Tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    tags.entry("role".to_owned()).or_insert_with(|| "web".to_owned());
    let name = NodeName::new(&format!("web{number}")).unwrap();
    Candidate::new(name, IpAddr::from([10, 77, 0, number]), tags, gossip)
}

fn alive(number: u8) -> Candidate {
    web(number, Gossip::Alive, &[])
}

/// The causes of the last step, after all before it were applied.
fn told(steps: &[&[Candidate]]) -> Vec<String> {
    let (mut history, mut told) = (History::default(), Vec::new());
    for members in steps {
        let decision = decide(members, &options(), &history, &Circumstances::default());
        told = causes(&history, &decision).iter().map(ToString::to_string).collect();
        history.decided(&decision);
        history.applied(&decision);
    }
    told
}

#[test]
fn a_change_is_told_by_what_happened_to_the_member() {
    let three = || [alive(1), alive(2), alive(3)];
    let tagged = |tags: &[(&str, &str)]| [alive(1), alive(2), web(3, Gossip::Alive, tags)];
    let by_gossip = |gossip| [alive(1), alive(2), web(3, gossip, &[])];
    let checked = |check| [alive(1), alive(2), Candidate { check, ..alive(3) }];
    let probed = |gossip, probe| [alive(1), alive(2), Candidate { probe, ..web(3, gossip, &[]) }];
    let moved = [alive(1), alive(2), Candidate { addr: IpAddr::from([10, 77, 0, 9]), ..alive(3) }];
    let drains = [alive(1), alive(2), Candidate { drain: Drain::Asked(Rank::Last), ..alive(3) }];
    let flaps = [alive(1), alive(2), Candidate { flapping: true, ..alive(3) }];
    // What is known next of three that are well, and what that is a cause of.
    for (next, cause) in [
        (three(), None),
        (tagged(&[("weight", "2")]), Some("web3 tags changed")),
        (tagged(&[("weight", "0")]), Some("web3 tags changed")),
        (tagged(&[("role", "db")]), Some("web3 not selected")),
        (tagged(&[("port", "x")]), Some("web3 left out")),
        (by_gossip(Gossip::Failed), Some("web3 failed")),
        (by_gossip(Gossip::Leaving), Some("web3 left")),
        (by_gossip(Gossip::Suspect), None),
        (checked(Check::Critical), Some("web3 critical")),
        (checked(Check::Silent), Some("web3 silent")),
        (checked(Check::Warning), Some("web3 warning")),
        (probed(Gossip::Alive, Probe::Down), Some("web3 probe down")),
        (probed(Gossip::Suspect, Probe::Down), Some("web3 probe down")),
        (moved, Some("web3 moved")),
        (drains, Some("web3 draining")),
        (flaps, Some("web3 flapping")),
    ] {
        assert_eq!(told(&[&three(), &next]), Vec::from_iter(cause), "{next:?}");
    }
}

#[test]
fn who_comes_is_told_from_who_comes_back() {
    let ill = || [alive(1), alive(2), Candidate { check: Check::Critical, ..alive(3) }];
    let well = || [alive(1), alive(2), alive(3)];
    assert_eq!(told(&[&[alive(1)]]), ["web1 joined"]);
    assert_eq!(told(&[&well(), &ill(), &well()]), ["web3 is back"]);
    assert_eq!(told(&[&well(), &[alive(1)]]), ["web2 failed", "web3 failed"], "forgotten, and so taken for failed");
}

#[test]
fn a_weight_that_is_only_reduced_otherwise_is_nobodys_doing() {
    let heavy = |number, weight: &str| web(number, Gossip::Alive, &[("weight", weight)]);
    let two = || [heavy(1, "2"), heavy(2, "4")];
    assert_eq!(told(&[&two(), &[heavy(1, "2"), web(2, Gossip::Left, &[])]]), ["web2 left"]);
    assert_eq!(told(&[&two(), &[heavy(1, "4"), heavy(2, "4")]]), ["web1 tags changed"]);
    // An agent that was started anew knows the lines alone.
    let live = decide(&two(), &options(), &History::default(), &Circumstances::default()).target().unwrap();
    let history = History::restored(live);
    let decision = decide(&[heavy(1, "4"), heavy(2, "4")], &options(), &history, &Circumstances::default());
    assert_eq!(Vec::from_iter(causes(&history, &decision)).len(), 1);
}

fn joined(count: usize) -> Vec<Cause> {
    (1..=count).map(|n| Cause::of(&NodeName::new(&format!("web{n}")).unwrap(), MemberEvent::Joined)).collect()
}

#[test]
fn causes_read_back_and_a_line_tells_the_first_of_them() {
    let causes: Causes = [Cause::Operator, Cause::Configuration].into_iter().chain(joined(1)).collect();
    let json = r#"["operator","configuration",{"member":{"member":"web1","event":"joined"}}]"#;
    assert_eq!(serde_json::to_string(&causes).unwrap(), json);
    assert_eq!(serde_json::from_str::<Causes>(json).unwrap(), causes);
    for (count, text) in [
        (0, ""),
        (1, "web1 joined"),
        (3, "web1 joined, web2 joined, web3 joined"),
        (5, "web1 joined, web2 joined, web3 joined and 2 more"),
    ] {
        assert_eq!(joined(count).into_iter().collect::<Causes>().to_string(), text);
    }
}

#[test]
fn what_nobody_reads_is_left_out_and_refused_of_others() {
    assert_eq!(joined(Causes::MAX + 1).into_iter().collect::<Causes>().as_slice().len(), Causes::MAX);
    assert_eq!(Causes::try_from(joined(Causes::MAX + 1)).unwrap_err(), "65 causes are too many, the limit is 64");
}
