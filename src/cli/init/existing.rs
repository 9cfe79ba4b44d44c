//! Whether the configuration that is there says what was asked for. What was not asked for may be as it likes: it is an operator's.

use std::fmt;
use std::net::IpAddr;

use super::wanted::{Wanted, shown};
use super::{Kind, wanted};
use crate::config::{Advertise, BindHost, Config, JoinAddress};
use crate::upstream::UpstreamName;

/// What the configuration has otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Contradiction {
    Role {
        has: Option<String>,
        wants: String,
    },
    Name {
        has: String,
        wants: String,
    },
    Address {
        has: Option<IpAddr>,
        wants: IpAddr,
    },
    Join {
        has: Vec<JoinAddress>,
        wants: JoinAddress,
    },
    /// A balancer needs one.
    NoUpstream,
    Upstream {
        has: Vec<UpstreamName>,
        wants: UpstreamName,
    },
    Tag {
        tag: String,
        has: Option<String>,
        wants: String,
    },
}

/// Everything in which `config` differs from what was asked for.
pub(super) fn contradictions(config: &Config, wanted: &Wanted) -> Vec<Contradiction> {
    let mut all = Vec::new();
    all.extend(role(config, wanted));
    if let Some(wants) = wanted.name.as_ref().filter(|name| *name != config.node.name.as_str()) {
        all.push(Contradiction::Name { has: config.node.name.as_str().to_owned(), wants: wants.clone() });
    }
    all.extend(wanted.address.and_then(|wants| address(config, wants)));
    if let Some(wants) = wanted.join.as_ref().filter(|join| !config.gossip.join.contains(join)) {
        all.push(Contradiction::Join { has: config.gossip.join.clone(), wants: wants.clone() });
    }
    all.extend(upstream(config, wanted));
    for (tag, wants) in &wanted.tags {
        let has = config.node.tags.get(tag).cloned();
        // A port that is every web server's needs no tag.
        let has_it = has.as_ref() == Some(wants) || has.is_none() && (tag.as_str(), wants.as_str()) == ("port", "80");
        if !has_it {
            all.push(Contradiction::Tag { tag: tag.clone(), has, wants: wants.clone() });
        }
    }
    all
}

/// A balancer is one by its upstreams, whatever its role; a web server is found by it.
fn role(config: &Config, wanted: &Wanted) -> Option<Contradiction> {
    let has = config.node.tags.get("role");
    let may_lack = wanted.kind == Kind::Balancer && wanted.role.is_none();
    let wants = wanted.role();
    let agrees = has.map_or(may_lack, |has| has == wants);
    (!agrees).then(|| Contradiction::Role { has: has.cloned(), wants: wants.to_owned() })
}

fn address(config: &Config, wants: IpAddr) -> Option<Contradiction> {
    let has = match (&config.gossip.advertise, &config.gossip.bind.host) {
        (Advertise::Address(ip, _), _) => Some(*ip),
        (_, BindHost::Address(ip)) if !ip.is_unspecified() => Some(*ip),
        (Advertise::Auto | Advertise::FirstPrivate, _) => None,
    };
    (has != Some(wants)).then_some(Contradiction::Address { has, wants })
}

fn upstream(config: &Config, wanted: &Wanted) -> Option<Contradiction> {
    if wanted.kind == Kind::Web {
        return None;
    }
    let has: Vec<UpstreamName> = config.upstreams.iter().map(|upstream| upstream.options.name.clone()).collect();
    match &wanted.upstream {
        Some(wants) if !has.contains(wants) => Some(Contradiction::Upstream { has, wants: wants.clone() }),
        None if has.is_empty() => Some(Contradiction::NoUpstream),
        Some(_) | None => None,
    }
}

/// A tag may be there without a value.
fn named(value: &str) -> &str {
    if value.is_empty() { "an empty one" } else { value }
}

/// `role web, not lb`.
impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        match self {
            Self::Role { has: Some(has), wants } => write!(f, "role {}, not {wants}", named(has)),
            Self::Role { has: None, wants } => write!(f, "no role, not {wants}"),
            Self::Name { has, wants } => write!(f, "name {has}, not {wants}"),
            Self::Address { has: Some(has), wants } => write!(f, "address {has}, not {wants}"),
            Self::Address { has: None, wants } => write!(f, "no address of its own, not {wants}"),
            Self::Join { has, wants } => {
                let has = has.iter().map(wanted::shown).collect();
                write!(f, "join {}, not {}", listed(has), shown(wants))
            }
            Self::NoUpstream => f.write_str("no upstream"),
            Self::Upstream { has, wants } => {
                write!(f, "upstream {}, not {wants}", listed(has.iter().map(ToString::to_string).collect()))
            }
            Self::Tag { tag, has: Some(has), wants } => write!(f, "tag {tag}={has}, not {}", named(wants)),
            Self::Tag { tag, has: None, wants } => write!(f, "no tag {tag}, not {}", named(wants)),
        }
    }
}
