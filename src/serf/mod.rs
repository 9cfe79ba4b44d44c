//! The Serf layer: intents, user events, queries, keys and coordinates above `swim`'s members.
//!
//! [`Serf`] is a state machine without I/O. A driver (the endpoint) owns one beside its `swim` and
//!
//! 1. hands it what happens: [`Serf::handle_swim`] for each change of a member, [`Serf::handle_message`] for each user
//!    message, [`Serf::merge_state`] for the user state of a push/pull after `swim` has merged its node list,
//!    [`Serf::handle_rtt`] for each direct probe, [`Serf::handle_timeout`] when [`Serf::poll_timeout`] is due;
//! 2. asks it for what others are told: [`Serf::take_broadcasts`] for each packet, [`Serf::local_state`] for each push/pull,
//!    [`Serf::ack_payload`] for each ack;
//! 3. after each of these carries out [`Serf::poll_output`] until there is none.
//!
//! What peers send is never an error: it is taken, or dropped with a [`Drop`] that is counted. Every table, ring and queue has
//! a bound. The sections cited are those of the Serf wire format document.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{Coordinate, SerfMessage, Tags, decode_tags, encode_tags};

pub mod broadcast;
mod clock;
pub mod coalesce;
pub mod conflict;
pub mod coordinate;
mod drops;
pub mod event;
pub mod filter;
#[cfg(test)]
mod fixture;
mod intent;
pub mod keys;
pub mod leave;
mod member;
mod membership;
mod options;
mod output;
mod push_pull;
pub mod query;
mod reap;
mod relay;
mod ring;
mod stats;
pub mod tally;

pub use broadcast::QueueDepths;
pub use clock::LamportTime;
pub use coalesce::Window;
pub use conflict::{Claim, ConflictOutcome, Namesake};
pub use drops::{Drop, Drops};
pub use event::EventError;
pub use keys::{Ballot, KeptBallot, KeyOp, KeyringAnswer};
pub use leave::{ForceLeaveError, LeaveError, State};
pub use member::{Difference, Member, Status};
pub use options::{
    MAX_EVENT_BYTES, MAX_QUEUE_DEPTH, MAX_TAGS_BYTES, Options, QUEUE_DEPTH_WARNING, Restored, RestoredMember,
    SeenClocks,
};
pub use output::{Answer, Event, MemberEvent, MemberEventKind, Output, QueryEvent, QueryKey, QueryOutput};
pub use push_pull::{JoinKind, MAX_STATE_EVENT_BYTES};
pub use query::{QueryError, QueryParams, RespondError};
pub use reap::MAX_DEPARTED;
pub use relay::{RELAYS_PER_SECOND, STRANGER_REPLIES_PER_SECOND};
pub use ring::{MAX_SLOT_BYTES, MAX_SLOT_ITEMS};
pub use stats::Stats;
pub use tally::{KeyNode, KeyOutcome, KeyParams};

pub use intent::MAX_INTENTS;

use clock::Clock;
use relay::Bucket;

/// Why tags were not taken. The old ones stay.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TagsError {
    #[error("Encoded length of tags exceeds limit of {MAX_TAGS_BYTES} bytes")]
    TooLarge { encoded: usize },
}

/// The Serf layer of one node.
#[derive(Debug)]
pub struct Serf {
    options: Options,
    local: Arc<Node>,
    state: State,
    member_clock: Clock,
    event_clock: Clock,
    query_clock: Clock,
    members: member::Table,
    intents: intent::Intents,
    /// Names and payloads of recent user events.
    events: ring::Ring<(String, Bytes)>,
    /// User events from before this are not delivered.
    event_min: LamportTime,
    /// Lamport times of user events that went past us.
    gaps: event::Gaps,
    /// Newest user event delivered.
    seen_event: LamportTime,
    /// Identifiers of recent queries.
    queries: ring::Ring<u32>,
    query_min: LamportTime,
    /// Newest query that passed its filters.
    seen_query: LamportTime,
    open: query::Open,
    asked: query::AskedTable,
    ballots: keys::Ballots,
    dispute: conflict::Dispute,
    departure: leave::Departure,
    broadcasts: broadcast::Broadcasts,
    coordinates: Option<coordinate::Client>,
    coalescer: coalesce::Coalescer,
    relays: Bucket,
    stranger_replies: Bucket,
    reap_at: Instant,
    reconnect_at: Instant,
    drops: Drops,
    outputs: VecDeque<Output>,
    rng: StdRng,
}

