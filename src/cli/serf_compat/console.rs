//! Standard output of `serf agent`: start-up lines, then the log with Serf's words where scripts know them (`cli §3`).
//!
//! Log lines are indented, and held back until all that comes before them is printed: a start that fails shows none. What
//! the reference has no words for is said in ours, in its shape. Times are UTC.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tracing::Level;

use super::print;
use crate::agent::Ready;
use crate::agent::log::{Line, Wants};
use crate::config::{Advertise, Config, Profile};
use crate::escape::escape;

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

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Log lines that wait.
    held: String,
    /// Those of the end.
    last: String,
    advertise: Option<SocketAddr>,
}

/// Standard output. Lines come from the agent's thread and from those that write files.
#[derive(Debug)]
pub(super) struct Console {
    config: Config,
    state: Mutex<State>,
}

/// What one of our log lines is on this output.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    /// As it is, whatever the level.
    Raw(String),
    /// A log line for the agent's very end.
    Last(Level, &'static str, &'static str),
    /// Our own words.
    Ours,
    Log(Level, &'static str, String),
}

impl Console {
    pub(super) fn new(config: Config) -> Self {
        let state = State { phase: Phase::Starting, held: String::new(), last: String::new(), advertise: None };
        Self { config, state: Mutex::new(state) }
    }

    /// The agent is ready: its sockets are bound.
    pub(super) fn ready(&self, ready: &Ready) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advertise = Some(ready.advertise);
        print(&banner(ready, &self.config));
        if self.config.gossip.start_join {
            state.phase = Phase::Joining;
            print(&format!("==> Joining cluster...(replay: {})\n", self.config.gossip.replay_on_join));
        } else {
            state.stream();
        }
    }

    /// The agent has ended.
    pub(super) fn ended(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.phase == Phase::Streaming {
            print(&state.last);
        }
    }

    /// Takes one line of the agent's log, at every level; `wants` tells what the operator asked for.
    pub(super) fn line(&self, line: &Line, wants: Wants<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.phase == Phase::Joining {
            match line.phrase() {
                "joined" => {
                    print(&format!("    Join completed. Synced with {} initial agents\n", line.field("contacted")));
                    self.say(&mut state, line, wants);
                    return state.stream();
                }
                "cannot join" => {
                    print(&format!("==> {}\n", line.field("error")));
                    state.phase = Phase::Ended;
                }
                _ => {}
            }
        }
        self.say(&mut state, line, wants);
    }

    fn say(&self, state: &mut State, line: &Line, wants: Wants<'_>) {
        for said in self.in_serfs_words(line, state.advertise) {
            let log = |level, part: &str, text: &str| {
                let end = if text.ends_with('\n') { "" } else { "\n" };
                if wants(part, level) { format!("    {}{end}", line.serf_as(level, part, text)) } else { String::new() }
            };
            let text = match said {
                Said::Raw(text) => {
                    print(&text);
                    continue;
                }
                Said::Last(level, part, text) => {
                    state.last.push_str(&log(level, part, text));
                    continue;
                }
                Said::Ours => log(line.level(), line.part(), &line.message()),
                Said::Log(level, part, text) => log(level, part, &text),
            };
            match state.phase {
                Phase::Starting | Phase::Joining => state.held.push_str(&text),
                Phase::Streaming => print(&text),
                Phase::Ended => {}
            }
        }
    }

    fn in_serfs_words(&self, line: &Line, own: Option<SocketAddr>) -> Vec<Said> {
        let info = |part, text: String| Said::Log(Level::INFO, part, text);
        let warn = |part, text: String| Said::Log(Level::WARN, part, text);
        let error = |part, text: String| Said::Log(Level::ERROR, part, text);
        let member = |event: &str| {
            let (name, addr) = (escape(line.field("member")), line.field("addr"));
            let host = addr.parse::<SocketAddr>().map_or_else(|_| addr.to_owned(), |addr| addr.ip().to_string());
            vec![info("serf", format!("EventMember{event}: {name} {host}"))]
        };
        let caught = || format!("==> Caught signal: {}\n", line.field("signal"));
        let shutdown = Said::Last(Level::INFO, "agent", "requesting serf shutdown");
        let unannounced = Said::Last(Level::WARN, "serf", "Shutdown without a Leave");
        let complete = Said::Last(Level::INFO, "agent", "shutdown complete");
        let replay = self.config.gossip.replay_on_join;
        match line.phrase() {
            "starting" => vec![info("agent", "Serf agent starting".to_owned())],
            // The lines before the log say so; a missing key is warned about on standard error.
            "gossip listening" | "rpc listening" | "ready" => vec![],
            "gossip is not encrypted; give the cluster a key ('weir keygen')" => vec![],
            "member joined" => member("Join"),
            "member left" => member("Leave"),
            "member failed" => member("Failed"),
            "member updated" => member("Update"),
            "member forgotten" => member("Reap"),
            "event received" => vec![info("agent", format!("Received event: {}", escape(line.field("event"))))],
            "joining" => {
                let addresses = line.field("addresses");
                let joining = info("agent", format!("joining: [{addresses}] replay: {}", line.field("replay")));
                let announced = info("agent", format!("Joining cluster...(replay: {replay})"));
                let is_retry = line.field("configured") == "true" && !self.config.gossip.start_join;
                is_retry.then_some(announced).into_iter().chain([joining]).collect()
            }
            "joined" => vec![info("agent", format!("joined: {} nodes", line.field("contacted")))],
            "cannot join" => vec![warn("agent", format!("error joining: {}", line.field("error")))],
            "cannot join, trying again" => {
                let (why, pause) = (line.field("error"), line.field("pause_s"));
                vec![
                    warn("agent", format!("error joining: {why}")),
                    warn("agent", format!("Join failed: {why}, retrying in {pause}s")),
                ]
            }
            "giving up to join" => vec![
                error("agent", "maximum retry join attempts made, exiting".to_owned()),
                shutdown,
                unannounced,
                complete,
            ],
            "another member uses our name, asking the others" => {
                let (name, theirs) = (escape(line.field("member")), line.field("addr"));
                let mine = own.map(|own| own.to_string()).unwrap_or_default();
                let conflict = format!("Conflicting address for {name}. Mine: {mine} Theirs: {theirs} Old state: 0");
                let unique = format!(
                    "Node name conflicts with another node at {theirs}. Names must be unique! (Resolution enabled: true)"
                );
                vec![error("memberlist", conflict), error("serf", unique)]
            }
            "leaving" => {
                let signal = (!line.field("signal").is_empty())
                    .then(|| Said::Raw(caught() + "==> Gracefully shutting down agent...\n"));
                let leave = info("agent", "requesting graceful leave from Serf".to_owned());
                signal.into_iter().chain([leave]).collect()
            }
            "left" | "left, some members did not confirm it" => vec![shutdown, complete],
            "stopping without a leave" => vec![Said::Raw(caught()), shutdown, unannounced, complete],
            "reloading" => vec![Said::Raw(caught() + "==> Reloading configuration...\n")],
            "configuration is wrong, the running one stays" => {
                vec![Said::Raw(format!("==> {}\n==> Failed to reload configs\n", escape(line.field("error"))))]
            }
            _ => vec![Said::Ours],
        }
    }
}

impl State {
    fn stream(&mut self) {
        self.phase = Phase::Streaming;
        print(&format!("\n==> Log data will now stream in as it occurs:\n\n{}", std::mem::take(&mut self.held)));
    }
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
