//! What keeps a host from the others, each cause on hosts of the test's own: it is named, and its remedy ends it.

use std::process::Command;

use super::{Report, settings};
use crate::support::network::{Network, address};
use crate::support::{Agent, Kind, Settings, await_agreement, until, weir_binary};

/// What a network can be to blame for, and what only follows from it.
const GROUPS: [&str; 5] = ["agent", "ports", "gossip", "keys", "config"];

/// `lb1`, `web1` and so on, one on each host, on every address and port 7946, that have found each other.
fn agents(network: &Network, gossip: &[&str]) -> Vec<Agent> {
    let agents: Vec<Agent> = (0..network.hosts.len()).map(|host| agent(network, host, gossip[host])).collect();
    for agent in &agents[1..] {
        let output = agent.cli(&["join", "10.77.66.10:7946"]);
        assert!(output.status.success(), "{output:?}\n{}", agent.log());
    }
    agree(&agents);
    agents
}

fn agent(network: &Network, host: usize, gossip: &str) -> Agent {
    let mut agent = prepared(network, host, gossip);
    agent.run();
    agent
}

fn prepared(network: &Network, host: usize, gossip: &str) -> Agent {
    let options = Settings { namespace: Some(network.hosts[host].clone()), gossip: gossip.to_owned(), ..settings() };
    let (any, rpc) = ("0.0.0.0:7946".parse().unwrap(), "127.0.0.1:7373".parse().unwrap());
    Agent::prepare_at(Kind::Weir, &name(host), options, any, rpc)
}

fn name(host: usize) -> String {
    if host == 0 { "lb1".to_owned() } else { format!("web{host}") }
}

fn agree(agents: &[Agent]) {
    let names: Vec<(&str, &str)> = agents.iter().map(|agent| (agent.name.as_str(), "alive")).collect();
    await_agreement(&agents.iter().collect::<Vec<_>>(), &names);
}

/// What doctor says on a host.
fn look(network: &Network, agent: &Agent, host: usize) -> Report {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.hosts[host], weir_binary(), "doctor", "--config-file"]);
    command.arg(agent.config_file());
    for group in GROUPS {
        command.args(["--only", group]);
    }
    let mut report = Report::of(&mut command);
    // Of the machine that tests: Debian's serf may be installed there.
    report.findings.retain(|finding| finding["id"] != "ports.serf");
    report
}

/// Waits until nothing is found on a host.
fn well(network: &Network, agent: &Agent, host: usize) {
    until("nothing is found", || {
        let report = look(network, agent, host);
        if report.lines().is_empty() { Ok(()) } else { Err(format!("{report:#?}\n{}", agent.log())) }
    });
}

const ALL: [&str; 3] = [""; 3];

#[test]
#[ignore = "needs root"]
fn a_cable_that_is_out_is_named_and_no_firewall() {
    let Some(network) = Network::new(3) else { return };
    let agents = agents(&network, &ALL);
    well(&network, &agents[0], 0);
    network.carrier(0, false);
    // At once, and when all others have failed.
    for at_once in [true, false] {
        if !at_once {
            await_agreement(&[&agents[0]], &[("lb1", "alive"), ("web1", "failed"), ("web2", "failed")]);
        }
        let report = look(&network, &agents[0], 0);
        assert_eq!((report.lines(), report.code), (vec!["error gossip.link eth0".to_owned()], Some(1)), "{report:#?}");
        let found = report.finding("gossip.link");
        assert!(found.starts_with("eth0, which has 10.77.66.10, has no carrier: "), "{found}");
    }
    network.carrier(0, true);
    agree(&agents);
    well(&network, &agents[0], 0);

    network.ip(0, &["link", "set", "eth0", "down"]);
    let report = look(&network, &agents[0], 0);
    assert_eq!(report.lines(), ["error gossip.link eth0"], "{report:#?}");
    assert!(report.finding("gossip.link").ends_with("; ip link set eth0 up"), "{report:#?}");
    network.ip(0, &["link", "set", "eth0", "up"]);
    agree(&agents);
    well(&network, &agents[0], 0);
}

#[test]
#[ignore = "needs root"]
fn an_address_that_has_changed_is_named_and_a_restart_takes_the_new_one() {
    let Some(network) = Network::new(3) else { return };
    let mut agents = agents(&network, &ALL);
    network.ip(0, &["addr", "add", "10.77.66.99/24", "dev", "eth0"]);
    network.ip(0, &["addr", "del", "10.77.66.10/24", "dev", "eth0"]);
    // The second address goes with the first where the kernel is set so.
    network.ip(0, &["addr", "replace", "10.77.66.99/24", "dev", "eth0"]);
    let report = look(&network, &agents[0], 0);
    assert_eq!(report.lines(), ["error gossip.address 10.77.66.10"], "{report:#?}");
    let wanted = "others look for this node at 10.77.66.10, which this host has not (it has 10.77.66.99 (eth0)); \
                  'systemctl restart weir' takes what this host has now";
    assert_eq!(report.finding("gossip.address"), wanted);
    agents[0].kill();
    agents[0].run();
    agree(&agents);
    well(&network, &agents[0], 0);
}

