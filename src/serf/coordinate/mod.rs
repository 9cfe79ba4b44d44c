//! Network coordinates: Vivaldi with height, adjustment, gravity and a latency filter (`serf §10`).

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;

use crate::wire::NodeName;
use crate::wire::serf::Coordinate;

mod space;

pub(crate) use space::{distance, fresh};

/// Length of a coordinate's vector.
pub const DIMENSIONS: usize = 8;
/// Initial and largest error.
const ERROR_MAX: f64 = 1.5;
/// Share of a sample's error taken over.
const ERROR_GAIN: f64 = 0.25;
/// Share of a sample's force applied.
const FORCE_GAIN: f64 = 0.25;
/// Samples of which the adjustment is the mean.
const ADJUSTMENT_WINDOW: usize = 20;
/// Samples of each member of which the median is used.
const LATENCY_WINDOW: usize = 3;
/// Distance from the origin, in seconds, at which gravity equals one.
const GRAVITY_RHO: f64 = 150.0;
/// Below this, in seconds, a time or an error counts as nothing.
const ZERO_THRESHOLD: f64 = 1.0e-6;
/// A longer round trip is no measurement.
pub const RTT_MAX: Duration = Duration::from_secs(10);

/// Estimated round-trip time between two coordinates; `None` if their dimensions differ or the result is no time.
pub fn estimate(a: &Coordinate, b: &Coordinate) -> Option<Duration> {
    let comparable = a.vec.len() == b.vec.len() && is_finite(a) && is_finite(b);
    comparable.then(|| Duration::try_from_secs_f64(distance(a, b).max(0.0)).ok()).flatten()
}

/// Our own coordinate, and what we know of others'.
#[derive(Debug)]
pub(crate) struct Client {
    own: Coordinate,
    adjustments: [f64; ADJUSTMENT_WINDOW],
    next_adjustment: usize,
    peers: BTreeMap<NodeName, Peer>,
    resets: u64,
    rng: StdRng,
}

#[derive(Debug, Default)]
struct Peer {
    /// The newest round-trip times in seconds, oldest first.
    latencies: Vec<f64>,
    coordinate: Option<Coordinate>,
}

/// Why a measurement was not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rejected;

impl Client {
    pub(crate) fn new(rng: StdRng) -> Self {
        let adjustments = [0.0; ADJUSTMENT_WINDOW];
        Self { own: fresh(), adjustments, next_adjustment: 0, peers: BTreeMap::new(), resets: 0, rng }
    }

    /// Our own coordinate.
    pub(crate) fn own(&self) -> &Coordinate {
        &self.own
    }

    /// The last coordinate that `name` told us.
    pub(crate) fn of(&self, name: &str) -> Option<&Coordinate> {
        self.peers.get(name).and_then(|peer| peer.coordinate.as_ref())
    }

    /// How often our own coordinate degenerated and began anew.
    pub(crate) fn resets(&self) -> u64 {
        self.resets
    }

    /// Forgets everything about a member.
    pub(crate) fn forget(&mut self, name: &str) {
        self.peers.remove(name);
    }

    /// Moves our coordinate by one measurement: `name` answered after `rtt` and told that it is at `other`.
    pub(crate) fn update(&mut self, name: &NodeName, other: Coordinate, rtt: Duration) -> Result<(), Rejected> {
        if other.vec.len() != DIMENSIONS || !is_finite(&other) || rtt > RTT_MAX {
            return Err(Rejected);
        }
        let peer = self.peers.entry(name.clone()).or_default();
        let rtt = peer.filter(rtt.as_secs_f64());
        self.pull_towards(&other, rtt);
        self.adjust(&other, rtt);
        self.fall_to_origin();
        if !is_finite(&self.own) {
            self.own = fresh();
            self.resets += 1;
        }
        self.peers.entry(name.clone()).or_default().coordinate = Some(other);
        Ok(())
    }

    fn pull_towards(&mut self, other: &Coordinate, rtt: f64) {
        let estimate = whole_nanos(distance(&self.own, other));
        let rtt = rtt.max(ZERO_THRESHOLD);
        let wrong = (estimate - rtt).abs() / rtt;
        let weight = self.own.error / (self.own.error + other.error).max(ZERO_THRESHOLD);
        let gain = ERROR_GAIN * weight;
        self.own.error = go_min(gain * wrong + self.own.error * (1.0 - gain), ERROR_MAX);
        let force = FORCE_GAIN * weight * (rtt - estimate);
        space::push(&mut self.own, other, force, &mut self.rng);
    }

    fn adjust(&mut self, other: &Coordinate, rtt: f64) {
        self.adjustments[self.next_adjustment] = rtt - space::raw(&self.own, other);
        self.next_adjustment = (self.next_adjustment + 1) % ADJUSTMENT_WINDOW;
        self.own.adjustment = self.adjustments.iter().sum::<f64>() / (2.0 * ADJUSTMENT_WINDOW as f64);
    }

    fn fall_to_origin(&mut self) {
        let origin = fresh();
        let away = whole_nanos(distance(&origin, &self.own));
        let force = -(away / GRAVITY_RHO).powi(2);
        space::push(&mut self.own, &origin, force, &mut self.rng);
    }
}

impl Peer {
    /// The median of the newest measurements, the larger one of two.
    fn filter(&mut self, rtt: f64) -> f64 {
        self.latencies.push(rtt);
        if self.latencies.len() > LATENCY_WINDOW {
            self.latencies.remove(0);
        }
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// The reference computes distances as durations, which are whole nanoseconds.
fn whole_nanos(seconds: f64) -> f64 {
    (seconds * 1e9).trunc() / 1e9
}

/// The smaller one, but not a number if the value is none: a degenerate error must be seen and reset.
fn go_min(value: f64, limit: f64) -> f64 {
    if value > limit { limit } else { value }
}

fn is_finite(it: &Coordinate) -> bool {
    it.vec.iter().chain([&it.error, &it.adjustment, &it.height]).all(|component| component.is_finite())
}

#[cfg(test)]
mod tests;
