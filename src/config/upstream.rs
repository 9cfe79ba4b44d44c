//! `[upstream.NAME]`: which members are servers, and the file that NGINX gets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;

use crate::upstream::{
    Allow, HashKey, Method, Network, NetworkError, OnEmpty, Options, Policy, PortRule, Rule, TagPattern, UpstreamName,
    WeightRule,
};

use super::apply::absolute;
use super::mistake::Mistake;
use super::reader::Section;
use super::schema::DurationText;
use super::tree::Node;
use super::value::{Text, Written, words};

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// How servers are chosen and weighed.
    pub options: Options,
    /// Failures that NGINX itself counts within `fail_timeout` before it avoids a server; 0 never.
    pub max_fails: u32,
    /// Time in which failures count, and for which a server is then avoided.
    pub fail_timeout: Duration,
    /// What the file holds.
    pub form: Form,
    /// The file; `None` for [`Form::None`].
    pub output: Option<PathBuf>,
    /// Size of NGINX's shared memory zone, as NGINX writes it; `None` without one or where it is not ours.
    pub zone: Option<Zone>,
    /// Idle connections kept by each worker process; 0 is none.
    pub keepalive: u32,
}

/// What an upstream's file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A whole `upstream NAME { … }`.
    Block,
    /// `server` lines, to be included in a block of the user's own.
    Servers,
    /// There is no file.
    None,
}

words!(Form, "a form, \"block\"", ("block", Block), ("servers", Servers), ("none", None));

/// The balancing methods by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MethodName {
    RoundRobin,
    LeastConn,
    RandomTwo,
    RandomTwoLeastConn,
    IpHash,
    Hash,
}

words!(
    MethodName,
    "a method, \"round_robin\"",
    ("round_robin", RoundRobin),
    ("least_conn", LeastConn),
    ("random_two", RandomTwo),
    ("random_two_least_conn", RandomTwoLeastConn),
    ("ip_hash", IpHash),
    ("hash", Hash),
);

words!(OnEmpty, "\"keep\" or \"error\"", ("keep", Keep), ("error", Error));

/// Size of a shared memory zone in NGINX's spelling, `64k` or `1m`; at least 32k.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone(String);

impl Zone {
    /// As NGINX writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A [`Zone`], or none.
struct ZoneText(Option<Zone>);

impl Text for ZoneText {
    const WANTED: &'static str = "a size as NGINX writes it, \"64k\", or \"\" for none";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let unit = text.as_bytes()[text.len() - 1].to_ascii_lowercase();
        let size =
            text[..text.len() - 1].parse::<u64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
        let kilobytes = match (unit, size) {
            (b'k', Some(size)) => size,
            (b'm', Some(size)) => size.saturating_mul(1024),
            _ => return Err(format!("is not a size; write {}", Self::WANTED)),
        };
        if !(32..=1_048_576).contains(&kilobytes) {
            return Err("is out of range; \"32k\" to \"1024m\" is accepted".to_owned());
        }
        Ok(Self(Some(Zone(text.to_ascii_lowercase()))))
    }

    fn text(&self) -> String {
        self.0.as_ref().map(|zone| zone.0.clone()).unwrap_or_default()
    }
}

impl Text for Network {
    const WANTED: &'static str = "a network, \"10.77.0.0/24\"";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| match error {
            NetworkError::Syntax(_) | NetworkError::Prefix(_) => format!("is not a network; write {}", Self::WANTED),
            NetworkError::HostBits { network, .. } => {
                format!("has bits set behind its prefix; did you mean \"{network}\"?")
            }
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// A tag's expression with its source, which [`TagPattern`] shows only with anchors.
struct Expression {
    source: String,
    pattern: TagPattern,
}

impl Text for Expression {
    const WANTED: &'static str = "a regular expression in quotes";

    fn parse(text: &str) -> Result<Self, String> {
        match TagPattern::new(text) {
            Ok(pattern) => Ok(Self { source: text.to_owned(), pattern }),
            Err(error) => {
                let error = error.to_string();
                let last = error.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
                Err(format!("is not a regular expression ({last}); correct it"))
            }
        }
    }

