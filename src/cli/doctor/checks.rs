//! Checks as far as they can be seen from outside: what they run, and whose certificates they trust.

use std::path::PathBuf;

use super::handlers;
use super::unit::Unit;
use crate::agent::authorities;
use crate::config::{Command, Config, Subject};
use crate::status::doctor::{Authority, Handlers};

/// What the configuration says of them, beside the programs and files that are there.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) programs: Handlers,
    pub(super) authorities: Vec<Authority>,
}

/// Everything about checks, and whose certificates probes trust. Blocks.
pub(super) fn look(config: &Config, unit: Option<&Unit>) -> Seen {
    let programs = config.checks.iter().filter_map(|check| match &check.subject {
        Subject::Exec(argv) => Some((check.name.clone(), Command::Argv(argv.clone()))),
        Subject::Service { .. } | Subject::Ttl(_) | Subject::Systemd(_) => None,
    });
    Seen { programs: handlers::judged(programs, unit), authorities: trusted(config, unit) }
}

fn trusted(config: &Config, unit: Option<&Unit>) -> Vec<Authority> {
    let named = authorities::named(config);
    let paths: Vec<PathBuf> = named.iter().map(|authority| authority.path.clone()).collect();
    let access = unit.filter(|_| !paths.is_empty()).and_then(|unit| unit.access(&paths)).unwrap_or_default();
    let of = |(index, authority): (usize, &authorities::Authority)| Authority {
        key: authority.key(),
        path: authority.path.display().to_string(),
        trouble: authority.trouble(),
        access: access.get(index).cloned(),
    };
    named.iter().enumerate().map(of).collect()
}
