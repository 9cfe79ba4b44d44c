//! A stand-in for an agent: the real RPC server, with answers from a script.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use weir::rpc::call::{Call, KeyReply, StreamEvent};
use weir::rpc::proto::{KeyResponse, Member, QueryRecord, Stats, Status};
use weir::rpc::refusal::{Kind, Refusal};
use weir::rpc::server::{Options, Server, Token};
use weir::rpc::weir::{self as ours, Asked, Request};
use weir::serf::{KeyOp, MemberEventKind, QueryKey, QueryParams, filter};
use weir::wire::message::Versions;
use weir::wire::serf::Coordinate;

/// Answers one of weir's own commands: its name and document.
pub(crate) type Answer = fn(&str, &str) -> Result<String, Refusal>;

/// What the stand-in pretends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) members: Vec<Member>,
    pub(crate) stats: Stats,
    /// What TCP clients must show.
    pub(crate) token: Option<String>,
    /// Keys and how many members hold each; `None` in a cluster without encryption.
    pub(crate) keys: Option<BTreeMap<String, u64>>,
    /// Members that do not acknowledge.
    pub(crate) silent: BTreeSet<String>,
    /// What commands of ours are answered, if not the usual.
    pub(crate) about_ours: Option<Answer>,
}

/// A running stand-in. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) tcp: SocketAddr,
    pub(crate) socket: PathBuf,
    dir: Arc<tempfile::TempDir>,
    stop: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(script: Script) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a directory")), script)
    }

    /// Ends, and leaves the place to the one that [`Self::start_in`] starts there.
    pub(crate) fn stop(self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.dir)
    }

    pub(crate) fn start_in(dir: Arc<tempfile::TempDir>, script: Script) -> Self {
        let socket = dir.path().join("rpc.sock");
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let options = Options {
            socket: Some(socket.clone()),
            group: None,
            listen: Some("127.0.0.1:0".parse().expect("an address")),
            token: script.token.as_ref().and_then(|token| Token::new(token.as_bytes())),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(options).expect("port 0 and a fresh socket are free");
                ready.send(server.tcp_addr().expect("it listens")).expect("the test waits");
                let (calls, received) = mpsc::channel(16);
                tokio::join!(server.run(calls, stopped), answer_all(script, received));
            });
        });
        let tcp = is_ready.recv().expect("the server starts");
        Self { tcp, socket, dir, stop: Some(stop), thread: Some(thread) }
    }

    /// A directory of this stand-in's.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stand-in failed");
        }
    }
}

async fn answer_all(mut script: Script, mut calls: mpsc::Receiver<Call>) {
    while let Some(call) = calls.recv().await {
        script.answer(call);
    }
}

/// The receiver may be gone: a client that has its answer closes.
fn reply<T>(to: tokio::sync::oneshot::Sender<T>, value: T) {
    drop(to.send(value));
}

impl Script {
    fn answer(&mut self, call: Call) {
        match call {
            Call::Members { filter, reply: to } => {
                let wanted = |member: &&Member| filter.matches(&member.name, member.status, &member.tags);
                reply(to, self.members.iter().filter(wanted).cloned().collect());
            }
            Call::Join { addresses, reply: to, .. } => reply(to, join(&addresses)),
            Call::Leave { reply: to } => reply(to, Ok(())),
            Call::ForceLeave { node, prune, reply: to } => {
                self.force_leave(&node, prune);
                reply(to, Ok(()));
            }
            Call::Tags { set, reply: to, .. } => {
                let is_large = set.values().any(|value| value.len() > 400);
                let refusal = Refusal::new("Encoded length of tags exceeds limit of 512 bytes")
                    .of_kind(Kind::TooLarge { limit: 512, encoded: true });
                reply(to, if is_large { Err(refusal) } else { Ok(()) });
            }
            Call::UserEvent { name, payload, reply: to, .. } => reply(to, event(name.len() + payload.len())),
            Call::Query { params, records, reply: to } => reply(to, self.query(&params, &records)),
            Call::Keys { op, reply: to } => reply(to, self.keys(&op)),
            Call::Stats { reply: to } => reply(to, self.stats.clone()),
            Call::Coordinate { node, reply: to } => {
                let is_known = self.members.iter().any(|member| member.name == node);
                reply(to, is_known.then(|| coordinate(&node)));
            }
            Call::Subscribe { subscription } => {
                for event in self.events() {
                    subscription.offer(&event.into());
                }
            }
            Call::Monitor { lines, .. } => {
                lines.offer("2026/11/23 00:15:02 [INFO] agent: Serf agent starting".into());
            }
            Call::Weir(asked) => self.ours(asked),
            Call::Respond { .. } => panic!("the command line answers no queries"),
        }
    }

