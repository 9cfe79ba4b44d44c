use rand::SeedableRng;

use super::*;

const RUN: Timing = Timing::Run { interval: Duration::from_secs(5), timeout: Duration::from_secs(2), rise: 2, fall: 3 };

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn checks(all: &[(&str, Timing, u64)]) -> Checks {
    let mut checks = Checks::new(StdRng::seed_from_u64(7));
    for (name, timing, grace) in all {
        let start_grace = Duration::from_millis(*grace);
        checks.add(at(0), Options { name: (*name).into(), timing: *timing, start_grace });
    }
    checks
}

fn finding(verdict: Verdict) -> Finding {
    Finding { verdict, output: "said".to_owned(), took: Duration::from_millis(3) }
}

/// The runs that are to be started, and nothing else.
fn started(checks: &mut Checks) -> Vec<Run> {
    let outputs = std::iter::from_fn(|| checks.poll_output());
    let run = |output| match output {
        Output::Run(run) => Some(run),
        Output::Changed { .. } => None,
    };
    outputs.filter_map(run).collect()
}

fn changes(checks: &mut Checks) -> Vec<(State, State)> {
    let outputs = std::iter::from_fn(|| checks.poll_output());
    let change = |output| match output {
        Output::Run(_) => None,
        Output::Changed { before, after, .. } => Some((before, after)),
    };
    outputs.filter_map(change).collect()
}

/// Lets the time come and takes the one run that is due then.
fn run(checks: &mut Checks) -> (Instant, Run) {
    let due = checks.poll_timeout().unwrap();
    checks.handle_timeout(due);
    let [run] = started(checks).try_into().unwrap();
    (due, run)
}

#[test]
fn a_check_is_due_at_once_and_then_each_interval_with_a_jitter_of_a_tenth() {
    let mut checks = checks(&[("site", RUN, 0)]);
    assert_eq!(checks.state(), State::Wait);
    let (mut before, mut shares) = (at(0), Vec::new());
    for number in 0..200 {
        let (due, run) = run(&mut checks);
        if number > 0 {
            shares.push(due.since(before).as_secs_f64() / 5.0);
        }
        before = due;
        checks.handle_finding(due + Duration::from_millis(10), &run, finding(Verdict::Passing));
    }
    assert!(shares.iter().all(|share| (0.9..=1.1).contains(share)), "{shares:?}");
    assert!(shares.iter().any(|share| *share < 0.93) && shares.iter().any(|share| *share > 1.07), "{shares:?}");
    assert_eq!(checks.state(), State::Passing);
}

#[test]
fn a_check_that_hangs_is_not_started_again_fails_each_interval_and_delays_no_other() {
    let mut checks = checks(&[("hangs", RUN, 0), ("site", RUN, 0)]);
    checks.handle_timeout(at(0));
    let runs = started(&mut checks);
    assert_eq!(runs.len(), 2);
    checks.handle_finding(at(1), &runs[1], finding(Verdict::Passing));
    let mut others = 0;
    while let Some(due) = checks.poll_timeout().filter(|due| *due < at(60_000)) {
        checks.handle_timeout(due);
        for run in started(&mut checks) {
            assert_eq!(&*run.name, "site");
            others += 1;
            checks.handle_finding(due, &run, finding(Verdict::Passing));
        }
    }
    assert!(others >= 10, "{others}");
    let hanging = checks.get("hangs").unwrap();
    assert_eq!((hanging.state(), hanging.since()), (State::Critical, at(2250 + 2 * 5000)));
    assert_eq!(hanging.last().unwrap().output, "no result within 2000 ms, and it has not ended");
    assert_eq!(checks.state(), State::Critical);

    // Its end counts for nothing, but it is run again.
    checks.handle_finding(at(60_000), &runs[0], finding(Verdict::Passing));
    assert_eq!(checks.get("hangs").unwrap().in_a_row(), 12);
    assert_eq!(checks.get("hangs").unwrap().poll_timeout(), Some(at(60_000)));
}

