//! The loop: one owner of the endpoint and of everything around it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::commands::{self, Commands, Pending};
use super::discover::Discovery;
use super::doctor::Doctor;
use super::exec::{Handlers, Outcome, Ran};
use super::join::{self, Next, Resolved, Retry};
use super::key_writer::{KeyWriter, Written};
use super::log::Log;
use super::rejoin::Rejoin;
use super::rotate::KeyRequests;
use super::signal::{Action, Policy, Signal, Signals};
use super::store::Store;
use super::stream::{Input, Listener, Streams};
use super::systemd::Systemd;
use super::timer::Timer;
use super::udp::Udp;
use super::upstreams::{self, Upstreams};
use super::{Exit, clock, reload};
use crate::config::{Config, Mode, Sources};
use crate::endpoint::{Endpoint, JoinId, JoinKind, JoinTarget, StreamId};
use crate::serf::{QueryKey, RespondError};
use crate::time::Instant;

/// Reports of slow tasks that wait for the loop.
pub(super) const REPORT_QUEUE: usize = 64;
/// Datagrams taken in one round, so that a flood does not starve the other inputs.
const DATAGRAMS_PER_ROUND: usize = 64;
/// How long clients get to hear of a leave: longer than the server waits for one that has asked for it, as Go's client loses
/// an answer with the end of the connection right behind it.
const FAREWELL: Duration = Duration::from_millis(2500);
/// The same where the agent was told to stop at once.
const SHORT_FAREWELL: Duration = Duration::from_millis(200);

/// What slow tasks bring back.
#[derive(Debug)]
pub(super) enum Report {
    /// Names of a join have been looked up.
    Resolved { purpose: Purpose, resolved: Resolved },
    /// A changed ring or its state is on disk, or not.
    KeysWritten(Box<Written>),
    /// An apply has ended.
    Applied(Box<upstreams::Report>),
    /// What an earlier run left half done is ended, if it left anything.
    Recovered(Option<Box<upstreams::Recovered>>),
    /// A changed configuration was read.
    Reload(Box<super::reload::Read>),
}

/// Who wants to join.
#[derive(Debug)]
pub(super) enum Purpose {
    /// `gossip.join`.
    Configured,
    /// What the snapshot knows.
    Rejoin,
    /// Found by mDNS.
    Discovered,
    /// A client.
    Client(super::commands::JoinReply),
}

/// A join under way.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) purpose: Purpose,
    pub(super) id: Option<JoinId>,
    pub(super) started: Instant,
    pub(super) unresolved: Vec<join::Unresolved>,
}

/// The running agent. Every field has one story; the loop is the only place where they meet.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) config: Config,
    pub(super) sources: Sources,
    pub(super) log: Log,
    pub(super) started: Instant,
    pub(super) endpoint: Endpoint,
    pub(super) udp: Udp,
    pub(super) listener: Listener,
    pub(super) streams: Streams,
    pub(super) timer: Timer,
    pub(super) signals: Signals,
    pub(super) systemd: Systemd,
    pub(super) handlers: Handlers,
    pub(super) commands: Commands,
    pub(super) pending: Pending,
    pub(super) retry: Retry,
    pub(super) rejoin: Rejoin,
    pub(super) joins: Vec<Joining>,
    pub(super) discovery: Option<Discovery>,
    pub(super) keys: KeyWriter,
    pub(super) key_requests: KeyRequests,
    pub(super) doctor: Doctor,
    pub(super) store: Store,
    pub(super) upstreams: Option<Upstreams>,
    pub(super) report: mpsc::Sender<Report>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) leaving: Option<Leaving>,
    pub(super) exit: Option<Exit>,
}

/// A leave under way.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) started: Instant,
}

impl Agent {
    /// Until the agent leaves or is stopped.
    pub(super) async fn run(mut self) -> Exit {
        self.perform();
        loop {
            if let Some(exit) = self.exit {
                self.farewell(exit).await;
                return exit;
            }
            self.step().await;
        }
    }

