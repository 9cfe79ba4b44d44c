//! The same commands, four times: by the real `serf` and by weir under that name, at a real Serf agent and at weir in its
//! place, started with the same arguments beside the same peers. Whatever `serf` prints at `serf` is what all print.
//!
//! Names of addresses take the place of addresses, times and distances lose their digits, and what is random is put in
//! order; spacing, words and exit codes have to be equal. Where weir does the right thing instead, the story says so with
//! what it then prints ([`record::Record::differs`]).

mod keys;
mod monitor;
mod names;
mod plain;
mod record;
mod stage;
mod tags_file;

use record::Record;
use stage::{Pair, Program};

/// Runs one story with every pair of programs at the same time, and compares what they recorded.
fn same_for_all(story: fn(Pair) -> Record) {
    let pairs = [Program::Serf, Program::Weir]
        .into_iter()
        .flat_map(|agent| [Program::Serf, Program::Weir].map(|client| Pair { client, agent }));
    let running: Vec<_> = pairs.map(|pair| (pair, std::thread::spawn(move || story(pair)))).collect();
    let mut records: Vec<_> = running.into_iter().map(|(pair, thread)| (pair, thread.join().unwrap())).collect();
    let (_, reference) = records.remove(0);
    let differences: Vec<String> =
        records.iter().flat_map(|(pair, record)| record.differences(&reference, *pair)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
