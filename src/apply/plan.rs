//! Which files change, decided before any is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::directory::{Attributes, Found};
use super::journal::{FileChange, Work};
use super::store::{Manifest, Saved, SavedFile};
use super::targets::{Wanted, is_edited, is_ours};
use super::{Error, Options, Target as Place};
use crate::config::ForeignEdit;
use crate::digest::Digest;
use crate::nginx::{Host, Turn, generation_of, render};
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Cause, Generation, Holds, OnEmpty, UpstreamName, differences};

/// What one run will do.
#[derive(Debug)]
pub(super) struct Plan {
    /// The number of what is in place afterwards.
    pub(super) generation: Generation,
    /// Files that get new bytes.
    pub(super) changes: Vec<Change>,
    /// Files of the document that are right already.
    same: Vec<PathBuf>,
    /// Upstreams that have no server and no record, and a file all the same: it stays, and so does what it serves.
    pub(super) untouched: Vec<UpstreamName>,
    /// Every file of that generation.
    pub(super) files: Vec<SavedFile>,
    /// What they are rendered from. Upstreams that the document left out are still as the one before had them.
    pub(super) desired: Desired,
}

/// New bytes for one file.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) upstream: UpstreamName,
    pub(super) path: PathBuf,
    /// `None`: it goes away.
    pub(super) after: Option<Vec<u8>>,
    /// What is there now.
    pub(super) before: Option<Found>,
    /// Written by somebody else, or changed after we wrote it: a copy is kept.
    pub(super) foreign: bool,
    /// Those of the file whose place it takes, or took once.
    pub(super) attributes: Option<Attributes>,
}

impl Change {
    /// From what is there to these bytes. A file keeps its mode and owner.
    pub(super) fn new(upstream: UpstreamName, path: PathBuf, after: Option<Vec<u8>>, before: Option<Found>) -> Self {
        let attributes = before.as_ref().map(|before| before.attributes.clone());
        Self { upstream, path, after, before, foreign: false, attributes }
    }

    /// A file that is gone comes back with the mode and owner that are recorded.
    pub(super) fn like(mut self, recorded: Option<&SavedFile>) -> Self {
        if let (None, Some(file)) = (&self.before, recorded) {
            self.attributes.clone_from(&file.attributes);
        }
        self
    }

    /// Of what is there now.
    pub(super) fn prev(&self) -> Option<Digest> {
        self.before.as_ref().map(|before| Digest::of(&before.bytes))
    }

    /// What somebody else did to a file of ours, which this undoes.
    fn heals(&self, in_place: Option<&Saved>) -> Option<Cause> {
        in_place?.file(&self.path)?.hash.filter(|_| self.after.is_some())?;
        match &self.before {
            None => Some(Cause::FileRemoved),
            Some(_) => self.foreign.then_some(Cause::FileEdited),
        }
    }

    /// For the journal.
    pub(super) fn record(&self) -> FileChange {
        let (hash, prev) = (self.after.as_deref().map(Digest::of), self.prev());
        FileChange { path: self.path.clone(), hash, prev }
    }

    /// What was there, as it is saved.
    pub(super) fn origin(&self) -> SavedFile {
        SavedFile { hash: self.prev(), ..self.saved(Generation(0)) }
    }

    fn saved(&self, turn: Generation) -> SavedFile {
        SavedFile {
            target: self.path.clone(),
            upstream: self.upstream.clone(),
            hash: self.after.as_deref().map(Digest::of),
            attributes: self.attributes.clone(),
            turn,
        }
    }
}

