//! What stands between this server and the others, found and opened by its own commands (firewalld, SELinux, and Debian's firewall).

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::change::Change;
use crate::command;
use crate::config::GOSSIP_PORT;

/// firewalld answers over the bus.
const PATIENCE: Duration = Duration::from_secs(10);
/// The service that the package brings, TCP and UDP of [`GOSSIP_PORT`].
const SERVICE: &str = "weir";
/// Without it NGINX may only connect to ports that the policy knows as those of web servers.
const BOOLEAN: &str = "httpd_can_network_connect";

/// What was found on this host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Walls {
    firewalld: Option<Firewalld>,
    /// What Debian's firewall says of itself while it is active.
    ufw: Option<String>,
    /// SELinux is enforced and keeps NGINX from connecting to other servers.
    selinux: bool,
}

/// firewalld while it runs: what its default zone lets in now and after a restart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Firewalld {
    /// It knows the service of the package.
    knows: bool,
    now: Zone,
    permanent: Zone,
}

/// Names of services, and ports as `7946/udp`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Zone {
    services: Vec<String>,
    ports: Vec<String>,
}

/// What has to get in here, and out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Needs {
    /// TCP and UDP.
    pub(super) gossip: u16,
    /// TCP: of a web server what balancers ask, of a balancer what everybody does.
    pub(super) site: Option<u16>,
    /// NGINX passes requests on to other servers.
    pub(super) balances: bool,
}

impl Walls {
    /// Asks each of them. Blocks for as long as they take to answer.
    pub(super) fn look() -> Self {
        Self { firewalld: Firewalld::look(), ufw: ufw(), selinux: selinux() }
    }

    /// What has to be changed for these needs.
    pub(super) fn openings(&self, needs: Needs) -> Vec<Change> {
        let firewalld = self.firewalld.as_ref().and_then(|firewalld| firewalld.opening(needs));
        let ufw = self.ufw.as_deref().and_then(|status| ufw_opening(status, needs));
        let selinux = || {
            let why = "lets NGINX connect to the web servers";
            Change::new("SELinux", why, &[&["setsebool", "-P", BOOLEAN, "on"]])
        };
        let selinux = (self.selinux && needs.balances).then(selinux);
        firewalld.into_iter().chain(ufw).chain(selinux).collect()
    }
}

impl Firewalld {
    fn look() -> Option<Self> {
        let ask = |arguments: &[&str]| output("firewall-cmd", arguments);
        if ask(&["--state"])?.trim() != "running" {
            return None;
        }
        let words = |arguments: &[&str]| -> Vec<String> {
            ask(arguments).unwrap_or_default().split_ascii_whitespace().map(ToOwned::to_owned).collect()
        };
        Some(Self {
            knows: words(&["--permanent", "--get-services"]).iter().any(|service| service == SERVICE),
            now: Zone { services: words(&["--list-services"]), ports: words(&["--list-ports"]) },
            permanent: Zone {
                services: words(&["--permanent", "--list-services"]),
                ports: words(&["--permanent", "--list-ports"]),
            },
        })
    }

    fn opening(&self, needs: Needs) -> Option<Change> {
        let Needs { gossip, site, .. } = needs;
        let mut add: Vec<String> = Vec::new();
        let mut parts = Vec::new();
        if !self.both(|zone| zone.has_gossip(gossip)) {
            if self.knows && gossip == GOSSIP_PORT {
                add.push(format!("--add-service={SERVICE}"));
            } else {
                add.extend([format!("--add-port={gossip}/tcp"), format!("--add-port={gossip}/udp")]);
            }
            parts.push(gossip_words(gossip));
        }
        if let Some(port) = site.filter(|port| !self.both(|zone| zone.has_site(*port))) {
            add.push(format!("--add-port={port}/tcp"));
            parts.push(site_words(port, needs));
        }
        if add.is_empty() {
            return None;
        }
        let mut permanent = vec!["firewall-cmd".to_owned(), "--permanent".to_owned()];
        permanent.extend(add);
        let reload = vec!["firewall-cmd".to_owned(), "--reload".to_owned()];
        Some(Change {
            subject: "firewalld".to_owned(),
            why: format!("lets in {}", parts.join(" and ")),
            commands: vec![permanent, reload],
        })
    }

