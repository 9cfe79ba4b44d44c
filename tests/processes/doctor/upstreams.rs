//! What an upstream lacks or outgrows, with an agent and an NGINX that run: it is named, and its remedy ends it.

use super::doctor;
use crate::balancer::crowd::arrive;
use crate::balancer::stage::Balancer;
use crate::support::until;

/// Waits for a finding about the upstream. Returns its message and its remedy.
fn await_finding(balancer: &Balancer, id: &str, message: &str) -> (String, String) {
    until(&format!("{id}: {message}"), || {
        let report = doctor(&balancer.agent.config_file(), &["nginx"]);
        let word = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let mut found = report.findings.iter().filter(|finding| finding["id"] == id);
        let found = found.find(|finding| word(finding, "message").contains(message));
        found
            .map(|finding| (word(finding, "message"), word(finding, "remedy")))
            .ok_or_else(|| format!("{report:#?}\n{}", balancer.agent.log()))
    })
}

/// Waits until neither `id` nor a failed apply is found.
fn await_well(balancer: &Balancer, id: &str) {
    until(&format!("{id} is gone"), || {
        let report = doctor(&balancer.agent.config_file(), &["agent", "config", "nginx"]);
        let is_left = |line: &String| [id, "agent.apply", "config.running"].iter().any(|id| line.contains(id));
        if report.lines().iter().any(is_left) { Err(format!("{report:#?}\n{}", balancer.agent.log())) } else { Ok(()) }
    });
}

/// Does what `… set KEY = VALUE` says, and has it taken over.
fn set(balancer: &Balancer, remedy: &str) {
    let (_, setting) = remedy.rsplit_once("set ").unwrap();
    let path = balancer.agent.config_file();
    let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    merge(&mut config, setting.parse().unwrap());
    std::fs::write(&path, config.to_string()).unwrap();
    let reloaded = balancer.agent.cli(&["reload"]);
    assert!(reloaded.status.success(), "{setting}: {reloaded:?}");
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_zone_that_is_full_is_named_and_in_one_of_its_own_size_everybody_serves() {
    let balancer = Balancer::start();
    set(&balancer, "set upstream.web.nginx.zone = \"64k\"");
    arrive(&balancer, 70, |_| Vec::new());
    let (_, remedy) =
        await_finding(&balancer, "nginx.zone", "the zone of upstream web, 64k, is full or nearly so with 70");
    assert_eq!(remedy, "set upstream.web.nginx.zone = \"auto\"");
    set(&balancer, &remedy);
    balancer.await_answers(&[("any", 1)]);
    await_well(&balancer, "nginx.zone");
}

#[test]
#[ignore = "needs nginx"]
fn a_zone_of_the_sites_own_that_is_full_is_named_with_its_place_and_a_size() {
    let balancer = Balancer::start_with_servers_alone();
    let block =
        |zone: &str| format!("upstream web {{ {zone} include {}; }}\n", balancer.nginx.path("web.servers").display());
    std::fs::write(balancer.nginx.web(), block("zone web 64k;")).unwrap();
    arrive(&balancer, 70, |_| Vec::new());
    let (_, remedy) =
        await_finding(&balancer, "nginx.zone", "the zone of upstream web, 64k, is full or nearly so with 70");
    assert_eq!(remedy, "write 'zone web 256k;' (conf.d/weir-web.conf:1)");
    std::fs::write(balancer.nginx.web(), block(remedy.split('\'').nth(1).unwrap())).unwrap();
    balancer.await_answers(&[("any", 1)]);
    await_well(&balancer, "nginx.zone");
}

#[test]
#[ignore = "needs nginx"]
fn weights_that_would_cost_a_hash_much_are_shrunk_before_anybody_has_to_be_told() {
    let balancer = Balancer::start();
    set(&balancer, "set upstream.web.nginx.method = \"hash\"");
    // Weights that have nothing in common, of 30 660 together.
    arrive(&balancer, 120, |n| vec![("weight", (255 + n % 2).to_string())]);
    let weight = |line: &str| -> Option<u32> {
        let (_, weight) = line.trim().strip_prefix("server ")?.split_once(" weight=")?;
        weight.split([' ', ';']).next()?.parse().ok()
    };
    until("everybody to be in with less", || {
        let file = balancer.file();
        let weights: Vec<u32> = file.lines().filter_map(weight).collect();
        let total: u32 = weights.iter().sum();
        if weights.len() == 120 && (16_000..=16_384).contains(&total) { Ok(()) } else { Err(file) }
    });
    await_well(&balancer, "nginx.hash");
    balancer.assert_valid();
}

#[test]
#[ignore = "needs nginx"]
fn an_upstream_that_selects_nobody_says_why_and_each_of_its_ways_out_works() {
    let balancer = Balancer::start();
    let (said, remedy) = await_finding(&balancer, "nginx.servers", "selects nobody");
    assert_eq!(said, "upstream web selects nobody: 1 member, none with tag role matching ^(?:web)$ (roles seen: lb)");
    assert_eq!(remedy, "'weir join' a member of the cluster, or start a member that upstream.web.select matches");
    let web = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);
    await_well(&balancer, "nginx.servers");

    let nobody = "upstream web selects nobody: 2 members, none with tag role matching ^(?:wbe)$ (roles seen: lb, web)";
    let way_out = "correct upstream.web.select, or the members' tags ('weir tags' there)";
    set(&balancer, "set upstream.web.select.role = \"wbe\"");
    assert_eq!(await_finding(&balancer, "nginx.servers", "selects nobody"), (nobody.to_owned(), way_out.to_owned()));
    let tag = |role: &str| {
        let tagged = web.cli(&["tags", "--set", &format!("role={role}")]);
        assert!(tagged.status.success(), "{tagged:?}");
    };
    tag("wbe");
    await_well(&balancer, "nginx.servers");
    tag("web");
    await_finding(&balancer, "nginx.servers", nobody);
    set(&balancer, "set upstream.web.select.role = \"web\"");
    await_well(&balancer, "nginx.servers");
    balancer.await_answers(&[("web1", 1)]);
}
