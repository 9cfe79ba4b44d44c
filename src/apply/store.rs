//! Every generation as it was: the bytes of all its files, and what they were rendered from (`protocols C.1`).
//!
//! `gen/N/manifest.json` names the files; their bytes are beside it, each under its hash. A generation appears as a whole: it is
//! written under another name, synced and renamed. `gen/0` is what was there before weir.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::{Attributes, MAX_FILE};
use super::{Error, disk};
use crate::digest::Digest;
use crate::file;
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, UpstreamName};

/// So many are kept, besides the one in place, the one to go back to, and what was there before weir.
pub(super) const KEPT: usize = 50;

const VERSION: u32 = 1;
const MAX_MANIFEST: usize = 16 * 1024 * 1024;

/// A generation that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Saved {
    directory: PathBuf,
    manifest: Manifest,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    pub(super) generation: Generation,
    pub(super) desired: Desired,
    pub(super) files: Vec<SavedFile>,
}

/// One file of a generation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    /// Where it belongs.
    pub target: PathBuf,
    /// What it is for.
    pub upstream: UpstreamName,
    /// Of its bytes; `None` if there was no file.
    pub hash: Option<Digest>,
    /// Its mode, owner and labels; `None`: those of a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<Attributes>,
    /// The generation that its lines were ordered for.
    pub turn: Generation,
}

impl Saved {
    /// Its number.
    pub fn generation(&self) -> Generation {
        self.manifest.generation
    }

    /// What it was made from; nothing in what was there before weir.
    pub fn desired(&self) -> &Desired {
        &self.manifest.desired
    }

    /// Every file of it.
    pub fn files(&self) -> &[SavedFile] {
        &self.manifest.files
    }

    /// The file of that name.
    pub fn file(&self, target: &Path) -> Option<&SavedFile> {
        self.manifest.files.iter().find(|file| file.target == target)
    }

    /// What is in a file of it; `None` if it has no such file.
    ///
    /// # Errors
    /// Also if it is not what was saved.
    pub fn bytes(&self, file: &SavedFile) -> Result<Option<Vec<u8>>, Error> {
        let Some(hash) = file.hash else { return Ok(None) };
        let path = self.directory.join(hash.to_string());
        let bytes = file::read(&path, MAX_FILE).map_err(Error::read(&path))?;
        if Digest::of(&bytes) == hash {
            Ok(Some(bytes))
        } else {
            Err(Error::Record { path, what: "it is not as it was saved".to_owned() })
        }
    }
}

