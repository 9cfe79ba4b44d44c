//! Queries: asking, being asked, answering (`serf §6`).
//!
//! A query is gossiped: sent a bounded number of times to random members, which now and then passes a member by. So one that
//! everybody is to answer, with acks or about keys, is after a gossip interval sent once directly to each living member that it
//! addresses and that has not answered, as soon as those are no more than [`MAX_REMINDED`]. The message is the same, so that
//! any peer takes it, and drops it if it has it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use super::clock::LamportTime;
use super::drops::Drop;
use super::filter::{self, Match};
use super::output::{Answer, Event, Output, QueryEvent, QueryKey, QueryOutput};
use super::relay::Origin;
use super::{Serf, Status, conflict, keys};
use crate::error::Explain;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{Filter, Query, QueryResponse, SerfMessage, decode_tags};

mod asked;
mod open;

pub(crate) use asked::{Asked, AskedTable, Purpose};
pub use asked::{MAX_ASKED_QUERIES, MAX_REMINDED};
pub use open::MAX_OPEN_QUERIES;
pub(crate) use open::{Kind, Open};

/// Prefix of names that the Serf layer answers itself.
pub const INTERNAL_PREFIX: &str = "_serf_";

/// The query whose acks tell who can be reached.
pub const PING: &str = "_serf_ping";

/// Longest time a query may ask for; a longer one is cut to it.
pub const MAX_QUERY_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Answers kept of one query beyond two for each member known: some may come from members not yet known.
const SPARE_ANSWERS: usize = 64;

/// What to ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueryParams {
    pub name: String,
    pub payload: Bytes,
    /// Ask these only; everybody if empty.
    pub nodes: Vec<String>,
    /// Ask only members whose tag of that name matches the expression, in Go's syntax.
    pub tags: BTreeMap<String, String>,
    /// Whether receivers are to acknowledge.
    pub ack: bool,
    /// Through how many members each answer is sent in addition.
    pub relay_factor: u8,
    /// `None` or zero: the default, which grows with the cluster.
    pub timeout: Option<Duration>,
}

/// Why a query was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// Only the Serf layer itself asks these, a ping without payload aside.
    #[error("Queries cannot contain the '_serf_' prefix")]
    Internal,
    #[error("query exceeds limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{MAX_ASKED_QUERIES} queries of this node are still open")]
    TooMany,
    /// The cluster does not keep up.
    #[error("query queue is full: {depth} broadcasts wait to be sent")]
    QueueFull { depth: usize },
}

impl Explain for QueryError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::TooMany => Some("wait for one to end".into()),
            Self::QueueFull { .. } => Some("send more slowly".into()),
            Self::Internal | Self::TooLarge { .. } => None,
        }
    }
}

/// Why an answer was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RespondError {
    #[error("No pending queries matching ID")]
    Unknown,
    #[error("response is past the deadline")]
    PastDeadline,
    #[error("response already sent")]
    AlreadySent,
    /// The query stays open for a smaller answer.
    #[error("response exceeds limit of {limit} bytes")]
    TooLarge { limit: usize },
}

/// A query of ours that is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) key: QueryKey,
    pub(crate) message: Bytes,
}

impl Serf {
    /// Asks the cluster. Answers come as [`Output::Query`], the last one [`Answer::Done`].
    ///
    /// # Errors
    ///
    /// If the query may not or cannot be sent; nothing was sent then.
    pub fn query(&mut self, now: Instant, params: QueryParams) -> Result<QueryKey, QueryError> {
        let allowed = params.name == PING && params.payload.is_empty();
        if params.name.starts_with(INTERNAL_PREFIX) && !allowed {
            return Err(QueryError::Internal);
        }
        self.ask(now, params, Purpose::User).map(|sent| sent.key)
    }

    /// How long a query without a timeout of its own waits (`serf §6.1`): 3.2 s for up to 9 members of a LAN.
    pub fn default_query_timeout(&self) -> Duration {
        let digits = self.members.present().max(1).ilog10() + 1;
        self.options.gossip_interval * self.options.query_timeout_mult * digits
    }

    pub(super) fn ask(&mut self, now: Instant, params: QueryParams, purpose: Purpose) -> Result<Sent, QueryError> {
        let depth = self.broadcasts.queries.len();
        if depth >= self.options.queue_depth_limit(self.members.len()) {
            return Err(QueryError::QueueFull { depth });
        }
        if self.asked.is_full() {
            return Err(QueryError::TooMany);
        }
        let query = self.compose(params);
        let message = SerfMessage::Query(query.clone()).encode();
        let limit = match purpose {
            // Our name is in it twice, and others take whatever gossip brings.
            Purpose::Conflict(_) => self.options.max_broadcast_bytes,
            Purpose::User | Purpose::Keys(_) => self.options.query_size_limit,
        };
        if message.len() > limit {
            return Err(QueryError::TooLarge { limit });
        }
        let key = QueryKey { ltime: query.ltime, id: query.id };
        let asked = Asked::new(now + query.timeout, purpose).reminding(now, &query, self.options.gossip_interval);
        self.asked.insert(key, asked);
        self.take_query(now, &query);
        self.broadcast_query(message.clone());
        Ok(Sent { key, message })
    }

