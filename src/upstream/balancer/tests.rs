mod evidence;
mod good;
mod questions;
mod records;
mod storms;

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::upstream::{Gossip, Servers, TagPattern, Want, differences};
use crate::wire::serf::Tags;

const SETTLE: settle::Options = settle::Options {
    quiet: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    min_reload_interval: Duration::from_secs(1),
    jitter: Duration::ZERO,
    retry: Duration::from_secs(60),
    max_retry: Duration::from_secs(600),
};
const LIVE: Applied = Applied::Done { reloaded: true };
const REFUSED: Applied = Applied::Failed { reloaded: false };

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn options(name: &str) -> Options {
    let select = vec![("role".to_owned(), TagPattern::new(name).unwrap())];
    Options::new(UpstreamName::new(name).unwrap(), select)
}

/// Members by number, with role `web`.
fn members(all: &[(u8, Gossip)]) -> Vec<Candidate> {
    let member = |(number, gossip): &(u8, Gossip)| member(*number, *gossip, &[("role", "web")]);
    all.iter().map(member).collect()
}

fn member(number: u8, gossip: Gossip, tags: &[(&str, &str)]) -> Candidate {
    let tags: Tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    let name = NodeName::new(&format!("web{number}")).unwrap();
    Candidate::new(name, IpAddr::from([10, 77, 0, number]), tags, gossip)
}

fn fresh() -> Balancer {
    Balancer::new(vec![options("web")], SETTLE, 7, None, Holds::default(), at(0))
}

/// Members 1 and 2 are alive and in place since 1 s.
fn running() -> Balancer {
    let mut balancer = fresh();
    balancer.handle_members(at(0), members(&[(1, Gossip::Alive), (2, Gossip::Alive)]));
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(vec![1, 2]));
    balancer.handle_applied(at(1000), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 1000), None);
    balancer
}

/// The members that the document of a due apply has in for `web`; none for a placeholder.
fn asked(balancer: &mut Balancer, millis: u64) -> Option<Vec<u8>> {
    balancer.handle_timeout(at(millis));
    let mut asked = None;
    while let Some(output) = balancer.poll_output() {
        if let Output::Apply { desired, .. } = output {
            assert!(asked.is_none() && balancer.is_applying());
            let numbers = |servers: &Servers| servers.serving().map(|server| octet(server.addr.ip())).collect();
            asked = Some(desired.upstreams.values().next().and_then(Target::servers).map(numbers).unwrap_or_default());
        }
    }
    asked
}

/// Where that member serves.
fn addr(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, number], 80))
}

fn octet(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(addr) => addr.octets()[3],
        IpAddr::V6(_) => unreachable!("members have IPv4 addresses"),
    }
}

fn notices(balancer: &mut Balancer, millis: u64) -> Vec<Notice> {
    balancer.handle_timeout(at(millis));
    let notice = |output| match output {
        Output::Tell(notice) => Some(notice),
        Output::Apply { .. } => None,
    };
    std::iter::from_fn(|| balancer.poll_output()).filter_map(notice).collect()
}

fn due(balancer: &Balancer) -> Option<u64> {
    balancer.poll_timeout().map(|at| at.as_nanos() / 1_000_000)
}

#[test]
fn nothing_is_asked_before_the_first_view_is_complete_and_then_at_once() {
    let mut balancer = fresh();
    balancer.handle_members(at(10), members(&[(1, Gossip::Alive)]));
    assert_eq!(asked(&mut balancer, 10), None);
    balancer.handle_members(at(900), members(&[(1, Gossip::Alive), (2, Gossip::Alive)]));
    balancer.handle_first_view(at(900));
    assert_eq!(asked(&mut balancer, 900), Some(vec![1, 2]));
}

#[test]
fn a_first_view_that_nobody_completes_is_taken_for_complete_after_a_while() {
    let mut balancer = fresh();
    balancer.handle_members(at(10), members(&[(1, Gossip::Alive)]));
    assert_eq!(asked(&mut balancer, 10), None);
    assert_eq!(due(&balancer), Some(5000));
    assert_eq!(asked(&mut balancer, 5000), Some(vec![1]));
}

