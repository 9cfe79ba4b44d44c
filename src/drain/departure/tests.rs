use rand::SeedableRng;

use super::super::document::{LingerEnd, Why};
use super::*;
use crate::drain::{Reply, Word};
use crate::upstream::Generation;

const TIMES: Times = Times { confirm: Duration::from_secs(14), drain: Duration::from_secs(5) };

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(100) + Duration::from_millis(millis)
}

fn balancer(text: &str, presence: Presence) -> Peer {
    Peer { name: name(text), presence, incarnation: Incarnation::FIRST, is_balancer: true, drain: None }
}

/// A machine with the members it sees, and what it gave out.
struct Node {
    machine: Departure,
    outputs: Vec<Output>,
}

impl Node {
    fn with(balancers: &[&str]) -> Self {
        let mut machine = Departure::new(name("web1"), StdRng::seed_from_u64(1));
        machine.handle_members(balancers.iter().map(|name| balancer(name, Presence::Alive)).collect());
        Self { machine, outputs: Vec::new() }
    }

    fn members(&mut self, peers: Vec<Peer>) {
        self.machine.handle_members(peers);
    }

    fn take(&mut self) -> Vec<Output> {
        self.outputs.extend(std::iter::from_fn(|| self.machine.poll_output()));
        std::mem::take(&mut self.outputs)
    }

    fn lines(&mut self) -> Vec<Line> {
        let line = |output| match output {
            Output::Tell(line) => Some(line),
            Output::Keep(_) | Output::Publish(_) | Output::Ask { .. } | Output::Leave { .. } => None,
        };
        self.take().into_iter().filter_map(line).collect()
    }

    /// Whom it asks.
    fn asks(&mut self, millis: u64) -> Vec<String> {
        self.take();
        self.machine.handle_timeout(at(millis));
        let of = |output| match output {
            Output::Ask { of, .. } => Some(of.iter().map(ToString::to_string).collect::<Vec<_>>()),
            Output::Keep(_) | Output::Publish(_) | Output::Tell(_) | Output::Leave { .. } => None,
        };
        self.take().into_iter().filter_map(of).flatten().collect()
    }

    fn drain(&mut self, millis: u64) {
        assert!(self.machine.drain(at(millis), LamportTime(7), DrainRequest::default(), TIMES));
        self.machine.handle_kept(at(millis), Ok(()));
    }

    fn leave(&mut self, millis: u64) {
        self.machine.leave(at(millis), LamportTime(7), Cause::Asked, TIMES);
        self.machine.handle_timeout(at(millis));
    }

    fn answer(&mut self, millis: u64, from: &str, word: Word) {
        let id = self.machine.tag().map_or_else(|| DrainId::new("none").unwrap(), |tag| tag.id.clone());
        self.machine.handle_answer(at(millis), &name(from), Reply { id, generation: Generation(16), word });
    }

    fn has_left(&mut self) -> Option<Duration> {
        self.take().into_iter().find_map(|output| match output {
            Output::Leave { stay } => Some(stay),
            Output::Keep(_) | Output::Publish(_) | Output::Ask { .. } | Output::Tell(_) => None,
        })
    }
}

fn out() -> Word {
    Word::Out { servers: vec!["10.0.0.1:80".parse().unwrap()] }
}

#[test]
fn a_drain_is_on_disk_before_anybody_hears_of_it_and_gone_from_there_before_its_tag() {
    let mut node = Node::with(&["lb1"]);
    assert!(node.machine.drain(at(0), LamportTime(7), DrainRequest::default(), TIMES));
    let outputs = node.take();
    assert!(
        matches!(&outputs[..], [Output::Keep(Some(kept))] if kept.operator && kept.guards.is_empty()),
        "{outputs:?}"
    );
    assert_eq!(node.machine.tag(), None);
    node.machine.handle_kept(at(20), Ok(()));
    let outputs = node.take();
    assert!(matches!(&outputs[0], Output::Publish(Some(tag)) if tag.to_string().ends_with(" 7")), "{outputs:?}");
    assert!(matches!(outputs.last(), Some(Output::Ask { .. })), "{outputs:?}");
    assert_eq!(node.machine.undo(), Ok(()));
    assert!(matches!(&node.take()[..], [Output::Keep(None)]));
    node.machine.handle_kept(at(50), Ok(()));
    assert!(matches!(&node.take()[..], [Output::Publish(None), Output::Tell(Line::Undone { .. })]));
    let first = node.machine.kept().cloned();
    node.drain(100);
    let again = node.machine.kept().map(|kept| kept.id.clone());
    assert_ne!(first.map(|kept| kept.id), again, "a second drain has another id");
}

#[test]
fn what_cannot_be_kept_is_said_and_drained_all_the_same() {
    let mut node = Node::with(&["lb1"]);
    node.machine.drain(at(0), LamportTime(7), DrainRequest::default(), TIMES);
    node.machine.handle_kept(at(1), Err(NotKept::Failed("no space left on device".to_owned())));
    assert!(node.machine.tag().is_some());
    let lines = node.lines();
    assert!(
        matches!(&lines[..], [Line::NotKept { reason }, Line::Draining { .. }] if reason.contains("no space")),
        "who does not wait reads as far as that it drains: {lines:?}"
    );
}

