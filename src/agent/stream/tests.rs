//! Streams against real sockets on loopback addresses.

use std::net::Ipv4Addr;

use super::super::bind::bind;
use super::*;

const A: StreamId = StreamId::numbered(1);
const B: StreamId = StreamId::numbered(2);

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(20), test).await.expect("within the deadline") })
}

fn local(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A listening side at 127.0.0.1 and streams that come from 127.0.0.2.
async fn pair() -> (Listener, SocketAddr, Streams, Streams) {
    let (udp, listener) = bind(SocketAddr::new(local(1), 0)).unwrap();
    (listener, udp.local(), Streams::new(local(1)), Streams::new(local(2)))
}

async fn data(streams: &mut Streams, id: StreamId, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        match streams.recv().await {
            (from, Input::Data(data)) if from == id => all.extend(data),
            other => panic!("no data but {other:?}"),
        }
    }
    all
}

#[test]
fn bytes_go_both_ways_and_the_end_is_reported_to_both() {
    run(async {
        let (mut listener, addr, mut server, mut client) = pair().await;
        client.connect(A, addr);
        assert_eq!(client.recv().await, (A, Input::Connected));
        let (stream, from) = listener.accept().await;
        assert_eq!(from.ip(), local(2), "outgoing streams come from the bound address");
        server.accepted(B, stream);

        assert!(client.write(A, b"ping".to_vec(), false));
        assert_eq!(data(&mut server, B, 4).await, b"ping");
        let big = vec![7; 3 << 20];
        assert!(server.write(B, big.clone(), true));
        let received = async {
            let received = data(&mut client, A, big.len()).await;
            assert_eq!(client.recv().await, (A, Input::End(None)));
            received
        };
        let (received, end) = tokio::join!(received, server.recv());
        assert!(received == big);
        assert_eq!(end, (B, Input::End(None)));
    });
}

#[test]
fn refused_connection_is_told_in_the_references_words() {
    run(async {
        let (listener, addr, _server, mut client) = pair().await;
        drop(listener);
        client.connect(A, addr);
        let text = format!("dial tcp {addr}: connect: connection refused");
        let refused = StreamError { cause: Cause::Refused, text };
        assert_eq!(client.recv().await, (A, Input::End(Some(refused))));
        assert!(!client.write(A, b"x".to_vec(), false), "an ended stream takes nothing");
    });
}

#[test]
fn closed_stream_reports_nothing_more() {
    run(async {
        let (mut listener, addr, mut server, mut client) = pair().await;
        client.connect(A, addr);
        assert_eq!(client.recv().await, (A, Input::Connected));
        server.accepted(B, listener.accept().await.0);
        assert!(client.write(A, b"x".to_vec(), false));
        client.close(A);
        client.connect(B, addr);
        assert_eq!(client.recv().await, (B, Input::Connected), "nothing of the closed stream comes first");
    });
}

#[test]
fn peer_that_does_not_read_is_cut_off() {
    run(async {
        let (mut listener, addr, mut server, mut client) = pair().await;
        client.connect(A, addr);
        assert_eq!(client.recv().await, (A, Input::Connected));
        server.accepted(B, listener.accept().await.0);
        let taken = (0..WRITE_QUEUE * 4).take_while(|_| client.write(A, vec![0; 1 << 20], false)).count();
        assert!(taken <= WRITE_QUEUE, "{taken}");
        assert!(!client.write(A, Vec::new(), false));
    });
}

#[test]
fn peer_that_stops_talking_still_gets_its_answer() {
    run(async {
        let (mut listener, addr, mut server, _client) = pair().await;
        let mut peer = TcpStream::connect(addr).await.unwrap();
        server.accepted(B, listener.accept().await.0);
        peer.write_all(b"request").await.unwrap();
        assert_eq!(data(&mut server, B, 7).await, b"request");
        assert!(server.write(B, vec![1; 1 << 20], false));
        peer.shutdown().await.unwrap();
        assert_eq!(server.recv().await, (B, Input::End(None)));
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.len(), 1 << 20);
    });
}

#[test]
fn peer_that_stops_talking_and_does_not_read_counts_until_its_answer_is_out() {
    run(async {
        let (mut listener, addr, mut server, _client) = pair().await;
        let mut peer = TcpStream::connect(addr).await.unwrap();
        server.accepted(B, listener.accept().await.0);
        peer.write_all(b"request").await.unwrap();
        peer.shutdown().await.unwrap();
        assert_eq!(data(&mut server, B, 7).await, b"request");
        // More than any socket buffers.
        let answer = 64 << 20;
        assert!(server.write(B, vec![1; answer], true));
        let early = timeout(Duration::from_millis(200), server.recv()).await;
        assert!(early.is_err(), "it has not ended: {early:?}");
        let mut received = Vec::new();
        let (read, end) = tokio::join!(peer.read_to_end(&mut received), server.recv());
        assert_eq!((read.unwrap(), end), (answer, (B, Input::End(None))));
    });
}

#[test]
fn accept_pauses_grow_to_a_second() {
    let mut pauses = vec![next_backoff(None)];
    for _ in 0..10 {
        pauses.push(next_backoff(pauses.last().copied()));
    }
    assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
    assert_eq!(pauses.last(), Some(&ACCEPT_BACKOFF_LAST));
}

#[test]
fn what_keeps_a_connection_from_being_made_is_told_apart() {
    use nix::errno::Errno;
    let (remote, here) = (SocketAddr::from(([10, 77, 0, 11], 7946)), SocketAddr::from(([127, 0, 0, 9], 7946)));
    let (loopback, other) = (Some(local(1)), Some(IpAddr::from([10, 77, 0, 12])));
    let after = Duration::from_secs(3);
    for (to, source, errno, cause, words) in [
        (remote, None, Errno::ECONNREFUSED, Cause::Refused, "connection refused"),
        (remote, loopback, Errno::ECONNREFUSED, Cause::Refused, "connection refused"),
        (remote, None, Errno::EHOSTUNREACH, Cause::NoHost { after }, "no route to host"),
        (remote, None, Errno::ENETUNREACH, Cause::NoRoute, "network is unreachable"),
        (remote, None, Errno::ETIMEDOUT, Cause::Silent { after }, "connection timed out"),
        (remote, loopback, Errno::EINVAL, Cause::Bound(local(1)), "invalid argument"),
        (remote, loopback, Errno::ENETUNREACH, Cause::Bound(local(1)), "network is unreachable"),
        (remote, other, Errno::EINVAL, Cause::Other, "invalid argument"),
        (here, loopback, Errno::EACCES, Cause::Other, "permission denied"),
    ] {
        let error = dial_error(to, source, &io::Error::from_raw_os_error(errno as i32), after);
        assert_eq!((error.cause, error.text), (cause, format!("dial tcp {to}: connect: {words}")));
    }
}
