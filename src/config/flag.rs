//! The flags of `weir agent`, which are Serf's and a few of ours: the one place that lists them.
//!
//! Help, the parsers of both command lines and [`Overrides`](super::Overrides) walk this table. Values are kept as they were
//! given and checked with all others, so that a wrong one is reported with all other mistakes.

use super::secret::Secret;
use super::serf::Extras;
use super::tree::{Origin, Value};

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Takes {
    /// Text; the last one counts.
    Text,
    /// Text, each time.
    Texts,
    /// A whole number.
    Number,
    /// Nothing, or a boolean after `=`.
    Switch,
}

/// What a flag sets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sets {
    /// This key of ours.
    Key(&'static str),
    /// The opposite of this key of ours.
    Not(&'static str),
    /// What this key of Serf's files sets.
    Serf(&'static str),
    /// What no key of ours may hold in the clear.
    Secret(fn(&mut Extras) -> &mut Option<(Secret, Origin)>),
    /// A member to join; whether a first try that fails is final.
    Join(fn(&mut Extras) -> &mut bool),
    Tag,
    Handler,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Its name without dashes.
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    /// What help calls its value.
    pub(crate) value: &'static str,
    /// One line, with the key that it sets in brackets.
    pub(crate) help: &'static str,
    /// Accepted for Serf's sake and not in our help.
    pub(crate) hidden: bool,
    /// Only weir has it, so whoever gives it wants weir's defaults.
    pub(super) ours: bool,
    pub(super) sets: Sets,
}

impl Flag {
    const fn new(name: &'static str, takes: Takes, value: &'static str, sets: Sets, help: &'static str) -> Self {
        Self { name, takes, value, help, hidden: false, ours: false, sets }
    }

    const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    const fn ours(self) -> Self {
        Self { ours: true, ..self }
    }

    /// The flag of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        FLAGS.iter().find(|flag| flag.name == name)
    }

    /// As it is typed.
    pub(crate) fn typed(&self) -> String {
        format!("--{}", self.name)
    }

    /// Its value as a file would write it, or what `text` is not.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        Ok(match self.takes {
            Takes::Text | Takes::Texts => Value::Text(text.to_owned()),
            Takes::Number => Value::Int(text.parse().map_err(|error: std::num::ParseIntError| error.to_string())?),
            Takes::Switch => Value::Bool(boolean(text)?),
        })
    }
}

