//! Local health awareness (Lifeguard): a node that misses acks first doubts itself.

use std::time::Duration;

/// A score from 0 (healthy) to one below the multiplier; every probe interval is stretched by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awareness {
    score: u32,
    multiplier: u32,
}

impl Awareness {
    pub(crate) fn new(multiplier: u32) -> Self {
        Self { score: 0, multiplier: multiplier.max(1) }
    }

    /// Moves the score by `delta` within its range.
    pub(crate) fn add(&mut self, delta: i32) {
        self.score = self.score.saturating_add_signed(delta).min(self.multiplier - 1);
    }

    pub(crate) fn score(self) -> u32 {
        self.score
    }

    /// `timeout * (score + 1)`.
    pub(crate) fn stretch(self, timeout: Duration) -> Duration {
        timeout * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_stays_within_its_range() {
        let mut awareness = Awareness::new(8);
        awareness.add(-1);
        assert_eq!(awareness.score(), 0);
        awareness.add(100);
        assert_eq!(awareness.score(), 7);
        assert_eq!(awareness.stretch(Duration::from_secs(1)), Duration::from_secs(8));
    }
}
