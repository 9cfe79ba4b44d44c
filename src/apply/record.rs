//! What is live, on disk: enough to tell our own files from foreign ones and a finished run from one that died.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::{Change, Plan};
use super::{Error, exchange};
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, UpstreamName};

/// `record.json` in the state directory.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The newest number given to an attempt. Numbers are never used twice.
    pub(super) newest: Generation,
    /// A run that began and has not ended.
    pub(super) open: Option<Generation>,
    /// What the open run puts in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    candidates: BTreeMap<PathBuf, Candidate>,
    /// What was put in place last.
    pub(super) live: Option<Live>,
}

/// A file of the open run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Candidate {
    /// SHA-256.
    hash: String,
    /// There was no such file before.
    pub(super) created: bool,
}

/// A generation that is in place.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Live {
    pub(super) generation: Generation,
    /// Whether workers were seen to serve it; else NGINX was not running.
    confirmed: bool,
    pub(super) desired: Desired,
    /// SHA-256 of each target that weir wrote.
    files: BTreeMap<PathBuf, String>,
}

impl Record {
    fn path(state: &Path) -> PathBuf {
        state.join("record.json")
    }

    /// An empty record if there is none yet.
    pub(super) fn load(state: &Path) -> Result<Self, Error> {
        let path = Self::path(state);
        match exchange::read_if_there(&path)? {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| Error::Record { path, what: error.to_string() })
            }
            None => Ok(Self::default()),
        }
    }

    fn save(&self, state: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).expect("names, numbers and paths of ours have a JSON form");
        exchange::replace(&Self::path(state), &bytes)
    }

    /// The generation in place; 0 is what was there before weir.
    pub(super) fn generation(&self) -> Generation {
        self.live.as_ref().map(|live| live.generation).unwrap_or_default()
    }

    /// Whether the last run ended well and its files are known to be served.
    pub(super) fn is_confirmed(&self) -> bool {
        self.open.is_none() && self.live.as_ref().is_some_and(|live| live.confirmed)
    }

    /// Whether `bytes` are what weir wrote to `target` last.
    pub(super) fn wrote(&self, target: &Path, bytes: &[u8]) -> bool {
        self.live.as_ref().and_then(|live| live.files.get(target)).is_some_and(|hash| *hash == digest(bytes))
    }

    /// A run died: the files are those of before, but NGINX may have read the ones it had put there. Holds until workers are
    /// seen to serve, whatever ends before that.
    pub(super) fn unconfirm(&mut self) {
        if let Some(live) = &mut self.live {
            live.confirmed = false;
        }
    }

    /// Upstreams that are not `configured` any more are remembered, they may come back, while one document has room for all.
    pub(super) fn make_room(&mut self, configured: &BTreeSet<&UpstreamName>) {
        let Some(live) = &mut self.live else { return };
        let others = live.desired.upstreams.keys().filter(|name| !configured.contains(name)).count();
        if configured.len() + others > Desired::MAX_UPSTREAMS {
            live.desired.upstreams.retain(|name, _| configured.contains(name));
        }
    }

    /// The files of a run that died.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (&Path, &Candidate)> {
        self.candidates.iter().map(|(path, candidate)| (path.as_path(), candidate))
    }

    /// Before the first file is touched.
    pub(super) fn begin(&mut self, plan: &Plan, state: &Path) -> Result<(), Error> {
        let candidate = |change: &Change| Candidate { hash: digest(&change.bytes), created: change.before.is_none() };
        self.newest = self.newest.max(plan.generation);
        self.open = Some(plan.generation);
        self.candidates = plan.changes.iter().map(|change| (change.path.clone(), candidate(change))).collect();
        self.save(state)
    }

    /// The files are as before.
    pub(super) fn abort(&mut self, state: &Path) -> Result<(), Error> {
        self.open = None;
        self.candidates.clear();
        self.save(state)
    }

    /// Workers serve the new files.
    pub(super) fn live(&mut self, plan: &Plan, desired: &Desired, state: &Path) -> Result<(), Error> {
        self.end(plan, desired, true, state)
    }

    /// The new files are in place and nobody serves.
    pub(super) fn stored(&mut self, plan: &Plan, desired: &Desired, state: &Path) -> Result<(), Error> {
        self.end(plan, desired, false, state)
    }

    fn end(&mut self, plan: &Plan, desired: &Desired, confirmed: bool, state: &Path) -> Result<(), Error> {
        let before = self.live.clone();
        let (mut all, mut files) =
            before.map_or_else(|| (desired.clone(), BTreeMap::new()), |live| (live.desired, live.files));
        // Upstreams that this document left out are still as the one before had them.
        all.order = desired.order;
        all.upstreams.extend(desired.upstreams.iter().map(|(name, target)| (name.clone(), target.clone())));
        files.extend(plan.contents().map(|(path, bytes)| (path.to_owned(), digest(bytes))));
        let live = Live { generation: plan.generation, confirmed, desired: all, files };
        let ended = Self { newest: self.newest, open: None, candidates: BTreeMap::new(), live: Some(live) };
        ended.save(state)?;
        *self = ended;
        Ok(())
    }
}

impl Candidate {
    /// Whether `bytes` are what the run put there.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        self.hash == digest(bytes)
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::desired::Target;

    #[test]
    fn a_record_never_outgrows_what_can_be_read_back() {
        let name = |number: usize| UpstreamName::new(&format!("u{number}")).unwrap();
        let names: Vec<UpstreamName> = (0..Desired::MAX_UPSTREAMS).map(name).collect();
        // How many of them are configured, how many more there were, and how many stay.
        for (configured, others, stay) in [(0, 256, 256), (1, 255, 256), (2, 255, 2), (256, 0, 256), (200, 100, 200)] {
            let mut desired = Desired::new(0);
            desired.upstreams.extend(names[..configured].iter().map(|name| (name.clone(), Target::Placeholder)));
            desired.upstreams.extend((0..others).map(|number| (name(1000 + number), Target::Placeholder)));
            let live = Live { generation: Generation(1), confirmed: true, desired, files: BTreeMap::new() };
            let mut record = Record { live: Some(live), ..Record::default() };
            record.make_room(&names[..configured].iter().collect());
            assert_eq!(record.live.unwrap().desired.upstreams.len(), stay, "{configured} {others}");
        }
    }
}
