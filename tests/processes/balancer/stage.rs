//! A balancer with its NGINX, web servers with their agents, and clients.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::nginx::Nginx;
use crate::support::{Agent, Kind, Settings, same, until, weir_binary};

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
/// Clients at work at once.
const CLIENTS: usize = 4;
/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(3);

/// A balancer's agent and the NGINX that it writes for.
pub(crate) struct Balancer {
    pub(crate) nginx: Nginx,
    pub(crate) agent: Agent,
}

/// `weir apply`, which ends with the test.
pub(crate) struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Balancer {
    /// The agent first: it writes the file that NGINX's configuration needs. Then NGINX.
    pub(crate) fn start() -> Self {
        Self::start_as(Settings::default())
    }

    pub(crate) fn start_as(settings: Settings) -> Self {
        Self::start_as_named("lb1", settings)
    }

    /// With another name than the first one.
    pub(crate) fn start_as_named(name: &str, settings: Settings) -> Self {
        Self::start_all(name, settings, "")
    }

    /// With further keys of `[apply]`.
    pub(crate) fn start_with_apply(settings: Settings, apply: &str) -> Self {
        Self::start_all("lb1", settings, apply)
    }

    fn start_all(name: &str, settings: Settings, apply: &str) -> Self {
        let mut nginx = Nginx::stopped();
        let web = nginx.web();
        let agent = Self::agent_named(name, &nginx, settings, &format!("mode = \"direct\"\n{apply}"), "block", &web);
        until("the first file", || if web.exists() { Ok(()) } else { Err(agent.log()) });
        nginx.run();
        Self { nginx, agent }
    }

    /// The upstream is a block of the site's own; the agent writes the lines in it.
    pub(crate) fn start_with_servers_alone() -> Self {
        let mut nginx = Nginx::stopped();
        let lines = nginx.path("web.servers");
        std::fs::write(nginx.web(), format!("upstream web {{ include {}; }}\n", lines.display())).unwrap();
        let agent = Self::agent(&nginx, Settings::default(), "direct", "servers", &lines);
        until("the first file", || if lines.exists() { Ok(()) } else { Err(agent.log()) });
        nginx.run();
        Self { nginx, agent }
    }

    /// Nobody is there to apply what the agent wants, and so there is no file yet, and no NGINX.
    pub(crate) fn start_without_helper() -> Self {
        let nginx = Nginx::stopped();
        let web = nginx.web();
        let agent = Self::agent(&nginx, Settings::default(), "helper", "block", &web);
        Self { nginx, agent }
    }

    /// What that one lacks.
    pub(crate) fn start_helper(&mut self) -> Helper {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let (state, socket) = (self.nginx.path("state"), self.nginx.path("apply.sock"));
        let mut command = Command::new(weir_binary());
        command.arg("apply").arg("--config-file").arg(self.agent.config_file()).arg("--user").arg(user);
        command.arg("--state").arg(state).arg("--socket").arg(&socket).stderr(Stdio::null());
        let helper = Helper(command.spawn().unwrap());
        until("the helper listens", || if socket.exists() { Ok(()) } else { Err(String::new()) });
        helper
    }

    fn agent(nginx: &Nginx, settings: Settings, mode: &str, form: &str, output: &Path) -> Agent {
        Self::agent_named("lb1", nginx, settings, &format!("mode = \"{mode}\"\n"), form, output)
    }

    fn agent_named(name: &str, nginx: &Nginx, settings: Settings, apply: &str, form: &str, output: &Path) -> Agent {
        let toml = format!(
            "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n\
             [upstream.web.nginx]\nform = \"{form}\"\noutput = \"{}\"\n\
             [apply]\n{apply}state = \"{}\"\nsocket = \"{}\"\n[nginx]\nconfig = \"{}\"\nunit = \"\"\n",
            output.display(),
            nginx.path("state").display(),
            nginx.path("apply.sock").display(),
            nginx.config().display()
        );
        let settings = Settings { key: Some(KEY.to_owned()), profile: Some("local"), ..settings };
        Agent::start(Kind::Weir, name, settings.tag("role", "lb").toml(&toml))
    }

    /// What the agent wrote.
    pub(crate) fn file(&self) -> String {
        std::fs::read_to_string(self.nginx.web()).unwrap_or_default()
    }

    /// `nginx -t` as an operator runs it.
    pub(crate) fn assert_valid(&self) {
        let mut command = Command::new("nginx");
        command.arg("-t").arg("-c").arg(self.nginx.config()).arg("-e").arg(self.nginx.path("error.log"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.file());
    }

    /// Waits until exactly these answer, each as often in a dozen as its weight says.
    pub(crate) fn await_answers(&self, expected: &[(&str, usize)]) {
        let total: usize = expected.iter().map(|(_, weight)| weight).sum();
        let rounds = 12;
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(name, weight)| ((*name).to_owned(), weight * rounds)).collect();
        until(&format!("answers of {expected:?}"), || {
            let mut answers = BTreeMap::new();
            for _ in 0..total * rounds {
                *answers.entry(self.nginx.get()).or_default() += 1;
            }
            same(&answers, &expected).map_err(|reason| format!("{reason}\n{}\n{}", self.file(), self.agent.log()))
        });
    }

    pub(crate) fn await_log(&mut self, text: &str) {
        self.agent.process().await_log(text);
    }

    /// Waits for the `count`th line with `text`.
    pub(crate) fn await_log_again(&self, text: &str, count: usize) {
        until(&format!("{text:?} for the {count}th time"), || {
            let log = self.agent.log();
            if log.matches(text).count() >= count { Ok(()) } else { Err(log) }
        });
    }

    /// A web server that runs as long as the test, and its agent, which is a member of this cluster.
    pub(crate) fn web(&self, name: &'static str, weight: &str) -> Agent {
        self.web_with(name, weight, "")
    }

    /// As [`Self::web`], with more lines for `[leave]`, and tables behind it.
    pub(crate) fn web_with(&self, name: &'static str, weight: &str, leave: &str) -> Agent {
        // Whoever is the last one is not let go, and leaves after the shortest time that there is.
        let leave = &format!("[leave]\ndrain_time = \"1s\"\ntimeout = \"14s\"\n{leave}");
        let settings = Settings { profile: Some("local"), ..Settings::key(KEY).join(self.agent.gossip).toml(leave) };
        let mut agent = Agent::prepare(Kind::Weir, name, settings);
        let port = serve(name, SocketAddr::new(agent.gossip.ip(), 0)).port().to_string();
        *agent.options_mut() = agent.options_mut().clone().tag("role", "web").tag("port", &port).tag("weight", weight);
        agent.run();
        agent
    }
}

/// Answers every request with `name` until the process ends.
pub(crate) fn serve(name: &'static str, at: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(at).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _the_client_may_be_gone = answer(stream, name);
        }
    });
    addr
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())
}

/// Clients that ask again and again, each time on a new connection.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(crate) fn start(front: SocketAddr) -> Self {
        let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (stop, requests) = (stop.clone(), requests.clone());
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failures.extend(request(front).err());
                    requests.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                failures
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, requests, clients }
    }

    /// Waits until so many more requests have ended.
    pub(crate) fn more(&self, count: usize) {
        let wanted = self.requests.load(Ordering::Relaxed) + count;
        until("requests go on", || {
            let now = self.requests.load(Ordering::Relaxed);
            if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted}")) }
        });
    }

    /// Why requests failed, all of them.
    pub(crate) fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn request(front: SocketAddr) -> Result<(), String> {
    let describe = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(front).map_err(describe)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(describe)?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").map_err(describe)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(describe)?;
    if answer.contains(" 200 OK\r\n") { Ok(()) } else { Err(answer) }
}
