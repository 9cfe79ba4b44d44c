//! The published tables, row by row (`protocols D`).

use super::{Check, Drain, Gossip, Intent, Mode, Placed, Previous, Probe, Rank, verdict, witness};

const TABLES: &str = include_str!("../../tests/vectors/server-decisions.json");

fn word<T: Copy>(words: &[(&str, T)], cell: &serde_json::Value) -> T {
    let text = cell.as_str().unwrap();
    words.iter().find(|(word, _)| *word == text).unwrap_or_else(|| panic!("{text:?} is not in the table's words")).1
}

const GOSSIP: [(&str, Gossip); 6] = [
    ("alive", Gossip::Alive),
    ("suspect", Gossip::Suspect),
    ("failed", Gossip::Failed),
    ("unknown", Gossip::Unknown),
    ("leaving", Gossip::Leaving),
    ("left", Gossip::Left),
];
const CHECK: [(&str, Check); 6] = [
    ("passing", Check::Passing),
    ("warning", Check::Warning),
    ("critical", Check::Critical),
    ("silent", Check::Silent),
    ("wait", Check::Wait),
    ("none", Check::None),
];
const PROBE: [(&str, Probe); 5] =
    [("up", Probe::Up), ("open", Probe::Open), ("down", Probe::Down), ("wait", Probe::Wait), ("none", Probe::None)];
const WAS: [(&str, Previous); 3] = [("in", Previous::In), ("out", Previous::Out), ("new", Previous::New)];
const WISH: [(&str, Intent); 8] = [
    ("in", Intent::In),
    ("half", Intent::Half),
    ("lost", Intent::Lost),
    ("stay", Intent::Stay),
    ("warm", Intent::Warm),
    ("sick", Intent::Sick),
    ("dead", Intent::Dead),
    ("gone", Intent::Gone),
];
const DRAIN: [(&str, Drain); 3] =
    [("no", Drain::No), ("asked", Drain::Asked(Rank::Last)), ("promised", Drain::Promised)];
const MODE: [(&str, Mode); 3] = [("normal", Mode::Normal), ("floor", Mode::Floor), ("last", Mode::Last)];
const PLACED: [(&str, Placed); 3] = [("in", Placed::In), ("half", Placed::Half), ("out", Placed::Out)];

fn rows(table: &str, count: usize) -> Vec<Vec<serde_json::Value>> {
    let tables: serde_json::Value = serde_json::from_str(TABLES).unwrap();
    let rows: Vec<Vec<serde_json::Value>> = serde_json::from_value(tables[table].clone()).unwrap();
    assert_eq!(rows.len(), count);
    rows
}

#[test]
fn every_row_of_the_witness_table_holds_with_its_reason() {
    for row in rows("witness", 540) {
        let reason = witness(word(&GOSSIP, &row[0]), word(&CHECK, &row[1]), word(&PROBE, &row[2]), word(&WAS, &row[3]));
        assert_eq!(reason.intent(), word(&WISH, &row[4]), "{row:?}");
        assert_eq!(reason.to_string(), row[5].as_str().unwrap(), "{row:?}");
    }
}

#[test]
fn every_row_of_the_verdict_table_holds_with_its_reason() {
    for row in rows("verdict", 864) {
        let (flapping, held) = (row[2].as_bool().unwrap(), row[5].as_bool().unwrap());
        let (intent, drain, previous, mode) =
            (word(&WISH, &row[0]), word(&DRAIN, &row[1]), word(&WAS, &row[3]), word(&MODE, &row[4]));
        let verdict = verdict(intent, drain, flapping, previous, mode, held);
        assert_eq!(verdict.placed, word(&PLACED, &row[6]), "{row:?}");
        assert_eq!(verdict.reason.to_string(), row[7].as_str().unwrap(), "{row:?}");
    }
}

#[test]
fn the_tables_are_whole() {
    assert_eq!(GOSSIP.len() * CHECK.len() * PROBE.len() * WAS.len(), 540);
    assert_eq!(WISH.len() * DRAIN.len() * 2 * WAS.len() * MODE.len() * 2, 864);
}