#[test]
fn inputs_of_one_moment_are_decided_about_together() {
    let mut balancer = running();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Alive)]));
    assert_eq!(due(&balancer), Some(3000));
    assert_eq!(asked(&mut balancer, 3000), None);
    assert_eq!(due(&balancer), Some(30_000), "the end of the time in which the missing may come back");
    assert_eq!(asked(&mut balancer, 30_000), None);
    assert_eq!(due(&balancer), None);
}

#[test]
fn nothing_is_asked_while_an_apply_is_under_way() {
    let mut balancer = running();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    assert_eq!(asked(&mut balancer, 3000), Some(vec![1]));
    balancer.handle_members(at(3010), members(&[(1, Gossip::Failed), (2, Gossip::Failed), (3, Gossip::Alive)]));
    assert_eq!(asked(&mut balancer, 9000), None);
    balancer.handle_applied(at(9000), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 10_000), Some(vec![3]));
}

#[test]
fn a_member_back_before_its_removal_is_applied_is_put_in_again() {
    let mut balancer = running();
    let both = || members(&[(1, Gossip::Alive), (2, Gossip::Alive)]);
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    assert_eq!(asked(&mut balancer, 3000), Some(vec![1]));
    // What the removal replaces is what is wanted once more.
    balancer.handle_members(at(3010), both());
    assert_eq!(asked(&mut balancer, 3010), None);
    assert!(balancer.upstreams()[0].is_in_place(), "as far as anybody knows yet");
    balancer.handle_applied(at(3100), LIVE, &[]);
    balancer.handle_timeout(at(3100));
    assert!(!balancer.upstreams()[0].is_in_place());
    assert_eq!(asked(&mut balancer, 4100), Some(vec![1, 2]));
}

