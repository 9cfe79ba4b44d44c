//! Whole sites under trouble, from gossip to client: balancers and web servers with all their machines (gossip, drains, checks,
//! health queries, probes, second witness, decisions, promises, cuts), a model of `apply` and of NGINX, and clients, all drawn
//! from one seed. What must hold after everything that happens is in `rules`, what happens in `deeds`, the three kinds of trouble in
//! `plan`.
//!
//! ```text
//! cargo test --test pure site                           some seeds of each kind
//! WEIR_SITE_SEED=42 cargo test --test pure site_keeps   one seed again, of each kind
//! WEIR_SITE_SEEDS=200 cargo test --test pure site_keeps many (make sim): then each of `SOMETIMES` must have been met, and what was met so
//!                                                       far is told on standard error; WEIR_SITE_FIRST=N begins at another seed
//! ```

mod apply;
mod balancer;
mod deeds;
mod host;
mod nginx;
mod plan;
mod rules;
mod world;

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::coverage::Coverage;
use super::{from_env, text};
use plan::{Kind, Plan};
use rules::{Broken, Rule};
use world::World;

/// Seeds of a run without `WEIR_SITE_SEEDS`, of each kind.
const SEEDS: u64 = 8;
/// From how many on every state of [`SOMETIMES`] must have been seen.
const LONG_RUN: u64 = 200;
/// Partitions of different shapes that such a run must have had.
const SHAPES: usize = 40;

/// Calm after which everything must be in place: an apply that went on failing is tried again after ten minutes at most, a server that
/// changed too often is held down as long.
const AGREEMENT: Duration = Duration::from_secs(25 * 60);

/// States that a long run must have seen; without them it proves less than it says.
const SOMETIMES: &[&str] = &[
    "panic entered",
    "enough servers again",
    "nobody left, the last good ones kept",
    "nobody heard",
    "heard again",
    "placeholder",
    "member left out",
    "flap held",
    "agent lost",
    "stays without evidence",
    "second witness silent",
    "second witness answered",
    "failure disputed",
    "drained",
    "drain refused",
    "drain not kept",
    "drain unconfirmed",
    "balancer unreachable",
    "rank yielded",
    "undone",
    "undo while in flight",
    "lingered",
    "flight measured",
    "left confirmed",
    "left unconfirmed",
    "remote drain begun",
    "remote drain refused",
    "remote drain silent",
    "remote undo done",
    "a script answers out",
    "a script answers wait",
    "a script answers no apply",
    "backup asked",
    "backups alone",
    "answer out",
    "answer idle",
    "answer none",
    "answer wait",
    "answer no floor",
    "answer no apply",
    "promises read back",
    "requests cut",
    "cut asked for",
    "cut after a job",
    "tried again elsewhere",
    "agent died within a job",
    "job outlived its agent",
    "helper died within a job",
    "job under a hold",
    "departure under a hold",
    "rollback under a hold",
    "went back",
    "applied Done { reloaded: true }",
    "applied Done { reloaded: false }",
    "applied Stored",
    "applied Failed { reloaded: false }",
    "applied Failed { reloaded: true }",
];

/// An idea that fails, or a slip, which a rule must notice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// A balancer answers what it wants, and `apply` believes it.
    AnswerFromIntent,
    /// What was promised is forgotten on the way back.
    RollbackForgets,
    /// A node leaves and asks nobody.
    LeavesAtOnce,
    /// An application stops as soon as its node drains.
    StopsEarly,
    /// Web servers die by two.
    DieByTwo,
    /// A failing probe is reason enough to end connections.
    CutTheLiving,
    /// Where nobody answers what gossip says of one counts all the same.
    TrustsGossip,
    /// Who hears nobody believes its gossip all the same,
    HearsNobody,
    /// and a port that does not open where no probe is configured.
    TrustsProbes,
    /// What others say of a server is not asked of it.
    BelievesHearsay,
    /// Nobody is freed from the dead.
    NeverCut,
    /// What is in place is loaded once more.
    ReloadAlways,
    NoBudget,
    /// Too few servers are taken for none.
    PanicEmpties,
    /// After a while gossip is not heard any more.
    LooksAway,
    /// A script says `out` as soon as it has written the file.
    ScriptAnswersAtOnce,
    /// Whoever is asked to drain says so, and does not.
    RemoteIdles,
    /// An operator's hold is not heard.
    IgnoresHolds,
    /// What is in place is asked for again and again.
    AsksAgain,
}

