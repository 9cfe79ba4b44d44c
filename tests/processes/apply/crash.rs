//! Runs that die half-way, and runs that meet.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use weir::apply::{Apply, Report, Step};
use weir::config::{Automatic, Reload};
use weir::upstream::desired::{self, Desired};
use weir::upstream::settle::Applied;
use weir::upstream::{Servers, UpstreamName};

use crate::nginx::{Nginx, backend, file, names, server, web};
use crate::support::{address, holds, until};

/// The killed half: applies `one` and `two` by turns for ever.
fn applies_for_ever(root: &str) {
    let apply = Apply::new(options_below(root));
    let [one, two] = ["WEIR_TEST_ONE", "WEIR_TEST_TWO"].map(|name| std::env::var(name).unwrap().parse().unwrap());
    loop {
        apply.apply(&web([server("web", one)]));
        apply.apply(&web([server("web", two)]));
    }
}

/// The half of other tests that is killed by a program it runs: applies once, for the upstream and server it is told.
#[test]
#[ignore = "does nothing on its own"]
fn killed_half() {
    let Ok(root) = std::env::var("WEIR_TEST_KILLED_ROOT") else { return };
    let [upstream, addr, program, reload] = ["UPSTREAM", "ADDR", "PROGRAM", "RELOAD"]
        .map(|name| std::env::var(format!("WEIR_TEST_KILLED_{name}")).unwrap_or_default());
    let mut options = options_below(&root);
    if !program.is_empty() {
        options.nginx.binary = Automatic::Path(program.into());
        // Where there are no mount namespaces the new file is in place when it is tested.
        options.weir = "/nonexistent/weir".into();
    }
    if !reload.is_empty() {
        options.nginx.reload = Reload::Argv(vec!["/bin/sh".to_owned(), "-c".to_owned(), reload]);
    }
    let name = UpstreamName::new(&upstream).unwrap();
    options.upstreams[0].options.name = name.clone();
    file(&mut options).block.name = name.clone();
    file(&mut options).output.set_file_name(format!("weir-{name}.conf"));
    let mut desired = Desired::new(1);
    let servers = Servers::new(vec![server(&upstream, addr.parse().unwrap())]).unwrap();
    desired.upstreams.insert(name, desired::Target::Servers(servers));
    Apply::new(options).apply(&desired);
}

/// Runs [`killed_half`] below `nginx`, until it is killed.
fn die(nginx: &Nginx, upstream: &str, addr: SocketAddr, [name, value]: [&str; 2]) {
    use std::os::unix::process::ExitStatusExt;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "apply::crash::killed_half", "--include-ignored"]);
    child.env("WEIR_TEST_KILLED_ROOT", nginx.dir.path()).env(format!("WEIR_TEST_KILLED_{name}"), value);
    child.env("WEIR_TEST_KILLED_UPSTREAM", upstream).env("WEIR_TEST_KILLED_ADDR", addr.to_string());
    let status = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");
}

/// The options of an [`Nginx`] that lives in another process.
pub(crate) fn options_below(root: &str) -> weir::apply::Options {
    let template = Nginx::stopped();
    let mut options = template.options();
    let root = std::path::Path::new(root);
    options.nginx.config = root.join("nginx.conf");
    options.apply.state = root.join("state");
    file(&mut options).output = root.join("conf.d/weir-web.conf");
    options
}

