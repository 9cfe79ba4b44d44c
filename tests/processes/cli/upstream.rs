//! `weir status` and `weir upstream`: text, JSON and codes, against a stand-in whose documents are those of real agents.

use serde_json::{Value, json};
use weir::rpc::refusal::Refusal;

use super::fake::{Answer, Fake, Script};
use super::support::{golden, run, transcript, weir};

/// Runs each command line against a stand-in of its own.
fn check(name: &str, answer: Answer, lines: &[&[&str]]) {
    let mut all = String::new();
    for args in lines {
        let fake = Fake::start(Script { about_ours: Some(answer), ..Script::default() });
        let mut command = weir();
        command.env("WEIR_RPC_ADDR", &fake.socket);
        all.push_str(&transcript(args, &run(command, args)));
        all.push('\n');
    }
    golden(name, &all);
}

fn server(member: &str, host: u8, state: &str, weight: u32, share: f64, why: &str) -> Value {
    json!({ "member": member, "addr": format!("10.77.0.{host}:80"), "state": state, "weight": weight, "share": share,
        "reason": "in", "since": "2020-11-28T13:03:41Z", "why": why })
}

/// A balancer that is well.
fn well() -> Value {
    json!({
        "node": { "name": "lb1", "version": "0.1.0", "uptime_s": 7440, "addr": "10.77.0.11:7946", "tags": { "role": "lb" } },
        "cluster": { "members": 3, "alive": 3,
            "last_change": { "member": "web2", "status": "alive", "at": "2020-11-28T13:31:07Z" } },
        "keys": { "keys": [{ "id": "3fa9c1d2", "worn": 0.0001 }] },
        "snapshot": {
            "path": "/var/lib/weir/snapshot", "bytes": 1434, "synced": { "at": "2020-11-28T16:02:11Z", "ago_s": 0 }
        },
        "upstreams": [{ "name": "web", "mode": "normal", "want": "servers", "live": true, "generation": 7,
            "live_since": "2020-11-28T13:31:08Z", "output": "/etc/nginx/conf.d/weir-web.conf",
            "servers": [server("web1", 12, "in", 1, 1.0 / 3.0, "alive, no check configured"),
                server("web2\u{1b}[2J", 13, "in", 2, 2.0 / 3.0, "alive, no check configured")] }],
        "nginx": { "state": "running", "version": "1.22.1", "pid": 812, "since": "2020-11-28T13:03:39Z" },
        "apply": { "reload": { "generation": 7, "elapsed_ms": 112 } },
    })
}

fn attention(level: &str, kind: &str, message: &str) -> Value {
    json!({ "level": level, "kind": kind, "subject": "x", "message": message, "remedy": "way out",
        "since": "2020-11-28T16:02:11Z" })
}

/// The same one on a bad day.
fn ill() -> Value {
    let mut document = well();
    document["snapshot"]["synced"]["ago_s"] = 40.into();
    document["snapshot"]["failing"] = json!({ "error": "no space left on device" });
    let upstream = &mut document["upstreams"][0];
    upstream["waiting"] = json!([{ "upstream": "web", "member": "web2", "field": "weight", "before": 2, "after": 4 }]);
    upstream["held"] = json!({ "since": "2020-11-28T15:31:08Z", "reason": "the probe misjudges" });
    upstream["panic"] = true.into();
    upstream["left_out"] =
        json!([{ "member": "web3", "reason": "not_a_port", "why": "tag port=\"80;\" is not a port" }]);
    upstream["servers"][1] = server("web2", 13, "down", 2, 0.0, "its service does not answer this balancer");
    upstream["servers"][1]["check"] =
        json!({ "name": "site", "kind": "http", "state": "critical", "output": "refused" });
    let stranger = |host: u8, ago_s: u64, what: &str| {
        json!({ "addr": format!("10.77.0.{host}:7946"), "reason": "key_unknown", "key": "b07e4410", "ago_s": ago_s,
            "message": what, "remedy": "way out" })
    };
    document["cluster"]["strangers"] = json!([
        stranger(14, 8, "10.77.0.14 is no member and seals with key b07e4410"),
        stranger(15, 8, "it is held"),
        stranger(16, 61, "10.77.0.16 is gone again"),
    ]);
    document["apply"]["last"] =
        json!({ "result": "refused", "at": "2020-11-28T16:02:11Z", "ago_s": 3, "generation": 14, "message": "no" });
    document["attention"] = json!([
        attention("error", "panic", "too few servers"),
        attention("warn", "held", "it is held"),
        attention("warn", "apply_refused", "nginx rejects its configuration"),
        attention("warn", "of_tomorrow", "news")
    ]);
    document
}

fn to_well(command: &str, _: &str) -> Result<String, Refusal> {
    if command == "weir-status" { Ok(well().to_string()) } else { Err("Unsupported command".into()) }
}

