use super::super::fixture::*;
use super::super::{Options, QueryKey, Restored};
use super::*;
use crate::swim;
use crate::wire::serf::{LamportTime, PushPullState, Query, QueryResponse, SerfMessage};
use ConflictOutcome::{Asked, Claimed, Freed, Lost, Unanswered, Won};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn clash(serf: &mut Serf, now: Instant) {
    serf.handle_swim(now, &swim::Event::Conflict { name: name("me"), other: addr(66) });
    serf.handle_timeout(now);
}

fn outcomes(outputs: &[Output]) -> Vec<ConflictOutcome> {
    let outcome = |output: &Output| match output {
        Output::Conflict(outcome) => Some(*outcome),
        _ => None,
    };
    outputs.iter().filter_map(outcome).collect()
}

fn key(serf: &mut Serf) -> QueryKey {
    let last = broadcasts(serf).into_iter().filter_map(|message| match message {
        SerfMessage::Query(query) if query.name == QUERY => Some(query),
        _ => None,
    });
    let query = last.max_by_key(|query| query.ltime).expect("a vote is asked for");
    assert_eq!(&query.payload[..], b"me");
    QueryKey { ltime: query.ltime, id: query.id }
}

/// What a member says: where it knows the name, or that it does not; with the status it has there.
#[derive(Clone, Copy, Debug)]
enum Says {
    Us,
    Other(u8),
    Unknown,
    Garbage,
}

fn vote(serf: &mut Serf, key: QueryKey, now: Instant, votes: &[Says]) {
    for (i, says) in votes.iter().enumerate() {
        let member = |addr, status| {
            let versions = crate::wire::message::Versions::OURS;
            ConflictMember { name: "me".into(), addr, tags: Default::default(), status, versions }.encode()
        };
        let payload = match says {
            Says::Us => member(addr(100), 1),
            Says::Other(status) => member(addr(66), *status),
            Says::Unknown => ConflictMember::encode_unknown(),
            Says::Garbage => Bytes::from_static(b"\x06\xc1"),
        };
        let response = QueryResponse { ltime: key.ltime, id: key.id, from: format!("n{}", i + 1), ack: false, payload };
        deliver(serf, now, &SerfMessage::QueryResponse(response));
    }
}

#[test]
fn votes_follow_the_table() {
    use Says::{Garbage, Other, Unknown, Us};
    for (votes, outcome) in [
        (vec![], Unanswered),
        (vec![Garbage], Unanswered),
        (vec![Us], Won { responses: 1, matching: 1 }),
        (vec![Other(1)], Lost { responses: 1, matching: 0 }),
        (vec![Us, Other(1)], Lost { responses: 2, matching: 1 }),
        (vec![Us, Us, Other(1)], Won { responses: 3, matching: 2 }),
        (vec![Us, Us, Other(1), Unknown], Lost { responses: 4, matching: 2 }),
        (vec![Us, Unknown], Lost { responses: 2, matching: 1 }),
        (vec![Us, Garbage], Won { responses: 1, matching: 1 }),
        (vec![Other(4)], Lost { responses: 1, matching: 0 }),
    ] {
        let mut serf = cluster(4);
        clash(&mut serf, at(0));
        assert_eq!(outcomes(&drain(&mut serf)), [Asked { other: addr(66) }]);
        let key = key(&mut serf);
        vote(&mut serf, key, at(1), &votes);
        serf.handle_timeout(at(3199));
        assert!(outcomes(&drain(&mut serf)).is_empty(), "the vote is counted at its end");
        serf.handle_timeout(at(3200));
        assert_eq!(outcomes(&drain(&mut serf)), [outcome], "{votes:?}");
    }
}

/// Claims of others' names, by name and claimant.
fn claims(outputs: &[Output]) -> Vec<(&str, SocketAddr)> {
    let claim = |output| match output {
        &Output::NameClaimed { ref name, other } => Some((name.as_str(), other)),
        _ => None,
    };
    outputs.iter().filter_map(claim).collect()
}

#[test]
fn a_third_party_tells_of_a_clash_over_anothers_name_and_of_who_asks_for_it() {
    let mut serf = cluster(1);
    serf.handle_swim(at(0), &swim::Event::Conflict { name: name("n1"), other: addr(66) });
    assert_eq!(claims(&drain(&mut serf)), [("n1", addr(66))]);
    assert_eq!(serf.broadcasts_pending(), 0, "the vote is another's");
    for (id, (payload, from, claimed)) in
        (1..).zip([("n1", 66, vec![("n1", addr(66))]), ("n1", 1, vec![]), ("none", 66, vec![]), ("me", 66, vec![])])
    {
        let asked = Query { payload: Bytes::from(payload), addr: addr(from), ..query(QUERY, 5, id) };
        deliver(&mut serf, at(1), &SerfMessage::Query(asked));
        assert_eq!(claims(&drain(&mut serf)), claimed, "{payload} {from}");
    }
}

