//! Which files change, decided before any is touched.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use super::record::Record;
use super::{Error, Options, Target, exchange};
use crate::config::ForeignEdit;
use crate::nginx::{PageSize, Turn, generation_of, render};
use crate::upstream::desired::{self, Desired};
use crate::upstream::{self, Generation, Servers, UpstreamName};

/// What one apply will do.
#[derive(Debug)]
pub(super) struct Plan {
    /// The number that the new files carry.
    pub(super) generation: Generation,
    /// Files that get new bytes.
    pub(super) changes: Vec<Change>,
    /// Files that are right already.
    same: Vec<(PathBuf, Vec<u8>)>,
}

/// New bytes for one file.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) upstream: UpstreamName,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// What is there now.
    pub(super) before: Option<Before>,
}

/// A file as it is.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    /// Written by somebody else, or changed after we wrote it: a copy is kept.
    pub(super) foreign: bool,
}

impl Plan {
    pub(super) fn make(options: &Options, desired: &Desired, record: &Record) -> Result<Self, Error> {
        let found = read_all(options, desired, record)?;
        let newest = found.iter().filter_map(|(_, _, before)| generation_of(&before.as_ref()?.bytes)).max();
        let generation = newest.unwrap_or_default().max(record.newest).next();
        let page = page_size();
        let mut plan = Self { generation, changes: Vec::new(), same: Vec::new() };
        for (target, wanted, before) in found {
            // Rendered with the file's own turn: the same servers in another order are no reason to reload.
            let turn = |generation| Turn { order: desired.order, generation };
            let same = before.as_ref().filter(|before| {
                generation_of(&before.bytes)
                    .is_some_and(|found| render(target.block, wanted, turn(found), page).as_bytes() == before.bytes)
            });
            if let Some(before) = same {
                plan.same.push((target.output.to_owned(), before.bytes.clone()));
                continue;
            }
            if before.as_ref().is_some_and(|before| before.foreign) && options.apply.foreign_edit == ForeignEdit::Hold {
                return Err(Error::ForeignEdit { path: target.output.to_owned() });
            }
            let bytes = render(target.block, wanted, turn(generation), page).into_bytes();
            let (upstream, path) = (target.options.name.clone(), target.output.to_owned());
            plan.changes.push(Change { upstream, path, bytes, before });
        }
        if plan.changes.is_empty() {
            plan.generation = newest.unwrap_or_default().max(record.generation());
        }
        Ok(plan)
    }

    /// The upstreams whose files change.
    pub(super) fn upstreams(&self) -> Vec<UpstreamName> {
        self.changes.iter().map(|change| change.upstream.clone()).collect()
    }

    /// Every file of the document and the bytes it should hold.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        let same = self.same.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()));
        same.chain(self.changes.iter().map(|change| (change.path.as_path(), change.bytes.as_slice())))
    }

    /// Files that NGINX has not read before.
    pub(super) fn created(&self) -> impl Iterator<Item = &Path> {
        self.changes.iter().filter(|change| change.before.is_none()).map(|change| change.path.as_path())
    }

    /// Whether the files still hold our bytes, now that NGINX has read them.
    pub(super) fn still_in_place(&self) -> Result<(), Error> {
        for (path, bytes) in self.contents() {
            if exchange::read_if_there(path)?.as_deref() != Some(bytes) {
                return Err(Error::Overwritten { path: path.to_owned() });
            }
        }
        Ok(())
    }
}

/// Of this host; as most have it where the system does not say.
fn page_size() -> PageSize {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|bytes| usize::try_from(bytes).ok());
    bytes.map_or(PageSize::USUAL, PageSize::from_bytes)
}

type Found<'a> = (Target<'a>, &'a desired::Target, Option<Before>);

/// Every upstream of the document with its target, checked, and its file as it is.
fn read_all<'a>(options: &'a Options, desired: &'a Desired, record: &Record) -> Result<Vec<Found<'a>>, Error> {
    let mut found = Vec::with_capacity(desired.upstreams.len());
    for (name, wanted) in &desired.upstreams {
        let Some(target) = options.target(name) else {
            if options.upstreams.iter().any(|upstream| upstream.options.name == *name) {
                continue; // it has no file
            }
            return Err(Error::NotConfigured { upstream: name.clone() });
        };
        if let desired::Target::Servers(servers) = wanted {
            within_limits(target.options, servers)?;
        }
        found.push((target, wanted, read(target, record)?));
    }
    Ok(found)
}

/// The sender checked this too; but the sender faces the network.
fn within_limits(options: &upstream::Options, servers: &Servers) -> Result<(), Error> {
    let upstream = || options.name.clone();
    let (min, max) = (options.port.min, options.port.max);
    for server in servers.as_slice() {
        let addr = server.addr;
        options.allow.check(addr.ip()).map_err(|why| Error::Address { upstream: upstream(), addr, why })?;
        if !(min..=max).contains(&addr.port()) {
            return Err(Error::Port { upstream: upstream(), addr, min, max });
        }
    }
    Ok(())
}

fn read(target: Target<'_>, record: &Record) -> Result<Option<Before>, Error> {
    let path = target.output;
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::read(path)(error)),
    };
    if !meta.is_file() {
        let upstream = target.options.name.clone();
        return Err(Error::NotAFile { upstream, path: path.to_owned(), link: meta.is_symlink() });
    }
    let bytes = exchange::read(path)?;
    let foreign = !record.wrote(path, &bytes);
    Ok(Some(Before { foreign, bytes, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()) }))
}
