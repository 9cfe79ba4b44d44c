//! AES-GCM in the three key lengths that memberlist has.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};

type Aes192Gcm = AesGcm<Aes192, U12>;

/// Length of a nonce.
pub(crate) const NONCE: usize = 12;

/// Length of a tag.
pub(crate) const TAG: usize = 16;

/// The tag does not fit the bytes, which are as they were.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TagMismatch;

/// A key that is ready to seal and open. About 1 KiB; zeroed on drop.
pub(super) enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<Aes192Gcm>),
    Aes256(Box<Aes256Gcm>),
}

impl Cipher {
    /// `None` unless the key has 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128Gcm::new_from_slice(key).ok().map(Box::new).map(Self::Aes128),
            24 => Aes192Gcm::new_from_slice(key).ok().map(Box::new).map(Self::Aes192),
            32 => Some(Self::aes256(key.try_into().ok()?)),
            _ => None,
        }
    }

    pub(super) fn aes256(key: &[u8; 32]) -> Self {
        Self::Aes256(Box::new(Aes256Gcm::new(key.into())))
    }

    /// Encrypts in place and returns the tag.
    pub(super) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let (nonce, text) = (nonce.into(), InOutBuf::from(text));
        let tag = match self {
            Self::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
            Self::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
            Self::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, aad, text),
        };
        tag.expect("AES-GCM refuses only texts of 64 GiB and more").into()
    }

    /// Decrypts in place if the tag fits; otherwise nothing changes, so that another key can be tried.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), TagMismatch> {
        let (nonce, text, tag) = (nonce.into(), InOutBuf::from(text), tag.into());
        match self {
            Self::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
            Self::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
            Self::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, aad, text, tag),
        }
        .map_err(|_| TagMismatch)
    }
}
