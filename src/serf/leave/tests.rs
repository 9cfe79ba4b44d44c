use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::fixture::*;
use super::super::{LamportTime, MemberEventKind as Kind, Options, Restored};
use super::*;
use crate::swim;
use crate::wire::serf::PushPullState;

fn leave_done(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::LeaveBroadcastDone)).count()
}

fn forced(outputs: Vec<Output>) -> Vec<Result<(), ForceLeaveError>> {
    let result = |output| match output {
        Output::ForceLeaveDone { result, .. } => Some(result),
        _ => None,
    };
    outputs.into_iter().filter_map(result).collect()
}

#[test]
fn a_leave_is_announced_and_done_after_its_last_transmission() {
    let mut serf = cluster(2);
    serf.begin_leave(at(10)).unwrap();
    assert_eq!(serf.member("me").unwrap().status, Status::Leaving);
    assert_eq!(serf.member_clock.time(), LamportTime(2));
    let message = serf.leave_message().unwrap();
    assert_eq!(SerfMessage::decode(&message).unwrap(), leave("me", 1, false));
    for sent in 1..=8 {
        assert_eq!(leave_done(&drain(&mut serf)), 0, "after {} transmissions", sent - 1);
        assert_eq!(broadcasts(&mut serf), [leave("me", 1, false)]);
    }
    assert_eq!(leave_done(&drain(&mut serf)), 1);
    serf.handle_timeout(at(20_000));
    assert_eq!(leave_done(&drain(&mut serf)), 0, "told once");
}

#[test]
fn the_wait_for_a_leave_is_bounded_and_alone_there_is_none() {
    let mut serf = cluster(1);
    serf.begin_leave(at(10)).unwrap();
    serf.handle_timeout(at(5009));
    assert_eq!(leave_done(&drain(&mut serf)), 0);
    serf.handle_timeout(at(5010));
    assert_eq!(leave_done(&drain(&mut serf)), 1);
    let mut alone = cluster(0);
    alone.begin_leave(at(10)).unwrap();
    assert_eq!(leave_done(&drain(&mut alone)), 1);
    assert_eq!(alone.broadcasts_pending(), 0);
    let mut widowed = cluster(1);
    gone(&mut widowed, at(1), "n1");
    widowed.begin_leave(at(10)).unwrap();
    assert_eq!(leave_done(&drain(&mut widowed)), 1, "the failed hear nothing");
}

#[test]
fn a_node_leaves_once() {
    let mut serf = cluster(1);
    assert_eq!(serf.begin_leave(at(1)), Ok(()));
    assert_eq!(serf.begin_leave(at(2)), Err(LeaveError::Leaving));
    serf.left();
    assert_eq!(serf.begin_leave(at(3)), Err(LeaveError::Left));
    serf.joined(at(4));
    assert!(!broadcasts(&mut serf).iter().any(|message| matches!(message, SerfMessage::Join(_))));
}

#[test]
fn a_leaving_node_refutes_nothing_and_ends_as_left() {
    let mut serf = cluster(1);
    serf.begin_leave(at(1)).unwrap();
    deliver(&mut serf, at(2), &leave("me", 50, false));
    assert_eq!(serf.member("me").unwrap().status, Status::Leaving);
    drain(&mut serf);
    let local = serf.local().clone();
    serf.handle_swim(at(3), &swim::Event::Gone { node: local, left: true });
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Leave, "me".to_owned())]);
}

#[test]
fn force_leave_makes_the_failed_leave_and_tells_when_all_was_sent() {
    let mut serf = cluster(3);
    gone(&mut serf, at(1), "n1");
    drain(&mut serf);
    serf.force_leave(at(2), "n1", false).unwrap();
    let outputs = drain(&mut serf);
    assert_eq!(
        sent(&outputs),
        [(addr(2), leave("n1", 1, false)), (addr(3), leave("n1", 1, false))],
        "the living, at once"
    );
    assert_eq!(member_events(&outputs), [(Kind::Leave, "n1".to_owned())]);
    assert_eq!(serf.member("n1").unwrap().status, Status::Left);
    for _ in 0..8 {
        assert_eq!(broadcasts(&mut serf), [leave("n1", 1, false)]);
    }
    assert_eq!(forced(drain(&mut serf)), [Ok(())]);
}

