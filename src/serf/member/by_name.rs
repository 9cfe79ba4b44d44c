//! Members in the order of their names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::Member;

/// Members found by the names that their nodes hold; a map from names would hold each of them twice.
#[derive(Debug, Default)]
pub(super) struct ByName(BTreeSet<Entry>);

impl ByName {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        self.0.get(name).map(|Entry(member)| member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter().map(|Entry(member)| member)
    }

    /// Takes `member`, and forgets what was held under its name.
    pub(super) fn insert(&mut self, member: Member) {
        self.0.replace(Entry(member));
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Member> {
        self.0.take(name).map(|Entry(member)| member)
    }

    /// Changes the member of that name, which keeps it.
    pub(super) fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let Entry(mut member) = self.0.take(name)?;
        let result = change(&mut member);
        self.insert(member);
        Some(result)
    }
}

impl FromIterator<Member> for ByName {
    /// Built at once from members in their order a tree is as small as it gets.
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        Self(members.into_iter().map(Entry).collect())
    }
}

#[derive(Debug)]
struct Entry(Member);

impl Entry {
    fn name(&self) -> &str {
        self.0.node.name.as_str()
    }
}

impl Borrow<str> for Entry {
    fn borrow(&self) -> &str {
        self.name()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}
