//! The balancers, each as its own documentation would have it: checks each 250 ms where it has checks, connections within 500 ms,
//! answers within 10 s, and a request that was not answered is tried on the other server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::network::{self, Network};
use crate::support::{Agent, Kind, Process, Settings, until, until_within};
use crate::{WEB, web};

/// Of both clusters.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Where agents of weir talk to each other.
pub(crate) const WEIR_PORT: u16 = 7946;
/// Where agents of Serf do.
pub(crate) const SERF_PORT: u16 = 7947;

/// Long enough for a machine that does other things, too.
const START: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Balancer {
    /// NGINX, fed by weir, with probes.
    Weir,
    /// NGINX, fed by the scripts of a tutorial.
    Serf,
    Haproxy,
    Caddy,
    /// NGINX with what it sees for itself.
    Nginx,
}

impl Balancer {
    pub(crate) const ALL: [Self; 5] = [Self::Weir, Self::Serf, Self::Haproxy, Self::Caddy, Self::Nginx];

    /// By which arguments name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Serf => "serf",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
        }
    }

    /// For the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Weir => "weir, `interval = \"250ms\"`",
            Self::Serf => "Serf and a script",
            Self::Haproxy => "HAProxy, `inter 250ms fall 2`",
            Self::Caddy => "Caddy, `health_interval 250ms`",
            Self::Nginx => "NGINX, passive only",
        }
    }

    /// Serving on port 80 of `host`.
    pub(crate) fn start(self, network: &Network, host: usize) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage { network, host, dir: dir.path() };
        let (agent, process) = match self {
            Self::Weir => stage.weir(),
            Self::Serf => stage.serf(),
            Self::Haproxy => (None, stage.haproxy()),
            Self::Caddy => (None, stage.caddy()),
            Self::Nginx => (None, stage.nginx(&format!("upstream web {{ {} }}", servers(";\n")))),
        };
        Running { host, balancer: self, agent, _process: process, dir }
    }
}

/// A balancer until it is dropped.
pub(crate) struct Running {
    pub(crate) host: usize,
    balancer: Balancer,
    agent: Option<Agent>,
    _process: Process,
    dir: TempDir,
}

impl Running {
    /// Until both web servers have answered through it.
    pub(crate) fn await_both(&self, network: &Network) {
        let url = format!("http://{}/", network::address(self.host));
        for host in WEB {
            until_within(START, &format!("{} asks {}", self.balancer.name(), web::name(host)), || {
                let mut command = on(network, crate::CLIENT, "curl");
                let said = command.args(["-s", "-m", "2", &url]).output().map_err(|error| error.to_string())?;
                let said = String::from_utf8_lossy(&said.stdout).into_owned();
                if said == web::name(host) { Ok(()) } else { Err(format!("{said:?} answers; {}", self.log())) }
            });
        }
    }

    fn log(&self) -> String {
        let own = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        own + &self.agent.as_ref().map(Agent::log).unwrap_or_default()
    }

    /// For whoever wants to know why.
    pub(crate) fn keep_logs(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(self.balancer.name()), self.log()).unwrap();
    }
}

/// Where a balancer is set up.
struct Stage<'a> {
    network: &'a Network,
    host: usize,
    dir: &'a Path,
}

