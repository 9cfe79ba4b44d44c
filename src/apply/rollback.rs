//! An operator goes back: the bytes of an earlier generation as a new one, and what that changes held until it is released.

use std::path::PathBuf;

use super::fault::{self, Fault};
use super::journal::{Journal, Outcome, Work, now};
use super::plan::Plan;
use super::report::At;
use super::run::Run;
use super::store::Saved;
use super::targets;
use super::{Apply, Body, Error, Options, Refusal, Report, Rollback, Step, kept, orphan, restore};
use crate::drain::Promises;
use crate::upstream::{Generation, Hold, Holds};

impl Apply {
    pub(super) fn roll_back(&self, rollback: &Rollback) -> Body {
        match self.go_back_to(rollback) {
            Ok(body) => body,
            Err(At { step, error }) => {
                // What is held is not known where it cannot be read, which is what the error says.
                let holds = kept::holds(&self.options.apply.state).unwrap_or_default();
                Body::Restored { report: Report::refused(None, step, error), holds }
            }
        }
    }

    fn go_back_to(&self, Rollback { to, reason, promises }: &Rollback) -> Result<Body, At> {
        let (options, state) = (&self.options, &self.options.apply.state);
        let run = Run::start(options, || kept::keep_promises(state, promises))?;
        let Some(saved) = run.store.load(*to).map_err(Step::Lock.at())? else {
            return Ok(Body::Refused(Refusal::NoGeneration { to: Some(*to) }));
        };
        let in_place = run.in_place().map_err(Step::Lock.at())?;
        let plan = plan(options, &saved, promises, in_place.as_ref(), run.next()).map_err(Step::Plan.at())?;
        let held = kept::holds(state).map_err(Step::Lock.at())?;
        let mut holds = held.clone();
        for upstream in restore::configured(options, &saved).upstreams.keys() {
            holds.explain(upstream, reason.as_ref());
        }
        for upstream in plan.upstreams() {
            holds.hold(upstream, Hold { since: now(), reason: reason.clone() });
        }
        // First of all: without them the next job would take back what this one does.
        kept::keep_holds(state, &holds).map_err(Step::Lock.at())?;
        fault::point(Fault::Stored);
        let work = Work { rollback_to: Some(*to), ..plan.work(in_place.as_ref()) };
        let report = run.carry_out(&plan, in_place, work);
        let holds = if report.is_in_place() { holds } else { restored(state, held).map_err(Step::Lock.at())? };
        Ok(Body::Restored { report, holds })
    }
}

fn restored(state: &std::path::Path, holds: Holds) -> Result<Holds, Error> {
    kept::keep_holds(state, &holds).map(|()| holds)
}

/// The one before the one in place that was live.
pub(super) fn before(journal: &Journal) -> Option<Generation> {
    let in_place = journal.state().in_place;
    let past = journal.history();
    past.iter()
        .rev()
        .find(|past| past.generation < in_place && past.outcome == Outcome::Live)
        .map(|past| past.generation)
}

/// What puts the files of `saved` in place again, as far as their upstreams are configured.
fn plan(
    options: &Options,
    saved: &Saved,
    promises: &Promises,
    in_place: Option<&Saved>,
    next: Generation,
) -> Result<Plan, Error> {
    if !options.targets().any(|target| saved.file(target.output).is_some()) {
        return Err(Error::NothingOf { generation: saved.generation() });
    }
    // The limits of today hold for servers of yesterday.
    targets::read_all(options, &restore::configured(options, saved))?;
    let plan = restore::plan(options, saved, promises, in_place, next)?;
    let mut gone = plan.changes.iter().filter(|change| change.after.is_none());
    let needed = |path: &PathBuf| saved.file(path).is_some_and(|file| orphan::is_needed(file, &options.nginx.config));
    if let Some(change) = gone.find(|change| needed(&change.path)) {
        let (path, upstream) = (change.path.clone(), change.upstream.clone());
        return Err(Error::StillNeeded { generation: saved.generation(), path, upstream });
    }
    Ok(plan)
}