#[test]
fn the_longest_names_are_voted_about() {
    let long = "x".repeat(NodeName::MAX_BYTES);
    let mut us = Serf::new(options(), node(&long, 50), Restored::default(), StdRng::seed_from_u64(7), at(0));
    us.handle_swim(at(0), &swim::Event::Joined(node(&long, 50)));
    us.handle_swim(at(0), &swim::Event::Conflict { name: name(&long), other: addr(66) });
    us.handle_timeout(at(0));
    let asked = broadcasts(&mut us).into_iter().find(|message| matches!(message, SerfMessage::Query(_)));
    let Some(SerfMessage::Query(asked)) = asked else { panic!("nobody is asked") };
    assert_eq!(asked.payload, long);

    let mut voter = cluster(1);
    let tags = Tags::from([("note".to_owned(), "y".repeat(490))]);
    let meta = crate::wire::serf::encode_tags(&tags);
    let known = swim::Node { meta, ..swim::Node::clone(&node(&long, 66)) };
    voter.handle_swim(at(0), &swim::Event::Joined(known.into()));
    drain(&mut voter);
    deliver(&mut voter, at(0), &SerfMessage::Query(asked));
    let answers = sent(&drain(&mut voter));
    let [(to, SerfMessage::QueryResponse(answer))] = &answers[..] else { panic!("{answers:?}") };
    let known = ConflictMember::decode(&answer.payload).unwrap().expect("it is known");
    assert_eq!((*to, known.addr, known.name, known.tags), (addr(50), addr(66), long, Tags::default()));
}

#[test]
fn a_clash_with_votes_disabled_is_ignored() {
    let mut serf = cluster_with(Options { name_conflict_resolution: false, ..options() }, 1);
    clash(&mut serf, at(0));
    assert!(drain(&mut serf).is_empty() && serf.broadcasts_pending() == 0);
}

#[test]
fn the_holder_of_a_name_hears_of_the_other_once_until_that_has_a_name_of_its_own() {
    let mut serf = cluster(4);
    let mut asked = |from, id, ms| {
        let payload = Bytes::from_static(b"me");
        deliver(&mut serf, at(ms), &SerfMessage::Query(Query { payload, addr: addr(from), ..query(QUERY, 5, id) }));
        (outcomes(&drain(&mut serf)), serf.namesake().map(|namesake| (namesake.addr, namesake.last)))
    };
    let seen = |from, ms| Some((addr(from), at(ms)));
    assert_eq!(asked(66, 1, 1), (vec![Claimed { other: addr(66) }], seen(66, 1)));
    assert_eq!(asked(66, 2, 60_001), (vec![], seen(66, 60_001)), "it asks every minute");
    assert_eq!(asked(67, 3, 60_002), (vec![Claimed { other: addr(67) }], seen(67, 60_002)));
    assert_eq!(
        asked(68, 5, 60_002),
        (vec![], seen(68, 60_002)),
        "addresses are the asker's word, and cost a line a minute"
    );
    asked(67, 6, 60_002);
    // Our own question comes round.
    assert_eq!(asked(100, 4, 60_003), (vec![], seen(67, 60_002)));
    let node = swim::Node { name: name("other"), addr: addr(67), ..swim::Node::clone(&serf.local) };
    serf.handle_swim(at(60_004), &swim::Event::Joined(std::sync::Arc::new(node)));
    assert_eq!(serf.namesake(), None);
}

#[test]
fn a_clash_is_remembered_with_its_end() {
    for (votes, claim) in
        [(vec![], Claim::Undecided), (vec![Says::Us], Claim::Held), (vec![Says::Other(1)], Claim::Disputed)]
    {
        let mut serf = cluster(4);
        clash(&mut serf, at(0));
        assert_eq!(serf.namesake().map(|namesake| namesake.claim), Some(Claim::Disputed), "not yet");
        let key = key(&mut serf);
        vote(&mut serf, key, at(1), &votes);
        serf.handle_timeout(at(3200));
        assert_eq!(serf.namesake(), Some(Namesake { addr: addr(66), last: at(0), claim }), "{votes:?}");
    }
}