#[test]
#[ignore = "needs nginx"]
fn a_run_killed_at_any_instant_leaves_a_whole_file_and_the_next_one_heals() {
    if let Ok(root) = std::env::var("WEIR_TEST_APPLY_ROOT") {
        applies_for_ever(&root);
    }
    let nginx = Nginx::start();
    let (one, two, end) = (backend("one"), backend("two"), backend("end"));
    nginx.apply().apply(&web([server("web", one)]));
    let mut open = 0;
    for round in 0..24_u64 {
        let this = "apply::crash::a_run_killed_at_any_instant_leaves_a_whole_file_and_the_next_one_heals";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", this, "--include-ignored"]).env("WEIR_TEST_APPLY_ROOT", nginx.dir.path());
        child.env("WEIR_TEST_ONE", one.to_string()).env("WEIR_TEST_TWO", two.to_string());
        let journal = std::fs::read(nginx.path("state/journal")).unwrap();
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("it has begun", || holds(std::fs::read(nginx.path("state/journal")).is_ok_and(|now| now != journal)));
        // Spread over a run of some 130 ms, most densely over the start, where files are exchanged and tested.
        std::thread::sleep(Duration::from_millis(round * round / 4));
        child.kill().unwrap();
        child.wait().unwrap();

        let text = std::fs::read_to_string(nginx.web()).unwrap();
        assert!(text.ends_with("}\n") && [one, two, end].iter().any(|addr| text.contains(&addr.to_string())), "{text}");
        assert!(["one", "two", "end"].contains(&nginx.get().as_str()));
        let last = std::fs::read_to_string(nginx.path("state/journal")).unwrap();
        let died_open = last.lines().last().unwrap().contains("\"begin\"");
        open += u32::from(died_open);
        let healed = nginx.apply().apply(&web([server("web", end)]));
        assert!(matches!(healed, Report::Live { .. }), "round {round}: {healed:?}");
        assert_eq!((nginx.get().as_str(), nginx.listing()), ("end", vec!["weir-web.conf".to_owned()]), "round {round}");
    }
    assert!(open >= 6, "only {open} of 24 runs were killed while they were at it");
}

/// A program that is NGINX's, but kills who has it test a configuration.
fn killer(nginx: &Nginx) -> String {
    let path = nginx.path("killer");
    std::fs::write(&path, "#!/bin/sh\ncase \"$2\" in -t|-T) kill -9 $PPID;; esac\nexec nginx \"$@\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
#[ignore = "needs nginx"]
fn an_untested_candidate_left_in_place_by_a_crash_goes_back_before_anything_else() {
    let nginx = Nginx::start();
    let desired = web([server("web", backend("one"))]);
    nginx.apply().apply(&desired);
    let good = std::fs::read_to_string(nginx.web()).unwrap();
    die(&nginx, "web", backend("two"), ["PROGRAM", &killer(&nginx)]);
    assert_ne!(std::fs::read_to_string(nginx.web()).unwrap(), good);

    let outcome = nginx.apply().apply(&desired);
    assert!(
        matches!(outcome, Report::Live { .. }),
        "confirmed anew, for nobody knows what NGINX has read: {outcome:?}"
    );
    assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), good);
    assert_eq!(nginx.listing(), ["weir-web.conf"]);
    assert!(matches!(nginx.apply().apply(&desired), Report::Unchanged { .. }));
}

