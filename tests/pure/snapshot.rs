//! The snapshot and the Serf layer together: what an agent knew, it knows again after any end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::serf::{Options, Output, QueryParams, Restored, Serf, Status};
use weir::snapshot::{Log, Replay, Rules, UnixTime, Write};
use weir::swim::{self, Node};
use weir::time::Instant;
use weir::wire::NodeName;
use weir::wire::message::Versions;
use weir::wire::serf::{Tags, encode_tags};

const HOUR: Duration = Duration::from_secs(3600);

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn node(name: &str, i: u8) -> Arc<Node> {
    let meta = encode_tags(&Tags::from([("role".into(), "web".into())]));
    let name = NodeName::new(name).unwrap();
    Arc::new(Node { name, addr: ([127, 0, 0, i], 7946).into(), meta, versions: Versions::OURS })
}

/// An agent's Serf layer with the log that follows it, and the file both write.
struct Agent {
    serf: Serf,
    log: Log,
    file: Vec<u8>,
    now: Instant,
    wall: UnixTime,
}

impl Agent {
    fn start(file: Vec<u8>, wall: UnixTime) -> Self {
        let rules = Rules { rejoin_after_leave: true, failed_for: 24 * HOUR, now: wall };
        let replay = Replay::read(&file, rules);
        let restored = Restored {
            clocks: replay.state.clocks(),
            failed: replay.state.failed_members(wall),
            ..Restored::default()
        };
        let now = at(0);
        let log = Log::new(node("me", 100).name.clone(), replay, file.len(), now);
        let rng = StdRng::seed_from_u64(1);
        let mut serf = Serf::new(Options::default(), node("me", 100), restored, rng, now);
        serf.handle_swim(now, &swim::Event::Joined(node("me", 100)));
        let mut agent = Self { serf, log, file, now, wall };
        agent.settle();
        agent
    }

    fn settle(&mut self) {
        while let Some(output) = self.serf.poll_output() {
            if let Output::Member(event) = output {
                self.log.member(self.wall, &event);
            }
        }
        self.log.clocks(self.now, self.serf.seen_clocks());
        self.write();
    }

    fn write(&mut self) {
        while let Some(write) = self.log.poll_write(self.now) {
            match write {
                Write::Append(bytes) => self.file.extend(bytes),
                Write::Sync => {}
                Write::Replace(bytes) => self.file = bytes,
            }
        }
    }

    fn swim(&mut self, event: &swim::Event) {
        self.serf.handle_swim(self.now, event);
        self.settle();
    }

    fn joined(&mut self, name: &str, i: u8) {
        self.swim(&swim::Event::Joined(node(name, i)));
    }

    fn failed(&mut self, name: &str) {
        let node = self.serf.member(name).unwrap().node.clone();
        self.swim(&swim::Event::Gone { node, left: false });
    }

    fn second_passes(&mut self) {
        self.now += Duration::from_secs(1);
        self.wall.0 += 1;
        self.log.handle_timeout(self.now);
        self.write();
    }

    fn dials(&self) -> Vec<String> {
        let own = self.serf.local().name.clone();
        self.log.state().dial_order(&own).iter().map(|peer| peer.name.as_str().to_owned()).collect()
    }
}

#[test]
fn a_killed_agent_knows_whom_to_dial_and_who_had_failed() {
    let mut agent = Agent::start(Vec::new(), UnixTime(1_000_000));
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        agent.joined(name, i as u8 + 1);
    }
    agent.failed("b");
    let file = agent.file.clone();
    let again = Agent::start(file, UnixTime(1_000_000 + 3600));
    assert_eq!(again.dials(), ["c", "a", "b"]);
    let member = again.serf.member("b").unwrap();
    assert_eq!((member.status, member.tags()), (Status::Failed, Tags::from([("role".into(), "web".into())])));
    assert!(again.serf.member("a").is_none(), "the others are there once they answer");
}

#[test]
fn clocks_go_on_where_they_were() {
    let mut agent = Agent::start(Vec::new(), UnixTime(1_000_000));
    agent.joined("a", 1);
    for _ in 0..7 {
        agent.serf.user_event(agent.now, "e", Bytes::new(), false).unwrap();
    }
    agent.serf.query(agent.now, QueryParams { name: "q".into(), ..QueryParams::default() }).unwrap();
    agent.serf.joined(agent.now);
    agent.settle();
    agent.second_passes();
    let again = Agent::start(agent.file.clone(), agent.wall);
    let (before, after) = (agent.serf.stats(), again.serf.stats());
    assert_eq!(
        (after.member_time, after.event_time, after.query_time),
        (before.member_time, before.event_time, before.query_time)
    );
}

#[test]
fn all_members_down_for_hours_are_dialled_by_each_other() {
    let mut agent = Agent::start(Vec::new(), UnixTime(1_000_000));
    agent.joined("a", 1);
    agent.joined("b", 2);
    agent.failed("a");
    agent.failed("b");
    let file = agent.file;
    for (hours, known) in [(1, 2), (23, 2), (24, 0)] {
        let again = Agent::start(file.clone(), UnixTime(1_000_000 + hours * 3600));
        assert_eq!((again.dials().len(), again.serf.member_count()), (known, known + 1), "after {hours} h");
    }
}

#[test]
fn a_snapshot_of_the_reference_is_taken_over_and_continued() {
    let serf = b"alive: n1 127.0.77.1:7946\nalive: n2 127.0.77.2:7946\nclock: 17\nevent-clock: 4\nquery-clock: 12\n";
    let mut agent = Agent::start(serf.to_vec(), UnixTime(1_000_000));
    assert_eq!(agent.dials(), ["n2", "n1"]);
    assert_eq!(agent.serf.stats().member_time.get(), 18);
    agent.joined("n3", 3);
    let again = Agent::start(agent.file, UnixTime(1_000_001));
    assert_eq!(again.dials(), ["n3", "n2", "n1"]);
    assert_eq!(again.serf.stats().query_time.get(), 13);
}

proptest! {
    /// Whatever happens and wherever it is killed, an agent knows what the file said at the last whole record.
    #[test]
    fn killed_anywhere_during_churn_it_starts_again(
        changes in prop::collection::vec((0u8..6, any::<bool>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut agent = Agent::start(Vec::new(), UnixTime(1_000_000));
        let mut lengths = vec![(agent.file.len(), agent.dials())];
        for (who, comes) in changes {
            let name = format!("n{who}");
            match (comes, agent.serf.member(&name).is_some()) {
                (true, _) => agent.joined(&name, who),
                (false, true) => agent.failed(&name),
                (false, false) => {}
            }
            agent.second_passes();
            lengths.push((agent.file.len(), agent.dials()));
        }
        let first = lengths[0].0;
        let cut = first + cut.index(agent.file.len() - first + 1);
        let again = Agent::start(agent.file[..cut].to_vec(), agent.wall);
        let (_, expected) = lengths.iter().rfind(|(len, _)| *len <= cut).unwrap();
        let dials = again.dials();
        // A record written after the last whole step may be in the file too.
        let next = lengths.iter().find(|(len, _)| *len > cut).map(|(_, dials)| dials);
        prop_assert!(&dials == expected || Some(&dials) == next, "{:?} {:?} {:?}", dials, expected, next);
    }
}
