use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::When;
use crate::status::node::tests::full;

fn asked(name: &str, document: &str) -> Option<Result<Asked, Refusal>> {
    Asked::decode(name, document, oneshot::channel().0)
}

/// A request comes through as it was sent, with what a newer client adds, and its answer likewise.
fn survives<R>(request: &R, answer: &R::Answer)
where
    R: Request + PartialEq + fmt::Debug,
    R::Answer: PartialEq + fmt::Debug,
{
    fn with_more(document: &impl Serialize) -> String {
        let Value::Object(mut fields) = serde_json::to_value(document).unwrap() else { panic!("a map of fields") };
        fields.insert("of_a_newer_peer".to_owned(), json!({ "a": [1, null] }));
        Value::Object(fields).to_string()
    }
    for document in [encode(request), with_more(request)] {
        assert_eq!(decode::<R>(&document).as_ref(), Ok(request));
        assert!(matches!(asked(R::NAME, &document), Some(Ok(_))), "{}", R::NAME);
    }
    for document in [encode(answer), with_more(answer)] {
        assert_eq!(decode::<R::Answer>(&document).as_ref(), Ok(answer));
    }
    for document in ["", "{}"] {
        assert!(matches!(asked(R::NAME, document), Some(Ok(_))), "{}: fields that are missing", R::NAME);
        assert!(decode::<R::Answer>(document).is_ok(), "{}: an answer that lacks fields", R::NAME);
    }
    assert!(matches!(asked(R::NAME, "[1"), Some(Err(_))), "{}", R::NAME);
}

#[test]
fn every_request_and_answer_survives_the_way_to_an_older_or_newer_peer() {
    let text = |text: &str| text.to_owned();
    let change = Change { key: text("log.level"), before: None, after: Some(text("\"info\"")), when: When::Live };
    survives(&Reload { dry_run: true }, &Reloaded { changes: vec![change] });
    let missed = Missed { address: text("a"), error: text("b"), remedy: Some(text("c")) };
    survives(&Join { addresses: vec![text("a")], replay: true }, &Joined { contacted: 1, failed: vec![missed] });
    survives(&NodeStatus { members: true }, &full());
    let probed = Probed { reached: [(text("web1"), 2)].into(), silent: vec![text("web2")] };
    survives(&Probe { members: vec![text("web1"), text("web2")] }, &probed);
    survives(&KeysStatus {}, &Status::default());
    survives(&Start { absent: vec![text("a")], force: vec![text("b")], dry_run: true }, &Started { rotation: 3 });
    survives(&Follow { rotation: 3, after: 2 }, &Lines { lines: Vec::new(), ended: true });
    survives(
        &Import { key: text("AAAA"), add: true },
        &Imported { id: text("3fa9c1d2"), others: vec![text("b07e4410")] },
    );
}

/// Fields are only ever added, so each side may lack what the other has.
#[test]
fn the_lines_of_a_rotation_are_read_with_more_fields_and_with_fewer() {
    for kind in ["planned", "confirmed", "rotated", "stopped"] {
        let bare = decode::<Lines>(&json!({ "lines": [{ "kind": kind }] }).to_string()).unwrap();
        let mut full = serde_json::to_value(&bare).unwrap();
        full["lines"][0]["of_a_newer_peer"] = json!([1, null]);
        assert_eq!(decode::<Lines>(&full.to_string()), Ok(bare), "{kind}");
    }
    for why in ["away", "silent", "refused", "not_kept", "superseded", "truncated", "unknown"] {
        let stopped = json!({ "lines": [{ "kind": "stopped", "who": [{ "why": why, "of_a_newer_peer": 1 }] }] });
        assert!(decode::<Lines>(&stopped.to_string()).is_ok(), "{why}");
    }
}

#[test]
fn what_is_not_known_is_no_request() {
    for name in ["weir-", "weir-else", "weir-reload ", "reload", ""] {
        assert!(asked(name, "{}").is_none(), "{name}");
    }
}

#[test]
fn what_is_not_understood_is_not_repeated() {
    let refused = |document| asked(Probe::NAME, document).unwrap().unwrap_err().to_string();
    assert_eq!(refused("{\"members\": \"c2VjcmV0\"}"), "not understood (line 1, column 22)");
    assert_eq!(refused("c2VjcmV0"), "not understood (line 1, column 1)");
}

#[test]
fn an_answer_reaches_whoever_waits_for_it() {
    let (answer, mut awaited) = Answer::<Start>::channel();
    assert!(awaited.try_recv().is_none() && !answer.is_closed());
    answer.send(Ok(Started { rotation: 1 }));
    assert_eq!(awaited.try_recv(), Some(Ok(Started { rotation: 1 })));
    let (answer, awaited) = Answer::<Start>::channel();
    drop(awaited);
    assert!(answer.is_closed());
    answer.send(Err("nobody hears it".into()));
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(document in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in [Reload::NAME, Probe::NAME, Start::NAME, Follow::NAME, Import::NAME] {
            let _ = asked(name, &document);
            let _ = asked(name, &String::from_utf8_lossy(&bytes));
        }
    }
}