#[test]
fn what_was_refused_is_tried_again_after_a_minute_and_what_changed_at_once() {
    let refused = || {
        let mut balancer = running();
        balancer.handle_members(at(31_000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
        assert_eq!(asked(&mut balancer, 31_000), Some(vec![1]));
        balancer.handle_applied(at(31_100), REFUSED, &[]);
        assert_eq!(asked(&mut balancer, 31_100), None);
        assert!(!balancer.upstreams()[0].is_in_place());
        balancer
    };
    let mut balancer = refused();
    assert_eq!(due(&balancer), Some(91_100));
    assert_eq!(asked(&mut balancer, 91_100), Some(vec![1]));
    let mut balancer = refused();
    let changed = members(&[(1, Gossip::Alive), (2, Gossip::Failed), (3, Gossip::Alive)]);
    balancer.handle_members(at(32_000), changed);
    assert_eq!(asked(&mut balancer, 32_200), Some(vec![1, 3]));
}

#[test]
fn what_is_stored_is_in_place_and_tried_again_until_it_is_confirmed() {
    let mut balancer = running();
    balancer.handle_members(at(31_000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    assert_eq!(asked(&mut balancer, 31_000), Some(vec![1]));
    balancer.handle_applied(at(31_100), Applied::Stored, &[]);
    assert_eq!(asked(&mut balancer, 31_100), None);
    assert!(balancer.upstreams()[0].is_in_place());
    assert_eq!(asked(&mut balancer, 91_100), Some(vec![1]));
    balancer.handle_applied(at(91_200), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 91_200), None);
    assert_eq!(due(&balancer), None);
}

#[test]
fn what_is_in_place_is_asked_for_once_more_when_nginx_has_started_anew() {
    let mut balancer = running();
    assert_eq!(asked(&mut balancer, 40_000), None);
    balancer.handle_nginx(at(40_000));
    assert_eq!(asked(&mut balancer, 40_000), Some(vec![1, 2]));
    balancer.handle_applied(at(40_100), Applied::Done { reloaded: false }, &[]);
    assert_eq!(asked(&mut balancer, 40_100), None);
    assert_eq!(due(&balancer), None);
}

#[test]
fn an_end_that_nobody_waits_for_changes_nothing() {
    let mut balancer = running();
    balancer.handle_applied(at(3000), REFUSED, &[]);
    assert_eq!(due(&balancer), Some(30_000));
    assert!(balancer.upstreams()[0].is_in_place());
}

/// Others go on without it; it is tried again until it has its place.
#[test]
fn whoever_waits_for_a_place_is_not_in_place() {
    let mut balancer = Balancer::new(vec![options("db"), options("web")], SETTLE, 7, None, Holds::default(), at(0));
    balancer.handle_members(at(0), members(&[(1, Gossip::Alive), (2, Gossip::Alive)]));
    balancer.handle_first_view(at(900));
    let first = 900;
    assert!(asked(&mut balancer, first).is_some());
    let db = UpstreamName::new("db").unwrap();
    balancer.handle_applied(at(first), Applied::Partly { reloaded: true }, std::slice::from_ref(&db));
    assert!(asked(&mut balancer, first + 1000).is_none());
    let is_in_place: Vec<bool> = balancer.upstreams().iter().map(|upstream| upstream.is_in_place()).collect();
    assert_eq!(is_in_place, [false, true]);
    assert_eq!(asked(&mut balancer, 30_000), None, "and not in a loop");
    let again = due(&balancer).unwrap();
    assert!(asked(&mut balancer, again).is_some(), "it is tried again");
    balancer.handle_applied(at(again), LIVE, &[]);
    assert!(balancer.upstreams().iter().all(Upstream::is_in_place));
}

#[test]
fn a_new_configuration_is_applied_although_the_servers_are_the_same() {
    let mut balancer = running();
    balancer.handle_configuration(at(3000), vec![options("web")], SETTLE);
    assert_eq!(asked(&mut balancer, 3000), None);
    assert_eq!(asked(&mut balancer, 3200), Some(vec![1, 2]));
    // It comes once more, while that is under way.
    balancer.handle_configuration(at(3210), vec![options("web")], SETTLE);
    assert_eq!(asked(&mut balancer, 3210), None);
    balancer.handle_applied(at(3300), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 4300), Some(vec![1, 2]), "by the configuration of now");
    balancer.handle_applied(at(4400), Applied::Done { reloaded: false }, &[]);
    assert_eq!(asked(&mut balancer, 4400), None);
}

#[test]
fn a_configuration_keeps_the_memory_of_the_upstreams_that_it_keeps() {
    let mut balancer = running();
    balancer.handle_configuration(at(3000), vec![options("api"), options("web")], SETTLE);
    balancer.handle_members(at(3000), members(&[(1, Gossip::Suspect), (2, Gossip::Suspect)]));
    balancer.handle_timeout(at(3000));
    let [api, web] = balancer.upstreams() else { panic!("two upstreams") };
    assert_eq!(api.decision().unwrap().want, Want::Placeholder);
    assert_eq!(web.live().unwrap().serving().count(), 2, "who was in stays in without evidence against it");
    balancer.handle_configuration(at(3010), vec![options("api")], SETTLE);
    balancer.handle_configuration(at(3020), vec![options("web")], SETTLE);
    let [web] = balancer.upstreams() else { panic!("one upstream") };
    assert_eq!(web.live().unwrap().serving().count(), 2, "its file was there all the time");
}

#[test]
fn the_last_upstream_taken_away_during_an_apply_is_asked_for_no_more_but_to_clear_its_file() {
    let mut balancer = running();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    assert_eq!(asked(&mut balancer, 3000), Some(vec![1]));
    balancer.handle_configuration(at(3010), Vec::new(), SETTLE);
    balancer.handle_applied(at(3100), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 10_000), Some(Vec::new()));
    balancer.handle_applied(at(10_100), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 100_000), None);
    assert!(balancer.upstreams().is_empty());
}

