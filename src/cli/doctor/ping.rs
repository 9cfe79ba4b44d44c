//! Pings by hand, where no agent of ours runs: sealed with this host's ring, answered by every member that holds the key.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::agent::hand;
use crate::config::{Config, Seal};
use crate::crypto::session::{Content, Sessions};
use crate::crypto::{self, Keyring, envelope};
use crate::status::doctor::{Trouble, Udp};
use crate::status::node::Member;
use crate::time;
use crate::wire::message::{Message, Ping, SeqNo, Source};
use crate::wire::{NodeName, label, packet};

/// Pings to each member.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(600);
const MAX_DATAGRAM: usize = 64 * 1024;

/// What pings are sealed with; `None` where encryption is off.
pub(super) fn ring(config: &Config) -> Result<Option<Keyring>, Trouble> {
    let Some(source) = &config.encryption.keyring else { return Ok(None) };
    hand::read(source).map(Some).map_err(|error| {
        let way_out = if error.is_denied() { "sudo weir doctor" } else { "see keys.ring" };
        Trouble::new("pings have to be sealed, and the keyring cannot be read", way_out)
    })
}

/// What became of those that could be pinged; or why nobody could be, and the way out.
/// They come from the address `from`, if the agent is bound to one.
pub(super) async fn by_hand(
    config: &Config,
    ring: Option<Keyring>,
    from: Option<IpAddr>,
    members: &[&Member],
) -> Result<BTreeMap<String, Udp>, Trouble> {
    let failed = |error: &dyn std::fmt::Display| Trouble::new(format!("no datagrams can be sent: {error}"), "");
    let mut pinger = Pinger::new(config, ring).map_err(|error| failed(&error))?;
    let v4 = from.filter(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let v4 = UdpSocket::bind((v4, 0)).await.map_err(|error| failed(&error))?;
    let v6 = from.filter(IpAddr::is_ipv6).unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let v6 = UdpSocket::bind((v6, 0)).await.ok();
    let mut buffers = [vec![0; MAX_DATAGRAM], vec![0; MAX_DATAGRAM]];
    let mut became = BTreeMap::new();
    for _ in 0..TRIES {
        for member in members {
            if became.get(&member.name) == Some(&Udp::Answered) {
                continue;
            }
            let socket = if member.addr.is_ipv4() { Some(&v4) } else { v6.as_ref() };
            let (Some(name), Some(socket)) = (NodeName::new(&member.name), socket) else { continue };
            for datagram in pinger.pings(&name) {
                // Of whom nothing was sent, silence says nothing.
                if socket.send_to(&datagram, member.addr).await.is_ok() {
                    became.entry(member.name.clone()).or_insert(Udp::Silent);
                }
            }
        }
        let until = Instant::now() + PAUSE;
        // Where datagrams keep coming, no wait ends by its limit.
        let is_open = |became: &BTreeMap<String, Udp>| became.values().any(|udp| *udp != Udp::Answered);
        while is_open(&became) && Instant::now() < until {
            let received = receive(&v4, v6.as_ref(), &mut buffers, &mut pinger);
            let Ok(seq_no) = timeout_at(until, received).await else { break };
            let answered = seq_no.and_then(|seq_no| pinger.sent.get(&seq_no).cloned());
            became.extend(answered.map(|name| (name, Udp::Answered)));
        }
    }
    Ok(became)
}

/// The number of the next ack, if what comes next is one.
async fn receive(
    v4: &UdpSocket,
    v6: Option<&UdpSocket>,
    [first, second]: &mut [Vec<u8>; 2],
    pinger: &mut Pinger,
) -> Option<SeqNo> {
    let by_v6 = async {
        match v6 {
            Some(socket) => socket.recv(second).await,
            None => std::future::pending().await,
        }
    };
    let (received, buffer) = tokio::select! {
        received = v4.recv(first) => (received, first),
        received = by_v6 => (received, second),
    };
    pinger.ack(&buffer[..received.ok()?])
}

/// Makes pings and reads acks, as a stranger to whom nobody owes more.
struct Pinger {
    ring: Option<Keyring>,
    label: Vec<u8>,
    sessions: Option<Sessions>,
    /// Whether memberlist's envelope is of use.
    old: bool,
    rng: StdRng,
    started: std::time::Instant,
    sent: BTreeMap<SeqNo, String>,
}

impl Pinger {
    fn new(config: &Config, ring: Option<Keyring>) -> std::io::Result<Self> {
        let rng = || StdRng::try_from_rng(&mut SysRng).map_err(std::io::Error::other);
        // Good enough for session ids here: no memory image of this process outlives its few seconds.
        let mut entropy = rng()?;
        let label = config.gossip.label.as_bytes().to_vec();
        let seal = config.encryption.seal;
        let sessions = (ring.is_some() && seal != Seal::Memberlist)
            .then(|| Sessions::new(config.node.name.clone(), &label, Box::new(move |bytes| entropy.fill_bytes(bytes))));
        let started = std::time::Instant::now();
        Ok(Self { ring, label, sessions, old: seal != Seal::Session, rng: rng()?, started, sent: BTreeMap::new() })
    }

    fn now(&self) -> time::Instant {
        time::Instant::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// One ping in each envelope that the member may open. They name no source, so the ack comes back the way they went.
    fn pings(&mut self, name: &NodeName) -> Vec<Vec<u8>> {
        let mut pings = Vec::new();
        if self.old || self.ring.is_none() {
            let plain = self.plain(name);
            let sealed = match &self.ring {
                Some(ring) => {
                    let nonce = crypto::nonce(self.rng.random(), self.now());
                    let mut out = Vec::new();
                    envelope::seal(ring.primary(), envelope::Version::V1, nonce, &[&self.label], &plain, &mut out);
                    out
                }
                None => plain,
            };
            pings.push(self.labelled(&sealed));
        }
        if self.sessions.is_some() {
            let plain = self.plain(name);
            let (now, stir) = (self.now(), self.rng.next_u32());
            let mut out = Vec::new();
            if let (Some(sessions), Some(ring)) = (&mut self.sessions, &self.ring) {
                sessions.seal_hello(now, ring.primary(), stir, &plain, &mut out);
            }
            pings.push(self.labelled(&out));
        }
        pings
    }

    fn plain(&mut self, name: &NodeName) -> Vec<u8> {
        let seq_no = SeqNo::new(self.rng.next_u32());
        self.sent.insert(seq_no, name.as_str().to_owned());
        let ping = Ping { seq_no, node: Some(name.clone()), source: Source { addr: None, node: None }, weir: None };
        packet::encode(&[Message::Ping(ping).encode()], false, false)
    }

    fn labelled(&self, sealed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.label.is_empty() {
            label::prepend(&self.label, &mut out);
        }
        out.extend_from_slice(sealed);
        out
    }

    /// The number that an ack answers.
    fn ack(&mut self, datagram: &[u8]) -> Option<SeqNo> {
        let now = self.now();
        let sealed = label::strip(datagram, &self.label).ok()?;
        let plain = match (&self.ring, &mut self.sessions) {
            (None, _) => sealed.to_vec(),
            (Some(ring), Some(sessions)) if crypto::session::is_session(sealed) => {
                match sessions.open(now, ring, sealed).ok()?.content {
                    Content::Packet(plain) => plain,
                    Content::Hello(_) => return None,
                }
            }
            (Some(ring), _) => ring.open_packet(&self.label, sealed).ok()?.plain,
        };
        packet::decode(&plain).messages.into_iter().find_map(|message| match message {
            Message::Ack(ack) => Some(ack.seq_no),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::{Source, Sources, load};
    use crate::serf::Status;

    #[test]
    fn who_cannot_be_pinged_is_not_called_silent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weir.toml");
        std::fs::write(&file, "node.name = \"here\"\nencryption.seal = \"off\"\n").unwrap();
        let config = load(&Sources { paths: vec![Source::File(file)], ..Sources::default() }).unwrap().config;
        let member = |name: &str, addr: SocketAddr| Member {
            name: name.to_owned(),
            addr,
            status: Status::Alive.into(),
            since: None,
            tags: BTreeMap::new(),
            envelope: None,
            own: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mute = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let mute = mute.local_addr().unwrap();
            // No name, and no port.
            let members = [member("mute", mute), member("", mute), member("nowhere", SocketAddr::new(mute.ip(), 0))];
            let became = by_hand(&config, None, Some(mute.ip()), &members.each_ref()).await.unwrap();
            assert_eq!(became, [("mute".to_owned(), Udp::Silent)].into());
        });
    }
}
