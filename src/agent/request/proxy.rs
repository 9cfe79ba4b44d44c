//! The PROXY protocol's header, versions 1 and 2 (sections 2.1 and 2.2 of HAProxy's specification), for a connection of our own.
//!
//! It names the two ends of the very connection that it opens. The specification also has words for "no address" (`UNKNOWN`,
//! `LOCAL`); but whoever demands the protocol may demand an address, too.

use std::net::{IpAddr, SocketAddr};

use crate::config::ProxyVersion;

/// Longest header of version 1; one of version 2 has 52 bytes at most.
const MAX_V1_BYTES: usize = 107;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header for a connection from `source` to `destination`, both of one family, as a connection's ends are.
pub(super) fn header(version: ProxyVersion, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => v1(source, destination),
        ProxyVersion::V2 => v2(source, destination),
    }
}

fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if destination.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    debug_assert!(line.len() <= MAX_V1_BYTES);
    line.into_bytes()
}

fn v2(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    for port in [source.port(), destination.port()] {
        addresses.extend(port.to_be_bytes());
    }
    let family = if destination.is_ipv4() { TCP_OVER_IPV4 } else { TCP_OVER_IPV6 };
    let len = u16::try_from(addresses.len()).expect("two addresses and two ports have at most 36 bytes");
    let mut header = SIGNATURE.to_vec();
    header.extend([VERSION_AND_COMMAND, family]);
    header.extend(len.to_be_bytes());
    header.extend(addresses);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyVersion, source: &str, destination: &str) -> Vec<u8> {
        super::header(version, source.parse().unwrap(), destination.parse().unwrap())
    }

    #[test]
    fn version_1_is_a_line() {
        for (source, destination, line) in [
            ("10.77.0.11:40000", "10.77.0.12:80", "PROXY TCP4 10.77.0.11 10.77.0.12 40000 80\r\n"),
            ("[::1]:1", "[2001:db8::2]:65535", "PROXY TCP6 ::1 2001:db8::2 1 65535\r\n"),
        ] {
            assert_eq!(header(ProxyVersion::V1, source, destination), line.as_bytes());
        }
        let long = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert!(header(ProxyVersion::V1, long, long).len() <= MAX_V1_BYTES);
    }

    #[test]
    fn version_2_is_signature_length_and_addresses() {
        let v4 = header(ProxyVersion::V2, "10.77.0.11:40000", "10.77.0.12:80");
        let expected = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\x0a\x4d\x00\x0b\x0a\x4d\x00\x0c\x9c\x40\x00\x50";
        assert_eq!(v4, expected);
        let v6 = header(ProxyVersion::V2, "[::1]:1", "[::2]:2");
        assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(v6.len(), 16 + 36);
        assert_eq!((v6[31], v6[47], &v6[48..]), (1, 2, &[0, 1, 0, 2][..]));
    }
}
