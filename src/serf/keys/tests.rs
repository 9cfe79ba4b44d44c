use zeroize::Zeroizing;

use super::super::fixture::*;
use super::super::tally::KeyParams;
use super::super::{LamportTime, Restored};
use super::*;

const KEY: [u8; 32] = [9; 32];

fn request(name: &str, ltime: u64, rot: Option<[u8; 12]>) -> SerfMessage {
    let payload = KeyRequest { key: KEY.to_vec().into(), rot }.encode();
    SerfMessage::Query(Query { payload, ..query(name, ltime, 1) })
}

fn ballot(ltime: u64, random: u8) -> Option<[u8; 12]> {
    Some(Ballot::new(LamportTime(ltime), [random; 4]).0)
}

fn answer(outputs: &[Output]) -> KeyResponse {
    match &sent(outputs)[..] {
        [(_, SerfMessage::QueryResponse(response))] => KeyResponse::decode(&response.payload).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn asked(outputs: &[Output]) -> (QueryKey, KeyOp, Option<Ballot>) {
    match outputs {
        [Output::Keyring { query, op, ballot, .. }] => (*query, op.clone(), *ballot),
        other => panic!("{other:?}"),
    }
}

#[test]
fn key_queries_become_keyring_changes_and_their_results_answers() {
    let key = || Zeroizing::new(KEY.to_vec());
    for (name, op) in [
        ("_serf_install-key", KeyOp::Install(key())),
        ("_serf_use-key", KeyOp::Use(key())),
        ("_serf_remove-key", KeyOp::Remove(key())),
        ("_serf_list-keys", KeyOp::List),
    ] {
        let listing = op == KeyOp::List;
        // what the keyring says, result, text
        for (given, result, text) in [
            (KeyringAnswer::Done, true, ""),
            (
                KeyringAnswer::Refused("Removing the primary key is not allowed".into()),
                false,
                "Removing the primary key is not allowed",
            ),
            (
                KeyringAnswer::Unencrypted,
                false,
                if listing {
                    "Keyring is empty (encryption not enabled)"
                } else {
                    "No keyring to modify (encryption not enabled)"
                },
            ),
        ] {
            let mut serf = cluster(1);
            deliver(&mut serf, at(1), &request(name, 5, None));
            let (query, wanted, ballot) = asked(&drain(&mut serf));
            assert_eq!((&wanted, ballot), (&op, None));
            serf.keyring_answer(at(2), &query, given).unwrap();
            let response = answer(&drain(&mut serf));
            assert_eq!((response.result, response.message.as_str(), response.rot), (result, text, None));
            assert_eq!(serf.keyring_answer(at(2), &query, KeyringAnswer::Done), Err(RespondError::AlreadySent));
        }
    }
}

#[test]
fn a_payload_that_does_not_decode_is_a_failure_without_text() {
    for payload in [&b"\x07\xc1"[..], b"\x07", b"\x07\x05"] {
        let mut serf = cluster(1);
        let payload = Bytes::from_static(payload);
        deliver(&mut serf, at(1), &SerfMessage::Query(Query { payload, ..query("_serf_install-key", 5, 1) }));
        let response = answer(&drain(&mut serf));
        assert_eq!((response.result, response.message.as_str()), (false, ""));
    }
    let mut serf = cluster(1);
    let payload = Bytes::from_static(b"\xc1");
    deliver(&mut serf, at(1), &SerfMessage::Query(Query { payload, ..query("_serf_list-keys", 5, 1) }));
    assert_eq!(asked(&drain(&mut serf)).1, KeyOp::List, "a list ignores its payload");
}

#[test]
fn answers_of_the_keyring_to_what_was_not_asked_are_refused() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(1), &SerfMessage::Query(query("load", 5, 1)));
    let key = QueryKey { ltime: LamportTime(5), id: 1 };
    assert_eq!(serf.keyring_answer(at(2), &key, KeyringAnswer::Done), Err(RespondError::Unknown));
    deliver(&mut serf, at(1), &request("_serf_use-key", 6, None));
    let key = QueryKey { ltime: LamportTime(6), id: 1 };
    assert_eq!(serf.keyring_answer(at(10_001), &key, KeyringAnswer::Done), Err(RespondError::PastDeadline));
}

