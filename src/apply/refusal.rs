//! Why the privileged side does not do what it is asked, in the words of `ux §4`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::upstream::Generation;

/// Nothing was changed, run or signalled.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// Written by another version of weir.
    Version { theirs: u32, ours: u32 },
    /// Damaged, or nothing of the kind.
    Malformed { what: String },
    /// Larger than any document.
    TooLarge { limit: usize },
    /// It did not arrive in time.
    TooSlow { seconds: u64 },
    /// Too many ask at once.
    Busy,
    /// Neither root nor the agent's user.
    NotPermitted { uid: u32 },
    /// Neither the configuration on disk nor the one applied last is the asking side's.
    ConfigurationChanged { path: PathBuf },
    /// Somebody else than root could have written it.
    ConfigurationWritable { path: PathBuf, by: Writer },
    /// It has mistakes, of which this is the first, and none was applied before.
    ConfigurationBroken { what: String },
    /// It is not kept, or never was.
    NoGeneration { to: Option<Generation> },
}

/// Who can write a file that only root should.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Writer {
    /// This user, whose file it is.
    User(String),
    /// Everybody in this group.
    Group(String),
    /// Everybody.
    Anyone,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

impl Refusal {
    /// What happened, without the way out.
    pub fn what(&self) -> String {
        match self {
            Self::Version { theirs, ours } => {
                format!("request version {theirs} is not understood, 'weir apply' speaks version {ours}")
            }
            Self::Malformed { what } => format!("not a request: {what}"),
            Self::TooLarge { limit } => format!("a request has at most {limit} bytes"),
            Self::TooSlow { seconds } => format!("the request did not arrive within {seconds} s"),
            Self::Busy => "too many requests at once".to_owned(),
            Self::NotPermitted { uid } => format!("user {uid} may not ask 'weir apply'"),
            Self::ConfigurationChanged { path } => {
                format!("the configuration changed: the agent does not run with {}", path.display())
            }
            Self::ConfigurationWritable { path, by } => {
                format!("{} is writable by {by}", path.display())
            }
            Self::ConfigurationBroken { what } => what.clone(),
            Self::NoGeneration { to: Some(to) } => format!("generation {to} is not kept"),
            Self::NoGeneration { to: None } => "there is no generation before the live one".to_owned(),
        }
    }

    /// The way out, where there is one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Version { .. } => Some("run the same weir on both sides: 'systemctl restart weir'".to_owned()),
            Self::Malformed { .. } | Self::TooLarge { .. } => None,
            Self::NoGeneration { .. } => Some("'weir upstream history' lists what is".to_owned()),
            Self::TooSlow { .. } | Self::Busy => Some("weir tries again".to_owned()),
            Self::NotPermitted { .. } => Some("use sudo".to_owned()),
            Self::ConfigurationChanged { .. } => {
                Some("'weir reload', and for what it says needs a restart 'systemctl restart weir'".to_owned())
            }
            Self::ConfigurationWritable { path, by } => Some(if path.extension().is_some_and(|end| end == "toml") {
                format!("apply trusts only root: 'chown root:weir {0}' and 'chmod 640 {0}'", path.display())
            } else {
                format!("apply trusts only root: {}", by.remedy(path)) // it may be /etc, whose mode stays
            }),
            Self::ConfigurationBroken { .. } => Some("'weir config check' lists every mistake".to_owned()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Refusal {}
