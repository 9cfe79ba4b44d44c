//! What the Serf layer costs where it meets many members and many broadcasts.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::serf::{Options, Restored, Serf};
use weir::swim::{self, Node};
use weir::time::Instant;
use weir::wire::NodeName;
use weir::wire::message::Versions;

const NOW: Instant = Instant::from_nanos(1);
const MEMBERS: usize = 1000;
const BROADCASTS: usize = 1000;

/// What a packet may hold beside sealing.
const PACKET_BUDGET: usize = 1355;

fn main() {
    divan::main();
}

fn node(i: usize) -> Arc<Node> {
    let [.., high, low] = i.to_be_bytes();
    let name = NodeName::new(&format!("web-{i:05}.example.net")).expect("short");
    let addr = SocketAddr::from(([10, 0, high, low], 7946));
    Arc::new(Node { name, addr, meta: Bytes::from_static(b"\xff\x80"), versions: Versions::OURS })
}

fn cluster(members: usize) -> Serf {
    let mut serf = Serf::new(Options::default(), node(0), Restored::default(), StdRng::seed_from_u64(1), NOW);
    for i in 0..members {
        serf.handle_swim(NOW, &swim::Event::Joined(node(i)));
        while serf.poll_output().is_some() {}
    }
    serf
}

#[divan::bench]
fn merge_a_push_pull_of_a_thousand_members(bencher: Bencher<'_, '_>) {
    let state = cluster(MEMBERS).local_state();
    let mut serf = cluster(MEMBERS);
    bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| serf.merge_state(NOW, black_box(&state), None));
}

#[divan::bench]
fn tell_a_push_pull_of_a_thousand_members(bencher: Bencher<'_, '_>) {
    let serf = cluster(MEMBERS);
    bencher.counter(ItemsCount::new(MEMBERS)).bench_local(|| serf.local_state());
}

#[divan::bench]
fn fill_a_packet_from_a_thousand_broadcasts(bencher: Bencher<'_, '_>) {
    let full = || {
        let mut serf = cluster(10);
        for i in 0..BROADCASTS {
            let fired = serf.user_event(NOW, "deploy", Bytes::from(format!("{i:064}")), false);
            assert!(fired.is_ok(), "a thousand fit the queue");
        }
        serf
    };
    bencher.with_inputs(full).bench_local_refs(|serf| {
        let mut packet = Vec::new();
        serf.take_broadcasts(PACKET_BUDGET, 3, &mut packet);
        packet
    });
}
