//! Which address to bind and which to tell the others (`ux §1.2` `gossip.bind`, `gossip.advertise`; `ux §4` row 2).

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::AgentError;
use crate::config::{Advertise, BindAddress, BindHost};
use crate::error::Explain;

/// One address of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) ip: IpAddr,
}

/// Why no address could be chosen. Nothing has been bound.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Several private addresses; guessing would make half a cluster.
    #[error("cannot choose an address to advertise: {}", List(.0))]
    Ambiguous(Vec<(IpAddr, String)>),
    /// No private address at all.
    #[error("cannot choose an address to advertise: this host has no private address (it has {})", List(.0))]
    NoPrivate(Vec<(IpAddr, String)>),
    /// `gossip.bind` names an interface that is not there or has no address.
    #[error("cannot bind to interface {name}: this host has no such interface with an address (it has {})", List(.has))]
    NoInterface { name: String, has: Vec<(IpAddr, String)> },
}

impl Explain for AddressError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Ambiguous(_) | Self::NoPrivate(_) => "set gossip.advertise".into(),
            Self::NoInterface { .. } => "correct gossip.bind".into(),
        })
    }
}

/// `10.0.2.15 (eth0), 10.77.0.11 (eth1)`; `nothing but loopback` if empty.
struct List<'a>(&'a [(IpAddr, String)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing but loopback");
        }
        for (index, (ip, name)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{ip} ({name})")?;
        }
        Ok(())
    }
}

/// The addresses of all interfaces that are up and running, in the kernel's order.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let found = getifaddrs()?.filter(|entry| entry.flags.contains(running)).filter_map(|entry| {
        let address = entry.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (None, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => return None,
        };
        Some(Interface { name: entry.interface_name, ip })
    });
    Ok(found.collect())
}

/// The address that `name` stands for in `gossip.bind`: its first IPv4 address, else its first routable IPv6 one.
fn of_interface(name: &str, all: &[Interface]) -> Result<IpAddr, AddressError> {
    let mut own = all.iter().filter(|interface| interface.name == name).map(|interface| interface.ip);
    let first_v6 = own.clone().find(|ip| matches!(ip, IpAddr::V6(v6) if !v6.is_unicast_link_local()));
    own.find(IpAddr::is_ipv4)
        .or(first_v6)
        .ok_or_else(|| AddressError::NoInterface { name: name.to_owned(), has: routable(all).collect() })
}

/// What to bind for `gossip.bind`.
pub(super) fn to_bind(bind: &BindAddress) -> Result<SocketAddr, AgentError> {
    let ip = match &bind.host {
        BindHost::Address(ip) => *ip,
        BindHost::Interface(name) => {
            let all = interfaces().map_err(AgentError::System)?;
            of_interface(name, &all).map_err(AgentError::Address)?
        }
    };
    Ok(SocketAddr::new(ip, bind.port))
}

/// What to tell others for `gossip.advertise`, where `bound` is bound.
pub(super) fn to_advertise(wanted: &Advertise, bound: SocketAddr) -> Result<SocketAddr, AgentError> {
    let first = match *wanted {
        Advertise::Auto => false,
        Advertise::FirstPrivate => true,
        Advertise::Address(ip, port) => return Ok(SocketAddr::new(ip, port.unwrap_or(bound.port()))),
    };
    let all = if bound.ip().is_unspecified() { interfaces().map_err(AgentError::System)? } else { Vec::new() };
    let ip = advertise(bound.ip(), &all, first).map_err(AgentError::Address)?;
    Ok(SocketAddr::new(ip, bound.port()))
}

/// What `advertise = "auto"` means: the bound address, else the only private one. `first` takes the first of several
/// private ones as Serf does.
fn advertise(bound: IpAddr, all: &[Interface], first: bool) -> Result<IpAddr, AddressError> {
    if !bound.is_unspecified() {
        return Ok(bound);
    }
    let private: Vec<_> = routable(all).filter(|(ip, _)| is_private(*ip)).collect();
    let v4: Vec<_> = private.iter().filter(|(ip, _)| ip.is_ipv4()).cloned().collect();
    // A host with both families is ordinary; IPv4 is what every member of a mixed cluster can reach.
    let choice = if v4.is_empty() && bound.is_ipv6() { private } else { v4 };
    match choice.as_slice() {
        [] => Err(AddressError::NoPrivate(routable(all).collect())),
        [only] => Ok(only.0),
        [some, ..] if first => Ok(some.0),
        _ => Err(AddressError::Ambiguous(choice)),
    }
}