    /// Waits for one input and does everything that follows from it. Cancel-safe while it waits.
    pub(super) async fn step(&mut self) {
        let deadline = self.poll_timeout();
        tokio::select! {
            () = self.udp.readable() => self.receive(),
            () = self.timer.until(Some(deadline)) => self.handle_timeout(),
            (stream, from) = self.listener.accept() => self.accept(stream, from),
            (id, input) = self.streams.recv() => self.handle_stream(id, input),
            call = self.commands.recv() => self.handle_call(call),
            ran = self.handlers.recv() => self.handle_ran(&ran),
            done = self.store.done() => self.handle_stored(done),
            Some(report) = self.reports.recv() => self.handle_report(report),
            signal = self.signals.recv() => self.handle_signal(signal),
            addr = discovered(&mut self.discovery) => self.handle_discovered(addr),
        }
        self.perform();
    }

    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Instant {
        let optional = [
            self.systemd.poll_timeout(),
            self.retry.poll_timeout(),
            self.rejoin.poll_timeout(),
            self.store.poll_timeout(),
            self.key_requests.poll_timeout(),
            self.doctor.poll_timeout(),
            self.upstreams.as_ref().and_then(Upstreams::poll_timeout),
        ];
        optional.into_iter().flatten().fold(self.endpoint.poll_timeout(), Instant::min)
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.endpoint.handle_timeout(now);
        self.systemd.feed(now);
        self.continue_rotation(now);
        self.continue_rejoin(now);
        self.advance_probes(now);
        if self.retry.is_due(now) {
            self.look_up(Purpose::Configured, self.config.gossip.join.clone());
        }
    }

    fn receive(&mut self) {
        let now = clock::now();
        for _ in 0..DATAGRAMS_PER_ROUND {
            let Some((from, datagram)) = self.udp.try_recv() else { break };
            self.endpoint.handle_datagram(now, from, datagram);
        }
    }

    fn accept(&mut self, stream: TcpStream, from: SocketAddr) {
        // Refused: dropping closes it.
        if let Some(id) = self.endpoint.handle_accepted(clock::now(), from) {
            self.streams.accepted(id, stream);
        }
    }

    fn handle_stream(&mut self, id: StreamId, input: Input) {
        let now = clock::now();
        match input {
            Input::Connected => self.endpoint.handle_connected(now, id),
            Input::Data(data) => self.endpoint.handle_stream_data(now, id, &data),
            Input::End(error) => self.endpoint.handle_stream_end(now, id, error),
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        let leave = &self.config.leave;
        let policy = Policy { interrupt_leaves: leave.on_interrupt, terminate_leaves: leave.on_terminate };
        match signal.action(policy, self.leaving.is_some()) {
            Action::Leave => {
                info!(signal = signal.name(), "leaving");
                self.leave();
            }
            Action::Stop => {
                let interrupted = self.leaving.is_some();
                info!(signal = signal.name(), "stopping without a leave");
                self.systemd.stopping("stopping");
                self.exit = Some(if interrupted { Exit::Interrupted } else { Exit::Stopped });
            }
            Action::Reload => {
                info!(signal = signal.name(), "reloading");
                self.reload(reload::Request::default());
            }
            Action::Report => self.log_stats(),
        }
    }

    /// Starts a leave; a second call changes nothing.
    pub(super) fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        let now = clock::now();
        self.leaving = Some(Leaving { started: now });
        self.systemd.stopping("leaving the cluster");
        self.retry.stop();
        self.rejoin.stop();
        self.endpoint.leave(now);
    }

