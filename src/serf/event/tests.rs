use super::super::fixture::*;
use super::super::{Event, MAX_QUEUE_DEPTH, Options, Restored, SeenClocks};
use super::*;

fn delivered(outputs: &[Output]) -> Vec<(String, u64)> {
    let event = |output: &Output| match output {
        Output::Event(Event::User(event)) => Some((event.name.clone(), event.ltime.0)),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

#[test]
fn a_sender_gets_its_own_event_and_queues_it() {
    let mut serf = cluster(2);
    let ltime = serf.user_event(at(1), "deploy", Bytes::from_static(b"v1"), true).unwrap();
    assert_eq!(ltime, LamportTime(1));
    assert_eq!(delivered(&drain(&mut serf)), [("deploy".to_owned(), 1)]);
    let SerfMessage::UserEvent(event) = &broadcasts(&mut serf)[0] else { panic!() };
    assert_eq!((event.ltime, event.coalesce, &event.payload[..]), (LamportTime(1), true, &b"v1"[..]));
    assert_eq!(serf.user_event(at(1), "deploy", Bytes::from_static(b"v1"), true), Ok(LamportTime(2)));
}

#[test]
fn limits_hold_before_and_after_encoding() {
    let mut serf = cluster(2);
    // name and payload length, outcome; encoding adds 32 bytes to these
    for (name, payload, outcome) in [
        (0, 0, Ok(())),
        (256, 224, Ok(())),
        (256, 225, Err(EventError::EncodedTooLarge { limit: 512 })),
        (256, 256, Err(EventError::EncodedTooLarge { limit: 512 })),
        (256, 257, Err(EventError::TooLarge { limit: 512 })),
    ] {
        let sent = serf.user_event(at(1), &"n".repeat(name), Bytes::from(vec![1; payload]), false);
        assert_eq!(sent.map(drop), outcome, "{name} + {payload}");
    }
    let mut large = cluster_with(Options { user_event_size_limit: usize::MAX, ..options() }, 2);
    let error = large.user_event(at(1), "n", Bytes::from(vec![1; 10_000]), false).unwrap_err();
    assert_eq!(error, EventError::TooLarge { limit: 9216 }, "no setting lifts the hard limit");
}

#[test]
fn a_refused_event_does_not_move_the_clock() {
    let mut serf = cluster(2);
    serf.user_event(at(1), "n", Bytes::from(vec![1; 512]), false).unwrap_err();
    assert_eq!(serf.stats().event_time, LamportTime(1));
    assert_eq!(serf.broadcasts_pending(), 0);
}

#[test]
fn a_sender_that_outruns_the_cluster_is_told() {
    let mut serf = cluster(2);
    for _ in 0..MAX_QUEUE_DEPTH {
        serf.user_event(at(1), "e", Bytes::new(), false).unwrap();
    }
    let refused = serf.user_event(at(1), "e", Bytes::new(), false);
    assert_eq!(refused, Err(EventError::QueueFull { depth: MAX_QUEUE_DEPTH }));
    assert_eq!(serf.queue_depths().events, MAX_QUEUE_DEPTH);
    assert_eq!(serf.drops().get(Drop::QueueFull), 0, "and nothing was lost");
}

#[test]
fn others_events_beyond_the_queue_are_pruned_and_counted() {
    let mut serf = cluster_with(Options { max_queue_depth: 3, ..options() }, 2);
    for ltime in 1..=5 {
        deliver(&mut serf, at(1), &user_event("e", ltime, ""));
    }
    assert_eq!((serf.queue_depths().events, serf.drops().get(Drop::QueueFull)), (3, 2));
}

#[test]
fn events_follow_the_table() {
    // LTimes that arrive one after the other with "name payload", whether delivered
    for (arrivals, reason) in [
        (vec![(2000, "a", "", true), (1489, "b", "", true), (1488, "c", "", false)], Some(Drop::TooOld)),
        (vec![(5, "a", "x", true), (5, "a", "x", false)], Some(Drop::Duplicate)),
        (vec![(5, "a", "x", true), (5, "a", "y", true), (5, "b", "x", true), (6, "a", "x", true)], None),
        (vec![(0, "a", "", true)], None),
        (vec![(1 << 63, "a", "", true)], None),
        (vec![((1 << 63) + 1, "a", "", false)], Some(Drop::ImplausibleTime)),
        (vec![(u64::MAX, "a", "", false), (7, "b", "", true)], Some(Drop::ImplausibleTime)),
        // One full turn of the ring later the slot is used again.
        (vec![(7, "a", "", true), (7 + 512, "a", "", true), (7, "a", "", false)], Some(Drop::TooOld)),
    ] {
        let mut serf = cluster(2);
        for (ltime, name, payload, taken) in arrivals {
            deliver(&mut serf, at(1), &user_event(name, ltime, payload));
            assert_eq!(!delivered(&drain(&mut serf)).is_empty(), taken, "{name} at {ltime}");
            assert_eq!(!broadcasts(&mut serf).is_empty(), taken, "passed on if and only if delivered");
            serf = drop_queue(serf);
        }
        if let Some(reason) = reason {
            assert_eq!(serf.drops().get(reason), 1);
        }
    }
}

/// Sends everything out, so that the queue is empty.
fn drop_queue(mut serf: Serf) -> Serf {
    while serf.broadcasts_pending() > 0 {
        broadcasts(&mut serf);
    }
    serf
}

#[test]
fn an_event_that_no_packet_holds_is_delivered_and_not_queued_for_ever() {
    let mut serf = cluster(2);
    let event = SerfMessage::UserEvent(UserEvent {
        ltime: LamportTime(3),
        name: "big".into(),
        payload: Bytes::from(vec![1; 5000]),
        coalesce: false,
    });
    deliver(&mut serf, at(1), &event);
    assert_eq!(delivered(&drain(&mut serf)).len(), 1);
    assert_eq!((serf.broadcasts_pending(), serf.drops().get(Drop::Oversize)), (0, 1));
}

#[test]
fn many_events_with_one_time_fill_one_slot_and_no_more() {
    let mut serf = cluster(2);
    for i in 0..2000 {
        deliver(&mut serf, at(1), &user_event(&format!("{i}-{}", "x".repeat(200)), 9, ""));
    }
    assert!(serf.drops().get(Drop::SlotFull) > 1000);
    assert!(serf.local_state().len() < super::super::MAX_SLOT_BYTES * 2);
}

#[test]
fn events_of_before_the_snapshot_are_not_delivered_again() {
    let clocks = SeenClocks { event: LamportTime(40), ..SeenClocks::default() };
    let mut serf = restored(options(), Restored { clocks, ..Restored::default() });
    assert_eq!(serf.stats().event_time, LamportTime(41));
    for (ltime, taken) in [(39, 0), (40, 0), (41, 1)] {
        deliver(&mut serf, at(1), &user_event("e", ltime, ""));
        assert_eq!(delivered(&drain(&mut serf)).len(), taken, "at {ltime}");
    }
    assert_eq!(serf.drops().get(Drop::BeforeStart), 2);
    assert_eq!(serf.seen_clocks().event, LamportTime(41));
}
