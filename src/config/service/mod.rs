//! What is asked of a service, and what counts as its answer: the keys that `[check.NAME]` and `[upstream.NAME.probe]` share
//! (`ux §1.2`).
//!
//! [`Keys`] reads them where they stand; whoever reads the table says what they belong to.

mod host;
mod status;

use std::path::{Path, PathBuf};

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use regex::Regex;
use serde_json::Value as Json;

use super::apply::absolute;
use super::reader::Section;
use super::secret::HIDDEN;
use super::tree::Item;
use super::value::{Text, Written, Wrong, words};
use crate::error::Trouble;
use crate::serf::filter;

pub(crate) use host::name_and_port;
pub use host::{Address, HttpUrl};
pub use status::StatusSet;

/// Most headers of a request's own.
const MAX_HEADERS: usize = 32;
/// Longest header value and path.
const MAX_TEXT_BYTES: usize = 1024;

/// A request to a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    Http(Http),
    Tcp(Tcp),
}

/// A request over HTTP/1.1.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Over TLS, and not in plain text.
    pub secure: bool,
    /// How certificates are judged: where it is secure, and where a redirect is.
    pub tls: Tls,
    pub method: Method,
    /// Path and query, `/status?full`.
    pub target: String,
    /// The header `Host`, and the name that a certificate must have; `None`: the address.
    pub host: Option<String>,
    pub headers: Vec<Header>,
    /// Which answers are right.
    pub status: StatusSet,
    /// What the beginning of the answer's body must match.
    pub body: Option<Expression>,
    /// How many redirects are followed.
    pub redirects: u8,
    pub send_proxy: Option<ProxyVersion>,
}

/// A connection over TCP.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// What the server must say by itself; `None`: it need only take the connection.
    pub expect: Option<Expression>,
    pub send_proxy: Option<ProxyVersion>,
}

impl Service {
    /// Whether an answer is the service's own. An open port is not: a stopped process's kernel still takes connections.
    pub fn vouches(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Tcp(tcp) => tcp.expect.is_some(),
        }
    }

    /// What the service at `to` is asked, in a few words: `GET http://10.77.0.12:80/`.
    pub fn question(&self, to: &Address) -> String {
        match self {
            Self::Http(Http { secure, method, target, .. }) => {
                let scheme = if *secure { "https" } else { "http" };
                format!("{method} {scheme}://{to}{target}")
            }
            Self::Tcp(_) => format!("TCP {to}"),
        }
    }
}

/// How a certificate is judged.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tls {
    /// By the authorities that the system trusts.
    System,
    /// By those in this file.
    Authority(PathBuf),
    /// Not at all.
    Unverified,
}

/// A header of the request. Its value may be a secret: nothing shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub name: HeaderName,
    pub value: HeaderValue,
}

/// Which version of the PROXY protocol goes before the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyVersion {
    V1,
    V2,
}

/// A regular expression in Go's syntax, as everywhere; it may match anywhere in the text.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    regex: Regex,
}

impl Expression {
    /// Whether it matches somewhere in `bytes`, of which what is not UTF-8 counts as U+FFFD.
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(&String::from_utf8_lossy(bytes))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// The keys of an HTTP request, but for what says where it goes.
#[derive(Debug)]
pub(crate) struct Keys {
    method: Method,
    host: Option<String>,
    headers: Vec<Header>,
    status: StatusSet,
    body: Option<Expression>,
    tls_verify: bool,
    tls_ca: Option<PathBuf>,
}

impl Keys {
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let MethodName(method) = section.key("method").or(MethodName(Method::GET));
        Self {
            method,
            host: {
                let HostText(host) = section.key("host").or(HostText(None));
                host
            },
            headers: read_headers(section),
            status: section.key("status").or(StatusSet::usual()),
            body: read_expression(section, "body"),
            tls_verify: section.key("tls_verify").or(true),
            tls_ca: Some(section.key("tls_ca").check(|path: &PathBuf| ca_mistake(path)).or(PathBuf::new()))
                .filter(|path| !path.as_os_str().is_empty()),
        }
    }

