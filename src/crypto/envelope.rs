//! memberlist's envelope of packets, and its frame of streams (`memberlist §1.3, §3.1`).

use super::cipher::{NONCE, TAG};
use super::{Key, KeyId};
use crate::wire::message::kind;

/// Most bytes that version 1 adds to a packet.
pub const OVERHEAD_V1: usize = 1 + NONCE + TAG;

/// Most bytes that version 0 adds to a packet, padding included.
pub const OVERHEAD_V0: usize = OVERHEAD_V1 + BLOCK;

/// Longest envelope in a stream frame.
pub const MAX_FRAME: usize = 20 << 20;

/// Bytes in front of the envelope of a stream frame.
const FRAME_HEADER: usize = 5;

/// Version 0 pads to a multiple of this.
const BLOCK: usize = 16;

/// How the plaintext is padded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// To whole blocks. Spoken by memberlist protocol 1 only; accepted from everybody.
    V0 = 0,
    /// Not at all.
    V1 = 1,
}

/// A plaintext, never empty, and the key that opened it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    pub plain: Vec<u8>,
    pub key: KeyId,
}

/// Why an envelope or frame was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    #[error("encryption version {0} is unknown")]
    Version(u8),
    #[error("encrypted message is too short")]
    Short,
    #[error("no key of the keyring opens the message")]
    NotOpened,
    #[error("padding of the decrypted message is wrong")]
    Padding,
    #[error("decrypted message is empty")]
    Empty,
    #[error("frame is {0} bytes long, more than allowed")]
    FrameTooLong(usize),
    #[error("frame is cut off, or something follows it")]
    FrameLength,
    #[error("stream is not encrypted")]
    NotEncrypted,
}

/// Appends the envelope of `plain` to `out`. The parts of `aad` are joined.
pub fn seal(key: &Key, version: Version, nonce: [u8; NONCE], aad: &[&[u8]], plain: &[u8], out: &mut Vec<u8>) {
    out.push(version as u8);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    if version == Version::V0 {
        let pad = BLOCK - plain.len() % BLOCK;
        out.resize(out.len() + pad, pad as u8);
    }
    let tag = match aad {
        [aad] => key.cipher().seal(&nonce, aad, &mut out[start..]),
        parts => key.cipher().seal(&nonce, &parts.concat(), &mut out[start..]),
    };
    out.extend_from_slice(&tag);
}

/// Opens an envelope with the first of `keys` that fits.
pub fn open(keys: &[Key], aad: &[u8], envelope: &[u8]) -> Result<Opened, OpenError> {
    let (version, shortest) = match envelope.first() {
        Some(0) => (Version::V0, OVERHEAD_V0),
        Some(1) => (Version::V1, OVERHEAD_V1),
        Some(&version) => return Err(OpenError::Version(version)),
        None => return Err(OpenError::Short),
    };
    if envelope.len() < shortest {
        return Err(OpenError::Short);
    }
    let (nonce, sealed) = envelope[1..].split_first_chunk().ok_or(OpenError::Short)?;
    let (text, tag) = sealed.split_last_chunk().ok_or(OpenError::Short)?;
    let mut plain = text.to_vec();
    let key = keys
        .iter()
        .find(|key| key.cipher().open(nonce, aad, &mut plain, tag).is_ok())
        .ok_or(OpenError::NotOpened)?
        .id();
    if version == Version::V0 {
        unpad(&mut plain)?;
    }
    if plain.is_empty() { Err(OpenError::Empty) } else { Ok(Opened { plain, key }) }
}

/// Real agents cut what the last byte says, unchecked, and crash if there is less.
fn unpad(plain: &mut Vec<u8>) -> Result<(), OpenError> {
    let pad = plain.last().copied().map_or(0, usize::from);
    match plain.len().checked_sub(pad) {
        Some(len) if (1..=BLOCK).contains(&pad) => {
            plain.truncate(len);
            Ok(())
        }
        _ => Err(OpenError::Padding),
    }
}

/// The frame of one direction of a stream.
pub fn seal_frame(key: &Key, version: Version, nonce: [u8; NONCE], label: &[u8], plain: &[u8]) -> Vec<u8> {
    let padding = if version == Version::V0 { BLOCK - plain.len() % BLOCK } else { 0 };
    let len = plain.len() + padding + OVERHEAD_V1;
    let mut out = Vec::with_capacity(FRAME_HEADER + len);
    out.push(kind::ENCRYPT);
    out.extend_from_slice(&u32::try_from(len).expect("streams are limited to 40 MiB").to_be_bytes());
    let header: [u8; FRAME_HEADER] = out[..].try_into().expect("a type byte and a length of four were written");
    seal(key, version, nonce, &[&header, label], plain, &mut out);
    out
}

/// Length of the whole frame that `bytes` begins with; `None` as long as its header is not complete.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, OpenError> {
    match bytes {
        [kind::ENCRYPT, a, b, c, d, ..] => {
            let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if len > MAX_FRAME { Err(OpenError::FrameTooLong(len)) } else { Ok(Some(FRAME_HEADER + len)) }
        }
        [] | [kind::ENCRYPT, ..] => Ok(None),
        _ => Err(OpenError::NotEncrypted),
    }
}

/// Opens a whole frame.
pub fn open_frame(keys: &[Key], label: &[u8], frame: &[u8]) -> Result<Opened, OpenError> {
    if frame_len(frame)? != Some(frame.len()) {
        return Err(OpenError::FrameLength);
    }
    let (header, envelope) = frame.split_at(FRAME_HEADER);
    open(keys, &[header, label].concat(), envelope)
}

#[cfg(test)]
mod tests;
