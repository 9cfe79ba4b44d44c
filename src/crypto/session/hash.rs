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
    /// Eight bytes of an id are enough of it.
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        match (bytes.first_chunk(), bytes.first_chunk()) {
            (Some(id), _) => self.0 ^= u64::from_ne_bytes(*id),
            (None, Some(short)) => self.0 ^= u64::from(u32::from_ne_bytes(*short)),
            (None, None) => {}
        }
    }

    /// Lengths of arrays, which are all the same.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        let mixed = self.0.wrapping_mul(MIX);
        mixed ^ mixed >> 32
    }
}
