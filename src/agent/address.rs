//! Which address to bind and which to tell the others (`ux §1.2` `gossip.bind`, `gossip.advertise`; `ux §4` row 2).

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::AgentError;
use crate::config::{Advertise, BindAddress, BindHost, Gossip};
use crate::error::{Explain, Trouble};

/// One address of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    /// The kernel drops it within days (RFC 8981).
    pub(super) temporary: bool,
}

/// Why no address could be chosen. Nothing has been bound; later there may be one.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Several private addresses and no default route; guessing would make half a cluster.
    #[error("cannot choose an address to advertise: {}", List(.0))]
    Ambiguous(Vec<(IpAddr, String)>),
    /// No private address, and no default route.
    #[error("cannot choose an address to advertise: this host has no private address (it has {})", List(.0))]
    NoPrivate(Vec<(IpAddr, String)>),
    /// IPv4 is bound and only IPv6 is there.
    #[error("cannot choose an address to advertise: gossip.bind is IPv4 and this host has none (it has {})", List(.0))]
    NoIpv4(Vec<(IpAddr, String)>),
    /// `gossip.bind` names an interface that is not there.
    #[error("cannot bind to interface {name}: this host has no such interface (it has {})", List(.has))]
    NoInterface { name: String, has: Vec<(IpAddr, String)> },
    /// `gossip.bind` names an interface that is not up, or not configured yet.
    #[error("cannot bind to interface {name}: it is down or has no address")]
    Unaddressed { name: String },
}

impl Explain for AddressError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::NoPrivate(has) if has.is_empty() => "give it one".into(),
            Self::Ambiguous(_) | Self::NoPrivate(_) => "set gossip.advertise".into(),
            Self::NoIpv4(_) => "set gossip.bind = \"[::]:7946\", which serves both".into(),
            Self::NoInterface { .. } => "create it, or correct gossip.bind".into(),
            Self::Unaddressed { .. } => "bring it up, or correct gossip.bind".into(),
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
    // Where it cannot be read there is no IPv6.
    let temporary = temporary(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default());
    let found = getifaddrs()?.filter(|entry| entry.flags.contains(running)).filter_map(|entry| {
        let address = entry.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (None, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => return None,
        };
        Some(Interface { name: entry.interface_name, ip, temporary: temporary.contains(&ip) })
    });
    Ok(found.collect())
}

/// The addresses that the kernel makes for a while, for those who call others. Of lines `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, in
/// hexadecimal digits.
fn temporary(table: &str) -> Vec<IpAddr> {
    const TEMPORARY: u32 = 1;
    let of = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let ip = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        (flags & TEMPORARY != 0).then(|| Ipv6Addr::from_bits(ip).into())
    };
    table.lines().filter_map(of).collect()
}

/// The address that stays, in the network where `ip` is one that does not; itself where there is no other.
pub(super) fn lasting(ip: IpAddr, all: &[Interface]) -> IpAddr {
    let network = |ip: IpAddr| match ip {
        IpAddr::V6(v6) => Some(v6.to_bits() >> 64),
        IpAddr::V4(_) => None,
    };
    let Some(own) = all.iter().find(|interface| interface.ip == ip && interface.temporary) else { return ip };
    let is_beside = |other: &&Interface| !other.temporary && other.name == own.name && network(other.ip) == network(ip);
    all.iter().find(is_beside).map_or(ip, |beside| beside.ip)
}

/// The address that `name` stands for in `gossip.bind`: its first IPv4 address, else its first routable IPv6 one.
fn of_interface(name: &str, all: &[Interface]) -> Option<IpAddr> {
    let mut own = all.iter().filter(|interface| interface.name == name).map(|interface| interface.ip);
    let first_v6 = own.clone().find(|ip| matches!(ip, IpAddr::V6(v6) if !v6.is_unicast_link_local()));
    own.find(IpAddr::is_ipv4).or_else(|| first_v6.map(|ip| lasting(ip, all)))
}

/// What to bind for `gossip.bind`.
pub(super) fn to_bind(bind: &BindAddress) -> Result<SocketAddr, AgentError> {
    let ip = match &bind.host {
        BindHost::Address(ip) => *ip,
        BindHost::Interface(name) => {
            let all = interfaces().map_err(AgentError::System)?;
            of_interface(name, &all).ok_or_else(|| AgentError::Address(unbindable(name, &all)))?
        }
    };
    Ok(SocketAddr::new(ip, bind.port))
}

fn unbindable(name: &str, all: &[Interface]) -> AddressError {
    let name = name.to_owned();
    match nix::net::if_::if_nametoindex(name.as_str()) {
        Ok(_) => AddressError::Unaddressed { name },
        Err(_) => AddressError::NoInterface { name, has: routable(all).collect() },
    }
}

