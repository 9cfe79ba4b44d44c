//! What is configured about one upstream, as far as choosing servers goes.

use std::fmt;
use std::sync::Arc;

use regex::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Allow, Flap, Probe, SlowStart, UpstreamName};
use crate::serf::filter::{self, ExpressionError};
use crate::wire::serf::Tags;

/// `[upstream.NAME]` without what only NGINX's file needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The table's name.
    pub name: UpstreamName,
    /// All must match. Never empty in a checked configuration; empty selects nobody.
    pub select: Vec<(String, TagPattern)>,
    /// Addresses that may become servers.
    pub allow: Allow,
    /// Where the port comes from.
    pub port: PortRule,
    /// Where the weight comes from.
    pub weight: WeightRule,
    /// Whether a server is only a backup.
    pub backup: Rule<bool>,
    /// Most connections at a time; 0 means no limit.
    pub max_conns: Rule<u32>,
    /// Whether this balancer probes its servers: who has no verdict yet waits for the first one.
    pub probed: bool,
    /// Whether its servers may speak UDP, so that a port which is shut to TCP says nothing against them.
    pub may_be_udp: bool,
    /// Its balancing method decides whether the place of a line matters.
    pub method: Method,
    /// How a new server starts.
    pub slow_start: SlowStart,
    /// Whether this node may be a server of its own upstream: a proxy loop, unless its site passes requests on elsewhere.
    pub allow_self: bool,
    /// What a state means.
    pub policy: Policy,
}

impl Options {
    /// Everything at its default (`ux §1.2`).
    pub fn new(name: UpstreamName, select: Vec<(String, TagPattern)>) -> Self {
        Self {
            name,
            select,
            allow: Allow::default(),
            port: PortRule::default(),
            weight: WeightRule::default(),
            backup: Rule::tag("backup", false),
            max_conns: Rule::tag("max_conns", 0),
            probed: false,
            may_be_udp: false,
            method: Method::RoundRobin,
            slow_start: SlowStart::default(),
            allow_self: false,
            policy: Policy::default(),
        }
    }

    /// What probes say of a server that was not probed yet.
    pub(super) fn unprobed(&self) -> Probe {
        if self.probed { Probe::Wait } else { Probe::None }
    }
}

/// A regular expression that a tag's whole value must match.
#[derive(Clone, Debug)]
pub struct TagPattern {
    source: String,
    regex: Regex,
}

impl TagPattern {
    /// Compiles `pattern`, in Go's syntax as everywhere, anchored at both ends.
    pub fn new(pattern: &str) -> Result<Self, ExpressionError> {
        Ok(Self { regex: filter::compile_whole(pattern)?, source: format!("^(?:{pattern})$") })
    }

    /// Whether all of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

/// The pattern with its anchors, as `explain` shows it.
impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A value that is fixed, or read from a tag with a default for members without it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rule<T> {
    /// The same for all.
    Fixed(T),
    /// From the member's tag.
    Tag {
        /// Its name.
        tag: String,
        /// For members without the tag.
        default: T,
    },
}

impl<T: Copy> Rule<T> {
    /// From `tag`, else `default`.
    pub fn tag(tag: &str, default: T) -> Self {
        Self::Tag { tag: tag.to_owned(), default }
    }

    /// The tag's name and text if there is one, else the value.
    pub(crate) fn read<'a>(&'a self, tags: &'a Tags) -> Result<T, (&'a str, &'a str, T)> {
        match self {
            Self::Fixed(value) => Ok(*value),
            Self::Tag { tag, default } => match tags.get(tag) {
                Some(text) => Err((tag, text, *default)),
                None => Ok(*default),
            },
        }
    }
}

/// Where the port comes from. A value outside the limits leaves the server out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortRule {
    /// Fixed or by tag.
    pub rule: Rule<u16>,
    /// Lowest port that may be used, at least 1.
    pub min: u16,
    /// Highest port that may be used.
    pub max: u16,
}

impl Default for PortRule {
    fn default() -> Self {
        Self { rule: Rule::tag("port", 80), min: 1, max: u16::MAX }
    }
}

