//! `weir doctor` against real agents of both kinds, in health and with one thing wrong at a time.

mod network;
mod upstreams;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::nginx::Nginx;
use crate::support::{Agent, Kind, Settings, address, await_agreement, skipped, until, weir_binary, write_keyring};
use weir::crypto::Key;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHCAkKCwwNDg8=";

/// What a run said.
#[derive(Debug)]
struct Report {
    findings: Vec<serde_json::Value>,
    passed: u64,
    code: Option<i32>,
}

impl Report {
    fn of(command: &mut Command) -> Self {
        let output = command.args(["--format", "json"]).env_remove("SERF_RPC_ADDR").output().expect("weir runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let value: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self {
            findings: value["findings"].as_array().expect("a list").clone(),
            passed: value["passed"].as_u64().expect("a number"),
            code: output.status.code(),
        }
    }

    /// `LEVEL ID SUBJECT` of all findings, but that the tests' agents leave without a drain.
    fn lines(&self) -> Vec<String> {
        let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let line = |finding| format!("{} {} {}", word(finding, "level"), word(finding, "id"), word(finding, "subject"));
        self.findings.iter().filter(|finding| finding["id"] != "config.drain_time").map(line).collect()
    }

    /// Message and remedy of the finding with this identifier.
    fn finding(&self, id: &str) -> String {
        let found = self.findings.iter().find(|finding| finding["id"] == id);
        let found = found.unwrap_or_else(|| panic!("no {id}: {self:#?}"));
        format!("{}; {}", found["message"].as_str().unwrap(), found["remedy"].as_str().unwrap_or_default())
    }
}

/// Looks at a configuration, with whatever agent it names.
fn doctor(config: &Path, only: &[&str]) -> Report {
    let mut command = Command::new(weir_binary());
    command.arg("doctor").arg("--config-file").arg(config);
    for group in only {
        command.args(["--only", group]);
    }
    Report::of(&mut command)
}

