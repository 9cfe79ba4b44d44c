//! A balancer's life, each stage with what it must do.

use std::time::Duration;

use weir::sim::NodeId;
use weir::upstream::OnEmpty;
use weir::upstream::balancer::{Group, Notice};

use super::nginx::Mood;
use super::world::{BALANCER, World, upstream};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The balancer and three backends with role `web`, all in, past the time in which those who are missing may come back.
fn settled(seed: u64) -> World {
    let mut world = World::new(seed, 3);
    world.upstreams = vec![upstream("web")];
    for node in 1..=3 {
        world.start(NodeId(node), "web");
    }
    world.start(BALANCER, "lb");
    world.advance(seconds(40));
    assert_eq!(world.in_place("web"), [1, 2, 3]);
    world
}

/// The time until `done`, in steps of a tenth of a second.
fn until(world: &mut World, limit: Duration, done: impl Fn(&World) -> bool) -> Duration {
    let start = world.sim.now();
    while !done(world) {
        assert!(world.sim.now().since(start) < limit, "waited for {limit:?}");
        world.advance(Duration::from_millis(100));
    }
    world.sim.now().since(start)
}

#[test]
fn a_first_start_without_anybody_places_the_placeholder_and_the_first_join_replaces_it() {
    let mut world = World::new(1, 2);
    world.upstreams = vec![upstream("web")];
    world.start(BALANCER, "lb");
    world.advance(seconds(4));
    assert_eq!(world.asked, 0, "it may be that somebody is found yet");
    world.advance(seconds(2));
    assert_eq!((world.asked, world.in_place("web")), (1, Vec::new()));
    assert!(matches!(world.notices[..], [Notice::Group { now: Group::Empty, .. }]));
    world.start(NodeId(1), "web");
    let took = until(&mut world, seconds(10), |world| world.in_place("web") == [1]);
    assert!(took < seconds(2), "{took:?}");
}

#[test]
fn a_start_among_members_is_applied_with_the_first_join_and_costs_one_reload() {
    let world = settled(2);
    assert_eq!((world.asked, world.nginx.generation), (1, 1));
}

#[test]
fn a_suspicion_changes_nothing_and_a_death_takes_out_without_waiting_for_quiet() {
    let mut world = settled(3);
    world.sim.pause(NodeId(2));
    let suspect = |world: &World| {
        let swim = world.sim.endpoint(BALANCER).unwrap().swim();
        swim.member(world.sim.name(NodeId(2))).is_some_and(|member| member.state.is_suspect())
    };
    until(&mut world, seconds(30), suspect);
    world.sim.resume(NodeId(2));
    world.advance(seconds(10));
    assert_eq!((world.asked, world.in_place("web")), (1, vec![1, 2, 3]), "it has refuted");

    world.kill(NodeId(2));
    until(&mut world, seconds(60), |world| world.in_place("web") == [1, 3]);
    assert_eq!(world.asked, 2);
    world.start(NodeId(2), "web");
    until(&mut world, seconds(60), |world| world.in_place("web") == [1, 2, 3]);
    assert_eq!(world.asked, 3);
}

#[test]
fn a_leave_takes_out_who_leaves_and_nobody_else() {
    let mut world = settled(4);
    world.leave(NodeId(1));
    until(&mut world, seconds(10), |world| world.in_place("web") == [2, 3]);
    world.advance(seconds(60));
    assert_eq!(world.asked, 2);
}

#[test]
fn the_last_servers_stay_when_all_are_dead_and_go_for_the_first_that_is_back() {
    let mut world = settled(5);
    for node in 1..=3 {
        world.kill(NodeId(node));
    }
    world.advance(seconds(60));
    // Who was found dead while enough others were well is out of the last good set.
    assert!(world.in_place("web").len() >= 2, "{:?}", world.in_place("web"));
    assert!(world.notices.iter().any(|notice| matches!(notice, Notice::Group { now: Group::Last, .. })));
    world.start(NodeId(3), "web");
    until(&mut world, seconds(30), |world| world.in_place("web") == [3]);
}

#[test]
fn with_on_empty_error_nobody_left_is_the_placeholder() {
    let mut world = settled(6);
    world.upstreams[0].policy.on_empty = OnEmpty::Error;
    world.reconfigure();
    for node in 1..=3 {
        world.leave(NodeId(node));
    }
    until(&mut world, seconds(30), |world| world.in_place("web").is_empty());
    assert!(world.notices.iter().any(|notice| matches!(notice, Notice::Group { now: Group::Empty, .. })));
}

