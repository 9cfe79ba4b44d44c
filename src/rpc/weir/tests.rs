use std::net::SocketAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::When;
use crate::health::State;
use crate::health::query::{Check, Source};
use crate::rotate::document::{KeyStatus, Line, MemberStatus, Reason};
use crate::status::Trouble;
use crate::status::health::{CheckHealth, MemberHealth};
use crate::status::node::ApplyResult;
use crate::status::node::tests::{full, with_unknown_fields};
use crate::upstream::Generation;

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
        let mut value = serde_json::to_value(document).unwrap();
        with_unknown_fields(&mut value, "");
        value.to_string()
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
    reads_new_words(request);
    reads_new_words(answer);
}

/// A word of a newer peer, wherever one stands, is kept, and so is all around it.
fn reads_new_words<T: DeserializeOwned + Serialize>(document: &T) {
    const WORD: &str = "of_a_newer_peer";
    let value = serde_json::to_value(document).unwrap();
    let mut places = Vec::new();
    places_of_words(&value, String::new(), &mut places);
    for place in places {
        let mut newer = value.clone();
        *newer.pointer_mut(&place).unwrap() = WORD.into();
        let read = decode::<T>(&newer.to_string()).unwrap_or_else(|error| panic!("{place}: {error}: {newer}"));
        let again = serde_json::to_value(&read).unwrap();
        assert_eq!(again.pointer(&place), Some(&Value::from(WORD)), "{place}: {again}");
    }
}

/// Where texts stand that may be words of a fixed list.
fn places_of_words(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| places_of_words(value, format!("{at}/{key}"), places))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| places_of_words(value, format!("{at}/{index}"), places))
        }
        Value::String(text) if text.parse::<SocketAddr>().is_err() => places.push(at),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// A line of each kind, with every reason, and with the fields alone that name no default.
fn story() -> Lines {
    let who = ["away", "silent", "refused", "not_kept", "superseded", "truncated", "unknown"];
    let who = who.map(|why| json!({ "name": "web1", "why": why }));
    let lines = json!([
        { "kind": "planned", "members": [{ "name": "web1", "status": "alive" }] },
        { "kind": "confirmed", "step": "clean_up", "action": "remove" },
        { "kind": "rotated", "absent": who },
        { "kind": "stopped", "step": "use", "who": who },
    ]);
    let story: Lines = decode(&json!({ "lines": lines, "ended": true }).to_string()).unwrap();
    for line in &story.lines {
        assert!(!matches!(line, Line::Newer { .. }), "{line:?}");
        if let Line::Stopped { who, .. } = line {
            assert!(who.iter().all(|who| !matches!(who.why, Reason::Newer { .. })), "{who:?}");
        }
    }
    story
}

/// A line of each kind of a leave, with every word.
fn leave_story() -> drain::Lines {
    let each = |kind: &str, field: &str, words: &[&str]| -> Vec<Value> {
        words.iter().map(|word| json!({ "kind": kind, field: word })).collect()
    };
    let plain = [
        "draining",
        "not_kept",
        "unreachable",
        "yielded",
        "lingering",
        "drained",
        "refused",
        "unconfirmed",
        "undone",
        "superseded",
        "leaving",
        "left",
        "remote",
        "remote_refused",
        "remote_silent",
        "remote_lost",
        "gone",
        "cancelled",
    ];
    let mut lines: Vec<Value> = plain.iter().map(|kind| json!({ "kind": kind })).collect();
    lines.extend(each("confirmed", "word", &["out", "idle", "none"]));
    lines.extend(each("waiting", "why", &["wait", "floor", "apply"]));
    lines.extend(each("lingered", "by", &["idle", "none_left", "drain_time"]));
    let story: drain::Lines = decode(&json!({ "lines": lines, "ended": true }).to_string()).unwrap();
    assert!(story.lines.iter().all(|line| !matches!(line, drain::Line::Newer { .. })), "{story:?}");
    story
}

