//! Configuration files as an operator writes them, wrong and right, against the text that comes out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir::config::show::{self, Show};
use weir::config::{
    Advertise, BindAddress, BindHost, Command, Config, ConfigErrors, Leave, Loaded, Mode, Overrides, Seal,
    SecretSource, Setting, Source, Sources, When, convert, load, reload, schema,
};
use weir::handlers::filter::{EventFilter, EventKind};

/// A directory of configuration files that disappears with the test.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_ = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = files_.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        files_
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self, name: &str) -> Source {
        Source::File(self.path(name))
    }

    /// `text` with this directory called `/etc/weir`.
    fn neutral(&self, text: &str) -> String {
        text.replace(&self.0.path().display().to_string(), "/etc/weir")
    }
}

fn sources(paths: Vec<Source>) -> Sources {
    Sources { paths, host_name: "lb1.example.org".to_owned(), ..Sources::default() }
}

/// Loads one TOML file.
fn toml(text: &str) -> Result<Loaded, ConfigErrors> {
    let files = Files::new(&[("weir.toml", text)]);
    load(&sources(vec![files.source("weir.toml")]))
}

/// What a command line with these flags says.
fn overrides(given: &[(&str, &str)]) -> Overrides {
    let mut overrides = Overrides::default();
    given.iter().for_each(|(name, text)| overrides.give(name, text).unwrap());
    overrides
}

fn flags(given: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load(&Sources { overrides: overrides(given), ..sources(vec![]) })
}

/// What `config check` prints of mistakes.
fn failed(errors: &ConfigErrors) -> String {
    format!("{errors}\n")
}

/// What `config check` and `config show --changed --origin` print.
fn report(result: Result<Loaded, ConfigErrors>) -> String {
    match result {
        Err(errors) => failed(&errors),
        Ok(loaded) => {
            let mut text = show::check(&loaded);
            loaded.notices.iter().for_each(|notice| text.push_str(&format!("{notice}\n")));
            text + "\n" + &Show { origin: true, changed: true }.text(&loaded.config)
        }
    }
}

/// Compares with the golden file `path`, which `WEIR_GOLDEN=write` makes anew.
fn golden(path: &Path, text: &str) {
    if std::env::var_os("WEIR_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; WEIR_GOLDEN=write makes it anew", path.display());
}

#[test]
fn messages_are_those_of_the_golden_files() {
    let root = Path::new("tests/golden/config");
    let mut cases = 0;
    for case in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let toml = case.join("weir.toml");
        let source = if toml.exists() { Source::File(toml) } else { Source::Dir(case.clone()) };
        let text = report(load(&sources(vec![source])));
        golden(&case.join("expected.txt"), &text.replace(&case.display().to_string(), "/etc/weir"));
        cases += 1;
    }
    assert!(cases >= 8, "{cases}");
}

#[test]
fn the_mistakes_of_the_manual_read_as_there() {
    let weir = "[upstream.web]
select = { role = \"web\" }

[upstream.api]
select = { role = \"api\" }
nginx.method = \"hash\"

[upstream.web.server]
wieght = 1

[upstream.api.server]
port = 8080

[apply]
max_delay = 500
";
    let api = "# spare servers\n[upstream.api.server]\nbackup = true\n";
    let files = Files::new(&[("weir.toml", weir), ("weir.d/api.toml", api)]);
    let errors = load(&sources(vec![files.source("weir.toml")])).unwrap_err();
    let expected = "\
/etc/weir/weir.toml:9:1: unknown key 'upstream.web.server.wieght'; did you mean 'weight'?
/etc/weir/weir.toml:15:13: apply.max_delay = 500 is a number; write a duration with its unit, \"500ms\"
/etc/weir/weir.d/api.toml:3:1: upstream.api.server.backup cannot be used with upstream.api.nginx.method = \"hash\" (NGINX refuses it); remove one
error: 3 mistakes in 2 files
";
    assert_eq!(files.neutral(&failed(&errors)), expected);
}

#[test]
fn the_example_shows_every_key_at_its_default() {
    let example = show::example();
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
            _ => line,
        })
        .map(|line| line.to_owned() + "\n")
        .collect();
    let files = Files::new(&[("weir.toml", &uncommented)]);
    let config = load(&sources(vec![files.source("weir.toml")])).unwrap_or_else(|errors| panic!("{errors}")).config;
    for setting in config.settings() {
        assert!(setting.origin.to_string().contains("weir.toml:"), "{} is not in the example", setting.key());
        let host_name = setting.key() == "node.name";
        if let Some(default) = setting.default.as_ref().filter(|_| !host_name) {
            assert_eq!(&setting.value, default, "{}", setting.key());
        }
    }
    let as_shipped = toml(example).unwrap().config;
    let changed = Show { origin: false, changed: true }.text(&as_shipped);
    assert_eq!(changed, "[node]\nname = \"\"\n", "active lines are at their defaults");
}

#[test]
fn every_line_of_the_example_is_explained() {
    let mut explained = false;
    for line in show::example().lines() {
        let is_key = line.trim_start_matches('#').starts_with(|c: char| c.is_ascii_lowercase());
        match line {
            "" => explained = false,
            _ if line.starts_with("# ") => explained = true,
            _ if is_key => assert!(explained, "no sentence above: {line}"),
            _ => {} // a header keeps what is said above it
        }
        if is_key && !line.contains("role") {
            explained = false;
        }
    }
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = toml("").unwrap().config;
    assert_eq!(config.mode, Mode::Weir);
    assert_eq!(config.node.name.as_str(), "lb1", "host name up to the first dot");
    assert_eq!(config.gossip.bind, BindAddress { host: BindHost::Address([0, 0, 0, 0].into()), port: 7946 });
    assert_eq!(config.gossip.advertise, Advertise::Auto);
    assert_eq!(config.encryption.keyring, Some(SecretSource::File("/var/lib/weir/keyring.json".into())));
    assert_eq!(config.encryption.seal, Seal::Auto);
    assert_eq!(config.rpc.socket, Some("/run/weir/rpc.sock".into()));
    assert_eq!(config.rpc.listen, None);
    assert!(config.leave.on_interrupt && config.leave.on_terminate && config.snapshot.rejoin_after_leave);
}

