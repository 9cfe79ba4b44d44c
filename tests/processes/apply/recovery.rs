//! What others do around a run that dies or goes back, and what recovery makes of that.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use weir::apply::{Apply, Ask, Body, Error, Fault, Job, Report, Rollback, Settled, Step};
use weir::config::{Automatic, ForeignEdit};
use weir::drain::Promises;
use weir::upstream::{Generation, Method};

use super::faults::{Way, both, dies_at, options_of};
use super::tells_the_truth;
use crate::nginx::{Nginx, backend, file, server, web};
use crate::support::{address, holds, until};

const EDIT: &str = "upstream web { server 127.0.0.1:2 down; } # by hand\n";

/// One generation live, and a run for another one that died at `fault`.
fn died_at(fault: Fault, way: Way) -> (Nginx, Apply) {
    let nginx = Nginx::start();
    let apply = Apply::new(options_of(&nginx, way));
    let outcome = apply.apply(&both(backend("one")));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    dies_at(&nginx, way, address(), fault);
    (nginx, apply)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_symlink())
}

fn replace_by_link(path: &Path) {
    std::fs::remove_file(path).unwrap();
    symlink("/etc/hostname", path).unwrap();
}

/// The next apply says what is in the way, and goes live once that is gone.
fn is_named_until_it_is_gone(apply: &Apply, target: &Path) {
    let desired = both(backend("two"));
    let outcome = apply.apply(&desired);
    let Report::Refused { step: Step::Plan, error: Error::NotAFile { path, link: true, .. }, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(path, target);
    assert!(is_link(target), "nobody but who made it takes it away");
    std::fs::remove_file(target).unwrap();
    let outcome = apply.apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_link_in_a_files_place_holds_up_no_run_and_is_never_lost() {
    // Where the run dies, by when the file of `api` is exchanged, and what is a link then: one that was displaced lies beside.
    let (target, beside) = ("conf.d/weir-api.conf", "conf.d/.weir-api.conf.weir-new");
    for (fault, way, at) in [
        (Fault::Begun, Way::Namespace, target),
        (Fault::Synced, Way::Namespace, target),
        (Fault::Synced, Way::Namespace, beside),
        (Fault::Exchanged, Way::LivePath, beside),
    ] {
        let (nginx, apply) = died_at(fault, way);
        replace_by_link(&nginx.path(at));
        let recovered = apply.recover();
        assert!(!matches!(recovered, Some(Report::Refused { step: Step::Lock, .. })), "{fault:?} {at}: {recovered:?}");
        assert!(is_link(&nginx.path(target)), "{fault:?} {at}");
        is_named_until_it_is_gone(&apply, &nginx.path(target));
        tells_the_truth(&nginx);
        assert_eq!((nginx.get().as_str(), nginx.listing()), ("two", names()), "{fault:?} {at}");
    }
}

fn names() -> Vec<String> {
    ["weir-api.conf", "weir-web.conf"].map(str::to_owned).into()
}

#[test]
#[ignore = "needs nginx"]
fn without_its_directory_a_dead_run_holds_up_nothing() {
    for fault in [Fault::Begun, Fault::Synced] {
        let (nginx, apply) = died_at(fault, Way::Namespace);
        std::fs::rename(nginx.path("conf.d"), nginx.path("away")).unwrap();
        let settled = apply.recover_files();
        assert_eq!(settled, Ok(Some(Settled { generation: Generation(1), foreign: Vec::new() })), "{fault:?}");
        std::fs::rename(nginx.path("away"), nginx.path("conf.d")).unwrap();
        let outcome = apply.apply(&both(backend("two")));
        assert!(matches!(outcome, Report::Live { .. }), "{fault:?}: {outcome:?}");
        tells_the_truth(&nginx);
    }
}

#[test]
#[ignore = "needs nginx"]
fn an_edit_that_is_held_stays_on_every_way_back() {
    let (nginx, _) = died_at(Fault::Exchanged, Way::LivePath);
    let hold = || {
        let mut options = options_of(&nginx, Way::LivePath);
        options.apply.foreign_edit = ForeignEdit::Hold;
        Apply::new(options)
    };
    // The way back is in the journal before anybody edits.
    dies_at_recovery(&nginx, Fault::Restored);
    std::fs::write(nginx.web(), EDIT).unwrap();
    let outcome = hold().recover();
    let Some(Report::Refused { step: Step::Plan, error: Error::ForeignEdit { .. }, .. }) = &outcome else {
        panic!("{outcome:?}")
    };
    let to = Generation(1);
    let body = hold().handle(&Ask::Rollback(Rollback { to, reason: None, promises: Promises::default() }));
    let Body::Restored { report: Report::Refused { error: Error::ForeignEdit { .. }, .. }, .. } = &body else {
        panic!("{body:?}")
    };
    assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), EDIT);
    let outcome = Apply::new(options_of(&nginx, Way::LivePath)).recover();
    assert!(matches!(outcome, Some(Report::Live { .. })), "{outcome:?}");
    tells_the_truth(&nginx);
    assert_eq!(nginx.get(), "one");
}

fn dies_at_recovery(nginx: &Nginx, fault: Fault) {
    super::faults::recovery_dies_at(nginx, Way::LivePath, fault);
}