#[test]
fn every_request_and_answer_survives_the_way_to_an_older_or_newer_peer() {
    let text = |text: &str| text.to_owned();
    let change =
        Change { key: text("log.level"), before: None, after: Some(text("\"info\"")), when: When::Live.into() };
    survives(&Reload { dry_run: true }, &Reloaded { changes: vec![change] });
    let missed = Missed { address: text("a"), error: text("b"), remedy: Some(text("c")) };
    survives(&Join { addresses: vec![text("a")], replay: true }, &Joined { contacted: 1, failed: vec![missed] });
    survives(&NodeStatus { members: true }, &full());
    let check = CheckHealth {
        name: text("site"),
        kind: Some(text("http")),
        state: State::Critical.into(),
        since: Some(text("2026-11-28T16:02:11Z")),
        output: text("no"),
    };
    let member = MemberHealth {
        name: text("web1"),
        status: Some(crate::serf::Status::Alive.into()),
        health: Check::Silent.into(),
        source: Source::Answer.into(),
        since: Some(text("2026-11-28T16:02:11Z")),
        output: text("2 checks"),
        checks: vec![check],
    };
    survives(&HealthStatus {}, &MembersHealth { members: vec![member] });
    let probed = Probed { reached: [(text("web1"), 2)].into(), silent: vec![text("web2")] };
    survives(&Probe { members: vec![text("web1"), text("web2")] }, &probed);
    let member = MemberStatus { name: text("web1"), status: text("alive"), ..MemberStatus::default() };
    let key = KeyStatus { id: text("3fa9c1d2"), ..KeyStatus::default() };
    survives(&KeysStatus {}, &Status { keys: vec![key], members: vec![member] });
    survives(&Start { absent: vec![text("a")], force: vec![text("b")], dry_run: true }, &Started { rotation: 3 });
    survives(&Follow { rotation: 3, after: 2 }, &story());
    survives(
        &Import { key: text("AAAA"), add: true },
        &Imported { id: text("3fa9c1d2"), others: vec![text("b07e4410")] },
    );
    let changes = full().upstreams[0].waiting.clone();
    let past = Past {
        generation: Generation(7),
        at: Some(text("2026-11-28T16:02:11Z")),
        upstreams: vec![text("web")],
        cause: text("web2 joined"),
        changes: changes.clone(),
        more: 1,
        result: PastResult::Refused.into(),
        validate_ms: Some(20),
        confirm_ms: None,
        error: Some(text("no")),
        cut: vec![Cut { upstream: text("web"), member: text("web2"), connections: 41 }],
    };
    survives(
        &UpstreamHistory { count: 20 },
        &Generations { generations: vec![past], upstreams: vec!["web".to_owned()] },
    );
    let (from, to) = (Some(Generation(7)), Some(Generation(8)));
    let held = HeldBack { upstream: text("web"), since: Some(text("d")), reason: None, changes: changes.clone() };
    survives(
        &UpstreamDiff { from, to },
        &Differences { from, to, changes, held: vec![held], cause: Some(text("a")), at: Some(text("b")) },
    );
    let changed = HoldChanged {
        upstreams: vec![text("web")],
        explained: vec![text("db")],
        unchanged: vec![text("api")],
        unsaved: Some(Trouble::new("no space", "free it")),
    };
    survives(&UpstreamHold { upstream: Some(text("web")), reason: Some(text("why")) }, &changed);
    survives(&UpstreamRelease { upstream: Some(text("web")) }, &changed);
    let went_back = RolledBack {
        to,
        generation: from,
        result: Some(ApplyResult::Live.into()),
        elapsed_ms: 128,
        held: vec![text("web")],
        message: text("a"),
        remedy: Some(text("b")),
    };
    survives(&UpstreamRollback { to, reason: Some(text("why")), force: true }, &went_back);
    let start = drain::Start {
        member: Some(text("web1")),
        undo: true,
        force: true,
        guard: true,
        unit: Some(text("www.service")),
        reason: Some(text("why")),
    };
    survives(&start, &drain::Started { story: 3 });
    let depart = drain::Depart { drain_time_ms: Some(5000), timeout_ms: Some(30_000), on_stop: true };
    survives(&depart, &drain::Started { story: 3 });
    survives(&drain::Follow { story: 3, after: 2 }, &leave_story());
    survives(&UpstreamWanted {}, &Wanted { desired: Some(text("{}")) });
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
        let names = [Reload::NAME, Probe::NAME, Start::NAME, Follow::NAME, Import::NAME, UpstreamDiff::NAME, UpstreamHold::NAME];
        for name in names {
            let _ = asked(name, &document);
            let _ = asked(name, &String::from_utf8_lossy(&bytes));
        }
    }
}
