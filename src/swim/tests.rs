//! Decision tables of `memberlist §4.2 to §4.5`, and the probe's course.

use std::time::Duration;

use rand::SeedableRng;

use super::*;
use crate::wire::message::{Ack, Alive, Dead, NodeState, PushNode, Suspect};

const NOW: Instant = Instant::from_nanos(1_000_000_000);

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn node(label: &str, port: u16) -> Node {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    Node { name: name(label), addr, meta: Bytes::new(), versions: Versions::OURS }
}

fn swim() -> Swim {
    Swim::new(Options::default(), node("us", 1), Incarnation::FIRST, NOW, StdRng::seed_from_u64(7))
}

fn alive(who: &str, port: u16, incarnation: u32) -> Alive {
    let node = node(who, port);
    Alive {
        incarnation: Incarnation::new(incarnation),
        node: node.name,
        addr: node.addr,
        meta: node.meta,
        versions: node.versions,
    }
}

fn suspect(who: &str, incarnation: u32, from: &str) -> Suspect {
    Suspect { incarnation: Incarnation::new(incarnation), node: name(who), from: name(from) }
}

fn dead(who: &str, incarnation: u32, from: &str) -> Dead {
    Dead { incarnation: Incarnation::new(incarnation), node: name(who), from: name(from) }
}

/// A table with `them` in `state` at incarnation 7, learned at [`NOW`].
fn holding(state: &str) -> Swim {
    let mut swim = swim();
    swim.handle_alive(NOW, alive("them", 2, 7));
    match state {
        "alive" => {}
        "suspect" => swim.handle_suspect(NOW, suspect("them", 7, "x")),
        "dead" => swim.handle_dead(NOW, dead("them", 7, "x")),
        "left" => swim.handle_dead(NOW, dead("them", 7, "them")),
        other => panic!("no state {other}"),
    }
    drain(&mut swim);
    swim
}

fn drain(swim: &mut Swim) -> Vec<Output> {
    std::iter::from_fn(|| swim.poll_output()).collect()
}

fn events(swim: &mut Swim) -> Vec<&'static str> {
    let names = drain(swim).into_iter().filter_map(|output| match output {
        Output::Event(Event::Joined(_)) => Some("joined"),
        Output::Event(Event::Updated(_)) => Some("updated"),
        Output::Event(Event::Suspected { .. }) => Some("suspected"),
        Output::Event(Event::Cleared(_)) => Some("cleared"),
        Output::Event(Event::Gone { left, .. }) => Some(if left { "left" } else { "dead" }),
        Output::Event(Event::Purged(_)) => Some("purged"),
        Output::Event(Event::Conflict { .. }) => Some("conflict"),
        _ => None,
    });
    names.collect()
}

fn state(swim: &Swim, who: &str) -> (&'static str, u32) {
    let member = swim.member(&name(who)).expect("known");
    let state = match member.state {
        State::Alive => "alive",
        State::Suspect(_) => "suspect",
        State::Dead(_) => "dead",
        State::Left(_) => "left",
    };
    (state, member.incarnation.get())
}

#[test]
fn alive_about_another_member() {
    // held, incarnation and port that arrive, then what is held, and the events
    type Row = (&'static str, u32, u16, (&'static str, u32), &'static [&'static str]);
    let rows: &[Row] = &[
        ("alive", 6, 2, ("alive", 7), &[]),
        ("alive", 7, 2, ("alive", 7), &[]),
        ("alive", 8, 2, ("alive", 8), &[]),
        ("alive", 8, 3, ("alive", 7), &["conflict"]),
        ("suspect", 7, 2, ("suspect", 7), &[]),
        ("suspect", 8, 2, ("alive", 8), &["cleared"]),
        ("dead", 7, 2, ("dead", 7), &[]),
        ("dead", 8, 2, ("alive", 8), &["joined"]),
        ("dead", 8, 3, ("dead", 7), &["conflict"]),
        ("left", 7, 2, ("left", 7), &[]),
        ("left", 8, 2, ("alive", 8), &["joined"]),
        // A left name is free at once, with any incarnation.
        ("left", 1, 3, ("alive", 1), &["joined"]),
        ("alive", 7 + update::MAX_INCARNATION_STEP, 2, ("alive", 7 + update::MAX_INCARNATION_STEP), &[]),
        ("alive", 8 + update::MAX_INCARNATION_STEP, 2, ("alive", 7), &[]),
        ("alive", u32::MAX, 2, ("alive", 7), &[]),
    ];
    for (held, incarnation, port, expected, expected_events) in rows {
        let mut swim = holding(held);
        swim.handle_alive(NOW, alive("them", *port, *incarnation));
        assert_eq!(state(&swim, "them"), *expected, "{held}, {incarnation} from port {port}");
        assert_eq!(events(&mut swim), *expected_events, "{held}, {incarnation} from port {port}");
    }
}

