//! User events: everywhere, once, unharmed.

use bytes::Bytes;

use super::cluster::Cluster;
use super::watch::{Watcher, connect, run};
use crate::support::{Agent, Kind, same, until};

/// Payloads that have to arrive as they are.
fn payload(number: usize) -> Bytes {
    match number % 4 {
        0 => Bytes::new(),
        1 => (0..=255).collect::<Vec<u8>>().into(),
        2 => format!("number {number}\nü\0").into(),
        // With its name just below the limit of 512 bytes encoded.
        _ => vec![b'x'; 430].into(),
    }
}

fn name(from: &str, number: usize) -> String {
    format!("{from}/{number}")
}

/// Every agent sends `each` events at once with all the others.
fn every_event_arrives_exactly_once(size: usize, each: usize) {
    let cluster = Cluster::start(size);
    let watchers: Vec<_> =
        cluster.agents.iter().map(|agent| Watcher::start(&agent.name, &agent.rpc.to_string())).collect();
    std::thread::scope(|scope| {
        for agent in &cluster.agents {
            scope.spawn(move || send(agent, each));
        }
    });
    let mut expected: Vec<_> = cluster
        .names()
        .iter()
        .flat_map(|from| (0..each).map(move |number| (name(from, number), payload(number))))
        .collect();
    expected.sort();
    for watcher in &watchers {
        until(&format!("{} hears of all {} events", watcher.name, expected.len()), || {
            let heard = watcher.events();
            let missing: Vec<_> =
                expected.iter().filter(|event| !heard.contains(event)).map(|(name, _)| name).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("misses {missing:?}")) }
        });
    }
    // Once nobody has a copy left to send, none can come any more.
    for agent in &cluster.agents {
        until(&format!("the queue of {} is empty", agent.name), || same(&queue(agent), &0));
    }
    for watcher in &watchers {
        assert_eq!(watcher.events(), expected, "{} heard some twice, or what nobody sent", watcher.name);
    }
}

/// The first by the agent's own command line, the others by RPC.
fn send(agent: &Agent, each: usize) {
    let coalesce = if agent.kind == Kind::Weir { "--coalesce=false" } else { "-coalesce=false" };
    let output = agent.cli(&["event", coalesce, &name(&agent.name, 0)]);
    assert!(output.status.success(), "{output:?}");
    run(async {
        let mut client = connect(&agent.rpc.to_string()).await;
        for number in 1..each {
            client.event(&name(&agent.name, number), payload(number), false).await.unwrap();
        }
    });
}

fn queue(agent: &Agent) -> u64 {
    let stats = run(async { connect(&agent.rpc.to_string()).await.stats().await.unwrap() });
    stats["serf"]["event_queue"].parse().unwrap()
}

#[test]
#[ignore = "needs serf"]
fn three_hear_every_event_exactly_once() {
    every_event_arrives_exactly_once(3, 40);
}

#[test]
#[ignore = "needs serf"]
fn ten_hear_every_event_exactly_once() {
    every_event_arrives_exactly_once(10, 8);
}