#[test]
fn the_only_upstream_taken_away_during_its_first_apply_has_a_file_to_clear() {
    let mut balancer = fresh();
    balancer.handle_members(at(0), members(&[(1, Gossip::Alive), (2, Gossip::Alive)]));
    balancer.handle_first_view(at(1000));
    assert_eq!(asked(&mut balancer, 1000), Some(vec![1, 2]));
    balancer.handle_configuration(at(1010), Vec::new(), SETTLE);
    balancer.handle_applied(at(1100), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 10_000), Some(Vec::new()));
    balancer.handle_applied(at(10_100), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 100_000), None);
    balancer.handle_configuration(at(100_000), vec![options("web")], SETTLE);
    assert_eq!(balancer.upstreams()[0].live().unwrap().serving().count(), 2, "it may not have gone");
}

#[test]
fn after_a_restart_who_is_missing_stays_in_for_the_time_of_grace() {
    let mut first = running();
    first.handle_configuration(at(2000), vec![options("web")], SETTLE);
    assert_eq!(asked(&mut first, 2000), None);
    first.handle_timeout(at(2200));
    let apply = |output| match output {
        Output::Apply { desired, .. } => Some(desired),
        Output::Tell(_) => None,
    };
    let live = std::iter::from_fn(|| first.poll_output()).find_map(apply).unwrap();

    let mut balancer = Balancer::new(vec![options("web")], SETTLE, 7, Some(live), Holds::default(), at(0));
    balancer.handle_members(at(0), members(&[(2, Gossip::Alive)]));
    balancer.handle_first_view(at(100));
    assert_eq!(asked(&mut balancer, 100), Some(vec![1, 2]), "whether that is served is for apply to say");
    balancer.handle_applied(at(200), Applied::Done { reloaded: false }, &[]);
    assert_eq!(asked(&mut balancer, 200), None);
    assert_eq!(due(&balancer), Some(30_000));
    assert_eq!(asked(&mut balancer, 30_000), Some(vec![2]));
}

#[test]
fn a_node_that_leaves_decides_nothing_more() {
    let mut balancer = running();
    balancer.leave();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Left), (2, Gossip::Left)]));
    assert_eq!(due(&balancer), None);
    assert_eq!(asked(&mut balancer, 60_000), None);
}

#[test]
fn the_operator_hears_once_of_each_reason_for_which_a_member_is_no_server() {
    let port = |number, value| member(number, Gossip::Alive, &[("role", "web"), ("port", value)]);
    let left_out = |notices: Vec<Notice>| -> Vec<String> {
        let name = |notice| match notice {
            Notice::LeftOut { member, .. } => Some(member.to_string()),
            Notice::Group { .. } | Notice::Isolation { .. } => None,
        };
        notices.into_iter().filter_map(name).collect()
    };
    let mut balancer = fresh();
    balancer.handle_members(at(0), vec![port(1, "x"), port(2, "80;")]);
    assert_eq!(left_out(notices(&mut balancer, 0)), ["web1", "web2"]);
    balancer.handle_members(at(10), vec![port(1, "y"), port(2, "80;"), port(3, "x")]);
    assert_eq!(left_out(notices(&mut balancer, 10)), ["web1", "web3"]);
    balancer.handle_members(at(20), Vec::new());
    assert_eq!(left_out(notices(&mut balancer, 20)), Vec::<String>::new());
}

fn group(
    before: Option<Group>,
    now: Group,
    (serving, base, floor): (usize, usize, usize),
    ill: &[&str],
) -> Vec<Notice> {
    let ill: Vec<_> = ill.iter().map(|name| NodeName::new(name).unwrap()).collect();
    let well = base - ill.len();
    let strength = Strength { serving, well, base, floor, ill };
    vec![Notice::Group { upstream: UpstreamName::new("web").unwrap(), before, now, strength }]
}

