//! Finding what belongs to a session quickly.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps whose keys hold a session id.
///
/// Ids are drawn at random, so mixing their bytes is enough; the standard hasher would cost a tenth of opening a small packet.
/// Only ids of packets whose tag was right are kept: whoever could choose them to collide has the key.
#[derive(Clone, Debug, Default)]
pub(super) struct IdHasher(u64);

pub(super) type ById = BuildHasherDefault<IdHasher>;

/// The golden ratio's bits, as everybody takes them.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_ne_bytes(word)).wrapping_mul(MIX);
        }
    }

    /// Lengths of arrays, which are all the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
