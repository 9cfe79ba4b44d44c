//! What a caller asks of the endpoint: to do something, which is a verb, or to look at something. Answers that take time come
//! as [`Output`](super::Output) values. Leaving is in `leave`, keys by hand in `keys`, pings by hand in `reach`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Drops, Endpoint, JoinId, JoinKind, JoinTarget, Knowledge, KnownNameTrouble, Options, RemovedKey, Stranger, Traffic,
};
use crate::crypto::session::{SessionId, Sessions};
use crate::crypto::{Key, Keyring};
use crate::serf::{self, Serf, Status};
use crate::swim::{self, Swim};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{Coordinate, Tags, decode_tags};

/// So long after a change of the key that seals, somebody's ping under the new one has come as a rule.
const FOLLOWED: Duration = Duration::from_secs(15);
/// Within this time whoever does not answer any more is found dead as a rule.
const SETTLED: Duration = Duration::from_secs(30);

impl Endpoint {
    /// Exchanges state with every address of `targets`, a few at a time; `Output::Joined` tells the result.
    pub fn join(&mut self, now: Instant, kind: JoinKind, targets: Vec<JoinTarget>) -> JoinId {
        let id = self.joins.start(kind, targets);
        self.advance_join(now, id);
        self.settle(now);
        id
    }

    /// Declares a failed member left, or forgets it at once with `prune`; `Output::ForceLeft` tells when the cluster was
    /// told.
    pub fn force_leave(&mut self, now: Instant, name: &str, prune: bool) -> Result<(), serf::ForceLeaveError> {
        let result = self.serf.force_leave(now, name, prune);
        self.settle(now);
        result
    }

    /// Replaces our tags.
    pub fn set_tags(&mut self, now: Instant, tags: &Tags) -> Result<(), serf::TagsError> {
        let meta = self.serf.set_tags(now, tags)?;
        self.swim.set_meta(now, meta);
        self.settle(now);
        Ok(())
    }

