//! Members as templates see them: typed, and in words that mean nothing in any language that a template may write.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Candidate, Gossip};

/// A member's name of letters, digits, `.`, `_` and `-` alone.
///
/// A template may write any file, so there is no way to escape another one. Our own names are of this kind; a Serf agent's need
/// not be, and such a member is left out of what templates see.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlainName(Arc<str>);

impl PlainName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// `None` if `name` is empty, longer than [`Self::MAX_BYTES`] or has other characters.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        (fits && plain).then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PlainName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| {
            format!("{name:?} is no plain name, which has 1 to {} letters, digits, '.', '_' and '-'", Self::MAX_BYTES)
        })
    }
}

impl From<PlainName> for String {
    fn from(name: PlainName) -> Self {
        name.as_str().to_owned()
    }
}

/// What gossip says of a member, in Serf's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// Alive, or only suspected.
    Alive,
    /// Announced its leave.
    Leaving,
    /// Left.
    Left,
    /// Failed.
    Failed,
}

impl MemberStatus {
    /// `None` of who is not there yet.
    fn of(gossip: Gossip) -> Option<Self> {
        match gossip {
            Gossip::Alive | Gossip::Suspect => Some(Self::Alive),
            Gossip::Leaving => Some(Self::Leaving),
            Gossip::Left => Some(Self::Left),
            Gossip::Failed => Some(Self::Failed),
            Gossip::Unknown => None,
        }
    }

    /// The status's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// One member.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: PlainName,
    /// The address it advertises.
    pub addr: IpAddr,
    /// What gossip says of it.
    pub status: MemberStatus,
}

/// The members, each name once, sorted by name.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "Vec<Member>", into = "Vec<Member>")]
pub struct Members(Vec<Member>);

/// Why a list is no set of members.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MembersError {
    /// More than [`Members::MAX`].
    #[error("{0} members are too many, the limit is {max}", max = Members::MAX)]
    TooMany(usize),
    /// A name is a member's alone.
    #[error("member {0} is listed twice")]
    Duplicate(PlainName),
}

impl Members {
    /// Most members in one document.
    pub const MAX: usize = 10_000;

    /// Sorts and checks.
    pub fn new(mut members: Vec<Member>) -> Result<Self, MembersError> {
        if members.len() > Self::MAX {
            return Err(MembersError::TooMany(members.len()));
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        match members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(MembersError::Duplicate(pair[0].name.clone())),
            None => Ok(Self(members)),
        }
    }

    /// Those of `candidates` that have a plain name; of more than [`Self::MAX`] the first by name.
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        let member = |candidate: &Candidate| {
            let (name, status) = (PlainName::new(candidate.name.as_str())?, MemberStatus::of(candidate.gossip)?);
            Some(Member { name, addr: candidate.addr, status })
        };
        let mut members: Vec<Member> = candidates.iter().filter_map(member).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|a, b| a.name == b.name);
        members.truncate(Self::MAX);
        Self(members)
    }

    /// Sorted by name.
    pub fn as_slice(&self) -> &[Member] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<Member>> for Members {
    type Error = MembersError;

    fn try_from(members: Vec<Member>) -> Result<Self, MembersError> {
        Self::new(members)
    }
}

impl From<Members> for Vec<Member> {
    fn from(members: Members) -> Self {
        members.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NodeName;
    use crate::wire::serf::Tags;

    #[test]
    fn a_plain_name_means_nothing_in_any_language() {
        for name in ["web1", "a", "-", "..", "web-1.example_org", &"x".repeat(128)] {
            assert_eq!(PlainName::new(name).unwrap().as_str(), name);
        }
        for name in
            ["", " ", "web 1", "web1;", "web1\n", "a/b", "a:b", "a$b", "grün", "{{ x }}", "a\0", &"x".repeat(129)]
        {
            assert_eq!(PlainName::new(name), None, "{name:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_or_be_text_is_refused() {
        const WHOLE: &str = r#"[{"name":"web1","addr":"10.77.0.12","status":"alive"}]"#;
        let read = |json: &str| serde_json::from_str::<Members>(json).map_err(|error| error.to_string());
        assert_eq!(read(WHOLE).unwrap().as_slice().len(), 1);
        for (part, instead, words) in [
            ("web1", "web1; x", "is no plain name"),
            ("web1", "", "is no plain name"),
            ("10.77.0.12", "10.77.0.12:80", "invalid IP address"),
            ("10.77.0.12", "web1", "invalid IP address"),
            ("10.77.0.12", "fe80::1%eth0", "invalid IP address"),
            ("alive", "dead", "unknown variant"),
            ("\"status\"", "\"tags\":{},\"status\"", "unknown field"),
            ("\"status\"", "\"status\":\"left\",\"status\"", "duplicate field"),
            ("}]", "},{\"name\":\"web1\",\"addr\":\"10.77.0.13\",\"status\":\"alive\"}]", "web1 is listed twice"),
        ] {
            assert!(WHOLE.contains(part), "{part}");
            let error = read(&WHOLE.replacen(part, instead, 1)).unwrap_err();
            assert!(error.contains(words), "{instead}: {error}");
        }
        let many: Vec<Member> = (0..=Members::MAX).map(|n| member(&format!("m{n}"))).collect();
        assert_eq!(Members::new(many), Err(MembersError::TooMany(Members::MAX + 1)));
    }

    #[test]
    fn members_are_listed_by_name_in_serfs_words() {
        let candidate = |name: &str, gossip| {
            Candidate::new(NodeName::new(name).unwrap(), "10.77.0.9".parse().unwrap(), Tags::default(), gossip)
        };
        let members = Members::of(&[
            candidate("web2", Gossip::Failed),
            candidate("web1", Gossip::Suspect),
            candidate("x; y", Gossip::Alive),
            candidate("web3", Gossip::Unknown),
            candidate("lb1", Gossip::Leaving),
        ]);
        let shown: Vec<_> = members.as_slice().iter().map(|m| (m.name.as_str(), m.status.as_str())).collect();
        assert_eq!(shown, [("lb1", "leaving"), ("web1", "alive"), ("web2", "failed")]);
    }

    fn member(name: &str) -> Member {
        Member { name: PlainName::new(name).unwrap(), addr: "10.77.0.12".parse().unwrap(), status: MemberStatus::Alive }
    }
}
