//! One run, from the lock to the last record: the steps of `protocols C.2`.

mod files;
mod load;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::journal::{Journal, Work};
use super::lock::Lock;
use super::namespace::Candidate;
use super::orphan::{self, Orphan};
use super::place::Candidates;
use super::plan::{Change, Plan};
use super::proc::Process;
use super::recover::Files;
use super::report::{At, Left, Notes, Settled, Waits};
use super::store::{Saved, Store};
use super::system::{Nginx, Validation};
use super::targets;
use super::template::{self, Outcome};
use super::tree::read_tree;
use super::{Deaths, Error, Options, Report, Step, Target, feature, fingerprint, import, kept, restore};
use crate::drain::Promises;
use crate::nginx::Form;
use crate::upstream::desired::Desired;
use crate::upstream::{Causes, Generation, UpstreamName};

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Run<'a> {
    options: &'a Options,
    pub(super) journal: Journal,
    pub(super) store: Store,
    notes: Notes,
    /// Of whom nobody is to wait any longer once they are out.
    dead: Deaths,
    started: Instant,
    _lock: Lock,
}

/// A plan that is being carried out.
#[derive(Debug)]
struct Going<'p> {
    plan: &'p Plan,
    in_place: Option<Saved>,
    validate: Duration,
    /// The workers that serve what is in place, noted before anything took its place; none if that is not known.
    serving: Vec<Process>,
    /// The one that failed, if this is the way back from it.
    after: Option<Generation>,
}

impl<'p> Going<'p> {
    fn of(plan: &'p Plan, in_place: Option<Saved>) -> Self {
        Self { plan, in_place, validate: Duration::ZERO, serving: Vec::new(), after: None }
    }
}

impl<'a> Run<'a> {
    /// Takes the lock, does what comes `first`, takes over what an older version left, and ends what a run that died left half done,
    /// as far as files go.
    pub(super) fn start(options: &'a Options, first: impl FnOnce() -> Result<(), Error>) -> Result<Self, At> {
        let started = Instant::now();
        let lock = Lock::take(&options.apply.state).map_err(Step::Lock.at())?;
        first().map_err(Step::Lock.at())?;
        let journal = Journal::read(&options.apply.state).map_err(Step::Lock.at())?;
        let store = Store::new(&options.apply.state);
        let (notes, dead) = (Notes::default(), Deaths::default());
        let mut run = Self { options, journal, store, notes, dead, started, _lock: lock };
        import::take_over(options, &mut run.journal, &run.store).map_err(Step::Lock.at())?;
        run.files().settle().map_err(Step::Lock.at())?;
        Ok(run)
    }

