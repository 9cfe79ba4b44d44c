use super::super::fixture::*;
use super::super::{KeyOp, KeyParams, Options, Restored, SeenClocks};
use super::*;
use crate::wire::serf::{KeyResponse, Relay, encode_tags};

fn params(name: &str) -> QueryParams {
    QueryParams { name: name.into(), ..QueryParams::default() }
}

fn response(key: QueryKey, from: &str, ack: bool) -> SerfMessage {
    let payload = if ack { Bytes::new() } else { Bytes::from_static(b"pong") };
    SerfMessage::QueryResponse(QueryResponse { ltime: key.ltime, id: key.id, from: from.into(), ack, payload })
}

fn answers(outputs: &[Output]) -> Vec<Answer> {
    let answer = |output: &Output| match output {
        Output::Query(QueryOutput { answer, .. }) => Some(answer.clone()),
        _ => None,
    };
    outputs.iter().filter_map(answer).collect()
}

fn events(outputs: &[Output]) -> Vec<QueryEvent> {
    let event = |output: &Output| match output {
        Output::Event(Event::Query(event)) => Some(event.clone()),
        _ => None,
    };
    outputs.iter().filter_map(event).collect()
}

fn ack_from(from: &str) -> Answer {
    Answer::Ack { from: from.into() }
}

fn pong_from(from: &str) -> Answer {
    Answer::Response { from: from.into(), payload: Bytes::from_static(b"pong") }
}

#[test]
fn the_default_timeout_grows_with_the_digits_of_the_present_members() {
    for (others, timeout) in [(0, 3200), (8, 3200), (9, 6400), (98, 6400), (99, 9600)] {
        let mut serf = cluster(others);
        assert_eq!(serf.default_query_timeout(), Duration::from_millis(timeout), "{others} others");
        if others == 99 {
            gone(&mut serf, at(1), "n1");
            assert_eq!(serf.default_query_timeout(), Duration::from_millis(6400), "the failed do not count");
        }
    }
}

#[test]
fn a_query_is_sent_as_asked_and_answered_by_ourselves_too() {
    let mut serf = cluster(2);
    let key = serf
        .query(
            at(0),
            QueryParams {
                payload: Bytes::from_static(b"pay"),
                nodes: vec!["me".into(), "n2".into()],
                tags: [("role".into(), "web".into())].into(),
                ack: true,
                relay_factor: 3,
                timeout: Some(Duration::from_secs(2)),
                ..params("load")
            },
        )
        .unwrap();
    let SerfMessage::Query(query) = &broadcasts(&mut serf)[0] else { panic!() };
    assert_eq!((query.ltime, query.id, query.addr, query.source_node.as_str()), (key.ltime, key.id, addr(100), "me"));
    assert!(key.id >> 31 == 0 && key.ltime == LamportTime(1));
    assert_eq!((query.ack, query.no_broadcast, query.relay_factor, query.timeout.as_secs()), (true, false, 3, 2));
    let tag = Filter::Tag { tag: "role".into(), expr: "web".into() };
    assert_eq!(query.filters, [Filter::Nodes(vec!["me".into(), "n2".into()]), tag]);
    let outputs = drain(&mut serf);
    assert_eq!(answers(&outputs), [ack_from("me")]);
    let event = &events(&outputs)[0];
    assert_eq!((event.key, event.source.as_str(), event.deadline), (key, "me", at(2000)));
    assert!(sent(&outputs).is_empty(), "nothing goes to our own address");
    serf.respond(at(5), &key, Bytes::from_static(b"pong")).unwrap();
    assert_eq!(answers(&drain(&mut serf)), [pong_from("me")]);
}

