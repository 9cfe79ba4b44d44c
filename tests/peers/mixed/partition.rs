//! Networks that fall apart and come together again: a namespace for each agent, and two bridges between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, agreement, settings};
use super::watch::Watcher;
use crate::support::network::{Network, address};
use crate::support::{Agent, Kind, Settings, until, until_within};

/// memberlist gossips to the dead for 30 s; after that only Serf's reconnecting brings sides together, every 30 s.
const HEALED_WITHIN: Duration = Duration::from_secs(150);

/// Plugs these hosts into a bridge of their own.
fn cut_off(network: &Network, hosts: impl IntoIterator<Item = usize>) {
    network.plug(hosts, "two");
}

fn heal(network: &Network) {
    network.plug(0..network.hosts.len(), "one");
}

/// Agents of both kinds by turns, one on each host, that have found each other.
fn cluster(network: &Network, profile: &'static str) -> Cluster {
    Cluster::start_as(network.hosts.len(), |kind, name, host| {
        let namespace = Some(network.hosts[host].clone());
        let options = Settings { namespace, profile: Some(profile), ..settings(host) };
        let gossip = SocketAddr::new(address(host).parse().unwrap(), 7946);
        Agent::prepare_at(kind, name, options, gossip, "127.0.0.1:7373".parse().unwrap())
    })
}

/// The unix socket of a weir agent, which is reached from every namespace.
fn socket(agent: &Agent) -> String {
    format!("unix:{}", agent.dir.path().join("rpc.sock").display())
}

/// Waits until these agree that they are alive and the others failed.
fn side_agrees(cluster: &Cluster, side: &[usize]) {
    let agents: Vec<_> = side.iter().map(|at| &cluster.agents[*at]).collect();
    let status = |at| if side.contains(&at) { "alive" } else { "failed" };
    let expected: BTreeMap<_, _> =
        cluster.agents.iter().enumerate().map(|(at, agent)| (agent.name.clone(), status(at))).collect();
    until(&format!("{side:?} see the others failed"), || agreement(&agents, &expected));
}

fn all_agree_again(cluster: &Cluster) {
    let (start, everybody) = (Instant::now(), cluster.agents.iter().collect::<Vec<_>>());
    until_within(HEALED_WITHIN, "the cluster is whole", || agreement(&everybody, &cluster.expected));
    println!("whole again after {:.1} s", start.elapsed().as_secs_f64());
}

/// weir and serf on either side.
const SIDES: [[usize; 2]; 2] = [[0, 1], [2, 3]];

#[test]
#[ignore = "needs root and serf"]
fn both_sides_of_a_partition_see_the_same_and_after_it_heals_all_know_what_happened_on_either() {
    let Some(network) = Network::new(4) else { return };
    let cluster = cluster(&network, "lan");
    let watchers = [0, 2].map(|at| Watcher::start(&cluster.agents[at].name, &socket(&cluster.agents[at])));
    cut_off(&network, SIDES[1]);
    SIDES.iter().for_each(|side| side_agrees(&cluster, side));

    // Something new on each side, from each kind.
    let [weir, serf] = [&cluster.agents[0], &cluster.agents[3]];
    for (agent, dash, coalesce) in [(weir, "--", "--coalesce=false"), (serf, "-", "-coalesce=false")] {
        let name = format!("on the side of {}", agent.name);
        for arguments in [&["event", coalesce, &name][..], &["tags", &format!("{dash}set"), "news=yes"]] {
            let output = agent.cli(arguments);
            assert!(output.status.success(), "{output:?}");
        }
    }
    watchers[0].await_event("on the side of weir-0");
    watchers[1].await_event("on the side of serf-3");
    assert_eq!(watchers.each_ref().map(|watcher| watcher.events().len()), [1, 1], "nothing crosses the gap");

    heal(&network);
    all_agree_again(&cluster);
    let members = until("both have heard of the news", || {
        let members = cluster.agree();
        let news = |name: &str| members.iter().any(|m| m.name == name && m.tags.contains_key("news"));
        if news("weir-0") && news("serf-3") { Ok(members) } else { Err(format!("{members:#?}")) }
    });
    assert_eq!(members.iter().filter(|member| member.tags.contains_key("news")).count(), 2);
    for watcher in &watchers {
        watcher.await_event("on the side of weir-0");
        watcher.await_event("on the side of serf-3");
        assert_eq!(watcher.events().len(), 2, "{}: each once: {:?}", watcher.name, watcher.events());
    }
}

#[test]
#[ignore = "needs root and serf"]
fn a_partition_shorter_than_a_suspicion_makes_nobody_fail() {
    let Some(network) = Network::new(3) else { return };
    let cluster = cluster(&network, "lan");
    // The wire of the serf between two weirs: both suspect it, and it suspects both.
    cut_off(&network, [1]);
    until("a weir suspects it", || {
        let logs = [0, 2].map(|at| cluster.agents[at].log());
        if logs.iter().any(|log| log.contains("member suspected")) { Ok(()) } else { Err(logs.concat()) }
    });
    heal(&network);
    until("it is cleared", || {
        let logs = [0, 2].map(|at| cluster.agents[at].log());
        let settled =
            |log: &String| log.matches("member suspected").count() == log.matches("no longer suspected").count();
        if logs.iter().all(settled) { Ok(()) } else { Err(logs.concat()) }
    });
    cluster.agree();
    for agent in &cluster.agents {
        let log = agent.log();
        assert!(!log.contains("member failed") && !log.contains("EventMemberFailed"), "{}: {log}", agent.name);
    }
}

#[test]
#[ignore = "needs root and serf"]
fn a_partition_that_outlasts_the_memory_of_the_dead_heals_by_reconnecting() {
    let Some(network) = Network::new(4) else { return };
    let cluster = cluster(&network, "local");
    cut_off(&network, SIDES[1]);
    SIDES.iter().for_each(|side| side_agrees(&cluster, side));
    // In this profile the dead are gossiped to for 15 s; afterwards nothing but a reconnect crosses.
    let dead_since = Instant::now();
    until("the dead are no longer gossiped to", || {
        SIDES.iter().for_each(|side| side_agrees(&cluster, side));
        if dead_since.elapsed() > Duration::from_secs(20) { Ok(()) } else { Err("too early".to_owned()) }
    });
    heal(&network);
    all_agree_again(&cluster);
}

#[test]
#[ignore = "needs root and serf"]
fn one_host_alone_comes_back_whichever_kind_it_is() {
    for (alone, kind) in [(0, Kind::Weir), (1, Kind::Serf)] {
        let Some(network) = Network::new(3) else { return };
        let cluster = cluster(&network, "local");
        assert_eq!(cluster.agents[alone].kind, kind);
        cut_off(&network, [alone]);
        side_agrees(&cluster, &[alone]);
        let others: Vec<_> = (0..3).filter(|at| *at != alone).collect();
        side_agrees(&cluster, &others);
        heal(&network);
        all_agree_again(&cluster);
    }
}
