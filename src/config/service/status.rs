//! Which statuses of HTTP are right.

use std::fmt;
use std::ops::RangeInclusive;

use crate::config::value::Text;
use crate::error::Trouble;

/// Statuses, as ranges: `200-399`, or `200-299, 404`. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

impl StatusSet {
    /// Most ranges.
    const MAX_RANGES: usize = 32;

    /// Success, and redirects.
    pub(super) fn usual() -> Self {
        Self(vec![200..=399])
    }

    /// Whether it holds `status`.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    fn range(text: &str) -> Option<RangeInclusive<u16>> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|digit| digit.is_ascii_digit());
            text.parse().ok().filter(|status| digits && (100..=599).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (status(first.trim())?, status(last.trim())?);
        (first <= last).then_some(first..=last)
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match (range.start(), range.end()) {
                (one, other) if one == other => write!(f, "{comma}{one}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl Text for StatusSet {
    const WANTED: &'static str = "statuses of HTTP, \"200-399\" or \"200-299, 404\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let ranges: Option<Vec<_>> = text.split(',').map(|part| Self::range(part.trim())).collect();
        ranges
            .filter(|ranges| ranges.len() <= Self::MAX_RANGES)
            .map(Self)
            .ok_or_else(|| Trouble::new("is not a set of statuses", format!("write {}", Self::WANTED)))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_codes_and_ranges() {
        for (text, shown, holds, lacks) in [
            ("200-399", "200-399", 302, 400),
            ("200", "200", 200, 201),
            ("200-299,404", "200-299, 404", 404, 403),
            (" 204 , 500 - 503 ", "204, 500-503", 501, 504),
            ("599", "599", 599, 598),
            ("100", "100", 100, 101),
        ] {
            let set = StatusSet::parse(text).unwrap();
            assert_eq!(set.text(), shown);
            assert!(set.contains(holds) && !set.contains(lacks), "{text}");
        }
        for text in ["", ",", "200,", "2xx", "99", "600", "0200", "299-200", "-200", "200-", "+200", "200-300-400"] {
            assert!(StatusSet::parse(text).is_err(), "{text}");
        }
        let many = vec!["200"; 33].join(",");
        assert!(StatusSet::parse(&many).is_err());
    }
}
