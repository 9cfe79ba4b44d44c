//! What a process may do with a file, tried by itself: its user, its groups, its mounts and every list count.

use serde::{Deserialize, Serialize};

/// What came of one kind of use.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    Granted,
    /// By a mode or a list, of the file or of a directory on the way.
    Denied,
    /// It is mounted read-only there.
    ReadOnly,
    /// It is not there, or hidden.
    Missing,
    /// Something else is in the way; it says nothing of rights.
    #[serde(other)]
    Unknown,
}

/// What a process may do with one file or directory.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Access {
    pub read: Permission,
    pub write: Permission,
    /// To run a file, to enter a directory.
    pub execute: Permission,
    /// The first directory on the way that it may not enter.
    pub closed: Option<String>,
    /// It is a file and there a mount of its own: nothing can take its place.
    pub mount: bool,
}

impl Access {
    /// The first thing in the way of `bits`, those of a mode.
    pub fn lacks(&self, bits: u32) -> Option<Permission> {
        let wanted =
            [(4, self.read), (2, self.write), (1, self.execute)].into_iter().filter(|(bit, _)| bits & bit != 0);
        wanted.map(|(_, permission)| permission).find(|permission| *permission != Permission::Granted)
    }
}

#[cfg(test)]
mod tests {
    use super::Permission::{Denied, Granted, Missing, ReadOnly};
    use super::*;

    #[test]
    fn only_what_is_wanted_counts() {
        let access = |read, write, execute| Access { read, write, execute, closed: None, mount: false };
        for (access, bits, lacks) in [
            (access(Granted, Granted, Denied), 0o6, None),
            (access(Granted, ReadOnly, Granted), 0o4, None),
            (access(Granted, ReadOnly, Granted), 0o3, Some(ReadOnly)),
            (access(Denied, ReadOnly, Granted), 0o6, Some(Denied)),
            (access(Missing, Missing, Missing), 0o4, Some(Missing)),
        ] {
            assert_eq!(access.lacks(bits), lacks, "{access:?} {bits:o}");
        }
    }
}