impl Serf {
    /// A layer that knows nobody but the failed members in `restored`; `swim` reports the local node like any other.
    pub fn new(options: Options, local: Arc<Node>, restored: Restored, mut rng: StdRng, now: Instant) -> Self {
        let Restored { clocks, failed, ballot } = restored;
        let start = |seen: LamportTime| if seen > LamportTime::ZERO { seen.next() } else { seen };
        // A ballot of ours must rise above every one that we obeyed, also where no snapshot keeps the clocks.
        let query = ballot.as_ref().map_or(clocks.query, |kept| clocks.query.max(kept.ballot.ltime()));
        let coordinates = options.coordinates.then(|| coordinate::Client::new(StdRng::from_rng(&mut rng)));
        let mut members = member::Table::default();
        for RestoredMember { node, age } in failed {
            if node.name != local.name && age < options.reconnect_timeout {
                members.restore_failed(node, now - age);
            }
        }
        Self {
            local,
            state: State::Alive,
            member_clock: Clock::restored(clocks.member),
            event_clock: Clock::restored(clocks.event),
            query_clock: Clock::restored(query),
            members,
            intents: intent::Intents::default(),
            events: ring::Ring::new(options.event_buffer),
            event_min: start(clocks.event),
            gaps: event::Gaps::default(),
            seen_event: clocks.event,
            queries: ring::Ring::new(options.query_buffer),
            query_min: start(clocks.query),
            seen_query: clocks.query,
            open: query::Open::default(),
            asked: query::AskedTable::default(),
            ballots: keys::Ballots::restored(ballot, now),
            dispute: conflict::Dispute::default(),
            departure: leave::Departure::default(),
            broadcasts: broadcast::Broadcasts::default(),
            coordinates,
            coalescer: coalesce::Coalescer::new(options.member_coalescing, options.user_coalescing),
            relays: Bucket::per_second(RELAYS_PER_SECOND),
            stranger_replies: Bucket::per_second(STRANGER_REPLIES_PER_SECOND),
            reap_at: now + options.reap_interval,
            reconnect_at: now + options.reconnect_interval,
            drops: Drops::default(),
            outputs: VecDeque::new(),
            rng,
            options,
        }
    }

    /// Takes over members that are alive, as after a converged start, without a word. See `Swim::preload`.
    pub fn preload(&mut self, now: Instant, nodes: &[Arc<Node>]) {
        self.members.preload(now, nodes);
    }

    /// Takes a user message: everything after memberlist's `08`. `from` is where it came from, if that is known.
    pub fn handle_message(&mut self, now: Instant, from: SocketAddr, message: &Bytes) {
        tracing::trace!(%from, bytes = message.len(), "serf message");
        match SerfMessage::decode(message) {
            Ok(SerfMessage::Leave(leave)) => self.handle_leave_intent(now, &leave, message),
            Ok(SerfMessage::Join(join)) => self.handle_join_intent(now, &join, message),
            Ok(SerfMessage::UserEvent(event)) => self.handle_user_event(now, event, message),
            Ok(SerfMessage::Query(query)) => self.handle_query(now, &query, message),
            Ok(SerfMessage::QueryResponse(response)) => self.handle_response(now, response),
            Ok(SerfMessage::Relay(relay)) => self.handle_relay(now, &relay),
            Err(_) => self.drops.count(match message.first() {
                None => Drop::Empty,
                Some(0 | 1 | 3 | 4 | 5 | 9) => Drop::Undecodable,
                Some(_) => Drop::MessageType,
            }),
        }
    }

