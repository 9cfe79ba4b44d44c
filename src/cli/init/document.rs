//! The short `/etc/weir/weir.toml` that is written (`ux §1.2`): what differs from the defaults and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Deserialize;

use super::Kind;
use super::beside::both_families;
use super::guard::{Amendment, UnitCheck};
use super::port::{self, Check};
use super::wanted::{Wanted, shown};
use crate::config::BindAddress;
use crate::upstream::UpstreamName;

/// What stands in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Document {
    pub(super) role: String,
    pub(super) name: Option<String>,
    /// Besides `role`.
    pub(super) tags: BTreeMap<String, String>,
    /// Where the default, any address of IPv4, does not do.
    pub(super) bind: Option<BindAddress>,
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
    Web { check: Check, unit: Option<UnitCheck> },
}

/// The role that a balancer selects.
pub(super) const SELECTED: &str = "web";

const HEAD: &str = "\
# Written by weir init. Every key, with what it does: /usr/share/weir/weir.toml
# After a change: systemctl reload weir
";

/// The file as TOML has it. Whether it is one of ours shows when it is written again.
#[derive(Deserialize)]
struct Read {
    node: Node,
    #[serde(default)]
    gossip: Gossip,
    #[serde(default)]
    upstream: toml::Table,
    #[serde(default)]
    check: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Node {
    name: Option<String>,
    tags: toml::Table,
}

#[derive(Default, Deserialize)]
struct Gossip {
    bind: Option<String>,
    advertise: Option<IpAddr>,
    join: Option<[String; 1]>,
}

impl Read {
    fn document(self) -> Option<Document> {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        let tags = self.node.tags.iter().map(|(tag, value)| Some((tag.clone(), text(value)?)));
        let mut tags = tags.collect::<Option<BTreeMap<_, _>>>()?;
        let body = match self.upstream.keys().next() {
            Some(name) => Body::Balancer { upstream: UpstreamName::new(name)? },
            None => web(self.check)?,
        };
        Some(Document {
            role: tags.remove("role")?,
            name: self.node.name,
            tags,
            bind: self.gossip.bind.map(|_| both_families()),
            advertise: self.gossip.advertise,
            join: self.gossip.join.map(|[join]| join),
            body,
        })
    }
}

fn web(mut checks: BTreeMap<String, BTreeMap<String, String>>) -> Option<Body> {
    let mut site = checks.remove("site")?;
    let check = site.remove("http").map(Check::Http).or_else(|| site.remove("tcp").map(Check::Tcp))?;
    let unit = match checks.pop_first() {
        Some((name, mut unit)) => Some((name, unit.remove("systemd")?)),
        None => None,
    };
    Some(Body::Web { check, unit })
}

impl Document {
    /// As far as it was said on the command line; what others reach, and who listens where, is not known yet.
    pub(super) fn sketched(wanted: &Wanted) -> Self {
        let body = match wanted.kind {
            Kind::Balancer => Body::Balancer { upstream: wanted.upstream() },
            Kind::Web => Body::Web { check: port::check(wanted.port.unwrap_or(80), None), unit: None },
        };
        Self {
            role: wanted.role().to_owned(),
            name: wanted.name.clone(),
            tags: wanted.tags.clone(),
            // Whatever the files beside it advertise, it is served.
            bind: Some(both_families()),
            advertise: None,
            join: wanted.join.as_ref().map(shown),
            body,
        }
    }

    /// Of a file that is as it was written, and that nobody has edited since.
    pub(super) fn written(text: &str) -> Option<Self> {
        let document = toml::from_str::<Read>(text).ok()?.document()?;
        (document.text() == text).then_some(document)
    }

    /// The unit that it checks.
    pub(super) fn unit(&self) -> Option<&str> {
        match &self.body {
            Body::Web { unit: Some((_, unit)), .. } => Some(unit),
            Body::Web { unit: None, .. } | Body::Balancer { .. } => None,
        }
    }

    /// With another check of a unit. What of `amendment` is not in this file is left of it.
    pub(super) fn amended(&self, mut amendment: Amendment) -> (Self, Amendment) {
        let mut document = self.clone();
        if let Body::Web { unit, .. } = &mut document.body {
            let (own, others) = amendment.remove.into_iter().partition(|former| unit.as_ref() == Some(former));
            let own: Vec<UnitCheck> = own;
            amendment.remove = others;
            let stays = unit.take().filter(|_| own.is_empty());
            *unit = amendment.add.take().or(stays);
        }
        (document, amendment)
    }

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
        if let Some(bind) = &self.bind {
            line("gossip.bind", &quoted(&bind.to_string()));
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
    use crate::config::{BindHost, GOSSIP_PORT, Source, Sources, load};

    fn document(body: Body) -> Document {
        let role = "lb".to_owned();
        Document { role, name: None, tags: BTreeMap::new(), bind: None, advertise: None, join: None, body }
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
    fn a_file_that_nobody_edited_is_known_and_gets_another_unit() {
        let unit = |name: &str| (name.to_owned(), format!("{name}.service"));
        let web = |own: Option<UnitCheck>| Document {
            role: "web".to_owned(),
            name: Some("web1".to_owned()),
            tags: [("port", "8080"), ("a b", "c\"d"), ("zone", "1")]
                .map(|(tag, value)| (tag.into(), value.into()))
                .into(),
            bind: Some(both_families()),
            advertise: Some([10, 77, 0, 12].into()),
            join: Some("lb1:7947".to_owned()),
            ..document(Body::Web { check: Check::Tcp("127.0.0.1:8080".to_owned()), unit: own })
        };
        for whole in [document(balancer()), web(None), web(Some(unit("app")))] {
            let text = whole.text();
            assert_eq!(Document::written(&text).as_ref(), Some(&whole));
            for edited in [text.replace("Written", "written"), format!("{text}# mine\n"), text.replace(" = ", "=")] {
                assert_eq!(Document::written(&edited), None, "{edited}");
            }
        }
        assert_eq!(Document::written("node.tags.role = \"web\"\n"), None);
        let (bad, app) = (unit("bad"), unit("app"));
        let amend = |add: Option<&UnitCheck>, remove: &[&UnitCheck]| Amendment {
            add: add.cloned(),
            remove: remove.iter().map(|former| (*former).clone()).collect(),
        };
        for (own, amendment, wanted, left) in [
            (None, amend(Some(&app), &[]), Some(&app), amend(None, &[])),
            (Some(&bad), amend(Some(&app), &[&bad]), Some(&app), amend(None, &[])),
            (Some(&bad), amend(None, &[&bad]), None, amend(None, &[])),
            (Some(&app), amend(None, &[&bad]), Some(&app), amend(None, &[&bad])),
        ] {
            assert_eq!(web(own.cloned()).amended(amendment), (web(wanted.cloned()), left));
        }
    }

    #[test]
    fn whatever_is_in_it_is_read_back_as_it_was_meant() {
        let tags = [("zone", "a\"b\\c"), ("a b", "x\ty"), ("port", "8080"), ("max_conns", "1")]
            .map(|(tag, value)| (tag.to_owned(), value.to_owned()));
        let any = BindHost::Address(std::net::Ipv6Addr::UNSPECIFIED.into());
        let full = Document {
            name: Some("lb1".to_owned()),
            tags: tags.into(),
            bind: Some(BindAddress { host: any, port: GOSSIP_PORT }),
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
        assert_eq!(config.gossip.bind.to_string(), "[::]:7946");
        assert_eq!(config.upstreams[0].options.name.as_str(), "web");
    }
}
