use std::time::Duration;

use super::*;
use crate::time::Instant;
use crate::upstream::desired::Target;
use crate::upstream::{
    Candidate, Check, Circumstances, Drain, Gossip, History, Options, Rank, TagPattern, UpstreamName, decide,
};
use crate::wire::NodeName;

fn member(name: &str, tags: &[(&str, &str)], gossip: Gossip) -> Candidate {
    let last: u8 = name.bytes().last().unwrap();
    let tags = [("role", "web")].iter().chain(tags).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Candidate::new(NodeName::new(name).unwrap(), [10, 0, 0, last].into(), tags.collect(), gossip)
}

fn options() -> Options {
    let select = vec![("role".to_owned(), TagPattern::new("web").unwrap())];
    Options::new(UpstreamName::new("web").unwrap(), select)
}

fn decided(members: &[Candidate]) -> Upstream {
    let web = UpstreamName::new("web").unwrap();
    let decision = decide(members, &options(), &History::default(), &Circumstances::default());
    Upstream::decided(&web, &decision, decision.target().as_ref().and_then(Target::servers))
}

fn states(upstream: &Upstream) -> Vec<(&str, ServerState, f64)> {
    upstream.servers.iter().map(|server| (&*server.member, *server.state.word().unwrap(), server.share)).collect()
}

#[test]
fn every_selected_member_has_its_state_and_share() {
    let mut leaving = member("d", &[], Gossip::Alive);
    leaving.drain = Drain::Promised;
    let upstream = decided(&[
        member("a", &[], Gossip::Alive),
        member("b", &[("weight", "3")], Gossip::Alive),
        member("c", &[("weight", "0")], Gossip::Alive),
        leaving,
        member("e", &[], Gossip::Left),
        member("f", &[("port", "80;")], Gossip::Alive),
        member("g", &[("backup", "true")], Gossip::Alive),
    ]);
    use ServerState::{Down, Draining, Gone, In};
    assert_eq!(
        states(&upstream),
        [("a", In, 0.25), ("b", In, 0.75), ("c", Down, 0.0), ("d", Draining, 0.0), ("e", Gone, 0.0), ("g", In, 0.0)]
    );
    assert_eq!((upstream.servers[2].why.as_str(), upstream.serving()), ("weight 0", 3));
    assert_eq!((upstream.mode, upstream.want), (Some(Mode::Normal.into()), Some(Want::Servers.into())));
    let left_out = &upstream.left_out[0];
    assert_eq!((left_out.member.as_str(), &left_out.reason), ("f", &LeftOutReason::NotAPort.into()));
    assert_eq!(left_out.why, "tag port=\"80;\" is not a port, it is left out");
}

#[test]
fn who_stays_a_while_after_a_panic_is_not_told_that_too_few_are_well() {
    let (web, mut history) = (UpstreamName::new("web").unwrap(), History::default());
    let mut told = |seconds: u64, checks: [Check; 2], drains: bool| {
        let mut all = [member("a", &[], Gossip::Alive), member("b", &[], Gossip::Alive)];
        (all[0].check, all[1].check) = (checks[0], checks[1]);
        all[0].drain = if drains { Drain::Asked(Rank::Last) } else { Drain::No };
        let now = Instant::ZERO + Duration::from_secs(seconds);
        let decision = decide(&all, &options(), &history, &Circumstances { now, ..Circumstances::default() });
        history.decided(&decision);
        history.applied(&decision);
        let told = Upstream::decided(&web, &decision, decision.target().as_ref().and_then(Target::servers));
        (told.panic, told.servers[0].state.clone(), told.servers[0].why.clone())
    };
    let (ill, well) = (Check::Critical, Check::Passing);
    told(0, [well, well], false);
    let (panic, state, why) = told(1, [ill, ill], false);
    assert_eq!(
        (panic, state, why.as_str()),
        (true, ServerState::In.into(), "kept in: too few would be left (says itself that it is critical)")
    );
    for (drains, wanted) in [
        (false, "kept in for a moment yet: too few were well just before (says itself that it is critical)"),
        (true, "draining refused for a moment yet: too few were well just before (says itself that it is critical)"),
    ] {
        assert_eq!(told(2, [ill, well], drains), (false, ServerState::In.into(), wanted.to_owned()));
    }
    assert_eq!(told(13, [ill, well], false).1, ServerState::Down.into(), "that is over");
}