/// What `weir keys` says of an agent.
fn keys(agent: &Agent, action: &str) -> serde_json::Value {
    let rpc = format!("--rpc-addr={}", agent.rpc);
    let output = Command::new(weir_binary()).args(["keys", action, &rpc, "--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn settings() -> Settings {
    Settings { profile: Some("local"), ..Settings::key(KEY) }
}

fn start(name: &str, settings: Settings) -> Agent {
    Agent::start(Kind::Weir, name, settings)
}

/// Two agents that have met and talk by session.
fn pair() -> (Agent, Agent) {
    let a = start("lb1", settings());
    let b = start("web1", settings().join(a.gossip));
    await_agreement(&[&a, &b], &[("lb1", "alive"), ("web1", "alive")]);
    until("lb1 knows web1's session", || {
        let status = keys(&a, "status");
        let members = status["members"].as_array().unwrap();
        if members.iter().all(|member| member["envelope"] == "session") { Ok(()) } else { Err(status.to_string()) }
    });
    (a, b)
}

#[test]
fn two_healthy_agents_have_no_findings() {
    let (a, _b) = pair();
    let report = doctor(&a.config_file(), &["config", "agent", "files", "ports", "gossip", "keys", "handlers"]);
    assert_eq!((report.lines(), report.code), (vec![], Some(0)), "{report:#?}");
    assert!(report.passed >= 14, "{report:?}");
    // Its clock is this one's, by its own word.
    let clocks = doctor(&a.config_file(), &["clock"]);
    assert!(!clocks.lines().iter().any(|line| line.contains("clock.peers")), "{clocks:?}");
    assert!(clocks.passed >= 1, "{clocks:?}");

    let text = a.cli(&["doctor", "--config-file", a.config_file().to_str().unwrap(), "--only", "gossip"]);
    assert_eq!(String::from_utf8_lossy(&text.stdout), "2 checks passed\n");
}

#[test]
fn a_stopped_peer_answers_over_tcp_alone_and_a_killed_one_not_at_all() {
    let (a, mut b) = pair();
    b.pause();
    // Its kernel still accepts connections: the same as a firewall that drops UDP.
    let report = doctor(&a.config_file(), &["gossip"]);
    assert_eq!((report.lines(), report.code), (vec!["error gossip.udp web1".to_owned()], Some(1)), "{report:#?}");
    let (ip, port) = (b.gossip.ip(), b.gossip.port());
    let wanted = format!(
        "web1: TCP {port} takes connections, UDP {port} does not answer: it is blocked, or the agent there hangs; open UDP {port} to and from {ip} ('firewall-cmd --permanent \
         --add-port={port}/tcp --add-port={port}/udp' and 'firewall-cmd --reload', or 'ufw allow {port}'), here and there; 'weir status' \
         there shows whether it answers"
    );
    assert_eq!(report.finding("gossip.udp"), wanted);
    b.resume();
    b.kill();
    await_agreement(&[&a], &[("lb1", "alive"), ("web1", "failed")]);
    let report = doctor(&a.config_file(), &["gossip"]);
    assert_eq!((report.lines(), report.code), (vec!["warn gossip.member web1".to_owned()], Some(8)), "{report:#?}");
    assert!(
        report.finding("gossip.member").starts_with(&format!(
            "web1 has failed: nothing listens on {}; 'systemctl start weir' there; if",
            b.gossip
        ))
    );
}

#[test]
fn a_peer_with_another_key_is_named_on_both_sides_with_the_keys() {
    let a = start("lb1", settings());
    let b = start("web1", Settings { key: Some(OTHER_KEY.to_owned()), ..settings().join(a.gossip) });
    until("lb1 hears of the other key", || {
        let report = doctor(&a.config_file(), &["keys"]);
        let key_ids = report.lines().iter().filter(|line| line.starts_with("warn keys.unknown")).count();
        if key_ids > 0 && report.findings.iter().any(|f| f["message"].as_str().unwrap().contains("seals with key")) {
            Ok(())
        } else {
            Err(format!("{report:#?}"))
        }
    });
    let ring = |agent| keys(agent, "status")["keys"][0]["id"].as_str().unwrap().to_owned();
    let (ours, theirs) = (ring(&a), ring(&b));
    let told = doctor(&a.config_file(), &["keys"]).findings;
    let ip = b.gossip.ip();
    let wanted = format!("{ip} is no member and seals with key {theirs}, this keyring has only {ours} (last ");
    assert!(told.iter().any(|finding| finding["message"].as_str().unwrap().starts_with(&wanted)), "{told:#?}");
    let report = doctor(&b.config_file(), &["gossip"]);
    assert_eq!(report.code, Some(1), "{report:#?}");
    let wanted = format!(
        "this node has joined nobody: {} seals with key {ours}, this keyring has only {theirs}; \
         'weir keys export' there, 'weir keys import' here",
        a.gossip.ip()
    );
    assert_eq!(report.finding("gossip.join"), wanted);
    // The same cause where somebody joins by hand.
    let joined = b.cli(&["join", &a.gossip.to_string()]);
    let line = String::from_utf8_lossy(&joined.stderr).into_owned();
    let wanted =
        format!("{} seals with key {ours}, this keyring has only {theirs}; 'weir keys export' there", a.gossip.ip());
    assert!(line.contains(&wanted), "{line}");
}

#[test]
fn a_peer_in_plain_text_is_told_from_one_with_another_key() {
    let a = start("lb1", settings());
    let _plain = start("plain", Settings { key: None, profile: Some("local"), ..Settings::default() }.join(a.gossip));
    until("it is heard", || {
        let report = doctor(&a.config_file(), &["keys"]);
        let said = |words: &str| report.findings.iter().any(|f| f["message"].as_str().unwrap().contains(words));
        if said("speaks without encryption and this node requires it") { Ok(()) } else { Err(format!("{report:#?}")) }
    });
}

#[test]
fn a_keyring_that_others_can_read_or_that_changed_on_disk() {
    let mut a = start("lb1", settings());
    let ring = a.dir.path().join("keyring.json");
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o644)).unwrap();
    let report = doctor(&a.config_file(), &["files", "keys"]);
    assert_eq!(
        report.lines(),
        ["error files.keyring ".to_owned() + ring.to_str().unwrap()],
        "that it is not read follows from it"
    );
    assert!(report.finding("files.keyring").ends_with("and run 'weir keys rotate'"), "{report:#?}");
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&ring, format!("[\"{OTHER_KEY}\"]")).unwrap();
    assert_eq!(doctor(&a.config_file(), &["keys"]).lines(), ["warn keys.disk keyring"]);
    a.kill();
    a.run();
    assert_eq!(doctor(&a.config_file(), &["keys"]).code, Some(0), "a restart takes what is on disk");
    std::fs::write(&ring, &KEY[..9]).unwrap();
    let report = doctor(&a.config_file(), &["keys"]);
    assert_eq!(report.lines(), ["error keys.ring keyring"], "{report:#?}");
}

