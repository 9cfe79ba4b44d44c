//! weir beside the real `serf` agent, in the same run on the same machine: `make bench`.
//!
//! Starts clusters of agents of one kind on loopback addresses and measures both kinds in turn, several times, from the
//! outside: through Serf's RPC, which both speak, and `/proc`. Prints medians with the worst of all runs in brackets, and the
//! ratio of the medians. Nothing is asserted: a shared machine is no judge.
//!
//! Arguments name the measurements to make (`idle`, `detect`, `burst`, `restart`, `event`, `flood`, `query`, `overload`,
//! `pause`); none means all. `WEIR_BENCH_REPEATS` sets how often each is made (default 3), `WEIR_BENCH_MIN` and
//! `WEIR_BENCH_MAX` the smallest and the largest cluster (default 1 and 50). `WEIR_BENCH_ONLY=weir` leaves serf out, where
//! its figures are known.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark starts processes and reads clocks")]

mod strain;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use support::{Agent, Kind, Settings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir::rpc::client::{Address, Client, Record};
use weir::rpc::proto::{EventRecord, QueryRecord};
use weir::serf::QueryParams;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// After this long an agent that has not seen what is waited for never will.
const LIMIT: Duration = Duration::from_secs(150);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let bench = Bench {
        repeats: number("WEIR_BENCH_REPEATS", 3),
        kinds: kinds(&std::env::var("WEIR_BENCH_ONLY").unwrap_or_default()),
        sizes: number("WEIR_BENCH_MIN", 1)..=number("WEIR_BENCH_MAX", 50),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    };
    println!(
        "medians (worst) of {} runs; ratio = weir / serf, below 1 is better for weir unless said\n",
        bench.repeats
    );
    type Measurement = (&'static str, fn(&Bench));
    let all: [Measurement; 9] = [
        ("idle", Bench::idle),
        ("detect", Bench::detect),
        ("burst", Bench::burst),
        ("restart", Bench::restart),
        ("event", Bench::event),
        ("flood", Bench::flood),
        ("query", Bench::query),
        ("overload", Bench::overload),
        ("pause", Bench::pause),
    ];
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|want| want == name) {
            measure(&bench);
        }
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Each kind with its column.
fn kinds(only: &str) -> Vec<(usize, Kind)> {
    let all = [("serf", Kind::Serf), ("weir", Kind::Weir)];
    let wanted = all.into_iter().enumerate().filter(|(_, (name, _))| only.is_empty() || only == *name);
    wanted.map(|(column, (_, kind))| (column, kind)).collect()
}

struct Bench {
    repeats: usize,
    kinds: Vec<(usize, Kind)>,
    sizes: RangeInclusive<usize>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Memory and CPU of an agent in an idle encrypted cluster of three, and its packets.
    fn idle(&self) {
        let mut rows: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
        for _ in 0..self.repeats {
            for &(column, kind) in &self.kinds {
                let mut cluster = self.cluster(kind, 3);
                pause(Duration::from_secs(10));
                let pid = cluster[1].process().pid();
                let (before, packets) = (cpu_ms(pid), udp_packets());
                let seconds = 20;
                pause(Duration::from_secs(seconds));
                let cpu = (cpu_ms(pid) - before) / seconds as f64;
                let packets = (udp_packets() - packets) / 3.0 / seconds as f64;
                let memory = memory_kib(pid);
                for (name, value) in [
                    ("CPU, ms per second", cpu),
                    ("packets sent per second", packets),
                    ("private anonymous memory, MiB", memory["Anonymous"] / 1024.0),
                    ("proportional set size, MiB", memory["Pss"] / 1024.0),
                    ("resident set size, MiB", memory["Rss"] / 1024.0),
                ] {
                    rows.entry(name).or_default()[column].push(value);
                }
            }
        }
        for (name, values) in rows {
            report(&format!("idle, 3 nodes: {name}"), values, f64::max);
        }
    }

    /// From SIGKILL until the last survivor sees the member as failed.
    fn detect(&self) {
        for size in [3, 10, 50] {
            self.compare(&format!("killed member seen by the last of {size}, s"), size, |bench, kind| {
                let mut cluster = bench.cluster(kind, size);
                let victim = cluster.pop().unwrap();
                let name = victim.name.clone();
                let start = Instant::now();
                drop(victim);
                bench.until_all(&cluster, |members| members.get(&name).is_some_and(|status| status == "failed"));
                start.elapsed().as_secs_f64()
            });
        }
    }

