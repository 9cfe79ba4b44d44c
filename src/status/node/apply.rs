//! What was applied last, and NGINX.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Held, Moment};
use crate::status::{Known, Trouble};
use crate::upstream::Generation;

/// The way of changes to NGINX.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Apply {
    /// One is under way.
    pub running: bool,
    /// It takes far longer than it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// Since when what NGINX serves is no confirmed generation; `None` if it is one.
    pub unconfirmed_since: Option<String>,
    /// `None` if there was none since the agent started.
    pub last: Option<LastApply>,
    /// The last that new workers were seen to serve.
    pub reload: Option<Reload>,
    /// Files of ours that somebody else had changed, the latest last; what was in them is kept.
    pub foreign: Vec<ForeignEdit>,
    /// Files of upstreams that are not configured any more, which NGINX still needs.
    pub orphans: Vec<String>,
    /// Templates whose files are not as wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Miss>,
    /// Upstreams that NGINX has no place for, and that wait while others go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Miss>,
    /// Upstreams that are held and not configured now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldUnconfigured>,
}

/// Something that is under way for too long.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Slow {
    #[serde(default)]
    pub since: Option<String>,
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// An upstream that an operator holds although it is not configured any more.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct HeldUnconfigured {
    pub upstream: String,
    #[serde(flatten)]
    pub held: Held,
}

/// A template or an upstream whose file is not as wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Miss {
    pub name: String,
    #[serde(default)]
    pub since: Option<String>,
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// A reload that new workers confirmed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Reload {
    pub generation: Generation,
    #[serde(flatten)]
    pub ended: Moment,
    pub elapsed_ms: u64,
}

/// A file that somebody else had changed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ForeignEdit {
    pub file: String,
    /// Where what was in it is kept.
    pub copy: String,
    #[serde(flatten)]
    pub seen: Moment,
}

/// How the last apply ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastApply {
    pub result: Known<ApplyResult>,
    #[serde(flatten)]
    pub ended: Moment,
    /// The first of those in a row that ended like this one.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub elapsed_ms: u64,
    /// The generation it was about, if it got that far.
    #[serde(default)]
    pub generation: Option<Generation>,
    /// The step that it ended in, if it ended there early.
    #[serde(default)]
    pub step: Option<String>,
    /// Whether our own files are to blame; `None` where nobody is.
    #[serde(default)]
    pub ours: Option<bool>,
    /// Somebody else changed a file of ours, and it is left as it is.
    #[serde(default)]
    pub foreign_edit: bool,
    /// What NGINX says against a file that is not ours.
    #[serde(default)]
    pub nginx_error: Option<String>,
    /// Nobody is there to apply it.
    #[serde(default)]
    pub helper_missing: bool,
    pub message: String,
    #[serde(default)]
    pub remedy: Option<String>,
}

/// The word for it, as metrics and history have it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyResult {
    Live,
    Unchanged,
    /// In place and tested, but NGINX is not running.
    Stored,
    Refused,
    RolledBack,
    /// What NGINX serves is not known.
    Failed,
}

impl ApplyResult {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Unchanged => "unchanged",
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    /// Whether what was wanted is in place, though perhaps not in use.
    pub const fn is_in_place(self) -> bool {
        match self {
            Self::Live | Self::Unchanged | Self::Stored => true,
            Self::Refused | Self::RolledBack | Self::Failed => false,
        }
    }
}

impl fmt::Display for ApplyResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LastApply {
    /// What it has to say.
    pub fn trouble(&self) -> Trouble {
        Trouble { what: self.message.clone(), way_out: self.remedy.clone().unwrap_or_default() }
    }

    /// Whether it did not come to its end.
    pub fn went_wrong(&self) -> bool {
        self.result.word().is_some_and(|result| !result.is_in_place())
    }
}

/// NGINX as it was seen last, which is seconds ago.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Nginx {
    pub state: Known<NginxState>,
    /// As it calls itself, once it was asked.
    #[serde(default)]
    pub version: Option<String>,
    /// Its master, once it was looked for.
    #[serde(default)]
    pub pid: Option<u32>,
    /// When the state was first seen; `None` if nobody has looked.
    #[serde(default)]
    pub since: Option<String>,
    /// Why no master is seen.
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub remedy: Option<String>,
    /// Why nobody can look now, so that the rest is what was seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
}

/// Why nobody can look at NGINX.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unseen {
    /// Nobody answers, so nobody applies either.
    #[serde(default)]
    pub helper_missing: bool,
    #[serde(default)]
    pub since: Option<String>,
    #[serde(flatten)]
    pub trouble: Trouble,
}

impl Nginx {
    /// Why nobody serves, if nobody does.
    pub fn trouble(&self) -> Option<Trouble> {
        let what = self.message.clone()?;
        Some(Trouble { what, way_out: self.remedy.clone().unwrap_or_default() })
    }

    /// Where no file is configured that it reads: that it is not there is no trouble.
    pub fn unread(self) -> Self {
        if self.is_down() {
            let state = NginxState::Unknown.into();
            Self { state, since: None, message: None, remedy: None, ..self }
        } else {
            self
        }
    }

    /// Where nothing is configured at all, for files that are to go alone: nor is it that nobody can look.
    pub fn unneeded(self) -> Self {
        match self.unseen {
            Some(_) => Self {
                state: NginxState::Unknown.into(),
                version: None,
                pid: None,
                since: None,
                message: None,
                remedy: None,
                unseen: None,
            },
            None => self.unread(),
        }
    }

    /// Whether it is known that nobody serves.
    pub fn is_down(&self) -> bool {
        self.state.word().is_some_and(|state| matches!(state, NginxState::Stopped | NginxState::NotInstalled))
    }
}

/// Whether it is there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NginxState {
    /// Nobody looked, or what was seen says nothing of it.
    Unknown,
    Running,
    Stopped,
    NotInstalled,
}

impl fmt::Display for NginxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::NotInstalled => "not_installed",
        })
    }
}
