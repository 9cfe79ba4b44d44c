//! Many interleavings of operators that crash, members that restart, and requests that are lost, late or repeated.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::super::*;
use super::world::*;

/// What a run of the model exercised; one that exercised nothing proves nothing.
#[derive(Debug, Default)]
struct Count {
    late: usize,
    restarts: usize,
    crashes: usize,
    superseded: usize,
    rotated: usize,
}

fn play(seed: u64, mut world: World, mut operators_left: u8, options: &Options, count: &mut Count) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let names: Vec<NodeName> = world.hosts.keys().cloned().collect();
    let mut running: Vec<Operator> = Vec::new();
    let mut number = 2;
    for _ in 0..200 {
        match rng.random_range(0..10) {
            0 if operators_left > 0 && running.len() < 2 => {
                operators_left -= 1;
                running.push(world.operator(number, options.clone()));
                number += 1;
            }
            1 if !world.late.is_empty() => {
                // Late, and perhaps once more.
                let (to, params) = world.late.choose(rng).unwrap().clone();
                world.deliver(&to, &params);
                count.late += 1;
            }
            2 => {
                let name = names.choose(rng).unwrap();
                world.host(name.as_str()).restart();
                assert_eq!(world.broken(), None, "seed {seed}: after a restart of {name}");
                count.restarts += 1;
            }
            3 if rng.random_ratio(1, 5) && !running.is_empty() => {
                running.remove(rng.random_range(0..running.len()));
                count.crashes += 1;
            }
            _ if running.is_empty() => {}
            _ => {
                let at = rng.random_range(0..running.len());
                let operator = &mut running[at];
                match world.next_request(operator) {
                    Some(params) => world.carry(operator, &params, |_| rng.random_ratio(4, 5)),
                    None => match running.remove(at).end {
                        Some(End::Rotated { .. }) => count.rotated += 1,
                        Some(End::Stopped(stop)) => {
                            count.superseded +=
                                usize::from(stop.who.iter().any(|(_, why)| matches!(why, Why::Superseded(_))));
                        }
                        other => panic!("{other:?}"),
                    },
                }
            }
        }
    }
    // One operator left running, everybody there: it ends.
    world.hosts.values_mut().for_each(|host| host.up = true);
    let end = world.rotate(number, Options::default());
    assert!(is_rotated(&end), "seed {seed}: {end:?}");
    world.assert_only(number);
}

#[test]
fn two_operators_and_three_weir_members_that_restart() {
    let mut count = Count::default();
    for seed in 0..300 {
        let world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]))]);
        play(seed, world, 6, &Options::default(), &mut count);
    }
    assert!(count.late > 100 && count.restarts > 1000 && count.crashes > 50, "{count:?}");
    assert!(count.superseded > 20 && count.rotated > 100, "{count:?}");
}

#[test]
fn one_operator_who_crashes_and_two_serf_members() {
    let mut count = Count::default();
    for seed in 0..300 {
        let mut world = World::new([
            ("a", Host::weir(&[1])),
            ("b", Host::weir(&[1])),
            ("s", Host::serf(&[1])),
            ("t", Host::serf(&[1])),
        ]);
        let rng = &mut StdRng::seed_from_u64(seed);
        for number in 2..6 {
            let mut operator = world.operator(number, Options::default());
            while let Some(params) = world.next_request(&mut operator).filter(|_| !rng.random_ratio(1, 12)) {
                world.carry(&mut operator, &params, |_| rng.random_ratio(4, 5));
            }
            count.crashes += usize::from(operator.end.is_none());
            // What the pause before the next run is for: everything under way arrives or is lost.
            for (to, params) in std::mem::take(&mut world.late) {
                if rng.random_bool(0.5) {
                    world.deliver(&to, &params);
                }
            }
        }
        let end = world.rotate(9, Options::default());
        assert!(is_rotated(&end), "seed {seed}: {end:?}");
        world.assert_only(9);
    }
    assert!(count.crashes > 100, "{count:?}");
}

#[test]
fn an_absent_member_comes_back_at_any_time() {
    let mut count = Count::default();
    for seed in 0..300 {
        let mut world = World::new([("a", Host::weir(&[1])), ("b", Host::weir(&[1])), ("c", Host::weir(&[1]))]);
        world.absent_allowed = true;
        world.host("c").up = seed % 2 == 0;
        play(seed, world, 6, &absent(&["c"]), &mut count);
    }
    assert!(count.late > 100 && count.superseded > 20, "{count:?}");
}
