//! What was decided before, as far as the next decision needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, Mode, Server, Servers, Want, Was};
use crate::time::Instant;
use crate::wire::NodeName;

/// The memory of one upstream.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    /// In-set of the newest generation that was made in mode normal, with the lines it had.
    good: BTreeMap<NodeName, Server>,
    /// Members that were in before that and are not now.
    out: BTreeSet<NodeName>,
    /// All lines of the newest generation.
    live: Option<Servers>,
    mode: Mode,
    /// Since when there would be enough for mode normal.
    enough_since: Option<Instant>,
}

impl Previous {
    /// What a restarted agent knows: the servers of the generation that is live, as `apply` stored it.
    ///
    /// Which of them were in only because of mode floor is not known any more; all count as good.
    pub fn restored(live: Servers) -> Self {
        let good = live.serving().map(|server| (server.member.clone(), server.clone())).collect();
        let out = live.as_slice().iter().filter(|server| server.down).map(|server| server.member.clone()).collect();
        Self { good, out, live: Some(live), mode: Mode::Normal, enough_since: None }
    }

    /// The servers of the newest generation.
    pub fn live(&self) -> Option<&Servers> {
        self.live.as_ref()
    }

    /// Whether NGINX already routes as `decision` wants, so that nothing is to be applied.
    pub fn is_live(&self, decision: &Decision) -> bool {
        match &decision.want {
            Want::Servers(servers) => {
                self.live.as_ref().is_some_and(|live| live.routes_like(servers, decision.positional))
            }
            Want::Placeholder => false,
            Want::Hold(_) => true,
        }
    }

    /// To be called after every decision, whether it is applied or not.
    pub fn decided(&mut self, decision: &Decision) {
        self.mode = decision.mode;
        self.enough_since = decision.enough_since;
    }

    /// To be called when `decision` has become a generation (or was live already).
    pub fn applied(&mut self, decision: &Decision) {
        let Want::Servers(servers) = &decision.want else { return };
        self.live = Some(servers.clone());
        if decision.mode != Mode::Normal {
            return;
        }
        let known: BTreeSet<&NodeName> = decision.members.iter().map(|judged| &judged.name).collect();
        let good: BTreeMap<NodeName, Server> =
            servers.serving().map(|server| (server.member.clone(), server.clone())).collect();
        let before = self.good.keys().cloned().chain(std::mem::take(&mut self.out));
        self.out = before.filter(|name| known.contains(name) && !good.contains_key(name)).collect();
        self.good = good;
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn enough_since(&self) -> Option<Instant> {
        self.enough_since
    }

    /// The last good set.
    pub(super) fn good(&self) -> &BTreeMap<NodeName, Server> {
        &self.good
    }

    pub(super) fn was(&self, name: &NodeName) -> Was {
        if self.good.contains_key(name) {
            Was::In
        } else if self.out.contains(name) {
            Was::Out
        } else {
            Was::New
        }
    }
}
