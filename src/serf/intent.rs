//! Recent intents about members we do not know yet (`serf §4.6`).
//!
//! Gossip may bring the intent before the member. It is kept for a while and applied when the member appears.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clock::LamportTime;
use crate::time::Instant;
use crate::wire::NodeName;

/// Intents remembered. The reference has no limit; every message about an invented name would stay for five minutes.
pub const MAX_INTENTS: usize = 4096;

/// What a member announced, or was announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IntentKind {
    Join,
    Leave,
}

/// The newest intent about an unknown name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Intent {
    pub(crate) kind: IntentKind,
    pub(crate) ltime: LamportTime,
    pub(crate) heard: Instant,
}

/// What became of an intent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    /// Not newer than the one held; the first of two with the same time wins.
    Seen,
    New,
    /// New, and the oldest entry was forgotten for it.
    Evicting,
}

/// The intents, one for each name.
#[derive(Debug, Default)]
pub(crate) struct Intents {
    by_name: BTreeMap<NodeName, Intent>,
    /// The same, longest heard first: one push/pull may bring a million of them, so making room must not look at all.
    by_age: BTreeSet<(Instant, NodeName)>,
}

impl Intents {
    /// Stores the intent unless one at least as new is held.
    pub(crate) fn upsert(&mut self, name: &NodeName, intent: Intent) -> Stored {
        let held = self.by_name.get(name).copied();
        if held.is_some_and(|held| held.ltime >= intent.ltime) {
            return Stored::Seen;
        }
        let evicting = held.is_none() && self.by_name.len() >= MAX_INTENTS;
        if evicting && let Some((_, oldest)) = self.by_age.pop_first() {
            self.by_name.remove(&oldest);
        }
        if let Some(held) = held {
            self.by_age.remove(&(held.heard, name.clone()));
        }
        self.by_age.insert((intent.heard, name.clone()));
        self.by_name.insert(name.clone(), intent);
        if evicting { Stored::Evicting } else { Stored::New }
    }

    pub(crate) fn get(&self, name: &NodeName) -> Option<Intent> {
        self.by_name.get(name).copied()
    }

    /// Forgets what was heard more than `timeout` ago.
    pub(crate) fn expire(&mut self, now: Instant, timeout: Duration) {
        while self.by_age.first().is_some_and(|(heard, _)| now.since(*heard) > timeout) {
            let (_, name) = self.by_age.pop_first().expect("just seen");
            self.by_name.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn intent(kind: IntentKind, ltime: u64, heard: u64) -> Intent {
        Intent { kind, ltime: LamportTime(ltime), heard: Instant::from_nanos(heard) }
    }

    #[test]
    fn the_newer_intent_wins_and_of_equal_ones_the_first() {
        use IntentKind::{Join, Leave};
        // held, arrives, outcome, kind held after
        for (held, arrives, outcome, kept) in [
            ((Join, 5), (Leave, 5), Stored::Seen, Join),
            ((Join, 5), (Leave, 4), Stored::Seen, Join),
            ((Join, 5), (Leave, 6), Stored::New, Leave),
            ((Leave, 5), (Join, 6), Stored::New, Join),
            ((Leave, 0), (Join, 0), Stored::Seen, Leave),
            ((Leave, 0), (Join, 1), Stored::New, Join),
        ] {
            let mut intents = Intents::default();
            assert_eq!(intents.upsert(&name("a"), intent(held.0, held.1, 0)), Stored::New);
            assert_eq!(intents.upsert(&name("a"), intent(arrives.0, arrives.1, 1)), outcome);
            assert_eq!(intents.get(&name("a")).unwrap().kind, kept);
        }
    }

    #[test]
    fn intents_expire_after_the_timeout_and_not_at_it() {
        let mut intents = Intents::default();
        intents.upsert(&name("a"), intent(IntentKind::Join, 1, 1000));
        intents.expire(Instant::from_nanos(1300), Duration::from_nanos(300));
        assert!(intents.get(&name("a")).is_some());
        intents.expire(Instant::from_nanos(1301), Duration::from_nanos(300));
        assert!(intents.get(&name("a")).is_none());
    }

    #[test]
    fn a_flood_of_invented_names_displaces_the_oldest_and_stays_bounded() {
        let mut intents = Intents::default();
        for i in 0..MAX_INTENTS as u64 {
            assert_eq!(intents.upsert(&name(&format!("n{i}")), intent(IntentKind::Join, 1, i)), Stored::New);
        }
        let late = intent(IntentKind::Leave, 1, MAX_INTENTS as u64);
        assert_eq!(intents.upsert(&name("late"), late), Stored::Evicting);
        assert_eq!((intents.by_name.len(), intents.by_age.len()), (MAX_INTENTS, MAX_INTENTS));
        assert!(intents.get(&name("n0")).is_none());
        assert!(intents.get(&name("n1")).is_some());
    }
    #[test]
    fn an_intent_heard_again_is_as_young_as_its_newest_word() {
        let mut intents = Intents::default();
        intents.upsert(&name("a"), intent(IntentKind::Join, 1, 0));
        intents.upsert(&name("b"), intent(IntentKind::Join, 1, 10));
        intents.upsert(&name("a"), intent(IntentKind::Join, 2, 20));
        intents.expire(Instant::from_nanos(30), Duration::from_nanos(15));
        assert!(intents.get(&name("a")).is_some() && intents.get(&name("b")).is_none());
        assert_eq!(intents.by_age.len(), 1);
    }

    #[test]
    fn making_room_for_a_million_names_looks_at_few() {
        let mut intents = Intents::default();
        for i in 0..1_000_000 {
            intents.upsert(&name(&format!("n{i}")), intent(IntentKind::Join, 1, 7));
        }
        assert_eq!((intents.by_name.len(), intents.by_age.len()), (MAX_INTENTS, MAX_INTENTS));
    }
}
