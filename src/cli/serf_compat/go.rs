//! How Go prints values: quoted strings and the `%#v` of `serf monitor`'s records.

use std::fmt::Write as _;

use crate::config::duration::{self, NotGo};

/// `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c.is_ascii() && c.is_control() => put(&mut out, format_args!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                put(&mut out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// `time.ParseDuration`'s error, if there is one.
pub(super) fn duration_error(text: &str) -> Option<String> {
    let whole = quote(text);
    match duration::parse_go(text) {
        Ok(_) | Err(NotGo::Negative) => None,
        Err(NotGo::Invalid) => Some(format!("time: invalid duration {whole}")),
        Err(NotGo::MissingUnit) => Some(format!("time: missing unit in duration {whole}")),
        Err(NotGo::UnknownUnit(unit)) => Some(format!("time: unknown unit {} in duration {whole}", quote(&unit))),
    }
}

/// A number as Go's decoder leaves it: small ones signed, the rest unsigned and therefore in hexadecimal.
pub(super) fn number(value: u64) -> String {
    if value < 0x80 { value.to_string() } else { format!("{value:#x}") }
}

/// A byte string; `name` is `byte` at the top and `uint8` inside another value. Nothing is `<nil>`.
pub(super) fn bytes(name: &str, value: &[u8]) -> String {
    if value.is_empty() {
        return "<nil>".to_owned();
    }
    let items: Vec<String> = value.iter().map(|byte| format!("{byte:#x}")).collect();
    format!("[]{name}{{{}}}", items.join(", "))
}

/// Appends to a string, which cannot fail.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_go_prints_them() {
        assert_eq!(quote("a\tb\"\\\u{1}ü\u{85}"), "\"a\\tb\\\"\\\\\\x01ü\\u0085\"");
        assert_eq!(number(2), "2");
        assert_eq!(number(7946), "0x1f0a");
        assert_eq!(bytes("byte", b"b"), "[]byte{0x62}");
        assert_eq!(bytes("uint8", &[0x7f, 0x3d, 0, 1]), "[]uint8{0x7f, 0x3d, 0x0, 0x1}");
        assert_eq!(bytes("byte", b""), "<nil>");
    }
}
