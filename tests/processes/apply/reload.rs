//! What is confirmed, what is refused, what is rolled back.

use std::net::TcpListener;
use std::time::Duration;

use weir::apply::{Error, Report, Step};
use weir::config::Reload;
use weir::upstream::Generation;
use weir::upstream::settle::Applied;

use crate::nginx::{Nginx, backend, server, web};
use crate::support::{address, holds, until};

#[test]
#[ignore = "needs nginx"]
fn a_live_generation_is_served_by_every_worker_that_still_accepts() {
    let nginx = Nginx::start();
    let (one, two) = (backend("one"), backend("two"));
    assert_eq!(nginx.get(), "502");
    for (addr, name) in [(one, "one"), (two, "two"), (one, "one"), (two, "two")] {
        let outcome = nginx.apply().apply(&web([server("web", addr)]));
        assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
        assert_eq!(nginx.answers(30).into_iter().collect::<Vec<_>>(), [name], "right after the confirmation");
    }
    assert_eq!(nginx.listing(), ["weir-web.conf"]);
}

#[test]
#[ignore = "needs nginx"]
fn the_same_servers_again_cost_no_reload() {
    let nginx = Nginx::start();
    let desired = web([server("a", backend("a")), server("b", backend("b")), server("c", backend("c"))]);
    let Report::Live { generation, upstreams, .. } = nginx.apply().apply(&desired) else { panic!("not live") };
    assert_eq!((generation, upstreams.len()), (Generation(1), 1));
    let (workers, text) = (nginx.workers(), std::fs::read(nginx.web()).unwrap());
    let again = nginx.apply().apply(&desired);
    assert!(matches!(again, Report::Unchanged { generation: Generation(1), .. }), "{again:?}");
    assert_eq!((nginx.workers(), std::fs::read(nginx.web()).unwrap()), (workers, text));
    let (live, stored) = nginx.apply().live().unwrap().unwrap();
    assert_eq!((live, stored), (Generation(1), desired));
}

#[test]
#[ignore = "needs nginx"]
fn a_broken_site_of_somebody_else_is_refused_and_the_old_file_kept() {
    let nginx = Nginx::start();
    let (one, two) = (backend("one"), backend("two"));
    nginx.apply().apply(&web([server("web", one)]));
    let before = (std::fs::read(nginx.web()).unwrap(), nginx.workers());
    let shop = nginx.path("conf.d/shop.conf");
    std::fs::write(&shop, "server {\n    prox_pass http://web;\n}\n").unwrap();

    let outcome = nginx.apply().apply(&web([server("web", two)]));
    let text = format!(
        "nginx refuses its configuration: unknown directive \"prox_pass\" in {}:2; mend that file",
        shop.display()
    );
    assert_eq!(outcome.to_string(), text);
    let Report::Refused { generation, step, ours, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((generation, step, ours), (Some(Generation(2)), Step::Validate, false));
    assert_eq!((std::fs::read(nginx.web()).unwrap(), nginx.workers()), before);
    assert_eq!(nginx.listing(), ["shop.conf", "weir-web.conf"]);
    assert_eq!(nginx.get(), "one");

    std::fs::remove_file(&shop).unwrap();
    let healed = nginx.apply().apply(&web([server("web", two)]));
    assert!(matches!(healed, Report::Live { generation: Generation(3), .. }), "numbers are not used twice: {healed:?}");
}

#[test]
#[ignore = "needs nginx"]
fn an_upstream_that_is_defined_twice_names_the_way_out() {
    let nginx = Nginx::start();
    std::fs::write(nginx.path("conf.d/zz.conf"), "upstream web { server 10.0.0.1:80; }").unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())])).to_string();
    let text = "upstream \"web\" is defined twice: conf.d/weir-web.conf and conf.d/zz.conf:1; remove yours, or use form = \"servers\" inside it";
    assert_eq!(outcome, text);
}

#[test]
#[ignore = "needs nginx"]
fn a_port_that_is_taken_passes_the_test_fails_the_reload_and_is_rolled_back() {
    let nginx = Nginx::start();
    let (one, two) = (backend("one"), backend("two"));
    nginx.apply().apply(&web([server("web", one)]));
    let before = (std::fs::read(nginx.web()).unwrap(), nginx.workers());
    let taken = TcpListener::bind((address().ip(), 0)).unwrap();
    let site = nginx.path("conf.d/taken.conf");
    std::fs::write(&site, format!("server {{ listen {}; }}", taken.local_addr().unwrap())).unwrap();

    let outcome = nginx.apply().apply(&web([server("web", two)]));
    assert!(
        matches!(outcome, Report::RolledBack { failed: Generation(2), restored: Generation(1), .. }),
        "{outcome:?}"
    );
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "nginx accepted generation 2 and could not load it: bind() to {} failed (98: Address already in use); \
         generation 1 is back and confirmed; see 'ss -ltnp sport = :{port}'",
        taken.local_addr().unwrap()
    );
    assert_eq!(outcome.to_string(), text);
    assert_eq!((std::fs::read(nginx.web()).unwrap(), nginx.workers()), before);
    assert_eq!(nginx.listing(), ["taken.conf", "weir-web.conf"]);
    assert_eq!(nginx.get(), "one");

    drop(taken);
    let healed = nginx.apply().apply(&web([server("web", two)]));
    assert!(matches!(healed, Report::Live { .. }), "{healed:?}");
    assert_eq!(nginx.get(), "two");
}

