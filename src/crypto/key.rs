//! One key, its identifier, and what is derived from it (`session §2`).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::KeyringError;
use super::cipher::Cipher;

/// Salt of the extract step.
const SALT: &[u8] = b"weir session v1";

/// Names a key without telling it: derived from the key, shown as 8 hex digits. Two keys may share one (2^-32).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret of 16, 24 or 32 bytes, with its cipher ready. Cheap to clone; zeroed when the last clone is dropped.
///
/// `Debug` shows the identifier only, and comparison takes the same time whatever differs.
#[derive(Clone)]
pub struct Key(Arc<Inner>);

struct Inner {
    bytes: Zeroizing<Vec<u8>>,
    cipher: Cipher,
    extracted: Hkdf<Sha256>,
    id: KeyId,
}

impl Key {
    /// Length of a key we generate.
    const NEW_BYTES: usize = 32;

    /// A key of the given bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyringError> {
        let cipher = Cipher::new(bytes).ok_or(KeyringError::Length(bytes.len()))?;
        let extracted = Hkdf::new(Some(SALT), bytes);
        let mut id = [0; 4];
        expand(&extracted, &[b"key id"], &mut id);
        Ok(Self(Arc::new(Inner { bytes: Zeroizing::new(bytes.to_vec()), cipher, extracted, id: KeyId(id) })))
    }

    /// A key in the form of Serf's keyring files and flags. Surrounding blanks are ignored.
    pub fn from_base64(text: &str) -> Result<Self, KeyringError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyringError::Base64)?);
        Self::new(&bytes)
    }

    /// The form that [`Self::from_base64`] reads.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes()))
    }

    /// A new key of 32 bytes, drawn from `entropy`, which has to be the operating system's.
    pub fn generate(entropy: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut bytes = Zeroizing::new([0; Self::NEW_BYTES]);
        entropy(&mut *bytes);
        Self::new(&*bytes).expect("32 bytes are a key")
    }

    /// The identifier.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// The secret itself.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Whether the key looks like a word rather than like chance: all of it is printable text, or it has fewer than 8
    /// different bytes. Anyone can try words offline (`session §7`).
    pub fn is_guessable(&self) -> bool {
        let mut seen = [false; 256];
        self.bytes().iter().for_each(|&byte| seen[usize::from(byte)] = true);
        let different = seen.iter().filter(|&&seen| seen).count();
        different < 8 || self.bytes().iter().all(|byte| matches!(byte, b' '..=b'~'))
    }

    pub(super) fn cipher(&self) -> &Cipher {
        &self.0.cipher
    }

    /// The AES-256 subkey for a purpose, whose parts are joined.
    pub(super) fn subkey(&self, purpose: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut subkey = Zeroizing::new([0; 32]);
        expand(&self.0.extracted, purpose, &mut *subkey);
        subkey
    }
}

/// HKDF-Expand. `info` is joined.
fn expand(extracted: &Hkdf<Sha256>, info: &[&[u8]], out: &mut [u8]) {
    extracted.expand_multi_info(info, out).expect("HKDF-SHA256 gives up to 8160 bytes");
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        // Clones are told by their place, which tells nothing of the secret.
        Arc::ptr_eq(&self.0, &other.0) || self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_lengths_are_keys() {
        for len in 0..=64 {
            let key = Key::new(&vec![0; len]);
            assert_eq!(key.is_ok(), [16, 24, 32].contains(&len), "{len}");
        }
        assert_eq!(Key::from_base64("AAAA"), Err(KeyringError::Length(3)));
        assert_eq!(Key::from_base64("!"), Err(KeyringError::Base64));
    }

    #[test]
    fn debug_shows_no_key() {
        let key = Key::new(&[0xab; 16]).unwrap();
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
    }

    #[test]
    fn base64_is_read_back() {
        let mut next = 0;
        let key = Key::generate(&mut |out| {
            out.iter_mut().for_each(|byte| {
                *byte = next;
                next += 7;
            });
        });
        assert_eq!(Key::from_base64(&format!(" {}\n", *key.to_base64())), Ok(key));
    }

    #[test]
    fn words_and_repetitions_are_guessable() {
        for (bytes, guessable) in [
            (*b"correct horse ba", true),
            ([7; 16], true),
            ([0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
            ([0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0], false),
        ] {
            assert_eq!(Key::new(&bytes).unwrap().is_guessable(), guessable, "{bytes:?}");
        }
    }
}
