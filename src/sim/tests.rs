//! The simulator itself: it must be able to show what it is asked about.

use super::*;
use crate::serf::Status;

mod attacks;

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
fn who_comes_back_before_it_is_found_dead_is_alive_for_those_that_heard_of_its_leave() {
    let mut sim = cluster(2, 3);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 3)).expect("converges");
    let back = NodeId(2);
    let name = sim.name(back).to_string();
    let incarnation = sim.endpoint(back).unwrap().swim().incarnation();
    sim.kill(back);
    // As much as a leave that is cut short after its intent.
    sim.with(NodeId(0), |endpoint, now| endpoint.force_leave(now, &name, false));
    sim.run_until_true(Duration::from_secs(1), |sim| all_see(sim, Status::Leaving, 1)).expect("is told to all");

    // By its snapshot alone.
    sim.start(back, None, Restored { incarnation, ..Restored::default() }, |_| {});
    let target = JoinTarget { label: "snapshot".into(), addr: sim.addr(NodeId(0)) };
    sim.with(back, |endpoint, now| endpoint.join(now, JoinKind::Rejoin, vec![target]));
    // An exchange of state that comes by chance tells it as well.
    sim.run_until_true(Duration::from_secs(2), |sim| all_see(sim, Status::Alive, 3))
        .expect("nobody takes it for leaving");
}

#[test]
fn a_paused_node_is_suspected_and_refutes_when_it_goes_on() {
    let mut sim = cluster(5, 5);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 5)).expect("converges");
    let paused = sim.now();
    sim.pause(NodeId(2));
    sim.run_for(Duration::from_secs(4));
    let suspicions = sim.take_notes().into_iter().filter(|n| matches!(n.output, Output::Suspicion { by: Some(_), .. }));
    let accusers: Vec<_> = suspicions.map(|n| n.node).collect();
    assert!(!accusers.is_empty());
    for accuser in accusers {
        let told = sim.endpoint(accuser).unwrap().gossip_since(sim.name(NodeId(2)).as_str());
        assert!(told.is_some_and(|since| since > paused), "{told:?} {paused:?}");
    }
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

/// Each has used up its accusation while nobody could hear it, and probes too rarely to repeat it in time.
#[test]
fn two_that_could_not_hear_each_other_are_together_again_without_a_reconnect() {
    let mut sim = Sim::new(7, Network::default());
    let (one, other) = (sim.add(), sim.add());
    for node in [one, other] {
        sim.start(node, None, Restored::default(), |options| {
            options.serf.reconnect_interval = Duration::from_secs(3600);
        });
    }
    sim.join(other, &[one]);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 2)).expect("converges");
    sim.set_group(other, 1);
    sim.run_until_true(Duration::from_secs(60), |sim| {
        sees(sim, one, Status::Failed) + sees(sim, other, Status::Failed) > 0
    })
    .expect("the first is found dead");
    sim.set_group(other, 0);
    let took = sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Alive, 2));
    assert!(took.is_some_and(|took| took < Duration::from_secs(1)), "{took:?}");
    sim.take_notes();
    sim.run_for(Duration::from_secs(60));
    assert!(all_see(&sim, Status::Alive, 2), "and stay together");
}

#[test]
fn who_loses_the_vote_about_its_name_falls_silent_and_speaks_again_when_the_name_is_free() {
    let mut sim = cluster(9, 3);
    sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 3)).expect("converges");
    let intruder = sim.add();
    let stolen = sim.name(NodeId(2)).clone();
    sim.start(intruder, None, Restored::default(), |options| options.name = stolen.clone());
    sim.join(intruder, &[NodeId(0)]);
    sim.run_until_true(Duration::from_secs(30), |sim| sim.endpoint(intruder).is_some_and(Endpoint::is_silent))
        .expect("the newcomer loses");
    sim.run_for(Duration::from_secs(30));
    assert!((0..3).all(|node| sees(&sim, NodeId(node), Status::Alive) == 3), "nobody was disturbed");
    assert!(!sim.endpoint(NodeId(2)).unwrap().is_silent());

    sim.kill(NodeId(2));
    sim.run_until_true(Duration::from_secs(600), |sim| !sim.endpoint(intruder).is_some_and(Endpoint::is_silent))
        .expect("the name is free once its holder is dead");
}

