//! Documents that are refused change nothing and run nothing, whatever is in them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::*;
use crate::apply::{Options, Report, Request, Step};
use crate::config::{Automatic, Config, Source, Sources};

const DRAWN: usize = 10_000;

const SERVERS: &str =
    r#"{"servers":[{"member":"web1","addr":"10.77.0.12:80","weight":2,"down":false,"backup":false,"max_conns":0}]}"#;
const MEMBERS: &str = r#"[{"name":"web1","addr":"10.77.0.12","status":"alive"}]"#;

/// What somebody who wants to reach a file, a program or NGINX would write, and what breaks readers.
const HOSTILE: [&str; 50] = [
    "\"; include /etc/shadow; #\"",
    "\"web1;} server { listen 6666; root /; autoindex on; } #\"",
    "\"../../../etc/passwd\"",
    "\"/etc/cron.d/x\"",
    "\"$(id)\"",
    "\"`id`\"",
    "\"| id\"",
    "\"{{ 7 * 7 }}\"",
    "\"{% include '/etc/shadow' %}\"",
    "\"{candidate}\"",
    "\"a\\u0000b\"",
    "\"a\\nb\"",
    "\"a\\r\\nserver 6.6.6.6:80;\"",
    "\"\\u001b[2J\"",
    "\"\\ud800\"",
    "\"\u{202e}moc\"",
    "\"\"",
    "\" \"",
    "\"web1 \"",
    "\"-rf\"",
    "\"127.0.0.1:80\"",
    "\"[::1]:80\"",
    "\"0.0.0.0:80\"",
    "\"224.0.0.1:80\"",
    "\"169.254.169.254:80\"",
    "\"255.255.255.255:80\"",
    "\"[::ffff:127.0.0.1]:80\"",
    "\"[fe80::1]:80\"",
    "\"10.77.0.12:0\"",
    "\"10.77.0.12:65536\"",
    "\"10.77.0.12:22\"",
    "\"010.77.0.12:80\"",
    "\"0x0a4d000c:80\"",
    "\"unix:/run/docker.sock\"",
    "\"localhost:80\"",
    "\"10.77.0.12:80 backup\"",
    "0",
    "-1",
    "257",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e400",
    "0.5",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[]]]]]]]]",
    "{\"a\":{\"a\":{\"a\":{}}}}",
];

/// Half a hundred more, of the document as a whole: each takes this out and puts that in.
const WHOLE: [(&str, &str); 50] = [
    ("\"version\":1", "\"version\":2"),
    ("\"version\":1", "\"version\":0"),
    ("\"version\":1", "\"version\":-1"),
    ("\"version\":1", "\"version\":\"1\""),
    ("\"version\":1,", ""),
    ("\"version\":1", "\"version\":1,\"version\":1"),
    ("\"ask\":", "\"path\":\"/etc/shadow\",\"ask\":"),
    ("\"ask\":", "\"command\":[\"sh\"],\"ask\":"),
    ("\"ask\":", "\"ask\":\"check\",\"ask\":"),
    ("\"ask\":", "\"asks\":"),
    ("\"apply\"", "\"exec\""),
    ("\"apply\"", "\"Apply\""),
    ("\"apply\"", "\"rollback\""),
    ("\"apply\"", "\"report\""),
    ("\"configuration\":", "\"config\":"),
    ("\"configuration\":", "\"configuration\":null,\"configuration\":"),
    ("\"desired\":", "\"text\":\"server 6.6.6.6;\",\"desired\":"),
    ("\"desired\":", "\"desired\":null,\"desired\":"),
    ("\"order\":7", "\"order\":-7"),
    ("\"order\":7", "\"order\":7.5"),
    ("\"order\":7,", ""),
    ("\"order\":7", "\"order\":7,\"output\":\"/etc/passwd\""),
    ("\"web\":", "\"web;\":"),
    ("\"web\":", "\"../web\":"),
    ("\"web\":", "\"w\\u0000\":"),
    ("\"web\":", "\"\":"),
    ("\"web\":", "\"other\":"),
    ("\"web\":", "\"web\":\"placeholder\",\"web\":"),
    ("\"servers\":[", "\"servers\":[],\"servers\":["),
    ("\"servers\":", "\"placeholder\":"),
    ("\"servers\":", "\"Servers\":"),
    ("{\"servers\":", "{\"files\":[],\"servers\":"),
    ("\"member\":", "\"name\":"),
    ("\"addr\":", "\"host\":"),
    ("\"weight\":2,", ""),
    ("\"weight\":2", "\"weight\":2,\"weight\":3"),
    ("\"down\":false", "\"down\":0"),
    ("\"down\":false", "\"down\":\"false\""),
    ("\"backup\":false", "\"backup\":\"backup\""),
    ("\"max_conns\":0", "\"max_conns\":\"0; include /etc/shadow\""),
    ("\"max_conns\":0", "\"max_conns\":0,\"slow_start\":1"),
    ("\"members\":", "\"member\":"),
    ("\"status\":\"alive\"", "\"status\":\"Alive\""),
    ("\"status\":\"alive\"", "\"status\":\"alive\",\"tags\":{\"x\":\"y\"}"),
    ("\"name\":\"web1\"", "\"name\":\"web1\\n\""),
    ("\"promises\":[]", "\"promises\":{}"),
    ("\"promises\":[]", "\"promises\":[{}]"),
    ("\"holds\":{}", "\"holds\":[]"),
    ("\"holds\":{}", "\"holds\":{\"/\":{}}"),
    ("\"causes\":[]", "\"causes\":[{\"shell\":\"id\"}]"),
];