#[test]
fn a_restart_takes_nobody_out_and_reloads_nothing_that_is_served() {
    let mut world = settled(7);
    world.kill(BALANCER);
    world.advance(seconds(5));
    world.start(BALANCER, "lb");
    world.advance(seconds(60));
    assert_eq!((world.in_place("web"), world.nginx.generation), (vec![1, 2, 3], 1));
    assert_eq!(world.asked, 2, "apply is asked once what it knows");
}

#[test]
fn a_member_that_died_during_a_restart_goes_once_the_time_of_grace_is_over() {
    let mut world = settled(8);
    world.kill(BALANCER);
    world.kill(NodeId(2));
    // The others forget it meanwhile.
    world.advance(seconds(20));
    for node in [NodeId(1), NodeId(3)] {
        let name = world.sim.name(NodeId(2)).clone();
        world.sim.with(node, |endpoint, now| endpoint.force_leave(now, name.as_str(), true));
    }
    world.advance(seconds(5));
    world.start(BALANCER, "lb");
    world.advance(seconds(28));
    assert_eq!(world.in_place("web"), [1, 2, 3]);
    world.advance(seconds(5));
    assert_eq!(world.in_place("web"), [1, 3]);
}

#[test]
fn a_refused_apply_is_tried_again_after_a_minute_or_with_the_next_change() {
    let mut world = settled(9);
    world.nginx.mood = Mood::Refusing;
    world.leave(NodeId(1));
    world.advance(seconds(50));
    assert_eq!((world.asked, world.in_place("web")), (2, vec![1, 2, 3]));
    world.nginx.mood = Mood::Fine;
    world.advance(seconds(20));
    assert_eq!((world.asked, world.in_place("web")), (3, vec![2, 3]));

    world.nginx.mood = Mood::Refusing;
    world.leave(NodeId(2));
    world.advance(seconds(10));
    assert_eq!(world.asked, 4);
    world.nginx.mood = Mood::Fine;
    world.start(NodeId(1), "web");
    until(&mut world, seconds(10), |world| world.in_place("web") == [1, 3]);
    assert_eq!(world.asked, 5);
}

#[test]
fn what_is_stored_while_nginx_is_stopped_is_asked_for_until_it_is_served() {
    let mut world = settled(10);
    world.nginx.mood = Mood::Stopped;
    world.leave(NodeId(1));
    world.advance(seconds(10));
    assert_eq!((world.asked, world.in_place("web")), (2, vec![2, 3]));
    world.nginx.mood = Mood::Fine;
    world.advance(seconds(60));
    assert_eq!(world.asked, 3);
    world.advance(seconds(600));
    assert_eq!(world.asked, 3);
}

#[test]
fn a_reload_of_the_configuration_is_applied_once_and_a_new_upstream_gets_its_servers() {
    let mut world = settled(11);
    world.start(NodeId(3), "api");
    until(&mut world, seconds(30), |world| world.in_place("web") == [1, 2]);
    let before = world.asked;
    world.upstreams = vec![upstream("web"), upstream("api")];
    world.reconfigure();
    world.advance(seconds(60));
    assert_eq!((world.in_place("web"), world.in_place("api")), (vec![1, 2], vec![3]));
    assert_eq!(world.asked, before + 1);
    world.upstreams = vec![upstream("web")];
    world.reconfigure();
    world.advance(seconds(60));
    assert_eq!(world.asked, before + 2, "a file that is nobody's is taken away, once");
}

#[test]
fn a_balancer_that_leaves_asks_nothing_more() {
    let mut world = settled(12);
    world.leave(BALANCER);
    world.leave(NodeId(1));
    world.advance(seconds(60));
    assert_eq!((world.asked, world.in_place("web")), (1, vec![1, 2, 3]));
}

#[test]
fn a_burst_of_joins_costs_one_reload_or_two() {
    let mut world = World::new(13, 40);
    world.upstreams = vec![upstream("web")];
    world.start(BALANCER, "lb");
    world.start(NodeId(1), "web");
    world.advance(seconds(40));
    let before = world.asked;
    for node in 2..=40 {
        world.start(NodeId(node), "web");
        world.advance(Duration::from_millis(20));
    }
    world.advance(seconds(30));
    assert_eq!(world.in_place("web").len(), 40);
    assert!(world.asked - before <= 2, "{}", world.asked - before);
}