#[test]
fn two_queries_at_once_are_told_apart() {
    let mut serf = cluster(1);
    let first = serf.query(at(0), params("q")).unwrap();
    let second = serf.query(at(0), params("q")).unwrap();
    assert_ne!(first.ltime, second.ltime);
    let stray = QueryKey { ltime: first.ltime, id: second.id };
    drain(&mut serf);
    deliver(&mut serf, at(1), &response(stray, "n1", true));
    assert_eq!(serf.drops().get(Drop::UnknownQuery), 1, "time and identifier both count");
    deliver(&mut serf, at(1), &response(second, "n1", true));
    deliver(&mut serf, at(1), &response(first, "n1", true));
    assert_eq!(drain(&mut serf).len(), 2);
}

#[test]
fn each_member_counts_once_for_each_kind_of_answer() {
    let mut serf = cluster(2);
    let key = serf.query(at(0), QueryParams { nodes: vec!["n1".into()], ..params("q") }).unwrap();
    for (from, ack) in [("n1", true), ("n1", true), ("n1", false), ("n1", false), ("n2", false)] {
        deliver(&mut serf, at(1), &response(key, from, ack));
    }
    assert_eq!(answers(&drain(&mut serf)), [ack_from("n1"), pong_from("n1"), pong_from("n2")]);
    assert_eq!(serf.drops().get(Drop::DuplicateAnswer), 2);
}

#[test]
fn a_query_ends_at_its_deadline_and_later_answers_are_dropped() {
    let mut serf = cluster(1);
    let key = serf.query(at(0), QueryParams { nodes: vec!["n1".into()], ..params("q") }).unwrap();
    deliver(&mut serf, at(3199), &response(key, "n1", false));
    assert_eq!(serf.poll_timeout(), Some(at(3200)));
    deliver(&mut serf, at(3200), &response(key, "n1", true));
    serf.handle_timeout(at(3200));
    assert_eq!(answers(&drain(&mut serf)), [pong_from("n1"), Answer::Done { acks: 0, responses: 1 }]);
    deliver(&mut serf, at(3201), &response(key, "n1", true));
    assert_eq!(serf.drops().get(Drop::UnknownQuery), 2);
}

#[test]
fn queries_that_may_not_be_sent_are_refused_and_leave_no_trace() {
    let mut serf = cluster(1);
    let payload = Bytes::from_static(b"x");
    for (params, error) in [
        (params("_serf_install-key"), QueryError::Internal),
        (params("_serf_"), QueryError::Internal),
        (QueryParams { payload: payload.clone(), ..params(PING) }, QueryError::Internal),
        (QueryParams { payload: Bytes::from(vec![0; 1024]), ..params("q") }, QueryError::TooLarge { limit: 1024 }),
        (QueryParams { nodes: vec!["n".repeat(200); 6], ..params("q") }, QueryError::TooLarge { limit: 1024 }),
    ] {
        assert_eq!(serf.query(at(0), params), Err(error));
    }
    assert_eq!((serf.stats().query_time, serf.broadcasts_pending()), (LamportTime(1), 0));
    assert!(serf.query(at(0), params(PING)).is_ok());
}

#[test]
fn our_open_queries_are_bounded() {
    let mut serf = cluster(1);
    for _ in 0..MAX_ASKED_QUERIES {
        serf.query(at(0), params("q")).unwrap();
    }
    assert_eq!(serf.query(at(0), params("q")), Err(QueryError::TooMany));
    serf.handle_timeout(at(3200));
    assert!(serf.query(at(3200), params("q")).is_ok());
}

#[test]
fn a_query_is_delivered_once_and_passed_on_unless_it_says_no() {
    for no_broadcast in [false, true] {
        let mut serf = cluster(2);
        let asked = Query { no_broadcast, ..query("q", 5, 1) };
        for _ in 0..2 {
            deliver(&mut serf, at(1), &SerfMessage::Query(asked.clone()));
        }
        assert_eq!(events(&drain(&mut serf)).len(), 1);
        assert_eq!(serf.queue_depths().queries, usize::from(!no_broadcast));
        assert_eq!(serf.drops().get(Drop::Duplicate), 1);
        deliver(&mut serf, at(1), &SerfMessage::Query(query("q", 5, 2)));
        assert_eq!(events(&drain(&mut serf)).len(), 1, "one time may hold several queries");
    }
}