#[test]
fn force_leave_that_cannot_be_sent_times_out() {
    let mut serf = cluster(2);
    gone(&mut serf, at(1), "n1");
    serf.force_leave(at(0), "n1", false).unwrap();
    drain(&mut serf);
    serf.handle_timeout(at(4999));
    assert!(forced(drain(&mut serf)).is_empty());
    serf.handle_timeout(at(5000));
    assert_eq!(forced(drain(&mut serf)), [Err(ForceLeaveError::Timeout(name("n1")))]);
}

#[test]
fn force_leave_of_the_living_and_the_unknown_is_sent_as_the_reference_does() {
    for member in ["n1", "nobody"] {
        let mut serf = cluster(2);
        serf.force_leave(at(1), member, false).unwrap();
        assert_eq!(broadcasts(&mut serf), [leave(member, 1, false)]);
    }
}

#[test]
fn two_force_leaves_at_once_end_apart() {
    let mut serf = cluster(3);
    serf.force_leave(at(1), "n1", false).unwrap();
    serf.force_leave(at(1), "n2", false).unwrap();
    drain(&mut serf);
    for _ in 0..8 {
        broadcasts(&mut serf);
    }
    assert_eq!(forced(drain(&mut serf)), [Ok(()), Ok(())]);
}

#[test]
fn what_may_not_be_forced_is_refused_with_an_explanation_and_no_trace() {
    let mut serf = cluster(2);
    for (member, prune, error) in [
        ("n1", true, ForceLeaveError::PruneAlive(name("n1"))),
        ("me", false, ForceLeaveError::Ourselves),
        ("me", true, ForceLeaveError::Ourselves),
        ("", false, ForceLeaveError::Name(0)),
        (&"x".repeat(513), false, ForceLeaveError::Name(513)),
    ] {
        assert_eq!(serf.force_leave(at(1), member, prune), Err(error));
    }
    assert_eq!(serf.broadcasts_pending(), 0);
    assert_eq!(serf.member_clock.time(), LamportTime(1));
    assert!(ForceLeaveError::PruneAlive(name("n1")).sentence().contains("stop the member first"));
}

#[test]
fn pruning_the_failed_and_the_left_forgets_them_at_once() {
    let mut serf = cluster(3);
    gone(&mut serf, at(1), "n1");
    deliver(&mut serf, at(1), &leave("n2", 5, false));
    gone(&mut serf, at(2), "n2");
    drain(&mut serf);
    serf.force_leave(at(3), "n1", true).unwrap();
    serf.force_leave(at(3), "n2", true).unwrap();
    let expected =
        [(Kind::Leave, "n1"), (Kind::Reap, "n1"), (Kind::Reap, "n2")].map(|(kind, name)| (kind, name.into()));
    assert_eq!(member_events(&drain(&mut serf)), expected);
    assert_eq!(serf.member_count(), 2);
}

#[test]
fn a_prune_reaches_those_whose_tombstone_crept_ahead_of_it() {
    let mut pruner = cluster(3);
    let mut other = cluster(3);
    for serf in [&mut pruner, &mut other] {
        gone(serf, at(1), "n1");
        deliver(serf, at(2), &leave("n1", 5, false));
        drain(serf);
    }
    let told = PushPullState {
        left_members: vec!["n1".into()],
        status_ltimes: [("n1".to_owned(), LamportTime(7))].into(),
        ..Default::default()
    };
    other.merge_state(at(3), &told.encode(), None);
    assert_eq!(other.member("n1").unwrap().status_ltime, LamportTime(8));

    pruner.force_leave(at(4), "n1", true).unwrap();
    let prune = broadcasts(&mut pruner).into_iter().next();
    assert_eq!(prune, Some(leave("n1", 10, true)), "6, and one for each of four: news to the reference too");
    for _ in 0..2 {
        deliver(&mut other, at(5), &leave("n1", 6, true));
    }
    assert_eq!(member_events(&drain(&mut other)), [(Kind::Reap, "n1".to_owned())]);
    assert_eq!(other.queue_depths().intents, 2, "the leave, and the prune once");
}

