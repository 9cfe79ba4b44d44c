//! The other end: what the command line talks to an agent with, ours or a real one (`rpc §7, Client side`).
//!
//! One task uses a [`Client`]. Commands go one by one; what streams push meanwhile is kept for [`Client::next`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::proto::{
    Body, Command, EventRecord, Frames, KeyResponse, LogRecord, MAX_RESPONSE_BYTES, Member, MembersQuery, QueryRecord,
    Request, ResponseHeader, Stats, VERSION, record,
};
use super::weir;
use crate::serf::QueryParams;
use crate::wire::serf::{Coordinate, Tags};
use address::Socket;

mod address;
mod error;

pub use address::Address;
pub use error::ClientError;

/// Longest wait for the handshake's answer, and for a request to be taken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes asked for in one read.
const READ_BYTES: usize = 16 * 1024;

/// A connection that has shaken hands.
#[derive(Debug)]
pub struct Client {
    socket: Box<dyn Socket>,
    address: Address,
    /// The agent has said that it is ours.
    is_weir: bool,
    frames: Frames,
    last_seq: u64,
    /// Everything the agent may still send something for.
    open: BTreeMap<u64, Open>,
    /// A header whose body has not arrived.
    header: Option<ResponseHeader>,
    /// Records that came while an answer was awaited.
    backlog: VecDeque<Pushed>,
}

/// What follows a header with a given sequence number.
#[derive(Clone, Debug)]
enum Open {
    Reply(Command),
    Events,
    Lines,
    Answers,
}

/// What names a stream, a monitor or a running query.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(u64);

/// Something the agent sent unasked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pushed {
    /// What it belongs to.
    pub of: SubscriptionId,
    pub record: Record,
}

/// The three kinds of things an agent sends unasked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Record {
    Event(EventRecord),
    /// A line of the log.
    Line(String),
    /// An answer to a query; nothing follows [`QueryRecord::Done`].
    Answer(QueryRecord),
}

/// A message from the agent.
enum Incoming {
    Reply {
        seq: u64,
        /// `None` for success.
        error: Option<ClientError>,
        body: Body,
    },
    Pushed(Pushed),
    /// For something given up, or from nobody.
    Stray,
}

impl Client {
    /// Connects, shakes hands, and shows the token if there is one.
    ///
    /// # Errors
    ///
    /// A token shown to an agent that has none is refused, as in Serf. That one is wanted shows with the first command.
    pub async fn connect(address: &Address, token: Option<&str>) -> Result<Self, ClientError> {
        let mut client = Self {
            socket: address.dial().await?,
            address: address.clone(),
            is_weir: false,
            frames: Frames::default(),
            last_seq: 0,
            open: BTreeMap::new(),
            header: None,
            backlog: VecDeque::new(),
        };
        client.prompt(Request::Handshake { version: VERSION, weir: true }).await?;
        if let Some(token) = token {
            client.prompt(Request::Auth { key: Zeroizing::new(token.as_bytes().to_vec()) }).await?;
        }
        Ok(client)
    }

    /// Whether the agent is ours, and not Serf's.
    pub fn is_weir(&self) -> bool {
        self.is_weir
    }

    /// Where it is connected to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// All members, or those that `query` matches.
    pub async fn members(&mut self, query: Option<MembersQuery>) -> Result<Vec<Member>, ClientError> {
        match self.ask(query.map_or(Request::Members, Request::MembersFiltered)).await? {
            Body::Members(members) => Ok(members),
            _ => Err(ClientError::Protocol),
        }
    }

    /// Joins through `addresses`; the number contacted, an error if that is none of some.
    pub async fn join(&mut self, addresses: Vec<String>, replay: bool) -> Result<u32, ClientError> {
        match self.ask(Request::Join { existing: addresses, replay }).await? {
            Body::Join(contacted) => Ok(contacted),
            _ => Err(ClientError::Protocol),
        }
    }

    /// Has the agent leave and stop; returns when it has left.
    pub async fn leave(&mut self) -> Result<(), ClientError> {
        self.ask(Request::Leave).await.map(drop)
    }

    /// Has a failed member count as left, or forgotten with `prune`.
    pub async fn force_leave(&mut self, node: &str, prune: bool) -> Result<(), ClientError> {
        self.ask(Request::ForceLeave { node: node.to_owned(), prune }).await.map(drop)
    }

    /// Changes the agent's tags.
    pub async fn tags(&mut self, set: Tags, delete: Vec<String>) -> Result<(), ClientError> {
        self.ask(Request::Tags { set, delete }).await.map(drop)
    }

    /// Sends a user event.
    pub async fn event(&mut self, name: &str, payload: Bytes, coalesce: bool) -> Result<(), ClientError> {
        self.ask(Request::Event { name: name.to_owned(), payload, coalesce }).await.map(drop)
    }

