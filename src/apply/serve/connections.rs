//! Who is let in when many want to be, without I/O.
//!
//! The agent's user is let in whoever asks in its name, so a process that is not the agent can try to take all places. Whoever
//! has most gives way to whoever has fewer: one process that opens a thousand connections gets in its own way alone. One place is
//! root's, and root gives way to root alone.

use std::collections::BTreeMap;

use super::Peer;

/// Most connections at a time.
const MAX: usize = 16;
/// Of them, most that are not root's.
const MAX_OTHERS: usize = MAX - 1;

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
    peer: Peer,
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
    pub(super) fn admit(&mut self, peer: Peer) -> Admission {
        let away = if self.has_room(peer) {
            None
        } else {
            match self.who_gives_way(peer) {
                None => return Admission::Full,
                some => some,
            }
        };
        if let Some(away) = away {
            self.open.remove(&away);
        }
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Connection { peer, stage: Stage::Reading });
        away.map_or(Admission::Room(id), |away| Admission::InPlaceOf { id, away })
    }

    fn has_room(&self, newcomer: Peer) -> bool {
        let others = self.open.values().filter(|connection| !connection.peer.is_root());
        self.open.len() < MAX && (newcomer.is_root() || others.count() < MAX_OTHERS)
    }

    /// Of those of the process that has most, the one whose request takes longest to arrive, else the last that waits; root's for
    /// root alone, and last.
    fn who_gives_way(&self, newcomer: Peer) -> Option<Id> {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        for connection in self.open.values() {
            *counts.entry(connection.peer.pid).or_default() += 1;
        }
        let own = counts.get(&newcomer.pid).copied().unwrap_or_default();
        let may = |connection: &Connection| newcomer.is_root() || !connection.peer.is_root();
        let of = |stage| self.open.iter().filter(move |(_, connection)| connection.stage == stage && may(connection));
        let most = |connection: &Connection| counts.get(&connection.peer.pid).copied().unwrap_or_default();
        let reading = of(Stage::Reading)
            .filter(|(_, connection)| most(connection) > own)
            .max_by_key(|(id, connection)| (!connection.peer.is_root(), most(connection), std::cmp::Reverse(**id)));
        let waiting = || {
            of(Stage::Waiting)
                .filter(|(_, connection)| most(connection) > own + 1)
                .max_by_key(|(id, connection)| (!connection.peer.is_root(), most(connection), **id))
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

    const AGENT: Peer = of_user(1);
    const HOSTILE: Peer = of_user(2);
    const ROOT: Peer = Peer { uid: 0, pid: 3 };

    const fn of_user(pid: i32) -> Peer {
        Peer { uid: 7, pid }
    }

    fn filled(peers: impl IntoIterator<Item = Peer>) -> Connections {
        let mut connections = Connections::default();
        for peer in peers {
            assert!(matches!(connections.admit(peer), Admission::Room(_)));
        }
        connections
    }

    #[test]
    fn a_place_that_is_free_is_given_to_whoever_comes() {
        let mut connections = filled([HOSTILE; MAX_OTHERS - 1]);
        assert_eq!(connections.admit(HOSTILE), Admission::Room(14));
        assert_eq!(connections.admit(HOSTILE), Admission::Full);
        connections.close(3);
        assert_eq!(connections.admit(HOSTILE), Admission::Room(15));
    }

    #[test]
    fn whoever_has_most_gives_way() {
        let mut connections = filled([HOSTILE; MAX_OTHERS]);
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 15, away: 0 }, "the one that takes longest");
        assert_eq!(connections.admit(HOSTILE), Admission::Full, "it has more than anybody");
        // What waits goes last come first, and what is being done stays.
        let mut connections = filled([HOSTILE; MAX_OTHERS]);
        connections.advance(0, Stage::Served);
        (1..15).for_each(|id| connections.advance(id, Stage::Waiting));
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 15, away: 14 });
        connections.advance(15, Stage::Waiting);
        assert_eq!(connections.admit(HOSTILE), Admission::Full);
    }

    #[test]
    fn of_many_processes_the_slowest_gives_way_and_none_that_is_done_with_asking() {
        let mut connections = filled((10..25).map(of_user));
        connections.advance(0, Stage::Waiting);
        assert_eq!(connections.admit(AGENT), Admission::InPlaceOf { id: 15, away: 1 });
        let mut connections = filled((10..25).map(of_user));
        (0..15).for_each(|id| connections.advance(id, Stage::Waiting));
        assert_eq!(connections.admit(AGENT), Admission::Full, "each has a single one");
    }

    #[test]
    fn one_place_is_roots_and_root_gives_way_to_root_alone() {
        let mut connections = filled((10..25).map(of_user));
        (0..15).for_each(|id| connections.advance(id, Stage::Waiting));
        assert_eq!(connections.admit(ROOT), Admission::Room(15));
        assert_eq!(connections.admit(ROOT), Admission::Full, "each other has a single one");
        assert_eq!(connections.admit(AGENT), Admission::Full);
        let mut connections = filled([ROOT; MAX]);
        assert_eq!((connections.admit(AGENT), connections.admit(ROOT)), (Admission::Full, Admission::Full));
        let another = Peer { pid: 4, ..ROOT };
        assert_eq!(connections.admit(another), Admission::InPlaceOf { id: 16, away: 0 });
        let mut connections = filled([ROOT].into_iter().chain((10..25).map(of_user)));
        assert_eq!(connections.admit(another), Admission::InPlaceOf { id: 16, away: 1 }, "others first");
    }
}
