//! What was decided before, as far as the next decision needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Share;
use super::desired::Target;
use super::settle::News;
use super::{Decision, Intent, Judged, Mode, Previous, Server, Servers, Want};
use crate::time::Instant;
use crate::wire::NodeName;

/// The memory of one upstream.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In-set of the newest generation that was made in mode normal, and whoever has been in by its own merit since, with the
    /// lines they had.
    good: BTreeMap<NodeName, Server>,
    /// Members that were in before that and are not now.
    out: BTreeSet<NodeName>,
    /// The newest generation.
    live: Option<Target>,
    /// What those who serve in it are worth, before reduction; empty if that is not known.
    shares: BTreeMap<NodeName, Share>,
    mode: Mode,
    /// Since when there would be enough for mode normal.
    enough_since: Option<Instant>,
}

impl History {
    /// What a restarted agent knows: the generation that is live, as `apply` stored it.
    ///
    /// Which of its servers were in only because of mode floor is not known any more; all count as good.
    pub fn restored(live: Target) -> Self {
        let servers = live.servers().map_or(&[][..], Servers::as_slice);
        let names = |down| servers.iter().filter(move |server| server.down == down).map(|server| server.member.clone());
        let good = names(false).zip(servers.iter().filter(|server| !server.down).cloned()).collect();
        let out = names(true).collect();
        Self { good, out, live: Some(live), ..Self::default() }
    }

    /// What a hold keeps: the newest generation, and not the last good set, whose dead servers may be out of it.
    pub(super) fn frozen(&self) -> Self {
        match self.live.clone() {
            Some(live) => Self { mode: self.mode, enough_since: self.enough_since, ..Self::restored(live) },
            None => self.clone(),
        }
    }

    /// The servers of the newest generation.
    pub fn live(&self) -> Option<&Servers> {
        self.live.as_ref().and_then(Target::servers)
    }

    /// Whether there is one.
    pub(super) fn is_recorded(&self) -> bool {
        self.live.is_some()
    }

    /// Whether that is the newest generation.
    pub(super) fn has_live(&self, live: &Target) -> bool {
        self.live.as_ref() == Some(live)
    }

    /// The newest generation.
    pub(super) fn into_live(self) -> Option<Target> {
        self.live
    }

    /// Whether NGINX already routes as `decision` wants, so that nothing is to be applied.
    pub fn is_live(&self, decision: &Decision) -> bool {
        match (&decision.want, &self.live) {
            (Want::Servers(wanted), Some(Target::Servers(live))) => live.routes_like(wanted, decision.positional),
            (Want::Placeholder, Some(Target::Placeholder)) | (Want::Hold(_), _) => true,
            (Want::Servers(_) | Want::Placeholder, _) => false,
        }
    }

    /// Whether `decision` is bad news: a server that gets requests now turned ill or died. Deliberate departures are not.
    pub fn news(&self, decision: &Decision) -> News {
        let serving: BTreeSet<&NodeName> =
            self.live().into_iter().flat_map(Servers::serving).map(|s| &s.member).collect();
        let bad =
            |judged: &Judged| matches!(judged.intent, Intent::Sick | Intent::Dead) && !judged.verdict.placed.is_in();
        let lost = decision.members.iter().any(|judged| bad(judged) && serving.contains(&judged.name));
        if lost { News::Bad } else { News::Ordinary }
    }

    /// To be called after every decision, whether it is applied or not.
    pub fn decided(&mut self, decision: &Decision) {
        self.mode = decision.mode;
        self.enough_since = decision.enough_since;
    }

    /// To be called when `decision` has become a generation (or was live already).
    pub fn applied(&mut self, decision: &Decision) {
        let Some(target) = decision.target() else { return };
        self.shares = decision.shares().map(|(name, share)| (name.clone(), share)).collect();
        self.live = Some(target);
        self.note_good(decision);
    }

    /// To be called when what `decision` wants is in place already. NGINX does not know names, so that a host which came back
    /// under another one changes no file, and is no newcomer all the same. And where mode normal is regained by the servers that
    /// are in, they are the last good set, as if they had been put there now.
    pub(super) fn stays(&mut self, decision: &Decision) {
        let Want::Servers(servers) = &decision.want else { return };
        let serving: BTreeSet<&NodeName> = servers.serving().map(|server| &server.member).collect();
        let is_known = serving.iter().all(|member| self.good.contains_key(*member));
        let has_others = decision.mode == Mode::Normal && self.good.len() > serving.len();
        if (!is_known || has_others) && self.is_live(decision) {
            self.note_good(decision);
        }
    }

    fn note_good(&mut self, decision: &Decision) {
        let Want::Servers(servers) = &decision.want else { return };
        match decision.mode {
            Mode::Normal => {}
            Mode::Floor => return self.add_good(decision, servers),
            Mode::Last => return,
        }
        let known: BTreeSet<&NodeName> = decision.members.iter().map(|judged| &judged.name).collect();
        let good: BTreeMap<NodeName, Server> =
            servers.serving().map(|server| (server.member.clone(), server.clone())).collect();
        let before = self.good.keys().cloned().chain(std::mem::take(&mut self.out));
        self.out = before.filter(|name| known.contains(name) && !good.contains_key(name)).collect();
        self.good = good;
    }

    /// A first start is in mode floor until there were enough for a while, and servers may join a group that stays in it: who is in
    /// because it is well was in, whatever becomes of it. Whom the floor keeps adds nothing, so the mode does not feed itself.
    fn add_good(&mut self, decision: &Decision, servers: &Servers) {
        let well: BTreeSet<&NodeName> = decision.well().collect();
        for server in servers.serving().filter(|server| well.contains(&server.member)) {
            self.out.remove(&server.member);
            self.good.insert(server.member.clone(), server.clone());
        }
    }

    pub(super) fn shares(&self) -> &BTreeMap<NodeName, Share> {
        &self.shares
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

    /// Whether it is in the last good set.
    pub(super) fn knows(&self, member: &NodeName) -> bool {
        self.good.contains_key(member)
    }

    /// Its line in the newest generation.
    pub(super) fn line(&self, member: &NodeName) -> Option<&Server> {
        self.live().into_iter().flat_map(Servers::as_slice).find(|server| server.member == *member)
    }

    pub(super) fn previous(&self, name: &NodeName) -> Previous {
        if self.good.contains_key(name) {
            Previous::In
        } else if self.out.contains(name) {
            Previous::Out
        } else {
            Previous::New
        }
    }
}
