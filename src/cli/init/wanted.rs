//! What was asked for on the command line, checked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::failure::Failure;
use super::super::parse;
use super::document::SELECTED;
use super::guard::Application;
use super::{Init, Kind, Site};
use crate::config::{GOSSIP_PORT, JoinAddress};
use crate::upstream::UpstreamName;

/// What this server is to be, as far as it was said.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    /// The value of the tag `role`, if it was given.
    pub(super) role: Option<String>,
    pub(super) name: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) join: Option<JoinAddress>,
    /// Of the web server.
    pub(super) port: Option<u16>,
    /// Besides `role`.
    pub(super) tags: BTreeMap<String, String>,
    pub(super) upstream: Option<UpstreamName>,
    /// Of the application behind the web server.
    pub(super) unit: Option<Application>,
    pub(super) site: Site,
    pub(super) force: bool,
}

impl Wanted {
    pub(super) fn of(init: &Init) -> Result<Self, Failure> {
        refuse_out_of_place(init)?;
        refuse_empty("--name", init.name.as_deref(), "leave it out for the host name")?;
        refuse_empty("--role", init.role.as_deref(), "leave it out for lb or web")?;
        init.address.map_or(Ok(()), refuse_unreachable)?;
        let join = init.join.as_ref().map(|text| text.parse().map_err(|trouble| unusable("--join", text, &trouble)));
        let tags =
            init.tags.iter().map(|text| parse::tag(text)).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
        let mut tags = parse::tags(tags, |tag, _, _| format!("give one '--tag {tag}=VALUE'"))?;
        let role = match (&init.role, tags.remove("role")) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("the role is given twice").with_remedy("give --role or '--tag role=…'"));
            }
            (given, tag) => given.clone().or(tag),
        };
        if let (Some(port), Some(tag)) =
            (init.port, tags.get("port").filter(|tag| init.port.is_some_and(|port| **tag != port.to_string())))
        {
            return Err(Failure::usage(format!("the port is given twice: --port {port} and --tag port={tag}"))
                .with_remedy("leave out the one that is not so"));
        }
        if let Some(port) = init.port.filter(|port| *port != 80) {
            tags.entry("port".to_owned()).or_insert_with(|| port.to_string());
        }
        let join = join.transpose()?;
        let of_member = |ip: &IpAddr| join.as_ref().is_some_and(|join: &JoinAddress| join.host.parse() == Ok(*ip));
        if let Some(address) = init.address.filter(of_member) {
            return Err(Failure::usage(format!("--address {address} is the member that --join names"))
                .with_remedy("give this server's own: 'ip address' lists them"));
        }
        Ok(Self {
            kind: init.kind,
            role,
            name: init.name.clone(),
            address: init.address,
            join,
            port: init.port,
            tags,
            upstream: init.upstream.as_deref().map(upstream).transpose()?,
            unit: init.unit.as_deref().map(Application::named).transpose()?,
            site: init.site,
            force: init.force,
        })
    }

    /// The name of the upstream of a balancer that has none yet.
    pub(super) fn upstream(&self) -> UpstreamName {
        self.upstream.clone().unwrap_or_else(|| UpstreamName::new(SELECTED).expect("it is a plain word"))
    }

    /// The value of the tag `role`.
    pub(super) fn role(&self) -> &str {
        self.role.as_deref().unwrap_or(self.kind.as_str())
    }
}

/// An empty value, as of a variable of a script that is not set.
fn refuse_empty(option: &str, value: Option<&str>, way_out: &str) -> Result<(), Failure> {
    match value {
        Some("") => Err(Failure::usage(format!("{option} is empty")).with_remedy(way_out)),
        Some(_) | None => Ok(()),
    }
}

/// What no other server can reach this one by.
fn refuse_unreachable(address: IpAddr) -> Result<(), Failure> {
    let what = match address {
        ip if ip.is_loopback() => "is the loopback address, by which no other server reaches this one",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            "is of one link alone, so other servers do not reach this one by it"
        }
        ip if ip.is_unspecified() || ip.is_multicast() => "is no server's address",
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("--address {address} {what}"))
        .with_remedy("name one of this server's: 'ip address' lists them"))
}

/// An option that means nothing for such a server would be dropped without a word.
fn refuse_out_of_place(init: &Init) -> Result<(), Failure> {
    let given = match init.kind {
        Kind::Balancer => [("--port", init.port.is_some()), ("--unit", init.unit.is_some())],
        Kind::Web => [("--upstream", init.upstream.is_some()), ("--site", init.site != Site::Auto)],
    };
    let whose = match init.kind {
        Kind::Balancer => "a web server",
        Kind::Web => "a balancer",
    };
    match given.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Failure::usage(format!("{option} is for {whose}")).with_remedy("leave it out")),
        None => Ok(()),
    }
}

fn unusable(option: &str, text: &str, trouble: &crate::error::Trouble) -> Failure {
    Failure::usage(format!("{option} {text:?} {}", trouble.what)).with_remedy(trouble.way_out.clone())
}

fn upstream(name: &str) -> Result<UpstreamName, Failure> {
    UpstreamName::new(name).ok_or_else(|| {
        Failure::usage(format!("{name:?} is no upstream name")).with_remedy("use letters, digits, _ and -")
    })
}

/// As people write it: without the port that everybody uses.
pub(super) fn shown(join: &JoinAddress) -> String {
    if join.port == GOSSIP_PORT { join.host.clone() } else { join.to_string() }
}