    fn handle_ran(&mut self, ran: &Ran) {
        let elapsed_ms = millis(ran.elapsed);
        let output = String::from_utf8_lossy(&ran.output);
        let (handler, event) = (&*ran.handler, ran.event);
        match &ran.outcome {
            Outcome::Exited(0) => debug!(handler, event, elapsed_ms, %output, "handler ran"),
            Outcome::Exited(status) => warn!(handler, event, status, elapsed_ms, %output, "handler failed"),
            Outcome::Killed(signal) => warn!(handler, event, signal, elapsed_ms, %output, "handler was killed"),
            Outcome::TimedOut => warn!(handler, event, elapsed_ms, %output, "handler took too long and was ended"),
            Outcome::NotStarted(error) => warn!(handler, event, %error, "handler cannot be started"),
        }
        if ran.lost > 0 {
            warn!(handler, event, lost_bytes = ran.lost, "handler output is too long, its beginning was dropped");
        }
        if let Some((query, answer)) = ran.answer() {
            self.answer_query(handler, &query, answer);
        }
    }

    /// Sends what a script said. An answer that is too large becomes a sentence, or the asker could not tell it from silence.
    fn answer_query(&mut self, handler: &str, query: &QueryKey, answer: &[u8]) {
        let (now, bytes) = (clock::now(), answer.len());
        let Err(error) = self.endpoint.respond(now, query, answer.to_vec().into()) else { return };
        warn!(handler, bytes, %error, "handler's answer to a query was not sent");
        if let RespondError::TooLarge { limit } = error {
            let text =
                format!("error: the answer has {bytes} bytes, {limit} fit; send a reference and fetch the rest\n");
            // The limit is configurable down to less than a sentence; then silence it is.
            let _too_large_as_well = self.endpoint.respond(now, query, text.into_bytes().into());
        }
    }

    fn handle_report(&mut self, report: Report) {
        let now = clock::now();
        match report {
            Report::Resolved { purpose, resolved } => self.start_join(purpose, resolved),
            Report::KeysWritten(written) => self.handle_keys_written(*written),
            Report::Applied(report) => self.handle_applied(now, *report),
            Report::Recovered(recovered) => self.handle_recovered(recovered.map(|recovered| *recovered)),
            Report::Reload(read) => self.handle_reload(*read),
        }
    }

    /// Turns names into addresses, off the loop.
    pub(super) fn look_up(&self, purpose: Purpose, addresses: Vec<crate::config::JoinAddress>) {
        if self.config.mode == Mode::Serf {
            self.tell_joining(&purpose, &addresses);
        }
        let report = self.report.clone();
        tokio::spawn(async move {
            let resolved = join::resolve(&addresses).await;
            // Nobody takes it only if the agent has ended.
            drop(report.send(Report::Resolved { purpose, resolved }).await);
        });
    }

    /// A line that Serf's agent has for each try; ours would repeat it for as long as nobody answers.
    fn tell_joining(&self, purpose: &Purpose, addresses: &[crate::config::JoinAddress]) {
        let replay = match purpose {
            Purpose::Client(reply) => reply.replay(),
            Purpose::Configured | Purpose::Rejoin | Purpose::Discovered => self.config.gossip.replay_on_join,
        };
        let configured = matches!(purpose, Purpose::Configured);
        let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        info!(addresses, replay, configured, "joining");
    }

    /// Contacts what was found.
    pub(super) fn start_join(&mut self, purpose: Purpose, resolved: Resolved) {
        let now = clock::now();
        let kind = match &purpose {
            Purpose::Rejoin => JoinKind::Rejoin,
            Purpose::Configured | Purpose::Discovered => {
                JoinKind::Join { ignore_old: !self.config.gossip.replay_on_join }
            }
            Purpose::Client(reply) => JoinKind::Join { ignore_old: !reply.replay() },
        };
        let Resolved { targets, unresolved } = resolved;
        let mut joining = Joining { purpose, id: None, started: now, unresolved };
        if targets.is_empty() {
            return self.end_join(now, joining, 0, &[]);
        }
        joining.id = Some(self.endpoint.join(now, kind, targets));
        self.joins.push(joining);
    }

