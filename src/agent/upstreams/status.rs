//! What the balancer has to tell: its upstreams, the last apply, and NGINX as it was seen last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::health::Health;
use super::probes::Probes;
use super::{Ended, Upstreams};
use crate::agent::clock::{self, Calendar};
use crate::apply::{Error, Followed, Kept, Left, Report, RunBy, Waits};
use crate::config::Config;
use crate::error::Trouble;
use crate::nginx::Context;
use crate::status::node::{
    self, Apply, ApplyResult, Balancing, Change, ForeignEdit, Held, HeldUnconfigured, LastApply, Miss, Reload,
};
use crate::template::TemplateName;
use crate::time::{Instant, millis};
use crate::upstream::balancer::Upstream;
use crate::upstream::settle::Applied;
use crate::upstream::{Decision, Generation, Hold, UpstreamName, Want, differences};

/// Edits of others that are remembered.
const MAX_FOREIGN: usize = 8;

/// What is remembered of applies.
#[derive(Debug)]
pub(super) struct Applies {
    /// What is in place.
    generation: Option<Generation>,
    /// Files were put in place, of templates or of NGINX's.
    had_files: bool,
    live_since: Option<Since>,
    /// Since when it may serve something that was not confirmed.
    unconfirmed: Option<Instant>,
    last: Option<Last>,
    reload: Option<Reloaded>,
    /// The latest last.
    foreign: VecDeque<Foreign>,
    orphans: Vec<PathBuf>,
    /// Upstreams whose file is still the one that was there before.
    untouched: BTreeSet<UpstreamName>,
    /// Templates whose files are not as wanted, since when and why.
    misses: BTreeMap<TemplateName, (Instant, Trouble)>,
    /// Upstreams that wait while others go on, since when and why.
    waits: BTreeMap<UpstreamName, (Instant, Trouble)>,
}

/// Since when it is in place.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// This agent saw it come.
    Seen(Instant),
    /// By the records, in milliseconds of Unix time.
    Recorded(u64),
}

/// A file that somebody else had changed.
#[derive(Debug)]
struct Foreign {
    kept: Kept,
    at: Instant,
}

/// The last reload that was confirmed.
#[derive(Debug)]
struct Reloaded {
    generation: Generation,
    at: Instant,
    took: Duration,
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
    pub(super) fn new(generation: Option<Generation>, since: Option<u64>) -> Self {
        Self {
            generation,
            had_files: generation.is_some(),
            live_since: since.map(Since::Recorded),
            unconfirmed: None,
            last: None,
            reload: None,
            foreign: VecDeque::new(),
            orphans: Vec::new(),
            untouched: BTreeSet::new(),
            misses: BTreeMap::new(),
            waits: BTreeMap::new(),
        }
    }

    /// Whether the last apply has left something to be done.
    pub(super) fn last_went_wrong(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !Applied::from(&last.ended.report).is_done())
    }

    /// Why what is wanted is not in place, if the last apply failed.
    pub(super) fn trouble(&self, by: RunBy) -> Option<String> {
        let report = self.last.as_ref().map(|last| &last.ended.report)?;
        (!report.is_in_place()).then(|| report.told(by).what)
    }

    /// Whether files of upstreams that are not configured any more are still there.
    pub(super) fn keeps_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// What is in place.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// There is no record of it any more. Whether one was in place.
    pub(super) fn forget(&mut self) -> bool {
        if self.generation.is_none_or(|generation| generation == Generation(0)) {
            return false;
        }
        (self.generation, self.live_since, self.had_files) = (None, None, false);
        true
    }

    /// That one is in place now.
    pub(super) fn in_place(&mut self, now: Instant, generation: Generation) {
        if generation == Generation(0) {
            return; // nothing of ours is, yet
        }
        if self.generation.replace(generation) != Some(generation) {
            self.live_since = Some(Since::Seen(now));
        }
    }

    /// An apply has ended.
    pub(super) fn ended(&mut self, now: Instant, ended: Ended) {
        let notes = ended.report.notes();
        // What stood there before weir's first file was nobody's edit of it.
        if self.had_files {
            let edits = notes.foreign.iter().filter(|kept| !kept.first);
            self.foreign.extend(edits.map(|kept| Foreign { kept: kept.clone(), at: now }));
            self.foreign.drain(..self.foreign.len().saturating_sub(MAX_FOREIGN));
        }
        if let Some(Left { orphans, untouched }) = &notes.left {
            self.orphans.clone_from(orphans);
            self.untouched = untouched.iter().cloned().collect();
        }
        match &ended.report {
            Report::Live { generation, .. }
            | Report::Unchanged { generation, .. }
            | Report::Stored { generation, .. }
            | Report::RolledBack { restored: generation, .. } => {
                self.in_place(now, *generation);
                self.unconfirmed = None;
            }
            Report::Refused { .. } => {}
            Report::Failed { .. } => {
                self.unconfirmed.get_or_insert(now);
            }
        }
        self.had_files |= ended.report.is_in_place();
        if let Report::Live { generation, took, .. } = &ended.report {
            self.reload = Some(Reloaded { generation: *generation, at: now, took: *took });
        }
        self.take_misses(now, &ended);
        let same = self.last.as_ref().filter(|last| result(&last.ended.report) == result(&ended.report));
        let since = same.map_or(now, |last| last.since);
        self.last = Some(Last { at: now, since, ended });
    }
}