fn to_ill(command: &str, _: &str) -> Result<String, Refusal> {
    if command == "weir-status" { Ok(ill().to_string()) } else { Err("Unsupported command".into()) }
}

fn to_stopped(_: &str, _: &str) -> Result<String, Refusal> {
    let mut document = well();
    document["nginx"] = json!({ "state": "stopped", "since": "2020-11-28T16:02:11Z" });
    document["attention"] = json!([attention("error", "nginx_down", "nginx.service is not running")]);
    Ok(document.to_string())
}

/// More of everything than one screen has room for.
fn to_many(_: &str, _: &str) -> Result<String, Refusal> {
    let mut document = well();
    let out = (20..26).map(|host| server(&format!("web{host}"), host, "draining", 1, 0.0, "is draining"));
    let inside = document["upstreams"][0]["servers"][0].clone();
    document["upstreams"][0]["servers"] = std::iter::once(inside).chain(out).collect();
    document["upstreams"][0]["left_out"] = json!([
        { "member": "web1a", "reason": "not_a_port", "why": "tag port=\"80;\" is not a port, it is left out",
            "remedy": "'weir tags --set port=80' on web1a" },
        { "member": "lb1", "reason": "itself", "why": "is this balancer itself, it is left out" } ]);
    let stranger = |host: u8| {
        json!({ "addr": format!("10.77.0.{host}:7946"), "reason": "plaintext", "ago_s": 3,
            "message": format!("10.77.0.{host} speaks without encryption"), "remedy": "way out" })
    };
    document["cluster"]["strangers"] = (40..45).map(stranger).collect();
    Ok(document.to_string())
}

fn to_web_server(_: &str, _: &str) -> Result<String, Refusal> {
    Ok(json!({ "node": { "name": "web1", "version": "0.1.0", "uptime_s": 59 },
        "attention": [attention("error", "name_conflict", "another is called web1")] })
    .to_string())
}

#[test]
fn one_screen_says_whether_all_is_well() {
    check(
        "status-well.txt",
        to_well,
        &[
            &["status"],
            &["status", "--format", "json"],
            &["status", "--quiet"],
            &["status", "--for", "nginx"],
            &["status", "--for", "cluster"],
            &["status", "--for", "else"],
        ],
    );
    check(
        "status-ill.txt",
        to_ill,
        &[
            &["status"],
            &["status", "--quiet"],
            &["status", "--for", "nginx"],
            &["status", "--for", "cluster", "--quiet"],
        ],
    );
    check("status-stopped.txt", to_stopped, &[&["status", "--for", "nginx"], &["status", "--quiet", "--for", "nginx"]]);
    check(
        "status-web.txt",
        to_web_server,
        &[
            &["status"],
            &["status", "--for", "cluster", "--quiet"],
            &["status", "--for", "nginx"],
            &["status", "--for", "nginx", "--quiet"],
        ],
    );
    check("status-many.txt", to_many, &[&["status"]]);
}

#[test]
fn upstreams_are_shown_with_every_server_and_why() {
    check(
        "upstream-show.txt",
        to_well,
        &[
            &["upstream", "show"],
            &["upstream", "show", "web", "--header"],
            &["upstream", "show", "wep"],
            &["upstream", "show", "database", "--format", "json"],
        ],
    );
    check(
        "upstream-show-ill.txt",
        to_ill,
        &[&["upstream", "show", "--header"], &["upstream", "show", "--format", "json"]],
    );
    check("upstream-show-web.txt", to_web_server, &[&["upstream", "show"], &["upstream", "show", "--format", "json"]]);
}

