//! What a seed decides before anything happens: the cluster, its settings and how rough it will be.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir::crypto::{Key, Keyring};
use weir::endpoint::{Options, Seal};
use weir::serf::Window;
use weir::swim::{self, Profile};

/// Mixtures that can talk to each other.
const SEALS: [&[Seal]; 5] = [
    &[Seal::Auto],
    &[Seal::Session],
    &[Seal::Memberlist],
    &[Seal::Auto, Seal::Memberlist],
    &[Seal::Auto, Seal::Session],
];

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) profile: Profile,
    pub(crate) encrypted: bool,
    /// The envelopes of the nodes, in turn.
    pub(crate) seals: &'static [Seal],
    pub(crate) compression: bool,
    pub(crate) label: &'static str,
    pub(crate) coalescing: bool,
    /// Whether restarted nodes may come back at another address.
    pub(crate) moves: bool,
    /// Whether all nodes join at once, or one after the other.
    pub(crate) burst: bool,
    /// Replaces the profile's pause between exchanges of full state.
    push_pull: Option<Duration>,
    /// Replaces the profile's time that the dead are remembered.
    remember_dead: Option<Duration>,
    reconnect: Duration,
    /// When a dead member's name may be taken at another address; zero is never.
    reclaim: Duration,
    tcp_pings: bool,
    /// Number of deeds, faults and wishes of operators, before calm returns.
    pub(crate) deeds: usize,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = match rng.random_range(0..200) {
            0..=129 => rng.random_range(3..10),
            130..=181 => rng.random_range(10..25),
            182..=197 => rng.random_range(25..=60),
            _ => rng.random_range(200..=1000),
        };
        let profile = match rng.random_range(0..10) {
            0..=5 => Profile::Lan,
            6..=8 => Profile::Local,
            _ => Profile::Wan,
        };
        let large = nodes >= 200;
        let seconds = |value: u64| Duration::from_secs(value);
        Self {
            seed,
            nodes,
            profile: if large { Profile::Lan } else { profile },
            // Ciphers are what an unoptimised run spends its time with.
            encrypted: rng.random_bool(if nodes < 25 { 0.5 } else { 0.25 }),
            // A thousand nodes take a thousand probes to learn each other's sessions.
            seals: if large { &[Seal::Memberlist] } else { SEALS.choose(&mut rng).expect("not empty") },
            compression: rng.random_bool(0.7),
            label: if rng.random_bool(0.2) { "sim" } else { "" },
            coalescing: rng.random_bool(0.3),
            burst: rng.random_bool(0.5),
            moves: !large && rng.random_bool(0.2),
            reclaim: seconds(if rng.random_bool(0.5) { 10 } else { 0 }),
            push_pull: rng.random_bool(0.5).then(|| seconds(10)),
            remember_dead: rng.random_bool(0.3).then(|| seconds(rng.random_range(3..15))),
            reconnect: *[seconds(5), seconds(30)].choose(&mut rng).expect("not empty"),
            tcp_pings: rng.random_bool(0.7),
            deeds: if large { 6 } else { rng.random_range(if nodes < 25 { 10..60 } else { 8..30 }) },
        }
    }

    /// Whether so many nodes take part that work per node and step must be rare.
    pub(crate) fn is_large(&self) -> bool {
        self.nodes >= 200
    }

    pub(crate) fn swim(&self) -> swim::Options {
        let options = swim::Options::profile(self.profile);
        swim::Options {
            push_pull_interval: self.push_pull.unwrap_or(options.push_pull_interval),
            gossip_to_the_dead: self.remember_dead.unwrap_or(options.gossip_to_the_dead),
            tcp_pings: self.tcp_pings,
            dead_node_reclaim: self.reclaim,
            ..options
        }
    }

    /// What a node that is set up anew may seal with, and the others still talk to.
    pub(crate) fn alternatives(&self) -> &'static [Seal] {
        let has = |seal| self.seals.contains(&seal);
        match (has(Seal::Session), has(Seal::Memberlist)) {
            (true, _) => &[Seal::Auto, Seal::Session],
            (false, true) => &[Seal::Auto, Seal::Memberlist],
            (false, false) => &[Seal::Auto, Seal::Auto, Seal::Memberlist],
        }
    }

    pub(crate) fn configure(&self, options: &mut Options) {
        options.swim = self.swim();
        options.label = Bytes::from_static(self.label.as_bytes());
        options.compression = self.compression;
        options.serf.gossip_interval = options.swim.gossip_interval;
        options.serf.retransmit_mult = options.swim.retransmit_mult;
        options.serf.reconnect_interval = self.reconnect;
        let window = Window { period: Duration::from_secs(3), quiescence: Duration::from_secs(1) };
        options.serf.user_coalescing = self.coalescing.then_some(window);
        options.serf.member_coalescing = self.coalescing.then_some(window);
    }

    pub(crate) fn keyring(&self) -> Option<Keyring> {
        self.encrypted.then(|| Keyring::new(Key::new(&[7; 32]).expect("32 bytes"), []))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, profile, encrypted, compression, label, coalescing, burst, moves, deeds, .. } = self;
        let Self { seals, push_pull, remember_dead, reconnect, reclaim, tcp_pings, .. } = self;
        write!(
            f,
            "plan {seed}: {nodes} nodes, {profile:?}, encrypted {encrypted} by {seals:?}, compression {compression}, label {label:?}, \
             coalescing {coalescing}, burst {burst}, moves {moves} reclaim {reclaim:?}, push/pull {push_pull:?}, remember dead {remember_dead:?}, \
             reconnect {reconnect:?}, tcp pings {tcp_pings}, {deeds} deeds"
        )
    }
}
