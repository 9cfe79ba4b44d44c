//! What differs for NGINX between two sets of servers, for a line of the operator's timeline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Server, Servers};
use crate::wire::NodeName;

/// What became of one server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    pub member: NodeName,
    pub change: Change,
}

/// How.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// It gets requests now.
    In { addr: SocketAddr, weight: u16 },
    /// It gets none any more.
    Out { addr: SocketAddr },
    /// It serves elsewhere.
    Moved { from: SocketAddr, to: SocketAddr },
    /// Its share is another.
    Weight { from: u16, to: u16 },
    /// It waits as a backup now, or no more.
    Backup { from: bool, to: bool },
    /// It takes another number of connections.
    MaxConns { from: u32, to: u32 },
}

/// From `before` to `after`, by member. A server that is down is as good as none.
pub fn differences(before: Option<&Servers>, after: Option<&Servers>) -> Vec<Difference> {
    let (before, after) = (serving(before), serving(after));
    let members: BTreeSet<&NodeName> = before.keys().chain(after.keys()).copied().collect();
    let of = |member: &NodeName| -> Vec<Difference> {
        let changes = match (before.get(member), after.get(member)) {
            (None, Some(new)) => vec![Change::In { addr: new.addr, weight: new.weight.get() }],
            (Some(old), None) => vec![Change::Out { addr: old.addr }],
            (Some(old), Some(new)) => changes(old, new),
            (None, None) => Vec::new(),
        };
        changes.into_iter().map(|change| Difference { member: member.clone(), change }).collect()
    };
    members.into_iter().flat_map(of).collect()
}

fn serving(servers: Option<&Servers>) -> BTreeMap<&NodeName, &Server> {
    servers.into_iter().flat_map(Servers::serving).map(|server| (&server.member, server)).collect()
}

fn changes(old: &Server, new: &Server) -> Vec<Change> {
    let (from, to) = (old.weight.get(), new.weight.get());
    let changes = [
        (old.addr != new.addr).then_some(Change::Moved { from: old.addr, to: new.addr }),
        (from != to).then_some(Change::Weight { from, to }),
        (old.backup != new.backup).then_some(Change::Backup { from: old.backup, to: new.backup }),
        (old.max_conns != new.max_conns).then_some(Change::MaxConns { from: old.max_conns, to: new.max_conns }),
    ];
    changes.into_iter().flatten().collect()
}

/// `web2 weight 2 -> 4`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.member;
        match &self.change {
            Change::In { addr, weight: 1 } => write!(f, "{member} in {addr}"),
            Change::In { addr, weight } => write!(f, "{member} in {addr} weight {weight}"),
            Change::Out { addr } => write!(f, "{member} out {addr}"),
            Change::Moved { from, to } => write!(f, "{member} {from} -> {to}"),
            Change::Weight { from, to } => write!(f, "{member} weight {from} -> {to}"),
            Change::Backup { from, to } => write!(f, "{member} backup {from} -> {to}"),
            Change::MaxConns { from, to } => write!(f, "{member} max_conns {from} -> {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Weight;

    fn server(member: &str, addr: &str) -> Server {
        let (member, addr) = (NodeName::new(member).unwrap(), addr.parse().unwrap());
        Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
    }

    fn told(before: &[&Server], after: &[&Server]) -> Vec<String> {
        let set = |servers: &[&Server]| Servers::new(servers.iter().map(|server| (*server).clone()).collect()).ok();
        differences(set(before).as_ref(), set(after).as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_change_says_from_what_to_what() {
        let (one, two) = (&server("web1", "10.0.0.1:80"), &server("web2", "10.0.0.2:80"));
        let down = &Server { down: true, ..one.clone() };
        let moved = &server("web1", "10.0.0.9:80");
        let heavy = &Server { weight: Weight::new(4).unwrap(), backup: true, max_conns: 9, ..one.clone() };
        let nothing: [&str; 0] = [];
        assert_eq!(told(&[], &[one, two]), ["web1 in 10.0.0.1:80", "web2 in 10.0.0.2:80"]);
        assert_eq!(told(&[], &[heavy]), ["web1 in 10.0.0.1:80 weight 4"]);
        assert_eq!(told(&[one, two], &[two]), ["web1 out 10.0.0.1:80"]);
        assert_eq!(told(&[one], &[two]), ["web1 out 10.0.0.1:80", "web2 in 10.0.0.2:80"]);
        assert_eq!(told(&[one], &[]), ["web1 out 10.0.0.1:80"]);
        assert_eq!(told(&[one], &[down]), ["web1 out 10.0.0.1:80"]);
        assert_eq!(told(&[down], &[one]), ["web1 in 10.0.0.1:80"]);
        assert_eq!(told(&[down], &[down]), nothing);
        assert_eq!(told(&[one], &[moved]), ["web1 10.0.0.1:80 -> 10.0.0.9:80"]);
        assert_eq!(
            told(&[one], &[heavy]),
            ["web1 weight 1 -> 4", "web1 backup false -> true", "web1 max_conns 0 -> 9"]
        );
        assert_eq!(told(&[one], &[one]), nothing);
    }
}
