//! The lines of the operator's timeline that an apply leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tracing::field::display;
use tracing::{debug, error, info, warn};

use super::Ended;
use crate::apply::{End, Followed, Kept, Left, Notes, Report, RunBy, Waits};
use crate::template::TemplateName;
use crate::time::millis;
use crate::upstream::balancer::Balancer;
use crate::upstream::desired::Desired;
use crate::upstream::{Difference, UpstreamName, differences};

/// Changes of servers that a line names.
const MAX_CHANGES: usize = 12;

/// What an apply was asked to change, in the words of its log line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
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
    trouble: Option<(&'static str, String, Asked)>,
    /// Files that nobody is configured to write any more.
    orphans: BTreeSet<PathBuf>,
    /// Upstreams whose file is still the one that was there before.
    untouched: BTreeSet<UpstreamName>,
    /// That files have to be in place for their test.
    hindered: bool,
    /// Templates whose files are not as wanted, and why.
    misses: BTreeMap<TemplateName, String>,
    /// Why upstreams wait while others go on.
    waits: Option<Waits>,
}

impl Timeline {
    /// One line of the operator's timeline, who, from what to what, unless an attempt came to the same end as the one before; and
    /// what it saw or did besides.
    pub(super) fn tell(&mut self, ended: &Ended, asked: &Asked) {
        if self.is_repeated(&ended.report, asked) {
            debug!(result = ended.report.word(), "tried again, with the same end");
        } else {
            tell_report(ended, asked);
        }
        self.tell_notes(ended.report.notes());
        self.tell_templates(ended);
        self.tell_waits(ended);
    }

    /// Once, as long as they wait for the same.
    fn tell_waits(&mut self, Ended { report, by, .. }: &Ended) {
        let waits = report.notes().waits.clone();
        if let Some(Waits { upstreams, error }) = waits.as_ref().filter(|_| waits != self.waits) {
            let upstream = upstreams.iter().map(UpstreamName::as_str).collect::<Vec<_>>().join(",");
            error!(upstream, error = %error.told(*by), "apply goes on without it");
        }
        self.waits = waits;
    }

    /// Whether an attempt has failed, or was stored, just as the one before. Takes note of it.
    fn is_repeated(&mut self, report: &Report, asked: &Asked) -> bool {
        let is_well = matches!(report, Report::Live { .. } | Report::Unchanged { .. });
        let (word, what) = (report.word(), report.what());
        let is_repeated = self.trouble.as_ref().is_some_and(|(last_word, last_what, last_asked)| {
            let same_change = asked.servers.is_none() || asked == last_asked;
            *last_word == word && *last_what == what && same_change
        });
        if !is_repeated {
            self.trouble = (!is_well).then(|| (word, what, asked.clone()));
        }
        is_repeated
    }

    fn tell_notes(&mut self, Notes { foreign, removed, left, hindrance, .. }: &Notes) {
        for Kept { file, copy, line, first } in foreign {
            let (file, copy) = (file.display(), copy.display());
            match first {
                true => info!(%file, %copy, "file that was there before weir's replaced, a copy is kept"),
                false => warn!(%file, line, %copy, "file of somebody else replaced, a copy is kept"),
            }
        }
        for file in removed {
            let file = file.display();
            warn!(%file, "file was taken away by somebody else, it is written again");
        }
        if let Some(left) = left {
            self.tell_left(left);
        }
        if let Some(hindrance) = hindrance
            && !std::mem::replace(&mut self.hindered, true)
        {
            warn!(%hindrance, "new files have to be in place while nginx tests them");
        }
    }

    fn tell_left(&mut self, Left { orphans, untouched }: &Left) {
        for file in orphans.iter().filter(|file| !self.orphans.contains(*file)) {
            let file = file.display();
            warn!(%file, "file of no upstream stays, a site needs it");
        }
        self.orphans = orphans.iter().cloned().collect();
        for upstream in untouched.iter().filter(|upstream| !self.untouched.contains(*upstream)) {
            warn!(%upstream, "no server yet, the file that was there before stays");
        }
        self.untouched = untouched.iter().cloned().collect();
    }

    /// One line for each template whose file changed, or from now on is not as it should be.
    fn tell_templates(&mut self, Ended { report, by, .. }: &Ended) {
        let known = std::mem::take(&mut self.misses);
        for Followed { template, end } in &report.notes().templates {
            let error = end.error().map(|error| error.told(*by).to_string());
            if error.is_some() && known.get(template) == error.as_ref() {
                debug!(%template, "tried again, with the same end");
            } else {
                tell_template(template, end, *by);
            }
            self.misses.extend(error.map(|error| (template.clone(), error)));
        }
    }
}

fn tell_template(template: &TemplateName, end: &End, by: RunBy) {
    match end {
        End::Live { generation, took } => {
            info!(%template, %generation, elapsed_ms = millis(*took), "template live");
        }
        End::Refused { error } => error!(%template, error = %error.told(by), "template refused"),
        End::RolledBack { error } => error!(%template, error = %error.told(by), "template rolled back"),
        End::Failed { error, then } => {
            error!(%template, error = %error.told(by), then = %then.told(by), "template failed");
        }
    }
}

fn tell_report(Ended { report, took, by }: &Ended, Asked { upstream, servers }: &Asked) {
    let elapsed_ms = millis(*took);
    let (upstream, servers) = (upstream.as_deref(), servers.as_deref());
    match report {
        Report::Live { generation, upstreams, notes, .. } if notes.renewed && upstreams.is_empty() => {
            info!(%generation, elapsed_ms, "watched files loaded");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Error, Notes, Step};
    use crate::upstream::Generation;

    #[test]
    fn an_attempt_that_ends_as_the_one_before_is_told_once() {
        let stopped = || Error::NotRunning { unit: Some("nginx.service".to_owned()) };
        let stored =
            |number| Report::Stored { generation: Generation(number), why: stopped(), notes: Notes::default() };
        let refused =
            |error| Report::Refused { generation: None, step: Step::Lock, error, ours: false, notes: Notes::default() };
        let unchanged = || Report::Unchanged { generation: Generation(3), notes: Notes::default() };
        let mut timeline = Timeline::default();
        // How an apply ends, the servers that it was to change and whose, and whether that was told before.
        for (number, (report, servers, upstream, is_repeated)) in [
            (stored(3), Some("web2 in"), "web", false),
            (stored(3), None, "web", true),
            (stored(3), None, "web", true),
            (stored(4), Some("web3 in"), "web", false),
            (unchanged(), None, "web", false),
            (unchanged(), None, "web", false),
            (stored(4), None, "web", false),
            (refused(Error::MasterGone), Some("web3 in"), "web", false),
            (refused(Error::MasterGone), Some("web3 in"), "web", true),
            (refused(stopped()), Some("web3 in"), "web", false),
            (refused(stopped()), Some("web3 in, web4 in"), "web", false),
            (refused(stopped()), Some("web3 in, web4 in"), "api", false),
            (refused(stopped()), Some("web3 in, web4 in"), "api", true),
        ]
        .into_iter()
        .enumerate()
        {
            let asked = Asked { upstream: servers.map(|_| upstream.to_owned()), servers: servers.map(str::to_owned) };
            assert_eq!(timeline.is_repeated(&report, &asked), is_repeated, "{number}");
        }
    }
}
