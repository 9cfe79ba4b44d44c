//! Tags in a member's metadata, and the record of a disputed member (`serf §2.1, §3.6`).

use bytes::Bytes;

use super::message::{socket_addr, string};
use super::{ConflictMember, Tags, kind};
use crate::wire::message::Versions;
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::{DecodeError, Problem, addr};

/// First byte of metadata that holds tags.
const TAGS: u8 = 0xff;

/// The metadata of a member with these tags.
pub fn encode_tags(tags: &Tags) -> Bytes {
    let mut w = Writer::message(TAGS);
    write_tags(tags, &mut w);
    w.into_bytes()
}

/// The metadata of a member that speaks Serf protocol 2, which knows one role only.
pub fn encode_role(role: &str) -> Bytes {
    Bytes::copy_from_slice(role.as_bytes())
}

/// Reads metadata of either form. Broken tags end the list where they break; text that is not UTF-8 is replaced.
pub fn decode_tags(meta: &[u8]) -> Tags {
    let mut tags = Tags::new();
    match meta {
        [TAGS, map @ ..] => {
            // Whatever came before the break is kept, as real agents do.
            let _ = read_tags(&mut Reader::new(map), &mut tags);
        }
        role => {
            tags.insert("role".to_owned(), String::from_utf8_lossy(role).into_owned());
        }
    }
    tags
}

fn write_tags(tags: &Tags, w: &mut Writer) {
    w.map_header(tags.len());
    for (key, value) in tags {
        w.str(key).str(value);
    }
}

fn read_tags(r: &mut Reader<'_>, tags: &mut Tags) -> Result<(), DecodeError> {
    for _ in 0..r.map_header()? {
        let key = String::from_utf8_lossy(r.raw()?).into_owned();
        let value = String::from_utf8_lossy(r.raw()?).into_owned();
        tags.insert(key, value);
    }
    Ok(())
}

impl ConflictMember {
    const FIELDS: [&'static str; 11] = [
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

    /// Reads a conflict answer; `None` if the answerer knows no such member.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut r = Reader::new(bytes);
        let kind = r.byte().map_err(|error| error.within("conflict"))?;
        if kind != kind::CONFLICT {
            return Err(DecodeError::new("conflict", 0, Problem::MessageType(kind)));
        }
        if r.take_nil() {
            return Ok(None);
        }
        let (mut name, mut ip, mut port) = (String::new(), Default::default(), 0);
        let (mut tags, mut status, mut versions) = (Tags::new(), 0, [0; 6]);
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "Name" => name = string(r)?,
                "Addr" => ip = r.bytes()?,
                "Port" => port = r.u16()?,
                "Tags" => read_tags(r, &mut tags)?,
                "Status" => status = r.u8()?,
                "ProtocolMin" => versions[0] = r.u8()?,
                "ProtocolMax" => versions[1] = r.u8()?,
                "ProtocolCur" => versions[2] = r.u8()?,
                "DelegateMin" => versions[3] = r.u8()?,
                "DelegateMax" => versions[4] = r.u8()?,
                _ => versions[5] = r.u8()?,
            }
            Ok(())
        })
        .map_err(|error| error.within("conflict"))?;
        let addr = socket_addr(&ip, port, "Addr", r.offset())?;
        Ok(Some(Self { name, addr, tags, status, versions: Versions(versions) }))
    }

    /// The answer that no such member is known.
    pub fn encode_unknown() -> Bytes {
        Bytes::from_static(&[kind::CONFLICT, 0xc0])
    }

    /// The answer that describes the member.
    pub fn encode(&self) -> Bytes {
        let [protocol_min, protocol_max, protocol, delegate_min, delegate_max, delegate] = self.versions.0;
        let mut w = Writer::message(kind::CONFLICT);
        addr::write(self.addr.ip(), w.map_header(11).str("Addr"));
        w.str("DelegateCur").uint(delegate).str("DelegateMax").uint(delegate_max).str("DelegateMin").uint(delegate_min);
        w.str("Name").str(&self.name).str("Port").uint(self.addr.port());
        w.str("ProtocolCur").uint(protocol).str("ProtocolMax").uint(protocol_max).str("ProtocolMin").uint(protocol_min);
        w.str("Status").uint(self.status).str("Tags");
        write_tags(&self.tags, &mut w);
        w.into_bytes()
    }
}
