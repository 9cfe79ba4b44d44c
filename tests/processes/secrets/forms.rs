//! Every way in which a secret may be written down.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A secret by a name that may be told.
#[derive(Clone)]
pub(crate) struct Secret {
    name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Secret {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = bytes.iter().map(u8::to_string).collect();
        let forms = vec![
            ("bytes", bytes.to_vec()),
            ("base64", STANDARD.encode(bytes).into_bytes()),
            ("base64 without padding", STANDARD_NO_PAD.encode(bytes).into_bytes()),
            ("base64 for URLs", URL_SAFE.encode(bytes).into_bytes()),
            ("base64 for URLs without padding", URL_SAFE_NO_PAD.encode(bytes).into_bytes()),
            ("HEX", hex.to_uppercase().into_bytes()),
            ("hex", hex.into_bytes()),
            ("a list", list.join(", ").into_bytes()),
            // As `Bytes` shows them, quotes apart.
            ("escaped bytes", bytes.escape_ascii().to_string().into_bytes()),
        ];
        Self { name: name.to_owned(), forms }
    }

    pub(crate) fn key(name: &str, base64: &str) -> Self {
        Self::new(name, &STANDARD.decode(base64).unwrap())
    }

    /// Words that must not be told as they are.
    pub(crate) fn text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), forms: vec![("text", text.as_bytes().to_vec())] }
    }

    /// The forms in which it stands in `haystack`.
    pub(crate) fn found_in(&self, haystack: &[u8]) -> Vec<String> {
        let found = self.forms.iter().filter(|(_, form)| contains(haystack, form));
        found.map(|(how, _)| format!("{} as {how}", self.name)).collect()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_is_looked_for_is_found() {
    let secret = Secret::new("k", &[0xfb, 0xef, 0xbe, 0x01]);
    for (text, found) in [
        (&b"x\xfb\xef\xbe\x01"[..], 1),
        (b"--++++AQ==", 2),
        (b"----AQ", 1),
        (b"fbefbe01", 1),
        (b"FBEFBE01", 1),
        (b"[251, 239, 190, 1]", 1),
        (b"b\"\\xfb\\xef\\xbe\\x01\"", 1),
        (b"fbefbe", 0),
    ] {
        assert_eq!(secret.found_in(text).len(), found, "{}", text.escape_ascii());
    }
}