    /// Asks the cluster; answers come out of [`next`](Self::next), [`QueryRecord::Done`] last.
    pub async fn query(&mut self, params: QueryParams) -> Result<SubscriptionId, ClientError> {
        self.subscribe(Request::Query(params), Open::Answers).await
    }

    /// Answers a query that came out of a stream of this client.
    pub async fn respond(&mut self, id: u64, payload: Bytes) -> Result<(), ClientError> {
        self.ask(Request::Respond { id, payload }).await.map(drop)
    }

    /// Lists every member's keys. See [`install_key`](Self::install_key).
    pub async fn list_keys(&mut self) -> Result<(KeyResponse, Option<ClientError>), ClientError> {
        self.keys(Request::ListKeys).await
    }

    /// Has every member add a key, in base64. What members said comes also with an error of theirs, which is the second part.
    pub async fn install_key(&mut self, key: &str) -> Result<(KeyResponse, Option<ClientError>), ClientError> {
        self.keys(Request::InstallKey { key: Zeroizing::new(key.to_owned()) }).await
    }

    /// Has every member make a key its primary one. See [`install_key`](Self::install_key).
    pub async fn use_key(&mut self, key: &str) -> Result<(KeyResponse, Option<ClientError>), ClientError> {
        self.keys(Request::UseKey { key: Zeroizing::new(key.to_owned()) }).await
    }

    /// Has every member take a key away. See [`install_key`](Self::install_key).
    pub async fn remove_key(&mut self, key: &str) -> Result<(KeyResponse, Option<ClientError>), ClientError> {
        self.keys(Request::RemoveKey { key: Zeroizing::new(key.to_owned()) }).await
    }

    /// The agent's numbers, in groups.
    pub async fn stats(&mut self) -> Result<Stats, ClientError> {
        match self.ask(Request::Stats).await? {
            Body::Stats(stats) => Ok(stats),
            _ => Err(ClientError::Protocol),
        }
    }

    /// A member's coordinate, if it has one.
    pub async fn coordinate(&mut self, node: &str) -> Result<Option<Coordinate>, ClientError> {
        match self.ask(Request::GetCoordinate { node: node.to_owned() }).await? {
            Body::Coordinate(coordinate) => Ok(coordinate),
            _ => Err(ClientError::Protocol),
        }
    }

    /// Streams events that `filter` wants (`rpc §5`); they come out of [`next`](Self::next).
    pub async fn stream(&mut self, filter: &str) -> Result<SubscriptionId, ClientError> {
        self.subscribe(Request::Stream { filter: filter.to_owned() }, Open::Events).await
    }

    /// The same, and where the agent is ours it also tells of gaps, as [`EventRecord::Missed`].
    pub async fn stream_with_gaps(&mut self, filter: &str) -> Result<SubscriptionId, ClientError> {
        if !self.is_weir {
            return self.stream(filter).await;
        }
        let filter_or_all = if filter.is_empty() { "*" } else { filter };
        self.stream(&format!("{filter_or_all},{}", record::MISSED)).await
    }

    /// Streams the agent's log from `level` on, the last lines first; they come out of [`next`](Self::next).
    pub async fn monitor(&mut self, level: &str) -> Result<SubscriptionId, ClientError> {
        self.subscribe(Request::Monitor { level: level.to_owned() }, Open::Lines).await
    }

    /// Ends a stream or monitor. What had arrived already still comes out of [`next`](Self::next).
    pub async fn stop(&mut self, id: SubscriptionId) -> Result<(), ClientError> {
        self.ask(Request::Stop { seq: id.0 }).await?;
        self.open.remove(&id.0);
        Ok(())
    }

    /// A command of weir's own.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unsupported`] if the agent is Serf's, which is not asked, or does not know the command.
    pub async fn weir<R: weir::Request>(&mut self, request: &R) -> Result<R::Answer, ClientError> {
        if !self.is_weir {
            return Err(ClientError::Unsupported);
        }
        let document = Zeroizing::new(weir::encode(request));
        match self.ask(Request::Weir { command: R::NAME.to_owned(), document }).await? {
            Body::Document(document) => weir::decode(&document).map_err(|_| ClientError::Protocol),
            _ => Err(ClientError::Protocol),
        }
    }

    /// The next record of any stream, monitor or query. Waits for it. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`] when the agent has ended the connection.
    pub async fn next(&mut self) -> Result<Pushed, ClientError> {
        if let Some(pushed) = self.backlog.pop_front() {
            return Ok(pushed);
        }
        loop {
            if let Incoming::Pushed(pushed) = self.receive().await? {
                return Ok(pushed);
            }
        }
    }

