//! The keys of a cluster in order, primary first (`memberlist §6`).

use zeroize::Zeroizing;

use super::envelope::{self, OpenError, Opened, Version};
use super::{Key, KeyId};

/// Why a key, a keyring or a change of one was refused. The keyring is unchanged in every case, and no secret is quoted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyringError {
    /// The primary key seals what we send; removing it would leave us mute.
    #[error("key {0} is the primary key; make another key primary first")]
    RemovePrimary(KeyId),
    #[error("key {0} is not in the keyring; install it first")]
    Missing(KeyId),
    #[error("key must be 16, 24 or 32 bytes long, this one has {0}")]
    Length(usize),
    #[error("key is not base64 (standard alphabet, padded)")]
    Base64,
    #[error("key {number} of the keyring cannot be used")]
    Entry {
        /// Counted from 1.
        number: usize,
        source: Box<KeyringError>,
    },
    #[error("it is not a JSON list of base64 strings (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("its JSON list is cut off (line {line}, column {column})")]
    CutOff { line: usize, column: usize },
    #[error("the file is empty")]
    Blank,
    #[error("it is no text")]
    NotText,
    #[error("its list holds no key")]
    Empty,
}

/// Distinct keys in order. The first is primary and seals; all of them open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keyring {
    /// Never empty.
    keys: Vec<Key>,
}

impl Keyring {
    /// A ring of `primary` and `others`, of which repetitions are left out.
    pub fn new(primary: Key, others: impl IntoIterator<Item = Key>) -> Self {
        let mut ring = Self { keys: vec![primary] };
        for key in others {
            ring.install(key);
        }
        ring
    }

