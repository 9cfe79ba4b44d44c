//! Which counters of one sender were accepted (RFC 6479).

use super::DropReason;

/// How far back a counter may lie.
const WIDTH: u64 = 2048;

const WORDS: usize = 33;

/// The highest counter accepted, and which of the 2048 up to it were. One word more than that takes, so that moving on
/// clears whole words.
#[derive(Clone, Debug)]
pub(super) struct Window {
    highest: u32,
    accepted: [u64; WORDS],
}

impl Window {
    /// The window of a sender that was heard for the first time: any counter may be its first.
    pub(super) fn new(first: u32) -> Self {
        let mut window = Self { highest: first, accepted: [0; WORDS] };
        window.set(first);
        window
    }

    /// Whether a packet with this counter may still be accepted.
    pub(super) fn check(&self, counter: u32) -> Result<(), DropReason> {
        if u64::from(counter) + WIDTH <= self.highest.into() {
            Err(DropReason::TooOld)
        } else if counter <= self.highest && self.accepted[word(counter)] & bit(counter) != 0 {
            Err(DropReason::Replayed)
        } else {
            Ok(())
        }
    }

    /// Remembers a counter that passed [`check`](Self::check) and whose packet was opened.
    pub(super) fn accept(&mut self, counter: u32) {
        if counter > self.highest {
            let passed = (counter / 64 - self.highest / 64).min(WORDS as u32);
            for step in 1..=passed {
                self.accepted[(word(self.highest) + step as usize) % WORDS] = 0;
            }
            self.highest = counter;
        }
        self.set(counter);
    }

    fn set(&mut self, counter: u32) {
        self.accepted[word(counter)] |= bit(counter);
    }
}

fn word(counter: u32) -> usize {
    (counter / 64) as usize % WORDS
}

fn bit(counter: u32) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The rule as it is written, with a set of everything accepted.
    struct Model {
        accepted: BTreeSet<u32>,
    }

    impl Model {
        fn check(&self, counter: u32) -> Result<(), DropReason> {
            match self.accepted.last() {
                Some(&highest) if i64::from(counter) <= i64::from(highest) - 2048 => Err(DropReason::TooOld),
                _ if self.accepted.contains(&counter) => Err(DropReason::Replayed),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn the_first_counter_may_be_the_last_of_all() {
        for first in [0, 63, 64, 2047, 2048, u32::MAX] {
            let window = Window::new(first);
            assert_eq!(window.check(first), Err(DropReason::Replayed));
            assert_eq!(window.check(first.saturating_add(1)).is_ok(), first != u32::MAX);
        }
    }

    proptest! {
        #[test]
        fn a_window_follows_the_rule(
            start in prop_oneof![0u32..5000, Just(u32::MAX - 5000)],
            steps in proptest::collection::vec(prop_oneof![-2100i64..100, -5i64..5, 1i64..5000], 1..300),
        ) {
            let mut window = Window::new(start);
            let mut model = Model { accepted: [start].into() };
            for step in steps {
                let highest = i64::from(*model.accepted.last().unwrap());
                let Ok(counter) = u32::try_from(highest + step) else { continue };
                prop_assert_eq!(window.check(counter), model.check(counter), "{} after {}", counter, highest);
                if model.check(counter).is_ok() {
                    window.accept(counter);
                    model.accepted.insert(counter);
                }
            }
        }
    }
}
