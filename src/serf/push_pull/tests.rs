use std::collections::BTreeMap;

use super::super::fixture::*;
use super::super::{Event, MemberEventKind as Kind, Output, Restored};
use super::*;
use crate::swim;

fn state() -> PushPullState {
    PushPullState {
        ltime: LamportTime(1),
        event_ltime: LamportTime(1),
        query_ltime: LamportTime(1),
        ..Default::default()
    }
}

fn times(times: &[(&str, u64)]) -> BTreeMap<String, LamportTime> {
    times.iter().map(|(name, ltime)| (name.to_string(), LamportTime(*ltime))).collect()
}

fn merge(serf: &mut Serf, state: &PushPullState, join: Option<JoinKind>) -> Vec<Output> {
    serf.merge_state(at(1), &state.encode(), join);
    drain(serf)
}

fn delivered(outputs: &[Output]) -> Vec<u64> {
    let event = |output: &Output| match output {
        Output::Event(Event::User(event)) => Some(event.ltime.0),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

#[test]
fn what_does_not_decode_is_refused_and_counted() {
    let mut serf = cluster(1);
    for (bytes, reason) in [
        (&b""[..], Drop::Empty),
        (b"\x02", Drop::Undecodable),
        (b"\x03\x80", Drop::Undecodable),
        (b"\x02\xc1", Drop::Undecodable),
    ] {
        let before = serf.drops().get(reason);
        serf.merge_state(at(1), bytes, None);
        assert_eq!(serf.drops().get(reason), before + 1, "{bytes:?}");
    }
}

#[test]
fn clocks_witness_one_less_than_told_and_zero_tells_nothing() {
    // told, clock after
    for (told, after) in [(0, 1), (1, 1), (2, 2), (40, 40), (1 << 63, 1 << 63)] {
        let mut serf = cluster(1);
        let told = LamportTime(told);
        merge(&mut serf, &PushPullState { ltime: told, event_ltime: told, query_ltime: told, ..state() }, None);
        let stats = serf.stats();
        assert_eq!([stats.member_time, stats.event_time, stats.query_time], [LamportTime(after); 3], "told {told:?}");
    }
}

#[test]
fn implausible_clocks_poison_nothing_and_the_rest_is_taken() {
    let mut serf = cluster(1);
    gone(&mut serf, at(0), "n1");
    let poisoned = PushPullState {
        ltime: LamportTime(u64::MAX),
        event_ltime: LamportTime((1 << 63) + 1),
        query_ltime: LamportTime(9),
        status_ltimes: times(&[("n1", u64::MAX)]),
        left_members: vec!["n1".into()],
        ..state()
    };
    merge(&mut serf, &poisoned, Some(JoinKind { ours: true, ignore_old: true }));
    let stats = serf.stats();
    assert_eq!((stats.member_time.0, stats.event_time.0, stats.query_time.0), (1, 1, 9));
    assert_eq!(stats.drops.get(Drop::ImplausibleTime), 3);
    assert_eq!(serf.event_min, LamportTime::ZERO);
    assert_eq!(serf.member("n1").unwrap().status, Status::Failed);
}

#[test]
fn left_members_become_left_by_a_time_one_above_their_status() {
    // own status time, told time (absent: not in the list), left afterwards with this time
    for (own, told, after) in
        [(7, Some(7), Some(8)), (7, Some(6), None), (7, Some(8), Some(9)), (0, None, Some(1)), (7, None, None)]
    {
        let mut serf = cluster(2);
        deliver(&mut serf, at(0), &join("n1", own));
        gone(&mut serf, at(1), "n1");
        drain(&mut serf);
        let told = told.map(|told| times(&[("n1", told)])).unwrap_or_default();
        let outputs =
            merge(&mut serf, &PushPullState { left_members: vec!["n1".into()], status_ltimes: told, ..state() }, None);
        let member = serf.member("n1").unwrap();
        match after {
            Some(ltime) => {
                assert_eq!((member.status, member.status_ltime.0), (Status::Left, ltime));
                assert_eq!(member_events(&outputs), [(Kind::Leave, "n1".to_owned())]);
            }
            None => assert_eq!((member.status, member.status_ltime.0), (Status::Failed, own)),
        }
    }
}

#[test]
fn a_member_that_is_back_is_not_made_to_leave_by_those_who_have_not_heard() {
    let mut serf = cluster(2);
    let told = PushPullState { left_members: vec!["n1".into()], status_ltimes: times(&[("n1", 9)]), ..state() };
    merge(&mut serf, &told, None);
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive);
    gone(&mut serf, at(2), "n1");
    merge(&mut serf, &told, None);
    assert_eq!(serf.member("n1").unwrap().status, Status::Left, "gone here too, and they know how");
}

#[test]
fn two_tombstones_at_one_time_creep_up_by_one_as_in_the_reference() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &leave("n1", 200, false));
    gone(&mut serf, at(1), "n1");
    merge(
        &mut serf,
        &PushPullState { left_members: vec!["n1".into()], status_ltimes: times(&[("n1", 200)]), ..state() },
        None,
    );
    assert_eq!(serf.member("n1").unwrap().status_ltime, LamportTime(201));
}

