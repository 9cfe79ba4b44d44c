//! Help of the `serf`-named program. Its layout is Serf's, its words are ours.

/// Printed without a command, with an unknown one (both end with 127) and for `-h`.
pub(super) fn top() -> String {
    let mut out = "Usage: serf [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n".to_owned();
    for command in COMMANDS {
        out.push_str(&format!("    {:<16}{}\n", command.name, command.summary));
    }
    out + "\n"
}

/// The usage of one command, with its final line end.
pub(super) fn of(name: &str) -> String {
    let Some(command) = find(name) else { return top() };
    let mut out = format!("Usage: serf {} {}", command.name, command.arguments).trim_end().to_owned();
    out.push_str(&format!("\n\n  {}.\n", command.summary));
    if !command.options.is_empty() || command.is_client {
        out.push_str("\nOptions:\n\n");
    }
    let rpc: &[(&str, &str)] = if command.is_client { &RPC } else { &[] };
    for (flag, meaning) in command.options.iter().chain(rpc) {
        out.push_str(&format!("  {flag:<26}{meaning}\n"));
    }
    out
}

/// Whether there is such a command.
pub(in super::super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

struct Command {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    options: &'static [(&'static str, &'static str)],
    is_client: bool,
}

const RPC: [(&str, &str); 2] =
    [("-rpc-addr=127.0.0.1:7373", "Where the agent's RPC listens"), ("-rpc-auth=\"\"", "The agent's RPC token")];

const FORMAT: (&str, &str) = ("-format=text", "text or json");

const COMMANDS: [Command; 15] = [
    Command {
        name: "agent",
        arguments: "[options]",
        summary: "Runs an agent until it is told to stop",
        options: &[
            ("-bind=0.0.0.0:7946", "Address to listen on for gossip"),
            ("-iface=NAME", "Interface to listen on, instead of an address"),
            ("-advertise=ADDR", "Address that the others use"),
            ("-config-file=FILE", "JSON configuration; repeatable"),
            ("-config-dir=DIR", "Directory of .json files, read by name; repeatable"),
            ("-discover=NAME", "Find and join peers of this name by mDNS"),
            ("-encrypt=KEY", "Key for gossip, 16, 24 or 32 bytes in base64"),
            ("-keyring-file=FILE", "File with the keys for gossip"),
            ("-event-handler=[TYPE=]CMD", "Script to run on events; repeatable"),
            ("-join=ADDR", "Join this agent at the start, or stop; repeatable"),
            ("-retry-join=ADDR", "Join this agent, trying again; repeatable"),
            ("-retry-interval=30s", "Time between two tries"),
            ("-retry-max=0", "Most tries; 0 is no limit"),
            ("-replay", "Deliver user events older than the join"),
            ("-log-level=info", "trace, debug, info, warn or err"),
            ("-node=NAME", "Name of this node, unique in the cluster"),
            ("-profile=lan", "Timing: lan, wan or local"),
            ("-protocol=5", "Version of the Serf protocol, 2 to 5"),
            ("-rejoin", "Rejoin from the snapshot also after a leave"),
            ("-snapshot=FILE", "File to rejoin from after a restart"),
            ("-disable-compression", "Send messages uncompressed"),
            ("-role=ROLE", "Deprecated; use -tag role=ROLE"),
            ("-tag KEY=VALUE", "Tag of this node; repeatable"),
            ("-tags-file=FILE", "File that keeps the tags; excludes -tag"),
            ("-rpc-addr=127.0.0.1:7373", "Address to listen on for RPC"),
            ("-syslog", "Accepted; logs go to the journal"),
            ("-broadcast-timeout=5s", "Longest wait for a broadcast to go out"),
        ],
        is_client: false,
    },
    Command {
        name: "event",
        arguments: "[options] name payload",
        summary: "Sends a user event to all members",
        options: &[("-coalesce=true", "Whether receivers may keep only the newest of a name")],
        is_client: true,
    },
    Command {
        name: "force-leave",
        arguments: "[options] name",
        summary: "Turns a failed member into one that left",
        options: &[("-prune", "Also forget it at once")],
        is_client: true,
    },
    Command {
        name: "info",
        arguments: "[options]",
        summary: "Shows counters and settings of the agent",
        options: &[FORMAT],
        is_client: true,
    },
    Command {
        name: "join",
        arguments: "[options] address ...",
        summary: "Makes the agent join a cluster",
        options: &[("-replay", "Deliver user events older than the join")],
        is_client: true,
    },
    Command { name: "keygen", arguments: "", summary: "Makes a new key for gossip", options: &[], is_client: false },
    Command {
        name: "keys",
        arguments: "[options]...",
        summary: "Changes or lists the keys of all members",
        options: &[
            ("-install=KEY", "Make all members know a key"),
            ("-use=KEY", "Make all members seal with a key they know"),
            ("-remove=KEY", "Make all members forget a key"),
            ("-list", "List the keys and how many members know each"),
        ],
        is_client: true,
    },
    Command {
        name: "leave",
        arguments: "",
        summary: "Makes the agent leave the cluster and stop",
        options: &[],
        is_client: true,
    },
    Command {
        name: "members",
        arguments: "[options]",
        summary: "Lists the members of the cluster",
        options: &[
            ("-detailed", "Show protocol versions, too"),
            FORMAT,
            ("-name=REGEXP", "Only members of such a name"),
            ("-role=REGEXP", "Deprecated; use -tag role=REGEXP"),
            ("-status=REGEXP", "Only members of such a status"),
            ("-tag KEY=REGEXP", "Only members with such a tag; repeatable"),
        ],
        is_client: true,
    },
    Command {
        name: "monitor",
        arguments: "[options]",
        summary: "Shows the agent's log lines and events as they come",
        options: &[("-log-level=info", "trace, debug, info, warn or err")],
        is_client: true,
    },
    Command {
        name: "query",
        arguments: "[options] name payload",
        summary: "Asks all members and shows their answers",
        options: &[
            FORMAT,
            ("-node=NAME", "Only ask this member; repeatable"),
            ("-tag KEY=REGEXP", "Only ask members with such a tag; repeatable"),
            ("-timeout=DURATION", "How long to wait"),
            ("-no-ack", "Do not ask for acknowledgements"),
            ("-relay-factor=0", "Other members that relay each answer"),
        ],
        is_client: true,
    },
    Command {
        name: "reachability",
        arguments: "[options]",
        summary: "Tests whether every live member answers",
        options: &[("-verbose", "Show every answer and the times")],
        is_client: true,
    },
    Command {
        name: "rtt",
        arguments: "[options] node1 [node2]",
        summary: "Estimates the round trip time between two members",
        options: &[],
        is_client: true,
    },
    Command {
        name: "tags",
        arguments: "[options] ...",
        summary: "Changes the tags of the agent",
        options: &[("-set KEY=VALUE", "Set a tag; repeatable"), ("-delete KEY", "Remove a tag; repeatable")],
        is_client: true,
    },
    Command { name: "version", arguments: "", summary: "Prints the version", options: &[], is_client: false },
];
