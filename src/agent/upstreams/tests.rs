//! What the debounce is asked for while applies are under way.

use std::net::IpAddr;

use super::*;
use crate::upstream::TagPattern;
use crate::wire::serf::Tags;

/// What is decided of these members, which are alive or failed.
fn decided(upstream: &mut Upstream, members: &[(u8, Gossip)]) -> Decision {
    let member = |(number, gossip): &(u8, Gossip)| {
        let tags = Tags::from([("role".to_owned(), "web".to_owned())]);
        let name = NodeName::new(&format!("web{number}")).unwrap();
        Candidate::new(name, IpAddr::from([10, 77, 0, *number]), tags, *gossip)
    };
    let members: Vec<_> = members.iter().map(member).collect();
    let decision = decide(&members, &upstream.options, &upstream.previous, &Circumstances::default());
    upstream.previous.decided(&decision);
    decision
}

fn upstream() -> Upstream {
    let select = vec![("role".to_owned(), TagPattern::new("web").unwrap())];
    Upstream::new(&Options::new(UpstreamName::new("web").unwrap(), select), None)
}

#[test]
fn member_back_before_its_removal_is_applied_is_put_in_again() {
    let mut web = upstream();
    let both = [(1, Gossip::Alive), (2, Gossip::Alive)];
    let one = [(1, Gossip::Alive), (2, Gossip::Failed)];
    let first = decided(&mut web, &both);
    assert_eq!(web.ask(&first), Ask::New(News::Ordinary));
    web.put_in_place(first);

    let removal = decided(&mut web, &one);
    assert_eq!(web.ask(&removal), Ask::New(News::Bad));
    // It is under way, and what it replaces is what is wanted once more.
    let back = decided(&mut web, &both);
    assert_eq!(web.ask(&back), Ask::Nothing);
    web.put_in_place(removal);
    let back = decided(&mut web, &both);
    assert_eq!(web.ask(&back), Ask::New(News::Ordinary));
}

#[test]
fn what_could_not_be_applied_is_asked_for_once_and_what_changed_at_once() {
    let mut web = upstream();
    let first = decided(&mut web, &[(1, Gossip::Alive)]);
    assert_eq!(web.ask(&first), Ask::New(News::Ordinary));
    assert_eq!(web.ask(&first), Ask::Again);
    let more = decided(&mut web, &[(1, Gossip::Alive), (2, Gossip::Alive)]);
    assert_eq!(web.ask(&more), Ask::New(News::Ordinary));
    assert_eq!(web.ask(&first), Ask::New(News::Ordinary));
}

#[test]
fn who_cannot_be_a_server_is_named_once_for_each_reason() {
    let port = |name: &str, value: &str| {
        let reason = LeftOut::NotAPort { tag: "port".into(), value: value.into() };
        (NodeName::new(name).unwrap(), reason)
    };
    let before = [port("web1", "x"), port("web2", "80;")];
    let after = [port("web1", "y"), port("web2", "80;"), port("web3", "x")];
    let news: Vec<_> = newly_left_out(&before, &after).map(|(name, _)| name.to_string()).collect();
    assert_eq!(news, ["web1", "web3"]);
    assert_eq!(newly_left_out(&after, &before[..0]).count(), 0);
}