/// A host with a target, a template and programs that leave a trace.
struct Stage {
    dir: TempDir,
    apply: Apply,
    whole: String,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let program = format!("#!/bin/sh\necho ran >> {}\n", path("trace").display());
        fs::write(path("program"), program).unwrap();
        fs::set_permissions(path("program"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("web.conf"), "as it was\n").unwrap();
        fs::write(path("web.j2"), "{{ generation }}\n").unwrap();
        fs::create_dir(path("state")).unwrap();
        let shown = |name: &str| path(name).display().to_string();
        let text = format!(
            "node.name = \"lb1\"\n[upstream.web]\nselect = {{ role = \"web\" }}\nallow = [\"10.77.0.0/24\"]\n\
             server.port = {{ default = 80, min = 80, max = 8080 }}\nnginx.output = \"{}\"\n\
             [template.t]\nsource = \"{}\"\noutput = \"{}\"\nreload = [\"{}\"]\n",
            shown("web.conf"),
            shown("web.j2"),
            shown("web.txt"),
            shown("program")
        );
        fs::write(path("weir.toml"), text).unwrap();
        let sources = Sources { paths: vec![Source::File(path("weir.toml"))], ..Sources::default() };
        let mut config: Config = crate::config::load(&sources).unwrap_or_else(|errors| panic!("{errors}")).config;
        (config.apply.state, config.nginx.binary) = (path("state"), Automatic::Path(path("program")));
        let whole = format!(
            "{{\"version\":1,\"configuration\":\"{}\",\"ask\":{{\"apply\":{{\"desired\":{{\"version\":1,\"order\":7,\"upstreams\":\
             {{\"web\":{SERVERS}}},\"members\":{MEMBERS}}},\"causes\":[],\"promises\":[],\"holds\":{{}}}}}}}}",
            config.hash()
        );
        Self { apply: Apply::new(Options::from(&config)), dir, whole }
    }

    /// Every file with what is in it, and when it was written.
    fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        fn walk(path: &Path, files: &mut BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>) {
            for entry in fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
                let written = fs::metadata(&path).unwrap().modified().unwrap();
                if path.is_dir() {
                    walk(&path, files);
                }
                files.insert(path, (bytes, written));
            }
        }
        let mut files = BTreeMap::new();
        walk(self.dir.path(), &mut files);
        files
    }

    /// Whether it is refused, as who listens refuses it: before it is handled, or for what is in it.
    fn is_refused(&self, document: &[u8]) -> bool {
        let Ok(request) = Request::from_json(document) else { return true };
        let Ask::Apply(job) = &request.ask else { return false };
        if super::super::targets::check(&self.apply.options, &job.desired).is_ok() {
            return false; // it is one of ours, as far as anybody can tell
        }
        match self.apply.handle(&request.ask) {
            Body::Applied(Report::Refused { step: Step::Limits, .. }) => true,
            other => panic!("{other:?}\n{}", String::from_utf8_lossy(document)),
        }
    }
}