#[test]
#[ignore = "needs nginx"]
fn what_somebody_had_nginx_load_meanwhile_is_not_taken_for_what_it_serves() {
    let nginx = Nginx::start();
    let (one, two) = (web([server("web", backend("one"))]), web([server("web", backend("two"))]));
    nginx.apply().apply(&one);
    // It refuses on the live path, after somebody else's reload of what is there.
    let program = nginx.path("impatient");
    let script = format!(
        "#!/bin/sh\nif [ \"$2\" = -t ]; then nginx -s reload -c {}; sleep 1; echo 'nginx: [emerg] no' >&2; exit 1; fi\n\
         exec nginx \"$@\"\n",
        nginx.config().display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = nginx.options();
    (options.nginx.binary, options.weir) = (Automatic::Path(program), "/nonexistent/weir".into());
    let outcome = Apply::new(options).apply(&two);
    assert!(matches!(outcome, Report::Refused { step: Step::Validate, .. }), "{outcome:?}");
    assert_eq!(nginx.get(), "two", "it was loaded while it was there");
    let outcome = nginx.apply().apply(&one);
    assert!(matches!(outcome, Report::Live { generation: Generation(1), .. }), "{outcome:?}");
    assert_eq!(nginx.answers(8).into_iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
#[ignore = "needs nginx"]
fn an_edit_that_nginx_had_loaded_is_not_taken_for_what_was_put_back() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    std::fs::write(nginx.web(), format!("upstream web {{ server {}; }}\n", backend("edit"))).unwrap();
    let reloads = nginx.reloads();
    let master = Pid::from_raw(i32::try_from(nginx.master_pid()).unwrap()).unwrap();
    kill_process(master, Signal::HUP).unwrap();
    until("nginx serves the edit", || holds(nginx.reloads() > reloads && nginx.get() == "edit"));
    // A port that is taken passes the test and cannot be loaded.
    let taken = std::net::TcpListener::bind((address().ip(), 0)).unwrap();
    let site = nginx.path("conf.d/taken.conf");
    std::fs::write(&site, format!("server {{ listen {}; }}", taken.local_addr().unwrap())).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", backend("two"))]));
    let Report::Failed { then: Error::NotLoaded { .. }, .. } = &outcome else { panic!("{outcome:?}") };
    drop(taken);
    let outcome = nginx.apply().recover();
    assert!(matches!(outcome, Some(Report::Live { generation: Generation(1), .. })), "{outcome:?}");
    tells_the_truth(&nginx);
    assert_eq!(nginx.answers(8).into_iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
#[ignore = "needs nginx"]
fn what_an_operator_went_back_to_stays_byte_for_byte_though_it_renders_otherwise_now() {
    let mut nginx = Nginx::start();
    let one = web([server("web", backend("one"))]);
    nginx.apply().apply(&one);
    let first = std::fs::read(nginx.web()).unwrap();
    let mut options = nginx.options();
    file(&mut options).block.method = Method::LeastConn;
    let apply = Apply::new(options);
    assert!(matches!(apply.apply(&one), Report::Live { generation: Generation(2), .. }));
    nginx.kill();
    let back = Rollback { to: Generation(1), reason: None, promises: Promises::default() };
    let Body::Restored { report: Report::Stored { generation, .. }, holds } = apply.handle(&Ask::Rollback(back)) else {
        panic!("it is not in place")
    };
    nginx.run();
    let outcome = apply.recover();
    assert!(matches!(outcome, Some(Report::Live { generation: live, .. }) if live == generation), "{outcome:?}");
    assert_eq!(std::fs::read(nginx.web()).unwrap(), first);
    // As the agent asks from then on; until it is released.
    assert_eq!(apply.preview(&one).unwrap()[0].text.as_bytes(), first);
    let outcome = apply.carry_out(&Job { holds, ..Job::new(one.clone()) });
    assert!(matches!(outcome, Report::Unchanged { .. }), "{outcome:?}");
    let outcome = apply.carry_out(&Job::new(one));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_ne!(std::fs::read(nginx.web()).unwrap(), first);
}

#[test]
#[ignore = "needs nginx"]
fn at_a_boot_files_are_settled_and_nothing_is_run() {
    for (fault, way, generation) in [(Fault::Synced, Way::Namespace, 2), (Fault::Exchanged, Way::LivePath, 1)] {
        let (mut nginx, _) = died_at(fault, way);
        nginx.kill();
        let mut options = options_of(&nginx, way);
        options.nginx.binary = Automatic::Path("/nonexistent/nginx".into());
        let settled = Apply::new(options).recover_files();
        assert_eq!(settled, Ok(Some(Settled { generation: Generation(generation), foreign: Vec::new() })), "{fault:?}");
        assert_eq!((tells_the_truth(&nginx), nginx.listing()), (Generation(generation), names()));
        nginx.run();
        let outcome = Apply::new(options_of(&nginx, way)).recover();
        assert!(matches!(outcome, Some(Report::Live { .. })), "{outcome:?}");
    }
}

#[test]
#[ignore = "needs nginx"]
fn nobody_who_may_stop_comes_back_at_a_boot() {
    let (mut nginx, apply) = died_at(Fault::Exchanged, Way::LivePath);
    nginx.kill();
    let promises = serde_json::json!([{ "node": "api", "incarnation": 1, "id": "5d3e01aa" }]);
    std::fs::write(nginx.path("state/promises"), promises.to_string()).unwrap();
    let settled = apply.recover_files();
    assert_eq!(settled, Ok(Some(Settled { generation: Generation(3), foreign: Vec::new() })));
    assert_eq!(tells_the_truth(&nginx), Generation(3));
    let text = |name| std::fs::read_to_string(nginx.path(name)).unwrap();
    let down = ["conf.d/weir-web.conf", "conf.d/weir-api.conf"].map(|name| text(name).contains(" down;"));
    assert_eq!(down, [false, true]);
}
