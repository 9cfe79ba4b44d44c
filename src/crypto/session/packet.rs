//! The bytes of a session packet (`session §3`).

use smallvec::SmallVec;

use super::{DropReason, SessionId};
use crate::crypto::cipher::{Cipher, NONCE, TAG};
use crate::crypto::{Key, KeyId};

/// Bytes in front of the ciphertext.
const HEADER: usize = 29;

/// Bytes that sealing adds.
pub const OVERHEAD: usize = HEADER + TAG;

/// What a packet is bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// To one receiver.
    Packet = 0xe1,
    /// To nobody: a ping to somebody whose session is not known.
    Hello = 0xe2,
}

/// Whether a packet is sealed for a session, by its first byte; the old envelope and plain text never begin so.
pub fn is_session(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(0xe1 | 0xe2))
}

/// What stands in front of the ciphertext.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    pub form: Form,
    /// Of the key that seals.
    pub key: KeyId,
    pub sender: SessionId,
    pub stir: u32,
    pub counter: u32,
}

impl Header {
    /// The header, and ciphertext with tag behind it.
    pub(super) fn parse(packet: &[u8]) -> Result<(Self, &[u8]), DropReason> {
        let form = match packet.first() {
            Some(0xe1) => Form::Packet,
            Some(0xe2) => Form::Hello,
            Some(_) => return Err(DropReason::Form),
            None => return Err(DropReason::Short),
        };
        if packet.len() < OVERHEAD {
            return Err(DropReason::Short);
        }
        let (header, sealed) = packet.split_first_chunk::<HEADER>().ok_or(DropReason::Short)?;
        let [_, k0, k1, k2, k3, sender @ .., s0, s1, s2, s3, c0, c1, c2, c3] = *header;
        let header = Self {
            form,
            key: KeyId([k0, k1, k2, k3]),
            sender: SessionId(sender),
            stir: u32::from_be_bytes([s0, s1, s2, s3]),
            counter: u32::from_be_bytes([c0, c1, c2, c3]),
        };
        Ok((header, sealed))
    }

    fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.form as u8;
        bytes[1..5].copy_from_slice(&self.key.0);
        bytes[5..21].copy_from_slice(&self.sender.0);
        bytes[21..25].copy_from_slice(&self.stir.to_be_bytes());
        bytes[25..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    fn nonce(&self) -> [u8; NONCE] {
        let ([s0, s1, s2, s3], [c0, c1, c2, c3]) = (self.stir.to_be_bytes(), self.counter.to_be_bytes());
        [self.form as u8, 0, 0, 0, s0, s1, s2, s3, c0, c1, c2, c3]
    }
}

fn aad(receiver: SessionId, label: &[u8]) -> SmallVec<[u8; 64]> {
    let mut aad = SmallVec::from_slice(&receiver.0);
    if !label.is_empty() {
        aad.extend_from_slice(label);
    }
    aad
}

/// Appends a sealed packet to `out`. `receiver` is [`SessionId::NOBODY`] for a hello.
///
/// The bare operation: that no counter comes twice, and that header and key belong together, is up to
/// [`Sessions`](super::Sessions).
pub fn seal(key: &Key, header: &Header, receiver: SessionId, label: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    seal_with(&super::cache::packet_cipher(key, header.sender), header, receiver, label, plain, out);
}

pub(super) fn seal_with(
    cipher: &Cipher,
    header: &Header,
    receiver: SessionId,
    label: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) {
    out.reserve(OVERHEAD + plain.len());
    out.extend_from_slice(&header.bytes());
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = cipher.seal(&header.nonce(), &aad(receiver, label), &mut out[start..]);
    out.extend_from_slice(&tag);
}

/// Opens in place. On failure `text` is as it was, so that another receiver or key may follow.
pub(super) fn open_with(
    cipher: &Cipher,
    header: &Header,
    receiver: SessionId,
    label: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> bool {
    cipher.open(&header.nonce(), &aad(receiver, label), text, tag).is_ok()
}
