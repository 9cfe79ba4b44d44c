//! An operator goes back: the bytes of an earlier generation as a new one, and what that changes held until it is released.

use super::fault::{self, Fault};
use super::journal::{Journal, Outcome, Work, now};
use super::plan::{Change, Plan};
use super::report::At;
use super::run::{Run, without_promised};
use super::store::Saved;
use super::targets::{self, page_size};
use super::{Apply, Body, Error, Options, Refusal, Report, Rollback, Step, kept, place};
use crate::drain::Promises;
use crate::nginx::{Turn, render};
use crate::upstream::desired::Target;
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

/// What puts the files of `saved` in place again, as far as their upstreams are configured. Where a server belongs to a node that
/// was told that it may stop, the file is rendered anew without it.
fn plan(
    options: &Options,
    saved: &Saved,
    promises: &Promises,
    in_place: Option<&Saved>,
    next: Generation,
) -> Result<Plan, Error> {
    let mut desired = saved.desired().clone();
    let is_saved = |path| saved.file(path).is_some();
    desired.upstreams.retain(|name, _| options.target(name).is_some_and(|target| is_saved(target.output)));
    let promised = without_promised(&desired, promises);
    let mut plan = Plan::on_top_of(in_place, promised.as_ref().unwrap_or(&desired));
    let mut known = false;
    for target in options.targets() {
        let Some(file) = saved.file(target.output) else { continue };
        known = true;
        let name = &target.options.name;
        let anew = promised.as_ref().and_then(|promised| promised.upstreams.get(name));
        let anew = anew.filter(|anew| desired.upstreams.get(name) != Some(*anew));
        let (after, turn) = match anew {
            Some(wanted) => (Some(rendered(target, wanted, desired.order, next)), next),
            None => (saved.bytes(file)?, file.turn),
        };
        let before = place::look(name, target.output)?;
        if before.as_ref().map(|before| &before.bytes) == after.as_ref() {
            continue;
        }
        let foreign = before.as_ref().is_some_and(|before| !targets::is_ours(in_place, target.output, before));
        if after.is_none() {
            plan.desired.upstreams.remove(name);
        }
        let change = Change::new(name.clone(), target.output.to_owned(), after, before);
        plan.add(Change { foreign, ..change }, turn);
    }
    if !known {
        return Err(Error::NothingOf { generation: saved.generation() });
    }
    // The limits of today hold for servers of yesterday.
    targets::read_all(options, &desired)?;
    plan.end(next, in_place);
    Ok(plan)
}

fn rendered(target: super::Target<'_>, wanted: &Target, order: u64, generation: Generation) -> Vec<u8> {
    render(target.block, wanted, Turn { order, generation }, page_size()).into_bytes()
}