#[test]
fn an_undo_that_the_disk_does_not_take_is_said_and_done() {
    for (result, is_said) in [
        (Ok(()), false),
        (Err(NotKept::Never("no snapshot".to_owned())), false),
        (Err(NotKept::Failed("no space".to_owned())), true),
    ] {
        let mut node = Node::with(&["lb1"]);
        node.drain(0);
        node.take();
        assert_eq!(node.machine.undo(), Ok(()));
        node.machine.handle_kept(at(100), result.clone());
        assert!(node.machine.tag().is_none(), "{result:?}");
        let lines = node.lines();
        let said = lines.iter().any(|line| matches!(line, Line::StillKept { reason } if reason == "no space"));
        assert_eq!(said, is_said, "{lines:?}");
        assert!(matches!(lines.last(), Some(Line::Undone { .. })), "{lines:?}");
    }
}

/// One that has drained, by lb1's word.
fn drained() -> Node {
    let mut node = Node::with(&["lb1"]);
    node.drain(0);
    node.answer(100, "lb1", Word::Idle);
    node.machine.handle_timeout(at(2200));
    assert!(node.lines().iter().any(|line| matches!(line, Line::Drained { .. })));
    node
}

#[test]
fn a_leave_behind_a_drain_asks_everybody_again_and_waits_for_nothing_else() {
    let mut node = drained();
    node.leave(60_000);
    assert_eq!(node.has_left(), None, "what was so a minute ago need not be so now");
    assert_eq!(node.asks(60_500), ["lb1"]);
    node.answer(60_600, "lb1", Word::Out { servers: Vec::new() });
    assert_eq!(node.has_left(), Some(Duration::ZERO), "requests have had their time");

    let mut node = drained();
    node.leave(60_000);
    node.answer(60_100, "lb1", Word::Wait { text: String::new() });
    node.machine.handle_timeout(at(74_000));
    assert!(node.machine.is_lingering(), "it may be sent requests");
    node.machine.handle_timeout(at(79_000));
    let is_named = |line: &Line| matches!(line, Line::Leaving { unconfirmed, .. } if unconfirmed[..] == ["lb1"]);
    assert!(node.lines().iter().any(is_named));

    // Another balancer, or one that is not the same any more, may have sent requests.
    for peer in [balancer("lb2", Presence::Alive), anew("lb1")] {
        let mut node = drained();
        let name = peer.name.to_string();
        node.members(vec![peer]);
        node.leave(60_000);
        node.answer(60_100, &name, out());
        assert!(node.has_left().is_none() && node.machine.is_lingering(), "{name}");
    }
}

/// That balancer, started once more.
fn anew(text: &str) -> Peer {
    Peer { incarnation: Incarnation::new(9), ..balancer(text, Presence::Alive) }
}

#[test]
fn a_balancer_that_started_anew_under_its_name_says_again_that_it_is_done() {
    let lingering = || {
        let mut node = Node::with(&["lb1"]);
        node.leave(0);
        node.answer(0, "lb1", Word::Idle);
        assert!(node.machine.is_lingering());
        node.members(vec![anew("lb1")]);
        assert_eq!(node.asks(500), ["lb1"]);
        node
    };
    // It has its promise still.
    let mut node = lingering();
    node.answer(600, "lb1", Word::Idle);
    node.machine.handle_timeout(at(2000));
    assert_eq!(node.has_left(), Some(Duration::ZERO), "and the linger is as long as it was");
    // It has not: it was built anew.
    let mut node = lingering();
    node.answer(600, "lb1", Word::Wait { text: String::new() });
    assert!(!node.machine.is_lingering());
    node.answer(1100, "lb1", out());
    assert!(node.machine.is_lingering());
    node.machine.handle_timeout(at(3000));
    assert_eq!(node.has_left(), None);
    // It says nothing.
    let mut node = lingering();
    node.machine.handle_timeout(at(2000));
    assert_eq!(node.has_left(), None);
    node.machine.handle_timeout(at(5000));
    assert!(!node.machine.is_lingering() && node.has_left().is_none(), "it has not counted");
    // What one says late that is the same is no matter.
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    node.answer(0, "lb1", out());
    node.answer(10, "lb1", Word::Wait { text: String::new() });
    assert!(node.machine.is_lingering());
}

#[test]
fn a_balancer_that_left_has_to_confirm_anew_when_it_is_back() {
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    node.answer(100, "lb1", out());
    node.members(vec![balancer("lb1", Presence::Gone)]);
    node.members(vec![balancer("lb1", Presence::Alive)]);
    assert_eq!(node.asks(700), ["lb1"]);
}

