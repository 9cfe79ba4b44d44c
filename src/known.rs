//! Words of documents, to which a later version may add: whoever reads one that it does not know still reads the rest.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

/// A word of a fixed list, or one that only a newer program knows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Known<T> {
    Word(T),
    Newer(String),
}

impl<T> Known<T> {
    /// The word, if this program knows it.
    pub fn word(&self) -> Option<&T> {
        match self {
            Self::Word(word) => Some(word),
            Self::Newer(_) => None,
        }
    }
}

impl<T: for<'de> Deserialize<'de>> Known<T> {
    /// The word as it is written.
    pub fn named(word: &str) -> Self {
        let known = T::deserialize(IntoDeserializer::<Error>::into_deserializer(word));
        known.map_or_else(|_| Self::Newer(word.to_owned()), Self::Word)
    }
}

impl<T: PartialEq> Known<T> {
    /// Whether it is this word.
    pub fn is(&self, word: &T) -> bool {
        self.word() == Some(word)
    }
}

impl<T> From<T> for Known<T> {
    fn from(word: T) -> Self {
        Self::Word(word)
    }
}

impl<T: Default> Default for Known<T> {
    fn default() -> Self {
        Self::Word(T::default())
    }
}

impl<T: fmt::Display> fmt::Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => word.fmt(f),
            Self::Newer(word) => unknown(f, word),
        }
    }
}

/// A word that only a newer program knows, as everything shows it.
pub(crate) fn unknown(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    write!(f, "unknown ({word})")
}
