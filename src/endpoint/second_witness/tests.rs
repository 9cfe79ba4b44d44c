use std::net::SocketAddr;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::crypto::{Key, Keyring};
use crate::endpoint::{Options, Restored};

const NOW: Instant = Instant::from_nanos(3_600_000_000_000);

fn at(millis: u64) -> Instant {
    NOW + Duration::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn endpoint(text: &str, host: u8, sealed: bool) -> Endpoint {
    let options = Options::new(name(text), SocketAddr::from(([127, 0, 0, host], 7946)));
    let keyring = sealed.then(|| Keyring::new(Key::new(&[1; 32]).unwrap(), []));
    let rng = StdRng::seed_from_u64(host.into());
    Endpoint::new(options, keyring, Restored::default(), rng, Box::new(move |bytes| bytes.fill(host)), NOW)
}

/// Two that know each other, with nothing left to say.
fn pair(sealed: bool) -> (Endpoint, Endpoint) {
    let (mut us, mut peer) = (endpoint("us", 1, sealed), endpoint("peer", 2, sealed));
    let nodes = [Arc::clone(us.local()), Arc::clone(peer.local())];
    us.preload(NOW, &nodes);
    peer.preload(NOW, &nodes);
    outputs(&mut us);
    outputs(&mut peer);
    (us, peer)
}

fn outputs(endpoint: &mut Endpoint) -> Vec<Output> {
    std::iter::from_fn(|| endpoint.poll_output()).collect()
}

fn datagrams(outputs: &[Output]) -> Vec<Vec<u8>> {
    let payload = |output: &Output| match output {
        Output::Datagram { payload, .. } => Some(payload.clone()),
        _ => None,
    };
    outputs.iter().filter_map(payload).collect()
}

fn verdicts(outputs: &[Output]) -> Vec<Heard> {
    let verdict = |output: &Output| match output {
        Output::SecondWitness { heard, .. } => Some(*heard),
        _ => None,
    };
    outputs.iter().filter_map(verdict).collect()
}

/// Carries datagrams from one to the other.
fn carry(now: Instant, packets: &[Vec<u8>], from: &Endpoint, to: &mut Endpoint) -> Vec<Output> {
    for packet in packets {
        to.handle_datagram(now, from.local().addr, packet);
    }
    outputs(to)
}

/// Only what this file does, without the endpoint's other timers.
fn advance(endpoint: &mut Endpoint, now: Instant) -> Vec<Output> {
    endpoint.advance_second_witnesses(now);
    endpoint.settle(now);
    outputs(endpoint)
}

#[test]
fn silence_of_ten_pings_is_told_after_300_ms_and_accuses_nobody() {
    let (mut us, _) = pair(false);
    assert!(us.ask_second_witness(NOW, &name("peer")));
    let mut told = outputs(&mut us);
    for millis in 1..300 {
        told.extend(advance(&mut us, at(millis)));
    }
    assert_eq!((datagrams(&told).len(), verdicts(&told).len()), (10, 0));
    let last = advance(&mut us, at(300));
    assert_eq!((datagrams(&last).len(), verdicts(&last)), (0, vec![Heard::Nothing]));
    assert!(us.swim().member(&name("peer")).unwrap().state.is_alive(), "it is no accusation");
    assert_eq!(us.second_witnesses.poll_timeout(), None, "the next round is somebody else's decision");
}

#[test]
fn the_first_ack_ends_a_round_plain_and_sealed() {
    for sealed in [false, true] {
        let (mut us, mut peer) = pair(sealed);
        us.ask_second_witness(NOW, &name("peer"));
        let pings = datagrams(&outputs(&mut us));
        let acks = datagrams(&carry(at(1), &pings, &us, &mut peer));
        assert_eq!(verdicts(&carry(at(2), &acks, &peer, &mut us)), [Heard::Prompt], "sealed: {sealed}");
        let later = [50, 100, 300].map(|millis| advance(&mut us, at(millis)));
        assert!(later.iter().all(|outputs| outputs.is_empty()), "nothing more is asked or told");
    }
}

/// Other envelopes than its own would be errors in its log, four times a second for as long as its service is away.
#[test]
fn whoever_answers_is_asked_in_its_own_envelope_alone() {
    let (mut us, mut peer) = pair(true);
    for millis in [0, 250, 500] {
        us.ask_second_witness(at(millis), &name("peer"));
        let pings = datagrams(&outputs(&mut us));
        assert_eq!(pings.len(), 1, "{millis}");
        let acks = datagrams(&carry(at(millis + 1), &pings, &us, &mut peer));
        assert_eq!(verdicts(&carry(at(millis + 2), &acks, &peer, &mut us)), [Heard::Prompt]);
    }
}

#[test]
fn a_ping_that_got_lost_is_made_up_for_by_the_next() {
    let (mut us, mut peer) = pair(true);
    us.ask_second_witness(NOW, &name("peer"));
    outputs(&mut us);
    let pings = datagrams(&advance(&mut us, at(30)));
    let acks = datagrams(&carry(at(31), &pings, &us, &mut peer));
    assert_eq!(verdicts(&carry(at(32), &acks, &peer, &mut us)), [Heard::Late], "once, whatever envelopes were tried");
}

#[test]
fn an_ack_after_the_verdict_takes_it_back_once() {
    let (mut us, mut peer) = pair(false);
    us.ask_second_witness(NOW, &name("peer"));
    let mut pings = datagrams(&outputs(&mut us));
    for millis in (30..300).step_by(30) {
        pings.extend(datagrams(&advance(&mut us, at(millis))));
    }
    assert_eq!(verdicts(&advance(&mut us, at(300))), [Heard::Nothing]);
    let acks = datagrams(&carry(at(900), &pings, &us, &mut peer));
    assert_eq!(acks.len(), 10);
    assert_eq!(verdicts(&carry(at(900), &acks, &peer, &mut us)), [Heard::Late]);
}

#[test]
fn a_further_round_still_knows_the_pings_of_the_one_before() {
    let (mut us, mut peer) = pair(false);
    us.ask_second_witness(NOW, &name("peer"));
    let first = datagrams(&outputs(&mut us));
    for millis in (30..=300).step_by(30) {
        advance(&mut us, at(millis));
    }
    assert!(us.ask_second_witness(at(300), &name("peer")));
    assert_eq!(datagrams(&outputs(&mut us)).len(), 1);
    let acks = datagrams(&carry(at(310), &first, &us, &mut peer));
    assert_eq!(verdicts(&carry(at(310), &acks, &peer, &mut us)), [Heard::Late]);
}

#[test]
fn a_process_that_stood_still_is_no_witness_of_that_time() {
    // The verdict is due, and when it is looked at; what is said.
    for (looked, said) in [(315, vec![Heard::Nothing]), (316, vec![]), (2000, vec![])] {
        let (mut us, _) = pair(false);
        us.ask_second_witness(NOW, &name("peer"));
        for millis in (30..300).step_by(30) {
            advance(&mut us, at(millis));
        }
        assert_eq!(verdicts(&advance(&mut us, at(looked))), said, "looked at after {looked} ms");
        let later = if said.is_empty() { vec![Heard::Nothing] } else { vec![] };
        assert_eq!(verdicts(&advance(&mut us, at(looked + 300))), later, "patience ends");
    }
}

#[test]
fn strangers_ourselves_and_who_left_are_not_asked() {
    let (mut us, _) = pair(false);
    assert!(!us.ask_second_witness(NOW, &name("nobody")));
    assert!(!us.ask_second_witness(NOW, &name("us")));
    assert!(us.ask_second_witness(NOW, &name("peer")));
    us.second_witnesses.forget(&name("peer"));
    assert!(verdicts(&advance(&mut us, at(1000))).is_empty());
}

#[test]
fn members_beyond_the_bound_are_not_asked_until_old_rounds_are_forgotten() {
    let mut rounds = SecondWitnesses::default();
    for index in 0..MAX_SECOND_WITNESSES {
        assert!(rounds.start(NOW, &name(&format!("m{index}"))));
    }
    assert!(!rounds.start(NOW, &name("more")), "all rounds are under way");
    while let Some((member, step)) = rounds.step(at(0)) {
        assert_eq!(step, Step::Ping);
        rounds.0.get_mut(&member).unwrap().state = State::Silent;
    }
    assert!(!rounds.start(at(0), &name("more")), "they were just silent");
    assert!(rounds.start(at(10_000), &name("more")));
    assert_eq!(rounds.0.len(), 1);
}
