//! `[health]`: what a balancer asks its servers.

use std::time::Duration;

use crate::error::Trouble;
use crate::health::query;

use super::reader::Section;

/// The query `health`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Health {
    /// A balancer asks its servers the query `health` this often; 0s: never, and the tag weir_health alone counts.
    pub query_interval: Duration,
    /// How long their answers may take; at most query_interval.
    pub query_timeout: Duration,
    /// Unanswered queries in a row until a server that has answered before counts as silent.
    pub unresponsive_after: u32,
}

/// Shorter ones are noise: a change is pushed anyway.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);

impl Health {
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let query_interval =
            section.key("query_interval").within(Duration::ZERO, LONGEST).check(too_short).or(INTERVAL);
        let never = query_interval.is_zero();
        // Of the two, whoever sets the interval alone need not know of the other.
        let usual = if never { TIMEOUT } else { TIMEOUT.min(query_interval) };
        let query_timeout = section.key("query_timeout").within(Duration::from_millis(100), LONGEST).or(usual);
        if !never && query_timeout > query_interval {
            let trouble = Trouble::new("health.query_timeout must not exceed health.query_interval", "change one");
            section.conflict("query_timeout", trouble);
        }
        let unresponsive_after = section.key("unresponsive_after").within(1, 100).or(3);
        Self { query_interval, query_timeout, unresponsive_after }
    }

    /// What the machine needs of it.
    pub(crate) fn options(&self) -> query::Options {
        query::Options {
            interval: Some(self.query_interval).filter(|interval| !interval.is_zero()),
            timeout: self.query_timeout,
            unresponsive_after: self.unresponsive_after,
        }
    }
}

fn too_short(interval: &Duration) -> Option<Trouble> {
    let is_short = !interval.is_zero() && *interval < SHORTEST;
    is_short.then(|| Trouble::new("is too short", "0s (never) or at least 500ms is accepted"))
}
