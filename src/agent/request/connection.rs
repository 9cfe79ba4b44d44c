//! The connection of a request, and what goes over it before the request itself.

use std::io;

use nix::errno::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, lookup_host};

use super::{Limit, proxy};
use crate::config::{Address, ProxyVersion};
use crate::health::answer::{Failure, Step};

/// A connection to `to`, over which the PROXY protocol's header has gone if there is to be one.
pub(super) async fn connect(
    to: &Address,
    send_proxy: Option<ProxyVersion>,
    limit: Limit,
) -> Result<TcpStream, Failure> {
    let mut stream = match to {
        Address::Socket(addr) => {
            limit.on(Step::Connection, async { TcpStream::connect(addr).await.map_err(refused) }).await?
        }
        Address::Name { host, port } => by_name(host, *port, limit).await?,
    };
    if let Some(version) = send_proxy {
        let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
        let (source, destination) = ends.map_err(|error| broken(Step::Answer, &error))?;
        let header = proxy::header(version, source, destination);
        // Else the request behind it would wait for the peer's acknowledgement.
        stream.set_nodelay(true).map_err(|error| broken(Step::Answer, &error))?;
        let write = async { stream.write_all(&header).await.map_err(|error| broken(Step::Answer, &error)) };
        limit.on(Step::Answer, write).await?;
    }
    Ok(stream)
}

/// To the first address that takes it.
async fn by_name(host: &str, port: u16, limit: Limit) -> Result<TcpStream, Failure> {
    let look_up = async { lookup_host((host, port)).await.map_err(|_| Failure::Name) };
    let addresses = limit.on(Step::Name, look_up).await?;
    let mut last = Failure::Name;
    for addr in addresses {
        let connecting = async { TcpStream::connect(addr).await.map_err(refused) };
        match limit.on(Step::Connection, connecting).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Why no connection came about.
fn refused(error: io::Error) -> Failure {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    match errno {
        Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOBUFS
        | Errno::ENOMEM
        | Errno::EADDRNOTAVAIL
        | Errno::EAFNOSUPPORT
        | Errno::EACCES
        | Errno::EPERM => Failure::Own(errno),
        _ => Failure::Connect(errno),
    }
}

/// Why a connection ended before `step` was done.
pub(super) fn broken(step: Step, error: &io::Error) -> Failure {
    Failure::Broken(step, error.raw_os_error().map(Errno::from_raw))
}
