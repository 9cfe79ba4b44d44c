//! The privileged side of the socket: who may ask, one change at a time, and the end when nobody asks any more.
//!
//! A connection carries one request and one answer, each with its length before it. Whoever asks must deliver within
//! [`DELIVERY`]; until then nothing is done in its name. What takes the lock is done one after the other, what takes none beside
//! that, each on a thread for blocking work.

mod connections;
mod pace;
mod queue;
mod watchdog;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Answer, Apply, Ask, Body, Configuration, Refusal, Report, Request, RunBy};
use crate::outage::Outage;
use crate::time::millis;
use crate::upstream::settle::Applied;
use connections::{Admission, Connections, Id, Stage};
use pace::Pace;
use queue::{Course, Queue};
use watchdog::Watchdog;

/// Within which a request must have arrived, and an answer must have been taken.
const DELIVERY: Duration = Duration::from_secs(1);
/// After a reload the next change waits for as long as the configuration says, but no longer than this: the agent keeps that time
/// itself, but for an operator's word, and whoever has taken it over does not.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// A request that is parsed in less time than another thread takes to begin.
const SMALL_BYTES: usize = 64 * 1024;
/// How long to stay after an answer that another request is not likely to follow.
const BRIEFLY: Duration = Duration::from_secs(1);

/// Serves a socket until nobody asks any more.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    configuration: Configuration,
    /// Who may ask besides root.
    user: Option<u32>,
    /// How long to stay when nobody asks, after a change; `None`: for ever.
    idle: Option<Duration>,
    /// When to leave, should nobody ask any more.
    leave_at: Option<Instant>,
    connections: Connections,
    /// Requests on their way and answers on theirs.
    talks: JoinSet<(Id, Option<Heard>)>,
    /// What ends a request that is on its way.
    reading: BTreeMap<Id, AbortHandle>,
    /// One large request is parsed at a time.
    parsing: Arc<Semaphore>,
    waiting: Queue<Heard>,
    /// What takes the lock.
    running: Option<(Id, Running)>,
    /// What takes none.
    beside: Option<(Id, Running)>,
    /// What takes none and does not wait for that.
    cutting: Option<(Id, Running)>,
    /// Whose connections were looked at.
    pace: Pace,
    /// When NGINX may be reloaded again.
    free_at: Instant,
    refused: Outage,
    watchdog: Watchdog,
}

/// A request that arrived, and from whom.
#[derive(Debug)]
struct Heard {
    stream: UnixStream,
    peer: Peer,
    request: Request,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: u32,
    /// 0 if the system does not say.
    pid: i32,
}

impl Peer {
    fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// A job under way.
#[derive(Debug)]
struct Running {
    began: Instant,
    stream: UnixStream,
    job: JoinHandle<Done>,
}

/// What came of a job.
#[derive(Debug)]
struct Done {
    body: Body,
    /// Until the next change.
    pause: Duration,
}

impl Server {
    /// Serves whoever is root or `user`, with what `configuration` says. Without such a user only root may ask.
    ///
    /// It stays for `idle` when nobody asks any more, and less after an answer that changed nothing; for ever if there is no such
    /// time.
    pub fn new(listener: UnixListener, configuration: Configuration, user: &str, idle: Option<Duration>) -> Self {
        let found = nix::unistd::User::from_name(user).ok().flatten().map(|user| user.uid.as_raw());
        if found.is_none() {
            warn!(user, "there is no such user, only root may ask");
        }
        Self {
            listener,
            configuration,
            user: found,
            idle,
            leave_at: idle.map(|idle| Instant::now() + idle.min(BRIEFLY)),
            connections: Connections::default(),
            talks: JoinSet::new(),
            reading: BTreeMap::new(),
            parsing: Arc::new(Semaphore::new(1)),
            waiting: Queue::new(),
            running: None,
            beside: None,
            cutting: None,
            pace: Pace::default(),
            free_at: Instant::now(),
            refused: Outage::default(),
            watchdog: Watchdog::from_environment(),
        }
    }

