//! What somebody on the network can do with what was recorded, and what becomes of a machine that is set back to a memory
//! image (`session §6, §7`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rand::seq::SliceRandom;

use super::*;
use crate::crypto::Key;
use crate::crypto::session::is_session;
use crate::endpoint::{Drop, Seal};
use crate::serf::{Event, QueryParams};
use crate::wire::serf::Tags;

/// First byte of a stream's head.
const HEAD: u8 = 0xe3;

/// A cluster whose operating systems draw from `draws`, so that it can be run twice and the second go on differently.
struct World {
    sim: Sim,
    seal: Seal,
    draws: Arc<AtomicU64>,
}

impl World {
    fn new(seed: u64, seal: Seal, count: usize) -> Self {
        let mut world = Self { sim: Sim::new(seed, Network::default()), seal, draws: Arc::default() };
        for index in 0..count {
            let node = world.sim.add();
            world.start(node);
            if index > 0 {
                world.sim.join(node, &[NodeId(0)]);
            }
        }
        world
    }

    fn start(&mut self, node: NodeId) {
        let (name, addr) = Sim::identity(node.0);
        let options = Options { seal: self.seal, ..Options::new(name, addr) };
        let ring = Keyring::new(Key::new(&[1; 32]).unwrap(), []);
        let draws = Arc::clone(&self.draws);
        let entropy: Entropy = Box::new(move |bytes| {
            StdRng::seed_from_u64(draws.fetch_add(1, Ordering::Relaxed)).fill_bytes(bytes);
        });
        let rng = self.sim.draw_rng();
        let endpoint = Endpoint::new(options, Some(ring), Restored::default(), rng, entropy, self.sim.now());
        self.sim.install(node, endpoint);
    }

    fn fire(&mut self, node: usize, name: &str) {
        let fire = |endpoint: &mut Endpoint, now| endpoint.user_event(now, name, Bytes::new(), false);
        self.sim.with(NodeId(node), fire).unwrap().unwrap();
    }

    /// Everything that members may differ in.
    fn state(&self) -> Vec<String> {
        let of = |node: NodeId| {
            let endpoint = self.sim.endpoint(node)?;
            let (members, stats) = (endpoint.members().collect::<Vec<_>>(), endpoint.serf().stats());
            let clocks = (stats.member_time, stats.event_time, stats.query_time);
            Some(format!("{members:?} {clocks:?} {}", endpoint.swim().incarnation()))
        };
        self.sim.nodes().filter_map(of).collect()
    }
}

/// Packets and streams as they went over the network.
struct Recording {
    packets: Vec<Recorded>,
    /// What one side wrote, its head first.
    streams: Vec<(SocketAddr, Vec<u8>)>,
}

impl Recording {
    fn of(recorded: Vec<Recorded>) -> Self {
        let (written, packets): (Vec<_>, _) = recorded.into_iter().partition(|sent| sent.stream);
        let mut streams: Vec<(SocketAddr, NodeId, Vec<u8>)> = Vec::new();
        for Recorded { from, to, payload, .. } in written {
            let open = streams.iter_mut().rev().find(|stream| (stream.0, stream.1) == (from, to));
            match open {
                Some((.., bytes)) if payload.first() != Some(&HEAD) => bytes.extend(payload),
                _ => streams.push((from, to, payload)),
            }
        }
        Self { packets, streams: streams.into_iter().map(|(from, _, bytes)| (from, bytes)).collect() }
    }

    fn shuffle(&mut self, rng: &mut StdRng) {
        self.packets.shuffle(rng);
        self.streams.shuffle(rng);
    }

    /// Says everything again to `node`, whomever it was meant for.
    fn replay(&self, sim: &mut Sim, node: NodeId) {
        for packet in &self.packets {
            sim.inject(packet.from, node, packet.payload.clone());
        }
        for (from, bytes) in &self.streams {
            sim.with(node, |endpoint, now| {
                let Some(stream) = endpoint.handle_accepted(now, *from) else { return };
                endpoint.handle_stream_data(now, stream, bytes);
                endpoint.handle_stream_end(now, stream, None);
            });
        }
    }
}

