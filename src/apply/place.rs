//! The new files put in place of the old ones, all or none, and the way back.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{Attributes, Directory, Entry, Found};
use super::fault::{self, Fault, Write, trace};
use super::plan::Change;
use super::{Error, SystemErrorKind};
use crate::upstream::UpstreamName;

/// Ends the names of candidates.
const DOT_END: &str = ".weir-new";

/// A target, in its directory, which was opened once.
#[derive(Debug)]
pub(super) struct Place {
    directory: Directory,
    path: PathBuf,
    name: OsString,
    dot: OsString,
}

impl Place {
    pub(super) fn of(target: &Path) -> Result<Self, Error> {
        let (directory, name) = Directory::of(target)?;
        Ok(Self { directory, path: target.to_owned(), name: name.to_owned(), dot: dot_name(name) })
    }

    /// As [`Self::of`]; `None` where there is no directory, and so nothing in it.
    pub(super) fn if_there(target: &Path) -> Result<Option<Self>, Error> {
        match Self::of(target) {
            Err(Error::Write { source, .. }) if source.kind == SystemErrorKind::Missing => Ok(None),
            place => place.map(Some),
        }
    }

    /// `.NAME.weir-new` beside the target: no `*.conf` glob loads it, and SELinux context and file system fit (`protocols C.1`).
    pub(super) fn dot(&self) -> PathBuf {
        self.path.with_file_name(&self.dot)
    }

    /// What is at the target.
    pub(super) fn read(&self, upstream: &UpstreamName) -> Result<Option<Found>, Error> {
        match self.directory.read(&self.name)? {
            Entry::Missing => Ok(None),
            Entry::File(found) => Ok(Some(found)),
            Entry::Odd { link } => Err(Error::NotAFile { upstream: upstream.clone(), path: self.path.clone(), link }),
        }
    }

    /// As [`Self::read`], whatever it is for.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Error> {
        self.bytes_of(&self.name, &self.path)
    }

    /// As [`Self::read`], of a file that is no upstream's.
    pub(super) fn found(&self) -> Result<Option<Found>, Error> {
        match self.directory.read(&self.name)? {
            Entry::Missing => Ok(None),
            Entry::File(found) => Ok(Some(found)),
            Entry::Odd { .. } => Err(Error::read(&self.path)(io::Error::other("not a regular file"))),
        }
    }

    /// Whatever is at the target.
    pub(super) fn entry(&self) -> Result<Entry, Error> {
        self.directory.read(&self.name)
    }

    /// Whatever is beside the target: a candidate, or what it displaced.
    pub(super) fn entry_beside(&self) -> Result<Entry, Error> {
        self.directory.read(&self.dot)
    }

    /// As [`Self::entry_beside`], which is to be a file.
    pub(super) fn beside(&self) -> Result<Option<Vec<u8>>, Error> {
        self.bytes_of(&self.dot, &self.dot())
    }

    fn bytes_of(&self, name: &OsStr, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        match self.directory.read(name)? {
            Entry::Missing => Ok(None),
            Entry::File(found) => Ok(Some(found.bytes)),
            Entry::Odd { .. } => Err(Error::read(path)(io::Error::other("not a regular file"))),
        }
    }

    fn write(&self, change: &Change) -> Result<(), Error> {
        let Some(bytes) = &change.after else { return self.clear() };
        if self.is_beside(change)? {
            // What was displaced goes back, also where there is no room for another copy of it.
            self.directory.sync_file(&self.dot)?;
            trace(Write::Sync(&self.dot()));
            return Ok(());
        }
        self.write_candidate(bytes, change.attributes.as_ref())
    }

    /// Puts a whole file beside the target.
    pub(super) fn write_candidate(&self, bytes: &[u8], attributes: Option<&Attributes>) -> Result<(), Error> {
        self.clear()?;
        self.directory.write_candidate(&self.dot, bytes, attributes)?;
        trace(Write::File(&self.dot(), bytes));
        trace(Write::Sync(&self.dot()));
        Ok(())
    }

    /// Whether the very file that is to be put in place lies there.
    fn is_beside(&self, change: &Change) -> Result<bool, Error> {
        let Entry::File(found) = self.entry_beside()? else { return Ok(false) };
        Ok(change.after.as_ref() == Some(&found.bytes) && change.attributes.as_ref() == Some(&found.attributes))
    }

    /// Drops what is beside the target.
    pub(super) fn clear(&self) -> Result<(), Error> {
        self.directory.remove(&self.dot)?;
        trace(Write::Remove(&self.dot()));
        Ok(())
    }

    /// The target and what is beside it swap names.
    pub(super) fn exchange(&self) -> Result<(), Error> {
        self.directory.exchange(&self.dot, &self.name)?;
        trace(Write::Exchange(&self.dot(), &self.path));
        Ok(())
    }

    fn refuse_half_exchanged(&self) -> Result<(), Error> {
        self.directory.refuse_half_exchanged(&self.dot, &self.name)
    }

    /// Ends an exchange that died half-way.
    pub(super) fn finish_exchange(&self) -> Result<(), Error> {
        self.directory.finish_exchange(&self.dot, &self.name)
    }

    pub(super) fn place_new(&self) -> Result<(), Error> {
        self.directory.place_new(&self.dot, &self.name)?;
        trace(Write::Rename(&self.dot(), &self.path));
        Ok(())
    }

    pub(super) fn take_away(&self) -> Result<(), Error> {
        self.directory.take_away(&self.name, &self.dot)?;
        trace(Write::Rename(&self.path, &self.dot()));
        Ok(())
    }

    /// What is beside the target takes its place, whether something is there or not.
    pub(super) fn put_displaced(&self) -> Result<(), Error> {
        match self.entry()? {
            Entry::Missing => self.place_new(),
            Entry::File(_) | Entry::Odd { .. } => self.exchange(),
        }
    }

    /// Makes the names survive a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.directory.sync()?;
        trace(Write::SyncDirectory(self.path.parent().unwrap_or(&self.path)));
        Ok(())
    }

    fn put(&self, change: &Change) -> Result<(), Error> {
        match (&change.before, &change.after) {
            (Some(_), Some(_)) => self.exchange(),
            (None, Some(_)) => self.place_new(),
            (Some(_), None) => self.take_away(),
            (None, None) => Ok(()),
        }
    }

    /// Undoes [`Self::put`]. What somebody wrote over ours meanwhile is handed back, and stays where it was made: it is newer than
    /// what was there before. But that is put back if it cannot be copied.
    fn put_back(&self, change: &Change) -> Result<Option<Edit>, Error> {
        match (&change.before, &change.after) {
            (Some(_), Some(_)) => self.exchange()?,
            (None, Some(_)) => self.take_away()?,
            (Some(_), None) => self.place_new()?,
            (None, None) => {}
        }
        let edit = self.edit_beside(change.after.as_deref())?;
        if edit.is_some() && !matches!(self.entry()?, Entry::Odd { .. }) {
            self.put(change)?;
        }
        self.sync()?;
        Ok(edit)
    }

    /// What is beside the target and is not as it was `known`.
    pub(super) fn edit_beside(&self, known: Option<&[u8]>) -> Result<Option<Edit>, Error> {
        let bytes = match self.entry_beside()? {
            Entry::Missing => return Ok(None),
            Entry::File(found) if known == Some(&found.bytes) => return Ok(None),
            Entry::File(found) => Some(found.bytes),
            Entry::Odd { .. } => None,
        };
        Ok(Some(Edit { path: self.path.clone(), bytes }))
    }
}

