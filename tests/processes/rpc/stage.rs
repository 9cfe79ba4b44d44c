//! A server on a socket of its own, and the agent behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use weir::rpc::call::{Call, KeyReply, StreamEvent};
use weir::rpc::client::{Address, Client};
use weir::rpc::feed::Subscription;
use weir::rpc::proto::{
    Body, Command, Frames, KeyResponse, LogLevel, Member, QueryRecord, Request, ResponseHeader, Status,
};
use weir::rpc::server::{Counters, Counts, Options, Server, Token};
use weir::rpc::weir::Asked;
use weir::rpc::{Feed, Refusal};
use weir::serf::{KeyOp, LamportTime, QueryKey, RespondError};
use weir::status::probe::{Probe, Probed};
use weir::wire::message::Versions;
use weir::wire::serf::{Coordinate, Tags};

pub(crate) const TOKEN: &str = "a token of the tests";

/// Longest answer the agent takes.
pub(crate) const MAX_RESPONSE_BYTES: usize = 1024;

/// User events and queries of this name come out of its own streams too.
const ECHO: &str = "echo";

/// How long its queries last.
const QUERY_TIMEOUT: Duration = Duration::from_millis(100);

/// What the tests can have the agent do.
enum Order {
    Publish(Vec<Arc<StreamEvent>>, oneshot::Sender<()>),
    Log(Arc<str>, oneshot::Sender<()>),
    /// Stop answering: calls are dropped.
    Die(oneshot::Sender<()>),
}

/// The agent: two members, no cluster.
#[derive(Default)]
struct Agent {
    streams: Vec<Subscription>,
    monitors: Vec<(LogLevel, Feed<Arc<str>>)>,
    tags: Tags,
    answered: Vec<QueryKey>,
    is_dead: bool,
}

