//! What others do while an apply runs: edits, signals, an NGINX that stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use weir::apply::{Apply, Error, Report, Step};
use weir::config::Reload;

use crate::nginx::{Nginx, backend, names, server, web};
use crate::support::{holds, until};

const EDIT: &str = "upstream web { server 127.0.0.1:2 down; } # by hand\n";

/// Edits the target once a candidate lies beside it, while that is tested.
fn edits_meanwhile(nginx: &Nginx, edit: impl FnOnce(PathBuf) + Send + 'static) -> std::thread::JoinHandle<()> {
    let (dot, target) = (nginx.path("conf.d/.weir-web.conf.weir-new"), nginx.web());
    std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !dot.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(100));
        }
        edit(target);
    })
}

#[test]
#[ignore = "needs nginx"]
fn an_edit_between_the_look_and_the_exchange_is_put_back_kept_and_reported() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let by_renaming = |target: PathBuf| {
        let draft = target.with_extension("draft");
        std::fs::write(&draft, EDIT).unwrap();
        std::fs::rename(&draft, &target).unwrap();
    };
    let in_place = |target: PathBuf| std::fs::write(target, EDIT).unwrap();
    for (name, edit) in
        [("two", Box::new(by_renaming) as Box<dyn FnOnce(PathBuf) + Send>), ("three", Box::new(in_place))]
    {
        let editor = edits_meanwhile(&nginx, edit);
        let desired = web([server("web", backend(name))]);
        let outcome = nginx.apply().apply(&desired);
        editor.join().unwrap();
        let Report::Refused { step: Step::Write, error: Error::Overwritten { .. }, notes, .. } = &outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), EDIT, "it is where it was made");
        assert_eq!(std::fs::read_to_string(&notes.foreign[0].copy).unwrap(), EDIT);
        assert_eq!(nginx.listing(), ["weir-web.conf"]);

        let outcome = nginx.apply().apply(&desired);
        assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
        assert_eq!(nginx.get(), name);
    }
    assert_eq!(names(&nginx.path("state/foreign")).len(), 2, "what was there before weir, and the edit once");
}

#[test]
#[ignore = "needs nginx"]
fn a_link_that_takes_the_place_between_the_look_and_the_exchange_is_put_back_and_holds_up_nothing_but_its_upstream() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let linked = nginx.path("linked");
    std::fs::write(&linked, EDIT).unwrap();
    let to = linked.clone();
    let editor = edits_meanwhile(&nginx, move |target| {
        let draft = target.with_extension("draft");
        std::os::unix::fs::symlink(to, &draft).unwrap();
        std::fs::rename(&draft, &target).unwrap();
    });
    let desired = web([server("web", backend("two"))]);
    let outcome = nginx.apply().apply(&desired);
    editor.join().unwrap();
    let Report::Refused { step: Step::Write, error: Error::Overwritten { .. }, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(std::fs::read_link(nginx.web()).unwrap(), linked, "it is where it was made");
    assert_eq!(nginx.listing(), ["weir-web.conf"]);
    let outcome = nginx.apply().apply(&desired);
    let Report::Refused { step: Step::Plan, error: Error::NotAFile { .. }, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    std::fs::remove_file(nginx.web()).unwrap();
    assert!(matches!(nginx.apply().apply(&desired), Report::Live { .. }));
    super::tells_the_truth(&nginx);
}

#[test]
#[ignore = "needs nginx"]
fn a_signal_of_somebody_else_at_any_moment_does_not_make_the_journal_lie() {
    let nginx = Nginx::start();
    let backends = [(backend("one"), "one"), (backend("two"), "two")];
    let master = Pid::from_raw(i32::try_from(nginx.master_pid()).unwrap()).unwrap();
    for round in 0..16_u64 {
        let (addr, name) = backends[usize::try_from(round % 2).unwrap()];
        let signals = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(round * 9));
            kill_process(master, Signal::HUP).unwrap();
        });
        let outcome = nginx.apply().apply(&web([server("web", addr)]));
        signals.join().unwrap();
        assert!(matches!(outcome, Report::Live { .. }), "round {round}: {outcome:?}");
        assert_eq!(nginx.answers(6).into_iter().collect::<Vec<_>>(), [name], "round {round}");
        super::tells_the_truth(&nginx);
    }
}