    fn text(&self) -> String {
        self.source.clone()
    }
}

impl Text for HashKey {
    const WANTED: &'static str = "NGINX variables, \"$request_uri\"";

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(text).ok_or_else(|| {
            format!("is not a key to hash; write {}, with letters, digits and $ _ . : / - only", Self::WANTED)
        })
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Upstream {
    /// `None` if its name or `select` is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let upstream_name = UpstreamName::new(name);
        if upstream_name.is_none() {
            let most = UpstreamName::MAX_BYTES;
            let message = format!(
                "\"{}\" is not an upstream's name; 1 to {most} letters, digits, _ and - are accepted",
                name.escape_debug()
            );
            section.mistake(Mistake::new(section.at(), section.path(), message));
        }
        let allow =
            Allow { networks: section.key("allow").or(Vec::new()), loopback: section.key("allow_loopback").or(false) };
        let select = read_select(section);
        let server = section.section("server", Server::read);
        let (policy, file) = (section.section("policy", read_policy), section.section("nginx", File::read));
        let backup = match (file.method.allows_backup(), section.node_at(&["server", "backup"])) {
            (true, _) => server.backup,
            (false, None) => Rule::Fixed(false),
            (false, Some(node)) => {
                if server.backup != Rule::Fixed(false) {
                    let (key, method) = (section.path_of("server"), section.path_of("nginx"));
                    let message = format!(
                        "{key}.backup cannot be used with {method}.method = \"{}\" (NGINX refuses it); remove one",
                        file.method_name.text()
                    );
                    section.mistake(Mistake::across(&node.key_at, &format!("{key}.backup"), message));
                }
                Rule::Fixed(false)
            }
        };
        let options = Options {
            allow,
            port: server.port,
            weight: server.weight,
            backup,
            max_conns: server.max_conns,
            method: file.method,
            policy,
            ..Options::new(upstream_name?, select?)
        };
        Some(Self {
            options,
            max_fails: server.max_fails,
            fail_timeout: server.fail_timeout,
            form: file.form,
            output: file.output,
            zone: file.zone,
            keepalive: file.keepalive,
        })
    }
}

/// Gives every block a file, and no two upstreams the same one.
pub(crate) fn settle_outputs(section: &Section<'_>, upstreams: &mut [Upstream], nginx_config: &Path) {
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    for upstream in upstreams {
        let name = upstream.options.name.as_str();
        if upstream.form == Form::Block && upstream.output.is_none() {
            upstream.output = Some(nginx_config.with_file_name("conf.d").join(format!("weir-{name}.conf")));
        }
        let Some(path) = &upstream.output else { continue };
        if let Some(other) = taken.insert(path.clone(), name.to_owned()) {
            let at = section.node_at(&["upstream", name]).map(|node| node.key_at.clone()).unwrap_or_default();
            let key = format!("upstream.{name}.nginx.output");
            let message =
                format!("{key} is {}, which upstream.{other} writes already; give each its own file", path.display());
            section.mistake(Mistake::across(&at, &key, message));
        }
    }
}

/// Required and not empty, so that nobody selects everybody by omission.
fn read_select(section: &Section<'_>) -> Option<Vec<(String, TagPattern)>> {
    let entries = section.section("select", |select| {
        select.entries::<Expression>().into_iter().map(|(tag, each)| (tag, each.pattern)).collect::<Vec<_>>()
    });
    let written = section.node("select").and_then(Node::as_table);
    if !section.is_set("select") || written.is_some_and(|table| table.is_empty()) {
        let path = section.path_of("select");
        section.conflict(
            "select",
            format!("{path} is missing; write select = {{ role = \"web\" }}, each tag with a regular expression"),
        );
    }
    (!entries.is_empty()).then_some(entries)
}

fn read_policy(section: &Section<'_>) -> Policy {
    Policy { on_empty: section.key("on_empty").or(OnEmpty::Keep), ..Policy::default() }
}

/// `[upstream.NAME.server]`.
struct Server {
    port: PortRule,
    weight: WeightRule,
    backup: Rule<bool>,
    max_conns: Rule<u32>,
    max_fails: u32,
    fail_timeout: Duration,
}

impl Server {
    fn read(section: &Section<'_>) -> Self {
        Self {
            port: read_port(section),
            weight: read_weight(section),
            backup: fixed_or(section, "backup", |tag| rule(tag, "backup", false), Rule::Fixed),
            max_conns: fixed_or(section, "max_conns", |tag| rule(tag, "max_conns", 0), Rule::Fixed),
            max_fails: section.key("max_fails").within(0, 1000).or(1),
            fail_timeout: section
                .key("fail_timeout")
                .check(|value: &Duration| {
                    let whole = value.subsec_nanos() == 0 && (1..=3600).contains(&value.as_secs());
                    (!whole).then(|| "is not accepted; write whole seconds, \"1s\" to \"1h\"".to_owned())
                })
                .or(Duration::from_secs(10)),
        }
    }
}

/// A value that is fixed, `port = 8080`, or a table that names a tag.
fn fixed_or<T: Written, R>(
    section: &Section<'_>,
    name: &'static str,
    by_tag: impl FnOnce(&Section<'_>) -> R,
    fixed: impl FnOnce(T) -> R,
) -> R {
    match section.node(name) {
        Some(node) if node.as_table().is_none() => match section.key(name).optional() {
            Some(value) => fixed(value),
            None => section.absent(by_tag),
        },
        Some(_) | None => section.section(name, by_tag),
    }
}

fn rule<T: Written>(section: &Section<'_>, tag: &str, default: T) -> Rule<T> {
    Rule::Tag { tag: read_tag(section, tag), default: section.key("default").or(default) }
}

fn read_tag(section: &Section<'_>, default: &str) -> String {
    let named = |tag: &String| tag.is_empty().then(|| "is empty; write a tag's name".to_owned());
    section.key("tag").check(named).or(default.to_owned())
}

fn read_port(section: &Section<'_>) -> PortRule {
    let by_tag = |section: &Section<'_>| {
        let tag = read_tag(section, "port");
        let port = |name, default| section.key::<u16>(name).within(1, u16::MAX).or(default);
        let (default, min, max) = (port("default", 80), port("min", 1), port("max", u16::MAX));
        if !(min..=max).contains(&default) {
            let name = ["default", "min", "max"].into_iter().find(|name| section.is_set(name)).unwrap_or("default");
            section.conflict(
                name,
                format!(
                    "{} = {default} is outside min = {min} and max = {max}; change one",
                    section.path_of("default")
                ),
            );
        }
        PortRule { rule: Rule::Tag { tag, default }, min, max }
    };
    let fixed = |Port(port)| PortRule { rule: Rule::Fixed(port), ..PortRule::default() };
    fixed_or(section, "port", by_tag, fixed)
}

fn read_weight(section: &Section<'_>) -> WeightRule {
    let by_tag = |section: &Section<'_>| WeightRule {
        rule: Rule::Tag {
            tag: read_tag(section, "weight"),
            default: section.key("default").within(0, MAX_WEIGHT).or(1),
        },
        max: section.key("max").within(1, MAX_WEIGHT).or(256),
    };
    let fixed = |Weight(weight)| WeightRule { rule: Rule::Fixed(weight), max: MAX_WEIGHT };
    fixed_or(section, "weight", by_tag, fixed)
}

