//! Members as the RPC shows them, and the choice among them (`rpc §4, Member, members-filtered`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use regex::Regex;

use super::read;
use super::request::{MembersQuery, put_map};
use crate::serf::{self, filter};
use crate::wire::message::Versions;
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::serf::Tags;
use crate::wire::{DecodeError, Problem};

/// A member's status as clients read it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Status {
    /// Not known yet; ours never says it.
    #[default]
    None,
    Alive,
    Leaving,
    Left,
    Failed,
}

impl Status {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Alive => "alive",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Alive, Self::Leaving, Self::Left, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

impl From<serf::Status> for Status {
    fn from(status: serf::Status) -> Self {
        match status {
            serf::Status::Alive => Self::Alive,
            serf::Status::Leaving => Self::Leaving,
            serf::Status::Left => Self::Left,
            serf::Status::Failed => Self::Failed,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    pub name: String,
    pub addr: IpAddr,
    pub port: u16,
    pub tags: Tags,
    pub status: Status,
    /// memberlist's three numbers, then Serf's.
    pub versions: Versions,
}

impl From<&serf::Member> for Member {
    fn from(member: &serf::Member) -> Self {
        Self {
            name: member.node.name.as_str().to_owned(),
            addr: member.node.addr.ip(),
            port: member.node.addr.port(),
            tags: member.tags(),
            status: member.status.into(),
            versions: member.node.versions,
        }
    }
}

const FIELDS: [&str; 11] = [
    "Name",
    "Addr",
    "Port",
    "Tags",
    "Status",
    "ProtocolMin",
    "ProtocolMax",
    "ProtocolCur",
    "DelegateMin",
    "DelegateMax",
    "DelegateCur",
];

impl Member {
    pub(super) fn encode(&self, writer: &mut Writer) {
        let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] = self.versions.0;
        writer.map_header(FIELDS.len()).str("Addr");
        match self.addr {
            IpAddr::V4(addr) => writer.bin(&addr.octets()),
            IpAddr::V6(addr) => writer.bin(&addr.octets()),
        };
        writer.str("DelegateCur").uint(delegate_cur).str("DelegateMax").uint(delegate_max);
        writer.str("DelegateMin").uint(delegate_min).str("Name").str(&self.name).str("Port").uint(self.port);
        writer.str("ProtocolCur").uint(protocol_cur).str("ProtocolMax").uint(protocol_max);
        writer.str("ProtocolMin").uint(protocol_min).str("Status").str(self.status.as_str()).str("Tags");
        put_map(writer, &self.tags);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut member = Self {
            name: String::new(),
            addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            tags: Tags::new(),
            status: Status::None,
            versions: Versions::UNKNOWN,
        };
        reader.record(&FIELDS, |reader, field| {
            match field {
                "Name" => member.name = String::from_utf8_lossy(reader.raw()?).into_owned(),
                "Addr" => member.addr = decode_addr(reader)?,
                "Port" => member.port = reader.u16()?,
                "Tags" => member.tags = read::string_map(reader)?,
                "Status" => {
                    let word = reader.str()?;
                    member.status = Status::from_word(word).ok_or_else(|| reader.error(Problem::Range))?;
                }
                "ProtocolMin" => member.versions.0[0] = reader.u8()?,
                "ProtocolMax" => member.versions.0[1] = reader.u8()?,
                "ProtocolCur" => member.versions.0[2] = reader.u8()?,
                "DelegateMin" => member.versions.0[3] = reader.u8()?,
                "DelegateMax" => member.versions.0[4] = reader.u8()?,
                _ => member.versions.0[5] = reader.u8()?,
            }
            Ok(())
        })?;
        Ok(member)
    }
}

/// 4 or 16 bytes, nil for none; an IPv4 address in IPv6 clothes is IPv4.
fn decode_addr(reader: &mut Reader<'_>) -> Result<IpAddr, DecodeError> {
    let octets = reader.bytes()?;
    if let Ok(octets) = <[u8; 4]>::try_from(octets.as_ref()) {
        return Ok(IpAddr::from(octets));
    }
    if octets.is_empty() {
        return Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    let octets = <[u8; 16]>::try_from(octets.as_ref()).map_err(|_| reader.error(Problem::Length))?;
    Ok(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
}

/// A compiled [`MembersQuery`]: what the agent asks about each of its members.
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    tags: Vec<(String, Regex)>,
    status: Option<Regex>,
    name: Option<Regex>,
}

impl MemberFilter {
    /// Compiles the expressions; each must match the whole text, alternatives included. The error is for the client to read.
    pub fn compile(query: &MembersQuery) -> Result<Self, String> {
        let tags =
            query.tags.iter().map(|(tag, expression)| Ok((tag.clone(), whole(&format!("tag '{tag}'"), expression)?)));
        let unless_empty = |what: &str, expression: &str| {
            if expression.is_empty() { Ok(None) } else { whole(what, expression).map(Some) }
        };
        Ok(Self {
            tags: tags.collect::<Result<_, String>>()?,
            status: unless_empty("status", &query.status)?,
            name: unless_empty("name", &query.name)?,
        })
    }

    /// Whether everybody matches.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.status.is_none() && self.name.is_none()
    }

    /// Whether a member is wanted. A tag it lacks has the value `""`.
    pub fn matches(&self, name: &str, status: Status, tags: &Tags) -> bool {
        let fits =
            |expression: &Option<Regex>, text: &str| expression.as_ref().is_none_or(|regex| regex.is_match(text));
        fits(&self.name, name)
            && fits(&self.status, status.as_str())
            && self.tags.iter().all(|(tag, regex)| regex.is_match(tags.get(tag).map_or("", String::as_str)))
    }
}

fn whole(what: &str, expression: &str) -> Result<Regex, String> {
    filter::compile_whole(expression).map_err(|error| format!("invalid expression for {what}: {error}"))
}
