//! Which process is the master: by what systemd and the pid file say, and where that is nobody by what runs here.
//!
//! A pid file can be empty, removed, or another one than the configuration names (`nginx -g 'pid …'`). So "not running" is
//! believed only when no master of this configuration is found among the processes, either.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::master::Master;
use super::proc;
use crate::nginx::{Build, MasterTitle};

/// What a master of ours is known by.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    pub(super) build: &'a Build,
    /// The configuration that it reads.
    pub(super) config: &'a Path,
    pub(super) unit: Option<&'a str>,
    pub(super) error_logs: &'a [PathBuf],
    /// Where the configuration has it listen.
    pub(super) ports: &'a BTreeSet<u16>,
}

impl Marks<'_> {
    /// The master among all processes. An error if there is one with this configuration and nothing shows that it is ours:
    /// that may be another program's, or out of sight for this user.
    pub(super) fn look_around(&self) -> Result<Option<Master>, Error> {
        let (mut ours, mut unclear) = (Vec::new(), None);
        for pid in proc::all().into_iter().filter(|pid| self.is_candidate(*pid)) {
            // Whoever is no master, or somebody else's, is none of ours.
            let Ok(Some(master)) = Master::verify(pid) else { continue };
            if self.is_ours(pid) {
                ours.push(master);
            } else {
                unclear.get_or_insert(pid);
            }
        }
        let (first, more) = (ours.pop(), ours.pop());
        match (first, more, unclear) {
            (Some(master), None, _) => Ok(Some(master)),
            (None, _, None) => Ok(None),
            (Some(master), Some(_), _) => Err(self.unclear(master.pid())),
            (None, _, Some(pid)) => Err(self.unclear(pid)),
        }
    }

    fn unclear(&self, pid: u32) -> Error {
        Error::WhichMaster { pid, config: self.config.to_owned() }
    }

    /// A master with this configuration, and not one of a container, where the same path is another file.
    fn is_candidate(&self, pid: u32) -> bool {
        let Some(title) = proc::title(pid).and_then(|title| MasterTitle::parse(&title)) else { return false };
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let config = title.config(&self.build.config, &self.build.prefix);
        real(&config) == real(self.config) && proc::status(pid).is_some_and(|status| !status.nested)
    }

    /// Whether it is in the unit, has the configuration's error log open, or listens where it should.
    fn is_ours(&self, pid: u32) -> bool {
        if self.unit.is_some_and(|unit| proc::is_in_unit(pid, unit)) {
            return true;
        }
        let logs = self.error_logs.iter().filter_map(|log| fs::metadata(log).ok());
        let logs: HashSet<(u64, u64)> = logs.map(|meta| (meta.dev(), meta.ino())).collect();
        let sockets = proc::listening(self.ports);
        let open = proc::open_files(pid);
        open.iter().any(|file| logs.contains(&(file.dev, file.inode)) || file.socket && sockets.contains(&file.inode))
    }
}
