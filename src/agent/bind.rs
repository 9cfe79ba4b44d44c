//! One TCP listener and one UDP socket on the same port, or a sentence that says why not (`ux §4` rows 1 and 2).

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::address;
use super::holder;
use super::stream::Listener;
use super::udp::Udp;
use crate::error::Explain;

/// How often another free port is tried when port 0 was asked for and its UDP twin is taken.
const FREE_PORT_TRIES: usize = 10;

const LISTEN_BACKLOG: i32 = 128;

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What names the address in the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    GossipBind,
    RpcListen,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GossipBind => "gossip.bind",
            Self::RpcListen => "rpc.listen",
        })
    }
}

/// Why a socket is not there. Nothing stays bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has the port, and we may see who.
    #[error("cannot bind {addr}/{transport}: in use by {name} (pid {pid})")]
    InUseBy {
        addr: SocketAddr,
        transport: Transport,
        setting: Setting,
        name: String,
        pid: u32,
        /// systemd runs it, as the service of its name.
        service: bool,
    },
    /// Somebody has the port.
    #[error("cannot bind {addr}/{transport}: in use by another process")]
    InUse { addr: SocketAddr, transport: Transport, setting: Setting },
    /// The address belongs to another host, or to none.
    #[error("cannot bind {addr}: this host has no such address (it has {has})")]
    NoSuchAddress { addr: SocketAddr, setting: Setting, has: String },
    /// Anything else the system says.
    #[error("cannot bind {addr}/{transport}")]
    Other { addr: SocketAddr, transport: Transport, source: io::Error },
}

impl Explain for BindError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            // A service that systemd knows by the program's name can be stopped by that name.
            Self::InUseBy { name, setting, service: true, .. } if name == "weir" => {
                format!("stop it with 'systemctl stop weir' or set {setting}").into()
            }
            // Debian's package starts it again with the host.
            Self::InUseBy { name, setting, .. } if name == "serf" => {
                format!("stop it for good with 'systemctl disable --now serf' or set {setting}").into()
            }
            // Of one that was started by hand no unit knows.
            Self::InUseBy { name, pid, setting, .. } if name == "weir" => {
                format!("it is no service's: stop it with 'kill {pid}' or set {setting}").into()
            }
            Self::InUseBy { setting, .. } | Self::InUse { setting, .. } => format!("stop it or set {setting}").into(),
            Self::NoSuchAddress { setting, .. } => format!("correct {setting}").into(),
            Self::Other { .. } => return None,
        })
    }
}

/// Binds both for gossip. With port 0 the system chooses one that is free for both; [`Udp::local`] says which.
pub(super) fn bind(addr: SocketAddr) -> Result<(Udp, Listener), BindError> {
    let mut last = None;
    for _ in 0..if addr.port() == 0 { FREE_PORT_TRIES } else { 1 } {
        let explain = |addr, transport, error| explain(addr, transport, Setting::GossipBind, error);
        let listener = tcp(addr).map_err(|error| explain(addr, Transport::Tcp, error))?;
        let chosen = SocketAddr::new(addr.ip(), listener.port());
        match udp(chosen) {
            Ok(udp) => return Ok((udp, listener)),
            Err(error) => last = Some(explain(chosen, Transport::Udp, error)),
        }
    }
    Err(last.expect("the loop runs at least once and ends by return or with an error"))
}

fn tcp(addr: SocketAddr) -> io::Result<Listener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Listener::new(socket.into())
}

fn udp(addr: SocketAddr) -> io::Result<Udp> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&addr.into())?;
    Udp::new(socket)
}

/// An IPv6 socket serves both families if it is bound to the unspecified address.
fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind.nonblocking().cloexec(), Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    Ok(socket)
}

/// Why `addr`, which `setting` names, could not be bound.
pub(super) fn explain(addr: SocketAddr, transport: Transport, setting: Setting, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => match holder::of(addr, transport) {
            Some(holder) => {
                let service = holder.is_service();
                BindError::InUseBy { addr, transport, setting, name: holder.name, pid: holder.pid, service }
            }
            None => BindError::InUse { addr, transport, setting },
        },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { addr, setting, has: own_addresses(addr.ip()) },
        _ => BindError::Other { addr, transport, source },
    }
}

fn own_addresses(same_family_as: IpAddr) -> String {
    let all = address::interfaces().unwrap_or_default();
    let own: Vec<_> = address::routable(&all)
        .filter(|(ip, _)| ip.is_ipv4() == same_family_as.is_ipv4())
        .map(|(ip, _)| ip.to_string())
        .collect();
    if own.is_empty() { "nothing but loopback".to_owned() } else { own.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_runtime<T>(test: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        test()
    }

    #[test]
    fn both_sockets_have_one_port() {
        in_runtime(|| {
            let (udp, listener) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            assert_eq!(udp.local().port(), listener.port());
            assert_ne!(listener.port(), 0);
        });
    }

    #[test]
    fn taken_port_names_its_holder() {
        in_runtime(|| {
            let (udp, _listener) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let error = bind(udp.local()).unwrap_err().sentence();
            let own_pid = format!("(pid {})", std::process::id());
            assert!(error.starts_with(&format!("cannot bind {}/tcp: in use by ", udp.local())), "{error}");
            assert!(error.contains(&own_pid), "{error}");
            assert!(error.ends_with("; stop it or set gossip.bind"), "{error}");
        });
    }

    #[test]
    fn port_taken_for_udp_alone_is_said() {
        in_runtime(|| {
            let (udp, listener) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            drop(listener);
            let error = bind(udp.local()).unwrap_err().sentence();
            assert!(error.starts_with(&format!("cannot bind {}/udp: in use by ", udp.local())), "{error}");
        });
    }

    #[test]
    fn foreign_address_lists_ours() {
        in_runtime(|| {
            // TEST-NET-1 is nobody's.
            let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err().sentence();
            assert!(error.starts_with("cannot bind 192.0.2.1:0: this host has no such address (it has "), "{error}");
            assert!(error.ends_with("); correct gossip.bind"), "{error}");
        });
    }

    #[test]
    fn an_agent_that_is_no_services_is_stopped_by_its_number() {
        let remedy = |service| {
            let addr = "10.77.0.11:7946".parse().unwrap();
            let (transport, setting) = (Transport::Tcp, Setting::GossipBind);
            let error = BindError::InUseBy { addr, transport, setting, name: "weir".to_owned(), pid: 812, service };
            error.remedy().map(Cow::into_owned)
        };
        assert_eq!(remedy(true).as_deref(), Some("stop it with 'systemctl stop weir' or set gossip.bind"));
        assert_eq!(remedy(false).as_deref(), Some("it is no service's: stop it with 'kill 812' or set gossip.bind"));
    }

    #[test]
    fn known_services_are_stopped_by_name() {
        let error = BindError::InUseBy {
            addr: "10.77.0.11:7946".parse().unwrap(),
            transport: Transport::Tcp,
            setting: Setting::GossipBind,
            name: "serf".to_owned(),
            pid: 812,
            service: true,
        };
        assert_eq!(
            error.sentence(),
            "cannot bind 10.77.0.11:7946/tcp: in use by serf (pid 812); stop it for good with 'systemctl disable --now serf' \
             or set gossip.bind"
        );
    }
}