#[test]
fn a_key_that_is_a_word_or_worn_is_named_and_a_rotation_ends_it() {
    let word = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZS4uLi4=";
    for (key, id) in [(word, "keys.guessable"), (KEY, "keys.worn")] {
        let mut a = Agent::prepare(Kind::Weir, "lb1", Settings { key: Some(key.to_owned()), ..settings() });
        let ring = Key::from_base64(key).unwrap().id();
        let sealed = format!("{{\"version\": 1, \"sealed\": {{\"{ring}\": {}}}}}", 1_u64 << 31);
        std::fs::write(a.dir.path().join("keyring.json.state"), sealed).unwrap();
        a.run();
        let report = doctor(&a.config_file(), &["keys"]);
        assert!(report.finding(id).ends_with("; weir keys rotate"), "{report:#?}");
        keys(&a, "rotate");
        assert_eq!(doctor(&a.config_file(), &["keys"]).code, Some(0), "{id}");
    }
}

#[test]
fn without_an_agent_the_members_of_the_snapshot_are_pinged_by_hand() {
    let (mut a, b) = pair();
    for seal in ["auto", "session"] {
        a.kill();
        a.write_config();
        let text = std::fs::read_to_string(a.config_file()).unwrap();
        std::fs::write(a.config_file(), text.replace("[encryption]\n", &format!("[encryption]\nseal = \"{seal}\"\n")))
            .unwrap();
        let report = doctor(&a.config_file(), &["config", "agent", "ports", "gossip"]);
        assert_eq!((report.lines(), report.code), (vec!["warn agent.running weir".to_owned()], Some(8)), "{report:#?}");
        assert!(report.passed >= 5, "{report:?}");
    }
    drop(b);
    let report = doctor(&a.config_file(), &["gossip"]);
    assert_eq!(report.lines(), ["warn gossip.member web1"], "{report:#?}");
}

#[test]
fn a_port_that_somebody_else_has_is_named_with_its_holder() {
    let a = Agent::prepare(Kind::Weir, "lb1", settings());
    a.write_config();
    let taken = TcpListener::bind(a.gossip).unwrap();
    let report = doctor(&a.config_file(), &["ports"]);
    assert_eq!(report.lines(), [format!("error ports.gossip {}", a.gossip)]);
    let found = report.finding("ports.gossip");
    assert!(found.contains(&format!("(pid {})", std::process::id())), "{found}");
    assert!(found.ends_with("; stop it or set gossip.bind"), "{found}");
    drop(taken);
    let taken = TcpListener::bind(a.rpc.to_string()).unwrap();
    let found = doctor(&a.config_file(), &["ports"]).finding("ports.rpc");
    assert!(found.starts_with(&format!("cannot bind {}/tcp: in use by ", a.rpc)), "{found}");
    assert!(found.ends_with("; stop it or set rpc.listen"), "{found}");
    drop(taken);
    assert_eq!(doctor(&a.config_file(), &["ports"]).code, Some(0));
}

