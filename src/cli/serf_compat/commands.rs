//! The commands of the `serf`-named program with their flags, and help, whose layout is Serf's and whose words are ours.

use super::super::agent::PATHS;
use super::flags::{Flag, Kind};
use crate::config::{FLAGS, Takes};

/// Printed without a command, with an unknown one (both end with 127) and for `-h`.
pub(super) fn top() -> String {
    let mut out = "Usage: serf [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n".to_owned();
    for command in COMMANDS {
        out.push_str(&format!("    {:<16}{}\n", command.name, command.summary));
    }
    out + "\n"
}

/// The usage of one command, with its final line end.
pub(super) fn usage(name: &str) -> String {
    let Some(command) = find(name) else { return top() };
    let mut out = format!("Usage: serf {} {}", command.name, command.arguments).trim_end().to_owned();
    out.push_str(&format!("\n\n  {}.\n", command.summary));
    let flags = flags(name);
    if !flags.is_empty() {
        out.push_str("\nOptions:\n\n");
    }
    for flag in flags.iter().filter(|flag| !flag.help.is_empty()) {
        out.push_str(&format!("  {:<26}{}\n", flag.shown(), flag.help));
    }
    out
}

/// Whether there is such a command.
pub(in super::super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// The flags of a command.
pub(super) fn flags(name: &str) -> Vec<Flag> {
    match find(name).map(|command| &command.flags) {
        None => Vec::new(),
        Some(Flags::Agent) => agent_flags(),
        Some(Flags::None) => Vec::new(),
        Some(Flags::Client(own)) => own.iter().chain(&RPC).copied().collect(),
    }
}

fn agent_flags() -> Vec<Flag> {
    let paths = PATHS.map(|path| Flag::new(path.name, Kind::List, path.value, path.help));
    let settings = FLAGS.iter().map(|flag| {
        let (kind, value) = match flag.takes {
            Takes::Text => (Kind::Text, flag.value),
            Takes::Texts => (Kind::List, flag.value),
            Takes::Number => (Kind::Int, flag.value),
            Takes::Switch => (Kind::Bool, ""),
        };
        // Which key of ours it sets does not matter here.
        let help = flag.help.split(" [").next().unwrap_or_default();
        Flag::new(flag.name, kind, value, help)
    });
    paths.into_iter().chain(settings).collect()
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

struct Command {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    flags: Flags,
}

enum Flags {
    /// Those of `weir agent`.
    Agent,
    /// These, and those of every command that asks an agent.
    Client(&'static [Flag]),
    None,
}

const RPC: [Flag; 2] = [
    Flag::new("rpc-addr", Kind::Text, "127.0.0.1:7373", "Where the agent's RPC listens"),
    Flag::new("rpc-auth", Kind::Text, "\"\"", "The agent's RPC token"),
];

const FORMAT: Flag = Flag::new("format", Kind::Text, "text", "text or json");

const COMMANDS: [Command; 15] = [
    Command {
        name: "agent",
        arguments: "[options]",
        summary: "Runs an agent until it is told to stop",
        flags: Flags::Agent,
    },
    Command {
        name: "event",
        arguments: "[options] name payload",
        summary: "Sends a user event to all members",
        flags: Flags::Client(&[Flag::new(
            "coalesce",
            Kind::Bool,
            "true",
            "Whether receivers may keep only the newest of a name",
        )]),
    },
    Command {
        name: "force-leave",
        arguments: "[options] name",
        summary: "Turns a failed member into one that left",
        flags: Flags::Client(&[Flag::new("prune", Kind::Bool, "", "Also forget it at once")]),
    },
    Command {
        name: "info",
        arguments: "[options]",
        summary: "Shows counters and settings of the agent",
        flags: Flags::Client(&[FORMAT]),
    },
    Command {
        name: "join",
        arguments: "[options] address ...",
        summary: "Makes the agent join a cluster",
        flags: Flags::Client(&[Flag::new("replay", Kind::Bool, "", "Deliver user events older than the join")]),
    },
    Command { name: "keygen", arguments: "", summary: "Makes a new key for gossip", flags: Flags::None },
    Command {
        name: "keys",
        arguments: "[options]...",
        summary: "Changes or lists the keys of all members",
        flags: Flags::Client(&[
            Flag::new("install", Kind::Text, "KEY", "Make all members know a key"),
            Flag::new("use", Kind::Text, "KEY", "Make all members seal with a key they know"),
            Flag::new("remove", Kind::Text, "KEY", "Make all members forget a key"),
            Flag::new("list", Kind::Bool, "", "List the keys and how many members know each"),
        ]),
    },
    Command {
        name: "leave",
        arguments: "",
        summary: "Makes the agent leave the cluster and stop",
        flags: Flags::Client(&[]),
    },
    Command {
        name: "members",
        arguments: "[options]",
        summary: "Lists the members of the cluster",
        flags: Flags::Client(&[
            Flag::new("detailed", Kind::Bool, "", "Show protocol versions, too"),
            FORMAT,
            Flag::new("name", Kind::Text, "REGEXP", "Only members of such a name"),
            Flag::new("role", Kind::Text, "REGEXP", "Deprecated; use -tag role=REGEXP"),
            Flag::new("status", Kind::Text, "REGEXP", "Only members of such a status"),
            Flag::new("tag", Kind::List, "KEY=REGEXP", "Only members with such a tag; repeatable"),
        ]),
    },
    Command {
        name: "monitor",
        arguments: "[options]",
        summary: "Shows the agent's log lines and events as they come",
        flags: Flags::Client(&[Flag::new("log-level", Kind::Text, "info", "trace, debug, info, warn or err")]),
    },
    Command {
        name: "query",
        arguments: "[options] name payload",
        summary: "Asks all members and shows their answers",
        flags: Flags::Client(&[
            FORMAT,
            Flag::new("node", Kind::List, "NAME", "Only ask this member; repeatable"),
            Flag::new("tag", Kind::List, "KEY=REGEXP", "Only ask members with such a tag; repeatable"),
            Flag::new("timeout", Kind::Duration, "DURATION", "How long to wait"),
            Flag::new("no-ack", Kind::Bool, "", "Do not ask for acknowledgements"),
            Flag::new("relay-factor", Kind::Int, "0", "Other members that relay each answer"),
        ]),
    },
    Command {
        name: "reachability",
        arguments: "[options]",
        summary: "Tests whether every live member answers",
        flags: Flags::Client(&[Flag::new("verbose", Kind::Bool, "", "Show every answer and the times")]),
    },
    Command {
        name: "rtt",
        arguments: "[options] node1 [node2]",
        summary: "Estimates the round trip time between two members",
        flags: Flags::Client(&[]),
    },
    Command {
        name: "tags",
        arguments: "[options] ...",
        summary: "Changes the tags of the agent",
        flags: Flags::Client(&[
            Flag::new("set", Kind::List, "KEY=VALUE", "Set a tag; repeatable"),
            Flag::new("delete", Kind::List, "KEY", "Remove a tag; repeatable"),
        ]),
    },
    Command { name: "version", arguments: "", summary: "Prints the version", flags: Flags::None },
];
