//! What the command line says, laid over everything else.

use super::secret::Secret;
use super::serf::{Extras, KEYS, Kind, Layer, NO_SYSLOG};
use super::tree::{Node, Origin, Value, set};

/// The flags of `weir agent`, unread: every value is checked here, so that a wrong one is reported with all other mistakes.
/// `None` and an empty list are a flag that was not given.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--node`
    pub node: Option<String>,
    /// `--role`
    pub role: Option<String>,
    /// `--tag NAME=VALUE`, repeatable
    pub tag: Vec<String>,
    /// `--tags-file`
    pub tags_file: Option<String>,
    /// `--bind`
    pub bind: Option<String>,
    /// `--iface`
    pub iface: Option<String>,
    /// `--advertise`
    pub advertise: Option<String>,
    /// `--encrypt`
    pub encrypt: Option<Secret>,
    /// `--keyring-file`
    pub keyring_file: Option<String>,
    /// `--log-level`
    pub log_level: Option<String>,
    /// `--rpc-addr`
    pub rpc_addr: Option<String>,
    /// `--protocol`
    pub protocol: Option<i64>,
    /// `--replay`
    pub replay: Option<bool>,
    /// `--join`, repeatable
    pub join: Vec<String>,
    /// `--retry-join`, repeatable
    pub retry_join: Vec<String>,
    /// `--retry-max`
    pub retry_max: Option<i64>,
    /// `--retry-interval`
    pub retry_interval: Option<String>,
    /// `--event-handler`, repeatable
    pub event_handler: Vec<String>,
    /// `--profile`
    pub profile: Option<String>,
    /// `--snapshot`
    pub snapshot: Option<String>,
    /// `--rejoin`
    pub rejoin: Option<bool>,
    /// `--discover`
    pub discover: Option<String>,
    /// `--mdns-iface`
    pub mdns_iface: Option<String>,
    /// `--mdns-disable-ipv4`
    pub mdns_disable_ipv4: Option<bool>,
    /// `--mdns-disable-ipv6`
    pub mdns_disable_ipv6: Option<bool>,
    /// `--syslog`
    pub syslog: Option<bool>,
    /// `--broadcast-timeout`
    pub broadcast_timeout: Option<String>,
    /// `--disable-compression`
    pub disable_compression: Option<bool>,
    /// `--rpc-auth`; ours
    pub rpc_auth: Option<Secret>,
    /// `--rpc-token-file`; ours
    pub rpc_token_file: Option<String>,
    /// `--rpc-socket`; ours
    pub rpc_socket: Option<String>,
    /// `--seal`; ours
    pub seal: Option<String>,
    /// `--label`; ours
    pub label: Option<String>,
    /// `--log-format`; ours
    pub log_format: Option<String>,
}

impl Overrides {
    /// Whether any flag was given.
    pub(crate) fn is_any(&self) -> bool {
        let layer = self.layer(Extras::default(), true);
        let Extras { encrypt, rpc_auth, tags_file, protocol, interface, bad_tags, .. } = &layer.extras;
        let extra = encrypt.is_some() || rpc_auth.is_some() || tags_file.is_some() || protocol.is_some();
        let more =
            interface.is_some() || !bad_tags.is_empty() || !layer.notices.is_empty() || !layer.mistakes.is_empty();
        !layer.table.is_empty() || extra || more
    }

    /// Whether a flag was given that only weir has. The token's do not count: Serf mode itself may ask for one.
    pub(crate) fn is_ours(&self) -> bool {
        let Self { rpc_socket, seal, label, log_format, .. } = self;
        [rpc_socket, seal, label, log_format].into_iter().any(Option::is_some)
    }

    /// Lists are appended in Serf mode, and replace a file's otherwise.
    pub(crate) fn layer(&self, extras: Extras, serf: bool) -> Layer {
        let mut layer = Layer::new(extras);
        self.texts(&mut layer);
        self.switches(&mut layer);
        self.lists(&mut layer, serf);
        self.secrets(&mut layer);
        layer
    }

