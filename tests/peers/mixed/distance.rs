//! Coordinates, and the round trip times that follow from them.

use super::cluster::Cluster;
use super::watch::{connect, run};
use crate::support::{Agent, Kind, serf, until, weir};

/// On one machine nothing is farther away than this, however busy it is.
const FAR_MS: f64 = 500.0;

fn estimate(text: &[u8], one: &str, other: &str) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    let millis =
        text.strip_prefix(&format!("Estimated {one} <-> {other} rtt: ")).and_then(|rest| rest.split_once(" ms"));
    millis.and_then(|(millis, _)| millis.parse().ok()).ok_or_else(|| format!("{text:?}"))
}

fn has_coordinates(agent: &Agent, names: &[String]) -> Result<(), String> {
    run(async {
        let mut client = connect(&agent.rpc.to_string()).await;
        for name in names {
            let coordinate = client.coordinate(name).await.map_err(|error| error.to_string())?;
            let coordinate = coordinate.ok_or_else(|| format!("{} knows no coordinate of {name}", agent.name))?;
            let numbers = coordinate.vec.iter().chain([&coordinate.error, &coordinate.height, &coordinate.adjustment]);
            assert!(numbers.into_iter().all(|number| number.is_finite()), "{coordinate:?}");
            assert_eq!(coordinate.vec.len(), 8);
        }
        Ok(())
    })
}

fn distances_agree(size: usize) {
    let cluster = Cluster::start(size);
    let names: Vec<_> = cluster.names().into_iter().collect();
    for agent in &cluster.agents {
        until(&format!("{} has probed everybody", agent.name), || has_coordinates(agent, &names));
    }
    for agent in cluster.one_of_each() {
        for other in &names {
            let output = agent.cli(&["rtt", &agent.name, other]);
            assert!(output.status.success(), "{output:?}");
            let millis = estimate(&output.stdout, &agent.name, other).unwrap();
            assert!((0.0..FAR_MS).contains(&millis), "{} to {other}: {millis} ms", agent.name);
        }
    }
    // Both command lines say the same of the same agent, unless a probe came between them.
    for agent in cluster.one_of_each() {
        let other = &cluster.one_of_each()[usize::from(agent.kind == Kind::Weir)].name;
        until(&format!("both command lines agree on what {} says", agent.name), || {
            let [ours, theirs] = [weir, serf].map(|run| run(agent.rpc, &["rtt", &agent.name, other]).stdout);
            let [ours, theirs] = [estimate(&ours, &agent.name, other)?, estimate(&theirs, &agent.name, other)?];
            if (ours - theirs).abs() <= 0.001 { Ok(()) } else { Err(format!("{ours} ms and {theirs} ms")) }
        });
    }
}

#[test]
#[ignore = "needs serf"]
fn three_know_each_others_coordinates_and_distances() {
    distances_agree(3);
}

#[test]
#[ignore = "needs serf"]
fn ten_know_each_others_coordinates_and_distances() {
    distances_agree(10);
}
