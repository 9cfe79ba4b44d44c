//! Who is let in when many want to be, without I/O.
//!
//! The agent's user is let in whoever asks in its name, so a process that is not the agent can try to take all places. Whoever
//! has most gives way to whoever has fewer: one process that opens a thousand connections gets in its own way alone.

use std::collections::BTreeMap;

/// Most connections at a time.
pub(super) const MAX: usize = 16;

/// A connection; numbers are not used twice.
pub(super) type Id = u64;

/// The connections that are open.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<Id, Connection>,
    next: Id,
}

#[derive(Debug)]
struct Connection {
    /// Whose it is; 0 if the system does not say.
    pid: i32,
    stage: Stage,
}

/// How far one has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// Its request is on its way.
    Reading,
    /// Its request is whole and waits for its turn.
    Waiting,
    /// It is being done, or answered.
    Served,
}

/// What to do with a newcomer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// There is room.
    Room(Id),
    /// There is, once this one is sent away.
    InPlaceOf { id: Id, away: Id },
    /// There is none.
    Full,
}

impl Connections {
    /// A process wants to be let in.
    pub(super) fn admit(&mut self, pid: i32) -> Admission {
        let away = if self.open.len() < MAX {
            None
        } else {
            match self.who_gives_way(pid) {
                None => return Admission::Full,
                some => some,
            }
        };
        if let Some(away) = away {
            self.open.remove(&away);
        }
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Connection { pid, stage: Stage::Reading });
        away.map_or(Admission::Room(id), |away| Admission::InPlaceOf { id, away })
    }

    /// Of those of the process that has most, the one whose request takes longest to arrive, else the last that waits.
    fn who_gives_way(&self, newcomer: i32) -> Option<Id> {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        for connection in self.open.values() {
            *counts.entry(connection.pid).or_default() += 1;
        }
        let own = counts.get(&newcomer).copied().unwrap_or_default();
        let of = |stage| self.open.iter().filter(move |(_, connection)| connection.stage == stage);
        let most = |connection: &Connection| counts.get(&connection.pid).copied().unwrap_or_default();
        let reading = of(Stage::Reading)
            .filter(|(_, connection)| most(connection) > own)
            .max_by_key(|(id, connection)| (most(connection), std::cmp::Reverse(**id)));
        let waiting = || {
            of(Stage::Waiting)
                .filter(|(_, connection)| most(connection) > own + 1)
                .max_by_key(|(id, connection)| (most(connection), **id))
        };
        reading.or_else(waiting).map(|(id, _)| *id)
    }

    /// One has come further.
    pub(super) fn advance(&mut self, id: Id, stage: Stage) {
        if let Some(connection) = self.open.get_mut(&id) {
            connection.stage = stage;
        }
    }

    /// One is over.
    pub(super) fn close(&mut self, id: Id) {
        self.open.remove(&id);
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: i32 = 1;
    const HOSTILE: i32 = 2;

    fn filled(pids: impl IntoIterator<Item = i32>) -> Connections {
        let mut connections = Connections::default();
        for pid in pids {
            assert!(matches!(connections.admit(pid), Admission::Room(_)));
        }
        connections
    }

    #[test]
    fn a_place_that_is_free_is_given_to_whoever_comes() {
        let mut connections = filled([HOSTILE; MAX - 1]);
        assert_eq!(connections.admit(HOSTILE), Admission::Room(15));
        assert_eq!(connections.admit(HOSTILE), Admission::Full);
        connections.close(3);
        assert_eq!(connections.admit(HOSTILE), Admission::Room(16));
    }

    #[test]
    fn whoever_has_most_gives_way() {
        let mut connections = filled([HOSTILE; MAX]);
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 16, away: 0 }, "the one that takes longest");
        assert_eq!(connections.admit(HOSTILE), Admission::Full, "it has more than anybody");
        // What waits goes last come first, and what is being done stays.
        let mut connections = filled([HOSTILE; MAX]);
        connections.advance(0, Stage::Served);
        (1..16).for_each(|id| connections.advance(id, Stage::Waiting));
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 16, away: 15 });
        connections.advance(16, Stage::Waiting);
        assert_eq!(connections.admit(HOSTILE), Admission::Full);
    }

    #[test]
    fn of_many_processes_the_slowest_gives_way_and_none_that_is_done_with_asking() {
        let mut connections = filled(10..26);
        connections.advance(0, Stage::Waiting);
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 16, away: 1 });
        let mut connections = filled(10..26);
        (0..16).for_each(|id| connections.advance(id, Stage::Waiting));
        assert_eq!(connections.admit(AGENT), Admission::Full, "each has a single one");
    }
}