#[test]
fn who_leaves_under_a_name_that_may_be_anothers_takes_it_from_nobody() {
    for after in [Duration::from_secs(1), Duration::from_secs(10)] {
        let mut sim = cluster(11, 3);
        sim.run_until_true(Duration::from_secs(5), |sim| all_see(sim, Status::Alive, 3)).expect("converges");
        let intruder = sim.add();
        let stolen = sim.name(NodeId(2)).clone();
        sim.start(intruder, None, Restored::default(), |options| options.name = stolen.clone());
        sim.join(intruder, &[NodeId(0)]);
        sim.run_for(after);
        sim.take_notes();
        sim.with(intruder, Endpoint::leave);
        sim.run_for(Duration::from_millis(100));
        let is_left = |note: &Note| note.node == intruder && matches!(note.output, Output::Left { .. });
        assert!(sim.take_notes().iter().any(is_left), "it waits for nobody");
        sim.kill(intruder);
        sim.run_for(Duration::from_secs(10));
        let is_news = |note: &Note| matches!(note.output, Output::Member(_));
        assert!(!sim.take_notes().iter().any(is_news), "others hear nothing, after {after:?}");
    }
}

/// The goals that a single node's better manners must reach, in virtual time on a quiet network.
mod goals {
    use bytes::Bytes;

    use super::*;
    use crate::crypto::Key;
    use crate::serf::{Answer, Event, KeyOp, KeyParams, QueryParams};

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

    fn acks(sim: &mut Sim) -> usize {
        let is_ack = |output: &Output| match output {
            Output::Query(query) => matches!(query.answer, Answer::Ack { .. }),
            _ => false,
        };
        sim.take_notes().iter().filter(|note| is_ack(&note.output)).count()
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
        assert_eq!(acks(&mut sim), 50, "asked at {asked:?}");
    }

    /// Fifty that know each other and send each message once per digit of their number, so that gossip always passes some by.
    fn sparing(seed: u64) -> Sim {
        let mut sim = Sim::new(seed, Network::default());
        for _ in 0..50 {
            let node = sim.add();
            sim.start(node, keyring(), Restored::default(), |options| {
                options.swim.retransmit_mult = 1;
                options.serf.retransmit_mult = 1;
            });
        }
        sim.converge();
        sim
    }

    #[test]
    fn whom_gossip_passes_by_answers_all_the_same() {
        for seed in 0..50 {
            let mut sim = sparing(seed);
            let params = QueryParams { name: "uptime".to_owned(), ack: true, ..QueryParams::default() };
            sim.with(NodeId(7), |endpoint, now| endpoint.query(now, params)).unwrap().unwrap();
            sim.run_for(Duration::from_millis(199));
            let early = acks(&mut sim);
            sim.run_for(Duration::from_millis(101));
            let late = acks(&mut sim);
            assert_eq!(early + late, 50, "seed {seed}");
            assert!(late > 0, "seed {seed}: gossip reached everybody, which shows nothing");
        }
    }

