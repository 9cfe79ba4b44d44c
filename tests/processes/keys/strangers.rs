//! Whoever is no member and never was: nobody is advised to take its key, or to give up encryption for its sake.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::nginx::Nginx;

/// What `weir join` says of an address.
fn join(agent: &Agent, to: SocketAddr) -> String {
    let output = agent.cli(&["join", &to.to_string()]);
    assert!(!output.status.success(), "{output:?}");
    text(&output.stderr)
}

fn status(agent: &Agent) -> (String, Option<i32>) {
    let output = agent.cli(&["status"]);
    (text(&output.stdout), output.status.code())
}

#[test]
fn two_clusters_that_call_each_other_are_not_told_to_take_the_others_key() {
    let ours = cluster(&["a", "b"], KEY);
    let theirs = cluster(&["x", "y"], OTHER_KEY);
    let said = join(&theirs[0], ours[0].gossip);
    let ip = ours[0].gossip.ip();
    let wanted = format!(
        "{ip} is no member and seals with key {}, this keyring has only {}; if it is to be one: 'weir keys export' here, \
         'weir keys import' there",
        id(KEY),
        id(OTHER_KEY)
    );
    assert!(said.contains(&wanted), "{said}");
    let said = await_finding(&ours[0], "keys.unknown", &id(OTHER_KEY));
    let ip = theirs[0].gossip.ip();
    assert!(said.starts_with(&format!("warn keys.unknown {ip} is no member and seals with key ")), "{said}");
    assert!(said.ends_with("; if it is to be one: 'weir keys export' here, 'weir keys import' there"), "{said}");
}

#[test]
fn a_host_on_its_way_in_is_told_to_take_the_clusters_key_and_is_in_then() {
    let ours = cluster(&["a", "b"], KEY);
    let new = start("new", settings(OTHER_KEY).join(ours[0].gossip));
    await_finding(&new, "gossip.join", "'weir keys export' there, 'weir keys import' here");
    let said = await_finding(&ours[0], "keys.unknown", &id(OTHER_KEY));
    assert!(said.ends_with("if it is to be one: 'weir keys export' here, 'weir keys import' there"), "{said}");
    // The status of both sides says it, too: there it is why this node is alone, here it is news of somebody else.
    let (alone, code) = status(&new);
    let ip = ours[0].gossip.ip();
    let told = format!("attention  this node is alone: {ip} seals with key {}, this keyring has only ", id(KEY));
    assert!(alone.contains(&told) && code == Some(8), "{alone}");
    assert!(alone.contains("\n           'weir keys export' there, 'weir keys import' here\n"), "{alone}");
    let told = format!("\n           {} is no member and seals with key {}, ", new.gossip.ip(), id(OTHER_KEY));
    until("the status to tell of the stranger", || {
        let (text, code) = status(&ours[0]);
        if text.contains(&told) && code == Some(0) { Ok(()) } else { Err(text) }
    });
    carry_key(&ours[0], &new);
    await_alive(&[&ours[0], &ours[1], &new]);
    assert_eq!(found(&ours[0], "keys.unknown"), Vec::<String>::new());
    for agent in [&ours[0], &new] {
        let (text, code) = status(agent);
        assert!(
            text.ends_with("attention  nothing\n") && !text.contains("seals with key") && code == Some(0),
            "{text}"
        );
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_web_server_speaks_no_gossip_and_nothing_is_said_of_keys() {
    let nginx = Nginx::start();
    for (name, settings) in [
        ("auto", settings(KEY)),
        ("session", Settings { seal: Some("session"), ..settings(KEY) }),
        ("memberlist", Settings { seal: Some("memberlist"), ..settings(KEY) }),
        ("plain", Settings { key: None, ..settings(KEY) }),
        ("labelled", Settings { gossip: "label = \"blue\"\n".to_owned(), ..settings(KEY) }),
    ] {
        let agent = start(name, settings);
        let said = join(&agent, nginx.listen);
        let wanted = format!("{} does not speak gossip; wrong port?", nginx.listen);
        assert!(said.contains(&wanted) && !said.contains("seal") && !said.contains("keys"), "{name}: {said}");
    }
}

/// A check that asks the gossip port for a page, say.
#[test]
fn who_asks_the_gossip_port_for_a_page_is_no_matter_of_keys_or_labels() {
    for settings in [settings(KEY), Settings { gossip: "label = \"blue\"\n".to_owned(), ..settings(KEY) }] {
        let agent = start("a", settings);
        let mut stream = TcpStream::connect(agent.gossip).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        // It has read everything once it hangs up.
        let _whatever = stream.read_to_end(&mut Vec::new());
        let info = text(&agent.cli(&["info", "--format", "json"]).stdout);
        assert!(info.contains("not_gossip"), "{info}");
        assert_eq!(doctor(&agent, &["keys"]), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs serf"]
fn a_serf_agent_of_others_that_speaks_in_the_open_is_no_reason_to_do_so() {
    let agent = start("a", settings(KEY));
    let serf = Agent::start(Kind::Serf, "s", Settings { key: None, ..settings(KEY) });
    let said = join(&agent, serf.gossip);
    let wanted = format!(
        "{} speaks without encryption and this node requires it; give it the cluster key (serf: -keyring-file)",
        serf.gossip.ip()
    );
    assert!(said.contains(&wanted) && !said.contains("seal ="), "{said}");
    let joined = serf.cli(&["join", &agent.gossip.to_string()]);
    assert!(!joined.status.success(), "{joined:?}");
    let said = await_finding(&agent, "keys.unknown", "speaks without encryption");
    assert!(said.ends_with("; if it is to be a member: give it the cluster key (serf: -keyring-file)"), "{said}");
}
