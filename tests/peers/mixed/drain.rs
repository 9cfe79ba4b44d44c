//! A balancer that is a plain Serf agent with the script that we ship, and a node of ours that leaves (`protocols A.2`).

use std::os::unix::fs::PermissionsExt as _;

use weir::drain::document::{Depart, Follow, Line};

use super::cluster::KEY;
use super::watch::connect;
use crate::support::{Agent, Kind, Settings, await_agreement};

#[tokio::test]
#[ignore = "needs serf"]
async fn a_plain_balancer_confirms_by_the_shipped_script_and_one_without_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (nginx, file) = (dir.path().join("nginx"), dir.path().join("backends.conf"));
    std::fs::write(&nginx, format!("#!/bin/sh\necho \"$*\" >>{}/signals\n", dir.path().display())).unwrap();
    std::fs::set_permissions(&nginx, std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut lb = Agent::prepare(Kind::Serf, "lb", Settings::key(KEY).tag("weir_lb", "1"));
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/drained.sh");
    let handler = format!("NGINX={} SERF_RPC_ADDR={} {ours} {}", nginx.display(), lb.rpc, file.display());
    lb.options_mut().serf_args.push(format!("-event-handler=query:weir-drained={handler}"));
    lb.run();
    let leave = "[leave]\ndrain_time = \"2s\"\ntimeout = \"20s\"\n";
    let web = |name| Agent::start(Kind::Weir, name, Settings::key(KEY).join(lb.gossip).toml(leave));
    let (one, two) = (web("web1"), web("web2"));
    await_agreement(&[&lb, &one, &two], &[("lb", "alive"), ("web1", "alive"), ("web2", "alive")]);
    let servers = |agents: &[&Agent]| {
        agents.iter().map(|agent| format!("    server {}:80 weight=1;\n", agent.gossip.ip())).collect::<String>()
    };
    std::fs::write(&file, servers(&[&one, &two])).unwrap();

    let lines = leaves(&two).await;
    let is_confirmed = |line: &Line| matches!(line, Line::Confirmed { balancer, .. } if balancer == "lb");
    assert!(lines.iter().any(is_confirmed), "{lines:?}\n{}", lb.log());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), servers(&[&one]));
    assert_eq!(std::fs::read_to_string(dir.path().join("signals")).unwrap(), "-t\n-s reload\n");

    // Whoever carries the tag and never answers is waited for as long as there is time, and named.
    let silent = Agent::start(Kind::Serf, "silent", Settings::key(KEY).tag("weir_lb", "1").join(lb.gossip));
    // Nobody tells a Serf agent of those who had left before it came.
    await_agreement(&[&silent], &[("lb", "alive"), ("silent", "alive"), ("web1", "alive")]);
    await_agreement(&[&one], &[("lb", "alive"), ("silent", "alive"), ("web1", "alive"), ("web2", "left")]);
    let lines = leaves(&one).await;
    let is_named = |line: &Line| matches!(line, Line::Leaving { unconfirmed, .. } if unconfirmed[..] == ["silent"]);
    assert!(lines.iter().any(is_named), "{lines:?}");
}

/// The whole story of its leave.
async fn leaves(agent: &Agent) -> Vec<Line> {
    let mut client = connect(&agent.rpc.to_string()).await;
    let story = client.weir(&Depart::default()).await.unwrap().story;
    let mut lines = Vec::new();
    loop {
        let news = client.weir(&Follow { story, after: lines.len() }).await.unwrap();
        lines.extend(news.lines);
        if news.ended {
            return lines;
        }
    }
}
