//! What a template sees.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Value};

use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Generation, Member, PlainName, Server};

/// The servers of every upstream and the members, as values of the template language.
///
/// ```text
/// upstreams    name, servers
/// servers      member, addr, port, endpoint, weight, state ("in" or "down"), backup, max_conns
/// members      name, addr, status ("alive", "leaving", "left" or "failed")
/// generation
/// ```
///
/// Sorted by name, so that the same cluster makes the same file on each balancer. A member or server whose name is no
/// [`PlainName`] is left out, and nothing else of what members say of themselves is here.
#[derive(Clone, Debug)]
pub struct Data(Value);

impl Data {
    /// Of a checked document. `generation` is the one that the file is rendered for.
    pub fn new(desired: &Desired, generation: Generation) -> Self {
        let upstreams: Vec<Value> = desired
            .upstreams
            .iter()
            .map(|(name, target)| record([("name", word(name.as_str())), ("servers", servers(target))]))
            .collect();
        let members: Vec<Value> = desired.members.as_slice().iter().map(member).collect();
        Self(record([
            ("upstreams", upstreams.into()),
            ("members", members.into()),
            ("generation", generation.0.into()),
        ]))
    }

    pub(super) fn value(&self) -> Value {
        self.0.clone()
    }

    /// The variables that there are.
    pub const NAMES: [&str; 3] = ["upstreams", "members", "generation"];
}

fn servers(target: &Target) -> Value {
    let servers = target.servers().map(|servers| servers.as_slice()).unwrap_or_default();
    servers.iter().filter_map(server).collect::<Vec<Value>>().into()
}

/// `None` of one whose member has no plain name.
fn server(server: &Server) -> Option<Value> {
    let name = PlainName::new(server.member.as_str())?;
    Some(record([
        ("member", word(name.as_str())),
        ("addr", address(server.addr.ip())),
        ("port", server.addr.port().into()),
        ("endpoint", endpoint(server.addr)),
        ("weight", server.weight.get().into()),
        ("state", word(if server.down { "down" } else { "in" })),
        ("backup", server.backup.into()),
        ("max_conns", server.max_conns.into()),
    ]))
}

fn member(member: &Member) -> Value {
    record([
        ("name", word(member.name.as_str())),
        ("addr", address(member.addr)),
        ("status", word(member.status.as_str())),
    ])
}

fn address(addr: IpAddr) -> Value {
    word(&addr.to_string())
}

/// `ADDRESS:PORT`, IPv6 in brackets.
fn endpoint(addr: SocketAddr) -> Value {
    word(&addr.to_string())
}

/// Text that a template may print.
fn word(text: &str) -> Value {
    Value::from_safe_string(text.to_owned())
}

fn record<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::from_object(Record(fields.into()))
}

/// Few fields with names of ours.
#[derive(Debug)]
struct Record(Box<[(&'static str, Value)]>);

impl Object for Record {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| word(name)).collect())
    }
}