/// A cluster in which everything there is to say was said and recorded.
fn recorded_story(seed: u64) -> (World, Recording) {
    let mut world = World::new(seed, Seal::Session, 4);
    world.sim.record();
    world.sim.run_for(Duration::from_secs(20));
    for number in 0..10 {
        world.fire(number % 4, &format!("event-{number}"));
        let params = QueryParams { name: "uptime".to_owned(), ack: true, ..QueryParams::default() };
        world.sim.with(NodeId(number % 4), |endpoint, now| endpoint.query(now, params)).unwrap().unwrap();
        let tags = Tags::from([("number".to_owned(), number.to_string())]);
        world.sim.with(NodeId(2), |endpoint, now| endpoint.set_tags(now, &tags)).unwrap().unwrap();
        world.sim.run_for(Duration::from_secs(1));
    }
    world.sim.with(NodeId(3), |endpoint, now| endpoint.leave(now));
    world.sim.run_for(Duration::from_secs(10));
    world.start(NodeId(3));
    world.sim.join(NodeId(3), &[NodeId(0)]);
    world.sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Alive, 4)).expect("it is back");
    world.sim.run_for(Duration::from_secs(40));
    let recording = Recording::of(world.sim.take_recording());
    assert!(recording.packets.len() > 300 && recording.streams.len() > 10, "there is something to say again");
    (world, recording)
}

/// Says everything again to everybody, in order and shuffled, and lets whatever that causes happen.
fn assert_replays_change_nothing(world: &mut World, recording: &mut Recording) {
    let before = world.state();
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..3 {
        world.sim.take_notes();
        for node in world.sim.nodes() {
            recording.replay(&mut world.sim, node);
        }
        assert_eq!(world.state(), before);
        world.sim.run_for(Duration::from_secs(3));
        assert_eq!(world.state(), before);
        let told: Vec<_> = world.sim.take_notes().into_iter().collect();
        assert!(told.is_empty(), "{told:?}");
        recording.shuffle(&mut rng);
    }
    for node in world.sim.nodes() {
        let drops = world.sim.endpoint(node).unwrap().drops();
        let refused = [Drop::Replayed, Drop::TooOld, Drop::OtherSession, Drop::Own].map(|reason| drops.get(reason));
        assert!(refused.iter().sum::<u64>() as usize >= 2 * recording.packets.len(), "{refused:?}");
    }
}

#[test]
fn every_recorded_packet_and_stream_again_in_order_and_shuffled_at_every_member_changes_nothing() {
    for seed in 0..3 {
        let (mut world, mut recording) = recorded_story(seed);
        assert_replays_change_nothing(&mut world, &mut recording);
    }
}

#[test]
fn every_recorded_packet_and_stream_again_after_the_receivers_restart_changes_nothing() {
    for seed in 10..13 {
        let (mut world, mut recording) = recorded_story(seed);
        for node in [NodeId(1), NodeId(2)] {
            world.start(node);
            let alone = world.state();
            recording.replay(&mut world.sim, node);
            assert_eq!(world.state(), alone, "it still knows only itself");
            world.sim.join(node, &[NodeId(0)]);
        }
        world.sim.run_until_true(Duration::from_secs(60), |sim| all_see(sim, Status::Alive, 4)).expect("they are back");
        world.sim.run_for(Duration::from_secs(60));
        assert_replays_change_nothing(&mut world, &mut recording);
    }
}

/// A cluster, one of which goes on from what it was `age` ago.
fn resumed(seed: u64, seal: Seal, count: usize, age: Duration) -> World {
    let [mut world, mut earlier] = [(); 2].map(|()| World::new(seed, seal, count));
    for world in [&mut world, &mut earlier] {
        world.sim.run_for(Duration::from_secs(60));
    }
    world.sim.run_for(age);
    assert!(all_see(&world.sim, Status::Alive, count));
    let image = earlier.sim.hosts[RESUMED.0].endpoint.take().expect("it runs");
    // Nothing is as it was for the operating system's generator.
    earlier.draws.store(1 << 32, Ordering::Relaxed);
    world.sim.install(RESUMED, image);
    world.sim.take_notes();
    world
}

