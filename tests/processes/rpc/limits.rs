//! Clients that ask too much, take too long, or do not read.

use std::time::Duration;

use weir::rpc::client::{Client, Record};
use weir::rpc::proto::{Body, EventRecord, MAX_REQUEST_BYTES, MAX_STRANGER_BYTES, Request, text};
use weir::rpc::server::{MAX_CONNECTIONS, MAX_STREAMS, REQUEST_TIMEOUT, WRITE_TIMEOUT};

use super::stage::{Stage, TOKEN, user};

/// The beginning of an event whose payload is announced with `len` bytes.
fn announced(len: u32) -> Vec<u8> {
    let event =
        Request::Event { name: String::new(), payload: bytes::Bytes::from_static(b"@"), coalesce: false }.encode(3);
    let bin = [0xc4, 1, b'@'];
    let at = event.windows(3).position(|part| part == bin).unwrap();
    [&event[..at], &[0xc6], &len.to_be_bytes()].concat()
}

#[tokio::test]
async fn request_above_the_limit_is_refused_before_it_arrives() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    raw.send(&announced(MAX_REQUEST_BYTES as u32)).await;
    assert_eq!(raw.header().await, (3, "request exceeds limit of 1048576 bytes".to_owned()));
    raw.assert_closed().await;
    let mut raw = stage.shaken().await;
    raw.send(b"\xdf\xff\xff\xff\xff").await;
    raw.assert_closed().await;
    stage.until(|counts| counts.too_large == 2).await;
}

#[tokio::test]
async fn large_request_within_the_limit_is_taken() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let event =
        Request::Event { name: "x".to_owned(), payload: vec![0; MAX_REQUEST_BYTES - 100].into(), coalesce: false };
    let (error, _) = raw.ask(1, &event).await;
    assert_eq!(error, "user event exceeds configured limit of 512 bytes before encoding");
}

#[tokio::test]
async fn stranger_may_say_less() {
    let stage = Stage::with_token();
    let mut raw = stage.raw_tcp().await;
    raw.shake().await;
    raw.send(&announced(MAX_STRANGER_BYTES as u32)).await;
    assert_eq!(raw.header().await, (3, "request exceeds limit of 65536 bytes".to_owned()));
    raw.assert_closed().await;
}

#[tokio::test(start_paused = true)]
async fn client_that_says_nothing_is_hung_up_on() {
    let stage = Stage::open();
    let begun = tokio::time::Instant::now();
    let mut raw = stage.raw().await;
    raw.assert_closed().await;
    assert!(begun.elapsed() >= REQUEST_TIMEOUT);
    assert_eq!(stage.counts().too_slow, 1);
}

/// Two hundred and fifty-six of them would keep everybody else out.
#[tokio::test(start_paused = true)]
async fn stranger_that_shows_no_token_is_hung_up_on() {
    let stage = Stage::with_token();
    let begun = tokio::time::Instant::now();
    let (mut stranger, mut known) = (stage.raw_tcp().await, stage.raw_tcp().await);
    for raw in [&mut stranger, &mut known] {
        raw.shake().await;
    }
    let token = zeroize::Zeroizing::new(TOKEN.as_bytes().to_vec());
    assert_eq!(known.ask(1, &Request::Auth { key: token }).await.0, "");
    assert_eq!(stranger.ask(1, &Request::Members).await.0, text::AUTH_REQUIRED);
    stranger.assert_closed().await;
    assert!(begun.elapsed() >= REQUEST_TIMEOUT);
    tokio::time::sleep(3 * REQUEST_TIMEOUT).await;
    assert_eq!(known.ask(2, &Request::Members).await.0, "", "whoever has shown it may rest");
    assert_eq!(stage.counts().too_slow, 1);
}

#[tokio::test(start_paused = true)]
async fn request_that_does_not_end_is_hung_up_on_with_a_word() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    // Between requests a client may rest.
    tokio::time::sleep(3 * REQUEST_TIMEOUT).await;
    raw.send(&announced(10)).await;
    assert_eq!(raw.header().await, (3, "request not complete after 30 s".to_owned()));
    raw.assert_closed().await;
    let mut raw = stage.shaken().await;
    raw.send(&Request::Members.encode(1)[..5]).await;
    raw.assert_closed().await;
    assert_eq!(stage.counts().too_slow, 2);
}

#[tokio::test(start_paused = true)]
async fn dripping_bytes_do_not_buy_time() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let begun = tokio::time::Instant::now();
    let bytes = Request::Members.encode(1);
    for byte in &bytes[..bytes.len() - 1] {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &[*byte]).await.is_err() {
            break;
        }
    }
    raw.assert_closed().await;
    assert_eq!(stage.counts().too_slow, 1);
    assert!(begun.elapsed() < 2 * REQUEST_TIMEOUT);
}

