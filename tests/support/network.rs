//! Hosts of a test's own: a network namespace for each, on bridges that can be changed. Needs root and `ip`.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::skipped;

/// Hosts on one wire that can be cut. Everything is gone when it is dropped.
pub struct Network {
    /// Holds the bridges.
    hub: String,
    /// Names for `ip netns`, one for each host.
    pub hosts: Vec<String>,
}

impl Network {
    /// `None` where namespaces may not be made; says so.
    pub fn new(size: usize) -> Option<Self> {
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

    /// Plugs these hosts into bridge `one`, where all begin, or `two`.
    pub fn plug(&self, hosts: impl IntoIterator<Item = usize>, bridge: &str) {
        for host in hosts {
            ip(&["-n", &self.hub, "link", "set", &port(host), "master", bridge]).unwrap();
        }
    }

    /// Pulls a host's cable, or plugs it in again.
    pub fn carrier(&self, host: usize, there: bool) {
        ip(&["-n", &self.hub, "link", "set", &port(host), if there { "up" } else { "down" }]).unwrap();
    }

    /// `ip` on a host.
    pub fn ip(&self, host: usize, arguments: &[&str]) {
        ip(&[&["-n", &self.hosts[host]], arguments].concat()).unwrap();
    }

    /// What `from` sends to `to` is lost from now on: it goes to a card that nobody has.
    pub fn lose(&self, from: usize, to: usize) {
        self.ip(
            from,
            &["neigh", "replace", &address(to), "lladdr", "02:00:00:00:00:fe", "dev", "eth0", "nud", "permanent"],
        );
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

/// The address that a host begins with.
pub fn address(host: usize) -> String {
    format!("10.77.66.{}", 10 + host)
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