/// More would only be reduced again: NGINX gets 256 at most (`design §7`).
const MAX_WEIGHT: u32 = 65_535;

/// A whole number that is never zero.
struct Port(u16);

/// A whole number up to [`MAX_WEIGHT`].
struct Weight(u32);

impl Written for Port {
    fn read(node: &Node) -> Result<Self, Vec<super::value::Wrong>> {
        match u16::read(node)? {
            0 => Err(node.wrong("is not a port; 1 to 65535 is accepted")),
            port => Ok(Self(port)),
        }
    }

    fn write(&self) -> serde_json::Value {
        self.0.into()
    }
}

impl Written for Weight {
    fn read(node: &Node) -> Result<Self, Vec<super::value::Wrong>> {
        match u32::read(node)? {
            weight @ ..=MAX_WEIGHT => Ok(Self(weight)),
            _ => Err(node.wrong(format!("is out of range; 0 to {MAX_WEIGHT} is accepted"))),
        }
    }

    fn write(&self) -> serde_json::Value {
        self.0.into()
    }
}

/// `[upstream.NAME.nginx]`.
struct File {
    form: Form,
    output: Option<PathBuf>,
    method_name: MethodName,
    method: Method,
    zone: Option<Zone>,
    keepalive: u32,
}

impl File {
    fn read(section: &Section<'_>) -> Self {
        let form = section.key("form").or(Form::Block);
        let method_name = section.key("method").or(MethodName::RoundRobin);
        let key = section.key("hash_key").or(HashKey::new("$request_uri").expect("it is a variable"));
        let consistent = section.key("hash_consistent").or(true);
        let ZoneText(zone) = section.key("zone").or(ZoneText(Some(Zone("64k".to_owned()))));
        let keepalive = section.key("keepalive").within(0, 65_535).or(32);
        let method = match method_name {
            MethodName::RoundRobin => Method::RoundRobin,
            MethodName::LeastConn => Method::LeastConn,
            MethodName::RandomTwo => Method::RandomTwo,
            MethodName::RandomTwoLeastConn => Method::RandomTwoLeastConn,
            MethodName::IpHash => Method::IpHash,
            MethodName::Hash => Method::Hash { key, consistent },
        };
        let output = Self::read_output(section, form);
        if form == Form::Servers {
            for name in ["zone", "keepalive"].into_iter().filter(|name| section.is_set(name)) {
                let path = section.path_of(name);
                section.conflict(name, format!("{path} cannot be used with form = \"servers\" (it belongs in your own upstream block); remove one"));
            }
        }
        let own = form == Form::Block;
        Self {
            form,
            output,
            method_name,
            method,
            zone: zone.filter(|_| own),
            keepalive: if own { keepalive } else { 0 },
        }
    }

