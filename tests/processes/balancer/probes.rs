//! Probes of a real agent: what real servers say to each kind, and what NGINX gets by it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::stage::{Balancer, KEY, Load};
use crate::support::{Agent, Kind, Settings, holds, until, weir_binary, with_free_port};

/// A program that serves, until it is dropped.
pub(super) struct Service(Child);

impl Service {
    /// One process of NGINX with these servers. `dir` is its own.
    pub(super) fn nginx(dir: &Path, servers: &str) -> Self {
        let root = dir.display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/error.log;\nevents {{ }}\n\
             http {{\n    access_log off;\n{temp}{servers}}}\n"
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(path).arg("-e").arg(dir.join("error.log"));
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn haproxy(dir: &Path, frontends: &str) -> Self {
        let path = dir.join("haproxy.cfg");
        let config = format!("global\n  maxconn 100\ndefaults\n  mode http\n  timeout client 5s\n{frontends}");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("haproxy");
        Self(command.arg("-db").arg("-f").arg(path).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Of one address.
pub(super) fn ports<const N: usize>(ip: IpAddr) -> [SocketAddr; N] {
    let IpAddr::V4(ip) = ip else { panic!("agents of tests have IPv4 addresses") };
    std::array::from_fn(|_| with_free_port(ip))
}

/// What `upstream show` tells of `member`'s probe in `upstream`.
pub(super) fn probe(agent: &Agent, upstream: &str, member: &str) -> Result<Value, String> {
    let rpc = format!("--rpc-addr={}", agent.rpc);
    let mut command = Command::new(weir_binary());
    let output = command.args(["upstream", "show", upstream, "--format", "json", &rpc]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    let servers = document["upstreams"][0]["servers"].as_array().cloned().unwrap_or_default();
    let server = servers.iter().find(|server| server["member"] == member);
    server.map(|server| server["probe"].clone()).ok_or_else(|| format!("{document}"))
}

/// Puts an authority and a certificate of it for `name` into `dir`.
fn certificate(dir: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

#[test]
#[ignore = "needs nginx and haproxy"]
fn every_kind_of_probe_is_understood_by_real_servers() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { profile: Some("local"), ..Settings::key(KEY) };
    let mut web = Agent::prepare(Kind::Weir, "web1", settings.clone().tag("role", "web"));
    let [plain, v1, v2, tls, tls_v1, tls_v2, haproxy_v1, haproxy_v2, nobody] = ports(web.gossip.ip());
    certificate(dir.path(), "web.test");
    let root = dir.path().display();
    let answer = "location / { return 200 \"from $proxy_protocol_addr\"; }";
    let ssl = format!("ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;");
    let servers = format!(
        "server {{ listen {plain}; location / {{ return 200 well; }} location /ill {{ return 503; }} }}
         server {{ listen {v1} proxy_protocol; {answer} }}
         server {{ listen {v2} proxy_protocol; {answer} }}
         server {{ listen {tls} ssl; {ssl} location / {{ return 200 well; }} }}
         server {{ listen {tls_v1} ssl proxy_protocol; {ssl} {answer} }}
         server {{ listen {tls_v2} ssl proxy_protocol; {ssl} {answer} }}\n"
    );
    let frontend = |name, addr| {
        format!(
            "frontend {name}\n  bind {addr} accept-proxy\n  \
             http-request return status 200 content-type text/plain lf-string \"from %[src]\"\n"
        )
    };
    let _nginx = Service::nginx(dir.path(), &servers);
    let _haproxy = Service::haproxy(dir.path(), &(frontend("v1", haproxy_v1) + &frontend("v2", haproxy_v2)));
    let trusting = format!("host = \"web.test\", tls_ca = \"{root}/ca.pem\"");
    let from = "body = \"^from 127\\\\.\"";
    // name, port, probe, state, error
    let cases = [
        ("plain", plain, "http = \"/\", body = \"^well$\"".to_owned(), "up", None),
        ("status", plain, "http = \"/ill\"".to_owned(), "down", Some("status 503")),
        ("body", plain, "http = \"/\", body = \"^ill$\"".to_owned(), "down", Some("the body does not match")),
        ("v1", v1, format!("http = \"/\", {from}, send_proxy = \"v1\""), "up", None),
        ("v2", v2, format!("http = \"/\", {from}, send_proxy = \"v2\""), "up", None),
        ("unsent", v1, "http = \"/\"".to_owned(), "down", Some("connection closed before an answer")),
        ("unwanted", plain, "http = \"/\", send_proxy = \"v1\"".to_owned(), "down", Some("status 400")),
        ("tls", tls, format!("https = \"/\", {trusting}"), "up", None),
        ("tls_v1", tls_v1, format!("https = \"/\", {from}, send_proxy = \"v1\", {trusting}"), "up", None),
        ("tls_v2", tls_v2, format!("https = \"/\", {from}, send_proxy = \"v2\", {trusting}"), "up", None),
        ("no_tls", plain, "https = \"/\", tls_verify = false".to_owned(), "down", Some("it does not speak TLS")),
        (
            "other_name",
            tls,
            format!("https = \"/\", tls_ca = \"{root}/ca.pem\""),
            "down",
            Some("its certificate is for another name"),
        ),
        ("any_name", tls, "https = \"/\", tls_verify = false".to_owned(), "up", None),
        ("haproxy_v1", haproxy_v1, format!("http = \"/\", {from}, send_proxy = \"v1\""), "up", None),
        ("haproxy_v2", haproxy_v2, format!("http = \"/\", {from}, send_proxy = \"v2\""), "up", None),
        ("open", plain, "tcp = true".to_owned(), "open", None),
        ("nobody", nobody, "tcp = true".to_owned(), "down", Some("connection refused")),
    ];
    let upstreams: String = cases
        .iter()
        .map(|(name, addr, probe, ..)| {
            format!(
                "[upstream.{name}]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nserver.port = {}\n\
                 nginx.form = \"none\"\nprobe = {{ {probe}, interval = \"100ms\" }}\n",
                addr.port()
            )
        })
        .collect();
    let state = format!("[apply]\nmode = \"direct\"\nstate = \"{root}/state\"\n");
    let balancer = Agent::start(Kind::Weir, "lb1", settings.toml(&(upstreams + &state)));
    *web.options_mut() = web.options_mut().clone().join(balancer.gossip);
    web.run();
    for (name, addr, _, state, error) in cases {
        until(&format!("{name} is {state}"), || {
            let probe = probe(&balancer, name, "web1")?;
            let is_so = probe["state"] == state && probe["error"].as_str() == error;
            let is_there = probe["question"].as_str().is_some_and(|question| question.contains(&addr.to_string()));
            if is_so && is_there { Ok(()) } else { Err(format!("{probe}\n{}", balancer.log())) }
        });
    }
}

/// A balancer that probes two web servers, which are processes of their own.
struct Stage {
    balancer: Balancer,
    agents: [Agent; 2],
    dirs: [TempDir; 2],
    addrs: [SocketAddr; 2],
    services: [Option<Service>; 2],
}

const NAMES: [&str; 2] = ["web1", "web2"];

impl Stage {
    fn start() -> Self {
        Self::probed_each("100ms")
    }

    fn probed_each(interval: &str) -> Self {
        let probe = format!("[upstream.web.probe]\nhttp = \"/\"\ninterval = \"{interval}\"\n");
        let balancer = Balancer::start_as(Settings::default().toml(&probe));
        let join = balancer.agent.gossip;
        let settings = || Settings { profile: Some("local"), ..Settings::key(KEY).join(join) };
        let mut agents = NAMES.map(|name| Agent::prepare(Kind::Weir, name, settings().tag("role", "web")));
        let addrs = [0, 1].map(|n: usize| ports::<1>(agents[n].gossip.ip())[0]);
        let dirs = [0, 1].map(|_| TempDir::new().unwrap());
        let mut stage = {
            for (agent, addr) in agents.iter_mut().zip(addrs) {
                *agent.options_mut() = agent.options_mut().clone().tag("port", &addr.port().to_string());
            }
            Self { balancer, agents, dirs, addrs, services: [None, None] }
        };
        for n in [0, 1] {
            stage.serve(n);
            stage.agents[n].run();
        }
        stage.balancer.await_answers(&[("web1", 1), ("web2", 1)]);
        stage
    }

    fn serve(&mut self, n: usize) {
        let (addr, name) = (self.addrs[n], NAMES[n]);
        let server = format!("server {{ listen {addr}; location / {{ return 200 {name}; }} }}\n");
        self.services[n] = Some(Service::nginx(self.dirs[n].path(), &server));
        until("it serves", || holds(TcpStream::connect(addr).is_ok()));
    }

    fn await_down(&self, n: usize) {
        let line = format!("    server {} fail_timeout=2s down;\n", self.addrs[n]);
        until("it is down", || match self.balancer.file() {
            file if file.contains(&line) => Ok(()),
            file => Err(format!("{file}\n{}", self.balancer.agent.log())),
        });
    }

    fn probe(&self, n: usize) -> Value {
        probe(&self.balancer.agent, "web", NAMES[n]).unwrap()
    }

    /// What the file says of the servers, in their order.
    fn lines(&self) -> [String; 2] {
        let file = self.balancer.file();
        self.addrs.map(|addr| {
            let begin = format!("    server {addr}");
            file.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default().to_owned()
        })
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_dead_web_server_is_out_although_its_agent_lives_and_back_with_it() {
    let mut stage = Stage::start();
    for _ in 0..2 {
        stage.services[1] = None;
        stage.await_down(1);
        stage.balancer.await_answers(&[("web1", 1)]);
        let probe = stage.probe(1);
        assert_eq!((&probe["state"], &probe["error"]), (&"down".into(), &"connection refused".into()), "{probe}");
        assert!(probe["first_failure"].is_string() && probe["failures"].as_u64() >= Some(2), "{probe}");
        stage.serve(1);
        stage.balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    }
    let log = stage.balancer.agent.log();
    assert!(!log.contains("member failed"), "gossip had no part in it: {log}");
}

#[test]
#[ignore = "needs nginx"]
fn a_hung_web_server_is_out_although_its_port_is_open() {
    let stage = Stage::start();
    stage.services[1].as_ref().unwrap().signal(Signal::STOP);
    stage.await_down(1);
    assert_eq!(stage.probe(1)["error"], "timed out waiting for an answer");
    stage.services[1].as_ref().unwrap().signal(Signal::CONT);
    stage.balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn a_killed_agent_costs_its_web_server_nothing() {
    let mut stage = Stage::start();
    let load = Load::start(stage.balancer.nginx.listen);
    let reloads = stage.balancer.nginx.reloads();
    stage.agents[1].kill();
    stage.balancer.await_log("member failed");
    load.more(200);
    stage.balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    assert_eq!(stage.balancer.nginx.reloads(), reloads, "nothing in the file is different");
    assert_eq!(load.finish(), [""; 0]);
    // Now nobody vouches for it any more.
    stage.services[1] = None;
    stage.balancer.await_answers(&[("web1", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn a_lost_server_that_an_operator_has_pruned_does_not_come_back_by_a_restart_of_the_balancer() {
    let mut stage = Stage::start();
    stage.agents.iter_mut().for_each(Agent::kill);
    stage.balancer.await_log_again("member failed", 2);
    for name in NAMES {
        let output = stage.balancer.agent.cli(&["force-leave", "--prune", name]);
        assert!(output.status.success(), "{output:?}");
        // The second one stays in the file: there is nobody else.
        stage.balancer.await_answers(&[("web2", 1)]);
    }
    stage.balancer.await_log("every server has left");
    stage.balancer.agent.kill();
    stage.balancer.agent.run();
    stage.balancer.await_log_again("every server has left", 2);
    stage.balancer.await_answers(&[("web2", 1)]);
    stage.agents[0].run();
    stage.balancer.await_answers(&[("web1", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn what_was_found_before_a_drain_has_ended_vouches_for_nobody() {
    let mut stage = Stage::probed_each("5s");
    let cli = |stage: &Stage, args: &[&str]| {
        let output = stage.agents[1].cli(args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    };
    cli(&stage, &["drain", "--guard"]);
    stage.balancer.await_answers(&[("web1", 1)]);
    let live = stage.balancer.agent.log().matches("apply live").count();
    // Its application is started, and takes a while until it answers; the last probe was before.
    stage.services[1] = None;
    cli(&stage, &["drain", "--undo", "--if-guard"]);
    until("it is asked anew", || match stage.probe(1) {
        probe if probe["error"] == "connection refused" => Ok(()),
        probe => Err(probe.to_string()),
    });
    assert_eq!(stage.balancer.agent.log().matches("apply live").count(), live, "{}", stage.balancer.agent.log());
    stage.serve(1);
    stage.balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}

/// Nothing takes either of them out: the restart is over before two probes in a row could fail. What NGINX holds against the first one must
/// then be over, too, when the second one restarts.
#[test]
#[ignore = "needs nginx"]
fn servers_that_restart_one_after_the_other_cost_no_request() {
    let mut stage = Stage::probed_each("1s");
    assert_eq!(stage.lines(), [" fail_timeout=2s;", " fail_timeout=2s;"], "{}", stage.balancer.file());
    let load = Load::start(stage.balancer.nginx.listen);
    load.more(200);
    for n in [0, 1] {
        stage.services[n] = None;
        load.more(20);
        stage.serve(n);
        // NGINX counts whole seconds.
        std::thread::sleep(Duration::from_millis(3200));
    }
    load.more(200);
    assert_eq!(load.finish(), [""; 0]);
}

#[test]
#[ignore = "needs nginx"]
fn a_probe_that_a_reload_brings_or_takes_away_changes_what_nginx_is_told() {
    let mut balancer = Balancer::start();
    let _webs = [balancer.web("web1", "1"), balancer.web("web2", "1")];
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    let without = balancer.agent.options_mut().toml.clone();
    let has = |wanted: &str, balancer: &Balancer| {
        until(&format!("lines that end with {wanted:?}"), || {
            let file = balancer.file();
            let lines: Vec<_> = file.lines().filter_map(|line| line.trim_start().strip_prefix("server ")).collect();
            let is_so = |line: &&str| line.split_once(' ').map_or(";", |(_, rest)| rest) == wanted;
            if lines.len() == 2 && lines.iter().all(is_so) {
                Ok(())
            } else {
                Err(format!("{file}\n{}", balancer.agent.log()))
            }
        });
    };
    has(";", &balancer);
    let probed = |interval: &str| format!("{without}[upstream.web.probe]\nhttp = \"/\"\ninterval = \"{interval}\"\n");
    for (toml, wanted) in [
        (probed("1s"), "fail_timeout=2s;"),
        (probed("1100ms"), ";"),
        (probed("100ms"), "fail_timeout=2s;"),
        (without.clone(), ";"),
    ] {
        balancer.agent.options_mut().toml = toml;
        balancer.agent.write_config();
        let output = balancer.agent.cli(&["reload"]);
        assert!(output.status.success(), "{output:?}");
        has(wanted, &balancer);
        balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    }
}
