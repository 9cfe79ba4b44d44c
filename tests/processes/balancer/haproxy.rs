//! HAProxy, fed by the template that is shipped: with the real program, its own test and its own reload.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::stage::{KEY, serve};
use crate::support::{Agent, Kind, Settings, address, until};

/// A balancer's agent without NGINX, and the HAProxy that it writes for, which the first reload starts.
struct Balancer {
    dir: TempDir,
    listen: SocketAddr,
    agent: Agent,
}

impl Balancer {
    fn start() -> Self {
        let (dir, listen) = (tempfile::tempdir().unwrap(), address());
        let path = |name: &str| dir.path().join(name).display().to_string();
        // Whoever runs the tests may not be one to change users.
        let template = shipped().replace("    user haproxy\n    group haproxy\n", "");
        let template = template.replace("bind :80", &format!("bind {listen}"));
        std::fs::write(path("haproxy.j2"), template).unwrap();
        let reload = format!(
            "#!/bin/sh\nif [ -s {0} ]; then kill -USR2 \"$(cat {0})\"; else haproxy -W -D -p {0} -f {1}; fi\n",
            path("haproxy.pid"),
            path("haproxy.cfg")
        );
        std::fs::write(path("reload"), reload).unwrap();
        std::fs::set_permissions(path("reload"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(path("haproxy.cfg"), "# as the distribution has it\n").unwrap();
        let toml = format!(
            "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nnginx.form = \"none\"\n\
             [template.haproxy]\nsource = \"{}\"\noutput = \"{}\"\ncheck = [\"haproxy\", \"-c\", \"-f\", \"{{candidate}}\"]\n\
             reload = [\"{}\"]\n[apply]\nmode = \"direct\"\nstate = \"{}\"\n",
            path("haproxy.j2"),
            path("haproxy.cfg"),
            path("reload"),
            path("state")
        );
        let settings = Settings { profile: Some("local"), ..Settings::key(KEY) };
        let agent = Agent::start(Kind::Weir, "lb1", settings.tag("role", "lb").toml(&toml));
        Self { dir, listen, agent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn web(&self, name: &'static str) -> Agent {
        let settings = Settings { profile: Some("local"), ..Settings::key(KEY).join(self.agent.gossip) };
        let mut agent = Agent::prepare(Kind::Weir, name, settings);
        let port = serve(name, SocketAddr::new(agent.gossip.ip(), 0)).port().to_string();
        *agent.options_mut() = agent.options_mut().clone().tag("role", "web").tag("port", &port);
        agent.run();
        agent
    }

    fn get(&self) -> Result<String, String> {
        let describe = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.listen).map_err(describe)?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(describe)?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").map_err(describe)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(describe)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(answer.clone())?;
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        Ok(if status == "200" { body.to_owned() } else { status.to_owned() })
    }

    /// Waits until these answer, and nobody else in two dozen requests.
    fn await_answers(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        until(&format!("answers of {expected:?}"), || {
            let answers = (0..24).map(|_| self.get()).collect::<Result<BTreeSet<String>, String>>();
            if answers.as_ref() == Ok(&expected) { Ok(()) } else { Err(format!("{answers:?}\n{}", self.agent.log())) }
        });
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.path("haproxy.cfg")).unwrap_or_default()
    }

    fn status(&self) -> (Option<i32>, String) {
        let output = self.agent.cli(&["info", "--format", "json"]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let master = std::fs::read_to_string(self.path("haproxy.pid")).unwrap_or_default();
        if let Some(master) = master.trim().parse().ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(master, Signal::TERM);
        }
    }
}

fn shipped() -> String {
    std::fs::read_to_string("etc/haproxy.j2").unwrap()
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_accepts_what_the_shipped_template_makes() {
    for file in ["haproxy.cfg", "haproxy-empty.cfg"] {
        let output =
            Command::new("haproxy").args(["-c", "-f", &format!("tests/golden/template/{file}")]).output().unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("[WARNING]"), "{said}");
    }
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_follows_the_cluster_without_any_nginx() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1");
    let mut two = balancer.web("web2");
    balancer.await_answers(&["web1", "web2"]);
    two.kill();
    balancer.await_answers(&["web1"]);
    assert!(!balancer.file().contains("web2"), "{}", balancer.file());
    two.run();
    balancer.await_answers(&["web1", "web2"]);
    // What was there before is kept, and nobody has to do anything about it.
    assert!(balancer.path("state/foreign/haproxy.cfg.1").exists());
    let status = balancer.agent.cli(&["status", "--format", "json"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("\"attention\": []"), "{status}");
    let log = balancer.agent.log();
    assert!(log.contains("template live template=haproxy"), "{log}");
    assert!(!log.contains("nginx"), "{log}");
}

#[test]
#[ignore = "needs haproxy"]
fn a_mistake_in_a_template_keeps_the_old_file_until_it_is_corrected() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1");
    balancer.await_answers(&["web1"]);
    let source = std::fs::read_to_string(balancer.path("haproxy.j2")).unwrap();
    for (text, words) in [
        (
            source.replace("upstream.servers", "upstream.servrs"),
            "template haproxy: undefined variable 'upstream.servrs' in ",
        ),
        (source.replace("balance roundrobin", "balance what"), "template haproxy: haproxy refuses the new file: "),
    ] {
        std::fs::write(balancer.path("haproxy.j2"), text).unwrap();
        let two = balancer.web("web2");
        until(words, || {
            let log = balancer.agent.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        });
        let (_, status) = balancer.status();
        assert!(status.contains("the old file stays"), "{status}");
        balancer.await_answers(&["web1"]);
        drop(two);
        std::fs::write(balancer.path("haproxy.j2"), &source).unwrap();
        let three = balancer.web("web3");
        balancer.await_answers(&["web1", "web3"]);
        drop(three);
        balancer.await_answers(&["web1"]);
    }
}

#[test]
fn a_template_that_was_changed_is_read_again_at_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("list.j2"), "one: {{ members | length }}\n").unwrap();
    let toml = format!(
        "[template.list]\nsource = \"{}\"\noutput = \"{}\"\n[apply]\nmode = \"direct\"\nstate = \"{}\"\n",
        path("list.j2").display(),
        path("list").display(),
        path("state").display()
    );
    let settings = Settings { profile: Some("local"), ..Settings::key(KEY) };
    let agent = Agent::start(Kind::Weir, "lb1", settings.toml(&toml));
    let await_file = |text: &str| {
        until(text, || {
            let found = std::fs::read_to_string(path("list")).unwrap_or_default();
            if found == text { Ok(()) } else { Err(format!("{found}\n{}", agent.log())) }
        });
    };
    await_file("one: 1\n");
    std::fs::write(path("list.j2"), "two: {{ members | length }}\n").unwrap();
    let output = agent.cli(&["reload"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told, "no setting changed; the files that they name are looked at again\n", "{output:?}");
    await_file("two: 1\n");
}