/// Every address that another host could use.
pub(super) fn routable(all: &[Interface]) -> impl Iterator<Item = (IpAddr, String)> {
    all.iter().filter(|interface| !is_local(interface.ip)).map(|interface| (interface.ip, interface.name.clone()))
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// RFC 1918, the shared space of RFC 6598, and unique local IPv6.
fn is_private(ip: IpAddr) -> bool {
    let shared = |v4: Ipv4Addr| v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
    let unique_local = |v6: Ipv6Addr| v6.segments()[0] & 0xfe00 == 0xfc00;
    match ip {
        IpAddr::V4(v4) => v4.is_private() || shared(v4),
        IpAddr::V6(v6) => unique_local(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(list: &[(&str, &str)]) -> Vec<Interface> {
        list.iter().map(|(name, ip)| Interface { name: (*name).to_owned(), ip: ip.parse().unwrap() }).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bound_address_is_advertised() {
        assert_eq!(advertise(ip("127.0.0.5"), &[], false), Ok(ip("127.0.0.5")));
    }

    #[test]
    fn the_only_private_address_is_advertised() {
        let all = host(&[("lo", "127.0.0.1"), ("eth0", "203.0.113.9"), ("eth1", "10.77.0.11"), ("eth1", "fe80::1")]);
        assert_eq!(advertise(ip("0.0.0.0"), &all, false), Ok(ip("10.77.0.11")));
        assert_eq!(advertise(ip("::"), &all, false), Ok(ip("10.77.0.11")));
    }

    #[test]
    fn several_private_addresses_are_listed_and_serf_takes_the_first() {
        let all = host(&[("lo", "127.0.0.1"), ("eth0", "10.0.2.15"), ("eth1", "10.77.0.11")]);
        let error = advertise(ip("0.0.0.0"), &all, false).unwrap_err();
        assert_eq!(
            error.sentence(),
            "cannot choose an address to advertise: 10.0.2.15 (eth0), 10.77.0.11 (eth1); set gossip.advertise"
        );
        assert_eq!(advertise(ip("0.0.0.0"), &all, true), Ok(ip("10.0.2.15")));
    }

    #[test]
    fn no_private_address_lists_what_there_is() {
        let public = host(&[("eth0", "203.0.113.9")]);
        assert_eq!(
            advertise(ip("0.0.0.0"), &public, false).unwrap_err().sentence(),
            "cannot choose an address to advertise: this host has no private address (it has 203.0.113.9 (eth0)); \
             set gossip.advertise"
        );
        assert_eq!(
            advertise(ip("0.0.0.0"), &host(&[("lo", "127.0.0.1")]), false).unwrap_err().sentence(),
            "cannot choose an address to advertise: this host has no private address (it has nothing but loopback); \
             set gossip.advertise"
        );
    }

    #[test]
    fn unique_local_is_advertised_only_where_ipv6_is_bound() {
        let all = host(&[("eth0", "fd00::5"), ("eth0", "2001:db8::1")]);
        assert_eq!(advertise(ip("::"), &all, false), Ok(ip("fd00::5")));
        assert!(matches!(advertise(ip("0.0.0.0"), &all, false), Err(AddressError::NoPrivate(_))));
    }

    #[test]
    fn interface_stands_for_its_first_ipv4_address() {
        let all = host(&[("eth1", "fe80::1"), ("eth1", "fd00::5"), ("eth1", "10.77.0.11"), ("eth2", "fd00::6")]);
        assert_eq!(of_interface("eth1", &all), Ok(ip("10.77.0.11")));
        assert_eq!(of_interface("eth2", &all), Ok(ip("fd00::6")));
        assert_eq!(
            of_interface("eth9", &all).unwrap_err().sentence(),
            "cannot bind to interface eth9: this host has no such interface with an address (it has fd00::5 (eth1), \
             10.77.0.11 (eth1), fd00::6 (eth2)); correct gossip.bind"
        );
    }

    #[test]
    fn this_host_has_a_loopback_interface() {
        assert!(interfaces().unwrap().iter().any(|interface| interface.ip == ip("127.0.0.1")));
    }
}
