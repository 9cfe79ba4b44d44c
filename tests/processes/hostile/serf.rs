//! The Serf layer from outside: what must not be passed on is not in any packet afterwards. The rest of `serf §14`
//! is tested in `src/serf/tests.rs`.

use std::time::Duration;

use bytes::Bytes;
use weir::serf::{self, MAX_QUEUE_DEPTH};
use weir::wire::message::PushPull;
use weir::wire::serf::{
    Filter, JoinIntent, LamportTime, LeaveIntent, PushPullState, Query, RecentEvents, SerfMessage, UserEvent,
};

use super::victim::{Victim, attacker};

fn query(name: &str, id: u32) -> Query {
    Query {
        ltime: LamportTime(5),
        id,
        addr: attacker(),
        source_node: "attacker".into(),
        filters: Vec::new(),
        ack: true,
        no_broadcast: false,
        relay_factor: 0,
        timeout: Duration::from_secs(5),
        name: name.into(),
        payload: Bytes::new(),
    }
}

fn event(name: &str, ltime: u64) -> SerfMessage {
    SerfMessage::UserEvent(UserEvent {
        ltime: LamportTime(ltime),
        name: name.into(),
        payload: Bytes::new(),
        coalesce: false,
    })
}

/// The ring of recent events would keep 512 of them, 20 MiB each, and tell them in every push/pull.
#[test]
fn an_event_larger_than_any_setting_allows_is_not_kept() {
    let payload = Bytes::from(vec![b'x'; 1 << 20]);
    let state = PushPullState {
        event_ltime: LamportTime(4),
        events: vec![RecentEvents { ltime: LamportTime(3), events: vec![("big".into(), payload.clone())] }],
        ..PushPullState::default()
    };
    for mut victim in Victim::both() {
        let before = victim.endpoint.serf().local_state().len();
        victim.push_pull(PushPull {
            join: false,
            nodes: Vec::new(),
            skipped: 0,
            long_name: None,
            user_state: state.encode(),
        });
        assert_eq!(victim.serf_drops(serf::Drop::SlotFull), 1);
        assert!(victim.endpoint.serf().local_state().len() < before + 100 && victim.events.is_empty());
        victim.assert_unharmed();
    }
}

/// Intents are passed on as they came, with fields that this version does not know.
#[test]
fn an_intent_that_no_packet_holds_does_not_stay_in_the_queue() {
    for mut victim in Victim::both() {
        let mut intent = vec![1, 0x83];
        intent.extend_from_slice(b"\xa5LTime\x09\xa4Node\xa4them\xa1x\xda\x08\x00");
        intent.extend_from_slice(&[b'x'; 0x800]);
        let queued = victim.endpoint.serf().broadcasts_pending();
        victim.user(&intent);
        assert_eq!(victim.serf_drops(serf::Drop::Oversize), 1);
        assert_eq!(victim.endpoint.serf().broadcasts_pending(), queued);
        victim.assert_unharmed();
    }
}

#[test]
fn a_zero_length_filter_kills_nobody_and_is_not_passed_on() {
    let empty = || Filter::Unknown(Bytes::new());
    let filters = [
        vec![empty()],
        vec![Filter::Nodes(vec!["us".into()]), empty()],
        vec![empty(), Filter::Tag { tag: "role".into(), expr: ".*".into() }],
    ];
    for filters in filters {
        for mut victim in Victim::both() {
            victim.serf(&SerfMessage::Query(Query { filters: filters.clone(), ..query("crasher", 1) }));
            assert_eq!(victim.serf_drops(serf::Drop::EmptyFilter), 1);
            assert!(victim.sent.is_empty() && victim.events.is_empty(), "it passes nobody's filter");
            assert!(!victim.passes_on("crasher"));
            victim.assert_unharmed();
        }
    }
    let mut victim = Victim::plain();
    victim.serf(&SerfMessage::Query(query("harmless", 2)));
    assert!(victim.passes_on("harmless"), "this is how one that is passed on looks");
}

#[test]
fn a_key_query_with_an_empty_payload_kills_nobody_and_is_not_passed_on() {
    for name in ["_serf_install-key", "_serf_use-key", "_serf_remove-key"] {
        for mut victim in Victim::both() {
            let keys = victim.endpoint.keyring().cloned();
            victim.serf(&SerfMessage::Query(query(name, 1)));
            assert_eq!(victim.serf_drops(serf::Drop::EmptyKeyPayload), 1);
            assert_eq!(victim.endpoint.keyring().cloned(), keys);
            assert!(!victim.passes_on(name));
            victim.assert_unharmed();
        }
    }
}