const RESUMED: NodeId = NodeId(1);

fn is_failure(note: &Note) -> bool {
    matches!(&note.output, Output::Member(event) if event.kind == crate::serf::MemberEventKind::Failed)
}

/// When the others have an event that it fires from the first moment on, again and again.
fn heard_after(world: &mut World) -> Option<Duration> {
    let start = world.sim.now();
    (0..200).find_map(|number| {
        world.fire(RESUMED.0, &format!("event-{number}"));
        world.sim.run_for(Duration::from_millis(50));
        let notes = world.sim.take_notes();
        assert!(!notes.iter().any(is_failure), "nobody takes it for dead");
        let hears = |note: &&Note| matches!(&note.output, Output::Event(Event::User(_))) && note.node != RESUMED;
        let hearing: HashSet<_> = notes.iter().filter(hears).map(|note| note.node).collect();
        (hearing.len() == 3).then(|| world.sim.now().since(start))
    })
}

#[test]
fn a_process_resumed_from_a_memory_image_is_heard_again_within_five_seconds() {
    for seal in [Seal::Auto, Seal::Session] {
        for (seed, age) in (0..16).zip([1, 10, 60, 600].into_iter().cycle()) {
            let mut world = resumed(seed, seal, 4, Duration::from_secs(age));
            let took = heard_after(&mut world);
            let soon = took.is_some_and(|took| took < Duration::from_secs(5));
            assert!(soon, "seed {seed}, {seal:?}, image {age} s old: {took:?}");
            assert!(all_see(&world.sim, Status::Alive, 4));
        }
    }
}

/// With one peer every counter was seen; with more, each has seen its share of the last 2048 and hears the others at once.
#[test]
fn a_process_resumed_from_a_memory_image_draws_its_session_anew_within_five_seconds() {
    for seal in [Seal::Auto, Seal::Session] {
        for seed in 0..16 {
            let mut world = resumed(seed, seal, 2, Duration::from_secs(120));
            let session = |sim: &Sim| sim.endpoint(RESUMED).and_then(Endpoint::session);
            let before = session(&world.sim);
            let took = world.sim.run_until_true(Duration::from_secs(5), |sim| session(sim) != before);
            assert!(took.is_some(), "seed {seed}, {seal:?}: {took:?}");
            world.sim.run_for(Duration::from_secs(60));
            assert!(all_see(&world.sim, Status::Alive, 2));
            assert!(!world.sim.take_notes().iter().any(is_failure), "nobody took it for dead");
        }
    }
}

#[test]
fn a_process_resumed_from_a_memory_image_repeats_counters_but_no_nonce() {
    let counters = |sent: &[Recorded], at: std::ops::Range<usize>| {
        let own = Sim::identity(2).1;
        let packets = sent.iter().filter(|sent| sent.from == own && !sent.stream && is_session(&sent.payload));
        packets.map(|packet| packet.payload[at.clone()].to_vec()).collect::<Vec<_>>()
    };
    let [mut world, mut earlier] = [(); 2].map(|()| World::new(7, Seal::Session, 4));
    for world in [&mut world, &mut earlier] {
        world.sim.run_for(Duration::from_secs(60));
    }
    world.sim.record();
    world.sim.run_for(Duration::from_secs(60));
    earlier.draws.store(1 << 32, Ordering::Relaxed);
    let image = earlier.sim.hosts[2].endpoint.take().expect("it runs");
    world.sim.install(NodeId(2), image);
    world.sim.run_for(Duration::from_secs(60));
    let sent = world.sim.take_recording();
    // Form byte and three zeros apart, session, stir and counter; then the last alone.
    let (nonces, repeated) = (counters(&sent, 5..29), counters(&sent, 25..29));
    assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), nonces.len());
    assert!(repeated.iter().collect::<HashSet<_>>().len() < repeated.len(), "it was set back indeed");
}
