//! A real agent of a real cluster under ten thousand malformed packets and streams a second, from people without the key,
//! from people with it, and where there is none.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use socket2::{Domain, Socket, Type};
use weir::crypto::envelope::{self, Version};
use weir::crypto::{Key, Keyring};
use weir::endpoint::MAX_STREAMS_PER_SOURCE;
use weir::wire::message::{NodeState, PushNode, PushPull, StreamMessage};

use super::packet::malformed;
use super::stream::senseless;
use super::victim::alive;
use crate::support::{Agent, Kind, Settings, alone, await_agreement, until};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Of each ten, nine are packets.
const PACKETS_PER_SECOND: u64 = 9000;
const STREAMS_PER_SECOND: u64 = 1000;
/// Addresses that streams come from.
const STREAM_SOURCES: u8 = 8;
/// What an agent may hold beyond what it held before. Its limits allow 64 MiB of streams.
const MAX_GROWTH_KIB: u64 = 64 << 10;

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sender {
    /// The cluster has a key, and the sender has not.
    Stranger,
    /// The sender has the cluster's key.
    KeyHolder,
    /// There is no key.
    Anybody,
}

impl Sender {
    fn cluster_key(self) -> Option<&'static str> {
        (self != Self::Anybody).then_some(KEY)
    }

    fn ring(self) -> Option<Keyring> {
        match self {
            Self::Stranger => Some(Keyring::new(Key::new(&[9; 32]).unwrap(), [])),
            Self::KeyHolder => Some(Keyring::new(Key::from_base64(KEY).unwrap(), [])),
            Self::Anybody => None,
        }
    }
}

/// Draws packets and streams of which none may have an effect.
struct Draw {
    rng: StdRng,
    ring: Option<Keyring>,
    packets: Vec<Vec<u8>>,
    streams: Vec<Vec<u8>>,
}

impl Draw {
    fn new(sender: Sender, seed: u64) -> Self {
        let packets = malformed().into_iter().map(|(_, packet)| packet).collect();
        let streams = senseless().into_iter().map(|(_, stream)| stream).collect();
        Self { rng: StdRng::seed_from_u64(seed), ring: sender.ring(), packets, streams }
    }

    fn nonce(&mut self) -> [u8; 12] {
        self.rng.random()
    }

    /// A type byte that exists, what no map begins with, and noise.
    fn noise(&mut self) -> Vec<u8> {
        let kinds =
            [&[0, 0xc1][..], &[1, 0xc1], &[2, 0xc1], &[3, 0xc1], &[4, 0xc1], &[5, 0xc1], &[8, 4, 0xc1], &[8, 0xaa]];
        let mut noise = kinds.choose(&mut self.rng).unwrap().to_vec();
        let start = noise.len();
        noise.resize(start + self.rng.random_range(0..1200), 0);
        self.rng.fill_bytes(&mut noise[start..]);
        noise
    }

    fn packet(&mut self) -> Vec<u8> {
        let plain = match self.rng.random_bool(0.5) {
            true => self.packets.choose(&mut self.rng).unwrap().clone(),
            false => self.noise(),
        };
        let nonce = self.nonce();
        let Some(ring) = &self.ring else { return plain };
        let mut sealed = Vec::new();
        envelope::seal(ring.primary(), Version::V1, nonce, &[b""], &plain, &mut sealed);
        // Now and then a version that pads, a session, or a label that nobody has.
        if self.rng.random_bool(0.2) {
            sealed[0] = *[0, 2, 0xe1, 0xe2, 0xf4].choose(&mut self.rng).unwrap();
        }
        sealed
    }

    fn stream(&mut self) -> Vec<u8> {
        let plain = self.streams.choose(&mut self.rng).unwrap().clone();
        let nonce = self.nonce();
        let mut bytes = match &self.ring {
            Some(ring) => ring.seal_frame(ring.primary().id(), nonce, b"", &plain),
            None => plain,
        };
        match self.rng.random_range(0..10) {
            0 => bytes.truncate(self.rng.random_range(0..bytes.len())),
            1 => bytes = [&[0xe3][..], &self.noise()].concat(),
            2 => bytes = [&[10][..], &u32::MAX.to_be_bytes()].concat(),
            _ => {}
        }
        bytes
    }
}

