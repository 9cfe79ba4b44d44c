//! Addresses as they stand in messages: 4 or 16 bytes (`memberlist §2.3`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::msgpack::Writer;

/// An address of 4 or 16 bytes. IPv4-mapped IPv6 becomes IPv4: byte-wise comparison takes the two forms for a conflict.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
}

/// Writes the shortest form of an address.
pub(super) fn write(ip: IpAddr, writer: &mut Writer) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => writer.bin(&v4.octets()),
        IpAddr::V6(v6) => writer.bin(&v6.octets()),
    };
}