#[test]
fn the_operator_hears_when_the_group_does_better_or_worse() {
    use Gossip::{Alive, Failed, Left};
    let hears = |balancer: &mut Balancer, millis, gossip: &[(u8, Gossip)]| {
        balancer.handle_members(at(millis), members(gossip));
        notices(balancer, millis)
    };
    let mut balancer = fresh();
    assert_eq!(hears(&mut balancer, 0, &[]), group(None, Group::Empty, (0, 0, 1), &[]));
    let first = group(Some(Group::Empty), Group::Well, (1, 1, 1), &[]);
    assert_eq!(hears(&mut balancer, 10, &[(1, Alive)]), first);

    let mut balancer = running();
    let last = group(Some(Group::Well), Group::Last, (2, 2, 1), &["web1", "web2"]);
    assert_eq!(hears(&mut balancer, 31_000, &[(1, Failed), (2, Failed)]), last);
    assert_eq!(hears(&mut balancer, 31_500, &[(1, Failed), (2, Failed)]), []);
    let well = group(Some(Group::Last), Group::Well, (2, 2, 1), &[]);
    assert_eq!(hears(&mut balancer, 32_000, &[(1, Alive), (2, Alive)]), well);
    let left = group(Some(Group::Well), Group::AllLeft, (0, 0, 1), &[]);
    assert_eq!(hears(&mut balancer, 33_000, &[(1, Left), (2, Left)]), left);
}

#[test]
fn the_only_server_that_goes_during_its_first_apply_is_told_once_that_has_ended() {
    use Gossip::{Alive, Failed, Left};
    let well = Some(Group::Well);
    for (gone, applied, told) in [
        (Left, LIVE, group(well, Group::AllLeft, (0, 0, 1), &[])),
        (Left, REFUSED, group(well, Group::Empty, (0, 0, 1), &[])),
        (Failed, LIVE, group(well, Group::Last, (1, 1, 1), &["web1"])),
        (Failed, REFUSED, group(well, Group::Empty, (0, 1, 1), &["web1"])),
    ] {
        let mut balancer = fresh();
        balancer.handle_members(at(30_000), members(&[(1, Alive)]));
        balancer.handle_first_view(at(30_000));
        assert_eq!(asked(&mut balancer, 30_000), Some(vec![1]));
        balancer.handle_members(at(30_010), members(&[(1, gone)]));
        assert_eq!(notices(&mut balancer, 30_010), [], "{gone:?} {applied:?}");
        balancer.handle_applied(at(30_100), applied, &[]);
        assert_eq!(notices(&mut balancer, 30_100), told, "{gone:?} {applied:?}");
    }
}

#[test]
fn templates_hear_of_every_member_and_nobody_else_does() {
    let listed = |balancer: &mut Balancer, millis| {
        balancer.handle_timeout(at(millis));
        let document = |output| match output {
            Output::Apply { desired, .. } => Some(desired.members),
            Output::Tell(_) => None,
        };
        let mut documents = std::iter::from_fn(|| balancer.poll_output()).filter_map(document);
        let members = documents.next()?;
        Some(members.as_slice().iter().map(|m| format!("{} {}", m.name, m.status.as_str())).collect::<Vec<_>>())
    };
    let lb = |gossip| member(3, gossip, &[("role", "lb")]);
    let with = |gossip| [members(&[(1, Gossip::Alive), (2, Gossip::Alive)]), vec![lb(gossip)]].concat();
    let mut balancer = running();
    balancer.handle_members(at(3000), with(Gossip::Alive));
    assert_eq!(listed(&mut balancer, 9000), None, "it is no server");

    balancer.handle_templates(at(9000), true);
    assert_eq!(listed(&mut balancer, 9000), None, "one that joins is no bad news");
    assert_eq!(listed(&mut balancer, 9200).unwrap(), ["web1 alive", "web2 alive", "web3 alive"]);
    balancer.handle_applied(at(9200), REFUSED, &[]);
    balancer.handle_members(at(9300), with(Gossip::Suspect));
    assert_eq!(listed(&mut balancer, 69_100), None, "nothing has changed, so it has its time");
    assert_eq!(listed(&mut balancer, 69_200).unwrap().len(), 3);
    balancer.handle_applied(at(69_200), LIVE, &[]);
    assert_eq!(listed(&mut balancer, 200_000), None, "it is in place");
    balancer.handle_members(at(200_000), with(Gossip::Failed));
    assert_eq!(listed(&mut balancer, 200_000), None);
    assert_eq!(listed(&mut balancer, 200_200).unwrap()[2], "web3 failed");

    // Under way while the configuration changes: whatever that puts there, it is looked at again.
    balancer.handle_templates(at(200_300), true);
    balancer.handle_configuration(at(200_300), vec![options("web")], SETTLE);
    balancer.handle_applied(at(200_400), LIVE, &[]);
    assert_eq!(listed(&mut balancer, 200_400), None, "a reload was just now");
    assert_eq!(listed(&mut balancer, 201_400).unwrap().len(), 3);
    balancer.handle_applied(at(201_400), LIVE, &[]);
    balancer.handle_templates(at(202_000), false);
    balancer.handle_members(at(202_000), with(Gossip::Alive));
    assert_eq!(listed(&mut balancer, 300_000), None);
}

