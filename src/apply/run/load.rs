//! Steps 7 to 9 of `protocols C.2`: reload, confirmation, and the way back.

use std::time::Instant;

use super::{Going, Run};
use crate::apply::fault::{self, Fault};
use crate::apply::journal::{Event, Live};
use crate::apply::master::{Master, Patience};
use crate::apply::place::{Candidates, Place};
use crate::apply::plan::Plan;
use crate::apply::proc::Process;
use crate::apply::report::{At, Notes, Timings};
use crate::apply::system::Nginx;
use crate::apply::{Deaths, Error, Report, cut, fingerprint, kept, restore};
use crate::digest::Digest;
use crate::time::millis;
use crate::upstream::Generation;

impl Run<'_> {
    /// No process can confirm anything; what NGINX will read at its start is in place.
    pub(super) fn stored(&mut self, nginx: &Nginx<'_>, plan: &Plan, candidates: &Candidates<'_>) -> Report {
        let generation = plan.generation;
        let stored = self.journal.write(Event::Stored { generation });
        match stored.and_then(|()| candidates.clear()) {
            Ok(()) => Report::Stored { generation, why: nginx.not_running(), notes: Notes::default() },
            // What of it is not done the next run does.
            Err(error) => Self::failed(generation, nginx.not_running(), error),
        }
    }

    /// Steps 7 to 9.
    pub(super) fn load(
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
        self.cut(plan, master.process());
        // The new files are live; what is left beside them the next run removes.
        let _ = candidates.clear();
        fault::point(Fault::Cleared);
        let (generation, took, upstreams) = (plan.generation, self.started.elapsed(), plan.upstreams());
        let (master, notes) = (master.process(), Notes::default());
        Report::Live { generation, took, timings, upstreams, master, notes }
    }

    /// Workers of the generation before finish what they have, and of what waits on a dead server nothing is to be had.
    fn cut(&mut self, plan: &Plan, master: Process) {
        let dead = std::mem::take(&mut self.dead);
        if dead == Deaths::default() {
            return;
        }
        // Without its record nobody knows where it led to.
        let Ok(Some(before)) = self.store.load(self.journal.state().before) else { return };
        match cut::after(self.options, master, before.desired(), &plan.desired, &dead) {
            Ok(cut) if cut.is_empty() => {}
            Ok(cut) => {
                // For history alone: what it would say is told by the report as well.
                let _ = self.journal.write(Event::Cut { generation: plan.generation, cut: cut.clone() });
                self.notes.cut = cut;
            }
            Err(uncut) => self.notes.uncut = Some(uncut),
        }
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
        let to = self.journal.state().confirmed;
        if going.after.is_some() || to == failed {
            return Self::failed(failed, error, Error::NothingToRestore);
        }
        let back = self.journal.write(Event::Back { failed, to, cause: error.clone() }).and_then(|()| {
            fault::point(Fault::Back);
            self.files().back(failed, to)
        });
        if let Err(then) = back {
            return Self::failed(failed, error, then);
        }
        match self.confirm_back(nginx, going, master, patience, to) {
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
        going: &Going<'_>,
        master: &Master,
        patience: Patience,
        to: Generation,
    ) -> Result<Generation, Error> {
        let promises = kept::promises(&self.options.apply.state)?;
        let restored = self.in_place()?.filter(|saved| restore::has_promised(self.options, saved, &promises));
        if let Some(restored) = restored {
            return match self.put_again(restored, &promises, Some(going.plan.generation)) {
                Ok(Report::Live { generation, .. } | Report::Unchanged { generation, .. }) => Ok(generation),
                Ok(Report::Refused { error, .. } | Report::Failed { error, .. } | Report::RolledBack { error, .. }) => {
                    Err(error)
                }
                Ok(Report::Stored { why, .. }) => Err(why),
                Err(At { error, .. }) => Err(error),
            };
        }
        let mut watched = self.journal.state().watched;
        // A master that could not load has never left what it had, and its port may be taken still.
        if !master.kept(&going.serving) {
            watched = fingerprint::of_watched(self.options);
            nginx.reload(master, patience, &self.options.ours())?;
        }
        self.journal.write(Event::Live(Live { generation: to, watched, ..Live::default() }))?;
        Ok(to)
    }

    /// What is open in the journal the next run ends first.
    pub(super) fn failed(failed: Generation, error: Error, then: Error) -> Report {
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
