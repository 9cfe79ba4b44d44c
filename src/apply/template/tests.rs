use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::apply::template::record::Record;
use crate::config::{Config, Source, Sources};
use crate::upstream::desired::Target;
use crate::upstream::{Server, Servers, UpstreamName, Weight};
use crate::wire::NodeName;

const SOURCE: &str = "# {{ generation }}\n{% for u in upstreams %}{% for s in u.servers %}{{ s.member }} {{ s.endpoint }}\n{% endfor %}{% endfor %}";

/// A directory with a template, programs that note that they were run, and a state directory.
struct Stage {
    dir: TempDir,
    options: Options,
}

impl Stage {
    fn new(source: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let user = format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid());
        fs::write(path("web.j2"), source).unwrap();
        fs::create_dir(path("state")).unwrap();
        for program in ["check", "reload"] {
            let log = path(&format!("{program}.log"));
            let text = format!(
                "#!/bin/sh\necho \"$@\" >> {log}\n[ ! -e {0} ] || {{ cat {0} >&2; exit 1; }}\n",
                path(&format!("no-{program}"))
            );
            fs::write(path(program), text).unwrap();
            fs::set_permissions(path(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = format!(
            "node.name = \"lb1\"\n[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nnginx.form = \"none\"\n\
             [template.web]\nsource = \"{}\"\noutput = \"{}\"\nowner = \"{user}\"\ncheck = [\"{}\", \"-f\", \"{{candidate}}\"]\nreload = [\"{}\"]\n{more}\n",
            path("web.j2"),
            path("web.txt"),
            path("check"),
            path("reload")
        );
        fs::write(path("weir.toml"), config).unwrap();
        let sources = Sources { paths: vec![Source::File(path("weir.toml").into())], ..Sources::default() };
        let mut config: Config = crate::config::load(&sources).unwrap_or_else(|errors| panic!("{errors}")).config;
        config.apply.state = path("state").into();
        Self { options: Options::from(&config), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn runs(&self, program: &str) -> usize {
        self.text(&format!("{program}.log")).lines().count()
    }

    /// How it ended; none if it was as it should be.
    fn follow(&self, desired: &Desired) -> Option<End> {
        let Outcome { mut followed, .. } = follow(&self.options, desired, Generation(0));
        assert!(followed.len() <= 1);
        followed.pop().map(|followed| followed.end)
    }

    fn is_clear(&self) -> bool {
        let record = Record::load(&self.options.apply.state, &self.options.templates[0].name).unwrap();
        record.open.is_none() && !self.path(".web.txt.weir-new").exists()
    }
}

fn web(members: &[u8]) -> Desired {
    let server = |n: &u8| Server {
        member: NodeName::new(&format!("web{n}")).unwrap(),
        addr: format!("127.0.0.{n}:80").parse().unwrap(),
        weight: Weight::ONE,
        down: false,
        backup: false,
        max_conns: 0,
    };
    let servers = Servers::new(members.iter().map(server).collect()).unwrap();
    let mut desired = Desired::new(7);
    desired.upstreams.insert(UpstreamName::new("web").unwrap(), Target::Servers(servers));
    desired
}

fn is_live(end: &Option<End>, number: u64) -> bool {
    matches!(end, Some(End::Live { generation, .. }) if *generation == Generation(number))
}

#[test]
fn a_file_without_a_record_stays_until_there_is_a_server() {
    let stage = Stage::new(SOURCE, "");
    fs::write(stage.path("web.txt"), "serves").unwrap();
    let mut nobody = Desired::new(7);
    assert_eq!(stage.follow(&nobody), None);
    nobody.upstreams.insert(UpstreamName::new("web").unwrap(), Target::Placeholder);
    assert_eq!(stage.follow(&nobody), None);
    assert_eq!((stage.text("web.txt"), stage.runs("reload")), ("serves".to_owned(), 0));
    assert!(is_live(&stage.follow(&web(&[1])), 1));
    assert!(is_live(&stage.follow(&nobody), 2));
    assert_eq!(stage.text("web.txt"), "# 2\n");
}

#[test]
fn a_file_follows_is_checked_before_and_taken_over_after() {
    let stage = Stage::new(SOURCE, "mode = \"0640\"");
    assert!(is_live(&stage.follow(&web(&[1, 2])), 1));
    assert_eq!(stage.text("web.txt"), "# 1\nweb1 127.0.0.1:80\nweb2 127.0.0.2:80\n");
    assert_eq!(fs::metadata(stage.path("web.txt")).unwrap().mode() & 0o7777, 0o640);
    let dot = stage.path(".web.txt.weir-new");
    assert_eq!(stage.text("check.log"), format!("-f {}\n", dot.display()));
    assert_eq!((stage.runs("reload"), stage.is_clear()), (1, true));
    assert_eq!(stage.follow(&web(&[1, 2])), None, "nobody is told of the same again");
    assert!(is_live(&stage.follow(&web(&[2])), 2));
    assert_eq!(stage.text("web.txt"), "# 2\nweb2 127.0.0.2:80\n");
    // What a document leaves out stays as it was, also for who starts anew.
    assert_eq!(stage.follow(&Desired::new(7)), None);
    let live = record::live(&stage.options.apply.state).unwrap().unwrap();
    assert_eq!(live.upstreams, web(&[2]).upstreams);
    // Another mode or another template makes another file.
    fs::set_permissions(stage.path("web.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(is_live(&stage.follow(&web(&[2])), 3));
    fs::write(stage.path("web.j2"), "fixed\n").unwrap();
    assert!(is_live(&stage.follow(&web(&[2])), 4));
    assert_eq!(stage.follow(&web(&[1])), None, "it names nobody");
    assert_eq!((stage.text("web.txt").as_str(), stage.runs("check"), stage.runs("reload")), ("fixed\n", 4, 4));
}

#[test]
fn the_number_is_at_least_nginxs() {
    let stage = Stage::new(SOURCE, "");
    for (generation, members, number) in [(7, [1], 7), (7, [2], 8), (12, [1], 12)] {
        let outcome = follow(&stage.options, &web(&members), Generation(generation));
        assert!(is_live(&outcome.followed.first().map(|followed| followed.end.clone()), number));
    }
}

#[test]
fn whatever_is_wrong_with_the_new_file_the_old_one_stays() {
    let stage = Stage::new(SOURCE, "");
    assert!(is_live(&stage.follow(&web(&[1])), 1));
    let source = stage.path("web.j2");
    let refused = |words: &str| {
        let end = stage.follow(&web(&[2]));
        let Some(End::Refused { error }) = end else { panic!("{end:?}") };
        assert_eq!(error.to_string().replace(&stage.dir.path().display().to_string(), ""), words);
        assert_eq!((stage.text("web.txt").as_str(), stage.runs("reload")), ("# 1\nweb1 127.0.0.1:80\n", 1));
        assert!(stage.is_clear());
    };
    fs::write(&source, "\n{{ servrs }}").unwrap();
    refused("template web: undefined variable 'servrs' in /web.j2:2; the old file stays");
    fs::write(&source, "{{ \"x\" }}").unwrap();
    refused(
        "template web: '\"x\"' prints something that is not weir's in /web.j2:1; write text of your own outside of {{ }}; \
         the old file stays",
    );
    fs::write(&source, b"\xff").unwrap();
    refused("template web: text that is not UTF-8 in /web.j2; the old file stays");
    fs::write(&source, "x".repeat(70_000)).unwrap();
    refused("cannot read /web.j2: more than 63 KiB; look at /web.j2");
    fs::remove_file(&source).unwrap();
    refused("cannot read /web.j2: no such file or directory; create /web.j2");
    fs::write(&source, SOURCE).unwrap();
    fs::write(stage.path("no-check"), "note: reading\n[ALERT] line 2: \x1b[2Jno such word\nError(s) found\n").unwrap();
    refused("template web: /check refuses the new file: [ALERT] line 2: \\x1b[2Jno such word; the old file stays");
    fs::remove_file(stage.path("no-check")).unwrap();
    assert!(is_live(&stage.follow(&web(&[2])), 2));
}

#[test]
fn a_file_that_is_not_taken_over_goes_back_and_its_reader_is_told() {
    let stage = Stage::new(SOURCE, "");
    fs::write(stage.path("web.txt"), "before weir\n").unwrap();
    fs::write(
        stage.path("reload"),
        format!(
            "#!/bin/sh\ncat {0} >> {1}\ngrep -q before {0}\n",
            stage.path("web.txt").display(),
            stage.path("seen").display()
        ),
    )
    .unwrap();
    let end = stage.follow(&web(&[1]));
    let Some(End::RolledBack { error }) = end else { panic!("{end:?}") };
    let said = error.to_string();
    assert!(said.ends_with("reload failed: it gave no reason; see to that, or correct template.web.reload"), "{said}");
    assert_eq!(stage.text("web.txt"), "before weir\n");
    assert_eq!(stage.text("seen"), "# 1\nweb1 127.0.0.1:80\nbefore weir\n");
    assert!(stage.is_clear());
    // Where there was none there is none again.
    fs::remove_file(stage.path("web.txt")).unwrap();
    fs::write(stage.path("no-reload"), "no reader\n").unwrap();
    fs::write(stage.path("reload"), format!("#!/bin/sh\ncat {} >&2; exit 1\n", stage.path("no-reload").display()))
        .unwrap();
    let end = stage.follow(&web(&[1]));
    let Some(End::Failed { error, then }) = end else { panic!("{end:?}") };
    assert!(error.to_string().contains("no reader") && then == error, "{then}");
    assert!(!stage.path("web.txt").exists() && stage.is_clear());
}

#[test]
fn what_somebody_else_wrote_is_kept_or_held() {
    let stage = Stage::new(SOURCE, "");
    fs::write(stage.path("web.txt"), "before weir\n").unwrap();
    let Outcome { foreign, .. } = follow(&stage.options, &web(&[1]), Generation(0));
    assert_eq!(fs::read_to_string(&foreign[0].copy).unwrap(), "before weir\n");
    assert!(foreign[0].first, "nobody has edited anything of weir's");
    fs::write(stage.path("web.txt"), "edited\n").unwrap();
    let mut hold = stage.options.clone();
    hold.apply.foreign_edit = ForeignEdit::Hold;
    let Outcome { followed, foreign } = follow(&hold, &web(&[1]), Generation(0));
    assert!(matches!(followed[0].end.error(), Some(Error::ForeignEdit { .. })) && foreign.is_empty(), "{followed:?}");
    assert_eq!(stage.text("web.txt"), "edited\n");
    let Outcome { followed, foreign } = follow(&stage.options, &web(&[1]), Generation(0));
    assert!(is_live(&Some(followed[0].end.clone()), 2));
    assert_eq!(fs::read_to_string(&foreign[0].copy).unwrap(), "edited\n");
    assert!(!foreign[0].first);
    assert_eq!(stage.text("web.txt"), "# 2\nweb1 127.0.0.1:80\n");
}

#[test]
fn programs_get_nothing_of_ours_and_no_more_than_their_time() {
    let stage = Stage::new(SOURCE, "timeout = \"200ms\"");
    fs::write(stage.path("check"), format!("#!/bin/sh\n{{ env; pwd; }} > {}\n", stage.path("env").display())).unwrap();
    assert!(is_live(&stage.follow(&web(&[1])), 1));
    let env = stage.text("env");
    assert!(
        env.lines().all(|line| ["PATH=", "LC_ALL=", "PWD=", "_=", "OLDPWD=", "SHLVL=", "/"]
            .iter()
            .any(|name| line.starts_with(name))),
        "{env}"
    );
    assert!(env.lines().any(|line| line == "/"), "{env}");
    fs::write(stage.path("check"), "#!/bin/sh\nsleep 60 & wait\n").unwrap();
    let end = stage.follow(&web(&[2]));
    assert!(
        matches!(&end, Some(End::Refused { error: Error::TemplateCheck { what, .. } }) if what.contains("did not end")),
        "{end:?}"
    );
    fs::remove_file(stage.path("check")).unwrap();
    let end = stage.follow(&web(&[2]));
    assert!(end.unwrap().error().unwrap().to_string().contains("there is no such program"));
    assert_eq!(stage.text("web.txt"), "# 1\nweb1 127.0.0.1:80\n");
}

/// The files as a run may leave them that died at each of its steps.
#[test]
fn a_run_that_died_is_ended_by_the_next() {
    let (old, new) = ("# 1\nweb1 127.0.0.1:80\n", "# 2\nweb2 127.0.0.2:80\n");
    for (target, beside, begun, then, reloads, copies) in [
        // written, not begun
        (old, Some(new), false, old, 0, 0),
        // begun, not exchanged
        (old, Some(new), true, old, 1, 0),
        // exchanged
        (new, Some(old), true, new, 1, 0),
        // confirmed and not recorded looks the same; going back and not recorded
        (old, Some(new), true, old, 1, 0),
        // going back, and cleared
        (old, None, true, old, 1, 0),
        // somebody edited before the exchange, or wrote over ours after it
        (new, Some("edited\n"), true, new, 1, 1),
        ("edited\n", Some(old), true, "edited\n", 1, 0),
    ] {
        let stage = Stage::new(SOURCE, "");
        assert!(is_live(&stage.follow(&web(&[1])), 1));
        let (state, name) = (&stage.options.apply.state, &stage.options.templates[0].name);
        let mut record = Record::load(state, name).unwrap();
        record.open = begun.then(|| Known { hash: Digest::of(new.as_bytes()), turn: Generation(2) });
        record.save(state, name).unwrap();
        fs::write(stage.path("web.txt"), target).unwrap();
        if let Some(beside) = beside {
            fs::write(stage.path(".web.txt.weir-new"), beside).unwrap();
        }
        assert_eq!(is_open(&stage.options).unwrap(), begun);
        let Outcome { followed, foreign } = recover(&stage.options);
        assert_eq!(followed, []);
        assert_eq!((stage.text("web.txt").as_str(), stage.runs("reload") - 1, foreign.len()), (then, reloads, copies));
        assert!(stage.is_clear());
        // And the next goes on from there.
        stage.follow(&web(&[3]));
        assert!(stage.text("web.txt").ends_with("web3 127.0.0.3:80\n"));
    }
}

#[test]
fn a_link_that_a_dead_run_has_displaced_goes_back_and_is_named_until_it_is_gone() {
    let stage = Stage::new(SOURCE, "");
    assert!(is_live(&stage.follow(&web(&[1])), 1));
    let (state, name) = (&stage.options.apply.state, &stage.options.templates[0].name);
    let mut record = Record::load(state, name).unwrap();
    record.open = Some(Known { hash: Digest::of(b"new\n"), turn: Generation(2) });
    record.save(state, name).unwrap();
    fs::write(stage.path("web.txt"), "new\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", stage.path(".web.txt.weir-new")).unwrap();
    assert_eq!(recover(&stage.options).followed, []);
    assert_eq!(fs::read_link(stage.path("web.txt")).unwrap(), Path::new("/etc/hostname"));
    let outcome = stage.follow(&web(&[2]));
    let is_named = |error: &Error| matches!(error, Error::Read { path, .. } if *path == stage.path("web.txt"));
    assert!(matches!(&outcome, Some(End::Refused { error }) if is_named(error)), "{outcome:?}");
    fs::remove_file(stage.path("web.txt")).unwrap();
    assert!(is_live(&stage.follow(&web(&[2])), 2));
    assert!(stage.is_clear());
}

#[test]
fn a_died_run_whose_file_is_not_taken_over_is_taken_back() {
    let stage = Stage::new(SOURCE, "");
    assert!(is_live(&stage.follow(&web(&[1])), 1));
    let (state, name) = (&stage.options.apply.state, &stage.options.templates[0].name);
    let mut record = Record::load(state, name).unwrap();
    record.open = Some(Known { hash: Digest::of(b"new\n"), turn: Generation(2) });
    record.save(state, name).unwrap();
    fs::rename(stage.path("web.txt"), stage.path(".web.txt.weir-new")).unwrap();
    fs::write(stage.path("web.txt"), "new\n").unwrap();
    fs::write(stage.path("reload"), format!("#!/bin/sh\ngrep -q web1 {}\n", stage.path("web.txt").display())).unwrap();
    let Outcome { followed, .. } = recover(&stage.options);
    assert!(matches!(followed[0].end, End::RolledBack { .. }), "{followed:?}");
    assert_eq!(stage.text("web.txt"), "# 1\nweb1 127.0.0.1:80\n");
    assert!(stage.is_clear());
}

#[test]
fn a_document_outside_of_its_limits_moves_nothing() {
    let stage = Stage::new(SOURCE, "");
    let mut desired = web(&[1]);
    let mut options = stage.options.clone();
    options.upstreams[0].options.allow.loopback = false;
    assert!(matches!(check(&options, &desired), Err(Error::Address { .. })));
    assert!(follow(&options, &desired, Generation(0)).followed.is_empty());
    desired.upstreams.insert(UpstreamName::new("other").unwrap(), Target::Placeholder);
    assert!(matches!(check(&stage.options, &desired), Err(Error::NotConfigured { .. })));
    assert!(follow(&stage.options, &desired, Generation(0)).followed.is_empty());
    assert!(!stage.path("web.txt").exists() && !stage.path("state/templates").exists());
}

#[test]
fn root_trusts_no_template_and_no_program_that_others_can_write() {
    if !is_root() {
        return println!("SKIPPED: what root trusts is asked of root alone");
    }
    let stage = Stage::new(SOURCE, "");
    let refused = |name: &str| {
        let path = stage.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let end = stage.follow(&web(&[1]));
        assert!(
            matches!(&end, Some(End::Refused { error: Error::Writable { path: named, .. } }) if *named == path),
            "{end:?}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    refused("web.j2");
    refused("check");
    refused("reload");
    refused("");
    assert!(!stage.path("web.txt").exists());
    assert!(is_live(&stage.follow(&web(&[1])), 1));
}
