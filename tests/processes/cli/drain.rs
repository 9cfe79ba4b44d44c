//! Drains and leaves: what the operator reads, as a golden file.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};
use weir::rpc::Refusal;
use weir::rpc::refusal::Kind;

use super::fake::{Fake, Script};
use super::support::{clean, golden, run, transcript, weir};

fn draining(balancers: &[&str]) -> Value {
    json!({ "kind": "draining", "id": "5d3e01aa", "balancers": balancers })
}

fn confirmed(balancer: &str, word: &str, elapsed_ms: u64) -> Value {
    json!({ "kind": "confirmed", "balancer": balancer, "word": word, "generation": 16, "elapsed_ms": elapsed_ms })
}

fn waiting(balancer: &str, why: &str, text: &str, earlier: &[&str]) -> Value {
    json!({ "kind": "waiting", "balancer": balancer, "why": why, "text": text, "earlier": earlier, "elapsed_ms": 260 })
}

fn lingered(by: &str, took_ms: u64, elapsed_ms: u64) -> [Value; 2] {
    [
        json!({ "kind": "lingering", "drain_time_ms": 5000, "elapsed_ms": elapsed_ms - took_ms }),
        json!({ "kind": "lingered", "by": by, "took_ms": took_ms, "elapsed_ms": elapsed_ms }),
    ]
}

fn drained() -> Vec<Value> {
    let [lingering, lingered] = lingered("drain_time", 5000, 5410);
    vec![
        draining(&["lb1", "balancer2", "lb3"]),
        confirmed("lb1", "out", 412),
        confirmed("balancer2", "none", 120),
        json!({ "kind": "unreachable", "balancer": "lb4", "failed_for_ms": 600_000 }),
        waiting("lb3", "wait", "", &[]),
        confirmed("lb3", "out", 1410),
        lingering,
        confirmed("lb1", "idle", 1800),
        lingered,
        json!({ "kind": "drained", "elapsed_ms": 5410 }),
    ]
}

fn measured() -> Vec<Value> {
    let [lingering, lingered] = lingered("none_left", 2010, 2430);
    let not_kept = json!({ "kind": "not_kept", "reason": "no snapshot is configured" });
    let drained = json!({ "kind": "drained", "elapsed_ms": 2430 });
    vec![not_kept, draining(&["lb1"]), confirmed("lb1", "out", 420), lingering, lingered, drained]
}

fn refused() -> Vec<Value> {
    vec![
        draining(&["lb1"]),
        waiting("lb1", "floor", "", &[]),
        json!({ "kind": "refused", "balancers": ["lb1"] }),
        json!({ "kind": "undone", "id": "5d3e01aa", "stays": false }),
    ]
}

fn refused_by_rule() -> Vec<Value> {
    let mut story = refused();
    story[1] = waiting("lb1", "floor", "min_healthy = 50 of upstream web", &[]);
    story
}

fn forced() -> Vec<Value> {
    vec![
        draining(&["lb1", "lb2"]),
        waiting("lb2", "wait", "", &[]),
        waiting("lb1", "floor", "min_healthy = 50 of upstream web", &[]),
        json!({ "kind": "unconfirmed", "balancers": ["lb1", "lb2"] }),
    ]
}

fn unconfirmed() -> Vec<Value> {
    vec![
        draining(&["lb1", "lb2"]),
        confirmed("lb2", "out", 400),
        waiting("lb1", "floor", "", &["web2"]),
        json!({ "kind": "yielded", "to": ["web2"], "elapsed_ms": 300 }),
        waiting("lb1", "apply", "unknown directive \"prox_pass\" in /etc/nginx/sites-enabled/shop:7", &[]),
        json!({ "kind": "unconfirmed", "balancers": ["lb1"] }),
    ]
}

fn undone() -> Vec<Value> {
    vec![json!({ "kind": "undone", "id": "5d3e01aa", "stays": false })]
}

fn undone_for_guards(guards: &[&str]) -> Vec<Value> {
    vec![json!({ "kind": "undone", "id": "5d3e01aa", "stays": false, "ended_guards": guards })]
}

fn undone_in_memory() -> Vec<Value> {
    let still_kept =
        json!({ "kind": "still_kept", "reason": "the snapshot cannot be written: no space left on device" });
    vec![still_kept, json!({ "kind": "undone", "id": "5d3e01aa", "stays": false })]
}