impl Agent {
    async fn run(
        mut self,
        mut calls: mpsc::Receiver<Call>,
        mut orders: mpsc::Receiver<Order>,
        stop: watch::Sender<bool>,
    ) {
        loop {
            tokio::select! {
                Some(call) = calls.recv() => if !self.is_dead { self.answer(call, &stop) },
                Some(order) = orders.recv() => self.obey(order),
                else => return,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let done = match order {
            Order::Publish(events, done) => {
                for event in &events {
                    self.streams.retain(|stream| stream.offer(event));
                }
                done
            }
            Order::Log(line, done) => {
                self.monitors.retain(|(_, feed)| feed.offer(line.clone()));
                done
            }
            Order::Die(done) => {
                self.is_dead = true;
                done
            }
        };
        let _ = done.send(());
    }

    fn publish(&mut self, event: StreamEvent) {
        let event = Arc::new(event);
        self.streams.retain(|stream| stream.offer(&event));
    }

    fn answer(&mut self, call: Call, stop: &watch::Sender<bool>) {
        match call {
            Call::Members { filter, reply } => {
                let matches = |member: &Member| filter.matches(&member.name, member.status, &member.tags);
                let _ = reply.send([member("lb1"), member("web1")].into_iter().filter(matches).collect());
            }
            Call::Join { addresses, replay: _, reply } => {
                let failed = |address: &&String| address.contains("127.0.0.29");
                let joined = addresses.iter().filter(|address| !failed(address)).count();
                let _ = reply.send(match addresses.iter().find(failed) {
                    Some(_) if joined == 0 => Err(JOIN_ERROR.into()),
                    _ => Ok(joined as u32),
                });
            }
            Call::Leave { reply } => {
                let _ = reply.send(Ok(()));
                stop.send_replace(true);
            }
            Call::ForceLeave { node, prune, reply } => {
                let alive = prune && node == "web1";
                let _ = reply.send(if alive { Err("web1 is alive and cannot be pruned".into()) } else { Ok(()) });
            }
            Call::Tags { set, delete, reply } => {
                self.tags.retain(|tag, _| !delete.contains(tag));
                self.tags.extend(set);
                let _ = reply.send(Ok(()));
            }
            Call::UserEvent { name, payload, coalesce, reply } => {
                let too_long = name.len() + payload.len() > 512;
                let error = "user event exceeds configured limit of 512 bytes before encoding";
                let _ = reply.send(if too_long { Err(error.into()) } else { Ok(()) });
                if name == ECHO {
                    self.publish(StreamEvent::User { ltime: 5, name, payload, coalesce });
                }
            }
            Call::Query { params, records, reply } => {
                Self::query(&params.name, params.ack, &records, reply);
                if params.name == ECHO {
                    self.publish(query(1, ECHO, Duration::from_secs(60)));
                }
            }
            Call::Respond { query, payload, reply } => {
                let _ = reply.send(if payload.len() > MAX_RESPONSE_BYTES {
                    Err(RespondError::TooLarge { limit: MAX_RESPONSE_BYTES })
                } else if self.answered.contains(&query) {
                    Err(RespondError::AlreadySent)
                } else {
                    self.answered.push(query);
                    Ok(())
                });
            }
            Call::Keys { op, reply } => {
                let _ = reply.send(keys(&op));
            }
            Call::Stats { reply } => {
                let agent = BTreeMap::from([("name".to_owned(), "lb1".to_owned())]);
                let _ =
                    reply.send(BTreeMap::from([("agent".to_owned(), agent), ("tags".to_owned(), self.tags.clone())]));
            }
            Call::Coordinate { node, reply } => {
                let _ = reply.send((node != "nope").then(|| coordinate(&node)));
            }
            Call::Subscribe { subscription } => self.streams.push(subscription),
            Call::Monitor { level, lines } => {
                let past = [(LogLevel::Debug, "old [DEBUG] agent: one"), (LogLevel::Info, "old [INFO] agent: two")];
                for (_, line) in past.iter().filter(|(of, _)| *of >= level) {
                    lines.offer((*line).into());
                }
                self.monitors.push((level, lines));
            }
            Call::Weir(Asked::Probe(Probe { members }, answer)) => {
                answer.send(Ok(Probed { silent: members, ..Probed::default() }));
            }
            Call::Weir(asked) => panic!("no test asks {asked:?}"),
        }
    }

    fn query(name: &str, ack: bool, records: &mpsc::Sender<QueryRecord>, reply: oneshot::Sender<Result<(), Refusal>>) {
        if name.starts_with("_serf_") && name != "_serf_ping" {
            let _ = reply.send(Err("Queries cannot contain the '_serf_' prefix".into()));
            return;
        }
        let _ = reply.send(Ok(()));
        let mut answers = Vec::new();
        if ack {
            answers.extend(["lb1", "web1"].map(|from| QueryRecord::Ack { from: from.to_owned() }));
        }
        if name != "_serf_ping" {
            answers.push(QueryRecord::Response { from: "web1".to_owned(), payload: Bytes::from_static(b"up\n") });
        }
        let broken = name == "broken";
        let records = records.clone();
        tokio::spawn(async move {
            if broken {
                // Neither a nameless answer nor a missing end may reach a client.
                answers.push(QueryRecord::Ack { from: String::new() });
            }
            for answer in answers {
                let _ = records.try_send(answer);
            }
            // A query is over when its time is. The real command line counts on that: it forgets answers that come with the end.
            tokio::time::sleep(QUERY_TIMEOUT).await;
            if !broken {
                let _ = records.try_send(QueryRecord::Done);
            }
        });
    }
}

pub(crate) const JOIN_ERROR: &str =
    "1 error occurred:\n\t* Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused\n\n";

pub(crate) fn member(name: &str) -> Member {
    let role = if name == "lb1" { "lb" } else { "web" };
    Member {
        name: name.to_owned(),
        addr: IpAddr::V4(Ipv4Addr::new(127, 0, 0, if name == "lb1" { 21 } else { 22 })),
        port: 7946,
        tags: Tags::from([("role".to_owned(), role.to_owned())]),
        status: Status::Alive,
        versions: Versions::OURS,
    }
}

fn coordinate(node: &str) -> Coordinate {
    let first = if node == "lb1" { 0.001 } else { 0.002 };
    Coordinate { vec: vec![first, 0., 0., 0., 0., 0., 0., 0.], error: 1.5, adjustment: 0., height: 1e-5 }
}

fn keys(op: &KeyOp) -> KeyReply {
    match op {
        KeyOp::List => KeyReply::from(KeyResponse {
            keys: Some(BTreeMap::from([("HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=".to_owned(), 2)])),
            nodes: 2,
            responses: 2,
            ..KeyResponse::default()
        }),
        KeyOp::Install(key) if key.len() == 32 => {
            KeyReply::from(KeyResponse { nodes: 2, responses: 2, ..KeyResponse::default() })
        }
        KeyOp::Install(_) | KeyOp::Use(_) | KeyOp::Remove(_) => {
            let refusal = |node: &str| (node.to_owned(), "Requested key is not in the keyring".to_owned());
            let messages = BTreeMap::from([refusal("lb1"), refusal("web1")]);
            KeyReply::from(KeyResponse { messages, keys: None, nodes: 2, errors: 2, responses: 2 })
        }
    }
}

/// A served agent. Everything ends with it.
pub(crate) struct Stage {
    _dir: tempfile::TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: String,
    orders: mpsc::Sender<Order>,
    counters: Arc<Counters>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) server: JoinHandle<()>,
}

impl Stage {
    /// Without a token.
    pub(crate) fn open() -> Self {
        Self::with(None)
    }

