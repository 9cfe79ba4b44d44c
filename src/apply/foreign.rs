//! Copies of what somebody else wrote to a target.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::MAX_FILE;
use super::{Error, disk};

/// A file that was replaced, and where a copy of it went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Where it was.
    pub file: PathBuf,
    /// Where its copy is.
    pub copy: PathBuf,
    /// The first line that differed from ours, if there was one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// It was there before weir's first one: nobody has edited anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// The number of the first line in which two texts differ.
pub(super) fn first_difference(ours: &[u8], theirs: &[u8]) -> Option<u32> {
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let lines_before = ours[..same].iter().filter(|byte| **byte == b'\n').count();
    (ours != theirs).then(|| u32::try_from(lines_before + 1).unwrap_or(u32::MAX))
}

/// Copies of one name that are kept,
const MAX_COPIES: usize = 50;
/// and bytes of all of them. The newest is kept, however large.
const MAX_BYTES: u64 = MAX_FILE as u64;

/// `foreign/NAME.N` in the state directory, with the next N, or with that of a copy that holds the same. The oldest go: a program that
/// writes its own file again and again must not fill the disk.
pub(super) fn keep(state: &Path, target: &Path, bytes: &[u8]) -> Result<Kept, Error> {
    let directory = state.join("foreign");
    disk::directory(&directory)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copy = |number: u64| directory.join(format!("{name}.{number}"));
    let mut lengths = lengths(&directory, &name)?;
    for (number, _) in lengths.iter().filter(|(_, length)| **length == bytes.len() as u64) {
        if disk::read_if_there(&copy(*number), MAX_FILE)?.is_some_and(|kept| kept == bytes) {
            return Ok(Kept { file: target.to_owned(), copy: copy(*number), line: None, first: false });
        }
    }
    let number = lengths.last_key_value().map_or(1, |(newest, _)| newest.saturating_add(1));
    disk::create_copy(&copy(number), bytes)?;
    // The original goes away next.
    disk::sync(&directory)?;
    disk::sync(state)?;
    lengths.insert(number, bytes.len() as u64);
    for number in surplus(&lengths) {
        // What cannot be dropped now goes with the next copy.
        let _ = disk::remove(&copy(number));
    }
    Ok(Kept { file: target.to_owned(), copy: copy(number), line: None, first: false })
}

/// Of the copies of this name, by number.
fn lengths(directory: &Path, name: &str) -> Result<BTreeMap<u64, u64>, Error> {
    let mut lengths = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::read(directory))? {
        let entry = entry.map_err(Error::read(directory))?;
        let number =
            entry.file_name().to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        if let Some(number) = number {
            lengths.insert(number, entry.metadata().map_err(Error::read(directory))?.len());
        }
    }
    Ok(lengths)
}

/// The numbers of those that are too many, or too large together, newest first.
fn surplus(lengths: &BTreeMap<u64, u64>) -> Vec<u64> {
    let mut bytes = 0_u64;
    let newest_first = lengths.iter().rev().enumerate().skip_while(|(place, (_, length))| {
        bytes = bytes.saturating_add(**length);
        *place == 0 || (*place < MAX_COPIES && bytes <= MAX_BYTES)
    });
    newest_first.map(|(_, (number, _))| *number).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        for (ours, theirs, line) in [
            ("a\nb\n", "a\nb\n", None),
            ("a\nb\n", "a\nc\n", Some(2)),
            ("a\nb\n", "a\nb\nc\n", Some(3)),
            ("a\nb\n", "", Some(1)),
            ("", "", None),
        ] {
            assert_eq!(first_difference(ours.as_bytes(), theirs.as_bytes()), line, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    fn the_same_bytes_are_kept_once_and_others_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let target = Path::new("/etc/nginx/conf.d/web.conf");
        let copies: Vec<PathBuf> = ["a", "b", "a", "b", "c"]
            .iter()
            .map(|text| keep(dir.path(), target, text.as_bytes()).unwrap().copy)
            .collect();
        let names = [1, 2, 1, 2, 3].map(|n| dir.path().join(format!("foreign/web.conf.{n}")));
        assert_eq!(copies, names);
        assert_eq!(std::fs::read_to_string(&copies[1]).unwrap(), "b");
        let modes = copies.iter().map(|copy| std::fs::metadata(copy).unwrap().mode() & 0o777);
        assert_eq!(modes.collect::<Vec<_>>(), [0o600; 5], "what somebody wrote may be secret");
    }

    #[test]
    fn the_oldest_copies_go() {
        let dir = tempfile::tempdir().unwrap();
        let target = Path::new("/etc/nginx/conf.d/web.conf");
        keep(dir.path(), Path::new("/etc/nginx/conf.d/api.conf"), b"another").unwrap();
        let kept = |number: usize| dir.path().join(format!("foreign/web.conf.{number}")).exists();
        for number in 1..=MAX_COPIES + 2 {
            keep(dir.path(), target, number.to_string().as_bytes()).unwrap();
            assert!(kept(number));
        }
        assert_eq!((1..=MAX_COPIES + 2).filter(|number| !kept(*number)).collect::<Vec<_>>(), [1, 2]);
        assert!(dir.path().join("foreign/api.conf.1").exists());
        for (lengths, wanted) in [
            (&[1, 1, 1][..], &[][..]),
            (&[1, MAX_BYTES - 1], &[]),
            (&[1, MAX_BYTES], &[1]),
            (&[1, 1, MAX_BYTES - 1], &[1]),
            (&[1, MAX_BYTES, 1], &[2, 1]),
            (&[1, u64::MAX], &[1]),
        ] {
            assert_eq!(surplus(&(1..).zip(lengths.iter().copied()).collect()), wanted, "{lengths:?}");
        }
    }
}