impl Applies {
    /// What came of a request that was not carried out says nothing of templates, and of those that wait.
    fn take_misses(&mut self, now: Instant, Ended { report, by, .. }: &Ended) {
        if !report.was_begun() {
            return;
        }
        let before = std::mem::take(&mut self.misses);
        let miss = |(followed, error): (&Followed, &Error)| {
            let since = before.get(&followed.template).map_or(now, |(since, _)| *since);
            (followed.template.clone(), (since, error.told(*by)))
        };
        self.misses = report.notes().misses().map(miss).collect();
        let before = std::mem::take(&mut self.waits);
        if let Some(Waits { upstreams, error }) = &report.notes().waits {
            let since = |name| before.get(name).map_or(now, |(since, _)| *since);
            self.waits.extend(upstreams.iter().map(|name| (name.clone(), (since(name), error.told(*by)))));
        }
    }

    fn templates(&self, calendar: &Calendar) -> Vec<Miss> {
        self.misses.iter().map(|(name, why)| miss(name, why, calendar)).collect()
    }

    fn waits(&self, calendar: &Calendar) -> Vec<Miss> {
        self.waits.iter().map(|(name, why)| miss(name, why, calendar)).collect()
    }
}

impl Upstreams {
    /// What differs between what is in place and what is wanted.
    pub(super) fn waiting(&self) -> Vec<Change> {
        self.balancer.upstreams().iter().flat_map(waiting).collect()
    }

    /// What there is to tell.
    pub(in crate::agent) fn status(&self, config: &Config, calendar: &Calendar) -> Balancing {
        let applies = &self.applies;
        let upstream = |each: &Upstream| {
            let configured = config.upstreams.iter().find(|configured| configured.options.name == *each.name());
            let file = configured.and_then(|configured| configured.file.as_ref());
            let held = self.balancer.holds().get(each.name()).map(held);
            let told = decided(each, &self.probes, &self.health, calendar);
            let is_untouched = applies.untouched.contains(each.name());
            // What was refused from the start is in no generation.
            let has_generation = each.is_recorded() && applies.generation != Some(Generation(0));
            node::Upstream {
                live: each.is_in_place(),
                generation: applies.generation.filter(|_| has_generation),
                live_since: applies.live_since.filter(|_| has_generation).map(|since| match since {
                    Since::Seen(at) => calendar.date(at),
                    Since::Recorded(millis) => Calendar::unix(millis),
                }),
                since: each.since().map(|since| calendar.date(since)),
                held,
                output: file.map(|file| file.output.display().to_string()),
                stream: file.is_some_and(|file| file.block.context == Context::Stream),
                ..if is_untouched { told.untouched() } else { told }
            }
        };
        let nginx = self.watch.status(calendar, self.applier.run_by());
        let is_needed = !config.upstreams.is_empty() || !config.templates.is_empty();
        let is_read = config.upstreams.iter().any(|upstream| upstream.file.is_some());
        Balancing {
            upstreams: self.balancer.upstreams().iter().map(upstream).collect(),
            nginx: match (is_needed, is_read) {
                (true, true) => nginx,
                (true, false) => nginx.unread(),
                (false, _) => nginx.unneeded(),
            },
            apply: Apply {
                running: self.is_busy(),
                slow: self.busy.status(self.applier.run_by(), calendar),
                unconfirmed_since: applies.unconfirmed.map(|since| calendar.date(since)),
                last: applies.last.as_ref().map(|last| last.status(calendar, is_needed)),
                reload: applies.reload.as_ref().map(|reload| Reload {
                    generation: reload.generation,
                    ended: calendar.moment(reload.at),
                    elapsed_ms: millis(reload.took),
                }),
                foreign: applies.foreign.iter().map(|foreign| foreign.status(calendar)).collect(),
                orphans: applies.orphans.iter().map(|path| path.display().to_string()).collect(),
                templates: applies.templates(calendar),
                waits: applies.waits(calendar),
                held: self.held_unconfigured(),
            },
            isolated_since: self.balancer.isolated_since().map(|since| calendar.date(since)),
        }
    }
}

