//! Upstreams that an operator has frozen, and the words of an operator.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::UpstreamName;
use super::desired::{Desired, each_once};
use crate::escape::is_unsafe;

/// Why an operator did something, in one line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// Longest, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is no [`Reason`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a reason has 1 to {} bytes and no control characters", Reason::MAX_BYTES)]
pub struct NotAReason;

impl TryFrom<String> for Reason {
    type Error = NotAReason;

    fn try_from(text: String) -> Result<Self, NotAReason> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(is_unsafe);
        if fits { Ok(Self(text)) } else { Err(NotAReason) }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That an upstream keeps its servers until it is released.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why, if the operator said so.
    pub reason: Option<Reason>,
}

/// Every upstream that is held, at most as many as a document has room for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Holds(#[serde(deserialize_with = "holds")] BTreeMap<UpstreamName, Hold>);

impl Holds {
    /// Most upstreams held at a time.
    pub const MAX: usize = Desired::MAX_UPSTREAMS;

    /// Holds `upstream`. `false`, and nothing is different, if it was held already or there is no room.
    pub fn hold(&mut self, upstream: UpstreamName, hold: Hold) -> bool {
        let is_new = !self.0.contains_key(&upstream) && self.0.len() < Self::MAX;
        if is_new {
            self.0.insert(upstream, hold);
        }
        is_new
    }

    /// Takes a newer reason for holding `upstream`. Whether that is another one; never of one that is not held.
    pub fn explain(&mut self, upstream: &UpstreamName, reason: Option<&Reason>) -> bool {
        let (Some(reason), Some(hold)) = (reason, self.0.get_mut(upstream)) else { return false };
        hold.reason.replace(reason.clone()).as_ref() != Some(reason)
    }

    /// Releases `upstream`, and says how it was held.
    pub fn release(&mut self, upstream: &UpstreamName) -> Option<Hold> {
        self.0.remove(upstream)
    }

    /// How `upstream` is held, if it is.
    pub fn get(&self, upstream: &UpstreamName) -> Option<&Hold> {
        self.0.get(upstream)
    }

    /// Those that `before` has not.
    pub fn beyond(&self, before: &Self) -> Self {
        let is_new = |(name, _): &(&UpstreamName, &Hold)| before.get(name).is_none();
        Self(self.0.iter().filter(is_new).map(|(name, hold)| (name.clone(), hold.clone())).collect())
    }

    /// Those that `before` has for another reason.
    pub fn explained_since(&self, before: &Self) -> Self {
        let is_other =
            |(name, hold): &(&UpstreamName, &Hold)| before.get(name).is_some_and(|before| before.reason != hold.reason);
        Self(self.0.iter().filter(is_other).map(|(name, hold)| (name.clone(), hold.clone())).collect())
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&UpstreamName, &Hold)> {
        self.0.iter()
    }

    /// How many more can be held.
    pub fn room(&self) -> usize {
        Self::MAX.saturating_sub(self.0.len())
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn holds<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<UpstreamName, Hold>, D::Error> {
    each_once(from, Holds::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        let long = "x".repeat(Reason::MAX_BYTES + 1);
        for (text, fits) in [
            ("the probe misjudges", true),
            (&long[1..], true),
            ("", false),
            (&long, false),
            ("two\nlines", false),
            ("\u{202e}backwards", false),
        ] {
            assert_eq!(Reason::try_from(text.to_owned()).is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn holds_read_back_and_each_upstream_is_held_once() {
        let name = |name: &str| UpstreamName::new(name).unwrap();
        let hold = |since| Hold { since, reason: Reason::try_from("kernel".to_owned()).ok() };
        let mut holds = Holds::default();
        assert!(holds.hold(name("web"), hold(7)) && !holds.hold(name("web"), hold(8)));
        let json = r#"{"web":{"since":7,"reason":"kernel"}}"#;
        assert_eq!(serde_json::to_string(&holds).unwrap(), json);
        assert_eq!(serde_json::from_str::<Holds>(json).unwrap(), holds);
        let web = r#""web":{"since":7,"reason":null}"#;
        let twice = serde_json::from_str::<Holds>(&format!("{{{web},{web}}}")).unwrap_err();
        assert!(twice.to_string().contains("web is listed twice"), "{twice}");
        let entry = |number| format!(r#""u{number}":{{"since":1,"reason":null}}"#);
        let many: Vec<String> = (0..=Holds::MAX).map(entry).collect();
        let many = serde_json::from_str::<Holds>(&format!("{{{}}}", many.join(","))).unwrap_err();
        assert!(many.to_string().contains("more than 256 upstreams"), "{many}");
        let before = holds.clone();
        assert!(holds.hold(name("api"), hold(9)));
        assert_eq!(
            serde_json::to_string(&holds.beyond(&before)).unwrap(),
            json.replace("web", "api").replace('7', "9")
        );
        assert!(before.beyond(&holds).is_empty());
        let newer = Reason::try_from("another".to_owned()).unwrap();
        assert!(!holds.explain(&name("web"), None) && !holds.explain(&name("db"), Some(&newer)));
        assert!(holds.explain(&name("api"), Some(&newer)) && !holds.explain(&name("api"), Some(&newer)));
        assert_eq!(holds.get(&name("api")), Some(&Hold { since: 9, reason: Some(newer) }), "since then");
        assert!(holds.explain(&name("web"), Some(&Reason("new".to_owned()))));
        assert!(holds.explained_since(&before).iter().map(|(name, _)| name.as_str()).eq(["web"]), "api is new");
        assert!(
            holds.explain(&name("api"), hold(9).reason.as_ref())
                && holds.explain(&name("web"), hold(7).reason.as_ref())
        );
        assert_eq!(holds.release(&name("api")), Some(hold(9)));
        assert_eq!(holds.release(&name("web")), Some(hold(7)));
        assert!(holds.is_empty());
    }
}