    /// A request over HTTP, and over TLS if it is `secure`.
    pub(crate) fn http(self, section: &Section<'_>, secure: bool, target: String, redirects: u8) -> Http {
        // A redirect may lead to where certificates are shown.
        if !secure && redirects == 0 {
            refuse(section, "http", &[("tls_verify", !self.tls_verify), ("tls_ca", self.tls_ca.is_some())]);
        } else if !self.tls_verify && self.tls_ca.is_some() {
            let (ca, verify) = (section.path_of("tls_ca"), section.path_of("tls_verify"));
            let what = format!("{ca} cannot be used with {verify} = false");
            section.conflict("tls_ca", Trouble::new(what, "remove one"));
        }
        if self.method == Method::HEAD && self.body.is_some() {
            let (body, method) = (section.path_of("body"), section.path_of("method"));
            let what = format!("{body} cannot be used with {method} = \"HEAD\", whose answers have none");
            section.conflict("body", Trouble::new(what, "remove one"));
        }
        let tls = match (self.tls_verify, self.tls_ca) {
            (false, _) => Tls::Unverified,
            (true, Some(path)) => Tls::Authority(path),
            (true, None) => Tls::System,
        };
        Http {
            secure,
            tls,
            method: self.method,
            target,
            host: self.host,
            headers: self.headers,
            status: self.status,
            body: self.body,
            redirects,
            send_proxy: None,
        }
    }

    /// They are of no use with the key `kind`.
    pub(crate) fn refuse(&self, section: &Section<'_>, kind: &str) {
        let keys = [
            ("method", self.method != Method::GET),
            ("host", self.host.is_some()),
            ("headers", !self.headers.is_empty()),
            ("status", self.status != StatusSet::usual()),
            ("body", self.body.is_some()),
            ("tls_verify", !self.tls_verify),
            ("tls_ca", self.tls_ca.is_some()),
        ];
        refuse(section, kind, &keys);
    }
}

/// Notes each of `keys` that has a value of its own, as it cannot be used with the key `kind`.
pub(crate) fn refuse(section: &Section<'_>, kind: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, is_given)| *is_given) {
        let what = format!("{} cannot be used with {}", section.path_of(key), section.path_of(kind));
        section.conflict(key, Trouble::new(what, "remove one"));
    }
}

/// An expression, or none where the text is empty.
pub(crate) fn read_expression(section: &Section<'_>, key: &'static str) -> Option<Expression> {
    let ExpressionText(expression) = section.key(key).or(ExpressionText(None));
    expression
}

fn read_headers(section: &Section<'_>) -> Vec<Header> {
    section.section("headers", |headers| {
        let written = headers.entries::<HeaderText>();
        if written.len() > MAX_HEADERS {
            let what = format!("{} has {} headers, the limit is {MAX_HEADERS}", headers.path(), written.len());
            section.conflict("headers", Trouble::new(what, "remove some"));
        }
        let header = |(name, HeaderText(value)): (String, HeaderText)| match name.parse::<HeaderName>() {
            Ok(name) if !OURS.contains(&name) => Some(Header { name, value }),
            Ok(_) => {
                let what = format!("{} is made by weir", headers.path_of(&name));
                headers.conflict(&name, Trouble::new(what, "remove it; 'host' is a key of its own"));
                None
            }
            Err(_) => {
                let what = format!("{} is not a header", headers.path_of(&name));
                headers.conflict(&name, Trouble::new(what, "write a name such as Authorization"));
                None
            }
        };
        written.into_iter().filter_map(header).collect()
    })
}

/// Headers that say how the exchange goes.
const OURS: [HeaderName; 5] = [
    hyper::header::HOST,
    hyper::header::CONNECTION,
    hyper::header::CONTENT_LENGTH,
    hyper::header::TRANSFER_ENCODING,
    hyper::header::EXPECT,
];

