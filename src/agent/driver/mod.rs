//! The loop: the one owner of the endpoint and of everything around it.
//!
//! Each field is a part with a story of its own, told in its file. A part takes what it needs as arguments (`now`, the
//! endpoint, the configuration) and gives back what is to follow; only here do parts meet. Nothing in the loop waits but for
//! the next input: what is slow runs in a task that its part owns, and comes back through the part's `recv`.
//!
//! | file | routes |
//! |---|---|
//! | `start` | from a configuration to an agent |
//! | `mod` | inputs to the parts |
//! | `call` | what clients ask |
//! | `output` | what the endpoint and the parts give out |
//! | `adopt` | a changed configuration |

mod adopt;
mod call;
mod output;
mod start;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::checks::LocalChecks;
use super::commands::{Commands, Pending};
use super::doctor::Doctor;
use super::exec::Handlers;
use super::joins::Joins;
use super::key_writer::KeyWriter;
use super::leave::SafeLeave;
use super::log::Log;
use super::notice::Notice;
use super::reload::{self, Reloads};
use super::rotate::KeyRequests;
use super::serving::Reached;
use super::signal::{Action, Signal, Signals};
use super::stop::{Progress, Stops};
use super::store::Store;
use super::stream::{Input, Listener, Streams};
use super::systemd::Systemd;
use super::tags_file::TagChanges;
use super::timer::Timer;
use super::udp::Udp;
use super::upstreams::{Done, Upstreams};
use super::{Exit, clock, status};
use crate::config::Config;
use crate::endpoint::{Endpoint, StreamId};
use crate::serf::Status;
use crate::status::node::Document;
use crate::time::Instant;

pub(super) use self::start::start;

/// Datagrams taken in one round, so that a flood does not starve the other inputs.
const DATAGRAMS_PER_ROUND: usize = 64;
/// How long clients get to hear of a leave: longer than the server waits for one that has asked for it, as Go's client loses
/// an answer with the end of the connection right behind it.
const FAREWELL: Duration = Duration::from_millis(2500);
/// The same where the agent was told to stop at once.
const SHORT_FAREWELL: Duration = Duration::from_millis(200);

/// The running agent.
#[derive(Debug)]
pub(super) struct Agent {
    config: Config,
    log: Log,
    started: Instant,
    endpoint: Endpoint,
    udp: Udp,
    listener: Listener,
    streams: Streams,
    timer: Timer,
    signals: Signals,
    stops: Stops,
    systemd: Systemd,
    handlers: Handlers,
    checks: LocalChecks,
    commands: Commands,
    pending: Pending,
    joins: Joins,
    reloads: Reloads,
    keys: KeyWriter,
    key_requests: KeyRequests,
    doctor: Doctor,
    reached: Reached,
    tag_changes: TagChanges,
    store: Store,
    upstreams: Option<Upstreams>,
    safe_leave: SafeLeave,
    /// When the leave under way began.
    leaving: Option<Instant>,
    exit: Option<Exit>,
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
    async fn step(&mut self) {
        let deadline = self.poll_timeout();
        tokio::select! {
            () = self.udp.readable() => self.receive(),
            () = self.timer.until(Some(deadline)) => self.handle_timeout(),
            (stream, from) = self.listener.accept() => self.accept(stream, from),
            (id, input) = self.streams.recv() => self.handle_stream(id, input),
            call = self.commands.recv() => self.handle_call(call),
            ran = self.handlers.recv() => {
                ran.log();
                ran.respond(clock::now(), &mut self.endpoint);
            }
            ended = self.checks.recv() => self.checks.handle_ended(clock::now(), ended),
            done = self.store.done() => self.store.handle_done(clock::now(), done),
            written = self.tag_changes.written() => {
                self.tag_changes.handle_written(clock::now(), &mut self.endpoint, written);
                self.store.tags(&self.config.node.tags, self.endpoint.tags());
            }
            written = self.keys.written() => self.keys.handle_written(clock::now(), &mut self.endpoint, written),
            found = self.joins.recv() => {
                self.joins.handle_found(clock::now(), &mut self.endpoint, &self.config, found);
            }
            done = applied(&mut self.upstreams) => self.handle_applied(done),
            seen = self.safe_leave.seen() => self.safe_leave.handle_seen(clock::now(), seen),
            read = self.reloads.recv() => self.handle_reload(read),
            signal = self.signals.recv() => self.handle_signal(signal),
        }
        self.perform();
    }

    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Instant {
        let optional = [
            self.systemd.poll_timeout(),
            self.joins.poll_timeout(),
            self.store.poll_timeout(),
            self.key_requests.poll_timeout(),
            self.doctor.poll_timeout(),
            self.checks.poll_timeout(),
            self.upstreams.as_ref().and_then(Upstreams::poll_timeout),
            self.safe_leave.poll_timeout(),
            self.safe_leave.stays_until(),
        ];
        optional.into_iter().flatten().fold(self.endpoint.poll_timeout(), Instant::min)
    }

