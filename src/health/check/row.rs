//! Results in a row, and what they make of a check.

use super::Verdict;
use crate::health::State;

/// How many of the last results were of a kind, without one of another between them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Row {
    passing: u32,
    critical: u32,
    /// Passing or warning.
    not_critical: u32,
    /// Warning or critical.
    not_passing: u32,
}

impl Row {
    /// One more result.
    pub(super) fn push(&mut self, verdict: Verdict) {
        let (passing, critical) = (verdict == Verdict::Passing, verdict == Verdict::Critical);
        for (count, goes_on) in [
            (&mut self.passing, passing),
            (&mut self.critical, critical),
            (&mut self.not_critical, !critical),
            (&mut self.not_passing, !passing),
        ] {
            *count = if goes_on { count.saturating_add(1) } else { 0 };
        }
    }

    /// One more result, and the state that it makes of `state`.
    ///
    /// The first word that is not against it ends the wait. Otherwise it takes `rise` results in a row to become better and `fall` to
    /// become worse, each time as far as all of them agree.
    pub(super) fn after(&mut self, verdict: Verdict, state: State, rise: u32, fall: u32) -> State {
        self.push(verdict);
        match (state, verdict) {
            (State::Wait | State::None, Verdict::Passing) => State::Passing,
            (State::Wait | State::None, Verdict::Warning) => State::Warning,
            _ if self.critical >= fall => State::Critical,
            (State::Critical | State::Warning, _) if self.passing >= rise => State::Passing,
            (State::Critical, _) if self.not_critical >= rise => State::Warning,
            (State::Passing, _) if self.not_passing >= fall => State::Warning,
            (State::Wait | State::None | State::Passing | State::Warning | State::Critical, _) => state,
        }
    }

    /// How many results like this one came last.
    pub(super) fn of(self, verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Passing => self.passing,
            Verdict::Warning => self.not_critical.min(self.not_passing),
            Verdict::Critical => self.critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p`, `w` and `c` as results, `-` and the same letters as states.
    fn states(state: char, results: &str, rise: u32, fall: u32) -> String {
        let mut row = Row::default();
        let mut state = match state {
            'p' => State::Passing,
            'w' => State::Warning,
            'c' => State::Critical,
            _ => State::Wait,
        };
        let mut told = String::new();
        for result in results.chars() {
            let verdict = match result {
                'p' => Verdict::Passing,
                'w' => Verdict::Warning,
                _ => Verdict::Critical,
            };
            state = row.after(verdict, state, rise, fall);
            told.push(match state {
                State::Passing => 'p',
                State::Warning => 'w',
                State::Critical => 'c',
                State::Wait | State::None => '-',
            });
        }
        told
    }

    #[test]
    fn results_in_a_row_make_the_state() {
        for (state, results, rise, fall, wanted, why) in [
            ('-', "p", 2, 3, "p", "the first success ends the wait"),
            ('-', "w", 2, 3, "w", "so does a warning"),
            ('-', "cc", 2, 3, "--", "less than fall failures are no verdict"),
            ('-', "ccc", 2, 3, "--c", "fall failures are"),
            ('-', "c", 2, 1, "c", "fall 1"),
            ('p', "ccpccc", 2, 3, "pppppc", "a success in between begins the row anew"),
            ('p', "ccc", 2, 3, "ppc", "exactly fall"),
            ('c', "p", 2, 3, "c", "one less than rise"),
            ('c', "pp", 2, 3, "cp", "exactly rise"),
            ('c', "pcpp", 2, 3, "cccp", "a failure in between begins the row anew"),
            ('c', "p", 1, 3, "p", "rise 1"),
            ('c', "wp", 2, 3, "cw", "better as far as both agree"),
            ('c', "wpp", 2, 3, "cwp", "and further when enough do"),
            ('p', "wcw", 2, 3, "ppw", "worse as far as all agree"),
            ('p', "wcccc", 2, 3, "ppwcc", "and further when enough do"),
            ('p', "www", 2, 3, "ppw", "warnings in a row"),
            ('w', "pcp", 2, 3, "www", "a failure between successes"),
            ('w', "pp", 2, 3, "wp", "a warning is over"),
            ('w', "ccc", 2, 3, "wwc", "a warning that becomes worse"),
        ] {
            assert_eq!(states(state, results, rise, fall), wanted, "{why}: {state} {results} rise {rise} fall {fall}");
        }
    }

    #[test]
    fn the_last_results_of_a_kind_are_counted() {
        for (results, verdict, count) in [
            ("ccc", Verdict::Critical, 3),
            ("cpww", Verdict::Warning, 2),
            ("pcww", Verdict::Warning, 2),
            ("wpp", Verdict::Passing, 2),
            ("pw", Verdict::Passing, 0),
        ] {
            let mut row = Row::default();
            for result in results.chars() {
                row.push(match result {
                    'p' => Verdict::Passing,
                    'w' => Verdict::Warning,
                    _ => Verdict::Critical,
                });
            }
            assert_eq!(row.of(verdict), count, "{results}");
        }
    }
}
