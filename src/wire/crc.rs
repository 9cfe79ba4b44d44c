//! The checksum in front of a packet (`memberlist §1.4`).

use super::message::kind;
use super::{DecodeError, Problem};

/// Bytes that [`prepend`] adds.
pub const OVERHEAD: usize = 5;

/// Checks and removes the checksum; a packet without one is returned whole.
pub fn strip(packet: &[u8]) -> Result<&[u8], DecodeError> {
    match packet {
        [kind::CRC, a, b, c, d, rest @ ..] => {
            if crc32fast::hash(rest) == u32::from_be_bytes([*a, *b, *c, *d]) {
                Ok(rest)
            } else {
                Err(DecodeError::new("crc", 1, Problem::Checksum))
            }
        }
        _ => Ok(packet),
    }
}

/// The packet with a checksum in front.
pub fn prepend(packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(OVERHEAD + packet.len());
    out.push(kind::CRC);
    out.extend_from_slice(&crc32fast::hash(packet).to_be_bytes());
    out.extend_from_slice(packet);
    out
}
