//! What a thousand probes a second cost an agent.

use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

use super::probes::{Service, ports, probe};
use super::stage::KEY;
use crate::support::{Agent, Kind, Settings, alone, holds, until};

const UPSTREAMS: usize = 100;
const SECONDS: u64 = 10;

/// Every upstream asks the one web server this often.
fn upstreams(port: u16, interval: &str) -> String {
    let upstream = |n| {
        format!(
            "[upstream.web{n}]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nserver.port = {port}\n\
             nginx.form = \"none\"\nprobe = {{ http = \"/\", interval = \"{interval}\" }}\n"
        )
    };
    (0..UPSTREAMS).map(upstream).collect()
}

/// Seconds of a processor that a process has used.
fn used(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The share of a processor that it uses for some time, and the most memory that it holds meanwhile.
fn measure(pid: u32) -> (f64, u64) {
    let (before, start) = (used(pid), Instant::now());
    let mut most = 0;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        std::thread::sleep(Duration::from_millis(100));
        most = most.max(resident_kib(pid));
    }
    ((used(pid) - before) / start.elapsed().as_secs_f64(), most)
}

/// Its figures count in a release build on a machine that does nothing else; a debug build shows that it can be done at all.
#[test]
#[ignore = "slow: measures for twenty seconds, needs nginx"]
fn a_thousand_probes_a_second_cost_a_fraction_of_a_core() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { profile: Some("local"), ..Settings::quiet(KEY) };
    let mut web = Agent::prepare(Kind::Weir, "web1", settings.clone().tag("role", "web"));
    let [addr] = ports(web.gossip.ip());
    let _nginx = Service::nginx(dir.path(), &format!("server {{ listen {addr} backlog=4096; return 200; }}\n"));
    let state = format!("[apply]\nmode = \"direct\"\nstate = \"{}\"\n", dir.path().join("state").display());
    let mut balancer = Agent::start(Kind::Weir, "lb1", settings.clone().toml(&(upstreams(addr.port(), "1h") + &state)));
    *web.options_mut() = web.options_mut().clone().join(balancer.gossip);
    web.run();
    let pid = balancer.process().pid();
    let last = format!("web{}", UPSTREAMS - 1);
    let successes =
        |balancer: &Agent| probe(balancer, &last, "web1").map(|probe| probe["successes"].as_u64().unwrap_or(0));
    until("it probes", || holds(successes(&balancer)? > 0));
    let mut reload = |interval| {
        *balancer.options_mut() = settings.clone().toml(&(upstreams(addr.port(), interval) + &state));
        balancer.write_config();
        let output = balancer.cli(&["reload"]);
        assert!(output.status.success(), "{output:?}");
    };
    // What a reload costs is no cost of probes.
    reload("50m");
    let (idle, idle_kib) = measure(pid);

    reload("100ms");
    let before = successes(&balancer).unwrap();
    let start = Instant::now();
    let (busy, busy_kib) = measure(pid);
    let rate = (successes(&balancer).unwrap() - before) as f64 * UPSTREAMS as f64 / start.elapsed().as_secs_f64();
    let (cpu, kib) = (busy - idle, busy_kib.saturating_sub(idle_kib));
    println!("{rate:.0} probes a second: {:.1} % of a core, {kib} KiB ({idle_kib} KiB before)", cpu * 100.0);
    assert!(rate > 900.0, "{rate}");
    if !cfg!(debug_assertions) {
        assert!(cpu < 0.15 && kib < 4096, "{cpu}, {kib} KiB");
    }
}
