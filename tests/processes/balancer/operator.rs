//! An operator's hand on upstreams: holds, going back, and what is told of it.

use std::process::{Command, Output};

use serde_json::Value;

use super::stage::Balancer;
use crate::support::{until, weir_binary};

fn weir(balancer: &Balancer, args: &[&str]) -> Output {
    Command::new(weir_binary()).args(args).env("WEIR_RPC_ADDR", balancer.agent.rpc.to_string()).output().unwrap()
}

/// What `weir` says of the balancer, and its exit code.
fn said(balancer: &Balancer, args: &[&str]) -> (String, Option<i32>) {
    let Output { status, stdout, stderr } = weir(balancer, args);
    (format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)), status.code())
}

fn told(balancer: &Balancer, args: &[&str]) -> Value {
    let output = weir(balancer, &[args, &["--format", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
}

/// Waits until `weir status` ends with this code.
fn await_status(balancer: &Balancer, code: i32) -> String {
    let mut last = String::new();
    until(&format!("weir status to end with {code}"), || {
        let (text, ended) = said(balancer, &["status"]);
        last.clone_from(&text);
        if ended == Some(code) { Ok(()) } else { Err(text) }
    });
    last
}

/// Waits until the newest generation was made for this, and has come to its end.
fn await_cause(balancer: &Balancer, cause: &str) -> Value {
    let mut newest = Value::Null;
    until(&format!("a generation because of {cause:?}"), || {
        newest = told(balancer, &["upstream", "history", "-n", "1"])["generations"][0].clone();
        let has_ended = newest["result"] != "open";
        if newest["cause"] == cause && has_ended { Ok(()) } else { Err(newest.to_string()) }
    });
    newest
}

#[test]
#[ignore = "needs nginx"]
fn a_hold_keeps_what_there_is_over_a_restart_until_it_is_released() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    let text = await_status(&balancer, 0);
    assert!(text.contains("upstream   web: 1 of 1 in, generation "), "{text}");

    let (text, code) = said(&balancer, &["upstream", "hold", "web", "--reason", "a look first"]);
    assert_eq!((text.as_str(), code), ("web is held: changes wait until 'weir upstream release web'\n", Some(0)));
    assert_eq!(said(&balancer, &["upstream", "hold"]), ("web is held already\n".to_owned(), Some(0)));
    let another = said(&balancer, &["upstream", "hold", "--reason", "another look"]);
    assert_eq!(another, ("web is held already, now for this reason\n".to_owned(), Some(0)));
    assert!(await_status(&balancer, 8).contains("upstream web is held (another look)"));
    let (again, code) = said(&balancer, &["upstream", "hold", "--reason", "a look first"]);
    assert_eq!((again.as_str(), code), ("web is held already, now for this reason\n", Some(0)));
    let _two = balancer.web("web2", "1");
    balancer.await_log("member joined member=web2");
    let text = await_status(&balancer, 8);
    assert!(text.contains("attention  upstream web is held (a look first)"), "{text}");
    until("web2 to wait", || {
        let (text, code) = said(&balancer, &["upstream", "diff"]);
        let waits = text.contains("(a look first): waits until 'weir upstream release web'\nweb  + web2 ");
        if waits && code == Some(8) { Ok(()) } else { Err(text) }
    });
    let (text, _) = said(&balancer, &["status"]);
    assert!(text.contains("\n           web2 held since "), "{text}");
    assert!(text.contains("'weir upstream release web'"), "{text}");
    assert_eq!(said(&balancer, &["status", "--quiet", "--for", "nginx"]), (String::new(), Some(0)));
    balancer.await_answers(&[("web1", 1)]);

    // It is on disk, and the agent that comes back finds it there.
    balancer.agent.kill();
    balancer.agent.run();
    balancer.await_log("still held");
    let text = await_status(&balancer, 8);
    assert!(text.contains("held (a look first)"), "{text}");
    until("the newcomer to be known", || {
        let servers = told(&balancer, &["upstream", "show", "web"])["upstreams"][0]["servers"].clone();
        let is_held = |server: &Value| server["member"] == "web2" && server["state"] == "held";
        if servers.as_array().unwrap().iter().any(is_held) { Ok(()) } else { Err(servers.to_string()) }
    });
    until("the newcomer to say how it is", || {
        let members = told(&balancer, &["health"])["members"].clone();
        let has_answered = |member: &Value| member["name"] == "web2" && member["source"] == "answer";
        if members.as_array().unwrap().iter().any(has_answered) { Ok(()) } else { Err(members.to_string()) }
    });
    balancer.await_answers(&[("web1", 1)]);

    assert_eq!(said(&balancer, &["upstream", "release", "web"]), ("web is released\n".to_owned(), Some(0)));
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    await_status(&balancer, 0);
    let newest = await_cause(&balancer, "operator, web2 joined");
    assert_eq!((&newest["result"], &newest["upstreams"][0]), (&"live".into(), &"web".into()), "{newest}");
    assert_eq!(said(&balancer, &["upstream", "release"]), ("nothing is held\n".to_owned(), Some(0)));
}

#[test]
#[ignore = "needs nginx"]
fn going_back_puts_an_older_generation_there_and_holds_it() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    let first = await_cause(&balancer, "web1 joined")["generation"].as_u64().unwrap();
    let two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    let second = await_cause(&balancer, "web2 joined")["generation"].as_u64().unwrap();

    let (text, code) = said(&balancer, &["upstream", "diff", &second.to_string()]);
    assert!(text.starts_with(&format!("{first} -> {second}  web2 joined at ")) && code == Some(8), "{text}");
    assert!(text.contains("\nweb  + web2 "), "{text}");
    let differences = told(&balancer, &["upstream", "diff", &second.to_string(), &first.to_string()]);
    let change = &differences["changes"][0];
    assert_eq!(
        (&change["member"], &change["field"], &change["after"]),
        (&"web2".into(), &"state".into(), &"out".into())
    );
    until("nothing to be wanted but what is there", || {
        let (text, code) = said(&balancer, &["upstream", "diff"]);
        if code == Some(0) { Ok(()) } else { Err(text) }
    });

    let (text, code) = said(&balancer, &["upstream", "rollback", &first.to_string(), "--reason", "web2 is slow"]);
    let third = second + 1;
    assert!(text.starts_with(&format!("generation {third} = generation {first}, confirmed in ")), "{text}");
    assert!(text.ends_with("; web is held: changes wait until 'weir upstream release web'\n"), "{text}");
    assert_eq!(code, Some(0));
    for line in [
        format!("an operator goes back to an older generation generation={first} reason=\"web2 is slow\""),
        "held upstream=web reason=\"web2 is slow\"".to_owned(),
    ] {
        balancer.await_log_again(&line, 1);
    }
    balancer.await_answers(&[("web1", 1)]);
    let newest = await_cause(&balancer, &format!("operator, back to {first}"));
    assert_eq!((&newest["generation"], &newest["result"]), (&third.into(), &"live".into()), "{newest}");
    let text = await_status(&balancer, 8);
    assert!(text.contains("upstream web is held (web2 is slow)"), "{text}");

    // A weight that changes waits, too; whoever leaves does not.
    let output = two.cli(&["tags", "--set", "weight=3"]);
    assert!(output.status.success(), "{output:?}");
    balancer.await_answers(&[("web1", 1)]);
    assert_eq!(said(&balancer, &["upstream", "release"]), ("web is released\n".to_owned(), Some(0)));
    balancer.await_answers(&[("web1", 1), ("web2", 3)]);

    // Going back to where nobody served takes a word more; one that a site cannot do without, several.
    let (text, code) = said(&balancer, &["upstream", "rollback", "1"]);
    assert!(text.starts_with("error: generation 1 has no server for web; ") && code == Some(6), "{text}");
    balancer.await_answers(&[("web1", 1), ("web2", 3)]);
    let (text, code) = said(&balancer, &["upstream", "rollback", "0", "--force"]);
    let needed = format!("error: generation 0 is without {}, which a site needs", balancer.nginx.web().display());
    assert!(text.starts_with(&needed) && code == Some(1), "{text}");
    balancer.await_answers(&[("web1", 1), ("web2", 3)]);
    await_status(&balancer, 0);

    let (text, code) = said(&balancer, &["upstream", "rollback", "99"]);
    assert!(text.starts_with("error: ") && text.contains("'weir upstream history'") && code == Some(1), "{text}");
    await_status(&balancer, 0);
}

#[test]
#[ignore = "needs nginx"]
fn history_says_what_happened_to_whom() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    assert!(two.cli(&["tags", "--set", "weight=2"]).status.success());
    await_cause(&balancer, "web2 tags changed");
    two.kill();
    await_cause(&balancer, "web2 failed");
    two.run();
    await_cause(&balancer, "web2 is back");
    assert!(two.cli(&["leave"]).status.success());
    await_cause(&balancer, "web2 draining");
    let all = told(&balancer, &["upstream", "history"])["generations"].clone();
    // The newest is live, and the first was stored before there was an NGINX.
    let [newest, replaced @ .., first] = &all.as_array().unwrap()[..] else { panic!("{all:?}") };
    assert_eq!((&newest["result"], &first["cause"]), (&"live".into(), &"configuration".into()));
    assert!(replaced.iter().all(|past| past["result"] == "replaced" && past["confirm_ms"].is_u64()), "{replaced:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_neighbours_mistake_is_not_weirs_and_moves_no_address() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    await_status(&balancer, 0);
    let site = balancer.nginx.path("conf.d/shop.conf");
    std::fs::write(&site, "prox_pass http://shop;\n").unwrap();
    let _two = balancer.web("web2", "1");
    let text = await_status(&balancer, 8);
    assert!(
        text.contains("nginx rejects its configuration, not because of weir: unknown directive \"prox_pass\""),
        "{text}"
    );
    assert!(text.contains("waits (+ web2 "), "{text}");
    assert_eq!(said(&balancer, &["status", "--quiet", "--for", "nginx"]), (String::new(), Some(0)));
    std::fs::remove_file(&site).unwrap();
}

#[test]
#[ignore = "needs nginx"]
fn an_nginx_that_is_down_moves_the_address() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    await_status(&balancer, 0);
    balancer.nginx.kill();
    let text = await_status(&balancer, 8);
    assert!(text.contains("nginx      does not run since "), "{text}");
    assert_eq!(said(&balancer, &["status", "--quiet", "--for", "nginx"]), (String::new(), Some(8)));
    assert_eq!(said(&balancer, &["status", "--quiet", "--for", "cluster"]), (String::new(), Some(0)));
    balancer.nginx.run();
    await_status(&balancer, 0);
}