    /// Unlike in a file, an empty text is a value: `--snapshot ''` is none.
    fn texts(&self, layer: &mut Layer) {
        let serfs = [
            (&self.node, "--node", "node_name"),
            (&self.role, "--role", "role"),
            (&self.tags_file, "--tags-file", "tags_file"),
            (&self.bind, "--bind", "bind"),
            (&self.iface, "--iface", "interface"),
            (&self.advertise, "--advertise", "advertise"),
            (&self.keyring_file, "--keyring-file", "keyring_file"),
            (&self.log_level, "--log-level", "log_level"),
            (&self.rpc_addr, "--rpc-addr", "rpc_addr"),
            (&self.retry_interval, "--retry-interval", "retry_interval"),
            (&self.profile, "--profile", "profile"),
            (&self.snapshot, "--snapshot", "snapshot_path"),
            (&self.discover, "--discover", "discover"),
            (&self.broadcast_timeout, "--broadcast-timeout", "broadcast_timeout"),
            (&self.mdns_iface, "--mdns-iface", "mdns"),
        ];
        for (value, flag, key) in serfs {
            if let Some(text) = value {
                take(layer, flag, key, Value::Text(text.clone()));
            }
        }
        let ours = [
            (&self.rpc_token_file, "--rpc-token-file", ["rpc", "token_file"]),
            (&self.rpc_socket, "--rpc-socket", ["rpc", "socket"]),
            (&self.seal, "--seal", ["encryption", "seal"]),
            (&self.label, "--label", ["gossip", "label"]),
            (&self.log_format, "--log-format", ["log", "format"]),
        ];
        for (value, flag, path) in ours {
            if let Some(text) = value {
                set(&mut layer.table, &path, Node::new(Value::Text(text.clone()), Origin::Flag(flag.to_owned())));
            }
        }
    }

    fn switches(&self, layer: &mut Layer) {
        let switches = [
            (self.replay, "--replay", ["gossip", "replay_on_join"], false),
            (self.rejoin, "--rejoin", ["snapshot", "rejoin_after_leave"], false),
            (self.disable_compression, "--disable-compression", ["gossip", "compression"], true),
        ];
        for (value, flag, path, inverse) in switches {
            if let Some(truth) = value {
                set(&mut layer.table, &path, Node::new(Value::Bool(truth != inverse), Origin::Flag(flag.to_owned())));
            }
        }
        for (value, flag) in
            [(self.mdns_disable_ipv4, "--mdns-disable-ipv4"), (self.mdns_disable_ipv6, "--mdns-disable-ipv6")]
        {
            if value == Some(true) {
                take(layer, flag, "mdns", Value::Bool(true));
            }
        }
        if self.syslog == Some(true) {
            layer.notice(&Origin::Flag("--syslog".to_owned()), NO_SYSLOG);
        }
        for (value, flag, key) in
            [(self.protocol, "--protocol", "protocol"), (self.retry_max, "--retry-max", "retry_max_attempts")]
        {
            if let Some(number) = value {
                take(layer, flag, key, Value::Int(number));
            }
        }
    }

    fn lists(&self, layer: &mut Layer, serf: bool) {
        for (flag, addresses) in [("--join", &self.join), ("--retry-join", &self.retry_join)] {
            if !addresses.is_empty() {
                let node = Node::appended(addresses.iter().cloned(), &Origin::Flag(flag.to_owned()));
                set(&mut layer.table, &["gossip", "join"], node);
            }
        }
        layer.extras.start_join |= !self.join.is_empty();
        layer.extras.retry_join |= !self.retry_join.is_empty();
        if let Some(join) = layer.table.get_mut("gossip").and_then(|gossip| gossip.table_mut()?.get_mut("join")) {
            join.append = serf;
        }
        for tag in &self.tag {
            layer.tag(tag, &Origin::Flag("--tag".to_owned()));
        }
        for spec in &self.event_handler {
            layer.handler(spec, &Origin::Flag("--event-handler".to_owned()));
        }
    }

    fn secrets(&self, layer: &mut Layer) {
        if let Some(key) = &self.encrypt {
            layer.extras.encrypt = Some((key.clone(), Origin::Flag("--encrypt".to_owned())));
        }
        if let Some(token) = &self.rpc_auth {
            layer.extras.rpc_auth = Some((token.clone(), Origin::Flag("--rpc-auth".to_owned())));
        }
    }
}

/// Takes a flag over as Serf's key of that meaning.
fn take(layer: &mut Layer, flag: &str, key: &str, value: Value) {
    let (_, native, kind) = KEYS.iter().find(|(name, ..)| *name == key).expect("the flags above name keys of Serf's");
    let empty = matches!(&value, Value::Text(text) if text.is_empty());
    let zero = matches!(&value, Value::Int(0));
    let node = Node::new(value, Origin::Flag(flag.to_owned()));
    match kind {
        // What a file cannot say, a flag can: none at all.
        Kind::Text | Kind::Count if empty || zero => {
            set(&mut layer.table, &native.split('.').collect::<Vec<_>>(), node)
        }
        _ => layer.take(flag, native, *kind, &node),
    }
}
