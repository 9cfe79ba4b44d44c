//! Recent intents about members we do not know yet (`Serf wire format §4.6`).
//!
//! Gossip may bring the intent before the member. It is kept for a while and applied when the member appears.

use std::collections::BTreeMap;
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
pub(crate) struct Intents(BTreeMap<NodeName, Intent>);

impl Intents {
    /// Stores the intent unless one at least as new is held.
    pub(crate) fn upsert(&mut self, name: &NodeName, intent: Intent) -> Stored {
        match self.0.get_mut(name) {
            Some(held) if held.ltime >= intent.ltime => Stored::Seen,
            Some(held) => {
                *held = intent;
                Stored::New
            }
            None => {
                let evicting = self.0.len() >= MAX_INTENTS && self.evict_oldest();
                self.0.insert(name.clone(), intent);
                if evicting { Stored::Evicting } else { Stored::New }
            }
        }
    }

    pub(crate) fn get(&self, name: &NodeName) -> Option<Intent> {
        self.0.get(name).copied()
    }

    /// Forgets what was heard more than `timeout` ago.
    pub(crate) fn expire(&mut self, now: Instant, timeout: Duration) {
        self.0.retain(|_, intent| now.since(intent.heard) <= timeout);
    }

    fn evict_oldest(&mut self) -> bool {
        let oldest = self.0.iter().min_by_key(|(_, intent)| intent.heard).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.0.remove(&name).is_some())
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
        assert_eq!(intents.0.len(), MAX_INTENTS);
        assert!(intents.get(&name("n0")).is_none());
        assert!(intents.get(&name("n1")).is_some());
    }
}
