//! What RPC clients ask of the endpoint, and the answers that come later.
//!
//! The server sends a [`Call`] and waits on its reply; nothing here waits. What ends later (queries, key requests, leaves) is
//! kept in [`Pending`] by the endpoint's own identifiers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use super::AgentError;
use super::keyring::{self, LoadError};
use super::log::Log;
use super::notice::Notice;
use super::tags;
use crate::config;
use crate::endpoint::Endpoint;
use crate::error::Trouble;
use crate::rpc::call::{KeyReply, Reply, StreamEvent};
use crate::rpc::feed::Subscription;
use crate::rpc::proto::{KeyResponse, LogLevel, Member, MemberFilter, QueryRecord};
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::server::local_group;
use crate::rpc::server::{Counters, Counts, Options, Server, Token};
use crate::rpc::{Call, Feed};
use crate::serf::{
    Answer, Event, EventError, ForceLeaveError, KeyOp, KeyOutcome, KeyParams, MAX_TAGS_BYTES, QueryKey, QueryOutput,
    QueryParams, TagsError,
};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{Tags, encode_tags};

/// Calls of all clients together that wait for the loop.
const CALL_QUEUE: usize = 32;

/// The default of `rpc.group`, which the package makes.
const PACKAGE_GROUP: &str = "weir";

/// The RPC server and its subscribers, as the loop sees them.
#[derive(Debug)]
pub(super) struct Commands {
    calls: mpsc::Receiver<Call>,
    shutdown: watch::Sender<bool>,
    server: JoinHandle<()>,
    tcp: Option<SocketAddr>,
    counters: Arc<Counters>,
    subscriptions: Vec<Subscription>,
}