#[test]
fn a_broken_configuration_and_none_at_all_leave_the_rest_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    let report = doctor(&config, &["config"]);
    assert_eq!((report.lines(), report.code), (vec![format!("error config.file {}", config.display())], Some(1)));
    std::fs::write(&config, "gossip.profil = \"lan\"\nlog.level = 3\n").unwrap();
    let report = doctor(&config, &[]);
    let mistakes = report.lines().iter().filter(|line| line.starts_with("error config.file ")).count();
    assert_eq!((mistakes, report.code), (2, Some(1)), "{report:#?}");
    assert!(report.finding("config.file").contains("did you mean 'profile'?"), "{report:#?}");

    let wrong = Command::new(weir_binary()).args(["doctor", "--only", "ngnix"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[test]
fn who_may_not_read_is_told_what_was_left_out_and_strict_makes_it_fail() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can become somebody who may not");
    }
    let a = start("lb1", settings());
    let dir = a.dir.path();
    let copy = dir.join("weir");
    // By another process: a file that a test's fork still holds open for writing cannot be run.
    assert!(Command::new("cp").arg(weir_binary()).arg(&copy).status().unwrap().success());
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(dir, 0o755);
    let nobody = |config_mode, more: &[&str]| {
        mode(&a.config_file(), config_mode);
        let mut command = Command::new(&copy);
        command.arg("doctor").arg("--config-file").arg(a.config_file()).args(more).uid(65534).gid(65534);
        Report::of(&mut command)
    };
    let report = nobody(0o600, &["--only", "config", "--only", "agent"]);
    assert_eq!(report.finding("config.file").split_once("; ").unwrap().1, "sudo weir doctor");
    // The socket is closed to it, and so is the ring.
    let report = nobody(0o644, &["--only", "agent", "--only", "keys", "--only", "gossip"]);
    assert_eq!(report.lines(), ["skip agent.running weir", "skip keys.ring keyring"], "{report:#?}");
    assert_eq!(report.code, Some(0));
    assert_eq!(nobody(0o644, &["--only", "agent", "--strict"]).code, Some(1));
}

#[test]
fn what_the_agent_tells_of_a_handler_that_failed_is_found_as_well() {
    let a = start("lb1", settings().toml("[handler.bad]\non = [\"user:deploy\"]\nrun = [\"/bin/false\"]\n"));
    assert!(doctor(&a.config_file(), &["handlers"]).lines().is_empty());
    assert!(a.cli(&["event", "deploy"]).status.success());
    until("it has failed", || {
        let report = doctor(&a.config_file(), &["handlers"]);
        if report.lines() == ["warn handlers.run bad"] { Ok(()) } else { Err(format!("{report:?}")) }
    });
    let told = doctor(&a.config_file(), &["handlers"]).finding("handlers.run");
    assert_eq!(told, "handler bad failed: exit 1; see 'journalctl -u weir'");
    assert!(!doctor(&a.config_file(), &["gossip"]).lines().iter().any(|line| line.contains("handlers")));
}

#[test]
fn a_changed_file_and_a_missing_handler() {
    let a = start("lb1", settings());
    let text = std::fs::read_to_string(a.config_file()).unwrap();
    let changed =
        text.replace("level = \"debug\"", "level = \"info\"") + "[handler.gone]\nrun = [\"/nonexistent/x\"]\n";
    std::fs::write(a.config_file(), changed).unwrap();
    let report = doctor(&a.config_file(), &["config", "handlers"]);
    assert_eq!(report.lines(), ["error handlers.program gone", "warn config.running weir"], "{report:#?}");
    assert!(report.finding("config.running").ends_with("systemctl reload weir"), "{report:#?}");
}