#[test]
fn a_site_keeps_its_promises_in_deploys() {
    run_kind(Kind::Deploy);
}

#[test]
fn a_site_keeps_its_promises_when_web_servers_die() {
    run_kind(Kind::Deaths);
}

#[test]
fn a_site_keeps_its_promises_when_everything_happens_at_once() {
    let seen = run_kind(Kind::Rough);
    let (first, end) = seeds();
    if end - first >= LONG_RUN {
        let missing = seen.missing(SOMETIMES);
        assert!(missing.is_empty(), "these seeds never met: {missing:?}");
        let shapes = seen.distinct("shape ");
        assert!(shapes >= SHAPES, "only {shapes} shapes of partitions");
    }
}

#[test]
fn each_rule_notices_the_flaw_that_it_is_there_for() {
    for (flaw, kind, rules) in [
        (Flaw::AnswerFromIntent, Kind::Deploy, &[Rule::RoutesToConfirmed, Rule::DrainedGetsNew][..]),
        (Flaw::RollbackForgets, Kind::Rough, &[Rule::RoutesToConfirmed]),
        (Flaw::LeavesAtOnce, Kind::Deploy, &[Rule::DrainedGetsNew]),
        (Flaw::StopsEarly, Kind::Deploy, &[Rule::TriedTwice]),
        (Flaw::DieByTwo, Kind::Deaths, &[Rule::Lost]),
        (Flaw::CutTheLiving, Kind::Rough, &[Rule::CutForbidden]),
        (Flaw::TrustsGossip, Kind::Deaths, &[Rule::CutOff]),
        (Flaw::HearsNobody, Kind::Deaths, &[Rule::CutOff]),
        (Flaw::TrustsProbes, Kind::Deaths, &[Rule::CutOff]),
        (Flaw::BelievesHearsay, Kind::Deaths, &[Rule::CutOff]),
        (Flaw::NeverCut, Kind::Deaths, &[Rule::Waited]),
        (Flaw::ReloadAlways, Kind::Deploy, &[Rule::ReloadWithoutChange]),
        (Flaw::NoBudget, Kind::Rough, &[Rule::Budget]),
        (Flaw::PanicEmpties, Kind::Rough, &[Rule::Nobody]),
        (Flaw::ScriptAnswersAtOnce, Kind::Deploy, &[Rule::RoutesToConfirmed, Rule::DrainedGetsNew]),
        (Flaw::RemoteIdles, Kind::Deploy, &[Rule::RemoteUntrue]),
        (Flaw::IgnoresHolds, Kind::Rough, &[Rule::Frozen]),
        (Flaw::AsksAgain, Kind::Deploy, &[Rule::AskedForNothing]),
        (Flaw::LooksAway, Kind::Deaths, &[Rule::NotConverged, Rule::Waited, Rule::Lost]),
    ] {
        // Another rule may be broken as well, and first.
        let noticed = (0..60).find_map(|seed| {
            let mut world = World::new(Plan::draw(seed, kind), flaw);
            live(&mut world).err().filter(|broken| rules.contains(&broken.rule))
        });
        match noticed {
            Some(broken) => println!("{flaw:?}: {broken}"),
            None => panic!("{flaw:?} is not noticed by any of {rules:?}"),
        }
    }
}

/// The seeds of this run, the end not included.
fn seeds() -> (u64, u64) {
    match from_env("WEIR_SITE_SEED") {
        Some(seed) => (seed, seed + 1),
        None => {
            let first = from_env("WEIR_SITE_FIRST").unwrap_or(0);
            (first, first + from_env("WEIR_SITE_SEEDS").unwrap_or(SEEDS))
        }
    }
}

