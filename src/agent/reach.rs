//! Whether somebody takes connections where a member is said to be. For `weir init`, which has no key yet to say more with
//! (`ux §4` rows 9 and 10).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::join::{lookup, unreached};
use super::stream;
use crate::config::JoinAddress;
use crate::endpoint::StreamError;
use crate::status::Trouble;

/// What every member of a mixed cluster can reach is IPv4, so that a name of both families is tried by IPv6 so much later.
const IPV4_FIRST: Duration = Duration::from_millis(300);

/// Somebody who takes connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    /// This host's address on the way there.
    pub(crate) from: IpAddr,
}

/// Why nobody was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unreached {
    /// It is this host's own agent that would be there, and nobody else.
    Own(SocketAddr),
    /// What is in the way.
    Trouble(Trouble),
}

/// Connects to each address of a name at once, those of IPv4 first, and hangs up: members are used to that. The first one that takes the connection,
/// or what is in the way of the first. Those that are `own` are nobody to join.
pub(crate) async fn reach(address: &JoinAddress, own: impl Fn(SocketAddr) -> bool) -> Result<Peer, Unreached> {
    let found = lookup(address).await.map_err(|reason| {
        let what = format!("cannot resolve '{}' to join: {reason}", address.host);
        Unreached::Trouble(Trouble::new(what, "correct the name, or give an address"))
    })?;
    let (own, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|addr| own(*addr));
    if let (Some(own), []) = (own.first(), &others[..]) {
        return Err(Unreached::Own(*own));
    }
    let has_ipv4 = others.iter().any(SocketAddr::is_ipv4);
    let mut tries = JoinSet::new();
    for (index, addr) in others.into_iter().enumerate() {
        tries.spawn(async move {
            if has_ipv4 && addr.is_ipv6() {
                sleep(IPV4_FIRST).await;
            }
            let opened = stream::open(addr, None).await;
            let from = |stream: TcpStream| stream.local_addr().map_err(|error| StreamError::from(error.to_string()));
            (index, addr, opened.and_then(from))
        });
    }
    let mut troubles = Vec::new();
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok((_, addr, Ok(own))) => return Ok(Peer { addr, from: own.ip() }),
            Ok((index, addr, Err(error))) => troubles.push((index, unreached(addr, error.cause, &error.text))),
            Err(_broke_off) => {}
        }
    }
    troubles.sort_by_key(|(index, _)| *index);
    let first = troubles.into_iter().next().map(|(_, trouble)| trouble);
    let untried = || Trouble::new(format!("{address} could not be tried"), "run it again");
    Err(Unreached::Trouble(first.unwrap_or_else(untried)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_takes_connections_is_found_and_whoever_does_not_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let at = |host: &str, port| JoinAddress { host: host.to_owned(), port };
        let others = |_| false;
        assert_eq!(reach(&at("127.0.0.1", addr.port()), others).await, Ok(Peer { addr, from: addr.ip() }));
        assert_eq!(reach(&at("127.0.0.1", addr.port()), |own| own == addr).await, Err(Unreached::Own(addr)));
        if TcpListener::bind(("::1", addr.port())).await.is_ok() {
            assert_eq!(reach(&at("localhost", addr.port()), others).await, Ok(Peer { addr, from: addr.ip() }));
        }
        drop(listener);
        let refused = reach(&at("127.0.0.1", addr.port()), others).await;
        let nobody = Trouble::new(format!("nothing listens on {addr}"), "start weir there, or correct the port");
        assert_eq!(refused, Err(Unreached::Trouble(nobody)));
        let Err(Unreached::Trouble(unknown)) = reach(&at("name.invalid", 7946), others).await else { panic!("it is") };
        assert!(unknown.what.starts_with("cannot resolve 'name.invalid' to join: "), "{unknown}");
        assert_eq!(unknown.way_out, "correct the name, or give an address");
    }
}
