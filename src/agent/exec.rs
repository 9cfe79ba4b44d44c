//! Event handler scripts as processes: a queue and a task per handler, a time limit, bounded output.
//!
//! A handler's runs follow each other in the order of the events; different handlers do not wait for each other, and the
//! loop waits for none (`handlers §7`). How a run ended comes back to the loop as a [`Ran`].

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::clock::{self, Calendar};
use crate::config::{Command as Program, Handler};
use crate::endpoint::Endpoint;
use crate::handlers::{Local, Tail, environment, input, name, passes, serf_name};
use crate::serf::{Event, QueryKey, RespondError};
use crate::status::node;
use crate::time::{Instant, millis};

/// Between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// A script that takes longer is mentioned while it still runs.
const SLOW: Duration = Duration::from_secs(1);
/// How long output of a background child is still read after the script itself has ended.
const LINGER: Duration = Duration::from_millis(250);
/// Reports of all handlers together that wait for the loop.
const REPORT_QUEUE: usize = 64;
/// What systemd tells the agent is not meant for its children.
const NOT_FOR_CHILDREN: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Exited(i32),
    Killed(i32),
    /// Took longer than its limit; its process group is gone.
    TimedOut,
    NotStarted(String),
}

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
    /// The query it may answer.
    pub(super) query: Option<QueryKey>,
}

impl Ran {
    /// What to answer: the output, if the script succeeded and said anything.
    fn answer(&self) -> Option<(QueryKey, &[u8])> {
        let answers = self.outcome == Outcome::Exited(0) && !self.output.is_empty();
        answers.then_some((self.query?, &self.output))
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

    /// Sends what the script said. An answer that is too large becomes a sentence, or the asker could not tell it from silence;
    /// one of which the beginning is lost is never passed off as a whole one.
    pub(super) fn respond(&self, now: Instant, endpoint: &mut Endpoint) {
        let Some((query, answer)) = self.answer() else { return };
        let result = match self.lost {
            0 => endpoint.respond(now, &query, answer.to_vec().into()),
            _ => Err(RespondError::TooLarge { limit: endpoint.response_limit().min(Tail::HANDLER_BYTES) }),
        };
        let Err(error) = result else { return };
        let bytes = answer.len() as u64 + self.lost;
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
}

impl Entry {
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

impl From<&Outcome> for node::Run {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited(status) => Self::Exited { status: *status },
            Outcome::Killed(signal) => Self::Killed { signal: *signal },
            Outcome::TimedOut => Self::TimedOut,
            Outcome::NotStarted(error) => Self::NotStarted { error: error.clone() },
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
    sender: mpsc::Sender<Ran>,
    receiver: mpsc::Receiver<Ran>,
}

impl Handlers {
    /// Must be called inside the runtime.
    pub(super) fn new(configs: &[Handler]) -> Self {
        let (sender, receiver) = mpsc::channel(REPORT_QUEUE);
        let mut handlers = Self { entries: Vec::new(), sender, receiver };
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
        Entry { config, jobs, stats: HandlerStats::default() }
    }

    /// Queues `event` for every handler whose filter it passes. A handler whose queue is full loses it, counted.
    pub(super) fn dispatch(&mut self, event: &Event, local: Local<'_>) {
        let mut shared = None;
        for entry in self.entries.iter_mut().filter(|entry| passes(&entry.config.on, event)) {
            let (name, environment, input) = shared.get_or_insert_with(|| {
                (Arc::<str>::from(name(event)), Arc::new(environment(event, local)), Arc::new(input(event)))
            });
            let query = match event {
                Event::Query(query) => Some(query.key),
                Event::Member { .. } | Event::User(_) => None,
            };
            let job = Job { event: name.clone(), environment: environment.clone(), input: input.clone(), query };
            if entry.jobs.try_send(job).is_err() {
                entry.stats.dropped += 1;
                entry.stats.last_drop = Some(clock::now());
                if entry.stats.dropped.is_power_of_two() {
                    let (handler, dropped) = (&entry.config.name, entry.stats.dropped);
                    warn!(handler, event = &**name, dropped, "handler queue full, events dropped");
                }
            }
        }
    }

    /// The next finished run, counted. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Ran {
        let Some(ran) = self.receiver.recv().await else {
            return std::future::pending().await; // never: we hold a sender
        };
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
        let outcome = match run(&config, &job, &mut tail).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::NotStarted(error.to_string()),
        };
        let lost = tail.lost();
        let ran = Ran {
            handler: name.clone(),
            event: job.event.to_string(),
            outcome,
            elapsed: clock::now().since(started),
            output: tail.into_bytes(),
            lost,
            query: job.query,
        };
        if reports.send(ran).await.is_err() {
            return; // the agent has ended
        }
    }
}

async fn run(config: &Handler, job: &Job, tail: &mut Tail) -> io::Result<Outcome> {
    let (mut child, output) = start(&config.command, job)?;
    let limit = tokio::time::sleep(config.timeout);
    tokio::pin!(limit);
    let finished = tokio::select! {
        status = attend(&mut child, output, &job.input, tail, &config.name) => Some(status?),
        () = &mut limit => None,
    };
    match finished {
        Some(status) => Ok(outcome(status)),
        None => {
            end_group(&mut child).await?;
            Ok(Outcome::TimedOut)
        }
    }
}

/// Starts the program in a process group of its own; both its outputs are one pipe.
fn start(program: &Program, job: &Job) -> io::Result<(Child, pipe::Receiver)> {
    let (read, write) = io::pipe()?;
    let mut command = match program {
        Program::Argv(argv) => {
            let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        Program::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(write.try_clone()?).stderr(write).process_group(0);
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    command.envs(job.environment.iter().map(|(name, value)| (name, value)));
    let child = command.spawn()?;
    // The command holds our copies of the pipe's writing end; with it they are closed.
    drop(command);
    Ok((child, pipe::Receiver::from_owned_fd(OwnedFd::from(read))?))
}

/// Feeds, reads and waits. Ends when the script has, whatever it left in the background.
async fn attend(
    child: &mut Child,
    mut output: pipe::Receiver,
    bytes: &[u8],
    tail: &mut Tail,
    name: &str,
) -> io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A script that does not read its input is fine.
            drop(stdin.write_all(bytes).await);
        }
    };
    let read = async {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = output.read(&mut chunk).await {
            tail.push(&chunk[..len]);
        }
    };
    let talk = async { tokio::join!(feed, read) };
    tokio::pin!(talk);
    let mut warned = std::pin::pin!(tokio::time::sleep(SLOW));
    let mut slow = false;
    let mut talking = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = &mut talk, if talking => talking = false,
            () = &mut warned, if !slow => {
                slow = true;
                warn!(handler = name, "handler is slow, still running after 1 s");
            }
        }
    };
    if talking {
        // What the script itself wrote is in the pipe by now; the end comes when nobody holds the pipe any more.
        drop(timeout(LINGER, talk).await);
    }
    Ok(status)
}

/// SIGTERM, and what is left of the group gets SIGKILL.
async fn end_group(child: &mut Child) -> io::Result<()> {
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else {
        return Ok(()); // it has just ended by itself
    };
    // A group that is already gone is what we want.
    let _gone = killpg(group, Signal::SIGTERM);
    let ended = timeout(KILL_AFTER, child.wait()).await;
    // Members of the group may have outlived the script. Its number cannot have been given away this soon.
    let _gone = killpg(group, Signal::SIGKILL);
    match ended {
        Ok(status) => status.map(drop),
        Err(_elapsed) => child.wait().await.map(drop),
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, signal) => Outcome::Killed(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
