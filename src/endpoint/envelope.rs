//! Label and sealing of packets and streams.
//!
//! Everything a peer sends passes through here first and everything we send passes through here last, so this is where a
//! keyring means that plain text is refused.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use crate::crypto::{self, KeyId, Keyring};
use crate::time::Instant;
use crate::wire::label;

use super::Drop;

/// Most bytes of a packet that leaves (`memberlist §1.7`).
const PACKET_BUDGET: usize = 1400;
/// Reserved for sealing whenever there is a keyring: the larger of the two envelopes.
const SEAL_OVERHEAD: usize = 45;
/// First byte of an encrypted stream.
const ENCRYPTED_FRAME: u8 = 10;
/// First byte of a label header.
const LABEL: u8 = 244;

/// Seals what leaves and opens what arrives.
#[derive(Debug)]
pub(super) struct Envelope {
    label: Bytes,
    keyring: Option<Keyring>,
}

/// A packet or stream that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) plain: Vec<u8>,
    /// The key it was sealed under; `None` if we have no keyring.
    pub(super) key: Option<KeyId>,
}

impl Envelope {
    pub(super) fn new(label: Bytes, keyring: Option<Keyring>) -> Self {
        Self { label, keyring }
    }

    pub(super) fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    pub(super) fn keyring_mut(&mut self) -> Option<&mut Keyring> {
        self.keyring.as_mut()
    }

    /// Bytes that the plain text of a packet may have.
    pub(super) fn packet_budget(&self) -> usize {
        let label = if self.label.is_empty() { 0 } else { 2 + self.label.len() };
        PACKET_BUDGET - label - if self.keyring.is_some() { SEAL_OVERHEAD } else { 0 }
    }

    pub(super) fn seal_packet(&self, plain: Vec<u8>, now: Instant, rng: &mut StdRng) -> Vec<u8> {
        let sealed = match &self.keyring {
            Some(keyring) => keyring.seal_packet(nonce(now, rng), &self.label, &plain),
            None => plain,
        };
        self.labelled(sealed)
    }

    pub(super) fn open_packet(&self, datagram: &[u8]) -> Result<Opened, Drop> {
        let packet = label::strip(datagram, &self.label).map_err(|_| Drop::Label)?;
        match &self.keyring {
            None => Ok(Opened { plain: packet.to_vec(), key: None }),
            Some(keyring) => {
                let opened = keyring.open_packet(&self.label, packet).map_err(Drop::from)?;
                Ok(Opened { plain: opened.plain, key: Some(opened.key) })
            }
        }
    }

    /// Seals one direction of a stream. Only its opener writes the label header; an answer goes under the key that the
    /// request came in.
    pub(super) fn seal_stream(
        &self,
        plain: Vec<u8>,
        answer_to: Option<KeyId>,
        opener: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<u8> {
        let sealed = match &self.keyring {
            Some(keyring) => {
                let key = answer_to.unwrap_or_else(|| keyring.primary().id());
                keyring.seal_frame(key, nonce(now, rng), &self.label, &plain)
            }
            None => plain,
        };
        if opener { self.labelled(sealed) } else { sealed }
    }

    /// Opens what has arrived of one direction of a stream; `None` while more is needed.
    ///
    /// Without a keyring the plain bytes have no outer length: the caller decodes what there is.
    pub(super) fn open_stream(&self, bytes: &[u8], opener_sent: bool) -> Result<Option<Opened>, Drop> {
        let bytes = match (opener_sent, bytes) {
            // The label header is 2 bytes and the label; wait for all of it.
            (true, [LABEL]) => return Ok(None),
            (true, [LABEL, len, rest @ ..]) if rest.len() < usize::from(*len) => return Ok(None),
            (true, _) => label::strip(bytes, &self.label).map_err(|_| Drop::Label)?,
            (false, _) => bytes,
        };
        let Some(first) = bytes.first() else { return Ok(None) };
        match &self.keyring {
            None if *first == ENCRYPTED_FRAME => Err(Drop::Encrypted),
            None => Ok(Some(Opened { plain: bytes.to_vec(), key: None })),
            Some(_) if *first != ENCRYPTED_FRAME => Err(Drop::Plaintext),
            Some(keyring) => match crypto::frame_len(bytes).map_err(Drop::from)? {
                Some(len) if bytes.len() >= len => {
                    let opened = keyring.open_frame(&self.label, &bytes[..len]).map_err(Drop::from)?;
                    Ok(Some(Opened { plain: opened.plain, key: Some(opened.key) }))
                }
                _ => Ok(None),
            },
        }
    }

    fn labelled(&self, sealed: Vec<u8>) -> Vec<u8> {
        if self.label.is_empty() {
            return sealed;
        }
        let mut out = Vec::with_capacity(2 + self.label.len() + sealed.len());
        label::prepend(&self.label, &mut out);
        out.extend_from_slice(&sealed);
        out
    }
}

fn nonce(now: Instant, rng: &mut StdRng) -> [u8; 12] {
    let mut random = [0; 12];
    rng.fill_bytes(&mut random);
    crypto::nonce(random, now)
}
