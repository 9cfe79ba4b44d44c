//! Which addresses may become servers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::UpstreamName;

/// A network in CIDR notation; a bare address is a network of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    addr: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetworkError {
    /// Not `ADDRESS` or `ADDRESS/BITS`.
    #[error("'{0}' is not a network; write it like 10.77.0.0/24")]
    Syntax(String),
    /// More bits than the address has.
    #[error("'{0}' has too many prefix bits; IPv4 has up to 32, IPv6 up to 128")]
    Prefix(String),
    /// Bits are set that the prefix leaves to hosts, most often a slip.
    #[error("'{given}' has bits set beyond its prefix; did you mean {network}?")]
    HostBits {
        /// As written.
        given: String,
        /// With the host bits cleared.
        network: Network,
    },
}

impl Network {
    /// Whether `addr` lies inside. IPv4-mapped IPv6 counts as IPv4.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => {
                masked(net.to_bits().into(), self.prefix, 32) == masked(addr.to_bits().into(), self.prefix, 32)
            }
            (IpAddr::V6(net), IpAddr::V6(addr)) => {
                masked(net.to_bits(), self.prefix, 128) == masked(addr.to_bits(), self.prefix, 128)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Its lowest address.
    pub(super) fn first(&self) -> IpAddr {
        self.addr
    }

    fn network(self) -> Self {
        let addr = match self.addr {
            // The mask only clears bits of a value that had 32.
            IpAddr::V4(addr) => IpAddr::V4((masked(addr.to_bits().into(), self.prefix, 32) as u32).into()),
            IpAddr::V6(addr) => IpAddr::V6(masked(addr.to_bits(), self.prefix, 128).into()),
        };
        Self { addr, ..self }
    }
}

/// The first `prefix` of `width` bits; the others cleared.
fn masked(bits: u128, prefix: u8, width: u32) -> u128 {
    let host = width - u32::from(prefix);
    bits.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let syntax = || NetworkError::Syntax(text.to_owned());
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| syntax())?;
        let width: u8 = if addr.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix.map_or(Ok(width), str::parse).map_err(|_| syntax())?;
        if prefix > width {
            return Err(NetworkError::Prefix(text.to_owned()));
        }
        let given = Self { addr, prefix };
        let network = given.network();
        if network != given {
            return Err(NetworkError::HostBits { given: text.to_owned(), network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

/// The addresses that an upstream may use. Checked when servers are chosen and again on the privileged side.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allow {
    /// An address must be in one of these; empty means any unicast address.
    pub networks: Vec<Network>,
    /// Whether loopback addresses may be used: on one machine, in tests and in the demo.
    pub loopback: bool,
}

/// Why an address may not become a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// `0.0.0.0` or `::`.
    #[error("is unspecified")]
    Unspecified,
    /// NGINX would ask itself.
    #[error("is a loopback address")]
    Loopback,
    /// Multicast or broadcast.
    #[error("is no unicast address")]
    NotUnicast,
    /// Needs a zone, which NGINX refuses.
    #[error("is link-local")]
    LinkLocal,
    /// Outside the configured networks.
    #[error("is outside the networks of 'allow'")]
    NotAllowed,
}

impl Refusal {
    /// What lets such an address be used, or another one.
    pub fn remedy(self, upstream: &UpstreamName) -> String {
        match self {
            Self::Loopback => format!("set upstream.{upstream}.allow_loopback = true if that is meant"),
            Self::NotAllowed => format!("add its network to upstream.{upstream}.allow"),
            Self::Unspecified | Self::NotUnicast | Self::LinkLocal => {
                "set gossip.advertise there to an address that others reach it at".to_owned()
            }
        }
    }
}

impl Allow {
    /// Whether `addr` may become a server.
    pub fn check(&self, addr: IpAddr) -> Result<(), Refusal> {
        let addr = addr.to_canonical();
        if addr.is_unspecified() {
            return Err(Refusal::Unspecified);
        }
        if addr.is_loopback() && !self.loopback {
            return Err(Refusal::Loopback);
        }
        match addr {
            IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => return Err(Refusal::NotUnicast),
            IpAddr::V6(v6) if v6.is_multicast() => return Err(Refusal::NotUnicast),
            IpAddr::V4(v4) if v4.is_link_local() => return Err(Refusal::LinkLocal),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => return Err(Refusal::LinkLocal),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        let inside = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(addr));
        if inside { Ok(()) } else { Err(Refusal::NotAllowed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allow: &Allow, addr: &str) -> Result<(), Refusal> {
        allow.check(addr.parse().unwrap())
    }

    #[test]
    fn only_unicast_addresses_that_nginx_can_reach_are_allowed() {
        let any = Allow::default();
        for (addr, outcome) in [
            ("10.77.0.12", Ok(())),
            ("203.0.113.7", Ok(())),
            ("2001:db8::7", Ok(())),
            ("0.0.0.0", Err(Refusal::Unspecified)),
            ("::", Err(Refusal::Unspecified)),
            ("127.0.0.1", Err(Refusal::Loopback)),
            ("127.255.255.254", Err(Refusal::Loopback)),
            ("::1", Err(Refusal::Loopback)),
            ("::ffff:127.0.0.1", Err(Refusal::Loopback)),
            ("::ffff:0.0.0.0", Err(Refusal::Unspecified)),
            ("224.0.0.1", Err(Refusal::NotUnicast)),
            ("255.255.255.255", Err(Refusal::NotUnicast)),
            ("ff02::1", Err(Refusal::NotUnicast)),
            ("169.254.0.1", Err(Refusal::LinkLocal)),
            ("fe80::1", Err(Refusal::LinkLocal)),
        ] {
            assert_eq!(check(&any, addr), outcome, "{addr}");
        }
    }

    #[test]
    fn a_network_holds_its_first_and_last_address_and_no_other() {
        let allow =
            Allow { networks: vec!["10.77.0.0/23".parse().unwrap(), "2001:db8::/32".parse().unwrap()], loopback: true };
        for addr in
            ["10.77.0.0", "10.77.1.255", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:10.77.0.9"]
        {
            assert_eq!(check(&allow, addr), Ok(()), "{addr}");
        }
        for addr in ["10.76.255.255", "10.77.2.0", "2001:db9::", "127.0.0.1"] {
            assert_eq!(check(&allow, addr), Err(Refusal::NotAllowed), "{addr}");
        }
        let all = Allow { networks: vec!["0.0.0.0/0".parse().unwrap()], loopback: false };
        assert_eq!(check(&all, "192.0.2.1"), Ok(()));
        assert_eq!(check(&all, "2001:db8::1"), Err(Refusal::NotAllowed));
    }

    #[test]
    fn a_slip_in_a_network_is_named() {
        let error = |text: &str| text.parse::<Network>().unwrap_err().to_string();
        assert_eq!(error("10.77.0.1/24"), "'10.77.0.1/24' has bits set beyond its prefix; did you mean 10.77.0.0/24?");
        assert_eq!(error("10.0.0.0/33"), "'10.0.0.0/33' has too many prefix bits; IPv4 has up to 32, IPv6 up to 128");
        assert_eq!(error("10.1/16"), "'10.1/16' is not a network; write it like 10.77.0.0/24");
        assert_eq!("10.0.0.7".parse::<Network>().unwrap().to_string(), "10.0.0.7/32");
    }
}
