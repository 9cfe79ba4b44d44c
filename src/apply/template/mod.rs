//! The files of templates: each with a check, a reload and a way back of its own (`protocols C.6`).
//!
//! They follow a document after NGINX's files have, under the same lock. Each goes its way by itself: a mistake in a template, or
//! a program that does not take its file, keeps the old file where it is and holds up nothing else, least of all a dead server's
//! departure from NGINX. What is known of a file is one small record; what was displaced stays beside the target until its
//! reader has taken the new one over, so that a run that died is ended by asking the reader again, or by putting that back.

mod command;
mod record;
mod source;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User};
use serde::{Deserialize, Serialize};

use self::record::{Known, Record};
use super::directory::{Attributes, Entry, Found};
use super::error::is_root;
use super::fault::{self, Fault};
use super::place::Place;
use super::targets::check;
use super::{Error, Kept, Options, foreign};
use crate::config::{self, ForeignEdit, Upstream};
use crate::digest::Digest;
use crate::template::{Data, TemplateName};
use crate::upstream::Generation;
use crate::upstream::desired::{Desired, Target};

pub(super) use self::record::live;

/// What became of the file of one template.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// Which.
    pub template: TemplateName,
    /// What became of it.
    pub end: End,
}

/// How it ended. In every case the file is a complete one, the old or the new.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its reader has taken the new file over.
    Live {
        /// The number that it was rendered for.
        generation: Generation,
        /// From reading the template to that.
        took: Duration,
    },
    /// The old file stays, and nobody was told of another.
    Refused {
        /// Why.
        error: Error,
    },
    /// The new file passed its check and was not taken over. The old one is back, and its reader has it.
    RolledBack {
        /// Why.
        error: Error,
    },
    /// As above, but whether its reader has the old one is not known.
    Failed {
        /// Why.
        error: Error,
        /// Why going back failed.
        then: Error,
    },
}

impl End {
    /// Why it is not as wanted.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Live { .. } => None,
            Self::Refused { error } | Self::RolledBack { error } | Self::Failed { error, .. } => Some(error),
        }
    }
}

impl From<Error> for Box<End> {
    fn from(error: Error) -> Self {
        Self::new(End::Refused { error })
    }
}

/// What happened to the files of templates, and which copies were kept of what was there.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) followed: Vec<Followed>,
    pub(super) foreign: Vec<Kept>,
}

/// Has all templates follow a document, as far as they differ. `generation` is NGINX's: theirs are not below.
pub(super) fn follow(options: &Options, desired: &Desired, generation: Generation) -> Outcome {
    let mut outcome = Outcome::default();
    if options.templates.is_empty() || check(options, desired).is_err() {
        return outcome; // a document outside of its limits was refused before
    }
    match record::merge(options, desired) {
        Ok(desired) => outcome
            .all(options, |template, foreign| File::new(options, template, foreign)?.follow(&desired, generation)),
        Err(error) => outcome.all(options, |_, _| Err(error.clone().into())),
    }
    outcome
}

/// Has them follow a document of an earlier time; the members are those of today.
pub(super) fn go_back(options: &Options, desired: &Desired, generation: Generation) -> Outcome {
    // What cannot be read is told by the merge.
    let today = record::live(&options.apply.state).ok().flatten();
    let mut desired = desired.clone();
    desired.members = today.map(|today| today.members).unwrap_or_default();
    follow(options, &desired, generation)
}

/// Ends what a run that died left half done.
pub(super) fn recover(options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.all(options, |template, foreign| File::new(options, template, foreign)?.settle().map(|()| None));
    outcome
}

