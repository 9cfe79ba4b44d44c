//! The lines of the operator's timeline that an apply leaves.

use tracing::field::display;
use tracing::{error, info, warn};

use super::Ended;
use crate::apply::Report;
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

/// One line of the operator's timeline: who, from what to what.
pub(super) fn tell_report(Ended { report, took, by }: &Ended, Asked { upstream, servers }: &Asked) {
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