/// Where the weight comes from: 0 means down, above `max` means `max`, no number means the default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WeightRule {
    /// Fixed or by tag.
    pub rule: Rule<u32>,
    /// Highest weight before reduction.
    pub max: u32,
}

impl Default for WeightRule {
    fn default() -> Self {
        Self { rule: Rule::tag("weight", 1), max: 256 }
    }
}

/// How NGINX balances.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Method {
    /// Weighted round robin.
    #[default]
    RoundRobin,
    /// Fewest connections.
    LeastConn,
    /// One of two drawn at random.
    RandomTwo,
    /// The less busy of two drawn at random.
    RandomTwoLeastConn,
    /// By the client's address.
    IpHash,
    /// By a key.
    Hash {
        /// What is hashed.
        key: HashKey,
        /// Ketama: a removed server moves only its own keys.
        consistent: bool,
    },
}

impl Method {
    /// Whether the place of a line decides which keys it serves, so that a removed server's place must be kept (`nginx §5`).
    pub fn is_positional(&self) -> bool {
        match self {
            Self::RoundRobin | Self::LeastConn | Self::RandomTwo | Self::RandomTwoLeastConn => false,
            Self::IpHash => true,
            Self::Hash { consistent, .. } => !consistent,
        }
    }

    /// Whether NGINX accepts `backup` servers with it.
    pub fn allows_backup(&self) -> bool {
        match self {
            Self::RoundRobin | Self::LeastConn => true,
            Self::RandomTwo | Self::RandomTwoLeastConn | Self::IpHash | Self::Hash { .. } => false,
        }
    }
}

/// What `hash` hashes: NGINX variables and plain text, without characters that have a meaning in NGINX's syntax.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HashKey(Arc<str>);

