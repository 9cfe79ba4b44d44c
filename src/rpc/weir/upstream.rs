//! What operators ask about upstreams and want of them.

use serde::{Deserialize, Serialize};

use crate::config::nearest;
use crate::rpc::refusal::Refusal;
use crate::status::node::{ApplyResult, Change};
use crate::status::{Known, Trouble};
use crate::upstream::Generation;

/// Asks for the last generations, the attempts that failed included.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamHistory {
    /// Most of them; 0 for all that are kept.
    pub count: usize,
}

/// The generations, the newest first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Generations {
    pub generations: Vec<Past>,
    /// Those in place, and those that any generation that is kept has changed.
    pub upstreams: Vec<String>,
}

/// What became of a generation.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Past {
    pub generation: Generation,
    pub at: Option<String>,
    /// Those whose files it changed.
    pub upstreams: Vec<String>,
    /// Why it was made: what happened to whom.
    pub cause: String,
    pub changes: Vec<Change>,
    /// Further changes of servers, which are not kept.
    pub more: u32,
    pub result: Known<PastResult>,
    pub validate_ms: Option<u64>,
    /// From the reload to new workers.
    pub confirm_ms: Option<u64>,
    /// Why it is not live.
    pub error: Option<String>,
    /// Connections that were ended to dead servers, from their death until it was confirmed.
    pub cut: Vec<Cut>,
}

/// Connections to one server that were ended (`protocols D.4`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Cut {
    pub upstream: String,
    pub member: String,
    pub connections: u32,
}

/// The word for what became of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PastResult {
    /// It is served.
    Live,
    /// It was served until the next one.
    Replaced,
    /// In place, and nobody was seen to serve it.
    Stored,
    /// It was not accepted.
    Refused,
    /// NGINX could not load it, and an older one was put back.
    RolledBack,
    /// It has not come to an end, or nobody knows which.
    #[default]
    Open,
}

/// Asks what differs: between what is in place and what is wanted; what a generation changed; or between two generations.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamDiff {
    /// What this one changed, if it stands alone.
    pub from: Option<Generation>,
    pub to: Option<Generation>,
}

/// What differs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Differences {
    /// `None` before the first.
    pub from: Option<Generation>,
    /// `None` for what is wanted.
    pub to: Option<Generation>,
    pub changes: Vec<Change>,
    /// What waits for the release of upstreams that are held, where `to` is what is wanted.
    pub held: Vec<HeldBack>,
    /// Why `to` was made, where it follows `from`.
    pub cause: Option<String>,
    pub at: Option<String>,
}

/// An upstream that an operator froze.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct HeldBack {
    pub upstream: String,
    pub since: Option<String>,
    pub reason: Option<String>,
    /// What its release would change.
    pub changes: Vec<Change>,
}

impl Differences {
    /// Whether anything does.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.held.iter().all(|held| held.changes.is_empty())
    }
}

/// Freezes an upstream, or all.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamHold {
    pub upstream: Option<String>,
    pub reason: Option<String>,
}

/// Thaws an upstream, or all.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamRelease {
    pub upstream: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct HoldChanged {
    /// Those that are held, or released, now and were not before.
    pub upstreams: Vec<String>,
    /// Those that were held already, and now are for the reason that was given.
    pub explained: Vec<String>,
    /// Those that were so already.
    pub unchanged: Vec<String>,
    /// Why it may not outlive a restart of the agent.
    pub unsaved: Option<Trouble>,
}

/// Goes back to an older generation, and holds every upstream whose file this changes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamRollback {
    /// `None` for the one before the one in place.
    pub to: Option<Generation>,
    pub reason: Option<String>,
    /// Even to one in which nobody serves an upstream that somebody serves now.
    pub force: bool,
}

/// How that went.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct RolledBack {
    /// The one that was gone back to, if that is known.
    pub to: Option<Generation>,
    /// The number that it has now.
    pub generation: Option<Generation>,
    pub result: Option<Known<ApplyResult>>,
    pub elapsed_ms: u64,
    /// Those that are held now.
    pub held: Vec<String>,
    pub message: String,
    pub remedy: Option<String>,
}

/// `no upstream 'wep'; did you mean 'web'?`
pub fn no_upstream<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Refusal {
    let refusal = Refusal::new(format!("no upstream '{name}'"));
    match nearest(name, known) {
        Some(near) => refusal.with_remedy(format!("did you mean '{near}'?")),
        None => refusal.with_remedy("'weir upstream show' lists them"),
    }
}

impl std::fmt::Display for PastResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Replaced => "replaced",
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Open => "open",
        })
    }
}

/// Asks for the document of what is wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UpstreamWanted {}

/// It.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Wanted {
    /// The text that `apply` reads; `None` before the first decision.
    pub desired: Option<String>,
}
