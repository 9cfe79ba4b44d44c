//! One TCP socket as the kernel lists it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{InetResponse, SocketId, StateFlags};

/// In `struct tcp_info` of `linux/tcp.h`, whose start never changes: milliseconds since data was sent.
const LAST_DATA_SENT: usize = 44;
/// And since data arrived.
const LAST_DATA_RECV: usize = 52;

/// A TCP socket at the time of the listing.
#[derive(Clone, Debug)]
pub struct TcpSocket {
    /// This end. What came over IPv4 has an IPv4 address, whichever family the socket is of.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// Whose process made it.
    pub uid: u32,
    /// Bytes that were written here and that the other end has not confirmed. Of a listener: the length of its queue.
    pub send_queue: u32,
    /// Bytes that came and were not read here. Of a listener: who waits in its queue.
    pub recv_queue: u32,
    /// When it was used last; `None` if the kernel does not say.
    pub activity: Option<Activity>,
    /// As the kernel names it, with a number that no other socket has had.
    id: SocketId,
}

/// When a socket was used last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Activity {
    /// How long ago data was sent last, in the kernel's ticks; since it was made if none was.
    pub sent_ago: Duration,
    /// How long ago data came last.
    pub received_ago: Duration,
}

/// States of a TCP socket, in the words of `ss(8)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TcpState {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl TcpState {
    /// In the order of their numbers, which begin with 1 (`linux/tcp_states.h`).
    const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    pub(super) fn flag(self) -> StateFlags {
        match self {
            Self::Established => StateFlags::ESTABLISHED,
            Self::SynSent => StateFlags::SYN_SENT,
            Self::SynRecv => StateFlags::SYN_RECV,
            Self::FinWait1 => StateFlags::FIN_WAIT1,
            Self::FinWait2 => StateFlags::FIN_WAIT2,
            Self::TimeWait => StateFlags::TIME_WAIT,
            Self::Close => StateFlags::CLOSE,
            Self::CloseWait => StateFlags::CLOSE_WAIT,
            Self::LastAck => StateFlags::LAST_ACK,
            Self::Listen => StateFlags::LISTEN,
            Self::Closing => StateFlags::CLOSING,
        }
    }
}

impl TcpSocket {
    /// `None` in a state that is in no list.
    pub(super) fn of(response: InetResponse) -> Option<Self> {
        let InetResponse { header, nlas } = response;
        let id = header.socket_id;
        let addr = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        let activity = nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(info) => Activity::of(info),
            _ => None, // theirs, of which this one matters
        });
        Some(Self {
            local: addr(id.source_address, id.source_port),
            remote: addr(id.destination_address, id.destination_port),
            state: TcpState::of(header.state)?,
            uid: header.uid,
            send_queue: header.send_queue,
            recv_queue: header.recv_queue,
            activity,
            id,
        })
    }

    pub(super) fn id(&self) -> &SocketId {
        &self.id
    }

    /// The kernel's number for it, which no other socket has had.
    pub fn cookie(&self) -> u64 {
        u64::from_ne_bytes(self.id.cookie)
    }
}

impl Activity {
    /// Of `struct tcp_info`, which grows with the kernel.
    fn of(info: &[u8]) -> Option<Self> {
        let millis = |at: usize| {
            let bytes = info.get(at..at + size_of::<u32>())?.try_into().ok()?;
            Some(Duration::from_millis(u32::from_ne_bytes(bytes).into()))
        };
        Some(Self { sent_ago: millis(LAST_DATA_SENT)?, received_ago: millis(LAST_DATA_RECV)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_is_read_where_every_kernel_has_it() {
        let mut info = [0; 56];
        info[44..48].copy_from_slice(&1_500_u32.to_ne_bytes());
        info[52..56].copy_from_slice(&7_u32.to_ne_bytes());
        let activity = Activity { sent_ago: Duration::from_millis(1_500), received_ago: Duration::from_millis(7) };
        assert_eq!(Activity::of(&info), Some(activity));
        assert_eq!(Activity::of(&[&info[..], &[9; 200]].concat()), Some(activity), "a later kernel tells more");
        assert_eq!(Activity::of(&info[..55]), None);
        assert_eq!(Activity::of(&[]), None);
    }

    #[test]
    fn states_have_the_numbers_of_the_kernel() {
        for (number, state) in [(1, TcpState::Established), (2, TcpState::SynSent), (10, TcpState::Listen)] {
            assert_eq!((TcpState::of(number), state.flag().bits()), (Some(state), 1 << number));
        }
        assert!(TcpState::ALL.into_iter().zip(1..).all(|(state, number)| state.flag().bits() == 1 << number));
        assert_eq!((TcpState::of(0), TcpState::of(12)), (None, None));
    }
}
