//! A simple model of `apply` and the NGINX it feeds: what is in place, and one run at a time that takes its time and ends as
//! the seed has it.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use weir::time::Instant;
use weir::upstream::UpstreamName;
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::Applied;

/// What becomes of runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// All succeed.
    Fine,
    /// All are refused.
    Refusing,
    /// NGINX is not running: files are stored.
    Stopped,
    /// As they come, some slowly.
    Rough,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Live,
    Stored,
    Refused,
    RolledBack,
}

impl End {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Live => "applies live",
            Self::Stored => "applies stored",
            Self::Refused => "applies refused",
            Self::RolledBack => "applies rolled back",
        }
    }
}

/// A run under way.
struct Run {
    ends_at: Instant,
    desired: Desired,
    end: End,
}

/// Outlives the agent that feeds it.
pub(crate) struct Nginx {
    pub(crate) mood: Mood,
    /// By the record: what the newest generation has.
    files: BTreeMap<UpstreamName, Target>,
    /// Whether workers were seen to serve it.
    confirmed: bool,
    run: Option<Run>,
    /// Runs that ended with a new generation.
    pub(crate) generation: u64,
    pub(crate) reloaded_at: Option<Instant>,
}

impl Nginx {
    pub(crate) fn new() -> Self {
        Self { mood: Mood::Fine, files: BTreeMap::new(), confirmed: false, run: None, generation: 0, reloaded_at: None }
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

    pub(crate) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.run.as_ref().map(|run| run.ends_at)
    }

    pub(crate) fn begin(&mut self, now: Instant, desired: Desired, rng: &mut StdRng) {
        let end = match self.mood {
            Mood::Fine => End::Live,
            Mood::Refusing => End::Refused,
            Mood::Stopped => End::Stored,
            Mood::Rough => match rng.random_range(0..10) {
                0..=4 => End::Live,
                5 => End::Stored,
                6..=7 => End::Refused,
                _ => End::RolledBack,
            },
        };
        let slow = self.mood == Mood::Rough && rng.random_bool(0.1);
        let millis = if slow { rng.random_range(1000..9000) } else { rng.random_range(20..200) };
        self.run = Some(Run { ends_at: now + Duration::from_millis(millis), desired, end });
    }

    /// The run that ends now, if it was one that changed nothing, and how the agent hears of it.
    pub(crate) fn end(&mut self, now: Instant) -> Option<(&'static str, Applied)> {
        let Run { desired, end, .. } = self.run.take_if(|run| run.ends_at <= now)?;
        let same = desired.upstreams.iter().all(|(name, target)| self.files.get(name) == Some(target));
        if same && self.confirmed && end == End::Live {
            return Some(("applies unchanged", Applied::Done { reloaded: false }));
        }
        let applied = match end {
            End::Live => Applied::Done { reloaded: true },
            End::Stored => Applied::Stored,
            End::Refused => Applied::Failed { reloaded: false },
            End::RolledBack => Applied::Failed { reloaded: true },
        };
        if applied.is_in_place() {
            self.files.extend(desired.upstreams);
            self.confirmed = end == End::Live;
            self.generation += 1;
        }
        if applied.reloaded() {
            self.reloaded_at = Some(now);
        }
        Some((end.word(), applied))
    }

    /// The agent dies, and with it a run: by chance it is just over, or what it did is undone by the next.
    pub(crate) fn agent_died(&mut self, now: Instant, rng: &mut StdRng) -> bool {
        let Some(run) = &mut self.run else { return false };
        if rng.random_bool(0.5) {
            run.ends_at = now;
            self.end(now);
        }
        self.run = None;
        self.confirmed = false;
        true
    }
}
