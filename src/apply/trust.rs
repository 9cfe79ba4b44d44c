//! Who besides root can change what root relies on.

use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid};

use super::refusal::Writer;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

impl Writer {
    /// Who can replace the bytes of such a file, or what is in such a directory. In a sticky directory nobody can replace
    /// what is not theirs. Whoever runs this counts as root.
    pub(super) fn of(mode: u32, uid: u32, gid: u32) -> Option<Self> {
        if uid != 0 && uid != geteuid().as_raw() {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            return Some(Self::User(user.map_or_else(|| uid.to_string(), |user| user.name)));
        }
        if mode & STICKY != 0 && mode & TYPE == DIRECTORY {
            return None;
        }
        if mode & WRITABLE_BY_ALL != 0 {
            return Some(Self::Anyone);
        }
        (mode & WRITABLE_BY_GROUP != 0).then(|| {
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            Self::Group(group.map_or_else(|| gid.to_string(), |group| group.name))
        })
    }

    /// What takes that from them.
    pub(super) fn remedy(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::User(_) => format!("'chown root {path}'"),
            Self::Group(_) => format!("'chmod g-w {path}'"),
            Self::Anyone => format!("'chmod go-w {path}'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_trusts_what_nobody_else_can_replace() {
        let (file, directory) = (0o100_000, DIRECTORY);
        let nobody = || Some(Writer::User("4294967000".to_owned()));
        let group = || Some(Writer::Group("4294967000".to_owned()));
        for (mode, uid, gid, writer) in [
            (directory | 0o755, 0, 0, None),
            (directory | 0o755, 0, 4_294_967_000, None),
            (directory | 0o775, 0, 0, Some(Writer::Group("root".to_owned()))),
            (directory | 0o775, 0, 4_294_967_000, group()),
            (directory | 0o777, 0, 0, Some(Writer::Anyone)),
            (directory | 0o1777, 0, 0, None),
            (directory | 0o1775, 0, 4_294_967_000, None),
            (directory | 0o700, 4_294_967_000, 0, nobody()),
            (directory | 0o1700, 4_294_967_000, 0, nobody()),
            (file | 0o755, 0, 0, None),
            (file | 0o1757, 0, 0, Some(Writer::Anyone)),
            (file | 0o664, 0, 4_294_967_000, group()),
        ] {
            assert_eq!(Writer::of(mode, uid, gid), writer, "{mode:o} {uid} {gid}");
        }
    }
}
