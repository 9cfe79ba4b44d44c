//! Ending what a run that died left half done, as far as files go (`protocols C.4`). Whether NGINX serves them is seen after that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::directory::Entry;
use super::fault::{self, Fault};
use super::journal::{Abort, Begin, Event, FileChange, Journal, Run};
use super::place::{self, Candidates, Edit, Place};
use super::plan::Change;
use super::report::Notes;
use super::store::{Saved, SavedFile, Store};
use super::{Error, Options, Step, foreign};
use crate::config::ForeignEdit;
use crate::digest::Digest;
use crate::upstream::{Generation, UpstreamName};

/// What a file holds, for an open run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    /// What the run puts there.
    New,
    /// What was there before.
    Previous,
    /// What another generation had there.
    Saved,
    /// Somebody else's bytes; or nothing, where there should be something.
    Foreign,
}

/// A target of an open run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Look {
    target: Seen,
    /// The dot file; `None`: there is none.
    beside: Option<Seen>,
}

/// What to do with the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    /// Nothing: no run is open.
    Nothing,
    /// All of the new ones are put in place: they were tested as a whole.
    Forward,
    /// Those that are there stay: none is new.
    Keep,
    /// Those of the last confirmed generation are put in place.
    Back,
    /// Somebody edited: that is saved and put back where it was, and what else the run placed is taken off.
    Yield,
}

/// The table of `protocols C.4`.
fn decide(run: Option<&Run>, looks: &[Look]) -> Action {
    let edited = |look: &Look| look.target == Seen::Foreign || look.beside == Some(Seen::Foreign);
    let any_new = looks.iter().any(|look| look.target == Seen::New);
    match run {
        None => Action::Nothing,
        Some(Run::Back { .. }) => Action::Back,
        Some(Run::Begun(_)) if looks.iter().any(edited) => Action::Yield,
        Some(Run::Begun(begin)) if begin.untested && any_new => Action::Back,
        Some(Run::Begun(_)) if any_new => Action::Forward,
        Some(Run::Begun(_)) => Action::Keep,
    }
}

/// Where files are settled.
#[derive(Debug)]
pub(super) struct Files<'a> {
    pub(super) options: &'a Options,
    pub(super) store: &'a Store,
    pub(super) journal: &'a mut Journal,
    pub(super) notes: &'a mut Notes,
}

