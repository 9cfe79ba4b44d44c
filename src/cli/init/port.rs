//! Which port a web server listens on here, and who it is (`ux §5`).

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::failure::Failure;
use super::super::job::unit_of_process;
use crate::agent::holder;
use crate::command;

/// Where web servers are looked for.
const PORTS: [u16; 4] = [80, 8080, 8000, 3000];
/// Web servers that may be installed and not started, by their units.
const SERVERS: [(&str, &str); 5] = [
    ("nginx", "nginx.service"),
    ("apache2", "apache2.service"),
    ("httpd", "httpd.service"),
    ("caddy", "caddy.service"),
    ("lighttpd", "lighttpd.service"),
];
/// What a web server of this host answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Enough of a page to know it by its title.
const MAX_ANSWER: u64 = 16 * 1024;
/// In the pages that distributions ship.
const WELCOME: [&str; 7] = [
    "Welcome to nginx!",
    "Test Page for the Nginx HTTP Server",
    "Test Page for the HTTP Server",
    "HTTP Server Test Page",
    "Apache2 Debian Default Page",
    "Apache2 Ubuntu Default Page",
    "Caddy works!",
];

/// Who listens on one port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) at: At,
    /// As its process is called, where that may be seen.
    program: Option<String>,
    /// The unit that its process belongs to.
    pub(super) unit: Option<String>,
    /// Where it took a connection from this host.
    local: Option<IpAddr>,
    answer: Answer,
}

/// The addresses at which it takes connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum At {
    /// All of this host.
    Everywhere,
    /// This one, and perhaps others.
    One(IpAddr),
    /// Nobody else reaches it.
    Loopback,
}

/// What it said to a request for `/`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Answer {
    Http {
        status: u16,
        /// As it calls itself, `nginx/1.22.1`.
        server: Option<String>,
        /// A page that nobody has made for this server.
        welcome: bool,
    },
    /// No HTTP.
    #[default]
    Other,
}

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ports {
    listeners: Vec<Listener>,
    /// Installed and not running, by program and unit.
    stopped: Vec<(&'static str, &'static str)>,
}

/// What that comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// This port; whoever is there now.
    Port(u16, Option<Listener>),
    /// Somebody has to say which.
    Several(Vec<Listener>),
    /// A web server is installed that does not run: its program and its unit.
    Stopped(&'static str, &'static str),
    /// Others do not reach whoever listens.
    Hidden(Vec<Listener>),
    Nothing,
}

/// How the port is to be checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Check {
    Http(String),
    Tcp(String),
}

impl Ports {
    /// Looks at the ports where web servers usually are, and at `wanted`. Blocks for as long as they take to answer.
    pub(super) fn look(wanted: Option<u16>) -> Self {
        let ports: Vec<u16> = PORTS.into_iter().chain(wanted).collect();
        let found = holder::listeners(&ports);
        let mut listeners = Vec::new();
        for port in ports {
            let of_port: Vec<_> = found.iter().filter(|(addr, _)| addr.port() == port).collect();
            let is_known = listeners.iter().any(|known: &Listener| known.port == port);
            let Some(at) = at(of_port.iter().map(|(addr, _)| addr.ip())).filter(|_| !is_known) else { continue };
            let holder = of_port.iter().find_map(|(_, holder)| holder.as_ref());
            let asked = at.tried(port).into_iter().find_map(|addr| Some((addr.ip(), ask(addr)?)));
            let (local, answer) = asked.unzip();
            listeners.push(Listener {
                port,
                at,
                program: holder.map(|holder| holder.name.clone()),
                unit: holder.and_then(|holder| unit_of_process(holder.pid)),
                local,
                answer: answer.unwrap_or_default(),
            });
        }
        Self { listeners, stopped: stopped() }
    }

    /// The port that was `wanted`, or else the one where a web server is.
    pub(super) fn choose(&self, wanted: Option<u16>) -> Choice {
        if let Some(port) = wanted {
            return Choice::Port(port, self.listeners.iter().find(|listener| listener.port == port).cloned());
        }
        let (hidden, open): (Vec<_>, Vec<_>) =
            self.listeners.iter().cloned().partition(|listener| listener.at == At::Loopback);
        match (&open[..], &hidden[..], &self.stopped[..]) {
            ([one], _, _) => Choice::Port(one.port, Some(one.clone())),
            ([_, _, ..], _, _) => Choice::Several(open),
            ([], _, [(program, unit), ..]) => Choice::Stopped(program, unit),
            ([], [_, ..], []) => Choice::Hidden(hidden),
            ([], [], []) => Choice::Nothing,
        }
    }
}

