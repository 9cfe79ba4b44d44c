//! Configuration: from files, environment and flags to checked values (`ux §1`).
//!
//! [`load`] reads the layers, lowest first: defaults, TOML files (and Serf's JSON), environment, flags. Tables merge key by
//! key, a scalar or list is replaced whole. The result is a [`Config`] in which every value is valid, or [`ConfigErrors`]
//! with all mistakes at once, each with file, line, column, key, value and the way out.
//!
//! | file | owns |
//! |---|---|
//! | `tree`, `document`, `json` | values as written, with their places |
//! | `serf`, `environment`, `flag`, `overrides`, `file` | the layers |
//! | `reader`, `value`, `duration` | reading a key: type, bounds, default, and the record of it |
//! | `node` … `upstream` | one table each, as checked values |
//! | `service` | the keys of a request to a service, which several tables have |
//! | `hash` | by what two processes know that they run with the same |
//! | `show`, `schema`, `convert`, `reload` | what `weir config` prints, and what a reload changes |
//!
//! Opening keyrings and sockets is [`crate::agent`]'s; here it is decided which.

mod address;
mod apply;
mod check;
mod convert;
mod document;
pub(crate) mod duration;
mod encryption;
mod environment;
mod file;
mod flag;
mod gossip;
mod handler;
mod hash;
mod health;
mod json;
mod mistake;
mod node;
mod notice;
mod options;
mod overrides;
mod process;
mod reader;
pub mod reload;
mod schema;
mod secret;
mod serf;
mod service;
pub mod show;
mod template;
mod tree;
mod upstream;
mod value;

pub use crate::swim::Profile;
pub use address::{Advertise, BindAddress, BindHost, GOSSIP_PORT, JoinAddress};
pub use apply::{Apply, ApplyMode, Automatic, ForeignEdit, Nginx, Reload};
pub use check::{Check, Subject, Unit};
pub use convert::{Converted, convert};
pub use encryption::{Encryption, Seal};
pub(crate) use file::MAX_BYTES;
pub use file::{Loaded, Source, Sources, load};
pub(crate) use flag::{FLAGS, Flag, Takes, boolean};
pub use gossip::Gossip;
pub use handler::{Command, Handler};
pub use hash::ConfigHash;
pub use health::Health;
pub(crate) use mistake::nearest;
pub use mistake::{ConfigErrors, Mistake};
pub(crate) use node::reserved_tag;
pub use node::{MAX_TAG_BYTES, Node, RESERVED_TAG_BYTES};
pub use notice::{Notice, SerfNotice};
pub use overrides::Overrides;
pub use process::{Leave, Level, Log, LogFilter, LogFormat, Rpc, Snapshot};
pub use reader::{Setting, When};
pub use schema::schema;
pub use secret::{Secret, SecretSource};
pub(crate) use serf::{KEYS as SERF_KEYS, Kind as SerfKind};
pub(crate) use service::name_and_port;
pub use service::{Address, Expression, Header, Http, HttpUrl, ProxyVersion, Service, StatusSet, Tcp, Tls};
pub(crate) use template::CANDIDATE;
pub use template::{FileMode, Owner, Template};
pub use tree::Origin;
pub use upstream::{Probe, Upstream, UpstreamFile};

use serde_json::Value as Json;

use crate::error::Trouble;

use reader::{Reader, Section};
use serf::Extras;
use tree::Table;

/// Whose defaults apply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Ours.
    Weir,
    /// Serf's: only Serf's flags and files were given, or the program was called by its name.
    Serf,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whose defaults apply where nothing is said.
    pub mode: Mode,
    /// Name and tags.
    pub node: Node,
    /// The cluster's traffic.
    pub gossip: Gossip,
    /// Keys and envelope.
    pub encryption: Encryption,
    /// The rejoin log.
    pub snapshot: Snapshot,
    /// Control.
    pub rpc: Rpc,
    /// The log.
    pub log: Log,
    /// Event handlers in order of appearance.
    pub handlers: Vec<Handler>,
    /// Checks in order of appearance.
    pub checks: Vec<Check>,
    /// What a balancer asks its servers.
    pub health: Health,
    /// Upstreams in order of appearance.
    pub upstreams: Vec<Upstream>,
    /// Templates in order of appearance.
    pub templates: Vec<Template>,
    /// When files are put in place.
    pub apply: Apply,
    /// The NGINX that is fed.
    pub nginx: Nginx,
    /// What stopping means.
    pub leave: Leave,
    settings: Vec<Setting>,
}

