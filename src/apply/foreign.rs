//! Copies of what somebody else wrote to a target.

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
}

/// The number of the first line in which two texts differ.
pub(super) fn first_difference(ours: &[u8], theirs: &[u8]) -> Option<u32> {
    let same = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let lines_before = ours[..same].iter().filter(|byte| **byte == b'\n').count();
    (ours != theirs).then(|| u32::try_from(lines_before + 1).unwrap_or(u32::MAX))
}

/// `foreign/NAME.N` in the state directory, with the first N that is free or holds the same: a program that puts its own file
/// back again and again must not fill the disk.
pub(super) fn keep(state: &Path, target: &Path, bytes: &[u8]) -> Result<Kept, Error> {
    let directory = state.join("foreign");
    disk::directory(&directory)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut copies = (1_u64..).map(|n| directory.join(format!("{name}.{n}")));
    loop {
        let copy = copies.next().expect("numbers do not end before names do");
        match disk::read_if_there(&copy, MAX_FILE)? {
            Some(kept) if kept != bytes => continue,
            Some(_) => {}
            None => {
                disk::create_copy(&copy, bytes)?;
                // The original goes away next.
                disk::sync(&directory)?;
                disk::sync(state)?;
            }
        }
        return Ok(Kept { file: target.to_owned(), copy, line: None });
    }
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
}
