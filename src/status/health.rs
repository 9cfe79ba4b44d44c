//! What a node knows of the health of others: the answer to `weir health`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Known;
use crate::health::State;
use crate::health::query::{Check, Source};
use crate::serf::Status;

/// Everybody who has not left.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MembersHealth {
    /// By name.
    pub members: Vec<MemberHealth>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct MemberHealth {
    pub name: String,
    /// By gossip; of one that is not alive, its health is its last word.
    pub status: Option<Known<Status>>,
    pub health: Known<Check>,
    /// From what that is known.
    pub source: Known<Source>,
    /// Since when its health is what it is; `None` where it is not watched.
    pub since: Option<String>,
    /// What it said last, of no single check.
    pub output: String,
    /// Those that it told of.
    pub checks: Vec<CheckHealth>,
}

/// One check.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CheckHealth {
    pub name: String,
    /// What it checks by; `None` of another node's.
    pub kind: Option<String>,
    pub state: Known<State>,
    /// Of this node's: since when it is in that state.
    pub since: Option<String>,
    pub output: String,
}

/// `site: connection refused`; of a node that names no check its words alone.
impl fmt::Display for CheckHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.name.as_str(), self.output.as_str()].into_iter().filter(|part| !part.is_empty());
        f.write_str(&parts.collect::<Vec<_>>().join(": "))
    }
}

impl MemberHealth {
    /// The check that speaks against it, in its own words; `None` where none does, or its words are older than its tag.
    pub fn complaint(&self) -> Option<CheckHealth> {
        let state = match self.health.word()? {
            Check::Warning => State::Warning,
            Check::Critical => State::Critical,
            Check::Passing | Check::Silent | Check::Wait | Check::None => return None,
        };
        if !self.source.is(&Source::Answer) {
            return None;
        }
        let told = CheckHealth { state: state.into(), output: self.output.clone(), ..CheckHealth::default() };
        Some(self.checks.first().cloned().unwrap_or(told)).filter(|check| *check.to_string() != *"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_the_check_that_speaks_in_its_own_words() {
        let site = CheckHealth { name: "site".into(), output: "status 500".into(), ..CheckHealth::default() };
        let of = |health: Check, source: Source, checks: &[CheckHealth], output: &str| {
            let member = MemberHealth {
                health: health.into(),
                source: source.into(),
                checks: checks.to_vec(),
                output: output.to_owned(),
                ..MemberHealth::default()
            };
            member.complaint().map(|check| check.to_string())
        };
        let site = std::slice::from_ref(&site);
        assert_eq!(of(Check::Critical, Source::Answer, site, "").as_deref(), Some("site: status 500"));
        assert_eq!(of(Check::Warning, Source::Answer, &[], "disk 91 %").as_deref(), Some("disk 91 %"), "a plain serf");
        for (health, source, output) in [
            (Check::Passing, Source::Answer, "2 checks"),
            (Check::Critical, Source::Tag, "of an older answer"),
            (Check::Silent, Source::Silence, "what it said last"),
            (Check::Critical, Source::Answer, ""),
        ] {
            assert_eq!(of(health, source, &[], output), None, "{health} {output}");
        }
    }
}