#[test]
fn clocks_at_their_end_are_not_believed_nor_passed_on_and_do_not_wrap() {
    for time in [u64::MAX, u64::MAX - 1, (1 << 63) + 1] {
        for mut victim in Victim::both() {
            let ltime = LamportTime(time);
            victim.serf(&SerfMessage::Join(JoinIntent { ltime, node: "poison".into() }));
            victim.serf(&SerfMessage::Leave(LeaveIntent { ltime, node: "friend".into(), prune: true }));
            victim.serf(&SerfMessage::Leave(LeaveIntent { ltime, node: "us".into(), prune: false }));
            victim.serf(&event("poison", time));
            victim.serf(&SerfMessage::Query(Query { ltime, ..query("poison", 1) }));
            let state = PushPullState {
                ltime,
                event_ltime: ltime,
                query_ltime: ltime,
                status_ltimes: [("poison".to_owned(), ltime)].into(),
                left_members: vec!["friend".into()],
                ..PushPullState::default()
            };
            let user_state = state.encode();
            victim
                .push_pull(PushPull { join: true, nodes: Vec::new(), skipped: 0, long_name: None, user_state })
                .unwrap();
            let stats = victim.endpoint.serf().stats();
            let times = [stats.member_time, stats.event_time, stats.query_time];
            assert!(times.iter().all(|time| (1..1000).contains(&time.get())), "{times:?}");
            assert_eq!(victim.serf_drops(serf::Drop::ImplausibleTime), 5 + 4, "{time}");
            assert!(!victim.passes_on("poison"));
            // One among the left without a time is believed: force-leave works so.
            let friend = victim.endpoint.member("friend").unwrap().status;
            assert!(friend == serf::Status::Leaving || friend == serf::Status::Alive);
        }
    }
}

#[test]
fn a_clock_driven_to_the_limit_leaves_us_able_to_speak() {
    let mut victim = Victim::plain();
    let limit = 1 << 63;
    victim.serf(&event("far", limit));
    victim.serf(&event("still", limit));
    victim.forget();
    let now = victim.now;
    victim.endpoint.user_event(now, "ours", Bytes::new(), false).expect("events can be sent");
    assert!(victim.passes_on("ours"));
    victim.assert_unharmed();
}

#[test]
fn a_flood_of_events_is_queued_to_the_ceiling_and_no_further() {
    let mut victim = Victim::sealed();
    for i in 0..10_000 {
        victim.serf(&event(&format!("flood-{i}"), 1 + i / 400));
    }
    let depth = victim.endpoint.serf().stats().queues.events;
    assert_eq!(depth, MAX_QUEUE_DEPTH);
    assert_eq!(victim.serf_drops(serf::Drop::QueueFull), 10_000 - MAX_QUEUE_DEPTH as u64);
    let now = victim.now;
    let refused = victim.endpoint.user_event(now, "ours", Bytes::new(), false);
    assert!(matches!(refused, Err(serf::EventError::QueueFull { .. })), "a sender is told");
    victim.assert_unharmed();
}

#[test]
fn a_flood_of_queries_is_queued_to_the_ceiling_and_reflects_little() {
    let mut victim = Victim::plain();
    for i in 0..10_000 {
        let addr = "192.0.2.1:53".parse().unwrap();
        victim.serf(&SerfMessage::Query(Query {
            ltime: LamportTime(1 + u64::from(i) / 400),
            addr,
            ..query("flood", i)
        }));
    }
    assert_eq!(victim.endpoint.serf().stats().queues.queries, MAX_QUEUE_DEPTH);
    let reflected = victim.sent.iter().filter(|(to, _)| to.ip().to_string() == "192.0.2.1").count();
    assert!(reflected <= 2 * serf::STRANGER_REPLIES_PER_SECOND as usize, "{reflected} answers to a stranger");
    victim.assert_unharmed();
}

#[test]
fn bytes_that_are_no_serf_message_are_counted_and_not_passed_on() {
    for mut victim in Victim::both() {
        for (bytes, reason) in [
            (&b""[..], serf::Drop::Empty),
            (b"\x02garbage", serf::Drop::MessageType),
            (b"\xffgarbage", serf::Drop::MessageType),
            (b"\x03\xc1garbage", serf::Drop::Undecodable),
            (b"\x04\x81\xa7garbage", serf::Drop::Undecodable),
            (b"\x09\xdf\xff\xff\xff\xffgarbage", serf::Drop::Undecodable),
        ] {
            let before = victim.serf_drops(reason);
            victim.user(bytes);
            assert_eq!(victim.serf_drops(reason), before + 1, "{bytes:?}");
        }
        assert!(!victim.passes_on("garbage"));
        victim.assert_unharmed();
    }
}
