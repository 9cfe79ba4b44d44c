//! What one client may do and when, and what comes of it (`rpc §3, §4`).

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::info;
use zeroize::Zeroizing;

use super::connection::{End, Input, Peer};
use super::counters::count;
use super::pending::Pending;
use super::pump::{self, Pump, Sink};
use super::{MAX_STREAMS, REQUEST_TIMEOUT, Shared, key};
use crate::handlers::filter::EventFilter;
use crate::rpc::call::{Call, KeyReply, Reply};
use crate::rpc::feed::{Subscription, feed};
use crate::rpc::proto::{
    Body, Command, KeyResponse, LogLevel, MAX_REQUEST_BYTES, MAX_STRANGER_BYTES, MemberFilter, MembersQuery, Ours,
    QueryRecord, Request, RequestError, Response, ResponseHeader, VERSION, record, text,
};
use crate::rpc::refusal::Refusal;
use crate::rpc::weir::Asked;
use crate::serf::{KeyOp, QueryParams, RespondError};

/// Answers of one query that wait for its client: two of each of two thousand members.
const QUERY_RECORDS: usize = 4096;

/// Elements of a stream's filter. Each costs time with every event.
const MAX_FILTERS: usize = 256;

/// One client's state.
#[derive(Debug)]
pub(super) struct Session<'a> {
    peer: &'a Peer,
    shared: &'a Shared,
    outbox: mpsc::Sender<Vec<u8>>,
    shaken: bool,
    /// The client is ours.
    weir: bool,
    authenticated: bool,
    /// A leave was asked for: the agent is about to stop, and the client waits for the answer.
    left: bool,
    pending: Pending,
    streams: BTreeMap<u64, Pump>,
    monitor: Option<(u64, Pump)>,
    queries: Vec<Pump>,
}

/// What a request is answered with.
struct Answer {
    /// `None` for success.
    refusal: Option<Refusal>,
    /// `None` for the blank body of the command.
    body: Option<Body>,
    then: Then,
}

/// What begins once the answer is on its way, so that no record can precede it.
enum Then {
    Nothing,
    Stream { filters: Vec<EventFilter>, tell: bool },
    Monitor(LogLevel),
    Query(mpsc::Receiver<QueryRecord>),
}

impl Answer {
    fn done() -> Self {
        Self { refusal: None, body: None, then: Then::Nothing }
    }

    fn refused(refusal: impl Into<Refusal>) -> Self {
        Self { refusal: Some(refusal.into()), ..Self::done() }
    }

    fn body(body: Body) -> Self {
        Self { body: Some(body), ..Self::done() }
    }

    fn then(then: Then) -> Self {
        Self { then, ..Self::done() }
    }
}

impl From<Result<(), Refusal>> for Answer {
    fn from(result: Result<(), Refusal>) -> Self {
        result.map_or_else(Self::refused, |()| Self::done())
    }
}

/// The agent dropped a call.
struct AgentGone;

impl<'a> Session<'a> {
    pub(super) fn new(peer: &'a Peer, shared: &'a Shared, outbox: mpsc::Sender<Vec<u8>>) -> Self {
        Self {
            peer,
            shared,
            outbox,
            shaken: false,
            weir: false,
            authenticated: false,
            left: false,
            pending: Pending::default(),
            streams: BTreeMap::new(),
            monitor: None,
            queries: Vec::new(),
        }
    }

    /// Serves one request after the other until the connection has to end.
    pub(super) async fn run<R: AsyncRead + Unpin>(&mut self, input: &mut Input<R>) -> End {
        loop {
            if let Err(end) = self.serve_one(input).await {
                return end;
            }
        }
    }

