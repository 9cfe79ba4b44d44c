//! Keys that were in our ring and are no more: whoever still seals with one has not heard of it yet, or was shut out.

use std::collections::VecDeque;
use std::time::Duration;

use crate::crypto::{KeyId, Keyring};
use crate::time::Instant;

use super::Drop;

/// Most that are remembered.
pub const MAX_REMOVED: usize = 16;
/// What was on its way, and members that are the last to hear of a removal, come within this time.
pub(super) const AFTERMATH: Duration = Duration::from_secs(30);

/// The last few, the latest last.
#[derive(Debug, Default)]
pub(super) struct RemovedKeys(VecDeque<Removed>);

/// A key that was in our ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RemovedKey {
    pub key: KeyId,
    /// Members that were there when it was removed, ourselves included: most likely they follow the same ring.
    pub members: usize,
}

#[derive(Clone, Copy, Debug)]
struct Removed {
    what: RemovedKey,
    /// Until then it is no wonder that somebody uses it.
    ordinary_until: Instant,
}

impl RemovedKeys {
    /// Those of earlier runs, with the time since they were removed.
    pub(super) fn restored(keys: Vec<(RemovedKey, Duration)>, now: Instant) -> Self {
        let removed = |(what, age)| Removed { what, ordinary_until: now + AFTERMATH.saturating_sub(age) };
        Self(keys.into_iter().map(removed).collect())
    }

    /// `after` takes the place of `before`, while `members` are there.
    pub(super) fn replaced(&mut self, before: Option<&Keyring>, after: &Keyring, members: usize, now: Instant) {
        self.0.retain(|removed| after.key(removed.what.key).is_none());
        for key in before.into_iter().flat_map(Keyring::keys).filter(|key| !after.keys().contains(key)) {
            self.0.retain(|removed| removed.what.key != key.id());
            if self.0.len() == MAX_REMOVED {
                self.0.pop_front();
            }
            self.0.push_back(Removed { what: RemovedKey { key: key.id(), members }, ordinary_until: now + AFTERMATH });
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = RemovedKey> + '_ {
        self.0.iter().map(|removed| removed.what)
    }

    /// Whether a removal of these days is all there is to a refusal. memberlist's envelope does not tell its key.
    pub(super) fn explains(&self, reason: Drop, key: Option<KeyId>, now: Instant) -> bool {
        let mut lately = self.0.iter().filter(|removed| now < removed.ordinary_until);
        match (reason, key) {
            (Drop::KeyUnknown, Some(key)) => lately.any(|removed| removed.what.key == key),
            (Drop::NotOpened, None) => lately.next().is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key;

    fn key(fill: u8) -> Key {
        Key::new(&[fill; 16]).unwrap()
    }

    fn ring(fills: &[u8]) -> Keyring {
        Keyring::new(key(fills[0]), fills[1..].iter().map(|&fill| key(fill)))
    }

    fn ids(removed: &RemovedKeys) -> Vec<KeyId> {
        removed.iter().map(|removed| removed.key).collect()
    }

    #[test]
    fn what_left_the_ring_is_remembered_until_it_is_back() {
        let (now, mut removed) = (Instant::from_nanos(1), RemovedKeys::default());
        removed.replaced(None, &ring(&[1]), 1, now);
        removed.replaced(Some(&ring(&[1, 2, 3])), &ring(&[3]), 2, now);
        assert_eq!(ids(&removed), [key(1).id(), key(2).id()]);
        removed.replaced(Some(&ring(&[3])), &ring(&[3, 1]), 2, now);
        assert_eq!(ids(&removed), [key(2).id()]);
        for fill in 10..60 {
            removed.replaced(Some(&ring(&[3, fill])), &ring(&[3]), 2, now);
        }
        assert_eq!(removed.iter().count(), MAX_REMOVED);
        assert_eq!(removed.iter().last(), Some(RemovedKey { key: key(59).id(), members: 2 }));
    }

    #[test]
    fn a_refusal_soon_after_a_removal_is_ordinary() {
        let start = Instant::from_nanos(1);
        let mut removed = RemovedKeys::default();
        removed.replaced(Some(&ring(&[1, 2])), &ring(&[2]), 3, start);
        let soon = start + AFTERMATH - Duration::from_nanos(1);
        for (reason, fill, at, ordinary) in [
            (Drop::KeyUnknown, Some(1), soon, true),
            (Drop::KeyUnknown, Some(1), start + AFTERMATH, false),
            (Drop::KeyUnknown, Some(9), soon, false),
            (Drop::NotOpened, None, soon, true),
            (Drop::NotOpened, None, start + AFTERMATH, false),
            (Drop::Plaintext, None, soon, false),
        ] {
            let key = fill.map(|fill| key(fill).id());
            assert_eq!(removed.explains(reason, key, at), ordinary, "{reason:?} {fill:?}");
        }
        // A restart does not begin the time anew.
        let age = AFTERMATH - Duration::from_secs(1);
        let removed = RemovedKeys::restored(vec![(RemovedKey { key: key(1).id(), members: 3 }, age)], start);
        let explains = |at| removed.explains(Drop::KeyUnknown, Some(key(1).id()), at);
        assert!(explains(start) && !explains(start + Duration::from_secs(1)));
    }
}