#[test]
fn times_of_queries_follow_the_table() {
    // snapshot's query time, arrivals with whether they are delivered
    for (seen, arrivals) in [
        (0, vec![(2000, true), (1489, true), (1488, false)]),
        (0, vec![(0, true), (1 << 63, true), (5, false)]),
        (40, vec![(39, false), (40, false), (41, true)]),
    ] {
        let clocks = SeenClocks { query: LamportTime(seen), ..SeenClocks::default() };
        let mut serf = restored(options(), Restored { clocks, ..Restored::default() });
        for (ltime, taken) in arrivals {
            deliver(&mut serf, at(1), &SerfMessage::Query(query("q", ltime, 1)));
            assert_eq!(events(&drain(&mut serf)).len(), usize::from(taken), "{ltime}");
        }
    }
}

#[test]
fn a_query_for_others_is_passed_on_without_ack_or_delivery() {
    let mut serf = cluster(2);
    let filters = vec![Filter::Nodes(vec!["n2".into()])];
    deliver(&mut serf, at(1), &SerfMessage::Query(Query { filters, ack: true, ..query("q", 5, 1) }));
    assert!(drain(&mut serf).is_empty());
    assert_eq!(serf.queue_depths().queries, 1);
    assert_eq!(serf.seen_clocks().query, LamportTime(0), "and the snapshot does not hear of it");
    deliver(&mut serf, at(1), &SerfMessage::Query(query("_serf_ping", 6, 1)));
    assert_eq!(serf.seen_clocks().query, LamportTime(6), "of internal ones it does");
}

#[test]
fn acks_go_at_once_to_where_the_query_says() {
    let mut serf = cluster(2);
    let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 9], 9999));
    let asked = Query { ack: true, addr: elsewhere, source_node: String::new(), ..query("q", 5, 1) };
    deliver(&mut serf, at(1), &SerfMessage::Query(asked));
    let outputs = drain(&mut serf);
    assert!(matches!(outputs[0], Output::SendUser { to, node: None, .. } if to == elsewhere));
    let key = QueryKey { ltime: LamportTime(5), id: 1 };
    assert_eq!(
        sent(&outputs),
        [(
            elsewhere,
            SerfMessage::QueryResponse(QueryResponse {
                ltime: key.ltime,
                id: key.id,
                from: "me".into(),
                ack: true,
                payload: Bytes::new(),
            })
        )]
    );
}

#[test]
fn answering_is_possible_once_in_time_and_within_the_limit() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &SerfMessage::Query(query("q", 5, 1)));
    let key = QueryKey { ltime: LamportTime(5), id: 1 };
    drain(&mut serf);
    let large = Bytes::from(vec![0; 1000]);
    assert_eq!(serf.respond(at(1), &key, large), Err(RespondError::TooLarge { limit: 1024 }));
    assert_eq!(serf.respond(at(10_000), &key, Bytes::new()), Err(RespondError::PastDeadline));
    assert_eq!(serf.respond(at(9999), &key, Bytes::from_static(b"pong")), Ok(()));
    assert_eq!(sent(&drain(&mut serf)), [(addr(1), response(key, "me", false))]);
    assert_eq!(serf.respond(at(9999), &key, Bytes::new()), Err(RespondError::AlreadySent));
    let other = QueryKey { id: 2, ..key };
    assert_eq!(serf.respond(at(1), &other, Bytes::new()), Err(RespondError::Unknown));
    serf.reap(at(10_000));
    assert_eq!(serf.respond(at(10_000), &key, Bytes::new()), Err(RespondError::Unknown));
}

