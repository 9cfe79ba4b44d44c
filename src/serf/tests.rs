//! The layer as a whole: membership through messages, tags, and every case of `serf §14` that can kill, wedge or
//! mislead the reference.

use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::swim;
use crate::wire::serf::{Filter, KeyRequest, QueryResponse, Relay};
use MemberEventKind as Kind;

#[test]
fn an_announced_leave_ends_as_left_and_an_unannounced_one_as_failed() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(1), &leave("n1", 5, false));
    assert!(member_events(&drain(&mut serf)).is_empty(), "leaving itself is no event");
    gone(&mut serf, at(2), "n1");
    gone(&mut serf, at(2), "n2");
    let expected = [(Kind::Leave, "n1".to_owned()), (Kind::Failed, "n2".to_owned())];
    assert_eq!(member_events(&drain(&mut serf)), expected);
}

#[test]
fn a_leave_intent_that_comes_late_turns_failed_into_left() {
    let mut serf = cluster(2);
    gone(&mut serf, at(2), "n1");
    deliver(&mut serf, at(3), &leave("n1", 5, false));
    let expected = [(Kind::Failed, "n1".to_owned()), (Kind::Leave, "n1".to_owned())];
    assert_eq!(member_events(&drain(&mut serf)), expected);
}

#[test]
fn a_rejoin_keeps_the_status_time_so_the_join_intent_must_be_newer() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(1), &leave("n1", 5, false));
    gone(&mut serf, at(2), "n1");
    serf.handle_swim(at(3), &swim::Event::Joined(node("n1", 1)));
    drain(&mut serf);
    deliver(&mut serf, at(4), &leave("n1", 5, false));
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive, "the old leave is stale");
    deliver(&mut serf, at(5), &join("n1", 6));
    assert_eq!(serf.member("n1").unwrap().status_ltime, LamportTime(6));
}

#[test]
fn an_intent_before_its_member_is_applied_when_it_comes_and_passed_on_once() {
    let mut serf = cluster(1);
    for _ in 0..2 {
        deliver(&mut serf, at(1), &leave("late", 8, false));
    }
    assert_eq!(broadcasts(&mut serf).len(), 1);
    serf.handle_swim(at(2), &swim::Event::Joined(node("late", 9)));
    assert_eq!(statuses(&serf)[0], ("late".to_owned(), Status::Leaving));
}

#[test]
fn intents_are_passed_on_as_received_and_only_if_new() {
    let mut serf = cluster(2);
    // Keys in another order than ours, and one we do not know: must be passed on as it is.
    let odd = Bytes::from_static(b"\x01\x83\xa4Node\xa2n1\xa5Extra\x01\xa5LTime\x09");
    serf.handle_message(at(1), peer(), &odd);
    serf.handle_message(at(2), peer(), &odd);
    let mut out = Vec::new();
    serf.take_broadcasts(usize::MAX / 2, 3, &mut out);
    assert_eq!(out, [odd]);
    assert_eq!(serf.drops().get(Drop::SeenIntent), 1);
}

#[test]
fn a_leave_about_ourselves_is_refuted_by_a_join_above_it() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(1), &leave("me", 60, false));
    assert_eq!(broadcasts(&mut serf), [join("me", 61)], "as the reference answers 60 with 61");
    assert_eq!(serf.stats().member_time, LamportTime(62));
    deliver(&mut serf, at(2), &leave("me", 60, true));
    assert_eq!(serf.queue_depths().intents, 1, "an old one is ignored, prune or not");
    assert!(serf.member("me").is_some());
}

#[test]
fn joining_announces_us_above_what_the_push_pull_told() {
    let mut serf = cluster(1);
    let mut other = cluster(1);
    deliver(&mut other, at(0), &leave("me", 40, false));
    drain(&mut other);
    let mut told = crate::wire::serf::PushPullState { ltime: LamportTime(41), ..Default::default() };
    told.status_ltimes.insert("me".into(), LamportTime(40));
    serf.merge_state(at(1), &told.encode(), Some(JoinKind { ours: true, ignore_old: true }));
    serf.joined(at(1));
    assert_eq!(broadcasts(&mut serf), [join("me", 41)]);
    assert_eq!(serf.stats().member_time, LamportTime(42));
    assert_eq!(serf.member("me").unwrap().status_ltime, LamportTime(41));
}

