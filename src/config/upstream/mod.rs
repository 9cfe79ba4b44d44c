//! `[upstream.NAME]`: which members are servers, and the file that NGINX gets.

mod file;
mod policy;
mod probe;
mod server;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::Trouble;
use crate::nginx::Block;
use crate::upstream::desired::Desired;
use crate::upstream::{Allow, Network, NetworkError, Options, Rule, TagPattern, UpstreamName};

use super::apply::NGINX_OWN;
use super::mistake::Mistake;
use super::reader::Section;
use super::tree::Item;
use super::value::Text;
use file::Nginx;
use server::Server;

pub use probe::Probe;

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// How servers are chosen and weighed.
    pub options: Options,
    /// Its file; `None` with `form = "none"`.
    pub file: Option<UpstreamFile>,
    /// How this balancer asks its servers itself; `None`: it does not.
    pub probe: Option<Probe>,
}

/// An upstream's file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamFile {
    /// How it is rendered.
    pub block: Block,
    /// Where it goes.
    pub output: PathBuf,
}

impl Text for Network {
    const WANTED: &'static str = "a network, \"10.77.0.0/24\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        text.parse().map_err(|error| match error {
            NetworkError::Syntax(_) | NetworkError::Prefix(_) => {
                Trouble::new("is not a network", format!("write {}", Self::WANTED))
            }
            NetworkError::HostBits { network, .. } => {
                Trouble::new("has bits set behind its prefix", format!("did you mean \"{network}\"?"))
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

    fn parse(text: &str) -> Result<Self, Trouble> {
        match TagPattern::new(text) {
            Ok(pattern) => Ok(Self { source: text.to_owned(), pattern }),
            Err(error) => Err(Trouble::new(format!("is not a regular expression: {error}"), "correct it")),
        }
    }

    fn text(&self) -> String {
        self.source.clone()
    }
}

/// An upstream whose file has no path yet: that may depend on `[nginx]`.
#[derive(Debug)]
pub(crate) struct Draft {
    options: Options,
    nginx: Nginx,
    block: Option<Block>,
    probe: Option<Probe>,
}

impl Draft {
    /// `None` if its name or `select` is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let upstream_name = UpstreamName::new(name);
        if upstream_name.is_none() {
            let rule = format!("1 to {} letters, digits, _ and - are accepted", UpstreamName::MAX_BYTES);
            let what = format!("\"{}\" is not an upstream's name", name.escape_debug());
            section.mistake(Mistake::new(section.at(), section.path(), Trouble::new(what, rule)));
        }
        let allow =
            Allow { networks: section.key("allow").or(Vec::new()), loopback: section.key("allow_loopback").or(false) };
        let select = read_select(section);
        let probe = section.optional("probe", Probe::read);
        let server = section.section("server", |server| Server::read(server, probe.as_ref()));
        let slow_start = policy::read_slow_start(section);
        let allow_self = section.key("allow_self").or(false);
        let policy = section.section("policy", policy::read);
        let nginx = section.section("nginx", Nginx::read);
        let backup = read_backup(section, &server, &nginx);
        let block = nginx.block(upstream_name.clone()?, &server);
        let (method, _) = nginx.method();
        let options = Options {
            allow,
            port: server.port,
            weight: server.weight,
            backup,
            max_conns: server.max_conns,
            probed: probe.is_some(),
            may_be_udp: nginx.may_be_udp(),
            method: method.clone(),
            slow_start,
            allow_self,
            policy,
            ..Options::new(upstream_name?, select?)
        };
        Some(Self { options, nginx, block, probe })
    }
}

/// Gives every file its path, and no two upstreams the same one.
pub(crate) fn place_files(section: &Section<'_>, drafts: Vec<Draft>, nginx_config: &Path) -> Vec<Upstream> {
    if let Some(Draft { options, .. }) = drafts.get(Desired::MAX_UPSTREAMS) {
        let name = options.name.as_str();
        let at = section.item_at(&["upstream", name]).map(|item| item.key_at.clone()).unwrap_or_default();
        let what = format!("upstream.{name} is one too many, the limit is {}", Desired::MAX_UPSTREAMS);
        let key = format!("upstream.{name}");
        section.mistake(Mistake::across(&at, &key, Trouble::new(what, "remove one, or select by several values")));
    }
    let mut upstreams: Vec<Upstream> = Vec::new();
    for Draft { options, nginx, block, probe } in drafts {
        let name = options.name.as_str();
        let file = block.map(|block| UpstreamFile { block, output: nginx.output(name, nginx_config) });
        if let Some(UpstreamFile { output, .. }) = &file {
            let same = |other: &&Upstream| other.file.as_ref().is_some_and(|other| other.output == *output);
            let other = upstreams
                .iter()
                .find(same)
                .map(|other| format!("which upstream {} writes already", other.options.name));
            if let Some(words) = other.or_else(|| (output == nginx_config).then(|| NGINX_OWN.to_owned())) {
                let at = section.item_at(&["upstream", name]).map(|item| item.key_at.clone()).unwrap_or_default();
                let key = format!("upstream.{name}.nginx.output");
                let what = format!("{key} is {}, {words}", output.display());
                section.mistake(Mistake::across(&at, &key, Trouble::new(what, "give each its own file")));
            }
        }
        let zone = file.as_ref().and_then(|file| file.block.zone_name());
        if let Some(other) = upstreams.iter().find(|other| zone.is_some() && zone_name(other) == zone) {
            let at = section.item_at(&["upstream", name]).map(|item| item.key_at.clone()).unwrap_or_default();
            let key = format!("upstream.{name}");
            let zone = zone.unwrap_or_default();
            let what = format!("{key} has the zone {zone}, which upstream {} has already", other.options.name);
            section.mistake(Mistake::across(&at, &key, Trouble::new(what, "rename one, or give one zone = \"\"")));
        }
        upstreams.push(Upstream { options, file, probe });
    }
    upstreams
}

/// NGINX knows a zone by one name, whatever it is for.
fn zone_name(upstream: &Upstream) -> Option<String> {
    upstream.file.as_ref().and_then(|file| file.block.zone_name())
}

/// Required and not empty, so that nobody selects everybody by omission.
fn read_select(section: &Section<'_>) -> Option<Vec<(String, TagPattern)>> {
    let entries = section.section("select", |select| {
        select.entries::<Expression>().into_iter().map(|(tag, each)| (tag, each.pattern)).collect::<Vec<_>>()
    });
    section.rule("required", json!(["select"]));
    let written = section.item("select").and_then(Item::as_table);
    if !section.is_set("select") || written.is_some_and(|table| table.is_empty()) {
        let path = section.path_of("select");
        let way_out = "write select = { role = \"web\" }, each tag with a regular expression";
        section.conflict("select", Trouble::new(format!("{path} is missing"), way_out));
    }
    (!entries.is_empty()).then_some(entries)
}

/// NGINX refuses `backup` with some methods: there the default gives way, and what is written is a mistake.
fn read_backup(section: &Section<'_>, server: &Server, nginx: &Nginx) -> Rule<bool> {
    let (method, name) = nginx.method();
    if method.allows_backup() {
        return server.backup.clone();
    }
    let written = section.item_at(&["server", "backup"]);
    if let Some(item) = written.filter(|_| server.backup != Rule::Fixed(false)) {
        let key = format!("{}.backup", section.path_of("server"));
        let method = format!("{}.method = \"{name}\"", section.path_of("nginx"));
        let what = format!("{key} cannot be used with {method} (NGINX refuses it)");
        section.mistake(Mistake::across(&item.key_at, &key, Trouble::new(what, "remove one")));
    }
    Rule::Fixed(false)
}