#[test]
#[ignore = "needs nginx"]
fn an_nginx_that_stops_during_an_apply_confirms_it_when_it_is_started_later() {
    let mut nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let mut options = nginx.options();
    let stop = format!("kill -TERM {}; while kill -0 {0} 2>/dev/null; do sleep 0.01; done", nginx.master_pid());
    options.nginx.reload = Reload::Argv(vec!["/bin/sh".to_owned(), "-c".to_owned(), stop]);
    let desired = web([server("web", backend("two"))]);
    // Somebody has to take the ended master from the table of processes.
    let outcome = std::thread::scope(|scope| {
        let apply = scope.spawn(|| Apply::new(options).apply(&desired));
        nginx.wait();
        apply.join().unwrap()
    });
    assert!(matches!(outcome, Report::Stored { .. }), "{outcome:?}");
    let generation = super::tells_the_truth(&nginx);
    assert!(matches!(nginx.apply().recover(), Some(Report::Stored { .. })), "nobody serves it yet");
    nginx.run();
    let outcome = nginx.apply().recover();
    assert!(matches!(outcome, Some(Report::Live { generation: live, .. }) if live == generation), "{outcome:?}");
    assert_eq!(nginx.get(), "two");
}

#[test]
#[ignore = "needs nginx"]
fn whoever_reads_meanwhile_sees_whole_tested_files_and_a_configuration_that_passes() {
    use weir::nginx::{Form, Zone};
    use weir::upstream::{HashKey, Method};
    let nginx = Nginx::start();
    let apply = |break_it: Option<usize>, addr| {
        let mut options = nginx.options();
        let file = crate::nginx::file(&mut options);
        match break_it {
            None => {}
            Some(0) => file.block.method = Method::Hash { key: HashKey::new("$nosuch").unwrap(), consistent: true },
            // NGINX refuses that.
            Some(1) => file.block.zone = Some(Zone::Fixed(8)),
            Some(2) => file.block.form = Form::Servers,
            Some(_) => file.output = nginx.path("conf.d/weir-web.inc"),
        }
        Apply::new(options).apply(&web([server("web", addr)]))
    };
    let backends = [backend("one"), backend("two")];
    apply(None, backends[0]);
    let over = Arc::new(AtomicBool::new(false));
    let (path, config, reading, testing) = (nginx.web(), nginx.config(), over.clone(), over.clone());
    let reader = std::thread::spawn(move || {
        let mut reads = 0_u64;
        while !reading.load(Ordering::Relaxed) {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_whole = text.starts_with("# Written by weir") && text.ends_with("    keepalive 32;\n}\n");
            let addrs = backends.iter().filter(|addr| text.contains(&format!("server {addr};"))).count();
            assert!(is_whole && addrs == 1 && text.contains("zone web 128k;") && !text.contains("hash"), "{text}");
            reads += 1;
            std::thread::sleep(Duration::from_micros(200));
        }
        reads
    });
    let tester = std::thread::spawn(move || {
        let mut tests = 0_u64;
        while !testing.load(Ordering::Relaxed) {
            let test = std::process::Command::new("nginx").args(["-q", "-t", "-c"]).arg(&config).output().unwrap();
            assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
            tests += 1;
        }
        tests
    });
    for candidate in 0..200 {
        let broken = (candidate % 2 == 1).then_some(candidate / 2 % 4);
        let before = std::fs::read(nginx.web()).unwrap();
        let outcome = apply(broken, backends[candidate / 2 % 2]);
        match broken {
            None => {
                assert!(matches!(outcome, Report::Live { .. } | Report::Unchanged { .. }), "{candidate}: {outcome:?}")
            }
            Some(_) => {
                assert!(matches!(outcome, Report::Refused { step: Step::Validate, .. }), "{candidate}: {outcome:?}");
                assert_eq!(std::fs::read(nginx.web()).unwrap(), before);
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    let (reads, tests) = (reader.join().unwrap(), tester.join().unwrap());
    assert!(reads > 200 && tests > 20, "{reads} reads, {tests} tests");
    until("the last one serves", || holds(["one", "two"].contains(&nginx.get().as_str())));
    super::tells_the_truth(&nginx);
}