fn to_questions_of_the_past(command: &str, document: &str) -> Result<String, Refusal> {
    let left = json!({ "upstream": "web", "member": "web2", "field": "state", "before": "in", "after": "out", "addr": "10.77.0.13:80" });
    let joined = json!({ "upstream": "web", "member": "web2", "field": "state", "before": "out", "after": "in", "addr": "10.77.0.13:80", "weight": 2 });
    let weight = json!({ "upstream": "web", "member": "web2", "field": "weight", "before": 2, "after": 4 });
    let past = |generation: u64, result: &str, cause: &str, changes: Value| {
        json!({ "generation": generation, "at": "2020-11-28T13:31:08Z", "upstreams": ["web"], "cause": cause, "changes": changes,
            "result": result, "validate_ms": 20, "confirm_ms": 111 })
    };
    match (command, document) {
        ("weir-upstream-history", r#"{"count":20}"#) => {
            let mut refused = past(9, "refused", "web2 tags changed", json!([weight]));
            (refused["confirm_ms"], refused["error"]) = (Value::Null, "unknown directive \"prox_pass\"".into());
            let mut first = past(6, "rolled_back", "", json!([]));
            (first["upstreams"], first["more"]) = (json!(["api", "web"]), 3.into());
            let all = [
                refused,
                past(8, "live", "web2 probe down", json!([left])),
                past(7, "replaced", "web2 joined", json!([joined])),
                first,
            ];
            Ok(json!({ "generations": all }).to_string())
        }
        ("weir-upstream-history", r#"{"count":2}"#) => {
            let all = [past(8, "live", "web2 probe down", json!([left]))];
            Ok(json!({ "generations": all, "upstreams": ["api", "web"] }).to_string())
        }
        ("weir-upstream-history", _) => Ok("{}".into()),
        ("weir-upstream-diff", r#"{"from":8,"to":null}"#) => Ok(json!({ "from": 7, "to": 8, "changes": [left],
            "cause": "web2 probe down", "at": "2020-11-28T15:10:02Z" })
        .to_string()),
        ("weir-upstream-diff", r#"{"from":null,"to":null}"#) => {
            Ok(json!({ "from": 8, "to": null, "changes": [] }).to_string())
        }
        ("weir-upstream-diff", r#"{"from":7,"to":9}"#) => {
            Ok(json!({ "from": 7, "to": 9, "changes": [weight, left] }).to_string())
        }
        ("weir-upstream-diff", _) => {
            Err(Refusal::new("there is no record of generation 99")
                .with_remedy("'weir upstream history' lists what is"))
        }
        _ => Err("Unsupported command".into()),
    }
}

#[test]
fn what_was_and_what_differs() {
    check(
        "upstream-history.txt",
        to_questions_of_the_past,
        &[
            &["upstream", "history"],
            &["upstream", "history", "--header", "-n", "20"],
            &["upstream", "history", "--format", "json"],
            &["upstream", "history", "-n", "2"],
            &["upstream", "history", "-n", "0"],
            &["upstream", "diff"],
            &["upstream", "diff", "8"],
            &["upstream", "diff", "7", "9"],
            &["upstream", "diff", "8", "--format", "json"],
            &["upstream", "diff", "99"],
            &["upstream", "diff", "last"],
        ],
    );
}

fn to_a_question_about_holds(command: &str, _: &str) -> Result<String, Refusal> {
    let joined = json!({ "upstream": "web", "member": "web2", "field": "state", "before": "out", "after": "in", "addr": "10.77.0.13:80", "weight": 2 });
    match command {
        "weir-upstream-diff" => Ok(json!({ "from": 8, "changes": [], "held": [
            { "upstream": "api", "since": "2020-11-28T15:12:40Z" },
            { "upstream": "web", "since": "2020-11-28T15:12:40Z", "reason": "a look first", "changes": [joined] } ] })
        .to_string()),
        _ => Err("Unsupported command".into()),
    }
}

#[test]
fn what_is_held_back_differs() {
    check(
        "upstream-diff-held.txt",
        to_a_question_about_holds,
        &[&["upstream", "diff"], &["upstream", "diff", "--format", "json"]],
    );
}

fn to_orders(command: &str, document: &str) -> Result<String, Refusal> {
    let document: Value = serde_json::from_str(document).expect("our own documents");
    let answer = match (command, document["upstream"].as_str(), document["to"].as_u64()) {
        ("weir-upstream-hold", Some("web"), _) => json!({ "upstreams": ["web"] }),
        ("weir-upstream-hold", Some("api"), _) => json!({ "unchanged": ["api"] }),
        ("weir-upstream-hold", None, _) => json!({ "upstreams": ["api", "web"],
            "unsaved": { "message": "cannot write /x: no space left on device", "remedy": "free space in /x" } }),
        ("weir-upstream-release", Some(name), _) => json!({ "upstreams": [name] }),
        ("weir-upstream-release", None, _) => json!({}),
        ("weir-upstream-rollback", _, Some(7)) => {
            json!({ "to": 7, "generation": 9, "result": "live", "elapsed_ms": 128,
            "held": ["web"], "message": "generation 9 live in 128 ms" })
        }
        ("weir-upstream-rollback", _, Some(6)) => {
            json!({ "to": 6, "generation": 9, "result": "stored", "held": ["api", "web"],
            "message": "nginx.service is not running, the file is in place and tested" })
        }
        ("weir-upstream-rollback", _, None) => json!({ "result": "refused",
            "message": "nginx refuses its configuration: unknown directive", "remedy": "mend that file" }),
        _ => return Err(Refusal::new("no upstream 'wep'").with_remedy("did you mean 'web'?")),
    };
    Ok(answer.to_string())
}