#[test]
fn checks_that_fail_that_nobody_feeds_and_that_cannot_be_run() {
    let text = "[check.disk]\nexec = [\"/bin/sh\", \"-c\", \"echo /srv is full; exit 2\"]\ninterval = \"200ms\"\nfall = 1\n\
                [check.gone]\nexec = [\"/nonexistent/x\"]\nfall = 1\n[check.job]\nttl = \"1h\"\n[check.fed]\nttl = \"1h\"\n";
    let a = start("lb1", settings().toml(text));
    let rpc = a.rpc.to_string();
    let fed = Command::new(weir_binary()).args(["check", "pass", "fed"]).env("WEIR_RPC_ADDR", rpc).output().unwrap();
    assert!(fed.status.success(), "{fed:?}");
    let wanted =
        ["error checks.program gone", "warn checks.state disk", "warn checks.state gone", "warn checks.ttl job"];
    until("the checks to have results", || {
        let report = doctor(&a.config_file(), &["checks"]);
        if report.lines() == wanted { Ok(()) } else { Err(format!("{report:#?}")) }
    });
    let report = doctor(&a.config_file(), &["checks"]);
    let disk = report.findings.iter().find(|finding| finding["subject"] == "disk").unwrap();
    assert!(disk["message"].as_str().unwrap().ends_with(": exit 2: /srv is full"), "{report:#?}");
    assert!(report.finding("checks.ttl").ends_with("; have its job run 'weir check pass job'"), "{report:#?}");
    // What stands against this node is the first thing that its own status says.
    let status = a.cli(&["status"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("check disk of this node is critical: exit 2: /srv is full"), "{said}");
    let gone = "check gone of this node is critical: cannot start /nonexistent/x: no such file or directory";
    assert!(said.contains(gone) && status.status.code() == Some(8), "{said}");
}

#[test]
fn certificates_that_are_not_there_are_named_before_anybody_needs_them() {
    let a = start("lb1", settings());
    let before = std::fs::read_to_string(a.config_file()).unwrap();
    let check = "[check.site]\nhttp = \"https://127.0.0.1/\"\ntls_ca = \"/nonexistent/ca.pem\"\n";
    std::fs::write(a.config_file(), before + check).unwrap();
    let words =
        "check.site.tls_ca = \"/nonexistent/ca.pem\" cannot be read: no such file or directory; put the authority's";
    let checked = Command::new(weir_binary()).args(["config", "check"]).arg(a.config_file()).output().unwrap();
    for output in [checked, a.cli(&["reload"]), a.cli(&["reload", "--dry-run"])] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words) && output.status.code() == Some(5), "{output:?}");
    }
    let report = doctor(&a.config_file(), &["checks"]);
    assert_eq!(report.lines(), ["error checks.tls_ca check.site.tls_ca"], "{report:#?}");
    assert!(report.finding("checks.tls_ca").starts_with(words), "{report:#?}");
}

#[test]
#[ignore = "needs serf"]
fn a_serf_peer_needs_the_old_envelope_and_one_with_another_key_is_heard_of() {
    let a = start("lb1", settings());
    let serf = |name, key: &str| {
        let settings = Settings { profile: Some("local"), ..Settings::key(key).join(a.gossip) };
        Agent::start(Kind::Serf, name, settings)
    };
    let legacy = serf("serf-legacy", KEY);
    await_agreement(&[&a, &legacy], &[("lb1", "alive"), ("serf-legacy", "alive")]);
    until("its envelope is known", || {
        let report = doctor(&a.config_file(), &["gossip", "keys"]);
        let wanted = vec!["info keys.envelope serf-legacy".to_owned()];
        if report.lines() == wanted { Ok(()) } else { Err(format!("{report:#?}")) }
    });
    let found = doctor(&a.config_file(), &["keys"]).finding("keys.envelope");
    assert_eq!(found, "serf-legacy understands only the memberlist envelope; seal = \"session\" must wait for it");

    let _stranger = serf("stranger", OTHER_KEY);
    until("the other key is noticed", || {
        let report = doctor(&a.config_file(), &["keys"]);
        // A Serf agent's connections come from whatever address the kernel chooses.
        let wanted = "seals with a key that this keyring lacks";
        let heard = report.findings.iter().any(|f| f["message"].as_str().unwrap().contains(wanted));
        if heard { Ok(()) } else { Err(format!("{report:#?}")) }
    });
}

