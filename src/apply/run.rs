//! One run, from the lock to the last record: the steps of `protocols C.2`.

use std::path::Path;
use std::time::{Duration, Instant};

use super::fault::{self, Fault};
use super::fingerprint;
use super::import;
use super::journal::{Abort, Begin, Event, Journal, Live, Work};
use super::lock::Lock;
use super::master::{Master, Patience};
use super::namespace::Candidate;
use super::orphan::{self, Orphan};
use super::place::{Candidates, Edit, Place};
use super::plan::{Change, Plan};
use super::recover::Files;
use super::report::{At, Notes, Timings};
use super::store::{Saved, SavedFile, Store};
use super::system::{Nginx, Validation};
use super::targets::{self, page_size};
use super::tree::read_tree;
use super::{Error, Options, Report, Step, kept};
use crate::digest::Digest;
use crate::drain::Promises;
use crate::time::millis;
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Causes, Generation, Servers};

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Run<'a> {
    options: &'a Options,
    pub(super) journal: Journal,
    pub(super) store: Store,
    notes: Notes,
    started: Instant,
    _lock: Lock,
}

/// A plan that is being carried out.
#[derive(Debug)]
struct Going<'p> {
    plan: &'p Plan,
    in_place: Option<Saved>,
    validate: Duration,
    /// The one that failed, if this is the way back from it.
    after: Option<Generation>,
}

