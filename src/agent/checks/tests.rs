//! Checks as real programs.

use std::path::Path;
use std::time::Duration;

use rand::SeedableRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::clock;
use super::super::exec::tests::group_exists;
use super::super::request::tests::Authority;
use super::*;
use crate::config::{Source, Sources, load};

fn run_test<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(30), test).await.expect("within the deadline") })
}

fn check(name: &str, subject: Subject) -> Check {
    Check {
        name: name.to_owned(),
        subject,
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(200),
        rise: 1,
        fall: 1,
        start_grace: Duration::ZERO,
    }
}

fn shell(name: &str, line: &str) -> Check {
    check(name, Subject::Exec(["/bin/sh", "-c", line].map(str::to_owned).to_vec()))
}

fn start(configs: &[Check]) -> LocalChecks {
    let mut checks = LocalChecks::new(clock::now(), configs, StdRng::seed_from_u64(1));
    checks.handle_timeout(clock::now());
    checks
}

/// Lets them run until `done`.
async fn until(checks: &mut LocalChecks, mut done: impl FnMut(&LocalChecks) -> bool) {
    while !done(checks) {
        let due = checks.poll_timeout().map_or(Duration::from_secs(60), |due| due.since(clock::now()));
        tokio::select! {
            ended = checks.recv() => checks.handle_ended(clock::now(), ended),
            () = tokio::time::sleep(due) => checks.handle_timeout(clock::now()),
        }
    }
}

fn status(checks: &LocalChecks, name: &str) -> node::Check {
    checks.status(&Calendar::read()).into_iter().find(|check| check.name == name).unwrap()
}

/// A check that is to be long enough for a program to start on a busy machine.
fn patient(check: Check) -> Check {
    Check { interval: Duration::from_secs(20), timeout: Duration::from_secs(20), ..check }
}

#[test]
fn the_exit_status_is_the_verdict_and_what_was_printed_the_reason() {
    run_test(async {
        for (line, state, output) in [
            ("echo fine", State::Passing, "fine"),
            ("echo half full >&2; exit 1", State::Warning, "half full"),
            ("echo full; exit 2", State::Critical, "exit 2: full"),
            ("exit 7", State::Critical, "exit 7"),
            ("kill -9 $$", State::Critical, "signal 9"),
        ] {
            let mut checks = start(&[patient(shell("disk", line))]);
            until(&mut checks, |checks| checks.state() != State::Wait).await;
            let told = status(&checks, "disk");
            assert!(told.state.is(&state) && told.took_ms.is_some() && told.in_a_row == 1, "{line}: {told:?}");
            assert_eq!(told.output, output, "{line}");
        }
        let missing = check("disk", Subject::Exec(vec!["/nonexistent/program".to_owned()]));
        let mut checks = start(&[patient(missing)]);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        let told = status(&checks, "disk");
        let why = "cannot start /nonexistent/program: no such file or directory; install it, or correct its path";
        assert!(told.state.is(&State::Critical) && told.output == why, "{told:?}");
    });
}

#[test]
fn a_program_that_may_not_be_run_is_named_with_the_way_out() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("disk");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let mut checks = start(&[patient(check("disk", Subject::Exec(vec![program.display().to_string()])))]);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        let (told, shown) = (status(&checks, "disk"), program.display());
        let why = format!("cannot start {shown}: permission denied; chmod 755 {shown}");
        assert!(told.state.is(&State::Critical) && told.output == why, "{told:?}");
    });
}

/// It holds the pipe for longer than the test may take.
#[test]
fn what_a_program_leaves_behind_delays_nothing_and_is_killed() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("group");
        let line = format!("trap '' TERM HUP; sleep 600 & echo $$ >{}; echo fine", file.display());
        let mut checks = start(&[patient(shell("leaves", &line))]);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        let told = status(&checks, "leaves");
        assert!(told.state.is(&State::Passing) && told.output == "fine", "{told:?}");
        let group = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        while group_exists(group) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn at_its_timeout_a_program_is_ended_with_all_that_it_started() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("group");
        let line = format!("trap '' TERM HUP; sleep 600 & echo $$ >{0}.new; mv {0}.new {0}; wait", file.display());
        // Long enough for a busy machine to start it.
        let (interval, timeout) = (Duration::from_secs(20), Duration::from_secs(3));
        let mut checks = start(&[Check { interval, timeout, ..shell("hangs", &line) }]);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        assert_eq!(checks.state(), State::Critical);
        let group = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        while group_exists(group) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_program_that_hangs_is_ended_never_started_twice_and_delays_no_other_check() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let (started, gone) = (directory.path().join("started"), directory.path().join("gone"));
        let show = Path::display;
        // It ignores SIGTERM; whoever is there at the same time says so.
        let hang = format!(
            "trap \"\" TERM; [ -e {1} ] && echo twice > {1}.twice; : > {1}; echo x >> {0}; sleep 1.2; rm {1}",
            show(&started),
            show(&gone)
        );
        let mut checks = start(&[shell("hangs", &hang), shell("quick", "true")]);
        let runs = || std::fs::read_to_string(&started).map_or(0, |text| text.lines().count());
        let mut quick = 0;
        until(&mut checks, |checks| {
            quick = quick.max(status(checks, "quick").in_a_row);
            runs() >= 3
        })
        .await;
        assert!(quick >= 5, "{quick}");
        assert!(!gone.with_extension("twice").exists());
        assert_eq!(status(&checks, "hangs").state, State::Critical.into());
        assert_eq!(checks.state(), State::Critical);
    });
}