    /// We have joined somebody: announce it. Does nothing while leaving.
    pub fn joined(&mut self, now: Instant) {
        if self.state == State::Alive {
            self.announce_join(now);
        }
    }

    /// The metadata that announces `tags`; hand it to `swim`, which reports the update back.
    ///
    /// # Errors
    ///
    /// If the tags are too large once encoded.
    pub fn set_tags(&mut self, now: Instant, tags: &Tags) -> Result<Bytes, TagsError> {
        let meta = encode_tags(tags);
        if meta.len() > MAX_TAGS_BYTES {
            return Err(TagsError::TooLarge { encoded: meta.len() });
        }
        // Serf tells of an update also when nothing changes; `swim` will not.
        if decode_tags(&self.local.meta) == *tags
            && let Some(member) = self.members.get(self.local.name.as_str()).cloned()
        {
            self.emit(now, MemberEvent { kind: MemberEventKind::Update, before: Some(member.clone()), member });
        }
        Ok(meta)
    }

    /// Takes the timings of `options` that may change while running; they hold from the next decision on.
    pub fn set_timings(&mut self, options: &Options) {
        self.options.reconnect_interval = options.reconnect_interval;
        self.options.reconnect_timeout = options.reconnect_timeout;
        self.options.tombstone_timeout = options.tombstone_timeout;
        self.options.broadcast_timeout = options.broadcast_timeout;
    }

    /// The local node as it is announced.
    pub fn local(&self) -> &Arc<Node> {
        &self.local
    }

    /// Every member known, the local one included, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Number of members known, of every status.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// Whether a member is left only because somebody said so after it had died (`force-leave`): nobody expects it back.
    pub fn was_forced_out(&self, name: &str) -> bool {
        self.members.was_forced_out(name)
    }

    /// What our acks carry: our coordinate; nothing if coordinates are disabled.
    pub fn ack_payload(&self) -> Bytes {
        self.coordinates.as_ref().map(|coordinates| coordinates.own().encode_payload()).unwrap_or_default()
    }

    /// A direct UDP probe of `name` was acked after `rtt` with `payload`.
    pub fn handle_rtt(&mut self, name: &NodeName, rtt: Duration, payload: &[u8]) {
        let Some(coordinates) = &mut self.coordinates else { return };
        if payload.is_empty() || self.members.get(name.as_str()).is_none() {
            return;
        }
        let told = Coordinate::decode_payload(payload).ok();
        if told.is_none_or(|other| coordinates.update(name, other, rtt).is_err()) {
            self.drops.count(Drop::Coordinate);
        }
    }

    /// The coordinate of a member, or our own; `None` if unknown or coordinates are disabled.
    pub fn coordinate(&self, name: &str) -> Option<&Coordinate> {
        let coordinates = self.coordinates.as_ref()?;
        if name == self.local.name.as_str() { Some(coordinates.own()) } else { coordinates.of(name) }
    }

    /// Lets held events go, before a shutdown.
    pub fn flush(&mut self) {
        self.coalesce(|coalescer, events| coalescer.flush(events));
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            Some(self.reap_at),
            Some(self.reconnect_at),
            self.asked.poll_timeout(),
            self.departure.poll_timeout(),
            self.dispute.poll_timeout(),
            self.coalescer.poll_timeout(),
            self.gaps.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.reap_at <= now {
            self.reap_at = now + self.options.reap_interval;
            self.reap(now);
            self.ask_the_leaving(now);
        }
        if self.reconnect_at <= now {
            self.reconnect_at = now + self.options.reconnect_interval;
            self.reconnect();
        }
        self.end_due_queries(now);
        self.remind(now);
        self.end_due_departures(now);
        self.begin_vote(now);
        if self.gaps.overdue(now) {
            tracing::debug!("events are missing, they are fetched");
            self.outputs.push_back(Output::MissedEvents);
        }
        self.coalesce(|coalescer, events| coalescer.handle_timeout(now, events));
    }

    /// The next thing to be done or known outside, in the order it happened.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
