//! `[encryption]`: which keys, and in which envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;

use super::mistake::Mistake;
use super::reader::Section;
use super::secret::{HIDDEN, Place, Secret, SecretSource};
use super::serf::Extras;
use super::tree::Origin;
use super::value::words;

/// The envelope that packets travel in (`design §4`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seal {
    /// Everything is accepted, each peer is sent the best that it is known to open.
    Auto,
    /// The session envelope alone.
    Session,
    /// memberlist's envelope alone, as Serf.
    Memberlist,
    /// Plain text.
    Off,
}

words!(Seal, "an envelope, \"auto\"", ("auto", Auto), ("session", Session), ("memberlist", Memberlist), ("off", Off));

/// How traffic is sealed.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(deny_unknown_fields)]
pub struct Encryption {
    /// Serf's JSON list of keys, the first one seals; or "credential:NAME", which is read-only. It must exist.
    #[schemars(with = "String")]
    pub keyring: Option<SecretSource>,
    /// auto, session, memberlist, or off: plain text, and no keyring is read.
    pub seal: Seal,
}

const KEYRING: &str = "/var/lib/weir/keyring.json";

impl Encryption {
    /// Without a keyring `seal` is [`Seal::Off`], and the other way round.
    pub(crate) fn read(section: &Section<'_>, extras: &Extras) -> Self {
        let default = section.by_mode(Some(SecretSource::File(KEYRING.into())), None);
        let needed = section.by_mode(true, false);
        let Place(named) = section
            .key("keyring")
            .restart()
            .check(|place: &Place| (needed && place.0.is_none()).then(|| NO_KEYRING.to_owned()))
            .or(Place(default));
        let seal = section.key("seal").restart().or(Seal::Auto);
        let keyring = match &extras.encrypt {
            Some((key, at)) => {
                check_inline(section, key, at, seal);
                section.amend("keyring", HIDDEN.into(), at.clone());
                Some(SecretSource::Inline(key.clone()))
            }
            None => named.filter(|_| seal != Seal::Off),
        };
        let seal = if keyring.is_none() { Seal::Off } else { seal };
        Self { keyring, seal }
    }
}

const NO_KEYRING: &str = "names no keyring; write a path or \"credential:NAME\", or set encryption.seal = \"off\"";

fn check_inline(section: &Section<'_>, key: &Secret, at: &Origin, seal: Seal) {
    let mistake = |message: String| section.mistake(Mistake::across(at, "encryption.keyring", message));
    if let Some(wrong) = key_mistake(key.expose()) {
        section.mistake(Mistake::new(at, "encrypt_key", wrong));
    }
    if section.is_set("keyring") {
        mistake("a key in the clear cannot be used with encryption.keyring; remove one".to_owned());
    }
    if seal == Seal::Off {
        mistake("a key cannot be used with encryption.seal = \"off\"; remove one".to_owned());
    }
}

/// What is wrong with a key in base64; never the key itself.
fn key_mistake(key: &str) -> Option<String> {
    match STANDARD.decode(key).map(zeroize::Zeroizing::new) {
        Ok(bytes) if [16, 24, 32].contains(&bytes.len()) => None,
        Ok(bytes) => Some(format!(
            "key must be 16, 24 or 32 bytes in base64, this one has {}; 'weir keygen' makes one",
            bytes.len()
        )),
        Err(_) => {
            Some("key must be 16, 24 or 32 bytes in base64, this is not base64; 'weir keygen' makes one".to_owned())
        }
    }
}
