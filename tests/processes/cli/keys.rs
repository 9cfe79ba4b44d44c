//! Rotation, status and keys by hand: what the operator reads, as golden files, and what happens to the files.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weir::rpc::{Refusal, proto};

use super::fake::{Fake, Script};
use super::support::{Run, clean, golden, piped, run, transcript, weir};

const OLD: &str = "3fa9c1d2";
const NEW: &str = "b07e4410";
/// A minute ago for the text, so that it shows no date; golden files show it as `TIME`.
fn since() -> String {
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    format!("{:.0}", jiff::Timestamp::try_from(time).expect("a time of this century"))
}

fn member(name: &str, status: &str, weir: bool) -> Value {
    let holds = if status == "alive" { json!([OLD]) } else { Value::Null };
    let seals_with = if status == "alive" { json!(OLD) } else { Value::Null };
    json!({ "name": name, "status": status, "since": since(), "holds": holds, "seals_with": seals_with, "weir": weir })
}

fn planned(members: &[Value]) -> Value {
    json!({ "kind": "planned", "old": [OLD], "new": NEW, "extra": [], "members": members, "tombstones": [],
        "clean_up": false, "wait_s": null })
}

fn confirmed(step: &str, key: &str, confirmed: u32, complete: bool) -> Value {
    let elapsed_ms = match step {
        "install" => 430,
        "use" => 870,
        _ => 1290,
    };
    json!({ "kind": "confirmed", "step": step, "action": step, "key": key, "confirmed": confirmed, "of": 3,
        "complete": complete, "elapsed_ms": elapsed_ms })
}

fn stopped(step: &str, who: Value) -> Value {
    let taken = step != "check";
    let sealing = ["use", "remove"].contains(&step);
    json!({
        "kind": "stopped", "step": step, "old": [OLD], "new": NEW, "taken": taken, "sealing": sealing, "left_over": [OLD],
        "members": 3, "who": [who], "elapsed_ms": 16_000,
    })
}

fn three() -> Vec<Value> {
    ["lb1", "web1", "web2"].map(|name| member(name, "alive", true)).to_vec()
}

fn answer(stories: impl Fn() -> Vec<Value>, command: &str) -> Result<String, Refusal> {
    match command {
        "weir-keys-rotate" => Ok(json!({ "rotation": 1 }).to_string()),
        "weir-keys-progress" => Ok(json!({ "lines": stories(), "ended": true }).to_string()),
        _ => Err("Unsupported command".into()),
    }
}

fn done(command: &str, _: &str) -> Result<String, Refusal> {
    let end =
        json!({ "kind": "rotated", "old": [OLD], "new": NEW, "members": 3, "locked_out": [], "elapsed_ms": 1310 });
    let story = || {
        vec![
            planned(&three()),
            json!({ "kind": "confirmed", "step": "check", "action": "list", "key": null, "confirmed": 3, "of": 3, "complete": true, "elapsed_ms": 10 }),
            confirmed("install", NEW, 2, false),
            confirmed("install", NEW, 3, true),
            confirmed("use", NEW, 3, true),
            confirmed("remove", OLD, 3, true),
            end.clone(),
        ]
    };
    answer(story, command)
}

fn away(command: &str, _: &str) -> Result<String, Refusal> {
    let story = || {
        vec![
            planned(&[member("lb1", "alive", true), member("web1", "alive", true), member("web2", "failed", true)]),
            confirmed("install", NEW, 2, false),
            stopped("install", json!({ "name": "web2", "why": "away", "status": "failed", "since": since() })),
        ]
    };
    answer(story, command)
}

fn superseded(command: &str, _: &str) -> Result<String, Refusal> {
    let why = json!({ "name": "web1", "why": "superseded", "text": "superseded by a rotation from lb2" });
    answer(|| vec![planned(&three()), confirmed("install", NEW, 3, true), stopped("use", why.clone())], command)
}

