//! Where a service is: `127.0.0.1:5432`, `http://localhost:8080/status`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Target;
use crate::config::value::Text;
use crate::error::Trouble;

/// A host and its port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    Socket(SocketAddr),
    /// A name that is looked up for each request.
    Name {
        host: String,
        port: u16,
    },
}

impl Address {
    /// The host without brackets.
    pub fn host(&self) -> String {
        match self {
            Self::Socket(addr) => addr.ip().to_string(),
            Self::Name { host, .. } => host.clone(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Socket(addr) => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }

    /// `None` if `host` is neither an address, an IPv6 one with brackets or without, nor a name.
    fn new(host: &str, port: u16) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let addr = match bare {
            Some(bare) => Some(IpAddr::V6(bare.parse::<Ipv6Addr>().ok()?)),
            None => host.parse().ok(),
        };
        match addr {
            Some(addr) => Some(Self::Socket(SocketAddr::new(addr, port))),
            None => is_name(host).then(|| Self::Name { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Text for Address {
    const WANTED: &'static str = "a host with its port, \"127.0.0.1:5432\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let address = match name_and_port(text) {
            Some((host, Some(port))) => Self::new(host, port),
            Some((_, None)) | None => None,
        };
        address.ok_or_else(|| Trouble::new("is not an address", format!("write {}", Self::WANTED)))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Where an HTTP request goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpUrl {
    /// Over TLS.
    pub secure: bool,
    pub address: Address,
    /// Path and query; never empty.
    pub target: String,
    /// As it was written.
    text: String,
}

impl Text for HttpUrl {
    const WANTED: &'static str = "an address, \"http://127.0.0.1:80/\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble::new("is not an address", format!("write {}", Self::WANTED));
        let (secure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(wrong()),
        };
        if rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@')) {
            return Err(Trouble::new("holds a user's name", "write a header Authorization"));
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = name_and_port(authority).ok_or_else(wrong)?;
        let address = Address::new(host, port.unwrap_or(if secure { 443 } else { 80 })).ok_or_else(wrong)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        let Target(target) = Target::parse(&format!("{slash}{target}"))?;
        Ok(Self { secure, address, target, text: text.to_owned() })
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = Trouble;

    fn from_str(text: &str) -> Result<Self, Trouble> {
        Self::parse(text)
    }
}

/// `www.example.org:8080` in its parts, an IPv6 address with its brackets; `None` if it is neither name nor address.
pub(crate) fn name_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
        None if port.is_empty() => None,
        None => return None,
    };
    Address::new(host, 1).map(|_| (host, port))
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // What looks like an address and is none, 10.0.0.256, would only be looked up in vain.
    let last_is_number = text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    (1..=253).contains(&text.len()) && text.chars().all(plain) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:5432", "127.0.0.1", 5432),
            ("[::1]:80", "::1", 80),
            ("db.example.org:1", "db.example.org", 1),
            ("localhost:65535", "localhost", 65_535),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host().as_str(), address.port()), (host, port));
            assert_eq!(address.text(), text);
        }
        for text in ["", "localhost", ":80", "::1:80", "[::1]", "a b:80", "10.0.0.256:80", "db:0", "db:65536", "db:+1"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_has_a_port_by_its_scheme() {
        for (text, secure, address, target) in [
            ("http://127.0.0.1/", false, "127.0.0.1:80", "/"),
            ("https://[::1]", true, "[::1]:443", "/"),
            ("http://localhost:8080/status?full", false, "localhost:8080", "/status?full"),
            ("http://a?b", false, "a:80", "/?b"),
        ] {
            let url = HttpUrl::parse(text).unwrap();
            assert_eq!(
                (url.secure, url.address.to_string(), url.target.as_str()),
                (secure, address.to_owned(), target)
            );
            assert_eq!(url.text(), text);
        }
        for text in
            ["", "/", "ftp://a/", "http://", "http:///x", "http://a:b/", "http://u:p@a/", "http://a/ b", "http://a/#x"]
        {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
    }
}