#[test]
fn balancers_are_asked_twice_a_second_until_each_has_counted() {
    let mut node = Node::with(&["lb1", "lb2"]);
    node.leave(0);
    assert_eq!(node.asks(499), [""; 0], "it was done at once");
    node.answer(499, "lb1", out());
    assert_eq!(node.asks(500), ["lb2"]);
    node.answer(700, "lb2", Word::Wait { text: "2 s".to_owned() });
    node.answer(701, "lb2", Word::Wait { text: "2 s".to_owned() });
    let lines = node.lines();
    let waits = lines.iter().filter(|line| matches!(line, Line::Waiting { why, .. } if why.is(&Why::Wait)));
    assert_eq!(waits.count(), 1, "what is said twice is told once");
    node.answer(702, "lb2", Word::Wait { text: "1 s".to_owned() });
    assert_eq!(node.lines(), [], "nor how the time goes by");
    assert_eq!(node.asks(1000), ["lb2"]);
    node.answer(1100, "stranger", out());
    assert!(!node.machine.is_lingering());
    node.answer(1200, "lb2", Word::None);
    assert!(node.machine.is_lingering());
    assert_eq!(node.asks(1700), ["lb1"], "who may still have requests on their way");
}

#[test]
fn the_linger_ends_by_what_is_known_of_requests_on_their_way() {
    // lb1's word, then what is measured when; when the linger ends and by what
    for (word, flight, ends, by) in [
        (Word::Idle, None, 2000, LingerEnd::Idle),
        (Word::None, None, 2000, LingerEnd::Idle),
        (out(), None, 5000, LingerEnd::DrainTime),
        (out(), Some((1000, Flight::NoneLeft)), 2000, LingerEnd::NoneLeft),
        (out(), Some((3200, Flight::NoneLeft)), 3200, LingerEnd::NoneLeft),
        (out(), Some((3200, Flight::Busy)), 5000, LingerEnd::DrainTime),
    ] {
        let mut node = Node::with(&["lb1"]);
        node.leave(0);
        node.answer(0, "lb1", word.clone());
        let mut end = None;
        for millis in (0..=5500).step_by(100) {
            if let Some((_, flight)) = flight.filter(|(when, _)| *when == millis) {
                node.machine.handle_flight(at(millis), flight);
            }
            node.machine.handle_timeout(at(millis));
            let ended = node.lines().into_iter().find_map(|line| match line {
                Line::Lingered { by, took_ms, .. } => Some((by, took_ms)),
                _ => None,
            });
            end = end.or(ended);
        }
        assert_eq!(end, Some((by.into(), ends)), "{word:?} {flight:?}");
        assert!(node.machine.has_left());
    }
}

#[test]
fn a_balancer_that_comes_during_the_linger_is_waited_for() {
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    node.answer(0, "lb1", Word::Idle);
    assert!(node.machine.is_lingering());
    node.members(vec![balancer("lb1", Presence::Alive), balancer("lb2", Presence::Alive)]);
    assert_eq!(node.asks(1900), ["lb2"]);
    assert!(!node.machine.is_lingering());
    node.answer(2500, "lb2", Word::Idle);
    assert!(node.machine.is_lingering());
    node.machine.handle_timeout(at(4400));
    assert_eq!(node.has_left(), None, "not before 2 s once more");
    node.machine.handle_timeout(at(4500));
    assert_eq!(node.has_left(), Some(Duration::ZERO));
}

#[test]
fn a_failed_balancer_costs_five_seconds_and_is_named() {
    let mut node = Node::with(&[]);
    let failed = balancer("lb2", Presence::Failed { since: at(0) - Duration::from_secs(60) });
    node.members(vec![balancer("lb1", Presence::Alive), failed]);
    node.leave(0);
    node.answer(100, "lb1", Word::Idle);
    node.machine.handle_timeout(at(4900));
    assert!(!node.machine.is_lingering());
    node.machine.handle_timeout(at(5000));
    assert!(node.machine.is_lingering());
    node.machine.handle_timeout(at(9900));
    assert!(!node.machine.has_left(), "nobody knows what it has on its way");
    node.machine.handle_timeout(at(10_000));
    let lines = node.lines();
    let unreachable = lines.iter().any(|line| matches!(line, Line::Unreachable { balancer, .. } if balancer == "lb2"));
    assert!(unreachable, "{lines:?}");
    let is_named = |line: &Line| {
        matches!(line, Line::Leaving { unconfirmed, unreachable, .. }
        if unconfirmed.is_empty() && unreachable[..] == ["lb2"])
    };
    assert!(lines.iter().any(is_named), "{lines:?}");
}

#[test]
fn a_leave_goes_on_after_its_time_and_names_who_has_not_confirmed() {
    let mut node = Node::with(&["lb1", "lb2"]);
    node.leave(0);
    node.answer(100, "lb1", out());
    for millis in (500..14_000).step_by(500) {
        assert_eq!(node.asks(millis), ["lb2"]);
    }
    node.machine.handle_timeout(at(14_000));
    assert!(node.machine.is_lingering());
    node.machine.handle_timeout(at(19_000));
    let lines = node.lines();
    let is_named = |line: &Line| matches!(line, Line::Leaving { unconfirmed, .. } if unconfirmed[..] == ["lb2"]);
    assert!(lines.iter().any(is_named), "{lines:?}");
    assert!(node.machine.has_left());
}

