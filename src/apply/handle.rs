//! The one entry for whoever asks, in this process or over the socket.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::master::Workers;
use super::record::Record;
use super::system::Nginx;
use super::{Apply, Ask, Body, Error, Process, Refusal, State};
use crate::digest::Digest;
use crate::drain::Promises;
use crate::upstream::Holds;

impl Apply {
    /// Does what is asked. Blocks as long as an apply takes.
    pub fn handle(&self, ask: &Ask) -> Body {
        match ask {
            Ask::Apply(job) => Body::Applied(self.apply(&job.desired)),
            Ask::Report { known } => Body::State(self.state(*known)),
            Ask::Rollback(rollback) => Body::Refused(Refusal::NoGeneration { to: rollback.to }),
            Ask::Recover => self.recover().map_or(Body::NothingToRecover, Body::Applied),
            Ask::Check => Body::Checked(self.check()),
        }
    }

    fn state(&self, known: Option<Process>) -> Result<State, Error> {
        let record = Record::load(&self.options.apply.state)?;
        let master = self.look(known);
        Ok(State {
            live: record.live.as_ref().map(|live| live.generation),
            open: record.open.is_some(),
            old_workers: master.as_ref().map_or(0, |master| old_workers(*master)),
            master,
            holds: Holds::default(),
            promises: Promises::default(),
            fingerprint: fingerprint(self.options.targets().map(|target| target.output)),
        })
    }

    fn check(&self) -> Result<(), Error> {
        Nginx::find(&self.options.nginx, self.options.names())?.test_with(&[], &[])
    }
}

fn old_workers(master: Process) -> u32 {
    u32::try_from(Workers::of(master).leaving.len()).unwrap_or(u32::MAX)
}

/// Another one, and somebody has replaced, written or removed one of the files.
fn fingerprint<'a>(files: impl Iterator<Item = &'a Path>) -> Digest {
    let mut seen = Vec::new();
    for file in files {
        let meta = std::fs::symlink_metadata(file).ok();
        let meta =
            meta.map(|meta| (meta.dev(), meta.ino(), meta.size(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()));
        seen.extend(format!("{}\0{meta:?}\0", file.display()).into_bytes());
    }
    Digest::of(&seen)
}
