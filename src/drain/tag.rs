//! The tag `weir_drain` (`protocols A.1`).

use std::fmt;

use super::DrainId;
use crate::escape::escape;
use crate::upstream::Rank;
use crate::wire::serf::{LamportTime, Tags};

/// What a node says of itself while it drains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DrainTag {
    /// This drain of it.
    pub id: DrainId,
    /// When it was asked for first.
    pub rank: Rank,
}

impl DrainTag {
    /// The tag's name.
    pub const NAME: &str = "weir_drain";

    /// One of ours.
    pub fn new(id: DrainId, since: LamportTime) -> Self {
        Self { id, rank: Rank::Since(since) }
    }

    /// Of a tag's value; `None` if that is empty. What is not `ID RANKTIME` is an operator's word on a plain Serf agent: all of it
    /// is the id, and its turn comes last. No value is no drain for being odd: it concerns nobody but its own node.
    pub fn parse(value: &str) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        Self::ours(value).or_else(|| {
            let shown = escape(value);
            let end = (0..=shown.len().min(DrainId::MAX_BYTES)).rev().find(|end| shown.is_char_boundary(*end))?;
            Some(Self { id: DrainId::new(&shown[..end])?, rank: Rank::Last })
        })
    }

    /// Of all tags of a node.
    pub fn of(tags: &Tags) -> Option<Self> {
        tags.get(Self::NAME).and_then(|value| Self::parse(value))
    }

    fn ours(value: &str) -> Option<Self> {
        let (id, time) = value.split_once(' ')?;
        let is_plain = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        let since = LamportTime(time.parse().ok().filter(|_| is_plain)?);
        (id.len() == DrainId::DIGITS && id.bytes().all(is_digit)).then_some(())?;
        Some(Self::new(DrainId::new(id)?, since))
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// The tag's value.
impl fmt::Display for DrainTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rank {
            Rank::Since(time) => write!(f, "{} {}", self.id, time.get()),
            Rank::Last => self.id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_of_ours_or_an_operators_word() {
        let long = "ü".repeat(DrainId::MAX_BYTES);
        // value, id, time of the rank
        for (value, id, time) in [
            ("5d3e01aa 17", "5d3e01aa", Some(17)),
            ("5d3e01aa 0", "5d3e01aa", Some(0)),
            ("5d3e01aa 18446744073709551615", "5d3e01aa", Some(u64::MAX)),
            ("5d3e01aa 18446744073709551616", "5d3e01aa 18446744073709551616", None),
            ("5d3e01aa +17", "5d3e01aa +17", None),
            ("5d3e01aa 17 ", "5d3e01aa 17 ", None),
            ("5d3e01aa  17", "5d3e01aa  17", None),
            ("5d3e01aa", "5d3e01aa", None),
            ("5D3E01AA 17", "5D3E01AA 17", None),
            ("5d3e01a 17", "5d3e01a 17", None),
            ("1", "1", None),
            ("\u{1b}[2J", "\\x1b[2J", None),
            (&long, &long[..DrainId::MAX_BYTES], None),
        ] {
            let tag = DrainTag::parse(value).unwrap();
            let rank = time.map_or(Rank::Last, |time| Rank::Since(LamportTime(time)));
            assert_eq!((tag.id.as_str(), tag.rank), (id, rank), "{value}");
            assert_eq!(DrainTag::parse(&tag.to_string()), Some(tag), "{value}");
        }
        assert_eq!(DrainTag::parse(""), None);
        assert_eq!(DrainTag::of(&Tags::new()), None);
    }

    #[test]
    fn ours_fits_in_what_the_configuration_keeps_free() {
        let tag = DrainTag::new(DrainId::new("5d3e01aa").unwrap(), LamportTime::MAX);
        let with: Tags = [(DrainTag::NAME.to_owned(), tag.to_string()), ("weir_lb".to_owned(), "1".to_owned())].into();
        let without = crate::wire::serf::encode_tags(&Tags::new()).len();
        assert!(crate::wire::serf::encode_tags(&with).len() - without <= 60);
    }
}