#[test]
fn a_refused_document_leads_to_no_write_and_to_no_program() {
    let stage = Stage::new();
    let before = stage.files();
    assert!(!stage.is_refused(stage.whole.as_bytes()), "the document that the others are made of is right");
    let mut refused = 0;
    for (part, instead) in WHOLE {
        assert!(stage.whole.contains(part), "{part}");
        let document = stage.whole.replacen(part, instead, 1);
        assert!(stage.is_refused(document.as_bytes()), "{document}");
        refused += 1;
    }
    // Each in place of the server's address, where none of them belongs.
    for hostile in HOSTILE {
        let document = stage.whole.replacen("\"10.77.0.12:80\"", hostile, 1);
        assert!(stage.is_refused(document.as_bytes()), "{document}");
        refused += 1;
    }
    assert_eq!((refused, stage.files()), (100, before));
}

#[test]
fn ten_thousand_drawn_documents_lead_to_no_write_and_to_no_program() {
    let stage = Stage::new();
    let before = stage.files();
    let mut random = StdRng::seed_from_u64(0x5eed);
    let mut refused = 0;
    while refused < DRAWN {
        let mut document = stage.whole.clone().into_bytes();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut document, &mut random);
        }
        refused += usize::from(stage.is_refused(&document));
    }
    assert_eq!(stage.files(), before);
}

/// One step away from what is right: a value exchanged, a piece doubled or gone, a byte changed, or cut off.
fn mutate(document: &mut Vec<u8>, random: &mut StdRng) {
    let len = document.len().max(1);
    let (at, to) = (random.random_range(0..len), random.random_range(0..len));
    let piece = at.min(to)..at.max(to).min(document.len());
    match random.random_range(0..5) {
        0 => {
            let hostile = HOSTILE[random.random_range(0..HOSTILE.len())];
            let values: Vec<usize> =
                document.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at + 1).collect();
            let Some(start) = values.get(random.random_range(0..values.len().max(1))) else { return };
            let end = document[*start..]
                .iter()
                .position(|byte| b",}]".contains(byte))
                .map_or(document.len(), |len| start + len);
            document.splice(*start..end, hostile.bytes());
        }
        1 => {
            let copy = document[piece.clone()].to_vec();
            document.splice(piece.start..piece.start, copy);
        }
        2 => drop(document.drain(piece)),
        3 => {
            if let Some(byte) = document.get_mut(at) {
                *byte = random.random();
            }
        }
        _ => document.truncate(at),
    }
}

#[test]
fn holds_are_kept_exactly_if_their_job_was_begun() {
    let stage = Stage::new();
    let held = |addr: &str, reason: &str| {
        let holds = format!("\"holds\":{{\"web\":{{\"since\":7,\"reason\":\"{reason}\"}}}}");
        stage.whole.replacen("10.77.0.12:80", addr, 1).replacen("\"holds\":{}", &holds, 1)
    };
    let holds = |document: String| {
        let request = Request::from_json(document.as_bytes()).unwrap();
        let Ask::Apply(job) = &request.ask else { panic!("{request:?}") };
        let report = stage.apply.carry_out(job);
        (report.was_begun(), kept::holds(&stage.apply.options.apply.state).unwrap() == job.holds)
    };
    assert_eq!(holds(held("10.77.0.12:80", "first")), (true, true));
    assert_eq!(holds(held("10.78.0.12:80", "second")), (false, false));
    assert_eq!(holds(held("10.77.0.12:80", "first")), (true, true));
}

#[test]
fn one_file_that_cannot_be_read_hides_nothing_else_and_counts_as_changed() {
    let stage = Stage::new();
    let state = || match stage.apply.handle(&Ask::Report { known: None }) {
        Body::State(state) => state.unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(!state().drifted);
    let records = stage.apply.options.apply.state.join("templates");
    fs::create_dir(&records).unwrap();
    fs::write(records.join("t.json"), "{}").unwrap();
    assert!(state().drifted, "the record of a template");
}

#[test]
fn an_apply_that_fails_tells_what_the_files_were_like_before() {
    let stage = Stage::new();
    let ask = Request::from_json(stage.whole.as_bytes()).unwrap().ask;
    let told = || match (stage.apply.handle(&ask), stage.apply.handle(&Ask::Report { known: None })) {
        (Body::Applied(report), Body::State(Ok(state))) => (report.notes().fingerprint, state.fingerprint),
        other => panic!("{other:?}"),
    };
    let (before, after) = told();
    assert_ne!(before, Some(after), "it has made the template's file");
    let (before, after) = told();
    assert_eq!(before, Some(after), "the program is no NGINX, and whatever it fails of is as it was");
    fs::write(stage.dir.path().join("web.conf"), "mended\n").unwrap();
    assert_ne!(told().0, before);
}
