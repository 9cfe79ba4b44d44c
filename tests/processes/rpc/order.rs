//! Handshake, authentication, and what belongs after what (`rpc §1, §3, §8`).

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use weir::rpc::proto::{Body, Request, text};
use zeroize::Zeroizing;

use super::stage::{JOIN_ERROR, Raw, Stage, TOKEN, query, user};

fn auth(key: &str) -> Request {
    Request::Auth { key: Zeroizing::new(key.as_bytes().to_vec()) }
}

fn event(name: &str) -> Request {
    Request::Event { name: name.to_owned(), payload: Default::default(), coalesce: false }
}

fn stream(filter: &str) -> Request {
    Request::Stream { filter: filter.to_owned() }
}

fn unknown() -> Vec<u8> {
    let known = Request::Members.encode(5);
    let at = known.windows(7).position(|part| part == b"members").unwrap();
    [&known[..at], b"mumbles", &known[at + 7..]].concat()
}

/// An answer without a body.
fn plain(error: &str) -> (String, Body) {
    (error.to_owned(), Body::Empty)
}

#[tokio::test]
async fn everything_before_the_handshake_is_refused_and_hung_up_on() {
    let stage = Stage::open();
    for request in [Request::Members.encode(5), auth("").encode(5), unknown(), b"\x81\xa3Seq\x05".to_vec()] {
        let mut raw = stage.raw().await;
        raw.send(&request).await;
        assert_eq!(raw.header().await, (5, text::HANDSHAKE_REQUIRED.to_owned()));
        raw.assert_closed().await;
    }
}

#[tokio::test]
async fn handshake_can_be_tried_again_but_not_done_again() {
    let stage = Stage::open();
    let mut raw = stage.raw().await;
    let shake = |version| Request::Handshake { version, weir: false };
    assert_eq!(raw.ask(1, &shake(2)).await, plain(text::UNSUPPORTED_VERSION));
    assert_eq!(raw.ask(2, &shake(0)).await, plain(text::UNSUPPORTED_VERSION));
    assert_eq!(raw.ask(3, &shake(1)).await, plain(""));
    assert_eq!(raw.ask(4, &shake(1)).await, plain(text::HANDSHAKE_DONE));
    assert_eq!(raw.ask(5, &shake(7)).await, plain(text::UNSUPPORTED_VERSION));
    assert_eq!(raw.ask(6, &event("still here")).await, plain(""));
}