#[test]
fn templates_need_no_upstream() {
    let mut balancer = Balancer::new(Vec::new(), SETTLE, 7, None, Holds::default(), at(0));
    balancer.handle_templates(at(0), true);
    balancer.handle_members(at(0), members(&[(1, Gossip::Alive)]));
    balancer.handle_first_view(at(1000));
    balancer.handle_timeout(at(1000));
    let Some(Output::Apply { desired, .. }) = balancer.poll_output() else { panic!("it asks for nothing") };
    assert!(desired.upstreams.is_empty() && desired.members.as_slice().len() == 1);
}

fn names(upstreams: &[&str]) -> BTreeSet<UpstreamName> {
    upstreams.iter().map(|name| UpstreamName::new(name).unwrap()).collect()
}

fn hold() -> Hold {
    Hold { since: 1, reason: None }
}

/// The causes of the due apply.
fn causes(balancer: &mut Balancer, millis: u64) -> Vec<String> {
    balancer.handle_timeout(at(millis));
    let causes = |output| match output {
        Output::Apply { causes, .. } => Some(causes),
        Output::Tell(_) => None,
    };
    let causes = std::iter::from_fn(|| balancer.poll_output()).find_map(causes).unwrap();
    causes.as_slice().iter().map(ToString::to_string).collect()
}

#[test]
fn a_held_upstream_stays_as_it_was_but_for_departures() {
    use Gossip::{Alive, Failed, Left};
    let heavy = member(1, Alive, &[("role", "web"), ("weight", "9")]);
    let deselected = member(2, Alive, &[("role", "db")]);
    let mine = || members(&[(1, Alive), (2, Alive)]);
    for (what, known, wanted) in [
        ("one joins", members(&[(1, Alive), (2, Alive), (3, Alive)]), None),
        ("one fails", members(&[(1, Alive), (2, Failed)]), None),
        ("all fail", members(&[(1, Failed), (2, Failed)]), None),
        ("one changes its weight", vec![heavy, mine().remove(1)], None),
        ("one changes its role", vec![mine().remove(0), deselected], None),
        ("one leaves", members(&[(1, Alive), (2, Left)]), Some(vec![1])),
        ("one leaves, one joins", members(&[(1, Alive), (2, Left), (3, Alive)]), Some(vec![1])),
    ] {
        let mut balancer = running();
        balancer.handle_hold(at(31_000), &names(&["web"]), &hold());
        assert_eq!(asked(&mut balancer, 31_000), Some(vec![1, 2]), "{what}: the hold is stored");
        balancer.handle_applied(at(31_000), Applied::Done { reloaded: false }, &[]);
        balancer.handle_members(at(40_000), known);
        balancer.handle_timeout(at(40_000));
        assert_eq!(asked(&mut balancer, 43_000), wanted, "{what}");
    }
}