    /// Whether this client had the agent leave.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    async fn serve_one<R: AsyncRead + Unpin>(&mut self, input: &mut Input<R>) -> Result<(), End> {
        let limit = if self.is_trusted() { MAX_REQUEST_BYTES } else { MAX_STRANGER_BYTES };
        let header = input.header(limit).await?;
        let seq = header.seq;
        let command = Command::from_name(&header.command);
        if !self.shaken && command != Some(Command::Handshake) {
            self.reply(seq, Some(text::HANDSHAKE_REQUIRED.into()), Body::Empty).await?;
            return Err(End::Refused);
        }
        let Some(command) = command else {
            self.reply(seq, Some(text::UNSUPPORTED_COMMAND.into()), Body::Empty).await?;
            return Err(End::Refused);
        };
        let body = if command.has_body() {
            match input.body(limit).await {
                Ok(body) => body,
                Err(end) => return self.explain(seq, &command, end, limit).await,
            }
        } else {
            &[]
        };
        count(&self.shared.counters.requests);
        if self.needs_token(&command) {
            count(&self.shared.counters.unauthenticated);
            self.reply(seq, Some(text::AUTH_REQUIRED.into()), Body::Empty).await?;
        } else {
            let answer = match Request::decode(command.clone(), body) {
                Ok(request) => self.execute(seq, request).await,
                Err(RequestError::Refused(error)) => Ok(Answer::refused(error)),
                Err(RequestError::Malformed(_)) => return Err(End::Malformed),
            };
            let answer = answer.unwrap_or_else(|AgentGone| Answer::refused(text::AGENT_STOPPING));
            if answer.refusal.is_some() {
                count(&self.shared.counters.refused);
            }
            let body = answer.body.unwrap_or_else(|| Body::blank(&command));
            self.reply(seq, answer.refusal, body).await?;
            self.begin(seq, answer.then).await;
        }
        // Whoever has yet to show a token has the time of the first request for it, and then makes room for others.
        if self.is_trusted() {
            input.finish_request();
        }
        Ok(())
    }

    /// Whether the client has shown all that it has to.
    fn is_trusted(&self) -> bool {
        self.shaken && (self.peer.is_local || self.authenticated || self.shared.token.is_none())
    }

    fn needs_token(&self, command: &Command) -> bool {
        !matches!(command, Command::Handshake | Command::Auth) && !self.is_trusted()
    }

    /// Says why a body was not taken, where it is known to whom.
    async fn explain(&self, seq: u64, command: &Command, end: End, limit: usize) -> Result<(), End> {
        let error = match end {
            End::TooLarge => format!("request exceeds limit of {limit} bytes"),
            End::TooSlow => format!("request not complete after {} s", REQUEST_TIMEOUT.as_secs()),
            End::Closed | End::Truncated | End::Malformed | End::Refused | End::Stopping | End::Stuck => {
                return Err(end);
            }
        };
        self.reply(seq, Some(error.into()), Body::blank(command)).await?;
        Err(end)
    }

    async fn reply(&self, seq: u64, refusal: Option<Refusal>, body: Body) -> Result<(), End> {
        let error = refusal.as_ref().map_or_else(String::new, Refusal::to_string);
        let header = ResponseHeader { seq, error, ours: self.weir.then_some(Ours { refusal }) };
        let message = Response { header, body }.encode();
        self.outbox.send(message).await.map_err(|_| End::Stuck)
    }

    async fn execute(&mut self, seq: u64, request: Request) -> Result<Answer, AgentGone> {
        let command = request.command();
        if command.changes_state() {
            info!(client = %self.peer.name, command = command.name(), "rpc command");
        }
        Ok(match request {
            Request::Handshake { version, weir } => self.handshake(version, weir),
            Request::Auth { key } => self.authenticate(&key),
            Request::Members => self.members(MembersQuery::default()).await?,
            Request::MembersFiltered(query) => self.members(query).await?,
            Request::Event { name, payload, coalesce } => {
                self.ask(|reply| Call::UserEvent { name, payload, coalesce, reply }).await?.into()
            }
            Request::ForceLeave { node, prune } => {
                self.ask(|reply| Call::ForceLeave { node, prune, reply }).await?.into()
            }
            Request::Join { existing, replay } => {
                match self.ask(|reply| Call::Join { addresses: existing, replay, reply }).await? {
                    Ok(contacted) => Answer::body(Body::Join(contacted)),
                    Err(refusal) => Answer::refused(refusal),
                }
            }
            Request::Tags { set, delete } => self.ask(|reply| Call::Tags { set, delete, reply }).await?.into(),
            Request::Leave => {
                self.left = true;
                self.ask(|reply| Call::Leave { reply }).await?.into()
            }
            Request::Stream { filter } => self.stream(seq, &filter),
            Request::Monitor { level } => self.monitor(&level),
            Request::Stop { seq } => self.stop(seq).await,
            Request::Query(params) => self.query(params).await?,
            Request::Respond { id, payload } => self.respond(id, payload).await?,
            Request::InstallKey { key } => self.change_key(&key, KeyOp::Install).await?,
            Request::UseKey { key } => self.change_key(&key, KeyOp::Use).await?,
            Request::RemoveKey { key } => self.change_key(&key, KeyOp::Remove).await?,
            Request::ListKeys => self.keys(KeyOp::List).await?,
            Request::Stats => Answer::body(Body::Stats(self.ask(|reply| Call::Stats { reply }).await?)),
            Request::GetCoordinate { node } => {
                Answer::body(Body::Coordinate(self.ask(|reply| Call::Coordinate { node, reply }).await?))
            }
            Request::Weir { command, document } => self.ours(&command, &document).await?,
        })
    }

    async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, AgentGone> {
        let (reply, answer) = oneshot::channel();
        self.tell(call(reply)).await?;
        answer.await.map_err(|_| AgentGone)
    }

    async fn tell(&self, call: Call) -> Result<(), AgentGone> {
        self.shared.calls.send(call).await.map_err(|_| AgentGone)
    }

    /// A command of weir's own.
    async fn ours(&self, command: &str, document: &str) -> Result<Answer, AgentGone> {
        let (reply, answer) = oneshot::channel();
        match Asked::decode(command, document, reply) {
            Some(Ok(asked)) => self.tell(Call::Weir(asked)).await?,
            Some(Err(refusal)) => return Ok(Answer::refused(refusal)),
            None => return Ok(Answer::refused(text::UNSUPPORTED_COMMAND)),
        }
        let answer = answer.await.map_err(|_| AgentGone)?;
        Ok(answer.map_or_else(Answer::refused, |document| Answer::body(Body::Document(document))))
    }

    /// The version is looked at first, then whether this was done before.
    fn handshake(&mut self, version: i32, weir: bool) -> Answer {
        if version != VERSION {
            return Answer::refused(text::UNSUPPORTED_VERSION);
        }
        if std::mem::replace(&mut self.shaken, true) {
            return Answer::refused(text::HANDSHAKE_DONE);
        }
        self.weir = weir;
        Answer::done()
    }

    /// Without a token only nothing is right. A wrong one does not take back what a right one gave.
    fn authenticate(&mut self, key: &[u8]) -> Answer {
        let accepted = self.shared.token.as_ref().map_or(key.is_empty(), |token| token.accepts(key));
        if !accepted {
            count(&self.shared.counters.unauthenticated);
            return Answer::refused(text::INVALID_TOKEN);
        }
        self.authenticated = true;
        Answer::done()
    }

    async fn members(&self, query: MembersQuery) -> Result<Answer, AgentGone> {
        let filter = match MemberFilter::compile(&query) {
            Ok(filter) => filter,
            Err(error) => return Ok(Answer::refused(error)),
        };
        let members = self.ask(|reply| Call::Members { filter, reply }).await?;
        Ok(Answer::body(Body::Members(members)))
    }

    async fn change_key(&self, base64: &str, op: fn(Zeroizing<Vec<u8>>) -> KeyOp) -> Result<Answer, AgentGone> {
        match key::decode(base64) {
            Ok(key) => self.keys(op(key)).await,
            Err(error) => Ok(Answer { body: Some(Body::Keys(KeyResponse::default())), ..Answer::refused(error) }),
        }
    }

    async fn keys(&self, op: KeyOp) -> Result<Answer, AgentGone> {
        let KeyReply { refusal, response } = self.ask(|reply| Call::Keys { op, reply }).await?;
        Ok(Answer { refusal, ..Answer::body(Body::Keys(response)) })
    }

    fn stream(&mut self, seq: u64, filter: &str) -> Answer {
        let wanted: Vec<&str> = filter.split(',').filter(|element| *element != record::MISSED).collect();
        let filters = match EventFilter::parse_list(&wanted.join(",")) {
            Ok(filters) if filters.len() <= MAX_FILTERS => filters,
            Ok(_) | Err(_) => return Answer::refused(text::INVALID_FILTER),
        };
        if self.streams.contains_key(&seq) {
            return Answer::refused(text::STREAM_EXISTS);
        }
        let tell = filter.split(',').any(|element| element == record::MISSED);
        self.if_room(Then::Stream { filters, tell })
    }

    fn monitor(&mut self, level: &str) -> Answer {
        match LogLevel::from_name(level) {
            None => Answer::refused(format!("Unknown log level: {}", level.to_uppercase())),
            Some(_) if self.monitor.is_some() => Answer::refused(text::MONITOR_EXISTS),
            Some(level) => self.if_room(Then::Monitor(level)),
        }
    }

    fn if_room(&mut self, then: Then) -> Answer {
        if self.has_room() {
            return Answer::then(then);
        }
        Answer::refused(format!("too many streams on this connection, the limit is {MAX_STREAMS}"))
    }

    fn has_room(&mut self) -> bool {
        self.queries.retain(|query| !query.is_finished());
        self.streams.len() + self.queries.len() + usize::from(self.monitor.is_some()) < MAX_STREAMS
    }

    /// Nothing of the stream comes after the answer to this. What does not exist is stopped already.
    async fn stop(&mut self, seq: u64) -> Answer {
        if let Some(stream) = self.streams.remove(&seq) {
            stream.stop().await;
        }
        if let Some((_, monitor)) = self.monitor.take_if(|(monitor, _)| *monitor == seq) {
            monitor.stop().await;
        }
        Answer::done()
    }

    async fn query(&mut self, params: QueryParams) -> Result<Answer, AgentGone> {
        let (records, answers) = mpsc::channel(QUERY_RECORDS);
        let answer = self.if_room(Then::Query(answers));
        if answer.refusal.is_some() {
            return Ok(answer);
        }
        Ok(match self.ask(|reply| Call::Query { params, records, reply }).await? {
            Ok(()) => answer,
            Err(error) => Answer::refused(error),
        })
    }

    async fn respond(&self, id: u64, payload: Bytes) -> Result<Answer, AgentGone> {
        let Some(query) = self.pending.find(Instant::now(), id) else {
            return Ok(Answer::refused(text::NO_PENDING_QUERY));
        };
        Ok(match self.ask(|reply| Call::Respond { query, payload, reply }).await? {
            Ok(()) => Answer::done(),
            Err(RespondError::Unknown) => Answer::refused(text::NO_PENDING_QUERY),
            Err(error @ (RespondError::PastDeadline | RespondError::AlreadySent | RespondError::TooLarge { .. })) => {
                Answer::refused(format!("{}{error}", text::RESPOND_PREFIX))
            }
        })
    }

    /// If the agent is gone, the stream is merely silent until the connection ends.
    async fn begin(&mut self, seq: u64, then: Then) {
        let sink = Sink { seq, client: self.peer.name.clone(), outbox: self.outbox.clone() };
        match then {
            Then::Nothing => {}
            Then::Stream { filters, tell } => {
                let (feed, tail) = feed(self.shared.counters.missed_events.clone());
                let task = tokio::spawn(pump::events(sink, tail, self.pending.clone(), tell));
                self.streams.insert(seq, Pump::new(task));
                let _ = self.tell(Call::Subscribe { subscription: Subscription { filters, feed } }).await;
            }
            Then::Monitor(level) => {
                let (lines, tail) = feed(self.shared.counters.missed_lines.clone());
                self.monitor = Some((seq, Pump::new(tokio::spawn(pump::lines(sink, tail)))));
                let _ = self.tell(Call::Monitor { level, lines }).await;
            }
            Then::Query(answers) => {
                let task = tokio::spawn(pump::answers(sink, answers, self.shared.counters.clone()));
                self.queries.push(Pump::new(task));
            }
        }
    }
}
