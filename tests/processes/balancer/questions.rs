//! What operators ask a running balancer: why a member is where it is, and what would happen if.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::stage::{Balancer, KEY};
use crate::support::{Agent, Kind, Settings, until, weir_binary};

/// What `weir` says at the agent of `rpc`, and its exit code.
fn said(rpc: &str, args: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(weir_binary()).args(args).env("WEIR_RPC_ADDR", rpc).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)), status.code())
}

fn told(rpc: &str, args: &[&str]) -> Value {
    let (text, _) = said(rpc, &[args, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
}

/// The rule that puts a member where it is in the upstream `web`, with its result.
fn decisive(rpc: &str, member: &str) -> (String, String) {
    let explained = told(rpc, &["explain", member]);
    let web = explained["upstreams"].as_array().unwrap().iter().find(|each| each["name"] == "web").unwrap();
    let rules: Vec<&Value> = web["rules"].as_array().unwrap().iter().filter(|rule| rule["decides"] == true).collect();
    assert_eq!(rules.len(), 1, "{explained}");
    let text = |key: &str| rules[0][key].as_str().unwrap().to_owned();
    (text("rule"), text("result"))
}

#[test]
#[ignore = "needs nginx"]
fn a_running_balancer_explains_its_members_and_plans_without_changing_anything() {
    let empty = "[upstream.none]\nselect = { role = \"db\" }\nallow_loopback = true\nnginx = { form = \"none\" }\n";
    let balancer = Balancer::start_as(Settings::default().toml(empty));
    let (_one, two) = (balancer.web("web1", "1"), balancer.web("web2", "2"));
    balancer.await_answers(&[("web1", 1), ("web2", 2)]);
    let rpc = balancer.agent.rpc.to_string();

    let (text, code) = said(&rpc, &["explain", "web2"]);
    // A block for each upstream.
    let web = text.split("\n\n").nth(1).unwrap_or_default();
    let mut lines = web.lines();
    let heading = lines.next().unwrap();
    assert!(heading.starts_with("web2 is in upstream web since ") && code == Some(0), "{text}");
    assert!(heading.ends_with("): alive, no check configured"), "{text}");
    assert_eq!(lines.next(), Some("  selected   yes    role=web matches ^(?:web)$"), "{text}");
    let address = lines.next().unwrap();
    assert!(address.ends_with(";  weight 2: tag weight=2, limits 0..256") && address.contains(", allow = any;  port "));
    assert!(text.contains("is not selected by upstream none: role=web does not match ^(?:db)$"), "{text}");
    assert_eq!(decisive(&rpc, "web2"), ("gossip".to_owned(), "alive".to_owned()));
    assert_eq!(decisive(&rpc, "lb1"), ("selected".to_owned(), "no".to_owned()));
    let (text, code) = said(&rpc, &["explain", "web3"]);
    assert!(text.starts_with("error: no member 'web3'; did you mean 'web") && code == Some(1), "{text} {code:?}");

    // What would be, and what is: nothing of it.
    let before = told(&rpc, &["upstream", "history"]);
    let states = |args: &[&str], upstream: usize| {
        let planned = told(&rpc, &[&["upstream", "plan"], args].concat())["upstreams"][upstream].clone();
        let servers = planned["servers"].as_array().unwrap().iter();
        let servers = servers.map(|server| json!([server["member"], server["before"], server["after"]]));
        (servers.collect::<Vec<_>>(), planned["reloads"].clone(), planned["panic"].clone())
    };
    let web2 = json!(["web2", "in", "in"]);
    let failed = states(&["--fail", "web1"], 1);
    assert_eq!(failed, (vec![json!(["web1", "in", "gone"]), web2.clone()], json!(1), json!(false)));
    let drained = states(&["--drain", "web1"], 1);
    assert_eq!(drained, (vec![json!(["web1", "in", "draining"]), web2.clone()], json!(1), json!(false)));
    let ill = states(&["--critical", "web1", "--critical", "web2"], 1);
    assert_eq!(ill, (vec![json!(["web1", "in", "in"]), web2.clone()], json!(0), json!(true)));
    let joined = states(&["--join", "web3,port=8080"], 1);
    assert_eq!(joined.0[2], json!(["web3", null, "in"]));
    assert_eq!(states(&["--join", "db1"], 0).0, [json!(["db1", null, "in"])], "the first one of an empty upstream");
    assert_eq!(said(&rpc, &["upstream", "plan", "--fail", "web1"]).1, Some(8));
    assert_eq!(said(&rpc, &["upstream", "plan", "--critical", "lb1"]).1, Some(0));
    let (text, code) = said(&rpc, &["upstream", "plan", "--drain", "web9"]);
    assert!(text.starts_with("error: no member 'web9'") && code == Some(1), "{text} {code:?}");
    assert_eq!(told(&rpc, &["upstream", "history"]), before);

    // One that cannot be a server is named wherever somebody may look for it.
    let (text, code) = said(&two.rpc.to_string(), &["tags", "--set", "port=80;"]);
    assert_eq!(code, Some(0), "{text}");
    until("the member to be left out", || {
        let (text, _) = said(&rpc, &["status"]);
        if text.contains("web2: tag port=\"80;\" is not a port, it is left out; ") { Ok(()) } else { Err(text) }
    });
    assert_eq!(decisive(&rpc, "web2"), ("address".to_owned(), "no".to_owned()));
    let (text, _) = said(&rpc, &["explain", "web2"]);
    let heading = "web2 is no server of upstream web: tag port=\"80;\" is not a port, it is left out; 'weir tags --set \
                   port=80' on web2, or what its port is";
    assert!(text.contains(heading), "{text}");

    // That one is left out is so already, and the last server would not be let go.
    until("what is wanted to be in place", || {
        let (text, code) = said(&rpc, &["upstream", "plan", "--critical", "lb1"]);
        if text.contains("left_out -> left_out") && code == Some(0) { Ok(()) } else { Err(text) }
    });
    let (text, code) = said(&rpc, &["upstream", "plan", "--drain", "web1"]);
    let refused = text.contains("in -> in") && text.contains("draining refused: too few would be left");
    assert!(refused && code == Some(0), "{text} {code:?}");
    let (text, code) = said(&rpc, &["upstream", "plan", "--join", "web3,weight=abc"]);
    assert!(text.contains("tag weight=\"abc\" is not a number, 1 is used") && code == Some(8), "{text} {code:?}");
}

#[test]
#[ignore = "needs nginx"]
fn an_answer_that_the_limit_does_not_allow_is_given_without_its_words() {
    let balancer = Balancer::start();
    let words = "word ".repeat(60);
    let check = format!("[check.talk]\nexec = [\"/bin/echo\", \"{words}\"]\ninterval = \"1s\"\nrise = 1\n");
    let gossip = "query_response_size_limit = 128\n".to_owned();
    let settings =
        Settings { profile: Some("local"), gossip, ..Settings::key(KEY).join(balancer.agent.gossip).toml(&check) };
    let _web = Agent::start(Kind::Weir, "web1", settings.tag("role", "web"));
    let rpc = balancer.agent.rpc.to_string();
    until("the member to say how it is", || {
        let health = told(&rpc, &["health"]);
        let of = health["members"].as_array().into_iter().flatten().find(|member| member["name"] == "web1").cloned();
        let web1 = of.unwrap_or_default();
        let is_heard = web1["source"] == "answer" && web1["health"] == "passing" && web1["checks"] == json!([]);
        if is_heard { Ok(()) } else { Err(health.to_string()) }
    });
}
