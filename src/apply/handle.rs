//! The one entry for whoever asks, in this process or over the socket.

use super::journal::Journal;
use super::lock::Lock;
use super::master::Workers;
use super::store::{Saved, Store};
use super::system::Nginx;
use super::{Apply, Ask, Body, Error, Job, Process, Report, State, Target, fingerprint, kept, place, template};
use crate::digest::Digest;
use crate::upstream::Generation;
use crate::upstream::settle::Applied;

impl Apply {
    /// Does what is asked. Blocks as long as an apply takes.
    pub fn handle(&self, ask: &Ask) -> Body {
        match ask {
            Ask::Apply(job) => Body::Applied(self.attempt(job)),
            Ask::Report { known } => Body::State(self.state(*known)),
            Ask::Rollback(rollback) => self.roll_back(rollback),
            Ask::Promise { promises, known } => Body::Promised(self.promise(promises, *known)),
            Ask::Recover => self.recover().map_or(Body::NothingToRecover, Body::Applied),
            Ask::Check => Body::Checked(self.check()),
            Ask::Cut(cut) => Body::Cut(self.cut(cut)),
        }
    }

    /// With what there was before, if it has left something to be done: who mends that before the next look is noticed by it.
    fn attempt(&self, job: &Job) -> Report {
        // Where the records cannot be read the job itself says so.
        let saved = Journal::read(&self.options.apply.state).and_then(|journal| self.saved(&journal));
        let before = saved.map(|saved| fingerprint::of(&self.options, saved.as_ref()));
        let mut report = self.carry_out(job);
        if !Applied::from(&report).is_done() {
            report.notes_mut().fingerprint = before.ok();
        }
        report
    }

    /// What is in place, if it is ours.
    pub(super) fn saved(&self, journal: &Journal) -> Result<Option<Saved>, Error> {
        match journal.state().in_place {
            Generation(0) => Ok(None),
            generation => Store::new(&self.options.apply.state).load(generation),
        }
    }

    fn state(&self, known: Option<Process>) -> Result<State, Error> {
        let directory = &self.options.apply.state;
        // No job that still runs may change what is told; before the first there is nothing to lock.
        let _lock = directory.exists().then(|| Lock::take(directory)).transpose()?;
        let journal = Journal::read(directory)?;
        let saved = self.saved(&journal)?;
        let master = self.look(known);
        // Who edits a file from now on is seen by the look at drift, or by the next fingerprint.
        let fingerprint = fingerprint::of(&self.options, saved.as_ref());
        Ok(State {
            live: super::live(directory)?.map(|(generation, _)| generation),
            open: journal.state().is_open(),
            old_workers: master.as_ref().map_or(0, |master| old_workers(*master)),
            master,
            holds: kept::holds(directory)?,
            promises: kept::promises(directory)?,
            drifted: self.has_drifted(&journal, saved.as_ref()),
            fingerprint,
        })
    }

    /// Of the files that are still targets. One that cannot be read has: the apply that follows says why.
    fn has_drifted(&self, journal: &Journal, in_place: Option<&Saved>) -> bool {
        let watched = fingerprint::of_watched(&self.options);
        let is_renewed = journal.state().settled && watched.is_some() && watched != journal.state().watched;
        let is_other = |target: Target<'_>| {
            in_place.and_then(|saved| saved.file(target.output)).is_some_and(|file| {
                let now = place::look(&target.options.name, target.output);
                !now.is_ok_and(|now| now.map(|now| Digest::of(&now.bytes)) == file.hash)
            })
        };
        is_renewed || self.options.targets().any(is_other) || template::has_drifted(&self.options)
    }

    fn check(&self) -> Result<(), Error> {
        Nginx::find(&self.options.nginx, self.options.names())?.test_with(&[], &[])
    }
}

pub(super) fn old_workers(master: Process) -> u32 {
    u32::try_from(Workers::of(master).leaving.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