fn ca_mistake(path: &Path) -> Option<Trouble> {
    if path.as_os_str().is_empty() { None } else { absolute(path) }
}

/// A path with a query, as it goes into the request.
#[derive(Debug)]
pub(crate) struct Target(pub(crate) String);

impl Text for Target {
    const WANTED: &'static str = "a path, \"/\" or \"/status?full\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble::new("is not a path", format!("write {}, with %20 for a blank", Self::WANTED));
        if text.starts_with("http://") || text.starts_with("https://") {
            return Err(Trouble::new("is an address", "write the path alone, \"/\": servers have their own addresses"));
        }
        let is_plain = text.starts_with('/') && text.len() <= MAX_TEXT_BYTES && !text.contains('#');
        let is_target = is_plain && text.parse::<hyper::Uri>().is_ok_and(|uri| uri.authority().is_none());
        if is_target { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The methods that ask without changing, and POST.
struct MethodName(Method);

impl Text for MethodName {
    const WANTED: &'static str = "a method, \"GET\"";
    const WORDS: &'static [&'static str] = &["GET", "HEAD", "OPTIONS", "POST"];

    fn parse(text: &str) -> Result<Self, Trouble> {
        let method = |word: &'static str| (word, word);
        let words: Vec<_> = Self::WORDS.iter().copied().map(method).collect();
        let word = super::value::word(text, &words)?;
        Ok(Self(word.parse().expect("each of the words is a method")))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

words!(ProxyVersion, "\"v1\" or \"v2\"", ("v1", V1), ("v2", V2));

/// A version of the PROXY protocol, or none.
pub(crate) struct ProxyText(pub(crate) Option<ProxyVersion>);

impl Text for ProxyText {
    const WANTED: &'static str = "\"v1\", \"v2\", or \"\" for none";
    const WORDS: &'static [&'static str] = &["", "v1", "v2"];

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() { Ok(Self(None)) } else { ProxyVersion::parse(text).map(|version| Self(Some(version))) }
    }

    fn text(&self) -> String {
        self.0.map(|version| version.text()).unwrap_or_default()
    }
}

/// An expression, or none.
struct ExpressionText(Option<Expression>);

impl Text for ExpressionText {
    const WANTED: &'static str = "a regular expression in quotes";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        match filter::compile(text) {
            Ok(regex) => Ok(Self(Some(Expression { source: text.to_owned(), regex }))),
            Err(error) => Err(Trouble::new(format!("is not a regular expression: {error}"), "correct it")),
        }
    }

    fn text(&self) -> String {
        self.0.as_ref().map(|expression| expression.source.clone()).unwrap_or_default()
    }
}

/// The text of the header `Host`, or none.
struct HostText(Option<String>);

impl Text for HostText {
    const WANTED: &'static str = "a host name, \"www.example.org\", or \"\" for the address";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        match host::name_and_port(text) {
            Some(_) => Ok(Self(Some(text.to_owned()))),
            None => Err(Trouble::new("is not a host name", format!("write {}", Self::WANTED))),
        }
    }

    fn text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
}

/// The value of a header. Nobody is shown it.
struct HeaderText(HeaderValue);

impl Written for HeaderText {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let text = String::read(item)?;
        let value = HeaderValue::from_str(&text).ok().filter(|_| text.len() <= MAX_TEXT_BYTES && text.trim() == text);
        value
            .map(|mut value| {
                value.set_sensitive(true);
                Self(value)
            })
            .ok_or_else(|| {
                let way_out = format!("write at most {MAX_TEXT_BYTES} printable characters in quotes");
                let mut wrongs = item.wrong(Trouble::new("is not a header's value", way_out));
                wrongs.iter_mut().for_each(|wrong| wrong.value = HIDDEN.to_owned());
                wrongs
            })
    }

    fn write(&self) -> Json {
        HIDDEN.into()
    }

    fn schema() -> Json {
        String::schema()
    }
}

#[cfg(test)]
mod tests;
