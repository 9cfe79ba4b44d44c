//! How many reloads many changes cost.

use super::*;

const PATIENT: settle::Options = settle::Options { min_reload_interval: Duration::from_secs(10), ..SETTLE };
/// A test, a reload and its confirmation.
const APPLY: u64 = 150;

/// A balancer with an applier that takes its time.
struct Site {
    balancer: Balancer,
    ends: Option<u64>,
    reloads: usize,
}

impl Site {
    fn new(upstreams: Vec<Options>, settle: settle::Options) -> Self {
        let mut balancer = Balancer::new(upstreams, settle, 7, None, Holds::default(), at(0));
        balancer.handle_first_view(at(0));
        Self { balancer, ends: None, reloads: 0 }
    }

    fn run(&mut self, until: u64) {
        loop {
            let due = due(&self.balancer);
            let Some(now) = self.ends.into_iter().chain(due).min().filter(|now| *now <= until) else { break };
            if self.ends == Some(now) {
                self.ends = None;
                self.balancer.handle_applied(at(now), LIVE, &[]);
            }
            self.balancer.handle_timeout(at(now));
            while let Some(output) = self.balancer.poll_output() {
                if matches!(output, Output::Apply { .. }) {
                    self.reloads += 1;
                    self.ends = Some(now + APPLY);
                }
            }
        }
        self.balancer.handle_timeout(at(until));
    }

    fn serving(&self) -> usize {
        self.balancer.upstreams()[0].live().map_or(0, |live| live.serving().count())
    }
}

fn alive(count: u8) -> Vec<Candidate> {
    members(&(1..=count).map(|number| (number, Gossip::Alive)).collect::<Vec<_>>())
}

/// Complete, with one server in place since long.
fn site(upstreams: Vec<Options>, settle: settle::Options) -> Site {
    let mut site = Site::new(upstreams, settle);
    site.balancer.handle_members(at(0), alive(1));
    site.run(60_000);
    assert_eq!(site.serving(), 1);
    site.reloads = 0;
    site
}

#[test]
fn twenty_joins_one_after_the_other_cost_three_reloads_beyond_the_first() {
    let mut site = site(vec![options("web")], PATIENT);
    for joined in 1..=20_u8 {
        let now = 60_000 + u64::from(joined) * 1200;
        site.run(now);
        site.balancer.handle_members(at(now), alive(1 + joined));
    }
    site.run(120_000);
    assert_eq!(site.serving(), 21);
    assert!(site.reloads <= 4, "{}", site.reloads);
}

#[test]
fn twenty_joins_at_once_cost_two_reloads() {
    for settle in [SETTLE, PATIENT] {
        let mut site = site(vec![options("web")], settle);
        for joined in 1..=20_u8 {
            let now = 60_000 + u64::from(joined) * 7;
            site.run(now);
            site.balancer.handle_members(at(now), alive(1 + joined));
        }
        site.run(120_000);
        assert_eq!(site.serving(), 21);
        assert!(site.reloads <= 2, "{}", site.reloads);
    }
}

#[test]
fn a_thousand_changes_of_tags_in_a_minute_cost_twelve_reloads() {
    let mut site = site(vec![options("web")], PATIENT);
    for change in 1..=1000_u64 {
        let now = 60_000 + change * 60;
        site.run(now);
        let weight = (change % 7 + 1).to_string();
        let changed = [member(1, Gossip::Alive, &[("role", "web")]), {
            member(2, Gossip::Alive, &[("role", "web"), ("weight", &weight)])
        }];
        site.balancer.handle_members(at(now), changed.to_vec());
    }
    site.run(180_000);
    let live = site.balancer.upstreams()[0].live().unwrap();
    let weights: Vec<u16> = live.serving().map(|server| server.weight.get()).collect();
    assert_eq!(weights, [1, 1000 % 7 + 1]);
    assert!(site.reloads <= 12, "{}", site.reloads);
}

#[test]
fn several_upstreams_that_change_together_cost_one_reload() {
    let select = |name: &str| Options { name: UpstreamName::new(name).unwrap(), ..options("web") };
    let mut site = site(vec![select("web"), select("api"), select("static")], SETTLE);
    site.balancer.handle_members(at(60_000), alive(3));
    site.run(70_000);
    assert_eq!((site.serving(), site.reloads), (3, 1));
}
