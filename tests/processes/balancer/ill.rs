//! When all are ill at once.

use std::path::Path;

use serde_json::Value;

use super::stage::{Balancer, Load};
use crate::support::{Agent, Settings, until, weir};

const NAMES: [&str; 3] = ["web1", "web2", "web3"];

/// A check that passes as long as `flag` exists.
fn check(flag: &Path) -> String {
    format!(
        "[check.site]\nexec = [\"/bin/sh\", \"-c\", \"test -e {} || exit 2\"]\n\
         interval = \"200ms\"\ntimeout = \"200ms\"\nrise = 1\nfall = 2\n",
        flag.display()
    )
}

/// What a command prints, and its exit code.
fn said(agent: &Agent, args: &[&str]) -> (String, Option<i32>) {
    let output = weir(agent.rpc, args);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
#[ignore = "needs nginx"]
fn all_servers_that_fail_their_checks_at_once_go_on_serving_and_everything_says_why() {
    const PANIC: &str = "too few servers are well, those that are ill stay in upstream=web";
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("well");
    std::fs::write(&flag, "").unwrap();
    // They change three times a minute here.
    let settings = Settings::default().toml("[upstream.web.policy.flap]\nchanges = 0\n");
    let balancer = Balancer::start_as(settings);
    let _agents = NAMES.map(|name| balancer.web_with(name, "1", &check(&flag)));
    balancer.await_answers(&NAMES.map(|name| (name, 1)));
    // They came one after the other, which is as if the others were ill, and that is remembered for a while.
    until("enough are well for long enough", || {
        let (shown, _) = said(&balancer.agent, &["status", "--format", "json"]);
        let shown: Value = serde_json::from_str(&shown).map_err(|error| format!("{error}: {shown}"))?;
        if shown["upstreams"][0]["mode"] == "normal" { Ok(()) } else { Err(shown.to_string()) }
    });
    await_status(&balancer, 0, |text| !text.contains("panic"));
    let load = Load::start(balancer.nginx.listen);
    load.more(100);
    let told = balancer.agent.log().matches(PANIC).count();

    std::fs::remove_file(&flag).unwrap();
    balancer.await_log_again(PANIC, told + 1);
    await_status(&balancer, 8, |text| text.contains("in (panic)") && text.contains("3 critical"));
    for name in NAMES {
        let (text, _) = said(&balancer.agent, &["explain", name]);
        let has = |key: &str, value: &str| {
            text.lines().any(|line| line.trim_start().starts_with(key) && line.contains(value))
        };
        assert!(has("checks", "critical") && has("panic", "yes"), "{text}");
    }
    load.more(200);

    std::fs::write(&flag, "").unwrap();
    await_status(&balancer, 0, |text| !text.contains("panic"));
    assert_eq!(load.finish(), [""; 0]);
    balancer.await_answers(&NAMES.map(|name| (name, 1)));
    balancer.assert_valid();
}

/// Waits until `weir status` ends with this code and such a text.
fn await_status(balancer: &Balancer, code: i32, is_so: impl Fn(&str) -> bool) {
    until(&format!("weir status to end with {code}"), || {
        let (text, ended) = said(&balancer.agent, &["status"]);
        if ended == Some(code) && is_so(&text) { Ok(()) } else { Err(format!("{ended:?}: {text}")) }
    });
}
