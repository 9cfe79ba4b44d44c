//! What the runs exercised.

use std::collections::BTreeMap;
use std::fmt;

/// A set of runs of clusters that never met one of these proves less than it says.
pub(crate) const WANTED: &[&str] = &[
    "runs encrypted",
    "runs in plain text",
    "runs sealed by [Auto]",
    "runs sealed by [Session]",
    "runs sealed by [Memberlist]",
    "runs sealed by [Auto, Memberlist]",
    "runs sealed by [Auto, Session]",
    "runs of 25 nodes and more",
    "runs of 200 nodes and more",
    "runs of profile Lan",
    "runs of profile Wan",
    "runs of profile Local",
    "packets lost",
    "packets duplicated",
    "packets reordered",
    "packets partitioned",
    "packets undelivered",
    "streams",
    "nonces",
    "suspicions",
    "suspicions cleared",
    "refutations",
    "members failed",
    "members left",
    "members back from the dead",
    "members reaped",
    "false failures",
    "probes failed",
    "joins failed",
    "deed partition",
    "deed heal",
    "deed network",
    "deed pause",
    "deed resume",
    "deed uplink",
    "deed kill",
    "deed restart remembering",
    "deed restart forgetting",
    "deed leave",
    "deed force-leave",
    "deed force-leave of a living member",
    "deed prune",
    "deed tags",
    "deed event",
    "deed query",
    "deed key request",
    "deed move",
    "deed address reused",
    "deed change from Auto to Memberlist",
    "deed change from Memberlist to Auto",
    "deed change from Auto to Session",
    "deed change from Session to Auto",
    "packets replayed",
    "session packets opened",
    "islands joined by hand",
    "rejoins",
    "names disputed",
    "leaves announced",
    "leaves called off",
    "leaves unconfirmed",
    "events delivered",
    "events delivered in calm",
    "queries answered",
    "queries answered in calm",
    "keys rotated in calm",
    "departed members agreed on",
];

#[derive(Default)]
pub(crate) struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub(crate) fn count(&mut self, what: &str) {
        self.count_many(what, 1);
    }

    pub(crate) fn count_many(&mut self, what: &str, times: u64) {
        if times == 0 {
            return;
        }
        match self.0.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.0.insert(what.to_owned(), times);
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count_many(what, *times);
        }
    }

    pub(crate) fn times(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// How many things that begin like this were met.
    pub(crate) fn distinct(&self, prefix: &str) -> usize {
        self.0.keys().filter(|what| what.starts_with(prefix)).count()
    }

    /// Those of `wanted` that were never met.
    pub(crate) fn missing(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        wanted.iter().copied().filter(|what| !self.0.contains_key(*what)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>12}  {what}"))
    }
}
