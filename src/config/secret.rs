//! Where keys and tokens come from. TOML names places only; the one value it never holds is a secret (`ux §1.1`).

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

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

/// Where a keyring or token is read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A systemd credential of this name; read-only.
    Credential(String),
    /// Given in the clear; held in memory only.
    Inline(Secret),
}

/// A [`SecretSource`] as TOML names it; empty is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place(pub(crate) Option<SecretSource>);

impl Text for Place {
    const WANTED: &'static str = "a path, or \"credential:NAME\"";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let Some(name) = text.strip_prefix("credential:") else {
            return PathBuf::parse(text).map(|path| Self(Some(SecretSource::File(path))));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(
                "is not a credential; write \"credential:NAME\" with the name that LoadCredential= gives it".to_owned()
            );
        }
        Ok(Self(Some(SecretSource::Credential(name.to_owned()))))
    }

    fn text(&self) -> String {
        match &self.0 {
            None => String::new(),
            Some(SecretSource::File(path)) => path.text(),
            Some(SecretSource::Credential(name)) => format!("credential:{name}"),
            Some(SecretSource::Inline(_)) => HIDDEN.to_owned(),
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
        assert_eq!(Place(Some(secret)).text(), "(hidden)");
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
            assert_eq!(Place::parse(text).is_ok_and(|place| place.text() == text), right, "{text}");
        }
    }
}