#[test]
fn a_drain_that_is_not_confirmed_in_time_stays_and_is_asked_for_more_patiently() {
    let mut node = Node::with(&["lb1"]);
    node.drain(0);
    node.machine.handle_timeout(at(14_000));
    assert!(
        node.lines().iter().any(|line| matches!(line, Line::Unconfirmed { balancers } if balancers[..] == ["lb1"]))
    );
    assert!(node.machine.tag().is_some());
    assert_eq!(node.asks(18_900), [""; 0]);
    assert_eq!(node.asks(19_000), ["lb1"]);
    // It was said that it stays, so a refusal does not take it back.
    node.answer(19_050, "lb1", floor(&[]));
    node.machine.handle_timeout(at(19_060));
    assert!(node.machine.tag().is_some());
    assert_eq!(node.machine.told(at(19_060)), (vec![], vec![&name("lb1")]));
    node.answer(19_100, "lb1", Word::Idle);
    assert_eq!(node.machine.told(at(19_100)), (vec![&name("lb1")], vec![]));
    node.machine.handle_timeout(at(21_100));
    assert!(node.lines().iter().any(|line| matches!(line, Line::Drained { .. })));
}

#[test]
fn without_a_balancer_the_leave_comes_first() {
    let mut node = Node::with(&[]);
    node.leave(0);
    assert_eq!((node.has_left(), node.machine.tag()), (Some(TIMES.drain), None));
    let mut node = Node::with(&["lb1"]);
    node.machine.leave(at(0), LamportTime(7), Cause::Asked, Times { drain: Duration::ZERO, ..TIMES });
    assert_eq!((node.has_left(), node.machine.tag()), (Some(Duration::ZERO), None), "Serf's leave");
    let mut node = Node::with(&[]);
    node.drain(0);
    node.machine.handle_timeout(at(4900));
    assert!(node.machine.is_lingering(), "there may be one that is not known yet");
    node.machine.handle_timeout(at(5000));
    assert!(node.lines().iter().any(|line| matches!(line, Line::Drained { unheard: true, .. })));
}

#[test]
fn a_drain_that_a_failed_balancer_has_not_confirmed_says_so() {
    let mut node = Node::with(&[]);
    let failed = balancer("lb2", Presence::Failed { since: at(0) });
    node.members(vec![balancer("lb1", Presence::Alive), failed]);
    node.drain(0);
    node.answer(100, "lb1", Word::Idle);
    node.machine.handle_timeout(at(5000));
    node.machine.handle_timeout(at(7000));
    assert!(node.machine.is_lingering(), "what it has on its way is not known");
    node.machine.handle_timeout(at(10_000));
    let lines = node.lines();
    let is_named =
        |line: &Line| matches!(line, Line::Drained { unreachable, unheard: false, .. } if unreachable[..] == ["lb2"]);
    assert!(lines.iter().any(is_named), "{lines:?}");
}

/// It may have been restarted since, or others may have.
#[test]
fn a_second_request_asks_everybody_again_and_waits_for_nothing_else() {
    let mut node = drained();
    node.drain(60_000);
    assert_eq!(node.asks(60_000), ["lb1"]);
    assert!(!node.lines().iter().any(Line::is_end));
    node.answer(60_200, "lb1", Word::Idle);
    let lines = node.lines();
    assert!(lines.iter().any(|line| matches!(line, Line::Drained { unheard: false, .. })), "{lines:?}");
}

#[test]
fn a_refused_drain_is_taken_back_unless_it_is_forced_or_a_leave() {
    let refused = || Word::Floor { earlier: Vec::new(), rule: String::new() };
    let mut node = Node::with(&["lb1", "lb2"]);
    node.drain(0);
    node.answer(100, "lb1", refused());
    assert!(node.machine.tag().is_some(), "the other may be the one that counts");
    node.answer(200, "lb2", refused());
    node.machine.handle_kept(at(210), Ok(()));
    assert!(node.lines().iter().any(|line| matches!(line, Line::Refused { balancers } if balancers.len() == 2)));
    assert!(node.machine.tag().is_none() && node.machine.kept().is_none());
    for force in [true, false] {
        let mut node = Node::with(&["lb1"]);
        if force {
            node.machine.drain(at(0), LamportTime(7), DrainRequest { force, ..DrainRequest::default() }, TIMES);
            node.machine.handle_kept(at(0), Ok(()));
        } else {
            node.leave(0);
        }
        node.answer(100, "lb1", refused());
        assert!(node.machine.tag().is_some());
    }
}

#[test]
fn whoever_asked_later_lets_the_earlier_one_go_first() {
    let earlier = || Word::Floor { earlier: vec![name("web0")], rule: String::new() };
    let web0 = |drains: bool| Peer {
        name: name("web0"),
        presence: Presence::Alive,
        incarnation: Incarnation::FIRST,
        is_balancer: false,
        drain: drains.then(|| DrainTag::new(DrainId::drawn(1), LamportTime(6))),
    };
    let lb1 = || balancer("lb1", Presence::Alive);
    let mut node = Node::with(&[]);
    node.members(vec![lb1(), web0(true)]);
    node.drain(0);
    let first = node.machine.tag().cloned().unwrap();
    node.answer(100, "lb1", earlier());
    assert_eq!(node.machine.tag(), Some(&first), "the next id is on disk first");
    node.machine.handle_kept(at(100), Ok(()));
    assert!(node.machine.tag().is_none());
    let kept = node.machine.kept().unwrap();
    assert!(kept.id != first.id && kept.since == LamportTime(7), "another id, the same rank");
    node.machine.handle_timeout(at(1000));
    assert!(node.machine.tag().is_none());
    node.members(vec![lb1(), web0(false)]);
    node.machine.handle_timeout(at(1100));
    node.machine.handle_kept(at(1100), Ok(()));
    let second = node.machine.tag().cloned().unwrap();
    assert_eq!((second.rank, second.id != first.id), (first.rank, true));
    // The next pause is twice as long, and nobody who is seen to drain ends it.
    node.answer(1200, "lb1", earlier());
    node.machine.handle_kept(at(1200), Ok(()));
    node.machine.handle_timeout(at(5100));
    assert!(node.machine.tag().is_none());
    node.machine.handle_timeout(at(5200));
    node.machine.handle_kept(at(5200), Ok(()));
    assert!(node.machine.tag().is_some());
}

