//! Many interleavings, and each failed idea of `protocols A.7`: a model that has the fault gets into the bad state, ours does not.

use std::time::Duration;

use rand::RngExt;

use super::super::document::Line;
use super::super::*;
use super::world::*;

const STEPS: usize = 300;

/// Plays until the bad state or the end. Balancers may join up to `late` times.
fn play(seed: u64, fault: Fault, nodes: usize, balancers: usize, mut late: usize) -> (bool, World) {
    let mut world = World::new(seed, fault, nodes, balancers, 1);
    for _ in 0..STEPS {
        let node = world.rng.random_range(0..nodes);
        let balancer = world.rng.random_range(0..world.balancers.len());
        match world.rng.random_range(0..40) {
            0 => world.drain(node, false),
            1 => world.leave(node),
            2 if world.rng.random_ratio(1, 6) => world.undo(node),
            3 if world.rng.random_ratio(1, 12) => world.crash_node(node),
            4 if world.rng.random_ratio(1, 3) => world.crash_balancer(balancer),
            4 if world.rng.random_ratio(1, 12) => world.rebuild_balancer(balancer),
            5 | 6 if world.nodes[node].machine.is_none() && world.rng.random_ratio(1, 4) => world.start_node(node),
            7 if late > 0 && world.rng.random_ratio(1, 8) => {
                late -= 1;
                world.add_balancer();
            }
            8..=11 => {
                let millis = world.rng.random_range(100..1500);
                world.tick(millis);
            }
            12..=15 => {
                let well = world.rng.random_ratio(4, 5);
                world.apply(balancer, well);
            }
            16..=19 => world.deliver_any(),
            _ => world.deliver_recent(),
        }
        if world.is_bad() {
            return (true, world);
        }
    }
    (false, world)
}

fn finds(fault: Fault, nodes: usize, balancers: usize, late: usize) -> bool {
    (0..4000).any(|seed| play(seed, fault, nodes, balancers, late).0)
}

#[test]
fn whoever_went_with_every_balancers_word_gets_no_requests() {
    let mut sum = Count::default();
    for (nodes, balancers, late, runs) in [(1, 1, 0, 500), (1, 2, 1, 500), (2, 2, 1, 700), (2, 3, 0, 500)] {
        for seed in 0..runs {
            let (bad, world) = play(seed, Fault::None, nodes, balancers, late);
            assert!(!bad, "seed {seed} of {nodes} nodes and {balancers} balancers: {world:#?}");
            let count = world.count;
            sum.left += count.left;
            sum.forced += count.forced;
            sum.drained += count.drained;
            sum.yielded += count.yielded;
            sum.refused += count.refused;
            sum.crashes += count.crashes;
            sum.rebuilt += count.rebuilt;
            sum.promises_read_back += count.promises_read_back;
        }
    }
    assert!(sum.left > 100 && sum.forced > 100 && sum.drained > 20 && sum.crashes > 1000, "{sum:?}");
    assert!(sum.yielded > 10 && sum.refused > 20 && sum.promises_read_back > 100, "{sum:?}");
    assert!(sum.rebuilt > 100, "{sum:?}");
}

#[test]
fn failed_idea_answer_from_intent() {
    assert!(finds(Fault::AnswerFromIntent, 2, 1, 0));
}

#[test]
fn failed_idea_no_id() {
    assert!(finds(Fault::NoId, 2, 1, 0));
}

#[test]
fn failed_idea_promise_in_memory() {
    assert!(finds(Fault::PromiseInMemory, 2, 1, 0));
}

#[test]
fn failed_idea_answer_outside_the_lock() {
    assert!(finds(Fault::AnswerOutsideLock, 2, 1, 0));
}

#[test]
fn failed_idea_set_of_balancers_fixed_at_the_start() {
    assert!(finds(Fault::BalancersFixed, 2, 1, 2));
}

#[test]
fn failed_idea_nothing_needed_before_first_routing() {
    assert!(finds(Fault::NothingBeforeRouting, 2, 1, 2));
}

#[test]
fn failed_idea_a_balancer_that_was_built_anew_counts_as_it_did() {
    assert!(finds(Fault::RebuiltCounts, 2, 1, 0));
}

/// Two nodes, two balancers: each balancer has heard of another one first.
fn crossed(fault: Fault) -> World {
    let mut world = World::new(7, fault, 2, 2, 1);
    world.cut(&[(0, 1), (1, 0)]);
    world.leave(0);
    world.leave(1);
    world.calm();
    world.cut(&[]);
    for _ in 0..60 {
        world.tick(250);
        world.calm();
    }
    world
}

#[test]
fn failed_idea_no_yielding() {
    let ours = crossed(Fault::None);
    assert!(ours.count.yielded > 0 && ours.nodes[0].left, "{:?}", ours.nodes);
    let faulty = crossed(Fault::NoYielding);
    assert!(faulty.count.yielded == 0 && !faulty.nodes[0].left && !faulty.nodes[1].left, "{:?}", faulty.count);
}

#[test]
fn once_all_is_calm_a_drain_ends_and_somebody_is_left() {
    for seed in 0..200 {
        let (_, mut world) = play(seed, Fault::None, 3, 2, 1);
        for at in 0..3 {
            if world.nodes[at].machine.is_none() {
                world.start_node(at);
            }
            world.undo(at);
        }
        for _ in 0..80 {
            world.tick(500);
            world.calm();
        }
        // A leave that was under way may have taken one away meanwhile.
        let running = |world: &World| (0..3).filter(|at| world.nodes[*at].machine.is_some()).collect::<Vec<_>>();
        let Some(&first) = running(&world).first().filter(|_| running(&world).len() > 1) else { continue };
        world.nodes[first].lines.clear();
        world.drain(first, false);
        for _ in 0..40 {
            world.tick(500);
            world.calm();
            assert!(!world.is_empty_anywhere(), "seed {seed}: {world:#?}");
        }
        let is_drained = world.nodes[first].lines.iter().any(|line| matches!(line, Line::Drained { .. }));
        assert!(is_drained, "seed {seed}: {:?} {:#?}", world.nodes[first].lines, world.balancers);
        let is_right = |balancer: &Balancer| balancer.live.len() + 1 == running(&world).len();
        assert!(world.balancers.iter().all(is_right), "seed {seed}: {world:#?}");
    }
}

#[test]
fn the_last_server_is_not_drained_and_serves_again() {
    let mut world = World::new(1, Fault::None, 1, 2, 1);
    world.drain(0, false);
    for _ in 0..8 {
        world.tick(250);
        world.calm();
    }
    assert_eq!(world.count.refused, 1);
    let machine = world.nodes[0].machine.as_ref().unwrap();
    assert!(machine.tag().is_none() && machine.kept().is_none());
    world.drain(0, true);
    for _ in 0..(TIMES.confirm + Duration::from_secs(2)).as_secs() {
        world.tick(1000);
        world.calm();
    }
    assert!(world.nodes[0].lines.iter().any(|line| matches!(line, Line::Unconfirmed { .. })));
    let machine: &Departure = world.nodes[0].machine.as_ref().unwrap();
    assert!(machine.tag().is_some() && !world.is_empty_anywhere());
}
