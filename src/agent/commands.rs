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
use super::join::Unresolved;
use super::keyring::{self, LoadError};
use super::log::Log;
use crate::config::{self, JoinAddress};
use crate::endpoint::{Endpoint, JoinFailure, JoinTarget};
use crate::error::Explain;
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
use crate::wire::serf::Tags;

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
    pub(super) fn listen(config: &config::Rpc) -> Result<Self, AgentError> {
        let token = config.token.as_ref().map(read_token).transpose()?;
        let options = Options { socket: config.socket.clone(), group: group(config), listen: config.listen, token };
        let server = Server::bind(options).map_err(AgentError::Rpc)?;
        let (tcp, counters) = (server.tcp_addr(), server.counters());
        if let Some(path) = server.socket_path() {
            info!(socket = %path.display(), "rpc listening");
        }
        if let Some(addr) = tcp {
            info!(%addr, token = config.token.is_some(), "rpc listening");
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

    pub(super) fn left(&mut self) {
        for reply in self.leaves.drain(..) {
            answer(reply, Ok(()));
        }
    }
}

/// A client's join.
#[derive(Debug)]
pub(super) struct JoinReply {
    replay: bool,
    reply: Reply<Result<u32, Refusal>>,
}

impl JoinReply {
    pub(super) fn new(replay: bool, reply: Reply<Result<u32, Refusal>>) -> Self {
        Self { replay, reply }
    }

    pub(super) fn replay(&self) -> bool {
        self.replay
    }

    /// Success if anybody was contacted; else the reference's list of errors.
    pub(super) fn done(self, contacted: usize, unresolved: &[Unresolved], failures: &[(JoinTarget, JoinFailure)]) {
        let contacted = u32::try_from(contacted).unwrap_or(u32::MAX);
        let is_failed = contacted == 0 && !(unresolved.is_empty() && failures.is_empty());
        answer(self.reply, if is_failed { Err(join_errors(unresolved, failures).into()) } else { Ok(contacted) });
    }
}

/// Why nobody was contacted, in the reference's words.
pub(super) fn join_errors(unresolved: &[Unresolved], failures: &[(JoinTarget, JoinFailure)]) -> String {
    let unresolved = unresolved.iter().map(|each| format!("Failed to resolve {}: {}", each.host, each.reason));
    let failures =
        failures.iter().map(|(target, failure)| format!("Failed to join {}: {}", target.addr.ip(), failure.sentence()));
    multiple(&unresolved.chain(failures).collect::<Vec<_>>())
}

/// As Go's multierror prints several: clients show it as it is.
fn multiple(errors: &[String]) -> String {
    let count = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    let lines: Vec<_> = errors.iter().map(|error| format!("* {error}")).collect();
    format!("{count} occurred:\n\t{}\n\n", lines.join("\n\t"))
}

/// The addresses of a client's join, or why they are none, in the reference's words.
pub(super) fn join_addresses(addresses: &[String]) -> Result<Vec<JoinAddress>, Refusal> {
    let parse = |address: &String| {
        // Serf also takes `NAME/ADDRESS`; the name says nothing that the member would not say itself.
        let bare = address.rsplit_once('/').map_or(address.as_str(), |(_, bare)| bare);
        bare.parse().map_err(|error| multiple(&[format!("'{address}' {error}")]).into())
    };
    addresses.iter().map(parse).collect()
}

/// The members that `filter` matches.
pub(super) fn members(endpoint: &Endpoint, filter: &MemberFilter) -> Vec<Member> {
    let members = endpoint.members().map(Member::from);
    members.filter(|member| filter.matches(&member.name, member.status, &member.tags)).collect()
}

/// Takes `delete` from our tags, then sets `set`.
pub(super) fn change_tags(now: Instant, endpoint: &mut Endpoint, set: Tags, delete: &[String]) -> Result<(), Refusal> {
    let mut tags = endpoint.tags();
    delete.iter().for_each(|name| drop(tags.remove(name)));
    tags.extend(set);
    endpoint.set_tags(now, &tags).map_err(|error @ TagsError::TooLarge { .. }| {
        Refusal::new(error.to_string()).of_kind(Kind::TooLarge { limit: MAX_TAGS_BYTES, encoded: true })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_read_as_go_prints_them() {
        let one =
            multiple(&["Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused".to_owned()]);
        assert_eq!(
            one,
            "1 error occurred:\n\t* Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused\n\n"
        );
        assert_eq!(multiple(&["a".to_owned(), "b".to_owned()]), "2 errors occurred:\n\t* a\n\t* b\n\n");
    }
}
