//! Keys and names in trouble: each case is brought about with real agents, what `doctor` and the commands advise is followed to
//! the letter, and the cluster is well afterwards.

mod names;
mod rotation;
mod shut_out;
mod strangers;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::support::{Agent, Kind, Settings, await_agreement, until, weir_binary};
use weir::crypto::Key;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHCAkKCwwNDg8=";

fn settings(key: &str) -> Settings {
    Settings { profile: Some("local"), ..Settings::key(key) }
}

fn start(name: &str, settings: Settings) -> Agent {
    Agent::start(Kind::Weir, name, settings)
}

/// Weir agents of these names under `key`, all joined to the first.
fn cluster(names: &[&str], key: &str) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for name in names {
        let mut settings = settings(key);
        settings.join.extend(agents.first().map(|first| first.gossip));
        agents.push(start(name, settings));
    }
    await_alive(&agents.iter().collect::<Vec<_>>());
    agents
}

fn await_alive(agents: &[&Agent]) {
    let names: Vec<(&str, &str)> = agents.iter().map(|agent| (agent.name.as_str(), "alive")).collect();
    await_agreement(agents, &names);
}

/// What `doctor` finds at an agent in these groups, `LEVEL ID MESSAGE; REMEDY`.
fn doctor(agent: &Agent, groups: &[&str]) -> Vec<String> {
    let mut command = Command::new(weir_binary());
    command.args(["doctor", "--format", "json", "--config-file"]).arg(agent.config_file());
    command.args(groups.iter().flat_map(|group| ["--only", group])).env_remove("SERF_RPC_ADDR");
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let line = |finding| {
        let [level, id, message, remedy] = ["level", "id", "message", "remedy"].map(|key| word(finding, key));
        format!("{level} {id} {message}; {remedy}")
    };
    report["findings"].as_array().unwrap().iter().map(line).collect()
}

/// The findings of one check.
fn found(agent: &Agent, id: &str) -> Vec<String> {
    let group = id.split('.').next().unwrap();
    doctor(agent, &[group]).into_iter().filter(|line| line.split(' ').nth(1) == Some(id)).collect()
}

/// Waits until a check finds something that holds `words`. Returns it.
fn await_finding(agent: &Agent, id: &str, words: &str) -> String {
    until(&format!("{} finds {id} with {words}", agent.name), || {
        let found = found(agent, id);
        found.iter().find(|line| line.contains(words)).cloned().ok_or_else(|| format!("{found:#?}\n{}", agent.log()))
    })
}

/// Waits until nothing is found in these groups on any of them.
fn await_well(agents: &[&Agent], groups: &[&str]) {
    for agent in agents {
        until(&format!("{} is well", agent.name), || {
            let found = doctor(agent, groups);
            if found.is_empty() { Ok(()) } else { Err(format!("{found:#?}")) }
        });
    }
}

fn keys(agent: &Agent, args: &[&str]) -> Output {
    let mut command = Command::new(weir_binary());
    command.arg("keys").args(args).arg(format!("--rpc-addr={}", agent.rpc)).stdin(Stdio::null());
    command.output().unwrap()
}

fn rotate(agent: &Agent, args: &[&str]) -> (Option<i32>, String) {
    let output = keys(agent, &[&["rotate"], args].concat());
    (output.status.code(), text(&output.stderr) + &text(&output.stdout))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `weir keys export` on one host, `weir keys import` on another. Returns what that says.
fn carry_key(from: &Agent, to: &Agent) -> String {
    let weir = |action: &str, agent: &Agent| {
        let mut command = Command::new(weir_binary());
        command.args(["keys", action, "--config-file"]).arg(agent.config_file()).env_remove("SERF_RPC_ADDR");
        command
    };
    let exported = weir("export", from).output().unwrap();
    let mut import = weir("import", to);
    // As the advice has it.
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&exported.stdout).unwrap();
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?} after {exported:?}");
    text(&output.stdout)
}

/// Identifiers of the ring on disk, the primary key first.
fn ring(agent: &Agent) -> Vec<String> {
    let file = std::fs::read(agent.dir.path().join("keyring.json")).unwrap();
    let keys: Vec<String> = serde_json::from_slice(&file).unwrap();
    keys.iter().map(|key| id(key)).collect()
}

fn id(key: &str) -> String {
    Key::from_base64(key).unwrap().id().to_string()
}
