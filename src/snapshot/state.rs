//! What a snapshot says once all its records are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Record, UnixTime};
use crate::drain::Kept;
use crate::serf::{RestoredMember, SeenClocks};
use crate::swim::Node;
use crate::wire::NodeName;
use crate::wire::message::{Incarnation, Versions};
use crate::wire::serf::Tags;

/// Of those that are gone the names of so many are kept, the last ones.
const MAX_GONE: usize = 256;

/// A member as it was last seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    pub name: NodeName,
    pub addr: SocketAddr,
    /// When it joined or failed; zero out of Serf's snapshots, which do not tell.
    pub at: UnixTime,
    /// Its metadata if it had failed; `None` if it was alive.
    pub failed: Option<Bytes>,
    /// Counts up with each change, so that the latest is known whatever the wall clock did.
    order: u64,
}

/// Everything an agent starts again with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    peers: BTreeMap<NodeName, Peer>,
    /// Who left or was forgotten, and in which change.
    gone: BTreeMap<NodeName, u64>,
    changes: u64,
    pub(super) clocks: SeenClocks,
    pub(super) incarnation: Incarnation,
    pub(super) tags: Option<Tags>,
    pub(super) deleted_tags: BTreeSet<String>,
    pub(super) drain: Option<Kept>,
    pub(super) left: bool,
}

impl State {
    /// Last times seen on the three clocks.
    pub fn clocks(&self) -> SeenClocks {
        self.clocks
    }

    /// Our last incarnation; zero if none is known.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Tags set at run time; `None` if the configured ones hold.
    pub fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Configured tags that were deleted at run time.
    pub fn deleted_tags(&self) -> &BTreeSet<String> {
        &self.deleted_tags
    }

    /// The drain that was not undone.
    pub fn drain(&self) -> Option<&Kept> {
        self.drain.as_ref()
    }

    /// Whether the earlier run left on purpose.
    pub fn left(&self) -> bool {
        self.left
    }

    /// Number of members known, alive or failed.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no member is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// All members, alive or failed, in the order of their names.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Who left or was forgotten and did not come back, as far as that is not too long ago.
    pub fn gone(&self) -> impl Iterator<Item = &NodeName> {
        self.gone.keys()
    }

    /// Whom to dial after a start, all but `own`: those last seen alive first, then the failed, the latest of each first.
    pub fn dial_order(&self, own: &NodeName) -> Vec<&Peer> {
        let mut peers: Vec<_> = self.peers().filter(|peer| peer.name != *own).collect();
        peers.sort_by_key(|peer| (peer.failed.is_some(), std::cmp::Reverse(peer.order)));
        peers
    }

    /// Where others found `own` the last time.
    pub fn own_address(&self, own: &NodeName) -> Option<SocketAddr> {
        self.peer(own).map(|peer| peer.addr)
    }

    /// The failed members, for the Serf layer to show and dial until their time is over. Their versions are not known.
    pub fn failed_members(&self, now: UnixTime) -> Vec<RestoredMember> {
        let member = |peer: &Peer| {
            let meta = peer.failed.clone()?;
            let node = Node { name: peer.name.clone(), addr: peer.addr, meta, versions: Versions::UNKNOWN };
            Some(RestoredMember { node: Arc::new(node), age: now.since(peer.at) })
        };
        self.peers().filter_map(member).collect()
    }

    /// Applies a record. Clocks and incarnation never go back.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Header => {}
            Record::Alive { name, addr, at } => self.put(name, addr, at, None),
            Record::Failed { name, addr, at, meta } => self.put(name, addr, at, Some(meta)),
            Record::Gone { name } => self.remove(name),
            Record::Clocks(SeenClocks { member, event, query }) => {
                self.clocks.member = self.clocks.member.max(member);
                self.clocks.event = self.clocks.event.max(event);
                self.clocks.query = self.clocks.query.max(query);
            }
            Record::Incarnation(incarnation) => self.incarnation = self.incarnation.max(incarnation),
            Record::Tags(tags) => self.tags = tags,
            Record::TagsDeleted(names) => self.deleted_tags = names,
            Record::Drain(drain) => self.drain = drain,
            Record::Leave => self.left = true,
        }
    }

    fn put(&mut self, name: NodeName, addr: SocketAddr, at: UnixTime, failed: Option<Bytes>) {
        self.changes += 1;
        self.gone.remove(&name);
        self.peers.insert(name.clone(), Peer { name, addr, at, failed, order: self.changes });
    }

    fn remove(&mut self, name: NodeName) {
        self.changes += 1;
        self.peers.remove(&name);
        self.gone.insert(name, self.changes);
        if self.gone.len() > MAX_GONE
            && let Some(oldest) = self.gone.iter().min_by_key(|(_, order)| **order).map(|(name, _)| name.clone())
        {
            self.gone.remove(&oldest);
        }
    }

    pub(super) fn peer(&self, name: &NodeName) -> Option<&Peer> {
        self.peers.get(name)
    }

    pub(super) fn forget_peers(&mut self) {
        self.peers.clear();
    }

    /// The others are gone.
    pub(super) fn retain(&mut self, keep: impl Fn(&Peer) -> bool) {
        let gone: Vec<NodeName> = self.peers().filter(|peer| !keep(peer)).map(|peer| peer.name.clone()).collect();
        gone.into_iter().for_each(|name| self.remove(name));
    }

    /// Who is gone is not known.
    pub(super) fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// The fewest records that lead to this state.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut peers: Vec<_> = self.peers().collect();
        peers.sort_by_key(|peer| peer.order);
        let mut gone: Vec<_> = self.gone.iter().collect();
        gone.sort_by_key(|(_, order)| **order);
        let mut records = vec![Record::Header, Record::Incarnation(self.incarnation), Record::Clocks(self.clocks)];
        records.extend(self.tags.clone().map(|tags| Record::Tags(Some(tags))));
        let deleted = Some(&self.deleted_tags).filter(|names| !names.is_empty());
        records.extend(deleted.cloned().map(Record::TagsDeleted));
        records.extend(self.drain.clone().map(|drain| Record::Drain(Some(drain))));
        records.extend(gone.into_iter().map(|(name, _)| Record::Gone { name: name.clone() }));
        records.extend(peers.into_iter().cloned().map(|Peer { name, addr, at, failed, .. }| match failed {
            None => Record::Alive { name, addr, at },
            Some(meta) => Record::Failed { name, addr, at, meta },
        }));
        records.extend(self.left.then_some(Record::Leave));
        records
    }
}
