//! weir and real Serf agents in one cluster. Debian's package `serf` is the peer.

use std::process::Command;

use crate::support::network::{Network, address};
use crate::support::{Agent, Kind, Settings, await_agreement, parse_members, same, serf, skipped, until, weir_binary};

/// 16, 24 and 32 bytes.
const KEYS: [&str; 3] =
    ["AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

fn settings(key: &str) -> Settings {
    Settings::key(key).tag("role", "web").tag("odd", "tab\there")
}

/// A `serf` and two `weir` agents, joined so that each kind has opened the exchange once.
fn cluster(key: &str) -> [Agent; 3] {
    let serf = Agent::start(Kind::Serf, "serf-1", settings(key));
    let one = Agent::start(Kind::Weir, "weir-1", settings(key).tag("port", "8080"));
    let two = Agent::start(Kind::Weir, "weir-2", settings(key));
    one.join_to(serf.gossip);
    serf.join_to(two.gossip);
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
    [serf, one, two]
}

#[test]
#[ignore = "needs serf"]
fn both_kinds_agree_with_every_key_size_joined_in_either_direction() {
    for key in KEYS {
        cluster(key);
    }
    let plain = Settings::default();
    let serf = Agent::start(Kind::Serf, "serf-1", plain.clone());
    let weir = Agent::start(Kind::Weir, "weir-1", plain);
    weir.join_to(serf.gossip);
    await_agreement(&[&serf, &weir], &[("serf-1", "alive"), ("weir-1", "alive")]);
}

#[test]
#[ignore = "needs serf"]
fn both_kinds_agree_after_a_kill_and_a_rejoin_of_each() {
    let [mut serf, one, mut two] = cluster(KEYS[2]);
    two.kill();
    await_agreement(&[&serf, &one], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "failed")]);
    two.run();
    two.join_to(one.gossip);
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.kill();
    await_agreement(&[&one, &two], &[("serf-1", "failed"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.run();
    serf.join_to(two.gossip);
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
}

#[test]
#[ignore = "needs serf"]
fn both_kinds_agree_after_a_graceful_leave_and_a_rejoin_of_each() {
    let [mut serf, one, mut two] = cluster(KEYS[0]);
    two.leave();
    await_agreement(&[&serf, &one], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "left")]);
    two.run();
    two.join_to(serf.gossip);
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.leave();
    await_agreement(&[&one, &two], &[("serf-1", "left"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.run();
    serf.join_to(one.gossip);
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
}

#[test]
#[ignore = "needs serf"]
fn both_kinds_agree_after_a_pause_of_each() {
    let [mut serf, one, mut two] = cluster(KEYS[1]);
    two.pause();
    await_agreement(&[&serf, &one], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "failed")]);
    two.resume();
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.pause();
    await_agreement(&[&one, &two], &[("serf-1", "failed"), ("weir-1", "alive"), ("weir-2", "alive")]);
    serf.resume();
    await_agreement(&[&serf, &one, &two], &[("serf-1", "alive"), ("weir-1", "alive"), ("weir-2", "alive")]);
}

#[test]
#[ignore = "needs serf"]
fn the_real_serf_command_reads_a_weir_agent() {
    let agent = Agent::start(Kind::Weir, "weir-1", Settings::default().tag("role", "lb"));
    let listed = serf(agent.rpc, &["members", "-format=json"]);
    assert!(listed.status.success(), "{listed:?}");
    let members = parse_members(&String::from_utf8_lossy(&listed.stdout)).unwrap();
    assert_eq!(members, agent.members().unwrap());
    assert_eq!((members.len(), members[0].name.as_str(), members[0].status.as_str()), (1, "weir-1", "alive"));
    assert_eq!(members[0].addr, agent.gossip.to_string());

    let info = serf(agent.rpc, &["info", "-format=json"]);
    assert!(info.status.success(), "{info:?}");
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["agent"]["name"], "weir-1");
    assert_eq!(info["serf"]["members"], "1");
    assert_eq!(info["serf"]["encrypted"], "false");
    assert_eq!(info["tags"]["role"], "lb");
}