#[test]
fn the_ballot_rule_follows_the_table() {
    let high = (100, 5);
    // the request's ballot, seconds after a request of ballot (100, 5), obeyed, text
    for (rot, seconds, obeyed, text) in [
        (ballot(100, 5), 1, true, ""),
        (ballot(100, 6), 1, true, ""),
        (ballot(101, 0), 1, true, ""),
        (ballot(100, 4), 1, false, "superseded by a rotation from n1"),
        (ballot(99, 255), 1, false, "superseded by a rotation from n1"),
        (ballot(99, 255), 86_400, false, "superseded by a rotation from n1"),
        (None, 59, false, "a rotation from n1 was here 59 s ago and may still run; try again in 1 s"),
        (None, 60, true, ""),
        (None, 0, false, "a rotation from n1 was here 0 s ago and may still run; try again in 60 s"),
    ] {
        for name in ["_serf_install-key", "_serf_use-key", "_serf_remove-key"] {
            let mut serf = cluster(1);
            deliver(&mut serf, at(0), &request(name, 5, ballot(high.0, high.1)));
            assert_eq!(asked(&drain(&mut serf)).2.map(|ballot| ballot.0), ballot(high.0, high.1), "to be kept");
            deliver(&mut serf, at(seconds * 1000), &request(name, 6, rot));
            let outputs = drain(&mut serf);
            if obeyed {
                assert_eq!(asked(&outputs).2.map(|ballot| ballot.0), rot, "{name} {rot:?}");
            } else {
                let response = answer(&outputs);
                assert_eq!((response.result, response.message.as_str()), (false, text));
                assert_eq!(response.rot, ballot(high.0, high.1), "the answer tells the ballot held");
            }
        }
    }
}

#[test]
fn lists_are_answered_whatever_the_ballot_and_keep_none() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &request("_serf_use-key", 5, ballot(100, 5)));
    drain(&mut serf);
    for (i, rot) in [None, ballot(1, 1), ballot(200, 1)].into_iter().enumerate() {
        deliver(&mut serf, at(1), &request("_serf_list-keys", 6 + i as u64, rot));
        assert_eq!(asked(&drain(&mut serf)).2, None);
    }
    deliver(&mut serf, at(2), &request("_serf_use-key", 20, ballot(150, 1)));
    assert_eq!(asked(&drain(&mut serf)).2.map(|ballot| ballot.0), ballot(150, 1));
}

#[test]
fn a_ballot_outlives_a_restart() {
    // age at the restart in seconds, then a lower ballot and a request without one
    for (age, without) in [(10, false), (59, false), (60, true), (100_000, true)] {
        let kept = KeptBallot {
            ballot: Ballot::new(LamportTime(100), [5; 4]),
            from: "op".into(),
            age: Duration::from_secs(age),
        };
        let mut serf = restored(options(), Restored { ballot: Some(kept), ..Restored::default() });
        deliver(&mut serf, at(0), &request("_serf_remove-key", 5, ballot(99, 0)));
        assert_eq!(answer(&drain(&mut serf)).message, "superseded by a rotation from op");
        deliver(&mut serf, at(0), &request("_serf_remove-key", 6, None));
        assert_eq!(matches!(drain(&mut serf)[..], [Output::Keyring { .. }]), without, "{age}");
    }
}

fn keys(count: usize) -> Vec<String> {
    use base64::Engine as _;
    (0..count).map(|i| base64::engine::general_purpose::STANDARD.encode([i as u8; 32])).collect()
}

#[test]
fn lists_of_any_length_fit_the_limit_and_say_when_they_are_cut() {
    // keys in the ring, keys in the answer; from 18 on the Debian build crashes
    for (count, shown) in [(0, 0), (1, 1), (17, 17), (19, 19), (20, 17), (30, 17), (39, 17), (45, 17), (300, 17)] {
        let mut serf = cluster(1);
        deliver(&mut serf, at(1), &request("_serf_list-keys", 5, None));
        let (query, ..) = asked(&drain(&mut serf));
        serf.keyring_answer(at(2), &query, KeyringAnswer::Keys(keys(count))).unwrap();
        let outputs = drain(&mut serf);
        let Output::SendUser { message, .. } = &outputs[0] else { panic!() };
        assert!(message.len() <= 1024);
        let response = answer(&outputs);
        assert_eq!(response.rot.is_some(), count != 19, "a key more counts for more");
        assert_eq!((response.result, response.keys.len()), (true, shown), "{count} keys");
        assert_eq!(response.primary_key, keys(count).first().cloned().unwrap_or_default());
        if shown < count {
            let text = format!("truncated key list response, showing first {shown} of {count} keys");
            assert_eq!(response.message, text);
        } else {
            assert_eq!(response.message, "");
        }
    }
}