#[test]
fn a_profile_sets_the_timings_that_are_not_given() {
    let config = toml("gossip = { profile = \"wan\", probe_interval = \"4s\", retransmit_mult = 5 }").unwrap().config;
    let swim = config.endpoint("10.0.0.1:7946".parse().unwrap()).swim;
    assert_eq!((swim.probe_interval, swim.probe_timeout), (Duration::from_secs(4), Duration::from_secs(3)));
    assert_eq!((swim.gossip_nodes, swim.retransmit_mult), (4, 5));
    assert_eq!(swim.gossip_to_the_dead, Duration::from_secs(60), "what has no key follows the profile too");
}

#[test]
fn serf_flags_alone_mean_serfs_defaults() {
    let loaded = flags(&[("node", "n1")]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.mode, Mode::Serf);
    assert_eq!(config.rpc.listen, Some("127.0.0.1:7373".parse().unwrap()));
    assert_eq!(config.rpc.socket, None);
    assert_eq!(config.snapshot.path, None);
    assert!(!config.snapshot.rejoin_after_leave);
    assert_eq!((config.encryption.keyring.clone(), config.encryption.seal), (None, Seal::Off));
    assert!(config.leave.on_interrupt && !config.leave.on_terminate);
    assert_eq!(config.gossip.advertise, Advertise::FirstPrivate);
    assert_eq!(loaded.notices.len(), 1, "plain text is warned about");
    let named = load(&Sources { serf: true, ..sources(vec![]) }).unwrap().config;
    assert_eq!(
        (named.mode, named.node.name.as_str()),
        (Mode::Serf, "lb1.example.org"),
        "Serf takes the whole host name"
    );
}

#[test]
fn names_are_serfs_in_its_mode_and_its_files_alone() {
    let [long, longest] = [140, 512].map(|bytes| "x".repeat(bytes));
    for name in ["web 1", "café-ü", "a/b", &long, &longest] {
        let json = format!("{{\"node_name\": \"{name}\"}}");
        let files = Files::new(&[("serf.json", &json), ("weir.toml", ""), ("last.toml", "node.name = \"web 2\"")]);
        let load_files = |names: &[&str]| load(&sources(names.iter().map(|name| files.source(name)).collect()));
        for taken in [flags(&[("node", name)]), load_files(&["serf.json"]), load_files(&["serf.json", "weir.toml"])] {
            let loaded = taken.unwrap();
            assert_eq!(loaded.config.node.name.as_str(), name);
            let warned = loaded.notices.iter().filter(|notice| notice.trouble.what.contains(name)).count();
            assert_eq!(warned, 1, "{:?}", loaded.notices);
        }
        let overrides = overrides(&[("node", name)]);
        for refused in [
            toml(&format!("node.name = \"{name}\"")),
            load(&Sources { overrides, ..sources(vec![files.source("weir.toml")]) }),
            load_files(&["serf.json", "last.toml"]),
        ] {
            let errors = refused.unwrap_err().to_string();
            assert!(errors.contains("is not a name; 1 to 128 of A-Z a-z 0-9 . _ - are accepted"), "{errors}");
        }
        // What comes out is TOML.
        convert("serf.json", &json).unwrap_err();
    }
    let refused = flags(&[("node", &"x".repeat(513))]).unwrap_err().to_string();
    assert!(refused.contains("is not a name; 1 to 512 bytes are accepted"), "{refused}");
    assert!(flags(&[("node", "web-1")]).unwrap().notices.iter().all(|notice| !notice.trouble.what.contains("web-1")));
}

#[test]
fn any_toml_file_means_our_defaults() {
    let files = Files::new(&[("weir.toml", ""), ("serf.json", "{\"node_name\": \"n1\"}")]);
    let paths = vec![files.source("serf.json"), files.source("weir.toml")];
    let overrides = overrides(&[("bind", "127.0.0.1")]);
    let config = load(&Sources { overrides, serf: true, ..sources(paths) }).unwrap().config;
    assert_eq!((config.mode, config.node.name.as_str()), (Mode::Weir, "n1"));
    assert!(config.rpc.socket.is_some() && config.encryption.keyring.is_some());
}

#[test]
fn nothing_at_all_means_our_defaults() {
    let config = load(&sources(vec![])).unwrap().config;
    assert_eq!(config.mode, Mode::Weir, "the agent then says that there is no keyring, and how to make one");
}

