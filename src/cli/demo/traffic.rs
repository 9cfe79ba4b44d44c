//! Requests through the balancer, each on a connection of its own, and what became of them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Clients at work.
const CLIENTS: usize = 4;
/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(9);
/// After this long a client gives up.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that the bars on the screen show.
const RECENT: usize = 400;
/// Largest answer that a client reads.
const MAX_ANSWER: u64 = 16 * 1024;

/// Counts of one step.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Answers by server.
    pub(super) answered_by: BTreeMap<String, u64>,
    /// Why requests failed, and how often.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failures: BTreeMap<String, u64>,
    /// The slowest answer.
    pub(super) slowest_ms: u64,
}

/// One request's end.
#[derive(Debug)]
struct Ended {
    started: Instant,
    took: Duration,
    /// The server's name, or why there was no answer.
    result: Result<String, String>,
}

/// The clients and their books.
#[derive(Debug)]
pub(super) struct Traffic {
    front: SocketAddr,
    clients: JoinSet<()>,
    ended: mpsc::Receiver<Ended>,
    report: mpsc::Sender<Ended>,
    /// When each step began, in order.
    steps: Vec<(&'static str, Instant)>,
    by_step: BTreeMap<&'static str, Counts>,
    recent: VecDeque<Result<String, ()>>,
    started: Option<Instant>,
}

impl Traffic {
    pub(super) fn new(front: SocketAddr) -> Self {
        let (report, ended) = mpsc::channel(1024);
        Self {
            front,
            clients: JoinSet::new(),
            ended,
            report,
            steps: Vec::new(),
            by_step: BTreeMap::new(),
            recent: VecDeque::new(),
            started: None,
        }
    }

    /// Requests that start from now on belong to `step`.
    pub(super) fn begin(&mut self, step: &'static str) {
        self.steps.push((step, Instant::now()));
        self.by_step.entry(step).or_default();
    }

    /// Sets the clients to work; a second call changes nothing.
    pub(super) fn start(&mut self) {
        if self.started.is_none() {
            self.started = Some(Instant::now());
            for _ in 0..CLIENTS {
                self.clients.spawn(client(self.front, self.report.clone()));
            }
        }
    }

    /// Books what has ended since the last call.
    pub(super) fn collect(&mut self) {
        while let Ok(ended) = self.ended.try_recv() {
            self.book(ended);
        }
    }

    /// Ends the clients once their requests have.
    pub(super) async fn stop(&mut self) {
        self.ended.close();
        while let Some(ended) = self.ended.recv().await {
            self.book(ended);
        }
        self.clients.shutdown().await;
    }

    pub(super) fn of(&self, step: &str) -> Counts {
        self.by_step.get(step).cloned().unwrap_or_default()
    }

    pub(super) fn requests(&self) -> u64 {
        self.by_step.values().map(|counts| counts.requests).sum()
    }

    pub(super) fn failed(&self) -> u64 {
        self.by_step.values().map(|counts| counts.failed).sum()
    }

    /// Requests per second since the clients started.
    pub(super) fn rate(&self) -> f64 {
        self.started.map_or(0.0, |started| self.requests() as f64 / started.elapsed().as_secs_f64().max(0.1))
    }

    /// The share of the last answers that `server` gave.
    pub(super) fn share(&self, server: &str) -> f64 {
        let from = self.recent.iter().filter(|answer| answer.as_deref() == Ok(server)).count();
        from as f64 / self.recent.len().max(1) as f64
    }

    fn book(&mut self, ended: Ended) {
        let step =
            self.steps.iter().rev().find(|(_, began)| *began <= ended.started).map_or("start", |(step, _)| *step);
        let counts = self.by_step.entry(step).or_default();
        counts.requests += 1;
        counts.slowest_ms = counts.slowest_ms.max(u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX));
        match &ended.result {
            Ok(server) => *counts.answered_by.entry(server.clone()).or_default() += 1,
            Err(why) => {
                counts.failed += 1;
                *counts.failures.entry(why.clone()).or_default() += 1;
            }
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(ended.result.map_err(|_| ()));
    }
}

/// Asks again and again until nobody wants to know the result.
async fn client(front: SocketAddr, report: mpsc::Sender<Ended>) {
    loop {
        let started = Instant::now();
        let result = match tokio::time::timeout(TIMEOUT, request(front)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("no answer within 5 s".to_owned()),
        };
        let ended = Ended { started, took: started.elapsed(), result };
        if report.send(ended).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a request brought no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{}", .0.kind())]
    Io(#[from] std::io::Error),
    #[error("status {0}")]
    Status(String),
    #[error("empty answer")]
    Empty,
}

/// One request on a new connection; the name of the server that answered.
pub(super) async fn request(front: SocketAddr) -> Result<String, RequestError> {
    let mut stream = TcpStream::connect(front).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: weir.demo\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).unwrap_or("missing");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    match (status, body) {
        ("200", Some(server)) if !server.is_empty() => Ok(server.to_owned()),
        ("200", _) => Err(RequestError::Empty),
        (status, _) => Err(RequestError::Status(status.to_owned())),
    }
}
