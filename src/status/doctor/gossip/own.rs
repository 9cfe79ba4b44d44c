//! This host's own part in a silence: its link, its address, the families that it speaks. Looked at before anybody else is
//! blamed.

use std::net::{IpAddr, SocketAddr};

use super::super::finding::Findings;
use super::super::{Level, Trouble};

/// What an agent is told to bind that shall speak both families.
const BOTH: &str = "set gossip.bind = \"[::]:7946\"";
const RESTART: &str = "then 'systemctl restart weir'";

/// A network interface of this host, loopback apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    pub name: String,
    /// Switched on.
    pub up: bool,
    /// Something is at the other end.
    pub carrier: bool,
    /// Those that another host could use.
    pub addrs: Vec<IpAddr>,
}

/// Where others look for this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Advertised {
    pub addr: SocketAddr,
    /// This host has it.
    pub present: bool,
    /// `gossip.advertise` names it, as it does behind address translation.
    pub configured: bool,
}

/// What this host and its agent have to talk with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Own {
    pub links: Vec<Link>,
    /// Where the agent listens, or would.
    pub bind: Option<SocketAddr>,
    pub advertised: Option<Advertised>,
    /// The agent keeps silent: another member has its name.
    pub silenced: Option<Trouble>,
    /// Packets came in while members were asked.
    pub hears: bool,
    /// Another member is there where this one is advertised.
    pub is_anothers: bool,
}

/// What keeps this host from all others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cause<'a> {
    SwitchedOff(&'a Link),
    NoCarrier(&'a Link),
    /// IPv4 alone is bound where there is none.
    NoIpv4 {
        bind: SocketAddr,
    },
    AddressGone(&'a Advertised),
    /// This link works; like all others it has none.
    NoAddress(&'a Link),
}

/// Why two hosts have no family in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gap {
    /// The agent is bound to the other family alone.
    Bound(SocketAddr),
    /// This node is advertised in the other family, where answers go.
    Advertised {
        own: IpAddr,
        /// An address of this host that would do.
        instead: IpAddr,
    },
    /// This host has no address of that family.
    Lacks,
}

impl Own {
    /// The outermost cause there is; `answered`: somebody did answer.
    pub(super) fn cause(&self, answered: bool) -> Option<Cause<'_>> {
        let ip = self.advertised.as_ref().map(|advertised| advertised.addr.ip());
        if ip.is_some_and(|ip| ip.is_loopback()) || self.bind.is_some_and(|bind| bind.ip().is_loopback()) {
            return None;
        }
        self.dead_link(ip)
            .or_else(|| self.no_address())
            .or_else(|| self.no_ipv4())
            .or_else(|| self.address_gone(answered))
    }

    /// The link that has our address. Where no other is left, the first that is on, since what manages networks takes the
    /// addresses of a dead one away, or else one with an address.
    fn dead_link(&self, ip: Option<IpAddr>) -> Option<Cause<'_>> {
        let any_works = self.links.iter().any(|link| link.up && link.carrier);
        let has_it = |link: &&Link| ip.is_some_and(|ip| link.addrs.contains(&ip));
        let dead = || self.links.iter().filter(|link| !link.up || !link.carrier);
        let any_other = || dead().find(|link| link.up).or_else(|| dead().find(|link| !link.addrs.is_empty()));
        let link = dead().find(has_it).or_else(|| any_other().filter(|_| !any_works))?;
        Some(if link.up { Cause::NoCarrier(link) } else { Cause::SwitchedOff(link) })
    }

    fn no_address(&self) -> Option<Cause<'_>> {
        let mut working = self.links.iter().filter(|link| link.up && link.carrier);
        let first = working.clone().next()?;
        working.all(|link| link.addrs.is_empty()).then_some(Cause::NoAddress(first))
    }

    fn no_ipv4(&self) -> Option<Cause<'_>> {
        let bind = self.bind.filter(|bind| bind.is_ipv4() && bind.ip().is_unspecified())?;
        (self.has(IpAddr::is_ipv6) && !self.has(IpAddr::is_ipv4)).then_some(Cause::NoIpv4 { bind })
    }

    /// One that was configured may be that of a router before us; then others do answer, and nobody else is there.
    fn address_gone(&self, answered: bool) -> Option<Cause<'_>> {
        let advertised = self.advertised.as_ref().filter(|advertised| !advertised.present)?;
        (!answered || !advertised.configured || self.is_anothers).then_some(Cause::AddressGone(advertised))
    }

    fn has(&self, family: impl Fn(&IpAddr) -> bool) -> bool {
        self.links.iter().flat_map(|link| &link.addrs).any(family)
    }

    /// Why `ip` cannot be reached whatever a firewall does.
    pub(super) fn gap(&self, ip: IpAddr) -> Option<Gap> {
        if ip.is_loopback() || self.links.is_empty() {
            return None;
        }
        let lacks = || (!self.has(|own| own.is_ipv4() == ip.is_ipv4())).then_some(Gap::Lacks);
        match self.bind {
            Some(bind) if bind.is_ipv4() != ip.is_ipv4() && (bind.is_ipv4() || !bind.ip().is_unspecified()) => {
                Some(Gap::Bound(bind))
            }
            Some(_) | None => lacks(),
        }
    }

    /// Why a member at `ip` that can be reached may not reach us.
    pub(super) fn gap_back(&self, ip: IpAddr) -> Option<Gap> {
        let own = self.advertised.as_ref()?.addr.ip();
        let instead = *self.links.iter().flat_map(|link| &link.addrs).find(|has| has.is_ipv4() == ip.is_ipv4())?;
        (own.is_ipv4() != ip.is_ipv4()).then_some(Gap::Advertised { own, instead })
    }

    /// `10.77.0.99 (eth0)`, of all links that work.
    fn addresses(&self) -> String {
        let alive = self.links.iter().filter(|link| link.up);
        let list: Vec<String> =
            alive.flat_map(|link| link.addrs.iter().map(move |ip| format!("{ip} ({})", link.name))).collect();
        if list.is_empty() { "nothing but loopback".to_owned() } else { list.join(", ") }
    }

    pub(super) fn tell(&self, findings: &mut Findings, cause: &Cause<'_>) {
        let (id, subject, what, way_out) = match cause {
            Cause::SwitchedOff(link) => (
                "gossip.link",
                &link.name,
                format!("{} is switched off, so this host reaches nobody through it", with_addresses(link)),
                format!("ip link set {} up", link.name),
            ),
            Cause::NoCarrier(link) => (
                "gossip.link",
                &link.name,
                format!("{} has no carrier: its cable, or what it is plugged into, is dead", with_addresses(link)),
                format!("plug it in until 'ip link show {}' says LOWER_UP", link.name),
            ),
            Cause::NoIpv4 { bind } => (
                "gossip.family",
                &bind.to_string(),
                format!("the agent is bound to {bind}, IPv4 alone, and this host has only {}", self.addresses()),
                format!("{BOTH}, {RESTART}"),
            ),
            Cause::AddressGone(advertised) => (
                "gossip.address",
                &advertised.addr.ip().to_string(),
                format!(
                    "others look for this node at {}, which this host has not (it has {})",
                    advertised.addr.ip(),
                    self.addresses()
                ),
                self.another_address(advertised),
            ),
            Cause::NoAddress(link) => (
                "gossip.address",
                &link.name,
                format!("{} has no address, nor has another link, so this host reaches nobody", link.name),
                format!(
                    "give it one: 'networkctl reconfigure {0}', 'nmcli device connect {0}' or 'ifup --force {0}', by what \
                     manages it; if it is another than before, {RESTART}",
                    link.name
                ),
            ),
        };
        findings.error(id, subject, what, &way_out);
    }

    fn another_address(&self, advertised: &Advertised) -> String {
        let is_bound = self.bind.is_some_and(|bind| bind.ip() == advertised.addr.ip());
        if advertised.configured {
            format!("correct gossip.advertise, {RESTART}")
        } else if is_bound {
            format!("correct gossip.bind, {RESTART}")
        } else {
            "'systemctl restart weir' takes what this host has now".to_owned()
        }
    }
}