#[test]
fn an_old_prune_forgets_nobody_who_failed_since() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(1), &join("n1", 9));
    gone(&mut serf, at(2), "n1");
    deliver(&mut serf, at(3), &leave("n1", 8, true));
    assert_eq!(serf.member("n1").unwrap().status, Status::Failed);
}

#[test]
fn a_prune_is_passed_on_once_though_its_member_is_unknown_by_then() {
    let mut serf = cluster(3);
    gone(&mut serf, at(1), "n1");
    for _ in 0..3 {
        deliver(&mut serf, at(2), &leave("n1", 9, true));
    }
    assert_eq!(serf.queue_depths().intents, 1);
    serf.handle_swim(at(3), &swim::Event::Joined(node("n1", 1)));
    deliver(&mut serf, at(4), &join("n1", 10));
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive, "the pruned may come back");
}

#[test]
fn a_prune_of_the_living_waits_and_is_off_when_it_refutes() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(0), &leave("n1", 5, true));
    assert_eq!(serf.member("n1").unwrap().status, Status::Leaving);
    deliver(&mut serf, at(100), &join("n1", 6));
    serf.handle_timeout(at(6000));
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive);
    assert_eq!(serf.drops().get(Drop::PruneAlive), 1);
    serf.handle_timeout(at(60_000));
    assert!(serf.member("n1").is_some());
}

#[test]
fn a_prune_of_the_leaving_waits_until_they_are_gone_and_locks_nothing() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(0), &leave("n1", 5, true));
    serf.handle_timeout(at(6000));
    assert!(serf.member("n1").is_some(), "swim still sees it");
    gone(&mut serf, at(7000), "n1");
    drain(&mut serf);
    serf.handle_timeout(at(11_999));
    assert!(serf.member("n1").is_some());
    serf.handle_timeout(at(12_000));
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Reap, "n1".to_owned())]);
    assert_eq!(serf.departure.poll_timeout(), None);
}

#[test]
fn a_member_pruned_meanwhile_or_us_are_left_alone() {
    let mut serf = cluster_with(Options { min_queue_depth: 1, ..options() }, 1);
    serf.begin_leave(at(0)).unwrap();
    deliver(&mut serf, at(1), &leave("me", 9, true));
    serf.handle_timeout(at(7000));
    assert!(serf.member("me").is_some(), "we do not forget ourselves");
    deliver(&mut serf, at(8000), &leave("n1", 10, true));
    serf.forget(at(8001), &name("n1"));
    serf.handle_timeout(at(20_000));
    assert_eq!(serf.member_count(), 1);
}

#[test]
fn a_member_that_stays_is_not_leaving_for_ever() {
    let mut serf = cluster(2);
    let mut n1 = Serf::new(options(), node("n1", 1), Restored::default(), StdRng::seed_from_u64(1), at(0));
    n1.handle_swim(at(0), &swim::Event::Joined(node("n1", 1)));
    // A leave at the very time of its join came first here, and second there.
    deliver(&mut serf, at(0), &leave("n1", 5, false));
    deliver(&mut serf, at(0), &join("n1", 5));
    deliver(&mut n1, at(0), &join("n1", 5));
    deliver(&mut n1, at(0), &leave("n1", 5, false));
    assert_eq!(serf.member("n1").unwrap().status, Status::Leaving);
    serf.ask_the_leaving(at(30_000));
    assert!(sent(&drain(&mut serf)).is_empty(), "it may be on its way");

    serf.ask_the_leaving(at(30_001));
    let questions = sent(&drain(&mut serf));
    assert_eq!(questions, [(addr(1), leave("n1", 6, false))]);
    deliver(&mut n1, at(30_002), &questions[0].1);
    let answers = broadcasts(&mut n1);
    assert!(answers.contains(&join("n1", 7)), "{answers:?}");
    deliver(&mut serf, at(30_003), &join("n1", 7));
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive);
}
