//! Slow start: a new server gets more from step to step, by Envoy's formula (`ux §1.2`).

use std::time::Duration;

/// Least part of its weight that a server gets, in percent.
const LEAST: u8 = 10;

/// `slow_start`, `slow_start_steps` and `slow_start_aggression`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long it takes until a new server gets all; zero turns it off.
    pub over: Duration,
    /// Reloads that it takes.
    pub steps: u32,
    /// Above 1 the first steps are the large ones, below the last.
    pub aggression: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { over: Duration::ZERO, steps: 4, aggression: 1.0 }
    }
}

impl SlowStart {
    /// Percent of its weight that a server gets at `age`: `(age / over) ^ (1 / aggression)`, as it is at the last step and never
    /// below 10. `None` once it gets all.
    pub fn percent(&self, age: Duration) -> Option<u8> {
        let step = self.step(age)?;
        let percent = (f64::from(step) / f64::from(self.steps)).powf(self.aggression.recip()) * 100.0;
        // Between 0 and 100, because the step is one of those before the last.
        Some((percent.round() as u8).max(LEAST))
    }

    /// The age at which that is different.
    pub fn next_step(&self, age: Duration) -> Option<Duration> {
        let reached = u128::from(self.step(age)? + 1) * self.over.as_nanos();
        // Rounded up: at an age below it the step would still be the one before.
        let nanos = u64::try_from(reached.div_ceil(u128::from(self.steps))).unwrap_or(u64::MAX);
        Some(Duration::from_nanos(nanos))
    }

    /// Steps that are done at `age`; `None` once all are.
    fn step(&self, age: Duration) -> Option<u32> {
        if age >= self.over {
            return None;
        }
        let done = age.as_nanos() * u128::from(self.steps) / self.over.as_nanos();
        u32::try_from(done).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percents(steps: u32, aggression: f64, seconds: &[u64]) -> Vec<Option<u8>> {
        let slow_start = SlowStart { over: Duration::from_secs(40), steps, aggression };
        seconds.iter().map(|seconds| slow_start.percent(Duration::from_secs(*seconds))).collect()
    }

    #[test]
    fn it_is_sampled_at_the_steps_and_never_below_ten_percent() {
        let seconds = [0, 9, 10, 19, 20, 30, 39, 40, 100];
        let some = |percents: [u8; 7]| percents.into_iter().map(Some).chain([None, None]).collect::<Vec<_>>();
        assert_eq!(percents(4, 1.0, &seconds), some([10, 10, 25, 25, 50, 75, 75]));
        assert_eq!(percents(4, 2.0, &seconds), some([10, 10, 50, 50, 71, 87, 87]));
        assert_eq!(percents(4, 0.5, &seconds), some([10, 10, 10, 10, 25, 56, 56]));
        assert_eq!(percents(4, 10.0, &seconds), some([10, 10, 87, 87, 93, 97, 97]));
        assert_eq!(percents(4, 0.1, &seconds), some([10; 7]));
        assert_eq!(percents(1, 1.0, &seconds), some([10; 7]));
    }

    #[test]
    fn each_step_is_named_before_it_comes() {
        let slow_start = SlowStart { over: Duration::from_secs(30), steps: 4, aggression: 1.0 };
        let mut ages = vec![Duration::ZERO];
        while let Some(next) = slow_start.next_step(ages[ages.len() - 1]) {
            ages.push(next);
        }
        assert_eq!(ages.iter().map(Duration::as_millis).collect::<Vec<_>>(), [0, 7500, 15_000, 22_500, 30_000]);
        let percents: Vec<Option<u8>> = ages.iter().map(|age| slow_start.percent(*age)).collect();
        assert_eq!(percents, [Some(10), Some(25), Some(50), Some(75), None]);
    }

    #[test]
    fn a_step_that_no_nanosecond_hits_is_over_when_it_is_due() {
        let slow_start = SlowStart { over: Duration::from_secs(1), steps: 3, aggression: 1.0 };
        let next = slow_start.next_step(Duration::ZERO).unwrap();
        assert_eq!((next.as_nanos(), slow_start.percent(next)), (333_333_334, Some(33)));
    }

    #[test]
    fn without_it_everybody_gets_all_at_once() {
        assert_eq!(SlowStart::default().percent(Duration::ZERO), None);
        assert_eq!(SlowStart::default().next_step(Duration::ZERO), None);
    }
}