impl Plan {
    /// What makes `found` be as it is wanted, as generation `next` if anything has to change, on top of what is in place.
    pub(super) fn make(
        options: &Options,
        found: Vec<Wanted<'_>>,
        desired: &Desired,
        in_place: Option<&Saved>,
        holds: &Holds,
        next: Generation,
        host: Host,
    ) -> Result<Self, Error> {
        let mut plan = Self::on_top_of(in_place, desired);
        make_room(&mut plan.desired, options);
        for Wanted { target, wanted, before } in found {
            let name = &target.options.name;
            let recorded = in_place.and_then(|saved| saved.file(target.output));
            if recorded.is_none() && before.is_some() && keeps_what_is_there(target, wanted) {
                plan.desired.upstreams.remove(name);
                plan.untouched.push(name.clone());
                continue;
            }
            // With the file's own turn: the same servers in another order are no reason to reload.
            let text = |generation| render(target.block, wanted, Turn { order: desired.order, generation }, host);
            let ours = before.as_ref().is_some_and(|before| is_ours(in_place, target.output, before));
            let known = plan.files.iter().find(|file| file.target == target.output).filter(|_| ours);
            let is_frozen = is_frozen(holds, in_place, name, wanted);
            let is_same = |file: &&SavedFile| before.as_ref().is_some_and(|b| text(file.turn).as_bytes() == b.bytes);
            if known.filter(|file| is_frozen || is_same(file)).is_some() {
                plan.keep(target.output);
                continue;
            }
            if is_edited(in_place, target.output, before.as_ref()) && options.apply.foreign_edit == ForeignEdit::Hold {
                return Err(Error::ForeignEdit { path: target.output.to_owned() });
            }
            // Of a file of weir's whose record is lost generation 0 has the bytes.
            let is_weirs = |before: &Found| recorded.is_none() && generation_of(&before.bytes).is_some();
            let foreign = !ours && before.as_ref().is_some_and(|before| !is_weirs(before));
            // What is held comes back as it was.
            let (after, turn) = match recorded.zip(in_place).filter(|_| is_frozen) {
                Some((file, saved)) => (saved.bytes(file)?, file.turn),
                None => (Some(text(next).into_bytes()), next),
            };
            let change = Change::new(name.clone(), target.output.to_owned(), after, before).like(recorded);
            plan.add(Change { foreign, ..change }, turn);
        }
        plan.end(next, in_place);
        Ok(plan)
    }

    /// Nothing is to be done yet.
    pub(super) fn on_top_of(in_place: Option<&Saved>, desired: &Desired) -> Self {
        let mut all = in_place.map_or_else(|| desired.clone(), |saved| saved.desired().clone());
        all.order = desired.order;
        all.members.clone_from(&desired.members);
        all.upstreams.extend(desired.upstreams.iter().map(|(name, target)| (name.clone(), target.clone())));
        let files = in_place.map(|saved| saved.files().to_vec()).unwrap_or_default();
        Self {
            generation: in_place.map(Saved::generation).unwrap_or_default(),
            changes: Vec::new(),
            same: Vec::new(),
            untouched: Vec::new(),
            files,
            desired: all,
        }
    }

    /// Notes that a file is right already.
    pub(super) fn keep(&mut self, path: &Path) {
        self.same.push(path.to_owned());
    }

    /// Adds a change; its lines are ordered for `turn`.
    pub(super) fn add(&mut self, change: Change, turn: Generation) {
        self.files.retain(|file| file.target != change.path);
        if change.after.is_some() {
            self.files.push(change.saved(turn));
        }
        self.changes.push(change);
    }

    /// Gives it its number.
    pub(super) fn end(&mut self, next: Generation, in_place: Option<&Saved>) {
        let unchanged = in_place.map(Saved::generation).unwrap_or_default();
        self.generation = if self.changes.is_empty() { unchanged } else { next };
    }

    /// The upstreams whose files change.
    pub(super) fn upstreams(&self) -> Vec<UpstreamName> {
        self.changes.iter().map(|change| change.upstream.clone()).collect()
    }

    /// Whether this file is there afterwards.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.contents().any(|(place, hash)| place == path && hash.is_some())
    }

    /// Every file of the document with what it should hold.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Path, Option<Digest>)> {
        let is_same = |file: &&SavedFile| self.same.contains(&file.target);
        let same = self.files.iter().filter(is_same).map(|file| (file.target.as_path(), file.hash));
        same.chain(self.changes.iter().map(|change| (change.path.as_path(), change.after.as_deref().map(Digest::of))))
    }

    /// Files that NGINX has not read before.
    pub(super) fn created(&self) -> impl Iterator<Item = &Path> {
        let created = |change: &&Change| change.before.is_none() && change.after.is_some();
        self.changes.iter().filter(created).map(|change| change.path.as_path())
    }

    /// Files of ours that somebody else had taken away and that are there again.
    pub(super) fn removed(&self, in_place: Option<&Saved>) -> impl Iterator<Item = &Path> {
        let removed = move |change: &&Change| change.heals(in_place) == Some(Cause::FileRemoved);
        self.changes.iter().filter(removed).map(|change| change.path.as_path())
    }

    /// As it is saved.
    pub(super) fn manifest(&self) -> Manifest {
        Manifest::new(self.generation, self.desired.clone(), self.files.clone())
    }

    /// Bytes that the generation before did not have.
    pub(super) fn bytes(&self) -> BTreeMap<Digest, &[u8]> {
        self.changes
            .iter()
            .filter_map(|change| change.after.as_deref())
            .map(|bytes| (Digest::of(bytes), bytes))
            .collect()
    }

    /// What it means for the servers, from what is in place.
    pub(super) fn work(&self, in_place: Option<&Saved>) -> Work {
        let mut room = Work::MAX_CHANGES;
        let mut work = Work::default();
        for change in &self.changes {
            let before = in_place.and_then(|saved| saved.desired().upstreams.get(&change.upstream)?.servers());
            let after = self.desired.upstreams.get(&change.upstream).and_then(Target::servers);
            let mut changes = differences(before, after.filter(|_| change.after.is_some()));
            let more = changes.len().saturating_sub(room);
            changes.truncate(room);
            room -= changes.len();
            work.more = work.more.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
            work.upstreams.insert(change.upstream.clone(), changes);
        }
        let healed: BTreeSet<Cause> = self.changes.iter().filter_map(|change| change.heals(in_place)).collect();
        work.causes = healed.into_iter().collect();
        work
    }
}