/// Twenty times in a run. By the stream itself: the harness keeps what is printed by macros.
fn tell_progress(kind: Kind, seeds: u64, coverage: &Coverage) {
    let ended = coverage.times("seeds");
    if ended.is_multiple_of((seeds / 20).max(1)) {
        let (states, shapes) = (SOMETIMES.len() - coverage.missing(SOMETIMES).len(), coverage.distinct("shape "));
        let line =
            format!("site {kind:?}: seed {ended} of {seeds}, {states} of {} states, {shapes} shapes", SOMETIMES.len());
        writeln!(std::io::stderr(), "{line}").expect("standard error is open");
    }
}

fn run_kind(kind: Kind) -> Coverage {
    let (first, end) = seeds();
    let (next, coverage, failures) = (AtomicU64::new(first), Mutex::new(Coverage::default()), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < end
                {
                    match run(seed, kind) {
                        Ok(seen) => {
                            let mut coverage = coverage.lock().unwrap();
                            coverage.add(&seen);
                            coverage.count("seeds");
                            if end - first >= LONG_RUN {
                                tell_progress(kind, end - first, &coverage);
                            }
                        }
                        Err(failure) => {
                            next.store(end, Ordering::Relaxed);
                            failures.lock().unwrap().push(failure);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let coverage = coverage.into_inner().unwrap();
    println!("{coverage}");
    coverage
}

fn run(seed: u64, kind: Kind) -> Result<Coverage, String> {
    let mut world = World::new(Plan::draw(seed, kind), Flaw::None);
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    let failure = match result {
        Ok(Ok(())) => return Ok(world.coverage),
        Ok(Err(broken)) => broken.to_string(),
        Err(panic) => format!("panic: {}", text(&*panic)),
    };
    let (plan, at) = (&world.plan, world.now().as_nanos() as f64 / 1e9 - 3600.0);
    let story = world.story.join("\n  ");
    Err(format!(
        "{plan}\n  {story}\nseed {seed} {kind:?}, at {at:.3} s: {failure}\nreplay: WEIR_SITE_SEED={seed} cargo test --test pure site_keeps"
    ))
}

/// A whole run: the site forms, has its trouble, and is calm again.
fn live(world: &mut World) -> Result<(), Broken> {
    for host in 0..world.hosts.len() {
        world.switch_on(host);
        let pause = rand::RngExt::random_range(&mut world.rng, 0..400);
        world.advance(Duration::from_millis(pause))?;
    }
    world.advance(Duration::from_secs(45))?;
    world.serves_strictly = true;
    for _ in 0..world.plan.deeds {
        match world.plan.kind {
            Kind::Deploy => world.deploy()?,
            Kind::Deaths => world.death()?,
            Kind::Rough => world.rough()?,
        }
    }
    world.calm();
    // Nobody has to wait for what ten minutes of failing leave behind, and a client in a thousand tells as much.
    world.plan.pause *= 10;
    world.advance(Duration::from_secs(60))?;
    let start = world.now();
    while let Some(what) = world.disagreement() {
        if world.now().since(start) > AGREEMENT {
            return Err(Broken::new(Rule::NotConverged, format!("after {} s of calm {what}", AGREEMENT.as_secs())));
        }
        world.advance(Duration::from_secs(1))?;
        world.undo_all();
    }
    // Whoever came in last may start slowly.
    world.advance(Duration::from_secs(40))?;
    let reloads: Vec<_> = world.fronts().map(|front| world.front(front).nginx.reloads).collect();
    world.advance(Duration::from_secs(30))?;
    let after: Vec<_> = world.fronts().map(|front| world.front(front).nginx.reloads).collect();
    if reloads != after {
        return Err(Broken::new(Rule::ReloadWithoutChange, "NGINX is reloaded in the middle of calm".to_owned()));
    }
    Ok(())
}