    /// Upstreams and snapshot look at the time in [`Self::perform`], which follows every input.
    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.endpoint.handle_timeout(now);
        self.systemd.feed(now);
        self.key_requests.handle_timeout(now, &mut self.endpoint);
        self.joins.handle_timeout(now, &mut self.endpoint, &self.config);
        self.doctor.handle_timeout(now, &mut self.endpoint);
        self.checks.handle_timeout(now);
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
        input.hand_to(&mut self.endpoint, clock::now(), id);
    }

    fn handle_applied(&mut self, done: Done) {
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.handle_done(clock::now(), done);
        }
    }

    pub(super) fn progress(&self) -> Progress {
        match (self.is_leaving(), self.safe_leave.is_leaving()) {
            (true, _) => Progress::Leaving,
            (false, true) => Progress::Draining,
            (false, false) => Progress::Serving,
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        let progress = self.progress();
        match self.stops.handle_signal(clock::now(), &self.config, signal, progress) {
            Action::Leave => {
                self.log.tell(Notice::Leaving { signal: Some(signal.name()) });
                self.leave();
            }
            Action::Stop => {
                let interrupted = self.is_leaving();
                self.log.tell(Notice::Stopping { signal: signal.name() });
                self.systemd.stopping("stopping");
                self.exit = Some(if interrupted { Exit::Interrupted } else { Exit::Stopped });
            }
            Action::Reload => {
                self.log.tell(Notice::Reloading { signal: signal.name() });
                self.reload(reload::Request::default());
            }
            Action::Report => status::log(&self.document(false)),
            Action::GoOn => {
                self.safe_leave.stopped(clock::now(), &self.endpoint);
                self.log.tell(Notice::LeaveGoesOn { signal: signal.name() });
            }
        }
    }

    /// Starts Serf's leave; a second call changes nothing.
    fn leave(&mut self) {
        if self.is_leaving() {
            return;
        }
        let now = clock::now();
        self.leaving = Some(now);
        self.safe_leave.leave_at_once(now, &self.endpoint);
        self.systemd.stopping("leaving the cluster");
        self.joins.stop();
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.leave();
        }
        self.endpoint.leave(now);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Writes what is not written, waits for NGINX, and lets clients hear the last word unless a further signal cuts that short.
    async fn farewell(&mut self, exit: Exit) {
        self.store.finish().await;
        self.keys.finish(self.endpoint.sealed()).await;
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.finish(self.signals.end()).await;
        }
        let within = match exit {
            Exit::Left | Exit::JoinGaveUp => FAREWELL,
            Exit::Stopped | Exit::Interrupted => SHORT_FAREWELL,
        };
        tokio::select! {
            () = self.commands.finish(within) => {}
            () = self.signals.end() => {}
        }
    }

    /// What is so now; `members` are told only to whoever asks for them.
    fn document(&self, members: bool) -> Document {
        let parts = status::Parts {
            config: &self.config,
            started: self.started,
            endpoint: &self.endpoint,
            udp: &self.udp,
            handlers: &self.handlers,
            checks: &self.checks,
            commands: &self.commands,
            joins: &self.joins,
            keys: &self.keys,
            leave: &self.safe_leave,
            reloads: &self.reloads,
            store: &self.store,
            upstreams: self.upstreams.as_ref(),
        };
        status::document(&parts, members)
    }

    /// One line for `systemctl status`.
    fn status(&self) -> String {
        let members = self.endpoint.members().count();
        let alive = self.endpoint.members().filter(|member| member.status == Status::Alive).count();
        format!("{}: {alive} of {members} members alive", self.endpoint.local().name)
    }
}

/// The next apply or recovery that has ended; never without upstreams.
async fn applied(upstreams: &mut Option<Upstreams>) -> Done {
    match upstreams {
        Some(upstreams) => upstreams.done().await,
        None => std::future::pending().await,
    }
}
