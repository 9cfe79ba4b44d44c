//! The short `/etc/weir/weir.toml` that is written (`ux §1.2`): what differs from the defaults and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::port::Check;
use crate::upstream::UpstreamName;

/// What stands in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Document {
    pub(super) role: String,
    pub(super) name: Option<String>,
    /// Besides `role`.
    pub(super) tags: BTreeMap<String, String>,
    /// Where it was chosen among several.
    pub(super) advertise: Option<IpAddr>,
    /// As it is typed.
    pub(super) join: Option<String>,
    pub(super) body: Body,
}

/// What this server does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Body {
    /// Balances the members whose role is `web`.
    Balancer { upstream: UpstreamName },
    /// Has a web server that is checked; `unit` is an application's, with the name of its own check.
    Web { check: Check, unit: Option<(String, String)> },
}

/// The role that a balancer selects.
pub(super) const SELECTED: &str = "web";

const HEAD: &str = "\
# Written by weir init. Every key, with what it does: /usr/share/weir/weir.toml
# After a change: systemctl reload weir
";

impl Document {
    /// The file.
    pub(super) fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut line = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        if let Some(name) = &self.name {
            line("node.name", &quoted(name));
        }
        line("node.tags.role", &quoted(&self.role));
        for (tag, value) in &self.tags {
            line(&format!("node.tags.{}", key(tag)), &valued(tag, value));
        }
        if let Some(address) = self.advertise {
            line("gossip.advertise", &quoted(&address.to_string()));
        }
        if let Some(join) = &self.join {
            line("gossip.join", &format!("[{}]", quoted(join)));
        }
        text.push_str(&self.body.text());
        text
    }
}

impl Body {
    fn text(&self) -> String {
        match self {
            Self::Balancer { upstream } => format!(
                "\n[upstream.{upstream}]\nselect = {{ role = \"{SELECTED}\" }}\nprobe = {{ http = \"/\", interval = \"500ms\" }}\n"
            ),
            Self::Web { check, unit } => {
                let (kind, target) = check.setting();
                let mut text = format!("\n[check.site]\n{kind} = {}\n", quoted(target));
                if let Some((name, unit)) = unit {
                    text.push_str(&format!("\n[check.{name}]\nsystemd = {}\n", quoted(unit)));
                }
                text
            }
        }
    }
}

/// A tag's name as a part of a key.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A port is a number, as people write it; what else a tag has is text, whatever it looks like.
fn valued(tag: &str, value: &str) -> String {
    let port = value.parse::<u16>().ok().filter(|port| tag == "port" && port.to_string() == value);
    port.map_or_else(|| quoted(value), |port| port.to_string())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, Sources, load};

    fn document(body: Body) -> Document {
        Document { role: "lb".to_owned(), name: None, tags: BTreeMap::new(), advertise: None, join: None, body }
    }

    fn balancer() -> Body {
        Body::Balancer { upstream: UpstreamName::new("web").unwrap() }
    }

    #[test]
    fn a_balancers_is_as_short_as_the_contract_has_it() {
        assert_eq!(
            document(balancer()).text().strip_prefix(HEAD),
            Some(
                "node.tags.role = \"lb\"\n\n[upstream.web]\nselect = { role = \"web\" }\n\
                 probe = { http = \"/\", interval = \"500ms\" }\n"
            )
        );
    }

    #[test]
    fn a_web_servers_joins_and_checks_the_port_found() {
        let web = Document {
            role: "web".to_owned(),
            join: Some("10.77.0.11".to_owned()),
            ..document(Body::Web { check: Check::Http("http://127.0.0.1:80/".to_owned()), unit: None })
        };
        assert_eq!(
            web.text().strip_prefix(HEAD),
            Some(
                "node.tags.role = \"web\"\ngossip.join = [\"10.77.0.11\"]\n\n[check.site]\nhttp = \"http://127.0.0.1:80/\"\n"
            )
        );
    }

    #[test]
    fn an_application_is_checked_beside_its_port() {
        let unit = Some(("app".to_owned(), "app.service".to_owned()));
        let web = document(Body::Web { check: Check::Tcp("10.77.0.12:8080".to_owned()), unit }).text();
        let checks = "\n[check.site]\ntcp = \"10.77.0.12:8080\"\n\n[check.app]\nsystemd = \"app.service\"\n";
        assert!(web.ends_with(checks), "{web}");
    }

    #[test]
    fn whatever_is_in_it_is_read_back_as_it_was_meant() {
        let tags = [("zone", "a\"b\\c"), ("a b", "x\ty"), ("port", "8080"), ("max_conns", "1")]
            .map(|(tag, value)| (tag.to_owned(), value.to_owned()));
        let full = Document {
            name: Some("lb1".to_owned()),
            tags: tags.into(),
            advertise: Some([10, 77, 0, 11].into()),
            join: Some("lb2:7947".to_owned()),
            ..document(balancer())
        };
        let text = full.text();
        assert!(text.contains("node.tags.port = 8080\n") && text.contains("node.tags.max_conns = \"1\"\n"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        std::fs::write(&path, full.text()).unwrap();
        let sources = Sources { paths: vec![Source::File(path)], host_name: "h".to_owned(), ..Sources::default() };
        let config = load(&sources).unwrap().config;
        assert_eq!(config.node.name.as_str(), "lb1");
        let tag = |name: &str| config.node.tags.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(
            (tag("role"), tag("zone"), tag("a b")),
            (Some("lb".into()), Some("a\"b\\c".into()), Some("x\ty".into()))
        );
        assert_eq!(config.gossip.join[0].to_string(), "lb2:7947");
        assert_eq!(config.upstreams[0].options.name.as_str(), "web");
    }
}