#[test]
#[ignore = "needs nginx"]
fn the_file_can_be_seen_and_tested_before_it_is_there() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    await_cause(&balancer, "web1 joined");
    let config = balancer.agent.config_file().display().to_string();
    let render = |balancer: &Balancer, more: &[&str]| {
        said(balancer, &[&["upstream", "render", "--config-file", config.as_str()], more].concat())
    };
    assert_eq!(render(&balancer, &[]), (balancer.file(), Some(0)));
    assert_eq!(render(&balancer, &["wep"]), ("error: no upstream 'wep'; did you mean 'web'?\n".to_owned(), Some(1)));

    // What waits is what is shown, and what is tested: here for want of somebody else's site.
    let site = balancer.nginx.path("conf.d/shop.conf");
    std::fs::write(&site, "prox_pass http://shop;\n").unwrap();
    let two = balancer.web("web2", "1");
    balancer.await_log("apply refused");
    let (text, _) = render(&balancer, &["web"]);
    let port = &two.members().unwrap().into_iter().find(|member| member.name == "web2").unwrap().tags["port"];
    assert!(text.contains(&format!("server {}:{port}", two.gossip.ip())) && text != balancer.file(), "{text}");
    let files = balancer.nginx.listing();
    if rustix::process::geteuid().is_root() {
        let (text, code) = render(&balancer, &["web", "--candidate"]);
        assert!(text.contains("unknown directive \"prox_pass\"") && code == Some(1), "{text}");
        std::fs::remove_file(&site).unwrap();
        let (text, code) = render(&balancer, &["web", "--candidate"]);
        assert!(text.ends_with("nginx takes it\n") && code == Some(0), "{text}");
        std::fs::write(&site, "prox_pass http://shop;\n").unwrap();
    }
    assert_eq!(balancer.nginx.listing(), files, "nothing is left beside them");

    // Without an agent it is what is in place.
    balancer.agent.kill();
    let (text, code) = render(&balancer, &["web"]);
    let notice = text.strip_prefix(&balancer.file()).or(text.strip_suffix(&balancer.file())).unwrap_or_default();
    assert!(notice.starts_with("notice: no agent at ") && code == Some(0), "{text}");
    assert!(notice.ends_with("; this is what is in place\n"), "{text}");
}