#[test]
fn the_cut_list_equals_the_captured_one() {
    // Debian's `k`, keys i = byte i repeated, 45 of them: 17 shown in 984 bytes; key 0 there is 1.
    let query = QueryKey { ltime: LamportTime(1), id: 0x3e90_3557 };
    let mut list = keys(46);
    list.remove(0);
    let payload = fit_list(&query, "k", list, None, 1024).unwrap();
    let response = QueryResponse { ltime: query.ltime, id: query.id, from: "k".into(), ack: false, payload };
    assert_eq!(SerfMessage::QueryResponse(response).encode().len(), 984);
}

#[test]
fn a_list_that_cannot_be_cut_enough_is_not_answered() {
    assert_eq!(fit_list(&QueryKey { ltime: LamportTime(1), id: 1 }, "me", keys(3), None, 100), None);
}

#[test]
fn a_key_request_ends_early_when_everybody_present_has_answered() {
    let mut serf = cluster(3);
    gone(&mut serf, at(0), "n3");
    drain(&mut serf);
    let params = KeyParams { op: KeyOp::Use(KEY.to_vec().into()), only: vec![], ballot: None };
    let key = serf.key_request(at(0), params).unwrap();
    let (query, op, _) = asked(&drain(&mut serf));
    assert_eq!((query, op), (key, KeyOp::Use(KEY.to_vec().into())), "we are asked like any other");
    serf.keyring_answer(at(1), &query, KeyringAnswer::Done).unwrap();
    for from in ["n1", "n2"] {
        assert!(drain(&mut serf).is_empty());
        let payload = KeyResponse { result: from == "n1", message: "no".into(), ..KeyResponse::default() }.encode();
        let response = QueryResponse { ltime: key.ltime, id: key.id, from: from.into(), ack: false, payload };
        deliver(&mut serf, at(2), &SerfMessage::QueryResponse(response));
    }
    let [Output::Keys { query, outcome }] = &drain(&mut serf)[..] else { panic!() };
    assert_eq!((*query, outcome.asked(), outcome.errors(), outcome.missing.len()), (key, 3, 1, 0));
    assert_eq!(outcome.nodes[&name("n2")].message, "no");
}

#[test]
fn a_key_request_that_is_not_answered_by_all_ends_at_its_deadline_and_names_them() {
    let mut serf = cluster(2);
    let params = KeyParams { op: KeyOp::List, only: vec![name("n1"), name("n9")], ballot: None };
    let key = serf.key_request(at(0), params).unwrap();
    assert!(drain(&mut serf).is_empty(), "not for us");
    let payload = KeyResponse { result: true, keys: keys(2), ..KeyResponse::default() }.encode();
    let response = QueryResponse { ltime: key.ltime, id: key.id, from: "n1".into(), ack: false, payload };
    deliver(&mut serf, at(2), &SerfMessage::QueryResponse(response));
    assert!(drain(&mut serf).is_empty());
    serf.handle_timeout(at(3200));
    let [Output::Keys { outcome, .. }] = &drain(&mut serf)[..] else { panic!() };
    assert_eq!(outcome.missing, [name("n9")].into());
    assert!(outcome.nodes[&name("n1")].primary.is_some());
}

#[test]
fn new_ballots_rise_above_every_rotation_heard_of() {
    let mut serf = cluster(1);
    deliver(&mut serf, at(0), &request("_serf_use-key", 100, ballot(100, 255)));
    let new = serf.new_ballot();
    assert!(Some(new.0) > ballot(100, 255));
    assert_eq!(new.ltime(), LamportTime(101));
}