#[test]
#[ignore = "needs serf"]
fn beside_a_serf_agent_members_are_pinged_by_hand() {
    let serf = Agent::start(Kind::Serf, "s1", Settings { profile: Some("local"), ..Settings::key(KEY) });
    let peer = start("w1", settings().join(serf.gossip));
    await_agreement(&[&serf, &peer], &[("s1", "alive"), ("w1", "alive")]);
    // weir's configuration on the host of a Serf agent, before the change.
    let own = Agent::prepare(Kind::Weir, "s1", settings());
    own.write_config();
    let look = |only: &str| {
        let mut command = Command::new(weir_binary());
        command.arg("doctor").arg("--config-file").arg(own.config_file());
        Report::of(command.arg(format!("--rpc-addr={}", serf.rpc)).args(["--only", "agent", "--only", only]))
    };
    let report = look("gossip");
    assert_eq!((report.lines(), report.code), (vec!["info agent.running weir".to_owned()], Some(0)), "{report:#?}");
    assert_eq!(report.passed, 2, "{report:?}");
}

/// A balancer's configuration for an NGINX of the test's own.
fn balancer(nginx: &Nginx) -> Agent {
    let toml = format!(
        "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n[upstream.web.nginx]\noutput = \"{}\"\n\
         [apply]\nmode = \"direct\"\nstate = \"{}\"\n[nginx]\nconfig = \"{}\"\nunit = \"\"\n",
        nginx.web().display(),
        nginx.path("state").display(),
        nginx.config().display()
    );
    let agent = Agent::prepare(Kind::Weir, "lb1", settings().toml(&toml));
    agent.write_config();
    write_keyring(&agent.dir.path().join("keyring.json"), KEY);
    agent
}

/// What doctor says of NGINX, without what depends on its version.
fn nginx_findings(agent: &Agent) -> Vec<String> {
    let report = doctor(&agent.config_file(), &["nginx"]);
    let version = |line: &String| line.contains("nginx.keepalive") || line.contains("nginx.upstream_keepalive");
    report.lines().into_iter().filter(|line| !version(line)).collect()
}