impl<'a> Run<'a> {
    /// Takes the lock, takes over what an older version left, and ends what a run that died left half done, as far as files go.
    pub(super) fn start(options: &'a Options) -> Result<Self, At> {
        let started = Instant::now();
        let lock = Lock::take(&options.apply.state).map_err(Step::Lock.at())?;
        let journal = Journal::read(&options.apply.state).map_err(Step::Lock.at())?;
        let store = Store::new(&options.apply.state);
        let mut run = Self { options, journal, store, notes: Notes::default(), started, _lock: lock };
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
            generation => self.store.need(generation).map(Some),
        }
    }

    /// Brings a document in place.
    pub(super) fn apply(mut self, desired: &Desired, causes: &Causes) -> Report {
        let report =
            self.bring(desired, causes, None).unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
        self.end(report)
    }

    /// Has NGINX confirm what is in place.
    pub(super) fn recover(mut self) -> Report {
        let report = self.confirm_alone().unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
        self.end(report)
    }

    /// Puts a plan in place that was made elsewhere.
    pub(super) fn carry_out(mut self, plan: &Plan, in_place: Option<Saved>, work: Work) -> Report {
        let nginx = Nginx::find(&self.options.nginx, plan.desired.upstreams.keys()).map_err(Step::Locate.at());
        let going = Going { plan, in_place, validate: Duration::ZERO, after: None };
        let report = nginx.and_then(|nginx| match going.plan.changes.is_empty() {
            true => self.confirm(&nginx, plan, going.in_place),
            false => self.put(&nginx, going, work),
        });
        let report = report.unwrap_or_else(|At { step, error }| Report::refused(None, step, error));
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

    fn bring(&mut self, desired: &Desired, causes: &Causes, after: Option<Generation>) -> Result<Report, At> {
        let nginx = Nginx::find(&self.options.nginx, desired.upstreams.keys()).map_err(Step::Locate.at())?;
        let in_place = self.in_place().map_err(Step::Lock.at())?;
        let found = targets::read_all(self.options, desired).map_err(Step::Plan.at())?;
        let next = self.next();
        let plan = Plan::make(self.options, found, desired, in_place.as_ref(), next, page_size());
        let mut plan = plan.map_err(Step::Plan.at())?;
        for orphan in self.orphans(&nginx, in_place.as_ref()).map_err(Step::Plan.at())? {
            plan.desired.upstreams.remove(&orphan.upstream);
            plan.add(orphan, next);
        }
        plan.end(next, in_place.as_ref());
        if plan.changes.is_empty() {
            return self.confirm(&nginx, &plan, in_place);
        }
        let work = Work { causes: causes.clone(), ..plan.work(in_place.as_ref()) };
        self.put(&nginx, Going { plan: &plan, in_place, validate: Duration::ZERO, after }, work)
    }

    /// Files that go away, since their upstreams are not configured any more and the test passes without them.
    fn orphans(&mut self, nginx: &Nginx<'_>, in_place: Option<&Saved>) -> Result<Vec<Change>, Error> {
        let (orphans, mut gone) = (orphan::all(self.options, in_place), Vec::new());
        if orphans.is_empty() {
            return Ok(gone);
        }
        let config = &self.options.nginx.config;
        let (tree, _unread) = read_tree(config);
        for file in orphans {
            match orphan::judge(file, in_place, &tree, config)? {
                Orphan::Unnamed(change) if self.passes_without(nginx, &file.target) => gone.push(*change),
                Orphan::Unnamed(_) | Orphan::Needed => self.notes.orphans.push(file.target.clone()),
                Orphan::Gone => {}
            }
        }
        Ok(gone)
    }

    /// Where that cannot be tested it is not tried.
    fn passes_without(&self, nginx: &Nginx<'_>, target: &Path) -> bool {
        let without = [Candidate { target, file: None }];
        let tested = nginx.validate(&self.options.weir, &without, &[], &self.options.ours());
        matches!(tested, Ok(Validation::Passed(_)))
    }

    /// The number of the next attempt.
    pub(super) fn next(&self) -> Generation {
        self.journal.state().newest.next()
    }

    fn confirm_alone(&mut self) -> Result<Report, At> {
        let in_place = self.in_place().map_err(Step::Lock.at())?;
        let nothing = Desired::new(0);
        let desired = in_place.as_ref().map_or(&nothing, Saved::desired);
        let promises = kept::promises(&self.options.apply.state).map_err(Step::Lock.at())?;
        if let Some(desired) = without_promised(&self.configured(desired), &promises) {
            return self.bring(&desired, &Causes::default(), None);
        }
        let nginx = Nginx::find(&self.options.nginx, desired.upstreams.keys()).map_err(Step::Locate.at())?;
        let plan = Plan::on_top_of(in_place.as_ref(), desired);
        self.confirm(&nginx, &plan, in_place)
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
        let started = Instant::now();
        let patience = nginx.test(plan, &self.options.ours()).map_err(Step::Validate.at())?;
        let going = Going { plan, in_place, validate: started.elapsed(), after: None };
        let nothing = Candidates::write(&plan.changes).map_err(Step::Write.at())?;
        Ok(self.load(nginx, going, &nothing, &master, patience))
    }

    /// Steps 2 to 9.
    fn put(&mut self, nginx: &Nginx<'_>, mut going: Going<'_>, work: Work) -> Result<Report, At> {
        let plan = going.plan;
        let master = nginx.master().map_err(Step::Locate.at())?;
        let candidates = match Candidates::write(&plan.changes) {
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
        Ok(self.exchange(nginx, going, candidates, master.as_ref(), tested))
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
        going: Going<'_>,
        mut candidates: Candidates<'_>,
        master: Option<&Master>,
        tested: Option<Patience>,
    ) -> Report {
        let plan = going.plan;
        let placed = candidates.exchange().map_err(Step::Write.at());
        match placed.and_then(|()| self.settle(nginx, plan, &candidates, tested)) {
            Ok(patience) => match master {
                Some(master) => self.load(nginx, going, &candidates, master, patience),
                None => self.stored(nginx, plan, &candidates),
            },
            Err(at) => {
                let undone = self.undo(&candidates);
                self.taken_off(plan, &candidates, undone, at)
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

    /// Exchanges back, and keeps what somebody else wrote meanwhile: what went back to its place, and what was over ours.
    fn undo(&mut self, candidates: &Candidates<'_>) -> Result<(), Error> {
        let displaced = candidates.edits()?;
        let written_over = candidates.undo()?;
        for Edit { path, bytes } in displaced.iter().chain(&written_over) {
            self.files().keep_copy(path, bytes)?;
        }
        Ok(())
    }

    /// Nothing was in place; `work` for history.
    fn give_up(&mut self, plan: &Plan, work: Work, At { step, error }: At) -> Report {
        let abort = Abort { generation: plan.generation, step, cause: error.clone(), work: Some(work) };
        // The first error is the one to tell; without a record its number is given again.
        let generation = self.journal.write_abort(abort).unwrap_or(plan.generation);
        Report::refused(Some(generation), step, error)
    }

    /// It was in place for a moment; NGINX was not signalled.
    fn taken_off(
        &mut self,
        plan: &Plan,
        candidates: &Candidates<'_>,
        undone: Result<(), Error>,
        At { step, error }: At,
    ) -> Report {
        let abort = Abort { generation: plan.generation, step, cause: error.clone(), work: None };
        let ended = undone.and_then(|()| candidates.clear()).and_then(|()| self.journal.write(Event::Abort(abort)));
        match ended {
            Ok(()) => Report::refused(Some(plan.generation), step, error),
            Err(then) => Self::failed(plan.generation, error, then),
        }
    }

    /// No process can confirm anything; what NGINX will read at its start is in place.
    fn stored(&mut self, nginx: &Nginx<'_>, plan: &Plan, candidates: &Candidates<'_>) -> Report {
        let generation = plan.generation;
        let stored = self.journal.write(Event::Stored { generation });
        match stored.and_then(|()| candidates.clear()) {
            Ok(()) => Report::Stored { generation, why: nginx.not_running(), notes: Notes::default() },
            // The run is open, and the next one goes on with it.
            Err(error) => Self::failed(generation, nginx.not_running(), error),
        }
    }

    /// Steps 7 to 9.
    fn load(
        &mut self,
        nginx: &Nginx<'_>,
        going: Going<'_>,
        candidates: &Candidates<'_>,
        master: &Master,
        patience: Patience,
    ) -> Report {
        // What changes from now on is for another reload.
        let (started, watched) = (Instant::now(), fingerprint::of_watched(self.options));
        let loaded = nginx.reload(master, patience, &self.options.ours());
        fault::point(Fault::Confirmed);
        let plan = going.plan;
        if let Err(Error::MasterGone) = loaded {
            return self.stored(nginx, plan, candidates);
        }
        let timings = Timings { validate: going.validate, confirm: started.elapsed() };
        let recorded = loaded.and_then(|()| still_in_place(plan)).and_then(|()| {
            let (generation, confirm_ms) = (plan.generation, millis(timings.confirm));
            let again = plan.changes.is_empty() && self.journal.state().settled;
            self.journal.write(if again {
                Event::Reload { generation, confirm_ms, watched }
            } else {
                let (validate_ms, confirm_ms) = (Some(millis(timings.validate)), Some(confirm_ms));
                Event::Live(Live { generation, validate_ms, confirm_ms, watched })
            })
        });
        fault::point(Fault::Recorded);
        if let Err(error) = recorded {
            return self.go_back(nginx, &going, master, patience, error);
        }
        // The new files are live; what is left beside them the next run removes.
        let _ = candidates.clear();
        fault::point(Fault::Cleared);
        let (generation, took, upstreams) = (plan.generation, self.started.elapsed(), plan.upstreams());
        let (master, notes) = (master.process(), Notes::default());
        Report::Live { generation, took, timings, upstreams, master, notes }
    }

    /// The last confirmed generation is put in place and confirmed in turn. If that fails too, nothing more is touched.
    fn go_back(
        &mut self,
        nginx: &Nginx<'_>,
        going: &Going<'_>,
        master: &Master,
        patience: Patience,
        error: Error,
    ) -> Report {
        let failed = going.plan.generation;
        let (to, settled) = (self.journal.state().confirmed, self.journal.state().settled);
        if going.after.is_some() || to == failed {
            return Self::failed(failed, error, Error::NothingToRestore);
        }
        // A master that could not load has never left what it had, and its port may be taken still.
        let never_left = settled && matches!(error, Error::NotLoaded { .. }) && master.is_idle();
        let back = self.journal.write(Event::Back { failed, to, cause: error.clone() }).and_then(|()| {
            fault::point(Fault::Back);
            self.files().back(failed, to)
        });
        if let Err(then) = back {
            return Self::failed(failed, error, then);
        }
        match self.confirm_back(nginx, master, patience, to, never_left) {
            Ok(restored) => {
                Report::RolledBack { failed, restored, master: master.process(), error, notes: Notes::default() }
            }
            Err(then) => Self::failed(failed, error, then),
        }
    }

    /// Has what was put back confirmed, without servers of those who were told that they may stop.
    fn confirm_back(
        &mut self,
        nginx: &Nginx<'_>,
        master: &Master,
        patience: Patience,
        to: Generation,
        never_left: bool,
    ) -> Result<Generation, Error> {
        let promises = kept::promises(&self.options.apply.state)?;
        let restored = self.in_place()?;
        let desired = restored.as_ref().map(|saved| self.configured(saved.desired()));
        if let Some(desired) = desired.and_then(|desired| without_promised(&desired, &promises)) {
            return match self.bring(&desired, &Causes::default(), Some(to)) {
                Ok(Report::Live { generation, .. } | Report::Unchanged { generation, .. }) => Ok(generation),
                Ok(Report::Refused { error, .. } | Report::Failed { error, .. } | Report::RolledBack { error, .. }) => {
                    Err(error)
                }
                Ok(Report::Stored { why, .. }) => Err(why),
                Err(At { error, .. }) => Err(error),
            };
        }
        let mut watched = self.journal.state().watched;
        if !never_left {
            watched = fingerprint::of_watched(self.options);
            nginx.reload(master, patience, &self.options.ours())?;
        }
        self.journal.write(Event::Live(Live { generation: to, watched, ..Live::default() }))?;
        Ok(to)
    }

    /// What is open in the journal the next run ends first.
    fn failed(failed: Generation, error: Error, then: Error) -> Report {
        Report::Failed { failed, error, then, notes: Notes::default() }
    }
}

/// Whether the files still hold our bytes, now that NGINX has read them.
fn still_in_place(plan: &Plan) -> Result<(), Error> {
    for (path, hash) in plan.contents() {
        let now = Place::of(path)?.bytes()?;
        if now.as_deref().map(Digest::of) != hash {
            return Err(Error::Overwritten { path: path.to_owned() });
        }
    }
    Ok(())
}

/// The same with the servers of every promised node down; `None` if that is no difference.
pub(super) fn without_promised(desired: &Desired, promises: &Promises) -> Option<Desired> {
    let mut all = desired.clone();
    for target in all.upstreams.values_mut() {
        let Target::Servers(servers) = target else { continue };
        let down = servers.as_slice().iter().cloned().map(|mut server| {
            server.down |= promises.is_promised(&server.member);
            server
        });
        *servers = Servers::new(down.collect()).expect("they were servers before");
    }
    (all != *desired).then_some(all)
}