#[test]
fn flags_beat_environment_beats_files() {
    let files = Files::new(&[(
        "weir.toml",
        "node = { name = \"file\", tags = { a = 1, b = 1, c = 1 } }\ngossip.join = [\"x\"]\nlog.level = \"warn\"",
    )]);
    let environment = [
        ("WEIR_NODE_NAME", "env"),
        ("WEIR_TAGS", "b=2, c=2"),
        ("WEIR_JOIN", "y,z:8000"),
        ("WEIR_BIND", "127.0.0.2:7000"),
        ("WEIR_ADVERTISE", "127.0.0.3"),
        ("WEIR_KEYRING", "credential:key"),
        ("WEIR_LOG_LEVEL", "info,serf=trace"),
        ("WEIR_NODENAME", "?"),
        ("WEIR_TAG_ROLE", "a handler's"),
        ("PATH", "/bin"),
    ];
    let all = Sources {
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        overrides: overrides(&[("tag", "c=3"), ("tag", "d=e=f"), ("join", "w"), ("log-level", "DEBUG")]),
        ..sources(vec![files.source("weir.toml")])
    };
    let loaded = load(&all).unwrap();
    let config = &loaded.config;
    assert_eq!(config.node.name.as_str(), "env");
    let tags: Vec<String> = config.node.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(tags, ["a=1", "b=2", "c=3", "d=e=f"]);
    let join: Vec<String> = config.gossip.join.iter().map(ToString::to_string).collect();
    assert_eq!(join, ["w:7946"], "with TOML a list is replaced whole");
    assert_eq!(config.gossip.bind.to_string(), "127.0.0.2:7000");
    assert_eq!(config.encryption.keyring, Some(SecretSource::Credential("key".to_owned())));
    assert_eq!(config.log.level.directives(), "debug");
    let notices: Vec<String> = loaded.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices, ["WEIR_NODENAME: is no variable of weir's; did you mean WEIR_NODE_NAME?"]);
}

/// Serf keeps the last one without a word. What an earlier one says is not judged.
#[test]
fn of_two_values_of_one_key_it_is_told_which_counts() {
    const KEYS: [&str; 2] = ["AAECAwQFBgcICQoLDA0ODw==", "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs="];
    let told = |files: &Files, sources: &Sources| {
        let loaded = load(sources).unwrap_or_else(|errors| panic!("{errors}"));
        let notices = loaded.notices.iter().map(|notice| files.neutral(&notice.to_string()));
        let role = loaded.config.node.tags.get("role").cloned().unwrap_or_default();
        (role, notices.filter(|notice| notice.contains(" given twice")).collect::<Vec<_>>())
    };
    let (none, toml_file) = (Files::new(&[]), Files::new(&[("weir.toml", "node.tags.role = \"file\"")]));
    let environment = vec![("WEIR_TAGS".to_owned(), "role=web,zone=a,role=db,zone=a".to_owned())];
    assert_eq!(
        told(&none, &Sources { environment, ..sources(vec![toml_file.source("weir.toml")]) }),
        (
            "db".to_owned(),
            vec!["WEIR_TAGS: node.tags.role is given twice: \"db\" counts, \"web\" does not; remove one".to_owned()]
        ),
        "one source over another is no mistake"
    );

    let flags = [
        ("tag", "role=web"),
        ("tag", "role=db"),
        ("bind", "nonsense"),
        ("bind", "127.0.0.1"),
        ("encrypt", KEYS[0]),
        ("encrypt", KEYS[1]),
        ("rejoin", "true"),
        ("rejoin", "true"),
    ];
    assert_eq!(
        told(&none, &Sources { overrides: overrides(&flags), ..sources(vec![]) }),
        (
            "db".to_owned(),
            vec![
                "--bind: --bind is given twice: \"127.0.0.1\" counts, \"nonsense\" does not; remove one".to_owned(),
                "--encrypt: --encrypt is given twice: the last one counts; remove one".to_owned(),
                "--tag: node.tags.role is given twice: \"db\" counts, \"web\" does not; remove one".to_owned(),
            ]
        )
    );

    let json = format!(
        "{{\"tags\": {{\"role\": \"web\",\n\"role\": \"db\"}},\n\"log_level\": \"LOUD\", \"log_level\": \"INFO\",\n\
         \"Encrypt_Key\": \"{}\", \"Encrypt_Key\": \"{}\"}}",
        KEYS[0], KEYS[1]
    );
    let files = Files::new(&[("serf.json", &json)]);
    let wanted = [
        "/etc/weir/serf.json:2:1: tags.role is given twice: \"db\" counts, \"web\" at /etc/weir/serf.json:1:11 does not; remove one",
        "/etc/weir/serf.json:3:22: log_level is given twice: \"INFO\" counts, \"LOUD\" at /etc/weir/serf.json:3:1 does not; remove one",
        "/etc/weir/serf.json:4:44: Encrypt_Key is given twice: the last one counts; remove one",
    ];
    let (role, mut notices) = told(&files, &sources(vec![files.source("serf.json")]));
    notices.sort();
    assert_eq!((role.as_str(), notices.iter().map(String::as_str).collect::<Vec<_>>()), ("db", wanted.to_vec()));
    let converted = convert("serf.json", &json).unwrap();
    let count = converted.notices.iter().filter(|notice| notice.trouble.what.contains(" given twice")).count();
    assert_eq!(count, 3, "{:?}", converted.notices);

    // The role wins over tags, whichever comes first.
    let json = "{\"role\": \"web\",\n\"tags\": {\"role\": \"db\"}}";
    let files = Files::new(&[("serf.json", json)]);
    let says = "node.tags.role is given twice: \"web\" counts, \"db\" at";
    let wanted = |text: &str| ("web".to_owned(), vec![text.to_owned()]);
    assert_eq!(
        told(&files, &sources(vec![files.source("serf.json")])),
        wanted(&format!("/etc/weir/serf.json:1:2: {says} /etc/weir/serf.json:2:10 does not; remove one"))
    );
    let overrides = overrides(&[("role", "web"), ("tag", "role=db")]);
    let of_flags = told(&none, &Sources { overrides, ..sources(vec![]) });
    assert_eq!(of_flags, wanted(&format!("--role: {says} --tag does not; remove one")));

    let twice = toml("[node.tags]\nrole = \"web\"\nrole = \"db\"\n").unwrap_err().to_string();
    assert!(twice.contains(":3:1: not TOML: 'role' is written twice; keep one"), "{twice}");
}