#[tokio::test]
async fn unknown_command_is_hung_up_on() {
    let stage = Stage::open();
    for request in [unknown(), b"\x81\xa3Seq\x05".to_vec(), b"\x82\xa7command\xa7members\xa3Seq\x05".to_vec()] {
        let mut raw = stage.shaken().await;
        raw.send(&request).await;
        assert_eq!(raw.header().await, (5, text::UNSUPPORTED_COMMAND.to_owned()));
        raw.assert_closed().await;
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_done_and_each_command_answered_once() {
    let stage = Stage::with_token();
    let mut raw = stage.raw_tcp().await;
    raw.shake().await;
    // Bodies of rejected commands are dropped, whatever they hold; none comes back.
    let requests = [event("x"), Request::Members, Request::ListKeys, stream("nonsense"), Request::Leave];
    for (seq, request) in (1..).zip(&requests) {
        assert_eq!(raw.ask(seq, request).await, plain(text::AUTH_REQUIRED));
    }
    assert_eq!(raw.ask(9, &auth("wrong")).await, plain(text::INVALID_TOKEN));
    assert_eq!(raw.ask(10, &auth(TOKEN)).await, plain(""));
    assert_eq!(raw.ask(11, &event("x")).await, plain(""));
    assert_eq!(raw.ask(12, &auth("wrong")).await, plain(text::INVALID_TOKEN));
    assert_eq!(raw.ask(13, &event("x")).await, plain(""), "a wrong token takes nothing back");
    assert_eq!(stage.counts().unauthenticated, 7);
}

#[tokio::test]
async fn whoever_may_open_the_socket_needs_no_token() {
    let stage = Stage::with_token();
    let mut raw = stage.shaken().await;
    assert_eq!(raw.ask(1, &event("x")).await, plain(""));
    assert_eq!(raw.ask(2, &auth(TOKEN)).await, plain(""), "showing it does no harm");
}

#[tokio::test]
async fn agent_without_a_token_accepts_none_but_the_empty_one() {
    let stage = Stage::open();
    let mut raw = stage.raw_tcp().await;
    raw.shake().await;
    assert_eq!(raw.ask(1, &auth("any")).await, plain(text::INVALID_TOKEN));
    assert_eq!(raw.ask(2, &auth("")).await, plain(""));
    assert_eq!(raw.ask(3, &event("x")).await, plain(""));
}

#[tokio::test]
async fn commands_sent_at_once_or_byte_by_byte_are_answered_in_order() {
    let stage = Stage::open();
    let requests = [event("a"), Request::Members, event("b"), Request::Stats, Request::Members];
    let bytes: Vec<u8> = (10..).zip(&requests).flat_map(|(seq, request)| request.encode(seq)).collect();
    for step in [1, bytes.len()] {
        let mut raw = stage.shaken().await;
        for chunk in bytes.chunks(step) {
            raw.send(chunk).await;
        }
        for (seq, request) in (10..).zip(&requests) {
            assert_eq!(raw.answer(seq, &request.command()).await.0, "");
        }
    }
}

#[tokio::test]
async fn sequence_numbers_are_the_clients_business() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    for seq in [0, 0, 1 << 63, u64::MAX, 7] {
        assert_eq!(raw.ask(seq, &event("x")).await, plain(""));
    }
}

#[tokio::test]
async fn errors_come_with_the_body_that_the_command_has() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let join = Request::Join { existing: vec!["127.0.0.29".to_owned()], replay: true };
    assert_eq!(raw.ask(1, &join).await, (JOIN_ERROR.to_owned(), Body::Join(0)));
    let none = Request::Join { existing: vec![], replay: false };
    assert_eq!(raw.ask(2, &none).await, (String::new(), Body::Join(0)));
    let bad = Request::InstallKey { key: Zeroizing::new("zzz!".to_owned()) };
    let (error, body) = raw.ask(3, &bad).await;
    assert_eq!((error.as_str(), body), ("illegal base64 data at input byte 3", Body::Keys(Default::default())));
    let broken =
        Request::MembersFiltered(weir::rpc::proto::MembersQuery { name: "(".to_owned(), ..Default::default() });
    let (error, body) = raw.ask(4, &broken).await;
    assert!(error.starts_with("invalid expression for name: "), "{error}");
    assert_eq!(body, Body::Members(vec![]));
    let (error, body) = raw.ask(5, &Request::UseKey { key: Zeroizing::new("AAEC".to_owned()) }).await;
    assert_eq!(error, "2/2 nodes reported failure");
    assert!(matches!(body, Body::Keys(keys) if keys.messages.len() == 2 && keys.keys.is_none()));
    let unknown = Request::Weir { command: "weir-nonsense".to_owned(), document: Zeroizing::default() };
    let blank = Body::Document(String::new());
    assert_eq!(raw.ask(6, &unknown).await, (text::UNSUPPORTED_COMMAND.to_owned(), blank));
    assert_eq!(raw.ask(7, &event("still here")).await, plain(""));
}

#[tokio::test]
async fn streams_are_refused_with_the_texts_that_clients_know() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    assert_eq!(raw.ask(1, &stream("user")).await, plain(""));
    assert_eq!(raw.ask(1, &stream("*")).await, plain(text::STREAM_EXISTS));
    assert_eq!(raw.ask(2, &stream("user, query")).await, plain(text::INVALID_FILTER));
    assert_eq!(raw.ask(2, &stream("user,,query")).await, plain(text::INVALID_FILTER));
    let monitor = |level: &str| Request::Monitor { level: level.to_owned() };
    assert_eq!(raw.ask(3, &monitor("bogus")).await, plain("Unknown log level: BOGUS"));
    assert_eq!(raw.ask(4, &monitor("err")).await, plain(""));
    assert_eq!(raw.ask(5, &monitor("INFO")).await, plain(text::MONITOR_EXISTS));
    assert_eq!(raw.ask(6, &Request::Stop { seq: 99 }).await, plain(""), "what does not exist is stopped already");
    assert_eq!(raw.ask(7, &Request::Stop { seq: 4 }).await, plain(""));
    assert_eq!(raw.ask(8, &monitor("ERR")).await, plain(""));
    stage.publish(vec![user(3, "the first stream goes on")]).await;
    assert_eq!(raw.header().await, (1, String::new()));
}

