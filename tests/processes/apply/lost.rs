//! Records that are lost, and files that were there before any: what serves goes on to serve.

use std::path::Path;

use weir::apply::{Apply, Ask, Body, Error, Report, Rollback, Step};
use weir::drain::Promises;
use weir::upstream::desired::{Desired, Target};
use weir::upstream::{Generation, OnEmpty, UpstreamName};

use crate::nginx::{Nginx, backend, server, web};

fn name() -> UpstreamName {
    UpstreamName::new("web").unwrap()
}

fn placeholder() -> Desired {
    let mut desired = Desired::new(1);
    desired.upstreams.insert(name(), Target::Placeholder);
    desired
}

/// Which upstreams are left as they are, and how many copies are kept of what others wrote.
fn noted(report: &Report) -> (&[UpstreamName], usize) {
    let left = report.notes().left.as_ref();
    (left.map_or(&[], |left| &left.untouched[..]), report.notes().foreign.len())
}

fn remove(path: &Path) {
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
#[ignore = "needs nginx"]
fn a_file_whose_record_is_lost_stays_until_there_is_a_server() {
    let nginx = Nginx::start();
    let [one, two] = ["one", "two"].map(|name| web([server("web", backend(name))]));
    nginx.apply().apply(&one);
    let before = std::fs::read(nginx.web()).unwrap();
    remove(&nginx.path("state"));

    for _ in 0..2 {
        let report = nginx.apply().apply(&placeholder());
        assert!(matches!(report, Report::Unchanged { generation: Generation(0), .. }), "{report:?}");
        assert_eq!(noted(&report), (&[name()][..], 0));
        assert_eq!((nginx.get(), std::fs::read(nginx.web()).unwrap()), ("one".to_owned(), before.clone()));
        assert_eq!(weir::apply::live(&nginx.path("state")).unwrap(), None, "nothing is recorded of it");
    }

    let report = nginx.apply().apply(&two);
    assert!(matches!(report, Report::Live { generation: Generation(1), .. }), "{report:?}");
    assert_eq!(noted(&report), (&[][..], 0), "it is weir's, by its first line");
    assert_eq!(nginx.get(), "two");
    let back = Ask::Rollback(Rollback { to: Generation(0), reason: None, promises: Promises::default() });
    let Body::Restored { report, .. } = nginx.apply().handle(&back) else { panic!("not restored") };
    assert!(matches!(report, Report::Live { .. }), "{report:?}");
    assert_eq!((nginx.get(), std::fs::read(nginx.web()).unwrap()), ("one".to_owned(), before), "it was kept");
}

#[test]
#[ignore = "needs nginx"]
fn a_file_of_somebody_else_stays_until_there_is_a_server_and_a_copy_is_kept_of_it_then() {
    let nginx = Nginx::start();
    let theirs = format!("upstream web {{ server {}; }}\n", backend("theirs"));
    std::fs::write(nginx.web(), &theirs).unwrap();
    let report = nginx.apply().apply(&placeholder());
    assert_eq!(noted(&report), (&[name()][..], 0));
    assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), theirs);
    let report = nginx.apply().apply(&web([server("web", backend("one"))]));
    let copies = report.notes().foreign.iter().map(|kept| std::fs::read_to_string(&kept.copy).unwrap());
    assert_eq!(copies.collect::<Vec<_>>(), [theirs]);
    assert_eq!(nginx.get(), "one");
    // From then on it is weir's, with whatever servers there are.
    let report = nginx.apply().apply(&placeholder());
    assert!(matches!(report, Report::Live { .. }), "{report:?}");
    assert_eq!((noted(&report), nginx.get()), ((&[][..], 0), "502".to_owned()));
}

#[test]
#[ignore = "needs nginx"]
fn a_placeholder_is_written_where_no_file_is_or_an_error_is_preferred() {
    for (is_there, on_empty) in [(false, OnEmpty::Keep), (false, OnEmpty::Error), (true, OnEmpty::Error)] {
        let nginx = Nginx::start();
        if !is_there {
            std::fs::remove_file(nginx.web()).unwrap();
        }
        let mut options = nginx.options();
        options.upstreams[0].options.policy.on_empty = on_empty;
        let report = Apply::new(options).apply(&placeholder());
        assert!(
            matches!(report, Report::Live { generation: Generation(1), .. }),
            "{is_there} {on_empty:?}: {report:?}"
        );
        assert!(std::fs::read_to_string(nginx.web()).unwrap().starts_with("# Written by weir"));
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_garbled_journal_is_refused_and_what_is_said_of_it_leads_out() {
    let nginx = Nginx::start();
    let one = web([server("web", backend("one"))]);
    nginx.apply().apply(&one);
    let journal = nginx.path("state/journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&journal, &bytes).unwrap();
    for desired in [&one, &placeholder()] {
        let report = nginx.apply().apply(desired);
        let Report::Refused { step: Step::Lock, error: error @ Error::Record { .. }, .. } = &report else {
            panic!("{report:?}")
        };
        let way_out = format!("move {} away; the next apply writes it anew", journal.display());
        assert_eq!((error.remedy(), nginx.get()), (Some(way_out), "one".to_owned()));
    }
    std::fs::rename(&journal, nginx.path("away")).unwrap();
    assert_eq!(noted(&nginx.apply().apply(&placeholder())).0, [name()]);
    let report = nginx.apply().apply(&one);
    assert!(matches!(report, Report::Live { .. } | Report::Unchanged { .. }), "{report:?}");
    assert_eq!((noted(&report), nginx.get()), ((&[][..], 0), "one".to_owned()));
    super::tells_the_truth(&nginx);
}

#[test]
#[ignore = "needs nginx"]
fn a_generation_that_is_in_place_and_cannot_be_read_names_a_way_out_that_works() {
    let nginx = Nginx::start();
    let [one, two] = ["one", "two"].map(|name| web([server("web", backend(name))]));
    nginx.apply().apply(&one);
    let state = nginx.path("state");
    remove(&state.join("gen/1"));
    let report = nginx.apply().apply(&two);
    let Report::Refused { step: Step::Lock, error, .. } = &report else { panic!("{report:?}") };
    assert!(error.what().starts_with("generation 1 is recorded as in place and cannot be read: "), "{error}");
    let way_out = error.remedy().unwrap();
    let old = nginx.path("state.old");
    assert!(way_out.starts_with(&format!("'mv {} {}'", state.display(), old.display())), "{way_out}");
    std::fs::rename(&state, &old).unwrap();
    let report = nginx.apply().apply(&two);
    assert!(matches!(report, Report::Live { generation: Generation(1), .. }), "{report:?}");
    assert_eq!(nginx.get(), "two");
}
