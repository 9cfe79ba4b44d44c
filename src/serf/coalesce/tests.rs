use bytes::Bytes;

use super::*;
use crate::serf::Status;
use crate::serf::clock::LamportTime;
use crate::wire::message::Versions;
use MemberEventKind::{Failed, Join, Leave, Reap, Update};

const WINDOW: Window = Window { period: Duration::from_secs(3), quiescence: Duration::from_secs(1) };

fn coalescer() -> Coalescer {
    Coalescer::new(Some(WINDOW), Some(WINDOW))
}

fn ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn event(name: &str, kind: MemberEventKind, meta: &'static str) -> MemberEvent {
    let node = Node {
        name: NodeName::new(name).unwrap(),
        addr: "127.0.0.1:7946".parse().unwrap(),
        meta: Bytes::from_static(meta.as_bytes()),
        versions: Versions::OURS,
    };
    let member =
        Member { node: Arc::new(node), status: Status::Alive, status_ltime: LamportTime::ZERO, since: Instant::ZERO };
    MemberEvent { kind, member, before: None }
}

fn user(name: &str, ltime: u64, payload: &'static str, coalesce: bool) -> UserEvent {
    let payload = Bytes::from_static(payload.as_bytes());
    UserEvent { ltime: LamportTime(ltime), name: name.into(), payload, coalesce }
}

