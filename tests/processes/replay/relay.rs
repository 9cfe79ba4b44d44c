//! A relay in front of an agent that keeps everything it passes on, and can say it again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// How often a thread looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// What went to an agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) packets: Vec<Vec<u8>>,
    /// What the openers of streams wrote, and what they were answered.
    pub(crate) streams: Vec<Vec<u8>>,
}

impl Recording {
    pub(crate) fn add(&mut self, other: Self) {
        self.packets.extend(other.packets);
        self.streams.extend(other.streams);
    }

    pub(crate) fn shuffle(&mut self, rng: &mut StdRng) {
        self.packets.shuffle(rng);
        self.streams.shuffle(rng);
    }

    /// Says it all again to whoever listens there.
    pub(crate) fn replay(&self, to: SocketAddr) {
        let socket = UdpSocket::bind((to.ip(), 0)).unwrap();
        for (number, packet) in self.packets.iter().enumerate() {
            // What its socket cannot hold proves nothing.
            if number % 64 == 63 {
                std::thread::sleep(Duration::from_millis(2));
            }
            socket.send_to(packet, to).unwrap();
        }
        for bytes in &self.streams {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            // It may hang up before it has read everything.
            let _refused = stream.write_all(bytes);
            let _refused = stream.shutdown(Shutdown::Write);
            let _refused = stream.read_to_end(&mut Vec::new());
        }
    }
}

/// Which datagrams a relay lets through.
type Filter = fn(&[u8]) -> bool;

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    stop: AtomicBool,
    recording: Mutex<Recording>,
    filter: Mutex<Filter>,
}

#[derive(Debug)]
pub(crate) struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Listens at `addr` and passes on to `to`.
    pub(crate) fn start(addr: SocketAddr, to: SocketAddr) -> Self {
        let udp = UdpSocket::bind(addr).unwrap();
        // A connection of somebody else's may have the port for a moment.
        let tcp = (0..50).find_map(|_| {
            let bound = TcpListener::bind(addr);
            bound.inspect_err(|_| std::thread::sleep(Duration::from_millis(100))).ok()
        });
        let tcp = tcp.unwrap_or_else(|| panic!("{addr} is taken"));
        let shared = Arc::new(Shared {
            to,
            stop: AtomicBool::new(false),
            recording: Mutex::default(),
            filter: Mutex::new(|_| true),
        });
        let (one, two) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || one.pass_datagrams(&udp)),
            std::thread::spawn(move || two.pass_streams(&tcp)),
        ];
        Self { addr, shared, threads }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What was passed on since the last call.
    pub(crate) fn take(&self) -> Recording {
        std::mem::take(&mut *self.shared.recording.lock().unwrap())
    }

    /// Swallows the datagrams that `passes` refuses.
    pub(crate) fn set_filter(&self, passes: Filter) {
        *self.shared.filter.lock().unwrap() = passes;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn pass_datagrams(&self, from: &UdpSocket) {
        let onward = UdpSocket::bind((self.to.ip(), 0)).unwrap();
        from.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 65_536];
        while self.goes_on() {
            let Ok((len, _)) = from.recv_from(&mut buffer) else { continue };
            let packet = &buffer[..len];
            if (self.filter.lock().unwrap())(packet) {
                self.recording.lock().unwrap().packets.push(packet.to_vec());
                // The agent may be down at the moment.
                let _refused = onward.send_to(packet, self.to);
            }
        }
    }

    fn pass_streams(self: &Arc<Self>, listener: &TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let mut passing = Vec::new();
        while self.goes_on() {
            match listener.accept() {
                Ok((opener, _)) => {
                    let shared = Arc::clone(self);
                    passing.push(std::thread::spawn(move || shared.pass_stream(&opener)));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        passing.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// Both directions until both have ended. Without an agent the opener is hung up on.
    fn pass_stream(&self, opener: &TcpStream) {
        let Ok(acceptor) = TcpStream::connect(self.to) else { return };
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| self.pass(opener, &acceptor));
            let answered = self.pass(&acceptor, opener);
            let asked = asked.join().unwrap();
            self.recording.lock().unwrap().streams.extend([asked, answered]);
        });
    }

    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream) -> Vec<u8> {
        from.set_nonblocking(false).unwrap();
        from.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; 16_384]);
        while self.goes_on() {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    all.extend_from_slice(&buffer[..len]);
                    if to.write_all(&buffer[..len]).is_err() {
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => break,
            }
        }
        let _gone_already = to.shutdown(Shutdown::Write);
        all
    }
}