/// What to tell others for `gossip.advertise`, where `bound` is bound and `before` was told the last time.
pub(super) fn to_advertise(
    wanted: &Advertise,
    bound: SocketAddr,
    before: Option<IpAddr>,
) -> Result<SocketAddr, AgentError> {
    let (before, first) = match *wanted {
        Advertise::Auto => (before, false),
        Advertise::FirstPrivate => (None, true),
        Advertise::Address(ip, port) => return Ok(SocketAddr::new(ip, port.unwrap_or(bound.port()))),
    };
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let all = interfaces().map_err(AgentError::System)?;
    let ip = match contenders(bound.ip(), &all).first() {
        Some((ip, _)) if first => *ip,
        _ => advertise(bound.ip(), &all, before, default_source(bound.ip())).map_err(AgentError::Address)?,
    };
    Ok(SocketAddr::new(ip, bound.port()))
}

/// Whether this host has it.
pub(super) fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// That this host has not the address where others look for it. One that is configured may be that of a router before it, unless
/// it is `anothers`.
pub(super) fn gone(gossip: &Gossip, advertised: IpAddr, anothers: bool) -> Option<Trouble> {
    let is_configured = matches!(gossip.advertise, Advertise::Address(..));
    if is_configured && !anothers || is_own(advertised) {
        return None;
    }
    let has: Vec<_> = routable(&interfaces().ok()?).collect();
    let what = format!("others look for this node at {advertised}, which this host has not (it has {})", List(&has));
    let is_bound = matches!(gossip.bind.host, BindHost::Address(ip) if ip == advertised);
    let way_out = if is_configured {
        "correct gossip.advertise, then 'systemctl restart weir'"
    } else if is_bound {
        "correct gossip.bind, then 'systemctl restart weir'"
    } else {
        "'systemctl restart weir' takes what this host has now"
    };
    Some(Trouble::new(what, way_out))
}

/// What `advertise = "auto"` means where the unspecified address is bound: the one `before` if it is still ours, else the
/// only private one, else that of the default route, `outward`.
fn advertise(
    bound: IpAddr,
    all: &[Interface],
    before: Option<IpAddr>,
    outward: Option<IpAddr>,
) -> Result<IpAddr, AddressError> {
    let is_ours = |ip: &IpAddr| routable(all).any(|(ours, _)| ours == *ip) && (bound.is_ipv6() || ip.is_ipv4());
    if let Some(before) = before.filter(is_ours) {
        return Ok(before);
    }
    let private = contenders(bound, all);
    match (private.as_slice(), outward.map(|ip| lasting(ip, all)).filter(is_ours)) {
        ([only], _) => Ok(only.0),
        (_, Some(outward)) => Ok(outward),
        ([], None) => {
            let has = routable(all).collect();
            let lacks_ipv4 = bound.is_ipv4() && has_ipv6_alone(all);
            Err(if lacks_ipv4 { AddressError::NoIpv4(has) } else { AddressError::NoPrivate(has) })
        }
        (_, None) => Err(AddressError::Ambiguous(private)),
    }
}

/// The private addresses that could be advertised where `bound` is bound.
fn contenders(bound: IpAddr, all: &[Interface]) -> Vec<(IpAddr, String)> {
    let could_be = |(ip, _): &(IpAddr, String)| is_private(*ip) && lasting(*ip, all) == *ip;
    let (v4, v6): (Vec<_>, Vec<_>) = routable(all).filter(could_be).partition(|(ip, _)| ip.is_ipv4());
    // A host with both families is ordinary; IPv4 is what every member of a mixed cluster can reach.
    if v4.is_empty() && bound.is_ipv6() { v6 } else { v4 }
}

/// The private addresses of this host, if it was no matter of course that `advertise = "auto"` chose `advertised`: it is one
/// of several, or is not private. What this host has not, or no longer, was no choice.
pub(super) fn rivals(gossip: &Gossip, advertised: IpAddr) -> io::Result<Option<Vec<(IpAddr, String)>>> {
    match gossip.bind.host {
        BindHost::Address(any) if any.is_unspecified() && gossip.advertise == Advertise::Auto => {
            let all = interfaces()?;
            let private = contenders(any, &all);
            let is_ours = all.iter().any(|interface| interface.ip == advertised);
            let is_only = matches!(&private[..], [(only, _)] if *only == advertised);
            Ok((is_ours && !is_only).then_some(private))
        }
        BindHost::Address(_) | BindHost::Interface(_) => Ok(None),
    }
}

