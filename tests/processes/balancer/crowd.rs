//! A balancer among hundreds.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use bytes::Bytes;
use weir::crypto::{Key, Keyring};
use weir::wire::NodeName;
use weir::wire::message::{Alive, Incarnation, NodeState, PushNode, PushPull, StreamMessage, Versions};
use weir::wire::serf::encode_tags;

use super::stage::Balancer;
use crate::nginx::listen_as;

const CROWD: u16 = 450;

/// Members that serve at `port`, as one of them would tell of them all. Their agents do not run.
fn crowd(port: u16) -> PushPull {
    let tags = [("role".to_owned(), "web".to_owned()), ("port".to_owned(), port.to_string())].into();
    let node = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let alive = Alive {
            incarnation: Incarnation::new(1),
            node: NodeName::new(&format!("m{n:03}")).unwrap(),
            addr: SocketAddr::from((Ipv4Addr::new(127, 9, 240 + high, low), 7946)),
            meta: encode_tags(&tags),
            versions: Versions::OURS,
        };
        PushNode { alive, state: NodeState::Alive }
    };
    PushPull { join: true, nodes: (0..CROWD).map(node).collect(), skipped: 0, user_state: Bytes::new() }
}

#[test]
#[ignore = "needs nginx"]
fn hundreds_of_members_that_are_there_at_once_serve() {
    let mut balancer = Balancer::start();
    // All of 127.0.0.0/8 is this host's.
    let port = listen_as("any", TcpListener::bind("0.0.0.0:0").unwrap()).port();
    let ring = Keyring::new(Key::new(&(0..16).collect::<Vec<u8>>()).unwrap(), []);
    let plain = StreamMessage::PushPull(crowd(port)).encode(false);
    let mut stream = TcpStream::connect(balancer.agent.gossip).unwrap();
    stream.write_all(&ring.seal_frame(ring.primary().id(), [3; 12], b"", &plain)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();

    balancer.await_log(&format!(" and {} more", CROWD - 12));
    balancer.await_answers(&[("any", 1)]);
    balancer.assert_valid();
    assert!(!balancer.agent.log().contains("apply refused"), "{}", balancer.agent.log());
}