    /// Serves until nobody has asked for a while, or until `stop`. A job that is under way is brought to its end.
    ///
    /// # Errors
    /// The socket cannot be listened on any more.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> io::Result<()> {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => self.handle_accepted(accepted.map(|(stream, _)| stream)).await?,
                Some(talk) = self.talks.join_next() => self.handle_talk(talk),
                (id, stream, done) = ended(&mut self.running) => self.handle_done(id, stream, done),
                (id, stream, done) = ended(&mut self.beside) => self.handle_done(id, stream, done),
                (id, stream, done) = ended(&mut self.cutting) => self.handle_done(id, stream, done),
                () = tokio::time::sleep_until(self.free_at), if self.waits_for_pace() => {}
                () = sleep_until(self.watchdog.due()) => self.feed_watchdog(),
                () = sleep_until(self.leave_at), if self.connections.is_empty() => break,
                () = &mut stop => break,
            }
            self.start_next();
        }
        self.finish().await;
        Ok(())
    }

    fn feed_watchdog(&mut self) {
        let jobs = [&self.running, &self.beside, &self.cutting].into_iter().flatten().map(|(_, job)| job.began);
        self.watchdog.feed(Instant::now(), jobs);
    }

    fn waits_for_pace(&self) -> bool {
        self.running.is_none() && self.waiting.has(Course::Changes)
    }

    async fn handle_accepted(&mut self, accepted: io::Result<UnixStream>) -> io::Result<()> {
        let stream = match accepted {
            Ok(stream) => stream,
            // Not ours to mend: the peer has gone, or files are short for a moment.
            Err(error) if is_transient(&error) => {
                debug!(%error, "nobody let in");
                tokio::time::sleep(Duration::from_millis(10)).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let peer = match stream.peer_cred().map(Peer::from) {
            Ok(peer) if self.may_ask(peer) => peer,
            Ok(peer) => {
                self.turn_away(&stream, Refusal::NotPermitted { uid: peer.uid }, peer);
                return Ok(());
            }
            // Gone already.
            Err(_) => return Ok(()),
        };
        match self.connections.admit(peer) {
            Admission::Room(id) => self.read(id, stream, peer),
            Admission::InPlaceOf { id, away } => {
                self.send_away(away);
                self.read(id, stream, peer);
            }
            Admission::Full => self.turn_away(&stream, Refusal::Busy, peer),
        }
        Ok(())
    }

    fn may_ask(&self, peer: Peer) -> bool {
        peer.is_root() || self.user == Some(peer.uid)
    }

    fn read(&mut self, id: Id, stream: UnixStream, peer: Peer) {
        let parsing = Arc::clone(&self.parsing);
        let talk = self.talks.spawn(async move { (id, hear(stream, peer, parsing).await) });
        self.reading.insert(id, talk);
    }

    /// Its place is another's by now.
    fn send_away(&mut self, away: Id) {
        if let Some(reading) = self.reading.remove(&away) {
            reading.abort();
        }
        if let Some(heard) = self.waiting.remove(away) {
            self.turn_away(&heard.stream, Refusal::Busy, heard.peer);
        }
    }

    /// Without a wait: whoever does not take these few bytes does not want them.
    fn turn_away(&mut self, stream: &UnixStream, refusal: Refusal, peer: Peer) {
        let answer = Answer::new(Body::Refused(refusal.clone())).to_json();
        // Nothing was promised to whoever has gone.
        let _ = stream.try_write(&[&head(&answer)[..], &answer].concat());
        if self.refused.failed(Instant::now().into_std()) {
            warn!(uid = peer.uid, pid = peer.pid, error = %refusal, "request refused");
        }
    }

    fn handle_talk(&mut self, talk: Result<(Id, Option<Heard>), JoinError>) {
        match talk {
            Ok((id, Some(heard))) if self.reading.remove(&id).is_some() => {
                self.connections.advance(id, Stage::Waiting);
                self.waiting.push(id, heard.peer, Course::of(&heard.request.ask), heard);
            }
            // It was whole in the instant in which it was sent away.
            Ok((_, Some(heard))) => self.turn_away(&heard.stream, Refusal::Busy, heard.peer),
            Ok((id, None)) => {
                self.reading.remove(&id);
                self.connections.close(id);
            }
            // Sent away; its place is given already.
            Err(error) if error.is_cancelled() => {}
            Err(error) => error!(%error, "a connection broke off"),
        }
    }

    /// What takes the lock one after the other, a change not before its time; and beside that one of each kind that takes none.
    fn start_next(&mut self) {
        self.give_up();
        if self.beside.is_none() {
            let next = self.waiting.next(|course| course == Course::Beside);
            self.beside = next.map(|(id, heard)| self.start(id, heard));
        }
        while self.cutting.is_none() {
            let Some((id, heard)) = self.waiting.next(|course| course == Course::Cuts) else { break };
            // By now whoever has not waited knows better: those that it asked for may have recovered.
            if has_hung_up(&heard.stream) {
                self.connections.close(id);
            } else {
                self.cutting = Some(self.start(id, heard));
            }
        }
        if self.running.is_none() {
            let may_reload = self.free_at <= Instant::now();
            let next = self.waiting.next(|course| match course {
                Course::Changes => may_reload,
                Course::Looks | Course::Promises => true,
                Course::Beside | Course::Cuts => false,
            });
            self.running = next.map(|(id, heard)| self.start(id, heard));
        }
    }

    /// What somebody asked for who has gone is not done: his successor knows nothing of it, and may have promised something else.
    fn give_up(&mut self) {
        for id in self.waiting.give_up(|heard| has_hung_up(&heard.stream)) {
            debug!("a request is not done, nobody waits for it");
            self.connections.close(id);
        }
    }

    fn start(&mut self, id: Id, Heard { stream, peer, mut request }: Heard) -> (Id, Running) {
        self.connections.advance(id, Stage::Served);
        if let Some(times) = self.refused.worked(Instant::now().into_std()) {
            info!(times, "requests are refused no more");
        }
        let configuration = self.configuration.clone();
        if let Ask::Cut(cut) = &mut request.ask {
            self.pace.keep_back(Instant::now().into_std(), cut);
        }
        let job = tokio::task::spawn_blocking(move || perform(&configuration, peer, &request));
        (id, Running { began: Instant::now(), stream, job })
    }

    fn handle_done(&mut self, id: Id, stream: UnixStream, done: Option<Done>) {
        // A job that broke off says nothing, and whoever asked hears that the connection ends.
        let Some(Done { body, pause }) = done else { return self.connections.close(id) };
        self.free_at = self.free_at.max(Instant::now() + pause);
        // A change is followed by others, as a rule. Whoever looks does so seldom; and what has failed may do so for a mount that
        // was read-only when this process started, which stays so in here.
        let now = Instant::now();
        self.leave_at = self.idle.zip(self.leave_at).map(|(idle, leave_at)| {
            let briefly = now + idle.min(BRIEFLY);
            match &body {
                body if was_applied(body) => now + idle,
                Body::Applied(_) | Body::Restored { .. } => briefly,
                Body::NothingToRecover
                | Body::State(_)
                | Body::Promised(_)
                | Body::Checked(_)
                | Body::Cut(_)
                | Body::Refused(_) => leave_at.max(briefly),
            }
        });
        self.talks.spawn(async move {
            tell(stream, body).await;
            (id, None)
        });
    }

    /// Brings to an end what is under way; whoever waits asks again.
    async fn finish(mut self) {
        let waiting: Vec<Heard> = self.waiting.drain().collect();
        waiting.iter().for_each(|Heard { stream, peer, .. }| self.turn_away(stream, Refusal::Busy, *peer));
        self.reading.values().for_each(AbortHandle::abort);
        for mut running in [self.running.take(), self.beside.take(), self.cutting.take()] {
            while let Some((_, Running { began, .. })) = &running {
                let began = *began;
                tokio::select! {
                    (id, stream, done) = ended(&mut running) => self.handle_done(id, stream, done),
                    () = sleep_until(self.watchdog.due()) => self.watchdog.feed(Instant::now(), [began]),
                }
            }
        }
        while self.talks.join_next().await.is_some() {}
    }
}

impl From<UCred> for Peer {
    fn from(credentials: UCred) -> Self {
        Self { uid: credentials.uid(), pid: credentials.pid().unwrap_or_default() }
    }
}

/// The job that has ended, and what came of it; `None` if it broke off. Never without a job. Cancel-safe.
async fn ended(running: &mut Option<(Id, Running)>) -> (Id, UnixStream, Option<Done>) {
    let Some((_, Running { job, .. })) = running else { return std::future::pending().await };
    let done = job.await.inspect_err(|error| error!(%error, "a job broke off")).ok();
    let (id, Running { stream, .. }) = running.take().expect("it was there before the wait");
    (id, stream, done)
}

/// Whether nobody is at the other end any more.
fn has_hung_up(stream: &UnixStream) -> bool {
    use rustix::net::{RecvFlags, recv};
    let mut next = [0_u8; 1];
    matches!(recv(stream, &mut next[..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 0)))
}

/// For ever, without an end.
async fn sleep_until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The request of one connection. Whoever sends something else is told so here.
async fn hear(mut stream: UnixStream, peer: Peer, parsing: Arc<Semaphore>) -> Option<Heard> {
    let document = tokio::time::timeout(DELIVERY, read_frame(&mut stream)).await;
    let refusal = match document {
        Ok(Ok(Some(document))) => match parse(document, parsing).await? {
            Ok(request) => return Some(Heard { stream, peer, request }),
            Err(refusal) => refusal,
        },
        Ok(Ok(None)) => Refusal::TooLarge { limit: Request::MAX_BYTES },
        // It hung up.
        Ok(Err(_)) => return None,
        Err(_) => Refusal::TooSlow { seconds: DELIVERY.as_secs() },
    };
    debug!(uid = peer.uid, pid = peer.pid, error = %refusal, "request refused");
    tell(stream, Body::Refused(refusal)).await;
    None
}

/// A large one on another thread, so that others are heard meanwhile, and one after the other. `None` if that broke off.
async fn parse(document: Vec<u8>, parsing: Arc<Semaphore>) -> Option<Result<Request, Refusal>> {
    if document.len() <= SMALL_BYTES {
        return Some(Request::from_json(&document));
    }
    // Held until it is read, though nobody may wait for that any more.
    let turn = parsing.acquire_owned().await.ok()?;
    let parsed = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        Request::from_json(&document)
    });
    parsed.await.inspect_err(|error| error!(%error, "a request broke off")).ok()
}