#[test]
fn broadcasts_go_intents_first_then_queries_then_events() {
    let mut serf = cluster(2);
    serf.user_event(at(1), "e", Bytes::new(), false).unwrap();
    serf.query(at(1), QueryParams { name: "q".into(), ..QueryParams::default() }).unwrap();
    serf.joined(at(1));
    assert_eq!(serf.queue_depths(), QueueDepths { intents: 1, queries: 1, events: 1 });
    assert_eq!(serf.lowest_tier(), Some(0));
    let kinds: Vec<u8> = broadcasts(&mut serf).iter().map(|message| message.encode()[0]).collect();
    assert_eq!(kinds, [1, 4, 3]);
    assert_eq!((serf.broadcasts_pending(), serf.lowest_tier()), (3, Some(1)));
    let mut out = Vec::new();
    assert_eq!(serf.take_broadcasts(5, 3, &mut out), 5, "nothing fits, nothing is taken");
    assert!(out.is_empty());
}

#[test]
fn a_broadcast_is_sent_four_times_among_two_and_eight_times_up_to_a_hundred() {
    for (others, times) in [(0, 4), (1, 4), (2, 8), (8, 8), (9, 8)] {
        let mut serf = cluster(others);
        serf.joined(at(1));
        let sent = std::iter::repeat_with(|| broadcasts(&mut serf).len()).take_while(|sent| *sent > 0).count();
        assert_eq!(sent, times, "{others} others");
    }
}

#[test]
fn tags_are_limited_to_512_bytes_once_encoded() {
    let mut serf = cluster(0);
    // ff, map of one, key of one byte, value of raw16: seven bytes and the value
    for (len, fits) in [(505, true), (506, false)] {
        let tags = Tags::from([("k".into(), "v".repeat(len))]);
        let meta = serf.set_tags(at(1), &tags);
        assert_eq!(meta.is_ok(), fits, "{len}");
        if let Ok(meta) = meta {
            assert_eq!(decode_tags(&meta), tags);
        }
    }
    assert_eq!(
        serf.set_tags(at(1), &Tags::from([("k".into(), "v".repeat(999))])),
        Err(TagsError::TooLarge { encoded: 1006 })
    );
}

#[test]
fn setting_the_same_tags_again_is_an_update_all_the_same() {
    let mut serf = cluster(0);
    serf.set_tags(at(1), &Tags::from([("role".into(), "web".into())])).unwrap();
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Update, "me".to_owned())]);
    serf.set_tags(at(1), &Tags::from([("role".into(), "lb".into())])).unwrap();
    assert!(drain(&mut serf).is_empty(), "of other tags swim will report the update");
}

#[test]
fn our_own_update_changes_what_filters_see() {
    let mut serf = cluster(0);
    let mut changed = (**serf.local()).clone();
    changed.meta = encode_tags(&Tags::from([("role".into(), "lb".into())]));
    serf.handle_swim(at(1), &swim::Event::Updated(Arc::new(changed)));
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Update, "me".to_owned())]);
    let filters = vec![Filter::Tag { tag: "role".into(), expr: "lb".into() }];
    deliver(&mut serf, at(2), &SerfMessage::Query(crate::wire::serf::Query { filters, ..query("q", 1, 1) }));
    assert!(matches!(drain(&mut serf)[..], [Output::Event(Event::Query(_))]));
}

#[test]
fn suspicions_and_purges_of_swim_are_no_business_of_serf() {
    let mut serf = cluster(1);
    gone(&mut serf, at(1), "n1");
    drain(&mut serf);
    let suspected = swim::Event::Suspected { name: name("n1"), by: name("n0") };
    for event in [suspected, swim::Event::Cleared(name("n1")), swim::Event::Purged(name("n1"))] {
        serf.handle_swim(at(2), &event);
    }
    assert!(drain(&mut serf).is_empty());
    assert_eq!(serf.member("n1").unwrap().status, Status::Failed, "shown and dialled for a day");
}

