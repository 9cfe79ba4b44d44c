//! The lines of the operator's timeline that an apply leaves.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tracing::field::display;
use tracing::{debug, error, info, warn};

use super::Ended;
use crate::apply::{Kept, Notes, Report};
use crate::time::millis;
use crate::upstream::balancer::Balancer;
use crate::upstream::desired::Desired;
use crate::upstream::{Difference, UpstreamName, differences};

/// Changes of servers that a line names.
const MAX_CHANGES: usize = 12;

/// What an apply was asked to change, in the words of its log line.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The upstreams whose servers change, if any do.
    upstream: Option<String>,
    /// From what to what.
    servers: Option<String>,
}

impl Asked {
    pub(super) fn new(balancer: &Balancer, desired: &Desired) -> Self {
        let changes = balancer.upstreams().iter().filter_map(|upstream| {
            let wanted = desired.upstreams.get(upstream.name())?;
            let changes = differences(upstream.live(), wanted.servers());
            (!changes.is_empty()).then(|| (upstream.name(), changes))
        });
        let changes: Vec<(&UpstreamName, Vec<Difference>)> = changes.collect();
        let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
        let told = |(name, changes): &(&UpstreamName, Vec<Difference>)| {
            let mut text = if names.len() > 1 { format!("{name}: ") } else { String::new() };
            let shown: Vec<String> = changes.iter().take(MAX_CHANGES).map(ToString::to_string).collect();
            text.push_str(&shown.join(", "));
            if let Some(more) = changes.len().checked_sub(MAX_CHANGES).filter(|more| *more > 0) {
                text.push_str(&format!(" and {more} more"));
            }
            text
        };
        let servers: Vec<String> = changes.iter().map(told).collect();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { upstream: some(names.join(",")), servers: some(servers.join("; ")) }
    }
}

/// What was told, so that it is told once.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// How the last apply ended, if not well, and what it was to change.
    trouble: Option<(&'static str, String, Option<String>)>,
    /// Files that nobody is configured to write any more.
    orphans: BTreeSet<PathBuf>,
    /// Why files have to be in place for their test.
    hindered: bool,
}

impl Timeline {
    /// One line of the operator's timeline, who, from what to what, unless an attempt came to the same end as the one before; and
    /// what it saw or did besides.
    pub(super) fn tell(&mut self, ended: &Ended, asked: &Asked) {
        let report = &ended.report;
        let is_well = matches!(report, Report::Live { .. } | Report::Unchanged { .. });
        let is_known = self.trouble.as_ref().is_some_and(|(word, what, servers)| {
            let same_servers = asked.servers.is_none() || asked.servers == *servers;
            *word == report.word() && *what == report.what() && same_servers
        });
        if is_known && !is_well {
            debug!(result = report.word(), "tried again, with the same end");
        } else {
            tell_report(ended, asked);
            self.trouble = (!is_well).then(|| (report.word(), report.what(), asked.servers.clone()));
        }
        self.tell_notes(report.notes());
    }

    fn tell_notes(&mut self, Notes { foreign, orphans, hindrance }: &Notes) {
        for Kept { file, copy, line } in foreign {
            let (file, copy) = (file.display(), copy.display());
            warn!(%file, line, %copy, "file of somebody else replaced, a copy is kept");
        }
        for file in orphans.iter().filter(|file| !self.orphans.contains(*file)) {
            let file = file.display();
            warn!(%file, "file of no upstream stays, a site needs it");
        }
        self.orphans = orphans.iter().cloned().collect();
        if let Some(hindrance) = hindrance
            && !std::mem::replace(&mut self.hindered, true)
        {
            warn!(%hindrance, "new files have to be in place while nginx tests them");
        }
    }
}

fn tell_report(Ended { report, took, by }: &Ended, Asked { upstream, servers }: &Asked) {
    let elapsed_ms = millis(*took);
    let (upstream, servers) = (upstream.as_deref(), servers.as_deref());
    match report {
        Report::Live { generation, upstreams, .. } => {
            let files = upstreams.iter().map(UpstreamName::as_str).collect::<Vec<_>>().join(",");
            let upstream = upstream.or(Some(files.as_str()).filter(|files| !files.is_empty()));
            info!(upstream, %generation, servers, elapsed_ms, "apply live");
        }
        Report::Unchanged { generation, .. } => info!(upstream, %generation, servers, elapsed_ms, "apply unchanged"),
        Report::Stored { generation, .. } => {
            warn!(upstream, %generation, servers, elapsed_ms, error = %report.told(*by), "apply stored");
        }
        Report::Refused { generation, step, ours, .. } => {
            let generation = generation.map(display);
            error!(upstream, generation, %step, ours, servers, elapsed_ms, error = %report.told(*by), "apply refused");
        }
        Report::RolledBack { failed, .. } => {
            error!(upstream, generation = %failed, servers, elapsed_ms, error = %report.told(*by), "apply rolled back");
        }
        Report::Failed { failed, .. } => {
            error!(upstream, generation = %failed, servers, elapsed_ms, error = %report.told(*by), "apply failed");
        }
    }
}
