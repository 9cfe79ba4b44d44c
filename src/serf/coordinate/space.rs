//! Geometry of coordinates: distance, and a push away from a point (`serf §10.3, §10.4`).

use rand::RngExt;
use rand::rngs::StdRng;

use super::{DIMENSIONS, ERROR_MAX, ZERO_THRESHOLD};
use crate::wire::serf::Coordinate;

/// Initial and least height in seconds: every member has a last mile.
pub(super) const HEIGHT_MIN: f64 = 10.0e-6;

/// A coordinate at the origin that nobody should trust yet.
pub(crate) fn fresh() -> Coordinate {
    Coordinate { vec: vec![0.0; DIMENSIONS], error: ERROR_MAX, adjustment: 0.0, height: HEIGHT_MIN }
}

/// Distance without adjustments, in seconds.
pub(super) fn raw(a: &Coordinate, b: &Coordinate) -> f64 {
    length(&difference(&a.vec, &b.vec)) + a.height + b.height
}

/// Estimated round-trip time in seconds.
pub(crate) fn distance(a: &Coordinate, b: &Coordinate) -> f64 {
    let raw = raw(a, b);
    let adjusted = raw + a.adjustment + b.adjustment;
    if adjusted > 0.0 { adjusted } else { raw }
}

/// Pushes `it` away from `from` by `force` seconds, in a random direction if both are at one place.
pub(super) fn push(it: &mut Coordinate, from: &Coordinate, force: f64, rng: &mut StdRng) {
    let mut direction = difference(&it.vec, &from.vec);
    let apart = length(&direction);
    if apart > ZERO_THRESHOLD {
        direction.iter_mut().for_each(|component| *component /= apart);
        it.height = (it.height + (it.height + from.height) * force / apart).max(HEIGHT_MIN);
    } else {
        direction = random_direction(rng);
    }
    for (component, unit) in it.vec.iter_mut().zip(direction) {
        *component += unit * force;
    }
}

fn random_direction(rng: &mut StdRng) -> Vec<f64> {
    let mut direction: Vec<f64> = (0..DIMENSIONS).map(|_| rng.random::<f64>() - 0.5).collect();
    let length = length(&direction);
    if length > ZERO_THRESHOLD {
        direction.iter_mut().for_each(|component| *component /= length);
    } else {
        direction = vec![0.0; DIMENSIONS];
        direction[0] = 1.0;
    }
    direction
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn length(vec: &[f64]) -> f64 {
    vec.iter().map(|component| component * component).sum::<f64>().sqrt()
}
