//! Standard output of `serf agent`: start-up lines, then the log with Serf's words where scripts know them (`cli §3`).
//!
//! Log lines are indented, and held back until all that comes before them is printed: a start that fails shows none. What
//! the reference has no words for is said in ours, in its shape. Times are UTC.

use std::net::SocketAddr;

use jiff::Timestamp;
use tracing::Level;

use super::print;
use crate::agent::log::{Told, Wants, serf_line};
use crate::agent::notice::{Notice, Ready};
use crate::config::{Advertise, Config, Profile};
use crate::endpoint::NameTrouble;
use crate::escape::escape;
use crate::serf::{MemberEvent, MemberEventKind};
use crate::wire::NodeName;

/// Where the output has got to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Starting,
    /// `-join` decides whether there is anything to go on with.
    Joining,
    Streaming,
    /// The first join failed; there is nothing more to say.
    Ended,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Console {
    config: Config,
    phase: Phase,
    /// Log lines that wait.
    held: String,
    /// Those of the end.
    last: String,
    advertise: Option<SocketAddr>,
}

/// What a notice is on this output.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    /// As it is, whatever the level.
    Raw(String),
    /// A log line for the agent's very end.
    Last(Level, &'static str, &'static str),
    Log(Level, &'static str, String),
}

impl Console {
    pub(super) fn new(config: Config) -> Self {
        Self { config, phase: Phase::Starting, held: String::new(), last: String::new(), advertise: None }
    }

    /// Takes what the agent tells; `wants` says which lines the operator asked for.
    pub(super) fn tell(&mut self, told: Told, wants: Wants<'_>) {
        match told {
            Told::Line(line) => self.log(&indented(&line.serf())),
            Told::Notice(at, notice) => self.notice(at, &notice, wants),
            Told::End if self.phase == Phase::Streaming => print(&self.last),
            Told::End => {}
        }
    }

    fn notice(&mut self, at: Timestamp, notice: &Notice, wants: Wants<'_>) {
        if let Notice::Ready(ready) = notice {
            return self.ready(ready);
        }
        let was_joining = self.phase == Phase::Joining;
        match notice {
            Notice::Joined { contacted, .. } if was_joining => {
                print(&format!("    Join completed. Synced with {contacted} initial agents\n"));
            }
            Notice::CannotJoin { error, pause: None } if was_joining => {
                print(&format!("==> {error}\n"));
                self.phase = Phase::Ended;
            }
            _ => {}
        }
        for said in self.in_serfs_words(notice) {
            self.say(at, said, wants);
        }
        if matches!(notice, Notice::Joined { .. }) && was_joining {
            self.stream();
        }
    }

    /// The sockets are bound.
    fn ready(&mut self, ready: &Ready) {
        self.advertise = Some(ready.advertise);
        print(&banner(ready, &self.config));
        if self.config.gossip.start_join {
            self.phase = Phase::Joining;
            print(&format!("==> Joining cluster...(replay: {})\n", self.config.gossip.replay_on_join));
        } else {
            self.stream();
        }
    }

    fn say(&mut self, at: Timestamp, said: Said, wants: Wants<'_>) {
        let log = |level, part: &str, text: &str| {
            if wants(part, level) { indented(&serf_line(at, level, part, text)) } else { String::new() }
        };
        match said {
            Said::Raw(text) => print(&text),
            Said::Last(level, part, text) => self.last.push_str(&log(level, part, text)),
            Said::Log(level, part, text) => self.log(&log(level, part, &text)),
        }
    }

    fn log(&mut self, text: &str) {
        match self.phase {
            Phase::Starting | Phase::Joining => self.held.push_str(text),
            Phase::Streaming => print(text),
            Phase::Ended => {}
        }
    }

    fn stream(&mut self) {
        self.phase = Phase::Streaming;
        print(&format!("\n==> Log data will now stream in as it occurs:\n\n{}", std::mem::take(&mut self.held)));
    }

