//! The name of an upstream: what `[upstream.NAME]` configures, whose servers are probed, and whose block NGINX reads.

use std::fmt;
use std::sync::Arc;

/// The name of an upstream, of NGINX's block and of its shared memory zone: letters, digits, `_` and `-`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct UpstreamName(Arc<str>);

impl UpstreamName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `None` if `name` is empty, longer than [`Self::MAX_BYTES`] or has other characters.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        (fits && plain).then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UpstreamName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| format!("{name:?} is no upstream name; use letters, digits, _ and -"))
    }
}

impl From<UpstreamName> for String {
    fn from(name: UpstreamName) -> Self {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_nothing_that_nginx_would_read_as_syntax() {
        for good in ["web", "web-2", "WEB_x", "0"] {
            assert!(UpstreamName::new(good).is_some(), "{good}");
        }
        for bad in ["", "web x", "web;", "web$x", "wéb", "../web", "web{", &"x".repeat(65)] {
            assert!(UpstreamName::new(bad).is_none(), "{bad}");
        }
    }
}
