//! What a packet and a push/pull cost in codec and ciphers; `sealing` compares the envelopes.

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use weir::crypto::{Key, Keyring};
use weir::wire::message::{Alive, Incarnation, Message, NodeState, PushNode, PushPull, StreamMessage, Versions};
use weir::wire::{NodeName, lzw, packet};

/// What a packet may hold beside sealing.
const PACKET_BUDGET: usize = 1355;

fn main() {
    divan::main();
}

fn key() -> Key {
    Key::new(&[7; 32]).expect("32 bytes are a key")
}

fn ring() -> Keyring {
    Keyring::new(key(), [])
}

fn alive(at: u32) -> Alive {
    let [_, _, high, low] = at.to_be_bytes();
    Alive {
        incarnation: Incarnation::new(at),
        node: NodeName::new(&format!("web-{at}.example.net")).expect("a name"),
        addr: ([10, 0, high, low], 7946).into(),
        meta: Bytes::from_static(b"\xff\x82\xa2dc\xa4east\xa4role\xa3web"),
        versions: Versions::OURS,
    }
}

/// Alive messages up to the budget of a packet.
fn parts() -> Vec<Bytes> {
    let mut left = PACKET_BUDGET - 2;
    (0..)
        .map(|at| Message::Alive(alive(at)).encode())
        .take_while(|part| {
            let fits = part.len() + 2 <= left;
            left = left.saturating_sub(part.len() + 2);
            fits
        })
        .collect()
}

fn push_pull() -> StreamMessage {
    let nodes = (0..1000).map(|at| PushNode { alive: alive(at), state: NodeState::Alive }).collect();
    StreamMessage::PushPull(PushPull {
        join: false,
        nodes,
        skipped: 0,
        long_name: None,
        user_state: Bytes::from_static(&[2; 600]),
    })
}

/// From the bytes that a socket gave to messages. Compressed or not, by memberlist's envelope.
#[divan::bench(args = [false, true])]
fn open_and_decode_a_full_datagram(bencher: Bencher<'_, '_>, compressed: bool) {
    let (ring, parts) = (ring(), parts());
    let datagram = ring.seal_packet([1; 12], b"", &packet::encode(&parts, compressed, true));
    bencher.counter(ItemsCount::new(parts.len())).bench_local(|| {
        let opened = ring.open_packet(b"", black_box(&datagram)).expect("sealed with the same key");
        packet::decode(&opened.plain)
    });
}

#[divan::bench]
fn encode_and_seal_a_full_datagram(bencher: Bencher<'_, '_>) {
    let (ring, parts) = (ring(), parts());
    bencher.counter(ItemsCount::new(parts.len())).bench_local(|| {
        let plain = packet::encode(black_box(&parts), false, true);
        ring.seal_packet([1; 12], b"", &plain)
    });
}

#[divan::bench(args = [false, true])]
fn decode_a_push_pull_of_a_thousand(bencher: Bencher<'_, '_>, compressed: bool) {
    let stream = push_pull().encode(compressed);
    bencher
        .counter(ItemsCount::new(1000usize))
        .bench_local(|| StreamMessage::decode(black_box(&stream)).expect("encoded by ourselves"));
}

#[divan::bench(args = [false, true])]
fn encode_a_push_pull_of_a_thousand(bencher: Bencher<'_, '_>, compressed: bool) {
    let message = push_pull();
    bencher.counter(ItemsCount::new(1000usize)).bench_local(|| black_box(&message).encode(compressed));
}

#[divan::bench]
fn compress_a_full_packet(bencher: Bencher<'_, '_>) {
    let plain = packet::encode(&parts(), false, false);
    bencher.counter(BytesCount::new(plain.len())).bench_local(|| lzw::encode(black_box(&plain)));
}

#[divan::bench]
fn decompress_a_full_packet(bencher: Bencher<'_, '_>) {
    let plain = packet::encode(&parts(), false, false);
    let compressed = lzw::encode(&plain);
    bencher.counter(BytesCount::new(plain.len())).bench_local(|| lzw::decode(black_box(&compressed), 1 << 16));
}