#[test]
fn an_operators_word() {
    check(
        "upstream-orders.txt",
        to_orders,
        &[
            &["upstream", "hold", "web", "--reason", "the probe misjudges"],
            &["upstream", "hold", "web", "--format", "json"],
            &["upstream", "hold", "api"],
            &["upstream", "hold"],
            &["upstream", "hold", "wep"],
            &["upstream", "hold", "web", "--reason", "two\nlines"],
            &["upstream", "release", "web"],
            &["upstream", "release"],
            &["upstream", "rollback", "7", "--reason", "the probe misjudges"],
            &["upstream", "rollback", "7", "--format", "json"],
            &["upstream", "rollback", "6"],
            &["upstream", "rollback"],
            &["upstream", "rollback", "five"],
        ],
    );
}

fn to_questions(command: &str, document: &str) -> Result<String, Refusal> {
    let document: Value = serde_json::from_str(document).expect("our own documents");
    let rule = |rule: &str, result: &str, input: &str| json!({ "rule": rule, "result": result, "input": input });
    let answer = match (command, document["member"].as_str()) {
        ("weir-upstream-explain", Some("web2")) => {
            let mut down = server("web2", 13, "down", 2, 0.0, "its service does not answer this balancer");
            down["since"] = "2020-11-28T15:10:03Z".into();
            (down["reason"], down["witness"]) = ("ill".into(), "service_down".into());
            down["probe"] = json!({ "state": "down", "error": "connection refused", "fault": "its service refuses connections",
                "first_failure": "2020-11-28T15:10:02Z" });
            let mut probe = rule("probe", "down", "GET http://10.77.0.13:80/: connection refused, 2 of fall 2");
            probe["decides"] = true.into();
            json!({ "upstreams": [{ "name": "web", "generation": 8, "servers": [down], "back_when":
                "2 probes in a row succeed (rise 2) and checks pass", "rules": [
                    rule("selected", "yes", "role=web matches ^(?:web)$"),
                    rule("address", "ok", "10.77.0.13, allow = any;  port 80: tag port=80;  weight 2: tag weight=2, limits 0..256"),
                    rule("gossip", "alive", "since 2020-11-28T13:31:07Z"),
                    rule("checks", "critical", "site: connection refused, 3 times in a row, since 2020-11-28T15:10:14Z"),
                    probe,
                    rule("panic", "no", "1 of 2 in, min_healthy 50 %"),
                    rule("of_tomorrow", "new", "") ] }] })
        }
        ("weir-upstream-explain", Some("db1")) => json!({ "upstreams": [
            { "name": "web", "rules": [rule("selected", "no", "role=db does not match ^(?:web)$")] },
            { "name": "api", "left_out": [{ "member": "db1", "reason": "not_a_port", "why": "tag port=\"80;\" is not a port, \
                it is left out", "remedy": "correct it" }], "rules": [] } ] }),
        ("weir-upstream-explain", _) => {
            return Err(Refusal::new("no member 'web-2'").with_remedy("did you mean 'web2'?"));
        }
        ("weir-upstream-plan", _) if document["fail"] == json!(["web1"]) => {
            json!({ "upstreams": [{ "name": "web", "serving": 1,
            "base": 2, "min_healthy": "50 %", "panic": false, "reloads": 1, "servers": [
                { "member": "web1", "addr": "10.77.0.12:80", "before": "in", "after": "gone", "share_before": 0.333,
                    "why": "failed, and its service does not answer" },
                { "member": "web2", "addr": "10.77.0.13:80", "before": "in", "after": "in", "share_before": 0.667,
                    "share_after": 1.0, "why": "passing" } ] }] })
        }
        ("weir-upstream-plan", _) if document["join"][0]["tags"]["port"] == "8080" => {
            json!({ "upstreams": [{ "name": "web",
            "serving": 1, "base": 3, "min_healthy": "2", "panic": true, "reloads": 0, "servers": [
                { "member": "web3", "after": "left_out", "why": "port 8080 is outside 80..80, it is left out" } ] }] })
        }
        ("weir-upstream-plan", _) => {
            json!({ "upstreams": [{ "name": "web", "serving": 2, "base": 2, "min_healthy": "50 %" }] })
        }
        _ => return Err("Unsupported command".into()),
    };
    Ok(answer.to_string())
}

#[test]
fn why_and_what_if() {
    check(
        "upstream-questions.txt",
        to_questions,
        &[
            &["explain", "web2"],
            &["upstream", "explain", "db1"],
            &["explain", "web-2"],
            &["explain", "db1", "--format", "json"],
            &["upstream", "plan", "--fail", "web1"],
            &["upstream", "plan", "--join", "web3,port=8080,weight=2"],
            &["upstream", "plan", "--critical", "lb1"],
            &["upstream", "plan", "--fail", "web1", "--format", "json"],
            &["upstream", "plan"],
            &["upstream", "plan", "--join", "web3,port"],
        ],
    );
}