/// `eth0, which has 10.77.0.11,`
fn with_addresses(link: &Link) -> String {
    let addrs: Vec<String> = link.addrs.iter().map(ToString::to_string).collect();
    if addrs.is_empty() { link.name.clone() } else { format!("{}, which has {},", link.name, addrs.join(", ")) }
}

impl Gap {
    /// Of `who` at `ip`, which is ours to reach.
    pub(super) fn tell(self, findings: &mut Findings, level: Level, who: &str, ip: IpAddr) {
        let (theirs, ours) = if ip.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        let (what, way_out) = match self {
            Self::Bound(bind) => (
                format!("{who} is at {ip}, {theirs}, and this agent is bound to {bind}, {ours} alone"),
                format!("{BOTH} here, {RESTART}"),
            ),
            Self::Advertised { own, instead } => (
                format!(
                    "{who} is at {ip}, {theirs}, takes connections and answers no UDP, as it sends answers to {own}, \
                     {ours}, where this node is advertised"
                ),
                format!("set gossip.advertise = \"{instead}\" here, {RESTART}; or give that host an {ours} address"),
            ),
            Self::Lacks => (
                format!("{who} is at {ip}, {theirs}, and this host has no {theirs} address"),
                format!(
                    "give this host one; or, on the host of {who}, {BOTH} and gossip.advertise to an {ours} address"
                ),
            ),
        };
        findings.add(level, "gossip.family", who, what, &way_out);
    }
}