/// As the kernel lists them; an IPv6 socket for all takes IPv4 as well, unless it was told not to.
fn at(addresses: impl Iterator<Item = IpAddr>) -> Option<At> {
    let mut at = None;
    for ip in addresses {
        at = Some(match (at, ip) {
            (Some(At::Everywhere), _) => At::Everywhere,
            (_, ip) if ip.is_unspecified() => At::Everywhere,
            (Some(At::One(other)), _) => At::One(other),
            (_, ip) if ip.is_loopback() => At::Loopback,
            (_, ip) => At::One(ip),
        });
    }
    at
}

impl At {
    /// Where this host itself reaches it.
    fn tried(self, port: u16) -> Vec<SocketAddr> {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ips = match self {
            Self::One(ip) => vec![ip],
            Self::Everywhere | Self::Loopback => loopback.to_vec(),
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }
}

/// Asks for `/`; `None` of whom no connection is taken.
fn ask(addr: SocketAddr) -> Option<Answer> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).ok()?;
    let mut said = Vec::new();
    let asked = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| {
        stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: weir-init\r\nConnection: close\r\n\r\n")
    });
    let mut piece = [0; 1024];
    // What was said before an error counts.
    while asked.is_ok() && (said.len() as u64) < MAX_ANSWER && Instant::now() < deadline {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => said.extend_from_slice(&piece[..bytes]),
        }
    }
    Some(read(&String::from_utf8_lossy(&said)))
}

fn read(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let Some(status) = status else { return Answer::Other };
    let server = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("server").then(|| value.trim().chars().filter(|c| !c.is_control()).take(60).collect())
    });
    Answer::Http { status, server, welcome: WELCOME.iter().any(|title| body.contains(title)) }
}

/// Installed and neither running nor on its way.
fn stopped() -> Vec<(&'static str, &'static str)> {
    if !Path::new("/run/systemd/system").exists() {
        return Vec::new();
    }
    let mut show = command::clean(Path::new("systemctl"));
    show.args(["show", "--property=Id,LoadState,ActiveState"]).args(SERVERS.map(|(_, unit)| unit));
    let said = command::run(show, PATIENCE, "").map(|ran| ran.stdout).unwrap_or_default();
    stopped_in(&said)
}

/// Of blocks of `KEY=VALUE`.
fn stopped_in(text: &str) -> Vec<(&'static str, &'static str)> {
    let is_stopped = |unit: &str| {
        text.split("\n\n").any(|block| {
            let has = |line: &str| block.lines().any(|each| each == line);
            has(&format!("Id={unit}"))
                && has("LoadState=loaded")
                && (has("ActiveState=inactive") || has("ActiveState=failed"))
        })
    };
    SERVERS.into_iter().filter(|(_, unit)| is_stopped(unit)).collect()
}

impl Listener {
    /// `nginx 1.22.1`, or whatever is known.
    pub(super) fn name(&self) -> String {
        let Answer::Http { server: Some(server), .. } = &self.answer else {
            return self.program.clone().unwrap_or_else(|| "somebody".to_owned());
        };
        let said = server.split(' ').next().unwrap_or_default().replacen('/', " ", 1);
        match &self.program {
            // It may pass on what another one says of itself.
            Some(program) if !said.to_ascii_lowercase().starts_with(&program.to_ascii_lowercase()) => program.clone(),
            Some(_) | None => said,
        }
    }

    /// Whether it has nothing but what the distribution put there.
    fn is_welcome_page(&self) -> bool {
        matches!(&self.answer, Answer::Http { welcome: true, .. })
    }

    /// What a balancer's probe of `/` would not take as an answer.
    fn refusal(&self) -> Option<u16> {
        match &self.answer {
            Answer::Http { status, .. } if !(200..400).contains(status) => Some(*status),
            Answer::Http { .. } | Answer::Other => None,
        }
    }
}