impl Config {
    /// Reads the merged tree. With mistakes, the values in their place are defaults.
    fn read(table: &Table, extras: &Extras, mode: Mode, host_name: &str) -> (Self, Vec<Mistake>) {
        let reader = Reader::new(mode == Mode::Serf);
        let (mut config, _) = reader.root(table, |root| Self::read_root(root, extras, mode, host_name));
        let (settings, mistakes) = reader.finish();
        config.settings = settings;
        (config, mistakes)
    }

    /// The JSON Schema of a file: what is asked for in an empty one.
    fn schema() -> Json {
        let (reader, nothing) = (Reader::new(false), Table::new());
        reader.root(&nothing, |root| Self::read_root(root, &Extras::default(), Mode::Weir, "")).1
    }

    fn read_root(root: &Section<'_>, extras: &Extras, mode: Mode, host_name: &str) -> Self {
        let node = root.section("node", |section| Node::read(section, extras, host_name));
        let gossip = root.section("gossip", |section| Gossip::read(section, extras));
        let encryption = root.section("encryption", |section| Encryption::read(section, extras));
        let snapshot = root.section("snapshot", |section| Snapshot::read(section, &encryption));
        let rpc = root.section("rpc", |section| Rpc::read(section, extras));
        let log = root.section("log", Log::read);
        let handlers = root.named("handler", Handler::read);
        let checks = root.named("check", Check::read);
        check::count(root, &checks);
        let health = root.section("health", Health::read);
        let drafts = root.named("upstream", upstream::Draft::read);
        let templates = root.named("template", Template::read);
        let apply = root.section("apply", Apply::read);
        let nginx = root.section("nginx", Nginx::read);
        let leave = root.section("leave", |section| Leave::read(section, extras));
        let upstreams = upstream::place_files(root, drafts, &nginx.config);
        template::check_files(root, &templates, &upstreams, &nginx.config);
        let settings = Vec::new();
        Self {
            mode,
            node,
            gossip,
            encryption,
            snapshot,
            rpc,
            log,
            handlers,
            checks,
            health,
            upstreams,
            templates,
            apply,
            nginx,
            leave,
            settings,
        }
    }

    /// Every key with its effective value, its default and its place, table by table.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// What an operator should know although nothing is wrong.
    fn notices(&self, extras: &Extras) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut add =
            |at: &Origin, what: &str, way_out: &str| notices.push(Notice::new(at.clone(), Trouble::new(what, way_out)));
        if let Some((_, at)) = &extras.encrypt {
            add(at, "the key is visible to others on this host", "put it into a keyring file ('weir keys import')");
        }
        if let Some((_, at)) = &extras.rpc_auth {
            add(at, "the token is visible to others on this host", "put it into a file (rpc.token_file)");
        }
        if let Some(Trouble { what, way_out }) = self.node.notice() {
            let name = self.settings.iter().find(|setting| (&*setting.table, &*setting.name) == ("node", "name"));
            add(name.map_or(&Origin::Default, |name| &name.origin), &what, &way_out);
        }
        if self.encryption.keyring.is_none() {
            add(&Origin::Default, "gossip is not encrypted", "give the cluster a key ('weir keygen')");
        }
        notices
    }
}

/// What a configuration without any source says, for a host named `localhost`.
impl Default for Config {
    fn default() -> Self {
        Self::read(&Table::new(), &Extras::default(), Mode::Weir, "localhost").0
    }
}
