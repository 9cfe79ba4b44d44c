//! How a document is read that comes from the other side of the socket: bounded, and its version looked at before anything else.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::escape::escape;

/// Why something is not the document that was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Unread {
    /// Larger than such a document may be.
    TooLarge,
    /// Written by another version of weir.
    Version(u32),
    /// Damaged, or nothing of the kind.
    Malformed(String),
}

/// Reads a document of version `ours`, of at most `max` bytes.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], max: usize, ours: u32) -> Result<T, Unread> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    if bytes.len() > max {
        return Err(Unread::TooLarge);
    }
    let malformed = |error: serde_json::Error| Unread::Malformed(brief(&error.to_string()));
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    if head.version != ours {
        return Err(Unread::Version(head.version));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

/// What a reader said, which may quote the document: harmless for a terminal, and no longer than a line.
fn brief(text: &str) -> String {
    const LONGEST: usize = 160;
    let text = escape(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
