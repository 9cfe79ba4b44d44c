//! The new files put in place of the old ones, all or none, and the way back.

use std::path::{Path, PathBuf};

use super::plan::{Before, Change};
use super::record::Record;
use super::{Error, Target, exchange};
use crate::nginx::generation_of;

/// Mode of a file that was not there before.
const NEW_MODE: u32 = 0o644;

/// Files that have been exchanged and can still be exchanged back.
#[derive(Debug)]
pub(super) struct Install {
    placed: Vec<Placed>,
}

#[derive(Debug)]
struct Placed {
    target: PathBuf,
    /// Holds what was displaced; nothing if there was nothing.
    dot: PathBuf,
    displaced: bool,
    foreign: bool,
}

impl Install {
    /// Writes all candidates, then exchanges them. If anything fails, everything is as before.
    pub(super) fn place(changes: &[Change]) -> Result<Self, Error> {
        let mut written = Vec::with_capacity(changes.len());
        for change in changes {
            let dot = exchange::dot_name(&change.path);
            let (mode, owner) =
                change.before.as_ref().map_or((NEW_MODE, None), |Before { mode, owner, .. }| (*mode, Some(*owner)));
            if let Err(error) = exchange::write_new(&dot, &change.bytes, mode, owner) {
                return Err(discard(&written, error));
            }
            written.push(dot);
        }
        let mut install = Self { placed: Vec::with_capacity(changes.len()) };
        for (index, change) in changes.iter().enumerate() {
            if let Err(error) = install.exchange(change) {
                let error = discard(&written[index..], error);
                install.undo()?;
                return Err(error);
            }
        }
        Ok(install)
    }

    fn exchange(&mut self, change: &Change) -> Result<(), Error> {
        let (target, dot) = (change.path.clone(), exchange::dot_name(&change.path));
        let mut foreign = change.before.as_ref().is_some_and(|before| before.foreign);
        if let Some(before) = &change.before {
            exchange::swap(&dot, &target)?;
            // Somebody may have edited between our reading and the exchange.
            foreign |= std::fs::read(&dot).map_err(Error::read(&dot))? != before.bytes;
        } else {
            exchange::move_new(&dot, &target)?;
        }
        self.placed.push(Placed { target, dot, displaced: change.before.is_some(), foreign });
        Ok(())
    }

    /// Makes the exchange survive a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.placed.iter().try_for_each(|placed| exchange::sync_directory(&placed.target))
    }

    /// Puts back what was there. Goes on after a failure and reports the first.
    pub(super) fn undo(&self) -> Result<(), Error> {
        let back = |placed: &Placed| {
            if placed.displaced {
                exchange::swap(&placed.dot, &placed.target)?;
            } else {
                exchange::remove_if_there(&placed.target)?;
            }
            exchange::remove_if_there(&placed.dot)?;
            exchange::sync_directory(&placed.target)
        };
        let results: Vec<_> = self.placed.iter().rev().map(back).collect();
        results.into_iter().collect()
    }

    /// The new files stay: drops what was displaced, after keeping a copy of what was not ours.
    pub(super) fn finish(self, state: &Path) -> Result<(), Error> {
        for placed in self.placed.iter().filter(|placed| placed.displaced) {
            if placed.foreign {
                keep_copy(&placed.dot, &placed.target, state)?;
            }
            exchange::remove_if_there(&placed.dot)?;
        }
        Ok(())
    }
}

/// Removes candidates that will not be used. `error` is what is reported; a candidate left behind is found by `recover`.
fn discard(written: &[PathBuf], error: Error) -> Error {
    for dot in written {
        let _ = exchange::remove_if_there(dot);
    }
    error
}

/// `foreign/NAME.N` in the state directory, with the first free N.
fn keep_copy(from: &Path, target: &Path, state: &Path) -> Result<(), Error> {
    let directory = state.join("foreign");
    std::fs::create_dir_all(&directory).map_err(Error::write(&directory))?;
    let bytes = std::fs::read(from).map_err(Error::read(from))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1_u32..).map(|n| directory.join(format!("{name}.{n}"))).find(|path| !path.exists());
    let path = free.expect("a directory does not hold four billion copies");
    exchange::write_new(&path, &bytes, 0o600, None)
}

/// Ends what a run that died left half done: an exchanged file goes back, a candidate goes away.
///
/// The files are then as the record says; whether NGINX serves them is not known, so the open run stays open until the
/// next confirmation.
pub(super) fn recover(targets: &[Target], record: &mut Record, state: &Path) -> Result<(), Error> {
    for target in targets {
        let dot = exchange::dot_name(&target.output);
        let Some(bytes) = read_if_there(&dot)? else { continue };
        let live = read_if_there(&target.output)?;
        let is_candidate = record.open.is_some() && live.as_deref().and_then(generation_of) == record.open;
        if is_candidate {
            exchange::swap(&dot, &target.output)?;
            exchange::sync_directory(&target.output)?;
        } else if generation_of(&bytes).is_none() {
            keep_copy(&dot, &target.output, state)?;
        }
        exchange::remove_if_there(&dot)?;
    }
    Ok(())
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(path)(error)),
    }
}