#[test]
fn a_hold_keeps_what_is_in_place_and_not_the_last_good_set() {
    use Gossip::{Alive, Failed};
    let all = |third, fourth| members(&[(1, Alive), (2, Alive), (3, third), (4, fourth)]);
    let mut balancer = fresh();
    balancer.handle_members(at(30_000), all(Alive, Alive));
    balancer.handle_first_view(at(30_000));
    assert_eq!(asked(&mut balancer, 30_000), Some(vec![1, 2, 3, 4]));
    balancer.handle_applied(at(30_000), LIVE, &[]);
    // Three of four are dead: mode floor, in which the good set is not replaced.
    let mut dead = all(Failed, Failed);
    dead[1] = member(2, Failed, &[("role", "web")]);
    balancer.handle_members(at(40_000), dead.clone());
    assert_eq!(asked(&mut balancer, 40_000), Some(vec![1]));
    balancer.handle_applied(at(40_000), LIVE, &[]);
    balancer.handle_hold(at(41_000), &names(&["web"]), &hold());
    assert_eq!(asked(&mut balancer, 41_000), Some(vec![1]));
    balancer.handle_applied(at(41_000), Applied::Done { reloaded: false }, &[]);
    balancer.handle_members(at(42_000), all(Alive, Alive));
    assert_eq!(asked(&mut balancer, 60_000), None, "nor does anybody come back");
}

#[test]
fn a_hold_before_anything_is_in_place_is_stored_and_leaves_the_upstream_out() {
    let document = |balancer: &mut Balancer, millis| {
        balancer.handle_timeout(at(millis));
        let upstreams = |output| match output {
            Output::Apply { desired, .. } => Some(desired.upstreams.len()),
            Output::Tell(_) => None,
        };
        std::iter::from_fn(|| balancer.poll_output()).find_map(upstreams)
    };
    for known in [members(&[]), members(&[(1, Gossip::Alive), (2, Gossip::Alive)])] {
        let mut balancer = fresh();
        balancer.handle_members(at(0), known);
        balancer.handle_first_view(at(1000));
        assert_eq!(document(&mut balancer, 1000), Some(1));
        balancer.handle_applied(at(1000), REFUSED, &[]);
        balancer.handle_hold(at(2000), &names(&["web"]), &hold());
        assert_eq!(document(&mut balancer, 2000), Some(0));
        balancer.handle_applied(at(2000), Applied::Done { reloaded: false }, &[]);
        balancer.handle_members(at(40_000), members(&[(1, Gossip::Alive)]));
        assert_eq!(document(&mut balancer, 90_000), None);
        balancer.handle_release(at(100_000), &names(&["web"]));
        assert_eq!(asked(&mut balancer, 100_000), Some(vec![1]), "as ever");
    }
}

#[test]
fn what_was_held_back_comes_with_the_release() {
    let mut balancer = running();
    balancer.handle_hold(at(3000), &names(&["web"]), &hold());
    assert_eq!(causes(&mut balancer, 3000), [""; 0]);
    balancer.handle_applied(at(3000), Applied::Done { reloaded: false }, &[]);
    balancer.handle_members(at(4000), members(&[(1, Gossip::Alive), (2, Gossip::Alive), (3, Gossip::Alive)]));
    assert_eq!(asked(&mut balancer, 9000), None);
    assert_eq!(balancer.holds().iter().count(), 1);
    let released: Vec<_> = balancer
        .released(at(9000))
        .map(|(upstream, decision)| {
            let Want::Servers(servers) = decision.want else { panic!("there are some") };
            differences(upstream.live(), Some(&servers)).len()
        })
        .collect();
    assert_eq!(released, [1], "web3 alone waits");
    balancer.handle_release(at(9000), &names(&["web"]));
    assert_eq!(causes(&mut balancer, 9000), ["operator", "web3 joined"], "at once");
    balancer.handle_applied(at(9300), REFUSED, &[]);
    assert_eq!(causes(&mut balancer, 69_300), ["operator", "web3 joined"], "until it is in place");
    assert!(balancer.holds().is_empty());
    assert_eq!(balancer.released(at(69_300)).count(), 0);
}