/// The senders. They stop when dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    streams: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(sender: Sender, target: SocketAddr) -> Self {
        let mut flood =
            Self { stop: Arc::default(), packets: Arc::default(), streams: Arc::default(), threads: Vec::new() };
        // Drawn up before the first is sent: bombs take their time.
        let draws: Vec<_> = (0..=STREAM_SOURCES).map(|seed| Draw::new(sender, seed.into())).collect();
        for (source, mut draw) in (0..).zip(draws) {
            if source == 0 {
                let (socket, sent) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Arc::clone(&flood.packets));
                flood.paced(PACKETS_PER_SECOND, move || {
                    // A full buffer is the kernel's way to drop.
                    let _dropped = socket.send_to(&draw.packet(), target);
                    sent.fetch_add(1, Ordering::Relaxed);
                });
            } else {
                let (from, opened) = (Ipv4Addr::new(127, 0, 66, source), Arc::clone(&flood.streams));
                flood.paced(STREAMS_PER_SECOND / u64::from(STREAM_SOURCES), move || {
                    // Refused is an answer, too.
                    let _refused = open_and_send(from, target, &draw.stream());
                    opened.fetch_add(1, Ordering::Relaxed);
                });
            }
        }
        flood
    }

    /// Runs `step` so many times a second; where that is too much, as often as it goes.
    fn paced(&mut self, per_second: u64, mut step: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            let (start, mut done) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                let due = (start.elapsed().as_millis() as u64) * per_second / 1000;
                if done < due {
                    step();
                    // What was missed is not made up for in one burst.
                    done = (done + 1).max(due.saturating_sub(per_second / 10));
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }));
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Opens a stream from `host`, says its piece, and reads what it is told, if that comes soon.
fn open_and_send(host: Ipv4Addr, target: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((host, 0)).into())?;
    socket.connect_timeout(&target.into(), Duration::from_secs(1))?;
    // Aborted at the end: a thousand a second in TIME_WAIT would use up the ports.
    socket.set_linger(Some(Duration::ZERO))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    stream.set_write_timeout(Some(Duration::from_millis(5)))?;
    stream.write_all(bytes)?;
    let _nothing_or_an_error = stream.read(&mut [0; 256]);
    Ok(())
}

