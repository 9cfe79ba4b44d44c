use super::*;
use crate::drain::{DrainId, DrainTag};
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(100) + Duration::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn id(number: u32) -> DrainId {
    DrainId::drawn(number)
}

fn told(node: &str, incarnation: u32, drain: Option<(u32, u64)>) -> Told {
    let tag = drain.map(|(number, time)| DrainTag::new(id(number), LamportTime(time)));
    Told { node: name(node), fact: Fact::told(Incarnation::new(incarnation), tag), is_gone: false }
}

fn query(number: u32) -> QueryKey {
    QueryKey { ltime: LamportTime(1), id: number }
}

fn question(number: u32, incarnation: u32) -> Question {
    Question { id: id(number), incarnation: Incarnation::new(incarnation), node: name("web1") }
}

fn servers() -> Vec<SocketAddr> {
    vec!["10.0.0.1:80".parse().unwrap()]
}

fn out() -> Place {
    Place::Out { servers: servers() }
}

fn outputs(ledger: &mut Ledger) -> (Option<Promises>, Vec<Word>) {
    let (mut keep, mut words) = (None, Vec::new());
    while let Some(output) = ledger.poll_output() {
        match output {
            Output::Keep(promises) => keep = Some(promises),
            Output::Answer { reply, .. } => words.push(reply.word),
        }
    }
    (keep, words)
}

fn advance(ledger: &mut Ledger, millis: u64, place: Place) -> (Option<Promises>, Vec<Word>) {
    ledger.advance(at(millis), Some(|_: &NodeName| place.clone()));
    outputs(ledger)
}

fn standing(old_workers: u32, promises: Promises) -> Result<Standing, String> {
    Ok(Standing { live: Generation(16), old_workers, promises })
}

/// One that knows web1 to drain, and was asked.
fn asked() -> Ledger {
    let mut ledger = Ledger::new(at(0), Promises::default());
    ledger.handle_members(at(0), [told("web1", 7, Some((1, 3)))]);
    ledger.handle_question(at(0), query(1), question(1, 7), None);
    ledger
}

/// One that has promised web1 its absence.
fn promised() -> Ledger {
    let mut ledger = asked();
    let promises = advance(&mut ledger, 10, out()).0.unwrap();
    ledger.handle_kept(at(12), standing(1, promises));
    assert_eq!(outputs(&mut ledger).1, [Word::Out { servers: servers() }]);
    assert_eq!(ledger.drain_of(&name("web1")), Drain::Promised);
    ledger
}

#[test]
fn what_is_answered_depends_on_what_is_live_and_on_disk() {
    let beside = || vec![name("web0"), name("web2")];
    let rule = || "min_healthy = 2 of upstream web".to_owned();
    let refused = |beside| Place::Refused { beside, rule: rule() };
    // place, old workers once a promise is kept, the answer at once and after the time that it may be held back
    for (place, old_workers, at_once, later) in [
        (out(), 3, Some(Word::Out { servers: servers() }), None),
        (out(), 0, Some(Word::Idle), None),
        (Place::Elsewhere, 3, Some(Word::None), None),
        (Place::Going, 0, None, Some(Word::Wait { text: String::new() })),
        (Place::Stuck { error: "e".to_owned() }, 0, Some(Word::Apply { error: "e".to_owned() }), None),
        (refused(Vec::new()), 0, Some(Word::Floor { earlier: Vec::new(), rule: rule() }), None),
        (refused(beside()), 0, Some(Word::Floor { earlier: vec![name("web0")], rule: rule() }), None),
    ] {
        let mut ledger = asked();
        ledger.handle_members(at(0), [told("web0", 1, Some((8, 2))), told("web2", 1, Some((9, 4)))]);
        assert_eq!(ledger.drain_of(&name("web1")), Drain::Asked(Rank::Since(LamportTime(3))));
        let (keep, mut words) = advance(&mut ledger, 100, place.clone());
        if let Some(promises) = keep {
            assert!(words.is_empty(), "nothing is said before it is on disk");
            ledger.handle_kept(at(100), standing(old_workers, promises));
            words = outputs(&mut ledger).1;
        }
        assert_eq!(words.first(), at_once.as_ref(), "{place:?}");
        assert_eq!(ledger.poll_timeout(), later.as_ref().map(|_| at(750)), "{place:?}");
        assert_eq!(advance(&mut ledger, 750, place).1.first(), later.as_ref());
    }
}