/// A boolean as Go's flags write it.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// All flags, in the order of our help.
pub(crate) const FLAGS: [Flag; 34] = {
    use Sets::{Handler, Join, Key, Not, Secret, Serf, Tag};
    use Takes::{Number, Switch, Text, Texts};
    [
        Flag::new("node", Text, "NAME", Serf("node_name"), "Name of this node, unique in the cluster [node.name]"),
        Flag::new("tag", Texts, "KEY=VALUE", Tag, "Tag of this node; repeatable [node.tags]"),
        Flag::new("role", Text, "ROLE", Serf("role"), "Serf's tag `role`; --tag role=ROLE says the same"),
        Flag::new("tags-file", Text, "FILE", Serf("tags_file"), "Serf's file of tags, imported once"),
        Flag::new("bind", Text, "ADDRESS", Serf("bind"), "Address or interface to listen on for gossip [gossip.bind]"),
        Flag::new(
            "iface",
            Text,
            "NAME",
            Serf("interface"),
            "Interface to listen on for gossip, if not named in --bind",
        ),
        Flag::new("advertise", Text, "ADDRESS", Serf("advertise"), "Address that others use [gossip.advertise]"),
        Flag::new(
            "join",
            Texts,
            "ADDRESS",
            Join(|extras| &mut extras.start_join),
            "Join this member, or stop if none answers; repeatable",
        ),
        Flag::new(
            "retry-join",
            Texts,
            "ADDRESS",
            Join(|extras| &mut extras.retry_join),
            "Join this member, trying until it answers; repeatable [gossip.join]",
        ),
        Flag::new(
            "retry-interval",
            Text,
            "DURATION",
            Serf("retry_interval"),
            "Time between two tries [gossip.join_retry_interval]",
        ),
        Flag::new(
            "retry-max",
            Number,
            "COUNT",
            Serf("retry_max_attempts"),
            "Most tries; 0 is no limit [gossip.join_retry_max]",
        ),
        Flag::new(
            "replay",
            Switch,
            "BOOL",
            Key("gossip.replay_on_join"),
            "Deliver user events older than our join [gossip.replay_on_join]",
        ),
        Flag::new(
            "discover",
            Text,
            "NAME",
            Serf("discover"),
            "Find and join peers of this name by mDNS [gossip.discover]",
        ),
        Flag::new("mdns-iface", Text, "NAME", Serf("mdns"), "Serf's; the interface comes from --bind").hidden(),
        Flag::new("mdns-disable-ipv4", Switch, "BOOL", Serf("mdns"), "").hidden(),
        Flag::new("mdns-disable-ipv6", Switch, "BOOL", Serf("mdns"), "").hidden(),
        Flag::new("profile", Text, "PROFILE", Serf("profile"), "Timing: lan, wan or local [gossip.profile]"),
        Flag::new("protocol", Number, "VERSION", Serf("protocol"), "Version of the Serf protocol, 2 to 5"),
        Flag::new(
            "label",
            Text,
            "LABEL",
            Key("gossip.label"),
            "memberlist label, the same on every node [gossip.label]",
        )
        .ours(),
        Flag::new(
            "disable-compression",
            Switch,
            "BOOL",
            Not("gossip.compression"),
            "Send messages uncompressed [gossip.compression]",
        ),
        Flag::new(
            "broadcast-timeout",
            Text,
            "DURATION",
            Serf("broadcast_timeout"),
            "Longest wait for a leave to be heard [gossip.broadcast_timeout]",
        ),
        Flag::new(
            "keyring-file",
            Text,
            "FILE",
            Serf("keyring_file"),
            "File with the keys for gossip [encryption.keyring]",
        ),
        Flag::new(
            "encrypt",
            Text,
            "KEY",
            Secret(|extras| &mut extras.encrypt),
            "Key for gossip; others can see it in the process list",
        ),
        Flag::new(
            "seal",
            Text,
            "SEAL",
            Key("encryption.seal"),
            "Envelope: auto, session, memberlist or off [encryption.seal]",
        )
        .ours(),
        Flag::new(
            "snapshot",
            Text,
            "FILE",
            Serf("snapshot_path"),
            "File to rejoin from after a restart [snapshot.path]",
        ),
        Flag::new(
            "rejoin",
            Switch,
            "BOOL",
            Key("snapshot.rejoin_after_leave"),
            "Rejoin also after a leave [snapshot.rejoin_after_leave]",
        ),
        Flag::new(
            "event-handler",
            Texts,
            "HANDLER",
            Handler,
            "Script for events, [FILTER=]COMMAND; repeatable [handler.*]",
        ),
        Flag::new("rpc-addr", Text, "ADDRESS", Serf("rpc_addr"), "Address to listen on for RPC [rpc.listen]"),
        Flag::new("rpc-socket", Text, "PATH", Key("rpc.socket"), "Unix socket to listen on for RPC [rpc.socket]")
            .ours(),
        // Serf mode itself may ask for a token, so a way to give one does not end it.
        Flag::new(
            "rpc-token-file",
            Text,
            "FILE",
            Key("rpc.token_file"),
            "File with the token of RPC clients [rpc.token_file]",
        ),
        Flag::new(
            "rpc-auth",
            Text,
            "TOKEN",
            Secret(|extras| &mut extras.rpc_auth),
            "Token of RPC clients; others can see it in the process list",
        ),
        Flag::new("log-level", Text, "LEVEL", Serf("log_level"), "Least level of log lines, or per part [log.level]"),
        Flag::new(
            "log-format",
            Text,
            "FORMAT",
            Key("log.format"),
            "Where and how to log: auto, journald, text or json [log.format]",
        )
        .ours(),
        Flag::new("syslog", Switch, "BOOL", Serf("enable_syslog"), "Serf's; logs go to the journal").hidden(),
    ]
};
