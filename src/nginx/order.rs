//! In which order the lines stand.
//!
//! Every reload restarts round robin at the first line and forgets all counters (`nginx §5`). Balancers that agree on an order
//! would send their first requests after a common change to one server, and one balancer would favour its first server
//! with each reload. So the order is a permutation fixed per balancer, turned by one place with each generation.

use std::net::{IpAddr, SocketAddr};

use super::Turn;
use crate::upstream::{Method, Server, Servers};

/// Ordinary servers, backups, and last those that are down; positional methods keep the order by name.
pub(super) fn lines<'a>(servers: &'a Servers, method: &Method, turn: Turn) -> Vec<&'a Server> {
    let mut lines: Vec<&Server> = servers.as_slice().iter().collect();
    if method.is_positional() {
        return lines;
    }
    lines.sort_by_cached_key(|server| (server.down, server.backup, place(server.addr, turn.order)));
    let serving = lines.iter().take_while(|server| !server.down && !server.backup).count();
    if let Some(places) = u64::try_from(serving).ok().filter(|places| *places > 0) {
        let turned = usize::try_from(turn.generation.0 % places).expect("less than a number of lines");
        lines[..serving].rotate_left(turned);
    }
    lines
}

/// A server's place in the permutation that `order` chooses.
fn place(addr: SocketAddr, order: u64) -> (u64, SocketAddr) {
    let bits = match addr.ip() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    // Folding halves of an address on purpose: what matters is only that the result looks random.
    let folded = (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32);
    (mix(mix(folded ^ order) ^ u64::from(addr.port())), addr)
}

/// The finalizer of SplitMix64.
const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
