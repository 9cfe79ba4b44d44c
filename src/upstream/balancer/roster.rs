//! The members as templates see them, and whether their files follow.

use super::upstream::Ask;
use crate::upstream::settle::News;
use crate::upstream::{Candidate, Members};

/// What templates list.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: Members,
    /// What was put in place last by this configuration; `None` if it is not known what the files hold.
    in_place: Option<Members>,
    /// What the debounce was asked for last, and is not in place.
    asked: Option<Members>,
}

impl Roster {
    /// Takes a new view of the cluster. To be called once for each decision.
    pub(super) fn decide(&mut self, members: &[Candidate]) -> Ask {
        self.members = Members::of(members);
        if self.in_place.as_ref() == Some(&self.members) {
            self.asked = None;
            return Ask::Nothing;
        }
        if self.asked.as_ref() == Some(&self.members) {
            return Ask::Again;
        }
        self.asked = Some(self.members.clone());
        Ask::New(News::Ordinary)
    }

    /// The members as they were decided about last.
    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// Whether they are known to be others than those in place.
    pub(super) fn is_news(&self) -> bool {
        self.in_place.as_ref().is_some_and(|in_place| *in_place != self.members)
    }

    /// What an apply has put there.
    pub(super) fn put_in_place(&mut self, members: Members) {
        self.in_place = Some(members);
    }
}