    /// From the start of all agents, joining through the first, until every one lists every one.
    fn burst(&self) {
        for size in [25, 50, 100] {
            self.compare(&format!("{size} that join at once agree, s"), size, |bench, kind| {
                let start = Instant::now();
                let cluster = bench.cluster(kind, size);
                let took = start.elapsed();
                drop(cluster);
                took.as_secs_f64()
            });
        }
    }

    /// From the start of an agent that was killed, with no address to join, until it lists everybody as alive.
    fn restart(&self) {
        self.compare("killed agent, restarted without join, sees all 10, ms", 10, |bench, kind| {
            let mut cluster = bench.cluster(kind, 10);
            pause(Duration::from_secs(2));
            let victim = &mut cluster[9];
            victim.kill();
            victim.options_mut().join.clear();
            let start = Instant::now();
            victim.spawn();
            bench.until_all(&cluster[9..], |members| members.len() == 10 && members.values().all(|s| s == "alive"));
            start.elapsed().as_secs_f64() * 1000.0
        });
    }

    /// From a user event until the last of 25 has it.
    fn event(&self) {
        self.compare("user event to the last of 25, ms", 25, |bench, kind| {
            let cluster = bench.cluster(kind, 25);
            pause(Duration::from_secs(2));
            let once = |number| {
                let (last, _) = bench.fire(&cluster, 1, Duration::from_millis(1), &format!("once-{number}"));
                last.as_secs_f64() * 1000.0
            };
            median((0..5).map(once).collect())
        });
    }

    /// The share of events delivered everywhere, at a rate, for five seconds. Higher is better.
    fn flood(&self) {
        for rate in [100, 200, 500] {
            let name = format!("events delivered to 25 at {rate}/s for 5 s, % (higher is better)");
            self.compare_by(&name, 25, f64::min, |bench, kind| {
                let cluster = bench.cluster(kind, 25);
                pause(Duration::from_secs(2));
                let count = rate as usize * 5;
                let (_, delivered) = bench.fire(&cluster, count, Duration::from_secs(1) / rate, "flood");
                delivered as f64 * 100.0 / (count * cluster.len()) as f64
            });
        }
    }

    /// From a query until the last of 50 has acknowledged it.
    fn query(&self) {
        self.compare("query answered by all of 50, ms", 50, |bench, kind| {
            let cluster = bench.cluster(kind, 50);
            pause(Duration::from_secs(2));
            bench.runtime.block_on(last_ack(cluster[0].rpc, cluster.len())).as_secs_f64() * 1000.0
        });
    }

    fn compare(&self, name: &str, size: usize, measure: impl FnMut(&Self, Kind) -> f64) {
        self.compare_by(name, size, f64::max, measure);
    }

    /// As [`Self::compare`], where `worse` of two figures is not the higher one.
    fn compare_by(
        &self,
        name: &str,
        size: usize,
        worse: fn(f64, f64) -> f64,
        mut measure: impl FnMut(&Self, Kind) -> f64,
    ) {
        if !self.sizes.contains(&size) {
            return;
        }
        let mut values = [Vec::new(), Vec::new()];
        for _ in 0..self.repeats {
            for &(column, kind) in &self.kinds {
                values[column].push(measure(self, kind));
            }
        }
        report(name, values, worse);
    }

    /// `size` encrypted agents that joined through the first, once they agree.
    fn cluster(&self, kind: Kind, size: usize) -> Vec<Agent> {
        let mut agents = vec![prepare(kind, 0, Settings::quiet(KEY))];
        agents[0].run();
        let seed = agents[0].gossip;
        for number in 1..size {
            let mut agent = prepare(kind, number, Settings::quiet(KEY).join(seed));
            agent.spawn();
            agents.push(agent);
        }
        self.until_all(&agents, |members| members.len() == size && members.values().all(|status| status == "alive"));
        agents
    }

    /// Waits until what every agent lists satisfies `done`, asking one after the other, so that asking costs next to nothing
    /// of what is measured. The last comes first: it is the likeliest to be late.
    fn until_all(&self, agents: &[Agent], done: impl Fn(&BTreeMap<String, String>) -> bool) {
        let poll = Duration::from_millis(1 + agents.len() as u64 / 10);
        self.runtime.block_on(async {
            let deadline = Instant::now() + LIMIT;
            for agent in agents.iter().rev() {
                let mut client = connect(agent.rpc).await;
                loop {
                    let members = client.members(None).await.unwrap();
                    if done(&members.iter().map(|m| (m.name.clone(), m.status.to_string())).collect()) {
                        break;
                    }
                    if Instant::now() > deadline {
                        return eprintln!("{} did not see what was waited for within {LIMIT:?}", agent.name);
                    }
                    tokio::time::sleep(poll).await;
                }
            }
        });
    }