#[test]
fn a_hold_that_comes_during_an_apply_is_carried_by_the_next_one() {
    let mut balancer = running();
    balancer.handle_members(at(31_000), members(&[(1, Gossip::Alive), (2, Gossip::Failed)]));
    assert_eq!(asked(&mut balancer, 31_000), Some(vec![1]));
    balancer.handle_hold(at(31_010), &names(&["web"]), &hold());
    assert_eq!(asked(&mut balancer, 31_010), None);
    balancer.handle_applied(at(31_100), LIVE, &[]);
    assert_eq!(asked(&mut balancer, 31_100), Some(vec![1]), "as it was when the apply ended");
    balancer.handle_applied(at(31_200), Applied::Done { reloaded: false }, &[]);
    assert_eq!(asked(&mut balancer, 31_200), None);
    balancer.handle_hold(at(31_300), &names(&["web"]), &hold());
    assert_eq!(asked(&mut balancer, 31_300), None, "it is held already");
    assert_eq!(due(&balancer), None);
}

#[test]
fn holds_and_what_they_keep_outlive_a_restart() {
    let live = |numbers: &[u8]| {
        let mut balancer = fresh();
        balancer.handle_members(at(0), members(&numbers.iter().map(|n| (*n, Gossip::Alive)).collect::<Vec<_>>()));
        balancer.handle_first_view(at(0));
        balancer.handle_timeout(at(0));
        let apply = |output| match output {
            Output::Apply { desired, .. } => Some(desired),
            Output::Tell(_) => None,
        };
        std::iter::from_fn(|| balancer.poll_output()).find_map(apply).unwrap()
    };
    let mut holds = Holds::default();
    holds.hold(UpstreamName::new("web").unwrap(), hold());
    let mut balancer = Balancer::new(vec![options("web")], SETTLE, 7, Some(live(&[1, 2])), holds.clone(), at(0));
    balancer.handle_members(at(0), members(&[(1, Gossip::Alive), (2, Gossip::Failed), (3, Gossip::Alive)]));
    balancer.handle_first_view(at(100));
    assert_eq!(asked(&mut balancer, 100), Some(vec![1, 2]));
    balancer.handle_applied(at(200), Applied::Done { reloaded: false }, &[]);

    // A rollback: nothing is asked meanwhile, and what it put in place is what is held.
    balancer.suspend();
    balancer.handle_release(at(40_000), &names(&["web"]));
    assert_eq!(asked(&mut balancer, 50_000), None);
    balancer.handle_rolled_back(at(50_000), LIVE, Some(live(&[1])), &holds);
    assert_eq!(asked(&mut balancer, 51_000), Some(vec![1]));
    balancer.handle_applied(at(51_100), Applied::Done { reloaded: false }, &[]);
    assert_eq!(balancer.upstreams()[0].live().unwrap().serving().count(), 1);
    assert_eq!(asked(&mut balancer, 59_000), None);
}

#[test]
fn what_was_refused_is_tried_again_after_a_rollback_to_what_is_in_place() {
    let mut balancer = running();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive), (2, Gossip::Alive), (3, Gossip::Alive)]));
    assert_eq!(asked(&mut balancer, 3000), None);
    assert_eq!(asked(&mut balancer, 3200), Some(vec![1, 2, 3]));
    balancer.handle_applied(at(3300), REFUSED, &[]);
    balancer.suspend();
    balancer.handle_rolled_back(at(5000), Applied::Done { reloaded: false }, None, &Holds::default());
    assert_eq!(asked(&mut balancer, 63_000), None);
    assert_eq!(asked(&mut balancer, 63_300), Some(vec![1, 2, 3]));
}

#[test]
fn what_operators_hold_and_release_during_a_rollback_stays_so() {
    let mut holds = Holds::default();
    holds.hold(UpstreamName::new("web").unwrap(), hold());
    let mut balancer = Balancer::new(vec![options("web"), options("api")], SETTLE, 7, None, holds.clone(), at(0));
    balancer.handle_first_view(at(0));
    balancer.suspend();
    balancer.handle_hold(at(10), &names(&["api"]), &hold());
    balancer.handle_release(at(10), &names(&["web"]));
    balancer.handle_rolled_back(at(20), LIVE, None, &Holds::default());
    let held: Vec<_> = balancer.holds().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(held, ["api"]);
    assert!(asked(&mut balancer, 20).is_some(), "a job that makes it last is due at once");
}
