use std::time::Duration;

use bytes::Bytes;

use super::super::fixture::*;
use super::super::{MemberEventKind as Kind, Options, Restored, RestoredMember};
use super::*;
use crate::swim;

const DAY: u64 = 24 * 3_600_000;

#[test]
fn the_departed_are_forgotten_after_their_timeout_and_not_at_it() {
    let mut serf = cluster(3);
    gone(&mut serf, at(1000), "n1");
    deliver(&mut serf, at(1), &leave("n2", 5, false));
    gone(&mut serf, at(1000), "n2");
    drain(&mut serf);
    serf.reap(at(1000 + DAY));
    assert!(drain(&mut serf).is_empty());
    serf.reap(at(1001 + DAY));
    let expected = [(Kind::Reap, "n1".to_owned()), (Kind::Reap, "n2".to_owned())];
    assert_eq!(member_events(&drain(&mut serf)), expected);
    assert_eq!(statuses(&serf), [("n3".to_owned(), Status::Alive)]);
}

#[test]
fn failed_and_left_have_their_own_timeouts() {
    let options =
        Options { reconnect_timeout: Duration::from_secs(10), tombstone_timeout: Duration::from_secs(20), ..options() };
    let mut serf = cluster_with(options, 2);
    gone(&mut serf, at(0), "n1");
    deliver(&mut serf, at(0), &leave("n2", 5, false));
    gone(&mut serf, at(0), "n2");
    serf.reap(at(10_001));
    assert_eq!(statuses(&serf), [("n2".to_owned(), Status::Left)]);
    serf.reap(at(20_001));
    assert_eq!(serf.member_count(), 1);
}

#[test]
fn the_tombstone_of_a_forced_leave_lasts_its_full_time() {
    let mut serf = cluster(2);
    gone(&mut serf, at(0), "n1");
    deliver(&mut serf, at(DAY - 1), &leave("n1", 5, false));
    serf.reap(at(DAY + 1000));
    assert_eq!(serf.member("n1").unwrap().status, Status::Left);
}

#[test]
fn a_reaped_members_coordinate_is_forgotten() {
    let mut serf = cluster(1);
    let payload = serf.ack_payload();
    serf.handle_rtt(&name("n1"), Duration::from_millis(5), &payload);
    assert!(serf.coordinate("n1").is_some());
    gone(&mut serf, at(0), "n1");
    assert!(serf.coordinate("n1").is_some(), "the failed keep theirs");
    serf.reap(at(DAY + 1));
    assert!(serf.coordinate("n1").is_none());
}

#[test]
fn only_the_failed_are_dialled() {
    let mut serf = cluster(3);
    deliver(&mut serf, at(0), &leave("n1", 5, false));
    gone(&mut serf, at(0), "n1");
    drain(&mut serf);
    (0..100).for_each(|_| serf.reconnect());
    assert!(drain(&mut serf).is_empty(), "the left are not");
    gone(&mut serf, at(0), "n2");
    drain(&mut serf);
    (0..300).for_each(|_| serf.reconnect());
    let dialled = drain(&mut serf);
    assert!(dialled.iter().all(|output| matches!(output, Output::Reconnect(node) if node.name == name("n2"))));
    // One failed beside two present: every other round.
    assert!((100..200).contains(&dialled.len()), "{}", dialled.len());
}

#[test]
fn with_more_failed_than_present_every_round_dials() {
    let mut serf = cluster(2);
    gone(&mut serf, at(0), "n1");
    gone(&mut serf, at(0), "n2");
    drain(&mut serf);
    (0..50).for_each(|_| serf.reconnect());
    assert_eq!(drain(&mut serf).len(), 50);
}

#[test]
fn reaping_and_dialling_happen_by_themselves() {
    let mut serf = cluster(1);
    gone(&mut serf, at(0), "n1");
    drain(&mut serf);
    assert_eq!(serf.poll_timeout(), Some(at(15_000)));
    serf.handle_timeout(at(15_000));
    assert_eq!(serf.poll_timeout(), Some(at(30_000)));
    serf.handle_timeout(at(30_000));
    assert!(matches!(drain(&mut serf)[..], [Output::Reconnect(_)]));
}

#[test]
fn failed_members_of_an_earlier_run_are_dialled_until_their_old_timeout() {
    let hour = Duration::from_secs(3600);
    let member = |name, i, age| RestoredMember { node: node(name, i), age };
    let failed = vec![member("n1", 1, hour), member("n2", 2, 24 * hour), member("me", 100, hour)];
    let mut serf = restored(options(), Restored { failed, ..Restored::default() });
    assert_eq!(statuses(&serf), [("n1".to_owned(), Status::Failed)]);
    assert_eq!(serf.member("me").unwrap().status, Status::Alive);
    serf.reconnect();
    assert!(matches!(drain(&mut serf)[..], [Output::Reconnect(_)]));
    serf.handle_swim(at(5), &swim::Event::Joined(node("n1", 1)));
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Join, "n1".to_owned())]);
}

#[test]
fn departed_members_are_bounded_and_the_longest_gone_makes_room() {
    let mut serf = cluster(0);
    for i in 0..=MAX_DEPARTED as u64 {
        let node = std::sync::Arc::new(crate::swim::Node {
            name: name(&format!("x{i}")),
            addr: addr(1),
            meta: Bytes::new(),
            versions: crate::wire::message::Versions::OURS,
        });
        serf.handle_swim(at(i), &swim::Event::Joined(node.clone()));
        serf.handle_swim(at(i), &swim::Event::Gone { node, left: false });
        drain(&mut serf);
    }
    assert_eq!(serf.members.departed().len(), MAX_DEPARTED);
    assert!(serf.member("x0").is_none() && serf.member("x1").is_some());
    assert_eq!(serf.drops().get(Drop::DepartedFull), 1);
}

#[test]
fn departures_beyond_the_bound_cost_no_more_than_others() {
    let mut serf = cluster(0);
    let forged = |i: u64| {
        std::sync::Arc::new(crate::swim::Node {
            name: name(&format!("x{i}")),
            addr: addr(1),
            meta: Bytes::new(),
            versions: crate::wire::message::Versions::OURS,
        })
    };
    // Back and forth, by force, and for good: whichever way they go, the index of their age goes with them.
    for i in 0..200_000 {
        let node = forged(i);
        serf.handle_swim(at(i), &swim::Event::Joined(node.clone()));
        serf.handle_swim(at(i), &swim::Event::Gone { node: node.clone(), left: false });
        match i % 3 {
            0 => {}
            1 => deliver(&mut serf, at(i + 1), &leave(node.name.as_str(), 5, false)),
            _ => {
                serf.handle_swim(at(i + 1), &swim::Event::Joined(node.clone()));
                serf.handle_swim(at(i + 2), &swim::Event::Gone { node, left: false });
            }
        }
        drain(&mut serf);
    }
    assert_eq!(serf.members.departed().len(), MAX_DEPARTED);
    let oldest = serf.members.departed().map(|member| member.since).min();
    let first = serf.members.longest_gone().and_then(|name| serf.member(name.as_str())).map(|member| member.since);
    assert_eq!(first, oldest);
    let everybody: Vec<_> = serf.members.departed().map(|member| member.node.clone()).collect();
    for node in everybody {
        serf.handle_swim(at(300_000), &swim::Event::Joined(node));
    }
    assert_eq!(serf.members.longest_gone(), None, "nobody is left behind in the index");
}