#[test]
fn serf_lists_are_appended_and_empty_values_do_not_override() {
    let files = Files::new(&[
        (
            "a.json",
            "{\"start_join\": [\"a\"], \"rejoin_after_leave\": true, \"retry_max_attempts\": 3, \"snapshot_path\": \"/s\"}",
        ),
        (
            "b.json",
            "{\"retry_join\": [\"b\"], \"rejoin_after_leave\": false, \"retry_max_attempts\": 0, \"snapshot_path\": \"\"}",
        ),
    ]);
    let overrides = overrides(&[("retry-join", "c")]);
    let config =
        load(&Sources { overrides, ..sources(vec![files.source("a.json"), files.source("b.json")]) }).unwrap().config;
    let join: Vec<&str> = config.gossip.join.iter().map(|address| address.host.as_str()).collect();
    assert_eq!(join, ["a", "b", "c"]);
    assert!(config.snapshot.rejoin_after_leave);
    assert_eq!((config.gossip.join_retry_max, config.snapshot.path), (4, Some("/s".into())));
}

#[test]
fn in_serf_mode_a_failed_join_is_final_unless_retries_are_asked_for() {
    let tries = |given: &[(&str, &str)]| flags(given).unwrap().config.gossip.join_retry_max;
    let (join, retry_join, retry_max) = (("join", "a"), ("retry-join", "b"), ("retry-max", "5"));
    assert_eq!(tries(&[join]), 1);
    assert_eq!(tries(&[join, retry_join]), 0);
    assert_eq!(tries(&[join, retry_max]), 1);
    assert_eq!(tries(&[join, retry_join, retry_max]), 6, "Serf counts those after the first");
    let files = Files::new(&[("weir.toml", "")]);
    let ours =
        load(&Sources { overrides: overrides(&[join]), ..sources(vec![files.source("weir.toml")]) }).unwrap().config;
    assert_eq!(ours.gossip.join_retry_max, 0, "ours goes on trying");
}

#[test]
fn handlers_of_serf_are_split_at_the_first_equals_sign() {
    let specs = ["user:deploy,query=a.sh x=1", "=b.sh", "c.sh"];
    let handlers = flags(&specs.map(|spec| ("event-handler", spec))).unwrap().config.handlers;
    let shells: Vec<Command> = ["a.sh x=1", "b.sh", "c.sh"].map(|line| Command::Shell(line.to_owned())).into();
    assert_eq!(handlers.iter().map(|handler| handler.command.clone()).collect::<Vec<_>>(), shells);
    assert_eq!(handlers[0].on, [EventFilter::User("deploy".to_owned()), EventFilter::Kind(EventKind::Query)]);
    assert_eq!(handlers[2].on, [EventFilter::All]);
}

#[test]
fn flags_are_checked_like_files_and_named_as_typed() {
    let given = [
        ("bind", "nowhere at all"),
        ("tag", "novalue"),
        ("retry-interval", "5x"),
        ("profile", "moon"),
        ("protocol", "9"),
        ("encrypt", "c2hvcnQ="),
        ("keyring-file", "k.json"),
        ("event-handler", "FOO=1 ./x.sh"),
    ];
    let expected = "\
--bind: gossip.bind = \"nowhere at all\" is not an address; write an address or interface with its port, \"0.0.0.0:7946\" or \"eth1:7946\"
--encrypt: key must be 16, 24 or 32 bytes in base64, this one has 5; 'weir keygen' makes one
--encrypt: a key in the clear cannot be used with encryption.keyring; remove one
--event-handler: handler.serf-1.on = \"FOO\" is not an event; one of *, member-join, member-leave, member-failed, member-update, member-reap, user, query, user:NAME, query:NAME is accepted
--profile: gossip.profile = \"moon\" is unknown; one of lan, wan, local is accepted
--protocol: --protocol = 9 is not a protocol version; 2 to 5 is accepted
--retry-interval: --retry-interval = \"5x\" is not a duration; write \"200ms\", \"30s\" or \"1m30s\"
--tag: 'novalue' is not a tag; write NAME=VALUE
error: 8 mistakes in the command line";
    assert_eq!(flags(&given).unwrap_err().to_string(), expected);
    assert!(Overrides::default().give("protocol", "x").is_err() && Overrides::default().give("bogus", "x").is_err());
}

#[test]
fn secrets_in_the_clear_stay_in_memory_and_out_of_every_output() {
    let key = "T9jncgl9mbLus+baTTa7q7nPSUrXwbDi2dhbtqir37s=";
    let files = Files::new(&[("x.json", &format!("{{\"encrypt_key\": \"{key}\", \"rpc_auth\": \"{key}\"}}"))]);
    let loaded = load(&sources(vec![files.source("x.json")])).unwrap();
    assert!(
        matches!(&loaded.config.encryption.keyring, Some(SecretSource::Inline(inline)) if *inline.to_base64() == *key)
    );
    assert!(matches!(&loaded.config.rpc.token, Some(SecretSource::Inline(token)) if token.expose() == key));
    let show = Show { origin: true, changed: false };
    let texts = [
        format!("{loaded:?}"),
        show.text(&loaded.config),
        show.json(&loaded.config).to_string(),
        report(Ok(loaded)),
        convert("x.json", &fs::read_to_string(files.path("x.json")).unwrap()).map(|done| format!("{done:?}")).unwrap(),
    ];
    for text in &texts {
        assert!(!text.contains("T9jncgl9"), "{text}");
        assert!(text.contains("hidden") || text.contains("visible") || text.contains("not taken over"), "{text}");
    }
    for wrong in ["{\"encrypt_key\": 12345678}", "{\"rpc_auth\": [\"12345678\"]}"] {
        let files = Files::new(&[("x.json", wrong)]);
        let text = load(&sources(vec![files.source("x.json")])).unwrap_err().to_string();
        assert!(!text.contains("12345678"), "{text}");
    }
}

