use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::wire::message::Versions;

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn node(addr: &str, meta: &'static [u8]) -> Arc<Node> {
    let addr: SocketAddr = addr.parse().unwrap();
    Arc::new(Node { name: name("a"), addr, meta: Bytes::from_static(meta), versions: Versions::OURS })
}

fn plain() -> Arc<Node> {
    node("127.0.0.1:7946", b"\xff\x80")
}

fn table(status: Status, ltime: u64) -> Table {
    let mut table = Table::default();
    table.joined(at(0), plain(), None);
    table.members.change("a", |member| {
        member.status = status;
        member.status_ltime = LamportTime(ltime);
    });
    if !status.is_present() {
        table.departed.insert(name("a"), Farewell::Announced);
    }
    table
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn state(table: &Table) -> (Status, u64) {
    let member = table.get("a").unwrap();
    assert_eq!(table.departed.contains_key("a"), !member.status.is_present(), "the index of the departed agrees");
    (member.status, member.status_ltime.0)
}

use MemberEventKind as Kind;
use Status::{Alive, Failed, Leaving, Left};

#[test]
fn swim_alive_revives_every_status_and_keeps_the_status_time() {
    for status in [Alive, Leaving, Left, Failed] {
        let mut table = table(status, 7);
        let event = table.joined(at(5), plain(), None);
        assert_eq!(event.kind, Kind::Join);
        assert_eq!(state(&table), (Alive, 7), "from {status}");
    }
}

#[test]
fn a_newcomer_takes_the_intent_that_came_before_it() {
    // intent, status and time after
    for (intent, after) in
        [(None, (Alive, 0)), (Some((IntentKind::Join, 9)), (Alive, 9)), (Some((IntentKind::Leave, 9)), (Leaving, 9))]
    {
        let intent = intent.map(|(kind, ltime)| Intent { kind, ltime: LamportTime(ltime), heard: at(0) });
        let mut table = Table::default();
        assert_eq!(table.joined(at(1), plain(), intent).kind, Kind::Join, "also if it is leaving at once");
        assert_eq!(state(&table), after);
    }
}

#[test]
fn swim_death_is_a_failure_unless_a_leave_was_announced() {
    // status before, after, event
    for (before, after, event) in [
        (Alive, Failed, Some(Kind::Failed)),
        (Leaving, Left, Some(Kind::Leave)),
        (Left, Left, None),
        (Failed, Failed, None),
    ] {
        let mut table = table(before, 7);
        assert_eq!(table.gone(at(9), &name("a"), false).map(|event| event.kind), event, "from {before}");
        assert_eq!(state(&table), (after, 7));
    }
    assert_eq!(Table::default().gone(at(9), &name("a"), false), None, "nobody of that name");
}

#[test]
fn leave_intents_follow_the_table() {
    // status before, its time, intent's time, status and time after, event; None: stale
    for (before, held, arrives, after) in [
        (Alive, 7, 8, Some(((Leaving, 8), None))),
        (Alive, 7, 7, None),
        (Alive, 7, 6, None),
        (Alive, 0, 0, None),
        (Alive, 0, 1, Some(((Leaving, 1), None))),
        (Alive, 0, 1 << 63, Some(((Leaving, 1 << 63), None))),
        (Failed, 7, 8, Some(((Left, 8), Some(Kind::Leave)))),
        (Failed, 7, 7, None),
        (Leaving, 7, 8, Some(((Leaving, 8), None))),
        (Left, 7, 8, Some(((Left, 8), None))),
        (Left, 7, 7, None),
    ] {
        let mut table = table(before, held);
        let verdict = table.leave_intent(at(9), "a", LamportTime(arrives), false);
        match after {
            None => {
                assert_eq!(verdict, LeaveVerdict::Stale, "{before} at {held}, intent {arrives}");
                assert_eq!(state(&table), (before, held));
            }
            Some((expected, kind)) => {
                let LeaveVerdict::Applied { event, status } = verdict else { panic!("{verdict:?}") };
                assert_eq!((status, event.map(|event| event.kind)), (expected.0, kind));
                assert_eq!(state(&table), expected);
            }
        }
    }
    let unknown = Table::default().leave_intent(at(9), "a", LamportTime(1), false);
    assert_eq!(unknown, LeaveVerdict::Unknown);
}

#[test]
fn a_leave_intent_about_ourselves_is_refuted_only_if_newer_and_changes_nothing() {
    for (arrives, verdict) in [(8, LeaveVerdict::Refute), (7, LeaveVerdict::Stale)] {
        let mut table = table(Alive, 7);
        assert_eq!(table.leave_intent(at(9), "a", LamportTime(arrives), true), verdict);
        assert_eq!(state(&table), (Alive, 7));
    }
}

#[test]
fn join_intents_call_off_a_leave_and_never_raise_the_dead() {
    use JoinVerdict::{Applied, Stale};
    // status before, its time, intent's time, verdict, status and time after
    for (before, held, arrives, verdict, after) in [
        (Alive, 7, 8, Applied, (Alive, 8)),
        (Alive, 7, 7, Stale, (Alive, 7)),
        (Leaving, 7, 8, Applied, (Alive, 8)),
        (Leaving, 7, 7, Stale, (Leaving, 7)),
        (Left, 7, 8, Applied, (Left, 8)),
        (Failed, 7, 8, Applied, (Failed, 8)),
        (Failed, 7, 6, Stale, (Failed, 7)),
        (Alive, 0, 0, Stale, (Alive, 0)),
    ] {
        let mut table = table(before, held);
        assert_eq!(table.join_intent(at(9), "a", LamportTime(arrives)), verdict, "{before} {held} {arrives}");
        assert_eq!(state(&table), after);
    }
    assert_eq!(Table::default().join_intent(at(9), "a", LamportTime(1)), JoinVerdict::Unknown);
}

#[test]
fn equal_tags_in_another_order_are_no_update() {
    const XY: &[u8] = b"\xff\x82\xa1x\xa11\xa1y\xa12";
    const YX: &[u8] = b"\xff\x82\xa1y\xa12\xa1x\xa11";
    const OTHER: &[u8] = b"\xff\x81\xa1x\xa12";
    // metadata before, node after, update
    for (before, after, update) in [
        (XY, node("127.0.0.1:7946", XY), false),
        (XY, node("127.0.0.1:7946", YX), false),
        (XY, node("127.0.0.1:7946", OTHER), true),
        (XY, node("127.0.0.2:7946", XY), true),
    ] {
        let mut table = Table::default();
        table.joined(at(0), node("127.0.0.1:7946", before), None);
        assert_eq!(table.updated(after.clone()).is_some(), update);
        assert_eq!(table.get("a").unwrap().node, after, "the newest bytes are kept all the same");
    }
    assert_eq!(Table::default().updated(plain()), None, "nobody of that name");
}

#[test]
fn what_the_snapshot_does_not_know_is_no_difference() {
    let spoke = |versions| Node { versions, ..Node::clone(&plain()) };
    let older = Versions([1, 5, 2, 2, 4, 4]);
    for (before, differs) in [(Versions::UNKNOWN, false), (Versions::OURS, false), (older, true)] {
        let (before, after) = (spoke(before), spoke(Versions::OURS));
        assert_eq!(Difference::between(&before, &after), if differs { vec![Difference::Versions] } else { vec![] });
        assert_eq!(is_changed(&before, &after), differs);
    }
}

#[test]
fn since_tells_when_the_status_came_not_when_it_was_repeated() {
    let mut table = table(Alive, 0);
    table.gone(at(10), &name("a"), false);
    table.gone(at(20), &name("a"), false);
    assert_eq!(table.get("a").unwrap().since, at(10));
    // A force-leave starts the tombstone's time afresh.
    table.leave_intent(at(30), "a", LamportTime(5), false);
    assert_eq!(table.get("a").unwrap().since, at(30));
}

#[test]
fn restored_members_do_not_displace_living_ones() {
    let mut table = table(Alive, 0);
    table.restore_failed(plain(), at(0));
    assert_eq!(state(&table), (Alive, 0));
    let mut empty = Table::default();
    empty.restore_failed(plain(), at(3));
    assert_eq!(state(&empty), (Failed, 0));
    assert_eq!(empty.departed().len(), 1);
    assert_eq!(empty.remove("a").unwrap().kind, Kind::Reap);
    assert_eq!((empty.len(), empty.departed().len()), (0, 0));
}

#[test]
fn only_who_died_without_a_word_and_was_declared_left_was_forced_out() {
    let intent = |table: &mut Table, ltime| drop(table.leave_intent(at(1), "a", LamportTime(ltime), false));
    // what `swim` said, whether the intent came before it, forced out
    for (announced, intent_first, forced_out) in
        [(false, false, true), (true, false, false), (false, true, false), (true, true, false)]
    {
        let mut table = table(Alive, 0);
        if intent_first {
            intent(&mut table, 5);
        }
        table.gone(at(1), &name("a"), announced);
        assert!(!table.was_forced_out("a") || intent_first, "failed is not left");
        intent(&mut table, 6);
        assert_eq!(table.was_forced_out("a"), forced_out, "announced {announced}, intent first {intent_first}");
        table.joined(at(2), plain(), None);
        assert!(!table.was_forced_out("a"), "it is back");
    }
}

#[test]
fn a_record_is_four_words() {
    assert_eq!(size_of::<Member>(), 32);
}
