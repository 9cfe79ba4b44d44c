//! mDNS discovery: members of the same name on the local network find each other (`gossip.discover`).
//!
//! As the reference implementation does it: service `_serf_NAME._tcp`, one instance per node under its own name, the
//! gossip port in SRV, the advertised address in A or AAAA, and a TXT record, without which Serf's resolver takes no answer.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Longest DNS label, the bound on what a node's name may become.
const MAX_LABEL_BYTES: usize = 63;
/// Longest service name that the library announces, `serf_` included; RFC 6763 wants 15.
const MAX_SERVICE_BYTES: u8 = 30;
/// Found addresses that wait for the loop.
const FOUND_QUEUE: usize = 64;

/// Why there is no discovery.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiscoverError {
    #[error("its name has {0} bytes, {max} fit into an mDNS service", max = usize::from(MAX_SERVICE_BYTES) - "serf_".len())]
    Name(usize),
    #[error(transparent)]
    Mdns(#[from] mdns_sd::Error),
}

/// The running discovery; ends when dropped.
#[derive(Debug)]
pub(super) struct Discovery {
    daemon: Daemon,
    found: mpsc::Receiver<SocketAddr>,
    seen: HashSet<SocketAddr>,
}

/// The library's handle has no `Debug`.
struct Daemon(ServiceDaemon);

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Daemon")
    }
}

impl Discovery {
    /// Announces us and looks for others. The library runs a thread of its own, and one more waits for what it finds.
    pub(super) fn start(cluster: &str, node: &str, advertise: SocketAddr) -> Result<Self, DiscoverError> {
        if "serf_".len() + cluster.len() > MAX_SERVICE_BYTES.into() {
            return Err(DiscoverError::Name(cluster.len()));
        }
        let daemon = ServiceDaemon::new()?;
        let service = service_type(cluster);
        daemon.set_service_name_len_max(MAX_SERVICE_BYTES)?;
        daemon.register(announcement(&service, cluster, node, advertise)?)?;
        let events = daemon.browse(&service)?;
        let (sender, found) = mpsc::channel(FOUND_QUEUE);
        std::thread::spawn(move || {
            while let Ok(event) = events.recv() {
                let ServiceEvent::ServiceResolved(info) = event else { continue };
                for ip in info.get_addresses() {
                    let addr = SocketAddr::new(ip.to_ip_addr(), info.get_port());
                    if usable(addr, advertise) && sender.blocking_send(addr).is_err() {
                        return; // the agent has ended
                    }
                }
            }
        });
        Ok(Self { daemon: Daemon(daemon), found, seen: HashSet::new() })
    }

    /// The next address that was not reported before. Cancel-safe.
    pub(super) async fn recv(&mut self) -> SocketAddr {
        loop {
            match self.found.recv().await {
                Some(addr) if self.seen.insert(addr) => return addr,
                Some(_) => {}
                None => {
                    warn!("discovery has ended; members are no longer looked for");
                    std::future::pending().await
                }
            }
        }
    }

    /// Forgets an address that could not be joined, so that its next announcement counts.
    pub(super) fn forget(&mut self, addr: SocketAddr) {
        self.seen.remove(&addr);
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        // Says goodbye to the network; who does not hear it notices by the records' lifetime.
        if let Err(error) = self.daemon.0.shutdown() {
            debug!(%error, "discovery did not end in order");
        }
    }
}

fn announcement(
    service: &str,
    cluster: &str,
    node: &str,
    advertise: SocketAddr,
) -> Result<ServiceInfo, mdns_sd::Error> {
    let host = format!("{}.local.", host_label(node));
    let properties = [("cluster", cluster)];
    let mut info = ServiceInfo::new(service, node, &host, advertise.ip(), advertise.port(), &properties[..])?;
    // Names are unique in the cluster already, and probing for them delays the first answer.
    info.set_requires_probe(false);
    Ok(info)
}

/// `_serf_NAME._tcp.local.`
fn service_type(cluster: &str) -> String {
    format!("_serf_{cluster}._tcp.local.")
}

/// A node's name as one DNS label.
fn host_label(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let label: String = node.chars().map(plain).take(MAX_LABEL_BYTES).collect();
    if label.is_empty() { "weir".to_owned() } else { label }
}

/// Not ourselves, and an address that gossip can use.
fn usable(addr: SocketAddr, own: SocketAddr) -> bool {
    let routable = match addr.ip() {
        IpAddr::V4(_) => true,
        // A link-local address means nothing without its interface.
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    routable && addr != own && !addr.ip().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_is_named_as_the_reference_names_it() {
        assert_eq!(service_type("prod"), "_serf_prod._tcp.local.");
        let info = announcement(&service_type("prod"), "prod", "web 1", "10.0.0.5:7946".parse().unwrap()).unwrap();
        assert_eq!(info.get_type(), "_serf_prod._tcp.local.");
        assert_eq!(info.get_hostname(), "web-1.local.");
        assert_eq!(info.get_port(), 7946);
        assert_eq!(info.get_property_val_str("cluster"), Some("prod"));
    }

    #[test]
    fn name_that_no_service_can_have_is_refused_before_anything_is_sent() {
        let own = "127.0.0.1:7946".parse().unwrap();
        let error = Discovery::start(&"x".repeat(26), "a", own).unwrap_err();
        assert_eq!(error.to_string(), "its name has 26 bytes, 25 fit into an mDNS service");
    }

    #[test]
    fn own_and_link_local_addresses_are_passed_over() {
        let own = "10.0.0.5:7946".parse().unwrap();
        assert!(!usable(own, own));
        assert!(!usable("[fe80::1]:7946".parse().unwrap(), own));
        assert!(usable("10.0.0.6:7946".parse().unwrap(), own));
        assert!(usable("10.0.0.5:7947".parse().unwrap(), own));
    }
}