#[test]
fn a_leave_takes_over_a_drain() {
    let mut node = drained();
    let id = node.machine.tag().cloned();
    node.leave(60_000);
    assert_eq!(node.machine.tag().cloned(), id);
    assert!(node.machine.kept().is_none(), "starting again means to serve");
    node.answer(60_100, "lb1", Word::Idle);
    assert_eq!(node.has_left(), Some(Duration::ZERO));
    assert_eq!(node.machine.undo(), Err(TooLate::Leaving), "there is no way back");
    let mut node = Node::with(&["lb1"]);
    node.drain(0);
    node.machine.leave(at(100), LamportTime(8), Cause::Stop, TIMES);
    assert!(node.machine.kept().is_some(), "a stop of the service is not the end of the drain");
}

#[test]
fn an_undo_ends_a_leave_that_drains_unless_the_process_is_stopped() {
    let (asked, stop) = (Cause::Asked, Cause::Stop);
    for (causes, late) in
        [(&[asked][..], None), (&[stop], Some(TooLate::Stopping)), (&[asked, stop], Some(TooLate::Stopping))]
    {
        let mut node = Node::with(&["lb1"]);
        for cause in causes {
            node.machine.leave(at(0), LamportTime(7), *cause, TIMES);
        }
        assert_eq!(node.machine.too_late(), late, "{causes:?}");
        assert_eq!(node.machine.undo(), late.map_or(Ok(()), Err), "{causes:?}");
        node.answer(100, "lb1", Word::Idle);
        node.machine.handle_timeout(at(10_000));
        assert_eq!(node.has_left().is_some(), late.is_some(), "{causes:?}");
        assert_eq!(node.machine.tag().is_none(), late.is_none(), "{causes:?}");
    }
}

#[test]
fn a_balancer_that_refused_and_then_left_is_named() {
    let goes = |peers: &mut Node, millis, presence| {
        peers.members(vec![balancer("lb1", Presence::Alive), balancer("lb2", presence)]);
        peers.machine.handle_timeout(at(millis));
    };
    let apply = || Word::Apply { error: "unknown directive".to_owned() };
    for word in [apply(), floor(&[]), Word::Wait { text: String::new() }] {
        let mut node = Node::with(&["lb1", "lb2"]);
        node.machine.drain(at(0), LamportTime(7), DrainRequest { force: true, ..DrainRequest::default() }, TIMES);
        node.machine.handle_kept(at(0), Ok(()));
        node.answer(100, "lb2", word.clone());
        node.answer(100, "lb1", Word::Idle);
        goes(&mut node, 200, Presence::Gone);
        node.machine.handle_timeout(at(3000));
        assert!(node.machine.is_lingering(), "what it has on its way is not known");
        node.machine.handle_timeout(at(5200));
        let lines = node.lines();
        let told = lines.iter().filter(|line| matches!(line, Line::Gone { balancer } if balancer == "lb2")).count();
        assert_eq!(told, 1, "{lines:?}");
        let is_named = |line: &Line| matches!(line, Line::Drained { gone, .. } if gone[..] == ["lb2"]);
        assert!(lines.iter().any(is_named), "{word:?}: {lines:?}");

        let mut node = Node::with(&["lb1", "lb2"]);
        node.leave(0);
        node.answer(100, "lb2", word.clone());
        node.answer(100, "lb1", Word::Idle);
        goes(&mut node, 200, Presence::Gone);
        node.machine.handle_timeout(at(5200));
        let lines = node.lines();
        let is_named = |line: &Line| matches!(line, Line::Leaving { gone, .. } if gone[..] == ["lb2"]);
        assert!(lines.iter().any(is_named), "{word:?}: {lines:?}");
    }
    // One that is done with it, or that comes back, is none of them.
    let mut node = Node::with(&["lb1", "lb2"]);
    node.drain(0);
    node.answer(100, "lb2", apply());
    goes(&mut node, 200, Presence::Gone);
    goes(&mut node, 300, Presence::Alive);
    node.answer(400, "lb2", Word::Idle);
    node.answer(400, "lb1", Word::Idle);
    goes(&mut node, 500, Presence::Gone);
    node.machine.handle_timeout(at(2500));
    let lines = node.lines();
    assert!(lines.iter().any(|line| matches!(line, Line::Drained { gone, .. } if gone.is_empty())), "{lines:?}");
}