/// Without systemd nobody else would end it, and the next agent would start another one beside it.
#[test]
fn a_program_that_runs_as_the_agent_ends_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("group");
    let line = format!("trap '' TERM HUP; sleep 60 & echo $$ >{0}.new; mv {0}.new {0}; wait", file.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut checks = start(&[patient(shell("hangs", &line))]);
        until(&mut checks, |_| file.exists()).await;
    });
    drop(runtime);
    let group = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while group_exists(group) {
        assert!(std::time::Instant::now() < deadline, "its process group is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_that_floods_its_output_hides_neither_its_first_line_nor_its_last() {
    run_test(async {
        let line = "echo /srv is full; yes 0123456 | head -c 100000; printf end; exit 2";
        let mut checks = start(&[patient(shell("disk", line))]);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        let output = status(&checks, "disk").output;
        assert!(output.len() <= check::MAX_OUTPUT_BYTES, "{}", output.len());
        assert!(output.starts_with("exit 2: /srv is full\n0123456\n") && output.ends_with("end"), "{output}");
        let cut: Vec<&str> = output.lines().filter(|line| line.ends_with(" bytes cut …]")).collect();
        assert_eq!(cut.len(), 1, "{output}");
    });
}

#[test]
fn a_reload_keeps_what_did_not_change_and_waits_for_what_did() {
    run_test(async {
        let (kept, changed) = (patient(shell("kept", "true")), patient(shell("changed", "true")));
        let mut checks = start(&[kept.clone(), changed.clone(), patient(shell("gone", "exit 2"))]);
        until(&mut checks, |checks| checks.status(&Calendar::read()).iter().all(|check| check.result.is_some())).await;
        assert_eq!(checks.state(), State::Critical);
        let changed = Check { fall: 9, ..changed };
        checks.replace(clock::now(), &[changed, kept]);
        let told = checks.status(&Calendar::read());
        let states: Vec<_> = told.iter().map(|check| (check.name.as_str(), check.state.clone())).collect();
        assert_eq!(states, [("changed", State::Wait.into()), ("kept", State::Passing.into())]);
        until(&mut checks, |checks| checks.state() == State::Passing).await;
    });
}

#[test]
fn a_check_in_plain_text_names_the_authorities_of_where_it_is_redirected() {
    run_test(async {
        let ours = Authority::new();
        let secure = ours.serve("127.0.0.1", false).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = format!("HTTP/1.1 301 Moved\r\nLocation: https://{secure}/\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            drop(stream.read_to_end(&mut Vec::new()).await); // until it has gone there
        });
        let told =
            asked(&format!("http = \"http://{plain}/\"\nredirects = 1\ntls_ca = \"{}\"", ours.path().display())).await;
        assert_eq!(told.output, "answers");
    });
}

#[test]
fn a_reload_reads_anew_whose_certificates_an_unchanged_check_takes() {
    run_test(async {
        let (ours, other) = (Authority::new(), Authority::new());
        let addr = ours.serve("127.0.0.1", false).await;
        let file = other.path();
        let lines = format!("http = \"https://{addr}/\"\ntls_ca = \"{}\"\nrise = 1", file.display());
        let configs = configured(&lines, "1s");
        let mut checks = start(&configs);
        until(&mut checks, |checks| checks.state() != State::Wait).await;
        assert_eq!(status(&checks, "site").output, "its certificate is of an authority that is not trusted");
        std::fs::copy(ours.path(), &file).unwrap();
        let since = status(&checks, "site").since;
        checks.replace(clock::now(), &configs);
        assert_eq!(status(&checks, "site").since, since, "it keeps its state");
        until(&mut checks, |checks| checks.state() == State::Passing).await;
    });
}

