//! The files that a document is about, as they are now.

use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

use super::directory::{Directory, Found};
use super::plan::Change;
use super::store::Saved;
use super::system::Nginx;
use super::{Error, Options, Target, place};
use crate::digest::Digest;
use crate::nginx::{Context, PageSize};
use crate::upstream::desired::{self, Desired};
use crate::upstream::{self, Servers};

/// An upstream of the document with what is there for it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) target: Target<'a>,
    pub(super) wanted: &'a desired::Target,
    pub(super) before: Option<Found>,
}

/// Every upstream of the document that has a file, checked, and its file as it is.
pub(super) fn read_all<'a>(options: &'a Options, desired: &'a Desired) -> Result<Vec<Wanted<'a>>, Error> {
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
        found.push(Wanted { target, wanted, before: place::look(&target.options.name, target.output)? });
    }
    Ok(found)
}

/// Whether everything in a document is configured and within its limits. The sender checked this too; but the sender faces the
/// network.
///
/// The members, which templates list, have no limits but those that every document has: [`Members`](crate::upstream::Members) checks
/// their number and their names while it is read.
pub(super) fn check(options: &Options, desired: &Desired) -> Result<(), Error> {
    // Within a request it was read as a part of that, which may be larger.
    let bytes = desired.to_json().len();
    if bytes > Desired::MAX_BYTES {
        return Err(Error::TooLarge { bytes });
    }
    for (name, target) in &desired.upstreams {
        let configured = options.upstreams.iter().find(|upstream| upstream.options.name == *name);
        let upstream = configured.ok_or_else(|| Error::NotConfigured { upstream: name.clone() })?;
        if let desired::Target::Servers(servers) = target {
            within_limits(&upstream.options, servers)?;
        }
    }
    Ok(())
}

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

/// What streams need before their files are written: an NGINX that knows them, and the directory that no package makes.
pub(super) fn prepare(options: &Options, nginx: &Nginx<'_>, changes: &[Change]) -> Result<(), Error> {
    let is_written =
        |target: &Target<'_>| changes.iter().any(|change| change.path == target.output && change.after.is_some());
    let streams: Vec<Target<'_>> =
        options.targets().filter(|target| target.block.context == Context::Stream).filter(is_written).collect();
    nginx.need_stream(streams.iter().map(|target| target.options.name.clone()).collect())?;
    let directory = options.nginx.config.with_file_name(Context::Stream.directory());
    if streams.iter().any(|target| target.output.parent() == Some(&directory)) {
        Directory::make(&directory)?;
    }
    Ok(())
}

/// Whether weir wrote it: by what the generation in place has for that target, never by what it says of itself.
pub(super) fn is_ours(in_place: Option<&Saved>, path: &Path, before: &Found) -> bool {
    in_place.and_then(|saved| saved.file(path)).is_some_and(|file| file.hash == Some(Digest::of(&before.bytes)))
}

/// Whether somebody has changed or removed what the generation in place has there.
pub(super) fn is_edited(in_place: Option<&Saved>, path: &Path, before: Option<&Found>) -> bool {
    let known = in_place.and_then(|saved| saved.file(path));
    known.is_some_and(|file| file.hash != before.map(|before| Digest::of(&before.bytes)))
}

/// Of this host; as most have it where the system does not say.
pub(super) fn page_size() -> PageSize {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|bytes| usize::try_from(bytes).ok());
    bytes.map_or(PageSize::USUAL, PageSize::from_bytes)
}
