use super::*;

const OPTIONS: Options = Options {
    quiet: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    min_reload_interval: Duration::from_secs(1),
    jitter: Duration::ZERO,
    retry: Duration::from_secs(60),
    max_retry: Duration::from_secs(600),
};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn due(settle: &Settle) -> Option<u64> {
    settle.poll_timeout().map(|at| at.as_nanos() / 1_000_000)
}

/// Complete, with the first generation live since 1 s.
fn running() -> Settle {
    let mut settle = Settle::new(OPTIONS);
    settle.complete();
    settle.wanted(at(1000), News::Bad);
    assert!(settle.handle_timeout(at(1000)));
    settle.applied(at(1000), Applied::Done { reloaded: true });
    settle
}

#[test]
fn nothing_is_due_before_the_first_complete_state_and_then_at_once() {
    let mut settle = Settle::new(OPTIONS);
    settle.wanted(at(5), News::Ordinary);
    settle.wanted(at(900), News::Bad);
    assert_eq!(due(&settle), None);
    assert!(!settle.handle_timeout(at(5000)));
    settle.complete();
    assert_eq!(due(&settle), Some(5));
    assert!(settle.handle_timeout(at(1000)));
}

#[test]
fn a_change_waits_until_it_is_quiet() {
    let mut settle = running();
    settle.wanted(at(5000), News::Ordinary);
    assert_eq!(due(&settle), Some(5200));
    settle.wanted(at(5150), News::Ordinary);
    assert_eq!(due(&settle), Some(5350));
    assert!(!settle.handle_timeout(at(5349)));
    assert!(settle.handle_timeout(at(5350)));
    assert_eq!(due(&settle), None, "nothing is due while it is applied");
}

#[test]
fn a_storm_is_cut_off_after_the_longest_delay() {
    let mut settle = running();
    for millis in (5000..=6990).step_by(10) {
        settle.wanted(at(millis), News::Ordinary);
    }
    assert_eq!(due(&settle), Some(7000));
}

#[test]
fn a_hundred_joins_within_two_seconds_cost_one_reload() {
    let mut settle = running();
    let mut reloads = 0;
    for millis in 5000..9000 {
        if millis < 6980 && millis % 20 == 0 {
            settle.wanted(at(millis), News::Ordinary);
        }
        if settle.handle_timeout(at(millis)) {
            reloads += 1;
            settle.applied(at(millis), Applied::Done { reloaded: true });
        }
    }
    assert_eq!(reloads, 1);
}

#[test]
fn bad_news_does_not_wait_for_quiet_but_for_the_interval_between_reloads() {
    let mut settle = running();
    settle.wanted(at(5000), News::Ordinary);
    settle.wanted(at(5010), News::Bad);
    assert_eq!(due(&settle), Some(5000));
    assert!(settle.handle_timeout(at(5010)));
    settle.applied(at(5120), Applied::Done { reloaded: true });
    settle.wanted(at(5130), News::Bad);
    assert_eq!(due(&settle), Some(6120));
}

#[test]
fn what_changes_during_an_apply_is_due_after_it() {
    let mut settle = running();
    settle.wanted(at(5000), News::Bad);
    assert!(settle.handle_timeout(at(5000)));
    settle.wanted(at(5050), News::Ordinary);
    assert_eq!(due(&settle), None);
    settle.applied(at(5110), Applied::Done { reloaded: false });
    assert_eq!(due(&settle), Some(5250), "no reload, no interval");
}

#[test]
fn a_change_that_is_taken_back_is_not_applied() {
    let mut settle = running();
    settle.wanted(at(5000), News::Ordinary);
    settle.unwanted();
    assert_eq!(due(&settle), None);
}

#[test]
fn a_failure_is_tried_again_after_a_minute_or_with_the_next_change() {
    let fail = || {
        let mut settle = running();
        settle.wanted(at(5000), News::Bad);
        assert!(settle.handle_timeout(at(5000)));
        settle.applied(at(5100), Applied::Failed { reloaded: false });
        settle
    };
    let mut settle = fail();
    assert_eq!(due(&settle), Some(65_100));
    assert!(settle.handle_timeout(at(65_100)));
    let mut settle = fail();
    settle.wanted(at(6000), News::Ordinary);
    assert_eq!(due(&settle), Some(6200));
    settle.unwanted();
    assert_eq!(due(&settle), Some(65_100), "what was taken back does not take back the failure");
}

