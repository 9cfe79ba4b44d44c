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

/// Connects to each address of a name at once, those of IPv4 first, and hangs up: members are used to that. The first one that takes the connection,
/// or what is in the way of the first. Connections come from `source`, if the agent is going to be bound to it.
pub(crate) async fn reach(address: &JoinAddress, source: Option<IpAddr>) -> Result<Peer, Trouble> {
    let found = lookup(address).await.map_err(|reason| {
        let what = format!("cannot resolve '{}' to join: {reason}", address.host);
        Trouble::new(what, "correct the name, or give an address")
    })?;
    let has_ipv4 = found.iter().any(SocketAddr::is_ipv4);
    let mut tries = JoinSet::new();
    for (index, addr) in found.into_iter().enumerate() {
        tries.spawn(async move {
            if has_ipv4 && addr.is_ipv6() {
                sleep(IPV4_FIRST).await;
            }
            let opened = stream::open(addr, source).await;
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
    Err(first.unwrap_or_else(|| Trouble::new(format!("{address} could not be tried"), "run it again")))
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
        assert_eq!(reach(&at("127.0.0.1", addr.port()), None).await, Ok(Peer { addr, from: addr.ip() }));
        if TcpListener::bind(("::1", addr.port())).await.is_ok() {
            assert_eq!(reach(&at("localhost", addr.port()), None).await, Ok(Peer { addr, from: addr.ip() }));
        }
        drop(listener);
        let refused = reach(&at("127.0.0.1", addr.port()), None).await.unwrap_err().to_string();
        assert_eq!(refused, format!("nothing listens on {addr}; start weir there, or correct the port"));
        let unknown = reach(&at("name.invalid", 7946), None).await.unwrap_err();
        assert!(unknown.what.starts_with("cannot resolve 'name.invalid' to join: "), "{unknown}");
        assert_eq!(unknown.way_out, "correct the name, or give an address");
    }
}
