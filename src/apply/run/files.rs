//! Steps 2 to 6 of `protocols C.2`: candidates, test, journal, exchange.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Going, Run};
use crate::apply::fault::{self, Fault};
use crate::apply::journal::{Abort, Begin, Event, Work};
use crate::apply::master::{Master, Patience};
use crate::apply::namespace::Candidate;
use crate::apply::place::{Candidates, Edit};
use crate::apply::plan::{Change, Plan};
use crate::apply::report::At;
use crate::apply::store::{Saved, SavedFile};
use crate::apply::system::{Nginx, Validation};
use crate::apply::{Error, Report, Step, targets};

impl Run<'_> {
    /// Steps 2 to 9.
    pub(super) fn put(&mut self, nginx: &Nginx<'_>, mut going: Going<'_>, work: Work) -> Result<Report, At> {
        let plan = going.plan;
        let master = nginx.master().map_err(Step::Locate.at())?;
        let prepared = targets::prepare(self.options, nginx, &plan.changes);
        let candidates = match prepared.and_then(|()| Candidates::write(&plan.changes)) {
            Ok(candidates) => candidates,
            Err(error) => return Ok(self.give_up(plan, work, At { step: Step::Write, error })),
        };
        fault::point(Fault::Written);
        let started = Instant::now();
        let tested = self.validate(nginx, plan, &candidates);
        going.validate = started.elapsed();
        let tested = match tested {
            Ok(tested) => tested,
            Err(at) => {
                // What cannot be removed now the next run removes.
                let _ = candidates.clear();
                return Ok(self.give_up(plan, work, at));
            }
        };
        fault::point(Fault::Validated);
        let saved = self.save(plan, going.in_place.as_ref());
        let begun = saved.and_then(|()| {
            let files = plan.changes.iter().map(Change::record).collect();
            let prev = self.journal.state().in_place;
            let begin =
                Begin { generation: plan.generation, prev, untested: tested.is_none(), files, work: work.clone() };
            self.journal.write(Event::Begin(begin))
        });
        if let Err(error) = begun {
            let _ = candidates.clear();
            return Ok(self.give_up(plan, work, At { step: Step::Write, error }));
        }
        fault::point(Fault::Begun);
        let removed: Vec<PathBuf> = plan.removed(going.in_place.as_ref()).map(Path::to_owned).collect();
        let report = self.exchange(nginx, going, candidates, master.as_ref(), tested);
        if report.is_in_place() {
            self.notes.removed.extend(removed);
        }
        Ok(report)
    }

    /// `None`: it has to be in place for its test.
    fn validate(
        &mut self,
        nginx: &Nginx<'_>,
        plan: &Plan,
        candidates: &Candidates<'_>,
    ) -> Result<Option<Patience>, At> {
        let (shown, created): (_, Vec<_>) = (candidates.shown(), plan.created().collect());
        let shown = shown.iter().map(|(target, file)| Candidate { target, file: file.as_deref() });
        let shown: Vec<Candidate<'_>> = shown.collect();
        match nginx.validate(&self.options.weir, &shown, &created, &self.options.ours()) {
            Ok(Validation::Passed(patience)) => Ok(Some(patience)),
            Ok(Validation::NeedsPlacing(hindrance)) => {
                self.notes.hindrance = Some(hindrance);
                Ok(None)
            }
            Err(error) => Err(At { step: Step::Validate, error }),
        }
    }

    /// Copies of what is not ours, and the whole generation.
    fn save(&mut self, plan: &Plan, in_place: Option<&Saved>) -> Result<(), Error> {
        let foreign = plan.changes.iter().filter(|change| change.foreign);
        for (change, before) in foreign.filter_map(|change| Some((change, change.before.as_ref()?))) {
            self.files().keep_copy(&change.path, &before.bytes)?;
        }
        let origin: Vec<(SavedFile, Option<&[u8]>)> = plan
            .changes
            .iter()
            .filter(|change| in_place.is_none_or(|saved| saved.file(&change.path).is_none()))
            .map(|change| (change.origin(), change.before.as_ref().map(|before| before.bytes.as_slice())))
            .collect();
        if !origin.is_empty() {
            self.store.add_origin(&origin)?;
        }
        self.store.save(&plan.manifest(), &plan.bytes(), in_place)?;
        fault::point(Fault::Saved);
        Ok(())
    }

    /// Steps 4 to 6.
    fn exchange(
        &mut self,
        nginx: &Nginx<'_>,
        mut going: Going<'_>,
        mut candidates: Candidates<'_>,
        master: Option<&Master>,
        tested: Option<Patience>,
    ) -> Report {
        let plan = going.plan;
        // Somebody else's bytes may be what they serve.
        let is_known = self.journal.state().settled && !plan.changes.iter().any(|change| change.foreign);
        going.serving = master.filter(|_| is_known).map_or_else(Vec::new, |master| master.workers().serving);
        let placed = candidates.exchange().map_err(Step::Write.at());
        match placed.and_then(|()| self.settle(nginx, plan, &candidates, tested)) {
            Ok(patience) => match master {
                Some(master) => self.load(nginx, going, &candidates, master, patience),
                None => self.stored(nginx, plan, &candidates),
            },
            Err(at) => {
                let undone = self.undo(&candidates);
                let may_be_served = !master.is_some_and(|master| master.kept(&going.serving));
                self.taken_off(plan, &candidates, undone, at, may_be_served)
            }
        }
    }

    /// Nobody has edited meanwhile, the test is passed, and from here a power loss cannot bring the old files back, which NGINX will
    /// not serve any more.
    fn settle(
        &self,
        nginx: &Nginx<'_>,
        plan: &Plan,
        candidates: &Candidates<'_>,
        tested: Option<Patience>,
    ) -> Result<Patience, At> {
        if let Some(Edit { path, .. }) = candidates.edits().map_err(Step::Write.at())?.pop() {
            return Err(At { step: Step::Write, error: Error::Overwritten { path } });
        }
        let patience =
            tested.map_or_else(|| nginx.test(plan, &self.options.ours()), Ok).map_err(Step::Validate.at())?;
        candidates.sync().map_err(Step::Write.at())?;
        fault::point(Fault::Synced);
        Ok(patience)
    }

    /// Exchanges back, and keeps what somebody else wrote meanwhile: before the exchange, and over ours.
    fn undo(&mut self, candidates: &Candidates<'_>) -> Result<(), Error> {
        let displaced = candidates.edits();
        let written_over = candidates.undo()?;
        displaced?.iter().chain(&written_over).try_for_each(|edit| self.files().keep_copy_of(edit))
    }

    /// Nothing was in place; `work` for history.
    fn give_up(&mut self, plan: &Plan, work: Work, At { step, error }: At) -> Report {
        let abort =
            Abort { generation: plan.generation, step, cause: error.clone(), work: Some(work), may_be_served: false };
        // The first error is the one to tell; without a record its number is given again.
        let generation = self.journal.write_abort(abort).unwrap_or(plan.generation);
        Report::refused(Some(generation), step, error)
    }

    /// It was in place for a moment; NGINX was not signalled by us.
    fn taken_off(
        &mut self,
        plan: &Plan,
        candidates: &Candidates<'_>,
        undone: Result<(), Error>,
        At { step, error }: At,
        may_be_served: bool,
    ) -> Report {
        let abort = Abort { generation: plan.generation, step, cause: error.clone(), work: None, may_be_served };
        let ended = undone.and_then(|()| candidates.clear()).and_then(|()| self.journal.write(Event::Abort(abort)));
        match ended {
            Ok(()) => Report::refused(Some(plan.generation), step, error),
            Err(then) => Self::failed(plan.generation, error, then),
        }
    }
}