    fn both(&self, has: impl Fn(&Zone) -> bool) -> bool {
        has(&self.now) && has(&self.permanent)
    }
}

impl Zone {
    fn has_gossip(&self, port: u16) -> bool {
        let by_service = port == GOSSIP_PORT && self.services.iter().any(|service| service == SERVICE);
        by_service || self.has_port(port, "tcp") && self.has_port(port, "udp")
    }

    fn has_site(&self, port: u16) -> bool {
        let service = match port {
            80 => Some("http"),
            443 => Some("https"),
            _ => None,
        };
        self.services.iter().any(|known| Some(known.as_str()) == service) || self.has_port(port, "tcp")
    }

    /// Of a single port or a range.
    fn has_port(&self, port: u16, transport: &str) -> bool {
        self.ports.iter().any(|opened| {
            let Some((ports, of)) = opened.split_once('/') else { return false };
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let within =
                first.parse().is_ok_and(|first: u16| first <= port) && last.parse().is_ok_and(|last: u16| port <= last);
            of == transport && within
        })
    }
}

/// `7946 TCP and UDP from the other members`.
fn gossip_words(port: u16) -> String {
    format!("{port} TCP and UDP from the other members")
}

fn site_words(port: u16, needs: Needs) -> String {
    let whose = if needs.balances { "from everybody" } else { "from the balancers" };
    format!("{port} TCP {whose}")
}

fn ufw() -> Option<String> {
    output("ufw", &["status"]).filter(|status| status.lines().any(|line| line.trim() == "Status: active"))
}

fn ufw_opening(status: &str, needs: Needs) -> Option<Change> {
    let mut commands = Vec::new();
    let mut parts = Vec::new();
    let allow = |what: String| vec!["ufw".to_owned(), "allow".to_owned(), what];
    if !(ufw_allows(status, needs.gossip, "tcp") && ufw_allows(status, needs.gossip, "udp")) {
        commands.push(allow(needs.gossip.to_string()));
        parts.push(gossip_words(needs.gossip));
    }
    if let Some(port) = needs.site.filter(|port| !ufw_allows(status, *port, "tcp")) {
        commands.push(allow(format!("{port}/tcp")));
        parts.push(site_words(port, needs));
    }
    let why = format!("lets in {}", parts.join(" and "));
    (!commands.is_empty()).then(|| Change { subject: "ufw".to_owned(), why, commands })
}

/// By a line `7946/udp   ALLOW   Anywhere`, or one with the name of a profile that is known to be of that port.
fn ufw_allows(status: &str, port: u16, transport: &str) -> bool {
    let (alone, with) = (port.to_string(), format!("{port}/{transport}"));
    status.lines().any(|line| {
        let Some((to, from)) = line.split_once(" ALLOW ") else { return false };
        let to = to.trim();
        let is_profile =
            matches!((to, port), (SERVICE, GOSSIP_PORT) | ("Nginx HTTP" | "Nginx Full" | "WWW" | "WWW Full", 80));
        let from_all = from.trim_start_matches("IN").trim().starts_with("Anywhere");
        (to == alone || to == with || is_profile) && from_all
    })
}

/// Enforced, and the boolean is off.
fn selinux() -> bool {
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let is_enforced = read("/sys/fs/selinux/enforce".to_owned()).trim() == "1";
    // The value that holds, and the one that is pending.
    is_enforced && read(format!("/sys/fs/selinux/booleans/{BOOLEAN}")).starts_with('0')
}