#[test]
#[ignore = "needs serf"]
fn a_wrong_key_is_named_and_harms_nobody() {
    let serf = Agent::start(Kind::Serf, "serf-1", Settings::key(KEYS[0]));
    let weir = Agent::start(Kind::Weir, "weir-1", Settings::key(KEYS[2]));
    let joined = weir.cli(&["join", &serf.gossip.to_string()]);
    assert!(!joined.status.success());
    let text = String::from_utf8_lossy(&joined.stderr).into_owned();
    assert!(text.contains("a key that this keyring lacks") && text.contains(&serf.gossip.ip().to_string()), "{text}");
    assert_eq!(weir.members().unwrap().len(), 1);
    assert_eq!(serf.members().unwrap().len(), 1);
    assert!(!weir.log().contains(KEYS[2]), "no key in the log");
}

#[test]
#[ignore = "needs serf"]
fn an_unencrypted_peer_is_refused_and_named() {
    let serf = Agent::start(Kind::Serf, "serf-1", Settings::default());
    let weir = Agent::start(Kind::Weir, "weir-1", Settings::key(KEYS[2]));
    let joined = weir.cli(&["join", &serf.gossip.to_string()]);
    assert!(!joined.status.success());
    let text = String::from_utf8_lossy(&joined.stderr).into_owned();
    assert!(text.contains("encryption") || text.contains("hung up"), "{text}");
    let back = serf.cli(&["join", &weir.gossip.to_string()]);
    assert!(!back.status.success(), "{back:?}");
    assert_eq!(weir.members().unwrap().len(), 1);
}

#[test]
#[ignore = "needs serf"]
fn a_peer_of_an_older_serf_protocol_is_a_member() {
    let old =
        Settings { serf_args: vec!["-protocol=2".to_owned(), "-role=legacy".to_owned()], ..Settings::key(KEYS[1]) };
    let serf = Agent::start(Kind::Serf, "old", old);
    let weir = Agent::start(Kind::Weir, "weir-1", Settings::key(KEYS[1]));
    weir.join_to(serf.gossip);
    until("the old role is read", || {
        let members = weir.members()?;
        let role = members.iter().find(|member| member.name == "old").and_then(|member| member.tags.get("role"));
        same(&role.map(String::as_str), &Some("legacy"))
    });
}

#[test]
#[ignore = "needs serf and root"]
fn who_asks_nobody_in_particular_is_told_whose_agent_answers() {
    if std::path::Path::new("/run/weir/rpc.sock").exists() {
        return skipped("this host has an agent of its own");
    }
    let Some(network) = Network::new(1) else { return };
    for (kind, whose) in [(Kind::Serf, "Serf's agent"), (Kind::Weir, "the agent")] {
        let settings = Settings { namespace: Some(network.hosts[0].clone()), ..Settings::default() };
        let gossip = format!("{}:7946", address(0)).parse().unwrap();
        let mut agent = Agent::prepare_at(kind, "one", settings, gossip, "127.0.0.1:7373".parse().unwrap());
        agent.run();
        let mut members = Command::new("ip");
        members.args(["netns", "exec", &network.hosts[0], weir_binary(), "members"]);
        for variable in ["WEIR_RPC_ADDR", "SERF_RPC_ADDR", "SERF_RPC_AUTH"] {
            members.env_remove(variable);
        }
        let ran = members.output().unwrap();
        let notice = format!("notice: no agent at /run/weir/rpc.sock; {whose} at 127.0.0.1:7373 answers instead\n");
        assert_eq!(String::from_utf8_lossy(&ran.stderr), notice);
        assert!(ran.status.success() && ran.stdout.starts_with(b"one  10.77.66.10:7946  alive"), "{ran:?}");
    }
}
