//! A balancer among hundreds.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use weir::crypto::{Key, Keyring};
use weir::wire::NodeName;
use weir::wire::message::{Alive, Incarnation, NodeState, PushNode, PushPull, StreamMessage, Versions};
use weir::wire::serf::encode_tags;

use super::stage::{Balancer, KEY};
use crate::nginx::listen_as;

const CROWD: u16 = 450;

/// Lets `count` members that serve arrive at once, as one of them would tell of them all. Their agents do not run. `tags` are
/// those of each that it does not have by itself.
pub(crate) fn arrive(balancer: &Balancer, count: u16, tags: impl Fn(u16) -> Vec<(&'static str, String)>) {
    // All of 127.0.0.0/8 is this host's.
    let port = listen_as("any", TcpListener::bind("0.0.0.0:0").unwrap()).port();
    let node = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let own = [("role", "web".to_owned()), ("port", port.to_string())].into_iter().chain(tags(n));
        let tags: BTreeMap<String, String> = own.map(|(name, value)| (name.to_owned(), value)).collect();
        let alive = Alive {
            incarnation: Incarnation::new(1),
            node: NodeName::new(&format!("m{n:03}")).unwrap(),
            addr: SocketAddr::from((Ipv4Addr::new(127, 9, 240 + high, low), 7946)),
            meta: encode_tags(&tags),
            versions: Versions::OURS,
        };
        PushNode { alive, state: NodeState::Alive }
    };
    let nodes = (0..count).map(node).collect();
    let told = PushPull { join: true, nodes, ..PushPull::default() };
    let ring = Keyring::new(Key::from_base64(KEY).unwrap(), []);
    let plain = StreamMessage::PushPull(told).encode(false);
    let mut stream = TcpStream::connect(balancer.agent.gossip).unwrap();
    stream.write_all(&ring.seal_frame(ring.primary().id(), [3; 12], b"", &plain)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
#[ignore = "needs nginx"]
fn hundreds_of_members_that_are_there_at_once_serve() {
    let mut balancer = Balancer::start();
    arrive(&balancer, CROWD, |_| Vec::new());
    balancer.await_log(&format!(" and {} more", CROWD - 12));
    balancer.await_answers(&[("any", 1)]);
    balancer.assert_valid();
    assert!(!balancer.agent.log().contains("apply refused"), "{}", balancer.agent.log());
}
