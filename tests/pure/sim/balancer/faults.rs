//! Many lives of a balancer, drawn from seeds: deeds of the network, of machines and of operators, under an `apply` that fails
//! as it comes. What must hold of every step is in `world`; after calm what is in place is what is decided, and the truth.
//!
//! `WEIR_SIM_SEED`, `WEIR_SIM_SEEDS` and `WEIR_SIM_FIRST` work as for the cluster's runs.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use weir::sim::{Network, NodeId};
use weir::upstream::OnEmpty;
use weir::wire::serf::Tags;

use super::super::coverage::Coverage;
use super::super::from_env;
use super::nginx::Mood;
use super::world::{BALANCER, World, upstream};

/// Seeds of a run without `WEIR_SIM_SEEDS`.
const SEEDS: u64 = 40;

/// Calm after which everything must be in place: the dead are found by a try to reach them each 5 s, an apply that goes on failing
/// is tried again after ten minutes at most.
const AGREEMENT: Duration = Duration::from_secs(20 * 60);

/// A set of runs that never met one of these proves less than it says.
const WANTED: &[&str] = &[
    "applies live",
    "applies unchanged",
    "applies stored",
    "applies refused",
    "applies rolled back",
    "agents killed within an apply",
    "members left out",
    "placeholders",
    "modes floor",
    "modes last",
    "modes back to normal",
    "deed kill",
    "deed start",
    "deed leave",
    "deed pause",
    "deed partition",
    "deed network",
    "deed tags",
    "deed configuration",
    "deed restart of the balancer",
    "deed hold",
    "deed release",
    "applies of held upstreams",
];

#[test]
fn a_balancer_keeps_its_word_under_faults_and_is_right_after_calm() {
    let (first, end) = match from_env("WEIR_SIM_SEED") {
        Some(seed) => (seed, seed + 1),
        None => {
            let first = from_env("WEIR_SIM_FIRST").unwrap_or(0);
            (first, first + from_env("WEIR_SIM_SEEDS").unwrap_or(SEEDS))
        }
    };
    let mut coverage = Coverage::default();
    for seed in first..end {
        let mut life = Life::new(seed);
        if let Err(failure) = life.run() {
            let story = life.story.join("\n  ");
            let replay = format!("WEIR_SIM_SEED={seed} cargo test --test pure balancer_keeps_its_word");
            panic!("seed {seed}: {failure}\n  {story}\nreplay: {replay}");
        }
        coverage.add(&life.world.coverage);
    }
    println!("{coverage}");
    let missing = coverage.missing(WANTED);
    assert!(end - first < SEEDS || missing.is_empty(), "these seeds never exercised: {missing:?}");
}

