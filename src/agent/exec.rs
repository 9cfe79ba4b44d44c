//! Event handler scripts as processes: a queue and a task per handler, a time limit, bounded output.
//!
//! A handler's runs follow each other in the order of the events; different handlers do not wait for each other, and the
//! loop waits for none (`handlers §7`). How a run ended comes back to the loop as a [`Ran`].

mod answers;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use self::answers::Answers;
use super::clock::{self, Calendar};
use super::process::{self, Outcome};
use crate::config::{Command as Program, Handler, Mode};
use crate::endpoint::Endpoint;
use crate::error::{Trouble, system_words};
use crate::handlers::{Local, Tail, environment, input, name, passes, serf_name};
use crate::outage::Outage;
use crate::serf::{Event, QueryKey, RespondError};
use crate::status::node;
use crate::time::{Instant, millis};

/// Reports of all handlers together that wait for the loop.
const REPORT_QUEUE: usize = 64;
/// One finished run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) handler: Arc<str>,
    /// `member-join`, `user:deploy`.
    pub(super) event: String,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    /// Its last bytes, standard output and standard error together.
    pub(super) output: Vec<u8>,
    /// Bytes before those.
    pub(super) lost: u64,
    /// The query it was run for.
    pub(super) query: Option<QueryKey>,
    /// What the asker of that query is to hear now.
    pub(super) answer: Option<Vec<u8>>,
}

impl Ran {
    /// What the script itself says to the asker: its output, if it succeeded.
    fn said(&self) -> Option<&[u8]> {
        (self.outcome == Outcome::Exited(0) && !self.output.is_empty()).then_some(&self.output)
    }

    /// Tells the operator how it went.
    pub(super) fn log(&self) {
        let elapsed_ms = millis(self.elapsed);
        let output = String::from_utf8_lossy(&self.output);
        let (handler, event) = (&*self.handler, &self.event);
        match &self.outcome {
            Outcome::Exited(0) => debug!(handler, event, elapsed_ms, %output, "handler ran"),
            Outcome::Exited(status) => warn!(handler, event, status, elapsed_ms, %output, "handler failed"),
            Outcome::Killed(signal) => warn!(handler, event, signal, elapsed_ms, %output, "handler was killed"),
            Outcome::TimedOut => warn!(handler, event, elapsed_ms, %output, "handler took too long and was ended"),
            Outcome::NotStarted(error) => warn!(handler, event, %error, "handler cannot be started"),
        }
        if self.lost > 0 {
            warn!(handler, event, lost_bytes = self.lost, "handler output is too long, its beginning was dropped");
        }
    }

    /// Sends the answer. One that is too large becomes a sentence, or the asker could not tell it from silence; one of which the
    /// beginning is lost is never passed off as a whole one.
    pub(super) fn respond(&self, now: Instant, endpoint: &mut Endpoint) {
        let (Some(query), Some(answer)) = (self.query, &self.answer) else { return };
        let lost = if self.said().is_some() { self.lost } else { 0 };
        let result = match lost {
            0 => endpoint.respond(now, &query, answer.clone().into()),
            _ => Err(RespondError::TooLarge { limit: endpoint.response_limit().min(Tail::HANDLER_BYTES) }),
        };
        let Err(error) = result else { return };
        let bytes = answer.len() as u64 + lost;
        warn!(handler = &*self.handler, event = self.event, bytes, %error, "handler's answer to a query was not sent");
        if let RespondError::TooLarge { limit } = error {
            let text =
                format!("error: the answer has {bytes} bytes, {limit} fit; send a reference and fetch the rest\n");
            // The limit is configurable down to less than a sentence; then silence it is.
            let _too_large_as_well = endpoint.respond(now, &query, text.into_bytes().into());
        }
    }
}

/// What `info` and metrics show of one handler.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct HandlerStats {
    pub(super) runs: u64,
    pub(super) failures: u64,
    /// Events that came while the queue was full.
    pub(super) dropped: u64,
    /// When the last of those came.
    pub(super) last_drop: Option<Instant>,
    pub(super) last: Option<Last>,
}

/// How a handler's last run went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Last {
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    pub(super) at: Instant,
}

#[derive(Debug)]
struct Entry {
    config: Arc<Handler>,
    jobs: mpsc::Sender<Job>,
    stats: HandlerStats,
    overflow: Outage,
}

impl Entry {
    /// Its queue has no room for an event.
    fn dropped(&mut self, event: &str) {
        self.stats.dropped += 1;
        self.stats.last_drop = Some(clock::now());
        if self.overflow.failed(tokio::time::Instant::now().into_std()) {
            warn!(
                handler = self.config.name,
                event,
                queue = self.config.queue,
                "handler is behind, events are dropped"
            );
        }
    }

    /// Its queue has room.
    fn caught_up(&mut self) {
        if let Some(dropped) = self.overflow.worked(tokio::time::Instant::now().into_std()) {
            warn!(handler = self.config.name, dropped, "handler has caught up, events were dropped");
        }
    }