fn guarded() -> Vec<Value> {
    vec![json!({ "kind": "undone", "id": "5d3e01aa", "stays": true })]
}

fn guarded_twice() -> Vec<Value> {
    vec![json!({ "kind": "undone", "id": "5d3e01aa", "stays": true, "guards": ["b.service"] })]
}

fn left_behind() -> Vec<Value> {
    let [lingering, lingered] = lingered("drain_time", 5000, 5410);
    let drained = json!({ "kind": "drained", "gone": ["lb2"], "elapsed_ms": 5410 });
    vec![
        draining(&["lb1", "lb2"]),
        confirmed("lb1", "idle", 412),
        waiting("lb2", "apply", "unknown directive", &[]),
        json!({ "kind": "gone", "balancer": "lb2" }),
        lingering,
        lingered,
        drained,
    ]
}

/// What the agent hears of web2, behind its answer.
fn remote(story: Vec<Value>) -> Vec<Value> {
    let obeys = json!({ "kind": "remote", "member": "web2", "id": "5d3e01aa" });
    [obeys].into_iter().chain(story).collect()
}

fn lost(text: &str) -> Vec<Value> {
    vec![json!({ "kind": "remote_lost", "member": "web2", "id": "5d3e01aa", "text": text })]
}

fn remote_measured() -> Vec<Value> {
    remote(measured()[1..].to_vec())
}

fn remote_undone() -> Vec<Value> {
    remote(undone())
}

fn remote_refused() -> Vec<Value> {
    remote(refused())
}

fn remote_unconfirmed() -> Vec<Value> {
    remote(unconfirmed())
}

fn remote_lost() -> Vec<Value> {
    remote([vec![draining(&["lb1"])], lost("")].concat())
}

fn remote_older() -> Vec<Value> {
    remote(lost("the payload is neither on nor off"))
}

fn disobeyed() -> Vec<Value> {
    let text = "leave.remote_drain is false on web2";
    vec![json!({ "kind": "remote_refused", "member": "web2", "text": text })]
}

fn silent() -> Vec<Value> {
    vec![json!({ "kind": "remote_silent", "member": "web2" })]
}

/// As agents refuse what concerns their own node alone.
fn not_there() -> Refusal {
    Refusal::new("--force and --reason concern this agent's own node")
        .with_remedy("run 'weir drain' on web2")
        .of_kind(Kind::Usage)
}

fn newer() -> Vec<Value> {
    let held = json!({ "kind": "confirmed", "balancer": "lb1", "word": "held", "generation": 3, "elapsed_ms": 5 });
    vec![draining(&["lb1"]), held, json!({ "kind": "paused", "for_s": 3 })]
}

fn left() -> Vec<Value> {
    let [lingering, lingered] = lingered("idle", 2000, 2380);
    let leaving = json!({ "kind": "leaving", "unconfirmed": [], "unreachable": [], "elapsed_ms": 2380 });
    let left = json!({ "kind": "left", "unconfirmed": [], "elapsed_ms": 3790 });
    vec![draining(&["lb1"]), confirmed("lb1", "out", 380), lingering, lingered, leaving, left]
}

fn left_anyway() -> Vec<Value> {
    let [lingering, lingered] = lingered("drain_time", 5000, 19_000);
    let leaving = json!({ "kind": "leaving", "unconfirmed": ["lb1"], "unreachable": [], "elapsed_ms": 19_000 });
    let left = json!({ "kind": "left", "unconfirmed": [], "elapsed_ms": 20_400 });
    vec![draining(&["lb1"]), waiting("lb1", "wait", "", &[]), lingering, lingered, leaving, left]
}

fn left_without() -> Vec<Value> {
    let [lingering, lingered] = lingered("drain_time", 5000, 5410);
    let leaving = json!({ "kind": "leaving", "unconfirmed": [], "gone": ["lb2"], "elapsed_ms": 5410 });
    let left = json!({ "kind": "left", "unconfirmed": [], "elapsed_ms": 6400 });
    let gone = json!({ "kind": "gone", "balancer": "lb2" });
    vec![draining(&["lb2"]), waiting("lb2", "floor", "", &[]), gone, lingering, lingered, leaving, left]
}