#[test]
fn held_events_come_when_due_and_at_a_flush() {
    let mut serf = cluster_with(Options::default(), 1);
    serf.handle_timeout(at(1000));
    assert!(
        matches!(&drain(&mut serf)[..], [Output::Event(Event::Member { kind: Kind::Join, members })] if members.len() == 2)
    );
    gone(&mut serf, at(2000), "n1");
    assert!(matches!(&drain(&mut serf)[..], [Output::Member(_)]), "the uncoalesced one comes at once");
    serf.flush();
    assert!(matches!(&drain(&mut serf)[..], [Output::Event(Event::Member { kind: Kind::Failed, .. })]));
}

#[test]
fn stats_tell_what_is_there() {
    let mut serf = cluster(3);
    deliver(&mut serf, at(1), &leave("n1", 5, false));
    gone(&mut serf, at(1), "n1");
    gone(&mut serf, at(1), "n2");
    let stats = serf.stats();
    assert_eq!((stats.members, stats.failed, stats.left), (4, 1, 1));
    assert_eq!((stats.member_time.0, stats.event_time.0, stats.query_time.0), (6, 1, 1));
    assert_eq!((stats.queues.intents, stats.coordinate_resets), (1, Some(0)));
    assert_eq!(serf.seen_clocks().member, LamportTime(5));
    let without = Serf::new(
        Options { coordinates: false, ..options() },
        node("me", 100),
        Restored::default(),
        StdRng::seed_from_u64(1),
        at(0),
    );
    assert_eq!(without.stats().coordinate_resets, None);
    assert!(without.ack_payload().is_empty());
}

#[test]
fn clocks_continue_after_a_restart() {
    let seen = SeenClocks { member: LamportTime(9), event: LamportTime(4), query: LamportTime(12) };
    let serf = restored(options(), Restored { clocks: seen, ..Restored::default() });
    let stats = serf.stats();
    assert_eq!((stats.member_time.0, stats.event_time.0, stats.query_time.0), (10, 5, 13));
    assert_eq!(serf.seen_clocks(), seen);
}

#[test]
fn coordinates_of_strangers_and_odd_payloads_are_not_taken() {
    let mut serf = cluster(1);
    let good = serf.ack_payload();
    let rtt = Duration::from_millis(5);
    for (name_of, payload, rtt, dropped) in [
        ("n1", &b""[..], rtt, 0),
        ("stranger", &good, rtt, 0),
        ("n1", b"\x02\x80", rtt, 1),
        ("n1", b"\x01\xc1", rtt, 1),
        ("n1", b"\x01\x80", rtt, 1),
        ("n1", &good, Duration::from_secs(11), 1),
    ] {
        let before = serf.drops().get(Drop::Coordinate);
        serf.handle_rtt(&name(name_of), rtt, payload);
        assert_eq!(serf.drops().get(Drop::Coordinate), before + dropped, "{name_of} {payload:?}");
        assert!(serf.coordinate(name_of).is_none());
    }
    serf.handle_rtt(&name("n1"), rtt, &good);
    assert!(serf.coordinate("n1").is_some() && serf.coordinate("me").is_some());
}

// --- The list of `serf §14` ---

#[test]
fn hostile_zero_length_filter_fails_and_is_not_passed_on() {
    for flags in [false, true] {
        let mut serf = cluster(2);
        let filters = vec![Filter::Unknown(Bytes::new())];
        let hostile = crate::wire::serf::Query { filters, ack: flags, ..query("q", 5, 1) };
        deliver(&mut serf, at(1), &SerfMessage::Query(hostile));
        assert!(drain(&mut serf).is_empty());
        assert_eq!(serf.broadcasts_pending(), 0);
        assert_eq!(serf.drops().get(Drop::EmptyFilter), 1);
    }
    let mut serf = cluster(2);
    let filters = vec![Filter::Nodes(vec!["me".into()]), Filter::Unknown(Bytes::new())];
    deliver(&mut serf, at(1), &SerfMessage::Query(crate::wire::serf::Query { filters, ..query("q", 5, 1) }));
    assert_eq!((drain(&mut serf).len(), serf.broadcasts_pending()), (0, 0), "also behind one that passes");
}

