//! The tasks that turn what a client subscribed to into records (`rpc §4, §5, §6`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::counters::{Counters, count};
use super::pending::Pending;
use crate::rpc::call::StreamEvent;
use crate::rpc::feed::{Fed, Tail};
use crate::rpc::proto::record;
use crate::rpc::proto::{LogRecord, QueryRecord};

/// Gaps of one subscriber are logged no more often than this.
const GAP_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A running task that ends with this value.
#[derive(Debug)]
pub(super) struct Pump(Option<JoinHandle<()>>);

impl Pump {
    pub(super) fn new(task: JoinHandle<()>) -> Self {
        Self(Some(task))
    }

    /// Ends the task and waits until it has: what it queued was queued before this returns.
    pub(super) async fn stop(mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            // Cancelled or finished, both are what was wanted.
            let _ = task.await;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Where records of one subscription go.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) seq: u64,
    pub(super) client: Arc<str>,
    pub(super) outbox: mpsc::Sender<Vec<u8>>,
}

impl Sink {
    /// `false` if the connection is gone.
    async fn send(&self, message: Vec<u8>) -> bool {
        self.outbox.send(message).await.is_ok()
    }
}

/// Gaps not yet logged.
#[derive(Debug, Default)]
struct Gaps {
    missed: u64,
    last_log: Option<Instant>,
}

impl Gaps {
    fn add(&mut self, missed: u64) {
        self.missed += missed;
    }

    /// The number to log, when it is time for that.
    fn due(&mut self, now: Instant) -> Option<u64> {
        let waited = self.last_log.is_none_or(|last| now.duration_since(last) >= GAP_LOG_INTERVAL);
        if self.missed == 0 || !waited {
            return None;
        }
        self.last_log = Some(now);
        Some(std::mem::take(&mut self.missed))
    }
}

/// Events of one stream. `tell` if the client asked to learn what it misses.
pub(super) async fn events(sink: Sink, mut tail: Tail<Arc<StreamEvent>>, pending: Pending, tell: bool) {
    let (mut held, mut gaps) = (None, Gaps::default());
    while let Some(fed) = tail.next(&mut held).await {
        let message = match fed {
            Fed::Item(event) => Some(encode_event(sink.seq, &event, &pending)),
            Fed::Missed(missed) => {
                gaps.add(missed);
                tell.then(|| record::encode_missed(sink.seq, missed))
            }
        };
        if let Some(missed) = gaps.due(Instant::now()) {
            warn!(client = %sink.client, stream = sink.seq, missed, "dropping events to slow rpc client");
        }
        if let Some(message) = message
            && !sink.send(message).await
        {
            return;
        }
    }
}

fn encode_event(seq: u64, event: &StreamEvent, pending: &Pending) -> Vec<u8> {
    match event {
        StreamEvent::Member { kind, members } => record::encode_members(seq, *kind, members),
        StreamEvent::User { ltime, name, payload, coalesce } => {
            record::encode_user(seq, *ltime, name, payload, *coalesce)
        }
        StreamEvent::Query { key, name, payload, remaining } => {
            let id = pending.add(Instant::now(), *key, *remaining);
            record::encode_query(seq, id, key.ltime.get(), name, payload)
        }
    }
}

/// Log lines of one monitor. Gaps become lines: any client can show those.
pub(super) async fn lines(sink: Sink, mut tail: Tail<Arc<str>>) {
    let mut held = None;
    while let Some(fed) = tail.next(&mut held).await {
        let message = match fed {
            Fed::Item(line) => LogRecord::encode(sink.seq, &line),
            Fed::Missed(missed) => LogRecord::encode(
                sink.seq,
                &format!("[WARN] agent.ipc: {missed} log lines dropped here, this client reads too slowly"),
            ),
        };
        if !sink.send(message).await {
            return;
        }
    }
}

/// Answers to one query, and `done` as the last record whatever happens.
pub(super) async fn answers(sink: Sink, mut records: mpsc::Receiver<QueryRecord>, counters: Arc<Counters>) {
    while let Some(answer) = records.recv().await {
        match &answer {
            // Clients take a nameless answer for the end.
            QueryRecord::Ack { from } | QueryRecord::Response { from, .. } if from.is_empty() => {
                count(&counters.missed_answers);
            }
            QueryRecord::Ack { .. } | QueryRecord::Response { .. } => {
                if !sink.send(answer.encode(sink.seq)).await {
                    return;
                }
            }
            QueryRecord::Done => break,
        }
    }
    // If the connection is gone, so is the need.
    sink.send(QueryRecord::Done.encode(sink.seq)).await;
}
