use super::*;
use crate::upstream::desired::Target;
use crate::upstream::{Candidate, Circumstances, Drain, Gossip, History, Options, TagPattern, UpstreamName, decide};
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
