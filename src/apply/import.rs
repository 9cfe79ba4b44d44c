//! Taking over what version 0.1 knew: `record.json` becomes the first record of the journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::directory::{Found, MAX_FILE};
use super::journal::{Base, Begin, Event, FileChange, Journal, Work};
use super::place::{self, Place};
use super::store::{Manifest, SavedFile, Store};
use super::{Error, Options, disk};
use crate::digest::Digest;
use crate::nginx::generation_of;
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, UpstreamName};

/// `record.json`.
#[derive(Debug, Deserialize)]
struct Record {
    newest: Generation,
    /// A run that began and has not ended.
    open: Option<Generation>,
    /// What the open run puts in place.
    #[serde(default)]
    candidates: BTreeMap<PathBuf, Candidate>,
    live: Option<Live>,
}

#[derive(Debug, Deserialize)]
struct Candidate {
    hash: Digest,
    created: bool,
}

/// What was put in place last.
#[derive(Debug, Deserialize)]
struct Live {
    generation: Generation,
    confirmed: bool,
    desired: Desired,
    files: BTreeMap<PathBuf, Digest>,
}

/// What the older version had in place, as long as nothing has been taken over.
pub(super) fn live(state: &Path) -> Result<Option<(Generation, Desired)>, Error> {
    Ok(load(&path(state))?.and_then(|record| record.live).map(|live| (live.generation, live.desired)))
}

/// Whether the older version left something half done.
pub(super) fn is_open(state: &Path) -> Result<bool, Error> {
    let is_open = |record: Record| record.open.is_some() || record.live.is_some_and(|live| !live.confirmed);
    Ok(load(&path(state))?.is_some_and(is_open))
}

fn path(state: &Path) -> PathBuf {
    state.join("record.json")
}

fn load(path: &Path) -> Result<Option<Record>, Error> {
    let Some(bytes) = disk::read_if_there(path, MAX_FILE)? else { return Ok(None) };
    let damaged = |error: serde_json::Error| Error::Record { path: path.to_owned(), what: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Reads the record of the older version, if there is one and no journal yet, and removes it.
pub(super) fn take_over(options: &Options, journal: &mut Journal, store: &Store) -> Result<(), Error> {
    let path = path(&options.apply.state);
    let Some(record) = load(&path)? else { return Ok(()) };
    if journal.is_new() {
        import(record, options, journal, store)?;
    }
    // The journal is on disk by now.
    disk::remove(&path)?;
    disk::sync(&options.apply.state)
}

fn import(record: Record, options: &Options, journal: &mut Journal, store: &Store) -> Result<(), Error> {
    let Record { newest, open, candidates, live } = record;
    let generation = live.as_ref().map(|live| live.generation).unwrap_or_default();
    let settled = open.is_none() && live.as_ref().is_some_and(|live| live.confirmed);
    // What was tested and never confirmed is still the best there is to go back to.
    let base = Base { newest, confirmed: generation, in_place: generation, settled, ..Base::default() };
    let base = Event::Base(base);
    if let Some(live) = &live {
        save(generation, &live.desired, live.files.iter().map(|(path, hash)| (path, *hash)), options, store)?;
    }
    let Some(open) = open else { return journal.write(base) };
    let desired = live.as_ref().map_or_else(|| Desired::new(0), |live| live.desired.clone());
    save(open, &desired, candidates.iter().map(|(path, candidate)| (path, candidate.hash)), options, store)?;
    let known = candidates.into_iter().filter(|(path, _)| upstream_at(options, path).is_some());
    let files = known.map(|(path, candidate)| FileChange {
        prev: if candidate.created { None } else { live.as_ref().and_then(|live| live.files.get(&path).copied()) },
        hash: Some(candidate.hash),
        path,
    });
    let work = Work::default();
    let begin = Begin { generation: open, prev: generation, untested: true, files: files.collect(), work };
    // At once: without the second an untested candidate would be taken for somebody's edit.
    journal.begin_with([base, Event::Begin(begin)])
}

fn upstream_at<'o>(options: &'o Options, path: &Path) -> Option<&'o UpstreamName> {
    options.targets().find(|target| target.output == path).map(|target| &target.options.name)
}

/// Of the files, those that are still there as they were written: at their target, or beside it, where a run that died left them.
fn save<'f>(
    generation: Generation,
    desired: &Desired,
    all: impl Iterator<Item = (&'f PathBuf, Digest)>,
    options: &Options,
    store: &Store,
) -> Result<(), Error> {
    let mut bytes = BTreeMap::new();
    let mut files = Vec::new();
    for (target, hash) in all {
        let Some(upstream) = upstream_at(options, target) else { continue };
        let Some(found) = find(upstream, target, hash)? else { continue };
        let turn = generation_of(&found.bytes).unwrap_or(generation);
        let (target, upstream) = (target.clone(), upstream.clone());
        files.push(SavedFile { target, upstream, hash: Some(hash), attributes: Some(found.attributes), turn });
        bytes.insert(hash, found.bytes);
    }
    let bytes = bytes.iter().map(|(hash, bytes)| (*hash, bytes.as_slice())).collect();
    store.save(&Manifest::new(generation, desired.clone(), files), &bytes, None)
}

fn find(upstream: &UpstreamName, target: &Path, hash: Digest) -> Result<Option<Found>, Error> {
    let is_it = |found: &Found| Digest::of(&found.bytes) == hash;
    let place = Place::of(target)?;
    if let Some(found) = place.read(upstream)?.filter(is_it) {
        return Ok(Some(found));
    }
    Ok(place::look(upstream, &place.dot())?.filter(is_it))
}