    fn status(&self, calendar: &Calendar) -> node::Handler {
        let HandlerStats { runs, failures, dropped, last_drop, last } = &self.stats;
        node::Handler {
            name: self.config.name.clone(),
            on: self.config.on.iter().map(serf_name).collect(),
            command: match &self.config.command {
                Program::Argv(argv) => argv.join(" "),
                Program::Shell(line) => line.clone(),
            },
            runs: *runs,
            failures: *failures,
            dropped: *dropped,
            last_drop: last_drop.map(|at| calendar.moment(at)),
            last: last.as_ref().map(|last| node::LastRun {
                run: (&last.outcome).into(),
                elapsed_ms: millis(last.elapsed),
                at: Some(calendar.date(last.at)),
            }),
        }
    }
}

#[derive(Debug)]
struct Job {
    event: Arc<str>,
    environment: Arc<Vec<(String, String)>>,
    input: Arc<Vec<u8>>,
    query: Option<QueryKey>,
}

/// All configured handlers, in their order.
#[derive(Debug)]
pub(super) struct Handlers {
    entries: Vec<Entry>,
    answers: Answers,
    sender: mpsc::Sender<Ran>,
    receiver: mpsc::Receiver<Ran>,
}

impl Handlers {
    /// Must be called inside the runtime.
    pub(super) fn new(configs: &[Handler], mode: Mode) -> Self {
        let (sender, receiver) = mpsc::channel(REPORT_QUEUE);
        let mut handlers = Self { entries: Vec::new(), answers: Answers::new(mode), sender, receiver };
        handlers.replace(configs);
        handlers
    }

    /// Takes a new configuration. Handlers that stay as they are keep their queue and counters; the others finish what they
    /// were given.
    pub(super) fn replace(&mut self, configs: &[Handler]) {
        let mut before = std::mem::take(&mut self.entries);
        for config in configs {
            let kept = before.iter().position(|entry| *entry.config == *config);
            let entry = kept.map_or_else(|| self.start(config), |index| before.swap_remove(index));
            self.entries.push(entry);
        }
    }

    fn start(&self, config: &Handler) -> Entry {
        let config = Arc::new(config.clone());
        let (jobs, queue) = mpsc::channel(config.queue);
        tokio::spawn(serve(config.clone(), queue, self.sender.clone()));
        Entry { config, jobs, stats: HandlerStats::default(), overflow: Outage::default() }
    }

    /// Queues `event` for every handler whose filter it passes. A handler whose queue is full loses it, counted. Returns what
    /// the asker of a query is to hear at once, as none of its handlers has taken it.
    pub(super) fn dispatch(&mut self, event: &Event, local: Local<'_>) -> Option<(QueryKey, Vec<u8>)> {
        let mut shared = None;
        let query = match event {
            Event::Query(query) => Some(query.key),
            Event::Member { .. } | Event::User(_) => None,
        };
        for entry in self.entries.iter_mut().filter(|entry| passes(&entry.config.on, event)) {
            let (name, environment, input) = shared.get_or_insert_with(|| {
                (Arc::<str>::from(name(event)), Arc::new(environment(event, local)), Arc::new(input(event)))
            });
            let job = Job { event: name.clone(), environment: environment.clone(), input: input.clone(), query };
            if entry.jobs.try_send(job).is_ok() {
                self.answers.given(query);
                entry.caught_up();
            } else {
                self.answers.dropped(query, &entry.config.name, entry.config.queue);
                entry.dropped(name);
            }
        }
        Some((query?, self.answers.offered(query?)?))
    }

    /// The next finished run, counted. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Ran {
        let Some(mut ran) = self.receiver.recv().await else {
            return std::future::pending().await; // never: we hold a sender
        };
        ran.answer = self.answers.ended(&ran);
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.config.name == *ran.handler) {
            entry.stats.runs += 1;
            entry.stats.failures += u64::from(ran.outcome != Outcome::Exited(0));
            entry.stats.last = Some(Last { outcome: ran.outcome.clone(), elapsed: ran.elapsed, at: clock::now() });
        }
        ran
    }

    /// Each handler, in configured order.
    pub(super) fn status(&self, calendar: &Calendar) -> Vec<node::Handler> {
        self.entries.iter().map(|entry| entry.status(calendar)).collect()
    }
}

/// One handler's runs, one after another, until nobody can give it more.
async fn serve(config: Arc<Handler>, mut queue: mpsc::Receiver<Job>, reports: mpsc::Sender<Ran>) {
    let name: Arc<str> = config.name.as_str().into();
    while let Some(job) = queue.recv().await {
        let started = clock::now();
        let mut tail = Tail::new(Tail::HANDLER_BYTES);
        let (event, query) = (job.event.to_string(), job.query);
        let Job { environment, input, .. } = job;
        let (program, timeout) = (config.command.clone(), config.timeout);
        // It may be what ends the agent.
        let task = process::Task { program, environment, input, timeout, may_outlive_us: true };
        let slow = || warn!(handler = &*name, event, "handler is slow, still running after 1 s");
        let outcome = match process::run(task, &mut tail, slow).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::NotStarted(Trouble::new(system_words(&error), "")),
        };
        let lost = tail.lost();
        let ran = Ran {
            handler: name.clone(),
            event,
            outcome,
            elapsed: clock::now().since(started),
            output: tail.into_bytes(),
            lost,
            query,
            answer: None,
        };
        if reports.send(ran).await.is_err() {
            return; // the agent has ended
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