#[test]
#[ignore = "needs nginx"]
fn with_nginx_killed_the_tested_file_is_stored_and_confirmed_when_it_is_back() {
    let mut nginx = Nginx::start();
    let desired = web([server("web", backend("one"))]);
    nginx.kill();
    assert!(nginx.path("nginx.pid").exists(), "the pid file is stale");
    let outcome = nginx.apply().apply(&desired);
    assert!(matches!(outcome, Report::Stored { generation: Generation(1), .. }), "{outcome:?}");
    assert_eq!(outcome.to_string(), "nginx is not running, the file is in place and tested; start nginx");
    assert!(matches!(Applied::from(&outcome), Applied::Stored));

    nginx.run();
    assert_eq!(nginx.get(), "one");
    let confirmed = nginx.apply().apply(&desired);
    assert!(matches!(confirmed, Report::Live { generation: Generation(1), .. }), "{confirmed:?}");
    assert!(matches!(nginx.apply().apply(&desired), Report::Unchanged { .. }));
}

#[test]
#[ignore = "needs nginx"]
fn a_stale_pid_file_never_hits_a_stranger() {
    let nginx = Nginx::stopped();
    // SIGHUP would end it.
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(nginx.path("nginx.pid"), format!("{}\n", stranger.id())).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())]));
    assert!(matches!(outcome, Report::Stored { .. }), "{outcome:?}");
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
#[ignore = "needs nginx"]
fn a_pending_binary_upgrade_holds_the_reload_back() {
    let nginx = Nginx::start();
    std::fs::write(nginx.path("nginx.pid.oldbin"), nginx.master_pid().to_string()).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())]));
    assert!(matches!(outcome, Report::Refused { error: Error::Upgrading { .. }, .. }), "{outcome:?}");
    assert_eq!(nginx.reloads(), 0);
    // What a crash has left behind holds nobody up.
    std::fs::write(nginx.path("nginx.pid.oldbin"), std::process::id().to_string()).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_reload_command_is_confirmed_like_a_signal_and_its_failure_rolled_back() {
    let nginx = Nginx::start();
    let (one, two) = (backend("one"), backend("two"));
    let mut options = nginx.options();
    let argv =
        ["nginx", "-s", "reload", "-c"].map(str::to_owned).into_iter().chain([nginx.config().display().to_string()]);
    options.nginx.reload = Reload::Argv(argv.collect());
    let outcome = weir::apply::Apply::new(options.clone()).apply(&web([server("web", one)]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!(nginx.get(), "one");

    let before = std::fs::read(nginx.web()).unwrap();
    options.nginx.reload =
        Reload::Argv(vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo no such thing >&2; exit 3".to_owned()]);
    let outcome = weir::apply::Apply::new(options.clone()).apply(&web([server("web", two)]));
    assert!(outcome.to_string().contains("no such thing"), "{outcome}");
    assert_eq!(std::fs::read(nginx.web()).unwrap(), before);

    // Success without a reload is not believed.
    options.nginx.reload = Reload::Argv(vec!["/bin/true".to_owned()]);
    let outcome = weir::apply::Apply::new(options).apply(&web([server("web", two)]));
    assert!(!Applied::from(&outcome).is_in_place(), "{outcome:?}");
    assert_eq!(std::fs::read(nginx.web()).unwrap(), before);
    assert_eq!(nginx.get(), "one");
}

#[test]
#[ignore = "needs nginx"]
fn reloads_by_others_do_not_confuse_the_confirmation() {
    let nginx = Nginx::start();
    let backends = [(backend("one"), "one"), (backend("two"), "two")];
    let master = rustix::process::Pid::from_raw(i32::try_from(nginx.master_pid()).unwrap()).unwrap();
    for round in 0..6 {
        let (addr, name) = backends[round % 2];
        rustix::process::kill_process(master, rustix::process::Signal::HUP).unwrap();
        let outcome = nginx.apply().apply(&web([server("web", addr)]));
        assert!(matches!(outcome, Report::Live { .. }), "round {round}: {outcome:?}");
        assert_eq!(nginx.answers(10).into_iter().collect::<Vec<_>>(), [name], "round {round}");
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_worker_that_still_serves_a_connection_does_not_delay_the_confirmation() {
    use std::io::Write;
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let mut idle = std::net::TcpStream::connect(nginx.listen).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let outcome = nginx.apply().apply(&web([server("web", backend("two"))]));
    let Report::Live { took, .. } = outcome else { panic!("{outcome:?}") };
    assert!(took < Duration::from_secs(5), "{took:?}");
    until("the new one answers", || holds(nginx.get() == "two"));
}