/// Whether its file stays byte for byte, since it is held and nothing of it is to change. What was rendered under another
/// configuration is what an operator may have gone back to.
pub(super) fn is_frozen(holds: &Holds, in_place: Option<&Saved>, name: &UpstreamName, wanted: &Target) -> bool {
    holds.get(name).is_some() && in_place.is_some_and(|saved| saved.desired().upstreams.get(name) == Some(wanted))
}

/// Whether a file that nothing is recorded of stays. Without a server nobody knows better than whoever wrote it, unless an error is
/// preferred to that.
fn keeps_what_is_there(target: Place<'_>, wanted: &Target) -> bool {
    *wanted == Target::Placeholder && target.options.policy.on_empty == OnEmpty::Keep
}

/// Upstreams that are not configured any more are remembered, they may come back, while one document has room for all.
fn make_room(desired: &mut Desired, options: &Options) {
    let is_configured = |name: &UpstreamName| options.upstreams.iter().any(|upstream| upstream.options.name == *name);
    if desired.upstreams.len() > Desired::MAX_UPSTREAMS || desired.to_json().len() > Desired::MAX_BYTES {
        desired.upstreams.retain(|name, _| is_configured(name));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::targets;
    use super::*;
    use crate::config::{Config, Upstream};
    use crate::upstream::{Options as UpstreamOptions, Server, Servers, Weight};
    use crate::wire::NodeName;

    #[test]
    fn a_document_never_outgrows_what_can_be_read_back() {
        let name = |number: usize| UpstreamName::new(&format!("u{number}")).unwrap();
        // How many upstreams are configured, how many more there were, and how many stay.
        for (configured, others, stay) in [(0, 256, 256), (1, 255, 256), (2, 255, 2), (256, 0, 256), (200, 100, 200)] {
            let options = |number| UpstreamOptions::new(name(number), Vec::new());
            let upstreams =
                (0..configured).map(|number| Upstream { options: options(number), file: None, probe: None }).collect();
            let options = Options { upstreams, ..Options::from(&Config::default()) };
            let mut desired = Desired::new(0);
            let others = (0..others).map(|number| name(1000 + number));
            desired.upstreams.extend((0..configured).map(name).chain(others).map(|name| (name, Target::Placeholder)));
            make_room(&mut desired, &options);
            assert_eq!(desired.upstreams.len(), stay, "{configured}");
        }
    }

    #[test]
    fn a_document_larger_than_any_is_refused_and_one_that_was_remembered_forgets() {
        let name = |number: usize| UpstreamName::new(&format!("u{number}")).unwrap();
        let server = |number: u16| Server {
            member: NodeName::new(&"m".repeat(200)).unwrap(),
            addr: SocketAddr::from(([10, 0, 0, 1], number)),
            weight: Weight::ONE,
            down: false,
            backup: false,
            max_conns: 0,
        };
        let servers = Target::Servers(Servers::new((1..=2000).map(server).collect()).unwrap());
        let upstreams = vec![Upstream { options: UpstreamOptions::new(name(0), Vec::new()), file: None, probe: None }];
        let options = Options { upstreams, ..Options::from(&Config::default()) };
        let mut desired = Desired::new(0);
        desired.upstreams.extend((0..10).map(|number| (name(number), servers.clone())));
        assert!(
            matches!(targets::check(&options, &desired), Err(Error::TooLarge { bytes }) if bytes > Desired::MAX_BYTES)
        );
        make_room(&mut desired, &options);
        assert_eq!(desired.upstreams.keys().collect::<Vec<_>>(), [&name(0)]);
        assert_eq!(targets::check(&options, &desired), Ok(()));
    }
}