fn not_kept(command: &str, _: &str) -> Result<String, Refusal> {
    let why =
        json!({ "name": "web2", "why": "not_kept", "text": "not kept: the keyring is the read-only credential ring" });
    answer(|| vec![planned(&three()), confirmed("install", NEW, 2, false), stopped("install", why.clone())], command)
}

fn silent_at_remove(command: &str, _: &str) -> Result<String, Refusal> {
    let story = || {
        vec![
            planned(&three()),
            confirmed("install", NEW, 3, true),
            confirmed("use", NEW, 3, true),
            confirmed("remove", OLD, 2, false),
            stopped("remove", json!({ "name": "web\u{1b}2", "why": "silent" })),
        ]
    };
    answer(story, command)
}

fn mistyped(command: &str, _: &str) -> Result<String, Refusal> {
    let story = || vec![stopped("check", json!({ "name": "web-2", "why": "unknown" }))];
    answer(story, command)
}

fn with_serf(command: &str, _: &str) -> Result<String, Refusal> {
    let story = || {
        let mut plan =
            planned(&[member("lb1", "alive", true), member("old1", "alive", false), member("web2", "failed", true)]);
        plan["extra"] = json!(["91d2aa07"]);
        plan["tombstones"] = json!(["web9"]);
        plan["wait_s"] = json!(30);
        vec![plan]
    };
    answer(story, command)
}

fn refuses(_: &str, _: &str) -> Result<String, Refusal> {
    Err(Refusal::new("gossip is not encrypted, there is no key to rotate").with_remedy("give the cluster a key first"))
}

pub(crate) fn status(command: &str, _: &str) -> Result<String, Refusal> {
    let key = |id: &str, primary_on: u32, held_by: u32, sealed: u64| {
        json!({ "id": id, "primary_on": primary_on, "held_by": held_by, "members": 4, "sealed_packets": sealed,
            "worn": sealed as f64 * 4.0 / 4_294_967_296.0 })
    };
    let member = |name: &str, status: &str, holds: Value, envelope: &str| {
        let seals_with = holds.get(0).cloned().unwrap_or_default();
        let last_seen = if status == "failed" { json!(since()) } else { Value::Null };
        json!({ "name": name, "status": status, "holds": holds, "seals_with": seals_with, "envelope": envelope,
            "last_seen": last_seen, "message": null })
    };
    assert_eq!(command, "weir-keys-status");
    Ok(json!({
        "keys": [key("14f41977", 3, 3, 412_008), key("69ce8489", 0, 2, 0)],
        "members": [
            member("lb1", "alive", json!(["14f41977", "69ce8489"]), "session"),
            member("old1", "alive", json!(["14f41977"]), "memberlist"),
            member("web1", "alive", json!(["14f41977", "69ce8489"]), ""),
            member("web2", "failed", Value::Null, "session"),
        ]
    })
    .to_string())
}

fn members() -> Vec<proto::Member> {
    let alive = |name, host| super::fake::member(name, host, proto::Status::Alive, &[]);
    vec![alive("lb1", 21), alive("web1", 22), super::fake::member("web2", 23, proto::Status::Failed, &[])]
}

fn ask(about_keys: fn(&str, &str) -> Result<String, Refusal>, args: &[&str]) -> Run {
    let keys =
        [("HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=", 4), ("GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=", 2)];
    let keys = Some(keys.map(|(key, held)| (key.to_owned(), held)).into());
    let fake = Fake::start(Script { about_ours: Some(about_keys), keys, members: members(), ..Script::default() });
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", &fake.socket);
    run(command, args)
}

/// Times of day differ from run to run.
fn without_times(text: &str) -> String {
    let time = regex::Regex::new(r"(\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\dZ").expect("an expression");
    time.replace_all(text, "TIME").into_owned()
}