#[test]
fn hostile_key_query_without_payload_is_answered_false_and_not_passed_on() {
    for name in ["_serf_install-key", "_serf_use-key", "_serf_remove-key"] {
        let mut serf = cluster(2);
        deliver(&mut serf, at(1), &SerfMessage::Query(query(name, 5, 1)));
        let outputs = drain(&mut serf);
        let [(to, SerfMessage::QueryResponse(answer))] = &sent(&outputs)[..] else { panic!("{outputs:?}") };
        assert_eq!(*to, addr(1));
        let answer = crate::wire::serf::KeyResponse::decode(&answer.payload).unwrap();
        assert_eq!((answer.result, answer.message.as_str()), (false, ""));
        assert_eq!(serf.broadcasts_pending(), 0, "{name}");
        assert_eq!(serf.drops().get(Drop::EmptyKeyPayload), 1);
    }
    let mut serf = cluster(2);
    deliver(&mut serf, at(1), &SerfMessage::Query(query("_serf_list-keys", 5, 1)));
    assert_eq!(serf.broadcasts_pending(), 1, "a list needs no payload and crashes nobody");
}

#[test]
fn hostile_times_move_no_clock_and_wrap_nothing() {
    for time in [(1 << 63) + 1, u64::MAX - 1, u64::MAX] {
        let mut serf = cluster(2);
        deliver(&mut serf, at(1), &join("nobody", time));
        deliver(&mut serf, at(1), &join("n1", time));
        deliver(&mut serf, at(1), &leave("n1", time, true));
        deliver(&mut serf, at(1), &leave("me", time, false));
        deliver(&mut serf, at(1), &user_event("e", time, ""));
        deliver(&mut serf, at(1), &SerfMessage::Query(query("q", time, 1)));
        let stats = serf.stats();
        assert_eq!((stats.member_time.0, stats.event_time.0, stats.query_time.0), (1, 1, 1));
        assert_eq!(stats.drops.get(Drop::ImplausibleTime), 6);
        assert_eq!((drain(&mut serf).len(), serf.broadcasts_pending()), (0, 0));
    }
}

#[test]
fn hostile_time_at_the_limit_leaves_us_able_to_speak() {
    let mut serf = cluster(2);
    let limit = LamportTime::MAX.get();
    deliver(&mut serf, at(1), &leave("me", limit - 1, false));
    let refuted = broadcasts(&mut serf);
    assert_eq!(refuted, [join("me", limit)]);
    deliver(&mut serf, at(1), &user_event("e", limit, ""));
    drain(&mut serf);
    let ltime = serf.user_event(at(2), "mine", Bytes::new(), false).unwrap();
    assert!(ltime.is_plausible());
    assert_eq!(drain(&mut serf).len(), 1, "and it is delivered");
}

#[test]
fn hostile_prune_of_the_living_hides_nobody_and_locks_nothing() {
    let mut serf = cluster(2);
    deliver(&mut serf, at(1), &leave("n1", 5, true));
    gone(&mut serf, at(2), "n2");
    assert_eq!(member_events(&drain(&mut serf)), [(Kind::Failed, "n2".to_owned())], "membership goes on");
    deliver(&mut serf, at(3), &join("n1", 6));
    serf.handle_timeout(at(10_000));
    assert_eq!(serf.member("n1").unwrap().status, Status::Alive);
}