fn cancelled() -> Vec<Value> {
    vec![draining(&["lb1"]), waiting("lb1", "wait", "", &[]), json!({ "kind": "cancelled" })]
}

fn answer(story: fn() -> Vec<Value>, command: &str) -> Result<String, Refusal> {
    match command {
        "weir-drain" | "weir-leave" => Ok(json!({ "story": 1 }).to_string()),
        "weir-leave-progress" => Ok(json!({ "lines": story(), "ended": true }).to_string()),
        _ => Err("Unsupported command".into()),
    }
}

/// What the command prints where the agent of web1 tells this.
fn asked(about_ours: Answers, args: &[&str]) -> String {
    let agent = [("name".to_owned(), "web1".to_owned())].into_iter().collect();
    let stats = [("agent".to_owned(), agent)].into_iter().collect();
    let fake = Fake::start(Script { about_ours: Some(about_ours), stats, ..Script::default() });
    let mut command = clean(weir());
    command.env("WEIR_RPC_ADDR", &fake.socket);
    transcript(args, &run(command, args)) + "\n"
}

/// What an agent answers to a command with a document.
type Answers = fn(&str, &str) -> Result<String, Refusal>;

/// Times of day differ from run to run.
fn without_times(text: &str) -> String {
    let time = regex::Regex::new(r"(\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\dZ").expect("an expression");
    time.replace_all(text, "TIME").into_owned()
}

#[test]
fn a_drain_tells_each_balancer_what_decided_and_the_way_back() {
    let drain = &["drain"][..];
    let rows: [(Answers, &[&str]); 40] = [
        (|command, _| answer(drained, command), &["drain", "--reason", "kernel"]),
        (|command, _| answer(drained, command), &["drain", "--no-wait"]),
        (|command, _| answer(drained, command), &["drain", "--quiet"]),
        (|command, _| answer(drained, command), &["drain", "--format", "json"]),
        (|command, _| answer(measured, command), drain),
        (|command, _| answer(measured, command), &["drain", "--no-wait"]),
        (|command, _| answer(undone_in_memory, command), &["drain", "--undo"]),
        (|command, _| answer(refused, command), drain),
        (|command, _| answer(refused, command), &["drain", "--format", "json"]),
        (|command, _| answer(refused_by_rule, command), drain),
        (|command, _| answer(forced, command), &["drain", "--force"]),
        (|command, _| answer(unconfirmed, command), drain),
        (|command, _| answer(undone, command), &["drain", "--undo"]),
        (|command, _| answer(|| undone_for_guards(&["app.service"]), command), &["drain", "--undo"]),
        (|command, _| answer(|| undone_for_guards(&["a.service", "b.service"]), command), &["drain", "--undo"]),
        (|command, _| answer(|| undone_for_guards(&[""]), command), &["drain", "--undo"]),
        (
            |command, _| answer(|| undone_for_guards(&["app.service"]), command),
            &["drain", "--undo", "--format", "json"],
        ),
        (|command, _| answer(drained, command), &["drain", "--guard"]),
        (|command, _| answer(unconfirmed, command), &["drain", "--guard"]),
        (|command, _| answer(guarded, command), &["drain", "--undo", "--if-guard"]),
        (|command, _| answer(guarded_twice, command), &["drain", "--undo", "--if-guard=a.service"]),
        (|command, _| answer(left_behind, command), drain),
        (|command, _| answer(remote_measured, command), &["drain", "web2"]),
        (|command, _| answer(remote_measured, command), &["drain", "web2", "--no-wait"]),
        (|command, _| answer(remote_undone, command), &["drain", "web2", "--undo", "--format", "json"]),
        (|command, _| answer(remote_refused, command), &["drain", "web2"]),
        (|command, _| answer(remote_unconfirmed, command), &["drain", "web2"]),
        (|command, _| answer(remote_lost, command), &["drain", "web2"]),
        (|command, _| answer(remote_lost, command), &["drain", "web2", "--undo"]),
        (|command, _| answer(remote_older, command), &["drain", "web2", "--format", "json"]),
        (|command, _| answer(disobeyed, command), &["drain", "web2"]),
        (|command, _| answer(disobeyed, command), &["drain", "web2", "--format", "json"]),
        (|command, _| answer(disobeyed, command), &["drain", "web2", "--undo"]),
        (|command, _| answer(silent, command), &["drain", "web2"]),
        (|command, _| answer(silent, command), &["drain", "web2", "--undo", "--format", "json"]),
        (|_, _| Err(not_there()), &["drain", "web2", "--reason", "kernel"]),
        (|_, _| panic!("nobody is to be asked"), &["drain", "--reason", "two\nlines"]),
        (|command, _| answer(newer, command), drain),
        (|_, _| Err(Refusal::new("this node leaves the cluster").with_remedy("start it again")), drain),
        (|command, _| answer(drained, command), &["drain", "--undo", "--force"]),
    ];
    let all: String = rows.into_iter().map(|(script, args)| asked(script, args)).collect();
    golden("drain.txt", &without_times(&all));
}