    /// A join has ended: tell whoever wanted it.
    pub(super) fn end_join(
        &mut self,
        now: Instant,
        joining: Joining,
        contacted: usize,
        failures: &[(JoinTarget, crate::endpoint::JoinFailure)],
    ) {
        let elapsed_ms = millis(now.since(joining.started));
        if contacted > 0 {
            let members = self.endpoint.members().count();
            info!(contacted, members, elapsed_ms, "joined");
            self.retry.succeeded(now);
            self.doctor.join_failures.clear();
            self.first_view_complete();
        }
        let mut texts: Vec<_> = joining.unresolved.iter().map(ToString::to_string).collect();
        texts.extend(failures.iter().map(|(target, failure)| join::explain(target, failure)));
        if matches!(joining.purpose, Purpose::Configured) && contacted == 0 {
            self.doctor.join_failures.clone_from(&texts);
        }
        match joining.purpose {
            Purpose::Configured if contacted == 0 && self.config.mode == Mode::Serf => {
                self.retry_later(now, &[commands::join_errors(&joining.unresolved, failures)]);
            }
            Purpose::Configured if contacted == 0 => self.retry_later(now, &texts),
            Purpose::Rejoin => self.rejoin_ended(now, &texts),
            Purpose::Configured | Purpose::Discovered => tell_unanswered(&texts),
            Purpose::Client(reply) => reply.done(contacted, &joining.unresolved, failures),
        }
        if let Some(discovery) = &mut self.discovery {
            failures.iter().for_each(|(target, _)| discovery.forget(target.addr));
        }
    }

    fn retry_later(&mut self, now: Instant, texts: &[String]) {
        match self.retry.failed(now) {
            Next::After(pause) => {
                for error in texts {
                    warn!(error, pause_s = pause.as_secs(), "cannot join, trying again");
                }
            }
            Next::GiveUp => {
                for error in texts {
                    tracing::error!(error, "cannot join");
                }
                tracing::error!(tries = self.config.gossip.join_retry_max, "giving up to join");
                // Addresses that came with a reload, or that the snapshot's members have replaced, end no member of a cluster.
                if self.is_alone() {
                    self.exit = Some(Exit::JoinGaveUp);
                }
            }
            Next::Nothing => tell_unanswered(texts),
        }
    }

    fn handle_discovered(&mut self, addr: SocketAddr) {
        if self.endpoint.members().any(|member| member.node.addr == addr) {
            return;
        }
        info!(%addr, "discovered");
        let targets = vec![JoinTarget { label: addr.to_string(), addr }];
        self.start_join(Purpose::Discovered, Resolved { targets, unresolved: Vec::new() });
    }

    /// Writes what is not written, waits for NGINX, and lets clients hear the last word unless a further signal cuts that short.
    async fn farewell(&mut self, exit: Exit) {
        self.store.finish().await;
        self.keys.finish(self.endpoint.sealed()).await;
        self.finish_apply().await;
        let within = match exit {
            Exit::Left | Exit::JoinGaveUp => FAREWELL,
            Exit::Stopped | Exit::Interrupted => SHORT_FAREWELL,
        };
        tokio::select! {
            () = self.commands.finish(within) => {}
            () = self.signals.end() => {}
        }
    }

    /// One line for `systemctl status`.
    pub(super) fn status(&self) -> String {
        let members = self.endpoint.members().count();
        let alive = self.endpoint.members().filter(|member| member.status == crate::serf::Status::Alive).count();
        format!("{}: {alive} of {members} members alive", self.endpoint.local().name)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether nobody else is present.
    pub(super) fn is_alone(&self) -> bool {
        let own = &self.endpoint.local().name;
        !self.endpoint.members().any(|member| member.status.is_present() && member.node.name != *own)
    }
}

/// For addresses that are not needed.
fn tell_unanswered(errors: &[String]) {
    for error in errors {
        info!(error, "join address did not answer");
    }
}

/// The next address that mDNS found; never without discovery.
async fn discovered(discovery: &mut Option<Discovery>) -> SocketAddr {
    match discovery {
        Some(discovery) => discovery.recv().await,
        None => std::future::pending().await,
    }
}

/// As log fields show it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