/// What a program says, if it is there and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = command::clean(Path::new(program));
    command.args(arguments);
    command::run(command, PATIENCE, "").ok().filter(|ran| ran.success).map(|ran| ran.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Needs = Needs { gossip: 7946, site: Some(80), balances: false };
    const BALANCER: Needs = Needs { gossip: 7946, site: Some(80), balances: true };

    fn zone(services: &[&str], ports: &[&str]) -> Zone {
        let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Zone { services: owned(services), ports: owned(ports) }
    }

    fn typed(walls: &Walls, needs: Needs) -> Vec<String> {
        walls.openings(needs).iter().flat_map(Change::typed).collect()
    }

    #[test]
    fn firewalld_gets_what_it_lacks_for_good() {
        let of = |knows, now: Zone, permanent: Zone, needs| {
            let firewalld = Some(Firewalld { knows, now, permanent });
            typed(&Walls { firewalld, ..Walls::default() }, needs)
        };
        let reload = "firewall-cmd --reload";
        let ssh = || zone(&["ssh"], &[]);
        assert_eq!(
            of(true, ssh(), ssh(), WEB),
            ["firewall-cmd --permanent --add-service=weir --add-port=80/tcp", reload]
        );
        assert_eq!(
            of(false, ssh(), zone(&["http"], &[]), Needs { site: None, ..WEB }),
            ["firewall-cmd --permanent --add-port=7946/tcp --add-port=7946/udp", reload]
        );
        assert_eq!(
            of(true, ssh(), ssh(), Needs { gossip: 7947, site: None, balances: false }),
            ["firewall-cmd --permanent --add-port=7947/tcp --add-port=7947/udp", reload]
        );
        let open = || zone(&["ssh", "http", "weir"], &[]);
        assert_eq!(of(true, open(), open(), WEB), [""; 0]);
        assert_eq!(of(true, open(), ssh(), WEB).len(), 2, "a restart would close it");
        assert_eq!(of(true, ssh(), open(), WEB).len(), 2, "a reload was missed");
        let by_ports = || zone(&[], &["7940-7950/tcp", "7946/udp", "80/tcp"]);
        assert_eq!(of(true, by_ports(), by_ports(), WEB), [""; 0]);
        let by_half = || zone(&["http"], &["7946/tcp", "7947-8000/udp"]);
        assert_eq!(of(true, by_half(), by_half(), WEB), ["firewall-cmd --permanent --add-service=weir", reload]);
    }

    #[test]
    fn ufw_gets_what_it_lacks() {
        let of = |status: &str, needs| typed(&Walls { ufw: Some(status.to_owned()), ..Walls::default() }, needs);
        let head = "Status: active\n\nTo                         Action      From\n--                         ------      ----\n";
        let both = ["ufw allow 7946", "ufw allow 80/tcp"];
        assert_eq!(of(head, WEB), both);
        let line = |to: &str, action: &str, from: &str| format!("{head}{to:<26} {action:<11} {from}\n");
        assert_eq!(of(&line("7946", "ALLOW", "Anywhere"), WEB), ["ufw allow 80/tcp"]);
        assert_eq!(of(&line("7946/tcp", "ALLOW", "Anywhere"), WEB), both);
        assert_eq!(of(&line("7946", "ALLOW", "10.0.0.1"), WEB), both, "for one host alone");
        assert_eq!(of(&line("7946", "DENY", "Anywhere"), WEB), both);
        assert_eq!(of(&line("weir", "ALLOW", "Anywhere"), WEB), ["ufw allow 80/tcp"]);
        assert_eq!(of(&line("Nginx Full", "ALLOW", "Anywhere"), WEB), ["ufw allow 7946"]);
        assert_eq!(of(&line("7946", "ALLOW", "Anywhere"), Needs { site: None, ..WEB }), [""; 0]);
    }

    #[test]
    fn selinux_is_asked_where_nginx_passes_requests_on() {
        let walls = Walls { selinux: true, ..Walls::default() };
        assert_eq!(typed(&walls, BALANCER), ["setsebool -P httpd_can_network_connect on"]);
        assert_eq!(typed(&walls, WEB), [""; 0]);
        assert_eq!(typed(&Walls::default(), BALANCER), [""; 0]);
    }

    #[test]
    fn what_a_change_is_for_is_said() {
        let firewalld = Some(Firewalld { knows: true, ..Firewalld::default() });
        let walls = Walls { firewalld, ufw: None, selinux: true };
        let told: Vec<_> = walls.openings(BALANCER).into_iter().map(|change| (change.subject, change.why)).collect();
        assert_eq!(
            told,
            [
                (
                    "firewalld".to_owned(),
                    "lets in 7946 TCP and UDP from the other members and 80 TCP from everybody".to_owned()
                ),
                ("SELinux".to_owned(), "lets NGINX connect to the web servers".to_owned())
            ]
        );
    }
}
