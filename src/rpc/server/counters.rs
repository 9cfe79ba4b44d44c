//! What happened at the border, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start, shared by the server's tasks; read it from anywhere.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) clients: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) too_slow: AtomicU64,
    pub(super) unauthenticated: AtomicU64,
    pub(super) stuck: AtomicU64,
    pub(super) missed_events: Arc<AtomicU64>,
    pub(super) missed_lines: Arc<AtomicU64>,
    pub(super) missed_answers: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Clients connected now.
    pub clients: u64,
    /// Clients taken.
    pub accepted: u64,
    /// Clients refused because there were too many.
    pub turned_away: u64,
    /// Requests understood.
    pub requests: u64,
    /// Requests answered with an error, for want of the token excepted.
    pub refused: u64,
    /// Clients hung up on because of bytes that are no request, or ended inside one.
    pub malformed: u64,
    /// Clients hung up on because of a request above the limit.
    pub too_large: u64,
    /// Clients hung up on because a request took too long to arrive.
    pub too_slow: u64,
    /// Requests refused for want of the token, wrong tokens included.
    pub unauthenticated: u64,
    /// Clients hung up on because they read nothing for too long.
    pub stuck: u64,
    /// Events dropped because a stream's client read too slowly.
    pub missed_events: u64,
    /// Log lines dropped for the same reason.
    pub missed_lines: u64,
    /// Answers to queries dropped because they named nobody.
    pub missed_answers: u64,
}

impl Counters {
    /// All counts.
    pub fn read(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            clients: of(&self.clients),
            accepted: of(&self.accepted),
            turned_away: of(&self.turned_away),
            requests: of(&self.requests),
            refused: of(&self.refused),
            malformed: of(&self.malformed),
            too_large: of(&self.too_large),
            too_slow: of(&self.too_slow),
            unauthenticated: of(&self.unauthenticated),
            stuck: of(&self.stuck),
            missed_events: of(&self.missed_events),
            missed_lines: of(&self.missed_lines),
            missed_answers: of(&self.missed_answers),
        }
    }
}

impl Counts {
    /// Each by its name.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let rows = [
            ("clients", self.clients),
            ("accepted", self.accepted),
            ("clients_turned_away", self.turned_away),
            ("requests", self.requests),
            ("refused", self.refused),
            ("malformed", self.malformed),
            ("too_large", self.too_large),
            ("too_slow", self.too_slow),
            ("unauthenticated", self.unauthenticated),
            ("stuck_clients", self.stuck),
            ("missed_events", self.missed_events),
            ("missed_lines", self.missed_lines),
            ("missed_answers", self.missed_answers),
        ];
        rows.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