#[test]
fn alive_of_a_stranger_needs_an_incarnation_and_room() {
    let mut swim = Swim::new(
        Options { max_members: 2, ..Options::default() },
        node("us", 1),
        Incarnation::FIRST,
        NOW,
        StdRng::seed_from_u64(7),
    );
    swim.handle_alive(NOW, alive("zero", 2, 0));
    assert!(swim.member(&name("zero")).is_none());
    swim.handle_alive(NOW, alive("far", 2, u32::MAX));
    assert!(swim.member(&name("far")).is_none());
    swim.handle_alive(NOW, alive("one", 2, 1));
    assert_eq!(state(&swim, "one"), ("alive", 1));
    swim.handle_alive(NOW, alive("two", 3, 1));
    assert!(swim.member(&name("two")).is_none(), "the table is full");
    assert_eq!(swim.stats().drops[2], 2, "zero and two were not admitted");
}

#[test]
fn dead_name_is_reclaimed_only_after_the_reclaim_time() {
    let reclaim = Duration::from_secs(60);
    for (reclaim, after, expected) in [
        (Duration::ZERO, Duration::from_secs(3600), ("dead", 7)),
        (reclaim, reclaim, ("dead", 7)),
        (reclaim, reclaim + Duration::from_nanos(1), ("alive", 1)),
    ] {
        let mut swim = holding("dead");
        swim.options.dead_node_reclaim = reclaim;
        swim.handle_alive(NOW + after, alive("them", 3, 1));
        assert_eq!(state(&swim, "them"), expected, "{reclaim:?} {after:?}");
    }
}

#[test]
fn suspect_about_another_member() {
    let rows = [
        ("alive", 6, ("alive", 7)),
        ("alive", 7, ("suspect", 7)),
        ("alive", 8, ("suspect", 8)),
        ("suspect", 8, ("suspect", 7)),
        ("dead", 8, ("dead", 7)),
        ("left", 8, ("left", 7)),
        ("alive", u32::MAX, ("alive", 7)),
    ];
    for (held, incarnation, expected) in rows {
        let mut swim = holding(held);
        swim.handle_suspect(NOW, suspect("them", incarnation, "y"));
        assert_eq!(state(&swim, "them"), expected, "{held}, {incarnation}");
    }
}

#[test]
fn dead_about_another_member() {
    let rows = [
        ("alive", 6, "x", ("alive", 7)),
        ("alive", 7, "x", ("dead", 7)),
        ("alive", 7, "them", ("left", 7)),
        ("suspect", 7, "x", ("dead", 7)),
        ("dead", 8, "them", ("dead", 7)),
        ("left", 8, "x", ("left", 7)),
        ("alive", u32::MAX, "x", ("alive", 7)),
    ];
    for (held, incarnation, from, expected) in rows {
        let mut swim = holding(held);
        swim.handle_dead(NOW, dead("them", incarnation, from));
        assert_eq!(state(&swim, "them"), expected, "{held}, {incarnation} from {from}");
    }
}

#[test]
fn accusations_of_ourselves_are_refuted_above_the_accusing_incarnation() {
    for (incarnation, expected) in [(0, 1), (1, 2), (50, 51), (u32::MAX, 1)] {
        let mut swim = swim();
        swim.handle_suspect(NOW, suspect("us", incarnation, "x"));
        assert_eq!(state(&swim, "us"), ("alive", expected), "suspect {incarnation}");
        let mut swim = self::swim();
        swim.handle_dead(NOW, dead("us", incarnation, "x"));
        assert_eq!(state(&swim, "us"), ("alive", expected), "dead {incarnation}");
    }
}

#[test]
fn refuting_costs_a_point_of_awareness() {
    let mut swim = swim();
    swim.handle_suspect(NOW, suspect("us", 1, "x"));
    assert_eq!((swim.health_score(), swim.stats().refutations), (1, 1));
}

#[test]
fn our_own_alive_coming_back_is_no_news_but_another_process_under_our_name_is() {
    let mut swim = swim();
    swim.handle_alive(NOW, alive("us", 1, 1));
    assert_eq!(swim.incarnation().get(), 1);
    let changed = Alive { meta: Bytes::from_static(b"other"), ..alive("us", 1, 1) };
    swim.handle_alive(NOW, changed);
    assert_eq!(swim.incarnation().get(), 2);
    swim.handle_alive(NOW, alive("us", 1, 5));
    assert_eq!(swim.incarnation().get(), 6, "a former life of ours had incarnation 5");
    swim.handle_alive(NOW, alive("us", 9, 7));
    assert_eq!(events(&mut swim).last(), Some(&"conflict"));
}