impl HashKey {
    /// Longest key, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// `None` if empty, too long, without a variable (all requests would go to one server), or with a character other than letters, digits and `$_.:/-`.
    pub fn new(key: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&key.len());
        let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"$_.:/-".contains(&b));
        let varies = key.split('$').skip(1).any(|after| !after.is_empty());
        let named =
            key.split('$').skip(1).all(|after| after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        (fits && plain && varies && named).then(|| Self(key.into()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[upstream.NAME.policy]`: what a state means.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// What a warning does.
    pub warning: Warning,
    /// What happens to a failed member whose service still answers.
    pub agent_lost: AgentLost,
    /// What becomes of requests that wait for a server which both witnesses hold dead.
    pub on_dead: OnDead,
    /// Turned off, new members are in before their first success.
    pub no_warm_up: bool,
    /// What is left when nobody is.
    pub on_empty: OnEmpty,
    /// Fewer in than this is mode floor.
    pub min_healthy: MinHealthy,
    /// When a member changes too often.
    pub flap: Flap,
}

/// What a member that warns gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Warning {
    /// Its full weight.
    In,
    /// Half its weight, at least 1.
    #[default]
    Half,
    /// Nothing.
    Down,
}

/// What a failed member gets whose service still answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AgentLost {
    /// It stays while probes pass.
    #[default]
    Probe,
    /// It goes.
    Gone,
}

/// What becomes of requests that wait for a server which both witnesses hold dead (`protocols D.4`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnDead {
    /// They are cut from it, so that NGINX tries them elsewhere.
    #[default]
    Retry,
    /// They wait as long as the site lets them.
    Wait,
}

/// What NGINX gets when nobody is in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnEmpty {
    /// The last servers.
    #[default]
    Keep,
    /// A placeholder that answers 502.
    Error,
}

/// How many of the selected members must be in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MinHealthy {
    /// Of a hundred, rounded up.
    Percent(u8),
    /// So many, at most all of them.
    Count(u32),
}

impl Default for MinHealthy {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl MinHealthy {
    /// Whether it is a count of more than all of `base` members: then none of them may be missing.
    pub fn exceeds(self, base: usize) -> bool {
        match self {
            Self::Percent(_) => false,
            Self::Count(count) => usize::try_from(count).is_ok_and(|count| count > base),
        }
    }

    /// The floor for `base` members; never below 1 (`protocols D.3`).
    pub fn floor(self, base: usize) -> usize {
        let wanted = match self {
            Self::Percent(percent) => (base * usize::from(percent)).div_ceil(100),
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        wanted.min(base).max(1)
    }
}

/// `"50%"` or `2`, as it is written in the configuration.
impl Serialize for MinHealthy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
            Self::Count(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for MinHealthy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Count(u32),
            Share(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Count(count) => Ok(Self::Count(count)),
            Written::Share(share) => share
                .strip_suffix('%')
                .and_then(|percent| percent.parse().ok())
                .map(Self::Percent)
                .ok_or_else(|| D::Error::custom("is no share")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_nothing_that_nginx_would_read_as_syntax() {
        for good in ["$request_uri", "$remote_addr$host", "$cookie_id:x", "a/$arg_b.c-d"] {
            assert!(HashKey::new(good).is_some(), "{good}");
        }
        for bad in ["", "$", "abc", "$a$", "$$a", "$a b", "$a;", "${a}", "$a\"", "$a#", "$a\n", "$a\\"] {
            assert!(HashKey::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_anchored_even_with_alternatives() {
        let pattern = TagPattern::new("web|api").unwrap();
        assert!(pattern.matches("web") && pattern.matches("api"));
        assert!(!pattern.matches("web2") && !pattern.matches("my-api") && !pattern.matches("web\n"));
        assert_eq!(pattern.to_string(), "^(?:web|api)$");
        assert!(TagPattern::new("web)|(?:.*").is_err());
    }

    #[test]
    fn a_pattern_is_read_as_serf_reads_expressions() {
        // Digits are ASCII, a brace is itself, and a quoted part has no syntax.
        assert!(!TagPattern::new(r"\d").unwrap().matches("\u{664}"));
        assert!(TagPattern::new("a{b").unwrap().matches("a{b"));
        let quoted = TagPattern::new(r"\Qa.b\E.").unwrap();
        assert!(quoted.matches("a.b!") && !quoted.matches("axb!"));
        assert_eq!(quoted.to_string(), r"^(?:\Qa.b\E.)$");
    }

    #[test]
    fn the_floor_is_rounded_up_and_never_zero() {
        assert!(
            MinHealthy::Count(3).exceeds(2) && !MinHealthy::Count(2).exceeds(2) && !MinHealthy::Percent(100).exceeds(0)
        );
        for (wanted, json) in [(MinHealthy::Percent(50), "\"50%\""), (MinHealthy::Count(50), "50")] {
            assert_eq!(serde_json::to_string(&wanted).unwrap(), json);
            assert_eq!(serde_json::from_str::<MinHealthy>(json).unwrap(), wanted);
        }
        // min_healthy                 base  floor
        for (min, base, floor) in [
            (MinHealthy::Percent(50), 0, 1),
            (MinHealthy::Percent(50), 1, 1),
            (MinHealthy::Percent(50), 2, 1),
            (MinHealthy::Percent(50), 3, 2),
            (MinHealthy::Percent(0), 9, 1),
            (MinHealthy::Percent(100), 9, 9),
            (MinHealthy::Percent(1), 101, 2),
            (MinHealthy::Count(0), 9, 1),
            (MinHealthy::Count(3), 9, 3),
            (MinHealthy::Count(3), 2, 2),
            (MinHealthy::Count(3), 0, 1),
        ] {
            assert_eq!(min.floor(base), floor, "{min:?} of {base}");
        }
    }

    #[test]
    fn only_modulo_methods_depend_on_places() {
        let hash = |consistent| Method::Hash { key: HashKey::new("$request_uri").unwrap(), consistent };
        assert!(hash(false).is_positional() && Method::IpHash.is_positional());
        assert!(!hash(true).is_positional() && !Method::RoundRobin.is_positional());
        assert!(Method::LeastConn.allows_backup() && !Method::RandomTwo.allows_backup() && !hash(true).allows_backup());
    }
}
