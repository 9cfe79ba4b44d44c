//! Addresses as an operator writes them: where to listen, what to tell others, whom to join.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::error::Trouble;

use super::value::Text;

/// Serf's gossip port, used where an address has none.
pub const GOSSIP_PORT: u16 = 7946;

/// Where a socket binds: an address, or an interface whose address is looked up at start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BindHost {
    /// This address.
    Address(IpAddr),
    /// This interface's address.
    Interface(String),
}

/// `gossip.bind`: host and port, UDP and TCP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BindAddress {
    /// Address or interface.
    pub host: BindHost,
    /// Port of both sockets; 0 lets the system choose one.
    pub port: u16,
}

/// `gossip.advertise`: the address that others use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advertise {
    /// The bound address, else the last one, the only private one, or that of the default route.
    Auto,
    /// The bound address, else the first private one, as Serf does it.
    FirstPrivate,
    /// This address; the bound port where none is given.
    Address(IpAddr, Option<u16>),
}

/// An entry of `gossip.join`: a host name or address, and the port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Gossip port.
    pub port: u16,
}

/// A listening address, or none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Listen(pub(crate) Option<SocketAddr>);

impl Text for BindAddress {
    const WANTED: &'static str = "an address or interface with its port, \"0.0.0.0:7946\" or \"eth1:7946\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble::new("is not an address", format!("write {}", Self::WANTED));
        if let Ok(address) = text.parse() {
            return Ok(Self { host: BindHost::Address(address), port: GOSSIP_PORT });
        }
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        let host = match host.parse() {
            Ok(address) => BindHost::Address(address),
            Err(_) if is_interface(host) => BindHost::Interface(host.to_owned()),
            Err(_) => return Err(wrong()),
        };
        Ok(Self { host, port: port.unwrap_or(GOSSIP_PORT) })
    }

    fn text(&self) -> String {
        match &self.host {
            BindHost::Address(address) => SocketAddr::new(*address, self.port).to_string(),
            BindHost::Interface(name) => format!("{name}:{}", self.port),
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Text for Advertise {
    const WANTED: &'static str = "\"auto\" or an address, \"10.77.0.11\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (address, port) = match text.parse::<IpAddr>() {
            Ok(address) => (address, None),
            Err(_) => match text.parse::<SocketAddr>() {
                Ok(socket) => (socket.ip(), Some(socket.port())),
                Err(_) => return Err(Trouble::new("is not an address", format!("write {}", Self::WANTED))),
            },
        };
        if address.is_unspecified() || address.is_multicast() {
            return Err(Trouble::new("cannot be reached by others", "write this host's own address"));
        }
        Ok(Self::Address(address, port))
    }

    fn text(&self) -> String {
        match self {
            // The two differ by mode alone.
            Self::Auto | Self::FirstPrivate => "auto".to_owned(),
            Self::Address(address, None) => address.to_string(),
            Self::Address(address, Some(port)) => SocketAddr::new(*address, *port).to_string(),
        }
    }
}

impl Text for JoinAddress {
    const WANTED: &'static str = "a host name or address, \"lb1\" or \"10.77.0.11:7946\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble::new("is not an address", format!("write {}", Self::WANTED));
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: GOSSIP_PORT });
        }
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = host.len() <= 253 && host.chars().all(name);
        // One address has one spelling.
        let address = host.parse::<IpAddr>().map(|address| address.to_string()).ok();
        if host.is_empty() || port == Some(0) || !(named || address.is_some()) {
            return Err(wrong());
        }
        Ok(Self { host: address.unwrap_or_else(|| host.to_owned()), port: port.unwrap_or(GOSSIP_PORT) })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl std::str::FromStr for JoinAddress {
    type Err = Trouble;

    /// As a file has it; the error continues a sentence that begins with the text.
    fn from_str(text: &str) -> Result<Self, Trouble> {
        Self::parse(text)
    }
}

impl fmt::Display for JoinAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `""`, `ADDRESS:PORT`; Go's `:PORT` and `localhost:PORT` too.
impl Text for Listen {
    const WANTED: &'static str = "an address with its port, \"127.0.0.1:7373\", or \"\" for none";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let spelled = match text.split_once(':') {
            Some(("", port)) => format!("{}:{port}", Ipv4Addr::UNSPECIFIED),
            Some(("localhost", port)) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
            Some(_) | None => text.to_owned(),
        };
        spelled
            .parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| Trouble::new("is not an address", format!("write {}", Self::WANTED)))
    }

    fn text(&self) -> String {
        self.0.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`. `None` if the port is none.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(number(port)?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) => Some((host, Some(number(port)?))),
        None => Some((text, None)),
    }
}

/// Digits alone: `u16::from_str` would take a plus sign.
fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What Linux takes as an interface's name, and nobody would take for an address.
fn is_interface(name: &str) -> bool {
    let printable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (1..=15).contains(&name.len()) && name.chars().all(printable) && name.contains(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted<T: Text>(text: &str) -> Option<String> {
        T::parse(text).ok().map(|value| value.text())
    }

    #[test]
    fn bind_takes_addresses_and_interfaces() {
        for (text, read) in [
            ("0.0.0.0:7946", Some("0.0.0.0:7946")),
            ("127.0.0.36", Some("127.0.0.36:7946")),
            ("[::]:7946", Some("[::]:7946")),
            ("::1", Some("[::1]:7946")),
            ("eth1:8000", Some("eth1:8000")),
            ("eth1", Some("eth1:7946")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("", None),
            (":7946", None),
            ("eth1:", None),
            ("eth1:99999", None),
            ("eth1:+1", None),
            ("10.0.0:80", None),
            ("a b:80", None),
            ("[eth1]:80", None),
        ] {
            assert_eq!(accepted::<BindAddress>(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn join_takes_names_and_addresses() {
        for (text, read) in [
            ("lb1", Some("lb1:7946")),
            ("lb1.example.org:8000", Some("lb1.example.org:8000")),
            ("10.77.0.11", Some("10.77.0.11:7946")),
            ("fe80::1", Some("[fe80::1]:7946")),
            ("[fe80::1]:80", Some("[fe80::1]:80")),
            ("[FD00:0::11]", Some("[fd00::11]:7946")),
            ("", None),
            ("lb1:0", None),
            ("lb1:http", None),
            ("http://lb1", None),
        ] {
            assert_eq!(accepted::<JoinAddress>(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn listen_takes_what_serf_takes() {
        for (text, read) in [
            ("127.0.0.1:7373", Some("127.0.0.1:7373")),
            (":7373", Some("0.0.0.0:7373")),
            ("localhost:7373", Some("127.0.0.1:7373")),
            ("", Some("")),
            ("nonsense", None),
        ] {
            assert_eq!(accepted::<Listen>(text).as_deref(), read, "{text}");
        }
    }
}
