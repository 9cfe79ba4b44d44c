//! Our own mode: text, JSON and codes of every command, as golden files.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use weir::rpc::proto::Status;

use super::fake::{Fake, Script, member};
use super::support::{golden, run, transcript, weir};

fn cluster() -> Script {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Script {
        members: vec![
            member(
                "web2",
                23,
                Status::Alive,
                &[("role", "web"), ("port", "80"), ("weight", "2"), ("weir_health", "warning")],
            ),
            member("lb1", 21, Status::Alive, &[("role", "lb"), ("weir_lb", "1"), ("weir_health", "none")]),
            member(
                "web1",
                22,
                Status::Alive,
                &[("role", "web"), ("port", "80"), ("weir_health", "passing"), ("weir_drain", "ab 1")],
            ),
            member(
                "old\x1b[2J\n",
                24,
                Status::Failed,
                &[("note", "two\nlines\tand a tab"), ("weir_health", "passing")],
            ),
        ],
        stats: BTreeMap::from([
            ("agent".to_owned(), BTreeMap::from([pair("name", "lb1")])),
            ("serf".to_owned(), BTreeMap::from([pair("members", "4"), pair("failed", "1")])),
            ("tags".to_owned(), BTreeMap::from([pair("note", "a\nb")])),
        ]),
        keys: Some(BTreeMap::from([
            ("HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=".to_owned(), 4),
            ("GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=".to_owned(), 3),
        ])),
        ..Script::default()
    }
}

/// Runs each command line against a stand-in of its own, so that none sees another's changes.
fn check(name: &str, script: &Script, lines: &[&[&str]]) {
    let mut all = String::new();
    for args in lines {
        let fake = Fake::start(script.clone());
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &fake.socket);
        let shown = transcript(args, &run(command, args));
        all.push_str(&shown.replace(&fake.socket.display().to_string(), "SOCKET"));
        all.push('\n');
    }
    golden(name, &all);
}

#[test]
fn members_as_table_and_json() {
    check(
        "members.txt",
        &cluster(),
        &[
            &["members"],
            &["members", "--header", "--detailed"],
            &["members", "--color", "always"],
            &["members", "--format", "json"],
            &["members", "--health", "passing|warning"],
            &["members", "--health", "none", "--status", "alive"],
            &["members", "-role", "we"],
            &["members", "--name", "nobody", "--format", "json"],
            &["members", "--name", "("],
            &["members", "--tag", "port=[0-9]+", "--tag", "weight=", "--quiet"],
            &["members", "--name", "lb1", "--format", "json", "--format", "text", "--quiet", "--quiet"],
        ],
    );
}

#[test]
fn a_filter_that_would_be_lost_or_can_match_nobody_is_refused() {
    check(
        "filters.txt",
        &cluster(),
        &[
            &["members", "--tag", "role=web", "--tag", "role=lb"],
            &["members", "--role", "web", "--tag", "role=lb", "--format", "json"],
            &["members", "--name", "web1", "--name", "lb1"],
            &["members", "--status", "dead"],
            &["members", "--status", "al"],
            &["members", "--status", "alive|dead", "--role", "lb"],
            &["members", "--status", "("],
            &["members", "--health", "bad"],
            &["query", "uptime", "--tag", "role=web", "--tag", "role=lb"],
            &["query", "uptime", "--tag", "role=("],
            &["query", "uptime", "--timeout", "1s", "--timeout", "2s"],
            &["event", "deploy", "--payload-file", "x", "--payload-file", "y"],
            &["tags", "--set", "a=1", "--set", "a=2"],
            &["tags", "--set", "a=1", "--delete", "a"],
        ],
    );
}

#[test]
fn an_agent_that_tells_no_times_has_members_all_the_same() {
    let fake = Fake::start(Script { about_ours: Some(|_, _| Err("Unsupported command".into())), ..cluster() });
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket);
    let ran = run(command, &["members", "--name", "lb1", "--format", "json"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("\"since\": null"), "{ran:?}");
}

#[test]
fn what_a_balancer_was_answered_is_the_health_of_a_member_whatever_its_tag_says() {
    const HEALTH: &str = r#"{"members":[
        {"name":"serf1","status":"alive","health":"critical","source":"answer","output":"disk full"},
        {"name":"serf2","status":"alive","health":"none","source":"nothing"},
        {"name":"web1","status":"alive","health":"critical","source":"answer"}]}"#;
    fn answer(command: &str, _: &str) -> Result<String, weir::rpc::refusal::Refusal> {
        match command {
            "weir-health" => Ok(HEALTH.to_owned()),
            _ => Err("Unsupported command".into()),
        }
    }
    let members = vec![
        member("serf1", 25, Status::Alive, &[]),
        member("serf2", 26, Status::Alive, &[]),
        member("web1", 22, Status::Alive, &[("weir_health", "passing")]),
    ];
    let fake = Fake::start(Script { about_ours: Some(answer), members, ..Script::default() });
    let shown = |args: &[&str]| {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &fake.socket);
        run(command, args).stdout
    };
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = shown(&["members"]);
    let lines: Vec<String> = told.lines().map(words).collect();
    assert_eq!(
        lines,
        [
            "serf1 127.0.0.25:7946 alive - critical",
            "serf2 127.0.0.26:7946 alive - -",
            "web1 127.0.0.22:7946 alive - critical"
        ]
    );
    assert_eq!(words(&shown(&["members", "--health", "critical"])), [lines[0].as_str(), lines[2].as_str()].join(" "));
    assert!(shown(&["members", "--format", "json", "--name", "serf1"]).contains("\"health\": \"critical\""));
}

