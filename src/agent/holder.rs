//! Who has a port: the process behind a bound socket, as far as `/proc` shows it to us.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::bind::Transport;

/// The state of a socket that takes connections.
const LISTENING: &str = "0A";

/// A process that holds a socket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Holder {
    /// Whether systemd runs it as the service of its own name.
    pub(super) fn is_service(&self) -> bool {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        is_within(&groups, &format!("{}.service", self.name))
    }
}

/// Whether the control groups of a process are of this unit.
fn is_within(groups: &str, unit: &str) -> bool {
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| path.split('/').any(|part| part == unit))
}

/// The process that keeps `addr` from being bound; `None` where we may not look (another user's process, a sandbox).
pub(crate) fn of(addr: SocketAddr, transport: Transport) -> Option<Holder> {
    let inode = ["", "6"].into_iter().find_map(|family| {
        let table = fs::read_to_string(format!("/proc/net/{transport}{family}")).ok()?;
        inode_of(&table, addr, transport)
    })?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(pid, inode).then(|| Holder { name: name_of(pid), pid })
    })
}

/// Who takes TCP connections at which addresses of these ports, each once.
pub(crate) fn listeners(ports: &[u16]) -> Vec<(SocketAddr, Option<Holder>)> {
    let tables = ["", "6"].map(|family| fs::read_to_string(format!("/proc/net/tcp{family}")).unwrap_or_default());
    let mut found: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for (addr, inode) in tables.iter().flat_map(|table| listening(table)) {
        if ports.contains(&addr.port()) {
            found.entry(addr).or_insert(inode);
        }
    }
    let mut holders: BTreeMap<u64, Holder> = BTreeMap::new();
    for pid in fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    {
        for inode in sockets_of(pid).filter(|inode| found.values().any(|wanted| wanted == inode)) {
            // The first one is the master: its children inherit the socket.
            holders.entry(inode).or_insert_with(|| Holder { name: name_of(pid), pid });
        }
    }
    found.into_iter().map(|(addr, inode)| (addr, holders.get(&inode).cloned())).collect()
}

/// The listening sockets in a table of TCP's.
fn listening(table: &str) -> impl Iterator<Item = (SocketAddr, u64)> {
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let is_listening = *fields.get(3)? == LISTENING;
        Some((parse_address(fields.get(1)?)?, fields.get(9)?.parse().ok()?)).filter(|_| is_listening)
    })
}

/// The socket in `table` (`/proc/net/tcp` and its like) that is in the way of `addr`.
fn inode_of(table: &str, addr: SocketAddr, transport: Transport) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let local = parse_address(fields.get(1)?)?;
        let listens = transport == Transport::Udp || *fields.get(3)? == LISTENING;
        let overlaps = local.ip().is_unspecified() || addr.ip().is_unspecified() || local.ip() == addr.ip();
        (listens && overlaps && local.port() == addr.port()).then(|| fields.get(9)?.parse().ok())?
    })
}

/// `0100007F:1F0A`: 32-bit words in the machine's byte order, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = if ip.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let mut bytes = [0; 16];
        for index in 0..4 {
            bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index * 8)?);
        }
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}

fn holds(pid: u32, inode: u64) -> bool {
    sockets_of(pid).any(|held| held == inode)
}

/// The sockets that a process has open.
fn sockets_of(pid: u32) -> impl Iterator<Item = u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn name_of(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000
   1: 0100007F:1F0A 0200007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000
";

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_socket_is_found_by_address_or_wildcard() {
        let find = |addr: &str| inode_of(TABLE, addr.parse().unwrap(), Transport::Tcp);
        assert_eq!(find("127.0.0.1:7946"), Some(4711));
        assert_eq!(find("0.0.0.0:7946"), Some(4711));
        assert_eq!(find("127.0.0.2:7946"), None);
        assert_eq!(find("10.0.0.1:80"), Some(4713));
        assert_eq!(find("10.0.0.1:81"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn whoever_takes_connections_is_listed() {
        let listed: Vec<_> = listening(TABLE).map(|(addr, inode)| (addr.to_string(), inode)).collect();
        assert_eq!(listed, [("127.0.0.1:7946".to_owned(), 4711), ("0.0.0.0:80".to_owned(), 4713)]);
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = own.local_addr().unwrap();
        let [(found, Some(holder))] = &listeners(&[addr.port()])[..] else { panic!("it is not found") };
        assert_eq!((*found, holder.pid), (addr, std::process::id()));
    }

    #[test]
    fn a_service_is_known_by_its_control_group() {
        assert!(is_within("0::/system.slice/weir.service\n", "weir.service"));
        assert!(is_within("1:name=systemd:/system.slice/weir.service\n0::/\n", "weir.service"));
        assert!(!is_within("0::/user.slice/user-0.slice/session-1.scope\n", "weir.service"));
        assert!(!is_within("0::/system.slice/my-weir.service\n", "weir.service"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn mapped_ipv6_address_is_its_ipv4_one() {
        let mapped = parse_address("0000000000000000FFFF00000100007F:1F0A");
        assert_eq!(mapped, Some("127.0.0.1:7946".parse().unwrap()));
        assert_eq!(parse_address("00000000000000000000000000000000:0050"), Some("[::]:80".parse().unwrap()));
        assert_eq!(parse_address("zz:1"), None);
    }
}
