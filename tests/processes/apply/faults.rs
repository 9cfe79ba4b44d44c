//! Runs that die between any two steps, with the feature `faults`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use weir::apply::{Apply, Ask, Fault, Job, Options, Report, Rollback};
use weir::drain::Promises;
use weir::nginx::Form;
use weir::upstream::Generation;
use weir::upstream::desired::Desired;

use super::crash::options_below;
use super::tells_the_truth;
use crate::nginx::{Nginx, and, backend, server, web};
use crate::support::address;

/// How the new files are tested: out of sight, or where they are to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Namespace,
    LivePath,
}

/// Two upstreams, so that a run can die with one of two files in place.
fn options(mut options: Options, api: weir::config::Upstream, way: Way) -> Options {
    options.upstreams.push(api);
    if way == Way::LivePath {
        options.weir = "/nonexistent/weir".into();
    }
    options
}

pub(crate) fn options_of(nginx: &Nginx, way: Way) -> Options {
    options(nginx.options(), nginx.upstream("api", "conf.d/weir-api.conf", Form::Block), way)
}

pub(crate) fn both(addr: SocketAddr) -> Desired {
    and(web([server("web", addr)]), "api", [server("api", addr)])
}

/// The half of other tests that dies: does what it is told once.
#[test]
#[ignore = "does nothing on its own"]
fn faulty_half() {
    let Ok(root) = std::env::var("WEIR_TEST_FAULTY_ROOT") else { return };
    let way = if std::env::var_os("WEIR_TEST_FAULTY_LIVE").is_some() { Way::LivePath } else { Way::Namespace };
    let elsewhere = Nginx::stopped();
    let mut api = elsewhere.upstream("api", "conf.d/weir-api.conf", Form::Block);
    api.file.as_mut().unwrap().output = std::path::Path::new(&root).join("conf.d/weir-api.conf");
    if let Ok(addr) = std::env::var("WEIR_TEST_FAULTY_ALONE") {
        let alone = web([server("web", addr.parse().unwrap())]);
        return drop(Apply::new(options_below(&root)).carry_out(&Job::new(alone)));
    }
    let apply = Apply::new(options(options_below(&root), api, way));
    if let Ok(to) = std::env::var("WEIR_TEST_FAULTY_BACK_TO") {
        let to = Generation(to.parse().unwrap());
        return drop(apply.handle(&Ask::Rollback(Rollback { to, reason: None, promises: Promises::default() })));
    }
    match std::env::var("WEIR_TEST_FAULTY_ADDR") {
        Ok(addr) => drop(apply.carry_out(&Job::new(both(addr.parse().unwrap())))),
        Err(_) => drop(apply.recover()),
    }
}

/// Runs [`faulty_half`], which applies `addr` or recovers, and dies at `fault` if it gets there.
pub(crate) fn run_with(nginx: &Nginx, live: bool, addr: Option<SocketAddr>, name: &str, value: &str) -> ExitStatus {
    let mut child = half(nginx);
    child.env(name, value);
    if live {
        child.env("WEIR_TEST_FAULTY_LIVE", "1");
    }
    if let Some(addr) = addr {
        child.env("WEIR_TEST_FAULTY_ADDR", addr.to_string());
    }
    child.status().unwrap()
}

/// Runs [`faulty_half`], which goes back to a generation.
pub(crate) fn go_back_with(nginx: &Nginx, to: Generation, name: &str, value: &str) -> ExitStatus {
    half(nginx).env(name, value).env("WEIR_TEST_FAULTY_BACK_TO", to.to_string()).status().unwrap()
}

/// A run for `addr` that dies at `fault`.
pub(crate) fn dies_at(nginx: &Nginx, way: Way, addr: SocketAddr, fault: Fault) {
    let status = run_with(nginx, way == Way::LivePath, Some(addr), "WEIR_FAULT", &word(fault));
    assert_eq!(status.signal(), Some(9), "{fault:?}: {status}");
}

/// A recovery that dies at `fault`.
pub(crate) fn recovery_dies_at(nginx: &Nginx, way: Way, fault: Fault) {
    let status = run_with(nginx, way == Way::LivePath, None, "WEIR_FAULT", &word(fault));
    assert_eq!(status.signal(), Some(9), "{fault:?}: {status}");
}

fn half(nginx: &Nginx) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "apply::faults::faulty_half", "--include-ignored"]);
    child.env("WEIR_TEST_FAULTY_ROOT", nginx.dir.path());
    child.stdout(Stdio::null()).stderr(Stdio::null());
    child
}

pub(super) fn word(fault: Fault) -> String {
    serde_json::to_value(fault).unwrap().as_str().unwrap().to_owned()
}