#[test]
fn a_stored_generation_is_tried_again_although_nothing_more_is_wanted() {
    let mut settle = running();
    settle.wanted(at(5000), News::Bad);
    assert!(settle.handle_timeout(at(5000)));
    settle.applied(at(5100), Applied::Stored);
    settle.unwanted();
    assert_eq!(due(&settle), Some(65_100));
}

#[test]
fn jitter_delays_ordinary_changes_only() {
    let mut settle = running();
    settle.set_options(Options { jitter: Duration::from_millis(40), ..OPTIONS });
    settle.wanted(at(5000), News::Ordinary);
    assert_eq!(due(&settle), Some(5240));
    settle.wanted(at(5000), News::Bad);
    assert_eq!(due(&settle), Some(5000));
}

#[test]
fn what_is_in_place_can_be_asked_for_once_more() {
    let mut settle = running();
    assert_eq!(due(&settle), None);
    settle.again(at(5000));
    assert_eq!(due(&settle), Some(5000));
    assert!(settle.handle_timeout(at(5000)));
    settle.applied(at(5100), Applied::Done { reloaded: false });
    assert_eq!(due(&settle), None);
    // What is asked within an apply may be news to it.
    settle.again(at(6000));
    assert!(settle.handle_timeout(at(6000)));
    settle.again(at(6010));
    assert_eq!(due(&settle), None);
    settle.applied(at(6100), Applied::Done { reloaded: false });
    assert_eq!(due(&settle), Some(6100));
}

#[test]
fn an_operators_word_waits_for_nothing_but_the_apply_that_runs() {
    let mut settle = running();
    settle.at_once(at(1100));
    assert_eq!(due(&settle), Some(1100), "less than a second after a reload");
    assert!(settle.handle_timeout(at(1100)));
    settle.at_once(at(1110));
    assert_eq!(due(&settle), None);
    settle.applied(at(1200), Applied::Done { reloaded: true });
    assert_eq!(due(&settle), Some(1110));
    assert!(settle.handle_timeout(at(1200)));
    settle.applied(at(1300), Applied::Done { reloaded: false });
    assert_eq!(due(&settle), None);
}

#[test]
fn failures_with_nothing_changed_are_tried_again_ever_less_often() {
    // The pauses after a failure, if `between` comes before the next.
    let pauses = |between: fn(&mut Settle, Instant)| {
        let (mut settle, mut now) = (running(), at(5000));
        settle.wanted(now, News::Bad);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            between(&mut settle, now);
            assert!(settle.handle_timeout(now));
            settle.applied(now, Applied::Failed { reloaded: true });
            let next = settle.poll_timeout().unwrap();
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        pauses
    };
    let growing = [60, 120, 240, 480, 600, 600];
    assert_eq!(pauses(|_, _| ()), growing);
    assert_eq!(pauses(|settle, now| settle.at_once(now)), growing, "an operator's word is no change");
    assert_eq!(pauses(|settle, now| settle.wanted(now, News::Bad)), [60; 6], "something else is wanted");
    assert_eq!(pauses(Settle::again), [60; 6], "somebody has changed something");
    let success = |settle: &mut Settle, now| {
        settle.handle_timeout(now);
        settle.applied(now, Applied::Done { reloaded: false });
        settle.wanted(now, News::Bad);
    };
    assert_eq!(pauses(success), [60; 6], "one went well");
}

#[test]
fn a_job_of_somebody_else_takes_no_retry_away() {
    let mut settle = running();
    settle.intervened(at(2000), Applied::Done { reloaded: true });
    assert_eq!(due(&settle), None);
    settle.again(at(2500));
    assert_eq!(due(&settle), Some(3000), "a second after its reload");
    assert!(settle.handle_timeout(at(3000)));
    settle.applied(at(3100), Applied::Failed { reloaded: false });
    for applied in [Applied::Done { reloaded: false }, Applied::Failed { reloaded: false }, Applied::Stored] {
        settle.intervened(at(5000), applied);
        assert_eq!(due(&settle), Some(63_100), "{applied:?}");
    }
    assert!(settle.handle_timeout(at(63_100)));
    settle.applied(at(63_200), Applied::Done { reloaded: false });
    settle.intervened(at(64_000), Applied::Stored);
    assert_eq!(due(&settle), Some(124_000));
}