#[test]
fn hostile_relays_are_not_forwarded() {
    let response = SerfMessage::QueryResponse(QueryResponse {
        ltime: LamportTime(3),
        id: 9,
        from: "n2".into(),
        ack: false,
        payload: Bytes::new(),
    })
    .encode();
    let nested =
        SerfMessage::Relay(Relay { dest: addr(1), dest_name: String::new(), inner: response.clone() }).encode();
    let large = SerfMessage::QueryResponse(QueryResponse {
        ltime: LamportTime(3),
        id: 9,
        from: "n2".into(),
        ack: false,
        payload: Bytes::from(vec![0; 1024]),
    });
    // destination, inner message, reason
    for (dest, inner, reason) in [
        (addr(200), response.clone(), Drop::RelayTarget),
        (addr(3), response.clone(), Drop::RelayTarget),
        (SocketAddr::from(([127, 0, 0, 1], 53)), response.clone(), Drop::RelayTarget),
        (addr(1), Bytes::new(), Drop::RelayContent),
        (addr(1), Bytes::from_static(b"\x05\xc1"), Drop::RelayContent),
        (addr(1), user_event("e", 1, "").encode(), Drop::RelayContent),
        (addr(1), join("n1", 1).encode(), Drop::RelayContent),
        (addr(1), nested, Drop::RelayContent),
        (addr(1), large.encode(), Drop::RelayContent),
    ] {
        let mut serf = cluster(3);
        gone(&mut serf, at(0), "n3");
        drain(&mut serf);
        deliver(&mut serf, at(1), &SerfMessage::Relay(Relay { dest, dest_name: "x".into(), inner }));
        assert!(sent(&drain(&mut serf)).is_empty());
        assert_eq!(serf.drops().get(reason), 1, "{reason:?}");
    }
    let mut serf = cluster(2);
    let relay = SerfMessage::Relay(Relay { dest: addr(2), dest_name: "n2".into(), inner: response.clone() });
    for _ in 0..RELAYS_PER_SECOND + 10 {
        deliver(&mut serf, at(1), &relay);
    }
    let forwarded = drain(&mut serf);
    assert_eq!(forwarded.len() as u64, RELAYS_PER_SECOND);
    assert!(matches!(&forwarded[0], Output::SendUser { to, message, .. } if *to == addr(2) && *message == response));
    assert_eq!(serf.drops().get(Drop::RelayRate), 10);
}

#[test]
fn hostile_queries_make_us_no_reflector() {
    let mut serf = cluster(2);
    for id in 0..1000 {
        let victim = SocketAddr::from(([127, 0, 0, 200], 53));
        let hostile = crate::wire::serf::Query { addr: victim, ack: true, ..query("_serf_ping", 5, id) };
        deliver(&mut serf, at(1), &SerfMessage::Query(hostile));
    }
    assert_eq!(drain(&mut serf).len() as u64, STRANGER_REPLIES_PER_SECOND);
    assert!(serf.drops().get(Drop::ReplyRate) > 0);
}

#[test]
fn hostile_expressions_are_bounded() {
    let mut serf = cluster(2);
    for (id, expr) in ["((a{1000}){1000}){1000}", "(", r"(\pL{500}){500}"].into_iter().enumerate() {
        let filters = vec![Filter::Tag { tag: "role".into(), expr: expr.into() }];
        let hostile = crate::wire::serf::Query { filters, ..query("q", 5, id as u32) };
        deliver(&mut serf, at(1), &SerfMessage::Query(hostile));
    }
    assert!(drain(&mut serf).is_empty());
    assert_eq!(serf.drops().get(Drop::BadFilter), 3);
}

#[test]
fn hostile_names_are_not_taken() {
    let mut serf = cluster(1);
    for name in ["", &"x".repeat(NodeName::MAX_BYTES + 1)] {
        deliver(&mut serf, at(1), &join(name, 5));
        deliver(&mut serf, at(1), &leave(name, 6, false));
    }
    assert_eq!(serf.drops().get(Drop::Name), 4);
    assert_eq!((serf.broadcasts_pending(), serf.stats().member_time.0), (0, 1));
    deliver(&mut serf, at(1), &join(&"x".repeat(NodeName::MAX_BYTES), 5));
    assert_eq!(serf.broadcasts_pending(), 1, "so many bytes are a name");
}

#[test]
fn hostile_types_and_bodies_are_counted_and_not_passed_on() {
    let mut serf = cluster(1);
    // bytes, reason
    for (bytes, reason) in [
        (&b""[..], Drop::Empty),
        (b"\x02\x80", Drop::MessageType),
        (b"\x06\xc0", Drop::MessageType),
        (b"\x07\x80", Drop::MessageType),
        (b"\x08\x80", Drop::MessageType),
        (b"\x0a\x80", Drop::MessageType),
        (b"\xff", Drop::MessageType),
        (b"\x00", Drop::Undecodable),
        (b"\x01\xc1", Drop::Undecodable),
        (b"\x03\xc1", Drop::Undecodable),
        (b"\x04\x80", Drop::Undecodable),
        (b"\x05\xff", Drop::Undecodable),
        (b"\x09\x80", Drop::Undecodable),
    ] {
        let before = serf.drops().get(reason);
        serf.handle_message(at(1), peer(), &Bytes::from_static(bytes));
        assert_eq!(serf.drops().get(reason), before + 1, "{bytes:?}");
    }
    assert_eq!((drain(&mut serf).len(), serf.broadcasts_pending()), (0, 0));
}