#[test]
#[ignore = "needs nginx"]
fn an_untested_new_file_left_by_a_crash_goes_away_even_if_it_is_no_target_any_more() {
    let nginx = Nginx::start();
    std::fs::write(nginx.path("conf.d/api.conf"), "upstream api { server 127.0.0.1:1; }\n").unwrap();
    die(&nginx, "api", address(), ["PROGRAM", &killer(&nginx)]);
    assert!(nginx.path("conf.d/weir-api.conf").exists(), "as it died");

    let outcome = nginx.apply().apply(&web([server("web", backend("one"))]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!(nginx.listing(), ["api.conf", "weir-web.conf"]);
}

#[test]
#[ignore = "needs nginx"]
fn recovery_alone_ends_what_was_tested_and_takes_off_what_was_not() {
    let nginx = Nginx::start();
    let one = web([server("web", backend("one"))]);
    nginx.apply().apply(&one);
    assert!(nginx.apply().recover().is_none(), "nothing to do");
    let first = std::fs::read(nginx.web()).unwrap();
    let reload = format!("nginx -s reload -c {}; kill -9 $PPID", nginx.config().display());
    die(&nginx, "web", backend("two"), ["RELOAD", &reload]);
    let outcome = nginx.apply().recover();
    assert!(matches!(outcome, Some(Report::Live { .. })), "it was tested before it was put in place: {outcome:?}");
    assert_eq!(nginx.get(), "two");
    let good = std::fs::read(nginx.web()).unwrap();
    assert_ne!(good, first);
    assert!(nginx.apply().recover().is_none());

    // The upstream is not configured any more.
    die(&nginx, "web", backend("three"), ["PROGRAM", &killer(&nginx)]);
    let outcome = Apply::new(weir::apply::Options { upstreams: Vec::new(), ..nginx.options() }).recover();
    assert!(matches!(outcome, Some(Report::Live { .. })), "{outcome:?}");
    assert_eq!(std::fs::read(nginx.web()).unwrap(), good);
}

#[test]
#[ignore = "needs nginx"]
fn an_edit_made_after_a_crash_is_kept() {
    let nginx = Nginx::start();
    let desired = web([server("web", backend("one"))]);
    nginx.apply().apply(&desired);
    die(&nginx, "web", backend("two"), ["PROGRAM", &killer(&nginx)]);
    let edited = std::fs::read_to_string(nginx.web()).unwrap().replace("server ", "server 127.0.0.1:3; server ");
    std::fs::write(nginx.web(), &edited).unwrap();

    let outcome = nginx.apply().apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    let kept = names(&nginx.path("state/foreign"));
    let text = |name: &String| std::fs::read_to_string(nginx.path("state/foreign").join(name)).unwrap();
    assert_eq!(kept.iter().filter(|name| text(name) == edited).count(), 1, "{kept:?}");
}

#[test]
#[ignore = "needs nginx"]
fn recovery_alone_takes_no_edit_for_ours() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let reload = format!("nginx -s reload -c {}; kill -9 $PPID", nginx.config().display());
    die(&nginx, "web", backend("two"), ["RELOAD", &reload]);
    let edited = "upstream web { server 127.0.0.1:3; } # by hand\n";
    std::fs::write(nginx.web(), edited).unwrap();
    let outcome = nginx.apply().recover();
    let Some(Report::Live { notes, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(std::fs::read_to_string(&notes.foreign[0].copy).unwrap(), edited);
    super::tells_the_truth(&nginx);
    assert_eq!(nginx.answers(8).into_iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
#[ignore = "needs nginx"]
fn files_that_a_crash_left_count_as_served_only_when_nginx_was_seen_to_serve_them() {
    let nginx = Nginx::start();
    let one = web([server("web", backend("one"))]);
    assert!(matches!(nginx.apply().apply(&one), Report::Live { .. }));
    let reload = format!("nginx -s reload -c {}; kill -9 $PPID", nginx.config().display());
    die(&nginx, "web", backend("two"), ["RELOAD", &reload]);
    until("nginx serves what the dead run wanted", || holds(nginx.get() == "two"));

    // The next run cannot reload for somebody else's fault.
    std::fs::write(nginx.path("conf.d/shop.conf"), "nonsense;").unwrap();
    let outcome = nginx.apply().apply(&one);
    assert!(matches!(outcome, Report::Refused { step: Step::Validate, .. }), "{outcome:?}");
    std::fs::remove_file(nginx.path("conf.d/shop.conf")).unwrap();

    let outcome = nginx.apply().apply(&one);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!(nginx.answers(10).into_iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
#[ignore = "needs nginx"]
fn two_at_once_take_turns() {
    let nginx = Nginx::start();
    let (one, two) = (backend("one"), backend("two"));
    let outcomes = std::thread::scope(|scope| {
        let threads = [one, two, one, two].map(|addr| {
            let apply = nginx.apply();
            scope.spawn(move || apply.apply(&web([server("web", addr)])))
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(outcomes.iter().all(|outcome| Applied::from(outcome).is_done()), "{outcomes:?}");
    assert_eq!(nginx.answers(20).len(), 1);
    assert_eq!(nginx.listing(), ["weir-web.conf"]);
}