pub(super) fn dot_name(name: &OsStr) -> OsString {
    let mut dot = OsString::from(".");
    dot.push(name);
    dot.push(DOT_END);
    dot
}

/// Whether it has such a name.
pub(super) fn is_dot(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(DOT_END.as_bytes())
}

/// What is at a target; `None` also where there is no directory.
pub(super) fn look(upstream: &UpstreamName, target: &Path) -> Result<Option<Found>, Error> {
    Place::if_there(target)?.map_or(Ok(None), |place| place.read(upstream))
}

/// Candidates beside their targets.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    files: Vec<(&'a Change, Place)>,
    /// So many have been exchanged with their targets.
    placed: usize,
}

/// What is not what we knew to be there: somebody edited meanwhile.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) path: PathBuf,
    /// `None`: it is no regular file, and nothing that could be copied.
    pub(super) bytes: Option<Vec<u8>>,
}

impl<'a> Candidates<'a> {
    /// Writes them all, or leaves none.
    pub(super) fn write(changes: &'a [Change]) -> Result<Self, Error> {
        let opened = changes.iter().map(|change| Ok((change, Place::of(&change.path)?)));
        let candidates = Self { files: opened.collect::<Result<_, Error>>()?, placed: 0 };
        match candidates.files.iter().try_for_each(|(change, place)| place.write(change)) {
            Ok(()) => Ok(candidates),
            Err(error) => {
                // The first error is the one to report; what is left the next run removes.
                let _ = candidates.clear();
                Err(error)
            }
        }
    }

    /// With what is to be seen at each target.
    pub(super) fn shown(&self) -> Vec<(&Path, Option<PathBuf>)> {
        let shown = |(change, place): &'_ (&'a Change, Place)| change.after.is_some().then(|| place.dot());
        self.files.iter().map(|file| (file.0.path.as_path(), shown(file))).collect()
    }

    /// Drops what is beside the targets: candidates that are not wanted, or what was displaced.
    pub(super) fn clear(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|(_, place)| place.clear())
    }

    /// Exchanges them with their targets, one after the other.
    pub(super) fn exchange(&mut self) -> Result<(), Error> {
        for (change, place) in &self.files {
            place.put(change)?;
            self.placed += 1;
            fault::point(Fault::Exchanged);
        }
        Ok(())
    }

    /// What somebody wrote after the targets were read and before the exchange.
    pub(super) fn edits(&self) -> Result<Vec<Edit>, Error> {
        let mut edits = Vec::new();
        for (change, place) in &self.files[..self.placed] {
            let Some(before) = &change.before else { continue };
            edits.extend(place.edit_beside(Some(&before.bytes))?);
        }
        Ok(edits)
    }

    /// Makes the exchange survive a power loss.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|(_, place)| place.sync())
    }

    /// Puts back what was there, as far as it goes, and reports the first failure. What somebody wrote over ours meanwhile stays, and
    /// is handed back.
    pub(super) fn undo(&self) -> Result<Vec<Edit>, Error> {
        let (placed, others) = self.files.split_at(self.placed);
        let undone = placed.iter().rev().map(|(change, place)| place.put_back(change));
        let untouched = others.iter().map(|(_, place)| place.refuse_half_exchanged().map(|()| None));
        let results: Vec<Result<Option<Edit>, Error>> = undone.chain(untouched).collect();
        results.into_iter().filter_map(Result::transpose).collect()
    }
}
