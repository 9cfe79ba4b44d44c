//! The new files put in place of the old ones, all or none, and the way back.

use std::path::{Path, PathBuf};

use tracing::warn;

use super::plan::{Before, Change, Plan};
use super::record::{Candidate, Record};
use super::{Error, Options, exchange};
use crate::nginx::generation_of;

/// Mode of a file that was not there before.
const NEW_MODE: u32 = 0o644;

/// Files that have been exchanged and can still be exchanged back.
#[derive(Debug)]
pub(super) struct Install {
    placed: Vec<Placed>,
}

/// Why nothing was put in place, and whether everything is as before.
#[derive(Debug)]
pub(super) struct Unplaced {
    pub(super) error: Error,
    pub(super) undone: Result<(), Error>,
}

#[derive(Debug)]
struct Placed {
    target: PathBuf,
    /// Holds what was displaced; nothing if there was nothing.
    dot: PathBuf,
    bytes: Vec<u8>,
    displaced: bool,
    foreign: bool,
}

impl Install {
    /// Writes all candidates, then exchanges them.
    pub(super) fn place(plan: &Plan, state: &Path) -> Result<Self, Box<Unplaced>> {
        let dots: Vec<PathBuf> = plan.changes.iter().map(|change| exchange::dot_name(&change.path)).collect();
        let written: Result<(), Error> =
            plan.changes.iter().zip(&dots).try_for_each(|(change, dot)| write(change, dot));
        let mut install = Self { placed: Vec::with_capacity(dots.len()) };
        let placed = written.and_then(|()| plan.changes.iter().try_for_each(|change| install.exchange(change)));
        let Err(error) = placed else { return Ok(install) };
        let undone = install.undo(state).and_then(|()| dots.iter().try_for_each(|dot| exchange::remove_if_there(dot)));
        Err(Box::new(Unplaced { error, undone }))
    }

    fn exchange(&mut self, change: &Change) -> Result<(), Error> {
        let (target, dot) = (change.path.clone(), exchange::dot_name(&change.path));
        let displaced = change.before.is_some();
        if displaced {
            exchange::swap(&dot, &target)?
        } else {
            exchange::move_new(&dot, &target)?
        }
        let foreign = change.before.as_ref().is_some_and(|before| before.foreign);
        self.placed.push(Placed { target, dot: dot.clone(), bytes: change.bytes.clone(), displaced, foreign });
        // Somebody may have edited between our reading and the exchange.
        if let (Some(before), Some(placed)) = (&change.before, self.placed.last_mut()) {
            placed.foreign |= exchange::read(&dot)? != before.bytes;
        }
        Ok(())
    }

    /// Makes the exchange survive a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.placed.iter().try_for_each(|placed| exchange::sync_directory(&placed.target))
    }

    /// Puts back what was there, as far as it goes, and reports the first failure.
    pub(super) fn undo(&self, state: &Path) -> Result<(), Error> {
        let results: Vec<_> = self.placed.iter().rev().map(|placed| placed.undo(state)).collect();
        results.into_iter().collect()
    }

    /// Keeps a copy of what was displaced and not ours. Afterwards the record may say that the new files stay: recovery cannot
    /// tell an edit that left our first line in place from an older file of ours.
    pub(super) fn keep_foreign(&self, state: &Path) -> Result<(), Error> {
        let mut foreign = self.placed.iter().filter(|placed| placed.displaced && placed.foreign);
        foreign.try_for_each(|placed| keep_copy(&placed.dot, &placed.target, state))
    }

    /// The new files stay: drops what was displaced.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.placed
            .iter()
            .filter(|placed| placed.displaced)
            .try_for_each(|placed| exchange::remove_if_there(&placed.dot))
    }
}

impl Placed {
    /// If somebody has changed our file meanwhile, their bytes are kept.
    fn undo(&self, state: &Path) -> Result<(), Error> {
        if self.displaced {
            exchange::swap(&self.dot, &self.target)?;
        } else {
            exchange::move_new(&self.target, &self.dot)?;
        }
        exchange::sync_directory(&self.target)?;
        if exchange::read_if_there(&self.dot)?.is_some_and(|bytes| bytes != self.bytes) {
            keep_copy(&self.dot, &self.target, state)?;
        }
        exchange::remove_if_there(&self.dot)
    }
}

fn write(change: &Change, dot: &Path) -> Result<(), Error> {
    let like = change.before.as_ref();
    let (mode, owner) = like.map_or((NEW_MODE, None), |Before { mode, owner, .. }| (*mode, Some(*owner)));
    exchange::write_new(dot, &change.bytes, mode, owner)
}

/// `foreign/NAME.N` in the state directory, with the first N that is free or holds the same: a program that puts its own file
/// back again and again must not fill the disk.
fn keep_copy(from: &Path, target: &Path, state: &Path) -> Result<(), Error> {
    let directory = state.join("foreign");
    std::fs::create_dir_all(&directory).map_err(Error::write(&directory))?;
    let bytes = exchange::read(from)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for copy in (1_u64..).map(|n| directory.join(format!("{name}.{n}"))) {
        match exchange::read_if_there(&copy)? {
            Some(kept) if kept != bytes => continue,
            Some(_) => {}
            None => {
                exchange::write_new(&copy, &bytes, 0o600, None)?;
                // The original goes away next.
                exchange::sync_directory(&copy)?;
            }
        }
        warn!(file = %target.display(), copy = %copy.display(), "file of somebody else replaced, a copy is kept");
        break;
    }
    Ok(())
}

/// Ends what a run that died left half done: what it put in place goes back, its candidates go away.
///
/// The files are then as the record says; whether NGINX serves them is not known, so the open run stays open until the
/// next confirmation. Files that are no target any more are the dead run's all the same.
pub(super) fn recover(options: &Options, record: &Record) -> Result<(), Error> {
    let state = &options.apply.state;
    record.candidates().try_for_each(|(path, candidate)| put_back(path, candidate))?;
    options.targets().try_for_each(|target| clear_away(target.output, state))?;
    record.candidates().try_for_each(|(path, _)| clear_away(path, state))
}

/// If somebody has changed the file since, it is theirs and stays.
fn put_back(target: &Path, candidate: &Candidate) -> Result<(), Error> {
    let dot = exchange::dot_name(target);
    exchange::finish_swap(&dot, target)?;
    if !exchange::read_if_there(target)?.is_some_and(|bytes| candidate.is(&bytes)) {
        return Ok(());
    }
    match (exchange::read_if_there(&dot)?, candidate.created) {
        (Some(_), false) => exchange::swap(&dot, target)?,
        // It was given its name and has not displaced anything.
        (_, true) => exchange::remove_if_there(target)?,
        (None, false) => return Ok(()),
    }
    exchange::sync_directory(target)
}

/// What a run left beside `target`: a candidate, or what it displaced.
fn clear_away(target: &Path, state: &Path) -> Result<(), Error> {
    let dot = exchange::dot_name(target);
    let Some(bytes) = exchange::read_if_there(&dot)? else { return Ok(()) };
    if generation_of(&bytes).is_none() {
        keep_copy(&dot, target, state)?;
    }
    exchange::remove_if_there(&dot)
}