#[test]
#[ignore = "needs nginx"]
fn through_the_helper_an_operator_sees_and_does_the_same() {
    let mut balancer = Balancer::start_without_helper();
    let text = await_status(&balancer, 8);
    assert!(text.contains("attention  upstream web waits: nothing listens on "), "{text}");
    assert!(text.contains("'systemctl restart weir-apply.socket'"), "{text}");
    let _helper = balancer.start_helper();
    let _one = balancer.web("web1", "1");
    let web = balancer.nginx.web();
    until("the first file", || if web.exists() { Ok(()) } else { Err(balancer.agent.log()) });
    balancer.nginx.run();
    balancer.await_answers(&[("web1", 1)]);
    await_status(&balancer, 0);
    let first = await_cause(&balancer, "web1 joined")["generation"].as_u64().unwrap();
    let _two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    let (text, code) = said(&balancer, &["upstream", "rollback", "--reason", "web2 is slow"]);
    assert!(text.contains(&format!(" = generation {first}, confirmed in ")) && code == Some(0), "{text}");
    balancer.await_answers(&[("web1", 1)]);
    let newest = await_cause(&balancer, &format!("operator, back to {first}"));
    assert_eq!(newest["result"], "live", "{newest}");
    balancer.agent.kill();
    balancer.agent.run();
    balancer.await_log("still held");
    balancer.await_answers(&[("web1", 1)]);
    assert_eq!(said(&balancer, &["upstream", "release"]), ("web is released\n".to_owned(), Some(0)));
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}
