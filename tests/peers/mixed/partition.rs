//! Networks that fall apart and come together again: a namespace for each agent, and two bridges between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, agreement, settings};
use super::watch::Watcher;
use crate::support::{Agent, Kind, Settings, skipped, until, until_within};

/// memberlist gossips to the dead for 30 s; after that only Serf's reconnecting brings sides together, every 30 s.
const HEALED_WITHIN: Duration = Duration::from_secs(150);

/// Hosts on one wire that can be cut. Everything is gone when it is dropped.
struct Network {
    /// Holds the bridges.
    hub: String,
    hosts: Vec<String>,
}

impl Network {
    /// `None` where namespaces may not be made; says so.
    fn new(size: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("weir-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let network =
            Self { hub: format!("{prefix}-hub"), hosts: (0..size).map(|host| format!("{prefix}-{host}")).collect() };
        let bridge = |name| ip(&["-n", &network.hub, "link", "add", name, "type", "bridge"]);
        // A container may let namespaces be made and nothing be done in them.
        let made = ip(&["netns", "add", &network.hub]).and_then(|()| bridge("one")).and_then(|()| bridge("two"));
        if let Err(reason) = made {
            skipped(format_args!("networks cannot be made here: {reason}"));
            return None;
        }
        network.build().unwrap_or_else(|reason| panic!("the network cannot be built: {reason}"));
        Some(network)
    }

    fn build(&self) -> Result<(), String> {
        for bridge in ["one", "two"] {
            ip(&["-n", &self.hub, "link", "set", bridge, "up"])?;
        }
        for (host, namespace) in self.hosts.iter().enumerate() {
            let (port, addr) = (port(host), format!("{}/24", address(host)));
            ip(&["netns", "add", namespace])?;
            ip(&[
                "link", "add", &port, "netns", &self.hub, "type", "veth", "peer", "name", "eth0", "netns", namespace,
            ])?;
            ip(&["-n", &self.hub, "link", "set", &port, "master", "one"])?;
            ip(&["-n", &self.hub, "link", "set", &port, "up"])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "addr", "add", &addr, "dev", "eth0"])?;
            ip(&["-n", namespace, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    /// Plugs these hosts into a bridge of their own.
    fn cut_off(&self, hosts: impl IntoIterator<Item = usize>) {
        self.plug(hosts, "two");
    }

    fn heal(&self) {
        self.plug(0..self.hosts.len(), "one");
    }

    fn plug(&self, hosts: impl IntoIterator<Item = usize>, bridge: &str) {
        for host in hosts {
            ip(&["-n", &self.hub, "link", "set", &port(host), "master", bridge]).unwrap();
        }
    }

    /// Agents of both kinds by turns, one on each host, that have found each other.
    fn cluster(&self, profile: &'static str) -> Cluster {
        Cluster::start_as(self.hosts.len(), |kind, name, host| {
            let namespace = Some(self.hosts[host].clone());
            let options = Settings { namespace, profile: Some(profile), ..settings(host) };
            let gossip = SocketAddr::new(address(host).parse().unwrap(), 7946);
            Agent::prepare_at(kind, name, options, gossip, "127.0.0.1:7373".parse().unwrap())
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Devices go with their namespace. One that was never made cannot be removed, and that is fine.
        for namespace in self.hosts.iter().chain([&self.hub]) {
            let _not_there = ip(&["netns", "del", namespace]);
        }
    }
}

fn port(host: usize) -> String {
    format!("port{host}")
}

fn address(host: usize) -> String {
    format!("10.77.66.{}", 10 + host)
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
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
    let cluster = network.cluster("lan");
    let watchers = [0, 2].map(|at| Watcher::start(&cluster.agents[at].name, &socket(&cluster.agents[at])));
    network.cut_off(SIDES[1]);
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

    network.heal();
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
    let cluster = network.cluster("lan");
    // The wire of the serf between two weirs: both suspect it, and it suspects both.
    network.cut_off([1]);
    until("a weir suspects it", || {
        let logs = [0, 2].map(|at| cluster.agents[at].log());
        if logs.iter().any(|log| log.contains("member suspected")) { Ok(()) } else { Err(logs.concat()) }
    });
    network.heal();
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
    let cluster = network.cluster("local");
    network.cut_off(SIDES[1]);
    SIDES.iter().for_each(|side| side_agrees(&cluster, side));
    // In this profile the dead are gossiped to for 15 s; afterwards nothing but a reconnect crosses.
    let dead_since = Instant::now();
    until("the dead are no longer gossiped to", || {
        SIDES.iter().for_each(|side| side_agrees(&cluster, side));
        if dead_since.elapsed() > Duration::from_secs(20) { Ok(()) } else { Err("too early".to_owned()) }
    });
    network.heal();
    all_agree_again(&cluster);
}

#[test]
#[ignore = "needs root and serf"]
fn one_host_alone_comes_back_whichever_kind_it_is() {
    for (alone, kind) in [(0, Kind::Weir), (1, Kind::Serf)] {
        let Some(network) = Network::new(3) else { return };
        let cluster = network.cluster("local");
        assert_eq!(cluster.agents[alone].kind, kind);
        network.cut_off([alone]);
        side_agrees(&cluster, &[alone]);
        let others: Vec<_> = (0..3).filter(|at| *at != alone).collect();
        side_agrees(&cluster, &others);
        network.heal();
        all_agree_again(&cluster);
    }
}