fn guard(unit: &str) -> Guard {
    Guard::new(unit).unwrap_or_default()
}

#[test]
fn a_guard_takes_back_only_what_it_alone_asked_for() {
    let by = |unit: &str| DrainRequest { guard: Some(guard(unit)), ..DrainRequest::default() };
    let operator = DrainRequest::default;
    // who drains, which guard takes it back, who is left: an operator, guards
    for (requests, back, left) in [
        (vec![by("a")], "a", None),
        (vec![operator()], "a", Some((true, &[][..]))),
        (vec![by("a"), operator()], "a", Some((true, &[][..]))),
        (vec![operator(), by("a")], "a", Some((true, &[][..]))),
        (vec![by("a"), by("b")], "a", Some((false, &["b"][..]))),
        (vec![by("a"), by("b"), operator()], "a", Some((true, &["b"][..]))),
        (vec![by("a"), by("b")], "", None),
        (vec![by("")], "", None),
        (vec![by("")], "a", None),
    ] {
        let mut node = Node::with(&["lb1"]);
        for request in requests.clone() {
            node.machine.drain(at(0), LamportTime(7), request, TIMES);
            node.machine.handle_kept(at(0), Ok(()));
        }
        node.take();
        let stays = node.machine.undo_guard(&guard(back));
        node.machine.handle_kept(at(100), Ok(()));
        assert_eq!(node.machine.tag().is_none(), left.is_none(), "{requests:?}");
        let kept = node.machine.kept().map(|kept| (kept.operator, kept.guards.to_strings()));
        let left = left.map(|(operator, units)| (operator, units.iter().map(ToString::to_string).collect::<Vec<_>>()));
        assert_eq!(kept, left, "{requests:?}");
        let is_end = node.lines().iter().any(Line::is_end);
        assert_eq!(is_end, left.is_none(), "whoever waits for a drain that goes on goes on waiting: {requests:?}");
        let told = match stays {
            Some(Line::Undone { stays: true, operator, guards, .. }) => Some((operator, guards)),
            _ => None,
        };
        assert_eq!(told, left, "{requests:?}");
    }
}

