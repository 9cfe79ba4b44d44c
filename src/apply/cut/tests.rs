use super::*;
use crate::config::{self, Config, UpstreamFile};
use crate::nginx::Block;
use crate::upstream::Weight;

fn name(upstream: &str) -> UpstreamName {
    UpstreamName::new(upstream).unwrap()
}

fn dead(number: usize) -> Dead {
    Dead { upstream: name("web"), member: NodeName::new(&format!("web{number}")).unwrap(), cut: 0 }
}

#[test]
fn a_job_tells_of_so_many_dead_and_not_of_one_more() {
    let all: Vec<Dead> = (0..=Deaths::MAX).map(dead).collect();
    assert_eq!(Deaths::new(all.clone()).iter().count(), Deaths::MAX);
    assert_eq!(Deaths::try_from(all.clone()), Err("more than 1024 dead servers".to_owned()));
    let most = Deaths::new(all);
    assert_eq!(serde_json::from_str::<Deaths>(&serde_json::to_string(&most).unwrap()).unwrap(), most);
}

#[test]
fn a_member_has_one_address_in_each_upstream() {
    let server = |member: usize, addr: &str, down| Server {
        member: dead(member).member,
        addr: addr.parse().unwrap(),
        weight: Weight::ONE,
        down,
        backup: false,
        max_conns: 0,
    };
    let mut desired = Desired::new(0);
    let web = vec![server(1, "10.0.0.1:80", false), server(2, "10.0.0.2:80", true)];
    desired.upstreams.insert(name("web"), Target::Servers(Servers::new(web).unwrap()));
    let api = vec![server(2, "10.0.0.2:8080", false)];
    desired.upstreams.insert(name("api"), Target::Servers(Servers::new(api).unwrap()));
    desired.upstreams.insert(name("mail"), Target::Placeholder);
    for (upstream, member, addr) in [
        ("web", 1, Some("10.0.0.1:80")),
        ("web", 2, Some("10.0.0.2:80")),
        ("api", 2, Some("10.0.0.2:8080")),
        ("api", 1, None),
        ("mail", 1, None),
        ("none", 1, None),
    ] {
        let addr = addr.map(|addr| addr.parse().unwrap());
        assert_eq!(address_in(&desired, &name(upstream), &dead(member).member), addr, "{upstream} web{member}");
    }
}

/// An upstream whose servers are at these addresses.
fn upstream(name_of: &str, context: Context, on_dead: OnDead) -> config::Upstream {
    let mut options = crate::upstream::Options::new(name(name_of), Vec::new());
    options.policy.on_dead = on_dead;
    let block = Block { context, ..Block::new(name(name_of)) };
    let output = format!("/etc/nginx/{name_of}.conf").into();
    config::Upstream { options, file: Some(UpstreamFile { block, output }), probe: None }
}

#[test]
fn of_upstreams_that_share_an_address_the_most_careful_one_counts() {
    let addr = |number: u16| SocketAddr::from(([10, 0, 0, 2], number));
    let server = |number| Server {
        member: dead(2).member,
        addr: addr(number),
        weight: Weight::ONE,
        down: false,
        backup: false,
        max_conns: 0,
    };
    let upstreams = vec![
        upstream("web", Context::Http, OnDead::Retry),
        upstream("api", Context::Http, OnDead::Retry),
        upstream("tcp", Context::Stream, OnDead::Retry),
        upstream("slow", Context::Http, OnDead::Wait),
    ];
    let options = Options { upstreams, ..Options::from(&Config::default()) };
    let (mut before, mut now) = (Desired::new(0), Desired::new(0));
    let all = |numbers: &[u16]| {
        Target::Servers(Servers::new(numbers.iter().map(|number| server(*number)).collect()).unwrap())
    };
    now.upstreams.insert(name("web"), all(&[80, 81, 82, 83]));
    now.upstreams.insert(name("api"), all(&[81]));
    now.upstreams.insert(name("tcp"), all(&[82]));
    before.upstreams.insert(name("slow"), all(&[83]));
    let states = |known: &[&Desired], number| states(&options, known, addr(number));
    for (number, expected) in [
        (80, &[TcpState::Established, TcpState::SynSent][..]),
        (81, &[TcpState::Established, TcpState::SynSent]),
        (82, &[TcpState::SynSent]),
        (83, &[]),
    ] {
        assert_eq!(states(&[&now, &before], number), expected, "{number}");
    }
    assert_eq!(states(&[&now], 83).len(), 2, "of no generation that is known");
}

#[test]
fn why_connections_go_on_is_told_with_the_way_out() {
    for (uncut, is_lasting, said) in [
        (
            Uncut::Unsupported,
            true,
            "this kernel cannot end connections; requests wait for the site's proxy_read_timeout: keep it short",
        ),
        (
            Uncut::NotPermitted,
            true,
            "who applies may not end connections; run weir-apply.service, or this agent, with CAP_NET_ADMIN",
        ),
        (
            Uncut::OtherNetwork { pid: 812 },
            true,
            "nginx, process 812, has a network of its own; give weir-apply.service the same NetworkNamespacePath= as nginx's unit",
        ),
        (
            SockDiagError::Malformed("odd".to_owned()).into(),
            false,
            "the kernel was asked for nginx's connections: the kernel's answer about sockets was not understood: odd",
        ),
    ] {
        assert_eq!((uncut.is_lasting(), uncut.to_string()), (is_lasting, said.to_owned()));
    }
}

#[test]
fn a_process_is_in_its_own_network() {
    assert!(proc::network(std::process::id()).is_some());
    assert_eq!(proc::network(u32::MAX), None);
}
