//! The operating system's generator, and what it seeds.

use std::io;

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng as _, TryRng as _};

/// A generator of its own, seeded by the system's.
pub(super) fn seeded() -> io::Result<StdRng> {
    StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other)
}

/// The system's own, for whoever was [`seeded`] by it: it does not fail once it has been seen to work.
pub(super) fn system(bytes: &mut [u8]) {
    SysRng.try_fill_bytes(bytes).expect("the system's generator has worked before");
}