impl Commands {
    /// Listens where `config` says and serves from now on. Calls wait until the loop turns.
    pub(super) fn listen(config: &config::Rpc, log: &Log) -> Result<Self, AgentError> {
        let token = config.token.as_ref().map(read_token).transpose()?;
        let options = Options { socket: config.socket.clone(), group: group(config), listen: config.listen, token };
        let server = Server::bind(options).map_err(AgentError::Rpc)?;
        let (tcp, counters) = (server.tcp_addr(), server.counters());
        if let Some(path) = server.socket_path() {
            log.tell(Notice::RpcSocketListening { socket: path.to_owned() });
        }
        if let Some(addr) = tcp {
            log.tell(Notice::RpcListening { addr, token: config.token.is_some() });
        }
        let (sender, calls) = mpsc::channel(CALL_QUEUE);
        let (shutdown, stopped) = watch::channel(false);
        let server = tokio::spawn(server.run(sender, stopped));
        Ok(Self { calls, shutdown, server, tcp, counters, subscriptions: Vec::new() })
    }

    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// What happened at the border.
    pub(super) fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// The next call. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Call {
        match self.calls.recv().await {
            Some(call) => call,
            None => std::future::pending().await, // the server has ended; only the loop ends it
        }
    }

    /// Offers it every event from now on.
    pub(super) fn subscribe(&mut self, subscription: Subscription) {
        self.subscriptions.push(subscription);
    }

    /// Offers an event to every stream; one whose client is gone is forgotten.
    pub(super) fn publish(&mut self, event: &Event, now: Instant) {
        if !self.subscriptions.is_empty() {
            let event = Arc::new(StreamEvent::new(now, event));
            self.subscriptions.retain(|subscription| subscription.offer(&event));
        }
    }

    /// Lets ready answers reach their clients and hangs up.
    pub(super) async fn finish(&mut self, within: Duration) {
        self.subscriptions.clear();
        // The server only misses this if it has ended already.
        self.shutdown.send_replace(true);
        if timeout(within, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

/// The group of the socket. Where the package was not installed its group is missing; then the socket is for the agent's own
/// user and group. Any other group that is missing is a mistake, which the server reports.
fn group(config: &config::Rpc) -> Option<String> {
    let group = Some(config.group.clone()).filter(|group| !group.is_empty())?;
    if group == PACKAGE_GROUP && config.socket.is_some() && local_group(&group).is_none() {
        info!(group, "no such group on this host, the rpc socket is for the agent's own user alone");
        return None;
    }
    Some(group)
}

/// The token from wherever the configuration says.
fn read_token(source: &config::SecretSource<config::Secret>) -> Result<Token, AgentError> {
    let secret = keyring::read_secret(source).map_err(AgentError::Secret)?;
    Token::new(secret.trim_ascii()).ok_or(AgentError::Secret(LoadError::EmptyToken))
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queries: HashMap<QueryKey, mpsc::Sender<QueryRecord>>,
    /// Whether keys were listed, and who waits.
    keys: HashMap<QueryKey, (bool, Reply<KeyReply>)>,
    force_leaves: Vec<(String, Reply<Result<(), Refusal>>)>,
    leaves: Vec<Reply<Result<(), Refusal>>>,
}

impl Pending {
    pub(super) fn query_answer(&mut self, output: QueryOutput) {
        let Some(records) = self.queries.get(&output.key) else { return };
        let record = match output.answer {
            Answer::Ack { from } => QueryRecord::Ack { from },
            Answer::Response { from, payload } => QueryRecord::Response { from, payload },
            Answer::Done { .. } => QueryRecord::Done,
        };
        let done = record == QueryRecord::Done;
        // A client that reads too slowly loses records; one that has gone needs none.
        let _full_or_gone = records.try_send(record);
        if done {
            self.queries.remove(&output.key);
        }
    }

    pub(super) fn keys_done(&mut self, query: &QueryKey, outcome: &KeyOutcome) {
        if let Some((listed, reply)) = self.keys.remove(query) {
            answer(reply, KeyReply::from(KeyResponse::from_outcome(outcome, listed)));
        }
    }

    pub(super) fn force_left(&mut self, member: &NodeName, result: &Result<(), ForceLeaveError>) {
        let (done, waiting) =
            std::mem::take(&mut self.force_leaves).into_iter().partition(|(name, _)| name == member.as_str());
        self.force_leaves = waiting;
        for (_, reply) in Vec::from_iter::<Vec<_>>(done) {
            answer(reply, result.as_ref().map_or_else(|error| Err(Refusal::of(error)), |()| Ok(())));
        }
    }

    /// Sends a query; its answers go into `records`.
    pub(super) fn query(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        params: QueryParams,
        records: mpsc::Sender<QueryRecord>,
    ) -> Result<(), Refusal> {
        let key = endpoint.query(now, params).map_err(|error| Refusal::of(&error))?;
        self.queries.insert(key, records);
        Ok(())
    }

    /// Asks every member about its keys.
    pub(super) fn keys(&mut self, now: Instant, endpoint: &mut Endpoint, op: KeyOp, reply: Reply<KeyReply>) {
        let listed = matches!(op, KeyOp::List);
        match endpoint.key_request(now, KeyParams { op, only: Vec::new(), ballot: None }) {
            Ok(key) => drop(self.keys.insert(key, (listed, reply))),
            Err(error) => {
                answer(reply, KeyReply { refusal: Some(Refusal::of(&error)), response: KeyResponse::default() });
            }
        }
    }

    /// Has a member leave; [`Self::force_left`] answers.
    pub(super) fn force_leave(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        (node, prune): (String, bool),
        reply: Reply<Result<(), Refusal>>,
    ) {
        match endpoint.force_leave(now, &node, prune) {
            Ok(()) => self.force_leaves.push((node, reply)),
            Err(error) => answer(reply, Err(Refusal::of(&error))),
        }
    }

    /// Waits for our own leave.
    pub(super) fn leave(&mut self, reply: Reply<Result<(), Refusal>>) {
        self.leaves.push(reply);
    }

    /// No leave is under way: whoever waits for one hears that it was taken back.
    pub(super) fn not_left(&mut self) {
        for reply in self.leaves.drain(..) {
            answer(reply, Err(Refusal::new("the leave was cancelled by an undo").of_kind(Kind::Overruled)));
        }
    }

    pub(super) fn left(&mut self) {
        for reply in self.leaves.drain(..) {
            answer(reply, Ok(()));
        }
    }
}

/// The members that `filter` matches.
pub(super) fn members(endpoint: &Endpoint, filter: &MemberFilter) -> Vec<Member> {
    let members = endpoint.members().map(Member::from);
    members.filter(|member| filter.matches(&member.name, member.status, &member.tags)).collect()
}

/// Why nobody may change these tags: what weir says by tags of its own is nobody else's, as in a file.
pub(super) fn reserved_tag(set: &Tags, delete: &[String]) -> Option<Refusal> {
    let trouble = set.keys().chain(delete).find_map(|name| config::reserved_tag(name, name));
    trouble.map(|Trouble { what, way_out }| Refusal::new(what).with_remedy(way_out))
}

/// Our tags without `delete`, then with `set`.
pub(super) fn changed_tags(endpoint: &Endpoint, set: Tags, delete: &[String]) -> Tags {
    let mut tags = endpoint.tags();
    delete.iter().for_each(|name| drop(tags.remove(name)));
    tags.extend(set);
    tags
}

/// Replaces our tags, but for those that are weir's own, for which `kept` bytes are: without room for them a node could neither
/// say how well it is nor leave safely.
pub(super) fn set_tags(now: Instant, endpoint: &mut Endpoint, tags: &Tags, kept: usize) -> Result<(), Refusal> {
    let too_large = Kind::TooLarge { limit: MAX_TAGS_BYTES, encoded: true };
    let need = encode_tags(&tags::without_reserved(tags.clone())).len() + kept;
    if kept > 0 && need > MAX_TAGS_BYTES {
        let what = format!("tags need {need} bytes with the {kept} that weir keeps for its own");
        let refusal = Refusal::new(format!("{what}, {MAX_TAGS_BYTES} fit in gossip"));
        return Err(refusal.with_remedy("shorten or delete some").of_kind(too_large));
    }
    let tags = tags::with_reserved_of(endpoint.tags(), tags.clone());
    endpoint
        .set_tags(now, &tags)
        .map_err(|error @ TagsError::TooLarge { .. }| Refusal::new(error.to_string()).of_kind(too_large))
}

/// Why a user event was not sent.
pub(super) fn event_refused(error: &EventError) -> Refusal {
    let refusal = Refusal::of(error);
    match *error {
        EventError::TooLarge { limit } => refusal.of_kind(Kind::TooLarge { limit, encoded: false }),
        EventError::EncodedTooLarge { limit } => refusal.of_kind(Kind::TooLarge { limit, encoded: true }),
        EventError::QueueFull { .. } => refusal,
    }
}

/// Offers `lines` the log's lines.
pub(super) fn follow(log: &Log, level: LogLevel, lines: Feed<Arc<str>>) {
    let level = match level {
        LogLevel::Trace => tracing::Level::TRACE,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Err => tracing::Level::ERROR,
    };
    log.follow(level, move |line| lines.offer(line));
}

/// A client that has gone needs no answer.
pub(super) fn answer<T>(reply: Reply<T>, value: T) {
    let _gone = reply.send(value);
}
