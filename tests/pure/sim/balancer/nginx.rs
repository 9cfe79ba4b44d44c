//! A simple `apply` and the NGINX it feeds: what is in place, and one run at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::time::Instant;
use weir::upstream::UpstreamName;
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::Applied;

/// How long a run takes.
const RUN: Duration = Duration::from_millis(90);

/// What becomes of runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// All succeed.
    Fine,
    /// All are refused.
    Refusing,
    /// NGINX is not running: files are stored.
    Stopped,
}

/// A run under way.
struct Run {
    ends_at: Instant,
    desired: Desired,
}

/// Outlives the agent that feeds it.
pub(crate) struct Nginx {
    pub(crate) mood: Mood,
    files: BTreeMap<UpstreamName, Target>,
    /// Whether workers were seen to serve it.
    confirmed: bool,
    run: Option<Run>,
    /// Runs that ended with a new generation.
    pub(crate) generation: u64,
}

impl Nginx {
    pub(crate) fn new() -> Self {
        Self { mood: Mood::Fine, files: BTreeMap::new(), confirmed: false, run: None, generation: 0 }
    }

    /// What is in place for an upstream.
    pub(crate) fn file(&self, upstream: &UpstreamName) -> Option<&Target> {
        self.files.get(upstream)
    }

    /// What a restarted agent is told.
    pub(crate) fn record(&self) -> Option<Desired> {
        let mut desired = Desired::new(0);
        desired.upstreams.clone_from(&self.files);
        (self.generation > 0).then_some(desired)
    }

    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.run.as_ref().map(|run| run.ends_at)
    }

    pub(crate) fn begin(&mut self, now: Instant, desired: Desired) {
        assert!(self.run.is_none(), "an apply is asked for while one is under way");
        self.run = Some(Run { ends_at: now + RUN, desired });
    }

    /// How the run ended that does now.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Applied> {
        let Run { desired, .. } = self.run.take_if(|run| run.ends_at <= now)?;
        let same = desired.upstreams.iter().all(|(name, target)| self.files.get(name) == Some(target));
        let applied = match self.mood {
            Mood::Fine if same && self.confirmed => return Some(Applied::Done { reloaded: false }),
            Mood::Fine => Applied::Done { reloaded: true },
            Mood::Stopped => Applied::Stored,
            Mood::Refusing => return Some(Applied::Failed { reloaded: false }),
        };
        self.files.extend(desired.upstreams);
        self.confirmed = self.mood == Mood::Fine;
        self.generation += 1;
        Some(applied)
    }
}
