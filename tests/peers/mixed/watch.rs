//! What an agent tells its subscribers, gathered by a thread; and questions with all their answers.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use weir::rpc::client::{Client, Record};
use weir::rpc::proto::{EventRecord, QueryRecord};
use weir::serf::{MemberEventKind, QueryParams};

use crate::support::until;

/// Runs an async story to its end on a runtime of its own.
pub(crate) fn run<F: Future>(story: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story)
}

pub(crate) async fn connect(rpc: &str) -> Client {
    Client::connect(&rpc.parse().unwrap(), None).await.unwrap_or_else(|error| panic!("{rpc}: {error}"))
}

/// Subscribed to an agent's events until dropped. Answers each query with the agent's name and the payload.
pub(crate) struct Watcher {
    pub(crate) name: String,
    seen: Arc<Mutex<Vec<EventRecord>>>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Returns once it is subscribed. `rpc` is an address or `unix:PATH`.
    pub(crate) fn start(name: &str, rpc: &str) -> Self {
        let (seen, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Notify>::default());
        let (ready, mut subscribed) = mpsc::channel(1);
        let thread = {
            let (name, rpc) = (name.to_owned(), rpc.to_owned());
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || run(watch(&name, &rpc, &seen, &stop, ready)))
        };
        subscribed.blocking_recv().expect("it subscribes");
        Self { name: name.to_owned(), seen, stop, thread: Some(thread) }
    }

    /// Names and payloads of the user events so far, sorted.
    pub(crate) fn events(&self) -> Vec<(String, Bytes)> {
        let seen = self.seen.lock().unwrap();
        let mut events: Vec<_> = seen
            .iter()
            .filter_map(|event| match event {
                EventRecord::User { name, payload, .. } => Some((name.clone(), payload.clone())),
                _ => None,
            })
            .collect();
        events.sort();
        events
    }

    /// What was told of a member so far, in its order.
    pub(crate) fn told_of(&self, member: &str) -> Vec<MemberEventKind> {
        let seen = self.seen.lock().unwrap();
        let told = seen.iter().filter_map(|event| match event {
            EventRecord::Member { kind, members } => members.iter().any(|about| about.name == member).then_some(*kind),
            _ => None,
        });
        told.collect()
    }

    /// The names of the queries so far, in their order.
    pub(crate) fn queries(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let queries = seen.iter().filter_map(|event| match event {
            EventRecord::Query { name, .. } => Some(name.clone()),
            _ => None,
        });
        queries.collect()
    }

    /// Waits until an event of this name came.
    pub(crate) fn await_event(&self, name: &str) {
        until(&format!("{} hears of {name}", self.name), || {
            let events = self.events();
            if events.iter().any(|(heard, _)| heard == name) { Ok(()) } else { Err(format!("{events:?}")) }
        });
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the watcher of {} failed", self.name);
        }
    }
}

async fn watch(name: &str, rpc: &str, seen: &Mutex<Vec<EventRecord>>, stop: &Notify, ready: mpsc::Sender<()>) {
    let mut client = connect(rpc).await;
    client.stream("*").await.unwrap();
    ready.send(()).await.unwrap();
    loop {
        let pushed = tokio::select! {
            pushed = client.next() => pushed,
            () = stop.notified() => return,
        };
        // The agent was killed, which is what some tests are about.
        let Ok(pushed) = pushed else { return };
        let Record::Event(event) = pushed.record else { continue };
        seen.lock().unwrap().push(event.clone());
        if let EventRecord::Query { id, payload, .. } = event {
            let answer = answer(name, &payload);
            client.respond(id, answer).await.unwrap_or_else(|error| panic!("{name} cannot answer: {error}"));
        }
    }
}

/// What the watcher of `name` answers to a query with this payload.
pub(crate) fn answer(name: &str, payload: &[u8]) -> Bytes {
    [name.as_bytes(), b": ", payload].concat().into()
}

/// Everything that came back, each kind sorted.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Answers {
    pub(crate) acks: Vec<String>,
    pub(crate) responses: Vec<(String, Bytes)>,
}

/// Asks through one agent and waits for the end of the query, repetitions included.
///
/// Queries that share `turn` begin one after the other: Serf can give two that begin at once the same time, and then hears
/// the answers of one only.
pub(crate) fn ask(rpc: &str, params: QueryParams, turn: &tokio::sync::Mutex<()>) -> Answers {
    run(async {
        let mut client = connect(rpc).await;
        let name = params.name.clone();
        let begins = turn.lock().await;
        client.query(params).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(begins);
        let mut answers = Answers::default();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(60), client.next()).await;
            let pushed = next.expect("a query ends").unwrap();
            match pushed.record {
                Record::Answer(QueryRecord::Ack { from }) => answers.acks.push(from),
                Record::Answer(QueryRecord::Response { from, payload }) => answers.responses.push((from, payload)),
                Record::Answer(QueryRecord::Done) => break,
                Record::Event(_) | Record::Line(_) => {}
            }
        }
        answers.acks.sort();
        answers.responses.sort();
        answers
    })
}
