//! Key rotation with the real program, alone and among real Serf agents (`protocols B`).

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Agent, Kind, Settings, await_agreement, same, until, weir_binary};
use weir::crypto::Key;
use weir::rpc::client::{Address, Client, Record};
use weir::rpc::proto::EventRecord;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Agents of these kinds and names, all joined to the first one.
fn cluster(members: &[(Kind, &str)]) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for (kind, name) in members {
        let mut settings = Settings::key(KEY);
        settings.join.extend(agents.first().map(|first| first.gossip));
        agents.push(Agent::start(*kind, name, settings));
    }
    await_alive(&agents);
    agents
}

fn await_alive(agents: &[Agent]) {
    let names: Vec<(&str, &str)> = agents.iter().map(|agent| (agent.name.as_str(), "alive")).collect();
    await_agreement(&agents.iter().collect::<Vec<_>>(), &names);
}

/// `weir keys ARGS` against an agent.
fn keys(agent: &Agent, args: &[&str]) -> Command {
    let mut command = Command::new(weir_binary());
    command.arg("keys").args(args).arg(format!("--rpc-addr={}", agent.rpc)).stdin(Stdio::null());
    command
}

fn rotate(agent: &Agent, args: &[&str]) -> Output {
    let all: Vec<&str> = ["rotate"].iter().chain(args).copied().collect();
    keys(agent, &all).output().expect("weir runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The ring on the disk of an agent of either kind.
fn ring(agent: &Agent) -> Vec<String> {
    let file = std::fs::read(agent.dir.path().join("keyring.json")).expect("it has a keyring file");
    serde_json::from_slice(&file).expect("a list of keys")
}

/// Everybody has just one key, the same one, and it is new. Returns it.
fn assert_one_new_key(agents: &[Agent]) -> String {
    let first = ring(&agents[0]);
    for agent in agents {
        assert_eq!(ring(agent), first, "{}", agent.name);
    }
    assert_eq!(first.len(), 1);
    assert_ne!(first[0], KEY);
    first[0].clone()
}

/// Where the agent's log tells that somebody was suspected.
fn suspicions(agent: &Agent) -> Vec<String> {
    let is_suspicion = |line: &&str| {
        line.contains("member suspected")
            || line.contains("memberlist: Suspect")
            || line.contains("memberlist: Marking")
    };
    agent.log().lines().filter(is_suspicion).map(ToOwned::to_owned).collect()
}

/// User events as one agent delivers them.
struct Listener {
    thread: JoinHandle<()>,
    seen: Arc<std::sync::Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
}

impl Listener {
    fn start(agent: &Agent) -> Self {
        let (seen, stop) = (Arc::new(std::sync::Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (address, kept, stopped) = (Address::Tcp(agent.rpc.to_string()), Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                let mut client = Client::connect(&address, None).await.expect("the agent answers");
                client.stream("user").await.expect("it streams");
                ready.send(()).expect("the test waits");
                while !stopped.load(Ordering::Relaxed) {
                    let next = tokio::time::timeout(Duration::from_millis(100), client.next()).await;
                    if let Ok(Ok(pushed)) = next
                        && let Record::Event(EventRecord::User { name, .. }) = pushed.record
                    {
                        kept.lock().expect("no panic here").insert(name);
                    }
                }
            });
        });
        is_ready.recv().expect("it listens");
        Self { thread, seen, stop }
    }

    fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().expect("no panic there").clone()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it listened to the end");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Sends an event every 20 ms, through one agent after the other, until told to stop. Returns their names.
fn storm(agents: &[Agent]) -> (Arc<AtomicBool>, JoinHandle<BTreeSet<String>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, addresses) =
        (Arc::clone(&stop), agents.iter().map(|agent| Address::Tcp(agent.rpc.to_string())).collect::<Vec<_>>());
    let thread = std::thread::spawn(move || {
        runtime().block_on(async move {
            let mut clients = Vec::new();
            for address in &addresses {
                clients.push(Client::connect(address, None).await.expect("the agent answers"));
            }
            let mut every = tokio::time::interval(Duration::from_millis(20));
            let mut sent = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                every.tick().await;
                let name = format!("event-{}", sent.len());
                let at = sent.len() % clients.len();
                clients[at].event(&name, bytes::Bytes::new(), false).await.expect("it is sent");
                sent.insert(name);
            }
            sent
        })
    });
    (stop, thread)
}