#[test]
fn what_ends_within_its_time_is_counted_once() {
    let mut checks = checks(&[("site", RUN, 0)]);
    let (due, run) = run(&mut checks);
    checks.handle_timeout(due + Duration::from_millis(2249));
    checks.handle_finding(due + Duration::from_millis(2249), &run, finding(Verdict::Critical));
    assert_eq!(checks.get("site").unwrap().in_a_row(), 1);
    checks.handle_finding(due + Duration::from_millis(2250), &run, finding(Verdict::Critical));
    assert_eq!(checks.get("site").unwrap().in_a_row(), 1);
}

#[test]
fn changes_are_told_once_with_the_time_they_began() {
    let mut checks = checks(&[("site", RUN, 0)]);
    let mut told = Vec::new();
    for verdict in [Verdict::Passing, Verdict::Critical, Verdict::Critical, Verdict::Critical, Verdict::Critical] {
        let (due, run) = run(&mut checks);
        checks.handle_finding(due, &run, finding(verdict));
        told.extend(changes(&mut checks));
    }
    assert_eq!(told, [(State::Wait, State::Passing), (State::Passing, State::Critical)]);
}

#[test]
fn failures_in_the_start_grace_do_not_count_and_successes_do() {
    // grace, results, each 5 s after the other, state at the end
    let three = [Verdict::Critical; 3];
    for (grace, results, wanted) in [
        (0, &three[..], State::Critical),
        (4000, &three, State::Wait),
        (60_000, &three, State::Wait),
        (60_000, &[Verdict::Critical, Verdict::Passing], State::Passing),
        (60_000, &[Verdict::Warning], State::Warning),
        (60_000, &[Verdict::Passing, Verdict::Critical, Verdict::Critical, Verdict::Critical], State::Passing),
    ] {
        let mut checks = checks(&[("site", RUN, grace)]);
        for verdict in results {
            let (due, run) = run(&mut checks);
            checks.handle_finding(due, &run, finding(*verdict));
        }
        assert_eq!(checks.state(), wanted, "{grace} {results:?}");
        assert_eq!(checks.get("site").unwrap().last().unwrap().verdict, *results.last().unwrap());
    }
}

#[test]
fn a_word_counts_at_once_and_for_its_time() {
    let ttl = Timing::Ttl(Duration::from_secs(30));
    let mut checks = checks(&[("job", ttl, 0)]);
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Wait, Some(at(30_000))));
    for (verdict, state) in
        [(Verdict::Critical, State::Critical), (Verdict::Passing, State::Passing), (Verdict::Warning, State::Warning)]
    {
        checks.set(at(1000), "job", verdict, "three left".to_owned()).unwrap();
        assert_eq!((checks.state(), checks.poll_timeout()), (state, Some(at(31_000))));
    }
    assert_eq!(checks.get("job").unwrap().last().unwrap().output, "three left");
    checks.handle_timeout(at(30_999));
    assert_eq!(checks.state(), State::Warning);
    checks.handle_timeout(at(31_000));
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Critical, None));
    assert_eq!(checks.get("job").unwrap().last().unwrap().output, "no word within 30 s");
    checks.set(at(90_000), "job", Verdict::Passing, String::new()).unwrap();
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Passing, Some(at(120_000))));
}

#[test]
fn the_first_word_may_take_as_long_as_the_start_grace() {
    for (grace, until) in [(0, 30_000), (10_000, 30_000), (90_000, 90_000)] {
        let mut checks = checks(&[("job", Timing::Ttl(Duration::from_secs(30)), grace)]);
        assert_eq!(checks.poll_timeout(), Some(at(until)));
        checks.handle_timeout(at(until));
        assert_eq!(checks.state(), State::Critical);
    }
}

#[test]
fn silence_in_the_start_grace_does_not_count_and_a_word_does() {
    let mut checks = checks(&[("job", Timing::Ttl(Duration::from_secs(5)), 60_000)]);
    checks.set(at(1000), "job", Verdict::Warning, String::new()).unwrap();
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Warning, Some(at(60_000))));
    checks.set(at(2000), "job", Verdict::Critical, String::new()).unwrap();
    assert_eq!(checks.state(), State::Critical);
    checks.set(at(58_000), "job", Verdict::Passing, String::new()).unwrap();
    assert_eq!(checks.poll_timeout(), Some(at(63_000)));
}

