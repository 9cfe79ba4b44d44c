//! `[encryption]`: which keys, and in which envelope.

use crate::crypto::{Key, KeyringError};
use crate::error::Trouble;

use super::mistake::Mistake;
use super::reader::Section;
use super::secret::{HIDDEN, Secret, SecretRef, SecretSource};
use super::serf::Extras;
use super::tree::Origin;
use super::value::words;

/// The envelope that packets travel in (`design §4`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seal {
    /// Everything is accepted, each peer is sent the best that it is known to open.
    Auto,
    /// weir's session envelope alone: a recording is refused, and so is every plain Serf agent.
    Session,
    /// memberlist's envelope alone, as Serf.
    Memberlist,
    /// Plain text.
    Off,
}

words!(Seal, "an envelope, \"auto\"", ("auto", Auto), ("session", Session), ("memberlist", Memberlist), ("off", Off));

/// How traffic is sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encryption {
    /// Serf's JSON list of keys, the first one seals; or "credential:NAME", which is read-only. It must exist.
    pub keyring: Option<SecretSource<Key>>,
    /// auto, session, memberlist, or off: plain text, and no keyring is read.
    pub seal: Seal,
}

const KEYRING: &str = "/var/lib/weir/keyring.json";

impl Encryption {
    /// Without a keyring `seal` is [`Seal::Off`], and the other way round.
    pub(crate) fn read(section: &Section<'_>, extras: &Extras) -> Self {
        let default = section.by_mode(SecretRef::File(KEYRING.into()), SecretRef::Nowhere);
        let needed = !section.serf();
        let place = section
            .key("keyring")
            .restart()
            .check(|place| (needed && *place == SecretRef::Nowhere).then(no_keyring))
            .or(default);
        let seal = section.key("seal").restart().or(Seal::Auto);
        if let SecretRef::File(path) = &place {
            section.expect_absolute("keyring", path);
        }
        let keyring = match &extras.encrypt {
            Some((key, at)) => {
                section.amend("keyring", HIDDEN.into(), at.clone());
                read_inline(section, key, at, seal)
            }
            None => place.source().filter(|_| seal != Seal::Off),
        };
        let seal = if keyring.is_none() { Seal::Off } else { seal };
        Self { keyring, seal }
    }
}

fn no_keyring() -> Trouble {
    Trouble::new("names no keyring", "write a path or \"credential:NAME\", or set encryption.seal = \"off\"")
}

fn read_inline(section: &Section<'_>, key: &Secret, at: &Origin, seal: Seal) -> Option<SecretSource<Key>> {
    let conflict = |what: &str| {
        section.mistake(Mistake::across(at, "encryption.keyring", Trouble::new(what, "remove one")));
    };
    if section.is_set("keyring") {
        conflict("a key in the clear cannot be used with encryption.keyring");
    }
    if seal == Seal::Off {
        conflict("a key cannot be used with encryption.seal = \"off\"");
    }
    match Key::from_base64(key.expose()) {
        Ok(key) => Some(SecretSource::Inline(key)),
        Err(error) => {
            let found = match error {
                KeyringError::Length(bytes) => format!("this one has {bytes}"),
                _ => "this is not base64".to_owned(),
            };
            let what = format!("key must be 16, 24 or 32 bytes in base64, {found}");
            section.mistake(Mistake::new(at, "encrypt_key", Trouble::new(what, "'weir keygen' makes one")));
            None
        }
    }
}