#[test]
fn a_port_off_loopback_needs_a_token_in_serf_mode_too() {
    let open = |auth: Option<&str>| {
        let token = auth.map(|token| ("rpc-auth", token));
        flags(&[("rpc-addr", "10.0.0.1:7373")].into_iter().chain(token).collect::<Vec<_>>())
    };
    assert!(open(Some("token")).is_ok());
    let expected = "--rpc-addr: rpc.listen = \"10.0.0.1:7373\" can be reached from elsewhere; set rpc.token_file, or listen on 127.0.0.1";
    assert_eq!(open(None).unwrap_err().mistakes()[0].to_string(), expected);
}

/// Nothing in it would be a snapshot's, and it would be put aside.
#[test]
fn the_keyring_is_no_place_for_the_snapshot() {
    let said = report(toml("encryption.keyring = \"/srv/ring\"\nsnapshot.path = \"/srv/ring\""));
    assert!(said.contains("2:10: snapshot.path is the keyring's as well; name another file"), "{said}");
}

#[test]
fn tags_that_do_not_fit_are_refused_with_the_longest_named() {
    let tags = |len: usize| format!("[node.tags]\nrole = \"web\"\ndescription = \"{}\"\n", "x".repeat(len));
    // Type byte, map header, role and web with a byte each, description with one and its value with three.
    let room = 512 - 81 - (2 + 5 + 4 + 12 + 3);
    assert_eq!(toml(&tags(room)).unwrap().config.node.tag_bytes(), 512 - 81);
    let text = toml(&tags(room + 1)).unwrap_err().mistakes()[0].trouble.to_string();
    let expected = "tags need 513 bytes with the 81 that weir keeps for its own, 512 fit in gossip; shorten 'description' (406 bytes)";
    assert_eq!(text, expected);
    let long = |len: usize| flags(&[("tag", &format!("a={}", "x".repeat(len)))]);
    assert_eq!(long(505).unwrap().config.node.tag_bytes(), 512, "Serf has no tags of its own");
    assert!(long(506).is_err());
}

#[test]
fn more_upstreams_than_one_document_holds_are_refused() {
    let upstreams = |count: usize| -> String {
        (0..count).map(|n| format!("[upstream.u{n}]\nselect = {{ role = \"web\" }}\n")).collect()
    };
    assert!(toml(&upstreams(256)).is_ok());
    let said = report(toml(&upstreams(257)));
    assert!(said.contains("upstream.u256 is one too many, the limit is 256; remove one"), "{said}");
    let template = |n| format!("[template.t{n}]\nsource = \"/etc/weir/t.j2\"\noutput = \"/etc/t{n}\"\n");
    let templates = |count: usize| (0..count).map(template).collect::<String>();
    assert!(toml(&templates(64)).is_ok());
    let said = report(toml(&templates(65)));
    assert!(said.contains("template.t64 is one too many, the limit is 64; "), "{said}");
}

/// The `fail_timeout` of the first upstream, and its default.
fn fail_timeout(config: &Config) -> (u32, String) {
    let block = &config.upstreams[0].file.as_ref().unwrap().block;
    let setting = config.settings().iter().find(|setting| setting.name == "fail_timeout").unwrap();
    assert_eq!(setting.value, format!("{}s", block.fail_timeout));
    (block.fail_timeout, setting.default.as_ref().and_then(|default| default.as_str()).unwrap().to_owned())
}

#[test]
fn nginx_forgets_soon_what_a_server_failed_where_a_probe_finds_it_down_soon() {
    let with = |lines: &str| toml(&format!("[upstream.web]\nselect = {{ role = \"web\" }}\n{lines}")).unwrap().config;
    for (lines, default) in [
        ("", 10),
        ("probe = { http = \"/\" }", 2),
        ("probe = { tcp = true }", 2),
        ("probe = { http = \"/\", interval = \"1s\" }", 2),
        ("probe = { http = \"/\", interval = \"1001ms\" }", 10),
        ("probe = { http = \"/\", interval = \"2s\", fall = 1 }", 2),
        ("probe = { http = \"/\", interval = \"2001ms\", fall = 1 }", 10),
        ("probe = { http = \"/\", interval = \"100ms\", fall = 20 }", 2),
        ("probe = { http = \"/\", interval = \"100ms\", fall = 21 }", 10),
        ("probe = { http = \"/\", interval = \"1h\", fall = 100 }", 10),
    ] {
        let said = format!("{default}s");
        assert_eq!(fail_timeout(&with(lines)), (default, said.clone()), "{lines}");
        // What is written counts, also what would be the default elsewhere.
        for seconds in [1, 2, 10, 30] {
            let written = with(&format!("server.fail_timeout = \"{seconds}s\"\n{lines}"));
            assert_eq!(fail_timeout(&written), (seconds, said.clone()), "{lines}");
        }
    }
}

