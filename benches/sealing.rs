//! What the two envelopes add to the bare cipher: `cargo bench --bench sealing`.
//!
//! The `aes-gcm` crate by itself, memberlist's envelope and the session envelope of a known peer do the same work, from a
//! payload to a new packet and back, in turns of some microseconds each. What is printed are medians over all turns of each
//! one's time by that of the bare cipher in the same turn, so that what else the machine does cancels out.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks")]

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use weir::crypto::session::{SessionId, Sessions};
use weir::crypto::{Key, Keyring};
use weir::time::Instant;
use weir::wire::NodeName;

const PLAIN_BYTES: [usize; 3] = [100, 512, 1400];
/// Packets of one turn.
const TURN: usize = 64;
const TURNS: usize = 4000;

const OURS: SessionId = SessionId([1; 16]);
const THEIRS: SessionId = SessionId([2; 16]);

fn main() {
    println!("medians of {TURNS} turns; bare: the aes-gcm crate, AES-256, no associated data\n");
    println!("bytes          bare, ns   memberlist / bare   session / bare   session / memberlist");
    for len in PLAIN_BYTES {
        print("seal", len, &sealing(len));
        print("open", len, &opening(len));
    }
}

/// Times of the three contestants, one row a turn.
type Turns = Vec<[Duration; 3]>;

fn print(what: &str, len: usize, turns: &Turns) {
    let ratio = |of: usize, by: usize| median(turns.iter().map(|turn| turn[of].as_secs_f64() / turn[by].as_secs_f64()));
    let bare = median(turns.iter().map(|turn| turn[0].as_nanos() as f64)) / TURN as f64;
    println!("{what} {len:5}    {bare:10.0}   {:17.2}   {:14.2}   {:20.2}", ratio(1, 0), ratio(2, 0), ratio(2, 1));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn key() -> Key {
    Key::new(&[7; 32]).expect("32 bytes are a key")
}

fn sessions(id: SessionId) -> Sessions {
    let name = NodeName::new("bench").expect("a name");
    Sessions::new(name, b"", Box::new(move |out| out.copy_from_slice(&id.0)))
}

fn bare_cipher() -> Aes256Gcm {
    Aes256Gcm::new(&[7; 32].into())
}

fn nonce() -> Nonce<aes_gcm::aead::consts::U12> {
    [1; 12].into()
}

fn time(mut once: impl FnMut(usize)) -> Duration {
    let start = Clock::now();
    (0..TURN).for_each(&mut once);
    start.elapsed()
}

fn sealing(len: usize) -> Turns {
    let (cipher, ring, mut sender, key, plain) =
        (bare_cipher(), Keyring::new(key(), []), sessions(OURS), key(), vec![7; len]);
    let turn = |_| {
        let bare = time(|_| drop(black_box(cipher.encrypt(&nonce(), black_box(&plain[..])))));
        let memberlist = time(|_| drop(black_box(ring.seal_packet([1; 12], b"", black_box(&plain)))));
        let session = time(|_| {
            let mut out = Vec::new();
            sender.seal(Instant::ZERO, &key, THEIRS, 7, black_box(&plain), &mut out);
            drop(black_box(out));
        });
        [bare, memberlist, session]
    };
    (0..TURNS).map(turn).collect()
}

/// Every packet of a session is a new one, as no other would be opened; the others' are as many, as they take their space too.
fn opening(len: usize) -> Turns {
    let (cipher, ring, plain) = (bare_cipher(), Keyring::new(key(), []), vec![7; len]);
    let (mut sender, mut receiver, key) = (sessions(OURS), sessions(THEIRS), key());
    let bares: Vec<_> = (0..TURN).map(|_| cipher.encrypt(&nonce(), &plain[..]).expect("short enough")).collect();
    let memberlists: Vec<_> = (0..TURN).map(|_| ring.seal_packet([1; 12], b"", &plain)).collect();
    let mut packets = vec![Vec::new(); TURN];
    let turn = |_| {
        for packet in &mut packets {
            packet.clear();
            sender.seal(Instant::ZERO, &key, THEIRS, 7, &plain, packet);
        }
        let bare = time(|at| drop(black_box(cipher.decrypt(&nonce(), black_box(&bares[at][..])))));
        let memberlist = time(|at| drop(black_box(ring.open_packet(b"", black_box(&memberlists[at])))));
        let session = time(|at| drop(black_box(receiver.open(Instant::ZERO, &ring, black_box(&packets[at])))));
        [bare, memberlist, session]
    };
    (0..TURNS).map(turn).collect()
}