/// `None` if it is longer than any request. What has not come takes no memory.
async fn read_frame(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let length = stream.read_u32().await?;
    if usize::try_from(length).map_or(true, |length| length > Request::MAX_BYTES) {
        return Ok(None);
    }
    let mut document = Vec::new();
    stream.take(length.into()).read_to_end(&mut document).await?;
    let whole = u32::try_from(document.len()) == Ok(length);
    if whole { Ok(Some(document)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn tell(mut stream: UnixStream, body: Body) {
    let answer = Answer::new(body).to_json();
    let told = async {
        stream.write_all(&head(&answer)).await?;
        stream.write_all(&answer).await
    };
    // Whoever does not take its answer asks again.
    if !matches!(tokio::time::timeout(DELIVERY, told).await, Ok(Ok(()))) {
        debug!("an answer was not taken");
    }
}

/// What goes before a document: its length in four bytes, the highest first.
pub(super) fn head(document: &[u8]) -> [u8; 4] {
    u32::try_from(document.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn is_transient(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

/// Does what one request asks for, with the configuration that it names.
fn perform(configuration: &Configuration, peer: Peer, request: &Request) -> Done {
    let started = Instant::now();
    let (body, interval) = match configuration.find(request.configuration) {
        Ok(found) => {
            let body = Apply::new(found.options.clone()).handle(&request.ask);
            if was_applied(&body)
                && let Err(error) = configuration.keep(&found)
            {
                // An edit that is not reloaded yet stops the next job, which is told then.
                warn!(error = %error.told(RunBy::Helper), "cannot keep a copy of the configuration");
            }
            (body, found.options.apply.min_reload_interval)
        }
        Err(refusal) => (Body::Refused(refusal), Duration::ZERO),
    };
    log(peer, &request.ask, &body, started.elapsed());
    let pause = if has_reloaded(&body) { interval.min(MAX_PAUSE) } else { Duration::ZERO };
    Done { body, pause }
}

/// NGINX, or what reads the file of a template.
fn has_reloaded(body: &Body) -> bool {
    let reloaded = |report: &Report| Applied::from(report).reloaded() || !report.notes().templates.is_empty();
    match body {
        Body::Applied(report) | Body::Restored { report, .. } => reloaded(report),
        Body::NothingToRecover
        | Body::State(_)
        | Body::Promised(_)
        | Body::Checked(_)
        | Body::Cut(_)
        | Body::Refused(_) => false,
    }
}

fn was_applied(body: &Body) -> bool {
    match body {
        Body::Applied(report) | Body::Restored { report, .. } => report.is_in_place(),
        Body::NothingToRecover
        | Body::State(_)
        | Body::Promised(_)
        | Body::Checked(_)
        | Body::Cut(_)
        | Body::Refused(_) => false,
    }
}

/// Who asked for what, and what came of it. The agent tells the operator what that means.
fn log(Peer { uid, pid }: Peer, ask: &Ask, body: &Body, took: Duration) {
    let (ask, elapsed_ms) = (ask.word(), millis(took));
    match body {
        Body::Applied(report) | Body::Restored { report, .. } => {
            let (result, generation) = (report.word(), report.generation().map(tracing::field::display));
            if was_applied(body) {
                info!(ask, uid, pid, result, generation, elapsed_ms, "request done");
            } else {
                error!(ask, uid, pid, result, generation, elapsed_ms, error = %report.told(RunBy::Helper), "request done");
            }
        }
        Body::Refused(refusal) => warn!(ask, uid, pid, error = %refusal, "request refused"),
        Body::Cut(Err(uncut)) => warn!(ask, uid, pid, elapsed_ms, error = %uncut, "connections not cut"),
        Body::NothingToRecover | Body::State(_) | Body::Promised(_) | Body::Checked(_) | Body::Cut(Ok(_)) => {
            debug!(ask, uid, pid, elapsed_ms, "request done");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_an_answer_is_told_from_whoever_has_gone() {
        let (server, client) = UnixStream::pair().unwrap();
        assert!(!has_hung_up(&server));
        drop(client);
        server.readable().await.unwrap();
        assert!(has_hung_up(&server));
    }
}