#[test]
fn a_probe_that_comes_or_goes_changes_the_fail_timeout_and_says_so() {
    let with = |more: &str| toml(&format!("[upstream.web]\nselect = {{ role = \"web\" }}\n{more}")).unwrap().config;
    let (without, probed) = (with(""), with("probe = { http = \"/\" }"));
    let told = |before, after| -> Vec<_> {
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let changes = reload::diff(before, after).into_iter();
        let changes = changes.filter(|change| change.key.ends_with(".fail_timeout"));
        changes.map(|change| [change.key, shown(change.before), shown(change.after), change.when.to_string()]).collect()
    };
    let key = "upstream.web.server.fail_timeout";
    assert_eq!(told(&without, &probed), [[key, "\"10s\"", "\"2s\"", "live"]]);
    assert_eq!(told(&probed, &without), [[key, "\"2s\"", "\"10s\"", "live"]]);
    assert_ne!(without.hash(), probed.hash());
    let text = Show { origin: false, changed: true }.text(&probed);
    assert!(!text.contains("fail_timeout"), "{text}");
    assert_eq!(reload::diff(&probed, &toml(&Show::default().text(&probed)).unwrap().config), []);
}

#[test]
fn files_that_cannot_be_read_are_mistakes_too() {
    let files = Files::new(&[("weir.d/a.toml", "[log]\nlevle = \"info\"\n")]);
    fs::write(files.path("weir.d/b.toml"), b"\n# \xff\n").unwrap();
    let text =
        load(&sources(vec![files.source("weir.toml"), Source::Dir(files.path("none"))])).unwrap_err().to_string();
    let expected = "\
/etc/weir/weir.toml: cannot be read: no such file or directory; write it ('weir config example' shows every key), or correct the path
/etc/weir/weir.d/a.toml:2:1: unknown key 'log.levle'; did you mean 'level'?
/etc/weir/weir.d/b.toml:2:3: not UTF-8 text
/etc/weir/none: cannot be read: no such file or directory; correct the path
error: 4 mistakes in 4 files";
    assert_eq!(files.neutral(&text), expected);
}

#[test]
fn what_is_shown_reads_back_to_the_same() {
    let files = Files::new(&[(
        "weir.toml",
        "[node.tags]\n\"odd name\" = \"q\\\"\\u0007\\u007f\"\n[handler.\"a.b\"]\nrun = [\"x\"]\n[upstream.web]\nselect = { role = \"a|b\" }\nserver.port = 8080\nallow = [\"10.0.0.0/8\"]\n",
    )]);
    let config = load(&sources(vec![files.source("weir.toml")])).unwrap().config;
    for changed in [false, true] {
        let text = Show { origin: true, changed }.text(&config);
        let again = toml(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).config;
        assert_eq!(reload::diff(&config, &again), [], "{text}");
    }
}

#[test]
fn a_command_without_a_program_is_refused() {
    for key in [
        "nginx.reload = [\"\"]",
        "handler.a.run = [\"\", \"x\"]",
        "nginx.reload = [\"a\\u0000\"]",
        "handler.a.run = [\"a\", \"\\u0000\"]",
    ] {
        assert!(toml(&format!("encryption.seal = \"off\"\n{key}")).is_err(), "{key}");
    }
    let errors = toml("encryption.seal = \"off\"\nnginx.reload = [\"\"]").unwrap_err().to_string();
    let text = "nginx.reload = [\"\"] names no program; write [\"PROGRAM\", \"ARGUMENT\"]";
    assert!(errors.contains(text), "{errors}");
}

#[test]
fn a_reload_tells_what_waits_for_a_restart() {
    let before =
        toml("[gossip]\nbind = \"127.0.0.1:1\"\n[node.tags]\nrole = \"web\"\nold = 1\n[log]\nlevel = \"info\"\n")
            .unwrap()
            .config;
    let after =
        toml("[log]\nlevel = \"debug\"\n[gossip]\nbind = \"127.0.0.1:2\"\n[node.tags]\nrole = \"lb\"\nnew = 1\n")
            .unwrap()
            .config;
    let lines: Vec<String> = reload::diff(&before, &after)
        .into_iter()
        .map(|change| {
            let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            format!("{} {} {} {}", change.key, text(change.before), text(change.after), change.when)
        })
        .collect();
    let expected = [
        "node.tags.role \"web\" \"lb\" live",
        "node.tags.new - \"1\" live",
        "gossip.bind \"127.0.0.1:1\" \"127.0.0.1:2\" restart",
        "log.level \"info\" \"debug\" live",
        "node.tags.old \"1\" - live",
    ];
    assert_eq!(lines, expected);
    assert_eq!(reload::diff(&before, &before), []);
}

#[test]
fn of_a_table_that_is_new_or_gone_a_reload_tells_what_it_says() {
    let with = |more: &str| toml(&format!("encryption.seal = \"off\"\n{more}")).unwrap().config;
    let without = with("");
    for (table, told) in [
        ("[upstream.api]\nselect = { role = \"api\" }\nnginx.keepalive = 32\n", &["upstream.api.select.role"][..]),
        ("[handler.deploy]\nrun = [\"x\"]\nqueue = 7\n", &["handler.deploy.queue", "handler.deploy.run"]),
    ] {
        for (before, after) in [(&without, &with(table)), (&with(table), &without)] {
            let mut keys: Vec<_> = reload::diff(before, after).into_iter().map(|change| change.key).collect();
            keys.sort();
            assert_eq!(keys, told);
        }
    }
    let changed = reload::diff(&with("[handler.a]\nrun = [\"x\"]\nqueue = 7\n"), &with("[handler.a]\nrun = [\"x\"]\n"));
    assert_eq!(changed.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["handler.a.queue"]);
}

