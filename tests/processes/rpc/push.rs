//! Streams, monitors and answers to queries (`rpc §4, §5, §6`).

use std::time::Duration;

use weir::rpc::client::{ClientError, Pushed, Record};
use weir::rpc::proto::{EventRecord, QueryRecord, Request};
use weir::serf::{MemberEventKind, QueryParams};

use super::stage::{Stage, member, query, user};
use weir::rpc::call::StreamEvent;

fn name(pushed: &Pushed) -> &str {
    match &pushed.record {
        Record::Event(EventRecord::User { name, .. } | EventRecord::Query { name, .. }) => name,
        Record::Event(EventRecord::Member { members, .. }) => &members[0].name,
        Record::Event(EventRecord::Missed { .. }) | Record::Line(_) | Record::Answer(_) => "",
    }
}

fn join() -> StreamEvent {
    StreamEvent::Member { kind: MemberEventKind::Join, members: vec![member("web1"), member("lb1")] }
}

#[tokio::test]
async fn each_stream_gets_what_it_asked_for_once_and_in_order() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    let everything = client.stream("").await.unwrap();
    let deploys = client.stream("user:deploy,user,member-leave").await.unwrap();
    let second = Duration::from_secs(1);
    stage.publish(vec![join(), user(1, "deploy"), user(2, "other"), query(1, "up", second)]).await;
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..6 {
        let pushed = client.next().await.unwrap();
        seen[usize::from(pushed.of == deploys)].push(name(&pushed).to_owned());
        assert!(pushed.of == deploys || pushed.of == everything);
    }
    assert_eq!(seen[0], ["web1", "deploy", "other", "up"]);
    assert_eq!(seen[1], ["deploy", "other"], "two filters that match are one record");
}

#[tokio::test]
async fn events_carry_what_the_agent_said() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    client.stream("*").await.unwrap();
    stage.publish(vec![join(), user(7, "deploy"), query(9, "up", Duration::from_secs(1))]).await;
    let mut next = async || client.next().await.unwrap().record;
    let members = vec![member("web1"), member("lb1")];
    assert_eq!(next().await, Record::Event(EventRecord::Member { kind: MemberEventKind::Join, members }));
    let (payload, name) = (bytes::Bytes::from_static(b"p"), "deploy".to_owned());
    assert_eq!(next().await, Record::Event(EventRecord::User { ltime: 7, name, payload, coalesce: false }));
    let (payload, name) = (bytes::Bytes::new(), "up".to_owned());
    assert_eq!(next().await, Record::Event(EventRecord::Query { id: 1, ltime: 19, name, payload }));
}

#[tokio::test]
async fn members_asked_after_a_stream_began_leave_no_gap_between() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    client.stream("*").await.unwrap();
    stage.publish(vec![user(1, "between")]).await;
    assert_eq!(client.members(None).await.unwrap().len(), 2);
    assert_eq!(name(&client.next().await.unwrap()), "between");
}

#[tokio::test]
async fn nothing_comes_of_a_stream_after_it_was_stopped() {
    let stage = Stage::open();
    let mut raw = stage.shaken().await;
    let stream = Request::Stream { filter: "*".to_owned() };
    assert_eq!(raw.ask(1, &stream).await.0, "");
    // More than fits on the way, so that the stream is busy when it is stopped.
    stage.publish((0..400).map(|ltime| user(ltime, "x")).collect()).await;
    raw.send(&Request::Stop { seq: 1 }.encode(2)).await;
    loop {
        let (seq, _) = raw.header().await;
        if seq == 2 {
            break;
        }
        raw.value().await.unwrap();
    }
    stage.publish(vec![user(1000, "late")]).await;
    raw.send(&Request::Members.encode(3)).await;
    assert_eq!(raw.header().await.0, 3);
}

