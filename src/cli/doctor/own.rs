//! What this host has to talk with: its links, its addresses, and what its agent does with them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::conversation::Heard;
use super::host::is_own;
use crate::config::{Advertise, BindHost, Config};
use crate::serf::Status;
use crate::status::doctor::{Advertised, Link, Own};
use crate::status::node::Member;

/// By the agent's own word where it runs, or else as its configuration would have it.
pub(super) fn look(config: Option<&Config>, heard: &Heard) -> Own {
    let node = heard.document().map(|document| &document.node);
    let links = links();
    let bind = node.and_then(|node| node.bind).or_else(|| to_bind(config?, &links));
    let configured = config.is_some_and(|config| matches!(config.gossip.advertise, Advertise::Address(..)));
    let addr = node.and_then(|node| node.addr).or_else(|| to_advertise(config?, bind?));
    let is_told = node.is_some_and(|node| node.address_gone.is_some());
    let is_there = |member: &Member| !member.own && Some(member.addr) == addr && member.status.is(&Status::Alive);
    Own {
        links,
        bind,
        advertised: addr.map(|addr| Advertised { addr, present: is_own(addr.ip()), configured }),
        silenced: node.and_then(|node| node.name_conflict()),
        hears: heard.hears,
        is_anothers: is_told || heard.members().iter().any(is_there),
    }
}

fn to_bind(config: &Config, links: &[Link]) -> Option<SocketAddr> {
    let bind = &config.gossip.bind;
    let ip = match &bind.host {
        BindHost::Address(ip) => *ip,
        BindHost::Interface(name) => *links.iter().find(|link| link.name == *name)?.addrs.first()?,
    };
    Some(SocketAddr::new(ip, bind.port))
}

/// Which of several addresses is left to the agent.
fn to_advertise(config: &Config, bind: SocketAddr) -> Option<SocketAddr> {
    match config.gossip.advertise {
        Advertise::Address(ip, port) => Some(SocketAddr::new(ip, port.unwrap_or(bind.port()))),
        Advertise::Auto | Advertise::FirstPrivate => Some(bind).filter(|bind| !bind.ip().is_unspecified()),
    }
}

/// All but loopback, in the kernel's order; none where they cannot be listed.
fn links() -> Vec<Link> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let mut links: BTreeMap<String, usize> = BTreeMap::new();
    let mut list = Vec::new();
    for entry in all.filter(|entry| !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)) {
        let at = *links.entry(entry.interface_name.clone()).or_insert_with(|| {
            list.push(Link {
                name: entry.interface_name.clone(),
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                carrier: entry.flags.contains(InterfaceFlags::IFF_RUNNING),
                addrs: Vec::new(),
            });
            list.len() - 1
        });
        let address = entry.address.as_ref();
        let v4 = address.and_then(|address| address.as_sockaddr_in()).map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.and_then(|address| address.as_sockaddr_in6()).map(|v6| IpAddr::V6(v6.ip()));
        list[at].addrs.extend(v4.or(v6).filter(is_routable));
    }
    list
}

/// Whether another host could use it.
fn is_routable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    }
}
