//! Handlers as real processes.

use bytes::Bytes;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::time::timeout;

use super::*;
use crate::agent::log::captured;
use crate::handlers::filter::{EventFilter, EventKind};
use crate::serf::{QueryEvent, QueryKey};
use crate::wire::NodeName;
use crate::wire::serf::{LamportTime, Tags, UserEvent};

fn run_test<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(30), test).await.expect("within the deadline") })
}

fn shell(name: &str, line: &str) -> Handler {
    Handler {
        name: name.to_owned(),
        on: vec![EventFilter::All],
        command: Program::Shell(line.to_owned()),
        timeout: Duration::from_secs(20),
        queue: 4,
    }
}

fn user(name: &str, payload: &str) -> Event {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Event::User(UserEvent { ltime: LamportTime(3), name: name.to_owned(), payload, coalesce: false })
}

fn query() -> Event {
    Event::Query(QueryEvent {
        key: QueryKey { ltime: LamportTime(1), id: 9 },
        name: "uptime".to_owned(),
        payload: Bytes::new(),
        source: "b".to_owned(),
        deadline: crate::time::Instant::ZERO,
    })
}

fn dispatch(handlers: &mut Handlers, event: &Event) -> Option<String> {
    let name = NodeName::new("a").unwrap();
    let tags = Tags::from([("role".to_owned(), "lb".to_owned())]);
    let told = handlers.dispatch(event, Local { name: &name, tags: &tags });
    told.map(|(_, answer)| String::from_utf8(answer).unwrap())
}

async fn ran(handler: Handler, event: &Event) -> Ran {
    let mut handlers = Handlers::new(&[handler], Mode::Weir);
    dispatch(&mut handlers, event);
    handlers.recv().await
}

#[test]
fn script_gets_environment_and_input_and_both_outputs_are_kept() {
    run_test(async {
        let line = "echo $SERF_EVENT $WEIR_USER_EVENT $SERF_SELF_ROLE; cat; echo err >&2; exit 7";
        let ran = ran(shell("h", line), &user("deploy", "payload")).await;
        assert_eq!(String::from_utf8(ran.output).unwrap(), "user deploy lb\npayload\nerr\n");
        assert_eq!(ran.outcome, Outcome::Exited(7));
        assert_eq!(ran.event, "user:deploy");
    });
}

#[test]
fn argv_is_run_without_a_shell() {
    run_test(async {
        let mut handler = shell("h", "");
        handler.command = Program::Argv(vec!["printf".to_owned(), "%s".to_owned(), "$HOME; a b".to_owned()]);
        assert_eq!(ran(handler, &user("e", "")).await.output, b"$HOME; a b");
    });
}

#[test]
fn a_query_is_answered_by_output_or_by_a_failure_which_serf_keeps_to_itself() {
    run_test(async {
        // Of the handlers, in the order in which they end, and what the asker hears after each.
        for (lines, ours, serfs) in [
            (&["echo up"][..], &["up\n"][..], &["up\n"][..]),
            (&["true"], &[""], &[""]),
            (&["echo up; exit 3"], &["error: handler 0 failed: exit 3\n"], &[""]),
            (&["kill -9 $$"], &["error: handler 0 failed: signal 9\n"], &[""]),
            // A script that only looks on must not be in the way of the one that answers.
            (&["exit 1", "echo up"], &["", "up\n"], &["", "up\n"]),
            (&["echo up", "exit 1"], &["up\n", ""], &["up\n", ""]),
            (&["exit 1", "exit 2", "true"], &["", "", "error: handler 0 failed: exit 1\n"], &["", "", ""]),
        ] {
            for (mode, wanted) in [(Mode::Weir, ours), (Mode::Serf, serfs)] {
                let directory = tempfile::tempdir().unwrap();
                let at = |number: usize| directory.path().join(number.to_string()).display().to_string();
                let in_turn = |(number, line): (usize, &&str)| {
                    shell(&number.to_string(), &format!("until [ -e {} ]; do sleep 0.01; done; {line}", at(number)))
                };
                let all: Vec<Handler> = lines.iter().enumerate().map(in_turn).collect();
                let mut handlers = Handlers::new(&all, mode);
                dispatch(&mut handlers, &query());
                for (number, wanted) in wanted.iter().enumerate() {
                    std::fs::write(at(number), "").unwrap();
                    let answer = handlers.recv().await.answer.unwrap_or_default();
                    assert_eq!(String::from_utf8(answer).unwrap(), *wanted, "{lines:?} {mode:?}");
                }
            }
        }
        assert_eq!(ran(shell("h", "echo x"), &user("e", "")).await.answer, None);
    });
}

