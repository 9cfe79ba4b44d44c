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

/// The goals that a single node's better manners must reach, in virtual time on a quiet network.
mod goals {
    use bytes::Bytes;

    use super::*;
    use crate::crypto::Key;
    use crate::serf::{Answer, Event, QueryParams};

    fn keyring() -> Option<Keyring> {
        Some(Keyring::new(Key::new(&[1; 32]).unwrap(), []))
    }

    /// `count` nodes that all join through the first in the same instant.
    fn burst(seed: u64, count: usize) -> Sim {
        let mut sim = Sim::new(seed, Network::default());
        for _ in 0..count {
            let node = sim.add();
            sim.start(node, keyring(), Restored::default(), |_| {});
        }
        for node in 1..count {
            sim.join(NodeId(node), &[NodeId(0)]);
        }
        sim
    }

    fn user_events(sim: &mut Sim) -> Vec<Instant> {
        let events = sim.take_notes().into_iter().filter(|note| matches!(note.output, Output::Event(Event::User(_))));
        events.map(|note| note.at).collect()
    }

    #[test]
    fn fifty_that_join_at_once_agree_within_two_seconds() {
        for seed in 0..20 {
            let mut sim = burst(seed, 50);
            let took = sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Alive, 50));
            assert!(took.is_some_and(|took| took < Duration::from_secs(2)), "seed {seed}: {took:?}");
        }
    }

    #[test]
    fn a_user_event_reaches_the_last_of_twenty_five_within_200_ms() {
        let mut sim = burst(1, 25);
        sim.run_for(Duration::from_secs(10));
        sim.take_notes();
        for number in 0..10 {
            let fired = sim.now();
            let payload = Bytes::from(format!("number {number}"));
            sim.with(NodeId(3), |endpoint, now| endpoint.user_event(now, "deploy", payload, false)).unwrap().unwrap();
            sim.run_for(Duration::from_secs(2));
            let delivered = user_events(&mut sim);
            assert_eq!(delivered.len(), 25);
            let last = delivered.into_iter().max().unwrap().since(fired);
            assert!(last < Duration::from_millis(200), "{last:?}");
        }
    }

    #[test]
    fn five_hundred_events_a_second_reach_everybody() {
        let mut sim = burst(2, 25);
        sim.run_for(Duration::from_secs(10));
        sim.take_notes();
        let count = 1000;
        for number in 0..count {
            let payload = Bytes::from(format!("number {number}"));
            sim.with(NodeId(3), |endpoint, now| endpoint.user_event(now, "deploy", payload, false)).unwrap().unwrap();
            sim.run_for(Duration::from_millis(2));
        }
        sim.run_for(Duration::from_secs(5));
        assert_eq!(user_events(&mut sim).len(), 25 * count);
    }

    #[test]
    fn a_query_is_answered_by_all_of_fifty_within_300_ms() {
        let mut sim = burst(3, 50);
        sim.run_for(Duration::from_secs(10));
        sim.take_notes();
        let asked = sim.now();
        let params = QueryParams { name: "uptime".to_owned(), ack: true, ..QueryParams::default() };
        sim.with(NodeId(7), |endpoint, now| endpoint.query(now, params)).unwrap().unwrap();
        sim.run_for(Duration::from_millis(300));
        let acks = sim.take_notes().into_iter().filter(|note| match &note.output {
            Output::Query(query) => matches!(query.answer, Answer::Ack { .. }),
            _ => false,
        });
        assert_eq!(acks.count(), 50, "asked at {asked:?}");
    }

    #[test]
    fn an_idle_cluster_sends_no_more_than_its_probes() {
        let mut sim = burst(4, 25);
        sim.run_for(Duration::from_secs(60));
        let before = sim.counts().packets;
        sim.run_for(Duration::from_secs(10));
        let each = (sim.counts().packets - before) as f64 / 10.0 / 25.0;
        assert!(each <= 2.0, "a ping and an ack per second, {each} packets");
    }
}
