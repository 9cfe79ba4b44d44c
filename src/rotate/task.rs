//! What members are asked to do, and who has done it.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::progress::Action;
use crate::crypto::{Key, KeyId};
use crate::serf::KeyOp;
use crate::wire::NodeName;

/// One request of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Task {
    List,
    /// The run's own key,
    Install(Key),
    Use(Key),
    /// or an old one.
    Remove(Key),
}

impl Task {
    pub(super) fn op(&self) -> KeyOp {
        let bytes = |key: &Key| Zeroizing::new(key.bytes().to_vec());
        match self {
            Self::List => KeyOp::List,
            Self::Install(key) => KeyOp::Install(bytes(key)),
            Self::Use(key) => KeyOp::Use(bytes(key)),
            Self::Remove(key) => KeyOp::Remove(bytes(key)),
        }
    }

    pub(super) fn action(&self) -> Action {
        match self {
            Self::List => Action::List,
            Self::Install(_) => Action::Install,
            Self::Use(_) => Action::Use,
            Self::Remove(_) => Action::Remove,
        }
    }

    pub(super) fn key(&self) -> Option<KeyId> {
        match self {
            Self::List => None,
            Self::Install(key) | Self::Use(key) | Self::Remove(key) => Some(key.id()),
        }
    }
}

/// What one member made of one task.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tries: u32,
    confirmed: bool,
}

/// Who was asked what how often, and who has confirmed it. Tasks are few, members may be many.
#[derive(Debug, Default)]
pub(super) struct Ledger(Vec<(Task, BTreeMap<NodeName, Entry>)>);

impl Ledger {
    pub(super) fn has_confirmed(&self, task: &Task, name: &NodeName) -> bool {
        self.get(task, name).confirmed
    }

    /// Whether anybody has.
    pub(super) fn is_confirmed(&self, task: &Task) -> bool {
        self.0.iter().any(|(known, entries)| known == task && entries.values().any(|entry| entry.confirmed))
    }

    pub(super) fn has_removed(&self, key: KeyId, name: &NodeName) -> bool {
        let removal = |task: &Task| matches!(task, Task::Remove(removed) if removed.id() == key);
        self.0.iter().any(|(task, entries)| removal(task) && entries.get(name).is_some_and(|entry| entry.confirmed))
    }

    pub(super) fn tries(&self, task: &Task, name: &NodeName) -> u32 {
        self.get(task, name).tries
    }

    pub(super) fn asked(&mut self, task: &Task, name: NodeName) {
        self.entry(task, name).tries += 1;
    }

    pub(super) fn confirm(&mut self, task: &Task, name: NodeName) {
        self.entry(task, name).confirmed = true;
    }

    /// Its word no longer holds.
    pub(super) fn void(&mut self, task: &Task, name: &NodeName) {
        self.entry(task, name.clone()).confirmed = false;
    }

    /// A step begins: every member may be asked as often again.
    pub(super) fn forget_tries(&mut self) {
        self.0.iter_mut().flat_map(|(_, entries)| entries.values_mut()).for_each(|entry| entry.tries = 0);
    }

    /// Nobody was asked this yet.
    pub(super) fn forget(&mut self, task: &Task) {
        self.0.retain(|(known, _)| known != task);
    }

    /// How many keys were asked to be removed.
    pub(super) fn removals(&self) -> usize {
        self.0.iter().filter(|(task, _)| matches!(task, Task::Remove(_))).count()
    }

    fn get(&self, task: &Task, name: &NodeName) -> Entry {
        let entries = self.0.iter().find(|(known, _)| known == task).map(|(_, entries)| entries);
        entries.and_then(|entries| entries.get(name)).copied().unwrap_or_default()
    }

    fn entry(&mut self, task: &Task, name: NodeName) -> &mut Entry {
        let at = self.0.iter().position(|(known, _)| known == task).unwrap_or_else(|| {
            self.0.push((task.clone(), BTreeMap::new()));
            self.0.len() - 1
        });
        self.0[at].1.entry(name).or_default()
    }
}
