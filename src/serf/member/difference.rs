//! What is different about a member from one announcement to a later one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use super::{Tags, decode_tags};
use crate::swim::Node;
use crate::wire::message::Versions;

/// One thing that is different. Of tags, their names and values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Difference {
    Address {
        before: SocketAddr,
        after: SocketAddr,
    },
    /// The versions of the protocols that it speaks.
    Versions,
    TagSet {
        tag: String,
        after: String,
    },
    TagChanged {
        tag: String,
        before: String,
        after: String,
    },
    TagGone {
        tag: String,
        before: String,
    },
}

impl Difference {
    /// All there are; tags in the order of their names.
    pub fn between(before: &Node, after: &Node) -> Vec<Self> {
        let address = (before.addr != after.addr).then_some(Self::Address { before: before.addr, after: after.addr });
        let versions = speaks_otherwise(before, after).then_some(Self::Versions);
        let tags = of_tags(&decode_tags(&before.meta), &decode_tags(&after.meta));
        address.into_iter().chain(versions).chain(tags).collect()
    }
}

/// Equal tags in another byte order are no change: a map has no order in the reference.
pub(crate) fn is_changed(before: &Node, after: &Node) -> bool {
    before.addr != after.addr
        || speaks_otherwise(before, after)
        || (before.meta != after.meta && decode_tags(&before.meta) != decode_tags(&after.meta))
}

/// The snapshot does not know what a member spoke.
fn speaks_otherwise(before: &Node, after: &Node) -> bool {
    before.versions != after.versions && before.versions != Versions::UNKNOWN
}

fn of_tags(before: &Tags, after: &Tags) -> Vec<Difference> {
    let tags: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    tags.into_iter().filter_map(|tag| of_tag(tag, before.get(tag), after.get(tag))).collect()
}

fn of_tag(tag: &str, before: Option<&String>, after: Option<&String>) -> Option<Difference> {
    let tag = tag.to_owned();
    match (before.cloned(), after.cloned()) {
        (Some(before), Some(after)) => (before != after).then_some(Difference::TagChanged { tag, before, after }),
        (None, Some(after)) => Some(Difference::TagSet { tag, after }),
        (Some(before), None) => Some(Difference::TagGone { tag, before }),
        (None, None) => None,
    }
}

/// `port 80 -> 81`, `+ weight 2`, `- zone a`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { before, after } => write!(f, "address {before} -> {after}"),
            Self::Versions => f.write_str("protocol versions"),
            Self::TagSet { tag, after } => write!(f, "+ {tag} {after}"),
            Self::TagChanged { tag, before, after } => write!(f, "{tag} {before} -> {after}"),
            Self::TagGone { tag, before } => write!(f, "- {tag} {before}"),
        }
    }
}
