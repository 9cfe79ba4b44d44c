//! When a balancer last began a connection to a server, by the frames that leave its host: whatever the server does, and whatever the
//! balancer says of itself.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, eth, recv, socket};

use crate::client::within;
use crate::support::network::Network;
use crate::web;

/// Watches one host until it is finished.
pub(crate) struct Wire {
    stop: Arc<AtomicBool>,
    watch: JoinHandle<Option<Instant>>,
}

impl Wire {
    /// From `host` to the service of the web server at `lost`; checks go to another port.
    pub(crate) fn watch(network: &Network, host: usize, lost: &str) -> Self {
        let (stop, lost) = (Arc::new(AtomicBool::new(false)), lost.parse().unwrap());
        let watch = within(network, host, {
            let stop = Arc::clone(&stop);
            move || last_connection(lost, &stop)
        });
        Self { stop, watch }
    }

    /// When the last connection was begun; `None` if there was none.
    pub(crate) fn finish(self) -> Option<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        self.watch.join().unwrap()
    }
}

fn last_connection(to: Ipv4Addr, stop: &AtomicBool) -> Option<Instant> {
    let wire = socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap();
    set_socket_timeout(&wire, Timeout::Recv, Some(Duration::from_millis(50))).unwrap();
    let (mut frame, mut first) = ([0; 2048], HashMap::new());
    while !stop.load(Ordering::Relaxed) {
        // Nothing for a while is no error of interest.
        let Ok((len, _)) = recv(&wire, &mut frame[..], RecvFlags::empty()) else { continue };
        if let Some(port) = connects(&frame[..len.min(2048)], to) {
            // What is sent again was begun before.
            first.entry(port).or_insert_with(Instant::now);
        }
    }
    first.into_values().max()
}

/// The port that a SYN to the service of `to` comes from.
fn connects(frame: &[u8], to: Ipv4Addr) -> Option<u16> {
    let ip = frame.get(14..)?;
    let is_ipv4_tcp = frame[12..14] == [8, 0] && *ip.get(9)? == 6;
    if !is_ipv4_tcp || ip.get(16..20)? != to.octets() {
        return None;
    }
    let tcp = ip.get(usize::from(ip[0] & 15) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let is_syn = tcp.get(13)? & 0b1_0010 == 0b10;
    (is_syn && port(2)? == web::PORT).then(|| port(0)).flatten()
}
