//! What a packet and a push/pull cost in codec and ciphers.
//!
//! The two envelopes stand beside the bare cipher, so that what they add can be read off; only such ratios carry over from one
//! machine to another.

use std::cell::RefCell;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use weir::crypto::session::{SessionId, Sessions};
use weir::crypto::{Key, Keyring};
use weir::time::Instant;
use weir::wire::message::{Alive, Message, NodeState, PushNode, PushPull, StreamMessage, Versions};
use weir::wire::{NodeName, lzw, packet};

const PLAIN_BYTES: [usize; 3] = [100, 512, 1400];

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

fn sessions(fill: u8) -> Sessions {
    let name = NodeName::new("bench").expect("a name");
    Sessions::new(name, b"", Box::new(move |out| out.fill(fill)))
}

fn alive(at: u32) -> Alive {
    let [_, _, high, low] = at.to_be_bytes();
    Alive {
        incarnation: at,
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
    StreamMessage::PushPull(PushPull { join: false, nodes, skipped: 0, user_state: Bytes::from_static(&[2; 600]) })
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

/// AES-256-GCM in place, without associated data: the least that sealing can cost.
#[divan::bench(args = PLAIN_BYTES)]
fn seal_bare(bencher: Bencher<'_, '_>, len: usize) {
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let mut text = vec![7; len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| cipher.encrypt_inout_detached(&[1; 12].into(), b"", InOutBuf::from(black_box(&mut text[..]))));
}

#[divan::bench(args = PLAIN_BYTES)]
fn seal_memberlist(bencher: Bencher<'_, '_>, len: usize) {
    let (ring, plain) = (ring(), vec![7; len]);
    bencher.counter(BytesCount::new(len)).bench_local(|| ring.seal_packet([1; 12], b"", black_box(&plain)));
}

#[divan::bench(args = PLAIN_BYTES)]
fn seal_session(bencher: Bencher<'_, '_>, len: usize) {
    let (mut sender, key, plain) = (sessions(1), key(), vec![7; len]);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let mut out = Vec::new();
        sender.seal(Instant::ZERO, &key, SessionId([2; 16]), 7, black_box(&plain), &mut out);
        out
    });
}

#[divan::bench(args = PLAIN_BYTES)]
fn open_bare(bencher: Bencher<'_, '_>, len: usize) {
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let mut sealed = vec![7; len];
    let tag: Tag = cipher
        .encrypt_inout_detached(&[1; 12].into(), b"", InOutBuf::from(&mut sealed[..]))
        .expect("short enough for AES-GCM");
    bencher.counter(BytesCount::new(len)).with_inputs(|| sealed.clone()).bench_local_refs(|text| {
        cipher.decrypt_inout_detached(&[1; 12].into(), b"", InOutBuf::from(&mut text[..]), &tag)
    });
}

#[divan::bench(args = PLAIN_BYTES)]
fn open_memberlist(bencher: Bencher<'_, '_>, len: usize) {
    let ring = ring();
    let sealed = ring.seal_packet([1; 12], b"", &vec![7; len]);
    bencher.counter(BytesCount::new(len)).bench_local(|| ring.open_packet(b"", black_box(&sealed)));
}

/// The packet key is cached; every packet is a new one, as no other would be opened.
#[divan::bench(args = PLAIN_BYTES)]
fn open_session(bencher: Bencher<'_, '_>, len: usize) {
    let (key, ring, plain) = (key(), ring(), vec![7; len]);
    let sender = RefCell::new(sessions(1));
    let mut receiver = sessions(2);
    let next = || {
        let mut out = Vec::new();
        sender.borrow_mut().seal(Instant::ZERO, &key, SessionId([2; 16]), 7, &plain, &mut out);
        out
    };
    bencher
        .counter(BytesCount::new(len))
        .with_inputs(next)
        .bench_local_refs(|sealed| receiver.open(Instant::ZERO, &ring, sealed).expect("never opened before"));
}