#[test]
#[ignore = "needs serf"]
fn rotation_in_a_mixed_cluster_under_events_loses_none_and_suspects_nobody() {
    let agents = cluster(&[
        (Kind::Weir, "weir-1"),
        (Kind::Serf, "serf-1"),
        (Kind::Weir, "weir-2"),
        (Kind::Serf, "serf-2"),
        (Kind::Weir, "weir-3"),
        (Kind::Serf, "serf-3"),
    ]);
    let before: Vec<_> = agents.iter().map(suspicions).collect();
    let listeners: Vec<_> = agents.iter().map(Listener::start).collect();
    let (stop, thread) = storm(&agents);
    until("events flow", || if listeners[5].seen().len() > 100 { Ok(()) } else { Err("few".into()) });
    let ran = rotate(&agents[0], &[]);
    assert_eq!(ran.status.code(), Some(0), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert!(text(&ran.stderr).contains("serf-1, serf-2, serf-3 may be plain Serf"), "{}", text(&ran.stderr));
    let after = listeners[5].seen().len();
    until("events flow on", || if listeners[5].seen().len() > after + 100 { Ok(()) } else { Err("few".into()) });
    stop.store(true, Ordering::Relaxed);
    let sent = thread.join().expect("all were sent");
    for (listener, agent) in listeners.iter().zip(&agents) {
        until(&format!("{} has every event", agent.name), || {
            same(&listener.seen().len(), &sent.len()).map_err(|_| {
                let missing: Vec<_> = sent.difference(&listener.seen()).take(5).cloned().collect();
                format!("lacks {missing:?} of {}", sent.len())
            })
        });
    }
    listeners.into_iter().for_each(Listener::end);
    assert_one_new_key(&agents);
    for (agent, before) in agents.iter().zip(before) {
        assert_eq!(suspicions(agent), before, "{}", agent.name);
    }
}

/// Pauses a member as soon as a line of the rotation's story is read, and returns how the rotation ended.
fn rotate_and_pause(agents: &mut [Agent], at: usize, after: &str) -> (Option<i32>, String) {
    let mut child =
        keys(&agents[0], &["rotate"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("weir runs");
    let story = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut told = String::new();
    for line in story.lines() {
        let line = line.expect("lines are text");
        if line.contains(after) {
            agents[at].pause();
        }
        told.push_str(&line);
        told.push('\n');
    }
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), told + &text(&output.stdout))
}

/// Each pause in a cluster of its own, all at once, since most of the time a rotation waits for who is paused.
#[test]
#[ignore = "needs serf"]
fn a_member_paused_at_each_step_stops_the_rotation_which_a_later_run_finishes() {
    std::thread::scope(|scope| {
        // The line at which the member is paused, and the step that then waits for it: a member may be quicker than the
        // pause.
        for (at, line, steps) in [
            (2, "", &["check", "install"][..]),
            (1, " on 4 members", &["install", "use"]),
            (2, "1/3 install  4 of 4", &["use", "remove"]),
            (3, "2/3 use  4 of 4", &["remove", ""]),
        ] {
            scope.spawn(move || a_later_run_finishes_after_a_pause(at, line, steps));
        }
    });
}

fn a_later_run_finishes_after_a_pause(at: usize, line: &str, steps: &[&str]) {
    let mut agents =
        cluster(&[(Kind::Weir, "weir-1"), (Kind::Serf, "serf-1"), (Kind::Weir, "weir-2"), (Kind::Serf, "serf-2")]);
    let name = agents[at].name.clone();
    if line.is_empty() {
        agents[at].pause();
    }
    let (code, told) =
        if line.is_empty() { ended(rotate(&agents[0], &[])) } else { rotate_and_pause(&mut agents, at, line) };
    if code == Some(0) {
        assert!(steps.contains(&""), "{told}");
    } else {
        assert_eq!(code, Some(7), "{told}");
        assert!(steps.iter().any(|step| told.contains(&format!("stopped at {step}: {name} did not"))), "{told}");
    }
    agents[at].resume();
    await_alive(&agents);
    let listeners: Vec<_> = agents.iter().map(Listener::start).collect();
    let sent = agents[0].cli(&["event", "still-talking"]);
    assert!(sent.status.success(), "{sent:?}");
    for listener in &listeners {
        until("the cluster still talks", || {
            if listener.seen().contains("still-talking") { Ok(()) } else { Err("silence".into()) }
        });
    }
    listeners.into_iter().for_each(Listener::end);
    let (code, told) = ended(rotate(&agents[0], &[]));
    assert_eq!(code, Some(0), "{told}");
    assert_one_new_key(&agents);
}

fn ended(output: Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr) + &text(&output.stdout))
}

