//! The query `health` between both kinds: a balancer asks, plain agents answer by the script that we ship, or not at all.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::KEY;
use crate::support::{Agent, Kind, Settings, await_agreement, until, until_within};

/// What a script that checks the service does.
struct Service {
    dir: tempfile::TempDir,
}

impl Service {
    fn new() -> Self {
        let service = Self { dir: tempfile::tempdir().unwrap() };
        service.does("echo well");
        service
    }

    fn does(&self, script: &str) {
        let new = self.dir.path().join("new");
        std::fs::write(&new, script).unwrap();
        std::fs::rename(new, self.script()).unwrap();
    }

    fn script(&self) -> std::path::PathBuf {
        self.dir.path().join("check")
    }

    /// As Serf's flag, with the script from this repository.
    fn handler(&self) -> String {
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/health.sh");
        format!("-event-handler=query:health={ours} sh {}", self.script().display())
    }
}

fn balancer(more: &str) -> Agent {
    let mut agent = Agent::prepare(Kind::Weir, "lb", Settings::key(KEY).tag("role", "lb"));
    agent.options_mut().toml = format!(
        "{more}\n[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n\
         [upstream.web.nginx]\nform = \"none\"\n[apply]\nmode = \"direct\"\nstate = \"{}\"\n",
        agent.dir.path().join("apply").display()
    );
    agent.run();
    agent
}

/// What the balancer knows of that member: health, source, and what it said.
fn told(balancer: &Agent, member: &str) -> Result<[Value; 3], String> {
    let output = balancer.cli(&["health", "--format=json"]);
    let document: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    let members = document["members"].as_array().ok_or("no list")?;
    let member = members.iter().find(|each| each["name"] == member).ok_or("no such member")?;
    Ok([member["health"].clone(), member["source"].clone(), member["output"].clone()])
}

fn becomes(balancer: &Agent, member: &str, expected: [&str; 3]) {
    until(&format!("{member} is {expected:?}"), || {
        let told = told(balancer, member)?;
        if told == expected.map(Value::from) { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

#[test]
#[ignore = "needs serf"]
fn plain_agents_answer_by_the_shipped_script_and_count_as_without_check_where_they_do_not() {
    let service = Service::new();
    let lb = balancer("[health]\nquery_interval = \"500ms\"\nquery_timeout = \"400ms\"");
    let web = || Settings::key(KEY).tag("role", "web").join(lb.gossip);
    let mut with_script = web();
    with_script.serf_args.push(service.handler());
    let script = Agent::start(Kind::Serf, "script", with_script);
    let plain = Agent::start(Kind::Serf, "plain", web());
    let ours = Agent::start(Kind::Weir, "ours", web());
    let everybody = [("lb", "alive"), ("script", "alive"), ("plain", "alive"), ("ours", "alive")];
    await_agreement(&[&lb, &script, &plain, &ours], &everybody);

    becomes(&lb, "script", ["passing", "answer", "well"]);
    becomes(&lb, "plain", ["none", "nothing", ""]);
    becomes(&lb, "ours", ["none", "answer", "no checks"]);
    service.does("echo 91 % full; echo more; exit 1");
    becomes(&lb, "script", ["warning", "answer", "91 % full"]);
    service.does("echo disk on fire >&2; exit 3");
    becomes(&lb, "script", ["critical", "answer", "disk on fire"]);
    let shown = |args: &[&str]| -> Value { serde_json::from_slice(&lb.cli(args).stdout).unwrap() };
    let members = shown(&["members", "--format=json", "--name=script"]);
    assert_eq!(members["members"][0]["health"], json!("critical"), "{members}");
    let counts = shown(&["status", "--format=json"])["health"].clone();
    assert_eq!((&counts["critical"], &counts["none"]), (&json!(1), &json!(3)), "{counts}");
    until("who says so is out", || {
        let output = lb.cli(&["status", "--format=json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        let servers = shown["upstreams"][0]["servers"].as_array().ok_or("no servers")?;
        let state = |name: &str| servers.iter().find(|each| each["member"] == name).map(|each| each["state"].clone());
        let states = ["script", "plain", "ours"].map(state);
        let wanted = ["down", "in", "in"].map(|state| Some(json!(state)));
        if states == wanted { Ok(()) } else { Err(format!("{states:?}")) }
    });
    service.does("sleep 10");
    becomes(&lb, "script", ["silent", "silence", "disk on fire"]);
    service.does("echo well again");
    becomes(&lb, "script", ["passing", "answer", "well again"]);
}

/// A handler for everything is none for this query.
const GENERAL: &str = "[handler.any]\non = [\"*\"]\nshell = \"echo critical by chance\"\n";

#[test]
#[ignore = "needs serf"]
fn a_real_agent_asks_ours_and_a_handler_of_ours_answers_where_there_are_no_checks() {
    let ours = Agent::start(Kind::Weir, "ours", Settings::key(KEY).toml(GENERAL));
    let handler = "[handler.health]\non = [\"query:health\"]\nshell = \"echo warning by hand\"\n";
    let scripted = Agent::start(Kind::Weir, "scripted", Settings::key(KEY).toml(handler).join(ours.gossip));
    let serf = Agent::start(Kind::Serf, "serf", Settings::key(KEY).join(ours.gossip));
    await_agreement(&[&ours, &scripted, &serf], &[("ours", "alive"), ("scripted", "alive"), ("serf", "alive")]);
    let answers = until_within(Duration::from_secs(20), "both answer", || {
        let output = serf.cli(&["query", "-format=json", "-timeout=2s", "health"]);
        let told: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        let answers = told["Responses"].clone();
        if answers.as_object().is_some_and(|answers| answers.len() == 2) { Ok(answers) } else { Err(told.to_string()) }
    });
    assert_eq!(answers["ours"], json!("passing drain=- no checks\n"));
    assert_eq!(answers["scripted"], json!("warning by hand\n"));
}

/// Its service refuses connections all the while; what differs is whether its agent answers our pings.
#[test]
#[ignore = "needs serf"]
fn a_real_agent_answers_the_second_witness_and_a_stopped_one_is_silent_before_gossip_doubts_it() {
    let lb = balancer("[upstream.web.probe]\ntcp = true\ninterval = \"100ms\"");
    let mut serf = Agent::start(Kind::Serf, "serf", Settings::key(KEY).tag("role", "web").join(lb.gossip));
    await_agreement(&[&lb, &serf], &[("lb", "alive"), ("serf", "alive")]);
    let (silent, answers) = ("its agent does not answer either", "its agent answers, or its service does");
    until("its probe has failed for a while", || {
        let log = lb.log();
        let failed = log.matches("a second witness was asked").count();
        if failed >= 3 { Ok(()) } else { Err(format!("{failed} rounds in {log}")) }
    });
    assert!(!lb.log().contains(silent), "its agent is well: {}", lb.log());
    serf.pause();
    until("it is silent", || if lb.log().contains(silent) { Ok(()) } else { Err(lb.log()) });
    assert!(!lb.log().contains("member suspected"), "gossip takes longer: {}", lb.log());
    serf.resume();
    until("it answers", || if lb.log().contains(answers) { Ok(()) } else { Err(lb.log()) });
}
