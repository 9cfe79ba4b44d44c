//! mDNS discovery: members of the same name on the local network find each other (`gossip.discover`).
//!
//! As the reference implementation does it: service `_serf_NAME._tcp`, one instance per node under its own name as
//! far as a label holds it, the gossip port in SRV, the advertised address in A or AAAA, and a TXT record, without which Serf's resolver takes no answer.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Longest DNS label.
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
    let (instance, properties) = (label(node), [("cluster", cluster)]);
    let host = format!("{}.local.", host_label(&instance));
    let mut info = ServiceInfo::new(service, &instance, &host, advertise.ip(), advertise.port(), &properties[..])?;
    // Names are unique in the cluster already, and probing for them delays the first answer.
    info.set_requires_probe(false);
    Ok(info)
}

/// `_serf_NAME._tcp.local.`
fn service_type(cluster: &str) -> String {
    format!("_serf_{cluster}._tcp.local.")
}

/// A node's name as a DNS label. Nobody reads more of it than that it is another than that of others, and the library says
/// nothing of what does not fit: a longer name keeps its beginning, and has its checksum for an end.
fn label(node: &str) -> Cow<'_, str> {
    if node.len() <= MAX_LABEL_BYTES {
        return node.into();
    }
    let checksum = format!("-{:08x}", crc32fast::hash(node.as_bytes()));
    let room = MAX_LABEL_BYTES - checksum.len();
    let begin: String = node.char_indices().take_while(|(at, c)| at + c.len_utf8() <= room).map(|(_, c)| c).collect();
    (begin + &checksum).into()
}

/// The same as a host's.
fn host_label(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
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
    fn a_name_that_fits_in_no_label_becomes_one_that_is_its_own() {
        let addr = "10.0.0.5:7946".parse().unwrap();
        let long = |end: &str| "ü".repeat(40) + end;
        let labels = [long("a"), long("b"), "x".repeat(63), "x".repeat(64), "x".repeat(65)].map(|node| {
            let info = announcement(&service_type("prod"), "prod", &node, addr).unwrap();
            let (instance, host) = (info.get_fullname().to_owned(), info.get_hostname().to_owned());
            let labels = [instance.strip_suffix("._serf_prod._tcp.local."), host.strip_suffix(".local.")];
            labels.map(|label| label.unwrap().to_owned())
        });
        assert!(labels.as_flattened().iter().all(|label| label.len() <= MAX_LABEL_BYTES), "{labels:?}");
        assert_eq!(labels[2][0], "x".repeat(63));
        let different: HashSet<_> = labels.iter().flatten().collect();
        // A name of ASCII letters is its host's.
        assert_eq!(different.len(), 4 + 3, "{labels:?}");
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