#[test]
fn the_largest_answer_fits_exactly() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &SerfMessage::Query(query("q", 5, 1)));
    let key = QueryKey { ltime: LamportTime(5), id: 1 };
    let fits = |len: usize| {
        let answer = QueryResponse {
            ltime: key.ltime,
            id: key.id,
            from: "me".into(),
            ack: false,
            payload: Bytes::from(vec![0; len]),
        };
        SerfMessage::QueryResponse(answer).encode().len() <= 1024
    };
    let largest = (0..1024).rev().find(|len| fits(*len)).unwrap();
    assert!(serf.respond(at(1), &key, Bytes::from(vec![0; largest + 1])).is_err());
    assert!(serf.respond(at(1), &key, Bytes::from(vec![0; largest])).is_ok());
}

#[test]
fn internal_queries_are_never_shown_and_cannot_be_answered_by_applications() {
    let mut serf = cluster(1);
    for (i, name) in ["_serf_ping", "_serf_unknown", "_serf_list-keys", "_serf_"].into_iter().enumerate() {
        let asked = Query { ack: true, ..query(name, 5, i as u32) };
        deliver(&mut serf, at(1), &SerfMessage::Query(asked));
        let outputs = drain(&mut serf);
        assert!(events(&outputs).is_empty(), "{name}");
        assert_eq!(sent(&outputs).len(), 1, "{name} is acknowledged");
        let key = QueryKey { ltime: LamportTime(5), id: i as u32 };
        assert_eq!(serf.respond(at(1), &key, Bytes::new()), Err(RespondError::Unknown));
    }
}

fn relayed(outputs: &[Output]) -> Vec<(std::net::SocketAddr, Relay)> {
    let relay = |(to, message)| match message {
        SerfMessage::Relay(relay) => Some((to, relay)),
        _ => None,
    };
    sent(outputs).into_iter().filter_map(relay).collect()
}

#[test]
fn answers_are_relayed_through_distinct_living_others() {
    let mut serf = cluster(5);
    gone(&mut serf, at(0), "n4");
    deliver(&mut serf, at(0), &leave("n5", 3, false));
    drain(&mut serf);
    let asked = Query { ack: true, relay_factor: 3, ..query("_serf_ping", 5, 1) };
    deliver(&mut serf, at(1), &SerfMessage::Query(asked));
    let outputs = drain(&mut serf);
    assert_eq!(sent(&outputs)[0].0, addr(1), "the direct copy goes first");
    let relays = relayed(&outputs);
    let via: std::collections::BTreeSet<_> = relays.iter().map(|(to, _)| *to).collect();
    assert_eq!(via, [addr(1), addr(2), addr(3)].into(), "the origin may be among them");
    for (_, relay) in relays {
        assert_eq!((relay.dest, relay.dest_name.as_str()), (addr(1), "n1"));
        assert_eq!(relay.inner[0], 5);
    }
}

#[test]
fn relays_need_enough_members_and_room() {
    // others, relay factor, relays
    for (others, factor, relays) in [(0, 1, 0), (1, 1, 1), (2, 2, 2), (2, 3, 0), (3, 255, 0), (3, 0, 0)] {
        let mut serf = cluster(others);
        let asked = Query { ack: true, relay_factor: factor, ..query("_serf_ping", 5, 1) };
        deliver(&mut serf, at(1), &SerfMessage::Query(asked));
        assert_eq!(relayed(&drain(&mut serf)).len(), relays, "{others} others, factor {factor}");
    }
    let mut serf = cluster(2);
    deliver(&mut serf, at(1), &SerfMessage::Query(Query { relay_factor: 1, ..query("q", 5, 1) }));
    drain(&mut serf);
    let key = QueryKey { ltime: LamportTime(5), id: 1 };
    serf.respond(at(1), &key, Bytes::from(vec![0; 960])).unwrap();
    assert_eq!(sent(&drain(&mut serf)).len(), 1, "too large once wrapped, but the direct copy goes");
    assert_eq!(serf.drops().get(Drop::RelaySize), 1);
}

