//! The parts of the program that `log.level` may name are those that log.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use weir::config::LogFilter;

/// Whether a file, or one below a directory, logs outside of tests.
fn logs(path: &Path, event: &Regex) -> bool {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().any(|entry| logs(&entry.unwrap().path(), event));
    }
    if path.file_name().is_some_and(|name| name == "tests.rs") {
        return false;
    }
    let text = std::fs::read_to_string(path).unwrap();
    let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    program.lines().any(|line| !line.trim_start().starts_with("//") && event.is_match(line))
}

#[test]
fn every_part_that_may_have_a_level_logs_and_no_other_does() {
    let event = Regex::new(r"\b(error|warn|info|debug|trace)!\(").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = std::fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path());
    let parts: BTreeSet<String> = entries
        .filter(|path| logs(path, &event))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(parts, LogFilter::PARTS.map(str::to_owned).into());
}