#[test]
fn while_leaving_nothing_is_refuted() {
    let mut swim = swim();
    swim.leave(NOW, None);
    swim.handle_alive(NOW, alive("us", 1, 5));
    swim.handle_suspect(NOW, suspect("us", 5, "x"));
    assert_eq!(state(&swim, "us"), ("left", 1));
}

#[test]
fn a_suspicion_that_runs_out_declares_dead_and_one_that_is_cleared_does_not() {
    let mut swim = holding("suspect");
    let deadline = swim.suspicions.first().unwrap().0;
    assert_eq!(deadline.since(NOW), Duration::from_secs(4), "two members want no confirmation");
    swim.expire_suspicions(deadline - Duration::from_nanos(1));
    assert_eq!(state(&swim, "them"), ("suspect", 7));
    swim.expire_suspicions(deadline);
    assert_eq!(state(&swim, "them"), ("dead", 7));
    assert_eq!(events(&mut swim), ["dead"], "its end is told by that alone");

    let mut swim = holding("suspect");
    swim.handle_alive(NOW, alive("them", 2, 8));
    swim.expire_suspicions(deadline);
    assert_eq!(state(&swim, "them"), ("alive", 8));
}

#[test]
fn hearsay_of_a_death_only_raises_a_suspicion() {
    for (remote, expected) in [
        (NodeState::Alive, "alive"),
        (NodeState::Suspect, "suspect"),
        (NodeState::Dead, "suspect"),
        (NodeState::Left, "left"),
    ] {
        let mut swim = holding("alive");
        swim.merge(NOW, vec![PushNode { alive: alive("them", 2, 7), state: remote }]);
        assert_eq!(state(&swim, "them").0, expected, "{remote:?}");
    }
}

#[test]
fn one_record_with_impossible_versions_does_not_block_an_exchange() {
    let mut swim = swim();
    let poisoned = Alive { versions: Versions([1, 1, 9, 0, 0, 0]), ..alive("poison", 5, 1) };
    let nodes = [poisoned, alive("good", 6, 1)];
    let used = swim.merge(NOW, nodes.map(|alive| PushNode { alive, state: NodeState::Alive }).to_vec());
    assert_eq!(used, 1);
    assert_eq!(state(&swim, "good"), ("alive", 1));
    assert!(swim.member(&name("poison")).is_none());
}

fn plain(addr: SocketAddr) -> Origin {
    Origin { addr, sealed: None }
}

fn sealed(addr: SocketAddr) -> Origin {
    Origin { addr, sealed: Some(Sealed { key: crate::crypto::KeyId([0; 4]), session: None }) }
}

/// Runs the clock to the next probe and returns its sequence number.
fn next_probe(swim: &mut Swim) -> (Instant, SeqNo, Vec<Message>) {
    drain(swim);
    for _ in 0..1000 {
        let now = swim.poll_timeout();
        swim.handle_timeout(now);
        for output in drain(swim) {
            if let Output::Send { messages, .. } = output
                && let Message::Ping(ping) = &messages[0]
            {
                return (now, ping.seq_no, messages);
            }
        }
    }
    panic!("no probe within a thousand timeouts");
}

fn ack(seq_no: SeqNo) -> Message {
    Message::Ack(Ack { seq_no, payload: Bytes::from_static(b"coordinate"), weir: None })
}

const THEM: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 2));

#[test]
fn direct_ack_reports_the_round_trip() {
    let mut swim = holding("alive");
    let (start, seq_no, _) = next_probe(&mut swim);
    swim.handle_message(start + Duration::from_millis(3), sealed(THEM), ack(seq_no));
    let rtt = drain(&mut swim).into_iter().find_map(|output| match output {
        Output::RoundTrip { rtt, .. } => Some(rtt),
        _ => None,
    });
    assert_eq!(rtt, Some(Duration::from_millis(3)));
    assert_eq!(swim.stats().probes_acked, 1);
}

#[test]
fn silent_member_is_asked_through_others_then_suspected() {
    let mut swim = holding("alive");
    swim.handle_alive(NOW, alive("helper", 3, 1));
    let (mut start, mut seq_no, mut messages) = next_probe(&mut swim);
    if matches!(&messages[0], Message::Ping(ping) if ping.node != Some(name("them"))) {
        swim.handle_message(start, sealed(THEM), ack(seq_no));
        (start, seq_no, messages) = next_probe(&mut swim);
    }
    assert_eq!(messages.len(), 1, "an alive member is not accused in its ping");

    swim.handle_timeout(start + swim.options().probe_timeout);
    let outputs = drain(&mut swim);
    let relayed = outputs.iter().any(|output| {
        matches!(output, Output::Send { messages, .. }
            if matches!(&messages[0], Message::IndirectPing(ping) if ping.seq_no == seq_no && ping.nack))
    });
    let streamed =
        outputs.iter().any(|output| matches!(output, Output::StreamPing { ping, .. } if ping.seq_no == seq_no));
    assert!(relayed && streamed, "{outputs:?}");

    swim.handle_timeout(start + swim.options().probe_interval);
    assert_eq!(state(&swim, "them").0, "suspect");
    assert_eq!(swim.health_score(), 1, "the helper's nack is missing");

    // Its next ping tells it what it is accused of.
    for _ in 0..3 {
        let (_, _, messages) = next_probe(&mut swim);
        if let [Message::Ping(ping), Message::Suspect(suspect)] = &messages[..] {
            assert_eq!((ping.node.as_ref(), &suspect.node), (Some(&name("them")), &name("them")));
            return;
        }
    }
    panic!("the suspect was never told");
}