/// How to look at `port`; nobody is there yet, or it is `listener`.
pub(super) fn check(port: u16, listener: Option<&Listener>) -> Check {
    let ip = match listener.map(|listener| (listener.at, listener.local)) {
        Some((At::One(ip), _)) => ip,
        Some((At::Everywhere | At::Loopback, Some(local))) => local,
        Some((At::Everywhere | At::Loopback, None)) | None => Ipv4Addr::LOCALHOST.into(),
    };
    let place = SocketAddr::new(ip, port).to_string();
    match listener.map(|listener| &listener.answer) {
        Some(Answer::Http { .. }) | None => Check::Http(format!("http://{place}/")),
        Some(Answer::Other) => Check::Tcp(place),
    }
}

impl Check {
    /// Its kind and target as the configuration has them.
    pub(super) fn setting(&self) -> (&'static str, &str) {
        match self {
            Self::Http(url) => ("http", url),
            Self::Tcp(place) => ("tcp", place),
        }
    }

    /// `check http://127.0.0.1:80/`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Http(url) => format!("check {url}"),
            Self::Tcp(place) => format!("check tcp {place}"),
        }
    }
}

/// `port 80 (nginx 1.22.1 listens there)`.
pub(super) fn words(port: u16, listener: Option<&Listener>) -> String {
    match listener {
        Some(listener) => format!("port {port} ({} listens there)", listener.name()),
        None => format!("port {port} (nothing listens there yet)"),
    }
}

/// What is worth knowing about the port that was chosen.
pub(super) fn notices(port: u16, listener: Option<&Listener>) -> Vec<String> {
    let Some(listener) = listener else { return Vec::new() };
    let name = listener.name();
    let mut notices = Vec::new();
    if listener.at == At::Loopback {
        notices.push(format!("{name} listens on port {port} of the loopback address alone, so no balancer reaches it"));
    }
    if let Some(status) = listener.refusal() {
        notices.push(format!(
            "{name} answers GET / on port {port} with {status}; a balancer's probe takes 200 to 399, see \
             upstream.web.probe.http there"
        ));
    }
    notices
}

/// `port that requests go to   1) 80 nginx 1.22.1 (the distribution's welcome page)   2) 8080 python3   [1/2]`.
pub(super) fn question(listeners: &[Listener]) -> String {
    let mut text = "port that requests go to".to_owned();
    for (at, listener) in listeners.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "   {}) {}", at + 1, described(listener));
    }
    let numbers: Vec<String> = (1..=listeners.len()).map(|number| number.to_string()).collect();
    format!("{text}   [{}]", numbers.join("/"))
}

/// `80 nginx 1.22.1 (the distribution's welcome page)`.
fn described(listener: &Listener) -> String {
    let welcome = if listener.is_welcome_page() { " (the distribution's welcome page)" } else { "" };
    format!("{} {}{welcome}", listener.port, listener.name())
}

