//! Where keys and tokens come from. TOML names places only; the one value it never holds is a secret (`ux §1.1`).

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::error::Trouble;

use super::value::Text;

/// A key or token that came on the command line or in Serf's JSON. Nothing prints it, and it is wiped when dropped.
#[derive(Clone, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Where a secret is read from; a `T` if it was given in the clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource<T> {
    /// A file.
    File(PathBuf),
    /// A systemd credential of this name; read-only.
    Credential(String),
    /// Given in the clear; held in memory only.
    Inline(T),
}

/// A place as TOML names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SecretRef {
    /// Nothing is named.
    Nowhere,
    File(PathBuf),
    Credential(String),
}

impl SecretRef {
    /// The source, if one is named.
    pub(crate) fn source<T>(self) -> Option<SecretSource<T>> {
        match self {
            Self::Nowhere => None,
            Self::File(path) => Some(SecretSource::File(path)),
            Self::Credential(name) => Some(SecretSource::Credential(name)),
        }
    }
}

impl Text for SecretRef {
    const WANTED: &'static str = "a path, or \"credential:NAME\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() {
            return Ok(Self::Nowhere);
        }
        let Some(name) = text.strip_prefix("credential:") else {
            return PathBuf::parse(text).map(Self::File);
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let way_out = "write \"credential:NAME\" with the name that LoadCredential= gives it";
            return Err(Trouble::new("is not a credential", way_out));
        }
        Ok(Self::Credential(name.to_owned()))
    }

    fn text(&self) -> String {
        match self {
            Self::Nowhere => String::new(),
            Self::File(path) => path.text(),
            Self::Credential(name) => format!("credential:{name}"),
        }
    }
}

/// What is shown in a secret's place.
pub(crate) const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug() {
        let secret = SecretSource::Inline(Secret::new("c2VjcmV0".to_owned()));
        assert_eq!(format!("{secret:?}"), "Inline(Secret(hidden))");
    }

    #[test]
    fn a_place_is_a_path_or_a_credential() {
        for (text, right) in [
            ("/var/lib/weir/keyring.json", true),
            ("keyring.json", true),
            ("", true),
            ("credential:weir.key", true),
            ("credential:", false),
            ("credential:../x", false),
            ("credential:.x", false),
            ("a\0b", false),
        ] {
            assert_eq!(SecretRef::parse(text).is_ok_and(|place| place.text() == text), right, "{text}");
        }
    }
}