    fn ours(&self, asked: Asked) {
        match asked {
            Asked::Reload(request, to) => self.by_script(&request, to),
            Asked::OnStop(request, to) => self.by_script(&request, to),
            Asked::Join(request, to) => to.send(Ok(join_each(&request.addresses))),
            Asked::Status(request, to) => self.by_script(&request, to),
            Asked::CheckSet(request, to) => self.by_script(&request, to),
            Asked::Health(request, to) => self.by_script(&request, to),
            Asked::Probe(request, to) => self.by_script(&request, to),
            Asked::KeysStatus(request, to) => self.by_script(&request, to),
            Asked::KeysRotate(request, to) => self.by_script(&request, to),
            Asked::KeysProgress(request, to) => self.by_script(&request, to),
            Asked::KeysImport(request, to) => self.by_script(&request, to),
            Asked::UpstreamHistory(request, to) => self.by_script(&request, to),
            Asked::UpstreamDiff(request, to) => self.by_script(&request, to),
            Asked::UpstreamHold(request, to) => self.by_script(&request, to),
            Asked::UpstreamRelease(request, to) => self.by_script(&request, to),
            Asked::UpstreamRollback(request, to) => self.by_script(&request, to),
            Asked::UpstreamWanted(request, to) => self.by_script(&request, to),
            Asked::Drain(request, to) => self.by_script(&request, to),
            Asked::Leave(request, to) => self.by_script(&request, to),
            Asked::LeaveProgress(request, to) => self.by_script(&request, to),
            Asked::UpstreamExplain(request, to) => self.by_script(&request, to),
            Asked::UpstreamPlan(request, to) => self.by_script(&request, to),
        }
    }

    fn by_script<R: Request>(&self, request: &R, to: ours::Answer<R>) {
        let document = serde_json::to_string(request).expect("a document");
        let told = self.about_ours.unwrap_or(usual)(R::NAME, &document);
        to.send(told.map(|document| serde_json::from_str(&document).expect("an answer to this request")));
    }

    /// A failed member leaves, a live one refutes it.
    fn force_leave(&mut self, node: &str, prune: bool) {
        if prune {
            self.members.retain(|member| member.name != node);
        }
        let failed = self.members.iter_mut().find(|member| member.name == node && member.status == Status::Failed);
        if let Some(member) = failed {
            member.status = Status::Left;
        }
    }

    fn query(&self, params: &QueryParams, records: &mpsc::Sender<QueryRecord>) -> Result<(), Refusal> {
        if params.name != "_serf_ping" && params.name.starts_with("_serf_") {
            return Err("Queries cannot contain the '_serf_' prefix".into());
        }
        if params.payload.len() > 900 {
            return Err("query exceeds limit of 1024 bytes".into());
        }
        // Unlike those of `members`, these patterns match anywhere.
        let pattern = |(tag, pattern): (&String, &String)| {
            (tag.clone(), filter::compile(pattern).expect("tests ask well-formed questions"))
        };
        let tags: Vec<_> = params.tags.iter().map(pattern).collect();
        for member in self.members.iter().filter(|member| member.status == Status::Alive) {
            let is_asked = params.nodes.is_empty() || params.nodes.contains(&member.name);
            let fits =
                |(tag, regex): &(String, regex::Regex)| regex.is_match(member.tags.get(tag).map_or("", |value| value));
            if !is_asked || !tags.iter().all(fits) {
                continue;
            }
            let from = member.name.clone();
            if params.ack && !self.silent.contains(&from) {
                records.try_send(QueryRecord::Ack { from: from.clone() }).expect("the queue is long");
            }
            if let Some(payload) = response(&params.name, &from) {
                let payload = payload.to_owned().into();
                records.try_send(QueryRecord::Response { from, payload }).expect("the queue is long");
            }
        }
        records.try_send(QueryRecord::Done).expect("the queue is long");
        Ok(())
    }

    fn keys(&mut self, op: &KeyOp) -> KeyReply {
        let nodes = u32::try_from(self.members.len()).expect("few members");
        let mut response = KeyResponse { nodes, responses: nodes, ..KeyResponse::default() };
        let primary = "GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=";
        let material = |bytes: &[u8]| base64(bytes);
        let refusal = match (&self.keys, op) {
            (None, KeyOp::List) => Some("Keyring is empty (encryption not enabled)"),
            (None, _) => Some("No keyring to modify (encryption not enabled)"),
            (Some(_), KeyOp::Install(key)) if key.len() < 16 => Some("key size must be 16, 24 or 32 bytes"),
            (Some(_), KeyOp::Remove(key)) if material(key) == primary => {
                Some("Removing the primary key is not allowed")
            }
            (Some(keys), KeyOp::Use(key)) if !keys.contains_key(&material(key)) => {
                Some("Requested key is not in the keyring")
            }
            (Some(keys), KeyOp::List) => {
                response.keys = Some(keys.clone());
                None
            }
            (Some(_), _) => None,
        };
        if let Some(text) = refusal {
            response.errors = nodes;
            response.messages = self.members.iter().map(|member| (member.name.clone(), text.to_owned())).collect();
        }
        response.into()
    }

