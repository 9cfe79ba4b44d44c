//! SIGKILL at random instants. Each time the file that is found on disk is judged, and the next run has to live up to it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir::snapshot::{COMPACT_BYTES, Format, State};
use weir::wire::serf::Tags;

use super::churn::{come_and_go, say, talk};
use super::watch::Watch;
use super::{disk, settings};
use crate::support::{Agent, Kind};

/// Kills without `RESTART_KILLS`, which `make test` sets to 200: enough to meet everything that is tallied.
const KILLS: usize = 50;
const VICTIMS: usize = 5;
const ANCHORS: [&str; 2] = ["anchor-0", "anchor-1"];
/// Draws every instant, whatever the machine then makes of it.
const SEED: u64 = 1;

/// What the kills met. A run that met none of something proves nothing about it.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    kills: usize,
    /// Killed while it started.
    early: usize,
    rejoined: usize,
    /// The file was written anew by the life that was ended, and how often because it was mostly history.
    rewritten: usize,
    compacted: usize,
    damaged: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.early += other.early;
        self.rejoined += other.rejoined;
        self.rewritten += other.rewritten;
        self.compacted += other.compacted;
        self.damaged += other.damaged;
    }
}

#[test]
fn killed_at_random_instants_during_churn_an_agent_keeps_its_records_and_rejoins() {
    let wanted = std::env::var("RESTART_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let each = wanted.div_ceil(VICTIMS);
    let first = Agent::start(Kind::Weir, ANCHORS[0], settings());
    let second = Agent::start(Kind::Weir, ANCHORS[1], settings().join(first.gossip));
    let prepare = |name: String| Agent::prepare(Kind::Weir, &name, settings().tag("step", "0").join(first.gossip));
    let mut victims: Vec<_> =
        (0..VICTIMS).map(|at| Victim::new(prepare(format!("victim-{at}")), at, &second)).collect();
    let mut guest = prepare("guest".to_owned());
    let stop = AtomicBool::new(false);
    let (outcomes, came) = std::thread::scope(|scope| {
        let talking = [&first, &second].map(|agent| scope.spawn(|| talk(agent, &stop)));
        let guest = scope.spawn(|| come_and_go(&mut guest, SEED, &stop));
        let lives: Vec<_> = victims.iter_mut().map(|victim| scope.spawn(|| victim.live(each))).collect();
        let outcomes: Vec<_> = lives.into_iter().map(|life| life.join()).collect();
        stop.store(true, Ordering::Relaxed);
        talking.into_iter().for_each(|talk| talk.join().unwrap());
        (outcomes, guest.join().unwrap())
    });
    let mut tally = Tally::default();
    outcomes.into_iter().for_each(|outcome| tally += outcome.unwrap());
    println!("{tally:?}, the guest came {came} times");
    let Tally { kills, early, rejoined, rewritten, compacted, damaged } = tally;
    assert_eq!(kills, each * VICTIMS);
    assert!(rejoined > kills / 3 && [early, rewritten, compacted, damaged, came].iter().all(|n| *n > 0), "{tally:?}");

    victims.iter_mut().for_each(|victim| victim.agent.run());
    let names: Vec<_> = (0..VICTIMS).map(|at| format!("victim-{at}")).collect();
    let everybody: Vec<_> = names.iter().map(String::as_str).chain(ANCHORS).collect();
    for agent in [&first, &second].into_iter().chain(victims.iter().map(|victim| &victim.agent)) {
        Watch::connect(agent.rpc).await_alive(&everybody);
    }
}

struct Victim {
    agent: Agent,
    rng: StdRng,
    anchor: std::net::SocketAddr,
    /// The last value of the tag `step` that was asked for.
    step: u64,
    tally: Tally,
}

/// A file as it was found.
struct Found {
    bytes: Vec<u8>,
    inode: u64,
}

impl Victim {
    fn new(agent: Agent, at: usize, anchor: &Agent) -> Self {
        let rng = StdRng::seed_from_u64(SEED * 1000 + at as u64);
        Self { agent, rng, anchor: anchor.rpc, step: 0, tally: Tally::default() }
    }

    /// Joins once by its configuration, and from then on is left with what it wrote.
    fn live(&mut self, kills: usize) -> Tally {
        self.agent.run();
        Watch::connect(self.agent.rpc).await_alive(&ANCHORS);
        self.agent.options_mut().join.clear();
        disk::await_alive(&self.agent, &ANCHORS);
        self.die();
        while self.tally.kills < kills {
            self.meddle();
            let (known, start) = (disk::state(&self.agent), self.found());
            self.agent.spawn();
            if self.rng.random_ratio(1, 4) {
                self.tally.early += 1;
                self.pass(150);
            } else {
                self.rejoin(&known);
                self.churn();
            }
            self.die();
            self.count_rewritten(&start);
        }
        self.tally
    }

    /// It is back among the anchors, with what the file said it had.
    fn rejoin(&mut self, known: &State) {
        let name = self.agent.name.clone();
        let mut own = Watch::connect(self.agent.rpc);
        own.await_alive(&ANCHORS);
        let step = step(known).to_string();
        own.await_tag(&name, ("step", &step));
        Watch::connect(self.anchor).await_tag(&name, ("step", &step));
        let clocks = known.clocks();
        for (figure, least) in [
            ("member_time", clocks.member.get()),
            ("event_time", clocks.event.get()),
            ("query_time", clocks.query.get()),
        ] {
            assert!(own.figure(figure) > least, "{name}: {figure} fell below {least}");
        }
        self.tally.rejoined += 1;
    }

    /// Sets tags and says other things for a while.
    fn churn(&mut self) {
        let mut own = Watch::connect(self.agent.rpc);
        let end = Instant::now() + Duration::from_millis(self.rng.random_range(0..250));
        while Instant::now() < end {
            self.step += 1;
            let tag = Tags::from([("step".to_owned(), self.step.to_string())]);
            own.ask(async |client| client.tags(tag, Vec::new()).await).unwrap();
            say(&mut own, self.step).unwrap();
            self.pass(30);
        }
    }

    /// Lets a random time pass, of at most `ms` milliseconds.
    fn pass(&mut self, ms: u64) {
        std::thread::sleep(Duration::from_micros(self.rng.random_range(0..ms * 1000)));
    }

    fn die(&mut self) {
        let before = self.found();
        self.pass(10);
        self.agent.kill();
        self.tally.kills += 1;
        let after = self.found();
        self.judge(&before, &after);
    }

    /// The file after the kill says all that it said before, and nothing that was never true.
    fn judge(&mut self, before: &Found, after: &Found) {
        let name = &self.agent.name;
        let (was, is) = (disk::read(&before.bytes), disk::read(&after.bytes));
        if after.inode == before.inode {
            assert!(after.bytes.starts_with(&before.bytes), "{name}: what was written is gone");
        }
        assert_eq!(is.format, Format::Weir, "{name}");
        // Damage of ours that the agent had no time to mend may still be there; its own can only be a torn last line.
        if let (Some(damage), None) = (is.damage, was.damage) {
            assert!(!after.bytes[damage.offset..].contains(&b'\n'), "{name}: {damage:?}");
        }
        for anchor in ANCHORS {
            assert!(knows(&is.state, anchor), "{name} has forgotten {anchor}");
        }
        assert!(is.state.incarnation() >= was.state.incarnation(), "{name}");
        assert!((step(&was.state)..=self.step).contains(&step(&is.state)), "{name}");
        let (was, is) = (was.state.clocks(), is.state.clocks());
        assert!(is.member >= was.member && is.event >= was.event && is.query >= was.query, "{name}: {was:?} {is:?}");
    }

    fn count_rewritten(&mut self, start: &Found) {
        let end = self.found();
        self.tally.rewritten += usize::from(end.inode != start.inode);
        self.tally.compacted +=
            usize::from(end.bytes.len() < start.bytes.len() && start.bytes.len() > COMPACT_BYTES / 2);
    }

    /// Now and then the file is brought near to the size at which it is written anew, or its end is damaged.
    fn meddle(&mut self) {
        let path = disk::path(&self.agent);
        match self.rng.random_range(0..8) {
            0 | 1 => {
                let line = self.found().bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().to_vec();
                let missing = COMPACT_BYTES.saturating_sub(self.found().bytes.len());
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(&line.repeat(missing / line.len())).unwrap();
            }
            2 => {
                self.tally.damaged += 1;
                let mut bytes = self.found().bytes;
                bytes.extend_from_slice(b"0badc0de alive nobo");
                fs::write(&path, bytes).unwrap();
            }
            3 => {
                // The last line may be a record that must not be lost; repeated, only the repetition is.
                self.tally.damaged += 1;
                let mut bytes = self.found().bytes;
                let line = bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().to_vec();
                bytes.extend_from_slice(&line);
                let at = bytes.len() - 1 - self.rng.random_range(0..line.len());
                bytes[at] ^= 1 << self.rng.random_range(0..8);
                fs::write(&path, bytes).unwrap();
            }
            _ => {}
        }
    }

    fn found(&self) -> Found {
        // A file that is written anew is a whole one before and after.
        let path = disk::path(&self.agent);
        loop {
            let inode = fs::metadata(&path).unwrap().ino();
            let bytes = fs::read(&path).unwrap();
            if fs::metadata(&path).unwrap().ino() == inode {
                return Found { bytes, inode };
            }
        }
    }
}

fn knows(state: &State, name: &str) -> bool {
    state.peers().any(|peer| peer.name.as_str() == name)
}

fn step(state: &State) -> u64 {
    state.tags().and_then(|tags| tags.get("step")).map_or(0, |step| step.parse().unwrap())
}
