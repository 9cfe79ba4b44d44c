//! The gossip socket: datagrams in and out, with the socket's own troubles absorbed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, Socket};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, trace};

/// Nothing larger fits into a datagram.
const RECEIVE_BUFFER_BYTES: usize = 65_536;

/// What the kernel is asked to hold for us; it gives less where `net.core.rmem_max` is smaller.
const KERNEL_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Pause after an error that is likely to repeat at once, so that a broken interface does not cost a processor.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// Datagrams that the kernel would not take, and receive errors.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct UdpStats {
    pub(super) send_errors: u64,
    pub(super) receive_errors: u64,
}

/// One bound UDP socket with the one buffer that every datagram passes through.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    local: SocketAddr,
    buffer: Vec<u8>,
    stats: UdpStats,
    /// End of the pause after an error.
    paused_until: Option<Instant>,
}

impl Udp {
    /// Takes a bound, non-blocking socket; must be called inside the runtime.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        enlarge(&socket);
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            local,
            buffer: vec![0; RECEIVE_BUFFER_BYTES],
            stats: UdpStats::default(),
            paused_until: None,
        })
    }

    /// The bound address, with the real port.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn stats(&self) -> UdpStats {
        self.stats
    }

    /// Returns when [`Self::try_recv`] is worth a try. Cancel-safe: a pause goes on where it was. Never fails: after an error
    /// it pauses instead.
    pub(super) async fn readable(&mut self) {
        if let Some(until) = self.paused_until {
            sleep_until(until).await;
            self.paused_until = None;
        }
        if let Err(error) = self.socket.readable().await {
            debug!(%error, "gossip socket not readable");
            self.pause();
        }
    }

    fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + ERROR_PAUSE);
    }

    /// The next waiting datagram; `None` when there is none or the socket had an error, which is counted and forgotten.
    pub(super) fn try_recv(&mut self) -> Option<(SocketAddr, &[u8])> {
        match self.socket.try_recv_from(&mut self.buffer) {
            Ok((len, from)) => Some((canonical(from), &self.buffer[..len])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                debug!(%error, "datagram not received");
                self.stats.receive_errors += 1;
                self.pause();
                None
            }
        }
    }

    /// Sends or drops: gossip repeats itself, and a full socket must not hold up the loop.
    pub(super) fn send(&mut self, to: SocketAddr, payload: &[u8]) {
        // Straight to the kernel: the runtime would call a fresh socket unwritable until it has polled it once.
        let sent = SockRef::from(&self.socket).send_to(payload, &self.reachable(to).into());
        if let Err(error) = sent {
            trace!(%error, addr = %to, "datagram not sent");
            self.stats.send_errors += 1;
        }
    }

    /// An IPv6 socket reaches an IPv4 address in its mapped form.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.local.is_ipv6() => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}

/// An IPv4 peer of a dual socket appears in mapped form; everything above knows it by its own.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn enlarge(socket: &Socket) {
    let mut wanted = KERNEL_BUFFER_BYTES;
    while wanted >= RECEIVE_BUFFER_BYTES && socket.set_recv_buffer_size(wanted).is_err() {
        wanted /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::bind::bind;
    use super::*;

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    async fn recv(udp: &mut Udp) -> (SocketAddr, Vec<u8>) {
        loop {
            udp.readable().await;
            if let Some((from, bytes)) = udp.try_recv() {
                return (from, bytes.to_vec());
            }
        }
    }

    #[test]
    fn first_datagram_goes_out_before_the_runtime_has_polled() {
        run(async {
            let (mut a, _a) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let (mut b, _b) = bind("127.0.0.2:0".parse().unwrap()).unwrap();
            a.send(b.local(), b"hello");
            assert_eq!(recv(&mut b).await, (a.local(), b"hello".to_vec()));
        });
    }

    #[test]
    fn dual_socket_speaks_ipv4_under_its_own_name() {
        run(async {
            let Ok((mut dual, _tcp)) = bind("[::]:0".parse().unwrap()) else {
                return; // a host without IPv6
            };
            let (mut v4, _v4) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            v4.send(SocketAddr::new("127.0.0.1".parse().unwrap(), dual.local().port()), b"in");
            assert_eq!(recv(&mut dual).await, (v4.local(), b"in".to_vec()));
            dual.send(v4.local(), b"out");
            assert_eq!(recv(&mut v4).await.1, b"out");
        });
    }

    #[test]
    fn unreachable_address_is_counted_and_harmless() {
        run(async {
            let (mut a, _a) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            a.send("[2001:db8::1]:1".parse().unwrap(), b"x");
            assert_eq!(a.stats().send_errors, 1);
            let own = a.local();
            a.send(own, b"still works");
            assert_eq!(recv(&mut a).await.1, b"still works");
        });
    }
}