#[test]
fn joins_name_what_failed() {
    check(
        "join.txt",
        &cluster(),
        &[
            &["join", "127.0.0.22"],
            &["join", "127.0.0.22", "127.0.0.29", "127.0.0.23:7946"],
            &["join", "127.0.0.29"],
            &["join", "127.0.0.29", "127.0.0.29:7946"],
            &["join", "127.0.0.22", "127.0.0.29", "--format", "json"],
            &["join", "127.0.0.29", "--format", "json"],
        ],
    );
}

#[test]
fn events_and_tags() {
    let long = "p".repeat(600);
    check(
        "event-tags.txt",
        &cluster(),
        &[
            &["event", "deploy", "v1"],
            &["event", "de\nploy", "--coalesce=false"],
            &["event", "deploy", "--format", "json"],
            &["event", "deploy", "v1", "--payload-file", "x"],
            &["event", "deploy", "--payload-file", "/nowhere/x"],
            &["tags", "--set", "a=b", "--set", "c=", "--delete", "d"],
            &["tags", "--set", "a=b", "--format", "json"],
            &["tags"],
            &["tags", "--format", "json"],
        ],
    );
    let fake = Fake::start(cluster());
    let ran = |args: &[&str]| {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &fake.socket);
        run(command, args)
    };
    let ran_event = ran(&["event", "deploy", &long]);
    assert_eq!(ran_event.code, Some(1));
    assert_eq!(
        ran_event.stderr,
        "error: user event is 606 bytes, the limit is 512; send a reference and let handlers fetch the rest\n"
    );
    let ran_tags = ran(&["tags", "--set", &format!("big={long}"), "--set", "small=1"]);
    assert_eq!(
        ran_tags.stderr,
        "error: Encoded length of tags exceeds limit of 512 bytes; shorten 'big' (603 bytes)\n"
    );
}

#[test]
fn payload_comes_from_a_file() {
    let fake = Fake::start(cluster());
    let file = fake.dir().join("payload");
    std::fs::write(&file, "v".repeat(600)).expect("the directory is ours");
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket);
    let ran = run(command, &["event", "deploy", "--payload-file", &file.display().to_string()]);
    assert!(ran.stderr.contains("user event is 606 bytes"), "{ran:?}");
}

#[test]
fn queries_end_with_the_last_answer_and_silence_is_a_failure() {
    check(
        "query.txt",
        &cluster(),
        &[
            &["query", "uptime"],
            &["query", "all", "--no-ack"],
            &["query", "all", "--format", "json"],
            &["query", "quiet", "--format", "json"],
            &["query", "uptime", "--node", "web2", "--tag", "role=web"],
            &["query", "uptime", "--node", "nobody"],
            &["query", "uptime", "--node", "nobody", "--format", "json"],
            &["query", "uptime", "--node", "old\x1b[2J\n"],
            &["query", "uptime", "--node", "old\x1b[2J\n", "--format", "json"],
            &["query", "_serf_x"],
            &["query", "uptime", "--timeout", "5"],
            &["query", "uptime", "--relay-factor", "300"],
        ],
    );
}

#[test]
fn a_query_waits_for_everybody_whom_members_hold_to_be_asked() {
    let web = |name, role| member(name, 22, Status::Alive, &[("role", role)]);
    let script = Script { members: vec![web("a", "web"), web("b", "webserver")], ..cluster() };
    let fake = Fake::start(script);
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket);
    let ran = run(command, &["query", "all", "--tag", "role=web"]);
    assert!(ran.stdout.contains("Response from 'b'") && ran.stdout.contains("Total Responses: 2"), "{ran:?}");
}

#[test]
fn reachability_names_who_is_silent() {
    let silent = Script { silent: ["web2".to_owned()].into(), ..cluster() };
    check("reachability.txt", &cluster(), &[&["reachability"]]);
    check("reachability-silent.txt", &silent, &[&["reachability"], &["reachability", "--format", "json"]]);
}

#[test]
fn force_leave_knows_names_and_guards_the_living() {
    check(
        "force-leave.txt",
        &cluster(),
        &[
            &["force-leave", "old\x1b[2J\n"],
            &["force-leave", "old\x1b[2J\n", "--prune", "--format", "json"],
            &["force-leave", "web-1"],
            &["force-leave", "web1", "--prune"],
            &["force-leave", "web1", "--prune", "--format", "json"],
        ],
    );
}