#[test]
fn a_promise_that_apply_finds_untrue_is_not_given() {
    let mut ledger = asked();
    assert!(advance(&mut ledger, 10, out()).0.is_some());
    ledger.handle_kept(at(12), standing(0, Promises::default()));
    assert_eq!(outputs(&mut ledger).1, []);
    assert_ne!(ledger.drain_of(&name("web1")), Drain::Promised);
    let mut ledger = asked();
    assert!(advance(&mut ledger, 10, out()).0.is_some());
    ledger.handle_kept(at(12), Err("no space left on device".to_owned()));
    assert_eq!(outputs(&mut ledger).1, [Word::Apply { error: "no space left on device".to_owned() }]);
}

#[test]
fn what_cannot_be_kept_is_not_tried_again_at_once() {
    let mut ledger = asked();
    assert!(advance(&mut ledger, 10, out()).0.is_some());
    ledger.handle_kept(at(20), standing(0, Promises::default()));
    assert_eq!(advance(&mut ledger, 20, out()).0, None);
    assert_eq!(ledger.poll_timeout(), Some(at(270)));
    assert!(advance(&mut ledger, 270, out()).0.is_some());

    // A promise that has ended is to be forgotten on a disk that takes nothing.
    let mut ledger = promised();
    ledger.handle_members(at(1000), [told("web1", 8, None)]);
    for (millis, again) in [(1000, 2000), (2000, 4000), (4000, 8000)] {
        assert!(advance(&mut ledger, millis, Place::Elsewhere).0.is_some_and(|promises| promises.is_empty()));
        ledger.handle_kept(at(millis), Err("no space left on device".to_owned()));
        assert_eq!(advance(&mut ledger, millis + 1, Place::Elsewhere).0, None);
        assert_eq!(ledger.poll_timeout(), Some(at(again)));
    }
}

#[test]
fn nothing_is_asked_of_apply_while_it_has_something_to_do() {
    let mut ledger = asked();
    ledger.advance(at(10), None::<fn(&NodeName) -> Place>);
    assert_eq!(outputs(&mut ledger), (None, Vec::new()));
    assert!(advance(&mut ledger, 20, out()).0.is_some());
    ledger.handle_question(at(30), query(2), question(1, 7), None);
    assert_eq!(advance(&mut ledger, 30, out()), (None, Vec::new()), "one at a time");
}

#[test]
fn a_promise_is_looked_at_again_with_each_question_until_old_workers_are_gone() {
    let mut ledger = promised();
    for (old_workers, word) in [(2, Word::Out { servers: servers() }), (0, Word::Idle)] {
        ledger.handle_question(at(500), query(2), question(1, 9), None);
        let promises = advance(&mut ledger, 500, Place::Going).0.unwrap();
        assert!(promises.is_promised(&name("web1")));
        ledger.handle_kept(at(500), standing(old_workers, promises));
        assert_eq!(outputs(&mut ledger).1, [word]);
    }
}

#[test]
fn a_promise_ends_with_a_newer_word_without_its_drain() {
    // web1's word, whether the promise of (7, drain 1) holds
    for (word, holds) in [
        (told("web1", 7, None), true),
        (told("web1", 6, None), true),
        (told("web1", 8, Some((1, 3))), true),
        (told("web1", 8, None), false),
        (told("web1", 8, Some((2, 3))), false),
        (Told { is_gone: true, ..told("web1", 7, None) }, false),
    ] {
        let mut ledger = promised();
        ledger.handle_members(at(1000), [word.clone()]);
        assert_eq!(ledger.promises().is_promised(&name("web1")), holds, "{word:?}");
        let keep = advance(&mut ledger, 1000, out()).0;
        assert_eq!(keep.is_some_and(|promises| promises.is_empty()), !holds, "it is forgotten on disk");
    }
    let mut ledger = promised();
    ledger.handle_members(at(1000), []);
    assert!(ledger.promises().is_promised(&name("web1")), "who is not known yet may be known later");
    ledger.handle_members(at(0) + FORGET + Duration::from_secs(1), []);
    assert!(ledger.promises().is_empty());
}

