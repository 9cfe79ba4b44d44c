//! Queries of ours that wait for answers of others (`Serf wire format §6.5`).

use std::collections::{BTreeMap, BTreeSet};

use super::super::conflict::Vote;
use super::super::drops::Drop;
use super::super::output::QueryKey;
use super::super::tally::KeyOutcome;
use crate::time::Instant;
use crate::wire::NodeName;

/// Queries of ours that may be open at once.
pub const MAX_ASKED_QUERIES: usize = 256;

/// What the answers are for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// Pass each on.
    User,
    /// Count until all have answered.
    Keys(KeyOutcome),
    /// A vote about our name.
    Conflict(Vote),
}

/// A query that waits.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) deadline: Instant,
    pub(crate) purpose: Purpose,
    acks: BTreeSet<NodeName>,
    responses: BTreeSet<NodeName>,
}

impl Asked {
    pub(crate) fn new(deadline: Instant, purpose: Purpose) -> Self {
        Self { deadline, purpose, acks: BTreeSet::new(), responses: BTreeSet::new() }
    }

    /// Notes an ack or response. Each member counts once for each, and `limit` of them count.
    pub(crate) fn note(&mut self, ack: bool, from: &NodeName, limit: usize) -> Result<(), Drop> {
        let answers = if ack { &mut self.acks } else { &mut self.responses };
        if answers.contains(from) {
            return Err(Drop::DuplicateAnswer);
        }
        if answers.len() >= limit {
            return Err(Drop::AnswersFull);
        }
        answers.insert(from.clone());
        Ok(())
    }

    pub(crate) fn acks(&self) -> usize {
        self.acks.len()
    }

    pub(crate) fn responses(&self) -> usize {
        self.responses.len()
    }
}

/// All queries of ours that wait.
#[derive(Debug, Default)]
pub(crate) struct AskedTable(BTreeMap<QueryKey, Asked>);

impl AskedTable {
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_ASKED_QUERIES
    }

    pub(crate) fn insert(&mut self, key: QueryKey, asked: Asked) {
        self.0.insert(key, asked);
    }

    /// The query if it still takes answers.
    pub(crate) fn get_mut(&mut self, now: Instant, key: &QueryKey) -> Option<&mut Asked> {
        self.0.get_mut(key).filter(|asked| asked.deadline > now)
    }

    pub(crate) fn remove(&mut self, key: &QueryKey) -> Option<Asked> {
        self.0.remove(key)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().map(|asked| asked.deadline).min()
    }

    /// Takes out one query whose time is over.
    pub(crate) fn pop_over(&mut self, now: Instant) -> Option<(QueryKey, Asked)> {
        let key = self.0.iter().find(|(_, asked)| asked.deadline <= now).map(|(key, _)| *key)?;
        self.0.remove(&key).map(|asked| (key, asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_and_responses_are_counted_apart_once_for_each_member_and_up_to_the_limit() {
        let mut asked = Asked::new(Instant::ZERO, Purpose::User);
        let name = |text: &str| NodeName::new(text).unwrap();
        // ack, from, outcome
        for (ack, from, outcome) in [
            (true, "a", Ok(())),
            (true, "a", Err(Drop::DuplicateAnswer)),
            (false, "a", Ok(())),
            (false, "b", Ok(())),
            (false, "c", Err(Drop::AnswersFull)),
            (false, "b", Err(Drop::DuplicateAnswer)),
            (true, "b", Ok(())),
        ] {
            assert_eq!(asked.note(ack, &name(from), 2), outcome, "{from}");
        }
        assert_eq!((asked.acks(), asked.responses()), (2, 2));
    }
}