    pub(crate) fn with_token() -> Self {
        Self::with(Token::new(TOKEN.as_bytes()))
    }

    fn with(token: Option<Token>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("rpc.sock");
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(Options { socket: Some(socket.clone()), group: None, listen, token }).unwrap();
        let tcp = server.tcp_addr().unwrap().to_string();
        let counters = server.counters();
        let (calls, calls_in) = mpsc::channel(16);
        let (orders, orders_in) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Agent::default().run(calls_in, orders_in, stop.clone()));
        let server = tokio::spawn(server.run(calls, stopped));
        Self { _dir: dir, socket, tcp, orders, counters, stop, server }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(Counts) -> bool) {
        let reached = async {
            while !wanted(self.counts()) {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Instant::now() + Duration::from_secs(20);
        tokio::select! {
            () = reached => {}
            () = async { while std::time::Instant::now() < limit { tokio::task::yield_now().await } } => {
                panic!("counts stayed {:?}", self.counts())
            }
        }
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (done, obeyed) = oneshot::channel();
        self.orders.send(order(done)).await.ok().unwrap();
        obeyed.await.unwrap();
    }

    /// Hands events to every stream at once.
    pub(crate) async fn publish(&self, events: Vec<StreamEvent>) {
        self.order(|done| Order::Publish(events.into_iter().map(Arc::new).collect(), done)).await;
    }

    pub(crate) async fn log(&self, line: &str) {
        self.order(|done| Order::Log(line.into(), done)).await;
    }

    pub(crate) async fn die(&self) {
        self.order(Order::Die).await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&Address::Unix(self.socket.clone()), None).await.unwrap()
    }

    pub(crate) async fn raw(&self) -> Raw<UnixStream> {
        Raw::new(UnixStream::connect(&self.socket).await.unwrap())
    }

    /// A raw client that has shaken hands.
    pub(crate) async fn shaken(&self) -> Raw<UnixStream> {
        let mut raw = self.raw().await;
        raw.shake().await;
        raw
    }

    pub(crate) async fn raw_tcp(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(&self.tcp).await.unwrap())
    }
}

pub(crate) fn user(ltime: u64, name: &str) -> StreamEvent {
    StreamEvent::User { ltime, name: name.to_owned(), payload: Bytes::from_static(b"p"), coalesce: false }
}

pub(crate) fn query(id: u32, name: &str, remaining: Duration) -> StreamEvent {
    let key = QueryKey { ltime: LamportTime(19), id };
    StreamEvent::Query { key, name: name.to_owned(), payload: Bytes::new(), remaining }
}

/// A client that does as the test says.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    frames: Frames,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn shake(&mut self) {
        self.send(&Request::Handshake { version: 1, weir: false }.encode(0)).await;
        assert_eq!(self.header().await, (0, String::new()));
    }

    /// The next value; `None` at the end of the connection.
    pub(crate) async fn value(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.frames.is_ready(usize::MAX).unwrap() {
                return Some(self.frames.take().to_vec());
            }
            match self.stream.read_buf(self.frames.buffer()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next value as a header: number and error.
    pub(crate) async fn header(&mut self) -> (u64, String) {
        let header = ResponseHeader::decode(&self.value().await.expect("an answer")).unwrap();
        (header.seq, header.error)
    }

    /// Sends a request and reads its answer: the error and the body.
    pub(crate) async fn ask(&mut self, seq: u64, request: &Request) -> (String, Body) {
        self.send(&request.encode(seq)).await;
        self.answer(seq, &request.command()).await
    }

    pub(crate) async fn answer(&mut self, seq: u64, command: &Command) -> (String, Body) {
        let (answered, error) = self.header().await;
        assert_eq!(answered, seq);
        let body = if Body::follows(command, &error) {
            Body::decode(command, &self.value().await.expect("a body")).unwrap()
        } else {
            Body::Empty
        };
        (error, body)
    }

    /// Asserts that the server has hung up without another word.
    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.value().await, None);
    }
}