impl Files<'_> {
    /// Afterwards no run is open, and the journal says what is in place.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let run = self.journal.state().run.clone();
        let begin = match &run {
            Some(Run::Begun(begin)) => Some(begin),
            Some(Run::Back { .. }) | None => None,
        };
        let looks: Vec<Look> =
            begin.iter().flat_map(|begin| &begin.files).map(|file| self.look(file)).collect::<Result<_, _>>()?;
        match (decide(run.as_ref(), &looks), run) {
            (Action::Forward, Some(Run::Begun(begin))) => self.forward(&begin),
            (Action::Keep, Some(Run::Begun(begin))) => self.keep(&begin, Error::Interrupted),
            (Action::Back, Some(Run::Begun(begin))) => {
                let to = self.journal.state().confirmed;
                self.journal.write(Event::Back { failed: begin.generation, to, cause: Error::Interrupted })?;
                self.back(begin.generation, to)?;
                self.clear_away()
            }
            (Action::Back, Some(Run::Back { failed, to })) => {
                self.back(failed, to)?;
                self.clear_away()
            }
            (Action::Yield, Some(Run::Begun(begin))) => self.give_way(&begin),
            (Action::Nothing, _) | (_, None | Some(Run::Back { .. })) => self.clear_away(),
        }
    }

    /// What a run left beside a target after everything else was done: it was saved or copied by then.
    fn clear_away(&self) -> Result<(), Error> {
        self.options.targets().try_for_each(|target| match Place::of(target.output) {
            Ok(place) => place.clear(),
            // Where nothing can be written nothing was left.
            Err(_) => Ok(()),
        })
    }

    fn look(&self, file: &FileChange) -> Result<Look, Error> {
        let Some(place) = Place::if_there(&file.path)? else {
            return Ok(Look { target: self.seen(file, None), beside: None });
        };
        place.finish_exchange()?;
        let seen = |entry| match entry {
            Entry::Missing => self.seen(file, None),
            Entry::File(found) => self.seen(file, Some(Digest::of(&found.bytes))),
            Entry::Odd { .. } => Seen::Foreign,
        };
        let beside = place.entry_beside()?;
        let is_there = !matches!(beside, Entry::Missing);
        Ok(Look { target: seen(place.entry()?), beside: is_there.then(|| seen(beside)) })
    }

    fn seen(&self, file: &FileChange, hash: Option<Digest>) -> Seen {
        if hash == file.hash {
            return Seen::New;
        }
        if hash == file.prev {
            return Seen::Previous;
        }
        match hash.and_then(|hash| self.store.find(&file.path, hash)) {
            Some(_) => Seen::Saved,
            None => Seen::Foreign,
        }
    }

    fn forward(&mut self, begin: &Begin) -> Result<(), Error> {
        let saved = self.store.need(begin.generation)?;
        let mut changes = Vec::new();
        for file in &begin.files {
            changes.extend(self.change(saved.file(&file.path).map(|file| (&saved, file)), &file.path)?);
        }
        self.place(&changes)?;
        sync(begin)?;
        self.journal.write(Event::Stored { generation: begin.generation })?;
        clear_away_of(begin)
    }

    fn keep(&mut self, begin: &Begin, cause: Error) -> Result<(), Error> {
        sync(begin)?;
        // Nobody knows what NGINX has read meanwhile.
        let (generation, step) = (begin.generation, Step::Write);
        self.journal.write(Event::Abort(Abort { generation, step, cause, work: None, may_be_served: true }))?;
        clear_away_of(begin)
    }

    /// Puts the files of `to` in place of those of `failed`. The record says so already.
    pub(super) fn back(&mut self, failed: Generation, to: Generation) -> Result<(), Error> {
        let changes = self.changes_back(failed, to)?;
        let candidates = self.place(&changes)?;
        fault::point(Fault::Restored);
        self.journal.write(Event::Stored { generation: to })?;
        candidates.clear()
    }

    /// Exchanges whatever differs, keeps what is nobody's that we know, and syncs.
    fn place<'c>(&mut self, changes: &'c [Change]) -> Result<Candidates<'c>, Error> {
        let foreign = changes.iter().filter(|change| change.foreign);
        for (change, before) in foreign.filter_map(|change| Some((change, change.before.as_ref()?))) {
            self.keep_copy(&change.path, &before.bytes)?;
        }
        let mut candidates = Candidates::write(changes)?;
        candidates.exchange()?;
        let edits = candidates.edits()?;
        if let Some(odd) = edits.iter().find(|edit| edit.bytes.is_none()) {
            // It is left alone once it is looked at before the exchange.
            candidates.undo()?.iter().try_for_each(|edit| self.keep_copy_of(edit))?;
            return Err(Error::Overwritten { path: odd.path.clone() });
        }
        edits.iter().try_for_each(|edit| self.keep_copy_of(edit))?;
        candidates.sync()?;
        Ok(candidates)
    }

    /// As [`Self::keep_copy`], if it can be copied.
    pub(super) fn keep_copy_of(&mut self, Edit { path, bytes }: &Edit) -> Result<(), Error> {
        bytes.as_ref().map_or(Ok(()), |bytes| self.keep_copy(path, bytes))
    }

    /// A copy of somebody else's bytes, in the journal and in the report.
    pub(super) fn keep_copy(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut kept = foreign::keep(&self.options.apply.state, path, bytes)?;
        let ours = self.saved(self.journal.state().in_place)?;
        kept.first = ours.as_ref().is_some_and(|saved| saved.file(path).is_none());
        let ours = ours.as_ref().and_then(|saved| Some((saved, saved.file(path)?)));
        if let Some(ours) = ours.map(|(saved, file)| saved.bytes(file)).transpose()?.flatten() {
            kept.line = foreign::first_difference(&ours, bytes);
        }
        self.journal.write_foreign(path, Digest::of(bytes), &kept.copy)?;
        self.notes.foreign.push(kept);
        Ok(())
    }

    /// Somebody edited after the targets were read. Nothing of the run stays in place.
    fn give_way(&mut self, begin: &Begin) -> Result<(), Error> {
        let prev = self.saved(begin.prev)?;
        let mut edited = begin.files.first().map(|file| file.path.clone()).unwrap_or_default();
        let mut changes = Vec::new();
        for file in &begin.files {
            let Some(place) = Place::if_there(&file.path)? else { continue };
            let (look, target, beside) = (self.look(file)?, place.entry()?, place.entry_beside()?);
            let is_displaced = look.beside == Some(Seen::Foreign);
            for (is_edit, entry) in [(is_displaced, &beside), (look.target == Seen::Foreign, &target)] {
                if is_edit {
                    edited.clone_from(&file.path);
                }
                if let (true, Entry::File(found)) = (is_edit, entry) {
                    self.keep_copy(&file.path, &found.bytes)?;
                }
            }
            let goes_back = match look.target {
                Seen::New => is_displaced,
                // It is newer than what the exchange displaced; but that goes back if it cannot be copied.
                Seen::Foreign => matches!((&target, &beside), (Entry::File(_), Entry::Odd { .. })),
                Seen::Previous | Seen::Saved => false,
            };
            if goes_back {
                place.put_displaced()?;
            } else if look.target == Seen::New {
                let known = prev.as_ref().and_then(|prev| prev.file(&file.path).map(|file| (prev, file)));
                let change = match (known, look.beside) {
                    (Some(_), _) | (None, None) => self.change(known, &file.path)?,
                    // What was there before the first generation lies beside it.
                    (None, Some(_)) => {
                        place.put_displaced()?;
                        None
                    }
                };
                changes.extend(change);
            }
        }
        self.place(&changes)?;
        self.keep(begin, Error::Overwritten { path: edited })
    }

    /// From what is at `path` to what `saved` has there; `None` if that is the same.
    fn change(&self, saved: Option<(&Saved, &SavedFile)>, path: &Path) -> Result<Option<Change>, Error> {
        let upstream = saved.map(|(_, file)| file.upstream.clone());
        let Some(upstream) = upstream.or_else(|| self.upstream_at(path)) else { return Ok(None) };
        let before = place::look(&upstream, path)?;
        let after = saved.map(|(saved, file)| saved.bytes(file)).transpose()?.flatten();
        if before.as_ref().map(|before| &before.bytes) == after.as_ref() {
            return Ok(None);
        }
        let change = Change::new(upstream, path.to_owned(), after, before);
        Ok(Some(change.like(saved.map(|(_, file)| file))))
    }

    /// Whose file is at `path`, or was before its upstream was taken out of the configuration.
    fn upstream_at(&self, path: &Path) -> Option<UpstreamName> {
        let target = self.options.targets().find(|target| target.output == path);
        target.map(|target| target.options.name.clone()).or_else(|| self.store.upstream_at(path))
    }

    /// A generation, or what was there before weir.
    fn saved(&self, generation: Generation) -> Result<Option<Saved>, Error> {
        if generation == Generation(0) { self.store.load(generation) } else { self.store.need(generation).map(Some) }
    }

    /// What makes the files of `failed`, wherever they differ, be those of `to` again: where that has none, what was there before.
    fn changes_back(&self, failed: Generation, to: Generation) -> Result<Vec<Change>, Error> {
        let (from, to, origin) = (self.saved(failed)?, self.saved(to)?, self.store.load(Generation(0))?);
        let in_place = self.saved(self.journal.state().in_place)?;
        let all = [&from, &in_place, &to];
        let paths: BTreeSet<PathBuf> =
            all.into_iter().flatten().flat_map(Saved::files).map(|file| file.target.clone()).collect();
        let mut changes = Vec::new();
        for path in paths {
            let file = |saved: &'_ Option<Saved>| saved.as_ref().and_then(|saved| saved.file(&path)).cloned();
            let wanted = [&to, &origin].into_iter().flatten().find_map(|saved| Some((saved, saved.file(&path)?)));
            let hash = wanted.and_then(|(_, file)| file.hash);
            let differs = |saved: &Option<Saved>| saved.is_some() && file(saved).and_then(|file| file.hash) != hash;
            if !differs(&from) && !differs(&in_place) {
                continue;
            }
            if !is_replaceable(&path)? {
                continue;
            }
            let Some(change) = self.change(wanted, &path)? else { continue };
            let foreign = change.prev().is_some_and(|hash| self.store.find(&path, hash).is_none());
            if foreign && self.options.apply.foreign_edit == ForeignEdit::Hold {
                continue;
            }
            changes.push(Change { foreign, ..change });
        }
        Ok(changes)
    }
}

/// Whether something can be put there. Where there is no directory, nothing can. What is no regular file was put there by somebody
/// else and cannot be copied, so it stays: the next apply says so.
fn is_replaceable(path: &Path) -> Result<bool, Error> {
    let Some(place) = Place::if_there(path)? else { return Ok(false) };
    Ok(!matches!(place.entry()?, Entry::Odd { .. }))
}

fn sync(begin: &Begin) -> Result<(), Error> {
    places(begin).try_for_each(|place| place?.sync())
}

fn clear_away_of(begin: &Begin) -> Result<(), Error> {
    places(begin).try_for_each(|place| place?.clear())
}

/// Of the files of a run, as far as their directories are there.
fn places(begin: &Begin) -> impl Iterator<Item = Result<Place, Error>> {
    begin.files.iter().filter_map(|file| Place::if_there(&file.path).transpose())
}

#[cfg(test)]
mod tests;
