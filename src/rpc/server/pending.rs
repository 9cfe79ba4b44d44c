//! The queries that one connection was shown and may answer (`rpc §4, respond`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::serf::QueryKey;

/// Queries remembered for one connection; beyond that the oldest can no longer be answered.
const MAX_PENDING: usize = 4096;

/// Shared between a connection's streams, which add, and its requests, which look up. Never locked across an await.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    queries: BTreeMap<u64, (QueryKey, Instant)>,
}

impl Pending {
    /// The id under which a record shows `query`. Ids count from 1; each record has its own.
    pub(super) fn add(&self, now: Instant, query: QueryKey, remaining: Duration) -> u64 {
        let mut table = self.table();
        table.last_id += 1;
        let id = table.last_id;
        if !remaining.is_zero() {
            if table.queries.len() >= MAX_PENDING / 2 {
                table.queries.retain(|_, (_, deadline)| *deadline > now);
            }
            if table.queries.len() >= MAX_PENDING {
                table.queries.pop_first();
            }
            table.queries.insert(id, (query, now + remaining));
        }
        id
    }

    /// The query shown under `id`, while it can be answered.
    pub(super) fn find(&self, now: Instant, id: u64) -> Option<QueryKey> {
        let mut table = self.table();
        let (query, deadline) = *table.queries.get(&id)?;
        if deadline > now {
            return Some(query);
        }
        table.queries.remove(&id);
        None
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each critical section leaves the table whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::LamportTime;

    fn query(id: u32) -> QueryKey {
        QueryKey { ltime: LamportTime(7), id }
    }

    #[test]
    fn query_can_be_answered_until_its_deadline() {
        let (pending, now, second) = (Pending::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(pending.add(now, query(5), second), 1);
        assert_eq!(pending.add(now, query(5), Duration::ZERO), 2);
        assert_eq!(pending.find(now, 1), Some(query(5)));
        assert_eq!(pending.find(now, 1), Some(query(5)), "an answer that was too large may be tried again");
        assert_eq!(pending.find(now, 2), None, "it was over when it was shown");
        assert_eq!(pending.find(now, 3), None);
        assert_eq!(pending.find(now + second, 1), None);
    }

    #[test]
    fn table_is_bounded() {
        let (pending, now) = (Pending::default(), Instant::now());
        for id in 0..MAX_PENDING as u32 + 10 {
            pending.add(now, query(id), Duration::from_secs(9));
        }
        assert_eq!(pending.table().queries.len(), MAX_PENDING);
        assert_eq!(pending.find(now, 1), None);
        assert_eq!(pending.find(now, MAX_PENDING as u64 + 10), Some(query(MAX_PENDING as u32 + 9)));
    }
}