impl Stage<'_> {
    fn weir(&self) -> (Option<Agent>, Process) {
        let file = self.dir.join("weir-web.conf");
        let (config, root) = (self.write("nginx.conf", &self.nginx_conf("include weir-web.conf;")), self.dir.display());
        let toml = format!(
            "[upstream.web]\nselect = {{ role = \"web\" }}\n[upstream.web.server]\nport = {}\n[upstream.web.nginx]\noutput = \"{}\"\n\
             [upstream.web.probe]\nhttp = \"/\"\nport = {}\ninterval = \"250ms\"\n[apply]\nmode = \"direct\"\nstate = \"{root}/apply\"\n\
             [nginx]\nconfig = \"{}\"\nunit = \"\"\n",
            web::PORT,
            file.display(),
            web::CHECK_PORT,
            config.display()
        );
        let settings = Settings::key(KEY).log_level("info").toml(&toml);
        let mut agent = agent(self.network, self.host, Kind::Weir, WEIR_PORT, "lb", settings);
        agent.run();
        await_servers(&file);
        (Some(agent), self.run_nginx(&config))
    }

    fn serf(&self) -> (Option<Agent>, Process) {
        let file = self.write("backends.conf", "");
        let conf = self.nginx_conf("upstream web { include backends.conf; }");
        let config = self.write("nginx.conf", &conf);
        let script = format!(
            "#!/bin/bash\nwhile read -r name address role tags; do\n    [ \"$role\" = web ] || continue\n    case $SERF_EVENT in\n\
             \x20       member-join) echo \"server $address:{};\" >>{file} ;;\n\
             \x20       member-leave | member-failed) sed -i \"/$address/d\" {file} ;;\n    esac\ndone\n\
             nginx -t -q -c {config} && nginx -s reload -c {config}\nexit 0\n",
            web::PORT,
            file = file.display(),
            config = config.display()
        );
        let handler = self.write("handler", &script);
        std::fs::set_permissions(&handler, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut settings = Settings::key(KEY).log_level("info");
        let events = "member-join,member-leave,member-failed";
        settings.serf_args.push(format!("-event-handler={events}={}", handler.display()));
        let mut agent = agent(self.network, self.host, Kind::Serf, SERF_PORT, "lb", settings);
        agent.run();
        await_servers(&file);
        (Some(agent), self.run_nginx(&config))
    }

    fn nginx(&self, upstream: &str) -> Process {
        self.run_nginx(&self.write("nginx.conf", &self.nginx_conf(upstream)))
    }

    fn nginx_conf(&self, upstream: &str) -> String {
        let root = self.dir.display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
            .concat();
        format!(
            "user root root;\nworker_processes 2;\npid {root}/nginx.pid;\nerror_log {root}/log notice;\ndaemon off;\n\
             events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{temp}    {upstream}\n\
             \x20   proxy_connect_timeout 500ms;\n    proxy_read_timeout 10s;\n\
             \x20   server {{\n        listen 80;\n        location / {{ proxy_pass http://web; }}\n    }}\n}}\n"
        )
    }

    fn run_nginx(&self, config: &Path) -> Process {
        let mut command = self.program("nginx");
        command.arg("-c").arg(config).arg("-e").arg(self.dir.join("log"));
        Process::start(command, self.dir.join("out"))
    }

    fn haproxy(&self) -> Process {
        let servers: String = WEB
            .map(|host| {
                let (name, addr) = (web::name(host), network::address(host));
                format!("    server {name} {addr}:{} check port {} inter 250ms fall 2\n", web::PORT, web::CHECK_PORT)
            })
            .concat();
        let text = format!(
            "global\n    maxconn 4096\ndefaults\n    mode http\n    timeout connect 500ms\n    timeout client 30s\n    timeout server 10s\n\
             \x20   retries 3\n    option redispatch\nfrontend all\n    bind :80\n    default_backend web\nbackend web\n\
             \x20   balance roundrobin\n    option httpchk GET /\n    http-reuse never\n{servers}"
        );
        let mut command = self.program("haproxy");
        command.arg("-db").arg("-f").arg(self.write("haproxy.cfg", &text));
        Process::start(command, self.dir.join("log"))
    }

    fn caddy(&self) -> Process {
        let text = format!(
            "{{\n    admin off\n    auto_https off\n}}\n:80 {{\n    reverse_proxy {} {{\n        lb_policy round_robin\n\
             \x20       lb_try_duration 5s\n        fail_duration 10s\n        health_uri /\n        health_port {}\n\
             \x20       health_interval 250ms\n        health_timeout 250ms\n        transport http {{\n            dial_timeout 500ms\n\
             \x20           response_header_timeout 10s\n            keepalive off\n        }}\n    }}\n}}\n",
            WEB.map(|host| format!("{}:{}", network::address(host), web::PORT)).join(" "),
            web::CHECK_PORT
        );
        let config = self.write("Caddyfile", &text);
        let mut command = self.program("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
        command.env("HOME", self.dir).env("XDG_DATA_HOME", self.dir).env("XDG_CONFIG_HOME", self.dir);
        Process::start(command, self.dir.join("log"))
    }

    fn program(&self, name: &str) -> Command {
        on(self.network, self.host, name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// An agent of either kind on a host, which joins through the first web server.
pub(crate) fn agent(network: &Network, host: usize, kind: Kind, port: u16, name: &str, settings: Settings) -> Agent {
    let at = |host: usize, port: u16| format!("{}:{port}", network::address(host)).parse().unwrap();
    let mut settings = Settings { namespace: Some(network.hosts[host].clone()), ..settings };
    if host != WEB[0] {
        settings.join.push(at(WEB[0], port));
    }
    let rpc = format!("127.0.0.1:{}", port + 100).parse().unwrap();
    Agent::prepare_at(kind, name, settings, at(host, port), rpc)
}

fn on(network: &Network, host: usize, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.hosts[host], program]);
    command
}

fn servers(end: &str) -> String {
    WEB.map(|host| format!("server {}:{}{end}", network::address(host), web::PORT)).concat()
}

/// Until a file names both web servers, so that NGINX can be started on it.
fn await_servers(file: &Path) {
    until("both servers are in the file", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let all = WEB.iter().all(|host| text.contains(&network::address(*host)));
        if all { Ok(()) } else { Err(text) }
    });
}
