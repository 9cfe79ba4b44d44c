//! Why the servers of a generation are others than before, for its history.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{VerdictReason, Witness};
use crate::wire::NodeName;

/// Which member changed something, and how.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// Who.
    pub member: NodeName,
    /// What became of it.
    pub what: What,
}

/// What changed about a member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was no server before.
    Joined,
    /// What is known of it says so.
    Witness(Witness),
    /// The group or an operator wants it so, whatever its witnesses say.
    Verdict(VerdictReason),
    /// Its address, its weight or another of its tags.
    Tags,
}

/// `web2 failed, nothing vouches for it`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.member;
        match self.what {
            What::Joined => write!(f, "{member} joined"),
            What::Witness(witness) => write!(f, "{member} {witness}"),
            What::Verdict(reason) => write!(f, "{member} {reason}"),
            What::Tags => write!(f, "{member} changed its tags"),
        }
    }
}

/// The first causes of a generation, at most [`Self::MAX`] of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Cause>", into = "Vec<Cause>")]
pub struct Causes(Vec<Cause>);

impl Causes {
    /// More than anybody reads.
    pub const MAX: usize = 64;

    /// One after the other.
    pub fn as_slice(&self) -> &[Cause] {
        &self.0
    }
}

/// Leaves out what is beyond [`Self::MAX`].
impl FromIterator<Cause> for Causes {
    fn from_iter<T: IntoIterator<Item = Cause>>(causes: T) -> Self {
        Self(causes.into_iter().take(Self::MAX).collect())
    }
}

impl TryFrom<Vec<Cause>> for Causes {
    type Error = String;

    fn try_from(causes: Vec<Cause>) -> Result<Self, String> {
        if causes.len() > Self::MAX {
            return Err(format!("{} causes are too many, the limit is {}", causes.len(), Self::MAX));
        }
        Ok(Self(causes))
    }
}

impl From<Causes> for Vec<Cause> {
    fn from(causes: Causes) -> Self {
        causes.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(what: What) -> Cause {
        Cause { member: NodeName::new("web2").unwrap(), what }
    }

    #[test]
    fn a_cause_reads_back_and_says_who_and_why() {
        for (what, json, text) in [
            (What::Joined, r#""joined""#, "web2 joined"),
            (What::Witness(Witness::Failed), r#"{"witness":"failed"}"#, "web2 failed, nothing vouches for it"),
            (What::Verdict(VerdictReason::Draining), r#"{"verdict":"draining"}"#, "web2 draining"),
            (What::Tags, r#""tags""#, "web2 changed its tags"),
        ] {
            let json = format!(r#"{{"member":"web2","what":{json}}}"#);
            assert_eq!(serde_json::to_string(&cause(what)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Cause>(&json).unwrap(), cause(what));
            assert_eq!(cause(what).to_string(), text);
        }
    }

    #[test]
    fn what_nobody_reads_is_left_out_and_refused_of_others() {
        let causes: Causes = std::iter::repeat_n(cause(What::Joined), 2 * Causes::MAX).collect();
        assert_eq!(causes.as_slice().len(), Causes::MAX);
        let many = vec![cause(What::Tags); Causes::MAX + 1];
        assert_eq!(Causes::try_from(many).unwrap_err(), "65 causes are too many, the limit is 64");
    }
}
