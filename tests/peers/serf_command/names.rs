//! Names that Serf takes and our own files would not: whoever comes from Serf brings them along.

use super::stage::{Pair, Program, Stage};

/// 140 bytes.
const LONG: &str = concat!(
    "a-long-name-a-long-name-a-long-name-a-long-name-a-long-name-a-long-nam",
    "e-a-long-name-a-long-name-a-long-name-a-long-name-a-long-name-a-long-n",
);

#[test]
fn names_are_taken_as_serf_takes_them() {
    for agent in [Program::Serf, Program::Weir] {
        for name in ["web 1", "café-ü", "a/b", LONG] {
            let mut stage = Stage::new(Pair { client: agent, agent }, None);
            stage.start(name, &[]);
            stage.start("web1", &[]);
            stage.await_status(&[0, 1], name, "alive");
        }
    }
}