    fn compose(&mut self, params: QueryParams) -> Query {
        let nodes = Some(params.nodes).filter(|nodes| !nodes.is_empty()).map(Filter::Nodes);
        let tags = params.tags.into_iter().map(|(tag, expr)| Filter::Tag { tag, expr });
        let timeout = params.timeout.filter(|timeout| !timeout.is_zero());
        Query {
            ltime: self.query_clock.time(),
            // Real agents draw 31 bits.
            id: self.rng.random::<u32>() >> 1,
            addr: self.local.addr,
            source_node: self.local.name.as_str().to_owned(),
            filters: nodes.into_iter().chain(tags).collect(),
            ack: params.ack,
            no_broadcast: false,
            relay_factor: params.relay_factor,
            timeout: timeout.unwrap_or_else(|| self.default_query_timeout()).min(MAX_QUERY_TIMEOUT),
            name: params.name,
            payload: params.payload,
        }
    }

    /// A query arrives by gossip.
    pub(super) fn handle_query(&mut self, now: Instant, query: &Query, message: &Bytes) {
        if self.take_query(now, query) {
            self.broadcast_query(message.clone());
        }
    }

    /// Takes a query from the network or ourselves. Returns whether it is to be passed on.
    fn take_query(&mut self, now: Instant, query: &Query) -> bool {
        if !self.query_clock.witness(query.ltime) {
            self.drops.count(Drop::ImplausibleTime);
            return false;
        }
        if query.ltime < self.query_min {
            self.drops.count(Drop::BeforeStart);
            return false;
        }
        if let Err(error) = self.queries.insert(self.query_clock.time(), query.ltime, query.id, size_of::<u32>()) {
            self.drops.count(error.into());
            return false;
        }
        let harmful = self.is_harmful(query);
        match filter::passes(&query.filters, &self.local.name, || decode_tags(&self.local.meta)) {
            Match::Yes => self.accept_query(now, query),
            Match::No => tracing::trace!(query = query.name, from = query.source_node, "query is for others"),
            Match::Invalid => self.drops.count(Drop::BadFilter),
        }
        !harmful && !query.no_broadcast
    }

    /// Whether passing the query on would crash real agents.
    fn is_harmful(&mut self, query: &Query) -> bool {
        let empty_filter = query.has_empty_filter();
        if empty_filter {
            self.drops.count(Drop::EmptyFilter);
        }
        let empty_payload = keys::lacks_payload(query);
        if empty_payload {
            self.drops.count(Drop::EmptyKeyPayload);
        }
        empty_filter || empty_payload
    }

    /// A query that passed its filters: acknowledge and deliver it.
    fn accept_query(&mut self, now: Instant, query: &Query) {
        self.seen_query = self.seen_query.max(query.ltime);
        let origin = Origin { addr: query.addr, name: query.source_node.clone(), relay_factor: query.relay_factor };
        if query.ack {
            let ack = self.response(query.ltime, query.id, true, Bytes::new());
            self.send_unchecked(now, &origin, ack);
        }
        self.deliver(now, query, origin);
    }

    fn deliver(&mut self, now: Instant, query: &Query, origin: Origin) {
        let key = QueryKey { ltime: query.ltime, id: query.id };
        let deadline = now + query.timeout.min(MAX_QUERY_TIMEOUT);
        if let Some(kind) = keys::kind(&query.name) {
            self.open(key, origin, kind, deadline);
            self.handle_key_query(now, query);
        } else if query.name == conflict::QUERY {
            if let Some(record) = self.answer_dispute(now, query) {
                let response = self.response(query.ltime, query.id, false, record);
                self.send_unchecked(now, &origin, response);
            }
        } else if !query.name.starts_with(INTERNAL_PREFIX) {
            self.open(key, origin, Kind::User, deadline);
            self.outputs.push_back(Output::Event(Event::Query(QueryEvent {
                key,
                name: query.name.clone(),
                payload: query.payload.clone(),
                source: query.source_node.clone(),
                deadline,
            })));
        }
    }

    fn open(&mut self, key: QueryKey, origin: Origin, kind: Kind, deadline: Instant) {
        if self.open.insert(key, origin, kind, deadline) {
            self.drops.count(Drop::QueriesFull);
        }
    }

