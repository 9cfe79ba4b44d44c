//! Text from peers, made safe for a terminal and for one line.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with what could move a cursor, end a line or turn its direction round shown as an escape: `\t`, `\n`, `\x1b`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    text.chars().for_each(|c| push(&mut out, c));
    Cow::Owned(out)
}

/// Appends one character of an [`escape`]d text.
pub(crate) fn push(out: &mut String, c: char) {
    match c {
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if is_unsafe(c) && c.is_ascii() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c)); // writing to a String cannot fail
        }
        c if is_unsafe(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // writing to a String cannot fail
        }
        c => out.push(c),
    }
}

/// As [`escape`], for bytes that need not be UTF-8.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    escape(&String::from_utf8_lossy(bytes)).into_owned()
}

/// Control characters, line and paragraph separators, and the marks that reorder what follows them.
pub(crate) const fn is_unsafe(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_other_text_stays() {
        for (text, shown) in [
            ("web1", "web1"),
            ("a\tb", "a\\tb"),
            ("two\nlines\r", "two\\nlines\\r"),
            ("\x1b[2J", "\\x1b[2J"),
            ("nul\0", "nul\\x00"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
            ("grüße 東京", "grüße 東京"),
        ] {
            assert_eq!(escape(text), shown);
        }
        assert_eq!(escape_bytes(b"\xff\n"), "\u{fffd}\\n");
    }
}
