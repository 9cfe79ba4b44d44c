//! What keeps the agent from a file: as it found out itself, or else by modes and by what its unit makes read-only.

use super::super::access::Permission;
use super::{File, Files, Findings, Stat, User};

const WRITE: u32 = 2;

/// What is in the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Obstacle<'a> {
    /// The mode or list of the file itself.
    Rights,
    /// This directory on the way.
    Closed(&'a str),
    /// It is read-only where the agent looks.
    ReadOnly,
    /// It is not there where the agent looks.
    Hidden,
}

impl Files {
    /// What keeps the agent from `bits` of a file that is there. That this cannot be judged is a finding.
    pub(super) fn obstacle<'a>(
        &self,
        findings: &mut Findings,
        id: &'static str,
        file: &'a File,
        stat: &Stat,
        bits: u32,
    ) -> Option<Obstacle<'a>> {
        let read_only = bits & WRITE != 0 && self.sandbox.as_ref().is_some_and(|sandbox| sandbox.forbids(&file.path));
        let Some(access) = &file.access else {
            return if read_only {
                Some(Obstacle::ReadOnly)
            } else {
                self.by_mode(findings, id, &file.path, stat, bits)
            };
        };
        match access.lacks(bits)? {
            // The kernel looks at modes first; to change them would be of no use.
            Permission::Denied if read_only => Some(Obstacle::ReadOnly),
            Permission::Denied => Some(access.closed.as_deref().map_or(Obstacle::Rights, Obstacle::Closed)),
            Permission::ReadOnly => Some(Obstacle::ReadOnly),
            Permission::Missing => Some(Obstacle::Hidden),
            Permission::Granted | Permission::Unknown => None,
        }
    }

    fn by_mode(
        &self,
        findings: &mut Findings,
        id: &'static str,
        path: &str,
        stat: &Stat,
        bits: u32,
    ) -> Option<Obstacle<'static>> {
        let agent = self.agent.as_ref()?;
        match agent.may(stat, bits) {
            Some(may) => (!may).then_some(Obstacle::Rights),
            None => {
                let message = format!("{path} has an access control list: what {} may could not be judged", agent.name);
                findings.skip(id, path, message, &format!("getfacl {path}"));
                None
            }
        }
    }
}

impl User {
    /// Whether the three bits that count for this user hold all of `bits`; `None` where an access control list decides.
    fn may(&self, stat: &Stat, bits: u32) -> Option<bool> {
        let holds = |shift: u32| (stat.mode >> shift) & bits == bits;
        if self.uid == 0 {
            Some(true)
        } else if self.uid == stat.uid {
            Some(holds(6))
        } else if stat.acl {
            None
        } else {
            Some(holds(if self.groups.contains(&stat.gid) { 3 } else { 0 }))
        }
    }
}