    /// Fires events at a pace from the first agent; when the last of them arrived anywhere, and how many arrived in all.
    fn fire(&self, cluster: &[Agent], count: usize, pace: Duration, tag: &str) -> (Duration, usize) {
        self.runtime.block_on(async {
            let mut listeners = JoinSet::new();
            let (ready, mut is_ready) = mpsc::channel(cluster.len());
            for agent in cluster {
                listeners.spawn(listen(agent.rpc, tag.to_owned(), count, ready.clone()));
            }
            for _ in cluster {
                is_ready.recv().await;
            }
            let mut client = connect(cluster[0].rpc).await;
            let start = Instant::now();
            for number in 0..count {
                tokio::time::sleep_until((start + pace * number as u32).into()).await;
                let payload = format!("number {number}").into_bytes();
                // A refusal is an answer too: the event then counts as not delivered.
                let _refused = client.event(tag, payload.into(), false).await;
            }
            let (mut last, mut delivered) = (start, 0);
            while let Some(heard) = listeners.join_next().await {
                let (at, number) = heard.unwrap();
                last = last.max(at);
                delivered += number;
            }
            (last.duration_since(start), delivered)
        })
    }
}

/// An agent that keeps a snapshot; weir always does.
fn prepare(kind: Kind, number: usize, settings: Settings) -> Agent {
    let mut agent = Agent::prepare(kind, &format!("node-{number}"), settings);
    let snapshot = format!("-snapshot={}", agent.dir.path().join("snapshot").display());
    agent.options_mut().serf_args.push(snapshot);
    agent
}

/// Counts events of a name until all came, or none came for ten seconds.
async fn listen(rpc: SocketAddr, tag: String, count: usize, ready: mpsc::Sender<()>) -> (Instant, usize) {
    let mut client = connect(rpc).await;
    client.stream(&format!("user:{tag}")).await.unwrap();
    ready.send(()).await.unwrap();
    let (mut seen, mut last) = (HashSet::new(), Instant::now());
    while seen.len() < count {
        match tokio::time::timeout(Duration::from_secs(10), client.next()).await {
            Ok(Ok(pushed)) => {
                if let Record::Event(EventRecord::User { payload, .. }) = pushed.record {
                    seen.insert(payload);
                    last = Instant::now();
                }
            }
            Ok(Err(_)) | Err(_) => break,
        }
    }
    (last, seen.len())
}

/// From a query until its last expected ack.
async fn last_ack(rpc: SocketAddr, expected: usize) -> Duration {
    let mut client = connect(rpc).await;
    let params = QueryParams { name: "bench".to_owned(), ack: true, ..QueryParams::default() };
    let start = Instant::now();
    client.query(params).await.unwrap();
    let (mut acks, mut last) = (0, Duration::ZERO);
    loop {
        match client.next().await.unwrap().record {
            Record::Answer(QueryRecord::Ack { .. }) => {
                acks += 1;
                last = start.elapsed();
            }
            Record::Answer(QueryRecord::Done) => break,
            _ => {}
        }
    }
    if acks < expected {
        eprintln!("only {acks} of {expected} acknowledged the query");
        return LIMIT;
    }
    last
}

/// Connects as soon as the agent listens.
async fn connect(rpc: SocketAddr) -> Client {
    let deadline = Instant::now() + LIMIT;
    loop {
        match Client::connect(&Address::Tcp(rpc.to_string()), None).await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "{rpc}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn report(name: &str, values: [Vec<f64>; 2], worse: fn(f64, f64) -> f64) {
    let worst = values.each_ref().map(|values| values.iter().copied().reduce(worse).unwrap_or(f64::NAN));
    let [serf, weir] = values.map(median);
    let ratio = if serf == weir { 1.0 } else { weir / serf };
    println!("{name:70} serf {serf:9.2} ({:.2})   weir {weir:9.2} ({:.2})   ratio {ratio:.2}", worst[0], worst[1]);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// CPU time of all threads of a process so far, in milliseconds.
fn cpu_ms(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        stat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or_default() / 1e6
    };
    tasks.map(of).sum()
}

/// `smaps_rollup` by name.
fn memory_kib(pid: u32) -> BTreeMap<String, f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = rollup.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        Some((name.to_owned(), rest.trim().strip_suffix(" kB")?.parse().ok()?))
    });
    lines.collect()
}

/// UDP datagrams that this machine sent so far.
fn udp_packets() -> f64 {
    let snmp = std::fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let line = snmp.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap_or_default();
    line.split_whitespace().nth(4).and_then(|sent| sent.parse().ok()).unwrap_or(f64::NAN)
}
