//! Queries of others that wait for an answer of ours.

use std::collections::BTreeMap;

use super::super::output::QueryKey;
use super::super::relay::Origin;
use crate::time::Instant;

/// Queries that may wait at once. The one that came first makes room, so a flood of long ones heals by itself.
pub const MAX_OPEN_QUERIES: usize = 1024;

/// Whose business an open query is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The application's.
    User,
    /// The keyring's.
    Key { list: bool },
}

/// An open query.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
    pub(crate) deadline: Instant,
    pub(crate) answered: bool,
    arrival: u64,
}

/// All open queries.
#[derive(Debug, Default)]
pub(crate) struct Open {
    entries: BTreeMap<QueryKey, Entry>,
    by_arrival: BTreeMap<u64, QueryKey>,
    arrivals: u64,
}

impl Open {
    /// Opens a query; returns whether another had to go for it.
    pub(crate) fn insert(&mut self, key: QueryKey, origin: Origin, kind: Kind, deadline: Instant) -> bool {
        self.arrivals += 1;
        let entry = Entry { origin, kind, deadline, answered: false, arrival: self.arrivals };
        if let Some(replaced) = self.entries.insert(key, entry) {
            self.by_arrival.remove(&replaced.arrival);
        }
        self.by_arrival.insert(self.arrivals, key);
        if self.entries.len() <= MAX_OPEN_QUERIES {
            return false;
        }
        let first = self.by_arrival.pop_first().map(|(_, key)| key);
        first.is_some_and(|first| self.entries.remove(&first).is_some())
    }

    pub(crate) fn get(&self, key: &QueryKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn mark_answered(&mut self, key: &QueryKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.answered = true;
        }
    }

    /// Whether a key query that waits asks for a list; `None` if no such query waits.
    pub(crate) fn is_list(&self, key: &QueryKey) -> Option<bool> {
        match self.entries.get(key)?.kind {
            Kind::Key { list } => Some(list),
            Kind::User => None,
        }
    }

    /// Forgets queries past their deadline.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.deadline > now);
        self.by_arrival.retain(|_, key| self.entries.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::clock::LamportTime;

    #[test]
    fn a_flood_displaces_the_first_that_came_and_stays_bounded() {
        let mut open = Open::default();
        let origin = Origin { addr: "127.0.0.1:1".parse().unwrap(), name: String::new(), relay_factor: 0 };
        let key = |id| QueryKey { ltime: LamportTime(1), id };
        for id in 0..MAX_OPEN_QUERIES as u32 {
            assert!(!open.insert(key(id), origin.clone(), Kind::User, Instant::from_nanos(10)));
        }
        assert!(open.insert(key(u32::MAX), origin, Kind::User, Instant::from_nanos(20)));
        assert!(open.get(&key(0)).is_none() && open.get(&key(1)).is_some());
        open.expire(Instant::from_nanos(10));
        assert_eq!((open.entries.len(), open.by_arrival.len()), (1, 1), "at its deadline a query is past");
    }
    #[test]
    fn a_query_that_comes_again_is_as_young_as_its_last_arrival() {
        let mut open = Open::default();
        let origin = Origin { addr: "127.0.0.1:1".parse().unwrap(), name: String::new(), relay_factor: 0 };
        let mut insert = |id| {
            let key = QueryKey { ltime: LamportTime(1), id };
            open.insert(key, origin.clone(), Kind::User, Instant::from_nanos(10))
        };
        for id in (0..MAX_OPEN_QUERIES as u32).chain([0]) {
            assert!(!insert(id));
        }
        assert!(insert(u32::MAX));
        assert_eq!((open.entries.len(), open.by_arrival.len()), (MAX_OPEN_QUERIES, MAX_OPEN_QUERIES));
        assert!(open.get(&QueryKey { ltime: LamportTime(1), id: 1 }).is_none());
        assert!(open.get(&QueryKey { ltime: LamportTime(1), id: 0 }).is_some());
    }
}