/// Whether a run that died has left a file half done.
pub(super) fn is_open(options: &Options) -> Result<bool, Error> {
    for template in &options.templates {
        if Record::load(&options.apply.state, &template.name)?.open.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a file is not as its reader has it, or its template is another, or nobody can tell.
pub(super) fn has_drifted(options: &Options) -> bool {
    let is_as_recorded = |template| is_as_recorded(&options.apply.state, template);
    !options.templates.iter().all(|template| is_as_recorded(template).unwrap_or(false))
}

fn is_as_recorded(state: &Path, template: &config::Template) -> Result<bool, Error> {
    let record = Record::load(state, &template.name)?;
    let Some(live) = record.live.filter(|_| record.target == template.output) else { return Ok(true) };
    let found = Place::of(&template.output)?.found()?;
    let source = source::read(template)?;
    Ok(record.source == Some(Digest::of(source.as_bytes())) && found.is_some_and(|found| live.is(&found.bytes)))
}

impl Outcome {
    fn all<'a>(
        &mut self,
        options: &'a Options,
        mut step: impl FnMut(&'a config::Template, &mut Vec<Kept>) -> Result<Option<End>, Box<End>>,
    ) {
        for template in &options.templates {
            let end = step(template, &mut self.foreign).unwrap_or_else(|end| Some(*end));
            self.followed.extend(end.map(|end| Followed { template: template.name.clone(), end }));
        }
    }
}

/// One target, with what is known of it.
#[derive(Debug)]
struct File<'a> {
    template: &'a config::Template,
    options: &'a Options,
    place: Place,
    record: Record,
    foreign: &'a mut Vec<Kept>,
}

impl<'a> File<'a> {
    fn new(options: &'a Options, template: &'a config::Template, foreign: &'a mut Vec<Kept>) -> Result<Self, Box<End>> {
        let place = Place::of(&template.output)?;
        let record = Record::load(&options.apply.state, &template.name)?;
        // What was left at another place is not touched any more.
        let record = if record.target == template.output { record } else { Record::new(&template.output) };
        Ok(Self { template, options, place, record, foreign })
    }

    fn state(&self) -> &'a Path {
        &self.options.apply.state
    }

    fn save(&self) -> Result<(), Error> {
        self.record.save(self.state(), &self.template.name)
    }

    /// `None`: it is nothing that could be copied, and goes back.
    fn keep_copy(&mut self, bytes: Option<&[u8]>) -> Result<(), Error> {
        let Some(bytes) = bytes else { return Ok(()) };
        self.foreign.push(foreign::keep(self.state(), &self.template.output, bytes)?);
        Ok(())
    }

    /// What ours takes the place of. Before there was one of ours it is nobody's edit.
    fn keep_displaced(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let first = self.record.live.is_none();
        let kept = foreign::keep(self.state(), &self.template.output, bytes)?;
        self.foreign.push(Kept { first, ..kept });
        Ok(())
    }

    /// `None`: it is as it should be.
    fn follow(mut self, desired: &Desired, generation: Generation) -> Result<Option<End>, Box<End>> {
        let started = Instant::now();
        self.settle()?;
        let source = source::read(self.template)?;
        let made_from = Some(Digest::of(source.as_bytes()));
        let text = |turn| source::render(self.template, &source, Data::new(desired, turn));
        let before = self.place.found()?;
        let attributes = self.attributes(before.as_ref())?;
        let ours = self.record.live.filter(|live| before.as_ref().is_some_and(|found| live.is(&found.bytes)));
        // For the file's own number: the same in another generation is no reason to reload.
        if let (Some(live), Some(found)) = (ours, &before)
            && found.attributes == attributes
            && text(live.turn)?.as_bytes() == found.bytes
        {
            if self.record.source != made_from {
                self.record.source = made_from;
                self.save()?;
            }
            return Ok(None);
        }
        // Nobody knows what it does for whom: it goes once there is a server.
        if self.record.live.is_none() && before.is_some() && self.serves_nobody(desired) {
            return Ok(None);
        }
        let is_edited = self.record.live.is_some() && ours.is_none() && before.is_some();
        if is_edited && self.options.apply.foreign_edit == ForeignEdit::Hold {
            return Err(Error::ForeignEdit { path: self.template.output.clone() }.into());
        }
        let turn = self.record.live.map_or(Generation(1), |live| live.turn.next()).max(generation);
        let bytes = text(turn)?.into_bytes();
        self.place.write_candidate(&bytes, Some(&attributes))?;
        fault::point(Fault::Written);
        if let Err(error) = command::check(self.template, &self.place.dot()) {
            self.place.clear()?;
            return Err(error.into());
        }
        fault::point(Fault::Validated);
        if let Some(found) = before.as_ref().filter(|_| ours.is_none()) {
            self.keep_displaced(&found.bytes)?;
        }
        (self.record.open, self.record.source) = (Some(Known { hash: Digest::of(&bytes), turn }), made_from);
        self.save()?;
        fault::point(Fault::Begun);
        self.exchange(before.as_ref())?;
        self.load()?;
        Ok(Some(End::Live { generation: turn, took: started.elapsed() }))
    }

    /// Whether there are upstreams, and nowhere a server.
    fn serves_nobody(&self, desired: &Desired) -> bool {
        let is_served = |upstream: &Upstream| {
            let target = desired.upstreams.get(&upstream.options.name);
            target.and_then(Target::servers).is_some_and(|servers| servers.serving().next().is_some())
        };
        !self.options.upstreams.is_empty() && !self.options.upstreams.iter().any(is_served)
    }

    /// The mode and owner that are configured. Label and access list are those of the file that is there.
    fn attributes(&self, before: Option<&Found>) -> Result<Attributes, Error> {
        let like = before.map(|found| found.attributes.clone());
        let (label, access_list, now) = like.map_or((None, None, None), |a| (a.label, a.access_list, Some(a.owner)));
        let owner = match now.filter(|_| !is_root()) {
            Some(owner) => owner, // it cannot be given away
            None => owner(self.template)?,
        };
        Ok(Attributes { mode: self.template.mode.bits(), owner, label, access_list })
    }

    /// The new file in place of the old one, unless somebody edits meanwhile.
    fn exchange(&mut self, before: Option<&Found>) -> Result<(), Box<End>> {
        let Some(before) = before else {
            self.place.place_new()?;
            fault::point(Fault::Exchanged);
            return Ok(self.place.sync()?);
        };
        self.place.exchange()?;
        fault::point(Fault::Exchanged);
        if let Some(edit) = self.place.edit_beside(Some(&before.bytes))? {
            self.keep_copy(edit.bytes.as_deref())?;
            self.put_back()?;
            return Err(Error::Overwritten { path: self.template.output.clone() }.into());
        }
        Ok(self.place.sync()?)
    }

    /// What is in place is taken over and known to be, or what was displaced is.
    fn load(&mut self) -> Result<(), Box<End>> {
        fault::point(Fault::Synced);
        let loaded = command::reload(self.template);
        fault::point(Fault::Confirmed);
        let Err(error) = loaded else { return Ok(self.confirmed()?) };
        match self.put_back().and_then(|()| command::reload(self.template)) {
            Ok(()) => Err(Box::new(End::RolledBack { error })),
            Err(then) => Err(Box::new(End::Failed { error, then })),
        }
    }

    fn confirmed(&mut self) -> Result<(), Error> {
        self.record.live = self.record.open.take();
        self.save()?;
        fault::point(Fault::Recorded);
        self.place.clear()
    }

    /// What was displaced is in place again, or nothing if there was nothing.
    fn put_back(&mut self) -> Result<(), Error> {
        match self.place.entry_beside()? {
            Entry::Missing => self.place.take_away()?,
            Entry::File(_) | Entry::Odd { .. } => self.place.exchange()?,
        }
        self.place.sync()?;
        // Somebody may have written over ours.
        let ours = self.record.open;
        if let Some(bytes) = self.place.beside()?.filter(|bytes| ours.is_none_or(|ours| !ours.is(bytes))) {
            self.keep_copy(Some(&bytes))?;
        }
        self.not_begun()
    }

    fn not_begun(&mut self) -> Result<(), Error> {
        self.record.open = None;
        self.save()?;
        self.place.clear()
    }

    /// Ends what a run that died left half done.
    fn settle(&mut self) -> Result<(), Box<End>> {
        self.place.finish_exchange()?;
        let Some(open) = self.record.open else { return Ok(self.place.clear()?) };
        if let Entry::Odd { .. } = self.place.entry_beside()? {
            self.place.put_displaced()?;
            self.place.sync()?;
        }
        let displaced = self.place.beside()?.filter(|bytes| !open.is(bytes));
        // Whether it was displaced or written by somebody meanwhile: what is not known from before is kept.
        if let Some(bytes) = displaced.filter(|bytes| self.record.live.is_none_or(|live| !live.is(bytes))) {
            self.keep_copy(Some(&bytes))?;
        }
        if matches!(self.place.entry()?, Entry::File(found) if open.is(&found.bytes)) {
            self.place.sync()?;
            self.load()
        } else {
            // It was taken back, and its reader may have heard of the new one.
            self.not_begun()?;
            command::reload(self.template).map_err(|then| Box::new(End::Failed { error: Error::Interrupted, then }))
        }
    }
}

fn owner(template: &config::Template) -> Result<(u32, u32), Error> {
    let config::Owner { user, group } = &template.owner;
    let unknown = |name: &str| Error::UnknownOwner { template: template.name.clone(), name: name.to_owned() };
    let uid = user.parse().ok().or_else(|| User::from_name(user).ok().flatten().map(|user| user.uid.as_raw()));
    let gid = group.parse().ok().or_else(|| Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw()));
    Ok((uid.ok_or_else(|| unknown(user))?, gid.ok_or_else(|| unknown(group))?))
}

#[cfg(test)]
mod tests;