#[test]
#[ignore = "needs root"]
fn what_is_lost_in_one_direction_is_told_from_a_host_that_is_down() {
    let Some(network) = Network::new(3) else { return };
    let agents = agents(&network, &ALL);
    network.lose(0, 1);
    let report = look(&network, &agents[0], 0);
    assert_eq!(report.lines(), ["error gossip.member web1"], "{report:#?}");
    let found = report.finding("gossip.member");
    let wanted =
        format!("web1 is alive for others, and nothing comes from {}:7946 to this host, TCP or UDP; ", address(1));
    assert!(found.starts_with(&wanted), "{found}");

    network.lose(0, 2);
    let report = look(&network, &agents[0], 0);
    assert_eq!(report.lines(), ["error gossip.host members"], "{report:#?}");
    let found = report.finding("gossip.host");
    assert!(found.contains("it hears them, so what it sends is lost"), "{found}");
}

#[test]
#[ignore = "needs root"]
fn on_a_host_of_ipv6_alone_the_bind_is_to_blame_and_mending_it_starts_the_agent() {
    let Some(network) = Network::new(1) else { return };
    network.ip(0, &["addr", "flush", "dev", "eth0"]);
    network.ip(0, &["addr", "add", "fd00::5/64", "dev", "eth0", "nodad"]);
    let mut agent = prepared(&network, 0, "");
    agent.write_config();
    let report = look(&network, &agent, 0);
    assert_eq!(report.lines(), ["error gossip.family 0.0.0.0:7946"], "{report:#?}");
    let wanted = "the agent is bound to 0.0.0.0:7946, IPv4 alone, and this host has only fd00::5 (eth0); set gossip.bind = \
                  \"[::]:7946\", then 'systemctl restart weir'";
    assert_eq!(report.finding("gossip.family"), wanted);
    agent.gossip = "[::]:7946".parse().unwrap();
    agent.run();
    well(&network, &agent, 0);
}

#[test]
#[ignore = "needs root"]
fn members_of_the_other_family_are_not_behind_a_firewall() {
    let Some(network) = Network::new(3) else { return };
    for host in 0..3 {
        network.ip(host, &["addr", "add", &format!("fd00::{}/64", 10 + host), "dev", "eth0", "nodad"]);
    }
    // lb1 speaks IPv4 alone, web2 is known by IPv6, and web1 speaks both.
    let mut agents: Vec<Agent> = ["", "", "advertise = \"fd00::12\"\n"]
        .iter()
        .enumerate()
        .map(|(host, gossip)| prepared(&network, host, gossip))
        .collect();
    for agent in &mut agents[1..] {
        agent.gossip = "[::]:7946".parse().unwrap();
    }
    agents.iter_mut().for_each(Agent::run);
    for agent in [&agents[0], &agents[2]] {
        let output = agent.cli(&["join", &format!("{}:7946", address(1))]);
        assert!(output.status.success(), "{output:?}\n{}", agent.log());
    }
    until("lb1 knows web2", || {
        let members = agents[0].members()?;
        if members.iter().any(|member| member.name == "web2") { Ok(()) } else { Err(format!("{members:?}")) }
    });
    let report = look(&network, &agents[0], 0);
    assert_eq!(report.lines(), ["error gossip.family web2"], "{report:#?}");
    let wanted = "web2 is at fd00::12, IPv6, and this agent is bound to 0.0.0.0:7946, IPv4 alone; set gossip.bind = \
                  \"[::]:7946\" here, then 'systemctl restart weir'";
    assert_eq!(report.finding("gossip.family"), wanted);
    agents[0].kill();
    agents[0].gossip = "[::]:7946".parse().unwrap();
    agents[0].run();
    agree(&agents);
    well(&network, &agents[0], 0);
}

#[test]
fn a_name_that_another_has_is_told_once_and_a_name_of_its_own_ends_it() {
    let first = Agent::start(Kind::Weir, "web1", settings());
    let third = Agent::start(Kind::Weir, "lb1", settings().join(first.gossip));
    await_agreement(&[&first, &third], &[("web1", "alive"), ("lb1", "alive")]);
    let mut again = Agent::start(Kind::Weir, "web1", settings().join(third.gossip));
    let lines = |agent: &Agent| super::doctor(&agent.config_file(), &["agent", "gossip", "keys"]).lines();
    // Who has the name is asked anew each minute, and undecided at first.
    until("the vote is lost", || {
        let (found, alone) = (lines(&again), super::doctor(&again.config_file(), &["gossip"]).lines());
        if found == ["error agent.name web1"] && alone == ["error gossip.name name"] {
            return Ok(());
        }
        Err(format!("{found:?} {alone:?}\n{}", again.log()))
    });
    let report = super::doctor(&again.config_file(), &["agent"]);
    assert!(report.finding("agent.name").ends_with("; set a different node.name"), "{report:#?}");
    again.kill();
    again.name = "web2".to_owned();
    again.run();
    await_agreement(&[&first, &third, &again], &[("web1", "alive"), ("lb1", "alive"), ("web2", "alive")]);
    let none: [&str; 0] = [];
    assert_eq!(lines(&again), none);
}
