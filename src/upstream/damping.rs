//! Flap damping: who changes too often is held down for a while (`design §7`).
//!
//! Counted is what the witnesses say of a member, never what was made of it: else leaving mode floor would be a change of every
//! server, hold them all down and bring mode floor back (`protocols D.3`).

use std::collections::VecDeque;
use std::time::Duration;

use super::Intent;
use crate::time::Instant;

/// `[upstream.NAME.policy] flap`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flap {
    /// So many changes are too many; 0 turns damping off.
    pub changes: u32,
    /// Within this time. Also how long the first hold lasts.
    pub within: Duration,
    /// Each hold lasts twice as long as the one before it, and no longer than this. Whoever was free for so long starts anew.
    pub hold_max: Duration,
}

impl Default for Flap {
    fn default() -> Self {
        Self { changes: 3, within: Duration::from_secs(60), hold_max: Duration::from_secs(600) }
    }
}

/// How often one member changed lately, and until when it is held down.
#[derive(Clone, Debug, Default)]
pub struct Damping {
    last: Option<Said>,
    /// The latest last; fewer than [`Flap::changes`].
    changes: VecDeque<Change>,
    hold: Option<HeldDown>,
}

/// The last word, and whether the balancer's probe has led to it.
#[derive(Clone, Copy, Debug)]
struct Said {
    word: Word,
    by_probe: bool,
}

/// From one word to the other, and whether it was the probe that spoke against.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Instant,
    by_probe: bool,
}

/// What the witnesses say, by and large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    For,
    Against,
}

#[derive(Clone, Copy, Debug)]
struct HeldDown {
    until: Instant,
    lasts: Duration,
    /// Without the probe there would have been too few changes for it.
    by_probe: bool,
}

impl Word {
    /// `None` where nobody says anything: no evidence, no first result, a deliberate departure.
    fn of(intent: Intent) -> Option<Self> {
        match intent {
            Intent::In | Intent::Half | Intent::Lost => Some(Self::For),
            Intent::Sick | Intent::Dead => Some(Self::Against),
            Intent::Stay | Intent::Warm | Intent::Gone => None,
        }
    }
}

impl Damping {
    /// Takes what the witnesses say now; `by_probe` if this balancer's probe is what speaks against the member.
    pub fn observe(&mut self, now: Instant, intent: Intent, by_probe: bool, flap: &Flap) {
        let Some(word) = Word::of(intent) else { return };
        let before = self.last.replace(Said { word, by_probe });
        if flap.changes == 0 {
            (self.changes, self.hold) = (VecDeque::new(), None);
            return;
        }
        let Some(before) = before.filter(|before| before.word != word) else { return };
        self.changes.push_back(Change { at: now, by_probe: before.by_probe || by_probe });
        while self.changes.front().is_some_and(|change| now.since(change.at) > flap.within) {
            self.changes.pop_front();
        }
        if self.changes.len() >= usize::try_from(flap.changes).unwrap_or(usize::MAX) {
            let by_probe = self.changes.drain(..).any(|change| change.by_probe);
            self.hold = Some(HeldDown { by_probe, ..self.next_hold(now, flap) });
        }
    }

    /// The probe is another one, or none: what it said ends with it, and a hold that there would not be without it.
    pub fn forget_probe(&mut self) {
        self.last = self.last.filter(|said| !said.by_probe);
        self.changes.retain(|change| !change.by_probe);
        self.hold = self.hold.filter(|hold| !hold.by_probe);
    }

    fn next_hold(&self, now: Instant, flap: &Flap) -> HeldDown {
        let before = self.hold.filter(|before| now < before.until + flap.hold_max);
        let lasts = before.map_or(flap.within, |before| before.lasts.saturating_mul(2)).min(flap.hold_max);
        HeldDown { until: now + lasts, lasts, by_probe: false }
    }

    /// Until when it is held down, if it is.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.hold.map(|hold| hold.until).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN: Intent = Intent::In;
    const SICK: Intent = Intent::Sick;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// Second by second what is said, and until which second it is held after each.
    fn holds(flap: &Flap, said: &[(u64, Intent)]) -> Vec<Option<u64>> {
        let mut damping = Damping::default();
        let after = |(seconds, intent): &(u64, Intent)| {
            damping.observe(at(*seconds), *intent, false, flap);
            damping.until(at(*seconds)).map(|until| until.since(Instant::ZERO).as_secs())
        };
        said.iter().map(after).collect()
    }