    /// The path if it is written, as it must be for [`Form::Servers`] and must not for [`Form::None`].
    fn read_output(section: &Section<'_>, form: Form) -> Option<PathBuf> {
        let written = section
            .key("output")
            .check(|path: &PathBuf| if path.as_os_str().is_empty() { None } else { absolute(path) })
            .or(PathBuf::new());
        let path = section.path_of("output");
        match (form, written.as_os_str().is_empty()) {
            (Form::Servers, true) => {
                section.conflict("form", format!("{path} is missing; form = \"servers\" needs the path of the file that your upstream block includes"));
                None
            }
            (Form::None, false) => {
                section.conflict("output", format!("{path} cannot be used with form = \"none\"; remove one"));
                None
            }
            (Form::Block | Form::None, true) => None,
            (Form::Block | Form::Servers, false) => Some(written),
        }
    }
}

/// `[upstream.NAME]` as it is written, for the schema.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct UpstreamTable {
    /// Tags that a member must have, each with a regular expression for its whole value; all must match. Required.
    select: BTreeMap<String, String>,
    /// Networks that a server's address must be in; empty: any unicast address but loopback and link-local.
    allow: Vec<String>,
    /// Accept loopback addresses, for trials on one machine.
    allow_loopback: bool,
    /// Where each server's values come from: fixed, or from a tag with a default.
    server: ServerTable,
    /// What a state means.
    policy: PolicyTable,
    /// The file that NGINX gets.
    nginx: FileTable,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ServerTable {
    /// Port. A tag that is outside min and max, or no number, leaves the server out.
    port: FixedOr<u16, PortTable>,
    /// Weight; 0 is down, above max counts as max, a tag that is no number counts as the default.
    weight: FixedOr<u32, WeightTable>,
    /// Whether the server is a backup; not with hash, ip_hash and random.
    backup: FixedOr<bool, TagTable<bool>>,
    /// Most connections at a time; 0: no limit.
    max_conns: FixedOr<u32, TagTable<u32>>,
    /// Failures within fail_timeout after which NGINX avoids a server; 0: never.
    max_fails: u32,
    /// Time in which failures count, and for which a server is then avoided; whole seconds.
    #[schemars(with = "DurationText")]
    fail_timeout: Duration,
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum FixedOr<T, U> {
    Fixed(T),
    ByTag(U),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct TagTable<T> {
    /// Name of the tag.
    tag: String,
    /// Value for members without the tag.
    default: T,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct PortTable {
    /// Name of the tag.
    tag: String,
    /// Port of members without the tag.
    default: u16,
    /// Lowest port that is used.
    min: u16,
    /// Highest port that is used.
    max: u16,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct WeightTable {
    /// Name of the tag.
    tag: String,
    /// Weight of members without the tag, or with one that is no number.
    default: u32,
    /// Highest weight.
    max: u32,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct PolicyTable {
    /// keep: nobody left means the last servers stay; error: NGINX answers 502 at once. Where none were ever in: 502, too.
    on_empty: OnEmpty,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct FileTable {
    /// block: a whole upstream block; servers: lines to include in a block of your own; none: no file.
    form: Form,
    /// The file; empty: conf.d/weir-NAME.conf beside NGINX's configuration. Required for servers.
    output: String,
    /// How NGINX balances.
    method: MethodName,
    /// What the method hash hashes: NGINX variables.
    hash_key: String,
    /// A removed server moves only its own keys.
    hash_consistent: bool,
    /// Shared memory for NGINX's counters, 32k or more; empty: none.
    zone: String,
    /// Idle connections that each worker process keeps; 0: none.
    keepalive: u32,
}