    fn in_serfs_words(&self, notice: &Notice) -> Vec<Said> {
        let info = |part, text: String| Said::Log(Level::INFO, part, text);
        let warn = |part, text: String| Said::Log(Level::WARN, part, text);
        let error = |part, text: String| Said::Log(Level::ERROR, part, text);
        let caught = |signal: &str, more: &str| Said::Raw(format!("==> Caught signal: {signal}\n{more}"));
        let shutdown = Said::Last(Level::INFO, "agent", "requesting serf shutdown");
        let unannounced = Said::Last(Level::WARN, "serf", "Shutdown without a Leave");
        let complete = Said::Last(Level::INFO, "agent", "shutdown complete");
        match notice {
            Notice::Starting { .. } => vec![info("agent", "Serf agent starting".to_owned())],
            Notice::TagsRestored { tags, file } => {
                vec![info("agent", format!("Restored {tags} tag(s) from {}", escape(file)))]
            }
            // The lines before the log say so; a missing key is warned about on standard error.
            Notice::GossipListening { .. }
            | Notice::NotEncrypted
            | Notice::RpcSocketListening { .. }
            | Notice::RpcListening { .. }
            | Notice::Ready(_) => vec![],
            Notice::Member(MemberEvent { kind, member, .. }) => {
                let event = match kind {
                    MemberEventKind::Join => "Join",
                    MemberEventKind::Leave => "Leave",
                    MemberEventKind::Failed => "Failed",
                    MemberEventKind::Update => "Update",
                    MemberEventKind::Reap => "Reap",
                };
                let (name, addr) = (escape(member.node.name.as_str()), member.node.addr.ip());
                vec![info("serf", format!("EventMember{event}: {name} {addr}"))]
            }
            Notice::EventReceived { event } => vec![info("agent", format!("Received event: {}", escape(event)))],
            Notice::Joining { addresses, replay, configured } => {
                let joining = info("agent", format!("joining: [{addresses}] replay: {replay}"));
                let always = self.config.gossip.replay_on_join;
                let announced = info("agent", format!("Joining cluster...(replay: {always})"));
                let is_retry = *configured && !self.config.gossip.start_join;
                is_retry.then_some(announced).into_iter().chain([joining]).collect()
            }
            Notice::Joined { contacted, .. } => vec![info("agent", format!("joined: {contacted} nodes"))],
            Notice::CannotJoin { error, pause } => {
                let failed = warn("agent", format!("error joining: {error}"));
                let retry = |pause: &std::time::Duration| {
                    warn("agent", format!("Join failed: {error}, retrying in {}s", pause.as_secs()))
                };
                std::iter::once(failed).chain(pause.as_ref().map(retry)).collect()
            }
            Notice::JoinGivenUp { .. } => vec![
                error("agent", "maximum retry join attempts made, exiting".to_owned()),
                shutdown,
                unannounced,
                complete,
            ],
            Notice::NameConflict { member, other } => {
                let name = escape(member.as_str());
                let mine = self.advertise.map(|own| own.to_string()).unwrap_or_default();
                let conflict = format!("Conflicting address for {name}. Mine: {mine} Theirs: {other} Old state: 0");
                let unique = format!(
                    "Node name conflicts with another node at {other}. Names must be unique! (Resolution enabled: true)"
                );
                vec![error("memberlist", conflict), error("serf", unique)]
            }
            // The reference's says nothing of it.
            Notice::NameClaimed { member, other } => {
                let name = escape(member.as_str());
                vec![warn(
                    "agent",
                    format!("Node name {name} is claimed by another node at {other}, which may not keep it"),
                )]
            }
            Notice::NameTrouble(NameTrouble::Claimed { name, holder, other }) => {
                let name = escape(name.as_str());
                vec![warn("serf", format!("Name conflict for '{name}' both {holder} and {other} are claiming"))]
            }
            // The reference knows no such limit.
            Notice::NameTrouble(NameTrouble::TooLong { addr, bytes }) => {
                let limit = NodeName::MAX_BYTES;
                vec![warn(
                    "agent",
                    format!("Node name of {addr} has {bytes} bytes, more than {limit}, ignoring the node"),
                )]
            }
            Notice::Leaving { signal } => {
                let signal = signal.map(|signal| caught(signal, "==> Gracefully shutting down agent...\n"));
                let leave = info("agent", "requesting graceful leave from Serf".to_owned());
                signal.into_iter().chain([leave]).collect()
            }
            Notice::Left { .. } => vec![shutdown, complete],
            // The reference's stops at once.
            Notice::LeaveGoesOn { signal } => vec![caught(signal, "")],
            Notice::Stopping { signal } => vec![caught(signal, ""), shutdown, unannounced, complete],
            Notice::Reloading { signal } => vec![caught(signal, "==> Reloading configuration...\n")],
            Notice::ReloadFailed { mistakes, .. } => {
                let mistakes: String = mistakes.iter().map(|mistake| format!("==> {}\n", escape(mistake))).collect();
                vec![Said::Raw(mistakes + "==> Failed to reload configs\n")]
            }
        }
    }
}

/// As log lines are on this output.
fn indented(line: &str) -> String {
    format!("    {line}{}", if line.ends_with('\n') { "" } else { "\n" })
}

/// The lines between the start and the log.
fn banner(ready: &Ready, config: &Config) -> String {
    let mut out = "==> Starting Serf agent RPC...\n==> Serf agent running!\n".to_owned();
    let profile = match config.gossip.profile {
        Profile::Lan => "lan",
        Profile::Wan => "wan",
        Profile::Local => "local",
    };
    let rpc = ready.rpc.map(|rpc| rpc.to_string()).unwrap_or_default();
    out.push_str(&format!("                      Node name: '{}'\n", ready.name));
    out.push_str(&format!("                      Bind addr: '{}'\n", ready.bind));
    if matches!(config.gossip.advertise, Advertise::Address(..)) {
        out.push_str(&format!("    Advertise addr: '{}'\n", ready.advertise));
    }
    out.push_str(&format!("                       RPC addr: '{rpc}'\n"));
    out.push_str(&format!("                      Encrypted: {}\n", ready.encrypted));
    out.push_str(&format!("                       Snapshot: {}\n", config.snapshot.path.is_some()));
    out.push_str(&format!("                        Profile: {profile}\n"));
    out.push_str(&format!("    Message Compression Enabled: {}\n", config.gossip.compression));
    out
}