/// As `contenders` where any address is bound, each with whether the default route leaves from it. Of IPv6 where there is no IPv4.
pub(super) fn private() -> io::Result<Vec<(IpAddr, String, bool)>> {
    let all = interfaces()?;
    let any: IpAddr = if has_ipv6_alone(&all) { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let outward = default_source(any).map(|ip| lasting(ip, &all));
    let private = contenders(any, &all).into_iter();
    Ok(private.map(|(ip, name)| (ip, name, outward == Some(ip))).collect())
}

/// Whether others can reach this host by IPv6 and not by IPv4.
pub(super) fn has_ipv6_alone(all: &[Interface]) -> bool {
    let mut families = routable(all).map(|(ip, _)| ip.is_ipv6()).peekable();
    families.peek().is_some() && families.all(|is_ipv6| is_ipv6)
}

/// From which of our addresses the world is reached: that of the default route. Nothing is sent.
fn default_source(bound: IpAddr) -> Option<IpAddr> {
    // Documentation's networks (RFC 5737, RFC 3849), to which no route leads but the default one.
    let v4 = (IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from([192, 0, 2, 1]));
    let v6 = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
    let source = |(any, outside): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((outside, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    source(v4).or_else(|| source(v6).filter(|_| bound.is_ipv6()))
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
    use crate::config::Config;

    fn host(list: &[(&str, &str)]) -> Vec<Interface> {
        let one = |(name, ip): &(&str, &str)| {
            let (ip, temporary) = ip.strip_suffix(" temporary").map_or((*ip, false), |ip| (ip, true));
            Interface { name: (*name).to_owned(), ip: ip.parse().unwrap(), temporary }
        };
        list.iter().map(one).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_chosen_in_the_documented_order() {
        let lo = ("lo", "127.0.0.1");
        let (slirp, lan, docker) = (("eth0", "10.0.2.15"), ("eth1", "10.77.0.11"), ("docker0", "172.17.0.1"));
        let (public, link) = (("eth2", "203.0.113.9"), ("eth1", "fe80::1"));
        let (ula, global) = (("eth0", "fd00::5"), ("eth0", "2001:db8::1"));
        let (v4, v6) = ("0.0.0.0", "::");
        // bound, what there is, told before, the default route's           advertised
        let (passing, alone) = (("eth0", "fd00::a:b temporary"), ("eth0", "2001:db8::a:b temporary"));
        let rows: [(_, &[_], _, _, _); 20] = [
            (v6, &[passing, ula], "", "fd00::a:b", Ok("fd00::5")),
            (v6, &[alone, global], "", "2001:db8::a:b", Ok("2001:db8::1")),
            (v6, &[alone, ("eth1", "2001:db8::1")], "", "2001:db8::a:b", Ok("2001:db8::a:b")),
            (v6, &[passing, global], "", "2001:db8::1", Ok("fd00::a:b")),
            (v4, &[lo, public, lan, link], "", "203.0.113.9", Ok("10.77.0.11")),
            (v6, &[lo, public, lan, link], "", "", Ok("10.77.0.11")),
            (v4, &[slirp, lan], "", "10.0.2.15", Ok("10.0.2.15")),
            (v4, &[slirp, lan], "10.77.0.11", "10.0.2.15", Ok("10.77.0.11")),
            (v4, &[lan, docker], "10.77.0.11", "", Ok("10.77.0.11")),
            (v4, &[lan, docker], "10.77.0.99", "10.77.0.11", Ok("10.77.0.11")),
            (
                v4,
                &[lan, docker],
                "10.77.0.99",
                "",
                Err("10.77.0.11 (eth1), 172.17.0.1 (docker0); set gossip.advertise"),
            ),
            (v4, &[lo, public], "", "203.0.113.9", Ok("203.0.113.9")),
            (v4, &[public, lan], "203.0.113.9", "", Ok("203.0.113.9")),
            (
                v4,
                &[lo, public],
                "",
                "",
                Err("this host has no private address (it has 203.0.113.9 (eth2)); set gossip.advertise"),
            ),
            (
                v4,
                &[lo],
                "127.0.0.1",
                "127.0.0.1",
                Err("this host has no private address (it has nothing but loopback); give it one"),
            ),
            (v6, &[ula, global], "", "2001:db8::1", Ok("fd00::5")),
            (v6, &[ula, lan], "", "", Ok("10.77.0.11")),
            (v6, &[lo, global], "", "2001:db8::1", Ok("2001:db8::1")),
            (v4, &[ula, lan, slirp], "fd00::5", "10.0.2.15", Ok("10.0.2.15")),
            (
                v4,
                &[lo, ula],
                "fd00::5",
                "",
                Err("gossip.bind is IPv4 and this host has none (it has fd00::5 (eth0)); set gossip.bind = \
                     \"[::]:7946\", which serves both"),
            ),
        ];
        for (bound, all, before, outward, wanted) in rows {
            let some = |text: &str| text.parse().ok();
            let chosen = advertise(ip(bound), &host(all), some(before), some(outward));
            let chosen = chosen.map_err(|error| error.sentence());
            let wanted = wanted.map(ip).map_err(|why| format!("cannot choose an address to advertise: {why}"));
            assert_eq!(chosen, wanted, "{bound} {all:?} {before} {outward}");
        }
    }

    #[test]
    fn what_is_bound_or_named_is_advertised() {
        let to = |wanted, bound: &str| to_advertise(&wanted, bound.parse().unwrap(), Some(ip("10.0.0.9"))).unwrap();
        assert_eq!(to(Advertise::Auto, "127.0.0.5:7").to_string(), "127.0.0.5:7");
        assert_eq!(to(Advertise::Address(ip("10.0.0.1"), None), "0.0.0.0:7").to_string(), "10.0.0.1:7");
        assert_eq!(to(Advertise::Address(ip("10.0.0.1"), Some(9)), "0.0.0.0:7").to_string(), "10.0.0.1:9");
    }

    #[test]
    fn interface_stands_for_its_first_ipv4_address() {
        let all = host(&[("eth1", "fe80::1"), ("eth1", "fd00::5"), ("eth1", "10.77.0.11"), ("eth2", "fd00::6")]);
        assert_eq!(of_interface("eth1", &all), Some(ip("10.77.0.11")));
        assert_eq!(of_interface("eth2", &all), Some(ip("fd00::6")));
        assert_eq!(
            unbindable("eth9", &all).sentence(),
            "cannot bind to interface eth9: this host has no such interface (it has fd00::5 (eth1), 10.77.0.11 (eth1), \
             fd00::6 (eth2)); create it, or correct gossip.bind"
        );
        // It is there, and in this list it has no address.
        assert_eq!(
            unbindable("lo", &all).sentence(),
            "cannot bind to interface lo: it is down or has no address; bring it up, or correct gossip.bind"
        );
    }

    #[test]
    fn an_address_that_passes_gives_way_to_the_one_that_stays() {
        let table = "fd00000000000000000000000000000a 02 40 00 01     eth0\n\
                     fd000000000000000000000000000005 02 40 00 80     eth0\n\
                     fe80000000000000000000000000000a 02 40 20 21     eth0\nnonsense\n";
        assert_eq!(temporary(table), [ip("fd00::a"), ip("fe80::a")]);
        let all =
            host(&[("eth0", "fd00::a temporary"), ("eth0", "fd00:0:0:1::6"), ("eth1", "fd00::7"), ("eth0", "fd00::5")]);
        for (given, stays) in [("fd00::a", "fd00::5"), ("fd00::5", "fd00::5"), ("fd00::b", "fd00::b")] {
            assert_eq!(lasting(ip(given), &all), ip(stays));
        }
        assert_eq!(of_interface("eth0", &all), Some(ip("fd00::5")));
        assert_eq!(lasting(ip("fd00::a"), &all[..3]), ip("fd00::a"), "it is the only one of its network there");
    }

    #[test]
    fn a_host_without_ipv4_is_known() {
        let alone = |list: &[(&str, &str)]| has_ipv6_alone(&host(list));
        let (lo, link, ula) = (("lo", "127.0.0.1"), ("eth0", "fe80::1"), ("eth0", "fd00::5"));
        assert!(alone(&[lo, link, ula]));
        assert!(!alone(&[lo, link]), "nobody reaches it");
        assert!(!alone(&[lo, ula, ("eth1", "203.0.113.9")]));
    }

    #[test]
    fn an_address_that_this_host_has_not_is_told_unless_it_is_configured() {
        let gossip = |bind: &str, advertise| Gossip {
            bind: BindAddress { host: BindHost::Address(ip(bind)), port: 7946 },
            advertise,
            ..Config::default().gossip
        };
        let gone = |bind, advertise, addr: &str, anothers| {
            super::gone(&gossip(bind, advertise), ip(addr), anothers).map(|it| it.to_string())
        };
        // Nobody has an address for examples.
        let lost = "192.0.2.7";
        let configured = || Advertise::Address(ip(lost), None);
        assert_eq!(gone("0.0.0.0", Advertise::Auto, "127.0.0.1", false), None);
        assert_eq!(gone("0.0.0.0", configured(), lost, false), None);
        for (told, way_out) in [
            (gone("0.0.0.0", Advertise::Auto, lost, false), "'systemctl restart weir' takes what this host has now"),
            (gone(lost, Advertise::Auto, lost, false), "correct gossip.bind, then 'systemctl restart weir'"),
            (gone("0.0.0.0", configured(), lost, true), "correct gossip.advertise, then 'systemctl restart weir'"),
        ] {
            let told = told.unwrap();
            assert!(
                told.starts_with("others look for this node at 192.0.2.7, which this host has not (it has "),
                "{told}"
            );
            assert!(told.ends_with(&format!("; {way_out}")), "{told}");
        }
    }

    #[test]
    fn this_host_has_a_loopback_interface() {
        assert!(interfaces().unwrap().iter().any(|interface| interface.ip == ip("127.0.0.1")));
    }
}
