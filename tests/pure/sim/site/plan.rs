//! What a seed decides before anything happens: the site, its settings, and which kind of trouble it gets.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir::drain::Times;
use weir::health::{check, probe, query};
use weir::upstream::settle;
use weir::upstream::{MinHealthy, OnDead, OnEmpty, Options, SlowStart, TagPattern, UpstreamName};

/// Where `proxy_connect_timeout` and `proxy_read_timeout` are in the site example that is shipped.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long NGINX leaves a server alone that has failed once (`fail_timeout`), at most: in an upstream without a probe.
pub(crate) const FAIL_TIMEOUT: Duration = Duration::from_secs(10);
/// The same beside a probe as fast as all are here.
const FAIL_TIMEOUT_PROBED: Duration = Duration::from_secs(2);

/// What happens to a site. Each kind has promises of its own beside those that hold always.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// Operators drain, leave, restart and add, one web server after the other, on a sound network: no request fails or is tried
    /// twice.
    Deploy,
    /// Web servers die in every way, one after the other, and come back: no request fails or waits. Where no probe is configured that
    /// holds of a balancer's own network alone.
    Deaths,
    /// Everything at once.
    Rough,
}

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) balancers: usize,
    pub(crate) webs: usize,
    /// So many of them, the last ones, are backups.
    pub(crate) backups: usize,
    /// The last balancer runs Serf's agent, with scripts.
    pub(crate) scripts: bool,
    /// Nodes drain when others ask them to.
    pub(crate) remote: bool,
    pub(crate) upstreams: Vec<Options>,
    /// Of the upstreams that have a probe, by their place.
    pub(crate) probes: Vec<Option<probe::Plan>>,
    pub(crate) settle: settle::Options,
    pub(crate) health: query::Options,
    /// Whether web servers check themselves.
    pub(crate) checks: bool,
    pub(crate) times: Times,
    /// The agent applies in process, so that a job dies with it.
    pub(crate) direct: bool,
    /// From one request to the next on each balancer, on average.
    pub(crate) pause: Duration,
    /// Deeds before calm returns.
    pub(crate) deeds: usize,
}

impl Plan {
    pub(crate) fn draw(seed: u64, kind: Kind) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x517e);
        let rough = kind == Kind::Rough;
        let millis = Duration::from_millis;
        let upstreams = if rough && rng.random_bool(0.4) { &["web", "edge"][..] } else { &["web"] };
        let probed = |rng: &mut StdRng, upstream: &str| match kind {
            Kind::Deploy => rng.random_bool(0.5),
            Kind::Deaths => rng.random_bool(0.75),
            Kind::Rough => upstream == "web" && rng.random_bool(0.75),
        };
        let interval = if rough { *[100, 250, 1000].choose(&mut rng).expect("not empty") } else { 250 };
        let probes: Vec<_> = upstreams
            .iter()
            .map(|upstream| {
                probed(&mut rng, upstream).then(|| probe::Plan {
                    interval: millis(interval),
                    rise: 2,
                    fall: 2,
                    vouches: !rough || rng.random_bool(0.8),
                    port: None,
                })
            })
            .collect();
        let options = upstreams.iter().zip(&probes).map(|(upstream, probe)| {
            let mut options = upstream_of(upstream);
            options.probed = probe.is_some();
            if rough {
                vary(&mut options, &mut rng);
            }
            options
        });
        let upstreams: Vec<_> = options.collect();
        let balancers = rng.random_range(1..=if rough { 3 } else { 2 });
        let webs = if rough { rng.random_range(1..=6) } else { rng.random_range(3..=5) };
        let backups = if rng.random_bool(0.7) { 0 } else { rng.random_range(1..=if rough { webs } else { 1 }) };
        let budget = if rough { *[0, 1, 1, 5].choose(&mut rng).expect("not empty") } else { 1 };
        Self {
            seed,
            kind,
            balancers,
            webs,
            backups,
            scripts: balancers > 1 && kind != Kind::Deaths && rng.random_bool(0.3),
            remote: !rough || rng.random_bool(0.8),
            upstreams,
            probes,
            settle: settle::Options {
                min_reload_interval: Duration::from_secs(budget),
                jitter: millis(rng.random_range(0..50)),
                ..settle::Options::default()
            },
            health: query::Options {
                interval: (!rough || rng.random_bool(0.8)).then_some(Duration::from_secs(5)),
                timeout: Duration::from_secs(1),
                unresponsive_after: 3,
            },
            checks: rng.random_bool(0.6),
            times: Times { confirm: Duration::from_secs(14), drain: Duration::from_secs(5) },
            direct: rng.random_bool(0.3),
            pause: millis(rng.random_range(40..200)),
            deeds: rng.random_range(if rough { 15..45 } else { 4..9 }),
        }
    }

    pub(crate) fn check(&self) -> check::Options {
        let timing =
            check::Timing::Run { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 1, fall: 2 };
        check::Options { name: "site".into(), timing, start_grace: Duration::ZERO }
    }

    /// How long NGINX leaves a server of that upstream alone that has failed once.
    pub(crate) fn fail_timeout(&self, upstream: &UpstreamName) -> Duration {
        let is_probed = self.upstreams.iter().any(|options| options.name == *upstream && options.probed);
        if is_probed { FAIL_TIMEOUT_PROBED } else { FAIL_TIMEOUT }
    }

    /// Balancers with our agent.
    pub(crate) fn ours(&self) -> usize {
        self.balancers - usize::from(self.scripts)
    }

    pub(crate) fn is_balancer(&self, node: usize) -> bool {
        node < self.balancers
    }
}

/// `edge` selects who serves for `web` or for `api`: one address in two upstreams.
fn upstream_of(name: &str) -> Options {
    let pattern = if name == "edge" { "web|api" } else { name };
    let select = vec![("role".to_owned(), TagPattern::new(pattern).unwrap())];
    Options::new(UpstreamName::new(name).unwrap(), select)
}

/// What an operator may set about an upstream.
pub(crate) fn vary(options: &mut Options, rng: &mut StdRng) {
    let policy = &mut options.policy;
    policy.min_healthy =
        *[MinHealthy::Percent(50), MinHealthy::Percent(100), MinHealthy::Count(1), MinHealthy::Count(2)]
            .choose(rng)
            .expect("not empty");
    policy.on_empty = if rng.random_bool(0.2) { OnEmpty::Error } else { OnEmpty::Keep };
    policy.on_dead = if rng.random_bool(0.2) { OnDead::Wait } else { OnDead::Retry };
    let over = if rng.random_bool(0.3) { Duration::from_secs(20) } else { Duration::ZERO };
    options.slow_start = SlowStart { over, ..SlowStart::default() };
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            kind,
            balancers,
            webs,
            backups,
            scripts,
            upstreams,
            probes,
            settle,
            health,
            checks,
            direct,
            ..
        } = self;
        write!(
            f,
            "plan {seed}: {kind:?}, {balancers} balancers (scripts {scripts}), {webs} web servers ({backups} backups), checks {checks}, direct {direct}, "
        )?;
        write!(f, "health {:?}, budget {:?}", health.interval, settle.min_reload_interval)?;
        for (upstream, probe) in upstreams.iter().zip(probes) {
            let (policy, probe) = (&upstream.policy, probe.map(|probe| (probe.interval, probe.vouches)));
            let (name, healthy, empty) = (&upstream.name, policy.min_healthy, policy.on_empty);
            write!(f, "; {name}: probe {probe:?}, min_healthy {healthy:?}, {empty:?}, {:?}", policy.on_dead)?;
        }
        Ok(())
    }
}