/// The check `site`.
fn configured(lines: &str, interval: &str) -> Vec<Check> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    let times = format!("interval = \"{interval}\"\ntimeout = \"{interval}\"");
    std::fs::write(&file, format!("[check.site]\n{lines}\nfall = 1\n{times}")).unwrap();
    let sources = Sources { paths: vec![Source::File(file)], host_name: "web1".to_owned(), ..Sources::default() };
    load(&sources).unwrap_or_else(|errors| panic!("{errors}")).config.checks
}

/// What a check of the service at `url` says once it has an answer.
async fn asked(lines: &str) -> node::Check {
    let mut checks = start(&configured(lines, "20s"));
    until(&mut checks, |checks| checks.state() != State::Wait).await;
    status(&checks, "site")
}

#[test]
fn a_service_is_asked_over_http_or_by_a_bare_connection() {
    run_test(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let len = stream.read(&mut head).await.unwrap_or_default();
                    let is_well = head[..len].starts_with(b"GET /well HTTP/1.1\r\n");
                    let status = if is_well { "200 OK" } else { "503 Service Unavailable" };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nup\n");
                    drop(stream.write_all(answer.as_bytes()).await); // a bare connection has gone by now
                });
            }
        });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (lines, kind, state, output) in [
            (
                format!("http = \"http://{addr}/well\"\nbody = \"^up\""),
                node::CheckKind::Http,
                State::Passing,
                "answers",
            ),
            (format!("http = \"http://{addr}/ill\""), node::CheckKind::Http, State::Critical, "status 503"),
            (format!("http = \"http://{closed}\""), node::CheckKind::Http, State::Critical, "connection refused"),
            (format!("tcp = \"{addr}\""), node::CheckKind::Tcp, State::Passing, "answers"),
            (format!("tcp = \"{closed}\""), node::CheckKind::Tcp, State::Critical, "connection refused"),
        ] {
            let told = asked(&lines).await;
            assert!(told.state.is(&state) && told.kind.is(&kind), "{lines}: {told:?}");
            assert_eq!(told.output.to_lowercase(), output, "{lines}");
        }
        assert_eq!(asked(&format!("http = \"http://{addr}/well\"")).await.target, format!("GET http://{addr}/well"));
    });
}

#[test]
fn health_is_news_until_it_was_told() {
    let mut checks = start(&[]);
    assert_eq!((checks.news(), checks.news()), (Some(State::None), Some(State::None)));
    assert_eq!((checks.not_told(State::None), checks.not_told(State::None)), (true, false));
    assert_eq!(checks.news(), Some(State::None));
    checks.told(State::None);
    assert_eq!(checks.news(), None);
    checks.replace(clock::now(), &[check("job", Subject::Ttl(Duration::from_secs(30)))]);
    assert_eq!(checks.news(), Some(State::Wait));
    checks.told(State::Wait);
    let word = CheckSet { name: None, state: State::Passing.into(), output: "three left".to_owned() };
    let told = checks.set(clock::now(), word).unwrap();
    assert_eq!((told.state, told.output.as_str(), told.took_ms), (State::Passing.into(), "three left", None));
    assert_eq!(checks.news(), Some(State::Passing));
    // What could not be told before is told anew.
    assert!(checks.not_told(State::Passing));
}

#[test]
fn a_word_that_cannot_be_taken_is_refused_with_a_way_out() {
    let ttl = |name: &str| check(name, Subject::Ttl(Duration::from_secs(30)));
    let word = |name: Option<&str>, state: State| CheckSet {
        name: name.map(str::to_owned),
        state: state.into(),
        output: String::new(),
    };
    let (none, one, two) = (vec![], vec![ttl("job"), shell("site", "true")], vec![ttl("job"), ttl("sync")]);
    for (configs, word, wanted) in [
        (&none, word(None, State::Passing), "no check of this node has a ttl; write [check.NAME] with ttl = \"30s\""),
        (&none, word(Some("job"), State::Passing), "no check 'job'; write [check.NAME]"),
        (&one, word(Some("jbo"), State::Passing), "no check 'jbo'; did you mean 'job'?"),
        (&one, word(Some("disk"), State::Passing), "no check 'disk'; known here: job, site"),
        (
            &one,
            word(Some("site"), State::Passing),
            "check 'site' has results of its own, so nobody can say how it is; give it a ttl, or name one that has",
        ),
        (&two, word(None, State::Passing), "several checks of this node have a ttl; name one of job, sync"),
        (&two, word(Some("job"), State::Wait), "a check cannot be set to wait; say passing, warning or critical"),
    ] {
        let mut checks = LocalChecks::new(clock::now(), configs, StdRng::seed_from_u64(1));
        assert_eq!(checks.set(clock::now(), word).unwrap_err().to_string(), wanted);
    }
}
