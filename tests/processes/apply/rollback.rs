//! Operators who go back, and nodes that were told that they may stop.

use weir::apply::{Apply, Ask, Body, Job, Refusal, Report, Rollback};
use weir::config::Reload;
use weir::drain::Promises;
use weir::upstream::{Generation, Hold, Holds, Reason, UpstreamName};

use crate::nginx::{Nginx, backend, server, web};

fn promised(node: &str) -> Promises {
    serde_json::from_value(serde_json::json!([{ "node": node, "incarnation": 1, "id": "5d3e01aa" }])).unwrap()
}

fn back(to: u64, promises: Promises) -> Ask {
    let reason = Reason::try_from("the probe misjudges".to_owned()).ok();
    Ask::Rollback(Rollback { to: Generation(to), reason, promises })
}

fn restored(body: Body) -> (Report, Holds) {
    match body {
        Body::Restored { report, holds } => (report, holds),
        other => panic!("{other:?}"),
    }
}

fn generation_of(report: &Report) -> Generation {
    match report {
        Report::Live { generation, .. } => *generation,
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs nginx"]
fn what_is_held_comes_back_as_it_was_whatever_is_configured_by_now() {
    let nginx = Nginx::start();
    let (name, one) = (UpstreamName::new("web").unwrap(), web([server("web", backend("one"))]));
    nginx.apply().apply(&one);
    let first = std::fs::read_to_string(nginx.web()).unwrap();
    let mut options = nginx.options();
    crate::nginx::file(&mut options).block.keepalive = 7;
    let mut job = Job::new(one.clone());
    job.holds.hold(name, Hold { since: 0, reason: None });
    let apply = Apply::new(options);
    assert!(matches!(apply.carry_out(&job), Report::Unchanged { .. }));
    for touch in [Some(first.replace("server ", "server 127.0.0.1:3; server ")), None] {
        match touch {
            Some(edit) => std::fs::write(nginx.web(), edit).unwrap(),
            None => std::fs::remove_file(nginx.web()).unwrap(),
        }
        assert!(matches!(apply.carry_out(&job), Report::Live { .. }));
        assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), first);
    }
    assert!(matches!(apply.carry_out(&Job::new(one)), Report::Live { .. }));
    assert!(std::fs::read_to_string(nginx.web()).unwrap().contains("keepalive 7;"));
}

#[test]
#[ignore = "needs nginx"]
fn going_back_puts_the_same_bytes_in_place_as_a_new_generation_and_holds() {
    let nginx = Nginx::start();
    let (apply, name) = (nginx.apply(), UpstreamName::new("web").unwrap());
    let [one, two] = ["one", "two"].map(|name| web([server("web", backend(name))]));
    apply.apply(&one);
    let first = std::fs::read(nginx.web()).unwrap();
    apply.apply(&two);

    let before = weir::apply::generation_before(&nginx.path("state")).unwrap();
    assert_eq!(before, Some(Generation(1)));
    let (report, holds) = restored(apply.handle(&back(1, Promises::default())));
    assert_eq!(generation_of(&report), Generation(3));
    assert_eq!((nginx.get(), std::fs::read(nginx.web()).unwrap()), ("one".to_owned(), first));
    assert_eq!(holds.get(&name).unwrap().reason.as_ref().unwrap().as_str(), "the probe misjudges");
    let Body::State(Ok(state)) = apply.handle(&Ask::Report { known: None }) else { panic!("no state") };
    assert_eq!((state.live, state.open, state.holds), (Some(Generation(3)), false, holds));
    let past = weir::apply::history(&nginx.path("state")).unwrap();
    assert_eq!(past.iter().map(|past| past.rollback_to).collect::<Vec<_>>(), [None, None, Some(Generation(1))]);

    // Why it is held is what was said last, also where nothing else changes.
    let reason = Reason::try_from("a look first".to_owned()).ok();
    let again = Ask::Rollback(Rollback { to: Generation(3), reason: reason.clone(), promises: Promises::default() });
    let (report, holds) = restored(apply.handle(&again));
    assert!(matches!(report, Report::Unchanged { generation: Generation(3), .. }), "{report:?}");
    assert_eq!(holds.get(&name).unwrap().reason, reason);

    // What is there already changes nothing and holds nothing more.
    let job = Job::new(one);
    assert!(
        matches!(apply.carry_out(&job), Report::Unchanged { .. }),
        "the holds are the job's: there are none any more"
    );
    let (report, holds) = restored(apply.handle(&back(1, Promises::default())));
    assert!(matches!(report, Report::Unchanged { generation: Generation(3), .. }), "{report:?}");
    assert!(holds.is_empty());
    let refused = apply.handle(&back(99, Promises::default()));
    assert_eq!(refused, Body::Refused(Refusal::NoGeneration { to: Some(Generation(99)) }));
}

#[test]
#[ignore = "needs nginx"]
fn what_was_there_before_weir_can_be_gone_back_to() {
    let nginx = Nginx::start();
    let before = std::fs::read_to_string(nginx.web()).unwrap();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let (report, _) = restored(nginx.apply().handle(&back(0, Promises::default())));
    assert_eq!(generation_of(&report), Generation(2));
    assert_eq!((std::fs::read_to_string(nginx.web()).unwrap(), nginx.get()), (before, "502".to_owned()));
}

#[test]
#[ignore = "needs nginx"]
fn nobody_comes_back_who_was_told_that_it_may_stop() {
    let nginx = Nginx::start();
    let apply = nginx.apply();
    let (leaves, stays) = (server("leaves", backend("leaves")), server("stays", backend("stays")));
    apply.apply(&web([leaves.clone(), stays.clone()]));
    apply.apply(&web([stays.clone()]));
    let (report, _) = restored(apply.handle(&back(1, promised("leaves"))));
    assert_eq!(generation_of(&report), Generation(3));
    assert_eq!(nginx.answers(20).into_iter().collect::<Vec<_>>(), ["stays"]);
    let text = std::fs::read_to_string(nginx.web()).unwrap();
    assert!(text.contains(&format!("server {} down;", leaves.addr)), "{text}");
}

#[test]
#[ignore = "needs nginx"]
fn a_generation_that_cannot_be_loaded_is_gone_back_from_without_those_who_may_stop() {
    let nginx = Nginx::start();
    let (leaves, stays) = (server("leaves", backend("leaves")), server("stays", backend("stays")));
    nginx.apply().apply(&web([leaves, stays.clone()]));
    // The first reload fails.
    let mut options = nginx.options();
    let (flag, config) = (nginx.path("failed"), nginx.config());
    let once =
        format!("[ -e {0} ] && exec nginx -s reload -c {1}; touch {0}; exit 1", flag.display(), config.display());
    options.nginx.reload = Reload::Argv(vec!["/bin/sh".to_owned(), "-c".to_owned(), once]);
    let job = Job { promises: promised("leaves"), ..Job::new(web([stays])) };
    let outcome = Apply::new(options).carry_out(&job);
    let Report::RolledBack { failed: Generation(2), restored, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(restored, Generation(3), "generation 1 would send requests to it");
    assert_eq!(nginx.answers(20).into_iter().collect::<Vec<_>>(), ["stays"]);
    super::tells_the_truth(&nginx);
}
