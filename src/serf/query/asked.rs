//! Queries of ours that wait for answers of others (`serf §6.5`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::conflict::Vote;
use super::super::drops::Drop;
use super::super::filter::Filters;
use super::super::member::Member;
use super::super::output::QueryKey;
use super::super::tally::KeyOutcome;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::Query;

/// Queries of ours that may be open at once.
pub const MAX_ASKED_QUERIES: usize = 256;

/// Members that one query is sent to directly, at most.
pub const MAX_REMINDED: usize = 64;

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
    reminder: Option<Reminder>,
    acks: BTreeSet<NodeName>,
    responses: BTreeSet<NodeName>,
}

/// A query that is to be sent directly to whom gossip passes by, and when that is known.
#[derive(Debug)]
struct Reminder {
    query: Query,
    due: Instant,
    /// From the last look, or from asking, until `due`.
    wait: Duration,
}

impl Asked {
    pub(crate) fn new(deadline: Instant, purpose: Purpose) -> Self {
        Self { deadline, purpose, reminder: None, acks: BTreeSet::new(), responses: BTreeSet::new() }
    }

    /// Adds a reminder if everybody the query addresses is to answer. Gossip has `wait` to get there first.
    pub(crate) fn reminding(mut self, now: Instant, query: &Query, wait: Duration) -> Self {
        if query.ack || matches!(self.purpose, Purpose::Keys(_)) {
            self.reminder = Some(Reminder { query: query.clone(), due: now + wait, wait });
        }
        self
    }

    /// The query, and those of `members` that it addresses and that have not answered. It is sent to each once.
    ///
    /// While they are more than [`MAX_REMINDED`], gossip is still at work, or something else is wrong with them: they are
    /// looked at again after twice the time.
    pub(crate) fn remind<'a>(&mut self, members: impl Iterator<Item = &'a Member>) -> Option<(Query, Vec<&'a Member>)> {
        let Reminder { query, due, wait } = self.reminder.take()?;
        let filters = Filters::new(&query.filters)?;
        let addressed = |member: &&Member| {
            let name = &member.node.name;
            self.awaits(name) && filters.pass(name, || member.tags())
        };
        let unheard: Vec<_> = members.filter(addressed).take(MAX_REMINDED + 1).collect();
        drop(filters);
        if unheard.len() > MAX_REMINDED {
            self.reminder = Some(Reminder { query, due: due + wait, wait: 2 * wait });
            return None;
        }
        Some((query, unheard))
    }

    fn awaits(&self, name: &NodeName) -> bool {
        match &self.purpose {
            Purpose::Keys(outcome) => outcome.missing.contains(name),
            Purpose::User | Purpose::Conflict(_) => !self.acks.contains(name) && !self.responses.contains(name),
        }
    }

    fn reminds_at(&self) -> Option<Instant> {
        self.reminder.as_ref().map(|reminder| reminder.due)
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
        self.0.values().map(|asked| asked.reminds_at().map_or(asked.deadline, |at| at.min(asked.deadline))).min()
    }

    /// Queries whose reminder is due.
    pub(crate) fn due(&mut self, now: Instant) -> impl Iterator<Item = &mut Asked> {
        self.0.values_mut().filter(move |asked| asked.reminds_at().is_some_and(|at| at <= now))
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
