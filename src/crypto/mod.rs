//! Keys, and what is sealed with them.
//!
//! Owns the keyring (primary key first), memberlist's envelope of packets and streams (AES-GCM, label as associated data,
//! `memberlist §1.3, §3.1, §6`), and our own session envelope beside it. Which envelope a member gets, and where
//! keys are kept, is decided elsewhere. There is no randomness in here: nonces are handed in.

mod cipher;
pub mod envelope;
mod key;
mod keyring;
pub mod session;

pub use envelope::{MAX_FRAME, OVERHEAD_V0, OVERHEAD_V1, OpenError, Opened, frame_len};
pub use key::{Key, KeyId};
pub use keyring::{Keyring, KeyringError};

use crate::time::Instant;

use self::session::SessionId;

/// How a packet was sealed, and so how its answer has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Under this key,
    pub key: KeyId,
    /// and in the session envelope by this session; `None`: in memberlist's.
    pub session: Option<SessionId>,
}

/// A nonce for memberlist's envelope out of 12 random bytes (`session §7`).
///
/// The clock keeps it different when a machine that was rolled back to a memory image draws the same bytes again.
pub fn nonce(mut random: [u8; 12], now: Instant) -> [u8; 12] {
    for (byte, clock) in random[4..].iter_mut().zip(now.as_nanos().to_be_bytes()) {
        *byte ^= clock;
    }
    random
}
