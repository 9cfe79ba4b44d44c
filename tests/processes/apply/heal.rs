//! What heals without a change of servers: edits, renewed certificates, upstreams that are not configured any more.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use weir::apply::{Apply, Ask, Body, Notes, Report, State, history};
use weir::nginx::Form;
use weir::upstream::{Cause, Generation};

use crate::nginx::{Nginx, and, backend, server, web};
use crate::support::address;

fn state(apply: &Apply) -> State {
    match apply.handle(&Ask::Report { known: None }) {
        Body::State(Ok(state)) => state,
        other => panic!("{other:?}"),
    }
}

fn orphans(notes: &Notes) -> &[PathBuf] {
    &notes.left.as_ref().unwrap().orphans
}

#[test]
#[ignore = "needs nginx"]
fn a_file_that_somebody_edits_or_deletes_is_noticed_and_put_back() {
    let nginx = Nginx::start();
    let (apply, desired) = (nginx.apply(), web([server("web", backend("one"))]));
    apply.apply(&desired);
    let good = std::fs::read_to_string(nginx.web()).unwrap();
    let edit = good.replace("server ", "server 127.0.0.1:3; server ");
    for touch in [Some(&edit), None] {
        let before = state(&apply);
        assert!(!before.drifted);
        match touch {
            Some(edit) => std::fs::write(nginx.web(), edit).unwrap(),
            None => std::fs::remove_file(nginx.web()).unwrap(),
        }
        let after = state(&apply);
        assert!(after.drifted && after.fingerprint != before.fingerprint);
        let outcome = apply.apply(&desired);
        let Report::Live { notes, .. } = &outcome else { panic!("{outcome:?}") };
        let cause = if touch.is_some() { Cause::FileEdited } else { Cause::FileRemoved };
        let past = history(&nginx.path("state")).unwrap().pop().unwrap();
        assert_eq!(past.causes.as_slice(), [cause]);
        assert_eq!(notes.removed, touch.is_none().then(|| nginx.web()).into_iter().collect::<Vec<_>>());
        let kept: Vec<String> = notes.foreign.iter().map(|kept| std::fs::read_to_string(&kept.copy).unwrap()).collect();
        assert_eq!(kept, touch.into_iter().cloned().collect::<Vec<_>>());
        assert_eq!(nginx.answers(8).into_iter().collect::<Vec<_>>(), ["one"]);
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_renewed_certificate_costs_one_reload_and_no_new_generation() {
    let nginx = Nginx::start();
    std::fs::create_dir(nginx.path("live")).unwrap();
    std::fs::write(nginx.path("live/cert.pem"), "one").unwrap();
    let mut options = nginx.options();
    options.apply.watch = vec![nginx.path("live")];
    let (apply, desired) = (Apply::new(options), web([server("web", backend("one"))]));
    apply.apply(&desired);
    assert!(matches!(apply.apply(&desired), Report::Unchanged { .. }));
    assert_eq!((nginx.reloads(), state(&apply).drifted), (1, false));
    std::fs::write(nginx.path("live/cert.pem"), "renewed").unwrap();
    assert!(state(&apply).drifted);
    let outcome = apply.apply(&desired);
    assert!(matches!(outcome, Report::Live { generation: Generation(1), .. }), "{outcome:?}");
    assert!(outcome.notes().renewed);
    assert!(matches!(apply.apply(&desired), Report::Unchanged { .. }));
    assert_eq!((nginx.reloads(), state(&apply).drifted), (2, false));
}

#[test]
#[ignore = "needs nginx"]
fn the_file_of_an_upstream_that_is_gone_stays_as_long_as_a_site_needs_it() {
    let nginx = Nginx::start();
    let path = nginx.path("conf.d/weir-api.conf");
    let mut both = nginx.options();
    both.upstreams.push(nginx.upstream("api", "conf.d/weir-api.conf", Form::Block));
    let (one, two) = (backend("one"), backend("two"));
    Apply::new(both).apply(&and(web([server("web", one)]), "api", [server("api", one)]));
    let site = nginx.path("conf.d/shop.conf");
    std::fs::write(
        &site,
        "map $host $shop { default api; }\nserver { listen 127.0.0.1:0; location / { proxy_pass http://$shop; } }\n",
    )
    .unwrap();
    let named = "server { listen unix:SOCKET; location / { proxy_pass http://api/x; } }\n";
    std::fs::write(&site, named.replace("SOCKET", &nginx.path("shop.sock").display().to_string())).unwrap();
    let apply = nginx.apply();
    for (addr, text) in [(two, "a change of another"), (one, "and again")] {
        let outcome = apply.apply(&web([server("web", addr)]));
        let Report::Live { notes, .. } = &outcome else { panic!("{text}: {outcome:?}") };
        assert_eq!((orphans(notes), path.exists()), ([path.clone()].as_slice(), true), "{text}");
    }
    std::fs::remove_file(&site).unwrap();
    let outcome = apply.apply(&web([server("web", one)]));
    let Report::Live { notes, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(orphans(notes).is_empty() && !path.exists());
    assert!(matches!(apply.apply(&web([server("web", one)])), Report::Unchanged { .. }));
    assert_eq!((nginx.get().as_str(), super::tells_the_truth(&nginx)), ("one", Generation(4)));
}

#[test]
#[ignore = "needs nginx"]
fn a_file_goes_away_though_the_configuration_fails_until_others_have_come() {
    let nginx = Nginx::start();
    let (mut old, mut new, one) = (nginx.options(), nginx.options(), backend("one"));
    for name in ["a", "b", "c"] {
        old.upstreams.push(nginx.upstream(name, &format!("conf.d/weir-{name}.conf"), Form::Block));
    }
    let desired =
        ["a", "b", "c"].iter().fold(web([server("web", one)]), |all, name| and(all, name, [server(name, one)]));
    assert!(matches!(Apply::new(old).apply(&desired), Report::Live { .. }));
    let site = "server { listen unix:SOCKET; location / { proxy_pass http://new/x; } }\n";
    let site = site.replace("SOCKET", &nginx.path("shop.sock").display().to_string());
    std::fs::write(nginx.path("conf.d/shop.conf"), site).unwrap();
    new.upstreams.push(nginx.upstream("new", "conf.d/weir-new.conf", Form::Block));
    let outcome = Apply::new(new).apply(&and(web([server("web", one)]), "new", [server("new", one)]));
    let Report::Live { notes, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(orphans(notes).is_empty(), "{notes:?}");
    assert_eq!(nginx.listing(), ["shop.conf", "weir-new.conf", "weir-web.conf"]);
}

#[test]
#[ignore = "needs nginx"]
fn of_files_of_which_a_site_needs_any_one_the_last_stays_and_the_change_is_live() {
    let nginx = Nginx::start();
    let lists = nginx.path("lists");
    std::fs::create_dir(&lists).unwrap();
    for name in ["a", "b"] {
        std::fs::write(lists.join(format!("{name}.conf")), "server 127.0.0.1:1;").unwrap();
    }
    let site = format!("upstream shop {{ include {}/*.conf; }}", lists.display());
    std::fs::write(nginx.path("conf.d/shop.conf"), site).unwrap();
    let (mut both, one, two) = (nginx.options(), backend("one"), backend("two"));
    both.upstreams.extend(["a", "b"].map(|name| nginx.upstream(name, &format!("lists/{name}.conf"), Form::Servers)));
    let all = and(and(web([server("web", one)]), "a", [server("a", one)]), "b", [server("b", one)]);
    assert!(matches!(Apply::new(both).apply(&all), Report::Live { .. }));
    for addr in [two, two] {
        let outcome = nginx.apply().apply(&web([server("web", addr)]));
        assert!(matches!(outcome, Report::Live { .. } | Report::Unchanged { .. }), "{outcome:?}");
        assert_eq!(orphans(outcome.notes()), [lists.join("b.conf")]);
    }
    assert_eq!((nginx.get().as_str(), crate::nginx::names(&lists)), ("two", vec!["b.conf".to_owned()]));
    // Whatever becomes of it, it holds up nobody.
    std::fs::rename(lists.join("b.conf"), nginx.path("b")).unwrap();
    std::os::unix::fs::symlink(nginx.path("b"), lists.join("b.conf")).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", one)]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!((orphans(outcome.notes()), nginx.get().as_str()), (&[lists.join("b.conf")][..], "one"));
}

#[test]
#[ignore = "needs nginx"]
fn a_file_whose_place_is_another_now_leaves_the_old_one_in_the_same_reload() {
    let nginx = Nginx::start();
    let desired = web([server("web", backend("one"))]);
    nginx.apply().apply(&desired);
    let (mut options, moved) = (nginx.options(), nginx.path("conf.d/lb-web.conf"));
    options.upstreams[0].file.as_mut().unwrap().output = moved.clone();
    let apply = Apply::new(options);
    let outcome = apply.apply(&desired);
    let Report::Live { notes, .. } = &outcome else { panic!("{outcome:?}") };
    assert_eq!((orphans(notes).len(), nginx.reloads(), nginx.get().as_str()), (0, 2, "one"));
    assert!(moved.exists() && !nginx.web().exists());
    let (_, kept) = apply.live().unwrap().unwrap();
    assert_eq!(kept.upstreams, desired.upstreams);
    assert!(matches!(apply.apply(&desired), Report::Unchanged { .. }));
}

#[test]
#[ignore = "needs nginx"]
fn what_cannot_be_loaded_is_rolled_back_and_told_in_nginx_own_words_within_five_seconds() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let taken = TcpListener::bind((address().ip(), 0)).unwrap();
    let listen = format!("server {{ listen {}; }}", taken.local_addr().unwrap());
    std::fs::write(nginx.path("conf.d/taken.conf"), listen).unwrap();
    let started = Instant::now();
    let outcome = nginx.apply().apply(&web([server("web", backend("two"))]));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(matches!(outcome, Report::RolledBack { .. }), "{outcome:?}");
    assert!(outcome.to_string().contains("bind() to "), "{outcome}");
    assert_eq!((nginx.get().as_str(), super::tells_the_truth(&nginx)), ("one", Generation(1)));
}

#[test]
#[ignore = "needs nginx"]
fn what_version_0_1_knew_is_taken_over_once() {
    let nginx = Nginx::start();
    let desired = web([server("web", backend("one"))]);
    nginx.apply().apply(&desired);
    let (bytes, state) = (std::fs::read(nginx.web()).unwrap(), nginx.path("state"));
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let live = serde_json::json!({
        "generation": 7, "confirmed": true, "desired": desired, "files": { nginx.web().display().to_string(): hash }
    });
    let record = serde_json::json!({ "newest": 9, "open": null, "live": live });
    std::fs::write(state.join("record.json"), record.to_string()).unwrap();

    assert_eq!(weir::apply::live(&state).unwrap().unwrap(), (Generation(7), desired.clone()));
    assert!(nginx.apply().recover().is_none());
    let outcome = nginx.apply().apply(&desired);
    assert!(matches!(outcome, Report::Unchanged { generation: Generation(7), .. }), "{outcome:?}");
    assert!(!state.join("record.json").exists() && state.join("journal").exists());
    assert_eq!(super::tells_the_truth(&nginx), Generation(7));
    let outcome = nginx.apply().apply(&web([server("web", backend("two"))]));
    assert!(matches!(outcome, Report::Live { generation: Generation(10), .. }), "{outcome:?}");
}