#[test]
fn shares_are_of_what_is_live_whatever_is_wanted() {
    let decide = |members: &[Candidate]| decide(members, &options(), &History::default(), &Circumstances::default());
    let live = decide(&[member("a", &[], Gossip::Alive), member("b", &[], Gossip::Alive)]).target().unwrap();
    let wanted = decide(&[member("a", &[("weight", "3")], Gossip::Alive), member("b", &[], Gossip::Failed)]);
    let web = UpstreamName::new("web").unwrap();
    let shares =
        |live| Upstream::decided(&web, &wanted, live).servers.iter().map(|server| server.share).collect::<Vec<_>>();
    assert_eq!(shares(live.servers()), [0.5, 0.5]);
    assert_eq!(shares(None), [0.0, 0.0]);
}

#[test]
fn backups_share_where_nobody_else_is() {
    let upstream =
        decided(&[member("a", &[("backup", "yes")], Gossip::Alive), member("b", &[("weight", "0")], Gossip::Alive)]);
    assert_eq!(states(&upstream)[0], ("a", ServerState::In, 1.0));
}

#[test]
fn whoever_has_no_line_is_not_in() {
    let mut twin = member("b", &[], Gossip::Alive);
    twin.addr = [10, 0, 0, b'a'].into();
    let upstream = decided(&[member("a", &[], Gossip::Alive), twin]);
    assert_eq!(states(&upstream), [("a", ServerState::In, 1.0), ("b", ServerState::LeftOut, 0.0)]);
    assert_eq!(upstream.left_out[0].reason, LeftOutReason::Duplicate.into());
    let nobody = decided(&[member("a", &[], Gossip::Left)]);
    assert_eq!((nobody.want, nobody.mode), (Some(Want::Placeholder.into()), Some(Mode::Last.into())));
}

#[test]
fn who_is_out_is_never_called_kept() {
    use crate::upstream::{Check, Rank};
    let ill = |name: &str| Candidate { check: Check::Critical, ..member(name, &[], Gossip::Alive) };
    let mut history = History::default();
    let mut decide = |members: &[Candidate]| {
        let decision = decide(members, &options(), &history, &Circumstances::default());
        history.decided(&decision);
        history.applied(&decision);
        Upstream::decided(
            &UpstreamName::new("web").unwrap(),
            &decision,
            decision.target().as_ref().and_then(Target::servers),
        )
    };
    let well = |name: &str| member(name, &[], Gossip::Alive);
    // d has been out before the others fall ill.
    decide(&[well("a"), well("b"), well("c"), ill("d")]);
    let told = |upstream: &Upstream| {
        let line = |server: &Server| format!("{} {}: {}", server.member, server.state, server.why);
        upstream.servers.iter().map(line).collect::<Vec<_>>()
    };
    let floor = decide(&[well("a"), ill("b"), ill("c"), ill("d")]);
    assert_eq!(
        told(&floor)[1..],
        [
            "b in: kept in: too few would be left (says itself that it is critical)",
            "c in: kept in: too few would be left (says itself that it is critical)",
            "d down: says itself that it is critical",
        ]
    );
    let drains = Candidate { drain: Drain::Asked(Rank::Last), ..ill("d") };
    let floor = decide(&[well("a"), ill("b"), ill("c"), drains]);
    assert_eq!(told(&floor)[3], "d down: wants no requests, and was out before (says itself that it is critical)");
    let last = decide(&["a", "b", "c", "d"].map(|name| member(name, &[], Gossip::Failed)));
    let failed = "(failed, nothing vouches for it)";
    assert_eq!(told(&last)[0], format!("a in: nobody vouched for at all: last good set kept {failed}"));
    assert_eq!(told(&last)[3], format!("d down: not in the last good set, which is kept {failed}"));
}

#[test]
fn who_is_in_for_a_hold_alone_is_told_apart() {
    let (web, mut history) = (UpstreamName::new("web").unwrap(), History::default());
    let mut told = |gossip: Gossip, held: bool| {
        let all = [member("a", &[], Gossip::Alive), member("b", &[], gossip), member("c", &[], Gossip::Alive)];
        let decision = decide(&all, &options(), &history, &Circumstances { held, ..Circumstances::default() });
        history.decided(&decision);
        history.applied(&decision);
        let told = Upstream::decided(&web, &decision, decision.target().as_ref().and_then(Target::servers));
        let held_in = told.servers.iter().filter(|server| server.is_held_in());
        (told.serving(), held_in.map(|server| server.member.clone()).collect::<Vec<_>>())
    };
    assert_eq!(told(Gossip::Alive, false), (3, Vec::new()));
    assert_eq!(told(Gossip::Alive, true), (3, Vec::new()), "nothing speaks against them");
    assert_eq!(told(Gossip::Failed, true), (3, vec!["b".to_owned()]));
    assert_eq!(told(Gossip::Failed, false), (2, Vec::new()), "it is gone with the release");
}
