//! Checks as far as they can be seen from outside: what they run, whose certificates they trust, and which applications need one.

use std::path::PathBuf;

use super::handlers;
use super::unit::{self, Unit};
use crate::agent::authorities;
use crate::config::{Command, Config, Subject};
use crate::status::doctor::{Authority, Guarded, Handlers};

/// What the configuration says of them, beside the programs and files that are there.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) programs: Handlers,
    pub(super) authorities: Vec<Authority>,
    pub(super) guarded: Guarded,
}

/// Everything about checks, and whose certificates probes trust. `unit` is that of the agent, if it is one's: guards talk to no
/// other. Blocks.
pub(super) fn look(config: &Config, unit: Option<&Unit>) -> Seen {
    let programs = config.checks.iter().filter_map(|check| match &check.subject {
        Subject::Exec(argv) => Some((check.name.clone(), Command::Argv(argv.clone()))),
        Subject::Service { .. } | Subject::Ttl(_) | Subject::Systemd(_) => None,
    });
    let units = if unit.is_some() { unit::guarded() } else { Vec::new() };
    let is_checked = config.checks.iter().any(|check| !matches!(check.subject, Subject::Systemd(_)));
    let port = config.node.tags.get("port").cloned().unwrap_or_default();
    let guarded = Guarded { units, is_checked, port };
    Seen { programs: handlers::judged(programs, unit), authorities: trusted(config, unit), guarded }
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