#[test]
fn a_newcomer_asks_at_the_time_of_the_cluster_that_showed_it_the_clash() {
    let mut serf = cluster(1);
    serf.handle_swim(at(0), &swim::Event::Conflict { name: name("me"), other: addr(66) });
    let state = PushPullState { query_ltime: LamportTime(40), ..PushPullState::default() };
    serf.merge_state(at(0), &state.encode(), None);
    serf.handle_timeout(serf.poll_timeout().expect("the vote is due"));
    assert_eq!(key(&mut serf).ltime, LamportTime(40));
}

#[test]
fn repeated_clashes_make_one_vote_a_minute() {
    let mut serf = cluster(1);
    for ms in [0, 10, 3300, 59_999] {
        clash(&mut serf, at(ms));
        serf.handle_timeout(at(ms));
    }
    assert_eq!(outcomes(&drain(&mut serf)), [Asked { other: addr(66) }, Unanswered]);
    clash(&mut serf, at(60_000));
    assert_eq!(outcomes(&drain(&mut serf)).len(), 1);
}

#[test]
fn a_lost_vote_is_repeated_every_minute_and_asked_directly_until_the_name_is_free() {
    use Says::{Other, Unknown};
    let mut serf = cluster(4);
    clash(&mut serf, at(0));
    let first = key(&mut serf);
    vote(&mut serf, first, at(1), &[Other(1)]);
    serf.handle_timeout(at(3200));
    drain(&mut serf);
    // votes of the following minutes, outcome
    let minutes = [
        (vec![Other(1)], None),
        (vec![], None),
        (vec![Other(4), Other(1)], None),
        (vec![Other(4), Unknown, Other(1)], Some(Freed)),
    ];
    let mut now = 60_000;
    for (votes, outcome) in minutes {
        serf.handle_timeout(at(now));
        let outputs = drain(&mut serf);
        let direct = sent(&outputs);
        assert_eq!(direct.len(), 3, "three members are asked directly");
        assert!(direct.iter().all(|(_, message)| matches!(message, SerfMessage::Query(query) if query.name == QUERY)));
        let key = key(&mut serf);
        vote(&mut serf, key, at(now + 1), &votes);
        serf.handle_timeout(at(now + 3200));
        assert_eq!(outcomes(&drain(&mut serf)), outcome.into_iter().collect::<Vec<_>>(), "{votes:?}");
        now = match serf.dispute.poll_timeout() {
            Some(next) => next.as_nanos() / 1_000_000,
            None => break,
        };
    }
    assert_eq!(serf.dispute.poll_timeout(), None, "free: nothing more is asked");
}

fn ask_about(serf: &mut Serf, disputed: &[u8]) -> Option<Bytes> {
    let payload = Bytes::copy_from_slice(disputed);
    deliver(serf, at(1), &SerfMessage::Query(Query { payload, ..query(QUERY, 5, 1) }));
    match &sent(&drain(serf))[..] {
        [] => None,
        [(_, SerfMessage::QueryResponse(response))] => Some(response.payload.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn others_are_told_our_record_of_a_disputed_name_and_nothing_of_our_own() {
    for (disputed, expected) in [
        ("me", None),
        ("nobody", Some(None)),
        ("", Some(None)),
        ("n1", Some(Some((addr(1), 1)))),
        ("n2", Some(Some((addr(2), 4)))),
    ] {
        let mut serf = cluster(2);
        gone(&mut serf, at(0), "n2");
        drain(&mut serf);
        let answer = ask_about(&mut serf, disputed.as_bytes());
        let record = answer.map(|answer| ConflictMember::decode(&answer).unwrap());
        assert_eq!(record.map(|record| record.map(|member| (member.addr, member.status))), expected, "{disputed}");
    }
    assert_eq!(ask_about(&mut cluster(1), b"\xff\xfe"), Some(ConflictMember::encode_unknown()), "no name at all");
}

#[test]
fn mapped_addresses_are_the_same_address() {
    let mut vote = Vote::default();
    let member = ConflictMember {
        name: "me".into(),
        addr: "[::ffff:127.0.0.100]:7946".parse().unwrap(),
        tags: Default::default(),
        status: 1,
        versions: crate::wire::message::Versions::OURS,
    };
    vote.count(&member.encode(), addr(100));
    assert_eq!(vote, Vote { responses: 1, matching: 1, free: 0 });
}