#[test]
fn members_of_an_older_protocol_do_not_relay() {
    let mut serf = cluster(1);
    let mut old = (*node("n2", 2)).clone();
    old.versions.0[1] = 4;
    serf.handle_swim(at(0), &crate::swim::Event::Joined(std::sync::Arc::new(old)));
    drain(&mut serf);
    deliver(&mut serf, at(1), &SerfMessage::Query(Query { ack: true, relay_factor: 2, ..query("_serf_ping", 5, 1) }));
    assert_eq!(relayed(&drain(&mut serf)).iter().map(|(to, _)| *to).collect::<Vec<_>>(), [addr(1)]);
}

#[test]
fn an_answer_relayed_to_us_counts_as_one_received() {
    let mut serf = cluster(2);
    let key = serf.query(at(0), QueryParams { nodes: vec!["n1".into()], ..params("q") }).unwrap();
    let inner = response(key, "n1", false).encode();
    let relay = SerfMessage::Relay(Relay { dest: addr(100), dest_name: "me".into(), inner });
    deliver(&mut serf, at(1), &relay);
    deliver(&mut serf, at(1), &response(key, "n1", false));
    let outputs = drain(&mut serf);
    assert_eq!((answers(&outputs), sent(&outputs).len()), (vec![pong_from("n1")], 0));
}

#[test]
fn timeouts_from_the_network_are_cut() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &SerfMessage::Query(Query { timeout: Duration::MAX, ..query("q", 5, 1) }));
    assert_eq!(events(&drain(&mut serf))[0].deadline, at(0) + MAX_QUERY_TIMEOUT);
}

#[test]
fn queries_beyond_the_queue_are_refused_to_us() {
    let mut serf = cluster_with(Options { max_queue_depth: 2, ..options() }, 1);
    for _ in 0..2 {
        serf.query(at(0), params("q")).unwrap();
    }
    assert_eq!(serf.query(at(0), params("q")), Err(QueryError::QueueFull { depth: 2 }));
}

fn with_ack(name: &str) -> QueryParams {
    QueryParams { ack: true, ..params(name) }
}

/// To whom the query goes directly at `now`.
fn reminded(serf: &mut Serf, now: Instant) -> Vec<String> {
    drain(serf);
    serf.handle_timeout(now);
    let outputs = drain(serf);
    assert!(sent(&outputs).iter().all(|(_, message)| matches!(message, SerfMessage::Query(_))), "{outputs:?}");
    let name = |output: &Output| match output {
        Output::SendUser { to, node: Some(node), .. } => {
            assert_ne!(*to, addr(100), "never to ourselves");
            Some(node.to_string())
        }
        _ => None,
    };
    outputs.iter().filter_map(name).collect()
}

#[test]
fn who_has_not_acknowledged_after_a_gossip_interval_is_sent_the_same_query_once() {
    let mut serf = cluster(5);
    let key = serf.query(at(0), with_ack("q")).unwrap();
    let gossiped = broadcasts(&mut serf).remove(0);
    deliver(&mut serf, at(1), &response(key, "n1", true));
    deliver(&mut serf, at(1), &response(key, "n2", false));
    gone(&mut serf, at(2), "n4");
    deliver(&mut serf, at(2), &leave("n5", 3, false));
    drain(&mut serf);
    assert_eq!(serf.poll_timeout(), Some(at(200)));
    serf.handle_timeout(at(199));
    assert!(drain(&mut serf).is_empty());
    serf.handle_timeout(at(200));
    assert_eq!(sent(&drain(&mut serf)), [(addr(3), gossiped)], "who answered needs no reminder, nor who is gone");
    assert_eq!(serf.poll_timeout(), Some(at(3200)));
    assert!(reminded(&mut serf, at(3199)).is_empty());
}