    /// Sends a user event; with `coalesce`, receivers may keep only the latest of its name.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &str,
        payload: Bytes,
        coalesce: bool,
    ) -> Result<serf::LamportTime, serf::EventError> {
        let result = self.serf.user_event(now, name, payload, coalesce);
        self.settle(now);
        result
    }

    /// Asks the cluster; answers come as `Output::Query`.
    pub fn query(&mut self, now: Instant, params: serf::QueryParams) -> Result<serf::QueryKey, serf::QueryError> {
        let result = self.serf.query(now, params);
        self.settle(now);
        result
    }

    /// Answers a query that came as [`serf::Event::Query`], once.
    pub fn respond(&mut self, now: Instant, query: &serf::QueryKey, payload: Bytes) -> Result<(), serf::RespondError> {
        let result = self.serf.respond(now, query, payload);
        self.settle(now);
        result
    }

    /// Asks members to change or list keys; `Output::Keys` tells the outcome.
    pub fn key_request(&mut self, now: Instant, params: serf::KeyParams) -> Result<serf::QueryKey, serf::QueryError> {
        let result = self.serf.key_request(now, params);
        self.settle(now);
        result
    }

    /// Takes what of `options` may change while running: compression, the bound on leaves, and the Serf layer's timings.
    pub fn reconfigure(&mut self, options: &Options) {
        self.options.compression = options.compression;
        self.options.broadcast_timeout = options.broadcast_timeout;
        self.serf.set_timings(&options.serf);
    }

    /// All members of the Serf layer, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = &serf::Member> {
        self.serf.members()
    }

    /// One member.
    pub fn member(&self, name: &str) -> Option<&serf::Member> {
        self.serf.member(name)
    }

    /// Since when gossip says of a member what it says: a suspicion is younger than the status that it leaves as it is.
    pub fn gossip_since(&self, name: &str) -> Option<Instant> {
        let member = self.serf.member(name)?;
        let known = self.swim.member(&member.node.name);
        Some(known.and_then(|known| known.state.suspected_since()).unwrap_or(member.since))
    }

    /// Ourselves.
    pub fn local(&self) -> &Arc<swim::Node> {
        self.swim.local_node()
    }

    /// Our tags.
    pub fn tags(&self) -> Tags {
        decode_tags(&self.local().meta)
    }

    /// The coordinate of `name`, our own included, if it is known.
    pub fn coordinate(&self, name: &str) -> Option<&Coordinate> {
        self.serf.coordinate(name)
    }

    /// The membership layer, to look at.
    pub fn swim(&self) -> &Swim {
        &self.swim
    }

    /// The Serf layer, to look at.
    pub fn serf(&self) -> &Serf {
        &self.serf
    }

    /// Whether a member is known to be weir; of one that is not there, whether it was.
    pub fn is_weir(&self, name: &NodeName) -> bool {
        let is_present = self.serf.members().any(|member| member.node.name == *name && member.status.is_present());
        let is_known = matches!(self.envelope_of(name), Some(Knowledge::Session(_)));
        *name == self.options.name || is_known || !is_present && self.peers.is_weir(name)
    }

    /// The keyring in force.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.envelope.keyring()
    }

    /// Which envelope `member` is sent, as far as it is known; `None` if there is no choice.
    pub fn envelope_of(&self, member: &NodeName) -> Option<Knowledge> {
        self.session_mode().map(|_| self.peers.knowledge(member))
    }

    /// The session of this process, if there are sessions.
    pub fn session(&self) -> Option<SessionId> {
        self.envelope.sessions().map(Sessions::id)
    }

    /// Who was refused of late for its keys, envelope or label; the one heard longest ago first.
    pub fn strangers(&self) -> impl Iterator<Item = &Stranger> {
        self.strangers.iter()
    }

    /// Members that count as alive and have not pinged since `stranger` was heard: until they do, or it has been heard for a while,
    /// they may turn out to seal as it does. A ping goes by the primary key first, so whoever has two pings of the other kind first.
    pub fn unheard_since(&self, stranger: &Stranger) -> usize {
        if stranger.last.since(stranger.first) >= SETTLED {
            return 0;
        }
        let is_other = |member: &&serf::Member| {
            member.status == Status::Alive
                && member.node.name != self.options.name
                && member.node.addr.ip() != stranger.addr.ip()
        };
        let last_ping = |member: &serf::Member| self.peers.last_ping(&member.node.name);
        self.members().filter(is_other).filter(|member| last_ping(member) < Some(stranger.first)).count()
    }

    /// Names that keep others from being members, as seen of late; the one seen longest ago first.
    pub fn name_troubles(&self) -> impl Iterator<Item = &KnownNameTrouble> {
        self.names.iter()
    }

    /// Whether every living member that has pinged seals with another key than we do, and would have followed by now: they hear
    /// us by an older key alone (`session §3` rule 1).
    pub fn seals_alone(&self, now: Instant) -> bool {
        let Some(primary) = self.envelope.primary().map(Key::id) else { return false };
        if self.resealed.is_some_and(|at| now.since(at) < FOLLOWED) {
            return false;
        }
        let alive = self.members().filter(|member| member.status == Status::Alive);
        let mut keys = alive.filter_map(|member| self.peers.key(&member.node.name)).peekable();
        keys.peek().is_some() && keys.all(|key| key != primary)
    }

    /// Keys that were in our ring and are no more, the latest last.
    pub fn removed_keys(&self) -> impl Iterator<Item = RemovedKey> + '_ {
        self.removed.iter()
    }

    /// What was dropped before it reached a layer.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Traffic since the start.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Streams open now.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether we have left, or are about to.
    pub fn is_leaving(&self) -> bool {
        self.serf.state() != serf::State::Alive
    }

    /// Whether a lost vote about our name keeps us silent.
    pub fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    /// Since when it does.
    pub fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// Bytes of an answer to a query, with what is around them.
    pub fn response_limit(&self) -> usize {
        self.options.serf.query_response_size_limit
    }

    /// The options in force.
    pub fn options(&self) -> &Options {
        &self.options
    }
}