    async fn keys(&mut self, request: Request) -> Result<(KeyResponse, Option<ClientError>), ClientError> {
        match self.exchange(request).await?.1 {
            (error, Body::Keys(keys)) => Ok((keys, error)),
            (Some(error), _) => Err(error),
            (None, _) => Err(ClientError::Protocol),
        }
    }

    async fn subscribe(&mut self, request: Request, kind: Open) -> Result<SubscriptionId, ClientError> {
        let (seq, (error, _)) = self.exchange(request).await?;
        if let Some(error) = error {
            return Err(error);
        }
        self.open.insert(seq, kind);
        Ok(SubscriptionId(seq))
    }

    /// A request that any agent answers at once.
    async fn prompt(&mut self, request: Request) -> Result<Body, ClientError> {
        let address = self.address.clone();
        timeout(ANSWER_TIMEOUT, self.ask(request)).await.unwrap_or(Err(ClientError::Silent { address }))
    }

    async fn ask(&mut self, request: Request) -> Result<Body, ClientError> {
        let (_, (error, body)) = self.exchange(request).await?;
        error.map_or(Ok(body), Err)
    }

    /// Sends a request and waits for what answers it: its number, and the response's error and body.
    async fn exchange(&mut self, request: Request) -> Result<(u64, (Option<ClientError>, Body)), ClientError> {
        self.last_seq += 1;
        let seq = self.last_seq;
        let message = Zeroizing::new(request.encode(seq));
        self.open.insert(seq, Open::Reply(request.command()));
        match timeout(ANSWER_TIMEOUT, self.socket.write_all(&message)).await {
            Ok(Ok(())) => {}
            // It may have said why before it hung up.
            Ok(Err(_)) => {}
            Err(_) => return Err(ClientError::Silent { address: self.address.clone() }),
        }
        loop {
            match self.receive().await? {
                Incoming::Reply { seq: answered, error, body } if answered == seq => return Ok((seq, (error, body))),
                Incoming::Pushed(pushed) => self.backlog.push_back(pushed),
                // The late answer to a command that its caller gave up.
                Incoming::Reply { .. } | Incoming::Stray => {}
            }
        }
    }

    /// The next whole message. Cancel-safe: what arrived stays.
    async fn receive(&mut self) -> Result<Incoming, ClientError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                self.fill().await?;
                ResponseHeader::decode(self.frames.take()).map_err(|_| ClientError::Protocol)?
            }
        };
        let (seq, open) = (header.seq, self.open.get(&header.seq).cloned());
        let has_body = match &open {
            // A real agent answers twice when it wants a token; nobody asked the second time.
            None => false,
            Some(Open::Reply(command)) => Body::follows(command, &header.error),
            Some(Open::Events | Open::Lines | Open::Answers) => true,
        };
        if has_body {
            self.header = Some(header.clone());
            self.fill().await?;
            self.header = None;
            return self.complete(header, open).ok_or(ClientError::Protocol);
        }
        Ok(match open {
            Some(Open::Reply(_)) => {
                self.open.remove(&seq);
                self.is_weir |= header.ours.is_some();
                Incoming::Reply { seq, error: ClientError::from_header(header), body: Body::Empty }
            }
            Some(Open::Events | Open::Lines | Open::Answers) | None => Incoming::Stray,
        })
    }

    /// A header's body is there.
    fn complete(&mut self, header: ResponseHeader, open: Option<Open>) -> Option<Incoming> {
        let seq = header.seq;
        let body = self.frames.take();
        let record = match open? {
            Open::Reply(command) => {
                let body = Body::decode(&command, body).ok()?;
                self.open.remove(&seq);
                return Some(Incoming::Reply { seq, error: ClientError::from_header(header), body });
            }
            Open::Events => Record::Event(EventRecord::decode(body).ok()?),
            Open::Lines => Record::Line(LogRecord::decode(body).ok()?.0),
            Open::Answers => Record::Answer(QueryRecord::decode(body).ok()?),
        };
        match &record {
            Record::Answer(QueryRecord::Done) => {
                self.open.remove(&seq);
            }
            // A Serf agent can push dozens of these when a query ends (`rpc §4, query`).
            Record::Answer(QueryRecord::Ack { from } | QueryRecord::Response { from, .. }) if from.is_empty() => {
                return Some(Incoming::Stray);
            }
            Record::Answer(_) | Record::Event(_) | Record::Line(_) => {}
        }
        Some(Incoming::Pushed(Pushed { of: SubscriptionId(seq), record }))
    }

    /// Reads until a whole value is there.
    async fn fill(&mut self) -> Result<(), ClientError> {
        while !self.frames.is_ready(MAX_RESPONSE_BYTES).map_err(|_| ClientError::Protocol)? {
            let buffer = self.frames.buffer();
            buffer.reserve(READ_BYTES);
            match self.socket.read_buf(buffer).await {
                Ok(0) | Err(_) => return Err(ClientError::Closed),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