/// Why nobody knows the port where nobody can be asked. `command` is what was typed.
pub(super) fn unknown(choice: &Choice, command: &str) -> Option<Failure> {
    let listed = |listeners: &[Listener]| listeners.iter().map(described).collect::<Vec<_>>().join(", ");
    let give = |port: u16| format!("say which one serves the site: {command} --port {port}");
    match choice {
        Choice::Port(..) | Choice::Stopped(..) => None,
        Choice::Several(listeners) => {
            // The untouched page is the less likely one.
            let likely = listeners.iter().find(|listener| !listener.is_welcome_page()).or(listeners.first())?;
            let what = format!("several web servers listen here: {}", listed(listeners));
            Some(Failure::usage(what).with_remedy(give(likely.port)))
        }
        Choice::Hidden(listeners) => {
            let first = listeners.first()?;
            let what = format!("{} of the loopback address alone, so no balancer reaches it", listed(listeners));
            Some(Failure::usage(format!("only {what}")).with_remedy(format!(
                "have it listen on all addresses, then again, or name another port: {command} --port {}",
                first.port
            )))
        }
        Choice::Nothing => {
            let ports = PORTS.map(|port| port.to_string()).join(", ");
            Some(Failure::usage(format!("no web server listens here (ports {ports})")).with_remedy(format!(
                "'apt install nginx' or 'dnf install nginx', then again, or say where it will be: {command} --port 80"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const COMMAND: &str = "sudo weir init web --join 10.77.0.11";

    fn listener(port: u16, at: At, program: &str, said: &str) -> Listener {
        Listener { port, at, program: Some(program.to_owned()), unit: None, local: None, answer: read(said) }
    }

    fn nginx(port: u16, body: &str) -> Listener {
        let said = format!("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n{body}");
        listener(port, At::Everywhere, "nginx", &said)
    }

    fn python(at: At) -> Listener {
        listener(8080, at, "python3", "HTTP/1.0 404 File not found\r\nserver: SimpleHTTP/0.6 Python/3.11.2\r\n\r\n")
    }

    #[test]
    fn the_only_one_that_others_reach_is_taken() {
        let (welcome, site) = (nginx(80, "<h1>Welcome to nginx!</h1>"), nginx(80, "a page"));
        let of = |listeners: &[&Listener], wanted| {
            let listeners = listeners.iter().map(|listener| (*listener).clone()).collect();
            Ports { listeners, stopped: Vec::new() }.choose(wanted)
        };
        let app = python(At::Everywhere);
        let hidden = python(At::Loopback);
        assert_eq!(of(&[&welcome], None), Choice::Port(80, Some(welcome.clone())), "the only one");
        assert_eq!(of(&[&site, &hidden], None), Choice::Port(80, Some(site.clone())), "it is behind nginx");
        assert_eq!(of(&[&welcome, &app], None), Choice::Several(vec![welcome.clone(), app.clone()]));
        assert_eq!(of(&[&site, &app], None), Choice::Several(vec![site.clone(), app.clone()]));
        assert_eq!(of(&[&hidden], None), Choice::Hidden(vec![hidden.clone()]));
        assert_eq!(of(&[], None), Choice::Nothing);
        assert_eq!(of(&[&welcome, &app], Some(8080)), Choice::Port(8080, Some(app)));
        assert_eq!(of(&[&welcome], Some(9000)), Choice::Port(9000, None));
        let stopped = Ports { listeners: Vec::new(), stopped: vec![("nginx", "nginx.service")] };
        assert_eq!(stopped.choose(None), Choice::Stopped("nginx", "nginx.service"));
        assert_eq!(stopped.choose(Some(80)), Choice::Port(80, None));
    }

    #[test]
    fn what_is_not_clear_names_what_was_found_and_the_way_out() {
        let welcome = nginx(80, "<title>Welcome to nginx!</title>");
        let several = [welcome, python(At::Everywhere)];
        assert_eq!(
            question(&several),
            "port that requests go to   1) 80 nginx 1.22.1 (the distribution's welcome page)   2) 8080 python3   [1/2]"
        );
        let told = |choice| unknown(&choice, COMMAND).unwrap().sentence();
        assert_eq!(
            told(Choice::Several(several.to_vec())),
            format!(
                "several web servers listen here: 80 nginx 1.22.1 (the distribution's welcome page), 8080 python3; say which \
                 one serves the site: {COMMAND} --port 8080"
            )
        );
        assert_eq!(
            told(Choice::Hidden(vec![python(At::Loopback)])),
            format!(
                "only 8080 python3 of the loopback address alone, so no balancer reaches it; have it listen on all addresses, \
                 then again, or name another port: {COMMAND} --port 8080"
            )
        );
        assert_eq!(
            told(Choice::Nothing),
            format!(
                "no web server listens here (ports 80, 8080, 8000, 3000); 'apt install nginx' or 'dnf install nginx', then \
                 again, or say where it will be: {COMMAND} --port 80"
            )
        );
        assert_eq!(unknown(&Choice::Port(80, None), COMMAND), None);
    }

    #[test]
    fn the_check_asks_as_the_server_answers() {
        let of = |listener: Option<&Listener>| check(8080, listener).words();
        let mail = |at| listener(8080, at, "postfix", "220 mail ESMTP\r\n");
        assert_eq!(of(None), "check http://127.0.0.1:8080/");
        assert_eq!(of(Some(&python(At::Everywhere))), "check http://127.0.0.1:8080/");
        assert_eq!(of(Some(&mail(At::Everywhere))), "check tcp 127.0.0.1:8080");
        let ipv6 = Listener { local: Some(Ipv6Addr::LOCALHOST.into()), ..python(At::Everywhere) };
        assert_eq!(of(Some(&ipv6)), "check http://[::1]:8080/", "it takes no IPv4");
        let one = At::One([10, 77, 0, 12].into());
        assert_eq!(of(Some(&python(one))), "check http://10.77.0.12:8080/");
        assert_eq!(check(80, Some(&mail(one))).setting(), ("tcp", "10.77.0.12:80"));
        assert_eq!(words(80, Some(&nginx(80, ""))), "port 80 (nginx 1.22.1 listens there)");
        assert_eq!(words(81, None), "port 81 (nothing listens there yet)");
    }

    #[test]
    fn what_would_keep_requests_away_is_told_at_once() {
        assert_eq!(notices(80, Some(&nginx(80, "a page"))), [""; 0]);
        let told = notices(8080, Some(&python(At::Loopback)));
        assert_eq!(
            told,
            [
                "python3 listens on port 8080 of the loopback address alone, so no balancer reaches it",
                "python3 answers GET / on port 8080 with 404; a balancer's probe takes 200 to 399, see \
                 upstream.web.probe.http there"
            ]
        );
    }

    #[test]
    fn addresses_of_one_port_come_to_what_others_reach() {
        let of = |addresses: &[&str]| at(addresses.iter().map(|ip| ip.parse().unwrap()));
        let one = At::One([10, 77, 0, 12].into());
        for (addresses, found) in [
            (&[][..], None),
            (&["127.0.0.1"], Some(At::Loopback)),
            (&["127.0.0.1", "::1"], Some(At::Loopback)),
            (&["::"], Some(At::Everywhere)),
            (&["127.0.0.1", "0.0.0.0"], Some(At::Everywhere)),
            (&["0.0.0.0", "127.0.0.1"], Some(At::Everywhere)),
            (&["127.0.0.1", "10.77.0.12"], Some(one)),
            (&["10.77.0.12", "127.0.0.1"], Some(one)),
        ] {
            assert_eq!(of(addresses), found, "{addresses:?}");
        }
    }

    #[test]
    fn a_server_is_known_by_its_process_and_what_it_says() {
        let said = |program: Option<&str>, header: &str| {
            let answer = read(&format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n"));
            let program = program.map(ToOwned::to_owned);
            Listener { program, answer, ..nginx(80, "") }.name()
        };
        assert_eq!(said(Some("nginx"), "Server: nginx/1.22.1"), "nginx 1.22.1");
        assert_eq!(said(Some("nginx"), "Server: nginx"), "nginx");
        assert_eq!(said(Some("nginx"), "Server: gunicorn"), "nginx", "what it passes on");
        assert_eq!(said(Some("apache2"), "Server: Apache/2.4.57 (Debian)"), "apache2");
        assert_eq!(said(None, "Server: Apache/2.4.57 (Debian)"), "Apache 2.4.57");
        assert_eq!(said(None, "Date: today"), "somebody");
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n"), Answer::Other);
        assert_eq!(read(""), Answer::Other);
    }

    #[test]
    fn stopped_servers_are_read_as_systemctl_shows_them() {
        let text = "Id=nginx.service\nLoadState=loaded\nActiveState=inactive\n\n\
                    Id=apache2.service\nLoadState=not-found\nActiveState=inactive\n\n\
                    Id=caddy.service\nLoadState=loaded\nActiveState=active\n\n\
                    Id=httpd.service\nLoadState=loaded\nActiveState=failed\n";
        assert_eq!(stopped_in(text), [("nginx", "nginx.service"), ("httpd", "httpd.service")]);
        assert_eq!(stopped_in(""), []);
    }

    #[test]
    fn a_server_that_is_there_is_found_and_asked() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut asked = [0; 16];
            let bytes = stream.read(&mut asked).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nServer: test/1\r\n\r\nWelcome to nginx!").unwrap();
            String::from_utf8_lossy(&asked[..bytes]).into_owned()
        });
        let Choice::Port(found, Some(listener)) = Ports::look(Some(port)).choose(Some(port)) else {
            panic!("not found")
        };
        assert!(answering.join().unwrap().starts_with("GET / HTTP/1.0"));
        assert_eq!((found, listener.at, listener.is_welcome_page()), (port, At::Loopback, true));
        assert_eq!(listener.local, Some(Ipv4Addr::LOCALHOST.into()));
    }
}