#[test]
fn an_operators_undo_tells_which_guards_it_ends() {
    let by = |unit: &str| DrainRequest { guard: Some(guard(unit)), ..DrainRequest::default() };
    let ended = |node: &mut Node| {
        let lines = node.lines();
        lines.iter().find_map(|line| match line {
            Line::Undone { stays: false, ended_guards, .. } => Some(ended_guards.clone()),
            _ => None,
        })
    };
    // who drains, whose word ends with the operator's
    for (requests, guards) in [
        (vec![DrainRequest::default()], &[][..]),
        (vec![by("a")], &["a"]),
        (vec![by("b"), DrainRequest::default(), by("a")], &["a", "b"]),
        (vec![by("")], &[""]),
    ] {
        // Also by the second of two undos of which the first is not on disk yet.
        for undos in [1, 2] {
            let mut node = Node::with(&["lb1"]);
            for request in requests.clone() {
                node.machine.drain(at(0), LamportTime(7), request, TIMES);
                node.machine.handle_kept(at(0), Ok(()));
            }
            node.take();
            (0..undos).for_each(|_| assert_eq!(node.machine.undo(), Ok(())));
            node.machine.handle_kept(at(100), Ok(()));
            assert!(node.machine.tag().is_none() && node.machine.kept().is_none(), "{requests:?}");
            assert_eq!(
                ended(&mut node).as_deref(),
                Some(&guards.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
            );
        }
    }
    let mut node = Node::with(&["lb1"]);
    node.machine.drain(at(0), LamportTime(7), by("a"), TIMES);
    node.machine.handle_kept(at(0), Ok(()));
    node.machine.undo_guard(&guard("a"));
    node.machine.handle_kept(at(100), Ok(()));
    assert_eq!(ended(&mut node), Some(Vec::new()), "its own word is its own");
}

#[test]
fn a_guards_drain_waits_for_room_as_long_as_it_may() {
    let request = || DrainRequest { guard: Some(guard("a")), ..DrainRequest::default() };
    for requests in [vec![request()], vec![request(), DrainRequest::default()]] {
        let mut node = Node::with(&["lb1"]);
        for request in requests {
            node.machine.drain(at(0), LamportTime(7), request, TIMES);
            node.machine.handle_kept(at(0), Ok(()));
        }
        node.answer(500, "lb1", floor(&[]));
        node.machine.handle_timeout(at(13_900));
        assert!(node.machine.tag().is_some(), "its application stops whatever balancers say");
        node.answer(13_950, "lb1", Word::Idle);
        node.machine.handle_timeout(at(16_000));
        assert!(node.lines().iter().any(|line| matches!(line, Line::Drained { .. })));
    }
}

#[test]
fn a_drain_that_two_guards_asked_for_is_over_with_the_second_undo() {
    let mut node = Node::with(&["lb1"]);
    for unit in ["a", "b"] {
        let request = DrainRequest { guard: Some(guard(unit)), ..DrainRequest::default() };
        node.machine.drain(at(0), LamportTime(7), request, TIMES);
        node.machine.handle_kept(at(0), Ok(()));
    }
    for (unit, drains) in [("a", true), ("b", false)] {
        node.machine.undo_guard(&guard(unit));
        node.machine.handle_kept(at(100), Ok(()));
        assert_eq!(node.machine.tag().is_some(), drains, "{unit}");
    }
}

/// At a shutdown the leave and the guards begin at the same instant.
#[test]
fn a_guards_word_outlives_every_leave_and_an_operators_one_that_is_no_stop() {
    let operator = DrainRequest { reason: Some("kernel".to_owned()), ..DrainRequest::default() };
    let by = |unit: &str| DrainRequest { guard: Some(guard(unit)), ..DrainRequest::default() };
    for (before, cause, meanwhile, left) in [
        (vec![], Cause::Stop, vec![by("a"), by("b")], Some((false, &["a", "b"][..]))),
        (vec![], Cause::Asked, vec![by("a")], Some((false, &["a"][..]))),
        (vec![by("a")], Cause::Stop, vec![by("b")], Some((false, &["a", "b"][..]))),
        (vec![by("a")], Cause::Asked, vec![], Some((false, &["a"][..]))),
        (vec![operator.clone(), by("a")], Cause::Asked, vec![], Some((false, &["a"][..]))),
        (vec![operator.clone()], Cause::Stop, vec![by("a")], Some((true, &["a"][..]))),
        (vec![operator], Cause::Asked, vec![], None),
        (vec![], Cause::Stop, vec![DrainRequest::default()], None),
    ] {
        let mut node = Node::with(&["lb1"]);
        for request in before.clone() {
            node.machine.drain(at(0), LamportTime(7), request, TIMES);
            node.machine.handle_kept(at(0), Ok(()));
        }
        node.machine.leave(at(10), LamportTime(7), cause, TIMES);
        for request in meanwhile {
            assert!(!node.machine.drain(at(20), LamportTime(7), request, TIMES));
        }
        let kept = node.machine.kept().map(|kept| (kept.operator, kept.guards.to_strings()));
        let left = left.map(|(operator, units)| (operator, units.iter().map(ToString::to_string).collect::<Vec<_>>()));
        assert_eq!(kept, left, "{before:?} {cause:?}");
        assert!(node.machine.is_leaving());
        let reason = node.machine.kept().and_then(|kept| kept.reason.clone());
        assert_eq!(reason.is_some(), left.is_some_and(|(operator, _)| operator));
    }
}

#[test]
fn a_leave_goes_on_whatever_a_guard_takes_back() {
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    assert!(node.machine.undo_guard(&guard("a")).is_some());
    assert!(node.machine.is_leaving() && node.machine.tag().is_some());
}

/// Of a node that was drained when it crashed.
fn restored(kept: Kept) -> Node {
    let machine = Departure::new(name("web1"), StdRng::seed_from_u64(1)).restored(at(0), kept, TIMES);
    Node { machine, outputs: Vec::new() }
}

fn kept() -> Kept {
    Kept { id: DrainId::drawn(9), since: LamportTime(3), operator: true, guards: Guards::default(), reason: None }
}

#[test]
fn a_drain_of_an_earlier_run_goes_on_with_its_id() {
    let mut node = restored(kept());
    node.members(vec![balancer("lb1", Presence::Alive)]);
    assert_eq!(node.machine.tag(), Some(&DrainTag::new(kept().id, kept().since)));
    assert_eq!(node.asks(0), ["lb1"]);
    node.answer(10, "lb1", Word::Floor { earlier: Vec::new(), rule: String::new() });
    assert!(node.machine.tag().is_some(), "nobody waits who could be told that it is refused");
}

#[test]
fn a_node_that_comes_back_drained_is_not_done_before_it_has_found_its_cluster() {
    let is_drained = |node: &mut Node| node.lines().iter().any(|line| matches!(line, Line::Drained { .. }));
    let mut node = restored(kept());
    for millis in [0, 5000, 29_999] {
        node.machine.handle_timeout(at(millis));
        assert!(!node.machine.is_lingering(), "{millis}");
    }
    // Nobody was found: it says that nobody has confirmed.
    assert_eq!(node.machine.poll_timeout(), Some(at(30_000)));
    node.machine.handle_timeout(at(30_000));
    assert!(node.machine.is_lingering() && node.machine.poll_timeout() > Some(at(30_000)));
    node.machine.handle_timeout(at(35_000));
    let lines = node.lines();
    assert!(lines.iter().any(|line| matches!(line, Line::Drained { unheard: true, .. })), "{lines:?}");

    // Whoever is heard of before the first join need not be all.
    let mut node = restored(kept());
    node.members(vec![balancer("lb1", Presence::Alive)]);
    node.answer(100, "lb1", Word::Idle);
    node.machine.handle_timeout(at(6000));
    assert!(!node.machine.is_lingering() && !is_drained(&mut node));
    node.machine.handle_view(at(6000));
    assert!(node.machine.is_lingering());
    node.machine.handle_timeout(at(8000));
    assert!(is_drained(&mut node));

    // Who leaves need not find anybody.
    let mut node = restored(kept());
    node.leave(100);
    assert!(node.machine.has_left());
}

#[test]
fn who_asks_while_another_is_seen_to_drain_asks_later_though_the_clock_stands() {
    let drains = |text: &str, since, presence| Peer {
        drain: Some(DrainTag::new(DrainId::drawn(1), LamportTime(since))),
        is_balancer: false,
        ..balancer(text, presence)
    };
    // who drains, since when by its tag, what our rank is
    for (peer, since) in [
        (drains("web2", 7, Presence::Alive), 8),
        (drains("web2", 6, Presence::Alive), 7),
        (drains("web2", u64::MAX, Presence::Alive), u64::MAX),
        (drains("web2", 9, Presence::Gone), 7),
        (drains("web1", 9, Presence::Alive), 7),
    ] {
        for leaves in [true, false] {
            let mut node = Node::with(&[]);
            node.members(vec![balancer("lb1", Presence::Alive), peer.clone()]);
            if leaves {
                node.leave(0);
            } else {
                node.drain(0);
            }
            let rank = node.machine.tag().map(|tag| tag.rank);
            assert_eq!(rank, Some(crate::upstream::Rank::Since(LamportTime(since))), "{peer:?}");
        }
    }
}

#[test]
fn an_answer_to_another_drain_is_no_answer() {
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    let other = Reply { id: DrainId::drawn(1), generation: Generation(1), word: Word::Idle };
    node.machine.handle_answer(at(10), &name("lb1"), other);
    assert!(!node.machine.is_lingering());
    let measured: Vec<SocketAddr> = node.machine.servers().collect();
    assert!(measured.is_empty());
    node.answer(20, "lb1", out());
    assert_eq!(node.machine.servers().collect::<Vec<_>>(), ["10.0.0.1:80".parse().unwrap()]);
}

#[test]
fn where_one_balancer_has_not_said_where_requests_go_nothing_can_be_measured() {
    let mut node = Node::with(&["lb1", "lb2"]);
    node.leave(0);
    node.answer(10, "lb1", out());
    assert_eq!(node.machine.servers().count(), 1);
    node.answer(20, "lb2", Word::Out { servers: Vec::new() });
    assert_eq!(node.machine.servers().count(), 0);
    node.answer(600, "lb2", Word::Idle);
    assert_eq!(node.machine.servers().count(), 1, "it has none on their way");
}

fn floor(earlier: &[&str]) -> Word {
    Word::Floor { earlier: earlier.iter().map(|text| name(text)).collect(), rule: String::new() }
}

#[test]
fn nobody_is_let_go_first_under_an_id_that_would_come_back() {
    for (result, yields) in [
        (Ok(()), true),
        (Err(NotKept::Never("no snapshot".to_owned())), true),
        (Err(NotKept::Failed("no space".to_owned())), false),
    ] {
        let mut node = Node::with(&["lb1"]);
        node.drain(0);
        let (tag, id) = (node.machine.tag().cloned(), node.machine.kept().unwrap().id.clone());
        node.answer(100, "lb1", floor(&["web0"]));
        node.take();
        node.machine.handle_kept(at(110), result.clone());
        assert_eq!(node.machine.tag().is_none(), yields, "{result:?}");
        if !yields {
            assert_eq!(node.machine.tag(), tag.as_ref());
            let kept = node.take().into_iter().find_map(|output| match output {
                Output::Keep(kept) => kept,
                _ => None,
            });
            assert_eq!(kept.map(|kept| kept.id), Some(id), "what comes back is what others know");
            assert_eq!(node.asks(1000), ["lb1"], "it goes on to ask");
            node.answer(2200, "lb1", floor(&["web0"]));
            node.machine.handle_kept(at(2210), Ok(()));
            assert!(node.machine.tag().is_none(), "and tries again");
        }
    }
}

#[test]
fn a_drain_that_found_no_room_by_its_end_is_refused_and_not_left_half_done() {
    // What lb1 says all the time, whether the drain was forced; what it ends with
    for (word, force, refused) in [
        (floor(&["web0"]), false, true),
        (floor(&["web0"]), true, false),
        (Word::Wait { text: String::new() }, false, false),
    ] {
        let mut node = Node::with(&["lb1"]);
        node.machine.drain(at(0), LamportTime(7), DrainRequest { force, ..DrainRequest::default() }, TIMES);
        let mut lines = Vec::new();
        for millis in (0..15_000).step_by(100) {
            node.machine.handle_kept(at(millis), Ok(()));
            node.machine.handle_timeout(at(millis));
            node.answer(millis, "lb1", word.clone());
            lines.extend(node.lines());
        }
        let end = lines.iter().find(|line| line.is_end());
        let is_refused = matches!(end, Some(Line::Refused { balancers }) if balancers[..] == ["lb1"]);
        assert_eq!(is_refused, refused, "{word:?} {force}: {lines:?}");
        assert_eq!(node.machine.kept().is_none(), refused, "{word:?} {force}");
        assert!(refused || matches!(end, Some(Line::Unconfirmed { .. })), "{lines:?}");
    }
}

#[test]
fn of_more_servers_than_are_remembered_nothing_is_measured() {
    let mut node = Node::with(&["lb1"]);
    node.leave(0);
    let servers = (1..=300).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
    node.answer(10, "lb1", Word::Out { servers });
    assert_eq!(node.machine.servers().count(), 0);
}
