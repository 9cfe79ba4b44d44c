//! Names that Serf takes and our own files would not: whoever comes from Serf brings them along.

use super::stage::{Pair, Program, Stage};
use crate::support::until;

/// 140 bytes.
const LONG: &str = concat!(
    "a-long-name-a-long-name-a-long-name-a-long-name-a-long-name-a-long-nam",
    "e-a-long-name-a-long-name-a-long-name-a-long-name-a-long-name-a-long-n",
);

/// A name of so many bytes, for as long as the test runs.
fn of_bytes(bytes: usize) -> &'static str {
    Box::leak("n".repeat(bytes).into_boxed_str())
}

#[test]
fn names_are_taken_as_serf_takes_them() {
    for agent in [Program::Serf, Program::Weir] {
        for name in ["web 1", "café-ü", "a/b", LONG, of_bytes(300), of_bytes(512)] {
            let mut stage = Stage::new(Pair { client: agent, agent }, None);
            stage.start(name, &[]);
            stage.start("web1", &[]);
            stage.await_status(&[0, 1], name, "alive");
        }
    }
}

/// All that gossip says of such members still reaches everybody: who joins and who fails, and answers to queries.
#[test]
fn the_longest_name_is_a_member_like_any_other() {
    let long = of_bytes(512);
    let mut stage = Stage::new(Pair { client: Program::Weir, agent: Program::Weir }, None);
    stage.start("weir", &["-tag", "role=lb"]);
    stage.start(long, &["-tag", "role=web"]);
    stage.start("serf", &[]);
    for node in &stage.nodes {
        let run = stage.ask(Program::Serf, node.rpc, &["query", "-timeout=2s", "q"]);
        assert!(run.stdout.contains(&format!("Ack from '{long}'")), "{run:?}");
    }
    drop(stage.nodes.remove(1));
    stage.await_status(&[0, 1], long, "failed");
}

/// Serf takes it and weir does not: weir's operator hears of it, and nobody fails for it.
#[test]
fn a_name_that_is_too_long_is_told_and_harms_nobody() {
    let mut stage = Stage::new(Pair { client: Program::Weir, agent: Program::Weir }, None);
    stage.start("weir", &[]);
    stage.start("serf", &[]);
    stage.launch(of_bytes(700), &[]);
    let (weir, long) = (&stage.nodes[0], &stage.nodes[2]);
    let told =
        format!("a host's name is too long for it to be a member here; set a shorter one there addr={}", long.gossip);
    until("it is told", || if weir.process.log().contains(&told) { Ok(()) } else { Err(weir.process.log()) });
    assert_eq!(weir.process.log().matches(&told).count(), 1);
    // It pings weir and takes it for alive, since weir answers; whoever does not has failed by then.
    drop(stage.nodes.remove(1));
    stage.await_status(&[0, 1], "serf", "failed");
    stage.await_status(&[1], "weir", "alive");
    assert!(!stage.nodes[1].process.log().contains("EventMemberFailed: weir"), "{}", stage.nodes[1].process.log());
}
