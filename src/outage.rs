//! A failure that repeats, such as a full table of open files: told when it begins, and with its count when it is over.

use std::time::{Duration, Instant};

/// It is over when it was not seen for so long: at a limit, success and failure take turns.
const QUIET: Duration = Duration::from_secs(30);

/// The failures of one kind since the first that was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage {
    failures: u64,
    last: Option<Instant>,
}

impl Outage {
    /// Once more. Returns whether that is to be told.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures += 1;
        self.last.replace(now).is_none()
    }

    /// It worked. Returns how often it had not, once it has done so for a while.
    pub(crate) fn worked(&mut self, now: Instant) -> Option<u64> {
        let over = self.last.is_some_and(|last| now.duration_since(last) >= QUIET);
        over.then(|| std::mem::take(self).failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_counted_when_it_is_over() {
        #[expect(clippy::disallowed_methods, reason = "there is no other way to a first moment")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::default();
        assert_eq!(outage.worked(at(0)), None);
        assert!(outage.failed(at(1)));
        for second in 2..60 {
            assert_eq!(outage.worked(at(second)), None);
            assert!(!outage.failed(at(second)));
        }
        assert_eq!((outage.worked(at(88)), outage.worked(at(89)), outage.worked(at(90))), (None, Some(59), None));
        assert!(outage.failed(at(91)));
    }
}