#[tokio::test]
async fn what_is_no_request_is_hung_up_on_without_a_word() {
    let stage = Stage::open();
    let wrong_kind = [&Request::Stop { seq: 1 }.encode(1)[..], b""].concat();
    let wrong_kind = [&wrong_kind[..wrong_kind.len() - 1], b"\xa1x"].concat();
    let cases: [&[u8]; 5] = [b"GET / HTTP/1.1\r\n\r\n", b"\x01", b"\xc1", &[0x91; 40], &wrong_kind];
    for (index, bytes) in cases.into_iter().enumerate() {
        let mut raw = stage.shaken().await;
        raw.send(bytes).await;
        raw.assert_closed().await;
        stage.until(|counts| counts.malformed == index as u64 + 1).await;
    }
    assert_eq!(stage.counts().clients, 0);
}

#[tokio::test]
async fn connection_that_ends_inside_a_request_is_counted() {
    let stage = Stage::open();
    let whole = event("x").encode(1);
    for len in [1, whole.len() - 1] {
        let mut raw = stage.shaken().await;
        raw.send(&whole[..len]).await;
        raw.stream.shutdown().await.unwrap();
        raw.assert_closed().await;
    }
    stage.until(|counts| counts.malformed == 2).await;
    drop(stage.shaken().await);
    stage.until(|counts| counts.clients == 0).await;
    assert_eq!(stage.counts().malformed, 2, "ending between requests is no offence");
}

#[tokio::test]
async fn client_that_says_no_more_still_gets_the_answers_it_asked_for() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    raw.send(&[stream("*").encode(1), Request::Members.encode(2), event("x").encode(3)].concat()).await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.answer(1, &stream("*").command()).await, plain(""));
    assert!(matches!(raw.answer(2, &Request::Members.command()).await.1, Body::Members(members) if members.len() == 2));
    assert_eq!(raw.answer(3, &event("x").command()).await, plain(""));
    raw.assert_closed().await;
}

#[tokio::test]
async fn answer_to_a_leave_arrives_though_the_agent_stops_at_once() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let mut idle = stage.shaken().await;
    assert_eq!(raw.ask(1, &Request::Leave).await, plain(""));
    raw.assert_closed().await;
    idle.assert_closed().await;
    stage.server.await.unwrap();
    assert!(!stage.socket.exists());
}

#[tokio::test]
async fn agent_that_answers_no_more_is_an_error_and_no_silence() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    stage.die().await;
    assert_eq!(raw.ask(1, &event("x")).await, plain(text::AGENT_STOPPING));
    assert_eq!(raw.ask(2, &Request::Members).await, (text::AGENT_STOPPING.to_owned(), Body::Members(vec![])));
}

async fn query_id(raw: &mut Raw<tokio::net::UnixStream>) -> u64 {
    raw.header().await;
    let record = weir::rpc::proto::EventRecord::decode(&raw.value().await.unwrap()).unwrap();
    let weir::rpc::proto::EventRecord::Query { id, .. } = record else { panic!("{record:?}") };
    id
}

#[tokio::test]
async fn query_is_answered_once_by_the_connection_that_was_shown_it() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let mut other = stage.shaken().await;
    // Two streams, two ids for one query; another connection counts on its own.
    assert_eq!(raw.ask(1, &stream("query")).await, plain(""));
    assert_eq!(raw.ask(2, &stream("query:up")).await, plain(""));
    assert_eq!(other.ask(1, &stream("user,query")).await, plain(""));
    stage.publish(vec![query(5, "up", Duration::from_secs(60)), query(6, "over", Duration::ZERO)]).await;
    let mut ids = [query_id(&mut raw).await, query_id(&mut raw).await, query_id(&mut raw).await];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!([query_id(&mut other).await, query_id(&mut other).await], [1, 2]);

    let respond = |id, len| Request::Respond { id, payload: vec![b'x'; len].into() };
    assert_eq!(raw.ask(3, &respond(4, 1)).await, plain(text::NO_PENDING_QUERY));
    let (error, _) = other.ask(3, &respond(1, 2000)).await;
    assert_eq!(error, "failed to respond to key query: response exceeds limit of 1024 bytes");
    assert_eq!(other.ask(4, &respond(1, 10)).await, plain(""));
    let (error, _) = other.ask(5, &respond(1, 10)).await;
    assert_eq!(error, "failed to respond to key query: response already sent");
    // The one that was over when it was shown.
    assert_eq!(other.ask(6, &respond(2, 10)).await, plain(text::NO_PENDING_QUERY));
}