    fn files(&mut self) -> Files<'_> {
        Files { options: self.options, store: &self.store, journal: &mut self.journal, notes: &mut self.notes }
    }

    /// The generation in place; `None` before the first.
    pub(super) fn in_place(&self) -> Result<Option<Saved>, Error> {
        match self.journal.state().in_place {
            Generation(0) => Ok(None),
            generation => self.store.need(generation).map(Some).map_err(|error| match error {
                Error::NotKept { .. } | Error::Record { .. } => {
                    Error::Lost { generation, state: self.options.apply.state.clone(), why: Box::new(error) }
                }
                other => other,
            }),
        }
    }

    /// Brings a document in place.
    pub(super) fn apply(mut self, desired: &Desired, causes: &Causes, dead: &Deaths) -> Report {
        self.dead = dead.clone();
        let brought = if self.is_for_nginx() { self.bring(desired, causes) } else { self.bring_nothing(desired) };
        let report = brought.unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
        let outcome = template::follow(self.options, desired, self.journal.state().in_place);
        self.note(outcome);
        self.end(report)
    }

    /// Has NGINX confirm what is in place.
    pub(super) fn recover(mut self) -> Report {
        let confirmed = if self.is_for_nginx() { self.confirm_alone() } else { self.bring_nothing(&Desired::new(0)) };
        let report = confirmed.unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
        let outcome = template::recover(self.options);
        self.note(outcome);
        self.end(report)
    }

    /// No run is open by now; what is in place is to do without those who were told that they may stop.
    pub(super) fn recover_files(mut self) -> Result<Settled, At> {
        let in_place = self.in_place().map_err(Step::Lock.at())?;
        let promises = self.promises()?;
        let in_place = in_place.filter(|saved| restore::has_promised(self.options, saved, &promises));
        let generation = match in_place.map(|saved| self.put_again(saved, &promises, None)).transpose()? {
            None => self.journal.state().in_place,
            Some(
                Report::Live { generation, .. }
                | Report::Unchanged { generation, .. }
                | Report::Stored { generation, .. },
            ) => generation,
            Some(Report::Refused { step, error, .. }) => return Err(At { step, error }),
            Some(Report::RolledBack { error, .. } | Report::Failed { error, .. }) => {
                return Err(At { step: Step::Confirm, error });
            }
        };
        Ok(Settled { generation, foreign: self.notes.foreign })
    }

    /// Whether there is a file of NGINX's, or was.
    fn is_for_nginx(&self) -> bool {
        self.options.feeds_nginx() || self.journal.state().in_place != Generation(0)
    }

    /// The document is for templates alone.
    fn bring_nothing(&self, desired: &Desired) -> Result<Report, At> {
        targets::check(self.options, desired).map_err(Step::Plan.at())?;
        Ok(Report::Unchanged { generation: self.journal.state().in_place, notes: Notes::default() })
    }

    fn note(&mut self, Outcome { followed, foreign }: Outcome) {
        self.notes.templates = followed;
        self.notes.foreign.extend(foreign);
    }

    /// Puts a plan in place that was made elsewhere.
    pub(super) fn carry_out(mut self, plan: &Plan, in_place: Option<Saved>, work: Work) -> Report {
        let report = Nginx::find(&self.options.nginx, plan.desired.upstreams.keys()).map_err(Step::Locate.at());
        let report = report.and_then(|nginx| {
            if plan.changes.is_empty() {
                return self.confirm(&nginx, plan, in_place);
            }
            self.put(&nginx, Going::of(plan, in_place), work)
        });
        let report = report.unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
        if report.is_in_place() {
            let outcome = template::go_back(self.options, &self.configured(&plan.desired), plan.generation);
            self.note(outcome);
        }
        self.end(report)
    }

    /// What went before is kept within bounds.
    fn end(mut self, report: Report) -> Report {
        let state = self.journal.state();
        let needed = [state.confirmed, state.in_place, state.newest];
        // What cannot be dropped now, on a full disk or a read-only one, is dropped by a later run.
        let _ = self.store.prune(&needed).and_then(|()| self.journal.compact());
        report.with(self.notes)
    }

    /// A new upstream that NGINX has no place for keeps nobody else waiting: where it is what an apply is refused for, the others go
    /// on without it.
    fn bring(&mut self, desired: &Desired, causes: &Causes) -> Result<Report, At> {
        let whole = self.bring_all(desired, causes);
        let refused = match &whole {
            Ok(Report::Refused { error, .. }) => Some(error),
            Err(At { error, .. }) => Some(error),
            Ok(_) => None,
        };
        let Some(error) = refused.cloned() else { return whole };
        let (mut rest, mut waits) = (desired.clone(), Waits { upstreams: Vec::new(), error: error.clone() });
        let mut cause = Some(error);
        while let Some(error) = cause.take() {
            let homeless = self.homeless(&error, &rest);
            rest.upstreams.retain(|name, _| !homeless.contains(name));
            if homeless.is_empty() || rest.upstreams.is_empty() {
                break;
            }
            waits.upstreams.extend(homeless);
            match self.bring_all(&rest, causes) {
                Ok(report @ (Report::Live { .. } | Report::Stored { .. })) => {
                    self.notes.waits = Some(waits);
                    return Ok(report);
                }
                Ok(Report::Refused { error, .. }) | Err(At { error, .. }) => cause = Some(error),
                Ok(Report::Unchanged { .. }) => break,
                Ok(report @ (Report::RolledBack { .. } | Report::Failed { .. })) => return Ok(report),
            }
        }
        whole
    }

    /// Upstreams of `desired` that have no file in place and that this error is about, for want of a place where that can be.
    fn homeless(&self, error: &Error, desired: &Desired) -> Vec<UpstreamName> {
        let in_place = self.in_place().ok().flatten();
        let is_new = |target: &Target<'_>| in_place.as_ref().and_then(|saved| saved.file(target.output)).is_none();
        let is_meant = |target: &Target<'_>| match error {
            Error::NoStreamModule { upstreams, .. } => upstreams.contains(&target.options.name),
            Error::NotIncluded { target: path, .. } => path == target.output,
            Error::Write { path, .. } | Error::Writable { path, .. } | Error::LinkedDirectory { path } => {
                path == target.output || Some(path.as_path()) == target.output.parent()
            }
            Error::DefinedTwice { upstream, .. } => {
                target.block.form == Form::Block && target.block.name.as_str() == upstream
            }
            _ => false,
        };
        let targets = self.options.targets().filter(|target| desired.upstreams.contains_key(&target.options.name));
        targets.filter(is_new).filter(is_meant).map(|target| target.options.name.clone()).collect()
    }

    /// Files that nobody is configured to write any more go away once those that are stand: the test without them is one with
    /// these.
    fn bring_all(&mut self, desired: &Desired, causes: &Causes) -> Result<Report, At> {
        let report = self.bring_once(desired, causes)?;
        if !matches!(report, Report::Live { .. } | Report::Stored { .. }) || !self.has_orphans() {
            return Ok(report);
        }
        // What cannot be taken away now is tried again by a later run.
        Ok(match self.bring_once(desired, &Causes::default()) {
            Err(_) | Ok(Report::Unchanged { .. } | Report::Refused { .. }) => report,
            Ok(further) => further.after(report),
        })
    }

    fn bring_once(&mut self, desired: &Desired, causes: &Causes) -> Result<Report, At> {
        let nginx = Nginx::find(&self.options.nginx, desired.upstreams.keys()).map_err(Step::Locate.at())?;
        let in_place = self.in_place().map_err(Step::Lock.at())?;
        let found = targets::read_all(self.options, desired).map_err(Step::Plan.at())?;
        let (holds, next) = (kept::holds(&self.options.apply.state).map_err(Step::Lock.at())?, self.next());
        let plan =
            Plan::make(self.options, found, desired, in_place.as_ref(), &holds, next, feature::host(self.options));
        let mut plan = plan.map_err(Step::Plan.at())?;
        let (gone, orphans) = self.orphans(&nginx, &plan, in_place.as_ref()).map_err(Step::Plan.at())?;
        self.notes.left = Some(Left { orphans, untouched: plan.untouched.clone() });
        for orphan in gone {
            if self.options.target(&orphan.upstream).is_none() {
                plan.desired.upstreams.remove(&orphan.upstream);
            }
            plan.add(orphan, next);
        }
        plan.end(next, in_place.as_ref());
        if plan.changes.is_empty() {
            return self.confirm(&nginx, &plan, in_place);
        }
        let mut work = plan.work(in_place.as_ref());
        work.causes = causes.as_slice().iter().chain(work.causes.as_slice()).cloned().collect();
        self.put(&nginx, Going::of(&plan, in_place), work)
    }

    fn has_orphans(&self) -> bool {
        self.in_place().is_ok_and(|in_place| !orphan::all(self.options, in_place.as_ref()).is_empty())
    }

    /// Files that go away, and those that are needed: the plan has them in another place, with which they are tested; or nothing
    /// else changes, their upstreams are not configured any more and the test passes without them.
    fn orphans(
        &self,
        nginx: &Nginx<'_>,
        plan: &Plan,
        in_place: Option<&Saved>,
    ) -> Result<(Vec<Change>, Vec<PathBuf>), Error> {
        let (orphans, mut gone, mut unnamed) = (orphan::all(self.options, in_place), Vec::new(), Vec::new());
        let mut needed = Vec::new();
        if orphans.is_empty() {
            return Ok((gone, needed));
        }
        let config = &self.options.nginx.config;
        let (tree, _unread) = read_tree(config);
        for file in orphans {
            let has_moved = self.options.target(&file.upstream).is_some_and(|target| plan.has(target.output));
            match orphan::judge(file, in_place, has_moved, &tree, config)? {
                Orphan::Unnamed(change) if has_moved => gone.push(*change),
                Orphan::Unnamed(change) => unnamed.push(*change),
                Orphan::Needed => needed.push(file.target.clone()),
                Orphan::Gone => {}
            }
        }
        if plan.changes.is_empty() && gone.is_empty() {
            let missed =
                self.missed(nginx, &[], &unnamed.iter().map(|change| change.path.as_path()).collect::<Vec<_>>());
            needed.extend(missed.iter().cloned());
            gone = unnamed.into_iter().filter(|change| !missed.contains(&change.path)).collect();
        } else {
            // Nobody has looked yet.
            needed.extend(unnamed.into_iter().map(|change| change.path));
        }
        Ok((gone, needed))
    }

    /// Which of `targets` the configuration does not pass without, once those of `away` have gone: one test where that is none.
    /// Where it cannot be tested nothing is tried.
    fn missed(&self, nginx: &Nginx<'_>, away: &[&Path], targets: &[&Path]) -> Vec<PathBuf> {
        if targets.is_empty() {
            return Vec::new();
        }
        let owned = |targets: &[&Path]| targets.iter().map(|target| target.to_path_buf()).collect();
        let without: Vec<Candidate<'_>> =
            away.iter().chain(targets).map(|target| Candidate { target, file: None }).collect();
        match nginx.validate(&self.options.weir, &without, &[], &self.options.ours()) {
            Ok(Validation::Passed(_)) => Vec::new(),
            Err(Error::Test { .. } | Error::DefinedTwice { .. }) if targets.len() > 1 => {
                let (some, others) = targets.split_at(targets.len() / 2);
                let missed: Vec<PathBuf> = self.missed(nginx, away, some);
                let free = some.iter().filter(|target| !missed.iter().any(|missed| missed == **target));
                let away: Vec<&Path> = away.iter().chain(free).copied().collect();
                [missed, self.missed(nginx, &away, others)].concat()
            }
            Ok(Validation::NeedsPlacing(_)) | Err(_) => owned(targets),
        }
    }

    /// The number of the next attempt.
    pub(super) fn next(&self) -> Generation {
        self.journal.state().newest.next()
    }

    /// Once more what is in place: whatever somebody has changed is seen by that.
    fn confirm_alone(&mut self) -> Result<Report, At> {
        let (in_place, promises) = (self.in_place().map_err(Step::Lock.at())?, self.promises()?);
        match in_place {
            Some(in_place) => self.put_again(in_place, &promises, None),
            None => Ok(Report::Unchanged { generation: Generation(0), notes: Notes::default() }),
        }
    }

    /// What is in place once more, byte for byte, but without those who were told that they may stop. `after` is the one that failed.
    fn put_again(&mut self, in_place: Saved, promises: &Promises, after: Option<Generation>) -> Result<Report, At> {
        let nginx = Nginx::find(&self.options.nginx, in_place.desired().upstreams.keys()).map_err(Step::Locate.at())?;
        let plan = restore::plan(self.options, &in_place, promises, Some(&in_place), self.next());
        let plan = plan.map_err(Step::Plan.at())?;
        if plan.changes.is_empty() {
            return self.confirm(&nginx, &plan, Some(in_place));
        }
        let work = plan.work(Some(&in_place));
        self.put(&nginx, Going { after, ..Going::of(&plan, Some(in_place)) }, work)
    }

    /// Who was told that it may stop.
    fn promises(&self) -> Result<Promises, At> {
        kept::promises(&self.options.apply.state).map_err(Step::Lock.at())
    }

    /// What of a document has a place here.
    fn configured(&self, desired: &Desired) -> Desired {
        let mut desired = desired.clone();
        desired.upstreams.retain(|name, _| self.options.target(name).is_some());
        desired
    }

    /// Nothing is to change; but nobody may have been seen to serve it.
    fn confirm(&mut self, nginx: &Nginx<'_>, plan: &Plan, in_place: Option<Saved>) -> Result<Report, At> {
        let (generation, notes) = (plan.generation, Notes::default());
        let (settled, watched) = (self.journal.state().settled, fingerprint::of_watched(self.options));
        let renewed = watched.is_some() && watched != self.journal.state().watched;
        if generation == Generation(0) || (settled && !renewed) {
            return Ok(Report::Unchanged { generation, notes });
        }
        let Some(master) = nginx.master().map_err(Step::Locate.at())? else {
            if settled {
                // What is started next reads the renewed files.
                return Ok(Report::Unchanged { generation, notes });
            }
            return Ok(Report::Stored { generation, why: nginx.not_running(), notes: Notes::default() });
        };
        self.notes.renewed = renewed;
        let started = Instant::now();
        let patience = nginx.test(plan, &self.options.ours()).map_err(Step::Validate.at())?;
        let going = Going { validate: started.elapsed(), ..Going::of(plan, in_place) };
        let nothing = Candidates::write(&plan.changes).map_err(Step::Write.at())?;
        Ok(self.load(nginx, going, &nothing, &master, patience))
    }
}