    #[test]
    fn the_third_change_within_a_minute_holds_down_and_a_minute_and_a_second_is_too_long() {
        let flap = Flap::default();
        let said = |last| [(0, IN), (10, SICK), (20, IN), (last, SICK)];
        assert_eq!(holds(&flap, &said(70)), [None, None, None, Some(130)]);
        assert_eq!(holds(&flap, &said(71)), [None, None, None, None]);
    }

    #[test]
    fn only_a_word_for_and_a_word_against_differ() {
        let same = [IN, Intent::Half, Intent::Lost, Intent::Stay, Intent::Warm, Intent::Gone, IN, Intent::Stay];
        let said: Vec<_> = (0..).zip(same).collect();
        assert!(holds(&Flap::default(), &said).iter().all(Option::is_none));
        let said = [(0, SICK), (1, Intent::Dead), (2, Intent::Stay), (3, SICK), (4, IN), (5, Intent::Stay), (6, SICK)];
        assert!(holds(&Flap::default(), &said).iter().all(Option::is_none), "two changes");
    }

    #[test]
    fn a_hold_doubles_up_to_its_limit_and_starts_anew_after_as_long_a_calm() {
        let mut damping = Damping::default();
        let mut now = 0;
        let mut next = |pause: u64| {
            now += pause;
            for intent in [IN, SICK, IN, SICK] {
                damping.observe(at(now), intent, false, &Flap::default());
            }
            let until = damping.until(at(now)).expect("three changes at once").since(at(now)).as_secs();
            now += until;
            until
        };
        assert_eq!([next(0), next(1), next(1), next(599), next(1), next(1)], [60, 120, 240, 480, 600, 600]);
        assert_eq!(next(600), 60);
    }

    #[test]
    fn changes_go_on_to_count_while_it_is_held() {
        let said = [(0, IN), (1, SICK), (2, IN), (3, SICK), (40, IN), (50, SICK), (60, IN)];
        assert_eq!(holds(&Flap::default(), &said)[3..], [Some(63), Some(63), Some(63), Some(180)]);
    }

    #[test]
    fn a_damping_that_is_turned_off_holds_nobody_and_lets_those_go_that_it_held() {
        let off = Flap { changes: 0, ..Flap::default() };
        assert!(holds(&off, &[(0, IN), (1, SICK), (2, IN), (3, SICK), (4, IN)]).iter().all(Option::is_none));
        let mut damping = Damping::default();
        for intent in [IN, SICK, IN, SICK] {
            damping.observe(at(0), intent, false, &Flap::default());
        }
        damping.observe(at(1), SICK, false, &off);
        assert_eq!(damping.until(at(1)), None);
    }

    #[test]
    fn a_hold_that_the_probe_has_led_to_ends_with_the_probe_and_another_does_not() {
        for (by_probe, held) in [([false; 2], Some(63)), ([true, false], None), ([false, true], None)] {
            let mut damping = Damping::default();
            let said = [(IN, false), (SICK, by_probe[0]), (IN, false), (SICK, by_probe[1])];
            for (seconds, (intent, by_probe)) in (0..).zip(said) {
                damping.observe(at(seconds), intent, by_probe, &Flap::default());
            }
            assert_eq!(damping.until(at(3)), Some(at(63)));
            damping.forget_probe();
            assert_eq!(damping.until(at(3)), held.map(at), "{by_probe:?}");
        }
    }

    #[test]
    fn what_the_probe_said_is_no_change_once_it_is_gone() {
        let mut damping = Damping::default();
        for (seconds, by_probe) in [(1, false), (2, true)] {
            damping.observe(at(0), IN, false, &Flap::default());
            damping.observe(at(seconds), SICK, by_probe, &Flap::default());
        }
        damping.forget_probe();
        for (seconds, intent) in [(3, IN), (4, SICK)] {
            damping.observe(at(seconds), intent, false, &Flap::default());
        }
        assert_eq!(damping.until(at(4)), None, "one by others before, and one after");
    }

    #[test]
    fn one_change_can_be_too_many() {
        let strict = Flap { changes: 1, ..Flap::default() };
        assert_eq!(holds(&strict, &[(0, SICK), (1, IN)]), [None, Some(61)]);
    }
}