#[tokio::test]
async fn monitor_begins_with_the_past_and_goes_on() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    let monitor = client.monitor("info").await.unwrap();
    assert_eq!(
        client.next().await.unwrap(),
        Pushed { of: monitor, record: Record::Line("old [INFO] agent: two".to_owned()) }
    );
    stage.log("new [WARN] swim: three").await;
    assert_eq!(client.next().await.unwrap().record, Record::Line("new [WARN] swim: three".to_owned()));
    client.stop(monitor).await.unwrap();
    client.monitor("DEBUG").await.unwrap();
    assert_eq!(client.next().await.unwrap().record, Record::Line("old [DEBUG] agent: one".to_owned()));
}

#[tokio::test]
async fn query_ends_with_done_and_nothing_else_is_nameless() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    let answers = async |client: &mut weir::rpc::client::Client, name: &str| {
        let id = client.query(QueryParams { name: name.to_owned(), ack: true, ..Default::default() }).await?;
        let mut answers = Vec::new();
        while answers.last() != Some(&QueryRecord::Done) {
            let pushed = client.next().await?;
            assert_eq!(pushed.of, id);
            let Record::Answer(answer) = pushed.record else { panic!("{pushed:?}") };
            answers.push(answer);
        }
        Ok::<_, ClientError>(answers)
    };
    let ack = |from: &str| QueryRecord::Ack { from: from.to_owned() };
    let response = || QueryRecord::Response { from: "web1".to_owned(), payload: bytes::Bytes::from_static(b"up\n") };
    let wanted = vec![ack("lb1"), ack("web1"), response(), QueryRecord::Done];
    assert_eq!(answers(&mut client, "uptime").await.unwrap(), wanted);
    // Its agent answers without a name and never says that it is over.
    assert_eq!(answers(&mut client, "broken").await.unwrap(), wanted);
    assert_eq!(stage.counts().missed_answers, 1);
    let error = answers(&mut client, "_serf_conflict").await.unwrap_err();
    assert_eq!(error.to_string(), "Queries cannot contain the '_serf_' prefix");
}

#[tokio::test(start_paused = true)]
async fn slow_reader_learns_where_and_how_much_it_missed() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    let mut plain = stage.client().await;
    client.stream_with_gaps("user").await.unwrap();
    plain.stream("user").await.unwrap();
    // All at once: what is beyond the queue is lost.
    stage.publish((0..600).map(|ltime| user(ltime, "x")).collect()).await;
    let mut ltimes = Vec::new();
    let missed = loop {
        match client.next().await.unwrap().record {
            Record::Event(EventRecord::User { ltime, .. }) => ltimes.push(ltime),
            Record::Event(EventRecord::Missed { events }) => break events,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ltimes, (0..512).collect::<Vec<u64>>());
    assert_eq!(missed, 88);
    for ltime in 0..512 {
        let Record::Event(EventRecord::User { ltime: got, .. }) = plain.next().await.unwrap().record else { panic!() };
        assert_eq!(got, ltime);
    }
    stage.publish(vec![user(700, "after")]).await;
    assert_eq!(name(&client.next().await.unwrap()), "after");
    assert_eq!(name(&plain.next().await.unwrap()), "after", "a client that did not ask is told nothing");
    assert_eq!(stage.counts().missed_events, 2 * 88);
    assert_eq!(stage.counts().by_name()["missed_events"], 176);
}

#[tokio::test]
async fn slow_monitor_finds_a_line_about_the_lines_it_missed() {
    let stage = Stage::open();
    let mut client = stage.client().await;
    client.monitor("ERR").await.unwrap();
    client.members(None).await.unwrap();
    // Each order is one turn of the agent; the server's tasks run in between unless the socket is full.
    let long = "x".repeat(4000);
    while stage.counts().missed_lines == 0 {
        stage.log(&long).await;
    }
    let missed = stage.counts().missed_lines;
    loop {
        let Record::Line(line) = client.next().await.unwrap().record else { panic!() };
        if line != long {
            assert_eq!(
                line,
                format!("[WARN] agent.ipc: {missed} log lines dropped here, this client reads too slowly")
            );
            break;
        }
    }
}