    /// Reads a keyring file: a JSON list of base64 strings, primary first.
    pub fn from_json(text: &str) -> Result<Self, KeyringError> {
        if text.trim_ascii().is_empty() {
            return Err(KeyringError::Blank);
        }
        // serde's own message may quote the text, that is, a key.
        let keys: Vec<String> = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            if error.is_eof() { KeyringError::CutOff { line, column } } else { KeyringError::Json { line, column } }
        })?;
        let keys: Vec<Zeroizing<String>> = keys.into_iter().map(Zeroizing::new).collect();
        let mut keys = keys.iter().enumerate().map(|(at, key)| {
            Key::from_base64(key).map_err(|error| KeyringError::Entry { number: at + 1, source: error.into() })
        });
        let primary = keys.next().ok_or(KeyringError::Empty)??;
        Ok(Self::new(primary, keys.collect::<Result<Vec<_>, _>>()?))
    }

    /// The keyring file, as Serf formats it.
    pub fn to_json(&self) -> Zeroizing<String> {
        let mut json = Zeroizing::new(String::from("[\n"));
        for (at, key) in self.keys.iter().enumerate() {
            let separator = if at == 0 { "" } else { ",\n" };
            json.push_str(separator);
            json.push_str("  \"");
            json.push_str(&key.to_base64());
            json.push('"');
        }
        json.push_str("\n]");
        json
    }

    /// The key that seals.
    pub fn primary(&self) -> &Key {
        &self.keys[0]
    }

    /// All keys, primary first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The first key of that name.
    pub fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The key of that name, or the primary one if it is gone: what answers and messages to a member are sealed with.
    pub fn key_or_primary(&self, id: KeyId) -> &Key {
        self.key(id).unwrap_or(self.primary())
    }

    /// Appends a key. Returns whether the ring changed: a key that is in it already stays where it is.
    pub fn install(&mut self, key: Key) -> bool {
        let new = !self.keys.contains(&key);
        if new {
            self.keys.push(key);
        }
        new
    }

    /// Makes a key of the ring primary; the others keep their order. Returns whether the ring changed.
    pub fn use_key(&mut self, key: &Key) -> Result<bool, KeyringError> {
        let at = self.keys.iter().position(|held| held == key).ok_or(KeyringError::Missing(key.id()))?;
        self.keys[..=at].rotate_right(1);
        Ok(at != 0)
    }

    /// Removes a key. Returns whether the ring changed: removing what is not there is no error.
    pub fn remove(&mut self, key: &Key) -> Result<bool, KeyringError> {
        match self.keys.iter().position(|held| held == key) {
            None => Ok(false),
            Some(0) => Err(KeyringError::RemovePrimary(key.id())),
            Some(at) => {
                self.keys.remove(at);
                Ok(true)
            }
        }
    }

    /// Seals a packet in memberlist's envelope, version 1, under the primary key. `nonce` must never come twice under one key.
    pub fn seal_packet(&self, nonce: [u8; 12], label: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + envelope::OVERHEAD_V1);
        envelope::seal(self.primary(), Version::V1, nonce, &[label], plain, &mut out);
        out
    }

    /// Opens a packet in memberlist's envelope, either version, with whichever key fits.
    pub fn open_packet(&self, label: &[u8], envelope: &[u8]) -> Result<Opened, OpenError> {
        envelope::open(&self.keys, label, envelope)
    }

    /// Seals one direction of a stream under the key named, normally the one that opened the request; under the primary key
    /// if it is gone.
    pub fn seal_frame(&self, key: KeyId, nonce: [u8; 12], label: &[u8], plain: &[u8]) -> Vec<u8> {
        envelope::seal_frame(self.key_or_primary(key), Version::V1, nonce, label, plain)
    }

    /// Opens a whole frame, whose length [`frame_len`](super::frame_len) tells.
    pub fn open_frame(&self, label: &[u8], frame: &[u8]) -> Result<Opened, OpenError> {
        envelope::open_frame(&self.keys, label, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Key {
        Key::new(&[fill; 16]).unwrap()
    }

    fn ring(fills: &[u8]) -> Keyring {
        Keyring::new(key(fills[0]), fills[1..].iter().map(|&fill| key(fill)))
    }

    #[test]
    fn changes_follow_the_table() {
        // held       change                                  outcome
        let mut held = ring(&[1, 2, 3]);
        assert!(!held.install(key(2)));
        assert_eq!(held.remove(&key(1)), Err(KeyringError::RemovePrimary(key(1).id())));
        assert_eq!(held.use_key(&key(4)), Err(KeyringError::Missing(key(4).id())));
        assert_eq!(held.use_key(&key(1)), Ok(false));
        assert_eq!(held.remove(&key(4)), Ok(false));
        assert_eq!(held, ring(&[1, 2, 3]));
        assert_eq!(held.use_key(&key(3)), Ok(true));
        assert_eq!(held, ring(&[3, 1, 2]));
        assert!(held.install(key(4)));
        assert_eq!(held.remove(&key(1)), Ok(true));
        assert_eq!(held, ring(&[3, 2, 4]));
    }

    #[test]
    fn repetitions_are_left_out() {
        assert_eq!(ring(&[1, 2, 1, 2]), ring(&[1, 2]));
    }

    #[test]
    fn keyring_files_read_as_serf_writes_them() {
        let file = "[\n  \"AQEBAQEBAQEBAQEBAQEBAQ==\",\n  \"AgICAgICAgICAgICAgICAg==\"\n]";
        assert_eq!(Keyring::from_json(file), Ok(ring(&[1, 2])));
        assert_eq!(*ring(&[1, 2]).to_json(), file);
    }

    #[test]
    fn broken_keyring_files_are_refused_without_quoting_them() {
        let entry = |number, error: KeyringError| KeyringError::Entry { number, source: error.into() };
        for (file, error) in [
            ("[]", KeyringError::Empty),
            ("", KeyringError::Blank),
            ("\n", KeyringError::Blank),
            ("[\n  \"AQEBAQEBAQEB", KeyringError::CutOff { line: 2, column: 15 }),
            ("[\"AQEBAQEBAQEBAQEBAQEBAQ==\"", KeyringError::CutOff { line: 1, column: 27 }),
            ("\"AQEBAQEBAQEBAQEBAQEBAQ==\"", KeyringError::Json { line: 1, column: 26 }),
            ("[\"AQEBAQEBAQEBAQEBAQEBAQ==\", \"AQ==\"]", entry(2, KeyringError::Length(1))),
            ("[\"AQEB!\"]", entry(1, KeyringError::Base64)),
        ] {
            let refused = Keyring::from_json(file).unwrap_err();
            assert_eq!(refused, error);
            assert!(!format!("{refused:?}").contains("AQE"), "{refused:?}");
        }
    }
}