/// Holds the events and lets them go; what came out as (kind, names).
fn round(it: &mut Coalescer, events: &[(&str, MemberEventKind, &'static str)]) -> Vec<(MemberEventKind, Vec<String>)> {
    let mut out = Vec::new();
    for (name, kind, meta) in events {
        it.member(ms(0), event(name, *kind, meta), &mut out);
    }
    assert!(out.is_empty(), "events are held");
    it.flush(&mut out);
    out.into_iter()
        .map(|event| match event {
            Event::Member { kind, members } => {
                (kind, members.iter().map(|member| member.node.name.as_str().to_owned()).collect())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn first_held_event_starts_the_period_and_each_restarts_the_quiescence() {
    let mut it = coalescer();
    let mut out = Vec::new();
    for at in [0, 900, 1800, 2700] {
        it.member(ms(at), event("a", Join, ""), &mut out);
        it.handle_timeout(ms(at), &mut out);
    }
    assert!(out.is_empty());
    assert_eq!(it.poll_timeout(), Some(ms(3000)), "the period ends before the quiescence");
    it.handle_timeout(ms(3000), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(it.poll_timeout(), None);
    it.member(ms(5000), event("b", Join, ""), &mut out);
    assert_eq!(it.poll_timeout(), Some(ms(6000)), "the quiescence ends first");
}

#[test]
fn a_member_that_failed_and_came_back_within_the_window_is_no_news() {
    let mut it = coalescer();
    assert_eq!(round(&mut it, &[("a", Join, "")]), [(Join, vec!["a".into()])]);
    assert_eq!(round(&mut it, &[("a", Failed, ""), ("a", Join, "")]), []);
}

/// `OLD` was told with the kind `told`, if with any, then `within` happens in one window: the kinds that come out.
fn news(told: Option<MemberEventKind>, within: &[(MemberEventKind, &'static str)]) -> Vec<MemberEventKind> {
    let mut it = coalescer();
    told.into_iter().for_each(|kind| drop(round(&mut it, &[("a", kind, OLD)])));
    let within: Vec<_> = within.iter().map(|(kind, meta)| ("a", *kind, *meta)).collect();
    round(&mut it, &within).into_iter().map(|(kind, _)| kind).collect()
}

const OLD: &str = "old";
const NEW: &str = "new";

#[test]
fn a_join_or_a_leave_is_never_swallowed_by_what_comes_after_it() {
    // told before, what happens, what is told
    for (told, within, wanted) in [
        (Some(Failed), &[(Join, OLD)][..], &[Join][..]),
        (Some(Failed), &[(Join, NEW)], &[Join, Update]),
        (Some(Failed), &[(Join, OLD), (Update, NEW)], &[Join, Update]),
        (Some(Leave), &[(Join, OLD), (Update, NEW)], &[Join, Update]),
        (None, &[(Join, OLD), (Update, NEW)], &[Join, Update]),
        (Some(Join), &[(Failed, OLD), (Join, OLD)], &[]),
        (Some(Join), &[(Failed, OLD), (Join, NEW)], &[Join, Update]),
        (Some(Join), &[(Failed, OLD), (Join, OLD), (Update, NEW)], &[Join, Update]),
        (Some(Join), &[(Update, NEW)], &[Update]),
        (Some(Join), &[(Update, NEW), (Failed, NEW)], &[Failed]),
        (Some(Join), &[(Leave, OLD), (Reap, OLD)], &[Leave, Reap]),
        (Some(Failed), &[(Leave, OLD), (Reap, OLD)], &[Leave, Reap]),
        (Some(Failed), &[(Reap, OLD)], &[Reap]),
        (Some(Failed), &[(Reap, OLD), (Join, OLD)], &[Join]),
        (Some(Failed), &[(Join, NEW), (Failed, NEW)], &[]),
    ] {
        assert_eq!(news(told, within), wanted, "{told:?}, then {within:?}");
    }
}

#[test]
fn who_came_back_with_other_tags_is_told_once() {
    let mut it = coalescer();
    round(&mut it, &[("a", Join, OLD)]);
    assert_eq!(round(&mut it, &[("a", Failed, OLD), ("a", Join, NEW)]).len(), 2);
    assert_eq!(round(&mut it, &[("a", Failed, NEW), ("a", Join, NEW)]), []);
    assert_eq!(round(&mut it, &[("a", Failed, NEW)]), [(Failed, vec!["a".into()])]);
}

#[test]
fn an_update_is_emitted_once_and_every_time_it_happens() {
    let mut it = coalescer();
    assert_eq!(round(&mut it, &[("a", Update, "1")]).len(), 1);
    assert_eq!(round(&mut it, &[("b", Join, "")]), [(Join, vec!["b".into()])], "a's update is not repeated");
    assert_eq!(round(&mut it, &[("a", Update, "1")]).len(), 1);
}

#[test]
fn changes_are_grouped_by_kind_in_the_order_of_names() {
    let mut it = coalescer();
    let out = round(&mut it, &[("c", Failed, ""), ("b", Join, ""), ("d", Leave, ""), ("a", Join, "")]);
    assert_eq!(out, [(Join, vec!["a".into(), "b".into()]), (Leave, vec!["d".into()]), (Failed, vec!["c".into()])]);
}

#[test]
fn the_reaped_are_forgotten() {
    let mut it = coalescer();
    round(&mut it, &[("a", Leave, "")]);
    assert_eq!(round(&mut it, &[("a", Reap, "")]), [(Reap, vec!["a".into()])]);
    assert!(it.members.as_ref().unwrap().told.is_empty());
    assert!(it.members.as_ref().unwrap().held.is_empty());
    assert_eq!(round(&mut it, &[("a", Leave, "")]).len(), 1, "a new member of that name is news again");
}

#[test]
fn user_events_keep_the_newest_time_of_each_name() {
    let mut it = coalescer();
    let mut out = Vec::new();
    for (name, ltime, payload) in
        [("deploy", 3, "old"), ("deploy", 5, "x"), ("deploy", 5, "y"), ("deploy", 4, "late"), ("other", 1, "z")]
    {
        it.user(ms(0), user(name, ltime, payload, true), &mut out);
    }
    assert!(out.is_empty());
    it.flush(&mut out);
    let expected = [("deploy", 5, "x"), ("deploy", 5, "y"), ("other", 1, "z")];
    assert_eq!(out, expected.map(|(name, ltime, payload)| Event::User(user(name, ltime, payload, true))));
    out.clear();
    it.flush(&mut out);
    assert!(out.is_empty(), "let go means forgotten");
}

#[test]
fn user_events_that_may_not_be_coalesced_overtake_held_ones() {
    let mut it = coalescer();
    let mut out = Vec::new();
    it.user(ms(0), user("a", 1, "", true), &mut out);
    it.user(ms(0), user("b", 2, "", false), &mut out);
    assert_eq!(out, [Event::User(user("b", 2, "", false))]);
}

#[test]
fn without_a_window_everything_passes_at_once() {
    let zero = Window { period: Duration::ZERO, quiescence: Duration::from_secs(1) };
    for window in [None, Some(zero)] {
        let mut it = Coalescer::new(window, window);
        let mut out = Vec::new();
        it.member(ms(0), event("a", Join, ""), &mut out);
        it.user(ms(0), user("b", 2, "", true), &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(it.poll_timeout(), None);
    }
}

#[test]
fn held_user_events_are_bounded_and_none_is_lost() {
    let mut it = coalescer();
    let mut out = Vec::new();
    for i in 0..MAX_HELD_NAMES + 5 {
        it.user(ms(0), user(&format!("e{i}"), 1, "", true), &mut out);
    }
    assert_eq!(out.len(), 5);
    for _ in 0..MAX_HELD_EVENTS + 2 {
        it.user(ms(0), user("e0", 1, "", true), &mut out);
    }
    assert_eq!(out.len(), 5 + 3);
}
