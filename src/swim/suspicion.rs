//! The suspicion timer (`SWIM §4.2`; Lifeguard, local health aware suspicion; `memberlist §4.6`).

use std::time::Duration;

use crate::time::Instant;
use crate::wire::NodeName;

use super::Options;

/// A running suspicion of one member.
///
/// Its deadline only moves closer: from `max` without a confirmation to `min` with all that are wanted. Each accuser
/// counts once, so that one slow member cannot hurry it.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    started: Instant,
    min: Duration,
    max: Duration,
    /// Confirmations wanted, from members other than the first accuser.
    wanted: usize,
    /// The first accuser, then those who confirmed.
    accusers: Vec<NodeName>,
    deadline: Instant,
}

impl Suspicion {
    /// A suspicion raised by `from` in a table of `members`.
    pub(crate) fn new(options: &Options, members: usize, from: NodeName, now: Instant) -> Self {
        let min = min_timeout(options, members);
        let max = min * options.suspicion_max_timeout_mult;
        let wanted = options.suspicion_mult.saturating_sub(2) as usize;
        let wanted = if members.saturating_sub(2) < wanted { 0 } else { wanted };
        let deadline = now + if wanted == 0 { min } else { max };
        Self { started: now, min, max, wanted, accusers: vec![from], deadline }
    }

    /// Counts `from` as a further accuser; false if that was no news.
    pub(crate) fn confirm(&mut self, from: &NodeName) -> bool {
        let confirmations = self.accusers.len() - 1;
        if confirmations >= self.wanted || self.accusers.contains(from) {
            return false;
        }
        self.accusers.push(from.clone());
        self.deadline = self.started + timeout(self.min, self.max, confirmations + 1, self.wanted);
        true
    }

    /// When it was raised.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When the member is declared dead.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// `mult * floor(max(1, log10(max(1, n))) * 1000) * probe_interval / 1000`.
fn min_timeout(options: &Options, members: usize) -> Duration {
    let scale = (members.max(1) as f64).log10().max(1.0);
    options.probe_interval * options.suspicion_mult * ((scale * 1000.0) as u32) / 1000
}

/// `max - (max - min) * ln(c + 1) / ln(k + 1)`, floored to a millisecond, not below `min`.
fn timeout(min: Duration, max: Duration, confirmations: usize, wanted: usize) -> Duration {
    let share = ((confirmations + 1) as f64).ln() / ((wanted + 1) as f64).ln();
    let seconds = max.as_secs_f64() - share * (max.as_secs_f64() - min.as_secs_f64());
    Duration::from_millis((seconds.max(0.0) * 1000.0).floor() as u64).max(min)
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;

    fn accuser(number: usize) -> NodeName {
        NodeName::new(&format!("accuser-{number}")).unwrap()
    }

    /// Total timeouts after 0, 1, 2, … confirmations, from the table of `memberlist §4.6`.
    #[test]
    fn timeouts_are_those_of_the_table() {
        let rows: [(Profile, usize, &[u64]); 12] = [
            (Profile::Lan, 3, &[4_000]),
            (Profile::Lan, 10, &[24_000, 11_381, 4_000]),
            (Profile::Lan, 100, &[48_000, 22_762, 8_000]),
            (Profile::Lan, 1000, &[72_000, 34_144, 12_000]),
            (Profile::Wan, 3, &[30_000]),
            (Profile::Wan, 10, &[180_000, 115_398, 77_609, 50_797, 30_000]),
            (Profile::Wan, 100, &[360_000, 230_797, 155_218, 101_594, 60_000]),
            (Profile::Wan, 1000, &[540_000, 346_195, 232_827, 152_391, 90_000]),
            (Profile::Local, 3, &[18_000, 3_000]),
            (Profile::Local, 10, &[18_000, 3_000]),
            (Profile::Local, 100, &[36_000, 6_000]),
            (Profile::Local, 1000, &[54_000, 9_000]),
        ];
        for (profile, members, timeouts) in rows {
            let start = Instant::ZERO + Duration::from_secs(1);
            let mut suspicion = Suspicion::new(&Options::profile(profile), members, accuser(0), start);
            for (confirmations, millis) in timeouts.iter().enumerate() {
                if confirmations > 0 {
                    assert!(suspicion.confirm(&accuser(confirmations)));
                }
                assert_eq!(
                    suspicion.deadline().since(start),
                    Duration::from_millis(*millis),
                    "{profile:?}, {members} members, {confirmations} confirmations"
                );
            }
            assert!(!suspicion.confirm(&accuser(99)), "all wanted confirmations are in");
        }
    }

    #[test]
    fn an_accuser_counts_once_and_the_first_never_confirms() {
        let mut suspicion = Suspicion::new(&Options::default(), 10, accuser(0), Instant::ZERO);
        assert!(!suspicion.confirm(&accuser(0)));
        assert!(suspicion.confirm(&accuser(1)));
        assert!(!suspicion.confirm(&accuser(1)));
    }

    #[test]
    fn minimum_grows_with_the_logarithm_of_the_cluster() {
        let options = Options { suspicion_mult: 1, ..Options::default() };
        for (members, millis) in [(5, 1000), (50, 1698), (100, 2000), (500, 2698), (1000, 3000)] {
            assert_eq!(min_timeout(&options, members), Duration::from_millis(millis), "{members}");
        }
    }
}