#[test]
fn keys_go_by_identifier() {
    check(
        "keys.txt",
        &cluster(),
        &[
            &["keys", "list"],
            &["keys", "list", "--header"],
            &["keys", "-list", "--format", "json"],
            &["keys", "use", "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8="],
            &["keys", "use", "69ce8489"],
            &["keys", "use", "00000000"],
            &["keys", "use", "nonsense"],
            &["keys", "remove", "GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE="],
            &["keys", "-install=HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8="],
            &["keys", "install"],
            &["keys", "install", "--file", "/nowhere/key"],
        ],
    );
    let ours = Script { about_ours: Some(super::keys::status), ..cluster() };
    check("keys-ours.txt", &ours, &[&["keys", "list", "--header"], &["keys", "list", "--format", "json"]]);
    check("keys-plain.txt", &Script { keys: None, ..cluster() }, &[&["keys", "list"]]);
}

#[test]
fn info_rtt_leave_and_reload() {
    check(
        "info-rtt.txt",
        &cluster(),
        &[
            &["info"],
            &["info", "--format", "json"],
            &["rtt", "web1"],
            &["rtt", "web1", "web2", "--format", "json"],
            &["rtt", "web-2"],
            &["leave"],
            &["leave", "--format", "json"],
            &["reload"],
            &["reload", "--header"],
            &["reload", "--format", "json"],
            &["reload", "--dry-run"],
        ],
    );
}

#[test]
fn token_opens_tcp_and_the_socket_needs_none() {
    let fake = Fake::start(Script { token: Some("s3cret".to_owned()), ..cluster() });
    let file = fake.dir().join("token");
    std::fs::write(&file, "s3cret\n").expect("the directory is ours");
    let (tcp, file) = (fake.tcp.to_string(), file.display().to_string());
    let ran = run(weir(), &["info", "--rpc-addr", &tcp, "--rpc-token-file", &file]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(weir(), &["info", "--rpc-addr", &tcp, "-rpc-auth=s3cret"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(0), 1), "{ran:?}");
    let ran = run(weir(), &["info", "--rpc-addr", &tcp]);
    assert_eq!(ran.stderr, format!("error: {tcp} wants a token; give --rpc-token-file\n"));
    assert_eq!(ran.code, Some(4));
    let ran = run(weir(), &["info", "--rpc-addr", &tcp, "--rpc-auth", "wrong", "--quiet"]);
    assert_eq!(
        ran.stderr,
        format!(
            "error: {tcp} does not accept this token; give the agent's own with --rpc-token-file, or none if it has none\n"
        )
    );
    assert_eq!(ran.code, Some(4));
    // Of a status the code alone is asked for, whatever it is; not of what is mistyped.
    let ran = run(weir(), &["status", "--rpc-addr", &tcp, "--quiet"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(4), "", ""));
    for args in [&["status", "--quiet", "--rpc-addr", "nonsense"][..], &["status", "--quiet", "--for", "else"]] {
        let ran = run(weir(), args);
        assert!(ran.code == Some(2) && ran.stderr.starts_with("error: "), "{ran:?}");
    }
    let ran = run(weir(), &["info", "--rpc-addr", &fake.socket.display().to_string()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn watching_prints_a_line_per_change_and_an_interrupt_ends_it_well() {
    let fake = Fake::start(cluster());
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket).args(["members", "--watch", "100ms", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program was built");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first: serde_json::Value =
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("one object per line");
    assert_eq!(first["members"].as_array().map(Vec::len), Some(4));
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket);
    assert_eq!(run(command, &["force-leave", "old\x1b[2J\n"]).code, Some(0));
    let second: serde_json::Value =
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("one object per line");
    assert_eq!(second["members"][1]["status"], "left");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn watching_goes_on_when_the_agent_is_started_anew() {
    let fake = Fake::start(cluster());
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket).args(["members", "--watch", "100ms", "--format", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program was built");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut errors = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("\"web1\""));
    let dir = fake.stop();
    let lost = errors.next().expect("a line").expect("text");
    assert!(lost.contains("\"kind\":\"no_agent\""), "{lost}");
    let fake = Fake::start_in(dir, Script { members: vec![member("new", 25, Status::Alive, &[])], ..cluster() });
    assert!(next().contains("\"new\""), "the agent is back");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let more: Vec<_> = errors.map_while(Result::ok).collect();
    assert!(more.is_empty(), "said once: {more:?}");
    drop(fake);
}

#[test]
fn monitor_shows_events_on_one_line_until_the_agent_is_gone() {
    let fake = Fake::start(cluster());
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket).args(["monitor", "--log-level", "debug"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program was built");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut seen: Vec<String> = (0..5).map(|_| lines.next().expect("a line").expect("text")).collect();
    drop(fake);
    seen.sort();
    assert_eq!(
        seen,
        [
            "2026/11/23 00:15:02 [INFO] agent: Serf agent starting",
            "event member-join web2",
            "event query:uptime ltime=1  \\x1b[2J",
            "event user:deploy ltime=2  v1",
            "event user:empty ltime=200",
        ]
    );
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("closed the connection; see 'journalctl -u weir'"));
}