#[test]
fn only_ttl_checks_take_a_word() {
    let mut checks = checks(&[("site", RUN, 0)]);
    assert_eq!(checks.set(at(0), "site", Verdict::Passing, String::new()), Err(NotSet::NotTtl));
    assert_eq!(checks.set(at(0), "job", Verdict::Passing, String::new()), Err(NotSet::Unknown));
    assert_eq!(checks.state(), State::Wait);
}

#[test]
fn a_run_of_what_was_removed_or_replaced_means_nothing() {
    let mut checks = checks(&[("gone", RUN, 0), ("new", RUN, 0)]);
    checks.handle_timeout(at(0));
    let runs = started(&mut checks);
    checks.remove("gone");
    checks.add(at(10), Options { name: "new".into(), timing: RUN, start_grace: Duration::ZERO });
    for run in &runs {
        checks.handle_finding(at(20), run, finding(Verdict::Passing));
    }
    assert_eq!(checks.iter().map(|(name, check)| (name, check.state())).collect::<Vec<_>>(), [("new", State::Wait)]);
    let (due, run) = run(&mut checks);
    for old in &runs {
        checks.handle_finding(due, old, finding(Verdict::Passing));
    }
    assert_eq!(checks.state(), State::Wait);
    checks.handle_finding(due, &run, finding(Verdict::Passing));
    assert_eq!(checks.state(), State::Passing);
}

#[test]
fn what_starts_over_knows_nothing_and_is_due_at_once() {
    let mut checks = checks(&[("site", RUN, 0), ("job", Timing::Ttl(Duration::from_secs(30)), 0)]);
    let (due, run) = run(&mut checks);
    checks.handle_finding(due, &run, finding(Verdict::Passing));
    checks.set(due, "job", Verdict::Passing, String::new()).unwrap();
    assert_eq!((checks.state(), changes(&mut checks).len()), (State::Passing, 2));

    checks.start_over(at(1000));
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Wait, Some(at(1000))));
    assert_eq!(changes(&mut checks), [(State::Passing, State::Wait); 2]);
    let site = checks.get("site").unwrap();
    assert_eq!((site.since(), site.last(), site.in_a_row()), (at(1000), None, 0));
    checks.start_over(at(1500));
    assert_eq!(checks.get("site").unwrap().since(), at(1000));
    checks.set(at(1600), "job", Verdict::Passing, String::new()).unwrap();
    assert_eq!(checks.state(), State::Wait);
}

#[test]
fn a_run_from_before_it_started_over_does_not_count_and_no_other_begins_beside_it() {
    let mut checks = checks(&[("site", RUN, 60_000)]);
    let (due, old) = run(&mut checks);
    checks.start_over(due + Duration::from_millis(1));
    assert!(checks.poll_timeout().unwrap() > due + Duration::from_millis(1));
    let ended = due + Duration::from_millis(2);
    checks.handle_finding(ended, &old, finding(Verdict::Passing));
    assert_eq!((checks.state(), checks.poll_timeout()), (State::Wait, Some(ended)));
    // The grace begins anew, too.
    let (_, run) = run(&mut checks);
    checks.handle_finding(at(59_000), &run, finding(Verdict::Critical));
    assert_eq!(checks.state(), State::Wait);
}

#[test]
fn without_checks_there_is_nothing_to_say_or_do() {
    let mut checks = checks(&[]);
    assert_eq!((checks.state(), checks.poll_timeout(), checks.poll_output()), (State::None, None, None));
}

#[test]
fn output_is_kept_to_its_beginning_and_its_end_in_whole_characters() {
    for (output, wanted) in [
        ("ok".to_owned(), "ok".to_owned()),
        (" two\nlines \n".to_owned(), "two\nlines".to_owned()),
        ("x".repeat(MAX_OUTPUT_BYTES), "x".repeat(MAX_OUTPUT_BYTES)),
    ] {
        assert_eq!(bounded(output), wanted);
    }
    for middle in ["x", "\u{fc}", "a\u{fc}"] {
        let kept = bounded(format!("disk full\n{}\nend", middle.repeat(MAX_OUTPUT_BYTES)));
        assert!(kept.len() <= MAX_OUTPUT_BYTES, "{}", kept.len());
        assert!(kept.starts_with("disk full\n") && kept.ends_with("\nend"), "{kept}");
        assert!(kept.contains(" bytes cut …]\n"), "{kept}");
    }
}