    fn events(&self) -> Vec<StreamEvent> {
        vec![
            StreamEvent::Member { kind: MemberEventKind::Join, members: self.members[..1].to_vec() },
            StreamEvent::User { ltime: 2, name: "deploy".into(), payload: "v1".into(), coalesce: true },
            StreamEvent::User { ltime: 200, name: "empty".into(), payload: "".into(), coalesce: false },
            StreamEvent::Query {
                key: QueryKey { ltime: weir::wire::serf::LamportTime(1), id: 7 },
                name: "uptime".into(),
                payload: "\x1b[2J".into(),
                remaining: std::time::Duration::from_secs(60),
            },
        ]
    }
}

fn base64(bytes: &[u8]) -> String {
    weir::crypto::Key::new(bytes).map_or_else(|_| String::new(), |key| key.to_base64().to_string())
}

fn join(addresses: &[String]) -> Result<u32, Refusal> {
    let reached = addresses.iter().filter(|address| !address.starts_with("127.0.0.29")).count();
    if reached == 0 {
        let reason = "Failed to join 127.0.0.29: dial tcp 127.0.0.29:7946: connect: connection refused";
        return Err(format!("1 error occurred:\n\t* {reason}\n\n").into());
    }
    Ok(u32::try_from(reached).expect("few addresses"))
}

/// 127.0.0.29 is a host without an agent.
fn join_each(addresses: &[String]) -> ours::Joined {
    let (failed, reached): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.starts_with("127.0.0.29"));
    let missed = |address: &&String| ours::Missed {
        address: (*address).clone(),
        error: "nothing listens on 127.0.0.29:7946".to_owned(),
        remedy: Some("start weir there, or correct the port".to_owned()),
    };
    let contacted = u32::try_from(reached.len()).expect("few addresses");
    ours::Joined { contacted, failed: failed.iter().map(missed).collect() }
}

fn event(bytes: usize) -> Result<(), Refusal> {
    match bytes {
        0..500 => Ok(()),
        500..=512 => Err(Refusal::new("encoded user event exceeds configured limit of 512 bytes after encoding")
            .of_kind(Kind::TooLarge { limit: 512, encoded: true })),
        _ => Err(Refusal::new("user event exceeds configured limit of 512 bytes before encoding")
            .of_kind(Kind::TooLarge { limit: 512, encoded: false })),
    }
}

fn response(query: &str, from: &str) -> Option<&'static str> {
    match (query, from) {
        ("uptime" | "big" | "fail", "lb1") => Some("out-line-1 from lb1\n"),
        ("uptime", "web2") => Some("up\n"),
        ("all", _) => Some("\x1b[31mred\n"),
        _ => None,
    }
}

/// 0.928 ms between any two.
fn coordinate(node: &str) -> Coordinate {
    let height = if node == "lb1" { 0.000_528 } else { 0.000_4 };
    Coordinate { vec: vec![0.0; 8], error: 0.1, adjustment: 0.0, height }
}

fn usual(command: &str, document: &str) -> Result<String, Refusal> {
    match (command, document) {
        ("weir-reload", r#"{"dry_run":true}"#) => Err(Refusal {
            details: vec!["weir.toml:3:1: unknown key 'x'".into()],
            ..Refusal::new("1 mistake in 1 file")
                .with_remedy("the running agent keeps its configuration")
                .of_kind(Kind::Configuration)
        }),
        ("weir-reload", _) => Ok(r#"{"changes":[
            {"key":"log.level","before":"\"info\"","after":"\"debug\"","when":"live"},
            {"key":"gossip.bind","before":"\"0.0.0.0:7946\"","after":null,"when":"restart"}]}"#
            .into()),
        ("weir-status", r#"{"members":true}"#) => Ok(r#"{"members":[
            {"name":"lb1","addr":"127.0.0.1:7946","status":"alive","since":"2026-11-23T13:03:39Z"}]}"#
            .into()),
        ("weir-leave", _) => Ok(r#"{"story":1}"#.into()),
        ("weir-leave-progress", _) => Ok(r#"{"lines":[{"kind":"left"}],"ended":true}"#.into()),
        _ => Err("Unsupported command".into()),
    }
}

/// A member in `status`, with the versions of all of today's agents.
pub(crate) fn member(name: &str, host: u8, status: Status, tags: &[(&str, &str)]) -> Member {
    Member {
        name: name.to_owned(),
        addr: IpAddr::from([127, 0, 0, host]),
        port: 7946,
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        status,
        versions: Versions([1, 5, 2, 2, 5, 5]),
    }
}