#[test]
fn nack_shows_that_the_fault_is_not_ours() {
    let mut swim = holding("alive");
    swim.handle_alive(NOW, alive("helper", 3, 1));
    let (start, seq_no, _) = next_probe(&mut swim);
    swim.handle_timeout(start + swim.options().probe_timeout);
    swim.handle_message(start, sealed(THEM), Message::Nack(seq_no));
    swim.handle_timeout(start + swim.options().probe_interval);
    assert_eq!(swim.health_score(), 0);
}

#[test]
fn ping_for_another_is_not_answered_and_a_stranger_is_not_pinged_back() {
    let mut swim = swim();
    let ping = |node: Option<&str>, source: Option<SocketAddr>| {
        Message::Ping(Ping {
            seq_no: SeqNo::new(5),
            node: node.map(name),
            source: Source { addr: source, node: None },
            weir: None,
        })
    };
    let answers = |swim: &mut Swim| {
        drain(swim).into_iter().filter_map(|o| if let Output::Ack { to, .. } = o { Some(to) } else { None }).next()
    };
    let stranger = SocketAddr::from(([127, 9, 9, 9], 9));
    drain(&mut swim);
    swim.handle_message(NOW, plain(THEM), ping(Some("other"), None));
    assert_eq!(answers(&mut swim), None);
    swim.handle_message(NOW, plain(THEM), ping(Some("us"), Some(stranger)));
    assert_eq!(answers(&mut swim), Some(THEM), "without a key nobody makes us send to a third party");
    swim.handle_message(NOW, sealed(THEM), ping(Some("us"), Some(stranger)));
    assert_eq!(answers(&mut swim), Some(stranger), "a key holder may sit behind translation");
}

#[test]
fn relayed_ping_is_acked_or_nacked_under_the_requesters_number() {
    use crate::wire::message::IndirectPing;
    let ask = |nack| {
        let mut swim = holding("alive");
        let ping =
            IndirectPing { seq_no: SeqNo::new(77), target: THEM, node: name("them"), nack, source: Source::default() };
        swim.handle_message(NOW, sealed(SocketAddr::from(([127, 0, 0, 1], 3))), Message::IndirectPing(ping));
        let seq_no = drain(&mut swim).into_iter().find_map(|output| match output {
            Output::Send { messages, .. } => match &messages[0] {
                Message::Ping(ping) => Some(ping.seq_no),
                _ => None,
            },
            _ => None,
        });
        (swim, seq_no.expect("relayed"))
    };
    let answered = |swim: &mut Swim| {
        drain(swim).into_iter().find_map(|output| match output {
            Output::Send { messages, .. } => match messages[0] {
                Message::Ack(Ack { seq_no, .. }) => Some(("ack", seq_no)),
                Message::Nack(seq_no) => Some(("nack", seq_no)),
                _ => None,
            },
            _ => None,
        })
    };
    let (mut swim, seq_no) = ask(true);
    swim.handle_message(NOW, sealed(THEM), ack(seq_no));
    assert_eq!(answered(&mut swim), Some(("ack", SeqNo::new(77))));

    let late = NOW + Options::default().probe_timeout;
    let (mut swim, _) = ask(true);
    swim.expire_relays(late);
    assert_eq!(answered(&mut swim), Some(("nack", SeqNo::new(77))));
    let (mut swim, _) = ask(false);
    swim.expire_relays(late);
    assert_eq!(answered(&mut swim), None);
}

#[test]
fn the_dead_and_the_left_are_forgotten_when_the_table_wraps() {
    for held in ["dead", "left"] {
        let mut swim = holding(held);
        swim.handle_alive(NOW, alive("other", 3, 1));
        let late = NOW + swim.options().gossip_to_the_dead + Duration::from_nanos(1);
        for round in 0..10 {
            let now = late + Duration::from_secs(10 * round);
            swim.handle_timeout(now);
        }
        assert!(swim.member(&name("them")).is_none(), "{held}");
    }
}