fn files(nginx: &Nginx) -> [String; 2] {
    ["weir-web.conf", "weir-api.conf"].map(|name| std::fs::read_to_string(nginx.path("conf.d").join(name)).unwrap())
}

/// Whether a file is a whole one for one of `known`.
fn is_whole(text: &str, known: &[SocketAddr]) -> bool {
    text.ends_with("}\n") && known.iter().filter(|addr| text.contains(&format!("server {addr};"))).count() == 1
}

pub(super) fn passes_the_test(nginx: &Nginx) {
    let test = Command::new("nginx").arg("-q").arg("-t").arg("-c").arg(nginx.config()).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
}

/// Dies at every step of an apply, then at every step of the recovery from that, then goes on.
fn dies_everywhere(way: Way) {
    let nginx = Nginx::start();
    let apply = Apply::new(options_of(&nginx, way));
    let (one, two) = (backend("one"), backend("two"));
    let live = way == Way::LivePath;
    for first in Fault::ALL {
        let goes_back = matches!(first, Fault::Back | Fault::Restored);
        assert!(matches!(apply.apply(&both(one)), Report::Live { .. } | Report::Unchanged { .. }));
        // A port that is taken passes the test and cannot be loaded.
        let taken = goes_back.then(|| TcpListener::bind((address().ip(), 0)).unwrap());
        let site = nginx.path("conf.d/taken.conf");
        if let Some(taken) = &taken {
            std::fs::write(&site, format!("server {{ listen {}; }}", taken.local_addr().unwrap())).unwrap();
        }
        let status = run_with(&nginx, live, Some(two), "WEIR_FAULT", &word(first));
        assert_eq!(status.signal(), Some(9), "{first:?}: {status}");
        for text in files(&nginx) {
            assert!(is_whole(&text, &[one, two]), "{first:?}: {text}");
        }
        assert!(["one", "two"].contains(&nginx.get().as_str()), "{first:?}");
        drop(taken);
        if goes_back {
            std::fs::remove_file(&site).unwrap();
        }
        for second in [Fault::Exchanged, Fault::Restored, Fault::Signalled, Fault::Recorded] {
            run_with(&nginx, live, None, "WEIR_FAULT", &word(second));
            for text in files(&nginx) {
                assert!(is_whole(&text, &[one, two]), "{first:?} {second:?}: {text}");
            }
        }
        assert!(!matches!(apply.recover(), Some(Report::Failed { .. } | Report::Refused { .. })), "{first:?}");
        tells_the_truth(&nginx);
        let [web, api] = files(&nginx).map(|text| text.contains(&one.to_string()));
        assert_eq!(web, api, "{first:?}: both of one generation");
        passes_the_test(&nginx);
        assert_eq!(nginx.get(), if web { "one" } else { "two" }, "{first:?}");
    }
    let end = backend("end");
    let outcome = apply.apply(&both(end));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!((nginx.get().as_str(), tells_the_truth(&nginx).0 > 10), ("end", true));
    assert_eq!(nginx.listing(), ["weir-api.conf", "weir-web.conf"]);
}

#[test]
#[ignore = "needs nginx"]
fn what_a_dead_run_was_to_take_away_goes_in_recovery_though_it_is_configured_no_more() {
    let nginx = Nginx::start();
    let one = backend("one");
    let mut options = options_of(&nginx, Way::Namespace);
    options.upstreams.push(nginx.upstream("old", "conf.d/weir-old.conf", Form::Block));
    Apply::new(options).apply(&and(both(one), "old", [server("old", one)]));
    let mut child = half(&nginx);
    child.env("WEIR_FAULT", word(Fault::Exchanged)).env("WEIR_TEST_FAULTY_ALONE", one.to_string());
    assert_eq!(child.status().unwrap().signal(), Some(9));
    let stays = ["weir-api.conf", "weir-old.conf"].iter().filter(|name| nginx.path("conf.d").join(name).exists());
    assert_eq!(stays.count(), 1, "it dies before the second file's turn");
    let apply = nginx.apply();
    let outcome = apply.recover();
    assert!(matches!(outcome, Some(Report::Live { .. })), "{outcome:?}");
    tells_the_truth(&nginx);
    assert_eq!((nginx.get().as_str(), nginx.listing()), ("one", vec!["weir-web.conf".to_owned()]));
    assert!(matches!(apply.apply(&web([server("web", one)])), Report::Unchanged { .. }));
}

#[test]
#[ignore = "needs nginx"]
fn a_run_that_dies_between_any_two_steps_leaves_whole_files_and_the_next_one_ends_it() {
    dies_everywhere(Way::Namespace);
}

#[test]
#[ignore = "needs nginx"]
fn a_run_that_tests_on_the_live_path_and_dies_leaves_whole_files_and_the_next_one_ends_it() {
    dies_everywhere(Way::LivePath);
}
