//! What the balancer has to tell: its upstreams, the last apply, and NGINX as it was seen last.

use std::path::PathBuf;

use tracing::warn;

use super::{Ended, Upstreams};
use crate::agent::clock::Calendar;
use crate::apply::{Error, Kept, Notes, Report};
use crate::error::Trouble;
use crate::status::node::{self, Apply, ApplyResult, Balancing, LastApply};
use crate::time::{Instant, millis};
use crate::upstream::Generation;
use crate::upstream::balancer::Upstream;
use crate::upstream::settle::Applied;

/// What is remembered of applies.
#[derive(Debug)]
pub(super) struct Applies {
    /// What is in place.
    generation: Option<Generation>,
    /// Since when it may serve something that was not confirmed.
    unconfirmed: Option<Instant>,
    last: Option<Last>,
    /// Files of upstreams that are not configured any more, as told last.
    orphans: Vec<PathBuf>,
}

/// How the last apply ended.
#[derive(Debug)]
struct Last {
    at: Instant,
    /// When the first of those in a row ended that ended like this one.
    since: Instant,
    ended: Ended,
}

impl Applies {
    /// An earlier run has left `generation` in place, if any.
    pub(super) fn new(generation: Option<Generation>) -> Self {
        Self { generation, unconfirmed: None, last: None, orphans: Vec::new() }
    }

    /// Whether the last apply has left something to be done.
    pub(super) fn last_went_wrong(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !Applied::from(&last.ended.report).is_done())
    }

    /// What an apply did besides, one line each; a file that nobody owns any more is told of once.
    pub(super) fn tell_notes(&mut self, ended: &Ended) {
        let Notes { foreign, orphans, .. } = ended.report.notes();
        for Kept { file, copy } in foreign {
            warn!(file = %file.display(), copy = %copy.display(), "file of somebody else replaced, a copy is kept");
        }
        for file in orphans.iter().filter(|file| !self.orphans.contains(file)) {
            warn!(file = %file.display(), "file of no upstream stays, a site needs it");
        }
        self.orphans.clone_from(orphans);
    }

    /// An apply has ended.
    pub(super) fn ended(&mut self, now: Instant, ended: Ended) {
        match &ended.report {
            Report::Live { generation, .. }
            | Report::Unchanged { generation, .. }
            | Report::Stored { generation, .. }
            | Report::RolledBack { restored: generation, .. } => {
                (self.generation, self.unconfirmed) = (Some(*generation), None);
            }
            Report::Refused { .. } => {}
            Report::Failed { .. } => {
                self.unconfirmed.get_or_insert(now);
            }
        }
        let same = self.last.as_ref().filter(|last| result(&last.ended.report) == result(&ended.report));
        let since = same.map_or(now, |last| last.since);
        self.last = Some(Last { at: now, since, ended });
    }
}

impl Upstreams {
    /// What there is to tell.
    pub(in crate::agent) fn status(&self, calendar: &Calendar) -> Balancing {
        let applies = &self.applies;
        let upstream = |each: &Upstream| {
            let name = each.name();
            let told = each.decision().map(|decision| node::Upstream::decided(name, decision));
            node::Upstream {
                live: each.is_in_place(),
                generation: applies.generation,
                since: each.since().map(|since| calendar.date(since)),
                ..told.unwrap_or_else(|| node::Upstream::undecided(name.as_str()))
            }
        };
        Balancing {
            upstreams: self.balancer.upstreams().iter().map(upstream).collect(),
            nginx: self.watch.status(calendar),
            apply: Apply {
                running: self.applying.is_some(),
                unconfirmed_since: applies.unconfirmed.map(|since| calendar.date(since)),
                last: applies.last.as_ref().map(|last| last.status(calendar)),
            },
        }
    }
}

impl Last {
    fn status(&self, calendar: &Calendar) -> LastApply {
        let Ended { report, took, by } = &self.ended;
        let Trouble { what: message, way_out } = report.told(*by);
        let (step, ours, foreign_edit) = match report {
            Report::Refused { step, error, ours, .. } => {
                (Some(step.to_string()), Some(*ours), matches!(error, Error::ForeignEdit { .. }))
            }
            Report::Live { .. }
            | Report::Unchanged { .. }
            | Report::Stored { .. }
            | Report::RolledBack { .. }
            | Report::Failed { .. } => (None, None, false),
        };
        LastApply {
            result: result(report).into(),
            ended: calendar.moment(self.at),
            since: Some(calendar.date(self.since)),
            elapsed_ms: millis(*took),
            generation: report.generation(),
            step,
            ours,
            foreign_edit,
            message,
            remedy: Some(way_out).filter(|way_out| !way_out.is_empty()),
        }
    }
}

const fn result(report: &Report) -> ApplyResult {
    match report {
        Report::Live { .. } => ApplyResult::Live,
        Report::Unchanged { .. } => ApplyResult::Unchanged,
        Report::Stored { .. } => ApplyResult::Stored,
        Report::Refused { .. } => ApplyResult::Refused,
        Report::RolledBack { .. } => ApplyResult::RolledBack,
        Report::Failed { .. } => ApplyResult::Failed,
    }
}