#[test]
fn rotation_tells_each_step_and_how_things_stand() {
    let rotate = &["keys", "rotate"][..];
    let json = &["keys", "rotate", "--format", "json"][..];
    let all: String = [
        (done as fn(&str, &str) -> _, rotate),
        (done, &["keys", "rotate", "--quiet"]),
        (done, json),
        (away, rotate),
        (away, json),
        (superseded, rotate),
        (not_kept, rotate),
        (silent_at_remove, rotate),
        (mistyped, &["keys", "rotate", "--absent", "web-2"]),
        (with_serf, &["keys", "rotate", "--dry-run"]),
        (with_serf, &["keys", "rotate", "--dry-run", "--absent", "web2"]),
        (refuses, rotate),
    ]
    .into_iter()
    .map(|(script, args)| transcript(args, &ask(script, args)) + "\n")
    .collect();
    golden("keys-rotate.txt", &without_times(&all));
}

#[test]
fn status_is_two_tables() {
    let lines: [&[&str]; 3] =
        [&["keys", "status"], &["keys", "status", "--header"], &["keys", "status", "--format", "json"]];
    let all: String = lines.into_iter().map(|args| transcript(args, &ask(status, args)) + "\n").collect();
    golden("keys-status.txt", &without_times(&all));
}

#[test]
fn removing_a_key_that_somebody_needs_is_refused() {
    let lines: [&[&str]; 3] = [
        &["keys", "remove", "69ce8489"],
        &["keys", "remove", "69ce8489", "--force", "web2"],
        &["keys", "remove", "69ce8489", "--format", "json"],
    ];
    let all: String = lines.into_iter().map(|args| transcript(args, &ask(status, args)) + "\n").collect();
    golden("keys-remove.txt", &all);
}

const KEYS: [&str; 2] = ["AAECAwQFBgcICQoLDA0ODw==", "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs="];

/// A host with a configuration, and no agent.
fn host(dir: &Path) -> impl Fn(&[&str]) -> Run {
    let ring = dir.join("keyring.json");
    std::fs::write(dir.join("weir.toml"), format!("encryption.keyring = \"{}\"\n", ring.display())).expect("ours");
    std::fs::write(dir.join("key"), format!("{}\n", KEYS[1])).expect("ours");
    let config = dir.join("weir.toml").display().to_string();
    let key = dir.join("key").display().to_string();
    let nobody = dir.join("nobody.sock");
    move |args| {
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &nobody).env("WEIR_CONFIG", &config);
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "KEY" { key.as_str() } else { arg }).collect();
        run(command, &args)
    }
}

