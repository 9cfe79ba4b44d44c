//! The simulator itself: it must be able to show what it is asked about.

use super::*;
use crate::serf::Status;

fn cluster(seed: u64, count: usize) -> Sim {
    let mut sim = Sim::new(seed, Network::default());
    for index in 0..count {
        let node = sim.add();
        sim.start(node, None, Restored::default(), |_| {});
        if index > 0 {
            sim.join(node, &[NodeId(0)]);
        }
    }
    sim
}

fn sees(sim: &Sim, node: NodeId, status: Status) -> usize {
    sim.endpoint(node).map_or(0, |endpoint| endpoint.members().filter(|member| member.status == status).count())
}

fn all_see(sim: &Sim, status: Status, count: usize) -> bool {
    sim.nodes().filter(|node| sim.endpoint(*node).is_some()).all(|node| sees(sim, node, status) == count)
}

#[test]
fn a_cluster_converges() {
    let mut sim = cluster(1, 5);
    let took = sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 5));
    assert!(took.is_some_and(|took| took < Duration::from_secs(1)), "{took:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut sim = cluster(seed, 8);
        sim.run_for(Duration::from_secs(20));
        sim.counts()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_killed_node_fails_everywhere_and_a_graceful_leave_is_no_failure() {
    let mut sim = cluster(2, 5);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 5)).expect("converges");
    sim.kill(NodeId(4));
    sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Failed, 1)).expect("is found dead");

    sim.take_notes();
    sim.with(NodeId(3), |endpoint, now| endpoint.leave(now));
    let took = sim
        .run_until_true(Duration::from_secs(10), |sim| (0..3).all(|node| sees(sim, NodeId(node), Status::Left) == 1))
        .expect("everybody sees the leave");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let failed = sim
        .take_notes()
        .into_iter()
        .any(|note| matches!(note.output, Output::Member(event) if event.kind == crate::serf::MemberEventKind::Failed));
    assert!(!failed, "nobody takes a leave for a failure");
}

#[test]
fn a_paused_node_is_suspected_and_refutes_when_it_goes_on() {
    let mut sim = cluster(5, 5);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 5)).expect("converges");
    sim.pause(NodeId(2));
    sim.run_for(Duration::from_secs(4));
    let suspicions =
        sim.take_notes().into_iter().filter(|n| matches!(n.output, Output::Suspicion { suspected: true, .. }));
    assert!(suspicions.count() > 0);
    sim.resume(NodeId(2));
    sim.run_for(Duration::from_secs(10));
    assert!(all_see(&sim, Status::Alive, 5));
}

#[test]
fn halves_of_a_partition_fail_each_other_and_heal() {
    let mut sim = cluster(6, 6);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 6)).expect("converges");
    for node in 3..6 {
        sim.set_group(NodeId(node), 1);
    }
    sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Failed, 3)).expect("halves");
    for node in 3..6 {
        sim.set_group(NodeId(node), 0);
    }
    sim.run_until_true(Duration::from_secs(120), |sim| all_see(sim, Status::Alive, 6)).expect("heals");
}