fn info(agent: &Agent) -> BTreeMap<String, BTreeMap<String, String>> {
    let output = agent.cli(&["info", "--format", "json"]);
    assert!(output.status.success(), "{output:?}\n{}", agent.log());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn dropped(agent: &Agent) -> u64 {
    let info = info(agent);
    let reasons = info.get("dropped").into_iter().flatten();
    reasons.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}

fn number(agent: &Agent, key: &str) -> u64 {
    info(agent)["weir"][key].parse().unwrap()
}

fn resident_kib(agent: &mut Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.process().pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn survives(sender: Sender) {
    let seconds = std::env::var("WEIR_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let settings =
        Settings { key: sender.cluster_key().map(str::to_owned), log_level: Some("info"), ..Settings::default() };
    let mut agents = ["a", "b", "c"].map(|name| Agent::start(Kind::Weir, name, settings.clone()));
    let everybody = [("a", "alive"), ("b", "alive"), ("c", "alive")];
    agents[1].join_to(agents[0].gossip);
    agents[2].join_to(agents[0].gossip);
    await_agreement(&agents.each_ref(), &everybody);
    let (before, packets_before, dropped_before) =
        (resident_kib(&mut agents[0]), number(&agents[0], "packets_in"), dropped(&agents[0]));

    let flood = Flood::start(sender, agents[0].gossip);
    let (start, mut peak) = (Instant::now(), before);
    while start.elapsed() < Duration::from_secs(seconds) {
        peak = peak.max(resident_kib(&mut agents[0]));
        for agent in &agents {
            let members = agent.members().unwrap_or_else(|error| panic!("{}: {error}\n{}", agent.name, agent.log()));
            let statuses: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.status.as_str())).collect();
            assert_eq!(statuses, everybody, "{sender:?}: {} after {:?}", agent.name, start.elapsed());
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let (packets, streams) = (flood.packets.load(Ordering::Relaxed), flood.streams.load(Ordering::Relaxed));
    drop(flood);

    let taken = number(&agents[0], "packets_in") - packets_before;
    let refused = dropped(&agents[0]) - dropped_before;
    println!(
        "{sender:?}: sent {:.0} packets/s and {:.0} streams/s for {elapsed:.1} s; {taken} packets taken, {refused} refusals \
         counted, memory {before} to {peak} KiB, {:?}",
        packets as f64 / elapsed,
        streams as f64 / elapsed,
        info(&agents[0]).get("dropped"),
    );
    assert!(packets + streams > seconds * 2000, "a flood of {packets} packets and {streams} streams is none");
    assert!(refused > (packets + streams) / 4, "{refused} of {packets} packets and {streams} streams were counted");
    assert!(peak < before + MAX_GROWTH_KIB, "memory grew from {before} to {peak} KiB");

    // It still speaks, and is spoken to.
    await_agreement(&agents.each_ref(), &everybody);
    until("streams of the flood are gone", || match number(&agents[0], "streams") {
        0..=3 => Ok(()),
        streams => Err(format!("{streams} streams")),
    });
    let answers = agents[1].cli(&["query", "--format", "json", "ping"]);
    assert!(answers.status.success(), "{answers:?}");
    for agent in &mut agents {
        let log = agent.log();
        assert!(agent.process().is_running(), "{log}");
        assert!(!log.contains("member failed") && !log.contains("panicked"), "{}: {log}", agent.name);
    }
}

#[test]
#[ignore = "slow: floods an agent for three times 10 s"]
fn an_agent_survives_a_flood_from_strangers_from_key_holders_and_without_a_key() {
    let _alone = alone();
    // One after the other: three floods at once would measure the machine.
    for sender in [Sender::Stranger, Sender::KeyHolder, Sender::Anybody] {
        survives(sender);
    }
}

/// A push/pull with so many members that the answer to one is larger than any socket's buffers, compressed as it is.
fn large_state() -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(3);
    let mut node = |at: u32| {
        let mut meta = vec![0; 500];
        rng.fill_bytes(&mut meta);
        let mut alive = alive(&format!("m{at}"), SocketAddr::from(([127, 9, (at >> 8) as u8, at as u8], 7946)), 1);
        alive.meta = meta.into();
        PushNode { alive, state: NodeState::Alive }
    };
    let nodes = (0..9000).map(&mut node).collect();
    StreamMessage::PushPull(PushPull {
        join: true,
        nodes,
        skipped: 0,
        long_name: None,
        user_state: bytes::Bytes::new(),
    })
    .encode(false)
}

#[test]
fn a_peer_that_asks_and_hangs_up_half_way_without_reading_holds_no_more_than_its_sixteen_streams() {
    let settings = Settings { log_level: Some("warn"), ..Settings::default() };
    let mut agent = Agent::start(Kind::Weir, "a", settings);
    let mut first = TcpStream::connect(agent.gossip).unwrap();
    first.write_all(&large_state()).unwrap();
    std::io::copy(&mut first, &mut std::io::sink()).unwrap();
    let before = resident_kib(&mut agent);

    let nothing =
        PushPull { join: false, nodes: Vec::new(), skipped: 0, long_name: None, user_state: bytes::Bytes::new() };
    let question = StreamMessage::PushPull(nothing).encode(false);
    // Each is open until its first byte is answered, or until it is refused. It takes ten seconds until one is given up.
    let start = Instant::now();
    let (mut held, mut answered) = (Vec::new(), 0);
    for _ in 0..MAX_STREAMS_PER_SOURCE + 8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 66, 99), 0)).into()).unwrap();
        socket.connect_timeout(&agent.gossip.into(), Duration::from_secs(5)).unwrap();
        let mut stream = TcpStream::from(socket);
        let asked = stream.write_all(&question).and_then(|()| stream.shutdown(Shutdown::Write));
        answered += asked.and_then(|()| stream.read(&mut [0])).unwrap_or(0);
        held.push(stream);
    }
    let grown = resident_kib(&mut agent).saturating_sub(before);
    println!("{answered} of {} answered in {:?}; memory grew by {grown} KiB", held.len(), start.elapsed());
    assert!(start.elapsed() > Duration::from_secs(10) || answered <= MAX_STREAMS_PER_SOURCE, "{answered} are answered");
    assert!(agent.process().is_running());
}