#[test]
#[ignore = "needs nginx"]
fn a_site_and_its_nginx_are_judged_and_mending_them_ends_the_findings() {
    let mut nginx = Nginx::start();
    let agent = balancer(&nginx);
    let usual = ["warn nginx.shutdown nginx", "warn nginx.timeouts nginx.conf", "info nginx.timeouts nginx.conf"];
    assert_eq!(nginx_findings(&agent), usual);
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    let good = text.replace("worker_processes 2;", "worker_processes 2;\nworker_shutdown_timeout 60s;").replace(
        "proxy_pass http://web;",
        "proxy_pass http://web; proxy_connect_timeout 500ms; proxy_read_timeout 10s;",
    );
    std::fs::write(nginx.config(), &good).unwrap();
    let none: [&str; 0] = [];
    assert_eq!(nginx_findings(&agent), none);

    // What is to be written stands in quotes, and where.
    let told = |id: &str| {
        let found = doctor(&agent.config_file(), &["nginx"]).finding(id);
        let quoted = found.rsplit_once("; ").map(|(_, way_out)| way_out.split('\'').skip(1).step_by(2));
        quoted.unwrap().map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    let write = |text: String| std::fs::write(nginx.config(), text).unwrap();
    write(good.replace("worker_shutdown_timeout 60s;", ""));
    let top = told("nginx.shutdown").concat() + "\n";
    write(top + &good.replace("worker_shutdown_timeout 60s;", ""));
    assert_eq!(nginx_findings(&agent), none);
    write(good.replace("proxy_pass http", "proxy_next_upstream off; proxy_pass http"));
    let retries = told("nginx.retries").concat();
    write(good.replace("proxy_pass http", &format!("{retries} proxy_pass http")));
    assert_eq!(nginx_findings(&agent), none);
    let include = format!("include {}/conf.d/*.conf;", nginx.dir.path().display());
    write(good.replace(&include, ""));
    let added = told("nginx.include").concat();
    write(good.replace(&include, &added));
    assert_eq!(nginx_findings(&agent), none);

    // One thing wrong at a time.
    let again = nginx.path("conf.d/shop.conf");
    std::fs::write(&again, "upstream web { server 127.0.0.1:1; }\n").unwrap();
    let report = doctor(&agent.config_file(), &["nginx"]);
    let twice = report.finding("nginx.duplicate");
    assert!(twice.contains("conf.d/weir-web.conf and conf.d/shop.conf:1; remove yours"), "{twice}");
    let refused = report.finding("nginx.test");
    assert!(refused.starts_with("nginx refuses its configuration: duplicate upstream \"web\""), "{refused}");
    std::fs::remove_file(&again).unwrap();
    std::fs::write(nginx.config(), good.replace("conf.d/*.conf", "conf.d/x*.conf")).unwrap();
    let missing = doctor(&agent.config_file(), &["nginx"]).finding("nginx.include");
    assert!(
        missing.starts_with(&format!("nothing in {} includes {}", nginx.config().display(), nginx.web().display())),
        "{missing}"
    );
    std::fs::write(nginx.config(), &good).unwrap();
    nginx.kill();
    assert_eq!(nginx_findings(&agent), ["error nginx.running nginx"]);
}

#[test]
fn without_nginx_an_upstream_waits() {
    let agent = Agent::prepare(
        Kind::Weir,
        "lb1",
        settings().toml("[upstream.web]\nselect = { role = \"web\" }\n[nginx]\nbinary = \"/nonexistent/nginx\"\n"),
    );
    agent.write_config();
    let report = doctor(&agent.config_file(), &["nginx"]);
    assert_eq!(report.lines(), ["error nginx.installed nginx"]);
    assert_eq!(
        report.finding("nginx.installed"),
        "there is no /nonexistent/nginx, upstream web waits; correct nginx.binary"
    );
}

#[test]
fn a_group_with_nothing_to_look_at_says_so() {
    let a = Agent::prepare(Kind::Weir, "web1", settings());
    a.write_config();
    let report = doctor(&a.config_file(), &["nginx"]);
    assert_eq!((report.lines(), report.code), (vec!["skip nginx.nothing nginx".to_owned()], Some(0)), "{report:#?}");
    assert!(report.finding("nginx.nothing").starts_with("this node has no [upstream.NAME]"), "{report:#?}");
    assert_eq!(doctor(&a.config_file(), &["handlers"]).lines(), ["skip handlers.nothing handlers"]);
    std::fs::write(a.config_file(), "gossip.profil = 3\n").unwrap();
    let report = doctor(&a.config_file(), &["nginx"]);
    assert!(report.finding("nginx.nothing").ends_with("; weir config check"), "{report:#?}");
}

#[test]
fn a_join_address_that_nobody_answers_is_an_error_and_the_second_of_two_a_warning() {
    let nobody: SocketAddr = address();
    let a = start("lb1", settings());
    let b = Agent::prepare(Kind::Weir, "web1", settings().join(nobody));
    b.write_config();
    assert_eq!(doctor(&b.config_file(), &["gossip"]).lines(), [format!("error gossip.join {nobody}")]);
    let c = Agent::prepare(Kind::Weir, "web2", settings().join(nobody).join(a.gossip));
    c.write_config();
    assert_eq!(doctor(&c.config_file(), &["gossip"]).lines(), [format!("warn gossip.join {nobody}")]);
}

#[test]
fn pipes_where_files_are_expected_are_named_and_not_waited_for() {
    let a = Agent::prepare(Kind::Weir, "lb1", settings().toml("[handler.odd]\nrun = [\"/bin/sh\"]\n"));
    a.write_config();
    let pipe = |path: &Path| {
        // What is there is replaced.
        let _absent = std::fs::remove_file(path);
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    };
    pipe(&a.dir.path().join("keyring.json"));
    pipe(&a.dir.path().join("snapshot"));
    let report = doctor(&a.config_file(), &["config", "keys", "gossip", "handlers"]);
    assert_eq!(report.lines(), ["error keys.ring keyring"], "{report:#?}");
    pipe(&a.config_file());
    let report = doctor(&a.config_file(), &["config"]);
    assert!(report.finding("config.file").contains("cannot be read: not a regular file"), "{report:#?}");
}

#[test]
fn an_agent_that_hangs_is_neither_taken_for_another_nor_told_to_give_up_its_ports() {
    let mut a = start("lb1", settings());
    a.pause();
    let report = doctor(&a.config_file(), &["agent", "ports"]);
    assert_eq!((report.lines(), report.code), (vec!["error agent.running weir".to_owned()], Some(1)), "{report:#?}");
    let found = report.finding("agent.running");
    let socket = a.dir.path().join("rpc.sock");
    assert!(
        found.starts_with(&format!("{} accepts connections and says nothing: it hangs", socket.display())),
        "{found}"
    );
    a.resume();
    assert_eq!(doctor(&a.config_file(), &["agent", "ports"]).code, Some(0));
}

#[test]
fn an_agent_that_takes_a_question_and_does_not_answer_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    // Shakes hands, and says nothing more: `{"Seq": 1, "Error": ""}`.
    let shaker = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"\x82\xa3Seq\x01\xa5Error\xa0").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    let a = Agent::prepare(Kind::Weir, "lb1", settings());
    a.write_config();
    let mut command = Command::new(weir_binary());
    command.args(["doctor", "--only", "agent", "--only", "ports", &format!("--rpc-addr={place}"), "--config-file"]);
    let report = Report::of(command.arg(a.config_file()));
    assert_eq!(report.lines(), ["error agent.running weir"], "{report:#?}");
    let found = report.finding("agent.running");
    assert!(found.starts_with(&format!("the agent at {place} takes requests and does not answer them")), "{found}");
    shaker.join().unwrap();
}