#[test]
fn a_node_that_lost_its_count_is_believed_when_it_is_asked_after_the_promise() {
    let mut ledger = promised();
    ledger.handle_serving(&name("web1"), at(9));
    assert!(ledger.promises().is_promised(&name("web1")), "it was asked before");
    ledger.handle_serving(&name("web1"), at(11));
    assert!(ledger.promises().is_empty());
    assert_eq!(ledger.drain_of(&name("web1")), Drain::No);
}

/// Found by exploring: nothing was left that could have ended it.
#[test]
fn a_promise_that_ends_on_its_way_to_the_disk_has_ended() {
    let mut ledger = asked();
    let promises = advance(&mut ledger, 10, out()).0.unwrap();
    ledger.handle_members(at(20), [told("web1", 8, None)]);
    advance(&mut ledger, 760, Place::Going);
    ledger.handle_members(at(770), [told("web1", 8, None)]);
    ledger.handle_kept(at(775), standing(0, promises));
    assert!(ledger.promises().is_empty());
    assert!(advance(&mut ledger, 780, Place::Elsewhere).0.is_some_and(|promises| promises.is_empty()));
}

#[test]
fn questions_about_an_earlier_drain_are_not_answered() {
    let mut ledger = asked();
    ledger.handle_members(at(5), [told("web1", 8, None), told("web1", 9, Some((2, 3)))]);
    ledger.handle_question(at(6), query(2), question(1, 7), None);
    let current = Fact::told(Incarnation::new(9), None);
    ledger.handle_question(at(7), query(3), Question { node: name("web2"), ..question(5, 8) }, Some(current));
    let (keep, words) = advance(&mut ledger, 760, Place::Elsewhere);
    assert!(keep.is_none() || keep.is_some_and(|promises| !promises.has_drain(&name("web1"), &id(1))));
    assert!(words.len() <= 1, "{words:?}");
    assert_eq!(ledger.drain_of(&name("web2")), Drain::No);
}

#[test]
fn promises_of_an_earlier_run_hold_before_anybody_is_known() {
    let promises = promised().promises().clone();
    let ledger = Ledger::new(at(0), promises);
    assert_eq!(ledger.drain_of(&name("web1")), Drain::Promised);
    assert_eq!(ledger.concerned().collect::<Vec<_>>(), [&name("web1")]);
}

#[test]
fn who_has_to_wait_hears_how_long_where_that_is_not_soon() {
    for (next_job, text) in [(None, ""), (Some(at(900)), ""), (Some(at(5000)), "in 5 s"), (Some(at(500)), "")] {
        let mut ledger = asked();
        ledger.handle_next_job(next_job);
        let words = advance(&mut ledger, 750, Place::Going).1;
        assert_eq!(words, [Word::Wait { text: text.to_owned() }], "{next_job:?}");
    }
}

#[test]
fn promises_that_are_known_late_hold_as_those_that_were_read_at_once() {
    let promises = promised().promises().clone();
    let mut ledger = Ledger::new(at(0), Promises::default());
    ledger.handle_members(at(0), [told("web1", 7, Some((1, 3))), told("web2", 2, None)]);
    ledger.handle_known(at(100), &promises);
    assert_eq!((ledger.promises(), ledger.drain_of(&name("web1"))), (&promises, Drain::Promised));
    // A newer word that came before has ended one.
    let mut ledger = Ledger::new(at(0), Promises::default());
    ledger.handle_question(at(0), query(1), question(2, 9), None);
    ledger.handle_known(at(100), &promises);
    assert!(!ledger.promises().has_drain(&name("web1"), &id(1)));
    assert!(advance(&mut ledger, 110, Place::Elsewhere).0.is_some(), "it is forgotten on disk, too");
}
