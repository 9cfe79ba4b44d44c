//! What has a size in NGINX has room for as many servers as there are, or says what to set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::unistd::{SysconfVar, sysconf};
use weir::apply::{Apply, Report, Step};
use weir::nginx::{Form, PageSize, Zone};
use weir::upstream::{Server, UpstreamName};

use crate::nginx::{Nginx, and, file, listen_as, server, web};

/// So many servers at addresses of one family.
fn servers(count: u16, port: u16, at: impl Fn(u16) -> IpAddr) -> Vec<Server> {
    (0..count).map(|n| server(&format!("web{n}"), SocketAddr::new(at(n), port))).collect()
}

fn v4(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    // Third numbers that no other test has.
    Ipv4Addr::new(127, 9, 240 + high, low).into()
}

fn v6(n: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, n).into()
}

#[test]
#[ignore = "needs nginx"]
fn any_number_of_servers_of_both_families_goes_live_and_back_in_a_zone_of_its_size() {
    let nginx = Nginx::start();
    // All of 127.0.0.0/8 is this host's.
    let port = listen_as("any", TcpListener::bind("0.0.0.0:0").unwrap()).port();
    for count in [10, 64, 450, 2000, 4096, 10] {
        for at in [v4 as fn(u16) -> IpAddr, v6] {
            let outcome = nginx.apply().apply(&web(servers(count, port, at)));
            assert!(matches!(outcome, Report::Live { .. }), "{count}: {outcome}");
            let zone = format!("zone web {}k;", Zone::Auto.kib(count.into(), page()));
            let text = std::fs::read_to_string(nginx.web()).unwrap();
            assert!(text.contains(&zone), "{count}: {}", &text[..200]);
            if at(0).is_ipv4() {
                assert_eq!(nginx.answers(20).into_iter().collect::<Vec<_>>(), ["any"]);
            }
        }
    }
}

fn page() -> PageSize {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap();
    PageSize::from_bytes(bytes.try_into().unwrap())
}

#[test]
#[ignore = "needs nginx"]
fn a_fixed_zone_that_is_too_small_is_ours_and_names_the_key_that_mends_it() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    file(&mut options).block.zone = Zone::from_kib(64);
    let apply = Apply::new(options.clone());
    let outcome = apply.apply(&web(servers(450, 80, v4)));
    assert!(matches!(outcome, Report::Refused { step: Step::Validate, ours: true, .. }), "{outcome:?}");
    assert_eq!(
        outcome.to_string(),
        "nginx refuses its configuration: ngx_slab_alloc() failed: no memory in upstream zone \"web\"; \
         it has more servers than fit: set upstream.web.nginx.zone = \"auto\""
    );
    // As the way out has it.
    file(&mut options).block.zone = Some(Zone::Auto);
    let outcome = Apply::new(options).apply(&web(servers(450, 80, v4)));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_zone_in_a_block_of_the_sites_own_that_is_too_small_is_named_as_theirs() {
    let nginx = Nginx::start();
    let lines = nginx.path("web.servers");
    std::fs::write(&lines, "server 127.0.0.1:1;\n").unwrap();
    let block = |kib: u32| format!("upstream web {{ zone web {kib}k; include {}; }}\n", lines.display());
    std::fs::write(nginx.web(), block(64)).unwrap();
    let mut options = nginx.options();
    options.upstreams = vec![nginx.upstream("web", "web.servers", Form::Servers)];
    let apply = Apply::new(options);
    let outcome = apply.apply(&web(servers(450, 80, v4)));
    assert!(matches!(outcome, Report::Refused { step: Step::Validate, ours: false, .. }), "{outcome:?}");
    let way_out = "it has more servers than fit: write a larger 'zone web' into that upstream block of yours";
    assert!(outcome.to_string().ends_with(way_out), "{outcome}");
    std::fs::write(nginx.web(), block(1024)).unwrap();
    let outcome = apply.apply(&web(servers(450, 80, v4)));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
}

#[test]
#[ignore = "needs nginx"]
fn what_is_called_tight_is_so_before_nginx_refuses_it() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    for kib in [32, 64, 128, 256] {
        let zone = Zone::from_kib(kib).unwrap();
        file(&mut options).block.zone = Some(zone);
        let most = (1..=4096).rfind(|count| !zone.is_tight((*count).into())).unwrap();
        for at in [v4 as fn(u16) -> IpAddr, v6] {
            let outcome = Apply::new(options.clone()).apply(&web(servers(most, 80, at)));
            assert!(matches!(outcome, Report::Live { .. }), "{most} servers in {kib}k: {outcome}");
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn the_longest_name_of_an_upstream_is_one_that_nginx_takes() {
    let nginx = Nginx::start();
    let long = "n".repeat(UpstreamName::MAX_BYTES);
    let mut options = nginx.options();
    options.upstreams.push(nginx.upstream(&long, &format!("conf.d/weir-{long}.conf"), Form::Block));
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    let site = text.replace("location / {", &format!("location /long {{ proxy_pass http://{long}; }} location / {{"));
    std::fs::write(nginx.config(), site).unwrap();
    let desired = and(web(servers(1, 80, v4)), &long, servers(4096, 80, v6));
    let outcome = Apply::new(options).apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
}

#[test]
#[ignore = "needs nginx"]
fn an_upstream_without_a_file_does_not_keep_the_others_from_theirs() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    options.upstreams.push(weir::config::Upstream { file: None, ..nginx.upstream("api", "unused", Form::Block) });
    let desired = and(web(servers(1, 80, v4)), "api", servers(1, 80, v6));
    let outcome = Apply::new(options).apply(&desired);
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
}
