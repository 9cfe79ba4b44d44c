//! `[upstream.NAME.nginx]`: the file that NGINX gets.

use std::path::{Path, PathBuf};

use crate::config::apply::file_path;
use crate::config::reader::Section;
use crate::config::value::{Text, words};
use crate::error::Trouble;
use crate::nginx::{Block, Context, Form, Zone};
use crate::upstream::{HashKey, Method, UpstreamName};

use super::server::Server;

/// What an upstream's file holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FormName {
    Block,
    Servers,
    /// There is no file.
    None,
}

words!(FormName, "a form, \"block\"", ("block", Block), ("servers", Servers), ("none", None));

words!(Context, "\"http\" or \"stream\"", ("http", Http), ("stream", Stream));

/// The balancing methods by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MethodName {
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

/// A [`Zone`], or none.
struct ZoneText(Option<Zone>);

impl Text for ZoneText {
    const WANTED: &'static str = "\"auto\", a size as NGINX writes it, \"64k\", or \"\" for none";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse()
            .map(|zone| Self(Some(zone)))
            .map_err(|_| Trouble::new("is not a zone size", "write \"auto\", \"32k\" to \"1024m\", or \"\" for none"))
    }

    fn text(&self) -> String {
        self.0.map(|zone| zone.to_string()).unwrap_or_default()
    }
}

impl Text for HashKey {
    const WANTED: &'static str = "NGINX variables, \"$request_uri\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        Self::new(text).ok_or_else(|| {
            let way_out = format!("write {}, with letters, digits and $ _ . : / - only", Self::WANTED);
            Trouble::new("is not a key to hash", way_out)
        })
    }

    fn text(&self) -> String {
        self.as_str().to_owned()
    }
}

/// The table, read.
#[derive(Debug)]
pub(super) struct Nginx {
    form: FormName,
    context: Context,
    output: PathBuf,
    method_name: MethodName,
    method: Method,
    zone: Option<Zone>,
    keepalive: u32,
}

impl Nginx {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let form = section.key("form").or(FormName::Block);
        let context = section.key("context").or(Context::Http);
        let method_name = section.key("method").or(MethodName::RoundRobin);
        let key = section.key("hash_key").or(HashKey::new(context.hash_key()).expect("it is a variable"));
        let consistent = section.key("hash_consistent").or(true);
        let ZoneText(zone) = section.key("zone").or(ZoneText(Some(Zone::Auto)));
        let nginx = Self {
            form,
            context,
            output: section
                .key("output")
                .check(|path: &PathBuf| if path.as_os_str().is_empty() { None } else { file_path(path) })
                .or(PathBuf::new()),
            method_name,
            method: match method_name {
                MethodName::RoundRobin => Method::RoundRobin,
                MethodName::LeastConn => Method::LeastConn,
                MethodName::RandomTwo => Method::RandomTwo,
                MethodName::RandomTwoLeastConn => Method::RandomTwoLeastConn,
                MethodName::IpHash => Method::IpHash,
                MethodName::Hash => Method::Hash { key, consistent },
            },
            zone,
            keepalive: section.key("keepalive").within(0, 65_535).or(if context.keeps_connections() { 32 } else { 0 }),
        };
        nginx.conflicts(section);
        nginx
    }

    fn conflicts(&self, section: &Section<'_>) {
        let path = section.path_of("output");
        match (self.form, self.output.as_os_str().is_empty()) {
            (FormName::Servers, true) => {
                let why = "form = \"servers\" needs the path of the file that your own upstream block includes";
                section.conflict("form", Trouble::new(format!("{path} is missing"), why));
            }
            (FormName::None, false) => {
                let what = format!("{path} cannot be used with form = \"none\"");
                section.conflict("output", Trouble::new(what, "remove one"));
            }
            (FormName::Block, _) | (FormName::Servers, false) | (FormName::None, true) => {}
        }
        self.conflicts_of_context(section);
        if self.form == FormName::Servers {
            for name in ["zone", "keepalive"].into_iter().filter(|name| section.is_set(name)) {
                let why = "it belongs in your own upstream block";
                let what = format!("{} cannot be used with form = \"servers\" ({why})", section.path_of(name));
                section.conflict(name, Trouble::new(what, "remove one"));
            }
        }
    }

    /// What NGINX has in `http { }` alone.
    fn conflicts_of_context(&self, section: &Section<'_>) {
        let context = format!("{} = \"{}\"", section.path_of("context"), self.context);
        if !self.context.keeps_connections() && section.is_set("keepalive") {
            let what = format!("{} cannot be used with {context}", section.path_of("keepalive"));
            section.conflict("keepalive", Trouble::new(what, "remove it"));
        }
        if !self.context.allows(&self.method) {
            let method = format!("{} = \"{}\"", section.path_of("method"), self.method_name.text());
            let what = format!("{method} cannot be used with {context}");
            let key = self.context.hash_key();
            section.conflict("method", Trouble::new(what, format!("write \"hash\", which takes {key} there")));
        }
    }

    /// Whether its servers may speak UDP: which of the two a site of `stream` is for stands in the site alone.
    pub(super) fn may_be_udp(&self) -> bool {
        match self.context {
            Context::Http => false,
            Context::Stream => true,
        }
    }

    /// The method, and its name in messages.
    pub(super) fn method(&self) -> (&Method, String) {
        (&self.method, self.method_name.text())
    }

    /// What is rendered; `None` without a file.
    pub(super) fn block(&self, name: UpstreamName, server: &Server) -> Option<Block> {
        let own = self.form == FormName::Block;
        Some(Block {
            name,
            context: self.context,
            form: match self.form {
                FormName::Block => Form::Block,
                FormName::Servers => Form::Servers,
                FormName::None => return None,
            },
            method: self.method.clone(),
            zone: self.zone.filter(|_| own),
            keepalive: if own && self.context.keeps_connections() { self.keepalive } else { 0 },
            max_fails: server.max_fails,
            fail_timeout: server.fail_timeout,
        })
    }

    /// The file; where none is named `conf.d/weir-NAME.conf` beside NGINX's configuration, or in `stream.d`.
    pub(super) fn output(&self, name: &str, nginx_config: &Path) -> PathBuf {
        if self.output.as_os_str().is_empty() {
            nginx_config.with_file_name(self.context.directory()).join(format!("weir-{name}.conf"))
        } else {
            self.output.clone()
        }
    }
}
