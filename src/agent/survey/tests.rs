//! A survey of an endpoint behind a real socket, of what is none, and of Serf.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::config::Seal;
use crate::crypto::Key;
use crate::endpoint::{self, StreamId};
use crate::swim::Node;
use crate::wire::NodeName;
use crate::wire::message::{NodeState, Versions};

fn ring(fill: u8) -> Option<Keyring> {
    Some(Keyring::new(Key::new(&[fill; 32]).unwrap(), []))
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// A member with this ring, who knows `web1`, and its address.
async fn member(ring: Option<Keyring>, seal: Seal) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut config = Config::default();
    config.encryption.seal = seal;
    let options = endpoint::Options { name: name("lb1"), ..config.endpoint(addr) };
    let rng = random::seeded().unwrap();
    let now = clock::now;
    let mut endpoint = Endpoint::new(options, ring, Restored::default(), rng, Box::new(random::system), now());
    let web1 = SocketAddr::from(([10, 77, 0, 12], 7946));
    let web1 = Node { name: name("web1"), addr: web1, meta: bytes::Bytes::new(), versions: Versions::OURS };
    endpoint.preload(now(), &[Arc::new(web1)]);
    while endpoint.poll_output().is_some() {}
    let mut streams = Streams::new(addr.ip());
    let serving = tokio::spawn(async move {
        loop {
            while let Some(output) = endpoint.poll_output() {
                match output {
                    Output::Write { stream, data, close } => assert!(streams.write(stream, data, close)),
                    Output::Close { stream } => streams.close(stream),
                    other => assert!(!matches!(other, Output::Connect { .. } | Output::Member(_)), "{other:?}"),
                }
            }
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, from) = accepted.unwrap();
                    let id: Option<StreamId> = endpoint.handle_accepted(now(), from);
                    streams.accepted(id.expect("there is room"), stream);
                }
                (id, input) = streams.recv() => input.hand_to(&mut endpoint, now(), id),
            }
        }
    });
    (addr, serving)
}

/// Somebody who says this to everybody, and then waits.
async fn stranger(says: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(says).await.unwrap();
            held.push(stream);
        }
    });
    addr
}

async fn surveyed(seal: Seal, ring: Option<Keyring>, addr: SocketAddr) -> Result<Vec<String>, Unanswered> {
    let mut config = Config::default();
    config.encryption.seal = seal;
    config.node.name = name("web1");
    let answered = timeout(Duration::from_secs(60), survey(&config, ring, Peer { addr, from: addr.ip() }));
    let mut listed: Vec<String> = answered
        .await
        .expect("it ends by itself")?
        .into_iter()
        .map(|node| {
            assert_eq!(node.state, NodeState::Alive);
            format!("{} {}", node.alive.node, node.alive.addr)
        })
        .collect();
    listed.sort();
    Ok(listed)
}

#[tokio::test]
async fn whom_a_member_knows_is_told_in_whatever_envelope_it_takes() {
    for (theirs, ours, ring) in [
        (Seal::Auto, Seal::Auto, ring(1)),
        (Seal::Session, Seal::Auto, ring(1)),
        (Seal::Session, Seal::Session, ring(1)),
        (Seal::Memberlist, Seal::Auto, ring(1)),
        (Seal::Auto, Seal::Auto, None),
    ] {
        let (addr, serving) = member(ring.clone(), theirs).await;
        let wanted = vec![format!("lb1 {addr}"), "web1 10.77.0.12:7946".to_owned()];
        assert_eq!(surveyed(ours, ring, addr).await, Ok(wanted), "{theirs:?} {ours:?}");
        assert!(!serving.is_finished());
    }
}

#[tokio::test]
async fn another_key_is_told_from_another_service_and_from_silence() {
    let (addr, _serving) = member(ring(1), Seal::Auto).await;
    let (theirs, ours) = (ring(1).unwrap().primary().id(), ring(2).unwrap().primary().id());
    let Err(Unanswered::Key(key)) = surveyed(Seal::Auto, ring(2), addr).await else { panic!("another key") };
    assert_eq!(key.what, format!("127.0.0.1 seals with key {theirs}, this keyring has only {ours}"));

    let addr = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let Err(Unanswered::Refused(port)) = surveyed(Seal::Auto, ring(1), addr).await else { panic!("no gossip") };
    assert_eq!(port, Trouble::new(format!("{addr} does not speak gossip"), "wrong port?"));

    let (addr, _serving) = member(None, Seal::Auto).await;
    let Err(Unanswered::Refused(plain)) = surveyed(Seal::Auto, ring(1), addr).await else { panic!("no key") };
    assert_eq!(plain.what, "127.0.0.1 speaks without encryption and this node requires it");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_waited_for_as_long_as_a_member_would_be() {
    let addr = stranger(b"").await;
    let begun = Instant::now();
    let Err(Unanswered::Silent(silence)) = surveyed(Seal::Auto, ring(1), addr).await else { panic!("silence") };
    assert_eq!(silence.what, format!("{addr} takes connections and says nothing (10 s)"));
    assert!(begun.elapsed() < Duration::from_secs(21), "{:?}", begun.elapsed());
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it is ours");
    }
}

#[test]
#[ignore = "needs serf"]
fn serf_answers_and_finds_nothing_to_complain_of() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for key in [None, Some("sRlfIOhIxJAvOBwiWDFYC1T/GrSl4H32fRM3e6nTrwY=")] {
        let mut command = Command::new("serf");
        command.args(["agent", "-node=lb1", "-bind=127.0.77.11:17946", "-rpc-addr=127.0.77.11:17373"]);
        command.arg("-log-level=debug").args(key.map(|key| format!("-encrypt={key}")));
        let mut serf = Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let mut log = BufReader::new(serf.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(log.any(|line| line.contains("EventMemberJoin: lb1")));
        let addr = "127.0.77.11:17946".parse().unwrap();
        let ring = key.map(|key| Keyring::new(Key::from_base64(key).unwrap(), []));
        let listed = runtime.block_on(surveyed(Seal::Auto, ring, addr));
        assert_eq!(listed, Ok(vec!["lb1 127.0.77.11:17946".to_owned()]));
        drop(serf);
        let told: Vec<String> = log.filter(|line| line.contains("memberlist") || line.contains("serf:")).collect();
        assert!(told.iter().any(|line| line.contains("Stream connection")), "{told:#?}");
        assert!(told.iter().all(|line| !line.contains("[ERR]") && !line.contains("[WARN]")), "{told:#?}");
        assert!(!told.iter().any(|line| line.contains("web1")), "{told:#?}");
    }
}
