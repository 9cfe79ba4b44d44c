//! What a server hears of a balancer: whether requests go to it, or what is in the way (`protocols D.5`).

use std::process::Command;

use serde_json::{Value, json};

use super::stage::{Balancer, KEY};
use crate::support::{Agent, Kind, Settings, until, weir_binary};

/// What lb1 says about `member`, asked through that agent.
fn told(agent: &Agent, member: &str) -> Result<Value, String> {
    let asked = agent.cli(&["query", "weir-serving", member, "--no-ack", "--timeout", "1s", "--format", "json"]);
    let answers: Value = serde_json::from_slice(&asked.stdout).map_err(|error| format!("{error}: {asked:?}"))?;
    let answer = answers["Responses"]["lb1"].as_str().ok_or_else(|| answers.to_string())?;
    serde_json::from_str(answer).map_err(|error| format!("{error}: {answer}"))
}

/// Waits until that is `wanted`, of the first upstream; returns the whole answer.
fn await_told(agent: &Agent, member: &str, wanted: &Value) -> Value {
    until(&format!("{member}: {wanted}"), || {
        let told = told(agent, member)?;
        let first = &told["upstreams"][0];
        let is_so = wanted.as_object().unwrap().iter().all(|(key, value)| first[key] == *value);
        if is_so { Ok(told) } else { Err(told.to_string()) }
    })
}

fn upstream(balancer: &Balancer, args: &[&str]) {
    let mut weir = Command::new(weir_binary());
    weir.arg("upstream").args(args).env("WEIR_RPC_ADDR", balancer.agent.rpc.to_string());
    let ran = weir.output().unwrap();
    assert!(ran.status.success(), "{args:?}: {ran:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_server_hears_that_requests_come_or_which_rule_keeps_them_away() {
    let balancer = Balancer::start();
    let one = balancer.web("web1", "1");
    let serving = await_told(&one, "web1", &json!({ "name": "web", "place": "serving" }));
    assert!(serving["generation"].as_u64().is_some_and(|generation| generation > 1), "{serving}");
    balancer.await_answers(&[("web1", 1)]);
    until("the balancer's own connection", || match told(&one, "web1")? {
        told if told["tcp"] == json!(true) => Ok(()),
        told => Err(told.to_string()),
    });

    upstream(&balancer, &["hold", "--reason", "a look first"]);
    let two = balancer.web("web2", "1");
    let out = await_told(&two, "web2", &json!({ "place": "out", "rule": "held", "result": "yes" }));
    assert!(out["upstreams"][0]["why"].as_str().is_some_and(|why| why.ends_with("a look first")), "{out}");
    // Nobody is tried whom others ask about.
    assert_eq!(told(&one, "web2").unwrap()["tcp"], Value::Null);
    upstream(&balancer, &["release"]);
    await_told(&two, "web2", &json!({ "place": "serving" }));

    assert!(two.cli(&["drain"]).status.success(), "{}", balancer.agent.log());
    await_told(&two, "web2", &json!({ "place": "out", "rule": "drain" }));

    let settings = Settings { profile: Some("local"), ..Settings::key(KEY).join(balancer.agent.gossip) };
    let app = Agent::start(Kind::Weir, "app1", settings.tag("role", "app"));
    let why = "role=app does not match ^(?:web)$";
    await_told(&app, "app1", &json!({ "place": "not_selected", "why": why }));
    assert_eq!(told(&app, "nobody").unwrap()["upstreams"], json!([]));
}