#[test]
fn what_needs_a_restart_is_told_until_there_was_one_or_it_is_taken_back() {
    let of = |bind: u16, level: &str| {
        toml(&format!("gossip.bind = \"127.0.0.1:{bind}\"\nlog.level = \"{level}\"")).unwrap().config
    };
    let started = of(1, "info");
    let keys = |before: &Config, after: &Config| -> Vec<String> {
        reload::outstanding(&started, before, after).into_iter().map(|change| change.key).collect()
    };
    assert_eq!(keys(&started, &of(2, "debug")), ["gossip.bind", "log.level"]);
    assert_eq!(keys(&of(2, "debug"), &of(2, "debug")), ["gossip.bind"]);
    assert_eq!(keys(&of(2, "debug"), &of(2, "warn")), ["gossip.bind", "log.level"]);
    assert!(keys(&of(2, "debug"), &of(1, "debug")).is_empty());
}

#[test]
fn the_host_s_name_is_the_same_written_down_or_not() {
    let with = |text: &str| toml(&format!("encryption.seal = \"off\"\n{text}")).unwrap().config;
    let host = with("").node.name;
    let (empty, written) = (with("node.name = \"\""), with(&format!("node.name = \"{host}\"")));
    assert!(reload::diff(&empty, &written).is_empty());
    assert!(reload::diff(&written, &empty).is_empty());
    assert!(reload::diff(&with(""), &empty).is_empty());
    let other = reload::diff(&empty, &with("node.name = \"other\""));
    assert_eq!(other.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), ["node.name"]);
}