    #[test]
    fn whom_gossip_passes_by_answers_about_its_keys_all_the_same() {
        for seed in 0..10 {
            let mut sim = sparing(seed);
            let params = KeyParams { op: KeyOp::List, only: Vec::new(), ballot: None };
            sim.with(NodeId(7), |endpoint, now| endpoint.key_request(now, params)).unwrap().unwrap();
            sim.run_for(Duration::from_millis(300));
            let outcome = sim.take_notes().into_iter().find_map(|note| match note.output {
                Output::Keys { outcome, .. } => Some(outcome),
                _ => None,
            });
            assert_eq!(outcome.map(|outcome| outcome.nodes.len()), Some(50), "seed {seed}");
        }
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

/// Which envelope members get (`session §6`).
mod sessions {
    use super::*;
    use crate::crypto::Key;
    use crate::crypto::session::is_session;
    use crate::endpoint::{Drop, Knowledge, Seal};

    fn keyring() -> Option<Keyring> {
        Some(Keyring::new(Key::new(&[1; 32]).unwrap(), []))
    }

    /// Nodes with these modes that joined through the first.
    fn cluster(seed: u64, modes: &[Seal]) -> Sim {
        let mut sim = Sim::new(seed, Network::default());
        for (index, seal) in modes.iter().enumerate() {
            let node = sim.add();
            start(&mut sim, node, *seal);
            if index > 0 {
                sim.join(node, &[NodeId(0)]);
            }
        }
        sim
    }

    fn start(sim: &mut Sim, node: NodeId, seal: Seal) {
        sim.start(node, keyring(), Restored::default(), |options| options.seal = seal);
    }

    fn knows(sim: &Sim, node: usize, other: usize) -> Option<Knowledge> {
        let name = sim.name(NodeId(other)).clone();
        sim.endpoint(NodeId(node)).and_then(|endpoint| endpoint.envelope_of(&name))
    }

    fn all_in_sessions(sim: &Sim) -> bool {
        let running: Vec<_> = sim.nodes().filter(|node| sim.endpoint(*node).is_some()).collect();
        running.iter().all(|node| {
            running
                .iter()
                .all(|other| node == other || matches!(knows(sim, node.0, other.0), Some(Knowledge::Session(_))))
        })
    }

    fn datagrams(sim: &mut Sim) -> Vec<Recorded> {
        sim.take_recording().into_iter().filter(|sent| !sent.stream).collect()
    }

    fn share_of_sessions(sim: &mut Sim, time: Duration) -> f64 {
        sim.record();
        sim.run_for(time);
        let sent = datagrams(sim);
        sent.iter().filter(|packet| is_session(&packet.payload)).count() as f64 / sent.len() as f64
    }

    #[test]
    fn agents_in_auto_find_each_other_and_then_use_nothing_else() {
        let mut sim = cluster(1, &[Seal::Auto; 4]);
        sim.run_until_true(Duration::from_secs(30), all_in_sessions).expect("everybody learns everybody");
        assert_eq!(share_of_sessions(&mut sim, Duration::from_secs(20)), 1.0);
        assert!(all_see(&sim, Status::Alive, 4));
    }

    #[test]
    fn who_asks_about_a_name_of_somebody_in_a_session_can_read_the_answers() {
        let mut sim = cluster(9, &[Seal::Auto; 3]);
        sim.run_until_true(Duration::from_secs(30), all_in_sessions).expect("everybody learns everybody");
        let intruder = sim.add();
        let stolen = sim.name(NodeId(2)).clone();
        sim.start(intruder, keyring(), Restored::default(), |options| options.name = stolen.clone());
        sim.join(intruder, &[NodeId(0)]);
        sim.run_until_true(Duration::from_secs(30), |sim| sim.endpoint(intruder).is_some_and(Endpoint::is_silent))
            .expect("the newcomer loses");
    }

    #[test]
    fn a_cluster_in_session_mode_never_uses_the_old_envelope() {
        let mut sim = cluster(2, &[Seal::Session; 4]);
        assert_eq!(share_of_sessions(&mut sim, Duration::from_secs(30)), 1.0);
        assert!(all_see(&sim, Status::Alive, 4));
        let fired = sim.with(NodeId(1), |endpoint, now| endpoint.user_event(now, "deploy", bytes::Bytes::new(), false));
        fired.unwrap().unwrap();
        sim.take_notes();
        sim.run_for(Duration::from_secs(2));
        let heard = sim
            .take_notes()
            .into_iter()
            .filter(|note| matches!(note.output, Output::Event(crate::serf::Event::User(_))));
        assert!(heard.count() >= 3);
    }

    #[test]
    fn all_modes_but_session_live_together_and_memberlist_peers_are_known_as_old() {
        let mut sim = cluster(3, &[Seal::Auto, Seal::Memberlist, Seal::Auto]);
        sim.run_for(Duration::from_secs(30));
        assert!(all_see(&sim, Status::Alive, 3));
        assert_eq!(knows(&sim, 0, 1), Some(Knowledge::Old));
        assert!(matches!(knows(&sim, 0, 2), Some(Knowledge::Session(_))));
        assert_eq!(knows(&sim, 1, 0), None, "in memberlist mode nothing of this runs");
    }

    #[test]
    fn auto_and_session_agents_live_together() {
        let mut sim = cluster(4, &[Seal::Auto, Seal::Session, Seal::Auto, Seal::Session]);
        sim.run_until_true(Duration::from_secs(60), |sim| all_in_sessions(sim) && all_see(sim, Status::Alive, 4))
            .expect("everybody learns everybody");
        sim.run_for(Duration::from_secs(60));
        assert!(all_see(&sim, Status::Alive, 4));
    }

    #[test]
    fn an_agent_in_auto_joins_a_cluster_that_takes_nothing_but_sessions() {
        let mut sim = cluster(14, &[Seal::Session; 3]);
        let newcomer = sim.add();
        start(&mut sim, newcomer, Seal::Auto);
        sim.join(newcomer, &[NodeId(1)]);
        sim.run_until_true(Duration::from_secs(30), |sim| all_see(sim, Status::Alive, 4)).expect("it is let in");
    }

    #[test]
    fn a_restarted_process_is_heard_again_and_a_host_that_goes_back_to_serf_is_found() {
        let mut sim = cluster(5, &[Seal::Auto; 3]);
        sim.run_until_true(Duration::from_secs(30), all_in_sessions).expect("everybody learns everybody");
        let before = knows(&sim, 0, 2);
        start(&mut sim, NodeId(2), Seal::Auto);
        sim.join(NodeId(2), &[NodeId(0)]);
        sim.run_until_true(Duration::from_secs(30), |sim| knows(sim, 0, 2) != before && all_in_sessions(sim))
            .expect("the new process is learned");
        assert!(all_see(&sim, Status::Alive, 3), "without a failure in between");

        start(&mut sim, NodeId(2), Seal::Memberlist);
        sim.join(NodeId(2), &[NodeId(0)]);
        sim.run_until_true(Duration::from_secs(30), |sim| {
            knows(sim, 0, 2) == Some(Knowledge::Old) && knows(sim, 1, 2) == Some(Knowledge::Old)
        })
        .expect("it is known as old");
        assert!(all_see(&sim, Status::Alive, 3));
    }

    #[test]
    fn replaying_everything_at_everybody_changes_nothing() {
        let mut sim = cluster(6, &[Seal::Session; 3]);
        sim.run_for(Duration::from_secs(10));
        sim.record();
        sim.run_for(Duration::from_secs(20));
        let fired = sim.with(NodeId(1), |endpoint, now| endpoint.user_event(now, "deploy", bytes::Bytes::new(), false));
        fired.unwrap().unwrap();
        sim.run_for(Duration::from_secs(2));
        let recorded = datagrams(&mut sim);
        assert!(recorded.len() > 50, "{}", recorded.len());
        let members = |sim: &Sim| {
            let all = sim.nodes().map(|node| sim.endpoint(node).map(|e| e.members().cloned().collect::<Vec<_>>()));
            all.collect::<Vec<_>>()
        };
        let before = members(&sim);
        sim.take_notes();
        for node in 0..3 {
            for packet in &recorded {
                sim.inject(packet.from, NodeId(node), packet.payload.clone());
            }
        }
        assert_eq!(members(&sim), before);
        assert!(!sim.take_notes().iter().any(|note| matches!(note.output, Output::Event(_) | Output::Member(_))));
        for node in sim.nodes() {
            let drops = sim.endpoint(node).unwrap().drops();
            let refused = [Drop::Replayed, Drop::TooOld, Drop::OtherSession, Drop::Own].map(|reason| drops.get(reason));
            assert!(refused.iter().sum::<u64>() as usize >= recorded.len() - 1, "{refused:?} of {}", recorded.len());
        }
    }

    #[test]
    fn what_was_recorded_before_a_restart_is_worth_nothing_after_it() {
        let mut sim = cluster(7, &[Seal::Session; 3]);
        sim.record();
        sim.run_for(Duration::from_secs(20));
        let recorded = datagrams(&mut sim);
        start(&mut sim, NodeId(2), Seal::Session);
        sim.take_notes();
        for packet in recorded.iter().filter(|packet| packet.to == NodeId(2)) {
            sim.inject(packet.from, NodeId(2), packet.payload.clone());
        }
        assert_eq!(sim.endpoint(NodeId(2)).unwrap().members().count(), 1, "it still knows only itself");
    }

    #[test]
    fn dropping_all_session_packets_for_a_minute_downgrades_nobody_for_good() {
        let mut sim = cluster(8, &[Seal::Auto; 3]);
        sim.run_until_true(Duration::from_secs(30), all_in_sessions).expect("everybody learns everybody");
        sim.set_filter(Some(|payload| !is_session(payload)));
        sim.run_for(Duration::from_secs(60));
        sim.set_filter(None);
        sim.run_until_true(Duration::from_secs(60), |sim| all_in_sessions(sim) && all_see(sim, Status::Alive, 3))
            .expect("sessions are back");
        assert_eq!(share_of_sessions(&mut sim, Duration::from_secs(20)), 1.0);
    }
}
