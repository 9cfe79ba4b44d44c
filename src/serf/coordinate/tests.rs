use rand::SeedableRng;

use super::*;

fn client() -> Client {
    Client::new(StdRng::seed_from_u64(1))
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn at(x: f64, height: f64, error: f64) -> Coordinate {
    let mut it = fresh();
    it.vec[0] = x;
    it.height = height;
    it.error = error;
    it
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn a_fresh_coordinate_is_the_one_the_reference_sends() {
    let it = fresh();
    assert_eq!((it.vec.len(), it.error, it.adjustment, it.height), (8, 1.5, 0.0, 1.0e-5));
}

#[test]
fn distance_adds_heights_and_positive_adjustments() {
    let mut a = at(0.0, 0.1, 1.0);
    let mut b = at(0.3, 0.2, 1.0);
    assert!(close(distance(&a, &b), 0.6));
    a.adjustment = 0.05;
    assert!(close(distance(&a, &b), 0.65));
    b.adjustment = -1.0;
    assert!(close(distance(&a, &b), 0.6), "a negative sum falls back to the raw distance");
    assert_eq!(estimate(&a, &b), Some(Duration::from_nanos(600_000_000)));
}

#[test]
fn impossible_measurements_are_rejected_and_leave_no_trace() {
    let mut short = fresh();
    short.vec.pop();
    let mut long = fresh();
    long.vec.push(0.0);
    let nan = at(f64::NAN, 1e-5, 1.5);
    let infinite = at(0.0, f64::INFINITY, 1.5);
    let no_error = at(0.0, 1e-5, f64::NAN);
    let mut no_adjustment = fresh();
    no_adjustment.adjustment = f64::NEG_INFINITY;
    let ms = Duration::from_millis(10);
    for (other, rtt) in [
        (short, ms),
        (long, ms),
        (nan, ms),
        (infinite, ms),
        (no_error, ms),
        (no_adjustment, ms),
        (fresh(), RTT_MAX + Duration::from_nanos(1)),
    ] {
        let mut client = client();
        assert_eq!(client.update(&name("a"), other, rtt), Err(Rejected));
        assert_eq!((client.own(), client.of("a")), (&fresh(), None));
        assert!(client.peers.is_empty());
    }
    assert_eq!(client().update(&name("a"), fresh(), Duration::ZERO), Ok(()), "zero is allowed");
    assert_eq!(client().update(&name("a"), fresh(), RTT_MAX), Ok(()), "so is the maximum");
}

#[test]
fn the_latency_filter_takes_the_median_and_the_larger_of_two() {
    let mut peer = Peer::default();
    // newest measurement, value used
    for (rtt, used) in [(3.0, 3.0), (1.0, 3.0), (2.0, 2.0), (9.0, 2.0), (9.0, 9.0)] {
        assert_eq!(peer.filter(rtt), used);
    }
    assert_eq!(peer.latencies.len(), LATENCY_WINDOW);
}

#[test]
fn one_step_follows_the_formulas() {
    // At rest at x = 0, the other at x = 0.1 s; both errors 1.5, so the weight is one half.
    let mut client = client();
    let other = at(0.1, 1.0e-5, 1.5);
    client.update(&name("a"), other.clone(), Duration::from_millis(200)).unwrap();
    let estimate = 0.1 + 2.0e-5;
    let wrong = (estimate - 0.2_f64).abs() / 0.2;
    assert!(close(client.own().error, 0.125 * wrong + 1.5 * 0.875));
    let force = 0.125 * (0.2 - estimate);
    let moved = -force;
    let height = 1.0e-5 + 2.0e-5 * force / 0.1;
    let adjustment = (0.2 - ((0.1 - moved) + height + 1.0e-5)) / 40.0;
    assert!(close(client.own().adjustment, adjustment));
    // Gravity pulls back by less than a nanosecond here.
    assert!((client.own().vec[0] - moved).abs() < 1e-8, "{} {moved}", client.own().vec[0]);
    assert!(client.own().vec[1..].iter().all(|component| component.abs() < 1e-12));
    assert_eq!(client.of("a"), Some(&other));
}

#[test]
fn the_error_never_exceeds_its_maximum() {
    let mut client = client();
    client.update(&name("a"), at(9.0, 1e-5, 0.0), Duration::ZERO).unwrap();
    assert_eq!(client.own().error, 1.5);
}

#[test]
fn members_at_one_place_are_pushed_apart_in_a_random_direction() {
    let mut client = client();
    client.update(&name("a"), fresh(), Duration::from_millis(100)).unwrap();
    let moved = client.own().vec.iter().map(|component| component * component).sum::<f64>().sqrt();
    // Gravity has taken a few nanoseconds back.
    assert!((moved - 0.125 * (0.1 - 2.0e-5)).abs() < 1e-8, "{moved}");
    assert!((client.own().height - 1.0e-5).abs() < 1e-9, "the push left the height alone");
}

#[test]
fn gravity_draws_far_coordinates_to_the_origin() {
    let mut far = at(300.0, 1e-5, 1.5);
    let mut client = client();
    client.own = far.clone();
    client.fall_to_origin();
    let away = 300.0 + 2.0e-5_f64;
    assert!((client.own().vec[0] - (300.0 - (away / 150.0).powi(2))).abs() < 1e-6);
    far.vec[0] = 0.0;
    client.own = far;
    client.fall_to_origin();
    assert!(client.own().vec[0].abs() < 1e-9);
}

#[test]
fn a_degenerate_coordinate_begins_anew_and_is_counted() {
    let mut client = client();
    client.own.height = f64::MAX;
    client.own.vec[0] = f64::MAX;
    client.update(&name("a"), at(f64::MIN, f64::MAX, 1.5), Duration::from_millis(1)).unwrap();
    assert_eq!(client.own(), &fresh());
    assert_eq!(client.resets(), 1);
}

#[test]
fn forgetting_a_member_erases_coordinate_and_samples() {
    let mut client = client();
    client.update(&name("a"), fresh(), Duration::from_millis(1)).unwrap();
    client.forget("a");
    assert!(client.of("a").is_none() && client.peers.is_empty());
}

#[test]
fn three_members_find_their_distances() {
    // Round-trip times in ms: a-b 10, a-c 20, b-c 25.
    let rtt = [[0, 10, 20], [10, 0, 25], [20, 25, 0]];
    let mut clients: Vec<Client> = (0..3).map(|seed| Client::new(StdRng::seed_from_u64(seed))).collect();
    for round in 0..3000 {
        let (i, j) = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)][round % 6];
        let other = clients[j].own().clone();
        clients[i].update(&name(&format!("n{j}")), other, Duration::from_millis(rtt[i][j])).unwrap();
    }
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        let estimate = distance(clients[i].own(), clients[j].own()) * 1000.0;
        let real = rtt[i][j] as f64;
        assert!((estimate - real).abs() < 0.1 * real, "{i}-{j}: {estimate} instead of {real}");
    }
}