struct Life {
    world: World,
    story: Vec<String>,
    backends: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, 8);
        let backends = world.rng.random_range(1..=8);
        Self { world, story: Vec::new(), backends }
    }

    fn run(&mut self) -> Result<(), String> {
        self.form()?;
        for _ in 0..self.world.rng.random_range(20..60) {
            self.do_something();
            let pause = Duration::from_millis(self.world.rng.random_range(0..6000));
            self.world.advance(pause)?;
        }
        self.calm_down()
    }

    fn form(&mut self) -> Result<(), String> {
        for node in 1..=self.backends {
            let role = self.draw_role();
            self.world.start(NodeId(node), role);
            let pause = Duration::from_millis(self.world.rng.random_range(0..300));
            self.world.advance(pause)?;
        }
        self.world.start(BALANCER, "lb");
        self.world.advance(Duration::from_secs(1))?;
        if self.world.rng.random_bool(0.8) {
            self.world.nginx.mood = Mood::Rough;
        }
        Ok(())
    }

    fn draw_role(&mut self) -> &'static str {
        if self.world.rng.random_bool(0.7) { "web" } else { "api" }
    }

    fn draw_backend(&mut self, running: bool) -> Option<NodeId> {
        let is = |node: &NodeId| self.world.sim.endpoint(*node).is_some() == running;
        let nodes: Vec<NodeId> = (1..=self.backends).map(NodeId).filter(is).collect();
        nodes.choose(&mut self.world.rng).copied()
    }

    fn tell(&mut self, deed: &str, detail: &str) {
        self.world.coverage.count(&format!("deed {deed}"));
        self.story.push(format!("{:>9.3} s  {deed} {detail}", self.world.sim.now().as_nanos() as f64 / 1e9 - 3600.0));
    }

    fn do_something(&mut self) {
        let deed = self.world.rng.random_range(0..110);
        let (running, down) = (self.draw_backend(true), self.draw_backend(false));
        match (deed, running, down) {
            (0..=14, Some(node), _) => {
                self.tell("kill", &node.0.to_string());
                self.world.kill(node);
            }
            (15..=39, _, Some(node)) => {
                let role = self.draw_role();
                self.tell("start", &format!("{} as {role}", node.0));
                self.world.start(node, role);
            }
            (40..=47, Some(node), _) => {
                self.tell("leave", &node.0.to_string());
                self.world.leave(node);
            }
            (48..=55, Some(node), _) => {
                self.tell("pause", &node.0.to_string());
                self.world.sim.pause(node);
            }
            (56..=60, _, _) => self.partition(),
            (61..=70, _, _) => self.heal(),
            (71..=76, _, _) => self.change_network(),
            (77..=82, Some(node), _) => self.change_tags(node),
            (83..=89, _, _) => self.change_configuration(),
            (90..=95, _, _) => self.restart_balancer(),
            (96..=101, _, _) => self.hold(),
            (102..=105, _, _) => self.release(),
            _ => self.change_nginx(),
        }
    }

    fn partition(&mut self) {
        let mut parts = Vec::new();
        for node in self.world.sim.nodes() {
            let group = self.world.rng.random_range(0..2);
            self.world.sim.set_group(node, group);
            parts.push(group.to_string());
        }
        self.tell("partition", &parts.concat());
    }

    fn heal(&mut self) {
        for node in self.world.sim.nodes() {
            self.world.sim.set_group(node, 0);
            if self.world.sim.is_paused(node) {
                self.world.sim.resume(node);
            }
        }
        self.tell("heal", "");
    }

    fn change_network(&mut self) {
        let loss = self.world.rng.random_range(0.0..0.4);
        let jitter = Duration::from_micros(self.world.rng.random_range(0..50_000));
        self.world.sim.set_network(Network { loss, jitter, ..Network::default() });
        self.tell("network", &format!("loses {loss:.2}"));
    }

    fn change_tags(&mut self, node: NodeId) {
        let mut tags = Tags::from([("role".to_owned(), self.draw_role().to_owned())]);
        let port = *["80", "8080", "80;", "0", "99999"].choose(&mut self.world.rng).expect("not empty");
        let weight = *["1", "2", "x", "0"].choose(&mut self.world.rng).expect("not empty");
        tags.insert("port".to_owned(), port.to_owned());
        tags.insert("weight".to_owned(), weight.to_owned());
        self.tell("tags", &format!("{} {tags:?}", node.0));
        self.world.sim.with(node, |endpoint, now| endpoint.set_tags(now, &tags));
    }

    fn change_configuration(&mut self) {
        let roles: &[&str] =
            [&["web"][..], &["web", "api"], &["api", "web"]].choose(&mut self.world.rng).expect("not empty");
        self.world.upstreams = roles.iter().map(|role| upstream(role)).collect();
        for upstream in &mut self.world.upstreams {
            upstream.policy.on_empty = if self.world.rng.random_bool(0.3) { OnEmpty::Error } else { OnEmpty::Keep };
        }
        self.world.settle.min_reload_interval = Duration::from_secs(self.world.rng.random_range(0..5));
        self.tell("configuration", &format!("{roles:?}"));
        self.world.reconfigure();
    }

    fn restart_balancer(&mut self) {
        self.tell("restart of the balancer", "");
        self.world.kill(BALANCER);
        self.world.start(BALANCER, "lb");
    }

    fn hold(&mut self) {
        let role = self.draw_role();
        self.tell("hold", role);
        self.world.hold(role);
    }

    fn release(&mut self) {
        self.tell("release", "");
        self.world.release();
    }

    fn change_nginx(&mut self) {
        let mood =
            *[Mood::Fine, Mood::Refusing, Mood::Stopped, Mood::Rough].choose(&mut self.world.rng).expect("not empty");
        self.world.nginx.mood = mood;
        self.tell("nginx", &format!("{mood:?}"));
    }

    fn calm_down(&mut self) -> Result<(), String> {
        self.world.sim.set_network(Network::default());
        self.heal();
        self.world.nginx.mood = Mood::Fine;
        self.world.release();
        // Tags that keep somebody out would be a truth of their own.
        for node in (1..=self.backends).map(NodeId) {
            let role = self.draw_role();
            let tags = Tags::from([("role".to_owned(), role.to_owned())]);
            self.world.sim.with(node, |endpoint, now| endpoint.set_tags(now, &tags));
            // Who found nobody when it started is an island.
            if self.world.sim.endpoint(node).is_some() {
                self.world.sim.join(node, &[BALANCER]);
            }
        }
        self.tell("calm", "");
        // Until then the last deaths are noticed, also where nobody else is left by whom to see it.
        self.world.advance(Duration::from_secs(120))?;
        let start = self.world.sim.now();
        while let Some(what) = self.world.disagreement() {
            if self.world.sim.now().since(start) > AGREEMENT {
                return Err(format!("after {} s of calm {what}", AGREEMENT.as_secs()));
            }
            self.world.advance(Duration::from_secs(1))?;
        }
        let asked = self.world.asked;
        self.world.advance(Duration::from_secs(100))?;
        match self.world.disagreement() {
            Some(what) => Err(format!("in the middle of calm {what}")),
            None if self.world.asked > asked => Err("an apply is asked for in the middle of calm".to_owned()),
            None => Ok(()),
        }
    }
}