#[test]
fn only_the_members_that_a_query_addresses_are_reminded() {
    let mut serf = cluster(3);
    let mut lb = (*node("n4", 4)).clone();
    lb.meta = encode_tags(&[("role".into(), "lb".into())].into());
    serf.handle_swim(at(0), &crate::swim::Event::Joined(std::sync::Arc::new(lb)));
    let tag = |expr: &str| -> BTreeMap<_, _> { [("role".into(), expr.into())].into() };
    let nodes = vec!["me".into(), "n2".into(), "n4".into(), "unknown".into()];
    for (start, (params, expected)) in [
        (QueryParams { nodes: nodes.clone(), ..with_ack("q") }, vec!["n2", "n4"]),
        (QueryParams { tags: tag("^web$"), ..with_ack("q") }, vec!["n1", "n2", "n3"]),
        (QueryParams { nodes, tags: tag("^lb$"), ..with_ack("q") }, vec!["n4"]),
        (QueryParams { tags: tag("("), ..with_ack("q") }, vec![]),
        (with_ack(PING), vec!["n1", "n2", "n3", "n4"]),
        (params("without acks"), vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let start = 1000 * start as u64;
        serf.query(at(start), params.clone()).unwrap();
        assert_eq!(reminded(&mut serf, at(start + 200)), expected, "{params:?}");
    }
}

#[test]
fn a_query_that_is_over_reminds_nobody() {
    let mut serf = cluster(2);
    serf.query(at(0), QueryParams { timeout: Some(Duration::from_millis(200)), ..with_ack("short") }).unwrap();
    assert!(reminded(&mut serf, at(200)).is_empty());
}

#[test]
fn while_more_are_missing_than_are_reminded_gossip_gets_twice_the_time() {
    let mut serf = cluster(MAX_REMINDED as u8 + 2);
    let key = serf.query(at(0), with_ack("q")).unwrap();
    deliver(&mut serf, at(1), &response(key, "n1", true));
    assert!(reminded(&mut serf, at(200)).is_empty());
    assert!(reminded(&mut serf, at(400)).is_empty());
    deliver(&mut serf, at(401), &response(key, "n2", true));
    assert!(reminded(&mut serf, at(799)).is_empty());
    assert_eq!(reminded(&mut serf, at(800)).len(), MAX_REMINDED);
    assert!(reminded(&mut serf, at(1600)).is_empty());
}

#[test]
fn a_key_request_reminds_whose_answer_is_missing() {
    let mut serf = cluster(3);
    let key = serf.key_request(at(0), KeyParams { op: KeyOp::List, only: Vec::new(), ballot: None }).unwrap();
    let payload = KeyResponse { result: true, ..KeyResponse::default() }.encode();
    let answer = QueryResponse { ltime: key.ltime, id: key.id, from: "n1".into(), ack: false, payload };
    deliver(&mut serf, at(1), &SerfMessage::QueryResponse(answer));
    assert_eq!(reminded(&mut serf, at(200)), ["n2", "n3"]);
    serf.key_request(at(1000), KeyParams { op: KeyOp::List, only: vec![name("n2")], ballot: None }).unwrap();
    assert_eq!(reminded(&mut serf, at(1200)), ["n2"]);
}

#[test]
fn who_lost_the_vote_about_its_name_reminds_nobody() {
    let mut serf = cluster(1);
    serf.query(at(0), QueryParams { timeout: Some(Duration::from_secs(60)), ..with_ack("q") }).unwrap();
    serf.vote_ended(at(100), lost_vote());
    assert!(reminded(&mut serf, at(200)).is_empty());
}

/// One answer that knows another under our name.
fn lost_vote() -> conflict::Vote {
    let other = crate::wire::serf::ConflictMember {
        name: "me".into(),
        addr: addr(9),
        tags: BTreeMap::new(),
        status: Status::Alive as u8,
        versions: crate::wire::message::Versions::OURS,
    };
    let mut vote = conflict::Vote::default();
    vote.count(&other.encode(), addr(100));
    vote
}
