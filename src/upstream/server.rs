//! Servers as NGINX will have them.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;

use crate::wire::NodeName;

/// The number of an applied configuration. One counter for all upstreams of a balancer; 0 is what was there before weir.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A server's share, 1 to 256. Beyond that `hash … consistent` costs NGINX seconds and gigabytes (`nginx §3`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(NonZeroU16);

impl Weight {
    /// The least.
    pub const ONE: Self = Self(NonZeroU16::MIN);
    /// The greatest, as a number.
    pub const MAX: u16 = 256;

    /// `None` outside 1 to 256.
    pub fn new(weight: u16) -> Option<Self> {
        NonZeroU16::new(weight).filter(|weight| weight.get() <= Self::MAX).map(Self)
    }

    /// As a number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Clamps to the limits.
    pub(crate) fn clamped(weight: u32) -> Self {
        let weight = weight.clamp(1, Self::MAX.into());
        u16::try_from(weight).ok().and_then(Self::new).expect("1 to 256 fits")
    }
}

impl TryFrom<u16> for Weight {
    type Error = String;

    fn try_from(weight: u16) -> Result<Self, String> {
        Self::new(weight).ok_or_else(|| format!("weight {weight} is not within 1..={}", Self::MAX))
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.get()
    }
}

/// One server line.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The member behind it. Never rendered.
    pub member: NodeName,
    /// Literal address and port.
    pub addr: SocketAddr,
    /// Its share; also of a server that is down, because positional methods count it.
    pub weight: Weight,
    /// Whether it gets no requests.
    pub down: bool,
    /// Whether it gets requests only when the others are unavailable.
    pub backup: bool,
    /// Most connections at a time; 0 means no limit.
    pub max_conns: u32,
}

/// The servers of one upstream: at least one, each address once, sorted by member.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "Vec<Server>", into = "Vec<Server>")]
pub struct Servers(Vec<Server>);

/// Why a list is no set of servers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ServersError {
    /// NGINX refuses a block without a server.
    #[error("an upstream needs at least one server")]
    Empty,
    /// More than [`Servers::MAX`].
    #[error("{0} servers are too many for one upstream, the limit is {max}", max = Servers::MAX)]
    TooMany(usize),
    /// All together weigh more than [`Servers::MAX_WEIGHT`].
    #[error("the weights of an upstream add up to {0}, the limit is {max}", max = Servers::MAX_WEIGHT)]
    TooHeavy(u32),
    /// Twice the same address doubles its share silently.
    #[error("server {0} is listed twice")]
    Duplicate(SocketAddr),
    /// NGINX refuses port 0 and addresses with a zone.
    #[error("{0} cannot be a server: port 0 and addresses with a zone are refused")]
    Address(SocketAddr),
}

impl Servers {
    /// Most servers in one upstream.
    pub const MAX: usize = 4096;
    /// Most that they may weigh together: `hash … consistent` costs NGINX 88 MiB and most of a second for so much (`nginx §3`).
    pub const MAX_WEIGHT: u32 = 16_384;

    /// Sorts and checks.
    pub fn new(mut servers: Vec<Server>) -> Result<Self, ServersError> {
        if servers.is_empty() {
            return Err(ServersError::Empty);
        }
        if servers.len() > Self::MAX {
            return Err(ServersError::TooMany(servers.len()));
        }
        let weight = servers.iter().map(|server| u32::from(server.weight.get())).sum();
        if weight > Self::MAX_WEIGHT {
            return Err(ServersError::TooHeavy(weight));
        }
        servers.sort_by(|a, b| (&a.member, a.addr).cmp(&(&b.member, b.addr)));
        let mut seen = HashSet::with_capacity(servers.len());
        for server in &servers {
            if !is_literal(server.addr) {
                return Err(ServersError::Address(server.addr));
            }
            if !seen.insert(server.addr) {
                return Err(ServersError::Duplicate(server.addr));
            }
        }
        Ok(Self(servers))
    }

    /// Sorted by member.
    pub fn as_slice(&self) -> &[Server] {
        &self.0
    }

    /// Those that get requests.
    pub fn serving(&self) -> impl Iterator<Item = &Server> {
        self.0.iter().filter(|server| !server.down)
    }

    /// Whether NGINX would route the same way with `other`, so that a reload would change nothing.
    ///
    /// A line that is down counts only where places count, or where nobody serves.
    pub fn routes_like(&self, other: &Self, positional: bool) -> bool {
        if positional {
            return self.0.iter().map(Server::line).eq(other.0.iter().map(Server::line));
        }
        let idle = |servers: &Self| servers.serving().next().is_none();
        if idle(self) || idle(other) {
            return lines(&self.0) == lines(&other.0);
        }
        lines(self.serving()) == lines(other.serving())
    }
}

fn lines<'a>(servers: impl IntoIterator<Item = &'a Server>) -> BTreeSet<Line> {
    servers.into_iter().map(Server::line).collect()
}

/// What NGINX sees of a server: a member that comes back under another name changes nothing.
type Line = (SocketAddr, Weight, bool, bool, u32);

impl Server {
    fn line(&self) -> Line {
        (self.addr, self.weight, self.down, self.backup, self.max_conns)
    }
}

fn is_literal(addr: SocketAddr) -> bool {
    let zoned = match addr {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(addr) => addr.scope_id() != 0 || addr.flowinfo() != 0,
    };
    addr.port() != 0 && !zoned
}

impl TryFrom<Vec<Server>> for Servers {
    type Error = ServersError;

    fn try_from(servers: Vec<Server>) -> Result<Self, ServersError> {
        Self::new(servers)
    }
}

impl From<Servers> for Vec<Server> {
    fn from(servers: Servers) -> Self {
        servers.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_weighs_no_more_than_nginx_can_test_in_a_second() {
        let server = |number: u16, weight| Server {
            member: NodeName::new("web1").unwrap(),
            addr: SocketAddr::from(([10, 0, 0, 1], number)),
            weight: Weight::new(weight).unwrap(),
            down: true, // it counts all the same
            backup: false,
            max_conns: 0,
        };
        let of = |more| Servers::new((1..=63).map(|number| server(number, 256)).chain([server(64, more)]).collect());
        assert!(of(256).is_ok());
        let heavier = of(256).map(Vec::from).map(|servers| [servers, vec![server(65, 1)]].concat()).unwrap();
        assert_eq!(Servers::new(heavier.clone()), Err(ServersError::TooHeavy(16_385)));
        let refused =
            serde_json::from_value::<Servers>(serde_json::to_value(heavier).unwrap()).unwrap_err().to_string();
        assert_eq!(refused, "the weights of an upstream add up to 16385, the limit is 16384");
    }
}