#[tokio::test]
async fn client_beyond_the_limit_is_told_so() {
    let stage = Stage::open();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        clients.push(stage.client().await);
    }
    let mut raw = stage.raw().await;
    let (error, _) = raw.ask(1, &Request::Handshake { version: 1, weir: false }).await;
    assert_eq!(error, "too many RPC clients, the limit is 256");
    raw.assert_closed().await;
    assert_eq!(stage.counts().turned_away, 1);
    clients.pop();
    stage.until(|counts| counts.clients < MAX_CONNECTIONS as u64).await;
    // The place is free once the server has noticed.
    loop {
        let mut raw = stage.raw().await;
        if raw.ask(1, &Request::Handshake { version: 1, weir: false }).await.0.is_empty() {
            break;
        }
    }
    assert_eq!(clients[0].members(None).await.unwrap().len(), 2, "the others notice nothing");
}

#[tokio::test]
async fn streams_of_one_connection_are_limited() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let stream = Request::Stream { filter: "user".to_owned() };
    for seq in 0..MAX_STREAMS as u64 {
        assert_eq!(raw.ask(seq, &stream).await.0, "");
    }
    let full = "too many streams on this connection, the limit is 64";
    assert_eq!(raw.ask(1000, &stream).await.0, full);
    assert_eq!(raw.ask(1001, &Request::Monitor { level: "INFO".to_owned() }).await.0, full);
    assert_eq!(raw.ask(1002, &Request::Query(Default::default())).await.0, full);
    assert_eq!(raw.ask(1003, &Request::Stop { seq: 7 }).await.0, "");
    assert_eq!(raw.ask(1004, &stream).await.0, "");
}

#[tokio::test]
async fn filter_with_too_many_elements_is_refused() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let filter = vec!["user"; 257].join(",");
    assert_eq!(raw.ask(1, &Request::Stream { filter }).await.0, "Invalid event filter");
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_nothing_is_hung_up_on_and_disturbs_nobody() {
    let stage = Stage::open();
    let mut stuck = stage.shaken().await;
    assert_eq!(stuck.ask(1, &Request::Stream { filter: "user".to_owned() }).await.0, "");
    let mut reader = stage.client().await;
    reader.stream_with_gaps("user").await.unwrap();

    let mut expected = 0;
    let begun = tokio::time::Instant::now();
    while stage.counts().stuck == 0 {
        stage.publish((0..200).map(|at| user(expected + at, "x")).collect()).await;
        for _ in 0..200 {
            let pushed = reader.next().await.unwrap();
            let Record::Event(EventRecord::User { ltime, .. }) = pushed.record else { panic!("{pushed:?}") };
            assert_eq!(ltime, expected);
            expected += 1;
        }
        if stage.counts().missed_events > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(begun.elapsed() < 3 * WRITE_TIMEOUT, "{:?}", stage.counts());
    }
    let counts = stage.counts();
    assert!(counts.missed_events > 0 && counts.clients == 1, "{counts:?}");
}

#[tokio::test]
async fn client_that_asks_without_reading_holds_up_only_itself() {
    let stage = Stage::open();
    let mut deaf = stage.shaken().await;
    // Its answers fill the socket; from then on its requests are not even read.
    let requests = Request::Members.encode(1).repeat(1000);
    while let Ok(Ok(())) = tokio::time::timeout(
        Duration::from_millis(200),
        tokio::io::AsyncWriteExt::write_all(&mut deaf.stream, &requests),
    )
    .await
    {}
    let mut reader = stage.client().await;
    assert!(matches!(reader.members(None).await.as_deref(), Ok([_, _])));
    let (error, body) = stage.shaken().await.ask(1, &Request::Stats).await;
    assert!(error.is_empty() && matches!(body, Body::Stats(_)));
}

#[tokio::test]
async fn many_streams_that_are_read_lose_nothing_while_as_many_are_not() {
    let stage = Stage::open();
    let mut deaf = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..40 {
        let mut raw = stage.shaken().await;
        assert_eq!(raw.ask(1, &Request::Stream { filter: "*".to_owned() }).await.0, "");
        deaf.push(raw);
        let mut client = stage.client().await;
        client.stream_with_gaps("user").await.unwrap();
        readers.push(client);
    }
    const EVENTS: u64 = 3000;
    let readers: Vec<_> = readers
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                for expected in 0..EVENTS {
                    let pushed = client.next().await.unwrap();
                    let Record::Event(EventRecord::User { ltime, .. }) = pushed.record else { panic!("{pushed:?}") };
                    assert_eq!(ltime, expected);
                }
            })
        })
        .collect();
    for ltime in 0..EVENTS {
        stage.publish(vec![user(ltime, "x")]).await;
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
}