#[test]
fn hostile_answers_are_bounded_and_strangers_do_not_vote() {
    let mut serf = cluster(2);
    let key = serf.query(at(1), QueryParams { name: "q".into(), ..QueryParams::default() }).unwrap();
    drain(&mut serf);
    for i in 0..1000 {
        let from = format!("x{i}");
        let answer = QueryResponse { ltime: key.ltime, id: key.id, from, ack: false, payload: Bytes::new() };
        deliver(&mut serf, at(2), &SerfMessage::QueryResponse(answer));
    }
    assert_eq!(drain(&mut serf).len(), 2 * 3 + 64);
    let op = KeyOp::List;
    let key = serf.key_request(at(1), KeyParams { op, only: vec![], ballot: None }).unwrap();
    let answer = QueryResponse { ltime: key.ltime, id: key.id, from: "x".into(), ack: false, payload: Bytes::new() };
    deliver(&mut serf, at(2), &SerfMessage::QueryResponse(answer));
    assert_eq!(serf.drops().get(Drop::AnswerFromStranger), 1);
}

#[test]
fn hostile_equal_times_of_queries_fill_one_slot_and_no_more() {
    let mut serf = cluster(2);
    for id in 0..2000 {
        deliver(&mut serf, at(1), &SerfMessage::Query(query("q", 5, id)));
    }
    assert_eq!(serf.drops().get(Drop::SlotFull), 2000 - MAX_SLOT_ITEMS as u64);
}

#[test]
fn key_material_does_not_show_in_debug() {
    let op = KeyOp::Install(vec![0xab; 32].into());
    assert_eq!(format!("{op:?}"), "_serf_install-key");
    let mut serf = cluster(1);
    let payload = KeyRequest { key: vec![0xab; 32].into(), rot: None }.encode();
    deliver(
        &mut serf,
        at(1),
        &SerfMessage::Query(crate::wire::serf::Query { payload, ..query("_serf_use-key", 5, 1) }),
    );
    let shown = format!("{:?}", drain(&mut serf));
    assert!(shown.contains("_serf_use-key") && !shown.contains("171") && !shown.contains("xab"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_dropped_without_panic(messages in prop::collection::vec((0u8..11, prop::collection::vec(any::<u8>(), 0..80)), 1..20)) {
        let mut serf = cluster(3);
        for (kind, body) in messages {
            let message: Vec<u8> = std::iter::once(kind).chain(body).collect();
            serf.handle_message(at(1), peer(), &Bytes::from(message.clone()));
            serf.merge_state(at(1), &message, Some(JoinKind { ours: true, ignore_old: true }));
            serf.handle_rtt(&name("n1"), Duration::from_millis(3), &message);
        }
        serf.handle_timeout(at(100_000));
        prop_assert_eq!(serf.member("me").map(|member| member.status), Some(Status::Alive));
    }

    #[test]
    fn any_intents_keep_the_rules(intents in prop::collection::vec((0u8..4, any::<bool>(), prop_oneof![0u64..20, any::<u64>()], any::<bool>()), 1..60)) {
        let mut serf = cluster(2);
        for (i, (who, is_leave, ltime, prune)) in intents.into_iter().enumerate() {
            let who = ["me", "n1", "n2", "nobody"][usize::from(who)];
            let before: Vec<_> = serf.members().map(|member| (member.node.name.clone(), member.status_ltime)).collect();
            let message = if is_leave { leave(who, ltime, prune) } else { join(who, ltime) };
            deliver(&mut serf, at(i as u64), &message);
            for (name, time) in before {
                let member = serf.member(name.as_str());
                prop_assert!(member.is_some_and(|member| member.status_ltime >= time), "status times never go back");
            }
        }
        prop_assert_eq!(serf.member("me").map(|member| member.status), Some(Status::Alive));
        prop_assert!(serf.stats().member_time.is_plausible());
    }
}
