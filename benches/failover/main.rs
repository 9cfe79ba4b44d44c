//! What a server costs its clients that dies, hangs or is cut off: weir beside Serf with scripts, HAProxy, Caddy and NGINX alone, in
//! the same instant on the same servers: `make bench-upstreams`.
//!
//! Each balancer is a host of its own, a network namespace, in front of the same two web servers. Clients that do not wait for each
//! other ask every balancer at a fixed rate, over new connections and over kept ones. Then one web server is killed with its agents,
//! or all of them are stopped, or its cable is pulled. Prints, as medians with the worst of all runs in brackets, when the last
//! request went there, how many failed, how many took longer than 2 s, and the longest. Nothing is asserted: a shared machine is no
//! judge. Needs root, `ip`, `serf`, `nginx`, `haproxy` and `caddy`.
//!
//! Arguments name the faults to try (`killed`, `hung`, `cut`) and the balancers (`weir`, `serf`, `haproxy`, `caddy`, `nginx`); none
//! means all. `RUNS` sets how often (default 1); what the balancers say is kept in `BENCH_LOGS`, a directory.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark starts processes and reads clocks")]

mod balancer;
mod client;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod web;
mod wire;

use std::time::{Duration, Instant};

use balancer::{Balancer, Running};
use client::Load;
use support::network::{self, Network};
use table::{Measured, Table};
use web::Web;
use wire::Wire;

/// New connections and requests over kept ones that each balancer gets in a second.
const RATES: (u32, u32) = (100, 50);
/// How long requests are sent, and when of it one server is lost.
const LOAD: Duration = Duration::from_secs(9);
const LOST_AFTER: Duration = Duration::from_millis(2_500);
/// Until checks have seen all servers, and agents have settled.
const SETTLE: Duration = Duration::from_secs(4);

/// The places of hosts in the network; balancers follow.
const CLIENT: usize = 0;
const WEB: [usize; 2] = [1, 2];
const FIRST_BALANCER: usize = 3;

/// What happens to the second web server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// SIGKILL to the server and its agents.
    Killed,
    /// SIGSTOP to all of them: the kernel still accepts connections.
    Hung,
    /// The cable is pulled.
    Cut,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Killed, Self::Hung, Self::Cut];

    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Cut => "cut",
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--bench")).collect();
    if let [command, name, addr] = arguments.as_slice()
        && command == web::COMMAND
    {
        return web::serve(name, addr.parse().unwrap());
    }
    let wants = |name: &str, all: &[&str]| {
        let named = arguments.iter().any(|arg| all.contains(&arg.as_str()));
        !named || arguments.iter().any(|arg| arg == name)
    };
    let faults = Fault::ALL.map(Fault::name);
    let faults = Fault::ALL.into_iter().filter(|fault| wants(fault.name(), &faults));
    let names = Balancer::ALL.map(Balancer::name);
    let balancers: Vec<Balancer> =
        Balancer::ALL.into_iter().filter(|balancer| wants(balancer.name(), &names)).collect();
    let runs: usize = std::env::var("RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    println!(
        "{} new connections and {} requests over kept ones a second for {} s, of two web servers one is lost after {} s; {runs} run(s)\n",
        RATES.0,
        RATES.1,
        LOAD.as_secs(),
        LOST_AFTER.as_secs_f64()
    );
    for fault in faults {
        let mut table = Table::default();
        for _ in 0..runs {
            let Some(measured) = run(fault, &balancers) else { return };
            table.add(measured);
        }
        println!("{}", table.text(fault.name()));
    }
}

/// One run; `None` where no networks can be made.
fn run(fault: Fault, balancers: &[Balancer]) -> Option<Vec<(Balancer, Measured)>> {
    let network = Network::new(FIRST_BALANCER + balancers.len())?;
    let mut web = WEB.map(|host| Web::start(&network, host));
    let places = balancers.iter().zip(FIRST_BALANCER..);
    let running: Vec<Running> = places.map(|(balancer, host)| balancer.start(&network, host)).collect();
    for balancer in &running {
        balancer.await_both(&network);
    }
    std::thread::sleep(SETTLE);
    let lost = network::address(WEB[1]);
    let wires: Vec<Wire> = running.iter().map(|running| Wire::watch(&network, running.host, &lost)).collect();
    let hosts: Vec<usize> = running.iter().map(|running| running.host).collect();
    let load = Load::start(&network, CLIENT, &hosts, RATES, LOAD);
    std::thread::sleep(LOST_AFTER);
    let at = Instant::now();
    match fault {
        Fault::Killed => web[1].kill(),
        Fault::Hung => web[1].stop(),
        Fault::Cut => network.carrier(WEB[1], false),
    }
    let results = load.finish();
    let last: Vec<Option<Instant>> = wires.into_iter().map(Wire::finish).collect();
    if let Ok(directory) = std::env::var("BENCH_LOGS") {
        for running in &running {
            running.keep_logs(directory.as_ref());
        }
    }
    let measured = results.into_iter().zip(last).map(|(answers, last)| Measured::of(&answers, at, last));
    Some(balancers.iter().copied().zip(measured).collect())
}
