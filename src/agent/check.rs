//! Whether an agent could start here: its addresses and ports, taken and given back at once. For `weir doctor` where none runs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::bind::{self, Setting, Transport};
use super::{AgentError, address, holder};
use crate::config::Config;
use crate::status::doctor::{Choice, Port};

/// An address, what it is for, and why an agent would not get it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) port: Port,
    pub(crate) what: String,
    pub(crate) result: Result<(), AgentError>,
}

/// Binds what an agent with this configuration would, and lets go of it. Must run within a tokio runtime.
/// `before` is the address that the snapshot says was advertised.
pub(crate) fn ports(config: &Config, before: Option<IpAddr>) -> Vec<Checked> {
    let checked = |port, what: String, result| Checked { port, what, result };
    let wanted = match address::to_bind(&config.gossip.bind) {
        Ok(wanted) => wanted,
        Err(error) => return vec![checked(Port::Gossip, "gossip.bind".to_owned(), Err(error))],
    };
    let bound = bind::bind(wanted).map(|(udp, _listener)| udp.local());
    let advertise = address::to_advertise(&config.gossip.advertise, *bound.as_ref().unwrap_or(&wanted), before);
    let mut all = vec![
        checked(Port::Gossip, wanted.to_string(), bound.map(drop).map_err(AgentError::Bind)),
        checked(Port::Address, "gossip.advertise".to_owned(), advertise.map(drop)),
    ];
    if let Some(listen) = config.rpc.listen {
        all.push(checked(Port::Rpc, listen.to_string(), rpc(listen)));
    }
    all
}

/// What to say of an address that was advertised though it was no matter of course.
pub(crate) fn choice(config: &Config, advertised: IpAddr) -> Option<Choice> {
    // Whoever cannot list addresses has said so where it mattered.
    let private = address::rivals(&config.gossip, advertised).ok()??.into_iter();
    let private = private.map(|(ip, name)| (ip.to_string(), name)).collect();
    Some(Choice { advertised: advertised.to_string(), private })
}

/// The private addresses of this host, each with its interface and whether the default route leaves from it.
pub(crate) fn private_addresses() -> io::Result<Vec<(IpAddr, String, bool)>> {
    address::private()
}

/// The address of this host that stays, in the network where `ip` is one that the kernel drops after a while.
pub(crate) fn lasting(ip: IpAddr) -> IpAddr {
    address::interfaces().map_or(ip, |all| address::lasting(ip, &all))
}

/// Every address of this host.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    Ok(address::interfaces()?.into_iter().map(|interface| interface.ip).collect())
}

/// Whether others can reach this host by IPv6 and not by IPv4.
pub(crate) fn has_ipv6_alone() -> io::Result<bool> {
    Ok(address::has_ipv6_alone(&address::interfaces()?))
}

/// The process that takes TCP connections at a port of this host: its name and its number, where that may be seen.
pub(crate) fn who_listens(port: u16) -> Option<(String, u32)> {
    let holder = holder::of(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), Transport::Tcp)?;
    Some((holder.name, holder.pid))
}

fn rpc(listen: SocketAddr) -> Result<(), AgentError> {
    // Sets SO_REUSEADDR, as the agent does.
    let bound = TcpListener::bind(listen);
    bound.map(drop).map_err(|error| AgentError::Bind(bind::explain(listen, Transport::Tcp, Setting::RpcListen, error)))
}