/// `gen` in the state directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(super) fn new(state: &Path) -> Self {
        Self { directory: state.join("gen") }
    }

    fn path(&self, generation: Generation) -> PathBuf {
        self.directory.join(generation.to_string())
    }

    /// `None` if it is not kept.
    pub(super) fn load(&self, generation: Generation) -> Result<Option<Saved>, Error> {
        let directory = self.path(generation);
        let path = directory.join("manifest.json");
        let Some(bytes) = disk::read_if_there(&path, MAX_MANIFEST)? else { return Ok(None) };
        let damaged = |what: String| Error::Record { path: path.clone(), what };
        let manifest =
            parse(&bytes).map_err(|error| error.map_or_else(|| Error::Newer { path: path.clone() }, damaged))?;
        if manifest.generation != generation {
            return Err(damaged(format!("it is that of generation {}", manifest.generation)));
        }
        Ok(Some(Saved { directory, manifest }))
    }

    /// As [`Self::load`], of one that must be there.
    pub(super) fn need(&self, generation: Generation) -> Result<Saved, Error> {
        self.load(generation)?.ok_or(Error::NotKept { generation })
    }

    /// Saves a whole generation. Bytes that are not handed over are those of a file of `before`.
    pub(super) fn save(
        &self,
        manifest: &Manifest,
        bytes: &BTreeMap<Digest, &[u8]>,
        before: Option<&Saved>,
    ) -> Result<(), Error> {
        let text = manifest.to_json();
        disk::within(&self.path(manifest.generation), &text, MAX_MANIFEST)?;
        disk::directory(&self.directory)?;
        let new = self.directory.join(format!(".{}.new", manifest.generation));
        self.save_as(&new, manifest, &text, bytes, before).inspect_err(|_| {
            // The first error is the one to tell; what stays of it goes with the next pruning.
            let _ = disk::remove_all(&new);
        })
    }

    fn save_as(
        &self,
        new: &Path,
        manifest: &Manifest,
        text: &[u8],
        bytes: &BTreeMap<Digest, &[u8]>,
        before: Option<&Saved>,
    ) -> Result<(), Error> {
        disk::remove_all(new)?;
        disk::directory(new)?;
        let mut written: Vec<Digest> = manifest.files.iter().filter_map(|file| file.hash).collect();
        written.sort_unstable();
        written.dedup();
        for hash in written {
            let to = new.join(hash.to_string());
            match (bytes.get(&hash), before) {
                (Some(bytes), _) => disk::create_copy(&to, bytes)?,
                (None, Some(before)) => disk::link(&before.directory.join(hash.to_string()), &to)?,
                (None, None) => return Err(Error::NotKept { generation: manifest.generation }),
            }
        }
        disk::create(&new.join("manifest.json"), text)?;
        disk::sync(new)?;
        let path = self.path(manifest.generation);
        // A run that died before it was recorded had the same number.
        disk::remove_all(&path)?;
        disk::rename(new, &path)?;
        disk::sync(&self.directory)
    }

    /// Adds what is at targets that the generation in place does not have to what was there before weir.
    pub(super) fn add_origin(&self, found: &[(SavedFile, Option<&[u8]>)]) -> Result<(), Error> {
        let origin = self.load(Generation(0))?;
        let mut manifest = origin.map_or_else(Manifest::origin, |origin| origin.manifest);
        let is_found = |file: &SavedFile| found.iter().any(|(new, _)| new.target == file.target);
        manifest.files.retain(|file| !is_found(file));
        manifest.files.extend(found.iter().map(|(file, _)| file.clone()));
        let path = self.path(Generation(0));
        disk::directory(&self.directory)?;
        disk::directory(&path)?;
        for (file, bytes) in found {
            let Some((hash, bytes)) = file.hash.zip(*bytes) else { continue };
            disk::replace_copy(&path.join(hash.to_string()), bytes)?;
        }
        disk::replace(&path.join("manifest.json"), &manifest.to_json())?;
        disk::sync(&self.directory)
    }

    /// Drops the oldest, but none of `needed`, and what a run left that died while it saved. What cannot be dropped is tried again
    /// by the next run.
    pub(super) fn prune(&self, needed: &[Generation]) -> Result<(), Error> {
        let halves = self.names().filter(|name| name.starts_with('.') && name.ends_with(".new"));
        halves.map(|name| self.directory.join(name)).try_for_each(|path| disk::remove_all(&path))?;
        let numbers = self.numbers();
        let Some(last) = numbers.len().checked_sub(KEPT) else { return Ok(()) };
        let old = numbers.iter().take(last).filter(|number| !needed.contains(number) && **number != Generation(0));
        old.map(|number| self.path(*number)).try_for_each(|path| disk::remove_all(&path))
    }

    /// Those that are kept, oldest first.
    fn numbers(&self) -> Vec<Generation> {
        let mut numbers: Vec<Generation> = self.names().filter_map(|name| name.parse().ok().map(Generation)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    }

    /// Those that are kept and can be read, newest first: an old one that is damaged, or of a newer weir, is nobody's way back.
    fn newest_first(&self) -> impl Iterator<Item = Saved> {
        self.numbers().into_iter().rev().filter_map(|generation| self.load(generation).ok().flatten())
    }

    /// The newest generation that had these bytes at `target`.
    pub(super) fn find(&self, target: &Path, hash: Digest) -> Option<Generation> {
        let had = |saved: &Saved| saved.file(target).is_some_and(|file| file.hash == Some(hash));
        self.newest_first().find(had).map(|saved| saved.generation())
    }

    /// Whose file was at `target`, by the newest generation that had one there.
    pub(super) fn upstream_at(&self, target: &Path) -> Option<UpstreamName> {
        self.newest_first().find_map(|saved| saved.file(target).map(|file| file.upstream.clone()))
    }
}

impl Manifest {
    pub(super) fn new(generation: Generation, desired: Desired, files: Vec<SavedFile>) -> Self {
        Self { version: VERSION, generation, desired, files }
    }