#[test]
fn a_leave_is_told_as_it_goes_and_ends_with_serfs_words() {
    let rows: [(Answers, &[&str]); 6] = [
        (|command, _| answer(left, command), &["leave"]),
        (|command, _| answer(cancelled, command), &["leave"]),
        (|command, _| answer(left_without, command), &["leave"]),
        (|command, _| answer(left, command), &["leave", "--drain-time", "2s", "--timeout", "20s", "--format", "json"]),
        (|command, _| answer(left_anyway, command), &["leave"]),
        (|command, _| answer(left, command), &["leave", "--drain-time", "2"]),
    ];
    let all: String = rows.into_iter().map(|(script, args)| asked(script, args)).collect();
    golden("leave.txt", &all);
}

#[test]
fn the_units_command_ends_well_whatever_it_finds() {
    let leaves: Answers = |command, document| match command {
        "weir-on-stop" => Ok(json!({ "leaves": document == r#"{"restart":false}"# }).to_string()),
        _ => answer(left, command),
    };
    let stays: Answers = |command, _| match command {
        "weir-on-stop" => Ok(json!({ "leaves": false }).to_string()),
        _ => panic!("it is not to leave"),
    };
    let older: Answers = |_, _| Err("Unsupported command".into());
    let args = ["leave", "--on-stop"];
    let silent = "$ weir leave --on-stop\n--- stderr\n--- exit 0\n\n";
    assert_eq!(asked(leaves, &args), silent);
    assert_eq!(asked(stays, &args), silent);
    assert!(asked(older, &args).ends_with("--- exit 0\n\n"));
    let mut nobody = clean(weir());
    nobody.env("WEIR_RPC_ADDR", "/nonexistent/rpc.sock");
    assert_eq!(transcript(&args, &run(nobody, &args)) + "\n", silent);
}

#[test]
fn a_guard_without_an_agent_has_nothing_to_do() {
    for (args, code) in [
        (&["drain", "--guard"][..], 0),
        (&["drain", "--undo", "--if-guard"], 0),
        (&["drain", "--undo", "--if-guard=www.service"], 0),
        (&["drain"], 3),
        (&["drain", "--undo"], 3),
    ] {
        let mut nobody = clean(weir());
        nobody.env("WEIR_RPC_ADDR", "/nonexistent/rpc.sock");
        assert_eq!(run(nobody, args).code, Some(code), "{args:?}");
    }
}

#[test]
fn a_guard_whose_agent_ends_as_it_is_called_asks_the_next_one() {
    let agent = [("name".to_owned(), "web1".to_owned())].into_iter().collect();
    let stats = [("agent".to_owned(), agent)].into_iter().collect();
    let about_ours: Answers = |command, _| answer(drained, command);
    let next = Fake::start(Script { about_ours: Some(about_ours), stats, ..Script::default() });
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("rpc.sock");
    let ending = UnixListener::bind(&socket).expect("a fresh socket is free");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let called = ending.accept().expect("the guard calls");
            std::fs::rename(&next.socket, &socket).expect("both are here");
            drop(called);
        });
        let mut guard = clean(weir());
        guard.env("WEIR_RPC_ADDR", &socket);
        let ran = run(guard, &["drain", "--guard"]);
        assert!(ran.code == Some(0) && ran.stdout.contains("gets no new requests"), "{ran:?}");
    });
}