    /// Answers a query that came as [`Event::Query`], once and before its deadline.
    ///
    /// # Errors
    ///
    /// Nothing was sent; after [`RespondError::TooLarge`] a smaller answer may be tried.
    pub fn respond(&mut self, now: Instant, key: &QueryKey, payload: Bytes) -> Result<(), RespondError> {
        match self.open.get(key) {
            Some(entry) if entry.kind == Kind::User => self.respond_internal(now, key, payload),
            _ => Err(RespondError::Unknown),
        }
    }

    pub(super) fn respond_internal(
        &mut self,
        now: Instant,
        key: &QueryKey,
        payload: Bytes,
    ) -> Result<(), RespondError> {
        let entry = self.open.get(key).ok_or(RespondError::Unknown)?;
        if entry.answered {
            return Err(RespondError::AlreadySent);
        }
        if entry.deadline <= now {
            return Err(RespondError::PastDeadline);
        }
        let origin = entry.origin.clone();
        let response = self.response(key.ltime, key.id, false, payload);
        self.send_answer(now, &origin, response)?;
        self.open.mark_answered(key);
        Ok(())
    }

    fn response(&self, ltime: LamportTime, id: u32, ack: bool, payload: Bytes) -> QueryResponse {
        QueryResponse { ltime, id, from: self.local.name.as_str().to_owned(), ack, payload }
    }

    /// Sends what fits by construction unless a setting is unreasonably small.
    fn send_unchecked(&mut self, now: Instant, origin: &Origin, response: QueryResponse) {
        if self.send_answer(now, origin, response).is_err() {
            self.drops.count(Drop::RelaySize);
        }
    }

    /// An ack or response arrives.
    pub(super) fn handle_response(&mut self, now: Instant, response: QueryResponse) {
        if let Err(reason) = self.take_response(now, response) {
            self.drops.count(reason);
        }
    }

    fn take_response(&mut self, now: Instant, response: QueryResponse) -> Result<(), Drop> {
        let key = QueryKey { ltime: response.ltime, id: response.id };
        let asked = self.asked.get_mut(now, &key).ok_or(Drop::UnknownQuery)?;
        let from = NodeName::new(&response.from).ok_or(Drop::Name)?;
        let is_member = self.members.get(from.as_str()).is_some();
        if !is_member && !matches!(asked.purpose, Purpose::User) {
            return Err(Drop::AnswerFromStranger);
        }
        asked.note(response.ack, &from, 2 * self.members.len() + SPARE_ANSWERS)?;
        let answer = match (&mut asked.purpose, response.ack) {
            (Purpose::User, true) => Answer::Ack { from: response.from },
            (Purpose::User, false) => Answer::Response { from: response.from, payload: response.payload },
            (Purpose::Keys(outcome), false) => {
                if outcome.answered(from, &response.payload) {
                    self.end_query(now, key);
                }
                return Ok(());
            }
            (Purpose::Conflict(vote), false) => {
                vote.count(&response.payload, self.local.addr);
                return Ok(());
            }
            (Purpose::Keys(_) | Purpose::Conflict(_), true) => return Ok(()),
        };
        self.outputs.push_back(Output::Query(QueryOutput { key, answer }));
        Ok(())
    }

    fn end_query(&mut self, now: Instant, key: QueryKey) {
        if let Some(asked) = self.asked.remove(&key) {
            self.query_ended(now, key, asked);
        }
    }

    fn query_ended(&mut self, now: Instant, key: QueryKey, asked: Asked) {
        let (acks, responses) = (asked.acks(), asked.responses());
        match asked.purpose {
            Purpose::User => {
                let answer = Answer::Done { acks, responses };
                self.outputs.push_back(Output::Query(QueryOutput { key, answer }));
            }
            Purpose::Keys(outcome) => self.outputs.push_back(Output::Keys { query: key, outcome }),
            Purpose::Conflict(vote) => self.vote_ended(now, vote),
        }
    }

    /// Sends queries of ours directly to those that gossip passed by.
    pub(super) fn remind(&mut self, now: Instant) {
        let speaking = !self.dispute.is_lost();
        for asked in self.asked.due(now) {
            let others = self
                .members
                .iter()
                .filter(|member| speaking && member.status == Status::Alive && member.node.addr != self.local.addr);
            let Some((query, unheard)) = asked.remind(others) else { continue };
            let message = SerfMessage::Query(query).encode();
            self.outputs.extend(unheard.into_iter().map(|member| Output::SendUser {
                to: member.node.addr,
                node: Some(member.node.name.clone()),
                message: message.clone(),
            }));
        }
    }

    /// Ends our queries whose time is over.
    pub(super) fn end_due_queries(&mut self, now: Instant) {
        while let Some((key, asked)) = self.asked.pop_over(now) {
            self.query_ended(now, key, asked);
        }
    }
}

#[cfg(test)]
mod tests;
