//! TCP sockets of this process's network namespace, by netlink's sock_diag (`sock_diag(7)`): whose they are, how busy they
//! are, and their end.
//!
//! Listing needs no privilege, ending a socket needs CAP_NET_ADMIN. The kernel answers within the call, so nothing here waits
//! for the network; with many thousands of sockets a listing still takes milliseconds, and an async caller runs it on a thread
//! for blocking work. Which sockets are meant, and why one is ended, is the caller's to say.

mod socket;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::libc::{EACCES, EAFNOSUPPORT, EINVAL, ENOENT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT};

pub use self::socket::{Activity, TcpSocket, TcpState};

/// More than the kernel puts into one datagram.
const ROOM: usize = 64 * 1024;
/// The kernel answers at once; should it not, nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A cookie for "whichever socket it is".
const ANY: [u8; 8] = [0; 8];

/// A way to ask the kernel.
#[derive(Debug)]
pub struct SockDiag {
    socket: Socket,
    /// Of the last request, so that an answer to an earlier one is not taken for its.
    sequence: u32,
}

/// Which sockets to list.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// In one of these states.
    pub states: &'a [TcpState],
    /// With this port at this end.
    pub local_port: Option<u16>,
    /// With this address and port at the other end; an IPv4 address is also found on a socket for IPv6.
    pub remote: Option<SocketAddr>,
}

/// What became of a socket that was to be ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destroyed {
    /// The kernel says that it is done. A kernel without that call may say so as well: look again.
    Asked,
    /// It was gone before.
    Gone,
}

/// Why the kernel was not asked, or what it said.
#[derive(Debug, thiserror::Error)]
pub enum SockDiagError {
    /// It knows no such call, or was built without it. Nothing has changed.
    #[error("this kernel cannot do that with sockets")]
    Unsupported,
    /// Not for this user, or not in this sandbox. Nothing has changed.
    #[error("not permitted to do that with sockets")]
    NotPermitted,
    /// Something else. What was listed until then was there.
    #[error("the kernel says nothing of use about sockets")]
    System(#[from] io::Error),
    /// Its answer was not understood.
    #[error("the kernel's answer about sockets was not understood: {0}")]
    Malformed(String),
}

impl SockDiag {
    /// Opens a netlink socket.
    pub fn open() -> Result<Self, SockDiagError> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).map_err(SockDiagError::of)?;
        socket2::SockRef::from(&socket).set_read_timeout(Some(PATIENCE)).map_err(SockDiagError::of)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Calls `take` with each socket that `filter` describes. None of a kind that this kernel has not.
    pub fn list(&mut self, filter: &Filter<'_>, mut take: impl FnMut(TcpSocket)) -> Result<(), SockDiagError> {
        for id in filter.ids() {
            let states = filter.states.iter().fold(StateFlags::empty(), |all, state| all | state.flag());
            let request = request(id, states, ExtensionFlags::INFO);
            self.send(NLM_F_DUMP, SockDiagMessage::InetRequest(request))?;
            self.receive(|socket| {
                if filter.remote.is_none_or(|remote| remote == socket.remote) {
                    take(socket);
                }
            })?;
        }
        Ok(())
    }

    /// Ends one as if its peer had reset it: whoever waits on it gets ECONNABORTED, and the peer a reset. Another socket that has
    /// its addresses by now is left alone.
    pub fn destroy(&mut self, socket: &TcpSocket) -> Result<Destroyed, SockDiagError> {
        let request = request(socket.id().clone(), StateFlags::all(), ExtensionFlags::empty());
        self.send(NLM_F_ACK, SockDiagDestroy::new(SockDiagMessage::InetRequest(request)))?;
        match self.receive(|_| {}) {
            Ok(()) => Ok(Destroyed::Asked),
            Err(SockDiagError::System(error)) if error.raw_os_error() == Some(ENOENT) => Ok(Destroyed::Gone),
            Err(error) => Err(error),
        }
    }

    /// Whether the kernel can end sockets at all; the question needs no right.
    pub fn can_destroy(&mut self) -> Result<bool, SockDiagError> {
        // Nobody's: no port is 0.
        let nobody = request(SocketId::new_v4(), StateFlags::all(), ExtensionFlags::empty());
        self.send(NLM_F_ACK, SockDiagDestroy::new(SockDiagMessage::InetRequest(nobody)))?;
        match self.receive(|_| {}) {
            Err(SockDiagError::Unsupported) => Ok(false),
            Err(SockDiagError::System(error)) if error.raw_os_error() == Some(ENOENT) => Ok(true),
            other => other.map(|()| true),
        }
    }

    fn send<M>(&mut self, flags: u16, message: M) -> Result<(), SockDiagError>
    where
        M: NetlinkSerializable + Into<NetlinkPayload<M>>,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        (header.flags, header.sequence_number) = (NLM_F_REQUEST | flags, self.sequence);
        let mut message = NetlinkMessage::new(header, message.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(SockDiagError::of)?;
        Ok(())
    }

    /// Everything up to the end of the answer, which for what lists nothing is one line.
    fn receive(&mut self, mut take: impl FnMut(TcpSocket)) -> Result<(), SockDiagError> {
        let mut bytes = Vec::with_capacity(ROOM);
        loop {
            bytes.clear();
            match self.socket.recv(&mut bytes, 0) {
                Ok(0) => return Err(SockDiagError::Malformed("it ends early".to_owned())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(SockDiagError::of(error)),
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(|error| SockDiagError::Malformed(error.to_string()))?;
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
                rest = rest.get(length.max(1)..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        if let Some(socket) = TcpSocket::of(*response) {
                            take(socket);
                        }
                    }
                    NetlinkPayload::Error(error) => {
                        return if error.code.is_none() { Ok(()) } else { Err(SockDiagError::of(error.to_io())) };
                    }
                    NetlinkPayload::Done(done) if done.code != 0 => {
                        return Err(SockDiagError::of(io::Error::from_raw_os_error(-done.code)));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    _ => {} // nothing that is said of sockets
                }
            }
        }
    }
}

impl Filter<'_> {
    /// What the kernel chooses by: family and ports. It leaves addresses to us.
    fn ids(&self) -> impl Iterator<Item = SocketId> {
        let ports = (self.local_port.unwrap_or_default(), self.remote.map_or(0, |remote| remote.port()));
        let is_v6 = self.remote.is_some_and(|remote| remote.is_ipv6());
        let v4 = (!is_v6).then(SocketId::new_v4);
        v4.into_iter().chain([SocketId::new_v6()]).map(move |id| {
            let (source_port, destination_port) = ports;
            SocketId { source_port, destination_port, cookie: ANY, ..id }
        })
    }
}

fn request(socket_id: SocketId, states: StateFlags, extensions: ExtensionFlags) -> InetRequest {
    let family = if socket_id.source_address.is_ipv4() { AF_INET } else { AF_INET6 };
    InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id }
}

impl SockDiagError {
    fn of(error: io::Error) -> Self {
        match error.raw_os_error() {
            // An unknown kind of message is invalid to an old kernel, and a family without a module is none.
            Some(EOPNOTSUPP | EINVAL | EPROTONOSUPPORT) => Self::Unsupported,
            // A sandbox refuses the family itself.
            Some(EPERM | EACCES | EAFNOSUPPORT) => Self::NotPermitted,
            _ => Self::System(error),
        }
    }
}

#[cfg(test)]
mod tests;