#[test]
fn a_token_that_others_can_read_and_a_directory_that_is_not_there() {
    let a = Agent::prepare(Kind::Weir, "lb1", settings());
    let (token, output) = (a.dir.path().join("token"), a.dir.path().join("conf.d"));
    a.write_config();
    write_keyring(&a.dir.path().join("keyring.json"), KEY);
    std::fs::write(&token, "secret").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = std::fs::read_to_string(a.config_file()).unwrap();
    let text = text.replace("[rpc]\n", &format!("[rpc]\ntoken_file = \"{}\"\n", token.display()));
    let upstream =
        "[apply]\nmode = \"direct\"\n[upstream.web]\nselect = { role = \"web\" }\n[upstream.web.nginx]\noutput = ";
    std::fs::write(a.config_file(), format!("{text}{upstream}\"{}/web.conf\"\n", output.display())).unwrap();
    for (id, command) in [
        ("files.token", format!("chmod 600 {}", token.display())),
        ("files.output", format!("mkdir {}", output.display())),
    ] {
        let found = doctor(&a.config_file(), &["files"]).finding(id);
        assert!(found.contains(&format!("; {command}, ")), "{found}");
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }
    assert_eq!(doctor(&a.config_file(), &["files"]).code, Some(0));
}

#[test]
fn the_token_is_for_tcp_and_not_read_where_the_socket_is_asked() {
    let a = Agent::prepare(Kind::Weir, "lb1", settings());
    a.write_config();
    let token = a.dir.path().join("token");
    // Nothing that a client could show.
    std::fs::write(&token, b"\xff").unwrap();
    let text = std::fs::read_to_string(a.config_file()).unwrap();
    let text = text.replace("[rpc]\n", &format!("[rpc]\ntoken_file = \"{}\"\n", token.display()));
    std::fs::write(a.config_file(), &text).unwrap();
    assert_eq!(doctor(&a.config_file(), &["agent"]).lines(), ["warn agent.running weir"]);
    let socket = a.dir.path().join("rpc.sock");
    std::fs::write(a.config_file(), text.replace(socket.to_str().unwrap(), "")).unwrap();
    let output = Command::new(weir_binary()).arg("doctor").arg("--config-file").arg(a.config_file()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: cannot read "), "{output:?}");
}