#[test]
fn two_operators_at_once_end_on_one_key() {
    let agents = cluster(&[(Kind::Weir, "a"), (Kind::Weir, "b"), (Kind::Weir, "c"), (Kind::Weir, "d")]);
    let mut last = KEY.to_owned();
    for _ in 0..3 {
        let run = |agent: &Agent| {
            keys(agent, &["rotate"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("weir runs")
        };
        let (one, two) = (run(&agents[0]), run(&agents[3]));
        let outcomes = [one, two].map(|child| ended(child.wait_with_output().expect("it ends")));
        assert!(outcomes.iter().any(|(code, _)| *code == Some(0)), "{outcomes:?}");
        for (code, told) in &outcomes {
            let superseded = *code == Some(7) && told.contains("superseded by a rotation from");
            assert!(*code == Some(0) || superseded, "{told}");
        }
        let key = assert_one_new_key(&agents);
        assert_ne!(key, last);
        for agent in &agents {
            let log = agent.log();
            assert!(![KEY, &key, &last].iter().any(|key| log.contains(&key[..16])), "{} logs a key", agent.name);
        }
        last = key;
    }
    await_alive(&agents);
}

/// What the state beside the ring says that the first key has sealed.
fn counted(agent: &Agent) -> u64 {
    let text = std::fs::read_to_string(agent.dir.path().join("keyring.json.state")).unwrap_or_default();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    state["sealed"][Key::from_base64(KEY).expect("a key").id().to_string()].as_u64().unwrap_or_default()
}

#[test]
fn packets_sealed_by_a_key_are_counted_across_kills_and_warned_about_for_the_whole_cluster() {
    let settings = || Settings { seal: Some("memberlist"), ..Settings::key(KEY) };
    let mut a = Agent::start(Kind::Weir, "a", settings());
    let b = Agent::start(Kind::Weir, "b", settings().join(a.gossip));
    await_agreement(&[&a, &b], &[("a", "alive"), ("b", "alive")]);
    let mut before = 0;
    for _ in 0..3 {
        until("the count is on disk", || {
            let count = counted(&a);
            if count > before { Ok(()) } else { Err(format!("{count} after {before}")) }
        });
        before = counted(&a);
        a.kill();
        assert!(counted(&a) >= before, "it never counts too little");
        a.run();
        await_agreement(&[&a, &b], &[("a", "alive"), ("b", "alive")]);
    }
    assert!(!a.log().contains("has sealed a quarter"), "{}", a.log());

    // Two thirds of what one sender may seal are too much where there are two.
    a.kill();
    let id = Key::from_base64(KEY).expect("a key").id();
    let state = format!("{{\"version\": 1, \"sealed\": {{\"{id}\": {}}}}}", (1u64 << 30) / 3 * 2);
    std::fs::write(a.dir.path().join("keyring.json.state"), state).expect("the directory is ours");
    a.run();
    a.process().await_log(&format!("key has sealed a quarter of what it safely can; run 'weir keys rotate' key={id}"));
}

/// `protocols B.3`: whoever was away holds only the old key, and is answered in it until `remove`.
#[test]
fn an_absent_member_comes_back_with_its_old_key_and_the_next_run_takes_it_along() {
    let settings = || Settings { profile: Some("local"), ..Settings::key(KEY) };
    let a = Agent::start(Kind::Weir, "a", settings());
    let [b, c] = ["b", "c"].map(|name| Agent::start(Kind::Weir, name, settings().join(a.gossip)));
    let mut agents = vec![a, b, c];
    await_alive(&agents);
    agents[2].kill();
    await_agreement(&[&agents[0], &agents[1]], &[("a", "alive"), ("b", "alive"), ("c", "failed")]);
    let (code, told) = ended(rotate(&agents[0], &["--absent", "c"]));
    assert!(code == Some(0) && told.contains(" s without c: "), "{told}");
    for agent in &agents[..2] {
        let keys = ring(agent);
        assert_eq!((keys.len(), keys[1].as_str()), (2, KEY), "{} seals with the new key", agent.name);
    }
    agents[2].run();
    await_alive(&agents);
    assert_eq!(ring(&agents[2]), [KEY], "it is heard although it knows nothing else");
    let (code, told) = ended(rotate(&agents[1], &[]));
    assert_eq!(code, Some(0), "{told}");
    assert_one_new_key(&agents);
}

#[test]
fn a_member_locked_out_comes_back_by_a_key_from_another_host() {
    let mut agents = cluster(&[(Kind::Weir, "a"), (Kind::Weir, "b"), (Kind::Weir, "c")]);
    agents[2].kill();
    await_agreement(&[&agents[0], &agents[1]], &[("a", "alive"), ("b", "alive"), ("c", "failed")]);
    let (code, told) = ended(rotate(&agents[0], &["--dry-run"]));
    assert!(code == Some(0) && told.contains("would stop at install: c is failed since"), "{told}");

    let install = keys(&agents[0], &["install", "--file", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut child = install.expect("weir runs");
    let other = Key::generate(&mut |bytes| bytes.fill(0x5a));
    child.stdin.take().expect("piped").write_all(other.to_base64().as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    assert!(
        keys(&agents[0], &["use", &other.id().to_string()])
            .stdout(Stdio::null())
            .status()
            .expect("weir runs")
            .success()
    );
    let old = Key::from_base64(KEY).expect("a key").id().to_string();
    let refused = keys(&agents[0], &["remove", &old]).output().expect("weir runs");
    let expected =
        format!("error: {old} is all that c (failed) has; removing it locks c out; wait for it, or --force c\n");
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(6), expected));

    let (code, told) = ended(rotate(&agents[0], &["--force", "c"]));
    assert!(code == Some(0) && told.contains("locked out: c"), "{told}");
    let key = assert_one_new_key(&agents[..2]);
    agents[2].run();
    until("c hears of its missing key", || {
        let log = agents[2].log();
        if log.contains("join address did not answer") || log.contains("cannot join") { Ok(()) } else { Err(log) }
    });

    let export = Command::new(weir_binary())
        .args(["keys", "export", "--config-file"])
        .arg(agents[0].config_file())
        .output()
        .expect("weir runs");
    assert_eq!(text(&export.stdout).trim(), key, "{}", text(&export.stderr));
    let mut import = keys(&agents[2], &["import", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("weir runs");
    import.stdin.take().expect("piped").write_all(&export.stdout).expect("it reads");
    assert!(import.wait().expect("it ends").success());
    assert_eq!(ring(&agents[2]), [key.as_str(), KEY], "held on disk, and the first");
    agents[2].join_to(agents[1].gossip);
    await_alive(&agents);
    assert_eq!(ended(rotate(&agents[2], &[])).0, Some(0));
    assert_one_new_key(&agents);
}
