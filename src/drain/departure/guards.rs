//! Which applications' guard units want a node drained (`protocols A.6`).

use std::collections::BTreeSet;
use std::fmt;

use crate::escape::is_unsafe;

/// The guard of one application, named by that application's unit.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Guard(String);

impl Guard {
    /// Longest, in bytes: systemd knows no longer name of a unit.
    pub const MAX_BYTES: usize = 255;

    /// One that does not say whose it is, as all did before they were told apart.
    pub fn unnamed() -> Self {
        Self::default()
    }

    /// `None` if `unit` is empty, longer than [`Self::MAX_BYTES`], or would do more to a terminal than be read.
    pub fn new(unit: &str) -> Option<Self> {
        let is_unit = (1..=Self::MAX_BYTES).contains(&unit.len()) && !unit.chars().any(is_unsafe);
        is_unit.then(|| Self(unit.to_owned()))
    }

    /// The unit, empty if it is not named.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_named(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All guards that want one node drained, at most [`Self::MAX`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Guards(BTreeSet<Guard>);

impl Guards {
    /// Most of them. One more is one that is not named: its drain holds all the same, and is over with the next undo.
    pub const MAX: usize = 16;

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Guard> {
        self.0.iter()
    }

    /// The units.
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Takes one back; whether that changed anything. One without a name speaks for all of them, and any of them for one
    /// without a name: nobody else would.
    pub(super) fn remove(&mut self, guard: &Guard) -> bool {
        let before = self.0.len();
        self.0.retain(|kept| guard.is_named() && kept.is_named() && kept != guard);
        self.0.len() < before
    }
}

impl Extend<Guard> for Guards {
    fn extend<T: IntoIterator<Item = Guard>>(&mut self, guards: T) {
        for guard in guards {
            let has_room = self.0.len() < Self::MAX || self.0.contains(&guard);
            self.0.insert(if has_room { guard } else { Guard::unnamed() });
        }
    }
}

impl FromIterator<Guard> for Guards {
    fn from_iter<T: IntoIterator<Item = Guard>>(guards: T) -> Self {
        let mut all = Self::default();
        all.extend(guards);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_back_its_own_word_and_one_without_a_name_all() {
        let named = |unit: &&str| Guard::new(unit).unwrap_or_default();
        // who drains, who takes it back, who is left
        for (guards, back, left) in [
            (&["a.service"][..], "a.service", &[][..]),
            (&["a.service", "b.service"], "a.service", &["b.service"]),
            (&["a.service", "b.service"], "c.service", &["a.service", "b.service"]),
            (&["a.service", "b.service"], "", &[]),
            (&["", "b.service"], "a.service", &["b.service"]),
            (&[""], "", &[]),
            (&[], "a.service", &[]),
        ] {
            let mut all: Guards = guards.iter().map(named).collect();
            let changed = all.remove(&named(&back));
            assert_eq!((all.to_strings(), changed), (left.iter().map(ToString::to_string).collect(), guards != left));
        }
    }

    #[test]
    fn there_are_not_more_than_there_is_room_for() {
        let all: Guards = (0..1000).filter_map(|n| Guard::new(&format!("{n}.service"))).collect();
        assert_eq!(all.iter().count(), Guards::MAX + 1);
        assert!(all.iter().any(|guard| *guard == Guard::unnamed()));
        for unit in ["", "a\nb", &"x".repeat(Guard::MAX_BYTES + 1)] {
            assert_eq!(Guard::new(unit), None);
        }
    }
}