#[test]
fn keys_go_from_host_to_host_by_hand_without_agents() {
    let dir = tempfile::tempdir().expect("a directory");
    let weir = host(dir.path());
    let ring = dir.path().join("keyring.json");
    let keys = || -> Vec<String> { serde_json::from_slice(&std::fs::read(&ring).expect("it is there")).expect("JSON") };

    let ran = weir(&["keys", "export"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: no keyring at "), "{ran:?}");
    let ran = weir(&["keys", "import", "--file", "KEY"]);
    assert_eq!(
        (ran.stdout.as_str(), ran.code),
        ("b6e3e6b4 seals on this host (for its next start)\n", Some(0)),
        "{ran:?}"
    );
    assert_eq!(std::fs::metadata(&ring).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(weir(&["keys", "export"]).stdout, format!("{}\n", KEYS[1]));

    std::fs::write(dir.path().join("key"), KEYS[0]).expect("ours");
    weir(&["keys", "import", "--file", "KEY", "--add"]);
    assert_eq!(keys(), [KEYS[1], KEYS[0]]);
    weir(&["keys", "import", "--file", "KEY"]);
    assert_eq!(keys(), [KEYS[0], KEYS[1]]);

    std::fs::write(dir.path().join("key"), "c2hvcnQ=").expect("ours");
    let ran = weir(&["keys", "import", "--file", "KEY"]);
    assert_eq!(ran.stderr, "error: key must be 16, 24 or 32 bytes long, this one has 5; 'weir keygen' makes one\n");
    assert_eq!(ran.code, Some(2));
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o640)).expect("ours");
    let ran = weir(&["keys", "export"]);
    assert!(
        ran.stderr.ends_with("can be read by others (mode 0640); chmod 600 it and run 'weir keys rotate'\n"),
        "{ran:?}"
    );
}

#[test]
fn import_for_a_configuration_goes_to_the_agent_of_that_configuration() {
    fn import(command: &str, _: &str) -> Result<String, Refusal> {
        assert_eq!(command, "weir-keys-import");
        Ok(json!({ "id": "b6e3e6b4" }).to_string())
    }
    let fake = Fake::start(Script { about_ours: Some(import), members: members(), ..Script::default() });
    let dir = tempfile::tempdir().expect("a directory");
    let (config, key) = (dir.path().join("weir.toml"), dir.path().join("key"));
    std::fs::write(&config, format!("rpc.socket = \"{}\"\n", fake.socket.display())).expect("ours");
    std::fs::write(&key, KEYS[1]).expect("ours");
    let [config, key] = [config, key].map(|path| path.display().to_string());
    let ran = run(weir(), &["keys", "import", "--config-file", &config, "--file", &key]);
    assert_eq!(ran.stdout, "b6e3e6b4 seals on this host (the running agent)\n", "{ran:?}");
}

#[test]
fn import_hands_the_key_to_a_running_agent() {
    fn import(command: &str, document: &str) -> Result<String, Refusal> {
        assert_eq!(command, "weir-keys-import");
        assert_eq!(document, json!({ "key": KEYS[1], "add": true }).to_string());
        Ok(json!({ "id": "b6e3e6b4" }).to_string())
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("key"), KEYS[1]).expect("ours");
    let ran = ask(import, &["keys", "import", "--add", "--file", &dir.path().join("key").display().to_string()]);
    assert_eq!(ran.stdout, "b6e3e6b4 is held on this host (the running agent)\n", "{ran:?}");
}

#[test]
fn a_key_comes_from_standard_input_where_that_is_no_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let _configured = host(dir.path());
    // As an advice says it, without a word on where the key is.
    let mut command = weir();
    command.env("WEIR_RPC_ADDR", dir.path().join("nobody.sock")).env("WEIR_CONFIG", dir.path().join("weir.toml"));
    let ran = piped(command, &["keys", "import"], &format!("{}\n", KEYS[1]));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("b6e3e6b4 seals on this host (for its next start)\n", ""));
    for command in ["import", "install"] {
        let nothing = run(weir(), &["keys", command]);
        let told = "error: there is no key in what was given; give it with --file FILE, or on standard input\n";
        assert_eq!((nothing.stderr.as_str(), nothing.code), (told, Some(2)), "{command}");
    }
}

#[test]
fn on_a_terminal_a_key_is_asked_for_and_not_shown() {
    const PROMPT: &str = "cluster key (hidden): ";
    let dir = tempfile::tempdir().expect("a directory");
    let _configured = host(dir.path());
    // It gives what it runs a terminal.
    let mut command = clean(Command::new("script"));
    command.args(["-q", "-e", "-c", &format!("{} keys import", weir().get_program().display()), "/dev/null"]);
    command.env("WEIR_RPC_ADDR", dir.path().join("nobody.sock")).env("WEIR_CONFIG", dir.path().join("weir.toml"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has it");
    let mut terminal = child.stdout.take().expect("it is piped");
    let mut shown = String::new();
    while !shown.ends_with(PROMPT) {
        let mut byte = [0];
        assert_eq!(terminal.read(&mut byte).expect("it can be read"), 1, "{shown}");
        shown.push(byte[0].into());
    }
    let mut typing = child.stdin.take().expect("it is piped");
    typing.write_all(format!("{}\r", KEYS[1]).as_bytes()).expect("it listens");
    let mut answer = String::new();
    terminal.read_to_string(&mut answer).expect("it answers");
    assert!(child.wait().expect("it ends").success(), "{answer}");
    let told = format!("{}\r\nb6e3e6b4 seals on this host (for its next start)\r\n", "·".repeat(KEYS[1].len()));
    assert_eq!((shown.as_str(), answer.as_str()), (PROMPT, told.as_str()));
}