#[test]
fn the_others_are_joins_and_nothing_is_passed_on() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(0), &leave("n1", 5, false));
    while serf.broadcasts_pending() > 0 {
        broadcasts(&mut serf);
    }
    merge(&mut serf, &PushPullState { status_ltimes: times(&[("n1", 6), ("n2", 9), ("later", 3)]), ..state() }, None);
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive, "a newer join calls off the leave");
    assert_eq!(serf.member("n2").unwrap().status_ltime, LamportTime(9));
    assert_eq!(serf.broadcasts_pending(), 0);
    serf.handle_swim(at(2), &swim::Event::Joined(node("later", 9)));
    assert_eq!(serf.member("later").unwrap().status_ltime, LamportTime(3), "the unknown were remembered");
}

#[test]
fn our_own_name_among_the_left_is_refuted() {
    let mut serf = cluster(2);
    merge(
        &mut serf,
        &PushPullState { left_members: vec!["me".into()], status_ltimes: times(&[("me", 60)]), ..state() },
        None,
    );
    assert_eq!(serf.member("me").unwrap().status, Status::Alive);
    assert_eq!(broadcasts(&mut serf), [join("me", 62)]);
}

fn old_event() -> PushPullState {
    let events = vec![RecentEvents { ltime: LamportTime(4), events: vec![("e".into(), Bytes::new())] }];
    PushPullState { event_ltime: LamportTime(5), events, ..state() }
}

#[test]
fn only_a_join_of_ours_may_ignore_old_events() {
    // the push/pull, delivered
    for (join, expected) in [
        (None, vec![4]),
        (Some(JoinKind { ours: true, ignore_old: false }), vec![4]),
        (Some(JoinKind { ours: false, ignore_old: true }), vec![4]),
        (Some(JoinKind { ours: true, ignore_old: true }), vec![]),
    ] {
        let mut serf = cluster(1);
        assert_eq!(delivered(&merge(&mut serf, &old_event(), join)), expected, "{join:?}");
        assert_eq!(serf.broadcasts_pending(), 0, "replayed events are not passed on");
        assert_eq!(delivered(&merge(&mut serf, &old_event(), None)), [0; 0], "nor delivered twice");
    }
}

#[test]
fn after_an_ignoring_join_our_own_events_still_count() {
    let mut serf = cluster(1);
    merge(&mut serf, &old_event(), Some(JoinKind { ours: true, ignore_old: true }));
    serf.user_event(at(2), "mine", Bytes::new(), false).unwrap();
    assert_eq!(delivered(&drain(&mut serf)), [5]);
}

#[test]
fn the_state_told_is_the_state_held() {
    let mut serf = cluster(3);
    deliver(&mut serf, at(0), &leave("n1", 5, false));
    gone(&mut serf, at(0), "n1");
    gone(&mut serf, at(0), "n2");
    for name in ["b", "a"] {
        serf.user_event(at(1), name, Bytes::from_static(b"x"), true).unwrap();
    }
    let told = PushPullState::decode(&serf.local_state()).unwrap();
    assert_eq!((told.ltime.0, told.event_ltime.0, told.query_ltime.0), (6, 3, 1));
    assert_eq!(told.status_ltimes, times(&[("me", 0), ("n1", 5), ("n2", 0), ("n3", 0)]));
    assert_eq!(told.left_members, ["n1"]);
    let names: Vec<_> = told.events.iter().map(|slot| (slot.ltime.0, slot.events[0].0.as_str())).collect();
    assert_eq!(names, [(1, "b"), (2, "a")], "dense, oldest first");
}

#[test]
fn a_state_merged_by_another_brings_it_to_the_same_view() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(0), &leave("n1", 5, false));
    gone(&mut serf, at(0), "n1");
    serf.user_event(at(1), "e", Bytes::new(), false).unwrap();
    let mut other = cluster(2);
    gone(&mut other, at(0), "n1");
    other.merge_state(at(2), &serf.local_state(), None);
    assert_eq!(other.member("n1").unwrap().status, Status::Left);
    assert_eq!(delivered(&drain(&mut other)), [1]);
}

#[test]
fn events_beyond_the_budget_of_a_push_pull_are_left_out_oldest_first() {
    let mut serf = restored(options(), Restored::default());
    for ltime in 1..=20 {
        for i in 0..120 {
            deliver(&mut serf, at(1), &user_event(&format!("{i}-{}", "x".repeat(500)), ltime, ""));
        }
    }
    let told = PushPullState::decode(&serf.local_state()).unwrap();
    assert!(told.events.len() < 20 && told.events.len() > 5, "{}", told.events.len());
    assert_eq!(told.events.last().unwrap().ltime, LamportTime(20));
    assert!(serf.local_state().len() < MAX_STATE_EVENT_BYTES * 11 / 10);
}

#[test]
fn a_push_pull_full_of_invented_names_stays_bounded() {
    let mut serf = cluster(1);
    let many: BTreeMap<_, _> = (0..10_000).map(|i| (format!("x{i}"), LamportTime(1))).collect();
    let odd = ["", &"y".repeat(513)].map(|name| (name.to_owned(), LamportTime(1)));
    merge(&mut serf, &PushPullState { status_ltimes: many.into_iter().chain(odd).collect(), ..state() }, None);
    assert_eq!(serf.drops().get(Drop::IntentsFull), 10_000 - super::super::MAX_INTENTS as u64);
    assert_eq!(serf.drops().get(Drop::Name), 2);
    assert_eq!(serf.member_count(), 2);
}