impl Upstreams {
    fn held_unconfigured(&self) -> Vec<HeldUnconfigured> {
        let is_configured = |name: &UpstreamName| self.balancer.upstreams().iter().any(|each| each.name() == name);
        let holds = self.balancer.holds().iter().filter(|(name, _)| !is_configured(name));
        holds.map(|(name, hold)| HeldUnconfigured { upstream: name.to_string(), held: held(hold) }).collect()
    }
}

fn miss(name: &impl ToString, (since, trouble): &(Instant, Trouble), calendar: &Calendar) -> Miss {
    Miss { name: name.to_string(), since: Some(calendar.date(*since)), trouble: trouble.clone() }
}

fn held(hold: &Hold) -> Held {
    Held { since: Some(Calendar::unix(hold.since)), reason: hold.reason.as_ref().map(ToString::to_string) }
}

impl Foreign {
    fn status(&self, calendar: &Calendar) -> ForeignEdit {
        let Kept { file, copy, .. } = &self.kept;
        let seen = calendar.moment(self.at);
        ForeignEdit { file: file.display().to_string(), copy: copy.display().to_string(), seen }
    }
}

/// What was decided about it, and what of that is not in place.
fn decided(upstream: &Upstream, probes: &Probes, health: &Health, calendar: &Calendar) -> node::Upstream {
    let name = upstream.name();
    let Some(decision) = upstream.decision() else { return node::Upstream::undecided(name.as_str()) };
    let mut told = node::Upstream::decided(name, decision, upstream.live());
    let now = clock::now();
    for (server, judged) in told.servers.iter_mut().zip(&decision.members) {
        server.held_down_until = upstream.held_down_until(now, &judged.name).map(|until| calendar.date(until));
        server.since = upstream.standing_since(&judged.name).map(|since| calendar.date(since));
        server.probe = probes.status(name, &judged.name, calendar);
        server.check = health.of(&judged.name, calendar).and_then(|known| known.complaint());
    }
    told.waiting = waiting(upstream);
    told.min_healthy = Some(upstream.min_healthy());
    told
}

/// What it should have and has not.
fn waiting(upstream: &Upstream) -> Vec<Change> {
    upstream.decision().map_or_else(Vec::new, |decision| changes_to(upstream, decision))
}

/// What `decision` would change of what is in place.
pub(super) fn changes_to(upstream: &Upstream, decision: &Decision) -> Vec<Change> {
    let wanted = match &decision.want {
        Want::Servers(servers) => Some(servers),
        Want::Placeholder => None,
        Want::Hold(_) => return Vec::new(),
    };
    let waiting = differences(upstream.live(), wanted);
    waiting.iter().map(|difference| Change::new(upstream.name(), difference)).collect()
}

impl Last {
    fn status(&self, calendar: &Calendar, is_needed: bool) -> LastApply {
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
            nginx_error: nginx_error(report),
            helper_missing: is_needed && is_unanswered(report),
            message,
            remedy: Some(way_out).filter(|way_out| !way_out.is_empty()),
        }
    }
}

/// Whether nobody was there to apply it, or nobody who could be understood.
const fn is_unanswered(report: &Report) -> bool {
    matches!(report, Report::Refused { error: Error::Unanswered { .. }, .. })
}

/// NGINX's own words against a file that is not ours.
fn nginx_error(report: &Report) -> Option<String> {
    match report {
        Report::Refused { error: Error::Test { problem, .. }, ours: false, .. } if problem.file.is_some() => {
            Some(problem.to_string())
        }
        Report::Refused { .. }
        | Report::Live { .. }
        | Report::Unchanged { .. }
        | Report::Stored { .. }
        | Report::RolledBack { .. }
        | Report::Failed { .. } => None,
    }
}

pub(super) const fn result(report: &Report) -> ApplyResult {
    match report {
        Report::Live { .. } => ApplyResult::Live,
        Report::Unchanged { .. } => ApplyResult::Unchanged,
        Report::Stored { .. } => ApplyResult::Stored,
        Report::Refused { .. } => ApplyResult::Refused,
        Report::RolledBack { .. } => ApplyResult::RolledBack,
        Report::Failed { .. } => ApplyResult::Failed,
    }
}