#[test]
fn runs_of_one_handler_keep_their_order_and_handlers_do_not_wait_for_each_other() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let gate = directory.path().join("gate");
        // The first handler waits for the second one's second run.
        let slow = format!("until [ -e {0} ]; do sleep 0.01; done; cat", gate.display());
        let quick = format!("cat; [ $SERF_USER_EVENT = two ] && touch {}; true", gate.display());
        let mut handlers = Handlers::new(&[shell("slow", &slow), shell("quick", &quick)], Mode::Weir);
        for (name, payload) in [("one", "1"), ("two", "2"), ("three", "3")] {
            dispatch(&mut handlers, &user(name, payload));
        }
        let mut seen = vec![Vec::new(), Vec::new()];
        for _ in 0..6 {
            let ran = handlers.recv().await;
            seen[usize::from(&*ran.handler == "quick")].extend(ran.output);
        }
        assert_eq!(seen, [b"1\n2\n3\n".to_vec(), b"1\n2\n3\n".to_vec()]);
    });
}

#[test]
fn time_limit_ends_the_whole_process_group() {
    run_test(async {
        let directory = tempfile::tempdir().unwrap();
        let pids = directory.path().join("pids");
        // A child that ignores SIGTERM, and a script that waits for it.
        let line = format!("(trap '' TERM; echo $$ > {0}; while :; do sleep 0.05; done) & wait", pids.display());
        let mut handler = shell("h", &line);
        handler.timeout = Duration::from_millis(300);
        let ran = ran(handler, &user("e", "")).await;
        assert_eq!(ran.outcome, Outcome::TimedOut);
        assert!(ran.elapsed < Duration::from_secs(10));
        let group: i32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
        while group_exists(group) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// Whether any process of the group is more than a zombie.
pub(in crate::agent) fn group_exists(group: i32) -> bool {
    let alive = |stat: String| {
        let fields: Vec<_> =
            stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        fields[0] != "Z" && fields[2] == group.to_string()
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(alive)
}

#[test]
fn background_child_that_keeps_the_output_open_does_not_hold_up_the_handler() {
    run_test(async {
        let mut handler = shell("h", "echo now; sleep 600 & echo $! >&2");
        handler.timeout = Duration::from_secs(600);
        let ran = ran(handler, &user("e", "")).await;
        assert_eq!(ran.outcome, Outcome::Exited(0));
        let text = String::from_utf8(ran.output).unwrap();
        let pid: i32 = text.strip_prefix("now\n").unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    });
}

#[test]
fn output_is_bounded_to_its_end() {
    run_test(async {
        let ran = ran(shell("h", "yes 0123456 | head -c 100000; printf end"), &user("e", "")).await;
        assert_eq!(ran.output.len(), Tail::HANDLER_BYTES);
        assert!(ran.output.ends_with(b"end"));
        assert_eq!(ran.lost, 100_003 - Tail::HANDLER_BYTES as u64);
    });
}

#[test]
fn full_queue_drops_and_counts() {
    run_test(async {
        let mut handlers = Handlers::new(&[shell("h", "true")], Mode::Weir);
        for _ in 0..10 {
            dispatch(&mut handlers, &user("e", "")); // nothing runs before we wait
        }
        for _ in 0..4 {
            handlers.recv().await;
        }
        let told = &handlers.status(&Calendar::read())[0];
        assert_eq!((told.runs, told.dropped, told.failures), (4, 6, 0));
        assert_eq!(told.last.as_ref().unwrap().run, node::Run::Exited { status: 0 });
        assert_eq!(told.last_drop.as_ref().unwrap().ago_s, 0);
    });
}

#[test]
fn who_asks_a_handler_that_is_behind_hears_of_it() {
    let behind = |handler| format!("error: handler {handler} is behind, its queue of 4 is full\n");
    run_test(async {
        // What the others say, which are not behind, and what the asker hears of it.
        for (others, ours, serfs) in [
            (&[][..], Some(behind("full")), None),
            (&["echo up"], Some("up\n".to_owned()), Some("up\n")),
            (&["true"], Some(behind("full")), None),
            (&["exit 3"], Some(behind("full")), None),
        ] {
            for (mode, wanted) in [(Mode::Weir, ours), (Mode::Serf, serfs.map(str::to_owned))] {
                let mut all = vec![shell("full", "true")];
                let on = || vec![EventFilter::Kind(EventKind::Query)];
                all.extend(others.iter().map(|line| Handler { on: on(), ..shell("other", line) }));
                let mut handlers = Handlers::new(&all, mode);
                for _ in 0..4 {
                    assert_eq!(dispatch(&mut handlers, &user("e", "")), None); // nothing runs before we wait
                }
                let mut heard = dispatch(&mut handlers, &query());
                for _ in 0..4 + others.len() {
                    let answer = handlers.recv().await.answer.map(|answer| String::from_utf8(answer).unwrap());
                    heard = heard.or(answer);
                }
                assert_eq!(heard, wanted, "{others:?} {mode:?}");
            }
        }
    });
}

#[test]
fn a_handler_that_is_behind_is_told_once() {
    run_test(async {
        let mut handlers = Handlers::new(&[shell("h", "true")], Mode::Weir);
        let line = captured(|| {
            for number in 0..100 {
                dispatch(&mut handlers, &user(&format!("e{number}"), ""));
            }
        });
        assert_eq!(line.message(), "handler is behind, events are dropped handler=h event=user:e4 queue=4");
    });
}

#[test]
fn what_cannot_start_is_reported() {
    run_test(async {
        let mut handler = shell("h", "");
        handler.command = Program::Argv(vec!["/nonexistent/program".to_owned()]);
        assert!(matches!(ran(handler.clone(), &user("e", "")).await.outcome, Outcome::NotStarted(_)));
        let script = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempfile()
            .unwrap();
        for (text, wanted, way_out) in [
            ("#!/nonexistent/sh\n", "interpreter /nonexistent/sh is not found", "install it, or correct"),
            ("#!/bin/sh\r\ntrue\r\n", "interpreter /bin/sh is not found with the carriage return behind it", "sed -i"),
            ("true\n", "no interpreter is named in its first line", "begin it with #!/bin/sh"),
        ] {
            std::fs::write(script.path(), text).unwrap();
            // What is open for writing cannot be run.
            let copy = script.path().with_extension("copy");
            std::fs::copy(script.path(), &copy).unwrap();
            handler.command = Program::Argv(vec![copy.display().to_string()]);
            let outcome = ran(handler.clone(), &user("e", "")).await.outcome;
            std::fs::remove_file(&copy).unwrap();
            let Outcome::NotStarted(trouble) = outcome else { panic!("{outcome:?}") };
            assert_eq!(trouble.what, format!("{}: {wanted}", copy.display()));
            assert!(trouble.way_out.starts_with(way_out), "{trouble}");
        }
        let nul = ran(shell("h", "true"), &user("a\0b", "")).await;
        assert!(matches!(nul.outcome, Outcome::NotStarted(_)), "{nul:?}");
    });
}

#[test]
fn reload_keeps_unchanged_handlers_and_lets_removed_ones_finish() {
    run_test(async {
        let kept = shell("kept", "cat");
        let mut handlers = Handlers::new(&[kept.clone(), shell("gone", "cat")], Mode::Weir);
        dispatch(&mut handlers, &user("e", "x"));
        handlers.replace(&[shell("new", "cat"), kept]);
        let mut names = [handlers.recv().await, handlers.recv().await].map(|ran| ran.handler.to_string());
        names.sort();
        assert_eq!(names, ["gone", "kept"]);
        let told = handlers.status(&Calendar::read());
        let counted: Vec<_> = told.iter().map(|handler| (handler.name.as_str(), handler.runs)).collect();
        assert_eq!(counted, [("new", 0), ("kept", 1)]);
    });
}
