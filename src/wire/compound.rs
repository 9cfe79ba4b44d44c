//! Several messages in one (`memberlist §1.6`).

use bytes::Bytes;

use super::message::kind;
use super::{DecodeError, Problem};

/// Most parts of one compound.
pub const MAX_PARTS: usize = 255;

/// Bytes that each part adds beside its own.
pub const PART_OVERHEAD: usize = 2;

/// Packs 1 to [`MAX_PARTS`] messages of at most 65535 bytes each.
///
/// Panics outside of these bounds: whoever fills a packet counts parts and bytes.
pub fn encode(parts: &[Bytes]) -> Vec<u8> {
    let total: usize = parts.iter().map(|part| part.len() + PART_OVERHEAD).sum();
    let mut out = Vec::with_capacity(2 + total);
    out.extend_from_slice(&[kind::COMPOUND, u8::try_from(parts.len()).expect("a packet has at most 255 parts")]);
    for part in parts {
        let len = u16::try_from(part.len()).expect("a part of a packet fits a datagram");
        out.extend_from_slice(&len.to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The parts of a compound's body, which follows the type byte.
///
/// Fails if there is no room for the table of lengths. A part that runs past the end is an error in its place, and the last
/// item. Bytes after the last part are ignored.
pub fn parts(body: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], DecodeError>>, DecodeError> {
    let truncated = |offset| DecodeError::new("compound", offset, Problem::Truncated);
    let (&count, rest) = body.split_first().ok_or(truncated(0))?;
    let (lengths, data) = rest.split_at_checked(2 * usize::from(count)).ok_or(truncated(1))?;
    let mut left = Some(data);
    Ok(lengths.chunks_exact(2).map_while(move |length| {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let data = left?;
        left = data.split_at_checked(length).map(|(_, rest)| rest);
        Some(if left.is_some() { Ok(&data[..length]) } else { Err(truncated(body.len())) })
    }))
}
