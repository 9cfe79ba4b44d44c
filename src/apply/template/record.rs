//! What is known of the files of templates, in `templates` in the state directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::apply::{Error, Options, disk};
use crate::digest::Digest;
use crate::template::TemplateName;
use crate::upstream::Generation;
use crate::upstream::desired::Desired;

const VERSION: u32 = 1;
/// Far more than a record has.
const MAX_BYTES: usize = 64 * 1024;

/// Of one file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// Where it is.
    pub(super) target: PathBuf,
    /// What its reader has taken over.
    pub(super) live: Option<Known>,
    /// The template that it was made from.
    pub(super) source: Option<Digest>,
    /// What was about to take its place when this was written.
    pub(super) open: Option<Known>,
}

/// A file as it was made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub(super) hash: Digest,
    /// The number that it was rendered for.
    pub(super) turn: Generation,
}

impl Known {
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.hash == Digest::of(bytes)
    }
}

impl Record {
    /// Nothing is known yet.
    pub(super) fn new(target: &Path) -> Self {
        Self { version: VERSION, target: target.to_owned(), live: None, source: None, open: None }
    }

    /// An empty one if there is none.
    pub(super) fn load(state: &Path, name: &TemplateName) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let path = path(state, name);
        let Some(bytes) = disk::read_if_there(&path, MAX_BYTES)? else { return Ok(Self::new(Path::new(""))) };
        let damaged = |error: serde_json::Error| Error::Record { path: path.clone(), what: error.to_string() };
        let head: Head = serde_json::from_slice(&bytes).map_err(damaged)?;
        if head.version != VERSION {
            return Err(Error::Newer { path });
        }
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    /// On disk when this returns.
    pub(super) fn save(&self, state: &Path, name: &TemplateName) -> Result<(), Error> {
        disk::directory(&directory(state))?;
        let bytes = serde_json::to_vec(self).expect("names, numbers and paths of ours have a JSON form");
        disk::replace(&path(state, name), &bytes)
    }
}

fn directory(state: &Path) -> PathBuf {
    state.join("templates")
}

fn path(state: &Path, name: &TemplateName) -> PathBuf {
    directory(state).join(format!("{name}.json"))
}

/// The document that templates followed last. No template's record has such a name.
fn desired_path(state: &Path) -> PathBuf {
    directory(state).join("desired")
}

/// What templates followed last; `None` before the first.
pub(in crate::apply) fn live(state: &Path) -> Result<Option<Desired>, Error> {
    let path = desired_path(state);
    let Some(bytes) = disk::read_if_there(&path, Desired::MAX_BYTES)? else { return Ok(None) };
    Desired::from_json(&bytes).map(Some).map_err(|error| Error::Record { path, what: error.to_string() })
}

/// The document with what it leaves out as it was, of what is configured; kept for the next time.
pub(super) fn merge(options: &Options, desired: &Desired) -> Result<Desired, Error> {
    let state = &options.apply.state;
    let before = live(state)?;
    let mut all = desired.clone();
    for (name, target) in before.iter().flat_map(|before| &before.upstreams) {
        let is_configured = options.upstreams.iter().any(|upstream| upstream.options.name == *name);
        if is_configured && !all.upstreams.contains_key(name) {
            all.upstreams.insert(name.clone(), target.clone());
        }
    }
    if before.as_ref() != Some(&all) {
        let (path, bytes) = (desired_path(state), all.to_json());
        disk::within(&path, &bytes, Desired::MAX_BYTES)?;
        disk::directory(&directory(state))?;
        disk::replace(&path, &bytes)?;
    }
    Ok(all)
}
