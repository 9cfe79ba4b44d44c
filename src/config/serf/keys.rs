//! Serf's keys, and what each is here (`ux §1.3`).

use super::super::notice::SerfNotice;

/// How a value of Serf's is taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Text,
    /// A log level, in any case.
    Level,
    /// Go's duration; raised to a second where Serf does so and says this.
    Duration {
        raised: Option<SerfNotice>,
    },
    Count,
    /// Serf counts the tries after the first.
    Retries,
    Protocol,
    /// `true` sets the key to this.
    Switch(bool),
    /// `true` or `false` sets the key.
    Bool,
    Texts,
    Tags,
    Role,
    Handlers,
    Encrypt,
    RpcAuth,
    LeaveOnTerminate,
    SkipLeaveOnInterrupt,
    TagsFile,
    Interface,
    Mdns,
    /// Accepted with a notice and its way out, or with none.
    Ignored(&'static str, &'static str),
}

/// Serf's keys, what they are here, and how they are taken over.
pub(crate) const KEYS: [(&str, &str, Kind); 41] = [
    ("node_name", "node.name", Kind::Text),
    ("role", "node.tags", Kind::Role),
    ("tags", "node.tags", Kind::Tags),
    ("tags_file", "node.tags", Kind::TagsFile),
    ("bind", "gossip.bind", Kind::Text),
    ("advertise", "gossip.advertise", Kind::Text),
    ("interface", "gossip.bind", Kind::Interface),
    ("encrypt_key", "encryption.keyring", Kind::Encrypt),
    ("keyring_file", "encryption.keyring", Kind::Text),
    ("log_level", "log.level", Kind::Level),
    ("rpc_addr", "rpc.listen", Kind::Text),
    ("rpc_auth", "rpc.token_file", Kind::RpcAuth),
    ("protocol", "", Kind::Protocol),
    ("replay_on_join", "gossip.replay_on_join", Kind::Switch(true)),
    ("start_join", "gossip.join", Kind::Texts),
    ("retry_join", "gossip.join", Kind::Texts),
    ("retry_max_attempts", "gossip.join_retry_max", Kind::Retries),
    ("retry_interval", "gossip.join_retry_interval", Kind::Duration { raised: Some(SerfNotice::RetryInterval) }),
    ("event_handlers", "handler", Kind::Handlers),
    ("profile", "gossip.profile", Kind::Text),
    ("snapshot_path", "snapshot.path", Kind::Text),
    ("rejoin_after_leave", "snapshot.rejoin_after_leave", Kind::Switch(true)),
    ("leave_on_terminate", "leave.on_stop", Kind::LeaveOnTerminate),
    ("skip_leave_on_interrupt", "leave.on_stop", Kind::SkipLeaveOnInterrupt),
    ("discover", "gossip.discover", Kind::Text),
    ("mdns", "gossip.discover", Kind::Mdns),
    ("reconnect_interval", "gossip.reconnect_interval", Kind::Duration { raised: None }),
    ("reconnect_timeout", "gossip.reconnect_timeout", Kind::Duration { raised: None }),
    ("tombstone_timeout", "gossip.tombstone_timeout", Kind::Duration { raised: None }),
    ("disable_name_resolution", "", Kind::Ignored("name conflicts are always resolved", "")),
    ("disable_coordinates", "gossip.coordinates", Kind::Switch(false)),
    ("enable_syslog", "log.format", NO_SYSLOG),
    ("syslog_facility", "log.format", Kind::Ignored("", "")),
    ("statsite_addr", "", NO_STATS),
    ("statsd_addr", "", NO_STATS),
    ("query_response_size_limit", "gossip.query_response_size_limit", Kind::Count),
    ("query_size_limit", "gossip.query_size_limit", Kind::Count),
    ("user_event_size_limit", "gossip.event_size_limit", Kind::Count),
    ("broadcast_timeout", "gossip.broadcast_timeout", Kind::Duration { raised: Some(SerfNotice::BroadcastTimeout) }),
    ("enable_compression", "gossip.compression", Kind::Bool),
    ("validate_node_names", "", Kind::Ignored("", "")),
];

const NO_SYSLOG: Kind = Kind::Ignored("weir logs to journald or stderr, not to syslog", "see log.format");
const NO_STATS: Kind = Kind::Ignored("weir sends no statistics to statsd or statsite", "");

/// Our key for Serf's, for "did you mean".
pub(crate) fn native_key(serfs: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, native, _)| *name == serfs && !native.is_empty()).map(|(_, native, _)| *native)
}
