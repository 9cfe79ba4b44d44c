//! Promises to nodes that leave, given on what is live (`protocols A.2`).
//!
//! A balancer's agent believes that a node gets no requests any more. Whether that is so only this side can say, while it holds
//! its lock: no earlier job can then put the node back. What is not so is not kept.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::handle::old_workers;
use super::journal::Journal;
use super::lock::Lock;
use super::{Apply, Error, Process, kept, template};
use crate::drain::{Promise, Promises, Standing};
use crate::upstream::Servers;
use crate::upstream::desired::{Desired, Target};
use crate::wire::NodeName;

impl Apply {
    /// Keeps those of `promises` that were kept before or are true now, on disk when this returns; all others are forgotten.
    pub(super) fn promise(&self, promises: &Promises, known: Option<Process>) -> Result<Standing, Error> {
        let directory = &self.options.apply.state;
        let _lock = Lock::take(directory)?;
        let journal = Journal::read(directory)?;
        let master = self.look(known);
        let state = journal.state();
        // Where NGINX does not run, what it will start on counts. One that runs may serve something else until it is confirmed.
        let is_known = state.run.is_none()
            && (!state.is_open()
                || matches!(master, Err(Error::NotRunning { .. } | Error::NotInstalled { .. } | Error::NoFile)))
            && !template::is_open(&self.options)?;
        let live = self.live()?;
        let before = kept::promises(directory)?;
        let is_true = |promise: &Promise| {
            let routed = live.as_ref().is_some_and(|(_, desired)| routes_to(desired, &promise.node));
            before.has_drain(&promise.node, &promise.id) || is_known && !routed
        };
        let mut promises = promises.clone();
        promises.retain(is_true);
        kept::keep_promises(directory, &promises)?;
        Ok(Standing {
            live: live.map(|(generation, _)| generation).unwrap_or_default(),
            old_workers: master.map_or(0, old_workers),
            promises,
        })
    }
}

/// By its name, or where it is under the name of another.
fn routes_to(desired: &Desired, node: &NodeName) -> bool {
    let all = || desired.upstreams.values().filter_map(Target::servers);
    let lines = all().flat_map(Servers::as_slice).filter(|server| server.member == *node);
    let addrs: BTreeSet<SocketAddr> = lines.map(|server| server.addr).collect();
    all().flat_map(Servers::serving).any(|server| server.member == *node || addrs.contains(&server.addr))
}
