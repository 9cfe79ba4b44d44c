//! What the asker of a query hears of the handlers that it is for: the first that says something, or, once all have ended
//! without a word, that one of them failed or was too busy to take it. Serf's mode keeps silent then, as Serf does.

use std::collections::HashMap;

use super::{Outcome, Ran};
use crate::config::Mode;
use crate::serf::QueryKey;
use crate::status::node;

/// Queries that handlers are at work on.
#[derive(Debug)]
pub(super) struct Answers {
    mode: Mode,
    open: HashMap<QueryKey, Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Handlers that have not ended.
    running: usize,
    answered: bool,
    /// Of the first that failed, or had no room for it.
    failure: Option<String>,
}

impl Answers {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, open: HashMap::new() }
    }

    /// One more handler is at work on it, if it is a query.
    pub(super) fn given(&mut self, query: Option<QueryKey>) {
        if let Some(query) = query {
            self.open.entry(query).or_default().running += 1;
        }
    }

    /// A handler that it is for, if it is a query, has no room for it.
    pub(super) fn dropped(&mut self, query: Option<QueryKey>, handler: &str, queue: usize) {
        if let Some(query) = query {
            let failure = || format!("error: handler {handler} is behind, its queue of {queue} is full\n");
            self.open.entry(query).or_default().failure.get_or_insert_with(failure);
        }
    }

    /// All handlers that the query is for have been offered it. Returns what its asker is to hear if none has taken it.
    pub(super) fn offered(&mut self, query: QueryKey) -> Option<Vec<u8>> {
        self.open.get(&query).filter(|open| open.running == 0)?;
        self.end(query)
    }

    /// A handler has ended. Returns what its query's asker is to hear of it.
    pub(super) fn ended(&mut self, ran: &Ran) -> Option<Vec<u8>> {
        let query = ran.query?;
        let open = self.open.get_mut(&query)?;
        open.running -= 1;
        let said = ran.said().map(<[u8]>::to_vec);
        open.answered |= said.is_some();
        if ran.outcome != Outcome::Exited(0) {
            let run = node::Run::from(&ran.outcome);
            open.failure.get_or_insert_with(|| format!("error: handler {} failed: {run}\n", ran.handler));
        }
        if open.running > 0 {
            return said;
        }
        let failure = self.end(query);
        said.or(failure)
    }

    /// Nobody is at work on it any more. Returns what went wrong if nothing else was said.
    fn end(&mut self, query: QueryKey) -> Option<Vec<u8>> {
        let Open { answered, failure, .. } = self.open.remove(&query)?;
        failure.filter(|_| !answered && self.mode == Mode::Weir).map(String::into_bytes)
    }
}