#[test]
fn of_what_apply_depends_on_a_reload_leaves_what_needs_a_restart() {
    let with = |more: &str| toml(&format!("encryption.seal = \"off\"\n{more}")).unwrap().config;
    let pinned =
        "apply.mode = \"direct\"\napply.socket = \"/run/s\"\napply.state = \"/srv/s\"\nnginx.binary = \"/opt/n\"\n";
    let started = with("");
    let needs_restart = |setting: &&Setting| {
        setting.when == When::Restart && ["apply", "nginx", "upstream", "template"].contains(&setting.table.as_str())
    };
    let keys: Vec<String> = started.settings().iter().filter(needs_restart).map(Setting::key).collect();
    assert_eq!(keys, ["apply.mode", "apply.socket", "apply.state", "nginx.binary"], "another one is to be pinned, too");
    let running = with(pinned).since(&started);
    assert_eq!((&running.apply, &running.nginx), (&started.apply, &started.nginx));
    assert_eq!(running.hash(), started.hash());
    let running = with(&format!("{pinned}apply.quiet = \"1s\"\n")).since(&started);
    assert_eq!(running.hash(), with("apply.quiet = \"1s\"\n").hash());
    assert_eq!(running.apply.quiet.as_secs(), 1);
    // It is told until there was a restart.
    let told = reload::outstanding(&started, &running, &with(pinned));
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn a_wrong_level_is_named_among_several() {
    let said = |level: &str| toml(&format!("log.level = \"{level}\"")).unwrap_err().mistakes()[0].trouble.to_string();
    let all = "one of error, warn, info, debug, trace is accepted";
    assert_eq!(said("loud"), format!("log.level = \"loud\" is unknown; {all}"));
    assert_eq!(said("info,swim=loud"), format!("log.level = \"info,swim=loud\" names no level, \"loud\"; {all}"));
    let near = "log.level = \"inof,swim=debug\" names no level, \"inof\"; did you mean \"info\"?";
    assert_eq!(said("inof,swim=debug"), near);
}

#[test]
fn a_reload_notices_secrets_and_signals_that_are_not_shown() {
    let with = |json: &str| {
        let files = Files::new(&[("x.json", json)]);
        load(&sources(vec![files.source("x.json")])).unwrap().config
    };
    let before = with("{\"rpc_auth\": \"one\"}");
    let after = with("{\"rpc_auth\": \"two\", \"skip_leave_on_interrupt\": true}");
    let changes = reload::diff(&before, &after);
    let keys: Vec<String> = changes.iter().map(|change| format!("{} {}", change.key, change.when)).collect();
    assert_eq!(keys, ["rpc.token_file restart", "leave live"]);
    assert!(!format!("{changes:?}").contains("two"));
}

#[test]
fn serfs_file_becomes_toml_that_means_the_same() {
    let path = Path::new("tests/golden/config/serf-mode/1-base.json");
    let converted = convert("1-base.json", &fs::read_to_string(path).unwrap()).unwrap();
    let mut text = converted.toml.clone();
    converted.notices.iter().for_each(|notice| text.push_str(&format!("# {notice}\n")));
    golden(Path::new("tests/golden/config/converted.toml"), &text);
    let ours = toml(&converted.toml).unwrap_or_else(|errors| panic!("{errors}")).config;
    let serfs = load(&sources(vec![Source::File(path.to_owned())])).unwrap().config;
    assert_eq!(ours.node, serfs.node);
    assert_eq!(ours.handlers, serfs.handlers);
    assert_eq!(ours.gossip.join, serfs.gossip.join);
    assert_eq!(ours.gossip.bind, serfs.gossip.bind);
    assert_eq!((ours.encryption, ours.rpc.listen), (serfs.encryption, serfs.rpc.listen));
    // A leave that drains first is what one comes for.
    let drain_time = Duration::from_secs(5);
    assert_eq!(ours.leave, Leave { drain_time, ..serfs.leave });
}

#[test]
fn an_address_that_serf_joins_twice_is_converted_once() {
    let json = r#"{"encrypt_key": "", "start_join": ["10.77.0.11", "10.77.0.12"], "retry_join": ["10.77.0.12", "10.77.0.11", "lb"]}"#;
    let converted = convert("serf.json", json).unwrap().toml;
    assert!(converted.contains("\njoin = [\"10.77.0.11\", \"10.77.0.12\", \"lb\"]\n"), "{converted}");
}

#[test]
fn paths_of_serfs_may_be_relative_and_its_converted_file_says_which_are_to_be_changed() {
    let json = "{\"keyring_file\": \"keyring.json\",\n\"snapshot_path\": \"snap\"}";
    let files = Files::new(&[("serf.json", json)]);
    let config = load(&sources(vec![files.source("serf.json")])).unwrap().config;
    assert_eq!((config.mode, config.snapshot.path), (Mode::Serf, Some("snap".into())));
    let converted = convert("serf.json", json).unwrap();
    let told: Vec<String> = converted.notices.iter().map(ToString::to_string).collect();
    let wanted = |place: &str, pair: &str| {
        format!(
            "serf.json:{place}: {pair} depends on where the agent is started; write a path that starts with /, others are \
             refused in TOML"
        )
    };
    let both = [wanted("1:2", "encryption.keyring = \"keyring.json\""), wanted("2:1", "snapshot.path = \"snap\"")];
    assert_eq!(told, both);
    assert_eq!(toml(&converted.toml).unwrap_err().mistakes().len(), 2);
}

#[test]
fn our_own_flags_mean_our_defaults() {
    assert_eq!(flags(&[("node", "n1"), ("seal", "off")]).unwrap().config.mode, Mode::Weir);
    assert_eq!(flags(&[("node", "n1"), ("rpc-token-file", "/t")]).unwrap().config.mode, Mode::Serf);
}

#[test]
fn json_says_what_the_text_says() {
    let files = Files::new(&[("weir.toml", "[log]\nlevel = \"debug\"\nlevle = 1\n")]);
    let errors = show::check_json(&load(&sources(vec![files.source("weir.toml")])));
    let at = serde_json::json!({ "kind": "file", "file": files.path("weir.toml"), "line": 3, "column": 1 });
    let message = "unknown key 'log.levle'; did you mean 'level'?";
    assert_eq!(errors, serde_json::json!({ "mistakes": [{ "at": at, "key": "log.levle", "message": message }] }));

    let files = Files::new(&[("weir.toml", "[log]\nlevel = \"debug\"\n")]);
    let loaded = load(&sources(vec![files.source("weir.toml")])).unwrap();
    let shown = Show { origin: true, changed: true }.json(&loaded.config);
    let origin = serde_json::json!({ "kind": "file", "file": files.path("weir.toml"), "line": 2, "column": 1 });
    let setting = serde_json::json!({ "key": "log.level", "value": "debug", "default": "info", "when": "live", "origin": origin });
    assert_eq!(shown, serde_json::json!({ "settings": [setting] }));
    let checked = show::check_json(&Ok(loaded));
    assert_eq!((checked["mistakes"].clone(), checked["tag_bytes"].clone()), (serde_json::json!([]), 2.into()));
}

#[test]
fn the_schema_is_strict_and_has_the_defaults() {
    let schema = schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}")).clone();
    assert_eq!(at("/additionalProperties"), false);
    assert_eq!(at("/properties/gossip/properties/profile/enum"), serde_json::json!(["lan", "wan", "local"]));
    assert_eq!(at("/properties/gossip/properties/reconnect_timeout/default"), "24h");
    assert_eq!(at("/properties/upstream/additionalProperties/required"), serde_json::json!(["select"]));
    assert!(!schema.to_string().contains("\"node\",\"gossip\""), "no table is required");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Lines out of real keys, wrong keys, and values of every kind.
    fn file() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "gossip.bind",
            "gossip.join",
            "gossip.probe_interval",
            "gossip.bogus",
            "node.tags.role",
            "node.name",
            "bogus",
            "log.level",
            "encryption.keyring",
            "upstream.web.select.role",
            "upstream.web.server.port",
            "upstream.web.server.port.tag",
            "upstream.web.nginx.form",
            "upstream.web.nginx.method",
            "handler.a.run",
            "handler.a.shell",
            "nginx.reload",
            "rpc.listen",
            "gossip",
        ]);
        let value = prop::sample::select(vec![
            "1",
            "-1",
            "1.5",
            "true",
            "\"\"",
            "\"info\"",
            "\"10.0.0.1:80\"",
            "\"hash\"",
            "[]",
            "[\"a\"]",
            "[1, \"x\"]",
            "{}",
            "{ a = 1 }",
            "\"30s\"",
            "2026-01-01",
            "\"ä\\u0000\"",
            "\"servers\"",
            "8080",
        ]);
        prop::collection::vec((key, value), 0..8)
            .prop_map(|lines| lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_file_loads_or_lists_mistakes_with_their_places(base in file(), drop_in in file()) {
            let files = Files::new(&[("weir.toml", &base), ("weir.d/a.toml", &drop_in)]);
            match load(&sources(vec![files.source("weir.toml")])) {
                Ok(loaded) => {
                    let again = toml(&Show::default().text(&loaded.config)).unwrap().config;
                    prop_assert_eq!(reload::diff(&loaded.config, &again), []);
                }
                Err(errors) => for line in files.neutral(&errors.to_string()).lines() {
                    prop_assert!(line.starts_with("/etc/weir/weir.") || line.starts_with("error: "), "{}", line);
                },
            }
        }
    }
}
