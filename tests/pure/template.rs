//! Golden files of what templates make; the tests of processes put HAProxy's before the real `haproxy -c`.
//!
//! `WEIR_BLESS=1 cargo test --test pure template` rewrites them; review the difference as code.

use std::net::IpAddr;
use std::path::PathBuf;

use weir::template::{Data, render};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::{Generation, Member, MemberStatus, Members, PlainName, Server, Servers, UpstreamName, Weight};
use weir::wire::NodeName;

/// Every member with its address, for `/etc/hosts`.
const HOSTS: &str =
    "127.0.0.1 localhost\n{% for m in members if m.status == \"alive\" %}{{ m.addr }} {{ m.name }}\n{% endfor %}";

/// Targets for Prometheus.
const TARGETS: &str = "- targets:\n{%- for u in upstreams %}{% for s in u.servers %}\n  - \"{{ s.endpoint }}\" # {{ s.state }}\n\
                       {%- endfor %}{% endfor %}\n";

fn server(member: &str, addr: &str) -> Server {
    let (member, addr) = (NodeName::new(member).unwrap(), addr.parse().unwrap());
    Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
}

/// One of each kind, and members whose names would be attacks if they were ever rendered.
fn desired() -> Desired {
    let servers = vec![
        server("web1", "10.77.0.12:80"),
        Server { weight: Weight::new(256).unwrap(), max_conns: 100, ..server("web2", "10.77.0.13:8080") },
        server("web3.example", "[2001:db8::3]:80"),
        Server { backup: true, ..server("web4", "10.77.0.15:80") },
        Server { down: true, ..server("web5", "10.77.0.16:80") },
        server("web6 127.0.0.1:80\n    errorfile 503 /etc/shadow\n", "10.77.0.17:80"),
        server("web7 #", "10.77.0.18:80"),
    ];
    let mut desired = Desired::new(7);
    let name = |name| UpstreamName::new(name).unwrap();
    desired.upstreams.insert(name("web"), Target::Servers(Servers::new(servers).unwrap()));
    desired.upstreams.insert(name("api"), Target::Placeholder);
    let member = |(name, addr, status): (&str, &str, MemberStatus)| {
        let addr: IpAddr = addr.parse().unwrap();
        Member { name: PlainName::new(name).unwrap(), addr, status }
    };
    let members = [
        ("lb1", "10.77.0.11", MemberStatus::Alive),
        ("web1", "10.77.0.12", MemberStatus::Alive),
        ("web2", "10.77.0.13", MemberStatus::Failed),
        ("web3.example", "2001:db8::3", MemberStatus::Leaving),
        ("web4", "10.77.0.15", MemberStatus::Left),
    ];
    desired.members = Members::new(members.map(member).into()).unwrap();
    desired
}

#[test]
fn templates_make_their_golden_files() {
    let haproxy = std::fs::read_to_string("etc/haproxy.j2").unwrap();
    let mut empty = Desired::new(7);
    empty.upstreams.insert(UpstreamName::new("web").unwrap(), Target::Placeholder);
    for (name, source, desired) in [
        ("haproxy.cfg", haproxy.as_str(), &desired()),
        ("haproxy-empty.cfg", &haproxy, &empty),
        ("hosts", HOSTS, &desired()),
        ("targets.yml", TARGETS, &desired()),
    ] {
        let text = render(source, &Data::new(desired, Generation(12))).unwrap();
        let path = PathBuf::from("tests/golden/template").join(name);
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}