    fn origin() -> Self {
        Self::new(Generation(0), Desired::new(0), Vec::new())
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names, numbers and paths of ours have a JSON form")
    }
}

/// `Err(None)`: another version wrote it.
fn parse(bytes: &[u8]) -> Result<Manifest, Option<String>> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let damaged = |error: serde_json::Error| Some(error.to_string());
    let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
    if head.version != VERSION {
        return Err(None);
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn file(target: &str, bytes: Option<&[u8]>) -> SavedFile {
        let upstream = UpstreamName::new("web").unwrap();
        let (target, hash) = (PathBuf::from(target), bytes.map(Digest::of));
        SavedFile { target, upstream, hash, attributes: None, turn: Generation(1) }
    }

    fn saved(store: &Store, generation: u64, files: &[(&str, &[u8])], before: Option<u64>) -> Saved {
        let before = before.map(|before| store.need(Generation(before)).unwrap());
        let listed = files.iter().map(|(target, bytes)| file(target, Some(bytes))).collect();
        let bytes = files.iter().map(|(_, bytes)| (Digest::of(bytes), *bytes));
        let bytes = bytes
            .filter(|(hash, _)| !before.iter().flat_map(Saved::files).any(|file| file.hash == Some(*hash)))
            .collect();
        let manifest = Manifest::new(Generation(generation), Desired::new(1), listed);
        store.save(&manifest, &bytes, before.as_ref()).unwrap();
        store.need(Generation(generation)).unwrap()
    }

    #[test]
    fn a_generation_comes_back_whole_with_files_that_did_not_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert_eq!(store.load(Generation(1)).unwrap(), None);
        saved(&store, 1, &[("/a", b"one"), ("/b", b"same")], None);
        let two = saved(&store, 2, &[("/a", b"two"), ("/b", b"same")], Some(1));
        let bytes = |saved: &Saved, target: &str| saved.bytes(saved.file(Path::new(target)).unwrap()).unwrap().unwrap();
        assert_eq!((bytes(&two, "/a"), bytes(&two, "/b")), (b"two".to_vec(), b"same".to_vec()));
        assert_eq!(store.find(Path::new("/b"), Digest::of(b"same")), Some(Generation(2)));
        assert_eq!(store.find(Path::new("/a"), Digest::of(b"one")), Some(Generation(1)));
        assert_eq!(store.find(Path::new("/b"), Digest::of(b"one")), None);
        assert_eq!(store.upstream_at(Path::new("/a")).unwrap().as_str(), "web");
        saved(&store, 3, &[("/a", b"three")], None);
        fs::write(dir.path().join("gen/3/manifest.json"), "{}").unwrap();
        assert_eq!(store.find(Path::new("/b"), Digest::of(b"same")), Some(Generation(2)), "of those that can be read");
        fs::write(dir.path().join(format!("gen/2/{}", Digest::of(b"two"))), "twice").unwrap();
        let error = two.bytes(&two.files()[0]).unwrap_err();
        assert!(error.to_string().contains("it is not as it was saved"), "{error}");
    }

    #[test]
    fn what_was_there_before_weir_is_added_to_and_never_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.add_origin(&[(file("/a", Some(b"a")), Some(b"a"))]).unwrap();
        store.add_origin(&[(file("/b", None), None), (file("/a", Some(b"new")), Some(b"new"))]).unwrap();
        let origin = store.need(Generation(0)).unwrap();
        let found: Vec<_> = origin.files().iter().map(|file| origin.bytes(file).unwrap()).collect();
        assert_eq!(found, [None, Some(b"new".to_vec())]);
        let mode = |name: String| fs::metadata(dir.path().join("gen/0").join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode("manifest.json".to_owned()), 0o640);
        assert_eq!(mode(Digest::of(b"new").to_string()), 0o600, "what was there may be secret");
        for generation in 1..=60 {
            saved(&store, generation, &[("/a", b"one")], None);
        }
        fs::create_dir(dir.path().join("gen/.61.new")).unwrap();
        store.prune(&[Generation(2), Generation(60)]).unwrap();
        assert!(!dir.path().join("gen/.61.new").exists(), "of a run that died");
        let kept: Vec<u64> = store.numbers().iter().map(|generation| generation.0).collect();
        assert_eq!(kept, [0, 2].into_iter().chain(11..=60).collect::<Vec<_>>());
    }
}
